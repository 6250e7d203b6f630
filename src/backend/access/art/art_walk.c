/*
 * art_walk.c -- ordered iteration, and the sweep that walks and takes away.
 *
 * For: ranges, listings, KEYS, SCAN; dropping tombstones and whole trees.  A cursor
 * is a stack of (node, next byte) from the subtree of the prefix down; no key is
 * stored in it.  It follows references that it read, also out of nodes that have
 * been replaced meanwhile: inside the epoch they stay what they were.
 *
 * Why that is right.  Each frame goes through the bytes of its node once, in
 * order, reading each slot when it comes to it; the subtrees below different bytes
 * hold different ranges of keys, whatever happens to them.  So no key comes twice
 * or out of order.  A key that is there throughout is below the node that each
 * frame stands for, and a replaced node holds, frozen, all that was below it: so
 * it comes.  What a frozen node shows was in force when it was frozen, which is
 * after the frame was made, hence after the walk began.
 *
 * Why a dirty walk passes over nothing that is dirty.  Its caller has waited until
 * completed >= cut, so every leaf with lsn <= cut was published before the walk, and
 * every node then on the way to it raised before that (art_change.c).  Each node
 * that the walk comes to was live at some moment since; it was raised itself, or is
 * a copy of one that was, made behind the freeze, or was made over nodes and leaves
 * whose dirty LSNs it took.  The meta word is loaded by acquire behind the slot word
 * that led to the node, so it shows all of that.  A leaf above the committed cut is
 * neither evicted nor swept, whoever replaces it has a higher lsn and links it, and a
 * copy keeps its lsn: so its key still has a leaf, and that is dirty.
 *
 * Bounded by the depth of the tree; writes nothing shared.  The sweep is an
 * ordinary writer: it removes by art_remove_leaf and reshapes by art_tidy.  Any
 * process, inside an epoch (the sweep: outside); may die anywhere.
 */
#include "common/c.h"

#include "access/art/art_internal.h"
#include "access/art/art_search.h"
#include "storage/ipc/epoch.h"
#include "storage/mem/heap.h"

/*
 * next: forward -1 (the end slot), 0..255, 256 (done); backward 255..0, -1 (the end
 * slot), -2 (done).
 */
typedef struct ArtFrame
{
	Off			node;
	int32		next;
} ArtFrame;

struct ArtCursor
{
	Leaf	   *pending;		/* found by art_seek itself: comes first */
	uint32		depth;
	bool		backward;
	bool		dirty_only;		/* art_seek_dirty: nodes of dirty LSN <= clean_upto, in units, are passed over */
	uint64		clean_upto;
	ArtFrame	frame[ART_DEPTH_MAX];
};

#define CURSOR_COUNT 3
#define CURSOR_OWN 2			/* of art_sweep and art_evict */
#define FORWARD_DONE 256
#define BACKWARD_DONE (-2)
#define END_SLOT (-1)

static _Thread_local ArtCursor cursors[CURSOR_COUNT];

ArtCursor *
art_cursor(int which)
{
	Assert(which >= 0 && which < CURSOR_OWN);
	return &cursors[which];
}

/* prefetch_word -- what the walk will soon look at. */
static inline void
prefetch_word(uint64 word)
{
	if (slot_tag(word) != TAG_NULL)
	{
		__builtin_prefetch(seg_ptr(slot_ref(word)));
		__builtin_prefetch((char *) seg_ptr(slot_ref(word)) + CACHE_LINE);
	}
}

/* art__cursor_own -- the one that no caller of the room uses. */
ArtCursor *
art__cursor_own(void)
{
	return &cursors[CURSOR_OWN];
}

/* art__cursor_node -- the node that the leaf just returned was found in; 0: in the root slot. */
Off
art__cursor_node(const ArtCursor *c)
{
	return c->depth > 0 ? c->frame[c->depth - 1].node : 0;
}

/* push -- a frame; false: the cursor passes over this node, for nothing below is dirty. */
static bool
push(ArtCursor *c, Off off, int32 next)
{
	ArtNode    *node = art__node(off);
	uint64		meta = atomic_load_explicit(&node->meta, memory_order_acquire);	/* acquire [art-dirty]: after the slot */
	uint32		type = meta_type(meta);

	if (c->dirty_only && (meta & META_ALWAYS) == 0 && meta_dirty(meta) <= c->clean_upto)
		return false;
	Assert(c->depth < ART_DEPTH_MAX);
	c->frame[c->depth].node = off;
	c->frame[c->depth].next = next;
	c->depth++;
	if (type <= N16)
		for (uint32 i = 0; i < art__capacity[type]; i++)
			/* relaxed: a hint where to look; nothing is read through it */
			prefetch_word(atomic_load_explicit(&art__slots(node, type)[i], memory_order_relaxed));
	return true;
}

