/*
 * bench_feed.c -- consumers of the change feed that keep up as fast as they can.
 *
 * For t/bench/feed.pl; each consumer is a process with a connection of its own that asks
 * CHANGES from where its last reply ended, waiting when there is nothing, until it
 * is told to end (SIGTERM).  Then it writes one line: changes and replies.
 *
 *   bench_feed SOCKET CONSUMERS [PREFIX]
 *   bench_feed SOCKET FROM UNTIL     one consumer that catches up from one position to another
 */
#define _GNU_SOURCE
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void
on_term(int signal_number)
{
	(void) signal_number;
	stop = 1;
}

static int
catch_up(const char *path, long long from, long long until)
{
	redisContext *c = redisConnectUnix(path);
	long long	changes = 0;
	long long	replies = 0;

	if (c == NULL || c->err != 0)
		return 2;
	while (from < until)
	{
		redisReply *r = redisCommand(c, "CHANGES %lld COUNT 1000", from);

		if (r == NULL || r->type != REDIS_REPLY_ARRAY)
		{
			(void) fprintf(stderr, "bench_feed: %s\n", r != NULL ? r->str : c->errstr);
			return 2;
		}
		changes += (long long) r->elements - 1;
		replies++;
		from = r->element[r->elements - 1]->integer;
		freeReplyObject(r);
	}
	(void) printf("%lld %lld\n", changes, replies);
	return 0;
}

static int
consume(const char *path, const char *prefix)
{
	redisContext *c = redisConnectUnix(path);
	long long	next = 0;
	long long	changes = 0;
	long long	replies = 0;
	redisReply *r;

	if (c == NULL || c->err != 0 || (r = redisCommand(c, "WAL FLUSHED")) == NULL)
		return 2;
	next = r->integer;
	freeReplyObject(r);
	while (!stop)
	{
		r = prefix != NULL ? redisCommand(c, "CHANGES %lld COUNT 1000 BLOCK 100 PREFIX %s", next, prefix)
			: redisCommand(c, "CHANGES %lld COUNT 1000 BLOCK 100", next);
		if (r == NULL || r->type != REDIS_REPLY_ARRAY)
		{
			(void) fprintf(stderr, "bench_feed: %s\n", r != NULL ? r->str : c->errstr);
			return 2;
		}
		changes += (long long) r->elements - 1;
		replies++;
		next = r->element[r->elements - 1]->integer;
		freeReplyObject(r);
	}
	(void) printf("%lld %lld\n", changes, replies);
	return 0;
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_term};
	int			count = argc > 2 ? atoi(argv[2]) : 0;
	int			failed = 0;
	int			status;

	if (argc < 3)
		return 2;
	if (argc > 3 && argv[3][0] >= '0' && argv[3][0] <= '9')
		return catch_up(argv[1], atoll(argv[2]), atoll(argv[3]));
	(void) sigaction(SIGTERM, &action, NULL);
	for (int i = 0; i < count; i++)
		if (fork() == 0)
		{
			(void) prctl(PR_SET_PDEATHSIG, SIGTERM);
			return consume(argv[1], argc > 3 ? argv[3] : NULL);
		}
	while (!stop)
		(void) pause();
	(void) signal(SIGTERM, SIG_IGN);
	(void) kill(0, SIGTERM);
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0 ? 2 : 0;
}
