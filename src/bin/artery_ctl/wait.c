/*
 * wait.c -- waiting for what a server does, from outside.
 *
 * By looking again: at first every few milliseconds, for a server starts and
 * stops in less than that, then ten times a second.
 */
#include "ctl.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#define PAUSE_FIRST_MS 2
#define PAUSE_MAX_MS 100

bool
ctl_process_running(int pid)
{
	char		path[64];
	char		stat[512];
	FILE	   *file;
	size_t		len;
	const char *state;

	if (kill(pid, 0) != 0 && errno == ESRCH)
		return false;
	/* a zombie answers kill, too, where the first process of a container does not wait for orphans */
	(void) snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return kill(pid, 0) == 0 || errno != ESRCH;
	len = fread(stat, 1, sizeof(stat) - 1, file);
	(void) fclose(file);
	stat[len] = '\0';
	/* "pid (name) S ...": the name may hold anything, the last parenthesis ends it */
	state = strrchr(stat, ')');
	return state == NULL || state[1] == '\0' || (state[2] != 'Z' && state[2] != 'X');
}

static int64
mono_ms(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

WaitAnswer
ctl_wait(const CtlOptions *options, WaitAnswer (*ask)(const CtlOptions *options, void *arg), void *arg)
{
	int64		start = mono_ms();
	int64		pause_ms = PAUSE_FIRST_MS;
	int64		dots = 0;

	for (;;)
	{
		WaitAnswer	answer = ask(options, arg);
		int64		elapsed = mono_ms() - start;
		struct timespec pause = {.tv_nsec = (long) pause_ms * 1000000};

		if (answer != WAIT_MORE || elapsed >= (int64) options->timeout_s * 1000)
			return answer;
		for (; dots < elapsed / 1000; dots++)
			ctl_say(options, ".");
		(void) nanosleep(&pause, NULL);
		pause_ms = Min(pause_ms + pause_ms / 2, PAUSE_MAX_MS);
	}
}
