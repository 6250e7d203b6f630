/*
 * checkpoint_internal.h -- what the checkpoint's files share.  For them alone.
 *
 * checkpoint.c         the seven steps, in the checkpointer
 * checkpoint_walk.c    what a merge gets its changes from; releasing links
 * checkpoint_shared.c  region CHECKPOINT: requests, results, figures; any process
 */
#ifndef ARTERY_ACCESS_STORE_CHECKPOINT_INTERNAL_H
#define ARTERY_ACCESS_STORE_CHECKPOINT_INTERNAL_H

#include "access/base/base.h"
#include "access/store/checkpoint.h"
#include "access/store/store_internal.h"
#include "common/control_format.h"
#include "common/figure.h"

#define CHECKPOINT_MAGIC UINT64_C(0x544b4843)
#define CHECKPOINT_REQUESTS_MAX 64	/* that one round serves; the others are the next one's */

/* CheckpointInForce -- what the last commit, or recovery, has left */
typedef struct CheckpointInForce
{
	Lsn			cut;
	Lsn			older_cut;
	BaseState	base;
	uint64		commit_wall_us;
	uint64		redone_bytes;	/* of log behind the cut that earlier runs wrote */
} CheckpointInForce;

/*
 * CheckpointShared -- region CHECKPOINT.
 *
 * pending is one word, so that a request and its round are one: number of the
 * round that takes requests now (40 bits), causes (8), how many asked (16).
 *
 * A result, and what is in force, are copied word by word under a version: the
 * writer (one process: startup, then the checkpointer) makes it 0, stores the
 * words by release, then the version.  A reader that meets a word of a later
 * writing has thereby acquired the 0 before it, and its second look at the
 * version tells.
 */
#define CHECKPOINT_RESULT_WORDS ((sizeof(CheckpointResult) + 7) / 8)
#define CHECKPOINT_FORCE_WORDS ((sizeof(CheckpointInForce) + 7) / 8)

typedef struct CheckpointShared
{
	uint64		magic;
	alignas(CACHE_LINE) _Atomic uint64 pending;
	/* figures: the checkpointer writes, all read, relaxed */
	alignas(CACHE_LINE) _Atomic uint32 step;		/* CheckpointStep */
	_Atomic uint64 running;			/* number of the round under way; 0: none */
	_Atomic uint64 ended;			/* number of the last round that has a result */
	_Atomic uint64 failing;			/* 1: the last attempt failed, the next one is not begun */
	_Atomic uint64 failed_in_row;	/* attempts since the last one that succeeded */
	_Atomic uint64 attempted;
	_Atomic uint64 committed;
	_Atomic uint64 pages_to_write;
	_Atomic uint64 pages_written;
	_Atomic uint64 progress_ppm;
	_Atomic uint64 pages_total;
	_Atomic uint64 keys_total;
	_Atomic uint64 linked_released;	/* sum of StoreCounts.linked when nothing was left to release */
	_Atomic uint64 segments_recycled;
	_Atomic uint64 force_version;	/* counts up, 0 while it is written */
	_Atomic uint64 force[CHECKPOINT_FORCE_WORDS];
	_Atomic uint64 result_version[CHECKPOINT_RESULTS];	/* the round */
	_Atomic uint64 result[CHECKPOINT_RESULTS][CHECKPOINT_RESULT_WORDS];	/* by round mod CHECKPOINT_RESULTS */
} CheckpointShared;

extern CheckpointShared *checkpoint_shared;

