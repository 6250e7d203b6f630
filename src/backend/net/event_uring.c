/*
 * event_uring.c -- the event loop's back end on io_uring.
 *
 * One ring per worker, made after the fork, used by this process alone.  One
 * multishot accept per listener and one multishot receive per connection stay
 * armed; received bytes lie in buffers that the kernel picks from a ring of
 * buffers and that go back as soon as their bytes have been parsed.  All sends of
 * a turn are submitted by the one system call that also waits.
 *
 * How many completions to wait for: a send to a socket with room completes within
 * the submission, and waking for that alone would be a turn for nothing.  So the
 * loop waits for one completion more than it submitted sends.  Should a socket be
 * full, its send is still open and the count comes late: STUCK_SEND_US bounds that
 * turn; in the next one the open send is no longer counted.
 *
 * Older kernels: without SINGLE_ISSUER and DEFER_TASKRUN (before 6.1) the ring is
 * made with fewer flags; without multishot receive (before 6.0) each receive is
 * armed anew; without buffer rings (before 5.19) open() refuses and epoll serves.
 *
 * Closing: shutdown(2) ends receive and send; when both have completed the socket
 * is closed, and only then is the connection's memory free to go.
 */
#include "common/c.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net_internal.h"
#include "utils/elog.h"

#define RING_ENTRIES 1024
#define RING_COMPLETIONS 8192
#define BUFFER_COUNT 256		/* power of two */
#define BUFFER_BYTES (16 * KIB)
#define BUFFER_GROUP 0
#define SEND_PARTS 16
#define MESSAGES_MAX 64			/* sendmsg headers between two submissions */
#define COMPLETIONS_BATCH 256
#define STUCK_SEND_US 1000

/* what a completion belongs to: the low bits of its pointer, all structs are aligned to 8 */
enum { KIND_RECEIVE, KIND_SEND, KIND_ACCEPT, KIND_ACCEPT_POLL, KIND_WATCH, KIND_NOTHING, KIND_MASK = 7 };

typedef struct Message
{
	struct msghdr header;
	struct iovec part[SEND_PARTS];
} Message;

static struct io_uring ring;
static struct io_uring_buf_ring *buffer_ring;
static uint8 *buffers;
static bool multishot_receive;
static uint64 watch_fd[WATCH_COUNT];	/* as wide as the tag of a pointer needs */
static Message message[MESSAGES_MAX];
static int	message_count;
static uint32 sends_submitted;		/* since the last wait, and not complete yet */

