/*
 * lcs.c -- LCS: the longest common subsequence of two values.
 *
 * Both are copied first, as they were at one moment: the first one's version is
 * looked at again when the second one has been copied.  Then a table is filled, of
 * (length + 1) * (length + 1) numbers, a portion per run, and read backwards from its
 * end.  The table is bounded, as Redis bounds its own, by the longest value that there
 * may be at all; LEN needs as much as the others do.
 */
#include "common/c.h"
#include "tcop/strings_internal.h"

#define TABLE_MAX (64 * MIB)

/* about a millisecond each */
#define CELLS_PER_RUN (256 * KIB)
#define STEPS_PER_RUN (64 * KIB)

typedef struct Match
{
	uint32		a;				/* first bytes */
	uint32		b;
	uint32		len;
} Match;

typedef struct Lcs
{
	ValueCopy	a;				/* first: tcop__copy_value */
	ValueCopy	b;
	bool		copied;
	bool		want_len;
	bool		want_idx;
	bool		with_match_len;
	int64		min_match_len;
	uint32	   *table;			/* (a.len + 1) rows of (b.len + 1) */
	uint32		row;			/* next to be filled: row and column */
	uint32		column;
	bool		filled;
	/* reading backwards */
	uint32		i;
	uint32		j;
	uint32		at;				/* of result */
	uint8	   *result;
	Match		match;			/* under way; len 0: none */
	Match	   *found;
	uint32		found_count;
	uint32		found_size;
} Lcs;

static void
lcs_free(void *state)
{
	Lcs		   *l = state;

	free(l->a.buffer);
	free(l->b.buffer);
	free(l->table);
	free(l->result);
	free(l->found);
	free(l);
}

static bool
lcs_options(Session *s, Lcs *l)
{
	for (uint32 i = 3; i < s->argc; i++)
	{
		if (tcop__arg_is(s, i, "idx"))
			l->want_idx = true;
		else if (tcop__arg_is(s, i, "len"))
			l->want_len = true;
		else if (tcop__arg_is(s, i, "withmatchlen"))
			l->with_match_len = true;
		else if (tcop__arg_is(s, i, "minmatchlen") && i + 1 < s->argc)
		{
			if (!tcop__arg_int(s, ++i, &l->min_match_len, NULL))
				return false;
			l->min_match_len = Max(l->min_match_len, INT64_C(0));
		}
		else
		{
			tcop__error_syntax(s);
			return false;
		}
	}
	if (l->want_idx && l->want_len)
	{
		reply_error(&s->out, "ERR If you want both the length and indexes, please just use IDX.");
		return false;
	}
	return true;
}

