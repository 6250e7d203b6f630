/*
 * store_expire.c -- the expirer: takes away what has expired, by the index of deadlines.
 *
 * A step reads the next entries of the index, up to the clock, overlay and base
 * merged, at most BATCH of them, in an epoch of its own; then it looks at the key of
 * each:
 *   - its deadline has passed: the key is deleted by store_write, like by any client
 *     (a DELETE record; the decision sees the very version that it deletes), and the
 *     entry with it
 *   - its deadline is later: an entry for that deadline is put in (store__hint_put),
 *     then this one goes
 *   - it is gone, or has no deadline, or its tree is dropped (then nothing is read for
 *     it): the entry goes
 * So the work is in proportion to what expires; keys without deadlines cost nothing.
 *
 * Taking an entry away.  It must not go while some key still needs it: one whose
 * version has a deadline at or after the entry's, and no other entry.  Everything
 * happens in one epoch: (1) the entry's slot word e is read; (2) the key is looked at;
 * (3) log is reserved, by the DELETE or, if nothing is deleted, by a CLOCK record;
 * (4) a tombstone with that lsn is published by CAS on e.  Let W be a writer that gives
 * the key a deadline which needs an entry.
 *   - W's version is there at (2): then we see the deadline, and there is an entry for
 *     it, or we put one in before we come again
 *   - W publishes its version after (2).  Its CAS finds the word that we saw at (2), for
 *     no word of a key returns within an epoch (store.c), so W decided by what we saw:
 *     something absent or without deadline, and then it puts an entry in; or a deadline
 *     that has one besides ours, and then W puts one in or relies on that one.  If what W
 *     puts in is our entry anew, then e has changed before (4), whose CAS fails, or (4)
 *     was first and W's CAS on the entry fails, and it starts over
 *   - W has published its entry and not yet its version: the entry's lsn is not completed,
 *     and we leave it alone; what the scan has found may have been put in anew since, so
 *     the version at (1) is asked again
 * A delete is (2) and its CAS on the key's word in one: who comes after it sees the key
 * absent.
 *
 * doc/models: m16_deadlines.
 *
 * At every LSN.  The tombstone's lsn is a fresh one, so that of a checkpoint's cut or a
 * snapshot either both the look at the key and the tombstone are above, or the
 * tombstone is at or below and so is what made the entry needless; links keep the entry
 * for those below.  One thing can happen: a tombstone of a DELETE is published after the
 * record is filled in, and a checkpoint's walk may have passed its place by then.  Then
 * the base keeps the entry, and it shows again when the tombstone has left memory: an
 * entry too many, which fires in vain.  The same after a crash, for nothing of the index
 * is in the log but what redo derives from PUT: entries come back, and go again.
 *
 * Where to begin.  A million tombstones at the front of the index must not be walked
 * over again and again until a checkpoint takes them away.  'start' is a bound below
 * which nothing is left to do.  Entries below it can come only from writers, and these
 * say so: the expirer makes expire_next UINT64_MAX before it reads, so any writer
 * lowers it to its entry's deadline; what stood there at the next step lowers
 * 'start'.  Only entries that show again (above), and those whose key could not be read
 * because a page is damaged, are left behind: a pass from the very beginning
 * finds them, when a new cut may have brought any, once in FULL_PASS_US.
 *
 * The base has a part of the index only if some of its keys have deadlines: their
 * number is known, and while it is 0 no page is read.  (What chain of versions with deadlines
 * began after its cut has its entry in the overlay.)
 *
 * Others.  A batch is BATCH keys, each in an epoch of its own; while anybody waits for
 * the log, what is beyond LOG_AHEAD_BYTES is flushed before more is made, so that nobody's
 * flush has to carry a second's worth of deletions; where log or memory have no room it
 * sleeps.
 *
 * Whoever wants to hear of expired keys is told by a function of the rooms above
 * (store_expire_tell), once per key, when it has been deleted.
 *
 * One process, the expirer.  If it dies anywhere, its successor begins at the front,
 * and does what is left to be done; what was done is not done twice, because the key
 * is looked at again.
 */
#include "common/c.h"

#include "access/store/evict.h"
#include "access/store/expire.h"
#include "access/store/store_internal.h"
#include "storage/file/file.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/procsignal.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"
#include "utils/elog.h"

#include <sched.h>
#include <time.h>

