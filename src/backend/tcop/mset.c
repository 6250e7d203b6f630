/*
 * mset.c -- several strings at once: MGET MSET MSETNX MSETEX.
 *
 * MGET reads all keys as they were at one moment (several.c).  The others are
 * transactions: all keys and values are looked at, with the conditions, before
 * anything is written, and all of them change at one moment.
 */
#include "common/c.h"
#include "tcop/strings_internal.h"

TcopResult
tcop__mget(Session *s)
{
	return tcop__read_several(s, true);
}

/* ---- writing ---- */
typedef struct PairArg
{
	const BytePart *value;
	const TimeOption *time;
} PairArg;

static StoreAction
decide_pair(const StoreView *view, StoreChange *change, void *arg)
{
	const PairArg *a = arg;

	if (unlikely(a->time->past))
		return view->exists ? STORE_DELETE : STORE_KEEP;
	change->part[0] = *a->value;
	change->part_count = 1;
	change->keep_expiry = a->time->kind == TIME_KEEP;
	change->expiry = a->time->expiry;
	return STORE_PUT;
}

static void
show_exists(const StoreView *view, void *arg)
{
	*(bool *) arg = view->exists;
}

/*
 * Pairs -- keys and values from argument 'first' up to 'end', and what is to be done
 * with them.  The session's step counts what has been done: first each key is looked
 * at, if there is a condition, then each is written.
 */
typedef struct Pairs
{
	uint32		first;
	uint32		end;
	ConditionKind condition;	/* NONE, or of all: ABSENT, PRESENT */
	TimeOption	time;
} Pairs;

/* pairs_fit -- none of the keys and values is too long; else that is answered. */
static bool
pairs_fit(Session *s, const Pairs *p)
{
	StoreKey	key;
	TcopResult	result;

	for (uint32 i = p->first; i < p->end; i += 2)
		if (!tcop__arg_key(s, i, &key) ||
			(!store_value_fits(&key, s->argv[i + 1].len) && !tcop__status(s, STORE_TOO_LARGE, &result)))
			return false;
	return true;
}

/* pairs_look -- are all keys as the condition wants them?  false: that has not been found out, *result is what the command returns. */
static bool
pairs_look(Session *s, const Pairs *p, bool *holds, uint32 *budget, TcopResult *result)
{
	uint32		count = (p->end - p->first) / 2;

	*result = TCOP_DONE;
	*holds = true;
	for (; s->step < count && *holds; s->step++)
	{
		StoreKey	key = tcop__key(s, p->first + 2 * s->step);
		bool		exists;

		if ((*budget)-- == 0)
		{
			*result = TCOP_AGAIN;
			return false;
		}
		if (!tcop__status(s, store_read_head(&key, show_exists, &exists, &s->gate), result))
			return false;
		*holds = exists == (p->condition == CONDITION_PRESENT);
	}
	return true;
}

static bool
pairs_write(Session *s, const Pairs *p, uint32 *budget, TcopResult *result)
{
	uint32		count = (p->end - p->first) / 2;
	bool		look = p->time.kind == TIME_KEEP || p->time.past || (tcop__notify_wanted & NOTIFY_NEW) != 0;
	StoreWriter write = look ? store_write_head : store_write_blind;

	*result = TCOP_DONE;
	for (; s->step < 2 * count; s->step++)
	{
		uint32		i = p->first + 2 * (s->step - count);
		PairArg		arg = {&s->argv[i + 1], &p->time};
		StoreKey	key = tcop__key(s, i);
		StoreStatus status;
		StoreWritten w;

		if ((*budget)-- == 0)
		{
			*result = TCOP_AGAIN;
			return false;
		}
		status = write(&key, decide_pair, &arg, &w);
		tcop__changed(s, &w);
		if (!tcop__status(s, status, result))
			return false;
		if (!w.changed)
			continue;			/* to be deleted, and not there */
		if (unlikely(p->time.past))
			tcop__notify(s, NOTIFY_GENERIC, "del", &key);
		else
			tcop__written(s, i, !w.existed, "set");
		if (p->time.expiry != 0 && !p->time.past)
			tcop__notify(s, NOTIFY_GENERIC, "expire", &key);
	}
	return true;
}

