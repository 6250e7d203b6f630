/*
 * standalone.c -- what a server answers that has no replicas, no cluster, no
 * modules and no scripts: ROLE WAIT REPLICAOF SLAVEOF SYNC PSYNC FAILOVER CLUSTER
 * READONLY READWRITE ASKING MODULE SCRIPT FUNCTION LOLWUT.
 */
#include "common/c.h"

#include "access/wal/wal.h"
#include "common/version.h"
#include "tcop/multi.h"
#include "tcop/tcop_internal.h"

#define LOLWUT_ROWS 8
#define LOLWUT_COLUMNS 48

TcopResult
tcop__role(Session *s)
{
	reply_array(&s->out, 3);
	reply_text(&s->out, "master");
	reply_int(&s->out, (int64) wal_insert_lsn());
	reply_array(&s->out, 0);
	return TCOP_DONE;
}

/* tcop__wait -- no replica ever has it: 0, at once when none is asked for, else when the time is over. */
TcopResult
tcop__wait(Session *s)
{
	int64		replicas;
	int64		timeout_ms;

	if (!tcop__arg_int(s, 1, &replicas, NULL) ||
		!tcop__arg_int(s, 2, &timeout_ms, "timeout is not an integer or out of range"))
		return TCOP_DONE;
	if (timeout_ms < 0)
	{
		reply_error(&s->out, "ERR timeout is negative");
		return TCOP_DONE;
	}
	if (replicas <= 0 || (s->step == 1 && s->deadline_us != 0 && tcop_now_us >= s->deadline_us) ||
		tcop__multi_running(s))
	{
		reply_int(&s->out, 0);
		return TCOP_DONE;
	}
	if (s->step == 0)
	{
		s->step = 1;
		s->deadline_us = 0;
		if (timeout_ms > 0 && timeout_ms < INT64_MAX / 1000 - (int64) (tcop_now_us / 1000))
			s->deadline_us = tcop_now_us + (uint64) timeout_ms * 1000;
	}
	s->wait_lsn = LSN_MAX;
	return TCOP_WAIT;
}

TcopResult
tcop__replicaof(Session *s)
{
	int64		port;

	if (tcop__arg_is(s, 1, "no") && tcop__arg_is(s, 2, "one"))
		reply_ok(&s->out);
	else if (!number_parse(s->argv[2].data, s->argv[2].len, &port) || port < 0 || port > 65535)
		reply_error(&s->out, "ERR Invalid master port");
	else
		reply_error(&s->out, "ERR this server has no replication: it cannot follow another one");
	return TCOP_DONE;
}

TcopResult
tcop__sync(Session *s)
{
	reply_error(&s->out, "ERR this server has no replication: %s is not supported", s->command->name);
	return TCOP_DONE;
}

/* failover_words_known -- TO host port [FORCE], ABORT, TIMEOUT ms, in any order. */
static bool
failover_words_known(Session *s, bool *abort)
{
	int64		number;

	*abort = false;
	for (uint32 i = 1; i < s->argc; i++)
	{
		uint32		more = s->argc - 1 - i;

		if (tcop__arg_is(s, i, "abort") && s->argc == 2)
			*abort = true;
		else if (tcop__arg_is(s, i, "to") && more >= 2 && number_parse(s->argv[i + 2].data, s->argv[i + 2].len, &number))
			i += 2;
		else if (tcop__arg_is(s, i, "timeout") && more >= 1 && number_parse(s->argv[i + 1].data, s->argv[i + 1].len, &number))
			i++;
		else if (!tcop__arg_is(s, i, "force"))
			return false;
	}
	return true;
}

TcopResult
tcop__failover(Session *s)
{
	bool		abort;

	if (!failover_words_known(s, &abort))
		tcop__error_syntax(s);
	else if (abort)
		reply_error(&s->out, "ERR No failover in progress.");
	else
		reply_error(&s->out, "ERR FAILOVER requires connected replicas.");
	return TCOP_DONE;
}

TcopResult
tcop__cluster(Session *s)
{
	reply_error(&s->out, "ERR This instance has cluster support disabled");
	return TCOP_DONE;
}

/* ---- MODULE ---- */
TcopResult
tcop__module_list(Session *s)
{
	reply_array(&s->out, 0);
	return TCOP_DONE;
}

TcopResult
tcop__module_load(Session *s)
{
	reply_error(&s->out, "ERR MODULE command not allowed. This server loads no modules.");
	return TCOP_DONE;
}

/* ---- SCRIPT, FUNCTION: there are none ---- */
TcopResult
tcop__script_exists(Session *s)
{
	reply_array(&s->out, s->argc - 2);
	for (uint32 i = 2; i < s->argc && output_room(&s->out, 0); i++)
		reply_int(&s->out, 0);
	return TCOP_DONE;
}

static bool
flush_word_known(Session *s)
{
	return s->argc == 2 || (s->argc == 3 && (tcop__arg_is(s, 2, "sync") || tcop__arg_is(s, 2, "async")));
}

TcopResult
tcop__script_flush(Session *s)
{
	if (flush_word_known(s))
		reply_ok(&s->out);
	else
		reply_error(&s->out, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
	return TCOP_DONE;
}

TcopResult
tcop__function_flush(Session *s)
{
	if (s->argc > 3)
		tcop__error_help(s);
	else if (flush_word_known(s))
		reply_ok(&s->out);
	else
		reply_error(&s->out, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
	return TCOP_DONE;
}

/* ---- LOLWUT: a tree that has branched at random ---- */
TcopResult
tcop__lolwut(Session *s)
{
	char		text[LOLWUT_ROWS * (LOLWUT_COLUMNS + 1) + 64];
	size_t		len = 0;
	uint64		random = tcop_now_us * UINT64_C(0x9e3779b97f4a7c15) | 1;

	for (int row = 0; row < LOLWUT_ROWS; row++)
	{
		int			step = LOLWUT_COLUMNS >> row;

		for (int column = 0; column < LOLWUT_COLUMNS; column++)
		{
			bool		branch = step <= 2 || column % step == step / 2;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			text[len++] = branch && random % 4 != 0 ? "/\\|o"[random >> 8 & 3] : ' ';
		}
		text[len++] = '\n';
	}
	len += (size_t) snprintf(text + len, sizeof(text) - len, "\nartery %s. Redis ver. %s\n", ARTERY_VERSION, REDIS_VERSION_TOLD);
	reply_verbatim(&s->out, text, len);
	return TCOP_DONE;
}
