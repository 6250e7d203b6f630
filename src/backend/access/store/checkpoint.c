/*
 * checkpoint.c -- a checkpoint: the database as of a cut becomes the base.
 *
 * A checkpoint is a snapshot at its cut, written out.  The checkpointer makes one
 * round for all who have asked (checkpoint_shared.c), in seven steps:
 *
 *   (1) announce.  The map of databases is locked; the checkpoint's position in the
 *       table of snapshots := UNKNOWN; one grace period; cut := insert; position := cut;
 *       the map as of the cut is exported and unlocked; then wait until completed >= cut
 *   (2) walk the dirty parts of the overlay, taking of each key the newest version
 *       at or below the cut (checkpoint_walk.c)
 *   (3) merge them with the base into new pages (access/base)
 *   (4) wait until flushed >= cut: the base must not hold what the log could lose
 *   (5) sync the data file; write and sync the other control slot: that is the commit
 *   (6) publish root, cut and counts in shared memory
 *   (7) one grace period later evict_cut := cut; release links; recycle log
 *
 * Why the announcement is in that order (the same for all snapshots, store_snapshot.c).
 * Writers read the table inside their epoch, before they build their leaf and so before
 * they reserve log.
 *   - Who read NONE entered before our grace period began, or had entered before it
 *     could see the announcement (epoch.h), so it has left when the grace period is
 *     over, and what it reserved lies below 'insert' as we read it then.  Hence every
 *     version above the cut was built by somebody who read UNKNOWN or the cut.
 *   - Who read UNKNOWN links what it replaces, whatever its LSN.
 *   - Who read the cut reserves after we have read 'insert' (our store of the cut
 *     stands between): its version lies above the cut.  It links the replaced version
 *     L if L.lsn <= cut; else L was itself built by somebody who read UNKNOWN or the
 *     cut, so L's link leads on to what is needed, and is inherited.
 * So from the leaf in the tree, if its version lies above the cut, links lead to the
 * newest one at or below it, if the overlay had one.  Were the cut read before the
 * grace period, a writer that had read NONE could still publish above it, without a
 * link.  Were it stored before it is known what it is, there would be nothing to store;
 * hence UNKNOWN.  A writer that read UNKNOWN and came out below the cut has linked for
 * nothing; step (7) takes that back.
 *
 * From completed >= cut on, every record below the cut is published in the overlay.
 * What happens behind the walk lies above the cut.
 *
 * The checkpoint does not need the links once the merge has returned, whatever it
 * returned: position := NONE then, before (4).  Links of that time go in (7), a grace
 * period later (a writer that read the cut may still be about to publish one), after a
 * failed attempt as well; those that a client's snapshot needs stay (store_release.c).
 *
 * Clients' snapshots read older roots: the pages that these reach are set aside for as
 * long (base_space.c; the table is read after the grace period of (1), in which the root
 * in force was published long ago).
 *
 * Why (7) waits.  Readers take the root and then decide by what the overlay lacks.
 * Once everybody who may have read the old root has left, a leaf with lsn <= cut may
 * leave memory: whoever misses it reads a root that holds it.
 *
 * What the log is kept for: either control slot may be the one that the next start
 * finds.  So it is recycled below the smaller cut of the two as the file says,
 * read back after the commit; never below what is only in memory.
 *
 * Failures.  Whatever fails before the first byte of the control slot fails this
 * attempt alone: snapshot closed, pages given back (base_merge_abandon), nothing
 * published; every leaf stays dirty, because dirty is what lies above the cut in
 * force; the log stays.  The next attempt has a new cut, hence pages of a new
 * birth: if the log has not moved since the failed one, a VOID moves it.  From the
 * control slot on any error is PANIC (control.c).
 *
 * Order of locks: map lock, nothing else; the control file's lock is taken and
 * given back within (5).  Waits are in short sleeps with a look at the stop order;
 * those that take long are logged.  Private memory: WALK_PIECE_BYTES, and what
 * access/base takes for its batches and the free map.
 *
 * If the checkpointer dies: before (5) is durable the old slot is in force and
 * nothing it reaches was touched; after it, recovery finds the new one.  Today
 * all are restarted, so what it left announced or locked goes with the segment.
 */
#include "common/c.h"

#include "access/base/control.h"
#include "access/store/checkpoint_internal.h"
#include "access/wal/wal_keep.h"
#include "storage/file/file.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/procsignal.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <errno.h>
#include <stdarg.h>
#include <time.h>