/* pairs_set -- one run; true: they are set, or refused: *set. */
static bool
pairs_set(Session *s, const Pairs *p, bool *set, TcopResult *result)
{
	uint32		budget = TCOP_KEYS_PER_RUN;
	uint32		count = (p->end - p->first) / 2;

	*set = true;
	if (s->step < count)
	{
		if (p->condition == CONDITION_NONE)
			s->step = count;
		else if (!pairs_look(s, p, set, &budget, result))
			return false;
		if (!*set)
			return true;
	}
	return pairs_write(s, p, &budget, result);
}

/* ---- MSET, MSETNX ---- */

static TcopResult
mset_body(Session *s)
{
	Pairs		p = {.first = 1, .end = s->argc};
	bool		set;
	TcopResult	result;

	if (!pairs_set(s, &p, &set, &result))
		return result;
	reply_ok(&s->out);
	return TCOP_DONE;
}

static TcopResult
msetnx_body(Session *s)
{
	Pairs		p = {.first = 1, .end = s->argc, .condition = CONDITION_ABSENT};
	bool		set;
	TcopResult	result;

	if (!pairs_set(s, &p, &set, &result))
		return result;
	reply_int(&s->out, set);
	return TCOP_DONE;
}

static TcopResult
mset(Session *s, TcopResult (*body)(Session *s))
{
	Pairs		p = {.first = 1, .end = s->argc};

	if (s->argc % 2 == 0)
	{
		tcop__error_arity(s);
		return TCOP_DONE;
	}
	if (s->step == 0 && !pairs_fit(s, &p))
		return TCOP_DONE;
	if (s->argc == 3 && body == mset_body)
		return body(s);			/* one write */
	return tcop__atomically(s, body);
}

TcopResult
tcop__mset(Session *s)
{
	return mset(s, mset_body);
}

TcopResult
tcop__msetnx(Session *s)
{
	return mset(s, msetnx_body);
}

/* ---- MSETEX ---- */

/* msetex_parse -- false: the error is answered.  Deadlines that are relative count from the first run on: *p is the same in each. */
static bool
msetex_parse(Session *s, Pairs *p)
{
	TimeError	error;
	int64		count;

	if (!number_parse(s->argv[1].data, s->argv[1].len, &count) || count < 1 || count > INT32_MAX)
	{
		reply_error(&s->out, "ERR invalid numkeys value");
		return false;
	}
	if (count > (s->argc - 2) / 2)
	{
		reply_error(&s->out, "ERR wrong number of key-value pairs");
		return false;
	}
	p->first = 2;
	p->end = 2 + 2 * (uint32) count;
	for (uint32 i = p->end; i < s->argc; i++)
	{
		if (tcop__arg_is(s, i, "nx") && p->condition != CONDITION_PRESENT)
			p->condition = CONDITION_ABSENT;
		else if (tcop__arg_is(s, i, "xx") && p->condition != CONDITION_ABSENT)
			p->condition = CONDITION_PRESENT;
		else if (!tcop__time_option(s, &i, &p->time, "keepttl", TIME_KEEP))
		{
			tcop__error_syntax(s);
			return false;
		}
	}
	error = tcop__time_resolve(s, &p->time);
	if (error != TIME_VALID)
		tcop__error_time(s, error);
	return error == TIME_VALID && pairs_fit(s, p);
}

static TcopResult
msetex_body(Session *s)
{
	Pairs	   *p = s->state;
	bool		set;
	TcopResult	result;

	if (p == NULL)
	{
		p = tcop__state(s, sizeof(Pairs), NULL);
		if (!msetex_parse(s, p))
			return TCOP_DONE;
	}
	if (!pairs_set(s, p, &set, &result))
		return result;
	reply_int(&s->out, set);
	return TCOP_DONE;
}

TcopResult
tcop__msetex(Session *s)
{
	return tcop__atomically(s, msetex_body);
}
