/*
 * base_page.c -- pages of the data file: the builder and the search against a
 * sorted array; the layout byte by byte; every field of every kind of page damaged,
 * with the checksum wrong and with it right; bytes at random, of which nothing
 * outside the page may be read (ASan sees it: a page is a block of its own).
 */
#include "unit_wal.h"

#include "common/base_format.h"
#include "common/crc32c.h"

#define SYSTEM 0x55667788
#define BIRTH 100000

static uint8 *
page_alloc(void)
{
	uint8	   *page = aligned_alloc(64, BASE_PAGE_SIZE);

	assert_non_null(page);
	return page;
}

static const char *
verdict(const void *page, BaseRef ref, BaseKind kind, int level)
{
	static char why[300];

	return base_page_verify(page, ref, kind, level, SYSTEM, why, sizeof(why)) ? NULL : why;
}

static const char *
verdict_own(const void *page)
{
	const BasePage *p = page;

	return verdict(page, (BaseRef) {p->number, p->birth}, p->kind, p->level);
}

static void
assert_good(const void *page)
{
	const char *why = verdict_own(page);

	if (why != NULL)
		fail_msg("a good page: %s", why);
}

/* ---- keys for the oracle ---- */

typedef struct Key
{
	uint32		len;
	uint8		bytes[BASE_KEY_MAX];
} Key;

#define KEYS 1500

static Key	keys[KEYS];

static int
compare_keys(const void *a, const void *b)
{
	const Key  *x = a;
	const Key  *y = b;
	int			c = memcmp(x->bytes, y->bytes, Min(x->len, y->len));

	return c != 0 ? c : (int) x->len - (int) y->len;
}

/* make_keys -- sorted, each once: short and long ones, long common beginnings, one the beginning of the next, any bytes. */
static uint32
make_keys(uint32 count, uint32 min_len, int style)
{
	static uint8 common[BASE_KEY_MAX];
	uint32		common_len = (uint32) (unit_random() % (style % 3 == 0 ? 8 : style % 3 == 1 ? 200 : 4080));
	uint32		alphabet = style % 2 == 0 ? 256 : 2;
	uint32		kept = 0;

	for (uint32 i = 0; i < common_len; i++)
		common[i] = (uint8) unit_random();
	for (uint32 i = 0; i < count; i++)
	{
		Key		   *k = &keys[i];
		uint32		rest = (uint32) (unit_random() % 10 == 0 ? unit_random() % 300 : unit_random() % 12);

		if (unit_random() % 200 == 0)
			rest = BASE_KEY_MAX;
		k->len = Min(common_len + rest, BASE_KEY_MAX);
		memcpy(k->bytes, common, Min(common_len, k->len));
		for (uint32 j = common_len; j < k->len; j++)
			k->bytes[j] = (uint8) (unit_random() % alphabet);
		if (i > 0 && unit_random() % 4 == 0)	/* the one before, and something */
		{
			*k = keys[i - 1];
			if (k->len < BASE_KEY_MAX)
				k->bytes[k->len++] = (uint8) (unit_random() % alphabet);
		}
		while (k->len < min_len)
			k->bytes[k->len++] = (uint8) unit_random();
	}
	qsort(keys, count, sizeof(Key), compare_keys);
	for (uint32 i = 0; i < count; i++)
		if (kept == 0 || compare_keys(&keys[kept - 1], &keys[i]) != 0)
			keys[kept++] = keys[i];
	return kept;
}

static uint8 values[64 * 1024];

/* entry_for -- what key i has: nothing, some bytes, many, an extent; every third with an expiry. */
static BaseLeafEntry
entry_for(uint32 i)
{
	static const uint32 lens[] = {0, 1, 7, 40, 300, BASE_INLINE_MAX, BASE_INLINE_MAX + 1, 16336, 16337, 64 * 1024 * 1024};
	BaseLeafEntry e = {.lsn = 1 + i * 8, .expiry = i % 3 == 0 ? i + 1 : 0, .value_len = lens[(i * 2654435761u >> 8) % (i % 50 == 0 ? 10 : 5)]};

	if (e.value_len > BASE_INLINE_MAX)
	{
		e.extent = (BaseRef) {1000 + i, 1 + i};
		e.extent_pages = base_extent_pages(e.value_len);
	}
	else
		e.value = values + i % 1000;
	return e;
}

static void
assert_entry(const void *page, uint32 index, uint32 i)
{
	BaseLeafEntry want = entry_for(i);
	BaseLeafEntry got;

	memset(&got, 0xee, sizeof(got));
	base_leaf_entry(page, index, &got);
	assert_true(got.lsn == want.lsn && got.expiry == want.expiry && got.value_len == want.value_len);
	assert_int_equal(got.flags, (want.expiry != 0 ? BASE_HAS_EXPIRY : 0) | (want.value == NULL ? BASE_VALUE_EXTENT : 0));
	assert_true(got.extent.number == want.extent.number && got.extent.birth == want.extent.birth);
	assert_int_equal(got.extent_pages, want.extent_pages);
	if (want.value == NULL)
		assert_null(got.value);
	else
		assert_true(got.value != NULL && memcmp(got.value, want.value, want.value_len) == 0);
}

