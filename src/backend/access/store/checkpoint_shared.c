/*
 * checkpoint_shared.c -- region CHECKPOINT: who asks for checkpoints, what became of them.
 *
 * A request is a ticket: the number of the round that will serve it.  Requests and
 * the number of the round that takes them stand in one word, so that the round a
 * request is told is the round that takes it.  The checkpointer takes them all at
 * a round's begin, before it reads the log's position: so everything that a
 * requester wrote before it asked is below the cut of its round.  More than
 * CHECKPOINT_REQUESTS_MAX stay for the rounds after it.
 *
 * Nobody waits here: whoever holds a ticket looks at checkpoint_result, and is
 * woken (its latch) when a round ends.  A requester that goes away leaves nothing
 * behind: the result lies in a ring and is overwritten CHECKPOINT_RESULTS rounds
 * later.
 *
 * Any process; nothing sleeps.  If one dies here, the word is as before or after.
 */
#include "common/c.h"

#include "access/store/checkpoint_internal.h"
#include "storage/ipc/latch.h"

#include <errno.h>
#include <bsd/string.h>

CheckpointShared *checkpoint_shared;

#define PENDING_COUNT(word) ((uint32) ((word) & 0xffff))
#define PENDING_CAUSES(word) ((uint32) ((word) >> 16 & 0xff))
#define PENDING_ROUND(word) ((word) >> 24)

static inline uint64
make_pending(uint64 round, uint32 causes, uint32 count)
{
	return round << 24 | (uint64) causes << 16 | count;
}

size_t
checkpoint_region_size(void)
{
	return sizeof(CheckpointShared);
}

void
checkpoint_region_init(void *region)
{
	checkpoint_shared = region;
	checkpoint_shared->magic = CHECKPOINT_MAGIC;
	atomic_init(&checkpoint_shared->pending, make_pending(1, 0, 0));
}

/* ---- records under a version ---- */

static void
record_write(_Atomic uint64 *version, _Atomic uint64 *words, const void *from, size_t size, uint64 new_version)
{
	uint64		word;

	/* relaxed: each word below is a release that passes it on */
	atomic_store_explicit(version, 0, memory_order_relaxed);
	for (size_t i = 0; i * 8 < size; i++)
	{
		word = 0;
		memcpy(&word, (const char *) from + i * 8, Min(8, size - i * 8));
		atomic_store_explicit(&words[i], word, memory_order_release);	/* release [checkpoint-word]: the version's 0 */
	}
	atomic_store_explicit(version, new_version, memory_order_release);	/* release [checkpoint-record] */
}

/* record_read -- false: it is being written, or has another version ('wanted' 0: any will do). */
static bool
record_read(_Atomic uint64 *version, _Atomic uint64 *words, void *to, size_t size, uint64 wanted)
{
	uint64		before = atomic_load_explicit(version, memory_order_acquire);	/* acquire [checkpoint-record] */
	uint64		word;

	if (before == 0 || (wanted != 0 && before != wanted))
		return false;
	for (size_t i = 0; i * 8 < size; i++)
	{
		word = atomic_load_explicit(&words[i], memory_order_acquire);	/* acquire [checkpoint-word] */
		memcpy((char *) to + i * 8, &word, Min(8, size - i * 8));
	}
	/* relaxed: behind the acquires above */
	return atomic_load_explicit(version, memory_order_relaxed) == before;
}

/* ---- requests ---- */

uint64
checkpoint_request(uint32 cause)
{
	_Atomic uint64 *pending = &checkpoint_shared->pending;
	/* acquire [checkpoint-pending] */
	uint64		word = atomic_load_explicit(pending, memory_order_acquire);
	uint64		ticket;
	uint64		next;

	Assert(!epoch_inside() && cause != 0 && (cause & ~UINT32_C(0xff)) == 0);
	do
	{
		uint32		count = PENDING_COUNT(word);

		/* who waits for no report asks once, however often */
		if ((cause & CHECKPOINT_COMMAND) == 0 && (PENDING_CAUSES(word) & cause) == cause && count > 0)
		{
			ticket = PENDING_ROUND(word);
			next = word;
		}
		else
		{
			ticket = PENDING_ROUND(word) + count / CHECKPOINT_REQUESTS_MAX;
			next = make_pending(PENDING_ROUND(word), PENDING_CAUSES(word) | cause, Min(count + 1, UINT32_C(0xffff)));
		}
		/* seq_cst [checkpoint-pending]: release of what the requester did before, and before the latch is looked at */
	} while (!atomic_compare_exchange_weak_explicit(pending, &word, next, memory_order_seq_cst, memory_order_acquire));
	latch_set(proc_first_slot(PROC_CHECKPOINTER));
	return ticket;
}

