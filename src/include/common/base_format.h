/*
 * base_format.h -- the data file data/base: pages of BASE_PAGE_SIZE bytes.
 *
 * Page 0 is the file's header (BaseHeader), zero behind it; it says whose file
 * this is and never changes.  Every other page begins with a BasePage:
 *
 *    0  magic      u32
 *    4  crc        u32  CRC-32C of the whole page with these four bytes as zero
 *    8  number     u64  the page's place: offset / BASE_PAGE_SIZE
 *   16  birth      u64  cut of the checkpoint that wrote it
 *   24  kind       u8   BASE_LEAF, BASE_INNER, BASE_OVERFLOW, BASE_MAP
 *   25  level      u8   0 leaf; 1 and more inner; 0 for the other kinds
 *   26  count      u16  entries
 *   28  prefix_len u16  bytes that all keys of this page begin with (leaf, inner)
 *   30  reserved   u16  0
 *   32  data_len   u32  leaf, inner: bytes of entries at the page's end; overflow: bytes of value; map: 0
 *   36  system     u32  low half of the system identifier
 *   40  link       u64  overflow: index of this page in its extent; map: number of the next map page, or 0
 *   48  ...             content
 *
 * A reference to a page is (number, birth): a page that was freed and written
 * again has another birth, so a stale reference is seen.  Little-endian.
 *
 * LEAF and INNER: the prefix, then count offsets (u16, from the page's begin) in
 * key order, free space, then the entries, in key order and without gaps up to
 * the page's end.  An entry's key is prefix + suffix; the prefix is as long as the
 * keys allow (with one entry: its whole key).  What no field uses is zero, in all
 * kinds of pages.
 *
 *   leaf entry    0 lsn u64 · 8 value_len u32 · 12 suffix_len u16 · 14 flags u16 ·
 *                 [expiry u64 with BASE_HAS_EXPIRY] · suffix ·
 *                 value, or with BASE_VALUE_EXTENT: number u64, birth u64, pages u32
 *   inner entry   0 number u64 · 8 birth u64 · 16 suffix_len u16 · 18 flags u16 · suffix
 *
 * An inner entry's key is the least key that may be found below it; the first
 * entry of an inner page takes everything below the second one's key, too.
 *
 * A page refers to nothing that is younger than it is: 0 < lsn, birth of a child,
 * birth of an extent, died of a run <= its own birth.  A value longer than
 * BASE_INLINE_MAX lies in an extent, no other does.
 *
 * OVERFLOW: data_len bytes of value behind the header.  An extent is a run of
 * consecutive pages, all with the same birth.
 *
 * MAP: the free-space map: count entries BaseMapEntry, in ascending order over
 * all pages of the chain, none overlapping, none touching when their died is
 * equal.  All pages of a chain have the same birth.
 */
#ifndef ARTERY_COMMON_BASE_FORMAT_H
#define ARTERY_COMMON_BASE_FORMAT_H

#include "common/c.h"

#define BASE_MAGIC UINT64_C(0x5341425952455441)
#define BASE_PAGE_SIZE 16384
#define BASE_PAGE_MAGIC 0x47505241
#define BASE_LEVEL_MAX 32
#define BASE_INLINE_MAX 4096		/* longer values lie in extents */
#define BASE_OVERFLOW_BYTES (BASE_PAGE_SIZE - sizeof(BasePage))
#define BASE_LEAF_HEADER 16			/* bytes of an entry before expiry and suffix */
#define BASE_INNER_HEADER 20
#define BASE_EXTENT_REF 20			/* bytes of number, birth, pages */
#define BASE_KEY_MIN 4				/* of a leaf's keys; those of inner pages may be shorter */
#define BASE_KEY_MAX 4112
#define BASE_BUILD_MAX 1024			/* entries of a page, at most */

typedef struct BaseHeader
{
	uint64		magic;
	uint32		format_version;
	uint32		page_size;
	uint64		system_id;
	uint64		created_wall_us;
	uint32		reserved;
	uint32		crc;			/* of all before */
} BaseHeader;
static_assert(sizeof(BaseHeader) == 40, "base header");

extern void base_header_seal(BaseHeader *h);
/* base_header_valid -- false: *why, a constant text.  Version and page size are the caller's to compare. */
extern bool base_header_valid(const BaseHeader *h, const char **why);

typedef enum BaseKind { BASE_LEAF = 1, BASE_INNER, BASE_OVERFLOW, BASE_MAP } BaseKind;

typedef struct BasePage
{
	uint32		magic;
	uint32		crc;
	uint64		number;
	uint64		birth;
	uint8		kind;
	uint8		level;
	uint16		count;
	uint16		prefix_len;
	uint16		reserved;
	uint32		data_len;
	uint32		system;
	uint64		link;
} BasePage;
static_assert(sizeof(BasePage) == 48, "page header");

/* BaseRef -- a page as its parent (or the control slot) names it; number 0: none */
typedef struct BaseRef
{
	uint64		number;
	uint64		birth;
} BaseRef;

enum { BASE_HAS_EXPIRY = 1, BASE_VALUE_EXTENT = 2 };	/* leaf entries */
enum { BASE_CHILD_EXTENTS = 1 };						/* inner entries: some leaf below names an extent */

