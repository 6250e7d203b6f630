/*
 * sub_table.h -- who listens to which channel: what every worker may know of the
 * subscriptions of every other one.
 *
 * Region MESSAGES.  Each worker has a table of the channels and patterns that its
 * clients have subscribed to, and how many clients each has.  It alone writes its
 * table; all read it, inside an epoch, so that PUBLISH can tell how many clients
 * hear it and sends the message to the workers that have one, and to no other.
 * With no subscription anywhere PUBLISH costs one load (sub_workers).
 *
 * A node lies in the node heap.  The owner puts it in front of its bucket's chain
 * (and of the list of patterns) by one release store, takes it out by one store,
 * and retires it; a reader that stands on it goes on by its links, which stay.
 * No locks: a worker that stands still or dies leaves a whole table.  With its
 * clients its table goes, at the restart that follows.
 */
#ifndef ARTERY_TCOP_SUB_TABLE_H
#define ARTERY_TCOP_SUB_TABLE_H

#include "common/c.h"
#include "storage/ipc/segment.h"

#define SUB_NAME_MAX (16 * KIB)			/* bytes of a channel's name or a pattern */
#define SUB_BUCKETS 8192				/* chains of channels per worker; a power of two */

typedef enum SubKind
{
	SUB_CHANNEL,
	SUB_PATTERN,
	SUB_SHARD,						/* channels of SSUBSCRIBE, which are names of their own */
	SUB_KINDS
} SubKind;

typedef struct SubNode
{
	_Atomic Off next;				/* in its bucket */
	_Atomic Off next_pattern;		/* of patterns: in the list of all */
	uint64		hash;				/* constant, like what follows */
	uint32		kind;
	uint32		len;
	_Atomic uint32 clients;
	uint8		name[];
} SubNode;

typedef struct SubWorker
{
	alignas(CACHE_LINE) _Atomic Off patterns;
	_Atomic uint32 names[SUB_KINDS];	/* how many of each kind */
	alignas(CACHE_LINE) _Atomic Off bucket[SUB_BUCKETS];
} SubWorker;

typedef struct SubTable
{
	uint32		workers;				/* constant after start */
	alignas(CACHE_LINE) _Atomic uint64 listening;	/* bit per worker that has any subscription */
	SubWorker	worker[];
} SubTable;

extern SubTable *sub_table;

extern size_t sub_table_size(uint32 workers);
extern void sub_table_init(void *region, uint32 workers);

extern uint64 sub_hash(SubKind kind, const void *name, size_t len);

/* sub_workers -- the workers that have any subscription. */
static inline uint64
sub_workers(void)
{
	return atomic_load_explicit(&sub_table->listening, memory_order_acquire);	/* acquire [sub-listening] */
}

/* ---- the owner ---- */
/* sub_insert -- a new name with one client; MEM_NONE: no memory.  Outside an epoch. */
extern Off sub_insert(uint32 worker, SubKind kind, uint64 hash, const void *name, size_t len) attribute_must_check;
/* sub_remove -- nobody is left; 'before': of patterns, the node whose next_pattern leads to it, 0 when it is the first. */
extern void sub_remove(uint32 worker, Off node, Off before);
static inline void
sub_set_clients(Off node, uint32 clients)
{
	SubNode    *n = seg_ptr(node);

	atomic_store_explicit(&n->clients, clients, memory_order_relaxed);	/* relaxed: a count */
}

/* ---- any worker, inside an epoch ---- */
/* sub_find -- NULL: this worker has no such name. */
extern const SubNode *sub_find(uint32 worker, SubKind kind, uint64 hash, const void *name, size_t len);
/* sub_receivers -- clients of this worker that a message to this channel reaches, once for each subscription that fits. */
extern uint64 sub_receivers(uint32 worker, SubKind kind, uint64 hash, const void *channel, size_t len);
static inline uint32
sub_clients(const SubNode *n)
{
	return atomic_load_explicit(&n->clients, memory_order_relaxed);	/* relaxed: a count */
}

static inline const SubNode *
sub_at(const _Atomic Off *link)
{
	Off			node = atomic_load_explicit(link, memory_order_acquire);	/* acquire [sub-node] */

	return node == 0 ? NULL : seg_ptr(node);
}

#endif
