/*
 * scan.c -- commands that walk: KEYS SCAN RANGE LIST.
 *
 * All four are one machine: a walk of bounded steps per epoch, some epochs per
 * run, runs until the answer is complete, other clients served in between.  What
 * is shown is appended to the output as it comes; counts and the place to go on
 * at, which stand first in the reply, are put in front at the end.
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
#include "access/store/evict.h"
#include "tcop/tcop_internal.h"

#define COUNT_DEFAULT 1000
#define SCAN_COUNT_DEFAULT 10
#define ITEM_FRAME 96			/* headers of an item: array, key, value, version */

typedef enum BoundKind
{
	BOUND_LOWEST,				/* - */
	BOUND_HIGHEST,				/* + */
	BOUND_WITH,					/* [key */
	BOUND_WITHOUT				/* (key */
} BoundKind;

typedef struct Bound
{
	BoundKind	kind;
	const uint8 *key;
	size_t		len;
} Bound;

typedef struct Listing
{
	StoreWalk	walk;
	Session    *session;
	OutChunk   *begin;
	bool		exhausted;		/* the walk need not go on */
	bool		walked;			/* SCAN: only the cursor is still to be saved */
	bool		more;			/* ... because COUNT is reached and something follows */
	uint32		need;			/* room the next item asks for; 0: it was not that */
	uint32		need_prefix;	/* the same in 'prefixes' */
	int64		items;
	int64		limit;			/* items (and prefixes) at most; -1: no bound */
	int64		seen;			/* live keys looked at: SCAN's COUNT */
	/* KEYS, SCAN */
	const BytePart *pattern;	/* NULL: every key */
	bool		exact;			/* the pattern has no wildcard */
	bool		type_excluded;	/* TYPE asks for what there is not */
	/* RANGE, LIST */
	Bound		last;			/* the walk ends behind it */
	bool		with_values;
	bool		with_versions;
	const uint8 *last_key;		/* last item or prefix: where it stands in the output, or last_copy */
	uint32		last_key_len;
	bool		last_is_prefix;
	uint32		delimiter_arg;	/* 0: none */
	BytePart	delimiter;
	Output		prefixes;
	int64		prefix_count;
	/* an item whose value goes out in pieces; its key is walk.key */
	bool		in_value;
	bool		whole;			/* it changes too fast for pieces: it is copied in one go */
	uint64		item_start;		/* out.appended before it */
	uint32		tries;
	ValueRead	value;
	uint8		last_copy[KEY_USER_MAX];
} Listing;

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

static Listing *
listing_begin(Session *s)
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

static int
key_compare(const uint8 *a, size_t a_len, const uint8 *b, size_t b_len)
{
	size_t		common = Min(a_len, b_len);
	int			c = common > 0 ? memcmp(a, b, common) : 0;

	return c != 0 ? c : (a_len > b_len) - (a_len < b_len);
}

/*
 * start_at -- the walk begins at (or, exclusive, behind) this key, in its
 * direction.  A key outside the prefix means its nearer edge, or that nothing is
 * left.
 */
static void
start_at(Listing *l, const uint8 *key, size_t len, bool exclusive)
{
	StoreWalk  *w = &l->walk;

	if (len < w->prefix_len || memcmp(key, w->prefix, w->prefix_len) != 0)
	{
		bool		below = key_compare(key, len, w->prefix, w->prefix_len) < 0;

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

/* prefix_set -- only keys that begin with these bytes. */
static void
prefix_set(Listing *l, const void *prefix, size_t len)
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

/* pattern_set -- KEYS and SCAN: walk only where the pattern's fixed beginning allows. */
static void
pattern_set(Listing *l, const BytePart *pattern)
{
	uint8		prefix[KEY_USER_MAX + 1];
	size_t		len = pattern_prefix(pattern->data, pattern->len, prefix, sizeof(prefix));

	l->pattern = pattern;
	prefix_set(l, prefix, len);
	l->exact = pattern->len == len && memcmp(pattern->data, prefix, len) == 0;
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
		reply_int(&s->out, (int64) l->value.version);
	memcpy(l->last_copy, l->walk.key, l->walk.key_len);
	l->last_key = l->last_copy;
	l->last_key_len = l->walk.key_len;
	l->last_is_prefix = false;
	l->in_value = l->whole = false;
	l->tries = 0;
	l->items++;
	l->walk.exclusive = true;
}

/* long_value_whole -- TCOP_AGAIN: the item is over, or has gone; the walk goes on. */
static TcopResult
long_value_whole(Session *s, Listing *l, const StoreKey *key)
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
		l->in_value = l->whole = false;
	}
	return TCOP_AGAIN;
}

