/*
 * store_at.c -- reading at a snapshot: one key, and how many there are.
 *
 * Of a key the newest version at or below s counts that the leaf in the tree leads
 * to; if there is none, what the pinned root says.  Why that is the key as of s: let v be
 * its newest version <= s.
 *   - v.lsn > p (the root's cut): v was in the overlay when the snapshot was announced or
 *     came later, and has not left it: what replaces v links it, and a leaf that leads to
 *     v is not evicted while the snapshot is open (store_snapshot.c).
 *   - v.lsn <= p: the root holds it, or lacks the key if v is a tombstone.  If the overlay
 *     leads to a version <= s, that is v or older; and it is v: nothing that links lead
 *     to from a leaf is passed over, and a clean copy made from a later root is of the
 *     newest version in that.
 * COMPLETE speaks of the root in force and is not looked at.  Nothing is promoted.
 *
 * Everything that is shown has a version <= s, the map of databases too: s is the gate of
 * every answer, the empty ones included.  The clock of expiry is the opening's: while a
 * snapshot is in use store_clock_us() says so to everybody in this process.
 *
 * How many keys: those of the tree in the pinned root, which the checkpoint has counted,
 * corrected by each key with a version in (p, s], looked up there.  Such keys lie
 * below inner nodes whose dirty LSN is above p; the walk goes there only.
 *
 * Whether the snapshot is still open is asked after what was read, in the same epoch.
 * Workers; each call enters and leaves its own epoch; nothing shared is written.
 */
#include "common/c.h"

#include "access/store/store_internal.h"

#define COUNT_STEPS 512

_Thread_local StoreSnapshot *store_snapshot_in_use;

static _Thread_local uint64 clock_of_present;	/* while a snapshot is in use */
static _Thread_local uint8 key_buffer[KEY_MAX];

void
store_change_snapshot(StoreSnapshot *snapshot)
{
	/* the clock may have gone on while the snapshot was in use: the later one is the present's */
	if (store_snapshot_in_use != NULL)
		store_clock_now = Max(store_clock_now, clock_of_present);
	store_snapshot_in_use = snapshot;
	if (snapshot == NULL)
		return;
	clock_of_present = store_clock_now;
	store_clock_now = snapshot->clock;
}

const Leaf *
store__resolve_at(const Leaf *leaf, Lsn s)
{
	leaf = store__resolve(leaf);
	while (leaf != NULL && leaf->lsn > s)
		leaf = leaf_link(leaf) != 0 ? seg_ptr(leaf_link(leaf)) : NULL;
	return leaf;
}

StoreStatus
store__at_read(const StoreKey *key, bool with_value, StoreShow show, void *arg, Lsn *gate)
{
	const StoreSnapshot *x = store_snapshot_in_use;

	for (;;)
	{
		StoreStatus status = STORE_OK;
		const Leaf *leaf;
		StoreView	view;
		Look		result = LOOK_DONE;
		uint32		len;
		bool		alive;

		epoch_enter();
		len = store__build_key(key_buffer, x->tree_id[key->db], key->data, key->len);
		leaf = store__resolve_at(art_lookup(&store_shared->root, key_buffer, len), x->at);
		if (leaf != NULL)
			store__view_leaf(&view, leaf);
		else
			result = store__look_in_root(&x->root, key_buffer, len, with_value, &view);
		alive = store__snapshot_alive(x);
		if (likely(alive && result == LOOK_DONE))
		{
			*gate = Max(*gate, x->at);
			if (unlikely(view.present && !view.exists))
				status = store__expired_gate(view.expiry, gate);
			if (likely(status == STORE_OK))
				show(&view, arg);
		}
		epoch_leave();
		if (unlikely(!alive))
			return STORE_SNAPSHOT_ENDED;
		if (likely(result == LOOK_DONE))
			return status;
		status = store__look_failed(result);
		if (status != STORE_OK)
			return status;
	}
}

/* ---- counting ---- */

/* in_root -- keys of the tree in the pinned root. */
static int64
in_root(const StoreSnapshot *x, uint32 tree_id)
{
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		if (x->base_tree_id[db] == tree_id)
			return (int64) x->base_key_count[db];
	return 0;
}

/* count_leaf -- by how much the key's being there at s differs from the root, into job->absent. */
static Look
count_leaf(const StoreSnapshot *x, StoreCountJob *job, const Leaf *leaf)
{
	const Leaf *version = store__resolve_at(leaf, x->at);
	StoreView	now;
	StoreView	before;
	Look		result;

	if (version == NULL || version->lsn <= x->root.cut)
		return LOOK_DONE;
	store__view_leaf(&now, version);
	result = store__look_in_root(&x->root, leaf_key(version), version->key_len, false, &before);
	if (result == LOOK_DONE)
		job->absent += (int) now.present - (int) before.present;
	return result;
}

/* count_piece -- some of the tree's leaves that may have a version above the root's cut; *end: there are no more. */
static Look
count_piece(const StoreSnapshot *x, StoreCountJob *job, bool *end)
{
	ArtCursor  *cursor = art_cursor(0);
	uint8		prefix[4];
	uint32		prefix_len = store__build_key(prefix, job->tree_id, NULL, 0);
	bool		from_start = job->from_len == 0;

	*end = false;
	art_seek_dirty(cursor, &store_shared->root, from_start ? prefix : job->from,
				   from_start ? prefix_len : job->from_len, !from_start, x->root.cut);
	for (uint32 step = 0; step < COUNT_STEPS; step++)
	{
		const Leaf *leaf = art_next(cursor);
		Look		result;

		*end = leaf == NULL || memcmp(leaf_key(leaf), prefix, prefix_len) != 0;
		if (*end)
			return LOOK_DONE;
		result = count_leaf(x, job, leaf);
		if (result != LOOK_DONE)
			return result;
		memcpy(job->from, leaf_key(leaf), leaf->key_len);
		job->from_len = leaf->key_len;
	}
	return LOOK_DONE;
}

StoreStatus
store__at_count(uint32 db, StoreCountJob *job, Lsn *gate)
{
	StoreSnapshot *x = store_snapshot_in_use;
	bool		end = x->counted[db];
	Look		result = LOOK_DONE;
	bool		alive;

	job->tree_id = x->tree_id[db];
	epoch_enter();
	if (!end)
		result = count_piece(x, job, &end);
	alive = store__snapshot_alive(x);
	epoch_leave();
	if (!alive)
		return STORE_SNAPSHOT_ENDED;
	if (result != LOOK_DONE)
		return store__look_failed(result);
	*gate = Max(*gate, x->at);
	if (!end)
		return STORE_OK;
	if (!x->counted[db])
	{
		int64		count = in_root(x, job->tree_id) + job->absent;

		x->count[db] = count > 0 ? (uint64) count : 0;
		x->counted[db] = true;
	}
	job->count = x->count[db];
	job->done = true;
	return STORE_OK;
}
