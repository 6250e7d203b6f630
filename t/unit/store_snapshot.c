/*
 * store_snapshot.c -- snapshots in one process: many at a time over a random history, each
 * compared with a copy made when it was opened; chains after each release hold what is
 * needed and nothing else; then threads: writers whose order is known, readers who
 * open and close, and the evictor's part beside them.
 */
#include "unit_store.h"

#include "common/figure.h"

#define KEYS 24
#define SNAPSHOTS 10

static StoreSnapshot *
open_snapshot(void)
{
	StoreSnapshot *x = store_snapshot_create(7);
	StoreStatus status;

	while ((status = store_snapshot_open(x)) != STORE_OK)
	{
		assert_int_equal(status, STORE_PARK_MAP);
		usleep(20);
	}
	return x;
}

/* tend_until_quiet -- as the evictor does, until it has released what was closed before. */
static void
tend_until_quiet(void)
{
	for (int quiet = 0; quiet < 3;)
	{
		quiet = store__snapshots_tend(1) ? 0 : quiet + 1;
		epoch_wait_grace();
		mem_reclaim();
	}
}

static uint64
exact_count(void)
{
	StoreCountJob job;
	Lsn			gate = LSN_NONE;

	memset(&job, 0, sizeof(job));
	while (!job.done)
		assert_int_equal(store_count_exact(0, &job, &gate), STORE_OK);
	return job.count;
}

static uint64
linked_bytes(void)
{
	StoreSnapshotFigures f;

	store_snapshot_figures(&f);
	return f.linked_bytes;
}

/* ---- a random history ---- */

/* Copy -- the database as it was */
typedef struct Copy
{
	StoreSnapshot *snapshot;
	char		value[KEYS][16];	/* "" absent */
} Copy;

static char present[KEYS][16];
static Copy copies[SNAPSHOTS];

static const char *
key_name(uint64 i)
{
	static _Thread_local char name[16];

	snprintf(name, sizeof(name), "key/%02u", (unsigned) i);
	return name;
}

static void
compare(const StoreSnapshot *snapshot, char value[KEYS][16])
{
	uint64		count = 0;

	for (int i = 0; i < KEYS; i++)
	{
		const char *got = unit_get(0, key_name((uint64) i), NULL);

		if (strcmp(got != NULL ? got : "", value[i]) != 0)
			fail_msg("at %llu: %s is \"%s\" instead of \"%s\"",
					 (unsigned long long) (snapshot != NULL ? store_snapshot_lsn(snapshot) : 0), key_name((uint64) i),
					 got != NULL ? got : "(none)", value[i]);
		count += value[i][0] != '\0';
	}
	assert_int_equal(exact_count(), count);
}

typedef struct Listing
{
	char		(*value)[16];
	int			next;
} Listing;

static StoreWalkNext
show_listed(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg)
{
	Listing    *l = arg;
	char		text[16] = "";

	(void) walk;
	while (l->next < KEYS && l->value[l->next][0] == '\0')
		l->next++;
	assert_true(l->next < KEYS && key_len == 6 && memcmp(key, key_name((uint64) l->next), key_len) == 0);
	store_view_copy(view, 0, view->value_len, text);
	assert_string_equal(text, l->value[l->next]);
	l->next++;
	return STORE_WALK_ON;
}

static void
compare_walk(char value[KEYS][16])
{
	static StoreWalk walk;
	Listing		l = {value, 0};

	memset(&walk, 0, sizeof(walk));
	walk.from_edge = true;
	walk.with_values = true;
	while (!walk.done)
		assert_int_equal(store_walk(&walk, 3, show_listed, &l), STORE_OK);
	for (; l.next < KEYS; l.next++)
		assert_true(value[l.next][0] == '\0');
}

static void
compare_all(void)
{
	compare(NULL, present);
	for (int i = 0; i < SNAPSHOTS; i++)
	{
		if (copies[i].snapshot == NULL)
			continue;
		store_use_snapshot(copies[i].snapshot);
		compare(copies[i].snapshot, copies[i].value);
		compare_walk(copies[i].value);
		store_use_snapshot(NULL);
	}
}

