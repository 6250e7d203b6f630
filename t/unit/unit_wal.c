/*
 * unit_wal.c -- see unit_wal.h.
 */
#include "unit_wal.h"

#include "common/crc32c.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char		unit_dir[512];

/* ---- longer runs ---- */

int
unit_factor(void)
{
	const char *text = getenv("ARTERY_UNIT_FACTOR");

	return text != NULL && atoi(text) > 0 ? atoi(text) : 1;
}

/* ---- directories ---- */

static void
run(const char *fmt, ...)
{
	char		command[2048];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	assert_int_equal(system(command), 0);
}

void
unit_dir_make(void)
{
	const char *base = getenv("TMPDIR");

	elog_set_min_level(WARNING);	/* children speak: see unit_child */
	snprintf(unit_dir, sizeof(unit_dir), "%s/artery-unit-XXXXXX", base != NULL ? base : "/tmp");
	assert_non_null(mkdtemp(unit_dir));
	assert_int_equal(mkdir(unit_path("wal"), 0700), 0);
	assert_int_equal(mkdir(unit_path("data"), 0700), 0);
}

void
unit_dir_remove(void)
{
	run("rm -rf '%s' '%s.saved'", unit_dir, unit_dir);
}

const char *
unit_path(const char *fmt, ...)
{
	static char path[8][1024];
	static int	next;
	char	   *to = path[next++ % 8];
	va_list		args;
	int			n = snprintf(to, sizeof(path[0]), "%s/", unit_dir);

	va_start(args, fmt);
	vsnprintf(to + n, sizeof(path[0]) - (size_t) n, fmt, args);
	va_end(args);
	return to;
}

void
unit_dir_save(void)
{
	run("rm -rf '%s.saved' && cp -a '%s' '%s.saved'", unit_dir, unit_dir, unit_dir);
}

void
unit_dir_restore(void)
{
	run("rm -rf '%s' && cp -a '%s.saved' '%s'", unit_dir, unit_dir, unit_dir);
}

/* ---- a child ---- */

void
unit_child(UnitChild *c, void (*body)(void *arg), void *arg)
{
	int			fds[2];
	size_t		len = 0;
	ssize_t		n;
	pid_t		pid;

	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		(void) dup2(fds[1], STDERR_FILENO);
		(void) close(fds[0]);
		(void) close(fds[1]);
		elog_set_min_level(LOG);
		body(arg);
		_exit(0);
	}
	(void) close(fds[1]);
	while ((n = read(fds[0], c->err + len, sizeof(c->err) - 1 - len)) > 0 || (n < 0 && errno == EINTR))
		len += n > 0 ? (size_t) n : 0;
	c->err[len] = '\0';
	(void) close(fds[0]);
	assert_true(waitpid(pid, &c->status, 0) == pid);
}

void
unit_assert_says(const UnitChild *c, const char *text)
{
	if (strstr(c->err, text) == NULL)
		fail_msg("\"%s\" is missing from what the child said:\n%s(status %d)", text, c->err, c->status);
}

void
unit_assert_fatal(const UnitChild *c, ...)
{
	va_list		args;
	const char *text;

	if (!unit_exited(c, 1))
		fail_msg("status %d instead of exit 1; it said:\n%s", c->status, c->err);
	unit_assert_says(c, "FATAL");
	va_start(args, c);
	while ((text = va_arg(args, const char *)) != NULL)
		unit_assert_says(c, text);
	va_end(args);
}

/* ---- a log ---- */

void
unit_log_begin(uint64 ring_size, uint64 segment_size)
{
	wal__segments_close();
	if (seg_base != NULL)
		segment_destroy();
	set_wal_segment_size = (int64) segment_size;
	unit_segment_make(1 * MIB, ring_size, UNIT_SLOTS);
	snprintf(seg_control->data_dir, sizeof(seg_control->data_dir), "%s", unit_dir);
	seg_control->system_id = UNIT_SYSTEM_ID;
	wal_shared->segment_size = segment_size;
	wal_shared->timeline = 1;
	proc_attach(UNIT_FIRST_WORKER);
	wal__lock_timeout_ms = UNIT_LOCK_TIMEOUT_MS;
}

