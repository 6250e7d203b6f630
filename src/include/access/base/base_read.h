/*
 * base_read.h -- reading the base: one key, or in order, without ever blocking a worker.
 *
 * A lookup descends inside the caller's epoch from a root that the caller has
 * read in that epoch.  A page is looked for among those that this command keeps
 * (BaseKeep), then in the buffer pool.  One that is in neither makes the result
 * BASE_MISS: the caller leaves the epoch, calls base_read_start, parks the
 * command and runs it again when base_keep_pending says 0.  The rerun descends
 * from the root that is current then; kept pages are used by (number, birth) only,
 * so each rerun gets at least one page further.
 *
 * A page that comes back bad (checksum, number, birth, level, order) is kept as
 * bad: if the rerun's descent leads to exactly this reference again, the result
 * is BASE_CORRUPT, with base_keep_error telling page, file and reason; it is
 * logged and counted once.  Otherwise it was freed and written anew meanwhile,
 * and nobody needs to know.
 *
 * A keep belongs to one process.  It holds at most BASE_KEEP_PAGES pages, the
 * oldest go first; a command that needs many keys at once (MGET) gets more room
 * with every miss of base_get, up to 1,024 pages.  Of long values it holds up to
 * 64 MiB, and the last one whatever its length.
 */
#ifndef ARTERY_ACCESS_BASE_BASE_READ_H
#define ARTERY_ACCESS_BASE_BASE_READ_H

#include "common/base_format.h"
#include "common/c.h"

/* BaseRoot -- the root in force, as the store publishes it */
typedef struct BaseRoot
{
	BaseRef		page;			/* number 0: the base is empty */
	uint32		levels;
	Lsn			cut;			/* the base is the database at this LSN */
} BaseRoot;

typedef enum BaseResult
{
	BASE_FOUND,
	BASE_ABSENT,				/* cursors: the end */
	BASE_MISS,					/* a page must be read first: base_read_start, run again */
	BASE_CORRUPT				/* base_keep_error */
} BaseResult;

typedef struct BaseValue
{
	Lsn			lsn;
	uint64		expiry;			/* 0: none */
	uint64		len;
	const uint8 *data;			/* the whole value in one piece; NULL when it was not asked for and lies in an extent */
} BaseValue;					/* valid until the epoch is left */

typedef struct BaseKeep BaseKeep;
#define BASE_KEEP_PAGES 24

/* base_reader_open -- worker, evictor, checkpointer, startup: after fork; opens data/base (O_DIRECT where possible) and a queue.  FATAL on failure. */
extern void base_reader_open(const char *data_dir, uint64 system_id);

extern BaseKeep *base_keep_create(void);
extern void base_keep_destroy(BaseKeep *keep);		/* whatever state it is in: a connection that went away */
/* base_keep_release -- the command is over (or given up while it waits): all pages go. */
extern void base_keep_release(BaseKeep *keep);
extern uint32 base_keep_pending(const BaseKeep *keep);	/* reads that this command still waits for */
/* base_keep_error -- "page 123 of data/base: checksum ..." after BASE_CORRUPT, outside an epoch: logs it, too. */
extern const char *base_keep_error(BaseKeep *keep);

/*
 * base_get -- inside an epoch.  with_value: fetch a value that lies in an extent, too
 * (else data is NULL then).  keep NULL: BASE_MISS notes nothing down; make a keep and run again.
 */
extern BaseResult base_get(const BaseRoot *root, const void *key, uint32 key_len, bool with_value, BaseKeep *keep, BaseValue *out);

/* base_read_start -- after BASE_MISS, outside an epoch: starts (or joins) the reads of what was missing. */
extern void base_read_start(BaseKeep *keep);
/* base_read_wait -- processes without an event loop: sleeps until nothing is pending. */
extern void base_read_wait(BaseKeep *keep);
/* base_read_fd -- a descriptor that is readable when base_read_poll has something to do; -1: there is none (plain calls: reads are done in base_read_start). */
extern int	base_read_fd(void);
/* base_read_poll -- reaps what is done; true: some keep has nothing pending any more.  Also looks after pages that another process reads: call it at least every millisecond while base_read_foreign() > 0. */
extern bool base_read_poll(void);
extern uint32 base_read_foreign(void);		/* reads of other processes that ours wait for */
extern uint32 base_read_in_flight(void);	/* reads of this process; 0: base_read_poll has nothing to do and nothing to tell */

/* ---- in order ---- */
/*
 * BaseCursor -- over the keys from a bound on.  Valid within one epoch and one
 * root; after BASE_MISS everything starts again with base_seek.
 * 'prefix': only keys that begin with it.  Sequential use prefetches the next
 * leaves (up to 'ahead' pages) with the next base_read_start of the keep, or at
 * once where the caller is outside an epoch.
 */
typedef struct BaseCursor BaseCursor;
extern BaseCursor *base_cursor_create(void);
extern void base_cursor_destroy(BaseCursor *c);
/* base_seek -- forward: first key >= key (> with exclusive); backward: last key <= key (<).  key NULL: from the edge of the prefix.  Looks at no page yet. */
extern void base_seek(BaseCursor *c, const BaseRoot *root, const void *prefix, uint32 prefix_len,
					  const void *key, uint32 key_len, bool exclusive, bool backward, uint32 ahead, BaseKeep *keep);
/* base_next -- the next key (in the cursor's memory until the next call) and its value; with_value as above. */
extern BaseResult base_next(BaseCursor *c, bool with_value, const uint8 **key, uint32 *key_len, BaseValue *out);
/* base_cursor_prefetch -- outside an epoch: starts reads of what the cursor will want next; never waits. */
extern void base_cursor_prefetch(BaseCursor *c);

typedef struct BaseReadStats
{
	uint64		reads;			/* pages read by this cluster's processes */
	uint64		prefetched;
	uint64		joined;			/* waits for a read that was under way */
	uint64		corrupt;		/* bad pages that a command needed */
	uint64		stale;			/* bad or other pages that nobody needed any more */
	uint64		errors;			/* reads that failed with an errno */
} BaseReadStats;
extern void base_read_stats(BaseReadStats *stats);		/* over all processes: counters in shared memory */
extern size_t base_read_region_size(void);
extern void base_read_region_init(void *region);

#endif
