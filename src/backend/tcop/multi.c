/*
 * multi.c -- MULTI EXEC DISCARD WATCH UNWATCH, and ASSERT within them.
 *
 * Between MULTI and EXEC commands are checked as always and then queued, their
 * words copied.  EXEC runs them one after the other in one transaction of the
 * store: what they write is theirs alone until all have run, and then there at
 * one moment, or not at all.
 *
 * A queued command runs as it does by itself, with the session's command, words
 * and out_start set to its own; it may park, and EXEC with it: the next run of
 * EXEC goes on with it.  Step, count and state are the queued command's: EXEC keeps
 * its own place in the Multi.  What it answers an error stays in EXEC's reply, and
 * the others run all the same.
 *
 * Two passes.  In the first the commands on keys run, in the transaction.  Has
 * something that they were shown changed when all have run, everything begins anew.
 * Commands on the connection or the server (SUBSCRIBE, PUBLISH, CLIENT, CONFIG ...:
 * runs_after) are left out, for what they do cannot be taken back: they run in the
 * second pass, when the transaction has been committed, each in its place and once;
 * of an EXEC that answers nil or an error, none.  Their replies are put in between
 * those of the first pass, and what the commands before them have to tell others
 * (effects.c) is sent first: so they find all as if everything had run in one go.
 * What later commands on keys depend on runs in the first pass, and can be taken
 * back (Choices): SELECT, HELLO.
 *
 * Messages for the connection itself, which it has subscribed to, follow EXEC's
 * reply (message.c).
 *
 * WATCH notes each key's version.  At EXEC they become the transaction's: it fails,
 * and EXEC answers nil, when one is not the key's version any more; expiry changes
 * it, too, and a key that was deleted and made again has another one.  A key whose deadline
 * had passed before is absent, and no less so when the expirer takes it away.  The same goes
 * for an ASSERT that does not hold, which is looked at in its turn and sees what the
 * commands before it have written.
 *
 * Nothing here sleeps.  A worker that dies takes queue and watched keys with it; the
 * connection is gone as well.
 */
#include "common/c.h"

#include "access/base/base_read.h"
#include "access/store/evict.h"
#include "tcop/message.h"
#include "tcop/multi.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"
#include "utils/clock.h"
#include "utils/settings.h"

#define COMMANDS_PER_RUN 1024	/* of EXEC; then others are served */
#define QUEUE_FIRST 8
#define WATCH_KEYS_PER_RUN 128	/* each is looked for among those that are watched already */

/* Queued -- one command; its words and their bytes follow */
typedef struct Queued
{
	const Command *command;
	uint32		argc;
	bool		after;			/* runs in the second pass */
	bool		failed;			/* has answered an error */
	bool		pushed;			/* its reply is a push */
	uint8		proto;			/* to answer in, and ... */
	uint32		db;				/* ... database that was chosen, when it had its turn in the first pass */
	uint32		versions;		/* of its reply, that the commit tells */
	uint64		reply_len;
	size_t		effects;		/* what had been noted behind it */
	uint64		took_ticks;
	BytePart	argv[];
} Queued;

/* Watched -- a key, and its version when it was first watched */
typedef struct Watched
{
	StoreKey	key;
	Lsn			version;
	bool		existed;
	uint8		data[];
} Watched;

/* Choices -- what queued commands may change of the session, as EXEC found it */
typedef struct Choices
{
	uint32		db;
	bool		authenticated;
	uint8		proto;
	ClientText	texts;			/* if HELLO is queued, which may set the name */
} Choices;

struct Multi
{
	bool		open;			/* MULTI has been said */
	bool		refused;		/* ... and a command since then: EXEC discards all */
	uint32		count;
	uint32		size;
	Queued	  **queue;
	uint32		watched_count;
	uint32		watched_size;
	Watched   **watched;
	uint64		words;			/* of queued commands with CMD_DENYOOM */
	uint64		bytes;			/* of memory for all this */
	uint32		after_count;	/* queued commands for the second pass */
	bool		says_hello;		/* HELLO is queued */
	bool		says_caching;	/* CLIENT CACHING is */

