/*
 * store_recover.c -- a directory's life: made, recovered, shut down.
 *
 * Recovery (startup process): the control slot in force tells where redo starts;
 * the log is applied in its order; its tail is synced; then a first segment of
 * this run is made, at a boundary that no LSN of an earlier run can lie behind,
 * naming the end that it continues from; then the control slot says RUNNING,
 * with the gap in its list.  A crash between any two of these steps leaves a
 * directory from which the same steps start again.
 *
 * Redo applies results, never deltas, in log order, so it may be repeated.  It
 * reads nothing of the base: a record says whether its key was new (CREATED), so
 * that the counts go on from the control slot's; of a blind write (UNKNOWN) nobody
 * knew, so its leaf is UNKNOWN again, unless redo itself has the key's earlier
 * version.  A deletion leaves a tombstone where the base may have the key; where
 * the base is empty it takes the key away for good, for nobody else is looking.
 *
 * Speed: leaves are built as records come, and published a batch at a time, the
 * ways to their places prefetched together, so that cache misses overlap.
 */
#include "common/c.h"

#include "access/base/base.h"
#include "access/base/control.h"
#include "access/store/checkpoint.h"
#include "access/store/evict.h"
#include "access/store/store_internal.h"
#include "access/wal/wal_feed.h"
#include "access/wal/wal_keep.h"
#include "access/wal/wal_reader.h"
#include "storage/file/file.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#define VALUE_MAX (64 * MIB)		/* the highest that max_value_size may be: what was written under another setting is as good */
#define REDO_BATCH 16
#define RECORD_PARTS (1 + 64 * MIB / LEAF_EXTENT_BYTES)
#define REDO_BATCH_BYTES (64 * KIB)	/* long values are not gathered: memory may be short */

typedef struct RedoState
{
	Off			leaf[REDO_BATCH];
	int			count;
	uint64		bytes;			/* of bodies in the batch */
	uint64		applied;
	uint32		tree_index;		/* of tree_id: the last one looked up */
	uint32		tree_id;
	uint64		reported_us;
	bool		bare;			/* the base is empty */
	Lsn			cut;			/* of the base */
	uint8		flags[REDO_BATCH];	/* of the records */
} RedoState;

static int
tree_index_of(uint32 tree_id)
{
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		uint32		index = store__tree_index(db);

		if (store__tree_id(index) == tree_id)
			return (int) index;
	}
	return -1;
}

static uint32
leaf_tree_id(const Leaf *leaf)
{
	uint32		big_endian;

	memcpy(&big_endian, leaf_key(leaf), 4);
	return __builtin_bswap32(big_endian);
}

static void
redo_out_of_memory(Lsn at)
{
	ereport_hint(FATAL, "Raise memory_limit, or give /dev/shm more room, and start again; nothing is lost.",
				 "redo at %" LSN_FORMAT ": out of memory: the log holds more than memory_limit allows", LSN_ARGS(at));
}

/* make_room -- what there is, then what moving leaves together gives: blocks fall into spans another way than when they were written. */
#define ROOMS_MAX 8
static bool
make_room(uint32 *attempts, uint64 size)
{
	static uint32 rooms;

	if (store__find_memory(attempts, size))
		return true;
	if (rooms >= ROOMS_MAX || !evict_recovery_room())
		return false;
	rooms++;
	*attempts = 0;
	return true;
}

/* redo_need_memory -- the redo of one leaf needs memory: outside the epoch, or the end. */
static void
redo_need_memory(uint32 *attempts, Lsn at)
{
	epoch_leave();
	if (!make_room(attempts, 0))
		redo_out_of_memory(at);
	epoch_enter();
}

/* apply_delete -- inside the epoch; over an empty base. */
static void
apply_delete(Off tombstone, uint32 tree_index)
{
	const Leaf *t = seg_ptr(tombstone);
	Leaf	   *old = art_lookup(&store_shared->root, leaf_key(t), t->key_len);

	if (old != NULL && old->lsn < t->lsn)
	{
		Verify(art_remove_leaf(&store_shared->root, leaf_key(t), t->key_len, old));
		(void) !art_tidy(&store_shared->root, leaf_key(t), t->key_len);	/* no memory: it stays as it is */
		leaf_retire(seg_off(old));
		store__count_add(tree_index, -1);
		if (leaf_expiry(old) != 0)
			store__count_deadlines(tree_index, -1, -(int64) (leaf_expiry(old) / 1000));
	}
	leaf_free(tombstone);
}

