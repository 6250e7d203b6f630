/*
 * base_merge.c -- the copy-on-write tree: random merges against an oracle over many
 * checkpoints, re-opened in between; after each the whole file is looked at: tree,
 * order, values, the free map page by page, and that no page of a root in either
 * control slot was touched.  Then failures: the n-th write for every n, bad pages,
 * giving up, dying at fault points; growing and shrinking; what gets rewritten.
 */
#include "unit_base.h"

#include "utils/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* World -- a data file and what it should hold */
typedef struct World
{
	BaseWriter *w;
	BaseState	state;
	BaseState	older_state;
	Lsn			cut;
	Lsn			older_cut;
	Lsn			birth;			/* of the last attempt */
	UnitKeys	keys;
	UnitPages	pages;			/* of the root in force */
	UnitPages	older;			/* of the one before */
	UnitShape	shape;
	BaseReport	report;
	uint32		levels_seen;
	uint64		pages_seen;
} World;

static World world;

static void
world_open(World *v)
{
	v->w = base_writer_open(unit_dir, UNIT_SYSTEM_ID, &v->state, v->cut, v->older_cut);
}

static bool alike;				/* numbered keys have 2,000 bytes in common: an inner page is full of what follows only as long as all of its keys have them */
static bool wide;				/* numbered keys are long and share much with few others: few children to a page */

static int
setup(void **state)
{
	(void) state;
	unit_dir_make();
#ifdef ARTERY_FAULTS
	file__fault_arm("");
#endif
	wide = alike = false;
	set_checkpoint_batch_pages = 8;
	set_io_depth = 16;
	memset(&world, 0, sizeof(world));
	world.cut = world.older_cut = world.birth = 1000;
	world.state.page_count = world.state.live_pages = 1;
	base_create(unit_dir, UNIT_SYSTEM_ID);
	world_open(&world);
	return 0;
}

static int
setup_uring(void **state)
{
	set_io_method = IO_METHOD_IO_URING;
	return setup(state);
}

static int
setup_sync(void **state)
{
	set_io_method = IO_METHOD_SYNC;
	return setup(state);
}

static int
teardown(void **state)
{
	(void) state;
#ifdef ARTERY_FAULTS
	file__fault_arm("");
#endif
	base_writer_close(world.w);
	unit_keys_free(&world.keys);
	unit_pages_free(&world.pages);
	unit_pages_free(&world.older);
	unit_dir_remove();
	return 0;
}

/* commit -- sync, and as if the control slot had been written. */
static void
commit(World *v, const BaseState *now)
{
	UnitPages	t;

	assert_int_equal(base_sync(v->w), 0);
	unit_pages_same(&v->older);
	unit_pages_same(&v->pages);
	base_merge_commit(v->w);
	v->older_state = v->state;
	v->state = *now;
	v->older_cut = v->cut;
	v->cut = v->birth;
	assert_memory_equal(base_writer_state(v->w), now, sizeof(*now));
	t = v->older;
	v->older = v->pages;
	v->pages = t;
	unit_base_check(&v->state, &v->keys, &v->pages, &v->shape);
	/* what was cut off the file was nobody's; a start could go on from either slot */
	unit_pages_same(&v->older);
	base_check(unit_dir, UNIT_SYSTEM_ID, &v->state);
	base_check(unit_dir, UNIT_SYSTEM_ID, &v->older_state);
}

/* checkpoint -- changes into the oracle and into the base; everything is looked at. */
static void
checkpoint(World *v, const UnitKeys *changes)
{
	UnitSource	u;
	uint64	   *removed = calloc(changes->count + 1, sizeof(*removed));
	BaseSource	source = unit_source(&u, changes, removed);
	BaseState	now;

	v->birth += 1000;
	unit_keys_apply(&v->keys, changes, removed);
	if (!base_merge(v->w, v->birth, &source, &now, &v->report))
		fail_msg("merge failed: %s", v->report.text);
	assert_int_equal(u.next, changes->count);
	assert_int_equal(u.seen, changes->count);
	assert_int_equal(v->report.written, v->report.to_write);
	commit(v, &now);
	assert_int_equal(base_writer_report(v->w)->freed, v->report.to_free);
	free(removed);
}

static void
reopen(World *v)
{
	base_writer_close(v->w);
	world_open(v);
}

/* ---- random ---- */

typedef struct Mode
{
	const char *name;
	uint32		key_min;
	uint32		key_max;
	uint32		alphabet;		/* few letters: long common prefixes */
	uint32		groups;			/* of keys that differ early, and within a group late: few children to a page */
	uint64		value_max;
	uint32		long_values;	/* of 100 */
	uint32		changes;		/* of one checkpoint, at most */
	uint32		rounds;
} Mode;

static const Mode modes[] = {
	{"tiny keys", 4, 8, 256, 0, 40, 0, 6000, 20},
	{"dense keys", 4, 14, 4, 0, 200, 1, 4000, 20},
	{"long keys", 4, BASE_KEY_MAX, 2, 0, 300, 2, 300, 18},
	{"long keys, same beginning", 4000, BASE_KEY_MAX, 3, 0, 4200, 10, 300, 18},
	{"long keys in groups", 3000, BASE_KEY_MAX, 8, 60, 900, 1, 400, 24},
	{"large values", 4, 20, 256, 0, 100000, 60, 60, 24},
	{"values around the bound", 4, 30, 16, 0, 4096, 100, 400, 16},
};

