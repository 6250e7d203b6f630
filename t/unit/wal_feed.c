/*
 * wal_feed.c -- reading the log while it is being written: out of the ring, out of
 * the files, over borders and gaps, and what is not there any more.
 *
 * Everything that a feed gives is compared with what was written: position, length,
 * checksum of the body.
 */
#include "unit_wal.h"

#include "access/wal/wal_feed.h"
#include "access/wal/wal_keep.h"
#include "common/crc32c.h"
#include "storage/ipc/proc.h"
#include "utils/settings.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING (1 * MIB)
#define FIRST UNIT_SEGMENT

static int
setup_with(int method)
{
	set_io_method = method;
	set_wal_direct_io = true;
	set_wal_segments_ahead = 2;
	set_wal_keep_size = (int64) GIB;
	unit_dir_make();
	unit_log_begin(RING, UNIT_SEGMENT);
	unit_run_start(FIRST, FIRST);
	my_slot = proc_slot(PROC_WALWRITER);
	walwriter_open();
	my_slot = proc_slot(UNIT_FIRST_WORKER);
	return 0;
}

static int
setup(void **state)
{
	(void) state;
	return setup_with(IO_METHOD_SYNC);
}

static int
setup_uring(void **state)
{
	(void) state;
	return setup_with(IO_METHOD_IO_URING);
}

static int
teardown(void **state)
{
	(void) state;
	wal__feeds_close();
	wal__writer_close();
	unit_log_end();
	unit_dir_remove();
	return 0;
}

static bool waited;				/* for a read */

/* next -- as wal_feed_next, waiting for reads and for further goes. */
static WalFeedStatus
next(WalFeed *f, WalRecord *r)
{
	for (;;)
	{
		WalFeedStatus status = wal_feed_next(f, r);

		if (status == WAL_FEED_READING)
		{
			waited = true;
			while (!wal_feed_ready(f))
				wal_feed_poll();
		}
		else if (status != WAL_FEED_AGAIN)
			return status;
	}
}

static void
assert_record(const WalRecord *r, const UnitRecord *want)
{
	UnitRecord	got = {r->start, r->end, r->header->type, r->body_len, crc32c_extend(0, r->body, r->body_len)};

	unit_assert_same(&got, want);
}

/* expect -- the feed gives w[from, to), and nothing more if that is the end. */
static void
expect(WalFeed *f, const UnitRecords *w, size_t from, size_t to)
{
	WalRecord	r;

	for (size_t i = from; i < to; i++)
	{
		assert_int_equal(next(f, &r), WAL_FEED_RECORD);
		assert_record(&r, &w->at[i]);
		assert_true(wal_feed_at(f) == r.end);
	}
	if (to == w->count)
		assert_int_equal(next(f, &r), WAL_FEED_END);
}

/* write_some -- records of any length, to the end of the ring's patience, flushed. */
static void
write_some(int count, uint32 max, UnitRecords *w)
{
	for (int i = 0; i < count; i++)
	{
		unit_prepare_all();
		(void) unit_write((uint32) (8 + unit_random() % max), w);
		if (unit_random() % 4 == 0 || wal_insert_lsn() - wal_flushed_lsn() > RING / 2)
			unit_flush();
	}
	unit_flush();
}

/* a feed that keeps up, through many rounds of the ring */
static void
test_ring(void **state)
{
	UnitRecords w = {0};
	WalFeed    *f = wal_feed_open(FIRST);
	size_t		seen = 0;
	WalRecord	r;

	(void) state;
	assert_int_equal(next(f, &r), WAL_FEED_END);
	for (int round = 0; round < 200 * unit_factor(); round++)
	{
		write_some(1 + (int) (unit_random() % 20), unit_random() % 8 == 0 ? 100000 : 3000, &w);
		expect(f, &w, seen, w.count);
		seen = w.count;
	}
	assert_true(wal_flushed_lsn() > FIRST + 4 * RING);
	wal_feed_close(f);
	unit_records_free(&w);
}

