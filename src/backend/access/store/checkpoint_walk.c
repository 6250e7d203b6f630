/*
 * checkpoint_walk.c -- the overlay as of a cut, as a merge wants it; and the release of what was linked for it.
 *
 * Steps (2) and (3) of a checkpoint meet here.  The merge asks for the next change;
 * the walk has a piece of them ready: keys in order, each with the newest version
 * at or below the cut, copied into private memory within one epoch of at most
 * WALK_STEPS leaves, or as many as fit.  Then the epoch is left and the walk goes on
 * behind the last key it looked at.  Values above BASE_INLINE_MAX bytes are not copied:
 * the merge asks for them by (key, lsn), a VALUE_STEP at a time, each in an epoch of
 * its own.  So the checkpointer holds WALK_PIECE_BYTES of private memory, whatever the
 * data.
 *
 * What is handed out:
 *   - of each key the newest version v with v.lsn <= cut, found from the leaf in the
 *     tree by its links; if v.lsn <= the last committed cut, nothing: the base has it
 *   - a tombstone as BASE_REMOVE
 *   - nothing of trees that the map as of the cut does not have: they are dropped;
 *     but the index of deadlines, which is in no map
 *   - for each tree that the base has and the map has no more, BASE_REMOVE_PREFIX of
 *     its id, in its place in the order; its keys are passed over, so no other
 *     change has that prefix
 *
 * Why nothing is missed.  The walk begins when completed >= cut: every record below
 * the cut is in the tree by then.  A key with a version in (committed, cut] stays in
 * the tree until the walk is over: eviction and sweeping take what is at or below
 * evict_cut <= committed; replacing it keeps it as a link (checkpoint.c); and its
 * path's dirty LSN is above 'committed', so the walk enters it.
 *
 * Counting.  The merge looks every key up in the base before, and says so (seen).
 * Keys of a tree: those in the base before, plus created, less removed.  A chain
 * that a blind write began (leaf_first in (committed, cut]) has been counted as if
 * the key had been there; where it was not, 'absent' gets one.  A chain is seen
 * once, for its key is handed out once; it is in no later walk's window.  The chains of
 * dropped trees are looked up by nobody, and count as resolved all the same, when
 * the walk passes them: they were made before the tree was dropped, hence all of
 * them lie below that cut which is the first not to have the tree.
 *
 * Releasing (step 7): store_release.c.
 *
 * The checkpointer alone runs this.  It writes nothing shared but in the release; if
 * it dies, its private memory goes with it.
 */
#include "common/c.h"

#include "access/store/checkpoint_internal.h"
#include "storage/file/file.h"
#include "storage/mem/heap.h"

#define WALK_STEPS 512
#define WALK_AHEAD 16				/* leaves whose heads are on their way into the cache together */
#define WALK_BODY_AHEAD 2			/* and bodies */
#define WALK_PIECE_BYTES (2 * MIB)
#define WALK_POLL_PIECES 16			/* pieces without a change, until the stop order is looked at */
#define VALUE_STEP (256 * KIB)
#define RELEASE_TRIES 100			/* pieces in which memory was too short, one after the other */

static_assert(LEAF_INLINE_MAX == BASE_INLINE_MAX, "what lies in extents here does there");

/* PieceEntry -- one change in the piece; the key follows, then the value */
typedef struct PieceEntry
{
	Lsn			lsn;
	uint64		expiry;
	uint32		value_len;
	uint16		key_len;
	uint8		remove;
	uint8		open;			/* a chain begun by a blind write: to be looked up */
	uint32		tree;
	uint32		reserved;
} PieceEntry;

#define ENTRY_BYTES_MAX (AlignUp(sizeof(PieceEntry) + KEY_MAX + BASE_INLINE_MAX, 8))

static uint32
key_tree_id(const uint8 *key)
{
	uint32		big_endian;

	memcpy(&big_endian, key, 4);
	return __builtin_bswap32(big_endian);
}

/* ---- progress: a guess from the key's place ---- */

static uint64
eight_bytes(const uint8 *key, uint32 key_len, uint32 from)
{
	uint64		value = 0;

	for (uint32 i = 0; i < 8; i++)
		value = value << 8 | (from + i < key_len ? key[from + i] : 0);
	return value;
}

