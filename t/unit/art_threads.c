/*
 * art_threads.c -- the overlay under threads that disturb each other on purpose.
 *
 * Goal: no write is lost, no version goes back, no key comes twice or out of order,
 * no node forgets how dirty it is, no block is used after it was given back or
 * never given back.  Method: a few hundred keys in which nodes of all types grow,
 * shrink, split and collapse under the writers' feet, a sweeper that drops
 * tombstones, readers and walkers that know what they may see; afterwards each key
 * must hold the highest version that anyone published.  Made for ThreadSanitizer;
 * ARTERY_ART_MS lengthens it, ARTERY_SEED repeats the random choices.
 */
#include <pthread.h>

#include "access/art/art_search.h"
#include "art_keys.h"

#define SLOTS 9
#define WRITERS 4
#define SWEEPER 5
#define READER 6
#define WALKER 7			/* and 8 */
#define STEP_MAX (2 * MIB)	/* so that nearly every write has a dirty LSN of its own */

/* what a writer has published last for each key */
typedef struct Written
{
	Lsn			lsn;
	bool		tombstone;
} Written;

static Written written[WRITERS + 1][KEYS_MAX];
static uint64 deadline_us;
static _Atomic uint64 total_writes, total_walked, total_read, total_removed, total_dirty;

static bool
time_is_up(uint64 i)
{
	return i % 64 == 0 && clock_mono_us() >= deadline_us;
}

static void *
writer(void *arg)
{
	uint32		me = (uint32) (uintptr_t) arg;
	uint64		rng = test_seed() * 31 + me;
	uint8		value[KEY_BYTES * 8];
	uint64		writes = 0;

	my_slot = proc_slot(me);
	test_pause_rng = rng;
	for (uint64 i = 1; !time_is_up(i); i++)
	{
		/* all writers turn to the same part of the keys for some 2,000 writes, and mostly put or mostly delete */
		uint64		phase = atomic_load_explicit(&shared->lsn, memory_order_relaxed) / (2000 * MIB);
		uint32		window = 24 + (uint32) (phase * 7919 % 150);
		uint32		base = (uint32) (phase * 104729 % key_count);
		uint32		n = (base + (uint32) (test_random(&rng) % window)) % key_count;
		bool		delete = !key[n].stable && test_random(&rng) % 100 < (phase % 2 ? 80 : 15);
		uint64		step = 64 + test_random(&rng) % STEP_MAX;
		Lsn			lsn;

		lsn = test_write(key[n].byte, key[n].len, value,
						 delete ? 0 : make_value(&key[n], value, (uint32) (test_random(&rng) % 8)),
						 delete ? TEST_DELETE : test_random(&rng) % 4 == 0 ? TEST_PUT_NEW : TEST_PUT, step, NULL);
		if (lsn != 0)
		{
			writes++;
			Verify(lsn > written[me][n].lsn);
			written[me][n].lsn = lsn;
			written[me][n].tombstone = delete;
		}
		if (i % 16 == 0)
			mem_keep_ahead();
	}
	atomic_fetch_add(&total_writes, writes);
	return NULL;
}

static Lsn	sweep_horizon;	/* the sweeper's */

static bool
may_go(const Leaf *l, void *arg)
{
	(void) arg;
	return (leaf_flags(l) & LEAF_TOMBSTONE) && l->lsn <= sweep_horizon;
}

static void *
sweeper(void *arg)
{
	uint64		rng = test_seed() * 37;
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	uint64		removed = 0;

	my_slot = proc_slot((uint32) (uintptr_t) arg);
	test_pause_rng = rng;
	for (uint64 i = 1; clock_mono_us() < deadline_us; i++)
	{
		sweep_horizon = test_completed();
		if (art_sweep(&shared->root, NULL, 0, from, &from_len, 1 + (uint32) (test_random(&rng) % 40), may_go, NULL, &removed))
			from_len = 0;
		if (test_random(&rng) % 4 == 0)
		{
			/* tidying where nothing asks for it must do no harm */
			uint32		n = (uint32) (test_random(&rng) % key_count);

			epoch_enter();
			Verify(art_tidy(&shared->root, key[n].byte, key[n].len) == ART_OK);
			epoch_leave();
		}
		mem_keep_ahead();
	}
	atomic_fetch_add(&total_removed, removed);
	return NULL;
}