static void
change(void)
{
	uint64		i = unit_random() % KEYS;

	if (unit_random() % 4 == 0)
	{
		assert_int_equal(unit_delete(0, key_name(i), NULL), STORE_OK);
		present[i][0] = '\0';
		return;
	}
	snprintf(present[i], sizeof(present[i]), "%llu", (unsigned long long) (unit_random() % 1000000));
	assert_int_equal(unit_put(0, key_name(i), present[i], NULL), STORE_OK);
}

static void
open_or_close(void)
{
	Copy	   *c = &copies[unit_random() % SNAPSHOTS];

	if (c->snapshot != NULL)
	{
		store_snapshot_close(c->snapshot);
		c->snapshot = NULL;
		return;
	}
	c->snapshot = open_snapshot();
	memcpy(c->value, present, sizeof(present));
}

/* needed_by_some -- is there an open snapshot in [version, newer)? */
static bool
needed_by_some(Lsn version, Lsn newer)
{
	for (int i = 0; i < SNAPSHOTS; i++)
		if (copies[i].snapshot != NULL && version <= store_snapshot_lsn(copies[i].snapshot) &&
			store_snapshot_lsn(copies[i].snapshot) < newer)
			return true;
	return false;
}

/* check_chains -- after a release: every version behind a head is needed; their bytes are what the figures say. */
static void
check_chains(void)
{
	uint64		bytes = 0;

	epoch_enter();
	for (uint64 i = 0; i < KEYS; i++)
	{
		uint8		key[32];
		uint32		len = store__build_key(key, store__tree_id(store__tree_index(0)), key_name(i), 6);
		const Leaf *leaf = art_lookup(&store_shared->root, key, len);

		while (leaf != NULL && leaf_link(leaf) != 0)
		{
			const Leaf *older = seg_ptr(leaf_link(leaf));

			assert_true(older->lsn < leaf->lsn);
			assert_true(needed_by_some(older->lsn, leaf->lsn));
			bytes += leaf_bytes(older);
			leaf = older;
		}
	}
	epoch_leave();
	assert_int_equal(linked_bytes(), bytes);
}

static void
test_history(void **state)
{
	(void) state;
	memset(present, 0, sizeof(present));
	memset(copies, 0, sizeof(copies));
	for (int step = 0; step < 3000; step++)
	{
		change();
		if (unit_random() % 8 == 0)
			open_or_close();
		if (unit_random() % 40 == 0)
		{
			tend_until_quiet();
			check_chains();
		}
		if (unit_random() % 25 == 0)
			compare_all();
		if (unit_random() % 60 == 0)
		{
			unit_store_flush();		/* tombstones may go, as far as no snapshot needs what they lead to */
			while (store_sweep_step())
				;
		}
	}
	for (int i = 0; i < SNAPSHOTS; i++)
	{
		store_snapshot_close(copies[i].snapshot);
		copies[i].snapshot = NULL;
	}
	tend_until_quiet();
	check_chains();
	assert_int_equal(linked_bytes(), 0);
}

/* ---- a chain whose middle goes ---- */

