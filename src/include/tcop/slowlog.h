/*
 * slowlog.h -- the commands that took long, of all workers: a ring in the region TCOP.
 *
 * Entry 'id' stands in place id mod SLOWLOG_ENTRIES_MAX.  A worker that adds one
 * takes the next id, then the place, whose sequence it makes odd; it fills the
 * place and makes the sequence even again.  Readers copy and look whether the
 * sequence has stayed.  A place that another worker still writes to, hence one
 * whole round behind, is not waited for: the entry is dropped.
 */
#ifndef ARTERY_TCOP_SLOWLOG_H
#define ARTERY_TCOP_SLOWLOG_H

#include "common/c.h"
#include "tcop/session.h"

#define SLOWLOG_ENTRIES_MAX 256		/* bound of the setting slowlog_max_len */
#define SLOWLOG_ARGS_MAX 32			/* the last one tells how many more there were */
#define SLOWLOG_ARG_BYTES 128		/* of a longer one so many, and how many more there were */
#define SLOWLOG_ROOM 1764			/* bytes for the words of an entry: when they are full, the rest is counted only */

typedef struct SlowlogEntry
{
	uint64		id;
	uint64		time_s;				/* since 1970, when it was done */
	uint64		took_us;
	uint16		arg_count;
	uint16		is_unix;			/* the address is the socket's path */
	uint16		arg_end[SLOWLOG_ARGS_MAX];	/* in 'words' */
	char		address[CLIENT_ADDRESS_MAX];
	char		name[CLIENT_NAME_MAX - 8];
	char		words[SLOWLOG_ROOM];
} SlowlogEntry;
static_assert(sizeof(SlowlogEntry) == 2048 - 8 && sizeof(SlowlogEntry) % 8 == 0, "a place, with its sequence, is 2 KiB");

extern size_t slowlog_size(void);
extern void slowlog_init(void *region);
/* slowlog_add -- the command that the session has just run; its words are still there. */
extern void slowlog_add(Session *s, const Command *c, uint64 took_us);
/* slowlog_bounds -- the ids that are kept: first <= id < end. */
extern void slowlog_bounds(uint64 *first, uint64 *end);
/* slowlog_read -- false: overwritten, being written, or dropped. */
extern bool slowlog_read(uint64 id, SlowlogEntry *to) attribute_must_check;
extern void slowlog_reset(void);

#endif
