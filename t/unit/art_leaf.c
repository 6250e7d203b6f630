/*
 * art_leaf.c -- leaves: every size of key and value around the borders, in parts.
 *
 * Goal: what goes in comes out, whatever it was gathered from and wherever it is
 * read; nothing is kept when memory is short; exactly what was taken comes back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include "art_common.h"

#include <cmocka.h>

#define SLOTS 2
#define VALUE_MAX (17 * MIB)

static uint8 *source;			/* VALUE_MAX bytes */
static uint8 *target;

static int
setup(void **state)
{
	uint64		rng = test_seed();

	(void) state;
	source = malloc(VALUE_MAX);
	target = malloc(VALUE_MAX);
	assert_non_null(source);
	assert_non_null(target);
	for (uint64 i = 0; i < VALUE_MAX; i += 8)
	{
		uint64		word = test_random(&rng);

		memcpy(source + i, &word, 8);
	}
	return 0;
}

static int
cleanup(void **state)
{
	(void) state;
	free(source);
	free(target);
	return 0;
}

/* cut -- the first 'len' bytes of source as parts of random length, some of them empty. */
static int
cut(uint64 *rng, uint64 len, BytePart *part, int part_max)
{
	uint64		at = 0;
	int			count = 0;

	while (count < part_max - 1 && test_random(rng) % 8 != 0)
	{
		uint64		n = at < len && test_random(rng) % 4 != 0 ? test_random(rng) % (len - at + 1) : 0;

		part[count++] = (BytePart) {n > 0 ? source + at : NULL, n};
		at += n;
	}
	part[count++] = (BytePart) {source + at, len - at};
	return count;
}

static Off
build(const uint8 *key, uint16 key_len, uint64 value_len, uint16 flags, uint64 *rng)
{
	BytePart	part[6];
	int			count = cut(rng, value_len, part, lengthof(part));
	Off			off;

	while ((off = leaf_build(key, key_len, part, count, flags, 4711)) == MEM_NONE)
		assert_int_equal(mem_grow(), 0);
	return off;
}

static void
check(Off off, const uint8 *key, uint16 key_len, uint64 value_len, uint64 *rng)
{
	const Leaf *l = seg_ptr(off);
	uint64		at = 0;

	assert_int_equal(l->lsn, 0);
	assert_int_equal(l->key_len, key_len);
	assert_int_equal(l->value_len, value_len);
	assert_memory_equal(leaf_key(l), key, key_len);
	assert_int_equal((leaf_flags(l) & LEAF_EXTENTS) != 0, value_len > LEAF_INLINE_MAX);
	assert_int_equal(leaf_extent_count(l), value_len > LEAF_INLINE_MAX ? (value_len + LEAF_EXTENT_BYTES - 1) / LEAF_EXTENT_BYTES : 0);
	while (at < value_len)
	{
		size_t		n;
		const uint8 *p = leaf_value_part(l, at, &n);

		assert_true(n > 0 && at + n <= value_len);
		assert_memory_equal(p, source + at, n);
		at += n;
	}
	for (int i = 0; i < 8; i++)
	{
		uint64		from = test_random(rng) % (value_len + 1);
		uint64		n = test_random(rng) % (value_len - from + 1);

		leaf_copy_value(l, from, n, target);
		assert_memory_equal(target, source + from, n);
	}
}

static void
test_sizes(void **state)
{
	static const uint64 lens[] = {0, 1, 7, 8, 64, 4095, 4096, 4097, 32767, 32768, 32769, 65535, 65536, 65537, 1048576, 16 * MIB};
	static const uint16 key_lens[] = {0, 1, 4, 5, 44, 511, 512, 4099, KEY_MAX};
	static const uint16 flags[] = {0, LEAF_HAS_EXPIRY, LEAF_HAS_LINK, LEAF_HAS_EXPIRY | LEAF_HAS_LINK};
	uint64		rng = test_seed();
	MemStats	stats;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	for (uint32 v = 0; v < lengthof(lens); v++)
		for (uint32 k = 0; k < lengthof(key_lens); k++)
			for (uint32 f = 0; f < lengthof(flags); f++)
			{
				const uint8 *key = source + 100 * f;
				Off			off;

				if (lens[v] > MIB && (k % 4 != 0 || f % 3 != 0))
					continue;
				off = build(key, key_lens[k], lens[v], flags[f], &rng);
				check(off, key, key_lens[k], lens[v], &rng);
				if (flags[f] & LEAF_HAS_EXPIRY)
					assert_int_equal(((uint64 *) ((Leaf *) seg_ptr(off) + 1))[0], 4711);
				if (flags[f] == LEAF_HAS_LINK)
					assert_int_equal(((uint64 *) ((Leaf *) seg_ptr(off) + 1))[0], 0);
				if (test_random(&rng) % 2 == 0)
					leaf_free(off);
				else
				{
					leaf_retire(off);
					mem_stats(&stats);
					assert_int_equal(stats.retired, stats.used);
					test_reclaim_all(SLOTS);
				}
				mem_stats(&stats);
				assert_int_equal(stats.used, 0);
			}
	assert_int_equal(mem_live_blocks(), 0);
}

