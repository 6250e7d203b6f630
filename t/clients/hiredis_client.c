/*
 * hiredis_client.c -- the hiredis row of the client matrix: sync, pipelined,
 * binary and large values, SCAN, errors, transactions, messages, redisReconnect;
 * RESP3 and its pushes where the library has them (1.0 and later).  README.md says
 * what is printed.
 *
 *   hiredis_client SOCKET
 */
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
check(bool good, const char *what)
{
	printf("%s %s\n", good ? "ok" : "not ok", what);
	fflush(stdout);
	if (!good)
		exit(1);
}

static bool
reply_is(redisReply *reply, int type, const char *text)
{
	bool		good = reply != NULL && reply->type == type &&
		(text == NULL || (reply->str != NULL && strcmp(reply->str, text) == 0));

	if (!good)
		fprintf(stderr, "reply of type %d: %s\n", reply ? reply->type : -1, reply && reply->str ? reply->str : "(none)");
	if (reply != NULL)
		freeReplyObject(reply);
	return good;
}

static long long
reply_integer(redisReply *reply)
{
	long long	value = reply != NULL && reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;

	if (reply != NULL)
		freeReplyObject(reply);
	return value;
}

static void
test_values(redisContext *c)
{
	size_t		large_len = 1 << 20;
	char	   *large = malloc(large_len);
	char		all[256];
	redisReply *reply;
	bool		good;

	check(reply_is(redisCommand(c, "SET %s %s", "hiredis:a", "one"), REDIS_REPLY_STATUS, "OK"), "SET");
	check(reply_is(redisCommand(c, "GET hiredis:a"), REDIS_REPLY_STRING, "one"), "GET");
	check(reply_is(redisCommand(c, "GET hiredis:none"), REDIS_REPLY_NIL, NULL), "GET of nothing");
	for (int i = 0; i < 256; i++)
		all[i] = (char) i;
	check(reply_is(redisCommand(c, "SET %b %b", all, sizeof(all), all, sizeof(all)), REDIS_REPLY_STATUS, "OK"), "SET of all bytes");
	reply = redisCommand(c, "GET %b", all, sizeof(all));
	good = reply != NULL && reply->type == REDIS_REPLY_STRING && reply->len == sizeof(all) && memcmp(reply->str, all, sizeof(all)) == 0;
	freeReplyObject(reply);
	check(good, "GET of all bytes");
	for (size_t i = 0; i < large_len; i++)
		large[i] = (char) (i * 2654435761u >> 13);
	check(reply_is(redisCommand(c, "SET hiredis:large %b", large, large_len), REDIS_REPLY_STATUS, "OK"), "SET of 1 MiB");
	reply = redisCommand(c, "GET hiredis:large");
	good = reply != NULL && reply->len == large_len && memcmp(reply->str, large, large_len) == 0;
	freeReplyObject(reply);
	check(good, "GET of 1 MiB");
	free(large);
	check(reply_integer(redisCommand(c, "DEL hiredis:large %b", all, sizeof(all))) == 2, "DEL");
	reply = redisCommand(c, "INCR hiredis:a");
	good = reply != NULL && reply->type == REDIS_REPLY_ERROR &&
		strcmp(reply->str, "ERR value is not an integer or out of range") == 0 && c->err == 0;
	freeReplyObject(reply);
	check(good, "an error reply leaves the connection as it is");
}

static void
test_pipeline(redisContext *c, int count)
{
	bool		good = true;

	for (int i = 0; i < count; i++)
	{
		redisAppendCommand(c, "SET hiredis:p:%d %d", i, i * 3);
		redisAppendCommand(c, "GET hiredis:p:%d", i);
	}
	for (int i = 0; i < count && good; i++)
	{
		redisReply *set = NULL;
		redisReply *get = NULL;

		good = redisGetReply(c, (void **) &set) == REDIS_OK && redisGetReply(c, (void **) &get) == REDIS_OK &&
			set->type == REDIS_REPLY_STATUS && get->type == REDIS_REPLY_STRING && atoi(get->str) == i * 3;
		if (set != NULL)
			freeReplyObject(set);
		if (get != NULL)
			freeReplyObject(get);
	}
	check(good, "a pipeline");
}

