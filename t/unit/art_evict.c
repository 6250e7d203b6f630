/*
 * art_evict.c -- eviction in one thread, case by case: what goes, what stays, what is
 * counted, what is still known afterwards.
 *
 * Goal: a piece of the clock takes exactly what may go and gives back exactly the
 * memory that it says; nodes that become empty or nearly so go, too; a second chance
 * is one; whole chains of versions go with their head; memory that is full to the
 * last byte is no obstacle; COMPLETE goes on the way to what was taken and nowhere
 * else.  art_oracle.c does the same with random operations, art_complete.c with
 * threads.
 */
#include "art_keys.h"

#define SLOTS 2
#define STEP (300 * KIB)

static uint64 rng;

static void
check_tree(ArtStats *stats)
{
	char		err[200];

	epoch_enter();
	if (!art_check(&shared->root, stats, err, sizeof(err)))
		fail_msg("%s", err);
	epoch_leave();
}

static uint64
used_bytes(void)
{
	MemStats	mem;

	test_reclaim_all(SLOTS);
	mem_stats(&mem);
	assert_int_equal(mem.lost, 0);
	return mem.used;
}

static void
put(const void *k, uint32 len, uint32 value_len)
{
	static uint8 value[100000];

	assert_true(value_len <= sizeof(value));
	assert_int_not_equal(test_write(k, len, value, value_len, TEST_PUT, STEP, NULL), 0);
}

static bool
present(const void *k, uint32 len)
{
	bool		there;

	epoch_enter();
	there = art_lookup(&shared->root, k, len) != NULL;
	epoch_leave();
	return there;
}

/* known -- is it known that a key which is not in memory is nowhere? */
static bool
known(const void *k, uint32 len)
{
	bool		complete;
	ArtPos		pos;

	epoch_enter();
	assert_null(art_lookup_complete(&shared->root, k, len, &complete));
	assert_int_equal(art_locate(&shared->root, k, len, &pos), ART_OK);
	assert_null(pos.leaf);
	assert_int_equal(pos.complete, complete);
	epoch_leave();
	return complete;
}

static bool
prefix_known(const void *prefix, uint32 len)
{
	bool		complete;

	epoch_enter();
	complete = art_prefix_complete(&shared->root, prefix, len);
	epoch_leave();
	return complete;
}

static bool
any(const Leaf *l, void *arg)
{
	(void) l;
	(void) arg;
	return true;
}

/* begins_with -- may_go of all keys with the prefix 'arg' */
static bool
begins_with(const Leaf *l, void *arg)
{
	const char *prefix = arg;

	return l->key_len >= strlen(prefix) && memcmp(leaf_key(l), prefix, strlen(prefix)) == 0;
}

/* evict_round -- the clock goes around once, in pieces of 'steps'. */
static ArtEvicted
evict_round(uint32 steps, ArtMayGo may_go, void *arg)
{
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	ArtEvicted	out = {0};
	ArtStats	stats;

	while (!art_evict(&shared->root, from, &from_len, steps, may_go, arg, &out))
	{
		check_tree(&stats);
		mem_reclaim();
	}
	check_tree(&stats);
	return out;
}

/* everything goes, whatever the size of the pieces, and what is counted is what was there */
static void
test_everything(void **state)
{
	static const uint32 steps[] = {1, 2, 7, 50, 1000, 100000};

	(void) state;
	rng = test_seed();
	test_segment(64 * MIB, SLOTS);
	make_keys();
	for (uint32 i = 0; i < lengthof(steps); i++)
	{
		ArtStats	stats;
		ArtEvicted	out;
		uint64		used;

		for (uint32 n = 0; n < key_count; n++)
			put(key[n].byte, key[n].len, n % 50 == 0 ? 70000 : (uint32) (test_random(&rng) % 200));
		check_tree(&stats);
		assert_int_equal(stats.leaves, key_count);
		used = used_bytes();
		out = evict_round(steps[i], any, NULL);
		assert_int_equal(out.looked, key_count);
		assert_int_equal(out.leaves, key_count);
		assert_int_equal(atomic_load(&shared->root.slot), 0);
		assert_int_equal(used_bytes(), 0);
		if (steps[i] >= key_count)
		{
			/* in one piece no node is copied on the way down to nothing, but those that joined */
			assert_int_equal(out.nodes, stats.nodes[0] + stats.nodes[1] + stats.nodes[2] + stats.nodes[3]);
		}
		assert_int_equal(out.bytes, used);
	}
	assert_int_equal(mem_live_blocks(), 0);
}

