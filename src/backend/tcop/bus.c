/*
 * bus.c -- rings between workers; the protocol stands in bus.h.
 *
 * Why nothing is left lying.  A sender stores tail, then sets its bit by fetch_or.
 * The receiver takes the bits by exchange, then reads tails.  If the bit was set
 * before, the exchange that will take it stands behind the fetch_or in the order
 * of that word's changes, and so sees the tail; if it was clear, the latch is set
 * behind it: not for each message, but before the sender sleeps (bus_wake), so that
 * a batch of them costs one wake-up.  The bits live in the segment, what the receiver has taken of them
 * but not yet read to the end stands in 'active'.
 *
 * Room: a sender whose queue is not empty stores 'waiting', then looks at head
 * once more; the receiver stores head, then looks at 'waiting', both with a
 * seq_cst fence in between.  One of them sees the other.
 *
 * Workers run this, and processes that only send; each has a Bus of its own.  The
 * message that was received last stays in the ring until the next bus_receive,
 * so that short ones are never copied.
 */
#include "common/c.h"
#include "storage/ipc/latch.h"
#include "tcop/bus.h"

#define BUS_MAGIC 0x53554242
#define RINGS_BYTES (8 * MIB)			/* for all rings together, as far as they are within these bounds */
#define RING_MIN (16 * KIB)
#define RING_MAX (256 * KIB)
#define WAKE_MESSAGES 64				/* so many at most before a receiver is woken */
#define PENDING_WORDS ((BUS_SENDERS_MAX + 63) / 64)

/* BusHeader -- in front of each message in a ring; lengths of a and b follow from it. */
typedef struct BusHeader
{
	uint64		total;			/* with this header and padding */
	uint32		type;
	uint32		a_len;
	uint64		b_len;
	Lsn			gate;
	uint64		detail;
} BusHeader;
static_assert(sizeof(BusHeader) == 40, "no hidden growth");

/* BusPair -- one ring: bytes [head, tail) of those ever sent stand in it. */
typedef struct BusPair
{
	alignas(CACHE_LINE) _Atomic uint64 tail;	/* the sender writes */
	_Atomic uint32 waiting;			/* the sender sets it: it wants room; the receiver clears it */
	alignas(CACHE_LINE) _Atomic uint64 head;	/* the receiver writes */
} BusPair;

typedef struct BusReceiver
{
	alignas(CACHE_LINE) _Atomic uint64 pending[PENDING_WORDS];	/* by sender: something was sent; senders set, the receiver clears */
} BusReceiver;

typedef struct BusShared
{
	uint32		magic;				/* all constant after start */
	uint32		workers;
	uint32		senders;
	uint64		ring_bytes;
	_Atomic uint32 slot[BUS_SENDERS_MAX];	/* process slot of each sender; stored as it opens its side */
	BusReceiver receiver[BUS_RECEIVERS_MAX];
	BusPair		pair[];				/* [sender * workers + receiver], then the rings in the same order */
} BusShared;

/* BusPiece -- a message that stands in a sender's queue, or the rest of one */
typedef struct BusPiece
{
	struct BusPiece *next;
	size_t		start;			/* bytes of it that are in the ring */
	size_t		size;
	bool		begun;			/* part of the message is in the ring: it cannot be dropped any more */
	uint8		data[];
} BusPiece;

typedef struct BusOut
{
	BusPair    *pair;
	uint8	   *ring;
	uint64		tail;				/* as in the pair */
	uint64		head_seen;			/* at most the pair's */
	BusPiece   *first;				/* the queue */
	BusPiece   *last;
	uint64		queued;				/* bytes in it */
	uint64		moved_us;			/* when the receiver was last seen to move; 0: look first */
	bool		lost;				/* a BUS_LOST stands in the queue: until it has left, all is dropped */
} BusOut;

typedef struct BusIn
{
	BusPair    *pair;
	const uint8 *ring;
	uint64		head;				/* as in the pair, or ahead of it: see 'give_back' */
	uint8	   *whole;				/* a message in pieces, or one that wraps */
	size_t		have;
	size_t		size;
	bool		took;				/* head has moved since bus_room_made */
} BusIn;

