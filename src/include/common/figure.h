/*
 * figure.h -- figures in shared memory: counters and levels that one process writes
 * and all may read.
 *
 * One writer, so that adding needs no read-modify-write of the machine; relaxed,
 * because nothing is concluded from a figure but what it says.
 */
#ifndef ARTERY_COMMON_FIGURE_H
#define ARTERY_COMMON_FIGURE_H

#include "common/c.h"

static inline uint64
figure_get(const _Atomic uint64 *figure)
{
	return atomic_load_explicit(figure, memory_order_relaxed);	/* relaxed: a figure */
}

static inline void
figure_set(_Atomic uint64 *figure, uint64 value)
{
	atomic_store_explicit(figure, value, memory_order_relaxed);	/* relaxed: a figure, one writer */
}

static inline void
figure_add(_Atomic uint64 *figure, uint64 n)
{
	figure_set(figure, figure_get(figure) + n);
}

#endif
