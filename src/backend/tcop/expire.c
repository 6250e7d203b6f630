/*
 * expire.c -- deadlines of keys: EXPIRE PEXPIRE EXPIREAT PEXPIREAT, TTL PTTL
 * EXPIRETIME PEXPIRETIME, PERSIST.
 *
 * Clients speak of seconds and milliseconds, the store of microseconds; every
 * deadline that is set here is a whole number of milliseconds, so that what
 * PEXPIRETIME tells is what PEXPIREAT was given.  "Now" is store_clock_us(), by
 * which the store decides what has expired: a deadline that lies in the future
 * here does so there.  One that does not deletes the key at once.
 */
#include "common/c.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"

/* Later deadlines mean this one: 292,000 years from now the difference can be told. */
#define DEADLINE_MAX_MS (INT64_MAX / 1000)

enum { ONLY_WITHOUT = 1, ONLY_WITH = 2, ONLY_LATER = 4, ONLY_EARLIER = 8 };	/* NX XX GT LT */

static int64
now_ms(void)
{
	return (int64) (store_clock_us() / 1000);
}

/* ---- setting ---- */
typedef struct ExpireArg
{
	int64		when_ms;
	uint32		conditions;
	bool		passed;			/* when_ms is not in the future: delete */
} ExpireArg;

/* holds -- do the conditions let the deadline of this value be changed? */
static bool
holds(const ExpireArg *a, const StoreView *view)
{
	bool		has_one = view->expiry != 0;
	int64		present_ms = (int64) (view->expiry / 1000);

	if ((a->conditions & ONLY_WITHOUT) != 0 && has_one)
		return false;
	if ((a->conditions & ONLY_WITH) != 0 && !has_one)
		return false;
	/* no deadline counts as one that never comes */
	if ((a->conditions & ONLY_LATER) != 0 && (!has_one || a->when_ms <= present_ms))
		return false;
	if ((a->conditions & ONLY_EARLIER) != 0 && has_one && a->when_ms >= present_ms)
		return false;
	return true;
}

static StoreAction
decide_expire(const StoreView *view, StoreChange *change, void *arg)
{
	const ExpireArg *a = arg;

	if (!view->exists || !holds(a, view))
		return STORE_KEEP;
	if (a->passed)
		return STORE_DELETE;
	change->append_to_old = true;
	change->expiry = (uint64) a->when_ms * 1000;
	return STORE_PUT;
}

/* arg_conditions -- the words behind the time; false: the error is answered. */
static bool
arg_conditions(Session *s, uint32 *conditions)
{
	uint32		c = 0;

	for (uint32 i = 3; i < s->argc; i++)
	{
		if (tcop__arg_is(s, i, "nx"))
			c |= ONLY_WITHOUT;
		else if (tcop__arg_is(s, i, "xx"))
			c |= ONLY_WITH;
		else if (tcop__arg_is(s, i, "gt"))
			c |= ONLY_LATER;
		else if (tcop__arg_is(s, i, "lt"))
			c |= ONLY_EARLIER;
		else
		{
			reply_error(&s->out, "ERR Unsupported option %.*s", (int) Min((size_t) 128, s->argv[i].len),
						(const char *) s->argv[i].data);
			return false;
		}
	}
	if ((c & ONLY_WITHOUT) != 0 && c != ONLY_WITHOUT)
		reply_error(&s->out, "ERR NX and XX, GT or LT options at the same time are not compatible");
	else if ((c & ONLY_LATER) != 0 && (c & ONLY_EARLIER) != 0)
		reply_error(&s->out, "ERR GT and LT options at the same time are not compatible");
	else
	{
		*conditions = c;
		return true;
	}
	return false;
}

/*
 * arg_time -- argument 2 as a moment, milliseconds since 1970; may lie before that.
 * It is cut to what can be kept, so that GT and LT compare like with like.  False: the error is answered.
 */