/* feeds that come late, from everywhere: files first, then the ring */
static void
test_files(void **state)
{
	UnitRecords w = {0};

	(void) state;
	waited = false;
	write_some(600 * unit_factor(), 20000, &w);
	write_some(20, (uint32) (RING / 4 - 4096), &w);
	write_some(200, 500, &w);
	for (int i = 0; i < 30; i++)
	{
		size_t		from = i == 0 ? 0 : unit_random() % w.count;
		WalFeed    *f = wal_feed_open(w.at[from].start);

		expect(f, &w, from, w.count);
		wal_feed_close(f);
	}
	/* nobody would tell an event loop that a plain call has ended: it has before the feed says anything */
	if (set_io_method == IO_METHOD_SYNC)
		assert_false(waited);
	unit_records_free(&w);
}

/* records that end and begin exactly at borders of segments, of the ring, of blocks */
static void
test_borders(void **state)
{
	UnitRecords w = {0};
	WalFeed    *f;

	(void) state;
	for (int i = 0; i < 40; i++)
	{
		Lsn			insert = wal_insert_lsn();
		Lsn			border = AlignUp(insert + WAL_RECORD_HEADER + 8, i % 2 ? UNIT_SEGMENT : WAL_BLOCK);
		static const int offsets[] = {0, -8, 8, -16, 16, 24, -24, -32};
		uint64		length = border - insert + (uint64) (int64) offsets[i % 8];

		unit_prepare_all();
		while (length > RING / 4)
		{
			(void) unit_write((uint32) (RING / 8 - WAL_RECORD_HEADER), &w);
			length -= RING / 8;
			unit_flush();
			unit_prepare_all();
		}
		if (length < WAL_RECORD_HEADER)
			length += 64;
		(void) unit_write((uint32) (length - WAL_RECORD_HEADER), &w);
		unit_flush();
	}
	f = wal_feed_open(FIRST);
	expect(f, &w, 0, w.count);
	wal_feed_close(f);
	f = wal_feed_open(LSN_NONE);
	expect(f, &w, 0, w.count);
	wal_feed_close(f);
	unit_records_free(&w);
}

/* a position inside a record is none, whatever the bytes there say */
static void
test_positions(void **state)
{
	UnitRecords w = {0};
	WalRecord	r;
	uint8		body[4096];
	Lsn			at = wal_insert_lsn() + WAL_RECORD_HEADER + 512;
	WalRecordHeader forged = {.length = 64, .lsn = at, .type = WAL_PUT, .key_len = 4};
	UnitRecord	real;

	(void) state;
	memset(body, 0, sizeof(body));
	/* all is right but the seed, which nobody knows */
	forged.crc = wal_record_crc(crc32c_extend(0, body + 512 + WAL_RECORD_HEADER, 64 - WAL_RECORD_HEADER), &forged, 12345);
	memcpy(body + 512, &forged, sizeof(forged));
	real = unit_write_bytes(WAL_PUT, body, sizeof(body), &w);
	(void) unit_write(100, &w);
	unit_flush();
	for (int far = 0; far < 2; far++)
	{
		for (Lsn lsn = real.start + 1; lsn < real.end; lsn += lsn % 64 == 0 ? 8 : 1)
		{
			WalFeed    *f = wal_feed_open(lsn);

			assert_int_equal(next(f, &r), WAL_FEED_NO_RECORD);
			assert_true(wal_feed_at(f) == lsn);
			wal_feed_close(f);
		}
		write_some(30, 100000, &w);		/* and now out of a file */
		write_some(30, 100000, &w);
		assert_true(wal_insert_lsn() > real.end + RING);
	}
	for (int i = 0; i < 3; i++)
	{
		WalFeed    *f = wal_feed_open(i == 0 ? wal_insert_lsn() + 8 : i == 1 ? FIRST - 8 : 8);

		assert_int_equal(next(f, &r), i == 0 ? WAL_FEED_BEYOND : WAL_FEED_COMPACTED);
		wal_feed_close(f);
	}
	unit_records_free(&w);
}

/* what is reserved and not flushed may be asked for, and is not given */
static void
test_not_durable(void **state)
{
	UnitRecords w = {0};
	WalFeed    *f;
	WalRecord	r;

	(void) state;
	(void) unit_write(100, &w);
	unit_flush();
	(void) unit_write(100, &w);
	(void) unit_write(100, &w);
	f = wal_feed_open(FIRST);
	assert_int_equal(next(f, &r), WAL_FEED_RECORD);
	assert_int_equal(next(f, &r), WAL_FEED_END);
	wal_feed_close(f);
	f = wal_feed_open(w.at[2].start);
	assert_int_equal(next(f, &r), WAL_FEED_END);
	unit_flush();
	expect(f, &w, 2, 3);
	wal_feed_close(f);
	unit_records_free(&w);
}

