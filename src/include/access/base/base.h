/*
 * base.h -- writing the data file data/base: merge, space, batches.
 *
 * The base is a copy-on-write B+-tree (LMDB, WAFL): a checkpoint merges a sorted
 * stream of changes with the tree of the last one into new pages, children before
 * parents; no page that a root in either control slot reaches is ever written.
 * One process at a time writes: the checkpointer (or its successor).
 *
 * Three parts: base_merge.c plans (which pages, what is in them), base_space.c
 * knows which pages may be written, base_io.c writes batches and knows nothing of
 * trees.
 */
#ifndef ARTERY_ACCESS_BASE_BASE_H
#define ARTERY_ACCESS_BASE_BASE_H

#include "common/base_format.h"
#include "common/c.h"
#include "common/wal_format.h"

/* base_create -- artery --init: writes and syncs DIR/data/base; FATAL on failure.  Directory entries are the caller's to sync. */
extern void base_create(const char *data_dir, uint64 system_id);
/* base_check -- recovery: FATAL, with file and advice, when the file is missing, damaged, foreign, of another format, or shorter than 'state' says. */
extern void base_check(const char *data_dir, uint64 system_id, const BaseState *state);

/* ---- the stream of changes ---- */
typedef enum BaseChangeKind { BASE_PUT, BASE_REMOVE, BASE_REMOVE_PREFIX /* every key that begins with 'key'; no other change has that prefix */ } BaseChangeKind;

typedef struct BaseChange
{
	BaseChangeKind kind;
	const uint8 *key;			/* valid until the next call of next() */
	uint32		key_len;
	Lsn			lsn;
	uint64		expiry;			/* 0: none */
	uint64		value_len;
	const uint8 *value;			/* up to BASE_INLINE_MAX bytes; NULL: longer, ask value() */
	void	   *tag;			/* the source's own */
	uint64		old_expiry;		/* for seen(): of the entry that the old tree had; 0: it had no deadline, or there was none */
} BaseChange;

/*
 * BaseSource -- where a merge gets its changes from: strictly ascending keys, each key once
 *
 * The merge reads changes ahead and keeps copies: seen() comes in key order, for
 * each change once, but up to some thousand calls of next() later; its 'c' has the
 * change's own kind, key (copied), lsn, lengths and tag.  value() is called before
 * the next call of next(), with key and tag as next() gave them.
 */
typedef struct BaseSource
{
	bool		(*next)(void *arg, BaseChange *out);	/* false: the end */
	bool		(*value)(void *arg, const BaseChange *c, uint64 offset, size_t len, void *to);	/* false: cannot be had: the merge fails */
	void		(*seen)(void *arg, const BaseChange *c, bool existed, uint64 count);	/* after the key was looked up in the old tree; count: keys removed (BASE_REMOVE_PREFIX) */
	bool		(*between)(void *arg, uint64 pages_written);	/* after each batch (of writes, or of reads alone); may sleep; false: give up */
	void	   *arg;
	Lsn			pinned;			/* the lowest cut of a root that somebody reads beside those in the control slots; 0: none */
	bool		hurry;			/* no relocation in this merge */
	bool		uncounted;		/* the caller knows how many keys a prefix has: leaves without extents are not read for it, and seen() is told UINT64_MAX */
} BaseSource;

/* BaseReport -- of one batch, or of all of a checkpoint: in pages */
typedef struct BaseReport
{
	uint64		to_write;		/* pages planned */
	uint64		written;
	uint64		to_free;		/* pages of the old root that the new one does not reach */
	uint64		freed;			/* set aside (of them), once the commit is durable */
	uint64		batches;
	uint64		reads;			/* pages of the old tree that had to be read from disk */
	uint64		relocated;		/* pages moved towards the file's begin */
	uint64		pinned;			/* pages that stay set aside for the sake of 'pinned' alone */
	int			error;			/* 0 or an errno; 'text' says where */
	char		text[256];
} BaseReport;

/* BaseWriter -- the open data file, its ring and the free map in memory; one per process */
typedef struct BaseWriter BaseWriter;

/* base_writer_open -- after fork; takes the file's lock (bounded wait), reads the free map of 'state'.  FATAL on failure. */
extern BaseWriter *base_writer_open(const char *data_dir, uint64 system_id, const BaseState *state, Lsn cut, Lsn older_cut);
extern void base_writer_close(BaseWriter *w);

/*
 * base_merge -- steps (3): old tree + changes -> new tree and new map in new pages,
 * all written when this returns true, none of it synced.  'birth' is the new cut.
 * A bad page of the old tree, an I/O error or a full disk: false, report says
 * what; everything taken is given back (base_merge_abandon does it), nothing that
 * any root reaches was written.
 * Then: base_sync, commit the control slot with *now, base_merge_commit.
 */
extern bool base_merge(BaseWriter *w, Lsn birth, const BaseSource *source, BaseState *now, BaseReport *report) attribute_must_check;
extern int	base_sync(BaseWriter *w) attribute_must_check;
extern void base_merge_commit(BaseWriter *w);	/* the slot is durable: the new map is in force; may shorten the file */
extern void base_merge_abandon(BaseWriter *w);	/* any time before the commit; waits for what is in flight */
/* base_writer_state -- what is in force. */
extern const BaseState *base_writer_state(const BaseWriter *w);
/* base_writer_report -- of the last merge; 'freed' is known once it is committed. */
extern const BaseReport *base_writer_report(const BaseWriter *w);

#endif
