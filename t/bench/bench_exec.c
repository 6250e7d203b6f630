/*
 * bench_exec.c -- transactions per second: MULTI, so many SETs, EXEC, from several connections of a UNIX socket.
 *
 * For t/bench/exec.pl; artery and redis-server alike.  Each connection has 'depth' transactions on the way.  All
 * lines of a transaction's answers are status lines but for EXEC's array header, so answers are counted by
 * their lines; a line that begins with '-' is an error, and a nil EXEC is one, too.
 *
 *   bench_exec SOCKET CONNECTIONS DEPTH SETS KEYS SECONDS [mset]
 *
 * mset: one MSET of so many keys instead.  Writes one line of JSON.  Exit code 0; 1: some answers were errors; 2: it could not run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define BLOCK_MAX 65536

typedef struct Connection
{
	int			fd;
	char	   *out;			/* of blocks that have not been written */
	size_t		out_at;
	size_t		out_len;
	uint64_t	lines;			/* answered of the block at the front */
	bool		line_start;
	int			on_the_way;
} Connection;

static uint64_t random_state = 88172645463325252u;
static uint64_t errors;

static uint64_t
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* block -- one transaction's bytes. */
static size_t
block(char *to, int sets, uint64_t keys, bool mset)
{
	char	   *at = to;

	at += mset ? sprintf(at, "*%d\r\n$4\r\nMSET\r\n", 1 + 2 * sets) : sprintf(at, "*1\r\n$5\r\nMULTI\r\n");
	for (int i = 0; i < sets; i++)
	{
		if (!mset)
			at += sprintf(at, "*3\r\n$3\r\nSET\r\n");
		at += sprintf(at, "$16\r\nkey:%012llu\r\n$32\r\n%032llu\r\n", (unsigned long long) (next_random() % keys),
					  (unsigned long long) next_random() % 1000000007u);
	}
	if (!mset)
		at += sprintf(at, "*1\r\n$4\r\nEXEC\r\n");
	return (size_t) (at - to);
}

static void
top_up(Connection *c, int depth, int sets, uint64_t keys, bool mset)
{
	if (c->out_at == c->out_len)
		c->out_at = c->out_len = 0;
	while (c->on_the_way < depth && c->out_len + BLOCK_MAX <= (size_t) (depth + 1) * BLOCK_MAX)
	{
		c->out_len += block(c->out + c->out_len, sets, keys, mset);
		c->on_the_way++;
	}
}

static void
push(Connection *c)
{
	while (c->out_at < c->out_len)
	{
		ssize_t		n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n <= 0)
			break;
		c->out_at += (size_t) n;
	}
}

/* pull -- transactions that came to their end. */
static uint64_t
pull(Connection *c, uint64_t lines_per_block)
{
	static char in[262144];
	uint64_t	done = 0;
	ssize_t		n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
	{
		fprintf(stderr, "the server has closed a connection\n");
		exit(2);
	}
	for (ssize_t i = 0; i < n; i++)
	{
		if (c->line_start && in[i] == '-')
			errors++;
		c->line_start = in[i] == '\n';
		if (in[i] == '\n' && ++c->lines == lines_per_block)
		{
			c->lines = 0;
			c->on_the_way--;
			done++;
		}
	}
	return done;
}

int
main(int argc, char **argv)
{
	static Connection connection[CONNECTIONS_MAX];
	static struct pollfd fds[CONNECTIONS_MAX];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			count,
				depth,
				sets;
	uint64_t	keys,
				done = 0;
	bool		mset;
	double		seconds,
				start;

	if (argc < 7)
	{
		fprintf(stderr, "usage: bench_exec SOCKET CONNECTIONS DEPTH SETS KEYS SECONDS [mset]\n");
		return 2;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
	count = atoi(argv[2]);
	depth = atoi(argv[3]);
	sets = atoi(argv[4]);
	keys = strtoull(argv[5], NULL, 10);
	seconds = atof(argv[6]);
	mset = argc > 7;
	if (count < 1 || count > CONNECTIONS_MAX || depth < 1 || sets < 1 || sets > 500 || keys < 1)
		return 2;
	for (int i = 0; i < count; i++)
	{
		Connection *c = &connection[i];

		c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
		c->out = malloc((size_t) (depth + 2) * BLOCK_MAX);
		c->line_start = true;
		if (c->fd < 0 || c->out == NULL || connect(c->fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		{
			perror(argv[1]);
			return 2;
		}
		fds[i] = (struct pollfd) {.fd = c->fd, .events = POLLIN};
	}
	start = now();
	while (now() - start < seconds)
	{
		for (int i = 0; i < count; i++)
		{
			top_up(&connection[i], depth, sets, keys, mset);
			push(&connection[i]);
			fds[i].events = (short) (connection[i].out_at < connection[i].out_len ? POLLIN | POLLOUT : POLLIN);
		}
		if (poll(fds, (nfds_t) count, 100) < 0)
			return 2;
		for (int i = 0; i < count; i++)
			if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
				done += pull(&connection[i], mset ? 1 : (uint64_t) (2 + 2 * sets));
	}
	printf("{\"transactions\":%llu,\"per_second\":%.0f,\"errors\":%llu}\n", (unsigned long long) done,
		   (double) done / (now() - start), (unsigned long long) errors);
	return errors > 0;
}
