/*
 * base_read.c -- reading the base: what a tree of random keys holds is found, key
 * by key and in order in both directions, with the smallest pool, with none, by
 * io_uring and by plain calls; equal misses are read once, here and in other
 * processes; a keep may go away at any time; a bad page is an error for the keys
 * behind it and for nobody else, and a page that was merely freed and written anew
 * is nobody's error.
 *
 * The tree is laid out by hand here (no page of it comes from the code that writes
 * bases), and every answer is compared with the sorted table that it was made of.
 */
#include "unit_wal.h"

#include "access/base/base_read_internal.h"
#include "storage/buffer/buffer_internal.h"
#include "storage/ipc/epoch.h"
#include "utils/clock.h"
#include "utils/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIRTH UINT64_C(0x4000)
#define PAGES_MAX 20000
#define KEYS_MAX 8000
#define PREFIX_COUNT 12
#define SLOTS 8
#define RUNS_MAX 100			/* of one command; a get needs as many as there are levels, and one more */

typedef struct TestKey
{
	uint8	   *bytes;
	uint32		len;
	Lsn			lsn;
	uint64		expiry;
	uint32		value_len;
	uint8	   *value;
	uint32		leaf;			/* page it lies in */
	BaseRef		extent;
} TestKey;

typedef struct TestPage
{
	uint32		parent;			/* page number; 0: root, or an extent's page (then leaf is set) */
	BaseKind	kind;
} TestPage;

static TestKey keys[KEYS_MAX];
static uint32 key_count;
static TestPage pages[PAGES_MAX];
static uint64 page_count;
static BaseRoot root;
static int	base_fd = -1;
static uint64 runs_made;

static const SegmentRegion regions[] = {
	{REGION_PROCS, "procs", proc_region_size, proc_region_init},
	{REGION_EPOCH, "epoch", epoch_region_size, epoch_region_init},
	{REGION_BASE_READ, "base_read", base_read_region_size, base_read_region_init},
};

/* ---- a tree by hand ---- */

static void
write_page(uint64 number, const void *page)
{
	assert_int_equal(pwrite(base_fd, page, BASE_PAGE_SIZE, (off_t) (number * BASE_PAGE_SIZE)), BASE_PAGE_SIZE);
}

static uint32
below(uint32 n)
{
	return (uint32) (unit_random() % n);
}

static int
compare_test_keys(const void *a, const void *b)
{
	const TestKey *x = a;
	const TestKey *y = b;
	int			c = memcmp(x->bytes, y->bytes, Min(x->len, y->len));

	return c != 0 ? c : x->len < y->len ? -1 : x->len > y->len;
}

static void
random_key(TestKey *k)
{
	static const char *const prefix[PREFIX_COUNT] = {"", "a", "usr/", "usr/lib/", "usr/lib/x86_64-linux-gnu/", "usr/share/doc/",
		"\xff", "\xff\xff", "\xff\xff\xff/", "z", "\x01\x01", "usr0"};
	const char *p = prefix[below(PREFIX_COUNT)];
	uint32		p_len = (uint32) strlen(p);
	uint32		rest = below(100) == 0 ? below(BASE_KEY_MAX - 40) : 1 + below(12);

	k->len = 4 + p_len + rest;
	k->bytes = malloc(k->len);
	assert_non_null(k->bytes);
	memcpy(k->bytes, "\0\0\0\1", 4);
	k->bytes[3] = (uint8) (1 + below(2));	/* two trees */
	memcpy(k->bytes + 4, p, p_len);
	for (uint32 i = 0; i < rest; i++)
		k->bytes[4 + p_len + i] = below(8) == 0 ? 0xff : (uint8) ('a' + below(5));
}

/* random_keys -- a sorted table of 'count' different ones; long_values: every so many has a value above 4 KiB. */
static void
random_keys(uint32 count, uint32 long_values)
{
	uint32		out = 0;

	for (uint32 i = 0; i < count; i++)
		random_key(&keys[i]);
	qsort(keys, count, sizeof(keys[0]), compare_test_keys);
	for (uint32 i = 0; i < count; i++)
	{
		if (out > 0 && compare_test_keys(&keys[i], &keys[out - 1]) == 0)
			free(keys[i].bytes);
		else
			keys[out++] = keys[i];
	}
	key_count = out;
	for (uint32 i = 0; i < out; i++)
	{
		TestKey    *k = &keys[i];

		k->lsn = 1 + below(BIRTH - 1);
		k->expiry = below(4) == 0 ? 1 + unit_random() % 1000000 : 0;
		if (long_values > 0 && below(long_values) == 0)
			k->value_len = BASE_INLINE_MAX + 1 + (below(10) == 0 ? below(1200000) : below(50000));
		else
			k->value_len = below(8) == 0 ? below(BASE_INLINE_MAX + 1) : below(200);
		k->value = malloc(k->value_len + 1);
		assert_non_null(k->value);
		for (uint32 j = 0; j < k->value_len; j += 8)
		{
			uint64		r = unit_random();

			memcpy(k->value + j, &r, Min(8, k->value_len - j));
		}
	}
}

