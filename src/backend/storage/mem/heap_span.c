/*
 * heap_span.c -- spans: where classes get their memory from, and how it comes back.
 *
 * For: backing the region NODES with memory in chunks as it is needed, handing
 * spans of 64 KiB to size classes, keeping a reserve, and turning the free blocks
 * of one class into spans for another when the limit is near.
 *
 * Free spans form a stack (tagged word; links in the span table, which is never
 * anything else).  A token counter says how many may be taken: tokens are taken
 * before a span is popped and given after it is pushed, so that who holds a token
 * finds a span, and the reserve is exact: an ordinary request takes a token only
 * while more than mem__reserve_spans() are left.
 *
 * The reserve is limit / 64; at least 1 MiB, or a sixteenth of a small limit, and
 * never less than 256 KiB.  While part of the region is not backed yet it counts
 * towards the reserve, but for that least amount: what happens inside an epoch
 * cannot ask the kernel.
 *
 * The pass: one process at a time takes the whole central list of a class, counts
 * free blocks per span, takes those out whose span is wholly free and puts the
 * rest back.  Nobody waits for it but who would get -OOM otherwise, and that one
 * only for a while.  A class is looked at again only when it has gained much free
 * memory since its last pass, so that a full heap does not spend its time here;
 * but for mem_collect, which looks at whatever has gained anything: the last block
 * of many spans may have been little.
 *
 * Vacating (mem_vacate ... mem_collect): a process that moves what lies in a part of
 * the heap elsewhere has nothing of that part given out meanwhile, or every next
 * allocation would take one of its blocks and hold its span back.  Whoever comes by
 * a free block there, by taking or by freeing, puts it aside.
 *
 * Runs in every process but the postmaster; mem_grow and mem_keep_ahead outside
 * epochs.  If a process dies in a pass, the list that it holds is lost until the
 * next restart, and pass_owner names it for its successor.
 */
#include "common/c.h"

#include <errno.h>
#include <time.h>

#include "storage/ipc/epoch.h"
#include "storage/mem/mem_internal.h"

#define GROW_BACKOFF_TURNS 256		/* of mem_keep_ahead, after the system refused memory */
#define RETIRED_WAIT_STEPS 50		/* of RETIRED_WAIT_NS: how long mem_grow waits for a grace period */
#define RETIRED_WAIT_NS 20000
#define PASS_WAIT_STEPS 200			/* of PASS_WAIT_NS: how long mem_grow waits for another's pass */
#define PASS_WAIT_NS 500000
#define KEEP_AHEAD_BAGS 64			/* emptied per turn of mem_keep_ahead */

static void
sleep_ns(long ns)
{
	struct timespec ts = {0, ns};

	nanosleep(&ts, NULL);
}

/* ---- the stack of free spans ---- */

/* mem__reserve_spans -- how many backed free spans an ordinary request must leave. */
uint64
mem__reserve_spans(void)
{
	/* relaxed: constant, and a bound that may be a moment old */
	uint64		total = atomic_load_explicit(&mem__shared->span_count, memory_order_relaxed);
	uint64		chunks = atomic_load_explicit(&mem__shared->chunks_backed, memory_order_relaxed);
	uint64		least = Max(Min(MEM_RESERVE_SPANS, total / 16), MEM_RESERVE_SPANS_MIN);
	uint64		reserve = Max(total / 64, least);
	uint64		backed = Min(total, chunks * MEM_SPANS_PER_CHUNK);
	uint64		unbacked = total - backed;

	if (unbacked + least >= reserve)
		return least;
	return reserve - unbacked;
}

/* push_span -- without its token. */
static void
push_span(uint32 span)
{
	uint64		old = atomic_load_explicit(&mem__shared->spans, memory_order_relaxed);	/* relaxed: only passed on */
	uint64		new;

	do
	{
		atomic_store_explicit(&mem__span(span)->next, (uint32) old, memory_order_relaxed);	/* relaxed: released below */
		new = ((old >> 32) + 1) << 32 | (span + 1);
	} while (!atomic_compare_exchange_weak_explicit(&mem__shared->spans, &old, new,
													memory_order_release,	/* release [mem-spans]: the link */
													memory_order_relaxed));
}

