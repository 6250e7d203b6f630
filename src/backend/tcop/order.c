/*
 * order.c -- keys in byte order between bounds, and as directories: RANGE LIST.
 *
 * Both are walks (listing.c) that are told where to begin and to end.  A page of
 * either begins with one seek, and where the next one begins is said by a key: so
 * nothing is kept for a client between two pages.
 *
 * LIST hops: of the keys that have the delimiter behind the prefix it looks at the
 * first with the same beginning, shows that beginning once, and goes on behind all of
 * them, at the cost of one seek.  What it cannot pass over are deletions: whether
 * anything below a beginning is alive is only known once a live key is met, so the
 * tombstones and expired keys in front of the first live one are walked over,
 * in bounded steps as any others.  They last until the next checkpoint.
 */
#include "common/c.h"

#include "tcop/listing_internal.h"

/* past -- is this key behind the last bound, in the walk's direction? */
static bool
past(const Listing *l, const uint8 *key, uint32 len)
{
	int			c;

	if (l->last.kind == (l->walk.backward ? BOUND_LOWEST : BOUND_HIGHEST))
		return false;
	if (l->last.kind == (l->walk.backward ? BOUND_HIGHEST : BOUND_LOWEST))
		return true;
	c = tcop__key_compare(key, len, l->last.key, l->last.len);
	if (c == 0)
		return l->last.kind == BOUND_WITHOUT;
	return (c < 0) == l->walk.backward;
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
	return tcop__listing_item(l, key, key_len, view);
}

/* bound_parse -- as ZRANGE BYLEX has it; false: the error is answered. */
static bool
bound_parse(Session *s, uint32 i, ListingBound *b)
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
		*error = !tcop__arg_int(s, ++*i, &l->limit, NULL);
	else if (tcop__arg_is(s, *i, "prefix") && *i + 1 < s->argc)
		*prefix = &s->argv[++*i];
	else
		return false;
	return true;
}

static bool
range_begin(Session *s, Listing *l)
{
	ListingBound min;
	ListingBound max;
	ListingBound *first;
	const BytePart *prefix = NULL;

	if (!bound_parse(s, 1, &min) || !bound_parse(s, 2, &max))
		return false;
	l->limit = LISTING_COUNT_DEFAULT;
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
	if (l->limit < 1)
	{
		tcop__error_syntax(s);	/* as SCAN: a page of nothing could not say where the next one begins */
		return false;
	}
	if (prefix != NULL)
		tcop__listing_prefix(l, prefix->data, prefix->len);
	first = l->walk.backward ? &max : &min;
	l->last = l->walk.backward ? min : max;
	if (first->kind == (l->walk.backward ? BOUND_LOWEST : BOUND_HIGHEST))
		l->exhausted = true;
	else if (first->kind == BOUND_WITH || first->kind == BOUND_WITHOUT)
		tcop__listing_start(l, first->key, first->len, first->kind == BOUND_WITHOUT);
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
		l = tcop__listing_new(s);
		if (!range_begin(s, l))
			return TCOP_DONE;
		tcop__listing_begin(l);
	}
	/* the request may have been moved since the last run */
	l->last.key = (const uint8 *) s->argv[l->walk.backward ? 1 : 2].data + 1;
	result = tcop__listing_walk(l, show_range);
	if (result != TCOP_DONE || !l->exhausted)
		return result;
	n = reply_header(header, '*', 2);
	n += next_bound(s, l, header + n, '(');
	n += reply_header(header + n, '*', (uint64) l->items);
	tcop__listing_end(l, header, n);
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
	return tcop__listing_item(l, key, key_len, view);
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
		tcop__listing_start(l, key, len, true);
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
		tcop__listing_start(l, key, len, false);
	}
	return true;
}

static bool
list_begin(Session *s, Listing *l)
{
	const BytePart *prefix = NULL;
	const BytePart *after = NULL;
	const BytePart *token = NULL;

	l->limit = LISTING_COUNT_DEFAULT;
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
	if (l->limit < 0)
	{
		reply_error(&s->out, "ERR value is out of range, must be positive");
		return false;
	}
	if (prefix != NULL)
		tcop__listing_prefix(l, prefix->data, prefix->len);
	if (l->limit == 0)
		l->exhausted = true;	/* as S3's max-keys: empty, and nothing is said to follow */
	if (token != NULL && token->len > 0)
		return token_start(s, l, token);
	if (after != NULL)
		tcop__listing_start(l, after->data, after->len, true);
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
		l = tcop__listing_new(s);
		if (!list_begin(s, l))
			return TCOP_DONE;
		tcop__listing_begin(l);
	}
	/* the request may have been moved since the last run */
	if (l->delimiter_arg != 0)
		l->delimiter = s->argv[l->delimiter_arg];
	result = tcop__listing_walk(l, show_list);
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
	tcop__listing_end(l, header, n);
	return TCOP_DONE;
}
