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
 * In which order the slots of a N16 come is found out once.  A slot keeps its key byte,
 * and one that got it later holds nothing that was there throughout.  Leaves are
 * found some time before they are returned: what is returned was in force when it was found,
 * which is within the walk as well.
 *
 * A hop leaves out the keys with a prefix (of 'len' bytes) from the one returned last on.
 * The frames are the way to the leaf found last.  If that has the prefix, every
 * frame whose keys have len bytes in common has nothing but such keys, and goes.  In the
 * frame above, what comes next differs from the prefix in a byte before len.  If the
 * leaf found last lacks the prefix, the walk is beyond it already.
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
	uint16		len;			/* bytes that the keys below have in common */
	uint8		type;			/* of the node */
	bool		stepped;		/* some child has been taken */
	bool		ordered;		/* N16: 'order' counts, not 'next' */
	uint8		at;				/* the next place in 'order' ... */
	uint8		count;			/* ... of so many */
	uint8		order[16];		/* slots in byte order, in the cursor's direction, as they were keyed when the frame was made */
} ArtFrame;
static_assert(KEY_MAX <= UINT16_MAX, "the length of a key fits a frame");

/*
 * Leaves ahead.  Leaves lie anywhere in memory, so a walk would wait for each.  It finds
 * some more than it returns, several in one go, and starts loading them, so that they
 * are waited for together: as many as it has been told to expect, or few at first and
 * more the longer it goes on without a hop.
 */
#define AHEAD_MAX 32
#define SIBLINGS_MAX 16			/* ways that are loaded together, while a walk hops from subtree to subtree */
#define SIBLING_LEVELS 8

struct ArtCursor
{
	Leaf	   *pending;		/* found by art_seek itself: comes first */
	Leaf	   *last;			/* that was found, not returned, last: the frames are the way to it */
	uint32		depth;
	bool		backward;
	bool		dirty_only;		/* art_seek_dirty: nodes of dirty LSN <= clean_upto, in units, are passed over */
	uint64		clean_upto;
	uint32		expected;		/* leaves, in the walk to come; 0: who knows */
	bool		values;			/* not only their heads and keys will be looked at */
	uint32		ahead;			/* leaves to find ahead; 0: never */
	uint32		found_first;	/* found[]: a ring */
	uint32		found_count;
	Leaf	   *found[AHEAD_MAX];
	uint32		hop_depth;		/* of the frame that the last hop went on in */
	uint32		hop_loaded;		/* how many of its next children are being loaded, each with the way to its first leaf */
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

/*
 * order_slots -- N16: which slots the frame will come to.  The slots themselves are read when it
 * does; one that gets its key byte later holds nothing that was there throughout.
 */
static void
order_slots(ArtFrame *f, const ArtNode16 *node, bool backward)
{
	uint64		present[4] = {0};
	uint8		slot_of[256];
	int32		before = -1;
	bool		ascending = !backward;

	f->ordered = true;
	f->at = f->count = 0;
	for (uint32 i = 0; i < 16; i++)
	{
		/* relaxed: the key byte alone, which stays */
		uint64		word = atomic_load_explicit(&node->slot[i], memory_order_relaxed);
		int32		byte = slot_byte(word);

		if ((word & SLOT_KEYED) == 0)
			break;
		if (backward ? byte > f->next : byte < f->next)
			continue;
		present[byte / 64] |= UINT64_C(1) << byte % 64;
		slot_of[byte] = f->order[f->count++] = (uint8) i;
		ascending &= byte > before;
		before = byte;
	}
	if (ascending)
		return;					/* as after keys that were put in order */
	f->count = 0;
	for (uint32 i = 0; i < 4; i++)
	{
		uint32		group = backward ? 3 - i : i;

		while (present[group] != 0)
		{
			uint32		bit = backward ? 63 - (uint32) __builtin_clzll(present[group]) : (uint32) __builtin_ctzll(present[group]);

			present[group] &= ~(UINT64_C(1) << bit);
			f->order[f->count++] = slot_of[group * 64 + bit];
		}
	}
}

/* push -- a frame of a node that stands behind 'above' bytes; false: the cursor passes over this node, for nothing below is dirty. */
static bool
push(ArtCursor *c, Off off, int32 next, uint32 above)
{
	ArtNode    *node = art__node(off);
	uint64		meta = atomic_load_explicit(&node->meta, memory_order_acquire);	/* acquire [art-dirty]: after the slot */
	uint32		type = meta_type(meta);
	ArtFrame   *f = &c->frame[c->depth];

	if (c->dirty_only && (meta & META_ALWAYS) == 0 && meta_dirty(meta) <= c->clean_upto)
		return false;
	Assert(c->depth < ART_DEPTH_MAX);
	f->node = off;
	f->next = next;
	f->len = (uint16) (above + meta_prefix_len(meta));
	f->type = (uint8) type;
	c->depth++;
	/* a walk that may hop soon would load in vain */
	if (type <= N16 && c->ahead != 1)
		for (uint32 i = 0; i < art__capacity[type]; i++)
		{
			/* relaxed: a hint where to look; nothing is read through it */
			uint64		word = atomic_load_explicit(&art__slots(node, type)[i], memory_order_relaxed);

			if (c->ahead == 0 || slot_tag(word) == TAG_INNER)
				prefetch_word(word);	/* leaves: when they are found */
		}
	f->stepped = f->ordered = false;
	return true;
}

static void
push_whole(ArtCursor *c, Off off, uint32 above)
{
	(void) push(c, off, c->backward ? 255 : END_SLOT, above);
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
				push_whole(c, off, depth);
			return;
		}
		if (depth + prefix_len == key_len)
		{
			/* the end slot is the bound itself, the children lie above it */
			if (!c->backward)
				(void) push(c, off, exclusive ? 0 : END_SLOT, depth);
			else if (!exclusive)
				(void) push(c, off, END_SLOT, depth);
			return;
		}
		if (!push(c, off, c->backward ? key[depth + prefix_len] - 1 : key[depth + prefix_len] + 1, depth))
			return;
		depth += prefix_len;
		word = art__child(node, type, key[depth]);
		depth++;
	}
	if (slot_tag(word) == TAG_LEAF && leaf_wanted(c, seg_ptr(slot_ref(word)), key, key_len, exclusive))
		c->pending = seg_ptr(slot_ref(word));
}