	/* EXEC */
	bool		running;
	uint32		next;			/* command to run, or to go on with ... */
	bool		begun;			/* ... for it has begun: */
	uint64		out_start;		/* out.appended and out.errors then */
	uint64		out_errors;
	uint32		pending_count;	/* session->pending_count then */
	uint64		begun_ticks;
	bool		failed;			/* an assertion does not hold: go to the end at once */
	uint64		tally[STATS_PLAIN];	/* what the commands have counted, until it is known to stay */
	Choices		choices;

	/* second pass */
	bool		committed;
	bool		tracks_anew;	/* CLIENT TRACKING has run: what the first pass has read may not have been remembered */
	uint64		body_start;		/* out.appended at the first reply */
	Output		body;			/* replies of the first pass, if others are to be put in between */
	uint32		db;				/* chosen at the end, with ... */
	uint8		proto;			/* ... this protocol */
};

/* ---- memory ---- */
static struct Multi *
multi_of(Session *s)
{
	if (s->multi == NULL)
	{
		s->multi = calloc(1, sizeof(struct Multi));
		Verify(s->multi != NULL);
		s->multi->bytes = sizeof(struct Multi);
	}
	return s->multi;
}

/* grown -- an array of pointers with room for one more. */
static void *
grown(struct Multi *m, void *array, uint32 count, uint32 *size)
{
	if (count < *size)
		return array;
	m->bytes += (*size == 0 ? QUEUE_FIRST : *size) * sizeof(void *);
	*size = *size == 0 ? QUEUE_FIRST : *size * 2;
	array = realloc(array, *size * sizeof(void *));
	Verify(array != NULL);
	return array;
}

/* fits -- may 'bytes' more be kept for this client?  Else that is answered. */
static bool
fits(Session *s, struct Multi *m, uint64 bytes)
{
	if (m->bytes + bytes <= (uint64) set_client_query_buffer_limit)
		return true;
	reply_error(&s->out, "ERR too much is queued and watched (%llu bytes, maximum %lld, see client_query_buffer_limit)",
				(unsigned long long) (m->bytes + bytes), (long long) set_client_query_buffer_limit);
	return false;
}

static void
watched_drop(struct Multi *m)
{
	for (uint32 i = 0; i < m->watched_count; i++)
	{
		m->bytes -= sizeof(Watched) + m->watched[i]->key.len;
		free(m->watched[i]);
	}
	m->watched_count = 0;
}

void
tcop__multi_drop(Session *s)
{
	struct Multi *m = s->multi;

	if (m == NULL)
		return;
	for (uint32 i = 0; i < m->count; i++)
		free(m->queue[i]);
	free(m->queue);
	output_free(&m->body);
	watched_drop(m);
	free(m->watched);
	free(m);
	s->multi = NULL;
}

void
tcop__multi_figures(const Session *s, MultiFigures *out)
{
	const struct Multi *m = s->multi;

	memset(out, 0, sizeof(*out));
	if (m != NULL)
		*out = (MultiFigures) {m->open, m->count, m->watched_count, m->words, m->bytes};
}

/* ---- queueing ---- */

/* runs_at_once -- within MULTI, too. */
static bool
runs_at_once(const Command *c)
{
	return c->run == tcop__exec || c->run == tcop__discard || c->run == tcop__multi || c->run == tcop__watch ||
		c->run == tcop__quit || c->run == tcop__reset;
}

static bool
is_assertion(const Command *c)
{
	return c->run == tcop__assert_exists || c->run == tcop__assert_absent || c->run == tcop__assert_version ||
		c->run == tcop__assert_empty;
}

/* runs_after -- on the connection or the server, not on keys: when the transaction has been committed. */
static bool
runs_after(const Command *c)
{
	return (c->flags & (CMD_READONLY | CMD_WRITE)) == 0 && c->run != tcop__select && c->run != tcop__hello &&
		c->run != tcop__echo && c->run != tcop__debug;
}

