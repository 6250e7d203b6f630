/*
 * mem_internal.h -- the node heap's structures in the segment; for storage/mem alone.
 *
 * Region NODES:
 *
 *   +-- span table: MemSpan[span_count], backed as it is needed
 *   +-- heap: spans of 64 KiB, backed in chunks of 1 MiB
 *
 * Region HEAP: MemShared, with one MemClass per size class and one MemSlot per
 * process slot.
 *
 * The way of a block:
 *
 *   span --(class bump word)--> bump range of a slot --> given out
 *   given out --(mem_free, or mem_retire and a grace period)--> active list of a
 *   slot --> its full list --(one batch)--> central list of the class --> active
 *   list of any slot --> given out
 *   central list --(pass, when the limit is near)--> span of no class
 *
 * The first two words of a free block: link to the next block of its list; in the
 * first block of a batch on a central list also count and link to the next batch.
 * Hence no block is smaller than 16 bytes.
 *
 * If a process dies here: its slot's lists stay as they are and go to its
 * successor.  Every list is whole at every instruction; what was between two
 * lists at that moment is lost to both, never on both.
 */
#ifndef ARTERY_STORAGE_MEM_MEM_INTERNAL_H
#define ARTERY_STORAGE_MEM_MEM_INTERNAL_H

#include "common/c.h"
#include "common/figure.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/segment.h"
#include "storage/mem/heap.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEM_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define MEM_ASAN 1
#endif

#define MEM_MAGIC 0x50414548
#define MEM_SPAN_BYTES (64 * KIB)
#define MEM_SPANS_PER_CHUNK ((uint32) (SEGMENT_CHUNK / MEM_SPAN_BYTES))
#define MEM_BLOCK_MIN 16
#define MEM_CLASSES_SMALL 63		/* 16, 24, ... 512 */
#define MEM_CLASS_COUNT (MEM_CLASSES_SMALL + 6 * 8)
#define MEM_BATCH_BYTES (8 * KIB)	/* of blocks that move between a slot and a central list in one step */
#define MEM_BATCH_MAX 64
#define MEM_AHEAD_SPANS 64			/* mem_keep_ahead keeps so many backed and free */
#define MEM_RESERVE_SPANS 16			/* the least reserve, or a sixteenth of a small limit: a span serves one class only */
#define MEM_RESERVE_SPANS_MIN 4

/* a reference as in slot words: Off / 8 in 40 bits; above it a tag, a count or a class */
#define MEM_REF_BITS 40
#define MEM_REF_MASK ((UINT64_C(1) << MEM_REF_BITS) - 1)

/* MemSpan -- one entry of the span table, never inside a block: its link is read without a lock */
typedef struct MemSpan
{
	_Atomic uint32 next;			/* span number + 1: the next free span */
	_Atomic uint16 class_plus1;		/* 0: no class.  Written by whoever holds the span alone */
	_Atomic uint16 found;			/* free blocks found by the pass; written by the pass_owner only */
} MemSpan;
static_assert(sizeof(MemSpan) == 8, "span entry");
#define MEM_FOUND_ALL 0xffff

/* MemClass -- one size class */
typedef struct MemClass
{
	alignas(CACHE_LINE) _Atomic uint64 batches;	/* tag (24) | ref of the first batch */
	_Atomic uint64 bump;			/* (span + 1) << 32 | next block never given out; 0: none */
	_Atomic uint64 bump_reserve;	/* the same, for spans taken from the reserve */
	_Atomic uint64 free_count;		/* blocks in 'batches', about */
	_Atomic uint64 after_pass;		/* free_count when the last pass had ended; pass_owner only */
	_Atomic uint64 aside;			/* Off of the first block that is withheld (vacating); pushed one by one, taken all at once */
} MemClass;
static_assert(sizeof(MemClass) == CACHE_LINE, "no hidden growth");

/* MemCache -- one size class in one slot.  Owner only; the counts are also read for statistics. */
typedef struct MemCache
{
	Off			active;				/* list that blocks are taken from and put on */
	Off			full;				/* a list of exactly one batch, or 0 */
	Off			bump;				/* next of a row of blocks never given out */
	_Atomic uint32 active_count;
	_Atomic uint32 bump_count;
} MemCache;

/*
 * MemBag -- what was retired, in the order of retiring; a block of the heap.
 *
 * One word per block: ref | class << 40; with MEM_BAG_PARTS in it two more follow:
 * array offset << 32 | count, then class of the parts | class of the last << 8.
 * epoch is the global epoch after the last of these blocks was unlinked.
 */
#define MEM_BAG_BYTES 2048
#define MEM_BAG_WORDS ((uint32) ((MEM_BAG_BYTES - 32) / 8))
#define MEM_BAG_ROOM 64				/* mem_alloc makes sure of room for so many words */
#define MEM_BAG_CLOSE_BYTES (64 * KIB)
#define MEM_BAG_PARTS (UINT64_C(1) << 48)
typedef struct MemBag
{
	Off			next;
	uint64		epoch;
	uint64		bytes;
	uint32		words;
	uint32		magic;
	uint64		word[];
} MemBag;
static_assert(sizeof(MemBag) == 32, "bag header");
#define MEM_BAG_MAGIC 0x53474142

