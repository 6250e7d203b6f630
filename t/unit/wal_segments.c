/*
 * wal_segments.c -- segment files: ready ahead of use, recycled, continued after a
 * stop; a full disk and other failures while one is made.
 */
#include "unit_wal.h"

#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RING (1 * MIB)
#define FIRST UNIT_SEGMENT

static int
setup(void **state)
{
	(void) state;
	set_io_method = IO_METHOD_SYNC;
	set_wal_direct_io = true;
	set_wal_segments_ahead = 2;
	unit_dir_make();
	unit_log_begin(RING, UNIT_SEGMENT);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
#ifdef ARTERY_FAULTS
	file__fault_arm("");
#endif
	wal__writer_close();
	unit_log_end();
	unit_dir_remove();
	return 0;
}

static void
open_writer(void)
{
	wal__writer_close();
	my_slot = proc_slot(PROC_WALWRITER);
	walwriter_open();
	my_slot = proc_slot(UNIT_FIRST_WORKER);
}

static WalSegmentHeader
header_of(Lsn segment)
{
	WalSegmentHeader h;

	unit_peek(segment, 0, &h, sizeof(h));
	return h;
}

typedef struct Names
{
	int			segments;
	int			spares;
	int			others;
	Lsn			lowest;
	Lsn			highest;
} Names;

static void
count_name(const char *name, void *arg)
{
	Names	   *n = arg;
	Lsn			lsn;

	if (wal_segment_parse_name(name, &lsn))
	{
		n->lowest = n->segments == 0 ? lsn : Min(n->lowest, lsn);
		n->highest = Max(n->highest, lsn);
		n->segments++;
	}
	else if (strncmp(name, "spare.", 6) == 0)
		n->spares++;
	else
		n->others++;
}

static Names
names(void)
{
	Names		n = {0};

	assert_int_equal(file_list(unit_path("wal"), count_name, &n), 0);
	return n;
}

/* write_to -- records until insert has passed lsn, everything flushed, segments prepared as needed */
static void
write_to(Lsn lsn, UnitRecords *w)
{
	while (wal_insert_lsn() <= lsn)
	{
		unit_prepare_all();
		(void) unit_write((uint32) (unit_random() % 60000), w);
		unit_flush();
	}
}

static void
test_first(void **state)
{
	WalSegmentHeader h;
	struct stat st;
	const char *why;

	(void) state;
	unit_run_start(FIRST, FIRST);
	h = header_of(FIRST);
	assert_true(wal_segment_header_valid(&h, &why));
	assert_true(h.first_lsn == FIRST && h.continues_lsn == FIRST && h.system_id == UNIT_SYSTEM_ID);
	assert_true(h.timeline == 1 && h.ring_size == RING && h.segment_size == UNIT_SEGMENT && h.seed != 0);
	assert_true(wal_shared->segment[1].seed == h.seed && atomic_load(&wal_shared->segment[1].first_lsn) == FIRST);
	assert_int_equal(stat(unit_segment_path(FIRST), &st), 0);
	assert_int_equal(st.st_size, WAL_HEADER_SIZE + UNIT_SEGMENT);
	assert_true((uint64) st.st_blocks * 512 >= UNIT_SEGMENT);	/* filled, not sparse */
	assert_int_equal(names().others, 0);
}

static void
test_ahead(void **state)
{
	UnitRecords w = {0};
	uint64		seeds[8];
	int			steps = 0;

	(void) state;
	unit_run_start(FIRST, FIRST);
	while (wal_segments_prepare())
		steps++;
	assert_true(steps >= 4);	/* in steps, so that the caller can do other things in between */
	assert_true(atomic_load(&wal_shared->prepared) == FIRST + 3 * UNIT_SEGMENT);
	assert_int_equal(names().segments, 3);
	for (int i = 0; i < 3; i++)
	{
		WalSegmentHeader h = header_of(FIRST + (Lsn) i * UNIT_SEGMENT);

		assert_true(h.continues_lsn == h.first_lsn);
		seeds[i] = h.seed;
		for (int j = 0; j < i; j++)
			assert_true(seeds[i] != seeds[j]);
	}
	/* one more as the log goes on; a record as long as may be always has room ahead of it */
	open_writer();
	write_to(FIRST + UNIT_SEGMENT, &w);
	unit_prepare_all();
	assert_true(atomic_load(&wal_shared->prepared) == AlignDown(wal_insert_lsn(), UNIT_SEGMENT) + 3 * UNIT_SEGMENT);
	set_wal_segments_ahead = 1;
	unit_log_begin(64 * MIB, UNIT_SEGMENT);
	unit_run_start(256 * MIB, 256 * MIB);
	unit_prepare_all();
	assert_true(atomic_load(&wal_shared->prepared) >= 256 * MIB + wal_record_max());
	unit_records_free(&w);
}

