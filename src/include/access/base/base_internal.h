/*
 * base_internal.h -- within access/base: the parts that write the data file.
 *
 *   base_space.c   which pages may be written: the free map in memory
 *   base_io.c      batches of pages on their way to the disk; knows no tree
 *   base_fetch.c   pages of the old tree, read ahead of the merge
 *   base_make.c    pages of the new tree: packed, split, put together
 *   base_merge.c   the walk over the old tree and the changes
 *   base_change.c  the changes, read ahead; long values into extents
 *   base_scout.c   which old pages the changes will want
 *   base.c         the file: made, checked, opened, committed
 *
 * All of it is private memory of the one process that writes the base.  What it
 * takes: the frames (2 x checkpoint_batch_pages), FETCH_SLOTS pages of the old
 * tree, about 2 MiB of changes read ahead, the builders (some 300 KiB per level of
 * the tree, more only with keys of kilobytes), and the free map at 24 bytes per
 * run of pages, twice while a merge runs.
 */
#ifndef ARTERY_ACCESS_BASE_INTERNAL_H
#define ARTERY_ACCESS_BASE_INTERNAL_H

#include "access/base/base.h"
#include "storage/file/file.h"

/* ---- base_space.c ---- */

/* BaseRun -- pages [first, first + count) */
typedef struct BaseRun
{
	uint64		first;
	uint64		count;
	uint64		died;			/* as in BaseMapEntry; 0 in lists that hold one sort only */
} BaseRun;

/* BaseRuns -- a list of runs that grows */
typedef struct BaseRuns
{
	BaseRun    *at;
	size_t		count;
	size_t		room;
} BaseRuns;

#define SPACE_CLASSES 40

typedef struct BaseSpace
{
	/* of the state in force */
	Lsn			cut;
	Lsn			older_cut;
	uint64		page_count;
	BaseRuns	map;			/* ascending, as the map's pages have it */
	BaseRuns	avoid;			/* what the last attempt, a failed one, had taken; ascending */
	bool		avoid_firmly;	/* rather let the file grow than take these */
	/* of the attempt that runs */
	bool		open;
	Lsn			birth;
	Lsn			pinned;			/* UINT64_MAX: no older root is read */
	uint64		pinned_pages;	/* set aside for it alone */
	uint64		end;			/* page_count, grown */
	BaseRuns	free;			/* may be taken; ascending; taken from the front of a run */
	size_t		cursor;			/* the first run that may have a page */
	size_t		hint[SPACE_CLASSES];	/* by size class: no run before this one has 2^class pages */
	bool		avoid_used;		/* 'avoid' has been put into 'free' */
	BaseRuns	taken;
	BaseRuns	given;			/* taken, and given back */
	BaseRuns	dead;			/* of the old root; the new one does not reach them */
	uint64		taken_pages;
	uint64		given_pages;
	uint64		dead_pages;
	uint64		twice;			/* a page that was found in two lists; 0: none */
	/* planned by base__space_plan */
	bool		planned;
	BaseRuns	next;			/* the new map */
	uint64		next_count;		/* new page_count */
} BaseSpace;

/* base__runs_add -- joins with the last one where it follows. */
extern void base__runs_add(BaseRuns *runs, uint64 first, uint64 count, uint64 died);
extern void base__runs_free(BaseRuns *runs);

/* base__space_open -- 'space' is zeroed; takes over 'map'. */
extern void base__space_open(BaseSpace *space, BaseRuns *map, uint64 page_count, Lsn cut, Lsn older_cut);
extern void base__space_close(BaseSpace *space);
/* base__space_begin -- pinned: the lowest cut of a root that is read beside those in the control slots; 0: none. */
extern void base__space_begin(BaseSpace *space, Lsn birth, Lsn pinned);
/* base__space_take -- 'count' pages in a row that no root reaches; never fails, the file grows. */
extern uint64 base__space_take(BaseSpace *space, uint64 count);
/* base__space_lowest -- the page that a take of 1 would give. */
extern uint64 base__space_lowest(BaseSpace *space);
/* base__space_take_below -- as take, but only if all of it lies below 'limit'; 0: there is no such place. */
extern uint64 base__space_take_below(BaseSpace *space, uint64 count, uint64 limit);
/*
 * base__space_tail -- the least page from which on at most 'most' pages are live, *live of them, and as many
 * below it may be written now; page_count: there is none.
 */
