/*
 * aio.c -- transfers in flight: io_uring and its plain twin.
 *
 * The only place beside net's event loop that knows liburing.  user_data of an
 * entry is the address of its request, whose state says whether an answer is due:
 * an answer to a request that is not in flight, or a wait while nothing is in
 * flight, cannot be explained and is PANIC (a lost completion would mean a log
 * write counted as done that is not, or a wait without end).
 *
 * At most 'depth' requests are in flight, and the completion queue is twice as
 * long, so it cannot overflow.  A full submission queue is submitted, then the
 * entry is asked for again.
 *
 * The ring is not inherited: it is marked so that a fork (there is none in the
 * processes that make rings) leaves the child without it.  If the process dies,
 * the kernel finishes or cancels what is in flight; until then the open file
 * descriptions of those requests, and the locks on them, stay.
 */
#include "storage/aio/aio.h"

#include "utils/elog.h"

#include <errno.h>
#include <liburing.h>
#include <unistd.h>

#define AIO_MAGIC 0x52494f41

struct AioRing
{
	uint32		magic;
	bool		uring;
	uint32		depth;
	uint32		in_flight;		/* started and not given back */
	uint32		unsubmitted;	/* of these: not yet handed to the kernel */
	char	   *fixed;			/* registered buffer, or NULL */
	size_t		fixed_len;
	int			fixed_fd;		/* registered file, or -1 */
	AioRequest *done_first;		/* plain calls: made, not given back */
	AioRequest **done_last;
	struct io_uring ring;
};

static AioRing *
make_ring(uint32 depth)
{
	AioRing    *ring = calloc(1, sizeof(*ring));

	Verify(ring != NULL && depth > 0);
	ring->magic = AIO_MAGIC;
	ring->fixed_fd = -1;
	ring->depth = depth;
	ring->done_last = &ring->done_first;
	return ring;
}

/* ops_supported -- kernels that have rings but not the plain read and write operations are as good as without. */
static bool
ops_supported(struct io_uring *ring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool		all = probe != NULL && io_uring_opcode_supported(probe, IORING_OP_READ)
		&& io_uring_opcode_supported(probe, IORING_OP_WRITE) && io_uring_opcode_supported(probe, IORING_OP_FSYNC)
		&& io_uring_opcode_supported(probe, IORING_OP_READ_FIXED)
		&& io_uring_opcode_supported(probe, IORING_OP_WRITE_FIXED);

	if (probe != NULL)
		io_uring_free_probe(probe);
	return all;
}

int
aio_create_uring(uint32 depth, AioRing **out)
{
	AioRing    *ring = make_ring(depth);
	struct io_uring_params params;
	int			error;

	memset(&params, 0, sizeof(params));
	params.flags = IORING_SETUP_CLAMP;
	error = io_uring_queue_init_params(depth, &ring->ring, &params);
	if (error == 0 && !ops_supported(&ring->ring))
	{
		io_uring_queue_exit(&ring->ring);
		error = -ENOSYS;
	}
	if (error != 0)
	{
		free(ring);
		*out = NULL;
		return -error;
	}
	(void) io_uring_ring_dontfork(&ring->ring);	/* refused: no harm, these processes do not fork */
	ring->uring = true;
	ring->depth = Min(depth, params.sq_entries);
	*out = ring;
	return 0;
}

AioRing *
aio_create_sync(uint32 depth)
{
	return make_ring(depth);
}

void
aio_destroy(AioRing *ring)
{
	Verify(ring->magic == AIO_MAGIC && ring->in_flight == 0);
	if (ring->uring)
		io_uring_queue_exit(&ring->ring);
	ring->magic = 0;
	free(ring);
}

bool
aio_is_uring(const AioRing *ring)
{
	return ring->uring;
}

uint32
aio_depth(const AioRing *ring)
{
	return ring->depth;
}

uint32
aio_in_flight(const AioRing *ring)
{
	return ring->in_flight;
}

int
aio_fd(const AioRing *ring)
{
	return ring->uring ? ring->ring.ring_fd : -1;
}

int
aio_register_file(AioRing *ring, int fd)
{
	int			error;

	Verify(ring->magic == AIO_MAGIC && ring->fixed_fd < 0);
	if (!ring->uring)
		return EOPNOTSUPP;
	error = io_uring_register_files(&ring->ring, &fd, 1);
	if (error != 0)
		return -error;
	ring->fixed_fd = fd;
	return 0;
}

int
aio_register(AioRing *ring, void *base, size_t len)
{
	struct iovec iov = {.iov_base = base, .iov_len = len};
	int			error;

	Verify(ring->magic == AIO_MAGIC && ring->fixed == NULL);
	if (!ring->uring)
		return EOPNOTSUPP;
	error = io_uring_register_buffers(&ring->ring, &iov, 1);
	if (error != 0)
		return -error;
	ring->fixed = base;
	ring->fixed_len = len;
	return 0;
}