static uint32
random_key(const Mode *mode, uint8 *key)
{
	uint32		len = mode->key_min + (uint32) (unit_random() % (mode->key_max - mode->key_min + 1));
	uint32		same = mode->key_min > 1000 ? mode->key_min - 10 : 3;

	if (unit_random() % 4 == 0)
		len = mode->key_min + (uint32) (unit_random() % Min(mode->key_max - mode->key_min + 1, 8));
	memset(key, 'k', len);
	key[3] = (uint8) (unit_random() % 3);	/* as if there were three trees */
	if (mode->groups > 0)
		key[4] = (uint8) (unit_random() % mode->groups);
	for (uint32 i = Min(Max(same, 4), len); i < len; i++)
	{
		key[i] = (uint8) (unit_random() % mode->alphabet);
		if (unit_random() % 8 == 0)
			i += (uint32) (unit_random() % 200);	/* runs of one letter */
	}
	return len;
}

static UnitKeys
random_changes(World *v, const Mode *mode, uint32 count, uint32 removals)
{
	UnitKeys	changes = {0};
	uint8		key[BASE_KEY_MAX];

	for (uint32 i = 0; i < count; i++)
	{
		uint32		len = random_key(mode, key);
		uint64		value_len = unit_random() % (Min(mode->value_max, 300) + 1);

		if (v->keys.count > 0 && unit_random() % 100 < 20 + removals)
		{
			const UnitKey *k = &v->keys.at[unit_random() % v->keys.count];

			len = k->len;
			memcpy(key, k->key, len);
		}
		if (unit_random() % 100 < mode->long_values)
			value_len = unit_random() % 4 != 0 ? unit_random() % (mode->value_max + 1) : 4090 + unit_random() % 12;
		if (unit_random() % 100 < removals)
			(void) unit_keys_set(&changes, key, len, 0, 0, 0);
		else
			(void) unit_keys_set(&changes, key, len, v->cut + 1 + unit_random() % 999,
								 unit_random() % 3 == 0 ? 1 + unit_random() : 0, value_len);
	}
	return changes;
}

/* add_prefix -- a prefix removal, and no other change below it. */
static void
add_prefix(UnitKeys *changes, const uint8 *prefix, uint32 len)
{
	bool		exact;
	size_t		at = unit_keys_find(changes, prefix, len, &exact);

	while (at < changes->count && changes->at[at].len >= len && memcmp(changes->at[at].key, prefix, len) == 0)
		unit_keys_remove(changes, at);
	unit_keys_set(changes, prefix, len, 0, 0, 0)->prefix = true;
}

/* prefix_len -- of a key at hand: mostly long, so that little goes, now and then a whole tree. */
static uint32
prefix_len(const UnitKey *k)
{
	uint32		rest = k->len - 4;

	if (unit_random() % 12 == 0)
		return 4;
	return 4 + rest - (uint32) (unit_random() % (Min(rest, 1 + unit_random() % 3) + 1));
}

/* random_run -- the tree grows, then holds its size, then shrinks. */
static void
random_run(const Mode *mode)
{
	World	   *v = &world;
	uint32		rounds = mode->rounds * (uint32) unit_factor();

	for (uint32 round = 0; round < rounds; round++)
	{
		uint32		third = round * 3 / rounds;
		uint32		removals = third == 0 ? 5 : third == 1 ? 40 : 75;
		uint32		count = unit_random() % 6 == 0 ? (uint32) (unit_random() % 4)
			: (uint32) (unit_random() % mode->changes);
		UnitKeys	changes = random_changes(v, mode, count, removals);

		for (uint64 i = unit_random() % 4; i > 0 && v->keys.count > 0 && third > 0; i--)
		{
			const UnitKey *k = &v->keys.at[unit_random() % v->keys.count];

			add_prefix(&changes, k->key, prefix_len(k));
		}
		checkpoint(v, &changes);
		unit_keys_free(&changes);
		v->levels_seen = Max(v->levels_seen, v->state.levels);
		v->pages_seen = Max(v->pages_seen, v->state.page_count);
		if (unit_random() % 4 == 0)
			reopen(v);
	}
}

static void
test_random(void **state)
{
	(void) state;
	for (size_t i = 0; i < lengthof(modes); i++)
	{
		random_run(&modes[i]);
		print_message("# %s: up to %u levels and %llu pages; at the end %zu keys on %llu pages, %llu live\n",
					  modes[i].name, world.levels_seen, (unsigned long long) world.pages_seen, world.keys.count,
					  (unsigned long long) world.state.page_count, (unsigned long long) world.state.live_pages);
		(void) teardown(NULL);
		(void) setup(NULL);
	}
}

/* ---- failures ---- */

