/*
 * aio_queue.c -- file queues and the rings below them, every test by io_uring and
 * by plain calls: many requests through few seats, shorts, retries, errors of one
 * among many, splitting, registered buffers, refusal of the ring and of the
 * registration with one log line each; waits that cannot end are PANIC; the queue
 * as an event loop uses it.
 */
#include "unit_wal.h"

#include "storage/aio/aio.h"
#include "utils/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE 8192
#define PIECES 200

static bool by_uring(FileQueue *q)
{
	return strcmp(file_queue_method(q), "sync") != 0;
}

static int
setup_uring(void **state)
{
	(void) state;
	set_io_method = IO_METHOD_IO_URING;
	set_io_depth = 16;
	file__request_max = FILE_REQUEST_MAX;
	unit_dir_make();
	return 0;
}

static int
setup_sync(void **state)
{
	(void) setup_uring(state);
	set_io_method = IO_METHOD_SYNC;
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
#ifdef ARTERY_FAULTS
	file__fault_arm("");
#endif
	unit_dir_remove();
	return 0;
}

static void
arm(const char *list)
{
#ifdef ARTERY_FAULTS
	file__fault_arm(list);
#else
	(void) list;
#endif
}

static FileQueue *
make_queue(void)
{
	FileQueue  *q = file_queue_create("test");

	if (set_io_method == IO_METHOD_SYNC)
		assert_false(by_uring(q));
	else if (!by_uring(q))
		print_message("# no io_uring here: the same by plain calls\n");
	return q;
}

/* Work -- PIECES writes or reads of one file, in a seeded order */
typedef struct Work
{
	FileQueue  *q;
	File	   *f;
	uint8	   *data;
	uint8	   *back;
	FileIo		io[PIECES];
	FileIo	   *ios[PIECES];
} Work;

static Work *
work_begin(int flags)
{
	Work	   *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->q = make_queue();
	assert_int_equal(file_open(unit_path("a"), FILE_READ | FILE_WRITE | FILE_CREATE | flags, 0600, &w->f), 0);
	w->data = file_alloc_aligned(PIECES * PIECE);
	w->back = file_alloc_aligned(PIECES * PIECE);
	for (size_t i = 0; i < PIECES * PIECE; i++)
		w->data[i] = (uint8) unit_random();
	return w;
}

static void
work_end(Work *w)
{
	file_queue_destroy(w->q);
	file_close(w->f);
	free(w->data);
	free(w->back);
	free(w);
}

static void
work_set(Work *w, FileOp op)
{
	for (int i = 0; i < PIECES; i++)
	{
		memset(&w->io[i], 0, sizeof(w->io[i]));
		w->io[i].op = op;
		w->io[i].file = w->f;
		w->io[i].buf = (op == FILE_OP_WRITE ? w->data : w->back) + i * PIECE;
		w->io[i].len = PIECE;
		w->io[i].offset = (uint64) i * PIECE;
		w->ios[i] = &w->io[i];
	}
	for (int i = PIECES - 1; i > 0; i--)
	{
		int			j = (int) (unit_random() % (uint64) (i + 1));
		FileIo	   *t = w->ios[i];

		w->ios[i] = w->ios[j];
		w->ios[j] = t;
	}
}

static void
work_check(Work *w)
{
	for (int i = 0; i < PIECES; i++)
	{
		assert_true(w->io[i].done);
		assert_int_equal(w->io[i].error, 0);
		assert_int_equal(w->io[i].done_len, PIECE);
	}
}

