/*
 * persist.c -- commands about checkpoints: CHECKPOINT SAVE BGSAVE LASTSAVE
 * BGREWRITEAOF.
 *
 * All of them ask the checkpointer by a ticket; those that wait look every few
 * milliseconds whether the ticket has been served.  A connection that goes away
 * meanwhile leaves nothing behind but the request.
 *
 * None of this is needed for durability, which is the log's: a checkpoint shortens
 * the next recovery and lets memory go.
 */
#include "common/c.h"

#include "access/store/checkpoint.h"
#include "storage/ipc/segment.h"
#include "tcop/tcop_internal.h"

#define POLL_FIRST_US 500
#define POLL_MAX_US 20000

/* CheckpointWait -- what CHECKPOINT and SAVE keep from run to run */
typedef struct CheckpointWait
{
	uint64		ticket;
	uint64		pause_us;		/* until the next look */
} CheckpointWait;

/*
 * wait_checkpoint -- asks for one and waits for it: true: it is done, *r has its
 * report; else *result is what the command returns.
 */
static bool
wait_checkpoint(Session *s, CheckpointResult *r, TcopResult *result)
{
	CheckpointWait *w = s->state;

	if (w == NULL)
	{
		w = tcop__state(s, sizeof(CheckpointWait), NULL);
		w->ticket = checkpoint_request(CHECKPOINT_COMMAND);
		w->pause_us = POLL_FIRST_US;
	}
	else if (checkpoint_result(w->ticket, r))
	{
		*result = TCOP_DONE;
		if (r->error == 0 && r->round != 0)
			return true;
		reply_error(&s->out, "ERR checkpoint failed: %s", r->round == 0 ? "its report is not kept any more"
					: r->text[0] != '\0' ? r->text : strerror(r->error));
		return false;
	}
	s->deadline_us = tcop_now_us + w->pause_us;
	w->pause_us = Min(w->pause_us * 2, (uint64) POLL_MAX_US);
	*result = TCOP_LATER;
	return false;
}

TcopResult
tcop__checkpoint(Session *s)
{
	CheckpointResult r;
	TcopResult	result;

	if (!wait_checkpoint(s, &r, &result))
		return result;

	const struct
	{
		const char *name;
		uint64		value;
	}			report[] = {
		{"round", r.round}, {"cut", r.cut}, {"keys-written", r.keys_written}, {"keys-removed", r.keys_removed},
		{"pages-to-write", r.pages_to_write}, {"pages-written", r.pages_written}, {"pages-to-free", r.pages_to_free},
		{"pages-freed", r.pages_freed}, {"bytes-written", r.bytes_written}, {"duration-us", r.duration_us},
	};

	reply_map(&s->out, lengthof(report));
	for (size_t i = 0; i < lengthof(report); i++)
	{
		reply_text(&s->out, report[i].name);
		reply_int(&s->out, (int64) report[i].value);
	}
	return TCOP_DONE;
}

TcopResult
tcop__save(Session *s)
{
	CheckpointResult r;
	TcopResult	result;

	if (wait_checkpoint(s, &r, &result))
		reply_ok(&s->out);
	return result;
}

TcopResult
tcop__bgsave(Session *s)
{
	CheckpointStatus status;
	bool		schedule = s->argc == 2 && tcop__arg_is(s, 1, "schedule");

	if (s->argc > 1 && !schedule)
	{
		tcop__error_syntax(s);
		return TCOP_DONE;
	}
	checkpoint_status(&status);
	(void) checkpoint_request(CHECKPOINT_COMMAND);
	/* one that runs does not hold what was written since: ours comes after it */
	reply_simple(&s->out, schedule && status.step != CHECKPOINT_IDLE ? "Background saving scheduled"
				 : "Background saving started");
	return TCOP_DONE;
}

uint64
tcop__last_save(const CheckpointStatus *status)
{
	uint64		us = status->last_commit_wall_us;

	/* a round that found nothing to write commits nothing, and yet all is saved */
	if (status->last.round != 0 && status->last.error == 0)
		us = Max(us, status->last.ended_wall_us);
	if (us == 0)				/* recovery is still reading the control file */
		us = atomic_load_explicit(&seg_control->start_wall_us, memory_order_relaxed);	/* relaxed: constant */
	return us / 1000000;
}

TcopResult
tcop__lastsave(Session *s)
{
	CheckpointStatus status;

	checkpoint_status(&status);
	reply_int(&s->out, (int64) tcop__last_save(&status));
	return TCOP_DONE;
}

TcopResult
tcop__bgrewriteaof(Session *s)
{
	(void) checkpoint_request(CHECKPOINT_COMMAND);
	reply_simple(&s->out, "Background append only file rewriting started");
	return TCOP_DONE;
}
