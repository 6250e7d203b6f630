/*
 * message.c -- pushes: from a worker's command to connections of all workers.
 *
 * Order.  What one connection publishes reaches each subscriber in that order: to
 * its own worker's clients it is appended at once, to another worker's it goes by
 * one ring, first in, first out.
 *
 * The gate.  A message carries the LSN of what it tells of; the worker that
 * appends it makes it one more entry at the connection's gate (net/gate.c),
 * whatever durability policy its client has.  How urgent the flush is, is the
 * policy's business, as for any reply.
 *
 * Bounds.  A turn of the loop takes in so many messages and appends so many bytes
 * (DRAIN_*), then others are served.  A client that does not read is closed at
 * client_output_buffer_limit; a worker that stands still fills its ring and the
 * senders' queues to their bounds, and closes its listeners when it wakes (bus.h).
 */
#include "common/c.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/proc.h"
#include "tcop/message.h"
#include "tcop/tcop_internal.h"
#include "utils/clock.h"
#include "utils/settings.h"

#define DRAIN_PUSHES 16384		/* appended per turn, about */
#define DRAIN_BYTES (4 * MIB)

#define TELLERS 1				/* processes that only send: the expirer */

uint32		message_worker;
Bus		   *message_bus;
static void *bus_region;
static MessageShared nobody;
MessageShared *message_shared = &nobody;
static Session **sessions;		/* of this worker, by place in the client table */

static void
pushed_nowhere(Session *s, Lsn gate)
{
	(void) s;
	(void) gate;
}

void		(*tcop_pushed) (Session *s, Lsn gate) = pushed_nowhere;

size_t
tcop_messages_size(void)
{
	uint32		workers = proc_kind_slots(PROC_WORKER);

	return sizeof(MessageShared) + AlignUp(tracking_shared_size(), CACHE_LINE) +
		AlignUp(sub_table_size(workers), CACHE_LINE) + bus_region_size(workers, TELLERS);
}

void
tcop_messages_init(void *region)
{
	uint32		workers = proc_kind_slots(PROC_WORKER);
	char	   *at = region;

	message_shared = region;
	at += sizeof(MessageShared);
	tracking_shared = (TrackingShared *) at;
	at += AlignUp(tracking_shared_size(), CACHE_LINE);
	sub_table_init(at, workers);
	bus_region = at + AlignUp(sub_table_size(workers), CACHE_LINE);
	bus_region_init(bus_region, workers, TELLERS);
}

/* message_open -- this worker takes part from now on. */
void
message_open(uint32 worker)
{
	message_worker = worker;
	message_bus = bus_open(bus_region, worker);
	sessions = calloc(client_table->entry_count, sizeof(Session *));
	Verify(sessions != NULL);
}

uint32
message_place(const Session *s)
{
	return (uint32) (s->entry - client_table->entry);
}

Session *
message_session(uint32 place, uint64 id)
{
	Session    *s = sessions[place];

	return s != NULL && s->id == id ? s : NULL;
}

void
tcop_opened(Session *s)
{
	sessions[message_place(s)] = s;
}

/* ---- pushes ---- */

/* aside -- must a push wait for the command of this session to end? */
static inline bool
aside(const Session *s)
{
	return s->command != NULL || s->late != NULL;
}

Output *
message_push_begin(Session *s, uint64 len)
{
	Output	   *o = &s->out;
	uint64		pending = output_pending(o);

	if (unlikely(o->overflow))
		return NULL;
	if (unlikely(aside(s)))
	{
		if (s->late == NULL)
		{
			s->late = calloc(1, sizeof(Late));
			Verify(s->late != NULL);
		}
		o = &s->late->out;
		o->proto = s->out.proto;
		pending += output_pending(o);
	}
	if (likely(pending + len <= (uint64) set_client_output_buffer_limit))
		return o;
	message_close(s);
	return NULL;
}

void
message_close(Session *s)
{
	s->out.overflow = true;
	tcop_pushed(s, LSN_NONE);
}

void
message_push_end(Session *s, Lsn gate)
{
	if (unlikely(s->late != NULL))
		s->late->gate = Max(s->late->gate, gate);
	else
		tcop_pushed(s, gate);
}

void
tcop_push_late(Session *s)
{
	Late	   *late = s->late;

	if (s->command != NULL)
		return;
	s->late = NULL;
	output_splice(&s->out, &late->out);
	tcop_pushed(s, late->gate);
	free(late);
}

void
tcop_closing(Session *s)
{
	pubsub_drop(s);
	monitor_drop(s);
	tracking_drop(s);
	if (sessions != NULL && sessions[message_place(s)] == s)
		sessions[message_place(s)] = NULL;
	if (s->late != NULL)
	{
		output_free(&s->late->out);
		free(s->late);
		s->late = NULL;
	}
}

