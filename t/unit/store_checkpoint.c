/*
 * store_checkpoint.c -- checkpoints with a real log and a real data file, in one process.
 *
 * After each checkpoint the data file is read page by page (not by the server's own
 * reader) and compared with a ledger of everything that was written: of each key
 * exactly the newest version at or below the cut, and nothing else; the counts of the
 * control slot; what blind writes owe.  Writers are threads with slots of their
 * own; the checkpointer is this thread.
 */
#include "common/c.h"

#include "access/base/base_read_internal.h"
#include "access/base/control.h"
#include "access/store/checkpoint_internal.h"
#include "access/store/evict_internal.h"
#include "access/wal/wal_internal.h"
#include "common/crc32c.h"
#include "storage/file/file_internal.h"
#include "storage/ipc/latch.h"
#include "storage/mem/heap.h"
#include "unit_store.h"
#include "unit_wal.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 14
#define WRITERS 3
#define RING (8 * MIB)
#define SEGMENT (1 * MIB)
#define KEYS 2000				/* of the random test */
#define CREATED_AT SEGMENT		/* the cut of a new directory */

/* ---- the server: what there is of it ---- */

static bool walwriter_runs;
static pthread_t walwriter_thread;

static uint32
worker_slot(uint32 index)
{
	return proc_first_slot(PROC_WORKER) + index;
}

static void
become(uint32 slot)
{
	my_slot = proc_slot(slot);
}

static void *
run_walwriter(void *arg)
{
	(void) arg;
	become(proc_first_slot(PROC_WALWRITER));
	walwriter_open();
	walwriter_loop();
	wal__writer_close();
	return NULL;
}

/* flush_now -- all that is completed, by this thread, where no walwriter runs. */
static void
flush_now(void)
{
	ProcSlot   *mine = my_slot;
	Lsn			target = wal_insert_lsn();

	become(proc_first_slot(PROC_WALWRITER));
	wal_want(target, WAL_NOW);
	while (wal_flushed_lsn() < target)
		(void) wal__writer_turn();
	my_slot = mine;
}

/* run_begin -- a start: a fresh segment, recovery, the checkpointer's files. */
static void
run_begin(bool with_walwriter)
{
	wal__segments_close();
	if (seg_base != NULL)
		segment_destroy();
	set_wal_segment_size = SEGMENT;
	set_max_value_size = 1 * MIB;
	set_checkpoint_batch_pages = 8;
	set_checkpoint_coalesce_us = 0;
	set_max_wal_size = 1024 * MIB;
	set_checkpoint_completion_target = 0;
	unit_segment_make(192 * MIB, RING, SLOTS);
	snprintf(seg_control->data_dir, sizeof(seg_control->data_dir), "%s/db", unit_dir);
	become(proc_first_slot(PROC_STARTUP));
	if (!unit_exists(seg_control->data_dir))
		store_init_directory(seg_control->data_dir);
	store_recover(seg_control->data_dir);
	become(proc_first_slot(PROC_CHECKPOINTER));
	checkpoint_open(seg_control->data_dir);
	base_reader_open(seg_control->data_dir, seg_control->system_id);	/* for this thread: it is one per process */
	walwriter_runs = with_walwriter;
	atomic_store(&wal__writer_stop, false);
	if (with_walwriter)
		assert_int_equal(pthread_create(&walwriter_thread, NULL, run_walwriter, NULL), 0);
	else
	{
		become(proc_first_slot(PROC_WALWRITER));
		walwriter_open();
		become(proc_first_slot(PROC_CHECKPOINTER));
	}
}

/* run_end -- everything is closed, as by a crash: the control file stays as it is. */
static void
run_end(void)
{
	atomic_store(&wal__writer_stop, true);
	if (walwriter_runs)
	{
		latch_set(proc_first_slot(PROC_WALWRITER));
		pthread_join(walwriter_thread, NULL);
	}
	else
		wal__writer_close();
	store__keep_make();
	base_keep_release(store__keep());
	base_reader_close();
	checkpoint_close();
	wal__segments_close();
	segment_destroy();
	my_slot = NULL;
}

static int
setup(void **state)
{
	(void) state;
	unit_dir_make();
	wal__lock_timeout_ms = UNIT_LOCK_TIMEOUT_MS;
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	if (seg_base != NULL)
		run_end();
	file__fault_arm("");
	file__record_to(NULL);
	unit_dir_remove();
	return 0;
}

/* ---- checkpoints ---- */

static uint32 polls;
static uint32 give_up_at;		/* the poll that says no; 0: none */

static bool
poll_plain(void)
{
	while (wal_segments_prepare())
		continue;
	if (!walwriter_runs)
		flush_now();
	mem_reclaim();
	mem_keep_ahead();
	return ++polls != give_up_at;
}

static CheckpointResult
checkpoint_with(bool (*poll)(void))
{
	CheckpointResult result;
	uint64		ticket = checkpoint_request(CHECKPOINT_COMMAND);

	assert_false(checkpoint_result(ticket, &result));
	assert_true(checkpoint_due());
	checkpoint_run(poll);
	assert_true(checkpoint_result(ticket, &result));
	assert_int_equal(result.round, ticket);
	return result;
}

static CheckpointResult
checkpoint(void)
{
	return checkpoint_with(poll_plain);
}

static CheckpointResult
checkpoint_ok(void)
{
	CheckpointResult result = checkpoint();

	if (result.error != 0)
		fail_msg("checkpoint failed: %s", result.text);
	return result;
}

/* ---- the ledger: everything that was written ---- */

typedef struct Version
{
	uint32		key;			/* number: see key_name */
	Lsn			lsn;
	bool		deleted;
	uint32		len;
	uint32		crc;
} Version;

typedef struct Ledger
{
	Version    *at;
	size_t		count;
	size_t		room;
} Ledger;

static void
ledger_add(Ledger *l, Version v)
{
	if (l->count == l->room)
	{
		l->room = Max(l->room * 2, (size_t) 1024);
		l->at = realloc(l->at, l->room * sizeof(Version));
		assert_non_null(l->at);
	}
	l->at[l->count++] = v;
}

static int
compare_versions(const void *a, const void *b)
{
	const Version *x = a;
	const Version *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->lsn < y->lsn ? -1 : x->lsn > y->lsn;
}

/* key_name -- of key number n: database 3 the odd ones, 0 the others; some names are long. */
static StoreKey
key_name(uint32 n, char name[KEY_USER_MAX])
{
	uint32		len = (uint32) snprintf(name, KEY_USER_MAX, "%c/%02u/%06u", "ab"[n / 2 % 2], n % 23, n);
	uint32		more = n % 97 == 0 ? 3000 : n % 31;

	memset(name + len, 'k', more);
	return (StoreKey) {n % 2 ? 3 : 0, len + more, name};
}

static uint32
value_bytes(uint64 random, uint8 *to, uint32 len)
{
	for (uint32 i = 0; i < len; i += 8)
	{
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		memcpy(to + i, &random, Min(8, len - i));
	}
	return crc32c_extend(0, to, len);
}

typedef struct Put
{
	const uint8 *data;
	uint32		len;
	bool		delete;
} Put;

static StoreAction
decide(const StoreView *view, StoreChange *change, void *arg)
{
	const Put  *put = arg;

	(void) view;
	if (put->delete)
		return STORE_DELETE;
	change->part[0] = (BytePart) {put->data, put->len};
	change->part_count = 1;
	return STORE_PUT;
}

/* write_to -- a blind put, a put that looks, or a deletion, until it is through; into the ledger if it changed something. */
enum { BLIND, LOOK, DELETE };

