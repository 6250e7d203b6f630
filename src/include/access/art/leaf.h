/*
 * leaf.h -- leaves of the overlay: one version of one key.
 *
 * A leaf is immutable once published, but for flags set by atomic OR (SEEN, RECENT)
 * and cleared by atomic AND (RECENT).
 *
 *   0  lsn        u64   end of the log record that wrote this version
 *   8  value_len  u32   bytes of the value
 *  12  key_len    u16   bytes of the key: 4 of tree id (big-endian), then 0..4096 of the user's
 *  14  flags      u16   LEAF_*
 *  16  [expiry    u64]  only with LEAF_HAS_EXPIRY: microseconds since 1970; in a tombstone,
 *                       which has no deadline, lsn of the expired version that it replaced
 *      [link      u64]  only with LEAF_HAS_LINK: Off of an older version, or 0
 *      [first     u64]  only with LEAF_UNKNOWN: LSN of the blind write that made the
 *                       key's chain of versions; nobody looked whether the key was
 *                       there before (open while first > cut)
 *      key, padded to nothing
 *      value bytes; or with LEAF_EXTENTS, at the next multiple of 8: Off of one
 *      block per LEAF_EXTENT_BYTES of value (the last one of the rest's size)
 *
 * Values above LEAF_INLINE_MAX lie in extents, so that no block of the heap is
 * larger than MEM_BLOCK_MAX.
 */
#ifndef ARTERY_ACCESS_ART_LEAF_H
#define ARTERY_ACCESS_ART_LEAF_H

#include "common/bytes.h"
#include "common/c.h"
#include "storage/ipc/segment.h"

#define KEY_USER_MAX 4096
#define KEY_MAX (4 + KEY_USER_MAX + 12)	/* the index of deadlines puts 12 bytes before another tree's key */
#define LEAF_INLINE_MAX 4096
#define LEAF_EXTENT_BYTES (32 * KIB)	/* = MEM_BLOCK_MAX */

enum
{
	LEAF_TOMBSTONE = 1,		/* the key is deleted as of lsn */
	LEAF_EXTENTS = 2,
	LEAF_HAS_EXPIRY = 4,
	LEAF_HAS_LINK = 8,
	LEAF_SEEN = 16,			/* replaced while lsn > completed: its record must be filled, not voided */
	LEAF_DESCRIPTOR = 32,	/* a transaction holds the key: the value leads to it, whoever meets it looks through it (store_txn.c) */
	LEAF_UNKNOWN = 64,
	LEAF_RECENT = 128		/* read since the clock's hand passed */
};

typedef struct Leaf
{
	uint64		lsn;		/* written before publication, constant after */
	uint32		value_len;
	uint16		key_len;
	_Atomic uint16 flags;
	/* optional words, key, value follow */
} Leaf;
static_assert(sizeof(Leaf) == 16, "leaf header");

static inline uint16
leaf_flags(const Leaf *l)
{
	/* relaxed: all flags but SEEN are set before publication; SEEN is read under art_mark_seen's protocol */
	return atomic_load_explicit(&((Leaf *) (uintptr_t) l)->flags, memory_order_relaxed);
}

static inline size_t
leaf_key_offset(uint16 flags)
{
	return sizeof(Leaf) + ((flags & LEAF_HAS_EXPIRY) ? 8 : 0) + ((flags & LEAF_HAS_LINK) ? 8 : 0) +
		((flags & LEAF_UNKNOWN) ? 8 : 0);
}

/* leaf_expiry -- not of a tombstone. */
static inline uint64
leaf_expiry(const Leaf *l)
{
	return (leaf_flags(l) & LEAF_HAS_EXPIRY) ? ((const uint64 *) (l + 1))[0] : 0;
}