extern uint64 base__space_tail(const BaseSpace *space, uint64 most, uint64 *live);
/* base__space_give -- a page taken by this attempt that its root will not reach after all. */
extern void base__space_give(BaseSpace *space, uint64 number);
/* base__space_dead -- false: there are no such pages in the file. */
extern bool base__space_dead(BaseSpace *space, uint64 first, uint64 count) attribute_must_check;
/*
 * base__space_plan -- the new map, once nothing more is taken but its own pages:
 * takes these, their numbers go to *pages (malloc) and how many to *count (0: the
 * map is empty).  space->next and next_count are what the new state says.  False:
 * some page would be in two places (*twice): the old tree or the old map is damaged.
 */
extern bool base__space_plan(BaseSpace *space, uint64 **pages, uint32 *count, uint64 *twice) attribute_must_check;
/* base__space_commit -- the new state is in force.  kept: the attempt changed nothing, the old map goes on. */
extern void base__space_commit(BaseSpace *space, bool kept);
/* base__space_abandon -- nothing of the attempt is in flight any more.  full: it failed for want of room. */
extern void base__space_abandon(BaseSpace *space, bool full);
/* base__space_sum -- pages of all runs with died == 0, and of the others. */
extern void base__space_sum(const BaseRuns *runs, uint64 *free_pages, uint64 *aside_pages);

/* ---- base_io.c ---- */

/* BaseBatchPage -- one page on its way: 'page' stays as it is until the batch has come back */
typedef struct BaseBatchPage
{
	uint64		number;
	const void *page;
} BaseBatchPage;

/* BaseBatch -- pages that are written together, children before parents, and what their commit lets go */
typedef struct BaseBatch
{
	const BaseBatchPage *pages;
	uint32		count;
	uint64		to_free;		/* pages that may be let go once it is durable */
	BaseReport	report;			/* set by the commit */
} BaseBatch;

typedef struct BaseIoStats
{
	uint64		write_batches;	/* submissions */
	uint64		flushes;		/* syncs that were asked for */
	uint64		pages;			/* written; replaced copies do not count */
	uint64		writes;			/* requests that they were joined into */
} BaseIoStats;

typedef struct BaseIo BaseIo;

/* base__io_create -- one queue, 2 * batch_pages registered frames. */
extern BaseIo *base__io_create(File *file, uint32 batch_pages);
extern void base__io_destroy(BaseIo *io);			/* waits for what is in flight */
/*
 * base_io_commit -- several batches at once, in order: one submission, where a
 * later page replaces an earlier one of the same number; then, if all is written
 * and 'sync' is set, one sync.  Each batch gets its report; 0, or the errno that
 * all reports have.  After an error nothing was synced and nothing freed.
 */
extern int	base_io_commit(BaseIo *io, BaseBatch *const *batches, uint32 n, bool sync) attribute_must_check;
extern int	base__io_sync(BaseIo *io) attribute_must_check;
extern const BaseIoStats *base__io_stats(const BaseIo *io);
extern const char *base__io_method(const BaseIo *io);

/*
 * The planner's way: a frame, filled, put; a full half of the frames goes off
 * while the other one is filled.  Errors stay: base__io_error.
 */
