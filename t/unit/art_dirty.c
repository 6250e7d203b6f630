/*
 * art_dirty.c -- the walk of a checkpoint: what is dirty comes, what is clean is
 * mostly passed over.
 *
 * Goal: art_seek_dirty never passes over a subtree with a leaf above the last
 * committed cut, however the nodes above it were split, joined, thinned and copied
 * meanwhile, and does pass over what is clean.  Method: in one thread against the
 * list of all leaves, at the edges of the rounding; then with writers, a cut taken
 * as a checkpoint takes it (completed, grace period), and the writers' own notes of
 * what they had published.  A twin that does not wait until the cut is completed must
 * fail.  ARTERY_ART_MS lengthens it, ARTERY_SEED repeats the random choices.
 */
#include <pthread.h>

#include "art_keys.h"

#define WRITERS 3
#define TIDIER 4
#define WALKER 5
#define SLOTS 6
#define LOG_MAX 300000
#define WALKS_MAX 400
#define STEP_MAX (MIB / 2)
#define WALKS_MIN 12				/* a storm lasts until there have been so many, */
#define WRITTEN_MIN 2000		/* and so many versions, */
#define PATIENCE_US UINT64_C(60000000)	/* but no longer than this */

static uint64 rng;

/* put_at -- a version with exactly this lsn; it is the highest one so far. */
static void
put_at(const void *k, uint32 len, Lsn lsn)
{
	Lsn			now = atomic_load(&shared->lsn);

	assert_true(lsn > now);
	assert_int_equal(test_write(k, len, "v", 1, TEST_PUT, lsn - now, NULL), lsn);
}

/* walk_dirty -- number of leaves that come; those of them above 'committed' in *dirty. */
static uint32
walk_dirty(const void *from, uint32 from_len, bool exclusive, Lsn committed, uint32 *dirty)
{
	ArtCursor  *c = art_cursor(0);
	uint8		last[KEY_BYTES];
	uint32		last_len = 0;
	uint32		count = 0;

	*dirty = 0;
	epoch_enter();
	art_seek_dirty(c, &shared->root, from, from_len, exclusive, committed);
	for (const Leaf *l = art_next(c); l != NULL; l = art_next(c), count++)
	{
		int			order = count > 0 ? memcmp(last, leaf_key(l), Min(last_len, l->key_len)) : -1;

		assert_true(order < 0 || (order == 0 && last_len < l->key_len));
		last_len = l->key_len;
		memcpy(last, leaf_key(l), last_len);
		*dirty += l->lsn > committed;
	}
	epoch_leave();
	return count;
}

/* the edges of the rounding: a unit of the dirty LSN is a MiB of log */
static void
test_rounding(void **state)
{
	uint32		dirty;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	put_at("a", 1, 100);
	put_at("b", 1, 5 * MIB);
	assert_int_equal(walk_dirty(NULL, 0, false, 0, &dirty), 2);
	assert_int_equal(walk_dirty(NULL, 0, false, 5 * MIB - 1, &dirty), 2);
	assert_int_equal(dirty, 1);
	assert_int_equal(walk_dirty(NULL, 0, false, 5 * MIB, &dirty), 0);
	put_at("b", 1, 5 * MIB + 1);
	assert_int_equal(walk_dirty(NULL, 0, false, 5 * MIB, &dirty), 2);
	assert_int_equal(dirty, 1);
	put_at("c", 1, 5 * MIB + 70);
	/* a committed cut within the same MiB hides nothing */
	assert_int_equal(walk_dirty(NULL, 0, false, 5 * MIB + 69, &dirty), 3);
	assert_int_equal(dirty, 1);
	assert_int_equal(walk_dirty(NULL, 0, false, 6 * MIB - 1, &dirty), 3);
	assert_int_equal(walk_dirty(NULL, 0, false, 6 * MIB, &dirty), 0);
	/* ALWAYS is never passed over, and goes on into copies */
	atomic_fetch_or(&art__node(slot_ref(atomic_load(&shared->root.slot)))->meta, META_ALWAYS);
	assert_int_equal(walk_dirty(NULL, 0, false, UINT64_MAX, &dirty), 3);
	put_at("d", 1, 6 * MIB);
	put_at("e", 1, 6 * MIB + 1);
	put_at("f", 1, 6 * MIB + 2);
	assert_int_equal(walk_dirty(NULL, 0, false, UINT64_MAX, &dirty), 6);
}