#define MAP_LOCK_WAIT_US 10000000	/* a change of the map takes a grace period */
#define LONG_WAIT_US 1000000		/* a wait is logged after this, and then after twice as long each time */
#define STOP_WAIT_US 1000000		/* during a stop nobody else is left who could bring us on */
#define VOID_WAIT_US 5000000
#define POLL_EVERY_US 10000
#define SPREAD_SLEEP_US 20000
#define RETRY_MIN_US 1000000
#define RETRY_MAX_US 30000000
#define TIDY_PAGES_MIN 64			/* pages set aside that make a round worth its while when nothing was written */

/* what the checkpointer knows between rounds; private */
static struct
{
	char		data_dir[1024];
	BaseWriter *writer;
	ControlData control;		/* the slot in force */
	uint64		ended_us;		/* of the last round */
	uint32		own_causes;		/* of the round that checkpoint_due wants */
	Lsn			failed_cut;		/* of the last attempt, if it failed after its cut was known; its pages carry this birth */
	bool		failed;			/* the last attempt */
	uint64		retry_at_us;
	uint64		retry_us;
	Lsn			linked_since;	/* heads published after this may have a link left; LSN_NONE: none has */
	uint64		other_pages;	/* length of the file by the other slot, as far as known */
	bool		tidy;			/* the last round that had nothing to write but room to gain has gained none */
} ckpt;

/* Round -- one round, from the taking of the requests to their answer */
typedef struct Round
{
	CheckpointResult result;
	bool		(*poll)(void);
	bool		spread;			/* begun by time or log volume alone */
	uint64		begun_us;
	uint64		polled_us;
	Lsn			announced;		/* the log's position at the announcement */
	WalMapBody	map;			/* as of the cut */
	CheckpointWalk walk;
	BaseState	base;			/* the new one */
	BaseReport	report;
	uint64		log_us;			/* waited for the log */
	uint64		sync_us;		/* for the data file and the control file */
} Round;

/* ---- small helpers ---- */

/* fail -- why this attempt has failed; the first reason counts.  Returns false. */
static bool attribute_printf(3, 4)
fail(Round *r, int error, const char *fmt, ...)
{
	va_list		args;

	if (r->result.error != 0)
		return false;
	r->result.error = error != 0 ? error : EIO;
	va_start(args, fmt);
	errno = error;
	vsnprintf(r->result.text, sizeof(r->result.text), fmt, args);
	va_end(args);
	return false;
}

static bool
given_up(Round *r)
{
	return fail(r, ECANCELED, "given up: the server stops");
}

static void
sleep_us(uint64 us)
{
	struct timespec t = {(time_t) (us / 1000000), (long) (us % 1000000) * 1000};

	(void) nanosleep(&t, NULL);
}

/* poll_now -- life goes on beside the checkpoint; false: give up. */
static bool
poll_now(Round *r)
{
	proc_heartbeat();
	r->polled_us = clock_mono_us();
	return r->poll();
}

static bool
stop_ordered(void)
{
	return proc_stop_smart || proc_stop_fast;
}

/* Wait -- for something that others bring about: short sleeps, growing; heard of when it takes long */
typedef struct Wait
{
	const char *what;
	uint64		begun_us;
	uint64		bound_us;		/* 0: none, unless the server stops */
	uint64		report_us;
	uint64		step_us;
} Wait;

static Wait
wait_begin(const char *what, uint64 bound_us)
{
	uint64		now = clock_mono_us();

	return (Wait) {.what = what, .begun_us = now, .bound_us = bound_us, .report_us = now + LONG_WAIT_US, .step_us = 10};
}

/* wait_step -- sleep a little; false: the attempt has failed. */
static bool
wait_step(Round *r, Wait *w)
{
	uint64		now;

	sleep_us(w->step_us);
	w->step_us = Min(w->step_us * 2, 1000);
	now = clock_mono_us();
	if (now - r->polled_us >= POLL_EVERY_US && !poll_now(r))
		return given_up(r);
	if (now >= w->report_us)
	{
		ereport(LOG, "checkpoint %llu waits for %s, since %.1f s", (unsigned long long) r->result.round, w->what,
				(double) (now - w->begun_us) / 1e6);
		w->report_us = now + (now - w->begun_us);
	}
	if ((w->bound_us != 0 && now - w->begun_us >= w->bound_us)
		|| (stop_ordered() && now - w->begun_us >= STOP_WAIT_US))
		return fail(r, ETIMEDOUT, "waited %.1f s for %s", (double) (now - w->begun_us) / 1e6, w->what);
	return true;
}