static void
test_middle(void **state)
{
	StoreSnapshot *s[5];
	char		value[5][8];

	(void) state;
	for (int i = 0; i < 5; i++)
	{
		snprintf(value[i], sizeof(value[i]), "v%d", i);
		assert_int_equal(unit_put(0, "middle", value[i], NULL), STORE_OK);
		s[i] = open_snapshot();
	}
	assert_int_equal(unit_put(0, "middle", "last", NULL), STORE_OK);
	/* v1 and v3 go: v2 is copied, v0 stays where it is */
	store_snapshot_close(s[1]);
	store_snapshot_close(s[3]);
	tend_until_quiet();
	for (int i = 0; i < 5; i += 2)
	{
		store_use_snapshot(s[i]);
		assert_string_equal(unit_get(0, "middle", NULL), value[i]);
		store_use_snapshot(NULL);
	}
	/* a writer leads past what nobody needs any more by himself */
	store_snapshot_close(s[4]);
	assert_int_equal(unit_put(0, "middle", "after", NULL), STORE_OK);
	epoch_enter();
	{
		uint8		key[16];
		uint32		len = store__build_key(key, store__tree_id(store__tree_index(0)), "middle", 6);
		const Leaf *head = art_lookup(&store_shared->root, key, len);
		const Leaf *second = seg_ptr(leaf_link(head));

		assert_true(leaf_link(head) != 0 && second->lsn <= store_snapshot_lsn(s[2]));
		assert_true(leaf_link(second) != 0 && leaf_link(seg_ptr(leaf_link(second))) == 0);
	}
	epoch_leave();
	store_snapshot_close(s[0]);
	store_snapshot_close(s[2]);
	tend_until_quiet();
	assert_int_equal(linked_bytes(), 0);
	assert_string_equal(unit_get(0, "middle", NULL), "after");
}

/* ---- the link rule by itself ---- */

static Leaf *
made_leaf(Lsn lsn, const Leaf *link)
{
	Off			off;
	Leaf	   *leaf;

	while ((off = leaf_build("rule", 4, NULL, 0, LEAF_HAS_LINK, 0)) == MEM_NONE)
		assert_int_equal(mem_grow(), 0);
	leaf = seg_ptr(off);
	leaf->lsn = lsn;
	leaf_set_link(leaf, link != NULL ? seg_off(link) : 0);
	return leaf;
}

static void
test_rule(void **state)
{
	Leaf	   *a = made_leaf(100, NULL);
	Leaf	   *b = made_leaf(200, a);
	Leaf	   *c = made_leaf(300, b);
	static const struct
	{
		Lsn			at[3];
		int			leads_to;	/* 0: nothing, 1 a, 2 b, 3 c */
	} cases[] = {
		{{300}, 3}, {{399}, 3}, {{400}, 0}, {{299}, 2}, {{200}, 2}, {{199}, 1}, {{100}, 1}, {{99}, 0},
		{{150, 350}, 3}, {{350, 150}, 3}, {{150, 250}, 2}, {{150, 500}, 1}, {{500, 600}, 0}, {{99, 98, 120}, 1},
		{{STORE_SNAPSHOT_UNKNOWN}, 3}, {{50, STORE_SNAPSHOT_UNKNOWN}, 3},
	};
	Off			want[] = {0, seg_off(a), seg_off(b), seg_off(c)};

	(void) state;
	for (size_t i = 0; i < lengthof(cases); i++)
	{
		StoreOpen	open = {.any = true};

		for (int j = 0; j < 3 && cases[i].at[j] != 0; j++)
			if (cases[i].at[j] == STORE_SNAPSHOT_UNKNOWN)
				open.unknown = true;
			else
				open.at[open.count++] = cases[i].at[j];
		assert_int_equal(store__link_for(&open, c, 400), want[cases[i].leads_to]);
	}
	leaf_free(seg_off(a));
	leaf_free(seg_off(b));
	leaf_free(seg_off(c));
}

/* what may leave memory: three versions, a root at 150 or 250, snapshots around them */
static void
test_needs(void **state)
{
	Leaf	   *a = made_leaf(100, NULL);
	Leaf	   *b = made_leaf(200, a);
	Leaf	   *c = made_leaf(300, b);
	static const struct
	{
		Lsn			pinned;
		Lsn			at;
		bool		needed;
	} cases[] = {
		{300, 310, false}, {400, 500, false}, {250, 310, true}, {250, 299, false}, {199, 299, true}, {199, 200, true},
		{99, 100, true}, {100, 150, false}, {50, 60, false}, {250, STORE_SNAPSHOT_UNKNOWN, true},
		{300, STORE_SNAPSHOT_UNKNOWN, false},
	};

	(void) state;
	for (size_t i = 0; i < lengthof(cases); i++)
	{
		StoreGuard	guard = {.cut = 1000, .count = 1, .snapshot[0] = {cases[i].pinned, cases[i].at}};

		assert_int_equal(store__snapshot_needs(&guard, c), cases[i].needed);
	}
	leaf_free(seg_off(a));
	leaf_free(seg_off(b));
	leaf_free(seg_off(c));
}

