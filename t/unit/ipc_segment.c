/*
 * ipc_segment.c -- the segment: layout, names, leftovers, reservation.
 *
 * The real thing in /dev/shm and as a memory file, each in a child process of its
 * own, because refusals are FATAL and descriptors must not leak into other tests.
 * A full /dev/shm is a small tmpfs of our own, mounted in a private name space:
 * that part needs root, and is left out otherwise.
 */
#include "storage/ipc/epoch.h"
#include "storage/ipc/segment_internal.h"
#include "utils/clock.h"
#include "utils/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* more than any machine of ours has, in memory and in huge pages; TSan leaves no room for a TiB */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HUGE_LIMIT (96 * GIB)
#endif
#endif
#ifndef HUGE_LIMIT
#define HUGE_LIMIT (1024 * GIB)
#endif

static size_t
odd_size(void)
{
	return 4097;
}

static void
odd_init(void *region)
{
	memset(region, 0x5a, odd_size());
}

static const SegmentRegion regions[] = {
	{REGION_CONTROL, "control", segment_control_size, segment_control_init},
	{REGION_PROCS, "procs", proc_region_size, proc_region_init},
	{REGION_EPOCH, "epoch", epoch_region_size, epoch_region_init},
	{REGION_STORE, "store", odd_size, odd_init},
};

static char directory[64];		/* stands for a data directory */

