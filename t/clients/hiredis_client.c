/*
 * hiredis_client.c -- the hiredis row of the client matrix: sync, pipelined,
 * binary and large values, SCAN, errors, redisReconnect; RESP3 where the library
 * has it (1.0 and later).  README.md says what is printed.
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

	check(c != NULL && c->err == 0, "connect");
	test_values(c);
	test_pipeline(c, 2000);
	test_scan(c, 2000);
	test_resp3(c);
	test_restart(c);
	redisFree(c);
	printf("end\n");
	return 0;
}
