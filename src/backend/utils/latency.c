/*
 * latency.c -- the latency monitor; see latency.h.
 *
 * A sample is one word (time, milliseconds), so that whoever reads sees it whole.
 * Places are given out by adding to 'next'; a place between being given out and
 * being filled shows what stood there before, or nothing.  A process that dies in
 * between leaves that one place as it was.
 */
#include "utils/latency.h"

#include "utils/clock.h"
#include "utils/settings.h"

#define LATENCY_MAGIC UINT64_C(0x4c4154454e435900)

typedef struct LatencyRing
{
	_Atomic uint64 next;			/* samples ever; any process adds */
	_Atomic uint64 max_ms;
	_Atomic uint64 sample[LATENCY_SAMPLES];	/* (time << 32) | ms; 0: none */
} LatencyRing;

typedef struct LatencyShared
{
	uint64		magic;				/* constant after start */
	LatencyRing ring[LATENCY_EVENT_COUNT];
} LatencyShared;

static LatencyShared *shared;		/* NULL: no segment (tools, unit tests) */

static const char *const names[] = {
#define LATENCY_EVENT(symbol, name, advice) name,
	LATENCY_EVENT_LIST(LATENCY_EVENT)
#undef LATENCY_EVENT
};

static const char *const advices[] = {
#define LATENCY_EVENT(symbol, name, advice) advice,
	LATENCY_EVENT_LIST(LATENCY_EVENT)
#undef LATENCY_EVENT
};

size_t
latency_region_size(void)
{
	return sizeof(LatencyShared);
}

void
latency_region_init(void *region)
{
	shared = region;
	shared->magic = LATENCY_MAGIC;
}

const char *
latency_name(LatencyEvent event)
{
	return names[event];
}

const char *
latency_advice(LatencyEvent event)
{
	return advices[event];
}

/* raise_to -- relaxed: figures. */
static void
raise_to(_Atomic uint64 *figure, uint64 value)
{
	uint64		old = atomic_load_explicit(figure, memory_order_relaxed);

	while (old < value && !atomic_compare_exchange_weak_explicit(figure, &old, value, memory_order_relaxed, memory_order_relaxed))
		;
}

void
latency_add(LatencyEvent event, uint64 us)
{
	LatencyRing *ring;
	uint64		ms = Min(us / 1000, (uint64) UINT32_MAX);
	uint64		word;
	uint64		at;
	uint64		last;

	if (likely(set_latency_monitor_threshold == 0 || (int64) ms < set_latency_monitor_threshold) || shared == NULL)
		return;
	Verify(shared->magic == LATENCY_MAGIC);
	ring = &shared->ring[event];
	raise_to(&ring->max_ms, ms);
	word = (clock_wall_us() / 1000000) << 32 | ms;
	/* relaxed, all of it: each word is whole by itself, and nothing is concluded from their order */
	at = atomic_load_explicit(&ring->next, memory_order_relaxed);
	if (at > 0)
	{
		_Atomic uint64 *place = &ring->sample[(at - 1) % LATENCY_SAMPLES];

		last = atomic_load_explicit(place, memory_order_relaxed);
		while (last >> 32 == word >> 32)
		{
			if (last >= word || atomic_compare_exchange_weak_explicit(place, &last, word, memory_order_relaxed, memory_order_relaxed))
				return;
		}
	}
	at = atomic_fetch_add_explicit(&ring->next, 1, memory_order_relaxed);
	atomic_store_explicit(&ring->sample[at % LATENCY_SAMPLES], word, memory_order_relaxed);
}

uint32
latency_read(LatencyEvent event, LatencySample samples[LATENCY_SAMPLES], uint32 *max_ms)
{
	LatencyRing *ring = &shared->ring[event];
	uint32		count = 0;
	uint64		end = atomic_load_explicit(&ring->next, memory_order_relaxed);	/* relaxed: as in latency_add */

	*max_ms = (uint32) atomic_load_explicit(&ring->max_ms, memory_order_relaxed);	/* relaxed: a figure */
	for (uint64 at = end > LATENCY_SAMPLES ? end - LATENCY_SAMPLES : 0; at < end; at++)
	{
		uint64		word = atomic_load_explicit(&ring->sample[at % LATENCY_SAMPLES], memory_order_relaxed);	/* relaxed: as above */

		if (word != 0)
			samples[count++] = (LatencySample) {(uint32) (word >> 32), (uint32) word};
	}
	return count;
}

bool
latency_reset(LatencyEvent event)
{
	LatencyRing *ring = &shared->ring[event];
	bool		had = false;

	/* relaxed: as in latency_add */
	for (int i = 0; i < LATENCY_SAMPLES; i++)
		had |= atomic_exchange_explicit(&ring->sample[i], 0, memory_order_relaxed) != 0;
	atomic_store_explicit(&ring->max_ms, 0, memory_order_relaxed);
	return had;
}
