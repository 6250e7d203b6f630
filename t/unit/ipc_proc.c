/*
 * ipc_proc.c -- process slots, titles, a child's signals, the postmaster's death.
 *
 * A process of the test plays the postmaster and forks children as the real one
 * does, with all signals blocked.  What a child does is seen from outside: its
 * exit status, or the end of file on a pipe that it holds.
 */
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/procsignal.h"
#include "utils/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const SegmentRegion regions[] = {
	{REGION_CONTROL, "control", segment_control_size, segment_control_init},
	{REGION_PROCS, "procs", proc_region_size, proc_region_init},
};

/* what a child tells the test, in shared memory */
static struct
{
	_Atomic uint32 ready;
	_Atomic uint32 seen;
} *note;

static int
setup(void **state)
{
	sigset_t	all;

	(void) state;
	segment_create_private(regions, lengthof(regions), 0, 0, 6 + 8);
	latch_create_all();
	procsignal_init_postmaster();
	note = mmap(NULL, sizeof(*note), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	(void) sigfillset(&all);
	(void) sigdelset(&all, SIGALRM);
	return sigprocmask(SIG_SETMASK, &all, NULL);
}

/* ---- slots ---- */

static void
test_numbering(void **state)
{
	char		name[PROC_NAME_MAX];

	(void) state;
	assert_int_equal(proc_first_slot(PROC_POSTMASTER), 0);
	assert_int_equal(proc_first_slot(PROC_STARTUP), 1);
	assert_int_equal(proc_first_slot(PROC_WALWRITER), 2);
	assert_int_equal(proc_first_slot(PROC_CHECKPOINTER), 3);
	assert_int_equal(proc_first_slot(PROC_EVICTOR), 4);
	assert_int_equal(proc_first_slot(PROC_EXPIRER), 5);
	assert_int_equal(proc_first_slot(PROC_WORKER), 6);
	assert_int_equal(proc_kind_slots(PROC_WALWRITER), 1);
	assert_int_equal(proc_kind_slots(PROC_WORKER), 8);
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		assert_int_equal(proc_slot(i)->number, i);
		assert_int_equal(proc_slot(i)->kind, Min(i, PROC_WORKER));
		assert_int_equal(atomic_load(&proc_slot(i)->pid), 0);
		assert_int_equal((uintptr_t) &proc_slot(i)->epoch_word % CACHE_LINE, 0);
		assert_int_equal((uintptr_t) &proc_slot(i)->wal_word % CACHE_LINE, 0);
	}
	assert_string_equal(proc_name(0, name, sizeof(name)), "postmaster");
	assert_string_equal(proc_name(2, name, sizeof(name)), "walwriter");
	assert_string_equal(proc_name(4, name, sizeof(name)), "evictor");
	assert_string_equal(proc_name(5, name, sizeof(name)), "expirer");
	assert_string_equal(proc_name(6, name, sizeof(name)), "worker 1");
	assert_string_equal(proc_name(13, name, sizeof(name)), "worker 8");
	assert_string_equal(proc_kind_name(PROC_CHECKPOINTER), "checkpointer");
	assert_string_equal(proc_wait_name(WAIT_NONE), "");
	assert_string_equal(proc_wait_name(WAIT_GRACE_PERIOD), "GracePeriod");
	assert_string_equal(proc_wait_name(4711), "");
}

static void
test_attach(void **state)
{
	uint64		before;

	(void) state;
	proc_attach(5);
	assert_ptr_equal(my_slot, proc_slot(5));
	assert_int_equal(atomic_load(&my_slot->pid), getpid());
	before = atomic_load(&my_slot->heartbeat);
	proc_heartbeat();
	proc_heartbeat();
	assert_int_equal(atomic_load(&my_slot->heartbeat), before + 2);
	proc_set_wait(WAIT_CLIENT);
	assert_int_equal(atomic_load(&my_slot->wait_event), WAIT_CLIENT);
	proc_attach(0);
}

/* ---- children ---- */

/* fork_child -- as the postmaster forks: signals are blocked until the child's handlers stand. */
static pid_t
fork_child(void (*body)(void))
{
	pid_t		parent = getpid();
	pid_t		pid;

	atomic_store(&note->ready, 0);
	atomic_store(&note->seen, 0);
	atomic_store(&proc_slot(5)->stop_order, PROC_STOP_NONE);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		proc_attach(5);
		procsignal_init_child(parent);
		body();
		_exit(0);
	}
	return pid;
}

