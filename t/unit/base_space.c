/*
 * base_space.c -- the free map against a model of what each root reaches: thousands
 * of attempts, committed, failed and given up, re-opened in between, with both cuts
 * as the control slots would have them, and older roots that snapshots read.  No page of
 * a root in either slot, or of one that is pinned, is ever handed out, none is handed out twice, a failed attempt's places are left alone by
 * the next one, and the map names every other page exactly once.
 */
#include "unit_base.h"

#define PAGES_MAX 60000
#define PINS 3

/* Pin -- a root that a snapshot reads */
typedef struct Pin
{
	Lsn			cut;			/* LSN_NONE: not open */
	bool		reach[PAGES_MAX];
} Pin;

/* Model -- by page number: which of the last two roots reach it */
typedef struct Model
{
	BaseSpace	space;
	Lsn			cut;
	Lsn			older_cut;
	bool		now[PAGES_MAX];
	bool		before[PAGES_MAX];
	uint8		mark[PAGES_MAX];
	bool		failed[PAGES_MAX];	/* taken by the last attempt, which failed */
	bool		any_failed;
	bool		failed_full;
	uint64	   *map_page;
	uint32		map_pages;
	uint64		runs_seen;
	bool		pinning;			/* snapshots come and go */
	Pin			pin[PINS];
	Lsn			pinned;				/* as the attempt was told */
	Lsn			died[PAGES_MAX];	/* as the map has it */
	uint64		kept;				/* pages that a pinned root alone reached, seen set aside */
} Model;

static Model model;

static int
setup(void **state)
{
	BaseRuns	none = {0};

	(void) state;
	free(model.map_page);
	memset(&model, 0, sizeof(model));
	model.cut = model.older_cut = 100;
	model.now[0] = model.before[0] = true;
	base__space_open(&model.space, &none, 1, 100, 100);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	base__space_close(&model.space);
	free(model.map_page);
	model.map_page = NULL;
	return 0;
}

/* take -- and see that it may be had. */
static uint64
take(Model *m, uint64 count)
{
	uint64		lowest = base__space_lowest(&m->space);
	bool		avoid_used = m->space.avoid_used;
	uint64		first = base__space_take(&m->space, count);

	assert_true(first > 0 && first + count <= PAGES_MAX);
	if (count == 1)
		assert_int_equal(first, lowest);
	/* for many in a row, the places of a failed attempt may have come back: they may lie lower */
	if (m->space.avoid_used == avoid_used)
		assert_true(first >= lowest);
	for (uint64 i = first; i < first + count; i++)
	{
		if (m->now[i] || m->before[i])
			fail_msg("page %llu was handed out, and a root reaches it", (unsigned long long) i);
		for (int p = 0; p < PINS; p++)
			if (m->pin[p].cut != LSN_NONE && m->pin[p].reach[i])
				fail_msg("page %llu was handed out, and a snapshot's root reaches it", (unsigned long long) i);
		if (m->mark[i])
			fail_msg("page %llu was handed out twice", (unsigned long long) i);
		if (m->any_failed && !m->failed_full && m->failed[i])
			fail_msg("page %llu was handed out again right after a failure", (unsigned long long) i);
		m->mark[i] = 1;
	}
	return first;
}

/* pins_change -- snapshots are opened, at the root in force, and closed. */
static void
pins_change(Model *m)
{
	Pin		   *pin = &m->pin[unit_random() % PINS];

	if (!m->pinning || unit_random() % 3 != 0)
		return;
	if (pin->cut != LSN_NONE)
		pin->cut = LSN_NONE;
	else
	{
		pin->cut = m->cut;
		memcpy(pin->reach, m->now, sizeof(m->now));
	}
}

static Lsn
lowest_pin(const Model *m)
{
	Lsn			lowest = LSN_NONE;

	for (int i = 0; i < PINS; i++)
		if (m->pin[i].cut != LSN_NONE && (lowest == LSN_NONE || m->pin[i].cut < lowest))
			lowest = m->pin[i].cut;
	return lowest;
}

/* expected_died -- of a page that the new root does not reach. */
static Lsn
expected_died(const Model *m, uint64 at, Lsn birth)
{
	if (m->now[at])
		return birth;
	if (m->died[at] <= m->cut && (m->pinned == LSN_NONE || m->died[at] <= m->pinned))
		return 0;
	return m->died[at];
}

