/*
 * evict_internal.h -- what store_evict.c, store_compact.c, store_sweep.c and store_prewarm.c share.
 * For these files alone.
 *
 * EvictShared lies in region EVICT.  The evictor writes what workers read at
 * every command (pressure, recent: one line that hardly ever changes); workers
 * that found no memory write into the second line; the rest is for status.
 *
 *   pressure   delay in microseconds << EVICT_DELAY_SHIFT | EVICT_DOZING.  DOZING:
 *              the evictor sleeps for long, because nothing was written; the
 *              first writer takes the bit away and wakes it
 *   waiting_us when the first of those who are waiting for memory found none;
 *              0: nobody waits.  A worker makes it non-zero, the evictor zero
 *   failed     how often somebody found no memory
 *   hopeless   1: everything was tried since waiting_us, nothing helped
 *   progress_us  when the evictor last got any further
 */
#ifndef ARTERY_ACCESS_STORE_EVICT_INTERNAL_H
#define ARTERY_ACCESS_STORE_EVICT_INTERNAL_H

#include "access/store/evict.h"
#include "access/store/store_internal.h"
#include "common/figure.h"

#define EVICT_MAGIC UINT64_C(0x5443495645545241)
#define EVICT_DOZING UINT64_C(1)
#define EVICT_DELAY_SHIFT 1

typedef struct EvictShared
{
	uint64		magic;
	alignas(CACHE_LINE) _Atomic uint64 pressure;
	_Atomic uint32 recent;			/* 1: readers mark leaves */
	_Atomic uint32 hopeless;
	_Atomic uint64 capacity;
	alignas(CACHE_LINE) _Atomic uint64 waiting_us;
	_Atomic uint64 failed_us;		/* the last time that somebody found no memory */
	_Atomic uint64 failed;
	_Atomic uint32 trees_wanted;	/* a map change waits for a free tree */
	alignas(CACHE_LINE) _Atomic uint64 progress_us;
	_Atomic uint64 leaves_evicted;
	_Atomic uint64 nodes_evicted;
	_Atomic uint64 bytes_evicted;
	_Atomic uint64 clock_rounds;
	_Atomic uint64 checkpoints_asked;
	_Atomic uint32 prewarm;			/* PrewarmState */
	_Atomic uint64 prewarm_keys;
	_Atomic uint64 prewarm_keys_total;	/* as far as known */
	alignas(CACHE_LINE) _Atomic uint64 writes_delayed;	/* workers */
	_Atomic uint64 delay_us_total;
	_Atomic uint64 refused;
} EvictShared;

extern EvictShared *evict__shared;

/* ---- store_evict.c; the evictor ---- */
/* evict__used_percent -- of the capacity, as of the last look; retired blocks included. */
extern uint32 evict__used_percent(void);
/* evict__capacity -- bytes that blocks can take together, as learned. */
extern uint64 evict__capacity(void);
/* evict__nominal -- the limit without the heap's reserve: the most that the capacity can be. */
extern uint64 evict__nominal(void);
/* evict__ask_checkpoint -- unless one that was asked for is on its way, or failed a moment ago. */
extern void evict__ask_checkpoint(void);
/* evict__progress -- something was taken away. */
extern void evict__progress(void);
/* evict__pressed -- is eviction at work, or somebody waiting for memory? */
extern bool evict__pressed(void);

/* ---- store_sweep.c ---- */
extern void sweep_reset(void);
extern void snapshots_reset(void);	/* store_snapshot.c */

/* ---- store_compact.c ---- */
extern void compact_reset(void);	/* a fresh segment */
/* compact_step -- a bounded piece; true: more to do now.  'waited_for': somebody finds no memory. */
extern bool compact_step(bool waited_for);

/* ---- store_prewarm.c ---- */
extern void prewarm_open(void);
/* prewarm_step -- a bounded piece; true: more to do now. */
extern bool prewarm_step(void);

#endif
