/*
 * child.c -- what the processes' main functions have in common.
 *
 * Runs in children only; nothing here is shared or locked.
 */
#include "postmaster/children.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/procsignal.h"
#include "storage/ipc/segment.h"
#include "utils/elog.h"
#include "utils/settings.h"

bool
child_stop_wanted(void)
{
	return proc_stop_smart || proc_stop_fast;
}

void
child_reload(void)
{
	if (proc_reload)
	{
		proc_reload = 0;
		settings_reload();
	}
	settings_apply_shared();
}

bool
child_wait_recovered(void)
{
	elog_doing("waiting for the end of recovery");
	proc_set_wait(WAIT_RECOVERY);
	for (;;)
	{
		latch_reset();
		if (atomic_load_explicit(&seg_control->recovered, memory_order_acquire) != 0)	/* acquire [recovered] */
			break;
		if (child_stop_wanted())
			return false;
		child_reload();
		latch_sleep(-1);
	}
	proc_set_wait(WAIT_NONE);
	return true;
}
