/*
 * epoch.h -- epoch-based reclamation (Fraser 2004), one word per process slot.
 *
 * A process enters before it follows a reference into the node heap and leaves
 * before anything that may sleep, make a system call or take long.  Memory
 * unlinked and then retired at global epoch e is reused once the global epoch is
 * >= e + 2: every process that could have seen it has left since.
 *
 * enter: slot := (E << 1) | 1, then a seq_cst fence, so that the store is seen
 * before any later load of the tree.  Cost: one fence.  Nests (epoch_depth).
 * try_advance: seq_cst fence; if every active slot stands at E, CAS E -> E + 1.
 * retire: unlink, then epoch_current() (seq_cst fence, then the global epoch).
 *
 * Why e + 2 is enough.  Let R hold a reference to a block that U unlinked, and e
 * be what U read after its fence.  R's fence stands before U's in the one order of
 * all seq_cst fences (else R's descent had met the unlinked tree), so R entered
 * with an epoch r <= e.  The step e -> e + 1 may have overlooked R, whose word was
 * stored late; the step e + 1 -> e + 2 cannot: its process has read e + 1, which
 * was made after U read e, so its fence stands behind U's; if R's fence stood
 * behind it in turn, R would have seen the unlink.  So it sees R's word, which is
 * not e + 1, and waits.
 *
 * Under ThreadSanitizer, which does not follow fences, each fence is a
 * read-modify-write of the word in question.
 */
#ifndef ARTERY_STORAGE_IPC_EPOCH_H
#define ARTERY_STORAGE_IPC_EPOCH_H

#include "common/c.h"
#include "storage/ipc/proc.h"

#if defined(__SANITIZE_THREAD__)
#define EPOCH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EPOCH_TSAN 1
#endif
#endif
#ifndef EPOCH_TSAN
#define EPOCH_TSAN 0
#endif

typedef struct EpochShared
{
	alignas(CACHE_LINE) _Atomic uint64 global;	/* any process raises it by CAS; starts at 1 */
	_Atomic uint64 advances;					/* a figure for status */
} EpochShared;

extern EpochShared *epoch_shared;		/* set at start */

extern size_t epoch_region_size(void);
extern void epoch_region_init(void *region);

static inline void
epoch_enter(void)
{
	ProcSlot   *slot = my_slot;

	if (slot->epoch_depth++ == 0)
	{
		uint64		e = atomic_load_explicit(&epoch_shared->global, memory_order_relaxed);	/* relaxed: an old value only delays */

#if EPOCH_TSAN
		/* seq_cst [epoch-enter]: in the fence's stead */
		(void) atomic_exchange_explicit(&slot->epoch_word, (e << 1) | 1, memory_order_seq_cst);
#else
		/* release [epoch-leave]: who sees this word sees that we left before */
		atomic_store_explicit(&slot->epoch_word, (e << 1) | 1, memory_order_release);
		/* the store above before the loads of the tree below */
		atomic_thread_fence(memory_order_seq_cst);	/* seq_cst [epoch-enter] with epoch_try_advance */
#endif
	}
}

static inline void
epoch_leave(void)
{
	ProcSlot   *slot = my_slot;

	Assert(slot->epoch_depth > 0);
	if (--slot->epoch_depth == 0)
		atomic_store_explicit(&slot->epoch_word, 0, memory_order_release);	/* release [epoch-leave]: our reads are done */
}

static inline bool
epoch_inside(void)
{
	return my_slot->epoch_depth > 0;
}

/* epoch_current -- the epoch to retire a block with: call it after the unlink. */
extern uint64 epoch_current(void);
extern bool epoch_try_advance(void);	/* true: advanced.  Any process. */
/* epoch_grace_start / epoch_grace_passed -- has everybody left who was inside at 'start'?  For callers that must not sleep. */
extern uint64 epoch_grace_start(void);
extern bool epoch_grace_passed(uint64 started);	/* tries to advance */
/* epoch_wait_grace -- sleeps (10 us steps) until a grace period has passed; outside an epoch. */
extern void epoch_wait_grace(void);
/* epoch_oldest_lag -- how far the slowest active slot is behind, and which slot: status, watchdog. */
extern uint64 epoch_oldest_lag(uint32 *slot_number);

#endif
