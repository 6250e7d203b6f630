/*
 * art_change.c -- writing to the overlay: the steps that art.h lists.
 *
 * For: finding the slot of a key and the word in it, making room, publishing by
 * one CAS, and taking leaves away.  Lock-free: whoever meets a frozen node finishes
 * what was begun there and descends again from the root; some process always gets
 * on.  No step waits, sleeps or makes a system call.
 *
 * Why one CAS is enough.  The slot is where every search for the key ends as long
 * as its node is not frozen; nodes are replaced only after they are frozen, and
 * then the CAS fails.  The word s holds a reference that is not reused while we are
 * in the epoch, or a null, or nothing; so s unchanged means that nobody has
 * published for this key since we looked (for null words the horizon takes care: a
 * leaf or tombstone goes only when lsn <= evict_cut, hence a grace period after a root
 * that knows of it was published; and a leaf that was promoted only after a grace
 * period of its own, art_evict.c).
 *
 * Why the dirty LSN is never too small.  It is raised on every node of the path
 * after reserving and before the CAS.  A node of the path that has been replaced
 * since was frozen first: either our raise came before and the copy has it, or it
 * meets FROZEN and the write starts over.  A node that came between two of the path
 * took its dirty LSN from the one below it, which was frozen for that: the same
 * holds.  The node that a split makes is private until the CAS.
 *
 * doc/models: m1_freeze (raising and publishing beside a change of shape), m2_n4 and
 * m2_n48 (adding and removing), m6_seen (the mark).
 *
 * Runs in any process, inside an epoch.  If a process dies here: what is shared is
 * whole at every instruction; its private blocks are named by its process slot
 * (intent, reservation) or lost until the next restart.
 */
#include "common/c.h"

#include "access/art/art_internal.h"
#include "storage/ipc/epoch.h"
#include "storage/mem/heap.h"

static _Thread_local ArtPath path[ART_DEPTH_MAX];
static _Thread_local ArtPath path_other[ART_DEPTH_MAX];
static _Thread_local ArtPath path_swap[ART_DEPTH_MAX];	/* finishing another's transaction, in the middle of a write of one's own */

/* in_slot -- the descent ended at a slot that is the key's own or another leaf's. */
static void
in_slot(ArtPos *pos, _Atomic uint64 *slot, uint64 word, uint64 key_bits, uint32 depth)
{
	Leaf	   *leaf;

	pos->slot = slot;
	pos->seen_word = word;
	pos->key_bits = key_bits;
	pos->match_depth = depth;
	if (slot_tag(word) == TAG_NULL)
	{
		pos->kind = POS_NULL;
		return;
	}
	Assert(slot_tag(word) == TAG_LEAF);
	leaf = seg_ptr(slot_ref(word));
	if (leaf__is(leaf, pos->key, pos->key_len))
	{
		pos->kind = POS_LEAF;
		pos->leaf = leaf;
	}
	else
	{
		pos->kind = POS_SPLIT_LEAF;
		pos->split_leaf = slot_ref(word);
	}
}

/* no_slot -- the node has no slot for the byte at 'depth'; free_slot: one without key, or NULL. */
static void
no_slot(ArtPos *pos, ArtNode *node, uint32 type, _Atomic uint64 *free_slot, uint32 depth)
{
	pos->slot = free_slot;
	pos->seen_word = 0;
	pos->key_bits = slot_key_of(pos->key[depth]);
	pos->match_depth = depth + 1;
	if (free_slot != NULL)
		pos->kind = POS_FREE;
	/* relaxed: claims only grow; a full count is final */
	else if (type == N48 && atomic_load_explicit(&((ArtNode48 *) node)->claims, memory_order_relaxed) < 48)
		pos->kind = POS_CLAIM;
	else
		pos->kind = POS_FULL;
}

typedef enum Descent
{
	DESCENT_DONE,
	DESCENT_FROZEN		/* the path's last node is frozen */
} Descent;

