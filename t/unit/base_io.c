/*
 * base_io.c -- batches of pages, by io_uring and by plain calls: several batches
 * share one submission and one sync, the last copy of a page wins, an error is told
 * to every batch by its errno and nothing is synced; shorts are resumed, neighbours
 * joined; the planner's two halves.  With io_uring completions come in any order.
 */
#include "unit_base.h"

#include "utils/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PAGES 64

static BaseIo *io;
static File *file;
static uint8 *page[PAGES];		/* page i is full of the byte i + 1 */
static uint8 *memory;

static int
setup_uring(void **state)
{
	(void) state;
	set_io_method = IO_METHOD_IO_URING;
	set_io_depth = 16;
	unit_dir_make();
	assert_int_equal(file_open(unit_path("base"), FILE_READ | FILE_WRITE | FILE_CREATE | FILE_DIRECT, 0600, &file), 0);
	io = base__io_create(file, 8);
	memory = file_alloc_aligned(PAGES * BASE_PAGE_SIZE);
	for (int i = 0; i < PAGES; i++)
	{
		page[i] = memory + i * BASE_PAGE_SIZE;
		memset(page[i], i + 1, BASE_PAGE_SIZE);
	}
	return 0;
}

static int
setup_sync(void **state)
{
	(void) setup_uring(state);
	base__io_destroy(io);
	set_io_method = IO_METHOD_SYNC;
	io = base__io_create(file, 8);
	assert_string_equal(base__io_method(io), "sync");
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
#ifdef ARTERY_FAULTS
	file__fault_arm("");
#endif
	base__io_destroy(io);
	file_close(file);
	free(memory);
	unit_dir_remove();
	return 0;
}

/* byte_at -- what the file has for page 'number'; all of it must be the same; -1: the file is shorter. */
static int
byte_at(uint64 number)
{
	uint8		bytes[BASE_PAGE_SIZE];
	int			fd = open(unit_path("base"), O_RDONLY);
	ssize_t		n = pread(fd, bytes, sizeof(bytes), (off_t) (number * BASE_PAGE_SIZE));

	assert_int_equal(close(fd), 0);
	if (n < (ssize_t) sizeof(bytes))
		return -1;
	for (size_t i = 1; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], bytes[0]);
	return bytes[0];
}

static void
assert_report(const BaseBatch *b, uint64 to_write, uint64 written, uint64 to_free, uint64 freed, int error)
{
	assert_int_equal(b->report.to_write, to_write);
	assert_int_equal(b->report.written, written);
	assert_int_equal(b->report.to_free, to_free);
	assert_int_equal(b->report.freed, freed);
	assert_int_equal(b->report.error, error);
}

static void
test_coalesced_epochs_share_one_store_batch_and_sync(void **state)
{
	BaseBatchPage one = {3, page[0]};
	BaseBatchPage two = {9, page[1]};
	BaseBatch	first = {.pages = &one, .count = 1, .to_free = 5};
	BaseBatch	second = {.pages = &two, .count = 1, .to_free = 7};
	BaseBatch  *both[] = {&first, &second};

	(void) state;
	assert_int_equal(base_io_commit(io, both, 2, true), 0);
	assert_int_equal(base__io_stats(io)->write_batches, 1);
	assert_int_equal(base__io_stats(io)->flushes, 1);
	assert_int_equal(base__io_stats(io)->pages, 2);
	assert_report(&first, 1, 1, 5, 5, 0);
	assert_report(&second, 1, 1, 7, 7, 0);
	assert_int_equal(byte_at(3), 1);
	assert_int_equal(byte_at(9), 2);
}

static void
test_coalesced_epochs_preserve_repeated_order(void **state)
{
	(void) state;
	for (uint64 round = 0; round < 50; round++)
	{
		/* the same pages in every batch, in other orders, among others */
		BaseBatchPage list[4][PAGES / 4];
		BaseBatch	batch[4];
		BaseBatch  *all[4];

		memset(batch, 0, sizeof(batch));
		for (uint64 i = 0; i < 4; i++)
		{
			for (uint64 j = 0; j < PAGES / 4; j++)
				list[i][j] = (BaseBatchPage) {1 + ((i + 1) * 7 * j + round) % 16, page[i * (PAGES / 4) + j]};
			batch[i].pages = list[i];
			batch[i].count = PAGES / 4;
			all[i] = &batch[i];
		}
		assert_int_equal(base_io_commit(io, all, 4, round % 2 == 0), 0);
		for (uint64 number = 1; number <= 16; number++)
			for (int i = PAGES - 1; i >= 0; i--)
				if (list[i / (PAGES / 4)][i % (PAGES / 4)].number == number)
				{
					assert_int_equal(byte_at(number), i + 1);
					break;
				}
		for (int i = 0; i < 4; i++)
			assert_report(&batch[i], PAGES / 4, PAGES / 4, 0, 0, 0);
	}
	assert_int_equal(base__io_stats(io)->write_batches, 50);
	assert_int_equal(base__io_stats(io)->flushes, 25);
	assert_true(base__io_stats(io)->pages <= 50 * 16);	/* replaced copies are not written */
}