/* assert_search -- for keys [from, to) in a page: every key, its neighbours, and keys that lie elsewhere. */
static void
assert_search(const void *page, uint32 from, uint32 to, uint32 all)
{
	for (int n = 0; n < 60; n++)
	{
		Key			k = keys[n < 3 ? (n == 0 ? from : n == 1 ? to - 1 : (from + to) / 2) : unit_random() % all];
		uint32		low = 0;
		uint32		child;
		bool		exact;
		bool		there;

		switch (unit_random() % 5)
		{
			case 0:
				k.len -= k.len > 0;
				break;
			case 1:
				if (k.len < BASE_KEY_MAX)
					k.bytes[k.len++] = (uint8) unit_random();
				break;
			case 2:
				if (k.len > 0)
					k.bytes[unit_random() % k.len] ^= (uint8) (1 << unit_random() % 8);
				break;
		}
		while (from + low < to && compare_keys(&keys[from + low], &k) < 0)
			low++;
		there = from + low < to && compare_keys(&keys[from + low], &k) == 0;
		assert_int_equal(base_page_search(page, k.bytes, k.len, &exact), low);
		assert_int_equal(exact, there);
		child = there || low == 0 ? low : low - 1;
		if (((const BasePage *) page)->kind == BASE_INNER)
			assert_int_equal(base_inner_search(page, k.bytes, k.len), child);
		for (uint32 i = Max(low, 3) - 3; i < Min(low + 3, to - from); i++)
		{
			int			c = base_page_compare(page, i, k.bytes, k.len);
			int			want = compare_keys(&keys[from + i], &k);

			assert_true((c < 0) == (want < 0) && (c > 0) == (want > 0));
		}
	}
}

/* assert_pages -- what is in the builder is keys [first, first + count): whole, and in two parts. */
static void
assert_pages(BaseBuilder *b, uint8 *page, uint32 first, uint32 all)
{
	const BasePage *p = (const BasePage *) page;
	uint32		count = base_builder_count(b);
	uint32		middle = (uint32) (unit_random() % count);
	uint32		parts[3][2] = {{0, count}, {0, middle}, {middle, count}};

	for (int n = 0; n < 3; n++)
	{
		uint32		from = parts[n][0];
		uint32		to = parts[n][1];

		if (from == to)
			continue;
		memset(page, 0xa5, BASE_PAGE_SIZE);
		base_builder_finish(b, from, to, (BaseRef) {77, BIRTH}, SYSTEM, page);
		assert_good(page);
		assert_int_equal(p->count, to - from);
		if (n == 0)
			assert_int_equal(sizeof(BasePage) + p->prefix_len + 2 * p->count + p->data_len, base_builder_bytes(b));
		for (uint32 i = from; i < to; i++)
		{
			uint8		key[BASE_KEY_MAX];
			uint32		len = base_page_key(page, i - from, key);

			assert_int_equal(len, keys[first + i].len);
			assert_memory_equal(key, keys[first + i].bytes, len);
			if (p->kind == BASE_LEAF)
				assert_entry(page, i - from, first + i);
			else
			{
				uint16		flags;
				BaseRef		child = base_inner_child(page, i - from, &flags);

				assert_true(child.number == 1000 + i + first && child.birth == 1 + i && flags == (i & 1));
			}
		}
		assert_search(page, first + from, first + to, all);
	}
}

static void
run_builder(BaseKind kind, uint32 level, int style)
{
	BaseBuilder *b = base_builder_create();
	uint8	   *page = page_alloc();
	uint32		all = make_keys(KEYS, kind == BASE_LEAF ? BASE_KEY_MIN : 0, style);
	uint32		first = 0;

	base_builder_reset(b, kind, level);
	assert_int_equal(base_builder_bytes(b), sizeof(BasePage));
	for (uint32 i = 0; i <= all; i++)
	{
		BaseLeafEntry e = entry_for(i);
		uint32		before = base_builder_bytes(b);
		uint32		n = i - first;

		if (i < all && (kind == BASE_LEAF ? base_builder_add_leaf(b, keys[i].bytes, keys[i].len, &e)
						: base_builder_add_inner(b, keys[i].bytes, keys[i].len, (BaseRef) {1000 + i, 1 + n}, n & 1)))
		{
			uint32		len;

			assert_true(base_builder_bytes(b) <= BASE_PAGE_SIZE);
			assert_int_equal(base_builder_count(b), n + 1);
			assert_memory_equal(base_builder_key(b, n, &len), keys[i].bytes, keys[i].len);
			assert_int_equal(len, keys[i].len);
			continue;
		}
		/* full, or the end: nothing was added */
		assert_int_equal(base_builder_bytes(b), before);
		assert_int_equal(base_builder_count(b), n);
		assert_true(n > 0);
		assert_pages(b, page, first, all);
		base_builder_reset(b, kind, level);
		first = i;
		if (i < all)
			i--;
	}
	free(page);
	base_builder_destroy(b);
}

