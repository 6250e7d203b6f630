/*
 * tcop_internal.h -- for the files of this room: the commands' functions, and
 * what several families share.
 */
#ifndef ARTERY_TCOP_TCOP_INTERNAL_H
#define ARTERY_TCOP_TCOP_INTERNAL_H

#include "access/store/store.h"
#include "access/wal/wal_keep.h"
#include "tcop/command.h"
#include "tcop/message.h"
#include "tcop/number.h"
#include "tcop/output.h"
#include "tcop/session.h"
#include "tcop/tcop.h"

/* COMMAND's functions may stand in the list twice (del, help) */
#define COMMAND(fn, ...) extern TcopResult tcop__##fn(Session *s);
#define CONTAINER(...)
#include "tcop/commands_list.h"
#undef COMMAND
#undef CONTAINER

/* version that clients are told, for those that look at it; artery's own stands in INFO */
#define REDIS_VERSION_TOLD "7.2.4"

/* bounds of one run of a command: what does not fit goes on in the next turn of the loop */
#define TCOP_KEYS_PER_RUN 2048			/* keys of MSET, DEL, MGET ... */
#define TCOP_WALK_STEPS 512				/* leaves per store_walk */
#define TCOP_WALKS_PER_RUN 4
#define TCOP_COPY_PER_RUN (1 * MIB)		/* bytes of long values */
#define TCOP_PIECE (256 * KIB)			/* of a long value, per epoch */
#define TCOP_VALUE_DIRECT (15 * KIB)	/* values up to here are copied in the epoch that finds them */

extern uint64 tcop_now_us;				/* clock_mono_us at the beginning of this turn */

/* tcop__arg_key -- argument i as a key; false: too long, the error is answered. */
extern bool tcop__arg_key(Session *s, uint32 i, StoreKey *key) attribute_must_check;
/* tcop__arg_keys -- all arguments from 'first' on as keys, before anything is done with any of them. */
extern bool tcop__arg_keys(Session *s, uint32 first) attribute_must_check;
/* tcop__arg_int -- argument i as a number; false: the error (text, or Redis' usual one when NULL) is answered. */
extern bool tcop__arg_int(Session *s, uint32 i, int64 *value, const char *error) attribute_must_check;
/* tcop__arg_positive -- ... that is not negative. */
extern bool tcop__arg_positive(Session *s, uint32 i, int64 *value) attribute_must_check;
/* tcop__arg_db -- argument i as a database; false: the error is answered. */
extern bool tcop__arg_db(Session *s, uint32 i, uint32 *db) attribute_must_check;
static inline bool
tcop__arg_is(const Session *s, uint32 i, const char *word)
{
	return text_is(s->argv[i].data, s->argv[i].len, word);
}
/* tcop__too_many -- more words than a command about the server, which is done in one run, may have; then that is answered. */
#define TCOP_WORDS_MAX 1024
extern bool tcop__too_many(Session *s);
/* tcop__arg_lsn -- argument i as a position in the log; tcop__arg_timeout -- as milliseconds from now, 0 for ever.  False: the error is answered. */
extern bool tcop__arg_lsn(Session *s, uint32 i, Lsn *lsn) attribute_must_check;
extern bool tcop__arg_timeout(Session *s, uint32 i, uint64 *deadline_us) attribute_must_check;
/* tcop__arg_consumer -- argument i as a consumer's name, into 'name' (WAL_CONSUMER_NAME_MAX bytes). */
extern bool tcop__arg_consumer(Session *s, uint32 i, char *name) attribute_must_check;
/* tcop__consumer_status -- true for OK; else *result is what the command returns, as with tcop__status. */
extern bool tcop__consumer_status(Session *s, WalConsumerStatus status, TcopResult *result) attribute_must_check;
extern void tcop__error_beyond(Session *s, Lsn lsn);	/* a position that was never given out */
extern void tcop__error_lost(Session *s, Lsn lsn);		/* one inside a gap, or older than the list of gaps */
extern void tcop__error_syntax(Session *s);
extern void tcop__error_arity(Session *s);
extern void tcop__error_help(Session *s);	/* "unknown subcommand or wrong number of arguments" */

/*
 * tcop__status -- what a store function said: true for STORE_OK; else *result is
 * what the command returns.  It parks; or it failed: then all that it has appended
 * is taken back and the error is answered.
 */
