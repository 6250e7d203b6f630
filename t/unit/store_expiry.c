/*
 * store_expiry.c -- deadlines in one process: clock, gate, index, expirer, against oracles; then threads.
 *
 * The segment is private memory and the base stays empty: what a checkpoint makes of the
 * index is t/510's.  The wall clock is this test's: it starts at START and moves when the test says so; the
 * monotonic clock runs on, by less than a deadline here is away.
 */
#include "unit_store.h"

#include "access/store/expire.h"
#include "storage/file/file_internal.h"
#include "utils/clock.h"

#include <time.h>

#define SECOND UINT64_C(1000000)
#define FAR (1000 * SECOND)		/* further than a test runs */
#define THREADS 3

static int
setup(void **state)
{
	(void) unit_store_setup(state);
	proc_attach(proc_first_slot(PROC_EXPIRER));
	atomic_store(clock_shift_us, 0);
	store_clock_now = 0;
	store__fired = NULL;
	art_root_set_complete(&store_shared->root);
	store_clock_turn();
	store__expire_begin();
	for (int i = 0; i < 20; i++)
		mem_keep_ahead();		/* as the turns of a loop before the first client */
	return 0;
}

static int
teardown(void **state)
{
	file__fault_arm("");
	return unit_segment_teardown(state);
}

/* move_wall -- the operator sets the clock. */
static void
move_wall(int64 us)
{
	atomic_fetch_add(clock_shift_us, us);
	store_clock_turn();
}

static void
flush_all(void)
{
	wal_completed_update();
	atomic_store(&wal_shared->flushed, wal_completed_lsn());
}

/* ---- small commands ---- */

typedef struct Put
{
	uint64		expiry;
	bool		keep;
	bool		delete;
} Put;

static StoreAction
decide_put(const StoreView *view, StoreChange *change, void *arg)
{
	Put		   *put = arg;

	(void) view;
	if (put->delete)
		return STORE_DELETE;
	change->part[0].data = "value";
	change->part[0].len = 5;
	change->part_count = 1;
	change->keep_expiry = put->keep;
	change->expiry = put->expiry;
	return STORE_PUT;
}

static StoreWritten
put_full(uint32 db, const char *key, Put put)
{
	StoreKey	k = {db, (uint32) strlen(key), key};
	StoreWritten out;

	assert_int_equal(store_write_head(&k, decide_put, &put, &out), STORE_OK);
	return out;
}

/* put -- with this deadline; 0: without. */
static StoreWritten
put(const char *key, uint64 expiry)
{
	return put_full(0, key, (Put) {.expiry = expiry});
}

static StoreWritten
delete(const char *key)
{
	return put_full(0, key, (Put) {.delete = true});
}

static void
show_exists(const StoreView *view, void *arg)
{
	*(bool *) arg = view->exists;
}

static bool
exists(const char *key, Lsn *gate)
{
	StoreKey	k = {0, (uint32) strlen(key), key};
	bool		is = false;
	Lsn			dummy = LSN_NONE;

	assert_int_equal(store_read_head(&k, show_exists, &is, gate != NULL ? gate : &dummy), STORE_OK);
	return is;
}

/* present -- in memory, whether its deadline has passed or not. */
static bool
present(const char *key)
{
	uint8		bytes[KEY_MAX];
	uint32		len = store__build_key(bytes, store__tree_id(store__tree_index(0)), key, (uint32) strlen(key));
	const Leaf *leaf;
	bool		is;

	epoch_enter();
	leaf = art_lookup(&store_shared->root, bytes, len);
	is = leaf != NULL && (leaf_flags(leaf) & LEAF_TOMBSTONE) == 0;
	epoch_leave();
	return is;
}

/* has_entry -- is there a live entry for this key at exactly this deadline? */
static bool
has_entry(const char *key, uint64 deadline)
{
	uint8		bytes[KEY_MAX];
	uint8		entry[KEY_MAX];
	uint32		len = store__build_key(bytes, store__tree_id(store__tree_index(0)), key, (uint32) strlen(key));
	const Leaf *leaf;
	bool		is;

	len = store__hint_key(entry, bytes, len, deadline);
	epoch_enter();
	leaf = art_lookup(&store_shared->root, entry, len);
	is = leaf != NULL && (leaf_flags(leaf) & LEAF_TOMBSTONE) == 0;
	epoch_leave();
	return is;
}

