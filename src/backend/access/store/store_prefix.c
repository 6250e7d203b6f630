/*
 * store_prefix.c -- the longest key that a key begins with.
 *
 * Overlay: one descent meets all candidates (art_prefixes.c).  Base: the greatest key
 * at or below the bound is a candidate, or has no more than its first c bytes in
 * common with the key; then no candidate is longer than c (one that were would stand
 * between the two), and the search goes on with the bound cut to c bytes.  So each seek
 * in the base makes the bound shorter, and there are about as many as the base has
 * branches beside the key's way; none where COMPLETE covers what is longer than the
 * overlay's answer.
 *
 * One moment.  All of it happens in one epoch, and the descent is done a second time
 * at the end.  If it meets the same leaves, and each still stands for the same
 * version (a transaction that was decided in between changes that), then nothing on
 * the way changed in between; and what the base says of a key without a leaf holds
 * as long as there is none (store.c).  Otherwise everything is done again.
 *
 * Workers; nothing blocks: a page that must be read parks the command.
 */
#include "common/c.h"

#include "access/store/evict.h"
#include "access/store/store_internal.h"

#define TRIES 8					/* in one epoch, while others change what is looked at */

/* Way -- what one descent has met, and what it stands for */
typedef struct Way
{
	uint32		count;
	uint32		complete_from;
	Leaf	   *found[KEY_MAX + 1];
	const Leaf *leaf[KEY_MAX + 1];	/* resolved; NULL: the base counts */
} Way;

/* Search -- inside one epoch */
typedef struct Search
{
	const uint8 *key;			/* with tree id */
	uint32		key_len;
	const uint8 *allowed;
	int32		best;			/* length with tree id, -1: none yet */
	Leaf	   *best_leaf;
	Lsn			gate;
	StoreStatus parked;			/* a deadline that has passed is not in the log yet */
	bool		no_keep;		/* outside the epoch: store__keep_make, once more */
	bool		unstable;		/* others changed what is looked at, each time */
} Search;

static _Thread_local Way way[2];
static _Thread_local uint8 key_buffer[KEY_MAX];
static _Thread_local BaseCursor *cursor;

static void
descend(const Search *s, Way *w)
{
	w->count = art_prefixes(&store_shared->root, s->key, s->key_len, w->found, &w->complete_from);
	for (uint32 i = 0; i < w->count; i++)
		w->leaf[i] = store__resolve(w->found[i]);
}

static bool
same(const Way *a, const Way *b)
{
	if (a->count != b->count)
		return false;
	for (uint32 i = 0; i < a->count; i++)
		if (a->found[i] != b->found[i] || a->leaf[i] != b->leaf[i])
			return false;
	return true;
}

/* allowed -- may the answer have this length (with tree id)? */
static bool
allowed(const Search *s, uint32 len)
{
	return s->allowed == NULL || (s->allowed[(len - 4) / 8] >> ((len - 4) % 8) & 1) != 0;
}

/* counts -- is this candidate there?  What it says of itself gates the answer either way. */
static bool
counts(Search *s, const StoreView *view)
{
	s->gate = Max(s->gate, view->lsn);
	if (unlikely(view->present && !view->exists) && s->parked == STORE_OK)
		s->parked = store__expired_gate(view->expiry, &s->gate);
	return view->exists;
}

static void
search_overlay(Search *s, const Way *w)
{
	for (uint32 i = w->count; i > 0; i--)
	{
		const Leaf *leaf = w->leaf[i - 1];
		StoreView	view;

		if (leaf == NULL || !allowed(s, leaf->key_len))
			continue;
		store__view_leaf(&view, leaf);
		if (!counts(s, &view))
			continue;
		s->best = leaf->key_len;
		s->best_leaf = w->found[i - 1];
		return;
	}
}