/*
 * count_deadline -- and what it changes in the number of deadlines; of a version that
 * redo does not have only the record says whether it had one: then of the average.
 */
static void
count_deadline(const Leaf *leaf, const Leaf *old, uint8 flags, uint32 tree_index)
{
	uint64		expiry = leaf_expiry(leaf);
	int64		before;
	int64		sum;

	if (expiry == 0 && (flags & WAL_FLAG_HAD_EXPIRY) == 0)
		return;
	store__deadlines_known(tree_index, &before, &sum);
	if (expiry != 0)
		store__count_deadlines(tree_index, 1, (int64) (expiry / 1000));
	if (flags & WAL_FLAG_HAD_EXPIRY)
		store__count_deadlines(tree_index, -1, old != NULL && leaf_expiry(old) != 0 ? -(int64) (leaf_expiry(old) / 1000)
							   : -(before > 0 ? sum / before : 0));
}

/* count_record -- what this version changes in the number of keys, and of blind writes. */
static void
count_record(const RedoState *s, const Leaf *leaf, const Leaf *old, uint8 flags, uint32 tree_index)
{
	bool		tombstone = (leaf_flags(leaf) & LEAF_TOMBSTONE) != 0;
	_Atomic uint64 *blind = &store_shared->counts[my_slot->number].blind;
	_Atomic uint64 *tombstones = &store_shared->counts[my_slot->number].tombstones;

	/* relaxed: recovery is alone */
	count_deadline(leaf, old, flags, tree_index);
	if (tombstone)
		atomic_fetch_add_explicit(tombstones, 1, memory_order_relaxed);
	if (old != NULL)
	{
		bool		was = (leaf_flags(old) & LEAF_TOMBSTONE) == 0;

		if (was == tombstone)
			store__count_add(tree_index, tombstone ? -1 : 1);
	}
	else if (tombstone)
		store__count_add(tree_index, -1);	/* only what existed was deleted */
	else if ((flags & WAL_FLAG_CREATED) || s->bare)
		store__count_add(tree_index, 1);	/* an empty base lacks what nobody had looked for, too */
	else if (flags & WAL_FLAG_UNKNOWN)
		atomic_fetch_add_explicit(blind, 1, memory_order_relaxed);
}

/*
 * with_first -- the leaf again with the first LSN of a chain that nobody has looked
 * up; the old block is freed.  0: no memory, the leaf stays as it is.
 */
static Off
with_first(Off off, Lsn first)
{
	const Leaf *leaf = seg_ptr(off);
	BytePart	part[RECORD_PARTS];
	int			count = 0;
	Off			made;

	for (uint64 at = 0; at < leaf->value_len; count++)
	{
		part[count].data = leaf_value_part(leaf, at, &part[count].len);
		at += part[count].len;
	}
	made = leaf_build(leaf_key(leaf), leaf->key_len, part, count,
					  (uint16) ((leaf_flags(leaf) & (LEAF_TOMBSTONE | LEAF_HAS_EXPIRY)) | LEAF_UNKNOWN), leaf_expiry(leaf));
	if (made == MEM_NONE)
		return 0;
	((Leaf *) seg_ptr(made))->lsn = leaf->lsn;
	leaf_set_first(seg_ptr(made), first);
	leaf_free(off);
	return made;
}

/*
 * derive_hint -- the entry in the index of deadlines that the writer of this leaf has
 * made, or found; inside the epoch, which is left where memory must be found.
 */
static void
derive_hint(const Leaf *leaf)
{
	static StoreHint hint;
	uint8		key[KEY_MAX];
	uint32		key_len = leaf->key_len;
	uint64		expiry = leaf_expiry(leaf);
	Lsn			lsn = leaf->lsn;
	uint32		attempts = 0;

	memcpy(key, leaf_key(leaf), key_len);
	while (store__hint_prepare(&hint, key, key_len, expiry) != STORE_OK)
		redo_need_memory(&attempts, lsn);
	Verify(store__hint_publish(&hint, lsn));
	store__hint_done(&hint, lsn);
}

