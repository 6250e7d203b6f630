/*
 * store_internal.h -- what the files of access/store share.  For this room alone.
 *
 * StoreShared lies in region STORE:
 *
 *   root      the overlay's root slot: one tree for all databases; a key is a
 *             tree id (4 bytes, big-endian) and the user's bytes
 *   map       database number -> index into tree[]; changed in one step by
 *             FLUSHDB and FLUSHALL (store_map.c)
 *   tree[]    the trees that exist: named by the map (LIVE), or dropped and not
 *             yet swept (DROPPED)
 *   counts    live keys per process slot and tree; only the slot's owner adds,
 *             so no read-modify-write is needed; the sum over slots is exact
 *             whenever nobody is writing.  The sweeper zeroes a tree's column
 *             when it frees the tree: a grace period after the drop nobody adds.
 *   cursors   SCAN's table (store_cursor.c)
 *
 *   base[]    the root in force and those before it; base_index names the one in
 *             force.  An entry is filled, then named (release [store-base]); it is
 *             filled again three checkpoints later, each of which waits for a grace
 *             period, so whoever reads it inside an epoch may go on reading it
 *   adjust[]  with each root: keys that blind writes made and merges have counted
 *             (a key's first blind write counts nothing; design: UNKNOWN)
 *   snapshot  0: none open; STORE_SNAPSHOT_UNKNOWN: announced; else its position
 *
 * map_lock excludes changes of the map against the cut of a checkpoint; writers
 * look at map_change alone.
 *
 * Announcement of a map change: map_change names the slot that announces, plus
 * one.  It is stored before a grace period, and every writer looks at it after
 * it has entered its epoch; hence when the grace period is over no writer is
 * inside that has read the old map.
 */
#ifndef ARTERY_ACCESS_STORE_INTERNAL_H
#define ARTERY_ACCESS_STORE_INTERNAL_H

#include "access/art/art.h"
#include "access/base/base_read.h"
#include "access/store/store.h"
#include "access/wal/wal.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/proc.h"

#define STORE_MAGIC UINT64_C(0x45524f5453545241)
#define STORE_TREES 64
#define STORE_CURSORS 16384
#define STORE_FIRST_TREE_ID 1

enum { TREE_FREE, TREE_LIVE, TREE_DROPPED };

typedef struct StoreTree
{
	_Atomic uint32 state;		/* TREE_*; stored last when a tree is taken */
	_Atomic uint32 id;			/* never used twice */
	_Atomic uint32 touched;		/* has ever been written to */
	_Atomic uint64 drop_lsn;	/* of the MAP record that dropped it */
	_Atomic uint64 drop_epoch;	/* epoch_grace_start() after the drop */
} StoreTree;

/* StoreBase -- a root with what must change in the same moment */
typedef struct StoreBase
{
	BaseRoot	root;
	int64		adjust[STORE_TREES];	/* added to the sum of counts, by tree index; accumulates from root to root */
	uint64		resolved;		/* blind writes that merges have looked up, ever: made - resolved are open */
} StoreBase;
#define STORE_BASES 4

#define STORE_SNAPSHOT_NONE UINT64_C(0)
#define STORE_SNAPSHOT_UNKNOWN UINT64_MAX

/* one line per process slot and eight trees: owners do not share lines */
typedef struct StoreCounts
{
	alignas(CACHE_LINE) _Atomic int64 keys[STORE_TREES];
	_Atomic uint64 tombstones;		/* ever published by this slot */
	_Atomic uint64 retries;			/* publications that lost their CAS */
	_Atomic uint64 blind;			/* leaves published with UNKNOWN and a u of their own, ever */
	_Atomic uint64 linked;			/* leaves published with a link, ever */
	_Atomic uint64 promoted;
	_Atomic uint64 txn_committed;	/* transactions */
	_Atomic uint64 txn_aborted;		/* of others, because they stood still */
} StoreCounts;

/* StoreRange -- nobody but its transaction writes keys of a tree with this prefix.  Filled before its ticket, which is
 * never used twice; who reads an old prefix beside a new ticket is inside an epoch that the new one's grace period waits for. */
