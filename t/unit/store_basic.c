/*
 * store_basic.c -- access/store in one process: writes, reads, gates, walks,
 * cursors, map changes and sweeping, against oracles; then threads.
 *
 * The segment is private memory.  Nobody writes files: a stand-in for the
 * walwriter raises 'flushed' to 'completed' when a test wants it, which is all
 * that the store knows of durability.
 */
#include "unit_store.h"

#define THREADS 4

/* ---- small commands on top of the store ---- */

typedef struct Put
{
	const void *data;
	size_t		len;
	bool		nx;
	bool		append;
	bool		patch;			/* from 'at' on */
	uint64		at;
	bool		delete;
} Put;

static StoreAction
decide_put(const StoreView *view, StoreChange *change, void *arg)
{
	Put		   *put = arg;

	if (put->delete)
		return STORE_DELETE;
	if (put->nx && view->exists)
		return STORE_KEEP;
	change->part[0].data = put->data;
	change->part[0].len = put->len;
	change->part_count = 1;
	change->append_to_old = put->append;
	change->patch_old = put->patch;
	change->patch_at = put->at;
	return STORE_PUT;
}

static StoreStatus
do_put(uint32 db, const void *key, uint32 key_len, Put put, StoreWritten *out)
{
	StoreKey	k = {db, key_len, key};
	StoreWritten dummy;

	return store_write(&k, decide_put, &put, out != NULL ? out : &dummy);
}

static Lsn
put_text(uint32 db, const char *key, const char *value)
{
	StoreWritten out;

	assert_int_equal(do_put(db, key, (uint32) strlen(key), (Put) {.data = value, .len = strlen(value)}, &out), STORE_OK);
	return out.gate;
}

static Lsn
delete_text(uint32 db, const char *key, bool *changed)
{
	StoreWritten out;

	assert_int_equal(do_put(db, key, (uint32) strlen(key), (Put) {.delete = true}, &out), STORE_OK);
	*changed = out.changed;
	return out.gate;
}

typedef struct Got
{
	bool		exists;
	size_t		len;
	uint8	   *to;
	size_t		room;
} Got;

static void
show_copy(const StoreView *view, void *arg)
{
	Got		   *got = arg;

	got->exists = view->exists;
	got->len = view->value_len;
	if (view->exists && got->to != NULL)
		store_view_copy(view, 0, Min(got->len, got->room), got->to);
}

static char *
get_text(uint32 db, const char *key, Lsn *gate)
{
	static char value[256];
	StoreKey	k = {db, (uint32) strlen(key), key};
	Got			got = {.to = (uint8 *) value, .room = sizeof(value) - 1};

	*gate = 0;
	assert_int_equal(store_read(&k, show_copy, &got, gate), STORE_OK);
	if (!got.exists)
		return NULL;
	value[got.len] = '\0';
	return value;
}

/* ---- tests ---- */

static void
test_single_key(void **state)
{
	StoreWritten out;
	Lsn			put;
	Lsn			again;
	Lsn			deleted;
	Lsn			gate;
	bool		changed;

	(void) state;
	assert_null(get_text(0, "a", &gate));
	assert_int_equal(gate, 0);
	put = put_text(0, "a", "one");
	assert_string_equal(get_text(0, "a", &gate), "one");
	assert_int_equal(gate, put);	/* a reader's gate is the version it read */
	assert_int_equal(do_put(0, "a", 1, (Put) {.data = "x", .len = 1, .nx = true}, &out), STORE_OK);
	assert_false(out.changed);
	assert_int_equal(out.gate, put);	/* a refused NX is gated by what it saw */
	again = put_text(0, "a", "two");
	assert_true(again > put);
	deleted = delete_text(0, "a", &changed);
	assert_true(changed && deleted > again);
	assert_null(get_text(0, "a", &gate));
	assert_int_equal(gate, deleted);	/* so is a negative answer */
	assert_int_equal(delete_text(0, "a", &changed), deleted);
	assert_false(changed);
	assert_null(get_text(1, "a", &gate));	/* databases do not see each other */
	put_text(1, "a", "other");
	assert_null(get_text(0, "a", &gate));
	assert_int_equal(store_count(0, &gate), 0);
	assert_int_equal(store_count(1, &gate), 1);
}

