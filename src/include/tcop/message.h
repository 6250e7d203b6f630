/*
 * message.h -- what connections are told without having asked: messages of
 * channels, invalidations, lines of MONITOR.  For the files of this room.
 *
 * A push is bytes appended to a connection's output outside of its own command,
 * with a gate of its own: it leaves when the log is flushed up to what it tells
 * of, and in its place among the replies.  While the connection's own command
 * runs or waits, pushes stand aside ('late') and follow its reply.
 *
 * message_publish sends to every client of every worker that listens.  What is
 * meant for clients of this worker is appended at once; other workers get it by
 * the bus and append it in their next turn.
 */
#ifndef ARTERY_TCOP_MESSAGE_H
#define ARTERY_TCOP_MESSAGE_H

#include "tcop/bus.h"
#include "tcop/session.h"
#include "tcop/sub_table.h"

typedef struct PubSub PubSub;

/* Late -- pushes to a session whose command has not ended */
typedef struct Late
{
	Output		out;
	Lsn			gate;
} Late;

extern void message_open(uint32 worker);
extern uint32 message_worker;		/* index of this worker */
extern Bus *message_bus;

/* message_publish -- to all who have subscribed; returns how many clients that is, over all workers.  Outside an epoch. */
extern uint64 message_publish(SubKind kind, const BytePart *channel, const BytePart *message, Lsn gate);
/* message_receivers -- how many message_publish would reach now. */
extern uint64 message_receivers(SubKind kind, const BytePart *channel);
/* message_congested -- does so much stand in the queue of a worker that hears this channel that it is better to wait a moment? */
extern bool message_congested(void);

/*
 * message_push_begin -- the output that a push to this session is to be appended
 * to, 'len' bytes at most; NULL: it is over its limit and will be closed.
 * message_push_end -- it has been appended.
 */
extern Output *message_push_begin(Session *s, uint64 len);
extern void message_push_end(Session *s, Lsn gate);

/* effects.c */
/* tcop__effects_message -- a message that is to be published when the command is done. */
extern void tcop__effects_message(Session *s, SubKind kind, const BytePart *channel, const BytePart *message);
/* notify_publish -- a keyspace event, to __keyspace@ and __keyevent@ as the setting says. */
extern void notify_publish(uint32 db, const char *event, const BytePart *key, Lsn gate);
extern void notify_turn(void);			/* once per turn: the setting may have changed */
#define NOTIFY_TEXT_MAX 32
extern bool notify_parse(const char *text, uint32 *flags) attribute_must_check;	/* the setting's letters; false: one is none */
extern void notify_format(uint32 flags, char *text);	/* at most NOTIFY_TEXT_MAX bytes */

/* pubsub.c: to the clients of this worker; returns how many */
extern uint64 pubsub_deliver(SubKind kind, const BytePart *channel, const BytePart *message, Lsn gate);
/* pubsub_allows -- may a session that has subscribed run this command?  False: the error is answered. */
extern bool pubsub_allows(Session *s, const Command *c) attribute_must_check;
extern void pubsub_drop(Session *s);		/* all its subscriptions, without a word */
extern bool pubsub_listens(const Session *s);	/* has it any subscription? */
extern uint32 pubsub_count(const Session *s, SubKind kind);
/* pubsub_close_all -- messages may have been lost: everyone who has subscribed is closed. */
extern void pubsub_close_all(void);

#endif