/* segments go while a feed stands in them, and their files are used again */
static void
test_recycled(void **state)
{
	UnitRecords w = {0};
	WalFeed    *f = wal_feed_open(FIRST);
	WalFeed    *other = wal_feed_open(FIRST);
	WalFeed    *oldest;
	WalRecord	r;
	size_t		got = 0;
	size_t		first = 0;
	WalFeedStatus status;

	(void) state;
	write_some(300, 20000, &w);
	expect(f, &w, 0, 20);
	expect(other, &w, 0, 5);
	assert_true(wal_segments_recycle(w.at[200].start) > 0);
	assert_true(wal_feed_oldest() == AlignDown(w.at[200].start, UNIT_SEGMENT));
	/* the spares become segments again, and are written to */
	write_some(300, 20000, &w);
	/* what its window still holds may be given; nothing wrong ever */
	for (got = 20; (status = next(f, &r)) == WAL_FEED_RECORD; got++)
		assert_record(&r, &w.at[got]);
	assert_int_equal(status, WAL_FEED_COMPACTED);
	assert_true(wal_feed_at(f) < wal_feed_oldest());
	for (got = 5; (status = next(other, &r)) == WAL_FEED_RECORD; got++)
		assert_record(&r, &w.at[got]);
	assert_int_equal(status, WAL_FEED_COMPACTED);
	wal_feed_close(f);
	wal_feed_close(other);
	/* the oldest record that is there whole */
	while (w.at[first].start < wal_feed_oldest())
		first++;
	oldest = wal_feed_open(LSN_NONE);
	expect(oldest, &w, first, w.count);
	wal_feed_close(oldest);
	unit_records_free(&w);
}

/* the end of a run, the begin of the next one, and what lies between */
static void
test_gaps(void **state)
{
	UnitRecords w = {0};
	UnitRecords redone = {0};
	WalGap		gap[3];
	WalFeed    *f;
	WalRecord	r;
	Lsn			go_on;

	(void) state;
	for (int run = 0; run < 3; run++)
	{
		if (run != 1)
			write_some(100, 30000, &w);	/* a run that writes nothing lies between */
		gap[run].from = wal_insert_lsn();
		wal__writer_close();
		wal__feeds_close();
		redone.count = 0;
		unit_next_run(FIRST, wal_flushed_lsn(), &redone);
		gap[run].to = wal_insert_lsn();
		assert_true(gap[run].to > gap[run].from + RING);
		wal_places_set(gap, (uint32) run + 1);
		my_slot = proc_slot(PROC_WALWRITER);
		walwriter_open();
		my_slot = proc_slot(UNIT_FIRST_WORKER);
	}
	write_some(100, 30000, &w);
	f = wal_feed_open(FIRST);
	expect(f, &w, 0, w.count);
	wal_feed_close(f);
	for (int run = 0; run < 3; run++)
	{
		const Lsn	inside[] = {gap[run].from + 8, gap[run].from + RING / 2, gap[run].to - 8};
		const Lsn	good[] = {gap[run].from, gap[run].to};
		size_t		at = 0;

		while (at < w.count && w.at[at].start < gap[run].from)
			at++;
		for (size_t i = 0; i < lengthof(inside); i++)
		{
			f = wal_feed_open(inside[i]);
			assert_int_equal(next(f, &r), WAL_FEED_LOST);
			assert_int_equal(wal_place(inside[i], &go_on), WAL_PLACE_GAP);
			assert_true(go_on == gap[run].to);
			wal_feed_close(f);
		}
		for (size_t i = 0; i < lengthof(good); i++)
		{
			assert_int_equal(wal_place(good[i], &go_on), WAL_PLACE_LOG);
			f = wal_feed_open(good[i]);
			expect(f, &w, at, w.count);
			wal_feed_close(f);
		}
	}
	unit_records_free(&redone);
	unit_records_free(&w);
}

