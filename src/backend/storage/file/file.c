/*
 * file.c -- open, size, sync, rename, read and write: plain system calls.
 *
 * Promises: a transfer returns complete, at end of file (reads) or with an
 * errno; EINTR and EAGAIN are retried, shorts resumed, no progress is EIO.
 * Nothing is logged here but a wait for a lock: the caller knows what a failure
 * means.  A failed sync is never repeated: the kernel may have dropped the pages
 * and would say yes the second time.
 *
 * O_DIRECT is refused in two places: at open (EINVAL), or by the first transfer
 * (some FUSE file systems).  Both fall back to the page cache for this file;
 * once a direct transfer has succeeded, EINVAL is an error as any other, so that
 * the two ways never mix on one file.
 *
 * Any process; a File is private to the process that opened it.  If a process
 * dies here, its descriptors are closed by the kernel; requests still in flight
 * on a queue hold the open file description, and with it the lock on it, until
 * the device has answered.
 */
#include "storage/file/file_internal.h"

#include "utils/clock.h"
#include "utils/elog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZERO_BYTES (256 * KIB)
#define LOCK_STEP_US 10000
#define LOCK_REPORT_MS 500

static alignas(FILE_DIRECT_ALIGN) const char zeros[ZERO_BYTES];

size_t		file__request_max = FILE_REQUEST_MAX;

static int
open_flags(int flags)
{
	int			result = O_CLOEXEC;

	if ((flags & FILE_READ) && (flags & FILE_WRITE))
		result |= O_RDWR;
	else
		result |= flags & FILE_WRITE ? O_WRONLY : O_RDONLY;
	if (flags & FILE_CREATE)
		result |= O_CREAT;
	if (flags & FILE_EXCLUSIVE)
		result |= O_EXCL;
	return result;
}

