/*
 * file_basic.c -- storage/file by plain calls: open modes, direct I/O, locks,
 * sizes, names; and what the fault hook makes of every call: an errno at the
 * n-th, shorts that are resumed, retries that end, the record.
 */
#include "unit_wal.h"

#include "common/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static int
setup(void **state)
{
	(void) state;
	unit_dir_make();
	file__fault_arm("");
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	file__fault_arm("");
	file__record_to(NULL);
	file__request_max = FILE_REQUEST_MAX;
	unit_dir_remove();
	return 0;
}

static File *
make(const char *name, int flags)
{
	File	   *f;

	assert_int_equal(file_open(unit_path("%s", name), FILE_READ | FILE_WRITE | FILE_CREATE | flags, 0600, &f), 0);
	return f;
}

static uint8 *
random_bytes(size_t len)
{
	uint8	   *p = file_alloc_aligned(len);

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8) unit_random();
	return p;
}

static void
test_open(void **state)
{
	File	   *f;
	uint64		size;

	(void) state;
	assert_int_equal(file_open(unit_path("absent"), FILE_READ, 0, &f), ENOENT);
	assert_null(f);
	f = make("a", 0);
	assert_string_equal(file_path(f), unit_path("a"));
	assert_false(file_is_direct(f));
	assert_int_equal(file_size(f, &size), 0);
	assert_int_equal(size, 0);
	file_close(f);
	assert_int_equal(file_open(unit_path("a"), FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, 0600, &f), EEXIST);
	assert_int_equal(file_open(unit_path("a"), FILE_READ, 0, &f), 0);
	assert_int_equal(file_write(f, "x", 1, 0), EBADF);
	file_close(f);
	file_close(NULL);
}