/* entries -- live ones of the index. */
static uint64
entries(void)
{
	ArtCursor  *c = art_cursor(0);
	uint8		prefix[4];
	uint32		len = store__build_key(prefix, STORE_DEADLINE_TREE, NULL, 0);
	uint64		count = 0;
	const Leaf *leaf;

	epoch_enter();
	art_seek(c, &store_shared->root, prefix, len, NULL, 0, false, false);
	while ((leaf = art_next(c)) != NULL)
		count += (leaf_flags(leaf) & LEAF_TOMBSTONE) == 0;
	epoch_leave();
	return count;
}

static uint64
keys(void)
{
	Lsn			gate = LSN_NONE;

	return store_count(0, &gate);
}

static uint64
with_deadline(void)
{
	uint64		average;

	return store_deadlines(0, &average);
}

/* steps -- of the expirer until it would sleep; how long. */
static int64
steps(void)
{
	for (int i = 0; i < 100000; i++)
	{
		int64		sleep = store_expire_step();

		flush_all();
		if (sleep > 1000)
			return sleep;
	}
	fail_msg("the expirer does not come to an end");
	return 0;
}

/* ---- the clock ---- */

static void
test_clock_never_runs_back(void **state)
{
	uint64		before = store_clock_us();

	(void) state;
	assert_true(before >= clock_wall_us() - SECOND);
	move_wall(-3600 * (int64) SECOND);
	assert_true(store_clock_us() >= before);
	assert_true(store_clock_us() < before + 60 * SECOND);
	before = store_clock_us();
	usleep(20000);
	store_clock_turn();
	assert_true(store_clock_us() >= before + 20000);	/* it goes on at its pace */
	move_wall(7200 * (int64) SECOND);
	assert_true(store_clock_us() >= before + 3599 * SECOND);	/* a step forward is taken over */
	before = store_clock_us();
	store__clock_start(before + FAR);	/* as recovery does */
	assert_true(store_clock_us() >= before + FAR);
}

/* another process whose copy of the clock is older does not show what this one has called dead */
static void
test_clock_of_others(void **state)
{
	uint64		now = store_clock_us();
	Lsn			gate = LSN_NONE;

	(void) state;
	put("k", now + FAR);
	assert_true(exists("k", NULL));
	move_wall((int64) FAR + (int64) SECOND);
	assert_false(exists("k", &gate));
	store_clock_now = now;		/* the other one */
	assert_false(exists("k", &gate));
	/* a deadline that nobody has spoken of */
	put("l", now + FAR + SECOND / 2);
	assert_true(store_clock_now == now);
}

/* ---- the gate ---- */

static void
test_absence_is_gated(void **state)
{
	uint64		now = store_clock_us();
	Lsn			gate = LSN_NONE;
	Lsn			first;
	Lsn			insert;

	(void) state;
	put("k", now + FAR);
	put("l", now + FAR + SECOND);
	put("m", now + 2 * FAR);
	flush_all();
	move_wall((int64) FAR + 2 * (int64) SECOND);
	insert = wal_insert_lsn();
	assert_false(exists("k", &gate));
	assert_true(gate > insert);	/* a record that says how late it is */
	assert_int_equal(wal_insert_lsn(), gate);
	first = gate;
	gate = LSN_NONE;
	assert_false(exists("l", &gate));
	assert_int_equal(gate, first);	/* the same one covers this deadline */
	assert_int_equal(wal_insert_lsn(), first);
	flush_all();
	gate = LSN_NONE;
	assert_false(exists("k", &gate));
	assert_true(gate <= wal_flushed_lsn());
	/* from now on it needs no gate at all but the version's own, however many records follow */
	move_wall((int64) FAR);
	gate = LSN_NONE;
	assert_false(exists("m", &gate));
	assert_true(gate > wal_flushed_lsn());
	gate = LSN_NONE;
	assert_false(exists("k", &gate));
	assert_true(gate <= wal_flushed_lsn());
	/* what recovery has begun with is safe */
	put("n", store_clock_us() + SECOND);
	store__clock_start(store_clock_us() + FAR);
	insert = wal_insert_lsn();
	gate = LSN_NONE;
	assert_false(exists("n", &gate));
	assert_int_equal(wal_insert_lsn(), insert);
}

