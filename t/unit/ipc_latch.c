/*
 * ipc_latch.c -- latches: no wake-up is lost, between threads and between processes.
 *
 * A ball goes round: each player waits for its turn, raises the turn and wakes
 * the next.  Whenever a wake-up is lost everything stands still; then a sleep
 * runs into its bound, which is an error.  Length: ARTERY_LATCH_ROUNDS.
 */
#include "storage/ipc/latch.h"
#include "utils/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define PLAYERS 3
#define BOUND_US 10000000

static const SegmentRegion regions[] = {
	{REGION_CONTROL, "control", segment_control_size, segment_control_init},
	{REGION_PROCS, "procs", proc_region_size, proc_region_init},
};

static uint64 rounds;
static _Atomic uint64 *turn;	/* in the segment, so that processes share it, too */

static int
setup(void **state)
{
	const char *env = getenv("ARTERY_LATCH_ROUNDS");

	(void) state;
	rounds = env != NULL ? strtoull(env, NULL, 10) : 20000;
	segment_create_private(regions, lengthof(regions), 0, 0, PLAYERS + 1);
	latch_create_all();
	proc_attach(0);
	turn = &seg_control->redo_lsn;
	return 0;
}

/* play -- player 'me' of 'players' until the end; false: a wake-up was lost. */
static bool
play(uint32 me, uint32 players, uint64 end)
{
	proc_attach(me);
	for (;;)
	{
		uint64		now;
		uint64		slept_at;

		latch_reset();
		now = atomic_load_explicit(turn, memory_order_acquire);
		if (now >= end)
			return true;
		if (now % players == me)
		{
			atomic_store_explicit(turn, now + 1, memory_order_release);
			for (uint32 i = 0; i < players; i++)	/* at the end all must learn of it */
				if (i == (now + 1) % players || (now + 1 >= end && i != me))
					latch_set(i);
			continue;
		}
		slept_at = clock_mono_us();
		latch_sleep(BOUND_US);
		if (clock_mono_us() - slept_at >= BOUND_US)
			return false;
	}
}

static void *
player_main(void *arg)
{
	return (void *) (uintptr_t) play((uint32) (uintptr_t) arg, PLAYERS, rounds);
}

static void
test_threads_pass_the_ball(void **state)
{
	pthread_t	threads[PLAYERS];

	(void) state;
	atomic_store(turn, 0);
	for (uintptr_t i = 0; i < PLAYERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, player_main, (void *) i), 0);
	for (int i = 0; i < PLAYERS; i++)
	{
		void	   *fine;

		assert_int_equal(pthread_join(threads[i], &fine), 0);
		assert_true(fine != NULL);
	}
	assert_int_equal(atomic_load(turn), rounds);
	proc_attach(0);
}

static void
test_processes_pass_the_ball(void **state)
{
	pid_t		pids[PLAYERS];

	(void) state;
	atomic_store(turn, 0);
	for (uint32 i = 0; i < PLAYERS; i++)
	{
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			_exit(play(i, PLAYERS, rounds) ? 0 : 1);
	}
	for (int i = 0; i < PLAYERS; i++)
	{
		int			status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(atomic_load(turn), rounds);
}

/* many setters, one owner that counts what it sees: the last post must be seen */
#define POSTS 5000
static _Atomic uint64 posted[PLAYERS];

static void *
poster_main(void *arg)
{
	uint32		me = (uint32) (uintptr_t) arg;

	for (int i = 0; i < POSTS; i++)
	{
		atomic_fetch_add_explicit(&posted[me - 1], 1, memory_order_release);
		latch_set(0);
	}
	return NULL;
}

static void
test_many_setters(void **state)
{
	pthread_t	threads[PLAYERS];
	uint64		seen = 0;
	uint64		sleeps = 0;

	(void) state;
	for (int i = 0; i < PLAYERS; i++)
		atomic_store(&posted[i], 0);
	for (uintptr_t i = 1; i <= PLAYERS; i++)
		assert_int_equal(pthread_create(&threads[i - 1], NULL, poster_main, (void *) i), 0);
	while (seen < PLAYERS * POSTS)
	{
		uint64		slept_at = clock_mono_us();

		latch_reset();
		seen = 0;
		for (int i = 0; i < PLAYERS; i++)
			seen += atomic_load_explicit(&posted[i], memory_order_acquire);
		if (seen < PLAYERS * POSTS)
			latch_sleep(BOUND_US);
		assert_true(clock_mono_us() - slept_at < BOUND_US);
		sleeps++;
	}
	for (int i = 0; i < PLAYERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	print_message("# %llu turns for %d posts\n", (unsigned long long) sleeps, PLAYERS * POSTS);
}

static void
test_set_before_sleep_and_timeout(void **state)
{
	uint64		begin;

	(void) state;
	latch_reset();
	latch_set(0);
	assert_false(latch_prepare_sleep());
	begin = clock_mono_us();
	latch_sleep(BOUND_US);
	assert_true(clock_mono_us() - begin < BOUND_US / 2);
	latch_reset();
	assert_true(latch_prepare_sleep());
	latch_reset();
	begin = clock_mono_us();
	latch_sleep(20000);
	assert_true(clock_mono_us() - begin >= 20000);
}

/* a count left in the eventfd by a late setter costs one turn and is then gone */
static void
test_stale_count_is_drained(void **state)
{
	const uint64 one = 1;
	uint64		begin;

	(void) state;
	latch_reset();
	assert_int_equal(write(latch_fd(), &one, sizeof(one)), sizeof(one));
	begin = clock_mono_us();
	latch_sleep(BOUND_US);		/* ends at once */
	assert_true(clock_mono_us() - begin < BOUND_US / 2);
	latch_reset();
	begin = clock_mono_us();
	latch_sleep(20000);			/* now it really sleeps */
	assert_true(clock_mono_us() - begin >= 20000);
}

static void
on_alarm(int signo)
{
	(void) signo;
	latch_set_own_from_signal();
}

static void
test_from_a_signal_handler(void **state)
{
	struct sigaction action = {.sa_handler = on_alarm};
	uint64		begin;

	(void) state;
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	latch_reset();
	begin = clock_mono_us();
	alarm(1);
	do
		latch_sleep(BOUND_US);	/* EINTR counts as awake; the latch tells why */
	while (clock_mono_us() - begin < 500000);
	assert_true(clock_mono_us() - begin < BOUND_US / 2);
	assert_false(latch_prepare_sleep());
	latch_reset();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_before_sleep_and_timeout),
		cmocka_unit_test(test_stale_count_is_drained),
		cmocka_unit_test(test_from_a_signal_handler),
		cmocka_unit_test(test_processes_pass_the_ball),
		cmocka_unit_test(test_threads_pass_the_ball),
		cmocka_unit_test(test_many_setters),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, NULL);
}
