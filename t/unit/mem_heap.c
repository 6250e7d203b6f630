/*
 * mem_heap.c -- the node heap: classes, oracle, limit and reserve, retiring, passes, threads.
 *
 * Goal: no block is given out twice, none is lost, none is reused while a reader
 * may hold it, and memory that is free is found again whatever the sizes.  Method:
 * every block carries a pattern that only its owner knows; mem_live_blocks()
 * walks the whole heap at the end of each test and must find nothing in use.
 * ARTERY_MEM_ROUNDS lengthens the threads test; ARTERY_SEED repeats a run.
 */
#include "common/c.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "art_common.h"
#include "storage/mem/mem_internal.h"

#define SLOTS 8
#define THREADS 4

static Off
must_alloc(size_t size)
{
	Off			off;

	while ((off = mem_alloc(size)) == MEM_NONE)
		assert_int_equal(mem_grow(), 0);
	return off;
}

/* everything has been freed or retired: it all comes back, and the census agrees */
static void
assert_nothing_used(void)
{
	MemStats	stats;

	test_reclaim_all(SLOTS);
	mem_stats(&stats);
	assert_int_equal(stats.retired, 0);
	assert_int_equal(stats.used, 0);
	assert_int_equal(stats.lost, 0);
	assert_int_equal(mem_live_blocks(), 0);
}

static void
test_classes(void **state)
{
	uint32		last = 0;

	(void) state;
	for (size_t size = 1; size <= MEM_BLOCK_MAX; size++)
	{
		uint32		class = mem__class_of(size);
		size_t		bytes = mem__class_bytes(class);

		assert_true(class < MEM_CLASS_COUNT);
		assert_true(bytes >= size && bytes % 8 == 0);
		assert_true(class == last || class == last + 1);
		assert_int_equal(mem__class_of(bytes), class);
		if (size > 8 && size <= 512)
			assert_true(bytes - size < 8);
		else if (size > 512)
			assert_true(bytes - size < size / 8);
		last = class;
	}
	assert_int_equal(last, MEM_CLASS_COUNT - 1);
	assert_int_equal(mem_class_size(MEM_BLOCK_MAX), MEM_BLOCK_MAX);
}

/* ---- random allocating and freeing against what we know of each block ---- */

typedef struct Held
{
	Off			off;
	uint32		size;
	uint32		stamp;
} Held;

static void
stamp(Held *h)
{
	uint8	   *at = seg_ptr(h->off);

	for (uint32 i = 0; i < h->size; i++)
		at[i] = (uint8) (h->stamp + i * 7);
}

static void
assert_stamped(const Held *h)
{
	const uint8 *at = seg_ptr(h->off);

	for (uint32 i = 0; i < h->size; i++)
		if (at[i] != (uint8) (h->stamp + i * 7))
			fail_msg("block %llx of %u bytes is not what we wrote, at %u", (unsigned long long) h->off, h->size, i);
}

static uint32
random_size(uint64 *rng)
{
	switch (test_random(rng) % 8)
	{
		case 0:
			return 1 + (uint32) (test_random(rng) % MEM_BLOCK_MAX);
		case 1:
			return 1 + (uint32) (test_random(rng) % 4096);
		case 2:
			return (uint32) MEM_BLOCK_MAX;
		default:
			return 1 + (uint32) (test_random(rng) % 300);
	}
}

static void
test_random_blocks(void **state)
{
	enum { HELD = 3000 };
	static Held held[HELD];
	uint64		rng = test_seed();
	uint64		sum = 0;
	MemStats	stats;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	memset(held, 0, sizeof(held));
	for (uint32 i = 0; i < (TEST_TSAN ? 12000 : 120000); i++)
	{
		Held	   *h = &held[test_random(&rng) % HELD];

		my_slot = proc_slot((uint32) (test_random(&rng) % 3));	/* freed where it was not taken */
		if (h->off == 0)
		{
			h->size = random_size(&rng);
			h->stamp = i;
			h->off = must_alloc(h->size);
			assert_int_equal(h->off % 8, 0);
			sum += mem_class_size(h->size);
			stamp(h);
		}
		else
		{
			assert_stamped(h);
			sum -= mem_class_size(h->size);
			mem_free(h->off, h->size);
			h->off = 0;
		}
		if (i % 20000 == 0)
		{
			mem_stats(&stats);
			assert_int_equal(stats.used, sum);
		}
	}
	for (uint32 i = 0; i < HELD; i++)
		if (held[i].off != 0)
		{
			assert_stamped(&held[i]);
			mem_free(held[i].off, held[i].size);
		}
	assert_nothing_used();
}

