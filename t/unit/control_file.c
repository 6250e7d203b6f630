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
	d.flushed = d.cut;
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

		d.cut = (64 * MIB) + i * 1000;
		d.flushed = d.cut + i;
		d.state = CONTROL_RUNNING;
		control_write(unit_dir, &d);
		assert_int_equal(d.sequence, 3 + i);
		control_read(unit_dir, &back);
		assert_memory_equal(&back, &d, sizeof(d));
		peek(0, &slot[0], sizeof(slot[0]));
		peek(CONTROL_SLOT_SIZE, &slot[1], sizeof(slot[1]));
		assert_int_equal(slot[d.sequence % 2].sequence, d.sequence);
		assert_int_equal(slot[1 - d.sequence % 2].sequence, d.sequence - 1);	/* the one before is untouched */
		assert_true(slot[d.sequence % 2].older_cut == slot[1 - d.sequence % 2].cut);
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
	for (uint32 version = FORMAT_VERSION - 1; version <= FORMAT_VERSION + 1; version += 2)
	{
		bad = d;
		bad.format_version = version;
		bad.crc = crc32c_extend(0, &bad, offsetof(ControlData, crc));
		(void) created();
		edit(0, &bad, sizeof(bad));
		unit_child(&c, read_it, NULL);
		unit_assert_fatal(&c, version > FORMAT_VERSION ? "has format version 4, newer than the 3 of this server"
						  : "has format version 2, older than the 3 of this server",
						  version > FORMAT_VERSION ? "newer version of artery" : "copy the data over", NULL);
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

/* full -- a slot with something in every field. */
static ControlData
full(void)
{
	ControlData d = sample();

	d.state = CONTROL_RUNNING;
	d.sequence = 7;
	d.cut = d.flushed = 80 * MIB;
	d.older_cut = 72 * MIB;
	d.base = (BaseState) {.root = {.number = 9, .birth = 80 * MIB}, .map = {.number = 10, .birth = 80 * MIB}, .page_count = 20,
						  .live_pages = 11, .free_pages = 6, .aside_pages = 3, .levels = 2, .map_pages = 1};
	for (uint32 i = 0; i < DATABASE_COUNT; i++)
	{
		d.key_count[i] = i;
		d.deadline_count[i] = i / 2;
		d.map.tree_id[i] = 1 + i;
	}
	d.map.next_tree_id = 17;
	d.checkpoints = 3;
	d.gap_count = 1;
	d.gap[0].from = 65 * MIB;
	d.gap[0].to = 66 * MIB;
	control_seal(&d);
	return d;
}

/* what a sealed slot says is looked at, field by field */
static void
test_values(void **state)
{
	ControlData d = full();
	const char *why;

	(void) state;
	assert_true(control_valid(&d, &why));
	assert_null(why);
#define REFUSED(change, text) \
	do { \
		ControlData bad = d; \
		change; \
		bad.crc = crc32c_extend(0, &bad, offsetof(ControlData, crc)); \
		assert_false(control_valid(&bad, &why)); \
		if (strstr(why, text) == NULL) \
			fail_msg(#change ": %s", why); \
	} while (0)
	REFUSED(bad.magic++, "does not begin with the mark");
	REFUSED(bad.format_version = 1, "another format version");
	REFUSED(bad.state = 0, "state");
	REFUSED(bad.state = 4, "state");
	REFUSED(bad.sequence = 0, "is 0");
	REFUSED(bad.system_id = 0, "is 0");
	REFUSED(bad.timeline = 0, "is 0");
	REFUSED(bad.reserved = 1, "reserved");
	REFUSED(bad.wal_segment_size = 3 * MIB, "segment size");
	REFUSED(bad.wal_segment_size = 0, "segment size");
	REFUSED(bad.wal_segment_size = 2 * GIB, "segment size");
	REFUSED(bad.cut = 0, "its cut is no position");
	REFUSED(bad.cut += 1, "its cut is no position");
	REFUSED(bad.older_cut = bad.cut + 8, "older cut");
	REFUSED(bad.older_cut += 4, "older cut");
	REFUSED(bad.flushed = bad.cut - 1, "before the log was flushed");
	REFUSED(bad.gap_count = CONTROL_GAPS + 1, "gaps is too long");
	REFUSED(bad.gap[0].to = bad.gap[0].from, "has an empty one");
	REFUSED(bad.base.page_count = 0, "do not add up");
	REFUSED(bad.base.page_count++, "do not add up");
	REFUSED(bad.base.live_pages++, "do not add up");
	REFUSED(bad.base.free_pages = UINT64_MAX - 13, "do not add up");
	REFUSED((bad.base.free_pages = UINT64_MAX, bad.base.aside_pages = 10), "do not add up");
	REFUSED((bad.base.page_count = UINT64_MAX, bad.base.free_pages = UINT64_MAX - 14), "do not add up");
	REFUSED((bad.base.live_pages = 0, bad.base.free_pages += 11), "do not add up");
	REFUSED(bad.base.root.number = 20, "root is impossible");
	REFUSED(bad.base.root.number = 0, "root is impossible");
	REFUSED(bad.base.root.birth = bad.cut + 8, "root is impossible");
	REFUSED(bad.base.root.birth = 0, "root is impossible");
	REFUSED(bad.base.levels = 0, "root is impossible");
	REFUSED(bad.base.levels = BASE_LEVEL_MAX + 1, "root is impossible");
	REFUSED(bad.base.map.number = 20, "free-space map is impossible");
	REFUSED(bad.base.map.number = 0, "free-space map is impossible");
	REFUSED(bad.base.map.birth = bad.cut + 8, "free-space map is impossible");
	REFUSED(bad.base.map_pages = 0, "free-space map is impossible");
	REFUSED(bad.base.map_pages = 11, "free-space map is impossible");
	REFUSED((bad.base.map = (BaseRef) {0, 0}, bad.base.map_pages = 0), "no free-space map");
	REFUSED((bad.base.root = (BaseRef) {0, 0}, bad.base.levels = 0), "its base is empty");
	REFUSED(bad.deadline_count[3] = 4, "more deadlines than keys");
	REFUSED(bad.map.tree_id[3] = 1, "names a tree twice");
	REFUSED(bad.map.tree_id[3] = 17, "never made");
	/* and what is no error: nothing free, an empty base, a database without a tree */
	d.base = (BaseState) {.page_count = 1, .live_pages = 1};
	memset(d.key_count, 0, sizeof(d.key_count));
	memset(d.deadline_count, 0, sizeof(d.deadline_count));
	d.map.tree_id[5] = d.map.tree_id[6] = 0;
	control_seal(&d);
	assert_true(control_valid(&d, &why));
}

/*
 * every byte of both slots in every way that matters, sealed again: never more than
 * what the checks promise is taken for valid (nothing is divided, indexed or added
 * up to an overflow by it: the sanitizers look on)
 */
static void
test_sealed_noise(void **state)
{
	const char *why;

	(void) state;
	for (int i = 0; i < 200000; i++)
	{
		ControlData bad = full();
		uint64		v = unit_random() % 3 == 0 ? UINT64_MAX - unit_random() % 3 : unit_random() >> unit_random() % 64;
		size_t		at = 8 + 8 * (unit_random() % (offsetof(ControlData, gap) / 8));

		memcpy((uint8 *) &bad + at, &v, unit_random() % 2 == 0 ? 8 : 4);
		bad.crc = crc32c_extend(0, &bad, offsetof(ControlData, crc));
		if (control_valid(&bad, &why))
		{
			const BaseState *b = &bad.base;

			assert_null(why);
			assert_true(b->live_pages + b->free_pages + b->aside_pages == b->page_count && b->live_pages > 0);
			assert_true(b->root.number < b->page_count && b->map.number < b->page_count && b->levels <= BASE_LEVEL_MAX);
			assert_true(bad.older_cut <= bad.cut && bad.cut <= bad.flushed && bad.gap_count <= CONTROL_GAPS);
		}
		else
			assert_non_null(why);
	}
}

/* both at once: nothing chosen, nothing reported, each with its verdict */
static void
test_read_both(void **state)
{
	ControlData d = created();
	ControlData slot[2];
	bool		valid[2];

	(void) state;
	d.cut += 8;
	d.flushed = d.cut;
	control_write(unit_dir, &d);
	assert_int_equal(control_read_both(unit_dir, slot, valid), 0);
	assert_true(valid[0] && valid[1]);
	assert_true(slot[0].sequence == 2 && slot[1].sequence == 3);
	assert_true(slot[1].older_cut == slot[0].cut && slot[1].cut == d.cut);
	edit(4096 + 100, "damage", 6);
	assert_int_equal(control_read_both(unit_dir, slot, valid), 0);
	assert_true(valid[0] && !valid[1]);
	/* one in the other's place counts as none */
	edit(4096, &slot[0], sizeof(slot[0]));
	assert_int_equal(control_read_both(unit_dir, slot, valid), 0);
	assert_true(valid[0] && !valid[1]);
	assert_int_equal(truncate(unit_path("control"), 100), 0);
	assert_int_equal(control_read_both(unit_dir, slot, valid), 0);
	assert_true(!valid[0] && !valid[1]);
	assert_int_equal(unlink(unit_path("control")), 0);
	assert_int_equal(control_read_both(unit_dir, slot, valid), ENOENT);
}

/* in two steps: given up, nothing has changed; a slot in force that was damaged meanwhile is written again first */
static void
test_two_steps(void **state)
{
	ControlData d = created();
	ControlData next = d;
	ControlData back;
	ControlFile *c;
	uint8		before[2 * CONTROL_SLOT_SIZE];
	uint8		after[2 * CONTROL_SLOT_SIZE];

	(void) state;
	peek(0, before, sizeof(before));
	assert_int_equal(control_prepare(unit_dir, &d, &c), 0);
	control_cancel(c);
	peek(0, after, sizeof(after));
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(control_prepare(unit_dir, &d, &c), 0);
	next.cut = next.flushed = d.cut + 800;
	control_commit(c, &next);
	control_read(unit_dir, &back);
	assert_memory_equal(&back, &next, sizeof(next));
	assert_true(back.sequence == 3 && back.older_cut == d.cut);
	/* the slot in force goes bad on the disk: with the next commit both are good again */
	edit(CONTROL_SLOT_SIZE * (next.sequence % 2) + 60, "damage", 6);
	elog_set_min_level(ERROR);
	d = next;
	next.cut = next.flushed = d.cut + 800;
	assert_int_equal(control_prepare(unit_dir, &d, &c), 0);
	control_commit(c, &next);
	elog_set_min_level(WARNING);
	peek((d.sequence % 2) * CONTROL_SLOT_SIZE, &back, sizeof(back));
	assert_memory_equal(&back, &d, sizeof(d));
	control_read(unit_dir, &back);
	assert_memory_equal(&back, &next, sizeof(next));
	/* no file: an errno, and nothing is open or changed */
	assert_int_equal(unlink(unit_path("control")), 0);
	assert_int_equal(control_prepare(unit_dir, &next, &c), ENOENT);
}

#ifdef ARTERY_FAULTS
static void
write_with(void *fault)
{
	ControlData d;

	control_read(unit_dir, &d);
	file__fault_arm(fault);
	d.flushed = d.cut + 777;
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
		assert_true(after.sequence == before.sequence || (after.sequence == before.sequence + 1 && after.flushed == after.cut + 777));
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
		assert_true(after.sequence == before.sequence || after.flushed == after.cut + 777);
		if (i == 5)
			assert_int_equal(after.flushed, after.cut + 777);
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
		cmocka_unit_test_setup_teardown(test_sealed_noise, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_both, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_steps, setup, teardown),
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