void
unit_log_end(void)
{
	wal__segments_close();
	if (seg_base != NULL)
		segment_destroy();
	my_slot = NULL;
}

void
unit_run_start(Lsn first, Lsn continues)
{
	wal_shared->start_lsn = first;
	atomic_store(&wal_shared->insert_word, wal__make_word(first, PROC_SLOT_NONE));
	atomic_store(&wal_shared->completed, first);
	atomic_store(&wal_shared->flushed, first);
	wal_segments_prepare_first(first, continues);
	assert_int_equal(atomic_load(&wal_shared->prepared), first + wal_shared->segment_size);
}

void
unit_records_add(UnitRecords *r, UnitRecord record)
{
	if (r->count == r->room)
	{
		r->room = Max(2 * r->room, (size_t) 256);
		r->at = realloc(r->at, r->room * sizeof(UnitRecord));
		assert_non_null(r->at);
	}
	r->at[r->count++] = record;
}

void
unit_assert_same(const UnitRecord *a, const UnitRecord *b)
{
	assert_true(a->start == b->start && a->end == b->end);
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->body_len, b->body_len);
	assert_int_equal(a->body_crc, b->body_crc);
}

void
unit_records_free(UnitRecords *r)
{
	free(r->at);
	memset(r, 0, sizeof(*r));
}

static void
collect(const WalRecord *record, void *arg)
{
	if (record->header->type != WAL_VOID)
		unit_records_add(arg, (UnitRecord) {record->start, record->end, record->header->type, record->body_len,
											crc32c_extend(0, record->body, record->body_len)});
}

void
unit_redo(Lsn from, Lsn control_flushed, UnitRecords *out)
{
	char		wal_dir[600];
	WalRedoOptions options = {
		.wal_dir = wal_dir,
		.system_id = UNIT_SYSTEM_ID,
		.timeline = 1,
		.segment_size = (uint64) set_wal_segment_size,
		.from = from,
		.control_flushed = control_flushed,
	};

	snprintf(wal_dir, sizeof(wal_dir), "%s/wal", unit_dir);
	wal_redo(&options, collect, out, &out->result);
}

void
unit_next_run(Lsn from, Lsn control_flushed, UnitRecords *out)
{
	uint64		ring_size = wal_shared->ring_size;

	unit_redo(from, control_flushed, out);
	wal_sync_tail(unit_path("wal"), from);
	unit_log_begin(ring_size, (uint64) set_wal_segment_size);
	unit_run_start(out->result.next_start, out->result.end);
}

UnitRecord
unit_write_bytes(uint8 type, const void *body, uint32 body_len, UnitRecords *out)
{
	BytePart	parts[3];
	uint32		crc = crc32c_extend(0, body, body_len);
	WalReservation r;
	UnitRecord	record;

	/* in three parts, so that gathering is exercised */
	parts[0] = (BytePart) {body, body_len / 3};
	parts[1] = (BytePart) {(const char *) body + body_len / 3, body_len / 3};
	parts[2] = (BytePart) {(const char *) body + body_len / 3 * 2, body_len - body_len / 3 * 2};
	for (uint64 begun = clock_mono_us();;)
	{
		WalReserve	status = wal_reserve(body_len, 0, &r);

		if (status == WAL_RESERVED)
			break;
		assert_true(clock_mono_us() - begun < UNIT_PATIENCE_US);
		latch_reset();
		if (wal_wait_begin(1, 1))
			latch_sleep(100000);
		wal_wait_end();
	}
	wal_fill(&r, type, 0, 4, crc, parts, 3);
	record = (UnitRecord) {r.start, r.end, type, body_len, crc};
	if (out != NULL)
		unit_records_add(out, record);
	return record;
}

