/*
 * store.c -- the database as commands see it: single-key reads and writes.
 *
 * store_write is the one function through which every mutation of a key goes
 * (design: "A write"): enter the epoch, find the slot and its word s, decide
 * against what s holds, build leaf and record, reserve log, raise the dirty LSN,
 * publish by one CAS on s, fill the record, leave.  A CAS that fails turns the
 * reservation into a VOID and the write starts over.
 *
 * Why the order of a key's versions is the order of their LSNs: s is read before
 * the reservation and the CAS needs s still to be there.  If another writer
 * published between, s is gone, and no earlier leaf's word returns to a slot
 * while anyone is inside an epoch that saw it.  A null word may return (put,
 * delete, tombstone dropped; or put, checkpoint, evicted); but a version with LSN
 * t, leaf or tombstone, leaves the overlay only when t <= evict_cut, and evict_cut
 * reaches t one grace period after a root with cut >= t was published.  Whoever
 * read null before that version was published is inside an epoch that began
 * before, and the grace period waits for him: the null that his CAS finds is the
 * null that he read.
 *
 * Overlay over base.  A key without a leaf is looked for in the base, unless
 * COMPLETE says that it is nowhere; what that finds out holds for as long as the
 * slot's word s stands, within the epoch:
 *   - a leaf that was evicted before we looked had lsn <= evict_cut, and evict_cut
 *     never passes the cut of a root that was in force when we entered: so the
 *     root that we read, then or later, holds the key as that leaf had it
 *   - a version published after we looked makes s another word, and cannot be
 *     evicted while we are inside: its LSN is above the cut of every root whose
 *     grace period can end before we leave
 * A decision made by the base is therefore published by the same CAS, and a clean
 * copy of a base entry (store__promote) put into an empty slot is the newest
 * version.  doc/models: m10, m11.
 *
 * A blind write does not look: its leaf is UNKNOWN, with its own LSN as the first
 * of the chain; who replaces it passes that on for as long as no merge has looked
 * (first > cut).  It counts no key; the merge, or DBSIZE, finds out.
 *
 * While a snapshot is open (a checkpoint, or a client's) the replaced version is linked
 * if a snapshot may need it: the table is read inside the epoch, before the leaf is
 * built; see store_snapshot.c for why that is early enough.
 *
 * Between reserve and fill nothing sleeps, allocates or makes a system call: all
 * memory is taken by leaf_build and art_prepare before.
 *
 * Workers and the startup process run this; nothing here blocks.  A process that
 * dies inside leaves its reservation readable in its process slot, its leaf
 * named there, and shared memory consistent at every instruction.
 */
#include "common/c.h"

#include "access/store/evict.h"
#include "access/store/store_internal.h"
#include "common/crc32c.h"
#include "common/figure.h"
#include "storage/file/file.h"
#include "storage/mem/heap.h"
#include "utils/settings.h"

#include <errno.h>

StoreShared *store_shared;

#define MEMORY_ATTEMPTS 8

static _Thread_local uint8 key_buffer[KEY_MAX];

/* of a new value, or of a record's body: the leaf's own head and deadline, then one part per extent */
static _Thread_local BytePart record_part[STORE_NEW_PARTS_MAX];

size_t
store_region_size(void)
{
	return sizeof(StoreShared) + proc_slot_count * sizeof(StoreCounts);
}

uint32
store__build_key(uint8 *to, uint32 tree_id, const void *data, uint32 len)
{
	uint32		big_endian = __builtin_bswap32(tree_id);

	Assert(len <= KEY_USER_MAX);
	memcpy(to, &big_endian, 4);
	if (len > 0)
		memcpy(to + 4, data, len);
	return len + 4;
}

uint32
store__tree_index(uint32 db)
{
	uint32		now;

	Assert(db < DATABASE_COUNT);
	now = atomic_load_explicit(&store_shared->map_now, memory_order_acquire);	/* acquire [store-map] */
	return atomic_load_explicit(&store_shared->tree_of_db[now][db], memory_order_relaxed);	/* relaxed: written before map_now */
}