static void
test_large_values(void **state)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 32767, 32768, 32769, 100000, 1048576, 2097152};
	uint8	   *data = malloc(4 * MIB);
	uint8	   *back = malloc(4 * MIB);
	StoreKey	key = {0, 3, "big"};

	(void) state;
	for (size_t i = 0; i < 4 * MIB; i++)
		data[i] = (uint8) unit_random();
	for (size_t i = 0; i < lengthof(sizes); i++)
	{
		Got			got = {.to = back, .room = 4 * MIB};
		StoreWritten out;
		bool		same;
		Lsn			gate = 0;
		StoreStatus status = do_put(0, "big", 3, (Put) {.data = data, .len = sizes[i]}, &out);

		unit_store_flush();
		assert_int_equal(status, STORE_OK);
		assert_int_equal(store_read(&key, show_copy, &got, &gate), STORE_OK);
		assert_true(got.exists && got.len == sizes[i]);
		assert_memory_equal(back, data, sizes[i]);
		if (sizes[i] > 10)
		{
			memset(back, 0, sizes[i]);
			assert_int_equal(store_read_piece(&key, out.gate, 5, sizes[i] - 10, back, &same), STORE_OK);
			assert_true(same);
			assert_memory_equal(back, data + 5, sizes[i] - 10);
			assert_int_equal(store_read_piece(&key, out.gate + 8, 0, 1, back, &same), STORE_OK);
			assert_false(same);
		}
		/* grow it by what is behind it */
		if (sizes[i] + 5000 <= 2 * MIB)
		{
			assert_int_equal(do_put(0, "big", 3, (Put) {.data = data + sizes[i], .len = 5000, .append = true}, NULL), STORE_OK);
			unit_store_flush();
			assert_int_equal(store_read(&key, show_copy, &got, &gate), STORE_OK);
			assert_int_equal(got.len, sizes[i] + 5000);
			assert_memory_equal(back, data, sizes[i] + 5000);
		}
	}
	/* one byte too much is refused and changes nothing */
	{
		Got			got = {.to = NULL};
		Lsn			gate = 0;
		Lsn			before = wal_insert_lsn();

		assert_int_equal(do_put(0, "big", 3, (Put) {.data = data, .len = 2 * MIB + 1}, NULL), STORE_TOO_LARGE);
		assert_int_equal(wal_insert_lsn(), before);
		assert_int_equal(store_read(&key, show_copy, &got, &gate), STORE_OK);
		assert_int_equal(got.len, 2097152);
	}
	free(data);
	free(back);
}

/* test_patches -- what is laid over a value, anywhere, against an array. */
static void
test_patches(void **state)
{
	enum { ROOM = 400000 };
	static const uint64 ends[] = {10, 4096, 4097, 32768, 65536, 300000};
	uint8	   *model = calloc(1, ROOM);
	uint8	   *data = malloc(ROOM);
	uint8	   *back = malloc(ROOM);
	StoreKey	key = {0, 5, "patch"};
	size_t		len = 0;

	(void) state;
	for (int i = 0; i < 400; i++)
	{
		Got			got = {.to = back, .room = ROOM};
		uint64		at = unit_random() % (ends[unit_random() % lengthof(ends)] + 1);
		size_t		count = unit_random() % 50 == 0 ? 0 : 1 + unit_random() % (unit_random() % 3 ? 20 : 70000);
		Lsn			gate = 0;

		if (i % 40 == 0)
		{
			/* short again */
			len = unit_random() % 5000;
			for (size_t n = 0; n < len; n++)
				model[n] = (uint8) unit_random();
			memset(model + len, 0, ROOM - len);
			assert_int_equal(do_put(0, "patch", 5, (Put) {.data = model, .len = len}, NULL), STORE_OK);
		}
		for (size_t n = 0; n < count; n++)
			data[n] = model[at + n] = (uint8) unit_random();
		len = Max(len, at + count);
		assert_int_equal(do_put(0, "patch", 5, (Put) {.data = data, .len = count, .patch = true, .at = at}, NULL), STORE_OK);
		unit_store_flush();
		assert_int_equal(store_read(&key, show_copy, &got, &gate), STORE_OK);
		assert_int_equal(got.len, len);
		assert_memory_equal(back, model, len);
	}
	assert_int_equal(do_put(0, "patch", 5, (Put) {.data = "x", .len = 1, .patch = true, .at = UINT64_C(1) << 62}, NULL), STORE_TOO_LARGE);
	unit_store_flush();
	free(model);
	free(data);
	free(back);
}

