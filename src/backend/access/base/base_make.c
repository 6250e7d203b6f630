/*
 * base_make.c -- pages of the new tree: packed, split, put together.
 *
 * One BaseMaker per level.  base_merge.c walks the old tree from left to right
 * and tells the maker of each level, for the pages below one parent (the scope):
 * this old page stays (base__pass), or it is rewritten (base__segment_begin), and
 * then the entries of its successor one by one.  What the maker of level n has
 * finished it hands to the maker of level n + 1 as an entry, when it has handed
 * the page to the I/O part: so children always go before parents.
 *
 * Sizes.  A segment (an old page with its changes) that fits into one page is one
 * page.  If it does not, pages are filled as entries come, and the last two are
 * divided evenly at the end; but where the last page holds nothing but what was
 * appended behind all that was there, they stay full: keys that only grow fill their
 * pages.  A segment that falls below SMALL_BYTES goes on with the next page below the same
 * parent, or, if there is none, takes in the one before it, which has been kept
 * back for this (held).  Where the next page is rewritten anyway, less than half a
 * page is small.  At the right edge it may stay small: it will grow.  A segment
 * without entries leaves no page.
 *
 * Keys of pages.  A page's key in its parent is a lower bound of all below it.
 * The first page of a scope has the scope's own bound (the root's is empty), so
 * the first entry of an inner page repeats the page's key.  Where a segment is cut
 * into leaves, the key is the shortest that separates the two neighbours.
 *
 * New inner pages are put into the buffer pool, too.
 *
 * A page of which nothing changed (its children are the same) is not rewritten.
 * Old pages that are rewritten are given to the space part as dead.
 *
 * After a failure (BaseMaking.failed) everything here does nothing useful and
 * nothing wrong, and no page is handed over any more: callers look at it in their
 * loops.
 */
#include "access/base/base_internal.h"
#include "storage/buffer/buffer.h"

#include <errno.h>
#include <stdarg.h>

#define SMALL_BYTES (BASE_PAGE_SIZE / 3)
#define HALF_BYTES (BASE_PAGE_SIZE / 2)
#define WARM_PART 4				/* of the buffer pool: for new pages of level 1 */

/* ---- all levels ---- */

void
base__making_init(BaseMaking *making, BaseWriter *writer, Lsn birth)
{
	BufferStats pool;

	memset(making, 0, sizeof(*making));
	making->open_from = Max(writer->state.levels, 1);
	making->writer = writer;
	making->birth = birth;
	making->scratch = file_alloc_aligned(BASE_PAGE_SIZE);
	buffer_stats(&pool);
	making->warm = pool.frames / WARM_PART;
}

static BaseDraft *
draft_create(void)
{
	BaseDraft  *d = calloc(1, sizeof(*d));

	Verify(d != NULL);
	d->builder = base_builder_create();
	Verify(d->builder != NULL);
	return d;
}

static void
draft_destroy(BaseDraft *d)
{
	base_builder_destroy(d->builder);
	free(d);
}

void
base__making_end(BaseMaking *making)
{
	for (uint32 i = 0; i < making->levels; i++)
	{
		BaseMaker  *m = making->maker[i];

		draft_destroy(m->held);
		draft_destroy(m->full);
		draft_destroy(m->current);
		draft_destroy(m->spare);
		free(m);
	}
	making->levels = 0;
	free(making->scratch);
	making->scratch = NULL;
}

void
base__making_fail(BaseMaking *making, int error, const char *fmt, ...)
{
	va_list		args;

	if (making->failed)
		return;
	making->failed = true;
	making->error = error;
	va_start(args, fmt);
	(void) vsnprintf(making->text, sizeof(making->text), fmt, args);
	va_end(args);
}

void
base__making_dead(BaseMaking *making, uint64 first, uint64 count)
{
	if (!base__space_dead(&making->writer->space, first, count))
		base__making_fail(making, EUCLEAN, "data/base is damaged: it has no pages %llu to %llu, which its root reaches",
						  (unsigned long long) first, (unsigned long long) (first + count - 1));
}