/* ---- publishing ---- */

/* receivers -- of each worker of 'workers'; returns the sum. */
static uint64
receivers(uint64 workers, SubKind kind, const BytePart *channel, uint64 *each)
{
	uint64		hash = sub_hash(kind, channel->data, channel->len);
	uint64		sum = 0;

	epoch_enter();
	for (; workers != 0; workers &= workers - 1)
	{
		uint32		w = (uint32) __builtin_ctzll(workers);

		each[w] = sub_receivers(w, kind, hash, channel->data, channel->len);
		sum += each[w];
	}
	epoch_leave();
	return sum;
}

uint64
message_publish(SubKind kind, const BytePart *channel, const BytePart *message, Lsn gate)
{
	uint64		each[BUS_RECEIVERS_MAX];
	uint64		workers = sub_workers();
	uint64		sum;
	const BusMessage m = {
		.type = kind == SUB_SHARD ? BUS_SHARD_MESSAGE : BUS_MESSAGE,
		.gate = gate,
		.a = *channel,
		.b = *message
	};

	if (likely(workers == 0) || channel->len > UINT32_MAX)
		return 0;
	sum = receivers(workers, kind, channel, each);
	for (; sum > 0 && workers != 0; workers &= workers - 1)
	{
		uint32		w = (uint32) __builtin_ctzll(workers);

		if (each[w] == 0)
			continue;
		if (w == message_worker)
			pubsub_deliver(kind, channel, message, gate);
		else
			bus_send(message_bus, w, &m);
	}
	return sum;
}

bool
message_congested(void)
{
	for (uint64 workers = sub_workers(); workers != 0; workers &= workers - 1)
	{
		uint32		w = (uint32) __builtin_ctzll(workers);

		if (w != message_worker && bus_congested(message_bus, w, tcop_now_us))
			return true;
	}
	return false;
}

/* ---- receiving ---- */

/* receive -- one message; returns how many pushes it became. */
static uint64
receive(const BusMessage *m)
{
	switch (m->type)
	{
		case BUS_LOST:
			pubsub_close_all();
			monitor_close_all();
			tracking_lost();
			return 1;
		case BUS_MESSAGE:
			return pubsub_deliver(SUB_CHANNEL, &m->a, &m->b, m->gate);
		case BUS_SHARD_MESSAGE:
			return pubsub_deliver(SUB_SHARD, &m->a, &m->b, m->gate);
		case BUS_MONITOR:
			return monitor_deliver(&m->b);
		case BUS_INVALIDATE:
			return tracking_deliver(&m->b, m->detail, m->gate);
		case BUS_INVALIDATE_ALL:
			return tracking_deliver_all(m->gate);
		case BUS_REDIRECTED:
			tracking_redirected(m);
			return 1;
	}
	NotReached();
}

bool
tcop_messages_turn(void)
{
	BusMessage	m;
	uint64		pushes = 0;
	uint64		bytes = 0;

	(void) bus_flush(message_bus, tcop_now_us);
	tracking_turn();
	while (pushes < DRAIN_PUSHES && bytes < DRAIN_BYTES && bus_receive(message_bus, &m))
	{
		uint64		n = receive(&m);

		pushes += n + 1;
		bytes += (n + 1) * (m.a.len + m.b.len);
	}
	bus_room_made(message_bus);
	return bus_more(message_bus);
}

void
message_wake(void)
{
	if (likely(message_bus != NULL))
		(void) bus_flush(message_bus, tcop_now_us);
}

/* ---- a process that is no worker: the expirer ---- */
void
tcop_teller_open(void)
{
	message_worker = UINT32_MAX;	/* none: everybody is somewhere else */
	message_bus = bus_open(bus_region, proc_kind_slots(PROC_WORKER));
	tcop_now_us = clock_mono_us();
}

bool
tcop_teller_turn(void)
{
	tcop_now_us = clock_mono_us();
	notify_turn();
	(void) bus_flush(message_bus, tcop_now_us);
	for (uint32 w = 0; w < proc_kind_slots(PROC_WORKER); w++)
		if (bus_congested(message_bus, w, tcop_now_us))
			return true;
	return false;
}

void
tcop_tell_expired(const StoreKey *key, Lsn lsn)
{
	const BytePart part = {key->data, key->len};

	if ((tcop__notify_wanted & NOTIFY_EXPIRED) != 0 && sub_workers() != 0)
		notify_publish(key->db, "expired", &part, lsn);
	if (message_tracked())
		tracking_publish(&part, 0, lsn);
	bus_wake(message_bus);
}