/* a full list has forgotten older gaps: below it nothing is known */
static void
test_older(void **state)
{
	WalGap		gap[WAL_GAPS];
	WalFeed    *f;
	WalRecord	r;
	Lsn			go_on;

	(void) state;
	for (uint32 i = 0; i < WAL_GAPS; i++)
		gap[i] = (WalGap) {FIRST * 2 + 1000 * i, FIRST * 2 + 1000 * i + 500};
	wal_places_set(gap, WAL_GAPS - 1);
	assert_int_equal(wal_place(FIRST, &go_on), WAL_PLACE_LOG);
	wal_places_set(gap, WAL_GAPS);
	assert_int_equal(wal_place(FIRST, &go_on), WAL_PLACE_OLDER);
	assert_true(go_on == gap[0].from && wal_feed_oldest() == gap[0].from);
	assert_int_equal(wal_place(gap[0].from, &go_on), WAL_PLACE_LOG);
	f = wal_feed_open(FIRST);
	assert_int_equal(next(f, &r), WAL_FEED_LOST);
	wal_feed_close(f);
}

/* a flipped bit in a segment that is read is an error, told with its place, and never a record */
static void
test_damage(void **state)
{
	UnitRecords w = {0};
	WalFeed    *f;
	WalRecord	r;
	uint8		byte;
	Lsn			at;

	(void) state;
	write_some(300, 20000, &w);
	assert_true(w.at[10].end + RING < wal_insert_lsn());
	at = w.at[10].start + 100;
	unit_peek(FIRST, WAL_HEADER_SIZE + at - FIRST, &byte, 1);
	byte ^= 4;
	unit_edit(FIRST, WAL_HEADER_SIZE + at - FIRST, &byte, 1);
	f = wal_feed_open(FIRST);
	expect(f, &w, 0, 10);
	assert_int_equal(next(f, &r), WAL_FEED_ERROR);
	assert_non_null(strstr(wal_feed_error(f), "the log is damaged at "));
	wal_feed_close(f);
	/* the header */
	unit_peek(FIRST, 20, &byte, 1);
	byte ^= 4;
	unit_edit(FIRST, 20, &byte, 1);
	f = wal_feed_open(FIRST);
	assert_int_equal(next(f, &r), WAL_FEED_ERROR);
	assert_non_null(strstr(wal_feed_error(f), "is damaged at offset 0"));
	wal_feed_close(f);
	assert_int_equal(remove(unit_segment_path(FIRST)), 0);
	f = wal_feed_open(FIRST);
	assert_int_equal(next(f, &r), WAL_FEED_ERROR);
	assert_non_null(strstr(wal_feed_error(f), "could not open log segment"));
	wal_feed_close(f);
	unit_records_free(&w);
}

/* a feed is closed while its read is under way */
static void
test_closed_reading(void **state)
{
	UnitRecords w = {0};
	WalRecord	r;

	(void) state;
	write_some(300, 20000, &w);
	for (int i = 0; i < 50; i++)
	{
		WalFeed    *f = wal_feed_open(w.at[unit_random() % 50].start);

		for (uint64 goes = unit_random() % 4; goes > 0; goes--)
			(void) !wal_feed_next(f, &r);
		wal_feed_close(f);
	}
	while (wal_feed_in_flight() > 0)
		wal_feed_poll();
	unit_records_free(&w);
}

/* ---- overtaken: a reader that is slower than the writer ---- */

typedef struct Chase
{
	_Atomic uint64 count;		/* records that are in 'at' */
	UnitRecord *at;
	_Atomic bool done;
	uint64		read;
	uint64		seed;			/* of the reader's own dice */
	bool		good;
} Chase;

/* chase_read -- whatever happens to the ring meanwhile, each record is the one that was written. */
static void *
chase_read(void *arg)
{
	Chase	   *c = arg;
	uint64		at = 0;
	WalFeed    *f = wal_feed_open(FIRST);
	WalRecord	r;

	c->good = true;
	while (c->good)
	{
		bool		done = atomic_load(&c->done);
		WalFeedStatus status = next(f, &r);

		if (status == WAL_FEED_END && done && at == atomic_load(&c->count))
			break;
		if (status == WAL_FEED_END)
		{
			sched_yield();
			continue;
		}
		while (atomic_load(&c->count) <= at)
			sched_yield();
		c->good = status == WAL_FEED_RECORD && r.start == c->at[at].start && r.body_len == c->at[at].body_len
			&& crc32c_extend(0, r.body, r.body_len) == c->at[at].body_crc;
		at++;
		c->read++;
		/* now and then it is left behind */
		c->seed = c->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		if ((c->seed >> 33) % 50 == 0)
			for (uint64 i = (c->seed >> 40) % 2000; i > 0; i--)
				sched_yield();
	}
	wal_feed_close(f);
	wal__feeds_close();
	return NULL;
}