/* path_to -- the nodes on the way to a key, and its leaf or NULL. */
static Leaf *
path_to(const Key *k, ArtNode **node, uint32 *count)
{
	uint64		word = art__load(&shared->root.slot);
	uint32		depth = 0;
	Leaf	   *l;

	for (*count = 0; slot_tag(word) == TAG_INNER; (*count)++)
	{
		uint64		meta;

		node[*count] = art__node(slot_ref(word));
		meta = atomic_load_explicit(&node[*count]->meta, memory_order_acquire);
		depth += meta_prefix_len(meta);
		if (depth > k->len)
			return NULL;
		word = depth == k->len ? art__load(&node[*count]->end) : art__child(node[*count], meta_type(meta), k->byte[depth]);
		depth++;
	}
	l = slot_tag(word) == TAG_LEAF ? seg_ptr(slot_ref(word)) : NULL;
	return l != NULL && leaf__is(l, k->byte, k->len) ? l : NULL;
}

/*
 * check_dirty -- the promise that a checkpoint's walk lives on, while others write.
 *
 * A leaf that two descents have found was there all the time between.  Each node
 * that the second one came through was live at some moment of that time (the root
 * slot is; and what is read in a node that was live when the descent came to it
 * was so then, or when the node was frozen).  So all of them must know of the leaf.
 */
static bool
check_dirty(const Key *k)
{
	ArtNode    *node[KEY_BYTES + 2];
	uint32		count;
	Leaf	   *first = path_to(k, node, &count);

	if (first == NULL || path_to(k, node, &count) != first)
		return false;
	for (uint32 i = 0; i < count; i++)
		Verify(meta_dirty(atomic_load_explicit(&node[i]->meta, memory_order_acquire)) >= art__dirty_unit(first->lsn));
	return true;
}

static void *
reader(void *arg)
{
	static Lsn	last[KEYS_MAX];
	uint64		rng = test_seed() * 41;
	uint64		reads = 0;
	uint64		dirty = 0;

	my_slot = proc_slot((uint32) (uintptr_t) arg);
	memset(last, 0, sizeof(last));
	for (uint64 i = 1; !time_is_up(i); i++)
	{
		uint32		n = (uint32) (test_random(&rng) % key_count);
		Leaf	   *l;

		epoch_enter();
		l = art_lookup(&shared->root, key[n].byte, key[n].len);
		if (l != NULL)
		{
			check_value(l, &key[n]);
			Verify(l->lsn >= last[n]);
			last[n] = l->lsn;
			reads++;
		}
		else
			Verify(!key[n].stable);
		if (check_dirty(&key[n]))
			dirty++;
		epoch_leave();
	}
	atomic_fetch_add(&total_dirty, dirty);
	atomic_fetch_add(&total_read, reads);
	return NULL;
}

/* walk -- one pass over a random range; every stable key in it must come, each key once and in order. */
static uint64
walk(ArtCursor *c, uint64 *rng)
{
	bool		backward = test_random(rng) % 2;
	uint32		prefix_of = (uint32) (test_random(rng) % key_count);
	uint32		prefix_len = test_random(rng) % 2 ? 0 : (uint32) (test_random(rng) % (key[prefix_of].len + 1));
	int			at = backward ? (int) key_count - 1 : 0;
	int			step = backward ? -1 : 1;
	uint64		seen = 0;
	Leaf	   *l;

	epoch_enter();
	art_seek(c, &shared->root, key[prefix_of].byte, prefix_len, NULL, 0, false, backward);
	do
	{
		l = art_next(c);
		/* the array goes up to this key: only keys that are not stable, or out of the prefix, may have been passed over */
		while (at >= 0 && at < (int) key_count && (l == NULL || !leaf__is(l, key[at].byte, key[at].len)))
		{
			bool		within = key[at].len >= prefix_len && memcmp(key[at].byte, key[prefix_of].byte, prefix_len) == 0;

			Verify(!within || !key[at].stable);
			at += step;
		}
		if (l != NULL)
		{
			Verify(at >= 0 && at < (int) key_count);	/* else out of order, or twice */
			check_value(l, &key[at]);
			Verify(memcmp(leaf_key(l), key[prefix_of].byte, prefix_len) == 0);
			at += step;
			seen++;
			if (test_random(rng) % 64 == 0)
				sched_yield();
		}
	} while (l != NULL);
	epoch_leave();
	return seen;
}

