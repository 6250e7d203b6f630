/*
 * scan.c -- every key of a database, by pattern: KEYS SCAN.
 *
 * Both go through the keys in byte order, from where the pattern's fixed beginning
 * leads to, as far as it leads (listing.c).  SCAN's cursor is a number that stands
 * for the last key looked at (store_cursor.c): the next call goes on behind it, on
 * any worker, whatever has come or gone since, the key itself included.  So a key
 * that is there throughout is returned exactly once.
 *
 * What a cursor does not hold is the pattern, the type and the count: as in Redis
 * each call brings its own.
 */
#include "common/c.h"

#include "access/store/evict.h"
#include "tcop/listing_internal.h"

#define SCAN_COUNT_DEFAULT 10

/* pattern_set -- KEYS and SCAN: walk only where the pattern's fixed beginning allows. */
static void
pattern_set(Listing *l, const BytePart *pattern)
{
	uint8		prefix[KEY_USER_MAX + 1];
	size_t		len = pattern_prefix(pattern->data, pattern->len, prefix, sizeof(prefix));

	l->pattern = pattern;
	tcop__listing_prefix(l, prefix, len);
	l->exact = pattern->len == len && memcmp(pattern->data, prefix, len) == 0;
}

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
		l = tcop__listing_new(s);
		pattern_set(l, &s->argv[1]);
		tcop__listing_begin(l);
	}
	l->pattern = &s->argv[1];	/* the words may lie elsewhere now */
	result = tcop__listing_walk(l, show_matching);
	if (result != TCOP_DONE || !l->exhausted)
		return result;
	tcop__listing_end(l, header, reply_header(header, '*', (uint64) l->items));
	return TCOP_DONE;
}

/* scan_begin -- SCAN's arguments; false: an error is answered. */
static bool
scan_begin(Session *s, Listing *l)
{
	uint64		cursor;
	const BytePart *pattern = NULL;

	/* Redis takes nothing at all for 0 */
	if (s->argv[1].len == 0)
		cursor = 0;
	else if (!number_parse_unsigned(s->argv[1].data, s->argv[1].len, &cursor))
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
		tcop__listing_start(l, key, len, true);
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
		l = tcop__listing_new(s);
		if (!scan_begin(s, l))
			return TCOP_DONE;
		tcop__listing_begin(l);
	}
	else if (l->pattern != NULL)
		for (uint32 i = 2; i + 1 < s->argc; i += 2)
			if (tcop__arg_is(s, i, "match"))
				l->pattern = &s->argv[i + 1];
	if (!l->walked)
	{
		result = tcop__listing_walk(l, show_matching);
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
	tcop__listing_end(l, header, n);
	return TCOP_DONE;
}
