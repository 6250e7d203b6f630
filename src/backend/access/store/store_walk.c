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
 * Overlay over base: two cursors over the same range, merged; of equal keys the
 * overlay's counts, and its tombstones hide the base's keys.  A leaf that is
 * evicted while we walk is in the base whose root we have read (store.c), so a
 * key is met in one of the two at least, and the merge shows it once.  Where
 * COMPLETE covers the range, the base is left out.  A page that must be read ends
 * the piece: what was shown is kept, the next piece goes on behind it.
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

#define PAGES_AHEAD 4

static _Thread_local BaseCursor *base_cursor;

/* Source -- what one of the two cursors stands on */
typedef struct Source
{
	bool		open;			/* it has not ended */
	const uint8 *key;			/* with tree id */
	uint32		key_len;
	StoreView	view;
	bool		hidden;			/* a tombstone, or expired */
} Source;

/* Walking -- one piece of a walk: inside one epoch, over one root */
typedef struct Walking
{
	StoreWalk  *walk;
	uint32		tree_id;
	const StoreBase *base;		/* NULL: the base is left out */
	ArtCursor  *cursor;
	Source		overlay;
	Source		disk;
	BaseResult	trouble;		/* BASE_MISS, BASE_CORRUPT; BASE_FOUND: none */
	StoreStatus parked;			/* the answer needs something else first */
} Walking;

/* next_overlay -- the next key of the overlay; one that holds nothing but the place of an undecided transaction's is not there. */
static void
next_overlay(Walking *w)
{
	Source	   *s = &w->overlay;
	const Leaf *leaf;
	const Leaf *found;

	do
	{
		found = art_next(w->cursor);
		leaf = store__resolve(found);
	} while (found != NULL && leaf == NULL);
	s->open = leaf != NULL;
	if (leaf == NULL)
		return;
	s->key = leaf_key(leaf);
	s->key_len = leaf->key_len;
	store__view_leaf(&s->view, leaf);
	s->hidden = !s->view.exists;
}

static void
next_disk(Walking *w)
{
	Source	   *s = &w->disk;
	BaseValue	value;
	BaseResult	result;

	s->open = false;
	if (w->base == NULL)
		return;
	result = base_next(base_cursor, w->walk->with_values, &s->key, &s->key_len, &value);
	switch (result)
	{
		case BASE_FOUND:
			s->open = true;
			store__view_base(&s->view, &value);
			s->hidden = !s->view.exists;
			break;
		case BASE_ABSENT:
			break;
		case BASE_MISS:
		case BASE_CORRUPT:
			w->trouble = result;
			break;
	}
}

/* seek_start -- both cursors to where the walk goes on, and their first keys. */
static void
seek_start(Walking *w)
{
	const StoreWalk *walk = w->walk;
	uint32		prefix_len = store__build_key(prefix_buffer, w->tree_id, walk->prefix, walk->prefix_len);
	const uint8 *key = NULL;
	uint32		len = 0;

	if (!walk->from_edge)
	{
		len = store__build_key(seek_buffer, w->tree_id, walk->key, walk->key_len);
		key = seek_buffer;
	}
	art_seek(w->cursor, &store_shared->root, prefix_buffer, prefix_len, key, len, !walk->from_edge && walk->exclusive,
			 walk->backward);
	if (w->base != NULL)
		base_seek(base_cursor, &w->base->root, prefix_buffer, prefix_len, key, len,
				  !walk->from_edge && walk->exclusive, walk->backward, PAGES_AHEAD, store__keep());
	next_overlay(w);
	next_disk(w);
}