static void
test_many(void **state)
{
	(void) state;
	for (int flags = 0; flags <= FILE_DIRECT; flags += FILE_DIRECT)
	{
		Work	   *w = work_begin(flags);
		FileIo		sync;
		FileIo	   *one = &sync;

		work_set(w, FILE_OP_WRITE);
		assert_int_equal(file_queue_run(w->q, w->ios, PIECES), 0);
		work_check(w);
		memset(&sync, 0, sizeof(sync));
		sync.op = FILE_OP_DATASYNC;
		sync.file = w->f;
		assert_int_equal(file_queue_run(w->q, &one, 1), 0);
		assert_true(sync.done);
		/* started in two lots, waited for from behind, polled in between */
		work_set(w, FILE_OP_READ);
		assert_int_equal(file_queue_submit(w->q, w->ios, PIECES / 2), 0);
		file_queue_poll(w->q);
		assert_int_equal(file_queue_submit(w->q, w->ios + PIECES / 2, PIECES / 2), 0);
		for (int i = PIECES - 1; i >= 0; i--)
			file_queue_wait(w->q, w->ios[i]);
		work_check(w);
		assert_memory_equal(w->data, w->back, PIECES * PIECE);
		/* destroyed with reads in flight: waits for them first */
		work_set(w, FILE_OP_READ);
		assert_int_equal(file_queue_submit(w->q, w->ios, 10), 0);
		work_end(w);
	}
}

/* as an event loop does it: never more than there is room for, poll on the descriptor, take what is done, each once */
static void
test_collected(void **state)
{
	Work	   *w = work_begin(FILE_DIRECT);
	int			started = 0;
	int			taken = 0;

	(void) state;
	file_queue_collect(w->q);
	assert_int_equal(file_queue_room(w->q), 16);
	assert_null(file_queue_next_done(w->q));
	work_set(w, FILE_OP_WRITE);
	while (taken < PIECES)
	{
		struct pollfd p = {.fd = file_queue_fd(w->q), .events = POLLIN};
		int			n = Min((int) file_queue_room(w->q), PIECES - started);
		FileIo	   *io;

		assert_true(n > 0 || started > taken);
		assert_int_equal(file_queue_submit(w->q, &w->ios[started], n), 0);
		started += n;
		if (p.fd >= 0)
			assert_int_equal(poll(&p, 1, 10000), 1);
		file_queue_poll(w->q);
		while ((io = file_queue_next_done(w->q)) != NULL)
		{
			assert_true(io->done);
			io->done = false;	/* a second time would be seen */
			assert_int_equal(io->done_len, PIECE);
			taken++;
		}
	}
	for (int i = 0; i < PIECES; i++)
		assert_false(w->io[i].done);
	assert_int_equal(file_queue_room(w->q), 16);
	assert_int_equal(file_queue_fd(w->q) >= 0, by_uring(w->q));
	work_set(w, FILE_OP_READ);
	assert_int_equal(file_queue_run(w->q, w->ios, PIECES), 0);
	work_check(w);
	assert_memory_equal(w->back, w->data, PIECES * PIECE);
	for (taken = 0; file_queue_next_done(w->q) != NULL; taken++)
		;
	assert_int_equal(taken, PIECES);
	work_end(w);
}

static void
test_registered(void **state)
{
	Work	   *w = work_begin(FILE_DIRECT);
	bool		registered = file_queue_register(w->q, w->data, PIECES * PIECE / 2);

	(void) state;
	if (set_io_method == IO_METHOD_SYNC)
		assert_false(registered);
	if (registered)
		assert_string_equal(file_queue_method(w->q), "io_uring, registered");
	/* half of the pieces lie in the registered buffer, half do not */
	work_set(w, FILE_OP_WRITE);
	assert_int_equal(file_queue_run(w->q, w->ios, PIECES), 0);
	work_check(w);
	work_set(w, FILE_OP_READ);
	assert_int_equal(file_queue_run(w->q, w->ios, PIECES), 0);
	assert_memory_equal(w->data, w->back, PIECES * PIECE);
	work_end(w);
}

static void
test_end_of_file(void **state)
{
	Work	   *w = work_begin(0);
	FileIo	   *io = &w->io[0];

	(void) state;
	assert_int_equal(file_write(w->f, w->data, 5000, 0), 0);
	work_set(w, FILE_OP_READ);
	w->io[1].offset = 1000000;
	assert_int_equal(file_queue_run(w->q, &io, 1), 0);
	assert_int_equal(io->done_len, 5000);
	io = &w->io[1];
	assert_int_equal(file_queue_run(w->q, &io, 1), 0);
	assert_int_equal(io->done_len, 0);
	/* nothing to do is done at once */
	io->len = 0;
	assert_int_equal(file_queue_run(w->q, &io, 1), 0);
	work_end(w);
}