uint32
checkpoint__pending_causes(void)
{
	/* acquire [checkpoint-pending] */
	uint64		word = atomic_load_explicit(&checkpoint_shared->pending, memory_order_acquire);

	return PENDING_COUNT(word) > 0 ? PENDING_CAUSES(word) : 0;
}

uint64
checkpoint__take(uint32 *causes, uint32 *requests)
{
	_Atomic uint64 *pending = &checkpoint_shared->pending;
	/* acquire [checkpoint-pending] */
	uint64		word = atomic_load_explicit(pending, memory_order_acquire);
	uint64		next;

	do
	{
		uint32		count = PENDING_COUNT(word);
		uint32		left = count > CHECKPOINT_REQUESTS_MAX ? count - CHECKPOINT_REQUESTS_MAX : 0;

		*causes = count > 0 ? PENDING_CAUSES(word) : 0;
		*requests = count - left;
		next = make_pending(PENDING_ROUND(word) + 1, left > 0 ? *causes : 0, left);
		/* seq_cst [checkpoint-pending]: the log's position is read behind this */
	} while (!atomic_compare_exchange_weak_explicit(pending, &word, next, memory_order_seq_cst, memory_order_acquire));
	figure_set(&checkpoint_shared->running, PENDING_ROUND(word));
	return PENDING_ROUND(word);
}

/* ---- results ---- */

void
checkpoint__put_result(const CheckpointResult *result)
{
	uint64		at = result->round % CHECKPOINT_RESULTS;

	record_write(&checkpoint_shared->result_version[at], checkpoint_shared->result[at], result, sizeof(*result),
				 result->round);
	figure_set(&checkpoint_shared->running, 0);
	/* release [checkpoint-ended]: the result */
	atomic_store_explicit(&checkpoint_shared->ended, result->round, memory_order_release);
	/* whoever holds a ticket: its command runs again; few processes, and seldom */
	for (uint32 i = 0; i < proc_slot_count; i++)
		if (proc_kind_of(i) == PROC_WORKER || proc_kind_of(i) == PROC_EVICTOR)
			latch_set(i);
}

bool
checkpoint_result(uint64 ticket, CheckpointResult *out)
{
	uint64		at = ticket % CHECKPOINT_RESULTS;
	uint64		ended;

	if (ticket == 0)
		return false;
	if (record_read(&checkpoint_shared->result_version[at], checkpoint_shared->result[at], out, sizeof(*out), ticket))
		return true;
	ended = atomic_load_explicit(&checkpoint_shared->ended, memory_order_acquire);	/* acquire [checkpoint-ended] */
	if (ended < ticket + CHECKPOINT_RESULTS - 1)
		return false;			/* under way, or to come, or just being written */
	memset(out, 0, sizeof(*out));
	out->round = ticket;
	out->error = ESTALE;
	(void) strlcpy(out->text, "its report is no longer kept", sizeof(out->text));
	return true;
}

/* ---- what is in force ---- */

void
checkpoint__put_force(const CheckpointInForce *force)
{
	static uint64 version;		/* of this process; never 0, and never the one before */

	/* relaxed: one writer; what another process wrote last came before this one was forked */
	version = Max(version, atomic_load_explicit(&checkpoint_shared->force_version, memory_order_relaxed)) + 1;
	record_write(&checkpoint_shared->force_version, checkpoint_shared->force, force, sizeof(*force), version);
}

void
checkpoint__get_force(CheckpointInForce *force)
{
	memset(force, 0, sizeof(*force));
	/* it is written in a moment; before recovery there is none */
	for (int i = 0; i < 1000; i++)
		if (record_read(&checkpoint_shared->force_version, checkpoint_shared->force, force, sizeof(*force), 0))
			return;
	memset(force, 0, sizeof(*force));
}

uint64
checkpoint__redone_bytes(const ControlData *control)
{
	uint64		bytes = control->flushed > control->cut ? control->flushed - control->cut : 0;

	for (uint32 i = 0; i < control->gap_count; i++)
	{
		Lsn			from = Max(control->gap[i].from, control->cut);
		Lsn			to = Min(control->gap[i].to, control->flushed);

		if (from < to)
			bytes -= Min(bytes, to - from);
	}
	return bytes;
}

