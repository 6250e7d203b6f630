/*
 * atomic.c -- commands that happen as one, whatever number of keys they have.
 *
 * A transaction locks nothing before it commits (store_txn.c), so a command runs
 * in it over as many turns as it needs.  What it was shown may have changed when
 * it commits: then it begins anew.  Somebody else's commit was the reason each
 * time, so all together get on; who has been unlucky for long waits a little
 * longer each time, so that one of those who contend gets through alone, and keeps
 * others out at last (store_txn_begin), so that nobody is unlucky for ever.
 */
#include "common/c.h"

#include <bsd/stdlib.h>

#include "tcop/stats.h"
#include "tcop/tcop_internal.h"

#define BACKOFF_US 50
#define BACKOFF_MAX_US 5000

void
tcop__txn_again(Session *s)
{
	output_cut(&s->out, s->out_start);
	tcop__effects_drop(s);
	if (s->state != NULL)
		tcop__state_drop(s);
	s->step = 0;
	s->count = 0;
	s->pending_count = 0;
	s->txn_changed = false;
	s->txn_body_done = false;
	store_txn_reset(s->txn);
}

TcopResult
tcop__txn_later(Session *s)
{
	uint64		longest = Min((uint64) BACKOFF_US << Min(s->txn_tries, 10u), (uint64) BACKOFF_MAX_US);

	/* not all after the same time, or they would meet again */
	s->deadline_us = tcop_now_us + longest / 2 + arc4random_uniform((uint32) longest / 2 + 1);
	s->txn_tries++;
	return TCOP_LATER;
}

void
tcop__txn_end(Session *s)
{
	store_txn_destroy(s->txn);
	s->txn = NULL;
	s->txn_body_done = false;
	s->pending_count = 0;
	if (s->out.errors != s->out_errors)
		tcop__effects_drop(s);
}

void
tcop__error_txn_too_large(Session *s)
{
	reply_error(&s->out, "ERR transaction too large (%llu bytes, maximum %llu)",
				(unsigned long long) store_txn_bytes(s->txn), (unsigned long long) store_txn_bytes_max());
}

bool
tcop__commit(Session *s, StoreCommitted *out, TcopResult *result, bool *again)
{
	StoreStatus status;

	memset(out, 0, sizeof(*out));
	status = store_txn_commit(s->txn, out);
	*again = status == STORE_CHANGED;
	*result = TCOP_DONE;
	if (*again)
	{
		stats_add(STAT_RETRIES, 1);
		return false;
	}
	if (out->gate > s->gate)
		s->gate = out->gate;
	if (!tcop__status(s, status, result))
		return false;
	if (out->version != LSN_NONE)
	{
		s->wrote = true;
		if (out->version > s->last_write_lsn)
			s->last_write_lsn = out->version;
		tcop__patch_versions(s, out->version);
	}
	return true;
}

/* end -- committed, or refused with an error. */
static TcopResult
end(Session *s)
{
	tcop__txn_end(s);
	return TCOP_DONE;
}

TcopResult
tcop__atomically(Session *s, TcopResult (*body)(Session *s))
{
	if (store_txn_in_use() != NULL)
		return body(s);			/* within EXEC */
	if (s->txn == NULL)
		s->txn = store_txn_create();
	for (uint32 tries = 0; tries < TCOP_TXN_TRIES_PER_RUN; tries++)
	{
		StoreCommitted out;
		TcopResult	result = TCOP_DONE;
		bool		again;

		if (!s->txn_body_done)
		{
			if (!tcop__status(s, store_txn_begin(s->txn), &result))
				return result;
			store_txn_use(s->txn);
			result = body(s);
			store_txn_use(NULL);
		}
		again = s->txn_changed;
		if (!again)
		{
			if (result != TCOP_DONE)
				return result;
			if (s->out.errors != s->out_errors)
				return end(s);	/* it has been refused; what it showed is in its gate already */
			s->txn_body_done = true;
			if (tcop__commit(s, &out, &result, &again))
				return end(s);
			if (!again)
				return result == TCOP_DONE ? end(s) : result;	/* parked: next time the commit alone */
		}
		tcop__txn_again(s);
	}
	return tcop__txn_later(s);
}

/* ---- versions that are known when the transaction commits ---- */

/*
 * A pending version stands in the reply as 0, and the session keeps its place; after
 * the commit the reply is written anew from the first of them on.
 */
void
tcop__reply_version(Session *s, Lsn version)
{
	if (version != STORE_LSN_PENDING)
	{
		reply_int(&s->out, (int64) version);
		return;
	}
	/* what stood here has been taken back meanwhile */
	while (s->pending_count > 0 && s->pending[s->pending_count - 1] >= s->out.appended)
		s->pending_count--;
	if (s->pending_count == s->pending_size)
	{
		s->pending_size = s->pending_size * 2 + 16;
		s->pending = realloc(s->pending, s->pending_size * sizeof(uint64));
		Verify(s->pending != NULL);
	}
	s->pending[s->pending_count++] = s->out.appended;
	reply_int(&s->out, 0);
}

void
tcop__patch_versions(Session *s, Lsn version)
{
	size_t		len;
	uint8	   *reply;
	uint64		from;
	uint64		start = s->pending_count > 0 ? s->pending[0] : 0;

	if (likely(s->pending_count == 0))
		return;
	len = (size_t) (s->out.appended - start);
	reply = malloc(len);
	Verify(reply != NULL);
	output_copy_tail(&s->out, start, reply);
	output_cut(&s->out, start);
	from = start;
	for (uint32 i = 0; i < s->pending_count; i++)
	{
		output_append(&s->out, reply + (from - start), (size_t) (s->pending[i] - from));
		reply_int(&s->out, (int64) version);
		from = s->pending[i] + strlen(":0\r\n");
	}
	output_append(&s->out, reply + (from - start), len - (size_t) (from - start));
	free(reply);
	s->pending_count = 0;
}