#ifdef ARTERY_FAULTS
static void
test_faults(void **state)
{
	Work	   *w = work_begin(FILE_DIRECT);
	int			failed = 0;

	(void) state;
	/* every piece short, some put off, some interrupted: whole in the end */
	arm("file-write-done:short:1:0,file-write:eagain:7:5,file-write-done:eintr:30:20");
	work_set(w, FILE_OP_WRITE);
	assert_int_equal(file_queue_run(w->q, w->ios, PIECES), 0);
	work_check(w);
	arm("file-read-done:short:1:0");
	work_set(w, FILE_OP_READ);
	assert_int_equal(file_queue_run(w->q, w->ios, PIECES), 0);
	work_check(w);
	assert_memory_equal(w->data, w->back, PIECES * PIECE);
	/* one of many fails, before or after the call: it alone says so, and the first error comes back */
	arm("file-write:enospc:50,file-write-done:eio:120");
	work_set(w, FILE_OP_WRITE);
	assert_int_not_equal(file_queue_run(w->q, w->ios, PIECES), 0);
	for (int i = 0; i < PIECES; i++)
	{
		assert_true(w->io[i].done);
		failed += w->io[i].error != 0;
	}
	assert_int_equal(failed, 2);
	/* splitting */
	arm("");
	file__request_max = 4096;
	memset(w->back, 0, PIECES * PIECE);
	work_set(w, FILE_OP_WRITE);
	assert_int_equal(file_queue_run(w->q, w->ios, PIECES), 0);
	work_set(w, FILE_OP_READ);
	assert_int_equal(file_queue_run(w->q, w->ios, PIECES), 0);
	work_check(w);
	assert_memory_equal(w->data, w->back, PIECES * PIECE);
	work_end(w);
}

static void
test_datasync_error(void **state)
{
	Work	   *w = work_begin(0);
	FileIo	   *io = &w->io[0];

	(void) state;
	memset(io, 0, sizeof(*io));
	io->op = FILE_OP_DATASYNC;
	io->file = w->f;
	arm("file-datasync-done:eio");
	assert_int_equal(file_queue_run(w->q, &io, 1), EIO);
	assert_int_equal(io->error, EIO);
	arm("file-datasync:eintr:1:3");
	assert_int_equal(file_queue_run(w->q, &io, 1), 0);
	work_end(w);
}

static void
refused_setup(void *arg)
{
	FileQueue  *q;
	char		space[16];

	arm(arg);
	q = file_queue_create("walwriter");
	if (strcmp(file_queue_method(q), "sync") != 0 || file_queue_register(q, space, sizeof(space)))
		_exit(3);
	file_queue_destroy(q);
}

static void
refused_register(void *arg)
{
	FileQueue  *q;
	void	   *space = file_alloc_aligned(64 * KIB);

	arm(arg);
	q = file_queue_create("walwriter");
	if (!by_uring(q))
		_exit(0);
	if (file_queue_register(q, space, 64 * KIB) || strcmp(file_queue_method(q), "io_uring") != 0)
		_exit(3);
	file_queue_destroy(q);
}