uint32
store__tree_id(uint32 tree_index)
{
	/* relaxed: constant while the map names the tree; ordered by [store-map] */
	return atomic_load_explicit(&store_shared->tree[tree_index].id, memory_order_relaxed);
}

/* raise_gate -- the LSN of the map record that this database stems from gates every answer about it. */
static inline void
raise_gate(Lsn *gate, uint32 db, Lsn seen)
{
	/* relaxed: stored before map_now, which was read by acquire [store-map] */
	Lsn			map = atomic_load_explicit(&store_shared->map_lsn[db], memory_order_relaxed);

	if (*gate < seen)
		*gate = seen;
	if (*gate < map)
		*gate = map;
}

void
store_view_copy(const StoreView *view, uint64 offset, size_t len, void *to)
{
	Assert(view->exists && offset + len <= view->value_len);
	if (view->leaf != NULL)
		leaf_copy_value(view->leaf, offset, len, to);
	else if (len > 0)
		memcpy(to, view->flat + offset, len);
}

const uint8 *
store_view_inline(const StoreView *view)
{
	if (!view->exists)
		return NULL;
	if (view->leaf == NULL)
		return view->flat;
	if (leaf_flags(view->leaf) & LEAF_EXTENTS)
		return NULL;
	return leaf_inline_value(view->leaf);
}

const uint8 *
store_view_part(const StoreView *view, uint64 offset, size_t *len)
{
	Assert(view->exists && offset < view->value_len);
	if (view->leaf != NULL)
		return leaf_value_part(view->leaf, offset, len);
	*len = view->value_len - offset;
	return view->flat + offset;
}

/*
 * store__find_memory -- what to do when blocks for 'size' bytes could not be had; outside an epoch.
 *
 * Memory may be there but not yet reserved: mem_grow adds a chunk at a time, so a
 * long value may need many goes.  Or it is retired and waits for a grace period:
 * a few attempts at reclaiming.  False: the writer gets -OOM.
 */
bool
store__find_memory(uint32 *attempts, uint64 size)
{
	Assert(!epoch_inside());
	if (*attempts >= MEMORY_ATTEMPTS + size / (256 * KIB))
		return false;
	(*attempts)++;
	if (mem_grow() == 0)
		return true;
	*attempts += (uint32) (size / (256 * KIB) / MEMORY_ATTEMPTS);	/* no chunk is left: few goes */
	epoch_try_advance();
	mem_reclaim();
	return true;
}

/* ---- the base ---- */

static _Thread_local BaseKeep *keep_of_thread;	/* for callers without a command */
static _Thread_local BaseKeep **keep_place;

void
store_use_keep(struct BaseKeep **keep)
{
	keep_place = keep;
}

BaseKeep *
store__keep(void)
{
	return keep_place != NULL ? *keep_place : keep_of_thread;
}

void
store__keep_make(void)
{
	BaseKeep  **place = keep_place != NULL ? keep_place : &keep_of_thread;

	Assert(!epoch_inside());
	if (*place == NULL)
		*place = base_keep_create();
}

void
store__view_base(StoreView *view, const BaseValue *value)
{
	view->leaf = NULL;
	view->flat = value->data;
	view->present = true;
	view->expiry = value->expiry;
	view->exists = !store__has_expired(value->expiry);
	view->unknown = false;
	view->value_len = view->exists ? value->len : 0;
	view->lsn = value->lsn;
}

/* hash_of -- FNV-1a: only for the table of the keys seen once. */
static uint32
hash_of(const uint8 *key, uint32 len)
{
	uint32		h = 2166136261u;

	for (uint32 i = 0; i < len; i++)
		h = (h ^ key[i]) * 16777619u;
	return h ^ h >> 15;
}

/*
 * worth_promoting -- while memory is plenty, all that is read; when it is short,
 * what is read a second time before SEEN_ONCE others (a doorkeeper, as in TinyLFU):
 * a pass over cold data does not push out what is hot.
 */
#define SEEN_ONCE 16384
static _Thread_local uint16 seen_once[SEEN_ONCE];