static void
test_ring_full(void **state)
{
	char		value[8192];
	Lsn			gate;
	uint64		written = 0;
	StoreStatus status;

	(void) state;
	memset(value, 'v', sizeof(value));
	do
	{
		char		key[32];

		snprintf(key, sizeof(key), "k%llu", (unsigned long long) written);
		status = do_put(0, key, (uint32) strlen(key), (Put) {.data = value, .len = sizeof(value)}, NULL);
		written += status == STORE_OK;
	} while (status == STORE_OK);
	assert_int_equal(status, STORE_PARK_WAL);
	/* it was full indeed, and not a record sooner */
	assert_true(wal_insert_lsn() <= UNIT_STORE_FIRST_LSN + 16 * MIB);
	assert_true(wal_insert_lsn() + WAL_RECORD_HEADER + sizeof(value) + 16 > UNIT_STORE_FIRST_LSN + 16 * MIB);
	assert_int_equal(store_count(0, &gate), written);	/* the refused one left nothing */
	assert_int_equal(atomic_load(&my_slot->wal_word) & 3, WAL_RES_IDLE);
	unit_store_flush();
	put_text(0, "after", "flush");
	/* a full disk: a reason is set and the next segment is not there */
	atomic_store(&wal_shared->prepared, wal_insert_lsn());
	assert_int_equal(do_put(0, "x", 1, (Put) {.data = "y", .len = 1}, NULL), STORE_PARK_WAL);
	atomic_store(&wal_shared->space_errno, 28);
	assert_int_equal(do_put(0, "x", 1, (Put) {.data = "y", .len = 1}, NULL), STORE_DISK_FULL);
	assert_null(get_text(0, "x", &gate));
	assert_string_equal(get_text(0, "after", &gate), "flush");
}

/* ---- walks against a sorted oracle ---- */

#define ORACLE_MAX 3000

typedef struct Oracle
{
	char		key[ORACLE_MAX][40];
	int			count;
} Oracle;

static int
compare_keys(const void *a, const void *b)
{
	return strcmp(a, b);
}

static Oracle *
fill_paths(int count)
{
	Oracle	   *o = calloc(1, sizeof(*o));

	for (int i = 0; i < count; i++)
	{
		char		key[40];
		bool		known = false;

		snprintf(key, sizeof(key), "/d%d/s%d/f%d", (int) (unit_random() % 7), (int) (unit_random() % 5), (int) (unit_random() % 100));
		for (int j = 0; j < o->count && !known; j++)
			known = strcmp(o->key[j], key) == 0;
		put_text(0, key, "v");
		if (!known)
			strcpy(o->key[o->count++], key);
	}
	/* delete a third again */
	for (int i = 0; i < o->count; i++)
		if (unit_random() % 3 == 0)
		{
			bool		changed;

			delete_text(0, o->key[i], &changed);
			assert_true(changed);
			memcpy(o->key[i], o->key[--o->count], sizeof(o->key[0]));
			i--;
		}
	qsort(o->key, (size_t) o->count, sizeof(o->key[0]), compare_keys);
	return o;
}

typedef struct Collect
{
	char		key[ORACLE_MAX][40];
	int			count;
	int			limit;
	uint32		hop_from;		/* roll up at the first '/' behind this many bytes; 0: not */
} Collect;

static StoreWalkNext
collect(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg)
{
	Collect    *c = arg;

	assert_true(view->exists);
	if (c->limit > 0 && c->count == c->limit)
		return STORE_WALK_STOP_BEFORE;
	memcpy(c->key[c->count], key, key_len);
	c->key[c->count][key_len] = '\0';
	if (c->hop_from > 0)
	{
		char	   *slash = strchr(c->key[c->count] + c->hop_from, '/');

		assert_non_null(slash);
		slash[1] = '\0';
		walk->hop_len = (uint32) strlen(c->key[c->count]);
		c->count++;
		return STORE_WALK_HOP;
	}
	c->count++;
	return STORE_WALK_ON;
}