static void
test_oracle(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(values); i++)
		values[i] = (uint8) unit_random();
	for (int style = 0; style < 15 * unit_factor(); style++)
	{
		run_builder(BASE_LEAF, 0, style);
		run_builder(BASE_INNER, 1 + (uint32) style % 31, style);
	}
}

/* the longest keys: three children in an inner page, one entry in a leaf, and a full page by long prefixes */
static void
test_longest(void **state)
{
	BaseBuilder *b = base_builder_create();
	uint8	   *page = page_alloc();
	uint8		key[BASE_KEY_MAX];
	BaseLeafEntry e = {.lsn = 1, .expiry = 5, .value_len = BASE_INLINE_MAX, .value = values};
	uint32		n = 0;

	(void) state;
	base_builder_reset(b, BASE_INNER, 1);
	for (int i = 0; i < 3; i++)
	{
		memset(key, 'a' + i, sizeof(key));
		assert_true(base_builder_add_inner(b, key, sizeof(key), (BaseRef) {5 + (uint64) i, 1}, 0));
	}
	base_builder_finish(b, 0, 3, (BaseRef) {1, 1}, SYSTEM, page);
	assert_good(page);
	assert_int_equal(base_inner_search(page, "b", 1), 0);
	assert_int_equal(base_inner_search(page, "bz", 2), 1);
	assert_int_equal(base_inner_search(page, "z", 1), 2);
	/* a leaf: any entry fits; a second one like it does not */
	base_builder_reset(b, BASE_LEAF, 0);
	assert_true(base_builder_add_leaf(b, key, sizeof(key), &e));
	assert_int_equal(base_builder_bytes(b), 48 + 2 + 16 + 8 + BASE_KEY_MAX + BASE_INLINE_MAX);
	key[0] = 'z';
	assert_false(base_builder_add_leaf(b, key, sizeof(key), &e));
	base_builder_finish(b, 0, 1, (BaseRef) {1, 1}, SYSTEM, page);
	assert_good(page);
	/* keys that differ in the last two bytes only take what short ones take */
	base_builder_reset(b, BASE_LEAF, 0);
	e = (BaseLeafEntry) {.lsn = 1};
	for (;; n++)
	{
		memset(key, 'p', sizeof(key));
		key[sizeof(key) - 2] = (uint8) (n >> 8);
		key[sizeof(key) - 1] = (uint8) n;
		if (!base_builder_add_leaf(b, key, sizeof(key), &e))
			break;
	}
	/* until the prefix loses its last byte, then the key 256 needs two */
	assert_int_equal(n, (BASE_PAGE_SIZE - 48 - (BASE_KEY_MAX - 2)) / (2 + 16 + 2));
	base_builder_finish(b, 0, n, (BaseRef) {1, 1}, SYSTEM, page);
	assert_good(page);
	free(page);
	base_builder_destroy(b);
}

/* ---- the layout, byte by byte: what is on disks must stay readable ---- */

static uint8 *
put(uint8 *at, uint64 value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		*at++ = (uint8) (value >> 8 * i);
	return at;
}

static void
put_header(uint8 *page, uint8 kind, uint8 level, uint16 count, uint16 prefix_len, uint32 data_len, uint64 link)
{
	uint8	   *at = page;

	memset(page, 0, BASE_PAGE_SIZE);
	at = put(at, 0x47505241, 4);
	at = put(at, 0, 4);
	at = put(at, 9, 8);
	at = put(at, BIRTH, 8);
	at = put(at, kind, 1);
	at = put(at, level, 1);
	at = put(at, count, 2);
	at = put(at, prefix_len, 2);
	at = put(at, 0, 2);
	at = put(at, data_len, 4);
	at = put(at, SYSTEM, 4);
	at = put(at, link, 8);
	assert_int_equal(at - page, 48);
}

/* leaf_by_hand -- three entries: plain; with expiry; an extent with expiry.  Keys "pref", "prefa", "prefc". */
static void
leaf_by_hand(uint8 *page)
{
	const uint32 size[3] = {16 + 0 + 3, 16 + 8 + 1 + 2, 16 + 8 + 1 + 20};
	uint32		data_len = size[0] + size[1] + size[2];
	uint32		begin = BASE_PAGE_SIZE - data_len;
	uint8	   *at;

	put_header(page, 1, 0, 3, 4, data_len, 0);
	memcpy(page + 48, "pref", 4);
	put(put(put(page + 52, begin, 2), begin + size[0], 2), begin + size[0] + size[1], 2);
	at = page + begin;
	at = put(put(put(put(at, BIRTH, 8), 3, 4), 0, 2), 0, 2);
	memcpy(at, "one", 3);
	at = put(put(put(put(at + 3, 500, 8), 2, 4), 1, 2), 1, 2);
	at = put(at, 777, 8);
	memcpy(at, "aTW", 3);
	at = put(put(put(put(at + 3, 600, 8), 20000, 4), 1, 2), 3, 2);
	at = put(at, 888, 8);
	*at++ = 'c';
	at = put(put(put(at, 33, 8), 600, 8), 2, 4);
	assert_ptr_equal(at, page + BASE_PAGE_SIZE);
	base_page_seal(page);
}

