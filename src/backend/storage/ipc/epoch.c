/*
 * epoch.c -- the slow half of epoch-based reclamation: advancing, grace periods.
 *
 * epoch.h has the protocol, its proof and the fast half.  Any process may try to
 * advance, at any time, also inside an epoch of its own (it then stands at E or
 * holds the advance back itself).  Nothing here locks; a process that dies inside
 * an epoch holds reclamation back until its slot is tidied or the segment made
 * anew.
 */
#include "storage/ipc/epoch.h"

#include <time.h>

#define GRACE_STEP_US 10

EpochShared *epoch_shared;

size_t
epoch_region_size(void)
{
	return sizeof(EpochShared);
}

void
epoch_region_init(void *region)
{
	epoch_shared = region;
	/* relaxed: before anybody else can look.  1, so that no active word is ever 1 << 0 | 1 by accident of zeroed memory */
	atomic_store_explicit(&epoch_shared->global, 1, memory_order_relaxed);
	atomic_store_explicit(&epoch_shared->advances, 0, memory_order_relaxed);
}

/*
 * load_global_fenced -- everything that this process did before, then the global
 * epoch, in the one order of all fences.
 */
static uint64
load_global_fenced(void)
{
#if EPOCH_TSAN
	/* seq_cst [epoch-enter]: in the fence's stead */
	return atomic_fetch_add_explicit(&epoch_shared->global, 0, memory_order_seq_cst);
#else
	atomic_thread_fence(memory_order_seq_cst);	/* seq_cst [epoch-enter] */
	return atomic_load_explicit(&epoch_shared->global, memory_order_acquire);	/* acquire [epoch-global] */
#endif
}

uint64
epoch_current(void)
{
	return load_global_fenced();
}

bool
epoch_try_advance(void)
{
	uint64		e = atomic_load_explicit(&epoch_shared->global, memory_order_acquire);	/* acquire [epoch-global] */

#if !EPOCH_TSAN
	atomic_thread_fence(memory_order_seq_cst);	/* seq_cst [epoch-enter]: words stored before an enterer's fence are seen */
#endif
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		ProcSlot   *slot = proc_slot(i);
		uint64		word;

#if EPOCH_TSAN
		/* seq_cst [epoch-enter], acquire [epoch-leave]: in the fence's stead */
		word = atomic_fetch_add_explicit(&slot->epoch_word, 0, memory_order_seq_cst);
#else
		word = atomic_load_explicit(&slot->epoch_word, memory_order_acquire);	/* acquire [epoch-leave] */
#endif
		if ((word & 1) != 0 && (word >> 1) != e)
			return false;
	}
	/* release [epoch-global]: what the leavers did before is passed on to whoever reads the new epoch and reuses memory */
	if (!atomic_compare_exchange_strong_explicit(&epoch_shared->global, &e, e + 1,
												 memory_order_seq_cst, memory_order_relaxed))
		return false;			/* somebody else did; the caller looks at the epoch, not at us */
	/* relaxed: a figure */
	atomic_fetch_add_explicit(&epoch_shared->advances, 1, memory_order_relaxed);
	return true;
}

uint64
epoch_grace_start(void)
{
	return load_global_fenced();
}

bool
epoch_grace_passed(uint64 started)
{
	for (int tries = 0; tries < 3; tries++)
	{
		if (atomic_load_explicit(&epoch_shared->global, memory_order_acquire) >= started + 2)	/* acquire [epoch-global] */
			return true;
		if (tries < 2 && !epoch_try_advance())
			return atomic_load_explicit(&epoch_shared->global, memory_order_acquire) >= started + 2;	/* acquire [epoch-global] */
	}
	return false;
}

void
epoch_wait_grace(void)
{
	const struct timespec step = {0, GRACE_STEP_US * 1000};
	uint64		started;

	Assert(!epoch_inside());
	started = epoch_grace_start();
	proc_set_wait(WAIT_GRACE_PERIOD);
	while (!epoch_grace_passed(started))
		(void) nanosleep(&step, NULL);
	proc_set_wait(WAIT_NONE);
}

uint64
epoch_oldest_lag(uint32 *slot_number)
{
	uint64		e = atomic_load_explicit(&epoch_shared->global, memory_order_acquire);	/* acquire [epoch-global] */
	uint64		lag = 0;

	*slot_number = PROC_SLOT_NONE;
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		/* relaxed: figures for status and the watchdog */
		uint64		word = atomic_load_explicit(&proc_slot(i)->epoch_word, memory_order_relaxed);

		if ((word & 1) != 0 && (word >> 1) < e && e - (word >> 1) > lag)
		{
			lag = e - (word >> 1);
			*slot_number = i;
		}
	}
	return lag;
}