extern void *base__io_frame(BaseIo *io);
/* base__io_put -- the last frame is page 'number'.  True: a batch has gone off. */
extern bool base__io_put(BaseIo *io, uint64 number);
/* base__io_drain -- what is left goes off, everything comes back; 0 or the first error since the last drain. */
extern int	base__io_drain(BaseIo *io);
/* base__io_cancel -- what is not yet off is dropped, everything comes back, errors are forgotten. */
extern void base__io_cancel(BaseIo *io);
extern int	base__io_error(const BaseIo *io, uint64 *number);	/* of what came back so far */

/* ---- base_fetch.c ---- */

#define FETCH_SLOTS 160			/* pages of the old tree in private memory, at most */
#define FETCH_AHEAD 96			/* of these: read before they are needed */

/* BaseSlot -- one page of the old tree */
typedef struct BaseSlot
{
	BaseRef		ref;			/* number 0: unused */
	uint8	   *page;
	uint32		pins;
	bool		reading;		/* 'io' was started and not looked at */
	bool		good;			/* verified */
	bool		ahead;			/* read ahead, nobody has asked yet */
	uint64		order;			/* of reads ahead */
	FileIo		io;
	struct BaseSlot *hash_next;
	struct BaseSlot *next_free;
} BaseSlot;

typedef struct BaseFetch BaseFetch;
extern BaseFetch *base__fetch_create(File *file, uint32 system);
extern void base__fetch_destroy(BaseFetch *f);
/* base__fetch_get -- the page, verified, pinned; NULL: error and why are set. */
extern BaseSlot *base__fetch_get(BaseFetch *f, BaseRef ref, BaseKind kind, int level, int *error, char *why, size_t why_size);
extern void base__fetch_release(BaseFetch *f, BaseSlot *slot);
/* base__fetch_wants -- is there room for a whole group of reads ahead? */
extern bool base__fetch_wants(const BaseFetch *f);
/*
 * base__fetch_ahead -- have it read; false: as much is under way as may be.  It starts
 * with base__fetch_submit, or when enough have gathered.
 */
extern bool base__fetch_ahead(BaseFetch *f, BaseRef ref);
extern void base__fetch_submit(BaseFetch *f);
/* base__fetch_try -- as get, but never waits: NULL while it is being read, or when it is bad (*bad). */
extern BaseSlot *base__fetch_try(BaseFetch *f, BaseRef ref, BaseKind kind, int level, bool *bad);
/* base__fetch_forget -- waits for what is under way; every page goes (a merge has ended). */
extern void base__fetch_forget(BaseFetch *f);
extern uint64 base__fetch_reads(const BaseFetch *f);	/* pages read, ever */

/* ---- the writer ---- */

struct BaseWriter
{
	uint32		magic;
	uint32		system;			/* low half of the system identifier */
	File	   *file;
	BaseIo	   *io;
	BaseFetch  *fetch;
	BaseSpace	space;
	BaseState	state;			/* in force */
	uint64	   *map_page;		/* numbers of its map's pages: state.map_pages of them */
	Lsn			last_birth;		/* of the last attempt: births never come twice */
	/* the attempt that runs, or has been merged and not committed */
	bool		merged;
	bool		kept;			/* it changed nothing: 'next' is 'state' */
	BaseState	next;
	uint64	   *next_map_page;
	BaseReport	report;
	/* where the last relocation stopped to look for extents: the next one goes on behind this key */
	uint32		looked_len;
	uint8		looked_key[BASE_KEY_MAX];
};

/* ---- base_make.c ---- */

typedef struct BaseKey
{
	uint32		len;
	uint8		bytes[BASE_KEY_MAX];
} BaseKey;

/* BaseDraft -- a page in the making */
typedef struct BaseDraft
{
	BaseBuilder *builder;
	BaseKey		bound;			/* its key in the parent: the least that may be found below it */
	uint32		new_entries;	/* of them: not of an old page */
	bool		extents;		/* leaf: some entry may have an extent */
} BaseDraft;

typedef enum { HELD_NONE, HELD_OLD, HELD_DRAFT } BaseHeld;