/* attempt -- a merge of these changes that may fail; nothing is committed. */
static bool
attempt(World *v, const UnitKeys *changes, BaseState *now)
{
	UnitSource	u;
	BaseSource	source = unit_source(&u, changes, NULL);

	v->birth += 1000;
	return base_merge(v->w, v->birth, &source, now, &v->report);
}

/* untouched -- the roots in both slots are what they were, every byte. */
static void
untouched(World *v)
{
	unit_pages_same(&v->pages);
	unit_pages_same(&v->older);
	assert_memory_equal(base_writer_state(v->w), &v->state, sizeof(v->state));
}

/* numbered_key -- into 'to' (BASE_KEY_MAX bytes); its length.  Three wide ones each differ in the last of 1000 bytes only. */
static uint32
numbered_key(uint64 i, char *to)
{
	if (alike)
	{
		memset(to, 'p', 2004);
		memcpy(to, "\0\0\0\1", 4);
		(void) snprintf(to + 2004, 6, "%05llu", (unsigned long long) i / 12);
		memset(to + 2009, 'y', 700);
		(void) snprintf(to + 2709, 3, "%02llu", (unsigned long long) i % 12);
		return 2711;
	}
	if (!wide)
		return (uint32) snprintf(to, BASE_KEY_MAX, "%c%c%c%ckey:%08llu", 0, 0, 0, 1, (unsigned long long) i);
	memset(to, 'x', 1000);
	(void) snprintf(to, 13, "%c%c%c%c%08llu", 0, 0, 0, 1, (unsigned long long) i / 3);
	to[12] = 'x';
	to[999] = (char) ('0' + i % 3);
	return 1000;
}

static UnitKeys
numbered(uint64 from, uint64 to, uint64 step, Lsn lsn, uint64 value_len)
{
	UnitKeys	keys = {0};

	for (uint64 i = from; i < to; i += step)
	{
		char		key[BASE_KEY_MAX];

		(void) unit_keys_set(&keys, key, numbered_key(i, key), lsn, 0, value_len);
	}
	return keys;
}

static void
numbered_checkpoint(World *v, uint64 from, uint64 to, uint64 step, bool put, uint64 value_len)
{
	UnitKeys	changes = numbered(from, to, step, put ? v->cut + 500 : 0, value_len);

	checkpoint(v, &changes);
	unit_keys_free(&changes);
}

/* a tree of some levels with extents, and changes all over it */
static UnitKeys
prepare_failures(World *v)
{
	const Mode *mode = &modes[4];
	UnitKeys	changes;

	for (int i = 0; i < 3; i++)
	{
		changes = random_changes(v, mode, 120, 10);
		checkpoint(v, &changes);
		unit_keys_free(&changes);
	}
	changes = random_changes(v, mode, 40, 30);
	(void) unit_keys_set(&changes, "kkk\2long", 8, v->cut + 1, 0, 50000);
	return changes;
}

#ifdef ARTERY_FAULTS
/*
 * The n-th write fails, for every n until one attempt has fewer.  Each time: the
 * error by name, both roots untouched, and the next attempt takes other places.
 */
static void
test_nth_write_fails(void **state)
{
	static const struct
	{
		const char *action;
		int			error;
	} faults[] = {{"file-write@data/base:eio", EIO}, {"file-write-done@data/base:eio", EIO},
				  {"file-write@data/base:enospc", ENOSPC}, {"file-write-done@data/base:enospc", ENOSPC}};
	World	   *v = &world;
	UnitKeys	changes = prepare_failures(v);
	BaseState	now;

	(void) state;
	for (size_t f = 0; f < lengthof(faults); f++)
		for (uint64 n = 1;; n++)
		{
			char		fault[80];
			BaseRuns	taken;
			uint64		page_count;

			snprintf(fault, sizeof(fault), "%s:%llu", faults[f].action, (unsigned long long) n);
			file__fault_arm(fault);
			if (attempt(v, &changes, &now))
			{
				base_merge_abandon(v->w);
				assert_true(n > 5);
				break;
			}
			file__fault_arm("");
			assert_int_equal(v->report.error, faults[f].error);
			assert_non_null(strstr(v->report.text, "could not write page "));
			assert_int_equal(v->report.written, 0);
			untouched(v);
			/* the next one succeeds, elsewhere: given up again before its commit, so that it can be repeated */
			taken = v->w->space.avoid;
			memset(&v->w->space.avoid, 0, sizeof(v->w->space.avoid));
			for (size_t i = 0; i < taken.count; i++)
				base__runs_add(&v->w->space.avoid, taken.at[i].first, taken.at[i].count, 0);
			page_count = v->w->space.page_count;
			assert_true(attempt(v, &changes, &now));
			for (size_t i = 0; faults[f].error == EIO && i < taken.count; i++)
				for (size_t j = 0; j < v->w->space.taken.count; j++)
				{
					const BaseRun *a = &taken.at[i];
					const BaseRun *b = &v->w->space.taken.at[j];

					assert_true(a->first + a->count <= b->first || b->first + b->count <= a->first);
				}
			assert_true(v->w->space.page_count == page_count);
			base_merge_abandon(v->w);
			base__runs_free(&taken);
			untouched(v);
		}
	/* and in the end it is done */
	file__fault_arm("");
	checkpoint(v, &changes);
	unit_keys_free(&changes);
}