static bool
worth_promoting(const uint8 *key, uint32 key_len)
{
	uint32		hash;
	uint16	   *place;
	uint16		mark;

	if (!evict_mark_recent())
		return true;
	hash = hash_of(key, key_len);
	place = &seen_once[hash % SEEN_ONCE];
	mark = (uint16) (hash >> 16 | 1);
	if (*place == mark)
		return true;
	*place = mark;
	return false;
}

bool
store__promote(const uint8 *key, uint32 key_len, const BaseValue *value)
{
	BytePart	part = {value->data, value->len};
	ArtPos		pos;
	Off			leaf;

	Assert(epoch_inside());
	if (art_locate(&store_shared->root, key, key_len, &pos) != ART_OK)
		return false;
	if (pos.leaf != NULL)
	{
		art_abandon(&pos);
		return store__resolve(pos.leaf) != NULL;
	}
	leaf = leaf_build(key, (uint16) key_len, &part, 1, value->expiry != 0 ? LEAF_HAS_EXPIRY : 0, value->expiry);
	if (leaf == MEM_NONE)
	{
		art_abandon(&pos);
		return false;
	}
	((Leaf *) seg_ptr(leaf))->lsn = value->lsn;
	if (art_prepare(&pos, leaf) != ART_OK || !art_raise_dirty(&pos, value->lsn) || !art_publish(&pos, leaf))
	{
		art_abandon(&pos);
		leaf_free(leaf);
		return false;
	}
	figure_add(&store_shared->counts[my_slot->number].promoted, 1);
	return true;
}

Look
store__look_in_root(const BaseRoot *root, const uint8 *key, uint32 key_len, bool with_value, StoreView *view)
{
	BaseKeep   *keep = store__keep();
	BaseValue	value;

	store__view_leaf(view, NULL);
	if (root->page.number == 0)
		return LOOK_DONE;
	if (keep == NULL)
		return LOOK_NO_KEEP;
	switch (base_get(root, key, key_len, with_value, keep, &value))
	{
		case BASE_FOUND:
			store__view_base(view, &value);
			return LOOK_DONE;
		case BASE_ABSENT:
			return LOOK_DONE;
		case BASE_MISS:
			return LOOK_MISS;
		case BASE_CORRUPT:
			return LOOK_CORRUPT;
	}
	NotReached();
}

Look
store__look(const uint8 *key, uint32 key_len, bool with_value, StoreView *view)
{
	bool		complete;
	Leaf	   *found = art_lookup_complete(&store_shared->root, key, key_len, &complete);
	const Leaf *leaf = store__resolve(found);
	Look		result;

	if (likely(leaf != NULL || (complete && found == NULL)))
	{
		store__view_leaf(view, leaf);
		if (leaf != NULL && unlikely(evict_mark_recent()))
			art_mark_recent(found);
		return LOOK_DONE;
	}
	result = store__look_in_root(&store__base()->root, key, key_len, with_value, view);
	if (found != NULL)
		return result;			/* a transaction's descriptor leaf holds the place */
	if (result == LOOK_DONE && view->exists && view->flat != NULL && worth_promoting(key, key_len))
	{
		BaseValue	value = {.lsn = view->lsn, .expiry = view->expiry, .len = view->value_len, .data = view->flat};

		(void) store__promote(key, key_len, &value);	/* no place: it will be read again */
	}
	return result;
}

StoreStatus
store__look_failed(Look result)
{
	switch (result)
	{
		case LOOK_DONE:
			NotReached();
		case LOOK_NO_KEEP:
			store__keep_make();
			return STORE_OK;
		case LOOK_MISS:
			base_read_start(store__keep());
			/* plain calls have read it already: go on at once */
			return base_keep_pending(store__keep()) == 0 ? STORE_OK : STORE_PARK_PAGE;
		case LOOK_CORRUPT:
			return STORE_CORRUPT;
	}
	NotReached();
}

/* ---- reading ---- */