/* check_map -- what the plan says is the whole truth. */
static void
check_map(Model *m, const bool *live, Lsn birth)
{
	const BaseRuns *next = &m->space.next;
	uint64		at = 0;

	for (size_t i = 0; i < next->count; i++)
	{
		const BaseRun *r = &next->at[i];

		assert_true(r->count > 0 && r->first >= at);
		if (i > 0 && r->first == at)
			assert_true(r->died != next->at[i - 1].died);
		for (; at < r->first; at++)
			assert_true(live[at]);
		for (; at < r->first + r->count; at++)
		{
			assert_false(live[at]);
			/* set aside exactly what the root before still reaches, or what died after the oldest pinned one */
			assert_int_equal(r->died, expected_died(m, at, birth));
			m->kept += r->died != 0 && !m->now[at] && !m->before[at];
		}
	}
	for (; at < m->space.next_count; at++)
		assert_true(live[at]);
	for (; at < PAGES_MAX; at++)
		assert_false(live[at]);
	assert_true(live[m->space.next_count - 1] || next->at[next->count - 1].died != 0);	/* no free tail */
}

static void
reopen(Model *m)
{
	BaseRuns	copy = {0};
	uint64		page_count = m->space.page_count;

	for (size_t i = 0; i < m->space.map.count; i++)
		base__runs_add(&copy, m->space.map.at[i].first, m->space.map.at[i].count, m->space.map.at[i].died);
	base__space_close(&m->space);
	memset(&m->space, 0, sizeof(m->space));
	if (unit_random() % 3 == 0)
	{
		/* as after a start: both slots say the same root */
		m->older_cut = m->cut;
		memcpy(m->before, m->now, sizeof(m->now));
	}
	for (int i = 0; i < PINS; i++)
		m->pin[i].cut = LSN_NONE;	/* a restart: nobody reads them any more */
	base__space_open(&m->space, &copy, page_count, m->cut, m->older_cut);
	m->any_failed = false;
}

/* attempt -- takes, gives back, lets die; then commits or fails. */
static void
attempt(Model *m, uint32 takes, uint32 die_of_100, bool runs)
{
	static bool live[PAGES_MAX];
	Lsn			birth = m->cut + 1 + unit_random() % 100;
	uint64	   *pages;
	uint32		count;
	uint64		sum[2];

	memcpy(live, m->now, sizeof(live));
	memset(m->mark, 0, sizeof(m->mark));
	m->pinned = lowest_pin(m);
	base__space_begin(&m->space, birth, m->pinned);
	pins_change(m);				/* who comes now pins the root in force */
	for (uint32 i = 0; i < takes; i++)
	{
		uint64		n = runs && unit_random() % 8 == 0 ? 1 + unit_random() % 70 : 1;
		uint64		first = take(m, n);

		for (uint64 j = first; j < first + n; j++)
			live[j] = true;
		if (n == 1 && unit_random() % 50 == 0)
		{
			base__space_give(&m->space, first);
			live[first] = false;
		}
	}
	for (uint64 i = 1; i < m->space.page_count; i++)
	{
		bool		of_map = false;

		for (uint32 j = 0; j < m->map_pages; j++)
			of_map |= m->map_page[j] == i;
		if (m->now[i] && (of_map || unit_random() % 100 < die_of_100))
		{
			assert_true(base__space_dead(&m->space, i, 1));
			live[i] = false;
		}
	}
	if (unit_random() % 4 == 0)
	{
		bool		full = unit_random() % 2 == 0;

		if (m->space.taken.count > 0)
		{
			for (uint64 i = 0; i < PAGES_MAX; i++)
				m->failed[i] = m->mark[i] != 0;
			m->any_failed = true;
			m->failed_full = full;
		}
		base__space_abandon(&m->space, full);
		return;
	}
	assert_true(base__space_plan(&m->space, &pages, &count, &sum[0]));
	assert_true(count * BASE_MAP_ENTRIES >= m->space.next.count);
	assert_true(count <= m->space.next.count / (BASE_MAP_ENTRIES - 1) + 2);
	for (uint32 i = 0; i < count; i++)
	{
		assert_false(m->now[pages[i]] || m->before[pages[i]] || m->mark[pages[i]]);
		m->mark[pages[i]] = 1;
		live[pages[i]] = true;
	}
	check_map(m, live, birth);
	m->runs_seen = Max(m->runs_seen, m->space.next.count);
	base__space_sum(&m->space.next, &sum[0], &sum[1]);
	base__space_commit(&m->space, false);
	free(m->map_page);
	m->map_page = pages;
	m->map_pages = count;
	for (uint64 i = 0; i < PAGES_MAX; i++)
		m->died[i] = live[i] ? 0 : expected_died(m, i, birth);
	memcpy(m->before, m->now, sizeof(m->now));
	memcpy(m->now, live, sizeof(live));
	m->older_cut = m->cut;
	m->cut = birth;
	m->any_failed = false;
	for (uint64 i = 0; i < m->space.page_count; i++)
		sum[0] += live[i];
	assert_int_equal(sum[0] + sum[1], m->space.page_count);
}