static void
walk_and_compare(const Oracle *o, const char *prefix, bool backward, uint32 steps, int page)
{
	StoreWalk  *walk = calloc(1, sizeof(*walk));
	Collect    *c = calloc(1, sizeof(*c));
	int			expected = 0;

	walk->backward = backward;
	walk->from_edge = true;
	walk->prefix_len = (uint32) strlen(prefix);
	memcpy(walk->prefix, prefix, walk->prefix_len);
	do
	{
		c->limit = page > 0 ? c->count + page : 0;
		assert_int_equal(store_walk(walk, steps, collect, c), STORE_OK);
	} while (!walk->done);
	for (int i = 0; i < o->count; i++)
	{
		const char *key = o->key[backward ? o->count - 1 - i : i];

		if (strncmp(key, prefix, strlen(prefix)) == 0)
		{
			assert_true(expected < c->count);
			assert_string_equal(c->key[expected], key);
			expected++;
		}
	}
	assert_int_equal(c->count, expected);
	free(c);
	free(walk);
}

static void
test_walks(void **state)
{
	Oracle	   *o = fill_paths(2500);
	static const char *const prefixes[] = {"", "/", "/d3", "/d3/", "/d3/s2/f1", "/none", "/d6/s4/f99"};

	(void) state;
	for (size_t p = 0; p < lengthof(prefixes); p++)
		for (int backward = 0; backward < 2; backward++)
		{
			walk_and_compare(o, prefixes[p], backward, 1000000, 0);
			walk_and_compare(o, prefixes[p], backward, 7, 0);	/* pieces */
			walk_and_compare(o, prefixes[p], backward, 50, 3);	/* pages */
		}
	/* roll up: each directory once, in both directions, whatever it holds */
	for (int backward = 0; backward < 2; backward++)
	{
		StoreWalk  *walk = calloc(1, sizeof(*walk));
		Collect    *c = calloc(1, sizeof(*c));

		walk->from_edge = true;
		walk->backward = backward;
		c->hop_from = 1;
		do
			assert_int_equal(store_walk(walk, 3, collect, c), STORE_OK);
		while (!walk->done);
		assert_int_equal(c->count, 7);
		for (int i = 0; i < 7; i++)
		{
			char		dir[8];

			snprintf(dir, sizeof(dir), "/d%d/", backward ? 6 - i : i);
			assert_string_equal(c->key[i], dir);
		}
		free(c);
		free(walk);
	}
	free(o);
}

static void
test_walk_gate(void **state)
{
	StoreWalk  *walk = calloc(1, sizeof(*walk));
	Collect    *c = calloc(1, sizeof(*c));
	bool		changed;
	Lsn			deleted;

	(void) state;
	put_text(0, "a", "1");
	put_text(0, "b", "2");
	deleted = delete_text(0, "b", &changed);
	walk->from_edge = true;
	assert_int_equal(store_walk(walk, 100, collect, c), STORE_OK);
	assert_int_equal(c->count, 1);
	assert_int_equal(walk->gate, deleted);	/* the listing lacks b: gated by its tombstone */
	/* 0xff prefixes have no successor: hopping over one ends the walk */
	assert_int_equal(do_put(0, "\xff\xff/x", 4, (Put) {.data = "v", .len = 1}, NULL), STORE_OK);
	memset(walk, 0, sizeof(*walk));
	memset(c, 0, sizeof(*c));
	walk->from_edge = true;
	assert_int_equal(store_walk(walk, 100, collect, c), STORE_OK);
	assert_int_equal(c->count, 2);
	free(c);
	free(walk);
}

static void
test_cursors(void **state)
{
	uint8		key[KEY_MAX];
	uint32		len;
	uint64		first = store_cursor_save(0, "hello", 5);
	uint64		number = 0;

	(void) state;
	assert_true(first > 0 && first < UINT64_C(1) << 53);
	assert_true(store_cursor_load(first, 0, key, &len));
	assert_true(len == 5 && memcmp(key, "hello", 5) == 0);
	assert_true(store_cursor_load(first, 0, key, &len));	/* twice */
	assert_false(store_cursor_load(first, 1, key, &len));	/* another database */
	assert_false(store_cursor_load(first + 1, 0, key, &len));
	assert_false(store_cursor_load(first + STORE_CURSORS, 0, key, &len));
	assert_false(store_cursor_load(0, 0, key, &len));
	for (int i = 0; i < STORE_CURSORS; i++)
		number = store_cursor_save(0, &i, sizeof(i));
	assert_false(store_cursor_load(first, 0, key, &len));	/* overwritten: an error, never a silent end */
	assert_true(store_cursor_load(number, 0, key, &len));
}