/* wait_grace -- as epoch_wait_grace, but it can be given up. */
static bool
wait_grace(Round *r)
{
	uint64		started = epoch_grace_start();
	Wait		w = wait_begin("every process to leave its epoch", 0);
	bool		ok = true;

	proc_set_wait(WAIT_GRACE_PERIOD);
	while (ok && !epoch_grace_passed(started))
		ok = wait_step(r, &w);
	proc_set_wait(WAIT_NONE);
	return ok;
}

/* ---- (1) announce ---- */

/* move_log -- a VOID, so that the cut, and with it the birth of the pages, is a new one. */
static bool
move_log(Round *r)
{
	Wait		w = wait_begin("room in the log", VOID_WAIT_US);
	WalReservation v;

	for (;;)
	{
		WalReserve	status;

		epoch_enter();
		status = wal_reserve(0, 0, &v);
		if (status == WAL_RESERVED)
			wal_fill_void(&v);
		epoch_leave();
		if (status == WAL_RESERVED)
			return true;
		if (status == WAL_DISK_FULL)
		{
			/* acquire [wal-space] */
			int			error = (int) atomic_load_explicit(&wal_shared->space_errno, memory_order_acquire);

			return fail(r, error, "could not write to the log: %s", strerror(error != 0 ? error : ENOSPC));
		}
		wal_want(wal_insert_lsn(), WAL_NOW);
		if (!wait_step(r, &w))
			return false;
	}
}

static bool
lock_map(Round *r)
{
	Wait		w = wait_begin("a change of the map of databases", MAP_LOCK_WAIT_US);

	while (!store__map_try_lock())
		if (!wait_step(r, &w))
			return false;
	return true;
}

/* take_cut -- the map is locked, the announcement stands. */
static bool
take_cut(Round *r)
{
	Lsn			cut;

	if (!wait_grace(r))
		return false;
	FAULT_POINT("checkpoint-grace");
	cut = wal_insert_lsn();
	store__checkpoint_snapshot(cut);
	r->result.cut = cut;
	FAULT_POINT("checkpoint-cut");
	store__map_export(&r->map);
	checkpoint__walk_begin(&r->walk, &ckpt.control, r->poll);
	return true;
}

static bool
wait_completed(Round *r)
{
	Wait		w = wait_begin("the records below the cut to be filled in", 0);

	for (;;)
	{
		wal_completed_update();
		if (wal_completed_lsn() >= r->result.cut)
			break;
		if (!wait_step(r, &w))
			return false;
	}
	FAULT_POINT("checkpoint-completed");
	return true;
}

static bool
announce(Round *r)
{
	bool		ok;

	checkpoint__set_step(CHECKPOINT_ANNOUNCE);
	elog_doing("checkpoint: announcing");
	FAULT_POINT("checkpoint-begin");
	/* a cut must not be that of pages which a failed attempt has left in the file, nor the one in force */
	if (wal_insert_lsn() <= Max(ckpt.failed_cut, ckpt.control.cut) && !move_log(r))
		return false;
	if (!lock_map(r))
		return false;
	r->announced = wal_insert_lsn();
	store__checkpoint_snapshot(STORE_SNAPSHOT_UNKNOWN);
	if (ckpt.linked_since == LSN_NONE)
		ckpt.linked_since = r->announced;
	FAULT_POINT("checkpoint-announced");
	ok = take_cut(r);
	store__map_unlock();
	if (ok)
		ok = wait_completed(r);
	if (ok)
		checkpoint__walk_cut(&r->walk, r->result.cut, ckpt.control.cut);
	return ok;
}

/* ---- (2) and (3) merge ---- */

/* must_hurry -- somebody waits who did not when this round began. */
static bool
must_hurry(void)
{
	return stop_ordered() ||
		(checkpoint__pending_causes() & (CHECKPOINT_COMMAND | CHECKPOINT_MEMORY | CHECKPOINT_STOP)) != 0;
}

/* ahead_of_schedule -- is the walk further than time and log volume ask for? */
static bool
ahead_of_schedule(const Round *r)
{
	double		target = (double) set_checkpoint_completion_target / 100.0;
	double		time_part = (double) (clock_mono_us() - r->begun_us) / ((double) set_checkpoint_timeout * 1000.0);
	double		log_part = (double) (wal_insert_lsn() - r->result.cut) / (double) set_max_wal_size;

	return r->walk.progress * target > Max(time_part, log_part);
}

