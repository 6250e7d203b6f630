/*
 * startup.c -- the startup process: recovery, then the end.
 *
 * The work is one call into the store.  Recovery may be cut anywhere and begun
 * anew, so a stop simply ends it, at once, in the signal handler.  Exit code 0
 * opens the server for clients; 1 (FATAL: damage, a missing file, too little
 * memory) ends it; death by a signal ends it, too: the next attempt would die the
 * same way.
 */
#include "postmaster/children.h"
#include "access/store/store.h"
#include "storage/ipc/procsignal.h"
#include "storage/ipc/segment.h"
#include "utils/elog.h"

void
startup_main(void)
{
	procsignal_exit_on_stop();
	elog_doing("recovery");
	store_recover(seg_control->data_dir);
}