/* BaseMapEntry -- a run of pages that hold nothing of the root in force */
typedef struct BaseMapEntry
{
	uint64		first;
	uint64		died;		/* 0: free; else set aside by the checkpoint with this cut */
	uint32		count;
	uint32		reserved;
} BaseMapEntry;
static_assert(sizeof(BaseMapEntry) == 24, "map entry");
#define BASE_MAP_ENTRIES ((BASE_PAGE_SIZE - sizeof(BasePage)) / sizeof(BaseMapEntry))

/* BaseState -- what a control slot says of the data file */
typedef struct BaseState
{
	BaseRef		root;			/* number 0: the base is empty */
	BaseRef		map;			/* first page of the free-space map; number 0: nothing is free */
	uint64		page_count;		/* length of the file in pages, the header page included */
	uint64		live_pages;		/* header, tree, extents and map */
	uint64		free_pages;
	uint64		aside_pages;	/* live + free + aside = page_count */
	uint32		levels;			/* of the tree; 0: empty */
	uint32		map_pages;
} BaseState;
static_assert(sizeof(BaseState) == 72, "base state");

/* ---- reading a page in memory (base_page.c): pure functions, for server and tools ---- */

/*
 * base_page_verify -- checksum, number, birth, kind, level, bounds of every entry
 * and key order.  level < 0: any; system: low half of the system identifier.
 * False: 'why' says what is wrong ("checksum 1234abcd, computed ...").
 * The page may hold anything; it is aligned to 8 bytes, and nothing outside its
 * BASE_PAGE_SIZE bytes is read.  link is the caller's to compare.
 */
extern bool base_page_verify(const void *page, BaseRef ref, BaseKind kind, int level, uint32 system,
							 char *why, size_t why_size);
extern void base_page_seal(void *page);			/* sets crc */

/* the functions below expect a page that was verified */
/* base_extent_pages -- pages that a value of that length takes. */
static inline uint32
base_extent_pages(uint64 value_len)
{
	return (uint32) ((value_len + BASE_OVERFLOW_BYTES - 1) / BASE_OVERFLOW_BYTES);
}

typedef struct BaseLeafEntry
{
	uint64		lsn;
	uint64		expiry;			/* 0: none */
	uint32		value_len;
	uint16		flags;
	uint16		suffix_len;
	const uint8 *suffix;
	const uint8 *value;			/* NULL: in an extent */
	BaseRef		extent;
	uint32		extent_pages;
} BaseLeafEntry;

extern void base_leaf_entry(const void *page, uint32 index, BaseLeafEntry *out);
extern BaseRef base_inner_child(const void *page, uint32 index, uint16 *flags /* may be NULL */);
/* base_page_key -- the whole key of an entry; returns its length.  'to' has room for KEY_MAX (4,112) bytes. */
extern uint32 base_page_key(const void *page, uint32 index, uint8 *to);
/* base_page_compare -- key of the entry against 'key': < 0, 0, > 0. */
extern int	base_page_compare(const void *page, uint32 index, const void *key, uint32 key_len);
/* base_page_search -- first entry whose key is >= key (count: none); *exact: it is that key. */
extern uint32 base_page_search(const void *page, const void *key, uint32 key_len, bool *exact);
/* base_inner_search -- the child under which 'key' belongs. */
extern uint32 base_inner_search(const void *page, const void *key, uint32 key_len);

/* ---- building a page (base_builder.c) ---- */

/*
 * BaseBuilder -- gathers entries in ascending key order, then lays them out.
 * Keys, suffixes and inline values are copied into the builder's own memory.
 * Keys that do not ascend, and an entry that no page could hold, end the process
 * (Verify).  Some 5 MB of address space, of which it touches what it needs.
 */
typedef struct BaseBuilder BaseBuilder;
extern BaseBuilder *base_builder_create(void);	/* NULL: no memory */
extern void base_builder_destroy(BaseBuilder *b);
extern void base_builder_reset(BaseBuilder *b, BaseKind kind, uint32 level);	/* BASE_LEAF or BASE_INNER */
extern uint32 base_builder_count(const BaseBuilder *b);
/* base_builder_bytes -- of the page as it would be laid out now, header included. */
extern uint32 base_builder_bytes(const BaseBuilder *b);
/*
 * base_builder_add_leaf / _inner -- false: it does not fit any more, nothing was added.
 * A first entry always fits.  Of a leaf entry lsn, expiry, value_len, and value or
 * (with more than BASE_INLINE_MAX bytes) extent and extent_pages are looked at; the
 * flags follow from them.
 */
extern bool base_builder_add_leaf(BaseBuilder *b, const void *key, uint32 key_len, const BaseLeafEntry *e /* suffix is not looked at */) attribute_must_check;
extern bool base_builder_add_inner(BaseBuilder *b, const void *key, uint32 key_len, BaseRef child, uint16 flags) attribute_must_check;
/* base_builder_key -- the key of an entry added; valid until the next reset. */
extern const uint8 *base_builder_key(const BaseBuilder *b, uint32 index, uint32 *len);
/* base_builder_finish -- entries [from, to), one at least, into a sealed page; they stay in the builder. */
extern void base_builder_finish(BaseBuilder *b, uint32 from, uint32 to, BaseRef ref, uint32 system, void *page);

#endif