/* ---- checkpoint_shared.c ---- */
/* checkpoint__take -- the checkpointer: a round begins; its number, the causes and how many asked. */
extern uint64 checkpoint__take(uint32 *causes, uint32 *requests);
extern uint32 checkpoint__pending_causes(void);		/* 0: nobody has asked */
extern void checkpoint__put_result(const CheckpointResult *result);
extern void checkpoint__put_force(const CheckpointInForce *force);
extern void checkpoint__get_force(CheckpointInForce *force);
/* checkpoint__redone_bytes -- of log from the slot's cut to its 'flushed', without the gaps between runs. */
extern uint64 checkpoint__redone_bytes(const ControlData *control);
extern void checkpoint__set_step(CheckpointStep step);
extern uint64 checkpoint__linked_sum(void);			/* over all processes */
/* checkpoint__changed_bytes -- of log since the cut in force, without what lies in no run. */
extern uint64 checkpoint__changed_bytes(const CheckpointInForce *force);
/* checkpoint__cause_names -- "log, command"; returns 'to'. */
#define CHECKPOINT_CAUSES_TEXT 64
extern const char *checkpoint__cause_names(uint32 causes, char *to);

/* ---- checkpoint_walk.c ---- */

/* CheckpointTree -- a tree of the map as of the cut */
typedef struct CheckpointTree
{
	uint32		id;
	uint32		index;			/* in StoreShared.tree: it keeps it until this cut may be evicted */
	uint64		base_keys;		/* in the base before */
	uint64		created;		/* keys that the base did not have */
	uint64		removed;		/* keys that it had */
	uint64		base_deadlines;	/* of those, keys with a deadline, and the sum of these */
	uint64		base_deadline_sum;
	int64		deadlines;		/* what the changes add to both */
	uint64		deadline_sum;
	int64		known_deadlines;	/* as writers had counted at the cut */
	int64		known_deadline_sum;
	int64		absent;			/* chains begun by a blind write whose key the base did not have */
	/* progress */
	uint64		weight;
	uint32		common;			/* bytes that its first and last key begin with */
	uint64		low, high;		/* the eight bytes behind them */
} CheckpointTree;

typedef struct CheckpointWalk
{
	Lsn			cut;
	Lsn			committed;		/* the cut before */
	bool		(*poll)(void);
	CheckpointTree tree[DATABASE_COUNT + 1];	/* of the map, and the index of deadlines; ascending ids */
	int			tree_count;
	int			tree_at;		/* the one found last */
	uint32		gone[DATABASE_COUNT];	/* trees of the base that the map has no more, ascending */
	int			gone_count;
	int			gone_next;
	uint64		gone_keys;		/* that they had, by the control slot */
	/* results */
	uint64		keys_put;
	uint64		keys_removed;
	uint64		gone_removed;
	uint64		resolved;		/* chains begun by a blind write that were looked up, or dropped with their tree */
	bool		gave_up;		/* poll said so: what was handed out is not all */
	double		progress;		/* 0 to 1 */
	uint64		weight_total;
	/* the piece in hand */
	uint8	   *piece;
	size_t		at;				/* next entry to hand out */
	size_t		end;
	bool		ended;			/* nothing comes behind this piece */
	uint8		from[KEY_MAX];	/* last key looked at */
	uint32		from_len;		/* 0: none yet */
	uint8		prefix[4];		/* of the BASE_REMOVE_PREFIX in hand */
} CheckpointWalk;

/* checkpoint__walk_begin -- 'before': the control slot in force.  Outside an epoch; the map is locked. */
extern void checkpoint__walk_begin(CheckpointWalk *w, const ControlData *before, bool (*poll)(void));
/* checkpoint__walk_cut -- the position is known. */
extern void checkpoint__walk_cut(CheckpointWalk *w, Lsn cut, Lsn committed);
/* checkpoint__walk_source -- next, value and seen; 'between' is the caller's. */
extern void checkpoint__walk_source(CheckpointWalk *w, BaseSource *source);
extern void checkpoint__walk_close(CheckpointWalk *w);	/* gives the piece's memory back */
/* checkpoint__release -- the checkpoint's position is NONE, and a grace period since: takes links that nobody needs off heads published after 'since'.  False: some are left. */
extern bool checkpoint__release(Lsn since, Lsn cut, bool (*poll)(void), uint64 *released);

#endif
