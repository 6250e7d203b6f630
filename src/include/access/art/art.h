/*
 * art.h -- the overlay: a lock-free adaptive radix tree in shared memory.
 *
 * After Leis et al., "The Adaptive Radix Tree" (ICDE 2013), made lock-free by
 * freezing nodes before they are copied (doc/architecture.md, "The overlay").  Knows no socket,
 * no file, no setting and no log: the store brings LSNs and the log record.
 *
 * Slot words are 64-bit atomics (layout in art_internal.h): key byte, KEYED,
 * FROZEN, tag, reference.  The root is a slot word of its own, never frozen.
 *
 * Every function here is called inside an epoch unless it says otherwise.
 *
 * A write is done in steps, so that the log fits between them:
 *
 *   art_locate()      descend (helping where a node is frozen); remember the path,
 *                     the slot and the word s in it
 *   ... decide against pos.leaf; build the leaf ...
 *   art_prepare()     make room for a new key (grow, split a prefix: structural
 *                     changes, complete in themselves) and take the memory that
 *                     publishing needs (a split of a leaf).  A decision that changes
 *                     nothing never comes here, so a refused write changes no node
 *   ... reserve log, leaf->lsn = end of the record ...
 *   art_raise_dirty() on the whole path; false: a node is frozen, or the key came
 *                     into being during art_prepare -> void, start over
 *   art_mark_seen()   if pos.leaf->lsn > completed
 *   art_publish()     ONE CAS s -> leaf; false -> void, start over
 *   ... fill the record; retire pos.leaf if it was replaced ...
 *   art_abandon()     when the write is given up or starts over: frees what prepare
 *                     took (harmless after publish, and twice)
 *
 * All steps of one write stay in one epoch.
 */
#ifndef ARTERY_ACCESS_ART_ART_H
#define ARTERY_ACCESS_ART_ART_H

#include "common/bytes.h"
#include "common/c.h"
#include "access/art/leaf.h"

/*
 * ArtRoot -- lives in the segment (region STORE), zero = empty tree.
 *
 * COMPLETE (here: of all keys; in an inner node's meta: of all keys that the slot
 * leading to the node can lead to) says that every key that the base holds is in
 * the overlay, so that a miss is a definite no.  One process, the evictor, sets
 * and clears it; nodes copied by others take it along (art_internal.h has the proof).
 * It speaks of the base in force: who reads as of an older cut ignores it.
 */
enum { ART_ROOT_COMPLETE = 1, ART_ROOT_FILLING = 2 };
typedef struct ArtRoot
{
	alignas(16) _Atomic uint64 slot;	/* in one cache line with the flags, which are read before it */
	_Atomic uint64 flags;		/* ART_ROOT_*; the evictor writes, all read */
} ArtRoot;

typedef enum ArtResult
{
	ART_OK,
	ART_NO_MEMORY		/* leave the epoch, mem_grow() or -OOM */
} ArtResult;

#define ART_DEPTH_MAX (KEY_MAX + 2)

/* ArtPath -- one inner node on the way to a key */
typedef struct ArtPath
{
	Off			node;
	_Atomic uint64 *slot;		/* the slot that leads to it */
} ArtPath;

typedef struct ArtPos
{
	ArtRoot    *root;
	const uint8 *key;
	uint32		key_len;
	Leaf	   *leaf;			/* the leaf of this key (maybe a tombstone), or NULL */
	bool		complete;		/* as art_locate found it: some node on the way (or the root) is COMPLETE, so without a
								 * leaf the key is nowhere */
	uint32		depth;			/* nodes on the path; 0: it ends at the root slot */
	/* internal from here on */
	_Atomic uint64 *slot;		/* where to publish, or NULL */
	uint64		seen_word;		/* s */
	uint64		key_bits;		/* key byte and KEYED of the word to publish */
	uint32		kind;			/* ArtPosKind (art_internal.h) */
	uint32		match_depth;	/* bytes of the key above the slot; or above the node, where its prefix does not match */
	uint32		prefix_match;	/* bytes of that prefix that do match */
	Off			split_leaf;		/* other key's leaf in the slot, or 0 */
	Off			prepared;		/* node made by art_prepare */
	size_t		prepared_size;
	ArtPath    *path;			/* root first; thread-local storage of the room */
} ArtPos;

/* art_lookup -- the leaf of a key (maybe a tombstone), or NULL.  Acquire loads only; writes nothing shared. */
extern Leaf *art_lookup(ArtRoot *root, const void *key, uint32 key_len);
/*
 * art_lookup_complete -- the same; *complete as in ArtPos, read before the slot that
 * decides.  Says something only where there is no leaf, and only inside this epoch.
 */
extern Leaf *art_lookup_complete(ArtRoot *root, const void *key, uint32 key_len, bool *complete);
/*
 * art_prefix_complete -- is every base key with this prefix in the overlay?  Ask before
 * the walk or the lookups that rely on it, in the same epoch; a walk that leaves its
 * epoch asks again in the next one.
 */
