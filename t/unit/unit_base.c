/*
 * unit_base.c -- see unit_base.h.
 */
#include "unit_base.h"

#include "common/crc32c.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the oracle ---- */

static int
compare(const uint8 *a, uint32 a_len, const uint8 *b, uint32 b_len)
{
	int			c = memcmp(a, b, Min(a_len, b_len));

	return c != 0 ? c : a_len < b_len ? -1 : a_len > b_len;
}

void
unit_keys_free(UnitKeys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		free(keys->at[i].key);
	free(keys->at);
	memset(keys, 0, sizeof(*keys));
}

size_t
unit_keys_find(const UnitKeys *keys, const void *key, uint32 len, bool *exact)
{
	size_t		low = 0;
	size_t		high = keys->count;

	*exact = false;
	while (low < high)
	{
		size_t		middle = (low + high) / 2;
		int			c = compare(keys->at[middle].key, keys->at[middle].len, key, len);

		if (c < 0)
			low = middle + 1;
		else
		{
			high = middle;
			*exact |= c == 0;
		}
	}
	return low;
}

UnitKey *
unit_keys_set(UnitKeys *keys, const void *key, uint32 len, Lsn lsn, uint64 expiry, uint64 value_len)
{
	bool		exact;
	size_t		at = unit_keys_find(keys, key, len, &exact);
	UnitKey    *k;

	if (!exact)
	{
		if (keys->count == keys->room)
		{
			keys->room = keys->room == 0 ? 256 : keys->room * 2;
			keys->at = realloc(keys->at, keys->room * sizeof(*keys->at));
			assert_non_null(keys->at);
		}
		memmove(&keys->at[at + 1], &keys->at[at], (keys->count - at) * sizeof(*keys->at));
		keys->count++;
		keys->at[at].key = malloc(len + 1);
		assert_non_null(keys->at[at].key);
		memcpy(keys->at[at].key, key, len);
		keys->at[at].len = len;
	}
	k = &keys->at[at];
	k->lsn = lsn;
	k->expiry = expiry;
	k->value_len = value_len;
	k->prefix = false;
	return k;
}

void
unit_keys_remove(UnitKeys *keys, size_t index)
{
	free(keys->at[index].key);
	memmove(&keys->at[index], &keys->at[index + 1], (keys->count - index - 1) * sizeof(*keys->at));
	keys->count--;
}

static bool
begins_with(const UnitKey *k, const UnitKey *prefix)
{
	return k->len >= prefix->len && memcmp(k->key, prefix->key, prefix->len) == 0;
}

void
unit_keys_apply(UnitKeys *keys, const UnitKeys *changes, uint64 *removed)
{
	for (size_t i = 0; i < changes->count; i++)
	{
		const UnitKey *c = &changes->at[i];
		bool		exact;
		size_t		at = unit_keys_find(keys, c->key, c->len, &exact);
		uint64		count = exact;

		if (c->prefix)
			for (count = 0; at < keys->count && begins_with(&keys->at[at], c); count++)
				unit_keys_remove(keys, at);
		else if (c->lsn != 0)
			(void) unit_keys_set(keys, c->key, c->len, c->lsn, c->expiry, c->value_len);
		else if (exact)
			unit_keys_remove(keys, at);
		if (removed != NULL)
			removed[i] = count;
	}
}

UnitKeys
unit_keys_copy(const UnitKeys *keys)
{
	UnitKeys	copy = *keys;

	copy.room = keys->count + 1;
	copy.at = malloc(copy.room * sizeof(*copy.at));
	assert_non_null(copy.at);
	for (size_t i = 0; i < keys->count; i++)
	{
		copy.at[i] = keys->at[i];
		copy.at[i].key = malloc(keys->at[i].len + 1);
		assert_non_null(copy.at[i].key);
		memcpy(copy.at[i].key, keys->at[i].key, keys->at[i].len);
	}
	return copy;
}

/* word by word: what follows from lsn and place in the value */
void
unit_value(Lsn lsn, uint64 offset, void *to, size_t len)
{
	uint8	   *p = to;

	while (len > 0)
	{
		uint64		word = (lsn * 1000003 + offset / 8) * UINT64_C(0x9E3779B97F4A7C15);
		size_t		from = offset % 8;
		size_t		n = Min(8 - from, len);

		memcpy(p, (const uint8 *) &word + from, n);
		p += n;
		offset += n;
		len -= n;
	}
}

