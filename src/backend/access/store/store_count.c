/*
 * store_count.c -- how many keys a database has: DBSIZE.
 *
 * count = sum of the slots' cells + adjust of the root in force
 *         + open blind keys that the base lacks
 *
 * The cells count what writers knew.  A blind write did not look whether its key
 * was there and counts nothing ("as if it had been"); its chain of versions is
 * open until a checkpoint's merge has looked, which then adds those that were not
 * to 'adjust', in the same moment in which its root comes into force.  What is
 * still open, DBSIZE looks up itself: it walks what is dirty, so it costs the more
 * the more blind writes there were since the last checkpoint.  Without open ones
 * it costs a sum.
 *
 * Exact whenever nobody is writing; with writers, right for each key at some
 * moment of the call.  A root that comes into force in between starts the walk
 * over: then there is less to look up.
 *
 * Workers; bounded steps in epochs of their own; nothing shared is written.
 */
#include "common/c.h"

#include "access/store/store_internal.h"
#include "common/figure.h"

#define COUNT_STEPS 512

enum { COUNT_START, COUNT_WALK };

/* known_count -- what is counted, with the open blind writes of all databases in *open.  Inside an epoch. */
static int64
known_count(uint32 tree_index, const StoreBase *base, int64 *open)
{
	int64		sum = base->adjust[tree_index];
	uint64		made = 0;

	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		/* acquire [store-count]: the insert position read afterwards covers what was counted */
		sum += atomic_load_explicit(&store_shared->counts[i].keys[tree_index], memory_order_acquire);
		/* relaxed: as recent as the cells */
		made += atomic_load_explicit(&store_shared->counts[i].blind, memory_order_relaxed);
	}
	*open = (int64) (made - base->resolved);
	return sum;
}

uint64
store_count(uint32 db, Lsn *gate)
{
	int64		open;
	int64		sum;

	epoch_enter();				/* or the tree might be swept and its place taken by another one's */
	sum = known_count(store__tree_index(db), store__base(), &open);
	epoch_leave();
	*gate = Max(*gate, wal_insert_lsn());
	return sum > 0 ? (uint64) sum : 0;
}

void
store_figures(StoreFigures *out)
{
	const StoreBase *base;
	uint64		blind = 0;

	memset(out, 0, sizeof(*out));
	epoch_enter();
	base = store__base();
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		/* relaxed, all: figures */
		out->txn_committed += atomic_load_explicit(&store_shared->counts[i].txn_committed, memory_order_relaxed);
		out->txn_aborted += atomic_load_explicit(&store_shared->counts[i].txn_aborted, memory_order_relaxed);
		out->promoted += atomic_load_explicit(&store_shared->counts[i].promoted, memory_order_relaxed);
		blind += atomic_load_explicit(&store_shared->counts[i].blind, memory_order_relaxed);
		out->expired += figure_get(&store_shared->counts[i].expired);
	}
	out->blind_open = blind > base->resolved ? blind - base->resolved : 0;
	epoch_leave();
	out->evict_cut = store__evict_cut();
}

typedef enum CountStep { STEP_PIECE, STEP_END, STEP_MISS, STEP_CORRUPT } CountStep;

/* piece -- some of the dirty leaves of the tree; inside an epoch. */
static CountStep
piece(StoreCountJob *job, const StoreBase *base, uint32 tree_id)
{
	ArtCursor  *cursor = art_cursor(0);
	uint8		prefix[4];
	uint32		prefix_len = store__build_key(prefix, tree_id, NULL, 0);
	bool		from_start = job->from_len == 0;

	art_seek_dirty(cursor, &store_shared->root, from_start ? prefix : job->from,
				   from_start ? prefix_len : job->from_len, !from_start, base->root.cut);
	for (uint32 step = 0; step < COUNT_STEPS; step++)
	{
		const Leaf *leaf = art_next(cursor);
		const Leaf *counted;

		if (leaf == NULL || memcmp(leaf_key(leaf), prefix, prefix_len) != 0)
			return STEP_END;
		counted = store__resolve(leaf);
		if (counted != NULL && leaf_first(counted) > base->root.cut)
		{
			BaseValue	value;

			switch (base_get(&base->root, leaf_key(leaf), leaf->key_len, false, store__keep(), &value))
			{
				case BASE_FOUND:
					break;
				case BASE_ABSENT:
					job->absent++;
					break;
				case BASE_MISS:
					return STEP_MISS;
				case BASE_CORRUPT:
					return STEP_CORRUPT;
			}
		}
		memcpy(job->from, leaf_key(leaf), leaf->key_len);
		job->from_len = leaf->key_len;
	}
	return STEP_PIECE;
}

/* count_outside -- the database as it is but for the transaction in use. */
static StoreStatus
count_outside(uint32 db, StoreCountJob *job, Lsn *gate)
{
	StoreStatus status = STORE_OK;
	CountStep	step = STEP_PIECE;
	const StoreBase *base;
	uint32		tree_index;
	int			index;
	int64		open;
	int64		sum;

	epoch_enter();
	index = store__tree_of_id(store__tree_id_of(db));
	if (index < 0)
	{
		/* emptied by the transaction in use */
		epoch_leave();
		job->count = 0;
		job->done = true;
		return STORE_OK;
	}
	tree_index = (uint32) index;
	base = store__base();
	if (job->step == COUNT_START || job->root != base->root.cut || job->tree_id != store__tree_id(tree_index))
	{
		job->root = base->root.cut;
		job->tree_id = store__tree_id(tree_index);
		job->step = COUNT_WALK;
		job->from_len = 0;
		job->absent = 0;
	}
	sum = known_count(tree_index, base, &open);
	if (open > 0 && store__keep() == NULL)
	{
		epoch_leave();
		store__keep_make();
		return STORE_OK;		/* not done: the caller comes again */
	}
	if (open > 0)
	{
		step = piece(job, base, store__tree_id(tree_index));
		sum = known_count(tree_index, base, &open);
	}
	if (open <= 0 || step == STEP_END)
	{
		sum += job->absent;
		job->count = sum > 0 ? (uint64) sum : 0;
		job->done = true;
	}
	else if (step == STEP_CORRUPT)
		status = STORE_CORRUPT;
	epoch_leave();
	if (job->done)
		*gate = Max(*gate, wal_insert_lsn());
	else if (step == STEP_MISS)
	{
		base_read_start(store__keep());
		if (base_keep_pending(store__keep()) > 0)
			status = STORE_PARK_PAGE;
	}
	return status;
}

StoreStatus
store_count_exact(uint32 db, StoreCountJob *job, Lsn *gate)
{
	StoreStatus status;
	int64		own = 0;

	if (unlikely(store_snapshot_in_use != NULL))
		return store__at_count(db, job, gate);
	if (likely(store__txn == NULL))
		return count_outside(db, job, gate);
	/* nobody else's writes in between; then what the transaction itself has made and deleted */
	status = store_txn_range(store__txn, db, NULL, 0);
	if (status == STORE_OK)
		status = store__txn_count(store__txn, db, &own);
	if (status == STORE_OK)
		status = count_outside(db, job, gate);
	if (status == STORE_OK && job->done)
		job->count = (uint64) ((int64) job->count + own);
	return status;
}
