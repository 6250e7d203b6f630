/*
 * file.h -- the one room through which all file I/O goes: open, size, sync,
 * rename, read, write, synchronous or batched (by storage/aio below).
 *
 * Test builds (ARTERY_FAULTS) pass every call through file__hook(), which can
 * record it (operation, file, offset, length, data digest) to a log and can make
 * the n-th call of a kind fail (errno, short, delay).  This is the only caller
 * of fsync and fdatasync.
 *
 * Functions return 0 or an errno; they do not log, the caller knows the level.
 * EINTR and EAGAIN are retried, short transfers resumed, zero progress is EIO.
 */
#ifndef ARTERY_STORAGE_FILE_FILE_H
#define ARTERY_STORAGE_FILE_FILE_H

#include "common/c.h"
#include <sys/types.h>

typedef struct File File;	/* private memory; opened after fork, never shared */

enum { FILE_READ = 1, FILE_WRITE = 2, FILE_CREATE = 4, FILE_EXCLUSIVE = 8, FILE_DIRECT = 16 /* try O_DIRECT, fall back */ };

extern int file_open(const char *path, int flags, mode_t mode, File **out) attribute_must_check;
extern void file_close(File *f);
extern const char *file_path(const File *f);
extern bool file_is_direct(const File *f);
extern int file_lock(File *f, bool wait);		/* flock LOCK_EX on this description */
/* file_lock_bounded -- waits at most timeout_ms, with one log line if it takes long; EWOULDBLOCK: not had. */
extern int file_lock_bounded(File *f, int64 timeout_ms) attribute_must_check;
extern int file_size(File *f, uint64 *size) attribute_must_check;
extern int file_truncate(File *f, uint64 size) attribute_must_check;
extern int file_read(File *f, void *buf, size_t len, uint64 offset, size_t *got) attribute_must_check;	/* short at end of file */
extern int file_write(File *f, const void *buf, size_t len, uint64 offset) attribute_must_check;
/* file_allocate -- have the disk set room aside for [offset, offset + len); 0 also where the file system cannot. */
extern int file_allocate(File *f, uint64 offset, uint64 len) attribute_must_check;
extern int file_zero_fill(File *f, uint64 offset, uint64 len) attribute_must_check;
extern int file_datasync(File *f) attribute_must_check;
extern int file_rename(const char *from, const char *to) attribute_must_check;
extern int file_unlink(const char *path) attribute_must_check;
extern int file_sync_directory(const char *path) attribute_must_check;
/* file_list -- calls 'each' with every name in a directory but . and .. (in no order; the names may be changed from it). */
extern int file_list(const char *path, void (*each)(const char *name, void *arg), void *arg) attribute_must_check;
extern void *file_alloc_aligned(size_t len);	/* 4 KiB aligned private memory; free() */

/* ---- batches: several reads or writes in flight ---- */
typedef enum FileOp { FILE_OP_READ, FILE_OP_WRITE, FILE_OP_DATASYNC } FileOp;

typedef struct FileIo
{
	/* the caller sets */
	FileOp		op;
	File	   *file;
	void	   *buf;
	uint32		len;
	uint64		offset;
	/* the room sets */
	uint32		done_len;	/* resumed shorts added up */
	int			error;		/* 0, or errno; valid once done */
	bool		done;
	void	   *internal;
	struct FileIo *next_done;	/* file_queue_next_done */
} FileIo;

typedef struct FileQueue FileQueue;		/* one per process and purpose, made after fork */

/* file_queue_create -- io_method and io_depth as set; one log line when the system refuses a ring or registration and it goes on with less. */
extern FileQueue *file_queue_create(const char *purpose);
extern void file_queue_destroy(FileQueue *q);	/* waits for all in flight first */
/* file_queue_register -- register [base, len) so that I/O from it skips pinning; false: goes on unregistered. */
extern bool file_queue_register(FileQueue *q, void *base, size_t len);
/* file_queue_register_file -- requests on this file skip looking its descriptor up; one per queue, which is destroyed before the file is closed; false: without. */
extern bool file_queue_register_file(FileQueue *q, File *file);
extern int file_queue_submit(FileQueue *q, FileIo *const *ios, int count);	/* starts them; completion by file_queue_wait; 0 */
/* file_queue_run -- starts them and returns when all are done, in as few system calls as possible; the first error, or 0. */
extern int file_queue_run(FileQueue *q, FileIo *const *ios, int count) attribute_must_check;
extern void file_queue_wait(FileQueue *q, FileIo *io);		/* returns when io->done */
extern void file_queue_poll(FileQueue *q);					/* reaps what is done */
/* file_queue_fd -- readable when file_queue_poll has something to reap; -1: plain calls, done when they are submitted. */
extern int file_queue_fd(const FileQueue *q);
/* file_queue_room -- so many more can be submitted without waiting. */
extern uint32 file_queue_room(const FileQueue *q);
/* file_queue_collect -- from now on what is done is listed for file_queue_next_done, which gives each once; NULL: no more. */
extern void file_queue_collect(FileQueue *q);
extern FileIo *file_queue_next_done(FileQueue *q);
extern const char *file_queue_method(const FileQueue *q);	/* "io_uring, registered", "io_uring", "sync" */

/* fault points: FAULT_POINT("wal-before-fdatasync") does nothing unless built with ARTERY_FAULTS and armed by fault_points */
#ifdef ARTERY_FAULTS
extern void fault_point(const char *name);
#define FAULT_POINT(name) fault_point(name)
#else
#define FAULT_POINT(name) ((void) 0)
#endif

#endif
