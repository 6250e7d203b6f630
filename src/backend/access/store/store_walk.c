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
 * At a snapshot (store_at.c) the same two are merged: the overlay's key counts by its
 * newest version at or below the position, and is not there if it has none; the base
 * is the pinned root.  Keys that are younger than the snapshot are passed over, a bounded
 * number of them in one piece: then the overlay's cursor stands at a bar, which the walk
 * does not pass; the next piece goes on behind it.
 *
 * In a transaction its own writes are a third source, before the other two; the range
 * is announced, so nobody else writes there (store_txn_range).
 *
 * Hopping: after a key that stands for a rolled-up prefix the walk goes on behind
 * every key with that prefix, at the cost of one descent at most, whatever lies below.
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
#define PASSED_MAX 512			/* keys that are not there, in one piece */

static _Thread_local BaseCursor *base_cursor;

/* Source -- what one of the cursors stands on */
typedef struct Source
{
	bool		open;			/* it has not ended */
	bool		bar;			/* no key is here, but the walk may not pass this place in this piece */
	const uint8 *key;			/* with tree id */
	uint32		key_len;
	StoreView	view;
	bool		hidden;			/* a tombstone, or expired */
} Source;

/* the sources, the one that counts before the others of equal keys first: what the transaction in use has written, overlay, base */
enum { OWN, OVERLAY, DISK, SOURCES };
#define EVERY_SOURCE ((1u << SOURCES) - 1)

/* Walking -- one piece of a walk: inside one epoch, over one root */
typedef struct Walking
{
	StoreWalk  *walk;
	const StoreSnapshot *at;	/* NULL: the present */
	uint32		tree_id;
	uint32		prefix_len;		/* in prefix_buffer, with tree id */
	const BaseRoot *root;		/* NULL: the base is left out */
	ArtCursor  *cursor;
	uint32		passed;			/* keys of the overlay that were not there, in this piece */
	int			own;			/* the transaction's entry that comes next */
	Source		source[SOURCES];
	BaseResult	trouble;		/* BASE_MISS, BASE_CORRUPT; BASE_FOUND: none */
	StoreStatus parked;			/* the answer needs something else first */
} Walking;

/* set_overlay -- the overlay's cursor stands on this leaf, of which 'leaf' counts; NULL: a bar. */
static inline void
set_overlay(Source *s, const Leaf *found, const Leaf *leaf)
{
	s->bar = leaf == NULL;
	s->key = leaf_key(found);
	s->key_len = found->key_len;
	if (unlikely(leaf == NULL))
		return;
	store__view_leaf(&s->view, leaf);
	s->hidden = !s->view.exists;
}

/* version_of -- the version of a leaf in the tree that the walk speaks of; NULL: none in the overlay. */
static inline const Leaf *
version_of(const Walking *w, const Leaf *found)
{
	return likely(w->at == NULL) ? store__resolve(found) : store__resolve_at(found, w->at->at);
}

/*
 * next_overlay -- the next key of the overlay; what holds nothing but the place of an
 * undecided transaction's key, or is younger than the snapshot, is not there.
 */
static inline void
next_overlay(Walking *w)
{
	Source	   *s = &w->source[OVERLAY];
	const Leaf *found;
	const Leaf *leaf = NULL;

	do
		found = art_next(w->cursor);
	while (found != NULL && unlikely((leaf = version_of(w, found)) == NULL) && ++w->passed < PASSED_MAX);
	s->open = found != NULL;
	if (likely(found != NULL))
		set_overlay(s, found, leaf);
}