/*
 * BaseMaker -- the pages of one level, from left to right under one parent.
 *
 *     held            the last finished page: an old one that stays, or a draft;
 *                     kept back so that a small one that follows can join it
 *     full, current   drafts of the old pages being rewritten ("the segment"):
 *                     current is being filled; full, if there, precedes it
 */
typedef struct BaseMaker
{
	struct BaseMaking *making;
	uint32		level;
	BaseHeld	held_kind;
	BaseDraft  *held;
	BaseKey		held_key;		/* HELD_OLD */
	BaseRef		held_ref;
	uint16		held_flags;
	bool		has_full;
	BaseDraft  *full;
	BaseDraft  *current;
	BaseDraft  *spare;			/* for balancing */
	/* the scope: the pages below one parent */
	bool		scope_first;	/* nothing has been held in it so far: the next page's bound is scope_key */
	BaseKey		scope_key;
	/* the segment */
	bool		open;
	bool		changed;		/* it differs from its first old page */
	bool		any_new;		/* something in it is not of an old page */
	bool		appending;		/* nothing old has come behind anything new */
	bool		has_source;
	BaseRef		source;			/* the first old page in it, not yet marked dead */
	uint16		source_flags;
	/* of its whole life */
	uint64		handed;			/* entries handed to the parent */
	BaseRef		last_ref;		/* the child added last */
	uint16		last_flags;
	BaseRef		single;			/* inner: the last page that was written with a single child ... */
	BaseRef		single_child;	/* ... and this child */
} BaseMaker;

/* BaseMaking -- all levels, and where pages go */
typedef struct BaseMaking
{
	BaseWriter *writer;
	Lsn			birth;
	uint32		levels;			/* makers that are there */
	uint32		open_from;		/* levels from here on are above the old root: one scope, one segment each */
	BaseMaker  *maker[BASE_LEVEL_MAX + 1];
	uint64		pages;			/* tree pages handed to the I/O part */
	uint64		warm;			/* pages of level 1 that may yet go into the buffer pool */
	uint8	   *scratch;		/* one page */
	void		(*batch_gone)(struct BaseMaking *making);	/* set by base_merge.c: a batch is on its way */
	void	   *arg;
	bool		failed;			/* sticky: nothing more is written */
	int			error;
	char		text[256];
} BaseMaking;

extern void base__making_init(BaseMaking *making, BaseWriter *writer, Lsn birth);
extern void base__making_end(BaseMaking *making);
/* base__making_dead -- pages that the old root alone reaches; fails if there are none such. */
extern void base__making_dead(BaseMaking *making, uint64 first, uint64 count);
extern void base__making_fail(BaseMaking *making, int error, const char *fmt, ...) attribute_printf(3, 4);
extern BaseMaker *base__maker(BaseMaking *making, uint32 level);	/* made when first asked for */

extern void base__scope_begin(BaseMaker *m, const uint8 *key, uint32 key_len);
extern void base__scope_end(BaseMaker *m);
/* base__segment_begin -- old page 'source' (number 0: none) with this key is rewritten; joins an open segment. */
extern void base__segment_begin(BaseMaker *m, const uint8 *key, uint32 key_len, BaseRef source, uint16 flags);
/* BaseNext -- what stands to the right of the page that is through */
typedef enum
{
	NEXT_TOUCHED,				/* a page below the same parent, to be rewritten anyway */
	NEXT_IDLE,					/* a page below the same parent */
	NEXT_NONE,					/* nothing below the same parent */
	NEXT_EDGE					/* no key in the whole tree */
} BaseNext;

/*
 * base__segment_end -- the old page is through.  True: closed; false: little is
 * left, the next page is to be rewritten, too, and to be put together with it.
 */
extern bool base__segment_end(BaseMaker *m, BaseNext next);
/* base__pass -- an old page stays as it is. */
extern void base__pass(BaseMaker *m, const uint8 *key, uint32 key_len, BaseRef ref, uint16 flags);
extern void base__add_leaf(BaseMaker *m, const uint8 *key, uint32 key_len, const BaseLeafEntry *e, bool is_new);
extern void base__add_inner(BaseMaker *m, const uint8 *key, uint32 key_len, BaseRef child, uint16 flags, bool is_new);

