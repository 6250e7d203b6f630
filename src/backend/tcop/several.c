/*
 * several.c -- reading several keys as they were at one moment: MGET, EXISTS.
 *
 * Every key is read, then every key's version is looked at again: if none has
 * changed, all of them had these values at the moment between the two passes.
 * Otherwise both passes are done over, and writers are not held up.  A command
 * whose keys do not stand still long enough goes on as a transaction, whose commit
 * is the second pass, and which keeps writers out when it is overtaken again.
 *
 * Both passes are cut into runs, so that ten thousand keys or long values do not
 * keep other clients waiting.  A key that must be read from disk parks the command
 * at that key, which is where the next run goes on.  A version is a key's LSN, in
 * memory and on disk the same, so that leaving or entering memory changes nothing.
 */
#include "common/c.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"

#define PATIENCE_US 100000
#define RESTARTS_PER_RUN 4
#define RESTARTS_MIN 8			/* however long they took: passes over keys on disk are slow */

typedef struct Several
{
	bool		with_values;
	bool		checking;		/* second pass */
	bool		in_value;		/* the value of argument 'next' goes out in pieces */
	uint32		next;			/* argument to go on with */
	uint32		budget;			/* keys of this run */
	uint64		give_up_us;		/* 0: nothing has changed yet */
	uint32		restarts;
	int64		found;
	ValueRead	value;
	TcopResult	result;			/* with STEP_END */
	bool	   *exists;			/* by argument, behind 'version' */
	Lsn			version[];		/* by argument */
} Several;

typedef enum Step
{
	STEP_ON,
	STEP_PAUSE,				/* enough for this run */
	STEP_RESTART,			/* a version has changed */
	STEP_END				/* the command is over, or parks: 'result' */
} Step;

typedef struct VersionRead
{
	Lsn			version;
	bool		exists;
} VersionRead;

static void
show_version(const StoreView *view, void *arg)
{
	VersionRead *r = arg;

	r->version = view->lsn;
	r->exists = view->exists;
}

static void
begin(Session *s, Several *m)
{
	m->next = 1;
	m->checking = m->in_value = false;
	m->found = 0;
	if (m->with_values)
		reply_array(&s->out, s->argc - 1);
}

/* read_one -- argument 'next', first pass. */
static Step
read_one(Session *s, Several *m, const StoreKey *key)
{
	if (!m->in_value)
	{
		VersionRead read;

		if (!m->with_values)
		{
			if (!tcop__status(s, store_read_head(key, show_version, &read, &s->gate), &m->result))
				return STEP_END;
			m->version[m->next] = read.version;
			m->exists[m->next] = read.exists;
			m->found += read.exists;
			return STEP_ON;
		}
		if (!tcop__status(s, tcop__read_value(s, key, &m->value), &m->result))
			return STEP_END;
		m->version[m->next] = m->value.version;
		m->exists[m->next] = m->value.exists;
		m->found += m->value.exists;
		if (!m->value.exists)
			reply_null(&s->out);
		m->in_value = m->value.exists && !m->value.shown;
		if (!m->in_value)
			return STEP_ON;
	}
	switch (tcop__value_piece(s, key, &m->value))
	{
		case VALUE_DONE:
			m->in_value = false;
			return STEP_ON;
		case VALUE_MORE:
			return STEP_PAUSE;
		case VALUE_CHANGED:
			return STEP_RESTART;
		case VALUE_STATUS:
			if (tcop__status(s, m->value.status, &m->result))
				NotReached();
			return STEP_END;
		case VALUE_OVERFLOW:
			m->result = TCOP_DONE;
			return STEP_END;
	}
	NotReached();
}

/* check_one -- argument 'next', second pass. */
static Step
check_one(Session *s, Several *m, const StoreKey *key)
{
	VersionRead read;

	if (!tcop__status(s, store_read_head(key, show_version, &read, &s->gate), &m->result))
		return STEP_END;
	return read.version == m->version[m->next] ? STEP_ON : STEP_RESTART;
}

/* pass -- the rest of one pass, within this run's budget; STEP_ON: it is complete. */
static Step
pass(Session *s, Several *m)
{
	uint64		start = s->out.appended;

	for (; m->next < s->argc; m->next++)
	{
		StoreKey	key;
		Step		step;

		if (m->budget == 0 || s->out.appended - start > TCOP_COPY_PER_RUN)
			return STEP_PAUSE;
		m->budget--;
		m->result = TCOP_DONE;
		if (!tcop__arg_key(s, m->next, &key) || !output_room(&s->out, 0))
			return STEP_END;
		step = m->checking ? check_one(s, m, &key) : read_one(s, m, &key);
		if (step == STEP_END && m->result == TCOP_PARK_PAGE)
			tcop__read_ahead(s, m->next + 1, TCOP_AHEAD_KEYS);
		if (step != STEP_ON)
			return step;
	}
	return STEP_ON;
}

static void
finish(Session *s, const Several *m)
{
	for (uint32 i = 1; i < s->argc && unlikely((tcop__notify_wanted & NOTIFY_KEY_MISS) != 0); i++)
	{
		StoreKey	key;

		if (!m->exists[i] && tcop__arg_key(s, i, &key))
			tcop__notify(s, NOTIFY_KEY_MISS, "keymiss", &key);
	}
	stats_count(STAT_HITS, (uint64) m->found);
	stats_count(STAT_MISSES, s->argc - 1 - (uint64) m->found);
	if (!m->with_values)
		reply_int(&s->out, m->found);
}

/* read_all -- the passes, as far as one run takes them. */
static TcopResult
read_all(Session *s, bool with_values)
{
	Several    *m = s->state;
	uint32		restarts = 0;

	if (m == NULL)
	{
		if (!tcop__arg_keys(s, 1))
			return TCOP_DONE;
		m = tcop__state(s, sizeof(Several) + s->argc * (sizeof(Lsn) + sizeof(bool)), NULL);
		m->exists = (bool *) &m->version[s->argc];
		m->with_values = with_values;
		begin(s, m);
	}
	m->budget = TCOP_KEYS_PER_RUN;
	for (;;)
	{
		switch (pass(s, m))
		{
			case STEP_ON:
				if (m->checking || s->argc == 2 || store_txn_in_use() != NULL)
				{
					finish(s, m);
					return TCOP_DONE;
				}
				m->checking = true;
				m->next = 1;
				break;
			case STEP_PAUSE:
				return TCOP_AGAIN;
			case STEP_END:
				return m->result;
			case STEP_RESTART:
				stats_add(STAT_RETRIES, 1);
				output_cut(&s->out, s->out_start);
				if (store_txn_in_use() != NULL)
				{
					s->txn_changed = true;	/* a long value, in the middle */
					return TCOP_AGAIN;
				}
				if (m->give_up_us == 0)
					m->give_up_us = tcop_now_us + PATIENCE_US;
				else if (++m->restarts >= RESTARTS_MIN && tcop_now_us > m->give_up_us)
				{
					tcop__state_drop(s);
					s->txn = store_txn_create();
					return TCOP_AGAIN;
				}
				begin(s, m);
				if (++restarts == RESTARTS_PER_RUN)
					return TCOP_AGAIN;
				break;
		}
	}
}

static TcopResult
read_with_values(Session *s)
{
	return read_all(s, true);
}

static TcopResult
read_heads(Session *s)
{
	return read_all(s, false);
}

TcopResult
tcop__read_several(Session *s, bool with_values)
{
	if (unlikely(s->txn != NULL))
		return tcop__atomically(s, with_values ? read_with_values : read_heads);
	return read_all(s, with_values);
}
