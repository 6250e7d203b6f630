/*
 * wal_tail.c -- the end of the log, torn or damaged, edited byte by byte.
 *
 * Torn: in a log whose records were all written before anything was flushed,
 * nothing can prove that a defect is damage; so every defect, at every byte, must
 * be taken for the end, there and nowhere else, with what stood before it whole.
 *
 * Damaged: the same defects below a record that was written later than a flush,
 * or below what the control slot says, must refuse the start, with file, offset
 * and advice.
 */
#include "unit_wal.h"

#include "common/crc32c.h"
#include "storage/ipc/proc.h"
#include "utils/settings.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING (1 * MIB)
#define FIRST UNIT_SEGMENT

/* nothing here has two threads: under ThreadSanitizer, slow in scanning, one byte in four is enough */
#if defined(__SANITIZE_THREAD__)
#define BYTE_STEP 4
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BYTE_STEP 4
#endif
#endif
#ifndef BYTE_STEP
#define BYTE_STEP 1
#endif

static int
setup(void **state)
{
	(void) state;
	set_io_method = IO_METHOD_SYNC;	/* thousands of short replays: no ring to set up for each */
	set_wal_direct_io = true;
	set_wal_segments_ahead = 2;
	unit_dir_make();
	unit_log_begin(RING, UNIT_SEGMENT);
	unit_run_start(FIRST, FIRST);
	my_slot = proc_slot(PROC_WALWRITER);
	walwriter_open();
	my_slot = proc_slot(UNIT_FIRST_WORKER);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	wal__writer_close();
	unit_log_end();
	unit_dir_remove();
	return 0;
}

/* done_writing -- nobody holds the files any more */
static void
done_writing(void)
{
	wal__writer_close();
	wal__segments_close();
}

static uint64
offset_of(Lsn lsn)
{
	return WAL_HEADER_SIZE + lsn % UNIT_SEGMENT;
}

/* ends_at -- the log ends behind the first 'count' records of w, for that reason; they are whole. */
static void
ends_at(const UnitRecords *w, size_t count, const char *reason)
{
	UnitRecords r = {0};

	unit_redo(FIRST, FIRST, &r);
	assert_int_equal(r.count, count);
	for (size_t i = 0; i < count; i++)
		unit_assert_same(&r.at[i], &w->at[i]);
	assert_true(r.result.end == (count < w->count ? w->at[count].start : w->at[count - 1].end));
	if (reason != NULL)
		assert_string_equal(r.result.end_reason, reason);
	unit_records_free(&r);
}

typedef struct Replay
{
	Lsn			from;
	Lsn			control_flushed;
} Replay;

static void
replay(void *arg)
{
	const Replay *p = arg;
	UnitRecords r = {0};

	unit_redo(p->from, p->control_flushed, &r);
}

/* refused -- the start is refused, and says these texts */
#define refused(child, control, ...) \
	do { \
		Replay replay_ = {FIRST, control}; \
		unit_child(child, replay, &replay_); \
		unit_assert_fatal(child, __VA_ARGS__, NULL); \
	} while (0)

/* ---- torn ---- */

typedef enum Defect { TRUNCATED, ZEROED, GARBAGE, FLIPPED, DEFECTS } Defect;

/* spoil -- segment file (image of it in memory) from offset 'at' on, for a record that ends at 'end' */
static void
spoil(uint8 *image, Defect defect, uint64 at, uint64 end, uint64 *size)
{
	switch (defect)
	{
		case TRUNCATED:
			*size = at;
			break;
		case ZEROED:
			memset(image + at, 0, *size - at);
			break;
		case GARBAGE:
			for (uint64 i = at; i < Max(end, at + 64); i++)
				image[i] = (uint8) (unit_random() | 1);
			break;
		default:
			image[at] ^= (uint8) (1 << unit_random() % 8);
			break;
	}
}

/*
 * Every byte of the last records x every defect.  Files in memory would hide what
 * direct reads see, so each case is written; the segment is small.
 */
