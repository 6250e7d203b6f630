/*
 * latency.h -- the latency monitor: what took long, of which kind, and when.
 *
 * Region LATENCY.  For each event the last samples at or above the setting
 * latency_monitor_threshold, one per second of the wall clock with the longest of
 * that second.  Any process adds, without a lock; LATENCY shows.  All of it is for
 * people: two processes that add in the same moment may leave two samples for one
 * second, and one that is added while LATENCY RESET runs may stay or go.
 */
#ifndef ARTERY_UTILS_LATENCY_H
#define ARTERY_UTILS_LATENCY_H

#include "common/c.h"

/* LATENCY_EVENT(symbol, "name", "what to do about it"): Redis' names where Redis has the like */
#define LATENCY_EVENT_LIST(LATENCY_EVENT) \
	LATENCY_EVENT(COMMAND, "command", "SLOWLOG GET tells which commands took long, waiting for pages of disk and for memory included; CLIENT LIST tells what is being asked now.") \
	LATENCY_EVENT(FAST_COMMAND, "fast-command", "Commands on single keys took long: look for a busy processor, for keys that had to come from disk (memory_limit), for memory that was short (write_delay_us in INFO).") \
	LATENCY_EVENT(AOF_FSYNC_ALWAYS, "aof-fsync-always", "The log took long to become durable: the disk is slow or busy. wal_flush_us_histogram in INFO shows all flushes; durability periodic does not wait for them.") \
	LATENCY_EVENT(EXPIRE_CYCLE, "expire-cycle", "The expirer took long over one portion of keys: it waited for the disk or for room in the log. No client waits for it; keys whose time has passed are absent all the same.")

typedef enum LatencyEvent
{
#define LATENCY_EVENT(symbol, name, advice) LATENCY_##symbol,
	LATENCY_EVENT_LIST(LATENCY_EVENT)
#undef LATENCY_EVENT
	LATENCY_EVENT_COUNT
} LatencyEvent;

#define LATENCY_SAMPLES 160

typedef struct LatencySample
{
	uint32		time;			/* seconds since 1970 */
	uint32		ms;
} LatencySample;

extern size_t latency_region_size(void);
extern void latency_region_init(void *region);

/* latency_add -- something took so many microseconds.  Any process; one comparison when the monitor is off. */
extern void latency_add(LatencyEvent event, uint64 us);
extern const char *latency_name(LatencyEvent event);
extern const char *latency_advice(LatencyEvent event);
/* latency_read -- the samples, oldest first; returns how many; *max_ms: the longest ever. */
extern uint32 latency_read(LatencyEvent event, LatencySample samples[LATENCY_SAMPLES], uint32 *max_ms);
/* latency_reset -- forgets all samples of the event; false: there were none. */
extern bool latency_reset(LatencyEvent event);

#endif