/* measure_tree -- between which keys a tree lies. */
static void
measure_tree(CheckpointTree *tree)
{
	uint8		prefix[4];
	uint32		prefix_len = store__build_key(prefix, tree->id, NULL, 0);
	ArtCursor  *c = art_cursor(0);
	const Leaf *first;
	const Leaf *last;

	tree->common = prefix_len;
	tree->low = 0;
	tree->high = 0;
	epoch_enter();
	art_seek(c, &store_shared->root, prefix, prefix_len, NULL, 0, false, false);
	first = art_next(c);
	art_seek(c, &store_shared->root, prefix, prefix_len, NULL, 0, false, true);
	last = art_next(c);
	if (first != NULL && last != NULL)
	{
		const uint8 *a = leaf_key(first);
		const uint8 *b = leaf_key(last);

		while (tree->common < first->key_len && tree->common < last->key_len && a[tree->common] == b[tree->common])
			tree->common++;
		tree->low = eight_bytes(a, first->key_len, tree->common);
		tree->high = eight_bytes(b, last->key_len, tree->common);
	}
	epoch_leave();
}

/* note_progress -- the walk has come to w->from. */
static void
note_progress(CheckpointWalk *w)
{
	double		done = 0;

	for (int i = 0; i < w->tree_count; i++)
	{
		const CheckpointTree *tree = &w->tree[i];
		uint32		at = w->from_len > 0 ? key_tree_id(w->from) : 0;

		if (w->ended || tree->id < at)
			done += (double) tree->weight;
		else if (tree->id == at && tree->high > tree->low)
		{
			uint64		here = eight_bytes(w->from, w->from_len, tree->common);

			here = Min(Max(here, tree->low), tree->high);
			done += (double) tree->weight * ((double) (here - tree->low) / (double) (tree->high - tree->low));
		}
	}
	done /= (double) w->weight_total;
	w->progress = Max(w->progress, Min(done, 1.0));	/* never back, whatever is written beside us */
}

/* ---- beginning ---- */

static int
compare_trees(const void *a, const void *b)
{
	const CheckpointTree *x = a;
	const CheckpointTree *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int
compare_ids(const void *a, const void *b)
{
	const uint32 *x = a;
	const uint32 *y = b;

	return *x < *y ? -1 : *x > *y;
}

static CheckpointTree *
find_tree(CheckpointWalk *w, uint32 id)
{
	if (w->tree_at < w->tree_count && w->tree[w->tree_at].id == id)
		return &w->tree[w->tree_at];
	for (int i = 0; i < w->tree_count; i++)
		if (w->tree[i].id == id)
		{
			w->tree_at = i;
			return &w->tree[i];
		}
	return NULL;
}

/*
 * checkpoint__walk_begin -- which trees there are, against which the base had.
 *
 * Between announcement and unlocking of the map, outside an epoch: the trees' places
 * in the table are theirs as long as evict_cut is below the cut.
 */
void
checkpoint__walk_begin(CheckpointWalk *w, const ControlData *before, bool (*poll)(void))
{
	memset(w, 0, sizeof(*w));
	w->poll = poll;
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		CheckpointTree *tree = &w->tree[w->tree_count++];
		Lsn			gate = LSN_NONE;

		tree->index = store__tree_index(db);
		tree->id = store__tree_id(tree->index);
		tree->weight = store_count(db, &gate) + 1;
		store__deadlines_known(tree->index, &tree->known_deadlines, &tree->known_deadline_sum);
		w->weight_total += tree->weight;
	}
	w->tree[w->tree_count].id = STORE_DEADLINE_TREE;	/* in no map, and counted nowhere */
	w->tree[w->tree_count].index = STORE_TREES;
	w->tree[w->tree_count++].weight = 1;
	w->weight_total++;
	qsort(w->tree, (size_t) w->tree_count, sizeof(w->tree[0]), compare_trees);
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		CheckpointTree *tree = find_tree(w, before->map.tree_id[db]);

		if (tree != NULL)
		{
			tree->base_keys = before->key_count[db];
			tree->base_deadlines = before->deadline_count[db];
			tree->base_deadline_sum = before->deadline_sum[db];
		}
		else if (before->map.tree_id[db] != 0)
		{
			w->gone[w->gone_count++] = before->map.tree_id[db];
			w->gone_keys += before->key_count[db];
		}
	}
	qsort(w->gone, (size_t) w->gone_count, sizeof(w->gone[0]), compare_ids);
	w->piece = malloc(WALK_PIECE_BYTES);
	Verify(w->piece != NULL);
}

void
checkpoint__walk_cut(CheckpointWalk *w, Lsn cut, Lsn committed)
{
	Assert(cut > committed);
	w->cut = cut;
	w->committed = committed;
	for (int i = 0; i < w->tree_count; i++)
		measure_tree(&w->tree[i]);
}

void
checkpoint__walk_close(CheckpointWalk *w)
{
	free(w->piece);
	w->piece = NULL;
}

/* ---- the piece ---- */

