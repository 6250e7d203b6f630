/*
 * base_merge.c -- old tree + sorted changes -> new tree: the walk.
 *
 * Goes through the old tree from left to right with the changes beside it.  Only
 * pages on the way to a change are read; of the others their parents' entries are
 * copied.  Of a leaf that is on the way, nothing is rewritten unless a change has
 * an effect on it (a removal of a key that it does not have has none).  What is
 * rewritten goes entry by entry to the makers (base_make.c), old and new ones in
 * key order.
 *
 * Prefix removals drop whole subtrees: a page whose key and whose right
 * neighbour's key begin with the prefix holds nothing else.  Its leaves are read
 * all the same, for their extents and their count (unless the source knows it).
 *
 * Relocation.  When less than half of the file is live (what the last checkpoint has
 * set aside does not count: the next one needs it), pages of its last part are
 * rewritten although nothing in them has changed, into free places further down, so
 * that the tail empties and the file gets shorter a few checkpoints later.  The part
 * is chosen so that RELOCATE_PART of the live pages at most move in one merge.  To
 * find them the inner pages are walked, all of them: a few pages per thousand.  An
 * extent is known by its leaf alone: leaves that name extents are read for it, a
 * bounded number per merge; the next one goes on behind them.
 *
 * Nothing that a root reaches is written: every page comes from base_space.c.  A
 * failure of any kind makes the makers stop handing over pages, everything that
 * is in flight is waited for, and the space part forgets the attempt.
 *
 * The process that writes the base, no other.  It may die at any instruction: no
 * root reaches what it has written.
 */
#include "access/base/base_internal.h"
#include "utils/settings.h"

#include <errno.h>

#define READ_AHEAD 64			/* neighbours read ahead where a walk takes them all */
#define RELOCATE_PART 8			/* one in so many live pages moves in one merge, at most */
#define RELOCATE_MIN_PAGES 256	/* smaller files are not worth it */
#define RELOCATE_NONE UINT64_MAX

/* between -- the caller's turn. */
static void
between(Merge *m)
{
	m->looked_at = 0;
	if (m->source->between != NULL && !m->source->between(m->source->arg, m->making.pages + m->extent_pages))
		base__making_fail(&m->making, ECANCELED, "the checkpoint was given up");
}

/* write_failed -- of what has come back: the error and its page. */
static void
write_failed(Merge *m, int error)
{
	uint64		number;

	(void) base__io_error(m->writer->io, &number);
	errno = error;
	base__making_fail(&m->making, error, "could not write page %llu of data/base: %m", (unsigned long long) number);
}

/* batch_gone -- a batch is on its way: has an earlier one failed?  Then the caller's turn. */
static void
batch_gone(BaseMaking *making)
{
	Merge	   *m = making->arg;
	uint64		number;
	int			error = base__io_error(m->writer->io, &number);

	if (error != 0)
		write_failed(m, error);
	else
		between(m);
}

void
base__merge_put(Merge *m, uint64 number)
{
	if (base__io_put(m->writer->io, number))
		batch_gone(&m->making);
}

BaseSlot *
base__merge_get(Merge *m, BaseRef ref, BaseKind kind, uint32 level)
{
	char		why[256];
	int			error;
	BaseSlot   *slot;

	/* a merge that only reads must not forget the caller */
	if (++m->looked_at >= (uint64) set_checkpoint_batch_pages)
		between(m);
	if (m->making.failed)
		return NULL;
	slot = base__fetch_get(m->writer->fetch, ref, kind, (int) level, &error, why, sizeof(why));
	if (slot == NULL)
		base__making_fail(&m->making, error, "%s", why);
	return slot;
}

static void
release(Merge *m, BaseSlot *slot)
{
	base__fetch_release(m->writer->fetch, slot);
}

/* ---- leaves ---- */

/* Leaf -- an old leaf on its way into the new tree */
typedef struct Leaf
{
	const uint8 *page;
	uint32		count;
	uint32		next;			/* entries before it are done with */
	bool		rewritten;
	BaseRef		ref;
	uint16		flags;
	const uint8 *bound;			/* its key */
	uint32		bound_len;
	uint32		prefix_len;
	uint8		key[BASE_KEY_MAX];	/* the page's prefix, and the suffix at hand */
} Leaf;