static StoreAction
decide_refuse(const StoreView *view, StoreChange *change, void *arg)
{
	(void) change;
	*(bool *) arg = view->exists;
	return STORE_KEEP;
}

static StoreWalkNext
count_shown(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg)
{
	(void) walk;
	(void) key;
	(void) key_len;
	(void) view;
	(*(int *) arg)++;
	return STORE_WALK_ON;
}

static void
test_refusals_and_walks_are_gated(void **state)
{
	static StoreWalk walk;
	uint64		now = store_clock_us();
	StoreKey	k = {0, 1, "k"};
	StoreWritten out;
	bool		saw = true;
	int			shown = 0;
	Lsn			insert;

	(void) state;
	put("k", now + FAR);
	put("l", now + 2 * FAR);
	put("x", 0);
	move_wall((int64) FAR + (int64) SECOND);
	insert = wal_insert_lsn();
	assert_int_equal(store_write_head(&k, decide_refuse, &saw, &out), STORE_OK);
	assert_false(saw);
	assert_false(out.changed);
	assert_true(out.gate > insert);
	move_wall((int64) FAR);
	insert = wal_insert_lsn();
	memset(&walk, 0, sizeof(walk));
	walk.from_edge = true;
	assert_int_equal(store_walk(&walk, 1000, count_shown, &shown), STORE_OK);
	assert_int_equal(shown, 1);
	assert_true(walk.gate > insert);
	/* a writer that replaces what has expired: its own record says all */
	insert = wal_insert_lsn();
	out = put("k", 0);
	assert_false(out.existed);
	assert_int_equal(out.gate, out.version);
	assert_int_equal(wal_insert_lsn(), out.version);
}

static void
test_full_disk_and_full_ring(void **state)
{
	uint64		now = store_clock_us();
	StoreKey	k = {0, 1, "k"};
	bool		is = true;
	Lsn			gate = LSN_NONE;

	(void) state;
	put("k", now + FAR);
	flush_all();
	move_wall((int64) FAR + (int64) SECOND);
	atomic_store(&wal_shared->prepared, wal_insert_lsn());
	assert_int_equal(store_read_head(&k, show_exists, &is, &gate), STORE_PARK_WAL);	/* a segment is being made */
	atomic_store(&wal_shared->space_errno, 28);
	assert_false(exists("k", NULL));	/* reads go on */
	assert_int_equal(entries(), 1);
	(void) store_expire_step();
	assert_true(present("k"));	/* a deletion cannot be logged */
	atomic_store(&wal_shared->prepared, UINT64_C(1) << 50);
	atomic_store(&wal_shared->space_errno, 0);
	(void) steps();
	assert_false(present("k"));
	assert_int_equal(entries(), 0);
}

/* ---- the index ---- */

static void
test_entries_come_when_needed(void **state)
{
	uint64		now = store_clock_us();

	(void) state;
	put("k", now + FAR);
	assert_true(has_entry("k", now + FAR));
	assert_int_equal(entries(), 1);
	put("k", now + 2 * FAR);	/* later: the earlier one will do */
	assert_int_equal(entries(), 1);
	put_full(0, "k", (Put) {.keep = true});
	assert_int_equal(entries(), 1);
	put("k", now + FAR / 2);	/* earlier: one of its own */
	assert_int_equal(entries(), 2);
	assert_true(has_entry("k", now + FAR / 2));
	put("k", 0);
	put("k", now + 3 * FAR);	/* nothing is known of what there was before */
	assert_int_equal(entries(), 3);
	delete("k");
	put("k", now + 3 * FAR);	/* the same again */
	assert_int_equal(entries(), 3);
	assert_int_equal(with_deadline(), 1);
	assert_int_equal(keys(), 1);
	put("plain", 0);
	assert_int_equal(entries(), 3);
	assert_int_equal(with_deadline(), 1);
	delete("k");
	assert_int_equal(with_deadline(), 0);
}

