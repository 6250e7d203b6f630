/*
 * wal_commit.c -- the walwriter at work, by io_uring and by plain calls: who waits
 * how long, what shares a flush, what is on disk when a wait is over.
 *
 * Walwriter and checkpointer are threads on a log in private memory and real
 * files.  After each test the directory is replayed: every record that a wait
 * was ended for is there, in order, whole.
 *
 * The seven tests of the log that this one continues are here in the form that
 * they should have had (test_token ... test_group): a wait ends when the sync is
 * over and not when the write is, errors have a name, and every one ends by
 * opening the directory again.
 */
#include "unit_wal.h"

#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "utils/clock.h"
#include "utils/settings.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define RING (1 * MIB)
#define FIRST UNIT_SEGMENT

static int
setup(void)
{
	set_io_depth = 64;
	set_wal_direct_io = true;
	set_wal_pad_flush = false;
	set_commit_delay = 0;
	set_commit_siblings = 5;
	set_commit_batch = (int64) (256 * KIB);
	set_wal_flush_interval = 200;
	set_wal_segments_ahead = 2;
	unit_dir_make();
	unit_log_begin(RING, UNIT_SEGMENT);
	unit_run_start(FIRST, FIRST);
	return 0;
}

static int
setup_uring(void **state)
{
	(void) state;
	set_io_method = IO_METHOD_IO_URING;
	return setup();
}

static int
setup_sync(void **state)
{
	(void) state;
	set_io_method = IO_METHOD_SYNC;
	return setup();
}

static int
teardown(void **state)
{
	(void) state;
#ifdef ARTERY_FAULTS
	file__fault_arm("");
	file__record_to(NULL);
#endif
	unit_log_end();
	unit_dir_remove();
	return 0;
}

/* replay and compare with what was written: all of it, in order */
static void
reopen_and_compare(const UnitRecords *written)
{
	UnitRecords read = {0};
	size_t		count = 0;

	unit_redo(FIRST, FIRST, &read);
	while (count < written->count && written->at[count].end <= read.result.end)
		count++;
	assert_int_equal(count, written->count);
	assert_int_equal(read.count, written->count);
	for (size_t i = 0; i < count; i++)
		unit_assert_same(&read.at[i], &written->at[i]);
	assert_true(read.result.end == wal_flushed_lsn());
	unit_records_free(&read);
}

static uint64
flushes(void)
{
	return atomic_load(&wal_shared->flushes);
}

/* 1: a token is the end of its record; it is done when flushed has passed it, and not before */
static void
test_token(void **state)
{
	UnitRecords w = {0};
	UnitRecord	r = unit_write(100, &w);

	(void) state;
	assert_false(wal_wait_flushed(r.end, 30));	/* nobody writes yet */
	assert_true(wal_flushed_lsn() == FIRST);
	unit_threads_start();
	assert_true(wal_wait_flushed(r.end, 20000));
	assert_true(wal_flushed_lsn() >= r.end);
	assert_true(wal_wait_flushed(r.end, 0));	/* again, at once */
	unit_threads_stop();
	reopen_and_compare(&w);
	unit_records_free(&w);
}

#ifdef ARTERY_FAULTS
static void
write_until_panic(void *arg)
{
	UnitRecord	r;

	unit_log_begin(RING, UNIT_SEGMENT);
	unit_run_start(FIRST, FIRST);
	file__fault_arm(arg);
	r = unit_write(5000, NULL);
	unit_threads_start();
	if (wal_wait_flushed(r.end, 5000))
		_exit(7);				/* an acknowledgement that is a lie */
}

/* 2: an error of the device ends the process with file, offset and LSN; no wait ends well */
static void
test_token_error(void **state)
{
	UnitChild	c;

	(void) state;
	unit_child(&c, write_until_panic, "file-write-done@/wal/0:eio");
	assert_true(unit_signaled(&c, SIGABRT));
	unit_assert_says(&c, "PANIC:  could not write");
	unit_assert_says(&c, "0000000000100000\" at offset 4096 (batch from 0/100000): Input/output error");
	unit_child(&c, write_until_panic, "file-write@/wal/0:enospc");
	assert_true(unit_signaled(&c, SIGABRT));
	unit_child(&c, write_until_panic, "file-datasync@/wal/0:eio");
	assert_true(unit_signaled(&c, SIGABRT));
	unit_assert_says(&c, "PANIC:  could not sync the log, ");
	unit_assert_says(&c, "0000000000100000\", up to 0/1013A0: Input/output error");
	/* put off and cut short is no error */
	unit_child(&c, write_until_panic, "file-write@/wal/0:eagain:1:3,file-write-done@/wal/0:short:1:0");
	assert_true(unit_exited(&c, 7));
}
#endif