/* relocating -- is there still a page before the file's last part to go to? */
static bool
relocating(Merge *m)
{
	return m->tail_from != RELOCATE_NONE && base__space_lowest(&m->writer->space) < m->tail_from;
}

/* in_tail -- does the entry name an extent that should move? */
static bool
in_tail(const Merge *m, const BaseLeafEntry *e)
{
	return (e->flags & BASE_VALUE_EXTENT) && m->tail_from != RELOCATE_NONE
		&& e->extent.number + e->extent_pages > m->tail_from;
}

/* move_extent -- to a place further down, if there is one. */
static void
move_extent(Merge *m, BaseLeafEntry *e)
{
	uint64		first = base__space_take_below(&m->writer->space, e->extent_pages, m->tail_from);
	uint32		ahead = 0;

	if (first == 0)
		return;
	for (uint32 i = 0; i < e->extent_pages; i++)
	{
		const BasePage *old;
		BaseSlot   *slot;
		BasePage   *p;

		for (; ahead < e->extent_pages && ahead < i + READ_AHEAD; ahead++)
			if (!base__fetch_ahead(m->writer->fetch, (BaseRef) {e->extent.number + ahead, e->extent.birth}))
				break;
		slot = base__merge_get(m, (BaseRef) {e->extent.number + i, e->extent.birth}, BASE_OVERFLOW, 0);
		if (slot == NULL)
			return;
		old = (const BasePage *) slot->page;
		p = base__io_frame(m->writer->io);
		memcpy(p + 1, old + 1, old->data_len);
		base__overflow_page(m, p, first + i, i, old->data_len);
		release(m, slot);
		m->extent_pages++;
		m->relocated++;
		base__merge_put(m, first + i);
	}
	base__making_dead(&m->making, e->extent.number, e->extent_pages);
	e->extent = (BaseRef) {first, m->birth};
}

static void
leaf_rewrite(Merge *m, Leaf *leaf)
{
	if (leaf->rewritten)
		return;
	leaf->rewritten = true;
	base__segment_begin(base__maker(&m->making, 0), leaf->bound, leaf->bound_len, leaf->ref, leaf->flags);
}

/* leaf_copy -- entries up to 'to' go into the new tree as they are. */
static void
leaf_copy(Merge *m, Leaf *leaf, uint32 to)
{
	BaseMaker  *maker = base__maker(&m->making, 0);

	leaf_rewrite(m, leaf);
	for (; leaf->next < to; leaf->next++)
	{
		BaseLeafEntry e;

		base_leaf_entry(leaf->page, leaf->next, &e);
		if (in_tail(m, &e))
			move_extent(m, &e);
		memcpy(leaf->key + leaf->prefix_len, e.suffix, e.suffix_len);
		base__add_leaf(maker, leaf->key, leaf->prefix_len + e.suffix_len, &e, false);
	}
}

/* leaf_drop -- the next entry is not in the new tree. */
static void
leaf_drop(Merge *m, Leaf *leaf)
{
	BaseLeafEntry e;

	base_leaf_entry(leaf->page, leaf->next, &e);
	if (e.flags & BASE_VALUE_EXTENT)
		base__making_dead(&m->making, e.extent.number, e.extent_pages);
	leaf->next++;
}

static void
insert(Merge *m, const MergeChange *change)
{
	const BaseChange *c = &change->c;
	BaseLeafEntry e = {.lsn = c->lsn, .expiry = c->expiry, .value_len = (uint32) c->value_len, .value = c->value,
					   .extent = change->extent};

	if (c->value_len > BASE_INLINE_MAX)
		e.extent_pages = base_extent_pages(c->value_len);
	base__add_leaf(base__maker(&m->making, 0), c->key, c->key_len, &e, true);
}

/* leaf_remove_prefix -- true: the prefix reaches beyond this leaf. */
static bool
leaf_remove_prefix(Merge *m, Leaf *leaf, const MergeChange *change, MergeBound bound)
{
	bool		exact;
	uint32		from = base_page_search(leaf->page, change->c.key, change->c.key_len, &exact);

	if (from < leaf->count && base__change_covers(change, leaf->page, from))
	{
		leaf_copy(m, leaf, from);
		while (leaf->next < leaf->count && base__change_covers(change, leaf->page, leaf->next))
		{
			leaf_drop(m, leaf);
			m->prefix_removed++;
		}
	}
	if (bound.page != NULL && base__change_covers(change, bound.page, bound.index))
		return true;
	base__change_done(m, m->source->uncounted ? UINT64_MAX : m->prefix_removed, m->prefix_removed > 0);
	m->prefix_removed = 0;
	return false;
}