/* the n-th read of an old page fails, for every n */
static void
test_nth_read_fails(void **state)
{
	World	   *v = &world;
	UnitKeys	changes = prepare_failures(v);
	BaseState	now;
	uint64		n;

	(void) state;
	for (n = 1;; n++)
	{
		char		fault[80];

		snprintf(fault, sizeof(fault), "file-read%s@data/base:eio:%llu", n % 2 ? "" : "-done", (unsigned long long) n);
		file__fault_arm(fault);
		if (attempt(v, &changes, &now))
			break;
		assert_int_equal(v->report.error, EIO);
		assert_non_null(strstr(v->report.text, "could not read page "));
		file__fault_arm("");
		untouched(v);
	}
	assert_true(n > 5);
	base_merge_abandon(v->w);
	file__fault_arm("");
	checkpoint(v, &changes);
	unit_keys_free(&changes);
}

/* shorts, EINTR, EAGAIN: nobody sees anything of them */
static void
test_shorts(void **state)
{
	World	   *v = &world;
	UnitKeys	changes = prepare_failures(v);

	(void) state;
	file__fault_arm("file-write-done@data/base:short:1:0,file-read-done@data/base:short:1:0,"
					"file-write@data/base:eintr:5:3,file-read@data/base:eagain:4:3");
	checkpoint(v, &changes);
	unit_keys_free(&changes);
}

/* the sync fails: all of it again, elsewhere */
static void
test_sync_fails(void **state)
{
	World	   *v = &world;
	UnitKeys	changes = prepare_failures(v);
	BaseState	now;
	BaseRuns	taken;

	(void) state;
	assert_true(attempt(v, &changes, &now));
	file__fault_arm("file-datasync@data/base:eio");
	assert_int_equal(base_sync(v->w), EIO);
	file__fault_arm("");
	base_merge_abandon(v->w);
	untouched(v);
	taken = v->w->space.avoid;
	assert_true(taken.count > 0 && v->w->space.avoid_firmly);
	checkpoint(v, &changes);
	unit_keys_free(&changes);
}

/* a full disk: the next attempt does not make the file longer than the failed one would have */
static void
test_full_disk(void **state)
{
	World	   *v = &world;
	UnitKeys	changes = prepare_failures(v);
	BaseState	now;
	uint64		end = 0;

	(void) state;
	for (int i = 1; i <= 6; i++)
	{
		file__fault_arm("file-write-done@data/base:enospc:6");
		assert_false(attempt(v, &changes, &now));
		assert_int_equal(v->report.error, ENOSPC);
	}
	file__fault_arm("");
	assert_true(attempt(v, &changes, &now));
	end = v->w->space.end;
	base_merge_abandon(v->w);
	v->w->space.avoid.count = 0;
	assert_true(attempt(v, &changes, &now));
	assert_int_equal(v->w->space.end, end);
	base_merge_abandon(v->w);
	checkpoint(v, &changes);
	unit_keys_free(&changes);
}

/* ---- dying ---- */

typedef struct Death
{
	World	   *world;
	const UnitKeys *changes;
	const char *fault;
} Death;

static void
die(void *arg)
{
	Death	   *d = arg;
	BaseState	now;

	world_open(d->world);
	file__fault_arm(d->fault);
	if (!attempt(d->world, d->changes, &now) || base_sync(d->world->w) != 0)
		_exit(9);
	base_merge_commit(d->world->w);
}

/* at every fault point of the writer: the roots in the slots are untouched, a successor gets the lock and goes on */
static void
test_death(void **state)
{
	static const char *const points[] = {"base-before-batch:kill:1", "base-before-batch:kill:2", "base-before-batch:kill:4",
		"base-batch-written:kill:1", "base-batch-written:kill:3", "base-map-written:kill", "base-before-sync:kill",
		"base-after-sync:kill"};
	World	   *v = &world;
	UnitKeys	changes = prepare_failures(v);

	(void) state;
	for (size_t i = 0; i < lengthof(points); i++)
	{
		UnitChild	c;
		Death		d = {v, &changes, points[i]};

		base_writer_close(v->w);
		unit_child(&c, die, &d);
		if (!unit_signaled(&c, SIGKILL))
			fail_msg("%s: status %d\n%s", points[i], c.status, c.err);
		world_open(v);
		untouched(v);
		unit_base_check(&v->state, &v->keys, NULL, NULL);
	}
	checkpoint(v, &changes);
	unit_keys_free(&changes);
}

