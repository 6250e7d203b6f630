/*
 * bench_peer.c -- LMDB and RocksDB at what t/bench/base.pl asks of artery: fill, and random reads by many threads.
 *
 *   bench_peer lmdb|rocksdb fill DIR KEYS VALUE_BYTES
 *   bench_peer lmdb|rocksdb get DIR KEYS VALUE_BYTES THREADS SECONDS SEED MEMORY_BYTES
 *
 * Keys are those of bench_load's shape bench (key:000000000042); values are checked
 * by their length.  Each as a careful user would set it up for reading more data
 * than fits into memory: LMDB with MDB_NORDAHEAD (its manual: for data larger than
 * memory, random reads), RocksDB with a block cache of half the memory, direct
 * reads, bloom filters of 10 bits and index and filter blocks in the cache.
 *
 * One line of JSON to stdout; exit code 0, or 2 when it could not run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define FILL_BATCH 10000
#define THREADS_MAX 512

typedef struct Job
{
	bool		lmdb;
	const char *dir;
	uint64_t	keys;
	size_t		value_bytes;
	double		seconds;
	uint64_t	memory;
	MDB_env    *env;
	MDB_dbi		dbi;
	rocksdb_t  *rocks;
} Job;

typedef struct Reader
{
	const Job  *job;
	pthread_t	thread;
	uint64_t	random;
	uint64_t	done;
} Reader;

static atomic_bool stop;

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "bench_peer: %s: %s\n", what, why);
	exit(2);
}

static void
lmdb_try(int code, const char *what)
{
	if (code != 0)
		die(what, mdb_strerror(code));
}

static double
now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static size_t
make_key(char *key, uint64_t number)
{
	return (size_t) sprintf(key, "key:%012llu", (unsigned long long) number);
}

/* ---- LMDB ---- */

static void
lmdb_open(Job *job, unsigned flags)
{
	MDB_txn    *txn;

	lmdb_try(mdb_env_create(&job->env), "mdb_env_create");
	lmdb_try(mdb_env_set_mapsize(job->env, 64ull << 30), "mdb_env_set_mapsize");
	lmdb_try(mdb_env_set_maxreaders(job->env, THREADS_MAX + 8), "mdb_env_set_maxreaders");
	lmdb_try(mdb_env_open(job->env, job->dir, flags, 0600), job->dir);
	lmdb_try(mdb_txn_begin(job->env, NULL, 0, &txn), "mdb_txn_begin");
	lmdb_try(mdb_dbi_open(txn, NULL, 0, &job->dbi), "mdb_dbi_open");
	lmdb_try(mdb_txn_commit(txn), "mdb_txn_commit");
}

static void
lmdb_fill(Job *job, const char *value)
{
	lmdb_open(job, MDB_NOSYNC | MDB_WRITEMAP);
	for (uint64_t i = 0; i < job->keys;)
	{
		MDB_txn    *txn;

		lmdb_try(mdb_txn_begin(job->env, NULL, 0, &txn), "mdb_txn_begin");
		for (int n = 0; n < FILL_BATCH && i < job->keys; n++, i++)
		{
			char		key[32];
			MDB_val		k = {make_key(key, i), key};
			MDB_val		v = {job->value_bytes, (void *) value};

			lmdb_try(mdb_put(txn, job->dbi, &k, &v, MDB_APPEND), "mdb_put");
		}
		lmdb_try(mdb_txn_commit(txn), "mdb_txn_commit");
	}
	lmdb_try(mdb_env_sync(job->env, 1), "mdb_env_sync");
	mdb_env_close(job->env);
}

static void *
lmdb_reader(void *arg)
{
	Reader	   *r = arg;
	MDB_txn    *txn;
	volatile char sum = 0;

	lmdb_try(mdb_txn_begin(r->job->env, NULL, MDB_RDONLY, &txn), "mdb_txn_begin");
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
	{
		char		key[32];
		MDB_val		k = {make_key(key, next_random(&r->random) % r->job->keys), key};
		MDB_val		v;

		mdb_txn_reset(txn);
		lmdb_try(mdb_txn_renew(txn), "mdb_txn_renew");
		lmdb_try(mdb_get(txn, r->job->dbi, &k, &v), "mdb_get");
		if (v.mv_size != r->job->value_bytes)
			die("mdb_get", "a value of another length");
		/* the value is wanted, not its address */
		for (size_t i = 0; i < v.mv_size; i += 64)
			sum += ((const char *) v.mv_data)[i];
		r->done++;
	}
	(void) sum;
	mdb_txn_abort(txn);
	return NULL;
}

/* ---- RocksDB ---- */

static void
rocks_try(char *error, const char *what)
{
	if (error != NULL)
		die(what, error);
}

