/*
 * verify.c -- the end of a process whose invariant does not hold.
 *
 * Writes where and what to standard error with plain stdio and aborts.  Server
 * processes leave by SIGABRT, which the postmaster answers with a crash restart:
 * shared memory is suspect.
 */
#include "common/c.h"

void
verify_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "artery: PANIC:  invariant broken: %s at %s:%d\n", condition, file, line);
	fflush(stderr);
	abort();
}