/* ---- the limit ---- */

/* fill -- blocks of one size until there are no more; chained by their first word.  How many. */
static uint64
fill(size_t size, Off *chain)
{
	uint64		count = 0;

	for (;;)
	{
		Off			off = mem_alloc(size);

		if (off == MEM_NONE)
		{
			int			err = mem_grow();

			if (err == ENOMEM)
				return count;
			assert_int_equal(err, 0);
			continue;
		}
		*(Off *) seg_ptr(off) = *chain;
		*chain = off;
		count++;
	}
}

static uint64
free_chain(Off *chain, size_t size)
{
	uint64		count = 0;

	while (*chain != 0)
	{
		Off			off = *chain;

		*chain = *(Off *) seg_ptr(off);
		mem_free(off, size);
		count++;
	}
	return count;
}

static void
test_limit_and_reserve(void **state)
{
	Off			chain = 0;
	Off			reserved = 0;
	uint64		bytes = 0;
	uint64		count;
	MemStats	stats;

	(void) state;
	test_segment(32 * MIB, SLOTS);
	mem_stats(&stats);
	assert_int_equal(stats.limit, 32 * MIB);
	assert_int_equal(mem_alloc(100), MEM_NONE);	/* nothing is backed yet */
	count = fill(1000, &chain);
	assert_true(count * 1024 > 30 * MIB);
	mem_stats(&stats);
	assert_int_equal(stats.used, count * 1024);
	assert_true(stats.reserved <= stats.limit);
	assert_true(stats.spans_free >= 32 * MIB / 64);
	assert_int_equal(mem_alloc(1000), MEM_NONE);
	/* the reserve is there for those who may have it, in eleven sizes */
	for (size_t size = 48; bytes < 700 * KIB; size = size % 528 + 48)
	{
		Off			off = mem_alloc_reserve(size);

		assert_int_not_equal(off, MEM_NONE);
		*(Off *) seg_ptr(off) = reserved;
		((size_t *) seg_ptr(off))[1] = size;
		reserved = off;
		bytes += size;
	}
	/* and it comes to an end */
	for (count = 0; mem_alloc_reserve(MEM_BLOCK_MAX) != MEM_NONE; count++)
		assert_true(count < MIB / MEM_BLOCK_MAX);
	assert_int_equal(mem_grow(), ENOMEM);
	while (reserved != 0)
	{
		Off			off = reserved;

		reserved = *(Off *) seg_ptr(off);
		mem_free(off, ((size_t *) seg_ptr(off))[1]);
	}
	assert_true(free_chain(&chain, 1000) > 0);
	assert_int_equal(mem_grow(), 0);
}

static void
test_sizes_that_change(void **state)
{
	static const size_t sizes[] = {100, 1000, 24, 5000, MEM_BLOCK_MAX, 128, 40};
	Off			chain = 0;

	(void) state;
	test_segment(24 * MIB, SLOTS);
	for (uint32 i = 0; i < lengthof(sizes); i++)
	{
		uint64		count = fill(sizes[i], &chain);

		/* whole spans of the size before must have come back */
		assert_true(count * mem_class_size(sizes[i]) > 24 * MIB * 85 / 100);
		my_slot = proc_slot(i % 2);
		assert_int_equal(free_chain(&chain, sizes[i]), count);
		/* a slot that is not ours gives its caches back in its own time */
		mem_keep_ahead();
		my_slot = proc_slot(0);
		mem_keep_ahead();
	}
	assert_nothing_used();
}

