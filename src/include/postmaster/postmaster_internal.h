/*
 * postmaster_internal.h -- what the files of the postmaster share.
 *
 * postmaster.c is the state machine, pm_child.c forks and describes children,
 * pm_directory.c holds the lock and looks after leftovers, pm_pidfile.c writes
 * artery.pid, pm_watchdog.c looks for processes that stand still.
 */
#ifndef ARTERY_POSTMASTER_POSTMASTER_INTERNAL_H
#define ARTERY_POSTMASTER_POSTMASTER_INTERNAL_H

#include "common/c.h"
#include "storage/ipc/proc.h"

#include <sys/types.h>

/* ---- postmaster.c ---- */
/* pm_close_own_descriptors -- in a child: what only the postmaster needs. */
extern void pm_close_own_descriptors(void);

/* ---- pm_directory.c ---- */
/* pm_directory_lock -- take the lock that every child inherits; FATAL, naming the holder if it can be known. */
extern void pm_directory_lock(const char *data_dir);
/* pm_directory_clean_leftovers -- what a server that died left: segment, socket.  Under the lock. */
extern void pm_directory_clean_leftovers(const char *data_dir, const char *socket_path);
/* pm_directory_same -- is the path still the directory that we have locked? */
extern bool pm_directory_same(const char *data_dir);
extern int pm_directory_descriptor(void);

/* ---- pm_pidfile.c ---- */
extern void pm_pidfile_write(const char *data_dir, const char *socket_path, const char *segment_name, const char *state);
/* pm_pidfile_set_state -- starting, recovering, ready, stopping: written over in place. */
extern void pm_pidfile_set_state(const char *state);
extern void pm_pidfile_set_segment(const char *segment_name);
/* pm_pidfile_check -- write it again, with a warning, if somebody took it away. */
extern void pm_pidfile_check(void);
extern void pm_pidfile_remove(void);

/* ---- pm_child.c ---- */
/* pm_children_init -- once, before the first fork. */
extern void pm_children_init(void);
/* pm_child_start -- fork the process of a slot; false: could not fork (errno). */
extern bool pm_child_start(uint32 slot) attribute_must_check;
extern pid_t pm_child_pid(uint32 slot);			/* 0: does not run */
extern bool pm_child_alive_kind(ProcKind kind);
extern uint32 pm_child_count(void);
/* pm_child_stop_kind -- PROC_STOP_SMART or PROC_STOP_FAST to all of a kind: the order, then the signal. */
extern void pm_child_stop_kind(ProcKind kind, uint32 order);
extern void pm_child_signal_all(int signo);
/* pm_child_reap -- one child that has ended: its slot and wait status; false: none.  Its slot is free afterwards. */
extern bool pm_child_reap(uint32 *slot, pid_t *pid, int *status);
/* pm_child_describe_end -- "worker 2 (PID 7) was terminated by signal 11 (SIGSEGV: ...) while doing: GET". */
extern void pm_child_describe_end(uint32 slot, pid_t pid, int status, char *text, size_t size);

/* ---- pm_watchdog.c ---- */
/* pm_watchdog_tick -- once a second: log who has stood still for worker_stall_timeout holding log or reclamation back. */
extern void pm_watchdog_tick(void);
extern void pm_watchdog_reset(void);			/* a new segment: all counts start again */
/* pm_watchdog_report_waiting -- one line naming every child that still runs, for a stop that takes long. */
extern void pm_watchdog_report_waiting(void);

#define PM_TICK_MS 1000

#endif
