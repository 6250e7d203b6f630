/*
 * request.c -- from received bytes to commands run.
 *
 * Bytes are parsed where the kernel put them; only what is left over, an
 * unfinished command or commands behind one that waits, is copied to a buffer of
 * the connection.  Complete commands are taken in batches: the ways to their keys
 * are prefetched together, then they run one after the other, each deciding load
 * after the command before it has been done.
 *
 * A command that cannot go on stays first in the connection's buffer, the later
 * ones behind it, and the connection stands in a queue until the loop runs it
 * again.  What one connection may do per turn is bounded.
 */
#include "common/c.h"
#include "access/base/base_read.h"
#include "net/net_internal.h"
#include "tcop/stats.h"
#include "utils/elog.h"
#include "utils/settings.h"

#define BATCH_MAX TCOP_PREFETCH_MAX	/* commands parsed ahead */
#define WORDS_MAX 256			/* their arguments together */
#define COMMANDS_PER_TURN 1024
#define OUTPUT_PER_TURN (1 * MIB)
#define BACKLOG_PAUSE (256 * KIB)	/* unprocessed bytes from which on no more are received */
#define BUFFER_MIN (16 * KIB)

/* one worker is one thread: the batch in hand is the process' */
static TcopRequest batch[BATCH_MAX];
static BytePart words[WORDS_MAX];
static BytePart *long_words;	/* of a command with more words than that */
static uint32 long_words_size;

/* words_of -- the parser's command as runs of bytes; NULL: no room left among 'words'. */
static const BytePart *
words_of(const RespParser *p, const uint8 *data, uint32 *used)
{
	const uint8 *base = p->is_inline ? resp_inline : data;
	BytePart   *to = words + *used;

	if (unlikely(p->argc > WORDS_MAX - *used))
	{
		if (*used > 0)
			return NULL;
		if (p->argc > long_words_size)
		{
			free(long_words);
			long_words_size = p->argc;
			long_words = malloc(long_words_size * sizeof(BytePart));
			Verify(long_words != NULL);
		}
		to = long_words;
	}
	else
		*used += p->argc;
	for (uint32 i = 0; i < p->argc; i++)
		to[i] = (BytePart) {base + p->args[i].offset, p->args[i].len};
	return to;
}

typedef struct Ahead
{
	uint32		count;			/* complete commands in 'batch' */
	RespStatus	status;			/* of what follows them */
	bool		parsed;			/* the parser still holds the only command of the batch */
} Ahead;

/* parse_ahead -- complete commands from data + at on. */
static void
parse_ahead(Conn *c, const uint8 *data, size_t len, size_t at, Ahead *a)
{
	RespParser *p = &c->parser;
	uint32		used = 0;
	/* what a command before AUTH may be depends on the one before it */
	uint32		max = tcop_auth_required(&c->session) ? 1 : BATCH_MAX;

	a->count = 0;
	a->parsed = false;
	a->status = RESP_COMMAND;
	p->before_auth = max == 1;
	while (a->count < max && at < len)
	{
		const BytePart *argv;

		a->status = c->parsed ? RESP_COMMAND : resp_parse(p, data + at, len - at);
		c->parsed = false;
		if (a->status != RESP_COMMAND)
			return;
		if (p->is_inline && a->count > 0)
		{
			resp_reset(p);		/* decoded again as the first of the next batch: it has one buffer */
			return;
		}
		argv = words_of(p, data + at, &used);
		if (argv == NULL)
		{
			resp_reset(p);
			return;
		}
		at += p->pos;
		batch[a->count++] = (TcopRequest) {argv, p->argc, NULL, at};
		if (unlikely(p->is_inline))
		{
			resp_reset(p);
			return;
		}
		if (unlikely(argv == long_words))
		{
			a->parsed = true;
			return;
		}
		resp_reset(p);
	}
}

