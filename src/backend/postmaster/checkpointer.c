/*
 * checkpointer.c -- the checkpointer: log segments ahead, sweeping, memory ahead.
 *
 * One loop of bounded steps, so that a stop is obeyed within one of them.  It is
 * told to stop last, when the walwriter has flushed everything: then it writes
 * STOPPED into the control file.  Whoever needs a segment sets its latch; apart
 * from that it looks around ten times a second.
 */
#include "postmaster/children.h"
#include "access/store/store.h"
#include "access/wal/wal.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/segment.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#define LOOK_AROUND_US 100000

/* work -- one step of everything; true: something is left to do. */
static bool
work(void)
{
	bool		more;

	elog_doing("preparing log segments");
	more = wal_segments_prepare();
	elog_doing("sweeping");
	if (store_sweep_step())
		more = true;
	mem_reclaim();
	mem_keep_ahead();
	return more;
}

/* report -- a sign of life, every checkpoint_report_interval. */
static void
report(uint64 *reported_us, uint64 turns)
{
	uint64		now = clock_mono_us();

	if (now - *reported_us < (uint64) set_checkpoint_report_interval * 1000)
		return;
	*reported_us = now;
	ereport(DEBUG1, "alive: turn %llu, log flushed to %" LSN_FORMAT, (unsigned long long) turns,
			LSN_ARGS(wal_flushed_lsn()));
}

void
checkpointer_main(void)
{
	uint64		reported_us = clock_mono_us();
	uint64		turns = 0;

	if (!child_wait_recovered())
		return;					/* stopped during recovery: the control file stays as it is */
	for (;;)
	{
		bool		more;

		latch_reset();
		proc_heartbeat();
		turns++;
		child_reload();
		/* relaxed: a figure for the postmaster, which does not read the table of CONFIG SET itself */
		atomic_store_explicit(&seg_control->stall_timeout_ms, (uint64) set_worker_stall_timeout, memory_order_relaxed);
		if (child_stop_wanted())
			break;
		more = work();
		report(&reported_us, turns);
		if (more)
			continue;
		elog_doing("waiting for work");
		proc_set_wait(WAIT_CHECKPOINTER_MAIN);
		latch_sleep(LOOK_AROUND_US);
		proc_set_wait(WAIT_NONE);
	}
	elog_doing("writing the control file");
	store_shutdown(seg_control->data_dir);
}
