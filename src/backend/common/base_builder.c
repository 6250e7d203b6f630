/*
 * base_builder.c -- makes leaves and inner pages of the data file.
 *
 * Entries come in ascending key order and are gathered; nothing is laid out
 * before base_builder_finish, since every further key can shorten the prefix
 * that all of them share, and since a caller may want to put the entries into
 * two pages.  What the page would take is known at any time from two sums: with
 * n entries whose keys, values and entry headers add up to S bytes, and a prefix
 * of p bytes,
 *
 *     header + p + 2 n + (S - n p)
 *
 * Any run of entries out of a page that fits, fits by itself: its prefix is at
 * least as long, and with n >= 1 a longer prefix never takes more.
 *
 * A key is compared with the one before (it must be above) and copied once into
 * the arena, which is as large as the worst page could want, and of which the
 * kernel hands out what is touched: addresses never change, so that
 * base_builder_key stays good until the next reset.
 *
 * A builder belongs to one thread of one process.  No state but the builder's.
 */
#include "common/base_format.h"

#define BUILDER_MAGIC 0x444c4942
/* keys as long as can be that share nearly all of themselves; values fill a page at most once, and one more was tried */
#define ARENA_BYTES ((size_t) BASE_BUILD_MAX * BASE_KEY_MAX + BASE_PAGE_SIZE)

typedef struct BuildEntry
{
	const uint8 *key;
	const uint8 *value;			/* leaf: inline value */
	uint64		lsn;
	uint64		expiry;
	BaseRef		ref;			/* inner: the child; leaf: the extent */
	uint32		extent_pages;
	uint32		value_len;
	uint16		key_len;
	uint16		flags;
} BuildEntry;

struct BaseBuilder
{
	uint32		magic;			/* BUILDER_MAGIC */
	BaseKind	kind;
	uint32		level;
	uint32		count;
	uint32		prefix_len;		/* that all keys have in common; of one key: all of it */
	uint32		full_bytes;		/* S above */
	size_t		arena_used;
	uint8	   *arena;
	BuildEntry	entry[BASE_BUILD_MAX];
};

BaseBuilder *
base_builder_create(void)
{
	BaseBuilder *b = malloc(sizeof(*b));

	if (b == NULL)
		return NULL;
	b->arena = malloc(ARENA_BYTES);
	if (b->arena == NULL)
	{
		free(b);
		return NULL;
	}
	b->magic = BUILDER_MAGIC;
	base_builder_reset(b, BASE_LEAF, 0);
	return b;
}

void
base_builder_destroy(BaseBuilder *b)
{
	if (b == NULL)
		return;
	Verify(b->magic == BUILDER_MAGIC);
	b->magic = 0;
	free(b->arena);
	free(b);
}

void
base_builder_reset(BaseBuilder *b, BaseKind kind, uint32 level)
{
	Verify(b->magic == BUILDER_MAGIC);
	Verify(kind == BASE_LEAF ? level == 0 : kind == BASE_INNER && level > 0 && level < BASE_LEVEL_MAX);
	b->kind = kind;
	b->level = level;
	b->count = 0;
	b->prefix_len = 0;
	b->full_bytes = 0;
	b->arena_used = 0;
}

uint32
base_builder_count(const BaseBuilder *b)
{
	return b->count;
}

static uint32
bytes_of(uint32 count, uint32 prefix_len, uint32 full_bytes)
{
	return (uint32) sizeof(BasePage) + prefix_len + 2 * count + full_bytes - count * prefix_len;
}

uint32
base_builder_bytes(const BaseBuilder *b)
{
	return bytes_of(b->count, b->prefix_len, b->full_bytes);
}

const uint8 *
base_builder_key(const BaseBuilder *b, uint32 index, uint32 *len)
{
	Verify(index < b->count);
	*len = b->entry[index].key_len;
	return b->entry[index].key;
}

