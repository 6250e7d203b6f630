/*
 * evict.h -- memory: what leaves the overlay, what comes back, how writers are slowed.
 *
 * The evictor process alone evicts, sweeps and prewarms, and so it alone clears
 * and sets COMPLETE.  Marks, in percent of the capacity (what blocks can take
 * together: memory_limit without the heap's reserve, less what fragmentation was
 * seen to cost); used = bytes of blocks given out, retired ones included:
 *
 *   EVICT_RECENT_PERCENT    from here on readers mark leaves as recently used
 *   EVICT_ASK_PERCENT       from here on much log since the cut asks for a checkpoint
 *   EVICT_PREWARM_PERCENT   a prewarm ends here
 *   EVICT_STOP_PERCENT      eviction goes down to here ...
 *   EVICT_START_PERCENT     ... once it has begun here
 *   EVICT_SLOW_PERCENT      writers are delayed, smoothly more up to
 *   100                     the longest delay; beyond it allocation fails and writers wait
 */
#ifndef ARTERY_ACCESS_STORE_EVICT_H
#define ARTERY_ACCESS_STORE_EVICT_H

#include "common/c.h"

#define EVICT_RECENT_PERCENT 60
#define EVICT_ASK_PERCENT 60
#define EVICT_PREWARM_PERCENT 75
#define EVICT_STOP_PERCENT 80
#define EVICT_START_PERCENT 85
#define EVICT_SLOW_PERCENT 87

/* ---- the evictor process ---- */
/* evict_open -- after recovery: opens the base for reading; FATAL on failure. */
extern void evict_open(const char *data_dir);
/* evict_step -- one bounded step of sweeping, evicting, prewarming; true: more to do now.  Outside an epoch. */
extern bool evict_step(void);
/* evict_sleep_us -- how long the evictor may sleep after a step that left nothing to do, unless its latch is set. */
extern int64 evict_sleep_us(void);
/* store_sweep_step -- the part of it that takes away dropped trees and tombstones; true: more to do now. */
extern bool store_sweep_step(void);

/* ---- workers ---- */
/* evict_write_delay_us -- how long a write should be held back now; 0: not at all, in one relaxed load. */
extern uint64 evict_write_delay_us(void);
/*
 * evict_hopeless -- a writer found no memory: true: nothing will help (-OOM); false: wait
 * a millisecond and try again.  Wakes the evictor.  Outside an epoch.
 */
extern bool evict_hopeless(void);
/* evict_refuses -- have writers been refused, and nothing has changed since?  One relaxed load, mostly; who is refused counts as with evict_hopeless.  Outside an epoch. */
extern bool evict_refuses(void);
/* evict_could_fit -- could so many bytes be had if all else were evicted?  False: -OOM at once, no wait would help. */
extern bool evict_could_fit(uint64 bytes);
/* evict_want_trees -- a map change found no free tree: sweep the dropped ones as soon as a checkpoint permits. */
extern void evict_want_trees(void);
/* evict_mark_recent -- should readers mark leaves as recently used?  One relaxed load. */
extern bool evict_mark_recent(void);

/* ---- the startup process ---- */
/* evict_recovery_room -- redo found no memory: moves leaves together.  True: some is there now, try again. */
extern bool evict_recovery_room(void);

typedef enum PrewarmState
{
	PREWARM_OFF,
	PREWARM_RUNNING,
	PREWARM_DONE,
	PREWARM_STOPPED				/* memory was short */
} PrewarmState;

typedef struct EvictStatus
{
	uint64		leaves_evicted;
	uint64		nodes_evicted;
	uint64		bytes_evicted;
	uint64		tombstones_swept;
	uint64		trees_swept;
	uint64		clock_rounds;	/* times the hand went around */
	uint64		checkpoints_asked;	/* by the evictor, for memory */
	uint64		capacity;		/* bytes, as learned */
	uint64		delay_us;		/* what a write is held back now */
	uint64		writes_delayed;	/* by evict_write_delay_us */
	uint64		delay_us_total;
	uint64		waits_for_memory;
	uint64		refused;		/* -OOM given */
	bool		complete;		/* every key of the base is in memory */
	PrewarmState prewarm;
	uint64		prewarm_keys;
	double		prewarm_progress;	/* 0 to 1 */
} EvictStatus;
extern void evict_status(EvictStatus *out);
extern const char *evict_prewarm_name(PrewarmState state);	/* "off", "running", "done", "stopped" */

extern size_t evict_region_size(void);
extern void evict_region_init(void *region);

#endif