static void
leaf_change(Merge *m, Leaf *leaf, const MergeChange *change)
{
	bool		exact;
	uint32		at = base_page_search(leaf->page, change->c.key, change->c.key_len, &exact);

	if (exact)
	{
		BaseLeafEntry old;

		base_leaf_entry(leaf->page, at, &old);
		m->ring[m->head % MERGE_CHANGES].c.old_expiry = old.expiry;
	}
	if (change->c.kind == BASE_PUT || exact)
	{
		leaf_copy(m, leaf, at);
		if (exact)
			leaf_drop(m, leaf);
		if (change->c.kind == BASE_PUT)
			insert(m, change);
	}
	base__change_done(m, exact, exact);
}

/* leaf_relocate -- is it, or one of its extents, in the tail? */
static void
leaf_relocate(Merge *m, Leaf *leaf)
{
	if (leaf->rewritten || !relocating(m))
		return;
	if (leaf->ref.number >= m->tail_from)
	{
		m->relocated++;
		leaf_rewrite(m, leaf);
	}
	for (uint32 i = 0; !leaf->rewritten && i < leaf->count; i++)
	{
		BaseLeafEntry e;

		base_leaf_entry(leaf->page, i, &e);
		if (in_tail(m, &e))
			leaf_rewrite(m, leaf);
	}
}

static void
merge_leaf(Merge *m, BaseRef ref, uint16 flags, const uint8 *key, uint32 key_len, MergeBound bound)
{
	BaseMaker  *maker = base__maker(&m->making, 0);
	BaseSlot   *slot;
	MergeChange *change;
	Leaf		leaf;

	base__scout(m);
	slot = base__merge_get(m, ref, BASE_LEAF, 0);
	if (slot == NULL)
		return;
	leaf.page = slot->page;
	leaf.count = base__slot_count(slot);
	leaf.next = 0;
	leaf.rewritten = false;
	leaf.ref = ref;
	leaf.flags = flags;
	leaf.bound = key;
	leaf.bound_len = key_len;
	leaf.prefix_len = ((const BasePage *) slot->page)->prefix_len;
	memcpy(leaf.key, slot->page + sizeof(BasePage), leaf.prefix_len);
	if (maker->open)
		leaf_rewrite(m, &leaf);	/* it goes together with the page before it */
	leaf_relocate(m, &leaf);
	while ((change = base__change_peek(m)) != NULL && base__change_below(bound, change))
	{
		if (change->c.kind != BASE_REMOVE_PREFIX)
			leaf_change(m, &leaf, change);
		else if (leaf_remove_prefix(m, &leaf, change, bound))
			break;
	}
	if (leaf.rewritten)
		leaf_copy(m, &leaf, leaf.count);
	else
		base__pass(maker, key, key_len, ref, flags);
	release(m, slot);
}

/* ---- inner pages ---- */

/* must_read -- to drop child 'index': for what is below, for its extents, or to count its keys? */
static bool
must_read(Merge *m, const BaseSlot *slot, uint32 level, uint32 index)
{
	uint16		flags;

	(void) base_inner_child(slot->page, index, &flags);
	return level > 1 || !m->source->uncounted || (flags & BASE_CHILD_EXTENTS);
}

static void drop_subtree(Merge *m, BaseRef ref, uint32 level);

/* drop_child -- all below has the prefix that is being removed. */
static void
drop_child(Merge *m, const BaseSlot *slot, uint32 level, uint32 index)
{
	BaseRef		child = base_inner_child(slot->page, index, NULL);

	if (must_read(m, slot, level, index))
		drop_subtree(m, child, level - 1);
	else
		base__making_dead(&m->making, child.number, 1);
}

