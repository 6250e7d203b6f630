/*
 * store_sweep.c -- taking away what nobody can see any more: dropped trees and tombstones.
 *
 * A tombstone shadows what the base holds of its key.  It may go once its lsn is
 * <= evict_cut: then every root that anybody may still read is a root without the
 * key, for evict_cut follows the root in force by a grace period; and since
 * evict_cut <= flushed <= completed no reply about it needs a gate, and no
 * reservation below it is open (store.c tells why that keeps the order of versions).
 * A snapshot reads an older root: what leads to a version that this one lacks stays
 * (store__snapshot_needs), and so does a tree that its map names.
 *
 * A dropped tree may go once the MAP record that dropped it is <= evict_cut and a
 * grace period has passed since the drop: then no base that anybody may read holds
 * a key of it, no checkpoint will want one (its cut is not below evict_cut), and no
 * reader is left that came through the old map.  Till then its keys wait in
 * memory, and its number in the table.
 *
 * A descriptor leaf that a transaction has left behind is finished on the way, as a writer of its
 * key would do it (store__meet_descriptor); who is still at it is left alone.
 *
 * So both wait for a checkpoint, and ask for one when what waits is much: see
 * trees_wait_dearly, tombstones_wait_dearly.  It costs little where all was
 * dropped, for a merge writes no key of a dropped tree and cuts the old tree's
 * pages off whole.
 *
 * The evictor runs this in bounded steps; recovery sweeps at once.  Neither touches
 * COMPLETE: what goes here is not in the base.
 */
#include "common/c.h"

#include "access/store/evict_internal.h"
#include "storage/mem/heap.h"
#include "utils/elog.h"

#define SWEEP_STEPS 256
#define TOMBSTONES_MIN 1024
#define TOMBSTONE_BYTES 64			/* about what one takes, with its share of nodes */
#define SHORT_PERCENT 60			/* of the capacity: from here on memory counts */
#define TREES_WAIT_PERCENT 25		/* from here on a dropped tree is worth a checkpoint */

/* where the sweep of tombstones goes on; the evictor's own */
static uint8 sweep_from[KEY_MAX];
static uint32 sweep_from_len;
static bool sweep_running;
static uint64 sweep_made;		/* tombstones ever made when the pass began */
static uint64 sweep_gone;
static StoreGuard sweep_guard;	/* of the last pass: another one needs one that lets more go */
static uint64 sweep_held;		/* of sweep_kept: for a snapshot */
static uint64 sweep_kept;		/* tombstones that the pass found too young */

static uint8 drop_from[KEY_MAX];
static uint32 drop_from_len;
static int drop_index = -1;
static uint64 drop_removed;
static uint64 drop_held;			/* keys that the pass had to leave to a transaction */

void
sweep_reset(void)
{
	sweep_running = false;
	sweep_guard.cut = LSN_NONE;
	drop_index = -1;
}

/*
 * descriptor_gone -- a descriptor leaf is no tombstone and no key, but what is under it may be: who committed found
 * no memory to put a plain leaf in its place, or has died, and a writer of this key may never come.  It is
 * finished here; true: the sweep looks again at what is there now.
 */
static bool
descriptor_gone(const Leaf *leaf)
{
	return store__meet_descriptor(leaf) == STORE_OK;
}

/* of_dropped_tree -- whatever it is; what a transaction still holds keeps the tree. */
static bool
of_dropped_tree(const Leaf *leaf, void *arg)
{
	(void) arg;
	if (likely((leaf_flags(leaf) & LEAF_DESCRIPTOR) == 0) || descriptor_gone(leaf))
		return true;
	drop_held++;
	return false;
}

static bool
old_tombstone(const Leaf *leaf, void *arg)
{
	(void) arg;
	if (unlikely(leaf_flags(leaf) & LEAF_DESCRIPTOR))
		return descriptor_gone(leaf);
	if ((leaf_flags(leaf) & LEAF_TOMBSTONE) == 0)
		return false;
	if (leaf->lsn > sweep_guard.cut)
	{
		sweep_kept++;
		return false;
	}
	if (store__snapshot_needs(&sweep_guard, leaf))
	{
		sweep_kept++;
		sweep_held++;
		return false;
	}
	return true;
}

/* count_blind -- any leaf may go; those of a chain that no merge will look up any more are counted. */
static bool
count_blind(const Leaf *leaf, void *arg)
{
	if (leaf_first(leaf) != LSN_NONE)
		(*(uint64 *) arg)++;
	return true;
}

uint64
store__sweep_tree_whole(uint32 tree_id)
{
	uint8		prefix[4];
	uint32		prefix_len = store__build_key(prefix, tree_id, NULL, 0);
	uint8		from[KEY_MAX];
	uint32		from_len;
	uint64		removed;
	uint64		blind = 0;

	do
	{
		bool		end;

		from_len = 0;
		removed = 0;
		do
		{
			end = art_sweep(&store_shared->root, prefix, prefix_len, from, &from_len, 4 * SWEEP_STEPS,
							count_blind, &blind, &removed);
			mem_reclaim();
		} while (!end);
	} while (removed > 0);
	return blind;
}

/*
 * store__tree_free -- swept, and a grace period after its drop (or in recovery, which is
 * alone): the place may be taken again, its counts at zero.
 */
