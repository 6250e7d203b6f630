/*
 * stop.c -- artery_ctl stop, restart, reload: signals to a running server.
 *
 * The pid comes from artery.pid.  A stop is over when the process is gone; a pid
 * file that is still there then means that it did not end in order.  A smart stop
 * ends with a checkpoint, which is waited for however long it takes, unless -t says
 * how long.
 */
#include "ctl.h"

#include <errno.h>
#include <signal.h>

/* read_pid -- of the server that artery.pid names; 0: none, said why. */
static int
read_pid(const CtlOptions *options)
{
	PidFile		file;
	int			error = pid_file_read(options->data_dir, &file);

	if (error == ENOENT)
	{
		(void) ctl_fail("PID file \"%s/%s\" does not exist", options->data_dir, PID_FILE_NAME);
		(void) fputs("Is server running?\n", stderr);
	}
	else if (error != 0)
		(void) ctl_fail("could not open PID file \"%s/%s\": %s", options->data_dir, PID_FILE_NAME, strerror(error));
	else if (file.pid == 0)
		(void) ctl_fail("invalid data in PID file \"%s/%s\"", options->data_dir, PID_FILE_NAME);
	return error == 0 ? file.pid : 0;
}

/* send_signal -- CTL_OK or CTL_FAILED; a zombie takes signals, but is no server. */
static int
send_signal(int pid, int number, const char *what)
{
	if (!ctl_process_running(pid))
		errno = ESRCH;
	else if (kill(pid, number) == 0)
		return CTL_OK;
	return ctl_fail("could not send %s signal (PID: %d): %m", what, pid);
}

static int
mode_signal(StopMode mode)
{
	switch (mode)
	{
		case STOP_SMART:
			return SIGTERM;
		case STOP_FAST:
			return SIGINT;
		case STOP_IMMEDIATE:
			return SIGQUIT;
	}
	NotReached();
}

/* ask_stopped -- the process is gone: did it take its pid file along? */
static WaitAnswer
ask_stopped(const CtlOptions *options, void *arg)
{
	int			pid = *(int *) arg;
	PidFile		file;

	if (ctl_process_running(pid))
		return WAIT_MORE;
	/* an immediate stop owes nothing but its end; another server may have written a file of its own since */
	if (options->mode == STOP_IMMEDIATE || pid_file_read(options->data_dir, &file) != 0 || file.pid != pid)
		return WAIT_DONE;
	return WAIT_FAILED;
}

static void
see_worker(int pid, const char *title, void *arg)
{
	(void) pid;
	if (strncmp(title, "artery: worker", 14) == 0)
		*(bool *) arg = true;
}

/* last_checkpoint -- has the server let its last client go, so that only its own work is left? */
static bool
last_checkpoint(const CtlOptions *options, int pid)
{
	bool		serving = false;

	ctl_each_child(pid, see_worker, &serving);
	return options->mode == STOP_SMART && !options->timeout_given && !serving;
}

static int
wait_stopped(const CtlOptions *options, int pid)
{
	WaitAnswer	answer;

	ctl_say(options, "waiting for server to shut down...");
	do
		answer = ctl_wait(options, ask_stopped, &pid);
	while (answer == WAIT_MORE && last_checkpoint(options, pid));
	switch (answer)
	{
		case WAIT_DONE:
			ctl_say(options, " done\nserver stopped\n");
			return CTL_OK;
		case WAIT_FAILED:
			ctl_say(options, " failed\n");
			return ctl_fail("server ended, but not in order; examine its log, the next start recovers");
		case WAIT_MORE:
			break;
	}
	ctl_say(options, " failed\n");
	(void) ctl_fail("server does not shut down");
	if (options->mode == STOP_SMART)
		(void) fputs("HINT: The \"-m fast\" option immediately disconnects clients rather than\n"
					 "waiting for them to disconnect.\n",
					 stderr);
	return CTL_FAILED;
}

int
ctl_stop(const CtlOptions *options)
{
	int			pid;

	if (ctl_check_directory(options, CTL_FAILED) != CTL_OK || (pid = read_pid(options)) == 0)
		return CTL_FAILED;
	if (send_signal(pid, mode_signal(options->mode), "stop") != CTL_OK)
		return CTL_FAILED;
	if (!options->wait)
	{
		ctl_say(options, "server shutting down\n");
		return CTL_OK;
	}
	return wait_stopped(options, pid);
}

int
ctl_restart(const CtlOptions *options)
{
	CtlOptions	stop = *options;
	int			pid;

	stop.wait = true;	/* two servers cannot have one directory */
	if (ctl_check_directory(options, CTL_FAILED) != CTL_OK)
		return CTL_FAILED;
	pid = read_pid(options);
	if (pid == 0)
		(void) fputs("trying to start server anyway\n", stderr);
	else if (!ctl_process_running(pid))
	{
		(void) ctl_fail("old server process (PID: %d) seems to be gone", pid);
		(void) fputs("starting server anyway\n", stderr);
	}
	else if (ctl_stop(&stop) != CTL_OK)
		return CTL_FAILED;
	return ctl_start(options);
}

int
ctl_reload(const CtlOptions *options)
{
	int			pid;

	if (ctl_check_directory(options, CTL_FAILED) != CTL_OK || (pid = read_pid(options)) == 0)
		return CTL_FAILED;
	if (send_signal(pid, SIGHUP, "reload") != CTL_OK)
		return CTL_FAILED;
	ctl_say(options, "server signaled\n");
	return CTL_OK;
}