static StoreStatus
read_key(const StoreKey *key, bool with_value, StoreShow show, void *arg, Lsn *gate)
{
	if (unlikely(store_snapshot_in_use != NULL))
		return store__at_read(key, with_value, show, arg, gate);
	if (unlikely(store__txn != NULL))
		return store__txn_read(key, with_value, show, arg, gate);
	for (;;)
	{
		StoreView	view;
		StoreStatus status;
		Look		result;
		uint32		len;

		epoch_enter();
		len = store__build_key(key_buffer, store__tree_id(store__tree_index(key->db)), key->data, key->len);
		result = store__look(key_buffer, len, with_value, &view);
		if (likely(result == LOOK_DONE))
		{
			status = STORE_OK;
			raise_gate(gate, key->db, view.lsn);
			if (unlikely(view.present && !view.exists))
				status = store__expired_gate(view.expiry, gate);
			if (likely(status == STORE_OK))
				show(&view, arg);
			epoch_leave();
			return status;
		}
		epoch_leave();
		status = store__look_failed(result);
		if (status != STORE_OK)
			return status;
	}
}

StoreStatus
store_read(const StoreKey *key, StoreShow show, void *arg, Lsn *gate)
{
	return read_key(key, true, show, arg, gate);
}

StoreStatus
store_read_head(const StoreKey *key, StoreShow show, void *arg, Lsn *gate)
{
	return read_key(key, false, show, arg, gate);
}

/* Piece -- arguments of store_read_piece for its show function */
typedef struct Piece
{
	Lsn			version;
	uint64		offset;
	size_t		len;
	void	   *to;
	bool		same;
} Piece;

static void
show_piece(const StoreView *view, void *arg)
{
	Piece	   *piece = arg;

	piece->same = view->exists && view->lsn == piece->version;
	if (piece->same)
		store_view_copy(view, piece->offset, piece->len, piece->to);
}

StoreStatus
store_read_piece(const StoreKey *key, Lsn version, uint64 offset, size_t len, void *to, bool *same)
{
	Piece		piece = {version, offset, len, to, false};
	Lsn			gate = LSN_NONE;	/* the caller has it from the version's first piece */
	StoreStatus status = read_key(key, true, show_piece, &piece, &gate);

	*same = piece.same;
	return status;
}

/*
 * store_prefetch_batch -- keys beyond STORE_PREFETCH_MAX, and bytes of a key beyond
 * PREFETCH_KEY_BYTES, are left out: nothing depends on it.
 */
#define PREFETCH_KEY_BYTES 128

void
store_prefetch_batch(const StoreKey *keys, int count)
{
	uint8		bytes[STORE_PREFETCH_MAX][4 + PREFETCH_KEY_BYTES];
	BytePart	part[STORE_PREFETCH_MAX];
	int			n = Min(count, STORE_PREFETCH_MAX);

	epoch_enter();
	for (int i = 0; i < n; i++)
	{
		uint32		tree_id = store__tree_id(store__tree_index(keys[i].db));

		part[i].data = bytes[i];
		part[i].len = store__build_key(bytes[i], tree_id, keys[i].data, Min(keys[i].len, (uint32) PREFETCH_KEY_BYTES));
	}
	art_prefetch_batch(&store_shared->root, part, n);
	epoch_leave();
}

/* ---- writing ---- */

/* Attempt -- one go at a write; everything in it is given back when it fails. */
typedef struct Attempt
{
	const StoreKey *key;
	uint32		tree_index;
	uint32		key_len;
	ArtPos		pos;
	StoreView	view;
	StoreAction action;
	StoreChange change;
	WriteLook	wants;			/* what the decision looks at */
	Look		look;			/* of ATTEMPT_LOOK */
	StoreOpen	open;			/* snapshots; read before the leaf is built */
	uint64		expiry;			/* of the new version */
	Lsn			expired_gate;	/* of an answer that shows that a deadline has passed */
	Lsn			first;			/* of the chain of versions that a blind write began; 0: known */
	Off			leaf;			/* the new one, 0: not built */
	WalReservation reservation;
	int			part_count;
	uint32		body_crc;
	uint64		body_len;
} Attempt;

static _Thread_local StoreHint hint;	/* of the attempt */

