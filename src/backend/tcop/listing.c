/*
 * listing.c -- the machine of all commands that walk: KEYS SCAN RANGE LIST COUNTPREFIX.
 *
 * A walk of bounded steps per epoch, some epochs per run, runs until the answer is
 * complete, other clients served in between.  What is shown is appended to the
 * output as it comes; counts and the place to go on at, which stand first in the
 * reply, are put in front at the end.
 *
 * Nothing allocates inside the epoch: an item for which the output has no room
 * ends the walk before it, room is made, the walk goes on at it.  A value too
 * long for that is copied in pieces (value.c).
 *
 * A walk may meet pages that must be read first: then the command parks, with what
 * it has shown in the output and where it stands in 'walk', and the next run goes on.
 *
 * Every answer is gated by all that the walk looked at, deletions too.
 */
#include "common/c.h"

#include "tcop/listing_internal.h"

#define ITEM_FRAME 96			/* headers of an item: array, key, value, version */

static Listing *spare;			/* one is kept: it is large */

static void
listing_free(void *state)
{
	Listing    *l = state;

	output_free(&l->prefixes);
	if (spare == NULL)
		spare = l;
	else
		free(l);
}

Listing *
tcop__listing_new(Session *s)
{
	Listing    *l = spare;

	spare = NULL;
	if (l == NULL)
	{
		l = malloc(sizeof(Listing));
		Verify(l != NULL);
	}
	/* the key buffers are left as they are: their lengths say what counts */
	l->walk.db = s->db;
	l->walk.backward = false;
	l->walk.from_edge = true;
	l->walk.exclusive = false;
	l->walk.key_len = l->walk.prefix_len = l->walk.hop_len = 0;
	l->walk.with_values = false;
	l->walk.expected = 0;
	l->walk.done = false;
	l->walk.gate = LSN_NONE;
	memset((char *) l + offsetof(Listing, session), 0, offsetof(Listing, last_copy) - offsetof(Listing, session));
	l->session = s;
	l->limit = -1;
	l->last.kind = BOUND_HIGHEST;
	s->state = l;
	s->state_free = listing_free;
	return l;
}

void
tcop__listing_begin(Listing *l)
{
	l->begin = output_begin(&l->session->out);
	l->pending_first = l->session->pending_count;
}

void
tcop__listing_end(Listing *l, const void *header, size_t len)
{
	Session    *s = l->session;

	output_insert(&s->out, l->begin, header, len);
	output_end(&s->out, l->begin);
	for (uint32 i = l->pending_first; i < s->pending_count; i++)
		s->pending[i] += len;	/* versions that wait for the commit stand that much further on */
}

int
tcop__key_compare(const uint8 *a, size_t a_len, const uint8 *b, size_t b_len)
{
	size_t		common = Min(a_len, b_len);
	int			c = common > 0 ? memcmp(a, b, common) : 0;

	return c != 0 ? c : (a_len > b_len) - (a_len < b_len);
}

/* A key outside the prefix means its nearer edge, or that nothing is left. */
void
tcop__listing_start(Listing *l, const uint8 *key, size_t len, bool exclusive)
{
	StoreWalk  *w = &l->walk;

	if (len < w->prefix_len || memcmp(key, w->prefix, w->prefix_len) != 0)
	{
		bool		below = tcop__key_compare(key, len, w->prefix, w->prefix_len) < 0;

		if (below == w->backward)
			l->exhausted = true;
		w->from_edge = true;
		return;
	}
	if (len > KEY_USER_MAX)
	{
		/* longer than any key: cut, it stands behind everything that it then begins with */
		len = KEY_USER_MAX;
		exclusive = !w->backward;
	}
	w->from_edge = false;
	w->exclusive = exclusive;
	w->key_len = (uint32) len;
	if (len > 0)
		memcpy(w->key, key, len);
}

void
tcop__listing_prefix(Listing *l, const void *prefix, size_t len)
{
	if (len > KEY_USER_MAX)
	{
		l->exhausted = true;
		return;
	}
	l->walk.prefix_len = (uint32) len;
	if (len > 0)
		memcpy(l->walk.prefix, prefix, len);
}

/* ---- items ---- */

static inline uint8 *
end_line(uint8 *to)
{
	memcpy(to, "\r\n", 2);
	return to + 2;
}