/* park -- the command returned what it waits for. */
static void
park(Conn *c, TcopResult result)
{
	switch (result)
	{
		case TCOP_DONE:
			NotReached();
		case TCOP_AGAIN:
			net__conn_queue(c, QUEUE_READY);
			break;
		case TCOP_PARK_WAL:
			stats_add(STAT_PARKED, 1);
			net__conn_queue(c, QUEUE_WAL);
			break;
		case TCOP_PARK_MAP:
			stats_add(STAT_PARKED, 1);
			net__conn_queue(c, QUEUE_MAP);
			break;
		case TCOP_PARK_PAGE:
			stats_add(STAT_PAGE_WAITS, 1);
			/* none pending: the plain calls of io_method sync have read them already */
			net__conn_queue(c, base_keep_pending(c->session.keep) > 0 ? QUEUE_PAGE : QUEUE_READY);
			break;
		case TCOP_PARK_MEMORY:
			stats_add(STAT_MEMORY_WAITS, 1);
			if (net__worker.parked[QUEUE_MEMORY] == 0)
				net__worker.memory_retry_us = net__worker.now_us + NET_MEMORY_POLL_US;
			net__conn_queue(c, QUEUE_MEMORY);
			break;
		case TCOP_PARK_PAUSE:
			net__conn_queue(c, QUEUE_PAUSE);
			break;
		case TCOP_LATER:
			net__conn_queue(c, QUEUE_LATER);
			break;
		case TCOP_WAIT:
			/* whoever waits asks for the flush, whatever the policy was */
			net__worker.want[WAL_NOW] = Max(net__worker.want[WAL_NOW], c->session.last_write_lsn);
			if (c->session.wait_lsn < LSN_WAKE)
				net__worker.want[WAL_NOW] = Max(net__worker.want[WAL_NOW], c->session.wait_lsn);
			net__conn_queue(c, QUEUE_WAIT);
			break;
	}
	/* as in net__on_receive */
	if (unlikely(c->eof) && net__conn_deserted(c))
	{
		c->session.close_now = true;
		net__conn_dirty(c);
	}
}

/* finished -- may the connection run no further command? */
static inline bool
finished(const Conn *c)
{
	return c->session.close_after_reply || c->session.close_now || c->stopping || c->session.out.overflow;
}

/* run_batch -- returns the offset behind the last command that is done; *parked: the one behind it waits. */
static size_t
run_batch(Conn *c, const Ahead *a, size_t at, bool *parked)
{
	Session    *s = &c->session;

	*parked = false;
	if (a->count > 1)
		tcop_prefetch(s, batch, a->count);
	for (uint32 i = 0; i < a->count; i++)
	{
		if (likely(batch[i].argc > 0))
		{
			TcopResult	result = tcop_run(s, &batch[i]);

			if (unlikely(result != TCOP_DONE))
			{
				if (result == TCOP_PARK_PAGE)
					tcop_read_ahead(s, batch + i + 1, a->count - i - 1);
				park(c, result);
				*parked = true;
				return at;
			}
			net__gate_reply(c);
			if (unlikely(s->late != NULL))
				tcop_push_late(s);
			if (unlikely(output_pending(&s->out) > (uint64) set_client_output_buffer_limit))
				s->out.overflow = true;
		}
		at = batch[i].end;
		if (unlikely(finished(c)))
			return at;
	}
	return at;
}

/* protocol_error -- told to the client, which is then closed. */
static void
protocol_error(Conn *c)
{
	Session    *s = &c->session;

	reply_error(&s->out, "%s", c->parser.error);
	s->close_after_reply = true;
	s->gate = s->reply_gate = LSN_NONE;
	s->policy = DURABILITY_NONE;
	net__gate_reply(c);
	ereport(DEBUG1, "client %llu: %s", (unsigned long long) s->id, c->parser.error);
}

/*
 * run -- commands from data[0..len), within one turn's bounds; returns how many
 * bytes are done with.
 */