static bool
arg_time(Session *s, bool seconds, bool relative, int64 *when_ms)
{
	int64		when;

	if (!tcop__arg_int(s, 2, &when, NULL))
		return false;
	if ((!seconds || !__builtin_mul_overflow(when, INT64_C(1000), &when)) &&
		!__builtin_add_overflow(when, relative ? now_ms() : 0, when_ms))
	{
		*when_ms = Min(*when_ms, (int64) DEADLINE_MAX_MS);
		return true;
	}
	reply_error(&s->out, "ERR invalid expire time in '%s' command", s->command->name);
	return false;
}

static TcopResult
expire(Session *s, bool seconds, bool relative)
{
	ExpireArg	arg;
	StoreKey	key;
	StoreStatus status;
	StoreWritten w;
	TcopResult	result;

	if (!arg_conditions(s, &arg.conditions) || !arg_time(s, seconds, relative, &arg.when_ms) ||
		!tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	arg.passed = arg.when_ms <= now_ms();
	/* a new deadline writes the value anew; a deletion does not look at it */
	status = arg.passed ? store_write_head(&key, decide_expire, &arg, &w) : store_write(&key, decide_expire, &arg, &w);
	tcop__changed(s, &w);
	if (!tcop__status(s, status, &result))
		return result;
	if (w.changed)
		tcop__notify(s, NOTIFY_GENERIC, arg.passed ? "del" : "expire", &key);
	reply_int(&s->out, w.changed);
	return TCOP_DONE;
}

TcopResult
tcop__expire(Session *s)
{
	return expire(s, true, true);
}

TcopResult
tcop__pexpire(Session *s)
{
	return expire(s, false, true);
}

TcopResult
tcop__expireat(Session *s)
{
	return expire(s, true, false);
}

TcopResult
tcop__pexpireat(Session *s)
{
	return expire(s, false, false);
}

static StoreAction
decide_persist(const StoreView *view, StoreChange *change, void *arg)
{
	(void) arg;
	if (!view->exists || view->expiry == 0)
		return STORE_KEEP;
	change->append_to_old = true;
	return STORE_PUT;
}

TcopResult
tcop__persist(Session *s)
{
	StoreKey	key;
	StoreStatus status;
	StoreWritten w;
	TcopResult	result;

	if (!tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	status = store_write(&key, decide_persist, NULL, &w);
	tcop__changed(s, &w);
	if (!tcop__status(s, status, &result))
		return result;
	if (w.changed)
		tcop__notify(s, NOTIFY_GENERIC, "persist", &key);
	reply_int(&s->out, w.changed);
	return TCOP_DONE;
}

/* ---- asking ---- */
typedef struct ExpiryRead
{
	bool		exists;
	uint64		expiry;
} ExpiryRead;

static void
show_expiry(const StoreView *view, void *arg)
{
	ExpiryRead *r = arg;

	r->exists = view->exists;
	r->expiry = view->expiry;
}

static TcopResult
ask(Session *s, bool seconds, bool relative)
{
	ExpiryRead	read;
	StoreKey	key;
	TcopResult	result;
	int64		answer;

	if (!tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	if (!tcop__status(s, store_read_head(&key, show_expiry, &read, &s->gate), &result))
		return result;
	stats_count(read.exists ? STAT_HITS : STAT_MISSES, 1);
	if (!read.exists)
		tcop__notify(s, NOTIFY_KEY_MISS, "keymiss", &key);
	if (!read.exists)
		answer = -2;
	else if (read.expiry == 0)
		answer = -1;
	else
	{
		answer = (int64) (read.expiry / 1000);
		if (relative)
			answer -= now_ms();
		if (seconds)
			answer = (answer + 500) / 1000;
	}
	reply_int(&s->out, answer);
	return TCOP_DONE;
}

TcopResult
tcop__ttl(Session *s)
{
	return ask(s, true, true);
}

TcopResult
tcop__pttl(Session *s)
{
	return ask(s, false, true);
}

TcopResult
tcop__expiretime(Session *s)
{
	return ask(s, true, false);
}

TcopResult
tcop__pexpiretime(Session *s)
{
	return ask(s, false, false);
}
