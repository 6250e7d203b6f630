/*
 * store_walk.c -- ordered walks over the live keys of one database.
 *
 * A walk looks at a bounded number of leaves in one epoch and returns; the
 * caller goes on from walk->key in a new one.  Whatever it looked at raises the
 * gate, tombstones too: a listing that lacks a key tells of its deletion.
 *
 * A key that is there throughout a walk is shown exactly once: pieces continue
 * at a key bound, and within a piece the cursor gives each key at most once, in
 * order.
 *
 * Hopping: after a key that stands for a rolled-up prefix the walk seeks behind
 * every key with that prefix, at the cost of one descent, whatever lies below.
 */
#include "common/c.h"

#include "access/store/store_internal.h"

static _Thread_local uint8 prefix_buffer[KEY_MAX];
static _Thread_local uint8 seek_buffer[KEY_MAX];

/* prefix_successor -- the least key above every key that begins with p: false when there is none. */
static bool
prefix_successor(uint8 *p, uint32 *len)
{
	while (*len > 0 && p[*len - 1] == 0xff)
		(*len)--;
	if (*len == 0)
		return false;
	p[*len - 1]++;
	return true;
}

static void
seek_start(ArtCursor *cursor, const StoreWalk *walk, uint32 tree_id)
{
	uint32		prefix_len = store__build_key(prefix_buffer, tree_id, walk->prefix, walk->prefix_len);

	if (walk->from_edge)
		art_seek(cursor, &store_shared->root, prefix_buffer, prefix_len, NULL, 0, false, walk->backward);
	else
	{
		uint32		len = store__build_key(seek_buffer, tree_id, walk->key, walk->key_len);

		art_seek(cursor, &store_shared->root, prefix_buffer, prefix_len, seek_buffer, len,
				 walk->exclusive, walk->backward);
	}
}

/* remember -- the walk goes on at this key. */
static void
remember(StoreWalk *walk, const uint8 *key, uint32 len, bool exclusive)
{
	memcpy(walk->key, key, len);
	walk->key_len = len;
	walk->exclusive = exclusive;
	walk->from_edge = false;
}

/* hop -- set the bound behind all keys that begin with the first hop_len bytes of 'key'; false: nothing can lie there. */
static bool
hop(StoreWalk *walk, const uint8 *key)
{
	uint32		len = walk->hop_len;

	remember(walk, key, len, walk->backward);
	if (walk->backward)
		return true;			/* everything below the prefix itself, which is the least of its keys */
	if (!prefix_successor(walk->key, &len))
		return false;
	walk->key_len = len;
	return true;
}

StoreStatus
store_walk(StoreWalk *walk, uint32 max_steps, StoreWalkShow show, void *arg)
{
	ArtCursor  *cursor = art_cursor(0);
	uint32		tree_id;
	Lsn			map_lsn;
	Leaf	   *leaf = NULL;

	walk->done = false;
	epoch_enter();
	tree_id = store__tree_id(store__tree_index(walk->db));
	/* relaxed: stored before tree_of_db, read by acquire [store-map] */
	map_lsn = atomic_load_explicit(&store_shared->map_lsn[walk->db], memory_order_relaxed);
	walk->gate = Max(walk->gate, map_lsn);
	seek_start(cursor, walk, tree_id);
	for (uint32 step = 0; step < max_steps; step++)
	{
		StoreView	view;
		const uint8 *key;
		uint32		key_len;

		leaf = art_next(cursor);
		if (leaf == NULL)
		{
			walk->done = true;
			break;
		}
		walk->gate = Max(walk->gate, leaf->lsn);
		key = leaf_key(leaf) + 4;
		key_len = (uint32) leaf->key_len - 4;
		if (leaf_flags(leaf) & LEAF_TOMBSTONE)
			continue;
		view.leaf = leaf;
		view.exists = true;
		view.value_len = leaf->value_len;
		view.lsn = leaf->lsn;
		switch (show(walk, key, key_len, &view, arg))
		{
			case STORE_WALK_ON:
				break;
			case STORE_WALK_STOP:
				remember(walk, key, key_len, true);
				epoch_leave();
				return STORE_OK;
			case STORE_WALK_STOP_BEFORE:
				remember(walk, key, key_len, false);
				epoch_leave();
				return STORE_OK;
			case STORE_WALK_HOP:
				Assert(walk->hop_len <= key_len);
				if (!hop(walk, key))
				{
					walk->done = true;
					epoch_leave();
					return STORE_OK;
				}
				seek_start(cursor, walk, tree_id);
				leaf = NULL;
				break;
		}
	}
	/* a NULL leaf with steps used up: the bound was just set by a hop */
	if (!walk->done && leaf != NULL)
		remember(walk, leaf_key(leaf) + 4, (uint32) leaf->key_len - 4, true);
	epoch_leave();
	return STORE_OK;
}
