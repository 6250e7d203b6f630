/*
 * delayfs.c -- a FUSE file system for tests: a directory passed through, whose
 * reads, writes and syncs take as long as the test says.
 *
 *   delayfs BACKING MOUNTPOINT CONTROL LOG
 *
 * CONTROL is a file of words "read=W write=W sync=W", looked at by every request
 * when it comes and while it is held; the test replaces it by rename.  W: 0 (at
 * once), a number of milliseconds, "hold": until the word changes, or "hold:N":
 * the same for the handles up to N alone.  A file that is not there: everything at
 * once.  A request does its work at the end of its
 * delay, as a device that is late does: what a dead process had asked for can
 * still change the file.
 *
 * LOG gets a line per event, in the order in which they happen:
 *
 *   MICROSECONDS begin|end read|write|sync|open|close HANDLE PID OFFSET LEN RESULT PATH
 *
 * HANDLE numbers the opens of files from 1 on; PID is the process or thread that
 * asked (0 where the kernel did); PATH stands with "open" alone.  The file system ends, and unmounts itself, on
 * SIGTERM; requests that are held then are answered at once.
 */
#define FUSE_USE_VERSION 312
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fuse.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HOLD -1
#define HOLD_STEP_MS 2
#define IN_FLIGHT_MAX 128

static int	backing_fd;
static const char *control_path;
static int	log_fd;
static atomic_ulong last_handle;
static atomic_bool ending;

/* what an open file's fh holds: descriptor and number */
static uint64_t
make_handle(int fd)
{
	return (uint64_t) fd << 32 | (uint32_t) (atomic_fetch_add(&last_handle, 1) + 1);
}

static int
fd_of(const struct fuse_file_info *fi)
{
	return (int) (fi->fh >> 32);
}

/* relative -- a path below the backing directory, for the *at calls. */
static const char *
relative(const char *path)
{
	return path[1] == '\0' ? "." : path + 1;
}

static void
note(const char *phase, const char *op, uint64_t handle, off_t offset, size_t len, long result, const char *path)
{
	struct timespec t;
	char		line[4400];
	int			n;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	n = snprintf(line, sizeof(line), "%lld %s %s %u %d %lld %zu %ld %s\n",
				 (long long) t.tv_sec * 1000000 + t.tv_nsec / 1000, phase, op, (unsigned) handle,
				 (int) fuse_get_context()->pid, (long long) offset, len, result, path);
	if (write(log_fd, line, (size_t) n) != n)
		abort();
}

/* delay_of -- what CONTROL says of 'op' on this handle: milliseconds or HOLD. */
static int
delay_of(const char *op, uint64_t handle)
{
	char		text[256] = "";
	char		word[32];
	const char *at;
	ssize_t		n;
	int			fd = open(control_path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	(void) close(fd);
	text[n > 0 ? n : 0] = '\0';
	snprintf(word, sizeof(word), "%s=", op);
	at = strstr(text, word);
	if (at == NULL)
		return 0;
	at += strlen(word);
	if (strncmp(at, "hold", 4) != 0)
		return atoi(at);
	return at[4] != ':' || (uint32_t) handle <= strtoul(at + 5, NULL, 10) ? HOLD : 0;
}

static void
sleep_ms(int ms)
{
	struct timespec t = {ms / 1000, (long) (ms % 1000) * 1000000};

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		;
}

static void
late(const char *op, uint64_t handle)
{
	int			ms = delay_of(op, handle);

	if (ms > 0)
		sleep_ms(ms);
	while (ms == HOLD && !atomic_load(&ending) && delay_of(op, handle) == HOLD)
		sleep_ms(HOLD_STEP_MS);
}

/* ---- requests that can be late ---- */

static int
do_read(const char *path, char *buf, size_t size, off_t offset, struct fuse_file_info *fi)
{
	ssize_t		n;

	(void) path;
	note("begin", "read", fi->fh, offset, size, 0, "-");
	late("read", fi->fh);
	n = pread(fd_of(fi), buf, size, offset);
	if (n < 0)
		n = -errno;
	note("end", "read", fi->fh, offset, size, (long) n, "-");
	return (int) n;
}

static int
do_write(const char *path, const char *buf, size_t size, off_t offset, struct fuse_file_info *fi)
{
	ssize_t		n;

	(void) path;
	note("begin", "write", fi->fh, offset, size, 0, "-");
	late("write", fi->fh);
	n = pwrite(fd_of(fi), buf, size, offset);
	if (n < 0)
		n = -errno;
	note("end", "write", fi->fh, offset, size, (long) n, "-");
	return (int) n;
}

static int
do_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	int			rc;

	(void) path;
	note("begin", "sync", fi->fh, 0, 0, 0, "-");
	late("sync", fi->fh);
	rc = (data_only ? fdatasync(fd_of(fi)) : fsync(fd_of(fi))) == 0 ? 0 : -errno;
	note("end", "sync", fi->fh, 0, 0, rc, "-");
	return rc;
}

/* ---- the rest, as it comes ---- */

static int
do_open_flags(const char *path, int flags, mode_t mode, struct fuse_file_info *fi)
{
	/* the buffers that FUSE gives are not aligned as direct I/O wants it */
	int			fd = openat(backing_fd, relative(path), (flags & ~O_DIRECT) | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	fi->fh = make_handle(fd);
	note("end", "open", fi->fh, 0, 0, 0, path);
	return 0;
}

static int
do_open(const char *path, struct fuse_file_info *fi)
{
	return do_open_flags(path, fi->flags, 0, fi);
}

static int
do_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return do_open_flags(path, fi->flags | O_CREAT, mode, fi);
}