static void
inner_by_hand(uint8 *page)
{
	uint32		begin = BASE_PAGE_SIZE - (20 + 21 + 22);
	uint8	   *at;

	put_header(page, 2, 3, 3, 1, BASE_PAGE_SIZE - begin, 0);
	page[48] = 'k';
	put(put(put(page + 49, begin, 2), begin + 20, 2), begin + 41, 2);
	at = page + begin;
	at = put(put(put(put(at, 20, 8), BIRTH, 8), 0, 2), 0, 2);
	at = put(put(put(put(at, 21, 8), 400, 8), 1, 2), 1, 2);
	*at++ = 'm';
	at = put(put(put(put(at, 22, 8), 300, 8), 2, 2), 0, 2);
	memcpy(at, "xy", 2);
	base_page_seal(page);
}

static void
overflow_by_hand(uint8 *page)
{
	put_header(page, 3, 0, 0, 0, 1000, 5);
	memset(page + 48, 'v', 1000);
	base_page_seal(page);
}

static void
map_by_hand(uint8 *page)
{
	uint8	   *at = page + 48;

	put_header(page, 4, 0, 3, 0, 0, 12);
	at = put(put(put(put(at, 3, 8), 0, 8), 2, 4), 0, 4);
	at = put(put(put(put(at, 5, 8), BIRTH, 8), 1, 4), 0, 4);
	at = put(put(put(put(at, 7, 8), 400, 8), 2, 4), 0, 4);
	base_page_seal(page);
}

static void
test_layout(void **state)
{
	uint8	   *by_hand = page_alloc();
	uint8	   *made = page_alloc();
	BaseBuilder *b = base_builder_create();
	BaseLeafEntry e;
	uint8		zero[4] = {0};
	uint32		crc;

	(void) state;
	leaf_by_hand(by_hand);
	assert_good(by_hand);
	base_builder_reset(b, BASE_LEAF, 0);
	e = (BaseLeafEntry) {.lsn = BIRTH, .value_len = 3, .value = (const uint8 *) "one"};
	assert_true(base_builder_add_leaf(b, "pref", 4, &e));
	e = (BaseLeafEntry) {.lsn = 500, .expiry = 777, .value_len = 2, .value = (const uint8 *) "TW"};
	assert_true(base_builder_add_leaf(b, "prefa", 5, &e));
	e = (BaseLeafEntry) {.lsn = 600, .expiry = 888, .value_len = 20000, .extent = {33, 600}, .extent_pages = 2};
	assert_true(base_builder_add_leaf(b, "prefc", 5, &e));
	base_builder_finish(b, 0, 3, (BaseRef) {9, BIRTH}, SYSTEM, made);
	assert_memory_equal(by_hand, made, BASE_PAGE_SIZE);
	/* the checksum: of all, its own four bytes as zero */
	crc = crc32c_extend(crc32c_extend(0, made, 4), zero, 4);
	assert_int_equal(((BasePage *) made)->crc, crc32c_extend(crc, made + 8, BASE_PAGE_SIZE - 8));

	inner_by_hand(by_hand);
	assert_good(by_hand);
	base_builder_reset(b, BASE_INNER, 3);
	assert_true(base_builder_add_inner(b, "k", 1, (BaseRef) {20, BIRTH}, 0));
	assert_true(base_builder_add_inner(b, "km", 2, (BaseRef) {21, 400}, BASE_CHILD_EXTENTS));
	assert_true(base_builder_add_inner(b, "kxy", 3, (BaseRef) {22, 300}, 0));
	base_builder_finish(b, 0, 3, (BaseRef) {9, BIRTH}, SYSTEM, made);
	assert_memory_equal(by_hand, made, BASE_PAGE_SIZE);

	overflow_by_hand(by_hand);
	assert_good(by_hand);
	map_by_hand(by_hand);
	assert_good(by_hand);
	free(by_hand);
	free(made);
	base_builder_destroy(b);
}

/* ---- damage: every field, each in four ways ---- */

/* Field -- what must be said when it is all zero, all ones, one more, or as in an older page; NULL: a page alone cannot tell */
typedef struct Field
{
	const char *name;
	uint32		at;
	uint32		len;
	const char *zero;
	const char *ones;
	const char *more;
} Field;