#define BATCH 64
#define SCAN_STEPS 1024				/* tombstones and entries of one epoch */
#define PAGES_AHEAD 8
#define LEVELS_MAX 8				/* of pages that are read ahead; a deeper base is read all the same */
#define LOG_AHEAD_BYTES (2 * MIB)
#define LOG_AHEAD_PARTS 4			/* ... of the ring, while nobody waits */
#define LOG_WAIT_MS 10
#define FULL_PASS_US 60000000
#define SLEEP_MAX_US 1000000		/* the wall clock may be set forward */
#define RETRY_MAP_US 200
#define RETRY_MEMORY_US 1000
#define RETRY_FULL_US 100000		/* no memory at all, or no room on disk */

/* Entry -- one that has fired */
typedef struct Entry
{
	Lsn			lsn;
	uint32		key_len;
	uint8		key[KEY_MAX];
} Entry;

/* Expirer -- the process' own */
typedef struct Expirer
{
	uint8		start[KEY_MAX];		/* nothing is left to do below */
	uint32		start_len;
	bool		exclusive;			/* nor at it */
	Entry	   *entry;				/* BATCH of them */
	uint32		count;
	uint32		at;					/* those before have been seen to */
	uint64		next;				/* deadline of the first entry that has not fired; UINT64_MAX: there is none */
	bool		more;				/* the scan stopped at a bound of its own */
	bool		young;				/* ... or at an entry that is being written */
	uint64		full_pass_us;
	Lsn			full_pass_cut;
	BaseKeep   *scan_keep;			/* pages of the index */
	BaseKeep   *keep;				/* ... and of the keys */
	BaseCursor *cursor;
} Expirer;

static Expirer expirer;
static StoreExpireTell tell;		/* NULL: nobody wants to hear */

/* start_at -- the next scan begins with this deadline. */
static void
start_at(uint64 deadline)
{
	uint64		big_endian = __builtin_bswap64(deadline);

	expirer.start_len = store__build_key(expirer.start, STORE_DEADLINE_TREE, &big_endian, sizeof(big_endian));
	expirer.exclusive = false;
}

static void
start_behind(const uint8 *key, uint32 len)
{
	memcpy(expirer.start, key, len);
	expirer.start_len = len;
	expirer.exclusive = true;
}

void
store__expire_begin(void)
{
	if (expirer.entry == NULL)
	{
		expirer.scan_keep = base_keep_create();
		expirer.keep = base_keep_create();
		expirer.cursor = base_cursor_create();
		expirer.entry = malloc(BATCH * sizeof(Entry));
		Verify(expirer.entry != NULL);
	}
	expirer.count = expirer.at = 0;
	start_at(0);
	/* seq_cst [store-expire]: whatever a predecessor left there, all of it is looked at */
	atomic_store_explicit(&store_shared->expire_next, 0, memory_order_seq_cst);
}

void
store_expire_open(const char *data_dir)
{
	base_reader_open(data_dir, seg_control->system_id);
	store__expire_begin();
}

void
store_expire_tell(StoreExpireTell function)
{
	tell = function;
}

bool
store_expire_active(void)
{
	return atomic_load_explicit(&store_shared->expire_off, memory_order_relaxed) == 0;	/* relaxed: a switch */
}

void
store_expire_set_active(bool on)
{
	/* relaxed: a switch; the latch orders */
	atomic_store_explicit(&store_shared->expire_off, !on, memory_order_relaxed);
	latch_set(proc_first_slot(PROC_EXPIRER));
}

/* ---- reading the index ---- */

typedef enum ScanResult
{
	SCAN_DONE,
	SCAN_MISS,
	SCAN_CORRUPT
} ScanResult;

/* Source -- what one of the two cursors stands on; of the overlay first, of the base second */
typedef struct Source
{
	const uint8 *key;			/* NULL: at the end */
	uint32		len;
	Lsn			lsn;
	bool		gone;			/* a tombstone */
} Source;

/* next_overlay -- what holds but the place of an undecided transaction's is not there. */
static void
next_overlay(ArtCursor *c, Source *s)
{
	const Leaf *leaf;
	const Leaf *found;

	do
	{
		found = art_next(c);
		leaf = store__resolve(found);
	} while (found != NULL && leaf == NULL);
	s->key = leaf != NULL ? leaf_key(leaf) : NULL;
	if (leaf == NULL)
		return;
	s->len = leaf->key_len;
	s->lsn = leaf->lsn;
	s->gone = (leaf_flags(leaf) & LEAF_TOMBSTONE) != 0;
}