/* spread -- sleep while there is time; false: give up. */
static bool
spread(Round *r)
{
	bool		ok = true;

	while (ok && r->spread && !must_hurry() && ahead_of_schedule(r))
	{
		elog_doing("checkpoint: spreading its writes");
		proc_set_wait(WAIT_CHECKPOINT_SPREAD);
		latch_reset();
		latch_sleep(SPREAD_SLEEP_US);
		proc_set_wait(WAIT_NONE);
		ok = poll_now(r);
	}
	elog_doing("checkpoint: merging");
	return ok;
}

/* between -- after each batch of the merge. */
static bool
between(void *arg, uint64 pages_written)
{
	/* the walk is the source's arg, and the round's */
	Round	   *r = (Round *) ((char *) arg - offsetof(Round, walk));

	figure_set(&checkpoint_shared->pages_written, pages_written);
	figure_set(&checkpoint_shared->progress_ppm, (uint64) (r->walk.progress * 1e6));
	if (!poll_now(r) || !spread(r))
		return given_up(r);
	return true;
}

static bool
merge(Round *r)
{
	BaseSource	source = {.between = between};
	bool		ok;

	checkpoint__set_step(CHECKPOINT_MERGE);
	elog_doing("checkpoint: merging");
	checkpoint__walk_source(&r->walk, &source);
	/* a grace period ago every root but the one in force could be read by those alone who have announced it */
	source.pinned = store__oldest_pin() != UINT64_MAX ? store__oldest_pin() : LSN_NONE;
	ok = base_merge(ckpt.writer, r->result.cut, &source, &r->base, &r->report);
	if (r->walk.gave_up)
		ok = given_up(r);
	if (!ok)
		(void) fail(r, r->report.error, "%s", r->report.text[0] != '\0' ? r->report.text : "the merge was given up");
	else
		FAULT_POINT("checkpoint-merged");
	return ok;
}

/* ---- (4) the log ---- */

static bool
wait_log(Round *r)
{
	Wait		w = wait_begin("the log to be flushed", 0);
	uint64		begun = clock_mono_us();
	bool		ok = true;

	checkpoint__set_step(CHECKPOINT_WAIT_LOG);
	elog_doing("checkpoint: waiting for the log");
	while (ok && wal_flushed_lsn() < r->result.cut)
		if (stop_ordered() || !wal_wait_flushed(r->result.cut, POLL_EVERY_US / 1000))
			ok = wait_step(r, &w);	/* a stop: the walwriter has flushed what it could, and gone */
	r->log_us = clock_mono_us() - begun;
	if (ok)
		FAULT_POINT("checkpoint-log-flushed");
	return ok;
}

/* ---- (5) commit ---- */

/* count_keys -- of each database, as of the cut; false: what was removed is more than there was. */
static bool
count_keys(Round *r, ControlData *next)
{
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		for (int i = 0; i < r->walk.tree_count; i++)
		{
			const CheckpointTree *tree = &r->walk.tree[i];

			if (tree->id != r->map.tree_id[db])
				continue;
			if (tree->removed > tree->base_keys)
				return fail(r, EUCLEAN, "database %u had %llu keys by the control file, but %llu were removed from the base",
							db, (unsigned long long) tree->base_keys, (unsigned long long) tree->removed);
			next->key_count[db] = tree->base_keys + tree->created - tree->removed;
			next->deadline_count[db] = tree->base_deadlines + (uint64) tree->deadlines;
			next->deadline_sum[db] = tree->base_deadline_sum + tree->deadline_sum;
		}
	/* dropped trees went as a whole */
	Assert(r->walk.gone_removed == r->walk.gone_keys);
	return true;
}

static bool
commit(Round *r)
{
	uint64		begun = clock_mono_us();
	ControlData next = ckpt.control;
	ControlFile *file;
	int			error;

	checkpoint__set_step(CHECKPOINT_COMMIT);
	elog_doing("checkpoint: committing");
	error = base_sync(ckpt.writer);
	if (error != 0)
		return fail(r, error, "could not sync data file \"%s/data/base\": %s", ckpt.data_dir, strerror(error));
	FAULT_POINT("checkpoint-synced");
	next.cut = r->result.cut;
	next.base = r->base;
	next.checkpoints++;
	next.flushed = wal_flushed_lsn();
	store_clock_turn();
	next.clock_us = Max(next.clock_us, store_clock_us());
	next.map = r->map;
	if (!count_keys(r, &next))
		return false;
	error = control_prepare(ckpt.data_dir, &ckpt.control, &file);
	if (error != 0)
		return fail(r, error, "could not open control file \"%s/control\": %s", ckpt.data_dir, strerror(error));
	FAULT_POINT("checkpoint-before-commit");
	control_commit(file, &next);
	FAULT_POINT("checkpoint-committed");
	ckpt.other_pages = ckpt.control.base.page_count;
	ckpt.control = next;
	base_merge_commit(ckpt.writer);
	r->report = *base_writer_report(ckpt.writer);
	/* relaxed: a figure */
	atomic_store_explicit(&store_shared->snapshot_pages, r->report.pinned, memory_order_relaxed);
	r->sync_us = clock_mono_us() - begun;
	return true;
}