static void
drop_subtree(Merge *m, BaseRef ref, uint32 level)
{
	BaseSlot   *slot = base__merge_get(m, ref, level == 0 ? BASE_LEAF : BASE_INNER, level);
	uint32		ahead = 0;

	if (slot == NULL)
		return;
	base__making_dead(&m->making, ref.number, 1);
	if (level == 0)
	{
		Leaf		leaf = {.page = slot->page, .count = base__slot_count(slot)};

		m->prefix_removed += leaf.count;
		while (leaf.next < leaf.count)
			leaf_drop(m, &leaf);
	}
	for (uint32 i = 0; level > 0 && i < base__slot_count(slot) && !m->making.failed; i++)
	{
		for (; ahead < base__slot_count(slot) && ahead < i + READ_AHEAD; ahead++)
			if (must_read(m, slot, level, ahead)
				&& !base__fetch_ahead(m->writer->fetch, base_inner_child(slot->page, ahead, NULL)))
				break;
		drop_child(m, slot, level, i);
		ahead = Max(ahead, i + 1);
	}
	release(m, slot);
}

/* look_at_extents -- the leaf below entry 'index' names extents: shall it be read to see where they are? */
static bool
look_at_extents(Merge *m, const BaseSlot *slot, uint32 index)
{
	BaseWriter *w = m->writer;

	if (m->extent_looks == 0
		|| (w->looked_len > 0 && base_page_compare(slot->page, index, w->looked_key, w->looked_len) <= 0))
		return false;
	if (--m->extent_looks == 0)
		w->looked_len = base_page_key(slot->page, index, w->looked_key);
	return true;
}

/* worth_moving -- relocation wants to see child 'index' of a page of this level, or what is below. */
static bool
worth_moving(Merge *m, const BaseSlot *slot, uint32 level, uint32 index)
{
	uint16		flags;
	BaseRef		child = base_inner_child(slot->page, index, &flags);

	return level > 1 || child.number >= m->tail_from
		|| ((flags & BASE_CHILD_EXTENTS) && look_at_extents(m, slot, index));
}

/* next_wanted -- the first child from 'from' on that must be looked at. */
static uint32
next_wanted(Merge *m, const BaseSlot *slot, uint32 level, uint32 from, MergeBound bound)
{
	const MergeChange *change = base__change_peek(m);
	uint32		at = base__slot_count(slot);

	if (change != NULL && base__change_below(bound, change))
		at = base_inner_search(slot->page, change->c.key, change->c.key_len);
	if (!relocating(m))
		return Max(at, from);
	while (from < at && !worth_moving(m, slot, level, from))
		from++;
	return from;
}

/* read_ahead -- children that relocation walks, or that are about to be dropped; for single changes there is the scout. */
static void
read_ahead(Merge *m, const BaseSlot *slot, uint32 level, uint32 from, uint32 *ahead)
{
	const MergeChange *change = base__change_peek(m);
	bool		dropping = change != NULL && change->c.kind == BASE_REMOVE_PREFIX;

	if (m->tail_from == RELOCATE_NONE && !dropping)
		return;
	for (*ahead = Max(*ahead, from); *ahead < base__slot_count(slot) && *ahead < from + READ_AHEAD; ++*ahead)
	{
		BaseRef		child = base_inner_child(slot->page, *ahead, NULL);
		bool		wanted = m->tail_from != RELOCATE_NONE && (level > 1 || child.number >= m->tail_from);

		if (!wanted && dropping)
			wanted = base__change_covers(change, slot->page, *ahead) && must_read(m, slot, level, *ahead);
		if (wanted && !base__fetch_ahead(m->writer->fetch, child))
			break;
	}
}

/* whole_prefix -- does everything below this child have the prefix that is being removed? */
static bool
whole_prefix(Merge *m, const BaseSlot *slot, uint32 index, MergeBound bound)
{
	const MergeChange *change = base__change_peek(m);

	return change != NULL && change->c.kind == BASE_REMOVE_PREFIX && bound.page != NULL
		&& base__change_covers(change, slot->page, index) && base__change_covers(change, bound.page, bound.index);
}

/* next_of -- what stands to the right of child 'index', which is through. */
static BaseNext
next_of(Merge *m, const BaseSlot *slot, uint32 index, MergeBound bound)
{
	const MergeChange *change = base__change_peek(m);

	if (index + 1 == base__slot_count(slot))
		return bound.page == NULL ? NEXT_EDGE : NEXT_NONE;
	if (change != NULL && (index + 2 < base__slot_count(slot)
						   ? base__change_below((MergeBound) {slot->page, index + 2}, change)
						   : base__change_below(bound, change)))
		return NEXT_TOUCHED;
	return NEXT_IDLE;
}

static void merge_inner(Merge *m, BaseRef ref, uint16 flags, uint32 level, const uint8 *key, uint32 key_len,
						MergeBound bound);