/* ---- changes ---- */

static bool
source_next(void *arg, BaseChange *out)
{
	UnitSource *u = arg;
	const UnitKey *k;

	/* what was given before is not to be looked at any more */
	memset(u->key, 0xA5, sizeof(u->key));
	memset(u->value, 0xA5, sizeof(u->value));
	if (u->next == u->changes->count)
		return false;
	k = &u->changes->at[u->next];
	memcpy(u->key, k->key, k->len);
	out->kind = k->prefix ? BASE_REMOVE_PREFIX : k->lsn != 0 ? BASE_PUT : BASE_REMOVE;
	out->key = u->key;
	out->key_len = k->len;
	out->lsn = k->lsn;
	out->expiry = k->expiry;
	out->value_len = k->value_len;
	if (out->kind == BASE_PUT && k->value_len <= BASE_INLINE_MAX)
	{
		unit_value(k->lsn, 0, u->value, k->value_len);
		out->value = u->value;
	}
	out->tag = (void *) (uintptr_t) (u->next + 1);
	u->next++;
	return true;
}

static bool
source_value(void *arg, const BaseChange *c, uint64 offset, size_t len, void *to)
{
	UnitSource *u = arg;

	assert_int_equal((uintptr_t) c->tag, u->next);
	assert_true(c->key == u->key && c->value_len > BASE_INLINE_MAX && offset + len <= c->value_len);
	if (u->next == u->value_fails_at)
		return false;
	unit_value(c->lsn, offset, to, len);
	return true;
}

static void
source_seen(void *arg, const BaseChange *c, bool existed, uint64 count)
{
	UnitSource *u = arg;
	const UnitKey *k = &u->changes->at[u->seen];

	assert_true(u->seen < u->next);
	assert_int_equal((uintptr_t) c->tag, u->seen + 1);
	assert_int_equal(c->key_len, k->len);
	assert_memory_equal(c->key, k->key, k->len);
	assert_int_equal(c->lsn, k->lsn);
	if (u->expect != NULL)
	{
		assert_int_equal(count, u->expect[u->seen]);
		assert_int_equal(existed, count > 0);
	}
	u->seen++;
}

static bool
source_between(void *arg, uint64 pages_written)
{
	UnitSource *u = arg;

	(void) pages_written;
	return ++u->between_calls != u->give_up_at;
}

BaseSource
unit_source(UnitSource *u, const UnitKeys *changes, const uint64 *expect)
{
	memset(u, 0, sizeof(*u));
	u->changes = changes;
	u->expect = expect;
	return (BaseSource) {.next = source_next, .value = source_value, .seen = source_seen, .between = source_between,
						 .arg = u};
}

/* ---- the file ---- */

enum { PAGE_UNSEEN, PAGE_LIVE, PAGE_FREE, PAGE_ASIDE };

typedef struct Check
{
	int			fd;
	const BaseState *state;
	const UnitKeys *keys;
	size_t		next_key;
	uint8	   *use;			/* by page number */
	UnitPages  *pages;
	UnitShape  *shape;
} Check;

static void *
read_page(Check *c, uint64 number)
{
	void	   *page = malloc(BASE_PAGE_SIZE);

	assert_non_null(page);
	assert_true(number > 0 && number < c->state->page_count);
	assert_int_equal(pread(c->fd, page, BASE_PAGE_SIZE, (off_t) (number * BASE_PAGE_SIZE)), BASE_PAGE_SIZE);
	return page;
}

static void
mark(Check *c, uint64 number, uint8 use)
{
	assert_true(number < c->state->page_count);
	if (c->use[number] != PAGE_UNSEEN)
		fail_msg("page %llu is in use as %u and as %u", (unsigned long long) number, c->use[number], use);
	c->use[number] = use;
}