/* ---- map changes and sweeping ---- */

static StoreStatus
flush_until_done(int db, Lsn *gate)
{
	StoreFlushJob job = {0};
	StoreStatus status;
	int			turns = 0;

	do
		status = store_flush(db, &job, gate);
	while (status == STORE_PARK_MAP && ++turns < 1000);
	return status;
}

static void
sweep_all(void)
{
	while (store_sweep_step())
		continue;
	for (int i = 0; i < 4; i++)
	{
		epoch_try_advance();
		mem_reclaim();
	}
}

static void
test_flush_and_sweep(void **state)
{
	MemStats	before;
	MemStats	full;
	MemStats	after;
	Lsn			gate = 0;

	(void) state;
	put_text(2, "kept", "yes");
	unit_store_flush();
	mem_stats(&before);
	for (int round = 0; round < 100; round++)	/* more rounds than there are trees */
	{
		char		key[32];

		for (int i = 0; i < 200; i++)
		{
			snprintf(key, sizeof(key), "key/%d", i);
			put_text(1, key, "value");
		}
		mem_stats(&full);
		assert_int_equal(store_count(1, &gate), 200);
		gate = 0;
		assert_int_equal(flush_until_done(round % 2 ? 1 : -1, &gate), STORE_OK);
		assert_int_equal(gate, wal_insert_lsn());
		if (round % 2 == 0)
			put_text(2, "kept", "yes");
		{
			Lsn			seen;

			assert_null(get_text(1, key, &seen));
			assert_int_equal(seen, gate);	/* emptiness is gated by the map's record */
			assert_int_equal(store_count(1, &seen), 0);
		}
		/* not flushed: the dropped tree must stay */
		sweep_all();
		if (round == 1)
		{
			mem_stats(&after);
			assert_true(after.used > (full.used + before.used) / 2);
		}
		unit_store_flush();
		sweep_all();
	}
	mem_stats(&after);
	assert_true(after.used < before.used + 4096);
	assert_string_equal(get_text(2, "kept", &gate), "yes");
	/* nothing to empty: no record */
	{
		Lsn			insert = wal_insert_lsn();

		assert_int_equal(flush_until_done(1, &gate), STORE_OK);
		assert_int_equal(wal_insert_lsn(), insert);
	}
}

static void
test_flush_waits_for_writers(void **state)
{
	StoreFlushJob job = {0};
	StoreFlushJob other = {0};
	ProcSlot   *me = my_slot;
	Lsn			gate = 0;

	(void) state;
	put_text(0, "a", "1");
	my_slot = proc_slot(5);		/* another process, inside an epoch */
	epoch_enter();
	my_slot = me;
	for (int i = 0; i < 10; i++)
		assert_int_equal(store_flush(0, &job, &gate), STORE_PARK_MAP);
	assert_int_equal(do_put(0, "b", 1, (Put) {.data = "2", .len = 1}, NULL), STORE_PARK_MAP);	/* writers park */
	assert_string_equal(get_text(0, "a", &gate), "1");	/* readers do not */
	assert_int_equal(store_flush(0, &other, &gate), STORE_PARK_MAP);	/* one change at a time */
	store_flush_cancel(&other);	/* which withdraws nothing of the first one's */
	assert_int_equal(do_put(0, "b", 1, (Put) {.data = "2", .len = 1}, NULL), STORE_PARK_MAP);
	my_slot = proc_slot(5);
	epoch_leave();
	my_slot = me;
	while (store_flush(0, &job, &gate) == STORE_PARK_MAP)
		continue;
	put_text(0, "b", "2");
	assert_null(get_text(0, "a", &gate));
	/* a client that goes away withdraws its announcement */
	memset(&job, 0, sizeof(job));
	my_slot = proc_slot(5);
	epoch_enter();
	my_slot = me;
	assert_int_equal(store_flush(0, &job, &gate), STORE_PARK_MAP);
	assert_int_equal(do_put(0, "c", 1, (Put) {.data = "3", .len = 1}, NULL), STORE_PARK_MAP);
	store_flush_cancel(&job);
	put_text(0, "c", "3");
	my_slot = proc_slot(5);
	epoch_leave();
	my_slot = me;
}

