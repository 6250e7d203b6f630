/*
 * control_base.c -- the data file's header page: made, checked, every byte of it
 * damaged, foreign, of another format.
 */
#include "unit_wal.h"

#include "access/base/base.h"
#include "common/base_format.h"
#include "common/control_format.h"
#include "common/crc32c.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int
setup(void **state)
{
	(void) state;
	unit_dir_make();
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	unit_dir_remove();
	return 0;
}

static void
edit(uint64 offset, const void *bytes, size_t len)
{
	int			fd = open(unit_path("data/base"), O_WRONLY);

	assert_true(fd >= 0);
	assert_true(pwrite(fd, bytes, len, (off_t) offset) == (ssize_t) len);
	assert_int_equal(close(fd), 0);
}

static BaseHeader
peek(void)
{
	BaseHeader	h;
	int			fd = open(unit_path("data/base"), O_RDONLY);

	assert_true(fd >= 0);
	assert_true(pread(fd, &h, sizeof(h), 0) == sizeof(h));
	assert_int_equal(close(fd), 0);
	return h;
}

static void
peek_page(uint8 page[BASE_PAGE_SIZE])
{
	int			fd = open(unit_path("data/base"), O_RDONLY);

	assert_true(fd >= 0);
	assert_true(pread(fd, page, BASE_PAGE_SIZE, 0) == BASE_PAGE_SIZE);
	assert_int_equal(close(fd), 0);
}

static const BaseState empty = {.page_count = 1, .live_pages = 1};

static void
check(void *arg)
{
	base_check(unit_dir, UNIT_SYSTEM_ID, arg != NULL ? arg : &empty);
}

static void
test_create(void **state)
{
	struct stat st;
	BaseHeader	h;
	uint8		page[BASE_PAGE_SIZE];

	(void) state;
	base_create(unit_dir, UNIT_SYSTEM_ID);
	base_check(unit_dir, UNIT_SYSTEM_ID, &empty);
	assert_int_equal(stat(unit_path("data/base"), &st), 0);
	assert_int_equal(st.st_size, 16384);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_false(unit_exists(unit_path("data/base.tmp")));
	h = peek();
	assert_memory_equal(&h, "ATERYBAS", 8);
	assert_int_equal(h.format_version, FORMAT_VERSION);
	assert_int_equal(h.page_size, 16384);
	assert_true(h.system_id == UNIT_SYSTEM_ID && h.created_wall_us > 0);
	assert_int_equal(h.crc, crc32c_extend(0, &h, 36));
	assert_int_equal(h.format_version, 3);
	peek_page(page);
	for (size_t i = sizeof(h); i < sizeof(page); i++)
		assert_int_equal(page[i], 0);
}

/* the header as a pure function sees it: sealed nonsense, too */
static void
test_header(void **state)
{
	BaseHeader	h = {.format_version = FORMAT_VERSION, .page_size = BASE_PAGE_SIZE, .system_id = 5};
	const char *why;

	(void) state;
	base_header_seal(&h);
	assert_true(base_header_valid(&h, &why));
	assert_null(why);
	h.reserved = 1;
	assert_false(base_header_valid(&h, &why));
	assert_string_equal(why, "the checksum of its header is wrong");
	h.crc = crc32c_extend(0, &h, 36);
	assert_false(base_header_valid(&h, &why));
	assert_string_equal(why, "the reserved bytes of its header are not zero");
	h.magic++;
	assert_false(base_header_valid(&h, &why));
	assert_string_equal(why, "it does not begin with the mark of a data file");
}

/* a file that is shorter than the control file says is refused, a longer one is what an unfinished checkpoint leaves */
static void
test_length(void **state)
{
	BaseState	ten = {.page_count = 10, .live_pages = 10};
	UnitChild	c;

	(void) state;
	base_create(unit_dir, UNIT_SYSTEM_ID);
	assert_int_equal(truncate(unit_path("data/base"), 10 * BASE_PAGE_SIZE), 0);
	base_check(unit_dir, UNIT_SYSTEM_ID, &ten);
	assert_int_equal(truncate(unit_path("data/base"), 11 * BASE_PAGE_SIZE + 5), 0);
	base_check(unit_dir, UNIT_SYSTEM_ID, &ten);
	assert_int_equal(truncate(unit_path("data/base"), 10 * BASE_PAGE_SIZE - 1), 0);
	unit_child(&c, check, &ten);
	unit_assert_fatal(&c, "data/base\" is damaged: it ends at offset 163839, the control file says that it has 10 pages", "Restore it", NULL);
}

static void
test_refusals(void **state)
{
	UnitChild	c;
	BaseHeader	good;
	BaseHeader	bad;

	(void) state;
	unit_child(&c, check, NULL);
	unit_assert_fatal(&c, "data/base\" is missing", "Restore it", NULL);
	base_create(unit_dir, UNIT_SYSTEM_ID);
	good = peek();
	for (size_t i = 0; i < sizeof(good); i++)
	{
		uint8		byte = ((const uint8 *) &good)[i] ^ (uint8) (1 << unit_random() % 8);

		edit(i, &byte, 1);
		unit_child(&c, check, NULL);
		unit_assert_fatal(&c, "data/base\" is damaged at offset 0", NULL);
		edit(i, &((const uint8 *) &good)[i], 1);
	}
#define REFUSED(change, ...) \
	do { \
		bad = good; \
		change; \
		base_header_seal(&bad); \
		edit(0, &bad, sizeof(bad)); \
		unit_child(&c, check, NULL); \
		unit_assert_fatal(&c, __VA_ARGS__, NULL); \
	} while (0)
	REFUSED(bad.system_id = 7, "is foreign: its system identifier is 0000000000000007, the control file's is 1122334455667788");
	REFUSED(bad.format_version = 1, "has format version 1, this server knows 3", "version of artery that wrote it");
	REFUSED(bad.page_size = 8192, "has pages of 8192 bytes");
	assert_int_equal(truncate(unit_path("data/base"), 16383), 0);
	unit_child(&c, check, NULL);
	unit_assert_fatal(&c, "it ends at offset 16383, inside its header page", NULL);
}

#ifdef ARTERY_FAULTS
static void
create_with(void *fault)
{
	file__fault_arm(fault);
	base_create(unit_dir, UNIT_SYSTEM_ID);
}

static void
test_failures(void **state)
{
	UnitChild	c;

	(void) state;
	unit_child(&c, create_with, "file-write:enospc");
	unit_assert_fatal(&c, "data/base\": No space left on device", NULL);
	assert_false(unit_exists(unit_path("data/base")));
	unit_child(&c, create_with, "file-datasync:eio");
	unit_assert_fatal(&c, "Input/output error", NULL);
	assert_false(unit_exists(unit_path("data/base")));
	unit_child(&c, create_with, "");
	assert_true(unit_exited(&c, 0));
	base_check(unit_dir, UNIT_SYSTEM_ID, &empty);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create, setup, teardown),
		cmocka_unit_test_setup_teardown(test_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_length, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
#ifdef ARTERY_FAULTS
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
