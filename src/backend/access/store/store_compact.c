/*
 * store_compact.c -- memory of one size becomes memory of another: leaves move together.
 *
 * The heap gives a span of 64 KiB to one size of blocks, and takes it back when all
 * of it is free.  When the sizes of what is written change, memory may be half
 * free and yet there is none: the free blocks lie scattered over spans of sizes
 * that nobody wants any more (memcached calls it calcification).  Eviction does
 * not help much, for what is dirty stays where it is, and a leaf per span is enough.
 *
 * So the evictor moves leaves.  It works on one part of the heap at a time, its
 * window: every leaf in the window whose size has blocks to spare elsewhere is
 * copied out of it, by one CAS of its slot (art_replace_leaf), dirty or not; nothing
 * in the window is given out meanwhile (mem_vacate).  A second walk finds what the
 * first could not move.  Then whole spans become free (mem_collect).
 *
 * Why a leaf may be moved: the copy has the same lsn, the same link and the same
 * first, so for readers, walks and merges it is the same version; a writer that has
 * read the old reference fails its CAS and starts over; the old block is retired
 * as after any replacement.  A leaf with lsn > completed stays: its record may
 * still be filled from it.  Large values stay, their blocks are of the largest
 * size.  Nodes stay: there are far fewer, and their sizes are always the same.
 *
 * When: somebody finds no memory though much is free; or, before that, when few
 * spans are free and some have been taken since it last worked.  It costs a walk
 * over all leaves per window.  Nothing is evicted by it and COMPLETE is not
 * touched.  The evictor runs it, in bounded pieces, and the startup process when redo
 * finds no memory; if it dies, what is withheld belongs to nobody until the restart
 * of all.
 */
#include "common/c.h"

#include "access/store/evict_internal.h"
#include "storage/ipc/latch.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"

#define WINDOWS 8				/* parts of the heap */
#define PIECE_LOOKED 2048		/* leaves of a piece that are looked at ... */
#define PIECE_MOVED 256			/* ... and moved */
#define SPARE_PARTS 64			/* a size has blocks to spare when so much of the limit lies free in it */
#define STOCK_PARTS 32			/* so much of the limit in free spans is enough, half of that is few */
#define CACHED_PARTS 16			/* so much of the limit free in blocks is worth the trouble */
#define AGAIN_US 250000			/* after a run in vain, while somebody waits */
#define WALKS_MAX 3				/* over all leaves, for one window */
#define STUCK_MAX 8				/* pieces in which nothing could be retired, one after the other */
#define LEFT_OVER_MAX 64		/* moved by a walk: few enough not to walk again */

/* Compact -- the evictor's own */
typedef struct Compact
{
	bool		running;
	uint32		window;			/* 0 .. WINDOWS - 1 */
	uint32		windows_left;
	uint64		spans_left_over;	/* bytes of free spans when the last run ended: some must go before the next */
	bool		in_vain;		/* the last run made no span free ... */
	uint64		cached;			/* ... when so much was free in blocks ... */
	uint64		ended_us;		/* ... at that time */
	uint8		from[KEY_MAX];
	uint32		from_len;
	bool		alone;			/* recovery: no record waits to be filled */
	Lsn			completed;
	uint32		stuck;			/* pieces one after the other that did not get on */
	uint32		walks;			/* of this window */
	uint64		moved;			/* in this walk */
} Compact;

static Compact compact;

void
compact_reset(void)
{
	memset(&compact, 0, sizeof(compact));
	compact.spans_left_over = UINT64_MAX;
}

static uint64
limit(void)
{
	return segment_region_size(REGION_NODES);
}

static bool
in_window(Off off)
{
	return (off - segment_region_offset(REGION_NODES)) / (limit() / WINDOWS) == compact.window;
}

static bool
to_spare(size_t size)
{
	return mem_class_free(size) * mem_class_size(size) >= limit() / SPARE_PARTS;
}

/* movable -- out of the window, to a block that nobody lacks? */
static bool
movable(const Leaf *leaf)
{
	return in_window(seg_off(leaf)) && (leaf_flags(leaf) & (LEAF_EXTENTS | LEAF_DESCRIPTOR)) == 0 &&
		leaf->lsn <= compact.completed && to_spare(leaf_size(leaf));
}

/* move -- inside an epoch. */
static void
move(Leaf *leaf)
{
	Off			copy = leaf_copy(leaf, 0);

	if (copy == MEM_NONE)
		return;
	if (art_replace_leaf(&store_shared->root, leaf_key(leaf), leaf->key_len, leaf, copy))
	{
		leaf_retire_shell(seg_off(leaf));
		compact.moved++;
	}
	else
		leaf_free_shell(copy);
}

