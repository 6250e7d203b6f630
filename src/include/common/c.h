/*
 * c.h -- the types and macros that every file of artery may use.
 *
 * Included first by every source file, server and tools alike.  It holds no
 * state and declares no function of a room.
 *
 * Integers have PostgreSQL's short names.  Three kinds of check:
 *   Assert(c)      assert builds only; free to stand on hot paths
 *   Verify(c)      always on; cheap; a broken invariant ends the process by
 *                  SIGABRT, which the postmaster answers with a crash restart
 *   NotReached()   a place that control cannot come to
 */
#ifndef ARTERY_COMMON_C_H
#define ARTERY_COMMON_C_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t uint8;
typedef uint16_t uint16;
typedef uint32_t uint32;
typedef uint64_t uint64;
typedef int8_t int8;
typedef int16_t int16;
typedef int32_t int32;
typedef int64_t int64;

/* Lsn -- a byte position in the log; 0 is "none". */
typedef uint64 Lsn;
#define LSN_NONE ((Lsn) 0)
/* printf("%" LSN_FORMAT, LSN_ARGS(lsn)) prints 0/1A2B3C, as PostgreSQL does */
#define LSN_FORMAT "X/%X"
#define LSN_ARGS(l) (uint32) ((l) >> 32), (uint32) (l)

#define CACHE_LINE 64
#define KIB ((uint64) 1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

#define Min(a, b) ((a) < (b) ? (a) : (b))
#define Max(a, b) ((a) > (b) ? (a) : (b))
#define lengthof(a) (sizeof(a) / sizeof((a)[0]))
#define AlignUp(x, a) (((x) + ((a) - 1)) & ~((uint64) (a) - 1))
#define AlignDown(x, a) ((x) & ~((uint64) (a) - 1))
#define IsPowerOf2(x) ((x) != 0 && (((x) & ((x) - 1)) == 0))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* a function that only prefetches: gcc takes it for one without effect, and drops calls that it has not made inline early */
#define attribute_prefetch inline __attribute__((always_inline))
#define attribute_printf(f, a) __attribute__((format(printf, f, a)))
#define attribute_noreturn __attribute__((noreturn))
#define attribute_must_check __attribute__((warn_unused_result))

extern void verify_failed(const char *condition, const char *file, int line) attribute_noreturn;

#define Verify(c)                                       \
	do {                                                \
		if (unlikely(!(c)))                             \
			verify_failed(#c, __FILE__, __LINE__);      \
	} while (0)
#ifdef ARTERY_ASSERT
#define Assert(c) Verify(c)
#else
#define Assert(c) ((void) sizeof(!!(c)))
#endif
#define NotReached() verify_failed("not reached", __FILE__, __LINE__)

/* Shared memory wants lock-free atomics only: a lock would be private to a process. */
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "lock-free atomics");

#endif