/* the plainest case of it: one page twice */
static void
test_last_image_wins(void **state)
{
	BaseBatchPage one = {4, page[0]};
	BaseBatchPage two = {4, page[1]};
	BaseBatch	first = {.pages = &one, .count = 1};
	BaseBatch	second = {.pages = &two, .count = 1};
	BaseBatch  *both[] = {&first, &second};

	(void) state;
	assert_int_equal(base_io_commit(io, both, 2, true), 0);
	assert_int_equal(byte_at(4), 2);
	assert_int_equal(base__io_stats(io)->pages, 1);
	assert_int_equal(base__io_stats(io)->writes, 1);
}

#ifdef ARTERY_FAULTS
static void
error_case(const char *fault, int error, const char *text)
{
	BaseBatchPage one[] = {{3, page[0]}, {4, page[8]}};
	BaseBatchPage two = {9, page[1]};
	BaseBatch	first = {.pages = one, .count = 2, .to_free = 5};
	BaseBatch	second = {.pages = &two, .count = 1, .to_free = 7};
	BaseBatch  *both[] = {&first, &second};
	BaseIoStats before = *base__io_stats(io);

	file__fault_arm(fault);
	assert_int_equal(base_io_commit(io, both, 2, true), error);
	file__fault_arm("");
	assert_report(&first, 2, 0, 5, 0, error);
	assert_report(&second, 1, 0, 7, 0, error);
	for (int i = 0; i < 2; i++)
		if (strstr(both[i]->report.text, text) == NULL)
			fail_msg("\"%s\" is not in \"%s\"", text, both[i]->report.text);
	assert_int_equal(base__io_stats(io)->flushes, before.flushes);
	assert_int_equal(base__io_stats(io)->pages, before.pages);
	/* all of it is still to do, and can be done */
	assert_int_equal(base_io_commit(io, both, 2, true), 0);
	assert_report(&first, 2, 2, 5, 5, 0);
	assert_report(&second, 1, 1, 7, 7, 0);
	assert_int_equal(base__io_stats(io)->flushes, before.flushes + 1);
	assert_int_equal(base__io_stats(io)->pages, before.pages + 3);
	assert_int_equal(byte_at(9), 2);
}

static void
test_coalesced_epoch_write_error_restores_without_sync(void **state)
{
	(void) state;
	for (int nth = 1; nth <= 3; nth++)		/* completions come in any order: which page it hits is open */
	{
		char		fault[32];

		snprintf(fault, sizeof(fault), "file-write-done:eio:%d", nth);
		error_case(fault, EIO, "of data/base: Input/output error");
	}
	error_case("file-write:enospc:2", ENOSPC, "could not write page 4 of data/base: No space left on device");
	error_case("file-write:enospc:1:0", ENOSPC, "could not write page 3 of data/base: No space left on device");
	/* a write that stops half-way, and then for good */
	error_case("file-write-done:short:2,file-write:enospc:4", ENOSPC, "could not write page");
	error_case("file-write-done:short:1:0,file-write-done:eio:5:0", EIO, "could not write page");
}

/* a sync that fails: the pages may be anywhere, nothing is freed, and it is not tried again */
static void
test_sync_error(void **state)
{
	BaseBatchPage one = {3, page[0]};
	BaseBatch	first = {.pages = &one, .count = 1, .to_free = 5};
	BaseBatch  *all[] = {&first};

	(void) state;
	file__fault_arm("file-datasync-done:eio");
	assert_int_equal(base_io_commit(io, all, 1, true), EIO);
	assert_report(&first, 1, 0, 5, 0, EIO);
	assert_string_equal(first.report.text, "could not sync data/base: Input/output error");
	assert_int_equal(base__io_stats(io)->flushes, 1);
}

