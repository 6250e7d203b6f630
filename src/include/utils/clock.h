/* clock.h -- time: monotonic for measuring, wall clock for clients.  Any process. */
#ifndef ARTERY_UTILS_CLOCK_H
#define ARTERY_UTILS_CLOCK_H

#include "common/c.h"

extern uint64 clock_mono_us(void);	/* CLOCK_MONOTONIC, microseconds */
extern uint64 clock_wall_us(void);	/* CLOCK_REALTIME, microseconds since 1970 */
#ifdef ARTERY_FAULTS
extern _Atomic int64 *clock_shift_us;	/* test builds: added to the wall clock */
#endif

#endif
