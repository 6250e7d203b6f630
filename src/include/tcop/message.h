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
typedef struct Tracking Tracking;

/*
 * MessageShared -- at the front of region MESSAGES: what every command of every
 * worker looks at.  One line that is seldom written.
 */
typedef struct MessageShared
{
	alignas(CACHE_LINE) _Atomic uint64 pause;	/* CLIENT PAUSE: see client_pause.c; 0: none */
	_Atomic uint64 monitors;		/* bit per worker with a client in MONITOR */
	_Atomic uint64 trackers;		/* ... with CLIENT TRACKING on */
	_Atomic uint64 broadcasts;		/* ... and BCAST */
} MessageShared;
extern MessageShared *message_shared;	/* without a region (unit tests): one in which nobody wants anything */

/* TrackingShared -- by the hash of a key: the workers that have a client who has read such a key (tracking.c) */
#define TRACKING_SLOTS (256 * 1024)
typedef struct TrackingShared
{
	_Atomic uint64 slot[TRACKING_SLOTS];
} TrackingShared;
extern TrackingShared *tracking_shared;
extern size_t tracking_shared_size(void);

/* Late -- pushes to a session whose command has not ended */
typedef struct Late
{
	Output		out;
	Lsn			gate;
} Late;

extern void message_open(uint32 worker);
extern void message_wake(void);		/* no more commands in this turn: who was sent something learns of it, and tells us when there is room for the rest */
extern uint32 message_worker;		/* index of this worker */
extern Bus *message_bus;

/* message_publish -- to all who have subscribed; returns how many clients that is, over all workers.  Outside an epoch. */
extern uint64 message_publish(SubKind kind, const BytePart *channel, const BytePart *message, Lsn gate);
/* message_congested -- does so much stand in the queue of a worker that hears this channel that it is better to wait a moment? */
extern bool message_congested(void);

/*
 * message_push_begin -- the output that a push to this session is to be appended
 * to, 'len' bytes at most; NULL: it is over its limit and will be closed.
 * message_push_end -- it has been appended.
 */
extern Output *message_push_begin(Session *s, uint64 len);
extern void message_push_end(Session *s, Lsn gate);

/* message_close -- a client of this worker that may have missed something, or does not read, is closed. */
extern void message_close(Session *s);
/* message_session -- the client of this worker with this place in the client table and this id; NULL: it is gone. */
extern Session *message_session(uint32 place, uint64 id);
extern uint32 message_place(const Session *s);

/* message_watched -- does MONITOR want to see commands? */
static inline bool
message_watched(void)
{
	return unlikely(atomic_load_explicit(&message_shared->monitors, memory_order_relaxed) != 0);	/* relaxed: sooner or later */
}

/* message_paused -- does CLIENT PAUSE hold anybody, or did it?  Then tcop__pause_holds says more. */
static inline bool
message_paused(void)
{
	return unlikely(atomic_load_explicit(&message_shared->pause, memory_order_relaxed) != 0);	/* relaxed: sooner or later */
}

/* message_tracked -- does any client track keys? */
static inline bool
message_tracked(void)
{
	/* relaxed: CLIENT TRACKING waits a grace period before it relies on it */
	return unlikely((atomic_load_explicit(&message_shared->trackers, memory_order_relaxed) |
					 atomic_load_explicit(&message_shared->broadcasts, memory_order_relaxed)) != 0);
}

/* client_pause.c */
/* tcop__pause_holds -- must the session's command, which has not begun, wait for the end of a pause? */
extern bool tcop__pause_holds(const Session *s);

/* monitor.c */
/* tcop__monitor_feed -- this command is done. */
extern void tcop__monitor_feed(const Session *s, const Command *c, const BytePart *argv, uint32 argc);
extern uint64 monitor_deliver(const BytePart *line);	/* to the clients of this worker; returns how many */
extern void monitor_drop(Session *s);
extern void monitor_close_all(void);

/* tracking.c */
/* tracking_publish -- a key has changed, and the change is published; 'writer': id of the client that did it, 0: none. */
extern void tracking_publish(const BytePart *key, uint64 writer, Lsn gate);
extern void tracking_publish_all(Lsn gate);	/* every key may have */
/* tracking_deliver, tracking_deliver_all, tracking_redirected -- to the clients of this worker; how many were told. */
extern uint64 tracking_deliver(const BytePart *key, uint64 writer, Lsn gate);
extern uint64 tracking_deliver_all(Lsn gate);
extern void tracking_redirected(const BusMessage *m);
/* tracking_before -- a session that tracks is about to run its command, for the first time or again; perhaps CLIENT CACHING counts for it.  tracking_after -- it is done. */
extern void tracking_before(Session *s, bool caching_follows);
/* tracking_too_late -- a session that tracks has run its command already: what it has read may be out of date, and it is told so. */
extern void tracking_too_late(Session *s);
extern void tracking_after(Session *s);
extern void tracking_turn(void);			/* once per turn */
extern void tracking_drop(Session *s);
extern void tracking_lost(void);

/* effects.c */
/* tcop__effects_flushed -- every key may have changed: told when the command is done. */
extern void tcop__effects_flushed(Session *s);
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
