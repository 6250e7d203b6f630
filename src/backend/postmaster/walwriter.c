/*
 * walwriter.c -- the walwriter: group commit.
 *
 * Sleeps until recovery has set the positions of the log, then hands itself to
 * access/wal until it is told to stop, which happens when no worker is left: then
 * it flushes all that is reserved and ends.
 */
#include "postmaster/children.h"
#include "access/wal/wal.h"
#include "utils/elog.h"

void
walwriter_main(void)
{
	if (!child_wait_recovered())
		return;					/* stopped during recovery: nothing was written */
	elog_doing("opening the log");
	walwriter_open();
	elog_doing("writing the log");
	walwriter_loop();
}
