/*
 * handover.c -- giving an accepted connection to the worker that has the fewest.
 *
 * One pair of sequenced-packet sockets per worker, made by the postmaster: every
 * worker can write to every pair and reads its own.  A packet is one byte (kind
 * of socket) and the descriptor.  The connection is counted to its future worker
 * before it is sent, so that two acceptors do not both think the same worker idle,
 * and so that a worker that is about to end knows that something is on the way.
 *
 * A packet that cannot be sent (queue full, too many descriptors in flight) is no
 * error: whoever accepted keeps the connection.  What lies in the pair of a worker
 * that died is taken by its successor; a crash restart makes new pairs.
 */
#include "common/c.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net.h"
#include "net/net_internal.h"
#include "utils/elog.h"

static int	pair[CLIENT_WORKERS_MAX][2];	/* [0] the worker reads, [1] all write */
static uint32 pair_count;

void
net__handover_close(void)
{
	for (uint32 i = 0; i < pair_count; i++)
	{
		close(pair[i][0]);
		close(pair[i][1]);
	}
	pair_count = 0;
}

void
net_handover_create(uint32 workers)
{
	Verify(workers <= CLIENT_WORKERS_MAX);
	net__handover_close();
	for (uint32 i = 0; i < workers; i++)
	{
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair[i]) != 0)
			ereport_hint(FATAL, "Raise the limit on open files (ulimit -n) or lower workers.",
						 "could not create a pair of sockets: %m");
		pair_count = i + 1;
	}
}

int
net__handover_fd(uint32 worker)
{
	Verify(worker < pair_count);
	return pair[worker][0];
}

bool
net__handover_send(uint32 worker, int fd, bool is_unix)
{
	char		kind = is_unix ? 'u' : 't';
	struct iovec part = {&kind, 1};
	union
	{
		char		space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	}			control;
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space,
	.msg_controllen = sizeof(control.space)};
	struct cmsghdr *header;

	memset(&control, 0, sizeof(control));
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	return sendmsg(pair[worker][1], &message, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

bool
net__handover_receive(int *fd, bool *is_unix)
{
	char		kind;
	struct iovec part = {&kind, 1};
	union
	{
		char		space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	}			control;

	for (;;)
	{
		struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space,
		.msg_controllen = sizeof(control.space)};
		struct cmsghdr *header;
		ssize_t		n = recvmsg(net__handover_fd(net__worker.index), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		header = CMSG_FIRSTHDR(&message);
		if (header == NULL || header->cmsg_type != SCM_RIGHTS)
		{
			/* the descriptor did not fit into our table: the client sees its connection closed */
			ereport(WARNING, "a connection that was handed over got lost: out of file descriptors");
			client_worker_give(net__worker.index);
			client_place_give();
			continue;
		}
		memcpy(fd, CMSG_DATA(header), sizeof(int));
		*is_unix = kind == 'u';
		return true;
	}
}