/* MemSlot -- what one process has in hand.  Owner only, but for the atomics, which the owner writes and all read. */
typedef struct MemSlot
{
	alignas(CACHE_LINE) _Atomic uint64 used;	/* bytes given out less bytes freed here: wraps; the sum counts */
	_Atomic uint64 retired;			/* bytes in this slot's bags */
	_Atomic uint64 lost;
	uint32		attention;			/* mem_alloc must look whether there is room for retiring */
	uint32		flush_seen;			/* MemShared.flush_wanted when the caches were last given back */
	Off			bag_open;			/* being filled */
	Off			bag_first;			/* closed ones, oldest first */
	Off			bag_last;
	Off			bag_spare;
	uint64		bag_queue_bytes;	/* in the closed ones */
	uint32		grow_backoff;		/* turns of mem_keep_ahead before it tries again to grow */
	uint32		lacking;			/* class + 1 of which mem_alloc had none when last asked in vain; mem_grow's */
	MemCache	cache[MEM_CLASS_COUNT];
} MemSlot;

struct MemShared
{
	uint32		magic;				/* MEM_MAGIC */
	uint32		slot_count;			/* constant after start */

	/* the layout of region NODES: stored (the same values each time) by mem_grow before the first span exists */
	_Atomic uint64 table;			/* Off of MemSpan[] */
	_Atomic uint64 heap;			/* Off of span 0 */
	_Atomic uint64 span_count;

	/* tag << 32 | span + 1: spans of no class, backed by memory */
	alignas(CACHE_LINE) _Atomic uint64 spans;
	_Atomic uint64 span_avail;		/* tokens, never more than spans: taken before a pop, given after a push */
	_Atomic uint64 chunks_backed;	/* chunks of the heap that have been reserved */

	/* bags that any process may empty: pushed one by one, taken all at once */
	alignas(CACHE_LINE) _Atomic uint64 bags;	/* Off of the first */
	_Atomic uint64 bags_bytes;

	/* read by every mem_alloc, written seldom */
	alignas(CACHE_LINE) _Atomic uint32 retired_over;	/* more is retired than may be */
	_Atomic uint32 flush_wanted;	/* raised: every slot gives its caches back at its next mem_keep_ahead */
	_Atomic uint32 pass_owner;		/* slot + 1 of the process that looks for whole spans; 0: nobody */
	_Atomic uint64 vacate_from;		/* nothing in [from, from + size) is given out; size 0: no such part */
	_Atomic uint64 vacate_size;

	MemClass	class[MEM_CLASS_COUNT];
	MemSlot		slot[];
};

extern MemShared *mem__shared;		/* this process' address of region HEAP */

static inline uint32
mem__class_of(size_t size)
{
	uint64		last = size - 1;
	uint32		log;

	if (size <= MEM_BLOCK_MIN)
		return 0;
	if (size <= 512)
		return (uint32) ((size + 7) / 8) - 2;
	log = 63 - (uint32) __builtin_clzll(last);
	return MEM_CLASSES_SMALL + (log - 9) * 8 + (uint32) ((last - (UINT64_C(1) << log)) >> (log - 3));
}

static inline uint32
mem__class_bytes(uint32 class)
{
	uint32		step;

	if (class < MEM_CLASSES_SMALL)
		return MEM_BLOCK_MIN + 8 * class;
	step = class - MEM_CLASSES_SMALL;
	return (512u << (step / 8)) + (step % 8 + 1) * (64u << (step / 8));
}

static inline uint32
mem__batch_count(uint32 class)
{
	uint32		n = (uint32) MEM_BATCH_BYTES / mem__class_bytes(class);

	return Max(1, Min(n, MEM_BATCH_MAX));
}

static inline uint32
mem__blocks_per_span(uint32 class)
{
	return (uint32) MEM_SPAN_BYTES / mem__class_bytes(class);
}

static inline MemSlot *
mem__my_slot(void)
{
	return &mem__shared->slot[my_slot->number];
}

/* words of a free block; alone with their holder but for mem__peek_batch_link */
static inline Off *
mem__link(Off block)
{
	return (Off *) seg_ptr(block);
}

static inline Off
mem__span_start(uint32 span)
{
	/* relaxed: constant once a span exists */
	return atomic_load_explicit(&mem__shared->heap, memory_order_relaxed) + (Off) span * MEM_SPAN_BYTES;
}

static inline uint32
mem__span_of(Off block)
{
	/* relaxed: constant */
	return (uint32) ((block - atomic_load_explicit(&mem__shared->heap, memory_order_relaxed)) / MEM_SPAN_BYTES);
}

static inline MemSpan *
mem__span(uint32 span)
{
	MemSpan    *table = seg_ptr(atomic_load_explicit(&mem__shared->table, memory_order_relaxed));	/* relaxed: constant */

	return &table[span];
}

/* heap.c */
extern Off mem__alloc_class(MemSlot *slot, uint32 class, bool reserve);
extern void mem__free_class(MemSlot *slot, uint32 class, Off block);
extern void mem__central_push(uint32 class, Off first, uint32 count);
extern uint64 mem__central_take_all(uint32 class);
extern uint64 mem__peek_batch_link(Off block);
extern void mem__flush_caches(MemSlot *slot);
extern bool mem__take_row(MemSlot *slot, uint32 class);
extern void mem__unpoison_span(uint32 span);

/* heap_span.c */
extern bool mem__span_take(bool reserve, uint32 *span);
extern void mem__span_give(uint32 span);
extern uint64 mem__reserve_spans(void);

/* heap_retire.c */
extern bool mem__bag_ready(MemSlot *slot);
extern void mem__reclaim_some(MemSlot *slot, uint32 bags_max);
extern void mem__check_retired(void);

#endif