struct Bus
{
	BusShared  *shared;
	uint32		self;
	uint32		queues;				/* that are not empty */
	uint64		asleep;				/* receivers that have something new and may not know it: bus_wake */
	uint32		unwoken;			/* messages since there is one */
	uint64		active[PENDING_WORDS];	/* senders whose rings are to be read */
	uint32		next;				/* sender whose turn it is */
	bool		took;				/* from any sender, since bus_room_made */
	bool		look;				/* take the pending bits before anything else */
	BusIn	   *give_back;			/* the last message is in its ring still */
	BusOut		out[BUS_RECEIVERS_MAX];
	BusIn		in[BUS_SENDERS_MAX];
};

static uint64
ring_bytes(uint32 workers, uint32 senders)
{
	uint64		bytes = RING_MAX;

	while (bytes > RING_MIN && bytes * workers * senders > RINGS_BYTES)
		bytes /= 2;
	return bytes;
}

size_t
bus_region_size(uint32 workers, uint32 others)
{
	uint32		senders = workers + others;
	uint64		pairs = (uint64) workers * senders;

	return sizeof(BusShared) + pairs * sizeof(BusPair) + pairs * ring_bytes(workers, senders);
}

/* bus_region_init -- postmaster, in fresh zeroed memory, before it forks. */
void
bus_region_init(void *region, uint32 workers, uint32 others)
{
	BusShared  *b = region;

	Verify(workers > 0 && workers <= BUS_RECEIVERS_MAX && workers + others <= BUS_SENDERS_MAX);
	b->magic = BUS_MAGIC;
	b->workers = workers;
	b->senders = workers + others;
	b->ring_bytes = ring_bytes(workers, b->senders);
}

/* ring_of -- the ring of a pair. */
static uint8 *
ring_of(BusShared *b, uint32 pair)
{
	uint64		pairs = (uint64) b->workers * b->senders;

	return (uint8 *) (b->pair + pairs) + pair * b->ring_bytes;
}

Bus *
bus_open(void *region, uint32 self)
{
	Bus		   *bus = calloc(1, sizeof(Bus));
	BusShared  *b = region;

	Verify(bus != NULL && b->magic == BUS_MAGIC && self < b->senders);
	bus->shared = b;
	bus->self = self;
	bus->look = true;
	/* relaxed: whoever sends to us has learnt from us that there is somebody to send to */
	atomic_store_explicit(&b->slot[self], my_slot->number, memory_order_relaxed);
	for (uint32 i = 0; i < b->workers; i++)
	{
		uint32		pair = self * b->workers + i;

		bus->out[i].pair = &b->pair[pair];
		bus->out[i].ring = ring_of(b, pair);
	}
	for (uint32 i = 0; i < b->senders && self < b->workers; i++)
	{
		uint32		pair = i * b->workers + self;

		bus->in[i].pair = &b->pair[pair];
		bus->in[i].ring = ring_of(b, pair);
	}
	return bus;
}

/* queue_drop_first -- the first message is done with. */
static void
queue_drop_first(BusOut *o)
{
	BusPiece   *p = o->first;

	o->queued -= p->size - p->start;
	o->first = p->next;
	if (o->first == NULL)
		o->last = NULL;
	free(p);
}

void
bus_close(Bus *bus)
{
	for (uint32 i = 0; i < bus->shared->workers; i++)
		while (bus->out[i].first != NULL)
			queue_drop_first(&bus->out[i]);
	for (uint32 i = 0; i < bus->shared->senders; i++)
		free(bus->in[i].whole);
	free(bus);
}

/* ---- sending ---- */

/* ring_put -- as much of data[0..len) as there is room for; returns how much. */
static size_t
ring_put(Bus *bus, BusOut *o, const uint8 *data, size_t len)
{
	uint64		size = bus->shared->ring_bytes;
	uint64		room = size - (o->tail - o->head_seen);
	uint64		at = o->tail & (size - 1);
	size_t		first;

	if (room < len)
	{
		/* acquire [bus-head]: the receiver has read what was there */
		o->head_seen = atomic_load_explicit(&o->pair->head, memory_order_acquire);
		room = size - (o->tail - o->head_seen);
		len = Min(len, room);
	}
	if (len == 0)
		return 0;				/* data may be NULL */
	first = Min(len, size - at);
	memcpy(o->ring + at, data, first);
	memcpy(o->ring, data + first, len - first);
	o->tail += len;
	return len;
}

