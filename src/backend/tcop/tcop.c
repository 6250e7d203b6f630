/*
 * tcop.c -- running a command: lookup, checks, the run, the account of it.
 *
 * A command begins when the session has none, runs until it says TCOP_DONE, and
 * may be run any number of times in between; whatever it keeps from one run to
 * the next stands in the session.  Nothing in this room sleeps.
 *
 * Pages of the base that a command needed and had to wait for stay with it
 * (session.keep) from run to run, so that it gets on, and go when it ends.
 *
 * What a process that dies in here leaves behind: its replies are gone with it,
 * what it had in the log and in the overlay is the store's affair.
 */
#include "common/c.h"

#include <errno.h>

#include "access/base/base_read.h"
#include "access/wal/wal.h"
#include "storage/ipc/segment.h"
#include "tcop/message.h"
#include "tcop/multi.h"
#include "tcop/slowlog.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/latency.h"
#include "utils/settings.h"

uint64		tcop_now_us;
const char *const tcop_event_methods[] = {"io_uring", "epoll"};

/*
 * The account of time.  One reading of the clock per run of a command: the end of
 * one is the beginning of the next, and the first in a turn of the loop takes a
 * reading of its own.  Hence every command is measured by itself, also those of a
 * pipeline; what lies between two (parsing the next) counts for the next.
 *
 * A command's time in the account is that of its runs alone; its latency is what
 * passed from its first run to its reply, with all that it waited for (pages, the
 * log, memory, other transactions) but for those that are made to wait
 * (CMD_BLOCKING), whose last run counts.  The gate comes after it.
 *
 * Short ones of the same kind in a row are only added up, and go into the histogram
 * together, each with the average of its row; the longer ones, which make the tail
 * of the histogram and the slow log, go in one by one.
 */
#define ACCOUNT_SHORT_NS 4000

static uint64 account_ticks;		/* the last reading of this turn; 0: none yet */
static uint64 account_slow_ticks;	/* a command that took so long is looked at more closely */
static uint64 account_short_ticks;	/* a command that took less is short */
static int	account_command = -1;	/* what the process slot says that we do */
static uint64 account_row_ticks;	/* short ones of account_command that are in no figure yet: their time ... */
static uint32 account_row_count;	/* ... and number */

static void
account_row_end(void)
{
	uint64		ns;

	if (account_row_count == 0)
		return;
	ns = clock_ticks_ns(account_row_ticks);
	stats_add(STAT_COMMAND_NSEC + account_command, ns);
	stats_latency_add(account_command, ns / account_row_count, account_row_count);
	account_row_ticks = 0;
	account_row_count = 0;
}

static inline uint64
account_now(void)
{
	if (account_ticks == 0)
		account_ticks = clock_ticks();
	return account_ticks;
}

/* account_doing -- what the process slot says; no reading of the clock. */
static inline void
account_doing(const Command *c)
{
	if (likely(c->index == account_command))
		return;
	account_row_end();
	account_command = c->index;
	elog_doing(c->name);
}

/* tcop__account -- within EXEC: what has passed goes to the command before. */
void
tcop__account(const Command *c)
{
	uint64		now;

	if (c->index == account_command)
		return;
	now = clock_ticks();
	if (account_command >= 0)
		stats_add(STAT_COMMAND_NSEC + account_command, clock_ticks_ns(now - account_ticks));
	account_ticks = now;
	account_doing(c);
}

/* account_limits -- once per turn: the settings may have changed. */
static void
account_limits(void)
{
	uint64		ns = UINT64_MAX;

	if (set_slowlog_log_slower_than >= 0)
		ns = (uint64) set_slowlog_log_slower_than * 1000;
	if (set_latency_monitor_threshold > 0)
		ns = Min(ns, (uint64) set_latency_monitor_threshold * 1000000);
	account_slow_ticks = ns == UINT64_MAX ? ns : clock_ns_ticks(ns);
	account_short_ticks = Min(account_slow_ticks, clock_ns_ticks(ACCOUNT_SHORT_NS));
}

static void
account_slow(Session *s, const Command *c, uint64 ns)
{
	uint64		us = ns / 1000;

	if (set_slowlog_log_slower_than >= 0 && us >= (uint64) set_slowlog_log_slower_than && set_slowlog_max_len > 0 &&
		(c->flags & CMD_SKIP_SLOWLOG) == 0)
		slowlog_add(s, c, us);
	latency_add((c->flags & CMD_FAST) != 0 ? LATENCY_FAST_COMMAND : LATENCY_COMMAND, us);
}

