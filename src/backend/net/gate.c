/*
 * gate.c -- when replies may leave.
 *
 * Rule (design: "The gate"): a reply leaves only when the log is flushed up to
 * every LSN that it shows or wrote, under the policies immediate and group; under
 * periodic and none it leaves at once.  Replies of a connection leave in order,
 * so a run of them needs one number.  The waiter's policy decides how urgent the
 * flush is, not the writer's.
 *
 * A reply at the gate is a request to flush.  The requests of a turn are put
 * together: one call per urgency with the highest LSN, and when the process
 * sleeps it names the lowest LSN that would release something; the walwriter
 * wakes it once per flush, however many replies that releases.
 *
 * Only the worker that owns the connections runs this.  If it dies, its replies
 * are lost with the connections; what they told of is in the log or is not.
 */
#include "common/c.h"
#include "net/net_internal.h"
#include "tcop/stats.h"
#include "utils/settings.h"

static const WalUrgency urgency_of_policy[] = {
	[DURABILITY_IMMEDIATE] = WAL_NOW,
	[DURABILITY_GROUP] = WAL_GROUP,
	[DURABILITY_PERIODIC] = WAL_PERIODIC
};

static inline GateEntry *
entry_at(Conn *c, uint32 i)
{
	return &c->gate[(c->gate_first + i) % GATE_ENTRIES];
}

/* push -- the reply that was just completed waits for 'gate'. */
static void
push(Conn *c, Lsn gate)
{
	GateEntry  *last = c->gate_count > 0 ? entry_at(c, c->gate_count - 1) : NULL;

	if (last != NULL && (gate <= last->gate || last->turn == net__worker.turn || c->gate_count == GATE_ENTRIES))
	{
		last->gate = Max(last->gate, gate);
		last->replies++;
	}
	else
	{
		last = entry_at(c, c->gate_count++);
		last->gate = gate;
		last->turn = net__worker.turn;
		last->replies = 1;
	}
	last->end = c->session.out.appended;
	net__worker.gated_replies++;
	stats_add(STAT_GATED, 1);
	if (!c->in_gated)
	{
		c->in_gated = true;
		TAILQ_INSERT_TAIL(&net__worker.gated, c, gated_link);
	}
}

/*
 * net__gate_reply -- a command of this connection is done: session.reply_gate
 * says what its reply waits for (0: nothing), gate and policy what to ask for.
 */
void
net__gate_reply(Conn *c)
{
	Session    *s = &c->session;
	NetWorker  *w = &net__worker;

	if (s->gate > w->flushed && (s->policy < DURABILITY_PERIODIC || (s->policy == DURABILITY_PERIODIC && s->wrote)))
	{
		Lsn		   *want = &w->want[urgency_of_policy[s->policy]];

		*want = Max(*want, s->gate);
	}
	if (s->reply_gate > w->flushed)
		push(c, s->reply_gate);
	else if (unlikely(c->gate_count > 0))
		push(c, LSN_NONE);		/* behind those that wait */
	else
		c->released = s->out.appended;
}

/*
 * net__gate_push -- something that the client has not asked for stands at the end
 * of the output.  It waits for its gate whatever the policy of the client is; the
 * policy only says how urgent that is.
 */
void
net__gate_push(Conn *c, Lsn gate)
{
	NetWorker  *w = &net__worker;

	if (gate > w->flushed)
	{
		Lsn		   *want = &w->want[urgency_of_policy[Min(session_policy(&c->session), DURABILITY_PERIODIC)]];

		*want = Max(*want, gate);
		push(c, gate);
	}
	else if (c->gate_count > 0)
		push(c, LSN_NONE);		/* behind those that wait */
	else
		c->released = c->session.out.appended;
}

/* release_of -- entries whose gate is flushed. */
static uint32
release_of(Conn *c, Lsn flushed)
{
	uint32		replies = 0;

	while (c->gate_count > 0)
	{
		GateEntry  *e = entry_at(c, 0);

		if (e->gate > flushed)
			break;
		c->released = e->end;
		replies += e->replies;
		c->gate_first = (c->gate_first + 1) % GATE_ENTRIES;
		c->gate_count--;
	}
	return replies;
}

void
net__gate_release(void)
{
	NetWorker  *w = &net__worker;
	uint64		released = 0;
	Conn	   *next;

	w->flushed = wal_flushed_lsn();
	for (Conn *c = TAILQ_FIRST(&w->gated); c != NULL; c = next)
	{
		uint32		replies = release_of(c, w->flushed);

		next = TAILQ_NEXT(c, gated_link);
		if (replies == 0)
			continue;
		released += replies;
		if (c->gate_count == 0)
		{
			TAILQ_REMOVE(&w->gated, c, gated_link);
			c->in_gated = false;
		}
		net__conn_dirty(c);
	}
	if (released > 0)
	{
		w->gated_replies -= released;
		stats_add(STAT_RELEASED, released);
		/* relaxed: a figure */
		atomic_fetch_add_explicit(&wal_shared->commits_gated, released, memory_order_relaxed);
	}
}

Lsn
net__gate_lowest(void)
{
	Lsn			lowest = LSN_NONE;
	Conn	   *c;

	TAILQ_FOREACH(c, &net__worker.gated, gated_link)
	{
		Lsn			gate = entry_at(c, 0)->gate;

		if (lowest == LSN_NONE || gate < lowest)
			lowest = gate;
	}
	return lowest;
}

/* net__replies_due -- how many wait for the log, with commands that wait for an LSN. */
uint32
net__replies_due(void)
{
	return (uint32) net__worker.gated_replies + net__worker.parked[QUEUE_WAIT] - tcop_feed_blocked();
}

void
net__gate_want(void)
{
	/* first, and in each turn: or the walwriter, woken at once, would take many for a lone committer */
	wal_replies_due(net__replies_due());
	/* who waits for room in the log waits for the flush of what fills it */
	if (net__worker.parked[QUEUE_WAL] > 0)
		net__worker.want[WAL_NOW] = Max(net__worker.want[WAL_NOW], wal_insert_lsn());
	for (int urgency = WAL_NOW; urgency <= WAL_PERIODIC; urgency++)
	{
		Lsn			lsn = net__worker.want[urgency];

		if (lsn == LSN_NONE)
			continue;
		net__worker.want[urgency] = LSN_NONE;
		wal_want(lsn, (WalUrgency) urgency);
	}
}

uint64
net__gate_end(Conn *c)
{
	return c->gate_count > 0 ? entry_at(c, c->gate_count - 1)->end : c->released;
}

void
net__gate_forget(Conn *c)
{
	for (uint32 i = 0; i < c->gate_count; i++)
		net__worker.gated_replies -= entry_at(c, i)->replies;
	c->gate_count = 0;
	if (c->in_gated)
	{
		TAILQ_REMOVE(&net__worker.gated, c, gated_link);
		c->in_gated = false;
	}
}
