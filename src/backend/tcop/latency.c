/*
 * latency.c -- LATENCY: what the monitor (utils/latency.h) and the histograms of
 * commands (stats.h) have noted.
 */
#include "common/c.h"

#include "tcop/stats.h"
#include "tcop/tcop_internal.h"
#include "tcop/text.h"
#include "utils/clock.h"
#include "utils/latency.h"
#include "utils/settings.h"

/* event_find -- -1: no such event; that is no error, for there are no samples of it. */
static int
event_find(const BytePart *name)
{
	for (int i = 0; i < LATENCY_EVENT_COUNT; i++)
		if (text_is(name->data, name->len, latency_name(i)))
			return i;
	return -1;
}

TcopResult
tcop__latency_latest(Session *s)
{
	LatencySample sample[LATENCY_EVENT_COUNT][LATENCY_SAMPLES];
	uint32		count[LATENCY_EVENT_COUNT];
	uint32		max_ms[LATENCY_EVENT_COUNT];
	uint64		events = 0;

	for (int i = 0; i < LATENCY_EVENT_COUNT; i++)
	{
		count[i] = latency_read(i, sample[i], &max_ms[i]);
		events += count[i] > 0;
	}
	reply_array(&s->out, events);
	for (int i = 0; i < LATENCY_EVENT_COUNT; i++)
	{
		if (count[i] == 0)
			continue;
		reply_array(&s->out, 4);
		reply_text(&s->out, latency_name(i));
		reply_int(&s->out, sample[i][count[i] - 1].time);
		reply_int(&s->out, sample[i][count[i] - 1].ms);
		reply_int(&s->out, max_ms[i]);
	}
	return TCOP_DONE;
}

TcopResult
tcop__latency_history(Session *s)
{
	LatencySample sample[LATENCY_SAMPLES];
	int			event = event_find(&s->argv[2]);
	uint32		max_ms;
	uint32		count = event < 0 ? 0 : latency_read(event, sample, &max_ms);

	reply_array(&s->out, count);
	for (uint32 i = 0; i < count; i++)
	{
		reply_array(&s->out, 2);
		reply_int(&s->out, sample[i].time);
		reply_int(&s->out, sample[i].ms);
	}
	return TCOP_DONE;
}

TcopResult
tcop__latency_reset(Session *s)
{
	int64		count = 0;

	for (int i = 0; s->argc == 2 && i < LATENCY_EVENT_COUNT; i++)
		count += latency_reset(i);
	for (uint32 i = 2; i < s->argc; i++)
		if (event_find(&s->argv[i]) >= 0)
			count += latency_reset(event_find(&s->argv[i]));
	reply_int(&s->out, count);
	return TCOP_DONE;
}

/* ---- GRAPH: a column per sample, its height the latency, its age below ---- */
#define GRAPH_ROWS 4
#define GRAPH_LEVELS 3			/* within a row: _ o # */

/* age_text -- at most three characters. */
static void
age_text(char *to, size_t size, uint64 seconds)
{
	static const struct
	{
		uint64		seconds;
		char		unit;
	}			units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}};

	for (size_t i = 0; i < lengthof(units); i++)
		if (seconds >= units[i].seconds)
		{
			snprintf(to, size, "%llu%c", (unsigned long long) Min(seconds / units[i].seconds, UINT64_C(99)), units[i].unit);
			return;
		}
	snprintf(to, size, "%llus", (unsigned long long) seconds);
}

static void
graph_rows(Text *t, const LatencySample *sample, uint32 count, uint32 low, uint32 high)
{
	static const char marks[GRAPH_LEVELS + 1] = " _o#";
	uint64		now = clock_wall_us() / 1000000;
	char		age[24];

	for (int row = GRAPH_ROWS - 1; row >= 0; row--)
	{
		for (uint32 i = 0; i < count; i++)
		{
			/* 1 for the lowest sample, GRAPH_ROWS * GRAPH_LEVELS for the highest */
			uint64		height = 1 + (high > low ? (uint64) (sample[i].ms - low) * (GRAPH_ROWS * GRAPH_LEVELS - 1) / (high - low) : 0);
			int64		in_row = (int64) height - row * GRAPH_LEVELS;

			text_add(t, "%c", marks[Max(Min(in_row, (int64) GRAPH_LEVELS), (int64) 0)]);
		}
		text_add(t, "\n");
	}
	text_add(t, "\n");
	for (size_t row = 0; row < 3; row++)
	{
		for (uint32 i = 0; i < count; i++)
		{
			age_text(age, sizeof(age), now - Min(now, (uint64) sample[i].time));
			text_add(t, "%c", row < strlen(age) ? age[row] : ' ');
		}
		text_add(t, "\n");
	}
}