/* apply_leaf -- inside the epoch. */
static void
apply_leaf(const RedoState *s, Off off, uint8 flags, uint32 tree_index)
{
	ArtPos		pos;
	uint32		attempts = 0;

	for (;;)
	{
		Leaf	   *leaf = seg_ptr(off);
		Lsn			first;

		if (art_locate(&store_shared->root, leaf_key(leaf), leaf->key_len, &pos) != ART_OK)
		{
			redo_need_memory(&attempts, leaf->lsn);
			continue;
		}
		if (pos.leaf != NULL && pos.leaf->lsn >= leaf->lsn)
		{
			art_abandon(&pos);
			leaf_free(off);
			return;
		}
		if (pos.leaf != NULL)
			first = leaf_first(pos.leaf);
		else
			first = (flags & WAL_FLAG_UNKNOWN) && !s->bare ? leaf->lsn : LSN_NONE;
		if (leaf_flags(leaf) & LEAF_UNKNOWN)
			leaf_set_first(leaf, first);	/* 0: redo knows the key after all */
		else if (first > s->cut)
		{
			Off			made = with_first(off, first);

			art_abandon(&pos);
			if (made == 0)
				redo_need_memory(&attempts, leaf->lsn);
			else
				off = made;
			continue;			/* the position names the key of the leaf that is gone */
		}
		if (art_prepare(&pos, off) != ART_OK)
		{
			art_abandon(&pos);
			redo_need_memory(&attempts, leaf->lsn);
			continue;
		}
		break;
	}
	/* nobody else writes during recovery: neither can fail */
	Verify(art_raise_dirty(&pos, ((Leaf *) seg_ptr(off))->lsn));
	count_record(s, seg_ptr(off), pos.leaf, flags, tree_index);
	Verify(art_publish(&pos, off));
	if (pos.leaf != NULL)
		leaf_retire(seg_off(pos.leaf));
	/* relaxed: recovery is alone */
	atomic_store_explicit(&store_shared->tree[tree_index].touched, 1, memory_order_relaxed);
	if (leaf_flags(seg_ptr(off)) & LEAF_HAS_EXPIRY)
		derive_hint(seg_ptr(off));
}

static void
redo_flush_batch(RedoState *s)
{
	BytePart	key[REDO_BATCH];

	epoch_enter();
	for (int i = 0; i < s->count; i++)
	{
		const Leaf *leaf = seg_ptr(s->leaf[i]);

		key[i].data = leaf_key(leaf);
		key[i].len = leaf->key_len;
	}
	if (s->count > 1)
		art_prefetch_batch(&store_shared->root, key, s->count);
	for (int i = 0; i < s->count; i++)
	{
		const Leaf *leaf = seg_ptr(s->leaf[i]);
		uint32		tree_id = leaf_tree_id(leaf);

		if (tree_id != s->tree_id)
		{
			int			index = tree_index_of(tree_id);

			Verify(index >= 0);
			s->tree_id = tree_id;
			s->tree_index = (uint32) index;
		}
		if (s->bare && (leaf_flags(leaf) & LEAF_TOMBSTONE))
			apply_delete(s->leaf[i], s->tree_index);
		else
			apply_leaf(s, s->leaf[i], s->flags[i], s->tree_index);
	}
	epoch_leave();
	s->count = 0;
	s->bytes = 0;
	s->applied++;
	if (s->applied % 64 == 0)
		mem_keep_ahead();
}

static void
bad_record(const WalRecord *r, const char *what)
{
	ereport_hint(FATAL, "The log is damaged or was written by another version; restore the directory from a copy.",
				 "redo at %" LSN_FORMAT ": %s", LSN_ARGS(r->start), what);
}