/* long_value -- the walk stopped at an item with a long value: another portion of it. */
static TcopResult
long_value(Session *s, Listing *l)
{
	StoreKey	key = {l->walk.db, l->walk.key_len, l->walk.key};
	TcopResult	result;

	if (l->whole)
		return long_value_whole(s, l, &key);
	if (!l->value.begun)
		item_begin(s, l);
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
				l->in_value = false;	/* the walk meets it again as it is now */
			else
				l->whole = true;
			break;
	}
	return TCOP_AGAIN;
}

/*
 * listing_walk -- the rest of the walk, within the budget of one run.  TCOP_DONE
 * with exhausted set: it is complete; without: the output limit ended it.
 */
static TcopResult
listing_walk(Session *s, Listing *l, StoreWalkShow show)
{
	for (int i = 0; i < TCOP_WALKS_PER_RUN && !l->exhausted; i++)
	{
		TcopResult	result;
		StoreStatus status;

		if (l->in_value)
		{
			result = long_value(s, l);
			if (l->in_value || result != TCOP_AGAIN)
				return result;
		}
		if (!output_room(&s->out, output_pending(&l->prefixes)))
			return TCOP_DONE;
		(void) output_reserve(&s->out, Max(l->need, (uint32) 512));
		if (l->delimiter.len > 0)
			(void) output_reserve(&l->prefixes, Max(l->need_prefix, (uint32) 512));
		l->need = l->need_prefix = 0;
		status = store_walk(&l->walk, TCOP_WALK_STEPS, show, l);
		s->gate = Max(s->gate, l->walk.gate);
		if (!tcop__status(s, status, &result))
			return result;
		if (l->walk.done)
			l->exhausted = true;
	}
	return l->exhausted ? TCOP_DONE : TCOP_AGAIN;
}

/* ---- KEYS and SCAN ---- */
static StoreWalkNext
show_matching(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg)
{
	Listing    *l = arg;
	Output	   *o = &l->session->out;

	(void) walk;
	(void) view;
	if (!l->type_excluded &&
		(l->pattern == NULL || pattern_match(l->pattern->data, l->pattern->len, (const char *) key, key_len, false)))
	{
		if (output_tail_room(o) < key_len + 32)
		{
			l->need = key_len + 32;
			return STORE_WALK_STOP_BEFORE;
		}
		reply_bulk(o, key, key_len);
		l->items++;
	}
	l->seen++;
	if (l->exact)
	{
		l->walk.done = true;	/* the first key with the whole pattern as its beginning was the only candidate */
		l->exhausted = true;
		return STORE_WALK_STOP;
	}
	if (l->seen == l->limit)
	{
		l->exhausted = l->more = true;
		return STORE_WALK_STOP;
	}
	return STORE_WALK_ON;
}

TcopResult
tcop__keys(Session *s)
{
	Listing    *l = s->state;
	TcopResult	result;
	uint8		header[24];

	if (l == NULL)
	{
		l = listing_begin(s);
		pattern_set(l, &s->argv[1]);
		l->begin = output_begin(&s->out);
	}
	l->pattern = &s->argv[1];	/* the words may lie elsewhere now */
	result = listing_walk(s, l, show_matching);
	if (result != TCOP_DONE || !l->exhausted)
		return result;
	output_insert(&s->out, l->begin, header, reply_header(header, '*', (uint64) l->items));
	output_end(&s->out, l->begin);
	return TCOP_DONE;
}

/* scan_begin -- SCAN's arguments; false: an error is answered. */
static bool
scan_begin(Session *s, Listing *l)
{
	uint64		cursor;
	const BytePart *pattern = NULL;

	if (!number_parse_unsigned(s->argv[1].data, s->argv[1].len, &cursor))
	{
		reply_error(&s->out, "ERR invalid cursor");
		return false;
	}
	l->limit = SCAN_COUNT_DEFAULT;
	for (uint32 i = 2; i < s->argc; i += 2)
	{
		if (i + 1 == s->argc)
		{
			tcop__error_syntax(s);
			return false;
		}
		if (tcop__arg_is(s, i, "count"))
		{
			if (!tcop__arg_int(s, i + 1, &l->limit, NULL))
				return false;
			if (l->limit < 1)
			{
				tcop__error_syntax(s);
				return false;
			}
		}
		else if (tcop__arg_is(s, i, "match"))
			pattern = &s->argv[i + 1];
		else if (tcop__arg_is(s, i, "type"))
			l->type_excluded = !tcop__arg_is(s, i + 1, "string");
		else
		{
			tcop__error_syntax(s);
			return false;
		}
	}
	if (pattern != NULL)
		pattern_set(l, pattern);
	if (cursor != 0)
	{
		uint8		key[KEY_USER_MAX];
		uint32		len;

		if (!store_cursor_load(cursor, s->db, key, &len))
		{
			reply_error(&s->out, "ERR unknown or expired cursor, start again with 0");
			return false;
		}
		start_at(l, key, len, true);
	}
	return true;
}

