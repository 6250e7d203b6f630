/*
 * store.h -- the database as commands see it: overlay over base, logged.
 *
 * One writing function (store_write) through which every mutation goes, one
 * reading function, ordered walks, the map of databases, counts, redo, sweeping.
 * A worker calls it outside an epoch; each call enters and leaves its own.
 * Nothing blocks: what cannot go on now returns a status, and the caller parks
 * the command and runs it again.
 *
 * Every answer, also a negative one, carries a gate: the LSN that must be
 * flushed before the reply may leave (doc/architecture.md, "Reading, and the gate").
 */
#ifndef ARTERY_ACCESS_STORE_STORE_H
#define ARTERY_ACCESS_STORE_STORE_H

#include "common/bytes.h"
#include "common/c.h"
#include "common/wal_format.h"
#include "access/art/leaf.h"

typedef enum StoreStatus
{
	STORE_OK,
	STORE_PARK_WAL,		/* log ring full or segment not ready: run again after any progress of the log (wal_wait_begin(1)) */
	STORE_PARK_MAP,		/* others come first, for a bounded moment: a change of the map, a transaction that is not decided, a grace period: run again soon (next loop turn) */
	STORE_NO_MEMORY,	/* -OOM; see store_memory_errno for why */
	STORE_DISK_FULL,	/* -MISCONF; wal_shared->space_errno */
	STORE_TOO_LARGE,	/* record above a quarter of the ring, value above max_value_size */
	STORE_PARK_PAGE,	/* pages of the base are being read: run again when base_keep_pending(*keep) is 0 (store_use_keep) */
	STORE_PARK_MEMORY,	/* no memory now, but some is being made: run again in a millisecond */
	STORE_CORRUPT,		/* -CORRUPT: a page that the answer needs is damaged; base_keep_error(*keep) */
	STORE_CHANGED,		/* transactions: what was seen has changed meanwhile: store_txn_reset, and all commands again */
	STORE_TXN_TOO_LARGE,	/* transactions: -ERR transaction too large; store_txn_bytes says how large */
	STORE_SNAPSHOTS_FULL,	/* as many snapshots are open as there may be */
	STORE_SNAPSHOT_ENDED	/* the snapshot in use is over a limit: store_snapshot_reason */
} StoreStatus;

/*
 * store_use_keep -- the pages that the command in hand keeps from one run to the
 * next: *keep is made at its first miss.  Whoever runs a command sets it before
 * every run, and releases (base_keep_release) when the command is over, destroys
 * when the connection goes.
 */
struct BaseKeep;
extern void store_use_keep(struct BaseKeep **keep);

/* a user's key; at most KEY_USER_MAX bytes: the caller has checked */
typedef struct StoreKey
{
	uint32		db;
	uint32		len;
	const void *data;
} StoreKey;

/* What a decision function or a reader is shown of a key's present version. */
typedef struct StoreView
{
	const Leaf *leaf;		/* NULL: absent and never seen, dropped, or in the base alone */
	const uint8 *flat;		/* the whole value, when it comes from the base (NULL: it was not asked for) or from the transaction in use */
	bool		exists;		/* a live value: neither absent, nor a tombstone, nor expired */
	bool		present;	/* there is a value, live or expired: what counts keys */
	bool		unknown;	/* blind writes alone: nobody has looked whether the key exists */
	uint64		value_len;
	uint64		expiry;		/* of a value: microseconds since 1970 by store_clock_us(); 0: never */
	Lsn			lsn;		/* of the value or tombstone: the version that clients see; 0 when there is none; STORE_LSN_PENDING */
} StoreView;

/* the version of what the transaction in use has written itself: known when it commits */
#define STORE_LSN_PENDING UINT64_MAX

/*
 * The clock of expiry: microseconds since 1970, the wall clock but that it never
 * runs back, across processes, crashes and restarts (store_expiry.c).
 * store_clock_turn -- once per turn of a process' loop; what store_clock_us says does not change in between.
 */
extern _Thread_local uint64 store_clock_now;	/* this process' copy; of a thread in unit tests */
static inline uint64
store_clock_us(void)
{
	return store_clock_now;
}
extern void store_clock_turn(void);

