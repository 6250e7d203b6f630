/*
 * base_page.c -- one page of the data file in memory: is it good, and what is in it?
 *
 * base_page_verify believes nothing: it is given whatever a disk has answered and
 * reads no byte outside the page, whatever the page says of itself.  The other
 * functions are for pages that it found good, and check nothing again.
 *
 * The layout is canonical, so that nearly every wrong byte can be told even when
 * the checksum fits: the prefix is the longest that all keys share, the entries
 * stand in key order without a gap from PAGE_SIZE - data_len up to the page's
 * end, and what no field uses is zero.  What a page alone cannot tell (a byte of
 * a value, a key that is still in order) the checksum tells; whether it is the
 * right page in the right place tell its parent and the control slot.
 *
 * Entries are packed, so fields are copied out, never pointed at.  A page itself
 * is aligned to 8 bytes.
 *
 * Pure functions on memory that the caller owns: server and tools, any process.
 */
#include "common/base_format.h"
#include "common/crc32c.h"

#include <stdarg.h>

static_assert(offsetof(BasePage, crc) == 4 && offsetof(BasePage, number) == 8 && offsetof(BasePage, birth) == 16,
			  "page header: places");
static_assert(offsetof(BasePage, kind) == 24 && offsetof(BasePage, level) == 25 && offsetof(BasePage, count) == 26 &&
			  offsetof(BasePage, prefix_len) == 28 && offsetof(BasePage, data_len) == 32 &&
			  offsetof(BasePage, system) == 36 && offsetof(BasePage, link) == 40, "page header: places");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is little-endian, and read as it lies");
static_assert(BASE_PAGE_SIZE <= UINT16_MAX, "an entry's place fits 16 bits");
static_assert(sizeof(BasePage) + 3 * (2 + BASE_INNER_HEADER + BASE_KEY_MAX) <= BASE_PAGE_SIZE,
			  "an inner page has room for three children, whatever their keys");
static_assert(sizeof(BasePage) + BASE_KEY_MAX + 2 + BASE_LEAF_HEADER + 8 + BASE_INLINE_MAX <= BASE_PAGE_SIZE,
			  "a leaf has room for any entry");
static_assert(sizeof(BaseMapEntry) * BASE_MAP_ENTRIES + sizeof(BasePage) <= BASE_PAGE_SIZE, "map page");

/* ---- fields that lie anywhere ---- */