/* ---- a part goes ---- */

static uint64 salt;
static uint32 share;
static Lsn	recent_horizon;

static bool
chosen(uint32 n)
{
	uint64		h = salt + n;

	return test_random(&h) % 100 < share;
}

static bool
may_go_chosen(const Leaf *l, void *arg)
{
	(void) arg;
	return chosen(key_number(l));
}

/* any part goes, the rest stays as it was, and the bytes counted are those that came free */
static void
test_a_part(void **state)
{
	(void) state;
	rng = test_seed();
	test_segment(64 * MIB, SLOTS);
	make_keys();
	for (uint32 i = 0; i < 200; i++)
	{
		uint64		used;
		ArtEvicted	out;
		uint64		wanted = 0;

		salt = test_random(&rng);
		share = (uint32) (test_random(&rng) % 101);
		for (uint32 n = 0; n < key_count; n++)
			if (!present(key[n].byte, key[n].len))
				put(key[n].byte, key[n].len, (uint32) (test_random(&rng) % 60));
		used = used_bytes();
		out = evict_round(1 + (uint32) (test_random(&rng) % 500), may_go_chosen, NULL);
		for (uint32 n = 0; n < key_count; n++)
		{
			wanted += chosen(n);
			assert_int_equal(present(key[n].byte, key[n].len), !chosen(n));
		}
		assert_int_equal(out.leaves, wanted);
		assert_int_equal(used - used_bytes(), out.bytes);
	}
}

/* ---- the second chance ---- */

static bool
not_recent(const Leaf *l, void *arg)
{
	(void) arg;
	return (atomic_fetch_and(&((Leaf *) (uintptr_t) l)->flags, (uint16) ~LEAF_RECENT) & LEAF_RECENT) == 0 &&
		l->lsn <= recent_horizon;
}

static void
test_second_chance(void **state)
{
	uint64		marked = 0;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	make_keys();
	for (uint32 n = 0; n < key_count; n++)
		put(key[n].byte, key[n].len, 10);
	recent_horizon = atomic_load(&shared->lsn);
	for (uint32 n = 0; n < key_count; n++)
		if (n % 3 == 0)
		{
			Leaf	   *l;

			epoch_enter();
			l = art_lookup(&shared->root, key[n].byte, key[n].len);
			art_mark_recent(l);
			art_mark_recent(l);
			assert_true(leaf_flags(l) & LEAF_RECENT);
			epoch_leave();
			marked++;
		}
	/* asked twice each: what was marked at the first asking stays for this round */
	assert_int_equal(evict_round(1000, not_recent, NULL).leaves, key_count - marked);
	for (uint32 n = 0; n < key_count; n++)
		assert_int_equal(present(key[n].byte, key[n].len), n % 3 == 0);
	assert_int_equal(evict_round(1000, not_recent, NULL).leaves, marked);
	assert_int_equal(atomic_load(&shared->root.slot), 0);
}

/* ---- may_go changes its mind ---- */

static uint64 asked;

static bool
changes_its_mind(const Leaf *l, void *arg)
{
	(void) l;
	(void) arg;
	asked++;
	return test_random(&rng) % 4 != 0;
}

/* between the looking and the freezing, and under the freeze: what is refused at last stays */
static void
test_changes_of_mind(void **state)
{
	(void) state;
	rng = test_seed();
	test_segment(64 * MIB, SLOTS);
	make_keys();
	for (uint32 i = 0; i < 100; i++)
	{
		uint64		before = 0;
		uint64		after = 0;
		uint64		used;
		ArtEvicted	out;

		for (uint32 n = 0; n < key_count; n++)
		{
			if (test_random(&rng) % 2)
				put(key[n].byte, key[n].len, 20);
			before += present(key[n].byte, key[n].len);
		}
		used = used_bytes();
		asked = 0;
		out = evict_round(1 + (uint32) (test_random(&rng) % 300), changes_its_mind, NULL);
		for (uint32 n = 0; n < key_count; n++)
			after += present(key[n].byte, key[n].len);
		assert_int_equal(before - after, out.leaves);
		assert_int_equal(used - used_bytes(), out.bytes);
		assert_true(asked > out.looked && asked <= 2 * out.looked);
	}
}

