/*
 * heap_stats.c -- how much memory is where, and whether all of it is accounted for.
 *
 * mem_stats: any process, any time; sums counters that others change meanwhile, so
 * that the figures need not add up to the byte.  mem_live_blocks: tests, on a heap
 * that nobody uses at that moment.  Neither changes anything.
 */
#include "common/c.h"

#include "storage/mem/mem_internal.h"

static uint64
get(const _Atomic uint64 *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);	/* relaxed: statistics */
}

static uint64
get32(const _Atomic uint32 *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);	/* relaxed: statistics */
}

void
mem_stats(MemStats *stats)
{
	uint64		used = 0;

	memset(stats, 0, sizeof(*stats));
	stats->limit = segment_region_size(REGION_NODES);
	stats->reserved = Min(get(&mem__shared->chunks_backed) * SEGMENT_CHUNK, stats->limit);
	stats->retired = get(&mem__shared->bags_bytes);
	stats->spans_free = get(&mem__shared->span_avail) * MEM_SPAN_BYTES;
	for (uint32 c = 0; c < MEM_CLASS_COUNT; c++)
	{
		int64		n = (int64) get(&mem__shared->class[c].free_count);

		for (uint32 i = 0; i < mem__shared->slot_count; i++)
		{
			const MemCache *cache = &mem__shared->slot[i].cache[c];

			n += (int64) (get32(&cache->active_count) + get32(&cache->bump_count));
		}
		stats->cached += n > 0 ? (uint64) n * mem__class_bytes(c) : 0;
	}
	for (uint32 i = 0; i < mem__shared->slot_count; i++)
	{
		used += get(&mem__shared->slot[i].used);
		stats->retired += get(&mem__shared->slot[i].retired);
		stats->lost += get(&mem__shared->slot[i].lost);
	}
	stats->used = (int64) used > 0 ? used : 0;
}

uint64
mem_class_free(size_t size)
{
	int64		n = (int64) get(&mem__shared->class[mem__class_of(size)].free_count);

	return n > 0 ? (uint64) n : 0;
}

/* ---- every block by hand ---- */

typedef struct Census
{
	uint8	   *seen;		/* one bit per 8 bytes of the heap */
	uint64		marked;
} Census;

/* mark -- this block is not in use; it must not have been found before, and lie in a span of its class. */
static void
mark(Census *census, Off block, uint32 class)
{
	uint64		at = (block - mem__span_start(0)) / 8;
	uint32		span = mem__span_of(block);

	Verify(block >= mem__span_start(0) && span < get(&mem__shared->span_count));
	Verify(atomic_load_explicit(&mem__span(span)->class_plus1, memory_order_relaxed) == class + 1);	/* relaxed: quiescent */
	Verify((block - mem__span_start(span)) % mem__class_bytes(class) == 0);
	Verify((census->seen[at / 8] & (1 << (at % 8))) == 0);
	census->seen[at / 8] |= (uint8) (1 << (at % 8));
	census->marked++;
}

static void
mark_list(Census *census, Off block, uint32 class, uint64 count)
{
	for (; count > 0; count--)
	{
		Verify(block != 0);
		mark(census, block, class);
		block = *mem__link(block);
	}
}

static void
mark_row(Census *census, uint64 word, uint32 class)
{
	if (word == 0)
		return;
	for (uint32 b = (uint32) word; b < mem__blocks_per_span(class); b++)
		mark(census, mem__span_start((uint32) (word >> 32) - 1) + (Off) b * mem__class_bytes(class), class);
}

static void
mark_bag(Census *census, Off off)
{
	for (; off != 0; off = ((MemBag *) seg_ptr(off))->next)
	{
		const MemBag *bag = seg_ptr(off);

		mark(census, off, mem__class_of(MEM_BAG_BYTES));
		for (uint32 i = 0; i < bag->words; i++)
		{
			Off			block = (bag->word[i] & MEM_REF_MASK) << 3;

			mark(census, block, (uint8) (bag->word[i] >> MEM_REF_BITS));
			if (bag->word[i] & MEM_BAG_PARTS)
			{
				const Off  *parts = (const Off *) ((char *) seg_ptr(block) + (bag->word[i + 1] >> 32));
				uint32		count = (uint32) bag->word[i + 1];

				for (uint32 p = 0; p < count; p++)
					mark(census, parts[p], (bag->word[i + 2] >> (p + 1 == count ? 8 : 0)) & 0xff);
				i += 2;
			}
		}
	}
}

static void
mark_slot(Census *census, MemSlot *slot)
{
	for (uint32 c = 0; c < MEM_CLASS_COUNT; c++)
	{
		MemCache   *cache = &slot->cache[c];

		mark_list(census, cache->active, c, get32(&cache->active_count));
		if (cache->full != 0)
			mark_list(census, cache->full, c, mem__batch_count(c));
		for (uint32 i = 0; i < get32(&cache->bump_count); i++)
			mark(census, cache->bump + (Off) i * mem__class_bytes(c), c);
	}
	mark_bag(census, slot->bag_open);
	mark_bag(census, slot->bag_first);
	if (slot->bag_spare != 0)
		mark(census, slot->bag_spare, mem__class_of(MEM_BAG_BYTES));
}

uint64
mem_live_blocks(void)
{
	uint64		span_count = get(&mem__shared->span_count);
	Census		census = {calloc(1, span_count * MEM_SPAN_BYTES / 64 + 1), 0};
	uint64		carved = 0;
	uint64		classless = 0;
	uint64		backed = Min(get(&mem__shared->chunks_backed) * MEM_SPANS_PER_CHUNK, span_count);

	Verify(census.seen != NULL);
	for (uint64 i = 0; i < backed; i++)
	{
		/* relaxed: quiescent */
		uint32		class_plus1 = atomic_load_explicit(&mem__span((uint32) i)->class_plus1, memory_order_relaxed);

		if (class_plus1 != 0)
			carved += mem__blocks_per_span(class_plus1 - 1);
		else
			classless++;
	}
	Verify(classless == get(&mem__shared->span_avail));
	for (uint32 c = 0; c < MEM_CLASS_COUNT; c++)
	{
		uint64		batch = get(&mem__shared->class[c].batches) & MEM_REF_MASK;

		while (batch != 0)
		{
			uint64		link = mem__link(batch << 3)[1];

			mark_list(&census, batch << 3, c, link >> MEM_REF_BITS);
			batch = link & MEM_REF_MASK;
		}
		for (Off block = get(&mem__shared->class[c].aside); block != 0; block = *mem__link(block))
			mark(&census, block, c);
		mark_row(&census, get(&mem__shared->class[c].bump), c);
		mark_row(&census, get(&mem__shared->class[c].bump_reserve), c);
	}
	for (uint32 i = 0; i < mem__shared->slot_count; i++)
		mark_slot(&census, &mem__shared->slot[i]);
	mark_bag(&census, get(&mem__shared->bags));
	free(census.seen);
	Verify(census.marked <= carved);
	return carved - census.marked;
}