void
checkpoint_recovered(const struct ControlData *control)
{
	CheckpointInForce force = {
		.cut = control->cut,
		.older_cut = control->older_cut,
		.base = control->base,
		.commit_wall_us = control->checkpoints > 0 ? control->written_wall_us : 0,
		.redone_bytes = checkpoint__redone_bytes(control),
	};

	checkpoint__put_force(&force);
}

uint64
checkpoint__changed_bytes(const CheckpointInForce *force)
{
	Lsn			insert = wal_insert_lsn();

	if (force->cut >= wal_shared->start_lsn)
		return insert > force->cut ? insert - force->cut : 0;
	return force->redone_bytes + (insert > wal_shared->start_lsn ? insert - wal_shared->start_lsn : 0);
}

uint64
checkpoint__linked_sum(void)
{
	uint64		sum = 0;

	for (uint32 i = 0; i < proc_slot_count; i++)
		/* relaxed: exact a grace period after the last one who may link */
		sum += atomic_load_explicit(&store_shared->counts[i].linked, memory_order_relaxed);
	return sum;
}

/* ---- status ---- */

void
checkpoint__set_step(CheckpointStep step)
{
	/* relaxed: a figure */
	atomic_store_explicit(&checkpoint_shared->step, (uint32) step, memory_order_relaxed);
}

const char *
checkpoint_step_name(CheckpointStep step)
{
	static const char *const names[] = {
		[CHECKPOINT_IDLE] = "idle",
		[CHECKPOINT_ANNOUNCE] = "announcing",
		[CHECKPOINT_MERGE] = "merging",
		[CHECKPOINT_WAIT_LOG] = "waiting for the log",
		[CHECKPOINT_COMMIT] = "committing",
		[CHECKPOINT_PUBLISH] = "publishing",
		[CHECKPOINT_RELEASE] = "releasing",
	};

	return (size_t) step < lengthof(names) ? names[step] : "unknown";
}

const char *
checkpoint__cause_names(uint32 causes, char *to)
{
	static const struct
	{
		uint32		bit;
		const char *name;
	} list[] = {
		{CHECKPOINT_TIME, "time"}, {CHECKPOINT_LOG, "log"}, {CHECKPOINT_MEMORY, "memory"},
		{CHECKPOINT_COMMAND, "command"}, {CHECKPOINT_STOP, "stop"},
	};

	to[0] = '\0';
	for (size_t i = 0; i < lengthof(list); i++)
		if (causes & list[i].bit)
		{
			if (to[0] != '\0')
				(void) strlcat(to, ", ", CHECKPOINT_CAUSES_TEXT);
			(void) strlcat(to, list[i].name, CHECKPOINT_CAUSES_TEXT);
		}
	return to;
}

void
checkpoint_status(CheckpointStatus *out)
{
	CheckpointShared *s = checkpoint_shared;
	CheckpointInForce force;
	uint64		ended = atomic_load_explicit(&s->ended, memory_order_acquire);	/* acquire [checkpoint-ended] */
	uint64		linked = checkpoint__linked_sum();

	memset(out, 0, sizeof(*out));
	checkpoint__get_force(&force);
	out->step = (CheckpointStep) atomic_load_explicit(&s->step, memory_order_relaxed);	/* relaxed: for status */
	out->failing = figure_get(&s->failing) != 0;
	out->rounds_attempted = figure_get(&s->attempted);
	out->rounds_failed_in_row = figure_get(&s->failed_in_row);
	out->rounds_committed = figure_get(&s->committed);
	out->pages_written = figure_get(&s->pages_written);
	out->pages_to_write = Max(figure_get(&s->pages_to_write), out->pages_written);
	out->progress = (double) figure_get(&s->progress_ppm) / 1e6;
	out->cut = force.cut;
	out->older_cut = force.older_cut;
	out->base = force.base;
	out->last_commit_wall_us = force.commit_wall_us;
	out->changed_bytes = checkpoint__changed_bytes(&force);
	if (ended == 0 || !checkpoint_result(ended, &out->last))
		memset(&out->last, 0, sizeof(out->last));
	out->pages_written_total = figure_get(&s->pages_total);
	out->keys_written_total = figure_get(&s->keys_total);
	out->linked = linked - Min(linked, figure_get(&s->linked_released));
	out->segments_recycled = figure_get(&s->segments_recycled);
}