#define END BASE_PAGE_SIZE
static const Field header_fields[] = {
	{"magic", 0, 4, "mark of a page but with 00000000", "mark of a page but with ffffffff", "mark of a page but with 47505242"},
	{"number", 8, 8, "says that it is page 0", "says that it is page 18446744073709551615", "says that it is page 10"},
	{"birth", 16, 8, "birth 0/0, expected 0/186A0", "birth FFFFFFFF/FFFFFFFF", "birth 0/186A1, expected"},
	{"kind", 24, 1, "kind 0, expected", "kind 255, expected", "expected"},
	{"reserved", 30, 2, NULL, "reserved bytes are not zero", "reserved bytes are not zero"},
	{"system", 36, 4, "of system 00000000, expected 55667788", "of system ffffffff", "of system 55667789"},
};
static const Field leaf_fields[] = {
	{"level", 25, 1, NULL, "level 255 of kind 1", "level 1 of kind 1"},
	{"count", 26, 2, "0 entries", "65535 entries", "entry 3 at offset 0, expected at 16384"},
	{"prefix_len", 28, 2, "not zero, and nothing", "a prefix of 65535 bytes", "entry 0 at offset 47167, expected at 16293"},
	{"data_len", 32, 4, "not zero, and nothing", "4294967295 bytes of entries where", "entry 0 at offset 16293, expected at 16292"},
	{"link", 40, 8, NULL, "link 18446744073709551615 in a page of the tree", "link 1 in a page of the tree"},
	{"prefix", 48, 4, NULL, NULL, NULL},
	{"place 0", 52, 2, "entry 0 at offset 0, expected", "entry 0 at offset 65535", "entry 0 at offset"},
	{"place 1", 54, 2, "entry 1 at offset 0, expected", "entry 1 at offset 65535", "entry 1 at offset"},
	{"place 2", 56, 2, "entry 2 at offset 0, expected", "entry 2 at offset 65535", "entry 2 at offset"},
	{"free", 58, 1, NULL, "bytes 58 to 16292 are not zero", "bytes 58 to 16292 are not zero"},
	{"last of free", END - 92, 1, NULL, "are not zero", "are not zero"},
	{"0 lsn", END - 91, 8, "entry 0: LSN 0/0", "entry 0: LSN FFFFFFFF/FFFFFFFF in", "entry 0: LSN 0/186A1 in a page of birth 0/186A0"},
	{"0 value_len", END - 83, 4, "entry 1 at offset", "entry 0: a value of 4294967295 bytes outside", "entry 1 at offset"},
	{"0 suffix_len", END - 79, 2, NULL, "entry 0 at offset 16293 reaches beyond", "entry 1 at offset"},
	{"0 flags", END - 77, 2, NULL, "entry 0: unknown flags ffff", "entry 1 at offset"},
	{"0 value", END - 75, 3, NULL, NULL, NULL},
	{"1 lsn", END - 72, 8, "entry 1: LSN 0/0", "entry 1: LSN FFFFFFFF", NULL},
	{"1 value_len", END - 64, 4, "entry 2 at offset", "entry 1: a value of 4294967295", "entry 2 at offset"},
	{"1 suffix_len", END - 60, 2, "key of entry 1 is not above that of entry 0", "entry 1 at offset 16312 reaches beyond", "entry 2 at offset"},
	{"1 flags", END - 58, 2, "entry 2 at offset", "entry 1: unknown flags", "entry 1: a value of 2 bytes in an extent"},
	{"1 expiry", END - 56, 8, "entry 1: an expiry of 0", NULL, NULL},
	{"1 suffix", END - 48, 1, NULL, "key of entry 2 is not above that of entry 1", NULL},
	{"1 value", END - 47, 2, NULL, NULL, NULL},
	{"2 lsn", END - 45, 8, "entry 2: LSN 0/0", "entry 2: LSN FFFFFFFF", NULL},
	{"2 value_len", END - 37, 4, "entry 2: a value of 0 bytes in an extent", "entry 2: an extent of 2 pages for 4294967295", NULL},
	{"2 suffix_len", END - 33, 2, "entry 2: an extent of", "reaches beyond the page's end", "reaches beyond the page's end"},
	{"2 flags", END - 31, 2, "outside an extent", "entry 2: unknown flags", "entry 2: unknown flags 0004"},
	{"2 expiry", END - 29, 8, "entry 2: an expiry of 0", NULL, NULL},
	{"2 suffix", END - 21, 1, "key of entry 2 is not above", NULL, NULL},
	{"2 number", END - 20, 8, "extent has the impossible number 0", "extent has the impossible number 18446744073709551615", NULL},
	{"2 birth", END - 12, 8, "extent has birth 0/0, this page", "extent has birth FFFFFFFF", NULL},
	{"2 pages", END - 4, 4, "an extent of 0 pages for 20000", "an extent of 4294967295 pages", "an extent of 3 pages for 20000 bytes"},
};
static const Field inner_fields[] = {
	{"level", 25, 1, "level 0 of kind 2", "level 255 of kind 2", "level 4, expected 3"},
	{"count", 26, 2, "0 entries", "65535 entries", "entry 3 at offset 0, expected at 16384"},
	{"prefix_len", 28, 2, "not zero, and nothing", "a prefix of 65535 bytes", "expected at 16321"},
	{"data_len", 32, 4, "not zero, and nothing", "4294967295 bytes of entries", "entry 0 at offset"},
	{"link", 40, 8, NULL, "link 18446744073709551615 in", "link 1 in"},
	{"prefix", 48, 1, NULL, NULL, NULL},
	{"place 0", 49, 2, "entry 0 at offset 0", "entry 0 at offset 65535", "entry 0 at offset"},
	{"place 2", 53, 2, "entry 2 at offset 0", "entry 2 at offset 65535", "entry 2 at offset"},
	{"free", 55, 1, NULL, "not zero, and nothing", "not zero, and nothing"},
	{"0 number", END - 63, 8, "child has the impossible number 0", "child has the impossible number", NULL},
	{"0 birth", END - 55, 8, "child has birth 0/0", "child has birth FFFFFFFF", "child has birth 0/186A1, this page 0/186A0"},
	{"0 suffix_len", END - 47, 2, NULL, "reaches beyond", "entry 1 at offset"},
	{"0 flags", END - 45, 2, NULL, "unknown flags ffff", NULL},
	{"1 number", END - 43, 8, "child has the impossible number 0", "child has the impossible number", NULL},
	{"1 birth", END - 35, 8, "child has birth 0/0", "child has birth FFFFFFFF", NULL},
	{"1 suffix_len", END - 27, 2, "key of entry 1 is not above that of entry 0", "reaches beyond", "entry 2 at offset"},
	{"1 flags", END - 25, 2, NULL, "unknown flags ffff", "entry 1: unknown flags 0002"},
	{"1 suffix", END - 23, 1, NULL, "key of entry 2 is not above", NULL},
	{"2 suffix_len", END - 6, 2, "key of entry 2 is not above", "reaches beyond", "reaches beyond"},
	{"2 suffix", END - 2, 2, "key of entry 2 is not above", NULL, NULL},
};
static const Field overflow_fields[] = {
	{"level", 25, 1, NULL, "level 255 of kind 3", "level 1 of kind 3"},
	{"count", 26, 2, NULL, "65535 entries in an overflow page", "1 entries in an overflow page"},
	{"prefix_len", 28, 2, NULL, "a prefix of 65535 bytes", "a prefix of 1 bytes"},
	{"data_len", 32, 4, "0 bytes of value", "4294967295 bytes of value", NULL},
	{"link", 40, 8, NULL, NULL, NULL},
	{"value", 48, 1000, NULL, NULL, NULL},
	{"behind", 1048, 1, NULL, "bytes 1048 to 16383 are not zero", "bytes 1048 to 16383 are not zero"},
	{"last", END - 1, 1, NULL, "are not zero", "are not zero"},
};
static const Field map_fields[] = {
	{"level", 25, 1, NULL, "level 255 of kind 4", "level 1 of kind 4"},
	{"count", 26, 2, "not zero, and nothing", "65535 entries", "entry 3: a run of 0 pages from 0 on"},
	{"prefix_len", 28, 2, NULL, "a prefix of", "a prefix of"},
	{"data_len", 32, 4, NULL, "4294967295 bytes of data in a map page", "1 bytes of data"},
	{"0 first", 48, 8, "entry 0: a run of 2 pages from 0 on", "entry 0: a run of 2 pages from 18446744073709551615", "entry 1 begins at page 5, entry 0 ends at page 5"},
	{"0 died", 56, 8, NULL, "entry 0: set aside at FFFFFFFF/FFFFFFFF", NULL},
	{"0 count", 64, 4, "entry 0: a run of 0 pages", "entry 1 begins at page 5", "entry 1 begins at page 5, entry 0 ends at page 5"},
	{"0 reserved", 68, 4, NULL, "entry 0: reserved", "entry 0: reserved"},
	{"1 first", 72, 8, "entry 1: a run of 1 pages from 0 on", "entry 1: a run of", NULL},
	{"1 died", 80, 8, "entries 0 and 1 are one run", "entry 1: set aside", "entry 1: set aside at 0/186A1, this page was born at 0/186A0"},
	{"1 count", 88, 4, "entry 1: a run of 0", "entry 2 begins at page 7", NULL},
	{"2 first", 96, 8, "entry 2: a run of 2 pages from 0", "entry 2: a run of", NULL},
	{"2 reserved", 116, 4, NULL, "entry 2: reserved", "entry 2: reserved"},
	{"behind", 120, 1, NULL, "bytes 120 to 16383 are not zero", "bytes 120 to 16383 are not zero"},
};