static void
push_whole(ArtCursor *c, Off off)
{
	(void) push(c, off, c->backward ? 255 : END_SLOT);
}

/* leaf_wanted -- is a leaf that the seek ran into within the bound? */
static bool
leaf_wanted(const ArtCursor *c, const Leaf *l, const uint8 *key, uint32 key_len, bool exclusive)
{
	uint32		n = Min(key_len, l->key_len);
	int			order = memcmp(leaf_key(l), key, n);

	if (order == 0)
		order = l->key_len < key_len ? -1 : l->key_len > key_len;
	if (order == 0)
		return !exclusive;
	return (order < 0) == c->backward;
}

/*
 * seek_below -- frames from 'word' (with 'depth' bytes above it) on, so that the
 * next leaf is the first one within the bound.
 */
static void
seek_below(ArtCursor *c, uint64 word, uint32 depth, const uint8 *key, uint32 key_len, bool exclusive)
{
	while (slot_tag(word) == TAG_INNER)
	{
		Off			off = slot_ref(word);
		ArtNode    *node = art__node(off);
		uint64		meta = atomic_load_explicit(&node->meta, memory_order_relaxed);	/* relaxed: constant bits */
		uint32		type = meta_type(meta);
		uint32		prefix_len = meta_prefix_len(meta);
		const uint8 *prefix = art__prefix(node, type);
		uint32		match = art__common(prefix, key + depth, Min(prefix_len, key_len - depth));

		if (match < prefix_len)
		{
			/* all keys below stand on one side of the bound */
			bool		above = depth + match == key_len || prefix[match] > key[depth + match];

			if (above != c->backward)
				push_whole(c, off);
			return;
		}
		depth += prefix_len;
		if (depth == key_len)
		{
			/* the end slot is the bound itself, the children lie above it */
			if (!c->backward)
				(void) push(c, off, exclusive ? 0 : END_SLOT);
			else if (!exclusive)
				(void) push(c, off, END_SLOT);
			return;
		}
		if (!push(c, off, c->backward ? key[depth] - 1 : key[depth] + 1))
			return;
		word = art__child(node, type, key[depth]);
		depth++;
	}
	if (slot_tag(word) == TAG_LEAF && leaf_wanted(c, seg_ptr(slot_ref(word)), key, key_len, exclusive))
		c->pending = seg_ptr(slot_ref(word));
}

/* seek_whole -- everything below 'word'. */
static void
seek_whole(ArtCursor *c, uint64 word)
{
	if (slot_tag(word) == TAG_INNER)
		push_whole(c, slot_ref(word));
	else if (slot_tag(word) == TAG_LEAF)
		c->pending = seg_ptr(slot_ref(word));
}

/* find_prefix -- the word whose subtree holds exactly the keys with this prefix, *depth bytes above it; 0: there are none. */
static uint64
find_prefix(ArtRoot *root, const uint8 *prefix, uint32 prefix_len, uint32 *depth)
{
	uint64		word = art__load(&root->slot);

	*depth = 0;
	while (slot_tag(word) == TAG_INNER)
	{
		ArtNode    *node = art__node(slot_ref(word));
		uint64		meta = atomic_load_explicit(&node->meta, memory_order_relaxed);	/* relaxed: constant bits */
		uint32		type = meta_type(meta);
		uint32		node_prefix_len = meta_prefix_len(meta);
		uint32		compare = Min(node_prefix_len, prefix_len - *depth);

		if (art__common(art__prefix(node, type), prefix + *depth, compare) < compare)
			return 0;
		if (*depth + node_prefix_len >= prefix_len)
			return word;
		*depth += node_prefix_len;
		word = art__child(node, type, prefix[(*depth)++]);
	}
	if (slot_tag(word) == TAG_LEAF)
	{
		const Leaf *l = seg_ptr(slot_ref(word));

		if (l->key_len < prefix_len || (prefix_len > 0 && memcmp(leaf_key(l), prefix, prefix_len) != 0))
			return 0;
	}
	return word;
}

/* reset -- an empty cursor; it has looked at nothing yet. */
static void
reset(ArtCursor *c, bool backward)
{
	Assert(epoch_inside());
	c->pending = NULL;
	c->depth = 0;
	c->backward = backward;
	c->dirty_only = false;
}

void
art_seek(ArtCursor *c, ArtRoot *root, const void *prefix, uint32 prefix_len,
		 const void *key, uint32 key_len, bool exclusive, bool backward)
{
	uint32		depth;
	uint64		word;

	reset(c, backward);
	if (key != NULL && prefix_len > 0)
	{
		int			order = memcmp(key, prefix, Min(key_len, prefix_len));

		if (order == 0 && key_len < prefix_len)
			order = -1;			/* less than every key with this prefix */
		if (order != 0 && (order < 0) == backward)
			return;
		if (order != 0)
			key = NULL;
	}
	word = find_prefix(root, prefix, prefix_len, &depth);
	if (key != NULL)
		seek_below(c, word, depth, key, key_len, exclusive);
	else
		seek_whole(c, word);
}

