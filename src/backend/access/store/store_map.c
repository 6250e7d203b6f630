/*
 * store_map.c -- the map of databases to trees: SELECT's numbers, FLUSHDB, FLUSHALL, SWAPDB.
 *
 * A database is a tree id, and every key begins with one.  Emptying a database
 * gives it a fresh id in one step, whatever it holds; the old tree is dropped
 * and swept by the checkpointer.  Swapping two of them exchanges their ids; their
 * trees stay as they are.
 *
 * Changing the map:
 *   (0) map_lock: one change at a time, and none while a checkpoint takes its cut,
 *       so that the map as of a cut is the one that stands here at that moment
 *   (1) announce: map_change = slot + 1
 *   (2) one grace period: no writer is left inside that has read the old map,
 *       and every later one sees the announcement and parks
 *   (3) reserve log for the whole new map
 *   (4) publish: the map that is not in force becomes the new one, then map_now (release)
 *       names it: all databases change at one moment
 *   (5) fill; withdraw the announcement
 * Readers never park: they read map_now (acquire), the tree and then map_lsn, so a
 * reader that sees the new tree is gated by the record that made it.  Whoever still
 * reads the old map does so inside an epoch; it is written again by the next change,
 * after that one's grace period.
 *
 * In a transaction the new map is part of its record and is published with it
 * (store_txn.c): (0) to (2) come with its first change of the map, and hold until it ends.
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
	atomic_init(&s->links_from, UINT64_MAX);
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		int			index = store__tree_take(STORE_FIRST_TREE_ID + db);

		atomic_init(&s->tree_of_db[0][db], (uint8) index);
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
			/* relaxed: published by map_now, release [store-map] */
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
	body->last = wal_map_last_make(atomic_load_explicit(&store_shared->map_record, memory_order_relaxed));
}

bool
store_map_trees(uint32 *tree_id, Lsn *record)
{
	/* acquire [store-map-record] */
	*record = atomic_load_explicit(&store_shared->map_record, memory_order_acquire);
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		tree_id[db] = store__tree_id(store__tree_index(db));
	/* relaxed: who has seen a later change by acquire [store-map] sees the record that made it */
	return atomic_load_explicit(&store_shared->map_record, memory_order_relaxed) == *record;
}

/* draft -- the map that is not in force: nobody reads it. */
static uint32
draft(void)
{
	/* relaxed: changed under the lock only */
	return 1 - atomic_load_explicit(&store_shared->map_now, memory_order_relaxed);
}

/* draft_begin -- it becomes a copy of the one that is. */
static void
draft_begin(void)
{
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		/* relaxed: published by map_now */
		atomic_store_explicit(&store_shared->tree_of_db[draft()][db], (uint8) store__tree_index(db), memory_order_relaxed);
}

/* switch_database -- one database gets another tree in the draft. */
static void
switch_database(uint32 db, uint32 index, Lsn lsn)
{
	/* relaxed, both: ordered before map_now */
	atomic_store_explicit(&store_shared->map_lsn[db], lsn, memory_order_relaxed);
	atomic_store_explicit(&store_shared->tree_of_db[draft()][db], (uint8) index, memory_order_relaxed);
}

/* draft_publish -- (4) */
static void
draft_publish(void)
{
	atomic_store_explicit(&store_shared->map_now, draft(), memory_order_release);	/* release [store-map] */
}

/* is_named -- does some database of this map have the tree? */
static bool
is_named(const WalMapBody *body, uint32 tree_id)
{
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		if (body->tree_id[db] == tree_id)
			return true;
	return false;
}

void
store__map_install(const WalMapBody *body, Lsn lsn, Lsn record)
{
	uint32		old_id[DATABASE_COUNT];

	atomic_store_explicit(&store_shared->map_record, record, memory_order_relaxed);	/* relaxed: recovery is alone */
	/* what no database has any more goes first: its place may be needed */
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		uint32		old = store__tree_index(db);

		old_id[db] = store__tree_id(old);
		if (is_named(body, old_id[db]))
			continue;
		/* relaxed: recovery is alone.  No merge looks them up any more */
		atomic_fetch_sub_explicit(&store_shared->counts[my_slot->number].blind, store__sweep_tree_whole(old_id[db]),
								  memory_order_relaxed);
		store__tree_free(old);
	}
	draft_begin();
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		int			index;

		if (old_id[db] == body->tree_id[db])
			continue;
		index = store__tree_of_id(body->tree_id[db]);
		if (index < 0)
			index = store__tree_take(body->tree_id[db]);
		Verify(index >= 0);
		switch_database(db, (uint32) index, lsn);
	}
	draft_publish();
	/* relaxed: recovery is alone */
	atomic_store_explicit(&store_shared->next_tree_id, body->next_tree_id, memory_order_relaxed);
}

bool
store__tree_touched(uint32 db)
{
	/* relaxed: after the grace period of the announcement */
	return atomic_load_explicit(&store_shared->tree[store__tree_index(db)].touched, memory_order_relaxed) != 0;
}

uint32
store__trees_free(void)
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

/* log_map -- (3): room in the log for the new map. */
static StoreStatus
log_map(uint32 body_len, WalReservation *r)
{
	switch (wal_reserve(body_len, 0, r))
	{
		case WAL_RESERVED:
			return STORE_OK;
		case WAL_NO_SPACE:
			return STORE_PARK_WAL;
		case WAL_DISK_FULL:
			return STORE_DISK_FULL;
	}
	NotReached();
}

