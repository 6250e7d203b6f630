/*
 * postmaster.c -- the state machine of the process that starts, watches and ends
 * all others.
 *
 * It makes the segment and the sockets, forks everybody at once, and then only
 * waits: for signals (a signalfd, so that nothing runs in a handler) and for the
 * next second.  It takes no lock, enters no epoch, opens no file of data or log,
 * and of the segment it touches atomics only, so that nothing a dying child left
 * odd can stop it.
 *
 *   RECOVERING      the startup process redoes the log; workers answer -LOADING
 *   RUNNING         the startup process has ended well
 *   STOP_WORKERS    told to stop: workers go first (and startup, if it still runs)
 *   STOP_EXPIRER    the last one but the checkpointer that writes log
 *   STOP_WALWRITER  it flushes all that is reserved; the evictor ends meanwhile
 *   STOP_CHECKPOINTER  smart: a last checkpoint; then it writes STOPPED into the control file
 *   ENDING          QUIT sent to all, KILL after 5 s; then a new start, or the end
 *
 * TERM (smart), INT (fast) and QUIT (immediate) may follow each other, each going
 * further than the one before.  A child that ends unexpectedly, in whatever way,
 * leads to ENDING and, unless a stop was asked for, to a new segment and
 * recovery: shared memory is suspect.  The listening sockets stay open meanwhile.
 * Equal crashes one after the other end the server when they happen during
 * recovery, which would never succeed, and slow its restarts down otherwise.
 *
 * If the postmaster itself dies, the children notice (procsignal.c), and the lock
 * on the directory keeps a new server out until the last of them has gone.
 */
#include "postmaster/postmaster.h"
#include "postmaster/postmaster_internal.h"
#include "access/base/base_read.h"
#include "access/store/checkpoint.h"
#include "access/store/evict.h"
#include "access/store/store.h"
#include "access/wal/wal.h"
#include "common/version.h"
#include "net/net.h"
#include "storage/buffer/buffer.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/procsignal.h"
#include "storage/ipc/segment.h"
#include "storage/mem/heap.h"
#include "tcop/tcop.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/latency.h"
#include "utils/settings.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS_MAX 64
#define KILL_AFTER_US 5000000		/* from QUIT to KILL */
#define STORM_CRASHES 5				/* so many equal crashes of a server that has hardly come up ... */
#define STORM_WINDOW_US 10000000	/* ... within this time: no more at once */
#define STORM_PAUSE_US 5000000		/* how long the next start then waits, if there is one */
#define SETTLED_US 1000000			/* a server that ran for this long had come up */
#define FILES_CHECK_TICKS 2		/* seconds between looks at artery.pid and the directory */

typedef enum PmState
{
	PM_RECOVERING,
	PM_RUNNING,
	PM_STOP_WORKERS,
	PM_STOP_EXPIRER,
	PM_STOP_WALWRITER,
	PM_STOP_CHECKPOINTER,
	PM_ENDING,
	PM_DONE
} PmState;

typedef enum StopMode
{
	STOP_NONE,
	STOP_SMART,
	STOP_FAST,
	STOP_IMMEDIATE
} StopMode;

static struct
{
	PmState		state;
	StopMode	stop;			/* the furthest that was asked for */
	bool		restart;		/* ENDING: start again when all are gone */
	int			exit_code;
	uint64		kill_at_us;		/* ENDING: when patience ends; 0: KILL has been sent */
	uint64		restart_at_us;	/* ENDING: not before */
	uint64		started_us;		/* of this segment */
	uint64		running_us;		/* since when RUNNING */
	uint32		generation;
	uint32		workers;
	uint64		next_tick_us;
	uint64		ticks;
	uint64		waiting_ticks;	/* since the last word about a slow stop */
	/* the crash storm */
	ProcKind	storm_kind;
	int			storm_status;
	uint32		storm_count;
	uint64		storm_begin_us;
} pm;

