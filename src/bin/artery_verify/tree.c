/*
 * tree.c -- the tree from its root: every page once, every key in order and in its place.
 *
 * Depth first and in key order, one page of memory a level.  A page is read once
 * its number is known to be in the file and not claimed yet, so that a tree that
 * leads into itself ends.  What a page says of itself is base_page_verify's to
 * judge; here it is held against its surroundings: the bounds that the parents'
 * keys set, the neighbour's last key, the databases that exist, the extents that
 * its entries name.
 *
 * A page that cannot be used hides what is below it.  Then counts of keys and
 * coverage would say nothing, and are left out.
 */
#include "verify.h"

#include <fcntl.h>
#include <string.h>

#define CHUNK_PAGES 64

/* Bound -- a key, or none (NULL) */
typedef struct Bound
{
	const uint8 *key;
	uint32		len;
} Bound;

typedef struct TreeLevel
{
	BasePage   *page;
	uint8		lower[BASE_KEY_MAX];	/* of the child at hand */
	uint8		upper[BASE_KEY_MAX];
} TreeLevel;

/* Extents -- are there any below? */
typedef enum Extents { EXTENTS_NONE, EXTENTS_SOME, EXTENTS_UNKNOWN } Extents;


/* ---- keys ---- */

/* print_text -- what prints as it is, but blank, quote and backslash as \xHH; nothing at all as "". */
static void
print_text(const uint8 *text, uint32 len)
{
	if (len == 0)
		(void) fputs("\"\"", stdout);
	for (uint32 i = 0; i < len; i++)
		if (text[i] > ' ' && text[i] < 0x7f && text[i] != '"' && text[i] != '\\')
			(void) putc(text[i], stdout);
		else
			(void) printf("\\x%02x", text[i]);
}

/* database_of -- the database whose tree that is; -1: of none. */
static int
database_of(const Checker *c, uint32 tree)
{
	for (int db = 0; db < DATABASE_COUNT; db++)
		if (tree != 0 && c->slot->map.tree_id[db] == tree)
			return db;
	return -1;
}

/* count_key -- one key that was found: whose is it? */
static void
count_key(Checker *c, const BasePage *page, uint32 index, const uint8 *key, uint32 key_len, const BaseLeafEntry *e)
{
	uint32		tree = (uint32) key[0] << 24 | (uint32) key[1] << 16 | (uint32) key[2] << 8 | key[3];
	int			db = database_of(c, tree);

	c->all_keys++;
	if (db >= 0)
	{
		c->keys[db]++;
		c->deadlines[db] += e->expiry != 0;
		c->deadline_sum[db] += e->expiry / 1000;
		if (c->dump)
		{
			(void) printf("%d ", db);
			print_text(key + BASE_KEY_MIN, key_len - BASE_KEY_MIN);
			(void) printf(" %llu %u\n", (unsigned long long) e->lsn, e->value_len);
		}
	}
	else if (tree != SYSTEM_TREE_DEADLINES && (!c->stray_seen || c->stray_tree != tree))
	{
		verify_problem(&c->problems, c->name, "%s: entry %u: tree %u belongs to no database",
					   verify_page(page->number, 1), index, tree);
		c->stray_seen = true;
		c->stray_tree = tree;
	}
}

/* ---- extents ---- */

/* check_extent_page -- what one page of an extent must be; false: said why. */
static bool
check_extent_page(Checker *c, const BasePage *p, const BaseLeafEntry *e, uint32 index)
{
	BaseRef		ref = {e->extent.number + index, e->extent.birth};
	uint32		want = index + 1 < e->extent_pages ? (uint32) BASE_OVERFLOW_BYTES
		: e->value_len - index * (uint32) BASE_OVERFLOW_BYTES;
	char		why[300];

	if (!base_page_verify(p, ref, BASE_OVERFLOW, 0, (uint32) c->slot->system_id, why, sizeof(why)))
		verify_problem(&c->problems, c->name, "%s: %s", verify_page(ref.number, 1), why);
	else if (p->link != index)
		verify_problem(&c->problems, c->name, "%s: it says that it is page %llu of its extent, it is page %u",
					   verify_page(ref.number, 1), (unsigned long long) p->link, index);
	else if (p->data_len != want)
		verify_problem(&c->problems, c->name, "%s: %u bytes of value, expected %u", verify_page(ref.number, 1),
					   p->data_len, want);
	else
		return true;
	return false;
}

