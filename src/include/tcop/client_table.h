/*
 * client_table.h -- every connection of every worker, readable by all of them:
 * CLIENT LIST, CLIENT KILL, max_clients and the fair spreading of connections.
 *
 * Region NET.  An entry belongs to the worker that serves the connection; that
 * worker alone writes it, except kill_id.  Numbers are single relaxed atomics;
 * texts are one block behind a sequence lock, whose readers copy and try again.
 * Free entries form a lock-free stack (index and tag in one word, against ABA).
 *
 * Places: a connection first takes a place in 'total' (client_place_take), then
 * in the count of the worker that is to serve it (client_worker_choose), then an
 * entry.  The worker that closes it gives back in the opposite order, so there
 * is always an entry for whoever has a place.
 *
 * Killing: store the victim's id in kill_id, raise its worker's 'kills', set its
 * latch; the worker looks through its connections.  An entry used again in the
 * meantime has another id, and the kill goes nowhere.
 */
#ifndef ARTERY_TCOP_CLIENT_TABLE_H
#define ARTERY_TCOP_CLIENT_TABLE_H

#include "common/c.h"

#define CLIENT_NAME_MAX 128			/* bytes with the NUL */
#define CLIENT_LIB_MAX 64
#define CLIENT_ADDRESS_MAX 64		/* of TCP peers; UNIX clients have the socket's path */

typedef struct ClientText
{
	char		name[CLIENT_NAME_MAX];
	char		lib_name[CLIENT_LIB_MAX];
	char		lib_version[CLIENT_LIB_MAX];
	char		address[CLIENT_ADDRESS_MAX];	/* "" for UNIX */
	char		local_address[CLIENT_ADDRESS_MAX];
} ClientText;

#define CLIENT_TEXT_WORDS (sizeof(ClientText) / 8)
static_assert(sizeof(ClientText) % 8 == 0, "texts are copied by words");

enum
{
	CLIENT_FLAG_UNIX = 1,
	CLIENT_FLAG_BLOCKED = 2,		/* in WAITAOF */
	CLIENT_FLAG_CLOSING = 4,		/* after its last reply */
	CLIENT_FLAG_NO_EVICT = 8,
	CLIENT_FLAG_NO_TOUCH = 16,
	CLIENT_FLAG_PUBSUB = 32,		/* has a subscription */
	CLIENT_FLAG_MONITOR = 64,
	CLIENT_FLAG_TRACKING = 128,
	CLIENT_FLAG_BCAST = 256,
	CLIENT_FLAG_REDIRECT_BROKEN = 512,	/* the client that invalidations went to is gone */
	CLIENT_FLAG_MULTI = 1024		/* MULTI has been said */
};

typedef struct ClientEntry
{
	alignas(CACHE_LINE) _Atomic uint64 id;	/* 0: free.  Stored last, release [client-id] */
	_Atomic uint64 kill_id;			/* any worker: the id that is to be closed */
	_Atomic uint64 unblock_id;		/* any worker: the id whose wait is to end, << 1 | with an error; the owner clears it */
	_Atomic uint32 next_free;		/* index + 1; of a free entry */
	_Atomic uint32 worker;			/* index of the owner */
	/* owner writes, relaxed; all read for people */
	_Atomic uint32 fd;
	_Atomic uint32 flags;
	_Atomic uint32 db;
	_Atomic uint32 command;			/* index + 1 into the command table */
	_Atomic uint32 proto;
	_Atomic uint32 durability;		/* DURABILITY_*, or CLIENT_DURABILITY_SERVER */
	_Atomic uint64 created_us;		/* clock_mono_us */
	_Atomic uint64 active_us;
	_Atomic uint64 query_bytes;		/* unread request bytes kept */
	_Atomic uint64 output_bytes;	/* reply bytes kept */
	_Atomic uint32 multi_count;		/* commands queued behind MULTI, plus one; 0: none has been said */
	_Atomic uint64 multi_bytes;		/* kept for them and for watched keys */
	_Atomic uint32 output_chunks;
	_Atomic uint32 gated;			/* replies at the gate */
	_Atomic uint32 channels;		/* subscriptions */
	_Atomic uint32 patterns;
	_Atomic uint32 shard_channels;
	_Atomic uint64 redirect;		/* of CLIENT TRACKING: id, 0: none, UINT64_MAX: off */
	_Atomic uint32 sequence;		/* odd: 'text' is being written */
	_Atomic uint64 text[CLIENT_TEXT_WORDS];	/* a ClientText */
} ClientEntry;

#define CLIENT_DURABILITY_SERVER 255	/* the setting durability counts */

typedef struct ClientWorker
{
	alignas(CACHE_LINE) _Atomic uint32 connections;	/* served or on the way; any worker adds, the owner takes off */
	_Atomic uint32 kills;			/* raised by who kills or unblocks, release [client-kill] */
} ClientWorker;

#define CLIENT_WORKERS_MAX 64

typedef struct ClientTable
{
	uint64		magic;
	uint32		entry_count;		/* constant after start */
	uint32		worker_count;		/* constant after start */
	uint32		first_worker_slot;	/* process slot of worker 0; constant after start */
	alignas(CACHE_LINE) _Atomic uint64 next_id;
	_Atomic uint64 free_head;		/* (tag << 32) | (index + 1) */
	_Atomic uint32 total;			/* places taken */
	ClientWorker worker[CLIENT_WORKERS_MAX];
	ClientEntry entry[];
} ClientTable;

extern ClientTable *client_table;

extern size_t client_table_size(uint32 entries);
extern void client_table_init(void *region, uint32 entries, uint32 workers, uint32 first_worker_slot);

/* client_place_take -- one of 'max' places; false: all are taken. */
extern bool client_place_take(uint32 max) attribute_must_check;
extern void client_place_give(void);
/* client_worker_choose -- counts the connection to the worker with the fewest ('self' when equal); returns its index. */
extern uint32 client_worker_choose(uint32 self);
/* client_worker_take, client_worker_give -- counts a connection to or off this worker. */
extern void client_worker_take(uint32 worker);
extern void client_worker_give(uint32 worker);
/* client_entry_take -- for a connection with a place; NULL when a dead process holds what is missing. */
extern ClientEntry *client_entry_take(uint32 worker, int fd, uint32 flags, const ClientText *text);
extern void client_entry_give(ClientEntry *entry);

extern void client_text_write(ClientEntry *entry, const ClientText *text);	/* owner */
/* client_text_read -- any worker; false: the entry changed hands or kept changing. */
extern bool client_text_read(ClientEntry *entry, uint64 id, ClientText *text) attribute_must_check;
/* client_kill -- asks the entry's worker to close it; true if the entry still had this id, and nobody has asked before. */
extern bool client_kill(ClientEntry *entry, uint64 id);
/* client_unblock -- asks it to end the entry's wait; true if the entry had this id and was waiting. */
extern bool client_unblock(ClientEntry *entry, uint64 id, bool error);

#endif