static uint32
pop_span(void)
{
	uint64		old = atomic_load_explicit(&mem__shared->spans, memory_order_acquire);	/* acquire [mem-spans] */

	for (;;)
	{
		uint32		span = (uint32) old - 1;
		uint64		new;

		Verify((uint32) old != 0);	/* a token was taken: there is one */
		/* relaxed: written before the push that we acquired; if it was popped meanwhile, the tag has changed */
		new = ((old >> 32) + 1) << 32 | atomic_load_explicit(&mem__span(span)->next, memory_order_relaxed);
		if (atomic_compare_exchange_weak_explicit(&mem__shared->spans, &old, new,
												  memory_order_acq_rel, memory_order_acquire))	/* acquire [mem-spans] */
			return span;
	}
}

/* mem__span_take -- a span of no class for the caller alone; false: none that it may have. */
bool
mem__span_take(bool reserve, uint32 *span)
{
	uint64		keep = reserve ? 0 : mem__reserve_spans();
	uint64		avail = atomic_load_explicit(&mem__shared->span_avail, memory_order_relaxed);	/* relaxed: the CAS decides */

	do
	{
		if (avail <= keep)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&mem__shared->span_avail, &avail, avail - 1,
													memory_order_acquire,	/* acquire [mem-avail]: the span is on the stack */
													memory_order_relaxed));
	*span = pop_span();
	return true;
}

/* mem__span_give -- a span that the caller holds alone becomes free for every class. */
void
mem__span_give(uint32 span)
{
	mem__unpoison_span(span);
	atomic_store_explicit(&mem__span(span)->class_plus1, 0, memory_order_relaxed);	/* relaxed: released by the push */
	push_span(span);
	atomic_fetch_add_explicit(&mem__shared->span_avail, 1, memory_order_release);	/* release [mem-avail]: after the push */
}

/* ---- backing the region with memory ---- */

/* lay_out -- where table and heap lie; every caller stores the same values. */
static void
lay_out(void)
{
	Off			region = segment_region_offset(REGION_NODES);
	uint64		size = segment_region_size(REGION_NODES);
	Off			table = AlignUp(region, CACHE_LINE);
	Off			heap = AlignUp(table + size / MEM_SPAN_BYTES * sizeof(MemSpan), MEM_SPAN_BYTES);
	uint64		spans = heap < region + size ? (region + size - heap) / MEM_SPAN_BYTES : 0;

	/* relaxed: whoever holds a span has acquired it from a stack that is filled after this */
	atomic_store_explicit(&mem__shared->table, table, memory_order_relaxed);
	atomic_store_explicit(&mem__shared->heap, heap, memory_order_relaxed);
	atomic_store_explicit(&mem__shared->span_count, spans, memory_order_relaxed);
}

/*
 * grow_chunk -- back the next chunk.  0; ENOMEM: the region has no more; errno.
 *
 * Several processes may reserve the same chunk: that does no harm; who then moves
 * chunks_backed gives the spans away.
 */
static int
grow_chunk(void)
{
	uint64		chunk = atomic_load_explicit(&mem__shared->chunks_backed, memory_order_acquire);	/* acquire [mem-chunks] */
	uint64		spans;
	uint64		first = chunk * MEM_SPANS_PER_CHUNK;
	uint64		count;
	Off			entry;
	int			err;

	/* relaxed: constant once stored */
	if (atomic_load_explicit(&mem__shared->span_count, memory_order_relaxed) == 0)
		lay_out();
	spans = atomic_load_explicit(&mem__shared->span_count, memory_order_relaxed);
	if (first >= spans)
		return ENOMEM;
	count = Min(MEM_SPANS_PER_CHUNK, spans - first);

	/* entries of the span table come with the chunk that needs them first: a piece of 1 MiB serves 8 GiB */
	entry = first * sizeof(MemSpan);
	if (entry % SEGMENT_CHUNK == 0)
	{
		Off			table = atomic_load_explicit(&mem__shared->table, memory_order_relaxed);	/* relaxed: constant */
		uint64		left = spans * sizeof(MemSpan) - entry;

		err = segment_reserve(table + entry, Min(left, SEGMENT_CHUNK));
		if (err != 0)
			return err;
	}
	err = segment_reserve(mem__span_start((uint32) first), count * MEM_SPAN_BYTES);
	if (err != 0)
		return err;
	if (atomic_compare_exchange_strong_explicit(&mem__shared->chunks_backed, &chunk, chunk + 1,
												memory_order_release,	/* release [mem-chunks]: the table is backed */
												memory_order_relaxed))	/* relaxed: another has grown, as well */
	{
		for (uint64 i = count; i-- > 0;)
			push_span((uint32) (first + i));
		atomic_fetch_add_explicit(&mem__shared->span_avail, count, memory_order_release);	/* release [mem-avail] */
	}
	return 0;
}