static void
prepare(AioRing *ring, struct io_uring_sqe *sqe, AioRequest *r)
{
	char	   *buf = r->buf;
	bool		fixed = ring->fixed != NULL && buf >= ring->fixed && buf + r->len <= ring->fixed + ring->fixed_len;

	switch (r->op)
	{
		case AIO_READ:
			if (fixed)
				io_uring_prep_read_fixed(sqe, r->fd, buf, r->len, r->offset, 0);
			else
				io_uring_prep_read(sqe, r->fd, buf, r->len, r->offset);
			break;
		case AIO_WRITE:
			if (fixed)
				io_uring_prep_write_fixed(sqe, r->fd, buf, r->len, r->offset, 0);
			else
				io_uring_prep_write(sqe, r->fd, buf, r->len, r->offset);
			break;
		case AIO_DATASYNC:
			io_uring_prep_fsync(sqe, r->fd, IORING_FSYNC_DATASYNC);
			break;
	}
	if (r->fd == ring->fixed_fd)
	{
		sqe->fd = 0;			/* its place among the registered files */
		sqe->flags |= IOSQE_FIXED_FILE;
	}
	io_uring_sqe_set_data(sqe, r);
}

/* enter -- hand over what is queued, wait for 'wanted' answers; what only means "again" is no error. */
static void
enter(AioRing *ring, unsigned wanted)
{
	int			n = io_uring_submit_and_wait(&ring->ring, wanted);

	if (n >= 0)
	{
		Verify((uint32) n <= ring->unsubmitted);
		ring->unsubmitted -= (uint32) n;
		return;
	}
	if (n == -EINTR)
		return;
	if (n == -EAGAIN || n == -EBUSY)
	{
		(void) usleep(100);		/* the kernel is short of memory, or wants answers to be taken first */
		return;
	}
	errno = -n;
	ereport(PANIC, "io_uring did not take requests: %m");
}

static void
start_plain(AioRing *ring, AioRequest *r)
{
	ssize_t		n;

	switch (r->op)
	{
		case AIO_READ:
			n = pread(r->fd, r->buf, r->len, (off_t) r->offset);
			break;
		case AIO_WRITE:
			n = pwrite(r->fd, r->buf, r->len, (off_t) r->offset);
			break;
		case AIO_DATASYNC:
		default:
			NotReached();
	}
	r->result = n < 0 ? -errno : n;
	r->state = AIO_DONE;
	r->next = NULL;
	*ring->done_last = r;
	ring->done_last = &r->next;
}

void
aio_start(AioRing *ring, AioRequest *r)
{
	struct io_uring_sqe *sqe;

	Verify(ring->magic == AIO_MAGIC && ring->in_flight < ring->depth && r->state != AIO_FLIGHT);
	ring->in_flight++;
	r->state = AIO_FLIGHT;
	if (!ring->uring)
	{
		start_plain(ring, r);
		return;
	}
	while ((sqe = io_uring_get_sqe(&ring->ring)) == NULL)
		enter(ring, 0);
	prepare(ring, sqe, r);
	ring->unsubmitted++;
}

void
aio_flush(AioRing *ring)
{
	while (ring->uring && ring->unsubmitted > 0)
		enter(ring, 0);
}

static AioRequest *
next_plain(AioRing *ring, bool wait)
{
	AioRequest *r = ring->done_first;

	if (r == NULL)
	{
		if (wait)
			ereport(PANIC, "a wait for file I/O while none is in flight");
		return NULL;
	}
	ring->done_first = r->next;
	if (ring->done_first == NULL)
		ring->done_last = &ring->done_first;
	ring->in_flight--;
	return r;
}

AioRequest *
aio_next(AioRing *ring, bool wait)
{
	struct io_uring_cqe *cqe = NULL;
	AioRequest *r;

	Verify(ring->magic == AIO_MAGIC);
	if (!ring->uring)
		return next_plain(ring, wait);
	while (io_uring_peek_cqe(&ring->ring, &cqe) != 0 || cqe == NULL)
	{
		if (!wait)
			return NULL;
		if (ring->in_flight == 0)
			ereport(PANIC, "a wait for file I/O while none is in flight");
		enter(ring, 1);
	}
	r = io_uring_cqe_get_data(cqe);
	if (r == NULL || r->state != AIO_FLIGHT || ring->in_flight == 0)
		ereport(PANIC, "io_uring answered a request that is not in flight");
	r->result = cqe->res;
	r->state = AIO_DONE;
	ring->in_flight--;
	io_uring_cqe_seen(&ring->ring, cqe);
	return r;
}