/* account_long -- a run that has not ended the command, or that was not short, or not the first. */
static void
account_long(Session *s, const Command *c, uint64 spent, bool done)
{
	uint64		took = (c->flags & CMD_BLOCKING) != 0 ? spent : account_ticks - s->begun_ticks;

	stats_add(STAT_COMMAND_NSEC + c->index, clock_ticks_ns(spent));
	if (!done)
		return;
	stats_latency_add(c->index, clock_ticks_ns(took), 1);
	if (took >= account_slow_ticks)
		account_slow(s, c, clock_ticks_ns(took));
}

/* account_run -- a run of the session's command has ended. */
static inline void
account_run(Session *s, bool done)
{
	uint64		now = clock_ticks();
	uint64		spent = now - account_ticks;
	bool		first = account_ticks == s->begun_ticks;

	account_ticks = now;
	if (likely(spent < account_short_ticks && first && done))
	{
		account_row_ticks += spent;
		account_row_count++;
	}
	else
		account_long(s, s->command, spent, done);
}

void
tcop_turn_end(void)
{
	account_row_end();
	account_ticks = 0;
	message_wake();
}

size_t
tcop_region_size(void)
{
	return slowlog_size();
}

void
tcop_region_init(void *region)
{
	slowlog_init(region);
}

bool
tcop__account_is_slow(uint64 took_ticks)
{
	return unlikely(took_ticks >= account_slow_ticks);
}

void
tcop__account_slow(Session *s, uint64 took_ticks)
{
	account_slow(s, s->command, clock_ticks_ns(took_ticks));
}

void
tcop_start(uint32 worker)
{
	command_init();
	stats_attach(worker);
	clock_ticks_start();
	tcop_now_us = clock_mono_us();
	message_open(worker);
}

void
tcop_turn(uint64 now_us)
{
	tcop_now_us = now_us;
	tcop_turn_end();		/* of what has run since, in the call that slept */
	account_limits();
	store_clock_turn();
	notify_turn();
}

bool
tcop_auth_required(const Session *s)
{
	/* a TCP client without a password to ask for gets nowhere: settings may have changed under it */
	return !s->authenticated && (set_requirepass[0] != '\0' || !s->is_unix);
}

/* words that begin lines of HTTP: what a web page can make a browser send to a socket of this machine */
#define HTTP_LOGGED_EVERY_US UINT64_C(60000000)

/* http_spoken -- is the command a line of HTTP?  Then the connection ends, for what follows may be commands in its body. */
static bool
http_spoken(Session *s)
{
	static uint64 logged_us;

	if (!tcop__arg_is(s, 0, "post") && !tcop__arg_is(s, 0, "host:"))
		return false;
	s->close_after_reply = true;
	if (logged_us == 0 || tcop_now_us - logged_us >= HTTP_LOGGED_EVERY_US)
	{
		logged_us = tcop_now_us;
		ereport(LOG, "client %llu closed: it speaks HTTP, perhaps at the will of a web page", (unsigned long long) s->id);
	}
	return true;
}

static void
error_unknown(Session *s)
{
	char		args[160];
	size_t		len = 0;

	if (http_spoken(s))
		return;
	args[0] = '\0';
	for (uint32 i = 1; i < s->argc && len < 128; i++)
		len += (size_t) snprintf(args + len, sizeof(args) - len, "'%.*s' ",
								 (int) Min(128 - len, s->argv[i].len), (const char *) s->argv[i].data);
	reply_error(&s->out, "ERR unknown command '%.*s', with args beginning with: %s",
				(int) Min((size_t) 128, s->argv[0].len), (const char *) s->argv[0].data, args);
}

static void
error_unknown_child(Session *s, const Command *container)
{
	char		name[32];
	size_t		i;

	for (i = 0; container->name[i] != '\0' && i < sizeof(name) - 1; i++)
		name[i] = (char) (container->name[i] - 'a' + 'A');
	name[i] = '\0';
	reply_error(&s->out, "ERR unknown subcommand '%.*s'. Try %s HELP.",
				(int) Min((size_t) 128, s->argv[1].len), (const char *) s->argv[1].data, name);
}

static bool serving;			/* recovery has ended and the base is open */

