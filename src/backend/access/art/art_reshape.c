/*
 * art_reshape.c -- changing the shape of inner nodes: freeze, copy, replace, help.
 *
 * For: growing, shrinking, collapsing, dropping a node, splitting its prefix.  The
 * steps and why they are safe stand in art_internal.h.  All of it is one function,
 * replace: it makes of a node whatever fits what is in it
 *
 *   nothing               -> a null under the same key byte
 *   one leaf              -> a fresh copy of that leaf
 *   one child, no end     -> the child with both prefixes joined
 *   anything else         -> a node of the type that fits, with room for one more;
 *                            with a split: below a new N4 that has the first part
 *                            of the prefix
 *
 * so that whoever helps does the same as who began.  That matters: if helpers only
 * copied, two processes could undo each other's work for ever.  A full node is
 * seen to be full by everybody.  Where a prefix is to be split cannot be seen, so
 * it is announced in the process slot before the node is frozen, and helpers look
 * there.  (doc/models/m1_freeze.pml and .cc, m2, m6.)
 *
 * The intent of a structural CAS in a process slot: intent_old and intent_new, the
 * slot words before and after; intent_parent, the Off of the slot, stored last and
 * zeroed when all is done.  Bits 50..40 of the words hold, for a split, where in
 * the prefix + 1 (low bits in old, high ones in new); else 0.  An intent that a
 * dead process has left may name a node's memory that has long been something
 * else: a helper then splits where nobody needs it, which does no harm.
 *
 * Memory is taken before anything is frozen.  Only when others have changed the
 * node so much in between that the block does not fit is more taken afterwards,
 * from the reserve; if even that fails the node stays frozen: readers do not
 * mind, and the next writer with memory helps.
 *
 * The winner of the CAS, and nobody else, retires what it has replaced: the node;
 * with a join the child, too (it can be replaced only through a slot that is
 * frozen); with a collapse the old leaf, which is marked SEEN first, but neither its
 * extents nor the versions that it links to: they belong to the copy now; with a
 * thinning the leaves that did not come along, and their chains.
 *
 * Not here: which node needs it (art_change.c, art_evict.c).  Runs in any process, inside an
 * epoch.  If a process dies here: frozen words are helped by others; its private
 * copy is named in its process slot's intent for whoever tidies.
 */
#include "common/c.h"

#include "access/art/art_internal.h"
#include "storage/ipc/proc.h"
#include "storage/mem/heap.h"

/* a node of this type with so many children or fewer becomes the next smaller one, which has room for more */
static const uint16 shrink_at[4] = {0, 3, 12, 37};

typedef enum ShapeKind
{
	SHAPE_NULL,
	SHAPE_LEAF,
	SHAPE_JOIN,
	SHAPE_NODE
} ShapeKind;

/* Shape -- what a node is to become, and the private block for it */
typedef struct Shape
{
	ShapeKind	kind;
	uint64		meta;			/* of the new node: SHAPE_JOIN, SHAPE_NODE */
	uint64		only;			/* word of the only leaf or child */
	size_t		size;
	Off			made;
	size_t		made_size;
	/* a split: SHAPE_NODE only, and then 'made' has the prefix behind match + 1 */
	int			match;			/* bytes of the prefix above; NO_SPLIT */
	Off			upper;			/* the private N4 above */
	/* a thinning: the children that do not come along */
	ArtThinning *thinning;		/* NULL: all do */
	ArtDrop		drop;
} Shape;

#define NO_SPLIT (-1)

static inline uint64
load_meta(ArtNode *node)
{
	return atomic_load_explicit(&node->meta, memory_order_acquire);	/* acquire [art-dirty] */
}

static uint32
fitting_type(uint32 type, uint32 live)
{
	while (type < N256 && live + 1 > art__capacity[type])
		type++;
	while (type > N4 && live <= shrink_at[type])
		type--;
	return type;
}

