/*
 * wal_internal.h -- within access/wal: what ring, walwriter, segments and reader share.
 */
#ifndef ARTERY_ACCESS_WAL_WAL_INTERNAL_H
#define ARTERY_ACCESS_WAL_WAL_INTERNAL_H

#include "access/wal/wal.h"
#include "storage/file/file.h"

#define WAL_SHARED_MAGIC UINT64_C(0x444853574c41572e)
#define WAL_PATH_MAX 1200
#define WAL_WRITE_MAX (1 * MIB)		/* bytes per write request: several go to the device side by side */

/*
 * How long recovery and the writers wait for the lock on a segment that a dead
 * process' requests may still hold.  Unit tests set less.
 */
extern int64 wal__lock_timeout_ms;

/* ---- the insert word ---- */
static inline Lsn
wal__word_lsn(uint64 word)
{
	return (word >> 10) << 3;
}

static inline uint32
wal__word_slot(uint64 word)
{
	return (uint32) (word & 1023);
}

static inline uint64
wal__make_word(Lsn lsn, uint32 slot)
{
	return (lsn >> 3) << 10 | slot;
}

/* ---- a process slot's reservation word ---- */
static inline Lsn
wal__res_start(uint64 word)
{
	return (word >> 2) << 3;
}

static inline uint64
wal__make_res(Lsn start, uint32 state)
{
	return (start >> 3) << 2 | state;
}

static inline uint64
wal__record_size(uint32 length)
{
	return AlignUp((uint64) length, 8);
}

/* the named consumers' part of region WAL */
extern size_t wal__keep_size(void);
extern void wal__keep_init(void *part);

/* wal__reserve_pad -- a VOID from insert to a block's end, for wal_pad_flush; walwriter; false: no space for it. */
extern bool wal__reserve_pad(WalReservation *r);
/* wal__ring_at -- address of an LSN in the ring, and how many bytes lie contiguous there. */
extern char *wal__ring_at(Lsn lsn, uint64 *contiguous);
/* wal__space_limit -- log may be reserved below this as far as the ring is concerned. */
extern Lsn wal__space_limit(Lsn flushed);
/* wal__wake_waiters -- wake every process whose wait_lsn is reached by 'flushed', and those that wait for any progress. */
extern void wal__wake_waiters(Lsn flushed);
/* wal__raise -- CAS max; true if raised. */
extern bool wal__raise(_Atomic uint64 *word, uint64 value);

/* wal__feeds_close -- unit tests: this thread's queue and the windows kept for later feeds; all feeds are closed. */
extern void wal__feeds_close(void);

/* ---- files ---- */
extern const char *wal__directory(void);		/* DIR/wal of this server */
extern void wal__segment_path(char *path, size_t size, const char *wal_dir, Lsn first_lsn);
extern Lsn wal__segment_of(Lsn lsn, uint64 segment_size);	/* first LSN of the segment in which lsn lies */
/* wal__segments_close -- forget the segment under way and the spares known; also between the runs of a unit test. */
extern void wal__segments_close(void);

/* ---- reading: walstream.c ---- */

/* WalSegmentInfo -- one segment file as its header states it. */
typedef struct WalSegmentInfo
{
	Lsn			first_lsn;
	Lsn			continues_lsn;
	uint64		seed;
	uint64		ring_size;
	uint64		bytes;			/* of log that the file really holds, at most segment_size */
} WalSegmentInfo;

/* WalSegmentSet -- the segments of a directory that reach beyond some LSN, ascending, every header checked. */
typedef struct WalSegmentSet
{
	char		dir[WAL_PATH_MAX];
	uint64		segment_size;
	WalSegmentInfo *info;
	int			count;
} WalSegmentSet;

/*
 * WalStream -- the log's bytes in order, several reads in flight, through
 * neighbouring segments of one run.  Positions only grow, but for a seek.
 */
typedef struct WalStream WalStream;

/*
 * In a segment that has just got its name the first block of every stretch of this
 * length holds words that follow from its seed, which no client knows.  The log is
 * written in order, whole blocks at a time: a stretch that still begins so was
 * never written to, nor is any behind it.
 */
#define WAL_MARK_BYTES (1 * MIB)

static inline uint64
wal__mark_word(uint64 seed, uint32 index)
{
	return ~seed + index * UINT64_C(0x9e3779b97f4a7c15);
}

typedef struct WalChunk
{
	Lsn			lsn;
	const uint8 *data;
	size_t		len;
} WalChunk;

struct WalRedoOptions;
/* wal__set_load -- takes each segment's lock, reads and checks its header; FATAL on anything foreign or damaged. */
extern void wal__set_load(WalSegmentSet *set, const struct WalRedoOptions *options);
extern void wal__set_free(WalSegmentSet *set);
/* wal__set_marks -- which stretches of segment i have been written to; 'written' has an entry for each. */
extern void wal__set_marks(const WalSegmentSet *set, int i, FileQueue *queue, bool *written);
/* wal__set_find -- index of the segment in which lsn lies; -1: in none. */
extern int wal__set_find(const WalSegmentSet *set, Lsn lsn);
/* wal__set_first_above -- index of the first segment that begins at lsn or later; count: none. */
extern int wal__set_first_above(const WalSegmentSet *set, Lsn lsn);
/* wal__set_follows -- does the log flow from segment i into segment i + 1 without a gap? */
extern bool wal__set_follows(const WalSegmentSet *set, int i);
extern void wal__set_path(const WalSegmentSet *set, int i, char *path, size_t size);
/* wal__set_read -- plain read of [lsn, lsn + len) through neighbouring segments; bytes got. */
extern size_t wal__set_read(const WalSegmentSet *set, Lsn lsn, void *buf, size_t len);

extern WalStream *wal__stream_open(const WalSegmentSet *set, const char *purpose);
extern void wal__stream_close(WalStream *s);
extern void wal__stream_seek(WalStream *s, Lsn lsn);
/* wal__stream_get -- 'len' contiguous bytes at 'at', valid until the next call; NULL: they are not there, see stream_end. */
extern const uint8 *wal__stream_get(WalStream *s, Lsn at, size_t len);
/* wal__stream_chunk -- the next piece as it comes from the file; false: no more. */
extern bool wal__stream_chunk(WalStream *s, WalChunk *chunk);
/* wal__stream_end -- where the bytes end, and why (a constant text); only after a call above said so. */
extern Lsn wal__stream_end(const WalStream *s, const char **why);
/* wal__stream_chunks_read -- grows with each piece taken: time to look at the clock. */
extern uint64 wal__stream_chunks_read(const WalStream *s);

/* ---- the walwriter ---- */
/* wal__writer_stop -- unit tests: ends walwriter_loop() of another thread as a fast stop would. */
extern _Atomic bool wal__writer_stop;
/* wal__writer_turn -- one turn of the loop without its sleep; microseconds that it may sleep, 0: again at once.  Unit tests. */
extern int64 wal__writer_turn(void);
extern void wal__writer_close(void);			/* unit tests: give files and queue back */

#endif