static void *
walker(void *arg)
{
	uint32		me = (uint32) (uintptr_t) arg;
	uint64		rng = test_seed() * 43 + me;
	uint64		seen = 0;

	my_slot = proc_slot(me);
	while (clock_mono_us() < deadline_us)
		seen += walk(art_cursor((int) (me - WALKER)), &rng);
	atomic_fetch_add(&total_walked, seen);
	return NULL;
}

/* ---- afterwards ---- */

static bool
any(const Leaf *l, void *arg)
{
	(void) l;
	(void) arg;
	return true;
}

static void
check_tree(uint64 *leaves)
{
	ArtStats	stats;
	char		err[200];

	epoch_enter();
	if (!art_check(&shared->root, &stats, err, sizeof(err)))
		fail_msg("%s", err);
	epoch_leave();
	if (leaves != NULL)
		*leaves = stats.leaves;
}

static void
check_last_versions(void)
{
	uint64		leaves;
	uint64		found = 0;

	epoch_enter();
	for (uint32 n = 0; n < key_count; n++)
	{
		Written		last = {0, true};
		const Leaf *l = art_lookup(&shared->root, key[n].byte, key[n].len);

		for (uint32 w = 0; w <= WRITERS; w++)
			if (written[w][n].lsn > last.lsn)
				last = written[w][n];
		if (l == NULL)
		{
			if (!last.tombstone)
				fail_msg("key %u: version %llu is lost", n, (unsigned long long) last.lsn);
			continue;
		}
		found++;
		assert_int_equal(l->lsn, last.lsn);
		assert_int_equal((leaf_flags(l) & LEAF_TOMBSTONE) != 0, last.tombstone);
	}
	epoch_leave();
	check_tree(&leaves);
	assert_int_equal(leaves, found);
}

static void
take_all_away(void)
{
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	uint64		removed = 0;
	MemStats	stats;

	/* twice: nodes that lost their last leaf by chance at the wrong moment are met by the key that comes back */
	for (uint32 n = 0; n < key_count; n++)
		assert_int_not_equal(test_write(key[n].byte, key[n].len, NULL, 0, TEST_PUT, 64, NULL), 0);
	while (!art_sweep(&shared->root, NULL, 0, from, &from_len, 100, any, NULL, &removed))
		mem_reclaim();
	assert_int_equal(removed, key_count);
	assert_int_equal(atomic_load(&shared->root.slot), 0);
	test_reclaim_all(SLOTS);
	mem_stats(&stats);
	assert_int_equal(stats.used, 0);
	assert_int_equal(stats.lost, 0);
	assert_int_equal(mem_live_blocks(), 0);
}

