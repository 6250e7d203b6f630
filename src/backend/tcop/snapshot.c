/*
 * snapshot.c -- SNAPSHOT OPEN, CLOSE, LIST.
 *
 * A snapshot belongs to its connection: from OPEN to CLOSE every command that reads
 * speaks of the database as it was then (tcop_run puts the snapshot in use), and one that
 * writes is refused.  It goes with the connection, and by RESET.  A snapshot that was
 * ended by a limit stays with the connection, as an error that each read is told, until
 * it is closed.
 *
 * OPEN waits for a grace period and for the records below its position: it parks
 * like a FLUSHDB.  Its reply, like everything that is read with it, waits until the
 * log is flushed up to its position.
 */
#include "common/c.h"

#include "tcop/tcop_internal.h"

static void
opening_free(void *state)
{
	StoreSnapshot **opening = state;

	store_snapshot_close(*opening);
	free(opening);
}

TcopResult
tcop__snapshot_open(Session *s)
{
	StoreSnapshot **opening = s->state;
	TcopResult	result;

	if (s->snapshot != NULL)
	{
		reply_error(&s->out, "ERR a snapshot is open on this connection already: SNAPSHOT CLOSE comes first");
		return TCOP_DONE;
	}
	if (opening == NULL)
	{
		opening = tcop__state(s, sizeof(*opening), opening_free);
		*opening = store_snapshot_create(s->id);
	}
	if (!tcop__status(s, store_snapshot_open(*opening), &result))
		return result;
	s->snapshot = *opening;
	*opening = NULL;
	s->gate = Max(s->gate, store_snapshot_lsn(s->snapshot));
	reply_int(&s->out, (int64) store_snapshot_lsn(s->snapshot));
	return TCOP_DONE;
}

void
tcop__snapshot_drop(Session *s)
{
	store_snapshot_close(s->snapshot);
	s->snapshot = NULL;
}

TcopResult
tcop__snapshot_close(Session *s)
{
	if (s->snapshot == NULL)
		reply_error(&s->out, "ERR no snapshot is open on this connection");
	else
	{
		tcop__snapshot_drop(s);
		reply_ok(&s->out);
	}
	return TCOP_DONE;
}

TcopResult
tcop__snapshot_list(Session *s)
{
	StoreSnapshotInfo list[STORE_SNAPSHOTS_MAX];
	uint32		count = store_snapshot_list(list);

	reply_array(&s->out, count);
	for (uint32 i = 0; i < count; i++)
	{
		const StoreSnapshotInfo *x = &list[i];

		reply_map(&s->out, 5);
		reply_text(&s->out, "lsn");
		reply_int(&s->out, (int64) x->lsn);
		reply_text(&s->out, "client");
		reply_int(&s->out, (int64) x->client);
		reply_text(&s->out, "age-ms");
		reply_int(&s->out, (int64) (x->age_us / 1000));
		reply_text(&s->out, "base-cut");
		reply_int(&s->out, (int64) x->base_cut);
		reply_text(&s->out, "state");
		reply_text(&s->out, x->ended != NULL ? x->ended : x->lsn == LSN_NONE ? "opening" : "open");
	}
	return TCOP_DONE;
}