static const BaseRef by_hand_ref = {9, BIRTH};

/* damage -- the field gets 'bytes'; wrong checksum first, then the right one. */
static void
damage(const uint8 *good, const Field *f, const uint8 *bytes, const char *says, const char *how)
{
	uint8	   *page = page_alloc();
	const BasePage *g = (const BasePage *) good;
	const char *why;

	memcpy(page, good, BASE_PAGE_SIZE);
	memcpy(page + f->at, bytes, f->len);
	if (memcmp(page, good, BASE_PAGE_SIZE) != 0)
	{
		why = verdict(page, by_hand_ref, g->kind, g->level);
		if (why == NULL || (strstr(why, "checksum ") == NULL && strstr(why, "mark of a page") == NULL))
			fail_msg("kind %u, %s %s, checksum wrong: %s", g->kind, f->name, how, why == NULL ? "found good" : why);
		base_page_seal(page);
		why = verdict(page, by_hand_ref, g->kind, g->level);
		if (says == NULL ? why != NULL : why == NULL || strstr(why, says) == NULL)
			fail_msg("kind %u, %s %s: %s", g->kind, f->name, how, why == NULL ? "found good" : why);
	}
	else
		assert_null(says);	/* the table says what cannot happen */
	free(page);
}

static void
damage_fields(const uint8 *good, const Field *fields, size_t count)
{
	uint8		bytes[BASE_PAGE_SIZE];

	assert_null(verdict(good, by_hand_ref, ((const BasePage *) good)->kind, ((const BasePage *) good)->level));
	for (size_t i = 0; i < count; i++)
	{
		const Field *f = &fields[i];

		memset(bytes, 0, f->len);
		damage(good, f, bytes, f->zero, "zero");
		memset(bytes, 0xff, f->len);
		damage(good, f, bytes, f->ones, "all ones");
		memcpy(bytes, good + f->at, f->len);
		for (uint32 j = 0; j < f->len && ++bytes[j] == 0; j++)
			;
		damage(good, f, bytes, f->more, "one more");
	}
}

