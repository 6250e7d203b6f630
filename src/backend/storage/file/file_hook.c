/*
 * file_hook.c -- faults and the record of all file I/O; builds with ARTERY_FAULTS only.
 *
 * Faults: fault_points.h has the list of points and the language.  Each process
 * parses the setting fault_points and ARTERY_FAULT_POINTS at its first call here
 * and counts hits for itself.
 *
 * Record: the file that ARTERY_IO_RECORD names gets a line per call,
 *
 *   pid begin|end call offset length crc result path
 *
 * crc is CRC-32C in hex of the bytes to be written (begin of a write) or read
 * (end of a read), else 0; result is 0 at begin, and at end what the kernel said
 * (bytes or -errno) after any fault.  For a rename "begin" carries the new name
 * as path and the old one's crc.  Lines are single appends, so the order of the
 * lines is an order in which the calls may have happened.
 *
 * A writer of a record that cannot be written is no test: it aborts.
 */
#ifdef ARTERY_FAULTS
#include "common/crc32c.h"
#include "storage/file/file_internal.h"
#include "storage/ipc/segment.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define FAULTS_MAX 32
#define GENERATION_ANY UINT32_MAX
enum { STEP, CALL, DONE };

typedef enum FaultAction
{
	FAULT_KILL,
	FAULT_ABORT,
	FAULT_STOP,
	FAULT_DELAY,
	FAULT_ERRNO,
	FAULT_SHORT
} FaultAction;

typedef struct Fault
{
	char		name[40];
	char		text[64];		/* what the path must contain; empty: any */
	FaultAction action;
	int			number;			/* errno, or milliseconds */
	uint64		nth;
	uint64		count;			/* 0: no end */
	uint32		generation;
	_Atomic uint64 hits;
} Fault;

static const struct
{
	const char *name;
	int			kind;
} points[] = {
#define FAULT_POINT_ENTRY(name, kind, text) {name, kind},
#include "storage/file/fault_points.h"
#undef FAULT_POINT_ENTRY
};

static const struct
{
	const char *word;
	FaultAction action;
	int			number;
} actions[] = {
	{"kill", FAULT_KILL, 0}, {"abort", FAULT_ABORT, 0}, {"stop", FAULT_STOP, 0},
	{"short", FAULT_SHORT, 0}, {"eio", FAULT_ERRNO, EIO}, {"enospc", FAULT_ERRNO, ENOSPC},
	{"eagain", FAULT_ERRNO, EAGAIN}, {"eintr", FAULT_ERRNO, EINTR}, {"enomem", FAULT_ERRNO, ENOMEM},
	{"eperm", FAULT_ERRNO, EPERM}, {"enosys", FAULT_ERRNO, ENOSYS}, {"einval", FAULT_ERRNO, EINVAL},
};

static const char *const call_names[FILE_CALL_COUNT] = {
	[FILE_CALL_OPEN] = "file-open",
	[FILE_CALL_LOCK] = "file-lock",
	[FILE_CALL_TRUNCATE] = "file-truncate",
	[FILE_CALL_ALLOCATE] = "file-allocate",
	[FILE_CALL_READ] = "file-read",
	[FILE_CALL_WRITE] = "file-write",
	[FILE_CALL_DATASYNC] = "file-datasync",
	[FILE_CALL_RENAME] = "file-rename",
	[FILE_CALL_UNLINK] = "file-unlink",
	[FILE_CALL_SYNC_DIRECTORY] = "file-sync-directory",
	[FILE_CALL_AIO_SETUP] = "aio-setup",
	[FILE_CALL_AIO_REGISTER] = "aio-register",
};

/* constant once 'loaded' is set, but for the hits; rearmed only by single-threaded unit tests */
static Fault faults[FAULTS_MAX];
static int	fault_count;
static int	record_fd = -1;
static pthread_once_t loaded = PTHREAD_ONCE_INIT;