/* merge_child -- child 'index' of a page of level 'level' is on the way to a change, or joins its left neighbour. */
static void
merge_child(Merge *m, BaseSlot *slot, uint32 level, uint32 index, MergeBound bound)
{
	BaseMaker  *maker = base__maker(&m->making, level - 1);
	bool		more = index + 1 < base__slot_count(slot);
	MergeBound	own = more ? (MergeBound) {slot->page, index + 1} : bound;
	uint16		flags;
	BaseRef		child = base_inner_child(slot->page, index, &flags);

	if (whole_prefix(m, slot, index, own))
	{
		drop_child(m, slot, level, index);
		base__maker(&m->making, level)->changed = true;
	}
	else
	{
		uint8		key[BASE_KEY_MAX];
		uint32		key_len = base_page_key(slot->page, index, key);

		if (level == 1)
			merge_leaf(m, child, flags, key, key_len, own);
		else
			merge_inner(m, child, flags, level - 1, key, key_len, own);
	}
	if (maker->open)
		(void) base__segment_end(maker, next_of(m, slot, index, bound));
}

static void
merge_inner(Merge *m, BaseRef ref, uint16 flags, uint32 level, const uint8 *key, uint32 key_len, MergeBound bound)
{
	BaseMaker  *maker = base__maker(&m->making, level);
	BaseMaker  *children = base__maker(&m->making, level - 1);
	bool		joins = maker->open;
	BaseSlot   *slot;
	uint32		i = 0;
	uint32		ahead = 0;

	base__scout(m);
	slot = base__merge_get(m, ref, BASE_INNER, level);
	if (slot == NULL)
		return;
	base__segment_begin(maker, key, key_len, ref, flags);
	if (ref.number >= m->tail_from && relocating(m) && !joins)
	{
		m->relocated++;
		maker->changed = true;
	}
	if (joins)
		base__scope_begin(children, key, key_len);
	else
		base__scope_begin(children, maker->current->bound.bytes, maker->current->bound.len);
	while (i < base__slot_count(slot) && !m->making.failed)
	{
		uint32		wanted;

		read_ahead(m, slot, level, i, &ahead);
		wanted = children->open ? i : next_wanted(m, slot, level, i, bound);

		for (; i < wanted; i++)
		{
			uint8		child_key[BASE_KEY_MAX];
			uint32		len = base_page_key(slot->page, i, child_key);
			uint16		child_flags;
			BaseRef		child = base_inner_child(slot->page, i, &child_flags);

			base__pass(children, child_key, len, child, child_flags);
		}
		if (i < base__slot_count(slot))
			merge_child(m, slot, level, i++, bound);
	}
	base__scope_end(children);
	release(m, slot);
}

/* ---- the whole ---- */

/* merge_empty -- there is no old tree: every change is a new entry, or nothing. */
static void
merge_empty(Merge *m)
{
	BaseMaker  *maker = base__maker(&m->making, 0);
	MergeChange *change;

	base__segment_begin(maker, NULL, 0, (BaseRef) {0, 0}, 0);
	while ((change = base__change_peek(m)) != NULL)
	{
		if (change->c.kind == BASE_PUT)
			insert(m, change);
		base__change_done(m, 0, false);
	}
	(void) base__segment_end(maker, NEXT_EDGE);
	base__scope_end(maker);
}

static void
merge_tree(Merge *m)
{
	const BaseState *state = &m->writer->state;
	uint32		level = state->levels - 1;
	BaseMaker  *maker = base__maker(&m->making, level);
	MergeBound	none = {NULL, 0};

	base__scope_begin(maker, NULL, 0);
	if (base__change_peek(m) == NULL && m->tail_from == RELOCATE_NONE)
		base__pass(maker, NULL, 0, state->root, 0);
	else if (level == 0)
		merge_leaf(m, state->root, 0, NULL, 0, none);
	else
		merge_inner(m, state->root, 0, level, NULL, 0, none);
	if (maker->open)
		(void) base__segment_end(maker, NEXT_EDGE);
	base__scope_end(maker);
}

