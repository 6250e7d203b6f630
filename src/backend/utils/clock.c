/*
 * clock.c -- time.
 *
 * The monotonic clock measures: waits, intervals, durations.  The wall clock is
 * what clients and log lines are shown.  Both are read through the vDSO, without
 * a system call.  Any process, any time, in signal handlers too; keeps no state.
 */
#include "utils/clock.h"

#include <time.h>

#ifdef ARTERY_FAULTS
/*
 * Tests set the wall clock by a file of eight bytes, microseconds to add, which every
 * process maps: ARTERY_CLOCK_SHIFT_FILE.  Unit tests point elsewhere.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic int64 no_shift;
_Atomic int64 *clock_shift_us = &no_shift;

static void __attribute__((constructor))
map_shift(void)
{
	const char *path = getenv("ARTERY_CLOCK_SHIFT_FILE");
	int			fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void	   *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(int64), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void) close(fd);
	if (at != MAP_FAILED)
		clock_shift_us = at;
}
#endif

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
	uint64		us = clock_read_us(CLOCK_REALTIME);

#ifdef ARTERY_FAULTS
	us += (uint64) atomic_load_explicit(clock_shift_us, memory_order_relaxed);	/* relaxed: a test's wish */
#endif
	return us;
}
