/*
 * clock.h -- time: monotonic for measuring, wall clock for clients, ticks for what
 * is measured a million times a second.  Any process.
 */
#ifndef ARTERY_UTILS_CLOCK_H
#define ARTERY_UTILS_CLOCK_H

#include "common/c.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

extern uint64 clock_mono_us(void);	/* CLOCK_MONOTONIC, microseconds */
extern uint64 clock_wall_us(void);	/* CLOCK_REALTIME, microseconds since 1970 */
#ifdef ARTERY_FAULTS
extern _Atomic int64 *clock_shift_us;	/* test builds: added to the wall clock */
#endif
extern uint64 clock_mono_ns(void);	/* CLOCK_MONOTONIC, nanoseconds */

/*
 * clock_ticks -- the cheapest clock there is: the processor's counter where the
 * kernel itself keeps time by it (half the price of clock_mono_ns), else
 * nanoseconds.  Never 0.  For differences within one process, after
 * clock_ticks_start, which takes a millisecond to compare the two.
 * clock_ticks_ns -- ticks to nanoseconds.
 */
extern bool clock__counter;			/* the processor's counter is used */
extern uint64 clock__tick_ns;		/* nanoseconds per tick, 32 bits behind the point */
extern void clock_ticks_start(void);

static inline uint64
clock_ticks(void)
{
#if defined(__x86_64__)
	if (likely(clock__counter))
		return __rdtsc();
#endif
	return clock_mono_ns();
}

static inline uint64
clock_ticks_ns(uint64 ticks)
{
	return (uint64) (((unsigned __int128) ticks * clock__tick_ns) >> 32);
}

static inline uint64
clock_ns_ticks(uint64 ns)
{
	return (uint64) (((unsigned __int128) ns << 32) / clock__tick_ns);
}

#endif