/* between the commit and the shortening of the file: it is longer than it says, and is shortened later */
static void
test_death_before_truncate(void **state)
{
	World	   *v = &world;
	UnitKeys	none = {0};
	Death		d = {v, &none, "base-before-truncate:kill"};
	BaseState	now;
	UnitChild	c;
	struct stat st;
	uint64		size = 0;

	(void) state;
	numbered_checkpoint(v, 0, 3000, 1, true, 300);
	numbered_checkpoint(v, 1, 3000, 1, false, 0);
	for (int i = 0; i < 10; i++)	/* what is left goes to the file's begin, the tail is cut off ... */
	{
		numbered_checkpoint(v, 0, 1, 1, true, 300);
		assert_int_equal(stat(unit_path("data/base"), &st), 0);
		size = (uint64) st.st_size / BASE_PAGE_SIZE;
		if (size > v->state.page_count)
			break;
	}
	assert_true(size > v->state.page_count);	/* ... of the state, not yet of the file */
	/* in a child and here: the same merge, hence the same state */
	base_writer_close(v->w);
	unit_child(&c, die, &d);
	assert_true(unit_signaled(&c, SIGKILL));
	world_open(v);
	assert_int_equal(stat(unit_path("data/base"), &st), 0);
	assert_int_equal((uint64) st.st_size / BASE_PAGE_SIZE, size);
	assert_true(attempt(v, &none, &now));
	commit(v, &now);
	assert_int_equal(stat(unit_path("data/base"), &st), 0);
	assert_true((uint64) st.st_size / BASE_PAGE_SIZE < size);
}
#endif

/* ---- giving up, and sources that fail ---- */

static void
test_given_up(void **state)
{
	World	   *v = &world;
	UnitKeys	changes = prepare_failures(v);
	UnitSource	u;
	BaseSource	source;
	BaseState	now;

	(void) state;
	for (uint64 n = 1;; n++)
	{
		source = unit_source(&u, &changes, NULL);
		u.give_up_at = n;
		v->birth += 1000;
		if (base_merge(v->w, v->birth, &source, &now, &v->report))
		{
			assert_true(n > 3);
			break;
		}
		assert_int_equal(v->report.error, ECANCELED);
		untouched(v);
	}
	base_merge_abandon(v->w);
	/* a long value that cannot be had */
	source = unit_source(&u, &changes, NULL);
	for (u.value_fails_at = 1; changes.at[u.value_fails_at - 1].value_len <= BASE_INLINE_MAX;)
		u.value_fails_at++;
	v->birth += 1000;
	assert_false(base_merge(v->w, v->birth, &source, &now, &v->report));
	assert_non_null(strstr(v->report.text, "could not be had"));
	untouched(v);
	checkpoint(v, &changes);
	unit_keys_free(&changes);
}

/* a bad page on the way: it is named; changes that lead past it succeed */
static void
test_bad_page(void **state)
{
	World	   *v = &world;
	UnitKeys	changes;
	BaseState	now;
	uint64		bad;
	uint8		byte = 0x5A;
	int			fd;
	char		text[64];

	(void) state;
	numbered_checkpoint(v, 0, 5000, 1, true, 200);
	assert_int_equal(v->state.levels, 2);
	bad = v->pages.number[2];		/* root, first leaf, second leaf */
	fd = open(unit_path("data/base"), O_WRONLY);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t) (bad * BASE_PAGE_SIZE + 9000)), 1);
	assert_int_equal(close(fd), 0);
	changes = numbered(0, 5000, 700, v->cut + 1, 10);
	assert_true(attempt(v, &changes, &now));	/* 0, 700, 1400 ...: not the second leaf */
	base_merge_abandon(v->w);
	unit_keys_free(&changes);
	changes = numbered(0, 200, 1, v->cut + 1, 10);
	assert_false(attempt(v, &changes, &now));
	assert_int_equal(v->report.error, EIO);
	snprintf(text, sizeof(text), "page %llu of data/base: checksum ", (unsigned long long) bad);
	if (strstr(v->report.text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, v->report.text);
	unit_keys_free(&changes);
	/* a page that is whole, but another one */
	v->w->state.root = (BaseRef) {v->pages.number[1], v->state.root.birth};
	changes = numbered(0, 1, 1, v->cut + 1, 10);
	assert_false(attempt(v, &changes, &now));
	assert_non_null(strstr(v->report.text, "kind 1, expected 2"));
	v->w->state.root = (BaseRef) {v->state.root.number, v->state.root.birth - 1};
	assert_false(attempt(v, &changes, &now));
	assert_non_null(strstr(v->report.text, "birth "));
	v->w->state.root = (BaseRef) {1000000, v->state.root.birth};
	assert_false(attempt(v, &changes, &now));
	assert_non_null(strstr(v->report.text, "page 1000000 of data/base: the file ends before it"));
	unit_keys_free(&changes);
}

/* ---- what is written, and what is not ---- */

