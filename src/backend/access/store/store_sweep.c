/*
 * store_sweep.c -- taking away what nobody can see any more: dropped trees and tombstones.
 *
 * As long as there is nothing beneath the overlay, a tombstone shadows nothing:
 * it only carries its LSN, for the gate of negative answers and for the order of
 * the key's versions.  It may go once that LSN is flushed: then no reply about
 * it needs a gate, and since flushed <= completed no reservation below it is
 * open (store.c tells why that keeps the order of versions).
 *
 * A dropped tree may go once the MAP record that dropped it is flushed and a
 * grace period has passed since: no reader is left that came through the old map.
 *
 * The checkpointer runs this in bounded steps; recovery sweeps at once.  What is
 * not flushed yet it asks to have flushed: with durability none nobody else may.
 */
#include "common/c.h"

#include "access/store/store_internal.h"
#include "storage/mem/heap.h"
#include "utils/elog.h"

#define SWEEP_STEPS 256
#define TOMBSTONES_MIN 1024

/* where the sweep of tombstones goes on; the checkpointer's own */
static uint8 sweep_from[KEY_MAX];
static uint32 sweep_from_len;
static bool sweep_running;
static uint64 sweep_made;		/* tombstones ever made when the pass began */
static uint64 sweep_gone;
static Lsn	sweep_horizon;		/* of the last pass: another one needs a later one */
static uint64 sweep_kept;		/* tombstones that the pass found too young */

static uint8 drop_from[KEY_MAX];
static uint32 drop_from_len;
static int drop_index = -1;
static uint64 drop_removed;

static bool
any_leaf(const Leaf *leaf, void *arg)
{
	(void) leaf;
	(void) arg;
	return true;
}

static bool
flushed_tombstone(const Leaf *leaf, void *arg)
{
	(void) arg;
	if ((leaf_flags(leaf) & LEAF_TOMBSTONE) == 0)
		return false;
	if (leaf->lsn > sweep_horizon)
	{
		sweep_kept++;
		return false;
	}
	return true;
}

void
store__sweep_tree_whole(uint32 tree_id)
{
	uint8		prefix[4];
	uint32		prefix_len = store__build_key(prefix, tree_id, NULL, 0);
	uint8		from[KEY_MAX];
	uint32		from_len;
	uint64		removed;

	do
	{
		bool		end;

		from_len = 0;
		removed = 0;
		do
		{
			end = art_sweep(&store_shared->root, prefix, prefix_len, from, &from_len, 4 * SWEEP_STEPS,
							any_leaf, NULL, &removed);
			mem_reclaim();
		} while (!end);
	} while (removed > 0);
}

/* store__tree_free -- swept, and a grace period after its drop (or in recovery, which is alone): the place may be taken again, its counts at zero. */
void
store__tree_free(uint32 index)
{
	for (uint32 i = 0; i < proc_slot_count; i++)
		/* relaxed: nobody has this tree any more; published by state */
		atomic_store_explicit(&store_shared->counts[i].keys[index], 0, memory_order_relaxed);
	atomic_store_explicit(&store_shared->tree[index].state, TREE_FREE, memory_order_release);	/* release [store-tree] */
	/* relaxed: statistics */
	atomic_fetch_add_explicit(&store_shared->trees_swept, 1, memory_order_relaxed);
}

/* pick_tree -- a dropped tree that may go now, or -1. */
static int
pick_tree(void)
{
	for (int i = 0; i < STORE_TREES; i++)
	{
		StoreTree  *tree = &store_shared->tree[i];
		Lsn			drop_lsn;

		if (atomic_load_explicit(&tree->state, memory_order_acquire) != TREE_DROPPED)	/* acquire [store-drop] */
			continue;
		/* relaxed, both: stored before state */
		drop_lsn = atomic_load_explicit(&tree->drop_lsn, memory_order_relaxed);
		if (drop_lsn > wal_flushed_lsn())
			wal_want(drop_lsn, WAL_PERIODIC);	/* perhaps nobody else waits for it */
		else if (epoch_grace_passed(atomic_load_explicit(&tree->drop_epoch, memory_order_relaxed)))
			return i;
	}
	return -1;
}