/* ---- the merge ---- */

#define MERGE_CHANGES 8192		/* read ahead, at most; a power of two */
#define MERGE_BYTES (2 * MIB)	/* keys and values of them */

/* MergeChange -- one change that was read ahead */
typedef struct MergeChange
{
	BaseChange	c;				/* key and value in the ring of bytes */
	BaseRef		extent;			/* of a long value */
	uint64		bytes_end;		/* position behind its bytes */
} MergeChange;

/* MergeBound -- the key that is above all of a subtree: that of an entry of a pinned page; page NULL: there is none */
typedef struct MergeBound
{
	const uint8 *page;
	uint32		index;
} MergeBound;

/* MergeScout -- where the reading ahead is: pinned inner pages from 'low' up to the root */
typedef struct MergeScout
{
	bool		off;			/* there is nothing to read ahead, or it met a bad page: the merge will say so */
	uint32		low;			/* lowest level that is pinned; above 'top': none */
	uint32		top;			/* the root's level */
	uint64		next;			/* the change to look for */
	BaseSlot   *slot[BASE_LEVEL_MAX + 1];
	uint32		index[BASE_LEVEL_MAX + 1];
} MergeScout;

typedef struct Merge
{
	BaseWriter *writer;
	const BaseSource *source;
	BaseMaking	making;
	Lsn			birth;
	/* changes: [head, tail) of the ring */
	MergeChange *ring;
	uint8	   *bytes;
	uint64		head;
	uint64		tail;
	uint64		bytes_head;
	uint64		bytes_tail;
	uint64		refill;			/* read ahead again when no more than these are left */
	bool		ended;			/* the source has no more */
	uint64		prefix_removed;	/* by the prefix removal in hand */
	uint64		looked_at;		/* old pages since 'between' was called last */
	uint64		extent_pages;	/* written */
	MergeScout	scout;
	/* relocation: pages from 'tail_from' on go to the file's begin; UINT64_MAX: none do */
	uint64		tail_from;
	uint64		extent_looks;	/* leaves that may still be read for their extents alone */
	uint64		relocated;		/* pages */
} Merge;

static inline uint32
base__slot_count(const BaseSlot *slot)
{
	return ((const BasePage *) slot->page)->count;
}

/* base__merge_put -- the last frame is page 'number'; the caller's turn when a batch has gone off. */
extern void base__merge_put(Merge *m, uint64 number);
/* base__merge_get -- a page of the old tree, pinned; NULL: the merge has failed. */
extern BaseSlot *base__merge_get(Merge *m, BaseRef ref, BaseKind kind, uint32 level);

/* base_change.c */
extern void base__changes_init(Merge *m);
extern void base__changes_end(Merge *m);
/* base__change_peek -- the next change, or NULL: there is none, or the merge has failed. */
extern MergeChange *base__change_peek(Merge *m);
/* base__change_done -- with the next change: tell the source, go on. */
extern void base__change_done(Merge *m, uint64 removed, bool existed);
/* base__change_below -- does it come before the bound? */
extern bool base__change_below(MergeBound bound, const MergeChange *change);
/* base__change_covers -- a prefix removal: does the entry's key begin with it? */
extern bool base__change_covers(const MergeChange *change, const uint8 *page, uint32 index);
/* base__overflow_page -- lays out and seals a page of an extent, its value's bytes already in place. */
extern void base__overflow_page(Merge *m, BasePage *p, uint64 number, uint32 index, uint32 len);

/* base_scout.c */
extern void base__scout_begin(Merge *m);
/* base__scout -- have read what the changes read ahead will want, as far as there is room; never waits. */
extern void base__scout(Merge *m);
extern void base__scout_end(Merge *m);

#endif
