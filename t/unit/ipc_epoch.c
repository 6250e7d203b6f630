/*
 * ipc_epoch.c -- epochs: nothing is reused while a reader may hold it.
 *
 * The stress test is the use itself: readers follow shared references to blocks,
 * writers replace the blocks, retire them and reuse them after a grace period by
 * spoiling their content.  A reader that ever sees a spoilt block has lost its
 * protection.  Its broken twin reuses at once and must be caught.
 * Length: ARTERY_EPOCH_ROUNDS (writer steps per thread).
 */
#include "storage/ipc/epoch.h"
#include "utils/clock.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define READERS 3
#define WRITERS 2
#define CELLS 4
#define BLOCKS 64				/* per writer */
#define BLOCK_WORDS 8
#define SPOILT UINT64_C(0xdeaddeaddeaddead)

static const SegmentRegion regions[] = {
	{REGION_PROCS, "procs", proc_region_size, proc_region_init},
	{REGION_EPOCH, "epoch", epoch_region_size, epoch_region_init},
};

typedef struct Block
{
	uint64		word[BLOCK_WORDS];	/* all equal while the block is published */
} Block;

static int
setup(void **state)
{
	(void) state;
	segment_create_private(regions, lengthof(regions), 0, 0, READERS + WRITERS);
	proc_attach(0);
	return 0;
}

static void
test_nesting(void **state)
{
	(void) state;
	assert_false(epoch_inside());
	epoch_enter();
	epoch_enter();
	assert_true(epoch_inside());
	epoch_leave();
	assert_true(epoch_inside());
	assert_int_equal(atomic_load(&my_slot->epoch_word) & 1, 1);
	epoch_leave();
	assert_false(epoch_inside());
	assert_int_equal(atomic_load(&my_slot->epoch_word), 0);
}

static void
test_advance_waits_for_the_slowest(void **state)
{
	uint64		start = epoch_current();
	uint32		slowest;
	uint64		grace;

	(void) state;
	epoch_enter();				/* slot 0 stands at 'start' */
	assert_true(epoch_try_advance());	/* it stands at the current epoch: one step may be made */
	assert_int_equal(epoch_current(), start + 1);
	my_slot = proc_slot(1);
	epoch_enter();
	assert_false(epoch_try_advance());	/* slot 0 is one behind */
	assert_int_equal(epoch_current(), start + 1);
	assert_int_equal(epoch_oldest_lag(&slowest), 1);
	assert_int_equal(slowest, 0);
	epoch_leave();

	my_slot = proc_slot(0);
	grace = epoch_grace_start();
	assert_false(epoch_grace_passed(grace));	/* we hold it back ourselves */
	epoch_leave();
	assert_true(epoch_grace_passed(grace));
	assert_int_equal(epoch_oldest_lag(&slowest), 0);
	assert_int_equal(slowest, PROC_SLOT_NONE);
	epoch_wait_grace();
}

/* a grace period begun before a reader entered does not wait for it for ever, one begun after it does */
static void
test_grace_covers_those_inside(void **state)
{
	uint64		grace;

	(void) state;
	my_slot = proc_slot(1);
	epoch_enter();
	my_slot = proc_slot(0);
	grace = epoch_grace_start();
	for (int i = 0; i < 100; i++)
		assert_false(epoch_grace_passed(grace));
	my_slot = proc_slot(1);
	epoch_leave();
	my_slot = proc_slot(0);
	assert_true(epoch_grace_passed(grace));
}

/* ---- the stress ---- */

typedef struct Stress
{
	bool		broken;			/* reuse without waiting */
	uint64		rounds;
	_Atomic uintptr_t cell[CELLS];
	_Atomic uint64 violations;
	_Atomic uint64 reads;
	_Atomic uint64 reused;
	_Atomic uint32 writers_done;
} Stress;

static Stress stress;

typedef struct Writer
{
	Block		block[BLOCKS];
	uint64		retired_at[BLOCKS];	/* 0: free or published */
	bool		published[BLOCKS];
} Writer;

static Writer writers[WRITERS];