/* ---- (6) publish ---- */

static void
publish(Round *r)
{
	StoreBase	next;
	CheckpointInForce force = {
		.cut = ckpt.control.cut,
		.older_cut = ckpt.control.older_cut,
		.base = *base_writer_state(ckpt.writer),
		.commit_wall_us = ckpt.control.written_wall_us,
	};

	checkpoint__set_step(CHECKPOINT_PUBLISH);
	elog_doing("checkpoint: publishing");
	epoch_enter();
	next = *store__base();		/* we alone write it */
	epoch_leave();
	next.root.page = r->base.root;
	next.root.levels = r->base.levels;
	next.root.cut = ckpt.control.cut;
	next.resolved += r->walk.resolved;
	memcpy(next.tree_id, ckpt.control.map.tree_id, sizeof(next.tree_id));
	memcpy(next.key_count, ckpt.control.key_count, sizeof(next.key_count));
	next.deadline_keys = 0;
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		next.deadline_keys += ckpt.control.deadline_count[db];
	for (uint32 i = 0; i < STORE_TREES; i++)
	{
		const CheckpointTree *tree = NULL;

		for (int t = 0; t < r->walk.tree_count; t++)
			if (r->walk.tree[t].index == i)
				tree = &r->walk.tree[t];
		/* of no tree of this map: whoever takes the place begins with 0 */
		next.adjust[i] = tree != NULL ? next.adjust[i] + tree->absent : 0;
		next.deadlines[i] = tree == NULL ? 0
			: next.deadlines[i] + (int64) tree->base_deadlines + tree->deadlines - tree->known_deadlines;
		next.deadline_sum[i] = tree == NULL ? 0
			: next.deadline_sum[i] + (int64) (tree->base_deadline_sum + tree->deadline_sum) - tree->known_deadline_sum;
	}
	FAULT_POINT("checkpoint-before-publish");
	store__base_publish(&next);
	checkpoint__put_force(&force);
	FAULT_POINT("checkpoint-published");
}

/* ---- (7) release ---- */

/* release_links -- the checkpoint's position is NONE, and a grace period since. */
static void
release_links(Round *r)
{
	uint64		sum = checkpoint__linked_sum();
	uint64		released = 0;

	/* relaxed: we alone write it */
	if (sum == atomic_load_explicit(&checkpoint_shared->linked_released, memory_order_relaxed)
		|| checkpoint__release(ckpt.linked_since, ckpt.control.cut, r->poll, &released))
	{
		figure_set(&checkpoint_shared->linked_released, sum);
		ckpt.linked_since = LSN_NONE;
	}
	if (released > 0)
		ereport(DEBUG1, "checkpoint %llu released links of %llu keys", (unsigned long long) r->result.round,
				(unsigned long long) released);
}

/*
 * recycle_log -- below the redo of either control slot, as they stand in the file.
 * A slot that is not valid says nothing about what it would need: then everything
 * is kept until the next commit has written it anew.
 */
static void
recycle_log(Round *r)
{
	ControlData slot[2];
	bool		valid[2];
	int			error = control_read_both(ckpt.data_dir, slot, valid);

	if (error != 0 || !valid[0] || !valid[1])
		ereport(WARNING, "the log is not recycled: control file \"%s/control\": %s", ckpt.data_dir,
				error != 0 ? strerror(error) : "one slot is damaged");
	else
		figure_add(&checkpoint_shared->segments_recycled, wal_segments_recycle(wal_keep_from(Min(slot[0].cut, slot[1].cut))));
	FAULT_POINT("checkpoint-recycled");
	(void) !poll_now(r);		/* what was put aside is raw material for what is wanted ahead */
}