void
store__tree_free(uint32 index)
{
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		/* relaxed: nobody has this tree any more; published by state */
		atomic_store_explicit(&store_shared->counts[i].keys[index], 0, memory_order_relaxed);
		atomic_store_explicit(&store_shared->counts[i].deadlines[index], 0, memory_order_relaxed);
		atomic_store_explicit(&store_shared->counts[i].deadline_sum[index], 0, memory_order_relaxed);
	}
	atomic_store_explicit(&store_shared->tree[index].state, TREE_FREE, memory_order_release);	/* release [store-tree] */
	/* relaxed: statistics */
	atomic_fetch_add_explicit(&store_shared->trees_swept, 1, memory_order_relaxed);
}

/* trees_wanted -- does a FLUSHDB wait for a place in the table? */
static bool
trees_wanted(void)
{
	/* relaxed: a hint; it is stored before we are woken */
	return atomic_load_explicit(&evict__shared->trees_wanted, memory_order_relaxed) != 0;
}

/* trees_wait_dearly -- is a dropped tree that waits for a cut worth a checkpoint? */
static bool
trees_wait_dearly(void)
{
	return trees_wanted() || evict__used_percent() >= TREES_WAIT_PERCENT;
}

/* pick_tree -- a dropped tree that may go now, or -1. */
static int
pick_tree(void)
{
	bool		waits = false;
	bool		any = false;
	bool		held = false;	/* by a snapshot */

	for (int i = 0; i < STORE_TREES; i++)
	{
		StoreTree  *tree = &store_shared->tree[i];

		if (atomic_load_explicit(&tree->state, memory_order_acquire) != TREE_DROPPED)	/* acquire [store-drop] */
			continue;
		any = true;
		/* relaxed, both: stored before state */
		if (atomic_load_explicit(&tree->drop_lsn, memory_order_relaxed) > store__evict_cut())
			waits = true;
		else if (store__snapshot_names_tree(store__tree_id((uint32) i)))
			held = true;
		else if (epoch_grace_passed(atomic_load_explicit(&tree->drop_epoch, memory_order_relaxed)))
			return i;
	}
	if (waits && trees_wait_dearly())
		evict__ask_checkpoint();
	if (held && !waits && trees_wanted())
		(void) store__snapshot_end_oldest(SNAPSHOT_TREES);
	if (!any)
		atomic_store_explicit(&evict__shared->trees_wanted, 0, memory_order_relaxed);	/* relaxed: a hint */
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
		drop_removed = drop_held = 0;
	}
	prefix_len = store__build_key(prefix, store__tree_id((uint32) drop_index), NULL, 0);
	if (art_sweep(&store_shared->root, prefix, prefix_len, drop_from, &drop_from_len, SWEEP_STEPS,
				  of_dropped_tree, NULL, &drop_removed))
	{
		bool		gone = drop_removed > 0;
		bool		held = drop_held > 0;

		/* once more, until a whole pass finds nothing; what is held comes in a later step */
		drop_from_len = 0;
		drop_removed = drop_held = 0;
		if (gone || held)
			return gone;
		store__tree_free((uint32) drop_index);
		/* relaxed: whoever lacks more asks again */
		atomic_store_explicit(&evict__shared->trees_wanted, 0, memory_order_relaxed);
		drop_index = -1;		/* there may be another one */
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

/* leaves_about -- how many leaves a pass would look at. */
static uint64
leaves_about(void)
{
	return evict__capacity() / 100 * evict__used_percent() / TOMBSTONE_BYTES / 2;
}

/* tombstones_wait_dearly -- are those that wait for a cut worth a checkpoint? */
static bool
tombstones_wait_dearly(uint64 left)
{
	return left >= TOMBSTONES_MIN &&
		(left >= evict__capacity() / 8 / TOMBSTONE_BYTES || evict__used_percent() >= SHORT_PERCENT);
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

		if (left == 0 || left < leaves_about() / 64)
			return false;		/* a walk over everything for hardly anything */
		if ((left < TOMBSTONES_MIN || left < leaves_about() / 8) && evict__used_percent() < SHORT_PERCENT)
			return false;
		if (sweep_guard.cut != LSN_NONE && !store__guard_stale(&sweep_guard))
		{
			/* what waits for a snapshot does not come free by a checkpoint */
			if (tombstones_wait_dearly(left - Min(left, sweep_held)))
				evict__ask_checkpoint();
			return false;
		}
		sweep_running = true;
		store__guard_take(&sweep_guard);
		sweep_held = 0;
		sweep_kept = 0;
		sweep_made = made;
		sweep_gone = 0;
		sweep_from_len = 0;
	}
	if (art_sweep(&store_shared->root, NULL, 0, sweep_from, &sweep_from_len, SWEEP_STEPS,
				  old_tombstone, NULL, &sweep_gone))
	{
		/*
		 * What was made before the pass has gone or was replaced, but for those
		 * that the pass kept: only these and younger ones count from now on.
		 * relaxed: ours.
		 */
		atomic_store_explicit(&store_shared->tombstones_swept, sweep_made - Min(sweep_kept, sweep_made),
							  memory_order_relaxed);
		sweep_running = false;
		if (sweep_gone > 0)
			evict__progress();
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
	store__links_account();
	mem_reclaim();
	return more;
}
