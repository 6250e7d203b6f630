/*
 * session.h -- what a connection is to the commands: who it is, what it has
 * chosen, the command that runs now, and its replies.
 *
 * Private memory of the worker that serves it; its public side is the
 * ClientEntry.  net owns the connection around it: bytes in and out, the gate,
 * and the order of things.  A command never waits: it returns what it waits for
 * (TcopResult) and is run again with the same words and the state it kept here.
 */
#ifndef ARTERY_TCOP_SESSION_H
#define ARTERY_TCOP_SESSION_H

#include "common/bytes.h"
#include "common/c.h"
#include "tcop/client_table.h"
#include "tcop/command.h"
#include "tcop/output.h"

#define SESSION_MAGIC 0x53534553

#define SESSION_POLICY_SERVER 0xff	/* durability: the server's setting counts */

enum { UNBLOCKED_NO, UNBLOCKED_TIMEOUT, UNBLOCKED_ERROR };
enum { REPLY_ON, REPLY_OFF, REPLY_SKIP_NEXT, REPLY_SKIP };

struct BaseKeep;
struct StoreTxn;
struct StoreSnapshot;

struct Session
{
	uint32		magic;				/* SESSION_MAGIC */
	uint64		id;
	ClientEntry *entry;
	Output		out;

	/* what the client has chosen */
	uint32		db;
	bool		authenticated;
	bool		is_unix;
	uint8		durability;			/* DURABILITY_*, or SESSION_POLICY_SERVER */
	uint8		next_durability;	/* for one command; SESSION_POLICY_SERVER: none */
	bool		next_armed;			/* next_durability counts for the command that runs now */
	uint8		reply_mode;			/* REPLY_* */
	Lsn			last_write_lsn;		/* highest version this connection wrote: WAITAOF */
	uint64		commands_run;
	uint32		last_command;		/* index + 1: CLIENT LIST */

	/* the command that runs; words stay valid until it is done */
	const Command *command;			/* NULL: none, the next run begins one */
	const BytePart *argv;
	uint32		argc;
	uint64		begun_ticks;		/* clock_ticks when it was run first */
	uint64		out_start;			/* out.appended and out.errors when it began */
	uint64		out_errors;
	uint32		step;				/* where to go on; 0 at the beginning */
	int64		count;				/* what was counted so far */
	Lsn			gate;				/* highest LSN that the reply shows or wrote */
	bool		wrote;				/* gate includes a version of its own */
	Lsn			wait_lsn;			/* with TCOP_WAIT: LSN_MAX if no LSN ends the wait */
	uint64		deadline_us;		/* with TCOP_WAIT and TCOP_LATER: clock_mono_us; 0: none */
	struct BaseKeep *keep;			/* pages of the base that the command holds; NULL until its first miss */
	bool		held;				/* the command has not run yet: it is being held back (throttle.c) */
	uint32		credit;				/* of writes, see throttle.c ... */
	uint64		credit_us;			/* ... good in the turn with this tcop_now_us */
	void	   *state;				/* of a command that goes on; freed by state_free */
	void		(*state_free)(void *state);

	/* transactions (tcop/atomic.c, tcop/multi.c) and what a command tells others once it is sure (tcop/effects.c) */
	struct StoreTxn *txn;				/* of the command that runs as one; NULL: it does not */
	bool		txn_body_done;		/* ... and has been run: the commit is to be called again */
	uint32		txn_tries;
	bool		txn_changed;		/* a store function has said STORE_CHANGED: it must begin anew */
	bool		txn_refused;		/* ... STORE_TXN_TOO_LARGE */
	uint64	   *pending;			/* output positions of versions that the commit will tell */
	uint32		pending_count;
	uint32		pending_size;
	struct Multi *multi;			/* MULTI's queue and WATCH's keys; NULL: neither */
	struct Effects *effects;		/* of the command that runs; NULL: none */
	struct PubSub *pubsub;			/* subscriptions; NULL: none */
	struct StoreSnapshot *snapshot;		/* what reads speak of; NULL: the present */

	/* pushes (tcop/message.c) */
	bool		paused;				/* the command has not begun: CLIENT PAUSE holds it */
	uint8		unblocked;			/* UNBLOCKED_*: by CLIENT UNBLOCK, the command that runs */
	bool		monitor;			/* is told of all commands */
	struct Tracking *tracking;		/* CLIENT TRACKING; NULL: off */
	bool		push_reply;			/* the reply of the command that runs is a push: CLIENT REPLY does not hold it back */
	struct Late *late;				/* came while a command was under way: net calls tcop_push_late when it has ended; NULL: none */
	/* CLIENT REPLYLSN */
	bool		reply_lsn;			/* replies to writes carry their LSN */
	struct OutChunk *reply_begin;	/* of the command that runs: its reply begins here; NULL: it needs no place in front */
	Lsn			lsn_before;			/* last_write_lsn when it began */

	/* for net */
	bool		close_after_reply;
	bool		close_now;
	uint8		policy;				/* out: DURABILITY_* in force for the command that ended */
	Lsn			reply_gate;			/* out: LSN its reply waits for, 0: none */
};

#define LSN_MAX UINT64_MAX
#define LSN_WAKE (UINT64_MAX - 1)	/* wait_lsn: no LSN ends the wait, but something soon will: tcop_feed_woken */

extern void session_init(Session *s, ClientEntry *entry, bool is_unix);
extern void session_destroy(Session *s);		/* also stops a command that is under way */
extern void session_reset(Session *s);			/* RESET */
extern uint8 session_policy(const Session *s);	/* DURABILITY_* for the command that runs */
extern void session_publish(Session *s);		/* db, proto, flags ... to the entry */

#endif
