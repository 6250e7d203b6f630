/*
 * set.c -- giving a key a value: SET with its options, SETNX SETEX PSETEX GETSET,
 * and the two that read and change at once: GETDEL GETEX.
 *
 * Each is one write with a function that decides against the version it replaces:
 * condition, old value and new deadline all are of exactly that version.  What
 * looks at nothing (SET, also with EX or PX) is written blind: nothing is read
 * from disk for it.
 *
 * Deadlines that are set here are whole milliseconds, so that PEXPIRETIME tells what
 * PXAT was given.  One that has passed already (EXAT, PXAT) takes the key away, as Redis
 * does: the reply is the same as if it had been set and had expired at once.
 */
#include "common/c.h"
#include "tcop/strings_internal.h"

/* ---- deadlines ---- */

/* later deadlines mean this one: 292,000 years from now the difference can be told */
#define TIME_MS_MAX (INT64_MAX / 1000)

bool
tcop__time_option(const Session *s, uint32 *i, TimeOption *t, const char *word, TimeKind kind)
{
	static const struct
	{
		const char *word;
		TimeKind	kind;
	}			options[] = {{"ex", TIME_EX}, {"px", TIME_PX}, {"exat", TIME_EXAT}, {"pxat", TIME_PXAT}};
	TimeKind	found = TIME_NONE;

	if (tcop__arg_is(s, *i, word))
		found = kind;
	for (size_t o = 0; o < lengthof(options) && found == TIME_NONE; o++)
		if (tcop__arg_is(s, *i, options[o].word))
		{
			if (*i + 1 >= s->argc)
				return false;
			found = options[o].kind;
		}
	if (found == TIME_NONE || (t->kind != TIME_NONE && t->kind != found))
		return false;
	t->kind = found;
	if (found != kind)
		t->word = ++*i;
	return true;
}

TimeError
tcop__time_resolve(const Session *s, TimeOption *t)
{
	bool		seconds = t->kind == TIME_EX || t->kind == TIME_EXAT;
	bool		relative = t->kind == TIME_EX || t->kind == TIME_PX;
	int64		now_ms = (int64) (store_clock_us() / 1000);
	int64		ms;

	t->expiry = 0;
	t->past = false;
	if (t->kind == TIME_NONE || t->kind == TIME_KEEP || t->kind == TIME_PERSIST)
		return TIME_VALID;
	if (!number_parse(s->argv[t->word].data, s->argv[t->word].len, &ms))
		return TIME_NO_INTEGER;
	if (ms <= 0 || (seconds && __builtin_mul_overflow(ms, INT64_C(1000), &ms)) ||
		(relative && __builtin_add_overflow(ms, now_ms, &ms)))
		return TIME_INVALID;
	t->expiry = (uint64) Min(ms, TIME_MS_MAX) * 1000;
	t->past = ms <= now_ms;
	return TIME_VALID;
}

void
tcop__error_time(Session *s, TimeError error)
{
	if (error == TIME_NO_INTEGER)
		reply_error(&s->out, "ERR value is not an integer or out of range");
	else
		reply_error(&s->out, "ERR invalid expire time in '%s' command", s->command->name);
}

/* ---- SET ---- */
typedef struct SetArg
{
	const BytePart *value;
	Condition	condition;
	TimeOption	time;
	bool		get;
	bool		version;		/* the reply is the new one */
	bool		refused;		/* the condition does not hold */
	OldValue	old;
} SetArg;

static StoreAction
decide_set(const StoreView *view, StoreChange *change, void *arg)
{
	SetArg	   *a = arg;

	a->old.taken = true;
	if (unlikely(a->get) && !tcop__old_take(view, &a->old))
		return STORE_KEEP;
	a->refused = a->condition.kind != CONDITION_NONE && !tcop__condition_holds(view, &a->condition);
	if (a->refused)
	{
		/* who asked for a version is told what there is instead */
		if (a->condition.kind == CONDITION_VERSION)
			tcop__old_take(view, &a->old);
		return STORE_KEEP;
	}
	if (unlikely(a->time.past))
		return view->exists ? STORE_DELETE : STORE_KEEP;
	change->part[0] = *a->value;
	change->part_count = 1;
	change->keep_expiry = a->time.kind == TIME_KEEP;
	change->expiry = a->time.expiry;
	return STORE_PUT;
}