static void
remember(Check *c, uint64 number, const void *page)
{
	UnitPages  *p = c->pages;

	mark(c, number, PAGE_LIVE);
	if (p == NULL)
		return;
	if (p->count == p->room)
	{
		p->room = p->room == 0 ? 256 : p->room * 2;
		p->number = realloc(p->number, p->room * sizeof(*p->number));
		p->crc = realloc(p->crc, p->room * sizeof(*p->crc));
		assert_true(p->number != NULL && p->crc != NULL);
	}
	p->number[p->count] = number;
	p->crc[p->count++] = crc32c_extend(0, page, BASE_PAGE_SIZE);
}

static void *
get_page(Check *c, BaseRef ref, BaseKind kind, int level)
{
	void	   *page = read_page(c, ref.number);
	char		why[256];

	if (!base_page_verify(page, ref, kind, level, (uint32) UNIT_SYSTEM_ID, why, sizeof(why)))
		fail_msg("page %llu: %s", (unsigned long long) ref.number, why);
	remember(c, ref.number, page);
	return page;
}

static void
check_value(const BaseLeafEntry *e, uint64 offset, const void *bytes, size_t len)
{
	uint8	   *expected = malloc(len + 1);

	assert_non_null(expected);
	unit_value(e->lsn, offset, expected, len);
	if (memcmp(bytes, expected, len) != 0)
		assert_memory_equal(bytes, expected, len);
	free(expected);
}

static void
check_extent(Check *c, const BaseLeafEntry *e)
{
	uint64		offset = 0;

	assert_true(e->value_len > BASE_INLINE_MAX);
	assert_int_equal(e->extent_pages, base_extent_pages(e->value_len));
	for (uint32 i = 0; i < e->extent_pages; i++)
	{
		BasePage   *p = get_page(c, (BaseRef) {e->extent.number + i, e->extent.birth}, BASE_OVERFLOW, 0);

		assert_int_equal(p->link, i);
		assert_int_equal(p->data_len, Min(e->value_len - offset, BASE_OVERFLOW_BYTES));
		check_value(e, offset, p + 1, p->data_len);
		offset += p->data_len;
		free(p);
	}
	assert_int_equal(offset, e->value_len);
	if (c->shape != NULL)
	{
		c->shape->extents++;
		c->shape->extent_pages += e->extent_pages;
	}
}

/* check_leaf -- does some value lie in an extent? */
static bool
check_leaf(Check *c, const BasePage *p)
{
	bool		extents = false;

	for (uint32 i = 0; i < p->count; i++)
	{
		BaseLeafEntry e;
		uint8		key[BASE_KEY_MAX];
		uint32		len = base_page_key(p, i, key);

		base_leaf_entry(p, i, &e);
		if (e.flags & BASE_VALUE_EXTENT)
			check_extent(c, &e);
		else
			check_value(&e, 0, e.value, e.value_len);
		extents |= (e.flags & BASE_VALUE_EXTENT) != 0;
		if (c->keys != NULL)
		{
			const UnitKey *k = &c->keys->at[c->next_key];

			assert_true(c->next_key < c->keys->count);
			assert_int_equal(len, k->len);
			if (memcmp(key, k->key, len) != 0)
				assert_memory_equal(key, k->key, len);
			assert_true(e.lsn == k->lsn && e.expiry == k->expiry && e.value_len == k->value_len);
			c->next_key++;
		}
	}
	return extents;
}

/* check_tree -- all keys in [low, high), high NULL: no bound; alone: the only child; returns whether extents are below. */
static bool
check_tree(Check *c, BaseRef ref, uint32 level, const UnitKey *low, const UnitKey *high, bool alone)
{
	BasePage   *p = get_page(c, ref, level == 0 ? BASE_LEAF : BASE_INNER, (int) level);
	bool		extents = false;

	if (c->shape != NULL)
	{
		uint64		bytes = sizeof(*p) + p->prefix_len + 2u * p->count + p->data_len;

		c->shape->pages[level]++;
		c->shape->bytes[level] += bytes;
		c->shape->small[level] += bytes < BASE_PAGE_SIZE / 4 && high != NULL && !alone;
	}
	assert_true(base_page_compare(p, 0, low->key, low->len) >= 0);
	if (high != NULL)
		assert_true(base_page_compare(p, p->count - 1u, high->key, high->len) < 0);
	if (level == 0)
		extents = check_leaf(c, p);
	for (uint32 i = 0; level > 0 && i < p->count; i++)
	{
		uint8		own[BASE_KEY_MAX];
		uint8		next[BASE_KEY_MAX];
		UnitKey		from = {.key = own, .len = base_page_key(p, i, own)};
		UnitKey		to = {.key = next};
		uint16		flags;
		BaseRef		child = base_inner_child(p, i, &flags);
		bool		below;

		if (i + 1 < p->count)
			to.len = base_page_key(p, i + 1, next);
		below = check_tree(c, child, level - 1, &from, i + 1 < p->count ? &to : high, p->count == 1);
		assert_int_equal(below, (flags & BASE_CHILD_EXTENTS) != 0);
		extents |= below;
	}
	free(p);
	return extents;
}