static uint8 times_asked[KEYS_MAX];

static bool
not_twice(const Leaf *l, void *arg)
{
	(void) arg;
	return times_asked[key_number(l)]++ == 0;
}

/* every leaf is asked again at the last moment, whichever way it would go */
static void
test_asked_again(void **state)
{
	ArtStats	before;
	ArtStats	after;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	make_keys();
	for (uint32 n = 0; n < key_count; n++)
		put(key[n].byte, key[n].len, 10);
	check_tree(&before);
	for (uint32 steps = 1; steps < 1000; steps *= 3)
	{
		memset(times_asked, 0, sizeof(times_asked));
		assert_int_equal(evict_round(steps, not_twice, NULL).leaves, 0);
		for (uint32 n = 0; n < key_count; n++)
			assert_int_equal(times_asked[n], 2);
	}
	check_tree(&after);
	assert_int_equal(after.leaves, before.leaves);
	assert_int_equal(after.leaf_bytes, before.leaf_bytes);
}

/* ---- versions that hang on a leaf ---- */

static void
test_chains(void **state)
{
	ArtStats	stats;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	make_keys();
	for (uint32 n = 0; n < key_count; n++)
	{
		put(key[n].byte, key[n].len, n % 5 == 0 ? 40000 : 10);
		/* up to four older versions, linked */
		for (uint32 i = 0; i < n % 5; i++)
		{
			BytePart	part = {"a newer version", 15};
			ArtPos		pos;
			Off			leaf;

			epoch_enter();
			assert_int_equal(art_locate(&shared->root, key[n].byte, key[n].len, &pos), ART_OK);
			leaf = leaf_build(key[n].byte, (uint16) key[n].len, &part, 1, LEAF_HAS_LINK | (i == 2 ? LEAF_UNKNOWN : 0), 0);
			assert_int_not_equal(leaf, MEM_NONE);
			leaf_set_link(seg_ptr(leaf), seg_off(pos.leaf));
			if (i == 2)
				leaf_set_first(seg_ptr(leaf), 4711);
			((Leaf *) seg_ptr(leaf))->lsn = atomic_fetch_add(&shared->lsn, STEP) + STEP;
			assert_int_equal(art_prepare(&pos, leaf), ART_OK);
			assert_true(art_raise_dirty(&pos, atomic_load(&shared->lsn)));
			assert_true(art_publish(&pos, leaf));
			epoch_leave();
		}
	}
	check_tree(&stats);
	assert_int_equal(stats.leaves, key_count);
	/* half of them by eviction, where collapses copy leaves with their links; the rest by the sweep */
	salt = test_seed();
	share = 50;
	(void) evict_round(64, may_go_chosen, NULL);
	epoch_enter();
	for (uint32 n = 0; n < key_count; n++)
	{
		const Leaf *l = art_lookup(&shared->root, key[n].byte, key[n].len);
		uint32		versions = 0;

		assert_int_equal(l == NULL, chosen(n));
		if (l != NULL && n % 5 == 3)
			assert_int_equal(leaf_first(l), 4711);
		for (; l != NULL; l = leaf_link(l) != 0 ? seg_ptr(leaf_link(l)) : NULL, versions++)
			assert_true(leaf__is(l, key[n].byte, key[n].len));
		assert_int_equal(versions, chosen(n) ? 0 : n % 5 + 1);
	}
	epoch_leave();
	{
		uint8		from[KEY_MAX];
		uint32		from_len = 0;
		uint64		removed = 0;

		while (!art_sweep(&shared->root, NULL, 0, from, &from_len, 100, any, NULL, &removed))
			mem_reclaim();
	}
	assert_int_equal(used_bytes(), 0);
	assert_int_equal(mem_live_blocks(), 0);
}