/* made_meta -- type and prefix for a new node; dirty LSN and flags as 'from' has them. */
static uint64
made_meta(uint64 from, uint32 type, uint32 prefix_len)
{
	uint64		kept = meta_dirty(from) << META_DIRTY_SHIFT | (from & (META_COMPLETE | META_ALWAYS));

	return kept | (uint64) type << META_TYPE_SHIFT | prefix_len;
}

/* dropped -- as art__copy_children wants it. */
static inline const ArtDrop *
dropped(const Shape *shape)
{
	return shape->thinning != NULL ? &shape->drop : NULL;
}

/* count_kept -- as art__count, of the children that come along; *end becomes null if it does not. */
static uint32
count_kept(ArtNode *node, uint32 type, bool frozen, Shape *shape, uint64 *end)
{
	_Atomic uint64 *slot = art__slots(node, type);
	uint32		live = 0;

	if (shape->thinning == NULL)
		return art__count(node, type, art__capacity[type], &shape->only);
	memset(&shape->drop, 0, sizeof(shape->drop));
	shape->thinning->mark(shape->thinning, node, frozen, &shape->drop);
	for (uint32 i = 0; i < art__capacity[type]; i++)
	{
		uint64		word = art__load(&slot[i]);

		if (slot_tag(word) != TAG_NULL && !art__dropped(&shape->drop, i))
		{
			shape->only = word;
			live++;
		}
	}
	if (shape->drop.end)
		*end = 0;
	return live;
}

/*
 * plan -- what the node should become.  'frozen': it is, and a child to be joined
 * with it is frozen, too; otherwise an estimate.
 */
static void
plan(ArtNode *node, bool frozen, Shape *shape)
{
	uint64		meta = load_meta(node);
	uint32		type = meta_type(meta);
	uint64		end = art__load(&node->end);
	uint32		live = count_kept(node, type, frozen, shape, &end);
	ArtNode    *child;
	uint64		child_meta;

	if (live == 0 || (live == 1 && slot_tag(end) == TAG_NULL && slot_tag(shape->only) == TAG_LEAF))
	{
		if (live == 0)
			shape->only = end;
		shape->kind = slot_tag(shape->only) == TAG_LEAF ? SHAPE_LEAF : SHAPE_NULL;
		shape->size = shape->kind == SHAPE_LEAF ? leaf_size(seg_ptr(slot_ref(shape->only))) : 0;
		return;
	}
	if (live > 1 || slot_tag(end) != TAG_NULL)
	{
		shape->kind = SHAPE_NODE;
		shape->meta = made_meta(meta, fitting_type(type, live), meta_prefix_len(meta) - (uint32) (shape->match + 1));
		shape->size = art__node_size(shape->meta);
		return;
	}
	child = art__node(slot_ref(shape->only));
	child_meta = load_meta(child);
	if (frozen)
	{
		art__freeze(child, child_meta);
		child_meta = load_meta(child);
	}
	type = meta_type(child_meta);
	shape->kind = SHAPE_JOIN;
	shape->meta = made_meta(meta, fitting_type(type, art__count(child, type, art__capacity[type], &(uint64){0})),
							meta_prefix_len(meta) + 1 + meta_prefix_len(child_meta));
	/* COMPLETE is the upper one's; dirty and ALWAYS are both's */
	if (meta_dirty(child_meta) > meta_dirty(meta))
		shape->meta += (meta_dirty(child_meta) - meta_dirty(meta)) << META_DIRTY_SHIFT;
	shape->meta |= child_meta & META_ALWAYS;
	shape->size = art__node_size(shape->meta);
}

static size_t
upper_size(const Shape *shape)
{
	return art__base_size[N4] + (uint32) shape->match;
}

static Off
take_block(size_t size, bool reserve)
{
	return reserve ? mem_alloc_reserve(size) : mem_alloc(size);
}