/* wake -- the process that is sender number i. */
static void
wake(Bus *bus, uint32 i)
{
	latch_set(atomic_load_explicit(&bus->shared->slot[i], memory_order_relaxed));	/* relaxed: see bus_open */
}

/* ring_told -- what was put is there for the receiver. */
static void
ring_told(Bus *bus, BusOut *o, uint32 to)
{
	BusReceiver *r = &bus->shared->receiver[to];
	uint64		bit = UINT64_C(1) << (bus->self % 64);

	atomic_store_explicit(&o->pair->tail, o->tail, memory_order_release);	/* release [bus-tail] */
	/* seq_cst [bus-pending]: see the essay */
	if ((atomic_fetch_or_explicit(&r->pending[bus->self / 64], bit, memory_order_seq_cst) & bit) == 0)
		bus->asleep |= UINT64_C(1) << to;
	if (bus->asleep != 0 && ++bus->unwoken == WAKE_MESSAGES)
		bus_wake(bus);
}

void
bus_wake(Bus *bus)
{
	for (; bus->asleep != 0; bus->asleep &= bus->asleep - 1)
		wake(bus, (uint32) __builtin_ctzll(bus->asleep));
	bus->unwoken = 0;
}

/* queue_put -- the parts of a message from byte 'skip' on, behind what stands in the queue already. */
static void
queue_put(Bus *bus, BusOut *o, const BytePart *parts, size_t count, size_t skip, size_t total)
{
	BusPiece   *p = malloc(sizeof(BusPiece) + total - skip);
	uint8	   *to;

	Verify(p != NULL);
	*p = (BusPiece) {.size = total - skip, .begun = skip > 0};
	to = p->data;
	for (size_t i = 0; i < count; i++)
	{
		size_t		n = Min(skip, parts[i].len);

		if (parts[i].len > n)
			memcpy(to, (const uint8 *) parts[i].data + n, parts[i].len - n);
		to += parts[i].len - n;
		skip -= n;
	}
	if (o->last != NULL)
		o->last->next = p;
	else
	{
		o->first = p;
		bus->queues++;
	}
	o->last = p;
	o->queued += p->size;
}

/* queue_move -- from the queue to the ring, as far as there is room. */
static void
queue_move(Bus *bus, BusOut *o, uint32 to)
{
	uint64		before = o->tail;

	while (o->first != NULL)
	{
		BusPiece   *p = o->first;
		size_t		n = ring_put(bus, o, p->data + p->start, p->size - p->start);

		p->start += n;
		o->queued -= n;
		p->begun |= n > 0;
		if (p->start < p->size)
			break;
		queue_drop_first(o);
	}
	if (o->tail != before)
		ring_told(bus, o, to);
	if (o->first == NULL)
	{
		o->lost = false;
		o->moved_us = 0;
		bus->queues--;
	}
}

static void
put_message(Bus *bus, BusOut *o, uint32 to, const BusMessage *m)
{
	static const uint8 zeroes[8];
	BusHeader	h = {
		.type = m->type,
		.a_len = (uint32) m->a.len,
		.b_len = m->b.len,
		.gate = m->gate,
		.detail = m->detail,
		.total = AlignUp(sizeof(BusHeader) + m->a.len + m->b.len, 8)
	};
	const BytePart parts[] = {
		{&h, sizeof(h)}, m->a, m->b, {zeroes, h.total - sizeof(h) - m->a.len - m->b.len}
	};
	size_t		done = 0;

	for (size_t i = 0; i < lengthof(parts) && o->first == NULL; i++)
	{
		size_t		n = ring_put(bus, o, parts[i].data, parts[i].len);

		done += n;
		if (n < parts[i].len)
			break;
	}
	if (done > 0)
		ring_told(bus, o, to);
	if (done < h.total)
		queue_put(bus, o, parts, lengthof(parts), done, h.total);
}