static void
test_shorts_and_retries(void **state)
{
	BaseBatchPage list[PAGES];
	BaseBatch	batch = {.pages = list, .count = PAGES};
	BaseBatch  *all[] = {&batch};

	(void) state;
	for (uint64 i = 0; i < PAGES; i++)
		list[i] = (BaseBatchPage) {1 + i * 37 % PAGES, page[i]};
	file__fault_arm("file-write-done:short:3:20,file-write-done:eintr:30:5,file-write:eagain:50:3");
	assert_int_equal(base_io_commit(io, all, 1, false), 0);
	file__fault_arm("");
	assert_report(&batch, PAGES, PAGES, 0, 0, 0);
	for (uint64 i = 0; i < PAGES; i++)
		assert_int_equal(byte_at(1 + i * 37 % PAGES), (int) i + 1);
}

/* put 20 pages; the n-th write fails: the error is known at the drain at the latest, and is gone after it */
static void
test_halves_error(void **state)
{
	(void) state;
	for (int nth = 1; nth <= 3; nth++)
	{
		uint64		number;
		char		fault[64];

		snprintf(fault, sizeof(fault), "file-write-done:enospc:%d", nth);
		file__fault_arm(fault);
		for (uint64 i = 0; i < 20; i++)
		{
			memcpy(base__io_frame(io), page[i], BASE_PAGE_SIZE);
			(void) base__io_put(io, 2 + 3 * i);
		}
		assert_int_equal(base__io_drain(io), ENOSPC);
		(void) base__io_error(io, &number);
		assert_true(number % 3 == 2 && number < 2 + 3 * 8);
		assert_int_equal(base__io_error(io, &number), 0);
		file__fault_arm("");
		/* given up half-way: nothing of it comes later */
		memcpy(base__io_frame(io), page[40], BASE_PAGE_SIZE);
		(void) base__io_put(io, 900);
		base__io_cancel(io);
		assert_int_equal(base__io_drain(io), 0);
		assert_int_equal(byte_at(900), -1);
	}
}
#endif

/* the planner's way: frames are filled while the other half is on its way */
static void
test_halves(void **state)
{
	uint64		gone = 0;

	(void) state;
	for (uint64 round = 0; round < 5; round++)
	{
		for (uint64 i = 0; i < PAGES - round; i++)
		{
			memcpy(base__io_frame(io), page[i], BASE_PAGE_SIZE);
			gone += base__io_put(io, 1 + (round % 2 == 0 ? i : i * 5));
		}
		assert_int_equal(base__io_drain(io), 0);
		for (uint64 i = 0; i < PAGES - round; i++)
			assert_int_equal(byte_at(1 + (round % 2 == 0 ? i : i * 5)), (int) i + 1);
	}
	assert_int_equal(gone, 5 * (PAGES / 8) - 4);
	assert_int_equal(base__io_stats(io)->pages, 5 * PAGES - 10);
	assert_int_equal(base__io_stats(io)->flushes, 0);
	assert_int_equal(base__io_drain(io), 0);
}

/* neighbours on disk and in memory go as one request, up to a bound */
static void
test_joined(void **state)
{
	BaseBatchPage list[PAGES];
	BaseBatch	batch = {.pages = list, .count = PAGES};
	BaseBatch  *all[] = {&batch};

	(void) state;
	for (uint64 i = 0; i < PAGES; i++)
		list[i] = (BaseBatchPage) {i < 40 ? 1 + i : 10 + 2 * i, page[i]};
	assert_int_equal(base_io_commit(io, all, 1, false), 0);
	assert_int_equal(base__io_stats(io)->writes, 3 + 24);	/* 16, 16, 8 pages; the others one by one */
	for (uint64 i = 0; i < PAGES; i++)
		assert_int_equal(byte_at(i < 40 ? 1 + i : 10 + 2 * i), (int) i + 1);
	/* the other way round in memory: no neighbours */
	for (uint64 i = 0; i < 40; i++)
		list[i] = (BaseBatchPage) {1 + i, page[39 - i]};
	batch.count = 40;
	assert_int_equal(base_io_commit(io, all, 1, false), 0);
	assert_int_equal(base__io_stats(io)->writes, 3 + 24 + 40);
	for (uint64 i = 0; i < 40; i++)
		assert_int_equal(byte_at(1 + i), 40 - (int) i);
}

#define BOTH(test) cmocka_unit_test_setup_teardown(test, setup_uring, teardown), \
	cmocka_unit_test_setup_teardown(test, setup_sync, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_coalesced_epochs_share_one_store_batch_and_sync),
		BOTH(test_coalesced_epochs_preserve_repeated_order),
		BOTH(test_last_image_wins),
		BOTH(test_halves),
		BOTH(test_joined),
#ifdef ARTERY_FAULTS
		BOTH(test_coalesced_epoch_write_error_restores_without_sync),
		BOTH(test_sync_error),
		BOTH(test_shorts_and_retries),
		BOTH(test_halves_error),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
