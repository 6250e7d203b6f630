/*
 * art_oracle.c -- the overlay in one thread against a sorted array.
 *
 * Goal: whatever the keys, the tree holds what was put, in order, whichever way it
 * is asked; what was evicted is gone and never said to be nowhere; and when
 * everything has been taken away, all memory is back.  Method: seeded random
 * operations over key shapes that hurt a radix tree (long common prefixes, keys that
 * are prefixes of keys, all byte values, 4,096 bytes, dense bytes, the empty key),
 * each answer compared with the array, art_check() now and then.  A second array
 * stands for what only the base holds: evicted, neither written nor filled in since.
 * ARTERY_ART_OPS lengthens a run, ARTERY_SEED repeats it.
 */
#include <setjmp.h>
#include <stdarg.h>

#include "art_common.h"

#include <cmocka.h>

#define SLOTS 2
#define ENTRIES_MAX 3000
#define LSN_STEP (300 * KIB)

typedef struct Entry
{
	uint8	   *key;
	uint32		len;
	Lsn			lsn;
	uint32		value;			/* seed of the value */
	bool		tombstone;
} Entry;

/* Entries -- sorted by key */
typedef struct Entries
{
	Entry		at[ENTRIES_MAX];
	uint32		count;
} Entries;

static Entries overlay;
static Entries base_only;
static Entry *const entry = overlay.at;
static uint64 rng;

/* ---- the array ---- */

static int
compare(const uint8 *a, uint32 a_len, const uint8 *b, uint32 b_len)
{
	int			order = Min(a_len, b_len) > 0 ? memcmp(a, b, Min(a_len, b_len)) : 0;

	if (order != 0)
		return order;
	return a_len < b_len ? -1 : a_len > b_len;
}