/* the table has 256 places: a segment is not entered while the one whose place it takes may still be sealed with */
static void
test_table_bound(void **state)
{
	(void) state;
	set_wal_segments_ahead = 64;
	unit_run_start(FIRST, FIRST);
	atomic_store(&wal_shared->prepared, FIRST + 255 * UNIT_SEGMENT);
	atomic_store(&wal_shared->insert_word, wal__make_word(FIRST + 250 * UNIT_SEGMENT, PROC_SLOT_NONE));
	assert_true(wal_segments_prepare());	/* would be number 256 behind FIRST - 1: free */
	unit_prepare_all();
	assert_true(atomic_load(&wal_shared->prepared) == FIRST + 256 * UNIT_SEGMENT);
	/* the walwriter needs the entry until all of its segment is flushed */
	atomic_store(&wal_shared->completed, FIRST + 2 * UNIT_SEGMENT);
	atomic_store(&wal_shared->flushed, FIRST + UNIT_SEGMENT - 8);
	unit_prepare_all();
	assert_true(atomic_load(&wal_shared->prepared) == FIRST + 256 * UNIT_SEGMENT);
	atomic_store(&wal_shared->flushed, FIRST + UNIT_SEGMENT);
	unit_prepare_all();
	assert_true(atomic_load(&wal_shared->prepared) == FIRST + 257 * UNIT_SEGMENT);
}

/* recycled segments: the log runs on over their old records, and replay is not confused by them */
static void
test_recycle(void **state)
{
	UnitRecords w = {0};
	UnitRecords r = {0};
	Lsn			from = FIRST;
	size_t		first_kept = 0;

	(void) state;
	unit_run_start(FIRST, FIRST);
	open_writer();
	for (int round = 1; round <= 4; round++)
	{
		Lsn			below;

		write_to(FIRST + (Lsn) round * 5 * UNIT_SEGMENT, &w);
		below = w.at[w.count * 9 / 10].start;
		wal_segments_recycle(below);
		assert_true(names().lowest == AlignDown(below, UNIT_SEGMENT));
		assert_true(names().spares <= 3);
		while (w.at[first_kept].start < below)
			first_kept++;
		from = w.at[first_kept].start;
		wal__writer_close();	/* it holds the locks */
		unit_redo(from, wal_flushed_lsn(), &r);
		assert_int_equal(r.count, w.count - first_kept);
		for (size_t i = 0; i < r.count; i++)
			unit_assert_same(&r.at[i], &w.at[first_kept + i]);
		unit_records_free(&r);
		open_writer();
	}
	assert_true(atomic_load(&wal_shared->segments_recycled) >= 8);
	print_message("# %llu made, %llu recycled\n", (unsigned long long) atomic_load(&wal_shared->segments_created),
				  (unsigned long long) atomic_load(&wal_shared->segments_recycled));
	/* nothing below: nothing happens; a spare of another size is thrown away, not used */
	wal_segments_recycle(FIRST);
	assert_int_equal(truncate(unit_path("wal/spare.%d", 1), 5000) == 0 || errno == ENOENT, true);
	write_to(wal_insert_lsn() + 2 * UNIT_SEGMENT, &w);
	wal__writer_close();
	unit_redo(from, wal_flushed_lsn(), &r);
	assert_int_equal(r.count, w.count - first_kept);
	unit_records_free(&r);
	unit_records_free(&w);
}

typedef struct Progress
{
	uint64		records;
	int			calls;
	Lsn			last;
	Lsn			hint_low;
	Lsn			hint_high;
} Progress;

static void
apply_slowly(const WalRecord *record, void *arg)
{
	Progress   *p = arg;

	(void) record;
	if (++p->records % 20 == 0)
		usleep(10000);
}

static void
note_progress(Lsn at, Lsn end_hint, uint64 records, void *arg)
{
	Progress   *p = arg;

	assert_true(at > p->last && at <= end_hint && records <= p->records + 1);
	p->last = at;
	p->hint_low = p->calls == 0 ? end_hint : Min(p->hint_low, end_hint);
	p->hint_high = Max(p->hint_high, end_hint);
	p->calls++;
}