static void
test_random(void **state)
{
	(void) state;
	for (int round = 0; round < 150 * unit_factor(); round++)
	{
		uint32		takes = unit_random() % 4 == 0 ? 0 : (uint32) (unit_random() % 300);

		attempt(&model, takes, round % 20 == 19 ? 90 : (uint32) (unit_random() % 30), round % 2 == 0);
		if (unit_random() % 5 == 0)
			reopen(&model);
	}
}

/* the same with snapshots: what they read stays, and comes back when they are closed or after a restart */
static void
test_pinned(void **state)
{
	model.pinning = true;
	test_random(state);
	assert_true(model.kept > 100);
	model.pinning = false;
	for (int i = 0; i < PINS; i++)
		model.pin[i].cut = LSN_NONE;
	for (int i = 0; i < 20; i++)
		attempt(&model, 1, 0, false);
	for (uint64 i = 1; i < model.space.page_count; i++)
		if (!model.now[i] && !model.before[i])
			assert_int_equal(model.died[i], 0);
}

/* a map of several pages: every other page dies */
static void
test_long_map(void **state)
{
	(void) state;
	for (int round = 0; round < 6; round++)
	{
		do
			attempt(&model, 5000, 0, false);
		while (model.any_failed);
		do
			attempt(&model, 10, 45, false);
		while (model.any_failed);
		reopen(&model);
	}
	assert_true(model.runs_seen > 3 * BASE_MAP_ENTRIES);
	assert_true(model.map_pages > 3);
}

static uint64
take_some(BaseSpace *s, int n)
{
	uint64		last = 0;

	while (n-- > 0)
		last = base__space_take(s, 1);
	return last;
}

static void
commit(BaseSpace *s, uint64 **pages)
{
	uint64		twice;
	uint32		count;

	assert_true(base__space_plan(s, pages, &count, &twice));
	base__space_commit(s, false);
	free(*pages);
	*pages = NULL;
}

/* freed pages come back two commits later, lowest first, and the tail is cut off */
static void
test_rule(void **state)
{
	BaseSpace  *s = &model.space;
	uint64	   *pages;

	(void) state;
	base__space_begin(s, 200, LSN_NONE);
	assert_int_equal(take_some(s, 10), 10);
	commit(s, &pages);
	assert_int_equal(s->page_count, 11);
	assert_int_equal(s->map.count, 0);
	base__space_begin(s, 300, LSN_NONE);
	assert_true(base__space_dead(s, 2, 3));
	assert_true(base__space_dead(s, 9, 2));
	assert_int_equal(take_some(s, 1), 11);	/* nothing is free yet; the map goes to 12 */
	commit(s, &pages);
	assert_int_equal(s->page_count, 13);
	base__space_begin(s, 400, LSN_NONE);
	assert_int_equal(take_some(s, 1), 13);	/* the slot before reaches 2, 3, 4, 9, 10 */
	assert_true(base__space_dead(s, 12, 1));
	commit(s, &pages);
	base__space_begin(s, 500, LSN_NONE);
	assert_int_equal(base__space_take(s, 2), 2);
	assert_int_equal(base__space_take(s, 1), 4);
	assert_int_equal(base__space_take_below(s, 2, 10), 0);	/* 9 and 10: too far up */
	assert_int_equal(base__space_take_below(s, 2, 11), 9);
	base__space_abandon(s, false);
	base__space_begin(s, 600, LSN_NONE);				/* 2, 3, 4, 9 and 10 are left alone once */
	assert_int_equal(base__space_take(s, 1), 15);
	base__space_abandon(s, false);
	base__space_begin(s, 700, LSN_NONE);
	assert_int_equal(base__space_take(s, 1), 2);
	base__space_abandon(s, true);
	base__space_begin(s, 800, LSN_NONE);				/* a full disk: others first, but before the file grows */
	assert_int_equal(base__space_take(s, 1), 3);
	assert_int_equal(base__space_take(s, 1), 4);
	assert_int_equal(base__space_take(s, 1), 9);
	assert_int_equal(base__space_take(s, 1), 10);
	assert_int_equal(base__space_take(s, 1), 2);
	assert_int_equal(base__space_take(s, 1), 15);
	/* all but the first pages die: two commits later the file ends behind them */
	assert_true(base__space_dead(s, 5, 4));
	assert_true(base__space_dead(s, 11, 1));
	assert_true(base__space_dead(s, 13, 2));
	base__space_give(s, 10);
	base__space_give(s, 15);
	commit(s, &pages);
	assert_int_equal(s->page_count, 17);	/* the map: what was given back is not taken again at once */
	base__space_begin(s, 900, LSN_NONE);
	assert_true(base__space_dead(s, 16, 1));
	commit(s, &pages);						/* to 10 */
	assert_int_equal(s->page_count, 17);
	base__space_begin(s, 1000, LSN_NONE);
	assert_true(base__space_dead(s, 10, 1));
	commit(s, &pages);						/* to 5 */
	assert_int_equal(s->page_count, 11);
	assert_int_equal(s->map.at[s->map.count - 1].died, 1000);
}

