/*
 * conn.c -- the life of a connection: taken, served, closed.
 *
 * A connection belongs to the worker that took it over until it is gone.  Closing
 * has two steps: net__conn_close takes it out of every queue and tells the back
 * end, which says net__on_gone when no request to the kernel names its memory any
 * more; the memory itself goes at the end of the turn, so that an upcall may close
 * the very connection it is about.
 *
 * If the worker dies its connections die with it; their places in the client
 * table are given back by who tidies, or go with the segment.
 */
#include "common/c.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net_internal.h"
#include "tcop/stats.h"
#include "utils/elog.h"
#include "utils/settings.h"

#define ACCEPT_RETRY_US 100000		/* after the system had no descriptor for a connection */
#define ACCEPT_WARNING_US 10000000	/* and how often that is logged */

/* ---- opening ---- */
static void
address_text(const struct sockaddr_storage *address, char *to, size_t size)
{
	char		host[INET6_ADDRSTRLEN] = "";

	if (address->ss_family == AF_INET)
	{
		const struct sockaddr_in *in = (const struct sockaddr_in *) address;

		(void) inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(to, size, "%s:%u", host, ntohs(in->sin_port));
	}
	else if (address->ss_family == AF_INET6)
	{
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) address;

		(void) inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(to, size, "[%s]:%u", host, ntohs(in6->sin6_port));
	}
}