#define STORE_RANGES 16
typedef struct StoreRange
{
	_Atomic uint64 ticket;			/* seq_cst [store-announce]; 0: free */
	uint32		tree_id;
	uint32		prefix_len;
	uint8		prefix[KEY_MAX];	/* with tree id */
} StoreRange;

typedef struct StoreShared
{
	uint64		magic;
	alignas(CACHE_LINE) ArtRoot root;
	alignas(CACHE_LINE) _Atomic uint32 map_change;	/* 0, or announcing slot + 1 */
	_Atomic uint32 ranges_announced;				/* seq_cst [store-announce]: how many ranges transactions hold */
	_Atomic uint32 next_tree_id;					/* under the announcement */
	_Atomic uint32 tree_of_db[DATABASE_COUNT];		/* release [store-map] after map_lsn */
	_Atomic uint64 map_lsn[DATABASE_COUNT];			/* LSN of the record that last changed this database */
	_Atomic uint64 map_record;						/* where the newest MAP record begins; 0: there is none */
	StoreTree	tree[STORE_TREES];
	_Atomic uint64 tombstones_swept;				/* evictor */
	_Atomic uint64 trees_swept;
	alignas(CACHE_LINE) _Atomic uint32 base_index;	/* release [store-base]; written by startup, then by the checkpointer */
	_Atomic uint64 evict_cut;						/* release [store-evict-cut]: checkpointer, a grace period after base_index */
	_Atomic uint64 snapshot;						/* seq_cst [store-snapshot]: checkpointer */
	_Atomic uint32 map_lock;						/* 0, or holder's slot + 1 */
	StoreBase	base[STORE_BASES];
	_Atomic uint32 range_lock;						/* 0, or holder's slot + 1 */
	uint64		range_tickets;						/* given out; under range_lock */
	StoreRange	range[STORE_RANGES];
	alignas(CACHE_LINE) _Atomic uint64 cursor_next;
	_Atomic uint64 cursor[STORE_CURSORS];			/* Off of a StoreCursorBlock; release [store-cursor] */
	StoreCounts counts[];							/* one per process slot */
} StoreShared;

extern StoreShared *store_shared;

/* ---- the index of deadlines ---- */
/*
 * A system tree: key = tree id STORE_DEADLINE_TREE, deadline (8 bytes, big-endian,
 * microseconds), then the whole key (tree id, user's bytes) that it is about.  An
 * entry is a hint: a key with a deadline has an entry for that deadline or an
 * earlier one.
 */
#define STORE_DEADLINE_TREE UINT32_C(0xffffff01)

/* StoreHint -- an entry about to be put in, by the writer of the key itself; store_expiry.c */
typedef struct StoreHint
{
	bool		wanted;
	ArtPos		pos;
	Off			leaf;
	uint8		key[KEY_MAX];
	uint32		key_len;
} StoreHint;

/* store__hint_key -- an entry's key for a key with tree id; its length. */
static inline uint32
store__hint_key(uint8 *to, const uint8 *key, uint32 key_len, uint64 expiry)
{
	uint32		tree = __builtin_bswap32(STORE_DEADLINE_TREE);
	uint64		deadline = __builtin_bswap64(expiry);

	memcpy(to, &tree, 4);
	memcpy(to + 4, &deadline, 8);
	memcpy(to + 12, key, key_len);
	return key_len + 12;
}
/* store__hint_prepare -- inside the epoch, before the reservation: takes memory.  'key' with tree id. */
extern ArtResult store__hint_prepare(StoreHint *hint, const uint8 *key, uint32 key_len, uint64 expiry);
/* store__hint_publish -- between reservation and publishing the key: the entry is there with this lsn; false: start over. */
extern bool store__hint_publish(StoreHint *hint, Lsn lsn);
extern void store__hint_abandon(StoreHint *hint);	/* harmless after publishing, and twice */
/* store__hint_needed -- does a new deadline need an entry, seen what is replaced? */
static inline bool
store__hint_needed(const StoreView *old, uint64 expiry)
{
	return expiry != 0 && (!old->present || old->expiry == 0 || old->expiry > expiry);
}
/* store__expired_gate -- an answer shows that a deadline has passed: raises the gate to a log record that says so.  Inside the epoch; may park. */
extern StoreStatus store__expired_gate(uint64 expiry, Lsn *gate);

