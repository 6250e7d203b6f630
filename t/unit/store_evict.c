/*
 * store_evict.c -- memory and pressure: the clock, the sweeps, the brake, who is refused.
 *
 * One process; the evictor is this thread, or one of several.  There is no data
 * file: the base stays empty, and "a checkpoint" moves the cut and nothing else.
 * So what was evicted is gone, which is what the tests look at: exactly what they
 * allow to go may go.  That nothing is lost with a real base is t/420.
 */
#include "unit_store.h"

#include "access/store/checkpoint_internal.h"
#include "access/store/evict_internal.h"
#include "utils/clock.h"
#include "utils/elog.h"

#include <errno.h>
#include <time.h>

#define WRITERS 3
#define LIMIT (16 * MIB)
#define VALUE 100

/* how many times the limit is written, in tenths */
#if EPOCH_TSAN
#define TIMES_SIZES 11
#define TIMES_THREADS 15
#else
#define TIMES_SIZES 20
#define TIMES_THREADS 50
#endif

static int
setup(void **state)
{
	static const ControlData control = {.cut = UNIT_STORE_FIRST_LSN, .older_cut = UNIT_STORE_FIRST_LSN};

	(void) state;
	set_max_value_size = 16 * MIB;
	unit_store_make(LIMIT, 64 * MIB);
	checkpoint_recovered(&control);
	return 0;
}

/* flush_all -- what the walwriter does, without a file. */
static void
flush_all(void)
{
	wal_completed_update();
	atomic_store(&wal_shared->flushed, wal_completed_lsn());
}

static void
rest(long us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&t, NULL);
}

/* ---- a checkpoint that writes nothing ---- */

/* checkpoint -- if one was asked for: it fails with 'error', or the cut moves.  True: one was. */
static bool
checkpoint(int error)
{
	CheckpointResult result = {.error = error};
	StoreBase	base;
	CheckpointInForce force;

	if (checkpoint__pending_causes() == 0)
		return false;
	result.round = checkpoint__take(&result.cause, &result.requests);
	if (error == 0)
	{
		result.cut = wal_insert_lsn();
		do
			flush_all();
		while (wal_flushed_lsn() < result.cut);
		epoch_enter();
		base = *store__base();
		epoch_leave();
		base.root.cut = result.cut;
		store__base_publish(&base);
		epoch_wait_grace();
		atomic_store(&store_shared->evict_cut, result.cut);
		checkpoint__get_force(&force);
		force.older_cut = force.cut;
		force.cut = result.cut;
		checkpoint__put_force(&force);
	}
	checkpoint__put_result(&result);
	return true;
}

/* cut_now -- a checkpoint that somebody asked for by hand. */
static void
cut_now(void)
{
	(void) checkpoint_request(CHECKPOINT_COMMAND);
	assert_true(checkpoint(0));
}

/* ---- keys ---- */

typedef struct Put
{
	const void *data;
	size_t		len;
	bool		delete;
} Put;

static StoreAction
decide_put(const StoreView *view, StoreChange *change, void *arg)
{
	Put		   *put = arg;

	(void) view;
	if (put->delete)
		return STORE_DELETE;
	change->part[0].data = put->data;
	change->part[0].len = put->len;
	change->part_count = 1;
	return STORE_PUT;
}

static StoreStatus
put_key(uint32 db, const char *key, const void *data, size_t len)
{
	StoreKey	k = {db, (uint32) strlen(key), key};
	Put			put = {.data = data, .len = len};
	StoreWritten out;

	return store_write_blind(&k, decide_put, &put, &out);
}

static void
delete_key(uint32 db, const char *key)
{
	StoreKey	k = {db, (uint32) strlen(key), key};
	Put			put = {.delete = true};
	StoreWritten out;

	assert_int_equal(store_write(&k, decide_put, &put, &out), STORE_OK);
}

static const char *
key_name(uint64 i)
{
	static _Thread_local char name[32];

	snprintf(name, sizeof(name), "key/%02x/%llu", (unsigned) (i * 7919 % 251), (unsigned long long) i);
	return name;
}

/* leaf_of -- inside an epoch. */
static Leaf *
leaf_of(uint32 db, const char *key)
{
	uint8		bytes[KEY_MAX];
	uint32		len = store__build_key(bytes, store__tree_id(store__tree_index(db)), key, (uint32) strlen(key));

	return art_lookup(&store_shared->root, bytes, len);
}

