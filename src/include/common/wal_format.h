/*
 * wal_format.h -- the log on disk: segment header page and records.
 *
 * A segment file wal/<first LSN, 16 hex digits> holds wal_segment_size bytes of
 * log behind one header page of 4 KiB, which lies outside LSN space:
 *   file offset of LSN l = WAL_HEADER_SIZE + (l - first_lsn)
 * first_lsn is a multiple of the segment size.  Little-endian throughout.
 *
 * Record, at LSNs that are multiples of 8; it may cross a segment border:
 *   0  length        u32  bytes of header and body, without padding to 8
 *   4  crc           u32  CRC-32C of body, then header with crc = 0, then the
 *                         8-byte seed of the segment in which the record starts;
 *                         of a VOID: header and seed only
 *   8  lsn           u64  its own start
 *  16  flushed_back  u32  (lsn - wal.flushed as the writer last read it) / 8
 *  20  type          u8   WAL_*
 *  21  flags         u8
 *  22  key_len       u16  4 + user's bytes
 *  24  body
 * The record ends at AlignUp(lsn + length, 8): that is the version it gives.
 *
 * Bodies: PUT key [expiry u64 if flags & WAL_FLAG_EXPIRY] value · DELETE key ·
 * MAP (see WalMapRecord) · CLOCK u64 microseconds since 1970 · VOID nothing that counts.
 * wal_next_change reads them.
 */
#ifndef ARTERY_COMMON_WAL_FORMAT_H
#define ARTERY_COMMON_WAL_FORMAT_H

#include "common/c.h"

#define WAL_HEADER_SIZE 4096
#define WAL_BLOCK 4096
#define WAL_MAGIC UINT64_C(0x4c41575952455441)
#define WAL_VERSION 2
#define WAL_RECORD_HEADER 24

/* the one list of record types: number, name, sentence; numbers are retired, never reused */
#define WAL_RECORD_TYPES(X) \
	X(1, VOID, "a reservation given up, or a gap") \
	X(2, PUT, "a key's new value") \
	X(3, DELETE, "a key's deletion") \
	X(4, MAP, "the map of databases to trees") \
	X(5, TXN, "several changes that happen as one") \
	X(6, CLOCK, "the clock of expiry has come to this value")

enum
{
#define X(number, name, text) WAL_##name = number,
	WAL_RECORD_TYPES(X)
#undef X
};
/*
 * WAL_FLAG_EXPIRY   PUT: an expiry follows the key
 * WAL_FLAG_CREATED  PUT: the key did not exist before, so redo counts one more
 * WAL_FLAG_UNKNOWN  PUT: a blind write of a key that was not in memory: nobody looked
 * WAL_FLAG_HAD_EXPIRY  PUT, DELETE: the version that it replaces had a deadline, so redo counts one less
 */
enum { WAL_FLAG_EXPIRY = 1, WAL_FLAG_CREATED = 2, WAL_FLAG_UNKNOWN = 4, WAL_FLAG_HAD_EXPIRY = 8 };

typedef struct WalRecordHeader
{
	uint32		length;
	uint32		crc;
	uint64		lsn;
	uint32		flushed_back;
	uint8		type;
	uint8		flags;
	uint16		key_len;
} WalRecordHeader;
static_assert(sizeof(WalRecordHeader) == WAL_RECORD_HEADER, "record header");

/* the map of databases: all of it in each MAP record */
#define DATABASE_COUNT 16
typedef struct WalMapBody
{
	uint32		tree_id[DATABASE_COUNT];	/* 0: the database is empty and has no tree yet */
	uint32		next_tree_id;				/* never used before */
	uint32		last;						/* wal_map_last: where the newest MAP record up to then begins; 0: there is none */
} WalMapBody;

/*
 * Trees that no map names.  SYSTEM_TREE_DEADLINES is the index of deadlines: its keys
 * are deadline (8 bytes, big-endian, microseconds since 1970) and the whole key that it
 * is about, without a value.  It is in the base, and not in the log: redo derives it.
 */
#define SYSTEM_TREE_DEADLINES UINT32_C(0xffffff01)