/* lower_bound_in -- number of the first entry >= key. */
static uint32
lower_bound_in(const Entries *all, const uint8 *key, uint32 len)
{
	uint32		low = 0;
	uint32		high = all->count;

	while (low < high)
	{
		uint32		middle = (low + high) / 2;

		if (compare(all->at[middle].key, all->at[middle].len, key, len) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint32
lower_bound(const uint8 *key, uint32 len)
{
	return lower_bound_in(&overlay, key, len);
}

static Entry *
find_in(Entries *all, const uint8 *key, uint32 len)
{
	uint32		i = lower_bound_in(all, key, len);

	return i < all->count && compare(all->at[i].key, all->at[i].len, key, len) == 0 ? &all->at[i] : NULL;
}

static Entry *
find(const uint8 *key, uint32 len)
{
	return find_in(&overlay, key, len);
}

static Entry *
insert_into(Entries *all, const uint8 *key, uint32 len)
{
	uint32		i = lower_bound_in(all, key, len);

	assert_true(all->count < ENTRIES_MAX);
	memmove(&all->at[i + 1], &all->at[i], (all->count - i) * sizeof(Entry));
	all->count++;
	all->at[i].key = malloc(len + 1);
	assert_non_null(all->at[i].key);
	memcpy(all->at[i].key, key, len);
	all->at[i].len = len;
	return &all->at[i];
}

static void
erase_from(Entries *all, Entry *e)
{
	free(e->key);
	memmove(e, e + 1, (size_t) (&all->at[all->count] - e - 1) * sizeof(Entry));
	all->count--;
}

static void
erase(Entry *e)
{
	erase_from(&overlay, e);
}

/* insert -- into the overlay, and so it is not in the base alone any more. */
static Entry *
insert(const uint8 *key, uint32 len)
{
	Entry	   *e = find_in(&base_only, key, len);

	if (e != NULL)
		erase_from(&base_only, e);
	return insert_into(&overlay, key, len);
}

/* ---- keys ---- */

typedef enum Shape
{
	LONG_COMMON,		/* hundreds of equal bytes, then a few that differ */
	PREFIXES,			/* keys that are prefixes of keys */
	ALL_BYTES,
	HUGE,				/* 4,096 bytes and a tree id, differing anywhere */
	DENSE,				/* one to three bytes: full N256 */
	PATHS,
	NUMBERS,
	MIXED,
	SHAPE_COUNT
} Shape;

static const char *const shape_name[] = {"long common", "prefixes", "all bytes", "huge", "dense", "paths", "numbers", "mixed"};

static uint32
random_below(uint32 n)
{
	return (uint32) (test_random(&rng) % n);
}

static uint32
make_path(uint8 *key)
{
	static const char *const part[] = {"usr", "lib", "share", "doc", "a", "x86_64-linux-gnu", "libfoo.so", "libfoo.so.1", "README", ""};
	uint32		len = 0;

	for (uint32 n = 1 + random_below(5); n > 0; n--)
		len += (uint32) sprintf((char *) key + len, "/%s", part[random_below(lengthof(part))]);
	if (random_below(3) == 0)
		len += (uint32) sprintf((char *) key + len, "%u", random_below(40));
	return len;
}

static uint32
make_key(Shape shape, uint8 *key)
{
	uint32		len = 0;

	switch (shape)
	{
		case LONG_COMMON:
			len = random_below(3) == 0 ? 300 : 700;
			memset(key, 'c', len);
			if (random_below(4) == 0)
				key[random_below(len)] = (uint8) random_below(256);
			for (uint32 n = random_below(4); n > 0; n--)
				key[len++] = (uint8) ('a' + random_below(3));
			return len;
		case PREFIXES:
			len = random_below(40);
			memset(key, 'p', len);
			if (len > 0 && random_below(3) == 0)
				key[random_below(len)] = (uint8) ('a' + random_below(2));
			return len;
		case ALL_BYTES:
			len = random_below(7);
			for (uint32 i = 0; i < len; i++)
				key[i] = (uint8) (random_below(2) ? random_below(256) : random_below(2) * 255);
			return len;
		case HUGE:
			len = random_below(4) == 0 ? KEY_MAX - random_below(3) : KEY_MAX;
			memset(key, 'h', len);
			key[random_below(random_below(2) ? len : 20)] ^= (uint8) (1 << random_below(3));
			if (random_below(3) == 0)
				key[len - 1] = (uint8) random_below(256);
			return len;
		case DENSE:
			key[0] = (uint8) random_below(4);
			key[1] = (uint8) random_below(256);
			key[2] = (uint8) random_below(8);
			return 1 + random_below(3);
		case PATHS:
			return make_path(key);
		case NUMBERS:
			return (uint32) sprintf((char *) key, "key:%012u", random_below(2500));
		default:
			return make_key((Shape) random_below(MIXED), key);
	}
}

/* make_or_take -- a new key, or one that is there, cut or prolonged a little. */
static uint32
make_or_take(Shape shape, uint8 *key)
{
	uint32		len;
	const Entry *e;

	if (overlay.count == 0 || random_below(2) == 0)
		return make_key(shape, key);
	e = &entry[random_below(overlay.count)];
	len = e->len;
	memcpy(key, e->key, len);
	switch (random_below(8))
	{
		case 0:
			return len > 0 ? len - 1 : 0;
		case 1:
			if (len < KEY_MAX)
				key[len++] = (uint8) random_below(256);
			return len;
		case 2:
			return random_below(len + 1);
		case 3:
			if (len > 0)
				key[random_below(len)] ^= (uint8) (1 << random_below(8));
			return len;
		default:
			return len;
	}
}

/* ---- values ---- */

static uint32
value_len(uint32 seed)
{
	return seed % 61 == 0 ? 5000 + seed % 70000 : seed % 100;
}

static void
make_value(uint32 seed, uint8 *value)
{
	for (uint32 i = 0; i < value_len(seed); i++)
		value[i] = (uint8) (seed + i * 13 + (i >> 8));
}

static uint8 value_buffer[80000];
static uint8 value_wanted[80000];

static void
assert_is(const Leaf *l, const Entry *e)
{
	if (e == NULL)
	{
		assert_null(l);
		return;
	}
	assert_non_null(l);
	assert_int_equal(l->key_len, e->len);
	assert_memory_equal(leaf_key(l), e->key, e->len);
	assert_int_equal(l->lsn, e->lsn);
	assert_int_equal((leaf_flags(l) & LEAF_TOMBSTONE) != 0, e->tombstone);
	if (e->tombstone)
		return;
	assert_int_equal(l->value_len, value_len(e->value));
	make_value(e->value, value_wanted);
	leaf_copy_value(l, 0, l->value_len, value_buffer);
	assert_memory_equal(value_buffer, value_wanted, l->value_len);
}

/* ---- operations ---- */

static void
op_put(Shape shape)
{
	uint8		key[KEY_MAX + 1];
	uint32		len = make_or_take(shape, key);
	uint32		value = (uint32) test_random(&rng);
	Entry	   *e = find(key, len);
	Lsn			lsn;

	if (e == NULL && overlay.count == ENTRIES_MAX)
		return;
	make_value(value, value_buffer);
	lsn = test_write(key, len, value_buffer, value_len(value), TEST_PUT, LSN_STEP, NULL);
	assert_int_not_equal(lsn, 0);
	if (e == NULL)
		e = insert(key, len);
	e->lsn = lsn;
	e->value = value;
	e->tombstone = false;
}

static void
op_delete(Shape shape)
{
	uint8		key[KEY_MAX + 1];
	uint32		len = make_or_take(shape, key);
	Entry	   *e = find(key, len);
	Lsn			seen = 0;
	Lsn			lsn = test_write(key, len, NULL, 0, TEST_DELETE, LSN_STEP, &seen);

	if (e == NULL || e->tombstone)
	{
		assert_int_equal(lsn, 0);
		assert_int_equal(seen, e == NULL ? 0 : e->lsn);
		return;
	}
	assert_int_not_equal(lsn, 0);
	e->lsn = lsn;
	e->tombstone = true;
}

/* keys whose leaves were removed without tidying after them */
static Entry untidy[64];
static uint32 untidy_count;

static void
tidy_late(void)
{
	epoch_enter();
	for (; untidy_count > 0; untidy_count--)
	{
		Entry	   *e = &untidy[untidy_count - 1];

		assert_int_equal(art_tidy(&shared->root, e->key, e->len), ART_OK);
		free(e->key);
	}
	epoch_leave();
}

/* op_remove -- take the leaf itself away; tidy now or later. */
static void
op_remove(void)
{
	Entry	   *e;
	Leaf	   *l;

	if (overlay.count == 0)
		return;
	e = &entry[random_below(overlay.count)];
	epoch_enter();
	l = art_lookup(&shared->root, e->key, e->len);
	assert_is(l, e);
	if (!art_remove_leaf(&shared->root, e->key, e->len, l))
	{
		/* helping a frozen node has collapsed it: the leaf is a copy now */
		Leaf	   *copy = art_lookup(&shared->root, e->key, e->len);

		assert_ptr_not_equal(copy, l);
		assert_is(copy, e);
		l = copy;
		assert_true(art_remove_leaf(&shared->root, e->key, e->len, l));
	}
	assert_false(art_remove_leaf(&shared->root, e->key, e->len, l));
	leaf_retire(seg_off(l));
	assert_null(art_lookup(&shared->root, e->key, e->len));
	if (random_below(4) != 0)
		assert_int_equal(art_tidy(&shared->root, e->key, e->len), ART_OK);
	else
	{
		untidy[untidy_count] = *e;
		untidy[untidy_count].key = malloc(e->len + 1);
		assert_non_null(untidy[untidy_count].key);
		memcpy(untidy[untidy_count++].key, e->key, e->len);
	}
	epoch_leave();
	erase(e);
	if (untidy_count == lengthof(untidy))
		tidy_late();
}

/* op_give_up -- a write that goes as far as it can without publishing, and is abandoned: nothing may be left of it. */
static void
op_give_up(Shape shape)
{
	uint8		key[KEY_MAX + 1];
	uint32		len = make_or_take(shape, key);
	BytePart	part = {key, Min(len, 10)};
	ArtPos		pos;
	Off			leaf;

	/* memory may be there but not reserved yet, or wait for a grace period */
	for (int attempt = 0; attempt < 100; attempt++)
	{
		ArtResult	result;

		epoch_enter();
		result = art_locate(&shared->root, key, len, &pos);
		assert_int_equal(result, ART_OK);
		assert_is(pos.leaf, find(key, len));
		leaf = leaf_build(key, (uint16) len, &part, 1, 0, 0);
		if (leaf == MEM_NONE)
			result = ART_NO_MEMORY;
		else if (random_below(4) != 0)
		{
			result = art_prepare(&pos, leaf);
			if (result == ART_OK && random_below(2) == 0)
				assert_true(art_raise_dirty(&pos, atomic_load(&shared->lsn)));
		}
		art_abandon(&pos);
		art_abandon(&pos);
		if (leaf != MEM_NONE)
			leaf_free(leaf);
		epoch_leave();
		if (result == ART_OK)
			return;
		assert_int_equal(mem_grow(), 0);
	}
	fail_msg("no memory for a write");
}

/* announce -- a split of this node, in the slot of a process that died before it came to the CAS. */
static void
announce(_Atomic uint64 *slot, uint32 match)
{
	ProcSlot   *dead = proc_slot(1);
	uint64		place = match + 1;

	atomic_store(&dead->intent_old, atomic_load(slot) | (place & SLOT_SPARE_MASK) << SLOT_SPARE_SHIFT);
	atomic_store(&dead->intent_new, slot_word(0, TAG_INNER, 64) | (place >> SLOT_SPARE_BITS) << SLOT_SPARE_SHIFT);
	atomic_store(&dead->intent_parent, seg_off((void *) slot));
}

/*
 * op_freeze -- what a process leaves behind that died while it changed the shape of
 * nodes on the way to a key: some words frozen, in the order of freezing.  Whoever
 * comes to write there must finish it, the uppermost one first.
 */
static void
op_freeze(Shape shape)
{
	uint8		key[KEY_MAX + 1];
	uint32		len = make_or_take(shape, key);
	_Atomic uint64 *at = &shared->root.slot;
	uint64		word = atomic_load(at);
	uint32		depth = 0;

	epoch_enter();
	while (slot_tag(word) == TAG_INNER)
	{
		ArtNode    *node = art__node(slot_ref(word));
		uint64		meta = atomic_load(&node->meta);
		uint32		type = meta_type(meta);

		if (random_below(4) == 0)
			announce(at, random_below(meta_prefix_len(meta) + 2));
		if (random_below(3) == 0)
			art__freeze(node, meta);
		else if (random_below(3) == 0)
		{
			uint32		words = random_below(art__capacity[type] + 2);

			atomic_fetch_or(&node->meta, META_FROZEN);
			for (uint32 i = 0; i < words; i++)
				atomic_fetch_or(i == 0 ? &node->end : &art__slots(node, type)[i - 1], SLOT_FROZEN);
		}
		depth += meta_prefix_len(meta);
		if (depth >= len)
			break;
		at = art__find(node, type, key[depth++], &word, NULL);
		if (at == NULL)
			break;
	}
	epoch_leave();
}

static void
op_lookup(Shape shape)
{
	uint8		key[KEY_MAX + 1];
	uint32		len = make_or_take(shape, key);

	epoch_enter();
	art_prefetch(&shared->root, key, len);
	assert_is(art_lookup(&shared->root, key, len), find(key, len));
	epoch_leave();
}

static uint64 missed_complete, missed_incomplete;

/* op_complete -- neither a key that only the base has nor one with this prefix may be said to be nowhere. */
static void
op_complete(Shape shape)
{
	uint8		key[KEY_MAX + 1];
	uint32		len = make_or_take(shape, key);
	uint32		prefix_len = random_below(len + 1);
	uint32		first;
	bool		complete;
	bool		prefix_complete;
	ArtPos		pos;

	if (base_only.count > 0 && random_below(2))
	{
		const Entry *e = &base_only.at[random_below(base_only.count)];

		len = e->len;
		memcpy(key, e->key, len);
		prefix_len = random_below(len + 1);
	}
	epoch_enter();
	assert_is(art_lookup_complete(&shared->root, key, len, &complete), find(key, len));
	prefix_complete = art_prefix_complete(&shared->root, key, prefix_len);
	assert_int_equal(art_locate(&shared->root, key, len, &pos), ART_OK);
	if (pos.leaf == NULL)
	{
		/* locating may have helped a join or a collapse, which forget */
		assert_true(complete || !pos.complete);
		if (complete)
			missed_complete++;
		else
			missed_incomplete++;
		assert_true(!complete || find_in(&base_only, key, len) == NULL);
	}
	epoch_leave();
	first = lower_bound_in(&base_only, key, prefix_len);
	if (first < base_only.count && base_only.at[first].len >= prefix_len &&
		compare(base_only.at[first].key, prefix_len, key, prefix_len) == 0)
		assert_false(prefix_complete);
}

static bool
in_prefix(const Entry *e, const uint8 *prefix, uint32 prefix_len)
{
	return e->len >= prefix_len && (prefix_len == 0 || memcmp(e->key, prefix, prefix_len) == 0);
}

/* next_wanted -- number of the entry that follows 'at' in this direction within the prefix, or -1. */
static int
next_wanted(int at, bool backward, const uint8 *prefix, uint32 prefix_len)
{
	for (; at >= 0 && at < (int) overlay.count; at += backward ? -1 : 1)
		if (in_prefix(&entry[at], prefix, prefix_len))
			return at;
	return -1;
}

static void
op_seek(Shape shape)
{
	uint8		key[KEY_MAX + 1];
	uint8		prefix[KEY_MAX + 1];
	uint32		len = make_or_take(shape, key);
	uint32		prefix_len = 0;
	bool		backward = random_below(2);
	bool		exclusive = random_below(2);
	bool		from_edge = random_below(5) == 0;
	ArtCursor  *c = art_cursor((int) random_below(2));
	int			at;

	switch (random_below(4))
	{
		case 0:
			prefix_len = make_or_take(shape, prefix);
			break;
		case 1:
			prefix_len = random_below(len + 1);
			memcpy(prefix, key, prefix_len);
			break;
	}
	if (from_edge)
		at = backward ? (int) overlay.count - 1 : 0;
	else
	{
		bool		there = find(key, len) != NULL;

		at = (int) lower_bound(key, len);
		if (backward)
			at -= !there || exclusive;
		else
			at += there && exclusive;
	}
	epoch_enter();
	/* a hint, right or wrong */
	art_expect(c, random_below(2) ? 0 : random_below(40), random_below(2));
	art_seek(c, &shared->root, prefix, prefix_len, from_edge ? NULL : key, len, exclusive, backward);
	for (uint32 steps = random_below(20) == 0 ? ENTRIES_MAX + 1 : 1 + random_below(30); steps > 0; steps--)
	{
		Leaf	   *l = art_next(c);

		at = next_wanted(at, backward, prefix, prefix_len);
		if (at < 0)
		{
			assert_null(l);
			assert_null(art_next(c));
			break;
		}
		assert_is(l, &entry[at]);
		if (random_below(8) == 0)
		{
			/* behind all that begin as this one does */
			uint32		hop_len = random_below(entry[at].len + 1);
			const uint8 *hop = entry[at].key;

			art_hop(c, hop, hop_len);
			while (at >= 0 && at < (int) overlay.count && in_prefix(&entry[at], hop, hop_len))
				at += backward ? -1 : 1;
		}
		else
			at += backward ? -1 : 1;
	}
	epoch_leave();
}

static void
op_check(void)
{
	ArtStats	stats;
	char		err[200];
	uint64		tombstones = 0;
	MemStats	mem;

	for (uint32 i = 0; i < overlay.count; i++)
		tombstones += entry[i].tombstone;
	epoch_enter();
	if (!art_check(&shared->root, &stats, err, sizeof(err)))
		fail_msg("%s", err);
	epoch_leave();
	assert_int_equal(stats.leaves, overlay.count);
	assert_int_equal(stats.tombstones, tombstones);
	test_reclaim_all(SLOTS);
	mem_stats(&mem);
	assert_int_equal(mem.used, stats.node_bytes + stats.leaf_bytes);
}

/* op_sweep -- drop all tombstones below an LSN, in pieces. */
static Lsn	sweep_below;

static bool
old_tombstone(const Leaf *l, void *arg)
{
	(void) arg;
	return (leaf_flags(l) & LEAF_TOMBSTONE) && l->lsn < sweep_below;
}

static bool
any(const Leaf *l, void *arg)
{
	(void) l;
	(void) arg;
	return true;
}

static void
op_sweep(void)
{
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	uint64		removed = 0;
	uint64		wanted = 0;

	sweep_below = atomic_load(&shared->lsn) - random_below(500) * LSN_STEP;
	for (uint32 i = overlay.count; i-- > 0;)
		if (entry[i].tombstone && entry[i].lsn < sweep_below)
		{
			erase(&entry[i]);
			wanted++;
		}
	while (!art_sweep(&shared->root, NULL, 0, from, &from_len, 1 + random_below(50), old_tombstone, NULL, &removed))
		;
	assert_int_equal(removed, wanted);
}

/* what the eviction may take: by a hash of the key that is another one each time */
static uint64 evict_salt;
static uint32 evict_share;		/* in 100 */

static bool
chosen(const uint8 *key, uint32 len)
{
	uint64		h = evict_salt;

	for (uint32 i = 0; i < len; i++)
		h = (h ^ key[i]) * UINT64_C(0x9e3779b97f4a7c15);
	return (h >> 32) % 100 < evict_share;
}

static bool
may_evict(const Leaf *l, void *arg)
{
	(void) arg;
	return chosen(leaf_key(l), l->key_len);
}

static uint64 evicted_in_all;

/* op_evict -- one piece of the clock; exactly what was chosen is gone. */
static void
op_evict(void)
{
	static uint8 hand[KEY_MAX];
	static uint32 hand_len;
	static uint8 before[KEY_MAX];
	uint32		before_len = hand_len;
	ArtEvicted	out = {0};
	uint64		wanted = 0;
	uint64		looked = 0;
	uint32		i;
	bool		end;

	memcpy(before, hand, hand_len);
	evict_salt = test_random(&rng);
	evict_share = random_below(3) == 0 ? 100 : random_below(100);
	end = art_evict(&shared->root, hand, &hand_len, 1 + random_below(80), may_evict, NULL, &out);
	for (i = lower_bound(before, before_len); i < overlay.count;)
	{
		Entry	   *e = &overlay.at[i];

		if (!end && compare(e->key, e->len, hand, hand_len) >= 0)
			break;
		looked++;
		if (!chosen(e->key, e->len))
		{
			i++;
			continue;
		}
		wanted++;
		if (base_only.count < ENTRIES_MAX && find_in(&base_only, e->key, e->len) == NULL)
			(void) insert_into(&base_only, e->key, e->len);
		erase(e);
	}
	assert_int_equal(out.looked, looked);
	assert_int_equal(out.leaves, wanted);
	evicted_in_all += wanted;
	if (end)
		hand_len = 0;
}

/* op_fill -- what only the base has comes back; an eviction in between makes it worth nothing. */
static void
op_fill(void)
{
	bool		disturbed = random_below(3) == 0 && overlay.count > 0;

	art_filling_begin(&shared->root);
	while (base_only.count > 0 && overlay.count < ENTRIES_MAX)
	{
		Entry	   *from = &base_only.at[base_only.count - 1];
		Entry	   *e;
		uint8	   *key = from->key;
		uint32		len = from->len;
		Lsn			lsn;

		make_value((uint32) len, value_buffer);
		lsn = test_write(key, len, value_buffer, value_len((uint32) len), TEST_PUT, LSN_STEP, NULL);
		assert_int_not_equal(lsn, 0);
		e = insert_into(&overlay, key, len);
		e->lsn = lsn;
		e->value = (uint32) len;
		e->tombstone = false;
		erase_from(&base_only, from);
		mem_keep_ahead();
	}
	if (disturbed)
	{
		uint64		evicted = evicted_in_all;

		for (int i = 0; i < 100 && evicted_in_all == evicted; i++)
			op_evict();
		disturbed = evicted_in_all != evicted;
	}
	if (base_only.count > 0 && !disturbed)
		art_filling_cancel(&shared->root);
	assert_int_equal(art_filling_end(&shared->root), base_only.count == 0 && !disturbed);
}

/* take_all_away -- by the sweep, from one prefix or all; everything is back afterwards. */
static void
take_all_away(void)
{
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	uint64		removed = 0;
	MemStats	mem;

	while (!art_sweep(&shared->root, NULL, 0, from, &from_len, 100, any, NULL, &removed))
		mem_reclaim();
	assert_int_equal(removed, overlay.count);
	while (overlay.count > 0)
		erase(&entry[overlay.count - 1]);
	while (base_only.count > 0)
		erase_from(&base_only, &base_only.at[base_only.count - 1]);
	/* nothing is left anywhere: the next shape starts with a tree that knows that */
	art_root_set_complete(&shared->root);
	assert_int_equal(atomic_load(&shared->root.slot), 0);
	test_reclaim_all(SLOTS);
	mem_stats(&mem);
	assert_int_equal(mem.used, 0);
	assert_int_equal(mem.lost, 0);
	assert_int_equal(mem_live_blocks(), 0);
}

static void
run_shape(Shape shape, uint64 ops)
{
	uint64		part = ops / 10 + 1;

	for (uint64 i = 0; i < ops; i++)
	{
		/* waxing and waning, so that nodes grow and shrink */
		uint32		put = (i / 4000) % 2 == 0 ? 45 : 15;
		uint32		what = random_below(100);

		if (what < put)
			op_put(shape);
		else if (what < 60)
			random_below(2) ? op_delete(shape) : op_remove();
		else if (what < 65)
			random_below(4) == 0 ? op_freeze(shape) : op_give_up(shape);
		else if (what < 75)
			op_lookup(shape);
		else if (what < 84)
			op_complete(shape);
		else if (what < 98)
			op_seek(shape);
		else if (i / part % 4 >= 2)
			op_evict();
		if (i % part == part - 1)
			op_fill();
		if (i % 2500 == 0)
			op_check();
		if (i % 5000 == 1234)
			op_sweep();
		if (i % 64 == 0)
			mem_keep_ahead();
	}
	op_check();
	tidy_late();
	take_all_away();
}

static void
test_shapes(void **state)
{
	uint64		ops = test_rounds("ARTERY_ART_OPS", TEST_TSAN ? 2500 : 50000);

	(void) state;
	rng = test_seed();
	test_segment(256 * MIB, SLOTS);
	for (uint32 s = 0; s < SHAPE_COUNT; s++)
	{
		print_message("# %s\n", shape_name[s]);
		run_shape((Shape) s, s == HUGE ? ops / 2 : ops);
	}
	print_message("# %llu evicted; of keys not in memory %llu were known to be nowhere, %llu not\n",
				  (unsigned long long) evicted_in_all, (unsigned long long) missed_complete, (unsigned long long) missed_incomplete);
	assert_true(evicted_in_all > ops / 100 && missed_complete > ops / 100 && missed_incomplete > ops / 100);
}

/* every key is a prefix of the next: as many nodes above each other as a key has bytes */
static void
test_deepest(void **state)
{
	static uint8 key[KEY_MAX];
	ArtCursor  *c = art_cursor(0);
	ArtStats	stats;
	char		err[200];
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	uint64		removed = 0;
	uint32		len;

	(void) state;
	rng = test_seed();
	test_segment(256 * MIB, SLOTS);
	memset(key, 'd', sizeof(key));
	for (uint32 i = 0; i <= KEY_MAX; i++)
	{
		/* odd lengths first, from the long end: prefixes are split again and again */
		len = i <= KEY_MAX / 2 ? KEY_MAX - 2 * i : 2 * (i - KEY_MAX / 2) - 1;
		assert_int_not_equal(test_write(key, len, "x", 1, TEST_PUT, LSN_STEP, NULL), 0);
		mem_keep_ahead();
	}
	epoch_enter();
	if (!art_check(&shared->root, &stats, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(stats.leaves, KEY_MAX + 1);
	assert_int_equal(stats.depth_max, KEY_MAX);
	art_seek(c, &shared->root, NULL, 0, NULL, 0, false, false);
	for (len = 0; len <= KEY_MAX; len++)
		assert_int_equal(art_next(c)->key_len, len);
	assert_null(art_next(c));
	art_seek(c, &shared->root, key, 1000, key, 3000, true, true);
	for (len = 2999; len >= 1000; len--)
		assert_int_equal(art_next(c)->key_len, len);
	assert_null(art_next(c));
	epoch_leave();
	while (!art_sweep(&shared->root, key, 10, from, &from_len, 100, any, NULL, &removed))
		mem_reclaim();
	assert_int_equal(removed, KEY_MAX + 1 - 10);
	from_len = 0;
	while (!art_sweep(&shared->root, NULL, 0, from, &from_len, 3, any, NULL, &removed))
		mem_reclaim();
	assert_int_equal(atomic_load(&shared->root.slot), 0);
	test_reclaim_all(SLOTS);
	assert_int_equal(mem_live_blocks(), 0);
}

/* nodes[type] of the tree as it is, and it must be sound */
static uint64
count_nodes(uint32 type)
{
	ArtStats	stats;
	char		err[200];

	epoch_enter();
	if (!art_check(&shared->root, &stats, err, sizeof(err)))
		fail_msg("%s", err);
	epoch_leave();
	return stats.nodes[type];
}

static void
take_leaf(uint8 *key, uint32 len)
{
	Leaf	   *l;

	epoch_enter();
	l = art_lookup(&shared->root, key, len);
	assert_non_null(l);
	assert_true(art_remove_leaf(&shared->root, key, len, l));
	leaf_retire(seg_off(l));
	assert_int_equal(art_tidy(&shared->root, key, len), ART_OK);
	epoch_leave();
}

/* one node grows through all types and shrinks again */
static void
test_types(void **state)
{
	uint8		key[2] = {'t', 0};

	(void) state;
	test_segment(64 * MIB, SLOTS);
	for (uint32 i = 0; i < 256; i++)
	{
		key[1] = (uint8) (i * 167);
		assert_int_not_equal(test_write(key, 2, "v", 1, TEST_PUT_NEW, LSN_STEP, NULL), 0);
		assert_int_equal(test_write(key, 2, "v", 1, TEST_PUT_NEW, LSN_STEP, NULL), 0);
		if (i > 0)
			assert_int_equal(count_nodes(i < 4 ? N4 : i < 16 ? N16 : i < 48 ? N48 : N256), 1);
	}
	for (uint32 i = 255; i > 0; i--)
	{
		key[1] = (uint8) (i * 167);
		take_leaf(key, 2);
		/* i children are left */
		if (i > 1)
			assert_int_equal(count_nodes(i <= 3 ? N4 : i <= 12 ? N16 : i <= 37 ? N48 : N256), 1);
	}
	/* one leaf: no node any more */
	assert_int_equal(count_nodes(N4), 0);
	key[1] = 0;
	take_leaf(key, 2);
	assert_int_equal(atomic_load(&shared->root.slot), 0);
	test_reclaim_all(SLOTS);
	assert_int_equal(mem_live_blocks(), 0);
}

/* what goes away and comes back under other bytes must not fill a node for ever: nulls are dropped by the copy */
static void
test_nulls_are_dropped(void **state)
{
	uint8		key[2] = {0, 0};

	(void) state;
	test_segment(64 * MIB, SLOTS);
	for (uint32 i = 0; i < 20000; i++)
	{
		uint32		live = i / 4000;	/* 1, 2, ... leaves at a time */

		key[1] = (uint8) (i * 89);
		if (test_write(key, 2, "v", 1, TEST_PUT_NEW, LSN_STEP, NULL) != 0 && i > live)
		{
			uint8		old[2] = {0, (uint8) ((i - live - 1) * 89)};
			Leaf	   *l;

			epoch_enter();
			l = art_lookup(&shared->root, old, 2);
			if (l != NULL && art_remove_leaf(&shared->root, old, 2, l))
				leaf_retire(seg_off(l));	/* and no tidying */
			epoch_leave();
		}
		mem_keep_ahead();
	}
	assert_int_equal(count_nodes(N48), 0);
	assert_int_equal(count_nodes(N256), 0);
}

/* a refused write leaves the tree as it is: asking for absent keys makes no node grow */
static void
test_refused_changes_nothing(void **state)
{
	MemStats	before;
	MemStats	after;
	uint8		key[3] = {1, 0, 0};

	(void) state;
	test_segment(64 * MIB, SLOTS);
	for (uint32 i = 0; i < 20; i++)
	{
		key[1] = (uint8) i;
		assert_int_not_equal(test_write(key, 2 + i % 2, "v", 1, TEST_PUT, LSN_STEP, NULL), 0);
	}
	test_reclaim_all(SLOTS);
	mem_stats(&before);
	for (uint32 i = 0; i < 256; i++)
		for (uint32 len = 0; len <= 3; len++)
		{
			key[1] = (uint8) i;
			key[2] = 7;
			assert_int_equal(test_write(key, len, NULL, 0, TEST_DELETE, LSN_STEP, NULL) != 0, i < 20 && len == 2 && i % 2 == 0);
			key[2] = 0;
		}
	test_reclaim_all(SLOTS);
	mem_stats(&after);
	assert_int_equal(count_nodes(N48), 1);
	/* ten tombstones instead of ten leaves with a value of one byte: the same class */
	assert_int_equal(after.used, before.used);
}

/* a process dies between freezing a node for a split and the CAS: the next writer makes the split, not just a copy */
static void
test_help_finishes_a_split(void **state)
{
	ArtPos		pos;

	(void) state;
	test_segment(64 * MIB, SLOTS);
	assert_int_not_equal(test_write("prefixXa", 8, "v", 1, TEST_PUT, LSN_STEP, NULL), 0);
	assert_int_not_equal(test_write("prefixXb", 8, "v", 1, TEST_PUT, LSN_STEP, NULL), 0);
	assert_int_equal(count_nodes(N4), 1);
	epoch_enter();
	assert_int_equal(art_locate(&shared->root, "preY", 4, &pos), ART_OK);
	assert_int_equal(pos.kind, POS_SPLIT_PREFIX);
	assert_int_equal(pos.prefix_match, 3);
	announce(pos.path[0].slot, pos.prefix_match);
	art__freeze(art__node(pos.path[0].node), atomic_load(&art__node(pos.path[0].node)->meta));
	epoch_leave();

	assert_int_not_equal(test_write("prefixXc", 8, "v", 1, TEST_PUT, LSN_STEP, NULL), 0);
	assert_int_equal(count_nodes(N4), 2);
	epoch_enter();
	assert_int_equal(art_locate(&shared->root, "preY", 4, &pos), ART_OK);
	assert_int_equal(pos.kind, POS_FREE);
	assert_int_equal(pos.depth, 1);
	epoch_leave();
}

/* when memory is full: writers are refused, deleting and sweeping work, and then there is room again */
static void
test_full_memory(void **state)
{
	enum { VALUE = 1000 };
	uint8		key[16];
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	uint64		removed = 0;
	uint32		count;
	uint32		i;

	(void) state;
	test_segment(20 * MIB, SLOTS);
	memset(value_buffer, 'v', VALUE);
	for (count = 0;; count++)
	{
		BytePart	part = {value_buffer, VALUE};
		ArtPos		pos;
		Off			leaf;
		bool		full = false;
		uint32		len = (uint32) sprintf((char *) key, "%08x", count * 2654435761u);

		epoch_enter();
		if (art_locate(&shared->root, key, len, &pos) != ART_OK)
			full = true;
		else if ((leaf = leaf_build(key, (uint16) len, &part, 1, 0, 0)) == MEM_NONE)
			full = true;
		else if (art_prepare(&pos, leaf) != ART_OK)
		{
			art_abandon(&pos);
			leaf_free(leaf);
			full = true;
		}
		else
		{
			((Leaf *) seg_ptr(leaf))->lsn = atomic_fetch_add(&shared->lsn, 64) + 64;
			assert_true(art_raise_dirty(&pos, atomic_load(&shared->lsn)));
			assert_true(art_publish(&pos, leaf));
		}
		epoch_leave();
		if (full && mem_grow() != 0)
			break;
		if (full)
			count--;
	}
	assert_true(count * mem_class_size(sizeof(Leaf) + 8 + VALUE) > 15 * MIB);
	for (i = 0; i < count; i++)
	{
		uint32		len = (uint32) sprintf((char *) key, "%08x", i * 2654435761u);

		epoch_enter();
		assert_non_null(art_lookup(&shared->root, key, len));
		epoch_leave();
		if (i % 2 == 0)
			assert_int_not_equal(test_write(key, len, NULL, 0, TEST_DELETE, 64, NULL), 0);
		if (i % 16 == 0)
			mem_keep_ahead();
	}
	sweep_below = UINT64_MAX;
	while (!art_sweep(&shared->root, NULL, 0, from, &from_len, 64, old_tombstone, NULL, &removed))
		mem_reclaim();
	assert_int_equal(removed, (count + 1) / 2);
	/* the keys that went can come back */
	for (i = 0; i < count * 9 / 10; i += 2)
	{
		uint32		len = (uint32) sprintf((char *) key, "%08x", i * 2654435761u);

		assert_int_not_equal(test_write(key, len, value_buffer, VALUE, TEST_PUT, 64, NULL), 0);
	}
	from_len = 0;
	while (!art_sweep(&shared->root, NULL, 0, from, &from_len, 64, any, NULL, &removed))
		mem_reclaim();
	test_reclaim_all(SLOTS);
	assert_int_equal(mem_live_blocks(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_types, test_teardown),
		cmocka_unit_test_teardown(test_nulls_are_dropped, test_teardown),
		cmocka_unit_test_teardown(test_refused_changes_nothing, test_teardown),
		cmocka_unit_test_teardown(test_help_finishes_a_split, test_teardown),
		cmocka_unit_test_teardown(test_full_memory, test_teardown),
		cmocka_unit_test_teardown(test_deepest, test_teardown),
		cmocka_unit_test_teardown(test_shapes, test_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	print_message("# ARTERY_SEED=%llu\n", (unsigned long long) test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
