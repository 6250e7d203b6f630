/*
 * clock.c -- time.
 *
 * The monotonic clock measures: waits, intervals, durations.  The wall clock is
 * what clients and log lines are shown.  Both are read through the vDSO, without
 * a system call.  Any process, any time, in signal handlers too; keeps no state.
 */
#include "utils/clock.h"

#include <time.h>

static uint64
clock_read_us(clockid_t id)
{
	struct timespec ts;

	/* cannot fail: both clocks exist on every Linux */
	(void) clock_gettime(id, &ts);
	return (uint64) ts.tv_sec * 1000000 + (uint64) ts.tv_nsec / 1000;
}

/* clock_mono_us -- microseconds since some fixed moment; never runs back. */
uint64
clock_mono_us(void)
{
	return clock_read_us(CLOCK_MONOTONIC);
}

/* clock_wall_us -- microseconds since 1970; an operator may set it back. */
uint64
clock_wall_us(void)
{
	return clock_read_us(CLOCK_REALTIME);
}