/* may_be_queued -- else the error is answered. */
static bool
may_be_queued(Session *s)
{
	const Command *c = s->command;
	StoreKey	key;
	uint64		version;

	if ((c->flags & CMD_NO_MULTI) != 0)
		reply_error(&s->out, "ERR Command not allowed inside a transaction");
	else if ((c->flags & CMD_DENYOOM) != 0 && evict_refuses())
		reply_error(&s->out, "OOM command not allowed when used memory > 'maxmemory'.");
	/* a wrong assertion must not end as one error among EXEC's replies */
	else if (c->run == tcop__assert_version && !number_parse_unsigned(s->argv[3].data, s->argv[3].len, &version))
		reply_error(&s->out, "ERR value is not an integer or out of range");
	else if (is_assertion(c))
		return tcop__arg_key(s, 2, &key);
	else
		return true;
	return false;
}

/* queue -- the session's command, its words copied; false: the error is answered. */
static bool
queue(Session *s, struct Multi *m)
{
	uint64		size = sizeof(Queued) + s->argc * sizeof(BytePart);
	Queued	   *q;
	uint8	   *to;

	for (uint32 i = 0; i < s->argc; i++)
		size += s->argv[i].len;
	if (!fits(s, m, size))
		return false;
	q = malloc(size);
	Verify(q != NULL);
	q->command = s->command;
	q->argc = s->argc;
	q->after = runs_after(s->command);
	q->failed = false;
	to = (uint8 *) &q->argv[s->argc];
	for (uint32 i = 0; i < s->argc; i++)
	{
		if (s->argv[i].len > 0)
			memcpy(to, s->argv[i].data, s->argv[i].len);
		q->argv[i] = (BytePart) {to, s->argv[i].len};
		to += s->argv[i].len;
	}
	m->queue = grown(m, m->queue, m->count, &m->size);
	m->queue[m->count++] = q;
	m->bytes += size;
	if ((s->command->flags & CMD_DENYOOM) != 0)
		m->words += s->argc;
	m->after_count += q->after;
	m->says_hello |= s->command->run == tcop__hello;
	m->says_caching |= s->command->run == tcop__client_caching;
	return true;
}

bool
tcop__multi_queue(Session *s)
{
	struct Multi *m = s->multi;

	if (!m->open || runs_at_once(s->command))
		return false;
	if (may_be_queued(s) && queue(s, m))
		reply_simple(&s->out, "QUEUED");
	else
	{
		stats_add(STAT_COMMAND_REJECTED + s->command->index, 1);
		m->refused = true;
	}
	return true;
}

void
tcop__multi_refused(Session *s)
{
	char		reason[256];
	size_t		len = Min(s->out.appended - s->out_start, sizeof(reason) - 1);

	if (s->multi != NULL && s->multi->open)
		s->multi->refused = true;
	if (s->command == NULL || s->command->run != tcop__exec)
		return;
	/* "-ERR reason\r\n", or with another first word, which stays */
	output_copy_tail(&s->out, s->out.appended - len, reason);
	reason[len - 2] = '\0';
	output_cut(&s->out, s->out_start);
	reply_error(&s->out, "EXECABORT Transaction discarded because of: %s",
				reason + (strncmp(reason, "-ERR ", 5) == 0 ? 5 : 1));
	tcop__multi_drop(s);
}

TcopResult
tcop__multi(Session *s)
{
	struct Multi *m = multi_of(s);

	if (m->open)
		reply_error(&s->out, "ERR MULTI calls can not be nested");
	else
	{
		m->open = true;
		reply_ok(&s->out);
	}
	return TCOP_DONE;
}

TcopResult
tcop__discard(Session *s)
{
	if (s->multi == NULL || !s->multi->open)
		reply_error(&s->out, "ERR DISCARD without MULTI");
	else
	{
		tcop__multi_drop(s);
		reply_ok(&s->out);
	}
	return TCOP_DONE;
}