/* redo_leaf -- one change of a key. */
static void
redo_leaf(RedoState *s, const WalRecord *r, const WalChange *c)
{
	BytePart	value = {c->value, c->value_len};
	uint32		big_endian;
	uint32		attempts = 0;
	uint16		leaf_words = 0;
	Off			off;

	if (c->key_len > KEY_MAX || c->value_len > VALUE_MAX)
	{
		bad_record(r, "a key or value of impossible length");
		return;
	}
	memcpy(&big_endian, c->key, 4);
	if (tree_index_of(__builtin_bswap32(big_endian)) < 0)
	{
		/* cannot be: writers park while the map changes, so none logs for a tree after its drop */
		bad_record(r, "a key of a tree that the map of databases does not name");
		return;
	}
	/* a blind write mostly begins its chain: the word for that is taken at once */
	if (c->type == WAL_DELETE)
		leaf_words = LEAF_TOMBSTONE;
	else if ((c->flags & WAL_FLAG_UNKNOWN) && !s->bare)
		leaf_words = LEAF_UNKNOWN;
	if (c->expiry != 0)
		leaf_words |= LEAF_HAS_EXPIRY;
	while ((off = leaf_build(c->key, c->key_len, &value, c->type == WAL_PUT ? 1 : 0, leaf_words, c->expiry)) == MEM_NONE)
	{
		/* what waits in the batch replaces versions whose memory is wanted here */
		redo_flush_batch(s);
		if (!make_room(&attempts, c->value_len))
			redo_out_of_memory(r->start);
	}
	((Leaf *) seg_ptr(off))->lsn = r->end;
	if (leaf_words & LEAF_UNKNOWN)
		leaf_set_first(seg_ptr(off), r->end);
	s->flags[s->count] = c->flags;
	s->leaf[s->count++] = off;
	s->bytes += c->key_len + c->value_len;
	if (s->count == REDO_BATCH || s->bytes > REDO_BATCH_BYTES)
		redo_flush_batch(s);
}

static void
redo_map(RedoState *s, const WalRecord *r, const WalChange *c)
{
	WalMapRecord body;

	redo_flush_batch(s);
	memcpy(&body, c->value, sizeof(body));
	store__map_install(&body.map, r->end, r->start);
	s->tree_id = 0;				/* the index may stand for another tree now */
}

static void
redo_clock(const WalChange *c)
{
	uint64		clock_us;

	memcpy(&clock_us, c->value, sizeof(clock_us));
	store__clock_start(clock_us);
}

static void
redo_apply(const WalRecord *r, void *arg)
{
	RedoState  *s = arg;
	WalChange	change;
	size_t		at = 0;
	bool		bad;

	while (wal_next_change(r->header, r->body, r->body_len, &at, &change, &bad))
	{
		if (change.type == WAL_MAP)
			redo_map(s, r, &change);
		else if (change.type == WAL_CLOCK)
			redo_clock(&change);
		else
			redo_leaf(s, r, &change);
	}
	if (bad)
		bad_record(r, "a record of unknown type, or lengths that do not fit");
}

static void
redo_progress(Lsn at, Lsn end_hint, uint64 records, void *arg)
{
	RedoState  *s = arg;
	uint64		now = clock_mono_us();

	/* relaxed: figures for INFO */
	atomic_store_explicit(&seg_control->redo_lsn, at, memory_order_relaxed);
	atomic_store_explicit(&seg_control->redo_end_hint_lsn, end_hint, memory_order_relaxed);
	atomic_store_explicit(&seg_control->redo_records, records, memory_order_relaxed);
	if (now - s->reported_us >= 1000000)
	{
		Lsn			from = atomic_load_explicit(&seg_control->redo_start_lsn, memory_order_relaxed);

		s->reported_us = now;
		ereport(LOG, "redo at %" LSN_FORMAT ", %.1f M records, %u%%", LSN_ARGS(at), (double) records / 1e6,
				end_hint > from ? (unsigned) Min((at - from) * 100 / (end_hint - from), 100) : 100);
	}
}

/* remember_gap -- into the control slot's list, newest last, oldest out first. */
static void
remember_gap(ControlData *control, Lsn from, Lsn to)
{
	for (uint32 i = 0; i < control->gap_count; i++)
		if (control->gap[i].from == from)
		{
			control->gap[i].to = Max(control->gap[i].to, to);
			return;
		}
	if (control->gap_count == CONTROL_GAPS)
	{
		memmove(&control->gap[0], &control->gap[1], sizeof(control->gap[0]) * (CONTROL_GAPS - 1));
		control->gap_count--;
	}
	control->gap[control->gap_count].from = from;
	control->gap[control->gap_count].to = to;
	control->gap_count++;
}

/* publish_gaps -- the list as this run will answer by it. */
static void
publish_gaps(const ControlData *control)
{
	WalGap		gap[CONTROL_GAPS];

	for (uint32 i = 0; i < control->gap_count; i++)
		gap[i] = (WalGap) {control->gap[i].from, control->gap[i].to};
	wal_places_set(gap, control->gap_count);
}

