/*
 * file_queue.c -- several reads, writes and syncs of files in flight.
 *
 * A FileIo is done when all of it is: shorts are resumed, EINTR and EAGAIN are
 * retried, transfers above file__request_max are split, and each of these pieces
 * passes the hook before it goes to the kernel and when it comes back.
 *
 * Each FileIo in flight has a seat (FileSeat); there are as many as the ring is
 * deep, and starting one more waits for a seat.  io_method = io_uring, refused by
 * the system (kernel, container, memory lock limit), goes on with plain calls;
 * a refused registration goes on unregistered: one log line each.
 *
 * A queue is private to one process (one thread), made after fork.  If it dies,
 * see aio.c.
 */
#include "storage/aio/aio.h"
#include "storage/file/file_internal.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <errno.h>
#include <unistd.h>

#define QUEUE_MAGIC 0x45555551

typedef struct FileSeat
{
	AioRequest	request;		/* first: aio gives back its address */
	FileIo	   *io;				/* NULL: free */
	FileProgress progress;
	struct FileSeat *next_free;
} FileSeat;

struct FileQueue
{
	uint32		magic;
	char	   *purpose;
	AioRing    *ring;
	bool		registered;
	uint32		seats;
	FileSeat   *seat;
	FileSeat   *free_seat;
	uint32		free_seats;
	bool		collects;		/* done requests are listed */
	FileIo	   *done_first;
	FileIo	  **done_last;
};

FileQueue *
file_queue_create(const char *purpose)
{
	FileQueue  *q = calloc(1, sizeof(*q));
	uint32		depth = (uint32) Max(set_io_depth, 1);

	Verify(q != NULL);
	q->magic = QUEUE_MAGIC;
	q->purpose = strdup(purpose);
	Verify(q->purpose != NULL);
	if (set_io_method == IO_METHOD_IO_URING)
	{
		int			error = file__hook_begin(FILE_CALL_AIO_SETUP, purpose, NULL, 0, 0);

		if (error == 0)
			error = aio_create_uring(depth, &q->ring);
		if (error != 0)
		{
			errno = error;
			ereport(LOG, "io_uring for the %s was refused (%m): plain system calls are used instead", purpose);
		}
	}
	if (q->ring == NULL)
		q->ring = aio_create_sync(depth);
	q->seats = aio_depth(q->ring);
	q->seat = calloc(q->seats, sizeof(*q->seat));
	Verify(q->seat != NULL);
	for (uint32 i = 0; i < q->seats; i++)
	{
		q->seat[i].next_free = q->free_seat;
		q->free_seat = &q->seat[i];
	}
	q->free_seats = q->seats;
	q->done_last = &q->done_first;
	return q;
}

bool
file_queue_register(FileQueue *q, void *base, size_t len)
{
	int			error;

	Verify(q->magic == QUEUE_MAGIC);
	if (!aio_is_uring(q->ring))
		return false;
	error = file__hook_begin(FILE_CALL_AIO_REGISTER, q->purpose, NULL, len, 0);
	if (error == 0)
		error = aio_register(q->ring, base, len);
	if (error != 0)
	{
		errno = error;
		ereport(LOG, "registering %llu kB with io_uring for the %s was refused (%m): it goes on unregistered",
				(unsigned long long) (len / KIB), q->purpose);
		return false;
	}
	q->registered = true;
	return true;
}

bool
file_queue_register_file(FileQueue *q, File *file)
{
	Verify(q->magic == QUEUE_MAGIC && file->magic == FILE_MAGIC);
	return aio_is_uring(q->ring) && aio_register_file(q->ring, file->fd) == 0;
}

const char *
file_queue_method(const FileQueue *q)
{
	if (!aio_is_uring(q->ring))
		return "sync";
	return q->registered ? "io_uring, registered" : "io_uring";
}

static FileCall
call_of(FileOp op)
{
	switch (op)
	{
		case FILE_OP_READ:
			return FILE_CALL_READ;
		case FILE_OP_WRITE:
			return FILE_CALL_WRITE;
		default:
			return FILE_CALL_DATASYNC;
	}
}

static void
seat_finish(FileQueue *q, FileSeat *seat)
{
	FileIo	   *io = seat->io;

	io->done_len = (uint32) seat->progress.done;
	io->error = seat->progress.error;
	io->internal = NULL;
	io->done = true;
	if (q->collects)
	{
		io->next_done = NULL;
		*q->done_last = io;
		q->done_last = &io->next_done;
	}
	seat->io = NULL;
	seat->next_free = q->free_seat;
	q->free_seat = seat;
	q->free_seats++;
}

/* seat_take_result -- bytes or -errno into the progress of this seat. */
static void
seat_take_result(FileSeat *seat, int64 result)
{
	FileIo	   *io = seat->io;

	if (io->op != FILE_OP_DATASYNC)
		file__progress(&seat->progress, io->file, io->op == FILE_OP_WRITE, result);
	else if (result != -EINTR && result != -EAGAIN)
	{
		seat->progress.ended = true;
		seat->progress.error = result < 0 ? (int) -result : 0;
	}
}