static void
next_disk(Walking *w)
{
	Source	   *s = &w->source[DISK];
	BaseValue	value;
	BaseResult	result;

	s->open = false;
	if (w->root == NULL)
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

/* next_own -- the next key that the transaction in use has written. */
static void
next_own(Walking *w)
{
	Source	   *s = &w->source[OWN];

	s->open = false;
	if (likely(store__txn == NULL || w->at != NULL))
		return;					/* nothing is written beside a snapshot */
	while (store__txn_entry(store__txn, w->own, &s->key, &s->key_len, &s->view))
	{
		if (s->key_len < w->prefix_len || memcmp(s->key, prefix_buffer, w->prefix_len) != 0)
			return;
		w->own += w->walk->backward ? -1 : 1;
		if (s->view.lsn == STORE_LSN_PENDING)
		{
			s->open = true;
			s->hidden = !s->view.exists;
			return;
		}
	}
}

/* seek_own -- from the bound, or from the edge of the prefix. */
static void
seek_own(Walking *w, const uint8 *key, uint32 len, bool exclusive)
{
	bool		backward = w->walk->backward;
	uint8		edge[KEY_MAX];
	uint32		edge_len = w->prefix_len;

	if (key != NULL)
	{
		int			order = memcmp(key, prefix_buffer, Min(len, edge_len));

		/* a bound that lies before all keys with the prefix is its edge; the successor of what was hopped over may be shorter than the prefix */
		if (backward ? order <= 0 : order > 0 || (order == 0 && len >= edge_len))
		{
			w->own = store__txn_seek(store__txn, key, len, exclusive, backward);
			return;
		}
	}
	memcpy(edge, prefix_buffer, edge_len);
	if (backward && !prefix_successor(edge, &edge_len))
		NotReached();			/* a tree's id is never all ones */
	w->own = store__txn_seek(store__txn, edge, edge_len, backward, backward);
}

static void (*const next_of[SOURCES]) (Walking *w) = {[OWN] = next_own, [OVERLAY] = next_overlay, [DISK] = next_disk};

/* seek -- the sources named by bits in 'which' to where the walk goes on, and their first keys. */
static void
seek(Walking *w, uint32 which)
{
	const StoreWalk *walk = w->walk;
	uint32		prefix_len = store__build_key(prefix_buffer, w->tree_id, walk->prefix, walk->prefix_len);
	const uint8 *key = NULL;
	uint32		len = 0;

	w->prefix_len = prefix_len;
	if (!walk->from_edge)
	{
		len = store__build_key(seek_buffer, w->tree_id, walk->key, walk->key_len);
		key = seek_buffer;
	}
	if (which & 1u << OVERLAY)
	{
		art_expect(w->cursor, walk->expected, walk->with_values);
		art_seek(w->cursor, &store_shared->root, prefix_buffer, prefix_len, key, len, !walk->from_edge && walk->exclusive,
				 walk->backward);
	}
	if ((which & 1u << DISK) && w->root != NULL)
		base_seek(base_cursor, w->root, prefix_buffer, prefix_len, key, len,
				  !walk->from_edge && walk->exclusive, walk->backward, PAGES_AHEAD, store__keep());
	if ((which & 1u << OWN) && unlikely(store__txn != NULL && w->at == NULL))
		seek_own(w, key, len, walk->exclusive);
	for (int i = 0; i < SOURCES; i++)
		if (which & 1u << i)
			next_of[i](w);
}

/* compare -- < 0: a's key comes first in the walk's direction, 0: they are equal; both are open. */
static int
compare(const Walking *w, const Source *a, const Source *b)
{
	int			result = memcmp(a->key, b->key, Min(a->key_len, b->key_len));

	if (result == 0)
		result = a->key_len < b->key_len ? -1 : a->key_len > b->key_len;
	return w->walk->backward ? -result : result;
}

/*
 * pick -- the source whose key comes next, and counts; *equal: bits of all that stand on
 * that key.  -1: all have ended.  A bar comes after a key at the same place.
 */
static int
pick(const Walking *w, uint32 *equal)
{
	int			best = -1;

	if (likely(!w->source[OWN].open && !w->source[DISK].open))
	{
		*equal = 1u << OVERLAY;
		return w->source[OVERLAY].open ? OVERLAY : -1;
	}
	*equal = 0;
	for (int i = 0; i < SOURCES; i++)
	{
		const Source *s = &w->source[i];
		int			order;

		if (!s->open)
			continue;
		order = best < 0 ? -1 : compare(w, s, &w->source[best]);
		if (order < 0)
			*equal = 0;
		if (order <= 0)
			*equal |= 1u << i;
		if (order < 0 || (order == 0 && w->source[best].bar))
			best = i;
	}
	return best;
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

/* hop_over -- the sources behind all keys that begin with the first 'len' bytes (with tree id) of the key in hand; the walk's bound stands there. */
static void
hop_over(Walking *w, const uint8 *key, uint32 len)
{
	uint32		which = 0;

	for (uint32 i = 0; i < SOURCES; i++)
	{
		const Source *s = &w->source[i];

		if (s->open && s->key_len >= len && memcmp(s->key, key, len) == 0)
			which |= 1u << i;
	}
	if (which & 1u << OVERLAY)
	{
		art_hop(w->cursor, key, len);
		next_overlay(w);
	}
	if (which & ~(1u << OVERLAY))
		seek(w, which & ~(1u << OVERLAY));
}

/* begin -- inside the epoch: tree, gate, whether the base is to be looked at. */
static void
begin(Walking *w, StoreWalk *walk)
{
	const BaseRoot *root = &store__base()->root;
	Lsn			map_lsn;
	uint32		prefix_len;

	memset(w, 0, sizeof(*w));
	w->walk = walk;
	w->cursor = art_cursor(0);
	w->trouble = BASE_FOUND;
	w->at = store_snapshot_in_use;
	if (unlikely(w->at != NULL))
	{
		w->tree_id = w->at->tree_id[walk->db];
		walk->gate = Max(walk->gate, w->at->at);
		w->root = w->at->root.page.number != 0 ? &w->at->root : NULL;
		return;
	}
	w->tree_id = store__tree_id_of(walk->db);
	/* relaxed: stored before map_now, read by acquire [store-map] */
	map_lsn = atomic_load_explicit(&store_shared->map_lsn[walk->db], memory_order_relaxed);
	walk->gate = Max(walk->gate, map_lsn);
	prefix_len = store__build_key(prefix_buffer, w->tree_id, walk->prefix, walk->prefix_len);
	if (root->page.number != 0 && !art_prefix_complete(&store_shared->root, prefix_buffer, prefix_len))
		w->root = root;
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
	const uint8 *last = NULL;	/* the walk goes on behind this key; NULL: walk->key says where */
	uint32		last_len = 0;

	seek(w, EVERY_SOURCE);
	while (w->trouble == BASE_FOUND && steps < max_steps)
	{
		uint32		equal;
		int			first = pick(w, &equal);
		const Source *s = &w->source[Max(first, 0)];
		Shown		shown = SHOWN_ON;

		if (first < 0)
		{
			walk->done = true;
			break;
		}
		steps++;
		if (unlikely(s->bar))
		{
			remember(walk, s->key + 4, s->key_len - 4, true);
			return steps;
		}
		if (likely(first != OWN))
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
			return steps;
		if (shown == SHOWN_HOPPED)
		{
			last = NULL;
			hop_over(w, s->key, walk->hop_len + 4);
			continue;
		}
		/* before the cursors move: the base's key lies in its cursor; the others stay within the epoch */
		last = first != DISK ? s->key + 4 : NULL;
		last_len = s->key_len - 4;
		if (first == DISK)
			remember(walk, s->key + 4, last_len, true);
		if (likely(equal == 1u << OVERLAY))
			next_overlay(w);
		else
			for (int i = 0; i < SOURCES; i++)
				if (equal & 1u << i)
					next_of[i](w);
	}
	if (last != NULL)
		remember(walk, last, last_len, true);
	return steps;
}

StoreStatus
store_walk(StoreWalk *walk, uint32 max_steps, StoreWalkShow show, void *arg)
{
	Walking		w;
	uint32		steps;

	walk->done = false;
	if (unlikely(store__txn != NULL && store_snapshot_in_use == NULL))
	{
		/* what is walked over stays as it is until the transaction ends */
		StoreStatus status = store_txn_range(store__txn, walk->db, walk->prefix, walk->prefix_len);

		if (status != STORE_OK)
			return status;
		store__txn_sort(store__txn);	/* takes memory: not inside the epoch */
	}
	for (;;)
	{
		epoch_enter();
		begin(&w, walk);
		if (w.root != NULL && (store__keep() == NULL || base_cursor == NULL))
		{
			epoch_leave();
			store__keep_make();
			if (base_cursor == NULL)
				base_cursor = base_cursor_create();
			continue;
		}
		steps = walk_piece(&w, max_steps, show, arg);
		if (unlikely(w.at != NULL) && !store__snapshot_alive(w.at))
			w.parked = STORE_SNAPSHOT_ENDED;
		epoch_leave();
		if (unlikely(w.parked == STORE_SNAPSHOT_ENDED))
			return STORE_SNAPSHOT_ENDED;
		if (w.trouble == BASE_MISS)
			base_read_start(store__keep());
		else if (w.root != NULL)
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