extern bool art_prefix_complete(ArtRoot *root, const void *prefix, uint32 prefix_len);
/*
 * art_prefixes -- the leaves (tombstones, too) of all keys that 'key' begins with, itself
 * included, shortest first; how many.  'found' has room for KEY_MAX + 1.  *complete_from:
 * of this length on every such key of the base is in the overlay; UINT32_MAX: not known.
 */
extern uint32 art_prefixes(ArtRoot *root, const void *key, uint32 key_len, Leaf **found, uint32 *complete_from);
/* art_mark_recent -- sets RECENT unless it is set: a second chance for a leaf that is read.  One relaxed load when it is. */
extern void art_mark_recent(Leaf *leaf);
/* art_prefetch -- start loading the first levels on the way to a key; never decides anything. */
extern void art_prefetch(ArtRoot *root, const void *key, uint32 key_len);
/* art_prefetch_batch -- load the whole way to each of several keys at once: worth it from two keys on.  Decides nothing. */
extern void art_prefetch_batch(ArtRoot *root, const BytePart *keys, int count);

/* One ArtPos at a time per thread: the path lies in thread-local storage.  'key' stays where it is until the write is over. */
extern ArtResult art_locate(ArtRoot *root, const void *key, uint32 key_len, ArtPos *pos) attribute_must_check;
/* art_locate_other -- a second ArtPos beside that one, with a path of its own: for what is written together with a key. */
extern ArtResult art_locate_other(ArtRoot *root, const void *key, uint32 key_len, ArtPos *pos) attribute_must_check;
extern ArtResult art_prepare(ArtPos *pos, Off leaf) attribute_must_check;
extern bool art_raise_dirty(ArtPos *pos, Lsn lsn) attribute_must_check;
extern void art_mark_seen(Leaf *leaf);
extern bool art_publish(ArtPos *pos, Off leaf) attribute_must_check;
extern void art_abandon(ArtPos *pos);

/*
 * Ordered iteration.  The cursor is valid inside one epoch; a long walk leaves
 * every few hundred steps and seeks again from its last key.  Leaves come in
 * unsigned byte order of the key, tombstones included.  A key that is there
 * throughout is returned exactly once, no key twice; the version returned is one
 * that was in force at some moment between art_seek and now.
 *
 * art_seek: forward: the first key >= 'key' (> with exclusive); backward: the
 * last key <= 'key' (< with exclusive).  'key' NULL: from the very first / last.
 * Only keys that begin with 'prefix' are returned.  Neither is looked at later.
 */
typedef struct ArtCursor ArtCursor;		/* one per thread and number, from art_cursor() */

extern ArtCursor *art_cursor(int which);	/* thread-local, which = 0 or 1 */
/* art_expect -- before art_seek: about so many leaves will be asked for (0: who knows), and looked at with their values.  A hint what to load ahead. */
extern void art_expect(ArtCursor *c, uint32 leaves, bool values);
extern void art_seek(ArtCursor *c, ArtRoot *root, const void *prefix, uint32 prefix_len,
					 const void *key, uint32 key_len, bool exclusive, bool backward);
/* what a cursor has found ahead: a ring, refilled when no more than 'enough' is left of it */
#define ART_AHEAD_MAX 32
typedef struct ArtAhead
{
	uint32		first;
	uint32		count;
	uint32		enough;
	Leaf	   *leaf[ART_AHEAD_MAX];
} ArtAhead;
extern Leaf *art__next(ArtCursor *c);
/* art_next -- the next leaf; NULL at the end. */
static inline Leaf *
art_next(ArtCursor *c)
{
	ArtAhead   *a = (ArtAhead *) c;	/* a cursor begins with it */
	Leaf	   *l;

	if (unlikely(a->count <= a->enough))
		return art__next(c);
	l = a->leaf[a->first];
	a->first = (a->first + 1) % ART_AHEAD_MAX;
	a->count--;
	return l;
}
/* art_hop -- leave out what is still to come of the keys with this prefix, which the leaf returned last has (or lies before): no key of it is looked at. */
extern void art_hop(ArtCursor *c, const void *prefix, uint32 len);

/*
 * Taking away.  art_remove_leaf: one CAS leaf -> null under the same key byte, if
 * the word still is that leaf; the caller has checked that the leaf may go
 * (tombstone, lsn <= horizon) and retires it on true.  art_tidy: shrink, collapse
 * or drop the node that holds the key's slot, where that pays.
 */
extern bool art_remove_leaf(ArtRoot *root, const void *key, uint32 key_len, Leaf *expected);
extern ArtResult art_tidy(ArtRoot *root, const void *key, uint32 key_len);

/*
 * art_sweep -- one bounded piece of a walk that removes leaves: for each leaf
 * under 'prefix' from 'from' on (at most max_steps), asks 'may_go'; removes and
 * retires it if so, and tidies.  Enters and leaves its own epoch: outside one.
 * Returns true when the end was reached; else 'from' (KEY_MAX bytes) holds the key
 * to go on at.  from_len 0: from the first key.  *removed is added to.
 */
