/*
 * tcop.h -- what net calls: run a command, tell what to load ahead for it.
 *
 * The commands of one connection run in order, one at a time; those of different
 * connections have nothing to do with each other.  Only workers run them.
 */
#ifndef ARTERY_TCOP_TCOP_H
#define ARTERY_TCOP_TCOP_H

#include "common/c.h"
#include "tcop/command.h"
#include "tcop/session.h"

/* region TCOP: what the commands of all workers share */
extern size_t tcop_region_size(void);
extern void tcop_region_init(void *region);
/* tcop_start -- this worker is about to serve: command table, counters. */
extern void tcop_start(uint32 worker);
/* tcop_serve -- recovery has ended: commands on data may run; opens the base for reading, once.  False: not yet. */
extern bool tcop_serve(void);
/* tcop_turn -- once per turn of the loop: the time that commands see. */
extern void tcop_turn(uint64 now_us);
/* TcopRequest -- one command as it came: its words, valid until it is done. */
typedef struct TcopRequest
{
	const BytePart *argv;
	uint32		argc;
	const Command *command;		/* if tcop_prefetch has looked it up already, else NULL */
	size_t		end;			/* net's: offset behind it in the bytes that were received */
} TcopRequest;

/*
 * tcop_run -- begins the command of a request, or goes on with the one that
 * session->command names.  On TCOP_DONE, session->reply_gate and policy say
 * when the reply may leave.
 */
extern TcopResult tcop_run(Session *s, const TcopRequest *request);
/* tcop_cancel -- the connection goes away in the middle of a command. */
extern void tcop_cancel(Session *s);
/* tcop_prefetch -- start loading the ways to the first keys of commands that will run next; notes which commands they are. */
#define TCOP_PREFETCH_MAX 32
extern void tcop_prefetch(const Session *s, TcopRequest *requests, uint32 count);
/* tcop_read_ahead -- a command waits for a page: start reading what those behind it will need from disk.  Decides nothing, never waits. */
extern void tcop_read_ahead(Session *s, const TcopRequest *requests, uint32 count);
/*
 * Pushes: bytes that a connection is sent without having asked (messages).
 * tcop_pushed -- net's upcall: some were appended to s->out, behind every complete
 * reply; they leave when the log is flushed up to 'gate' (LSN_NONE: at once), or
 * the output has met its limit.  Not while the session's own command is under way:
 * net then calls tcop_push_late, once that command's reply stands at the gate, if
 * s->late is set.
 * tcop_messages_turn -- once per turn: takes in what other workers have sent; true:
 * there is more, come again soon.
 * tcop_closing -- the connection is about to be closed: it listens no more.
 */
/* tcop_opened -- a connection has been taken over. */
extern void tcop_opened(Session *s);
extern void (*tcop_pushed) (Session *s, Lsn gate);
extern void tcop_push_late(Session *s);
extern bool tcop_messages_turn(void);
extern void tcop_closing(Session *s);
extern size_t tcop_messages_size(void);			/* region MESSAGES */
extern void tcop_messages_init(void *region);
/* tcop_pause_end_us -- until when CLIENT PAUSE holds commands (TCOP_PARK_PAUSE); 0: it does not. */
extern uint64 tcop_pause_end_us(void);
/* tcop_unblock -- CLIENT UNBLOCK: the session's command, which is in TCOP_WAIT and is to be run again now, ends as if its time were over, or with an error. */
extern void tcop_unblock(Session *s, bool error);
/*
 * A process that is no worker and changes keys (the expirer) tells clients, too.
 * tcop_teller_turn -- once per turn of its loop; true: workers have much to take in still, wait a moment.
 */
struct StoreKey;
extern void tcop_teller_open(void);
extern bool tcop_teller_turn(void);
extern void tcop_tell_expired(const struct StoreKey *key, Lsn lsn);	/* this key has been deleted because of its deadline */
/* tcop_turn_end -- no more commands in this turn of the loop: closes the account of time. */
extern void tcop_turn_end(void);
/*
 * tcop_feed_turn -- once per turn while anything waits (TCOP_WAIT) or reads the log:
 * offers what has become durable to those who wait for changes.  true: there is more
 * to look at, do not sleep.
 * tcop_feed_woken -- whose command (TCOP_WAIT) is to be run again; each once; NULL: nobody's any more.
 */
extern bool tcop_feed_turn(void);
extern Session *tcop_feed_woken(void);
extern Lsn tcop_feed_wait(void);		/* the least 'flushed' at which tcop_feed_turn has something to do; 0: none */
extern uint32 tcop_feed_blocked(void);	/* sessions in TCOP_WAIT that want no flush */
/* tcop_auth_required -- does this session still have to give a password? */
extern bool tcop_auth_required(const Session *s);
/* tcop_write_commands_doc -- doc/commands.md.  Any process. */
extern void tcop_write_commands_doc(FILE *out);

extern const char *const tcop_event_methods[];	/* names for StatsWorker.event_method */

#endif