/* lcs_fits -- may there be such a table?  Else that is answered.  No length is above 2^26: nothing overflows. */
static bool
lcs_fits(Session *s, uint64 a_len, uint64 b_len)
{
	if ((a_len + 1) * (b_len + 1) * sizeof(uint32) <= TABLE_MAX)
		return true;
	reply_error(&s->out, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
	return false;
}

typedef struct HeadRead
{
	bool		exists;
	Lsn			version;
	uint64		len;
} HeadRead;

static void
show_head(const StoreView *view, void *arg)
{
	*(HeadRead *) arg = (HeadRead) {view->exists, view->lsn, view->value_len};
}

static bool
read_head(Session *s, uint32 i, HeadRead *head, TcopResult *result)
{
	StoreKey	key = tcop__key(s, i);

	return tcop__status(s, store_read_head(&key, show_head, head, &s->gate), result);
}

/* lcs_copy -- both values, of one moment.  False: *result is what the command returns. */
static bool
lcs_copy(Session *s, Lcs *l, TcopResult *result)
{
	HeadRead	a;
	HeadRead	b;

	/* what would be refused is not copied */
	if (!read_head(s, 1, &a, result) || !read_head(s, 2, &b, result) || !lcs_fits(s, a.len, b.len))
		return false;
	if (!l->a.scan.done && !tcop__copy_value(s, 1, &l->a, result))
		return false;
	if (!tcop__copy_value(s, 2, &l->b, result) || !read_head(s, 1, &a, result))
		return false;
	if (a.version != l->a.scan.version || a.exists != l->a.scan.exists)
	{
		l->a.scan.begun = l->a.scan.done = l->b.scan.begun = l->b.scan.done = false;
		*result = TCOP_AGAIN;
		return false;
	}
	l->copied = true;
	tcop__looked(s, 1, l->a.scan.exists);
	tcop__looked(s, 2, l->b.scan.exists);
	return true;
}

static inline uint32 *
row_of(const Lcs *l, uint32 i)
{
	return l->table + (uint64) i * (l->b.scan.len + 1);
}

/* lcs_begin -- false: the error is answered. */
static bool
lcs_begin(Session *s, Lcs *l)
{
	uint64		width = l->b.scan.len + 1;

	if (!lcs_fits(s, l->a.scan.len, l->b.scan.len))
		return false;
	l->table = malloc((l->a.scan.len + 1) * width * sizeof(uint32));
	if (l->table == NULL)
	{
		reply_error(&s->out, "ERR Insufficient memory, failed allocating transient memory for LCS");
		return false;
	}
	memset(l->table, 0, width * sizeof(uint32));
	l->row = 1;
	return true;
}

/* lcs_fill -- a portion of the table; false: more to do. */
static bool
lcs_fill(Lcs *l)
{
	uint32		a_len = (uint32) l->a.scan.len;
	uint32		b_len = (uint32) l->b.scan.len;
	uint32		left = CELLS_PER_RUN;

	for (; l->row <= a_len; l->row++, l->column = 0)
	{
		const uint32 *above = row_of(l, l->row - 1);
		uint32	   *row = row_of(l, l->row);
		uint8		c = l->a.buffer[l->row - 1];
		uint32		end = Min(b_len, l->column + left);

		row[0] = 0;
		for (uint32 j = l->column + 1; j <= end; j++)
			row[j] = c == l->b.buffer[j - 1] ? above[j - 1] + 1 : Max(above[j], row[j - 1]);
		left -= end - l->column;
		l->column = end;
		if (end < b_len)
			return false;
		left -= Min(left, 1u);	/* empty rows count, too */
	}
	return true;
}

static void
match_end(Lcs *l)
{
	if (l->match.len == 0)
		return;
	if (l->want_idx && (int64) l->match.len >= l->min_match_len)
	{
		if (l->found_count == l->found_size)
		{
			l->found_size = l->found_size * 2 + 64;
			l->found = realloc(l->found, l->found_size * sizeof(Match));
			Verify(l->found != NULL);
		}
		l->found[l->found_count++] = l->match;
	}
	l->match.len = 0;
}

static void
trace_begin(Lcs *l)
{
	l->filled = true;
	l->i = (uint32) l->a.scan.len;
	l->j = (uint32) l->b.scan.len;
	l->at = row_of(l, l->i)[l->j];
	l->result = malloc(Max(l->at, 1u));
	Verify(l->result != NULL);
}

/* lcs_trace -- some steps from the table's end to its beginning; false: more to do. */
static bool
lcs_trace(Lcs *l)
{
	for (uint32 steps = 0; l->i > 0 && l->j > 0; steps++)
	{
		if (steps >= STEPS_PER_RUN)
			return false;
		if (l->a.buffer[l->i - 1] == l->b.buffer[l->j - 1])
		{
			l->result[--l->at] = l->a.buffer[l->i - 1];
			l->i--;
			l->j--;
			l->match = (Match) {l->i, l->j, l->match.len + 1};
			continue;
		}
		match_end(l);
		if (row_of(l, l->i - 1)[l->j] > row_of(l, l->i)[l->j - 1])
			l->i--;
		else
			l->j--;
	}
	match_end(l);
	return true;
}

/* reply_match -- [[first, last], [first, last], length]; the last match comes first. */
static void
reply_match(Session *s, const Lcs *l, const Match *m)
{
	reply_array(&s->out, l->with_match_len ? 3 : 2);
	reply_array(&s->out, 2);
	reply_int(&s->out, m->a);
	reply_int(&s->out, (int64) m->a + m->len - 1);
	reply_array(&s->out, 2);
	reply_int(&s->out, m->b);
	reply_int(&s->out, (int64) m->b + m->len - 1);
	if (l->with_match_len)
		reply_int(&s->out, m->len);
}

/* lcs_reply -- false: more to do. */
static bool
lcs_reply(Session *s, Lcs *l)
{
	uint32		len = row_of(l, (uint32) l->a.scan.len)[l->b.scan.len];

	if (l->want_len)
		reply_int(&s->out, len);
	else if (!l->want_idx)
	{
		if (output_room(&s->out, len))
			reply_bulk(&s->out, l->result, len);
	}
	else
	{
		if (s->step == 0)
		{
			reply_map(&s->out, 2);
			reply_text(&s->out, "matches");
			reply_array(&s->out, l->found_count);
		}
		for (uint32 done = 0; s->step < l->found_count; s->step++)
		{
			if (done++ == TCOP_KEYS_PER_RUN)
				return false;
			if (!output_room(&s->out, 0))
				return true;
			reply_match(s, l, &l->found[s->step]);
		}
		reply_text(&s->out, "len");
		reply_int(&s->out, len);
	}
	return true;
}

TcopResult
tcop__lcs(Session *s)
{
	Lcs		   *l = s->state;
	TcopResult	result;

	if (l == NULL)
	{
		StoreKey	key;

		l = tcop__state(s, sizeof(Lcs), lcs_free);
		if (!tcop__arg_key(s, 1, &key) || !tcop__arg_key(s, 2, &key) || !lcs_options(s, l))
			return TCOP_DONE;
	}
	if (!l->copied && !lcs_copy(s, l, &result))
		return result;
	if (!l->filled)
	{
		if (l->table == NULL && !lcs_begin(s, l))
			return TCOP_DONE;
		if (!lcs_fill(l))
			return TCOP_AGAIN;
		trace_begin(l);
	}
	if (!l->want_len && !lcs_trace(l))
		return TCOP_AGAIN;
	return lcs_reply(s, l) ? TCOP_DONE : TCOP_AGAIN;
}
