/*
 * pm_directory.c -- the data directory: is it one, is it ours, is it free?
 *
 * The lock is an flock on an open description of the directory itself.  Every
 * child inherits that description, so the directory is taken as long as one
 * process of the server lives, whatever happened to the postmaster and to
 * artery.pid.  (Not on network file systems that turn flock into a lock of the
 * process: there the pid file is all there is.)
 *
 * Postmaster only, before it forks and, for leftovers, before it listens.
 */
#include "postmaster/postmaster.h"
#include "postmaster/postmaster_internal.h"
#include "common/pid_file.h"
#include "storage/ipc/segment.h"
#include "utils/elog.h"

#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int	lock_fd = -1;

int
pm_directory_descriptor(void)
{
	return lock_fd;
}

/* ---- is it a data directory? ---- */

static void
not_initialised(const char *data_dir, const char *what)
{
	ereport_hint(ERROR, "artery_ctl init -D DIRECTORY makes a new one.", "%s \"%s\" %s", "data directory", data_dir, what);
	exit(EXIT_CODE_NOT_INITIALISED);
}

void
postmaster_check_directory(const char *data_dir)
{
	char		path[PATH_MAX];
	struct stat st;

	if (stat(data_dir, &st) != 0)
	{
		if (errno == ENOENT || errno == ENOTDIR)
			not_initialised(data_dir, "does not exist");
		ereport(FATAL, "could not access data directory \"%s\": %m", data_dir);
	}
	if (!S_ISDIR(st.st_mode))
		not_initialised(data_dir, "is not a directory");
	if (st.st_uid != geteuid())
		ereport_hint(FATAL, "The server must be started by the user that owns the data directory.",
					 "data directory \"%s\" has wrong ownership: it belongs to user id %u, this is user id %u", data_dir,
					 (unsigned) st.st_uid, (unsigned) geteuid());
	if ((st.st_mode & (S_IWGRP | S_IRWXO)) != 0)
		ereport_hint(FATAL, "Permissions should be u=rwx (0700) or u=rwx,g=rx (0750).",
					 "data directory \"%s\" has invalid permissions: %04o", data_dir, (unsigned) (st.st_mode & 07777));
	if ((size_t) snprintf(path, sizeof(path), "%s/control", data_dir) >= sizeof(path))
		ereport(FATAL, "path of the data directory is too long");
	if (stat(path, &st) != 0)
	{
		if (errno == ENOENT)
			not_initialised(data_dir, "is not initialised: it has no control file");
		ereport(FATAL, "could not access \"%s\": %m", path);
	}
}

/* ---- who holds the lock? ---- */

/* holds_lock -- does descriptor 'fd' of process 'pid' stand for our directory, with an flock on it? */
static bool
holds_lock(const char *pid, const char *fd, const struct stat *dir)
{
	char		path[300];
	char		line[256];
	struct stat st;
	FILE	   *info;
	bool		found = false;

	(void) snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, fd);
	if (stat(path, &st) != 0 || st.st_dev != dir->st_dev || st.st_ino != dir->st_ino)
		return false;
	(void) snprintf(path, sizeof(path), "/proc/%.20s/fdinfo/%.20s", pid, fd);
	info = fopen(path, "re");
	if (info == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), info) != NULL)
		found = strncmp(line, "lock:", 5) == 0 && strstr(line, "FLOCK") != NULL;
	(void) fclose(info);
	return found;
}

static bool
process_holds_lock(const char *pid, const struct stat *dir)
{
	char		path[64];
	DIR		   *fds;
	struct dirent *entry;
	bool		found = false;

	(void) snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	fds = opendir(path);
	if (fds == NULL)
		return false;
	while (!found && (entry = readdir(fds)) != NULL)
		if (entry->d_name[0] != '.')
			found = holds_lock(pid, entry->d_name, dir);
	(void) closedir(fds);
	return found;
}

/* read_title -- what ps shows of a process; "" when it cannot be read. */
static void
read_title(const char *pid, char *title, size_t size)
{
	char		path[64];
	FILE	   *file;
	size_t		len = 0;

	(void) snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
	file = fopen(path, "re");
	if (file != NULL)
	{
		len = fread(title, 1, size - 1, file);
		(void) fclose(file);
	}
	title[len] = '\0';
	if (strncmp(title, "artery: ", 8) == 0)
		return;					/* set by setproctitle: it ends at the first NUL */
	for (size_t i = 0; i < len; i++)
		if (title[i] == '\0')
			title[i] = ' ';
	while (len > 0 && title[len - 1] == ' ')
		title[--len] = '\0';
}

/*
 * find_holders -- up to three processes that hold the lock, as text; "" when
 * none can be seen (another user's, another pid name space).  The lowest pid
 * comes first: of a living server, that is the postmaster.
 */