/* add_entry -- a version into the piece; there is room. */
static void
add_entry(CheckpointWalk *w, const Leaf *v, uint32 tree, bool open)
{
	PieceEntry *e = (PieceEntry *) (w->piece + w->end);
	bool		remove = (leaf_flags(v) & LEAF_TOMBSTONE) != 0;
	uint8	   *to = (uint8 *) (e + 1);

	e->lsn = v->lsn;
	e->expiry = remove ? 0 : leaf_expiry(v);
	e->value_len = remove ? 0 : v->value_len;
	e->key_len = v->key_len;
	e->remove = remove;
	e->open = open;
	e->tree = tree;
	e->reserved = 0;
	memcpy(to, leaf_key(v), v->key_len);
	to += v->key_len;
	if (!remove && e->value_len <= BASE_INLINE_MAX)
	{
		leaf_copy_value(v, 0, e->value_len, to);
		to += e->value_len;
	}
	w->end = AlignUp((size_t) (to - w->piece), 8);
}

/* look_at -- one leaf of the tree, inside the epoch. */
static void
look_at(CheckpointWalk *w, const Leaf *leaf)
{
	/* an undecided transaction lies above the cut: completed has passed it */
	const Leaf *v = store__resolve_at(leaf, w->cut);
	CheckpointTree *tree;
	bool		open;

	if (v == NULL || v->lsn <= w->committed)
		return;
	Assert((leaf_flags(v) & LEAF_DESCRIPTOR) == 0);
	/* first <= v.lsn <= cut */
	open = (leaf_flags(v) & LEAF_UNKNOWN) && leaf_first(v) > w->committed;
	tree = find_tree(w, key_tree_id(leaf_key(v)));
	if (tree != NULL)
		add_entry(w, v, (uint32) (tree - w->tree), open);
	else if (open)
		w->resolved++;
}

/* next_leaves -- some more of the tree: they are looked at when all of them are on their way from memory. */
static int
next_leaves(ArtCursor *c, const Leaf *leaf[WALK_AHEAD])
{
	int			count = 0;

	while (count < WALK_AHEAD && (leaf[count] = art_next(c)) != NULL)
	{
		__builtin_prefetch(leaf[count]);
		__builtin_prefetch((const char *) leaf[count] + CACHE_LINE);
		count++;
	}
	return count;
}

/* prefetch_body -- what will be copied of a leaf whose head is here already. */
static attribute_prefetch void
prefetch_body(const Leaf *leaf)
{
	size_t		size = Min(leaf_size(leaf), (size_t) 2 * KIB);

	for (size_t at = 2 * CACHE_LINE; at < size; at += CACHE_LINE)
		__builtin_prefetch((const char *) leaf + at);
}

/* fill_piece -- the next leaves of the tree, in one epoch. */
static void
fill_piece(CheckpointWalk *w)
{
	ArtCursor  *c = art_cursor(0);
	const Leaf *leaf[WALK_AHEAD];
	const Leaf *last = NULL;

	w->at = 0;
	w->end = 0;
	epoch_enter();
	art_seek_dirty(c, &store_shared->root, w->from_len > 0 ? w->from : NULL, w->from_len, true, w->committed);
	for (int steps = 0; steps < WALK_STEPS && w->end + WALK_AHEAD * ENTRY_BYTES_MAX <= WALK_PIECE_BYTES; steps += WALK_AHEAD)
	{
		int			count = next_leaves(c, leaf);

		for (int i = 0; i < count; i++)
		{
			if (i + WALK_BODY_AHEAD < count)
				prefetch_body(leaf[i + WALK_BODY_AHEAD]);
			look_at(w, leaf[i]);
		}
		if (count > 0)
			last = leaf[count - 1];
		if (count < WALK_AHEAD)
		{
			w->ended = true;
			break;
		}
	}
	if (last != NULL)
	{
		memcpy(w->from, leaf_key(last), last->key_len);
		w->from_len = last->key_len;
	}
	epoch_leave();
	proc_heartbeat();
	note_progress(w);
	FAULT_POINT("checkpoint-walk");
}

/* ---- the source ---- */

/* a tag: the tree's place in w->tree, and whether the chain is open; valid however late it comes back */
static void *
make_tag(const PieceEntry *e)
{
	return (void *) (uintptr_t) (e->tree << 1 | e->open);
}