/* half of the blocks of every span stay: nothing can come back, and looking for it must not take for ever */
static void
test_pass_in_vain(void **state)
{
	Off			chain = 0;
	Off			kept = 0;
	uint64		count;
	uint32		i = 0;

	(void) state;
	test_segment(24 * MIB, SLOTS);
	count = fill(64, &chain);
	while (chain != 0)
	{
		Off			off = chain;

		chain = *(Off *) seg_ptr(off);
		if (i++ % 2 == 0)
			mem_free(off, 64);
		else
		{
			*(Off *) seg_ptr(off) = kept;
			kept = off;
		}
	}
	for (i = 0; i < 2000; i++)
	{
		assert_int_equal(mem_alloc(1024), MEM_NONE);
		assert_int_equal(mem_grow(), ENOMEM);
	}
	/* the free halves are there for blocks of their size */
	assert_true(fill(64, &chain) >= count / 2 - MEM_BATCH_MAX * 4);
	free_chain(&chain, 64);
	free_chain(&kept, 64);
	assert_int_equal(mem_grow(), 0);
	assert_nothing_used();
}

/* ---- retiring ---- */

/* spans_free -- how many spans no class has. */
static uint64
spans_free(void)
{
	MemStats	stats;

	mem_stats(&stats);
	return stats.spans_free / MEM_SPAN_BYTES;
}

/*
 * One block in 500 holds its span back, a pass finds nothing; then these few are
 * freed, too little for a pass to look again: mem_collect does.
 */
static void
test_collect_the_last_blocks(void **state)
{
	Off			chain = 0;
	Off			kept = 0;
	uint64		before;
	uint32		i = 0;

	(void) state;
	test_segment(24 * MIB, SLOTS);
	(void) fill(104, &chain);
	before = spans_free();
	while (chain != 0)
	{
		Off			off = chain;

		chain = *(Off *) seg_ptr(off);
		if (i++ % 500 != 0)
			mem_free(off, 104);
		else
		{
			*(Off *) seg_ptr(off) = kept;
			kept = off;
		}
	}
	assert_true(mem_collect());
	assert_true(spans_free() <= before + 4);	/* nearly every span has a block in use */
	assert_true(mem_class_free(104) > (uint64) i * 9 / 10);
	free_chain(&kept, 104);
	assert_int_equal(mem_grow(), ENOMEM);	/* a pass thinks that it is not worth it */
	assert_true(mem_collect());
	assert_true(spans_free() > 24 * MIB / MEM_SPAN_BYTES - 16);
	assert_int_equal(mem_grow(), 0);
	assert_nothing_used();
}

/* Nothing of the part that is being vacated is given out, wherever it lay; afterwards its spans are whole. */
static void
test_vacate(void **state)
{
	Off			chain = 0;
	Off			inside = 0;
	Off			outside = 0;
	Off			from;
	Off			to;
	uint64		n_inside = 0;
	uint64		before;
	uint32		i = 0;

	(void) state;
	test_segment(24 * MIB, SLOTS);
	(void) fill(104, &chain);
	from = segment_region_offset(REGION_NODES) + 8 * MIB;
	to = from + 4 * MIB;
	while (chain != 0)
	{
		Off			off = chain;
		Off		   *list = off >= from && off < to ? &inside : &outside;

		chain = *(Off *) seg_ptr(off);
		if (i++ % 4 == 0)
			mem_free(off, 104);
		else
		{
			*(Off *) seg_ptr(off) = *list;
			*list = off;
			n_inside += list == &inside;
		}
	}
	before = spans_free();
	mem_vacate(from, to);
	/* what is used inside moves out */
	while (inside != 0)
	{
		Off			off = inside;
		Off			copy = mem_alloc(104);

		inside = *(Off *) seg_ptr(off);
		assert_int_not_equal(copy, MEM_NONE);
		assert_true(copy < from || copy >= to);
		*(Off *) seg_ptr(copy) = outside;
		outside = copy;
		mem_free(off, 104);
	}
	assert_true(n_inside > 10000);
	assert_true(mem_collect());
	assert_true(spans_free() >= before + 4 * MIB / MEM_SPAN_BYTES - 2);
	/* and it is given out again, to any size */
	for (i = 0; i < 4 * MIB / MEM_BLOCK_MAX - 8; i++)
		assert_int_not_equal(mem_alloc(MEM_BLOCK_MAX), MEM_NONE);
	free_chain(&outside, 104);
}