/* overflow -- all that has not begun to leave is dropped, and a BUS_LOST says so. */
static void
overflow(Bus *bus, BusOut *o, uint32 to)
{
	const BusMessage lost = {.type = BUS_LOST};
	BusPiece   *begun = NULL;

	if (o->first->begun)
	{
		begun = o->first;
		o->first = begun->next;
		o->queued -= begun->size - begun->start;
		begun->next = NULL;
	}
	while (o->first != NULL)
		queue_drop_first(o);
	o->last = NULL;
	bus->queues--;
	if (begun != NULL)
	{
		o->first = o->last = begun;
		o->queued = begun->size - begun->start;
		bus->queues++;
	}
	put_message(bus, o, to, &lost);
	o->lost = o->first != NULL;
}

void
bus_send(Bus *bus, uint32 to, const BusMessage *message)
{
	BusOut	   *o = &bus->out[to];

	Assert(to != bus->self && to < bus->shared->workers && message->a.len <= UINT32_MAX);
	if (unlikely(o->first != NULL))
	{
		queue_move(bus, o, to);
		if (o->first != NULL && !o->lost && o->queued + message->a.len + message->b.len > BUS_QUEUE_MAX)
			overflow(bus, o, to);
		if (o->lost)
			return;
	}
	put_message(bus, o, to, message);
}

/* ask_for_room -- the receiver is to wake us; then one look more. */
static void
ask_for_room(Bus *bus, BusOut *o, uint32 to)
{
	atomic_store_explicit(&o->pair->waiting, 1, memory_order_relaxed);	/* relaxed: the fence orders it */
	atomic_thread_fence(memory_order_seq_cst);	/* seq_cst [bus-room] with bus_room_made */
	queue_move(bus, o, to);
}

bool
bus_congested(Bus *bus, uint32 to, uint64 now_us)
{
	BusOut	   *o = &bus->out[to];

	return o->queued >= BUS_CONGESTED && (o->moved_us == 0 || now_us - o->moved_us < BUS_STALL_US);
}

bool
bus_flush(Bus *bus, uint64 now_us)
{
	bus_wake(bus);
	if (likely(bus->queues == 0))
		return false;
	for (uint32 to = 0; to < bus->shared->workers; to++)
	{
		BusOut	   *o = &bus->out[to];
		uint64		before = o->tail;

		if (o->first == NULL)
			continue;
		queue_move(bus, o, to);
		if (o->first != NULL)
			ask_for_room(bus, o, to);
		if (o->first != NULL && (o->tail != before || o->moved_us == 0))
			o->moved_us = now_us;
	}
	bus_wake(bus);
	return bus->queues > 0;
}

/* ---- receiving ---- */

/* head_store -- the sender may use the room up to here again. */
static void
head_store(Bus *bus, BusIn *in)
{
	bus->took = true;
	atomic_store_explicit(&in->pair->head, in->head, memory_order_release);	/* release [bus-head]: we have read it */
	in->took = true;
}

/* ring_get -- copies len bytes from the ring at head on. */
static void
ring_get(const Bus *bus, const BusIn *in, uint8 *to, size_t len)
{
	uint64		size = bus->shared->ring_bytes;
	uint64		at = in->head & (size - 1);
	size_t		first = Min(len, size - at);

	memcpy(to, in->ring + at, first);
	memcpy(to + first, in->ring, len - first);
}

static void
message_of(const uint8 *data, BusMessage *m)
{
	BusHeader	h;

	memcpy(&h, data, sizeof(h));
	Verify(h.total == AlignUp(sizeof(h) + h.a_len + h.b_len, 8));
	*m = (BusMessage) {
		.type = h.type,
		.gate = h.gate,
		.detail = h.detail,
		.a = {data + sizeof(h), h.a_len},
		.b = {data + sizeof(h) + h.a_len, h.b_len}
	};
}

/* whole_total -- of the message that is being put together; as long as its header is not there: the header's length. */
static uint64
whole_total(const BusIn *in)
{
	uint64		total = sizeof(BusHeader);

	if (in->have >= sizeof(BusHeader))
		memcpy(&total, in->whole + offsetof(BusHeader, total), sizeof(total));
	return total;
}

