/*
 * conditional.c -- changes that depend on what there is: the conditions of SET and
 * DELEX (IFEQ IFNE IFDEQ IFDNE IFVERSION), DELIFEQ, DELEX, DIGEST.
 *
 * A condition is looked at in the decision, hence true of exactly the version that
 * is replaced.  A key that is absent has no value: it is equal to none (IFEQ and
 * IFDEQ refuse, IFNE and IFDNE let pass), and its version is 0.
 *
 * A digest is the XXH3 hash of 64 bits (libxxhash), written as 16 hex digits.
 */
#include "common/c.h"

#include <xxhash.h>

#include "tcop/strings_internal.h"

#define DIGEST_DIGITS 16

/* of decisions, made before the first one: nothing is allocated inside an epoch */
static XXH3_state_t *decision_state;

/* ---- conditions ---- */

/* digest_parse -- 16 hex digits, upper or lower case. */
static bool
digest_parse(const BytePart *text, uint64 *digest)
{
	const uint8 *p = text->data;

	*digest = 0;
	if (text->len != DIGEST_DIGITS)
		return false;
	for (int i = 0; i < DIGEST_DIGITS; i++)
	{
		uint8		c = p[i] | 0x20;	/* letters in lower case, digits as they are */

		if (p[i] >= '0' && p[i] <= '9')
			*digest = *digest << 4 | (uint64) (p[i] - '0');
		else if (c >= 'a' && c <= 'f')
			*digest = *digest << 4 | (uint64) (c - 'a' + 10);
		else
			return false;
	}
	return true;
}

ConditionOption
tcop__condition_option(Session *s, uint32 *i, Condition *c)
{
	static const struct
	{
		const char *word;
		ConditionKind kind;
	}			options[] = {{"ifeq", CONDITION_EQUAL}, {"ifne", CONDITION_NOT_EQUAL}, {"ifdeq", CONDITION_DIGEST},
	{"ifdne", CONDITION_NOT_DIGEST}, {"ifversion", CONDITION_VERSION}};
	ConditionKind kind = CONDITION_NONE;

	for (size_t o = 0; o < lengthof(options); o++)
		if (tcop__arg_is(s, *i, options[o].word))
			kind = options[o].kind;
	if (likely(kind == CONDITION_NONE))
		return CONDITION_OTHER;
	if (c->kind != CONDITION_NONE || *i + 1 >= s->argc)
	{
		tcop__error_syntax(s);
		return CONDITION_WRONG;
	}
	c->kind = kind;
	c->value = &s->argv[++*i];
	if (kind == CONDITION_DIGEST || kind == CONDITION_NOT_DIGEST)
	{
		if (decision_state == NULL)
			decision_state = XXH3_createState();
		Verify(decision_state != NULL);
		if (!digest_parse(c->value, &c->digest))
		{
			reply_error(&s->out, "ERR must be exactly %d hexadecimal characters", DIGEST_DIGITS);
			return CONDITION_WRONG;
		}
	}
	if (kind == CONDITION_VERSION && !number_parse_unsigned(c->value->data, c->value->len, &c->version))
	{
		reply_error(&s->out, "ERR value is not an integer or out of range");
		return CONDITION_WRONG;
	}
	return CONDITION_TAKEN;
}

bool
tcop__view_equals(const StoreView *view, const BytePart *bytes)
{
	uint64		offset = 0;

	if (view->value_len != bytes->len)
		return false;
	while (offset < bytes->len)
	{
		size_t		len;
		const uint8 *part = store_view_part(view, offset, &len);

		if (memcmp(part, (const uint8 *) bytes->data + offset, len) != 0)
			return false;
		offset += len;
	}
	return true;
}

static uint64
view_digest(const StoreView *view)
{
	size_t		len;

	XXH3_64bits_reset(decision_state);
	for (uint64 offset = 0; offset < view->value_len; offset += len)
	{
		const uint8 *part = store_view_part(view, offset, &len);

		XXH3_64bits_update(decision_state, part, len);
	}
	return XXH3_64bits_digest(decision_state);
}

