/*
 * evictor.c -- the evictor: keeps memory free, and fills it after a start.
 *
 * One loop of bounded steps of access/store (evict_step), so that a stop is obeyed
 * within one of them.  Whoever finds no memory sets its latch; apart from that it
 * looks around as often as memory could have filled up since.  It is told to stop
 * when no worker is left, together with the walwriter: it writes no log.
 */
#include "postmaster/children.h"
#include "access/store/evict.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/segment.h"
#include "storage/mem/heap.h"
#include "utils/elog.h"

void
evictor_main(void)
{
	if (!child_wait_recovered())
		return;					/* stopped during recovery */
	elog_doing("opening the base");
	evict_open(seg_control->data_dir);
	for (;;)
	{
		bool		more;

		latch_reset();
		proc_heartbeat();
		child_reload();
		if (child_stop_wanted())
			break;
		elog_doing("keeping memory free");
		more = evict_step();
		mem_keep_ahead();
		if (more)
			continue;
		elog_doing("waiting for work");
		proc_set_wait(WAIT_EVICTOR_MAIN);
		latch_sleep(evict_sleep_us());
		proc_set_wait(WAIT_NONE);
	}
}