static Lsn
write_to(uint32 n, int how, uint32 len, uint64 random, Ledger *ledger)
{
	static _Thread_local uint8 value[1 * MIB];
	char		name[KEY_USER_MAX];
	StoreKey	key = key_name(n, name);
	Version		v = {.key = n, .deleted = how == DELETE, .len = len};
	Put			put = {.data = value, .len = len, .delete = how == DELETE};
	StoreWritten out;
	StoreStatus status;

	if (how != DELETE)
		v.crc = value_bytes(random | 1, value, len);
	for (;;)
	{
		status = how == BLIND ? store_write_blind(&key, decide, &put, &out) : store_write(&key, decide, &put, &out);
		if (status == STORE_OK)
			break;
		if (status == STORE_PARK_WAL && (!walwriter_runs || my_slot->kind == PROC_CHECKPOINTER))
		{
			while (wal_segments_prepare())
				continue;
			if (!walwriter_runs)
				flush_now();
			else
				(void) wal_wait_flushed(wal_insert_lsn(), 100);
		}
		else if (status == STORE_PARK_PAGE && my_slot->kind == PROC_CHECKPOINTER)
			base_read_wait(store__keep());
		else if (status == STORE_PARK_WAL || status == STORE_PARK_MEMORY)
			usleep(100);
		else
			fail_msg("write: status %d", (int) status);
	}
	mem_keep_ahead();
	if (store__keep() != NULL)
		base_keep_release(store__keep());
	if (!out.changed)
		return LSN_NONE;
	v.lsn = out.gate;
	if (ledger != NULL)
		ledger_add(ledger, v);
	return v.lsn;
}

/* ---- the data file, read by hand ---- */

typedef struct Found
{
	uint32		tree_id;
	uint32		key_len;
	uint8	   *key;			/* without tree id */
	Lsn			lsn;
	uint64		len;
	uint32		crc;
} Found;

typedef struct Image
{
	ControlData control;
	Found	   *at;				/* in the order of the tree */
	size_t		count;
	size_t		room;
	uint64		pages;			/* reached */
	File	   *file;
} Image;

static void
image_page(Image *image, uint64 number, void *page)
{
	size_t		got;

	assert_int_equal(file_read(image->file, page, BASE_PAGE_SIZE, number * BASE_PAGE_SIZE, &got), 0);
	assert_int_equal(got, BASE_PAGE_SIZE);
	image->pages++;
}

static void
image_verify(const void *page, BaseRef ref, BaseKind kind, int level, uint32 system)
{
	char		why[256];

	if (!base_page_verify(page, ref, kind, level, system, why, sizeof(why)))
		fail_msg("page %llu: %s", (unsigned long long) ref.number, why);
}

static void
image_leaf(Image *image, const void *page)
{
	const BasePage *h = page;
	uint8	   *part = file_alloc_aligned(BASE_PAGE_SIZE);
	uint8		key[BASE_KEY_MAX];

	for (uint32 i = 0; i < h->count; i++)
	{
		BaseLeafEntry e;
		uint32		key_len = base_page_key(page, i, key);
		Found		f;

		base_leaf_entry(page, i, &e);
		assert_true(key_len >= 4);
		memcpy(&f.tree_id, key, 4);
		f.tree_id = __builtin_bswap32(f.tree_id);
		f.key_len = key_len - 4;
		f.key = malloc(f.key_len + 1);
		memcpy(f.key, key + 4, f.key_len);
		f.lsn = e.lsn;
		f.len = e.value_len;
		f.crc = 0;
		if (e.value != NULL)
			f.crc = crc32c_extend(0, e.value, e.value_len);
		else
			for (uint64 done = 0, p = 0; done < e.value_len; p++)
			{
				const BasePage *o = (const BasePage *) part;

				image_page(image, e.extent.number + p, part);
				image_verify(part, (BaseRef) {e.extent.number + p, e.extent.birth}, BASE_OVERFLOW, -1, h->system);
				assert_int_equal(o->link, p);
				f.crc = crc32c_extend(f.crc, part + sizeof(BasePage), o->data_len);
				done += o->data_len;
				assert_true(done <= e.value_len && p < e.extent_pages);
			}
		if (image->count == image->room)
		{
			image->room = Max(image->room * 2, (size_t) 1024);
			image->at = realloc(image->at, image->room * sizeof(Found));
			assert_non_null(image->at);
		}
		image->at[image->count++] = f;
	}
	free(part);
}

static void
image_walk(Image *image, BaseRef ref, int level)
{
	uint8	   *page = file_alloc_aligned(BASE_PAGE_SIZE);
	const BasePage *h = (const BasePage *) page;

	image_page(image, ref.number, page);
	image_verify(page, ref, level == 0 ? BASE_LEAF : BASE_INNER, level, (uint32) image->control.system_id);
	if (level == 0)
		image_leaf(image, page);
	else
		for (uint32 i = 0; i < h->count; i++)
			image_walk(image, base_inner_child(page, i, NULL), level - 1);
	free(page);
}

/* image_read -- what the control slot in force leads to. */
static void
image_read(Image *image)
{
	memset(image, 0, sizeof(*image));
	control_read(unit_path("db"), &image->control);
	assert_int_equal(file_open(unit_path("db/data/base"), FILE_READ | FILE_DIRECT, 0, &image->file), 0);
	if (image->control.base.root.number != 0)
		image_walk(image, image->control.base.root, (int) image->control.base.levels - 1);
	file_close(image->file);
	image->file = NULL;
}

static void
image_free(Image *image)
{
	for (size_t i = 0; i < image->count; i++)
		free(image->at[i].key);
	free(image->at);
	memset(image, 0, sizeof(*image));
}

static int
compare_found(const void *a, const void *b)
{
	const Found *x = a;
	const Found *y = b;
	int			order;

	if (x->tree_id != y->tree_id)
		return x->tree_id < y->tree_id ? -1 : 1;
	order = memcmp(x->key, y->key, Min(x->key_len, y->key_len));
	if (order != 0)
		return order;
	return x->key_len < y->key_len ? -1 : x->key_len > y->key_len;
}

/* image_compare -- with the ledger as of the image's cut.  The ledger is sorted here. */
static void
image_compare(const Image *image, Ledger *ledger)
{
	Lsn			cut = image->control.cut;
	Found	   *expected = calloc(ledger->count + 1, sizeof(Found));
	uint64		keys[DATABASE_COUNT] = {0};
	size_t		count = 0;

	qsort(ledger->at, ledger->count, sizeof(Version), compare_versions);
	for (size_t i = 0; i < ledger->count; i++)
	{
		const Version *v = &ledger->at[i];
		char		name[KEY_USER_MAX];
		StoreKey	key;

		if (v->lsn > cut || v->deleted)
			continue;
		if (i + 1 < ledger->count && ledger->at[i + 1].key == v->key && ledger->at[i + 1].lsn <= cut)
			continue;
		key = key_name(v->key, name);
		expected[count].tree_id = image->control.map.tree_id[key.db];
		expected[count].key_len = key.len;
		expected[count].key = malloc(key.len);
		memcpy(expected[count].key, name, key.len);
		expected[count].lsn = v->lsn;
		expected[count].len = v->len;
		expected[count].crc = v->crc;
		keys[key.db]++;
		count++;
	}
	qsort(expected, count, sizeof(Found), compare_found);
	for (size_t i = 0; i < Min(count, image->count); i++)
	{
		const Found *x = &expected[i];
		const Found *y = &image->at[i];

		if (compare_found(x, y) != 0)
			fail_msg("cut %llu: key %zu is %.*s instead of %.*s", (unsigned long long) cut, i, (int) y->key_len, y->key,
					 (int) x->key_len, x->key);
		if (x->lsn != y->lsn)
			fail_msg("cut %llu: %.*s has version %llu instead of %llu", (unsigned long long) cut, (int) x->key_len, x->key,
					 (unsigned long long) y->lsn, (unsigned long long) x->lsn);
		assert_int_equal(x->len, y->len);
		assert_int_equal(x->crc, y->crc);
	}
	assert_int_equal(image->count, count);
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		assert_int_equal(image->control.key_count[db], keys[db]);
	/* the page header, the tree, and the map are all that lives */
	assert_int_equal(image->control.base.live_pages, 1 + image->pages + image->control.base.map_pages);
	for (size_t i = 0; i < count; i++)
		free(expected[i].key);
	free(expected);
}

static void
check_image(Ledger *ledger)
{
	Image		image;

	image_read(&image);
	image_compare(&image, ledger);
	image_free(&image);
}

/* ---- what shared memory says ---- */

static int64
exact_count(uint32 db)
{
	uint32		index = store__tree_index(db);
	int64		sum;

	epoch_enter();
	sum = store__base()->adjust[index];
	epoch_leave();
	for (uint32 i = 0; i < proc_slot_count; i++)
		sum += atomic_load(&store_shared->counts[i].keys[index]);
	return sum;
}