/* shrink -- a root with a single child is none. */
static void
shrink(Merge *m, BaseRef *root, uint32 *levels)
{
	while (*levels > 1 && !m->making.failed)
	{
		const BaseMaker *maker = base__maker(&m->making, *levels - 1);
		BaseSlot   *slot;

		if (root->birth == m->birth)
		{
			if (maker->single.number != root->number)
				return;
			base__space_give(&m->writer->space, root->number);
			*root = maker->single_child;
			--*levels;
			continue;
		}
		/* an old page that became the root, or still is */
		slot = base__merge_get(m, *root, BASE_INNER, *levels - 1);
		if (slot == NULL)
			return;
		if (base__slot_count(slot) > 1)
		{
			release(m, slot);
			return;
		}
		base__making_dead(&m->making, root->number, 1);
		*root = base_inner_child(slot->page, 0, NULL);
		release(m, slot);
		--*levels;
	}
}

/* finish_tree -- levels above the old root, as many as are needed; the new root. */
static void
finish_tree(Merge *m, uint32 level, BaseRef *root, uint32 *levels)
{
	for (;; level++)
	{
		BaseMaker  *maker = base__maker(&m->making, level);

		if (m->making.failed)
			return;
		if (level > BASE_LEVEL_MAX - 1)
		{
			base__making_fail(&m->making, EFBIG, "data/base would have more than %d levels", BASE_LEVEL_MAX);
			return;
		}
		if (maker->handed == 0 && maker->held_kind == HELD_NONE && !maker->has_full
			&& base_builder_count(maker->current->builder) <= 1)
		{
			bool		empty = base_builder_count(maker->current->builder) == 0;

			*levels = empty ? 0 : level;
			*root = empty ? (BaseRef) {0, 0} : maker->last_ref;
			maker->open = false;
			shrink(m, root, levels);
			return;
		}
		(void) base__segment_end(maker, NEXT_EDGE);
		base__scope_end(maker);
	}
}

/* write_map -- the new map into the pages that it was given; the last page of the chain first. */
static void
write_map(Merge *m, const uint64 *pages, uint32 count)
{
	BaseWriter *w = m->writer;
	size_t		end = w->space.next.count;

	for (uint32 i = count; i-- > 0 && !m->making.failed;)
	{
		size_t		from = (size_t) i * w->space.next.count / count;
		BasePage   *p = base__io_frame(w->io);
		BaseMapEntry *entry = (BaseMapEntry *) (p + 1);

		memset(p, 0, BASE_PAGE_SIZE);
		*p = (BasePage) {.magic = BASE_PAGE_MAGIC, .number = pages[i], .birth = m->birth, .kind = BASE_MAP,
						 .count = (uint16) (end - from), .system = w->system, .link = i + 1 < count ? pages[i + 1] : 0};
		for (size_t j = from; j < end; j++)
		{
			const BaseRun *r = &w->space.next.at[j];

			Verify(r->count <= UINT32_MAX);
			*entry++ = (BaseMapEntry) {.first = r->first, .died = r->died, .count = (uint32) r->count};
		}
		end = from;
		base_page_seal(p);
		m->making.pages++;
		base__merge_put(m, pages[i]);
	}
}

/* finish_space -- the new map, and what the new state says of the file. */
static void
finish_space(Merge *m, BaseRef root, uint32 levels)
{
	BaseWriter *w = m->writer;
	BaseState  *next = &w->next;
	const uint64 *pages;
	uint64		live;
	uint64		twice;

	for (uint32 i = 0; i < w->state.map_pages; i++)
		base__making_dead(&m->making, w->map_page[i], 1);
	if (!base__space_plan(&w->space, &w->next_map_page, &next->map_pages, &twice))
	{
		base__making_fail(&m->making, EUCLEAN, "data/base is damaged: its root and free map have page %llu in two places",
						  (unsigned long long) twice);
		return;
	}
	pages = w->next_map_page;
	next->root = root;
	next->levels = levels;
	next->map = next->map_pages > 0 ? (BaseRef) {pages[0], m->birth} : (BaseRef) {0, 0};
	next->page_count = w->space.next_count;
	base__space_sum(&w->space.next, &next->free_pages, &next->aside_pages);
	next->live_pages = next->page_count - next->free_pages - next->aside_pages;
	live = w->state.live_pages + w->space.taken_pages - w->space.given_pages - w->space.dead_pages;
	if (next->live_pages != live)
		base__making_fail(&m->making, EUCLEAN,
						  "data/base is damaged: its root and free map add up to %llu live pages, not %llu",
						  (unsigned long long) next->live_pages, (unsigned long long) live);
	write_map(m, pages, next->map_pages);
}