/* ---- leaves as others must see them ---- */
/* store__resolve -- the plain leaf that counts in place of a descriptor leaf (store_txn.c); NULL: none, look in the base. */
extern const Leaf *store__resolve_descriptor(const Leaf *leaf);
static inline const Leaf *
store__resolve(const Leaf *leaf)
{
	return likely(leaf == NULL || (leaf_flags(leaf) & LEAF_DESCRIPTOR) == 0) ? leaf : store__resolve_descriptor(leaf);
}
/* store__view_leaf -- the view of a leaf (resolved; NULL: absent). */
extern void store__view_leaf(StoreView *view, const Leaf *leaf);

/* ---- links for snapshots: inside the epoch, before the new leaf is published ---- */
typedef struct StoreOpen
{
	bool		any;			/* some snapshot is open: the new leaf needs a link word */
	uint64		snapshot;		/* STORE_SNAPSHOT_* or the position */
} StoreOpen;
extern void store__open_snapshots(StoreOpen *open);
/* store__link_for -- what a leaf with this lsn that replaces 'old' leads to. */
extern Off store__link_for(const StoreOpen *open, const Leaf *old, Lsn lsn);

/* ---- the new value of a change ---- */
/* at most: both the old value and zeros in pieces of LEAF_EXTENT_BYTES, each cut once; then the parts */
#define STORE_NEW_PARTS_MAX (64 * MIB / LEAF_EXTENT_BYTES + 3 + STORE_PARTS_MAX)
extern uint64 store__new_len(const StoreView *view, const StoreChange *change);
/* store__new_parts -- the pieces of the new value, which must be one that fits (store_value_fits); returns their number. */
extern int store__new_parts(const StoreView *view, const StoreChange *change, BytePart *to);

/* store__build_key -- tree id and user's bytes into this thread's key buffer; the length. */
extern uint32 store__build_key(uint8 *to, uint32 tree_id, const void *data, uint32 len);
extern uint32 store__tree_index(uint32 db);			/* acquire [store-map] */
extern uint32 store__tree_id(uint32 tree_index);

static inline void
store__count_add(uint32 tree_index, int64 delta)
{
	_Atomic int64 *cell = &store_shared->counts[my_slot->number].keys[tree_index];

	/* only this process writes the cell; release [store-count]: after the reservation of what is counted */
	atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + delta, memory_order_release);
}

/* store__base -- the root in force; inside an epoch, in which it stays readable. */
static inline const StoreBase *
store__base(void)
{
	return &store_shared->base[atomic_load_explicit(&store_shared->base_index, memory_order_acquire)];	/* acquire [store-base] */
}

static inline Lsn
store__evict_cut(void)
{
	return atomic_load_explicit(&store_shared->evict_cut, memory_order_acquire);	/* acquire [store-evict-cut] */
}

/* store__keep -- the pages that the command in hand keeps, or NULL: then store__keep_make outside the epoch. */
extern BaseKeep *store__keep(void);
extern void store__keep_make(void);
extern void store__view_base(StoreView *view, const BaseValue *value);

/* Look -- what became of looking for a key */
typedef enum Look
{
	LOOK_DONE,				/* the view is set */
	LOOK_NO_KEEP,			/* outside the epoch: store__keep_make, look again */
	LOOK_MISS,				/* outside the epoch: base_read_start, park */
	LOOK_CORRUPT
} Look;
/* store__look_in_base -- inside the epoch; the overlay has no leaf. */
extern Look store__look_in_base(const uint8 *key, uint32 key_len, bool with_value, StoreView *view);
/* store__look -- inside the epoch: overlay, then base; *in_overlay: where it was decided. */
extern Look store__look(const uint8 *key, uint32 key_len, bool with_value, StoreView *view);
/* store__look_failed -- outside the epoch; STORE_OK: look again. */
extern StoreStatus store__look_failed(Look result);

