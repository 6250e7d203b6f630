/*
 * store_internal.h -- what the files of access/store share.  For this room alone.
 *
 * StoreShared lies in region STORE:
 *
 *   root      the overlay's root slot: one tree for all databases; a key is a
 *             tree id (4 bytes, big-endian) and the user's bytes
 *   map       database number -> index into tree[]; changed in one step by
 *             FLUSHDB, FLUSHALL and SWAPDB (store_map.c)
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
 *   snapshot_open, snapshot_at, snapshot[]  who else than the present is looked at: the
 *             checkpoint under way (number 0) and clients' snapshots; store_snapshot.c
 *
 *   clock     offset, told, said, safe: store_expiry.c
 *   expire    next, off, and the ring of keys that were deleted because of their
 *             deadline: store_expire.c
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
static_assert(STORE_TREES <= 256, "the map has 8 bits for an index");
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
	int64		deadlines[STORE_TREES];		/* added to the sum of what writers knew of deadlines: what they did not */
	int64		deadline_sum[STORE_TREES];
	uint64		deadline_keys;	/* keys in this base that have a deadline: 0: nobody needs its part of the index */
	uint64		resolved;		/* blind writes that merges have looked up, ever: made - resolved are open */
	/* what the base holds: the map of databases as of the cut, and their keys */
	uint32		tree_id[DATABASE_COUNT];
	uint64		key_count[DATABASE_COUNT];
} StoreBase;
#define STORE_BASES 4

#define STORE_SNAPSHOTS 64			/* with the checkpoint's, which is number 0 */
#define STORE_SNAPSHOT_CHECKPOINT 0
#define STORE_SNAPSHOT_NONE UINT64_C(0)
#define STORE_SNAPSHOT_UNKNOWN UINT64_MAX

/* SnapshotEntry -- a client's snapshot; its owner fills it before it is announced */
typedef struct SnapshotEntry
{
	alignas(CACHE_LINE) _Atomic uint64 state;	/* serial, reason, SNAPSHOT_* (store_snapshot.c); release [snapshot-state] */
	_Atomic uint64 pinned;			/* cut of the root that it reads */
	_Atomic uint64 announced;		/* heads that are linked for it were published above this position of the log */
	_Atomic uint64 opened_us;		/* clock_mono_us */
	_Atomic uint64 client;
	_Atomic uint64 slot;			/* of the process that owns it */
	_Atomic uint32 tree_id[DATABASE_COUNT];	/* the map as of its position: set while the map is locked */
} SnapshotEntry;

/* one line per process slot and eight trees: owners do not share lines */
typedef struct StoreCounts
{
	alignas(CACHE_LINE) _Atomic int64 keys[STORE_TREES];
	_Atomic uint64 tombstones;		/* ever published by this slot */
	_Atomic uint64 retries;			/* publications that lost their CAS */
	_Atomic uint64 blind;			/* leaves published with UNKNOWN and a u of their own, ever */
	_Atomic uint64 linked;			/* leaves published with a link, ever */
	_Atomic uint64 linked_bytes;	/* of versions that became older ones in a chain, ever ... */
	_Atomic uint64 unlinked_bytes;	/* ... and that left one: the sums over all slots differ by what links hold */
	_Atomic uint64 promoted;
	_Atomic uint64 txn_committed;	/* transactions */
	_Atomic uint64 txn_aborted;		/* of others, because they stood still */
	_Atomic uint64 expired;			/* versions deleted or replaced after their deadline, ever */
	_Atomic int64 deadlines[STORE_TREES];		/* keys with a deadline, as far as writers knew what they replaced */
	_Atomic int64 deadline_sum[STORE_TREES];	/* of those deadlines, milliseconds */
} StoreCounts;

/*
 * StoreRange -- nobody but its transaction writes keys of a tree with this prefix.  Filled before its ticket, which is that of
 * the transaction's first range.  A writer may read the prefix while the place is filled for the next one (so its bytes
 * are atomic): then he is inside an epoch that this one's grace period waits for, and may make of it what he will.
 */
#define STORE_RANGES 16
#define STORE_RANGE_HELD 0
#define STORE_RANGE_ENDED 1			/* by somebody who had waited for it too long */
typedef struct StoreRange
{
	_Atomic uint64 ticket;			/* seq_cst [store-announce]; 0: free */
	_Atomic uint64 state;			/* STORE_RANGE_*, or the Off of the descriptor of its owner's commit; acq_rel [range-state] */
	_Atomic uint64 alive_us;		/* clock_mono_us when its owner was at it last */
	_Atomic uint64 patience_us;		/* how long it may stand still from then on */
	uint32		tree_id;			/* its transaction's */
	_Atomic uint32 prefix_len;
	_Atomic uint8 prefix[KEY_MAX];	/* with tree id */
} StoreRange;


