/*
 * wal_crash.c -- the log's processes die at every step, at every file call, and at
 * random moments; what was acknowledged is there, nothing is invented, no LSN is
 * given out twice.
 *
 * A run is a child process: it recovers the directory as a start does, makes the
 * first segment, writes, and dies by SIGKILL.  What it has acknowledged stands in
 * memory that it shares with the parent, who then replays the directory and
 * compares.  A chain of such runs works on one directory.
 *
 * The twin that must fail: the same check on a log in which acknowledgements came
 * before the sync (the test counts a record as acknowledged when it is written).
 */
#include "unit_wal.h"

#include "common/crc32c.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "utils/settings.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RING (1 * MIB)
#define FIRST UNIT_SEGMENT
#define WRITERS 4
#define RUNS_MAX 400

/* Shared -- written by the child, read by the parent after its death */
typedef struct Shared
{
	_Atomic uint32 run;
	_Atomic uint64 flushed;				/* as the child last saw it */
	_Atomic uint64 highest;				/* no LSN above has been given out by this run */
	_Atomic uint64 start;
	_Atomic uint32 acked[WRITERS];		/* records of this run that each writer may rely on */
	_Atomic bool writing;
} Shared;

static Shared *shared;
/* by run and writer: records known to be in the log for good */
static uint32 settled[RUNS_MAX][WRITERS];

typedef struct Body
{
	uint32		run;
	uint32		writer;
	uint32		number;
} Body;

/* begin_chain -- a log without a record, and nothing known of it. */
static void
begin_chain(void)
{
	unit_log_begin(RING, UNIT_SEGMENT);
	unit_run_start(FIRST, FIRST);
	wal__segments_close();
	memset(shared, 0, sizeof(*shared));
	memset(settled, 0, sizeof(settled));
	atomic_store(&shared->flushed, FIRST);
	atomic_store(&shared->highest, FIRST);
}

static int
setup(void **state)
{
	(void) state;
	set_io_method = IO_METHOD_IO_URING;
	set_io_depth = 16;
	set_wal_direct_io = true;
	set_wal_segments_ahead = 1;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(shared != MAP_FAILED);
	unit_dir_make();
	begin_chain();
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	(void) munmap(shared, sizeof(*shared));
	unit_log_end();
	unit_dir_remove();
	return 0;
}

/* ---- the child ---- */

static Lsn
write_body(uint32 writer, uint32 number, uint32 len)
{
	uint8		bytes[8000];
	Body		body = {atomic_load(&shared->run), writer, number};

	memset(bytes, (int) number, sizeof(bytes));
	memcpy(bytes, &body, sizeof(body));
	return unit_write_bytes(WAL_PUT, bytes, Max(len, (uint32) sizeof(body)), NULL).end;
}

/* begin_run -- as a start does; no LSN of a run before may come again. */
static void
begin_run(void)
{
	UnitRecords r = {0};

	wal__segments_close();
	unit_next_run(FIRST, atomic_load(&shared->flushed), &r);
	if (wal_shared->start_lsn < atomic_load(&shared->highest))
		_exit(21);
	atomic_store(&shared->highest, wal_shared->start_lsn);
	atomic_store(&shared->start, wal_shared->start_lsn);
}

/* one thread does everything, so that each step is met at the same place each time */
static void
run_by_steps(void *fault)
{
#ifdef ARTERY_FAULTS
	file__fault_arm(fault);
#else
	(void) fault;
#endif
	begin_run();
	my_slot = proc_slot(PROC_WALWRITER);
	walwriter_open();
	my_slot = proc_slot(UNIT_FIRST_WORKER);
	for (uint32 i = 0; i < 7; i++)
	{
		unit_prepare_all();
		(void) write_body(0, i, 100);
		(void) unit_write(180000, NULL);
		atomic_store(&shared->highest, wal_insert_lsn());
		unit_flush();
		atomic_store(&shared->acked[0], i + 1);
		atomic_store(&shared->flushed, wal_flushed_lsn());
	}
	(void) write_body(0, 7, 100);	/* never flushed */
	atomic_store(&shared->highest, wal_insert_lsn());
}

static void *
write_forever(void *arg)
{
	uint32		writer = (uint32) (uintptr_t) arg;
	uint64		random = 77 + writer + atomic_load(&shared->run) * 1000;

	my_slot = proc_slot(UNIT_FIRST_WORKER + writer);
	for (uint32 i = 0;; i++)
	{
		Lsn			lsn;

		random = random * 6364136223846793005u + 1442695040888963407u;
		lsn = write_body(writer, i, (uint32) (random >> 40) % (i % 20 == 0 ? 8000 : 300));
		if (writer == WRITERS - 1)
		{
			/* not gated: asks for a flush some time, and goes on at once */
			wal_want(lsn, WAL_PERIODIC);
			if (i % 16 == 0)
				usleep(500);
			continue;
		}
		while (wal_flushed_lsn() < lsn)
		{
			latch_reset();
			wal_want(lsn, writer == 1 ? WAL_GROUP : WAL_NOW);
			if (wal_wait_begin(lsn, 1))
				latch_sleep(1000000);
			wal_wait_end();
		}
		atomic_store(&shared->acked[writer], i + 1);
	}
	return NULL;
}