typedef bool (*ArtMayGo)(const Leaf *leaf, void *arg);
extern bool art_sweep(ArtRoot *root, const void *prefix, uint32 prefix_len,
					  uint8 *from, uint32 *from_len, uint32 max_steps, ArtMayGo may_go, void *arg, uint64 *removed);

/*
 * art_replace_leaf -- one CAS expected -> copy (a leaf of the same key and lsn), raising
 * no dirty LSN.  False: the word is not that leaf any more, nothing was done.  The
 * caller retires 'expected' (or its shell) on true.
 */
extern bool art_replace_leaf(ArtRoot *root, const void *key, uint32 key_len, Leaf *expected, Off copy);

/*
 * ---- for transactions, which hold a key's place by a descriptor leaf ----
 *
 * art_publish_at    art_publish, that remembers the place where it is cheap to find
 * art_raise_key     as art_raise_dirty, for a key whose leaf is in the tree; takes no
 *                   memory and helps nobody; false: a node on the way is frozen
 * art_swap_leaf     one CAS expected -> leaf (of the same key; its lsn has been raised
 *                   on the path); place may be NULL.  False: the word is not that leaf any more
 * art_vacate_leaf   one CAS expected -> null, but a null that differs from every one that
 *                   stood there before: who saw that null must not find it again, for what
 *                   he decided by it may be over (store_txn.c)
 */
typedef struct ArtPlace
{
	_Atomic uint64 *slot;		/* NULL: not known */
	uint64		word;			/* that was put there */
} ArtPlace;
extern bool art_publish_at(ArtPos *pos, Off leaf, ArtPlace *place);
extern bool art_raise_key(ArtRoot *root, const void *key, uint32 key_len, Lsn lsn);
extern bool art_swap_leaf(ArtRoot *root, const void *key, uint32 key_len, Leaf *expected, Off leaf, const ArtPlace *place);
extern bool art_vacate_leaf(ArtRoot *root, const void *key, uint32 key_len, Leaf *expected);

/*
 * art_seek_dirty -- as art_seek forward, for a checkpoint's walk: art_next then skips
 * every subtree whose dirty LSN is at or below 'committed', in whole units rounded
 * down, unless it is ALWAYS; leaves are returned whatever their lsn.
 */
extern void art_seek_dirty(ArtCursor *c, ArtRoot *root, const void *key, uint32 key_len, bool exclusive, Lsn committed);

/*
 * ---- COMPLETE: the evictor; inside an epoch or not ----
 *
 * art_filling_begin, then every key of the base into the overlay that is not there,
 * each inside the epoch in which the base root was read, then art_filling_end: from
 * then on the root is COMPLETE, unless something was evicted in between.
 */
extern void art_root_set_complete(ArtRoot *root);		/* nothing lies beneath: an empty base; recovery */
extern void art_filling_begin(ArtRoot *root);
extern bool art_filling_end(ArtRoot *root);				/* CAS FILLING -> COMPLETE; false: an eviction came between */
extern void art_filling_cancel(ArtRoot *root);

/*
 * art_evict -- one bounded piece of the clock, forward from 'from' (KEY_MAX bytes; as
 * art_sweep), of at most max_steps leaves, or as many as a piece may have: (1) ask
 * 'may_go' of each; clear COMPLETE and FILLING from the root down on the way to each
 * that may go (COMPLETE is handed down to the nodes beside it, so that they keep
 * what they know); (2) wait one grace period; (3) take away those that may still go
 * when asked a second time: nodes that become smaller without them are frozen, all
 * of their leaves asked under the freeze, and unlinked or replaced by one CAS; other
 * leaves go by one CAS each.  What becomes empty above goes, too.
 *
 * So a second chance (RECENT) is given by 'may_go' at the first asking: a leaf that it
 * refuses there stays in this piece.  It must answer false for ever once lsn >
 * evict_cut, and is called inside an epoch.
 *
 * Retires what went, with its chain; stops early when nothing more can be retired
 * (mem_retire_ready).  One process at a time, the one that sweeps, too; outside an
 * epoch; sleeps for the grace period, if anything may go.  Returns true at the end
 * of the tree.  'out' is added to.
 */
typedef struct ArtEvicted
{
	uint64		looked;			/* leaves that may_go was asked of */
	uint64		leaves;			/* that went; older versions linked to them are not counted */
	uint64		nodes;			/* that are not there any more */
	uint64		bytes;			/* by class size, of both; less what copies have become larger */
} ArtEvicted;
extern bool art_evict(ArtRoot *root, uint8 *from, uint32 *from_len, uint32 max_steps, ArtMayGo may_go, void *arg, ArtEvicted *out);

/* art_check -- walk everything: order, prefixes, reachability, dirty LSNs, flags.  Quiescent tree; tests.  Message in err on false. */
typedef struct ArtStats
{
	uint64		nodes[4];		/* N4 N16 N48 N256 */
	uint64		node_bytes;		/* by class size */
	uint64		leaves;
	uint64		tombstones;
	uint64		leaf_bytes;		/* by class size, extents included */
	uint32		depth_max;
} ArtStats;
extern bool art_check(ArtRoot *root, ArtStats *stats, char *err, size_t err_size);

#endif
