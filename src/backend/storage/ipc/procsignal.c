/*
 * procsignal.c -- a child's signals, and how it notices that the postmaster died.
 *
 * Three nets, because a child may be busy, asleep or just being born:
 *   - prctl(PR_SET_PDEATHSIG, SIGQUIT): the kernel signals a busy child;
 *   - getppid() after that: the postmaster may have died before the prctl;
 *   - a pipe whose writing end only the postmaster holds: readable (end of file)
 *     when it is gone, for loops that poll.
 *
 * Handlers run on the child's only thread; they set flags, set the latch and call
 * _exit, nothing else.  Children are forked with all signals blocked, so that none
 * can arrive before its handler stands.
 */
#include "storage/ipc/procsignal.h"
#include "storage/ipc/latch.h"
#include "utils/elog.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

volatile sig_atomic_t proc_stop_smart;
volatile sig_atomic_t proc_stop_fast;
volatile sig_atomic_t proc_reload;

static int	death_pipe[2] = {-1, -1};	/* [0] children and postmaster, [1] the postmaster only */
static volatile sig_atomic_t exit_on_stop;
static volatile sig_atomic_t postmaster_pid;

void
procsignal_init_postmaster(void)
{
	if (pipe2(death_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		ereport(FATAL, "could not make a pipe: %m");
}

static void
handle_stop(int signo)
{
	int			saved_errno = errno;
	uint32		order = atomic_load_explicit(&my_slot->stop_order, memory_order_acquire);	/* acquire [stop-order] */

	(void) signo;
	if (order != PROC_STOP_NONE && exit_on_stop)
		_exit(PROC_EXIT_STOPPED);
	if (order == PROC_STOP_SMART)
		proc_stop_smart = 1;
	else if (order == PROC_STOP_FAST)
		proc_stop_fast = 1;
	/* no order: the postmaster has got that signal, too, and will decide */
	latch_set_own_from_signal();
	errno = saved_errno;
}

static void
handle_reload(int signo)
{
	int			saved_errno = errno;

	(void) signo;
	proc_reload = 1;
	latch_set_own_from_signal();
	errno = saved_errno;
}

static void
handle_quit(int signo)
{
	(void) signo;
	_exit(PROC_EXIT_QUIT);
}

static void
set_handler(int signo, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

	(void) sigfillset(&action.sa_mask);
	Verify(sigaction(signo, &action, NULL) == 0);
}

void
procsignal_init_child(int postmaster)
{
	sigset_t	none;

	Verify(my_slot != NULL);
	postmaster_pid = postmaster;
	if (death_pipe[1] >= 0)
	{
		(void) close(death_pipe[1]);
		death_pipe[1] = -1;
	}
	set_handler(SIGTERM, handle_stop);
	set_handler(SIGINT, handle_stop);
	set_handler(SIGHUP, handle_reload);
	set_handler(SIGQUIT, handle_quit);
	set_handler(SIGPIPE, SIG_IGN);
	set_handler(SIGUSR1, SIG_IGN);
	set_handler(SIGUSR2, SIG_IGN);
	set_handler(SIGXFSZ, SIG_IGN);	/* a file size limit is an error of the call */
	set_handler(SIGCHLD, SIG_DFL);
	Verify(prctl(PR_SET_PDEATHSIG, SIGQUIT) == 0);
	if (getppid() != postmaster)
		_exit(PROC_EXIT_QUIT);
	(void) sigemptyset(&none);
	Verify(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

bool
procsignal_postmaster_alive(void)
{
	return getppid() == postmaster_pid;
}

void
procsignal_exit_on_stop(void)
{
	exit_on_stop = 1;
	if (proc_stop_smart || proc_stop_fast)
		_exit(PROC_EXIT_STOPPED);
}

int
procsignal_death_fd(void)
{
	return death_pipe[0];
}