/* ---- the table ---- */

static void
test_table(void **state)
{
	StoreSnapshot *s[STORE_SNAPSHOTS_MAX];
	StoreSnapshotInfo info[STORE_SNAPSHOTS_MAX];
	StoreSnapshot *more = store_snapshot_create(8);
	StoreSnapshot *left;

	(void) state;
	for (int i = 0; i < STORE_SNAPSHOTS_MAX; i++)
		s[i] = open_snapshot();
	assert_int_equal(store_snapshot_open(more), STORE_SNAPSHOTS_FULL);
	assert_int_equal(store_snapshot_list(info), STORE_SNAPSHOTS_MAX);
	/* the refusal has left nothing locked */
	store_snapshot_close(s[30]);
	s[30] = open_snapshot();
	store_snapshot_close(more);
	/* ended, and told why; the place is free once the owner has closed it */
	assert_true(store__snapshot_end_oldest(SNAPSHOT_BYTES));
	assert_false(store__snapshot_alive(s[0]));
	assert_string_equal(store_snapshot_reason(s[0]), "snapshot_max_bytes");
	assert_true(store__snapshot_alive(s[1]));
	for (int i = 0; i < STORE_SNAPSHOTS_MAX; i++)
		store_snapshot_close(s[i]);
	assert_int_equal(atomic_load(&store_shared->snapshot_open), 0);
	assert_int_equal(store_snapshot_list(info), 0);
	/* given up half way, at each step */
	for (int steps = 0; steps < 3; steps++)
	{
		left = store_snapshot_create(9);
		for (int i = 0; i < steps && store_snapshot_open(left) == STORE_PARK_MAP; i++)
			;
		store_snapshot_close(left);
		assert_int_equal(atomic_load(&store_shared->snapshot_open), 0);
		assert_true(store__map_try_lock());
		store__map_unlock();
	}
	tend_until_quiet();
}

/* ---- expiry ---- */

static StoreAction
decide_with_deadline(const StoreView *view, StoreChange *change, void *arg)
{
	(void) view;
	change->part[0] = (BytePart) {"value", 5};
	change->part_count = 1;
	change->expiry = *(uint64 *) arg;
	return STORE_PUT;
}

/* a snapshot's clock stands still, whatever others have been told since */
static void
test_deadlines(void **state)
{
	uint64		deadline[2];
	StoreSnapshot *s;
	StoreSnapshot *later;

	(void) state;
	store_clock_turn();
	for (int i = 0; i < 2; i++)
	{
		StoreKey	key = {0, 4, i == 0 ? "dead" : "soon"};
		StoreWritten w;

		deadline[i] = store_clock_us() + 1000000 * (uint64) (i + 1);
		assert_int_equal(store_write(&key, decide_with_deadline, &deadline[i], &w), STORE_OK);
	}
	/* the first one has been told to be dead before, the second one is afterwards */
	atomic_store(&store_shared->clock_told, deadline[0]);
	s = open_snapshot();
	atomic_store(&store_shared->clock_told, deadline[1]);
	later = open_snapshot();
	assert_null(unit_get(0, "soon", NULL));
	store_use_snapshot(s);
	assert_null(unit_get(0, "dead", NULL));
	assert_string_equal(unit_get(0, "soon", NULL), "value");
	assert_true(store_clock_us() >= deadline[0] && store_clock_us() < deadline[1]);
	store_use_snapshot(later);
	assert_null(unit_get(0, "soon", NULL));
	store_use_snapshot(NULL);
	assert_null(unit_get(0, "soon", NULL));
	store_snapshot_close(s);
	store_snapshot_close(later);
}

/* ---- threads ---- */

#define WRITERS 2
#define READERS 3
#define OWN_KEYS 5

static _Atomic bool stop;
static _Atomic uint64 opened;

