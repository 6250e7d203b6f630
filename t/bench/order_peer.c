/*
 * order_peer.c -- ordered reads: LMDB's cursors and RocksDB's iterators in this process, artery over its socket.
 *
 *   order_peer lmdb|rocksdb fill DIR KEYS ORDER
 *   order_peer lmdb|rocksdb OPERATION DIR KEYS SECONDS SEED
 *   order_peer artery fill SOCKET KEYS ORDER
 *   order_peer artery OPERATION SOCKET KEYS SECONDS SEED CONNECTIONS PIPELINE
 *
 * ORDER of the fill: random or sorted.  OPERATION:
 *
 *   list      the 64 sub-directories of one of the KEYS/64000 directories; the peers seek to each, and from its first
 *             key to the prefix behind it: the best that a cursor can do
 *   range     100 keys from a random key on
 *   values    the same with their values (64 bytes)
 *
 * The peers write what they find as artery's reply has it, into one buffer, because
 * an answer is wanted and not an address; list-bare, range-bare, values-bare leave that
 * out, and only touch each key (and value).  Each operation begins with a renewed
 * read transaction or an iterator that lives on, whichever costs less.
 *
 * One line of JSON to stdout; exit code 0, or 2 when it could not run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <lmdb.h>
#include <poll.h>
#include <rocksdb/c.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "order_keys.h"

#define FILL_BATCH 10000
#define REPLY_MAX (1 << 20)
#define CONNECTIONS_MAX 64
#define PIPELINE_MAX 64

typedef enum Operation { LIST, RANGE, VALUES } Operation;

static Operation operation;
static bool bare;
static char value[VALUE_BYTES];
static char reply[REPLY_MAX];
static size_t reply_len;
static volatile char touched;

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "order_peer: %s: %s\n", what, why);
	exit(2);
}

/* ---- what the peers answer ---- */

static void
show(const char *data, size_t len)
{
	if (bare)
	{
		touched += data[len - 1];
		return;
	}
	reply[reply_len++] = '$';
	if (len >= 10)
		reply[reply_len++] = (char) ('0' + len / 10);
	reply[reply_len++] = (char) ('0' + len % 10);
	memcpy(reply + reply_len, "\r\n", 2);
	memcpy(reply + reply_len + 2, data, len);
	memcpy(reply + reply_len + 2 + len, "\r\n", 2);
	reply_len += len + 4;
}

static void
show_pair(const char *key, size_t key_len, const char *data, size_t len)
{
	if (!bare && operation == VALUES)
	{
		memcpy(reply + reply_len, "*2\r\n", 4);
		reply_len += 4;
	}
	show(key, key_len);
	if (operation == VALUES)
		show(data, len);
}

/* behind -- the least key above all with this prefix: it ends with the delimiter. */
static void
behind(char *prefix, size_t len)
{
	prefix[len - 1]++;
}

static size_t
sub_directory(const char *key, size_t len, size_t prefix_len)
{
	const char *slash = memchr(key + prefix_len, '/', len - prefix_len);

	if (slash == NULL)
		die("list", "a key that is in no sub-directory");
	return (size_t) (slash - key) + 1;
}

/* ---- LMDB ---- */

static MDB_env *env;
static MDB_dbi dbi;
static MDB_txn *reader;
static MDB_cursor *cursor;

static void
lmdb_try(int code, const char *what)
{
	if (code != 0)
		die(what, mdb_strerror(code));
}

static void
lmdb_open(const char *dir, unsigned flags)
{
	MDB_txn    *txn;

	lmdb_try(mdb_env_create(&env), "mdb_env_create");
	lmdb_try(mdb_env_set_mapsize(env, 64ull << 30), "mdb_env_set_mapsize");
	lmdb_try(mdb_env_open(env, dir, flags, 0600), dir);
	lmdb_try(mdb_txn_begin(env, NULL, flags & MDB_RDONLY, &txn), "mdb_txn_begin");
	lmdb_try(mdb_dbi_open(txn, NULL, 0, &dbi), "mdb_dbi_open");
	lmdb_try(mdb_txn_commit(txn), "mdb_txn_commit");
}