/* take -- blocks of the planned size; keeps what is in hand if it is that.  False: no memory; what is in hand stays. */
static bool
take(Shape *shape, bool reserve)
{
	if (shape->made_size != shape->size)
	{
		if (shape->made != 0)
			mem_free(shape->made, shape->made_size);
		shape->made_size = 0;
		shape->made = shape->size == 0 ? 0 : take_block(shape->size, reserve);
		if (shape->made != 0)
			shape->made_size = shape->size;
		else if (shape->size != 0)
			return false;
	}
	if (shape->match != NO_SPLIT && shape->upper == 0)
		shape->upper = take_block(upper_size(shape), reserve);
	return shape->match == NO_SPLIT || shape->upper != 0;
}

static void
give_back(Shape *shape)
{
	if (shape->made != 0)
		mem_free(shape->made, shape->made_size);
	if (shape->upper != 0)
		mem_free(shape->upper, upper_size(shape));
	shape->made = 0;
	shape->made_size = 0;
	shape->upper = 0;
}

/* copy_node -- a private node with meta 'to_meta', the children of 'from' that are not dropped, and 'prefix'. */
static void
copy_node(Off to, uint64 to_meta, ArtNode *from, const uint8 *prefix, const ArtDrop *drop)
{
	art__init(art__node(to), to_meta, prefix);
	art__copy_children(art__node(to), from, drop);
}

/* build -- fill the private block from the frozen node; the word to install, without key bits. */
static uint64
build(Shape *shape, ArtNode *node)
{
	uint32		type = meta_type(load_meta(node));
	uint32		prefix_len = meta_prefix_len(load_meta(node));
	const uint8 *prefix;
	uint8		joined[KEY_MAX];
	ArtNode    *child;
	uint64		child_meta;

	switch (shape->kind)
	{
		case SHAPE_NULL:
			return slot_word(0, TAG_NULL, 0);
		case SHAPE_LEAF:
			leaf__copy_to(shape->made, seg_ptr(slot_ref(shape->only)));
			art_mark_seen(seg_ptr(slot_ref(shape->only)));
			return slot_word(0, TAG_LEAF, shape->made);
		case SHAPE_JOIN:
			child = art__node(slot_ref(shape->only));
			child_meta = load_meta(child);
			Assert(prefix_len + 1 + meta_prefix_len(child_meta) <= KEY_MAX);
			memcpy(joined, art__prefix(node, type), prefix_len);
			joined[prefix_len] = slot_byte(shape->only);
			memcpy(joined + prefix_len + 1, art__prefix(child, meta_type(child_meta)), meta_prefix_len(child_meta));
			copy_node(shape->made, shape->meta, child, joined, NULL);
			return slot_word(0, TAG_INNER, shape->made);
		case SHAPE_NODE:
			prefix = art__prefix(node, type);
			copy_node(shape->made, shape->meta, node, prefix + shape->match + 1, dropped(shape));
			if (shape->match == NO_SPLIT)
				return slot_word(0, TAG_INNER, shape->made);
			art__init(art__node(shape->upper), made_meta(load_meta(node), N4, (uint32) shape->match), prefix);
			art__add(art__node(shape->upper), slot_word(slot_key_of(prefix[shape->match]), TAG_INNER, shape->made));
			return slot_word(0, TAG_INNER, shape->upper);
	}
	NotReached();
}

/* intend -- says in our process slot what we are about to do. */
static void
intend(_Atomic uint64 *slot, uint64 old, uint64 new, int match)
{
	uint64		place = (uint64) (match + 1);

	/* relaxed: read by our successor, and by helpers who check what they read; the slot comes last */
	atomic_store_explicit(&my_slot->intent_old, old | (place & SLOT_SPARE_MASK) << SLOT_SPARE_SHIFT, memory_order_relaxed);
	atomic_store_explicit(&my_slot->intent_new, new | (place >> SLOT_SPARE_BITS) << SLOT_SPARE_SHIFT, memory_order_relaxed);
	atomic_store_explicit(&my_slot->intent_parent, seg_off((void *) slot), memory_order_release);	/* release [art-intent] */
}

/* intent_done -- what had to be retired is. */
static void
intent_done(void)
{
	atomic_store_explicit(&my_slot->intent_parent, 0, memory_order_release);	/* release [art-intent] */
}