static pid_t own_pid;
static int	signal_fd = -1;
static char data_directory[PATH_MAX];
static char socket_path[sizeof(((SharedControl *) 0)->socket_path)];
static struct stat socket_stat;	/* of the socket that we made; st_ino 0: none */
static bool abnormal;			/* the pid file stays, so that others see that we did not end in order */

static const SegmentRegion regions[] = {
#define REGION(id, name, size, init) {REGION_##id, name, size, init},
#include "postmaster/regions_list.h"
#undef REGION
};

static void begin_ending(bool restart, int exit_code);

/* ---- the end of this process ---- */

/* clean_up -- exit handler; also after FATAL. */
static void
clean_up(void)
{
	struct stat st;

	if (getpid() != own_pid)
		return;					/* a child: nothing here is its own */
	pm_child_signal_all(SIGQUIT);
	if (socket_stat.st_ino != 0 && lstat(socket_path, &st) == 0 && st.st_dev == socket_stat.st_dev
		&& st.st_ino == socket_stat.st_ino)
		(void) unlink(socket_path);
	segment_destroy();
	if (!abnormal)
		pm_pidfile_remove();
}

/* ---- start ---- */

/*
 * set_up_descriptors -- 0 is /dev/null, 1 and 2 are open, so that nothing else gets
 * these numbers; all others, which our starter left open, are none of ours.
 */
static void
set_up_descriptors(void)
{
	int			fd;

	(void) close_range(STDERR_FILENO + 1, ~0U, 0);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		ereport(FATAL, "could not open /dev/null: %m");
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
		if (i == STDIN_FILENO || fcntl(i, F_GETFD) < 0)
			if (fd != i && dup2(fd, i) < 0)
				ereport(FATAL, "could not set up standard descriptors: %m");
	if (fd > STDERR_FILENO)
		(void) close(fd);
}

/* set_up_signals -- blocked from the first moment, read from the descriptor when the loop is ready for them. */
static void
set_up_signals(void)
{
	static const int wanted[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM};
	sigset_t	mask;

	(void) sigemptyset(&mask);
	for (size_t i = 0; i < lengthof(wanted); i++)
		(void) sigaddset(&mask, wanted[i]);
	(void) signal(SIGCHLD, SIG_DFL);	/* inherited SIG_IGN would reap behind our back */
	(void) signal(SIGXFSZ, SIG_IGN);	/* a file size limit is an error of the call */
	if (sigprocmask(SIG_SETMASK, &mask, NULL) != 0)
		ereport(FATAL, "could not block signals: %m");
	signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		ereport(FATAL, "could not make a signal descriptor: %m");
}

void
pm_close_own_descriptors(void)
{
	(void) close(signal_fd);	/* a child's reads would take the child's own signals */
	signal_fd = -1;
}

static uint32
worker_count(void)
{
	cpu_set_t	cpus;
	int			count = 1;

	if (set_workers > 0)
		return (uint32) set_workers;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		count = CPU_COUNT(&cpus);
	return (uint32) Max(Min(count, WORKERS_MAX), 1);
}

/* choose_socket_path -- absolute, and short enough for the kernel. */
static void
choose_socket_path(void)
{
	int			len;

	if (set_unix_socket_path[0] == '/')
		len = snprintf(socket_path, sizeof(socket_path), "%s", set_unix_socket_path);
	else
		len = snprintf(socket_path, sizeof(socket_path), "%s/%s", data_directory,
					   set_unix_socket_path[0] != '\0' ? set_unix_socket_path : "artery.sock");
	/* 108 bytes with the NUL is what a UNIX socket address holds */
	if (len >= 108)
		ereport_hint(FATAL, "Set unix_socket_path to a shorter path, for example under /run or /tmp.",
					 "the path of the UNIX socket would have %d bytes, at most 107 are possible: \"%s\"", len,
					 set_unix_socket_path[0] == '/' ? set_unix_socket_path : data_directory);
}