static uint64
blind_open(void)
{
	uint64		made = 0;
	uint64		resolved;

	for (uint32 i = 0; i < proc_slot_count; i++)
		made += atomic_load(&store_shared->counts[i].blind);
	epoch_enter();
	resolved = store__base()->resolved;
	epoch_leave();
	return made - resolved;
}

/* heads_with_link -- leaves in the tree that lead to an older version. */
static uint32
heads_with_link(void)
{
	ArtCursor  *c = art_cursor(0);
	const Leaf *leaf;
	uint32		count = 0;

	epoch_enter();
	art_seek(c, &store_shared->root, NULL, 0, NULL, 0, false, false);
	while ((leaf = art_next(c)) != NULL)
		count += leaf_link(leaf) != 0;
	epoch_leave();
	return count;
}

static Leaf *
lookup(uint32 n)
{
	char		name[KEY_USER_MAX];
	uint8		bytes[KEY_MAX];
	StoreKey	key = key_name(n, name);
	uint32		len = store__build_key(bytes, store__tree_id(store__tree_index(key.db)), key.data, key.len);

	return art_lookup(&store_shared->root, bytes, len);
}

static bool
is_resident(uint32 n)
{
	bool		there;

	epoch_enter();
	there = lookup(n) != NULL;
	epoch_leave();
	return there;
}

static bool
clean_leaf(const Leaf *leaf, void *arg)
{
	(void) arg;
	return leaf->lsn <= store__evict_cut();
}

/* evict_clean -- everything that is allowed to leave memory. */
static uint64
evict_clean(void)
{
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	uint64		removed = 0;

	/* relaxed: nobody else sets or clears it here */
	atomic_fetch_and(&store_shared->root.flags, ~(uint64) ART_ROOT_COMPLETE);
	while (!art_sweep(&store_shared->root, NULL, 0, from, &from_len, 512, clean_leaf, NULL, &removed))
		continue;
	return removed;
}

/* ---- tests ---- */

static void
test_first_checkpoints(void **state)
{
	Ledger		ledger = {0};
	CheckpointResult r;
	CheckpointStatus status;
	Lsn			cut;

	(void) state;
	run_begin(false);
	checkpoint_status(&status);
	assert_int_equal(status.step, CHECKPOINT_IDLE);
	assert_int_equal(status.cut, CREATED_AT);
	assert_int_equal(status.last.round, 0);
	/* nothing was written: nothing to write */
	r = checkpoint_ok();
	assert_string_equal(r.text, "nothing to write");
	assert_int_equal(r.pages_to_write, 0);
	for (uint32 n = 0; n < 1000; n++)
		write_to(n, LOOK, n % 300, n, &ledger);
	write_to(1000, LOOK, 100000, 7, &ledger);
	write_to(1001, LOOK, 4096, 7, &ledger);
	write_to(1002, LOOK, 4097, 7, &ledger);
	write_to(1003, LOOK, 0, 7, &ledger);
	cut = wal_insert_lsn();
	flush_now();
	r = checkpoint_ok();
	assert_int_equal(r.cut, cut);
	assert_int_equal(r.keys_written, 1004);
	assert_int_equal(r.keys_removed, 0);
	assert_true(r.pages_to_write > 10 && r.pages_written == r.pages_to_write);
	assert_int_equal(r.bytes_written, r.pages_written * BASE_PAGE_SIZE);
	check_image(&ledger);
	checkpoint_status(&status);
	assert_int_equal(status.cut, cut);
	assert_int_equal(status.older_cut, CREATED_AT);
	assert_int_equal(status.rounds_committed, 1);
	assert_int_equal(status.changed_bytes, 0);
	assert_int_equal(status.last.round, r.round);
	assert_int_equal(store__evict_cut(), cut);
	assert_int_equal(atomic_load(&store_shared->snapshot_at[STORE_SNAPSHOT_CHECKPOINT]), STORE_SNAPSHOT_NONE);
	/* deletions and a few changes */
	for (uint32 n = 0; n < 1000; n += 3)
		write_to(n, DELETE, 0, 0, &ledger);
	for (uint32 n = 1; n < 1000; n += 50)
		write_to(n, LOOK, 5000, n, &ledger);
	write_to(1000, DELETE, 0, 0, &ledger);
	flush_now();
	r = checkpoint_ok();
	assert_int_equal(r.keys_removed, 335 - 7);	/* 51, 201 ... are there again */
	assert_true(r.pages_to_free > 0 && r.pages_freed == r.pages_to_free);
	check_image(&ledger);
	/* again nothing */
	assert_string_equal(checkpoint_ok().text, "nothing to write");
	free(ledger.at);
}

/* what is written while a snapshot is open is not in it; what it replaces is */
static _Atomic bool stop_threads;
static _Atomic int phase;		/* 0: nothing is written yet; 1: written under the announcement; 2: and under the cut */

static bool
poll_give_up(void)
{
	if (!poll_plain())
		return false;
	if (atomic_load(&phase) == 2)
	{
		atomic_store(&phase, 3);	/* once: what follows is the tidying */
		return false;
	}
	return true;
}

static void *
overwrite_during_snapshot(void *arg)
{
	Ledger	   *ledger = arg;
	uint64		snapshot;

	become(worker_slot(0));
	while (atomic_load(&phase) < 2 && !atomic_load(&stop_threads))
	{
		snapshot = atomic_load(&store_shared->snapshot_at[STORE_SNAPSHOT_CHECKPOINT]);
		if (atomic_load(&phase) == 0 && snapshot == STORE_SNAPSHOT_UNKNOWN)
		{
			for (uint32 n = 0; n < 50; n++)
				write_to(n, n % 5 == 0 ? DELETE : LOOK, n % 7 == 0 ? 9000 : 10, n + 1000, ledger);
			atomic_store(&phase, 1);
		}
		else if (snapshot != STORE_SNAPSHOT_NONE && snapshot != STORE_SNAPSHOT_UNKNOWN)
		{
			for (int round = 0; round < 3; round++)
				for (uint32 n = 25; n < 120; n++)
					write_to(n, (n + (uint32) round) % 4 == 0 ? DELETE : LOOK, n % 6 == 0 ? 20000 : 30, n + 2000 + (uint32) round,
							 ledger);
			atomic_store(&phase, 2);
		}
		usleep(20);
	}
	return NULL;
}

static void
test_snapshot_links(void **state)
{
	Ledger		ledger = {0};
	MemStats	before;
	MemStats	after;

	(void) state;
	file__fault_arm("checkpoint-announced:delay_ms=30:1:0,checkpoint-completed:delay_ms=150:1:0");
	run_begin(true);
	for (uint32 n = 0; n < 100; n++)
		write_to(n, LOOK, n % 3 == 0 ? 300000 : 20, n, &ledger);
	mem_stats(&before);
	for (int turn = 0; turn < 3; turn++)
	{
		pthread_t	thread;
		CheckpointResult r;
		CheckpointStatus status;

		atomic_store(&stop_threads, false);
		/* the second time the attempt is given up: its links go as well */
		atomic_store(&phase, 0);
		assert_int_equal(pthread_create(&thread, NULL, overwrite_during_snapshot, &ledger), 0);
		r = checkpoint_with(turn == 1 ? poll_give_up : poll_plain);
		atomic_store(&stop_threads, true);
		pthread_join(thread, NULL);
		assert_int_equal(atomic_load(&phase), turn == 1 ? 3 : 2);
		if (turn == 1)
			assert_int_equal(r.error, ECANCELED);
		else
			assert_int_equal(r.error, 0);
		check_image(&ledger);
		assert_int_equal(heads_with_link(), 0);
		checkpoint_status(&status);
		assert_int_equal(status.linked, 0);
		/* there were some indeed */
		assert_true(checkpoint__linked_sum() > 100);
	}
	assert_int_equal(checkpoint().error, 0);
	check_image(&ledger);
	for (int i = 0; i < 4; i++)
	{
		epoch_try_advance();
		mem_reclaim();
	}
	mem_stats(&after);
	assert_true(after.used < before.used + 4 * MIB);	/* nothing of the chains is left */
	free(ledger.at);
}

/*
 * A writer that knows of the announcement, has reserved below the cut and not published
 * yet when the cut is taken: its version is in the snapshot, so the walk waits for it.
 */