bool
tcop_serve(void)
{
	if (likely(serving))
		return true;
	if (atomic_load_explicit(&seg_control->recovered, memory_order_acquire) == 0)	/* acquire [recovered] */
		return false;
	base_reader_open(seg_control->data_dir, seg_control->system_id);
	serving = true;
	return true;
}

/* error_loading -- is the server not ready yet for this command?  Then it is answered. */
static bool
error_loading(Session *s, const Command *c)
{
	if ((c->flags & CMD_LOADING) != 0 || likely(tcop_serve()))
		return false;
	reply_error(&s->out, "LOADING artery is loading the log into memory");
	return true;
}

/* touches_keys -- reads or writes them, or tells others: the command, or what EXEC would run. */
static bool
touches_keys(const Session *s, const Command *c)
{
	const uint32 flags = CMD_READONLY | CMD_WRITE | CMD_MAY_REPLICATE;

	return (c->flags & flags) != 0 || (c->run == tcop__exec && tcop__multi_has(s, flags));
}

/* command_begin -- find (unless c is it already) and check it; false: an error has been answered. */
static bool
command_begin(Session *s, const Command *c)
{
	if (c == NULL)
		c = command_find(s->argv[0].data, s->argv[0].len);
	if (unlikely(c == NULL))
	{
		error_unknown(s);
		return false;
	}
	if (c->first_child >= 0 && s->argc > 1)
	{
		const Command *child = command_find_child(c, s->argv[1].data, s->argv[1].len);

		if (child == NULL)
		{
			error_unknown_child(s, c);
			return false;
		}
		c = child;
	}
	s->command = c;
	s->last_command = (uint32) c->index + 1;
	account_doing(c);
	if (unlikely(!command_arity_fits(c, s->argc) || c->run == NULL))
		tcop__error_arity(s);
	else if (unlikely(tcop_auth_required(s)) && (c->flags & CMD_NO_AUTH) == 0)
		reply_error(&s->out, "NOAUTH Authentication required.");
	else if (unlikely(s->snapshot != NULL) && (c->flags & CMD_WRITE) != 0)
		reply_error(&s->out, "ERR '%s' cannot run here: a snapshot is open, it is for reading; SNAPSHOT CLOSE comes first", c->name);
	else if (unlikely(s->pubsub != NULL) && !pubsub_allows(s, c))
		;
	else if (unlikely(s->monitor) && touches_keys(s, c))
		reply_error(&s->out, "ERR Replica can't interact with the keyspace");	/* what Redis calls a client in MONITOR, too */
	else if (likely(!error_loading(s, c)))
		return true;
	stats_add(STAT_COMMAND_REJECTED + c->index, 1);
	return false;
}

bool
tcop__reply_unwanted(const Session *s)
{
	return s->reply_mode == REPLY_OFF || s->reply_mode == REPLY_SKIP;
}

/* reply_dropped -- CLIENT REPLY: true if the reply is not to be sent. */
static bool
reply_dropped(Session *s)
{
	switch (s->reply_mode)
	{
		case REPLY_ON:
			return false;
		case REPLY_OFF:
			return !s->push_reply;
		case REPLY_SKIP_NEXT:
			s->reply_mode = REPLY_SKIP;
			return false;
		default:
			s->reply_mode = REPLY_ON;
			return !s->push_reply;
	}
}

/* state_drop -- what the command kept in 'state' goes. */
void
tcop__state_drop(Session *s)
{
	if (s->state_free != NULL)
		s->state_free(s->state);
	else
		free(s->state);
	s->state = NULL;
	s->state_free = NULL;
}

/* keep_drop -- the pages go, and what held them: the next commands may not need any, and there are many connections. */
static void
keep_drop(Session *s)
{
	base_keep_destroy(s->keep);
	s->keep = NULL;
}

/* txn_drop -- a transaction that has not ended; nothing of it has happened. */
static void
txn_drop(Session *s)
{
	store_txn_destroy(s->txn);
	s->txn = NULL;
	s->txn_body_done = false;
}

/* begin_lsn -- CLIENT REPLYLSN: the command may write: a place in front of its reply. */
static void
begin_lsn(Session *s)
{
	s->lsn_before = s->last_write_lsn;
	s->reply_begin = output_begin(&s->out);
}

