/*
 * checkpointer.c -- the checkpointer: log segments ahead, checkpoints.
 *
 * One loop of bounded steps.  A checkpoint is one step of it, however long, but
 * calls back between its batches, so that segments are made ready meanwhile and a
 * stop is obeyed.  It is told to stop last, when the walwriter has flushed
 * everything: after a smart stop it makes a last checkpoint, after a fast one it
 * gives up even one that runs; then it writes STOPPED into the control file.
 * Whoever needs a segment or a checkpoint sets its latch; apart from that it looks
 * around ten times a second.
 */
#include "postmaster/children.h"
#include "access/store/checkpoint.h"
#include "access/wal/wal.h"
#include "access/wal/wal_keep.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/procsignal.h"
#include "storage/ipc/segment.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#define LOOK_AROUND_US 100000
#define SEGMENT_STEPS 4			/* at a time, beside a checkpoint: the log goes on faster than the base is written */

/* look_after -- what every turn and every pause of a checkpoint begins with. */
static void
look_after(void)
{
	proc_heartbeat();
	child_reload();
	/* relaxed: a figure for the postmaster, which does not read the table of CONFIG SET itself */
	atomic_store_explicit(&seg_control->stall_timeout_ms, (uint64) set_worker_stall_timeout, memory_order_relaxed);
	mem_reclaim();
	mem_keep_ahead();
}

/* beside -- between the batches of a checkpoint; false: a fast stop, give up. */
static bool
beside(void)
{
	look_after();
	wal_consumers_save();
	for (int i = 0; i < SEGMENT_STEPS && wal_segments_prepare(); i++)
		continue;
	return !proc_stop_fast;
}

/* work -- one step of everything; true: something is left to do. */
static bool
work(void)
{
	bool		more;

	elog_doing("preparing log segments");
	more = wal_segments_prepare();
	wal_consumers_save();
	if (checkpoint_due())
	{
		elog_doing("checkpoint");
		checkpoint_run(beside);
		more = true;
	}
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
	elog_doing("opening the base");
	checkpoint_open(seg_control->data_dir);
	for (;;)
	{
		bool		more;

		latch_reset();
		turns++;
		look_after();
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
	wal_consumers_stop();
	checkpoint_shutdown(!proc_stop_fast);
}