/* point_kind -- STEP, CALL or DONE; -1: not in the list. */
static int
point_kind(const char *name)
{
	for (size_t i = 0; i < lengthof(points); i++)
		if (strcmp(points[i].name, name) == 0)
			return points[i].kind;
	return -1;
}

/* action_fits -- an errno needs a call to give it to, a short transfer a transfer. */
static bool
action_fits(FaultAction action, int kind)
{
	if (action == FAULT_ERRNO)
		return kind == CALL || kind == DONE;
	if (action == FAULT_SHORT)
		return kind == DONE;
	return true;
}

static bool
parse_action(const char *word, Fault *f)
{
	for (size_t i = 0; i < lengthof(actions); i++)
		if (strcmp(actions[i].word, word) == 0)
		{
			f->action = actions[i].action;
			f->number = actions[i].number;
			return true;
		}
	f->action = FAULT_DELAY;
	return sscanf(word, "delay_ms=%d", &f->number) == 1;
}

/* parse_one -- name[@text]:action[:nth[:count[:generation]]]; false: not understood. */
static bool
parse_one(char *item, Fault *f)
{
	char	   *field[5] = {item, NULL, NULL, NULL, NULL};
	char	   *at;
	int			n = 1;
	int			kind;

	for (char *p = item; *p != '\0' && n < 5; p++)
		if (*p == ':')
		{
			*p = '\0';
			field[n++] = p + 1;
		}
	if (n < 2 || !parse_action(field[1], f))
		return false;
	at = strchr(item, '@');
	if (at != NULL)
	{
		*at = '\0';
		snprintf(f->text, sizeof(f->text), "%s", at + 1);
	}
	else
		f->text[0] = '\0';
	snprintf(f->name, sizeof(f->name), "%s", item);
	f->nth = n > 2 ? strtoull(field[2], NULL, 10) : 1;
	f->count = n > 3 ? strtoull(field[3], NULL, 10) : 1;
	f->generation = n <= 4 ? 0 : field[4][0] == '*' ? GENERATION_ANY : (uint32) strtoul(field[4], NULL, 10);
	/* relaxed: a counter */
	atomic_store_explicit(&f->hits, 0, memory_order_relaxed);
	kind = point_kind(f->name);
	if (kind < 0)
		ereport(WARNING, "fault point \"%s\" is not in the list of fault points", f->name);
	return f->nth > 0 && action_fits(f->action, kind);
}

static void
parse_list(const char *list)
{
	char	   *copy = strdup(list);
	char	   *rest = copy;
	char	   *item;

	Verify(copy != NULL);
	while ((item = strsep(&rest, ", ")) != NULL)
	{
		if (item[0] == '\0')
			continue;
		Verify(fault_count < FAULTS_MAX);
		if (parse_one(item, &faults[fault_count]))
			fault_count++;
		else
			ereport(FATAL, "fault_points: could not understand \"%s\"", item);
	}
	free(copy);
}

