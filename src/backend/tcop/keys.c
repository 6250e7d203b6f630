/*
 * keys.c -- commands on keys whatever their value: DEL UNLINK EXISTS TOUCH TYPE
 * RANDOMKEY.  (Those that move keys are in keys_move.c, deadlines in expire.c.)
 */
#include "common/c.h"

#include <bsd/stdlib.h>

#include "tcop/strings_internal.h"

static StoreAction
decide_delete(const StoreView *view, StoreChange *change, void *arg)
{
	(void) change;
	(void) arg;
	return view->exists ? STORE_DELETE : STORE_KEEP;
}

static TcopResult
delete_all(Session *s)
{
	uint32		done = 0;
	StoreKey	key;

	if (s->step == 0)
	{
		if (!tcop__arg_keys(s, 1))
			return TCOP_DONE;
		s->step = 1;
	}
	for (; s->step < s->argc; s->step++)
	{
		StoreStatus status;
		StoreWritten w;
		TcopResult	result;

		if (done++ == TCOP_KEYS_PER_RUN)
			return TCOP_AGAIN;
		key = (StoreKey) {s->db, (uint32) s->argv[s->step].len, s->argv[s->step].data};
		status = store_write_head(&key, decide_delete, NULL, &w);
		tcop__changed(s, &w);
		if (!tcop__status(s, status, &result))
		{
			if (result == TCOP_PARK_PAGE)
				tcop__read_ahead(s, s->step + 1, TCOP_AHEAD_KEYS);
			return result;
		}
		if (w.changed)
			tcop__notify(s, NOTIFY_GENERIC, "del", &key);
		s->count += w.changed;
	}
	reply_int(&s->out, s->count);
	return TCOP_DONE;
}

/* tcop__del -- several keys go at one moment, or, when an error is answered, none does. */
TcopResult
tcop__del(Session *s)
{
	return s->argc == 2 ? delete_all(s) : tcop__atomically(s, delete_all);
}

TcopResult
tcop__exists(Session *s)
{
	return tcop__read_several(s, false);
}

/* tcop__touch -- reading marks what is read as recently used, and so does this. */
TcopResult
tcop__touch(Session *s)
{
	return tcop__read_several(s, false);
}

static void
show_exists(const StoreView *view, void *arg)
{
	*(bool *) arg = view->exists;
}