/* store_view_* -- only inside the callback that was given the view. */
extern void store_view_copy(const StoreView *view, uint64 offset, size_t len, void *to);
/* the whole value in one piece when it is short or comes from the base, else NULL */
extern const uint8 *store_view_inline(const StoreView *view);
/* address and length of the value from 'offset' (below its length) to the end of what lies in one piece there */
extern const uint8 *store_view_part(const StoreView *view, uint64 offset, size_t *len);

/* ---- writing ---- */
typedef enum StoreAction
{
	STORE_KEEP,			/* change nothing: the reply is gated by what was seen */
	STORE_PUT,
	STORE_DELETE		/* of a key that is present; else it becomes KEEP */
} StoreAction;

#define STORE_PARTS_MAX 4
typedef struct StoreChange
{
	BytePart	part[STORE_PARTS_MAX];	/* the new value, gathered */
	int			part_count;
	bool		append_to_old;			/* the new value is the old one followed by the parts; without parts: the same value again */
	bool		patch_old;				/* the new value is the old one with the parts from patch_at on, longer if need be, zeros where neither is */
	uint64		patch_at;
	bool		keep_expiry;			/* an existing key's deadline stays */
	uint64		expiry;					/* else: the new one's deadline (after store_clock_us()); 0: never */
} StoreChange;

/*
 * StoreDecide -- looks at the view, fills 'change' and whatever the reply needs
 * in 'arg'.  Called inside an epoch, maybe several times (each time the whole
 * answer anew); must not sleep, allocate much or make system calls.
 */
typedef StoreAction (*StoreDecide)(const StoreView *view, StoreChange *change, void *arg);

typedef struct StoreWritten
{
	bool		changed;
	bool		existed;	/* before; false where a blind write did not look */
	Lsn			gate;		/* of the reply: the new version if changed, else that of what was seen; or the map's, if that is higher */
	Lsn			version;	/* the new version if changed (STORE_LSN_PENDING in a transaction), else that of what was seen */
} StoreWritten;

/* store_write -- 'out' is set whatever the status: an error that a decision led to is gated as well. */

extern StoreStatus store_write(const StoreKey *key, StoreDecide decide, void *arg, StoreWritten *out) attribute_must_check;
/* store_write_blind -- for decisions that look at nothing (SET without options): a key that is not in memory is not looked for on disk. */
/* store_write_head -- for decisions that do not look at the value (DEL, NX): a long one is not read from disk. */
extern StoreStatus store_write_head(const StoreKey *key, StoreDecide decide, void *arg, StoreWritten *out) attribute_must_check;
extern StoreStatus store_write_blind(const StoreKey *key, StoreDecide decide, void *arg, StoreWritten *out) attribute_must_check;

/* store_value_fits -- may a value be this long?  For commands on several keys, which look at all before they write any. */
extern bool store_value_fits(const StoreKey *key, uint64 value_len);

/* ---- reading ---- */
/*
 * store_read -- calls 'show' inside an epoch with the key's view (exists false when
 * absent); *gate is raised, never lowered.  Not called unless the status is OK.
 * store_read_head -- the same for callers that do not look at the value: long
 * values are not read from disk.
 */
typedef void (*StoreShow)(const StoreView *view, void *arg);
extern StoreStatus store_read(const StoreKey *key, StoreShow show, void *arg, Lsn *gate) attribute_must_check;
extern StoreStatus store_read_head(const StoreKey *key, StoreShow show, void *arg, Lsn *gate) attribute_must_check;
/* store_prefetch_batch -- for pipelines: load the ways to several keys at once, so that their misses overlap; worth it from two on.  Decides nothing. */
#define STORE_PREFETCH_MAX 32
extern void store_prefetch_batch(const StoreKey *keys, int count);

/*
 * store_read_piece -- for values too long to copy in one epoch: copies a piece
 * into 'to' (capacity checked by the caller through store_read first); *same
 * false: the version changed meanwhile, start over.  May park like any read.
 */