/* in_memory -- does the overlay have a leaf of this key? */
static bool
in_memory(uint64 i)
{
	bool		is;

	epoch_enter();
	is = leaf_of(0, key_name(i)) != NULL;
	epoch_leave();
	return is;
}

static uint64
used_percent(void)
{
	MemStats	stats;

	mem_stats(&stats);
	return (stats.used - stats.retired) * 100 / evict__capacity();
}

/* fill -- keys from *next on until so much of the capacity is used. */
static void
fill(uint64 *next, uint32 percent)
{
	static const char value[VALUE] = "v";

	while (used_percent() < percent)
		for (int i = 0; i < 100; i++)
		{
			assert_int_equal(put_key(0, key_name((*next)++), value, VALUE), STORE_OK);
			if (*next % 16 == 0)
			{
				flush_all();
				mem_keep_ahead();
			}
		}
}

/* steps -- of the evictor until nothing is to do, with checkpoints if there are any; at most so many. */
static void
steps(int most, bool checkpoints, int error)
{
	for (int i = 0; i < most; i++)
	{
		bool		more = evict_step();

		if (checkpoints && checkpoint(error))
			more = true;
		if (!more)
			return;
	}
	fail_msg("the evictor does not come to an end");
}

/* ---- the clock ---- */

static void
test_clean_leaves_go_and_others_stay(void **state)
{
	uint64		next = 0;
	uint64		clean;
	uint64		gone = 0;
	EvictStatus status;

	(void) state;
	fill(&next, EVICT_START_PERCENT - 5);
	cut_now();
	clean = next;
	fill(&next, EVICT_START_PERCENT + 1);
	steps(1000, false, 0);
	assert_true(used_percent() <= EVICT_STOP_PERCENT);
	assert_true(used_percent() >= EVICT_STOP_PERCENT - 10);	/* not more than was wanted, but for a piece */
	for (uint64 i = 0; i < clean; i++)
		gone += !in_memory(i);
	assert_true(gone > 0);
	for (uint64 i = clean; i < next; i++)
		assert_true(in_memory(i));	/* newer than the cut */
	evict_status(&status);
	assert_int_equal(status.leaves_evicted, gone);
	assert_true(status.bytes_evicted >= gone * (VALUE + sizeof(Leaf)));
	assert_int_equal(status.refused, 0);
	assert_int_equal(status.checkpoints_asked, 0);
}

static void
test_recent_leaves_stay_a_round_longer(void **state)
{
	uint64		next = 0;
	uint64		all;
	uint64		missing = 0;

	(void) state;
	fill(&next, EVICT_START_PERCENT + 1);
	cut_now();
	all = next;
	epoch_enter();
	for (uint64 i = 0; i < all; i++)
		if (i % 3 == 0)
			art_mark_recent(leaf_of(0, key_name(i)));
	epoch_leave();
	/* a whole round would take two thirds: less is wanted, so none of those that were read needs to go */
	steps(1000, false, 0);
	for (uint64 i = 0; i < all; i++)
		if (!in_memory(i))
		{
			missing++;
			assert_int_not_equal(i % 3, 0);
		}
	assert_true(missing > 0);
	/* when all have been read, some must go all the same */
	fill(&next, EVICT_START_PERCENT + 1);
	cut_now();
	epoch_enter();
	for (uint64 i = 0; i < next; i++)
		if (leaf_of(0, key_name(i)) != NULL)
			art_mark_recent(leaf_of(0, key_name(i)));
	epoch_leave();
	steps(1000, false, 0);
	assert_true(used_percent() <= EVICT_STOP_PERCENT);
}