static Descent
descend(ArtPos *pos)
{
	_Atomic uint64 *slot = &pos->root->slot;
	bool		complete = art__root_complete(pos->root);	/* before the slot, as below */
	uint64		word = art__load(slot);
	uint64		key_bits = 0;
	uint32		depth = 0;

	pos->complete = complete;
	pos->depth = 0;
	pos->leaf = NULL;
	pos->split_leaf = 0;
	while (slot_tag(word) == TAG_INNER)
	{
		ArtNode    *node = art__node(slot_ref(word));
		uint64		meta;
		uint32		type;
		uint32		prefix_len;
		uint32		match;
		_Atomic uint64 *free_slot;

		__builtin_prefetch((char *) node + CACHE_LINE);
		/*
		 * acquire [art-complete]: COMPLETE, before the slot.  Type and prefix came with
		 * the reference; FROZEN is looked at again in the slot, and by raise_dirty.
		 */
		meta = atomic_load_explicit(&node->meta, memory_order_acquire);
		type = meta_type(meta);
		prefix_len = meta_prefix_len(meta);
		Assert(pos->depth < ART_DEPTH_MAX);
		pos->path[pos->depth].node = slot_ref(word);
		pos->path[pos->depth].slot = slot;
		pos->depth++;
		pos->complete |= (meta & META_COMPLETE) != 0;
		if (unlikely(meta & META_FROZEN))
			return DESCENT_FROZEN;
		match = art__common(art__prefix(node, type), pos->key + depth, Min(prefix_len, pos->key_len - depth));
		if (match < prefix_len)
		{
			pos->kind = POS_SPLIT_PREFIX;
			pos->slot = NULL;
			pos->match_depth = depth;
			pos->prefix_match = match;
			return DESCENT_DONE;
		}
		depth += prefix_len;
		if (depth == pos->key_len)
		{
			slot = &node->end;
			key_bits = 0;
			word = art__load(slot);
			if (unlikely(word & SLOT_FROZEN))
				return DESCENT_FROZEN;
			break;
		}
		slot = art__find(node, type, pos->key[depth], &word, &free_slot);
		if (slot == NULL)
		{
			no_slot(pos, node, type, free_slot, depth);
			/* relaxed: only whether it is frozen; the CAS expects a word without a bit set */
			if (free_slot != NULL && (atomic_load_explicit(free_slot, memory_order_relaxed) & SLOT_FROZEN))
				return DESCENT_FROZEN;
			return DESCENT_DONE;
		}
		if (unlikely(word & SLOT_FROZEN))
			return DESCENT_FROZEN;
		key_bits = slot_key_bits(word);
		depth++;
	}
	in_slot(pos, slot, word, key_bits, depth);
	return DESCENT_DONE;
}

ArtResult
art__descend(ArtPos *pos)
{
	while (descend(pos) == DESCENT_FROZEN)
		if (art__help(pos, pos->depth - 1) != ART_OK)
			return ART_NO_MEMORY;
	return ART_OK;
}

void
art__begin(ArtPos *pos, ArtRoot *root, const void *key, uint32 key_len)
{
	Assert(epoch_inside());
	Assert(key_len <= KEY_MAX);
	pos->root = root;
	pos->key = key;
	pos->key_len = key_len;
	pos->prepared = 0;
	pos->path = path;
}

ArtResult
art_locate(ArtRoot *root, const void *key, uint32 key_len, ArtPos *pos)
{
	art__begin(pos, root, key, key_len);
	return art__descend(pos);
}

ArtResult
art_locate_other(ArtRoot *root, const void *key, uint32 key_len, ArtPos *pos)
{
	art__begin(pos, root, key, key_len);
	pos->path = path_other;
	return art__descend(pos);
}

/* ---- making room ---- */