/* notify_set -- what the write has done. */
static void
notify_set(Session *s, const SetArg *a, const StoreWritten *w)
{
	StoreKey	key = tcop__key(s, 1);

	if (!w->changed)
		return;
	if (unlikely(a->time.past))
	{
		tcop__notify(s, NOTIFY_GENERIC, "del", &key);
		return;
	}
	/* a blind write has not looked, but then nobody wants to hear of new keys */
	tcop__written(s, 1, !w->existed, "set");
	if (a->time.expiry != 0)
		tcop__notify(s, NOTIFY_GENERIC, "expire", &key);
}

/*
 * answer_set -- OK or nil; with GET the old value in any case; with VERSION the new
 * version in place of OK; with both an array of the two.  What IFVERSION refuses is
 * answered with what there is: value and version.
 */
static void
answer_set(Session *s, const SetArg *a, const StoreWritten *w)
{
	if (a->refused && a->condition.kind == CONDITION_VERSION)
	{
		reply_array(&s->out, 2);
		tcop__old_reply(s, &a->old);
		tcop__reply_version(s, a->old.exists ? w->version : LSN_NONE);
		return;
	}
	if (a->get)
	{
		if (a->version)
			reply_array(&s->out, 2);
		tcop__old_reply(s, &a->old);
		if (!a->version)
			return;
	}
	if (a->refused)
		reply_null(&s->out);
	else if (a->version)
		tcop__reply_version(s, a->time.past ? LSN_NONE : w->version);
	else
		reply_ok(&s->out);
}

/* set_by -- the write that the options call for: it looks at as little as they need. */
static bool
set_by(Session *s, SetArg *a, StoreWritten *w, TcopResult *result)
{
	if (a->get || a->condition.kind > CONDITION_PRESENT)
		return tcop__write_taking(s, decide_set, a, &a->old, w, result);
	if (a->condition.kind != CONDITION_NONE || a->time.kind == TIME_KEEP || a->time.past ||
		(tcop__notify_wanted & NOTIFY_NEW) != 0)
		return tcop__write_by(store_write_head, s, decide_set, a, w, result);
	return tcop__write_by(store_write_blind, s, decide_set, a, w, result);
}

/* set_option -- argument *i; false: it is none that may stand here, or its error is answered. */
static bool
set_option(Session *s, uint32 *i, SetArg *a)
{
	uint64		errors = s->out.errors;

	switch (tcop__condition_option(s, i, &a->condition))
	{
		case CONDITION_TAKEN:
			return true;
		case CONDITION_WRONG:
			return false;
		case CONDITION_OTHER:
			break;
	}
	if (tcop__arg_is(s, *i, "get"))
		return a->get = true;
	if (tcop__arg_is(s, *i, "version"))
		return a->version = true;
	if (tcop__arg_is(s, *i, "nx") || tcop__arg_is(s, *i, "xx"))
	{
		ConditionKind kind = tcop__arg_is(s, *i, "nx") ? CONDITION_ABSENT : CONDITION_PRESENT;

		if (a->condition.kind == CONDITION_NONE || a->condition.kind == kind)
		{
			a->condition.kind = kind;
			return true;
		}
	}
	else if (tcop__time_option(s, i, &a->time, "keepttl", TIME_KEEP))
		return true;
	if (s->out.errors == errors)
		tcop__error_syntax(s);
	return false;
}

TcopResult
tcop__set(Session *s)
{
	SetArg		arg = {.value = &s->argv[2]};
	TimeError	error;
	StoreWritten w;
	TcopResult	result;

	for (uint32 i = 3; i < s->argc; i++)
		if (!set_option(s, &i, &arg))
			return TCOP_DONE;
	if (unlikely(arg.get && arg.condition.kind == CONDITION_VERSION))
	{
		tcop__error_syntax(s);
		return TCOP_DONE;
	}
	error = tcop__time_resolve(s, &arg.time);
	if (unlikely(error != TIME_VALID))
	{
		tcop__error_time(s, error);
		return TCOP_DONE;
	}
	if (!set_by(s, &arg, &w, &result))
		return result;
	if (arg.get)
		tcop__looked(s, 1, arg.old.exists);
	notify_set(s, &arg, &w);
	answer_set(s, &arg, &w);
	return TCOP_DONE;
}