/* writer -- writes n to its key n mod OWN_KEYS, then to its last key: one after the other. */
static void *
writer(void *arg)
{
	uint32		me = (uint32) (uintptr_t) arg;

	proc_attach(UNIT_STORE_WORKER + 1 + me);
	for (uint64 n = 1; !atomic_load(&stop); n++)
	{
		char		key[16];
		char		value[24];

		snprintf(key, sizeof(key), "w%u/%u", me, (unsigned) (n % OWN_KEYS));
		snprintf(value, sizeof(value), "%llu", (unsigned long long) n);
		while (unit_put(0, key, value, NULL) != STORE_OK)
			usleep(10);
		snprintf(key, sizeof(key), "w%u/last", me);
		while (unit_put(0, key, value, NULL) != STORE_OK)
			usleep(10);
	}
	return NULL;
}

static uint64
number_at(uint32 w, const char *name)
{
	char		key[16];
	const char *got;

	snprintf(key, sizeof(key), "w%u/%s", w, name);
	got = unit_get(0, key, NULL);
	return got != NULL ? strtoull(got, NULL, 10) : 0;
}

/* check_prefix -- what one writer has written is there up to some number, and nothing after it. */
static uint64
check_prefix(uint32 w)
{
	uint64		last = number_at(w, "last");
	uint64		highest = 0;

	for (uint32 i = 0; i < OWN_KEYS; i++)
	{
		char		name[8];
		uint64		n;

		snprintf(name, sizeof(name), "%u", i);
		n = number_at(w, name);
		Verify(n % OWN_KEYS == i || n == 0);
		highest = Max(highest, n);
		/* it is the last one with this place that is not above the prefix */
		Verify(n == 0 ? last < OWN_KEYS : n + OWN_KEYS >= last);
	}
	Verify(highest == last || highest == last + 1);
	for (uint64 n = highest > OWN_KEYS ? highest - OWN_KEYS + 1 : 1; n <= highest; n++)
	{
		char		name[8];

		snprintf(name, sizeof(name), "%u", (unsigned) (n % OWN_KEYS));
		Verify(number_at(w, name) == n);
	}
	return last;
}

static void *
reader(void *arg)
{
	proc_attach(UNIT_STORE_WORKER + 1 + WRITERS + (uint32) (uintptr_t) arg);
	while (!atomic_load(&stop))
	{
		StoreSnapshot *x = open_snapshot();
		uint64		before[WRITERS];

		store_snapshot_in_use = x;	/* the clock is the process' own, of which there is one here */
		for (uint32 w = 0; w < WRITERS; w++)
			before[w] = check_prefix(w);
		usleep(100);
		for (uint32 w = 0; w < WRITERS; w++)
			Verify(check_prefix(w) == before[w]);
		store_snapshot_in_use = NULL;
		store_snapshot_close(x);
		atomic_fetch_add(&opened, 1);
		mem_reclaim();
	}
	return NULL;
}

static void
test_threads(void **state)
{
	pthread_t	thread[WRITERS + READERS];

	(void) state;
	atomic_store(&stop, false);
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, writer, (void *) i), 0);
	for (uintptr_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&thread[WRITERS + i], NULL, reader, (void *) i), 0);
	for (int i = 0; i < 20000 && atomic_load(&opened) < 600; i++)
	{
		(void) store__snapshots_tend(1);
		wal_completed_update();
		atomic_store(&wal_shared->flushed, wal_completed_lsn());
		epoch_try_advance();
		mem_reclaim();
		mem_keep_ahead();
		usleep(100);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < WRITERS + READERS; i++)
		pthread_join(thread[i], NULL);
	assert_true(atomic_load(&opened) >= 100);
	tend_until_quiet();
	assert_int_equal(linked_bytes(), 0);
	print_message("# %llu snapshots were opened\n", (unsigned long long) atomic_load(&opened));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rule, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_needs, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_middle, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_table, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_history, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_deadlines, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_threads, unit_store_setup, unit_segment_teardown),
	};

	unit_seed_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
