/*
 * bench_disk.c -- the floor: how often this disk and file system make a write durable, with nothing above.
 *
 *   overwrite  4 KiB by O_DIRECT into a zero-filled file, then fdatasync: what a log
 *              with prepared segments costs (no metadata to commit)
 *   append     128 bytes to the end of a file through the page cache, then
 *              fdatasync: what an append-only file costs (the size changes each time)
 *
 * In turns of a quarter of a second, so that both see the same disk.  Writes one
 * line of JSON to stdout: rate and median, 99th percentile of a single one in
 * microseconds.  Where O_DIRECT is refused (some memory file systems) the
 * overwrites go through the page cache, and "direct" says false.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE 4096
#define FILE_BLOCKS 4096		/* 16 MiB */
#define APPEND_SIZE 128
#define SAMPLES_MAX 2000000

typedef struct Series
{
	int			fd;
	size_t		size;			/* bytes per write */
	bool		append;
	double		seconds;
	uint32_t	count;
	uint32_t	samples_us[SAMPLES_MAX];
} Series;

static void
die(const char *what)
{
	fprintf(stderr, "bench_disk: %s: %s\n", what, strerror(errno));
	exit(2);
}

static double
now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static int
compare(const void *a, const void *b)
{
	uint32_t	x = *(const uint32_t *) a;
	uint32_t	y = *(const uint32_t *) b;

	return (x > y) - (x < y);
}

/* run_for -- one turn of a series. */
static void
run_for(Series *series, const char *block, double seconds)
{
	double		start = now_seconds();
	double		before = start;
	double		after;

	do
	{
		off_t		at = (off_t) (series->count % FILE_BLOCKS) * BLOCK_SIZE;
		ssize_t		wrote = series->append ? write(series->fd, block, series->size)
			: pwrite(series->fd, block, series->size, at);

		if (wrote != (ssize_t) series->size)
			die("write");
		if (fdatasync(series->fd) != 0)
			die("fdatasync");
		after = now_seconds();
		if (series->count < SAMPLES_MAX)
			series->samples_us[series->count++] = (uint32_t) ((after - before) * 1e6);
		before = after;
	} while (after - start < seconds);
	series->seconds += after - start;
}

static void
report(const char *name, Series *series, const char *end)
{
	qsort(series->samples_us, series->count, sizeof(uint32_t), compare);
	printf("\"%s\":{\"rate\":%.1f,\"p50_us\":%u,\"p99_us\":%u}%s", name, series->count / series->seconds,
		   series->samples_us[series->count / 2], series->samples_us[series->count * 99 / 100], end);
}

static int
open_in(const char *dir, const char *name, int flags, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", dir, name);
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
}

int
main(int argc, char **argv)
{
	static Series over = {.size = BLOCK_SIZE};
	static Series append = {.size = APPEND_SIZE, .append = true};
	char		over_path[4096];
	char		append_path[4096];
	double		seconds = argc > 2 ? atof(argv[2]) : 2;
	bool		direct = true;
	char	   *block;

	if (argc < 2 || argc > 3 || argv[1][0] == '-' || seconds <= 0)
	{
		fprintf(stderr, "usage: bench_disk DIRECTORY [SECONDS]\n");
		return 2;
	}
	if (posix_memalign((void **) &block, BLOCK_SIZE, BLOCK_SIZE) != 0)
		die("memory");
	memset(block, 'x', BLOCK_SIZE);
	over.fd = open_in(argv[1], "bench_disk.over", O_DIRECT, over_path, sizeof(over_path));
	if (over.fd < 0 && errno == EINVAL)
	{
		direct = false;
		over.fd = open_in(argv[1], "bench_disk.over", 0, over_path, sizeof(over_path));
	}
	append.fd = open_in(argv[1], "bench_disk.append", O_APPEND, append_path, sizeof(append_path));
	if (over.fd < 0 || append.fd < 0)
		die(argv[1]);
	for (int i = 0; i < FILE_BLOCKS; i++)
		if (pwrite(over.fd, block, BLOCK_SIZE, (off_t) i * BLOCK_SIZE) != BLOCK_SIZE)
			die("write");
	if (fsync(over.fd) != 0)
		die("fsync");
	for (double done = 0; done < seconds; done += 0.5)
	{
		run_for(&over, block, 0.25);
		run_for(&append, block, 0.25);
	}
	printf("{\"direct\":%s,", direct ? "true" : "false");
	report("overwrite", &over, ",");
	report("append", &append, "}\n");
	unlink(over_path);
	unlink(append_path);
	return 0;
}