static void
load(void)
{
	const char *list = getenv("ARTERY_FAULT_POINTS");
	const char *record = getenv("ARTERY_IO_RECORD");

	if (set_fault_points != NULL)
		parse_list(set_fault_points);
	if (list != NULL)
		parse_list(list);
	if (record != NULL && record[0] != '\0')
	{
		record_fd = open(record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		Verify(record_fd >= 0);
	}
}

void
file__fault_arm(const char *list)
{
	(void) pthread_once(&loaded, load);
	fault_count = 0;
	parse_list(list);
}

void
file__record_to(const char *path)
{
	(void) pthread_once(&loaded, load);
	if (record_fd >= 0)
		(void) close(record_fd);
	record_fd = -1;
	if (path != NULL)
	{
		record_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		Verify(record_fd >= 0);
	}
}

/* fault_due -- does an armed fault fire at this hit? */
static const Fault *
fault_due(const char *name, const char *path)
{
	/* relaxed: constant but at a crash restart, which makes new processes */
	uint32		generation = seg_control == NULL ? 0
		: atomic_load_explicit(&seg_control->generation, memory_order_relaxed);
	const Fault *due = NULL;

	for (int i = 0; i < fault_count; i++)
	{
		Fault	   *f = &faults[i];
		uint64		hit;

		if (strcmp(f->name, name) != 0 || (f->text[0] != '\0' && (path == NULL || strstr(path, f->text) == NULL)))
			continue;
		if (f->generation != GENERATION_ANY && f->generation != generation)
			continue;
		/* relaxed: a counter */
		hit = atomic_fetch_add_explicit(&f->hits, 1, memory_order_relaxed) + 1;
		if (hit >= f->nth && (f->count == 0 || hit < f->nth + f->count))
			due = f;
	}
	return due;
}

/* fault_act -- what needs no call to act upon: ends, stops or delays the process. */
static void
fault_act(const Fault *f)
{
	switch (f->action)
	{
		case FAULT_KILL:
			(void) kill(getpid(), SIGKILL);
			for (;;)
				(void) pause();
		case FAULT_ABORT:
			ereport(LOG, "fault point \"%s\": abort", f->name);
			abort();
		case FAULT_STOP:
			(void) kill(getpid(), SIGSTOP);
			break;
		case FAULT_DELAY:
			(void) usleep((useconds_t) f->number * 1000);
			break;
		case FAULT_ERRNO:
		case FAULT_SHORT:
			break;
	}
}

void
fault_point(const char *name)
{
	const Fault *f;

	(void) pthread_once(&loaded, load);
	if (fault_count == 0)
		return;
	f = fault_due(name, NULL);
	if (f != NULL)
		fault_act(f);
}

static void
record(const char *phase, FileCall call, const char *path, const void *data, size_t len, uint64 offset, int64 result)
{
	char		line[4200];
	uint32		crc = data != NULL ? crc32c_extend(0, data, len) : 0;
	int			n = snprintf(line, sizeof(line), "%d %s %s %llu %zu %08x %lld %s\n", (int) getpid(), phase, call_names[call],
							 (unsigned long long) offset, len, crc, (long long) result, path);

	Verify(n > 0 && (size_t) n < sizeof(line));
	Verify(write(record_fd, line, (size_t) n) == n);
}

int
file__hook_begin(FileCall call, const char *path, const void *data, size_t len, uint64 offset)
{
	const Fault *f;

	(void) pthread_once(&loaded, load);
	if (record_fd >= 0)
		record("begin", call, path, data, len, offset, 0);
	if (fault_count == 0)
		return 0;
	f = fault_due(call_names[call], path);
	if (f == NULL)
		return 0;
	fault_act(f);
	return f->action == FAULT_ERRNO ? f->number : 0;
}

/* shorter -- half of what was moved, on a block border for direct I/O; all of it where there is no half. */
static int64
shorter(int64 result, bool direct)
{
	int64		half = result / 2;

	if (direct)
		half = (int64) AlignDown((uint64) half, FILE_DIRECT_ALIGN);
	return half > 0 ? half : result;
}

int64
file__hook_end(FileCall call, const char *path, const void *data, uint64 offset, int64 result, bool direct)
{
	if (fault_count > 0)
	{
		char		name[48];
		const Fault *f;

		snprintf(name, sizeof(name), "%s-done", call_names[call]);
		f = fault_due(name, path);
		if (f != NULL)
		{
			fault_act(f);
			if (f->action == FAULT_ERRNO)
				result = -f->number;
			else if (f->action == FAULT_SHORT && result > 0)
				result = shorter(result, direct);
		}
	}
	if (record_fd >= 0)
		record("end", call, path, call == FILE_CALL_READ && result > 0 ? data : NULL, result > 0 ? (size_t) result : 0,
			   offset, result);
	return result;
}
#endif