static void
test_tombstones_of_the_cut_go(void **state)
{
	uint64		next = 0;
	uint64		old;

	(void) state;
	fill(&next, EVICT_RECENT_PERCENT + 5);
	old = next / 2;
	for (uint64 i = 0; i < old; i++)
		delete_key(0, key_name(i));
	cut_now();
	for (uint64 i = old; i < next; i++)
		delete_key(0, key_name(i));
	steps(1000, false, 0);
	for (uint64 i = 0; i < old; i++)
		assert_false(in_memory(i));
	for (uint64 i = old; i < next; i++)
		assert_true(in_memory(i));	/* younger than the cut: the base may hold the key */
	/* many of them: they are worth a checkpoint when they take much room */
	fill(&next, EVICT_RECENT_PERCENT + 5);
	assert_int_equal(checkpoint__pending_causes(), 0);
	steps(1000, false, 0);
	assert_int_equal(checkpoint__pending_causes(), CHECKPOINT_MEMORY);
	assert_true(checkpoint(0));
	steps(1000, true, 0);
	for (uint64 i = old; i < old + 1000; i++)
		assert_false(in_memory(i));
}

static void
test_large_values_go(void **state)
{
	uint8	   *data = calloc(1, 8 * MIB);
	char		name[32];

	(void) state;
	for (int i = 0; i < 40; i++)
	{
		StoreStatus status;
		uint64		begun = clock_mono_us();

		snprintf(name, sizeof(name), "large/%d", i);
		while ((status = put_key(0, name, data, 5 * MIB)) == STORE_PARK_MEMORY)
		{
			flush_all();
			steps(1000, true, 0);
			assert_true(clock_mono_us() - begun < 20000000);
		}
		assert_int_equal(status, STORE_OK);
		flush_all();
	}
	free(data);
}

/* ---- dirt ---- */

static void
test_dirt_asks_for_a_checkpoint(void **state)
{
	uint64		next = 0;
	EvictStatus status;

	(void) state;
	fill(&next, EVICT_ASK_PERCENT - 5);
	steps(100, false, 0);
	assert_int_equal(checkpoint__pending_causes(), 0);
	fill(&next, EVICT_ASK_PERCENT + 1);
	steps(100, false, 0);
	assert_int_equal(checkpoint__pending_causes(), CHECKPOINT_MEMORY);
	fill(&next, EVICT_START_PERCENT + 1);
	for (int i = 0; i < 50; i++)
	{
		(void) evict_step();
		rest(200);
	}
	for (uint64 i = 0; i < next; i++)
		assert_true(in_memory(i));	/* all of it is dirt */
	evict_status(&status);
	assert_int_equal(status.checkpoints_asked, 1);	/* once, however often it looked */
	assert_int_equal(status.leaves_evicted, 0);
	assert_true(checkpoint(0));
	steps(1000, false, 0);
	assert_true(used_percent() <= EVICT_STOP_PERCENT);
}

static void
test_who_is_refused(void **state)
{
	static const char value[VALUE] = "v";
	uint64		next = 0;
	StoreStatus status;
	int			tries = 0;
	EvictStatus figures;

	(void) state;
	/* until nothing goes in any more */
	while ((status = put_key(0, key_name(next), value, VALUE)) == STORE_OK)
		if (++next % 16 == 0)
			flush_all();
	assert_int_equal(status, STORE_PARK_MEMORY);	/* it is not hopeless: nobody has tried anything yet */
	/* checkpoints fail: it becomes hopeless, soon, but not before one has failed */
	while ((status = put_key(0, key_name(next), value, VALUE)) == STORE_PARK_MEMORY && ++tries < 1000)
	{
		evict_status(&figures);
		assert_int_equal(figures.refused, 0);
		(void) evict_step();
		if (tries > 5)
			(void) checkpoint(ENOSPC);
		rest(1000);
	}
	assert_int_equal(status, STORE_NO_MEMORY);
	assert_true(tries > 5);
	evict_status(&figures);
	assert_true(figures.checkpoints_asked > 0);
	assert_int_equal(figures.refused, 1);
	/* refused at once from now on, until there is room on the disk */
	assert_int_equal(put_key(0, key_name(next), value, VALUE), STORE_NO_MEMORY);
	for (tries = 0; tries < 5000 && put_key(0, key_name(next), value, VALUE) != STORE_OK; tries++)
	{
		(void) evict_step();
		(void) checkpoint(0);
		rest(1000);
	}
	assert_true(tries < 5000);
	for (uint64 i = 0; i < 100; i++)
		assert_true(put_key(0, key_name(++next), value, VALUE) == STORE_OK);
}

static void
test_what_never_fits(void **state)
{
	(void) state;
	assert_true(evict_could_fit(1));
	assert_true(evict_could_fit(LIMIT / 2));
	assert_false(evict_could_fit(LIMIT - 256 * KIB));
	assert_false(evict_could_fit(LIMIT * 2));
}

