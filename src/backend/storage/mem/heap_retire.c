/*
 * heap_retire.c -- blocks that were unlinked wait here until nobody can see them.
 *
 * For: mem_retire.  What is retired goes into bags, blocks of the heap that hold
 * 252 words.  A bag is closed when it is full, when it stands for 64 KiB, or when
 * the process looks for something to reclaim and has no closed bag; only then is
 * the epoch read, once for all that is in it.
 *
 * That is later than each unlinking in the bag, hence not less than any of their
 * epochs; why e + 2 is enough stands in epoch.h (doc/models/m3_epoch).
 *
 * Bounds: a slot keeps closed bags for limit / 16 / slots bytes (64 KiB at least);
 * older ones go to a list that every process empties, so that a process that
 * sleeps holds back little.  When more than limit / 16 is on that list, mem_alloc
 * says MEM_NONE to all until a grace period has passed.  So memory that waits is
 * at most about an eighth of the limit.
 *
 * Remembering needs memory itself: mem_alloc makes sure that there is room for
 * MEM_BAG_ROOM more words; who retires much without allocating asks by
 * mem_retire_ready.  If there is none all the same, the block is given up and counted as lost.
 *
 * Runs in every process but the postmaster.  If a process dies here, its bags stay
 * with its slot; its epoch word keeps what it was reading from being reused.
 */
#include "common/c.h"

#include "storage/ipc/epoch.h"
#include "storage/mem/mem_internal.h"

static inline MemBag *
bag_at(Off off)
{
	MemBag	   *bag = seg_ptr(off);

	Assert(bag->magic == MEM_BAG_MAGIC);
	return bag;
}

static inline uint64
limit_bytes(void)
{
	return atomic_load_explicit(&mem__shared->span_count, memory_order_relaxed) * MEM_SPAN_BYTES;	/* relaxed: constant */
}

/* new_bag -- from the reserve if need be; 0: none. */
static Off
new_bag(MemSlot *slot)
{
	Off			off = slot->bag_spare;
	MemBag	   *bag;

	if (off != 0)
		slot->bag_spare = 0;
	else
	{
		off = mem__alloc_class(slot, mem__class_of(MEM_BAG_BYTES), true);
		if (off == MEM_NONE)
			return 0;
	}
	bag = seg_ptr(off);
	bag->next = 0;
	bag->epoch = 0;
	bag->bytes = 0;
	bag->words = 0;
	bag->magic = MEM_BAG_MAGIC;
	return off;
}

static void
drop_bag(MemSlot *slot, Off off)
{
	bag_at(off)->magic = 0;
	if (slot->bag_spare == 0)
		slot->bag_spare = off;
	else
		mem__free_class(slot, mem__class_of(MEM_BAG_BYTES), off);
}

/* mem__bag_ready -- room for MEM_BAG_ROOM more words, by an open bag or a spare one; false: no memory. */
bool
mem__bag_ready(MemSlot *slot)
{
	if (slot->bag_spare == 0 &&
		(slot->bag_open == 0 || bag_at(slot->bag_open)->words + MEM_BAG_ROOM > MEM_BAG_WORDS))
	{
		Off			off = new_bag(slot);

		if (off == 0)
			return false;
		slot->bag_spare = off;
	}
	slot->attention = 0;
	return true;
}

/* export_oldest -- this slot's oldest closed bag becomes everybody's. */
static void
export_oldest(MemSlot *slot)
{
	Off			off = slot->bag_first;
	MemBag	   *bag = bag_at(off);
	uint64		bytes = bag->bytes;
	uint64		old = atomic_load_explicit(&mem__shared->bags, memory_order_relaxed);	/* relaxed: only passed on */

	slot->bag_first = bag->next;
	if (slot->bag_first == 0)
		slot->bag_last = 0;
	slot->bag_queue_bytes -= bytes;
	figure_add(&slot->retired, -bytes);
	atomic_fetch_add_explicit(&mem__shared->bags_bytes, bytes, memory_order_relaxed);	/* relaxed: a bound */
	do
	{
		bag->next = old;
	} while (!atomic_compare_exchange_weak_explicit(&mem__shared->bags, &old, off,
													memory_order_release,	/* release [mem-bags]: what is in it */
													memory_order_relaxed));
	mem__check_retired();
}

