/*
 * file_internal.h -- within storage/file: the file itself, and the hook that
 * every call passes.
 */
#ifndef ARTERY_STORAGE_FILE_FILE_INTERNAL_H
#define ARTERY_STORAGE_FILE_FILE_INTERNAL_H

#include "storage/file/file.h"

#define FILE_MAGIC 0x454c4946
/* Offsets, lengths and addresses of direct I/O are multiples of this; larger than any sector in use. */
#define FILE_DIRECT_ALIGN 4096
/* The kernel moves at most 2 GiB - 4 KiB per call; one request stays well below.  Unit tests set less (whole blocks). */
#define FILE_REQUEST_MAX (512 * MIB)
extern size_t file__request_max;
/* A transfer that is interrupted or put off this often in a row counts as failed. */
#define FILE_RETRY_MAX 10000

struct File
{
	uint32		magic;
	int			fd;
	bool		direct;			/* O_DIRECT is in force */
	bool		direct_proven;	/* a direct transfer has succeeded: no falling back any more */
	char	   *path;
};

typedef enum FileCall
{
	FILE_CALL_OPEN,
	FILE_CALL_LOCK,
	FILE_CALL_TRUNCATE,
	FILE_CALL_ALLOCATE,
	FILE_CALL_READ,
	FILE_CALL_WRITE,
	FILE_CALL_DATASYNC,
	FILE_CALL_RENAME,
	FILE_CALL_UNLINK,
	FILE_CALL_SYNC_DIRECTORY,
	FILE_CALL_AIO_SETUP,
	FILE_CALL_AIO_REGISTER,
	FILE_CALL_COUNT
} FileCall;

/*
 * file__hook_begin -- before a call: notes it in the record; an armed fault may
 * end, stop or delay the process, or give the errno that the call is to return
 * without being made (0: make it).  'data' only for writes, else NULL.
 *
 * file__hook_end -- after a transfer or sync: notes it; 'result' is what the
 * kernel said (bytes, or -errno); what it returns is to be taken instead.
 */
#ifdef ARTERY_FAULTS
/* file__fault_arm -- replaces what is armed in this process; unit tests.  Setting and environment are read at first use. */
extern void file__fault_arm(const char *list);
/* file__record_to -- replaces where this process records its calls; NULL: nowhere.  ARTERY_IO_RECORD is read at first use. */
extern void file__record_to(const char *path);
extern int file__hook_begin(FileCall call, const char *path, const void *data, size_t len, uint64 offset);
extern int64 file__hook_end(FileCall call, const char *path, const void *data, uint64 offset, int64 result, bool direct);
#else
static inline int
file__hook_begin(FileCall call, const char *path, const void *data, size_t len, uint64 offset)
{
	(void) call, (void) path, (void) data, (void) len, (void) offset;
	return 0;
}

static inline int64
file__hook_end(FileCall call, const char *path, const void *data, uint64 offset, int64 result, bool direct)
{
	(void) call, (void) path, (void) data, (void) offset, (void) direct;
	return result;
}
#endif

/*
 * FileProgress -- one transfer on its way to be complete: the rules for shorts,
 * EINTR and EAGAIN, shared by plain calls and queues.
 */
typedef struct FileProgress
{
	size_t		len;
	size_t		done;
	uint32		retries;		/* in a row, without progress */
	bool		ended;			/* complete, at end of file, or failed */
	int			error;
} FileProgress;

/* file__progress -- take in one result of the kernel (bytes or -errno) for the rest at offset + done. */
extern void file__progress(FileProgress *p, File *f, bool writing, int64 result);
/* file__direct_refused -- EINVAL of the first direct transfer: drop O_DIRECT and say that it may be tried again. */
extern bool file__direct_refused(File *f);

#endif
