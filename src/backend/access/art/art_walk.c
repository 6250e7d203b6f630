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
 * In which order the slots of a N4 or N16 come is found out once.  A slot keeps its key byte,
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
	bool		ordered;		/* N4, N16: 'order' counts, not 'next' */
	uint8		at;				/* the next place in 'order' ... */
	uint8		count;			/* ... of so many */
	uint8		order[16];		/* slots in byte order, in the cursor's direction, as they were keyed when the frame was made */
} ArtFrame;
static_assert(KEY_MAX <= UINT16_MAX, "the length of a key fits a frame");

/*
 * Leaves ahead.  Leaves lie anywhere in memory, so a walk would wait for each.  It finds
 * some more than it returns, several in one go, and starts loading them, so that they
 * are waited for together: as many as it has been told to expect, or few at first and
 * more the longer it goes on without a hop.  What it loads of each is what it will look at, if
 * it is as long as those before.
 */
#define REACH_MAX (5 * CACHE_LINE)
#define SIBLINGS_MAX 16			/* ways that are loaded together, while a walk hops from subtree to subtree */
#define SIBLING_LEVELS 8

struct ArtCursor
{
	ArtAhead	ahead;			/* first: art_next knows it */
	Leaf	   *pending;		/* found by art_seek itself: comes first */
	Leaf	   *last;			/* that was found, not returned, last: the frames are the way to it */
	uint32		depth;
	bool		backward;
	bool		dirty_only;		/* art_seek_dirty: nodes of dirty LSN <= clean_upto, in units, are passed over */
	uint64		clean_upto;
	uint32		expected;		/* leaves, in the walk to come; 0: who knows */
	bool		values;			/* not only their heads and keys will be looked at */
	uint32		reach[2];		/* bytes of a leaf that will be looked at, about: without its value, with it; learnt, in this walk and earlier ones */
	uint32		want;			/* leaves to find ahead; 0: never */
	uint32		left;			/* of those expected; UINT32_MAX: who knows */
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
 * order_slots -- N4, N16: which slots the frame will come to; what is below them is loaded, unless the walk hops.  The
 * slots themselves are read when it comes to them; one that gets its key byte later holds nothing that was
 * there throughout.  Each slot's place is the number of those before it: no jumps that nobody can predict.
 */
static void
order_slots(ArtFrame *f, ArtNode *node, bool backward, bool hops)
{
	_Atomic uint64 *slot = art__slots(node, f->type);
	const uint32 capacity = art__capacity[f->type];
	const uint8 flip = backward ? 0x7f : 0x80;	/* to signed numbers, in the cursor's direction */
	int8		byte[16];
	int8		place[16] = {0};
	uint32		count = 0;

	memset(byte, INT8_MAX, sizeof(byte));
	for (; count < capacity; count++)
	{
		/* relaxed: the key byte, which stays, and a hint where to look; nothing is read through it */
		uint64		word = atomic_load_explicit(&slot[count], memory_order_relaxed);

		if ((word & SLOT_KEYED) == 0)
			break;
		byte[count] = (int8) (slot_byte(word) ^ flip);
		if (slot_tag(word) == TAG_INNER && !hops)
			art__prefetch_word(word);	/* leaves: when they are found */
	}
	for (uint32 i = 0; i < count; i++)
		for (uint32 j = 0; j < 16; j++)
			place[j] = (int8) (place[j] + (byte[j] > byte[i]));
	for (uint32 i = 0; i < count; i++)
		f->order[place[i]] = (uint8) i;
	f->at = 0;
	if (backward ? f->next < 255 : f->next > 0)
		while (f->at < count && byte[f->order[f->at]] < (int8) ((uint8) f->next ^ flip))
			f->at++;			/* the cursor begins behind them */
	f->ordered = true;
	f->count = (uint8) count;
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
	/* a walk that finds leaves ahead loads what it will come to when it comes to the node, or never */
	if (type <= N16 && c->want == 0)
		for (uint32 i = 0; i < art__capacity[type]; i++)
			/* relaxed: a hint where to look; nothing is read through it */
			art__prefetch_word(atomic_load_explicit(&art__slots(node, type)[i], memory_order_relaxed));
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
	c->want = 0;
	c->ahead.first = c->ahead.count = c->ahead.enough = 0;
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
	c->want = c == art__cursor_own() ? 0 : Min(Max(c->expected, (uint32) 1), (uint32) ART_AHEAD_MAX);
	c->left = c->expected > 0 ? c->expected : UINT32_MAX;
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
		/* a walk that hops seldom asks for the second child */
		if (f->type <= N16 && (f->ordered || f->stepped || c->want > 1))
		{
			if (!f->ordered)
				order_slots(f, node, c->backward, c->want == 1);
			while (f->at < f->count)
			{
				word = art__load(&art__slots(node, f->type)[f->order[f->at++]]);
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
				art__prefetch_word(ahead);
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
	const char *end = (const char *) l + c->reach[c->values];

	__builtin_prefetch(l);
	for (const char *p = (const char *) ((uintptr_t) l | (CACHE_LINE - 1)) + 1; p < end; p += CACHE_LINE)
		__builtin_prefetch(p);
	c->ahead.leaf[(c->ahead.first + c->ahead.count++) % ART_AHEAD_MAX] = l;
}

/* set_reach -- by a leaf that is loaded, most of the time. */
static inline void
set_reach(ArtCursor *c, const Leaf *l)
{
	size_t		reach = leaf_key_offset(leaf_flags(l)) + l->key_len;

	if (c->values)
		reach += Min(l->value_len, (uint32) REACH_MAX);
	c->reach[c->values] = (uint32) Min(reach, (size_t) REACH_MAX);
}

/* find_ahead -- as many leaves as are to be found at a time, and no more than are expected. */
static void
find_ahead(ArtCursor *c)
{
	uint32		before = c->ahead.count;
	uint32		until = (uint32) Min((uint64) c->want, (uint64) before + c->left);

	while (c->ahead.count < until)
	{
		Leaf	   *l = find_next(c);
		ArtFrame   *f;
		_Atomic uint64 *slot;

		if (l == NULL)
			break;
		note_found(c, l);
		f = c->depth > 0 ? &c->frame[c->depth - 1] : NULL;
		if (f == NULL || !f->ordered)
			continue;
		/* its neighbours in the same node, most of the time */
		slot = art__slots(art__node(f->node), f->type);
		while (c->ahead.count < until && f->at < f->count)
		{
			uint64		word = art__load(&slot[f->order[f->at]]);

			if (slot_tag(word) != TAG_LEAF)
				break;
			f->at++;
			note_found(c, c->last = seg_ptr(slot_ref(word)));
		}
	}
	if (c->left != UINT32_MAX)
		c->left -= c->ahead.count - before;
}

Leaf *
art__next(ArtCursor *c)
{
	Leaf	   *l;

	Assert(epoch_inside());
	if (c->want == 0)
		return find_next(c);
	if (unlikely(c->left == 0 && c->ahead.count == 0))
	{
		/* more are asked for than were expected */
		c->want = 1;
		c->left = UINT32_MAX;
	}
	if (c->ahead.count > 0)
		set_reach(c, c->ahead.leaf[c->ahead.first]);
	find_ahead(c);
	if (c->ahead.count == 0)
		return NULL;
	l = c->ahead.leaf[c->ahead.first];
	c->ahead.first = (c->ahead.first + 1) % ART_AHEAD_MAX;
	c->ahead.count--;
	c->want = Min(c->want * 2, (uint32) ART_AHEAD_MAX);
	c->ahead.enough = c->left == 0 ? 0 : c->want / 2;
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
			words[count++] = art__load(&art__slots(node, f->type)[f->order[at]]);
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
			art__prefetch_word(words[i]);
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
	Assert(epoch_inside() && c->want > 0);
	c->want = 1;
	c->ahead.enough = 0;
	while (c->ahead.count > 0 && begins_with(c->ahead.leaf[c->ahead.first], prefix, len))
	{
		c->ahead.first = (c->ahead.first + 1) % ART_AHEAD_MAX;
		c->ahead.count--;
	}
	if (c->ahead.count > 0 || c->last == NULL || !begins_with(c->last, prefix, len))
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
