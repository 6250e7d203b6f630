/*
 * bus.h -- what workers tell each other's clients: messages from process to process.
 *
 * Region MESSAGES holds one ring of bytes per pair (who sends, who receives), so
 * that no sender ever stands in another's way and nothing needs a lock:
 *
 *   sender:    bytes into the ring; tail := end (release); pending[receiver] |= sender;
 *              was the bit clear: latch of the receiver, by the end of the sender's turn
 *   receiver:  takes its pending bits; of each sender named: reads up to tail, head := end
 *
 * A message is a header and two runs of bytes, padded to 8; it may be longer than
 * the ring and goes through it in pieces then.  What one process sends to another
 * arrives in the order in which it was sent.
 *
 * Sending never waits.  What finds no room in the ring stands in a queue of the
 * sender (its private memory) and follows as the receiver makes room, which it
 * tells the sender by its latch (bus_flush, once per turn of the sender's loop).
 * bus_congested says that much stands there already, so that who can wait waits a
 * moment; it says no again once the receiver has not moved for BUS_STALL_US.  A
 * queue at its bound is emptied, and one BUS_LOST takes its place: the receiver
 * then closes every client that may have missed something, as a slow client is
 * closed.  So nothing is lost silently, and nobody waits for a process that
 * stands still.
 *
 * If a process dies here: its queue and what it had read in part go with it, and
 * so do both its clients and the segment, at the crash restart that follows.
 */
#ifndef ARTERY_TCOP_BUS_H
#define ARTERY_TCOP_BUS_H

#include "common/bytes.h"
#include "common/c.h"

#define BUS_RECEIVERS_MAX 64			/* workers */
#define BUS_SENDERS_MAX 66				/* workers, and processes that only send */
#define BUS_CONGESTED (256 * KIB)		/* bytes in a sender's queue from which on it is better to wait */
#define BUS_QUEUE_MAX (64 * MIB)		/* ... that are not exceeded but by a single message */
#define BUS_STALL_US 500000

typedef enum BusType
{
	BUS_LOST,					/* messages were dropped before this one */
	BUS_MESSAGE,				/* a: channel, b: message */
	BUS_SHARD_MESSAGE,			/* the same of SPUBLISH */
	BUS_MONITOR,				/* b: the line */
	BUS_INVALIDATE,				/* b: a key that has changed; detail: id of the client that did it */
	BUS_INVALIDATE_ALL,			/* every key may have */
	BUS_REDIRECTED				/* a: Reader (tracking.c) who is to be told, b: the key; detail: 1 for all keys */
} BusType;

typedef struct BusMessage
{
	BusType		type;
	Lsn			gate;			/* must be flushed before a client is shown it; LSN_NONE: nothing need be */
	uint64		detail;
	BytePart	a;				/* at most 4 GiB */
	BytePart	b;
} BusMessage;

typedef struct Bus Bus;

/* bus_region_size, bus_region_init -- for so many workers and 'others' that only send. */
extern size_t bus_region_size(uint32 workers, uint32 others);
extern void bus_region_init(void *region, uint32 workers, uint32 others);
/* bus_open -- this process (in unit tests: thread) is sender number 'self', and receiver if that is a worker's; my_slot is set.  bus_close frees the private part. */
extern Bus *bus_open(void *region, uint32 self);
extern void bus_close(Bus *bus);

/* bus_send -- to a worker other than oneself.  Outside an epoch: it may allocate. */
extern void bus_send(Bus *bus, uint32 to, const BusMessage *message);
/* bus_wake -- receivers learn of what was sent to them: before the sender sleeps, and often enough in between.  bus_flush does it, too. */
extern void bus_wake(Bus *bus);
extern bool bus_congested(Bus *bus, uint32 to, uint64 now_us);
/* bus_flush -- once per turn: moves on what stands in the queues; true: something still does. */
extern bool bus_flush(Bus *bus, uint64 now_us);
/* bus_receive -- the next message for us; its bytes are good until the next call.  False: none is complete. */
extern bool bus_receive(Bus *bus, BusMessage *message) attribute_must_check;
/* bus_more -- may there be more at once?  For a receiver that stopped early: do not sleep. */
extern bool bus_more(const Bus *bus);
/* bus_room_made -- after every row of bus_receive, also one that brought no message: a part of one may have been taken.  Wakes senders that wait for the room. */
extern void bus_room_made(Bus *bus);

#endif