static void *
write_one_slowly(void *arg)
{
	become(worker_slot(0));
	while (atomic_load(&store_shared->snapshot_at[STORE_SNAPSHOT_CHECKPOINT]) != STORE_SNAPSHOT_UNKNOWN)
		usleep(100);
	usleep(50000);				/* the grace period is over */
	write_to(2, LOOK, 50, 77, arg);
	return NULL;
}

static void
test_walk_waits_for_completed(void **state)
{
	Ledger		ledger = {0};
	pthread_t	thread;
	Lsn			before;

	(void) state;
	/* the third write is the thread's; it stands still while the cut is taken */
	file__fault_arm("checkpoint-grace:delay_ms=150,store-before-publish:delay_ms=300:3");
	run_begin(true);
	write_to(0, LOOK, 50, 1, &ledger);
	write_to(2, LOOK, 50, 2, &ledger);
	before = wal_insert_lsn();
	assert_int_equal(pthread_create(&thread, NULL, write_one_slowly, &ledger), 0);
	assert_true(checkpoint_ok().cut > before);
	pthread_join(thread, NULL);
	assert_true(ledger.at[2].lsn > before);
	check_image(&ledger);
	free(ledger.at);
}

/*
 * A writer that has looked for a snapshot before the announcement, and reserves after
 * it.  It is held while it copies its value, by a page that it may not read; without the
 * grace period before the cut its version would be above the cut, and what it
 * replaces be lost.
 */
static uint8 *guarded;			/* a page of value */
static _Atomic bool building;

static void
hold_in_build(int signo, siginfo_t *info, void *context)
{
	(void) signo, (void) context;
	if ((uint8 *) info->si_addr != guarded)
		abort();
	atomic_store(&building, true);
	/* until a cut is known, which ought not to come */
	for (int i = 0; i < 1500; i++)
	{
		uint64		snapshot = atomic_load(&store_shared->snapshot_at[STORE_SNAPSHOT_CHECKPOINT]);

		if (snapshot != STORE_SNAPSHOT_NONE && snapshot != STORE_SNAPSHOT_UNKNOWN)
			break;
		usleep(100);
	}
	(void) mprotect(guarded, 4096, PROT_READ | PROT_WRITE);
}

static void *
write_held(void *arg)
{
	Ledger	   *ledger = arg;
	char		name[KEY_USER_MAX];
	StoreKey	key = key_name(2, name);
	Put			put = {.data = guarded, .len = 4096};
	StoreWritten out;

	become(worker_slot(0));
	assert_int_equal(store_write(&key, decide, &put, &out), STORE_OK);
	ledger_add(ledger, (Version) {.key = 2, .lsn = out.gate, .len = 4096, .crc = crc32c_extend(0, guarded, 4096)});
	return NULL;
}

static void
test_grace_before_cut(void **state)
{
	Ledger		ledger = {0};
	pthread_t	thread;
	struct sigaction action = {.sa_sigaction = hold_in_build, .sa_flags = SA_SIGINFO};
	struct sigaction before;

	(void) state;
	/* the writer is through when the walk begins */
	file__fault_arm("checkpoint-completed:delay_ms=200");
	guarded = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(guarded != MAP_FAILED);
	run_begin(true);
	write_to(0, LOOK, 50, 1, &ledger);
	write_to(2, LOOK, 50, 2, &ledger);
	assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
	assert_int_equal(pthread_create(&thread, NULL, write_held, &ledger), 0);
	while (!atomic_load(&building))
		usleep(100);
	(void) checkpoint_ok();
	pthread_join(thread, NULL);
	assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
	check_image(&ledger);
	assert_int_equal(munmap(guarded, 4096), 0);
	free(ledger.at);
}

/* every way to fail before the commit: nothing has changed, and the next one has all of it */
static void
test_failures(void **state)
{
	static const struct
	{
		const char *fault;
		int			error;
	} cases[] = {
		{"file-write@data/base:eio", EIO},
		{"file-write-done@data/base:eio:3", EIO},
		{"file-write@data/base:enospc:2", ENOSPC},
		{"file-datasync@data/base:eio", EIO},
		{"file-datasync-done@data/base:eio", EIO},
		{"file-open@control:eio", EIO},
		{"file-read@control:eio", EIO},
	};
	Ledger		ledger = {0};
	uint32		n = 0;
	Image		image;

	(void) state;
	run_begin(false);
	for (; n < 500; n++)
		write_to(n, LOOK, 100, n, &ledger);
	flush_now();
	assert_int_equal(checkpoint_ok().error, 0);
	for (size_t i = 0; i < lengthof(cases); i++)
	{
		ControlData before;
		ControlData after;
		CheckpointResult r;
		CheckpointStatus status;
		StoreBase	base;

		control_read(unit_path("db"), &before);
		for (uint32 j = 0; j < 300; j++)
			write_to((uint32) (unit_random() % 800), unit_random() % 4 == 0 ? DELETE : LOOK, j % 9 == 0 ? 50000 : 70, j + 1, &ledger);
		flush_now();
		base = *store__base();
		file__fault_arm(cases[i].fault);
		r = checkpoint();
		file__fault_arm("");
		print_message("# %s: %s\n", cases[i].fault, r.text);
		assert_int_equal(r.error, cases[i].error);
		assert_true(strlen(r.text) > 10 && (strstr(r.text, "data/base") != NULL || strstr(r.text, "/control") != NULL));
		/* the control file, the root, what may leave memory: as before; everything is dirty */
		control_read(unit_path("db"), &after);
		assert_memory_equal(&before, &after, sizeof(before));
		assert_memory_equal(&base, store__base(), sizeof(base));
		assert_int_equal(store__evict_cut(), before.cut);
		assert_int_equal(atomic_load(&store_shared->snapshot_at[STORE_SNAPSHOT_CHECKPOINT]), STORE_SNAPSHOT_NONE);
		assert_int_equal(atomic_load(&store_shared->map_lock), 0);
		image_read(&image);
		assert_int_equal(image.control.cut, before.cut);
		image_free(&image);
		checkpoint_status(&status);
		assert_int_equal(status.last.error, cases[i].error);
		/* time alone does not try again at once, a command does; its cut is another one though nothing was written */
		assert_false(checkpoint_due());
		r = checkpoint_ok();
		assert_true(r.cut > status.last.cut);
		assert_true(r.keys_written > 0);
		check_image(&ledger);
	}
	free(ledger.at);
}

typedef struct PanicArg
{
	const char *fault;
	Ledger		ledger;			/* in memory that both processes have */
	uint32		turn;
} PanicArg;

static void
fail_at_commit(void *arg)
{
	PanicArg   *p = arg;

	run_begin(false);
	for (uint32 n = 0; n < 100; n++)
		write_to(n, BLIND, 100, n + p->turn, &p->ledger);
	flush_now();
	file__fault_arm(p->fault);
	(void) checkpoint();
}

/* from the first byte of the control slot on it is PANIC; whatever is on the disk then, a start finds a whole slot, and the log has the rest */
static void
test_commit_is_panic(void **state)
{
	/* the first write and sync of a slot are those of recovery, the second ones too */
	static const char *const faults[] = {
		"file-write@control:eio", "file-write-done@control:eio", "file-datasync@control:eio", "file-datasync-done@control:eio",
	};
	PanicArg   *p = mmap(NULL, sizeof(*p) + 1000 * sizeof(Version), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void) state;
	assert_true(p != MAP_FAILED);
	p->ledger.at = (Version *) (p + 1);
	p->ledger.room = 1000;
	for (size_t i = 0; i < lengthof(faults); i++)
	{
		UnitChild	c;

		p->fault = faults[i];
		p->turn = (uint32) i;
		unit_child(&c, fail_at_commit, p);
		assert_true(unit_signaled(&c, SIGABRT));
		unit_assert_says(&c, "PANIC");
		unit_assert_says(&c, "/control\"");
		run_begin(false);
		assert_int_equal(exact_count(0) + exact_count(3), 100);
		(void) checkpoint_ok();
		check_image(&p->ledger);
		run_end();
	}
	assert_int_equal(munmap(p, sizeof(*p) + 1000 * sizeof(Version)), 0);
}

/* heritage 2.24: two requests, one batch of writes, one sync */
static uint32
count_calls(const char *record, const char *call, const char *path)
{
	FILE	   *f = fopen(record, "r");
	char		line[2048];
	uint32		count = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		count += strstr(line, " begin ") != NULL && strstr(line, call) != NULL && strstr(line, path) != NULL;
	fclose(f);
	return count;
}