static void
test_every_field(void **state)
{
	uint8	   *page = page_alloc();

	(void) state;
#define ALL(fields) damage_fields(page, fields, lengthof(fields))
	leaf_by_hand(page);
	ALL(header_fields);
	ALL(leaf_fields);
	inner_by_hand(page);
	ALL(header_fields);
	ALL(inner_fields);
	overflow_by_hand(page);
	ALL(header_fields);
	ALL(overflow_fields);
	map_by_hand(page);
	ALL(header_fields);
	ALL(map_fields);
#undef ALL
	free(page);
}

/*
 * every run of 8 bytes that differs from an older version of the page taken over
 * from it: never good with the old checksum; with a fresh one either refused, or
 * a page whose keys ascend and can all be found
 */
static void
test_older_copy(void **state)
{
	uint8	   *older = page_alloc();
	uint8	   *newer = page_alloc();
	uint8	   *page = page_alloc();
	BaseBuilder *b = base_builder_create();
	uint32		refused = 0,
				taken = 0;

	(void) state;
	for (int version = 0; version < 2; version++)
	{
		base_builder_reset(b, BASE_LEAF, 0);
		for (uint32 i = 0; i < 100; i++)
		{
			uint8		key[20];
			uint32		len = (uint32) snprintf((char *) key, sizeof(key), "tree/key%04u", i * 2 + (uint32) version * (i > 50));
			BaseLeafEntry e = {.lsn = 1000 * (uint32) version + 1 + i, .value_len = i % 7 + (uint32) version * (i % 13 == 0), .value = values + i,
							   .expiry = i % 5 == 0 ? 1 + i : 0};

			assert_true(base_builder_add_leaf(b, key, len, &e));
		}
		base_builder_finish(b, 0, 100, (BaseRef) {9, 1000 + 1000 * (uint32) version}, SYSTEM, version == 0 ? older : newer);
	}
	assert_good(older);
	assert_string_equal(verdict(older, (BaseRef) {9, 2000}, BASE_LEAF, 0), "birth 0/3E8, expected 0/7D0");
	for (uint32 at = 0; at < BASE_PAGE_SIZE; at += 8)
	{
		const char *why;

		if (memcmp(older + at, newer + at, 8) == 0)
			continue;
		memcpy(page, newer, BASE_PAGE_SIZE);
		memcpy(page + at, older + at, 8);
		why = verdict(page, (BaseRef) {9, 2000}, BASE_LEAF, 0);
		assert_true(why != NULL && strncmp(why, "checksum ", 9) == 0);
		base_page_seal(page);
		if (verdict(page, (BaseRef) {9, 2000}, BASE_LEAF, 0) != NULL)
		{
			refused++;
			continue;
		}
		taken++;
		for (uint32 i = 0; i < 100; i++)
		{
			uint8		key[BASE_KEY_MAX];
			uint32		len = base_page_key(page, i, key);
			bool		exact;

			assert_int_equal(base_page_search(page, key, len, &exact), i);
			assert_true(exact);
		}
	}
	/* torn: the first sectors new, the rest old */
	for (uint32 at = 512; at < BASE_PAGE_SIZE; at += 512)
	{
		memcpy(page, newer, at);
		memcpy(page + at, older + at, BASE_PAGE_SIZE - at);
		assert_true(memcmp(page, newer, BASE_PAGE_SIZE) == 0 || verdict(page, (BaseRef) {9, 2000}, BASE_LEAF, 0) != NULL);
	}
	assert_true(refused > taken && refused > 100);
	free(older);
	free(newer);
	free(page);
	base_builder_destroy(b);
}