TcopResult
tcop__latency_graph(Session *s)
{
	LatencySample sample[LATENCY_SAMPLES];
	int			event = event_find(&s->argv[2]);
	uint32		max_ms = 0;
	uint32		count = event < 0 ? 0 : latency_read(event, sample, &max_ms);
	uint32		low = UINT32_MAX;
	uint32		high = 0;
	Text		t;

	if (count == 0)
	{
		reply_error(&s->out, "ERR No samples available for event '%.*s'", (int) Min((size_t) 128, s->argv[2].len),
					(const char *) s->argv[2].data);
		return TCOP_DONE;
	}
	for (uint32 i = 0; i < count; i++)
	{
		low = Min(low, sample[i].ms);
		high = Max(high, sample[i].ms);
	}
	text_begin(&t);
	text_add(&t, "%s - high %u ms, low %u ms (all time high %u ms)\n", latency_name(event), high, low, max_ms);
	text_add(&t, "--------------------------------------------------------------------------------\n");
	graph_rows(&t, sample, count, low, high);
	reply_verbatim(&s->out, t.data, t.len);
	text_end(&t);
	return TCOP_DONE;
}

/* ---- DOCTOR ---- */
static void
doctor_event(Text *t, int event)
{
	LatencySample sample[LATENCY_SAMPLES];
	uint32		max_ms;
	uint32		count = latency_read(event, sample, &max_ms);
	uint64		sum = 0;
	uint32		span;

	if (count == 0)
		return;
	for (uint32 i = 0; i < count; i++)
		sum += sample[i].ms;
	span = sample[count - 1].time - Min(sample[0].time, sample[count - 1].time);
	text_add(t, "%s: %u samples within %u seconds, average %.1f ms, last %u ms, worst ever %u ms.\n    %s\n",
			 latency_name(event), count, span, (double) sum / count, sample[count - 1].ms, max_ms, latency_advice(event));
}

TcopResult
tcop__latency_doctor(Session *s)
{
	Text		t;
	size_t		before;

	text_begin(&t);
	if (set_latency_monitor_threshold == 0)
		text_add(&t, "The latency monitor is off. \"CONFIG SET latency-monitor-threshold <milliseconds>\" turns it on: what takes at "
				 "least so long is then kept.\n");
	before = t.len;
	for (int i = 0; i < LATENCY_EVENT_COUNT; i++)
		doctor_event(&t, i);
	if (t.len == before && before == 0)
		text_add(&t, "Nothing has taken %lld ms or more since the latency monitor was turned on or reset.\n",
				 (long long) set_latency_monitor_threshold);
	reply_verbatim(&s->out, t.data, t.len);
	text_end(&t);
	return TCOP_DONE;
}

/* ---- HISTOGRAM ---- */
typedef struct Histogram
{
	uint64		bucket[STATS_LATENCY_BUCKETS];
	uint64		calls;
} Histogram;

/* calls_within -- how many were done in that time, to within a bucket. */
static uint64
calls_within(const Histogram *h, uint64 us)
{
	uint64		sum = 0;

	for (int i = 0; i < STATS_LATENCY_BUCKETS - 1 && stats_latency_bound(i + 1) <= us * 1000; i++)
		sum += h->bucket[i];
	return sum;
}

/* steps -- the doublings of microseconds at which calls come to those before; writes them when 'o' is given. */
static uint64
steps(const Histogram *h, Output *o)
{
	uint64		count = 0;
	uint64		before = 0;

	for (uint64 us = 1; before < h->calls; us *= 2)
	{
		uint64		within = us > UINT64_C(1100000) ? h->calls : calls_within(h, us);

		if (within == before)
			continue;
		before = within;
		count++;
		if (o != NULL)
		{
			reply_int(o, (int64) us);
			reply_int(o, (int64) within);
		}
	}
	return count;
}

static bool
histogram_wanted(Session *s, const Command *c)
{
	const char *container = c->parent >= 0 ? command_table[c->parent].name : "";

	for (uint32 i = 2; i < s->argc; i++)
		if (tcop__arg_is(s, i, c->name) || (c->parent >= 0 && tcop__arg_is(s, i, container)))
			return true;
	return s->argc == 2;
}

TcopResult
tcop__latency_histogram(Session *s)
{
	Histogram  *h;
	uint64		count = 0;

	if (tcop__too_many(s))
		return TCOP_DONE;
	h = calloc((size_t) command_count, sizeof(*h));
	Verify(h != NULL);
	for (int i = 0; i < command_count; i++)
		if (histogram_wanted(s, &command_table[i]))
		{
			h[i].calls = stats_latency(i, h[i].bucket);
			count += h[i].calls > 0;
		}
	reply_map(&s->out, count);
	for (int i = 0; i < command_count; i++)
	{
		if (h[i].calls == 0)
			continue;
		reply_text(&s->out, command_table[i].name);
		reply_map(&s->out, 2);
		reply_text(&s->out, "calls");
		reply_int(&s->out, (int64) h[i].calls);
		reply_text(&s->out, "histogram_usec");
		reply_map(&s->out, steps(&h[i], NULL));
		(void) steps(&h[i], &s->out);
	}
	free(h);
	return TCOP_DONE;
}