static inline uint16
load16(const uint8 *p)
{
	uint16		v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32
load32(const uint8 *p)
{
	uint32		v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64
load64(const uint8 *p)
{
	uint64		v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline const uint8 *
page_prefix(const BasePage *p)
{
	return (const uint8 *) (p + 1);
}

/* page_entry -- where entry 'index' begins. */
static inline const uint8 *
page_entry(const BasePage *p, uint32 index)
{
	return (const uint8 *) p + load16(page_prefix(p) + p->prefix_len + 2 * index);
}

/* entry_suffix -- the part of the key that stands in the entry, and its length. */
static inline const uint8 *
entry_suffix(const BasePage *p, const uint8 *entry, uint32 *len)
{
	if (p->kind == BASE_INNER)
	{
		*len = load16(entry + 16);
		return entry + BASE_INNER_HEADER;
	}
	*len = load16(entry + 12);
	return entry + BASE_LEAF_HEADER + ((load16(entry + 14) & BASE_HAS_EXPIRY) ? 8 : 0);
}

static inline int
compare_bytes(const uint8 *a, uint32 a_len, const uint8 *b, uint32 b_len)
{
	int			c = memcmp(a, b, Min(a_len, b_len));

	if (c != 0)
		return c;
	return a_len < b_len ? -1 : a_len > b_len;
}

/* ---- the checksum ---- */

static uint32
page_crc(const void *page)
{
	static const uint8 zero[sizeof(uint32)];
	const size_t at = offsetof(BasePage, crc);
	uint32		crc = crc32c_extend(0, page, at);

	crc = crc32c_extend(crc, zero, sizeof(zero));
	return crc32c_extend(crc, (const uint8 *) page + at + sizeof(zero), BASE_PAGE_SIZE - at - sizeof(zero));
}

void
base_page_seal(void *page)
{
	((BasePage *) page)->crc = page_crc(page);
}

/* ---- is it good? ---- */

/* Check -- where the verdict goes */
typedef struct Check
{
	char	   *why;
	size_t		size;
} Check;

static bool bad(const Check *c, const char *fmt, ...) attribute_printf(2, 3);

static bool
bad(const Check *c, const char *fmt, ...)
{
	va_list		args;

	va_start(args, fmt);
	(void) vsnprintf(c->why, c->size, fmt, args);
	va_end(args);
	return false;
}

static bool
is_zero(const uint8 *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static bool
zero_behind(const Check *c, const BasePage *p, uint32 from, uint32 to)
{
	if (is_zero((const uint8 *) p + from, to - from))
		return true;
	return bad(c, "bytes %u to %u are not zero, and nothing stands there", from, to - 1);
}

/* check_reference -- to a child or an extent: it was written by this checkpoint or an earlier one, and is not this page. */
static bool
check_reference(const Check *c, const BasePage *p, uint32 index, const char *what, BaseRef ref, uint64 pages)
{
	if (ref.number == 0 || ref.number > UINT64_MAX - pages)
		return bad(c, "entry %u: %s has the impossible number %llu", index, what, (unsigned long long) ref.number);
	if (p->number >= ref.number && p->number < ref.number + pages)
		return bad(c, "entry %u: %s is this page itself", index, what);
	if (ref.birth == 0 || ref.birth > p->birth)
		return bad(c, "entry %u: %s has birth %" LSN_FORMAT ", this page %" LSN_FORMAT, index, what, LSN_ARGS(ref.birth),
				   LSN_ARGS(p->birth));
	return true;
}

static bool
check_key_len(const Check *c, const BasePage *p, uint32 index, uint32 suffix_len)
{
	uint32		len = p->prefix_len + suffix_len;

	if (len > BASE_KEY_MAX || (p->kind == BASE_LEAF && len < BASE_KEY_MIN))
		return bad(c, "entry %u: a key of %u bytes", index, len);
	return true;
}

/* check_inner_entry -- at 'at', with 'room' bytes up to the page's end; *used: its length. */
static bool
check_inner_entry(const Check *c, const BasePage *p, uint32 index, uint32 at, uint32 room, uint32 *used)
{
	const uint8 *e = (const uint8 *) p + at;
	uint16		flags;

	if (room < BASE_INNER_HEADER || room - BASE_INNER_HEADER < load16(e + 16))
		return bad(c, "entry %u at offset %u reaches beyond the page's end", index, at);
	flags = load16(e + 18);
	if ((flags & ~BASE_CHILD_EXTENTS) != 0)
		return bad(c, "entry %u: unknown flags %04x", index, flags);
	*used = BASE_INNER_HEADER + load16(e + 16);
	return check_key_len(c, p, index, load16(e + 16)) &&
		check_reference(c, p, index, "child", (BaseRef) {load64(e), load64(e + 8)}, 1);
}

static bool
check_extent(const Check *c, const BasePage *p, uint32 index, const uint8 *extent, uint32 value_len)
{
	uint32		pages = load32(extent + 16);

	if (value_len <= BASE_INLINE_MAX)
		return bad(c, "entry %u: a value of %u bytes in an extent", index, value_len);
	if (pages != base_extent_pages(value_len))
		return bad(c, "entry %u: an extent of %u pages for %u bytes", index, pages, value_len);
	return check_reference(c, p, index, "extent", (BaseRef) {load64(extent), load64(extent + 8)}, pages);
}

static bool
check_leaf_entry(const Check *c, const BasePage *p, uint32 index, uint32 at, uint32 room, uint32 *used)
{
	const uint8 *e = (const uint8 *) p + at;
	uint32		value_len,
				tail,
				len;
	uint16		flags;
	Lsn			lsn;

	if (room < BASE_LEAF_HEADER)
		return bad(c, "entry %u at offset %u reaches beyond the page's end", index, at);
	lsn = load64(e);
	value_len = load32(e + 8);
	flags = load16(e + 14);
	if ((flags & ~(BASE_HAS_EXPIRY | BASE_VALUE_EXTENT)) != 0)
		return bad(c, "entry %u: unknown flags %04x", index, flags);
	if (!(flags & BASE_VALUE_EXTENT) && value_len > BASE_INLINE_MAX)
		return bad(c, "entry %u: a value of %u bytes outside an extent", index, value_len);
	tail = (flags & BASE_VALUE_EXTENT) ? BASE_EXTENT_REF : value_len;
	len = BASE_LEAF_HEADER + ((flags & BASE_HAS_EXPIRY) ? 8 : 0) + load16(e + 12);	/* no overflow: each is below 2^17 */
	if (room < len + tail)
		return bad(c, "entry %u at offset %u reaches beyond the page's end", index, at);
	if ((flags & BASE_HAS_EXPIRY) && load64(e + BASE_LEAF_HEADER) == 0)
		return bad(c, "entry %u: an expiry of 0", index);
	if (lsn == LSN_NONE || lsn > p->birth)
		return bad(c, "entry %u: LSN %" LSN_FORMAT " in a page of birth %" LSN_FORMAT, index, LSN_ARGS(lsn),
				   LSN_ARGS(p->birth));
	*used = len + tail;
	return check_key_len(c, p, index, load16(e + 12)) &&
		(!(flags & BASE_VALUE_EXTENT) || check_extent(c, p, index, e + len, value_len));
}

/*
 * check_entries -- leaf and inner: the prefix, the table of places, every entry,
 * one behind the other up to the page's end, strictly ascending.
 */
static bool
check_entries(const Check *c, const BasePage *p)
{
	const uint8 *bytes = (const uint8 *) p;
	uint32		table = sizeof(BasePage) + p->prefix_len;
	uint32		table_end = table + 2 * p->count;
	uint32		at = BASE_PAGE_SIZE - p->data_len;
	const uint8 *first = NULL,
			   *before = NULL;
	uint32		first_len = 0,
				before_len = 0;

	if (p->count == 0 || p->count > BASE_BUILD_MAX)
		return bad(c, "%u entries", p->count);
	if (p->prefix_len > BASE_KEY_MAX)
		return bad(c, "a prefix of %u bytes", p->prefix_len);
	if (p->data_len > BASE_PAGE_SIZE - table_end)
		return bad(c, "%u bytes of entries where %u are left", p->data_len, BASE_PAGE_SIZE - table_end);
	if (!zero_behind(c, p, table_end, at))
		return false;
	for (uint32 i = 0; i < p->count; i++)
	{
		uint32		place = load16(bytes + table + 2 * i);
		const uint8 *suffix;
		uint32		suffix_len,
					used;

		if (place != at)
			return bad(c, "entry %u at offset %u, expected at %u", i, place, at);
		if (!(p->kind == BASE_LEAF ? check_leaf_entry : check_inner_entry)(c, p, i, at, BASE_PAGE_SIZE - at, &used))
			return false;
		suffix = entry_suffix(p, bytes + at, &suffix_len);
		if (before != NULL && compare_bytes(before, before_len, suffix, suffix_len) >= 0)
			return bad(c, "the key of entry %u is not above that of entry %u", i, i - 1);
		if (first == NULL)
		{
			first = suffix;
			first_len = suffix_len;
		}
		before = suffix;
		before_len = suffix_len;
		at += used;
	}
	if (at != BASE_PAGE_SIZE)
		return bad(c, "%u entries end at offset %u", p->count, at);
	if (p->count == 1 ? first_len > 0 : first_len > 0 && first[0] == before[0])
		return bad(c, "its keys have more in common than the prefix of %u bytes", p->prefix_len);
	return true;
}

static bool
check_overflow(const Check *c, const BasePage *p)
{
	if (p->data_len == 0 || p->data_len > BASE_OVERFLOW_BYTES)
		return bad(c, "%u bytes of value", p->data_len);
	if (p->count != 0)
		return bad(c, "%u entries in an overflow page", p->count);
	return zero_behind(c, p, (uint32) sizeof(BasePage) + p->data_len, BASE_PAGE_SIZE);
}

static bool
check_map(const Check *c, const BasePage *p)
{
	const BaseMapEntry *entry = (const BaseMapEntry *) (p + 1);

	if (p->data_len != 0)
		return bad(c, "%u bytes of data in a map page", p->data_len);
	if (p->count > BASE_MAP_ENTRIES)
		return bad(c, "%u entries", p->count);
	if (p->link == p->number)
		return bad(c, "it names itself as the next page");
	for (uint32 i = 0; i < p->count; i++)
	{
		const BaseMapEntry *e = &entry[i];

		if (e->first == 0 || e->count == 0 || e->first > UINT64_MAX - e->count)
			return bad(c, "entry %u: a run of %u pages from %llu on", i, e->count, (unsigned long long) e->first);
		if (e->reserved != 0)
			return bad(c, "entry %u: reserved bytes are not zero", i);
		if (e->died > p->birth)
			return bad(c, "entry %u: set aside at %" LSN_FORMAT ", this page was born at %" LSN_FORMAT, i,
					   LSN_ARGS(e->died), LSN_ARGS(p->birth));
		if (i > 0 && e->first < e[-1].first + e[-1].count)
			return bad(c, "entry %u begins at page %llu, entry %u ends at page %llu", i, (unsigned long long) e->first,
					   i - 1, (unsigned long long) (e[-1].first + e[-1].count - 1));
		if (i > 0 && e->first == e[-1].first + e[-1].count && e->died == e[-1].died)
			return bad(c, "entries %u and %u are one run", i - 1, i);
	}
	return zero_behind(c, p, (uint32) (sizeof(BasePage) + p->count * sizeof(BaseMapEntry)), BASE_PAGE_SIZE);
}

/* check_header -- what all kinds have in common, and that it is the page that was asked for. */
static bool
check_header(const Check *c, const BasePage *p, BaseRef ref, BaseKind kind, int level, uint32 system)
{
	uint32		crc;

	if (p->magic != BASE_PAGE_MAGIC)
		return bad(c, "it does not begin with the mark of a page but with %08x", p->magic);
	crc = page_crc(p);
	if (p->crc != crc)
		return bad(c, "checksum %08x, computed %08x", p->crc, crc);
	if (p->system != system)
		return bad(c, "it is of system %08x, expected %08x", p->system, system);
	if (p->number != ref.number)
		return bad(c, "it says that it is page %llu", (unsigned long long) p->number);
	if (p->birth != ref.birth)
		return bad(c, "birth %" LSN_FORMAT ", expected %" LSN_FORMAT, LSN_ARGS(p->birth), LSN_ARGS(ref.birth));
	if (p->kind != kind)
		return bad(c, "kind %u, expected %u", p->kind, kind);
	if (p->kind == BASE_INNER ? p->level == 0 || p->level >= BASE_LEVEL_MAX : p->level != 0)
		return bad(c, "level %u of kind %u", p->level, p->kind);
	if (level >= 0 && p->level != level)
		return bad(c, "level %u, expected %d", p->level, level);
	if (p->reserved != 0)
		return bad(c, "reserved bytes are not zero");
	if (p->prefix_len != 0 && kind != BASE_LEAF && kind != BASE_INNER)
		return bad(c, "a prefix of %u bytes in a page without keys", p->prefix_len);
	if (p->link != 0 && (kind == BASE_LEAF || kind == BASE_INNER))
		return bad(c, "link %llu in a page of the tree", (unsigned long long) p->link);
	return true;
}

bool
base_page_verify(const void *page, BaseRef ref, BaseKind kind, int level, uint32 system, char *why, size_t why_size)
{
	const BasePage *p = page;
	const Check check = {why, why_size};

	if (!check_header(&check, p, ref, kind, level, system))
		return false;
	switch (kind)
	{
		case BASE_LEAF:
		case BASE_INNER:
			return check_entries(&check, p);
		case BASE_OVERFLOW:
			return check_overflow(&check, p);
		case BASE_MAP:
			return check_map(&check, p);
	}
	return bad(&check, "unknown kind %u", p->kind);
}

/* ---- what is in it: pages that were found good ---- */

void
base_leaf_entry(const void *page, uint32 index, BaseLeafEntry *out)
{
	const BasePage *p = page;
	const uint8 *e;
	uint32		suffix_len;

	Assert(p->kind == BASE_LEAF && index < p->count);
	e = page_entry(p, index);
	out->lsn = load64(e);
	out->value_len = load32(e + 8);
	out->flags = load16(e + 14);
	out->expiry = (out->flags & BASE_HAS_EXPIRY) ? load64(e + BASE_LEAF_HEADER) : 0;
	out->suffix = entry_suffix(p, e, &suffix_len);
	out->suffix_len = (uint16) suffix_len;
	if (out->flags & BASE_VALUE_EXTENT)
	{
		const uint8 *extent = out->suffix + suffix_len;

		out->value = NULL;
		out->extent = (BaseRef) {load64(extent), load64(extent + 8)};
		out->extent_pages = load32(extent + 16);
	}
	else
	{
		out->value = out->suffix + suffix_len;
		out->extent = (BaseRef) {0, 0};
		out->extent_pages = 0;
	}
}

BaseRef
base_inner_child(const void *page, uint32 index, uint16 *flags)
{
	const BasePage *p = page;
	const uint8 *e;

	Assert(p->kind == BASE_INNER && index < p->count);
	e = page_entry(p, index);
	if (flags != NULL)
		*flags = load16(e + 18);
	return (BaseRef) {load64(e), load64(e + 8)};
}

uint32
base_page_key(const void *page, uint32 index, uint8 *to)
{
	const BasePage *p = page;
	const uint8 *suffix;
	uint32		len;

	Assert(index < p->count);
	suffix = entry_suffix(p, page_entry(p, index), &len);
	memcpy(to, page_prefix(p), p->prefix_len);
	memcpy(to + p->prefix_len, suffix, len);
	return p->prefix_len + len;
}

int
base_page_compare(const void *page, uint32 index, const void *key, uint32 key_len)
{
	const BasePage *p = page;
	const uint8 *suffix;
	uint32		len;
	int			c;

	Assert(index < p->count);
	c = memcmp(page_prefix(p), key, Min(p->prefix_len, key_len));
	if (c != 0)
		return c;
	if (key_len < p->prefix_len)
		return 1;
	suffix = entry_suffix(p, page_entry(p, index), &len);
	return compare_bytes(suffix, len, (const uint8 *) key + p->prefix_len, key_len - p->prefix_len);
}

/* The prefix decides once for all entries; what is left of the key is compared with suffixes alone. */
uint32
base_page_search(const void *page, const void *key, uint32 key_len, bool *exact)
{
	const BasePage *p = page;
	const uint8 *rest;
	uint32		rest_len;
	uint32		low = 0,
				high = p->count;
	int			c = memcmp(page_prefix(p), key, Min(p->prefix_len, key_len));

	*exact = false;
	if (c != 0)
		return c < 0 ? p->count : 0;
	if (key_len < p->prefix_len)
		return 0;
	rest = (const uint8 *) key + p->prefix_len;
	rest_len = key_len - p->prefix_len;
	while (low < high)
	{
		uint32		middle = (low + high) / 2;
		uint32		len;
		const uint8 *suffix = entry_suffix(p, page_entry(p, middle), &len);

		c = compare_bytes(suffix, len, rest, rest_len);
		if (c < 0)
			low = middle + 1;
		else
		{
			high = middle;
			if (c == 0)
			{
				*exact = true;
				break;
			}
		}
	}
	return high;
}

uint32
base_inner_search(const void *page, const void *key, uint32 key_len)
{
	bool		exact;
	uint32		index = base_page_search(page, key, key_len, &exact);

	Assert(((const BasePage *) page)->kind == BASE_INNER);
	return exact || index == 0 ? index : index - 1;
}
