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
 * delete, tombstone dropped); but a tombstone with LSN t is dropped only when
 * t <= completed, hence no reservation below t is open, hence whoever still
 * holds the null word from before publishes with an LSN above t.
 *
 * Between reserve and fill nothing sleeps, allocates or makes a system call: all
 * memory is taken by leaf_build and art_prepare before.
 *
 * Workers and the startup process run this; nothing here blocks.  A process that
 * dies inside leaves its reservation readable in its process slot, its leaf
 * named there, and shared memory consistent at every instruction.
 */
#include "common/c.h"

#include "access/store/store_internal.h"
#include "common/crc32c.h"
#include "storage/file/file.h"
#include "storage/mem/heap.h"
#include "utils/settings.h"

#include <errno.h>

StoreShared *store_shared;

#define MEMORY_ATTEMPTS 8

static _Thread_local uint8 key_buffer[KEY_MAX];

/* body parts of a record: the leaf's own head, then one part per extent */
#define RECORD_PARTS_MAX (1 + 64 * MIB / LEAF_EXTENT_BYTES)
static _Thread_local BytePart record_part[RECORD_PARTS_MAX + STORE_PARTS_MAX];

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
	Assert(db < DATABASE_COUNT);
	return atomic_load_explicit(&store_shared->tree_of_db[db], memory_order_acquire);	/* acquire [store-map] */
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
	/* relaxed: stored before tree_of_db, which was read by acquire [store-map] */
	Lsn			map = atomic_load_explicit(&store_shared->map_lsn[db], memory_order_relaxed);

	if (*gate < seen)
		*gate = seen;
	if (*gate < map)
		*gate = map;
}

static inline void
set_view(StoreView *view, const Leaf *leaf)
{
	view->leaf = leaf;
	view->exists = leaf != NULL && (leaf_flags(leaf) & LEAF_TOMBSTONE) == 0;
	view->value_len = view->exists ? leaf->value_len : 0;
	view->lsn = leaf != NULL ? leaf->lsn : LSN_NONE;
}

void
store_view_copy(const StoreView *view, uint64 offset, size_t len, void *to)
{
	Assert(view->exists && offset + len <= view->value_len);
	leaf_copy_value(view->leaf, offset, len, to);
}