static void
lmdb_fill(const char *dir, bool sorted)
{
	lmdb_open(dir, MDB_NOSYNC | MDB_WRITEMAP);
	for (uint64_t i = 0; i < keys;)
	{
		MDB_txn    *txn;

		lmdb_try(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
		for (int n = 0; n < FILL_BATCH && i < keys; n++, i++)
		{
			char		key[64];
			MDB_val		k = {make_key(key, nth(i, sorted)), key};
			MDB_val		v = {VALUE_BYTES, value};

			lmdb_try(mdb_put(txn, dbi, &k, &v, sorted ? MDB_APPEND : 0), "mdb_put");
		}
		lmdb_try(mdb_txn_commit(txn), "mdb_txn_commit");
	}
	lmdb_try(mdb_env_sync(env, 1), "mdb_env_sync");
	mdb_env_close(env);
}

static void
lmdb_begin(const char *dir)
{
	lmdb_open(dir, MDB_RDONLY | MDB_NOTLS);
	lmdb_try(mdb_txn_begin(env, NULL, MDB_RDONLY, &reader), "mdb_txn_begin");
	lmdb_try(mdb_cursor_open(reader, dbi, &cursor), "mdb_cursor_open");
}

static void
lmdb_list(void)
{
	char		prefix[64];
	char		seek[64];
	size_t		prefix_len = make_directory(prefix);
	MDB_val		k = {prefix_len, prefix};
	MDB_val		v;
	int			found = 0;

	while (mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE) == 0 && k.mv_size > prefix_len &&
		   memcmp(k.mv_data, prefix, prefix_len) == 0)
	{
		size_t		len = sub_directory(k.mv_data, k.mv_size, prefix_len);

		show(k.mv_data, len);
		found++;
		memcpy(seek, k.mv_data, len);
		behind(seek, len);
		k.mv_data = seek;
		k.mv_size = len;
	}
	if (found != SUBS)
		die("list", "not 64 sub-directories");
}

static void
lmdb_range(void)
{
	char		key[64];
	MDB_val		k = {make_key(key, next_random() % (keys - RANGE_KEYS)), key};
	MDB_val		v;
	MDB_cursor_op op = MDB_SET_RANGE;

	for (int i = 0; i < RANGE_KEYS; i++)
	{
		if (mdb_cursor_get(cursor, &k, &v, op) != 0)
			die("range", "not 100 keys");
		show_pair(k.mv_data, k.mv_size, v.mv_data, v.mv_size);
		op = MDB_NEXT;
	}
}

static void
lmdb_once(void)
{
	mdb_txn_reset(reader);
	lmdb_try(mdb_txn_renew(reader), "mdb_txn_renew");
	lmdb_try(mdb_cursor_renew(reader, cursor), "mdb_cursor_renew");
	if (operation == LIST)
		lmdb_list();
	else
		lmdb_range();
}

/* ---- RocksDB ---- */

static rocksdb_t *rocks;
static rocksdb_iterator_t *iterator;

static void
rocks_try(char *error, const char *what)
{
	if (error != NULL)
		die(what, error);
}

static void
rocks_open(const char *dir)
{
	rocksdb_options_t *options = rocksdb_options_create();
	rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
	char	   *error = NULL;

	rocksdb_options_set_create_if_missing(options, 1);
	rocksdb_options_set_compression(options, rocksdb_no_compression);
	rocksdb_options_set_max_open_files(options, -1);
	rocksdb_block_based_options_set_block_cache(table, rocksdb_cache_create_lru(4ull << 30));
	rocksdb_options_set_block_based_table_factory(options, table);
	rocks = rocksdb_open(options, dir, &error);
	rocks_try(error, dir);
}

static void
rocks_fill(const char *dir, bool sorted)
{
	rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
	char	   *error = NULL;

	rocks_open(dir);
	rocksdb_writeoptions_disable_WAL(write, 1);
	for (uint64_t i = 0; i < keys; i++)
	{
		char		key[64];
		size_t		len = make_key(key, nth(i, sorted));

		rocksdb_put(rocks, write, key, len, value, VALUE_BYTES, &error);
		rocks_try(error, "rocksdb_put");
	}
	rocksdb_compact_range(rocks, NULL, 0, NULL, 0);
	rocksdb_close(rocks);
}