BaseMaker *
base__maker(BaseMaking *making, uint32 level)
{
	Verify(level <= BASE_LEVEL_MAX);
	while (making->levels <= level)
	{
		BaseMaker  *m = calloc(1, sizeof(*m));

		Verify(m != NULL);
		m->making = making;
		m->level = making->levels;
		m->held = draft_create();
		m->full = draft_create();
		m->current = draft_create();
		m->spare = draft_create();
		m->scope_first = true;
		making->maker[making->levels++] = m;
	}
	return making->maker[level];
}

static BaseMaker *
parent_of(BaseMaker *m)
{
	return base__maker(m->making, m->level + 1);
}

static void
key_set(BaseKey *to, const uint8 *key, uint32 len)
{
	Assert(len <= BASE_KEY_MAX);
	to->len = len;
	if (len > 0)
		memcpy(to->bytes, key, len);
}

/* ---- drafts ---- */

static void
draft_reset(BaseMaker *m, BaseDraft *d)
{
	base_builder_reset(d->builder, m->level == 0 ? BASE_LEAF : BASE_INNER, m->level);
	d->new_entries = 0;
	d->extents = false;
}

static void
swap(BaseDraft **a, BaseDraft **b)
{
	BaseDraft  *t = *a;

	*a = *b;
	*b = t;
}

static bool
draft_add_leaf(BaseDraft *d, const uint8 *key, uint32 key_len, const BaseLeafEntry *e, bool is_new)
{
	if (!base_builder_add_leaf(d->builder, key, key_len, e))
		return false;
	d->new_entries += is_new;
	d->extents |= e->value_len > BASE_INLINE_MAX;
	return true;
}

static bool
draft_add_inner(BaseDraft *d, const uint8 *key, uint32 key_len, BaseRef child, uint16 flags, bool is_new)
{
	/* the first entry repeats the page's own key, which may be lower: see above */
	if (base_builder_count(d->builder) == 0)
	{
		key = d->bound.bytes;
		key_len = d->bound.len;
	}
	if (!base_builder_add_inner(d->builder, key, key_len, child, flags))
		return false;
	d->new_entries += is_new;
	return true;
}

/* set_bound -- the key of a draft that follows 'before' and begins with this key. */
static void
set_bound(BaseMaker *m, BaseDraft *d, const uint8 *before, uint32 before_len, const uint8 *key, uint32 key_len)
{
	uint32		same = 0;

	if (m->level > 0)
	{
		key_set(&d->bound, key, key_len);
		return;
	}
	while (same < before_len && before[same] == key[same])	/* before < key: key is longer than what they share */
		same++;
	Assert(same < key_len);
	key_set(&d->bound, key, same + 1);
}

/* page_add -- entries of a page from 'from' on, until one does not fit; the first that is not in. */
static uint32
page_add(BaseMaker *m, BaseDraft *d, const uint8 *page, uint32 from)
{
	const BasePage *p = (const BasePage *) page;
	uint8		key[BASE_KEY_MAX];

	for (uint32 i = from; i < p->count; i++)
	{
		uint32		len = base_page_key(page, i, key);

		if (m->level == 0)
		{
			BaseLeafEntry e;

			base_leaf_entry(page, i, &e);
			if (!draft_add_leaf(d, key, len, &e, false))
				return i;
		}
		else
		{
			uint16		flags;
			BaseRef		child = base_inner_child(page, i, &flags);

			if (!draft_add_inner(d, key, len, child, flags, false))
				return i;
		}
	}
	return p->count;
}

/* to_scratch -- entries [from, end) as a page that is never written, to be taken apart again. */
static void
to_scratch(BaseMaker *m, BaseDraft *d, uint32 from)
{
	BaseMaking *making = m->making;

	base_builder_finish(d->builder, from, base_builder_count(d->builder), (BaseRef) {UINT64_MAX, making->birth},
						making->writer->system, making->scratch);
}

/* ---- to the I/O part and to the parent ---- */