static bool
ring_setup(char *why, size_t why_size)
{
	static const unsigned flag_sets[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
		0
	};
	int			rc = -ENOSYS;

	for (size_t i = 0; i < lengthof(flag_sets); i++)
	{
		struct io_uring_params params = {.flags = flag_sets[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
		.cq_entries = RING_COMPLETIONS};

		rc = io_uring_queue_init_params(RING_ENTRIES, &ring, &params);
		if (rc == 0)
		{
			if ((params.features & IORING_FEAT_EXT_ARG) != 0 && (params.features & IORING_FEAT_NODROP) != 0)
				return true;
			io_uring_queue_exit(&ring);
			rc = -EOPNOTSUPP;
			break;
		}
		if (rc != -EINVAL)
			break;
	}
	snprintf(why, why_size, "io_uring_setup: %s", strerror(-rc));
	return false;
}

static bool
buffers_setup(char *why, size_t why_size)
{
	size_t		ring_bytes = BUFFER_COUNT * sizeof(struct io_uring_buf);
	struct io_uring_buf_reg reg = {.ring_entries = BUFFER_COUNT, .bgid = BUFFER_GROUP};
	int			rc;

	buffers = mmap(NULL, AlignUp(ring_bytes, 4096) + BUFFER_COUNT * BUFFER_BYTES, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffers == MAP_FAILED)
	{
		snprintf(why, why_size, "mmap: %s", strerror(errno));
		return false;
	}
	buffer_ring = (struct io_uring_buf_ring *) buffers;
	reg.ring_addr = (uint64) (uintptr_t) buffer_ring;
	rc = io_uring_register_buf_ring(&ring, &reg, 0);
	if (rc != 0)
	{
		snprintf(why, why_size, "registering a ring of buffers: %s", strerror(-rc));
		(void) munmap(buffers, AlignUp(ring_bytes, 4096) + BUFFER_COUNT * BUFFER_BYTES);
		return false;
	}
	buffers += AlignUp(ring_bytes, 4096);
	io_uring_buf_ring_init(buffer_ring);
	for (int i = 0; i < BUFFER_COUNT; i++)
		io_uring_buf_ring_add(buffer_ring, buffers + (size_t) i * BUFFER_BYTES, BUFFER_BYTES, (unsigned short) i,
							  io_uring_buf_ring_mask(BUFFER_COUNT), i);
	io_uring_buf_ring_advance(buffer_ring, BUFFER_COUNT);
	return true;
}

static bool
uring_open(char *why, size_t why_size)
{
	if (!ring_setup(why, why_size))
		return false;
	if (!buffers_setup(why, why_size))
	{
		io_uring_queue_exit(&ring);
		return false;
	}
	multishot_receive = true;
	message_count = 0;
	sends_submitted = 0;
	return true;
}

static void
uring_close(void)
{
	io_uring_queue_exit(&ring);
	(void) munmap(buffer_ring, AlignUp(BUFFER_COUNT * sizeof(struct io_uring_buf), 4096) + BUFFER_COUNT * BUFFER_BYTES);
}

static void
submit(void)
{
	int			rc;

	do
		rc = io_uring_submit(&ring);
	while (rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
	if (rc < 0)
	{
		errno = -rc;
		ereport(PANIC, "io_uring_submit failed: %m");
	}
	message_count = 0;			/* the kernel has copied what they say */
}

static struct io_uring_sqe *
get_sqe(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (unlikely(sqe == NULL))
	{
		submit();
		sqe = io_uring_get_sqe(&ring);
		Verify(sqe != NULL);
	}
	return sqe;
}

/* tag -- whom the completion is for; after the prep function, which in newer libraries clears it. */
static inline void
tag(struct io_uring_sqe *sqe, void *what, int kind)
{
	sqe->user_data = (uint64) (uintptr_t) what | (uint64) kind;
}

/*
 * uring_watch -- a completion comes with every wake-up of the descriptor, not as
 * long as it is readable: what is watched is read empty in the turn that follows
 * (latch_reset, handover, base_read_poll).  The kernel may end the request with any
 * completion, as it does for a descriptor that is an io_uring itself; then it is
 * made again, and begins with a look whether there is something to read.
 */
static void
uring_watch(int which, int fd)
{
	struct io_uring_sqe *sqe = get_sqe();

	watch_fd[which] = (uint64) fd;
	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	tag(sqe, &watch_fd[which], KIND_WATCH);
}

/* ---- accepting ---- */
static void
accept_arm(Listener *l)
{
	struct io_uring_sqe *sqe = get_sqe();

	io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	tag(sqe, l, KIND_ACCEPT);
}

static void
uring_listen_start(Listener *l)
{
	l->accepting = true;
	accept_arm(l);
}

static void
uring_listen_stop(Listener *l)
{
	static const int kinds[] = {KIND_ACCEPT, KIND_ACCEPT_POLL};

	l->accepting = false;
	for (size_t i = 0; i < lengthof(kinds); i++)
	{
		struct io_uring_sqe *sqe = get_sqe();

		io_uring_prep_cancel64(sqe, (uint64) (uintptr_t) l | (uint64) kinds[i], 0);
		tag(sqe, NULL, KIND_NOTHING);
	}
	submit();
}

/*
 * accept_done -- a connection, or the end of the multishot.
 *
 * Kernels that take a listener's O_NONBLOCK for a wish not to wait answer EAGAIN:
 * then readiness is polled for, and accepting done by hand.
 */
static void
accept_done(Listener *l, int res, bool more)
{
	if (!l->accepting)
	{
		if (res >= 0)
			close(res);
		return;
	}
	if (res == -EAGAIN)
	{
		struct io_uring_sqe *sqe = get_sqe();

		io_uring_prep_poll_multishot(sqe, l->fd, POLLIN);
		tag(sqe, l, KIND_ACCEPT_POLL);
		return;
	}
	net__on_accept(l, res);
	if (!more && l->accepting)
		accept_arm(l);
}

static void
accept_polled(Listener *l, bool more)
{
	while (l->accepting)
	{
		int			fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		net__on_accept(l, fd < 0 ? -errno : fd);
	}
	if (!more && l->accepting)
		accept_done(l, -EAGAIN, false);
}

/* ---- receiving ---- */
static void
receive_arm(Conn *c)
{
	struct io_uring_sqe *sqe = get_sqe();

	if (likely(multishot_receive))
		io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
	else
		io_uring_prep_recv(sqe, c->fd, NULL, 0, 0);
	tag(sqe, c, KIND_RECEIVE);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	c->receiving = true;
}

static void
uring_conn_start(Conn *c)
{
	receive_arm(c);
}

static void
uring_conn_receive(Conn *c)
{
	if (c->receive_wanted)
	{
		if (!c->receiving)
			receive_arm(c);
	}
	else if (c->receiving)
	{
		struct io_uring_sqe *sqe = get_sqe();

		io_uring_prep_cancel64(sqe, (uint64) (uintptr_t) c | KIND_RECEIVE, 0);
		tag(sqe, NULL, KIND_NOTHING);
	}
}

/* maybe_gone -- it is being closed: are all its requests back? */
static void
maybe_gone(Conn *c)
{
	if (c->receiving || c->sending || c->gone)
		return;
	close(c->fd);
	net__on_gone(c);
}

static void
receive_done(Conn *c, int res, uint32 flags)
{
	uint8	   *data = NULL;
	unsigned short id = 0;

	if ((flags & IORING_CQE_F_MORE) == 0)
		c->receiving = false;
	if (flags & IORING_CQE_F_BUFFER)
	{
		id = (unsigned short) (flags >> IORING_CQE_BUFFER_SHIFT);
		data = buffers + (size_t) id * BUFFER_BYTES;
	}
	if (!c->stopping)
	{
		if (res == -ENOBUFS || res == -ECANCELED || res == -EINTR || res == -EAGAIN)
			;					/* armed again below, if it is wanted */
		else if (res == -EINVAL && multishot_receive)
		{
			multishot_receive = false;
			ereport(LOG, "io_uring: no multishot receive here, receiving one by one");
		}
		else
			net__on_receive(c, data, res);
	}
	if (data != NULL)
	{
		io_uring_buf_ring_add(buffer_ring, data, BUFFER_BYTES, id, io_uring_buf_ring_mask(BUFFER_COUNT), 0);
		io_uring_buf_ring_advance(buffer_ring, 1);
	}
	if (c->stopping)
		maybe_gone(c);
	else if (!c->receiving && c->receive_wanted && !c->eof)
		receive_arm(c);
}

/* ---- sending ---- */
static void
uring_conn_send(Conn *c, uint64 len)
{
	struct io_uring_sqe *sqe = get_sqe();
	void	   *base[SEND_PARTS];
	size_t		lens[SEND_PARTS];
	int			count = output_gather(&c->session.out, len, base, lens, SEND_PARTS);

	if (likely(count == 1))
		io_uring_prep_send(sqe, c->fd, base[0], lens[0], MSG_NOSIGNAL);
	else
	{
		Message    *m = &message[message_count++];

		for (int i = 0; i < count; i++)
			m->part[i] = (struct iovec) {base[i], lens[i]};
		memset(&m->header, 0, sizeof(m->header));
		m->header.msg_iov = m->part;
		m->header.msg_iovlen = (size_t) count;
		io_uring_prep_sendmsg(sqe, c->fd, &m->header, MSG_NOSIGNAL);
	}
	tag(sqe, c, KIND_SEND);
	c->sending = true;
	sends_submitted++;
	if (message_count == MESSAGES_MAX)
		submit();
}

static void
send_done(Conn *c, int res)
{
	c->sending = false;
	if (sends_submitted > 0)
		sends_submitted--;		/* submitted early, for want of room */
	if (c->stopping)
		maybe_gone(c);
	else
		net__on_sent(c, res == -EINTR || res == -EAGAIN ? 0 : res);
}

static void
uring_conn_stop(Conn *c)
{
	if (c->receiving || c->sending)
		(void) shutdown(c->fd, SHUT_RDWR);
	maybe_gone(c);
}

/* ---- the turn ---- */
static void
complete(uint64 user_data, int res, uint32 flags)
{
	void	   *what = (void *) (uintptr_t) (user_data & ~(uint64) KIND_MASK);
	bool		more = (flags & IORING_CQE_F_MORE) != 0;

	switch (user_data & KIND_MASK)
	{
		case KIND_RECEIVE:
			receive_done(what, res, flags);
			break;
		case KIND_SEND:
			send_done(what, res);
			break;
		case KIND_ACCEPT:
			accept_done(what, res, more);
			break;
		case KIND_ACCEPT_POLL:
			accept_polled(what, more);
			break;
		case KIND_WATCH:
			if (res >= 0)
				net__on_watch((int) ((uint64 *) what - watch_fd));
			if (!more)
				uring_watch((int) ((uint64 *) what - watch_fd), (int) *(uint64 *) what);
			break;
		case KIND_NOTHING:
			break;
		default:
			NotReached();
	}
}

static void
submit_and_wait(uint64 timeout_us)
{
	struct io_uring_cqe *cqe;
	struct __kernel_timespec ts;
	uint32		sends = sends_submitted;
	int			rc;

	sends_submitted = 0;
	if (timeout_us == 0)
		rc = io_uring_submit_and_get_events(&ring);
	else
	{
		if (sends > 0)
			timeout_us = Min(timeout_us, (uint64) STUCK_SEND_US);
		ts.tv_sec = (int64) (timeout_us / 1000000);
		ts.tv_nsec = (int64) (timeout_us % 1000000) * 1000;
		rc = io_uring_submit_and_wait_timeout(&ring, &cqe, sends + 1, &ts, NULL);
	}
	message_count = 0;
	if (rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
	{
		errno = -rc;
		ereport(PANIC, "io_uring_enter failed: %m");
	}
}

static void
uring_turn(uint64 timeout_us)
{
	struct io_uring_cqe *cqes[COMPLETIONS_BATCH];
	uint32		n;

	submit_and_wait(timeout_us);
	if (timeout_us > 0)
		net__on_awake();
	do
	{
		n = io_uring_peek_batch_cqe(&ring, cqes, COMPLETIONS_BATCH);
		for (uint32 i = 0; i < n; i++)
			complete(cqes[i]->user_data, cqes[i]->res, cqes[i]->flags);
		io_uring_cq_advance(&ring, n);
	} while (n == COMPLETIONS_BATCH);
}

const EventOps net__event_uring = {
	.name = "io_uring",
	.method = 0,
	.open = uring_open,
	.close = uring_close,
	.watch = uring_watch,
	.listen_start = uring_listen_start,
	.listen_stop = uring_listen_stop,
	.conn_start = uring_conn_start,
	.conn_receive = uring_conn_receive,
	.conn_send = uring_conn_send,
	.conn_stop = uring_conn_stop,
	.turn = uring_turn,
};