/* all threads of a server, until the parent's SIGKILL */
static void
run_by_threads(void *arg)
{
	pthread_t	thread;

	(void) arg;
	begin_run();
	unit_threads_start();
	for (uintptr_t i = 0; i < WRITERS; i++)
		if (pthread_create(&thread, NULL, write_forever, (void *) i) != 0)
			_exit(22);
	atomic_store(&shared->writing, true);
	for (;;)
	{
		/* before it is given out: the limit of what any process could have reserved by now */
		Lsn			flushed = wal_flushed_lsn();

		atomic_store(&shared->highest, wal_insert_lsn());
		atomic_store(&shared->flushed, flushed);
		usleep(200);
	}
}

/* ---- the parent ---- */

typedef struct Seen
{
	uint32		count[RUNS_MAX][WRITERS];
	bool		hole;
} Seen;

static void
see(const WalRecord *record, void *arg)
{
	Seen	   *seen = arg;
	Body		body;

	if (record->header->type != WAL_PUT || record->body_len >= 100000)
		return;
	assert_true(record->body_len >= sizeof(body));
	memcpy(&body, record->body, sizeof(body));
	assert_true(body.run < RUNS_MAX && body.writer < WRITERS);
	/* each writer's records come in order, without a hole */
	if (body.number != seen->count[body.run][body.writer])
		seen->hole = true;
	seen->count[body.run][body.writer] = body.number + 1;
}

/*
 * complaint -- replay: what was settled is there unchanged, what this run
 * acknowledged is there; settle what is found.  NULL, or what is wrong.
 */
static const char *
complaint(void)
{
	static char text[200];
	static Seen seen;
	char		wal_dir[600];
	WalRedoOptions options = {.wal_dir = wal_dir, .system_id = UNIT_SYSTEM_ID, .timeline = 1, .segment_size = UNIT_SEGMENT,
							  .from = FIRST, .control_flushed = atomic_load(&shared->flushed)};
	WalRedoResult result;
	uint32		run = atomic_load(&shared->run);

	memset(&seen, 0, sizeof(seen));
	snprintf(wal_dir, sizeof(wal_dir), "%s/wal", unit_dir);
	wal_redo(&options, see, &seen, &result);
	assert_false(seen.hole);
	assert_true(result.end >= atomic_load(&shared->flushed));
	assert_true(result.next_start >= atomic_load(&shared->highest));
	for (uint32 i = 0; i < run; i++)
		for (int w = 0; w < WRITERS; w++)
			assert_int_equal(seen.count[i][w], settled[i][w]);
	for (int w = 0; w < WRITERS; w++)
	{
		uint32		acked = atomic_load(&shared->acked[w]);

		if (seen.count[run][w] < acked)
		{
			snprintf(text, sizeof(text), "run %u, writer %d: %u records acknowledged, %u found", run, w, acked,
					 seen.count[run][w]);
			return text;
		}
		settled[run][w] = seen.count[run][w];
	}
	return NULL;
}

static void
check_log(const char *what)
{
	const char *wrong = complaint();

	if (wrong != NULL)
		fail_msg("%s: %s", what, wrong);
}

static void
next_run_number(void)
{
	atomic_fetch_add(&shared->run, 1);
	assert_true(atomic_load(&shared->run) < RUNS_MAX);
	for (int w = 0; w < WRITERS; w++)
		atomic_store(&shared->acked[w], 0);
	atomic_store(&shared->writing, false);
}

#ifdef ARTERY_FAULTS
static const char *const steps[] = {
#define STEP name_of
#define CALL no_name
#define DONE no_name
#define name_of(name) name
#define no_name(name) NULL
#define FAULT_POINT_ENTRY(name, kind, text) kind(name),
#include "storage/file/fault_points.h"
#undef FAULT_POINT_ENTRY
#undef STEP
#undef CALL
#undef DONE
};

/* crash_at -- one run with that fault; true: it died of it. */
static bool
crash_at(const char *fault)
{
	UnitChild	c;
	bool		killed;

	unit_child(&c, run_by_steps, (void *) (uintptr_t) fault);
	killed = unit_signaled(&c, SIGKILL);
	if (!killed && !unit_exited(&c, 0))
		fail_msg("%s: status %x\n%s", fault, c.status, c.err);
	check_log(fault);
	next_run_number();
	return killed;
}