/* page_extents -- does some leaf at or below this page name an extent? */
static uint16
page_extents(const uint8 *page)
{
	const BasePage *p = (const BasePage *) page;

	for (uint32 i = 0; i < p->count; i++)
	{
		BaseLeafEntry e;
		uint16		flags;

		if (p->kind == BASE_INNER)
		{
			(void) base_inner_child(page, i, &flags);
			if (flags & BASE_CHILD_EXTENTS)
				return BASE_CHILD_EXTENTS;
			continue;
		}
		base_leaf_entry(page, i, &e);
		if (e.flags & BASE_VALUE_EXTENT)
			return BASE_CHILD_EXTENTS;
	}
	return 0;
}

/*
 * warm -- into the buffer pool: when the new root is published, every lookup goes
 * through new inner pages, and should not have to read them.  Should this attempt
 * fail, nobody will ever ask for them.
 */
static void
warm(BaseMaker *m, BaseRef ref, const void *page)
{
	if (m->level == 0 || (m->level == 1 && m->making->warm == 0))
		return;
	if (m->level == 1)
		m->making->warm--;
	(void) buffer_insert(ref.number, ref.birth, page);
}

/* write_draft -- its first 'count' entries become a page. */
static BaseRef
write_draft(BaseMaker *m, BaseDraft *d, uint32 count, uint16 *flags)
{
	BaseMaking *making = m->making;
	BaseRef		ref = {0, making->birth};
	uint8	   *frame;

	*flags = 0;
	if (making->failed)
		return ref;
	ref.number = base__space_take(&making->writer->space, 1);
	frame = base__io_frame(making->writer->io);
	base_builder_finish(d->builder, 0, count, ref, making->writer->system, frame);
	if (m->level > 0 || d->extents)
		*flags = page_extents(frame);
	if (m->level > 0 && count == 1)
	{
		m->single = ref;
		m->single_child = base_inner_child(frame, 0, NULL);
	}
	warm(m, ref, frame);
	making->pages++;
	if (base__io_put(making->writer->io, ref.number))
		making->batch_gone(making);
	return ref;
}

static void
hand_draft(BaseMaker *m, BaseDraft *d, uint32 count)
{
	uint16		flags;
	BaseRef		ref = write_draft(m, d, count, &flags);

	m->handed++;
	base__add_inner(parent_of(m), d->bound.bytes, d->bound.len, ref, flags, true);
}

static void
flush_held(BaseMaker *m)
{
	BaseHeld	kind = m->held_kind;

	m->held_kind = HELD_NONE;
	if (kind == HELD_DRAFT)
		hand_draft(m, m->held, base_builder_count(m->held->builder));
	else if (kind == HELD_OLD)
	{
		m->handed++;
		base__add_inner(parent_of(m), m->held_key.bytes, m->held_key.len, m->held_ref, m->held_flags, false);
	}
}

/* hold -- a finished draft takes the place of what was held; *d is another draft then. */
static void
hold(BaseMaker *m, BaseDraft **d)
{
	flush_held(m);
	swap(&m->held, d);
	m->held_kind = HELD_DRAFT;
	m->scope_first = false;
}

static void
hold_old(BaseMaker *m, const uint8 *key, uint32 key_len, BaseRef ref, uint16 flags)
{
	flush_held(m);
	m->held_kind = HELD_OLD;
	key_set(&m->held_key, key, key_len);
	m->held_ref = ref;
	m->held_flags = flags;
	m->scope_first = false;
}

/* ---- scopes and segments ---- */

void
base__scope_begin(BaseMaker *m, const uint8 *key, uint32 key_len)
{
	Assert(!m->open && m->held_kind == HELD_NONE);
	m->scope_first = true;
	key_set(&m->scope_key, key, key_len);
}

void
base__scope_end(BaseMaker *m)
{
	Assert(!m->open || m->making->failed);
	flush_held(m);
}

void
base__pass(BaseMaker *m, const uint8 *key, uint32 key_len, BaseRef ref, uint16 flags)
{
	Assert(!m->open || m->making->failed);
	if (m->scope_first)
		hold_old(m, m->scope_key.bytes, m->scope_key.len, ref, flags);
	else
		hold_old(m, key, key_len, ref, flags);
}

static void
source_dead(BaseMaker *m)
{
	if (m->has_source)
		base__making_dead(m->making, m->source.number, 1);
	m->has_source = false;
}