typedef enum WriteLook
{
	WRITE_BLIND,			/* the decision looks at nothing */
	WRITE_HEAD,				/* at whether the key exists, and its version */
	WRITE_VALUE
} WriteLook;

/* ---- the transaction in use by this process; NULL: none (store_txn.c) ---- */
extern _Thread_local StoreTxn *store__txn;
extern StoreStatus store__txn_write(const StoreKey *key, WriteLook wants, StoreDecide decide, void *arg, StoreWritten *out);
extern StoreStatus store__txn_read(const StoreKey *key, bool with_value, StoreShow show, void *arg, Lsn *gate);
/* store__write_parked -- may a writer of this key (with tree id) go on, now that it is inside its epoch?  Some range is announced by somebody else, or the map is changing. */
extern bool store__write_blocked_by(const uint8 *key, uint32 key_len);
static inline bool
store__write_blocked(const uint8 *key, uint32 key_len)
{
	/* seq_cst [store-announce]: the epoch's fence precedes these loads, an announcement its grace period */
	if (likely(atomic_load_explicit(&store_shared->map_change, memory_order_seq_cst) == 0 &&
			   atomic_load_explicit(&store_shared->ranges_announced, memory_order_seq_cst) == 0))
		return false;
	return store__write_blocked_by(key, key_len);
}
/* store__meet_descriptor -- a writer has found a descriptor leaf, inside its epoch: finishes what is decided; STORE_OK: start over at once; STORE_PARK_MAP: it is not decided, later. */
extern StoreStatus store__meet_descriptor(const Leaf *leaf);	/* STORE_NO_MEMORY: as ART_NO_MEMORY */
/*
 * For walks in a transaction: its entries in key order, each written or only read.
 * store__txn_seek -- index of the first entry at or behind a bound (backward: before it);
 * store__txn_entry -- false: there is none; the view only if the entry is written.
 */
extern int store__txn_seek(StoreTxn *txn, const uint8 *key, uint32 key_len, bool exclusive, bool backward);
extern bool store__txn_entry(const StoreTxn *txn, int index, const uint8 **key, uint32 *key_len, StoreView *view);
/* store__txn_count -- by how many keys the transaction changes a database; looks at those that it wrote blindly. */
extern StoreStatus store__txn_count(StoreTxn *txn, uint32 db, int64 *change);
extern bool store__txn_entry_written(const StoreTxn *txn, int index);

/* store__base_publish -- checkpointer (step 6) and startup: 'next' becomes the root in force. */
extern void store__base_publish(const StoreBase *next);
/* store__tree_of_id -- index of the tree with this id in any state but FREE, or -1. */
extern int store__tree_of_id(uint32 tree_id);
/* store__map_try_lock / _unlock -- excludes FLUSHDB, FLUSHALL against the cut. */
extern bool store__map_try_lock(void);
extern void store__map_unlock(void);
/* store__promote -- inside the epoch in which 'base' was read: put a clean copy of a base entry into the overlay, if the key has no leaf there.  False: no memory or no place: left out. */
extern bool store__promote(const uint8 *key, uint32 key_len, const BaseValue *value);

/* store__find_memory -- after MEM_NONE for 'size' bytes: outside the epoch; true: try again; attempts counts up. */
extern bool store__find_memory(uint32 *attempts, uint64 size);

/* store__sweep_tree_whole -- recovery only: remove every key of a tree; how many of them were open blind writes. */
extern uint64 store__sweep_tree_whole(uint32 tree_id);
extern void store__tree_free(uint32 index);
extern int store__tree_take(uint32 id);				/* index, or -1 when the table is full */
extern void store__map_export(WalMapBody *body);
extern void store__map_install(const WalMapBody *body, Lsn lsn, Lsn record);	/* recovery; record: where the newest MAP record begins */

#endif