/* piece -- true: the last leaf was seen. */
static bool
piece(void)
{
	ArtCursor  *c = art_cursor(0);
	uint64		until = compact.moved + PIECE_MOVED;
	Leaf	   *leaf;

	bool		went_on = false;

	compact.completed = compact.alone ? UINT64_MAX : wal_completed_lsn();
	epoch_enter();
	art_seek(c, &store_shared->root, NULL, 0, compact.from_len > 0 ? compact.from : NULL, compact.from_len,
			 false, false);
	leaf = art_next(c);
	for (uint32 i = 0; leaf != NULL && i < PIECE_LOOKED && compact.moved < until && mem_retire_ready(); i++)
	{
		/* the next one first: what is moved stays readable, but so it is simplest to see */
		Leaf	   *next = art_next(c);

		if (movable(leaf))
			move(leaf);
		leaf = next;
		went_on = true;
	}
	compact.stuck = went_on || leaf == NULL ? 0 : compact.stuck + 1;
	if (leaf != NULL)
	{
		memcpy(compact.from, leaf_key(leaf), leaf->key_len);
		compact.from_len = leaf->key_len;
	}
	epoch_leave();
	return leaf == NULL;
}

/* window_begin -- nothing in it is given out from now on; who sleeps brings what he holds in hand. */
static void
window_begin(void)
{
	Off			from = segment_region_offset(REGION_NODES) + compact.window * (limit() / WINDOWS);

	mem_vacate(from, from + limit() / WINDOWS);
	for (uint32 i = 0; i < proc_kind_slots(PROC_WORKER); i++)
		latch_set(proc_first_slot(PROC_WORKER) + i);
	compact.walks = 0;
	compact.moved = 0;
}

/* walk_end -- true: the window is done, its whole spans are free. */
static bool
walk_end(void)
{
	compact.from_len = 0;
	compact.walks++;
	if (compact.moved > LEFT_OVER_MAX && compact.walks < WALKS_MAX)
	{
		compact.moved = 0;
		return false;
	}
	/* what was retired last too: a bag is closed when no older one is left, and one block holds a span back */
	for (int i = 0; i < 3; i++)
	{
		mem_reclaim();
		epoch_wait_grace();
	}
	(void) !mem_collect();
	compact.window = (compact.window + 1) % WINDOWS;
	compact.windows_left--;
	return true;
}

/* spans_free -- bytes in spans that any size may take, without the reserve; with what is not backed yet. */
static uint64
spans_free(const MemStats *stats)
{
	uint64		reserve = limit() - evict__nominal();
	uint64		all = stats->spans_free + (stats->limit - Min(stats->reserved, stats->limit));

	return all > reserve ? all - reserve : 0;
}

static bool
begin_wanted(const MemStats *stats, bool waited_for)
{
	if (stats->cached < limit() / CACHED_PARTS || spans_free(stats) >= limit() / STOCK_PARTS / 2)
		return false;
	if (waited_for)
		return !compact.in_vain || stats->cached >= compact.cached + limit() / CACHED_PARTS ||
			clock_mono_us() - compact.ended_us >= AGAIN_US;
	return spans_free(stats) < compact.spans_left_over;
}

bool
compact_step(bool waited_for)
{
	MemStats	stats;

	mem_stats(&stats);
	if (!waited_for)
		compact.in_vain = false;
	if (!compact.running)
	{
		if (!begin_wanted(&stats, waited_for))
			return false;
		compact.running = true;
		compact.windows_left = WINDOWS;
		compact.from_len = 0;
		window_begin();
	}
	if (!piece() || !walk_end())
	{
		mem_reclaim();
		if (compact.stuck < STUCK_MAX)
			return true;
		/* no memory to note down what would be retired: the clock, which this keeps from running, must make some */
		(void) !mem_collect();
		compact.windows_left = 0;
		compact.stuck = 0;
	}
	mem_stats(&stats);
	if (compact.windows_left > 0 && spans_free(&stats) < limit() / STOCK_PARTS)
	{
		window_begin();
		return true;
	}
	compact.running = false;
	compact.in_vain = spans_free(&stats) == 0;
	compact.cached = stats.cached;
	compact.ended_us = clock_mono_us();
	compact.spans_left_over = spans_free(&stats);
	return true;
}

bool
evict_recovery_room(void)
{
	bool		ran = false;

	Assert(!epoch_inside());
	compact.alone = true;
	compact.in_vain = false;
	do
		ran = compact_step(true) || ran;
	while (compact.running);
	compact.alone = false;
	return ran && !compact.in_vain;
}