/* make_segment -- a fresh one, for the first start and after a crash. */
static void
make_segment(void)
{
	segment_create(data_directory, regions, lengthof(regions));
	if ((errno = buffer_init()) != 0)
		ereport_hint(FATAL, "Lower buffer_pool_size, give /dev/shm more room, or set shared_memory_type = memfd.",
					 "could not reserve shared memory for the buffer pool: %m");
	(void) strlcpy(seg_control->data_dir, data_directory, sizeof(seg_control->data_dir));
	(void) strlcpy(seg_control->socket_path, socket_path, sizeof(seg_control->socket_path));
	/* relaxed: children are forked after this */
	atomic_store_explicit(&seg_control->start_wall_us, clock_wall_us(), memory_order_relaxed);
	atomic_store_explicit(&seg_control->generation, pm.generation, memory_order_relaxed);
	pm_pidfile_set_segment(segment_name());
	pm_watchdog_reset();
}

static void
set_server_state(ServerState state)
{
	atomic_store_explicit(&seg_control->server_state, (uint32) state, memory_order_release);	/* release [server-state] */
	for (uint32 i = 0; i < proc_slot_count; i++)
		if (pm_child_pid(i) != 0)
			latch_set(i);
}

/* start_children -- everybody at once; the startup process first, for it has most to do. */
static void
start_children(void)
{
	set_server_state(SERVER_RECOVERING);
	pm_pidfile_set_state("recovering");
	pm.state = PM_RECOVERING;
	pm.started_us = clock_mono_us();
	for (uint32 i = proc_first_slot(PROC_STARTUP); i < proc_slot_count; i++)
		if (!pm_child_start(i))
			ereport_hint(FATAL, "Raise the limit on processes (ulimit -u) or lower workers.",
						 "could not fork a child process: %m");
}

/* set_up_server -- everything before the first fork. */
static void
set_up_server(void)
{
	pm.workers = worker_count();
	proc_configure(pm.workers);
	pm_directory_lock(data_directory);
	if (atexit(clean_up) != 0)
		ereport(FATAL, "could not register an exit handler: %m");
	choose_socket_path();
	pm_directory_clean_leftovers(data_directory, socket_path);
	pm_pidfile_write(data_directory, socket_path, segment_plan_name(data_directory), "starting");
	if (chdir(data_directory) != 0)
		ereport(FATAL, "could not change into data directory \"%s\": %m", data_directory);
	ereport(LOG, "starting artery %s in \"%s\" with %u workers", ARTERY_VERSION, data_directory, pm.workers);
	if (geteuid() == 0)
		ereport_hint(WARNING, "Give the data directory to a user of its own and start the server as that user.",
					 "running as root is not necessary");
	pm_children_init();
	latch_create_all();
	make_segment();
	net_listen_all();
	if (lstat(socket_path, &socket_stat) != 0)
		socket_stat.st_ino = 0;
	net_handover_create(pm.workers);
}

/* ---- recovery is over ---- */

static void
recovery_done(void)
{
	atomic_store_explicit(&seg_control->recovered, 1, memory_order_release);	/* release [recovered]: positions of the log are set */
	if (pm.stop != STOP_NONE)
		return;
	pm.state = PM_RUNNING;
	pm.running_us = clock_mono_us();
	set_server_state(SERVER_RUNNING);
	pm_pidfile_set_state("ready");
	ereport(LOG, "ready for clients after %.3f s", (double) (pm.running_us - pm.started_us) / 1e6);
}

/* ---- stopping ---- */

static const char *
stop_name(StopMode mode)
{
	static const char *const names[] = {"", "smart", "fast", "immediate"};

	return names[mode];
}

/* stop_serving -- from RECOVERING or RUNNING: nobody new, workers told. */
static void
stop_serving(void)
{
	net_close_listeners();
	if (pm.state == PM_RECOVERING)
	{
		/* no client has got anything yet that would be worth waiting for */
		pm.stop = Max(pm.stop, STOP_FAST);
		pm_child_stop_kind(PROC_STARTUP, PROC_STOP_FAST);
	}
	pm.state = PM_STOP_WORKERS;
}