/* ---- WATCH ---- */
typedef struct Seen
{
	Lsn			version;
	bool		exists;
} Seen;

static void
show_seen(const StoreView *view, void *arg)
{
	Seen	   *seen = arg;

	seen->version = view->lsn;
	seen->exists = view->exists;
}

static bool
is_watched(const struct Multi *m, const StoreKey *key)
{
	for (uint32 i = 0; i < m->watched_count; i++)
	{
		const StoreKey *k = &m->watched[i]->key;

		if (k->db == key->db && k->len == key->len && memcmp(k->data, key->data, key->len) == 0)
			return true;
	}
	return false;
}

static void
watch(struct Multi *m, const StoreKey *key, const Seen *seen)
{
	Watched    *w = malloc(sizeof(Watched) + key->len);

	Verify(w != NULL);
	memcpy(w->data, key->data, key->len);
	w->key = (StoreKey) {key->db, key->len, w->data};
	w->version = seen->version;
	w->existed = seen->exists;
	m->watched = grown(m, m->watched, m->watched_count, &m->watched_size);
	m->watched[m->watched_count++] = w;
	m->bytes += sizeof(Watched) + key->len;
}

TcopResult
tcop__watch(Session *s)
{
	struct Multi *m = multi_of(s);
	uint32		done = 0;
	StoreKey	key;

	if (m->open)
	{
		reply_error(&s->out, "ERR WATCH inside MULTI is not allowed");
		return TCOP_DONE;
	}
	if (s->step == 0)
	{
		if (!tcop__arg_keys(s, 1))
			return TCOP_DONE;
		s->step = 1;
	}
	for (; s->step < s->argc; s->step++)
	{
		Seen		seen;
		TcopResult	result;

		if (done++ == WATCH_KEYS_PER_RUN)
			return TCOP_AGAIN;
		key = (StoreKey) {s->db, (uint32) s->argv[s->step].len, s->argv[s->step].data};
		if (is_watched(m, &key))
			continue;			/* since then: the first version counts */
		if (!fits(s, m, sizeof(Watched) + key.len))
			return TCOP_DONE;
		if (!tcop__status(s, store_read_head(&key, show_seen, &seen, &s->gate), &result))
		{
			if (result == TCOP_PARK_PAGE)
				tcop__read_ahead(s, s->step + 1, TCOP_AHEAD_KEYS);
			return result;
		}
		watch(m, &key, &seen);
	}
	reply_ok(&s->out);
	return TCOP_DONE;
}

/* tcop__unwatch -- within EXEC it is too late: the keys are the transaction's. */
TcopResult
tcop__unwatch(Session *s)
{
	if (s->multi != NULL)
	{
		watched_drop(s->multi);
		if (!s->multi->open)
			tcop__multi_drop(s);
	}
	reply_ok(&s->out);
	return TCOP_DONE;
}

/* ---- EXEC ---- */
static void
choices_keep(Session *s, struct Multi *m)
{
	Choices    *c = &m->choices;

	c->db = s->db;
	c->authenticated = s->authenticated;
	c->proto = s->out.proto;
	if (m->says_hello)
		Verify(client_text_read(s->entry, s->id, &c->texts));	/* ours to write */
}

static void
choices_restore(Session *s, const struct Multi *m)
{
	const Choices *c = &m->choices;

	s->db = c->db;
	s->authenticated = c->authenticated;
	s->out.proto = c->proto;
	if (m->says_hello)
		client_text_write(s->entry, &c->texts);
}

/* begin -- the first command is to run next, and nothing has been answered. */
static void
begin(Session *s, struct Multi *m)
{
	m->next = 0;
	m->begun = false;
	m->failed = false;
	memset(m->tally, 0, sizeof(m->tally));
	reply_array(&s->out, m->count);
	m->body_start = s->out.appended;
}