static void
test_every_byte(void **state)
{
	UnitRecords w = {0};
	uint8	   *good = malloc(WAL_HEADER_SIZE + UNIT_SEGMENT);
	uint8	   *bad = malloc(WAL_HEADER_SIZE + UNIT_SEGMENT);
	size_t		file_bytes = WAL_HEADER_SIZE + UNIT_SEGMENT;
	uint64		cases = 0;

	(void) state;
	for (int i = 0; i < 12; i++)
		(void) unit_write(10 + (uint32) i * 3, &w);
	unit_flush();
	done_writing();
	ends_at(&w, w.count, "zero length");
	unit_peek(FIRST, 0, good, file_bytes);
	for (size_t i = w.count - 3; i < w.count; i++)
		for (uint64 at = offset_of(w.at[i].start); at < offset_of(w.at[i].end); at += BYTE_STEP)
			for (int d = 0; d < DEFECTS; d++)
			{
				/* padding is not covered: a defect there is one of the next record, if it reaches it */
				bool		padding = at >= offset_of(w.at[i].start) + WAL_RECORD_HEADER + w.at[i].body_len;
				uint64		size = file_bytes;
				uint64		from = AlignDown(offset_of(w.at[0].start), WAL_BLOCK);
				size_t		left = i + padding;

				memcpy(bad, good, file_bytes);
				spoil(bad, (Defect) d, at, offset_of(w.at[i].end), &size);
				if (padding && d == FLIPPED)
					left = w.count;
				/* zeros where zeros were: nothing was torn off this record, or of all there is */
				if (d == ZEROED && memcmp(bad + at, good + at, offset_of(w.at[i].end) - at) == 0)
					left = i + 1;
				if (d == ZEROED && memcmp(bad + from, good + from, WAL_BLOCK) == 0)
					left = w.count;
				unit_edit(FIRST, from, bad + from, WAL_BLOCK);
				if (d == TRUNCATED)
					unit_truncate(FIRST, size);
				ends_at(&w, Min(left, w.count), d == TRUNCATED && !padding ? "end of file" : NULL);
				if (d == TRUNCATED)
					unit_edit(FIRST, from, good + from, file_bytes - from);
				cases++;
			}
	print_message("# %llu cases\n", (unsigned long long) cases);
	unit_records_free(&w);
	free(good);
	free(bad);
}

/* every reason has its own text */
static void
test_reasons(void **state)
{
	UnitRecords w = {0};
	uint64		at;
	WalRecordHeader h;
	WalRecordHeader bad;
	UnitChild	c;
	WalSegmentHeader segment;

	(void) state;
	for (int i = 0; i < 5; i++)
		(void) unit_write(100, &w);
	unit_flush();
	done_writing();
	at = offset_of(w.at[4].start);
	unit_peek(FIRST, at, &h, sizeof(h));
	unit_peek(FIRST, 0, &segment, sizeof(segment));
#define CASE(change, reason) \
	do { \
		bad = h; \
		change; \
		unit_edit(FIRST, at, &bad, sizeof(bad)); \
		ends_at(&w, 4, reason); \
	} while (0)
	CASE(bad.length = 0, "zero length");
	CASE(bad.length = 23, "length too short");
	CASE(bad.length = RING / 4 + 1, "length too long");
	CASE(bad.length = UINT32_MAX, "length too long");
	CASE(bad.length += 8, "checksum mismatch");
	CASE(bad.crc ^= 1, "checksum mismatch");
	CASE(bad.lsn -= 4 * UNIT_SEGMENT, "wrong position in record");
	CASE(bad.lsn = FIRST - UNIT_SEGMENT + 64, "old record of a recycled segment");
	CASE(bad.lsn += 8, "wrong position in record");
	CASE(bad.flushed_back = UINT32_MAX, "wrong flushed position in record");
	CASE(bad.flushed_back++, "checksum mismatch");
	CASE(bad.type = 77, "unknown type");
	CASE(bad.key_len ^= 0x100, "checksum mismatch");
	/* whole, but of a type that nobody knows: no end, but another version's log */
	bad = h;
	bad.type = 77;
	{
		uint8		body[100];

		unit_peek(FIRST, at + 24, body, 100);
		bad.crc = wal_record_crc(crc32c_extend(0, body, 100), &bad, segment.seed);
	}
	unit_edit(FIRST, at, &bad, sizeof(bad));
	refused(&c, FIRST, "unknown type 77", "0/100200", "offset 4608", "version of artery that wrote it");
	/* the last byte of the segment is used and there is no next one */
	unit_edit(FIRST, at, &h, sizeof(h));
	ends_at(&w, 5, "zero length");
	unit_records_free(&w);
}