/* open_retry -- open(2); a descriptor or -errno. */
static int
open_retry(const char *path, int flags, mode_t mode)
{
	int			fd;

	do
		fd = open(path, flags, mode);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

int
file_open(const char *path, int flags, mode_t mode, File **out)
{
	bool		direct = (flags & FILE_DIRECT) != 0;
	int			error = file__hook_begin(FILE_CALL_OPEN, path, NULL, 0, 0);
	int			fd;
	File	   *f;

	*out = NULL;
	if (error != 0)
		return error;
	fd = open_retry(path, open_flags(flags) | (direct ? O_DIRECT : 0), mode);
	if (fd == -EINVAL && direct)
	{
		/* a file created by the refused call stays: so no O_EXCL the second time if it is there now */
		direct = false;
		fd = open_retry(path, open_flags(flags & ~FILE_EXCLUSIVE), mode);
	}
	if (fd < 0)
		return -fd;
	f = calloc(1, sizeof(*f));
	Verify(f != NULL);
	f->path = strdup(path);
	Verify(f->path != NULL);
	f->magic = FILE_MAGIC;
	f->fd = fd;
	f->direct = direct;
	*out = f;
	return 0;
}

void
file_close(File *f)
{
	if (f == NULL)
		return;
	Verify(f->magic == FILE_MAGIC);
	f->magic = 0;
	(void) close(f->fd);		/* every error that counts was told by a sync before */
	free(f->path);
	free(f);
}

const char *
file_path(const File *f)
{
	return f->path;
}

bool
file_is_direct(const File *f)
{
	return f->direct;
}

int
file_lock(File *f, bool wait)
{
	int			error = file__hook_begin(FILE_CALL_LOCK, f->path, NULL, 0, 0);

	if (error != 0)
		return error;
	while (flock(f->fd, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0)
		if (errno != EINTR)
			return errno;
	return 0;
}

int
file_lock_bounded(File *f, int64 timeout_ms)
{
	uint64		begun = clock_mono_us();
	bool		told = false;

	for (;;)
	{
		int			error = file_lock(f, false);
		uint64		waited_ms = (clock_mono_us() - begun) / 1000;

		if (error != EWOULDBLOCK)
			return error;
		if ((int64) waited_ms >= timeout_ms)
			return EWOULDBLOCK;
		if (!told && waited_ms >= LOCK_REPORT_MS)
		{
			ereport(LOG, "waiting for the lock on \"%s\": a process of an earlier run still has it open, or its "
					"last writes are on their way to the device", f->path);
			told = true;
		}
		(void) usleep(LOCK_STEP_US);
	}
}

int
file_size(File *f, uint64 *size)
{
	struct stat st;

	if (fstat(f->fd, &st) != 0)
		return errno;
	*size = (uint64) st.st_size;
	return 0;
}

int
file_truncate(File *f, uint64 size)
{
	int			error = file__hook_begin(FILE_CALL_TRUNCATE, f->path, NULL, 0, size);

	if (error != 0)
		return error;
	while (ftruncate(f->fd, (off_t) size) != 0)
		if (errno != EINTR)
			return errno;
	return 0;
}

int
file_allocate(File *f, uint64 offset, uint64 len)
{
	int			error = file__hook_begin(FILE_CALL_ALLOCATE, f->path, NULL, len, offset);

	if (error != 0)
		return error;
	while (fallocate(f->fd, 0, (off_t) offset, (off_t) len) != 0)
	{
		if (errno == EOPNOTSUPP || errno == ENOSYS)
			return 0;			/* the writes that follow will tell */
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

bool
file__direct_refused(File *f)
{
	int			flags;

	if (!f->direct || f->direct_proven)
		return false;
	flags = fcntl(f->fd, F_GETFL);
	if (flags < 0 || fcntl(f->fd, F_SETFL, flags & ~O_DIRECT) != 0)
		return false;
	f->direct = false;
	return true;
}

/*
 * A direct transfer that stops between two blocks can only have met the end of
 * the file (a read) or a device that gave up half-way (a write): the write goes
 * on from the last whole block, because the rest of that block could not be
 * written alone.
 */
void
file__progress(FileProgress *p, File *f, bool writing, int64 result)
{
	size_t		before = p->done;

	if (result == -EINVAL && file__direct_refused(f))
		return;
	if (result == -EINTR || result == -EAGAIN)
	{
		if (++p->retries < FILE_RETRY_MAX)
		{
			if (result == -EAGAIN && p->retries > 10)
				(void) usleep(100);
			return;
		}
	}
	if (result < 0 || (uint64) result > p->len - p->done)
	{
		p->error = result < 0 ? (int) -result : EIO;
		p->ended = true;
		return;
	}
	p->done += (size_t) result;
	if (result > 0 && f->direct)
		f->direct_proven = true;
	if (p->done == p->len)
	{
		p->ended = true;
		return;
	}
	if (f->direct && p->done % FILE_DIRECT_ALIGN != 0)
	{
		if (writing)
			p->done = AlignDown(p->done, FILE_DIRECT_ALIGN);
		else
			p->ended = true;
	}
	if (p->done > before)
		p->retries = 0;
	else
	{
		/* nothing moved: end of file, or a device that takes no more */
		p->ended = true;
		if (writing)
			p->error = EIO;
	}
}

static int
transfer(File *f, FileCall call, void *buf, size_t len, uint64 offset, size_t *done)
{
	FileProgress p = {.len = len, .ended = len == 0};
	bool		writing = call == FILE_CALL_WRITE;

	while (!p.ended)
	{
		char	   *at = (char *) buf + p.done;
		size_t		rest = Min(p.len - p.done, file__request_max);
		int			error = file__hook_begin(call, f->path, writing ? at : NULL, rest, offset + p.done);
		int64		result = -error;

		if (error == 0)
		{
			result = writing ? pwrite(f->fd, at, rest, (off_t) (offset + p.done))
				: pread(f->fd, at, rest, (off_t) (offset + p.done));
			if (result < 0)
				result = -errno;
			result = file__hook_end(call, f->path, at, offset + p.done, result, f->direct);
		}
		file__progress(&p, f, writing, result);
	}
	*done = p.done;
	return p.error;
}

int
file_read(File *f, void *buf, size_t len, uint64 offset, size_t *got)
{
	return transfer(f, FILE_CALL_READ, buf, len, offset, got);
}

int
file_write(File *f, const void *buf, size_t len, uint64 offset)
{
	size_t		done;

	return transfer(f, FILE_CALL_WRITE, (void *) (uintptr_t) buf, len, offset, &done);
}

int
file_zero_fill(File *f, uint64 offset, uint64 len)
{
	while (len > 0)
	{
		size_t		piece = Min(len, ZERO_BYTES);
		int			error = file_write(f, zeros, piece, offset);

		if (error != 0)
			return error;
		offset += piece;
		len -= piece;
	}
	return 0;
}

int
file_datasync(File *f)
{
	int			error = file__hook_begin(FILE_CALL_DATASYNC, f->path, NULL, 0, 0);
	int64		result;

	if (error != 0)
		return error;
	do
		result = fdatasync(f->fd) == 0 ? 0 : -errno;
	while (result == -EINTR);
	return (int) -file__hook_end(FILE_CALL_DATASYNC, f->path, NULL, 0, result, f->direct);
}

int
file_rename(const char *from, const char *to)
{
	int			error = file__hook_begin(FILE_CALL_RENAME, to, from, strlen(from), 0);

	if (error != 0)
		return error;
	return rename(from, to) == 0 ? 0 : errno;
}

int
file_unlink(const char *path)
{
	int			error = file__hook_begin(FILE_CALL_UNLINK, path, NULL, 0, 0);

	if (error != 0)
		return error;
	return unlink(path) == 0 ? 0 : errno;
}

int
file_sync_directory(const char *path)
{
	int			error = file__hook_begin(FILE_CALL_SYNC_DIRECTORY, path, NULL, 0, 0);
	int			fd;

	if (error != 0)
		return error;
	fd = open_retry(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return -fd;
	while (fsync(fd) != 0)
		if (errno != EINTR)
		{
			error = errno;
			break;
		}
	(void) close(fd);
	return error;
}

/* file_list -- reads all names first, so that 'each' may rename and remove. */
int
file_list(const char *path, void (*each)(const char *name, void *arg), void *arg)
{
	struct dirent **names;
	int			count = scandir(path, &names, NULL, alphasort);

	if (count < 0)
		return errno;
	for (int i = 0; i < count; i++)
	{
		if (strcmp(names[i]->d_name, ".") != 0 && strcmp(names[i]->d_name, "..") != 0)
			each(names[i]->d_name, arg);
		free(names[i]);
	}
	free(names);
	return 0;
}

void *
file_alloc_aligned(size_t len)
{
	void	   *p = NULL;

	Verify(posix_memalign(&p, FILE_DIRECT_ALIGN, AlignUp(len, FILE_DIRECT_ALIGN)) == 0);
	return p;
}
