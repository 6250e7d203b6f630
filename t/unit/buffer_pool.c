/*
 * buffer_pool.c -- the buffer pool: what is found is what was put in, as long as
 * the epoch lasts; frames go round; no frame is lost.
 *
 * The stress test is the use itself: readers look pages up and verify their
 * content again and again within an epoch, while inserters replace them in a pool
 * of the smallest size.  Its broken twin reuses frames at once and must be caught.
 * Others: every pool size, memory that is refused, processes that are killed in
 * the middle of an insertion, claims.  Length: ARTERY_BUFFER_ROUNDS (insertions
 * per thread).
 */
#include "storage/buffer/buffer_internal.h"

#include "common/base_format.h"
#include "storage/ipc/epoch.h"
#include "utils/clock.h"
#include "utils/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define SLOTS 16
#define READERS 3
#define INSERTERS 2
#define WORDS (BUFFER_PAGE_SIZE / sizeof(uint64))
#define STRIDE 61				/* words between two that are checked */

static const SegmentRegion regions[] = {
	{REGION_PROCS, "procs", proc_region_size, proc_region_init},
	{REGION_EPOCH, "epoch", epoch_region_size, epoch_region_init},
};

static uint64 seed;

static uint64
mix(uint64 z)
{
	z += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64
next_random(uint64 *state)
{
	return mix((*state)++);
}

/* make_page -- all of its content follows from its name. */
static void
make_page(uint64 *page, uint64 number, uint64 birth)
{
	BasePage   *p = (BasePage *) page;

	for (uint32 i = 0; i < WORDS; i++)
		page[i] = mix(number * 1000003 + birth) + i;
	p->number = number;
	p->birth = birth;
}

static bool
page_right(const void *page, uint64 number, uint64 birth)
{
	const uint64 *words = page;
	const BasePage *p = page;

	if (p->number != number || p->birth != birth)
		return false;
	for (uint32 i = sizeof(BasePage) / sizeof(uint64); i < WORDS; i += STRIDE)
		if (words[i] != mix(number * 1000003 + birth) + i)
			return false;
	return words[WORDS - 1] == mix(number * 1000003 + birth) + WORDS - 1;
}

static bool
put(uint64 number, uint64 birth)
{
	static _Thread_local alignas(64) uint64 page[WORDS];

	make_page(page, number, birth);
	return buffer_insert(number, birth, page);
}

/* look -- 1 found and right, 0 not there, -1 wrong. */
static int
look(uint64 number, uint64 birth)
{
	const void *page;
	int			result = 0;

	epoch_enter();
	page = buffer_lookup(number, birth);
	if (page != NULL)
		result = page_right(page, number, birth) ? 1 : -1;
	epoch_leave();
	return result;
}

static void
assert_sound(void)
{
	char		why[200];

	if (!buffer__check(why, sizeof(why)))
		fail_msg("%s", why);
}

static int
setup(void **state)
{
	(void) state;
	set_buffer_pool_size = 1 * (int64) MIB;
	segment_create_private(regions, lengthof(regions), 0, 0, SLOTS);
	proc_attach(0);
	assert_int_equal(buffer_init(), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	segment_destroy();
	return 0;
}

/* ---- one thread ---- */

static void
test_put_and_look(void **state)
{
	static alignas(64) uint64 copy[WORDS];
	BufferStats stats;

	(void) state;
	assert_int_equal(look(7, 100), 0);
	assert_true(put(7, 100));
	assert_int_equal(look(7, 100), 1);
	assert_int_equal(look(7, 101), 0);	/* another birth is another page */
	assert_int_equal(look(8, 100), 0);
	assert_false(put(7, 100));	/* it is there */
	assert_true(put(7, 101));
	assert_int_equal(look(7, 100), 1);
	assert_int_equal(look(7, 101), 1);
	assert_true(buffer_present(7, 101));
	assert_false(buffer_present(7, 102));
	assert_true(buffer_copy(7, 101, copy));
	assert_true(page_right(copy, 7, 101));
	assert_false(buffer_copy(9, 101, copy));
	buffer_stats(&stats);
	assert_int_equal(stats.used, 2);
	assert_int_equal(stats.inserted, 2);
	assert_int_equal(stats.hits, 3);
	assert_int_equal(stats.misses, 3);
	assert_int_equal(stats.evicted + stats.refused, 0);
	assert_sound();
}

static void
test_sizes(void **state)
{
	static const uint64 sizes[] = {16 * KIB, 100 * KIB, 256 * KIB, MIB, MIB + 5000, 3 * MIB, 17 * MIB, 128 * MIB, 3 * GIB,
		64 * GIB};

	(void) state;
	for (uint32 i = 0; i < lengthof(sizes); i++)
	{
		uint64		size = sizes[i];
		void	   *memory = mmap(NULL, size + BUFFER_PAGE_SIZE, PROT_READ | PROT_WRITE,
								  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		void	   *at = (void *) AlignUp((uintptr_t) memory, BUFFER_PAGE_SIZE);
		BufferShared *s;

		if (memory == MAP_FAILED)
		{
			print_message("# no address space for a pool of %llu MiB\n", (unsigned long long) (size / MIB));
			continue;
		}
		assert_int_equal(buffer__setup(at, size, NULL), 0);
		s = buffer__shared();
		if (size < 256 * KIB)
			assert_null(s);		/* nothing is ever in it, and nothing goes wrong */
		else
		{
			assert_true(s->frames_offset % BUFFER_PAGE_SIZE == 0);
			assert_true(s->frames_offset + (uint64) s->frame_count * BUFFER_PAGE_SIZE <= size);
			assert_true(s->ways_offset % CACHE_LINE == 0 && s->slots_offset % CACHE_LINE == 0);
			assert_true((uint64) s->set_count * BUFFER_WAYS + 4 <= s->frame_count);
			/* at most 1/8 goes elsewhere in a small pool, 1/20 in a large one, 1/256 for what manages it */
			if (size >= MIB)
				assert_true((uint64) s->set_count * BUFFER_WAYS * BUFFER_PAGE_SIZE >= size - size / (size < 16 * MIB ? 7 : 20));
			if (size >= 128 * MIB)
				assert_true((uint64) s->frame_count * BUFFER_PAGE_SIZE >= size - size / 256);
		}
		for (uint64 n = 1; n <= 200; n++)
		{
			(void) put(n, 5);
			assert_true(look(n, 5) >= 0);
		}
		assert_int_equal(look(200, 5), s == NULL ? 0 : 1);
		if (s != NULL)
			assert_sound();
		(void) munmap(memory, size + BUFFER_PAGE_SIZE);
	}
	assert_int_equal(buffer_init(), 0);
}

static void
test_turnover(void **state)
{
	BufferStats stats;
	uint64		random = seed;
	uint64		found = 0;

	(void) state;
	for (int i = 0; i < 20000; i++)
	{
		uint64		number = 1 + next_random(&random) % 300;
		int			there = look(number, 9);

		assert_true(there >= 0);
		if (there)
			found++;
		else
			assert_true(put(number, 9));	/* nobody else is in an epoch: there is always a frame */
	}
	buffer_stats(&stats);
	assert_int_equal(stats.inserted, stats.used + stats.evicted);
	assert_true(stats.used >= 40 && stats.used <= stats.frames);
	assert_true(stats.refused == 0);
	assert_true(found > 20000 * 40 / 300 / 2);
	assert_sound();
}

/* what is looked up again and again stays; what was looked up once long ago goes */
static void
test_used_pages_stay(void **state)
{
	BufferStats stats;
	int			kept = 0;

	(void) state;
	for (uint64 n = 1; n <= 8; n++)
		assert_true(put(n, 1));
	for (uint64 n = 1000; n < 3000; n++)
	{
		for (uint64 hot = 1; hot <= 8; hot++)
			kept += look(hot, 1) == 1;
		assert_true(put(n, 2));
		assert_int_equal(look(n, 2), 1);	/* the run that wanted it */
	}
	/* at most those of a set with more of them than it can hold beside what passes through */
	assert_true(kept > 2000 * 7);
	for (uint64 n = 5000; n < 6000; n++)
	{
		assert_true(put(n, 3));
		assert_int_equal(look(n, 3), 1);
	}
	for (uint64 n = 1; n <= 8; n++)
		assert_int_equal(look(n, 1), 0);
	buffer_stats(&stats);
	assert_int_equal(stats.refused, 0);
}

static void
test_grace(void **state)
{
	BufferStats stats;
	const void *page;
	uint64		n;

	(void) state;
	assert_true(put(1, 1));
	my_slot = proc_slot(1);
	epoch_enter();
	page = buffer_lookup(1, 1);
	assert_non_null(page);
	my_slot = proc_slot(0);
	/* the reader holds all frames back that leave the hash from now on: soon there are none */
	for (n = 100; n < 1100; n++)
		(void) put(n, 1);
	buffer_stats(&stats);
	assert_true(stats.refused > 800);
	assert_true(stats.inserted <= stats.frames);
	assert_true(page_right(page, 1, 1));
	my_slot = proc_slot(1);
	epoch_leave();
	my_slot = proc_slot(0);
	for (; n < 1200; n++)
	{
		assert_true(put(n, 1));
		assert_int_equal(look(n, 1), 1);
	}
	assert_sound();
}

/* frames that one process put into limbo are found by another */
static void
test_frames_of_others(void **state)
{
	uint64		n;

	(void) state;
	for (n = 1; n <= 500; n++)
		assert_true(put(n, 1));
	for (uint32 slot = 1; slot < SLOTS; slot++)
	{
		my_slot = proc_slot(slot);
		for (int i = 0; i < 20; i++, n++)
		{
			assert_true(put(n, 1));
			assert_int_equal(look(n, 1), 1);
		}
	}
	my_slot = proc_slot(0);
	assert_sound();
}

/* ---- memory that is refused ---- */

static uint64 memory_left;
static uint64 reserve_calls;

static int
scarce(void *at, uint64 len)
{
	(void) at;
	reserve_calls++;
	if (len > memory_left)
		return ENOSPC;
	memory_left -= len;
	return 0;
}

static void
test_memory_refused(void **state)
{
	uint64		size = 64 * MIB;
	char	   *memory = mmap(NULL, size + BUFFER_RESERVE_CHUNK, PROT_READ | PROT_WRITE,
							  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void	   *at = (void *) AlignUp((uintptr_t) memory, BUFFER_RESERVE_CHUNK);
	BufferStats stats;
	uint64		calls;

	(void) state;
	assert_ptr_not_equal(memory, MAP_FAILED);
	memory_left = MIB;
	assert_int_equal(buffer__setup(at, size, scarce), ENOSPC);	/* not even what manages it */

	memory_left = 6 * MIB;
	assert_int_equal(buffer__setup(at, size, scarce), 0);
	reserve_calls = 0;
	for (uint64 n = 1; n <= 20000; n++)
		if (put(n, 1))
			assert_int_equal(look(n, 1), 1);
	calls = reserve_calls;
	buffer_stats(&stats);
	/* three chunks of frames, less what manages them; they go round, and every other insertion gets one */
	assert_true(stats.used > 200 && stats.used <= 3 * BUFFER_RESERVE_CHUNK / BUFFER_PAGE_SIZE);
	assert_true(stats.inserted > 5000);
	assert_true(calls < 2 + 2 + (uint64) 60000 / BUFFER_RETRY_MS);	/* it does not ask each time */
	assert_true(atomic_load(&buffer__shared()->reserved) <= 3 * BUFFER_RESERVE_CHUNK / BUFFER_PAGE_SIZE);
	assert_sound();

	/* there is room again, and a second has passed */
	memory_left = size;
	atomic_store(&buffer__shared()->refused_ms, 1);
	for (uint64 n = 30000; n <= 40000; n++)
		(void) put(n, 1);
	buffer_stats(&stats);
	assert_true(stats.used > 3000);
	assert_sound();
	(void) munmap(memory, size + BUFFER_RESERVE_CHUNK);
	assert_int_equal(buffer_init(), 0);
}

/* ---- claims ---- */

static void
test_claims(void **state)
{
	BufferShared *s = buffer__shared();
	uint32		refused = 0;

	(void) state;
	assert_true(buffer_claim(5, 1));
	assert_true(buffer_claim(5, 1));	/* its own */
	my_slot = proc_slot(1);
	assert_false(buffer_claim(5, 1));
	assert_true(buffer_claim(5, 2));
	assert_true(buffer_claim(6, 1));
	buffer_unclaim(5, 1);		/* not its own: nothing happens */
	assert_false(buffer_claim(5, 1));
	my_slot = proc_slot(0);
	assert_false(buffer_claim(6, 1));
	buffer_unclaim(5, 1);
	my_slot = proc_slot(1);
	assert_true(buffer_claim(5, 1));
	/* the claim of one that died lapses: all times are put back */
	for (uint32 i = 0; i < BUFFER_CLAIM_SETS; i++)
		for (uint32 j = 0; j < BUFFER_CLAIM_WAYS; j++)
		{
			uint64		w = atomic_load(&s->claim[i][j]);

			if (w != 0)
				atomic_store(&s->claim[i][j], (w & ~(uint64) 0x3fffff) | ((w - BUFFER_CLAIM_MS - 1) & 0x3fffff));
		}
	my_slot = proc_slot(0);
	assert_true(buffer_claim(5, 1));
	assert_true(buffer_claim(6, 1));
	/* more claims than there is room for: whoever finds none reads all the same, and equal ones are still refused */
	for (uint64 n = 100; n < 100 + 4 * BUFFER_CLAIM_SETS * BUFFER_CLAIM_WAYS; n++)
		assert_true(buffer_claim(n, 1));
	my_slot = proc_slot(1);
	for (uint64 n = 100; n < 100 + 4 * BUFFER_CLAIM_SETS * BUFFER_CLAIM_WAYS; n++)
		refused += !buffer_claim(n, 1);
	assert_true(refused > BUFFER_CLAIM_SETS * BUFFER_CLAIM_WAYS / 2);
	my_slot = proc_slot(0);
}

/* ---- threads ---- */

static _Atomic bool stop;
static _Atomic uint64 wrong;
static _Atomic uint64 seen;
static uint64 rounds;
static uint64 deadline;

#define NAMES 150

static void *
reader_thread(void *arg)
{
	uint64		random = seed * 31 + (uintptr_t) arg;

	proc_attach((uint32) (uintptr_t) arg);
	while (!atomic_load(&stop))
	{
		uint64		number = 1 + next_random(&random) % NAMES;
		const void *page;

		epoch_enter();
		page = buffer_lookup(number, 1 + number % 3);
		if (page != NULL)
		{
			atomic_fetch_add(&seen, 1);
			for (int i = 0; i < 3; i++)
			{
				if (!page_right(page, number, 1 + number % 3))
					atomic_fetch_add(&wrong, 1);
				if (i == 0 && next_random(&random) % 8 == 0)
					(void) sched_yield();
			}
		}
		epoch_leave();
	}
	return NULL;
}

static void *
inserter_thread(void *arg)
{
	uint64		random = seed * 77 + (uintptr_t) arg;

	proc_attach((uint32) (uintptr_t) arg);
	for (uint64 i = 0; i < rounds && atomic_load(&wrong) == 0 && clock_mono_us() < deadline;)
	{
		uint64		number = 1 + next_random(&random) % NAMES;

		if (put(number, 1 + number % 3))
			i++;
		else
			(void) sched_yield();	/* there already, or a reader who was interrupted holds the frames back */
	}
	return NULL;
}

/* stress -- readers against inserters; returns how often a reader saw what he must not see. */
static uint64
stress(void)
{
	pthread_t	reader[READERS];
	pthread_t	inserter[INSERTERS];

	atomic_store(&stop, false);
	atomic_store(&wrong, 0);
	atomic_store(&seen, 0);
	deadline = clock_mono_us() + 10000000;
	for (uintptr_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&reader[i], NULL, reader_thread, (void *) (1 + i)), 0);
	for (uintptr_t i = 0; i < INSERTERS; i++)
		assert_int_equal(pthread_create(&inserter[i], NULL, inserter_thread, (void *) (1 + READERS + i)), 0);
	for (int i = 0; i < INSERTERS; i++)
		(void) pthread_join(inserter[i], NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < READERS; i++)
		(void) pthread_join(reader[i], NULL);
	return atomic_load(&wrong);
}

static void
test_stress(void **state)
{
	BufferStats stats;

	(void) state;
	assert_int_equal(stress(), 0);
	buffer_stats(&stats);
	print_message("# %llu pages seen, %llu inserted, %llu evicted, %llu refused\n", (unsigned long long) atomic_load(&seen),
				  (unsigned long long) stats.inserted, (unsigned long long) stats.evicted, (unsigned long long) stats.refused);
	assert_true(stats.evicted > rounds / 20);
	assert_true(atomic_load(&seen) > 100);
	assert_sound();
}

#ifdef ARTERY_FAULTS
#define TWIN_SECONDS 120

/* broken_is_caught -- in a process of its own: a sanitizer or an assertion ends it, or it goes round in what it has broken. */
static bool
broken_is_caught(void)
{
	int			status;
	pid_t		pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		int			null = open("/dev/null", O_WRONLY);

		(void) dup2(null, STDERR_FILENO);
		(void) alarm(TWIN_SECONDS);
		buffer__without_grace = true;
		rounds *= 20;
		_exit(stress() > 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif

/* the same without the grace period must be caught; at the first attempt, nearly always */
static void
test_stress_broken(void **state)
{
	(void) state;
#ifdef ARTERY_FAULTS
	for (int attempt = 0; attempt < 10; attempt++)
		if (broken_is_caught())
			return;
	fail_msg("frames that are used again at once were not noticed");
#else
	skip();
#endif
}

/* ---- processes ---- */

static void
inserting_process(uint32 slot)
{
	uint64		random = seed + slot;

	proc_attach(slot);
	for (;;)
	{
		uint64		number = 1 + next_random(&random) % NAMES;

		if (look(number, 1) < 0)
			_exit(1);
		(void) put(number, 1);
	}
}

/*
 * Killed anywhere in an insertion: what others find stays right, and of the frames
 * at most two are lost each time (one in hand, one unlinked).
 */
static void
test_killed_inserters(void **state)
{
	const int	kills = 12;
	BufferShared *s = buffer__shared();
	uint64		random = seed;
	uint32		free_frames = 0;

	(void) state;
	for (int i = 0; i < kills; i++)
	{
		uint32		slot = (uint32) (1 + i % (SLOTS - 1));
		uint64		until = clock_mono_us() + 3000 + next_random(&random) % 5000;
		int			status;
		pid_t		pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			inserting_process(slot);
		while (clock_mono_us() < until)
			assert_true(look(1 + next_random(&random) % NAMES, 1) >= 0);
		(void) kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		/* as the one who tidies does: the epoch slot last */
		atomic_store(&proc_slot(slot)->epoch_word, 0);
		proc_slot(slot)->epoch_depth = 0;
		for (uint64 n = 1; n <= NAMES; n++)
			assert_true(look(n, 1) >= 0);
	}
	for (uint64 n = 1; n <= 2000; n++)
		(void) put(10000 + n, 1);
	for (uint32 f = 0; f < s->frame_count; f++)
	{
		_Atomic uint64 *states = (_Atomic uint64 *) ((char *) s + s->states_offset);

		free_frames += (atomic_load(&states[f]) & BUFFER_STATE_MASK) != BUFFER_TAKEN;
	}
	assert_true(free_frames + (uint32) kills >= s->frame_count);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_put_and_look, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turnover, setup, teardown),
		cmocka_unit_test_setup_teardown(test_used_pages_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames_of_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_claims, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stress_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_inserters, setup, teardown),
	};
	const char *env = getenv("ARTERY_SEED");

	seed = env != NULL ? strtoull(env, NULL, 10) : clock_wall_us() % 1000000007 + 1;
	env = getenv("ARTERY_BUFFER_ROUNDS");
	rounds = env != NULL ? strtoull(env, NULL, 10) : 4000;
	print_message("# ARTERY_SEED=%llu\n", (unsigned long long) seed);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
