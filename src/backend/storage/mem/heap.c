/*
 * heap.c -- giving blocks out and taking them back.
 *
 * For: nodes, leaves and value blocks of the overlay, in shared memory, at the
 * cost of a few instructions.  mem_alloc pops from a list that belongs to this
 * process' slot; no atomic read-modify-write unless that list has run dry.
 *
 * Two lists per class and slot, "active" and "full", so that blocks go to and
 * come from the central list in batches that nobody has to walk or count: a slot
 * holds at most two batches of a class and a short row of fresh blocks.
 *
 * Order in which memory is looked for: active list, full list, own row of fresh
 * blocks, central list, the class' span, a new span.  mem_alloc_reserve goes on
 * with spans below the reserve line, and keeps their blocks for its like.
 *
 * Promises: constant time but for contention; no system call; no lock.  A block
 * is never given out twice; content is undefined.  Does not take care that nobody
 * still reads a block: that is mem_retire's (heap_retire.c).
 *
 * Runs in every process but the postmaster.  If a process dies here, at most the
 * block or the batch that it was moving belongs to nobody until the next restart.
 */
#include "common/c.h"
#include "storage/mem/mem_internal.h"

#ifdef MEM_ASAN
#include <sanitizer/asan_interface.h>
#endif

MemShared  *mem__shared;
bool		mem_poison;
bool		mem_use_reserve;

static_assert(sizeof(MemCache) == 32, "no hidden growth");

size_t
mem_region_size(void)
{
	return sizeof(MemShared) + sizeof(MemSlot) * proc_slot_count;
}

/* mem_region_init -- in fresh zeroed memory; the heap itself is laid out by the first mem_grow. */
void
mem_region_init(void *region)
{
	mem__shared = region;
	mem__shared->magic = MEM_MAGIC;
	mem__shared->slot_count = proc_slot_count;
	for (uint32 i = 0; i < proc_slot_count; i++)
		mem__shared->slot[i].attention = 1;
}

size_t
mem_class_size(size_t size)
{
	Assert(size <= MEM_BLOCK_MAX);
	return mem__class_bytes(mem__class_of(size));
}

/* ---- tests under ASan: what may not be touched ---- */

static inline void
poison_free(Off block, uint32 class)
{
#ifdef ARTERY_ASSERT
	/* a reader that still looks at this block shall not find what it hopes for */
	memset((char *) seg_ptr(block) + MEM_BLOCK_MIN, 0xdd, mem__class_bytes(class) - MEM_BLOCK_MIN);
#endif
#ifdef MEM_ASAN
	if (mem_poison)
		ASAN_POISON_MEMORY_REGION((char *) seg_ptr(block) + MEM_BLOCK_MIN, mem__class_bytes(class) - MEM_BLOCK_MIN);
#endif
	(void) block;
	(void) class;
}

static inline void
poison_given(Off block, uint32 class, size_t size)
{
#ifdef MEM_ASAN
	if (mem_poison)
	{
		ASAN_POISON_MEMORY_REGION(seg_ptr(block), mem__class_bytes(class));
		ASAN_UNPOISON_MEMORY_REGION(seg_ptr(block), size);
	}
#endif
	(void) block;
	(void) class;
	(void) size;
}

static inline void
unpoison(Off block, uint32 class)
{
#ifdef MEM_ASAN
	if (mem_poison)
		ASAN_UNPOISON_MEMORY_REGION(seg_ptr(block), mem__class_bytes(class));
#endif
	(void) block;
	(void) class;
}

void
mem__unpoison_span(uint32 span)
{
#ifdef MEM_ASAN
	if (mem_poison)
		ASAN_UNPOISON_MEMORY_REGION(seg_ptr(mem__span_start(span)), MEM_SPAN_BYTES);
#endif
	(void) span;
}

/* ---- central lists ---- */

/*
 * mem__peek_batch_link -- the second word of a block that may be taken from the
 * central list, given out and written while we look.
 *
 * Then the word is nonsense, but the tag of the list has changed and the CAS that
 * would use it fails.  This race is wanted, so the sanitizers are told to look
 * away here and only here; memory of the heap is never unmapped.
 */
