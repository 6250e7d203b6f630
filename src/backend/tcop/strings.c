/*
 * strings.c -- commands on one string: GET GETRANGE SUBSTR STRLEN, APPEND SETRANGE;
 * and what the other files of the family write with.
 *
 * Every change is one store_write with a function that decides, against the
 * version it replaces, what the new one is; what the reply needs of the old one
 * is copied there, too, and so is of exactly that version.
 */
#include "common/c.h"
#include "tcop/stats.h"
#include "tcop/strings_internal.h"

#define SCRATCH_KEPT (256 * KIB)

/* ---- reading ---- */

void
tcop__looked(Session *s, uint32 i, bool exists)
{
	stats_count(exists ? STAT_HITS : STAT_MISSES, 1);
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

/* absent -- the answer about a key that does not exist. */
static void
absent(Session *s, const ValueRead *value)
{
	if (value->ranged)
		reply_bulk(&s->out, NULL, 0);
	else
		reply_null(&s->out);
}

/* get_long -- of a value that goes out in pieces. */
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
				absent(s, &state->value);
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

static inline TcopResult
get(Session *s, ValueRead *value)
{
	StoreKey	key;
	TcopResult	result;

	if (!tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	if (unlikely(s->state != NULL))
		return get_long(s, &key, s->state);
	if (!tcop__status(s, tcop__read_value(s, &key, value), &result))
		return result;
	tcop__looked(s, 1, value->exists);
	if (!value->exists)
		absent(s, value);
	else if (unlikely(!value->shown))
	{
		GetState   *state = tcop__state(s, sizeof(GetState), NULL);

		state->value = *value;
		return get_long(s, &key, state);
	}
	return TCOP_DONE;
}

TcopResult
tcop__get(Session *s)
{
	ValueRead	value;

	value.ranged = false;
	return get(s, &value);
}

TcopResult
tcop__getrange(Session *s)
{
	ValueRead	value;

	value.ranged = true;
	if (!tcop__arg_int(s, 2, &value.from, NULL) || !tcop__arg_int(s, 3, &value.to, NULL))
		return TCOP_DONE;
	return get(s, &value);
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
tcop__written(Session *s, uint32 i, bool created, const char *event)
{
	StoreKey	key = tcop__key(s, i);

	if (created)
		tcop__notify(s, NOTIFY_NEW, "new", &key);
	tcop__notify(s, NOTIFY_STRING, event, &key);
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
	/* also by nothing: as in Redis the key counts as written, for WATCH and for those who are notified */
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
			tcop__written(s, 1, !w.existed, "append");
		reply_int(&s->out, (int64) arg.new_len);
	}
	return result;
}

typedef struct RangeArg
{
	const BytePart *value;
	uint64		offset;
	uint64		new_len;
} RangeArg;

static StoreAction
decide_setrange(const StoreView *view, StoreChange *change, void *arg)
{
	RangeArg   *a = arg;

	a->new_len = view->value_len;
	if (a->value->len == 0)
		return STORE_KEEP;
	a->new_len = Max(view->value_len, a->offset + a->value->len);
	change->patch_old = true;
	change->patch_at = a->offset;
	change->keep_expiry = true;
	change->part[0] = *a->value;
	change->part_count = 1;
	return STORE_PUT;
}

TcopResult
tcop__setrange(Session *s)
{
	RangeArg	arg = {.value = &s->argv[3]};
	int64		offset;
	StoreWritten w;
	TcopResult	result;

	if (!tcop__arg_int(s, 2, &offset, NULL))
		return TCOP_DONE;
	if (offset < 0)
	{
		reply_error(&s->out, "ERR offset is out of range");
		return TCOP_DONE;
	}
	arg.offset = (uint64) offset;
	if (tcop__write_by(store_write, s, decide_setrange, &arg, &w, &result))
	{
		if (w.changed)
			tcop__written(s, 1, !w.existed, "setrange");
		reply_int(&s->out, (int64) arg.new_len);
	}
	return result;
}