extern StoreStatus store_read_piece(const StoreKey *key, Lsn version, uint64 offset, size_t len, void *to, bool *same) attribute_must_check;

/* ---- ordered walks ---- */
/*
 * store_walk -- live keys of a database in byte order (or backward), from 'start'
 * on, at most 'max_steps' leaves looked at (tombstones count), within 'prefix'.
 * 'show' is called inside the epoch for each live key; it returns what to do next.
 * Ends with *resume: bound to go on at (key, exclusive), or done.
 */
typedef enum StoreWalkNext
{
	STORE_WALK_ON,
	STORE_WALK_STOP,		/* enough; resume after this key */
	STORE_WALK_STOP_BEFORE,	/* this key did not fit; resume at it */
	STORE_WALK_HOP			/* go on behind every key that begins with the first hop_len bytes of this one */
} StoreWalkNext;

typedef struct StoreWalk
{
	/* in and out: where to (go) on; key bytes without tree id */
	uint32		db;
	bool		backward;
	bool		from_edge;		/* in: from the first / last key; out: false */
	bool		exclusive;		/* of key */
	uint8		key[KEY_USER_MAX + 1];
	uint32		key_len;
	uint8		prefix[KEY_USER_MAX];
	uint32		prefix_len;
	bool		with_values;	/* show looks at values: long ones are read from disk, too */
	uint32		expected;		/* keys that will be looked at, about; 0: not known.  A hint */
	/* out */
	bool		done;			/* nothing is left in this direction */
	uint32		hop_len;		/* set by show with STORE_WALK_HOP */
	Lsn			gate;			/* raised by everything looked at */
} StoreWalk;

typedef StoreWalkNext (*StoreWalkShow)(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg);
extern StoreStatus store_walk(StoreWalk *walk, uint32 max_steps, StoreWalkShow show, void *arg) attribute_must_check;

/*
 * store_longest_prefix -- the longest live key that 'key' begins with (itself, too),
 * as it is at one moment: *len, or -1 when there is none.  'allowed': one bit for
 * each length that counts, the least bit of the first byte for 0; NULL: all count.
 * Speaks of the present: not for use in a transaction or a snapshot.
 */
extern StoreStatus store_longest_prefix(const StoreKey *key, const uint8 *allowed, int32 *len, Lsn *gate) attribute_must_check;

/* ---- databases ---- */
/*
 * store_flush -- FLUSHDB (db) / FLUSHALL (db < 0): a change of the map in one
 * step.  Needs a grace period: returns STORE_PARK_MAP until it has passed; call
 * again with the same 'job' (zeroed before the first call).  A connection that
 * goes away in between must call store_flush_cancel.
 */
typedef struct StoreFlushJob
{
	uint32		step;
	uint64		grace;
} StoreFlushJob;
extern StoreStatus store_flush(int db, StoreFlushJob *job, Lsn *gate) attribute_must_check;
extern void store_flush_cancel(StoreFlushJob *job);
/* store_swap -- SWAPDB: what one number stood for the other stands for now, in the same manner as store_flush. */
extern StoreStatus store_swap(uint32 first, uint32 second, StoreFlushJob *job, Lsn *gate) attribute_must_check;

/*
 * store_map_trees -- the map of databases for readers of the log: which tree is
 * whose from the MAP record at *record on (0: from the first).  False: it is being
 * changed, ask again.
 */
extern bool store_map_trees(uint32 *tree_id, Lsn *record) attribute_must_check;

/*
 * store_count -- an estimate without any reading: for INFO.
 * store_count_exact -- DBSIZE: bounded steps; STORE_PARK_* as any read, and
 * STORE_OK with job->done false: call again (next loop turn).  'job' zeroed before the first call.
 */
extern uint64 store_count(uint32 db, Lsn *gate);
typedef struct StoreCountJob
{
	bool		done;
	uint64		count;			/* once done */
	/* the store's own from here */
	uint32		step;
	Lsn			root;
	int64		absent;
	uint32		tree_id;
	uint32		from_len;
	uint8		from[KEY_MAX];
} StoreCountJob;
extern StoreStatus store_count_exact(uint32 db, StoreCountJob *job, Lsn *gate) attribute_must_check;