typedef struct StoreShared
{
	uint64		magic;
	alignas(CACHE_LINE) ArtRoot root;
	alignas(CACHE_LINE) _Atomic uint32 map_change;	/* 0, or announcing slot + 1 */
	_Atomic uint32 ranges_announced;				/* seq_cst [store-announce]: how many ranges transactions hold */
	_Atomic uint32 next_tree_id;					/* under the announcement */
	_Atomic uint32 map_now;							/* 0 or 1: which map is in force; release [store-map] after the map itself and map_lsn */
	_Atomic uint8 tree_of_db[2][DATABASE_COUNT];	/* the two maps; the other one is written by the next change */
	_Atomic uint64 map_lsn[DATABASE_COUNT];			/* LSN of the record that last changed this database */
	_Atomic uint64 map_record;						/* where the newest MAP record begins; 0: there is none */
	StoreTree	tree[STORE_TREES];
	_Atomic uint64 tombstones_swept;				/* evictor */
	_Atomic uint64 trees_swept;
	alignas(CACHE_LINE) _Atomic uint32 base_index;	/* release [store-base]; written by startup, then by the checkpointer */
	_Atomic uint64 evict_cut;						/* release [store-evict-cut]: checkpointer, a grace period after base_index */
	alignas(CACHE_LINE) _Atomic uint64 snapshot_open;	/* seq_cst [store-snapshot]: a bit for each that is announced; what writers load */
	alignas(CACHE_LINE) _Atomic uint64 snapshot_at[STORE_SNAPSHOTS];	/* STORE_SNAPSHOT_* or its position; seq_cst [snapshot-at] */
	SnapshotEntry snapshot[STORE_SNAPSHOTS];		/* clients' */
	_Atomic uint64 links_from;						/* heads whose links nobody needs any more lie above this; UINT64_MAX: there are none */
	_Atomic uint64 snapshots_closed;				/* ever, with those that were ended: the evictor releases links after each */
	_Atomic uint64 snapshots_opened;
	_Atomic uint64 snapshots_ended[SNAPSHOT_REASONS];
	_Atomic uint64 snapshot_pages;					/* of the base that are kept for snapshots alone; checkpointer, set to 0 when one is ended */
	_Atomic uint64 snapshot_held;					/* bytes of leaves that stay in memory for them; evictor */
	_Atomic uint32 map_lock;						/* 0, or holder's slot + 1 */
	StoreBase	base[STORE_BASES];
	_Atomic uint32 range_lock;						/* 0, or holder's slot + 1 */
	uint64		range_tickets;						/* given out; under range_lock */
	StoreRange	range[STORE_RANGES];
	alignas(CACHE_LINE) _Atomic uint64 cursor_next;
	_Atomic uint64 cursor[STORE_CURSORS];			/* Off of a StoreCursorBlock; release [store-cursor] */
	alignas(CACHE_LINE) _Atomic uint64 clock_offset;	/* of the clock against the monotonic one; only raised */
	_Atomic uint64 clock_told;						/* the highest deadline that a client may have been told has passed; release [store-clock] */
	_Atomic uint64 clock_said;						/* the highest value in a CLOCK record; release [store-clock] after clock_said_lsn */
	_Atomic uint64 clock_said_lsn;					/* of records with a value at or above it */
	_Atomic uint64 clock_safe;						/* a value that no restart comes below */
	alignas(CACHE_LINE) _Atomic uint64 expire_next;	/* seq_cst [store-expire]: the expirer need not look before; UINT64_MAX: it looks now, or there is none */
	_Atomic uint32 expire_off;
	StoreCounts counts[];							/* one per process slot */
} StoreShared;

extern StoreShared *store_shared;

/* ---- links for snapshots: inside the epoch, before the new leaf is published (store_snapshot.c) ---- */
typedef struct StoreOpen
{
	bool		any;			/* some snapshot is open: the new leaf needs a link word */
	bool		unknown;		/* some position is not known yet: everything is linked */
	uint32		count;
	Lsn			at[STORE_SNAPSHOTS];	/* the positions that are known */
} StoreOpen;
extern void store__open_snapshots_list(StoreOpen *open, uint64 mask);
static inline void
store__open_snapshots(StoreOpen *open)
{
	/* acquire: inside the epoch, so that the announcer's grace period waits for us if we have not seen it */
	uint64		mask = atomic_load_explicit(&store_shared->snapshot_open, memory_order_acquire);	/* acquire [store-snapshot] */

	open->any = mask != 0;
	if (unlikely(mask != 0))
		store__open_snapshots_list(open, mask);
}

