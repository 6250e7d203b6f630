/*
 * net_internal.h -- for the files of this room: connections, the worker's loop,
 * and the small interface behind which the two event back ends stand.
 */
#ifndef ARTERY_NET_NET_INTERNAL_H
#define ARTERY_NET_NET_INTERNAL_H

#include <sys/queue.h>

#include "access/wal/wal.h"
#include "net/resp.h"
#include "tcop/tcop.h"

/* ---- listeners (listen.c) ---- */
#define NET_LISTENERS_MAX 16

typedef struct Listener
{
	int			fd;				/* -1: closed */
	bool		is_unix;
	bool		accepting;		/* the event loop watches it */
	uint64		retry_us;		/* out of descriptors: not before this time; 0: no reason to wait */
	char		name[128];
} Listener;

extern Listener net__listener[NET_LISTENERS_MAX];
extern int	net__listener_count;

/* ---- handing connections over (handover.c) ---- */
extern bool net__handover_send(uint32 worker, int fd, bool is_unix);
extern bool net__handover_receive(int *fd, bool *is_unix);	/* false: nothing is waiting */
extern void net__handover_close(void);
extern int net__handover_fd(uint32 worker);		/* the end that this worker reads */

/* ---- connections ---- */
/*
 * The gate.  A reply's entry says: what was appended up to 'end' may leave once
 * the log is flushed up to 'gate'.  Entries leave in order, so a reply's gate is
 * the highest up to it, and an entry whose gate is not above the one before
 * joins it.  Replies of one turn share an entry; when all are in use the last
 * one takes more in: later than need be for some, never too early.
 */
#define GATE_ENTRIES 8

typedef struct GateEntry
{
	uint64		end;			/* output position */
	Lsn			gate;
	uint64		turn;			/* of the loop, in which it was made */
	uint32		replies;
} GateEntry;

typedef enum ConnQueue
{
	QUEUE_NONE,
	QUEUE_READY,				/* has input, or a command to go on with, in the next turn */
	QUEUE_WAL,					/* its command waits for any progress of the log */
	QUEUE_MAP,					/* ... for a change of the map */
	QUEUE_PAGE,					/* ... for pages of the base (session.keep) */
	QUEUE_MEMORY,				/* ... for memory: looked at again every NET_MEMORY_POLL_US */
	QUEUE_LATER,				/* ... for a time (session.deadline_us) */
	QUEUE_PAUSE,				/* ... for the end of CLIENT PAUSE */
	QUEUE_WAIT,					/* ... for an LSN or a time (session.wait_lsn, deadline_us); those whom no LSN helps last */
	QUEUE_COUNT
} ConnQueue;

typedef struct Conn Conn;
struct Conn
{
	Session		session;
	/* event back end */
	int			fd;
	bool		receiving;		/* a receive is under way */
	bool		receive_wanted;
	bool		sending;		/* a send is under way, or the socket is full */
	bool		stopping;		/* is being closed: nothing is wanted any more */
	bool		gone;			/* closed; freed at the end of the turn */
	uint32		epoll_events;	/* epoll: what is asked for */
	/* requests */
	RespParser	parser;
	bool		parsed;			/* the parser holds the first command of 'in', which is parked */
	uint8	   *in;				/* bytes kept: [in_start, in_end) */
	size_t		in_start;
	size_t		in_end;
	size_t		in_size;
	bool		eof;			/* the client sends no more */
	uint64		active_us;		/* when it last sent something */
	/* replies */
	uint64		released;		/* output position up to which everything may leave */
	GateEntry	gate[GATE_ENTRIES];
	uint32		gate_first;
	uint32		gate_count;
	/* lists */
	ConnQueue	queue;
	bool		in_gated;
	bool		in_dirty;		/* in the worker's list dirty ... */
	bool		in_pushed;		/* ... or in dirty_pushed */
	TAILQ_ENTRY(Conn) all_link;
	TAILQ_ENTRY(Conn) queue_link;
	TAILQ_ENTRY(Conn) gated_link;
	TAILQ_ENTRY(Conn) dirty_link;
};

static_assert(offsetof(Conn, session) == 0, "a session is its connection");

TAILQ_HEAD(ConnList, Conn);

/* ---- the worker ---- */
#define NET_MEMORY_POLL_US 1000	/* how often commands that wait for memory try again: the evictor is making room */

typedef enum StopPhase
{
	SERVING,
	STOPPING_SMART,				/* nobody new; ends when the last client has gone */
	STOPPING_FAST				/* replies at the gate leave, then all is closed */
} StopPhase;

/* LogProgress -- what has to change before it pays to run commands again that wait for room in the log. */
typedef struct LogProgress
{
	Lsn			flushed;
	Lsn			prepared;
	uint32		space_errno;
} LogProgress;