static void
release(Round *r)
{
	checkpoint__set_step(CHECKPOINT_RELEASE);
	elog_doing("checkpoint: releasing");
	if (!wait_grace(r))
	{
		/* the server stops, somebody stands still: evict_cut stays behind, which does no harm; the commit counts */
		r->result.error = 0;
		r->result.text[0] = '\0';
		return;
	}
	/* release [store-evict-cut]: the root, a grace period ago */
	atomic_store_explicit(&store_shared->evict_cut, ckpt.control.cut, memory_order_release);
	latch_set(proc_first_slot(PROC_EVICTOR));
	FAULT_POINT("checkpoint-evict-cut");
	release_links(r);
	FAULT_POINT("checkpoint-released");
	recycle_log(r);
}

/* ---- a round ---- */

/* abandon -- the attempt has failed: everything as before it. */
static void
abandon(Round *r)
{
	CheckpointResult kept = r->result;

	base_merge_abandon(ckpt.writer);
	store__checkpoint_snapshot(STORE_SNAPSHOT_NONE);
	ckpt.failed_cut = Max(ckpt.failed_cut, r->result.cut);
	if (r->announced != LSN_NONE && wait_grace(r))
		release_links(r);
	r->result = kept;			/* not what the tidying met */
}

/* attempt -- the seven steps; false: failed, nothing has changed. */
static bool
attempt(Round *r)
{
	bool		ok = announce(r) && merge(r);

	store__checkpoint_snapshot(STORE_SNAPSHOT_NONE);	/* nobody needs the links any more */
	if (!ok || !wait_log(r) || !commit(r))
	{
		abandon(r);
		checkpoint__walk_close(&r->walk);
		return false;
	}
	publish(r);
	release(r);
	checkpoint__walk_close(&r->walk);
	return true;
}

static bool
log_has_moved(void)
{
	CheckpointInForce force;

	checkpoint__get_force(&force);
	return checkpoint__changed_bytes(&force) > 0;
}

/*
 * room_to_gain -- nothing was written, but somebody asks: by a checkpoint pages set
 * aside become free, by another one pages move towards the file's begin, by one more
 * the file gets shorter.  Not again and again if it does not help.
 */
static bool
room_to_gain(uint32 causes)
{
	const BaseState *state = base_writer_state(ckpt.writer);

	if ((causes & CHECKPOINT_COMMAND) == 0)
		return false;
	if (state->aside_pages > TIDY_PAGES_MIN + state->page_count / 16)
		return true;
	/* the other slot has the longer file: the next commit cuts it off */
	if (ckpt.other_pages > state->page_count + TIDY_PAGES_MIN)
		return true;
	return state->page_count >= 2 * TIDY_PAGES_MIN && state->free_pages > state->page_count / 2 && !ckpt.tidy;
}

static void
round_begin(Round *r, bool (*poll)(void))
{
	char		causes[CHECKPOINT_CAUSES_TEXT];

	memset(r, 0, sizeof(*r));
	if (checkpoint__pending_causes() != 0 && set_checkpoint_coalesce_us > 0)
	{
		proc_set_wait(WAIT_CHECKPOINT_COALESCE);
		sleep_us((uint64) set_checkpoint_coalesce_us);
		proc_set_wait(WAIT_NONE);
	}
	r->result.round = checkpoint__take(&r->result.cause, &r->result.requests);
	r->result.cause |= ckpt.own_causes;
	if (r->result.cause == 0)
		r->result.cause = CHECKPOINT_COMMAND;	/* called by hand */
	ckpt.own_causes = 0;
	r->poll = poll;
	r->begun_us = r->polled_us = clock_mono_us();
	r->spread = set_checkpoint_completion_target > 0 && !ckpt.failed &&	/* a second go has its time behind it */
		(r->result.cause & ~(uint32) (CHECKPOINT_TIME | CHECKPOINT_LOG)) == 0;
	figure_set(&checkpoint_shared->pages_to_write, 0);
	figure_set(&checkpoint_shared->pages_written, 0);
	figure_set(&checkpoint_shared->progress_ppm, 0);
	ereport(DEBUG1, "checkpoint %llu serves %u requests (%s)", (unsigned long long) r->result.round, r->result.requests,
			checkpoint__cause_names(r->result.cause, causes));
}

/* with_commas -- 52,312. */
static const char *
with_commas(uint64 n, char to[32])
{
	char		digits[24];
	int			len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long) n);
	char	   *at = to;

	for (int i = 0; i < len; i++)
	{
		if (i > 0 && (len - i) % 3 == 0)
			*at++ = ',';
		*at++ = digits[i];
	}
	*at = '\0';
	return to;
}