const uint8 *
store_view_inline(const StoreView *view)
{
	if (!view->exists || (leaf_flags(view->leaf) & LEAF_EXTENTS))
		return NULL;
	return leaf_inline_value(view->leaf);
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

/* ---- reading ---- */

StoreStatus
store_read(const StoreKey *key, StoreShow show, void *arg, Lsn *gate)
{
	StoreView	view;
	uint32		len;

	epoch_enter();
	len = store__build_key(key_buffer, store__tree_id(store__tree_index(key->db)), key->data, key->len);
	set_view(&view, art_lookup(&store_shared->root, key_buffer, len));
	raise_gate(gate, key->db, view.lsn);
	show(&view, arg);
	epoch_leave();
	return STORE_OK;
}

bool
store_read_piece(const StoreKey *key, Lsn version, uint64 offset, size_t len, void *to)
{
	const Leaf *leaf;
	uint32		key_len;
	bool		same;

	epoch_enter();
	key_len = store__build_key(key_buffer, store__tree_id(store__tree_index(key->db)), key->data, key->len);
	leaf = art_lookup(&store_shared->root, key_buffer, key_len);
	same = leaf != NULL && leaf->lsn == version && (leaf_flags(leaf) & LEAF_TOMBSTONE) == 0;
	if (same)
	{
		Assert(offset + len <= leaf->value_len);
		leaf_copy_value(leaf, offset, len, to);
	}
	epoch_leave();
	return same;
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
	Off			leaf;			/* the new one, 0: not built */
	WalReservation reservation;
	int			part_count;
	uint32		body_crc;
	uint64		body_len;
} Attempt;

typedef enum AttemptResult
{
	ATTEMPT_DONE,
	ATTEMPT_AGAIN,			/* somebody else was faster */
	ATTEMPT_NO_MEMORY,
	ATTEMPT_FAILED			/* *status says why */
} AttemptResult;

/* build_leaf -- the new version from the decision; false: no memory. */
static bool
build_leaf(Attempt *a)
{
	int			count = 0;

	if (a->action == STORE_DELETE)
	{
		a->leaf = leaf_build(key_buffer, a->key_len, NULL, 0, LEAF_TOMBSTONE, 0);
		return a->leaf != MEM_NONE;
	}
	if (a->change.append_to_old && a->view.exists)
	{
		uint64		offset = 0;

		while (offset < a->view.value_len)
		{
			size_t		len;

			record_part[count].data = leaf_value_part(a->view.leaf, offset, &len);
			record_part[count].len = len;
			offset += len;
			count++;
		}
	}
	for (int i = 0; i < a->change.part_count; i++)
		record_part[count++] = a->change.part[i];
	Assert(count <= (int) lengthof(record_part));
	a->leaf = leaf_build(key_buffer, a->key_len, record_part, count, 0, 0);
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
	if ((leaf_flags(leaf) & LEAF_EXTENTS) == 0)
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

static uint64
new_value_len(const Attempt *a)
{
	uint64		len = a->change.append_to_old ? a->view.value_len : 0;

	for (int i = 0; i < a->change.part_count; i++)
		len += a->change.part[i].len;
	return len;
}

bool
store_value_fits(const StoreKey *key, uint64 value_len)
{
	return value_len <= (uint64) set_max_value_size && WAL_RECORD_HEADER + 4 + key->len + value_len <= wal_record_max();
}

/* give_back -- nothing of this attempt was published. */
static void
give_back(Attempt *a)
{
	art_abandon(&a->pos);
	if (a->leaf != MEM_NONE)
		leaf_free(a->leaf);
	a->leaf = MEM_NONE;
}

static void
count_change(const Attempt *a)
{
	if (a->action == STORE_PUT && !a->view.exists)
		store__count_add(a->tree_index, 1);
	if (a->action == STORE_DELETE)
	{
		_Atomic uint64 *made = &store_shared->counts[my_slot->number].tombstones;

		store__count_add(a->tree_index, -1);
		/* relaxed: only this process writes it */
		atomic_store_explicit(made, atomic_load_explicit(made, memory_order_relaxed) + 1, memory_order_relaxed);
	}
}

/* publish -- from reserve to fill: no sleep, no allocation, no system call. */
static AttemptResult
publish(Attempt *a, StoreStatus *status)
{
	Leaf	   *leaf = seg_ptr(a->leaf);
	Leaf	   *old = a->pos.leaf;

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
	if (!art_raise_dirty(&a->pos, a->reservation.end))
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
	wal_fill(&a->reservation, a->action == STORE_DELETE ? WAL_DELETE : WAL_PUT, 0, (uint16) a->key_len,
			 a->body_crc, record_part, a->part_count);
	if (old != NULL)
		leaf_retire(seg_off(old));
	return ATTEMPT_DONE;
}

/* attempt -- inside the epoch: locate, decide, build, publish. */
static AttemptResult
attempt(Attempt *a, StoreDecide decide, void *arg, StoreStatus *status)
{
	AttemptResult result;

	/* seq_cst [store-announce]: the epoch's fence precedes this load, store_flush's announcement its grace period */
	if (unlikely(atomic_load_explicit(&store_shared->map_change, memory_order_seq_cst) != 0))
	{
		*status = STORE_PARK_MAP;
		return ATTEMPT_FAILED;
	}
	a->tree_index = store__tree_index(a->key->db);
	a->key_len = store__build_key(key_buffer, store__tree_id(a->tree_index), a->key->data, a->key->len);
	if (art_locate(&store_shared->root, key_buffer, a->key_len, &a->pos) != ART_OK)
		return ATTEMPT_NO_MEMORY;
	set_view(&a->view, a->pos.leaf);
	a->action = decide(&a->view, &a->change, arg);
	if (a->action == STORE_DELETE && !a->view.exists)
		a->action = STORE_KEEP;
	if (a->action == STORE_KEEP)
	{
		art_abandon(&a->pos);
		return ATTEMPT_DONE;
	}
	if (a->action == STORE_PUT)
	{
		if (!store_value_fits(a->key, new_value_len(a)))
		{
			art_abandon(&a->pos);
			*status = STORE_TOO_LARGE;
			return ATTEMPT_FAILED;
		}
	}
	if (!build_leaf(a) || art_prepare(&a->pos, a->leaf) != ART_OK)
	{
		give_back(a);
		return ATTEMPT_NO_MEMORY;
	}
	describe_record(a);
	result = publish(a, status);
	if (result != ATTEMPT_DONE)
		give_back(a);
	return result;
}

StoreStatus
store_write(const StoreKey *key, StoreDecide decide, void *arg, StoreWritten *out)
{
	Attempt		a;
	StoreStatus status = STORE_OK;
	uint32		memory_attempts = 0;

	Assert(!epoch_inside());
	for (;;)
	{
		AttemptResult result;

		a.key = key;
		a.leaf = MEM_NONE;
		set_view(&a.view, NULL);
		memset(&a.change, 0, sizeof(a.change));
		epoch_enter();
		result = attempt(&a, decide, arg, &status);
		if (result == ATTEMPT_DONE)
		{
			out->changed = a.action != STORE_KEEP;
			out->existed = a.view.exists;
			out->gate = out->changed ? a.reservation.end : a.view.lsn;
			raise_gate(&out->gate, key->db, LSN_NONE);
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
		out->gate = a.view.lsn;
		raise_gate(&out->gate, key->db, LSN_NONE);
		epoch_leave();
		if (result == ATTEMPT_FAILED)
			return status;
		if (result == ATTEMPT_NO_MEMORY && !store__find_memory(&memory_attempts, new_value_len(&a)))
			return STORE_NO_MEMORY;
		if (result == ATTEMPT_AGAIN)
		{
			_Atomic uint64 *retries = &store_shared->counts[my_slot->number].retries;

			/* relaxed: only this process writes it */
			atomic_store_explicit(retries, atomic_load_explicit(retries, memory_order_relaxed) + 1, memory_order_relaxed);
		}
	}
}