static void
test_what_has_expired_goes(void **state)
{
	uint64		now = store_clock_us();
	StoreFigures figures;
	char		name[32];

	(void) state;
	for (int i = 0; i < 1000; i++)
	{
		snprintf(name, sizeof(name), "k%d", i);
		put(name, i % 2 == 0 ? now + FAR + (uint64) i : now + 3 * FAR);
	}
	put("plain", 0);
	assert_true(steps() > 0);
	assert_int_equal(keys(), 1001);
	move_wall((int64) FAR + (int64) SECOND);
	(void) steps();
	for (int i = 0; i < 1000; i++)
	{
		snprintf(name, sizeof(name), "k%d", i);
		assert_int_equal(present(name), i % 2 != 0);
	}
	assert_true(present("plain"));
	assert_int_equal(keys(), 501);
	assert_int_equal(entries(), 500);
	assert_int_equal(with_deadline(), 500);
	store_figures(&figures);
	assert_int_equal(figures.expired, 500);
	/* nothing is left: no further work, and a sleep */
	assert_true(steps() > 1000);
	move_wall(3 * (int64) FAR);
	(void) steps();
	assert_int_equal(keys(), 1);
	assert_int_equal(entries(), 0);
	assert_int_equal(with_deadline(), 0);
}

static void
test_hints_fire_in_vain(void **state)
{
	uint64		now = store_clock_us();
	StoreFlushJob job = {0};
	Lsn			gate;

	(void) state;
	put("gone", now + FAR);
	delete("gone");
	put("forever", now + FAR);
	put("forever", 0);
	put("later", now + FAR);
	put("later", now + 3 * FAR);
	put_full(1, "dropped", (Put) {.expiry = now + FAR});
	gate = LSN_NONE;
	while (store_flush(1, &job, &gate) != STORE_OK)
		continue;
	assert_int_equal(entries(), 4);
	move_wall((int64) FAR + (int64) SECOND);
	(void) steps();
	assert_int_equal(entries(), 1);
	assert_true(has_entry("later", now + 3 * FAR));	/* armed again */
	assert_true(exists("forever", NULL));
	assert_true(exists("later", NULL));
	move_wall(3 * (int64) FAR);
	(void) steps();
	assert_int_equal(entries(), 0);
	assert_false(present("later"));
	assert_true(present("forever"));
	assert_int_equal(keys(), 1);
}

static void
test_writers_wake_the_expirer(void **state)
{
	uint32		expirer = proc_first_slot(PROC_EXPIRER);
	uint64		now = store_clock_us();

	(void) state;
	(void) steps();
	latch_reset();
	put("first", now + FAR);
	store_clock_turn();			/* the writer's next turn */
	assert_int_equal(atomic_load(&proc_slot(expirer)->latch) & LATCH_SET, LATCH_SET);
	(void) steps();
	latch_reset();
	put("second", now + 2 * FAR);
	store_clock_turn();
	assert_int_equal(atomic_load(&proc_slot(expirer)->latch) & LATCH_SET, 0);	/* not the earliest */
	put("third", now + FAR / 2);
	store_clock_turn();
	assert_int_equal(atomic_load(&proc_slot(expirer)->latch) & LATCH_SET, LATCH_SET);
	/* a deadline in what the expirer has behind it already */
	move_wall(4 * (int64) FAR);
	(void) steps();
	assert_int_equal(keys(), 0);
	put("past", now + FAR / 4);
	assert_false(exists("past", NULL));
	(void) steps();
	assert_false(present("past"));
	assert_int_equal(entries(), 0);
}