/* met_here -- a step of walwriter, segments or recovery: those of the control file and of checkpoints have tests of their own. */
static bool
met_here(const char *step)
{
	return step != NULL && strncmp(step, "control-", 8) != 0 && strncmp(step, "checkpoint-", 11) != 0 &&
		strncmp(step, "base-", 5) != 0;
}

/* killed at the first and second use of every step of walwriter, segments and recovery */
static void
test_every_step(void **state)
{
	int			points = 0;
	int			kills = 0;

	(void) state;
	for (size_t i = 0; i < lengthof(steps); i++)
		if (met_here(steps[i]))
		{
			points++;
			unit_dir_remove();
			unit_dir_make();
			begin_chain();
			for (int nth = 1; nth <= 2; nth++)
			{
				char		fault[100];

				snprintf(fault, sizeof(fault), "%s:kill:%d", steps[i], nth);
				kills += crash_at(fault);
			}
		}
	print_message("# %d points, %d kills\n", points, kills);
	assert_true(kills >= points);
}

/* killed before the n-th call of each kind that changes files, n seeded; after a kill the next start finds its leftovers */
static void
test_every_call(void **state)
{
	static const struct
	{
		const char *name;
		int			calls;		/* of a run, about */
	} calls[] = {{"file-open", 25}, {"file-write", 30}, {"file-write-done", 30}, {"file-datasync", 20}, {"file-datasync-done", 20},
		{"file-rename", 6}, {"file-unlink", 2}, {"file-sync-directory", 8}, {"file-truncate", 2}, {"file-allocate", 2}};
	int			kills = 0;

	(void) state;
	for (size_t i = 0; i < lengthof(calls); i++)
		for (int k = 0; k < 2 * unit_factor(); k++)
		{
			char		fault[100];

			snprintf(fault, sizeof(fault), "%s:kill:%d", calls[i].name, 1 + (int) (unit_random() % (uint64) calls[i].calls));
			kills += crash_at(fault);
		}
	print_message("# %d kills\n", kills);
	assert_true(kills >= 8);
}

/* a device that is slow to answer does not change the order of things */
static void
test_slow_device(void **state)
{
	(void) state;
	assert_false(crash_at("file-datasync:delay_ms=5:1:0,file-write-done:delay_ms=2:1:0"));
}
#endif

/* the whole of it, killed at random moments */
static void
test_soak(void **state)
{
	uint64		acked = 0;
	int			rounds = 6 * unit_factor();

	(void) state;
	set_wal_flush_interval = 20;
	for (int i = 0; i < rounds; i++)
	{
		pid_t		pid;
		int			status;

		set_io_method = i % 2 == 0 ? IO_METHOD_IO_URING : IO_METHOD_SYNC;
		fflush(NULL);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
		{
			run_by_threads(NULL);
			_exit(0);
		}
		for (int w = 0; w < 5000 && !atomic_load(&shared->writing); w++)
			usleep(2000);
		usleep((useconds_t) (unit_random() % 150000));
		(void) kill(pid, SIGKILL);
		assert_true(waitpid(pid, &status, 0) == pid);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
			fail_msg("round %d: status %x", i, status);
		/* between its last look and its death the child may have reserved more: never beyond its ring */
		for (int w = 0; w < WRITERS; w++)
			acked += atomic_load(&shared->acked[w]);
		check_log("soak");
		next_run_number();
	}
	print_message("# %d rounds, %llu records acknowledged\n", rounds, (unsigned long long) acked);
	assert_true(acked > 0);
}

/* the twin: the check sees an acknowledgement that came too early */
static void
early_acknowledger(void *arg)
{
	(void) arg;
	begin_run();
	my_slot = proc_slot(PROC_WALWRITER);
	walwriter_open();
	my_slot = proc_slot(UNIT_FIRST_WORKER);
	(void) write_body(0, 0, 100);
	unit_flush();
	(void) write_body(0, 1, 100);
	atomic_store(&shared->acked[0], 2);
}

static void
test_twin(void **state)
{
	UnitChild	c;

	(void) state;
	unit_child(&c, early_acknowledger, NULL);
	assert_true(unit_exited(&c, 0));
	assert_string_equal(complaint(), "run 0, writer 0: 2 records acknowledged, 1 found");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef ARTERY_FAULTS
		cmocka_unit_test_setup_teardown(test_every_step, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_call, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_device, setup, teardown),
#endif
		cmocka_unit_test_setup_teardown(test_soak, setup, teardown),
		cmocka_unit_test_setup_teardown(test_twin, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