/* start_log -- positions of a fresh run; nobody reserves yet. */
static void
start_log(const ControlData *control, Lsn start)
{
	wal_shared->timeline = control->timeline;
	wal_shared->segment_size = control->wal_segment_size;
	wal_shared->start_lsn = start;
	/* relaxed: published by the server state becoming RUNNING */
	atomic_store_explicit(&wal_shared->insert_word, (start / 8) << 10 | PROC_SLOT_NONE, memory_order_relaxed);
	atomic_store_explicit(&wal_shared->completed, start, memory_order_relaxed);
	atomic_store_explicit(&wal_shared->flushed, start, memory_order_relaxed);
}

static const char *
control_state_name(uint32 state)
{
	switch (state)
	{
		case CONTROL_CREATED:
			return "created";
		case CONTROL_STOPPED:
			return "clean start";
		default:
			return "crash recovery";
	}
}

static bool
log_is_empty(const char *wal_dir)
{
	DIR		   *dir = opendir(wal_dir);
	struct dirent *entry;
	Lsn			lsn;
	bool		empty = true;

	if (dir == NULL)
		ereport(FATAL, "could not open directory \"%s\": %m", wal_dir);
	else
	{
		while ((entry = readdir(dir)) != NULL)
			if (wal_segment_parse_name(entry->d_name, &lsn))
				empty = false;
		closedir(dir);
	}
	return empty;
}

static void
redo_log(const char *wal_dir, const ControlData *control, WalRedoResult *result)
{
	RedoState	state;
	WalRedoOptions options = {
		.wal_dir = wal_dir,
		.system_id = control->system_id,
		.timeline = control->timeline,
		.segment_size = control->wal_segment_size,
		.from = control->cut,
		.control_flushed = control->flushed,
		.progress = redo_progress,
	};

	memset(&state, 0, sizeof(state));
	state.bare = control->base.root.number == 0;
	state.cut = control->cut;
	state.reported_us = clock_mono_us();
	/* relaxed: a figure for INFO */
	atomic_store_explicit(&seg_control->redo_start_lsn, control->cut, memory_order_relaxed);
	wal_redo(&options, redo_apply, &state, result);
	redo_flush_batch(&state);
	redo_progress(result->end, result->end, result->records, &state);
	ereport(LOG, "redo done: %llu records from %" LSN_FORMAT " to %" LSN_FORMAT " in %.3f s (%s)",
			(unsigned long long) result->records, LSN_ARGS(result->first), LSN_ARGS(result->end),
			(double) result->elapsed_us / 1e6, result->end_reason != NULL ? result->end_reason : "end of the log");
}

/* install_base -- root, counts and map as of the control slot's cut. */
static void
install_base(const ControlData *control)
{
	static StoreBase base;		/* zero: nothing adjusted, nothing resolved */

	base.root.page = control->base.root;
	base.root.levels = control->base.levels;
	base.root.cut = control->cut;
	memcpy(base.tree_id, control->map.tree_id, sizeof(base.tree_id));
	memcpy(base.key_count, control->key_count, sizeof(base.key_count));
	base.deadline_keys = 0;
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		base.deadline_keys += control->deadline_count[db];
	store__base_publish(&base);
	/* relaxed: published by the server state becoming RUNNING */
	atomic_store_explicit(&store_shared->evict_cut, control->cut, memory_order_relaxed);
	store__map_install(&control->map, control->cut, wal_map_last(control->map.last, control->cut));
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		if (control->key_count[db] > 0)
		{
			uint32		index = store__tree_index(db);

			store__count_add(index, (int64) control->key_count[db]);
			store__count_deadlines(index, (int64) control->deadline_count[db], (int64) control->deadline_sum[db]);
			atomic_store_explicit(&store_shared->tree[index].touched, 1, memory_order_relaxed);	/* relaxed: as above */
		}
	if (control->base.root.number == 0)
		art_root_set_complete(&store_shared->root);
	checkpoint_recovered(control);
}