static void
test_coalesced_epochs_share_one_store_batch_and_sync(void **state)
{
	Ledger		ledger = {0};
	CheckpointResult a;
	CheckpointResult b;
	uint64		tickets[2];

	(void) state;
	run_begin(false);
	write_to(0, LOOK, 100, 1, &ledger);
	flush_now();
	tickets[0] = checkpoint_request(CHECKPOINT_COMMAND);
	write_to(2, LOOK, 100, 2, &ledger);
	flush_now();
	tickets[1] = checkpoint_request(CHECKPOINT_COMMAND);
	assert_int_equal(tickets[0], tickets[1]);
	file__record_to(unit_path("record"));
	checkpoint_run(poll_plain);
	file__record_to(NULL);
	assert_true(checkpoint_result(tickets[0], &a) && checkpoint_result(tickets[1], &b));
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(a.requests, 2);
	assert_int_equal(a.keys_written, 2);
	assert_int_equal(count_calls(unit_path("record"), "datasync", "data/base"), 1);
	assert_int_equal(count_calls(unit_path("record"), "datasync", "/control"), 1);
	check_image(&ledger);
	free(ledger.at);
}

/* heritage 2.25: the same key twice, the last one wins */
static void
test_coalesced_epochs_preserve_repeated_blob_order(void **state)
{
	Ledger		ledger = {0};
	Image		image;

	(void) state;
	run_begin(false);
	for (uint32 i = 1; i <= 2; i++)
	{
		write_to(0, LOOK, 8000, i, &ledger);
		flush_now();
		(void) checkpoint_request(CHECKPOINT_COMMAND);
	}
	checkpoint_run(poll_plain);
	image_read(&image);
	assert_int_equal(image.count, 1);
	assert_int_equal(image.at[0].lsn, ledger.at[1].lsn);
	assert_int_equal(image.at[0].crc, ledger.at[1].crc);
	image_free(&image);
	check_image(&ledger);
	free(ledger.at);
}

/* heritage 2.26: a failed write: nothing is synced, everything stays dirty */
static void
test_coalesced_epoch_write_error_restores_without_sync(void **state)
{
	Ledger		ledger = {0};
	CheckpointResult r;

	(void) state;
	run_begin(false);
	write_to(0, LOOK, 100, 1, &ledger);
	flush_now();
	file__fault_arm("file-write@data/base:eio:1:0");
	file__record_to(unit_path("record"));
	r = checkpoint();
	file__record_to(NULL);
	file__fault_arm("");
	assert_int_equal(r.error, EIO);
	assert_int_equal(r.pages_freed, 0);
	assert_int_equal(count_calls(unit_path("record"), "datasync", "data/base"), 0);
	assert_int_equal(count_calls(unit_path("record"), "write", "/control"), 0);
	epoch_enter();
	assert_true(lookup(0)->lsn > store__evict_cut());
	epoch_leave();
	r = checkpoint_ok();
	assert_int_equal(r.keys_written, 1);
	check_image(&ledger);
	free(ledger.at);
}

static void
test_requests(void **state)
{
	uint64		ticket[150];
	uint64		first = 0;
	CheckpointResult r;

	(void) state;
	run_begin(false);
	for (int i = 0; i < 150; i++)
	{
		ticket[i] = checkpoint_request(CHECKPOINT_COMMAND);
		if (i == 0)
			first = ticket[0];
		assert_int_equal(ticket[i], first + (uint64) i / 64);
	}
	assert_int_equal(checkpoint_request(CHECKPOINT_MEMORY), first + 2);
	for (int round = 0; round < 3; round++)
	{
		assert_true(checkpoint_due());
		assert_false(checkpoint_result(first + (uint64) round, &r));
		checkpoint_run(poll_plain);
		assert_true(checkpoint_result(first + (uint64) round, &r));
		assert_int_equal(r.requests, round < 2 ? 64 : 23);
	}
	assert_false(checkpoint_due());
	/* who waits for no report asks once, however often */
	first = checkpoint_request(CHECKPOINT_MEMORY);
	for (int i = 0; i < 200; i++)
		assert_int_equal(checkpoint_request(CHECKPOINT_MEMORY), first);
	checkpoint_run(poll_plain);
	assert_true(checkpoint_result(first, &r));
	assert_int_equal(r.requests, 1);
	assert_int_equal(r.cause, CHECKPOINT_MEMORY);
	assert_false(checkpoint_due());
	/* a report is kept for so many rounds, then it is said that it is gone */
	for (int i = 0; i < CHECKPOINT_RESULTS - 1; i++)
		(void) checkpoint();
	assert_true(checkpoint_result(first, &r) && r.error == 0);
	(void) checkpoint();
	assert_true(checkpoint_result(first, &r) && r.error == ESTALE && r.round == first);
	assert_false(checkpoint_result(first + 1000, &r));
}

/* ---- triggers ---- */

static void
test_triggers(void **state)
{
	CheckpointResult r;

	(void) state;
	run_begin(false);
	assert_false(checkpoint_due());
	set_checkpoint_timeout = 1;	/* shorter than the setting allows */
	usleep(5000);
	assert_false(checkpoint_due());	/* nothing was written */
	write_to(0, LOOK, 10, 1, NULL);
	flush_now();
	usleep(5000);
	assert_true(checkpoint_due());
	checkpoint_run(poll_plain);
	assert_false(checkpoint_due());
	set_checkpoint_timeout = 300000;
	set_max_wal_size = 2 * MIB;
	while (!checkpoint_due())
	{
		CheckpointStatus status;

		checkpoint_status(&status);
		assert_true(status.changed_bytes < 2 * MIB);
		write_to(2, LOOK, 50000, 1, NULL);
		(void) poll_plain();
	}
	checkpoint_run(poll_plain);
	{
		CheckpointStatus status;

		checkpoint_status(&status);
		assert_int_equal(status.last.cause, CHECKPOINT_LOG);
		assert_int_equal(status.last.requests, 0);
	}
	/* a failure: by time again after a second, by command at once */
	write_to(2, LOOK, 50, 1, NULL);
	file__fault_arm("file-write@data/base:eio:1:0");
	r = checkpoint();
	assert_int_equal(r.error, EIO);
	assert_false(checkpoint_due());
	(void) checkpoint_request(CHECKPOINT_MEMORY);
	assert_false(checkpoint_due());	/* the evictor does not turn a full disk into a storm */
	(void) checkpoint_request(CHECKPOINT_COMMAND);
	assert_true(checkpoint_due());
	checkpoint_run(poll_plain);
	file__fault_arm("");
	assert_false(checkpoint_due());
	usleep(1100000);
	assert_false(checkpoint_due());	/* twice as long after the second failure */
	usleep(1100000);
	assert_true(checkpoint_due());
	checkpoint_run(poll_plain);
	assert_false(checkpoint_due());
}

/* ---- blind writes: counts ---- */

static void
test_blind_counts(void **state)
{
	Ledger		ledger = {0};
	CheckpointResult r;

	(void) state;
	run_begin(false);
	for (uint32 n = 0; n < 200; n++)
		write_to(n, BLIND, 10, n, &ledger);	/* the base is empty: that is known */
	assert_int_equal(blind_open(), 0);
	flush_now();
	(void) checkpoint_ok();
	assert_int_equal(exact_count(0) + exact_count(3), 200);
	assert_int_equal(evict_clean(), 200);
	/* 100 that are there, 100 that are not; some of them are written again, some deleted */
	for (uint32 n = 100; n < 300; n++)
		write_to(n, BLIND, 20, n, &ledger);
	assert_int_equal(blind_open(), 200);
	for (uint32 n = 100; n < 300; n += 4)
		write_to(n, DELETE, 0, 0, &ledger);
	for (uint32 n = 100; n < 300; n += 8)
		write_to(n, LOOK, 5, 0, &ledger);
	flush_now();
	/* a failed attempt settles nothing */
	file__fault_arm("file-datasync@data/base:eio");
	assert_int_equal(checkpoint().error, EIO);
	file__fault_arm("");
	assert_int_equal(blind_open(), 200);
	r = checkpoint_ok();
	assert_true(r.keys_written > 0);
	assert_int_equal(blind_open(), 0);
	check_image(&ledger);
	assert_int_equal(exact_count(0) + exact_count(3), 300 - 25);
	/* resolved chains are not asked for again */
	for (uint32 n = 101; n < 300; n += 4)
		write_to(n, LOOK, 7, n, &ledger);
	flush_now();
	(void) checkpoint_ok();
	assert_int_equal(blind_open(), 0);
	assert_int_equal(exact_count(0) + exact_count(3), 300 - 25);
	check_image(&ledger);
	/* and a restart counts the same: from the control slot, and from the log */
	assert_true(evict_clean() > 0);
	for (uint32 n = 290; n < 320; n++)
		write_to(n, BLIND, 3, n, &ledger);
	flush_now();
	run_end();
	run_begin(false);
	assert_int_equal(blind_open(), 30);
	(void) checkpoint_ok();
	assert_int_equal(blind_open(), 0);
	assert_int_equal(exact_count(0) + exact_count(3), 300 - 25 + 20 + 1);	/* 292 was among the deleted, and not written again */
	check_image(&ledger);
	free(ledger.at);
}