void
base__segment_begin(BaseMaker *m, const uint8 *key, uint32 key_len, BaseRef source, uint16 flags)
{
	if (m->open)
	{
		m->changed = true;
		source_dead(m);
	}
	else
	{
		m->open = true;
		m->changed = m->level == 0;
		m->has_full = false;
		m->any_new = false;
		m->appending = true;
		draft_reset(m, m->current);
		if (m->scope_first)
			m->current->bound = m->scope_key;
		else
			key_set(&m->current->bound, key, key_len);
	}
	m->has_source = source.number != 0;
	m->source = source;
	m->source_flags = flags;
	if (m->changed)
		source_dead(m);
}

/* overflow -- current is full, 'key' is to be the first of the next page. */
static void
overflow(BaseMaker *m, const uint8 *key, uint32 key_len)
{
	uint32		last_len;
	const uint8 *last = base_builder_key(m->current->builder, base_builder_count(m->current->builder) - 1, &last_len);

	if (m->has_full)
		hold(m, &m->full);
	swap(&m->full, &m->current);
	m->has_full = true;
	draft_reset(m, m->current);
	set_bound(m, m->current, last, last_len, key, key_len);
}

/* note_new -- is it still so that nothing old has followed anything new? */
static void
note_new(BaseMaker *m, bool is_new)
{
	m->appending &= is_new || !m->any_new;
	m->any_new |= is_new;
}

void
base__add_leaf(BaseMaker *m, const uint8 *key, uint32 key_len, const BaseLeafEntry *e, bool is_new)
{
	Assert(m->open && m->level == 0);
	note_new(m, is_new);
	if (draft_add_leaf(m->current, key, key_len, e, is_new))
		return;
	overflow(m, key, key_len);
	if (!draft_add_leaf(m->current, key, key_len, e, is_new))
		NotReached();			/* a first entry always fits */
}

void
base__add_inner(BaseMaker *m, const uint8 *key, uint32 key_len, BaseRef child, uint16 flags, bool is_new)
{
	if (!m->open)
	{
		Verify(m->level >= m->making->open_from);
		base__segment_begin(m, NULL, 0, (BaseRef) {0, 0}, 0);
	}
	note_new(m, is_new);
	m->changed |= is_new;
	m->last_ref = child;
	m->last_flags = flags;
	if (draft_add_inner(m->current, key, key_len, child, flags, is_new))
		return;
	overflow(m, key, key_len);
	if (!draft_add_inner(m->current, key, key_len, child, flags, is_new))
		NotReached();
}

/*
 * balance -- full and current hold about the same.  Left alone where keys with
 * long prefixes would not fit together.  Returns how many entries of full stay.
 */
static uint32
balance(BaseMaker *m)
{
	uint32		count = base_builder_count(m->full->builder);
	uint32		full_bytes = base_builder_bytes(m->full->builder);
	uint32		current_bytes = base_builder_bytes(m->current->builder);
	uint32		stay = (uint32) ((uint64) count * ((full_bytes + current_bytes) / 2) / full_bytes);
	const uint8 *before,
			   *key;
	uint32		before_len,
				key_len;

	if (stay == 0 || stay >= count)
		return count;
	before = base_builder_key(m->full->builder, stay - 1, &before_len);
	key = base_builder_key(m->full->builder, stay, &key_len);
	draft_reset(m, m->spare);
	set_bound(m, m->spare, before, before_len, key, key_len);
	to_scratch(m, m->full, stay);
	if (page_add(m, m->spare, m->making->scratch, 0) < count - stay)
		return count;
	to_scratch(m, m->current, 0);
	if (page_add(m, m->spare, m->making->scratch, 0) < base_builder_count(m->current->builder))
		return count;
	swap(&m->current, &m->spare);
	return stay;
}

/* close_two -- the segment ends with more than one page. */
static void
close_two(BaseMaker *m)
{
	uint32		count = base_builder_count(m->full->builder);

	if (!m->appending || m->current->new_entries < base_builder_count(m->current->builder))
		count = balance(m);
	flush_held(m);
	hand_draft(m, m->full, count);
	m->has_full = false;
	m->scope_first = false;
	hold(m, &m->current);
}