/* ---- the index of deadlines ---- */
/*
 * A system tree: key = tree id STORE_DEADLINE_TREE, deadline (8 bytes, big-endian,
 * microseconds), then the whole key (tree id, user's bytes) that it is about.  An
 * entry is a hint: a key with a deadline has an entry for that deadline or an
 * earlier one.
 */
#define STORE_DEADLINE_TREE SYSTEM_TREE_DEADLINES
#define DEADLINE_HEAD 12		/* tree id and deadline, before the key */

/*
 * store__has_expired -- by this process' clock, or by what somebody has told a client already: no key comes back.
 * With a snapshot in use by the clock of its opening alone, which had come up to all that was told by then.
 */
static inline bool
store__has_expired(uint64 expiry)
{
	return unlikely(expiry != 0) && (expiry <= store_clock_now ||
		(store_snapshot_in_use == NULL && expiry <= atomic_load_explicit(&store_shared->clock_told, memory_order_acquire)));	/* acquire [store-clock] */
}

/* store__clock_start -- startup: the clock goes on from this value, which is durable. */
extern void store__clock_start(uint64 clock_us);
/* store__clock_log -- inside the epoch, nothing reserved: a CLOCK record with this process' clock; what it gives is a version to write hints with. */
extern WalReserve store__clock_reserve(WalReservation *r);
extern void store__clock_fill(const WalReservation *r);

/* StoreHint -- an entry about to be put in, or taken away, by the writer of the key itself; store_expiry.c */
typedef struct StoreHint
{
	bool		wanted;
	bool		taking;			/* a tombstone for an entry that has fired: not before the key is written */
	bool		published;
	uint64		deadline;
	ArtPos		pos;
	StoreOpen	open;
	Leaf	   *old;			/* what the entry replaces */
	Off			link;			/* ... and how far its chain stays */
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
	if (key_len > 0)
		memcpy(to + DEADLINE_HEAD, key, key_len);
	return DEADLINE_HEAD + key_len;
}

static inline uint64
store__hint_deadline(const uint8 *entry)
{
	uint64		big_endian;

	memcpy(&big_endian, entry + 4, sizeof(big_endian));
	return __builtin_bswap64(big_endian);
}

/*
 * How a writer of keys uses it: prepare (every allocation) - reserve - publish -
 * publish the key - fill - done; abandon whenever the write is given up or starts over.
 */
/*
 * store__hint_prepare -- inside the epoch, before the reservation: takes memory.  'key' with tree
 * id.  STORE_NO_MEMORY; STORE_PARK_MAP: a transaction holds the entry.
 */
extern StoreStatus store__hint_prepare(StoreHint *hint, const uint8 *key, uint32 key_len, uint64 expiry) attribute_must_check;
/* store__hint_publish -- between reservation and publishing the key: the entry is there with this lsn; false: start over. */
extern bool store__hint_publish(StoreHint *hint, Lsn lsn);
/* store__hint_done -- the key is written with this lsn and its record filled in. */
extern void store__hint_done(StoreHint *hint, Lsn lsn);
extern void store__hint_abandon(StoreHint *hint);	/* harmless after publishing, and twice */
/* store__hint_announce -- there is an entry with this deadline since a moment: does the expirer have to wake earlier? */
extern void store__hint_announce(uint64 deadline);
/*
 * store__hint_put -- an entry with a record of its own, ahead of the key: for whoever
 * cannot publish it together with the key.  Outside an epoch.
 */
extern StoreStatus store__hint_put(const uint8 *key, uint32 key_len, uint64 expiry) attribute_must_check;
/* store__hint_needed -- does a new deadline need an entry, seen what is replaced? */
static inline bool
store__hint_needed(const StoreView *old, uint64 expiry)
{
	return expiry != 0 && (!old->present || old->expiry == 0 || old->expiry > expiry);
}
/* store__expired_gate -- an answer shows that a deadline has passed: raises the gate to a log record that says so.  Inside the epoch; may park. */
extern StoreStatus store__expired_gate(uint64 expiry, Lsn *gate);