static void
find_holders(const struct stat *dir, char *text, size_t size)
{
	int			pids[4] = {0};
	int			count = 0;
	DIR		   *proc = opendir("/proc");
	struct dirent *entry;

	text[0] = '\0';
	if (proc == NULL)
		return;
	/* /proc lists pids in ascending order */
	while (count < (int) lengthof(pids) && (entry = readdir(proc)) != NULL)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && atoi(entry->d_name) != (int) getpid()
			&& process_holds_lock(entry->d_name, dir))
			pids[count++] = atoi(entry->d_name);
	(void) closedir(proc);
	for (int i = 0; i < count; i++)
	{
		char		pid[16];
		char		title[80];
		char		one[128];

		if (i == (int) lengthof(pids) - 1)
		{
			(void) strlcat(text, " and others", size);
			break;
		}
		(void) snprintf(pid, sizeof(pid), "%d", pids[i]);
		read_title(pid, title, sizeof(title));
		(void) snprintf(one, sizeof(one), "%sPID %s (%s)", i > 0 ? ", " : "", pid, title);
		(void) strlcat(text, one, size);
	}
}

/* refuse_taken -- the lock is another's: who?  FATAL. */
static void
refuse_taken(const char *data_dir)
{
	PidFile		file;
	struct stat dir;
	char		pid[16];
	char		holders[400] = "";
	bool		named = pid_file_read(data_dir, &file) == 0 && file.pid > 0;
	bool		serves = false;

	if (fstat(lock_fd, &dir) == 0)
	{
		(void) snprintf(pid, sizeof(pid), "%d", file.pid);
		serves = named && process_holds_lock(pid, &dir);
		if (!serves)
			find_holders(&dir, holders, sizeof(holders));
	}
	/* a postmaster whose descriptors may not be seen counts as running when it exists and nobody else is seen */
	if (serves || (named && holders[0] == '\0' && (kill(file.pid, 0) == 0 || errno == EPERM)))
		ereport_hint(FATAL, "artery_ctl stop -D DIRECTORY stops it.",
					 "another server (PID %d) is running in data directory \"%s\"", file.pid, data_dir);
	if (holders[0] != '\0')
		ereport_hint(FATAL,
					 "They are a running server's whose artery.pid was removed, or what is left of one that died. "
					 "End them, or wait until they have ended.",
					 "data directory \"%s\" is in use by %s", data_dir, holders);
	ereport_hint(FATAL, "Look for processes named artery of the directory's owner, or in other containers.",
				 "data directory \"%s\" is in use by a process that cannot be seen from here", data_dir);
}

void
pm_directory_lock(const char *data_dir)
{
	lock_fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock_fd < 0)
		ereport(FATAL, "could not open data directory \"%s\": %m", data_dir);
	while (flock(lock_fd, LOCK_EX | LOCK_NB) != 0)
	{
		if (errno == EWOULDBLOCK)
			refuse_taken(data_dir);
		else if (errno != EINTR)
			ereport(FATAL, "could not lock data directory \"%s\": %m", data_dir);
	}
}

bool
pm_directory_same(const char *data_dir)
{
	struct stat ours;
	struct stat now;

	if (fstat(lock_fd, &ours) != 0)
		return true;
	if (stat(data_dir, &now) != 0)
		return errno != ENOENT && errno != ENOTDIR;	/* other errors say nothing */
	return ours.st_dev == now.st_dev && ours.st_ino == now.st_ino;
}

/* ---- leftovers ---- */

/* inside -- is 'path' an entry of the directory? */
static bool
inside(const char *data_dir, const char *path)
{
	size_t		len = strlen(data_dir);

	return strncmp(path, data_dir, len) == 0 && path[len] == '/' && strchr(path + len + 1, '/') == NULL;
}

/*
 * clean_socket -- a socket in the directory is ours by the lock, and dead.  One
 * elsewhere may be another living server's: net finds out when it listens.
 */
static void
clean_socket(const char *data_dir, const char *path)
{
	struct stat st;

	if (!inside(data_dir, path) || lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	if (unlink(path) == 0)
		ereport(LOG, "removed the socket \"%s\" of a server that is dead", path);
}

void
pm_directory_clean_leftovers(const char *data_dir, const char *socket_path)
{
	PidFile		file;

	if (pid_file_read(data_dir, &file) == 0)
	{
		ereport(LOG, "artery.pid is left of a server (PID %d) that is dead", file.pid);
		if (segment_unlink_leftover(file.segment_name))
			ereport(LOG, "removed the shared memory \"%s\" of a server that is dead", file.segment_name);
		if (file.socket_path[0] != '\0')
			clean_socket(data_dir, file.socket_path);
	}
	clean_socket(data_dir, socket_path);
}