static void
test_tombstones_go(void **state)
{
	MemStats	before;
	MemStats	after;
	Lsn			gate;
	bool		changed;

	(void) state;
	mem_stats(&before);
	for (int i = 0; i < 5000; i++)
	{
		char		key[32];

		snprintf(key, sizeof(key), "t%d", i);
		put_text(0, key, "v");
		delete_text(0, key, &changed);
	}
	sweep_all();
	assert_null(get_text(0, "t4999", &gate));
	assert_true(gate > 0);		/* not flushed: still there, still gating */
	unit_store_flush();
	sweep_all();
	assert_null(get_text(0, "t4999", &gate));
	assert_int_equal(gate, 0);
	mem_stats(&after);
	assert_true(after.used < before.used + 8192);
}

/* ---- threads ---- */

static _Atomic bool stop_flusher;

static void *
flusher(void *arg)
{
	proc_attach((uint32) (uintptr_t) arg);
	while (!atomic_load(&stop_flusher))
	{
		Lsn			to;

		wal_completed_update();
		to = wal_completed_lsn();
		/* every byte below is filled: what a real walwriter would write must parse */
		atomic_store(&wal_shared->flushed, to);
		usleep(100);
	}
	return NULL;
}

static StoreAction
decide_increment(const StoreView *view, StoreChange *change, void *arg)
{
	uint64	   *cell = arg;		/* [0] the new value, [1] the version seen */

	*cell = 0;
	if (view->exists)
		store_view_copy(view, 0, sizeof(*cell), cell);
	(*cell)++;
	cell[1] = view->lsn;
	change->part[0].data = cell;
	change->part[0].len = sizeof(*cell);
	change->part_count = 1;
	return STORE_PUT;
}

static void *
incrementer(void *arg)
{
	uint32		slot = (uint32) (uintptr_t) arg;
	uint64		random = slot * 7919 + 1;

	proc_attach(slot);
	for (int i = 0; i < 5000; i++)
	{
		uint64		cell[2];
		char		name[16];
		StoreKey	key = {0, 0, name};
		StoreWritten out;
		StoreStatus status;

		random = random * 6364136223846793005u + 1442695040888963407u;
		key.len = (uint32) snprintf(name, sizeof(name), "c%d", (int) (random >> 60));
		while ((status = store_write(&key, decide_increment, cell, &out)) == STORE_PARK_WAL)
			usleep(50);
		if (status != STORE_OK || out.gate <= cell[1])
			return (void *) 1;	/* versions of a key grow */
		if (i % 64 == 0)
			mem_keep_ahead();
	}
	return NULL;
}

static void
test_threads_increment(void **state)
{
	pthread_t	thread[THREADS];
	pthread_t	flush_thread;
	uint64		sum = 0;
	Lsn			gate = 0;

	(void) state;
	atomic_store(&stop_flusher, false);
	pthread_create(&flush_thread, NULL, flusher, (void *) (uintptr_t) 10);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, incrementer, (void *) (5 + i));
	for (int i = 0; i < THREADS; i++)
	{
		void	   *failed;

		pthread_join(thread[i], &failed);
		assert_null(failed);
	}
	atomic_store(&stop_flusher, true);
	pthread_join(flush_thread, NULL);
	for (int i = 0; i < 16; i++)
	{
		char		name[16];
		uint64		value = 0;
		StoreKey	key = {0, 0, name};
		Got			got = {.to = (uint8 *) &value, .room = sizeof(value)};

		key.len = (uint32) snprintf(name, sizeof(name), "c%d", i);
		assert_int_equal(store_read(&key, show_copy, &got, &gate), STORE_OK);
		sum += value;
	}
	assert_int_equal(sum, THREADS * 5000);
	assert_int_equal(store_count(0, &gate), 16);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_single_key, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_large_values, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_patches, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_ring_full, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_walks, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_walk_gate, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_cursors, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_flush_and_sweep, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_flush_waits_for_writers, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_tombstones_go, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_threads_increment, unit_store_setup, unit_segment_teardown),
	};

	unit_seed_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