static void
test_scan(redisContext *c, int count)
{
	char		cursor[32] = "0";
	int			seen = 0;
	redisReply *reply;

	do
	{
		reply = redisCommand(c, "SCAN %s MATCH hiredis:p:* COUNT 100", cursor);
		if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
			break;
		snprintf(cursor, sizeof(cursor), "%s", reply->element[0]->str);
		seen += (int) reply->element[1]->elements;
		freeReplyObject(reply);
	} while (strcmp(cursor, "0") != 0);
	check(seen == count, "SCAN");
}

static void
test_transaction(redisContext *c, redisContext *other)
{
	redisReply *reply;
	bool		good;

	check(reply_is(redisCommand(c, "MULTI"), REDIS_REPLY_STATUS, "OK"), "MULTI");
	check(reply_is(redisCommand(c, "SET hiredis:t x"), REDIS_REPLY_STATUS, "QUEUED"), "a command that waits");
	check(reply_is(redisCommand(c, "INCR hiredis:t"), REDIS_REPLY_STATUS, "QUEUED"), "another one");
	reply = redisCommand(c, "EXEC");
	good = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[0]->type == REDIS_REPLY_STATUS &&
		reply->element[1]->type == REDIS_REPLY_ERROR;
	freeReplyObject(reply);
	check(good, "EXEC, with an error in it");
	check(reply_is(redisCommand(c, "WATCH hiredis:t"), REDIS_REPLY_STATUS, "OK"), "WATCH");
	check(reply_is(redisCommand(other, "SET hiredis:t y"), REDIS_REPLY_STATUS, "OK"), "another one changes it");
	redisAppendCommand(c, "MULTI");
	redisAppendCommand(c, "SET hiredis:t z");
	redisAppendCommand(c, "EXEC");
	good = redisGetReply(c, (void **) &reply) == REDIS_OK && reply_is(reply, REDIS_REPLY_STATUS, "OK") && redisGetReply(c, (void **) &reply) == REDIS_OK &&
		reply_is(reply, REDIS_REPLY_STATUS, "QUEUED") && redisGetReply(c, (void **) &reply) == REDIS_OK && reply_is(reply, REDIS_REPLY_NIL, NULL);
	check(good, "EXEC of what was watched");
	check(reply_is(redisCommand(c, "GET hiredis:t"), REDIS_REPLY_STRING, "y"), "... has not happened");
}

/* message_is -- an array or a push of three: kind, channel, text. */
static bool
message_is(redisReply *reply, const char *kind, const char *channel, const char *text)
{
	bool		good = reply != NULL && reply->elements == 3 && strcmp(reply->element[0]->str, kind) == 0 &&
		strcmp(reply->element[1]->str, channel) == 0 && (text == NULL || strcmp(reply->element[2]->str, text) == 0);

	if (reply != NULL)
		freeReplyObject(reply);
	return good;
}

static void
test_messages(redisContext *c, redisContext *subscriber)
{
	redisReply *reply = NULL;

	check(message_is(redisCommand(subscriber, "SUBSCRIBE hiredis:c"), "subscribe", "hiredis:c", NULL), "SUBSCRIBE");
	check(reply_integer(redisCommand(c, "PUBLISH hiredis:c %s", "a word")) == 1, "PUBLISH");
	check(redisGetReply(subscriber, (void **) &reply) == REDIS_OK && message_is(reply, "message", "hiredis:c", "a word"), "a message");
	check(message_is(redisCommand(subscriber, "UNSUBSCRIBE"), "unsubscribe", "hiredis:c", NULL), "UNSUBSCRIBE");
	check(reply_is(redisCommand(subscriber, "GET hiredis:a"), REDIS_REPLY_STRING, "one"), "a command after it");
}

#ifdef REDIS_REPLY_PUSH
static int	invalidated;