typedef enum AttemptResult
{
	ATTEMPT_DONE,
	ATTEMPT_AGAIN,			/* somebody else was faster */
	ATTEMPT_NO_MEMORY,
	ATTEMPT_LOOK,			/* the base must be read first: a->look */
	ATTEMPT_FAILED			/* *status says why */
} AttemptResult;

/*
 * words_of_leaf -- flags for the words that the new leaf needs: a link if a snapshot
 * may need what it replaces, the first LSN of a chain that nobody has looked up yet.
 */
static uint16
words_of_leaf(Attempt *a)
{
	const Leaf *old = a->pos.leaf;
	uint16		flags = 0;

	store__open_snapshots(&a->open);
	if (unlikely(a->open.any) && old != NULL)
		flags |= LEAF_HAS_LINK;
	a->first = LSN_NONE;
	if (a->view.unknown)
		flags |= LEAF_UNKNOWN;
	else if (old != NULL && leaf_first(old) > store__base()->root.cut)
	{
		a->first = leaf_first(old);
		flags |= LEAF_UNKNOWN;
	}
	return flags;
}

/* ---- the new value ---- */

static uint64
parts_len(const StoreChange *change)
{
	uint64		len = 0;

	for (int i = 0; i < change->part_count; i++)
		len += change->part[i].len;
	return len;
}

uint64
store__new_len(const StoreView *view, const StoreChange *change)
{
	if (change->patch_old)
		return Max(view->value_len, change->patch_at + parts_len(change));
	return parts_len(change) + (change->append_to_old ? view->value_len : 0);
}

/* old_parts -- what the value has from 'from' up to 'until'. */
static int
old_parts(const StoreView *view, uint64 from, uint64 until, BytePart *to)
{
	int			count = 0;

	while (from < until)
	{
		size_t		len;

		to[count].data = store_view_part(view, from, &len);
		to[count].len = Min(len, (size_t) (until - from));
		from += to[count++].len;
	}
	return count;
}

static int
zero_parts(uint64 len, BytePart *to)
{
	static const uint8 zeros[LEAF_EXTENT_BYTES];
	int			count = 0;

	for (; len > 0; count++)
	{
		to[count] = (BytePart) {zeros, (size_t) Min(len, sizeof(zeros))};
		len -= to[count].len;
	}
	return count;
}

int
store__new_parts(const StoreView *view, const StoreChange *change, BytePart *to)
{
	int			count = 0;

	if (change->patch_old)
	{
		count = old_parts(view, 0, Min(change->patch_at, view->value_len), to);
		if (change->patch_at > view->value_len)
			count += zero_parts(change->patch_at - view->value_len, to + count);
	}
	else if (change->append_to_old)
		count = old_parts(view, 0, view->value_len, to);
	for (int i = 0; i < change->part_count; i++)
		to[count++] = change->part[i];
	if (change->patch_old)
		count += old_parts(view, change->patch_at + parts_len(change), view->value_len, to + count);
	Assert(count <= (int) STORE_NEW_PARTS_MAX);
	return count;
}

/* build_leaf -- the new version from the decision; false: no memory. */
static bool
build_leaf(Attempt *a)
{
	uint16		flags = words_of_leaf(a);
	int			count;

	if (a->action == STORE_DELETE)
	{
		/* what has expired was absent before: whoever watches that version is told so (store_txn.c) */
		Lsn			expired = a->view.present && !a->view.exists ? a->view.lsn : LSN_NONE;

		if (unlikely(expired != LSN_NONE))
			flags |= LEAF_HAS_EXPIRY;
		a->leaf = leaf_build(key_buffer, (uint16) a->key_len, NULL, 0, flags | LEAF_TOMBSTONE, expired);
		return a->leaf != MEM_NONE;
	}
	count = store__new_parts(&a->view, &a->change, record_part);
	if (a->expiry != 0)
		flags |= LEAF_HAS_EXPIRY;
	a->leaf = leaf_build(key_buffer, (uint16) a->key_len, record_part, count, flags, a->expiry);
	return a->leaf != MEM_NONE;
}

