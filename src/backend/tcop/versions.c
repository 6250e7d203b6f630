/*
 * versions.c -- what clients see of versions: GETV, and the ASSERTs of MULTI.
 *
 * A key's version is the position in the log of its last change; 0 stands for a key
 * that does not exist, whether it never did, was deleted or has expired.
 */
#include "common/c.h"

#include "tcop/multi.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"

/* ---- GETV ---- */
typedef struct GetvState
{
	ValueRead	value;
	uint32		tries;
} GetvState;

/* getv_look -- the key as it is now; true: the reply is complete, or *result is not TCOP_DONE; false: it goes on in pieces. */
static bool
getv_look(Session *s, const StoreKey *key, ValueRead *value, bool whole, TcopResult *result)
{
	StoreStatus status;

	output_cut(&s->out, s->out_start);
	reply_array(&s->out, 2);
	status = whole ? tcop__value_whole(s, key, value) : tcop__read_value(s, key, value);
	if (!tcop__status(s, status, result) || s->out.overflow)
		return true;
	if (!value->exists)
	{
		reply_null(&s->out);
		reply_int(&s->out, 0);
	}
	else if (value->shown)
		tcop__reply_version(s, value->version);
	return !value->exists || value->shown;
}

static TcopResult
getv_long(Session *s, const StoreKey *key, GetvState *state)
{
	TcopResult	result;

	for (;;)
	{
		switch (tcop__value_piece(s, key, &state->value))
		{
			case VALUE_DONE:
				tcop__reply_version(s, state->value.version);
				return TCOP_DONE;
			case VALUE_OVERFLOW:
				return TCOP_DONE;
			case VALUE_MORE:
				return TCOP_AGAIN;
			case VALUE_STATUS:
				if (tcop__status(s, state->value.status, &result))
					NotReached();
				return result;
			case VALUE_CHANGED:
				state->tries++;
				if (getv_look(s, key, &state->value, state->tries >= TCOP_VALUE_TRIES, &result))
				{
					/* parked: looked at from the beginning next time */
					if (result != TCOP_DONE)
						tcop__state_drop(s);
					return result;
				}
				break;
		}
	}
}

TcopResult
tcop__getv(Session *s)
{
	StoreKey	key;
	ValueRead	value = {false};
	TcopResult	result;
	GetvState  *state = s->state;

	if (!tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	if (state == NULL)
	{
		if (getv_look(s, &key, &value, false, &result))
		{
			if (result == TCOP_DONE)
				stats_count(value.exists ? STAT_HITS : STAT_MISSES, 1);
			return result;
		}
		stats_count(STAT_HITS, 1);
		state = tcop__state(s, sizeof(GetvState), NULL);
		state->value = value;
	}
	return getv_long(s, &key, state);
}

/* ---- ASSERT ---- */
typedef struct Seen
{
	Lsn			version;		/* 0: it does not exist */
	bool		exists;
} Seen;

static void
show_seen(const StoreView *view, void *arg)
{
	Seen	   *seen = arg;

	seen->exists = view->exists;
	seen->version = view->exists ? view->lsn : LSN_NONE;
}

/* judge -- the assertion's outcome. */
static TcopResult
judge(Session *s, bool holds)
{
	if (holds)
		reply_ok(&s->out);
	else
		tcop__multi_break(s);
	return TCOP_DONE;
}

/* look -- at the key that an assertion is about; false: *result. */
static bool
look(Session *s, Seen *seen, TcopResult *result)
{
	StoreKey	key;

	*result = TCOP_DONE;
	if (!tcop__multi_running(s))
	{
		reply_error(&s->out, "ERR ASSERT without MULTI");
		return false;
	}
	return tcop__arg_key(s, 2, &key) && tcop__status(s, store_read_head(&key, show_seen, seen, &s->gate), result);
}

TcopResult
tcop__assert_exists(Session *s)
{
	Seen		seen;
	TcopResult	result;

	return look(s, &seen, &result) ? judge(s, seen.exists) : result;
}

TcopResult
tcop__assert_absent(Session *s)
{
	Seen		seen;
	TcopResult	result;

	return look(s, &seen, &result) ? judge(s, !seen.exists) : result;
}

TcopResult
tcop__assert_version(Session *s)
{
	Seen		seen;
	TcopResult	result;
	uint64		version;

	if (!look(s, &seen, &result))
		return result;
	/* it was looked at when the command was queued */
	Verify(number_parse_unsigned(s->argv[3].data, s->argv[3].len, &version));
	/* what the transaction has written itself is of no version that a client could name */
	return judge(s, seen.version == version && seen.version != STORE_LSN_PENDING);
}

static StoreWalkNext
show_any(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg)
{
	(void) walk;
	(void) key;
	(void) key_len;
	(void) view;
	*(bool *) arg = true;
	return STORE_WALK_STOP;
}

TcopResult
tcop__assert_empty(Session *s)
{
	StoreWalk  *walk = s->state;
	StoreKey	prefix;
	TcopResult	result;
	bool		found = false;

	if (!tcop__multi_running(s))
	{
		reply_error(&s->out, "ERR ASSERT without MULTI");
		return TCOP_DONE;
	}
	if (!tcop__arg_key(s, 2, &prefix))
		return TCOP_DONE;
	if (walk == NULL)
	{
		walk = tcop__state(s, sizeof(StoreWalk), NULL);
		walk->db = s->db;
		walk->from_edge = true;
		walk->prefix_len = prefix.len;
		memcpy(walk->prefix, prefix.data, prefix.len);
	}
	for (uint32 walks = 0; walks < TCOP_WALKS_PER_RUN; walks++)
	{
		StoreStatus status = store_walk(walk, TCOP_WALK_STEPS, show_any, &found);

		s->gate = Max(s->gate, walk->gate);
		if (!tcop__status(s, status, &result))
			return result;
		if (found || walk->done)
			return judge(s, !found);
	}
	return TCOP_AGAIN;
}
