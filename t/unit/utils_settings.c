/*
 * utils_settings.c -- unit test of settings: reader, values, layers, CONFIG SET.
 *
 * Goal: what stands in artery.conf is what the variables hold; whatever is wrong
 * is refused with file and line; no change is ever half in force, in this
 * process or, through the shared table, in others.
 * Method: small files in a temporary directory; children that set and are killed
 * at random moments (ARTERY_SEED).
 */
#include "common/conf.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"
#include "utils/settings_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/artery-settings-XXXXXX";
static char conf[64];
static char err[SETTING_ERROR_MAX];
static unsigned int seed;

static void
write_conf(const char *text)
{
	FILE	   *file = fopen(conf, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static bool
load(const char *text, const char *option)
{
	write_conf(text);
	err[0] = '\0';
	return settings_load(conf, &option, option != NULL, err, sizeof(err));
}

static void
assert_load(const char *text, const char *option)
{
	if (!load(text, option))
		fail_msg("\"%s\" refused: %s", text, err);
}

/* assert_refused -- and the message says all of 'parts' (NULL at the end) */
static void
assert_refused(const char *text, const char *option, ...)
{
	va_list		parts;
	const char *part;

	if (load(text, option))
		fail_msg("\"%s\" and -c %s accepted", text, option != NULL ? option : "nothing");
	va_start(parts, option);
	while ((part = va_arg(parts, const char *)) != NULL)
		if (strstr(err, part) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", err, part);
	va_end(parts);
}

static void
assert_setting(const char *name, const char *expected)
{
	char		value[SETTING_VALUE_MAX];

	assert_true(settings_get(name, value, sizeof(value)));
	assert_string_equal(value, expected);
}

/* ---- the reader ---- */

static char heard[1024];

static bool
hear_entry(void *arg, int line, const char *name, const char *value)
{
	size_t		used = strlen(heard);

	(void) arg;
	(void) snprintf(heard + used, sizeof(heard) - used, "%d:%s=<%s> ", line, name, value);
	return true;
}

static bool
hear_error(void *arg, int line, const char *text)
{
	size_t		used = strlen(heard);

	(void) snprintf(heard + used, sizeof(heard) - used, "%d!%s ", line, text);
	return arg == NULL;
}

static void
assert_heard(const char *text, const char *expected)
{
	ConfReader	reader = {.entry = hear_entry, .error = hear_error};

	write_conf(text);
	heard[0] = '\0';
	assert_int_equal(conf_read_file(conf, &reader), 0);
	assert_string_equal(heard, expected);
}

static void
test_reader(void **state)
{
	(void) state;
	assert_heard("", "");
	assert_heard("\n  \n# only a comment\n\t# another\n", "");
	assert_heard("a=1\n b_2 = 64MB # comment\n", "1:a=<1> 2:b_2=<64MB> ");
	assert_heard("a = 'x y'#c\nb='it''s'\nc=''\n", "1:a=<x y> 2:b=<it's> 3:c=<> ");
	assert_heard("a=1\r\nb='# = '\r\n", "1:a=<1> 2:b=<# = > ");
	assert_heard("last = line", "1:last=<line> ");
	assert_heard("a 1\n", "1!syntax error: \"=\" expected after the name ");
	assert_heard("9a=1\n", "1!syntax error: a line is \"name = value\" ");
	assert_heard("a=\n", "1!value is missing ");
	assert_heard("a='x\nb=2\n", "1!quoted value does not end on its line 2:b=<2> ");
	assert_heard("a=1 2\n",
				 "1!syntax error: text after the value (a value with blanks stands in single quotes) ");
	assert_heard("a=1=2\n",
				 "1!syntax error: text after the value (a value with blanks stands in single quotes) ");
	assert_heard("a=x\001y\n", "1!syntax error: control character ");
}

static void
test_reader_bounds(void **state)
{
	char		text[2000];
	ConfReader	reader = {.entry = hear_entry, .error = hear_error};

	(void) state;
	/* the longest value that fits, and one byte more */
	(void) snprintf(text, sizeof(text), "a='%0*d'\nb=%0*d\n", CONF_VALUE_MAX - 1, 1, CONF_VALUE_MAX, 1);
	write_conf(text);
	heard[0] = '\0';
	assert_int_equal(conf_read_file(conf, &reader), 0);
	assert_non_null(strstr(heard, "01> 2!value is too long "));
	/* names */
	(void) snprintf(text, sizeof(text), "a%0*d=1\na%0*d=1\n", CONF_NAME_MAX - 2, 1, CONF_NAME_MAX - 1, 1);
	write_conf(text);
	heard[0] = '\0';
	assert_int_equal(conf_read_file(conf, &reader), 0);
	assert_non_null(strstr(heard, "1=<1> 2!syntax error"));
	assert_int_equal(conf_read_file("/nonexistent/artery.conf", &reader), ENOENT);
	assert_int_equal(conf_read_file(dir, &reader), EISDIR);
}

static void
test_reader_tools(void **state)
{
	char		value[CONF_VALUE_MAX];
	char		name[CONF_NAME_MAX];
	char		small[4];

	(void) state;
	write_conf("port = 1\nwrong line\nport = 2\nname = 'x'\n");
	assert_true(conf_find(conf, "port", value, sizeof(value)));
	assert_string_equal(value, "2");
	assert_false(conf_find(conf, "none", value, sizeof(value)));
	assert_false(conf_find("/nonexistent", "port", value, sizeof(value)));

	assert_true(conf_quote("it's", value, sizeof(value)));
	assert_string_equal(value, "'it''s'");
	assert_true(conf_quote("", value, sizeof(value)));
	assert_string_equal(value, "''");
	assert_false(conf_quote("two\nlines", value, sizeof(value)));
	assert_true(conf_quote("x", small, sizeof(small)));
	assert_false(conf_quote("xy", small, sizeof(small)));

	assert_true(conf_split("a=b=c", name, sizeof(name), value, sizeof(value), err, sizeof(err)));
	assert_string_equal(name, "a");
	assert_string_equal(value, "b=c");
	assert_true(conf_split("a=", name, sizeof(name), value, sizeof(value), err, sizeof(err)));
	assert_string_equal(value, "");
	assert_false(conf_split("a", name, sizeof(name), value, sizeof(value), err, sizeof(err)));
	assert_string_equal(err, "\"a\" is not of the form name=value");
	assert_false(conf_split("=b", name, sizeof(name), value, sizeof(value), err, sizeof(err)));
}

/* ---- values ---- */

static void
test_defaults(void **state)
{
	(void) state;
	assert_true(settings_load(NULL, NULL, 0, err, sizeof(err)));
	for (int i = 0; i < settings_count(); i++)
	{
		const Setting *setting = &settings__table[i];
		SettingValue value;
		SettingValue again;
		char		text[SETTING_VALUE_MAX];

		settings__default(setting, &value);
		settings__format(setting, &value, text, sizeof(text));
		if (!settings__parse(setting, text, &again, err, sizeof(err)))
			fail_msg("default of %s does not parse: %s", setting->name, err);
		assert_true(again.number == value.number);
		assert_string_equal(again.text, value.text);
		assert_int_equal(settings__find(settings_name(i)), i);
		if (setting->type == SETTING_TYPE_ENUM)
			continue;
		/* both bounds are accepted, one beyond is not */
		if (setting->type >= SETTING_TYPE_INT && setting->type <= SETTING_TYPE_TIME_US)
			for (int beyond = -1; beyond <= 1; beyond++)
				for (int high = 0; high < 2; high++)
				{
					int64		number = (high ? setting->max : setting->min) + beyond;
					bool		inside = number >= setting->min && number <= setting->max;

					(void) snprintf(text, sizeof(text), "%lld", (long long) number);
					if (inside != settings__parse(setting, text, &again, err, sizeof(err)))
						fail_msg("%s = %s: %s", setting->name, text, err);
				}
	}
	/* the one that follows another: a quarter of wal_buffers less 64 kB */
	assert_true(set_max_value_size == set_wal_buffers / 4 - 65536);
	assert_true(set_wal_direct_io);
	assert_int_equal(set_durability, DURABILITY_IMMEDIATE);
	assert_string_equal(set_unix_socket_permissions, "0700");
}

static void
test_units(void **state)
{
	static const struct
	{
		const char *name;
		const char *text;
		int64		number;
		const char *shown;
	} good[] = {
		{"memory_limit", "2GB", INT64_C(2147483648), "2GB"},	{"memory_limit", "67108864", 67108864, "64MB"},
		{"memory_limit", "65537 kB", 67109888, "65537kB"},		{"memory_limit", "67108865", 67108865, "67108865B"},
		{"memory_limit", "1tb", INT64_C(1099511627776), "1TB"}, {"wal_flush_interval", "1s", 1000, "1s"},
		{"wal_flush_interval", "250", 250, "250ms"},			{"wal_flush_interval", "3000us", 3, "3ms"},
		{"wal_flush_interval", "1min", 60000, "1min"},			{"client_timeout", "2h", 7200000, "2h"},
		{"client_timeout", "1d", 86400000, "1d"},				{"client_timeout", "0", 0, "0"},
		{"commit_delay", "100", 100, "100us"},					{"commit_delay", "1ms", 1000, "1ms"},
		{"workers", "8", 8, "8"},								{"io_method", "SYNC", IO_METHOD_SYNC, "sync"},
		{"wal_pad_flush", "Yes", 1, "on"},						{"wal_pad_flush", "0", 0, "off"},
	};
	static const struct
	{
		const char *name;
		const char *text;
		const char *says;
	} bad[] = {
		{"memory_limit", "", "wants a number"},
		{"memory_limit", "lots", "wants a number"},
		{"memory_limit", "1.5GB", "units B, kB, MB, GB, TB"},
		{"memory_limit", "1GBx", "units B, kB, MB, GB, TB"},
		{"memory_limit", "1s", "units B, kB, MB, GB, TB"},
		{"memory_limit", "15MB", "wants 16MB to 1TB"},
		{"memory_limit", "9999999999TB", "wants a smaller number"},
		{"memory_limit", "99999999999999999999", "wants a smaller number"},
		{"memory_limit", "-1", "wants 16MB to 1TB"},
		{"wal_flush_interval", "1500us", "wants a whole number of milliseconds"},
		{"wal_flush_interval", "5MB", "units us, ms, s, min, h, d"},
		{"workers", "1.0", "wants a number"},
		{"workers", "4kB", "wants a number"},
		{"workers", "65", "wants 0 to 64"},
		{"io_method", "io", "wants one of io_uring sync"},
		{"durability", "", "wants one of immediate group periodic none"},
		{"wal_pad_flush", "maybe", "wants on or off"},
	};
	SettingValue value;
	char		text[SETTING_VALUE_MAX];

	(void) state;
	for (size_t i = 0; i < lengthof(good); i++)
	{
		const Setting *setting = &settings__table[settings__find(good[i].name)];

		if (!settings__parse(setting, good[i].text, &value, err, sizeof(err)))
			fail_msg("%s = %s: %s", good[i].name, good[i].text, err);
		if (value.number != good[i].number)
			fail_msg("%s = %s gives %lld", good[i].name, good[i].text, (long long) value.number);
		settings__format(setting, &value, text, sizeof(text));
		assert_string_equal(text, good[i].shown);
	}
	for (size_t i = 0; i < lengthof(bad); i++)
	{
		if (settings__parse(&settings__table[settings__find(bad[i].name)], bad[i].text, &value, err, sizeof(err)))
			fail_msg("%s = \"%s\" accepted", bad[i].name, bad[i].text);
		if (strstr(err, bad[i].says) == NULL || strstr(err, bad[i].name) == NULL)
			fail_msg("%s = \"%s\" says: %s", bad[i].name, bad[i].text, err);
	}
}

/* ---- layers ---- */

static void
test_layers(void **state)
{
	(void) state;
	assert_load("workers = 2\nport = 7000\nworkers = 3\n", NULL);
	assert_true(set_workers == 3 && set_port == 7000);
	assert_load("workers = 2\nport = 7000\n", "workers=5");
	assert_true(set_workers == 5 && set_port == 7000);
	assert_load("", NULL);
	assert_true(set_workers == 0 && set_port == 6390);
	assert_load("unix_socket_path = '/tmp/it''s here.sock'\n", NULL);
	assert_string_equal(set_unix_socket_path, "/tmp/it's here.sock");
	assert_load("", "unix_socket_path=/tmp/no 'quotes'");
	assert_string_equal(set_unix_socket_path, "/tmp/no 'quotes'");
}

static void
test_refusals(void **state)
{
	(void) state;
	assert_load("port = 7001\n", NULL);
	assert_refused("port = 1\n\nprot = 2\n", NULL, "unrecognized setting \"prot\"", conf, "line 3", NULL);
	assert_refused("workers = many\n", NULL, "\"many\"", "\"workers\"", conf, "line 1", NULL);
	assert_refused("workers\n", NULL, "syntax error", conf, "line 1", NULL);
	assert_refused("workers = 1\nworkers = 999\n", "workers=2", conf, "line 2", NULL);
	assert_refused("", "prot=2", "unrecognized setting \"prot\"", "option -c", NULL);
	assert_refused("", "port=x", "\"x\"", "option -c", NULL);
	assert_refused("", "port", "not of the form name=value", NULL);
	assert_false(settings_load("/nonexistent/artery.conf", NULL, 0, err, sizeof(err)));
	assert_non_null(strstr(err, "/nonexistent/artery.conf\": No such file"));
	/* nothing of all this came into force */
	assert_true(set_port == 7001);
}

static void
test_together(void **state)
{
	(void) state;
	assert_refused("port = 1\nwal_buffers = 3MB\n", NULL, "wal_buffers = 3MB", "power of two", conf, "line 2", NULL);
	assert_refused("", "wal_segment_size=65MB", "wal_segment_size = 65MB", "power of two", "option -c", NULL);
	assert_refused("max_value_size = 16MB\n", NULL, "max_value_size = 16MB", "16320kB", conf, "line 1", NULL);
	assert_load("max_value_size = 16320kB\n", NULL);
	assert_refused("", "listen_addresses=127.0.0.1", "requirepass", "option -c", NULL);
	assert_load("listen_addresses = '127.0.0.1'\nrequirepass = 'x'\n", NULL);
	assert_false(settings_set("requirepass", "", false, err, sizeof(err)));
	assert_non_null(strstr(err, "requirepass"));
	assert_string_equal(set_requirepass, "x");
	assert_refused("unix_socket_permissions = 0799\n", NULL, "octal", "line 1", NULL);
	assert_refused("unix_socket_permissions = 7\n", NULL, "octal", "line 1", NULL);
	assert_load("unix_socket_permissions = 770\n", NULL);
	/* a small ring takes the default of max_value_size along, but no value that somebody asked for */
	assert_load("wal_buffers = 1MB\n", NULL);
	assert_true(set_max_value_size == 192 * 1024);
	assert_refused("wal_buffers = 1MB\nmax_value_size=256kB\n", NULL, "line 2", NULL);
#ifdef ARTERY_FAULTS
	assert_load("fault_points = 'x:kill'\n", NULL);
#else
	assert_refused("fault_points = 'x:kill'\n", NULL, "built with fault points", NULL);
#endif
}

/* the sample as it is, and with every default uncommented, gives exactly the defaults */
static void
test_sample(void **state)
{
	char		line[1024];
	char		values[SETTING_COUNT][SETTING_VALUE_MAX];
	char		copy_name[sizeof(conf) + 8];
	FILE	   *file;
	FILE	   *copy;
	int			uncommented = 0;

	(void) state;
	assert_load("", NULL);
	for (int i = 0; i < SETTING_COUNT; i++)
		assert_true(settings_get(settings_name(i), values[i], sizeof(values[i])));
	file = fopen(conf, "w");
	assert_non_null(file);
	settings_write_sample(file);
	assert_int_equal(fclose(file), 0);
	assert_true(settings_load(conf, NULL, 0, err, sizeof(err)));

	(void) snprintf(copy_name, sizeof(copy_name), "%s.all", conf);
	file = fopen(conf, "r");
	copy = fopen(copy_name, "w");
	assert_non_null(file);
	assert_non_null(copy);
	while (fgets(line, sizeof(line), file) != NULL)
	{
		bool		is_setting = line[0] == '#' && line[1] >= 'a' && line[1] <= 'z';

		assert_true(strlen(line) <= 160);
		/* this one's default follows wal_buffers: its own number is for a larger ring */
		if (is_setting && strncmp(line + 1, "max_value_size", 14) != 0)
			uncommented++;
		else
			is_setting = false;
		fputs(line + is_setting, copy);
	}
	fclose(file);
	assert_int_equal(fclose(copy), 0);
	assert_int_equal(uncommented, SETTING_COUNT - 1);
	if (!settings_load(copy_name, NULL, 0, err, sizeof(err)))
		fail_msg("%s", err);
	for (int i = 0; i < SETTING_COUNT; i++)
		assert_setting(settings_name(i), values[i]);
	unlink(copy_name);
}

static void
test_doc(void **state)
{
	char	   *text = NULL;
	size_t		size = 0;
	FILE	   *out = open_memstream(&text, &size);
	char		row[128];

	(void) state;
	assert_non_null(out);
	settings_write_doc(out);
	assert_int_equal(fclose(out), 0);
	for (int i = 0; i < SETTING_COUNT; i++)
	{
		(void) snprintf(row, sizeof(row), "\n| `%s` | `", settings_name(i));
		if (strstr(text, row) == NULL)
			fail_msg("no row for %s", settings_name(i));
	}
	free(text);
}

static void
test_reload(void **state)
{
	(void) state;
	elog_set_min_level(FATAL);
	assert_load("port = 7000\ncommit_siblings = 3\nlog_min_messages = fatal\n", "commit_batch=8kB");
	/* wrong lines and START settings stay, the others change, -c stays above the file */
	write_conf("port = 7001\ncommit_siblings = x\nnonsense\nunknown = 1\ncommit_delay = 7\ncommit_batch = 16kB\n"
			   "log_min_messages = fatal\n");
	settings_reload();
	assert_true(set_port == 7000 && set_commit_siblings == 3 && set_commit_delay == 7 && set_commit_batch == 8192);
	/* CONFIG SET stays above the file */
	assert_true(settings_set("commit_delay", "9us", false, err, sizeof(err)));
	assert_true(set_commit_delay == 9);
	write_conf("commit_siblings = 4\nlog_min_messages = fatal\n");
	settings_reload();
	assert_true(set_commit_delay == 9 && set_commit_siblings == 4 && set_port == 7000);
	/* a room's own refinement of a START setting survives */
	set_workers = 2;
	settings_reload();
	assert_true(set_workers == 2);
	/* no file: all stays */
	unlink(conf);
	settings_reload();
	assert_true(set_commit_delay == 9 && set_commit_siblings == 4 && set_port == 7000);
	assert_load("", NULL);
	assert_true(set_commit_delay == 0);
}

static void
test_config_set(void **state)
{
	(void) state;
	assert_load("", NULL);
	assert_true(settings_set("commit_delay", "1ms", true, err, sizeof(err)));
	assert_true(set_commit_delay == 0);
	assert_false(settings_set("port", "1", false, err, sizeof(err)));
	assert_non_null(strstr(err, "without restarting"));
	assert_false(settings_set("restart_after_crash", "off", false, err, sizeof(err)));
	assert_non_null(strstr(err, "artery.conf only"));
	assert_false(settings_set("none", "1", false, err, sizeof(err)));
	assert_non_null(strstr(err, "unrecognized"));
	assert_false(settings_set("commit_delay", "x", false, err, sizeof(err)));
	assert_non_null(strstr(err, "\"commit_delay\""));
}

/* ---- the shared table ---- */

static const char *const pair[] = {"commit_siblings", "commit_delay"};

static bool
set_pair(int number)
{
	char		text[16];
	const char *values[] = {text, text};

	(void) snprintf(text, sizeof(text), "%d", number);
	return settings_set_shared(pair, values, 2, err, sizeof(err));
}

static void *
make_region(void)
{
	void	   *region = mmap(NULL, settings_region_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(region != MAP_FAILED);
	settings_region_init(region);
	return region;
}

static void
test_shared(void **state)
{
	const char *const unequal[] = {"7", "wrong"};
	const char *const twice[] = {"commit_delay", "commit_delay"};
	const char *const equal[] = {"7", "7"};
	int			status;
	pid_t		pid;

	(void) state;
	assert_load("", NULL);
	make_region();
	assert_true(set_pair(3));
	assert_true(set_commit_siblings == 3 && set_commit_delay == 3);
	assert_false(settings_set_shared(pair, unequal, 2, err, sizeof(err)));
	assert_true(set_commit_siblings == 3 && set_commit_delay == 3);
	assert_false(settings_set_shared(twice, equal, 2, err, sizeof(err)));
	assert_non_null(strstr(err, "twice"));

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(set_pair(8) && set_commit_delay == 8 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(set_commit_delay == 3);
	settings_apply_shared();
	assert_true(set_commit_siblings == 8 && set_commit_delay == 8);

	/* a crash restart: a new table, and what a fork inherits is the postmaster's, which never applied */
	make_region();
	settings_apply_shared();
	assert_load("", NULL);
	assert_true(set_commit_delay == 0);
}

/* setter -- a child: sets both to the same number, for ever */
static void
setter(unsigned int number)
{
	for (;;)
	{
		number = number % 9000 + 1;
		if (!set_pair((int) number))
			_exit(1);
	}
}

static void
test_shared_kill(void **state)
{
	const char *rounds_text = getenv("ARTERY_ROUNDS");
	int			rounds = rounds_text != NULL ? atoi(rounds_text) : 100;
	int64		last = 1;
	int			changes = 0;

	(void) state;
	make_region();
	assert_true(set_pair(1));
	for (int round = 0; round < rounds; round++)
	{
		pid_t		pids[2];
		uint64		until;
		int			status;

		for (int i = 0; i < 2; i++)
		{
			pids[i] = fork();
			assert_true(pids[i] >= 0);
			if (pids[i] == 0)
				setter((unsigned int) rand_r(&seed));
		}
		/* at most 4 ms, so that a child dies at any step of its first or a later turn */
		until = clock_mono_us() + (uint64) rand_r(&seed) % 4000;
		while (clock_mono_us() < until)
		{
			settings_apply_shared();
			assert_true(set_commit_siblings == set_commit_delay);
			changes += set_commit_delay != last;
			last = set_commit_delay;
		}
		for (int i = 0; i < 2; i++)
		{
			assert_int_equal(kill(pids[i], SIGKILL), 0);
			assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
			/* killed, not refused: no setter ever meets a lock that nobody releases */
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		}
		if (!set_pair(round + 1))
			fail_msg("round %d: %s", round, err);
		assert_true(set_commit_siblings == round + 1 && set_commit_delay == round + 1);
		last = set_commit_delay;
	}
	assert_true(changes > 0);
}

static int
make_directory(void **state)
{
	const char *text = getenv("ARTERY_SEED");

	(void) state;
	seed = text != NULL ? (unsigned int) strtoul(text, NULL, 10) : (unsigned int) getpid();
	printf("# seed %u (ARTERY_SEED)\n", seed);
	if (mkdtemp(dir) == NULL)
		return -1;
	(void) snprintf(conf, sizeof(conf), "%s/artery.conf", dir);
	return 0;
}

static int
remove_directory(void **state)
{
	(void) state;
	unlink(conf);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader),	   cmocka_unit_test(test_reader_bounds), cmocka_unit_test(test_reader_tools),
		cmocka_unit_test(test_defaults),   cmocka_unit_test(test_units),		 cmocka_unit_test(test_layers),
		cmocka_unit_test(test_refusals),   cmocka_unit_test(test_together),		 cmocka_unit_test(test_sample),
		cmocka_unit_test(test_doc),		   cmocka_unit_test(test_reload),		 cmocka_unit_test(test_config_set),
		cmocka_unit_test(test_shared),	   cmocka_unit_test(test_shared_kill),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("utils settings", tests, make_directory, remove_directory);
}