/*
 * WalMapRecord -- the body of MAP.  map.last leads to the MAP record before this
 * one, and 'before' says what the map was until then: so who stands anywhere in the
 * log finds the map that holds there by going back from the newest record, and
 * needs no record older than where he stands.
 */
typedef struct WalMapRecord
{
	WalMapBody	map;
	uint32		before[DATABASE_COUNT];
} WalMapRecord;
static_assert(sizeof(WalMapRecord) == 136, "MAP record");

/*
 * wal_map_last -- the low 32 bits of lsn / 8 name one position within 32 GiB below
 * 'here'.  Further back they mislead: whoever goes there must find a MAP record
 * that says so itself, by position and checksum.
 */
static inline uint32
wal_map_last_make(Lsn lsn)
{
	return (uint32) (lsn >> 3);
}

static inline Lsn
wal_map_last(uint32 last, Lsn here)
{
	Lsn			words = here >> 3;
	Lsn			lsn = (words & ~UINT64_C(0xffffffff)) | last;

	if (last == 0)
		return LSN_NONE;
	if (lsn >= words)
		lsn = lsn > UINT64_C(0xffffffff) ? lsn - UINT64_C(0x100000000) : 0;
	return lsn << 3;
}

/*
 * A TXN's body: change after change, without padding; each a WalTxnChange, then the
 * key, the expiry (u64) if flags & WAL_FLAG_EXPIRY, the value.  All of them have the
 * record's end as their version.  key_len of the record's header is 0.
 */
typedef struct WalTxnChange
{
	uint8		type;			/* WAL_PUT, WAL_DELETE or WAL_MAP (a WalMapRecord as its value, no key) */
	uint8		flags;			/* WAL_FLAG_* */
	uint16		key_len;		/* 4 + user's bytes */
	uint32		value_len;
} WalTxnChange;
static_assert(sizeof(WalTxnChange) == 8, "a change's head");

/* WalChange -- a change as it stands in a record; pointers into the record's body */
typedef struct WalChange
{
	uint8		type;
	uint8		flags;
	uint16		key_len;
	uint64		expiry;			/* 0: none */
	const uint8 *key;
	const uint8 *value;
	uint64		value_len;
} WalChange;

typedef struct WalSegmentHeader
{
	uint64		magic;
	uint32		version;
	uint32		timeline;
	uint64		system_id;
	uint64		first_lsn;
	uint64		segment_size;
	uint64		seed;			/* random; no client can see it */
	uint64		continues_lsn;	/* end of the log that this segment goes on from: first_lsn, or less after a start */
	uint64		ring_size;		/* wal_buffers of the run that wrote it */
	uint64		created_wall_us;
	uint32		reserved;
	uint32		crc;			/* of all before */
} WalSegmentHeader;
static_assert(sizeof(WalSegmentHeader) == 80, "segment header");

extern void wal_segment_file_name(Lsn first_lsn, char *name, size_t size);	/* "0000000004000000" */
extern bool wal_segment_parse_name(const char *name, Lsn *first_lsn);
/* wal_record_crc -- as the format says; body is given as running crc of the body (0-started). */
extern uint32 wal_record_crc(uint32 body_crc, const WalRecordHeader *h, uint64 seed);
extern void wal_segment_header_seal(WalSegmentHeader *h);
extern bool wal_segment_header_valid(const WalSegmentHeader *h, const char **why);
/*
 * wal_map_changed -- what a MAP record means for a database; false: nothing.
 * *swapped_with: the one that it changed places with; DATABASE_COUNT: it was emptied.
 */
extern bool wal_map_changed(const WalMapRecord *map, uint32 db, uint32 *swapped_with) attribute_must_check;
/* wal_change_tree -- the tree of a PUT's or DELETE's key; the user's bytes follow. */
extern uint32 wal_change_tree(const WalChange *change);
#define WAL_TREE_BYTES 4
/*
 * wal_next_change -- the changes of a PUT, DELETE, MAP, CLOCK (its value) or TXN record, one after the
 * other: *at is 0 before the first.  False: there are no more; *bad: the body is not what its header says.
 */
extern bool wal_next_change(const WalRecordHeader *h, const uint8 *body, size_t body_len, size_t *at, WalChange *out, bool *bad);
extern const char *wal_type_name(uint8 type);

#endif