/* a leaf without its link takes the place of one with it */
static void
test_replace_leaf(void **state)
{
	ArtStats	stats;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	make_keys();
	for (uint32 n = 0; n < key_count; n++)
		put(key[n].byte, key[n].len, n % 7 == 0 ? 50000 : 30);
	for (uint32 n = 0; n < key_count; n++)
	{
		Leaf	   *l;
		Off			copy;
		Off			late;

		epoch_enter();
		l = art_lookup(&shared->root, key[n].byte, key[n].len);
		copy = leaf_copy(l, LEAF_HAS_LINK);
		late = leaf_copy(l, 0);
		assert_int_not_equal(copy, MEM_NONE);
		assert_int_not_equal(late, MEM_NONE);
		assert_true(art_replace_leaf(&shared->root, key[n].byte, key[n].len, l, copy));
		assert_true(leaf_flags(l) & LEAF_SEEN);
		assert_false(leaf_flags(seg_ptr(copy)) & LEAF_SEEN);
		leaf_retire_shell(seg_off(l));
		assert_false(art_replace_leaf(&shared->root, key[n].byte, key[n].len, l, late));
		leaf_free_shell(late);
		assert_ptr_equal(art_lookup(&shared->root, key[n].byte, key[n].len), seg_ptr(copy));
		epoch_leave();
		mem_keep_ahead();
	}
	check_tree(&stats);
	assert_int_equal(used_bytes(), stats.node_bytes + stats.leaf_bytes);
	(void) evict_round(1000, any, NULL);
	assert_int_equal(used_bytes(), 0);
	assert_int_equal(mem_live_blocks(), 0);
}

/* ---- memory ---- */

/* nothing is left, not even of the reserve: eviction goes on, and then there is room again */
static void
test_full_memory(void **state)
{
	enum { VALUE = 100 };
	uint8		k[16];
	uint32		count = 0;
	uint64		blocks = 0;
	uint64		all = 0;
	Off			list = 0;
	ArtEvicted	out;

	(void) state;
	test_segment(20 * MIB, SLOTS);
	for (;;)
	{
		BytePart	part = {k, VALUE % 16};
		uint32		len = (uint32) sprintf((char *) k, "%08x", count * 2654435761u);
		ArtPos		pos;
		Off			leaf = MEM_NONE;
		bool		full = true;

		epoch_enter();
		if (art_locate(&shared->root, k, len, &pos) == ART_OK &&
			(leaf = leaf_build(k, (uint16) len, &part, 1, 0, 0)) != MEM_NONE && art_prepare(&pos, leaf) == ART_OK)
		{
			((Leaf *) seg_ptr(leaf))->lsn = atomic_fetch_add(&shared->lsn, 64) + 64;
			assert_true(art_raise_dirty(&pos, atomic_load(&shared->lsn)));
			assert_true(art_publish(&pos, leaf));
			full = false;
			count++;
		}
		else
		{
			art_abandon(&pos);
			if (leaf != MEM_NONE)
				leaf_free(leaf);
		}
		epoch_leave();
		if (full && mem_grow() != 0)
			break;
	}
	/* the reserve, too: in blocks of the sizes that copies of nodes have */
	for (size_t size = 3 * KIB; size >= 16; size = size > 2 * 48 ? size / 2 : size - 8)
		for (;;)
		{
			Off			block = mem_alloc_reserve(size);

			if (block == MEM_NONE && mem_grow() != 0)
				break;
			if (block == MEM_NONE)
				continue;
			((uint64 *) seg_ptr(block))[0] = list;
			((uint64 *) seg_ptr(block))[1] = size;
			list = block;
			blocks++;
		}
	assert_int_equal(mem_alloc_reserve(sizeof(ArtNode4)), MEM_NONE);
	print_message("# %u keys, %llu blocks of the reserve\n", count, (unsigned long long) blocks);
	for (int round = 0; round < 20 && all < count; round++)
	{
		uint8		from[KEY_MAX];
		uint32		from_len = 0;

		memset(&out, 0, sizeof(out));
		while (!art_evict(&shared->root, from, &from_len, 200, any, NULL, &out))
			mem_reclaim();
		mem_reclaim();
		all += out.leaves;
	}
	assert_int_equal(all, count);
	assert_int_equal(atomic_load(&shared->root.slot), 0);
	while (list != 0)
	{
		Off			next = ((uint64 *) seg_ptr(list))[0];

		mem_free(list, ((uint64 *) seg_ptr(list))[1]);
		list = next;
	}
	assert_int_equal(used_bytes(), 0);
	assert_int_equal(mem_live_blocks(), 0);
}

