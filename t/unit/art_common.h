/*
 * art_common.h -- what the tests of the node heap and of the overlay share: a
 * private segment, seeded random numbers, writing as the store does.
 *
 * The log is a counter here: an LSN is drawn between art_prepare and art_publish,
 * and one that was drawn in vain stands for a VOID.
 */
#ifndef ARTERY_T_UNIT_ART_COMMON_H
#define ARTERY_T_UNIT_ART_COMMON_H

#include "common/c.h"

#include <sched.h>

#include "access/art/art_internal.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/segment.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define TEST_ASAN 1
#endif
#ifdef TEST_ASAN
#include <sanitizer/asan_interface.h>
#endif

#ifdef ART_TSAN
#define TEST_TSAN 1
#else
#define TEST_TSAN 0
#endif

#define TEST_SLOTS_MAX 16

/* TestShared -- stands where the store's shared state and the log's positions stand */
typedef struct TestShared
{
	ArtRoot		root;
	alignas(CACHE_LINE) _Atomic uint64 lsn;		/* end of the last record */
	alignas(CACHE_LINE) _Atomic uint64 clock;	/* ticks of the history test */
	_Atomic uint64 stop;
	_Atomic uint64 arrived;
	_Atomic uint64 start[TEST_SLOTS_MAX];	/* by slot: an LSN may be drawn above this and is not published yet; 0: none */
} TestShared;

static TestShared *shared;

static inline size_t
test_shared_size(void)
{
	return sizeof(TestShared);
}

static inline void
test_shared_init(void *region)
{
	shared = region;
}

static const SegmentRegion test_regions[] = {
	{REGION_PROCS, "procs", proc_region_size, proc_region_init},
	{REGION_EPOCH, "epoch", epoch_region_size, epoch_region_init},
	{REGION_STORE, "store", test_shared_size, test_shared_init},
	{REGION_HEAP, "heap", mem_region_size, mem_region_init},
};

/* test_segment -- a fresh segment; this thread takes slot 0.  One process with threads only: free blocks are poisoned under ASan. */
static inline void
test_segment(uint64 nodes_size, uint32 slots)
{
	segment_create_private(test_regions, lengthof(test_regions), nodes_size, 0, slots);
	proc_attach(0);
	mem_poison = true;
}

static inline int
test_teardown(void **state)
{
	(void) state;
#ifdef TEST_ASAN
	ASAN_UNPOISON_MEMORY_REGION(segment_region(REGION_NODES), segment_region_size(REGION_NODES));
#endif
	mem_poison = false;
	segment_destroy();
	return 0;
}

/* test_seed -- ARTERY_SEED, or something new each time; the same all through a run. */
static inline uint64
test_seed(void)
{
	static uint64 seed;

	if (seed == 0)
	{
		const char *env = getenv("ARTERY_SEED");

		seed = env != NULL ? strtoull(env, NULL, 10) : clock_wall_us() % 1000000007 + 1;
	}
	return seed;
}

/* test_random -- splitmix64. */
static inline uint64
test_random(uint64 *state)
{
	uint64		z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64
test_rounds(const char *variable, uint64 otherwise)
{
	const char *env = getenv(variable);

	return env != NULL ? strtoull(env, NULL, 10) : otherwise;
}

/* test_reclaim_all -- every slot's retired memory comes back; nobody is inside an epoch. */
static inline void
test_reclaim_all(uint32 slots)
{
	ProcSlot   *mine = my_slot;

	for (uint32 round = 0; round < 8; round++)
		for (uint32 i = 0; i < slots; i++)
		{
			my_slot = proc_slot(i);
			mem_reclaim();
		}
	my_slot = mine;
}

/* test_completed -- every LSN at or below has been published or given up: the counter first, the slots second. */
static inline Lsn
test_completed(void)
{
	Lsn			completed = atomic_load(&shared->lsn);

	for (uint32 i = 0; i < TEST_SLOTS_MAX; i++)
	{
		Lsn			start = atomic_load(&shared->start[i]);

		if (start != 0 && start - 1 < completed)
			completed = start - 1;
	}
	return completed;
}

/* test_pause -- lets others in at a bad moment, now and then, where the test wants that. */
static _Thread_local uint64 test_pause_rng;

static inline void
test_pause(void)
{
	if (test_pause_rng != 0 && test_random(&test_pause_rng) % 16 == 0)
		sched_yield();
}

/* test_leave -- stands for wal_fill and wal_fill_void. */
static inline void
test_leave(void)
{
	atomic_store(&shared->start[my_slot->number], 0);
}

typedef enum TestWrite
{
	TEST_PUT,
	TEST_PUT_NEW,		/* NX */
	TEST_DELETE
} TestWrite;

/*
 * test_write -- one write as the store does it, outside an epoch.  The LSN of the
 * new version, or 0 when nothing was changed (then *seen is the version that was
 * the reason; 0: none).  step: how long its record is.
 */
static inline Lsn
test_write(const void *key, uint32 key_len, const void *value, uint32 value_len, TestWrite what, uint64 step,
		   Lsn *seen)
{
	BytePart	part = {value, value_len};

	for (;;)
	{
		ArtPos		pos;
		Off			leaf;
		Lsn			lsn;
		bool		exists;
		uint32		refused = 0;

		epoch_enter();
		if (art_locate(&shared->root, key, key_len, &pos) != ART_OK)
			goto no_memory;
		exists = pos.leaf != NULL && (leaf_flags(pos.leaf) & LEAF_TOMBSTONE) == 0;
		if (what == TEST_DELETE ? !exists : what == TEST_PUT_NEW && exists)
		{
			if (seen != NULL)
				*seen = pos.leaf != NULL ? pos.leaf->lsn : 0;
			art_abandon(&pos);
			epoch_leave();
			return 0;
		}
		leaf = leaf_build(key, (uint16) key_len, &part, what == TEST_DELETE ? 0 : 1,
						  what == TEST_DELETE ? LEAF_TOMBSTONE : 0, 0);
		if (leaf == MEM_NONE)
		{
			art_abandon(&pos);
			goto no_memory;
		}
		if (art_prepare(&pos, leaf) != ART_OK)
		{
			art_abandon(&pos);
			leaf_free(leaf);
			goto no_memory;
		}
		test_pause();
		atomic_store(&shared->start[my_slot->number], atomic_load(&shared->lsn) + 1);
		lsn = atomic_fetch_add(&shared->lsn, step) + step;
		((Leaf *) seg_ptr(leaf))->lsn = lsn;
		test_pause();
		if (!art_raise_dirty(&pos, lsn))
			goto again;
		if (pos.leaf != NULL && pos.leaf->lsn > test_completed())
			art_mark_seen(pos.leaf);
		test_pause();
		if (!art_publish(&pos, leaf))
			goto again;
		test_leave();
		if (pos.leaf != NULL)
		{
			/* the order of a key's versions is the order of their LSNs */
			Verify(pos.leaf->lsn < lsn);
			leaf_retire(seg_off(pos.leaf));
		}
		epoch_leave();
		return lsn;

again:
		test_leave();
		art_abandon(&pos);
		leaf_free(leaf);
		epoch_leave();
		continue;

no_memory:
		epoch_leave();
		for (;;)
		{
			int			err = mem_grow();

			if (err == 0)
				break;
			/* others retire as fast as they can, and this may be a slow machine */
			Verify(++refused < 1000);
		}
	}
}

#endif