TcopResult
tcop__setnx(Session *s)
{
	SetArg		arg = {.value = &s->argv[2], .condition.kind = CONDITION_ABSENT};
	StoreWritten w;
	TcopResult	result;

	if (set_by(s, &arg, &w, &result))
	{
		notify_set(s, &arg, &w);
		reply_int(&s->out, w.changed);
	}
	return result;
}

/* set_for -- SETEX, PSETEX: key, time, value. */
static TcopResult
set_for(Session *s, TimeKind kind)
{
	SetArg		arg = {.value = &s->argv[3], .time = {.kind = kind, .word = 2}};
	TimeError	error = tcop__time_resolve(s, &arg.time);
	StoreWritten w;
	TcopResult	result;

	if (error != TIME_VALID)
	{
		tcop__error_time(s, error);
		return TCOP_DONE;
	}
	if (set_by(s, &arg, &w, &result))
	{
		notify_set(s, &arg, &w);
		reply_ok(&s->out);
	}
	return result;
}

TcopResult
tcop__setex(Session *s)
{
	return set_for(s, TIME_EX);
}

TcopResult
tcop__psetex(Session *s)
{
	return set_for(s, TIME_PX);
}

TcopResult
tcop__getset(Session *s)
{
	SetArg		arg = {.value = &s->argv[2], .get = true};
	StoreWritten w;
	TcopResult	result;

	if (set_by(s, &arg, &w, &result))
	{
		tcop__looked(s, 1, arg.old.exists);
		notify_set(s, &arg, &w);
		tcop__old_reply(s, &arg.old);
	}
	return result;
}

/* ---- reading and changing at once ---- */

static StoreAction
decide_getdel(const StoreView *view, StoreChange *change, void *arg)
{
	OldValue   *old = arg;

	(void) change;
	return tcop__old_take(view, old) && view->exists ? STORE_DELETE : STORE_KEEP;
}

TcopResult
tcop__getdel(Session *s)
{
	OldValue	old = {.taken = true};
	StoreWritten w;
	TcopResult	result;

	if (tcop__write_taking(s, decide_getdel, &old, &old, &w, &result))
	{
		StoreKey	key = tcop__key(s, 1);

		tcop__looked(s, 1, old.exists);
		if (w.changed)
			tcop__notify(s, NOTIFY_GENERIC, "del", &key);
		tcop__old_reply(s, &old);
	}
	return result;
}

typedef struct GetexArg
{
	TimeOption	time;
	TimeError	error;			/* told only if there is a value */
	OldValue	old;
} GetexArg;

static StoreAction
decide_getex(const StoreView *view, StoreChange *change, void *arg)
{
	GetexArg   *a = arg;

	if (!tcop__old_take(view, &a->old) || !view->exists || a->error != TIME_VALID)
		return STORE_KEEP;
	if (a->time.past)
		return STORE_DELETE;
	if (a->time.kind == TIME_PERSIST && view->expiry == 0)
		return STORE_KEEP;
	change->append_to_old = true;	/* the same value again */
	change->expiry = a->time.expiry;
	return STORE_PUT;
}

TcopResult
tcop__getex(Session *s)
{
	GetexArg	arg = {.time.kind = TIME_NONE};
	StoreWritten w;
	TcopResult	result;

	for (uint32 i = 2; i < s->argc; i++)
		if (!tcop__time_option(s, &i, &arg.time, "persist", TIME_PERSIST))
		{
			tcop__error_syntax(s);
			return TCOP_DONE;
		}
	if (arg.time.kind == TIME_NONE)
		return tcop__get(s);
	arg.error = tcop__time_resolve(s, &arg.time);
	if (!tcop__write_taking(s, decide_getex, &arg, &arg.old, &w, &result))
		return result;
	tcop__looked(s, 1, arg.old.exists);
	if (arg.old.exists && arg.error != TIME_VALID)
	{
		tcop__error_time(s, arg.error);
		return TCOP_DONE;
	}
	if (w.changed)
	{
		StoreKey	key = tcop__key(s, 1);

		tcop__notify(s, NOTIFY_GENERIC, arg.time.past ? "del" : arg.time.kind == TIME_PERSIST ? "persist" : "expire", &key);
	}
	tcop__old_reply(s, &arg.old);
	return TCOP_DONE;
}