static void
close_bag(MemSlot *slot)
{
	Off			off = slot->bag_open;
	MemBag	   *bag = bag_at(off);
	uint64		keep = Max(limit_bytes() / 16 / mem__shared->slot_count, 64 * KIB);

	bag->epoch = epoch_current();	/* fenced: after every unlinking of what is in it */
	bag->next = 0;
	if (slot->bag_last != 0)
		bag_at(slot->bag_last)->next = off;
	else
		slot->bag_first = off;
	slot->bag_last = off;
	slot->bag_open = 0;
	slot->bag_queue_bytes += bag->bytes;
	if (slot->bag_spare == 0)
		slot->attention = 1;
	while (slot->bag_queue_bytes > keep && slot->bag_first != 0)
		export_oldest(slot);
}

/* put_words -- 'count' words that stand for 'bytes' bytes of blocks. */
static void
put_words(const uint64 *words, uint32 count, uint64 bytes)
{
	MemSlot    *slot = mem__my_slot();
	MemBag	   *bag;

	if (slot->bag_open != 0 && bag_at(slot->bag_open)->words + count > MEM_BAG_WORDS)
		close_bag(slot);
	if (slot->bag_open == 0)
		slot->bag_open = new_bag(slot);
	if (slot->bag_open == 0)
	{
		figure_add(&slot->lost, bytes);
		return;
	}
	bag = bag_at(slot->bag_open);
	for (uint32 i = 0; i < count; i++)
		bag->word[bag->words + i] = words[i];
	bag->words += count;
	bag->bytes += bytes;
	figure_add(&slot->retired, bytes);
	if (bag->words + MEM_BAG_ROOM > MEM_BAG_WORDS && slot->bag_spare == 0)
		slot->attention = 1;
	if (bag->bytes >= MEM_BAG_CLOSE_BYTES)
		close_bag(slot);
}

bool
mem_retire_ready(void)
{
	MemSlot    *slot = mem__my_slot();

	return slot->attention == 0 || mem__bag_ready(slot);
}

void
mem_retire(Off block, size_t size)
{
	uint32		class = mem__class_of(size);
	uint64		word = (block >> 3) | ((uint64) class << MEM_REF_BITS);

	Assert(block != MEM_NONE && (block & 7) == 0);
	put_words(&word, 1, mem__class_bytes(class));
}

void
mem_retire_parts(Off block, size_t size, uint32 array_offset, uint32 count, size_t part_size, size_t last_size)
{
	uint32		class = mem__class_of(size);
	uint32		part = mem__class_of(part_size);
	uint32		last = mem__class_of(last_size);
	uint64		words[3];

	Assert(count > 0 && (array_offset & 7) == 0 && array_offset + count * sizeof(Off) <= size);
	words[0] = (block >> 3) | ((uint64) class << MEM_REF_BITS) | MEM_BAG_PARTS;
	words[1] = ((uint64) array_offset << 32) | count;
	words[2] = part | last << 8;
	put_words(words, 3, mem__class_bytes(class) + (uint64) (count - 1) * mem__class_bytes(part) + mem__class_bytes(last));
}

static inline void
give_back(MemSlot *slot, Off block, uint32 class)
{
	figure_add(&slot->used, -(uint64) mem__class_bytes(class));
	mem__free_class(slot, class, block);
}

/* empty_bag -- its grace period has passed: free all that is in it. */
static void
empty_bag(MemSlot *slot, MemBag *bag)
{
	for (uint32 i = 0; i < bag->words; i++)
	{
		uint64		word = bag->word[i];
		Off			block = (word & MEM_REF_MASK) << 3;

		if (i + 8 < bag->words)
			__builtin_prefetch(seg_ptr((bag->word[i + 8] & MEM_REF_MASK) << 3), 1);
		if (word & MEM_BAG_PARTS)
		{
			const Off  *parts = (const Off *) ((char *) seg_ptr(block) + (bag->word[i + 1] >> 32));
			uint32		count = (uint32) bag->word[i + 1];

			for (uint32 p = 0; p < count; p++)
				give_back(slot, parts[p], (bag->word[i + 2] >> (p + 1 == count ? 8 : 0)) & 0xff);
			i += 2;
		}
		give_back(slot, block, (uint8) (word >> MEM_REF_BITS));
	}
}