static void *
reader_main(void *arg)
{
	uint64		reads = 0;

	proc_attach((uint32) (uintptr_t) arg);
	while (atomic_load_explicit(&stress.writers_done, memory_order_relaxed) < WRITERS)
	{
		epoch_enter();
		for (int c = 0; c < CELLS; c++)
		{
			const Block *b = (const Block *) atomic_load_explicit(&stress.cell[c], memory_order_acquire);
			uint64		first;

			if (b == NULL)
				continue;
			first = *(volatile const uint64 *) &b->word[0];
			if (reads % 64 == 0)
				sched_yield();	/* give the writers time to do harm */
			for (int i = 0; i < BLOCK_WORDS; i++)
				if (*(volatile const uint64 *) &b->word[i] != first || first == SPOILT)
					atomic_fetch_add(&stress.violations, 1);
			reads++;
		}
		epoch_leave();
	}
	atomic_fetch_add(&stress.reads, reads);
	return NULL;
}

/* writer_take -- a block that may be written: free, or past its grace period. */
static int
writer_take(Writer *w, uint64 round)
{
	for (;;)
	{
		for (int i = 0; i < BLOCKS; i++)
		{
			int			k = (int) ((round + (uint64) i) % BLOCKS);

			if (w->published[k])
				continue;
			if (w->retired_at[k] == 0)
				return k;
			if (stress.broken || epoch_grace_passed(w->retired_at[k]))
			{
				for (int j = 0; j < BLOCK_WORDS; j++)
					*(volatile uint64 *) &w->block[k].word[j] = SPOILT;
				w->retired_at[k] = 0;
				atomic_fetch_add_explicit(&stress.reused, 1, memory_order_relaxed);
				return k;
			}
		}
		sched_yield();
	}
}

static void *
writer_main(void *arg)
{
	uint32		number = (uint32) (uintptr_t) arg;
	Writer	   *w = &writers[number];

	proc_attach(READERS + number);
	for (uint64 round = 0; round < stress.rounds; round++)
	{
		int			k = writer_take(w, round);
		int			c = (int) (number * (CELLS / WRITERS) + round % (CELLS / WRITERS));
		uintptr_t	old;

		for (int j = 0; j < BLOCK_WORDS; j++)
			*(volatile uint64 *) &w->block[k].word[j] = round;
		w->published[k] = true;
		epoch_enter();
		old = atomic_exchange_explicit(&stress.cell[c], (uintptr_t) &w->block[k], memory_order_acq_rel);
		if (old != 0)
		{
			int			o = (int) ((Block *) old - w->block);	/* cells belong to one writer each */

			w->published[o] = false;
			w->retired_at[o] = epoch_current();
		}
		epoch_leave();
		if (stress.broken && atomic_load(&stress.violations) > 0)
			break;
	}
	atomic_fetch_add(&stress.writers_done, 1);
	return NULL;
}

static void
run_stress(bool broken, uint64 rounds)
{
	pthread_t	threads[READERS + WRITERS];

	memset(&stress, 0, sizeof(stress));
	memset(writers, 0, sizeof(writers));
	stress.broken = broken;
	stress.rounds = rounds;
	for (uintptr_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader_main, (void *) i), 0);
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[READERS + i], NULL, writer_main, (void *) i), 0);
	for (int i = 0; i < READERS + WRITERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void
test_stress(void **state)
{
	const char *env = getenv("ARTERY_EPOCH_ROUNDS");

	(void) state;
	run_stress(false, env != NULL ? strtoull(env, NULL, 10) : EPOCH_TSAN ? 20000 : 600000);
	print_message("# %llu reads, %llu reuses, %llu epochs\n", (unsigned long long) atomic_load(&stress.reads),
				  (unsigned long long) atomic_load(&stress.reused),
				  (unsigned long long) atomic_load(&epoch_shared->advances));
	assert_int_equal(atomic_load(&stress.violations), 0);
	assert_true(atomic_load(&stress.reused) > BLOCKS);
}

#if !EPOCH_TSAN				/* the sanitizer itself would end it, rightly */
static void
test_broken_twin_is_caught(void **state)
{
	(void) state;
	for (int attempt = 0; attempt < 20; attempt++)
	{
		run_stress(true, 500000);
		if (atomic_load(&stress.violations) > 0)
			return;
	}
	fail_msg("reuse without a grace period was not noticed");
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_advance_waits_for_the_slowest),
		cmocka_unit_test(test_grace_covers_those_inside),
		cmocka_unit_test(test_stress),
#if !EPOCH_TSAN
		cmocka_unit_test(test_broken_twin_is_caught),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, NULL);
}
