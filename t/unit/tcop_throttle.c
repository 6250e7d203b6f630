/*
 * tcop_throttle.c -- writes held back: once per command, and a pipeline pays for
 * what it sends, not more and not less.
 *
 * The pressure is set by hand; a session is run through commands as net would do
 * it, with the clock in the test's hands.  Then random streams of commands, cut
 * into turns at random, against the rule: no credit outlives its turn, and over
 * any stream the delays taken are at least its units of work / CREDIT - 1 and at
 * most one per command.
 */
#include "common/c.h"

#include "access/store/evict_internal.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"
#include "unit_random.h"
#include "unit_segment.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DELAY_US 1000
#define CREDIT 16				/* as throttle.c has it */
#define UNIT_BYTES 4096
#define TIMES_MAX 8

static Session session;
static BytePart words[4096];

static int
setup(void **state)
{
	(void) state;
	unit_segment_make(1 * MIB, 1 * MIB, 12);
	proc_attach(5);
	memset(&session, 0, sizeof(session));
	tcop_now_us = 1000000;
	return 0;
}

static void
set_delay(uint64 delay_us)
{
	atomic_store(&evict__shared->pressure, delay_us << EVICT_DELAY_SHIFT);
}

/* hold -- a command of so many words, the value of so many bytes, runs for the first time; how long it is held back. */
static uint64
hold(uint32 argc, uint64 bytes)
{
	static uint8 nothing[1];

	assert_true(argc <= lengthof(words));
	for (uint32 i = 0; i < argc; i++)
		words[i] = (BytePart) {nothing, 1};
	words[argc - 1].len = bytes;
	session.argv = words;
	session.argc = argc;
	if (!tcop__hold(&session))
	{
		assert_false(session.held);
		return 0;
	}
	assert_true(session.held);
	assert_true(session.deadline_us > tcop_now_us);
	return session.deadline_us - tcop_now_us;
}

/* held -- ... its time has come, in a turn of its own. */
static void
held(void)
{
	tcop_now_us = session.deadline_us + 7;
	tcop__hold_over(&session);
	assert_false(session.held);
}

static void
test_no_pressure(void **state)
{
	(void) state;
	set_delay(0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(hold(3, i * 1000), 0);
	assert_int_equal(session.credit, 0);
}

static void
test_one_by_one(void **state)
{
	(void) state;
	set_delay(DELAY_US);
	for (int i = 0; i < 50; i++)
	{
		/* each comes in a turn of its own: the credit of the one before is gone */
		tcop_now_us += 10;
		assert_int_equal(hold(3, 100), DELAY_US);
		held();
	}
}

static void
test_pipeline(void **state)
{
	uint32		delays = 0;

	(void) state;
	set_delay(DELAY_US);
	for (int i = 0; i < 1600; i++)
		if (hold(3, 100) > 0)
		{
			delays++;
			held();
		}
	assert_int_equal(delays, 100);
}

static void
test_pipeline_of_long_values(void **state)
{
	uint32		delays = 0;

	(void) state;
	set_delay(DELAY_US);
	/* 5 units each: three of them fit into one delay */
	for (int i = 0; i < 300; i++)
		if (hold(3, 4 * UNIT_BYTES) > 0)
		{
			delays++;
			held();
		}
	assert_int_equal(delays, 100);
}

static void
test_heavy_commands(void **state)
{
	(void) state;
	set_delay(DELAY_US);
	/* a long value, many keys: in proportion, up to a bound; nothing is left over for the next one */
	assert_int_equal(hold(3, 40 * UNIT_BYTES), 2 * DELAY_US);
	held();
	assert_int_equal(hold(3, 10), DELAY_US);
	held();
	assert_int_equal(hold(1 + 2 * 64, 1), 4 * DELAY_US);
	held();
	assert_int_equal(hold(1 + 2 * 2000, 1), TIMES_MAX * DELAY_US);
	held();
	assert_int_equal(session.credit, 0);
}

static void
test_pressure_goes(void **state)
{
	(void) state;
	set_delay(DELAY_US);
	assert_int_equal(hold(3, 10), DELAY_US);
	set_delay(0);
	held();						/* it has waited; it runs */
	for (int i = 0; i < 100; i++)
		assert_int_equal(hold(3, 10), 0);
	set_delay(DELAY_US);
	assert_int_equal(hold(3, 10), DELAY_US);
}

static void
test_random_streams(void **state)
{
	(void) state;
	for (int round = 0; round < 200; round++)
	{
		uint64		units = 0;
		uint64		delays_us = 0;
		uint32		commands = 1 + (uint32) (unit_random() % 400);
		uint32		turns = 0;
		uint32		holds = 0;

		memset(&session, 0, sizeof(session));
		set_delay(DELAY_US);
		tcop_now_us += 1000;
		for (uint32 i = 0; i < commands; i++)
		{
			uint32		keys = unit_random() % 8 == 0 ? 1 + (uint32) (unit_random() % 100) : 1;
			uint64		bytes = unit_random() % 4 == 0 ? unit_random() % (20 * UNIT_BYTES) : 10;
			uint64		wait;

			if (unit_random() % 16 == 0)
			{
				tcop_now_us++;
				turns++;
			}
			wait = hold(1 + 2 * keys, bytes);
			units += Min((uint64) keys + bytes / UNIT_BYTES, (uint64) CREDIT * TIMES_MAX);
			delays_us += wait;
			if (wait > 0)
			{
				holds++;
				assert_true(wait <= TIMES_MAX * DELAY_US);
				held();
			}
		}
		/* a delay's rest of the division is not charged: at most CREDIT - 1 of each command that waited */
		assert_true((delays_us / DELAY_US + holds) * CREDIT >= units);
		assert_true(holds <= commands);
		assert_true(delays_us / DELAY_US <= units / CREDIT + commands);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_pressure, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_one_by_one, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_pipeline, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_pipeline_of_long_values, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_heavy_commands, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_pressure_goes, setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_random_streams, setup, unit_segment_teardown),
	};

	unit_seed_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