static void
rocks_once(void)
{
	char		prefix[64];
	char		seek[64];
	const char *key;
	size_t		prefix_len;
	size_t		len;
	int			found = 0;

	if (operation != LIST)
	{
		rocksdb_iter_seek(iterator, seek, make_key(seek, next_random() % (keys - RANGE_KEYS)));
		for (; found < RANGE_KEYS && rocksdb_iter_valid(iterator); found++, rocksdb_iter_next(iterator))
		{
			size_t		value_len = 0;
			const char *data = operation == VALUES ? rocksdb_iter_value(iterator, &value_len) : NULL;

			key = rocksdb_iter_key(iterator, &len);
			show_pair(key, len, data, value_len);
		}
		if (found != RANGE_KEYS)
			die("range", "not 100 keys");
		return;
	}
	prefix_len = make_directory(prefix);
	rocksdb_iter_seek(iterator, prefix, prefix_len);
	while (rocksdb_iter_valid(iterator) && (key = rocksdb_iter_key(iterator, &len), len > prefix_len) &&
		   memcmp(key, prefix, prefix_len) == 0)
	{
		len = sub_directory(key, len, prefix_len);
		show(key, len);
		found++;
		memcpy(seek, key, len);
		behind(seek, len);
		rocksdb_iter_seek(iterator, seek, len);
	}
	if (found != SUBS)
		die("list", "not 64 sub-directories");
}

static void
measure(void (*once)(void), double seconds)
{
	double		start;
	double		cpu;
	double		took;
	uint64_t	count = 0;

	for (int i = 0; i < 2000; i++, reply_len = 0)
		once();
	cpu = cpu_seconds();
	start = now_seconds();
	do
		for (int i = 0; i < 200; i++, count++, reply_len = 0)
			once();
	while ((took = now_seconds() - start) < seconds);
	printf("{\"count\": %llu, \"seconds\": %.3f, \"ns\": %.0f, \"cpu_ns\": %.0f}\n", (unsigned long long) count, took, 1e9 * took / (double) count,
		   1e9 * (cpu_seconds() - cpu) / (double) count);
}

/* ---- artery ---- */

typedef struct Connection
{
	int			fd;
	int			due;			/* replies */
	size_t		used;
	size_t		parsed;
	char		in[2 * REPLY_MAX];
} Connection;

static Connection connection[CONNECTIONS_MAX];

static int
connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		die(path, strerror(errno));
	return fd;
}

static void
send_all(int fd, const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t		n = write(fd, data, len);

		if (n <= 0)
			die("write", strerror(errno));
		data += n;
		len -= (size_t) n;
	}
}

/* skip_reply -- the end of the reply at 'at', or 0 when it is not all there. */
static size_t
skip_reply(const Connection *c, size_t at)
{
	long		open = 1;

	while (open > 0)
	{
		const char *end = at < c->used ? memchr(c->in + at, '\n', c->used - at) : NULL;
		char		type;
		long		count;

		if (end == NULL)
			return 0;
		type = c->in[at];
		count = strtol(c->in + at + 1, NULL, 10);
		at = (size_t) (end - c->in) + 1;
		open--;
		if (type == '-')
			die("artery", c->in);
		if (type == '*' && count > 0)
			open += count;
		if (type == '$' && count >= 0)
			at += (size_t) count + 2;
		if (at > c->used)
			return 0;
	}
	return at;
}

/* take -- what has come; how many replies are complete. */
static int
take(Connection *c)
{
	int			replies = 0;
	size_t		end;
	ssize_t		n;

	if (c->parsed > 0)
	{
		memmove(c->in, c->in + c->parsed, c->used - c->parsed);
		c->used -= c->parsed;
		c->parsed = 0;
	}
	n = read(c->fd, c->in + c->used, sizeof(c->in) - c->used - 1);
	if (n <= 0)
		die("read", n == 0 ? "the connection was lost" : strerror(errno));
	c->used += (size_t) n;
	c->in[c->used] = '\0';
	while (c->due > replies && (end = skip_reply(c, c->parsed)) != 0)
	{
		c->parsed = end;
		replies++;
	}
	c->due -= replies;
	return replies;
}

static void
artery_fill(const char *path, bool sorted)
{
	Connection *c = &connection[0];
	static char out[FILL_BATCH * 160];

	c->fd = connect_to(path);
	for (uint64_t i = 0; i < keys;)
	{
		size_t		len = 0;

		for (int n = 0; n < 500 && i < keys; n++, i++, c->due++)
		{
			char		key[64];
			size_t		key_len = make_key(key, nth(i, sorted));

			len += (size_t) sprintf(out + len, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%d\r\n%.*s\r\n", key_len, key, VALUE_BYTES,
									VALUE_BYTES, value);
		}
		send_all(c->fd, out, len);
		while (c->due > 0)
			(void) take(c);
	}
}

