/*
 * wal_reader.h -- reading the log of a directory: recovery; its parts read for feeds, too.
 *
 * wal_redo() finds the segments, checks the headers, reads every record from
 * 'from' in log order (O_DIRECT where it was written so, several reads in
 * flight), calls 'apply', follows the gaps that segment headers state, and
 * decides between torn tail and damage:
 *   invalid record at G: if a later segment's header says it continues from G,
 *   replay goes on there; else damage if any valid record in the log carries
 *   flushed > G or G < control_flushed; else G is the end, the torn tail.
 * Damage, a missing segment, a foreign system id or timeline: FATAL, with file,
 * offset and what to do.  The reason why the tail ends (zeros, bad crc, old
 * record of a recycled segment, bad length, ...) is logged with its position.
 */
#ifndef ARTERY_ACCESS_WAL_WAL_READER_H
#define ARTERY_ACCESS_WAL_WAL_READER_H

#include "common/c.h"
#include "common/wal_format.h"

typedef struct WalRecord
{
	const WalRecordHeader *header;
	Lsn			start;
	Lsn			end;			/* AlignUp(start + length, 8) */
	const uint8 *body;			/* contiguous; valid until apply returns */
	uint32		body_len;
} WalRecord;

typedef void (*WalApply)(const WalRecord *record, void *arg);

typedef struct WalRedoResult
{
	Lsn			end;			/* end of the valid log */
	Lsn			first;			/* where replay began */
	Lsn			next_start;		/* first segment boundary > end + ring size of the run that ended */
	uint64		records;
	uint64		bytes;
	uint64		elapsed_us;
	const char *end_reason;		/* why the log ends there */
	/* gaps passed: [from, to) hold no records and never will */
	uint32		gap_count;
	struct { Lsn from, to; } gap[64];	/* the newest 64 */
} WalRedoResult;

typedef struct WalRedoOptions
{
	const char *wal_dir;
	uint64		system_id;
	uint32		timeline;
	uint64		segment_size;
	Lsn			from;				/* redo start; LSN of the first record of the cluster at first */
	Lsn			control_flushed;	/* what the control slot says was flushed */
	void		(*progress)(Lsn at, Lsn end_hint, uint64 records, void *arg);	/* about once per 50 ms */
} WalRedoOptions;

extern void wal_redo(const WalRedoOptions *options, WalApply apply, void *arg, WalRedoResult *result);
/* wal_sync_tail -- fdatasync every segment that holds log from 'from' on, and the directory; FATAL on failure. */
extern void wal_sync_tail(const char *wal_dir, Lsn from);

#endif