static ScanResult
next_base(bool any, Source *s)
{
	BaseValue	value;

	s->key = NULL;
	if (!any)
		return SCAN_DONE;
	switch (base_next(expirer.cursor, false, &s->key, &s->len, &value))
	{
		case BASE_FOUND:
			s->lsn = value.lsn;
			s->gone = false;
			return SCAN_DONE;
		case BASE_ABSENT:
			s->key = NULL;
			return SCAN_DONE;
		case BASE_MISS:
			s->key = NULL;
			return SCAN_MISS;
		case BASE_CORRUPT:
			s->key = NULL;
			return SCAN_CORRUPT;
	}
	NotReached();
}

/* order -- as memcmp; a source at its end comes last. */
static int
order(const Source *a, const Source *b)
{
	int			result;

	if (a->key == NULL || b->key == NULL)
		return a->key != NULL ? -1 : b->key != NULL;
	result = memcmp(a->key, b->key, Min(a->len, b->len));
	return result != 0 ? result : a->len < b->len ? -1 : a->len > b->len;
}

/* is_completed -- is the key there, too, that an entry with this lsn was put in for? */
static bool
is_completed(Lsn lsn)
{
	if (lsn <= wal_completed_lsn())
		return true;
	wal_completed_update();
	return lsn <= wal_completed_lsn();
}

/* take -- one entry of the merge; false: the scan ends before it. */
static bool
take(const Source *s, uint64 now)
{
	Entry	   *e = &expirer.entry[expirer.count];
	uint64		deadline = s->len > DEADLINE_HEAD ? store__hint_deadline(s->key) : 0;

	if (deadline > now && !s->gone)
	{
		expirer.next = deadline;
		return false;
	}
	if (s->gone || s->len <= DEADLINE_HEAD)
	{
		if (expirer.count == 0 && deadline <= now)
			start_behind(s->key, s->len);
		return true;
	}
	if (!is_completed(s->lsn))
	{
		expirer.young = true;
		return false;
	}
	e->lsn = s->lsn;
	e->key_len = s->len;
	memcpy(e->key, s->key, s->len);
	expirer.count++;
	return true;
}

/* scan -- the next entries that have fired; inside an epoch. */
static ScanResult
scan(uint64 now)
{
	const StoreBase *base = store__base();
	bool		any = base->root.page.number != 0 && base->deadline_keys != 0;
	ArtCursor  *c = art_cursor(0);
	uint8		prefix[4];
	uint32		prefix_len = store__build_key(prefix, STORE_DEADLINE_TREE, NULL, 0);
	Source		overlay = {0};
	Source		disk = {0};
	ScanResult	result;

	expirer.count = expirer.at = 0;
	expirer.next = UINT64_MAX;
	expirer.more = expirer.young = false;
	art_seek(c, &store_shared->root, prefix, prefix_len, expirer.start, expirer.start_len, expirer.exclusive, false);
	if (any)
		base_seek(expirer.cursor, &base->root, prefix, prefix_len, expirer.start, expirer.start_len,
				  expirer.exclusive, false, PAGES_AHEAD, expirer.scan_keep);
	next_overlay(c, &overlay);
	result = next_base(any, &disk);
	for (uint32 steps = 0; result == SCAN_DONE; steps++)
	{
		int			first = order(&overlay, &disk);

		if (overlay.key == NULL && disk.key == NULL)
			return SCAN_DONE;
		if (steps == SCAN_STEPS || expirer.count == BATCH)
		{
			expirer.more = true;
			return SCAN_DONE;
		}
		if (!take(first <= 0 ? &overlay : &disk, now))
			return SCAN_DONE;
		if (first <= 0)
			next_overlay(c, &overlay);
		if (first >= 0)
			result = next_base(any, &disk);
	}
	expirer.more = true;
	return expirer.count > 0 ? SCAN_DONE : result;
}

/* ---- one entry ---- */

typedef enum KeyState
{
	KEY_NEEDLESS,				/* gone, or without deadline: the entry is not needed */
	KEY_EXPIRED,
	KEY_LATER
} KeyState;

typedef struct Seen
{
	KeyState	state;
	uint64		expiry;
} Seen;