static int
count_lines(const char *text)
{
	int			n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static void
test_refused(void **state)
{
	static const char *const setups[] = {"aio-setup@walwriter:eperm", "aio-setup:enosys", "aio-setup:enomem"};
	UnitChild	c;

	(void) state;
	for (size_t i = 0; i < lengthof(setups); i++)
	{
		unit_child(&c, refused_setup, (void *) (uintptr_t) setups[i]);
		assert_true(unit_exited(&c, 0));
		unit_assert_says(&c, "LOG:  io_uring for the walwriter was refused (");
		unit_assert_says(&c, "plain system calls are used instead");
		assert_int_equal(count_lines(c.err), 1);
	}
	unit_child(&c, refused_register, "aio-register:enomem");
	assert_true(unit_exited(&c, 0));
	if (c.err[0] != '\0' && strstr(c.err, "for the walwriter was refused") == NULL)
		fail_msg("%s", c.err);
	assert_int_equal(count_lines(c.err), 1);
}
#endif

static void
wait_for_nothing(void *arg)
{
	FileQueue  *q = file_queue_create("test");
	FileIo		io = {.op = FILE_OP_READ};

	(void) arg;
	file_queue_wait(q, &io);
}

static void
next_of_nothing(void *arg)
{
	AioRing    *ring = NULL;

	if (arg == NULL || aio_create_uring(8, &ring) != 0)
		ring = aio_create_sync(8);
	(void) aio_next(ring, true);
}

static void
answer_twice(void *arg)
{
	AioRing    *ring;
	AioRequest	r = {.op = AIO_READ, .fd = 0};
	char		buf[10];
	int			fd = open("/dev/zero", O_RDONLY);

	(void) arg;
	if (aio_create_uring(8, &ring) != 0)
		abort();
	r.fd = fd;
	r.buf = buf;
	r.len = sizeof(buf);
	aio_start(ring, &r);
	aio_flush(ring);
	r.state = AIO_DONE;			/* as if its answer had been taken already */
	(void) aio_next(ring, true);
}

static void
test_impossible(void **state)
{
	UnitChild	c;

	(void) state;
	unit_child(&c, wait_for_nothing, NULL);
	assert_true(unit_signaled(&c, SIGABRT));
	unit_assert_says(&c, "PANIC:  a wait for file I/O that was not started");
	unit_child(&c, next_of_nothing, set_io_method == IO_METHOD_SYNC ? NULL : "uring");
	assert_true(unit_signaled(&c, SIGABRT));
	unit_assert_says(&c, "PANIC:  a wait for file I/O while none is in flight");
	if (set_io_method == IO_METHOD_IO_URING)
	{
		unit_child(&c, answer_twice, NULL);
		assert_true(unit_signaled(&c, SIGABRT));
		if (c.err[0] != '\0')
			unit_assert_says(&c, "PANIC:  io_uring answered a request that is not in flight");
	}
}

/* as an ordinary user with a small memory lock limit, a large registration is refused and all goes on */
static void
small_memlock(void *arg)
{
	struct rlimit limit = {64 * KIB, 64 * KIB};
	size_t		len = 8 * MIB;
	void	   *space = file_alloc_aligned(len);
	FileQueue  *q;
	File	   *f;
	FileIo		io;
	FileIo	   *one = &io;

	(void) arg;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || setegid(65534) != 0 || setuid(65534) != 0)
		_exit(0);				/* not root: nothing to give up, and no way to try */
	q = file_queue_create("walwriter");
	if (!by_uring(q))
		_exit(0);
	if (file_queue_register(q, space, len))
		_exit(3);
	if (file_open("/dev/zero", FILE_READ, 0, &f) != 0)
		_exit(4);
	memset(&io, 0, sizeof(io));
	io.op = FILE_OP_READ;
	io.file = f;
	io.buf = space;
	io.len = 4096;
	if (file_queue_run(q, &one, 1) != 0 || io.done_len != 4096)
		_exit(5);
	fprintf(stderr, "went on\n");
}

static void
test_memlock(void **state)
{
	UnitChild	c;

	(void) state;
	unit_child(&c, small_memlock, NULL);
	assert_true(unit_exited(&c, 0));
	if (strstr(c.err, "went on") != NULL)
		unit_assert_says(&c, "with io_uring for the walwriter was refused");
}

#define BOTH(test) \
	{#test " (io_uring)", test, setup_uring, teardown, NULL}, {#test " (sync)", test, setup_sync, teardown, NULL}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_many),
		BOTH(test_collected),
		BOTH(test_registered),
		BOTH(test_end_of_file),
#ifdef ARTERY_FAULTS
		BOTH(test_faults),
		BOTH(test_datasync_error),
		cmocka_unit_test_setup_teardown(test_refused, setup_uring, teardown),
#endif
		BOTH(test_impossible),
		cmocka_unit_test_setup_teardown(test_memlock, setup_uring, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