static void
test_switch(void **state)
{
	uint64		now = store_clock_us();

	(void) state;
	put("k", now + FAR);
	move_wall(2 * (int64) FAR);
	store_expire_set_active(false);
	assert_true(store_expire_step() > 1000);
	assert_true(present("k"));
	assert_false(exists("k", NULL));
	store_expire_set_active(true);
	(void) steps();
	assert_false(present("k"));
}

static int	heard_count;
static char heard_name[32];
static uint32 heard_db;

/* hear -- keys go in the order of their deadlines. */
static void
hear(const StoreKey *key, Lsn lsn)
{
	assert_true(lsn > UNIT_STORE_FIRST_LSN);
	assert_false(epoch_inside());
	assert_true(key->len < sizeof(heard_name));
	memcpy(heard_name, key->data, key->len);
	heard_name[key->len] = '\0';
	heard_db = key->db;
	if (heard_count < 100)
		assert_int_equal(atoi(heard_name + 1), heard_count);
	heard_count++;
}

static void
test_who_wants_hears(void **state)
{
	uint64		now = store_clock_us();
	char		name[32];

	(void) state;
	put("before", now + FAR);
	move_wall(2 * (int64) FAR);
	(void) steps();
	heard_count = 0;
	store_expire_tell(hear);
	now = store_clock_us();
	for (int i = 0; i < 100; i++)
	{
		snprintf(name, sizeof(name), "k%03d", i);
		put(name, now + FAR);
	}
	put_full(3, "", (Put) {.expiry = now + FAR + 1});
	put("stays", now + 100 * FAR);
	move_wall(2 * (int64) FAR);
	(void) steps();
	store_expire_tell(NULL);
	assert_int_equal(heard_count, 101);
	assert_string_equal(heard_name, "");
	assert_int_equal(heard_db, 3);
}

/* ---- against an oracle ---- */

#define ORACLE_KEYS 60

typedef struct Oracle
{
	bool		there;
	uint64		expiry;
} Oracle;

/* check -- every key as the oracle has it; every deadline with an entry at or before it. */
static void
check(const Oracle *oracle)
{
	uint64		live = 0;
	uint64		deadlines = 0;
	char		name[32];

	for (int i = 0; i < ORACLE_KEYS; i++)
	{
		const Oracle *o = &oracle[i];
		bool		is = o->there && (o->expiry == 0 || o->expiry > store_clock_us());

		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(exists(name, NULL), is);
		live += is;
		deadlines += is && o->expiry != 0;
	}
	assert_true(keys() >= live);
	assert_true(with_deadline() >= deadlines);
}

/* covered -- has the key an entry at or before its deadline? */
static bool
covered(const char *name, uint64 expiry)
{
	ArtCursor  *c = art_cursor(0);
	uint8		prefix[4];
	uint32		len = store__build_key(prefix, STORE_DEADLINE_TREE, NULL, 0);
	bool		found = false;
	const Leaf *leaf;

	epoch_enter();
	art_seek(c, &store_shared->root, prefix, len, NULL, 0, false, false);
	while (!found && (leaf = art_next(c)) != NULL && store__hint_deadline(leaf_key(leaf)) <= expiry)
		found = (leaf_flags(leaf) & LEAF_TOMBSTONE) == 0 && leaf->key_len == DEADLINE_HEAD + 4 + strlen(name) &&
			memcmp(leaf_key(leaf) + DEADLINE_HEAD + 4, name, strlen(name)) == 0;
	epoch_leave();
	return found;
}