static void
tell_workers(void)
{
	set_server_state(pm.stop == STOP_SMART ? SERVER_STOPPING_SMART : SERVER_STOPPING_FAST);
	pm_child_stop_kind(PROC_WORKER, pm.stop == STOP_SMART ? PROC_STOP_SMART : PROC_STOP_FAST);
}

/* tell_checkpointer -- a smart stop ends with a checkpoint, a fast one does not wait for one. */
static void
tell_checkpointer(void)
{
	pm_child_stop_kind(PROC_CHECKPOINTER, pm.stop == STOP_SMART ? PROC_STOP_SMART : PROC_STOP_FAST);
}

static void
request_stop(StopMode mode)
{
	if (mode <= pm.stop)
		return;
	pm.stop = mode;
	ereport(LOG, "received %s shutdown request", stop_name(mode));
	pm_pidfile_set_state("stopping");
	switch (pm.state)
	{
		case PM_RECOVERING:
		case PM_RUNNING:
			if (mode == STOP_IMMEDIATE)
				begin_ending(false, 0);
			else
			{
				stop_serving();
				tell_workers();
			}
			break;
		case PM_STOP_WORKERS:
		case PM_STOP_EXPIRER:
		case PM_STOP_WALWRITER:
		case PM_STOP_CHECKPOINTER:
			if (mode == STOP_IMMEDIATE)
				begin_ending(false, 0);
			else if (pm.state == PM_STOP_WORKERS)
				tell_workers();
			else if (pm.state == PM_STOP_CHECKPOINTER)
				tell_checkpointer();
			break;
		case PM_ENDING:
			if (pm.restart)
				pm.exit_code = mode == STOP_IMMEDIATE ? 0 : EXIT_CODE_FATAL;
			pm.restart = false;
			break;
		case PM_DONE:
			break;
	}
}

/* ---- ending all at once ---- */

static void
begin_ending(bool restart, int exit_code)
{
	pm.state = PM_ENDING;
	pm.restart = restart;
	pm.exit_code = exit_code;
	pm.kill_at_us = clock_mono_us() + KILL_AFTER_US;
	pm.restart_at_us = 0;
	pm_child_signal_all(SIGQUIT);
}

/* same_again -- count this crash; true: one too many equal ones, each hardly after a start. */
static bool
same_again(ProcKind kind, int status)
{
	uint64		now = clock_mono_us();
	bool		young = pm.state == PM_RECOVERING || now - pm.running_us < SETTLED_US;

	if (!young)
		pm.storm_count = 0;
	else if (pm.storm_count > 0 && pm.storm_kind == kind && pm.storm_status == status
			 && now - pm.storm_begin_us < STORM_WINDOW_US + STORM_PAUSE_US)
		pm.storm_count++;
	else
	{
		pm.storm_kind = kind;
		pm.storm_status = status;
		pm.storm_begin_us = now;
		pm.storm_count = 1;
	}
	return pm.storm_count >= STORM_CRASHES;
}

/* restart_after -- begin a restart, after a pause if crashes follow each other too fast. */
static void
restart_after(bool storm)
{
	begin_ending(true, 0);
	pm_pidfile_set_state("recovering");
	if (storm)
	{
		ereport(LOG, "the same crash again and again: waiting %d s before the next start", STORM_PAUSE_US / 1000000);
		pm.restart_at_us = clock_mono_us() + STORM_PAUSE_US;
		pm.storm_begin_us = clock_mono_us();	/* the next one is in the window again */
	}
}