/* claim -- draw a slot number of an N48 and bind it to the byte; a number drawn in vain is lost until the next copy. */
static void
claim(ArtPos *pos)
{
	ArtNode48  *node = (ArtNode48 *) art__node(pos->path[pos->depth - 1].node);
	/* relaxed, both: numbers only; the CAS on the slot publishes */
	uint64		number = atomic_fetch_add_explicit(&node->claims, 1, memory_order_relaxed);
	uint8		none = 0;

	if (number < 48)
		(void) atomic_compare_exchange_strong_explicit(&node->index[slot_byte(pos->key_bits)], &none, (uint8) (number + 1),
													   memory_order_relaxed, memory_order_relaxed);
}

/* hang -- a leaf below a private node, 'depth' bytes of its key above. */
static void
hang(ArtNode *node, Off leaf, const uint8 *key, uint32 key_len, uint32 depth)
{
	if (depth == key_len)
		atomic_store_explicit(&node->end, slot_word(0, TAG_LEAF, leaf), memory_order_relaxed);	/* relaxed: private */
	else
		art__add(node, slot_word(slot_key_of(key[depth]), TAG_LEAF, leaf));
}

/* split_leaf -- a private N4 over the leaf that is in our slot and ours. */
static ArtResult
split_leaf(ArtPos *pos, Off leaf)
{
	const Leaf *other = seg_ptr(pos->split_leaf);
	const uint8 *other_key = leaf_key(other);
	uint32		depth = pos->match_depth;
	uint32		common = art__common(pos->key + depth, other_key + depth, Min(pos->key_len, other->key_len) - depth);
	uint64		meta = (uint64) N4 << META_TYPE_SHIFT | common;

	/* the LSN of a descriptor leaf cannot be known yet: this node counts as dirty until a copy knows better */
	if (leaf_flags(other) & LEAF_DESCRIPTOR)
		meta |= META_ALWAYS;
	pos->prepared_size = art__base_size[N4] + common;
	pos->prepared = mem_alloc(pos->prepared_size);
	if (pos->prepared == MEM_NONE)
		return ART_NO_MEMORY;
	/* not COMPLETE: that would have to be read under a freeze; those above it speak for it */
	art__init(art__node(pos->prepared), meta, pos->key + depth);
	hang(art__node(pos->prepared), pos->split_leaf, other_key, other->key_len, depth + common);
	hang(art__node(pos->prepared), leaf, pos->key, pos->key_len, depth + common);
	return ART_OK;
}

/*
 * art_prepare -- after this, publishing is one CAS.  Structural changes move the
 * place of the key, so that it descends again; the decision was made for a key
 * without a leaf and stays right as long as there is none.
 */
ArtResult
art_prepare(ArtPos *pos, Off leaf)
{
	ArtResult	result = ART_OK;
	bool		complete = pos->complete;	/* stays what was decided by; true for as long as the epoch lasts */

	Assert(epoch_inside());
	for (;;)
	{
		switch ((ArtPosKind) pos->kind)
		{
			case POS_LEAF:
			case POS_NULL:
			case POS_FREE:
			case POS_DOOMED:
				return ART_OK;
			case POS_SPLIT_LEAF:
				return split_leaf(pos, leaf);
			case POS_CLAIM:
				claim(pos);
				break;
			case POS_FULL:
				result = art__reshape(pos, pos->depth - 1, false, NULL);
				break;
			case POS_SPLIT_PREFIX:
				result = art__split_prefix(pos);
				break;
		}
		if (result != ART_OK || art__descend(pos) != ART_OK)
			return ART_NO_MEMORY;
		pos->complete = complete;
		if (pos->kind == POS_LEAF)
		{
			pos->leaf = NULL;	/* as the caller has seen it */
			pos->kind = POS_DOOMED;
		}
	}
}

void
art_abandon(ArtPos *pos)
{
	if (pos->prepared != 0)
		mem_free(pos->prepared, pos->prepared_size);
	pos->prepared = 0;
}

/* ---- publishing ---- */