/* a new value made of parts of an old leaf, as APPEND does */
static void
test_append(void **state)
{
	uint64		rng = test_seed();
	uint64		len = 0;
	Off			old = 0;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	for (uint64 i = 0; i < 60; i++)
	{
		uint64		more = test_random(&rng) % (i % 8 == 0 ? 60000 : 900);
		BytePart	part[64];
		int			count = 0;
		Off			off;

		for (uint64 at = 0; at < len; count++)
		{
			part[count].data = leaf_value_part(seg_ptr(old), at, &part[count].len);
			at += part[count].len;
		}
		part[count++] = (BytePart) {source + len, more};
		while ((off = leaf_build("key", 3, part, count, 0, 0)) == MEM_NONE)
			assert_int_equal(mem_grow(), 0);
		if (old != 0)
			leaf_free(old);
		old = off;
		len += more;
		check(old, (const uint8 *) "key", 3, len, &rng);
	}
	leaf_free(old);
	assert_int_equal(mem_live_blocks(), 0);
}

/* memory for the leaf but not for all its extents: all or nothing */
static void
test_short_of_memory(void **state)
{
	BytePart	part = {source, 16 * MIB};
	MemStats	before;
	MemStats	after;
	Off			off;
	Off			tombstone;

	(void) state;
	test_segment(10 * MIB, SLOTS);
	assert_int_equal(leaf_build("k", 1, &part, 1, 0, 0), MEM_NONE);
	while (mem_grow() == 0)
	{
		Off			block;

		/* eat half of what there is, so that growing goes on */
		for (int i = 0; i < 8 && (block = mem_alloc(MEM_BLOCK_MAX)) != MEM_NONE; i++)
			;
	}
	mem_stats(&before);
	assert_int_equal(leaf_build("k", 1, &part, 1, 0, 0), MEM_NONE);
	mem_stats(&after);
	assert_int_equal(after.used, before.used);
	/* what deletes may use the reserve */
	part.len = 0;
	while ((off = leaf_build("k", 1, &part, 1, 0, 0)) != MEM_NONE)
		;
	tombstone = leaf_build("k", 1, NULL, 0, LEAF_TOMBSTONE, 0);
	assert_int_not_equal(tombstone, MEM_NONE);
	assert_int_equal(leaf_flags(seg_ptr(tombstone)), LEAF_TOMBSTONE);
}

/* the copy shares the extents; only one of the two gives them back */
static void
test_copy(void **state)
{
	uint64		rng = test_seed();
	Off			old;
	Off			copy;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	for (uint64 len = 10; len < 200000; len = len * 7 + 1)
	{
		Leaf	   *l;

		old = build(source, 100, len, LEAF_HAS_EXPIRY, &rng);
		art_mark_seen(seg_ptr(old));
		copy = mem_alloc(leaf_size(seg_ptr(old)));
		assert_int_not_equal(copy, MEM_NONE);
		leaf__copy_to(copy, seg_ptr(old));
		l = seg_ptr(copy);
		assert_int_equal(leaf_flags(seg_ptr(old)) & LEAF_SEEN, LEAF_SEEN);
		assert_int_equal(leaf_flags(l) & LEAF_SEEN, 0);
		check(copy, source, 100, len, &rng);
		mem_retire(old, leaf_size(seg_ptr(old)));
		test_reclaim_all(SLOTS);
		check(copy, source, 100, len, &rng);
		leaf_retire(copy);
		test_reclaim_all(SLOTS);
		assert_int_equal(mem_live_blocks(), 0);
	}
}