/* child_crashed -- an end that nobody asked for. */
static void
child_crashed(uint32 slot, pid_t pid, int status)
{
	ProcKind	kind = proc_kind_of(slot);
	char		text[512];

	pm_child_describe_end(slot, pid, status, text, sizeof(text));
	ereport(LOG, "%s", text);
	if (kind == PROC_STARTUP)
	{
		ereport(LOG, "giving up the start because the startup process failed");
		abnormal = pm.stop != STOP_NONE;
		begin_ending(false, EXIT_CODE_FATAL);
	}
	else if (pm.stop != STOP_NONE)
	{
		ereport(LOG, "the stop is not in order: ending all processes; the next start recovers");
		abnormal = true;
		begin_ending(false, EXIT_CODE_FATAL);
	}
	else if (!set_restart_after_crash)
	{
		ereport(LOG, "ending all processes and stopping because restart_after_crash is off");
		begin_ending(false, EXIT_CODE_FATAL);
	}
	else
	{
		bool		storm = same_again(kind, status);

		if (storm && pm.state == PM_RECOVERING)
		{
			ereport_hint(LOG, "The messages above say what happens; nothing is lost, but somebody must look.",
						 "giving up after %d equal crashes during recovery", STORM_CRASHES);
			begin_ending(false, EXIT_CODE_FATAL);
			return;
		}
		ereport(LOG, "ending all other processes: shared memory may be damaged");
		restart_after(storm);
	}
}

/* end_was_asked_for -- is exit code 0 of this kind what we wait for? */
static bool
end_was_asked_for(ProcKind kind, int status)
{
	if (kind == PROC_STARTUP)
		return status == 0
			|| (pm.stop != STOP_NONE && WIFEXITED(status) && WEXITSTATUS(status) == PROC_EXIT_STOPPED);
	if (status != 0)
		return false;
	return (kind == PROC_WORKER && pm.state == PM_STOP_WORKERS)
		|| (kind == PROC_EXPIRER && pm.state == PM_STOP_EXPIRER)
		|| ((kind == PROC_WALWRITER || kind == PROC_EVICTOR) && pm.state == PM_STOP_WALWRITER)
		|| (kind == PROC_CHECKPOINTER && pm.state == PM_STOP_CHECKPOINTER);
}

static void
child_ended(uint32 slot, pid_t pid, int status)
{
	ProcKind	kind = proc_kind_of(slot);

	if (pm.state == PM_ENDING)
		return;
	if (!end_was_asked_for(kind, status))
		child_crashed(slot, pid, status);
	else if (kind == PROC_STARTUP && status == 0)
		recovery_done();
}

/* start_again -- all are gone: a new segment, and recovery. */
static void
start_again(void)
{
	ereport(LOG, "all processes have ended; starting again");
	segment_destroy();
	pm.generation++;
	pm.restart = false;
	make_segment();
	net_handover_create(pm.workers);	/* the old pairs may hold connections on their way to the dead */
	start_children();
}

/* advance -- go on as far as the ends of children allow. */
static void
advance(void)
{
	if (pm.state == PM_STOP_WORKERS && !pm_child_alive_kind(PROC_WORKER) && !pm_child_alive_kind(PROC_STARTUP))
	{
		pm.state = PM_STOP_EXPIRER;
		pm_child_stop_kind(PROC_EXPIRER, PROC_STOP_FAST);
	}
	if (pm.state == PM_STOP_EXPIRER && !pm_child_alive_kind(PROC_EXPIRER))
	{
		pm.state = PM_STOP_WALWRITER;
		pm_child_stop_kind(PROC_WALWRITER, PROC_STOP_FAST);
		pm_child_stop_kind(PROC_EVICTOR, PROC_STOP_FAST);
	}
	if (pm.state == PM_STOP_WALWRITER && !pm_child_alive_kind(PROC_WALWRITER) && !pm_child_alive_kind(PROC_EVICTOR))
	{
		pm.state = PM_STOP_CHECKPOINTER;
		tell_checkpointer();
	}
	if (pm.state == PM_STOP_CHECKPOINTER && !pm_child_alive_kind(PROC_CHECKPOINTER))
	{
		pm.exit_code = 0;
		pm.state = PM_DONE;
		ereport(LOG, "stopped");
	}
	if (pm.state != PM_ENDING)
		return;
	if (pm_child_count() == 0)
	{
		if (pm.restart && clock_mono_us() >= pm.restart_at_us)
			start_again();
		else if (!pm.restart)
		{
			pm.state = PM_DONE;
			ereport(LOG, pm.exit_code == 0 ? "stopped at once; the next start recovers" : "stopped after a failure");
		}
	}
	else if (pm.kill_at_us != 0 && clock_mono_us() >= pm.kill_at_us)
	{
		ereport(LOG, "killing processes that do not leave");
		pm.kill_at_us = 0;
		pm_child_signal_all(SIGKILL);
	}
}

