/*
 * bitop.c -- BITOP: AND, OR, XOR and NOT of whole values, into another key.
 *
 * A transaction: the lengths are looked at first, then each value is put into the
 * result in portions, then the result is written.  A shorter value ends in zeros; if
 * all are empty or absent the key is deleted.
 */
#include "common/c.h"
#include "tcop/strings_internal.h"

typedef enum BitOperation
{
	BITOP_AND,
	BITOP_OR,
	BITOP_XOR,
	BITOP_NOT
} BitOperation;

typedef enum BitopStep
{
	BITOP_LENGTHS,
	BITOP_VALUES,
	BITOP_WRITE
} BitopStep;

typedef struct Bitop
{
	ValueScan	scan;			/* first: tcop__scan_value; of argument 'next' */
	BitOperation operation;
	BitopStep	step;
	uint32		next;
	uint64		len;
	uint8	   *result;
} Bitop;

#define FIRST_SOURCE 3

static void
bitop_free(void *state)
{
	free(((Bitop *) state)->result);
	free(state);
}

static bool
bitop_parse(Session *s, Bitop *b)
{
	static const char *const words[] = {"and", "or", "xor", "not"};
	size_t		o = 0;

	while (o < lengthof(words) && !tcop__arg_is(s, 1, words[o]))
		o++;
	if (o == lengthof(words))
		tcop__error_syntax(s);
	else if (o == BITOP_NOT && s->argc != FIRST_SOURCE + 1)
		reply_error(&s->out, "ERR BITOP NOT must be called with a single source key.");
	else
	{
		b->operation = (BitOperation) o;
		b->next = FIRST_SOURCE;
		return tcop__arg_keys(s, 2);
	}
	return false;
}

static void
show_len(const StoreView *view, void *arg)
{
	*(uint64 *) arg = view->value_len;
}

static void
bitop_begin(ValueScan *scan)
{
	/* a version that has become longer is refused by the commit */
	scan->end = Min(scan->len, ((Bitop *) scan)->len);
}

static bool
bitop_see(ValueScan *scan, const uint8 *part, size_t len)
{
	const Bitop *b = (Bitop *) scan;
	uint8	   *to = b->result + scan->at - len;

	if (b->operation == BITOP_NOT)
		for (size_t i = 0; i < len; i++)
			to[i] = (uint8) ~part[i];
	else if (b->next == FIRST_SOURCE)
		memcpy(to, part, len);
	else if (b->operation == BITOP_AND)
		for (size_t i = 0; i < len; i++)
			to[i] &= part[i];
	else if (b->operation == BITOP_OR)
		for (size_t i = 0; i < len; i++)
			to[i] |= part[i];
	else
		for (size_t i = 0; i < len; i++)
			to[i] ^= part[i];
	return true;
}

/* bitop_lengths -- how long the result is; false: *result is what the command returns. */
static bool
bitop_lengths(Session *s, Bitop *b, TcopResult *result)
{
	StoreKey	target = tcop__key(s, 2);
	uint32		budget = TCOP_KEYS_PER_RUN;

	for (; b->next < s->argc; b->next++)
	{
		StoreKey	key = tcop__key(s, b->next);
		uint64		len;

		*result = TCOP_AGAIN;
		if (budget-- == 0 || !tcop__status(s, store_read_head(&key, show_len, &len, &s->gate), result))
			return false;
		b->len = Max(b->len, len);
	}
	if (!store_value_fits(&target, b->len))
		return tcop__status(s, STORE_TOO_LARGE, result);
	b->result = calloc(1, (size_t) Max(b->len, UINT64_C(1)));
	Verify(b->result != NULL);
	b->next = FIRST_SOURCE;
	return true;
}

static bool
bitop_values(Session *s, Bitop *b, TcopResult *result)
{
	uint32		budget = TCOP_KEYS_PER_RUN;
	uint64		bytes = 0;

	while (b->next < s->argc)
	{
		ValueScan  *scan = &b->scan;

		*result = TCOP_AGAIN;
		if (budget-- == 0 || bytes >= TCOP_COPY_PER_RUN)
			return false;
		scan->begin = bitop_begin;
		scan->see = bitop_see;
		if (!tcop__scan_value(s, b->next, &scan, sizeof(Bitop), result))
			return false;
		tcop__looked(s, b->next, scan->exists);
		if (b->operation == BITOP_AND)
			memset(b->result + scan->end, 0, (size_t) (b->len - scan->end));
		bytes += scan->end;
		memset(scan, 0, sizeof(*scan));
		b->next++;
	}
	return true;
}

static StoreAction
decide_bitop(const StoreView *view, StoreChange *change, void *arg)
{
	const Bitop *b = arg;

	if (b->len == 0)
		return view->exists ? STORE_DELETE : STORE_KEEP;
	change->part[0] = (BytePart) {b->result, b->len};
	change->part_count = 1;
	return STORE_PUT;
}

static TcopResult
bitop_body(Session *s)
{
	Bitop	   *b = s->state;
	StoreKey	target = tcop__key(s, 2);
	StoreStatus status;
	StoreWritten w;
	TcopResult	result;

	if (b == NULL)
	{
		b = tcop__state(s, sizeof(Bitop), bitop_free);
		if (!bitop_parse(s, b))
			return TCOP_DONE;
	}
	if (b->step == BITOP_LENGTHS)
	{
		if (!bitop_lengths(s, b, &result))
			return result;
		b->step = BITOP_VALUES;
	}
	if (b->step == BITOP_VALUES)
	{
		if (!bitop_values(s, b, &result))
			return result;
		b->step = BITOP_WRITE;
	}
	status = store_write_head(&target, decide_bitop, b, &w);
	tcop__changed(s, &w);
	if (!tcop__status(s, status, &result))
		return result;
	if (w.changed && b->len == 0)
		tcop__notify(s, NOTIFY_GENERIC, "del", &target);
	else if (w.changed)
		tcop__written(s, 2, !w.existed, "set");
	reply_int(&s->out, (int64) b->len);
	return TCOP_DONE;
}

TcopResult
tcop__bitop(Session *s)
{
	return tcop__atomically(s, bitop_body);
}