/*
 * announced_split -- where somebody wants the prefix of this frozen node to be
 * split, or NO_SPLIT.
 *
 * Who freezes a node for a split has announced it before, so whoever has seen the
 * node frozen by him sees that, too.  Two halves of different intents may be read
 * as one; then the place is wrong but, within the prefix, harmless.
 */
static int
announced_split(Off node, uint32 prefix_len)
{
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		ProcSlot   *slot = proc_slot(i);
		uint64		parent = atomic_load_explicit(&slot->intent_parent, memory_order_acquire);	/* acquire [art-intent] */
		uint64		old = atomic_load_explicit(&slot->intent_old, memory_order_relaxed);	/* relaxed, both: after the acquire */
		uint64		new = atomic_load_explicit(&slot->intent_new, memory_order_relaxed);
		uint64		place;

		if (slot == my_slot || parent == 0)
			continue;
		place = (old >> SLOT_SPARE_SHIFT & SLOT_SPARE_MASK) |
			(new >> SLOT_SPARE_SHIFT & SLOT_SPARE_MASK) << SLOT_SPARE_BITS;
		if (slot_tag(old) == TAG_INNER && slot_ref(old) == node && place > 0 && place <= prefix_len)
			return (int) place - 1;
	}
	return NO_SPLIT;
}

static void
retire_node(ArtNode *node)
{
	mem_retire(seg_off(node), art__node_size(load_meta(node)));
}

/* leading_word -- the word of the slot that leads to the path's node at 'level', if it still does and may be changed. */
static bool
leading_word(const ArtPos *pos, uint32 level, uint64 *word)
{
	*word = art__load(pos->path[level].slot);
	return slot_tag(*word) == TAG_INNER && slot_ref(*word) == pos->path[level].node && (*word & SLOT_FROZEN) == 0;
}

/* settle -- the node is frozen: what it really becomes, and the blocks for that. */
static bool
settle(ArtNode *node, Shape *shape, bool helping)
{
	plan(node, true, shape);
	if (helping && shape->kind == SHAPE_NODE)
	{
		shape->match = announced_split(seg_off(node), meta_prefix_len(load_meta(node)));
		if (shape->match != NO_SPLIT)
			plan(node, true, shape);
	}
	if (shape->kind != SHAPE_NODE && shape->match != NO_SPLIT)
	{
		/* nothing is left to hang below a new parent */
		if (shape->upper != 0)
			mem_free(shape->upper, upper_size(shape));
		shape->upper = 0;
		shape->match = NO_SPLIT;
	}
	return take(shape, true);
}

/* drop_leaf -- a leaf that did not come along. */
static void
drop_leaf(uint64 word, ArtEvicted *gain)
{
	if (gain != NULL)
	{
		gain->leaves++;
		gain->bytes += leaf_bytes(seg_ptr(slot_ref(word)));
	}
	leaf_retire_chain(slot_ref(word), 0);
}

/* retire_replaced -- we have won: what was replaced is ours to give back. */
static void
retire_replaced(ArtNode *node, const Shape *shape, ArtEvicted *gain)
{
	uint32		type = meta_type(load_meta(node));
	size_t		before = mem_class_size(art__node_size(load_meta(node)));
	size_t		after = shape->kind >= SHAPE_JOIN ? mem_class_size(shape->made_size) : 0;

	for (uint32 i = 0; i < art__capacity[type] && shape->drop.children > 0; i++)
		if (art__dropped(&shape->drop, i))
			drop_leaf(art__load(&art__slots(node, type)[i]), gain);
	if (shape->drop.end)
		drop_leaf(art__load(&node->end), gain);
	if (shape->kind == SHAPE_JOIN)
	{
		ArtNode    *child = art__node(slot_ref(shape->only));

		before += mem_class_size(art__node_size(load_meta(child)));
		retire_node(child);
	}
	else if (shape->kind == SHAPE_LEAF)
		leaf_retire_shell(slot_ref(shape->only));
	retire_node(node);
	if (gain != NULL)
	{
		gain->nodes += shape->kind != SHAPE_NODE;
		gain->bytes += before - after;	/* may wrap: a joined node can be larger than the two; the sum is right */
	}
}