TcopResult
tcop__type(Session *s)
{
	StoreKey	key;
	TcopResult	result;
	bool		exists;

	if (!tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	if (!tcop__status(s, store_read_head(&key, show_exists, &exists, &s->gate), &result))
		return result;
	tcop__looked(s, 1, exists);
	reply_simple(&s->out, exists ? "string" : "none");
	return TCOP_DONE;
}

/* ---- RANDOMKEY ---- */
/*
 * The keys in order are a tree: at each place where keys of a prefix go different
 * ways, one byte decides.  We go down from the top: find the first and the last
 * key of the prefix, and with them how far all its keys agree; draw one of the
 * bytes that may follow, from the first key's to the last one's; the key at it, or
 * the nearest before or behind it, tells the prefix to go on with.  So every key
 * can be drawn, and the sub-trees of one place about equally often, but for gaps
 * between their bytes, however many keys they hold.
 *
 * After ROUNDS_MAX such steps the key that was found last is as good as another.
 * A key that goes while we look for it sends us back to the top; RESTARTS_MAX
 * times, then the last key that was seen is answered: it was there when the
 * command had begun.
 */
#define ROUNDS_MAX 16
#define RESTARTS_MAX 8
#define SEEKS_PER_RUN 32
#define STEPS_PER_SEEK 64

typedef struct KeyFound
{
	bool		found;
	uint32		len;
	uint8		data[KEY_USER_MAX];
} KeyFound;

typedef struct RandomKey
{
	enum { SEEK_FIRST, SEEK_LAST, SEEK_DRAWN } what;
	uint32		rounds;
	uint32		restarts;
	StoreWalk	walk;			/* of the key that is being looked for; its prefix is where we stand */
	KeyFound	first;
	KeyFound	last;
	KeyFound	drawn;
} RandomKey;

static StoreWalkNext
show_found(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg)
{
	KeyFound   *found = arg;

	(void) walk;
	(void) view;
	found->found = true;
	found->len = key_len;
	memcpy(found->data, key, key_len);
	return STORE_WALK_STOP;
}

/* look_for -- the next thing to look for, from the edge of the prefix. */
static void
look_for(RandomKey *r, int what)
{
	r->what = what;
	r->walk.backward = what == SEEK_LAST;
	r->walk.from_edge = true;
	r->walk.exclusive = false;
}

/* top -- everything from the beginning. */
static void
top(RandomKey *r)
{
	r->walk.prefix_len = 0;
	look_for(r, SEEK_FIRST);
}

static void
go_down(RandomKey *r, const KeyFound *key, uint32 len)
{
	memcpy(r->walk.prefix, key->data, len);
	r->walk.prefix_len = len;
	look_for(r, SEEK_FIRST);
}

/* draw -- first and last are known and differ: what to look for next; false: it is first. */
static bool
draw(RandomKey *r)
{
	const KeyFound *a = &r->first;
	const KeyFound *b = &r->last;
	uint32		same = r->walk.prefix_len;
	int			low;
	int			drawn;

	while (same < a->len && same < b->len && a->data[same] == b->data[same])
		same++;
	low = same < a->len ? a->data[same] : -1;	/* -1: the key that ends here */
	drawn = low + (int) arc4random_uniform((uint32) (b->data[same] - low + 1));
	if (drawn < 0)
		return false;
	look_for(r, SEEK_DRAWN);
	r->walk.from_edge = false;
	r->walk.backward = arc4random_uniform(2) != 0;
	memcpy(r->walk.prefix, a->data, same);
	r->walk.prefix_len = same;
	memcpy(r->walk.key, a->data, same);
	/* forward from the first key that has this byte there, backward from the first that has a greater one */
	r->walk.key[same] = (uint8) (drawn + (r->walk.backward && drawn < 0xff));
	r->walk.key_len = same + 1;
	if (r->walk.backward && drawn == 0xff)
		r->walk.from_edge = true;
	r->walk.exclusive = r->walk.backward;
	return true;
}

/* order -- < 0: a comes before b. */
static int
order(const KeyFound *a, const KeyFound *b)
{
	int			result = memcmp(a->data, b->data, Min(a->len, b->len));

	return result != 0 ? result : (int) a->len - (int) b->len;
}

/* again -- what we looked for has gone: from the top, or the key to answer when that has happened too often. */
static const KeyFound *
again(RandomKey *r)
{
	if (++r->restarts > RESTARTS_MAX)
		return &r->first;
	top(r);
	return NULL;
}

/* sought -- a seek has ended; the key to answer, or NULL: look for the next; *none: there is no key at all. */
static const KeyFound *
sought(RandomKey *r, bool *none)
{
	KeyFound   *now = r->what == SEEK_FIRST ? &r->first : r->what == SEEK_LAST ? &r->last : &r->drawn;

	*none = false;
	if (!now->found)
	{
		*none = r->what == SEEK_FIRST && r->walk.prefix_len == 0;
		return *none ? NULL : again(r);
	}
	switch (r->what)
	{
		case SEEK_FIRST:
			look_for(r, SEEK_LAST);
			return NULL;
		case SEEK_LAST:
			if (order(&r->first, &r->last) == 0)
				return &r->last;
			if (order(&r->first, &r->last) > 0)
				return again(r);
			return draw(r) ? NULL : &r->first;
		case SEEK_DRAWN:
			if (++r->rounds == ROUNDS_MAX)
				return &r->drawn;
			if (r->drawn.len == r->walk.prefix_len)
				return &r->drawn;	/* the key that ends here, before all others */
			go_down(r, &r->drawn, r->walk.prefix_len + 1);
			return NULL;
	}
	NotReached();
}

TcopResult
tcop__randomkey(Session *s)
{
	RandomKey  *r = s->state;

	if (r == NULL)
	{
		r = tcop__state(s, sizeof(RandomKey), NULL);
		r->walk.db = s->db;
		top(r);
	}
	for (uint32 seeks = 0; seeks < SEEKS_PER_RUN; seeks++)
	{
		KeyFound   *to = r->what == SEEK_FIRST ? &r->first : r->what == SEEK_LAST ? &r->last : &r->drawn;
		const KeyFound *answer;
		StoreStatus status;
		TcopResult	result;
		bool		none;

		to->found = false;
		status = store_walk(&r->walk, STEPS_PER_SEEK, show_found, to);
		s->gate = Max(s->gate, r->walk.gate);
		if (!tcop__status(s, status, &result))
			return result;
		if (!to->found && !r->walk.done)
			continue;			/* tombstones; it goes on behind them */
		answer = sought(r, &none);
		if (answer != NULL)
			reply_bulk(&s->out, answer->data, answer->len);
		else if (none)
			reply_null(&s->out);
		else
			continue;
		return TCOP_DONE;
	}
	return TCOP_AGAIN;
}