/* end_lsn -- a command that wrote says where: an attribute stands before its reply. */
static void
end_lsn(Session *s)
{
	char		text[48];
	int			len;

	if (s->last_write_lsn != s->lsn_before && s->out.proto >= 3)
	{
		len = snprintf(text, sizeof(text), "|1\r\n$3\r\nlsn\r\n:%llu\r\n", (unsigned long long) s->last_write_lsn);
		output_insert(&s->out, s->reply_begin, text, (size_t) len);
	}
	output_end(&s->out, s->reply_begin);
	s->reply_begin = NULL;
}

/* command_end -- what net wants to know of it, then the session is ready for the next. */
static void
command_end(Session *s)
{
	s->policy = session_policy(s);
	s->reply_gate = s->policy == DURABILITY_IMMEDIATE || s->policy == DURABILITY_GROUP ? s->gate : LSN_NONE;
	if (unlikely(s->reply_begin != NULL))
		end_lsn(s);
	if (unlikely(s->reply_mode != REPLY_ON) && reply_dropped(s))
		output_cut(&s->out, s->out_start);
	output_trim(&s->out);
	if (s->next_armed)
	{
		s->next_armed = false;
		s->next_durability = SESSION_POLICY_SERVER;
	}
	if (unlikely(s->state != NULL))
		tcop__state_drop(s);
	if (unlikely(s->txn != NULL))
		txn_drop(s);
	if (unlikely(s->effects != NULL))
		tcop__effects_send(s);
	if (unlikely(s->tracking != NULL))
		tracking_after(s);
	s->unblocked = UNBLOCKED_NO;
	s->pending_count = 0;
	if (unlikely(s->keep != NULL))
		keep_drop(s);
	s->command = NULL;
	s->commands_run++;
}

/*
 * admitted -- a command that has passed its checks: may it run now?  False: *result.
 * CLIENT PAUSE holds it, it has been queued, or it is held back.
 */
static bool
admitted(Session *s, TcopResult *result)
{
	s->paused = message_paused() && tcop__pause_holds(s);
	if (unlikely(s->paused))
	{
		*result = TCOP_PARK_PAUSE;
		return false;
	}
	if (unlikely(s->multi != NULL) && tcop__multi_queue(s))
	{
		command_end(s);
		*result = TCOP_DONE;
		return false;
	}
	stats_add(STAT_COMMAND_CALLS + s->command->index, 1);
	stats_add(STAT_COMMANDS, 1);
	if (unlikely(s->reply_lsn) && (s->command->flags & CMD_READONLY) == 0)
		begin_lsn(s);
	*result = TCOP_LATER;
	return (s->command->flags & CMD_DENYOOM) == 0 || likely(!tcop__hold(s));
}