static void
start(Session *s, struct Multi *m)
{
	m->running = true;
	choices_keep(s, m);
	s->txn = store_txn_create();
	for (uint32 i = 0; i < m->watched_count; i++)
		store_txn_watch(s->txn, &m->watched[i]->key, m->watched[i]->version, m->watched[i]->existed);
	begin(s, m);
}

/* Own -- what of the session is EXEC's own, while a queued command's stands there */
typedef struct Own
{
	const Command *command;
	const BytePart *argv;
	uint32		argc;
	uint64		out_start;
	uint64		out_errors;
} Own;

static Own
put_in(Session *s, const struct Multi *m, const Queued *q)
{
	const Own	own = {s->command, s->argv, s->argc, s->out_start, s->out_errors};

	s->command = q->command;
	s->argv = q->argv;
	s->argc = q->argc;
	s->out_start = m->out_start;
	s->out_errors = m->out_errors;
	return own;
}

static void
put_back(Session *s, const Own *own)
{
	s->command = own->command;
	s->argv = own->argv;
	s->argc = own->argc;
	s->out_start = own->out_start;
	s->out_errors = own->out_errors;
}

/* run_in_its_place -- the queued command, with the session as if it had come by itself. */
static TcopResult
run_in_its_place(Session *s, struct Multi *m, const Queued *q)
{
	const Own	own = put_in(s, m, q);
	TcopResult	result;

	if (unlikely(s->tracking != NULL))
		tracking_before(s, m->says_caching);
	store_txn_use(s->txn);
	stats_tally = m->committed ? NULL : m->tally;
	result = q->command->run(s);
	if (result == TCOP_WAIT)
	{
		/* nothing that it could wait for comes before EXEC has ended: as if its time were over */
		s->deadline_us = tcop_now_us;
		result = q->command->run(s);
	}
	stats_tally = NULL;
	store_txn_use(NULL);
	put_back(s, &own);
	return result;
}

/* run_queued -- one queued command, or what is left of it. */
static TcopResult
run_queued(Session *s, struct Multi *m, Queued *q)
{
	TcopResult	result;

	if (!m->begun)
	{
		m->begun = true;
		m->out_start = s->out.appended;
		m->out_errors = s->out.errors;
		m->pending_count = s->pending_count;
		m->begun_ticks = clock_ticks();
		s->step = 0;
		s->count = 0;
		s->push_reply = false;
	}
	tcop__account(q->command);
	result = run_in_its_place(s, m, q);
	if (result != TCOP_DONE)
		return result;
	q->took_ticks = clock_ticks() - m->begun_ticks;
	q->failed = s->out.errors != m->out_errors;
	if (q->failed)
		s->pending_count = m->pending_count;
	q->pushed = s->push_reply;
	q->reply_len = s->out.appended - m->out_start;
	q->versions = s->pending_count - m->pending_count;
	if (s->state != NULL)
		tcop__state_drop(s);
	if (s->keep != NULL)
		base_keep_release(s->keep);
	if (output_pending(&s->out) > (uint64) set_client_output_buffer_limit)
		s->out.overflow = true;
	m->begun = false;
	return TCOP_DONE;
}

/* run_next -- the turn of a queued command in the first pass. */
static TcopResult
run_next(Session *s, struct Multi *m)
{
	Queued	   *q = m->queue[m->next];
	TcopResult	result = q->after ? TCOP_DONE : run_queued(s, m, q);

	if (result != TCOP_DONE)
		return result;
	q->db = s->db;
	q->proto = s->out.proto;
	q->effects = tcop__effects_noted(s);
	m->next++;
	return TCOP_DONE;
}

/* end -- EXEC is over, whatever came of it. */
static TcopResult
end(Session *s)
{
	tcop__txn_end(s);
	tcop__multi_drop(s);
	return TCOP_DONE;
}