/* sweep_tree_step -- true: a tree is being taken away and needs more steps. */
static bool
sweep_tree_step(void)
{
	uint8		prefix[4];
	uint32		prefix_len;

	if (drop_index < 0)
	{
		drop_index = pick_tree();
		if (drop_index < 0)
			return false;
		drop_from_len = 0;
		drop_removed = 0;
	}
	prefix_len = store__build_key(prefix, store__tree_id((uint32) drop_index), NULL, 0);
	if (art_sweep(&store_shared->root, prefix, prefix_len, drop_from, &drop_from_len, SWEEP_STEPS,
				  any_leaf, NULL, &drop_removed))
	{
		if (drop_removed == 0)
		{
			store__tree_free((uint32) drop_index);
			drop_index = -1;
			return true;		/* there may be another one */
		}
		drop_from_len = 0;		/* once more, until a whole pass finds nothing */
		drop_removed = 0;
	}
	return true;
}

static uint64
tombstones_made(void)
{
	uint64		made = 0;

	for (uint32 i = 0; i < proc_slot_count; i++)
		/* relaxed: a recent value will do */
		made += atomic_load_explicit(&store_shared->counts[i].tombstones, memory_order_relaxed);
	return made;
}

static uint64
keys_total(void)
{
	int64		sum = 0;

	for (uint32 i = 0; i < proc_slot_count; i++)
		for (int t = 0; t < STORE_TREES; t++)
			/* relaxed: a recent value will do */
			sum += atomic_load_explicit(&store_shared->counts[i].keys[t], memory_order_relaxed);
	return sum > 0 ? (uint64) sum : 0;
}

/* memory_is_short -- less than an eighth of memory_limit is left: then every tombstone counts. */
static bool
memory_is_short(void)
{
	MemStats	stats;

	mem_stats(&stats);
	return stats.used > stats.limit - stats.limit / 8;
}

/* sweep_tombstones_step -- a pass over everything when tombstones are many; true: the pass goes on. */
static bool
sweep_tombstones_step(void)
{
	/* relaxed: ours */
	uint64		swept = atomic_load_explicit(&store_shared->tombstones_swept, memory_order_relaxed);

	if (!sweep_running)
	{
		uint64		made = tombstones_made();
		uint64		left = made > swept ? made - swept : 0;

		if (left == 0 || left < keys_total() / 64)
			return false;		/* a walk over everything for hardly anything */
		if ((left < TOMBSTONES_MIN || left < keys_total() / 8) && !memory_is_short())
			return false;
		if (wal_flushed_lsn() <= sweep_horizon)
		{
			wal_want(wal_insert_lsn(), WAL_PERIODIC);	/* perhaps nobody else waits for it */
			return false;
		}
		sweep_running = true;
		sweep_horizon = wal_flushed_lsn();
		sweep_kept = 0;
		sweep_made = made;
		sweep_gone = 0;
		sweep_from_len = 0;
	}
	if (art_sweep(&store_shared->root, NULL, 0, sweep_from, &sweep_from_len, SWEEP_STEPS,
				  flushed_tombstone, NULL, &sweep_gone))
	{
		/*
		 * What was made before the pass has gone or was replaced, but for those
		 * that the pass kept: only these and younger ones count from now on.
		 * relaxed: ours.
		 */
		atomic_store_explicit(&store_shared->tombstones_swept, sweep_made - Min(sweep_kept, sweep_made), memory_order_relaxed);
		sweep_running = false;
		ereport(DEBUG1, "swept %llu tombstones", (unsigned long long) sweep_gone);
		return false;
	}
	return true;
}

bool
store_sweep_step(void)
{
	bool		more = sweep_tree_step();

	if (!more)
		more = sweep_tombstones_step();
	mem_reclaim();
	return more;
}