/* common_bytes -- how many of the first 'max' bytes are the same. */
static uint32
common_bytes(const uint8 *a, const uint8 *b, uint32 max)
{
	uint32		n = 0;

	while (n + 8 <= max)
	{
		uint64		x,
					y;

		memcpy(&x, a + n, 8);
		memcpy(&y, b + n, 8);
		if (x != y)
			return n + (uint32) __builtin_ctzll(x ^ y) / 8;	/* little-endian: the lowest byte stands first */
		n += 8;
	}
	while (n < max && a[n] == b[n])
		n++;
	return n;
}

/*
 * prefix_with -- the prefix of all keys if this one came, too.  Keys ascend, so
 * what it shares with the last one (as far as the others share it) decides.
 */
static uint32
prefix_with(const BaseBuilder *b, const uint8 *key, uint32 key_len)
{
	const BuildEntry *last;
	uint32		most,
				same;

	if (b->count == 0)
		return key_len;
	last = &b->entry[b->count - 1];
	most = Min(last->key_len, key_len);
	same = common_bytes(last->key, key, most);
	Verify(same < key_len && (same == last->key_len || last->key[same] < key[same]));	/* ascending */
	return Min(same, b->prefix_len);
}

/* take -- a place for one more entry whose page bytes, its key whole, are 'full'; NULL: it does not fit. */
static BuildEntry *
take(BaseBuilder *b, const void *key, uint32 key_len, uint32 full)
{
	uint32		prefix_len;
	BuildEntry *e;
	uint8	   *copy = b->arena + b->arena_used;

	Verify(b->magic == BUILDER_MAGIC);
	Verify(key_len <= BASE_KEY_MAX);
	if (b->count == BASE_BUILD_MAX)
		return NULL;
	prefix_len = prefix_with(b, key, key_len);
	if (bytes_of(b->count + 1, prefix_len, b->full_bytes + full) > BASE_PAGE_SIZE)
	{
		Verify(b->count > 0);	/* format: a first entry always fits */
		return NULL;
	}
	b->prefix_len = prefix_len;
	b->full_bytes += full;
	memcpy(copy, key, key_len);
	b->arena_used += key_len;
	e = &b->entry[b->count++];
	*e = (BuildEntry) {.key = copy, .key_len = (uint16) key_len};
	return e;
}

bool
base_builder_add_leaf(BaseBuilder *b, const void *key, uint32 key_len, const BaseLeafEntry *in)
{
	bool		extent = in->value_len > BASE_INLINE_MAX;
	uint32		tail = extent ? BASE_EXTENT_REF : in->value_len;
	BuildEntry *e;

	Verify(b->kind == BASE_LEAF);
	Verify(key_len >= BASE_KEY_MIN);
	e = take(b, key, key_len, BASE_LEAF_HEADER + (in->expiry != 0 ? 8 : 0) + key_len + tail);
	if (e == NULL)
		return false;
	e->lsn = in->lsn;
	e->expiry = in->expiry;
	e->value_len = in->value_len;
	e->flags = (uint16) ((in->expiry != 0 ? BASE_HAS_EXPIRY : 0) | (extent ? BASE_VALUE_EXTENT : 0));
	if (extent)
	{
		e->ref = in->extent;
		e->extent_pages = in->extent_pages;
	}
	else if (in->value_len > 0)
	{
		uint8	   *copy = b->arena + b->arena_used;

		memcpy(copy, in->value, in->value_len);
		b->arena_used += in->value_len;
		e->value = copy;
	}
	return true;
}

bool
base_builder_add_inner(BaseBuilder *b, const void *key, uint32 key_len, BaseRef child, uint16 flags)
{
	BuildEntry *e;

	Verify(b->kind == BASE_INNER);
	e = take(b, key, key_len, BASE_INNER_HEADER + key_len);
	if (e == NULL)
		return false;
	e->ref = child;
	e->flags = flags;
	return true;
}

/* ---- laying out ---- */

static uint8 *
put(uint8 *at, const void *bytes, size_t len)
{
	if (len > 0)
		memcpy(at, bytes, len);
	return at + len;
}