static BaseRef
write_extent(const TestKey *k)
{
	static alignas(8) uint8 page[BASE_PAGE_SIZE];
	BaseRef		ref = {page_count, BIRTH};

	for (uint32 at = 0, i = 0; at < k->value_len; i++)
	{
		BasePage   *p = (BasePage *) page;

		memset(page, 0, sizeof(page));
		p->magic = BASE_PAGE_MAGIC;
		p->number = page_count;
		p->birth = BIRTH;
		p->kind = BASE_OVERFLOW;
		p->data_len = (uint32) Min(k->value_len - at, BASE_OVERFLOW_BYTES);
		p->system = (uint32) UNIT_SYSTEM_ID;
		p->link = i;
		memcpy(p + 1, k->value + at, p->data_len);
		at += p->data_len;
		base_page_seal(page);
		pages[page_count].kind = BASE_OVERFLOW;
		write_page(page_count++, page);
	}
	return ref;
}

/* finish_page -- what is in the builder becomes a page; its number. */
static uint64
finish_page(BaseBuilder *b, BaseKind kind)
{
	static alignas(8) uint8 page[BASE_PAGE_SIZE];
	uint64		number = page_count++;

	assert_true(page_count < PAGES_MAX);
	base_builder_finish(b, 0, base_builder_count(b), (BaseRef) {number, BIRTH}, (uint32) UNIT_SYSTEM_ID, page);
	pages[number].kind = kind;
	write_page(number, page);
	return number;
}

/* write_inner -- one level above the pages first .. last - 1 (each with its least key, by index); how many. */
static uint64
write_level(BaseBuilder *b, uint32 level, uint64 first, uint64 last, const uint32 *least, uint32 *least_out)
{
	uint64		made = 0;

	base_builder_reset(b, BASE_INNER, level);
	for (uint64 child = first; child < last; child++)
	{
		const TestKey *k = &keys[least[child]];

		/* few children, so that the tree is deep */
		if (base_builder_count(b) >= 9 || !base_builder_add_inner(b, k->bytes, k->len, (BaseRef) {child, BIRTH}, 0))
		{
			made++;
			(void) finish_page(b, BASE_INNER);
			base_builder_reset(b, BASE_INNER, level);
			assert_true(base_builder_add_inner(b, k->bytes, k->len, (BaseRef) {child, BIRTH}, 0));
		}
		pages[child].parent = (uint32) page_count;
		if (base_builder_count(b) == 1)
			least_out[page_count] = least[child];
	}
	(void) finish_page(b, BASE_INNER);
	return made + 1;
}

/* write_tree -- all keys; extents first, then leaves, then level by level. */
static void
write_tree(void)
{
	static uint32 least[PAGES_MAX];
	BaseBuilder *b = base_builder_create();
	uint64		first;

	memset(pages, 0, sizeof(pages));
	page_count = 1;
	root = (BaseRoot) {.cut = BIRTH};
	for (uint32 i = 0; i < key_count; i++)
		if (keys[i].value_len > BASE_INLINE_MAX)
			keys[i].extent = write_extent(&keys[i]);
	first = page_count;
	base_builder_reset(b, BASE_LEAF, 0);
	for (uint32 i = 0; i < key_count; i++)
	{
		TestKey    *k = &keys[i];
		BaseLeafEntry e = {.lsn = k->lsn, .expiry = k->expiry, .value_len = k->value_len, .value = k->value};

		if (k->value_len > BASE_INLINE_MAX)
		{
			e.value = NULL;
			e.extent = k->extent;
			e.extent_pages = base_extent_pages(k->value_len);
		}
		if (base_builder_count(b) >= 20 || !base_builder_add_leaf(b, k->bytes, k->len, &e))
		{
			(void) finish_page(b, BASE_LEAF);
			base_builder_reset(b, BASE_LEAF, 0);
			assert_true(base_builder_add_leaf(b, k->bytes, k->len, &e));
		}
		if (base_builder_count(b) == 1)
			least[page_count] = i;
		k->leaf = (uint32) page_count;
	}
	if (key_count > 0)
	{
		(void) finish_page(b, BASE_LEAF);
		for (root.levels = 1; page_count - first > 1; root.levels++)
		{
			uint64		next = page_count;

			(void) write_level(b, root.levels, first, page_count, least, least);
			first = next;
		}
		root.page = (BaseRef) {page_count - 1, BIRTH};
	}
	base_builder_destroy(b);
}

static void
make_base(uint32 count, uint32 long_values)
{
	random_keys(count, long_values);
	write_tree();
	print_message("# %u keys, %llu pages, %u levels\n", key_count, (unsigned long long) page_count, root.levels);
}

static void
free_keys(void)
{
	for (uint32 i = 0; i < key_count; i++)
	{
		free(keys[i].bytes);
		free(keys[i].value);
	}
	memset(keys, 0, sizeof(keys));
	key_count = 0;
}

/* ---- setting up ---- */

static void
open_with(uint64 pool_size)
{
	set_buffer_pool_size = (int64) pool_size;
	assert_int_equal(buffer_init(), 0);
	base_reader_open(unit_dir, UNIT_SYSTEM_ID);
}