static int
do_release(const char *path, struct fuse_file_info *fi)
{
	(void) path;
	note("end", "close", fi->fh, 0, 0, 0, "-");
	(void) close(fd_of(fi));
	return 0;
}

static int
do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	if (fi != NULL)
		return fstat(fd_of(fi), st) == 0 ? 0 : -errno;
	return fstatat(backing_fd, relative(path), st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

static int
do_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	int			fd;
	int			rc;

	if (fi != NULL)
		return ftruncate(fd_of(fi), size) == 0 ? 0 : -errno;
	fd = openat(backing_fd, relative(path), O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = ftruncate(fd, size) == 0 ? 0 : -errno;
	(void) close(fd);
	return rc;
}

static int
do_fallocate(const char *path, int mode, off_t offset, off_t len, struct fuse_file_info *fi)
{
	(void) path;
	return fallocate(fd_of(fi), mode, offset, len) == 0 ? 0 : -errno;
}

/* an open directory's fh is a DIR * */
static int
do_opendir(const char *path, struct fuse_file_info *fi)
{
	int			fd = openat(backing_fd, relative(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR		   *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir == NULL)
		return -errno;
	fi->fh = (uintptr_t) dir;
	return 0;
}

static int
do_releasedir(const char *path, struct fuse_file_info *fi)
{
	(void) path;
	(void) closedir((DIR *) (uintptr_t) fi->fh);
	return 0;
}

static int
do_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *fi,
		   enum fuse_readdir_flags flags)
{
	DIR		   *dir = (DIR *) (uintptr_t) fi->fh;
	struct dirent *entry;

	(void) path;
	(void) offset;
	(void) flags;
	rewinddir(dir);
	while ((entry = readdir(dir)) != NULL)
		if (fill(buf, entry->d_name, NULL, 0, 0) != 0)
			break;
	return 0;
}

static int
do_fsyncdir(const char *path, int data_only, struct fuse_file_info *fi)
{
	(void) path;
	(void) data_only;
	return fsync(dirfd((DIR *) (uintptr_t) fi->fh)) == 0 ? 0 : -errno;
}

static int
do_mkdir(const char *path, mode_t mode)
{
	return mkdirat(backing_fd, relative(path), mode) == 0 ? 0 : -errno;
}

static int
do_unlink(const char *path)
{
	return unlinkat(backing_fd, relative(path), 0) == 0 ? 0 : -errno;
}

static int
do_rmdir(const char *path)
{
	return unlinkat(backing_fd, relative(path), AT_REMOVEDIR) == 0 ? 0 : -errno;
}

static int
do_rename(const char *from, const char *to, unsigned int flags)
{
	return renameat2(backing_fd, relative(from), backing_fd, relative(to), flags) == 0 ? 0 : -errno;
}

static int
do_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	(void) fi;
	return fchmodat(backing_fd, relative(path), mode, 0) == 0 ? 0 : -errno;
}

static void *
do_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	/* as many as a device's queue may hold */
	conn->max_background = IN_FLIGHT_MAX;
	config->hard_remove = 1;
	config->nullpath_ok = 1;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = do_init,
	.getattr = do_getattr,
	.open = do_open,
	.create = do_create,
	.release = do_release,
	.read = do_read,
	.write = do_write,
	.fsync = do_fsync,
	.truncate = do_truncate,
	.fallocate = do_fallocate,
	.opendir = do_opendir,
	.readdir = do_readdir,
	.releasedir = do_releasedir,
	.mkdir = do_mkdir,
	.unlink = do_unlink,
	.rmdir = do_rmdir,
	.rename = do_rename,
	.chmod = do_chmod,
	.fsyncdir = do_fsyncdir,
};

/* wait_for_end -- its own thread: on SIGTERM lets go what is held and ends the file system. */
static void *
wait_for_end(void *arg)
{
	sigset_t	set;
	int			sig;

	(void) sigemptyset(&set);
	(void) sigaddset(&set, SIGTERM);
	(void) sigwait(&set, &sig);
	atomic_store(&ending, true);
	fuse_unmount(arg);
	fuse_exit(arg);
	return NULL;
}

int
main(int argc, char **argv)
{
	char	   *fuse_argv[] = {argv[0], NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, fuse_argv);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct fuse *fuse;
	pthread_t	thread;
	sigset_t	set;

	if (argc != 5)
	{
		fprintf(stderr, "usage: delayfs BACKING MOUNTPOINT CONTROL LOG\n");
		return 2;
	}
	backing_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	control_path = argv[3];
	log_fd = open(argv[4], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (backing_fd < 0 || log_fd < 0)
	{
		perror("delayfs");
		return 1;
	}
	fuse = fuse_new(&args, &operations, sizeof(operations), NULL);
	if (fuse == NULL || fuse_mount(fuse, argv[2]) != 0)
		return 1;
	(void) sigemptyset(&set);
	(void) sigaddset(&set, SIGTERM);
	(void) pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&thread, NULL, wait_for_end, fuse) != 0)
		return 1;
	fuse_loop_cfg_set_max_threads(config, IN_FLIGHT_MAX);
	fuse_loop_cfg_set_idle_threads(config, IN_FLIGHT_MAX);
	(void) fuse_loop_mt(fuse, config);
	fuse_loop_cfg_destroy(config);
	fuse_destroy(fuse);
	return 0;
}