/* describe_record -- the body's parts out of the new leaf, and their checksum. */
static void
describe_record(Attempt *a)
{
	const Leaf *leaf = seg_ptr(a->leaf);
	const uint8 *key = leaf_key(leaf);

	a->part_count = 1;
	record_part[0].data = key;
	record_part[0].len = leaf->key_len;
	if (unlikely(a->expiry != 0))
	{
		record_part[a->part_count].data = &a->expiry;
		record_part[a->part_count++].len = sizeof(a->expiry);
	}
	if ((leaf_flags(leaf) & LEAF_EXTENTS) == 0 && a->expiry == 0)
		record_part[0].len += leaf->value_len;	/* the value follows its key in the leaf */
	else
	{
		uint64		offset = 0;

		while (offset < leaf->value_len)
		{
			size_t		len;

			record_part[a->part_count].data = leaf_value_part(leaf, offset, &len);
			record_part[a->part_count].len = len;
			offset += len;
			a->part_count++;
		}
	}
	a->body_crc = 0;
	a->body_len = 0;
	for (int i = 0; i < a->part_count; i++)
	{
		a->body_crc = crc32c_extend(a->body_crc, record_part[i].data, record_part[i].len);
		a->body_len += record_part[i].len;
	}
}

bool
store_value_fits(const StoreKey *key, uint64 value_len)
{
	return value_len <= (uint64) set_max_value_size && WAL_RECORD_HEADER + 4 + key->len + 8 + value_len <= wal_record_max();
}

/* give_back -- nothing of this attempt was published. */
static void
give_back(Attempt *a)
{
	art_abandon(&a->pos);
	if (unlikely(hint.wanted))
		store__hint_abandon(&hint);
	if (a->leaf != MEM_NONE)
		leaf_free(a->leaf);
	a->leaf = MEM_NONE;
}

static void
count_change(const Attempt *a)
{
	StoreCounts *counts = &store_shared->counts[my_slot->number];

	if (leaf_link(seg_ptr(a->leaf)) != 0)
		figure_add(&counts->linked, 1);
	store__count_expiry(a->tree_index, &a->view, a->expiry);
	if (a->view.unknown)
		figure_add(&counts->blind, 1);	/* counted when somebody has looked */
	else if (a->action == STORE_PUT && !a->view.present)
		store__count_add(a->tree_index, 1);
	if (a->action == STORE_DELETE)
	{
		store__count_add(a->tree_index, -1);
		figure_add(&counts->tombstones, 1);
	}
}

static uint8
record_flags(const Attempt *a)
{
	uint8		flags = a->expiry != 0 ? WAL_FLAG_EXPIRY : 0;

	if (unlikely(a->view.present && a->view.expiry != 0))
		flags |= WAL_FLAG_HAD_EXPIRY;
	if (a->action != STORE_PUT || a->view.present)
		return flags;
	return flags | (a->view.unknown ? WAL_FLAG_UNKNOWN : WAL_FLAG_CREATED);
}

/* publish -- from reserve to fill: no sleep, no allocation, no system call. */
static AttemptResult
publish(Attempt *a, StoreStatus *status)
{
	Leaf	   *leaf = seg_ptr(a->leaf);
	Leaf	   *old = a->pos.leaf;
	Off			link = 0;

	switch (wal_reserve((uint32) a->body_len, a->leaf, &a->reservation))
	{
		case WAL_RESERVED:
			break;
		case WAL_NO_SPACE:
			*status = STORE_PARK_WAL;
			return ATTEMPT_FAILED;
		case WAL_DISK_FULL:
			*status = STORE_DISK_FULL;
			return ATTEMPT_FAILED;
	}
	leaf->lsn = a->reservation.end;
	if (leaf_flags(leaf) & LEAF_HAS_LINK)
	{
		link = store__link_for(&a->open, old, leaf->lsn);
		leaf_set_link(leaf, link);
	}
	if (leaf_flags(leaf) & LEAF_UNKNOWN)
		leaf_set_first(leaf, a->view.unknown ? leaf->lsn : a->first);
	if ((unlikely(hint.wanted) && !store__hint_publish(&hint, a->reservation.end)) ||
		!art_raise_dirty(&a->pos, a->reservation.end))
	{
		wal_fill_void(&a->reservation);
		return ATTEMPT_AGAIN;
	}
	if (old != NULL && old->lsn > wal_completed_lsn())
		art_mark_seen(old);
	FAULT_POINT("store-before-publish");
	if (!art_publish(&a->pos, a->leaf))
	{
		wal_fill_void(&a->reservation);
		return ATTEMPT_AGAIN;
	}
	wal_fill(&a->reservation, a->action == STORE_DELETE ? WAL_DELETE : WAL_PUT, record_flags(a),
			 (uint16) a->key_len, a->body_crc, record_part, a->part_count);
	if (unlikely(hint.wanted))
		store__hint_done(&hint, a->reservation.end);
	if (old != NULL)
		store__replaced(old, link);
	return ATTEMPT_DONE;
}