/* seat_start -- the next piece on its way, or the end if the hook or the length says so. */
static void
seat_start(FileQueue *q, FileSeat *seat)
{
	FileIo	   *io = seat->io;
	AioRequest *r = &seat->request;
	FileCall	call = call_of(io->op);

	while (!seat->progress.ended)
	{
		int			error;

		r->op = io->op == FILE_OP_READ ? AIO_READ : io->op == FILE_OP_WRITE ? AIO_WRITE : AIO_DATASYNC;
		r->fd = io->file->fd;
		r->buf = (char *) io->buf + seat->progress.done;
		r->len = (uint32) Min(seat->progress.len - seat->progress.done, file__request_max);
		r->offset = io->offset + seat->progress.done;
		error = file__hook_begin(call, io->file->path, call == FILE_CALL_WRITE ? r->buf : NULL, r->len, r->offset);
		if (error != 0)
			seat_take_result(seat, -error);
		else if (io->op == FILE_OP_DATASYNC && !aio_is_uring(q->ring))
			seat_take_result(seat, file__hook_end(call, io->file->path, NULL, 0, fdatasync(r->fd) == 0 ? 0 : -errno,
												  io->file->direct));
		else
		{
			aio_start(q->ring, r);
			return;
		}
	}
	seat_finish(q, seat);
}

/* absorb -- one answer of the kernel. */
static void
absorb(FileQueue *q, AioRequest *r)
{
	FileSeat   *seat = (FileSeat *) r;
	FileIo	   *io = seat->io;
	int64		result;

	Verify(io != NULL && io->internal == seat && !io->done);
	result = file__hook_end(call_of(io->op), io->file->path, r->buf, r->offset, r->result, io->file->direct);
	seat_take_result(seat, result);
	if (seat->progress.ended)
		seat_finish(q, seat);
	else
		seat_start(q, seat);
}

static void
start(FileQueue *q, FileIo *io)
{
	FileSeat   *seat;

	Verify(q->magic == QUEUE_MAGIC && io->file->magic == FILE_MAGIC);
	while (q->free_seat == NULL)
		absorb(q, aio_next(q->ring, true));
	seat = q->free_seat;
	q->free_seat = seat->next_free;
	q->free_seats--;
	seat->io = io;
	memset(&seat->progress, 0, sizeof(seat->progress));
	seat->progress.len = io->op == FILE_OP_DATASYNC ? 0 : io->len;
	seat->progress.ended = io->op != FILE_OP_DATASYNC && io->len == 0;
	io->done_len = 0;
	io->error = 0;
	io->done = false;
	io->internal = seat;
	seat_start(q, seat);
}

/* file_queue_submit -- 0; failures are told by each FileIo. */
int
file_queue_submit(FileQueue *q, FileIo *const *ios, int count)
{
	for (int i = 0; i < count; i++)
		start(q, ios[i]);
	aio_flush(q->ring);
	return 0;
}

int
file_queue_run(FileQueue *q, FileIo *const *ios, int count)
{
	int			error = 0;

	for (int i = 0; i < count; i++)
		start(q, ios[i]);
	for (int i = 0; i < count; i++)
	{
		file_queue_wait(q, ios[i]);
		if (error == 0)
			error = ios[i]->error;
	}
	return error;
}

void
file_queue_wait(FileQueue *q, FileIo *io)
{
	while (!io->done)
	{
		if (io->internal == NULL)
			ereport(PANIC, "a wait for file I/O that was not started");
		absorb(q, aio_next(q->ring, true));
	}
}

void
file_queue_poll(FileQueue *q)
{
	AioRequest *r;

	while ((r = aio_next(q->ring, false)) != NULL)
		absorb(q, r);
	aio_flush(q->ring);
}

int
file_queue_fd(const FileQueue *q)
{
	return aio_fd(q->ring);
}

uint32
file_queue_room(const FileQueue *q)
{
	return q->free_seats;
}

void
file_queue_collect(FileQueue *q)
{
	q->collects = true;
}

FileIo *
file_queue_next_done(FileQueue *q)
{
	FileIo	   *io = q->done_first;

	if (io != NULL)
	{
		q->done_first = io->next_done;
		if (q->done_first == NULL)
			q->done_last = &q->done_first;
	}
	return io;
}

void
file_queue_destroy(FileQueue *q)
{
	if (q == NULL)
		return;
	Verify(q->magic == QUEUE_MAGIC);
	while (aio_in_flight(q->ring) > 0)
		absorb(q, aio_next(q->ring, true));
	aio_destroy(q->ring);
	q->magic = 0;
	free(q->seat);
	free(q->purpose);
	free(q);
}