static void
test_storm(void **state)
{
	static const struct
	{
		void	   *(*work) (void *);
		uint32		slot;
	}			part[] = {
		{writer, 1}, {writer, 2}, {writer, 3}, {writer, 4},
		{sweeper, SWEEPER}, {reader, READER}, {walker, WALKER}, {walker, WALKER + 1},
	};
	pthread_t	thread[lengthof(part)];
	uint64		ms = test_rounds("ARTERY_ART_MS", TEST_TSAN ? 12000 : 2500);

	(void) state;
	test_segment(64 * MIB, SLOTS);
	make_keys();
	memset(written, 0, sizeof(written));
	for (uint32 n = 0; n < key_count; n++)
		if (key[n].stable)
		{
			written[0][n].lsn = test_write(key[n].byte, key[n].len, key[n].byte, key[n].len, TEST_PUT, 64, NULL);
			assert_int_not_equal(written[0][n].lsn, 0);
		}
	deadline_us = clock_mono_us() + ms * 1000;
	for (uint32 i = 0; i < lengthof(part); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, part[i].work, (void *) (uintptr_t) part[i].slot), 0);
	for (uint32 i = 0; i < lengthof(part); i++)
		pthread_join(thread[i], NULL);
	print_message("# %llu writes, %llu tombstones dropped, %llu reads, %llu paths checked, %llu walked\n",
				  (unsigned long long) total_writes, (unsigned long long) total_removed, (unsigned long long) total_read,
				  (unsigned long long) total_dirty, (unsigned long long) total_walked);
	assert_true(total_writes > 1000 && total_removed > 100 && total_read > 1000 && total_walked > 1000 && total_dirty > 1000);
	check_last_versions();
	take_all_away();
}

/* ---- many put the same new keys into one node at once: each key has exactly one winner ---- */

#define RUSH_MAX 256

static uint32 rush_width;
static uint32 rush_round;
static _Atomic uint32 rush_won[RUSH_MAX];
static pthread_barrier_t barrier;

static void *
rusher(void *arg)
{
	uint32		me = (uint32) (uintptr_t) arg;
	uint64		rng = test_seed() * 47 + me;
	uint32		shift;

	my_slot = proc_slot(me);
	test_pause_rng = rng;
	shift = (uint32) test_random(&rng);
	pthread_barrier_wait(&barrier);
	for (uint32 i = 0; i < rush_width; i++)
	{
		uint32		n = (i + shift) % rush_width;
		uint8		k[3] = {'r', (uint8) rush_round, (uint8) (n * 37)};

		if (test_write(k, 3, "v", 1, TEST_PUT_NEW, 1 + test_random(&rng) % STEP_MAX, NULL) != 0)
			atomic_fetch_add(&rush_won[n], 1);
	}
	mem_keep_ahead();
	return NULL;
}

static void
test_rush(void **state)
{
	static const uint32 widths[] = {1, 2, 4, 5, 16, 17, 40, 48, 49, 256};
	uint32		rounds = (uint32) test_rounds("ARTERY_RUSH_ROUNDS", TEST_TSAN ? 20 : 100);
	uint64		leaves;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	for (uint32 i = 0; i < rounds * lengthof(widths); i++)
	{
		pthread_t	thread[WRITERS];
		uint8		from[KEY_MAX];
		uint32		from_len = 0;
		uint64		removed = 0;

		rush_width = widths[i % lengthof(widths)];
		rush_round = i;
		memset((void *) rush_won, 0, sizeof(rush_won));
		pthread_barrier_init(&barrier, NULL, WRITERS);
		for (uint32 t = 0; t < WRITERS; t++)
			assert_int_equal(pthread_create(&thread[t], NULL, rusher, (void *) (uintptr_t) (t + 1)), 0);
		for (uint32 t = 0; t < WRITERS; t++)
			pthread_join(thread[t], NULL);
		pthread_barrier_destroy(&barrier);
		for (uint32 n = 0; n < rush_width; n++)
			assert_int_equal(rush_won[n], 1);
		check_tree(&leaves);
		assert_int_equal(leaves, rush_width);
		while (!art_sweep(&shared->root, NULL, 0, from, &from_len, 100, any, NULL, &removed))
			mem_reclaim();
		assert_int_equal(atomic_load(&shared->root.slot), 0);
	}
	test_reclaim_all(SLOTS);
	assert_int_equal(mem_live_blocks(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_rush, test_teardown),
		cmocka_unit_test_teardown(test_storm, test_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	print_message("# ARTERY_SEED=%llu\n", (unsigned long long) test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