__attribute__((noinline, no_sanitize("thread", "address"))) uint64
mem__peek_batch_link(Off block)
{
	return ((volatile uint64 *) seg_ptr(block))[1];
}

/* mem__central_push -- a list of 'count' blocks, linked by their first words, becomes one batch. */
void
mem__central_push(uint32 class, Off first, uint32 count)
{
	MemClass   *c = &mem__shared->class[class];
	uint64		old = atomic_load_explicit(&c->batches, memory_order_relaxed);	/* relaxed: only passed on */
	uint64		new;

	do
	{
		mem__link(first)[1] = ((uint64) count << MEM_REF_BITS) | (old & MEM_REF_MASK);
		new = ((old & ~MEM_REF_MASK) + MEM_REF_MASK + 1) | (first >> 3);
	} while (!atomic_compare_exchange_weak_explicit(&c->batches, &old, new,
													memory_order_release,	/* release [mem-central]: links before the batch */
													memory_order_relaxed));
	/* relaxed: a hint for the pass and for statistics */
	atomic_fetch_add_explicit(&c->free_count, count, memory_order_relaxed);
}

/* central_pop -- one batch; its count, or 0 when there is none. */
static uint32
central_pop(uint32 class, Off *first)
{
	MemClass   *c = &mem__shared->class[class];
	uint64		old = atomic_load_explicit(&c->batches, memory_order_acquire);	/* acquire [mem-central] */

	while ((old & MEM_REF_MASK) != 0)
	{
		Off			block = (old & MEM_REF_MASK) << 3;
		uint64		link = mem__peek_batch_link(block);
		uint64		new = ((old & ~MEM_REF_MASK) + MEM_REF_MASK + 1) | (link & MEM_REF_MASK);

		/*
		 * 24 bits of tag: to be fooled, this process would have to stand still
		 * between load and CAS for an exact multiple of 16.7 million changes of
		 * this list, and find the same block in front.
		 */
		if (atomic_compare_exchange_weak_explicit(&c->batches, &old, new,
												  memory_order_acq_rel, memory_order_acquire))	/* acquire [mem-central] */
		{
			uint32		count = (uint32) (link >> MEM_REF_BITS);

			atomic_fetch_sub_explicit(&c->free_count, count, memory_order_relaxed);	/* relaxed: as above */
			*first = block;
			return count;
		}
	}
	return 0;
}

/* mem__central_take_all -- empties the list; ref of its first batch or 0.  The caller walks what is now its own. */
uint64
mem__central_take_all(uint32 class)
{
	MemClass   *c = &mem__shared->class[class];
	uint64		old = atomic_load_explicit(&c->batches, memory_order_acquire);	/* acquire [mem-central] */

	while ((old & MEM_REF_MASK) != 0)
	{
		uint64		new = (old & ~MEM_REF_MASK) + MEM_REF_MASK + 1;

		if (atomic_compare_exchange_weak_explicit(&c->batches, &old, new,
												  memory_order_acq_rel, memory_order_acquire))	/* acquire [mem-central] */
			return old & MEM_REF_MASK;
	}
	return 0;
}

/* ---- rows of fresh blocks ---- */

/*
 * refill_bump -- a row of at most one batch from the span that 'word' names, or
 * from a new span; false: none may be taken.
 *
 * The word says all by itself (this span, this block and those behind it were
 * never given out), so that a CAS which comes late but finds its old word again
 * is right.
 */