/* Who may use the reserve ends up with one span of a size that it needs little of, not with two. */
static void
test_reserve_that_was_begun(void **state)
{
	uint64		before;

	(void) state;
	test_segment(24 * MIB, SLOTS);
	assert_int_equal(mem_grow(), 0);
	mem_use_reserve = true;
	while (spans_free() > 4)	/* the first chunk: all of it is reserve, but for a few */
		assert_int_not_equal(mem_alloc(MEM_BLOCK_MAX), MEM_NONE);
	assert_int_not_equal(mem_alloc(200), MEM_NONE);
	for (int i = 0; i < 3; i++)
		assert_int_equal(mem_grow(), 0);
	before = spans_free();
	for (int i = 0; i < 300; i++)
		assert_int_not_equal(mem_alloc(200), MEM_NONE);
	assert_int_equal(spans_free(), before);
	mem_use_reserve = false;
}

static void
test_retired_waits_for_readers(void **state)
{
	enum { BLOCKS = 5000, SIZE = 88 };
	static Off	off[BLOCKS];
	uint64		before;
	MemStats	stats;

	(void) state;
	test_segment(32 * MIB, SLOTS);
	for (uint32 i = 0; i < BLOCKS; i++)
	{
		off[i] = must_alloc(SIZE);
		memset(seg_ptr(off[i]), (int) (i % 251), SIZE);
	}
	my_slot = proc_slot(1);
	epoch_enter();				/* a reader that stays */
	my_slot = proc_slot(0);
	before = epoch_current();
	for (uint32 i = 0; i < BLOCKS; i++)
		mem_retire(off[i], SIZE);
	for (uint32 i = 0; i < 50; i++)
		mem_reclaim();
	assert_true(epoch_current() <= before + 1);
	mem_stats(&stats);
	assert_int_equal(stats.retired, BLOCKS * SIZE);
	/* what is allocated now is none of them, and they still hold what they held */
	for (uint32 i = 0; i < BLOCKS; i++)
		memset(seg_ptr(must_alloc(SIZE)), 0xee, SIZE);
	for (uint32 i = 0; i < BLOCKS; i++)
		for (uint32 b = 0; b < SIZE; b++)
			if (((uint8 *) seg_ptr(off[i]))[b] != i % 251)
				fail_msg("block %u was reused under a reader", i);
	my_slot = proc_slot(1);
	epoch_leave();
	my_slot = proc_slot(0);
	test_reclaim_all(SLOTS);
	mem_stats(&stats);
	assert_int_equal(stats.retired, 0);
	assert_int_equal(stats.used, BLOCKS * SIZE);
	assert_int_equal(mem_live_blocks(), BLOCKS);
}

static void
test_retired_is_bounded(void **state)
{
	MemStats	stats;
	uint64		count = 0;
	Off			off;

	(void) state;
	test_segment(32 * MIB, SLOTS);
	my_slot = proc_slot(1);
	epoch_enter();
	my_slot = proc_slot(0);
	for (;;)
	{
		off = mem_alloc(500);
		if (off == MEM_NONE)
		{
			mem_stats(&stats);
			if (stats.retired > MIB && mem_grow() == ENOMEM)
				break;
			assert_int_equal(mem_grow(), 0);
			continue;
		}
		mem_retire(off, 500);
		count++;
	}
	assert_true(stats.retired <= stats.limit / 8 + 256 * KIB);
	assert_true(stats.retired >= stats.limit / 16);
	assert_int_equal(stats.retired, count * mem_class_size(500));
	/* the sweeper's kind may still allocate */
	off = mem_alloc_reserve(500);
	assert_int_not_equal(off, MEM_NONE);
	mem_free(off, 500);
	/* another process is held back by it, too, and gets on when the reader has left; so it does not matter if the one who retired sleeps */
	my_slot = proc_slot(2);
	assert_int_equal(mem_alloc(500), MEM_NONE);
	my_slot = proc_slot(1);
	epoch_leave();
	my_slot = proc_slot(2);
	assert_int_equal(mem_grow(), 0);
	off = mem_alloc(500);
	assert_int_not_equal(off, MEM_NONE);
	mem_free(off, 500);
	my_slot = proc_slot(0);
	assert_nothing_used();
}