typedef enum Load
{
	LOAD_DONE,
	LOAD_UNFIT,			/* under the key it would get here its entries are more than a page: it stays what it is */
	LOAD_FAILED
} Load;

/*
 * held_load -- the old page that was held becomes a draft.
 *
 * It may be known under a key that is shorter than its own first one (the first of
 * a scope is); an inner page takes that key over, and may lose the prefix that its
 * keys had in common, and with it its fitting into a page.
 */
static Load
held_load(BaseMaker *m)
{
	BaseMaking *making = m->making;
	char		why[sizeof(making->text)];
	int			error;
	BaseSlot   *slot = base__fetch_get(making->writer->fetch, m->held_ref, m->level == 0 ? BASE_LEAF : BASE_INNER,
									   (int) m->level, &error, why, sizeof(why));
	bool		fits;

	if (slot == NULL)
	{
		base__making_fail(making, error, "%s", why);
		return LOAD_FAILED;
	}
	draft_reset(m, m->held);
	m->held->bound = m->held_key;
	fits = page_add(m, m->held, slot->page, 0) == ((const BasePage *) slot->page)->count;
	base__fetch_release(making->writer->fetch, slot);
	if (!fits)
	{
		draft_reset(m, m->held);
		return LOAD_UNFIT;
	}
	base__making_dead(making, m->held_ref.number, 1);
	m->held_kind = HELD_DRAFT;
	return LOAD_DONE;
}

/* join_held -- the small last page of a scope goes together with the one before it, as far as that is possible. */
static void
join_held(BaseMaker *m)
{
	const uint8 *scratch = m->making->scratch;
	uint32		count = base_builder_count(m->current->builder);
	Load		load = m->held_kind == HELD_OLD ? held_load(m) : LOAD_DONE;
	uint8		key[BASE_KEY_MAX];
	const uint8 *last;
	uint32		last_len,
				key_len,
				in;

	if (load == LOAD_FAILED)
		return;
	if (load == LOAD_UNFIT)
	{
		hold(m, &m->current);	/* side by side, as they are */
		return;
	}
	to_scratch(m, m->current, 0);
	in = page_add(m, m->held, scratch, 0);
	if (in == count)
		return;
	/* together they are more than one page: what did not fit, and the held one, divided */
	swap(&m->full, &m->held);
	m->held_kind = HELD_NONE;
	m->appending = false;
	if (in > 0)
	{
		last = base_builder_key(m->full->builder, base_builder_count(m->full->builder) - 1, &last_len);
		key_len = base_page_key(scratch, in, key);
		draft_reset(m, m->current);
		set_bound(m, m->current, last, last_len, key, key_len);
		/* a part of what was a page, under a key that lies between two of its own: no prefix is lost */
		Verify(page_add(m, m->current, scratch, in) == count);
	}
	close_two(m);
}

bool
base__segment_end(BaseMaker *m, BaseNext next)
{
	bool		empty = base_builder_count(m->current->builder) == 0;
	bool		small = base_builder_bytes(m->current->builder) < (next == NEXT_TOUCHED ? HALF_BYTES : SMALL_BYTES);
	bool		right_edge = next == NEXT_EDGE;
	bool		join;

	Assert(m->open);
	if (m->making->failed)
	{
		m->open = false;
		return true;
	}
	if (!m->changed && m->has_source && !m->has_full)
	{
		m->open = false;
		hold_old(m, m->current->bound.bytes, m->current->bound.len, m->source, m->source_flags);
		return true;
	}
	source_dead(m);
	m->changed = true;
	if (empty)
	{
		m->open = false;
		parent_of(m)->changed = true;
		return true;
	}
	if (m->has_full)
	{
		m->open = false;
		close_two(m);
		return true;
	}
	if (small && (next == NEXT_TOUCHED || next == NEXT_IDLE))
		return false;
	m->open = false;
	join = small && (m->held_kind == HELD_DRAFT ? !right_edge || base_builder_bytes(m->held->builder) < 2 * SMALL_BYTES
					 : m->held_kind == HELD_OLD && !right_edge);
	if (join)
		join_held(m);
	else
		hold(m, &m->current);
	return true;
}