/* ---- transactions: store_txn.c ---- */
/*
 * StoreTxn -- several reads and writes that happen as one.  Private memory of the
 * process that runs it; nothing is locked before store_txn_commit.
 *
 * While a transaction is in use (store_txn_use), every store_ function of this
 * process speaks of the database as the transaction sees it: what it wrote itself,
 * else what is there; it notes which version of which key it was shown, and which
 * ranges it walked.  Writes stay in its private memory.  So commands run in it as
 * they are, over as many turns as they need, and may park.
 *
 * store_txn_commit puts a descriptor leaf on every key that was read, written or
 * watched, and looks whether all versions still are what was shown: then it
 * writes one log record, and one CAS makes all of it visible.  STORE_CHANGED: they
 * are not: the commands must run again from the beginning, after store_txn_reset.
 */
typedef struct StoreTxn StoreTxn;

typedef struct StoreCommitted
{
	Lsn			version;		/* of everything that was written; LSN_NONE: nothing was */
	Lsn			gate;			/* of the reply */
	bool		broken;			/* a watched key has changed, or an assertion fails: nothing was done */
} StoreCommitted;

extern StoreTxn *store_txn_create(void);
extern void store_txn_destroy(StoreTxn *txn);	/* withdraws what it has announced */
extern void store_txn_reset(StoreTxn *txn);		/* as new, but for watched keys, announced ranges, and the number of attempts */
/* store_txn_begin -- before the commands run, each time: STORE_PARK_MAP: call again.  Who has been overtaken too often keeps others out from here on. */
extern StoreStatus store_txn_begin(StoreTxn *txn) attribute_must_check;
extern void store_txn_use(StoreTxn *txn);		/* NULL: none */
extern StoreTxn *store_txn_in_use(void);
/* store_txn_watch -- the key must have this version (as store_read_head showed it: lsn, exists) when the transaction commits; any time before. */
extern void store_txn_watch(StoreTxn *txn, const StoreKey *key, Lsn version, bool existed);
/* store_txn_break -- an assertion has failed: the commit will say broken, gated by what was seen. */
extern void store_txn_break(StoreTxn *txn);
/*
 * store_txn_commit -- STORE_PARK_*: call again.  Also when nothing was written: then
 * all that was read is made sure to have been there at one moment.
 */
extern StoreStatus store_txn_commit(StoreTxn *txn, StoreCommitted *out) attribute_must_check;
/* store_txn_bytes -- log that it would take so far; above store_txn_bytes_max() it is refused (STORE_TXN_TOO_LARGE). */
extern uint64 store_txn_bytes(const StoreTxn *txn);
extern uint64 store_txn_bytes_max(void);
/*
 * store_txn_range -- nobody else writes keys of 'db' with this prefix until the
 * transaction ends: STORE_PARK_MAP until that holds.  Walks and counts in a
 * transaction ask for their range themselves.  Others end it when this process stands
 * still: the next call here says STORE_CHANGED then, or the commit.
 */
extern StoreStatus store_txn_range(StoreTxn *txn, uint32 db, const void *prefix, uint32 prefix_len) attribute_must_check;

/* ---- snapshots: store_snapshot.c ---- */
/*
 * StoreSnapshot -- the database as of one position of the log.  While one is in use
 * (store_use_snapshot), reads, walks and counts of this process speak of that moment,
 * its clock of expiry included, whatever is written, checkpointed or evicted.
 * It may be ended by a limit at any time; then reads say STORE_SNAPSHOT_ENDED.
 */
typedef struct StoreSnapshot StoreSnapshot;

typedef enum SnapshotReason
{
	SNAPSHOT_TIMEOUT,		/* snapshot_timeout */
	SNAPSHOT_BYTES,			/* snapshot_max_bytes */
	SNAPSHOT_MEMORY,		/* memory_limit: memory was full, and it kept what could have left */
	SNAPSHOT_TREES,			/* FLUSHDB: the table of trees was full, and it kept dropped ones */
	SNAPSHOT_REASONS
} SnapshotReason;