/* progress is told now and then, with a good guess of where it will end: not of the segments that are only prepared */
static void
test_progress(void **state)
{
	UnitRecords w = {0};
	Progress	p = {0};
	char		wal_dir[600];
	WalRedoOptions options = {.wal_dir = wal_dir, .system_id = UNIT_SYSTEM_ID, .timeline = 1, .segment_size = UNIT_SEGMENT,
							  .from = FIRST, .control_flushed = FIRST, .progress = note_progress};
	WalRedoResult result;

	(void) state;
	snprintf(wal_dir, sizeof(wal_dir), "%s", unit_path("wal"));
	unit_run_start(FIRST, FIRST);
	open_writer();
	write_to(FIRST + 12 * UNIT_SEGMENT, &w);
	wal__writer_close();
	wal_redo(&options, apply_slowly, &p, &result);
	assert_true(p.calls >= 2);
	assert_int_equal(p.records, w.count);
	assert_true(p.hint_low + 2 * MIB >= result.end && p.hint_high <= result.end + 2 * MIB);
	unit_records_free(&w);
}

/* ---- run after run ---- */

/*
 * Each run writes a seeded amount and ends: stopped, or as after a crash with what
 * is reserved but not flushed gone.  No LSN that a run could have given out is
 * given out again, replay finds exactly what was flushed, through all gaps.
 */
static void
test_runs(void **state)
{
	UnitRecords all = {0};
	Lsn			highest = FIRST;	/* any LSN below may have been seen by a client */
	Lsn			flushed = FIRST;
	Lsn			start = FIRST;
	Lsn			continues = FIRST;

	(void) state;
	for (int run = 0; run < 12 * unit_factor(); run++)
	{
		UnitRecords w = {0};
		UnitRecords r = {0};
		Lsn			expected_end;

		unit_log_begin(RING << run % 3, UNIT_SEGMENT);
		unit_run_start(start, continues);
		assert_true(start >= highest);
		assert_true(header_of(start).continues_lsn == continues);
		open_writer();
		if (run % 4 != 3)		/* a run that writes nothing */
		{
			for (uint64 i = unit_random() % 40; i > 0; i--)
			{
				unit_prepare_all();
				(void) unit_write((uint32) (unit_random() % 50000), &w);
				if (unit_random() % 2 == 0)
					unit_flush();
			}
			if (run % 2 == 0)
				unit_flush();
		}
		/* what is not flushed was seen by ungated clients, and is gone; more was reserved and never filled */
		flushed = wal_flushed_lsn();
		highest = wal_insert_lsn();
		for (int i = 0; i < 3; i++)
		{
			WalReservation lost;

			if (wal_reserve((uint32) (unit_random() % 100000), 0, &lost) == WAL_RESERVED)
				wal_fill_void(&lost);
		}
		highest = Max(highest, wal_insert_lsn());
		for (size_t i = 0; i < w.count && w.at[i].end <= flushed; i++)
			unit_records_add(&all, w.at[i]);
		expected_end = flushed;
		wal__writer_close();
		unit_records_free(&w);
		unit_redo(FIRST, flushed, &r);
		assert_true(r.result.end == expected_end);
		assert_int_equal(r.count, all.count);
		for (size_t i = 0; i < r.count; i++)
			unit_assert_same(&r.at[i], &all.at[i]);
		assert_true(r.result.next_start > flushed + wal_shared->ring_size && r.result.next_start % UNIT_SEGMENT == 0);
		assert_true(r.result.next_start <= flushed + wal_shared->ring_size + UNIT_SEGMENT);
		assert_int_equal(r.result.gap_count, Min(run, 64));
		wal_sync_tail(unit_path("wal"), FIRST);
		start = r.result.next_start;
		continues = r.result.end;
		unit_records_free(&r);
	}
	unit_records_free(&all);
}