/* stop -- as the postmaster does it: the order, then the signal. */
static void
stop(pid_t pid, uint32 order)
{
	atomic_store(&proc_slot(5)->stop_order, order);
	(void) kill(pid, order == PROC_STOP_SMART ? SIGTERM : SIGINT);
}

/* wait_until -- poll a note for at most ten seconds. */
static bool
wait_until(_Atomic uint32 *word, uint32 value)
{
	for (int i = 0; i < 10000; i++)
	{
		if (atomic_load(word) == value)
			return true;
		(void) usleep(1000);
	}
	return false;
}

static int
status_of(pid_t pid)
{
	int			status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
body_obey(void)
{
	atomic_store(&note->ready, 1);
	for (;;)
	{
		latch_reset();
		if (proc_reload)
		{
			proc_reload = 0;
			atomic_fetch_add(&note->seen, 1);
		}
		if (proc_stop_smart)
			_exit(10);
		if (proc_stop_fast)
			_exit(11);
		latch_sleep(-1);
	}
}

static void
test_stop_signals(void **state)
{
	pid_t		pid;

	(void) state;
	pid = fork_child(body_obey);
	assert_true(wait_until(&note->ready, 1));
	for (uint32 i = 1; i <= 3; i++)
	{
		assert_int_equal(kill(pid, SIGHUP), 0);
		assert_true(wait_until(&note->seen, i));
	}
	(void) kill(pid, SIGPIPE);
	(void) kill(pid, SIGUSR1);
	stop(pid, PROC_STOP_SMART);
	assert_int_equal(status_of(pid), 10 << 8);

	pid = fork_child(body_obey);
	stop(pid, PROC_STOP_FAST);	/* before it is ready, even before its handlers stand: not lost */
	assert_int_equal(status_of(pid), 11 << 8);

	pid = fork_child(body_obey);
	(void) kill(pid, SIGQUIT);
	assert_int_equal(status_of(pid), PROC_EXIT_QUIT << 8);
}

/* TERM and INT without an order of the postmaster's are not for this process to decide */
static void
test_foreign_stop_is_ignored(void **state)
{
	pid_t		pid;
	pid_t		stranger;

	(void) state;
	pid = fork_child(body_obey);
	assert_true(wait_until(&note->ready, 1));
	stranger = fork();
	if (stranger == 0)
	{
		(void) kill(pid, SIGTERM);
		(void) kill(pid, SIGINT);
		(void) kill(pid, SIGHUP);
		_exit(0);
	}
	assert_int_equal(status_of(stranger), 0);
	assert_true(wait_until(&note->seen, 1));	/* HUP, the last of the three, has come through */
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	stop(pid, PROC_STOP_SMART);
	assert_int_equal(status_of(pid), 10 << 8);
}

/* the postmaster's signal meets a stranger's that is still pending: the kernel keeps one, the order is obeyed */
static void
test_equal_signals_meet(void **state)
{
	pid_t		pid;
	pid_t		stranger;
	int			status;

	(void) state;
	pid = fork_child(body_obey);
	assert_true(wait_until(&note->ready, 1));
	(void) kill(pid, SIGSTOP);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	stranger = fork();
	if (stranger == 0)
	{
		(void) kill(pid, SIGINT);
		_exit(0);
	}
	assert_int_equal(status_of(stranger), 0);
	stop(pid, PROC_STOP_FAST);
	(void) kill(pid, SIGCONT);
	assert_int_equal(status_of(pid), 11 << 8);
}

static void
body_redo(void)
{
	procsignal_exit_on_stop();
	atomic_store(&note->ready, 1);
	for (;;)
		atomic_fetch_add(&note->seen, 1);	/* no call at all: only a signal ends this */
}

static void
test_exit_on_stop(void **state)
{
	const uint32 orders[] = {PROC_STOP_SMART, PROC_STOP_FAST};

	(void) state;
	for (size_t i = 0; i < lengthof(orders); i++)
	{
		pid_t		pid = fork_child(body_redo);

		assert_true(wait_until(&note->ready, 1));
		stop(pid, orders[i]);
		assert_int_equal(status_of(pid), PROC_EXIT_STOPPED << 8);
	}
}

/* ---- the postmaster's death ---- */

static void
body_busy(void)
{
	atomic_store(&note->ready, 1);
	for (;;)
		atomic_fetch_add(&note->seen, 1);	/* no call at all: only a signal ends this */
}

static void
body_asleep(void)
{
	atomic_store(&note->ready, 1);
	for (;;)
		latch_sleep(-1);
}

static void
body_asleep_deaf(void)			/* QUIT blocked, as in a critical moment: the pipe wakes it */
{
	sigset_t	all;

	(void) sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, NULL);
	body_asleep();
}

