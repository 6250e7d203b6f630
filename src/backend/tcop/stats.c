/*
 * stats.c -- counters of the workers, added up for INFO.
 *
 * A dead worker's block stays as it was and its successor counts on: nothing is
 * lost but what was in flight.  A crash restart begins at zero, as the segment
 * is new.
 */
#include "common/c.h"
#include "tcop/stats.h"
#include "utils/clock.h"

#define STATS_MAGIC UINT64_C(0x5354415453415254)

static StatsWorker before_attach;	/* counted into while there is no block yet: unit tests, early errors */

StatsShared *stats_shared;
StatsWorker *stats_mine = &before_attach;
uint64	   *stats_tally;

static const char *const error_words[] = {
#define STATS_ERROR(word) #word,
	STATS_ERROR_LIST(STATS_ERROR)
#undef STATS_ERROR
};

size_t
stats_region_size(uint32 workers)
{
	return AlignUp(sizeof(StatsShared), CACHE_LINE) + workers * sizeof(StatsWorker);
}

void
stats_region_init(void *region, uint32 workers)
{
	stats_shared = region;
	stats_shared->magic = STATS_MAGIC;
	stats_shared->worker_count = workers;
	atomic_store_explicit(&stats_shared->reset_wall_us, clock_wall_us(), memory_order_relaxed);	/* relaxed: before any fork */
}

void
stats_attach(uint32 worker)
{
	Verify(stats_shared->magic == STATS_MAGIC && worker < stats_shared->worker_count);
	stats_mine = &stats_shared->worker[worker];
}

static uint64
sum_all(int which)
{
	uint64		sum = 0;

	for (uint32 i = 0; i < stats_shared->worker_count; i++)
		sum += atomic_load_explicit(&stats_shared->worker[i].value[which], memory_order_relaxed);	/* relaxed: counters */
	return sum;
}

uint64
stats_sum(int which)
{
	return sum_all(which) - atomic_load_explicit(&stats_shared->base[which], memory_order_relaxed);	/* relaxed: counters */
}

uint64
stats_level(size_t offset)
{
	uint64		sum = 0;

	for (uint32 i = 0; i < stats_shared->worker_count; i++)
	{
		_Atomic uint64 *level = (_Atomic uint64 *) ((char *) &stats_shared->worker[i] + offset);

		sum += atomic_load_explicit(level, memory_order_relaxed);	/* relaxed: for people */
	}
	return sum;
}

/* latency_all -- of one command, over all workers, since the start. */
static uint64
latency_all(int command, int bucket)
{
	uint64		sum = 0;

	for (uint32 i = 0; i < stats_shared->worker_count; i++)
		sum += figure_get(&stats_shared->worker[i].latency[command][bucket]);
	return sum;
}

uint64
stats_latency(int command, uint64 bucket[STATS_LATENCY_BUCKETS])
{
	uint64		calls = 0;

	for (int i = 0; i < STATS_LATENCY_BUCKETS; i++)
	{
		bucket[i] = latency_all(command, i) - figure_get(&stats_shared->latency_base[command][i]);
		calls += bucket[i];
	}
	return calls;
}

uint64
stats_latency_bound(int bucket)
{
	if (bucket == 0)
		return 0;
	return (uint64) (4 + (bucket - 1) % 4) << (STATS_LATENCY_FIRST + (bucket - 1) / 4 - 2);
}

/* stats_latency_percentile -- within a bucket the calls are taken to lie evenly. */
double
stats_latency_percentile(const uint64 bucket[STATS_LATENCY_BUCKETS], uint64 calls, double part)
{
	double		wanted = part * (double) calls;
	double		below = 0;

	for (int i = 0; i < STATS_LATENCY_BUCKETS - 1; i++)
	{
		double		from = (double) stats_latency_bound(i);
		double		to = (double) stats_latency_bound(i + 1);

		if (bucket[i] > 0 && below + (double) bucket[i] >= wanted)
			return from + (to - from) * (wanted - below) / (double) bucket[i];
		below += (double) bucket[i];
	}
	return (double) stats_latency_bound(STATS_LATENCY_BUCKETS - 1);
}

void
stats_reset(void)
{
	for (int c = 0; c < STATS_COMMANDS_MAX; c++)
		for (int i = 0; i < STATS_LATENCY_BUCKETS; i++)
			figure_set(&stats_shared->latency_base[c][i], latency_all(c, i));
	for (int i = 0; i < STATS_COUNT; i++)
		atomic_store_explicit(&stats_shared->base[i], sum_all(i), memory_order_relaxed);	/* relaxed: counters */
	atomic_store_explicit(&stats_shared->reset_wall_us, clock_wall_us(), memory_order_relaxed);	/* relaxed: for people */
}

int
stats_error_count(void)
{
	return (int) lengthof(error_words);
}

const char *
stats_error_word(int index)
{
	return error_words[index];
}

void
stats_count_error(const char *reply)
{
	size_t		len = strcspn(reply, " ");
	int			i;

	for (i = 0; i < (int) lengthof(error_words) - 1; i++)
		if (strlen(error_words[i]) == len && memcmp(reply, error_words[i], len) == 0)
			break;
	stats_count(STAT_ERROR_ERR + i, 1);
	stats_count(STAT_ERRORS_ALL, 1);
}