static void
log_begin(const Round *r)
{
	CheckpointInForce force;
	char		causes[CHECKPOINT_CAUSES_TEXT];

	checkpoint__get_force(&force);
	ereport(LOG, "checkpoint %llu begins (%s): %.1f MB of log since %" LSN_FORMAT "%s",
			(unsigned long long) r->result.round, checkpoint__cause_names(r->result.cause, causes),
			(double) checkpoint__changed_bytes(&force) / 1e6, LSN_ARGS(force.cut), r->spread ? ", spread" : "");
}

static void
log_end(const Round *r)
{
	const CheckpointResult *x = &r->result;
	char		n[6][32];

	if (x->error != 0)
	{
		char		text[sizeof(x->text)];

		memcpy(text, x->text, sizeof(text));
		if (x->error == ECANCELED)
		{
			ereport(LOG, "checkpoint %llu ended after %.2f s: %s", (unsigned long long) x->round,
					(double) x->duration_us / 1e6, text);
			return;
		}
		ereport_hint(WARNING, x->error == ENOSPC || x->error == EDQUOT ? "Make room. Service goes on, nothing is lost; it is tried again."
					 : "Service goes on, nothing is lost; it is tried again.",
					 "checkpoint %llu failed after %.2f s: %s", (unsigned long long) x->round,
					 (double) x->duration_us / 1e6, text);
		return;
	}
	ereport(LOG, "checkpoint %llu complete: cut %" LSN_FORMAT ", %s keys put, %s removed; %s of %s pages written, "
			"%s of %s set aside, %.1f MB in %.2f s (log %.3f s, sync %.3f s)", (unsigned long long) x->round,
			LSN_ARGS(x->cut), with_commas(x->keys_written, n[0]), with_commas(x->keys_removed, n[1]),
			with_commas(x->pages_written, n[2]), with_commas(x->pages_to_write, n[3]),
			with_commas(x->pages_freed, n[4]), with_commas(x->pages_to_free, n[5]),
			(double) x->bytes_written / 1e6, (double) x->duration_us / 1e6, (double) r->log_us / 1e6,
			(double) r->sync_us / 1e6);
}

/* note_outcome -- of an attempt: figures, and when the next one is due if it has failed. */
static void
note_outcome(Round *r, bool ok)
{
	CheckpointResult *x = &r->result;

	x->keys_written = r->walk.keys_put;
	x->keys_removed = r->walk.keys_removed + r->walk.gone_removed;
	x->pages_to_write = r->report.to_write;
	x->pages_written = r->report.written;
	x->pages_to_free = r->report.to_free;
	x->pages_freed = r->report.freed;
	x->bytes_written = x->pages_written * BASE_PAGE_SIZE;
	x->sync_us = r->log_us + r->sync_us;
	ckpt.failed = !ok;
	figure_set(&checkpoint_shared->failing, !ok);
	figure_add(&checkpoint_shared->attempted, 1);
	figure_add(&checkpoint_shared->pages_total, x->pages_written);
	if (ok)
	{
		ckpt.retry_us = 0;
		ckpt.failed_cut = LSN_NONE;
		figure_set(&checkpoint_shared->failed_in_row, 0);
		figure_add(&checkpoint_shared->committed, 1);
		figure_add(&checkpoint_shared->keys_total, x->keys_written);
	}
	else
	{
		figure_add(&checkpoint_shared->failed_in_row, 1);
		ckpt.retry_us = ckpt.retry_us == 0 ? RETRY_MIN_US : Min(ckpt.retry_us * 2, RETRY_MAX_US);
		ckpt.retry_at_us = clock_mono_us() + ckpt.retry_us;
	}
}

static void
round_end(Round *r)
{
	CheckpointResult *x = &r->result;

	ckpt.ended_us = clock_mono_us();
	x->duration_us = ckpt.ended_us - r->begun_us;
	x->ended_wall_us = clock_wall_us();
	figure_set(&checkpoint_shared->pages_to_write, x->pages_to_write);
	figure_set(&checkpoint_shared->pages_written, x->pages_written);
	checkpoint__set_step(CHECKPOINT_IDLE);
}