/* ---- the loop ---- */

static void
handle_signal(uint32 signo)
{
	switch (signo)
	{
		case SIGTERM:
			request_stop(STOP_SMART);
			break;
		case SIGINT:
			request_stop(STOP_FAST);
			break;
		case SIGQUIT:
			request_stop(STOP_IMMEDIATE);
			break;
		case SIGHUP:
			ereport(LOG, "received SIGHUP, reading the settings again");
			settings_reload();
			pm_child_signal_all(SIGHUP);
			break;
		default:
			break;				/* CHLD: reap() looks; the others mean nothing here */
	}
}

static void
read_signals(void)
{
	struct signalfd_siginfo info[8];
	ssize_t		n;

	while ((n = read(signal_fd, info, sizeof(info))) > 0)
		for (size_t i = 0; i < (size_t) n / sizeof(info[0]); i++)
			handle_signal(info[i].ssi_signo);
	Verify(n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void
reap(void)
{
	uint32		slot;
	pid_t		pid;
	int			status;

	while (pm_child_reap(&slot, &pid, &status))
		child_ended(slot, pid, status);
}

/* report_slow_stop -- every ten seconds; not while a smart stop waits for clients, which may take for ever. */
static void
report_slow_stop(void)
{
	bool		slow = pm.state == PM_STOP_EXPIRER || pm.state == PM_STOP_WALWRITER || pm.state == PM_STOP_CHECKPOINTER || pm.state == PM_ENDING
		|| (pm.state == PM_STOP_WORKERS && pm.stop >= STOP_FAST);

	if (!slow)
		pm.waiting_ticks = 0;
	else if (++pm.waiting_ticks % 10 == 0)
		pm_watchdog_report_waiting();
}

static void
tick(void)
{
	pm.ticks++;
	report_slow_stop();
	if (pm.state != PM_ENDING)
		pm_watchdog_tick();
	if (pm.ticks % FILES_CHECK_TICKS != 0 || pm.state == PM_ENDING)
		return;
	if (!pm_directory_same(data_directory))
	{
		ereport(WARNING, "data directory \"%s\" is gone or was replaced: ending at once", data_directory);
		pm_pidfile_remove();	/* nothing is written under that name any more */
		request_stop(STOP_IMMEDIATE);
	}
	else
		pm_pidfile_check();
}

/* wait_for_something -- a signal, the next second, or the end of patience. */
static void
wait_for_something(void)
{
	struct pollfd fd = {.fd = signal_fd, .events = POLLIN};
	uint64		now = clock_mono_us();
	uint64		until = pm.next_tick_us;

	if (pm.state == PM_ENDING && pm_child_count() == 0)
		until = Min(until, pm.restart_at_us);
	else if (pm.state == PM_ENDING && pm.kill_at_us != 0)
		until = Min(until, pm.kill_at_us);
	if (poll(&fd, 1, until > now ? (int) ((until - now + 999) / 1000) : 0) < 0)
		Verify(errno == EINTR);
}

int
postmaster_main(const char *data_dir)
{
	own_pid = getpid();
	(void) strlcpy(data_directory, data_dir, sizeof(data_directory));
	set_up_descriptors();
	set_up_signals();
	set_up_server();
	start_children();
	pm.next_tick_us = clock_mono_us() + PM_TICK_MS * 1000;
	while (pm.state != PM_DONE)
	{
		wait_for_something();
		read_signals();
		reap();
		if (clock_mono_us() >= pm.next_tick_us)
		{
			/* from now on, not from when it was due: seconds that we missed are not made up for */
			pm.next_tick_us = clock_mono_us() + PM_TICK_MS * 1000;
			tick();
		}
		advance();
	}
	return pm.exit_code;
}