static bool
refill_bump(MemSlot *slot, uint32 class, _Atomic uint64 *word, bool reserve)
{
	uint32		per_span = mem__blocks_per_span(class);
	uint32		batch = mem__batch_count(class);
	MemCache   *cache = &slot->cache[class];

	for (;;)
	{
		uint64		old = atomic_load_explicit(word, memory_order_acquire);	/* acquire [mem-bump] */
		uint32		index = (uint32) old;
		bool		fresh = old == 0;
		uint32		span;
		uint32		n;
		uint64		new;

		if (fresh)
		{
			if (!mem__span_take(reserve, &span))
				return false;
			/* relaxed: the span is ours alone; who gets blocks of it gets this store with them */
			atomic_store_explicit(&mem__span(span)->class_plus1, (uint16) (class + 1), memory_order_relaxed);
		}
		else
			span = (uint32) (old >> 32) - 1;
		n = Min(batch, per_span - index);
		new = index + n == per_span ? 0 : ((uint64) (span + 1) << 32) | (index + n);
		if ((fresh && new == 0) ||
			atomic_compare_exchange_strong_explicit(word, &old, new,
													memory_order_acq_rel,	/* release [mem-bump]: the span's class */
													memory_order_relaxed))	/* relaxed: we start over */
		{
			cache->bump = mem__span_start(span) + (Off) index * mem__class_bytes(class);
			atomic_store_explicit(&cache->bump_count, n, memory_order_relaxed);	/* relaxed: owner; statistics */
			return true;
		}
		if (fresh)
			mem__span_give(span);	/* another process was first with a span for this class */
	}
}

/* mem__take_row -- for who has lacked this class: a row, so that nobody else takes the span first; false: there is none. */
bool
mem__take_row(MemSlot *slot, uint32 class)
{
	/* relaxed: owner */
	return atomic_load_explicit(&slot->cache[class].bump_count, memory_order_relaxed) > 0 ||
		refill_bump(slot, class, &mem__shared->class[class].bump, false);
}

/* ---- a slot's lists ---- */

static inline void
set_count(_Atomic uint32 *count, uint32 n)
{
	atomic_store_explicit(count, n, memory_order_relaxed);	/* relaxed: owner only; statistics read */
}

static inline uint32
get_count(const _Atomic uint32 *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);	/* relaxed: owner only; statistics read */
}

static inline Off
pop_active(MemCache *cache, uint32 class)
{
	Off			block = cache->active;

	cache->active = *mem__link(block);
	set_count(&cache->active_count, get_count(&cache->active_count) - 1);
	unpoison(block, class);
	return block;
}

static inline Off
pop_bump(MemCache *cache, uint32 class)
{
	Off			block = cache->bump;

	cache->bump += mem__class_bytes(class);
	set_count(&cache->bump_count, get_count(&cache->bump_count) - 1);
	return block;
}

static Off
alloc_slow(MemSlot *slot, uint32 class, bool reserve)
{
	MemCache   *cache = &slot->cache[class];
	Off			first;
	uint32		count;

	if (cache->full != 0)
	{
		cache->active = cache->full;
		cache->full = 0;
		set_count(&cache->active_count, mem__batch_count(class));
		return pop_active(cache, class);
	}
	count = central_pop(class, &first);
	if (count != 0)
	{
		cache->active = first;
		set_count(&cache->active_count, count);
		return pop_active(cache, class);
	}
	/* a span of the reserve that was begun comes before a fresh one: recovery would end up with two of each class.  relaxed: a glance */
	if (reserve && atomic_load_explicit(&mem__shared->class[class].bump_reserve, memory_order_relaxed) != 0 &&
		refill_bump(slot, class, &mem__shared->class[class].bump_reserve, true))
		return pop_bump(cache, class);
	if (refill_bump(slot, class, &mem__shared->class[class].bump, false) ||
		(reserve && refill_bump(slot, class, &mem__shared->class[class].bump_reserve, true)))
		return pop_bump(cache, class);
	return MEM_NONE;
}

/* ---- blocks in the part of the heap that is being vacated ---- */

static inline bool
vacated(Off block)
{
	/* relaxed, both: a moment late does no harm */
	uint64		size = atomic_load_explicit(&mem__shared->vacate_size, memory_order_relaxed);

	return unlikely(size != 0) && block - atomic_load_explicit(&mem__shared->vacate_from, memory_order_relaxed) < size;
}

static void
put_aside(uint32 class, Off block)
{
	_Atomic uint64 *aside = &mem__shared->class[class].aside;
	uint64		old = atomic_load_explicit(aside, memory_order_relaxed);	/* relaxed: only passed on */

	do
		*mem__link(block) = old;
	while (!atomic_compare_exchange_weak_explicit(aside, &old, block,
												  memory_order_release,	/* release [mem-aside]: the link */
												  memory_order_relaxed));
}

