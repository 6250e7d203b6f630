/*
 * lpm.c -- longest prefix match: LPM.
 *
 * The candidates are the key itself and everything that it begins with; the answer
 * is the longest that exists.  With a delimiter only whole components count: a
 * candidate ends where the key ends, or right before or right behind a delimiter of
 * the key, or is empty.  So of /usr/library/x with / these are: /usr/library/x,
 * /usr/library/, /usr/library, /usr/, /usr, / and the empty key, but not /usr/lib.
 *
 * The answer is that of one moment (store_prefix.c).  In a transaction or a snapshot the
 * candidates are read one by one, the longest first: what was not there is part
 * of what the transaction has seen.
 */
#include "common/c.h"

#include "tcop/tcop_internal.h"

#define LENGTH_BYTES (KEY_USER_MAX / 8 + 1)

static inline void
length_allow(uint8 *lengths, size_t len)
{
	lengths[len / 8] |= (uint8) (1 << len % 8);
}

/* lengths_mark -- which beginnings of the key are whole components. */
static void
lengths_mark(uint8 *lengths, const BytePart *key, const BytePart *delimiter)
{
	const uint8 *bytes = key->data;

	if (delimiter == NULL || delimiter->len == 0)
	{
		memset(lengths, 0xff, LENGTH_BYTES);
		return;
	}
	memset(lengths, 0, LENGTH_BYTES);
	length_allow(lengths, 0);
	length_allow(lengths, key->len);
	for (size_t at = 0; at + delimiter->len <= key->len; at++)
	{
		if (memcmp(bytes + at, delimiter->data, delimiter->len) != 0)
			continue;
		length_allow(lengths, at);
		length_allow(lengths, at + delimiter->len);
	}
}

static void
show_exists(const StoreView *view, void *arg)
{
	*(bool *) arg = view->exists;
}

/* search_one_by_one -- from the longest candidate down; session.step: how many bytes shorter than the key the next one is. */
static TcopResult
search_one_by_one(Session *s, const StoreKey *key, const uint8 *lengths, int32 *len)
{
	for (uint32 looked = 0; s->step <= key->len; s->step++)
	{
		StoreKey	candidate = {key->db, key->len - s->step, key->data};
		TcopResult	result;
		bool		exists;

		if ((lengths[candidate.len / 8] >> candidate.len % 8 & 1) == 0)
			continue;
		if (looked++ == TCOP_KEYS_PER_RUN)
			return TCOP_AGAIN;
		if (!tcop__status(s, store_read_head(&candidate, show_exists, &exists, &s->gate), &result))
			return result;
		if (exists)
		{
			*len = (int32) candidate.len;
			return TCOP_DONE;
		}
	}
	*len = -1;
	return TCOP_DONE;
}

TcopResult
tcop__lpm(Session *s)
{
	uint8		lengths[LENGTH_BYTES];
	TcopResult	result;
	StoreKey	key;
	int32		len;

	if (s->argc != 2 && (s->argc != 4 || !tcop__arg_is(s, 2, "delimiter")))
	{
		tcop__error_syntax(s);
		return TCOP_DONE;
	}
	if (!tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	lengths_mark(lengths, &s->argv[1], s->argc == 4 ? &s->argv[3] : NULL);
	if (unlikely(store_txn_in_use() != NULL || s->snapshot != NULL))
	{
		uint64		errors = s->out.errors;

		result = search_one_by_one(s, &key, lengths, &len);
		if (result != TCOP_DONE || s->out.errors != errors)
			return result;
	}
	else if (!tcop__status(s, store_longest_prefix(&key, lengths, &len, &s->gate), &result))
		return result;
	if (len < 0)
		reply_null(&s->out);
	else
		reply_bulk(&s->out, key.data, (size_t) len);
	return TCOP_DONE;
}
