/*
 * stats.h -- what the workers count: one block per worker in the segment.
 *
 * Only the owner writes its block (relaxed load and store, no locked
 * instruction); INFO, in any worker, adds the blocks up and takes off the base,
 * which CONFIG RESETSTAT sets to the sum as it stands.  Sums of counters that
 * move are not a snapshot; nothing decides by them.
 */
#ifndef ARTERY_TCOP_STATS_H
#define ARTERY_TCOP_STATS_H

#include "common/c.h"
#include "common/figure.h"

/* STAT(symbol, sentence) */
#define STATS_LIST(STAT) \
	STAT(COMMANDS, "commands run; those of transactions, too, but not those that were rejected") \
	STAT(CONNECTIONS, "connections taken") \
	STAT(REJECTED, "connections refused because of max_clients") \
	STAT(NET_INPUT, "bytes received") \
	STAT(NET_OUTPUT, "bytes sent") \
	STAT(READS, "receives from clients that brought something") \
	STAT(WRITES, "sends to clients") \
	STAT(HITS, "reads that found their key") \
	STAT(MISSES, "reads that did not") \
	STAT(GATED, "replies that waited at the gate") \
	STAT(RELEASED, "replies that left through the gate") \
	STAT(PARKED, "commands that waited for the log or a map change") \
	STAT(PAGE_WAITS, "times that a command waited for pages of the base") \
	STAT(MEMORY_WAITS, "times that a command waited for memory") \
	STAT(HELD, "writes held back because memory was short") \
	STAT(HELD_US, "microseconds that they were to wait") \
	STAT(QUERY_LIMIT, "clients closed at client_query_buffer_limit") \
	STAT(OUTPUT_LIMIT, "clients closed at client_output_buffer_limit") \
	STAT(TURNS, "turns of the event loop") \
	STAT(SLEEPS, "turns that slept") \
	STAT(RETRIES, "reads of several keys that were taken again")

/* STATS_ERROR(word): error replies by their first word; the last one is for all others */
#define STATS_ERROR_LIST(STATS_ERROR) \
	STATS_ERROR(ERR) \
	STATS_ERROR(NOAUTH) \
	STATS_ERROR(WRONGPASS) \
	STATS_ERROR(NOPROTO) \
	STATS_ERROR(LOADING) \
	STATS_ERROR(OOM) \
	STATS_ERROR(MISCONF) \
	STATS_ERROR(CORRUPT) \
	STATS_ERROR(SNAPSHOT) \
	STATS_ERROR(EXECABORT) \
	STATS_ERROR(BUSYKEY) \
	STATS_ERROR(COMPACTED) \
	STATS_ERROR(LOST) \
	STATS_ERROR(UNBLOCKED) \
	STATS_ERROR(OTHER)

#define STATS_COMMANDS_MAX 320

enum
{
#define STAT(symbol, text) STAT_##symbol,
	STATS_LIST(STAT)
#undef STAT
	STAT_ERRORS_ALL,
#define STATS_ERROR(word) STAT_ERROR_##word,
	STATS_ERROR_LIST(STATS_ERROR)
#undef STATS_ERROR
	STATS_PLAIN,				/* counters that are not by command */
	STAT_COMMAND_CALLS = STATS_PLAIN,
	STAT_COMMAND_NSEC = STAT_COMMAND_CALLS + STATS_COMMANDS_MAX,
	STAT_COMMAND_FAILED = STAT_COMMAND_NSEC + STATS_COMMANDS_MAX,
	STAT_COMMAND_REJECTED = STAT_COMMAND_FAILED + STATS_COMMANDS_MAX,
	STATS_COUNT = STAT_COMMAND_REJECTED + STATS_COMMANDS_MAX
};

/*
 * How long commands took, by kind of command: buckets of nanoseconds, the first up
 * to 256, then four to each doubling; the last one is for 2^30 (1.07 seconds) and more.
 */
#define STATS_LATENCY_FIRST 8		/* log2 of the first bucket's end */
#define STATS_LATENCY_BUCKETS (1 + 4 * (30 - STATS_LATENCY_FIRST) + 1)

