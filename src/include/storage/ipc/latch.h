/*
 * latch.h -- waking a process that sleeps, without losing a wake-up.
 *
 * Each slot has a word (SET, SLEEPING) in the segment and an eventfd that the
 * postmaster made before it forked.  latch_set: SET by fetch_or; writes the
 * eventfd only if the owner was SLEEPING.  The owner's loop:
 *
 *   for (;;) {
 *       latch_reset();                      clears the word, drains the eventfd
 *       ... look at every condition, do the work ...
 *       if (latch_prepare_sleep())          SLEEPING announced; false: SET meanwhile
 *           wait on latch_fd() and whatever else (event loop, ppoll)
 *   }
 * Conditions are stored before latch_set and read after latch_reset.
 */
#ifndef ARTERY_STORAGE_IPC_LATCH_H
#define ARTERY_STORAGE_IPC_LATCH_H

#include "common/c.h"
#include "storage/ipc/proc.h"

enum { LATCH_SET = 1, LATCH_SLEEPING = 2 };

extern void latch_create_all(void);				/* postmaster, before it forks: one eventfd per slot; more calls only add missing ones */
extern void latch_set(uint32 slot_number);		/* any process; async-signal-safe */
extern void latch_set_own_from_signal(void);	/* signal handlers: wakes this process */
extern void latch_reset(void);					/* owner */
extern bool latch_prepare_sleep(void);			/* owner */
extern int latch_fd(void);						/* owner's eventfd, non-blocking */
/*
 * latch_sleep -- prepare, poll on the eventfd for at most timeout_us (< 0: no
 * bound), for loops without other descriptors.  Returns at once if the latch is
 * set; does not reset it.  Ends the process if the postmaster has died.
 */
extern void latch_sleep(int64 timeout_us);

#endif
