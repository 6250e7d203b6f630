/*
 * store_map.c -- the map of databases to trees: SELECT's numbers, FLUSHDB, FLUSHALL.
 *
 * A database is a tree id, and every key begins with one.  Emptying a database
 * gives it a fresh id in one step, whatever it holds; the old tree is dropped
 * and swept by the checkpointer.
 *
 * Changing the map:
 *   (0) map_lock: one change at a time, and none while a checkpoint takes its cut,
 *       so that the map as of a cut is the one that stands here at that moment
 *   (1) announce: map_change = slot + 1
 *   (2) one grace period: no writer is left inside that has read the old map,
 *       and every later one sees the announcement and parks
 *   (3) reserve log for the whole new map
 *   (4) publish: for each database map_lsn, then tree_of_db (release)
 *   (5) fill; withdraw the announcement
 * Readers never park: they read tree_of_db (acquire) and then map_lsn, so a
 * reader that sees the new tree is gated by the record that made it.
 *
 * Workers run this outside an epoch, in steps that do not sleep.
 */
#include "common/c.h"

#include "access/store/evict.h"
#include "access/store/store_internal.h"
#include "common/crc32c.h"

#include <bsd/stdlib.h>

void
store_region_init(void *region)
{
	StoreShared *s = region;

	store_shared = s;
	s->magic = STORE_MAGIC;
	/* 38 random bits above the table's 14: below 2^53, and never 0 */
	atomic_init(&s->cursor_next, (((uint64) arc4random() << 6 | (arc4random() & 63)) + 1) * STORE_CURSORS);
	atomic_init(&s->next_tree_id, STORE_FIRST_TREE_ID);
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		int			index = store__tree_take(STORE_FIRST_TREE_ID + db);

		atomic_init(&s->tree_of_db[db], (uint32) index);
	}
	atomic_init(&s->next_tree_id, STORE_FIRST_TREE_ID + DATABASE_COUNT);
}

/* ---- the root in force ---- */

/*
 * store__base_publish -- 'next' becomes the root in force.
 *
 * The entry that it takes was in force STORE_BASES - 1 publications ago; the
 * checkpointer waits for a grace period after each, so nobody reads it any more.
 */
void
store__base_publish(const StoreBase *next)
{
	/* relaxed: one writer */
	uint32		index = (atomic_load_explicit(&store_shared->base_index, memory_order_relaxed) + 1) % STORE_BASES;

	store_shared->base[index] = *next;
	atomic_store_explicit(&store_shared->base_index, index, memory_order_release);	/* release [store-base] */
}

/* ---- exclusion of changes and cuts ---- */

bool
store__map_try_lock(void)
{
	uint32		nobody = 0;

	/* acquire [store-map-lock]: the map as the last holder left it */
	return atomic_compare_exchange_strong_explicit(&store_shared->map_lock, &nobody, my_slot->number + 1,
												   memory_order_acquire, memory_order_relaxed);	/* relaxed: not had */
}

void
store__map_unlock(void)
{
	atomic_store_explicit(&store_shared->map_lock, 0, memory_order_release);	/* release [store-map-lock] */
}

int
store__tree_of_id(uint32 tree_id)
{
	for (int i = 0; i < STORE_TREES; i++)
	{
		StoreTree  *tree = &store_shared->tree[i];

		/* relaxed: constant while the tree is not free */
		if (atomic_load_explicit(&tree->state, memory_order_acquire) != TREE_FREE &&	/* acquire [store-tree] */
			atomic_load_explicit(&tree->id, memory_order_relaxed) == tree_id)
			return i;
	}
	return -1;
}

int
store__tree_take(uint32 id)
{
	for (int i = 0; i < STORE_TREES; i++)
	{
		StoreTree  *tree = &store_shared->tree[i];

		if (atomic_load_explicit(&tree->state, memory_order_acquire) == TREE_FREE)	/* acquire [store-tree] the sweeper's zeroing */
		{
			/* relaxed: published by tree_of_db, release [store-map] */
			atomic_store_explicit(&tree->id, id, memory_order_relaxed);
			atomic_store_explicit(&tree->touched, 0, memory_order_relaxed);
			atomic_store_explicit(&tree->state, TREE_LIVE, memory_order_relaxed);
			return i;
		}
	}
	return -1;
}

static void
tree_drop(uint32 index, Lsn lsn)
{
	StoreTree  *tree = &store_shared->tree[index];

	/* relaxed: published by state */
	atomic_store_explicit(&tree->drop_lsn, lsn, memory_order_relaxed);
	atomic_store_explicit(&tree->drop_epoch, epoch_grace_start(), memory_order_relaxed);
	atomic_store_explicit(&tree->state, TREE_DROPPED, memory_order_release);	/* release [store-drop] */
}

void
store__map_export(WalMapBody *body)
{
	memset(body, 0, sizeof(*body));
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		body->tree_id[db] = store__tree_id(store__tree_index(db));
	/* relaxed: changed under the announcement only */
	body->next_tree_id = atomic_load_explicit(&store_shared->next_tree_id, memory_order_relaxed);
}