/* prepare_hint -- the entry in the index of deadlines that comes with this version, or goes with it. */
static AttemptResult
prepare_hint(Attempt *a, StoreStatus *status)
{
	StoreStatus result = STORE_OK;

	if (a->expiry != 0)
		result = store__hint_prepare(&hint, key_buffer, a->key_len, a->expiry);
	else if (a->action == STORE_DELETE)
		result = store__fired_prepare(&hint);
	if (result == STORE_OK)
		return ATTEMPT_DONE;
	*status = result;
	return result == STORE_NO_MEMORY ? ATTEMPT_NO_MEMORY : ATTEMPT_FAILED;
}

/* attempt -- inside the epoch: locate, decide, build, publish. */
static AttemptResult
attempt(Attempt *a, StoreDecide decide, void *arg, StoreStatus *status)
{
	AttemptResult result;

	a->tree_index = store__tree_index(a->key->db);
	a->key_len = store__build_key(key_buffer, store__tree_id(a->tree_index), a->key->data, a->key->len);
	if (unlikely(store__write_blocked(key_buffer, a->key_len)))
	{
		*status = STORE_PARK_MAP;
		return ATTEMPT_FAILED;
	}
	if (art_locate(&store_shared->root, key_buffer, a->key_len, &a->pos) != ART_OK)
		return ATTEMPT_NO_MEMORY;
	if (a->pos.leaf != NULL && unlikely(leaf_flags(a->pos.leaf) & LEAF_DESCRIPTOR))
	{
		art_abandon(&a->pos);
		*status = store__meet_descriptor(a->pos.leaf);
		if (*status == STORE_NO_MEMORY)
		{
			*status = STORE_OK;
			return ATTEMPT_NO_MEMORY;
		}
		return *status == STORE_OK ? ATTEMPT_AGAIN : ATTEMPT_FAILED;
	}
	if (a->pos.leaf != NULL || a->pos.complete)
		store__view_leaf(&a->view, a->pos.leaf);
	else if (a->wants == WRITE_BLIND && store__base()->root.page.number != 0)
		a->view.unknown = true;
	else
	{
		a->look = store__look_in_root(&store__base()->root, key_buffer, a->key_len, a->wants == WRITE_VALUE, &a->view);
		if (unlikely(a->look != LOOK_DONE))
		{
			art_abandon(&a->pos);
			return ATTEMPT_LOOK;
		}
	}
	a->action = decide(&a->view, &a->change, arg);
	if (a->action == STORE_DELETE &&
		(!a->view.present || unlikely(store__fired != NULL && !store__fired_is(key_buffer, a->key_len))))
		a->action = STORE_KEEP;
	if (a->action == STORE_KEEP)
	{
		art_abandon(&a->pos);
		if (unlikely(a->view.present && !a->view.exists))
			*status = store__expired_gate(a->view.expiry, &a->expired_gate);
		return *status == STORE_OK ? ATTEMPT_DONE : ATTEMPT_FAILED;
	}
	a->expiry = 0;
	if (a->action == STORE_PUT)
		a->expiry = a->change.keep_expiry ? (a->view.exists ? a->view.expiry : 0) : a->change.expiry;
	if (a->action == STORE_PUT)
	{
		if (!store_value_fits(a->key, store__new_len(&a->view, &a->change)))
		{
			art_abandon(&a->pos);
			*status = STORE_TOO_LARGE;
			return ATTEMPT_FAILED;
		}
	}
	hint.wanted = unlikely(a->expiry != 0) && store__hint_needed(&a->view, a->expiry);
	if (!build_leaf(a))
	{
		give_back(a);
		return ATTEMPT_NO_MEMORY;
	}
	result = unlikely(hint.wanted || store__fired != NULL) ? prepare_hint(a, status) : ATTEMPT_DONE;
	if (result == ATTEMPT_DONE && art_prepare(&a->pos, a->leaf) != ART_OK)
		result = ATTEMPT_NO_MEMORY;
	if (result != ATTEMPT_DONE)
	{
		give_back(a);
		return result;
	}
	describe_record(a);
	result = publish(a, status);
	if (result != ATTEMPT_DONE)
		give_back(a);
	return result;
}