/* levels: not counted up, not reset */
typedef struct StatsWorker
{
	alignas(CACHE_LINE) _Atomic uint64 value[STATS_COUNT];	/* owner writes */
	_Atomic uint64 ops_per_second;		/* of the last period; owner writes */
	_Atomic uint64 input_per_second;	/* bytes */
	_Atomic uint64 output_per_second;
	_Atomic uint64 blocked;				/* clients in commands that are made to wait; owner writes */
	_Atomic uint64 gated;				/* replies at the gate now */
	_Atomic uint64 buffer_bytes;		/* of query and output buffers */
	_Atomic uint64 tracking_clients;	/* CLIENT TRACKING: who has it on */
	_Atomic uint64 tracking_keys;		/* keys remembered ... */
	_Atomic uint64 tracking_items;		/* ... each with its readers */
	_Atomic uint64 tracking_prefixes;	/* of clients with BCAST */
	_Atomic uint32 event_method;		/* index into tcop_event_methods; owner writes once */
	_Atomic uint64 latency[STATS_COMMANDS_MAX][STATS_LATENCY_BUCKETS];	/* owner writes */
} StatsWorker;

typedef struct StatsShared
{
	uint64		magic;
	uint32		worker_count;			/* constant after start */
	_Atomic uint64 reset_wall_us;
	_Atomic uint64 peak_memory;			/* highest used memory that INFO saw */
	_Atomic uint64 base[STATS_COUNT];	/* sums at the last reset; whoever resets */
	_Atomic uint64 latency_base[STATS_COMMANDS_MAX][STATS_LATENCY_BUCKETS];
	StatsWorker worker[];
} StatsShared;

extern StatsShared *stats_shared;
extern StatsWorker *stats_mine;			/* this worker's block; a private one until stats_attach */

extern size_t stats_region_size(uint32 workers);
extern void stats_region_init(void *region, uint32 workers);
extern void stats_attach(uint32 worker);
extern uint64 stats_sum(int which);		/* since the last reset */
extern uint64 stats_level(size_t offset);	/* sum of a level over the workers, by offsetof(StatsWorker, ...) */
extern void stats_reset(void);
extern void stats_count_error(const char *reply);	/* by the first word of an error reply */
extern const char *stats_error_word(int index);
extern int stats_error_count(void);

/* stats_latency -- of one command, over all workers, since the last reset; returns the number of calls. */
extern uint64 stats_latency(int command, uint64 bucket[STATS_LATENCY_BUCKETS]);
/* stats_latency_bound -- nanoseconds at which a bucket begins; its end is the beginning of the next. */
extern uint64 stats_latency_bound(int bucket);
/* stats_latency_percentile -- nanoseconds within which 'part' (0 to 1) of the calls were done. */
extern double stats_latency_percentile(const uint64 bucket[STATS_LATENCY_BUCKETS], uint64 calls, double part);

static inline int
stats_latency_bucket(uint64 ns)
{
	int			power = 63 - __builtin_clzll(ns | 1);

	if (power < STATS_LATENCY_FIRST)
		return 0;
	return Min(1 + 4 * (power - STATS_LATENCY_FIRST) + (int) (ns >> (power - 2) & 3), STATS_LATENCY_BUCKETS - 1);
}

static inline void
stats_add(int which, uint64 n)
{
	figure_add(&stats_mine->value[which], n);
}

/*
 * stats_tally -- while EXEC runs its commands: where errors and looks at keys are counted,
 * for all of it may be done anew or come to nothing.  NULL: for good.
 */
extern uint64 *stats_tally;		/* STATS_PLAIN of them */

static inline void
stats_count(int which, uint64 n)
{
	if (unlikely(stats_tally != NULL))
		stats_tally[which] += n;
	else
		stats_add(which, n);
}

static inline void
stats_latency_add(int command, uint64 ns, uint64 calls)
{
	figure_add(&stats_mine->latency[command][stats_latency_bucket(ns)], calls);
}

#endif