/* switch_database -- (4) for one database. */
static void
switch_database(uint32 db, uint32 index, Lsn lsn)
{
	/* relaxed: ordered before tree_of_db */
	atomic_store_explicit(&store_shared->map_lsn[db], lsn, memory_order_relaxed);
	atomic_store_explicit(&store_shared->tree_of_db[db], index, memory_order_release);	/* release [store-map] */
}

void
store__map_install(const WalMapBody *body, Lsn lsn)
{
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		uint32		old = store__tree_index(db);
		int			index;

		if (store__tree_id(old) == body->tree_id[db])
			continue;
		/* relaxed: recovery is alone.  No merge looks them up any more */
		atomic_fetch_sub_explicit(&store_shared->counts[my_slot->number].blind, store__sweep_tree_whole(store__tree_id(old)),
								  memory_order_relaxed);
		store__tree_free(old);
		index = store__tree_take(body->tree_id[db]);
		Verify(index >= 0);
		switch_database(db, (uint32) index, lsn);
	}
	/* relaxed: recovery is alone */
	atomic_store_explicit(&store_shared->next_tree_id, body->next_tree_id, memory_order_relaxed);
}

static bool
is_touched(uint32 db)
{
	/* relaxed: after the grace period of the announcement */
	return atomic_load_explicit(&store_shared->tree[store__tree_index(db)].touched, memory_order_relaxed) != 0;
}

static uint32
free_trees(void)
{
	uint32		count = 0;

	for (int i = 0; i < STORE_TREES; i++)
		if (atomic_load_explicit(&store_shared->tree[i].state, memory_order_acquire) == TREE_FREE)	/* acquire [store-tree] */
			count++;
	return count;
}

static void
withdraw(StoreFlushJob *job)
{
	atomic_store_explicit(&store_shared->map_change, 0, memory_order_seq_cst);	/* seq_cst [store-announce] */
	store__map_unlock();
	job->step = 0;
}

/* change_map -- (3) to (5), announced and a grace period later. */
static StoreStatus
change_map(int db, Lsn *gate)
{
	uint32		first = db < 0 ? 0 : (uint32) db;
	uint32		last = db < 0 ? DATABASE_COUNT - 1 : (uint32) db;
	uint32		changed = 0;
	WalMapBody	body;
	BytePart	part = {&body, sizeof(body)};
	WalReservation r;
	uint32		crc;

	for (uint32 d = first; d <= last; d++)
		changed += is_touched(d);
	if (changed == 0)
	{
		for (uint32 d = first; d <= last; d++)
			/* relaxed: under the announcement */
			*gate = Max(*gate, atomic_load_explicit(&store_shared->map_lsn[d], memory_order_relaxed));
		return STORE_OK;
	}
	if (free_trees() < changed)
	{
		evict_want_trees();		/* a checkpoint, then the sweeper, make room */
		return STORE_PARK_MAP;
	}
	store__map_export(&body);
	for (uint32 d = first; d <= last; d++)
		if (is_touched(d))
			body.tree_id[d] = body.next_tree_id++;
	crc = crc32c_extend(0, &body, sizeof(body));
	switch (wal_reserve(sizeof(body), 0, &r))
	{
		case WAL_RESERVED:
			break;
		case WAL_NO_SPACE:
			return STORE_PARK_WAL;
		case WAL_DISK_FULL:
			return STORE_DISK_FULL;
	}
	/* relaxed: changed under the announcement only */
	atomic_store_explicit(&store_shared->next_tree_id, body.next_tree_id, memory_order_relaxed);
	for (uint32 d = first; d <= last; d++)
	{
		uint32		old = store__tree_index(d);

		if (body.tree_id[d] != store__tree_id(old))
		{
			int			index = store__tree_take(body.tree_id[d]);

			Verify(index >= 0);
			switch_database(d, (uint32) index, r.end);
			tree_drop(old, r.end);
		}
	}
	wal_fill(&r, WAL_MAP, 0, 0, crc, &part, 1);
	*gate = Max(*gate, r.end);
	return STORE_OK;
}

StoreStatus
store_flush(int db, StoreFlushJob *job, Lsn *gate)
{
	StoreStatus status;

	if (job->step == 0)
	{
		if (!store__map_try_lock())
			return STORE_PARK_MAP;
		atomic_store_explicit(&store_shared->map_change, my_slot->number + 1, memory_order_seq_cst);	/* seq_cst [store-announce] with attempt()'s load */
		job->grace = epoch_grace_start();
		job->step = 1;
	}
	if (!epoch_grace_passed(job->grace))
		return STORE_PARK_MAP;
	epoch_enter();
	status = change_map(db, gate);
	epoch_leave();
	if (status == STORE_OK || status == STORE_DISK_FULL)
		withdraw(job);
	if (status == STORE_PARK_MAP)
		withdraw(job);			/* let others write while the sweeper frees trees */
	return status;
}

void
store_flush_cancel(StoreFlushJob *job)
{
	if (job->step == 1)
		withdraw(job);
}