/*
 * As many runs as the map's pages have entries, nearly: taking a page for the map
 * cuts a run of the new map in two (its first pages have just become free, and may
 * not be written yet), which makes one entry more.
 */
static void
test_map_edge(void **state)
{
	(void) state;
	for (uint64 runs = BASE_MAP_ENTRIES - 3; runs <= BASE_MAP_ENTRIES + 3; runs++)
	{
		BaseRuns	map = {0};
		BaseSpace  *s = &model.space;
		uint64	   *pages;
		uint32		count;
		uint64		twice;

		for (uint64 i = 0; i < runs; i++)
		{
			base__runs_add(&map, 10 + i * 10, 2, 200);
			base__runs_add(&map, 12 + i * 10, 2, 0);
		}
		base__space_close(s);
		memset(s, 0, sizeof(*s));
		base__space_open(s, &map, 10 + runs * 10, 200, 100);
		base__space_begin(s, 300, LSN_NONE);
		assert_true(base__space_plan(s, &pages, &count, &twice));
		assert_int_equal(pages[0], 12);
		assert_int_equal(s->next.count, runs + (count == 1));	/* with two, 12 and 13 are gone */
		assert_int_equal(count, runs + 2 <= BASE_MAP_ENTRIES ? 1 : 2);
		base__space_commit(s, false);
		free(pages);
	}
}

/* relocation's question: from where on are there so many live pages, with as many places to go to? */
static void
test_tail(void **state)
{
	BaseSpace  *s = &model.space;
	uint64	   *pages;
	uint64		live;

	(void) state;
	base__space_begin(s, 200, LSN_NONE);
	(void) base__space_take(s, 100);
	commit(s, &pages);
	base__space_begin(s, 300, LSN_NONE);
	assert_true(base__space_dead(s, 10, 30));			/* live: 0-9, 40-100, then the map, 101 */
	commit(s, &pages);
	base__space_begin(s, 400, LSN_NONE);
	assert_int_equal(base__space_tail(s, 5, &live), 102);	/* nowhere to go to yet */
	assert_int_equal(live, 0);
	assert_true(base__space_dead(s, 101, 1));
	commit(s, &pages);						/* 102 */
	base__space_begin(s, 500, LSN_NONE);
	assert_int_equal(base__space_tail(s, 1, &live), 102);
	assert_int_equal(live, 1);
	assert_int_equal(base__space_tail(s, 2, &live), 100);
	assert_int_equal(live, 2);
	assert_int_equal(base__space_tail(s, 20, &live), 82);
	assert_int_equal(live, 20);
	assert_int_equal(base__space_tail(s, 1000, &live), 72);	/* 30 places */
	assert_int_equal(live, 30);
	assert_true(base__space_dead(s, 51, 40));
	commit(s, &pages);						/* 10: live are 0-10, 40-50, 91-100, 102 */
	base__space_begin(s, 600, LSN_NONE);
	assert_true(base__space_dead(s, 10, 1));
	commit(s, &pages);						/* 11 */
	base__space_begin(s, 700, LSN_NONE);
	assert_int_equal(base__space_tail(s, 1000, &live), 40);	/* before them there are fewer places than there */
	assert_int_equal(live, 22);
	base__space_abandon(s, false);
}

/* a page that died twice, one that is free already, and some that there are not: told, not believed */
static void
test_damage(void **state)
{
	BaseSpace  *s = &model.space;
	uint64	   *pages;
	uint64		twice;
	uint32		count;

	(void) state;
	base__space_begin(s, 200, LSN_NONE);
	(void) take_some(s, 50);
	commit(s, &pages);
	base__space_begin(s, 300, LSN_NONE);
	assert_true(base__space_dead(s, 20, 5));
	commit(s, &pages);
	for (int i = 0; i < 3; i++)
	{
		base__space_begin(s, 400, LSN_NONE);
		assert_false(base__space_dead(s, 0, 1));
		assert_false(base__space_dead(s, s->page_count, 1));
		assert_false(base__space_dead(s, s->page_count - 1, 2));
		assert_false(base__space_dead(s, 1, UINT64_MAX));
		assert_true(base__space_dead(s, 40, 1));
		if (i > 0)
			assert_true(base__space_dead(s, i == 1 ? 40 : 22, 1));
		assert_int_equal(base__space_plan(s, &pages, &count, &twice), i == 0);
		if (i > 0)
			assert_int_equal(twice, i == 1 ? 40 : 22);
		base__space_abandon(s, false);
		free(pages);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rule, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map_edge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pinned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_map, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