static void
see(const StoreView *view, Seen *seen)
{
	seen->expiry = view->present ? view->expiry : 0;
	if (seen->expiry == 0)
		seen->state = KEY_NEEDLESS;
	else
		seen->state = view->exists ? KEY_LATER : KEY_EXPIRED;
}

static StoreAction
decide_expired(const StoreView *view, StoreChange *change, void *arg)
{
	Seen	   *seen = arg;

	(void) change;
	see(view, seen);
	return seen->state == KEY_EXPIRED ? STORE_DELETE : STORE_KEEP;
}

/* database_of -- the database whose tree it is now; -1: of none. */
static int
database_of(const uint8 *key)
{
	uint32		big_endian;

	memcpy(&big_endian, key, 4);
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		if (store__tree_id(store__tree_index(db)) == __builtin_bswap32(big_endian))
			return (int) db;
	return -1;
}

/* delete_key -- if its deadline has passed; what was seen otherwise. */
static StoreStatus
delete_key(int db, const Entry *e, Seen *seen)
{
	const uint8 *key = e->key + DEADLINE_HEAD;
	uint32		key_len = e->key_len - DEADLINE_HEAD;
	StoreKey	k = {(uint32) db, key_len - 4, key + 4};
	StoreFired	fired = {e->key, e->key_len};
	StoreWritten out;
	StoreStatus status;

	store__fired = &fired;
	status = store_write_head(&k, decide_expired, seen, &out);
	store__fired = NULL;
	if (status == STORE_OK && out.changed)
	{
		if (tell != NULL)
			tell(&k, out.version);
		seen->state = KEY_NEEDLESS;
	}
	return status;
}

typedef enum Drop
{
	DROP_DONE,
	DROP_AGAIN,					/* the key must be looked at again */
	DROP_NO_MEMORY,
	DROP_LOOK,					/* a page first */
	DROP_HELD,					/* a transaction holds the entry */
	DROP_NO_SPACE,
	DROP_DISK_FULL
} Drop;

static StoreHint hint;

/* drop -- (1) to (4) of the essay without a DELETE; inside the epoch.  'armed': there is an entry for this deadline; 0: for none. */
static Drop
drop(const Entry *e, uint64 armed, Look *look)
{
	const uint8 *key = e->key + DEADLINE_HEAD;
	uint32		key_len = e->key_len - DEADLINE_HEAD;
	WalReservation r;
	WalReserve	reserved;

	switch (store__fired_prepare(&hint))
	{
		case STORE_OK:
			break;
		case STORE_NO_MEMORY:
			return DROP_NO_MEMORY;
		default:
			return DROP_HELD;
	}
	if (!hint.wanted)
		return DROP_DONE;		/* there is a tombstone already */
	if (hint.old != NULL && hint.old->lsn != e->lsn && !is_completed(hint.old->lsn))
		return DROP_HELD;		/* put in anew since: its key is about to come */
	if (database_of(key) >= 0)
	{
		StoreView	view;
		Seen		seen;
		bool		complete;
		const Leaf *leaf = store__resolve(art_lookup_complete(&store_shared->root, key, key_len, &complete));

		*look = LOOK_DONE;
		if (leaf != NULL || complete)
			store__view_leaf(&view, leaf);
		else
			*look = store__look_in_root(&store__base()->root, key, key_len, false, &view);
		if (*look != LOOK_DONE)
			return DROP_LOOK;
		see(&view, &seen);
		if (seen.state == KEY_EXPIRED || (seen.state == KEY_LATER && (armed == 0 || seen.expiry < armed)))
			return DROP_AGAIN;
	}
	FAULT_POINT("expire-before-drop");
	reserved = store__clock_reserve(&r);
	if (reserved != WAL_RESERVED)
		return reserved == WAL_NO_SPACE ? DROP_NO_SPACE : DROP_DISK_FULL;
	store__clock_fill(&r);
	store__hint_done(&hint, r.end);
	return DROP_DONE;
}