/* ---- COMPLETE ---- */

static void
put_folders(uint32 folders, uint32 files)
{
	char		k[64];

	for (uint32 i = 0; i < folders; i++)
		for (uint32 j = 0; j < files; j++)
			put(k, (uint32) sprintf(k, "dir%02u/file%03u", i, j * 3), 10);
}

/* what lies beside the way keeps its knowledge, what was taken loses it */
static void
test_handed_down(void **state)
{
	char		k[64];

	(void) state;
	test_segment(64 * MIB, SLOTS);
	put_folders(40, 100);
	assert_false(known("dir07/x", 7));
	art_root_set_complete(&shared->root);
	assert_true(known("dir07/x", 7));
	assert_true(prefix_known("", 0));

	assert_int_equal(evict_round(50, begins_with, (void *) "dir07/file03").leaves, 4);
	assert_int_equal(atomic_load(&shared->root.flags), 0);
	for (uint32 i = 0; i < 40; i++)
	{
		uint32		len = (uint32) sprintf(k, "dir%02u/", i);

		assert_int_equal(prefix_known(k, len), i != 7);
		for (uint32 j = 0; j < 300; j += 10)
			if (j % 3 != 0)
			{
				len = (uint32) sprintf(k, "dir%02u/file%03u", i, j);
				/* in folder 7 the groups of ten beside those that were taken */
				assert_int_equal(known(k, len), i != 7 || j / 10 != 3);
			}
	}
	/* what leaves the path above the folders is nobody's */
	assert_false(known("di", 2));
	assert_false(known("dir0", 4));
	assert_false(known("dir07/fi", 8));
	assert_false(prefix_known("dir", 3));
	assert_false(prefix_known("dir0", 4));
	assert_true(prefix_known("dir07/file04", 12));
	/* and the rest goes piece by piece */
	(void) evict_round(1000, begins_with, (void *) "dir1");
	assert_false(prefix_known("dir1", 4));
	assert_true(prefix_known("dir2", 4));
	(void) evict_round(1000, any, NULL);
	assert_false(prefix_known("dir2", 4));
	assert_false(known("dir2", 4));
}

/* lookups skip prefixes: a way that is another key's must not lend it its COMPLETE */
static void
test_another_ones_way(void **state)
{
	(void) state;
	test_segment(64 * MIB, SLOTS);
	/* the root's children c and d; below c a long prefix, then two nodes */
	put("c-long-prefix-x1", 16, 1);
	put("c-long-prefix-x2", 16, 1);
	put("c-long-prefix-y1", 16, 1);
	put("c-long-prefix-y2", 16, 1);
	put("c-LONG", 6, 1);
	/* so that no node is left with one child, and joined */
	put("c-M", 3, 1);
	put("c-long-prefix-z", 15, 1);
	put("d", 1, 1);
	art_root_set_complete(&shared->root);
	assert_int_equal(evict_round(100, begins_with, (void *) "c-LONG").leaves, 1);
	/* the node of "-long-prefix-" is below the one that was cleared, and speaks for its own keys */
	assert_true(known("c-long-prefix-x3", 16));
	assert_true(known("c-long-p", 8));
	assert_false(known("c-LONG", 6));
	assert_false(known("c-L", 3));
	/* the same bytes at the places that a lookup looks at */
	assert_true(known("c-lONG-PREFIX-x3", 16));
	assert_false(known("c-LONG-PREFIX-x3", 16));
	assert_int_equal(evict_round(100, begins_with, (void *) "c-long-prefix-y").leaves, 2);
	assert_true(known("c-long-prefix-x3", 16));
	assert_false(known("c-lONG-PREFIX-x3", 16));
	assert_false(known("c-lONG-PREFIX-y3", 16));
}

