/*
 * strings.c -- commands on string values: GET SET SETNX GETSET GETDEL MGET MSET
 * STRLEN APPEND INCR DECR INCRBY DECRBY.
 *
 * Every change is one store_write with a function that decides, against the
 * version it replaces, what the new one is; what the reply needs of the old one
 * is copied there, too, and so is of exactly that version.  What looks at nothing
 * (SET without options, MSET) is written blind: nothing is read from disk for it.
 */
#include "common/c.h"
#include "tcop/stats.h"
#include "tcop/strings_internal.h"

#define SCRATCH_KEPT (256 * KIB)

/* ---- reading ---- */

void
tcop__looked(Session *s, uint32 i, bool exists)
{
	stats_add(exists ? STAT_HITS : STAT_MISSES, 1);
	if (!exists)
	{
		StoreKey	key = tcop__key(s, i);

		tcop__notify(s, NOTIFY_KEY_MISS, "keymiss", &key);
	}
}

typedef struct GetState
{
	ValueRead	value;
	uint32		tries;
	bool		look;			/* the version that was going out is gone: the key must be looked at again */
} GetState;

/* get_long -- GET of a value that goes out in pieces. */
static TcopResult
get_long(Session *s, const StoreKey *key, GetState *state)
{
	TcopResult	result;

	for (;;)
	{
		if (state->look)
		{
			StoreStatus status = state->tries < TCOP_VALUE_TRIES ? tcop__read_value(s, key, &state->value)
				: tcop__value_whole(s, key, &state->value);

			if (!tcop__status(s, status, &result))
				return result;
			state->look = false;
			if (!state->value.exists)
			{
				reply_null(&s->out);
				return TCOP_DONE;
			}
			if (state->value.shown || s->out.overflow)
				return TCOP_DONE;
		}
		switch (tcop__value_piece(s, key, &state->value))
		{
			case VALUE_DONE:
			case VALUE_OVERFLOW:
				return TCOP_DONE;
			case VALUE_MORE:
				return TCOP_AGAIN;
			case VALUE_STATUS:
				if (tcop__status(s, state->value.status, &result))
					NotReached();
				return result;
			case VALUE_CHANGED:
				output_cut(&s->out, s->out_start);
				state->tries++;
				state->look = true;
				break;
		}
	}
}

