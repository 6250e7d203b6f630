/*
 * start.c -- artery_ctl start: run the server in the background.
 *
 * The server gets a session of its own, so that no terminal ends it, /dev/null
 * as standard input, and LOGFILE (opened for appending, mode 0600) as standard
 * output and error; without -l it keeps ours.  Then wait for its word "ready" in
 * artery.pid, for its end, or for the timeout; a timeout leaves it running.
 */
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t started_pid;	/* for the handler of an interrupted start */

/* on_interrupt -- ^C while we wait: what we started shall not stay behind half-way. */
static void
on_interrupt(int signal_number)
{
	if (started_pid > 0)
		(void) kill((pid_t) started_pid, SIGINT);
	(void) signal(signal_number, SIG_DFL);
	(void) raise(signal_number);
}

/* open_log -- before the fork, so that an error is ours to tell; -1: none wanted; -2: failed, said why. */
static int
open_log(const CtlOptions *options)
{
	int			fd;

	if (options->log_file == NULL)
		return -1;
	(void) umask(S_IRWXG | S_IRWXO);
	fd = open(options->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
	{
		(void) ctl_fail("could not open log file \"%s\": %m", options->log_file);
		return -2;
	}
	return fd;
}

/* run_server -- in the child: never returns. */
static void
run_server(const CtlOptions *options, const char *server, int log_fd)
{
	const char *argv[4 + 2 * CTL_OPTIONS_MAX];
	int			argc = 0;
	int			null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	argv[argc++] = server;
	argv[argc++] = "-D";
	argv[argc++] = options->data_dir;
	for (int i = 0; i < options->setting_count; i++)
	{
		argv[argc++] = "-c";
		argv[argc++] = options->settings[i];
	}
	argv[argc] = NULL;
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || setsid() < 0 ||
		(log_fd >= 0 && (dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0)))
	{
		(void) ctl_fail("could not prepare the server's process: %m");
		_exit(CTL_FAILED);
	}
	/* what this process inherited without knowing is not the server's */
	(void) close_range(STDERR_FILENO + 1, ~0U, 0);
	(void) execv(server, (char *const *) argv);
	(void) ctl_fail("could not execute \"%s\": %m", server);
	_exit(CTL_FAILED);
}

/* ask_started -- its end, or its own word. */
static WaitAnswer
ask_started(const CtlOptions *options, void *arg)
{
	pid_t		pid = *(pid_t *) arg;
	PidFile		file;
	int			status;

	/* first the file, then the end: a server that was ready and ended since has ended */
	bool		ready = pid_file_read(options->data_dir, &file) == 0 && file.pid == (int) pid &&
		strcmp(file.state, "ready") == 0;

	if (waitpid(pid, &status, WNOHANG) == pid)
		return WAIT_FAILED;
	return ready ? WAIT_DONE : WAIT_MORE;
}

static int
say_could_not_start(const CtlOptions *options)
{
	ctl_say(options, " stopped waiting\n");
	(void) ctl_fail("could not start server");
	if (options->log_file != NULL)
		(void) fprintf(stderr, "Examine the log output in \"%s\".\n", options->log_file);
	else
		(void) fputs("Examine the log output.\n", stderr);
	return CTL_FAILED;
}

static int
wait_started(const CtlOptions *options, pid_t pid)
{
	PidFile		file;

	ctl_say(options, "waiting for server to start...");
	switch (ctl_wait(options, ask_started, &pid))
	{
		case WAIT_DONE:
			ctl_say(options, " done\nserver started\n");
			return CTL_OK;
		case WAIT_FAILED:
			return say_could_not_start(options);
		case WAIT_MORE:
			break;
	}
	ctl_say(options, " stopped waiting\n");
	if (pid_file_read(options->data_dir, &file) == 0 && file.pid == (int) pid && file.state[0] != '\0')
		return ctl_fail("server did not start in time: it is still %s (PID: %d)", file.state, (int) pid);
	return ctl_fail("server did not start in time (PID: %d)", (int) pid);
}

int
ctl_start(const CtlOptions *options)
{
	char		server[PATH_MAX + 16];
	PidFile		file;
	int			log_fd;
	pid_t		pid;

	if (ctl_check_directory(options, CTL_FAILED) != CTL_OK || !ctl_server_path(server, sizeof(server)))
		return CTL_FAILED;
	/* only a hint: the pid may be another program's by now; the lock on the directory decides */
	if (pid_file_read(options->data_dir, &file) == 0 && file.pid != 0 && ctl_process_running(file.pid))
		(void) ctl_fail("another server might be running (PID: %d); trying to start server anyway", file.pid);
	log_fd = open_log(options);
	if (log_fd == -2)
		return CTL_FAILED;
	(void) fflush(NULL);
	pid = fork();
	if (pid < 0)
		return ctl_fail("could not start server: %m");
	if (pid == 0)
		run_server(options, server, log_fd);
	if (log_fd >= 0)
		(void) close(log_fd);
	if (!options->wait)
	{
		ctl_say(options, "server starting\n");
		return CTL_OK;
	}
	started_pid = (sig_atomic_t) pid;
	(void) signal(SIGINT, on_interrupt);
	(void) signal(SIGTERM, on_interrupt);
	return wait_started(options, pid);
}