/* in_overlay -- does the overlay speak for the candidate of this length? */
static bool
in_overlay(const Way *w, uint32 len)
{
	for (uint32 i = w->count; i > 0 && w->found[i - 1]->key_len >= len; i--)
		if (w->found[i - 1]->key_len == len)
			return w->leaf[i - 1] != NULL;
	return false;
}

/* search_base -- candidates longer than the best so far, for which the overlay does not speak. */
static BaseResult
search_base(Search *s, const Way *w, const StoreBase *base)
{
	uint32		shortest = s->best >= 0 ? (uint32) s->best + 1 : 4;
	uint32		bound = Min(s->key_len, w->complete_from - 1);

	if (w->complete_from <= shortest)
		return BASE_ABSENT;
	if (store__keep() == NULL)
	{
		s->no_keep = true;
		return BASE_MISS;
	}
	while (bound >= shortest)
	{
		const uint8 *key;
		uint32		len;
		uint32		common = 0;
		BaseValue	value;
		BaseResult	result;
		StoreView	view;

		if (!allowed(s, bound))
		{
			bound--;
			continue;
		}
		base_seek(cursor, &base->root, s->key, 4, s->key, bound, false, true, 0, store__keep());
		result = base_next(cursor, false, &key, &len, &value);
		if (result != BASE_FOUND)
			return result;
		while (common < len && key[common] == s->key[common])
			common++;
		if (common < len)
		{
			Assert(common < bound);
			bound = common;
			continue;
		}
		bound = len - 1;
		if (len < shortest || in_overlay(w, len) || !allowed(s, len))
			continue;
		store__view_base(&view, &value);
		if (!counts(s, &view))
			continue;
		s->best = (int32) len;
		s->best_leaf = NULL;
		return BASE_FOUND;
	}
	return BASE_ABSENT;
}

/* search -- inside the epoch; BASE_FOUND: it is over. */
static BaseResult
search(Search *s)
{
	const StoreBase *base = store__base();

	for (int i = 0; i < TRIES; i++)
	{
		s->best = -1;
		s->best_leaf = NULL;
		s->parked = STORE_OK;
		descend(s, &way[0]);
		search_overlay(s, &way[0]);
		if (base->root.page.number != 0 && s->parked == STORE_OK)
		{
			BaseResult	result = search_base(s, &way[0], base);

			if (result == BASE_MISS || result == BASE_CORRUPT)
				return result;
		}
		descend(s, &way[1]);
		if (same(&way[0], &way[1]))
			return BASE_FOUND;
	}
	s->unstable = true;
	return BASE_FOUND;
}

StoreStatus
store_longest_prefix(const StoreKey *key, const uint8 *allowed_lengths, int32 *len, Lsn *gate)
{
	Assert(store__txn == NULL);
	for (;;)
	{
		Search		s = {.key = key_buffer, .allowed = allowed_lengths};
		BaseResult	result;

		epoch_enter();
		s.key_len = store__build_key(key_buffer, store__tree_id(store__tree_index(key->db)), key->data, key->len);
		/* relaxed: stored before map_now, read by acquire [store-map] */
		s.gate = atomic_load_explicit(&store_shared->map_lsn[key->db], memory_order_relaxed);
		result = search(&s);
		if (s.best_leaf != NULL && unlikely(evict_mark_recent()))
			art_mark_recent(s.best_leaf);
		epoch_leave();
		if (s.no_keep)
		{
			store__keep_make();
			if (cursor == NULL)
				cursor = base_cursor_create();
			continue;
		}
		*gate = Max(*gate, s.gate);
		*len = s.best >= 0 ? s.best - 4 : -1;
		if (result == BASE_CORRUPT)
			return STORE_CORRUPT;
		if (result != BASE_MISS)
			return s.parked != STORE_OK ? s.parked : s.unstable ? STORE_PARK_MAP : STORE_OK;
		base_read_start(store__keep());
		if (base_keep_pending(store__keep()) > 0)
			return STORE_PARK_PAGE;
	}
}