UnitRecord
unit_write(uint32 body_len, UnitRecords *out)
{
	uint64	   *body = malloc(AlignUp(body_len, 8) + 8);
	UnitRecord	record;

	assert_non_null(body);
	for (size_t i = 0; i < body_len / 8 + 1; i++)
		body[i] = unit_random();
	record = unit_write_bytes(WAL_PUT, body, body_len, out);
	free(body);
	return record;
}

void
unit_prepare_all(void)
{
	while (wal_segments_prepare())
		continue;
}

void
unit_flush(void)
{
	ProcSlot   *mine = my_slot;
	Lsn			target = wal_insert_lsn();

	my_slot = proc_slot(proc_first_slot(PROC_WALWRITER));
	wal_want(target, WAL_NOW);
	while (wal_flushed_lsn() < target)
		(void) wal__writer_turn();
	my_slot = mine;
}

/* ---- threads ---- */

static pthread_t walwriter_thread;
static pthread_t checkpointer_thread;
static _Atomic bool checkpointer_stop;

static void *
run_walwriter(void *arg)
{
	(void) arg;
	my_slot = proc_slot(proc_first_slot(PROC_WALWRITER));
	walwriter_open();
	walwriter_loop();
	wal__writer_close();
	return NULL;
}

static void *
run_checkpointer(void *arg)
{
	(void) arg;
	my_slot = proc_slot(proc_first_slot(PROC_CHECKPOINTER));
	while (!atomic_load(&checkpointer_stop))
	{
		latch_reset();
		if (!wal_segments_prepare() && !atomic_load(&checkpointer_stop))
			latch_sleep(atomic_load(&wal_shared->space_errno) != 0 ? 200000 : 1000000);
	}
	return NULL;
}

void
unit_threads_start(void)
{
	atomic_store(&wal__writer_stop, false);
	atomic_store(&checkpointer_stop, false);
	assert_int_equal(pthread_create(&walwriter_thread, NULL, run_walwriter, NULL), 0);
	assert_int_equal(pthread_create(&checkpointer_thread, NULL, run_checkpointer, NULL), 0);
}

void
unit_threads_stop(void)
{
	atomic_store(&checkpointer_stop, true);
	latch_set(proc_first_slot(PROC_CHECKPOINTER));
	pthread_join(checkpointer_thread, NULL);
	atomic_store(&wal__writer_stop, true);
	latch_set(proc_first_slot(PROC_WALWRITER));
	pthread_join(walwriter_thread, NULL);
}

/* ---- files by hand ---- */

const char *
unit_segment_path(Lsn segment)
{
	return unit_path("wal/%016llX", (unsigned long long) segment);
}

void
unit_edit(Lsn segment, uint64 offset, const void *bytes, size_t len)
{
	int			fd = open(unit_segment_path(segment), O_WRONLY);

	assert_true(fd >= 0);
	assert_true(pwrite(fd, bytes, len, (off_t) offset) == (ssize_t) len);
	assert_int_equal(close(fd), 0);
}

void
unit_peek(Lsn segment, uint64 offset, void *bytes, size_t len)
{
	int			fd = open(unit_segment_path(segment), O_RDONLY);

	assert_true(fd >= 0);
	assert_true(pread(fd, bytes, len, (off_t) offset) == (ssize_t) len);
	assert_int_equal(close(fd), 0);
}

void
unit_flip(Lsn segment, uint64 offset)
{
	uint8		byte;

	unit_peek(segment, offset, &byte, 1);
	byte ^= 0xff;
	unit_edit(segment, offset, &byte, 1);
}

void
unit_truncate(Lsn segment, uint64 size)
{
	assert_int_equal(truncate(unit_segment_path(segment), (off_t) size), 0);
}

bool
unit_exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}