/* art_seek_dirty -- 'committed' in whole units, rounded down, so that no leaf above it is taken for clean. */
void
art_seek_dirty(ArtCursor *c, ArtRoot *root, const void *key, uint32 key_len, bool exclusive, Lsn committed)
{
	uint64		word;

	reset(c, false);
	c->dirty_only = true;
	c->clean_upto = committed / MIB;
	word = art__load(&root->slot);
	if (key != NULL)
		seek_below(c, word, 0, key, key_len, exclusive);
	else
		seek_whole(c, word);
}

/* step -- the next word of the uppermost frame that is not null; 0: the frame is done. */
static uint64
step(ArtCursor *c, ArtFrame *f)
{
	ArtNode    *node = art__node(f->node);
	uint32		type = meta_type(atomic_load_explicit(&node->meta, memory_order_relaxed));	/* relaxed: constant */
	uint64		word = 0;
	uint64		ahead;
	int			byte;

	if (!c->backward && f->next == END_SLOT)
	{
		f->next = 0;
		word = art__load(&node->end);
		if (slot_tag(word) != TAG_NULL)
			return word;
	}
	if (f->next >= 0 && f->next <= 255)
	{
		byte = art__next_child(node, type, f->next, c->backward, &word);
		if (byte >= 0)
		{
			f->next = c->backward ? byte - 1 : byte + 1;
			if (type > N16 && art__next_child(node, type, f->next, c->backward, &ahead) >= 0)
				prefetch_word(ahead);
			return word;
		}
		f->next = c->backward ? END_SLOT : FORWARD_DONE;
	}
	if (c->backward && f->next == END_SLOT)
	{
		f->next = BACKWARD_DONE;
		word = art__load(&node->end);
		if (slot_tag(word) != TAG_NULL)
			return word;
	}
	return 0;
}

Leaf *
art_next(ArtCursor *c)
{
	Leaf	   *l = c->pending;

	Assert(epoch_inside());
	if (l != NULL)
	{
		c->pending = NULL;
		return l;
	}
	while (c->depth > 0)
	{
		uint64		word = step(c, &c->frame[c->depth - 1]);

		if (slot_tag(word) == TAG_LEAF)
			return seg_ptr(slot_ref(word));
		if (slot_tag(word) == TAG_INNER)
			push_whole(c, slot_ref(word));
		else
			c->depth--;
	}
	return NULL;
}

/* ---- the sweep ---- */

/*
 * sweep_leaf -- remove what the key holds if it may go.  The leaf that the walk has
 * found may have been replaced, often by our own tidying next to it (a collapse
 * installs a copy): then the present one is asked for.
 */
static bool
sweep_leaf(ArtRoot *root, Leaf *leaf, ArtMayGo may_go, void *arg)
{
	const uint8 *key = leaf_key(leaf);
	uint32		key_len = leaf->key_len;

	while (leaf != NULL && may_go(leaf, arg))
	{
		Leaf	   *now;

		if (art_remove_leaf(root, key, key_len, leaf))
		{
			ArtResult	tidied = art_tidy(root, key, key_len);

			(void) tidied;		/* no memory: the node stays as it is; a later write or sweep sees to it */
			leaf_retire_chain(seg_off(leaf), 0);
			return true;
		}
		now = art_lookup(root, key, key_len);
		if (now == leaf)
			break;				/* it is there but could not be removed: no memory to help */
		leaf = now;
	}
	return false;
}

bool
art_sweep(ArtRoot *root, const void *prefix, uint32 prefix_len, uint8 *from, uint32 *from_len,
		  uint32 max_steps, ArtMayGo may_go, void *arg, uint64 *removed)
{
	ArtCursor  *c = &cursors[CURSOR_OWN];
	Leaf	   *leaf;

	epoch_enter();
	art_seek(c, root, prefix, prefix_len, *from_len > 0 ? from : NULL, *from_len, false, false);
	leaf = art_next(c);
	for (uint32 i = 0; leaf != NULL && i < max_steps && mem_retire_ready(); i++)
	{
		/* the next one first: this one's memory stays readable in the epoch, but so it is simplest to see */
		Leaf	   *next = art_next(c);

		if (sweep_leaf(root, leaf, may_go, arg))
			(*removed)++;
		leaf = next;
	}
	if (leaf != NULL)
	{
		memcpy(from, leaf_key(leaf), leaf->key_len);
		*from_len = leaf->key_len;
	}
	epoch_leave();
	return leaf == NULL;
}