/* ---- the map ---- */

static void
flush_database(int db)
{
	StoreFlushJob job = {0};
	StoreStatus status;
	Lsn			gate = 0;
	uint64		begun = clock_mono_us();

	become(worker_slot(0));
	while ((status = store_flush(db, &job, &gate)) == STORE_PARK_MAP && clock_mono_us() - begun < UNIT_PATIENCE_US)
		sched_yield();
	assert_int_equal(status, STORE_OK);
	become(proc_first_slot(PROC_CHECKPOINTER));
	flush_now();
}

static void
forget(Ledger *ledger, uint32 parity)
{
	size_t		kept = 0;

	for (size_t i = 0; i < ledger->count; i++)
		if (ledger->at[i].key % 2 != parity)
			ledger->at[kept++] = ledger->at[i];
	ledger->count = kept;
}

static void
test_dropped_trees(void **state)
{
	Ledger		ledger = {0};
	CheckpointResult r;
	uint32		old_index;

	(void) state;
	run_begin(false);
	for (uint32 n = 0; n < 400; n++)
		write_to(n, LOOK, 30, n, &ledger);
	flush_now();
	(void) checkpoint_ok();
	assert_true(evict_clean() == 400);
	/* blind writes into a tree that is dropped before anybody has looked */
	for (uint32 n = 300; n < 500; n++)
		write_to(n, BLIND, 30, n, &ledger);
	assert_int_equal(blind_open(), 200);
	old_index = store__tree_index(3);
	flush_database(3);
	forget(&ledger, 1);
	for (uint32 n = 1; n < 50; n += 2)
		write_to(n, LOOK, 5, n, &ledger);	/* the new tree */
	flush_now();
	r = checkpoint_ok();
	assert_int_equal(r.keys_removed, 200);
	assert_int_equal(blind_open(), 0);
	check_image(&ledger);
	assert_int_equal(exact_count(0), 250);
	assert_int_equal(exact_count(3), 25);
	epoch_enter();
	assert_int_equal(store__base()->adjust[old_index], 0);
	epoch_leave();
	/* a tree that is dropped and never was in the base */
	flush_database(3);
	forget(&ledger, 1);
	for (uint32 n = 1; n < 50; n += 2)
		write_to(n, LOOK, 6, n, &ledger);
	flush_database(3);
	forget(&ledger, 1);
	r = checkpoint_ok();
	assert_int_equal(r.keys_removed, 25);
	check_image(&ledger);
	/* everything */
	flush_database(-1);
	ledger.count = 0;
	r = checkpoint_ok();
	assert_int_equal(r.keys_removed, 250);
	check_image(&ledger);
	assert_int_equal(exact_count(0), 0);
	run_end();
	run_begin(false);
	check_image(&ledger);
	assert_int_equal(exact_count(0), 0);
	free(ledger.at);
}

/* ---- the map in transactions ---- */

static StoreStatus
text_put(uint32 db, const char *key, const char *value)
{
	return unit_put(db, key, value, NULL);
}

static void
show_text(const StoreView *view, void *arg)
{
	char	   *to = arg;

	to[0] = '\0';
	if (!view->exists)
		return;
	assert_true(view->value_len > 0 && view->value_len < 64);
	store_view_copy(view, 0, view->value_len, to);
	to[view->value_len] = '\0';
}

/* text_get -- "" if it is not there; the base is read by this thread. */
static const char *
text_get(uint32 db, const char *name)
{
	static char text[64];
	StoreKey	key = {db, (uint32) strlen(name), name};
	Lsn			gate = LSN_NONE;
	StoreStatus status;

	while ((status = store_read(&key, show_text, text, &gate)) == STORE_PARK_PAGE)
		base_read_wait(store__keep());
	assert_int_equal(status, STORE_OK);
	return text;
}

/* change_in -- FLUSHDB (second < 0) or SWAPDB in the transaction in use, or by itself. */
static StoreStatus
change_in(int first, int second)
{
	StoreFlushJob job = {0};
	StoreStatus status;
	Lsn			gate = 0;
	int			patience = 1000;

	do
		status = second < 0 ? store_flush(first, &job, &gate) : store_swap((uint32) first, (uint32) second, &job, &gate);
	while (status == STORE_PARK_MAP && --patience > 0);
	return status;
}

/* Map -- of what a restart must bring back */
typedef struct Map
{
	uint32		tree_id[DATABASE_COUNT];
	uint32		next;
	Lsn			record;
	int64		count[DATABASE_COUNT];
} Map;

static Map
map_now(void)
{
	Map			m;
	WalMapBody	body;

	memset(&m, 0, sizeof(m));
	epoch_enter();
	assert_true(store_map_trees(m.tree_id, &m.record));
	store__map_export(&body);
	epoch_leave();
	m.next = body.next_tree_id;
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		m.count[db] = exact_count(db);
	return m;
}

/* restart -- with or without a checkpoint before it: the map is what it was. */
static void
restart_and_compare(bool with_checkpoint)
{
	Map			before = map_now();
	Map			after;

	become(proc_first_slot(PROC_CHECKPOINTER));
	flush_now();
	if (with_checkpoint)
		(void) checkpoint_ok();
	run_end();
	run_begin(false);
	after = map_now();
	assert_memory_equal(after.tree_id, before.tree_id, sizeof(before.tree_id));
	assert_int_equal(after.next, before.next);
	assert_int_equal(after.record, before.record);
	assert_memory_equal(after.count, before.count, sizeof(before.count));
	become(worker_slot(0));
}

/*
 * Somebody else's change of the map is committed while a transaction runs that then
 * changes it itself: the transaction begins anew, its record goes on from the other's map, and
 * redo makes the same of both.
 */
static void
test_map_in_transactions(void **state)
{
	(void) state;
	run_begin(false);
	for (int round = 0; round < 2; round++)
	{
		StoreTxn   *t = store_txn_create();
		StoreCommitted out;

		become(worker_slot(0));
		assert_int_equal(change_in(0, -1), STORE_OK);
		assert_int_equal(text_put(0, "zero", "0"), STORE_OK);
		assert_int_equal(text_put(3, "three", "3"), STORE_OK);
		assert_int_equal(text_put(5, "five", "5"), STORE_OK);
		for (int attempt = 0; attempt < 2; attempt++)
		{
			store_txn_reset(t);
			store_txn_use(t);
			assert_int_equal(text_put(0, "own", "before"), STORE_OK);
			assert_int_equal(text_put(3, "lost", "with the tree"), STORE_OK);
			if (attempt == 0)
			{
				store_txn_use(NULL);
				assert_int_equal(change_in(0, 3), STORE_OK);
				assert_int_equal(change_in(5, -1), STORE_OK);
				store_txn_use(t);
			}
			assert_int_equal(change_in(3, -1), attempt == 0 ? STORE_CHANGED : STORE_OK);
		}
		/* 0 has the tree of "three"; 3 is new; 5 was emptied by somebody else */
		assert_int_equal(text_put(3, "own", "after"), STORE_OK);
		assert_int_equal(change_in(5, 0), STORE_OK);
		assert_int_equal(text_put(0, "own", "in the tree of 5"), STORE_OK);
		store_txn_use(NULL);
		assert_int_equal(store_txn_commit(t, &out), STORE_OK);
		store_txn_destroy(t);
		for (int again = 0; again < 2; again++)
		{
			assert_string_equal(text_get(0, "own"), "in the tree of 5");
			assert_string_equal(text_get(0, "three"), "");
			assert_string_equal(text_get(5, "own"), "before");
			assert_string_equal(text_get(5, "three"), "3");
			assert_string_equal(text_get(5, "five"), "");
			assert_string_equal(text_get(3, "own"), "after");
			assert_string_equal(text_get(3, "zero"), "");
			assert_string_equal(text_get(3, "lost"), "");
			assert_int_equal(exact_count(0), 1);
			assert_int_equal(exact_count(3), 1);
			assert_int_equal(exact_count(5), 2);
			if (again == 0)
				restart_and_compare(round == 1);
		}
		assert_int_equal(change_in(5, -1), STORE_OK);
	}
}