extern bool tcop__status(Session *s, StoreStatus status, TcopResult *result) attribute_must_check;
/* tcop__flush_job -- of FLUSHDB, FLUSHALL and SWAPDB, in s->state: made when first asked for, cancelled if the command does not come to its end. */
extern StoreFlushJob *tcop__flush_job(Session *s);
/* tcop__flushed -- what the store said of it and the gate that it raised: the command's end, or what tcop__status says. */
extern TcopResult tcop__flushed(Session *s, StoreStatus status, Lsn gate);
/*
 * tcop__read_ahead -- a command on several keys waits for a page: start reading
 * what the next ones need from disk, 'count' words from argument i on (as far as
 * there are so many).  Decides nothing, never waits.
 */
#define TCOP_AHEAD_KEYS 16
extern void tcop__read_ahead(Session *s, uint32 i, uint32 count);

/*
 * tcop__hold -- the command that is about to run for the first time: true: it is
 * to be held back until session->deadline_us, for memory is short (throttle.c).
 * tcop__hold_over -- it has been.
 */
extern bool tcop__hold(Session *s) attribute_must_check;
extern void tcop__hold_over(Session *s);

/* tcop__changed -- the command wrote this version; that of a transaction's writes comes with its commit. */
static inline void
tcop__changed(Session *s, const StoreWritten *w)
{
	if (w->gate > s->gate)
		s->gate = w->gate;
	if (w->changed && w->version != STORE_LSN_PENDING)
	{
		s->wrote = true;
		if (w->gate > s->last_write_lsn)
			s->last_write_lsn = w->gate;
	}
}

/*
 * tcop__atomically -- runs 'body' as one transaction: all that it reads and writes
 * happens at one moment, or nothing is written.  'body' is the command's own
 * function, written as if it were alone: it may park and be run again like any
 * other; when it has returned TCOP_DONE the transaction is committed.  Has
 * something changed meanwhile, its reply is taken back and it begins anew, with
 * step and count 0 and no state.  If it has answered an error, nothing is written.
 * Within EXEC it is simply run: the transaction is EXEC's.
 */
extern TcopResult tcop__atomically(Session *s, TcopResult (*body)(Session *s)) attribute_must_check;
/* tcop__commit -- the end of a transaction (EXEC, tcop__atomically): true: *out is set; else *result as with tcop__status, or *again: run everything anew. */
extern bool tcop__commit(Session *s, StoreCommitted *out, TcopResult *result, bool *again) attribute_must_check;
/* ... and its parts, for EXEC, which is a loop of its own.  After TCOP_TXN_TRIES_PER_RUN times others are served. */
#define TCOP_TXN_TRIES_PER_RUN 4
/* tcop__txn_again -- the session as if the command had not run yet, and its transaction reset. */
extern void tcop__txn_again(Session *s);
/* tcop__txn_later -- it has begun anew too often: what the command returns. */
extern TcopResult tcop__txn_later(Session *s);
/* tcop__txn_end -- committed or refused: the transaction goes, and with an error what the command had to tell others. */
extern void tcop__txn_end(Session *s);
/* tcop__error_txn_too_large -- STORE_TXN_TOO_LARGE, which refuses the whole transaction. */
extern void tcop__error_txn_too_large(Session *s);
/*
 * tcop__reply_version -- a version as an integer.  What the transaction in use has
 * written itself (STORE_LSN_PENDING) has none before the commit: a place is kept
 * for it, which tcop__patch_versions fills in.
 */
extern void tcop__reply_version(Session *s, Lsn version);
extern void tcop__patch_versions(Session *s, Lsn version);

/*
 * Effects: what a command tells others (notifications, invalidations).
 * They are collected while it runs, forgotten when it begins anew or fails, and
 * sent when it is done, each gated like the command's own reply (effects.c).
 *
 * tcop__notify -- a keyspace event: 'type' is one of NOTIFY_*, 'event' its name.
 * Every command that changes a key says so, after each change.
 */
enum
{
	NOTIFY_GENERIC = 1,			/* g */
	NOTIFY_STRING = 2,			/* $ */
	NOTIFY_EXPIRED = 4,			/* x */
	NOTIFY_EVICTED = 8,			/* e */
	NOTIFY_NEW = 16,			/* n */
	NOTIFY_KEY_MISS = 32		/* m */
};
extern uint32 tcop__notify_wanted;		/* the classes that the setting asks for; 0: none */
extern void tcop__notify_note(Session *s, uint32 type, const char *event, const StoreKey *key);
static inline void
tcop__notify(Session *s, uint32 type, const char *event, const StoreKey *key)
{
	if (unlikely((tcop__notify_wanted & type) != 0) || message_tracked())
		tcop__notify_note(s, type, event, key);
}

