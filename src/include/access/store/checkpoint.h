/*
 * checkpoint.h -- checkpoints: asked for by anybody, made by the checkpointer.
 *
 * CheckpointShared lies in region CHECKPOINT.  A request is a ticket: the number
 * of the checkpoint round that will serve it.  Requests that come while a round
 * runs are for the next one; a round serves all that are there when it begins.
 * The results of the last CHECKPOINT_RESULTS rounds are kept.
 */
#ifndef ARTERY_ACCESS_STORE_CHECKPOINT_H
#define ARTERY_ACCESS_STORE_CHECKPOINT_H

#include "common/base_format.h"
#include "common/c.h"
#include "common/wal_format.h"

/* causes, by bit: a round has all of its requests' */
enum
{
	CHECKPOINT_TIME = 1,		/* checkpoint_timeout */
	CHECKPOINT_LOG = 2,			/* max_wal_size */
	CHECKPOINT_MEMORY = 4,		/* dirt holds back eviction, or dropped trees hold memory */
	CHECKPOINT_COMMAND = 8,		/* CHECKPOINT, SAVE, BGSAVE, artery_ctl checkpoint */
	CHECKPOINT_STOP = 16		/* smart stop */
};

typedef enum CheckpointStep		/* what it is doing, for status; numbers as in the design's seven steps */
{
	CHECKPOINT_IDLE,
	CHECKPOINT_ANNOUNCE,		/* 1 */
	CHECKPOINT_MERGE,			/* 2 and 3 */
	CHECKPOINT_WAIT_LOG,		/* 4 */
	CHECKPOINT_COMMIT,			/* 5 */
	CHECKPOINT_PUBLISH,			/* 6 */
	CHECKPOINT_RELEASE			/* 7 */
} CheckpointStep;

typedef struct CheckpointResult
{
	uint64		round;			/* 0: no such round (yet) */
	uint32		cause;
	int			error;			/* 0: committed; else an errno */
	char		text[256];		/* what went wrong, with file and place */
	Lsn			cut;
	uint64		keys_written;	/* put */
	uint64		keys_removed;
	uint64		pages_to_write;
	uint64		pages_written;
	uint64		pages_to_free;
	uint64		pages_freed;
	uint64		bytes_written;
	uint64		duration_us;
	uint64		sync_us;		/* of it: waiting for the log and for fdatasync */
	uint64		ended_wall_us;
	uint32		requests;		/* served together */
} CheckpointResult;

#define CHECKPOINT_RESULTS 64

/* checkpoint_request -- wakes the checkpointer; returns the ticket.  Any process, outside an epoch. */
extern uint64 checkpoint_request(uint32 cause);
/* checkpoint_result -- of a ticket; false: not done yet. */
extern bool checkpoint_result(uint64 ticket, CheckpointResult *out) attribute_must_check;

typedef struct CheckpointStatus
{
	CheckpointStep step;
	bool		failing;		/* the last attempt failed; the next one waits for its time, or for a command */
	uint64		rounds_attempted;
	uint64		rounds_failed_in_row;	/* since the last that was committed */
	uint64		rounds_committed;
	uint64		pages_to_write;	/* of the running one, as far as known */
	uint64		pages_written;
	double		progress;		/* of the walk, 0 to 1: a guess from the key's place */
	Lsn			cut;			/* in force */
	Lsn			older_cut;		/* log from here on is kept */
	BaseState	base;			/* in force */
	uint64		last_commit_wall_us;	/* 0: never in this run; then that of the control file */
	uint64		changed_bytes;	/* of log since the cut */
	CheckpointResult last;		/* round 0: none in this run */
	uint64		pages_written_total;
	uint64		keys_written_total;
	uint64		linked;			/* versions linked for snapshots, not yet released */
	uint64		segments_recycled;
} CheckpointStatus;
extern void checkpoint_status(CheckpointStatus *out);
extern const char *checkpoint_step_name(CheckpointStep step);	/* "idle", "merging" ... */

/* ---- the checkpointer process ---- */
/* checkpoint_open -- after recovery: control file, data file's writer. */
extern void checkpoint_open(const char *data_dir);
/* checkpoint_due -- looks at time, log volume, requests; true: checkpoint_run should be called. */
extern bool checkpoint_due(void);
/* checkpoint_run -- one round for all requests; 'poll' is called between batches (segments ahead, stop orders; returns false to give up: fast stop). */
extern void checkpoint_run(bool (*poll)(void));
/* checkpoint_shutdown -- after the walwriter has flushed all; smart: a last checkpoint; then the slot says STOPPED. */
extern void checkpoint_shutdown(bool smart);

/* checkpoint_close -- gives the data file back; also between the runs of a unit test. */
extern void checkpoint_close(void);

extern size_t checkpoint_region_size(void);
extern void checkpoint_region_init(void *region);
/* checkpoint_recovered -- startup: what the control slots say, for status and for the first cut. */
struct ControlData;
extern void checkpoint_recovered(const struct ControlData *control);

#endif