/* leaf_expired_lsn -- of a tombstone: the expired version that it replaced; LSN_NONE: what it replaced was there. */
static inline Lsn
leaf_expired_lsn(const Leaf *l)
{
	return (leaf_flags(l) & (LEAF_TOMBSTONE | LEAF_HAS_EXPIRY)) == (LEAF_TOMBSTONE | LEAF_HAS_EXPIRY) ? ((const Lsn *) (l + 1))[0] : LSN_NONE;
}

/* leaf_link, leaf_first -- 0 when the leaf has no such word.  Set while the leaf is private. */
static inline Off
leaf_link(const Leaf *l)
{
	uint16		flags = leaf_flags(l);

	return (flags & LEAF_HAS_LINK) ? ((const uint64 *) (l + 1))[(flags & LEAF_HAS_EXPIRY) ? 1 : 0] : 0;
}

static inline Lsn
leaf_first(const Leaf *l)
{
	uint16		flags = leaf_flags(l);

	return (flags & LEAF_UNKNOWN) ?
		((const uint64 *) (l + 1))[((flags & LEAF_HAS_EXPIRY) ? 1 : 0) + ((flags & LEAF_HAS_LINK) ? 1 : 0)] : LSN_NONE;
}

static inline void
leaf_set_link(Leaf *l, Off link)
{
	Assert(leaf_flags(l) & LEAF_HAS_LINK);
	((uint64 *) (l + 1))[(leaf_flags(l) & LEAF_HAS_EXPIRY) ? 1 : 0] = link;
}

static inline void
leaf_set_first(Leaf *l, Lsn first)
{
	uint16		flags = leaf_flags(l);

	Assert(flags & LEAF_UNKNOWN);
	((uint64 *) (l + 1))[((flags & LEAF_HAS_EXPIRY) ? 1 : 0) + ((flags & LEAF_HAS_LINK) ? 1 : 0)] = first;
}

static inline const uint8 *
leaf_key(const Leaf *l)
{
	return (const uint8 *) l + leaf_key_offset(leaf_flags(l));
}

/* inline values only */
static inline const uint8 *
leaf_inline_value(const Leaf *l)
{
	return leaf_key(l) + l->key_len;
}

extern size_t leaf_size(const Leaf *l);			/* of the leaf's own block */
extern uint32 leaf_extent_count(const Leaf *l);
/* leaf_value_part -- address and length of the value from 'offset' to the end of its contiguous part. */
extern const uint8 *leaf_value_part(const Leaf *l, uint64 offset, size_t *len);
extern void leaf_copy_value(const Leaf *l, uint64 offset, size_t len, uint8 *to);

/*
 * leaf_build -- a leaf from a key and the parts of a value; lsn 0.  MEM_NONE when
 * memory is short (nothing is kept).  leaf_free: never published; leaf_retire:
 * unlinked (its extents with it).
 */
extern Off leaf_build(const void *key, uint16 key_len, const BytePart *parts, int part_count,
					  uint16 flags, uint64 expiry) attribute_must_check;
extern void leaf_free(Off leaf);
extern void leaf_retire(Off leaf);
/* leaf_retire_chain -- a leaf and what its links lead to, up to but without 'until' (0: all). */
extern void leaf_retire_chain(Off leaf, Off until);
/* leaf_bytes -- what a leaf takes: its blocks by class size, extents included. */
extern uint64 leaf_bytes(const Leaf *l);
/* leaf_followers_retired -- bytes of what this thread's leaf_retire_chain have retired behind the first leaf of a chain, ever. */
extern _Thread_local uint64 leaf_followers_retired;
/* leaf_copy -- the same version in a new block without the words named in 'drop' (LEAF_HAS_LINK, LEAF_UNKNOWN); shares
 * the extents: whoever replaces the original by it retires the original with leaf_retire_shell.  MEM_NONE. */
extern Off leaf_copy(const Leaf *from, uint16 drop) attribute_must_check;
extern void leaf_free_shell(Off leaf);			/* a copy that was never published: its extents are the original's */
extern void leaf_retire_shell(Off leaf);		/* the block alone */

#endif