/* COMPLETE goes with the shape: split, grown and joined nodes know what they may */
static void
test_shapes_take_it_along(void **state)
{
	uint8		k[64];

	(void) state;
	test_segment(64 * MIB, SLOTS);
	for (uint32 i = 0; i < 4; i++)
	{
		put(k, (uint32) sprintf((char *) k, "a/long/path/%c", 'a' + i), 1);
		put(k, (uint32) sprintf((char *) k, "b/%c", 'a' + i), 1);
	}
	art_root_set_complete(&shared->root);
	/* the root's flag goes down to the nodes of a and b, and away from that of b */
	assert_int_equal(evict_round(100, begins_with, (void *) "b/a").leaves, 1);
	assert_true(prefix_known("a", 1));
	assert_false(prefix_known("b", 1));
	/* grown */
	for (uint32 i = 0; i < 100; i++)
	{
		k[0] = 'a';
		memcpy(k + 1, "/long/path/", 11);
		k[12] = (uint8) (i * 89);
		put(k, 13, 1);
	}
	assert_true(prefix_known("a", 1));
	/* split within the prefix: both parts */
	put("a/lost", 6, 1);
	assert_true(prefix_known("a", 1));
	assert_true(known("a/la", 4));
	assert_true(known("a/long/p", 8));
	assert_true(known("a/x", 3));
	/* one of the parts loses it, then the split is undone: the joined node has the upper one's */
	assert_int_equal(evict_round(1000, begins_with, (void *) "a/lost").leaves, 1);
	assert_false(prefix_known("a", 1));
	assert_false(known("a/lost", 6));
	/* a collapse forgets */
	assert_false(known("b/z", 3));
	art_root_set_complete(&shared->root);
	assert_true(known("b/z", 3));
	assert_true(known("a/lost", 6));
}

/* FILLING: what is filled in without an eviction in between makes the tree COMPLETE, else not */
static void
test_filling(void **state)
{
	(void) state;
	test_segment(64 * MIB, SLOTS);
	assert_false(art_filling_end(&shared->root));
	art_filling_begin(&shared->root);
	put_folders(3, 30);
	assert_false(prefix_known("dir", 3));
	assert_true(art_filling_end(&shared->root));
	assert_true(prefix_known("dir", 3));
	assert_false(art_filling_end(&shared->root));

	art_filling_begin(&shared->root);
	assert_int_equal(evict_round(1000, begins_with, (void *) "dir01").leaves, 30);
	put_folders(3, 30);
	assert_false(art_filling_end(&shared->root));
	assert_false(prefix_known("", 0));

	art_filling_begin(&shared->root);
	art_filling_cancel(&shared->root);
	assert_false(art_filling_end(&shared->root));
	/* a round that takes nothing disturbs nobody */
	art_filling_begin(&shared->root);
	assert_int_equal(evict_round(1000, begins_with, (void *) "nothing").leaves, 0);
	assert_true(art_filling_end(&shared->root));
	assert_true(prefix_known("", 0));
	/* the empty tree, and a tree of one leaf */
	(void) evict_round(1000, any, NULL);
	assert_false(prefix_known("", 0));
	art_root_set_complete(&shared->root);
	put("one", 3, 1);
	assert_true(known("two", 3));
	assert_int_equal(evict_round(1000, any, NULL).leaves, 1);
	assert_false(known("two", 3));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_everything, test_teardown),
		cmocka_unit_test_teardown(test_a_part, test_teardown),
		cmocka_unit_test_teardown(test_second_chance, test_teardown),
		cmocka_unit_test_teardown(test_changes_of_mind, test_teardown),
		cmocka_unit_test_teardown(test_asked_again, test_teardown),
		cmocka_unit_test_teardown(test_chains, test_teardown),
		cmocka_unit_test_teardown(test_replace_leaf, test_teardown),
		cmocka_unit_test_teardown(test_full_memory, test_teardown),
		cmocka_unit_test_teardown(test_handed_down, test_teardown),
		cmocka_unit_test_teardown(test_another_ones_way, test_teardown),
		cmocka_unit_test_teardown(test_shapes_take_it_along, test_teardown),
		cmocka_unit_test_teardown(test_filling, test_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	print_message("# ARTERY_SEED=%llu\n", (unsigned long long) test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
