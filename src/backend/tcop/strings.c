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
#include "tcop/tcop_internal.h"

#define SCRATCH_KEPT (256 * KIB)

/* ---- reading ---- */
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
	stats_add(value.exists ? STAT_HITS : STAT_MISSES, 1);
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
	stats_add(read.exists ? STAT_HITS : STAT_MISSES, 1);
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

typedef struct OldValue
{
	bool		exists;
	bool		taken;
	uint64		len;
} OldValue;

/*
 * old_value_take -- in a decision: copies the value that is about to be replaced.
 * False: the buffer is too short; the decision keeps everything as it is, and
 * the command decides again after scratch_grow.
 */
static bool
old_value_take(const StoreView *view, OldValue *old)
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

/* old_value_reply -- the old value or nil; gives an unusually long buffer back. */
static void
old_value_reply(Session *s, const OldValue *old)
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

typedef struct SetArg
{
	const BytePart *value;
	bool		only_absent;	/* NX */
	bool		only_present;	/* XX */
	bool		get;
	OldValue	old;
} SetArg;

static StoreAction
decide_set(const StoreView *view, StoreChange *change, void *arg)
{
	SetArg	   *a = arg;

	if (a->get && !old_value_take(view, &a->old))
		return STORE_KEEP;
	if ((a->only_absent && view->exists) || (a->only_present && !view->exists))
		return STORE_KEEP;
	change->part[0] = *a->value;
	change->part_count = 1;
	return STORE_PUT;
}

typedef StoreStatus (*StoreWriter)(const StoreKey *key, StoreDecide decide, void *arg, StoreWritten *out);

/* write_by -- a write of argument 1; false: *result is what the command returns. */
static inline bool
write_by(StoreWriter write, Session *s, StoreDecide decide, void *arg, StoreWritten *w, TcopResult *result)
{
	StoreKey	key;
	StoreStatus status;

	*result = TCOP_DONE;
	if (!tcop__arg_key(s, 1, &key))
		return false;
	status = write(&key, decide, arg, w);
	tcop__changed(s, w);
	return tcop__status(s, status, result);
}

static bool
write_key(Session *s, StoreDecide decide, void *arg, StoreWritten *w, TcopResult *result)
{
	return write_by(store_write, s, decide, arg, w, result);
}

/* write_taking -- ... by a decision that takes the old value. */
static bool
write_taking(Session *s, StoreDecide decide, void *arg, const OldValue *old, StoreWritten *w, TcopResult *result)
{
	for (;;)
	{
		if (!write_key(s, decide, arg, w, result))
			return false;
		if (old->taken)
			return true;
		scratch_grow(old->len);
	}
}

TcopResult
tcop__set(Session *s)
{
	SetArg		arg = {.value = &s->argv[2]};
	StoreWritten w;
	TcopResult	result;

	for (uint32 i = 3; i < s->argc; i++)
	{
		if (tcop__arg_is(s, i, "nx") && !arg.only_present)
			arg.only_absent = true;
		else if (tcop__arg_is(s, i, "xx") && !arg.only_absent)
			arg.only_present = true;
		else if (tcop__arg_is(s, i, "get"))
			arg.get = true;
		else
		{
			tcop__error_syntax(s);
			return TCOP_DONE;
		}
	}
	if (unlikely(arg.get))
	{
		if (write_taking(s, decide_set, &arg, &arg.old, &w, &result))
		{
			stats_add(arg.old.exists ? STAT_HITS : STAT_MISSES, 1);
			old_value_reply(s, &arg.old);
		}
		return result;
	}
	if (arg.only_absent || arg.only_present)
	{
		if (write_by(store_write_head, s, decide_set, &arg, &w, &result))
		{
			if (w.changed)
				reply_ok(&s->out);
			else
				reply_null(&s->out);
		}
	}
	else if (likely(write_by(store_write_blind, s, decide_set, &arg, &w, &result)))
		reply_ok(&s->out);
	return result;
}

TcopResult
tcop__setnx(Session *s)
{
	SetArg		arg = {.value = &s->argv[2], .only_absent = true};
	StoreWritten w;
	TcopResult	result;

	if (write_by(store_write_head, s, decide_set, &arg, &w, &result))
		reply_int(&s->out, w.changed);
	return result;
}

TcopResult
tcop__getset(Session *s)
{
	SetArg		arg = {.value = &s->argv[2], .get = true};
	StoreWritten w;
	TcopResult	result;

	if (write_taking(s, decide_set, &arg, &arg.old, &w, &result))
	{
		stats_add(arg.old.exists ? STAT_HITS : STAT_MISSES, 1);
		old_value_reply(s, &arg.old);
	}
	return result;
}

static StoreAction
decide_getdel(const StoreView *view, StoreChange *change, void *arg)
{
	OldValue   *old = arg;

	(void) change;
	return old_value_take(view, old) ? STORE_DELETE : STORE_KEEP;
}

TcopResult
tcop__getdel(Session *s)
{
	OldValue	old = {false};
	StoreWritten w;
	TcopResult	result;

	if (write_taking(s, decide_getdel, &old, &old, &w, &result))
	{
		stats_add(old.exists ? STAT_HITS : STAT_MISSES, 1);
		old_value_reply(s, &old);
	}
	return result;
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
		SetArg		arg = {.value = &s->argv[s->step + 1]};
		StoreStatus status;
		StoreWritten w;
		TcopResult	result;

		if (done++ == TCOP_KEYS_PER_RUN)
			return TCOP_AGAIN;
		key.db = s->db;
		key.len = (uint32) s->argv[s->step].len;
		key.data = s->argv[s->step].data;
		status = store_write_blind(&key, decide_set, &arg, &w);
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

	if (write_key(s, decide_append, &arg, &w, &result))
		reply_int(&s->out, (int64) arg.new_len);
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

	if (!write_key(s, decide_count, &arg, &w, &result))
		return result;
	switch (arg.error)
	{
		case COUNT_OK:
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
