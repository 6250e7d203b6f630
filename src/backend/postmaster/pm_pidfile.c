/*
 * pm_pidfile.c -- the writer of artery.pid (format: common/pid_file.h).
 *
 * Written whole under another name and renamed, so that a reader never sees half
 * of it; the state word is then written over in place.  It is not synced: after a
 * power cut nobody needs it.  The lock on the directory, not this file, keeps a
 * second server out, so a file that somebody removed is just written again.
 *
 * Postmaster only.
 */
#include "postmaster/postmaster_internal.h"
#include "common/pid_file.h"
#include "utils/clock.h"
#include "utils/elog.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static PidFile content;			/* what the file says; pid 0: not written yet */
static char path[PATH_MAX];
static off_t state_offset;
static dev_t written_dev;
static ino_t written_ino;

/* write_whole -- the file anew; 0 or an errno. */
static int
write_whole(void)
{
	char		temporary[PATH_MAX + 8];
	char		text[sizeof(PidFile) + 128];
	struct stat st;
	int			len;
	int			fd;
	int			error = 0;

	(void) snprintf(temporary, sizeof(temporary), "%s.new", path);
	state_offset = snprintf(text, sizeof(text), "%d\n%s\n%llu\n%s\n%s\n", content.pid, content.data_dir,
							(unsigned long long) content.start_wall_s, content.socket_path, content.segment_name);
	len = (int) state_offset + snprintf(text + state_offset, sizeof(text) - (size_t) state_offset, "%-*s\n",
										PID_FILE_STATE_WIDTH, content.state);
	(void) unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	errno = ENOSPC;				/* what a short write means */
	if (write(fd, text, (size_t) len) != len || fstat(fd, &st) != 0 || rename(temporary, path) != 0)
		error = errno;
	(void) close(fd);
	if (error != 0)
		(void) unlink(temporary);
	else
	{
		written_dev = st.st_dev;
		written_ino = st.st_ino;
	}
	return error;
}

static void
write_or_fail(LogLevel level)
{
	int			error = write_whole();

	if (error != 0)
	{
		errno = error;
		ereport(level, "could not write \"%s\": %m", path);
	}
}

void
pm_pidfile_write(const char *data_dir, const char *socket_path, const char *segment_name, const char *state)
{
	(void) snprintf(path, sizeof(path), "%s/%s", data_dir, PID_FILE_NAME);
	content.pid = (int) getpid();
	content.start_wall_s = clock_wall_us() / 1000000;
	(void) strlcpy(content.data_dir, data_dir, sizeof(content.data_dir));
	(void) strlcpy(content.socket_path, socket_path, sizeof(content.socket_path));
	(void) strlcpy(content.segment_name, segment_name[0] != '\0' ? segment_name : "-", sizeof(content.segment_name));
	(void) strlcpy(content.state, state, sizeof(content.state));
	write_or_fail(FATAL);
}

/* ours -- is the file under the name the one that we wrote? */
static bool
ours(void)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_dev == written_dev && st.st_ino == written_ino;
}

void
pm_pidfile_set_state(const char *state)
{
	char		word[PID_FILE_STATE_WIDTH + 1];
	int			fd;

	if (content.pid == 0)
		return;
	(void) strlcpy(content.state, state, sizeof(content.state));
	if (!ours())
	{
		pm_pidfile_check();
		return;
	}
	(void) snprintf(word, sizeof(word), "%-*s", PID_FILE_STATE_WIDTH, state);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, word, PID_FILE_STATE_WIDTH, state_offset) != PID_FILE_STATE_WIDTH)
		ereport(WARNING, "could not write \"%s\": %m", path);
	if (fd >= 0)
		(void) close(fd);
}

void
pm_pidfile_set_segment(const char *segment_name)
{
	const char *name = segment_name[0] != '\0' ? segment_name : "-";

	if (strcmp(content.segment_name, name) == 0)
		return;
	(void) strlcpy(content.segment_name, name, sizeof(content.segment_name));
	write_or_fail(FATAL);
}

void
pm_pidfile_check(void)
{
	if (content.pid == 0 || ours())
		return;
	ereport(WARNING, "\"%s\" was removed or replaced: writing it again", path);
	write_or_fail(WARNING);
}

void
pm_pidfile_remove(void)
{
	if (content.pid != 0 && ours())
		(void) unlink(path);
	content.pid = 0;
}