TcopResult
tcop__scan(Session *s)
{
	Listing    *l = s->state;
	TcopResult	result;
	uint64		cursor = 0;
	uint8		header[64];
	char		digits[NUMBER_TEXT_MAX];
	uint32		n;

	if (l == NULL)
	{
		l = listing_begin(s);
		if (!scan_begin(s, l))
			return TCOP_DONE;
		l->begin = output_begin(&s->out);
	}
	else if (l->pattern != NULL)
		for (uint32 i = 2; i + 1 < s->argc; i += 2)
			if (tcop__arg_is(s, i, "match"))
				l->pattern = &s->argv[i + 1];
	if (!l->walked)
	{
		result = listing_walk(s, l, show_matching);
		if (result != TCOP_DONE || !l->exhausted)
			return result;
		l->walked = true;
	}
	if (l->more)
	{
		cursor = store_cursor_save(s->db, l->walk.key, l->walk.key_len);
		if (cursor == 0 && !evict_hopeless())
			return TCOP_PARK_MEMORY;	/* some is being made */
		if (cursor == 0)
		{
			output_cut(&s->out, s->out_start);
			return tcop__status(s, STORE_NO_MEMORY, &result) ? TCOP_DONE : result;
		}
	}
	n = reply_header(header, '*', 2);
	n += reply_header(header + n, '$', number_format_unsigned(digits, cursor));
	n += number_format_unsigned((char *) header + n, cursor);
	header[n++] = '\r';
	header[n++] = '\n';
	n += reply_header(header + n, '*', (uint64) l->items);
	output_insert(&s->out, l->begin, header, n);
	output_end(&s->out, l->begin);
	return TCOP_DONE;
}

/* ---- RANGE and LIST ---- */

/* past -- is this key behind the last bound, in the walk's direction? */
static bool
past(const Listing *l, const uint8 *key, uint32 len)
{
	int			c;

	if (l->last.kind == (l->walk.backward ? BOUND_LOWEST : BOUND_HIGHEST))
		return false;
	if (l->last.kind == (l->walk.backward ? BOUND_HIGHEST : BOUND_LOWEST))
		return true;
	c = key_compare(key, len, l->last.key, l->last.len);
	if (c == 0)
		return l->last.kind == BOUND_WITHOUT;
	return (c < 0) == l->walk.backward;
}

/* show_item -- appends one key with what was asked for, or says what keeps it from that. */
static StoreWalkNext
show_item(Listing *l, const uint8 *key, uint32 key_len, const StoreView *view)
{
	Output	   *o = &l->session->out;
	uint64		need = key_len + ITEM_FRAME + (l->with_values ? view->value_len : 0);

	if (need > TCOP_VALUE_DIRECT)
	{
		l->in_value = true;
		l->value = (ValueRead) {.exists = true, .len = view->value_len, .version = view->lsn};
		return STORE_WALK_STOP_BEFORE;
	}
	if (output_tail_room(o) < need)
	{
		l->need = (uint32) need;
		return STORE_WALK_STOP_BEFORE;
	}
	if (l->with_values || l->with_versions)
		reply_array(o, (uint64) 1 + l->with_values + l->with_versions);
	reply_bulk(o, key, key_len);
	l->last_key = o->tail->data + o->tail->end - 2 - key_len;
	l->last_key_len = key_len;
	l->last_is_prefix = false;
	if (l->with_values)
	{
		uint8	   *to;
		uint32		n;

		reply_bulk_header(o, view->value_len);
		to = output_reserve(o, (uint32) view->value_len + 2);
		n = (uint32) view->value_len;
		if (n > 0)
			store_view_copy(view, 0, n, to);
		memcpy(to + n, "\r\n", 2);
		output_advance(o, n + 2);
	}
	if (l->with_versions)
		reply_int(o, (int64) view->lsn);
	l->items++;
	return STORE_WALK_ON;
}

static StoreWalkNext
show_range(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg)
{
	Listing    *l = arg;

	(void) walk;
	if (past(l, key, key_len))
	{
		l->exhausted = true;
		return STORE_WALK_STOP_BEFORE;
	}
	if (l->items == l->limit)
	{
		l->exhausted = l->more = true;
		return STORE_WALK_STOP_BEFORE;
	}
	return show_item(l, key, key_len, view);
}