/* ---- the pass ---- */

/* take_rows -- blocks of this class that were never given out go to the central list. */
static void
take_rows(MemSlot *slot, uint32 class)
{
	_Atomic uint64 *words[2] = {&mem__shared->class[class].bump, &mem__shared->class[class].bump_reserve};

	for (int i = 0; i < 2; i++)
	{
		uint64		old = atomic_load_explicit(words[i], memory_order_relaxed);	/* relaxed: a glance */

		if (old == 0)
			continue;
		old = atomic_exchange_explicit(words[i], 0, memory_order_acq_rel);	/* acquire [mem-bump] */
		if (old == 0)
			continue;
		for (uint32 b = (uint32) old; b < mem__blocks_per_span(class); b++)
			mem__free_class(slot, class, mem__span_start((uint32) (old >> 32) - 1) + (Off) b * mem__class_bytes(class));
	}
}

/* count_found -- how many blocks of the list 'batches' lie in each span. */
static void
count_found(uint64 batches)
{
	while (batches != 0)
	{
		Off			block = batches << 3;
		uint64		link = mem__link(block)[1];

		for (uint64 n = link >> MEM_REF_BITS; n > 0; n--)
		{
			MemSpan    *span = mem__span(mem__span_of(block));

			/* relaxed: only the pass_owner touches it */
			atomic_store_explicit(&span->found, atomic_load_explicit(&span->found, memory_order_relaxed) + 1,
								  memory_order_relaxed);
			block = *mem__link(block);
		}
		batches = link & MEM_REF_MASK;
	}
}

/*
 * pass_class -- give back the wholly free spans of a class; how many.
 *
 * 'found' of a span: 0 at rest; counted up; MEM_FOUND_ALL once the span is known
 * to be whole and chained in 'whole' (by 'next', which is ours as long as the span
 * is not on the stack).
 */
static uint32
pass_class(uint32 class)
{
	MemClass   *c = &mem__shared->class[class];
	uint32		per_span = mem__blocks_per_span(class);
	uint64		batches = mem__central_take_all(class);
	uint32		whole = 0;
	uint32		whole_count = 0;
	uint64		taken = 0;
	uint64		kept = 0;
	Off			out = 0;
	uint32		out_count = 0;

	count_found(batches);
	while (batches != 0)
	{
		Off			block = batches << 3;
		uint64		link = mem__link(block)[1];
		uint64		n = link >> MEM_REF_BITS;

		taken += n;
		for (; n > 0; n--)
		{
			Off			next = *mem__link(block);
			uint32		number = mem__span_of(block);
			MemSpan    *span = mem__span(number);
			uint16		found = atomic_load_explicit(&span->found, memory_order_relaxed);	/* relaxed: pass_owner only */

			if (found == per_span)
			{
				atomic_store_explicit(&span->found, MEM_FOUND_ALL, memory_order_relaxed);	/* relaxed: as above */
				atomic_store_explicit(&span->next, whole, memory_order_relaxed);
				whole = number + 1;
				whole_count++;
			}
			else if (found != MEM_FOUND_ALL)
			{
				atomic_store_explicit(&span->found, 0, memory_order_relaxed);	/* relaxed: as above */
				*mem__link(block) = out;
				out = block;
				kept++;
				if (++out_count == mem__batch_count(class))
				{
					mem__central_push(class, out, out_count);
					out = 0;
					out_count = 0;
				}
			}
			block = next;
		}
		batches = link & MEM_REF_MASK;
	}
	if (out_count != 0)
		mem__central_push(class, out, out_count);
	atomic_fetch_sub_explicit(&c->free_count, taken, memory_order_relaxed);	/* relaxed: a hint */
	atomic_store_explicit(&c->after_pass, kept, memory_order_relaxed);	/* relaxed: pass_owner only */
	while (whole != 0)
	{
		MemSpan    *span = mem__span(whole - 1);
		uint32		next = atomic_load_explicit(&span->next, memory_order_relaxed);	/* relaxed: ours alone */

		atomic_store_explicit(&span->found, 0, memory_order_relaxed);	/* relaxed: released by the push */
		mem__span_give(whole - 1);
		whole = next;
	}
	return whole_count;
}