static void
check_extent(Checker *c, const BasePage *page, uint32 index, const BaseLeafEntry *e)
{
	char		why[300];

	if (!verify_claim(c, e->extent.number, e->extent_pages, "extent of entry %u of page %llu", index,
					  (unsigned long long) page->number)
		|| c->options->quick)
		return;
	for (uint32 done = 0; done < e->extent_pages;)
	{
		uint32		count = Min(e->extent_pages - done, CHUNK_PAGES);
		uint64		number = e->extent.number + done;

		if (!verify_read_page(c, c->chunk, number, count, why, sizeof(why)))
			verify_problem(&c->problems, c->name, "%s: %s", verify_page(number, count), why);
		else
			for (uint32 i = 0; i < count; i++)
				(void) check_extent_page(c, (const BasePage *) (c->chunk + (size_t) i * BASE_PAGE_SIZE), e, done + i);
		done += count;
	}
}

/* ---- pages of the tree ---- */

/* check_bounds -- all keys from 'first' on lie in [lower, upper). */
static void
check_bounds(Checker *c, const BasePage *p, uint32 first, Bound lower, Bound upper)
{
	if (lower.key != NULL && first < p->count && base_page_compare(p, first, lower.key, lower.len) < 0)
		verify_problem(&c->problems, c->name, "%s: the key of entry %u lies below the one that leads here",
					   verify_page(p->number, 1), first);
	if (upper.key != NULL && base_page_compare(p, p->count - 1u, upper.key, upper.len) >= 0)
		verify_problem(&c->problems, c->name, "%s: the key of entry %u belongs behind this page", verify_page(p->number, 1),
					   p->count - 1u);
}

static Extents
check_leaf(Checker *c, const BasePage *p, Bound lower, Bound upper)
{
	Extents		extents = EXTENTS_NONE;
	uint8		key[BASE_KEY_MAX];

	check_bounds(c, p, 0, lower, upper);
	if (c->last_key_there && base_page_compare(p, 0, c->last_key, c->last_key_len) <= 0)
		verify_problem(&c->problems, c->name, "%s: the key of entry 0 is not above the last one of the leaf before",
					   verify_page(p->number, 1));
	for (uint32 i = 0; i < p->count; i++)
	{
		BaseLeafEntry e;
		uint32		len = base_page_key(p, i, key);

		base_leaf_entry(p, i, &e);
		count_key(c, p, i, key, len, &e);
		if (e.lsn % 8 != 0)
			verify_problem(&c->problems, c->name, "%s: entry %u: LSN %" LSN_FORMAT " is no position of the log",
						   verify_page(p->number, 1), i, LSN_ARGS(e.lsn));
		if (e.flags & BASE_VALUE_EXTENT)
		{
			extents = EXTENTS_SOME;
			check_extent(c, p, i, &e);
		}
	}
	c->last_key_len = base_page_key(p, p->count - 1u, c->last_key);
	c->last_key_there = true;
	return extents;
}

/* prefetch -- tell the kernel which pages come next: the children, run by run. */
static void
prefetch(const Checker *c, const BasePage *p)
{
	uint64		first = 0;
	uint64		count = 0;

	for (uint32 i = 0; i <= p->count; i++)
	{
		uint64		number = i < p->count ? base_inner_child(p, i, NULL).number : 0;

		if (count > 0 && number == first + count)
		{
			count++;
			continue;
		}
		if (count > 0 && first < c->limit)
			(void) posix_fadvise(c->fd, (off_t) (first * BASE_PAGE_SIZE), (off_t) (count * BASE_PAGE_SIZE),
								 POSIX_FADV_WILLNEED);	/* a hint: an error changes nothing */
		first = number;
		count = 1;
	}
}

static Extents walk(Checker *c, BaseRef ref, uint32 level, Bound lower, Bound upper, const BasePage *parent, uint32 index);