static uint8 *
put_leaf(uint8 *at, const BuildEntry *e, uint32 prefix_len)
{
	uint16		suffix_len = (uint16) (e->key_len - prefix_len);

	at = put(at, &e->lsn, 8);
	at = put(at, &e->value_len, 4);
	at = put(at, &suffix_len, 2);
	at = put(at, &e->flags, 2);
	if (e->expiry != 0)
		at = put(at, &e->expiry, 8);
	at = put(at, e->key + prefix_len, suffix_len);
	if (!(e->flags & BASE_VALUE_EXTENT))
		return put(at, e->value, e->value_len);
	at = put(at, &e->ref.number, 8);
	at = put(at, &e->ref.birth, 8);
	return put(at, &e->extent_pages, 4);
}

static uint8 *
put_inner(uint8 *at, const BuildEntry *e, uint32 prefix_len)
{
	uint16		suffix_len = (uint16) (e->key_len - prefix_len);

	at = put(at, &e->ref.number, 8);
	at = put(at, &e->ref.birth, 8);
	at = put(at, &suffix_len, 2);
	at = put(at, &e->flags, 2);
	return put(at, e->key + prefix_len, suffix_len);
}

/* data_bytes -- of entries [from, to) with that prefix taken off their keys. */
static uint32
data_bytes(const BaseBuilder *b, uint32 from, uint32 to, uint32 prefix_len)
{
	uint32		sum = 0;

	for (uint32 i = from; i < to; i++)
	{
		const BuildEntry *e = &b->entry[i];

		sum += e->key_len - prefix_len;
		if (b->kind == BASE_INNER)
			sum += BASE_INNER_HEADER;
		else
			sum += BASE_LEAF_HEADER + (e->expiry != 0 ? 8 : 0) +
				((e->flags & BASE_VALUE_EXTENT) ? BASE_EXTENT_REF : e->value_len);
	}
	return sum;
}

/* check_made -- assert builds: nothing leaves here that a reader would refuse; the caller's references count, too. */
static void
check_made(const BasePage *p)
{
#ifdef ARTERY_ASSERT
	char		why[256];

	if (!base_page_verify(p, (BaseRef) {p->number, p->birth}, p->kind, p->level, p->system, why, sizeof(why)))
		verify_failed(why, __FILE__, __LINE__);
#else
	(void) p;
#endif
}

void
base_builder_finish(BaseBuilder *b, uint32 from, uint32 to, BaseRef ref, uint32 system, void *page)
{
	BasePage   *p = page;
	const BuildEntry *first,
			   *last;
	uint32		prefix_len,
				data_len,
				used;
	uint8	   *table,
			   *at;

	Verify(b->magic == BUILDER_MAGIC);
	Verify(from < to && to <= b->count);
	first = &b->entry[from];
	last = &b->entry[to - 1];
	prefix_len = common_bytes(first->key, last->key, Min(first->key_len, last->key_len));
	data_len = data_bytes(b, from, to, prefix_len);
	used = (uint32) sizeof(BasePage) + prefix_len + 2 * (to - from);
	Verify(used + data_len <= BASE_PAGE_SIZE);
	*p = (BasePage) {.magic = BASE_PAGE_MAGIC, .number = ref.number, .birth = ref.birth, .kind = (uint8) b->kind,
					 .level = (uint8) b->level, .count = (uint16) (to - from), .prefix_len = (uint16) prefix_len,
					 .data_len = data_len, .system = system};
	table = put((uint8 *) (p + 1), first->key, prefix_len);
	at = (uint8 *) page + BASE_PAGE_SIZE - data_len;
	memset((uint8 *) page + used, 0, BASE_PAGE_SIZE - used - data_len);
	for (uint32 i = from; i < to; i++)
	{
		uint16		place = (uint16) (at - (uint8 *) page);

		table = put(table, &place, 2);
		at = b->kind == BASE_LEAF ? put_leaf(at, &b->entry[i], prefix_len) : put_inner(at, &b->entry[i], prefix_len);
	}
	Verify(at == (uint8 *) page + BASE_PAGE_SIZE);
	base_page_seal(page);
	check_made(page);
}