/* ---- prewarm beside a transaction ---- */

#ifdef ARTERY_FAULTS
static void
write_two_blindly(void)
{
	(void) !unit_blind(0, "p/0100", "again", NULL);
	(void) !unit_blind(0, "p/0200", "again", NULL);
}

/* stands_in_memory -- by a leaf that counts: not by a place that a transaction holds. */
static bool
stands_in_memory(const char *name)
{
	uint8		key[KEY_MAX];
	uint32		len;
	bool		there;

	epoch_enter();
	len = store__build_key(key, store__tree_id(store__tree_index(0)), name, (uint32) strlen(name));
	there = store__resolve(art_lookup(&store_shared->root, key, len)) != NULL;
	epoch_leave();
	return there;
}

#define STALL_US 500000

/* a key whose place a transaction holds is waited for, is in memory afterwards, and the prewarm comes to its end. */
static void
test_prewarm_beside_transaction(void **state)
{
	char		name[16];
	uint64		begun;
	bool		running;
	bool		before;
	bool		there;
	bool		behind;

	(void) state;
	set_prewarm = PREWARM_SETTING_BACKGROUND;
	run_begin(false);
	become(worker_slot(0));
	for (int i = 0; i < 300; i++)
	{
		snprintf(name, sizeof(name), "p/%04d", i);
		assert_int_equal(text_put(0, name, name), STORE_OK);
	}
	become(proc_first_slot(PROC_CHECKPOINTER));
	flush_now();
	(void) checkpoint_ok();
	/* a new run, in which a process has died while it held two keys that the base alone has */
	run_end();
	run_begin(false);
	set_txn_stall_us = STALL_US;
	begun = clock_mono_us();
	unit_store_die(worker_slot(1), "txn-hold:kill:2", write_two_blindly);
	become(proc_first_slot(PROC_EVICTOR));
	prewarm_open();
	assert_int_equal(evict__shared->prewarm, PREWARM_RUNNING);
	/* as long as it may hold up others the prewarm neither ends nor goes on */
	for (int i = 0; i < 1000; i++)
		(void) prewarm_step();
	running = evict__shared->prewarm == PREWARM_RUNNING;
	before = stands_in_memory("p/0099");
	there = stands_in_memory("p/0100");
	behind = stands_in_memory("p/0101");
	if (clock_mono_us() - begun < STALL_US)
		assert_true(running && before && !there && !behind);
	for (int i = 0; i < 60000 && evict__shared->prewarm == PREWARM_RUNNING; i++)
	{
		if (!prewarm_step())
			usleep(1000);
	}
	assert_int_equal(evict__shared->prewarm, PREWARM_DONE);
	for (int i = 0; i < 300; i++)
	{
		snprintf(name, sizeof(name), "p/%04d", i);
		assert_true(stands_in_memory(name));
		assert_string_equal(text_get(0, name), name);
	}
	become(proc_first_slot(PROC_CHECKPOINTER));
	set_prewarm = PREWARM_SETTING_OFF;
	set_txn_stall_us = 10000;
}
#endif

/* a change of the map under way holds the cut back, not the other way round for ever */
static void *
finish_flush(void *arg)
{
	usleep(50000);
	become(worker_slot(1));
	store_flush_cancel(arg);
	return NULL;
}

static void
test_cut_waits_for_map(void **state)
{
	StoreFlushJob job = {0};
	StoreFlushJob other = {0};
	pthread_t	thread;
	Lsn			gate = 0;
	uint64		begun;

	(void) state;
	run_begin(true);
	write_to(0, LOOK, 1, 1, NULL);
	become(worker_slot(1));
	epoch_enter();				/* holds the grace period back */
	become(worker_slot(0));
	assert_int_equal(store_flush(0, &job, &gate), STORE_PARK_MAP);
	become(worker_slot(1));
	epoch_leave();
	become(proc_first_slot(PROC_CHECKPOINTER));
	begun = clock_mono_us();
	assert_int_equal(pthread_create(&thread, NULL, finish_flush, &job), 0);
	assert_int_equal(checkpoint().error, 0);
	pthread_join(thread, NULL);
	assert_true(clock_mono_us() - begun >= 40000);
	become(worker_slot(0));
	assert_int_not_equal(store_flush(0, &other, &gate), STORE_NO_MEMORY);	/* the lock is free again */
	store_flush_cancel(&other);
	become(proc_first_slot(PROC_CHECKPOINTER));
}

/* ---- the log ---- */

static uint32
segments_below(Lsn lsn)
{
	uint32		count = 0;

	for (Lsn first = SEGMENT; first + SEGMENT <= lsn; first += SEGMENT)
		count += unit_exists(unit_path("db/wal/%016llX", (unsigned long long) first));
	return count;
}

static void
write_log(uint64 bytes, Ledger *ledger)
{
	for (uint64 done = 0; done < bytes; done += 30000)
	{
		write_to((uint32) (unit_random() % 50), LOOK, 30000, done, ledger);
		(void) poll_plain();
	}
}

static void
damage_slot(uint64 sequence)
{
	FILE	   *f = fopen(unit_path("db/control"), "r+");

	assert_non_null(f);
	assert_int_equal(fseek(f, (long) (sequence % 2 * CONTROL_SLOT_SIZE + 100), SEEK_SET), 0);
	assert_int_equal(fputc('x', f), 'x');
	assert_int_equal(fputc('y', f), 'y');
	assert_int_equal(fclose(f), 0);
}

static void
test_recycling(void **state)
{
	Ledger		ledger = {0};
	CheckpointResult r[6];

	(void) state;
	run_begin(false);
	for (int i = 0; i < 4; i++)
	{
		write_log(3 * MIB, &ledger);
		r[i] = checkpoint_ok();
		/* kept from the older slot's redo on, and nothing below it */
		if (i > 0)
		{
			assert_int_equal(segments_below(AlignDown(r[i - 1].cut, SEGMENT)), 0);
			assert_true(unit_exists(unit_path("db/wal/%016llX", (unsigned long long) AlignDown(r[i - 1].cut, SEGMENT))));
		}
		else
			assert_true(segments_below(r[0].cut) >= 3);	/* the older slot is that of init */
	}
	check_image(&ledger);
	/*
	 * The slot in force is damaged: a start falls back to the older one, and has its log.
	 */
	{
		ControlData control;

		control_read(unit_path("db"), &control);
		assert_int_equal(control.cut, r[3].cut);
		assert_int_equal(control.older_cut, r[2].cut);
		run_end();
		damage_slot(control.sequence);
		elog_set_min_level(ERROR);	/* a warning, which is the point */
		run_begin(false);
		elog_set_min_level(WARNING);
		control_read(unit_path("db"), &control);
		assert_int_equal(control.cut, r[2].cut);
		(void) checkpoint_ok();
		check_image(&ledger);
	}
	/* what the slots say cannot be read: nothing is recycled, which is no failure; the next one makes up for it */
	{
		CheckpointResult last;
		CheckpointStatus status;
		uint64		recycled;

		write_log(3 * MIB, &ledger);
		last = checkpoint_ok();
		checkpoint_status(&status);
		recycled = status.segments_recycled;
		write_log(3 * MIB, &ledger);
		file__fault_arm("file-read@control:eio:2");	/* the first one is the commit's */
		elog_set_min_level(ERROR);	/* a warning */
		assert_int_equal(checkpoint_ok().error, 0);
		elog_set_min_level(WARNING);
		file__fault_arm("");
		checkpoint_status(&status);
		assert_int_equal(status.segments_recycled, recycled);
		write_log(1 * MIB, &ledger);
		(void) checkpoint_ok();
		checkpoint_status(&status);
		assert_true(status.segments_recycled > recycled);
		assert_int_equal(segments_below(AlignDown(last.cut, SEGMENT)), 0);
	}
	/* damaged while the server runs, the older one: the next commit writes it anyway */
	{
		ControlData control;

		write_log(1 * MIB, &ledger);
		control_read(unit_path("db"), &control);
		damage_slot(control.sequence + 1);
		(void) checkpoint_ok();
		check_image(&ledger);
		/* the newer one: it is known in memory, and written again first */
		write_log(1 * MIB, &ledger);
		control_read(unit_path("db"), &control);
		damage_slot(control.sequence);
		elog_set_min_level(ERROR);
		(void) checkpoint_ok();
		elog_set_min_level(WARNING);
		check_image(&ledger);
		{
			ControlData slot[2];
			bool		valid[2];

			assert_int_equal(control_read_both(unit_path("db"), slot, valid), 0);
			assert_true(valid[0] && valid[1]);
		}
	}
	free(ledger.at);
}