static Extents
check_inner(Checker *c, const BasePage *p, Bound lower, Bound upper)
{
	TreeLevel  *own = &c->level[p->level];
	Extents		all = EXTENTS_NONE;

	/* what leads to the first child is the bound of this page, not the first key */
	check_bounds(c, p, 1, lower, upper);
	prefetch(c, p);
	for (uint32 i = 0; i < p->count; i++)
	{
		Bound		from = lower;
		Bound		to = upper;
		uint16		flags;
		BaseRef		child = base_inner_child(p, i, &flags);
		Extents		below;

		if (i > 0)
			from = (Bound) {own->lower, base_page_key(p, i, own->lower)};
		if (i + 1 < p->count)
			to = (Bound) {own->upper, base_page_key(p, i + 1, own->upper)};
		below = walk(c, child, p->level - 1u, from, to, p, i);
		if (below != EXTENTS_UNKNOWN && (below == EXTENTS_SOME) != ((flags & BASE_CHILD_EXTENTS) != 0))
			verify_problem(&c->problems, c->name, below == EXTENTS_SOME ? "%s: entry %u does not say that there are extents below"
						   : "%s: entry %u says that there are extents below, but there are none", verify_page(p->number, 1), i);
		if (below == EXTENTS_UNKNOWN || all == EXTENTS_UNKNOWN)
			all = EXTENTS_UNKNOWN;
		else if (below == EXTENTS_SOME)
			all = EXTENTS_SOME;
	}
	return all;
}

/* walk -- a page and all below it.  parent NULL: it is the root. */
static Extents
walk(Checker *c, BaseRef ref, uint32 level, Bound lower, Bound upper, const BasePage *parent, uint32 index)
{
	BasePage   *p = c->level[level].page;
	char		why[300];
	bool		good;

	if (parent == NULL)
		good = verify_claim(c, ref.number, 1, "root of the tree");
	else
		good = verify_claim(c, ref.number, 1, "child %u of page %llu", index, (unsigned long long) parent->number);
	if (good
		&& (!verify_read_page(c, p, ref.number, 1, why, sizeof(why))
			|| !base_page_verify(p, ref, level == 0 ? BASE_LEAF : BASE_INNER, (int) level, (uint32) c->slot->system_id, why,
								 sizeof(why))))
	{
		verify_problem(&c->problems, c->name, "%s: %s", verify_page(ref.number, 1), why);
		good = false;
	}
	if (!good)
	{
		c->keys_unknown = c->space_unknown = true;
		return EXTENTS_UNKNOWN;
	}
	if (ref.birth % 8 != 0)
		verify_problem(&c->problems, c->name, "%s: birth %" LSN_FORMAT " is no position of the log",
					   verify_page(ref.number, 1), LSN_ARGS(ref.birth));
	return level == 0 ? check_leaf(c, p, lower, upper) : check_inner(c, p, lower, upper);
}

/* check_keys -- what was found in each database against what the slot says. */
static void
check_keys(Checker *c)
{
	for (int db = 0; db < DATABASE_COUNT; db++)
	{
		if (c->keys[db] != c->slot->key_count[db])
			verify_problem(&c->problems, c->name, "database %d has %llu keys, the control file says %llu", db,
						   (unsigned long long) c->keys[db], (unsigned long long) c->slot->key_count[db]);
		if (c->deadlines[db] != c->slot->deadline_count[db])
			verify_problem(&c->problems, c->name, "database %d has %llu keys with a deadline, the control file says %llu", db,
						   (unsigned long long) c->deadlines[db], (unsigned long long) c->slot->deadline_count[db]);
		else if (c->deadline_sum[db] != c->slot->deadline_sum[db])
			verify_problem(&c->problems, c->name, "the deadlines of database %d add up to %llu ms, the control file says %llu", db,
						   (unsigned long long) c->deadline_sum[db], (unsigned long long) c->slot->deadline_sum[db]);
	}
}

void
verify_tree(Checker *c)
{
	const BaseState *state = &c->slot->base;
	Bound		none = {NULL, 0};

	if (state->root.number != 0)
	{
		c->level = verify_alloc(state->levels * sizeof(TreeLevel));
		c->chunk = verify_alloc((size_t) CHUNK_PAGES * BASE_PAGE_SIZE);
		for (uint32 i = 0; i < state->levels; i++)
			c->level[i].page = verify_alloc(BASE_PAGE_SIZE);
		(void) walk(c, state->root, state->levels - 1, none, none, NULL, 0);
		for (uint32 i = 0; i < state->levels; i++)
			free(c->level[i].page);
		free(c->level);
		free(c->chunk);
	}
	if (!c->keys_unknown)
		check_keys(c);
}