extern StoreSnapshot *store_snapshot_create(uint64 client);
/* store_snapshot_open -- STORE_PARK_MAP: call again; STORE_SNAPSHOTS_FULL.  Needs a grace period. */
extern StoreStatus store_snapshot_open(StoreSnapshot *snapshot) attribute_must_check;
extern void store_snapshot_close(StoreSnapshot *snapshot);	/* in whatever state it is; NULL is harmless */
extern Lsn store_snapshot_lsn(const StoreSnapshot *snapshot);
/* store_snapshot_reason -- after STORE_SNAPSHOT_ENDED: the name of the setting. */
extern const char *store_snapshot_reason(const StoreSnapshot *snapshot);
/* store_use_snapshot -- NULL: the present.  Whoever runs a command sets it before every run and takes it back afterwards. */
extern void store_change_snapshot(StoreSnapshot *snapshot);
extern _Thread_local StoreSnapshot *store_snapshot_in_use;
static inline void
store_use_snapshot(StoreSnapshot *snapshot)
{
	if (unlikely(store_snapshot_in_use != snapshot))
		store_change_snapshot(snapshot);
}

#define STORE_SNAPSHOTS_MAX 63		/* open at a time */
typedef struct StoreSnapshotInfo
{
	Lsn			lsn;			/* 0: it is being opened */
	Lsn			base_cut;		/* of the root that it reads */
	uint64		client;
	uint64		age_us;
	const char *ended;			/* by which setting; NULL: it is open */
} StoreSnapshotInfo;
/* store_snapshot_list -- all of the moment; how many. */
extern uint32 store_snapshot_list(StoreSnapshotInfo out[STORE_SNAPSHOTS_MAX]);

typedef struct StoreSnapshotFigures
{
	uint64		open;
	Lsn			oldest_lsn;		/* 0: none */
	uint64		oldest_age_us;
	uint64		opened;			/* ever */
	uint64		linked_bytes;	/* of older versions */
	uint64		held_bytes;		/* of leaves that could leave memory but for snapshots, as far as the evictor has met them */
	uint64		page_bytes;		/* of pages of the base that are set aside for them alone */
	uint64		ended[SNAPSHOT_REASONS];
} StoreSnapshotFigures;
extern void store_snapshot_figures(StoreSnapshotFigures *out);

/* ---- SCAN cursors: numbers that every worker understands (region STORE) ---- */
/* store_cursor_save -- remembers the key to go on after; 0: out of memory.  The number is never 0. */
extern uint64 store_cursor_save(uint32 db, const void *key, uint32 key_len);
/* store_cursor_load -- false: unknown or expired (overwritten by 16,384 later ones). */
extern bool store_cursor_load(uint64 cursor, uint32 db, uint8 *key, uint32 *key_len) attribute_must_check;

typedef struct StoreFigures
{
	Lsn			evict_cut;
	uint64		promoted;		/* keys copied into memory because they were read */
	uint64		blind_open;		/* keys written blindly that no merge has looked up yet */
	uint64		txn_committed;	/* transactions, those that only read among them */
	uint64		txn_aborted;	/* by those who wanted their keys */
	uint64		expired;		/* versions deleted or replaced after their deadline */
} StoreFigures;
extern void store_figures(StoreFigures *out);

/* store_deadlines -- keys of a database that have a deadline, about, and the average time that they have left: for INFO. */
extern uint64 store_deadlines(uint32 db, uint64 *average_ttl_ms);

/* ---- background work: access/store/checkpoint.h, access/store/evict.h ---- */

/* ---- recovery: startup process ---- */
/* store_recover -- control file, redo, sync of the tail, first segment of this run, control slot RUNNING.  FATAL on any damage. */
extern void store_recover(const char *data_dir);
/* store_init_directory -- artery --init: data/base, wal/, control; FATAL unless the directory is empty or absent but for artery.conf. */
extern void store_init_directory(const char *data_dir);

extern size_t store_region_size(void);
extern void store_region_init(void *region);

#endif