/* worth_a_map -- nothing in the tree has changed: is it worth while to write a new map? */
static bool
worth_a_map(const Merge *m)
{
	const BaseWriter *w = m->writer;
	uint64		soon = 0;

	for (uint32 i = 0; i < w->state.map_pages; i++)
		if (w->map_page[i] >= m->tail_from)
			return true;		/* to get it out of there */
	for (size_t i = 0; i < w->space.map.count; i++)
		if (w->space.map.at[i].died != 0)
			soon += w->space.map.at[i].count;
	return soon > 2 * (uint64) w->state.map_pages;	/* each map leaves the last one's pages behind */
}

static void
report_merge(Merge *m, BaseReport *report, uint64 reads, uint64 batches)
{
	BaseWriter *w = m->writer;

	*report = (BaseReport) {.to_write = m->making.pages + m->extent_pages, .to_free = w->space.dead_pages,
							.reads = base__fetch_reads(w->fetch) - reads, .relocated = m->relocated,
							.batches = base__io_stats(w->io)->write_batches - batches};
	report->pinned = w->space.pinned_pages;
	if (!m->making.failed)
		report->written = report->to_write;
	else
	{
		report->error = m->making.error;
		snprintf(report->text, sizeof(report->text), "%s", m->making.text);
	}
}

/* relocation_begin -- is it time, and from which page on? */
static void
relocation_begin(Merge *m)
{
	BaseWriter *w = m->writer;
	uint64		budget = Max(w->state.live_pages / RELOCATE_PART, RELOCATE_MIN_PAGES / 4);
	uint64		moving;

	m->tail_from = RELOCATE_NONE;
	if (m->source->hurry || w->state.levels == 0 || w->state.page_count < RELOCATE_MIN_PAGES
		|| w->state.live_pages * 2 >= w->state.page_count - w->state.aside_pages)
		return;
	m->tail_from = base__space_tail(&w->space, budget, &moving);
	if (moving == 0)
		m->tail_from = RELOCATE_NONE;	/* what was set aside becomes free first */
	else
		m->extent_looks = budget;
}

/* relocation_end -- every leaf with extents was looked at: the next merge begins anew. */
static void
relocation_end(Merge *m)
{
	if (m->tail_from != RELOCATE_NONE && m->extent_looks > 0)
		m->writer->looked_len = 0;
}

static void
merge_run(Merge *m)
{
	BaseWriter *w = m->writer;
	BaseRef		root = {0, 0};
	uint32		levels = 0;
	uint32		old_levels = w->state.levels;

	relocation_begin(m);
	base__scout_begin(m);
	if (old_levels == 0)
		merge_empty(m);
	else
		merge_tree(m);
	base__scout_end(m);
	relocation_end(m);
	finish_tree(m, Max(old_levels, 1), &root, &levels);
	if (m->making.failed)
		return;
	w->kept = w->space.taken_pages == 0 && w->space.dead_pages == 0 && !worth_a_map(m);
	if (!w->kept)
		finish_space(m, root, levels);
}

bool
base_merge(BaseWriter *w, Lsn birth, const BaseSource *source, BaseState *now, BaseReport *report)
{
	Merge	   *m = calloc(1, sizeof(*m));
	uint64		reads = base__fetch_reads(w->fetch);
	uint64		batches = base__io_stats(w->io)->write_batches;
	bool		ok;
	int			error;

	Verify(m != NULL && !w->merged && birth > w->last_birth);
	w->last_birth = birth;
	w->next = w->state;
	m->writer = w;
	m->source = source;
	m->birth = birth;
	base__changes_init(m);
	base__making_init(&m->making, w, birth);
	m->making.batch_gone = batch_gone;
	m->making.arg = m;
	base__space_begin(&w->space, birth, source->pinned);
	merge_run(m);
	if (!m->making.failed && (error = base__io_drain(w->io)) != 0)
		write_failed(m, error);
	ok = !m->making.failed;
	report_merge(m, report, reads, batches);
	w->report = *report;
	w->merged = ok;
	if (ok)
	{
		FAULT_POINT("base-map-written");
		base__fetch_forget(w->fetch);
		*now = w->next;
	}
	else
		base_merge_abandon(w);
	base__making_end(&m->making);
	base__changes_end(m);
	free(m);
	return ok;
}