typedef struct NetWorker
{
	uint32		index;
	uint64		turn;
	uint64		now_us;
	Lsn			flushed;		/* as last read */
	StopPhase	phase;
	uint64		stop_deadline_us;
	uint32		connections;
	uint32		kills_seen;		/* of ClientWorker.kills */
	bool		handover_waiting;	/* its socket is readable */
	struct ConnList all;
	struct ConnList queue[QUEUE_COUNT];
	struct ConnList gated;
	struct ConnList dirty;
	struct ConnList dirty_pushed;	/* the same, but something was appended that the client has not asked for: replies go first */
	struct ConnList gone;
	uint32		parked[QUEUE_COUNT];
	uint64		memory_retry_us;	/* QUEUE_MEMORY runs again then */
	bool		messages;		/* more of other workers' messages may be there */
	bool		serving;		/* tcop_serve has said so: the base is open and watched */
	bool		feed_watched;	/* reads of the log wake us */
	uint64		wake_deadline_us;	/* of those in QUEUE_WAIT whom no LSN helps: none is earlier; 0: none */
	bool		feed_more;		/* there is log left to offer to those who wait for changes */
	Lsn			want[WAL_PERIODIC + 1];	/* by urgency: highest LSN of this turn */
	uint64		gated_replies;	/* at the gate now */
	uint64		in_bytes;		/* of request buffers */
	LogProgress progress;		/* the log as it was before this turn's commands ran */
	/* rates */
	uint64		rate_us;
	uint64		rate_commands;
	uint64		rate_input;
	uint64		rate_output;
} NetWorker;

extern NetWorker net__worker;

/* connection.c */
extern void net__conn_open(int fd, bool is_unix);
extern void net__conn_close(Conn *c);			/* begins the closing; the back end says when it is done */
extern void net__conn_dirty(Conn *c);			/* look at its output in this turn */
extern void net__conn_queue(Conn *c, ConnQueue queue);
extern void net__conn_output(Conn *c);			/* send what may leave; close what is over */
extern void net__conn_free_gone(void);
extern void net__conn_pushed(Session *s, Lsn gate);	/* tcop_pushed */
extern void net__conn_check_output(Conn *c);	/* over its limit: it is closed */

/* request.c: from bytes to commands */
extern void net__request_received(Conn *c, const uint8 *data, size_t len);
extern void net__request_resume(Conn *c);		/* go on with the bytes and the command it keeps */
extern void net__request_free(Conn *c);

/* gate.c */
extern void net__gate_reply(Conn *c);			/* after each command: when its reply may leave */
extern void net__gate_push(Conn *c, Lsn gate);	/* after a push: when it may leave */
extern void net__gate_release(void);			/* what the log allows */
extern Lsn net__gate_lowest(void);				/* of all that waits at the gate; 0: nothing does */
extern uint32 net__replies_due(void);			/* replies and commands that wait for the log */
extern void net__gate_want(void);				/* ask the walwriter, once per urgency */
extern void net__gate_forget(Conn *c);
extern uint64 net__gate_end(Conn *c);			/* output position behind the last complete reply */

/* ---- event back ends ---- */
enum { WATCH_LATCH, WATCH_HANDOVER, WATCH_POSTMASTER, WATCH_BASE, WATCH_FEED, WATCH_COUNT };

typedef struct EventOps
{
	const char *name;
	uint32		method;			/* index into tcop_event_methods */
	bool		(*open)(char *why, size_t why_size);	/* false: the system refuses, *why says what */
	void		(*close)(void);
	void		(*watch)(int which, int fd);	/* net__on_watch(which) whenever it is readable */
	void		(*listen_start)(Listener *l);
	void		(*listen_stop)(Listener *l);	/* no net__on_accept any more; does not close it */
	void		(*conn_start)(Conn *c);			/* receive_wanted is set */
	void		(*conn_receive)(Conn *c);		/* receive_wanted has changed */
	/* starts sending the first 'len' bytes of the output: net__on_sent at once or later; 'sending' until then */
	void		(*conn_send)(Conn *c, uint64 len);
	void		(*conn_stop)(Conn *c);			/* net__on_gone at once or later; nothing else after */
	/* submits what was asked for, waits at most timeout_us (0: not at all), makes the upcalls */
	void		(*turn)(uint64 timeout_us);
} EventOps;

extern const EventOps net__event_uring;
extern const EventOps net__event_epoll;
extern const EventOps *net__event;				/* the one in use */

/* upcalls: all from within turn(), but for those said to come at once */
extern void net__on_awake(void);				/* first of all, once per turn(), when it has waited */
extern void net__on_watch(int which);
extern void net__on_accept(Listener *l, int fd);	/* fd < 0: -errno */
extern bool net__conn_deserted(const Conn *c);
extern void net__on_receive(Conn *c, const uint8 *data, ssize_t len);	/* 0: end, < 0: -errno */
extern void net__on_sent(Conn *c, ssize_t len);		/* < 0: -errno */
extern void net__on_sendable(Conn *c);				/* the socket was full and has room again */
extern void net__on_gone(Conn *c);

#endif