/* whole_take -- more of the message that is put together in 'whole', of the bytes up to tail; true: it is complete. */
static bool
whole_take(Bus *bus, BusIn *in, uint64 tail)
{
	uint64		total;

	while ((total = whole_total(in)) > in->have)
	{
		size_t		n = (size_t) Min(total - in->have, tail - in->head);

		if (n == 0)
			return false;
		if (in->size < total)
		{
			in->whole = realloc(in->whole, total);
			Verify(in->whole != NULL);
			in->size = total;
		}
		ring_get(bus, in, in->whole + in->have, n);
		in->have += n;
		in->head += n;
		head_store(bus, in);
	}
	return true;
}

/* receive_from -- the next message of one sender; false: none is complete. */
static bool
receive_from(Bus *bus, BusIn *in, BusMessage *m)
{
	uint64		size = bus->shared->ring_bytes;
	uint64		tail = atomic_load_explicit(&in->pair->tail, memory_order_acquire);	/* acquire [bus-tail] */
	uint64		there = tail - in->head;
	uint64		at = in->head & (size - 1);
	uint64		total;

	if (there == 0)
		return false;
	if (in->have == 0 && there >= sizeof(BusHeader) && size - at >= sizeof(BusHeader))
	{
		memcpy(&total, in->ring + at + offsetof(BusHeader, total), sizeof(total));
		if (total <= there && total <= size - at)
		{
			message_of(in->ring + at, m);
			in->head += total;
			bus->give_back = in;
			return true;
		}
	}
	if (!whole_take(bus, in, tail))
		return false;
	message_of(in->whole, m);
	in->have = 0;
	return true;
}

/* take_pending -- who has sent something since we last looked. */
static void
take_pending(Bus *bus)
{
	BusReceiver *r = &bus->shared->receiver[bus->self];

	for (uint32 word = 0; word < PENDING_WORDS; word++)
		/* relaxed: a bit that is set later comes with a latch */
		if (atomic_load_explicit(&r->pending[word], memory_order_relaxed) != 0)
			/* seq_cst [bus-pending]: see the essay */
			bus->active[word] |= atomic_exchange_explicit(&r->pending[word], 0, memory_order_seq_cst);
	bus->look = false;
}

/* give_back -- the message that was received last is done with. */
static void
give_back(Bus *bus)
{
	if (bus->give_back == NULL)
		return;
	head_store(bus, bus->give_back);
	bus->give_back = NULL;
}

bool
bus_receive(Bus *bus, BusMessage *message)
{
	uint32		senders = bus->shared->senders;

	give_back(bus);
	if (bus->look || !bus_more(bus))
		take_pending(bus);
	for (uint32 looked = 0; looked < senders; looked++)
	{
		uint64	   *word = &bus->active[bus->next / 64];
		uint64		bit = UINT64_C(1) << (bus->next % 64);

		if ((*word & bit) != 0)
		{
			if (receive_from(bus, &bus->in[bus->next], message))
				return true;
			*word &= ~bit;
		}
		bus->next = bus->next + 1 < senders ? bus->next + 1 : 0;
	}
	return false;
}

bool
bus_more(const Bus *bus)
{
	for (uint32 word = 0; word < PENDING_WORDS; word++)
		if (bus->active[word] != 0)
			return true;
	return false;
}

void
bus_room_made(Bus *bus)
{
	uint32		senders = bus->shared->senders;

	give_back(bus);
	bus->look = true;
	if (!bus->took)
		return;
	bus->took = false;
	bus->next = bus->next + 1 < senders ? bus->next + 1 : 0;
	atomic_thread_fence(memory_order_seq_cst);	/* seq_cst [bus-room] with ask_for_room */
	for (uint32 i = 0; i < senders; i++)
	{
		BusIn	   *in = &bus->in[i];

		if (!in->took)
			continue;
		in->took = false;
		if (in->size > RING_MAX && in->have == 0)
		{
			free(in->whole);	/* of a long message */
			in->whole = NULL;
			in->size = 0;
		}
		/* relaxed: ordered by the fence; who sets it again looks once more */
		if (atomic_load_explicit(&in->pair->waiting, memory_order_relaxed) == 0)
			continue;
		atomic_store_explicit(&in->pair->waiting, 0, memory_order_relaxed);	/* relaxed: see above */
		wake(bus, i);
	}
}