static void
take_push(void *private_data, void *push)
{
	redisReply *reply = push;

	(void) private_data;
	if (reply->type == REDIS_REPLY_PUSH && reply->elements == 2 && strcmp(reply->element[0]->str, "invalidate") == 0 &&
		reply->element[1]->type == REDIS_REPLY_ARRAY && strcmp(reply->element[1]->element[0]->str, "hiredis:k") == 0)
		invalidated++;
	freeReplyObject(reply);
}

/* test_tracking -- a push that tells that a key has changed comes between the replies, at the latest after many of them. */
static void
test_tracking(redisContext *c, redisContext *other)
{
	redisSetPushCallback(c, take_push);
	check(reply_is(redisCommand(c, "CLIENT TRACKING ON"), REDIS_REPLY_STATUS, "OK"), "CLIENT TRACKING");
	check(reply_is(redisCommand(c, "GET hiredis:k"), REDIS_REPLY_NIL, NULL), "a key that is read");
	check(reply_is(redisCommand(other, "SET hiredis:k 1"), REDIS_REPLY_STATUS, "OK"), "... and changed");
	for (int i = 0; i < 100000 && invalidated == 0; i++)
		if (!reply_is(redisCommand(c, "PING"), REDIS_REPLY_STATUS, "PONG"))
			break;
	check(invalidated == 1, "a push tells");
	check(reply_is(redisCommand(c, "GET hiredis:k"), REDIS_REPLY_STRING, "1"), "what it is now");
	check(reply_is(redisCommand(c, "CLIENT TRACKING OFF"), REDIS_REPLY_STATUS, "OK"), "CLIENT TRACKING OFF");
}
#endif

static void
test_resp3(redisContext *c)
{
#ifdef REDIS_REPLY_MAP
	redisReply *reply = redisCommand(c, "HELLO 3");
	bool		good = reply != NULL && reply->type == REDIS_REPLY_MAP;

	freeReplyObject(reply);
	check(good, "HELLO 3 answers a map");
	check(reply_is(redisCommand(c, "GET hiredis:none"), REDIS_REPLY_NIL, NULL), "null in RESP3");
	reply = redisCommand(c, "CONFIG GET maxclients");
	good = reply != NULL && reply->type == REDIS_REPLY_MAP && reply->elements == 2;
	freeReplyObject(reply);
	check(good, "CONFIG GET answers a map");
#else
	redisReply *reply = redisCommand(c, "HELLO 2");
	bool		good = reply != NULL && reply->type == REDIS_REPLY_ARRAY;

	freeReplyObject(reply);
	check(good, "HELLO 2 (this library has no RESP3)");
#endif
}

static void
test_restart(redisContext *c)
{
	char		line[16];
	redisReply *reply;

	printf("restart\n");
	fflush(stdout);
	check(fgets(line, sizeof(line), stdin) != NULL, "the server was restarted");
	reply = redisCommand(c, "GET hiredis:a");
	if (reply != NULL)
		freeReplyObject(reply);
	check(reply == NULL && c->err != 0, "the old connection is closed");
	check(redisReconnect(c) == REDIS_OK, "redisReconnect");
	check(reply_is(redisCommand(c, "GET hiredis:a"), REDIS_REPLY_STRING, "one"), "GET after the restart");
	check(reply_is(redisCommand(c, "SET hiredis:a two"), REDIS_REPLY_STATUS, "OK"), "SET after the restart");
}

int
main(int argc, char **argv)
{
	redisContext *c = redisConnectUnix(argc > 1 ? argv[1] : "");
	redisContext *other = redisConnectUnix(argc > 1 ? argv[1] : "");

	check(c != NULL && c->err == 0 && other != NULL && other->err == 0, "connect");
	test_values(c);
	test_pipeline(c, 2000);
	test_scan(c, 2000);
	test_transaction(c, other);
	test_messages(c, other);
	test_resp3(c);
#ifdef REDIS_REPLY_PUSH
	test_tracking(c, other);
#endif
	redisFree(other);
	test_restart(c);
	redisFree(c);
	printf("end\n");
	return 0;
}
