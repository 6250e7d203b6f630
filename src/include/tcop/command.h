/*
 * command.h -- the table of commands.
 *
 * commands_list.h is the one list: lookup, arity, flags, COMMAND, COMMAND DOCS,
 * COMMAND GETKEYS, the statistics and doc/commands.md all come from it.
 */
#ifndef ARTERY_TCOP_COMMAND_H
#define ARTERY_TCOP_COMMAND_H

#include "common/bytes.h"
#include "common/c.h"

typedef struct Session Session;

/* What became of a run of a command. */
typedef enum TcopResult
{
	TCOP_DONE,			/* the reply, if any, is complete */
	TCOP_AGAIN,			/* more to do: run again in the next turn of the loop */
	TCOP_PARK_WAL,		/* run again after any progress of the log */
	TCOP_PARK_MAP,		/* run again soon: a change of the map or a transaction of others is on its way */
	TCOP_PARK_PAGE,		/* run again when base_keep_pending(session->keep) is 0 */
	TCOP_PARK_MEMORY,	/* run again in about a millisecond: memory is being made */
	TCOP_WAIT,			/* run again when flushed >= session->wait_lsn, or at session->deadline_us */
	TCOP_LATER,			/* run again at session->deadline_us */
	TCOP_PARK_PAUSE		/* run again when tcop_pause_end_us() is 0 */
} TcopResult;

typedef TcopResult (*CommandRun)(Session *s);

enum
{
	CMD_WRITE = 1,
	CMD_READONLY = 2,
	CMD_DENYOOM = 4,
	CMD_ADMIN = 8,
	CMD_NOSCRIPT = 16,
	CMD_LOADING = 32,		/* answered while the log is being loaded */
	CMD_STALE = 64,
	CMD_FAST = 128,
	CMD_NO_AUTH = 256,		/* answered before AUTH */
	CMD_BLOCKING = 512,
	CMD_NO_MULTI = 1024,
	CMD_ALLOW_BUSY = 2048,
	CMD_PUBSUB = 4096,
	CMD_LISTENER = 8192,		/* also in RESP2 open to a connection that has subscribed */
	CMD_MAY_REPLICATE = 16384,	/* writes nothing, yet CLIENT PAUSE WRITE holds it */
	CMD_SKIP_MONITOR = 32768,
	CMD_SKIP_SLOWLOG = 65536,
	CMD_NO_ASYNC_LOADING = 131072,
	CMD_MOVABLE_KEYS = 262144	/* the word before the first key tells how many there are */
};

enum
{
	ACL_KEYSPACE = 1,
	ACL_STRING = 2,
	ACL_CONNECTION = 4,
	ACL_DANGEROUS = 8,
	ACL_ADMIN = 16,
	ACL_BITMAP = 32,
	ACL_PUBSUB = 64,
	ACL_TRANSACTION = 128,
	ACL_SCRIPTING = 256
};

typedef struct Command
{
	const char *name;			/* lower case; "client|id" for a sub-command */
	const char *short_name;		/* behind the '|' */
	CommandRun	run;			/* NULL: only sub-commands */
	int			arity;			/* negative: at least that many words, the name included */
	uint32		flags;
	int			first_key;		/* 0: none */
	int			last_key;		/* negative: counted from the end */
	int			key_step;
	const char *key_flags;		/* as COMMAND shows them, separated by blanks; of each key by itself if there are '/' */
	const char *group;
	uint32		acl;
	const char *since;
	const char *tips;
	const char *usage;			/* arguments, in the notation of doc/commands.md */
	const char *complexity;
	const char *summary;
	/* filled at start */
	int			index;
	uint32		name_len;
	int			parent;			/* index of the container, or -1 */
	int			first_child;	/* index of the first sub-command, or -1 */
	int			child_count;
} Command;

extern Command command_table[];
extern const int command_count;

extern void command_init(void);		/* builds the hash; before the first lookup; again is harmless */
extern const Command *command_find(const void *name, size_t len);	/* a top-level command, any case */
extern const Command *command_find_child(const Command *container, const void *name, size_t len);
/* command_keys -- indexes of the keys among argc words; returns how many, -1 when the arity (or the number of keys that is told) does not fit. */
extern int command_keys(const Command *c, const BytePart *argv, int argc, int *index, int max);
/* command_arity_fits -- would this many words do? */
static inline bool
command_arity_fits(const Command *c, uint32 argc)
{
	return c->arity >= 0 ? (int) argc == c->arity : (int) argc >= -c->arity;
}

#endif