static void
check_map(Check *c)
{
	BaseRef		ref = c->state->map;
	uint32		pages = 0;
	uint64		last = 0;

	while (ref.number != 0)
	{
		BasePage   *p = get_page(c, ref, BASE_MAP, 0);
		const BaseMapEntry *e = (const BaseMapEntry *) (p + 1);

		for (uint32 i = 0; i < p->count; i++)
		{
			assert_true(e[i].first > last);
			last = e[i].first + e[i].count - 1;
			for (uint64 n = e[i].first; n <= last; n++)
				mark(c, n, e[i].died == 0 ? PAGE_FREE : PAGE_ASIDE);
		}
		pages++;
		ref.number = p->link;
		free(p);
	}
	assert_int_equal(pages, c->state->map_pages);
}

void
unit_base_check(const BaseState *state, const UnitKeys *keys, UnitPages *pages, UnitShape *shape)
{
	uint8		nothing[1] = {0};
	UnitKey		low = {.key = nothing};
	uint64		sum[4] = {0};
	struct stat st;
	Check		c = {.state = state, .keys = keys, .pages = pages, .shape = shape};

	if (pages != NULL)
		pages->count = 0;
	if (shape != NULL)
		memset(shape, 0, sizeof(*shape));
	c.fd = open(unit_path("data/base"), O_RDONLY);
	assert_true(c.fd >= 0);
	assert_int_equal(fstat(c.fd, &st), 0);
	assert_true((uint64) st.st_size >= state->page_count * BASE_PAGE_SIZE);
	c.use = calloc(1, state->page_count);
	assert_non_null(c.use);
	mark(&c, 0, PAGE_LIVE);
	assert_int_equal(state->root.number == 0, state->levels == 0);
	if (state->levels > 0)
		(void) check_tree(&c, state->root, state->levels - 1, &low, NULL, true);
	if (keys != NULL)
		assert_int_equal(c.next_key, keys->count);
	check_map(&c);
	for (uint64 i = 0; i < state->page_count; i++)
	{
		if (c.use[i] == PAGE_UNSEEN)
			fail_msg("page %llu of %llu is neither reached nor in the map", (unsigned long long) i,
					 (unsigned long long) state->page_count);
		sum[c.use[i]]++;
	}
	assert_int_equal(sum[PAGE_LIVE], state->live_pages);
	assert_int_equal(sum[PAGE_FREE], state->free_pages);
	assert_int_equal(sum[PAGE_ASIDE], state->aside_pages);
	free(c.use);
	assert_int_equal(close(c.fd), 0);
}

void
unit_pages_free(UnitPages *pages)
{
	free(pages->number);
	free(pages->crc);
	memset(pages, 0, sizeof(*pages));
}

void
unit_pages_same(const UnitPages *pages)
{
	uint8	   *page = malloc(BASE_PAGE_SIZE);
	int			fd = open(unit_path("data/base"), O_RDONLY);

	assert_true(page != NULL && fd >= 0);
	for (size_t i = 0; i < pages->count; i++)
	{
		assert_int_equal(pread(fd, page, BASE_PAGE_SIZE, (off_t) (pages->number[i] * BASE_PAGE_SIZE)), BASE_PAGE_SIZE);
		if (crc32c_extend(0, page, BASE_PAGE_SIZE) != pages->crc[i])
			fail_msg("page %llu was written, and a root reaches it", (unsigned long long) pages->number[i]);
	}
	free(page);
	assert_int_equal(close(fd), 0);
}
