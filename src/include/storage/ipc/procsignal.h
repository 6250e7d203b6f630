/*
 * procsignal.h -- signals of a child process, as PostgreSQL gives them.
 *
 * Handlers only set a flag and this process' latch.  QUIT (immediate stop) and
 * the death of the postmaster end the process at once by _exit.
 *
 *   TERM  smart stop    INT  fast stop    HUP  read the settings again
 *   QUIT  leave at once, also sent by the kernel when the postmaster dies
 * TERM and INT only make a child look at stop_order in its slot, which the
 * postmaster has set before it signals.  A terminal's ^C, or a service manager
 * that signals the whole group, reaches every process, but who stops when is the
 * postmaster's business; and of two equal signals that meet the kernel drops one,
 * so what the signal means must not depend on who sent it.
 */
#ifndef ARTERY_STORAGE_IPC_PROCSIGNAL_H
#define ARTERY_STORAGE_IPC_PROCSIGNAL_H

#include "common/c.h"
#include <signal.h>

extern volatile sig_atomic_t proc_stop_smart;	/* SIGTERM seen */
extern volatile sig_atomic_t proc_stop_fast;	/* SIGINT seen */
extern volatile sig_atomic_t proc_reload;		/* SIGHUP seen; the loop clears it */

#define PROC_EXIT_QUIT 2		/* exit code of a child that left by QUIT or because the postmaster died */
#define PROC_EXIT_STOPPED 3		/* exit code of a child told to leave on stop (procsignal_exit_on_stop) */

/* procsignal_init_postmaster -- makes the pipe by which children notice the postmaster's death; once, before fork. */
extern void procsignal_init_postmaster(void);
/* procsignal_init_child -- handlers, mask, PDEATHSIG; ends the process if the postmaster is already gone. */
extern void procsignal_init_child(int postmaster_pid);
/* procsignal_postmaster_alive -- false: leave (for loops that sleep long). */
extern bool procsignal_postmaster_alive(void);
/* procsignal_exit_on_stop -- TERM and INT end this process at once by _exit(PROC_EXIT_STOPPED): for work that may be cut anywhere (redo). */
extern void procsignal_exit_on_stop(void);
/* procsignal_death_fd -- readable (end of file) once the postmaster is dead; -1: there is no postmaster (tools, tests). */
extern int procsignal_death_fd(void);

#endif