/* ---- memory that is there, but in blocks of another size ---- */

static void
test_sizes_change(void **state)
{
	static const size_t sizes[] = {100, 900, 40, 3000, 6000, 20, 30000, 250};
	char	   *value = calloc(1, 64 * KIB);
	uint64		next = 0;

	(void) state;
	for (size_t s = 0; s < lengthof(sizes); s++)
	{
		uint64		want = (uint64) LIMIT * TIMES_SIZES / 10 / (sizes[s] + 100);
		uint64		waits = 0;

		for (uint64 i = 0; i < want; i++)
		{
			uint64		begun = clock_mono_us();
			StoreStatus status;

			while ((status = put_key(0, key_name(next), value, sizes[s])) == STORE_PARK_MEMORY)
			{
				waits++;
				flush_all();
				(void) evict_step();
				(void) checkpoint(0);
				if (clock_mono_us() - begun > 20000000)
					fail_msg("values of %zu bytes find no place", sizes[s]);
			}
			assert_int_equal(status, STORE_OK);
			next++;
			if (i % 64 == 0)
			{
				flush_all();
				(void) evict_step();
				(void) checkpoint(0);
			}
		}
		printf("# values of %zu bytes: %llu written, %llu waits\n", sizes[s], (unsigned long long) want,
			   (unsigned long long) waits);
		fflush(stdout);
	}
	free(value);
}

/*
 * All is dirt, so nothing can be evicted, and no checkpoint is made: memory that has
 * become free in blocks of one size serves another only because leaves are moved.
 */
static void
test_moving_alone_helps(void **state)
{
	static const char value[1000] = "moved";
	uint64		next = 0;
	uint64		count;
	uint64		taken = 0;
	Lsn		   *lsn;
	EvictStatus figures;
	ArtStats	stats;
	char		why[256];

	(void) state;
	art_root_set_complete(&store_shared->root);
	fill(&next, 80);
	count = next;
	for (uint64 i = 0; i < count; i += 2)
	{
		assert_int_equal(put_key(0, key_name(i), value, 4), STORE_OK);
		if (i % 32 == 0)
		{
			flush_all();
			mem_keep_ahead();
		}
	}
	flush_all();
	lsn = calloc(count, sizeof(Lsn));
	epoch_enter();
	for (uint64 i = 0; i < count; i++)
		lsn[i] = leaf_of(0, key_name(i))->lsn;
	epoch_leave();
	for (int tries = 0; tries < 20000 && taken < LIMIT / 8 / sizeof(value);)
	{
		if (put_key(0, key_name(count + taken), value, sizeof(value)) == STORE_OK)
			taken++;
		else
			tries++;
		flush_all();
		(void) evict_step();
	}
	assert_int_equal(taken, LIMIT / 8 / sizeof(value));
	evict_status(&figures);
	assert_int_equal(figures.leaves_evicted, 0);
	assert_true(figures.complete);
	epoch_enter();
	for (uint64 i = 0; i < count; i++)
	{
		const Leaf *leaf = leaf_of(0, key_name(i));

		assert_non_null(leaf);
		assert_int_equal(leaf->lsn, lsn[i]);
		assert_int_equal(leaf->value_len, i % 2 == 0 ? 4 : VALUE);
		assert_int_equal(leaf_inline_value(leaf)[0], i % 2 == 0 ? 'm' : 'v');
	}
	epoch_leave();
	if (!art_check(&store_shared->root, &stats, why, sizeof(why)))
		fail_msg("%s", why);
	free(lsn);
}

/* ---- dropped trees ---- */

