/*
 * server.c -- commands on the server as a whole: DBSIZE FLUSHDB FLUSHALL TIME
 * WAITAOF SHUTDOWN.  (INFO, CONFIG, COMMAND and checkpoints have files of their own.)
 */
#include "common/c.h"

#include <signal.h>

#include "access/wal/wal.h"
#include "storage/ipc/proc.h"
#include "tcop/tcop_internal.h"
#include "utils/clock.h"
#include "utils/elog.h"

/* tcop__dbsize -- exact: what only the base knows is read from it, in bounded steps. */
TcopResult
tcop__dbsize(Session *s)
{
	StoreCountJob *job = s->state;
	TcopResult	result;

	if (job == NULL)
		job = tcop__state(s, sizeof(StoreCountJob), NULL);
	if (!tcop__status(s, store_count_exact(s->db, job, &s->gate), &result))
		return result;
	if (!job->done)
		return TCOP_AGAIN;
	reply_int(&s->out, (int64) job->count);
	return TCOP_DONE;
}

/* ---- FLUSHDB, FLUSHALL: one change of the map, after a grace period ---- */
static void
flush_free(void *state)
{
	store_flush_cancel(state);
	free(state);
}

StoreFlushJob *
tcop__flush_job(Session *s)
{
	return s->state != NULL ? s->state : tcop__state(s, sizeof(StoreFlushJob), flush_free);
}

TcopResult
tcop__flushed(Session *s, StoreStatus status, Lsn gate)
{
	TcopResult	result;

	if (!tcop__status(s, status, &result))
		return result;
	s->gate = Max(s->gate, gate);
	s->wrote = true;
	s->last_write_lsn = Max(s->last_write_lsn, gate);
	tcop__effects_flushed(s);
	reply_ok(&s->out);
	return TCOP_DONE;
}

static TcopResult
flush(Session *s, int db)
{
	Lsn			gate = LSN_NONE;
	StoreStatus status;

	if (s->argc > 2 || (s->argc == 2 && !tcop__arg_is(s, 1, "async") && !tcop__arg_is(s, 1, "sync")))
	{
		tcop__error_syntax(s);
		return TCOP_DONE;
	}
	status = store_flush(db, tcop__flush_job(s), &gate);
	return tcop__flushed(s, status, gate);
}

TcopResult
tcop__flushdb(Session *s)
{
	return flush(s, (int) s->db);
}

TcopResult
tcop__flushall(Session *s)
{
	return flush(s, -1);
}

TcopResult
tcop__time(Session *s)
{
	uint64		now = clock_wall_us();

	reply_array(&s->out, 2);
	reply_bulk_int(&s->out, (int64) (now / 1000000));
	reply_bulk_int(&s->out, (int64) (now % 1000000));
	return TCOP_DONE;
}

/* ---- WAITAOF ---- */
static TcopResult
waitaof_reply(Session *s)
{
	reply_array(&s->out, 2);
	reply_int(&s->out, wal_flushed_lsn() >= s->last_write_lsn);
	reply_int(&s->out, 0);
	return TCOP_DONE;
}

TcopResult
tcop__waitaof(Session *s)
{
	int64		local;
	int64		replicas;
	int64		timeout_ms;
	bool		satisfied;

	if (!tcop__arg_int(s, 1, &local, NULL))
		return TCOP_DONE;
	if (local < 0 || local > 1)
	{
		reply_error(&s->out, "ERR value is out of range, must be between 0 and 1");
		return TCOP_DONE;
	}
	if (!tcop__arg_positive(s, 2, &replicas) ||
		!tcop__arg_int(s, 3, &timeout_ms, "timeout is not an integer or out of range"))
		return TCOP_DONE;
	if (timeout_ms < 0)
	{
		reply_error(&s->out, "ERR timeout is negative");
		return TCOP_DONE;
	}
	satisfied = replicas == 0 && (local == 0 || wal_flushed_lsn() >= s->last_write_lsn);
	if (satisfied || (s->step == 1 && s->deadline_us != 0 && tcop_now_us >= s->deadline_us))
		return waitaof_reply(s);
	if (s->step == 0)
	{
		s->step = 1;
		s->deadline_us = 0;
		if (timeout_ms > 0 && timeout_ms < INT64_MAX / 1000 - (int64) (tcop_now_us / 1000))
			s->deadline_us = tcop_now_us + (uint64) timeout_ms * 1000;
	}
	/* replicas: there are none, so that only the time ends it; what is here is flushed all the same */
	s->wait_lsn = replicas > 0 ? LSN_MAX : s->last_write_lsn;
	return TCOP_WAIT;
}

/* ---- SHUTDOWN ---- */
TcopResult
tcop__shutdown(Session *s)
{
	pid_t		postmaster = (pid_t) atomic_load_explicit(&proc_slot(0)->pid, memory_order_relaxed);	/* relaxed: constant */
	bool		save = false;
	bool		nosave = false;

	if (s->step == 0)
	{
		for (uint32 i = 1; i < s->argc; i++)
		{
			if (tcop__arg_is(s, i, "abort") && s->argc == 2)
			{
				reply_error(&s->out, "ERR No shutdown in progress.");
				return TCOP_DONE;
			}
			if (tcop__arg_is(s, i, "save"))
				save = true;
			else if (tcop__arg_is(s, i, "nosave"))
				nosave = true;
			else if (!tcop__arg_is(s, i, "now") && !tcop__arg_is(s, i, "force"))
				save = nosave = true;
		}
		if (save && nosave)
		{
			tcop__error_syntax(s);
			return TCOP_DONE;
		}
		ereport(LOG, "client %llu asked for a shutdown", (unsigned long long) s->id);
		if (kill(postmaster, SIGINT) != 0)
		{
			reply_error(&s->out, "ERR Errors trying to SHUTDOWN. Check logs.");
			ereport(WARNING, "could not signal the postmaster: %m");
			return TCOP_DONE;
		}
		s->step = 1;
	}
	/* there is no reply: the connection ends with the server */
	s->wait_lsn = LSN_MAX;
	s->deadline_us = 0;
	return TCOP_WAIT;
}