static void
test_only_affected(void **state)
{
	World	   *v = &world;
	UnitKeys	none = {0};
	UnitKeys	absent;
	BaseState	before;

	(void) state;
	numbered_checkpoint(v, 0, 20000, 2, true, 200);
	assert_int_equal(v->state.levels, 2);
	assert_true(v->state.live_pages > 100);
	/* one key: leaf, root, map */
	numbered_checkpoint(v, 5000, 5001, 1, true, 100);
	assert_int_equal(v->report.to_write, 3);
	assert_int_equal(v->report.to_free, 2);
	assert_int_equal(v->report.reads, 2);
	/* keys that are not there, removed: nothing, but the map that gets rid of what was set aside */
	absent = numbered(1, 20001, 2, 0, 0);
	before = v->state;
	checkpoint(v, &absent);
	assert_memory_equal(&before.root, &v->state.root, sizeof(before.root));
	assert_true(v->report.to_write <= 1);
	before = v->state;
	checkpoint(v, &absent);
	assert_memory_equal(&before, &v->state, sizeof(before));
	assert_int_equal(v->report.to_write, 0);
	unit_keys_free(&absent);
	/* no change at all: nothing is even read */
	checkpoint(v, &none);
	assert_int_equal(v->report.to_write, 0);
	assert_memory_equal(&before, &v->state, sizeof(before));
	reopen(v);
	/* every key: every page */
	numbered_checkpoint(v, 0, 20000, 2, true, 200);
	assert_true(v->report.to_free >= before.live_pages - 2);
	assert_true(v->report.to_write <= before.live_pages + before.live_pages / 8);
}

/* long values that nobody has changed stay where they are, whatever happens to their leaf */
static void
test_extents_stay(void **state)
{
	World	   *v = &world;

	(void) state;
	numbered_checkpoint(v, 0, 100, 1, true, 100000);	/* seven pages each */
	assert_int_equal(v->shape.extents, 100);
	assert_true(v->report.to_write >= 700);
	numbered_checkpoint(v, 1, 100, 10, true, 30);
	assert_int_equal(v->shape.extents, 90);
	assert_true(v->report.to_write < 10);
	assert_true(v->report.to_free >= 70 && v->report.to_free < 80);
	numbered_checkpoint(v, 2, 100, 10, false, 0);
	assert_int_equal(v->shape.extents, 80);
	assert_true(v->report.to_write < 10);
	numbered_checkpoint(v, 100, 101, 1, true, 64 * MIB);	/* the largest value there is */
	assert_int_equal(v->shape.extent_pages, 80 * 7 + base_extent_pages(64 * MIB));
}

/* keys that only grow fill their pages; random ones leave them half full at least */
static void
test_fill(void **state)
{
	World	   *v = &world;
	UnitKeys	changes = {0};

	(void) state;
	for (uint64 i = 0; i < 12; i++)
		numbered_checkpoint(v, i * 1000, i * 1000 + 1000, 1, true, 50);
	assert_true(v->shape.bytes[0] * 100 / (v->shape.pages[0] * BASE_PAGE_SIZE) >= 95);
	for (int i = 0; i < 16; i++)
	{
		for (int j = 0; j < 500; j++)
		{
			uint64		key = unit_random();

			(void) unit_keys_set(&changes, &key, sizeof(key), v->cut + 1, 0, 40);
		}
		checkpoint(v, &changes);
		unit_keys_free(&changes);
	}
	assert_true(v->shape.bytes[0] * 100 / (v->shape.pages[0] * BASE_PAGE_SIZE) >= 55);
	/* nine of ten go: what is left is put together */
	for (size_t i = 0; i < v->keys.count; i++)
		if (unit_random() % 10 != 0)
			(void) unit_keys_set(&changes, v->keys.at[i].key, v->keys.at[i].len, 0, 0, 0);
	checkpoint(v, &changes);
	unit_keys_free(&changes);
	assert_true(v->shape.bytes[0] * 100 / (v->shape.pages[0] * BASE_PAGE_SIZE) >= 40);
	/* all go */
	for (size_t i = 0; i < v->keys.count; i++)
		(void) unit_keys_set(&changes, v->keys.at[i].key, v->keys.at[i].len, 0, 0, 0);
	checkpoint(v, &changes);
	unit_keys_free(&changes);
	assert_int_equal(v->state.levels, 0);
	assert_int_equal(v->state.root.number, 0);
	numbered_checkpoint(v, 0, 10, 1, true, 50);
	assert_int_equal(v->state.levels, 1);
}

/* leaves that lose nearly all join their neighbours, in the middle and at the end of a parent */
static void
test_small_pages(void **state)
{
	World	   *v = &world;

	(void) state;
	wide = true;
	numbered_checkpoint(v, 0, 1000, 1, true, 3000);
	assert_true(v->state.levels >= 3);
	assert_int_equal(v->shape.small[0], 0);
	for (uint64 i = 0; i < 60; i++)
	{
		uint64		from = unit_random() % 990;
		uint64		to = from + 1 + unit_random() % 10;

		numbered_checkpoint(v, from, to, 1, false, 0);
		assert_int_equal(v->shape.small[0], 0);
	}
}