/* bound_parse -- as ZRANGE BYLEX has it; false: the error is answered. */
static bool
bound_parse(Session *s, uint32 i, Bound *b)
{
	const uint8 *text = s->argv[i].data;
	size_t		len = s->argv[i].len;

	if (len == 1 && text[0] == '-')
		b->kind = BOUND_LOWEST;
	else if (len == 1 && text[0] == '+')
		b->kind = BOUND_HIGHEST;
	else if (len > 0 && text[0] == '[')
		b->kind = BOUND_WITH;
	else if (len > 0 && text[0] == '(')
		b->kind = BOUND_WITHOUT;
	else
	{
		reply_error(&s->out, "ERR min or max not valid string range item");
		return false;
	}
	b->key = text + 1;
	b->len = len - 1;
	return true;
}

/* option -- COUNT, WITHVALUES, WITHVERSIONS, PREFIX: for RANGE and LIST alike.  *i moves behind it. */
static bool
common_option(Session *s, Listing *l, uint32 *i, const BytePart **prefix, bool *error)
{
	*error = false;
	if (tcop__arg_is(s, *i, "withvalues"))
		l->with_values = l->walk.with_values = true;
	else if (tcop__arg_is(s, *i, "withversions"))
		l->with_versions = true;
	else if (tcop__arg_is(s, *i, "count") && *i + 1 < s->argc)
		*error = !tcop__arg_positive(s, ++*i, &l->limit);
	else if (tcop__arg_is(s, *i, "prefix") && *i + 1 < s->argc)
		*prefix = &s->argv[++*i];
	else
		return false;
	return true;
}

static bool
range_begin(Session *s, Listing *l)
{
	Bound		min;
	Bound		max;
	Bound	   *first;
	const BytePart *prefix = NULL;

	if (!bound_parse(s, 1, &min) || !bound_parse(s, 2, &max))
		return false;
	l->limit = COUNT_DEFAULT;
	for (uint32 i = 3; i < s->argc; i++)
	{
		bool		error;

		if (common_option(s, l, &i, &prefix, &error))
		{
			if (error)
				return false;
		}
		else if (tcop__arg_is(s, i, "rev"))
			l->walk.backward = true;
		else
		{
			tcop__error_syntax(s);
			return false;
		}
	}
	if (prefix != NULL)
		prefix_set(l, prefix->data, prefix->len);
	first = l->walk.backward ? &max : &min;
	l->last = l->walk.backward ? min : max;
	if (first->kind == (l->walk.backward ? BOUND_LOWEST : BOUND_HIGHEST) || l->limit == 0)
		l->exhausted = true;
	else if (first->kind == BOUND_WITH || first->kind == BOUND_WITHOUT)
		start_at(l, first->key, first->len, first->kind == BOUND_WITHOUT);
	return true;
}

/* next_bound -- writes where the next page begins, a bulk string of 'kind' and the last entry, or nil; returns its length. */
static uint32
next_bound(const Session *s, const Listing *l, uint8 *to, char kind)
{
	const char *nil = s->out.proto < 3 ? "$-1\r\n" : "_\r\n";
	uint32		n;

	if (!l->more)
	{
		memcpy(to, nil, strlen(nil));
		return (uint32) strlen(nil);
	}
	n = reply_header(to, '$', (uint64) l->last_key_len + 1);
	to[n++] = (uint8) kind;
	if (l->last_key_len > 0)
		memcpy(to + n, l->last_key, l->last_key_len);
	n += l->last_key_len;
	memcpy(to + n, "\r\n", 2);
	return n + 2;
}

TcopResult
tcop__range(Session *s)
{
	static uint8 header[KEY_USER_MAX + 128];
	Listing    *l = s->state;
	TcopResult	result;
	uint32		n;

	if (l == NULL)
	{
		l = listing_begin(s);
		if (!range_begin(s, l))
			return TCOP_DONE;
		l->begin = output_begin(&s->out);
	}
	/* the request may have been moved since the last run */
	l->last.key = (const uint8 *) s->argv[l->walk.backward ? 1 : 2].data + 1;
	result = listing_walk(s, l, show_range);
	if (result != TCOP_DONE || !l->exhausted)
		return result;
	n = reply_header(header, '*', 2);
	n += next_bound(s, l, header + n, '(');
	n += reply_header(header + n, '*', (uint64) l->items);
	output_insert(&s->out, l->begin, header, n);
	output_end(&s->out, l->begin);
	return TCOP_DONE;
}