/* a record of the segment's life before, at the right offset, valid then: refused by its position, and if a
 * client could forge the position, by the seed */
static void
test_recycled(void **state)
{
	UnitRecords w = {0};
	uint8	   *old = malloc(400);
	WalRecordHeader h;
	WalSegmentHeader segment;

	(void) state;
	for (int i = 0; i < 3; i++)
		(void) unit_write(100, &w);
	unit_flush();
	done_writing();
	unit_peek(FIRST, offset_of(w.at[2].start), old, w.at[2].end - w.at[2].start);
	unit_peek(FIRST, 0, &segment, sizeof(segment));
	memcpy(&h, old, sizeof(h));
	/* the life before: the same bytes, sealed rightly for one segment earlier with that life's seed */
	h.lsn = w.at[2].end - UNIT_SEGMENT;
	h.crc = wal_record_crc(crc32c_extend(0, old + 24, 100), &h, 12345);
	memcpy(old, &h, sizeof(h));
	unit_edit(FIRST, offset_of(w.at[2].end), old, w.at[2].end - w.at[2].start);
	ends_at(&w, 3, "old record of a recycled segment");
	/* forged by one who knows everything but the seed */
	h.lsn = w.at[2].end;
	h.crc = wal_record_crc(crc32c_extend(0, old + 24, 100), &h, segment.seed + 1);
	memcpy(old, &h, sizeof(h));
	unit_edit(FIRST, offset_of(w.at[2].end), old, w.at[2].end - w.at[2].start);
	ends_at(&w, 3, "checksum mismatch");
	/* with the seed it would be one: the test's own eyes are open */
	h.crc = wal_record_crc(crc32c_extend(0, old + 24, 100), &h, segment.seed);
	memcpy(old, &h, sizeof(h));
	unit_edit(FIRST, offset_of(w.at[2].end), old, w.at[2].end - w.at[2].start);
	{
		UnitRecords r = {0};

		unit_redo(FIRST, FIRST, &r);
		assert_int_equal(r.count, 4);
		unit_records_free(&r);
	}
	unit_records_free(&w);
	free(old);
}

/*
 * Torn over borders: the last record lies across blocks, the border of two
 * segments and the end of the ring; any one of its blocks is missing.
 */
static void
test_borders(void **state)
{
	static const uint8 zero[WAL_BLOCK];
	UnitRecords w = {0};
	Lsn			border = FIRST + UNIT_SEGMENT;

	(void) state;
	unit_prepare_all();
	while (wal_insert_lsn() + 200000 < border - 10000)
		(void) unit_write(100000, &w);
	(void) unit_write((uint32) (border - 8 - WAL_RECORD_HEADER - wal_insert_lsn()), &w);	/* ends 8 bytes before the border */
	/* flushed so that the ring has room for the rest, which crosses its end at the same place */
	unit_flush();
	(void) unit_write(20000, &w);	/* header across the border */
	unit_flush();
	done_writing();
	ends_at(&w, w.count, "zero length");
	for (Lsn block = AlignDown(w.at[w.count - 1].start, WAL_BLOCK); block < w.at[w.count - 1].end; block += WAL_BLOCK)
	{
		Lsn			segment = AlignDown(block, UNIT_SEGMENT);
		uint8		saved[WAL_BLOCK];
		/* the first block holds the end of the record before: only what follows is torn */
		uint64		from = block < w.at[w.count - 1].start ? w.at[w.count - 1].start - block : 0;

		unit_peek(segment, offset_of(block), saved, WAL_BLOCK);
		unit_edit(segment, offset_of(block) + from, zero, WAL_BLOCK - from);
		ends_at(&w, w.count - 1, NULL);
		unit_edit(segment, offset_of(block), saved, WAL_BLOCK);
	}
	/* the second file is cut inside the record, or is not there at all */
	unit_truncate(border, WAL_HEADER_SIZE + 5000);
	ends_at(&w, w.count - 1, "end of file");
	unit_truncate(border, WAL_HEADER_SIZE);
	ends_at(&w, w.count - 1, "end of file");
	for (Lsn segment = border; unit_exists(unit_segment_path(segment)); segment += UNIT_SEGMENT)
		assert_int_equal(unlink(unit_segment_path(segment)), 0);
	ends_at(&w, w.count - 1, "no further segment");
	unit_records_free(&w);
}

