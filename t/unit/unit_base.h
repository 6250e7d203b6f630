/*
 * unit_base.h -- what the unit tests of the base share: an oracle of keys, changes
 * made from it, and the whole data file looked at against it.
 */
#ifndef ARTERY_UNIT_BASE_H
#define ARTERY_UNIT_BASE_H

#include "unit_wal.h"

#include "access/base/base_internal.h"

/* UnitKey -- one key of the oracle, or of a batch of changes.  A value's bytes follow from lsn and place. */
typedef struct UnitKey
{
	uint8	   *key;
	uint32		len;
	Lsn			lsn;			/* changes: 0 removes the key */
	uint64		expiry;
	uint64		value_len;
	bool		prefix;			/* changes: removes every key that begins with it */
} UnitKey;

/* UnitKeys -- ascending, each key once */
typedef struct UnitKeys
{
	UnitKey    *at;
	size_t		count;
	size_t		room;
} UnitKeys;

extern void unit_keys_free(UnitKeys *keys);
/* unit_keys_find -- first key >= key; *exact: it is that one. */
extern size_t unit_keys_find(const UnitKeys *keys, const void *key, uint32 len, bool *exact);
/* unit_keys_set -- puts or replaces. */
extern UnitKey *unit_keys_set(UnitKeys *keys, const void *key, uint32 len, Lsn lsn, uint64 expiry, uint64 value_len);
extern void unit_keys_remove(UnitKeys *keys, size_t index);
/* unit_keys_apply -- changes into the oracle; how many keys a removal took goes to removed[i], if not NULL. */
extern void unit_keys_apply(UnitKeys *keys, const UnitKeys *changes, uint64 *removed);
extern UnitKeys unit_keys_copy(const UnitKeys *keys);
extern void unit_value(Lsn lsn, uint64 offset, void *to, size_t len);

/* UnitSource -- changes as a BaseSource that checks what it is told */
typedef struct UnitSource
{
	const UnitKeys *changes;
	const uint64 *expect;		/* per change: keys that it finds in the old tree; NULL: not checked */
	size_t		next;
	size_t		seen;
	uint8		value[BASE_INLINE_MAX];
	uint8		key[BASE_KEY_MAX];
	uint64		between_calls;
	uint64		give_up_at;		/* call of between that says no; 0: none */
	size_t		value_fails_at;	/* change whose long value cannot be had; 0: none */
} UnitSource;
extern BaseSource unit_source(UnitSource *u, const UnitKeys *changes, const uint64 *expect);

/* UnitPages -- live pages of a root with their checksums: has anybody touched them? */
typedef struct UnitPages
{
	uint64	   *number;
	uint32	   *crc;
	size_t		count;
	size_t		room;
} UnitPages;
extern void unit_pages_free(UnitPages *pages);
extern void unit_pages_same(const UnitPages *pages);

/* UnitShape -- of a tree */
typedef struct UnitShape
{
	uint64		pages[BASE_LEVEL_MAX];	/* by level */
	uint64		bytes[BASE_LEVEL_MAX];	/* used of them */
	uint64		small[BASE_LEVEL_MAX];	/* less than a quarter full, not at the right edge, with neighbours below the same parent */
	uint64		extents;
	uint64		extent_pages;
} UnitShape;

/*
 * unit_base_check -- every page of unit_dir/data/base: tree, order, bounds, flags,
 * extents and values against the oracle (NULL: contents not checked); the map page
 * by page; sums.  Live pages go to *pages, the shape to *shape (either may be NULL).
 */
extern void unit_base_check(const BaseState *state, const UnitKeys *keys, UnitPages *pages, UnitShape *shape);

#endif
