/*
 * strings_internal.h -- what the files with commands on strings share: writes
 * that look at the old value, deadlines and conditions as options, and long
 * values looked at in portions.
 */
#ifndef ARTERY_TCOP_STRINGS_INTERNAL_H
#define ARTERY_TCOP_STRINGS_INTERNAL_H

#include "tcop/tcop_internal.h"

/* tcop__key -- argument i as a key that is known not to be too long. */
static inline StoreKey
tcop__key(const Session *s, uint32 i)
{
	return (StoreKey) {s->db, (uint32) s->argv[i].len, s->argv[i].data};
}

/* tcop__looked -- a command that reads has found argument i, or not: statistics, and the event "keymiss". */
extern void tcop__looked(Session *s, uint32 i, bool exists);

/* ---- writing: strings.c ---- */

/* OldValue -- what a command keeps of the version it replaces; one at a time: the buffer is the process' */
typedef struct OldValue
{
	bool		exists;
	bool		taken;
	uint64		len;
} OldValue;

/*
 * tcop__old_take -- in a decision: copies the value that is about to be replaced.
 * False: the buffer is too short; the decision keeps everything as it is, and
 * tcop__write_taking decides again with a longer one.
 */
extern bool tcop__old_take(const StoreView *view, OldValue *old);
/* tcop__old_reply -- the old value or nil; gives an unusually long buffer back. */
extern void tcop__old_reply(Session *s, const OldValue *old);

typedef StoreStatus (*StoreWriter)(const StoreKey *key, StoreDecide decide, void *arg, StoreWritten *out);

/* tcop__write_by -- a write of argument 1; false: *result is what the command returns. */
static inline bool
tcop__write_by(StoreWriter write, Session *s, StoreDecide decide, void *arg, StoreWritten *w, TcopResult *result)
{
	StoreKey	key;
	StoreStatus status;

	*result = TCOP_DONE;
	if (!tcop__arg_key(s, 1, &key))
		return false;
	status = write(&key, decide, arg, w);
	tcop__changed(s, w);
	return tcop__status(s, status, result);
}

/* tcop__write_taking -- ... by a decision that takes the old value, or sets old->taken. */
extern bool tcop__write_taking(Session *s, StoreDecide decide, void *arg, const OldValue *old, StoreWritten *w,
							   TcopResult *result);

/* tcop__written -- argument i has a new value: the events "new", if it was created, and 'event'. */
extern void tcop__written(Session *s, uint32 i, bool created, const char *event);

/* ---- deadlines as options: set.c ---- */
typedef enum TimeKind
{
	TIME_NONE,
	TIME_EX,
	TIME_PX,
	TIME_EXAT,
	TIME_PXAT,
	TIME_KEEP,			/* KEEPTTL */
	TIME_PERSIST
} TimeKind;

typedef enum TimeError
{
	TIME_VALID,
	TIME_NO_INTEGER,
	TIME_INVALID		/* not positive, or beyond what can be counted */
} TimeError;

typedef struct TimeOption
{
	TimeKind	kind;
	uint32		word;		/* argument with the time */
	/* by tcop__time_resolve */
	uint64		expiry;		/* microseconds since 1970; 0: none */
	bool		past;		/* that moment has come already: the key goes */
} TimeOption;

/* tcop__time_option -- is argument *i one of EX PX EXAT PXAT, or 'word' (of 'kind')?  Then it is noted and *i stands at its last word; false also if another one was given before. */
extern bool tcop__time_option(const Session *s, uint32 *i, TimeOption *t, const char *word, TimeKind kind) attribute_must_check;
extern TimeError tcop__time_resolve(const Session *s, TimeOption *t) attribute_must_check;
extern void tcop__error_time(Session *s, TimeError error);

/* ---- conditions: conditional.c ---- */
typedef enum ConditionKind
{
	CONDITION_NONE,
	CONDITION_ABSENT,		/* NX */
	CONDITION_PRESENT,		/* XX */
	CONDITION_EQUAL,		/* IFEQ */
	CONDITION_NOT_EQUAL,	/* IFNE */
	CONDITION_DIGEST,		/* IFDEQ */
	CONDITION_NOT_DIGEST,	/* IFDNE */
	CONDITION_VERSION		/* IFVERSION */
} ConditionKind;

typedef struct Condition
{
	ConditionKind kind;
	const BytePart *value;	/* EQUAL, NOT_EQUAL */
	uint64		digest;
	uint64		version;	/* 0: absent */
} Condition;

typedef enum ConditionOption
{
	CONDITION_OTHER,		/* argument *i is no condition */
	CONDITION_TAKEN,		/* it is; *i stands at its last word */
	CONDITION_WRONG			/* ... and the error is answered */
} ConditionOption;

/* tcop__condition_option -- is argument *i IFEQ, IFNE, IFDEQ, IFDNE or IFVERSION with its value, and the first one? */
extern ConditionOption tcop__condition_option(Session *s, uint32 *i, Condition *c) attribute_must_check;
/* tcop__condition_holds -- in a decision made by store_write (NX and XX: store_write_head). */
extern bool tcop__condition_holds(const StoreView *view, const Condition *c) attribute_must_check;

/* ---- long values: value_scan.c ---- */

/*
 * ValueScan -- a value looked at from front to end in portions: a piece per epoch,
 * some pieces per run, all of one version.  'begin' is told that the value is
 * there, and sets at and end, within len; when the version goes away meanwhile it
 * is called again.  'see' is shown what lies between, piece by piece, and returns
 * false when it has seen enough.  Both run inside an epoch and allocate nothing.
 */
typedef struct ValueScan
{
	void		(*begin) (struct ValueScan *scan);
	bool		(*see) (struct ValueScan *scan, const uint8 *part, size_t len);
	bool		exists;
	uint64		len;
	Lsn			version;
	uint64		at;
	uint64		end;
	/* value_scan.c's own */
	bool		begun;
	bool		changed;
	bool		done;
	uint32		tries;
} ValueScan;

/*
 * tcop__scan_value -- of argument i.  *scan is the command's own, 'size' bytes that begin
 * with a ValueScan; what is to last until the next run is copied into the session's
 * state, and *scan is that from then on.  True: done (or not there).  False:
 * *result is what the command returns.
 */
extern bool tcop__scan_value(Session *s, uint32 i, ValueScan **scan, size_t size, TcopResult *result);

/* ValueCopy -- a whole value in memory of the command's own, which its state_free gives back (free(copy.buffer)). */
typedef struct ValueCopy
{
	ValueScan	scan;
	uint8	   *buffer;
	uint64		size;
} ValueCopy;

/* tcop__copy_value -- of argument i, in portions; 'copy' lies in the session's state, zeroed at first.  False: *result is what the command returns. */
extern bool tcop__copy_value(Session *s, uint32 i, ValueCopy *copy, TcopResult *result);

/* ---- bits: bits.c ---- */

/* Redis' own bound, of values of 512 MiB */
#define BIT_OFFSET_MAX (INT64_C(512) * 1024 * 1024 * 8 - 1)

/* tcop__arg_bit_offset -- argument i as the number of a bit; false: the error is answered. */
extern bool tcop__arg_bit_offset(Session *s, uint32 i, uint64 *offset) attribute_must_check;
/* tcop__view_byte -- a byte of a value that ends in zeros for ever. */
extern uint8 tcop__view_byte(const StoreView *view, uint64 offset);

/* tcop__view_equals -- is the value these bytes? */
extern bool tcop__view_equals(const StoreView *view, const BytePart *bytes) attribute_must_check;

#endif