/* the log ends exactly with its last segment */
static void
test_full_segment(void **state)
{
	UnitRecords w = {0};
	UnitRecords r = {0};

	(void) state;
	for (int i = 0; i < 8; i++)
		(void) unit_write(UNIT_SEGMENT / 8 - WAL_RECORD_HEADER, &w);
	assert_true(wal_insert_lsn() == FIRST + UNIT_SEGMENT);
	unit_flush();
	done_writing();
	unit_redo(FIRST, FIRST, &r);
	assert_int_equal(r.count, 8);
	assert_true(r.result.end == FIRST + UNIT_SEGMENT);
	assert_string_equal(r.result.end_reason, "no further segment");
	/* beyond the position that a lost record may have given out as its end */
	assert_true(r.result.next_start == FIRST + 3 * UNIT_SEGMENT);
	unit_records_free(&w);
	unit_records_free(&r);
}

/* what is behind the tear in the same batch is whole: still a tear, and not replayed */
static void
test_valid_behind_tear(void **state)
{
	UnitRecords w = {0};

	(void) state;
	for (int i = 0; i < 200; i++)
		(void) unit_write(1000, &w);
	unit_flush();
	done_writing();
	unit_flip(FIRST, offset_of(w.at[100].start) + 30);
	ends_at(&w, 100, "checksum mismatch");
	unit_records_free(&w);
}

/* ---- damaged ---- */

/* every byte of a record below a later flush */
static void
test_damage_every_byte(void **state)
{
	UnitRecords w = {0};
	UnitChild	c;
	uint8		good;

	(void) state;
	for (int i = 0; i < 4; i++)
		(void) unit_write(16, &w);
	unit_flush();
	(void) unit_write(16, &w);	/* carries flushed = its own start */
	unit_flush();
	done_writing();
	ends_at(&w, 5, "zero length");
	for (uint64 at = offset_of(w.at[1].start); at < offset_of(w.at[1].end); at += 1 + unit_random() % 2)
	{
		uint8		bad;

		unit_peek(FIRST, at, &good, 1);
		bad = good ^ (uint8) (1 << unit_random() % 8);
		unit_edit(FIRST, at, &bad, 1);
		refused(&c, FIRST, "the log is damaged at 0/100028 (", "/wal/0000000000100000\", offset 4136)",
				"the record at 0/1000A0 was written when the log was flushed up to 0/1000A0", "Restore the log");
		unit_edit(FIRST, at, &good, 1);
	}
	/* the very last record alone: that cannot be told from a tear */
	unit_flip(FIRST, offset_of(w.at[4].start) + 24);
	ends_at(&w, 4, "checksum mismatch");
	/* unless the control file knows better */
	refused(&c, w.at[4].end, "the log is damaged at 0/1000A0", "the control file says that it was flushed up to 0/1000C8");
	unit_records_free(&w);
}

/* the proof may lie anywhere behind: far away, across pieces of the scan, over a segment's border, behind zeros */
static void
test_damage_far_proof(void **state)
{
	UnitRecords w = {0};
	UnitChild	c;
	Lsn			border = FIRST + UNIT_SEGMENT;
	uint8	   *zero = calloc(1, UNIT_SEGMENT);

	(void) state;
	unit_prepare_all();
	(void) unit_write(3000, &w);
	unit_flush();
	while (wal_insert_lsn() + 150000 < border)
		(void) unit_write(100000, &w);
	(void) unit_write((uint32) (border - 16 - WAL_RECORD_HEADER - wal_insert_lsn()), &w);
	unit_flush();
	(void) unit_write(6000, &w);	/* its header begins 16 bytes before the border */
	unit_flush();
	(void) unit_write(10, &w);
	unit_flush();
	done_writing();
	ends_at(&w, w.count, "zero length");
	/* all of the first segment but that last header is gone */
	unit_edit(FIRST, WAL_HEADER_SIZE, zero, UNIT_SEGMENT - 16);
	refused(&c, FIRST, "the log is damaged at 0/100000 (", "offset 4096): zero length", "the record at 0/1FFFF0 was written when");
	/* that header, too: the proof lies in the next segment */
	unit_edit(FIRST, WAL_HEADER_SIZE, zero, UNIT_SEGMENT);
	refused(&c, FIRST, "the log is damaged at 0/100000 (", "the record at 0/201");
	free(zero);
	unit_records_free(&w);
}