static void
test_random(void **state)
{
	static Oracle oracle[ORACLE_KEYS];
	char		name[32];

	(void) state;
	memset(oracle, 0, sizeof(oracle));
	for (int round = 0; round < 400; round++)
	{
		for (int i = 0; i < 30; i++)
		{
			int			k = (int) (unit_random() % ORACLE_KEYS);
			Oracle	   *o = &oracle[k];
			bool		is = o->there && (o->expiry == 0 || o->expiry > store_clock_us());

			snprintf(name, sizeof(name), "%d", k);
			switch (unit_random() % 4)
			{
				case 0:
					*o = (Oracle) {.there = true, .expiry = store_clock_us() + FAR + unit_random() % 20 * FAR};
					put(name, o->expiry);
					break;
				case 1:
					*o = (Oracle) {.there = true, .expiry = is ? o->expiry : 0};
					put_full(0, name, (Put) {.keep = true});
					break;
				case 2:
					*o = (Oracle) {.there = true};
					put(name, 0);
					break;
				case 3:
					o->there = false;
					delete(name);
					break;
			}
		}
		for (int i = 0; i < ORACLE_KEYS; i++)
		{
			snprintf(name, sizeof(name), "%d", i);
			if (oracle[i].there && oracle[i].expiry != 0 && present(name))
				assert_true(covered(name, oracle[i].expiry));
		}
		move_wall((int64) (unit_random() % 4 * FAR));
		if (unit_random() % 2 == 0)
		{
			(void) steps();
			for (int i = 0; i < ORACLE_KEYS; i++)
				if (oracle[i].there && oracle[i].expiry != 0 && oracle[i].expiry <= store_clock_us())
					oracle[i].there = false;
			for (int i = 0; i < ORACLE_KEYS; i++)
			{
				snprintf(name, sizeof(name), "%d", i);
				assert_int_equal(present(name), oracle[i].there);	/* nothing dead is left */
			}
		}
		check(oracle);
		mem_keep_ahead();
	}
	move_wall(100 * (int64) FAR);
	(void) steps();
	assert_int_equal(entries(), 0);
	assert_int_equal(with_deadline(), 0);
}

/* ---- threads ---- */

static _Atomic bool stop_writers;

/* writer -- a few keys that all of them write, with deadlines near, later, and none. */
static void *
writer(void *arg)
{
	uint32		number = (uint32) (uintptr_t) arg;
	uint64		rng = unit_seed * (number + 3) | 1;
	uint64		base;

	my_slot = proc_slot(number);
	proc_attach(number);
	store_clock_turn();
	base = store_clock_us();
	while (!atomic_load(&stop_writers))
	{
		char		name[32];
		StoreKey	k = {0, 0, name};
		Put			p = {0};
		StoreWritten out;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		k.len = (uint32) snprintf(name, sizeof(name), "%d", (int) (rng % 8));
		switch (rng >> 8 & 3)
		{
			case 0:
				p.expiry = base - SECOND;	/* has passed: the expirer takes it at once */
				break;
			case 1:
				p.expiry = base + FAR * (1 + (rng >> 16) % 4);
				break;
			case 2:
				p.delete = true;
				break;
			default:
				break;
		}
		(void) !store_write_head(&k, decide_put, &p, &out);
		mem_keep_ahead();
		store_clock_turn();
	}
	return NULL;
}

static void
test_threads(void **state)
{
	pthread_t	thread[THREADS];
	char		name[32];

	(void) state;
	store_clock_turn();
	atomic_store(&stop_writers, false);
	for (uint32 i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, writer, (void *) (uintptr_t) (proc_first_slot(PROC_WORKER) + i)), 0);
	for (int round = 0; round < 3000; round++)
	{
		(void) store_expire_step();
		flush_all();
		mem_keep_ahead();
	}
	atomic_store(&stop_writers, true);
	for (uint32 i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	flush_all();
	for (int i = 0; i < 8; i++)
	{
		uint8		bytes[KEY_MAX];
		uint32		len;
		const Leaf *leaf;
		uint64		expiry;

		len = store__build_key(bytes, store__tree_id(store__tree_index(0)), name, (uint32) snprintf(name, sizeof(name), "%d", i));
		epoch_enter();
		leaf = art_lookup(&store_shared->root, bytes, len);
		expiry = leaf != NULL && (leaf_flags(leaf) & LEAF_TOMBSTONE) == 0 ? leaf_expiry(leaf) : 0;
		epoch_leave();
		if (expiry != 0)
			assert_true(covered(name, expiry));
	}
	move_wall(10 * (int64) FAR);
	(void) steps();
	assert_int_equal(entries(), 0);
	assert_int_equal(with_deadline(), 0);
}

/* ---- two at the same place ---- */

static uint64 their_deadline;