bool
tcop__condition_holds(const StoreView *view, const Condition *c)
{
	switch (c->kind)
	{
		case CONDITION_NONE:
			return true;
		case CONDITION_ABSENT:
			return !view->exists;
		case CONDITION_PRESENT:
			return view->exists;
		case CONDITION_EQUAL:
			return view->exists && tcop__view_equals(view, c->value);
		case CONDITION_NOT_EQUAL:
			return !view->exists || !tcop__view_equals(view, c->value);
		case CONDITION_DIGEST:
			return view->exists && view_digest(view) == c->digest;
		case CONDITION_NOT_DIGEST:
			return !view->exists || view_digest(view) != c->digest;
		case CONDITION_VERSION:
			return c->version == (view->exists ? view->lsn : LSN_NONE);
	}
	NotReached();
}

/* ---- DELIFEQ, DELEX ---- */
typedef struct DeleteArg
{
	Condition	condition;
	bool		refused;		/* by IFVERSION: there is another version, or none */
	OldValue	old;
} DeleteArg;

static StoreAction
decide_delete(const StoreView *view, StoreChange *change, void *arg)
{
	DeleteArg  *a = arg;

	(void) change;
	a->old.taken = true;
	a->refused = !tcop__condition_holds(view, &a->condition);
	if (a->refused && a->condition.kind == CONDITION_VERSION)
		tcop__old_take(view, &a->old);
	return a->refused || !view->exists ? STORE_KEEP : STORE_DELETE;
}

/* delete_if -- 1 or 0; what IFVERSION refuses is answered with value and version of what there is. */
static TcopResult
delete_if(Session *s, DeleteArg *a)
{
	StoreWritten w;
	TcopResult	result;

	if (a->condition.kind == CONDITION_NONE ? !tcop__write_by(store_write_head, s, decide_delete, a, &w, &result)
		: !tcop__write_taking(s, decide_delete, a, &a->old, &w, &result))
		return result;
	if (w.changed)
	{
		StoreKey	key = tcop__key(s, 1);

		tcop__notify(s, NOTIFY_GENERIC, "del", &key);
	}
	if (a->refused && a->condition.kind == CONDITION_VERSION)
	{
		reply_array(&s->out, 2);
		tcop__old_reply(s, &a->old);
		tcop__reply_version(s, a->old.exists ? w.version : LSN_NONE);
	}
	else
		reply_int(&s->out, w.changed);
	return TCOP_DONE;
}

TcopResult
tcop__delifeq(Session *s)
{
	DeleteArg	arg = {.condition = {.kind = CONDITION_EQUAL, .value = &s->argv[2]}};

	return delete_if(s, &arg);
}

TcopResult
tcop__delex(Session *s)
{
	DeleteArg	arg = {.condition.kind = CONDITION_NONE};

	for (uint32 i = 2; i < s->argc; i++)
		switch (tcop__condition_option(s, &i, &arg.condition))
		{
			case CONDITION_TAKEN:
				break;
			case CONDITION_WRONG:
				return TCOP_DONE;
			case CONDITION_OTHER:
				tcop__error_syntax(s);
				return TCOP_DONE;
		}
	return delete_if(s, &arg);
}

/* ---- DIGEST ---- */
typedef struct DigestScan
{
	ValueScan	scan;
	XXH3_state_t *state;
} DigestScan;

static void
digest_begin(ValueScan *scan)
{
	XXH3_64bits_reset(((DigestScan *) scan)->state);
	scan->end = scan->len;
}

static bool
digest_see(ValueScan *scan, const uint8 *part, size_t len)
{
	XXH3_64bits_update(((DigestScan *) scan)->state, part, len);
	return true;
}

static void
digest_free(void *arg)
{
	DigestScan *digest = arg;

	XXH3_freeState(digest->state);
	free(digest);
}

TcopResult
tcop__digest(Session *s)
{
	DigestScan *digest = s->state;
	ValueScan  *scan;
	TcopResult	result;

	if (digest == NULL)
	{
		digest = tcop__state(s, sizeof(DigestScan), digest_free);
		digest->scan.begin = digest_begin;
		digest->scan.see = digest_see;
		digest->state = XXH3_createState();
		Verify(digest->state != NULL);
	}
	scan = &digest->scan;
	if (!tcop__scan_value(s, 1, &scan, sizeof(DigestScan), &result))
		return result;
	tcop__looked(s, 1, scan->exists);
	if (scan->exists)
	{
		char		text[DIGEST_DIGITS + 1];

		snprintf(text, sizeof(text), "%016llx", (unsigned long long) XXH3_64bits_digest(digest->state));
		reply_bulk(&s->out, text, DIGEST_DIGITS);
	}
	else
		reply_null(&s->out);
	return TCOP_DONE;
}