/* reclaim_own -- closed bags of this slot, oldest first; how many may still be emptied. */
static uint32
reclaim_own(MemSlot *slot, uint64 epoch, uint32 bags_max)
{
	while (bags_max > 0 && slot->bag_first != 0)
	{
		Off			off = slot->bag_first;
		MemBag	   *bag = bag_at(off);

		if (bag->epoch + 2 > epoch)
			break;
		slot->bag_first = bag->next;
		if (slot->bag_first == 0)
			slot->bag_last = 0;
		slot->bag_queue_bytes -= bag->bytes;
		figure_add(&slot->retired, -bag->bytes);
		empty_bag(slot, bag);
		drop_bag(slot, off);
		bags_max--;
	}
	return bags_max;
}

/* reclaim_shared -- everybody's bags: takes them all, empties what has passed, puts the rest back. */
static void
reclaim_shared(MemSlot *slot, uint64 epoch, uint32 bags_max)
{
	Off			off = atomic_exchange_explicit(&mem__shared->bags, 0, memory_order_acquire);	/* acquire [mem-bags] */
	Off			rest = 0;
	Off			rest_last = 0;
	uint64		old;

	while (off != 0)
	{
		MemBag	   *bag = bag_at(off);
		Off			next = bag->next;

		if (bags_max > 0 && bag->epoch + 2 <= epoch)
		{
			atomic_fetch_sub_explicit(&mem__shared->bags_bytes, bag->bytes, memory_order_relaxed);	/* relaxed: a bound */
			empty_bag(slot, bag);
			drop_bag(slot, off);
			bags_max--;
		}
		else
		{
			bag->next = rest;
			rest = off;
			if (rest_last == 0)
				rest_last = off;
		}
		off = next;
	}
	if (rest == 0)
		return;
	old = atomic_load_explicit(&mem__shared->bags, memory_order_relaxed);	/* relaxed: only passed on */
	do
	{
		bag_at(rest_last)->next = old;
	} while (!atomic_compare_exchange_weak_explicit(&mem__shared->bags, &old, rest,
													memory_order_release,	/* release [mem-bags] */
													memory_order_relaxed));
}

/*
 * mem__check_retired -- may mem_alloc go on?  The flag may be a moment late in both
 * directions; every mem_grow and mem_keep_ahead looks again.
 */
void
mem__check_retired(void)
{
	/* relaxed: a bound */
	uint64		bytes = atomic_load_explicit(&mem__shared->bags_bytes, memory_order_relaxed);
	uint32		over = bytes > Max(limit_bytes() / 16, MEM_BAG_CLOSE_BYTES);

	if (atomic_load_explicit(&mem__shared->retired_over, memory_order_relaxed) != over)
		atomic_store_explicit(&mem__shared->retired_over, over, memory_order_relaxed);
}

/* mem__reclaim_some -- empties at most 'bags_max' bags of each kind; advances the epoch when something waits for it. */
void
mem__reclaim_some(MemSlot *slot, uint32 bags_max)
{
	/* relaxed: a glance; what comes later is for the next turn */
	bool		shared = atomic_load_explicit(&mem__shared->bags, memory_order_relaxed) != 0;
	uint64		epoch;

	if (slot->bag_first == 0)
	{
		if (slot->bag_open != 0 && bag_at(slot->bag_open)->words != 0)
			close_bag(slot);
		else if (!shared)
			return;
	}
	epoch = epoch_current();
	bags_max = reclaim_own(slot, epoch, bags_max);
	if (slot->bag_first != 0 && bags_max > 0 && epoch_try_advance())
	{
		epoch = epoch_current();
		bags_max = reclaim_own(slot, epoch, bags_max);
	}
	if (atomic_load_explicit(&mem__shared->bags, memory_order_relaxed) != 0)	/* relaxed: as above */
	{
		if (slot->bag_first == 0)
			epoch_try_advance();
		reclaim_shared(slot, epoch_current(), bags_max);
		mem__check_retired();
	}
}

void
mem_reclaim(void)
{
	Assert(!epoch_inside());
	mem__reclaim_some(mem__my_slot(), UINT32_MAX);
}