/* store__fired -- the entry because of which this process is about to delete a key; NULL: none.  store_write then takes it away with the key. */
typedef struct StoreFired
{
	const uint8 *entry;			/* its key */
	uint32		entry_len;
} StoreFired;
extern _Thread_local const StoreFired *store__fired;
/* store__fired_is -- is it about this key (the map may have changed since)? */
static inline bool
store__fired_is(const uint8 *key, uint32 key_len)
{
	return store__fired->entry_len == DEADLINE_HEAD + key_len && memcmp(store__fired->entry + DEADLINE_HEAD, key, key_len) == 0;
}
/* store__fired_prepare -- as store__hint_prepare, for taking it away. */
extern StoreStatus store__fired_prepare(StoreHint *hint) attribute_must_check;

/* store__deadlines_known -- of a tree, as counted up to now: keys with a deadline, and the sum of these in milliseconds. */
extern void store__deadlines_known(uint32 tree_index, int64 *count, int64 *sum);
/* store__count_deadlines -- recovery: adds to both. */
extern void store__count_deadlines(uint32 tree_index, int64 count, int64 sum);

/* store__expire_begin -- the expirer, before its first step (store_expire_open): from the front of the index. */
extern void store__expire_begin(void);

/* store__count_expiry -- what a write of a key changes in the figures about deadlines; 'expiry' of the new version, 0: it has none, or the key is deleted. */
extern void store__count_expiry(uint32 tree_index, const StoreView *old, uint64 expiry);

/* ---- leaves as others must see them ---- */
/* store__resolve -- the plain leaf that counts in place of a descriptor leaf (store_txn.c); NULL: none, look in the base. */
extern const Leaf *store__resolve_descriptor(const Leaf *leaf);
static inline const Leaf *
store__resolve(const Leaf *leaf)
{
	return likely(leaf == NULL || (leaf_flags(leaf) & LEAF_DESCRIPTOR) == 0) ? leaf : store__resolve_descriptor(leaf);
}
/* store__view_leaf -- the view of a leaf (resolved; NULL: absent). */
static inline void
store__view_leaf(StoreView *view, const Leaf *leaf)
{
	view->leaf = leaf;
	view->flat = NULL;
	view->unknown = false;
	view->present = leaf != NULL && (leaf_flags(leaf) & LEAF_TOMBSTONE) == 0;
	view->expiry = view->present ? leaf_expiry(leaf) : 0;
	view->exists = view->present && !store__has_expired(view->expiry);
	view->value_len = view->exists ? leaf->value_len : 0;
	view->lsn = leaf != NULL ? leaf->lsn : LSN_NONE;
}

/* ---- chains ---- */
/* store__link_for -- what a leaf with this lsn that replaces 'old' leads to; only if open->any. */
extern Off store__link_for(const StoreOpen *open, const Leaf *old, Lsn lsn);
/* store__replaced -- the CAS that put a leaf with this link in the place of 'old' was ours: what the new chain does not reach is retired. */
extern void store__replaced_chain(Leaf *old, Off link);
static inline void
store__replaced(Leaf *old, Off link)
{
	if (likely(link == 0 && leaf_link(old) == 0))
		leaf_retire(seg_off(old));
	else
		store__replaced_chain(old, link);
}
/* store__links_account -- chains were retired by others' functions (art_evict, art_sweep): their bytes go to the figures. */
extern void store__links_account(void);
/* store__resolve_at -- of the leaf in the tree, the newest version at or below 's'; NULL: the overlay has none. */
extern const Leaf *store__resolve_at(const Leaf *leaf, Lsn s);

/* ---- what snapshots keep from going (store_snapshot.c) ---- */
/* StoreGuard -- what may leave memory: evict_cut, and the snapshots that are open */
typedef struct StoreGuard
{
	Lsn			cut;			/* evict_cut, read first */
	uint64		closed;			/* snapshots_closed: more may leave when it has changed */
	uint32		count;
	struct
	{
		Lsn			pinned;
		uint64		at;			/* STORE_SNAPSHOT_UNKNOWN or its position */
	}			snapshot[STORE_SNAPSHOTS];
} StoreGuard;
extern void store__guard_take(StoreGuard *guard);
/* store__guard_stale -- would a new one let more leave? */
extern bool store__guard_stale(const StoreGuard *guard);
/* store__snapshot_needs -- of a plain leaf with lsn <= guard->cut: must it stay for a snapshot?  If not, then never again.  Inside an epoch. */
extern bool store__snapshot_needs(const StoreGuard *guard, const Leaf *leaf);
/* store__oldest_pin -- the lowest cut of a root that a snapshot reads; UINT64_MAX: none is open. */
extern Lsn store__oldest_pin(void);
/* store__snapshot_names_tree -- does an open snapshot's map name this tree? */
extern bool store__snapshot_names_tree(uint32 tree_id);
/* store__checkpoint_snapshot -- the checkpointer's: STORE_SNAPSHOT_*, or its cut. */
extern void store__checkpoint_snapshot(uint64 at);
/* store__snapshots_tend -- the evictor: ends what is over a limit, releases links; true: there is more to do at once. */
extern bool store__snapshots_tend(uint64 now_us);
/* store__snapshot_end_oldest -- the evictor: memory is full, and snapshots keep what could leave it.  False: there is none. */
extern bool store__snapshot_end_oldest(SnapshotReason reason);