void
store_recover(const char *data_dir)
{
	ControlData control;
	WalRedoResult result;
	char		wal_dir[1100];

	snprintf(wal_dir, sizeof(wal_dir), "%s/wal", data_dir);
	control_read(data_dir, &control);
	base_check(data_dir, control.system_id, &control.base);
	seg_control->system_id = control.system_id;
	wal_consumers_load(data_dir);
	ereport(LOG, "%s: system %016llx, timeline %u, redo from %" LSN_FORMAT, control_state_name(control.state),
			(unsigned long long) control.system_id, control.timeline, LSN_ARGS(control.cut));
	if ((uint64) set_wal_segment_size != control.wal_segment_size)
	{
		ereport(LOG, "wal_segment_size is %llu MB here: artery_ctl init fixed it, the setting counts for new directories only",
				(unsigned long long) (control.wal_segment_size / MIB));
		set_wal_segment_size = (int64) control.wal_segment_size;
	}
	install_base(&control);
	store__clock_start(control.clock_us);
	wal_shared->timeline = control.timeline;
	wal_shared->segment_size = control.wal_segment_size;
	memset(&result, 0, sizeof(result));
	if (control.state == CONTROL_CREATED && log_is_empty(wal_dir))
		result.first = result.end = result.next_start = control.cut;
	else
	{
		mem_use_reserve = true;
		redo_log(wal_dir, &control, &result);
		mem_use_reserve = false;
		wal_sync_tail(wal_dir, result.first);
	}
	start_log(&control, result.next_start);
	wal_segments_prepare_first(result.next_start, result.end);
	for (uint32 i = 0; i < result.gap_count; i++)
		remember_gap(&control, result.gap[i].from, result.gap[i].to);
	if (result.next_start != result.end)
		remember_gap(&control, result.end, result.next_start);
	store_clock_turn();
	control.clock_us = Max(control.clock_us, store_clock_us());
	publish_gaps(&control);
	control.state = CONTROL_RUNNING;
	control.flushed = result.end;
	control.written_wall_us = clock_wall_us();
	control_write(data_dir, &control);
	store__clock_start(control.clock_us);
	ereport(LOG, "the log goes on at %" LSN_FORMAT, LSN_ARGS(result.next_start));
}

/* ---- a new directory ---- */

static void
make_directory(const char *path)
{
	if (mkdir(path, 0700) != 0)
		ereport(FATAL, "could not create directory \"%s\": %m", path);
}

/* check_empty -- nothing but artery.conf may be there. */
static void
check_empty(const char *data_dir)
{
	DIR		   *dir = opendir(data_dir);
	struct dirent *entry;

	if (dir == NULL)
	{
		ereport(FATAL, "could not open directory \"%s\": %m", data_dir);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
	{
		const char *name = entry->d_name;

		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, "artery.conf") != 0)
			ereport_hint(FATAL, "Give another directory, or empty this one if nothing in it is needed.",
						 "directory \"%s\" exists but is not empty: it holds \"%s\"", data_dir, name);
	}
	closedir(dir);
}

static void
sync_directory(const char *path)
{
	int			error = file_sync_directory(path);

	if (error != 0)
	{
		errno = error;
		ereport(FATAL, "could not sync directory \"%s\": %m", path);
	}
}

void
store_init_directory(const char *data_dir)
{
	ControlData control;
	struct stat st;
	char		path[1200];
	char		parent[1200];
	char	   *slash;

	if (stat(data_dir, &st) != 0)
	{
		if (errno != ENOENT)
			ereport(FATAL, "could not access directory \"%s\": %m", data_dir);
		make_directory(data_dir);
	}
	check_empty(data_dir);
	snprintf(path, sizeof(path), "%s/wal", data_dir);
	make_directory(path);
	snprintf(path, sizeof(path), "%s/data", data_dir);
	make_directory(path);
	memset(&control, 0, sizeof(control));
	control.system_id = (uint64) arc4random() << 32 | arc4random();
	base_create(data_dir, control.system_id);
	control.state = CONTROL_CREATED;
	control.sequence = 1;
	control.timeline = 1;
	control.wal_segment_size = (uint64) set_wal_segment_size;
	control.cut = control.wal_segment_size;	/* LSN 0 is none: the log begins with segment 1 */
	control.older_cut = control.cut;
	control.base.page_count = control.base.live_pages = 1;	/* the header page */
	control.flushed = control.cut;
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		control.map.tree_id[db] = STORE_FIRST_TREE_ID + db;
	control.map.next_tree_id = STORE_FIRST_TREE_ID + DATABASE_COUNT;
	control.created_wall_us = control.written_wall_us = clock_wall_us();
	sync_directory(path);
	control_create(data_dir, &control);	/* last: a directory with a control file is whole */
	sync_directory(data_dir);
	strlcpy(parent, data_dir, sizeof(parent));
	slash = strrchr(parent, '/');
	if (slash != NULL && slash != parent)
	{
		*slash = '\0';
		sync_directory(parent);
	}
}