/* drop_entry -- the entry is not needed, as far as was seen; *again: it is. */
static StoreStatus
drop_entry(const Entry *e, uint64 armed, bool *again)
{
	StoreFired	fired = {e->key, e->key_len};
	uint32		attempts = 0;
	StoreStatus status;

	*again = false;
	for (;;)
	{
		Look		look;
		Drop		result;

		store__fired = &fired;
		epoch_enter();
		result = drop(e, armed, &look);
		store__hint_abandon(&hint);
		epoch_leave();
		store__fired = NULL;
		switch (result)
		{
			case DROP_DONE:
				return STORE_OK;
			case DROP_AGAIN:
				*again = true;
				return STORE_OK;
			case DROP_HELD:
				return STORE_PARK_MAP;
			case DROP_NO_SPACE:
				return STORE_PARK_WAL;
			case DROP_DISK_FULL:
				return STORE_DISK_FULL;
			case DROP_NO_MEMORY:
				if (!store__find_memory(&attempts, 0))
					return evict_hopeless() ? STORE_NO_MEMORY : STORE_PARK_MEMORY;
				break;
			case DROP_LOOK:
				status = store__look_failed(look);
				if (status != STORE_OK)
					return status;
				break;
		}
	}
}

/* fire -- one entry whose time has come. */
static StoreStatus
fire(const Entry *e)
{
	const uint8 *key = e->key + DEADLINE_HEAD;
	uint64		armed = 0;
	bool		again = true;
	StoreStatus status = STORE_OK;

	FAULT_POINT("expire-found");
	/* again: somebody writes the key at this moment; a few times, then in the next step */
	for (int tries = 0; again && status == STORE_OK; tries++)
	{
		Seen		seen = {KEY_NEEDLESS, 0};
		int			db = database_of(key);

		if (tries == 8)
			return STORE_PARK_MAP;
		if (db >= 0)
			status = delete_key(db, e, &seen);
		if (status != STORE_OK)
			return status;
		if (seen.state == KEY_LATER && (armed == 0 || seen.expiry < armed))
		{
			status = store__hint_put(key, e->key_len - DEADLINE_HEAD, seen.expiry);
			if (status != STORE_OK)
				return status;
			armed = seen.expiry;
		}
		status = drop_entry(e, armed, &again);
	}
	return status;
}

/* ---- the step ---- */

static void
pause_us(WaitEvent event, int64 us)
{
	proc_set_wait(event);
	latch_sleep(us);
	proc_set_wait(WAIT_NONE);
}

/* wait_for -- what an entry could not go on without. */
static void
wait_for(StoreStatus status)
{
	switch (status)
	{
		case STORE_PARK_PAGE:
			base_read_wait(expirer.keep);
			break;
		case STORE_PARK_WAL:
			wal_want(wal_insert_lsn(), WAL_NOW);
			if (wal_wait_begin(1, 1))
				pause_us(WAIT_EXPIRER_ROOM, LOG_WAIT_MS * 1000);
			wal_wait_end();
			break;
		case STORE_PARK_MEMORY:
			pause_us(WAIT_EXPIRER_ROOM, RETRY_MEMORY_US);
			break;
		case STORE_NO_MEMORY:
		case STORE_DISK_FULL:
			pause_us(WAIT_EXPIRER_ROOM, RETRY_FULL_US);
			break;
		default:
			pause_us(WAIT_EXPIRER_MAIN, RETRY_MAP_US);
			break;
	}
}

/* look_ahead -- starts all reads of pages that the batch's keys need next; how many.  Inside the epoch but for the reads. */
static bool
look_ahead(void)
{
	bool		missing = false;
	const StoreBase *base;

	epoch_enter();
	base = store__base();
	for (uint32 i = 0; i < expirer.count && base->root.page.number != 0; i++)
	{
		const Entry *e = &expirer.entry[i];
		bool		complete;
		BaseValue	value;

		if (database_of(e->key + DEADLINE_HEAD) < 0 ||
			art_lookup_complete(&store_shared->root, e->key + DEADLINE_HEAD, e->key_len - DEADLINE_HEAD, &complete) != NULL ||
			complete)
			continue;
		missing |= base_get(&base->root, e->key + DEADLINE_HEAD, e->key_len - DEADLINE_HEAD, false, expirer.keep,
							&value) == BASE_MISS;
	}
	epoch_leave();
	if (missing)
		base_read_start(expirer.keep);
	return missing;
}