extern void tcop__effects_send(Session *s);		/* the command is done: command_end */
extern void tcop__effects_drop(Session *s);		/* it begins anew */
/* tcop__effects_noted -- how much has been collected; tcop__effects_send_upto -- sends so much of it, of which some may have been sent already. */
extern size_t tcop__effects_noted(Session *s);
extern void tcop__effects_send_upto(Session *s, size_t end);
/* tcop__reply_unwanted -- CLIENT REPLY: will the reply of the command that runs not be sent?  But pushes are. */
extern bool tcop__reply_unwanted(const Session *s);

/* tcop__state -- 'size' zeroed bytes that last until the command is done; then 'state_free', or free() if that is NULL, gives them back. */
extern void *tcop__state(Session *s, size_t size, void (*state_free)(void *state));
extern void tcop__state_drop(Session *s);

/*
 * Values.  Nothing allocates inside an epoch: the room for a reply is reserved
 * before the store is asked, and what turns out not to fit is asked for again.
 *
 * tcop__read_value -- looks a key up and appends its value as a bulk string when
 * it is short; raises the session's gate.
 */
typedef struct ValueRead
{
	/* in: all of it, or the bytes from 'from' to 'to', which count from the end if negative (GETRANGE) */
	bool		ranged;
	int64		from;
	int64		to;
	/* out */
	bool		exists;
	bool		shown;			/* the bulk string is appended; else, if it exists, go on with tcop__value_piece */
	uint64		start;			/* first byte that is asked for ... */
	uint64		len;			/* ... and how many are */
	Lsn			version;		/* of the value or of the deletion; 0: never seen */
	/* where tcop__value_piece stands; zero at first */
	bool		begun;			/* the bulk string's header is appended */
	uint64		offset;
	StoreStatus status;			/* with VALUE_STATUS */
} ValueRead;
extern StoreStatus tcop__read_value(Session *s, const StoreKey *key, ValueRead *r) attribute_must_check;

typedef enum ValueResult
{
	VALUE_DONE,
	VALUE_MORE,			/* enough for this run: TCOP_AGAIN, then call again */
	VALUE_CHANGED,		/* the version is gone: take back what was appended, look again */
	VALUE_STATUS,		/* for tcop__status: after a parking, call again */
	VALUE_OVERFLOW		/* client_output_buffer_limit: the connection will be closed */
} ValueResult;
/* tcop__value_piece -- appends a long value as a bulk string, over several runs and epochs. */
extern ValueResult tcop__value_piece(Session *s, const StoreKey *key, ValueRead *r) attribute_must_check;
/* tcop__value_whole -- the same in a single epoch, however long: for a value that changes faster than pieces are read.  Appends nothing unless it says STORE_OK. */
extern StoreStatus tcop__value_whole(Session *s, const StoreKey *key, ValueRead *r) attribute_must_check;
#define TCOP_VALUE_TRIES 4		/* of pieces, before the value is copied whole */

/* tcop__range_clip -- GETRANGE's numbers, the last one included, in a value (or in bits) of 'len': false: nothing lies between. */
extern bool tcop__range_clip(int64 from, int64 to, uint64 len, uint64 *first, uint64 *last);

/* tcop__read_several -- MGET (with_values) and EXISTS: all arguments from 1 on, as they were at one moment. */
extern TcopResult tcop__read_several(Session *s, bool with_values);

/* tcop__last_save -- when all that had been written then was on disk: seconds since 1970. */
struct CheckpointStatus;
extern uint64 tcop__last_save(const struct CheckpointStatus *status);

/* info.c: physical memory of all processes, what they share once; a tenth of a second old at most */
extern uint64 tcop__resident_bytes(void);

/* tcop__account -- from now on time goes to this command, until another one or the end of the run. */
extern void tcop__account(const Command *c);
/* tcop__account_is_slow -- would a command of EXEC that took so long be in the slow log?  tcop__account_slow -- it is put there, the session's words are its own. */
extern bool tcop__account_is_slow(uint64 took_ticks);
extern void tcop__account_slow(Session *s, uint64 took_ticks);
/* server commands: parts of one another */
extern TcopResult tcop__debug_object(Session *s);
/* tcop__reply_categories -- the names of all ACL categories; tcop__reply_category -- the commands of one; false: there is no such. */
extern void tcop__reply_categories(Output *o);
extern bool tcop__reply_category(Output *o, const void *name, size_t len) attribute_must_check;

/* tcop__snapshot_drop -- the session's snapshot is closed; harmless without one. */
extern void tcop__snapshot_drop(Session *s);

extern bool tcop__password_matches(const void *password, size_t len);
extern bool tcop__client_name_valid(Session *s, const BytePart *name) attribute_must_check;
extern void tcop__client_set_name(Session *s, const BytePart *name);

#endif