/* worth -- bytes on a class' list that have come since its last pass; 0: too few to look, but for who is thorough. */
static uint64
worth(uint32 class, bool thorough)
{
	MemClass   *c = &mem__shared->class[class];
	/* relaxed: hints */
	uint64		free_count = atomic_load_explicit(&c->free_count, memory_order_relaxed);
	uint64		after_pass = atomic_load_explicit(&c->after_pass, memory_order_relaxed);
	uint64		gain;

	if ((int64) free_count <= (int64) after_pass)
		return 0;
	gain = free_count - after_pass;
	if (!thorough && (gain < mem__blocks_per_span(class) || gain < after_pass / 8))
		return 0;
	return gain * mem__class_bytes(class);
}

/* pass_begin -- this process looks for whole spans from now on; false: another one does. */
static bool
pass_begin(MemSlot *slot)
{
	uint32		nobody = 0;

	if (!atomic_compare_exchange_strong_explicit(&mem__shared->pass_owner, &nobody, my_slot->number + 1,
												 memory_order_acquire,	/* acquire [mem-pass]: 'found' is all 0 */
												 memory_order_relaxed))
		return false;
	/* others bring what they hold at their next turn; relaxed: only that it changes matters */
	atomic_fetch_add_explicit(&mem__shared->flush_wanted, 1, memory_order_relaxed);
	for (uint32 class = 0; class < MEM_CLASS_COUNT; class++)
		take_rows(slot, class);
	mem__flush_caches(slot);
	slot->flush_seen = atomic_load_explicit(&mem__shared->flush_wanted, memory_order_relaxed);
	return true;
}

static void
pass_end(void)
{
	atomic_store_explicit(&mem__shared->pass_owner, 0, memory_order_release);	/* release [mem-pass] */
}

/*
 * pass -- look for whole spans, the most promising class first, until 'enough'
 * spans are free above the reserve; false: another process is doing so.
 */
static bool
pass(MemSlot *slot, uint64 enough)
{
	if (!pass_begin(slot))
		return false;
	/* relaxed: a bound */
	while (atomic_load_explicit(&mem__shared->span_avail, memory_order_relaxed) < mem__reserve_spans() + enough)
	{
		uint32		best = MEM_CLASS_COUNT;
		uint64		best_worth = 0;

		for (uint32 class = 0; class < MEM_CLASS_COUNT; class++)
		{
			uint64		w = worth(class, false);

			if (w > best_worth)
			{
				best_worth = w;
				best = class;
			}
		}
		if (best == MEM_CLASS_COUNT)
			break;
		pass_class(best);
	}
	pass_end();
	return true;
}

/* ---- for others ---- */

static bool
room(void)
{
	/* relaxed: a bound */
	return atomic_load_explicit(&mem__shared->span_avail, memory_order_relaxed) > mem__reserve_spans();
}

/* take_lacked -- there is room: what the caller lacked it gets at once, or another takes the span before it comes back. */
static void
take_lacked(MemSlot *slot)
{
	if (slot->lacking != 0)
		(void) mem__take_row(slot, slot->lacking - 1);
	slot->lacking = 0;
}

static bool
retired_over(void)
{
	return atomic_load_explicit(&mem__shared->retired_over, memory_order_relaxed) != 0;	/* relaxed: a bound */
}

/* mem_grow -- as in heap.h.  A 0 means that something has changed for the better, by us or another. */
int
mem_grow(void)
{
	MemSlot    *slot = mem__my_slot();
	int			err;

	Assert(!epoch_inside());
	mem__reclaim_some(slot, UINT32_MAX);
	mem__check_retired();
	for (int i = 0; retired_over() && i < RETIRED_WAIT_STEPS; i++)
	{
		sleep_ns(RETIRED_WAIT_NS);
		mem__reclaim_some(slot, UINT32_MAX);
		mem__check_retired();
	}
	if (retired_over())
		return ENOMEM;
	err = room() ? 0 : grow_chunk();
	if (err == 0)
		take_lacked(slot);
	if (err != ENOMEM)
		return err;
	if (!pass(slot, 1))
	{
		/* relaxed: what the other has found is seen through span_avail */
		for (int i = 0; atomic_load_explicit(&mem__shared->pass_owner, memory_order_relaxed) != 0 && i < PASS_WAIT_STEPS; i++)
			sleep_ns(PASS_WAIT_NS);
	}
	if (!room())
		return ENOMEM;
	take_lacked(slot);
	return 0;
}

