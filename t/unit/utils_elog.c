/*
 * utils_elog.c -- unit test of messages and of the end of a process.
 *
 * Method: standard error becomes a file for the time of a case; ends of
 * processes happen in forked children, whose exit status is looked at.
 */
#include "utils/clock.h"
#include "utils/elog.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char captured[16384];
static int	saved_stderr = -1;
static FILE *capture_file;

static void
capture_begin(void)
{
	capture_file = tmpfile();
	assert_non_null(capture_file);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(saved_stderr >= 0);
	assert_true(dup2(fileno(capture_file), STDERR_FILENO) >= 0);
}

static void
capture_end(void)
{
	ssize_t		n;

	assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
	close(saved_stderr);
	n = pread(fileno(capture_file), captured, sizeof(captured) - 1, 0);
	assert_true(n >= 0);
	captured[n] = '\0';
	fclose(capture_file);
}

static void
assert_matches(const char *pattern)
{
	regex_t		re;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&re, captured, 0, NULL, 0) != 0)
		fail_msg("\"%s\" does not match \"%s\"", captured, pattern);
	regfree(&re);
}

#define HEAD "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} UTC \\[[0-9]+\\] "

static void
test_line(void **state)
{
	(void) state;
	elog_init("worker 2");
	capture_begin();
	errno = ENOENT;
	ereport(LOG, "could not open \"%s\": %m", "x/y");
	assert_int_equal(errno, ENOENT);
	capture_end();
	assert_matches(HEAD "worker 2 LOG:  could not open \"x/y\": No such file or directory\n$");
}

static void
test_hint(void **state)
{
	(void) state;
	capture_begin();
	ereport_hint(WARNING, "set it lower", "memory_limit is %d", 5);
	capture_end();
	assert_matches(HEAD "worker 2 WARNING:  memory_limit is 5\n[^\n]*\\[[0-9]+\\] worker 2 HINT:  set it lower\n$");
}

static void
test_levels(void **state)
{
	(void) state;
	capture_begin();
	elog_set_min_level(WARNING);
	ereport(LOG, "quiet");
	ereport(WARNING, "loud");
	elog_set_min_level(DEBUG2);
	ereport(DEBUG2, "fine");
	elog_set_min_level(LOG);
	ereport(DEBUG1, "quiet");
	capture_end();
	assert_matches("WARNING:  loud\n[^\n]*DEBUG2:  fine\n$");
	assert_null(strstr(captured, "quiet"));
}

/* a client's bytes must not be able to forge a line, whatever they are */
static void
test_control_characters(void **state)
{
	(void) state;
	capture_begin();
	ereport(LOG, "name \"%s\"", "a\nLOG:  forged\r\x1b[0m\x7f\xc3\xa4");
	capture_end();
	assert_non_null(strstr(captured, "a\\x0aLOG:  forged\\x0d\\x1b[0m\\x7f\xc3\xa4\"\n"));
	assert_ptr_equal(strchr(captured, '\n') + 1, captured + strlen(captured));
}

static void
test_long_line(void **state)
{
	static char text[8192];

	(void) state;
	memset(text, 'x', sizeof(text) - 1);
	capture_begin();
	ereport_hint(LOG, "no room for me", "%s", text);
	memset(text, '\n', sizeof(text) - 1);
	ereport(LOG, "%s", text);
	capture_end();
	assert_matches("xxx\\.\\.\\.\n.*\\\\x0a.*\\.\\.\\.\n$");
	assert_null(strstr(captured, "no room"));
	assert_true(strlen(captured) <= 2 * 4096);
}

/* run_child -- status of a child that runs 'fn'; its standard error is captured. */
static int
run_child(void (*fn)(void))
{
	int			status;
	pid_t		pid;

	capture_begin();
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		fn();
		_exit(42);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	capture_end();
	return status;
}

static void
say_exit_handler(void)
{
	static const char text[] = "exit handler ran\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(43);
}

static void
child_fatal(void)
{
	elog_init("worker 0");
	atexit(say_exit_handler);
	elog_set_min_level(PANIC);	/* FATAL is written whatever the level */
	ereport(FATAL, "lock file \"%s\" exists", "artery.pid");
}

static void
child_panic(void)
{
	ereport(PANIC, "could not write the log: %s", "Input/output error");
}

/* this process called elog_init first: exit handlers are the parent's and must not run in a child */
static void
test_fatal(void **state)
{
	int			status = run_child(child_fatal);

	(void) state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_matches(HEAD "worker 0 FATAL:  lock file \"artery.pid\" exists\n$");
}

static void
test_panic(void **state)
{
	int			status = run_child(child_panic);

	(void) state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_matches("PANIC:  could not write the log: Input/output error\n$");
}

static void
test_doing(void **state)
{
	char		buffer[8];

	(void) state;
	memset(buffer, 0, sizeof(buffer));
	elog_doing("nothing is kept");
	assert_string_equal(buffer, "");
	elog_set_doing_buffer(buffer, sizeof(buffer));
	elog_doing("SET");
	assert_string_equal(buffer, "SET");
	elog_doing("DURABILITY");
	assert_string_equal(buffer, "DURABIL");
	elog_doing("GET");
	assert_string_equal(buffer, "GET");
	elog_set_doing_buffer(NULL, 0);
}

static void
test_clock(void **state)
{
	uint64		mono = clock_mono_us();
	uint64		wall = clock_wall_us();

	(void) state;
	assert_true(clock_mono_us() >= mono);
	assert_true(clock_mono_us() - mono < 60 * UINT64_C(1000000));
	/* within a minute of what time(2) says */
	assert_true(wall / 1000000 + 60 >= (uint64) time(NULL) && wall / 1000000 <= (uint64) time(NULL) + 60);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),			   cmocka_unit_test(test_hint),	 cmocka_unit_test(test_levels),
		cmocka_unit_test(test_control_characters), cmocka_unit_test(test_long_line), cmocka_unit_test(test_fatal),
		cmocka_unit_test(test_panic),			   cmocka_unit_test(test_doing), cmocka_unit_test(test_clock),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("utils elog", tests, NULL, NULL);
}