/* the optional words, in every combination: zero when built, each in its place, carried or dropped by a copy */
static void
test_words(void **state)
{
	enum { WORDS = LEAF_HAS_EXPIRY | LEAF_HAS_LINK | LEAF_UNKNOWN, EXPIRY = 815 };
	static const uint64 lens[] = {0, 1, 7, 100, LEAF_INLINE_MAX, LEAF_INLINE_MAX + 1, 100000};
	static const uint16 drops[] = {0, LEAF_HAS_LINK, LEAF_UNKNOWN, LEAF_HAS_LINK | LEAF_UNKNOWN};
	uint64		rng = test_seed();

	(void) state;
	test_segment(64 * MIB, SLOTS);
	for (uint32 flags = 0; flags <= WORDS; flags++)
		for (uint32 i = 0; (flags & (uint32) ~WORDS) == 0 && i < lengthof(lens) * lengthof(drops); i++)
		{
			uint64		len = lens[i / lengthof(drops)];
			uint16		drop = drops[i % lengthof(drops)];
			BytePart	part = {source, len};
			Off			old;
			Off			copy;
			Leaf	   *l;

			while ((old = leaf_build(source, (uint16) (i % 13), &part, 1, (uint16) flags, EXPIRY)) == MEM_NONE)
				assert_int_equal(mem_grow(), 0);
			l = seg_ptr(old);
			assert_int_equal(leaf_link(l), 0);
			assert_int_equal(leaf_first(l), LSN_NONE);
			if (flags & LEAF_HAS_LINK)
				leaf_set_link(l, 64);
			if (flags & LEAF_UNKNOWN)
				leaf_set_first(l, 77);
			art_mark_seen(l);
			check(old, source, i % 13, len, &rng);
			l->lsn = 4711;
			copy = leaf_copy(l, drop);
			assert_int_not_equal(copy, MEM_NONE);
			l->lsn = 0;
			l = seg_ptr(copy);
			assert_int_equal(leaf_flags(l), (flags & (uint32) ~drop) | (len > LEAF_INLINE_MAX ? LEAF_EXTENTS : 0));
			assert_int_equal(l->lsn, 4711);
			l->lsn = 0;
			check(copy, source, i % 13, len, &rng);
			if (flags & LEAF_HAS_EXPIRY)
				assert_int_equal(((uint64 *) (l + 1))[0], EXPIRY);
			assert_int_equal(leaf_link(l), (flags & ~drop & LEAF_HAS_LINK) ? 64 : 0);
			assert_int_equal(leaf_first(l), (flags & ~drop & LEAF_UNKNOWN) ? 77 : LSN_NONE);
			/* either of the two is the shell */
			if (i % 2)
			{
				leaf_free_shell(copy);
				check(old, source, i % 13, len, &rng);
				leaf_retire(old);
			}
			else
			{
				leaf_retire_shell(old);
				test_reclaim_all(SLOTS);
				check(copy, source, i % 13, len, &rng);
				leaf_free(copy);
			}
			test_reclaim_all(SLOTS);
			assert_int_equal(mem_live_blocks(), 0);
		}
}

/* a chain goes up to where it is told */
static void
test_chain(void **state)
{
	enum { VERSIONS = 10 };

	(void) state;
	test_segment(64 * MIB, SLOTS);
	for (uint32 until = 0; until <= VERSIONS; until++)
	{
		Off			version[VERSIONS + 1] = {0};	/* [i] links to [i + 1]; the last one has no link */

		for (int i = VERSIONS - 1; i >= 0; i--)
		{
			BytePart	part = {source, i % 3 == 0 ? 40000 : 10};

			while ((version[i] = leaf_build("k", 1, &part, 1, i < VERSIONS - 1 ? LEAF_HAS_LINK : 0, 0)) == MEM_NONE)
				assert_int_equal(mem_grow(), 0);
			if (i < VERSIONS - 1)
				leaf_set_link(seg_ptr(version[i]), version[i + 1]);
		}
		leaf_retire_chain(version[0], version[until]);
		test_reclaim_all(SLOTS);
		for (uint32 i = until; i < VERSIONS; i++)
		{
			assert_int_equal(leaf_link(seg_ptr(version[i])), version[i + 1]);
			leaf_free(version[i]);
		}
		assert_int_equal(mem_live_blocks(), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_sizes, test_teardown),
		cmocka_unit_test_teardown(test_append, test_teardown),
		cmocka_unit_test_teardown(test_short_of_memory, test_teardown),
		cmocka_unit_test_teardown(test_copy, test_teardown),
		cmocka_unit_test_teardown(test_words, test_teardown),
		cmocka_unit_test_teardown(test_chain, test_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	print_message("# ARTERY_SEED=%llu\n", (unsigned long long) test_seed());
	return cmocka_run_group_tests(tests, setup, cleanup);
}
