/*
 * bench_pubsub.c -- messages delivered per second: one publisher, so many subscribers of one channel, over a UNIX socket.
 *
 * For t/bench/pubsub.pl; artery and redis-server alike.  The publisher has 'depth' PUBLISHes on the way.  All
 * messages have the same length on the wire, so what a subscriber has got is counted by its bytes; the time
 * ends when every subscriber has got every message.  Half a second of the same goes before it.
 *
 *   bench_pubsub SOCKET SUBSCRIBERS DEPTH SIZE SECONDS
 *
 * Writes one line of JSON.  Exit code 0; 1: an answer told of another number of receivers; 2: it could not run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SUBSCRIBERS_MAX 2000
#define WARM_SECONDS 0.5
#define CHANNEL "bench:channel"

static int	subscriber[SUBSCRIBERS_MAX];
static uint64_t got[SUBSCRIBERS_MAX];	/* bytes of messages */
static uint64_t got_all;
static char buffer[1 << 20];

static void
fail(const char *what)
{
	fprintf(stderr, "bench_pubsub: %s: %s\n", what, strerror(errno));
	exit(2);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int
open_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		fail("connect");
	return fd;
}

static void
send_all(int fd, const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t		n = write(fd, data, len);

		if (n < 0)
			fail("write");
		data += n;
		len -= (size_t) n;
	}
}

/* subscribe -- and its answer read. */
static void
subscribe(int fd)
{
	static const char request[] = "*2\r\n$9\r\nSUBSCRIBE\r\n$13\r\n" CHANNEL "\r\n";
	static const char answer[] = "*3\r\n$9\r\nsubscribe\r\n$13\r\n" CHANNEL "\r\n:1\r\n";
	size_t		have = 0;

	send_all(fd, request, sizeof(request) - 1);
	while (have < sizeof(answer) - 1)
	{
		ssize_t		n = read(fd, buffer + have, sizeof(answer) - 1 - have);

		if (n <= 0)
			fail("read");
		have += (size_t) n;
	}
	if (memcmp(buffer, answer, sizeof(answer) - 1) != 0)
		fail("SUBSCRIBE");
}

typedef struct Publisher
{
	int			fd;
	char	   *request;		/* 'depth' of them */
	size_t		request_len;	/* of one */
	uint64_t	sent;
	uint64_t	answered;
	size_t		answer_len;		/* of one: ":N\r\n" */
	char		answer[32];
	size_t		answer_at;		/* bytes of the next answer that have been read */
	bool		wrong;
} Publisher;

/* read_answers -- what is there; each must be the number of subscribers. */
static void
read_answers(Publisher *p)
{
	ssize_t		n = read(p->fd, buffer, sizeof(buffer));

	if (n <= 0)
		fail("read");
	for (ssize_t i = 0; i < n; i++)
	{
		p->wrong |= buffer[i] != p->answer[p->answer_at];
		if (++p->answer_at == p->answer_len)
		{
			p->answer_at = 0;
			p->answered++;
		}
	}
}

/* run -- publishes for so long, then waits until all has come; returns the messages published. */
static uint64_t
run(Publisher *p, int epoll_fd, int subscribers, uint64_t message_len, uint64_t depth, double seconds)
{
	struct epoll_event events[256];
	double		end = now() + seconds;
	uint64_t	begun = p->sent;

	for (;;)
	{
		uint64_t	more = depth - (p->sent - p->answered);
		bool		over = now() >= end;
		int			n;

		if (over && p->answered == p->sent && got_all == p->sent * message_len * (uint64_t) subscribers)
			break;
		if (!over && more > 0 && (more >= depth / 2 || depth == 1))
		{
			send_all(p->fd, p->request, more * p->request_len);
			p->sent += more;
		}
		n = epoll_wait(epoll_fd, events, 256, 5000);
		if (n == 0)
			fail("nothing comes any more");
		for (int i = 0; i < n; i++)
		{
			uint32_t	which = events[i].data.u32;
			ssize_t		len;

			if (which == SUBSCRIBERS_MAX)
			{
				read_answers(p);
				continue;
			}
			len = read(subscriber[which], buffer, sizeof(buffer));
			if (len <= 0)
				fail("a subscriber was closed");
			got[which] += (uint64_t) len;
			got_all += (uint64_t) len;
		}
	}
	for (int i = 0; i < subscribers; i++)
		if (got[i] != p->sent * message_len)
			fail("a subscriber has got too much");
	return p->sent - begun;
}

int
main(int argc, char **argv)
{
	Publisher	p = {0};
	int			subscribers = argc == 6 ? atoi(argv[2]) : 0;
	uint64_t	depth = argc == 6 ? strtoull(argv[3], NULL, 10) : 0;
	int			size = argc == 6 ? atoi(argv[4]) : 0;
	double		seconds = argc == 6 ? atof(argv[5]) : 0;
	int			epoll_fd = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = SUBSCRIBERS_MAX};
	uint64_t	message_len;
	uint64_t	messages;
	double		start;

	if (subscribers < 1 || subscribers > SUBSCRIBERS_MAX || depth < 1 || size < 1 || size > 65536 || seconds <= 0 || epoll_fd < 0)
	{
		fprintf(stderr, "usage: bench_pubsub SOCKET SUBSCRIBERS DEPTH SIZE SECONDS\n");
		return 2;
	}
	p.fd = open_socket(argv[1]);
	p.request_len = (size_t) snprintf(buffer, sizeof(buffer), "*3\r\n$7\r\nPUBLISH\r\n$13\r\n" CHANNEL "\r\n$%d\r\n%0*d\r\n", size, size, 0);
	p.request = malloc(depth * p.request_len);
	for (uint64_t i = 0; i < depth; i++)
		memcpy(p.request + i * p.request_len, buffer, p.request_len);
	p.answer_len = (size_t) snprintf(p.answer, sizeof(p.answer), ":%d\r\n", subscribers);
	/* "*3", "$7 message", the channel, the message */
	message_len = p.request_len;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, p.fd, &event) != 0)
		fail("epoll_ctl");
	for (int i = 0; i < subscribers; i++)
	{
		subscriber[i] = open_socket(argv[1]);
		subscribe(subscriber[i]);
		event.data.u32 = (uint32_t) i;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, subscriber[i], &event) != 0)
			fail("epoll_ctl");
	}
	run(&p, epoll_fd, subscribers, message_len, depth, WARM_SECONDS);
	start = now();
	messages = run(&p, epoll_fd, subscribers, message_len, depth, seconds);
	seconds = now() - start;
	printf("{\"messages\": %llu, \"seconds\": %.6f, \"published\": %.1f, \"delivered\": %.1f}\n", (unsigned long long) messages, seconds,
		   (double) messages / seconds, (double) messages * subscribers / seconds);
	return p.wrong ? 1 : 0;
}