void
checkpoint_run(bool (*poll)(void))
{
	Round	   *r = malloc(sizeof(*r));
	BaseState	before;
	bool		idle;
	bool		ok;

	Verify(r != NULL);
	round_begin(r, poll);
	if (!log_has_moved() && !ckpt.failed && !room_to_gain(r->result.cause))
	{
		r->result.cut = ckpt.control.cut;
		snprintf(r->result.text, sizeof(r->result.text), "nothing to write");
		round_end(r);
		/* the evictor may ask often */
		ereport((r->result.cause & (CHECKPOINT_COMMAND | CHECKPOINT_STOP)) != 0 ? LOG : DEBUG1,
				"checkpoint %llu: nothing to write since cut %" LSN_FORMAT, (unsigned long long) r->result.round,
				LSN_ARGS(r->result.cut));
		checkpoint__put_result(&r->result);
		free(r);
		return;
	}
	log_begin(r);
	idle = !log_has_moved();
	before = *base_writer_state(ckpt.writer);
	ok = attempt(r);
	ckpt.tidy = ok && idle && r->report.relocated == 0 && r->base.page_count == before.page_count
		&& r->base.aside_pages >= before.aside_pages;
	note_outcome(r, ok);
	round_end(r);
	log_end(r);
	checkpoint__put_result(&r->result);	/* last: who reads it reads the log's line, too */
	free(r);
}

/* ---- when ---- */

bool
checkpoint_due(void)
{
	uint32		pending = checkpoint__pending_causes();
	uint64		now = clock_mono_us();
	CheckpointInForce force;
	uint64		changed;

	ckpt.own_causes = 0;
	if ((pending & (CHECKPOINT_COMMAND | CHECKPOINT_STOP)) != 0)
		return true;			/* at once, also after a failure */
	if (ckpt.failed && now < ckpt.retry_at_us)
		return false;
	checkpoint__get_force(&force);
	changed = checkpoint__changed_bytes(&force);
	if (changed >= (uint64) set_max_wal_size)
		ckpt.own_causes |= CHECKPOINT_LOG;
	if (now - ckpt.ended_us >= (uint64) set_checkpoint_timeout * 1000 && changed > 0)
		ckpt.own_causes |= CHECKPOINT_TIME;
	if (ckpt.failed && ckpt.own_causes == 0)
		ckpt.own_causes |= CHECKPOINT_TIME;	/* the one that failed, again */
	return pending != 0 || ckpt.own_causes != 0;
}

/* ---- beginning and end ---- */

/* other_cut -- what the slot beside the one in force still needs. */
static Lsn
other_cut(const char *data_dir, const ControlData *control)
{
	ControlData slot[2];
	bool		valid[2];

	if (control_read_both(data_dir, slot, valid) == 0 && valid[0] && valid[1])
		return Min(slot[0].cut, slot[1].cut);
	return Min(control->older_cut, control->cut);
}

/*
 * checkpoint_open -- after recovery: what the control file says, the data file's writer.
 *
 * The slot was written by recovery at its end, so its 'flushed' is the end of the
 * log of the run before.
 */
void
checkpoint_open(const char *data_dir)
{
	CheckpointInForce force;

	memset(&ckpt, 0, sizeof(ckpt));
	snprintf(ckpt.data_dir, sizeof(ckpt.data_dir), "%s", data_dir);
	control_read(data_dir, &ckpt.control);
	checkpoint__get_force(&force);
	force.cut = ckpt.control.cut;
	force.older_cut = other_cut(data_dir, &ckpt.control);
	force.base = ckpt.control.base;
	force.redone_bytes = checkpoint__redone_bytes(&ckpt.control);
	checkpoint__put_force(&force);
	ckpt.writer = base_writer_open(data_dir, ckpt.control.system_id, &ckpt.control.base, ckpt.control.cut,
								   force.older_cut);
	ckpt.ended_us = clock_mono_us();
}

void
checkpoint_close(void)
{
	if (ckpt.writer != NULL)
		base_writer_close(ckpt.writer);
	memset(&ckpt, 0, sizeof(ckpt));
}

/* go_on -- the last checkpoint is given up only when the stop becomes a fast one. */
static bool
go_on(void)
{
	return !proc_stop_fast;
}

/*
 * checkpoint_shutdown -- nobody writes any more, all is flushed.
 *
 * A smart stop ends with a checkpoint, so that the next start has no log to redo; if
 * it fails, the log has everything.  Then the control slot says STOPPED.
 */
void
checkpoint_shutdown(bool smart)
{
	if (smart)
	{
		ckpt.own_causes |= CHECKPOINT_STOP;
		checkpoint_run(go_on);
	}
	elog_doing("writing the control file");
	ckpt.control.state = CONTROL_STOPPED;
	ckpt.control.flushed = wal_flushed_lsn();
	store_clock_turn();
	ckpt.control.clock_us = Max(ckpt.control.clock_us, store_clock_us());
	control_write(ckpt.data_dir, &ckpt.control);
	checkpoint_close();
}