/* Change -- what is to become of the map */
typedef struct Change
{
	uint32		first;			/* databases from ... */
	uint32		last;			/* ... to: emptied */
	bool		swap;			/* or these two: exchanged */
} Change;

/* describe_change -- the map as it is and as it will be; how many trees will have to be taken for it, *count databases change. */
static uint32
describe_change(const Change *c, WalMapRecord *record, uint32 *count)
{
	WalMapBody *body = &record->map;

	*count = 0;
	store__map_export(body);
	memcpy(record->before, body->tree_id, sizeof(record->before));
	if (c->swap)
	{
		uint32		id = body->tree_id[c->first];

		*count = c->first == c->last ? 0 : 2;
		body->tree_id[c->first] = body->tree_id[c->last];
		body->tree_id[c->last] = id;
		return 0;
	}
	for (uint32 d = c->first; d <= c->last; d++)
		if (store__tree_touched(d))
		{
			body->tree_id[d] = body->next_tree_id++;
			(*count)++;
		}
	return *count;
}

/* store__map_switch -- (4), announced: the databases get these trees; those that no database has any more are dropped. */
void
store__map_switch(const WalMapBody *body, Lsn record, Lsn lsn)
{
	uint32		old[DATABASE_COUNT];

	for (uint32 d = 0; d < DATABASE_COUNT; d++)
		old[d] = store__tree_index(d);
	/* relaxed: changed under the announcement only */
	atomic_store_explicit(&store_shared->next_tree_id, body->next_tree_id, memory_order_relaxed);
	/* release [store-map-record]: before the map: who takes it looks afterwards whether this is still the newest record */
	atomic_store_explicit(&store_shared->map_record, record, memory_order_release);
	draft_begin();
	for (uint32 d = 0; d < DATABASE_COUNT; d++)
	{
		int			index;

		if (body->tree_id[d] == store__tree_id(old[d]))
			continue;
		index = store__tree_of_id(body->tree_id[d]);
		if (index < 0)
			index = store__tree_take(body->tree_id[d]);
		Verify(index >= 0);
		switch_database(d, (uint32) index, lsn);
	}
	draft_publish();
	for (uint32 d = 0; d < DATABASE_COUNT; d++)
		if (!is_named(body, store__tree_id(old[d])))
			tree_drop(old[d], lsn);
}

/* change_map -- (3) to (5), announced and a grace period later. */
static StoreStatus
change_map(const Change *c, Lsn *gate)
{
	WalMapRecord body;
	BytePart	part = {&body, sizeof(body)};
	WalReservation r;
	StoreStatus status;
	uint32		count;
	uint32		crc;

	if (describe_change(c, &body, &count) > store__trees_free())
	{
		evict_want_trees();		/* a checkpoint, then the sweeper, make room */
		return STORE_PARK_MAP;
	}
	if (count == 0)
	{
		for (uint32 d = c->first; d <= c->last; d++)
			/* relaxed: under the announcement */
			*gate = Max(*gate, atomic_load_explicit(&store_shared->map_lsn[d], memory_order_relaxed));
		return STORE_OK;
	}
	crc = crc32c_extend(0, &body, sizeof(body));
	status = log_map(sizeof(body), &r);
	if (status != STORE_OK)
		return status;
	store__map_switch(&body.map, r.start, r.end);
	wal_fill(&r, WAL_MAP, 0, 0, crc, &part, 1);
	*gate = Max(*gate, r.end);
	return STORE_OK;
}

/* store__map_announce -- (0) to (2): STORE_PARK_MAP until no writer is inside any more. */
StoreStatus
store__map_announce(StoreFlushJob *job)
{
	if (job->step == 0)
	{
		if (!store__map_try_lock())
			return STORE_PARK_MAP;
		atomic_store_explicit(&store_shared->map_change, my_slot->number + 1, memory_order_seq_cst);	/* seq_cst [store-announce] with attempt()'s load */
		job->grace = epoch_grace_start();
		job->step = 1;
	}
	return epoch_grace_passed(job->grace) ? STORE_OK : STORE_PARK_MAP;
}

/* change -- (0) to (5). */
static StoreStatus
change(const Change *c, StoreFlushJob *job, Lsn *gate)
{
	StoreStatus status = store__map_announce(job);

	if (status != STORE_OK)
		return status;
	epoch_enter();
	status = change_map(c, gate);
	epoch_leave();
	if (status == STORE_OK || status == STORE_DISK_FULL)
		withdraw(job);
	if (status == STORE_PARK_MAP)
		withdraw(job);			/* let others write while the sweeper frees trees */
	return status;
}

StoreStatus
store_flush(int db, StoreFlushJob *job, Lsn *gate)
{
	Change		c = {db < 0 ? 0 : (uint32) db, db < 0 ? DATABASE_COUNT - 1 : (uint32) db, false};

	return store__txn != NULL ? store__txn_flush(store__txn, c.first, c.last) : change(&c, job, gate);
}

StoreStatus
store_swap(uint32 first, uint32 second, StoreFlushJob *job, Lsn *gate)
{
	Change		c = {Min(first, second), Max(first, second), true};

	return store__txn != NULL ? store__txn_swap(store__txn, first, second) : change(&c, job, gate);
}

void
store_flush_cancel(StoreFlushJob *job)
{
	if (job->step == 1)
		withdraw(job);
}