/* show_prefix -- appends a rolled-up prefix and hops over all that lies below it. */
static StoreWalkNext
show_prefix(Listing *l, const uint8 *key, uint32 len)
{
	Output	   *o = &l->prefixes;

	if (output_tail_room(o) < len + 32)
	{
		l->need_prefix = len + 32;
		return STORE_WALK_STOP_BEFORE;
	}
	reply_bulk(o, key, len);
	l->last_key = o->tail->data + o->tail->end - 2 - len;
	l->last_key_len = len;
	l->last_is_prefix = true;
	l->prefix_count++;
	l->walk.hop_len = len;
	return STORE_WALK_HOP;
}

static StoreWalkNext
show_list(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg)
{
	Listing    *l = arg;

	if (l->items + l->prefix_count == l->limit)
	{
		l->exhausted = l->more = true;
		return STORE_WALK_STOP_BEFORE;
	}
	if (l->delimiter.len > 0)
	{
		const uint8 *behind = key + walk->prefix_len;
		const uint8 *found = memmem(behind, key_len - walk->prefix_len, l->delimiter.data, l->delimiter.len);

		if (found != NULL)
			return show_prefix(l, key, (uint32) (found - key) + (uint32) l->delimiter.len);
	}
	return show_item(l, key, key_len, view);
}

/*
 * token_start -- TOKEN: 'k' and the last key of the page before, or 'p' and the
 * prefix that was rolled up last, of which nothing is shown any more.  False: an
 * error is answered.
 */
static bool
token_start(Session *s, Listing *l, const BytePart *token)
{
	const uint8 *text = token->data;
	uint8		key[KEY_USER_MAX];
	size_t		len = token->len - 1;

	if ((text[0] != 'k' && text[0] != 'p') || len > KEY_USER_MAX)
	{
		reply_error(&s->out, "ERR invalid token");
		return false;
	}
	memcpy(key, text + 1, len);
	if (text[0] == 'k')
	{
		start_at(l, key, len, true);
		return true;
	}
	/* the least key behind every key with this prefix */
	while (len > 0 && key[len - 1] == 0xff)
		len--;
	if (len == 0)
		l->exhausted = true;
	else
	{
		key[len - 1]++;
		start_at(l, key, len, false);
	}
	return true;
}

static bool
list_begin(Session *s, Listing *l)
{
	const BytePart *prefix = NULL;
	const BytePart *after = NULL;
	const BytePart *token = NULL;

	l->limit = COUNT_DEFAULT;
	for (uint32 i = 1; i < s->argc; i++)
	{
		bool		error;

		if (common_option(s, l, &i, &prefix, &error))
		{
			if (error)
				return false;
		}
		else if (tcop__arg_is(s, i, "delimiter") && i + 1 < s->argc)
			l->delimiter_arg = ++i;
		else if (tcop__arg_is(s, i, "after") && i + 1 < s->argc)
			after = &s->argv[++i];
		else if (tcop__arg_is(s, i, "token") && i + 1 < s->argc)
			token = &s->argv[++i];
		else
		{
			tcop__error_syntax(s);
			return false;
		}
	}
	if (prefix != NULL)
		prefix_set(l, prefix->data, prefix->len);
	if (l->limit == 0)
		l->exhausted = true;
	if (token != NULL && token->len > 0)
		return token_start(s, l, token);
	if (after != NULL)
		start_at(l, after->data, after->len, true);
	return true;
}

TcopResult
tcop__list(Session *s)
{
	static uint8 token[KEY_USER_MAX + 64];
	Listing    *l = s->state;
	TcopResult	result;
	uint8		header[40];
	uint32		n;

	if (l == NULL)
	{
		l = listing_begin(s);
		if (!list_begin(s, l))
			return TCOP_DONE;
		l->begin = output_begin(&s->out);
	}
	/* the request may have been moved since the last run */
	if (l->delimiter_arg != 0)
		l->delimiter = s->argv[l->delimiter_arg];
	result = listing_walk(s, l, show_list);
	if (result != TCOP_DONE || !l->exhausted)
		return result;
	n = next_bound(s, l, token, l->last_is_prefix ? 'p' : 'k');
	reply_text(&s->out, "prefixes");
	reply_array(&s->out, (uint64) l->prefix_count);
	output_splice(&s->out, &l->prefixes);
	reply_text(&s->out, "next");
	output_append(&s->out, token, n);
	n = s->out.proto < 3 ? reply_header(header, '*', 6) : reply_header(header, '%', 3);
	memcpy(header + n, "$5\r\nitems\r\n", 11);
	n += 11;
	n += reply_header(header + n, '*', (uint64) l->items);
	output_insert(&s->out, l->begin, header, n);
	output_end(&s->out, l->begin);
	return TCOP_DONE;
}
