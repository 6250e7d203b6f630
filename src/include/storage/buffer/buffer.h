/*
 * buffer.h -- the buffer pool: pages of the base in shared memory (region BUFFERS).
 *
 * A page is known by (number, birth) and never changes under that name, so
 * frames need no locks and no pins: a frame leaves the hash first and is reused
 * one grace period later.  Whoever looks a page up inside an epoch may read it
 * until he leaves the epoch.
 *
 * The pool is a cache and nothing else: an insertion that finds no frame free is
 * left out, a page may stand in it twice for a moment, and losing one costs a read.
 */
#ifndef ARTERY_STORAGE_BUFFER_BUFFER_H
#define ARTERY_STORAGE_BUFFER_BUFFER_H

#include "common/c.h"

#define BUFFER_PAGE_SIZE 16384

/* buffer_init -- postmaster, after the segment was made, before the first fork; and unit tests.  Lays out region BUFFERS; 0 or an errno (memory could not be reserved). */
extern int	buffer_init(void) attribute_must_check;

/* buffer_lookup -- inside an epoch; NULL: not there.  The page may be read until the epoch is left. */
extern const void *buffer_lookup(uint64 number, uint64 birth);
/* buffer_present, buffer_copy -- the same for callers outside an epoch who do not mean to use the page in place: not counted. */
extern bool buffer_present(uint64 number, uint64 birth);
extern bool buffer_copy(uint64 number, uint64 birth, void *to) attribute_must_check;
/* buffer_insert -- copies a verified page into a frame; false: no frame was to be had (or it is there already).  Outside an epoch. */
extern bool buffer_insert(uint64 number, uint64 birth, const void *page);

/*
 * buffer_claim -- "I read this page now": true: the caller reads it and calls
 * buffer_unclaim when it is inserted or given up; false: another process is at it,
 * look again soon (a claim older than a second counts for nothing).
 */
extern bool buffer_claim(uint64 number, uint64 birth) attribute_must_check;
extern void buffer_unclaim(uint64 number, uint64 birth);

typedef struct BufferStats
{
	uint64		frames;			/* in the pool */
	uint64		used;			/* that hold a page */
	uint64		hits;
	uint64		misses;
	uint64		inserted;
	uint64		evicted;
	uint64		refused;		/* insertions without a frame */
} BufferStats;
extern void buffer_stats(BufferStats *stats);

#endif