TcopResult
tcop__get(Session *s)
{
	StoreKey	key;
	ValueRead	value;
	TcopResult	result;

	if (!tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	if (unlikely(s->state != NULL))
		return get_long(s, &key, s->state);
	if (!tcop__status(s, tcop__read_value(s, &key, &value), &result))
		return result;
	tcop__looked(s, 1, value.exists);
	if (!value.exists)
		reply_null(&s->out);
	else if (unlikely(!value.shown))
	{
		GetState   *state = tcop__state(s, sizeof(GetState), NULL);

		state->value = value;
		return get_long(s, &key, state);
	}
	return TCOP_DONE;
}

typedef struct LengthRead
{
	bool		exists;
	uint64		len;
} LengthRead;

static void
show_length(const StoreView *view, void *arg)
{
	LengthRead *r = arg;

	r->exists = view->exists;
	r->len = view->value_len;
}

TcopResult
tcop__strlen(Session *s)
{
	StoreKey	key;
	LengthRead	read;
	TcopResult	result;

	if (!tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	if (!tcop__status(s, store_read_head(&key, show_length, &read, &s->gate), &result))
		return result;
	tcop__looked(s, 1, read.exists);
	reply_int(&s->out, read.exists ? (int64) read.len : 0);
	return TCOP_DONE;
}

TcopResult
tcop__mget(Session *s)
{
	return tcop__read_several(s, true);
}

/* ---- writing ---- */

/* what a command keeps of the version it replaced; one at a time, so one buffer for all */
static uint8 *scratch;
static uint64 scratch_size;

bool
tcop__old_take(const StoreView *view, OldValue *old)
{
	old->exists = view->exists;
	old->len = view->value_len;
	old->taken = !view->exists || view->value_len <= scratch_size;
	if (old->taken && view->exists && view->value_len > 0)
		store_view_copy(view, 0, view->value_len, scratch);
	return old->taken;
}

static void
scratch_grow(uint64 len)
{
	free(scratch);
	scratch_size = Max(len + len / 8, (uint64) (64 * KIB));
	scratch = malloc(scratch_size);
	Verify(scratch != NULL);
}

void
tcop__old_reply(Session *s, const OldValue *old)
{
	if (!old->exists)
		reply_null(&s->out);
	else if (output_room(&s->out, old->len))
		reply_bulk(&s->out, scratch, old->len);
	if (scratch_size > SCRATCH_KEPT)
	{
		free(scratch);
		scratch = NULL;
		scratch_size = 0;
	}
}

bool
tcop__write_taking(Session *s, StoreDecide decide, void *arg, const OldValue *old, StoreWritten *w, TcopResult *result)
{
	for (;;)
	{
		if (!tcop__write_by(store_write, s, decide, arg, w, result))
			return false;
		if (old->taken)
			return true;
		scratch_grow(old->len);
	}
}

void
tcop__written(Session *s, uint32 i, const StoreWritten *w, const char *event)
{
	StoreKey	key = tcop__key(s, i);

	if (!w->existed)
		tcop__notify(s, NOTIFY_NEW, "new", &key);
	tcop__notify(s, NOTIFY_STRING, event, &key);
}

typedef struct PutArg
{
	const BytePart *value;
} PutArg;

static StoreAction
decide_put(const StoreView *view, StoreChange *change, void *arg)
{
	PutArg	   *a = arg;

	(void) view;
	change->part[0] = *a->value;
	change->part_count = 1;
	return STORE_PUT;
}

TcopResult
tcop__mset(Session *s)
{
	uint32		done = 0;
	StoreKey	key;

	if (s->argc % 2 == 0)
	{
		tcop__error_arity(s);
		return TCOP_DONE;
	}
	if (s->step == 0)
	{
		TcopResult	result;

		/* all keys and values are looked at before any is written */
		for (uint32 i = 1; i < s->argc; i += 2)
			if (!tcop__arg_key(s, i, &key) ||
				(!store_value_fits(&key, s->argv[i + 1].len) && !tcop__status(s, STORE_TOO_LARGE, &result)))
				return TCOP_DONE;
		s->step = 1;
	}
	for (; s->step < s->argc; s->step += 2)
	{
		PutArg		arg = {.value = &s->argv[s->step + 1]};
		StoreStatus status;
		StoreWritten w;
		TcopResult	result;

		if (done++ == TCOP_KEYS_PER_RUN)
			return TCOP_AGAIN;
		key.db = s->db;
		key.len = (uint32) s->argv[s->step].len;
		key.data = s->argv[s->step].data;
		status = store_write_blind(&key, decide_put, &arg, &w);
		tcop__changed(s, &w);
		if (!tcop__status(s, status, &result))
			return result;
	}
	reply_ok(&s->out);
	return TCOP_DONE;
}

typedef struct AppendArg
{
	const BytePart *value;
	uint64		new_len;
} AppendArg;

static StoreAction
decide_append(const StoreView *view, StoreChange *change, void *arg)
{
	AppendArg  *a = arg;

	a->new_len = (view->exists ? view->value_len : 0) + a->value->len;
	if (view->exists && a->value->len == 0)
		return STORE_KEEP;
	change->append_to_old = true;
	change->keep_expiry = true;
	change->part[0] = *a->value;
	change->part_count = 1;
	return STORE_PUT;
}

TcopResult
tcop__append(Session *s)
{
	AppendArg	arg = {.value = &s->argv[2]};
	StoreWritten w;
	TcopResult	result;

	if (tcop__write_by(store_write, s, decide_append, &arg, &w, &result))
	{
		if (w.changed)
			tcop__written(s, 1, &w, "append");
		reply_int(&s->out, (int64) arg.new_len);
	}
	return result;
}

/* ---- counting ---- */
typedef enum CountError
{
	COUNT_OK,
	COUNT_NO_INTEGER,
	COUNT_OVERFLOW
} CountError;

typedef struct CountArg
{
	int64		increment;
	int64		value;
	CountError	error;
	char		text[NUMBER_TEXT_MAX];
} CountArg;

static StoreAction
decide_count(const StoreView *view, StoreChange *change, void *arg)
{
	CountArg   *a = arg;
	int64		old = 0;

	a->error = COUNT_OK;
	if (view->exists)
	{
		char		text[NUMBER_TEXT_MAX];

		a->error = COUNT_NO_INTEGER;
		if (view->value_len >= sizeof(text))
			return STORE_KEEP;
		if (view->value_len > 0)
			store_view_copy(view, 0, view->value_len, text);
		if (!number_parse(text, view->value_len, &old))
			return STORE_KEEP;
		a->error = COUNT_OK;
	}
	if (__builtin_add_overflow(old, a->increment, &a->value))
	{
		a->error = COUNT_OVERFLOW;
		return STORE_KEEP;
	}
	change->keep_expiry = true;
	change->part[0] = (BytePart) {a->text, number_format(a->text, a->value)};
	change->part_count = 1;
	return STORE_PUT;
}

static TcopResult
count_by(Session *s, int64 increment)
{
	CountArg	arg = {.increment = increment};
	StoreWritten w;
	TcopResult	result;

	if (!tcop__write_by(store_write, s, decide_count, &arg, &w, &result))
		return result;
	switch (arg.error)
	{
		case COUNT_OK:
			tcop__written(s, 1, &w, "incrby");
			reply_int(&s->out, arg.value);
			break;
		case COUNT_NO_INTEGER:
			reply_error(&s->out, "ERR value is not an integer or out of range");
			break;
		case COUNT_OVERFLOW:
			reply_error(&s->out, "ERR increment or decrement would overflow");
			break;
	}
	return TCOP_DONE;
}

TcopResult
tcop__incr(Session *s)
{
	return count_by(s, 1);
}

TcopResult
tcop__decr(Session *s)
{
	return count_by(s, -1);
}

TcopResult
tcop__incrby(Session *s)
{
	int64		by;

	return tcop__arg_int(s, 2, &by, NULL) ? count_by(s, by) : TCOP_DONE;
}

TcopResult
tcop__decrby(Session *s)
{
	int64		by;

	if (!tcop__arg_int(s, 2, &by, NULL))
		return TCOP_DONE;
	if (by == INT64_MIN)
	{
		reply_error(&s->out, "ERR decrement would overflow");
		return TCOP_DONE;
	}
	return count_by(s, -by);
}