/* raise -- at least 'unit' in a private or shared meta word; false: frozen below that. */
static bool
raise(_Atomic uint64 *meta, uint64 unit)
{
	/* relaxed: the CAS decides; enough is enough, even frozen */
	uint64		old = atomic_load_explicit(meta, memory_order_relaxed);

	while (meta_dirty(old) < unit)
	{
		uint64		new = (old & ((UINT64_C(1) << META_DIRTY_SHIFT) - 1)) | unit << META_DIRTY_SHIFT;

		if (old & META_FROZEN)
			return false;
		if (atomic_compare_exchange_weak_explicit(meta, &old, new,
												  memory_order_release,	/* release [art-dirty]: before the leaf */
												  memory_order_relaxed))
			break;
	}
	return true;
}

/*
 * art_raise_dirty -- a walk may skip a subtree whose dirty LSN is at or below the
 * last committed cut, so every node above the leaf gets its LSN before the leaf is
 * there.
 */
bool
art_raise_dirty(ArtPos *pos, Lsn lsn)
{
	uint64		unit = art__dirty_unit(lsn);
	bool		raised = pos->kind != POS_DOOMED;

	for (uint32 i = 0; i < pos->depth && raised; i++)
		raised = raise(&art__node(pos->path[i].node)->meta, unit);
	if (!raised)
		art_abandon(pos);
	else if (pos->prepared != 0)
	{
		const Leaf *other = seg_ptr(pos->split_leaf);

		(void) raise(&art__node(pos->prepared)->meta, Max(unit, art__dirty_unit(other->lsn)));
	}
	return raised;
}

/* art_mark_seen -- this leaf is about to be replaced: whoever tidies after its writer must not take it for unpublished. */
void
art_mark_seen(Leaf *leaf)
{
	/* acq_rel: the mark comes before the CAS that hides the leaf */
	atomic_fetch_or_explicit(&leaf->flags, LEAF_SEEN, memory_order_acq_rel);
}

bool
art_publish(ArtPos *pos, Off leaf)
{
	uint64		seen = pos->seen_word;
	uint64		new;

	if (pos->prepared != 0)
		new = slot_word(pos->key_bits, TAG_INNER, pos->prepared);
	else
		new = slot_word(pos->key_bits, TAG_LEAF, leaf);
	if (pos->kind == POS_DOOMED ||
		!atomic_compare_exchange_strong_explicit(pos->slot, &seen, new,
												 memory_order_acq_rel,	/* release [art-publish]: leaf, lsn, node */
												 memory_order_relaxed))	/* relaxed: we start over */
	{
		art_abandon(pos);
		return false;
	}
	pos->prepared = 0;
	return true;
}

/* ---- descriptor leaves ---- */

bool
art_publish_at(ArtPos *pos, Off leaf, ArtPlace *place)
{
	place->slot = pos->prepared == 0 ? pos->slot : NULL;	/* else it lies within the node that is hung in */
	place->word = slot_word(pos->key_bits, TAG_LEAF, leaf);
	return art_publish(pos, leaf);
}

bool
art_raise_key(ArtRoot *root, const void *key, uint32 key_len, Lsn lsn)
{
	ArtPos		pos;

	art__begin(&pos, root, key, key_len);
	return descend(&pos) == DESCENT_DONE && art_raise_dirty(&pos, lsn);
}

/* swap_at -- the short way: the slot is still there and holds that word. */
static bool
swap_at(const ArtPlace *place, const Leaf *expected, Off leaf)
{
	uint64		seen = place->word;

	if (place->slot == NULL || slot_ref(seen) != seg_off(expected))
		return false;
	/* a node that has been replaced is frozen, in every slot: this fails there */
	return atomic_compare_exchange_strong_explicit(place->slot, &seen, slot_word(slot_key_bits(seen), TAG_LEAF, leaf),
												   memory_order_acq_rel,	/* release [art-publish] */
												   memory_order_relaxed);	/* relaxed: we look again */
}

