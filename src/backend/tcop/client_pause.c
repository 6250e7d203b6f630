/*
 * client_pause.c -- CLIENT PAUSE, UNPAUSE and UNBLOCK: holding the clients of all
 * workers, and ending the wait of one.
 *
 * The pause is one word in the segment (region MESSAGES): its end and whether it is
 * for writes or for all.  Every command looks at it before it begins, in one load;
 * one that has begun goes on.  A second PAUSE lengthens and widens the first, never
 * the opposite, as in Redis.  At UNPAUSE all workers are woken; the end of the time
 * needs no waking: who has held clients sleeps no longer.
 *
 * UNBLOCK goes the way of CLIENT KILL: a word in the client's entry, a count of its
 * worker, the latch.
 */
#include "common/c.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "tcop/message.h"
#include "tcop/multi.h"
#include "tcop/tcop_internal.h"
#include "utils/clock.h"

#define PAUSE_ALL 1				/* in the word's lowest bit; above it the end, clock_mono_us */

uint64
tcop_pause_end_us(void)
{
	/* relaxed: one number; a change may be seen a turn later, and comes with a latch */
	uint64		pause = atomic_load_explicit(&message_shared->pause, memory_order_relaxed);

	return pause >> 1 > tcop_now_us ? pause >> 1 : 0;
}

/* writes -- may this command change something, or tell others so? */
static bool
writes(const Session *s)
{
	const uint32 flags = CMD_WRITE | CMD_MAY_REPLICATE;

	return (s->command->flags & flags) != 0 || (s->command->run == tcop__exec && tcop__multi_has(s, flags));
}

bool
tcop__pause_holds(const Session *s)
{
	uint64		pause = atomic_load_explicit(&message_shared->pause, memory_order_relaxed);	/* relaxed: as above */

	return pause >> 1 > tcop_now_us && ((pause & PAUSE_ALL) != 0 || writes(s));
}

static void
wake_all(void)
{
	uint32		first = proc_first_slot(PROC_WORKER);

	for (uint32 i = 0; i < proc_kind_slots(PROC_WORKER); i++)
		latch_set(first + i);
}

TcopResult
tcop__client_pause(Session *s)
{
	uint64		old = atomic_load_explicit(&message_shared->pause, memory_order_relaxed);	/* relaxed: the CAS decides */
	uint64		now = clock_mono_us();
	uint64		end;
	uint64		new;
	int64		ms;
	bool		all = s->argc == 3 || tcop__arg_is(s, 3, "all");

	if (s->argc > 4)
	{
		tcop__error_help(s);
		return TCOP_DONE;
	}
	if (!all && !tcop__arg_is(s, 3, "write"))
	{
		reply_error(&s->out, "ERR CLIENT PAUSE mode must be WRITE or ALL");
		return TCOP_DONE;
	}
	if (!tcop__arg_int(s, 2, &ms, "timeout is not an integer or out of range"))
		return TCOP_DONE;
	if (ms < 0)
	{
		reply_error(&s->out, "ERR timeout is negative");
		return TCOP_DONE;
	}
	end = now + (uint64) Min(ms, INT64_MAX / 4000) * 1000;
	do
		new = (old >> 1 > now ? Max(old >> 1, end) << 1 | (old & PAUSE_ALL) : end << 1) | (all ? PAUSE_ALL : 0);
	while (!atomic_compare_exchange_weak_explicit(&message_shared->pause, &old, new,
												  memory_order_relaxed, memory_order_relaxed));	/* relaxed: one number */
	reply_ok(&s->out);
	return TCOP_DONE;
}

TcopResult
tcop__client_unpause(Session *s)
{
	atomic_store_explicit(&message_shared->pause, 0, memory_order_relaxed);	/* relaxed: the latches publish it */
	wake_all();
	reply_ok(&s->out);
	return TCOP_DONE;
}

/* ---- UNBLOCK ---- */
TcopResult
tcop__client_unblock(Session *s)
{
	bool		error = s->argc == 4 && tcop__arg_is(s, 3, "error");
	int64		id;
	bool		done = false;

	if (s->argc > 4)
	{
		tcop__error_help(s);
		return TCOP_DONE;
	}
	if (s->argc == 4 && !error && !tcop__arg_is(s, 3, "timeout"))
	{
		reply_error(&s->out, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
		return TCOP_DONE;
	}
	if (!tcop__arg_int(s, 2, &id, NULL))
		return TCOP_DONE;
	for (uint32 i = 0; i < client_table->entry_count && id > 0 && !done; i++)
		done = client_unblock(&client_table->entry[i], (uint64) id, error);
	reply_int(&s->out, done);
	return TCOP_DONE;
}

void
tcop_unblock(Session *s, bool error)
{
	if (s->command != NULL)
		s->unblocked = error ? UNBLOCKED_ERROR : UNBLOCKED_TIMEOUT;
}