static void
test_retire_parts(void **state)
{
	enum { PARTS = 700 };
	MemStats	stats;
	Off			off;
	Off		   *part;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	for (uint32 round = 0; round < 3; round++)
	{
		off = must_alloc(24 + PARTS * sizeof(Off));
		part = (Off *) ((char *) seg_ptr(off) + 24);
		for (uint32 i = 0; i < PARTS; i++)
			part[i] = must_alloc(i == PARTS - 1 ? 333 : MEM_BLOCK_MAX);
		mem_retire_parts(off, 24 + PARTS * sizeof(Off), 24, PARTS, MEM_BLOCK_MAX, 333);
		mem_stats(&stats);
		assert_int_equal(stats.retired, stats.used);
		assert_int_equal(mem_live_blocks(), 0);
		assert_nothing_used();
	}
}

/* ---- threads: blocks go from hand to hand ---- */

#define CELLS 64

typedef struct Exchange
{
	_Atomic uint64 cell[CELLS];	/* Off of a block, 0 */
	_Atomic uint64 takes;
} Exchange;

static Exchange exchange;
static uint64 thread_rounds;

/* first two words of a block on the exchange: its size and a sum over it */
static void
seal(Off off, uint32 size, uint64 salt)
{
	uint64	   *word = seg_ptr(off);

	word[0] = size;
	word[1] = salt;
	for (uint32 i = 2; i < size / 8; i++)
		word[i] = salt * 31 + i;
}

static uint32
check_seal(Off off)
{
	const uint64 *word = seg_ptr(off);
	uint32		size = (uint32) word[0];

	Verify(size >= 16 && size <= MEM_BLOCK_MAX);
	for (uint32 i = 2; i < size / 8; i++)
		Verify(word[i] == word[1] * 31 + i);
	return size;
}

static void *
exchange_thread(void *arg)
{
	uint32		number = (uint32) (uintptr_t) arg;
	uint64		rng = test_seed() + number;

	my_slot = proc_slot(number);
	for (uint64 i = 0; i < thread_rounds; i++)
	{
		_Atomic uint64 *cell = &exchange.cell[test_random(&rng) % CELLS];
		uint32		size = 16 + (uint32) (test_random(&rng) % (test_random(&rng) % 64 == 0 ? MEM_BLOCK_MAX - 16 : 400));
		Off			off;
		Off			old;

		if (i % 32 == 0)
			mem_keep_ahead();
		epoch_enter();
		/* look at one without taking it: it may be retired meanwhile, but not reused */
		old = atomic_load_explicit(cell, memory_order_acquire);
		if (old != 0)
			check_seal(old);
		off = mem_alloc(size);
		if (off == MEM_NONE)
		{
			epoch_leave();
			Verify(mem_grow() == 0 || atomic_load(&mem__shared->retired_over));
			continue;
		}
		seal(off, size, test_random(&rng));
		if (test_random(&rng) % 8 == 0)
		{
			mem_free(off, size);	/* never put on the exchange */
			off = 0;
		}
		old = atomic_exchange_explicit(cell, off, memory_order_acq_rel);
		if (old != 0)
		{
			atomic_fetch_add_explicit(&exchange.takes, 1, memory_order_relaxed);
			mem_retire(old, check_seal(old));
		}
		epoch_leave();
	}
	return NULL;
}