StoreWalkNext
tcop__listing_item(Listing *l, const uint8 *key, uint32 key_len, const StoreView *view)
{
	Output	   *o = &l->session->out;
	uint8	   *start;
	uint8	   *to;
	uint64		need = key_len + ITEM_FRAME + (l->with_values ? view->value_len : 0);

	if (need > TCOP_VALUE_DIRECT || unlikely(l->with_versions && view->lsn == STORE_LSN_PENDING))
	{
		l->apart = true;
		l->value = (ValueRead) {.exists = true, .len = view->value_len, .version = view->lsn};
		return STORE_WALK_STOP_BEFORE;
	}
	if (output_tail_room(o) < need)
	{
		l->need = (uint32) need;
		return STORE_WALK_STOP_BEFORE;
	}
	to = start = o->tail->data + o->tail->end;
	if (l->with_values || l->with_versions)
		to += reply_header(to, '*', (uint64) 1 + l->with_values + l->with_versions);
	to += reply_header(to, '$', key_len);
	memcpy(to, key, key_len);
	l->last_key = to;
	l->last_key_len = key_len;
	l->last_is_prefix = false;
	to = end_line(to + key_len);
	if (l->with_values)
	{
		to += reply_header(to, '$', view->value_len);
		if (view->value_len > 0)
			store_view_copy(view, 0, view->value_len, to);
		to = end_line(to + view->value_len);
	}
	output_advance(o, (uint32) (to - start));
	if (l->with_versions)
		reply_int(o, (int64) view->lsn);
	l->items++;
	return STORE_WALK_ON;
}

/* item_begin -- the item's frame and key; its value follows. */
static void
item_begin(Session *s, Listing *l)
{
	l->item_start = s->out.appended;
	reply_array(&s->out, (uint64) 1 + l->with_values + l->with_versions);
	reply_bulk(&s->out, l->walk.key, l->walk.key_len);
}

/* item_end -- the item is complete: the walk goes on behind it. */
static void
item_end(Session *s, Listing *l)
{
	if (l->with_versions)
		tcop__reply_version(s, l->value.version);
	memcpy(l->last_copy, l->walk.key, l->walk.key_len);
	l->last_key = l->last_copy;
	l->last_key_len = l->walk.key_len;
	l->last_is_prefix = false;
	l->apart = l->whole = false;
	l->tries = 0;
	l->items++;
	l->walk.exclusive = true;
}

/* item_whole -- TCOP_AGAIN: the item is over, or has gone; the walk goes on. */
static TcopResult
item_whole(Session *s, Listing *l, const StoreKey *key)
{
	TcopResult	result;

	item_begin(s, l);
	if (!tcop__status(s, tcop__value_whole(s, key, &l->value), &result))
	{
		if (result != TCOP_DONE)
			output_cut(&s->out, l->item_start);	/* parked: the next run begins it again */
		return result;
	}
	if (s->out.overflow)
		return TCOP_DONE;
	if (l->value.exists)
		item_end(s, l);
	else
	{
		output_cut(&s->out, l->item_start);
		l->apart = l->whole = false;
	}
	return TCOP_AGAIN;
}

/* item_apart -- the walk stopped at an item that it could not show: all of it, or another portion of its value. */
static TcopResult
item_apart(Session *s, Listing *l)
{
	StoreKey	key = {l->walk.db, l->walk.key_len, l->walk.key};
	TcopResult	result;

	if (l->whole)
		return item_whole(s, l, &key);
	if (!l->value.begun)
		item_begin(s, l);
	if (!l->with_values)
	{
		item_end(s, l);
		return TCOP_AGAIN;
	}
	switch (tcop__value_piece(s, &key, &l->value))
	{
		case VALUE_MORE:
			break;
		case VALUE_OVERFLOW:
			return TCOP_DONE;
		case VALUE_STATUS:
			if (tcop__status(s, l->value.status, &result))
				NotReached();
			return result;
		case VALUE_DONE:
			item_end(s, l);
			break;
		case VALUE_CHANGED:
			output_cut(&s->out, l->item_start);
			if (++l->tries < TCOP_VALUE_TRIES)
				l->apart = false;	/* the walk meets it again as it is now */
			else
				l->whole = true;
			break;
	}
	return TCOP_AGAIN;
}

TcopResult
tcop__listing_walk(Listing *l, StoreWalkShow show)
{
	Session    *s = l->session;

	for (int i = 0; i < TCOP_WALKS_PER_RUN && !l->exhausted; i++)
	{
		TcopResult	result;
		StoreStatus status;

		if (l->apart)
		{
			result = item_apart(s, l);
			if (l->apart || result != TCOP_AGAIN)
				return result;
		}
		if (!output_room(&s->out, output_pending(&l->prefixes)))
			return TCOP_DONE;
		(void) output_reserve(&s->out, Max(l->need, (uint32) 512));
		if (l->delimiter.len > 0)
			(void) output_reserve(&l->prefixes, Max(l->need_prefix, (uint32) 512));
		l->need = l->need_prefix = 0;
		/* one with a delimiter may hop from each key that it comes to */
		if (l->delimiter.len == 0)
			l->walk.expected = l->limit < 0 ? TCOP_WALK_STEPS : (uint32) Min(l->limit - Max(l->items, l->seen), TCOP_WALK_STEPS - 1) + 1;
		status = store_walk(&l->walk, TCOP_WALK_STEPS, show, l);
		s->gate = Max(s->gate, l->walk.gate);
		if (!tcop__status(s, status, &result))
			return result;
		if (l->walk.done)
			l->exhausted = true;
	}
	return l->exhausted ? TCOP_DONE : TCOP_AGAIN;
}
