/*
 * listing_internal.h -- commands that walk and show what they meet: one machine
 * (listing.c) for KEYS SCAN (scan.c), RANGE LIST (order.c) and COUNTPREFIX (prefix.c).
 */
#ifndef ARTERY_TCOP_LISTING_INTERNAL_H
#define ARTERY_TCOP_LISTING_INTERNAL_H

#include "tcop/tcop_internal.h"

#define LISTING_COUNT_DEFAULT 1000

/* ListingBound -- an end of a range, as ZRANGE BYLEX has it */
typedef enum ListingBoundKind
{
	BOUND_LOWEST,				/* - */
	BOUND_HIGHEST,				/* + */
	BOUND_WITH,					/* [key */
	BOUND_WITHOUT				/* (key */
} ListingBoundKind;

typedef struct ListingBound
{
	ListingBoundKind kind;
	const uint8 *key;
	size_t		len;
} ListingBound;

typedef struct Listing
{
	StoreWalk	walk;
	Session    *session;
	OutChunk   *begin;
	uint32		pending_first;	/* session.pending_count before it */
	bool		exhausted;		/* the walk need not go on */
	bool		walked;			/* SCAN: only the cursor is still to be saved */
	bool		more;			/* exhausted, because COUNT is reached and something follows */
	uint32		need;			/* room the next item asks for; 0: it was not that */
	uint32		need_prefix;	/* the same in 'prefixes' */
	int64		items;
	int64		limit;			/* items (and prefixes) at most; -1: no bound */
	int64		seen;			/* live keys looked at: SCAN's COUNT */
	/* KEYS, SCAN */
	const BytePart *pattern;	/* NULL: every key */
	bool		exact;			/* the pattern has no wildcard */
	bool		type_excluded;	/* TYPE asks for what there is not */
	/* RANGE, LIST */
	ListingBound last;			/* the walk ends behind it */
	bool		with_values;
	bool		with_versions;
	const uint8 *last_key;		/* last item or prefix: where it stands in the output, or last_copy */
	uint32		last_key_len;
	bool		last_is_prefix;
	uint32		delimiter_arg;	/* 0: none */
	BytePart	delimiter;
	Output		prefixes;
	int64		prefix_count;
	/* an item that is shown outside the walk's epoch: its value goes out in pieces, or its version is not known yet; its key is walk.key */
	bool		apart;
	bool		whole;			/* it changes too fast for pieces: it is copied in one go */
	uint64		item_start;		/* out.appended before it */
	uint32		tries;
	ValueRead	value;
	uint8		last_copy[KEY_USER_MAX];
} Listing;

/* tcop__listing_new -- the session's state: over all keys of its database, forward, without any bound. */
extern Listing *tcop__listing_new(Session *s);
/* tcop__listing_begin -- the arguments are right: what the listing shows is appended from here on. */
extern void tcop__listing_begin(Listing *l);
/* tcop__listing_end -- the walk is over: 'header' goes in front of what was shown, and the reply is complete. */
extern void tcop__listing_end(Listing *l, const void *header, size_t len);
/* tcop__listing_prefix -- only keys that begin with these bytes. */
extern void tcop__listing_prefix(Listing *l, const void *prefix, size_t len);
/* tcop__listing_start -- the walk begins at (or, exclusive, behind) this key, in its direction; after tcop__listing_prefix. */
extern void tcop__listing_start(Listing *l, const uint8 *key, size_t len, bool exclusive);
/*
 * tcop__listing_walk -- the rest of the walk, within the budget of one run.  TCOP_DONE
 * with exhausted set: it is complete; without: the output limit ended it.
 */
extern TcopResult tcop__listing_walk(Listing *l, StoreWalkShow show) attribute_must_check;
/* tcop__listing_item -- inside the walk: appends one key with what was asked for, or says what keeps it from that. */
extern StoreWalkNext tcop__listing_item(Listing *l, const uint8 *key, uint32 key_len, const StoreView *view);

extern int	tcop__key_compare(const uint8 *a, size_t a_len, const uint8 *b, size_t b_len);

#endif