static void *
put_slowly(void *arg)
{
	(void) arg;
	proc_attach(proc_first_slot(PROC_WORKER) + 1);
	store_clock_turn();
	put("k", their_deadline);
	return NULL;
}

/* the entry is there, the key is not yet: the expirer must not take the entry for one that is not needed */
static void
test_entry_before_its_key(void **state)
{
	pthread_t	thread;

	(void) state;
	put("x", 0);
	(void) steps();
	their_deadline = store_clock_us() - SECOND;
	file__fault_arm("store-before-publish:delay_ms=300");
	assert_int_equal(pthread_create(&thread, NULL, put_slowly, NULL), 0);
	while (!has_entry("k", their_deadline))
		usleep(1000);
	for (int i = 0; i < 20; i++)
	{
		(void) store_expire_step();
		assert_true(has_entry("k", their_deadline));
	}
	pthread_join(thread, NULL);
	assert_true(present("k"));
	(void) steps();
	assert_false(present("k"));
	assert_int_equal(entries(), 0);
}

static void *
step_slowly(void *arg)
{
	(void) arg;
	proc_attach(proc_first_slot(PROC_EXPIRER));
	for (int i = 0; i < 3; i++)
		(void) store_expire_step();
	return NULL;
}

/* the expirer has looked at the key, and is about to take the entry away, when a writer comes to need it */
static void
drop_meets_writer(uint64 first, bool deleted, uint64 second)
{
	pthread_t	thread;

	put("k", first);
	if (deleted)
		delete("k");
	else
		put("k", second);
	move_wall((int64) FAR + (int64) SECOND);
	flush_all();
	file__fault_arm("expire-before-drop:delay_ms=300");
	assert_int_equal(pthread_create(&thread, NULL, step_slowly, NULL), 0);
	proc_attach(proc_first_slot(PROC_WORKER) + 1);
	usleep(100000);
	put("k", first);
	assert_true(covered("k", first));
	pthread_join(thread, NULL);
	assert_true(!present("k") || covered("k", first));
	proc_attach(proc_first_slot(PROC_EXPIRER));
	flush_all();
	(void) steps();
	assert_false(present("k"));
}

/* what the expirer has found is put in anew before it looks, and the key is not there yet */
static void
test_entry_anew_before_its_key(void **state)
{
	pthread_t	expirer;
	pthread_t	writer_of_k;

	(void) state;
	put("x", 0);
	their_deadline = store_clock_us() + FAR;
	put("k", their_deadline);
	delete("k");
	move_wall((int64) FAR + (int64) SECOND);
	flush_all();
	file__fault_arm("expire-found:delay_ms=200,store-before-publish:delay_ms=600");
	assert_int_equal(pthread_create(&expirer, NULL, step_slowly, NULL), 0);
	usleep(50000);
	assert_int_equal(pthread_create(&writer_of_k, NULL, put_slowly, NULL), 0);
	pthread_join(expirer, NULL);
	assert_true(has_entry("k", their_deadline));
	pthread_join(writer_of_k, NULL);
	flush_all();
	assert_true(present("k") && covered("k", their_deadline));
	(void) steps();
	assert_false(present("k"));
	assert_int_equal(entries(), 0);
}

static void
test_drop_meets_writer(void **state)
{
	uint64		now = store_clock_us();

	(void) state;
	put("x", 0);
	drop_meets_writer(now + FAR, true, 0);
	assert_int_equal(entries(), 0);
	now = store_clock_us();
	drop_meets_writer(now + FAR, false, 0);
	assert_int_equal(entries(), 0);
	now = store_clock_us();
	drop_meets_writer(now + FAR, false, now + 4 * FAR);
	move_wall(4 * (int64) FAR);
	(void) steps();
	assert_int_equal(entries(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_clock_never_runs_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clock_of_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_absence_is_gated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals_and_walks_are_gated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk_and_full_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entries_come_when_needed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_has_expired_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hints_fire_in_vain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writers_wake_the_expirer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_switch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_wants_hears, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entry_before_its_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entry_anew_before_its_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drop_meets_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	unit_seed_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