/* ---- any bytes: nothing outside the page is read, and what is found good can be used ---- */

static void
use_page(const uint8 *page)
{
	const BasePage *p = (const BasePage *) page;
	uint8		key[BASE_KEY_MAX];
	uint8		next[BASE_KEY_MAX];
	uint32		len = 0;

	for (uint32 i = 0; i < p->count && (p->kind == BASE_LEAF || p->kind == BASE_INNER); i++)
	{
		uint32		next_len = base_page_key(page, i, next);
		bool		exact;

		if (i > 0)
			assert_true(memcmp(key, next, Min(len, next_len)) < 0 || (memcmp(key, next, Min(len, next_len)) == 0 && len < next_len));
		memcpy(key, next, next_len);
		len = next_len;
		assert_int_equal(base_page_search(page, key, len, &exact), i);
		assert_true(exact);
		if (p->kind == BASE_LEAF)
		{
			BaseLeafEntry e;

			base_leaf_entry(page, i, &e);
			assert_true(e.value == NULL || (e.value >= page && e.value + e.value_len <= page + BASE_PAGE_SIZE));
		}
		else
			assert_true(base_inner_child(page, i, NULL).number != 0);
	}
}

static void
fuzz_once(const uint8 *good, uint8 *page)
{
	const BasePage *p = (const BasePage *) page;
	static const uint32 interesting[] = {0, 1, 0x7fff, 0x8000, 0xffff, 16383, 16384, 16385, 4100, 4101, 16336, 0x7fffffff, 0xffffffff};
	int			changes = 1 + (int) (unit_random() % 4);
	uint32		data = BASE_PAGE_SIZE - Min(((const BasePage *) good)->data_len, (uint32) BASE_OVERFLOW_BYTES);

	memcpy(page, good, BASE_PAGE_SIZE);
	for (int i = 0; i < changes; i++)
	{
		uint32		at;
		uint32		v = interesting[unit_random() % lengthof(interesting)];

		/* where something is: header and table, or the entries */
		at = (uint32) (unit_random() % 2 == 0 ? 24 + unit_random() % 120 : data + unit_random() % (BASE_PAGE_SIZE - data + 1));
		at = Min(at, BASE_PAGE_SIZE - 4);
		switch (unit_random() % 4)
		{
			case 0:
				page[at] = (uint8) unit_random();
				break;
			case 1:
				memcpy(page + at, &v, 2);
				break;
			case 2:
				memcpy(page + at, &v, 4);
				break;
			default:
				page[at] += (uint8) (unit_random() % 3 - 1);
				break;
		}
	}
	base_page_seal(page);
	/* of whatever kind and level it says it is */
	if (verdict(page, (BaseRef) {p->number, p->birth}, p->kind, -1) == NULL)
		use_page(page);
}

static void
test_any_bytes(void **state)
{
	uint8	   *good[6];
	uint8	   *page = page_alloc();
	BaseBuilder *b = base_builder_create();

	(void) state;
	for (int i = 0; i < 6; i++)
		good[i] = page_alloc();
	leaf_by_hand(good[0]);
	inner_by_hand(good[1]);
	overflow_by_hand(good[2]);
	map_by_hand(good[3]);
	/* a full leaf and a full inner page */
	for (int kind = BASE_LEAF; kind <= BASE_INNER; kind++)
	{
		uint32		all = make_keys(KEYS, 4, kind);
		uint32		n = 0;
		BaseLeafEntry e = entry_for(0);

		base_builder_reset(b, (BaseKind) kind, kind == BASE_INNER);
		while (n < all && (kind == BASE_LEAF ? (e = entry_for(n), base_builder_add_leaf(b, keys[n].bytes, keys[n].len, &e))
						   : base_builder_add_inner(b, keys[n].bytes, keys[n].len, (BaseRef) {10 + n, 5}, 0)))
			n++;
		base_builder_finish(b, 0, n, by_hand_ref, SYSTEM, good[3 + kind]);
		assert_good(good[3 + kind]);
	}
	for (int i = 0; i < 30000 * unit_factor(); i++)
		fuzz_once(good[unit_random() % 6], page);
	/* nothing but noise under a good header */
	for (int i = 0; i < 500 * unit_factor(); i++)
	{
		for (uint32 at = 0; at < BASE_PAGE_SIZE; at += 8)
		{
			uint64		word = unit_random();

			memcpy(page + at, &word, 8);
		}
		memcpy(page, good[unit_random() % 6], 24 + unit_random() % 40);
		base_page_seal(page);
		if (verdict_own(page) == NULL)
			use_page(page);
	}
	memset(page, 0, BASE_PAGE_SIZE);
	assert_non_null(strstr(verdict(page, by_hand_ref, BASE_LEAF, 0), "it does not begin with the mark of a page"));
	for (int i = 0; i < 6; i++)
		free(good[i]);
	free(page);
	base_builder_destroy(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oracle),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_older_copy),
		cmocka_unit_test(test_any_bytes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
