/*
 * control_file.c -- the control file: two slots in turns, every byte of them
 * damaged, torn writes, foreign formats; a failed write ends the process.
 */
#include "unit_wal.h"

#include "access/base/control.h"
#include "common/crc32c.h"
#include "utils/elog.h"

#include <errno.h>
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
#ifdef ARTERY_FAULTS
	file__fault_arm("");
	file__record_to(NULL);
#endif
	elog_set_min_level(WARNING);
	unit_dir_remove();
	return 0;
}

static ControlData
sample(void)
{
	ControlData d;

	memset(&d, 0, sizeof(d));
	d.state = CONTROL_CREATED;
	d.system_id = UNIT_SYSTEM_ID;
	d.timeline = 1;
	d.wal_segment_size = 64 * MIB;
	d.cut = 64 * MIB;
	return d;
}

static void
edit(uint64 offset, const void *bytes, size_t len)
{
	int			fd = open(unit_path("control"), O_WRONLY);

	assert_true(fd >= 0);
	assert_true(pwrite(fd, bytes, len, (off_t) offset) == (ssize_t) len);
	assert_int_equal(close(fd), 0);
}

static void
peek(uint64 offset, void *bytes, size_t len)
{
	int			fd = open(unit_path("control"), O_RDONLY);

	assert_true(fd >= 0);
	assert_true(pread(fd, bytes, len, (off_t) offset) == (ssize_t) len);
	assert_int_equal(close(fd), 0);
}

static ControlData
created(void)
{
	ControlData d = sample();

	control_create(unit_dir, &d);
	control_read(unit_dir, &d);
	return d;
}

static void
test_turns(void **state)
{
	ControlData d = created();
	struct stat st;

	(void) state;
	assert_int_equal(stat(unit_path("control"), &st), 0);
	assert_int_equal(st.st_size, 8192);
	assert_int_equal(d.sequence, 2);
	for (uint64 i = 0; i < 9; i++)
	{
		ControlData slot[2];
		ControlData back;

		d.flushed = i * 1000;
		d.state = CONTROL_RUNNING;
		control_write(unit_dir, &d);
		assert_int_equal(d.sequence, 3 + i);
		control_read(unit_dir, &back);
		assert_memory_equal(&back, &d, sizeof(d));
		peek(0, &slot[0], sizeof(slot[0]));
		peek(CONTROL_SLOT_SIZE, &slot[1], sizeof(slot[1]));
		assert_int_equal(slot[d.sequence % 2].sequence, d.sequence);
		assert_int_equal(slot[1 - d.sequence % 2].sequence, d.sequence - 1);	/* the one before is untouched */
	}
}

/* every byte of the newer slot flipped: the older one is in force, and it is said */
static void
test_every_byte(void **state)
{
	ControlData d = created();
	uint8		slot[CONTROL_SLOT_SIZE];
	uint64		at;

	(void) state;
	control_write(unit_dir, &d);
	at = (d.sequence % 2) * CONTROL_SLOT_SIZE;
	peek(at, slot, sizeof(slot));
	elog_set_min_level(ERROR);	/* a warning each */
	for (size_t i = 0; i < sizeof(ControlData); i += 1 + unit_random() % 3)
	{
		ControlData back;
		uint8		bad = slot[i] ^ (uint8) (1 << unit_random() % 8);

		edit(at + i, &bad, 1);
		control_read(unit_dir, &back);
		assert_int_equal(back.sequence, d.sequence - 1);
		edit(at + i, &slot[i], 1);
	}
	/* torn in the middle: 512 bytes of the new one, the rest of what was there before */
	for (size_t cut = 512; cut < sizeof(ControlData); cut += 512)
	{
		ControlData back;
		uint8		old[CONTROL_SLOT_SIZE];

		memset(old, 0, sizeof(old));
		edit(at + cut, old, sizeof(ControlData) - cut);
		control_read(unit_dir, &back);
		assert_int_equal(back.sequence, d.sequence - 1);
		edit(at, slot, sizeof(slot));
	}
	elog_set_min_level(WARNING);
	control_read(unit_dir, &d);
	assert_int_equal(d.sequence, 3);
}

static void
read_it(void *arg)
{
	ControlData d;

	(void) arg;
	control_read(unit_dir, &d);
	fprintf(stderr, "sequence %llu\n", (unsigned long long) d.sequence);
}