/* ---- taking back links that nobody needs (store_release.c) ---- */
typedef struct LinkRelease
{
	Lsn			since;			/* heads at or below it are not looked at */
	Lsn			cut;			/* in force: chains begun by a blind write below it have been looked up */
	uint8		from[KEY_MAX];	/* where the walk goes on */
	uint32		from_len;		/* 0: at the first key */
	uint64		looked;			/* leaves that were passed */
	uint64		released;		/* heads with a shorter chain */
	uint64		missed;			/* heads that keep more than is needed: no memory for a copy, or a position is not known yet */
} LinkRelease;
/* store__release_piece -- some heads, in an epoch of its own; true: the end of the tree. */
extern bool store__release_piece(LinkRelease *r);

/* ---- reading as of store_snapshot_in_use (store_at.c) ---- */
extern StoreStatus store__at_read(const StoreKey *key, bool with_value, StoreShow show, void *arg, Lsn *gate);
extern StoreStatus store__at_count(uint32 db, StoreCountJob *job, Lsn *gate);

struct StoreSnapshot
{
	uint32		step;
	uint32		index;			/* in the table, once it has an entry */
	uint64		word;			/* of its state there while it is open */
	uint64		grace;
	bool		locked;			/* we hold the map's lock */
	Lsn			at;				/* s */
	uint64		clock;			/* of expiry, at the opening */
	uint64		client;
	BaseRoot	root;
	uint32		base_tree_id[DATABASE_COUNT];
	uint64		base_key_count[DATABASE_COUNT];
	uint32		tree_id[DATABASE_COUNT];
	bool		counted[DATABASE_COUNT];
	uint64		count[DATABASE_COUNT];
};
/* store__snapshot_alive -- is it still open?  Asked after what was read with it, inside the same epoch. */
extern bool store__snapshot_alive(const StoreSnapshot *snapshot);

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
/* store__look_in_root -- inside the epoch; the overlay has no leaf that counts.  The root in force, or a snapshot's. */
extern Look store__look_in_root(const BaseRoot *root, const uint8 *key, uint32 key_len, bool with_value, StoreView *view);
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
extern void store__txn_sort(StoreTxn *txn);		/* before them: takes memory */
extern int store__txn_seek(StoreTxn *txn, const uint8 *key, uint32 key_len, bool exclusive, bool backward);
extern bool store__txn_entry(const StoreTxn *txn, int index, const uint8 **key, uint32 *key_len, StoreView *view);
/* store__txn_count -- by how many keys the transaction changes a database; looks at those that it wrote blindly. */
extern StoreStatus store__txn_count(StoreTxn *txn, uint32 db, int64 *change);

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
/* for transactions that change the map: announce, describe, switch */
extern StoreStatus store__map_announce(StoreFlushJob *job);
extern void store__map_switch(const WalMapBody *body, Lsn record, Lsn lsn);
extern bool store__tree_touched(uint32 db);
extern uint32 store__trees_free(void);
extern StoreStatus store__txn_flush(StoreTxn *txn, uint32 first, uint32 last);
extern StoreStatus store__txn_swap(StoreTxn *txn, uint32 first, uint32 second);
/* store__tree_id_of -- the tree of a database, as the transaction in use sees it; inside an epoch. */
extern uint32 store__txn_tree(const StoreTxn *txn, uint32 db);
static inline uint32
store__tree_id_of(uint32 db)
{
	return likely(store__txn == NULL) ? store__tree_id(store__tree_index(db)) : store__txn_tree(store__txn, db);
}
extern void store__map_export(WalMapBody *body);
extern void store__map_install(const WalMapBody *body, Lsn lsn, Lsn record);	/* recovery; record: where the newest MAP record begins */

#endif