/* end_with -- ... nothing was written, and this is the whole reply; what the queued commands chose (SELECT, HELLO) was not chosen. */
static TcopResult
end_with(Session *s, const char *error)
{
	if (s->multi->running)
		choices_restore(s, s->multi);
	output_cut(&s->out, s->out_start);
	tcop__effects_drop(s);
	if (error != NULL)
		reply_error(&s->out, "%s", error);
	else
	{
		reply_null_array(&s->out);
		s->out_errors = s->out.errors;	/* those of the queued commands have been taken back */
	}
	return end(s);
}

/* refused -- by the commit, whose error has been answered. */
static TcopResult
refused(Session *s)
{
	choices_restore(s, s->multi);
	return end(s);
}

/* too_large -- a queued command found that the transaction takes too much log. */
static TcopResult
too_large(Session *s)
{
	output_cut(&s->out, s->out_start);
	tcop__error_txn_too_large(s);
	return refused(s);
}

bool
tcop__multi_has(const Session *s, uint32 flags)
{
	const struct Multi *m = s->multi;

	for (uint32 i = 0; m != NULL && i < m->count; i++)
		if ((m->queue[i]->command->flags & flags) != 0)
			return true;
	return false;
}

bool
tcop__multi_open(const Session *s)
{
	return s->multi != NULL && s->multi->open;
}

bool
tcop__multi_running(const Session *s)
{
	return s->multi != NULL && s->multi->running;
}

void
tcop__multi_break(Session *s)
{
	store_txn_break(s->txn);
	s->multi->failed = true;
}

/* run_after -- the turn of a queued command in the second pass. */
static TcopResult
run_after(Session *s, struct Multi *m, Queued *q)
{
	TcopResult	result;

	if (!m->begun)
		tcop__effects_send_upto(s, q->effects);
	result = run_queued(s, m, q);
	if (result == TCOP_DONE && q->command->run == tcop__client_tracking)
		m->tracks_anew = true;
	return result;
}

/* told -- a queued command is over: who else is to know it. */
static void
told(Session *s, const struct Multi *m, const Queued *q)
{
	bool		late = m->tracks_anew && s->tracking != NULL && !q->after;

	stats_add(STAT_COMMAND_CALLS + q->command->index, 1);
	stats_add(STAT_COMMANDS, 1);
	if (q->failed)
		stats_add(STAT_COMMAND_FAILED + q->command->index, 1);
	if (message_watched())
		tcop__monitor_feed(s, q->command, q->argv, q->argc);
	if (unlikely(tcop__account_is_slow(q->took_ticks) || late))
	{
		const Own	own = put_in(s, m, q);

		if (tcop__account_is_slow(q->took_ticks))
			tcop__account_slow(s, q->took_ticks);
		if (late)
			tracking_too_late(s);
		put_back(s, &own);
	}
}

/* keep_pushes -- EXEC is not to be answered: what remains are replies that are pushes (SUBSCRIBE). */
static void
keep_pushes(Session *s, struct Multi *m)
{
	output_split(&s->out, m->body_start, &m->body);
	output_cut(&s->out, s->out_start);
	for (uint32 i = 0; i < m->count; i++)
	{
		const Queued *q = m->queue[i];

		if (q->pushed)
			output_move(&s->out, &m->body, q->reply_len);
		else
			output_consume(&m->body, q->reply_len);
		s->push_reply |= q->pushed;
	}
}

/* second_pass -- what is left of it, within the bounds of one run. */
static TcopResult
second_pass(Session *s, struct Multi *m)
{
	uint64		start = s->out.appended;

	for (uint32 done = 0; m->next < m->count; done++)
	{
		Queued	   *q = m->queue[m->next];
		TcopResult	result;

		if (done == COMMANDS_PER_RUN || s->out.appended - start > TCOP_COPY_PER_RUN)
			return TCOP_AGAIN;
		s->db = q->db;
		s->out.proto = q->proto;
		if (!q->after)
			output_move(&s->out, &m->body, m->after_count > 0 ? q->reply_len : 0);
		else if ((result = run_after(s, m, q)) != TCOP_DONE)
			return result;
		told(s, m, q);
		m->next++;
	}
	tcop__account(s->command);
	s->push_reply = false;
	if (tcop__reply_unwanted(s))
		keep_pushes(s, m);
	s->db = m->db;
	s->out.proto = m->proto;
	s->out_errors = s->out.errors;	/* EXEC itself has not failed */
	return end(s);
}

