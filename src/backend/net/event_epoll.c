/*
 * event_epoll.c -- the event loop's back end on epoll: the twin for systems that
 * refuse io_uring, always compiled and tested.
 *
 * Readiness is turned into the completions that the rest of the room knows: a
 * readable connection is read once per turn into one buffer of the process, a
 * send is tried at once and the rest waits until the socket has room.
 */
#include "common/c.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/net_internal.h"
#include "utils/elog.h"

#define EVENTS_PER_TURN 256
#define RECEIVE_BYTES (64 * KIB)
#define SEND_PARTS 64
#define ACCEPTS_PER_TURN 64

/* what an event belongs to: the low bits of its pointer, all structs are aligned to 8 */
enum { KIND_CONN = 0, KIND_LISTENER = 1, KIND_WATCH = 2, KIND_MASK = 7 };

static int	epoll_fd = -1;
static uint64 watch_fd[WATCH_COUNT];	/* as wide as the tag of a pointer needs */
static uint8 *receive_buffer;
static bool has_pwait2 = true;

static bool
epoll_open(char *why, size_t why_size)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
	{
		snprintf(why, why_size, "%s", strerror(errno));
		return false;
	}
	receive_buffer = malloc(RECEIVE_BYTES);
	Verify(receive_buffer != NULL);
	return true;
}

static void
epoll_close(void)
{
	close(epoll_fd);
	epoll_fd = -1;
	free(receive_buffer);
	receive_buffer = NULL;
}

static void
control(int op, int fd, uint32 events, void *what, int kind)
{
	struct epoll_event event = {.events = events, .data.u64 = (uint64) (uintptr_t) what | (uint64) kind};

	if (epoll_ctl(epoll_fd, op, fd, &event) != 0)
		ereport(PANIC, "epoll_ctl failed: %m");
}

static void
epoll_watch(int which, int fd)
{
	watch_fd[which] = (uint64) fd;
	control(EPOLL_CTL_ADD, fd, EPOLLIN, &watch_fd[which], KIND_WATCH);
}

static void
epoll_listen_start(Listener *l)
{
	l->accepting = true;
	control(EPOLL_CTL_ADD, l->fd, EPOLLIN | EPOLLEXCLUSIVE, l, KIND_LISTENER);
}

static void
epoll_listen_stop(Listener *l)
{
	l->accepting = false;
	control(EPOLL_CTL_DEL, l->fd, 0, l, KIND_LISTENER);
}

/* conn_events -- ask for what is wanted now. */
static void
conn_events(Conn *c)
{
	uint32		events = (c->receive_wanted ? EPOLLIN | EPOLLRDHUP : 0) | (c->sending ? EPOLLOUT : 0);

	if (events == c->epoll_events)
		return;
	c->epoll_events = events;
	control(EPOLL_CTL_MOD, c->fd, events, c, KIND_CONN);
}

static void
epoll_conn_start(Conn *c)
{
	int			flags = fcntl(c->fd, F_GETFL);

	if ((flags & O_NONBLOCK) == 0)
		(void) fcntl(c->fd, F_SETFL, flags | O_NONBLOCK);
	c->receiving = true;
	c->epoll_events = EPOLLIN | EPOLLRDHUP;
	control(EPOLL_CTL_ADD, c->fd, c->epoll_events, c, KIND_CONN);
}

static void
epoll_conn_receive(Conn *c)
{
	conn_events(c);
}

static void
epoll_conn_send(Conn *c, uint64 len)
{
	struct iovec part[SEND_PARTS];
	void	   *base[SEND_PARTS];
	size_t		lens[SEND_PARTS];
	struct msghdr message = {.msg_iov = part};
	int			count = output_gather(&c->session.out, len, base, lens, SEND_PARTS);
	ssize_t		n;

	for (int i = 0; i < count; i++)
		part[i] = (struct iovec) {base[i], lens[i]};
	message.msg_iovlen = (size_t) count;
	do
		n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
	{
		c->sending = true;
		conn_events(c);
		return;
	}
	net__on_sent(c, n < 0 ? -errno : n);
}

static void
epoll_conn_stop(Conn *c)
{
	/* not by close alone: whoever handed the connection over may hold its descriptor a moment longer */
	control(EPOLL_CTL_DEL, c->fd, 0, c, KIND_CONN);
	close(c->fd);
	net__on_gone(c);
}

static void
accept_some(Listener *l)
{
	for (int i = 0; i < ACCEPTS_PER_TURN && l->accepting; i++)
	{
		int			fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		net__on_accept(l, fd < 0 ? -errno : fd);
	}
}

static void
receive_once(Conn *c)
{
	ssize_t		n = recv(c->fd, receive_buffer, RECEIVE_BYTES, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	net__on_receive(c, receive_buffer, n < 0 ? -errno : n);
}

static void
conn_ready(Conn *c, uint32 events)
{
	if (c->stopping)
		return;
	if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0 && c->sending)
	{
		c->sending = false;
		conn_events(c);
		net__on_sendable(c);
	}
	if (c->stopping)
		return;
	if ((events & (EPOLLIN | EPOLLRDHUP)) != 0 && c->receive_wanted)
		receive_once(c);
	else if ((events & (EPOLLERR | EPOLLHUP)) != 0)
		net__on_receive(c, NULL, -ECONNRESET);	/* also while nothing is received: the peer is gone */
}

/* wait -- epoll_pwait2 where there is one: a time in microseconds. */
static int
wait_events(struct epoll_event *events, uint64 timeout_us)
{
	if (has_pwait2)
	{
		struct timespec ts = {(time_t) (timeout_us / 1000000), (long) (timeout_us % 1000000) * 1000};
		int			n = (int) syscall(SYS_epoll_pwait2, epoll_fd, events, EVENTS_PER_TURN, &ts, NULL, 0);

		if (n >= 0 || errno != ENOSYS)
			return n;
		has_pwait2 = false;
	}
	return epoll_wait(epoll_fd, events, EVENTS_PER_TURN, (int) ((timeout_us + 999) / 1000));
}

static void
epoll_turn(uint64 timeout_us)
{
	struct epoll_event events[EVENTS_PER_TURN];
	int			n = wait_events(events, timeout_us);

	if (n < 0 && errno != EINTR)
		ereport(PANIC, "epoll_wait failed: %m");
	if (timeout_us > 0)
		net__on_awake();
	for (int i = 0; i < n; i++)
	{
		uint64		data = events[i].data.u64;
		void	   *what = (void *) (uintptr_t) (data & ~(uint64) KIND_MASK);

		switch (data & KIND_MASK)
		{
			case KIND_CONN:
				conn_ready(what, events[i].events);
				break;
			case KIND_LISTENER:
				accept_some(what);
				break;
			case KIND_WATCH:
				net__on_watch((int) ((uint64 *) what - watch_fd));
				break;
			default:
				NotReached();
		}
	}
}

const EventOps net__event_epoll = {
	.name = "epoll",
	.method = 1,
	.open = epoll_open,
	.close = epoll_close,
	.watch = epoll_watch,
	.listen_start = epoll_listen_start,
	.listen_stop = epoll_listen_stop,
	.conn_start = epoll_conn_start,
	.conn_receive = epoll_conn_receive,
	.conn_send = epoll_conn_send,
	.conn_stop = epoll_conn_stop,
	.turn = epoll_turn,
};