static void
rocks_open(Job *job)
{
	rocksdb_options_t *options = rocksdb_options_create();
	rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
	char	   *error = NULL;

	rocksdb_options_set_create_if_missing(options, 1);
	rocksdb_options_set_compression(options, rocksdb_no_compression);
	rocksdb_options_set_use_direct_reads(options, 1);
	rocksdb_options_set_max_open_files(options, -1);
	rocksdb_block_based_options_set_block_cache(table, rocksdb_cache_create_lru(job->memory > 0 ? job->memory / 2 : 64 << 20));
	rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom_full(10));
	rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
	rocksdb_options_set_block_based_table_factory(options, table);
	job->rocks = rocksdb_open(options, job->dir, &error);
	rocks_try(error, job->dir);
}

static void
rocks_fill(Job *job, const char *value)
{
	rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
	char	   *error = NULL;

	rocks_open(job);
	rocksdb_writeoptions_disable_WAL(write, 1);
	for (uint64_t i = 0; i < job->keys; i++)
	{
		char		key[32];
		size_t		len = make_key(key, i);

		rocksdb_put(job->rocks, write, key, len, value, job->value_bytes, &error);
		rocks_try(error, "rocksdb_put");
	}
	rocksdb_compact_range(job->rocks, NULL, 0, NULL, 0);
	rocksdb_close(job->rocks);
}

static void *
rocks_reader(void *arg)
{
	Reader	   *r = arg;
	rocksdb_readoptions_t *read = rocksdb_readoptions_create();

	while (!atomic_load_explicit(&stop, memory_order_relaxed))
	{
		char		key[32];
		size_t		len = make_key(key, next_random(&r->random) % r->job->keys);
		size_t		value_len = 0;
		char	   *error = NULL;
		rocksdb_pinnableslice_t *value = rocksdb_get_pinned(r->job->rocks, read, key, len, &error);

		rocks_try(error, "rocksdb_get_pinned");
		if (value == NULL || rocksdb_pinnableslice_value(value, &value_len) == NULL || value_len != r->job->value_bytes)
			die("rocksdb_get_pinned", "no value, or one of another length");
		rocksdb_pinnableslice_destroy(value);
		r->done++;
	}
	return NULL;
}

/* ---- both ---- */

static void
get(Job *job, int threads, uint64_t seed)
{
	static Reader reader[THREADS_MAX];
	double		start;
	uint64_t	done = 0;
	struct timespec pause = {(time_t) job->seconds, (long) ((job->seconds - (double) (time_t) job->seconds) * 1e9)};

	if (job->lmdb)
		lmdb_open(job, MDB_NORDAHEAD | MDB_NOTLS);
	else
		rocks_open(job);
	start = now_seconds();
	for (int i = 0; i < threads; i++)
	{
		reader[i].job = job;
		reader[i].random = (seed + 1) * 0x9e3779b97f4a7c15u + (uint64_t) i * 0xbf58476d1ce4e5b9u + 1;
		if (pthread_create(&reader[i].thread, NULL, job->lmdb ? lmdb_reader : rocks_reader, &reader[i]) != 0)
			die("pthread_create", strerror(errno));
	}
	nanosleep(&pause, NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < threads; i++)
	{
		pthread_join(reader[i].thread, NULL);
		done += reader[i].done;
	}
	printf("{\"count\": %llu, \"seconds\": %.3f, \"rate\": %.1f}\n", (unsigned long long) done, now_seconds() - start,
		   (double) done / (now_seconds() - start));
}

int
main(int argc, char **argv)
{
	Job			job = {0};
	char	   *value;

	if (argc < 6)
		die("arguments", "see the head of bench_peer.c");
	job.lmdb = strcmp(argv[1], "lmdb") == 0;
	job.dir = argv[3];
	job.keys = strtoull(argv[4], NULL, 10);
	job.value_bytes = strtoull(argv[5], NULL, 10);
	value = malloc(job.value_bytes + 1);
	if (value == NULL)
		die("malloc", strerror(errno));
	memset(value, 'v', job.value_bytes);
	(void) mkdir(job.dir, 0700);
	if (strcmp(argv[2], "fill") == 0)
	{
		double		start = now_seconds();

		if (job.lmdb)
			lmdb_fill(&job, value);
		else
			rocks_fill(&job, value);
		printf("{\"seconds\": %.3f}\n", now_seconds() - start);
	}
	else if (argc >= 10)
	{
		int			threads = atoi(argv[6]);

		job.seconds = atof(argv[7]);
		job.memory = strtoull(argv[9], NULL, 10);
		get(&job, threads > THREADS_MAX ? THREADS_MAX : threads, strtoull(argv[8], NULL, 10));
	}
	else
		die("arguments", "see the head of bench_peer.c");
	return 0;
}
