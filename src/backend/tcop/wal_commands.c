/*
 * wal_commands.c -- positions in the log: WAL INSERT COMPLETED FLUSHED REDO WAIT,
 * CLIENT REPLYLSN.
 *
 * A position is the byte of the log at which a record begins or ends; a version is
 * the end of its record.  What these commands tell is about the log, not about
 * data: it is not gated, and WAL WAIT is the gate for those who choose to go
 * without (durability none).
 *
 * WAL WAIT must never call durable what a crash took back.  A run ends where its
 * last record ends, and the next one begins beyond everything that the one before
 * can have reserved, so what was given out and lost lies inside a gap: LOST.  Gaps
 * are remembered, the newest ones; below those nothing is known: LOST, too.  What
 * lies in no gap, and below 'flushed', is durable.
 */
#include "common/c.h"

#include "access/store/checkpoint.h"
#include "access/wal/wal_feed.h"
#include "tcop/multi.h"
#include "tcop/tcop_internal.h"

TcopResult
tcop__wal_insert(Session *s)
{
	reply_int(&s->out, (int64) wal_insert_lsn());
	return TCOP_DONE;
}

TcopResult
tcop__wal_completed(Session *s)
{
	wal_completed_update();
	reply_int(&s->out, (int64) wal_completed_lsn());
	return TCOP_DONE;
}

TcopResult
tcop__wal_flushed(Session *s)
{
	reply_int(&s->out, (int64) wal_flushed_lsn());
	return TCOP_DONE;
}

TcopResult
tcop__wal_redo(Session *s)
{
	CheckpointStatus status;

	checkpoint_status(&status);
	reply_int(&s->out, (int64) status.cut);
	return TCOP_DONE;
}

bool
tcop__arg_lsn(Session *s, uint32 i, Lsn *lsn)
{
	/* integers of the protocol have a sign: no position is above that */
	if (number_parse_unsigned(s->argv[i].data, s->argv[i].len, lsn) && *lsn <= INT64_MAX)
		return true;
	reply_error(&s->out, "ERR lsn is not an integer or out of range");
	return false;
}

bool
tcop__arg_timeout(Session *s, uint32 i, uint64 *deadline_us)
{
	int64		ms;

	*deadline_us = 0;
	if (!tcop__arg_int(s, i, &ms, "timeout is not an integer or out of range"))
		return false;
	if (ms < 0)
	{
		reply_error(&s->out, "ERR timeout is negative");
		return false;
	}
	/* what lies beyond the end of time is for ever */
	if (ms > 0 && ms < INT64_MAX / 1000 - (int64) (tcop_now_us / 1000))
		*deadline_us = tcop_now_us + (uint64) ms * 1000;
	return true;
}

void
tcop__error_beyond(Session *s, Lsn lsn)
{
	reply_error(&s->out, "ERR lsn %llu is beyond the end of the log", (unsigned long long) lsn);
}

void
tcop__error_lost(Session *s, Lsn lsn)
{
	Lsn			go_on;

	if (wal_place(lsn, &go_on) == WAL_PLACE_OLDER)
		reply_error(&s->out, "LOST lsn %llu is older than what is known about ends of the log; next=%llu",
					(unsigned long long) lsn, (unsigned long long) go_on);
	else
		reply_error(&s->out, "LOST lsn %llu was taken back when the server ended; next=%llu", (unsigned long long) lsn,
					(unsigned long long) go_on);
}

TcopResult
tcop__wal_wait(Session *s)
{
	uint64		deadline_us;
	Lsn			lsn;
	Lsn			go_on;
	bool		reached;

	if (s->argc > 4)
	{
		tcop__error_arity(s);
		return TCOP_DONE;
	}
	if (!tcop__arg_lsn(s, 2, &lsn))
		return TCOP_DONE;
	if (s->step == 0)
	{
		deadline_us = 0;
		if (s->argc == 4 && !tcop__arg_timeout(s, 3, &deadline_us))
			return TCOP_DONE;
		if (wal_place(lsn, &go_on) != WAL_PLACE_LOG)
		{
			tcop__error_lost(s, lsn);
			return TCOP_DONE;
		}
		if (lsn > wal_insert_lsn())
		{
			tcop__error_beyond(s, lsn);
			return TCOP_DONE;
		}
		s->deadline_us = deadline_us;
		s->step = 1;
	}
	reached = wal_flushed_lsn() >= lsn;
	if (!reached && !tcop__multi_running(s) && (s->deadline_us == 0 || tcop_now_us < s->deadline_us))
	{
		s->wait_lsn = lsn;
		return TCOP_WAIT;
	}
	reply_int(&s->out, reached);
	return TCOP_DONE;
}

TcopResult
tcop__client_replylsn(Session *s)
{
	bool		on = tcop__arg_is(s, 2, "on");

	if (!on && !tcop__arg_is(s, 2, "off"))
		tcop__error_syntax(s);
	else if (on && s->out.proto < 3)
		reply_error(&s->out, "ERR CLIENT REPLYLSN needs RESP3: attributes are a part of it, say HELLO 3 first");
	else
	{
		s->reply_lsn = on;
		reply_ok(&s->out);
	}
	return TCOP_DONE;
}