/* deleting 90 %: the file stops growing, and after some more checkpoints is shorter than twice what lives */
static void
shrink_run(World *v, uint64 keys, uint64 value_len)
{
	UnitKeys	none = {0};
	uint64		most,
				grown;
	uint64		relocated = 0;
	struct stat st;

	for (uint64 i = 0; i < 4; i++)
		numbered_checkpoint(v, i * keys / 4, (i + 1) * keys / 4, 1, true, value_len);
	for (uint64 i = 0; i < 10; i++)		/* scattered all over the file */
		numbered_checkpoint(v, i, keys, 10, true, value_len);
	most = v->state.page_count;
	for (uint64 i = 0; i < 9; i++)		/* what was written last, hence far behind, stays */
		numbered_checkpoint(v, i, keys, 10, false, 0);
	for (int i = 0; i < 3; i++)		/* in a hurry nothing is moved */
	{
		UnitSource	u;
		BaseSource	source = unit_source(&u, &none, NULL);
		BaseState	now;

		source.hurry = true;
		v->birth += 1000;
		assert_true(base_merge(v->w, v->birth, &source, &now, &v->report));
		assert_int_equal(v->report.relocated, 0);
		if (i < 2)
			base_merge_abandon(v->w);
		else
			commit(v, &now);
	}
	grown = v->state.page_count + 2;	/* a map page or two, before the first places are free again */
	assert_true(grown <= most + most / 4);
	for (int i = 0; i < 3; i++)
	{
		checkpoint(v, &none);
		assert_true(v->state.page_count <= grown);
		relocated += v->report.relocated;
	}
	for (int i = 0; i < 20; i++)
	{
		checkpoint(v, &none);
		assert_true(v->report.relocated <= v->state.live_pages / 8 + 64 + v->state.live_pages / 16);
		relocated += v->report.relocated;
		if (i % 7 == 0)
			reopen(v);
	}
	print_message("# %llu pages, %llu relocated, at the end %llu of which %llu live\n", (unsigned long long) grown,
				  (unsigned long long) relocated, (unsigned long long) v->state.page_count,
				  (unsigned long long) v->state.live_pages);
	assert_true(v->state.page_count <= Max(2 * v->state.live_pages + v->state.live_pages / 4 + 8, 256));
	assert_int_equal(stat(unit_path("data/base"), &st), 0);
	assert_true(relocated > 0);
	assert_true((uint64) st.st_size <= (v->state.page_count + v->state.page_count / 8 + 8) * BASE_PAGE_SIZE);
}

/*
 * Inner pages whose keys have 2,000 bytes in common: full ones that do not fit any
 * more once they are known under a short key, as the first of a scope is.  Holes at
 * the begin and in the middle make such first ones, and small last ones beside them.
 */
static void
test_long_prefixes(void **state)
{
	World	   *v = &world;

	(void) state;
	alike = true;
	numbered_checkpoint(v, 0, 1500, 1, true, 4096);
	assert_int_equal(v->state.levels, 4);
	/* the first child of the first inner page of level 2 goes, the second one stays, little is left of the others */
	for (int round = 0; round < 6; round++)
	{
		uint64		hole = round == 0 ? 21 : 10 + unit_random() % 80;
		uint64		stay = round == 0 ? 99 : hole + 40 + unit_random() % 80;
		uint64		until = round == 0 ? 396 : stay + 100 + unit_random() % 300;
		UnitKeys	changes = numbered(0, hole, 1, 0, 0);

		for (uint64 i = stay; i < until; i++)
		{
			char		key[BASE_KEY_MAX];

			(void) unit_keys_set(&changes, key, numbered_key(i, key), 0, 0, 0);
		}
		checkpoint(v, &changes);
		unit_keys_free(&changes);
		numbered_checkpoint(v, 0, until, 1, true, 4096);
	}
}

static void
test_shrink(void **state)
{
	(void) state;
	shrink_run(&world, 12000, 1000);
}

/* a tree of more levels: inner pages stand in the tail, too */
static void
test_shrink_deep(void **state)
{
	(void) state;
	wide = true;
	shrink_run(&world, 3000, 2000);
	assert_true(world.state.levels >= 3);
}

static void
test_shrink_extents(void **state)
{
	(void) state;
	shrink_run(&world, 600, 40000);
}

/* thousands of changes ahead, large ones among them, batches of one size and another */
static void
test_many(void **state)
{
	World	   *v = &world;
	uint64		live;

	(void) state;
	numbered_checkpoint(v, 0, 30000, 3, true, 3000);
	live = v->state.live_pages;
	numbered_checkpoint(v, 0, 30000, 7, true, 10);
	assert_true(v->report.reads < live);	/* what was read ahead was not read again */
	assert_true(v->report.reads > live / 2);
	numbered_checkpoint(v, 0, 30000, 30, false, 0);
	reopen(v);
	numbered_checkpoint(v, 1, 30000, 90, true, 5000);
	assert_true(v->state.map_pages >= 2);
	set_checkpoint_batch_pages = 128;
	reopen(v);
	numbered_checkpoint(v, 2, 30000, 5, true, 1000);
}

