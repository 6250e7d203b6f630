/*
 * elog.h -- messages to the log and the end of a process on errors.
 *
 * ereport(LEVEL, "could not open \"%s\": %m", path) writes one line to the log:
 *   2026-11-21 14:29:25.123 UTC [pid] worker 2 LOG:  text
 * with an optional second line from ereport_hint().  Text is lower case and has
 * no full stop.  %m is errno's text at the time of the call.  Any process; does
 * not allocate on the heap of the segment; keeps errno.
 *
 *   DEBUG1 .. LOG   written if log_min_messages allows, then returns
 *   WARNING, ERROR  written, then returns: the caller answers its client
 *   FATAL           written; this process ends with exit code 1: an orderly end
 *                   on a condition it met (setting, directory, foreign file)
 *   PANIC           written; this process aborts (SIGABRT): the postmaster ends
 *                   all children and recovers
 */
#ifndef ARTERY_UTILS_ELOG_H
#define ARTERY_UTILS_ELOG_H

#include "common/c.h"

typedef enum LogLevel
{
	DEBUG2,
	DEBUG1,
	INFO,
	LOG,
	WARNING,
	ERROR,
	FATAL,
	PANIC
} LogLevel;

extern void elog_init(const char *process_title);	/* after fork: the name in each line */
extern void elog_set_min_level(LogLevel level);
extern void ereport(LogLevel level, const char *fmt, ...) attribute_printf(2, 3);
extern void ereport_hint(LogLevel level, const char *hint, const char *fmt, ...) attribute_printf(3, 4);
extern const char *elog_level_name(LogLevel level);

/*
 * elog_set_doing -- what this process is about to do, as a short constant or
 * formatted text kept in its process slot, so that the postmaster can say "died
 * of signal 11 while doing SET" (a pointer to at least PROC_DOING_MAX bytes in
 * shared memory is set once by the process start code; NULL: not kept).
 */
extern void elog_set_doing_buffer(char *shared_buffer, size_t size);
extern void elog_doing(const char *what);

#endif