/* swap_by_descent -- leaf 0: the slot becomes a null marked with the leaf that goes. */
static bool
swap_by_descent(ArtRoot *root, const void *key, uint32 key_len, Leaf *expected, Off leaf)
{
	ArtPos		pos;

	art__begin(&pos, root, key, key_len);
	pos.path = path_swap;
	for (;;)
	{
		uint64		seen;
		uint64		new;

		if (art__descend(&pos) != ART_OK || pos.leaf != expected)
			return false;
		new = leaf != 0 ? slot_word(pos.key_bits, TAG_LEAF, leaf) : slot_word(pos.key_bits, TAG_NULL, seg_off(expected));
		seen = pos.seen_word;
		if (atomic_compare_exchange_strong_explicit(pos.slot, &seen, new, memory_order_acq_rel,	/* release [art-publish] */
													memory_order_relaxed))	/* relaxed: we look again */
			return true;
	}
}

bool
art_swap_leaf(ArtRoot *root, const void *key, uint32 key_len, Leaf *expected, Off leaf, const ArtPlace *place)
{
	return (place != NULL && swap_at(place, expected, leaf)) || swap_by_descent(root, key, key_len, expected, leaf);
}

bool
art_vacate_leaf(ArtRoot *root, const void *key, uint32 key_len, Leaf *expected)
{
	return swap_by_descent(root, key, key_len, expected, 0);
}

/* ---- taking away ---- */

bool
art_remove_leaf(ArtRoot *root, const void *key, uint32 key_len, Leaf *expected)
{
	ArtPos		pos;

	art__begin(&pos, root, key, key_len);
	for (;;)
	{
		uint64		seen;

		if (art__descend(&pos) != ART_OK || pos.leaf != expected)
			return false;
		seen = pos.seen_word;
		/* acq_rel: as any change of a slot; the null refers to nothing */
		if (atomic_compare_exchange_strong_explicit(pos.slot, &seen, slot_word(pos.key_bits, TAG_NULL, 0),
													memory_order_acq_rel, memory_order_relaxed))	/* relaxed: we look again */
			return true;
	}
}

/*
 * art_replace_leaf -- the dirty LSNs of the path hold for 'expected', hence for a
 * copy with its lsn: nothing is to be raised.  'expected' is marked SEEN, as
 * whatever is replaced by a copy (doc/models/m6_seen).
 */
bool
art_replace_leaf(ArtRoot *root, const void *key, uint32 key_len, Leaf *expected, Off copy)
{
	ArtPos		pos;

	Assert(((Leaf *) seg_ptr(copy))->lsn == expected->lsn);
	art__begin(&pos, root, key, key_len);
	for (;;)
	{
		uint64		seen;

		if (art__descend(&pos) != ART_OK || pos.leaf != expected)
			return false;
		art_mark_seen(expected);
		seen = pos.seen_word;
		if (atomic_compare_exchange_strong_explicit(pos.slot, &seen, slot_word(pos.key_bits, TAG_LEAF, copy),
													memory_order_acq_rel,	/* release [art-publish] */
													memory_order_relaxed))	/* relaxed: we look again */
			return true;
	}
}

ArtResult
art__tidy(ArtRoot *root, const void *key, uint32 key_len, ArtEvicted *gain)
{
	ArtPos		pos;

	art__begin(&pos, root, key, key_len);
	/* what was below may have gone: then the node above is looked at in its turn */
	for (uint32 i = 0; i < ART_DEPTH_MAX; i++)
	{
		if (art__descend(&pos) != ART_OK)
			return ART_NO_MEMORY;
		if (pos.depth == 0 || !art__worth_reshaping(art__node(pos.path[pos.depth - 1].node)))
			return ART_OK;
		if (art__reshape(&pos, pos.depth - 1, true, gain) != ART_OK)
			return ART_NO_MEMORY;
	}
	return ART_OK;
}

ArtResult
art_tidy(ArtRoot *root, const void *key, uint32 key_len)
{
	return art__tidy(root, key, key_len, NULL);
}
