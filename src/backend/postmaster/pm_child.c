/*
 * pm_child.c -- forking children, and saying how they ended.
 *
 * What a child inherits, on purpose and by name:
 *   0 /dev/null, 1 and 2 the log
 *   the descriptor of the segment (to reserve memory behind its mapping)
 *   the directory's description with its lock
 *   the reading end of the pipe by which it notices the postmaster's death
 *   one eventfd per process slot
 *   workers only: the listening sockets, and net's socket pairs for handing over
 * The rest is closed here or is close-on-exec; no ring, no file of data or log is
 * open in the postmaster at any time.
 *
 * A child is forked with all signals blocked; procsignal_init_child lifts that
 * once handlers stand.  Its ends are seen by waitpid only.
 */
#include "postmaster/children.h"
#include "postmaster/postmaster_internal.h"
#include "net/net.h"
#include "storage/ipc/procsignal.h"
#include "utils/elog.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define OOM_FILE "/proc/self/oom_score_adj"
#define OOM_POSTMASTER (-900)	/* as PostgreSQL's packagers set it: the last to be killed, but not immune */

typedef void (*ChildMain)(void);

static const ChildMain child_main[PROC_KIND_COUNT] = {
#define PROC_KIND(symbol, name, slots, fn, text) [PROC_##symbol] = fn,
#include "storage/ipc/proc_kinds.h"
#undef PROC_KIND
};

static pid_t child_pid[PROC_SLOTS_MAX];	/* by slot; 0: does not run */
static pid_t own_pid;
static int	oom_at_start;		/* what a child goes back to */
static bool oom_lowered;

/* ---- the out-of-memory killer ---- */

static bool
oom_write(int value)
{
	char		text[16];
	int			len = snprintf(text, sizeof(text), "%d\n", value);
	int			fd = open(OOM_FILE, O_WRONLY | O_CLOEXEC);
	bool		good;
	int			error;

	if (fd < 0)
		return false;
	good = write(fd, text, (size_t) len) == len;
	error = errno;
	(void) close(fd);
	errno = error;
	return good;
}

static int
oom_read(void)
{
	FILE	   *file = fopen(OOM_FILE, "re");
	int			value = 0;

	if (file != NULL)
	{
		if (fscanf(file, "%d", &value) != 1)
			value = 0;
		(void) fclose(file);
	}
	return value;
}

/* oom_protect -- the postmaster out of the killer's sight, where that is permitted. */
static void
oom_protect(void)
{
	oom_at_start = oom_read();
	if (oom_at_start <= OOM_POSTMASTER)
		oom_lowered = true;		/* a service manager did it */
	else if (oom_write(OOM_POSTMASTER))
		oom_lowered = true;
	else
		ereport_hint(LOG, "OOMScoreAdjust=-900 in the service's unit file does it.",
					 "could not lower " OOM_FILE ": %m: the out-of-memory killer may choose the postmaster");
}

/* ---- forking ---- */

void
pm_children_init(void)
{
	own_pid = getpid();
	oom_protect();
	procsignal_init_postmaster();
}

/* run_child -- in the child; never returns. */
static void
run_child(uint32 slot)
{
	ProcKind	kind = proc_kind_of(slot);
	char		name[PROC_NAME_MAX];

	elog_init(proc_name(slot, name, sizeof(name)));
	proc_attach(slot);
	elog_set_doing_buffer(my_slot->doing, sizeof(my_slot->doing));
	pm_close_own_descriptors();
	if (oom_lowered)
		(void) oom_write(Max(oom_at_start, 0));
	if (kind != PROC_WORKER)
		net_close_listeners();
	proc_set_title("%s", "");
	procsignal_init_child((int) own_pid);
	child_main[kind]();
	exit(0);
}

bool
pm_child_start(uint32 slot)
{
	pid_t		pid;

	Verify(child_pid[slot] == 0);
	/* relaxed: the child is forked after this */
	atomic_store_explicit(&proc_slot(slot)->stop_order, PROC_STOP_NONE, memory_order_relaxed);
	(void) fflush(NULL);
	pid = fork();
	if (pid == 0)
		run_child(slot);
	if (pid < 0)
		return false;
	child_pid[slot] = pid;
	return true;
}

pid_t
pm_child_pid(uint32 slot)
{
	return child_pid[slot];
}

bool
pm_child_alive_kind(ProcKind kind)
{
	uint32		first = proc_first_slot(kind);

	for (uint32 i = 0; i < proc_kind_slots(kind); i++)
		if (child_pid[first + i] != 0)
			return true;
	return false;
}

uint32
pm_child_count(void)
{
	uint32		count = 0;

	for (uint32 i = 0; i < proc_slot_count; i++)
		count += child_pid[i] != 0;
	return count;
}

static void
child_signal(uint32 slot, int signo)
{
	/* not reaped, hence still ours: the pid cannot be another's */
	if (child_pid[slot] != 0)
		(void) kill(child_pid[slot], signo);
}

void
pm_child_stop_kind(ProcKind kind, uint32 order)
{
	uint32		first = proc_first_slot(kind);

	for (uint32 i = 0; i < proc_kind_slots(kind); i++)
	{
		/* release [stop-order]: with it, what the server's state says about the stop */
		atomic_store_explicit(&proc_slot(first + i)->stop_order, order, memory_order_release);
		child_signal(first + i, order == PROC_STOP_SMART ? SIGTERM : SIGINT);
	}
}

void
pm_child_signal_all(int signo)
{
	for (uint32 i = 0; i < proc_slot_count; i++)
		child_signal(i, signo);
}

/* ---- the end of a child ---- */

bool
pm_child_reap(uint32 *slot, pid_t *pid, int *status)
{
	while ((*pid = waitpid(-1, status, WNOHANG)) > 0)
		for (uint32 i = 0; i < proc_slot_count; i++)
			if (child_pid[i] == *pid)
			{
				child_pid[i] = 0;
				/* relaxed: for people */
				atomic_store_explicit(&proc_slot(i)->pid, 0, memory_order_relaxed);
				*slot = i;
				return true;
			}
	return false;
}

void
pm_child_describe_end(uint32 slot, pid_t pid, int status, char *text, size_t size)
{
	char		name[PROC_NAME_MAX];
	char		how[160];
	char		doing[PROC_DOING_MAX];

	/* the dead process' own text: whatever bytes it holds, this is a bounded copy, and the log shows odd ones as \xNN */
	memcpy(doing, proc_slot(slot)->doing, sizeof(doing));
	doing[sizeof(doing) - 1] = '\0';
	if (WIFSIGNALED(status))
		(void) snprintf(how, sizeof(how), "was terminated by signal %d (SIG%s: %s)%s", WTERMSIG(status),
						sigabbrev_np(WTERMSIG(status)) != NULL ? sigabbrev_np(WTERMSIG(status)) : "?",
						sigdescr_np(WTERMSIG(status)) != NULL ? sigdescr_np(WTERMSIG(status)) : "unknown signal",
						WCOREDUMP(status) ? ", core dumped" : "");
	else
		(void) snprintf(how, sizeof(how), "exited with exit code %d", WEXITSTATUS(status));
	(void) snprintf(text, size, "%s (PID %d) %s while doing: %s", proc_name(slot, name, sizeof(name)), (int) pid, how,
					doing[0] != '\0' ? doing : "nothing");
}