static int
setup_uring(void **state)
{
	(void) state;
	unit_dir_make();
	set_io_method = IO_METHOD_IO_URING;
	set_io_depth = 64;
	segment_create_private(regions, lengthof(regions), 0, 0, SLOTS);
	proc_attach(0);
	base_fd = open(unit_path("data/base"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(base_fd >= 0);
	assert_int_equal(ftruncate(base_fd, BASE_PAGE_SIZE), 0);
	return 0;
}

static int
setup_sync(void **state)
{
	(void) setup_uring(state);
	set_io_method = IO_METHOD_SYNC;
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
#ifdef ARTERY_FAULTS
	file__fault_arm("");
#endif
	base_reader_close();
	(void) close(base_fd);
	free_keys();
	segment_destroy();
	unit_dir_remove();
	return 0;
}

static BaseReadStats
figures(void)
{
	BaseReadStats s;

	base_read_stats(&s);
	return s;
}

/* ---- asking ---- */

/* get -- as a command does: run, read, run again; *runs adds up. */
static BaseResult
get(const void *key, uint32 key_len, bool with_value, BaseKeep *keep, BaseValue *out)
{
	for (int run = 0; run < RUNS_MAX; run++)
	{
		BaseResult	result;

		runs_made++;
		epoch_enter();
		result = base_get(&root, key, key_len, with_value, keep, out);
		epoch_leave();
		if (result != BASE_MISS)
			return result;
		base_read_start(keep);
		base_read_wait(keep);
		assert_int_equal(base_keep_pending(keep), 0);
	}
	fail_msg("a get that does not end");
	return BASE_MISS;
}

/* assert_value -- in the epoch, or of a page that is kept. */
static void
assert_value(const TestKey *k, const BaseValue *v, bool with_value)
{
	assert_int_equal(v->lsn, k->lsn);
	assert_int_equal(v->expiry, k->expiry);
	assert_int_equal(v->len, k->value_len);
	if (k->value_len > BASE_INLINE_MAX && !with_value)
		assert_null(v->data);
	else
		assert_memory_equal(v->data, k->value, k->value_len);
}

/* check_get -- the value is looked at inside the epoch that it was found in. */
static void
check_get(const TestKey *k, bool with_value, BaseKeep *keep)
{
	BaseValue	v;
	BaseResult	result;

	assert_int_equal(get(k->bytes, k->len, with_value, keep, &v), BASE_FOUND);
	epoch_enter();
	result = base_get(&root, k->bytes, k->len, with_value, keep, &v);
	if (result == BASE_FOUND)
		assert_value(k, &v, with_value);
	epoch_leave();
	assert_int_equal(result, BASE_FOUND);	/* what was read for a keep is there until it is released */
}

static int
find_key(const uint8 *bytes, uint32 len)
{
	TestKey		k = {.bytes = (uint8 *) (uintptr_t) bytes, .len = len};
	const TestKey *at = bsearch(&k, keys, key_count, sizeof(keys[0]), compare_test_keys);

	return at == NULL ? -1 : (int) (at - keys);
}

static void
gets(uint32 count)
{
	BaseKeep   *keep = base_keep_create();

	for (uint32 i = 0; i < count; i++)
	{
		TestKey    *k = &keys[below(key_count)];
		BaseValue	v;

		check_get(k, below(2) == 0, keep);
		base_keep_release(keep);
		if (below(4) == 0)
		{
			TestKey		other;

			random_key(&other);
			if (find_key(other.bytes, other.len) < 0)
				assert_int_equal(get(other.bytes, other.len, true, keep, &v), BASE_ABSENT);
			base_keep_release(keep);
			free(other.bytes);
		}
	}
	base_keep_destroy(keep);
}

static void
test_gets(void **state)
{
	static const uint64 pools[] = {MIB, 0, 64 * MIB};

	(void) state;
	make_base(4000, 40);
	for (uint32 i = 0; i < lengthof(pools); i++)
	{
		BaseReadStats before = figures();
		BaseReadStats after;

		open_with(pools[i]);
		runs_made = 0;
		gets(600);
		after = figures();
		print_message("# pool of %llu kB: %llu runs, %llu reads\n", (unsigned long long) (pools[i] / KIB),
					  (unsigned long long) runs_made, (unsigned long long) (after.reads - before.reads));
		assert_int_equal(after.corrupt + after.stale + after.errors, 0);
		(void) base_read_poll();
		assert_int_equal(base_read_in_flight(), 0);
		base_reader_close();
	}
}

static void
test_empty_and_single(void **state)
{
	BaseKeep   *keep = base_keep_create();
	BaseCursor *c = base_cursor_create();
	BaseValue	v;
	const uint8 *key;
	uint32		len;

	(void) state;
	make_base(0, 0);
	open_with(MIB);
	assert_int_equal(get("\0\0\0\1x", 5, true, keep, &v), BASE_ABSENT);
	for (int backward = 0; backward < 2; backward++)
	{
		base_seek(c, &root, NULL, 0, NULL, 0, false, backward != 0, 4, keep);
		epoch_enter();
		assert_int_equal(base_next(c, true, &key, &len, &v), BASE_ABSENT);
		assert_int_equal(base_next(c, true, &key, &len, &v), BASE_ABSENT);
		epoch_leave();
	}
	assert_int_equal(figures().reads, 0);
	free_keys();
	make_base(1, 0);
	check_get(&keys[0], true, keep);
	assert_int_equal(figures().reads, 1);
	base_cursor_destroy(c);
	base_keep_destroy(keep);
}

/* a run without a keep notes nothing; the one with it does */
static void
test_without_keep(void **state)
{
	BaseKeep   *keep = base_keep_create();
	BaseValue	v;

	(void) state;
	make_base(200, 0);
	open_with(MIB);
	epoch_enter();
	assert_int_equal(base_get(&root, keys[7].bytes, keys[7].len, true, NULL, &v), BASE_MISS);
	epoch_leave();
	base_read_start(keep);
	assert_int_equal(base_keep_pending(keep), 0);
	assert_int_equal(figures().reads, 0);
	check_get(&keys[7], true, keep);
	base_keep_destroy(keep);
	epoch_enter();
	assert_int_equal(base_get(&root, keys[7].bytes, keys[7].len, true, NULL, &v), BASE_FOUND);
	assert_value(&keys[7], &v, true);
	epoch_leave();
}

/*
 * One command on many keys, in a pool that holds nothing: it runs from its first key
 * each time, and ends all the same.
 */
static void
test_many_keys(void **state)
{
	BaseKeep   *keep = base_keep_create();
	uint32		chosen[150];
	uint32		runs = 0;
	uint32		done = 0;

	(void) state;
	make_base(4000, 10);
	open_with(0);
	for (uint32 i = 0; i < lengthof(chosen); i++)
		chosen[i] = below(key_count);
	while (done < lengthof(chosen))
	{
		assert_true(++runs < 20 * lengthof(chosen));
		epoch_enter();
		for (done = 0; done < lengthof(chosen); done++)
		{
			const TestKey *k = &keys[chosen[done]];
			BaseValue	v;

			if (base_get(&root, k->bytes, k->len, true, keep, &v) != BASE_FOUND)
				break;
			assert_value(k, &v, true);
		}
		epoch_leave();
		if (done < lengthof(chosen))
		{
			base_read_start(keep);
			base_read_wait(keep);
		}
	}
	assert_true(keep->page_count <= BASE_KEEP_MOST);
	base_keep_release(keep);
	assert_int_equal(keep->page_count, 0);
	/* a single key's way never needs more than the usual room */
	for (uint32 i = 0; i < 200; i++)
		check_get(&keys[below(key_count)], false, keep);
	base_keep_destroy(keep);
}

/* ---- in order ---- */

static bool
has_prefix(const TestKey *k, const uint8 *prefix, uint32 len)
{
	return len == 0 || (k->len >= len && memcmp(k->bytes, prefix, len) == 0);
}

/* walk -- with a cursor that is set again after each miss and each 'stretch' entries; compares every entry with the table. */
static void
walk(const uint8 *prefix, uint32 prefix_len, const uint8 *from, uint32 from_len, bool exclusive, bool backward,
	 uint32 ahead, uint32 stretch, bool with_value, uint32 most)
{
	BaseKeep   *keep = base_keep_create();
	BaseCursor *c = base_cursor_create();
	uint8		last[BASE_KEY_MAX];
	uint32		last_len = 0;
	bool		resumed = false;
	int			at = backward ? (int) key_count - 1 : 0;
	int			way = backward ? -1 : 1;
	uint32		seen = 0;
	uint32		barren = 0;
	bool		ended = false;
	TestKey		bound = {.bytes = (uint8 *) (uintptr_t) from, .len = from_len};

	/* where the table's walk begins */
	while (at >= 0 && at < (int) key_count)
	{
		int			cmp = from == NULL ? way : compare_test_keys(&keys[at], &bound);

		if (has_prefix(&keys[at], prefix, prefix_len) && (from == NULL || cmp * way > 0 || (cmp == 0 && !exclusive)))
			break;
		at += way;
	}
	while (!ended && seen < most)
	{
		BaseResult	result = BASE_FOUND;
		uint32		here = 0;

		if (resumed)
			base_seek(c, &root, prefix, prefix_len, last, last_len, true, backward, ahead, keep);
		else
			base_seek(c, &root, prefix, prefix_len, from, from_len, exclusive, backward, ahead, keep);
		epoch_enter();
		while (here < stretch && seen < most)
		{
			const uint8 *key;
			uint32		len;
			BaseValue	v;

			result = base_next(c, with_value, &key, &len, &v);
			if (result != BASE_FOUND)
				break;
			if (at < 0 || at >= (int) key_count || !has_prefix(&keys[at], prefix, prefix_len))
				fail_msg("a key that should not be there");
			assert_int_equal(len, keys[at].len);
			assert_memory_equal(key, keys[at].bytes, len);
			assert_value(&keys[at], &v, with_value);
			memcpy(last, key, len);
			last_len = len;
			resumed = true;
			at += way;
			seen++;
			here++;
		}
		epoch_leave();
		assert_true(result == BASE_FOUND || result == BASE_MISS || result == BASE_ABSENT);
		ended = result == BASE_ABSENT;
		base_cursor_prefetch(c);
		barren = here > 0 ? 0 : barren + 1;
		assert_true(barren < RUNS_MAX);
		if (result == BASE_MISS)
		{
			base_read_start(keep);
			base_read_wait(keep);
		}
	}
	if (ended)
		assert_true(at < 0 || at >= (int) key_count || !has_prefix(&keys[at], prefix, prefix_len));
	base_cursor_destroy(c);
	base_keep_destroy(keep);
}

static void
random_walks(uint32 count)
{
	for (uint32 i = 0; i < count; i++)
	{
		const TestKey *k = &keys[below(key_count)];
		uint32		prefix_len = below(3) == 0 ? 0 : below(3) == 0 ? 4 : below(Min(k->len, 30) + 1);
		TestKey		other;
		const TestKey *from = &keys[below(key_count)];
		bool		edge = below(3) == 0;

		random_key(&other);
		if (below(3) == 0)
			from = &other;
		else if (below(2) == 0)
			from = k;
		walk(k->bytes, prefix_len, edge ? NULL : from->bytes, from->len, below(2) == 0, below(2) == 0,
			 below(3) == 0 ? 0 : below(12), 1 + below(100), below(4) == 0, 300);
		free(other.bytes);
	}
}

static void
test_walks(void **state)
{
	static const uint64 pools[] = {MIB, 0};

	(void) state;
	make_base(4000, 60);
	for (uint32 i = 0; i < lengthof(pools); i++)
	{
		open_with(pools[i]);
		walk(NULL, 0, NULL, 0, false, false, 8, 1000, false, UINT32_MAX);
		walk(NULL, 0, NULL, 0, false, true, 8, 1000, false, UINT32_MAX);
		walk((const uint8 *) "\0\0\0\1\xff\xff", 6, NULL, 0, false, true, 0, 7, true, UINT32_MAX);
		walk((const uint8 *) "\0\0\0\1\xff\xff", 6, NULL, 0, false, false, 0, 7, true, UINT32_MAX);
		random_walks(60);
		assert_int_equal(figures().corrupt + figures().stale, 0);
		base_reader_close();
	}
}

/* in a long walk the leaves come before they are asked for */
static void
test_prefetch(void **state)
{
	BaseReadStats s;

	(void) state;
	make_base(4000, 0);
	open_with(64 * MIB);
	walk(NULL, 0, NULL, 0, false, false, 16, 25, false, UINT32_MAX);
	while (base_read_in_flight() > 0)
		(void) base_read_poll();
	s = figures();
	print_message("# %llu reads, %llu of them prefetched, %llu joined\n", (unsigned long long) s.reads,
				  (unsigned long long) s.prefetched, (unsigned long long) s.joined);
	assert_int_equal(s.reads, page_count - 1);	/* each page once */
	if (base_read_fd() >= 0)
		assert_true(s.prefetched > s.reads / 2);
	else
		assert_int_equal(s.prefetched, 0);
}

/* ---- equal misses ---- */

static void
test_joined(void **state)
{
	enum { KEEPS = 20 };
	BaseKeep   *keep[KEEPS];
	const TestKey *k;
	BaseReadStats s;
	uint32		rounds = 0;
	bool		all = false;

	(void) state;
	make_base(4000, 0);
	open_with(MIB);
	k = &keys[below(key_count)];
	for (int i = 0; i < KEEPS; i++)
		keep[i] = base_keep_create();
	while (!all)
	{
		all = true;
		assert_true(++rounds <= root.levels + 1);
		for (int i = 0; i < KEEPS; i++)
		{
			BaseValue	v;
			BaseResult	result;

			epoch_enter();
			result = base_get(&root, k->bytes, k->len, true, keep[i], &v);
			if (result == BASE_FOUND)
				assert_value(k, &v, true);
			epoch_leave();
			all = all && result == BASE_FOUND;
			if (result == BASE_MISS)
				base_read_start(keep[i]);
		}
		for (int i = 0; i < KEEPS; i++)
			base_read_wait(keep[i]);
	}
	s = figures();
	assert_int_equal(s.reads, root.levels);	/* each page of the way once, whoever wanted it */
	if (base_read_fd() >= 0)
		assert_true(s.joined > 0);
	for (int i = 0; i < KEEPS; i++)
		base_keep_destroy(keep[i]);
}

/* another process reads the page: it is waited for, and taken over when it does not come */
static void
test_foreign(void **state)
{
	BaseKeep   *keep = base_keep_create();
	static alignas(8) uint8 page[BASE_PAGE_SIZE];
	BaseValue	v;
	uint64		begun;

	(void) state;
	make_base(500, 0);
	open_with(MIB);

	/* it puts the page into the pool */
	my_slot = proc_slot(1);
	assert_true(buffer_claim(root.page.number, root.page.birth));
	my_slot = proc_slot(0);
	epoch_enter();
	assert_int_equal(base_get(&root, keys[3].bytes, keys[3].len, true, keep, &v), BASE_MISS);
	epoch_leave();
	base_read_start(keep);
	assert_int_equal(base_keep_pending(keep), 1);
	assert_int_equal(base_read_foreign(), 1);
	assert_false(base_read_poll());
	assert_int_equal(figures().reads, 0);
	assert_int_equal(pread(base_fd, page, BASE_PAGE_SIZE, (off_t) (root.page.number * BASE_PAGE_SIZE)), BASE_PAGE_SIZE);
	my_slot = proc_slot(1);
	assert_true(buffer_insert(root.page.number, root.page.birth, page));
	buffer_unclaim(root.page.number, root.page.birth);
	my_slot = proc_slot(0);
	assert_true(base_read_poll());
	assert_int_equal(base_keep_pending(keep), 0);
	assert_int_equal(base_read_foreign(), 0);
	assert_int_equal(figures().reads, 0);
	check_get(&keys[3], true, keep);
	assert_int_equal(figures().reads, root.levels - 1);
	base_keep_release(keep);

	/* it gives up: the claim goes without a page */
	assert_int_equal(buffer_init(), 0);
	my_slot = proc_slot(1);
	assert_true(buffer_claim(root.page.number, root.page.birth));
	my_slot = proc_slot(0);
	epoch_enter();
	assert_int_equal(base_get(&root, keys[3].bytes, keys[3].len, true, keep, &v), BASE_MISS);
	epoch_leave();
	base_read_start(keep);
	my_slot = proc_slot(1);
	buffer_unclaim(root.page.number, root.page.birth);
	my_slot = proc_slot(0);
	base_read_wait(keep);
	check_get(&keys[3], true, keep);
	base_keep_release(keep);

	/* it died: the claim lapses */
	assert_int_equal(buffer_init(), 0);
	my_slot = proc_slot(1);
	assert_true(buffer_claim(root.page.number, root.page.birth));
	my_slot = proc_slot(0);
	begun = clock_mono_us();
	check_get(&keys[3], true, keep);
	assert_true(clock_mono_us() - begun >= (BUFFER_CLAIM_MS - 10) * UINT64_C(1000));

	/* the command that waits for it goes away */
	assert_int_equal(buffer_init(), 0);
	base_keep_release(keep);
	my_slot = proc_slot(1);
	assert_true(buffer_claim(root.page.number, root.page.birth));
	my_slot = proc_slot(0);
	epoch_enter();
	assert_int_equal(base_get(&root, keys[3].bytes, keys[3].len, true, keep, &v), BASE_MISS);
	epoch_leave();
	base_read_start(keep);
	assert_int_equal(base_read_foreign(), 1);
	base_keep_destroy(keep);
	(void) base_read_poll();
	assert_int_equal(base_read_foreign(), 0);
}

static void
reading_process(uint32 slot)
{
	BaseKeep   *keep = base_keep_create();

	proc_attach(slot);
	base_reader_open(unit_dir, UNIT_SYSTEM_ID);
	for (uint32 i = 0; i < key_count; i++)
	{
		const TestKey *k = &keys[i];
		BaseValue	v;

		if (get(k->bytes, k->len, true, keep, &v) != BASE_FOUND || v.len != k->value_len
			|| memcmp(v.data, k->value, k->value_len) != 0)
			_exit(1);
		base_keep_release(keep);
	}
	_exit(0);
}

/* several processes want the same pages in the same order: each is read about once */
static void
test_processes(void **state)
{
	enum { PROCESSES = 3 };
	pid_t		pid[PROCESSES];
	BaseReadStats s;

	(void) state;
	make_base(3000, 0);
	set_buffer_pool_size = 64 * (int64) MIB;
	assert_int_equal(buffer_init(), 0);
	fflush(NULL);
	for (uint32 i = 0; i < PROCESSES; i++)
	{
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0)
			reading_process(1 + i);
	}
	for (uint32 i = 0; i < PROCESSES; i++)
	{
		int			status;

		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	s = figures();
	print_message("# %d processes, %llu pages, %llu reads, %llu joined\n", PROCESSES, (unsigned long long) (page_count - 1),
				  (unsigned long long) s.reads, (unsigned long long) s.joined);
	assert_true(s.reads >= page_count - 1 && s.reads <= (page_count - 1) * 11 / 10);
}

/* ---- going away ---- */

static void
test_keep_goes_away(void **state)
{
	(void) state;
	make_base(2000, 5);
	open_with(MIB);
	for (int i = 0; i < 300; i++)
	{
		BaseKeep   *keep = base_keep_create();
		const TestKey *k = &keys[below(key_count)];
		uint32		steps = below(root.levels + 2);
		BaseValue	v;

		for (uint32 s = 0; s <= steps; s++)
		{
			BaseResult	result;

			epoch_enter();
			result = base_get(&root, k->bytes, k->len, true, keep, &v);
			epoch_leave();
			if (result == BASE_FOUND)
				break;
			assert_int_equal(result, BASE_MISS);
			base_read_start(keep);
			if (s < steps)
				base_read_wait(keep);
		}
		if (below(2) == 0)
			base_keep_release(keep);
		base_keep_destroy(keep);
		if (below(3) == 0)
			(void) base_read_poll();
	}
	gets(50);
	while (base_read_in_flight() > 0)
		(void) base_read_poll();
}

/* more reads than the queue has room for */
static void
test_shallow_queue(void **state)
{
	enum { KEEPS = 100 };
	BaseKeep   *keep[KEEPS];
	bool		done[KEEPS] = {false};
	const TestKey *k[KEEPS];
	uint32		left = KEEPS;

	(void) state;
	make_base(3000, 20);
	set_io_depth = 2;
	open_with(MIB);
	for (int i = 0; i < KEEPS; i++)
	{
		keep[i] = base_keep_create();
		k[i] = &keys[below(key_count)];
	}
	for (uint32 rounds = 0; left > 0; rounds++)
	{
		assert_true(rounds < 1000000);
		for (int i = 0; i < KEEPS; i++)
		{
			BaseValue	v;
			BaseResult	result;

			if (done[i] || base_keep_pending(keep[i]) > 0)
				continue;
			epoch_enter();
			result = base_get(&root, k[i]->bytes, k[i]->len, true, keep[i], &v);
			if (result == BASE_FOUND)
				assert_value(k[i], &v, true);
			epoch_leave();
			if (result == BASE_MISS)
				base_read_start(keep[i]);
			else
			{
				assert_int_equal(result, BASE_FOUND);
				done[i] = true;
				left--;
			}
		}
		(void) base_read_poll();
	}
	for (int i = 0; i < KEEPS; i++)
		base_keep_destroy(keep[i]);
}

/* ---- bad pages ---- */

static bool
leads_to(uint32 leaf, uint64 number)
{
	for (uint64 at = leaf; at != 0; at = pages[at].parent)
		if (at == number)
			return true;
	return false;
}

/* the keys behind the page, and nobody else */
static bool
concerns(const TestKey *k, uint64 number)
{
	if (pages[number].kind == BASE_OVERFLOW)
		return k->extent.number != 0 && number >= k->extent.number
			&& number < k->extent.number + base_extent_pages(k->value_len);
	return leads_to(k->leaf, number);
}

/* check_damage -- with page 'number' bad on disk: some keys, of both kinds; 'text' stands in the error. */
static void
check_damage(uint64 number, const char *text)
{
	BaseKeep   *keep = base_keep_create();
	char		named[64];
	uint64		corrupt = figures().corrupt;
	uint32		hit = 0;
	uint32		first = 0;

	snprintf(named, sizeof(named), "page %llu of data/base: ", (unsigned long long) number);
	/* one that is surely concerned, and some others */
	for (uint32 i = 0; i < key_count; i++)
		if (concerns(&keys[i], number))
			first = i;
	assert_true(concerns(&keys[first], number));
	for (int i = 0; i < 12; i++)
	{
		const TestKey *k = &keys[i == 0 ? first : below(key_count)];
		BaseValue	v;

		if (!concerns(k, number))
		{
			check_get(k, true, keep);
			base_keep_release(keep);
			continue;
		}
		hit++;
		assert_int_equal(get(k->bytes, k->len, true, keep, &v), BASE_CORRUPT);
		assert_ptr_equal(strstr(base_keep_error(keep), named), base_keep_error(keep));
		if (text != NULL)
			assert_non_null(strstr(base_keep_error(keep), text));
		/* once more with what is kept: the same, and not counted again */
		assert_int_equal(get(k->bytes, k->len, true, keep, &v), BASE_CORRUPT);
		/* a page of the value alone does not matter to who does not want it */
		if (pages[number].kind == BASE_OVERFLOW)
			assert_int_equal(get(k->bytes, k->len, false, keep, &v), BASE_FOUND);
		base_keep_release(keep);
	}
	assert_int_equal(figures().corrupt - corrupt, hit);
	base_keep_destroy(keep);
}

static void
test_damage(void **state)
{
	static alignas(8) uint8 good[BASE_PAGE_SIZE];
	static alignas(8) uint8 bad[BASE_PAGE_SIZE];
	static alignas(8) uint8 other[BASE_PAGE_SIZE];
	uint32		trials = 60;
	BaseKeep   *keep = base_keep_create();

	(void) state;
	make_base(1500, 20);
	for (uint32 i = 0; i < trials; i++)
	{
		/* the root, some inner page, a leaf, a page of an extent; the last ones are the upper levels */
		uint64		number = i == 0 ? root.page.number : i % 3 == 0 ? page_count - 1 - below(20) : 1 + below((uint32) page_count - 1);
		uint64		off = number * BASE_PAGE_SIZE;

		assert_int_equal(pread(base_fd, good, BASE_PAGE_SIZE, (off_t) off), BASE_PAGE_SIZE);
		memcpy(bad, good, BASE_PAGE_SIZE);
		switch (below(5))
		{
			case 0:
				bad[below(BASE_PAGE_SIZE)] ^= (uint8) (1 + below(255));
				break;
			case 1:
				memset(bad, 0, BASE_PAGE_SIZE);
				break;
			case 2:				/* torn: the second half is another page's */
				assert_int_equal(pread(base_fd, other, BASE_PAGE_SIZE, (off_t) ((number % (page_count - 1) + 1) * BASE_PAGE_SIZE)),
								 BASE_PAGE_SIZE);
				memcpy(bad + BASE_PAGE_SIZE / 2, other + BASE_PAGE_SIZE / 2, BASE_PAGE_SIZE / 2);
				break;
			case 3:				/* whole, of another birth */
				((BasePage *) bad)->birth++;
				base_page_seal(bad);
				break;
			case 4:				/* whole, and not the page that belongs here */
				((BasePage *) bad)->number++;
				base_page_seal(bad);
				break;
		}
		if (memcmp(good, bad, BASE_PAGE_SIZE) == 0)
			continue;
		write_page(number, bad);
		open_with(below(2) == 0 ? MIB : 64 * MIB);
		check_damage(number, NULL);
		write_page(number, good);
		check_get(&keys[below(key_count)], true, keep);
		base_keep_release(keep);
		base_reader_close();
	}
	base_keep_destroy(keep);
}

/* pages that are whole, each in its place, and do not fit together */
static void
test_wrong_link(void **state)
{
	static alignas(8) uint8 good[BASE_PAGE_SIZE];
	static alignas(8) uint8 bad[BASE_PAGE_SIZE];
	BaseKeep   *keep = base_keep_create();
	BaseRoot	true_root;
	BaseValue	v;
	uint64		number = 0;

	(void) state;
	make_base(1500, 20);
	open_with(MIB);
	/* the second page of an extent says that it is the third */
	for (uint32 i = 0; i < key_count; i++)
		if (base_extent_pages(keys[i].value_len) >= 3 && keys[i].extent.number != 0)
			number = keys[i].extent.number + 1;
	assert_true(number != 0);
	assert_int_equal(pread(base_fd, good, BASE_PAGE_SIZE, (off_t) (number * BASE_PAGE_SIZE)), BASE_PAGE_SIZE);
	memcpy(bad, good, BASE_PAGE_SIZE);
	((BasePage *) bad)->link = 2;
	base_page_seal(bad);
	write_page(number, bad);
	check_damage(number, "of its extent");
	write_page(number, good);

	/* a root with a level too many: the page is in the pool already, and then it is read */
	true_root = root;
	for (int i = 0; i < 2; i++)
	{
		root.levels++;
		assert_int_equal(get(keys[0].bytes, keys[0].len, true, keep, &v), BASE_CORRUPT);
		assert_non_null(strstr(base_keep_error(keep), "level"));
		base_keep_release(keep);
		root = true_root;
		check_get(&keys[0], true, keep);
		base_keep_release(keep);
		assert_int_equal(buffer_init(), 0);
	}
	base_keep_destroy(keep);
}

static void
test_short_file(void **state)
{
	(void) state;
	make_base(1000, 0);
	open_with(MIB);
	assert_int_equal(ftruncate(base_fd, (off_t) (root.page.number * BASE_PAGE_SIZE + 5000)), 0);
	check_damage(root.page.number, "the file ends");
	assert_int_equal(ftruncate(base_fd, (off_t) (root.page.number * BASE_PAGE_SIZE)), 0);
	check_damage(root.page.number, "the file ends 0 bytes into it");
}

static void
test_io_errors(void **state)
{
#ifdef ARTERY_FAULTS
	BaseKeep   *keep = base_keep_create();
	BaseValue	v;

	(void) state;
	make_base(1000, 10);
	open_with(MIB);
	for (uint32 nth = 1; nth <= 12; nth++)
	{
		char		list[80];
		uint32		corrupt = 0;

		assert_int_equal(buffer_init(), 0);
		snprintf(list, sizeof(list), "%s:eio:%u", nth % 2 ? "file-read" : "file-read-done", nth);
		file__fault_arm(list);
		for (uint32 i = 0; i < 30; i++)
		{
			const TestKey *k = &keys[below(key_count)];
			BaseResult	result = get(k->bytes, k->len, true, keep, &v);

			if (result == BASE_CORRUPT)
			{
				corrupt++;
				assert_non_null(strstr(base_keep_error(keep), "could not be read: Input/output error"));
			}
			else
				assert_int_equal(result, BASE_FOUND);
			base_keep_release(keep);
			/* once the error has passed, the same key is found */
			if (result == BASE_CORRUPT)
				check_get(k, true, keep);
			base_keep_release(keep);
		}
		assert_int_equal(corrupt, 1);
	}
	assert_int_equal(figures().errors, 12);
	/* shorts are resumed and noticed by nobody */
	assert_int_equal(buffer_init(), 0);
	file__fault_arm("file-read-done:short:1:0");
	gets(60);
	base_keep_destroy(keep);
#else
	(void) state;
	skip();
#endif
}

/*
 * A page that a run wanted is freed and written anew before it is read: the rerun
 * goes by another root, which does not name it.
 */
static void
test_stale(void **state)
{
	static alignas(8) uint8 page[BASE_PAGE_SIZE];
	BaseKeep   *keep = base_keep_create();
	BaseReadStats s;
	BaseRoot	new_root;
	BaseValue	v;

	(void) state;
	make_base(1000, 0);
	open_with(MIB);
	/* the same root page in another place, with a later birth */
	assert_int_equal(pread(base_fd, page, BASE_PAGE_SIZE, (off_t) (root.page.number * BASE_PAGE_SIZE)), BASE_PAGE_SIZE);
	new_root = root;
	new_root.page = (BaseRef) {page_count, BIRTH + 8};
	((BasePage *) page)->number = page_count;
	((BasePage *) page)->birth = BIRTH + 8;
	base_page_seal(page);
	write_page(page_count, page);

	epoch_enter();
	assert_int_equal(base_get(&root, keys[5].bytes, keys[5].len, true, keep, &v), BASE_MISS);
	epoch_leave();
	((BasePage *) page)->number = root.page.number;
	((BasePage *) page)->birth = BIRTH + 16;
	base_page_seal(page);
	write_page(root.page.number, page);
	base_read_start(keep);
	base_read_wait(keep);
	root = new_root;
	check_get(&keys[5], true, keep);
	base_keep_release(keep);
	s = figures();
	assert_int_equal(s.corrupt, 0);
	assert_int_equal(s.stale, 1);
	assert_string_equal(base_keep_error(keep), "");

	/* the new life of that place is another page to the pool, too */
	root.page = (BaseRef) {new_root.page.number - 1, BIRTH + 16};
	check_get(&keys[5], true, keep);
	base_keep_destroy(keep);
	assert_int_equal(figures().corrupt, 0);
}

#define BOTH(test) \
	{#test " (io_uring)", test, setup_uring, teardown, NULL}, {#test " (plain calls)", test, setup_sync, teardown, NULL}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_gets),
		BOTH(test_empty_and_single),
		BOTH(test_without_keep),
		BOTH(test_many_keys),
		BOTH(test_walks),
		BOTH(test_prefetch),
		BOTH(test_joined),
		BOTH(test_foreign),
		BOTH(test_processes),
		BOTH(test_keep_goes_away),
		BOTH(test_shallow_queue),
		BOTH(test_damage),
		BOTH(test_wrong_link),
		BOTH(test_short_file),
		BOTH(test_io_errors),
		BOTH(test_stale),
	};

	unit_seed_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