/* 3: five bytes, one operation */
static void
test_basic(void **state)
{
	UnitRecords w = {0};
	UnitRecord	r;

	(void) state;
	r = unit_write_bytes(WAL_PUT, "hello", 5, &w);
	unit_threads_start();
	assert_true(wal_wait_flushed(r.end, 20000));
	unit_threads_stop();
	assert_int_equal(atomic_load(&wal_shared->writes), 1);
	assert_int_equal(atomic_load(&wal_shared->bytes_written), 4096);
	assert_int_equal(flushes(), 1);
	reopen_and_compare(&w);
	unit_records_free(&w);
}

/* 4: ten that were there before the flush began share it */
static void
test_batch_of_10(void **state)
{
	UnitRecords w = {0};

	(void) state;
	for (int i = 0; i < 10; i++)
		(void) unit_write(100, &w);
	unit_threads_start();
	assert_true(wal_wait_flushed(w.at[9].end, 20000));
	unit_threads_stop();
	assert_int_equal(flushes(), 1);
	reopen_and_compare(&w);
	unit_records_free(&w);
}

typedef struct Committer
{
	uint32		slot;
	int			commits;
	uint32		body_len;
	WalUrgency	urgency;
	UnitRecords written;
	uint64		slowest_us;
} Committer;

/* one client: write, want, wait, as a worker does */
static void *
commit_many(void *arg)
{
	Committer  *c = arg;
	uint8		body[4000];

	my_slot = proc_slot(c->slot);
	for (int i = 0; i < c->commits; i++)
	{
		uint64		begun = clock_mono_us();
		UnitRecord	r;

		memset(body, (int) c->slot, c->body_len);
		memcpy(body, &i, sizeof(i));
		r = unit_write_bytes(WAL_PUT, body, c->body_len, &c->written);
		while (wal_flushed_lsn() < r.end)
		{
			latch_reset();
			wal_want(r.end, c->urgency);
			if (wal_wait_begin(r.end, 1))
				latch_sleep(20000000);
			wal_wait_end();
		}
		c->slowest_us = Max(c->slowest_us, clock_mono_us() - begun);
	}
	return NULL;
}