/* bytes that a client wrote into a value look like a record in all but the seed: they prove nothing */
static void
test_forged_proof(void **state)
{
	UnitRecords w = {0};
	uint8		body[2000];
	WalRecordHeader h;
	Lsn			inside;

	(void) state;
	(void) unit_write(100, &w);
	inside = AlignUp(wal_insert_lsn() + WAL_RECORD_HEADER, 8) + 1000;
	memset(body, 'a', sizeof(body));
	h = (WalRecordHeader) {.length = 40, .lsn = inside, .flushed_back = 0, .type = WAL_PUT, .key_len = 4};
	h.crc = wal_record_crc(crc32c_extend(0, body, 16), &h, 0);	/* a client does not know the seed */
	memcpy(body + 1000, &h, sizeof(h));
	(void) unit_write_bytes(WAL_PUT, body, sizeof(body), &w);
	unit_flush();
	done_writing();
	ends_at(&w, 2, "zero length");
	unit_flip(FIRST, offset_of(w.at[1].start) + 30);
	ends_at(&w, 1, "checksum mismatch");
	unit_records_free(&w);
}

/* ---- files that do not belong ---- */

static void
edit_header(Lsn segment, size_t offset, const void *bytes, size_t len, bool seal)
{
	WalSegmentHeader h;

	unit_peek(segment, 0, &h, sizeof(h));
	memcpy((char *) &h + offset, bytes, len);
	if (seal)
		h.crc = crc32c_extend(0, &h, offsetof(WalSegmentHeader, crc));
	unit_edit(segment, 0, &h, sizeof(h));
}

static void
test_headers(void **state)
{
	UnitRecords w = {0};
	UnitChild	c;
	WalSegmentHeader good;
	uint64		other_system = 42;
	uint32		two = 2;
	uint32		other_version = WAL_VERSION + 1;
	uint64		size = 2 * MIB;

	(void) state;
	unit_prepare_all();
	(void) unit_write(100, &w);
	unit_flush();
	done_writing();
	/* a segment ahead of the end counts as much as one in use */
	for (Lsn segment = FIRST; segment <= FIRST + UNIT_SEGMENT; segment += UNIT_SEGMENT)
	{
		char		name[64];

		snprintf(name, sizeof(name), "/wal/%016llX\"", (unsigned long long) segment);
		unit_peek(segment, 0, &good, sizeof(good));
		edit_header(segment, offsetof(WalSegmentHeader, system_id), &other_system, 8, true);
		refused(&c, FIRST, name, "is foreign: its system identifier is 000000000000002a, this directory's is 1122334455667788");
		unit_edit(segment, 0, &good, sizeof(good));
		edit_header(segment, offsetof(WalSegmentHeader, timeline), &two, 4, true);
		refused(&c, FIRST, name, "is of timeline 2, this directory is on timeline 1");
		unit_edit(segment, 0, &good, sizeof(good));
		edit_header(segment, offsetof(WalSegmentHeader, version), &other_version, 4, true);
		refused(&c, FIRST, name, "offset 0", "another format version");
		unit_edit(segment, 0, &good, sizeof(good));
		edit_header(segment, offsetof(WalSegmentHeader, seed), &two, 4, false);
		refused(&c, FIRST, name, "is damaged at offset 0: the checksum of its header is wrong");
		unit_edit(segment, 0, "zero", 4);
		refused(&c, FIRST, name, "does not begin with the mark of a log segment");
		unit_edit(segment, 0, &good, sizeof(good));
		edit_header(segment, offsetof(WalSegmentHeader, segment_size), &size, 8, true);
		/* 3 MiB is no multiple of 2 MiB: impossible by itself; otherwise foreign */
		refused(&c, FIRST, name, segment % size == 0 ? "by its header, the control file says" : "first position");
		unit_edit(segment, 0, &good, sizeof(good));
	}
	/* a file under another's name; and one that is shorter than a header */
	assert_int_equal(rename(unit_segment_path(FIRST + 2 * UNIT_SEGMENT), unit_segment_path(FIRST + 3 * UNIT_SEGMENT)), 0);
	refused(&c, FIRST, "0000000000400000\"", "is not the one that its name says: it begins at 0/300000");
	assert_int_equal(rename(unit_segment_path(FIRST + 3 * UNIT_SEGMENT), unit_segment_path(FIRST + 2 * UNIT_SEGMENT)), 0);
	unit_truncate(FIRST + 2 * UNIT_SEGMENT, 4095);
	refused(&c, FIRST, "0000000000300000\"", "the file is shorter than its header");
	unit_records_free(&w);
}