/* a later run's statement wins over whatever stands at its end, and needs no file in between */
static void
test_gap_wins(void **state)
{
	UnitRecords w = {0};
	UnitRecords r = {0};
	UnitRecord	torn;
	uint8		bytes[300];
	Lsn			second;

	(void) state;
	unit_run_start(FIRST, FIRST);
	open_writer();
	(void) unit_write(100, &w);
	unit_flush();
	torn = unit_write(200, NULL);
	unit_flush();
	unit_prepare_all();
	wal__writer_close();
	/* the last record was torn, as the recovery saw it */
	unit_peek(FIRST, WAL_HEADER_SIZE + torn.start % UNIT_SEGMENT, bytes, 224);
	bytes[50] ^= 1;
	unit_edit(FIRST, WAL_HEADER_SIZE + torn.start % UNIT_SEGMENT, bytes, 224);
	unit_next_run(FIRST, FIRST, &r);
	second = r.result.next_start;
	assert_true(header_of(second).continues_lsn == torn.start);
	unit_records_free(&r);
	open_writer();
	(void) unit_write(100, &w);
	unit_flush();
	wal__writer_close();
	/* now its bytes are whole again: it is no part of the log all the same */
	bytes[50] ^= 1;
	unit_edit(FIRST, WAL_HEADER_SIZE + torn.start % UNIT_SEGMENT, bytes, 224);
	unit_redo(FIRST, wal_flushed_lsn(), &r);
	assert_int_equal(r.count, 2);
	for (int i = 0; i < 2; i++)
		unit_assert_same(&r.at[i], &w.at[i]);
	assert_int_equal(r.result.gap_count, 1);
	assert_true(r.result.gap[0].from == torn.start && r.result.gap[0].to == second);
	assert_false(unit_exists(unit_segment_path(FIRST + UNIT_SEGMENT)));
	unit_records_free(&r);
	unit_records_free(&w);
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

/* damage or loss below a gap that a later run states: never taken for an end, whatever else could be said */
static void
test_gap_proves(void **state)
{
	UnitRecords w = {0};
	UnitRecords r = {0};
	UnitChild	c;
	Replay		p = {FIRST, FIRST};
	Lsn			second;

	(void) state;
	unit_run_start(FIRST, FIRST);
	open_writer();
	for (int i = 0; i < 3; i++)
		(void) unit_write(100, &w);
	unit_flush();
	wal__writer_close();
	unit_next_run(FIRST, FIRST, &r);
	second = r.result.next_start;
	unit_flip(FIRST, WAL_HEADER_SIZE + w.at[2].start % UNIT_SEGMENT + 30);
	unit_child(&c, replay, &p);
	unit_assert_fatal(&c, "the log is damaged at 0/100100", "checksum mismatch; segment 0000000000300000 continues from 0/100180", NULL);
	assert_true(second == 3 * MIB);
	/* the run's own first segment is gone: the control slot still knows that the log went beyond */
	assert_int_equal(unlink(unit_segment_path(second)), 0);
	p.control_flushed = w.at[2].end;
	unit_child(&c, replay, &p);
	unit_assert_fatal(&c, "the log is damaged at 0/100100", "the control file says", NULL);
	/* redo would start inside a gap: no run wrote there */
	unit_records_free(&r);
	unit_records_free(&w);
}

static void
test_from_inside_gap(void **state)
{
	UnitRecords w = {0};
	UnitRecords r = {0};
	UnitChild	c;
	Replay		p = {FIRST + 64 * KIB, FIRST};

	(void) state;
	unit_run_start(FIRST, FIRST);
	open_writer();
	(void) unit_write(100, &w);
	unit_flush();
	wal__writer_close();
	unit_next_run(FIRST, FIRST, &r);
	unit_child(&c, replay, &p);
	unit_assert_fatal(&c, "redo should start at 0/110000, which no run has written", "continues from 0/100080", NULL);
	/* from the very end of the first run: at once into the second */
	unit_records_free(&r);
	unit_redo(w.at[0].end, w.at[0].end, &r);
	assert_int_equal(r.count, 0);
	assert_int_equal(r.result.gap_count, 1);
	assert_true(r.result.end == wal_shared->start_lsn);
	unit_records_free(&r);
	unit_records_free(&w);
}

/* ---- a full disk ---- */

#ifdef ARTERY_FAULTS
static void
full_disk(void *arg)
{
	UnitRecords w = {0};
	WalReservation none;
	uint64		begun;

	(void) arg;
	unit_log_begin(RING, UNIT_SEGMENT);
	unit_run_start(FIRST, FIRST);
	my_slot = proc_slot(PROC_WALWRITER);
	walwriter_open();
	my_slot = proc_slot(UNIT_FIRST_WORKER);
	file__fault_arm("file-allocate@prepare.tmp:enospc:1:2");
	if (wal_segments_prepare() && wal_segments_prepare())
		_exit(11);
	if (atomic_load(&wal_shared->space_errno) != ENOSPC || unit_exists(unit_path("wal/prepare.tmp")))
		_exit(12);
	/* the log that is ready goes on; behind it there is an answer with a reason, and nothing is reserved */
	while (wal_insert_lsn() + 60000 < FIRST + UNIT_SEGMENT)
	{
		(void) unit_write(50000, &w);
		unit_flush();
	}
	if (wal_reserve(100000, 0, &none) != WAL_DISK_FULL || (atomic_load(&my_slot->wal_word) & 3) != WAL_RES_IDLE)
		_exit(13);
	/* tried again once a second, told once; then room is found, and all is well without a restart */
	begun = clock_mono_us();
	while (atomic_load(&wal_shared->space_errno) != 0)
	{
		(void) wal_segments_prepare();
		if (clock_mono_us() - begun > 10000000)
			_exit(14);
		usleep(20000);
	}
	if (clock_mono_us() - begun < 1500000)
		_exit(15);
	(void) unit_write(100000, &w);
	unit_flush();
	wal__writer_close();
	{
		UnitRecords r = {0};

		unit_redo(FIRST, wal_flushed_lsn(), &r);
		if (r.count != w.count)
			_exit(16);
	}
}

static void
test_full_disk(void **state)
{
	UnitChild	c;
	char	   *first;

	(void) state;
	unit_child(&c, full_disk, NULL);
	if (!unit_exited(&c, 0))
		fail_msg("status %x\n%s", c.status, c.err);
	unit_assert_says(&c, "could not prepare the next log segment in");
	unit_assert_says(&c, "No space left on device");
	unit_assert_says(&c, "log segments can be prepared again");
	first = strstr(c.err, "could not prepare");
	assert_null(strstr(first + 10, "could not prepare"));
}

/* every call that can fail while a segment is made, once: nothing half-made is entered, the next attempt succeeds */
static void
test_failures(void **state)
{
	static const char *const faults[] = {
		"file-open@prepare.tmp:eio", "file-lock@prepare.tmp:eio", "file-truncate@prepare.tmp:eio",
		"file-allocate@prepare.tmp:enospc", "file-write@prepare.tmp:enospc:2", "file-write-done@prepare.tmp:eio:4",
		"file-write@prepare.tmp:eio:5", "file-datasync@prepare.tmp:eio", "file-datasync-done@prepare.tmp:eio",
		"file-rename@/wal/0:eio", "file-sync-directory@/wal:eio",
	};

	(void) state;
	unit_run_start(FIRST, FIRST);
	set_wal_segments_ahead = 1;
	elog_set_min_level(ERROR);	/* a warning each is expected */
	for (size_t i = 0; i < lengthof(faults); i++)
	{
		Lsn			prepared = atomic_load(&wal_shared->prepared);
		UnitRecords r = {0};
		int			steps = 0;

		atomic_store(&wal_shared->insert_word, wal__make_word(prepared - 8, PROC_SLOT_NONE));
		atomic_store(&wal_shared->completed, prepared - 8);
		file__fault_arm(faults[i]);
		while (wal_segments_prepare())
			assert_true(++steps < 10);
		if (atomic_load(&wal_shared->space_errno) == 0)
			fail_msg("\"%s\" was not seen", faults[i]);
		assert_true(atomic_load(&wal_shared->prepared) == prepared);
		unit_redo(FIRST, FIRST, &r);	/* whatever is left behind does not disturb a start */
		unit_records_free(&r);
		wal__segments_close();	/* no second's pause in a test */
		unit_prepare_all();
		assert_int_equal(atomic_load(&wal_shared->space_errno), 0);
		assert_true(atomic_load(&wal_shared->prepared) == prepared + UNIT_SEGMENT);
	}
	elog_set_min_level(WARNING);
	assert_int_equal(names().others, 0);
}

static void
start_again(void *arg)
{
	file__fault_arm(arg);
	unit_log_begin(RING, UNIT_SEGMENT);
	unit_run_start(8 * MIB, FIRST);
}

static void
test_first_fails(void **state)
{
	UnitChild	c;

	(void) state;
	unit_child(&c, start_again, "file-allocate:enospc");
	unit_assert_fatal(&c, "could not make log segment 0000000000800000", "No space left on device", "Make room", NULL);
	unit_child(&c, start_again, "file-sync-directory:eio");
	unit_assert_fatal(&c, "Input/output error", NULL);
	unit_child(&c, start_again, "");
	assert_true(unit_exited(&c, 0));
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ahead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recycle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_progress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gap_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gap_proves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_from_inside_gap, setup, teardown),
#ifdef ARTERY_FAULTS
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_fails, setup, teardown),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