static int
compare_starts(const void *a, const void *b)
{
	const UnitRecord *x = a;
	const UnitRecord *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* run_committers -- n clients at a time; all their records, in log order; the slowest commit in microseconds */
static uint64
run_committers(int n, int commits, uint32 body_len, WalUrgency urgency, UnitRecords *all)
{
	pthread_t	thread[8];
	Committer	c[8];
	uint64		slowest = 0;

	memset(c, 0, sizeof(c));
	for (int i = 0; i < n; i++)
	{
		c[i] = (Committer) {.slot = UNIT_FIRST_WORKER + (uint32) i, .commits = commits, .body_len = body_len, .urgency = urgency};
		assert_int_equal(pthread_create(&thread[i], NULL, commit_many, &c[i]), 0);
	}
	for (int i = 0; i < n; i++)
	{
		pthread_join(thread[i], NULL);
		slowest = Max(slowest, c[i].slowest_us);
		for (size_t j = 0; j < c[i].written.count; j++)
			unit_records_add(all, c[i].written.at[j]);
		unit_records_free(&c[i].written);
	}
	qsort(all->at, all->count, sizeof(UnitRecord), compare_starts);
	return slowest;
}

/* 5: four threads, a hundred commits each; nobody's commit is lost, none is done before its sync */
static void
test_4_threads(void **state)
{
	UnitRecords w = {0};

	(void) state;
	unit_threads_start();
	(void) run_committers(4, 100, 200, WAL_NOW, &w);
	unit_threads_stop();
	assert_int_equal(w.count, 400);
	/* each flush ends at least one wait; more than one per commit is never needed */
	assert_true(flushes() <= 401);
	print_message("# 400 commits by 4 clients: %llu flushes\n", (unsigned long long) flushes());
	reopen_and_compare(&w);
	unit_records_free(&w);
}

/* 6: many in flight, one wait for the highest: all of them are done */
static void
test_handler(void **state)
{
	UnitRecords w = {0};

	(void) state;
	unit_threads_start();
	for (int i = 0; i < 3000; i++)
		(void) unit_write((uint32) (8 + unit_random() % 1500), &w);	/* several segments and rounds of the ring */
	assert_true(wal_wait_flushed(w.at[w.count - 1].end, 20000));
	for (size_t i = 0; i < w.count; i++)
		assert_true(wal_wait_flushed(w.at[i].end, 0));
	unit_threads_stop();
	assert_true(w.at[w.count - 1].end > FIRST + UNIT_SEGMENT);
	reopen_and_compare(&w);
	unit_records_free(&w);
}

/* 7: group commit, 25 of them, with a delay of 100 ms: done, and nobody was forgotten in a group that never filled */
static void
test_group(void **state)
{
	UnitRecords w = {0};
	uint64		begun = clock_mono_us();

	(void) state;
	set_commit_delay = 100000;
	set_commit_siblings = 2;
	set_commit_batch = (int64) (4 * KIB);
	unit_threads_start();
	(void) run_committers(5, 5, 200, WAL_GROUP, &w);
	unit_threads_stop();
	assert_int_equal(w.count, 25);
	assert_true(clock_mono_us() - begun < 30000000);
	reopen_and_compare(&w);
	unit_records_free(&w);
}

/* ---- the policies ---- */

/* a lone committer never waits for company, whatever commit_delay and commit_siblings say */
static void
test_lone_committer(void **state)
{
	UnitRecords w = {0};

	(void) state;
	set_commit_delay = 20000000;	/* a wait would be seen, however slow the machine is */
	for (int siblings = 0; siblings <= 5; siblings += 5)
	{
		uint64		slowest;

		set_commit_siblings = siblings;
		unit_threads_start();
		slowest = run_committers(1, 3, 100, WAL_GROUP, &w);
		assert_true(slowest < 15000000);
		unit_threads_stop();
	}
	reopen_and_compare(&w);
	unit_records_free(&w);
}

/* fewer than commit_siblings others are due: at once, too */
static void
test_few_committers(void **state)
{
	UnitRecords w = {0};

	(void) state;
	set_commit_delay = 20000000;
	set_commit_siblings = 3;
	unit_threads_start();
	assert_true(run_committers(3, 5, 100, WAL_GROUP, &w) < 15000000);
	unit_threads_stop();
	reopen_and_compare(&w);
	unit_records_free(&w);
}

static void
park(uint32 slot, Lsn lsn, uint32 replies)
{
	atomic_store(&proc_slot(slot)->wait_count, replies);
	atomic_store(&proc_slot(slot)->wait_lsn, lsn);
}

/* turns of the walwriter in this thread, so that time is the only thing that moves */
static int64
turn(void)
{
	int64		sleep_us;

	my_slot = proc_slot(PROC_WALWRITER);
	sleep_us = wal__writer_turn();
	my_slot = proc_slot(UNIT_FIRST_WORKER);
	return sleep_us;
}

static void
open_here(void)
{
	my_slot = proc_slot(PROC_WALWRITER);
	walwriter_open();
	my_slot = proc_slot(UNIT_FIRST_WORKER);
}

static void
test_group_gathers(void **state)
{
	UnitRecords w = {0};
	UnitRecord	r;
	int64		left;

	(void) state;
	set_commit_delay = 10000000;
	set_commit_siblings = 2;
	set_commit_batch = 8192;
	open_here();
	r = unit_write(100, &w);
	wal_want(r.end, WAL_GROUP);
	park(5, r.end, 3);
	left = turn();
	assert_true(left > 0 && left <= 10000000);	/* three replies are due: it waits for company, and says how long */
	usleep(2000);
	assert_true(turn() > 0);
	assert_true(wal_flushed_lsn() == FIRST);
	/* enough bytes end the wait */
	r = unit_write(9000, &w);
	wal_want(r.end, WAL_GROUP);
	assert_int_equal(turn(), 0);
	assert_true(wal_flushed_lsn() == r.end);
	assert_int_equal(atomic_load(&proc_slot(5)->wait_lsn), 0);	/* and the one who waited is woken */
	/* somebody who cannot wait ends it for all */
	r = unit_write(100, &w);
	wal_want(r.end, WAL_GROUP);
	park(5, r.end, 3);
	assert_true(turn() > 0);
	wal_want(w.at[1].end + 8, WAL_NOW);
	assert_int_equal(turn(), 0);
	assert_true(wal_flushed_lsn() == r.end);
	/* the delay is the bound */
	set_commit_delay = 20000;
	r = unit_write(100, &w);
	wal_want(r.end, WAL_GROUP);
	park(5, r.end, 3);
	assert_true(turn() > 0);
	usleep(25000);
	assert_int_equal(turn(), 0);
	assert_true(wal_flushed_lsn() == r.end);
	/* the others have gone: at once */
	set_commit_delay = 10000000;
	r = unit_write(100, &w);
	wal_want(r.end, WAL_GROUP);
	park(5, r.end, 2);
	assert_int_equal(turn(), 0);
	wal__writer_close();
	reopen_and_compare(&w);
	unit_records_free(&w);
}

static void
test_periodic(void **state)
{
	UnitRecords w = {0};
	UnitRecord	r;
	int64		left;

	(void) state;
	set_wal_flush_interval = 100;
	open_here();
	assert_true(turn() > 0);
	r = unit_write(100, &w);
	wal_want(r.end, WAL_PERIODIC);
	left = turn();
	assert_true(left > 0 && left <= 50000);
	assert_true(wal_flushed_lsn() == FIRST);
	usleep(60000);
	assert_int_equal(turn(), 0);
	assert_true(wal_flushed_lsn() == r.end);
	assert_true(turn() > 0);
	wal__writer_close();
	reopen_and_compare(&w);
	unit_records_free(&w);
}

/* nobody waits and nobody wants: flushed by pressure alone, from half of the ring on, or when somebody needs space */
static void
test_pressure(void **state)
{
	UnitRecords w = {0};
	WalReservation none;

	(void) state;
	open_here();
	unit_prepare_all();
	while (wal_insert_lsn() - FIRST + 4096 + 24 <= RING / 2)
	{
		(void) unit_write(4096 - 24, &w);
		assert_true(turn() > 0);
	}
	assert_true(wal_flushed_lsn() == FIRST);
	(void) unit_write(4096, &w);
	assert_int_equal(turn(), 0);
	assert_true(wal_flushed_lsn() == wal_insert_lsn());
	(void) unit_write(100, &w);
	assert_true(turn() > 0);
	atomic_store(&wal_shared->prepared, wal_insert_lsn());
	assert_int_equal(wal_reserve(100, 0, &none), WAL_NO_SPACE);
	assert_true(wal_wait_begin(1, 1));
	assert_int_equal(turn(), 0);
	assert_true(wal_flushed_lsn() == wal_insert_lsn());
	assert_int_equal(atomic_load(&my_slot->wait_lsn), 0);
	wal_wait_end();
	wal__writer_close();
	reopen_and_compare(&w);
	unit_records_free(&w);
}

/* a process stands between reserve and fill: nothing behind it is flushed, and waiting for it costs little */
static void
test_straggler(void **state)
{
	UnitRecords w = {0};
	struct rusage before;
	struct rusage after;
	WalReservation open_one;
	UnitRecord	r;
	int64		used_us;

	(void) state;
	(void) unit_write(100, &w);
	my_slot = proc_slot(7);
	assert_int_equal(wal_reserve(100, 0, &open_one), WAL_RESERVED);
	my_slot = proc_slot(UNIT_FIRST_WORKER);
	unit_threads_start();
	r = unit_write(100, &w);
	wal_want(r.end, WAL_NOW);
	assert_true(wal_wait_flushed(open_one.start, 20000));
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	assert_false(wal_wait_flushed(r.end, 500));
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
	used_us = (after.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_utime.tv_sec - before.ru_stime.tv_sec) * 1000000
		+ after.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_utime.tv_usec - before.ru_stime.tv_usec;
	print_message("# waiting 500 ms for a straggler took %lld us of CPU\n", (long long) used_us);
	assert_true(used_us < 400000);
	assert_true(wal_flushed_lsn() == open_one.start);
	my_slot = proc_slot(7);
	wal_fill_void(&open_one);
	my_slot = proc_slot(UNIT_FIRST_WORKER);
	assert_true(wal_wait_flushed(r.end, 20000));
	unit_threads_stop();
	reopen_and_compare(&w);
	unit_records_free(&w);
}

/* told to stop: everything reserved is flushed, wanted or not */
static void
test_stop_flushes(void **state)
{
	UnitRecords w = {0};

	(void) state;
	unit_threads_start();
	for (int i = 0; i < 50; i++)
		(void) unit_write(3000, &w);
	unit_threads_stop();
	assert_true(wal_flushed_lsn() == wal_insert_lsn());
	reopen_and_compare(&w);
	unit_records_free(&w);
}

#ifdef ARTERY_FAULTS
/* Line -- one line of the record of I/O */
typedef struct Line
{
	char		phase[8];
	char		call[24];
	unsigned long long offset;
	size_t		len;
	char		path[700];
} Line;

static bool
next_line(FILE *in, Line *l)
{
	int			pid;
	unsigned	crc;
	long long	result;

	return fscanf(in, "%d %7s %23s %llu %zu %x %lld %699s", &pid, l->phase, l->call, &l->offset, &l->len, &crc, &result, l->path) == 8;
}

/*
 * What the record of I/O must say: two writes of one block are never in flight; a
 * block is synced before it is written again, and in the end; with wal_pad_flush
 * no block is written twice.
 */
static void
check_io(bool no_rewrite)
{
	static uint8 in_flight[64][UNIT_SEGMENT / WAL_BLOCK + 1];
	static uint8 written[64][UNIT_SEGMENT / WAL_BLOCK + 1];
	static uint8 unsynced[64][UNIT_SEGMENT / WAL_BLOCK + 1];
	FILE	   *in = fopen(unit_path("record"), "r");
	Line		l;
	int			writes = 0;
	int			syncs = 0;

	assert_non_null(in);
	memset(in_flight, 0, sizeof(in_flight));
	memset(written, 0, sizeof(written));
	memset(unsynced, 0, sizeof(unsynced));
	while (next_line(in, &l))
	{
		const char *name = strrchr(l.path, '/');
		Lsn			first;

		if (name == NULL || !wal_segment_parse_name(name + 1, &first))
			continue;
		first /= UNIT_SEGMENT;
		assert_true(first < 64);
		if (strcmp(l.call, "file-datasync") == 0 && strcmp(l.phase, "end") == 0)
		{
			memset(unsynced[first], 0, sizeof(unsynced[first]));
			syncs++;
		}
		if (strcmp(l.call, "file-write") != 0)
			continue;
		assert_true(l.offset % WAL_BLOCK == 0 && l.offset >= WAL_HEADER_SIZE);
		for (size_t b = l.offset / WAL_BLOCK; b < (l.offset + l.len) / WAL_BLOCK; b++)
		{
			bool		begin = strcmp(l.phase, "begin") == 0;

			assert_int_equal(in_flight[first][b], begin ? 0 : 1);
			in_flight[first][b] = begin;
			assert_int_equal(unsynced[first][b], 0);
			unsynced[first][b] = !begin;
			if (begin && no_rewrite)
				assert_int_equal(written[first][b]++, 0);
		}
		writes++;
	}
	assert_true(writes > 20 && syncs > 20);
	for (size_t i = 0; i < sizeof(unsynced); i++)
		assert_int_equal(((uint8 *) unsynced)[i], 0);
	fclose(in);
}

static void
test_blocks(void **state)
{
	(void) state;
	for (int pad = 0; pad < 2; pad++)
	{
		UnitRecords w = {0};

		set_wal_pad_flush = pad;
		file__record_to(unit_path("record"));
		unit_threads_start();
		(void) run_committers(3, 120, 700, WAL_NOW, &w);
		(void) run_committers(2, 40, 3900, WAL_NOW, &w);
		unit_threads_stop();
		file__record_to(NULL);
		check_io(pad);
		if (pad)
			assert_int_equal(wal_flushed_lsn() % WAL_BLOCK, 0);
		reopen_and_compare(&w);
		unit_records_free(&w);
		if (pad == 0)
		{
			unit_dir_remove();
			unit_dir_make();
			unit_log_begin(RING, UNIT_SEGMENT);
			unit_run_start(FIRST, FIRST);
		}
	}
}
#endif

/* records of every size, so that they lie across blocks, segments and the ring's end in every way */
static void
test_borders(void **state)
{
	UnitRecords w = {0};
	uint64		rounds;

	(void) state;
	unit_threads_start();
	for (uint64 i = 0; i < 60u * (unsigned) unit_factor(); i++)
	{
		/* up to a record's length before the next border: MiB is segment and ring at once here */
		Lsn			insert = wal_insert_lsn();
		uint64		to_border = AlignUp(insert + 1, UNIT_SEGMENT) - insert;

		if (to_border > 128 * KIB)
			(void) unit_write((uint32) (Min(to_border - 64 * KIB, wal_record_max()) - WAL_RECORD_HEADER), &w);
		else
			(void) unit_write((uint32) (to_border - WAL_RECORD_HEADER - Min(to_border - WAL_RECORD_HEADER, (i % 8) * 8)), &w);
		(void) unit_write((uint32) (8 * (i % 5)), &w);
		if (i % 3 == 0)
			assert_true(wal_wait_flushed(w.at[w.count - 1].end, 20000));
	}
	assert_true(wal_wait_flushed(wal_insert_lsn(), 20000));
	rounds = (wal_insert_lsn() - FIRST) / RING;
	unit_threads_stop();
	print_message("# %zu records over %llu segments\n", w.count, (unsigned long long) rounds);
	assert_true(rounds >= 8);
	reopen_and_compare(&w);
	unit_records_free(&w);
}

/*
 * Whatever is flushed in one go, flushed is the end of a record: later records
 * carry it, and half a record below it would look like damage after a crash.
 */
static void
test_record_ends(void **state)
{
	(void) state;
	for (int pad = 0; pad < 2; pad++)
	{
		UnitRecords w = {0};
		size_t		i = 0;
		int			batches = 0;

		set_wal_pad_flush = pad;
		unit_log_begin(64 * MIB, UNIT_SEGMENT);
		unit_run_start(FIRST, FIRST);
		open_here();
		set_wal_segments_ahead = 24;
		unit_prepare_all();
		/* more than one batch may hold, with records longer than a batch's bound is away from the last border */
		while (wal_insert_lsn() < FIRST + 22 * MIB)
			(void) unit_write((uint32) (unit_random() % (w.count % 20 == 7 ? 3 * MIB : 100000)), &w);
		wal_want(wal_insert_lsn(), WAL_NOW);
		while (wal_flushed_lsn() < w.at[w.count - 1].end)
		{
			Lsn			flushed;

			assert_int_equal(turn(), 0);
			batches++;
			flushed = wal_flushed_lsn();
			while (i < w.count && w.at[i].end < flushed)
				i++;
			if (pad)
				assert_int_equal(flushed % WAL_BLOCK, 0);
			else
				assert_true(i < w.count && w.at[i].end == flushed);
		}
		assert_true(pad || batches > 1);
		wal__writer_close();
		reopen_and_compare(&w);
		unit_records_free(&w);
	}
}

#define BOTH(test) \
	{#test " (io_uring)", test, setup_uring, teardown, NULL}, {#test " (sync)", test, setup_sync, teardown, NULL}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_token),
#ifdef ARTERY_FAULTS
		BOTH(test_token_error),
#endif
		BOTH(test_basic),
		BOTH(test_batch_of_10),
		BOTH(test_4_threads),
		BOTH(test_handler),
		BOTH(test_group),
		BOTH(test_lone_committer),
		BOTH(test_few_committers),
		BOTH(test_group_gathers),
		BOTH(test_periodic),
		BOTH(test_pressure),
		BOTH(test_straggler),
		BOTH(test_stop_flushes),
#ifdef ARTERY_FAULTS
		BOTH(test_blocks),
#endif
		BOTH(test_borders),
		cmocka_unit_test_setup_teardown(test_record_ends, setup_uring, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
