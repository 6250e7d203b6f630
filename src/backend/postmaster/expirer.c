/*
 * expirer.c -- the expirer: deletes keys whose deadline has passed.
 *
 * One loop of bounded steps of access/store (store_expire_step), so that a stop is
 * obeyed within one of them.  It sleeps until the next deadline; a writer that sets
 * an earlier one sets its latch.  Clients that want to hear of expired keys are told
 * by tcop, of which it is a teller; while they do not keep up it waits for them a moment.  It writes log, so it is told to stop when no
 * worker is left, and the walwriter only then.  Whatever it was about to do when it
 * ended, its successor finds and does.
 */
#include "postmaster/children.h"
#include "access/store/expire.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/segment.h"
#include "storage/mem/heap.h"
#include "tcop/tcop.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/latency.h"

#define TELL_STEP_US 1000

void
expirer_main(void)
{
	if (!child_wait_recovered())
		return;					/* stopped during recovery */
	elog_doing("opening the base");
	store_expire_open(seg_control->data_dir);
	tcop_teller_open();
	store_expire_tell(tcop_tell_expired);
	for (;;)
	{
		int64		sleep_us;
		uint64		begun_us = clock_mono_us();

		latch_reset();
		proc_heartbeat();
		child_reload();
		if (child_stop_wanted())
			break;
		if (tcop_teller_turn())
		{
			/* workers have not yet taken what they were told */
			latch_sleep(TELL_STEP_US);
			continue;
		}
		elog_doing("deleting what has expired");
		sleep_us = store_expire_step();
		latency_add(LATENCY_EXPIRE_CYCLE, clock_mono_us() - begun_us);
		mem_keep_ahead();
		if (sleep_us == 0 || tcop_teller_turn())
			continue;
		elog_doing("waiting for the next deadline");
		proc_set_wait(WAIT_EXPIRER_MAIN);
		latch_sleep(sleep_us);
		proc_set_wait(WAIT_NONE);
	}
}