/*
 * replace -- as the file's head says.  ART_OK: the node is not there any more, by us
 * or by others; descend again.  ART_NO_MEMORY: nothing was changed, but that the
 * node may have been frozen.
 */
static ArtResult
replace(ArtPos *pos, uint32 level, const Shape *wanted, bool helping, bool reserve, ArtEvicted *gain)
{
	ArtNode    *node = art__node(pos->path[level].node);
	_Atomic uint64 *slot = pos->path[level].slot;
	Shape		shape = *wanted;
	uint64		old;
	uint64		expected;
	uint64		new;

	if (!leading_word(pos, level, &old))
		return ART_OK;
	plan(node, false, &shape);
	if (shape.kind != SHAPE_NODE)
		shape.match = NO_SPLIT;
	if (!take(&shape, reserve))
	{
		give_back(&shape);
		return ART_NO_MEMORY;
	}
	if (shape.match != NO_SPLIT)
		intend(slot, old, slot_word(slot_key_bits(old), TAG_INNER, shape.upper), shape.match);
	art__freeze(node, load_meta(node));
	if (!settle(node, &shape, helping))
	{
		intent_done();
		give_back(&shape);
		return ART_NO_MEMORY;
	}
	new = slot_key_bits(old) | build(&shape, node);
	intend(slot, old, new, shape.match);
	expected = old;
	if (atomic_compare_exchange_strong_explicit(slot, &expected, new,
												memory_order_acq_rel,	/* release [art-publish] */
												memory_order_relaxed))	/* relaxed: we start over */
		retire_replaced(node, &shape, gain);
	else
		give_back(&shape);
	intent_done();
	return ART_OK;
}

/* art__reshape -- the path's node at 'level' gets the shape that fits it.  Results: replace. */
ArtResult
art__reshape(ArtPos *pos, uint32 level, bool reserve, ArtEvicted *gain)
{
	return replace(pos, level, &(Shape){.match = NO_SPLIT}, false, reserve, gain);
}

/*
 * art__thin -- the same without some leaves.  Only who thins knows which: a helper
 * makes an ordinary copy, and one of the two CASes fails.  Both outcomes are right,
 * for a thinning is never needed for anybody's progress, and nothing is retired by
 * who loses.
 */
ArtResult
art__thin(ArtPos *pos, uint32 level, ArtThinning *thinning, ArtEvicted *gain)
{
	return replace(pos, level, &(Shape){.match = NO_SPLIT, .thinning = thinning}, false, true, gain);
}

/* art__help -- the path's node at 'level' is frozen: finish what was begun, where that is possible first. */
ArtResult
art__help(ArtPos *pos, uint32 level)
{
	/* a frozen slot cannot take the copy: its own node comes first */
	while (level > 0 && (art__load(pos->path[level].slot) & SLOT_FROZEN))
		level--;
	return replace(pos, level, &(Shape){.match = NO_SPLIT}, true, true, NULL);
}

/*
 * art__split_prefix -- between the path's last node and its slot comes an N4 with
 * the matching part of the prefix; the node is copied with the rest of it.  The
 * key's own slot is then a free one of the N4 (or its end).
 */
ArtResult
art__split_prefix(ArtPos *pos)
{
	return replace(pos, pos->depth - 1, &(Shape){.match = (int) pos->prefix_match}, false, false, NULL);
}

bool
art__fits_less(uint32 type, uint32 live, bool has_end)
{
	return live == 0 || (live == 1 && !has_end) || (type > N4 && live <= shrink_at[type]);
}

/* art__worth_reshaping -- would a copy be smaller in kind? */
bool
art__worth_reshaping(ArtNode *node)
{
	uint32		type = meta_type(load_meta(node));
	uint64		only;
	uint32		live = art__count(node, type, Max(shrink_at[type], 1) + 1, &only);

	return art__fits_less(type, live, slot_tag(art__load(&node->end)) != TAG_NULL);
}