static void
test_overtaken(void **state)
{
	size_t		count = (size_t) (4000 * unit_factor());
	Chase		c = {.at = calloc(count, sizeof(UnitRecord)), .seed = unit_random()};
	pthread_t	reader;

	(void) state;
	assert_non_null(c.at);
	wal__writer_close();
	unit_threads_start();
	assert_int_equal(pthread_create(&reader, NULL, chase_read, &c), 0);
	for (size_t i = 0; i < count; i++)
	{
		uint64		body[2048];
		uint32		len = (uint32) (8 + unit_random() % (sizeof(body) - 8));

		for (size_t k = 0; k < len / 8 + 1 && k < lengthof(body); k++)
			body[k] = i * 1000003 + k;
		c.at[i] = unit_write_bytes(WAL_PUT, body, len, NULL);
		atomic_store(&c.count, i + 1);
		if (i % 16 == 0)
			wal_want(c.at[i].end, WAL_NOW);
	}
	wal_want(wal_insert_lsn(), WAL_NOW);
	assert_true(wal_wait_flushed(wal_insert_lsn(), 20000));
	atomic_store(&c.done, true);
	pthread_join(reader, NULL);
	unit_threads_stop();
	assert_true(c.good);
	assert_int_equal(c.read, count);
	my_slot = proc_slot(PROC_WALWRITER);
	walwriter_open();
	my_slot = proc_slot(UNIT_FIRST_WORKER);
	free(c.at);
}

/* ---- what is kept for consumers ---- */

static void
test_keep(void **state)
{
	UnitRecords w = {0};
	uint64		change;
	Lsn			position;
	Lsn			below;

	(void) state;
	write_some(600, 20000, &w);
	below = w.at[500].start;
	assert_true(wal_keep_from(below) == below);
	assert_int_equal(wal_consumer_create("a", w.at[100].start, &change), WAL_CONSUMER_OK);
	assert_int_equal(wal_consumer_create("b", w.at[200].start, &change), WAL_CONSUMER_OK);
	assert_true(wal_keep_from(below) == w.at[100].start);
	assert_int_equal(wal_consumer_ack("a", w.at[300].start, &position), WAL_CONSUMER_OK);
	/* the file is written first, so that a crash finds what the log was kept for */
	assert_true(wal_keep_from(below) == w.at[200].start);
	assert_int_equal(wal_consumer_ack("b", w.at[599].end, &position), WAL_CONSUMER_OK);
	assert_true(wal_keep_from(below) == w.at[300].start);
	/* a file that cannot be written: the log is kept for what it says, too */
	assert_int_equal(mkdir(unit_path("consumers.tmp"), 0700), 0);
	assert_int_equal(wal_consumer_ack("a", w.at[400].start, &position), WAL_CONSUMER_OK);
	assert_true(wal_keep_from(below) == w.at[300].start);
	assert_int_equal(rmdir(unit_path("consumers.tmp")), 0);
	assert_true(wal_keep_from(below) == w.at[400].start);
	/* who is too far behind holds nothing, and nobody else back */
	set_wal_keep_size = (int64) (wal_insert_lsn() - w.at[450].start);
	assert_true(wal_keep_from(below) == below);
	assert_int_equal(wal_consumer_create("c", w.at[460].start, &change), WAL_CONSUMER_OK);
	assert_true(wal_keep_from(below) == w.at[460].start);
	set_wal_keep_size = 0;
	assert_true(wal_keep_from(below) == below);
	unit_records_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup_uring, teardown),
		cmocka_unit_test_setup_teardown(test_borders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_positions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_durable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recycled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recycled, setup_uring, teardown),
		cmocka_unit_test_setup_teardown(test_gaps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_older, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed_reading, setup_uring, teardown),
		cmocka_unit_test_setup_teardown(test_overtaken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overtaken, setup_uring, teardown),
		cmocka_unit_test_setup_teardown(test_keep, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