/* ---- vacating: nothing in a part of the heap is given out, so that its spans become whole ---- */

void
mem_vacate(Off from, Off to)
{
	Assert(!epoch_inside());
	/* relaxed, all: seen a moment later here or there, which costs a span; the size last: 0 stands for none */
	atomic_store_explicit(&mem__shared->vacate_from, from, memory_order_relaxed);
	atomic_store_explicit(&mem__shared->vacate_size, to - from, memory_order_relaxed);
	atomic_fetch_add_explicit(&mem__shared->flush_wanted, 1, memory_order_relaxed);
}

/* give_back_aside -- what was withheld of a class, to its central list; false: nothing was. */
static bool
give_back_aside(uint32 class)
{
	/* acquire [mem-aside] */
	Off			block = atomic_exchange_explicit(&mem__shared->class[class].aside, 0, memory_order_acquire);
	bool		any = block != 0;

	while (block != 0)
	{
		Off			out = 0;
		uint32		count = 0;

		for (; block != 0 && count < mem__batch_count(class); count++)
		{
			Off			next = *mem__link(block);

			*mem__link(block) = out;
			out = block;
			block = next;
		}
		mem__central_push(class, out, count);
	}
	return any;
}

/* pass_wait -- begin a pass when another process has ended its own; false: it takes too long. */
static bool
pass_wait(MemSlot *slot)
{
	for (int i = 0; i < PASS_WAIT_STEPS; i++)
	{
		if (pass_begin(slot))
			return true;
		sleep_ns(PASS_WAIT_NS);
	}
	return false;
}

bool
mem_collect(void)
{
	MemSlot    *slot = mem__my_slot();
	bool		moved[MEM_CLASS_COUNT];	/* what lay scattered may lie together now, though it is no more than before */
	bool		begun;

	Assert(!epoch_inside());
	mem__reclaim_some(slot, UINT32_MAX);
	begun = pass_wait(slot);
	/* relaxed: as in mem_vacate; now, or others would use what is about to be found */
	atomic_store_explicit(&mem__shared->vacate_size, 0, memory_order_relaxed);
	for (uint32 class = 0; class < MEM_CLASS_COUNT; class++)
		moved[class] = give_back_aside(class);
	if (!begun)
		return false;
	for (uint32 class = 0; class < MEM_CLASS_COUNT; class++)
		if (moved[class] || worth(class, true) > 0)
			pass_class(class);
	pass_end();
	return true;
}

/* ahead -- few spans are left: back more, or when all is backed look for whole ones. */
static void
ahead(MemSlot *slot)
{
	int			err = 0;

	if (slot->grow_backoff > 0)
	{
		slot->grow_backoff--;
		return;
	}
	for (int i = 0; i < 2 && err == 0; i++)
		err = grow_chunk();
	if (err == ENOMEM && !room())
		pass(slot, MEM_SPANS_PER_CHUNK);
	if (err != 0)
		slot->grow_backoff = GROW_BACKOFF_TURNS;
}

void
mem_keep_ahead(void)
{
	MemSlot    *slot = mem__my_slot();
	uint32		wanted;

	Assert(!epoch_inside());
	mem__reclaim_some(slot, KEEP_AHEAD_BAGS);
	if (unlikely(retired_over()))
		mem__check_retired();
	/* relaxed: seen this turn or the next */
	wanted = atomic_load_explicit(&mem__shared->flush_wanted, memory_order_relaxed);
	if (unlikely(wanted != slot->flush_seen))
	{
		slot->flush_seen = wanted;
		mem__flush_caches(slot);
	}
	/* relaxed: a bound */
	if (unlikely(atomic_load_explicit(&mem__shared->span_avail, memory_order_relaxed) < MEM_AHEAD_SPANS + mem__reserve_spans()))
		ahead(slot);
}