static size_t
run(Conn *c, const uint8 *data, size_t len)
{
	Session    *s = &c->session;
	uint64		commands = s->commands_run;
	uint64		output = s->out.appended;
	size_t		at = 0;

	while (at < len && !finished(c))
	{
		Ahead		a;
		bool		parked;

		if (s->commands_run - commands >= COMMANDS_PER_TURN || s->out.appended - output >= OUTPUT_PER_TURN)
		{
			net__conn_queue(c, QUEUE_READY);
			break;
		}
		parse_ahead(c, data, len, at, &a);
		at = run_batch(c, &a, at, &parked);
		if (parked)
		{
			c->parsed = a.parsed;
			if (!a.parsed)
				resp_reset(&c->parser);
			break;
		}
		if (a.parsed || finished(c))
			resp_reset(&c->parser);
		if (finished(c))
			break;
		if (a.status == RESP_ERROR)
		{
			protocol_error(c);
			break;
		}
		if (a.status == RESP_INCOMPLETE)
			break;
	}
	session_publish(s);
	return finished(c) ? len : at;	/* nothing after QUIT or an error is executed */
}

void
net__request_free(Conn *c)
{
	net__worker.in_bytes -= c->in_size;
	free(c->in);
	c->in = NULL;
	c->in_start = c->in_end = c->in_size = 0;
}

/*
 * make_room -- 'len' more bytes fit behind in_end.  A buffer doubles until it has
 * the size that the command under way is known to need: what a client only
 * promises to send takes no memory.
 */
static void
make_room(Conn *c, size_t len)
{
	size_t		have = c->in_end - c->in_start;
	size_t		need = have + len;
	uint8	   *in;

	if (c->in_start + need <= c->in_size)
		return;
	if (need <= c->in_size && c->in_start >= c->in_size / 2)
	{
		memmove(c->in, c->in + c->in_start, have);
		c->in_start = 0;
		c->in_end = have;
		return;
	}
	need = Max(need, Min(need * 2, (size_t) resp_wanted(&c->parser)));
	need = Max(need, (size_t) BUFFER_MIN);
	if (c->in_start == 0)
	{
		in = realloc(c->in, need);	/* of a long one the pages move, not the bytes */
		Verify(in != NULL);
		net__worker.in_bytes -= c->in_size;
	}
	else
	{
		in = malloc(need);
		Verify(in != NULL);
		memcpy(in, c->in + c->in_start, have);
		net__request_free(c);
	}
	c->in = in;
	c->in_end = have;
	c->in_size = need;
	net__worker.in_bytes += need;
}

static void
keep(Conn *c, const uint8 *data, size_t len)
{
	make_room(c, len);
	memcpy(c->in + c->in_end, data, len);
	c->in_end += len;
}

/* over_limit -- does it keep more than one client may? */
static bool
over_limit(const Conn *c)
{
	return c->in_end - c->in_start + resp_memory(&c->parser) > (uint64) set_client_query_buffer_limit;
}

/* settle -- after a run: the state of the connection for the loop. */
static void
settle(Conn *c)
{
	Session    *s = &c->session;
	bool		backlog = c->queue != QUEUE_NONE && c->in_end - c->in_start > BACKLOG_PAUSE;

	if (unlikely(over_limit(c)) && !finished(c))
	{
		ereport(LOG, "client %llu closed: client_query_buffer_limit of %lld bytes reached", (unsigned long long) s->id,
				(long long) set_client_query_buffer_limit);
		stats_add(STAT_QUERY_LIMIT, 1);
		s->close_now = true;
	}
	net__conn_check_output(c);
	if (c->receive_wanted == backlog && !c->stopping && !c->eof)
	{
		c->receive_wanted = !backlog;
		net__event->conn_receive(c);
	}
	net__conn_dirty(c);
}

void
net__request_received(Conn *c, const uint8 *data, size_t len)
{
	c->active_us = net__worker.now_us;
	stats_add(STAT_NET_INPUT, len);
	stats_add(STAT_READS, 1);
	if (c->in_end > c->in_start || c->queue != QUEUE_NONE)
	{
		keep(c, data, len);
		if (c->queue == QUEUE_NONE)
			net__request_resume(c);
		else
			settle(c);
		return;
	}
	if (likely(!finished(c)))
	{
		size_t		done = run(c, data, len);

		if (unlikely(done < len))
			keep(c, data + done, len - done);
	}
	settle(c);
}

void
net__request_resume(Conn *c)
{
	if (c->in_end > c->in_start && !finished(c))
	{
		c->in_start += run(c, c->in + c->in_start, c->in_end - c->in_start);
		if (c->in_start == c->in_end)
			net__request_free(c);
	}
	settle(c);
}