static bool
next_change(void *arg, BaseChange *out)
{
	CheckpointWalk *w = arg;
	const PieceEntry *e = NULL;

	for (uint32 pieces = 1; w->at == w->end && !w->ended && !w->gave_up; pieces++)
	{
		fill_piece(w);
		if (pieces % WALK_POLL_PIECES == 0 && !w->poll())
			w->gave_up = true;
	}
	if (w->gave_up)
		return false;			/* not the end: whoever runs the merge looks at gave_up */
	if (w->at < w->end)
		e = (const PieceEntry *) (w->piece + w->at);
	memset(out, 0, sizeof(*out));
	if (w->gone_next < w->gone_count && (e == NULL || w->gone[w->gone_next] < w->tree[e->tree].id))
	{
		out->kind = BASE_REMOVE_PREFIX;
		out->key_len = store__build_key(w->prefix, w->gone[w->gone_next++], NULL, 0);
		out->key = w->prefix;
		out->lsn = w->cut;
		return true;
	}
	if (e == NULL)
		return false;
	out->kind = e->remove ? BASE_REMOVE : BASE_PUT;
	out->key = (const uint8 *) (e + 1);
	out->key_len = e->key_len;
	out->lsn = e->lsn;
	out->expiry = e->expiry;
	out->value_len = e->value_len;
	out->value = !e->remove && e->value_len <= BASE_INLINE_MAX ? out->key + e->key_len : NULL;
	out->tag = make_tag(e);
	w->at += AlignUp(sizeof(*e) + e->key_len + (e->value_len <= BASE_INLINE_MAX ? e->value_len : 0), 8);
	return true;
}

/* value_of -- part of a long value; the version stays reachable while the snapshot is open. */
static bool
value_of(void *arg, const BaseChange *change, uint64 offset, size_t len, void *to)
{
	const CheckpointWalk *w = arg;

	while (len > 0)
	{
		size_t		n = Min(len, VALUE_STEP);
		const Leaf *v;
		bool		found;

		epoch_enter();
		v = store__resolve_at(art_lookup(&store_shared->root, change->key, change->key_len), w->cut);
		found = v != NULL && v->lsn == change->lsn && offset + n <= v->value_len;
		if (found)
			leaf_copy_value(v, offset, n, to);
		epoch_leave();
		if (!found)
			return false;
		to = (uint8 *) to + n;
		offset += n;
		len -= n;
	}
	return true;
}

static void
seen(void *arg, const BaseChange *change, bool existed, uint64 count)
{
	CheckpointWalk *w = arg;
	uintptr_t	tag = (uintptr_t) change->tag;
	CheckpointTree *tree;

	if (change->kind == BASE_REMOVE_PREFIX)
	{
		w->gone_removed += count;
		return;
	}
	tree = &w->tree[tag >> 1];
	if (tree->id == STORE_DEADLINE_TREE)
		return;					/* no keys of anybody's */
	if (existed && change->old_expiry != 0)
	{
		tree->deadlines--;
		tree->deadline_sum -= change->old_expiry / 1000;
	}
	if (change->kind == BASE_PUT && change->expiry != 0)
	{
		tree->deadlines++;
		tree->deadline_sum += change->expiry / 1000;
	}
	if (change->kind == BASE_PUT)
	{
		w->keys_put++;
		tree->created += !existed;
	}
	else
	{
		w->keys_removed += existed;
		tree->removed += existed;
	}
	if (tag & 1)
	{
		w->resolved++;
		tree->absent += !existed;
	}
}

void
checkpoint__walk_source(CheckpointWalk *w, BaseSource *source)
{
	source->next = next_change;
	source->value = value_of;
	source->seen = seen;
	source->arg = w;
}

/* ---- releasing links ---- */

/*
 * checkpoint__release -- step (7): versions that were linked for this checkpoint go.
 *
 * Its position is NONE, and everybody who saw another has left its epoch: no new link
 * comes for it.  Heads with a link for it were published after the announcement: 'since'
 * is the log's position then.  What clients' snapshots need stays: the evictor sees to
 * it when they are closed.
 *
 * Outside an epoch.  False: no memory for some copies, or told to stop: those links
 * stay until the next time, or until their key is written.
 */
bool
checkpoint__release(Lsn since, Lsn cut, bool (*poll)(void), uint64 *released)
{
	LinkRelease *r = calloc(1, sizeof(*r));
	uint32		stuck = 0;
	uint32		from_len = 0;
	bool		end = false;
	bool		all;

	Verify(r != NULL);
	r->since = since;
	r->cut = cut;
	while (!end && stuck < RELEASE_TRIES && poll())
	{
		uint64		before = r->released;

		end = store__release_piece(r);
		proc_heartbeat();
		epoch_try_advance();
		mem_reclaim();
		stuck = !end && r->released == before && r->from_len == from_len ? stuck + 1 : 0;
		from_len = r->from_len;
	}
	*released += r->released;
	all = end && r->missed == 0;
	free(r);
	return all;
}