static void
tcp_set_up(int fd, ClientText *text)
{
	struct sockaddr_storage address;
	socklen_t	len = sizeof(address);
	int			one = 1;

	(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (getpeername(fd, (struct sockaddr *) &address, &len) == 0)
		address_text(&address, text->address, sizeof(text->address));
	len = sizeof(address);
	if (getsockname(fd, (struct sockaddr *) &address, &len) == 0)
		address_text(&address, text->local_address, sizeof(text->local_address));
}

static void
log_peer(const Session *s, int fd, const ClientText *text)
{
	struct ucred peer;
	socklen_t	len = sizeof(peer);

	if (!s->is_unix)
		ereport(LOG, "connection received: client %llu from %s", (unsigned long long) s->id, text->address);
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		ereport(LOG, "connection received: client %llu on the UNIX socket, uid %u, gid %u, pid %d",
				(unsigned long long) s->id, (unsigned) peer.uid, (unsigned) peer.gid, (int) peer.pid);
	else
		ereport(LOG, "connection received: client %llu on the UNIX socket, peer unknown: %m", (unsigned long long) s->id);
}

/* refuse -- a line to a client that is not taken, if its socket has room for it. */
static void
refuse(int fd, const char *line)
{
	(void) send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

/* net__conn_open -- serve this socket; its places (total, worker) have been taken. */
void
net__conn_open(int fd, bool is_unix)
{
	ClientText	text;
	ClientEntry *entry;
	Conn	   *c;

	memset(&text, 0, sizeof(text));
	if (!is_unix)
		tcp_set_up(fd, &text);
	entry = client_entry_take(net__worker.index, fd, is_unix ? CLIENT_FLAG_UNIX : 0, &text);
	if (entry == NULL)
	{
		client_worker_give(net__worker.index);
		client_place_give();
		refuse(fd, "-ERR max number of clients reached\r\n");
		return;
	}
	c = calloc(1, sizeof(Conn));
	Verify(c != NULL);
	session_init(&c->session, entry, is_unix);
	tcop_opened(&c->session);
	c->fd = fd;
	c->active_us = net__worker.now_us;
	c->receive_wanted = true;
	TAILQ_INSERT_TAIL(&net__worker.all, c, all_link);
	net__worker.connections++;
	stats_add(STAT_CONNECTIONS, 1);
	if (set_log_connections)
		log_peer(&c->session, fd, &text);
	net__event->conn_start(c);
}

/* net__on_accept -- a new connection, or why there is none. */
void
net__on_accept(Listener *l, int fd)
{
	uint32		worker;

	if (fd < 0)
	{
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM)
		{
			static uint64 said_us;

			errno = -fd;
			if (said_us == 0 || net__worker.now_us - said_us > ACCEPT_WARNING_US)
			{
				ereport_hint(WARNING, "Raise the limit on open files (ulimit -n) or lower max_clients.",
							 "could not accept a connection, trying again: %m");
				said_us = net__worker.now_us;
			}
			net__event->listen_stop(l);
			l->retry_us = net__worker.now_us + ACCEPT_RETRY_US;
		}
		return;
	}
	if (!client_place_take((uint32) set_max_clients))
	{
		stats_add(STAT_REJECTED, 1);
		refuse(fd, "-ERR max number of clients reached\r\n");
		return;
	}
	worker = client_worker_choose(net__worker.index);
	if (worker != net__worker.index)
	{
		/*
		 * seq_cst [net-stop] with may_end: a worker that has ended has seen the
		 * stop order and then no connection counted to it; so whoever counts one
		 * later sees the order and keeps the connection.
		 */
		atomic_thread_fence(memory_order_seq_cst);
		if (atomic_load_explicit(&seg_control->server_state, memory_order_acquire) < SERVER_STOPPING_SMART &&	/* acquire [server-state] */
			net__handover_send(worker, fd, l->is_unix))
		{
			close(fd);
			return;
		}
		client_worker_take(net__worker.index);
		client_worker_give(worker);
	}
	net__conn_open(fd, l->is_unix);
}

/* ---- queues ---- */
void
net__conn_queue(Conn *c, ConnQueue queue)
{
	NetWorker  *w = &net__worker;

	if (c->queue == queue)
		return;
	if (c->queue != QUEUE_NONE)
	{
		TAILQ_REMOVE(&w->queue[c->queue], c, queue_link);
		w->parked[c->queue]--;
	}
	/* relaxed: flags for people; ours to write */
	if (c->queue == QUEUE_WAIT)
		atomic_fetch_and_explicit(&c->session.entry->flags, ~(uint32) CLIENT_FLAG_BLOCKED, memory_order_relaxed);
	c->queue = queue;
	if (queue == QUEUE_WAIT && c->session.wait_lsn < LSN_WAKE)
		TAILQ_INSERT_HEAD(&w->queue[queue], c, queue_link);
	else if (queue != QUEUE_NONE)
		TAILQ_INSERT_TAIL(&w->queue[queue], c, queue_link);
	if (queue != QUEUE_NONE)
		w->parked[queue]++;
	if (queue == QUEUE_WAIT && c->session.wait_lsn >= LSN_WAKE && c->session.deadline_us != 0 &&
		(w->wake_deadline_us == 0 || c->session.deadline_us < w->wake_deadline_us))
		w->wake_deadline_us = c->session.deadline_us;
	if (queue == QUEUE_WAIT)
		atomic_fetch_or_explicit(&c->session.entry->flags, CLIENT_FLAG_BLOCKED, memory_order_relaxed);
}

void
net__conn_dirty(Conn *c)
{
	if (c->in_dirty || c->in_pushed || c->stopping)
		return;
	c->in_dirty = true;
	TAILQ_INSERT_TAIL(&net__worker.dirty, c, dirty_link);
}

/* dirty_pushed -- as net__conn_dirty, behind all replies: who has published asks for more while his message goes to many. */
static void
dirty_pushed(Conn *c)
{
	if (c->in_dirty || c->in_pushed || c->stopping)
		return;
	c->in_pushed = true;
	TAILQ_INSERT_TAIL(&net__worker.dirty_pushed, c, dirty_link);
}

/* ---- receiving and sending ---- */

/*
 * net__conn_deserted -- it waits, maybe for ever, and nobody is left who could be answered?
 *
 * An end of what is received may be the end of that direction alone.  On a UNIX socket
 * the kernel tells the difference; of TCP only what is sent finds out.
 */
bool
net__conn_deserted(const Conn *c)
{
	struct pollfd p = {.fd = c->fd};

	if (c->queue != QUEUE_WAIT && c->queue != QUEUE_PAUSE)
		return false;
	if (c->queue == QUEUE_WAIT && c->session.wait_lsn == LSN_MAX)
		return true;			/* a wait that nothing ends */
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

void
net__on_receive(Conn *c, const uint8 *data, ssize_t len)
{
	if (len > 0)
	{
		if (net__worker.phase != STOPPING_FAST)
			net__request_received(c, data, (size_t) len);
		return;
	}
	if (len < 0 || net__conn_deserted(c))
	{
		net__conn_close(c);
		return;
	}
	/* what it has asked for is still answered: it may have closed its sending side only */
	c->eof = true;
	c->receive_wanted = false;
	net__event->conn_receive(c);
	net__conn_dirty(c);
}

void
net__on_sent(Conn *c, ssize_t len)
{
	if (len < 0)
	{
		net__conn_close(c);
		return;
	}
	output_consume(&c->session.out, (uint64) len);
	stats_add(STAT_NET_OUTPUT, (uint64) len);
	stats_add(STAT_WRITES, len > 0);
	net__conn_dirty(c);
}

void
net__on_sendable(Conn *c)
{
	net__conn_dirty(c);
}

/* net__conn_pushed -- tcop's upcall: something was appended that the client has not asked for. */
void
net__conn_pushed(Session *s, Lsn gate)
{
	Conn	   *c = (Conn *) ((char *) s - offsetof(Conn, session));

	if (c->stopping)
		return;
	net__conn_check_output(c);
	if (!s->close_now)
		net__gate_push(c, gate);
	dirty_pushed(c);
}

/* net__conn_check_output -- a client whose output has met its limit is closed. */
void
net__conn_check_output(Conn *c)
{
	Session    *s = &c->session;

	if (likely(!s->out.overflow) || s->close_now)
		return;
	ereport(LOG, "client %llu closed: client_output_buffer_limit of %lld bytes reached", (unsigned long long) s->id,
			(long long) set_client_output_buffer_limit);
	stats_add(STAT_OUTPUT_LIMIT, 1);
	s->close_now = true;
}

/* publish_buffers -- for CLIENT LIST: relaxed, ours to write. */
static void
publish_buffers(Conn *c)
{
	ClientEntry *e = c->session.entry;
	uint32		gated = 0;

	for (uint32 i = 0; i < c->gate_count; i++)
		gated += c->gate[(c->gate_first + i) % GATE_ENTRIES].replies;
	atomic_store_explicit(&e->output_bytes, output_pending(&c->session.out), memory_order_relaxed);
	atomic_store_explicit(&e->output_chunks, c->session.out.chunks, memory_order_relaxed);
	atomic_store_explicit(&e->query_bytes, c->in_end - c->in_start, memory_order_relaxed);
	atomic_store_explicit(&e->gated, gated, memory_order_relaxed);
}

void
net__conn_output(Conn *c)
{
	Session    *s = &c->session;

	if (c->stopping)
		return;
	if (s->close_now)
	{
		net__conn_close(c);
		return;
	}
	while (!c->sending && !c->stopping && c->released > s->out.consumed)
		net__event->conn_send(c, c->released - s->out.consumed);
	if (c->stopping)
		return;
	publish_buffers(c);
	if (output_pending(&s->out) == 0 && !c->sending)
	{
		if (s->close_after_reply || (c->eof && c->queue == QUEUE_NONE) ||
			(net__worker.phase == STOPPING_FAST && c->gate_count == 0))
			net__conn_close(c);
	}
}

/* ---- closing ---- */
void
net__conn_close(Conn *c)
{
	if (c->stopping)
		return;
	c->stopping = true;
	net__conn_queue(c, QUEUE_NONE);
	net__gate_forget(c);
	if (c->in_dirty)
	{
		TAILQ_REMOVE(&net__worker.dirty, c, dirty_link);
		c->in_dirty = false;
	}
	if (c->in_pushed)
	{
		TAILQ_REMOVE(&net__worker.dirty_pushed, c, dirty_link);
		c->in_pushed = false;
	}
	tcop_cancel(&c->session);
	tcop_closing(&c->session);
	c->receive_wanted = false;
	net__event->conn_stop(c);
}

void
net__on_gone(Conn *c)
{
	Verify(!c->gone);
	c->gone = true;
	client_entry_give(c->session.entry);
	client_worker_give(net__worker.index);
	client_place_give();
	net__request_free(c);
	resp_free(&c->parser);
	session_destroy(&c->session);
	TAILQ_REMOVE(&net__worker.all, c, all_link);
	TAILQ_INSERT_TAIL(&net__worker.gone, c, all_link);
	net__worker.connections--;
}

void
net__conn_free_gone(void)
{
	Conn	   *c;

	while ((c = TAILQ_FIRST(&net__worker.gone)) != NULL)
	{
		TAILQ_REMOVE(&net__worker.gone, c, all_link);
		free(c);
	}
}