/* the same without readers: what is taken off the exchange is freed at once, often by another than who took it */
static void *
exchange_thread_free(void *arg)
{
	uint32		number = (uint32) (uintptr_t) arg;
	uint64		rng = test_seed() + number;

	my_slot = proc_slot(number);
	for (uint64 i = 0; i < thread_rounds; i++)
	{
		uint32		size = 16 + (uint32) (test_random(&rng) % 600);
		Off			off = mem_alloc(size);
		Off			old;

		if (off == MEM_NONE)
		{
			Verify(mem_grow() == 0);
			continue;
		}
		seal(off, size, test_random(&rng));
		old = atomic_exchange_explicit(&exchange.cell[test_random(&rng) % CELLS], off, memory_order_acq_rel);
		if (old != 0)
			mem_free(old, check_seal(old));
		if (i % 256 == 0)
			mem_keep_ahead();
	}
	return NULL;
}

static void
run_threads(void *(*work) (void *))
{
	pthread_t	thread[THREADS];

	memset((void *) &exchange, 0, sizeof(exchange));
	for (uint32 i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work, (void *) (uintptr_t) (i + 1)), 0);
	for (uint32 i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (uint32 i = 0; i < CELLS; i++)
		if (exchange.cell[i] != 0)
			mem_free(exchange.cell[i], check_seal(exchange.cell[i]));
}

static void
test_threads_free(void **state)
{
	(void) state;
	test_segment(24 * MIB, SLOTS);
	thread_rounds = test_rounds("ARTERY_MEM_ROUNDS", TEST_TSAN ? 20000 : 300000);
	run_threads(exchange_thread_free);
	assert_nothing_used();
}

static void
test_threads_retire(void **state)
{
	(void) state;
	test_segment(24 * MIB, SLOTS);
	thread_rounds = test_rounds("ARTERY_MEM_ROUNDS", TEST_TSAN ? 10000 : 150000);
	run_threads(exchange_thread);
	assert_true(exchange.takes > 0);
	assert_nothing_used();
}

/* blocks so large that a batch is one block: all of them go through the central list all the time, and soon come back to its head */
static void *
central_thread(void *arg)
{
	enum { SIZE = 4200, HELD = 6 };
	uint32		number = (uint32) (uintptr_t) arg;
	uint64		rng = test_seed() + number;
	Off			held[HELD];

	my_slot = proc_slot(number);
	for (uint64 i = 0; i < thread_rounds; i++)
	{
		uint32		count = 1 + (uint32) (test_random(&rng) % HELD);

		for (uint32 b = 0; b < count; b++)
		{
			while ((held[b] = mem_alloc(SIZE)) == MEM_NONE)
				Verify(mem_grow() == 0);
			/* not ours alone: that would show */
			((uint64 *) seg_ptr(held[b]))[2] = number * UINT64_C(1000000007) + i;
		}
		for (uint32 b = 0; b < count; b++)
			Verify(((uint64 *) seg_ptr(held[b]))[2] == number * UINT64_C(1000000007) + i);
		for (uint32 b = 0; b < count; b++)
			mem_free(held[b], SIZE);
	}
	return NULL;
}

static void
test_threads_central(void **state)
{
	(void) state;
	test_segment(8 * MIB, SLOTS);
	thread_rounds = test_rounds("ARTERY_MEM_ROUNDS", TEST_TSAN ? 10000 : 200000);
	run_threads(central_thread);
	assert_nothing_used();
}

