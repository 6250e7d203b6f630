/*
 * unit_random.h -- random numbers for unit tests: the seed is printed, and taken from ARTERY_SEED.
 */
#ifndef ARTERY_UNIT_RANDOM_H
#define ARTERY_UNIT_RANDOM_H

#include "common/c.h"

/* unit_seed -- of this run, constant after unit_seed_init; never 0.  Threads make numbers of their own from it. */
extern uint64 unit_seed;
/* unit_seed_init -- from ARTERY_SEED, or another one each time; prints it.  Before the first test. */
extern void unit_seed_init(void);
/* unit_random -- the next number; for one thread. */
extern uint64 unit_random(void);
/* unit_random_next -- the same from a state of the caller's own, which is never 0. */
extern uint64 unit_random_next(uint64 *state);

#endif
