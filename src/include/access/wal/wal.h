/*
 * wal.h -- the log: ring, positions, reservation, the gate, walwriter's work.
 *
 * The ring in shared memory is the log's tail: ring offset = LSN mod ring size.
 * Workers copy records into it; the walwriter writes 4 KiB blocks out of it.
 *
 *   insert      next byte to reserve, with the last reserver's slot: one word
 *   completed   every record below is reserved, published and filled
 *   flushed     every byte below is on stable storage
 * flushed <= completed <= insert.  doc/architecture.md has the rules.
 */
#ifndef ARTERY_ACCESS_WAL_WAL_H
#define ARTERY_ACCESS_WAL_WAL_H

#include "common/bytes.h"
#include "common/c.h"
#include "common/wal_format.h"
#include "storage/ipc/segment.h"

/* A segment may be used once it stands in this table: its header is durable. */
#define WAL_SEGMENT_TABLE 256
typedef struct WalSegmentEntry
{
	_Atomic uint64 first_lsn;	/* 0: free; stored last (release) */
	uint64		seed;
} WalSegmentEntry;

/* WalGap -- [from, to): no record stands there, and none ever will. */
#define WAL_GAPS 64
typedef struct WalGap
{
	Lsn			from;			/* end of a run */
	Lsn			to;				/* begin of the next */
} WalGap;

typedef struct WalShared
{
	uint64		magic;
	uint64		ring_size;			/* constant after start; power of two */
	Off			ring;				/* constant after start */
	uint64		segment_size;		/* constant after start */
	uint32		timeline;			/* constant after start */
	uint64		start_lsn;			/* first LSN of this run; constant after recovery */
	uint32		gap_count;			/* constant after recovery, as the list is */
	Lsn			known_from;			/* gaps older than that have been forgotten */
	WalGap		gap[WAL_GAPS];		/* oldest first */
	alignas(CACHE_LINE) _Atomic uint64 insert_word;	/* (LSN / 8) << 10 | slot of the last reserver */
	alignas(CACHE_LINE) _Atomic uint64 completed;
	alignas(CACHE_LINE) _Atomic uint64 flushed;
	_Atomic uint64 prepared;		/* log may be reserved below this: segments are ready up to here */
	alignas(CACHE_LINE) _Atomic uint64 wanted;		/* the highest LSN that a parked reply waits for */
	_Atomic uint64 wanted_group;	/* ... of those that may be gathered (durability group) */
	_Atomic uint64 wanted_periodic;	/* ... to be flushed within wal_flush_interval */
	_Atomic uint32 space_errno;		/* 0, or why no segment could be prepared (ENOSPC): writers get -MISCONF */
	/* counters, walwriter writes unless said otherwise */
	alignas(CACHE_LINE) _Atomic uint64 flushes;		/* fdatasync calls that returned success */
	_Atomic uint64 writes;
	_Atomic uint64 bytes_written;
	_Atomic uint64 commits_gated;	/* replies released, added by workers per turn */
	_Atomic uint64 flush_us_total;
	_Atomic uint64 flush_us_histogram[24];	/* log2 microseconds */
	_Atomic uint64 group_size_histogram[24];	/* log2 of bytes / 64 per flush */
	_Atomic uint64 segments_created;
	_Atomic uint64 segments_recycled;
	_Atomic uint64 voids;			/* workers, relaxed */
	_Atomic uint64 oldest;			/* log below is gone or about to go; release [wal-oldest], before the files go */
	_Atomic uint32 writer_method;	/* WalWriterMethod: how the walwriter writes, for status */
	_Atomic uint32 writer_direct;	/* 1: the segment in use was opened with O_DIRECT */
	WalSegmentEntry segment[WAL_SEGMENT_TABLE];	/* by (first_lsn / segment_size) mod WAL_SEGMENT_TABLE */
} WalShared;

typedef enum WalWriterMethod { WAL_WRITER_SYNC, WAL_WRITER_IO_URING, WAL_WRITER_IO_URING_REGISTERED } WalWriterMethod;

extern WalShared *wal_shared;

extern size_t wal_region_size(void);
extern void wal_region_init(void *region);		/* insert = completed = flushed = 0: no log yet */

/* ---- positions ---- */
extern Lsn wal_insert_lsn(void);
extern Lsn wal_completed_lsn(void);			/* acquire [wal-completed] */
extern Lsn wal_flushed_lsn(void);			/* acquire [wal-flushed] */

/* ---- writing a record; worker, inside its epoch; nothing here sleeps or makes a system call ---- */
typedef enum WalReserve
{
	WAL_RESERVED,
	WAL_NO_SPACE,		/* ring full, or next segment not ready: park until wal_space_lsn() is flushed or any progress */
	WAL_DISK_FULL		/* no segment can be made: -MISCONF, see space_errno */
} WalReserve;

typedef struct WalReservation
{
	Lsn			start;
	Lsn			end;		/* the version */
	uint32		length;		/* header and body */
} WalReservation;

extern uint64 wal_record_max(void);		/* a quarter of the ring */
extern WalReserve wal_reserve(uint32 body_len, Off leaf, WalReservation *r) attribute_must_check;
/* wal_fill -- copies header and body parts into the ring, then marks the slot idle (release [wal-fill]). body_crc: crc32c of all parts, computed before reserving. */
extern void wal_fill(const WalReservation *r, uint8 type, uint8 flags, uint16 key_len,
					 uint32 body_crc, const BytePart *parts, int part_count);
extern void wal_fill_void(const WalReservation *r);

/* ---- the gate ---- */
typedef enum WalUrgency { WAL_NOW, WAL_GROUP, WAL_PERIODIC } WalUrgency;
/* wal_want -- asks for a flush up to lsn; once per loop turn and urgency, not per reply.  Outside an epoch. */
extern void wal_want(Lsn lsn, WalUrgency urgency);
/* wal_replies_due -- so many replies of this process wait for the log: commit_siblings looks at it.  Before wal_want, which wakes who looks. */
extern void wal_replies_due(uint32 count);
/* wal_wait_begin -- this process sleeps until flushed >= lsn (1: any progress of flushed, prepared or space_errno); count: replies parked.
 * Returns false if that holds already: do not sleep.  Call after wal_want, before latch_prepare_sleep; the walwriter sets the latch. */
extern bool wal_wait_begin(Lsn lsn, uint32 reply_count);
extern void wal_wait_end(void);
/* wal_wait_flushed -- sleeps until flushed >= lsn or timeout_ms (< 0: none): for processes without an event loop (tools, checkpointer, tests). */
extern bool wal_wait_flushed(Lsn lsn, int64 timeout_ms);

/* ---- the walwriter's work (postmaster/walwriter.c is the loop's shell) ---- */
extern void walwriter_open(void);				/* after fork: own ring, own descriptors, flock */
extern void walwriter_loop(void);				/* until told to stop: fast/smart stop = flush up to insert, return */
extern void wal_completed_update(void);			/* insert first, slots second, then raise completed */

/* ---- segments; the checkpointer keeps them ready, startup makes the first ---- */
extern bool wal_segments_prepare(void);			/* one bounded step; true: something is left to do */
extern void wal_segments_prepare_first(Lsn first_lsn, Lsn continues_lsn);	/* startup: FATAL on failure */
extern uint32 wal_segments_recycle(Lsn below);	/* segments wholly below become spares, or go; how many */

#endif
