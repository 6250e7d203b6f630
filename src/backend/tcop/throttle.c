/*
 * throttle.c -- writes are held back while memory is short.
 *
 * The store says how long a write should wait now (evict_write_delay_us: 0 as
 * long as there is room, then smoothly more).  A command that may need memory
 * asks once, before its first run, and then runs whatever the answer would be.
 *
 * One delay pays for THROTTLE_CREDIT units of work, of the command that waited and
 * of those behind it that have come already and run in the same turn of the loop.
 * So a client that sends one write at a time waits for each of them, and a
 * pipeline of a thousand waits some sixty times and not a thousand times; but no
 * client gets past the throttle by pipelining, nor by putting much into one
 * command: a unit is a key or THROTTLE_UNIT_BYTES of arguments, and a command of
 * more than THROTTLE_CREDIT units waits in proportion, up to THROTTLE_TIMES_MAX
 * delays.
 *
 * The state is the session's.  Nothing here sleeps.
 */
#include "common/c.h"

#include "access/store/evict.h"
#include "tcop/multi.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"

#define THROTTLE_CREDIT 16
#define THROTTLE_UNIT_BYTES (4 * KIB)
#define THROTTLE_TIMES_MAX 8

/* weight -- units of work of the session's command. */
static uint32
weight(const Session *s)
{
	uint64		bytes = 0;
	uint64		units;

	for (uint32 i = 1; i < s->argc; i++)
		bytes += s->argv[i].len;
	if (unlikely(s->multi != NULL))
	{
		MultiFigures multi;

		/* within MULTI nothing else gets here: it is EXEC */
		tcop__multi_figures(s, &multi);
		if (multi.open)
			return (uint32) Min(multi.words / 2 + multi.bytes / THROTTLE_UNIT_BYTES + 1,
								(uint64) (THROTTLE_CREDIT * THROTTLE_TIMES_MAX));
	}
	units = Max((uint64) 1, s->argc / 2) + bytes / THROTTLE_UNIT_BYTES;
	return (uint32) Min(units, (uint64) (THROTTLE_CREDIT * THROTTLE_TIMES_MAX));
}

bool
tcop__hold(Session *s)
{
	uint64		delay_us;
	uint32		units;

	if (unlikely(s->credit > 0) && s->credit_us == tcop_now_us)
	{
		units = weight(s);
		if (units <= s->credit)
		{
			s->credit -= units;
			return false;
		}
	}
	s->credit = 0;
	delay_us = evict_write_delay_us();
	if (likely(delay_us == 0))
		return false;
	units = weight(s);
	delay_us *= Max((uint32) 1, units / THROTTLE_CREDIT);
	s->deadline_us = tcop_now_us + delay_us;
	s->held = true;
	stats_add(STAT_HELD, 1);
	stats_add(STAT_HELD_US, delay_us);
	return true;
}

void
tcop__hold_over(Session *s)
{
	uint32		units = weight(s);

	s->held = false;
	s->credit = units < THROTTLE_CREDIT ? THROTTLE_CREDIT - units : 0;
	s->credit_us = tcop_now_us;
}