static StoreStatus
write_key(const StoreKey *key, WriteLook wants, StoreDecide decide, void *arg, StoreWritten *out)
{
	Attempt		a;
	StoreStatus status = STORE_OK;
	uint32		memory_attempts = 0;

	Assert(!epoch_inside() && store_snapshot_in_use == NULL);
	if (unlikely(store__txn != NULL))
		return store__txn_write(key, wants, decide, arg, out);
	for (;;)
	{
		AttemptResult result;

		a.key = key;
		a.expired_gate = LSN_NONE;
		a.wants = wants;
		a.leaf = MEM_NONE;
		store__view_leaf(&a.view, NULL);
		memset(&a.change, 0, sizeof(a.change));
		epoch_enter();
		result = attempt(&a, decide, arg, &status);
		if (result == ATTEMPT_DONE)
		{
			out->changed = a.action != STORE_KEEP;
			out->existed = a.view.exists;
			out->version = out->gate = out->changed ? a.reservation.end : a.view.lsn;
			raise_gate(&out->gate, key->db, a.expired_gate);
			if (out->changed)
			{
				StoreTree  *tree = &store_shared->tree[a.tree_index];

				count_change(&a);
				/* relaxed: read under the announcement, a grace period later */
				if (atomic_load_explicit(&tree->touched, memory_order_relaxed) == 0)
					atomic_store_explicit(&tree->touched, 1, memory_order_relaxed);
			}
			epoch_leave();
			return STORE_OK;
		}
		/* a refusal may tell what was seen, too */
		out->changed = false;
		out->existed = a.view.exists;
		out->version = out->gate = a.view.lsn;
		raise_gate(&out->gate, key->db, LSN_NONE);
		epoch_leave();
		if (result == ATTEMPT_FAILED)
			return status;
		if (result == ATTEMPT_NO_MEMORY && !store__find_memory(&memory_attempts, store__new_len(&a.view, &a.change)))
			return !evict_could_fit(store__new_len(&a.view, &a.change)) || evict_hopeless() ? STORE_NO_MEMORY : STORE_PARK_MEMORY;
		if (result == ATTEMPT_LOOK)
		{
			status = store__look_failed(a.look);
			if (status != STORE_OK)
				return status;
		}
		if (result == ATTEMPT_AGAIN)
			figure_add(&store_shared->counts[my_slot->number].retries, 1);
	}
}

StoreStatus
store_write(const StoreKey *key, StoreDecide decide, void *arg, StoreWritten *out)
{
	return write_key(key, WRITE_VALUE, decide, arg, out);
}

StoreStatus
store_write_blind(const StoreKey *key, StoreDecide decide, void *arg, StoreWritten *out)
{
	return write_key(key, WRITE_BLIND, decide, arg, out);
}

StoreStatus
store_write_head(const StoreKey *key, StoreDecide decide, void *arg, StoreWritten *out)
{
	return write_key(key, WRITE_HEAD, decide, arg, out);
}