/* fire_batch -- what is left of the entries that the scan has found; false: one could not go on. */
static bool
fire_batch(void)
{
	StoreStatus status = STORE_OK;

	if (expirer.at == 0)
		for (uint32 level = 0; level < LEVELS_MAX && look_ahead(); level++)
			base_read_wait(expirer.keep);
	while (expirer.at < expirer.count)
	{
		const Entry *e = &expirer.entry[expirer.at];

		status = fire(e);
		if (status == STORE_CORRUPT)
			(void) base_keep_error(expirer.keep);	/* logs it; the full pass looks again */
		else if (status != STORE_OK)
		{
			wait_for(status);
			return false;
		}
		start_behind(e->key, e->key_len);
		expirer.at++;
		FAULT_POINT("expire-dropped");
	}
	base_keep_release(expirer.keep);
	return true;
}

/* keep_log_short -- our deletions must not be what others' flushes wait for; while nobody waits for one, a part of the ring is ours. */
static void
keep_log_short(void)
{
	Lsn			insert = wal_insert_lsn();
	Lsn			flushed = wal_flushed_lsn();
	/* relaxed, both: hints */
	bool		waited = atomic_load_explicit(&wal_shared->wanted, memory_order_relaxed) > flushed ||
		atomic_load_explicit(&wal_shared->wanted_group, memory_order_relaxed) > flushed;
	uint64		most = waited ? Min(LOG_AHEAD_BYTES, wal_shared->ring_size / LOG_AHEAD_PARTS) : wal_shared->ring_size / LOG_AHEAD_PARTS;

	if (insert - Min(insert, flushed) > most && !proc_stop_fast && !proc_stop_smart)
		(void) !wal_wait_flushed(insert - most / 2, LOG_WAIT_MS);
}

/* begin -- where this step's scan begins. */
static void
begin(uint64 mono)
{
	/* seq_cst [store-expire]: before the entries are read; any writer lowers it from now on */
	uint64		lowered = atomic_exchange_explicit(&store_shared->expire_next, UINT64_MAX, memory_order_seq_cst);
	Lsn			cut = store__evict_cut();

#if !EPOCH_TSAN
	atomic_thread_fence(memory_order_seq_cst);	/* seq_cst [store-expire] */
#endif
	if (lowered <= store__hint_deadline(expirer.start))
		start_at(lowered);
	if (cut != expirer.full_pass_cut && mono - expirer.full_pass_us >= FULL_PASS_US)
	{
		expirer.full_pass_cut = cut;
		expirer.full_pass_us = mono;
		start_at(0);
	}
}

/* set_next -- nothing is to be done before this deadline, unless a writer has said otherwise. */
static void
set_next(uint64 next)
{
	uint64		seen = UINT64_MAX;

	while (seen > next)
		if (atomic_compare_exchange_weak_explicit(&store_shared->expire_next, &seen, next,
												  memory_order_seq_cst, memory_order_seq_cst))	/* seq_cst [store-expire] */
			break;
}

/* sleep_us -- until expire_next, as it stands. */
static int64
sleep_us(void)
{
	uint64		next = atomic_load_explicit(&store_shared->expire_next, memory_order_seq_cst);	/* seq_cst [store-expire] */

	store_clock_turn();
	if (next <= store_clock_us())
		return 1;
	return (int64) Min(next - store_clock_us(), (uint64) SLEEP_MAX_US);
}

/* scan_step -- the next batch; false: the index could not be read (now). */
static bool
scan_step(void)
{
	ScanResult	result;

	begin(clock_mono_us());
	epoch_enter();
	result = scan(store_clock_us());
	epoch_leave();
	mem_reclaim();
	if (result == SCAN_DONE)
	{
		base_keep_release(expirer.scan_keep);
		return true;
	}
	if (result == SCAN_MISS)
	{
		base_read_start(expirer.scan_keep);
		base_read_wait(expirer.scan_keep);
		return false;
	}
	(void) base_keep_error(expirer.scan_keep);	/* logs it; what has expired is absent all the same */
	base_keep_release(expirer.scan_keep);
	pause_us(WAIT_EXPIRER_ROOM, RETRY_FULL_US);
	return false;
}

int64
store_expire_step(void)
{
	store_clock_turn();
	if (!store_expire_active())
		return SLEEP_MAX_US;
	store_use_keep(&expirer.keep);
	if (expirer.at == expirer.count && !scan_step())
		return 0;
	if (!fire_batch())
		return 0;
	if (expirer.more)
	{
		keep_log_short();
		(void) sched_yield();
		return 0;
	}
	if (expirer.young)
	{
		set_next(store_clock_us());
		return RETRY_MEMORY_US;
	}
	set_next(expirer.next);
	return sleep_us();
}