static void
test_dropped_trees_wait_for_the_cut(void **state)
{
	uint64		next = 0;
	StoreFlushJob job = {0};
	Lsn			gate = 0;
	StoreStatus status;
	uint32		old = store__tree_index(0);
	EvictStatus figures;

	(void) state;
	fill(&next, 10);
	cut_now();
	while ((status = store_flush(0, &job, &gate)) == STORE_PARK_MAP)
		(void) epoch_try_advance();
	assert_int_equal(status, STORE_OK);
	flush_all();
	steps(1000, false, 0);
	assert_int_equal(atomic_load(&store_shared->tree[old].state), TREE_DROPPED);	/* the base still holds it */
	assert_true(used_percent() >= 9);
	assert_int_equal(checkpoint__pending_causes(), 0);	/* and it is little */
	evict_want_trees();
	(void) evict_step();
	assert_int_equal(checkpoint__pending_causes(), CHECKPOINT_MEMORY);
	assert_true(checkpoint(0));
	steps(10000, false, 0);
	assert_int_equal(atomic_load(&store_shared->tree[old].state), TREE_FREE);
	assert_true(used_percent() <= 2);
	evict_status(&figures);
	assert_int_equal(figures.trees_swept, 1);
	/* much of it is worth a checkpoint by itself */
	fill(&next, 40);
	memset(&job, 0, sizeof(job));
	while ((status = store_flush(0, &job, &gate)) == STORE_PARK_MAP)
		(void) epoch_try_advance();
	assert_int_equal(status, STORE_OK);
	steps(1000, true, 0);
	steps(10000, true, 0);
	assert_true(used_percent() <= 2);
}

/* ---- the brake ---- */

static void
test_brake(void **state)
{
	uint64		next = 0;
	uint64		last = 0;
	uint64		at_slow;

	(void) state;
	(void) evict_step();
	assert_int_equal(evict_write_delay_us(), 0);
	assert_false(evict_mark_recent());
	fill(&next, EVICT_RECENT_PERCENT + 1);
	(void) evict_step();
	assert_int_equal(evict_write_delay_us(), 0);
	assert_true(evict_mark_recent());
	fill(&next, EVICT_SLOW_PERCENT);
	for (uint32 percent = EVICT_SLOW_PERCENT + 2; percent <= EVICT_SLOW_PERCENT + 8; percent += 2)
	{
		fill(&next, percent);
		for (int i = 0; i < 50; i++)
		{
			rest(1000);
			(void) evict_step();
		}
		assert_true(evict_write_delay_us() > last);
		assert_true(evict_write_delay_us() <= 20000);
		last = evict_write_delay_us();
	}
	/* room again: it goes away, but not at once */
	at_slow = last;
	assert_true(checkpoint(0));
	steps(1000, true, 0);
	assert_true(used_percent() <= EVICT_STOP_PERCENT);
	assert_true(evict_write_delay_us() < at_slow);
	for (int i = 0; i < 4000 && evict_write_delay_us() > 0; i++)
	{
		assert_true(evict_write_delay_us() <= last);
		last = evict_write_delay_us();
		rest(1000);
		(void) evict_step();
	}
	assert_int_equal(evict_write_delay_us(), 0);
}

static void
test_sleep_and_doze(void **state)
{
	uint64		next = 0;
	int64		sleep_us = 0;

	(void) state;
	(void) evict_step();
	assert_true(evict_sleep_us() > 1000);	/* memory is empty: it takes its time to fill up */
	fill(&next, EVICT_ASK_PERCENT - 1);
	(void) evict_step();
	assert_int_equal(evict_sleep_us(), 1000);	/* near a mark */
	for (int i = 0; i < 3000 && sleep_us <= 100000; i++)
	{
		rest(1000);
		(void) evict_step();
		sleep_us = evict_sleep_us();
	}
	assert_true(sleep_us > 100000);	/* nothing is written */
	my_slot = proc_slot(proc_first_slot(PROC_EVICTOR));
	latch_reset();
	my_slot = proc_slot(proc_first_slot(PROC_WORKER));
	assert_int_equal(evict_write_delay_us(), 0);
	assert_int_equal(atomic_load(&proc_slot(proc_first_slot(PROC_EVICTOR))->latch) & LATCH_SET, LATCH_SET);	/* the first writer wakes it */
	my_slot = proc_slot(proc_first_slot(PROC_EVICTOR));
	latch_reset();
	my_slot = proc_slot(proc_first_slot(PROC_WORKER));
	assert_int_equal(evict_write_delay_us(), 0);
	assert_int_equal(atomic_load(&proc_slot(proc_first_slot(PROC_EVICTOR))->latch) & LATCH_SET, 0);	/* ... and no other one */
}

/* ---- all at once ---- */

static _Atomic uint32 writers_left;
static _Atomic uint64 written[WRITERS];
static _Atomic uint64 refusals;