static size_t
artery_request(char *out)
{
	char		text[64];
	size_t		len;

	if (operation == LIST)
	{
		len = make_directory(text);
		return (size_t) sprintf(out, "*5\r\n$4\r\nLIST\r\n$6\r\nPREFIX\r\n$%zu\r\n%s\r\n$9\r\nDELIMITER\r\n$1\r\n/\r\n", len, text);
	}
	len = make_key(text, next_random() % (keys - RANGE_KEYS));
	return (size_t) sprintf(out, "*%d\r\n$5\r\nRANGE\r\n$%zu\r\n[%s\r\n$1\r\n+\r\n$5\r\nCOUNT\r\n$3\r\n100\r\n%s",
							operation == VALUES ? 6 : 5, len + 1, text, operation == VALUES ? "$10\r\nWITHVALUES\r\n" : "");
}

static void
artery_send(Connection *c, int requests)
{
	static char out[PIPELINE_MAX * 256];
	size_t		len = 0;

	for (int i = 0; i < requests; i++)
		len += artery_request(out + len);
	c->due += requests;
	send_all(c->fd, out, len);
}

static void
artery_measure(const char *path, double seconds, int connections, int pipeline)
{
	struct pollfd polls[CONNECTIONS_MAX];
	double		start = now_seconds();
	double		took;
	uint64_t	count = 0;

	for (int i = 0; i < connections; i++)
	{
		connection[i].fd = connect_to(path);
		polls[i] = (struct pollfd) {.fd = connection[i].fd, .events = POLLIN};
		artery_send(&connection[i], pipeline);
	}
	while ((took = now_seconds() - start) < seconds)
	{
		if (poll(polls, (nfds_t) connections, 1000) <= 0)
			die("poll", "no answer");
		for (int i = 0; i < connections; i++)
			if (polls[i].revents != 0)
			{
				int			replies = take(&connection[i]);

				count += (uint64_t) replies;
				if (connection[i].due == 0)
					artery_send(&connection[i], pipeline);
			}
	}
	printf("{\"count\": %llu, \"seconds\": %.3f, \"rate\": %.0f}\n", (unsigned long long) count, took, (double) count / took);
}

int
main(int argc, char **argv)
{
	bool		artery;
	bool		lmdb;

	if (argc < 6)
		die("arguments", "see the head of order_peer.c");
	artery = strcmp(argv[1], "artery") == 0;
	lmdb = strcmp(argv[1], "lmdb") == 0;
	keys = strtoull(argv[4], NULL, 10);
	if (keys < SUBS * FILES || keys % (SUBS * FILES) != 0)
		die("arguments", "KEYS must be a multiple of 64000");
	memset(value, 'v', VALUE_BYTES);
	if (strcmp(argv[2], "fill") == 0)
	{
		double		start = now_seconds();
		bool		sorted = strcmp(argv[5], "sorted") == 0;

		if (!artery)
			(void) mkdir(argv[3], 0700);
		if (artery)
			artery_fill(argv[3], sorted);
		else if (lmdb)
			lmdb_fill(argv[3], sorted);
		else
			rocks_fill(argv[3], sorted);
		printf("{\"seconds\": %.3f}\n", now_seconds() - start);
		return 0;
	}
	if (argc < (artery ? 9 : 7))
		die("arguments", "see the head of order_peer.c");
	operation = strncmp(argv[2], "list", 4) == 0 ? LIST : strncmp(argv[2], "range", 5) == 0 ? RANGE : VALUES;
	bare = strstr(argv[2], "-bare") != NULL;
	random_state = (strtoull(argv[6], NULL, 10) + 1) * 0x9e3779b97f4a7c15u;
	if (artery)
	{
		int			connections = atoi(argv[7]);
		int			pipeline = atoi(argv[8]);

		if (connections < 1 || connections > CONNECTIONS_MAX || pipeline < 1 || pipeline > PIPELINE_MAX)
			die("arguments", "at most 64 connections and 64 requests on the way in each");
		artery_measure(argv[3], atof(argv[5]), connections, pipeline);
	}
	else if (lmdb)
	{
		lmdb_begin(argv[3]);
		measure(lmdb_once, atof(argv[5]));
	}
	else
	{
		rocks_open(argv[3]);
		iterator = rocksdb_create_iterator(rocks, rocksdb_readoptions_create());
		measure(rocks_once, atof(argv[5]));
	}
	return 0;
}