/* ---- stop and start ---- */

static void
test_shutdown(void **state)
{
	Ledger		ledger = {0};
	ControlData control;
	int64		keys;

	(void) state;
	run_begin(false);
	write_log(1 * MIB, &ledger);
	flush_now();
	keys = exact_count(0) + exact_count(3);
	checkpoint_shutdown(true);
	control_read(unit_path("db"), &control);
	assert_int_equal(control.state, CONTROL_STOPPED);
	assert_int_equal(control.cut, wal_insert_lsn());
	check_image(&ledger);
	run_end();
	run_begin(false);
	assert_int_equal(exact_count(0) + exact_count(3), keys);
	for (uint32 n = 0; n < 50; n++)
		assert_false(is_resident(n));	/* nothing was redone */
	assert_string_equal(checkpoint_ok().text, "nothing to write");
	/* the LSNs between two runs are no log: a start, and another one, change nothing */
	for (int i = 0; i < 3; i++)
	{
		run_end();
		run_begin(false);
		assert_string_equal(checkpoint_ok().text, "nothing to write");
	}
	/* a fast stop writes no page */
	write_log(1 * MIB, &ledger);
	flush_now();
	control_read(unit_path("db"), &control);
	checkpoint_shutdown(false);
	{
		ControlData after;

		control_read(unit_path("db"), &after);
		assert_int_equal(after.state, CONTROL_STOPPED);
		assert_int_equal(after.cut, control.cut);
		assert_int_equal(after.flushed, wal_insert_lsn());
	}
	run_end();
	run_begin(false);
	(void) checkpoint_ok();
	check_image(&ledger);
	free(ledger.at);
}

/* ---- everything at once ---- */

typedef struct Writer
{
	uint32		index;
	uint64		random;
	Ledger		ledger;
} Writer;

/* eviction beside: a writer that looks must find its key in memory, for this thread may not wait for a page */
static pthread_rwlock_t residence = PTHREAD_RWLOCK_INITIALIZER;

static uint64
writer_random(Writer *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static void *
run_writer(void *arg)
{
	Writer	   *w = arg;

	become(worker_slot(w->index));
	while (!atomic_load(&stop_threads))
	{
		uint64		x = writer_random(w);
		uint32		n = (uint32) (x >> 20) % KEYS;
		uint32		size = (uint32) (x >> 40) % 1000;
		uint32		len = size < 5 ? 5000 + size * 40000 : size < 40 ? 3900 + size * 10 : size % 200;

		if (x % 10 < 6)
			write_to(n, BLIND, len, x, &w->ledger);
		else
		{
			pthread_rwlock_rdlock(&residence);
			if (is_resident(n))
				write_to(n, x % 10 < 9 ? DELETE : LOOK, len, x, &w->ledger);
			pthread_rwlock_unlock(&residence);
		}
		if (x % 4 == 0)
			usleep(100);
	}
	return NULL;
}

static void *
run_evictor(void *arg)
{
	(void) arg;
	become(proc_first_slot(PROC_EVICTOR));
	while (!atomic_load(&stop_threads))
	{
		pthread_rwlock_wrlock(&residence);
		(void) evict_clean();
		pthread_rwlock_unlock(&residence);
		mem_reclaim();
		usleep(20000);
	}
	return NULL;
}

/* finished -- one more quiet checkpoint: counts are exact. */
static void
check_counts(const Ledger *all)
{
	int64		keys[2] = {0, 0};

	for (size_t i = 0; i < all->count; i++)
		if (!all->at[i].deleted && (i + 1 == all->count || all->at[i + 1].key != all->at[i].key))
			keys[all->at[i].key % 2]++;
	assert_int_equal(blind_open(), 0);
	assert_int_equal(exact_count(0), keys[0]);
	assert_int_equal(exact_count(3), keys[1]);
}

static void
test_random(void **state)
{
	enum { ROUNDS_MAX = 64 };
	int			rounds = Min(24 * unit_factor(), (int) ROUNDS_MAX);
	Writer		writer[WRITERS];
	pthread_t	thread[WRITERS];
	pthread_t	evictor;
	Image	   *image = calloc(ROUNDS_MAX + 1, sizeof(Image));
	int			images = 0;
	Ledger		all = {0};

	(void) state;
	run_begin(true);
	memset(writer, 0, sizeof(writer));
	atomic_store(&stop_threads, false);
	for (uint32 i = 0; i < WRITERS; i++)
	{
		writer[i].index = i;
		writer[i].random = unit_random() | 1;
		assert_int_equal(pthread_create(&thread[i], NULL, run_writer, &writer[i]), 0);
	}
	assert_int_equal(pthread_create(&evictor, NULL, run_evictor, NULL), 0);
	for (int i = 0; i < rounds; i++)
	{
		CheckpointResult r;

		for (int j = 0; j < 8; j++)
		{
			(void) poll_plain();
			usleep((useconds_t) (unit_random() % 5000));
		}
		polls = 0;
		give_up_at = unit_random() % 4 == 0 ? 1 + (uint32) (unit_random() % 12) : 0;
		r = checkpoint();
		if (r.error != 0)
			assert_int_equal(r.error, ECANCELED);
		else
			image_read(&image[images++]);
		give_up_at = 0;
	}
	/* while the log is full a writer stands still until segments are made: this thread's work */
	atomic_store(&stop_threads, true);
	for (uint32 i = 0; i < WRITERS; i++)
	{
		while (pthread_tryjoin_np(thread[i], NULL) != 0)
			(void) poll_plain();
		for (size_t j = 0; j < writer[i].ledger.count; j++)
			ledger_add(&all, writer[i].ledger.at[j]);
		free(writer[i].ledger.at);
	}
	pthread_join(evictor, NULL);
	print_message("# %zu versions, %d of %d rounds committed\n", all.count, images, rounds);
	assert_int_equal(checkpoint_ok().error, 0);
	image_read(&image[images++]);
	for (int i = 0; i < images; i++)
	{
		image_compare(&image[i], &all);
		image_free(&image[i]);
	}
	check_counts(&all);
	assert_int_equal(heads_with_link(), 0);
	/* a start has the same */
	run_end();
	run_begin(true);
	check_image(&all);
	check_counts(&all);
	free(image);
	free(all.at);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_checkpoints, setup, teardown),
		cmocka_unit_test_setup_teardown(test_snapshot_links, setup, teardown),
		cmocka_unit_test_setup_teardown(test_walk_waits_for_completed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grace_before_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commit_is_panic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_coalesced_epochs_share_one_store_batch_and_sync, setup, teardown),
		cmocka_unit_test_setup_teardown(test_coalesced_epochs_preserve_repeated_blob_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_coalesced_epoch_write_error_restores_without_sync, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_triggers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blind_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dropped_trees, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map_in_transactions, setup, teardown),
#ifdef ARTERY_FAULTS
		cmocka_unit_test_setup_teardown(test_prewarm_beside_transaction, setup, teardown),
#endif
		cmocka_unit_test_setup_teardown(test_cut_waits_for_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recycling, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shutdown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	unit_seed_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
