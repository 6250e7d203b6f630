/*
 * clock.c -- time.
 *
 * The monotonic clock measures: waits, intervals, durations.  The wall clock is
 * what clients and log lines are shown.  Both are read through the vDSO, without
 * a system call.  Any process, any time, in signal handlers too.
 *
 * Ticks are the processor's counter if the kernel's own clock is made of it: then
 * the kernel has found it steady, and the same on all cores.  A counter that the
 * kernel gives up later still serves for differences, not quite true ones.
 */
#include "utils/clock.h"

#include <stdio.h>
#include <string.h>
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
bool		clock__counter;
uint64		clock__tick_ns = UINT64_C(1) << 32;

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

uint64
clock_mono_ns(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64) ts.tv_sec * UINT64_C(1000000000) + (uint64) ts.tv_nsec;
}

#if defined(__x86_64__)
#define COMPARE_NS 1000000

/* kernel_uses_counter -- is the kernel's clock made of the processor's counter? */
static bool
kernel_uses_counter(void)
{
	FILE	   *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	char		name[16] = "";
	bool		is = f != NULL && fgets(name, sizeof(name), f) != NULL && strcmp(name, "tsc\n") == 0;

	if (f != NULL)
		(void) fclose(f);
	return is;
}

void
clock_ticks_start(void)
{
	uint64		ns = clock_mono_ns();
	uint64		ticks = __rdtsc();
	uint64		passed_ns;
	uint64		passed_ticks;

	if (clock__counter || !kernel_uses_counter())
		return;
	do
	{
		passed_ns = clock_mono_ns() - ns;
		passed_ticks = __rdtsc() - ticks;
	} while (passed_ns < COMPARE_NS);
	if (passed_ticks == 0)
		return;
	clock__tick_ns = (passed_ns << 32) / passed_ticks;
	clock__counter = true;
}
#else
void
clock_ticks_start(void)
{
}
#endif
