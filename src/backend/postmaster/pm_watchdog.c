/*
 * pm_watchdog.c -- who stands still and holds the others back?
 *
 * A process that is stopped, swapped out or lost in a loop between reserving log
 * and filling it holds back everybody's durability; inside an epoch it holds back
 * reclamation.  Once a second the postmaster looks at each slot.  A slot holds
 * something back when its reservation is the same as at the last look, or when
 * its epoch word is the same and active and its heartbeat has not moved (a busy
 * process passes through the same epoch many times; its heartbeat tells).
 *
 * Time is counted in looks, not by a clock: when the postmaster itself, or the
 * whole machine, stood still, nobody else is blamed for it.
 *
 * Reads atomics only.
 */
#include "postmaster/postmaster_internal.h"
#include "storage/ipc/segment.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <bsd/string.h>

typedef struct Watch
{
	uint64		wal_word;
	uint64		epoch_word;
	uint64		heartbeat;
	uint32		ticks;			/* looks in a row at which it held something back without moving */
	bool		reported;
} Watch;

static Watch watches[PROC_SLOTS_MAX];

void
pm_watchdog_reset(void)
{
	memset(watches, 0, sizeof(watches));
}

/* stall_timeout_ms -- as CONFIG SET left it, if the checkpointer has said so. */
static uint64
stall_timeout_ms(void)
{
	/* relaxed: a figure */
	uint64		told = atomic_load_explicit(&seg_control->stall_timeout_ms, memory_order_relaxed);

	return told != 0 ? told : (uint64) set_worker_stall_timeout;
}

/* look_at -- one slot; true: it holds something back and has not moved since the last look. */
static bool
look_at(const ProcSlot *slot, Watch *w, bool *holds_log, bool *holds_epoch)
{
	/* relaxed: figures, compared with themselves a second later */
	uint64		wal_word = atomic_load_explicit(&slot->wal_word, memory_order_relaxed);
	uint64		epoch_word = atomic_load_explicit(&slot->epoch_word, memory_order_relaxed);
	uint64		heartbeat = atomic_load_explicit(&slot->heartbeat, memory_order_relaxed);

	*holds_log = (wal_word & 3) != WAL_RES_IDLE && wal_word == w->wal_word;
	*holds_epoch = (epoch_word & 1) != 0 && epoch_word == w->epoch_word && heartbeat == w->heartbeat;
	w->wal_word = wal_word;
	w->epoch_word = epoch_word;
	w->heartbeat = heartbeat;
	return *holds_log || *holds_epoch;
}

static void
report_stall(uint32 number, const Watch *w, bool holds_log, bool holds_epoch)
{
	const ProcSlot *slot = proc_slot(number);
	char		name[PROC_NAME_MAX];
	char		doing[PROC_DOING_MAX];
	char		what[128] = "";

	memcpy(doing, slot->doing, sizeof(doing));
	doing[sizeof(doing) - 1] = '\0';
	if (holds_log)
		(void) snprintf(what, sizeof(what), "the log at %" LSN_FORMAT, LSN_ARGS((w->wal_word >> 2) << 3));
	if (holds_epoch)
		(void) strlcat(what, holds_log ? " and the reuse of memory" : "the reuse of memory", sizeof(what));
	ereport(WARNING, "%s (PID %d) has stood still for %u s and holds back %s, while doing: %s",
			proc_name(number, name, sizeof(name)), (int) pm_child_pid(number), w->ticks * PM_TICK_MS / 1000, what, doing);
}

void
pm_watchdog_tick(void)
{
	uint64		timeout_ms = stall_timeout_ms();

	for (uint32 i = proc_first_slot(PROC_WALWRITER); i < proc_slot_count; i++)
	{
		Watch	   *w = &watches[i];
		bool		holds_log;
		bool		holds_epoch;

		if (pm_child_pid(i) == 0)
			continue;
		if (look_at(proc_slot(i), w, &holds_log, &holds_epoch))
		{
			w->ticks++;
			if (!w->reported && (uint64) w->ticks * PM_TICK_MS >= timeout_ms)
			{
				w->reported = true;
				report_stall(i, w, holds_log, holds_epoch);
			}
			continue;
		}
		if (w->reported)
		{
			char		name[PROC_NAME_MAX];

			ereport(LOG, "%s (PID %d) moves again after %u s", proc_name(i, name, sizeof(name)), (int) pm_child_pid(i),
					w->ticks * PM_TICK_MS / 1000);
		}
		w->ticks = 0;
		w->reported = false;
	}
}

void
pm_watchdog_report_waiting(void)
{
	char		list[400] = "";

	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		char		name[PROC_NAME_MAX];
		char		one[PROC_NAME_MAX + 24];

		if (pm_child_pid(i) == 0)
			continue;
		(void) snprintf(one, sizeof(one), "%s%s (PID %d)", list[0] != '\0' ? ", " : "",
						proc_name(i, name, sizeof(name)), (int) pm_child_pid(i));
		(void) strlcat(list, one, sizeof(list));
	}
	ereport(LOG, "still waiting for the end of %s", list);
}