/*
 * death_ends -- a process in the middle forks a child that runs 'body', then is
 * killed; true if the child is gone within a second.
 */
static bool
death_ends(void (*body)(void))
{
	int			alive[2];
	struct pollfd fd;
	pid_t		middle;
	int			n;

	assert_int_equal(pipe(alive), 0);
	atomic_store(&note->ready, 0);
	middle = fork();
	if (middle == 0)
	{
		procsignal_init_postmaster();	/* its own pipe; the test holds no end of it */
		(void) fork_child(body);
		for (;;)
			(void) pause();
	}
	(void) close(alive[1]);
	assert_true(wait_until(&note->ready, 1));
	(void) kill(middle, SIGKILL);
	assert_int_equal(status_of(middle), SIGKILL);
	fd = (struct pollfd) {.fd = alive[0], .events = POLLIN};
	n = poll(&fd, 1, 1000);		/* end of file: nobody holds the other end any more */
	(void) close(alive[0]);
	return n == 1 && (fd.revents & POLLHUP) != 0;
}

static void
test_children_notice_the_death(void **state)
{
	(void) state;
	assert_true(death_ends(body_busy));
	assert_true(death_ends(body_asleep));
	assert_true(death_ends(body_asleep_deaf));
}

/* a child that is born after the postmaster's death must not live */
static void
test_born_too_late(void **state)
{
	pid_t		pid;

	(void) state;
	pid = fork();
	if (pid == 0)
	{
		proc_attach(5);
		procsignal_init_child(getpid());	/* not our parent's pid: as if it had been replaced */
		_exit(0);
	}
	assert_int_equal(status_of(pid), PROC_EXIT_QUIT << 8);
	assert_true(procsignal_death_fd() >= 0);
}

/* ---- titles ---- */

static int	own_argc;
static char **own_argv;
static char **own_environ;

static void
check_title(const char *expected)
{
	char		title[256];
	int			fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t		len;

	if (fd < 0 || (len = read(fd, title, sizeof(title) - 1)) < 0)
		_exit(98);
	title[len] = '\0';
	(void) close(fd);
	for (ssize_t i = (ssize_t) strlen(title); i < len; i++)
		if (title[i] != '\0')
			_exit(97);			/* something behind it, which ps would show */
	if (strcmp(title, expected) != 0)
	{
		fprintf(stderr, "title is \"%s\", not \"%s\"\n", title, expected);
		_exit(99);
	}
}

static void
test_titles(void **state)
{
	pid_t		pid;

	(void) state;
	pid = fork();
	if (pid == 0)
	{
		proc_init_titles(own_argc, own_argv, own_environ);
		proc_attach(7);
		proc_set_title("%u clients", 14);
		check_title("artery: worker 2: 14 clients");
		proc_set_title("%u clients", 15);
		check_title("artery: worker 2: 15 clients");
		proc_set_title("%s", "");
		check_title("artery: worker 2");
		proc_attach(3);
		proc_set_title("%s", "");
		check_title("artery: checkpointer");
		_exit(0);
	}
	assert_int_equal(status_of(pid), 0);
}

int
main(int argc, char **argv, char **envp)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbering),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_stop_signals),
		cmocka_unit_test(test_foreign_stop_is_ignored),
		cmocka_unit_test(test_equal_signals_meet),
		cmocka_unit_test(test_exit_on_stop),
		cmocka_unit_test(test_children_notice_the_death),
		cmocka_unit_test(test_born_too_late),
		cmocka_unit_test(test_titles),
	};

	own_argc = argc;
	own_argv = argv;
	own_environ = envp;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, NULL);
}