/* seek_whole -- everything below 'word', with 'depth' bytes above it. */
static void
seek_whole(ArtCursor *c, uint64 word, uint32 depth)
{
	if (slot_tag(word) == TAG_INNER)
		push_whole(c, slot_ref(word), depth);
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
	c->pending = c->last = NULL;
	c->depth = 0;
	c->backward = backward;
	c->dirty_only = false;
	c->ahead = 0;
	c->found_first = c->found_count = 0;
	c->hop_depth = c->hop_loaded = 0;
}

void
art_expect(ArtCursor *c, uint32 leaves, bool values)
{
	c->expected = leaves;
	c->values = values;
}

void
art_seek(ArtCursor *c, ArtRoot *root, const void *prefix, uint32 prefix_len,
		 const void *key, uint32 key_len, bool exclusive, bool backward)
{
	uint32		depth;
	uint64		word;

	reset(c, backward);
	c->ahead = c == art__cursor_own() ? 0 : Min(Max(c->expected, (uint32) 1), (uint32) AHEAD_MAX);
	c->expected = 0;
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
		seek_whole(c, word, depth);
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
		seek_whole(c, word, 0);
}

/* step -- the next word of the uppermost frame that is not null; 0: the frame is done. */
static uint64
step(ArtCursor *c, ArtFrame *f)
{
	ArtNode    *node = art__node(f->node);
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
		if (f->type == N16 && f->stepped)
		{
			/* the second child is asked for: a walk that hops seldom comes to that */
			if (!f->ordered)
				order_slots(f, (const ArtNode16 *) node, c->backward);
			while (f->at < f->count)
			{
				word = art__load(&((ArtNode16 *) node)->slot[f->order[f->at++]]);
				if (slot_tag(word) != TAG_NULL)
					return word;
			}
			byte = -1;
		}
		else
			byte = art__next_child(node, f->type, f->next, c->backward, &word);
		if (byte >= 0)
		{
			f->next = c->backward ? byte - 1 : byte + 1;
			f->stepped = true;
			if (f->type > N16 && art__next_child(node, f->type, f->next, c->backward, &ahead) >= 0)
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

/* find_next -- the next leaf on the way. */
static Leaf *
find_next(ArtCursor *c)
{
	Leaf	   *l = c->pending;

	if (l != NULL)
	{
		c->pending = NULL;
		return c->last = l;
	}
	while (c->depth > 0)
	{
		ArtFrame   *f = &c->frame[c->depth - 1];
		uint64		word = step(c, f);

		if (slot_tag(word) == TAG_LEAF)
			return c->last = seg_ptr(slot_ref(word));
		if (slot_tag(word) == TAG_INNER)
			push_whole(c, slot_ref(word), f->len + 1);
		else
			c->depth--;
	}
	return NULL;
}

/* note_found -- the leaf found last is to be returned, and loaded until then. */
static inline void
note_found(ArtCursor *c, Leaf *l)
{
	__builtin_prefetch(l);
	__builtin_prefetch((char *) l + CACHE_LINE);
	if (c->values)
		__builtin_prefetch((char *) l + 2 * CACHE_LINE);
	c->found[(c->found_first + c->found_count++) % AHEAD_MAX] = l;
}

/* find_ahead -- as many leaves as are to be found at a time. */
static void
find_ahead(ArtCursor *c)
{
	while (c->found_count < c->ahead)
	{
		Leaf	   *l = find_next(c);
		ArtFrame   *f;

		if (l == NULL)
			return;
		note_found(c, l);
		f = c->depth > 0 ? &c->frame[c->depth - 1] : NULL;
		if (f == NULL || !f->ordered)
			continue;
		/* its neighbours in the same node, most of the time */
		while (c->found_count < c->ahead && f->at < f->count)
		{
			uint64		word = art__load(&((ArtNode16 *) art__node(f->node))->slot[f->order[f->at]]);

			if (slot_tag(word) != TAG_LEAF)
				break;
			f->at++;
			note_found(c, c->last = seg_ptr(slot_ref(word)));
		}
	}
}

Leaf *
art_next(ArtCursor *c)
{
	Leaf	   *l;

	Assert(epoch_inside());
	if (c->ahead == 0)
		return find_next(c);
	if (c->found_count * 2 <= c->ahead)
	{
		find_ahead(c);
		if (c->found_count == 0)
			return NULL;
	}
	l = c->found[c->found_first];
	c->found_first = (c->found_first + 1) % AHEAD_MAX;
	c->found_count--;
	c->ahead = Min(c->ahead * 2, (uint32) AHEAD_MAX);
	return l;
}

static bool
begins_with(const Leaf *l, const void *prefix, uint32 len)
{
	return l->key_len >= len && memcmp(leaf_key(l), prefix, len) == 0;
}

/* next_words -- what the frame will come to next, up to 'max' of it. */
static uint32
next_words(const ArtCursor *c, const ArtFrame *f, uint64 *words, uint32 max)
{
	ArtNode    *node = art__node(f->node);
	uint32		count = 0;
	int			next = f->next;

	if (f->ordered)
	{
		for (uint32 at = f->at; at < f->count && count < max; at++)
			words[count++] = art__load(&((ArtNode16 *) node)->slot[f->order[at]]);
		return count;
	}
	while (count < max && next >= 0 && next <= 255 &&
		   (next = art__next_child(node, f->type, next, c->backward, &words[count])) >= 0)
	{
		next += c->backward ? -1 : 1;
		count++;
	}
	return count;
}

/* first_below -- the word that a walk comes to first below a node; 0: there is none. */
static uint64
first_below(ArtNode *node, bool backward)
{
	uint32		type = meta_type(atomic_load_explicit(&node->meta, memory_order_relaxed));	/* relaxed: constant */
	uint64		end = art__load(&node->end);
	uint64		child;

	if (!backward && slot_tag(end) != TAG_NULL)
		return end;
	return art__next_child(node, type, backward ? 255 : 0, backward, &child) >= 0 ? child : end;
}

/*
 * load_siblings -- a walk that hops looks at the first leaf of each child of a node, and the way to
 * each is a chain of loads that wait for one another.  Several such chains at a time,
 * a level of each in turn, so that they wait together.
 */
static uint32
load_siblings(const ArtCursor *c, const ArtFrame *f)
{
	uint64		words[SIBLINGS_MAX];
	uint32		count = next_words(c, f, words, SIBLINGS_MAX);
	bool		more = true;

	for (uint32 level = 0; more && level < SIBLING_LEVELS; level++)
	{
		more = false;
		for (uint32 i = 0; i < count; i++)
			prefetch_word(words[i]);
		for (uint32 i = 0; i < count; i++)
		{
			words[i] = slot_tag(words[i]) == TAG_INNER ? first_below(art__node(slot_ref(words[i])), c->backward) : 0;
			more |= slot_tag(words[i]) != TAG_NULL;
		}
	}
	return count;
}

/* art_hop -- see above. */
void
art_hop(ArtCursor *c, const void *prefix, uint32 len)
{
	Assert(epoch_inside() && c->ahead > 0);
	c->ahead = 1;
	while (c->found_count > 0 && begins_with(c->found[c->found_first], prefix, len))
	{
		c->found_first = (c->found_first + 1) % AHEAD_MAX;
		c->found_count--;
	}
	if (c->found_count > 0 || c->last == NULL || !begins_with(c->last, prefix, len))
		return;
	c->pending = NULL;
	while (c->depth > 0 && c->frame[c->depth - 1].len >= len)
		c->depth--;
	if (c->depth == 0)
		return;
	if (c->hop_depth != c->depth)
		c->hop_loaded = 0;		/* the first hop here: maybe the only one */
	else if (c->hop_loaded > 0)
		c->hop_loaded--;
	else
		c->hop_loaded = load_siblings(c, &c->frame[c->depth - 1]);
	c->hop_depth = c->depth;
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