static inline Off
take_class(MemSlot *slot, uint32 class, bool reserve)
{
	MemCache   *cache = &slot->cache[class];

	if (likely(cache->active != 0))
		return pop_active(cache, class);
	if (likely(get_count(&cache->bump_count) != 0))
		return pop_bump(cache, class);
	return alloc_slow(slot, class, reserve);
}

/* mem__alloc_class -- without statistics and checks; MEM_NONE. */
Off
mem__alloc_class(MemSlot *slot, uint32 class, bool reserve)
{
	for (;;)
	{
		Off			block = take_class(slot, class, reserve);

		if (likely(block == MEM_NONE || !vacated(block)))
			return block;
		put_aside(class, block);
	}
}

void
mem__free_class(MemSlot *slot, uint32 class, Off block)
{
	MemCache   *cache = &slot->cache[class];

	unpoison(block, class);
	if (unlikely(vacated(block)))
	{
		poison_free(block, class);
		put_aside(class, block);	/* from here on another process may give it out */
		return;
	}
	if (unlikely(get_count(&cache->active_count) >= mem__batch_count(class)))
	{
		if (cache->full != 0)
			mem__central_push(class, cache->full, mem__batch_count(class));
		/* exactly one batch: a list comes from a batch or grows by one here */
		Assert(get_count(&cache->active_count) == mem__batch_count(class));
		cache->full = cache->active;
		cache->active = 0;
		set_count(&cache->active_count, 0);
	}
	*mem__link(block) = cache->active;
	cache->active = block;
	set_count(&cache->active_count, get_count(&cache->active_count) + 1);
	poison_free(block, class);
}

/* mem__flush_caches -- everything free that this slot holds goes to the central lists. */
void
mem__flush_caches(MemSlot *slot)
{
	for (uint32 class = 0; class < MEM_CLASS_COUNT; class++)
	{
		MemCache   *cache = &slot->cache[class];

		/* what is left of the row goes the way of freed blocks */
		while (get_count(&cache->bump_count) != 0)
			mem__free_class(slot, class, pop_bump(cache, class));
		if (cache->full != 0)
		{
			mem__central_push(class, cache->full, mem__batch_count(class));
			cache->full = 0;
		}
		if (cache->active != 0)
		{
			Off			first = cache->active;
			uint32		count = get_count(&cache->active_count);

			cache->active = 0;
			set_count(&cache->active_count, 0);
			mem__central_push(class, first, count);
		}
	}
}

/* ---- for others ---- */

static inline Off
alloc(size_t size, bool reserve)
{
	MemSlot    *slot = mem__my_slot();
	uint32		class = mem__class_of(size);
	Off			block;

	Assert(size > 0 && size <= MEM_BLOCK_MAX);
	reserve = reserve || mem_use_reserve;
	/* relaxed: a bound, not an order */
	if (unlikely(!reserve && atomic_load_explicit(&mem__shared->retired_over, memory_order_relaxed) != 0))
		return MEM_NONE;
	if (unlikely(slot->attention != 0) && !mem__bag_ready(slot))
		return MEM_NONE;
	block = mem__alloc_class(slot, class, reserve);
	if (likely(block != MEM_NONE))
	{
		figure_add(&slot->used, mem__class_bytes(class));
		poison_given(block, class, size);
	}
	else
		slot->lacking = class + 1;
	return block;
}

Off
mem_alloc(size_t size)
{
	return alloc(size, false);
}

Off
mem_alloc_reserve(size_t size)
{
	return alloc(size, true);
}

void
mem_free(Off block, size_t size)
{
	MemSlot    *slot = mem__my_slot();
	uint32		class = mem__class_of(size);

	Assert(block != MEM_NONE && (block & 7) == 0);
	figure_add(&slot->used, -(uint64) mem__class_bytes(class));
	mem__free_class(slot, class, block);
}
