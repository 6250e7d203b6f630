/*
 * keys.c -- commands on keys whatever their value: DEL UNLINK EXISTS TYPE.
 */
#include "common/c.h"
#include "tcop/tcop_internal.h"

static StoreAction
decide_delete(const StoreView *view, StoreChange *change, void *arg)
{
	(void) change;
	(void) arg;
	return view->exists ? STORE_DELETE : STORE_KEEP;
}

TcopResult
tcop__del(Session *s)
{
	uint32		done = 0;
	StoreKey	key;

	if (s->step == 0)
	{
		/* all keys are looked at before any is deleted */
		for (uint32 i = 1; i < s->argc; i++)
			if (!tcop__arg_key(s, i, &key))
				return TCOP_DONE;
		s->step = 1;
	}
	for (; s->step < s->argc; s->step++)
	{
		StoreStatus status;
		StoreWritten w;
		TcopResult	result;

		if (done++ == TCOP_KEYS_PER_RUN)
			return TCOP_AGAIN;
		key = (StoreKey) {s->db, (uint32) s->argv[s->step].len, s->argv[s->step].data};
		status = store_write_head(&key, decide_delete, NULL, &w);
		tcop__changed(s, &w);
		if (!tcop__status(s, status, &result))
		{
			if (result == TCOP_PARK_PAGE)
				tcop__read_ahead(s, s->step + 1, TCOP_AHEAD_KEYS);
			return result;
		}
		s->count += w.changed;
	}
	reply_int(&s->out, s->count);
	return TCOP_DONE;
}

TcopResult
tcop__exists(Session *s)
{
	return tcop__read_several(s, false);
}

static void
show_exists(const StoreView *view, void *arg)
{
	*(bool *) arg = view->exists;
}

TcopResult
tcop__type(Session *s)
{
	StoreKey	key;
	TcopResult	result;
	bool		exists;

	if (!tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	if (tcop__status(s, store_read_head(&key, show_exists, &exists, &s->gate), &result))
		reply_simple(&s->out, exists ? "string" : "none");
	return result;
}