static int
setup(void **state)
{
	(void) state;
	(void) snprintf(directory, sizeof(directory), "/tmp/ipc_segment.XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	set_memory_limit = 64 * (int64) MIB;
	set_buffer_pool_size = 1 * (int64) MIB;
	set_wal_buffers = 2 * (int64) MIB;
	set_shared_memory_type = SHARED_MEMORY_POSIX;
	set_huge_pages = HUGE_PAGES_OFF;
	proc_configure(4);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	return rmdir(directory);
}

/*
 * in_child -- run 'body' in a child; its exit status, with what it wrote to
 * standard error in 'said'.
 */
static char said[8192];

static int
in_child(void (*body)(void))
{
	int			fds[2];
	size_t		len = 0;
	ssize_t		n;
	int			status;
	pid_t		pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		(void) dup2(fds[1], STDERR_FILENO);
		(void) close(fds[0]);
		(void) close(fds[1]);
		body();
		_exit(0);
	}
	(void) close(fds[1]);
	while (len < sizeof(said) - 1 && (n = read(fds[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t) n;
	said[len] = '\0';
	(void) close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (said[0] != '\0')
		print_message("# %.*s\n", (int) strcspn(said, "\n"), said);
	return status;
}

#define CHECK(c)                                                                          \
	do {                                                                                  \
		if (!(c))                                                                         \
		{                                                                                 \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #c, errno);     \
			_exit(99);                                                                    \
		}                                                                                 \
	} while (0)

static void
path_of(const char *name, char *path, size_t size)
{
	(void) snprintf(path, size, "/dev/shm%s", name);
}

static void
check_layout(void)
{
	uint64		end = SEGMENT_REGION_ALIGN;

	CHECK(segment_check(seg_base) == NULL);
	for (int id = 0; id < REGION_COUNT; id++)
	{
		uint64		size = segment_region_size((RegionId) id);
		Off			off = segment_region_offset((RegionId) id);

		if (size == 0)
		{
			CHECK(segment_region((RegionId) id) == NULL);
			continue;
		}
		CHECK(segment_region((RegionId) id) == seg_base + off);
		CHECK(off >= end);
		CHECK(off % (id >= REGION_WAL_RING ? SEGMENT_LARGE_ALIGN : SEGMENT_REGION_ALIGN) == 0);
		CHECK(seg_off(seg_ptr(off)) == off);
		end = off + size;
	}
	CHECK((uintptr_t) seg_base % SEGMENT_LARGE_ALIGN == 0);
	CHECK(strcmp(segment_region_name(REGION_STORE), "store") == 0);
	CHECK(segment_region_size(REGION_STORE) == 4097);
	CHECK(((uint8 *) segment_region(REGION_STORE))[4096] == 0x5a);
	CHECK(atomic_load(&seg_control->server_state) == SERVER_STARTING);
	CHECK(proc_slot(0)->magic == PROC_SLOT_MAGIC);
	CHECK(end <= segment_total_size());
}

static void
body_private(void)
{
	segment_create_private(regions, lengthof(regions), 8 * MIB, 1 * MIB, 3);
	CHECK(proc_slot_count == 3);
	check_layout();
	CHECK(segment_region_size(REGION_NODES) == 8 * MIB);
	CHECK(segment_region_size(REGION_WAL_RING) == 1 * MIB);
	CHECK(segment_region(REGION_BUFFERS) == NULL);
	CHECK(segment_reserve(segment_region_offset(REGION_NODES), 8 * MIB) == 0);
	memset(segment_region(REGION_NODES), 1, 8 * MIB);
	segment_create_private(regions, lengthof(regions), 0, 0, 1);	/* again: the first is gone */
	check_layout();
	CHECK(segment_region(REGION_NODES) == NULL);
	segment_destroy();
	CHECK(seg_base == NULL);
}

static void
test_private(void **state)
{
	(void) state;
	assert_int_equal(in_child(body_private), 0);
}

static void
body_posix(void)
{
	struct stat st;
	char		path[128];
	int			fd;
	const SegmentHeader *other;
	uint64		blocks;

	segment_create(directory, regions, lengthof(regions));
	check_layout();
	CHECK(strcmp(segment_name(), segment_plan_name(directory)) == 0);
	path_of(segment_name(), path, sizeof(path));
	CHECK(stat(path, &st) == 0);
	CHECK((st.st_mode & 07777) == 0600);
	CHECK((uint64) st.st_size == segment_total_size());

	/* memory stands behind the small regions and the ring, not behind buffers and nodes */
	blocks = (uint64) st.st_blocks * 512;
	CHECK(blocks >= segment_region_offset(REGION_WAL_RING) + segment_region_size(REGION_WAL_RING) - SEGMENT_LARGE_ALIGN);
	CHECK(blocks < segment_region_offset(REGION_BUFFERS) + MIB);
	CHECK(segment_reserve(segment_region_offset(REGION_NODES), SEGMENT_CHUNK) == 0);
	CHECK(stat(path, &st) == 0);
	CHECK((uint64) st.st_blocks * 512 >= blocks + SEGMENT_CHUNK);
	CHECK(segment_reserve(segment_region_offset(REGION_NODES) + 100, 1) == 0);	/* not aligned: rounded outwards */

	/* another mapping, elsewhere, of the same object: offsets lead to the same bytes */
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	other = mmap(NULL, segment_total_size(), PROT_READ, MAP_SHARED, fd, 0);
	CHECK(other != MAP_FAILED && (const char *) other != seg_base);
	CHECK(segment_check(other) == NULL);
	CHECK(strcmp(other->region[REGION_STORE].name, "store") == 0);
	CHECK(((const uint8 *) other)[other->region[REGION_STORE].offset + 7] == 0x5a);

	/* a different layout, program or file is recognised */
	((SegmentHeader *) seg_base)->region[REGION_NODES].offset += 8;
	CHECK(strstr(segment_check(other), "layout") != NULL);
	((SegmentHeader *) seg_base)->region[REGION_NODES].offset -= 8;
	((SegmentHeader *) seg_base)->version++;
	CHECK(strstr(segment_check(other), "version") != NULL);
	((SegmentHeader *) seg_base)->magic++;
	CHECK(strstr(segment_check(other), "not a segment") != NULL);
	segment_destroy();
	CHECK(access(path, F_OK) != 0 && errno == ENOENT);
	CHECK(segment_name()[0] == '\0');
}

static void
test_posix(void **state)
{
	(void) state;
	assert_int_equal(in_child(body_posix), 0);
}

static void
body_leave_behind(void)
{
	segment_create(directory, regions, lengthof(regions));
}

static void
body_take_over(void)
{
	segment_create(directory, regions, lengthof(regions));
	CHECK(strcmp(segment_name(), segment_plan_name(directory)) == 0);
	segment_destroy();
}

/* what a killed server left is replaced, with a log line; the segment of a living one is not touched */
static void
test_leftover(void **state)
{
	char		path[128];
	char		name[64];
	int			fd;

	(void) state;
	(void) snprintf(name, sizeof(name), "%s", segment_plan_name(directory));
	path_of(name, path, sizeof(path));
	assert_int_equal(in_child(body_leave_behind), 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(in_child(body_take_over), 0);
	assert_non_null(strstr(said, "removed the shared memory"));
	assert_int_not_equal(access(path, F_OK), 0);

	assert_int_equal(in_child(body_leave_behind), 0);
	assert_true(segment_unlink_leftover(name));
	assert_false(segment_unlink_leftover(name));
	assert_int_not_equal(access(path, F_OK), 0);

	/* names that are none of ours, whatever a pid file says */
	fd = shm_open("/foreign-object", O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_false(segment_unlink_leftover("/foreign-object"));
	assert_false(segment_unlink_leftover("/artery-../foreign-object"));
	assert_false(segment_unlink_leftover(""));
	assert_false(segment_unlink_leftover("-"));
	assert_int_equal(access("/dev/shm/foreign-object", F_OK), 0);
	(void) close(fd);
	(void) shm_unlink("/foreign-object");
}

static void
body_beside_a_living_one(void)
{
	segment_create(directory, regions, lengthof(regions));
	CHECK(strcmp(segment_name(), segment_plan_name(directory)) != 0);
	CHECK(strncmp(segment_name(), segment_plan_name(directory), strlen(segment_plan_name(directory))) == 0);
	segment_destroy();
}

static void
test_living_segment_is_respected(void **state)
{
	char		name[64];
	char		path[128];
	int			fd;

	(void) state;
	(void) snprintf(name, sizeof(name), "%s", segment_plan_name(directory));
	path_of(name, path, sizeof(path));
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);	/* as a living server holds it */
	assert_false(segment_unlink_leftover(name));
	assert_int_equal(in_child(body_beside_a_living_one), 0);
	assert_int_equal(access(path, F_OK), 0);
	(void) close(fd);
	assert_true(segment_unlink_leftover(name));
}

static void
body_memfd(void)
{
	int			fd;

	set_shared_memory_type = SHARED_MEMORY_MEMFD;
	CHECK(segment_plan_name(directory)[0] == '\0');
	segment_create(directory, regions, lengthof(regions));
	CHECK(segment_name()[0] == '\0');
	check_layout();
	fd = segment_descriptor();
	CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	CHECK(ftruncate(fd, 4096) != 0 && errno == EPERM);	/* sealed */
	CHECK(segment_reserve(segment_region_offset(REGION_NODES), 4 * MIB) == 0);
	memset(segment_region(REGION_NODES), 1, 4 * MIB);
	/* inherited by fork, with the contents */
	if (fork() == 0)
	{
		CHECK(((uint8 *) segment_region(REGION_NODES))[MIB] == 1);
		CHECK(segment_reserve(segment_region_offset(REGION_NODES) + 4 * MIB, MIB) == 0);
		((uint8 *) segment_region(REGION_NODES))[4 * MIB] = 2;
		_exit(0);
	}
	CHECK(wait(NULL) > 0);
	CHECK(((uint8 *) segment_region(REGION_NODES))[4 * MIB] == 2);
	segment_destroy();
}

static void
test_memfd(void **state)
{
	(void) state;
	assert_int_equal(in_child(body_memfd), 0);
}

/* ---- start takes no time that grows with memory_limit ---- */

static void
body_huge_limit(void)
{
	uint64		begin = clock_mono_us();

	set_memory_limit = (int64) HUGE_LIMIT;
	segment_create(directory, regions, lengthof(regions));
	CHECK(clock_mono_us() - begin < 1000000);
	CHECK(segment_region_size(REGION_NODES) == HUGE_LIMIT);
	segment_destroy();
}

static void
test_start_time(void **state)
{
	(void) state;
	assert_int_equal(in_child(body_huge_limit), 0);
	assert_non_null(strstr(said, "Writers will get -OOM"));	/* no machine of ours has that much */
}

/* ---- signals do not disturb a reservation ---- */

static volatile sig_atomic_t alarms;

static void
on_alarm(int signo)
{
	(void) signo;
	alarms++;
}

static void
body_signal_storm(void)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval timer = {{0, 200}, {0, 200}};

	segment_create(directory, regions, lengthof(regions));
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
	for (int i = 0; i < 8; i++)
		CHECK(segment_reserve(segment_region_offset(REGION_NODES) + (Off) i * 8 * MIB, 8 * MIB) == 0);
	while (alarms < 3)
		(void) usleep(1000);
	segment_destroy();
}

static void
test_signal_storm(void **state)
{
	(void) state;
	assert_int_equal(in_child(body_signal_storm), 0);
}

/* ---- a full /dev/shm ---- */

static bool
small_dev_shm(const char *options)
{
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
		&& mount("tmpfs", "/dev/shm", "tmpfs", 0, options) == 0;
}

static void
body_full_at_start(void)
{
	CHECK(small_dev_shm("size=1m"));
	segment_create(directory, regions, lengthof(regions));
}

static void
body_full_later(void)
{
	Off			nodes;
	uint64		reserved = 0;
	int			error;

	CHECK(small_dev_shm("size=8m"));
	segment_create(directory, regions, lengthof(regions));
	nodes = segment_region_offset(REGION_NODES);
	while ((error = segment_reserve(nodes + reserved, SEGMENT_CHUNK)) == 0)
	{
		memset(seg_ptr(nodes + reserved), 7, SEGMENT_CHUNK);	/* no SIGBUS in what was promised */
		reserved += SEGMENT_CHUNK;
	}
	CHECK(error == ENOSPC);
	CHECK(reserved >= 2 * MIB && reserved < 8 * MIB);
	segment_destroy();
}

static void
body_memfd_needs_no_dev_shm(void)
{
	CHECK(small_dev_shm("size=64k"));
	set_shared_memory_type = SHARED_MEMORY_MEMFD;
	segment_create(directory, regions, lengthof(regions));
	CHECK(segment_reserve(segment_region_offset(REGION_NODES), 16 * MIB) == 0);
	segment_destroy();
}

static void
body_huge_mount(void)
{
	CHECK(small_dev_shm("size=64m,huge=advise"));
	set_huge_pages = HUGE_PAGES_ON;
	segment_create(directory, regions, lengthof(regions));
	CHECK(strcmp(segment_huge_page_state(), "on") == 0);
	segment_destroy();
}

static void
test_full_dev_shm(void **state)
{
	(void) state;
	assert_int_equal(in_child(body_full_at_start), 1 << 8);	/* FATAL */
	assert_non_null(strstr(said, "could not reserve"));
	assert_non_null(strstr(said, "1.0 MB are free in /dev/shm"));
	assert_non_null(strstr(said, "shared_memory_type = memfd"));
	assert_int_equal(in_child(body_full_later), 0);
	assert_int_equal(in_child(body_memfd_needs_no_dev_shm), 0);
	assert_int_equal(in_child(body_huge_mount), 0);
}

/* ---- huge pages refused ---- */

static void
body_huge_try(void)
{
	set_huge_pages = HUGE_PAGES_TRY;
	segment_create(directory, regions, lengthof(regions));
	check_layout();
	/* either it has them, or it says why not: in one line of the log and in the status */
	if (strcmp(segment_huge_page_state(), "on") != 0)
		CHECK(strncmp(segment_huge_page_state(), "refused: ", 9) == 0);
	segment_destroy();
}

static void
body_huge_try_memfd(void)
{
	set_shared_memory_type = SHARED_MEMORY_MEMFD;
	set_memory_limit = (int64) HUGE_LIMIT;
	body_huge_try();
}

static void
body_huge_on_memfd(void)
{
	set_shared_memory_type = SHARED_MEMORY_MEMFD;
	set_memory_limit = (int64) HUGE_LIMIT;
	set_huge_pages = HUGE_PAGES_ON;
	segment_create(directory, regions, lengthof(regions));
}

static void
test_huge_pages(void **state)
{
	(void) state;
	assert_int_equal(in_child(body_huge_try), 0);
	assert_int_equal(in_child(body_huge_try_memfd), 0);
	assert_non_null(strstr(said, "going on without huge pages: "));
	assert_null(strstr(strchr(said, '\n') + 1, "huge"));	/* one line */
	assert_int_equal(in_child(body_huge_on_memfd), 1 << 8);
	assert_non_null(strstr(said, "huge pages are not available: "));
	assert_non_null(strstr(said, "huge_pages = try"));
}

static void
body_may_mount(void)
{
	if (!small_dev_shm("size=1m"))
		_exit(1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_posix),
		cmocka_unit_test(test_leftover),
		cmocka_unit_test(test_living_segment_is_respected),
		cmocka_unit_test(test_memfd),
		cmocka_unit_test(test_start_time),
		cmocka_unit_test(test_signal_storm),
		cmocka_unit_test(test_huge_pages),
	};
	const struct CMUnitTest root_tests[] = {
		cmocka_unit_test(test_full_dev_shm),
	};
	struct CMUnitTest all[lengthof(tests) + lengthof(root_tests)];
	size_t		count = lengthof(tests);

	memcpy(all, tests, sizeof(tests));
	if (in_child(body_may_mount) == 0)
	{
		memcpy(&all[count], root_tests, sizeof(root_tests));
		count += lengthof(root_tests);
	}
	else
		printf("# not tested: a full /dev/shm (mounting needs root)\n");
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests("segment", all, count, setup, teardown);
}