static void
test_read_write(void **state)
{
	uint8	   *data = random_bytes(300000);
	uint8	   *back = calloc(1, 300000);
	size_t		got;
	uint64		size;
	File	   *f = make("a", 0);

	(void) state;
	assert_int_equal(file_write(f, data, 300000, 12345), 0);
	assert_int_equal(file_size(f, &size), 0);
	assert_int_equal(size, 312345);
	assert_int_equal(file_read(f, back, 300000, 12345, &got), 0);
	assert_int_equal(got, 300000);
	assert_memory_equal(data, back, 300000);
	assert_int_equal(file_read(f, back, 300000, 212345, &got), 0);	/* short at the end of the file */
	assert_int_equal(got, 100000);
	assert_memory_equal(data + 200000, back, 100000);
	assert_int_equal(file_read(f, back, 100, 312345, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(file_truncate(f, 20000), 0);
	assert_int_equal(file_zero_fill(f, 15000, 600000), 0);
	assert_int_equal(file_size(f, &size), 0);
	assert_int_equal(size, 615000);
	assert_int_equal(file_read(f, back, 10000, 12345, &got), 0);
	assert_memory_equal(data, back, 15000 - 12345);
	for (int i = 15000 - 12345; i < 10000; i++)
		assert_int_equal(back[i], 0);
	assert_int_equal(file_datasync(f), 0);
	file_close(f);
	free(data);
	free(back);
}

static void
test_direct(void **state)
{
	uint8	   *data = random_bytes(64 * KIB);
	uint8	   *back = file_alloc_aligned(64 * KIB);
	size_t		got;
	File	   *f = make("a", FILE_DIRECT);
	bool		direct = file_is_direct(f);

	(void) state;
	assert_int_equal((uintptr_t) data % FILE_DIRECT_ALIGN, 0);
	print_message("# direct I/O here: %s\n", direct ? "yes" : "no");
	assert_int_equal(file_allocate(f, 0, 64 * KIB), 0);
	assert_int_equal(file_write(f, data, 64 * KIB, 0), 0);
	assert_int_equal(file_zero_fill(f, 64 * KIB, 300 * KIB), 0);
	assert_int_equal(file_datasync(f), 0);
	assert_int_equal(file_read(f, back, 64 * KIB, 0, &got), 0);
	assert_int_equal(got, 64 * KIB);
	assert_memory_equal(data, back, 64 * KIB);
	/* a file whose end is no block's end: what there is, no error */
	assert_int_equal(file_truncate(f, 5000), 0);
	memset(back, 0xee, 8192);
	assert_int_equal(file_read(f, back, 8192, 0, &got), 0);
	assert_int_equal(got, 5000);
	assert_memory_equal(data, back, 5000);
	file_close(f);
	free(data);
	free(back);
}

static void
test_lock(void **state)
{
	File	   *a = make("a", 0);
	File	   *b = make("a", 0);

	(void) state;
	assert_int_equal(file_lock(a, false), 0);
	assert_int_equal(file_lock(a, true), 0);	/* the same description: again is no wait */
	assert_int_equal(file_lock(b, false), EWOULDBLOCK);
	assert_int_equal(file_lock_bounded(b, 30), EWOULDBLOCK);
	file_close(a);
	assert_int_equal(file_lock_bounded(b, 1000), 0);
	file_close(b);
}

static void *
close_later(void *arg)
{
	usleep(700000);
	file_close(arg);
	return NULL;
}

static void
lock_with_wait(void *arg)
{
	File	   *a = make("a", 0);
	File	   *b = make("a", 0);
	pthread_t	thread;

	(void) arg;
	if (file_lock(a, false) != 0 || pthread_create(&thread, NULL, close_later, a) != 0)
		_exit(3);
	if (file_lock_bounded(b, 20000) != 0)
		_exit(4);
	pthread_join(thread, NULL);
}

static void
test_lock_wait_is_told(void **state)
{
	UnitChild	c;

	(void) state;
	unit_child(&c, lock_with_wait, NULL);
	assert_true(unit_exited(&c, 0));
	unit_assert_says(&c, "waiting for the lock on");
}

static void
collect_name(const char *name, void *arg)
{
	strcat(arg, name);
	strcat(arg, " ");
}

static void
test_names(void **state)
{
	char		names[1000] = "";

	(void) state;
	file_close(make("one", 0));
	file_close(make("two", 0));
	assert_int_equal(file_rename(unit_path("one"), unit_path("three")), 0);
	assert_int_equal(file_rename(unit_path("one"), unit_path("three")), ENOENT);
	assert_int_equal(file_unlink(unit_path("two")), 0);
	assert_int_equal(file_unlink(unit_path("two")), ENOENT);
	assert_int_equal(file_sync_directory(unit_dir), 0);
	assert_int_equal(file_sync_directory(unit_path("nowhere")), ENOENT);
	assert_int_equal(file_list(unit_dir, collect_name, names), 0);
	assert_string_equal(names, "data three wal ");
	assert_int_equal(file_list(unit_path("nowhere"), collect_name, names), ENOENT);
}

#ifdef ARTERY_FAULTS
/* every kind of call, failing at its second use, gives back that errno, and works again after it */
static void
test_errno_everywhere(void **state)
{
	File	   *f = make("a", 0);
	File	   *g;
	char		buf[100];
	size_t		got;

	(void) state;
#define FAILS_SECOND(point, what, text, call) \
	do { \
		file__fault_arm(point ":" what ":2"); \
		assert_int_equal(call, 0); \
		assert_int_equal(call, text); \
		assert_int_equal(call, 0); \
	} while (0)
	FAILS_SECOND("file-write", "enospc", ENOSPC, file_write(f, "abc", 3, 0));
	FAILS_SECOND("file-read", "eio", EIO, file_read(f, buf, 3, 0, &got));
	FAILS_SECOND("file-write-done", "eio", EIO, file_write(f, "abc", 3, 0));
	FAILS_SECOND("file-datasync", "eio", EIO, file_datasync(f));
	FAILS_SECOND("file-datasync-done", "enospc", ENOSPC, file_datasync(f));
	FAILS_SECOND("file-truncate", "eio", EIO, file_truncate(f, 5));
	FAILS_SECOND("file-allocate", "enospc", ENOSPC, file_allocate(f, 0, 4096));
	FAILS_SECOND("file-lock", "eio", EIO, file_lock(f, false));
	FAILS_SECOND("file-sync-directory", "eio", EIO, file_sync_directory(unit_dir));
	file__fault_arm("file-open@/wanted:enospc:1:0");
	assert_int_equal(file_open(unit_path("wanted"), FILE_WRITE | FILE_CREATE, 0600, &g), ENOSPC);
	assert_int_equal(file_open(unit_path("other"), FILE_WRITE | FILE_CREATE, 0600, &g), 0);
	file_close(g);
	file__fault_arm("file-rename:eio,file-unlink:eperm");
	assert_int_equal(file_rename(unit_path("other"), unit_path("third")), EIO);
	assert_int_equal(file_unlink(unit_path("other")), EPERM);
	assert_int_equal(file_unlink(unit_path("other")), 0);
	file_close(f);
}

static void
test_shorts_and_retries(void **state)
{
	uint8	   *data = random_bytes(100000);
	uint8	   *back = calloc(1, 100000);
	size_t		got;
	File	   *f = make("a", 0);

	(void) state;
	/* every transfer comes back short: resumed until it is whole */
	file__fault_arm("file-write-done:short:1:0,file-read-done:short:1:0");
	assert_int_equal(file_write(f, data, 100000, 77), 0);
	assert_int_equal(file_read(f, back, 100000, 77, &got), 0);
	assert_int_equal(got, 100000);
	assert_memory_equal(data, back, 100000);
	/* interrupted and put off many times, then through */
	file__fault_arm("file-write:eintr:1:40,file-write-done:eagain:1:40");
	assert_int_equal(file_write(f, data, 100, 0), 0);
	/* for ever: an end with that errno */
	file__fault_arm("file-write:eintr:1:0");
	assert_int_equal(file_write(f, data, 100, 0), EINTR);
	/* large requests are split */
	file__fault_arm("");
	file__request_max = 4096;
	assert_int_equal(file_write(f, data, 100000, 0), 0);
	assert_int_equal(file_read(f, back, 100000, 0, &got), 0);
	assert_memory_equal(data, back, 100000);
	file_close(f);
	free(data);
	free(back);
}

/* a device that takes nothing is EIO, not a loop */
static void
test_no_progress(void **state)
{
	FileProgress p = {.len = 100};
	File		f = {.magic = FILE_MAGIC, .fd = -1};

	(void) state;
	file__progress(&p, &f, true, 40);
	assert_false(p.ended);
	assert_int_equal(p.done, 40);
	file__progress(&p, &f, true, 0);
	assert_true(p.ended);
	assert_int_equal(p.error, EIO);
	p = (FileProgress) {.len = 100};
	file__progress(&p, &f, false, 0);	/* a read: the end of the file */
	assert_true(p.ended);
	assert_int_equal(p.error, 0);
	p = (FileProgress) {.len = 100};
	file__progress(&p, &f, true, 101);	/* more than asked for */
	assert_int_equal(p.error, EIO);
	/* direct: a write that stops inside a block goes on from the block's begin; if that is no progress, it is EIO */
	f.direct = f.direct_proven = true;
	p = (FileProgress) {.len = 16384};
	file__progress(&p, &f, true, 9000);
	assert_false(p.ended);
	assert_int_equal(p.done, 8192);
	file__progress(&p, &f, true, 512);
	assert_true(p.ended);
	assert_int_equal(p.error, EIO);
	p = (FileProgress) {.len = 16384};
	file__progress(&p, &f, false, 9000);
	assert_true(p.ended);
	assert_int_equal(p.error, 0);
	assert_int_equal(p.done, 9000);
}

/* the first direct transfer refused: page cache from then on; a later one refused: an error */
static void
test_direct_refused(void **state)
{
	uint8	   *data = random_bytes(8192);
	File	   *f = make("a", FILE_DIRECT);

	(void) state;
	if (file_is_direct(f))
	{
		file__fault_arm("file-write:einval");
		assert_int_equal(file_write(f, data, 8192, 0), 0);
		assert_false(file_is_direct(f));
		file_close(f);
		f = make("b", FILE_DIRECT);
		file__fault_arm("file-write:einval:2");
		assert_int_equal(file_write(f, data, 8192, 0), 0);
		assert_int_equal(file_write(f, data, 8192, 0), EINVAL);
		assert_true(file_is_direct(f));
	}
	file_close(f);
	free(data);
}

static void
hit_step(void *arg)
{
	file__fault_arm(arg);
	FAULT_POINT("wal-before-write");
	FAULT_POINT("wal-before-write");
	fprintf(stderr, "second passed\n");
	FAULT_POINT("wal-before-write");
	fprintf(stderr, "third passed\n");
}

static void
arm_nonsense(void *arg)
{
	file__fault_arm(arg);
}

static void
test_actions(void **state)
{
	UnitChild	c;

	(void) state;
	unit_child(&c, hit_step, "wal-before-write:kill:3");
	assert_true(unit_signaled(&c, SIGKILL));
	unit_assert_says(&c, "second passed");
	unit_child(&c, hit_step, "wal-before-write:abort:2");
	assert_true(unit_signaled(&c, SIGABRT));
	unit_child(&c, hit_step, "wal-before-write:delay_ms=20:1:0");
	assert_true(unit_exited(&c, 0));
	unit_child(&c, hit_step, "wal-before-write:kill:1:1:7");	/* of another generation */
	assert_true(unit_exited(&c, 0));
	unit_assert_says(&c, "third passed");
	unit_child(&c, arm_nonsense, "wal-before-write:explode");
	unit_assert_fatal(&c, "could not understand", NULL);
	unit_child(&c, arm_nonsense, "wal-before-write:eio");	/* a step has no result */
	unit_assert_fatal(&c, "could not understand", NULL);
	unit_child(&c, arm_nonsense, "file-write:short");
	unit_assert_fatal(&c, "could not understand", NULL);
	unit_child(&c, arm_nonsense, "no-such-point:kill");
	assert_true(unit_exited(&c, 0));
	unit_assert_says(&c, "not in the list");
}

static void
test_record(void **state)
{
	char		line[400];
	char		expected[300];
	FILE	   *in;
	File	   *f;
	size_t		got;
	char		buf[3];
	int			lines = 0;

	(void) state;
	file__record_to(unit_path("record"));
	f = make("a", 0);
	assert_int_equal(file_write(f, "abc", 3, 10), 0);
	assert_int_equal(file_read(f, buf, 3, 10, &got), 0);
	assert_int_equal(file_datasync(f), 0);
	assert_int_equal(file_rename(unit_path("a"), unit_path("b")), 0);
	file_close(f);
	file__record_to(NULL);
	in = fopen(unit_path("record"), "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in) != NULL)
	{
		static const char *const begin[] = {
			"begin file-open 0 0 00000000 0", "begin file-write 10 3 364b3fb7 0", "end file-write 10 3 00000000 3",
			"begin file-read 10 3 00000000 0", "end file-read 10 3 364b3fb7 3", "begin file-datasync 0 0 00000000 0",
			"end file-datasync 0 0 00000000 0", "begin file-rename 0 "};

		assert_true(lines < (int) lengthof(begin));
		snprintf(expected, sizeof(expected), "%d %s", (int) getpid(), begin[lines]);
		assert_memory_equal(line, expected, strlen(expected));
		lines++;
	}
	fclose(in);
	assert_int_equal(lines, 8);
	assert_int_equal(crc32c_extend(0, "abc", 3), 0x364b3fb7);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_direct, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock_wait_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
#ifdef ARTERY_FAULTS
		cmocka_unit_test_setup_teardown(test_errno_everywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shorts_and_retries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_progress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_direct_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_actions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_record, setup, teardown),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
