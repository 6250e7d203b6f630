/*
 * tcop_figures.c -- the figures about time: histograms of commands, the latency
 * monitor, ticks; and the rewriting of settings files.
 */
#include "common/c.h"

#include "common/conf.h"
#include "tcop/stats.h"
#include "utils/clock.h"
#include "utils/latency.h"
#include "utils/settings.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
test_buckets(void **state)
{
	uint64		before = 0;

	(void) state;
	for (int i = 0; i < STATS_LATENCY_BUCKETS; i++)
	{
		uint64		from = stats_latency_bound(i);

		if (i > 0)
		{
			assert_true(from > before);
			assert_int_equal(stats_latency_bucket(from - 1), i - 1);
		}
		assert_int_equal(stats_latency_bucket(from), i);
		before = from;
	}
	assert_int_equal(stats_latency_bound(1), 1 << STATS_LATENCY_FIRST);
	assert_int_equal(stats_latency_bound(STATS_LATENCY_BUCKETS - 1), UINT64_C(1) << 30);
	assert_int_equal(stats_latency_bucket(UINT64_MAX), STATS_LATENCY_BUCKETS - 1);
}

static void
test_percentiles(void **state)
{
	uint64		bucket[STATS_LATENCY_BUCKETS] = {0};

	(void) state;
	/* 1 to 100 microseconds, evenly: a percentile is right to within its bucket, a quarter of a doubling */
	for (uint64 us = 1; us <= 10000; us++)
		bucket[stats_latency_bucket(us * 10)]++;
	for (int percent = 1; percent <= 100; percent++)
	{
		double		got = stats_latency_percentile(bucket, 10000, percent / 100.0);
		double		want = percent * 1000.0;

		assert_true(got >= want * 0.79 || want < 1000);
		assert_true(got <= want * 1.26 || want < 1000);
	}
	memset(bucket, 0, sizeof(bucket));
	bucket[STATS_LATENCY_BUCKETS - 1] = 1;
	assert_true(stats_latency_percentile(bucket, 1, 0.5) == (double) (UINT64_C(1) << 30));
}

static void
test_stats_latency(void **state)
{
	uint64		bucket[STATS_LATENCY_BUCKETS];
	void	   *region = calloc(1, stats_region_size(2));

	(void) state;
	stats_region_init(region, 2);
	for (uint32 worker = 0; worker < 2; worker++)
	{
		stats_attach(worker);
		for (int i = 0; i < 5; i++)
			stats_latency_add(3, 5000, 1);
	}
	assert_int_equal(stats_latency(3, bucket), 10);
	assert_int_equal(bucket[stats_latency_bucket(5000)], 10);
	assert_int_equal(stats_latency(4, bucket), 0);
	stats_reset();
	assert_int_equal(stats_latency(3, bucket), 0);
	stats_latency_add(3, 1, 1);
	assert_int_equal(stats_latency(3, bucket), 1);
	assert_int_equal(bucket[0], 1);
	free(region);
}

static void
test_latency(void **state)
{
	LatencySample sample[LATENCY_SAMPLES];
	void	   *region = calloc(1, latency_region_size());
	uint32		max_ms;

	(void) state;
	latency_region_init(region);
	latency_add(LATENCY_COMMAND, 5000000);
	assert_int_equal(latency_read(LATENCY_COMMAND, sample, &max_ms), 0);	/* it is off */
	set_latency_monitor_threshold = 10;
	latency_add(LATENCY_COMMAND, 9999);
	assert_int_equal(latency_read(LATENCY_COMMAND, sample, &max_ms), 0);
	latency_add(LATENCY_COMMAND, 10000);
	latency_add(LATENCY_COMMAND, 30000);
	latency_add(LATENCY_COMMAND, 20000);
	/* one or two, if a second has just begun */
	assert_true(latency_read(LATENCY_COMMAND, sample, &max_ms) <= 2);
	assert_int_equal(max_ms, 30);
	assert_int_equal(latency_read(LATENCY_FAST_COMMAND, sample, &max_ms), 0);
	assert_true(latency_reset(LATENCY_COMMAND));
	assert_false(latency_reset(LATENCY_COMMAND));
	assert_int_equal(latency_read(LATENCY_COMMAND, sample, &max_ms), 0);
	assert_int_equal(max_ms, 0);
	latency_add(LATENCY_COMMAND, 11000);
	assert_int_equal(latency_read(LATENCY_COMMAND, sample, &max_ms), 1);
	assert_int_equal(sample[0].ms, 11);
	set_latency_monitor_threshold = 0;
	free(region);
}

static void
test_ticks(void **state)
{
	uint64		ns;
	uint64		ticks;

	(void) state;
	clock_ticks_start();
	ticks = clock_ticks();
	ns = clock_mono_ns();
	while (clock_mono_ns() - ns < 20000000)
		;
	ticks = clock_ticks_ns(clock_ticks() - ticks);
	ns = clock_mono_ns() - ns;
	assert_true(ticks > ns / 100 * 98);
	assert_true(ticks < ns / 100 * 102);
	assert_in_range(clock_ticks_ns(clock_ns_ticks(1000000000)), 999999000, 1000001000);
}

static void
rewritten(const char *text, const ConfChange *change, int count, const char *want)
{
	char	   *got = conf_rewrite(text, change, count);

	assert_string_equal(got, want);
	free(got);
}

static void
test_conf_rewrite(void **state)
{
	const ConfChange one = {"port", "7000"};
	const ConfChange two[] = {{"name", "a b"}, {"port", "1"}};
	const ConfChange quote = {"name", "it's"};
	const ConfChange empty = {"name", ""};

	(void) state;
	rewritten("", NULL, 0, "");
	rewritten("# x\n\nbroken line\n", NULL, 0, "# x\n\nbroken line\n");
	rewritten("", &one, 1, "port = 7000\n");
	rewritten("a = 1", &one, 1, "a = 1\nport = 7000\n");
	rewritten("port=1", &one, 1, "port=7000");
	rewritten("\t port  =  1 # c\r\nport_x = 2\n", &one, 1, "\t port  =  7000 # c\r\nport_x = 2\n");
	rewritten("port = 1\nport = '2' # last\n#port = 3\n", &one, 1, "port = 1\nport = 7000 # last\n#port = 3\n");
	rewritten("# port is a number\n#port = 3\n# end\n", &one, 1, "# port is a number\n#port = 3\nport = 7000\n# end\n");
	rewritten("#port = 3", &one, 1, "#port = 3\nport = 7000\n");
	rewritten("port = 5\nname = 'x # y'# z\n", two, 2, "port = 1\nname = 'a b'# z\n");
	rewritten("name = x\n", &quote, 1, "name = 'it''s'\n");
	rewritten("name = x\n", &empty, 1, "name = ''\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_stats_latency),
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_ticks),
		cmocka_unit_test(test_conf_rewrite),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