/* order -- < 0: the overlay's key comes first, > 0: the base's, 0: they are equal. */
static int
order(const Walking *w)
{
	const Source *a = &w->overlay;
	const Source *b = &w->disk;
	int			result;

	if (!b->open)
		return -1;
	if (!a->open)
		return 1;
	result = memcmp(a->key, b->key, Min(a->key_len, b->key_len));
	if (result == 0)
		result = a->key_len < b->key_len ? -1 : a->key_len > b->key_len;
	return w->walk->backward ? -result : result;
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

/* begin -- inside the epoch: tree, gate, whether the base is to be looked at. */
static void
begin(Walking *w, StoreWalk *walk)
{
	const StoreBase *base = store__base();
	Lsn			map_lsn;
	uint32		prefix_len;

	memset(w, 0, sizeof(*w));
	w->walk = walk;
	w->cursor = art_cursor(0);
	w->trouble = BASE_FOUND;
	w->tree_id = store__tree_id(store__tree_index(walk->db));
	/* relaxed: stored before tree_of_db, read by acquire [store-map] */
	map_lsn = atomic_load_explicit(&store_shared->map_lsn[walk->db], memory_order_relaxed);
	walk->gate = Max(walk->gate, map_lsn);
	prefix_len = store__build_key(prefix_buffer, w->tree_id, walk->prefix, walk->prefix_len);
	if (base->root.page.number != 0 && !art_prefix_complete(&store_shared->root, prefix_buffer, prefix_len))
		w->base = base;
}

typedef enum Shown { SHOWN_ON, SHOWN_STOP, SHOWN_HOPPED } Shown;

/* show_key -- the next live key to the caller, and what he says. */
static Shown
show_key(Walking *w, const Source *s, StoreWalkShow show, void *arg)
{
	StoreWalk  *walk = w->walk;
	const uint8 *key = s->key + 4;
	uint32		key_len = s->key_len - 4;

	switch (show(walk, key, key_len, &s->view, arg))
	{
		case STORE_WALK_ON:
			return SHOWN_ON;
		case STORE_WALK_STOP:
			remember(walk, key, key_len, true);
			return SHOWN_STOP;
		case STORE_WALK_STOP_BEFORE:
			remember(walk, key, key_len, false);
			return SHOWN_STOP;
		case STORE_WALK_HOP:
			Assert(walk->hop_len <= key_len);
			if (hop(walk, key))
				return SHOWN_HOPPED;
			walk->done = true;
			return SHOWN_STOP;
	}
	NotReached();
}

/*
 * walk_piece -- up to max_steps keys.  Returns how many were looked at; the walk's
 * bound stands behind the last of them.
 */
static uint32
walk_piece(Walking *w, uint32 max_steps, StoreWalkShow show, void *arg)
{
	StoreWalk  *walk = w->walk;
	uint32		steps = 0;

	seek_start(w);
	while (w->trouble == BASE_FOUND && steps < max_steps)
	{
		int			first;
		Source	   *s;
		Shown		shown = SHOWN_ON;

		if (!w->overlay.open && !w->disk.open)
		{
			walk->done = true;
			break;
		}
		first = order(w);
		s = first <= 0 ? &w->overlay : &w->disk;
		steps++;
		walk->gate = Max(walk->gate, s->view.lsn);
		if (!s->hidden)
			shown = show_key(w, s, show, arg);
		else if (unlikely(s->view.present))
		{
			w->parked = store__expired_gate(s->view.expiry, &walk->gate);
			if (w->parked != STORE_OK)
			{
				steps--;
				break;
			}
		}
		if (shown == SHOWN_STOP)
			break;
		if (shown == SHOWN_HOPPED)
		{
			seek_start(w);
			continue;
		}
		/* before the cursors move: the base's key lies in its cursor */
		remember(walk, s->key + 4, s->key_len - 4, true);
		if (first <= 0)
			next_overlay(w);
		if (first >= 0)
			next_disk(w);
	}
	return steps;
}

StoreStatus
store_walk(StoreWalk *walk, uint32 max_steps, StoreWalkShow show, void *arg)
{
	Walking		w;
	uint32		steps;

	walk->done = false;
	for (;;)
	{
		epoch_enter();
		begin(&w, walk);
		if (w.base != NULL && (store__keep() == NULL || base_cursor == NULL))
		{
			epoch_leave();
			store__keep_make();
			if (base_cursor == NULL)
				base_cursor = base_cursor_create();
			continue;
		}
		steps = walk_piece(&w, max_steps, show, arg);
		epoch_leave();
		if (w.trouble == BASE_MISS)
			base_read_start(store__keep());
		else if (w.base != NULL)
			base_cursor_prefetch(base_cursor);
		if (steps == 0 && w.parked != STORE_OK)
			return w.parked;
		if (steps > 0 || w.trouble == BASE_FOUND)
			return STORE_OK;
		if (w.trouble == BASE_CORRUPT)
			return STORE_CORRUPT;
		if (base_keep_pending(store__keep()) > 0)
			return STORE_PARK_PAGE;
	}
}