/* committed -- the transaction is over, the second pass begins. */
static TcopResult
committed(Session *s, struct Multi *m, Lsn version)
{
	char		digits[NUMBER_TEXT_MAX];
	uint32		more = number_format(digits, (int64) version) - 1;	/* where one digit stood */

	s->out_errors = s->out.errors;	/* the transaction has not failed */
	tcop__txn_end(s);
	m->committed = true;
	m->next = 0;
	for (int i = 0; i < STATS_PLAIN; i++)
		if (m->tally[i] > 0)
			stats_add(i, m->tally[i]);
	m->db = s->db;
	m->proto = s->out.proto;
	for (uint32 i = 0; i < m->count && version != LSN_NONE; i++)
		m->queue[i]->reply_len += m->queue[i]->versions * more;
	if (m->after_count > 0)
		output_split(&s->out, m->body_start, &m->body);
	return second_pass(s, m);
}

typedef enum RunAll
{
	ALL_RUN,
	ALL_PAUSE,				/* *result */
	ALL_ENDED,				/* *result; EXEC is over */
	ALL_AGAIN				/* what they were shown has changed */
} RunAll;

/* run_all -- what is left of the queue, within the bounds of one run. */
static RunAll
run_all(Session *s, struct Multi *m, TcopResult *result)
{
	uint64		start = s->out.appended;

	for (uint32 done = 0; m->next < m->count && !m->failed; done++)
	{
		const Queued *q = m->queue[m->next];

		if (done == COMMANDS_PER_RUN || s->out.appended - start > TCOP_COPY_PER_RUN)
		{
			*result = TCOP_AGAIN;
			return ALL_PAUSE;
		}
		*result = run_next(s, m);
		if (s->txn_changed)
			return ALL_AGAIN;
		if (*result != TCOP_DONE)
			return ALL_PAUSE;
		if (s->out.overflow)
			*result = end(s);	/* the connection will be closed */
		else if (s->txn_refused)
			*result = too_large(s);
		else if (is_assertion(q->command) && q->failed)
			*result = end_with(s, "EXECABORT Transaction discarded because an assertion could not be checked");
		else
			continue;
		return ALL_ENDED;
	}
	return ALL_RUN;
}

TcopResult
tcop__exec(Session *s)
{
	struct Multi *m = s->multi;

	if (m == NULL || !m->open)
	{
		reply_error(&s->out, "ERR EXEC without MULTI");
		return TCOP_DONE;
	}
	if (m->committed)
		return second_pass(s, m);
	if (!m->running)
	{
		if (m->refused)
			return end_with(s, "EXECABORT Transaction discarded because of previous errors.");
		if (m->words > 0 && s->step == 0)
		{
			s->step = 1;
			if (tcop__hold(s))
				return TCOP_LATER;
		}
		start(s, m);
	}
	for (uint32 tries = 0; tries < TCOP_TXN_TRIES_PER_RUN; tries++)
	{
		StoreCommitted out;
		TcopResult	result;
		bool		again = false;
		RunAll		all;

		if (!tcop__status(s, store_txn_begin(s->txn), &result))
			return result;
		all = run_all(s, m, &result);
		tcop__account(s->command);
		switch (all)
		{
			case ALL_PAUSE:
			case ALL_ENDED:
				return result;
			case ALL_AGAIN:
				again = true;
				break;
			case ALL_RUN:
				if (tcop__commit(s, &out, &result, &again))
					return out.broken ? end_with(s, NULL) : committed(s, m, out.version);
				break;
		}
		if (!again)
			return result == TCOP_DONE ? refused(s) : result;	/* or parked: next time the commit alone */
		tcop__txn_again(s);
		choices_restore(s, m);
		begin(s, m);
	}
	return tcop__txn_later(s);
}