/* first, middle, last: three different messages, each with the file's name */
static void
test_missing(void **state)
{
	UnitRecords w = {0};
	UnitChild	c;
	UnitChild	last;

	(void) state;
	while (wal_insert_lsn() < FIRST + 3 * UNIT_SEGMENT + 5000)
	{
		unit_prepare_all();
		(void) unit_write(50000, &w);
		unit_flush();
	}
	done_writing();
	ends_at(&w, w.count, "zero length");
	unit_dir_save();
	assert_int_equal(unlink(unit_segment_path(FIRST)), 0);
	refused(&c, FIRST, "/wal/0000000000100000\", in which redo should start at 0/100000, is missing", "Put the file back");
	unit_dir_restore();
	for (Lsn segment = FIRST + UNIT_SEGMENT; segment <= FIRST + 2 * UNIT_SEGMENT; segment += UNIT_SEGMENT)
	{
		char		text[200];

		assert_int_equal(unlink(unit_segment_path(segment)), 0);
		snprintf(text, sizeof(text), "/wal/%016llX\" is missing: redo has come to", (unsigned long long) segment);
		refused(&c, FIRST, text, "and the log goes on behind it in", "Put the file back");
		unit_dir_restore();
	}
	/* the last one in use, with those ahead of it */
	for (Lsn segment = FIRST + 3 * UNIT_SEGMENT; unit_exists(unit_segment_path(segment)); segment += UNIT_SEGMENT)
		assert_int_equal(unlink(unit_segment_path(segment)), 0);
	refused(&last, w.at[w.count - 1].end, "/wal/0000000000400000\" is missing: the log ends at",
			"but the control file says that it was flushed up to", "Put the file back");
	/* all of them */
	unit_dir_restore();
	for (Lsn segment = FIRST; unit_exists(unit_segment_path(segment)); segment += UNIT_SEGMENT)
		assert_int_equal(unlink(unit_segment_path(segment)), 0);
	refused(&c, FIRST, "in which redo should start at 0/100000, is missing");
	unit_records_free(&w);
}

/* somebody still has a segment open and locked: the start waits, says for what, and gives up with advice */
static void
test_locked(void **state)
{
	UnitRecords w = {0};
	UnitChild	c;
	File	   *holder;

	(void) state;
	(void) unit_write(100, &w);
	unit_flush();
	done_writing();
	assert_int_equal(file_open(unit_segment_path(FIRST), FILE_READ, 0, &holder), 0);
	assert_int_equal(file_lock(holder, false), 0);
	wal__lock_timeout_ms = 700;
	refused(&c, FIRST, "waiting for the lock on", "could not lock log segment", "0000000000100000\" within 700 ms", "lsof or fuser");
	file_close(holder);
	ends_at(&w, 1, "zero length");
	unit_records_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reasons, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recycled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_borders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_segment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_valid_behind_tear, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_every_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_far_proof, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forged_proof, setup, teardown),
		cmocka_unit_test_setup_teardown(test_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locked, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