static void
test_refusals(void **state)
{
	ControlData d;
	ControlData bad;
	UnitChild	c;

	(void) state;
	unit_child(&c, read_it, NULL);
	unit_assert_fatal(&c, "control\" is missing", "artery_ctl init", NULL);
	d = created();
	/* one damaged: a warning that names slot and offset */
	edit(4096, "garbage", 7);
	unit_child(&c, read_it, NULL);
	assert_true(unit_exited(&c, 0));
	unit_assert_says(&c, "WARNING:  slot 1 of control file");
	unit_assert_says(&c, "(offset 4096) is not valid: it does not begin with the mark of a control slot");
	/* both */
	edit(100, "garbage", 7);
	unit_child(&c, read_it, NULL);
	unit_assert_fatal(&c, "is damaged: slot 0 (offset 0): its checksum is wrong; slot 1 (offset 4096):", "Restore it", NULL);
	/* cut short, empty */
	assert_int_equal(truncate(unit_path("control"), 50), 0);
	unit_child(&c, read_it, NULL);
	unit_assert_fatal(&c, "is damaged", NULL);
	assert_int_equal(truncate(unit_path("control"), 0), 0);
	unit_child(&c, read_it, NULL);
	unit_assert_fatal(&c, "is damaged", NULL);
	/* newer and older formats, each with its own advice */
	for (uint32 version = 0; version <= 2; version += 2)
	{
		bad = d;
		bad.format_version = version;
		bad.crc = crc32c_extend(0, &bad, offsetof(ControlData, crc));
		(void) created();
		edit(0, &bad, sizeof(bad));
		unit_child(&c, read_it, NULL);
		unit_assert_fatal(&c, version == 2 ? "has format version 2, newer than the 1 of this server"
						  : "has format version 0, older than the 1 of this server",
						  version == 2 ? "newer version of artery" : "copy the data over", NULL);
	}
	/* a version field damaged in one slot does not condemn the directory */
	(void) created();
	edit(8, "\x07", 1);
	unit_child(&c, read_it, NULL);
	assert_true(unit_exited(&c, 0));
	unit_assert_says(&c, "sequence 1");
	/* in both: nobody can tell, so no start */
	edit(4096 + 8, "\x07", 1);
	unit_child(&c, read_it, NULL);
	unit_assert_fatal(&c, "has format version 7, newer", NULL);
	/* a slot in the other's place is not in force */
	(void) created();
	peek(0, &d, sizeof(d));
	edit(4096, &d, sizeof(d));
	unit_child(&c, read_it, NULL);
	assert_true(unit_exited(&c, 0));
	unit_assert_says(&c, "it stands in the place of the other slot");
	unit_assert_says(&c, "sequence 2");
}

static void
test_values(void **state)
{
	ControlData d = sample();
	const char *why;

	(void) state;
	d.sequence = 2;
	control_seal(&d);
	assert_true(control_valid(&d, &why));
#define REFUSED(change, text) \
	do { \
		ControlData bad = d; \
		change; \
		control_seal(&bad); \
		assert_false(control_valid(&bad, &why)); \
		assert_non_null(strstr(why, text)); \
	} while (0)
	REFUSED(bad.state = 0, "state");
	REFUSED(bad.state = 4, "state");
	REFUSED(bad.wal_segment_size = 3 * MIB, "segment size");
	REFUSED(bad.wal_segment_size = 0, "segment size");
	REFUSED(bad.gap_count = CONTROL_GAPS + 1, "gaps");
}

#ifdef ARTERY_FAULTS
static void
write_with(void *fault)
{
	ControlData d;

	control_read(unit_dir, &d);
	file__fault_arm(fault);
	d.flushed = 777;
	control_write(unit_dir, &d);
}

/* any failure is PANIC; what is read afterwards is the old slot or the new one, never neither */
static void
test_failures(void **state)
{
	static const char *const faults[] = {
		"file-open@/control:enospc:2", "file-lock@/control:eio", "file-write@/control:enospc", "file-write@/control:eio:2",
		"file-write-done@/control:eio:2", "file-datasync@/control:eio", "file-datasync@/control:eio:2",
		"file-datasync-done@/control:eio:2",
	};
	UnitChild	c;

	(void) state;
	for (size_t i = 0; i < lengthof(faults); i++)
	{
		ControlData before = created();
		ControlData after;

		unit_child(&c, write_with, (void *) (uintptr_t) faults[i]);
		if (!unit_signaled(&c, SIGABRT))
			fail_msg("%s: status %x\n%s", faults[i], c.status, c.err);
		unit_assert_says(&c, "PANIC:  could not write control file");
		control_read(unit_dir, &after);
		assert_true(after.sequence == before.sequence || (after.sequence == before.sequence + 1 && after.flushed == 777));
	}
}

static void
test_crashes(void **state)
{
	static const char *const points[] = {
		"control-before-write:kill:1", "control-before-sync:kill:1", "control-after-sync:kill:1", "control-before-write:kill:2",
		"control-before-sync:kill:2", "control-after-sync:kill:2",
	};
	UnitChild	c;

	(void) state;
	for (size_t i = 0; i < lengthof(points); i++)
	{
		ControlData before = created();
		ControlData after;

		unit_child(&c, write_with, (void *) (uintptr_t) points[i]);
		assert_true(unit_signaled(&c, SIGKILL));
		control_read(unit_dir, &after);
		assert_true(after.sequence == before.sequence || after.flushed == 777);
		if (i == 5)
			assert_int_equal(after.flushed, 777);
		/* and it goes on from there */
		control_write(unit_dir, &after);
		control_read(unit_dir, &before);
		assert_int_equal(before.sequence, after.sequence);
	}
}

/* the first write of a process makes the slot in force durable before it touches the other one */
static void
test_settles_first(void **state)
{
	UnitChild	c;
	char		line[300];
	char		seen[300] = "";
	FILE	   *in;

	(void) state;
	(void) created();
	file__record_to(unit_path("record"));
	unit_child(&c, write_with, "");
	assert_true(unit_exited(&c, 0));
	file__record_to(NULL);
	in = fopen(unit_path("record"), "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in) != NULL)
	{
		char		phase[10];
		char		call[30];
		unsigned long long offset;

		assert_int_equal(sscanf(line, "%*d %9s %29s %llu", phase, call, &offset), 3);
		if (strcmp(phase, "end") == 0 && strcmp(call, "file-read") != 0)
			snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s@%llu ", call + 5, offset);
	}
	fclose(in);
	assert_string_equal(seen, "write@0 datasync@0 write@4096 datasync@0 ");
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
#ifdef ARTERY_FAULTS
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crashes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settles_first, setup, teardown),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