/* unblocked -- CLIENT UNBLOCK: true: the command ends with an error; else its time is over, as it will see. */
static bool
unblocked(Session *s)
{
	if (s->unblocked == UNBLOCKED_TIMEOUT)
	{
		s->deadline_us = tcop_now_us;
		return false;
	}
	output_cut(&s->out, s->out_start);
	reply_error(&s->out, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
	stats_add(STAT_COMMAND_FAILED + s->command->index, 1);
	command_end(s);
	return true;
}

TcopResult
tcop_run(Session *s, const TcopRequest *request)
{
	TcopResult	result;

	Assert(s->magic == SESSION_MAGIC && request->argc > 0);
	s->argv = request->argv;
	s->argc = request->argc;
	store_use_keep(&s->keep);
	if (likely(s->command == NULL))
	{
		s->step = 0;
		s->count = 0;
		s->gate = LSN_NONE;
		s->wrote = false;
		s->push_reply = false;
		s->out_start = s->out.appended;
		s->out_errors = s->out.errors;
		s->txn_tries = 0;
		s->txn_changed = s->txn_refused = false;
		s->next_armed = s->next_durability != SESSION_POLICY_SERVER;
		s->begun_ticks = account_now();
		if (unlikely(!command_begin(s, request->command)))
		{
			tcop__multi_refused(s);
			command_end(s);
			return TCOP_DONE;
		}
		if (!admitted(s, &result))
			return result;
	}
	else
	{
		(void) account_now();
		account_doing(s->command);
		if (unlikely(s->paused))
		{
			if (!admitted(s, &result))
				return result;
			s->begun_ticks = account_now();	/* it begins now */
		}
		if (s->held)
			tcop__hold_over(s);
		if (unlikely(s->unblocked != UNBLOCKED_NO) && unblocked(s))
			return TCOP_DONE;
	}
	if (unlikely(s->tracking != NULL))
		tracking_before(s, false);
	store_use_snapshot(s->snapshot);
	result = s->command->run(s);
	store_use_snapshot(NULL);	/* nobody else's reading, and not what net does */
	account_run(s, result == TCOP_DONE);
	if (likely(result == TCOP_DONE))
	{
		if (message_watched())
			tcop__monitor_feed(s, s->command, s->argv, s->argc);
		if (unlikely(s->out.errors != s->out_errors))
			stats_add(STAT_COMMAND_FAILED + s->command->index, 1);
		command_end(s);
	}
	return result;
}

void
tcop_cancel(Session *s)
{
	bool		happened = s->txn == NULL;	/* what it has written so far */

	if (s->state != NULL)
		tcop__state_drop(s);
	if (!happened)
		txn_drop(s);
	if (s->effects != NULL && happened)
		tcop__effects_send(s);
	tcop__effects_drop(s);
	if (s->keep != NULL)
		keep_drop(s);
}

void *
tcop__state(Session *s, size_t size, void (*state_free)(void *state))
{
	Assert(s->state == NULL);
	s->state = calloc(1, size);
	Verify(s->state != NULL);
	s->state_free = state_free;
	return s->state;
}

void
tcop_prefetch(const Session *s, TcopRequest *requests, uint32 count)
{
	StoreKey	keys[TCOP_PREFETCH_MAX];
	uint32		n = 0;

	for (uint32 i = 0; i < count && n < TCOP_PREFETCH_MAX; i++)
	{
		TcopRequest *r = &requests[i];
		const Command *c = r->argc > 1 ? command_find(r->argv[0].data, r->argv[0].len) : NULL;

		r->command = c;
		if (c != NULL && c->first_key != 0 && (uint32) c->first_key < r->argc &&
			r->argv[c->first_key].len <= KEY_USER_MAX)
			keys[n++] = (StoreKey) {s->db, (uint32) r->argv[c->first_key].len, r->argv[c->first_key].data};
	}
	if (n > 1)
		store_prefetch_batch(keys, (int) n);
}

/* ---- reading ahead ---- */
#define AHEAD_IN_FLIGHT 64		/* with so many reads on their way nothing is read ahead */

static struct BaseKeep *ahead_keep;	/* what is read ahead is kept by nobody: it goes to the pool */

static void
show_nothing(const StoreView *view, void *arg)
{
	(void) view;
	(void) arg;
}

/* read_ahead -- one key: looked up as if it were asked for, but nobody waits. */
static void
read_ahead(const Session *s, const BytePart *word)
{
	StoreKey	key = {s->db, (uint32) word->len, word->data};
	Lsn			gate = LSN_NONE;

	if (word->len <= KEY_USER_MAX && store_read_head(&key, show_nothing, NULL, &gate) != STORE_OK)
		base_keep_release(ahead_keep);
}

/* may_read_ahead -- plain calls would wait for what nobody may need. */
static bool
may_read_ahead(void)
{
	return base_read_fd() >= 0 && base_read_in_flight() < AHEAD_IN_FLIGHT;
}

void
tcop__read_ahead(Session *s, uint32 i, uint32 count)
{
	store_use_keep(&ahead_keep);
	for (; count > 0 && i < s->argc && may_read_ahead(); i++, count--)
		read_ahead(s, &s->argv[i]);
	store_use_keep(&s->keep);
}

void
tcop_read_ahead(Session *s, const TcopRequest *requests, uint32 count)
{
	uint32		keys = 0;

	store_use_keep(&ahead_keep);
	for (uint32 i = 0; i < count && keys < TCOP_AHEAD_KEYS && may_read_ahead(); i++)
	{
		const TcopRequest *r = &requests[i];
		const Command *c = r->command;

		/* a write behind it may need nothing at all (SET) */
		if (c != NULL && (c->flags & CMD_READONLY) != 0 && c->first_key != 0 && (uint32) c->first_key < r->argc)
		{
			read_ahead(s, &r->argv[c->first_key]);
			keys++;
		}
	}
	store_use_keep(&s->keep);
}

bool
tcop__arg_key(Session *s, uint32 i, StoreKey *key)
{
	key->db = s->db;
	key->len = (uint32) s->argv[i].len;
	key->data = s->argv[i].data;
	if (likely(s->argv[i].len <= KEY_USER_MAX))
		return true;
	reply_error(&s->out, "ERR key is too long (%zu bytes, maximum %d)", s->argv[i].len, KEY_USER_MAX);
	return false;
}

bool
tcop__arg_keys(Session *s, uint32 first)
{
	StoreKey	key;

	for (uint32 i = first; i < s->argc; i++)
		if (!tcop__arg_key(s, i, &key))
			return false;
	return true;
}

bool
tcop__arg_int(Session *s, uint32 i, int64 *value, const char *error)
{
	if (number_parse(s->argv[i].data, s->argv[i].len, value))
		return true;
	reply_error(&s->out, "ERR %s", error != NULL ? error : "value is not an integer or out of range");
	return false;
}

bool
tcop__arg_positive(Session *s, uint32 i, int64 *value)
{
	if (!tcop__arg_int(s, i, value, NULL))
		return false;
	if (*value >= 0)
		return true;
	reply_error(&s->out, "ERR value is out of range, must be positive");
	return false;
}

bool
tcop__too_many(Session *s)
{
	if (likely(s->argc <= TCOP_WORDS_MAX))
		return false;
	reply_error(&s->out, "ERR too many arguments for '%s' command (%u, maximum %d)", s->command->name, s->argc,
				TCOP_WORDS_MAX);
	return true;
}

void
tcop__error_syntax(Session *s)
{
	reply_error(&s->out, "ERR syntax error");
}

void
tcop__error_arity(Session *s)
{
	reply_error(&s->out, "ERR wrong number of arguments for '%s' command", s->command->name);
}

void
tcop__error_help(Session *s)
{
	char		container[32];
	size_t		i = 0;

	for (const char *p = s->command->name; *p != '\0' && *p != '|' && i < sizeof(container) - 1; p++)
		container[i++] = (char) (*p - 'a' + 'A');
	container[i] = '\0';
	reply_error(&s->out, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
				(int) Min((size_t) 128, s->argv[1].len), (const char *) s->argv[1].data, container);
}

/* error_store -- the command ends with this error and nothing else. */
static void
error_store(Session *s, StoreStatus status)
{
	int			reason;

	output_cut(&s->out, s->out_start);
	switch (status)
	{
		case STORE_NO_MEMORY:
			reply_error(&s->out, "OOM command not allowed when used memory > 'maxmemory'.");
			break;
		case STORE_DISK_FULL:
			/* relaxed: the reason, for people */
			reason = (int) atomic_load_explicit(&wal_shared->space_errno, memory_order_relaxed);
			reply_error(&s->out, "MISCONF Errors writing the log: %s", strerror(reason != 0 ? reason : ENOSPC));
			break;
		case STORE_TOO_LARGE:
			reply_error(&s->out, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
			break;
		case STORE_CORRUPT:
			reply_error(&s->out, "CORRUPT %s", base_keep_error(s->keep));
			break;
		case STORE_TXN_TOO_LARGE:
			s->txn_refused = true;
			tcop__error_txn_too_large(s);
			break;
		case STORE_SNAPSHOTS_FULL:
			reply_error(&s->out, "ERR too many snapshots are open (%d)", STORE_SNAPSHOTS_MAX);
			break;
		case STORE_SNAPSHOT_ENDED:
			reply_error(&s->out, "SNAPSHOT snapshot at %llu was ended: %s", (unsigned long long) store_snapshot_lsn(s->snapshot),
						store_snapshot_reason(s->snapshot));
			break;
		default:
			NotReached();
	}
}

bool
tcop__status(Session *s, StoreStatus status, TcopResult *result)
{
	*result = TCOP_DONE;
	switch (status)
	{
		case STORE_OK:
			return true;
		case STORE_PARK_WAL:
			*result = TCOP_PARK_WAL;
			break;
		case STORE_CHANGED:
			s->txn_changed = true;	/* who runs the transaction looks at it */
			*result = TCOP_PARK_MAP;
			break;
		case STORE_PARK_MAP:
			*result = TCOP_PARK_MAP;
			break;
		case STORE_PARK_PAGE:
			*result = TCOP_PARK_PAGE;
			break;
		case STORE_PARK_MEMORY:
			*result = TCOP_PARK_MEMORY;
			break;
		case STORE_NO_MEMORY:
		case STORE_DISK_FULL:
		case STORE_TOO_LARGE:
		case STORE_CORRUPT:
		case STORE_TXN_TOO_LARGE:
		case STORE_SNAPSHOTS_FULL:
		case STORE_SNAPSHOT_ENDED:
			error_store(s, status);
			break;
	}
	return false;
}