/* run_writer -- several times the limit; its own keys, so that it knows what it wrote. */
static void *
run_writer(void *arg)
{
	uint64		me = (uint64) (uintptr_t) arg;
	char		value[400] = "";
	uint64		mine = me + 1;
	uint64		bytes = 0;
	uint64		owed_us = 0;

	proc_attach(proc_first_slot(PROC_WORKER) + 1 + (uint32) me);
	while (bytes < (uint64) LIMIT * TIMES_THREADS / 10 / WRITERS)
	{
		char		key[64];
		size_t		len;
		StoreStatus status;

		mine = mine * UINT64_C(6364136223846793005) + 1442695040888963407;
		len = mine >> 33 & 255;
		snprintf(key, sizeof(key), "w%llu/%llu", (unsigned long long) me, (unsigned long long) (mine >> 40) % 200000);
		owed_us += evict_write_delay_us() / 16;	/* one delay pays for several writes, as with commands */
		if (owed_us > 500)
		{
			rest((long) Min(owed_us, 5000));
			owed_us = 0;
		}
		while ((status = put_key(0, key, value, 16 + len)) == STORE_PARK_MEMORY || status == STORE_PARK_WAL)
			rest(300);
		if (status != STORE_OK)
		{
			atomic_fetch_add(&refusals, 1);
			break;
		}
		epoch_enter();
		if (leaf_of(0, key) != NULL && leaf_of(0, key)->value_len != 16 + len)
			atomic_fetch_add(&refusals, 1);
		epoch_leave();
		bytes += sizeof(Leaf) + len + 32;
		atomic_fetch_add(&written[me], 1);
		mem_keep_ahead();
	}
	atomic_fetch_sub(&writers_left, 1);
	return NULL;
}

static void *
run_checkpointer(void *arg)
{
	(void) arg;
	proc_attach(proc_first_slot(PROC_CHECKPOINTER));
	while (atomic_load(&writers_left) > 0)
	{
		flush_all();
		rest(2000);
		(void) checkpoint(0);
	}
	return NULL;
}

static void
test_writers_against_evictor(void **state)
{
	pthread_t	writer[WRITERS];
	pthread_t	checkpointer;
	uint64		most = 0;
	EvictStatus figures;

	(void) state;
	atomic_store(&writers_left, WRITERS);
	for (uint64 i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writer[i], NULL, run_writer, (void *) (uintptr_t) i), 0);
	assert_int_equal(pthread_create(&checkpointer, NULL, run_checkpointer, NULL), 0);
	my_slot = proc_slot(proc_first_slot(PROC_EVICTOR));
	proc_attach(proc_first_slot(PROC_EVICTOR));
	while (atomic_load(&writers_left) > 0)
	{
		if (!evict_step())
			rest((long) Min(evict_sleep_us(), 1000));
		mem_keep_ahead();
		most = Max(most, (uint64) evict__used_percent());
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writer[i], NULL);
	pthread_join(checkpointer, NULL);
	evict_status(&figures);
	printf("# at most %llu %% used, %llu evicted in %llu rounds, %llu checkpoints, %llu writes delayed, %llu waits\n",
		   (unsigned long long) most, (unsigned long long) figures.leaves_evicted, (unsigned long long) figures.clock_rounds,
		   (unsigned long long) figures.checkpoints_asked, (unsigned long long) figures.writes_delayed,
		   (unsigned long long) figures.waits_for_memory);
	assert_int_equal(atomic_load(&refusals), 0);
	assert_int_equal(figures.refused, 0);
	assert_true(figures.leaves_evicted > 0);
	proc_attach(proc_first_slot(PROC_WORKER));
	flush_all();
	{
		ArtStats	stats;
		char		why[256];

		if (!art_check(&store_shared->root, &stats, why, sizeof(why)))
			fail_msg("%s", why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_clean_leaves_go_and_others_stay, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_recent_leaves_stay_a_round_longer, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_tombstones_of_the_cut_go, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_large_values_go, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_dirt_asks_for_a_checkpoint, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_who_is_refused, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_what_never_fits, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_sizes_change, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_moving_alone_helps, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_dropped_trees_wait_for_the_cut, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_brake, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_sleep_and_doze, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_writers_against_evictor, setup, unit_segment_teardown),
	};

	elog_set_min_level(WARNING);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
