/*
 * heap.h -- the node heap: memory for nodes, leaves and value blocks.
 *
 * Blocks of size classes (multiples of 8 bytes up to 512, then eight steps per
 * doubling up to MEM_BLOCK_MAX), carved from spans of 64 KiB, which come from the
 * region NODES.  Each process slot has its own caches in the segment, so that a
 * successor finds what a dead process had in hand.  Central lists are lock-free
 * (Treiber stacks of batches, tagged against ABA).
 *
 * Retiring: mem_retire() puts a block on the slot's list with the epoch; it is
 * reused after a grace period.  What is retired and not yet free is bounded: past
 * an eighth of the limit mem_alloc() says MEM_NONE until memory is reclaimed.
 *
 * Nothing here makes a system call but mem_grow(), which is called outside an
 * epoch after MEM_NONE, and mem_keep_ahead(), which is called ahead of need.
 *
 *   for (;;) {
 *       epoch_enter(); ... mem_alloc() == MEM_NONE ...; epoch_leave();
 *       if (mem_grow() != 0) answer -OOM;      0: try again
 *   }
 *
 * Every process but the postmaster may call everything here; my_slot is set.
 */
#ifndef ARTERY_STORAGE_MEM_HEAP_H
#define ARTERY_STORAGE_MEM_HEAP_H

#include "common/c.h"
#include "storage/ipc/segment.h"

#define MEM_BLOCK_MAX (32 * KIB)
#define MEM_NONE ((Off) 0)

typedef struct MemShared MemShared;

extern size_t mem_region_size(void);			/* proc_slot_count is set before */
extern void mem_region_init(void *region);

/* mem_alloc -- at least 'size' bytes, 8-byte aligned, content undefined; MEM_NONE: none (limit, or not yet reserved). */
extern Off mem_alloc(size_t size) attribute_must_check;
/* mem_alloc_reserve -- the same from the reserve, if need be: structural copies, tombstones, sweeper, checkpointer. */
extern Off mem_alloc_reserve(size_t size) attribute_must_check;
/*
 * mem_use_reserve -- this process' mem_alloc may use the reserve, too.  For
 * recovery: what fitted when it was written must fit when it is redone, though
 * blocks may fall into spans another way.
 */
extern bool mem_use_reserve;
extern void mem_free(Off block, size_t size);	/* never published, or past its grace period; size as given to mem_alloc */
extern void mem_retire(Off block, size_t size);	/* unlinked; inside an epoch or not */

/*
 * mem_retire_parts -- retire a block and the 'count' blocks that the array of Off
 * at 'array_offset' in it names: all of part_size but the last one, of last_size.
 * One entry however many they are.  The array must not change any more.
 */
extern void mem_retire_parts(Off block, size_t size, uint32 array_offset, uint32 count,
							 size_t part_size, size_t last_size);
/* mem_retire_ready -- can more be retired?  For who retires much without allocating; false: no memory, stop for now. */
extern bool mem_retire_ready(void) attribute_must_check;
/* mem_reclaim -- free what has passed its grace period; cheap when nothing has.  Outside an epoch. */
extern void mem_reclaim(void);
extern size_t mem_class_size(size_t size);		/* what such a block really takes */

/*
 * mem_grow -- make room after MEM_NONE.  0: try again; ENOMEM: memory_limit reached;
 * ENOSPC: /dev/shm is full.  Outside an epoch; may take milliseconds.
 */
extern int mem_grow(void) attribute_must_check;
/*
 * mem_collect -- every span of which all blocks lie on central lists becomes free
 * for every size; what mem_vacate withheld is given back.  Outside an epoch; takes
 * time in proportion to the blocks that are free, and may wait for another process'
 * look (false: in vain).  For the evictor, when it has made room and somebody still finds none.
 */
extern bool mem_collect(void);
/* mem_vacate -- give out nothing between 'from' and 'to' until the next mem_collect.  One process at a time, outside an epoch. */
extern void mem_vacate(Off from, Off to);
/* mem_class_free -- blocks of that size which lie on a central list, about: not those in processes' hands. */
extern uint64 mem_class_free(size_t size);
/* mem_keep_ahead -- called once per loop turn, outside an epoch: grows ahead of need, reclaims, advances the epoch. */
extern void mem_keep_ahead(void);

typedef struct MemStats
{
	uint64		limit;			/* bytes of the region */
	uint64		reserved;		/* bytes with memory behind them */
	uint64		used;			/* bytes in blocks given out, by class size, less those freed (retired ones count until then) */
	uint64		retired;		/* bytes waiting for a grace period */
	uint64		cached;			/* bytes free in caches and central lists */
	uint64		spans_free;		/* bytes of spans that belong to no class */
	uint64		lost;			/* bytes retired when no memory was left to remember them: 0 unless the reserve ran dry */
} MemStats;

extern void mem_stats(MemStats *stats);
/* mem_live_blocks -- walks every span and every list; number of blocks given out and neither freed nor retired.
 * Verifies that no block is free twice.  Quiescent heap only; tests. */
extern uint64 mem_live_blocks(void);
/* mem_poison -- tests under ASan, one process with threads only: free blocks and the rest of blocks given out are poisoned. */
extern bool mem_poison;

#endif
