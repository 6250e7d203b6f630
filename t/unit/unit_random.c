/*
 * unit_random.c -- see unit_random.h.
 */
#include "unit_random.h"

#include "utils/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

uint64		unit_seed;

static uint64 common;			/* state of unit_random */

void
unit_seed_init(void)
{
	const char *given = getenv("ARTERY_SEED");

	unit_seed = given != NULL ? strtoull(given, NULL, 0) : (clock_wall_us() ^ (uint64) getpid() << 24) % UINT64_C(1000000000007);
	printf("# ARTERY_SEED=%llu\n", (unsigned long long) unit_seed);
	fflush(stdout);
	if (unit_seed == 0)
		unit_seed = 1;
	/* small seeds, too, shall differ from the first number on */
	common = unit_seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

uint64
unit_random_next(uint64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

uint64
unit_random(void)
{
	return unit_random_next(&common);
}