/* a word that a central list has had never comes back: what a slow process read cannot fool its CAS */
static void
test_words_do_not_return(void **state)
{
	enum { WORDS = 3000, SIZE = 4200, HELD = 12 };
	static uint64 seen[WORDS];
	_Atomic uint64 *word;
	uint64		rng = test_seed();
	Off			held[HELD] = {0};
	uint32		count = 0;
	uint32		again = 0;
	uint64		last = 0;

	(void) state;
	test_segment(8 * MIB, SLOTS);
	word = &mem__shared->class[mem__class_of(SIZE)].batches;
	while (count < WORDS)
	{
		uint32		at = (uint32) (test_random(&rng) % HELD);

		if (held[at] == 0)
			held[at] = must_alloc(SIZE);
		else
		{
			mem_free(held[at], SIZE);
			held[at] = 0;
		}
		if (*word == last)
			continue;
		last = *word;
		for (uint32 i = 0; i < count; i++)
		{
			assert_true(seen[i] != last);
			again += (seen[i] & MEM_REF_MASK) == (last & MEM_REF_MASK);
		}
		seen[count++] = last;
	}
	assert_true(again > WORDS);	/* the same block was in front often enough */
}

/* each thread fills its share of a small heap with one size after the other, so that all of them live on passes over the others' spans */
static void *
phases_thread(void *arg)
{
	enum { SHARE = 800 * 1024, BLOCKS = SHARE / 32 };
	uint32		number = (uint32) (uintptr_t) arg;
	uint64		rng = test_seed() + number;
	Off		   *held = calloc(BLOCKS, sizeof(Off));

	Verify(held != NULL);
	my_slot = proc_slot(number);
	for (uint64 phase = 0; phase < thread_rounds; phase++)
	{
		uint32		size = 32 + (uint32) (test_random(&rng) % (phase % 3 == 0 ? 8000 : 400));
		uint32		count = SHARE / (uint32) mem_class_size(size);
		uint32		refused = 0;

		for (uint32 i = 0; i < count;)
		{
			held[i] = mem_alloc(size);
			if (held[i] != MEM_NONE)
				seal(held[i++], size, number + phase);
			else if (mem_grow() != 0)
			{
				/* the others hold free memory of other sizes in their caches until their next turn */
				Verify(++refused < 20000);
				mem_keep_ahead();
				sched_yield();
			}
			if (i % 64 == 0)
				mem_keep_ahead();
		}
		for (uint32 i = 0; i < count; i++)
		{
			Verify(((uint64 *) seg_ptr(held[i]))[1] == number + phase);
			mem_free(held[i], check_seal(held[i]));
			if (i % 64 == 0)
				mem_keep_ahead();
		}
	}
	/* nobody may wait for what this thread leaves in its caches */
	atomic_fetch_add(&exchange.takes, 1);
	while (atomic_load(&exchange.takes) < THREADS)
	{
		mem_keep_ahead();
		sched_yield();
	}
	free(held);
	return NULL;
}

static void
test_threads_pass(void **state)
{
	(void) state;
	test_segment(8 * MIB, SLOTS);
	thread_rounds = test_rounds("ARTERY_MEM_PHASES", TEST_TSAN ? 12 : 60);
	run_threads(phases_thread);
	assert_nothing_used();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test_teardown(test_random_blocks, test_teardown),
		cmocka_unit_test_teardown(test_limit_and_reserve, test_teardown),
		cmocka_unit_test_teardown(test_sizes_that_change, test_teardown),
		cmocka_unit_test_teardown(test_pass_in_vain, test_teardown),
		cmocka_unit_test_teardown(test_collect_the_last_blocks, test_teardown),
		cmocka_unit_test_teardown(test_vacate, test_teardown),
		cmocka_unit_test_teardown(test_reserve_that_was_begun, test_teardown),
		cmocka_unit_test_teardown(test_retired_waits_for_readers, test_teardown),
		cmocka_unit_test_teardown(test_retired_is_bounded, test_teardown),
		cmocka_unit_test_teardown(test_retire_parts, test_teardown),
		cmocka_unit_test_teardown(test_words_do_not_return, test_teardown),
		cmocka_unit_test_teardown(test_threads_free, test_teardown),
		cmocka_unit_test_teardown(test_threads_retire, test_teardown),
		cmocka_unit_test_teardown(test_threads_central, test_teardown),
		cmocka_unit_test_teardown(test_threads_pass, test_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	print_message("# ARTERY_SEED=%llu\n", (unsigned long long) test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