/* prefix removals: whole trees of several levels, with their extents, at the edges and in the middle */
static void
test_prefixes(void **state)
{
	World	   *v = &world;
	UnitKeys	changes = {0};

	(void) state;
	for (uint32 tree = 1; tree <= 5; tree++)
		for (uint32 i = 0; i < 4000; i++)
		{
			uint8		key[12] = {0, 0, 0, (uint8) tree, 'k', (uint8) (i >> 8), (uint8) i};

			(void) unit_keys_set(&changes, key, 12, v->cut + 1, 0, i % 100 == 0 ? 20000 : 100);
		}
	checkpoint(v, &changes);
	unit_keys_free(&changes);
	for (uint32 round = 0; round < 4; round++)
	{
		static const uint8 order[] = {3, 1, 5, 2};
		uint8		key[] = {0, 0, 0, order[round]};
		uint64		reads = v->state.live_pages;

		add_prefix(&changes, key, 4);
		key[3] = 9;
		add_prefix(&changes, key, 4);	/* there is none with it */
		if (round == 1)
			(void) unit_keys_set(&changes, "\0\0\0\4new", 7, v->cut + 1, 0, 10);
		checkpoint(v, &changes);
		assert_true(v->report.reads <= reads);
		unit_keys_free(&changes);
	}
	assert_int_equal(v->keys.count, 4001);
	add_prefix(&changes, (const uint8 *) "\0\0\0\4", 4);
	checkpoint(v, &changes);
	unit_keys_free(&changes);
	assert_int_equal(v->state.levels, 0);
	add_prefix(&changes, (const uint8 *) "\0\0\0\4", 4);	/* from an empty base */
	checkpoint(v, &changes);
	unit_keys_free(&changes);
}

/* the caller knows the count: of a dropped tree only inner pages and leaves with extents are read */
static void
test_prefix_uncounted(void **state)
{
	World	   *v = &world;
	UnitKeys	changes = {0};
	UnitSource	u;
	BaseSource	source;
	BaseState	now;

	(void) state;
	for (uint32 i = 0; i < 12000; i++)
	{
		uint8		key[12] = {0, 0, 0, (uint8) (1 + i / 4000), 'k', (uint8) (i >> 8), (uint8) i};

		(void) unit_keys_set(&changes, key, 12, v->cut + 1, 0, i % 2000 == 700 ? 20000 : 200);
	}
	checkpoint(v, &changes);
	unit_keys_free(&changes);
	add_prefix(&changes, (const uint8 *) "\0\0\0\2", 4);
	unit_keys_apply(&v->keys, &changes, NULL);
	source = unit_source(&u, &changes, NULL);
	source.uncounted = true;
	source.seen = NULL;
	v->birth += 1000;
	assert_true(base_merge(v->w, v->birth, &source, &now, &v->report));
	assert_true(v->report.to_free > 60 && v->report.reads < 12);
	commit(v, &now);
	unit_keys_free(&changes);
}

/* ---- opening ---- */

static void
open_child(void *arg)
{
	World	   *v = arg;

	world_open(v);
}

static void
test_open_refused(void **state)
{
	World	   *v = &world;
	UnitChild	c;
	World		bad;

	(void) state;
	numbered_checkpoint(v, 0, 3000, 1, true, 300);
	numbered_checkpoint(v, 0, 3000, 2, true, 300);
	assert_true(v->state.map_pages > 0);
	base_writer_close(v->w);
	v->w = NULL;
	base_check(unit_dir, UNIT_SYSTEM_ID, &v->state);
#define REFUSED(change, ...) \
	do { \
		bad = *v; \
		change; \
		unit_child(&c, open_child, &bad); \
		unit_assert_fatal(&c, __VA_ARGS__, NULL); \
	} while (0)
	REFUSED(bad.state.page_count += 1000, "is damaged: it ends at offset", "Restore it");
	REFUSED(bad.state.map.birth++, "the free map of data file", "birth ");
	REFUSED(bad.state.map.number++, "the free map of data file");
	REFUSED(bad.state.free_pages++, "do not add up");
	REFUSED(bad.state.map_pages++, "ends too soon");
	REFUSED(bad.state.map_pages = 0, "do not add up");
	REFUSED(bad.state.page_count = bad.state.map.number, "ends too soon");
	REFUSED(bad.state.page_count--, "the free map of data file");
	world_open(v);
	/* the lock: one writer at a time (the second one waits, then gives up; here it is killed while it waits) */
	{
		pid_t		pid = fork();
		int			status;

		if (pid == 0)
		{
			(void) alarm(1);
			world_open(v);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
	}
}

#define ONE(test) cmocka_unit_test_setup_teardown(test, setup_uring, teardown)
#define BOTH(test) cmocka_unit_test_setup_teardown(test, setup_uring, teardown), \
	cmocka_unit_test_setup_teardown(test, setup_sync, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_random),
		ONE(test_only_affected),
		ONE(test_extents_stay),
		ONE(test_fill),
		ONE(test_small_pages),
		ONE(test_long_prefixes),
		ONE(test_shrink),
		ONE(test_shrink_deep),
		ONE(test_shrink_extents),
		BOTH(test_many),
		ONE(test_prefixes),
		ONE(test_prefix_uncounted),
		BOTH(test_given_up),
		ONE(test_bad_page),
		ONE(test_open_refused),
#ifdef ARTERY_FAULTS
		BOTH(test_nth_write_fails),
		BOTH(test_nth_read_fails),
		BOTH(test_shorts),
		BOTH(test_sync_fails),
		ONE(test_full_disk),
		BOTH(test_death),
		BOTH(test_death_before_truncate),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
