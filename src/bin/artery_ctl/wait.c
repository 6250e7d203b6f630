/*
 * wait.c -- waiting for what a server does, from outside.
 *
 * From /proc, and by looking again: at first every few milliseconds, for a server starts and
 * stops in less than that, then ten times a second.
 */
#include "ctl.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <time.h>

#define PAUSE_FIRST_MS 2
#define PAUSE_MAX_MS 100

/* read_proc -- /proc/PID/NAME as text; false: there is none (any more). */
static bool
read_proc(const char *pid, const char *name, char *text, size_t size)
{
	char		path[300];
	FILE	   *file;
	size_t		len;

	(void) snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	len = fread(text, 1, size - 1, file);
	(void) fclose(file);
	text[len] = '\0';
	return true;
}

bool
ctl_process_running(int pid)
{
	char		name[16];
	char		stat[512];
	const char *state;

	if (kill(pid, 0) != 0 && errno == ESRCH)
		return false;
	/* a zombie answers kill, too, where the first process of a container does not wait for orphans */
	(void) snprintf(name, sizeof(name), "%d", pid);
	if (!read_proc(name, "stat", stat, sizeof(stat)))
		return kill(pid, 0) == 0 || errno != ESRCH;
	/* "pid (name) S ...": the name may hold anything, the last parenthesis ends it */
	state = strrchr(stat, ')');
	return state == NULL || state[1] == '\0' || (state[2] != 'Z' && state[2] != 'X');
}

void
ctl_each_child(int postmaster_pid, void (*see)(int pid, const char *title, void *arg), void *arg)
{
	DIR		   *proc = opendir("/proc");
	struct dirent *entry;

	if (proc == NULL)
		return;
	while ((entry = readdir(proc)) != NULL)
	{
		char		text[512];
		const char *rest;
		int			parent;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !read_proc(entry->d_name, "stat", text, sizeof(text)))
			continue;
		rest = strrchr(text, ')');
		if (rest == NULL || sscanf(rest, ") %*c %d", &parent) != 1 || parent != postmaster_pid)
			continue;
		if (read_proc(entry->d_name, "cmdline", text, sizeof(text)))	/* setproctitle leaves one string */
			see((int) strtol(entry->d_name, NULL, 10), text, arg);
	}
	(void) closedir(proc);
}

int64
ctl_mono_ms(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

WaitAnswer
ctl_wait(const CtlOptions *options, WaitAnswer (*ask)(const CtlOptions *options, void *arg), void *arg)
{
	int64		start = ctl_mono_ms();
	int64		pause_ms = PAUSE_FIRST_MS;
	int64		dots = 0;

	for (;;)
	{
		WaitAnswer	answer = ask(options, arg);
		int64		elapsed = ctl_mono_ms() - start;
		struct timespec pause = {.tv_nsec = (long) pause_ms * 1000000};

		if (answer != WAIT_MORE || elapsed >= (int64) options->timeout_s * 1000)
			return answer;
		for (; dots < elapsed / 1000; dots++)
			ctl_say(options, ".");
		(void) nanosleep(&pause, NULL);
		pause_ms = Min(pause_ms + pause_ms / 2, PAUSE_MAX_MS);
	}
}
