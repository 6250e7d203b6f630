/*
 * children.h -- main functions of the processes that the postmaster forks, one
 * per kind of proc_kinds.h.
 *
 * Each runs in its own process, attached to its slot, with its signals in place.
 * Returning is the orderly end (exit code 0).
 */
#ifndef ARTERY_POSTMASTER_CHILDREN_H
#define ARTERY_POSTMASTER_CHILDREN_H

#include "common/c.h"

extern void startup_main(void);
extern void walwriter_main(void);
extern void checkpointer_main(void);
extern void evictor_main(void);
extern void expirer_main(void);
extern void worker_main(void);

/* child_wait_recovered -- sleep until recovery has ended well; false: told to stop before that. */
extern bool child_wait_recovered(void);
/* child_stop_wanted -- TERM or INT has come. */
extern bool child_stop_wanted(void);
/* child_reload -- once per turn of a loop: what HUP and CONFIG SET want. */
extern void child_reload(void);

#endif