/* after a few changes few leaves are looked at, and all that have changed */
static void
test_few_changes(void **state)
{
	enum { KEYS = 20000, CHANGES = 20 };
	char		k[32];
	Lsn			committed;
	uint32		dirty;
	uint32		looked;

	(void) state;
	rng = test_seed();
	test_segment(64 * MIB, SLOTS);
	for (uint32 i = 0; i < KEYS; i++)
	{
		assert_int_not_equal(test_write(k, (uint32) sprintf(k, "key:%06u", i), "v", 1, TEST_PUT, 128, NULL), 0);
		if (i % 64 == 0)
			mem_keep_ahead();
	}
	committed = AlignUp(atomic_load(&shared->lsn), MIB);
	atomic_store(&shared->lsn, committed);
	assert_int_equal(walk_dirty(NULL, 0, false, committed, &dirty), 0);
	assert_int_equal(walk_dirty(NULL, 0, false, 0, &dirty), KEYS);
	for (uint32 i = 0; i < CHANGES; i++)
	{
		uint32		n = i * (KEYS / CHANGES) + (uint32) (test_random(&rng) % (KEYS / CHANGES));

		assert_int_not_equal(test_write(k, (uint32) sprintf(k, "key:%06u", n), "w", 1, TEST_PUT, 128, NULL), 0);
	}
	looked = walk_dirty(NULL, 0, false, committed, &dirty);
	print_message("# %u of %u leaves looked at for %u\n", looked, (uint32) KEYS, dirty);
	assert_int_equal(dirty, CHANGES);
	assert_true(looked <= CHANGES * 10);
	/* in pieces, from a key on: the same */
	for (uint32 from = 0; from < KEYS; from += 999)
	{
		uint32		all;
		uint32		rest;

		(void) sprintf(k, "key:%06u", from);
		(void) walk_dirty(k, 10, false, 0, &all);
		assert_int_equal(all, KEYS - from);
		(void) walk_dirty(k, 10, true, 0, &all);
		assert_int_equal(all, KEYS - from - 1);
		(void) walk_dirty(k, 10, false, committed, &rest);
		assert_true(rest <= CHANGES - from / (KEYS / CHANGES));
		assert_true(rest + 1 >= CHANGES - from / (KEYS / CHANGES));
	}
}

/* ---- with writers ---- */

/* Written -- one version, noted when it was there to be seen */
typedef struct Written
{
	uint32		key;
	Lsn			lsn;
} Written;

static Written written[WRITERS + 1][LOG_MAX];
static _Atomic uint32 written_count[WRITERS + 1];

/* Walk -- what one walk has returned of each key; 0: nothing */
typedef struct Walk
{
	Lsn			committed;
	Lsn			cut;
	Lsn			lsn[KEYS_MAX];
} Walk;

static Walk walks[WALKS_MAX];
static uint32 walk_count;
static _Atomic bool over;
static bool waits_for_nothing;
static uint64 taken_away;
static Lsn	clean_upto;				/* what the tidier may take away: nothing that a walk may still want */

static void *
writer(void *arg)
{
	uint32		me = (uint32) (uintptr_t) arg;
	uint64		r = test_seed() * 31 + me;

	my_slot = proc_slot(me);
	test_pause_rng = r;
	while (!atomic_load(&over) && written_count[me] < LOG_MAX)
	{
		uint64		phase = atomic_load_explicit(&shared->lsn, memory_order_relaxed) / (500 * STEP_MAX);
		uint32		n = (uint32) ((phase * 104729 + test_random(&r) % 60) % key_count);
		bool		delete = test_random(&r) % 100 < (phase % 2 ? 70 : 20);
		Lsn			lsn = test_write(key[n].byte, key[n].len, "v", 1, delete ? TEST_DELETE : TEST_PUT,
									 8 + test_random(&r) % STEP_MAX, NULL);

		if (lsn != 0)
		{
			written[me][written_count[me]] = (Written){n, lsn};
			written_count[me]++;
		}
		mem_keep_ahead();
	}
	return NULL;
}

static bool
clean(const Leaf *l, void *arg)
{
	uint64	   *r = arg;

	return l->lsn <= clean_upto && test_random(r) % 2;
}

/* the tidier changes shapes under the walker's feet, and takes away what is clean */
static void *
tidier(void *arg)
{
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	ArtEvicted	out = {0};
	uint64		r = test_seed() * 37;

	my_slot = proc_slot((uint32) (uintptr_t) arg);
	while (!atomic_load(&over))
	{
		clean_upto = atomic_load(&shared->clock);
		if (art_evict(&shared->root, from, &from_len, 100, clean, &r, &out))
			from_len = 0;
		mem_keep_ahead();
	}
	taken_away = out.leaves;
	return NULL;
}

/* walk_once -- with a cut as a checkpoint takes it, in pieces, each in an epoch of its own. */
static void
walk_once(Walk *w, Lsn committed)
{
	ArtCursor  *c = art_cursor(0);
	uint8		from[KEY_BYTES];
	uint32		from_len = 0;
	bool		first = true;
	const Leaf *l;

	w->committed = committed;
	w->cut = atomic_load(&shared->lsn);
	memset(w->lsn, 0, sizeof(w->lsn));
	if (!waits_for_nothing)
	{
		while (test_completed() < w->cut)
			sched_yield();
		epoch_wait_grace();
	}
	do
	{
		uint64		steps = 1 + test_random(&rng) % 30;

		epoch_enter();
		art_seek_dirty(c, &shared->root, first ? NULL : from, from_len, true, committed);
		for (l = art_next(c); l != NULL && steps > 0; l = art_next(c), steps--)
		{
			uint32		n = key_number(l);

			Verify(w->lsn[n] == 0);		/* no key twice */
			w->lsn[n] = l->lsn;
			from_len = l->key_len;
			memcpy(from, leaf_key(l), from_len);
			first = false;
		}
		epoch_leave();
		sched_yield();
	} while (l != NULL);
}

/* enough -- for so long, and with so many walks and versions that the storm says something; a busy machine takes longer. */
static bool
enough(uint64 begun_us, uint64 ms)
{
	uint64		lasted_us = clock_mono_us() - begun_us;
	uint32		total = 0;

	for (uint32 w = 1; w <= WRITERS; w++)
		total += written_count[w];
	return (lasted_us >= ms * 1000 && walk_count >= WALKS_MIN && total >= WRITTEN_MIN) || lasted_us >= PATIENCE_US;
}

/* walker -- ends the storm. */
static void *
walker(void *arg)
{
	const uint64 *ms = arg;
	uint64		begun_us = clock_mono_us();
	Lsn			committed = 0;

	my_slot = proc_slot(WALKER);
	for (walk_count = 0; !enough(begun_us, *ms) && walk_count < WALKS_MAX; walk_count++)
	{
		walk_once(&walks[walk_count], committed);
		/* it has committed; what is clean for the next walk is clean for the tidier as well */
		if (test_random(&rng) % 4 != 0)
			committed = walks[walk_count].cut;
		epoch_wait_grace();
		atomic_store(&shared->clock, committed);
	}
	atomic_store(&over, true);
	return NULL;
}

/* missed -- versions in (committed, cut] of which a walk has returned neither them nor a later one. */
static uint64
missed(uint64 *due)
{
	uint64		count = 0;

	*due = 0;
	for (uint32 i = 0; i < walk_count; i++)
		for (uint32 w = 1; w <= WRITERS; w++)
			for (uint32 j = 0; j < written_count[w]; j++)
			{
				const Written *x = &written[w][j];

				/* a writer's own LSNs only rise */
				if (x->lsn > walks[i].cut)
					break;
				if (x->lsn > walks[i].committed)
				{
					(*due)++;
					count += walks[i].lsn[x->key] < x->lsn;
				}
			}
	return count;
}

static uint64
storm(uint64 ms)
{
	pthread_t	thread[SLOTS];
	uint64		due;
	uint64		count;

	rng = test_seed();
	test_segment(64 * MIB, SLOTS);
	make_keys();
	for (uint32 i = 0; i <= WRITERS; i++)
		written_count[i] = 0;
	atomic_store(&over, false);
	for (uint32 i = 1; i < WALKER; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, i <= WRITERS ? writer : tidier, (void *) (uintptr_t) i), 0);
	assert_int_equal(pthread_create(&thread[WALKER], NULL, walker, &ms), 0);
	for (uint32 i = 1; i < SLOTS; i++)
		pthread_join(thread[i], NULL);
	count = missed(&due);
	print_message("# %u walks, %llu versions due, %llu missed; %llu clean leaves taken away meanwhile\n", walk_count,
				  (unsigned long long) due, (unsigned long long) count, (unsigned long long) taken_away);
	assert_true(walk_count > 5 && due > 500);
	return count;
}

static void
test_storm(void **state)
{
	(void) state;
	assert_int_equal(storm(test_rounds("ARTERY_ART_MS", TEST_TSAN ? 8000 : 1500)), 0);
}

static void
test_twin_waits_for_nothing(void **state)
{
	uint64		count = 0;

	waits_for_nothing = true;
	for (int i = 0; i < 10 && count == 0; i++)
	{
		if (i > 0)
			(void) test_teardown(state);
		count = storm(TEST_TSAN ? 4000 : 1000);
	}
	waits_for_nothing = false;
	assert_true(count > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_rounding, test_teardown),
		cmocka_unit_test_teardown(test_few_changes, test_teardown),
		cmocka_unit_test_teardown(test_storm, test_teardown),
		cmocka_unit_test_teardown(test_twin_waits_for_nothing, test_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	print_message("# ARTERY_SEED=%llu\n", (unsigned long long) test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
