/*
 * art_evict.c -- clean leaves leave memory; COMPLETE is kept true meanwhile.
 *
 * For: the evictor's clock.  A piece of it is up to EVICT_PIECE_MAX leaves in key
 * order and three steps:
 *
 *   1  look: ask may_go of each leaf, in one epoch.  Of those that may go remember
 *      key and lsn, and clear COMPLETE on the whole way to the key
 *   2  wait one grace period: nobody who has read such a flag is still inside
 *   3  take away, in a second epoch: what was remembered, is still the version that
 *      its key has, and may go when it is asked again
 *
 * What is promised.  A leaf goes only if its way has been free of COMPLETE since
 * before the grace period (proof in art_internal.h, "COMPLETE"), so no reader takes
 * its absence for an answer; and only if a grace period has passed since its key
 * was seen to have a leaf.  From the latter it follows that the null word that it
 * leaves behind is not mistaken for an older one: whoever has read a null there
 * before that leaf came, has left since, and none came in between, for only this
 * process makes any.  If no leaf may go, steps 2 and 3 do not happen.
 *
 * Where a node becomes smaller in kind without what goes, it is thinned: frozen,
 * every leaf asked again under the freeze, replaced by one CAS of the slot that
 * leads to it: by nothing, by a copy of the one leaf that stays, or by a copy
 * without those that go (art__thin).  Elsewhere leaves go by one CAS each.  Larger
 * subtrees go from the bottom up: when the hand leaves a node's parent, that is
 * tidied, and those above it.  So nothing larger than one node is ever frozen, and
 * a leaf that must stay costs one copy.
 *
 * Writers that race with it.  A CAS on a frozen slot fails; the writer helps, which
 * makes an ordinary copy of the node or finds the slot changed, and starts over; if
 * the leaf has gone by then, it decides again, by the base.  A leaf that was
 * replaced in time is not the one remembered, and stays.  Readers follow frozen and
 * unlinked nodes to the end of their epoch and read there what is as true as the
 * base: only what has lsn <= evict_cut may go.
 *
 * Memory may be full: dropping whole nodes takes none, thinning takes its copy from
 * the reserve; where there is none left leaves go one by one.
 *
 * One process, the evictor, outside an epoch; it sleeps in step 2 only.  If it dies:
 * the tree is whole at every instruction; cleared flags stay cleared, frozen
 * words are helped by the next writer, what was unlinked and not yet retired is
 * lost until the next restart.
 */
#include "common/c.h"

#include "access/art/art_internal.h"
#include "storage/ipc/epoch.h"
#include "storage/mem/heap.h"

#define EVICT_PIECE_MAX 1024
#define EVICT_KEYS_BYTES (128 * KIB)
#define THIN_MAX 16				/* leaves that one CAS takes away: mem_retire_ready speaks for so many, extents or not */
static_assert(EVICT_KEYS_BYTES >= KEY_MAX, "a key finds room");

#ifdef ARTERY_ASSERT
bool		art__twin_no_grace;
bool		art__twin_no_clearing;
#endif

/* Approved -- a leaf that may go, as step 1 found it */
typedef struct Approved
{
	Lsn			lsn;
	uint32		key_at;			/* in piece.key */
	uint32		key_len;
} Approved;

/* Piece -- what lies between the two epochs: plain memory, by key order */
typedef struct Piece
{
	uint32		count;
	uint32		key_bytes;
	Approved	approved[EVICT_PIECE_MAX];
	uint8		key[EVICT_KEYS_BYTES];
} Piece;

static _Thread_local Piece piece;

/* ---- COMPLETE ---- */

static void
root_flags_change(ArtRoot *root, uint64 add, uint64 clear)
{
	/* relaxed: the CAS decides, and nobody but the evictor changes the word */
	uint64		old = atomic_load_explicit(&root->flags, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&root->flags, &old, (old & ~clear) | add,
												  memory_order_release,	/* release [art-complete]: the leaves it speaks of */
												  memory_order_relaxed))
		;
}

void
art_root_set_complete(ArtRoot *root)
{
	root_flags_change(root, ART_ROOT_COMPLETE, ART_ROOT_FILLING);
}

void
art_filling_begin(ArtRoot *root)
{
	root_flags_change(root, ART_ROOT_FILLING, 0);
}

/* art_filling_end -- from FILLING only: an eviction has cleared that. */
bool
art_filling_end(ArtRoot *root)
{
	/* relaxed: the CAS decides */
	uint64		old = atomic_load_explicit(&root->flags, memory_order_relaxed);

	while (old & ART_ROOT_FILLING)
		if (atomic_compare_exchange_weak_explicit(&root->flags, &old, ART_ROOT_COMPLETE,
												  memory_order_release,	/* release [art-complete]: all that was filled in */
												  memory_order_relaxed))
			return true;
	return false;
}

void
art_filling_cancel(ArtRoot *root)
{
	root_flags_change(root, 0, ART_ROOT_FILLING);
}

/* change_meta -- in a shared node; false: it is frozen, nothing was changed. */
static bool
change_meta(ArtNode *node, uint64 add, uint64 clear)
{
	/* relaxed: the CAS decides */
	uint64		old = atomic_load_explicit(&node->meta, memory_order_relaxed);

	while (((old & ~clear) | add) != old)
	{
		if (old & META_FROZEN)
			return false;
		if (atomic_compare_exchange_weak_explicit(&node->meta, &old, (old & ~clear) | add,
												  memory_order_release,	/* release [art-complete]: as it was known above */
												  memory_order_relaxed))
			return true;
	}
	return true;
}

/*
 * hand_down_one -- the node that 'slot' leads to, 'level' nodes below the root, learns
 * what its parent knows.  False: it is frozen and was helped, descend again.
 */
static bool
hand_down_one(ArtPos *pos, uint32 level, _Atomic uint64 *slot, uint64 word, ArtResult *result)
{
	if (slot_tag(word) != TAG_INNER || change_meta(art__node(slot_ref(word)), META_COMPLETE, 0))
		return true;
	/* off the way perhaps: the path's tail is not needed any more */
	pos->path[level].node = slot_ref(word);
	pos->path[level].slot = slot;
	*result = art__help(pos, level);
	return false;
}

/* hand_down -- to all inner children of the path's node at 'level', those on the way too (they are cleared next). */
static bool
hand_down(ArtPos *pos, uint32 level, ArtResult *result)
{
	ArtNode    *node = art__node(pos->path[level].node);
	uint32		type = meta_type(atomic_load_explicit(&node->meta, memory_order_relaxed));	/* relaxed: constant */
	_Atomic uint64 *slot = art__slots(node, type);

	for (uint32 i = 0; i < art__capacity[type]; i++)
		if (!hand_down_one(pos, level + 1, &slot[i], art__load(&slot[i]), result))
			return false;
	return true;
}

/* clear_step -- the uppermost flag on the way goes, after it was handed down.  False: descend again first. */
static bool
clear_step(ArtPos *pos, ArtResult *result)
{
	ArtRoot    *root = pos->root;

	if (art__root_complete(root))
	{
		if (!hand_down_one(pos, 0, &root->slot, art__load(&root->slot), result))
			return false;
		root_flags_change(root, 0, ART_ROOT_COMPLETE | ART_ROOT_FILLING);
	}
	for (uint32 level = 0; level < pos->depth; level++)
	{
		ArtNode    *node = art__node(pos->path[level].node);
		/* relaxed: nobody else sets or clears it */
		uint64		meta = atomic_load_explicit(&node->meta, memory_order_relaxed);

		if ((meta & META_COMPLETE) == 0)
			continue;
		/* a frozen node's copy has the flag again: it is met by the next descent */
		if ((meta & META_FROZEN) || !hand_down(pos, level, result) || !change_meta(node, 0, META_COMPLETE))
			return false;
	}
	return true;
}

/*
 * clear_way -- no COMPLETE on the way to pos->key any more, neither now nor until
 * somebody sets one there.  From the root down, so that no flag is found beneath
 * one that is gone and handed down again behind our back.  ART_NO_MEMORY: a frozen
 * node could not be helped; nothing may be taken away there.
 */
static ArtResult
clear_way(ArtPos *pos)
{
	ArtResult	result = ART_OK;

	for (;;)
	{
		if (result != ART_OK || art__descend(pos) != ART_OK)
			return ART_NO_MEMORY;
#ifdef ARTERY_ASSERT
		if (art__twin_no_clearing)
			return ART_OK;
#endif
		if (!pos->complete)
			return ART_OK;
		(void) clear_step(pos, &result);	/* the next descent says what is left */
	}
}

/* ---- step 1 ---- */

static bool
piece_has_room(void)
{
	return piece.count < EVICT_PIECE_MAX && piece.key_bytes + KEY_MAX <= EVICT_KEYS_BYTES;
}

static void
approve(const Leaf *leaf)
{
	Approved   *a = &piece.approved[piece.count++];

	a->lsn = leaf->lsn;
	a->key_at = piece.key_bytes;
	a->key_len = leaf->key_len;
	memcpy(piece.key + piece.key_bytes, leaf_key(leaf), leaf->key_len);
	piece.key_bytes += leaf->key_len;
}

/*
 * look -- step 1; true: the walk has come to the end of the tree.
 *
 * The way is cleared once per node, not per leaf: a leaf found in a node that the
 * last clearing descent has ended in has the same way.
 */
static bool
look(ArtRoot *root, uint8 *from, uint32 *from_len, uint32 max_steps, ArtMayGo may_go, void *arg, ArtEvicted *out)
{
	ArtCursor  *c = art__cursor_own();
	Off			clean_node = 0;
	Leaf	   *leaf;

	piece.count = 0;
	piece.key_bytes = 0;
	epoch_enter();
	art_seek(c, root, NULL, 0, *from_len > 0 ? from : NULL, *from_len, false, false);
	for (leaf = art_next(c); leaf != NULL && max_steps > 0 && piece_has_room(); leaf = art_next(c))
	{
		Off			node = art__cursor_node(c);

		max_steps--;
		out->looked++;
		if (!may_go(leaf, arg))
			continue;
		if (node != clean_node || node == 0)
		{
			ArtPos		pos;

			art__begin(&pos, root, leaf_key(leaf), leaf->key_len);
			if (clear_way(&pos) != ART_OK)
				continue;
			clean_node = pos.depth > 0 ? pos.path[pos.depth - 1].node : 0;
		}
		approve(leaf);
	}
	if (leaf != NULL)
	{
		memcpy(from, leaf_key(leaf), leaf->key_len);
		*from_len = leaf->key_len;
	}
	epoch_leave();
	return leaf == NULL;
}

/* ---- step 3 ---- */

/* Run -- approved leaves, one after the other, that stand in slots of one node */
typedef struct Run
{
	uint32		first;			/* in piece.approved */
	uint32		count;
	uint32		depth;			/* bytes of their keys above the node's slots */
	ArtMayGo	may_go;
	void	   *arg;
	ArtEvicted *out;
} Run;

static const uint8 *
approved_key(const Approved *a)
{
	return piece.key + a->key_at;
}

/* is_approved -- is it this version of this key?  Maybe in another block: a collapse has made a copy. */
static bool
is_approved(const Leaf *l, const Approved *a)
{
	return l->lsn == a->lsn && leaf__is(l, approved_key(a), a->key_len);
}

/* slot_of -- where a node with 'depth' bytes above its slots has this approved leaf, its word in *word; NULL: not there (any more). */
static _Atomic uint64 *
slot_of(ArtNode *node, uint32 depth, const Approved *a, uint64 *word)
{
	/* relaxed: constant */
	uint32		type = meta_type(atomic_load_explicit(&node->meta, memory_order_relaxed));
	_Atomic uint64 *slot;

	if (a->key_len == depth)
	{
		slot = &node->end;
		*word = art__load(slot);
	}
	else
		slot = art__find(node, type, approved_key(a)[depth], word, NULL);
	return slot != NULL && slot_tag(*word) == TAG_LEAF && is_approved(seg_ptr(slot_ref(*word)), a) ? slot : NULL;
}

/* find_run -- from the approved leaf on that 'pos' has found: as many as stand in the same node. */
static void
find_run(const ArtPos *pos, uint32 first, Run *run)
{
	ArtNode    *node = art__node(pos->path[pos->depth - 1].node);
	const uint8 *key = approved_key(&piece.approved[first]);
	uint64		word;

	run->first = first;
	run->count = 1;
	run->depth = pos->slot == &node->end ? pos->match_depth : pos->match_depth - 1;
	for (uint32 i = first + 1; i < piece.count; i++, run->count++)
	{
		const Approved *a = &piece.approved[i];

		if (a->key_len < run->depth || memcmp(approved_key(a), key, run->depth) != 0 ||
			slot_of(node, run->depth, a, &word) == NULL)
			break;
	}
}

/* run_mark -- art__thin asks which leaves go: an estimate first, and may_go itself under the freeze. */
static void
run_mark(ArtThinning *t, ArtNode *node, bool frozen, ArtDrop *drop)
{
	const Run  *run = t->arg;
	uint32		type = meta_type(atomic_load_explicit(&node->meta, memory_order_relaxed));	/* relaxed: constant */

	for (uint32 i = run->first; i < run->first + run->count; i++)
	{
		uint64		word;
		_Atomic uint64 *slot = slot_of(node, run->depth, &piece.approved[i], &word);

		if (slot == NULL || (frozen && !run->may_go(seg_ptr(slot_ref(word)), run->arg)))
			continue;
		if (slot == &node->end)
			drop->end = true;
		else
		{
			uint32		number = (uint32) (slot - art__slots(node, type));

			drop->slot[number / 64] |= UINT64_C(1) << (number % 64);
			drop->children++;
		}
	}
}

/* remove_one -- by one CAS of its slot; a frozen word makes it fail. */
static void
remove_one(_Atomic uint64 *slot, uint64 word, const Run *run)
{
	Leaf	   *leaf = seg_ptr(slot_ref(word));
	uint64		bytes;

	if ((word & SLOT_FROZEN) || !run->may_go(leaf, run->arg))
		return;
	bytes = leaf_bytes(leaf);
	/* acq_rel: as any change of a slot; the null refers to nothing.  relaxed: it stays, then */
	if (!atomic_compare_exchange_strong_explicit(slot, &word, slot_word(slot_key_bits(word), TAG_NULL, 0),
												 memory_order_acq_rel, memory_order_relaxed))
		return;
	run->out->leaves++;
	run->out->bytes += bytes;
	leaf_retire_chain(seg_off(leaf), 0);
}

/* remove_singly -- the run's next 'count' leaves, one by one; false: no memory to retire with. */
static bool
remove_singly(ArtNode *node, Run *run, uint32 count)
{
	while (count-- > 0)
	{
		uint64		word;
		_Atomic uint64 *slot = slot_of(node, run->depth, &piece.approved[run->first], &word);

		if (!mem_retire_ready())
			return false;
		if (slot != NULL)
			remove_one(slot, word, run);
		run->first++;
		run->count--;
	}
	return true;
}

/* pays_thinning -- would the path's last node be smaller in kind without these leaves? */
static bool
pays_thinning(ArtNode *node, const Run *run)
{
	uint32		type = meta_type(atomic_load_explicit(&node->meta, memory_order_relaxed));	/* relaxed: constant */
	bool		has_end = slot_tag(art__load(&node->end)) != TAG_NULL;
	bool		end_goes = piece.approved[run->first].key_len == run->depth;
	uint32		going = run->count - end_goes;
	uint64		only;
	uint32		live = art__count(node, type, art__capacity[type], &only);

	return art__fits_less(type, live - Min(live, going), has_end && !end_goes);
}

/* remove_run -- all of a run; false: no memory to retire with. */
static bool
remove_run(ArtPos *pos, Run *run)
{
	ArtNode    *node = art__node(pos->path[pos->depth - 1].node);
	ArtThinning thinning = {.mark = run_mark, .arg = run};

	if (pays_thinning(node, run))
	{
		if (run->count > THIN_MAX && !remove_singly(node, run, run->count - THIN_MAX))
			return false;
		if (!mem_retire_ready())
			return false;
		if (art__thin(pos, pos->depth - 1, &thinning, run->out) == ART_OK)
			return true;
	}
	return remove_singly(node, run, run->count);
}

/*
 * Tidying -- nodes below which something went: each is looked at when the hand leaves it.
 * All of them are on the way to one key, the uppermost first.
 */
#define TIDYING_MAX 16

typedef struct Tidying
{
	uint32		count;
	struct
	{
		uint32		at;			/* an approved leaf below it */
		uint32		depth;		/* bytes of its key above the node's slots */
	}			node[TIDYING_MAX];
} Tidying;

/* tidy_left -- the nodes that are not on the way to 'next' (NULL: all), the lowest first. */
static void
tidy_left(ArtRoot *root, Tidying *t, const Approved *next, ArtEvicted *out)
{
	while (t->count > 0)
	{
		const Approved *a = &piece.approved[t->node[t->count - 1].at];
		uint32		depth = t->node[t->count - 1].depth;

		if (next != NULL && next->key_len >= depth && memcmp(approved_key(next), approved_key(a), depth) == 0)
			return;
		t->count--;
		if (art__tidy(root, approved_key(a), a->key_len, out) != ART_OK)
			continue;			/* no memory: the node stays as it is, a later round sees to it */
	}
}

/*
 * tidy_later -- if the path's last node, which had 'depth' bytes above its slots, is not
 * there any more: its parent.  With too many of them the uppermost is forgotten.
 */
static void
tidy_later(Tidying *t, const ArtPos *pos, uint32 at, uint32 depth)
{
	uint32		level = pos->depth - 1;
	/* relaxed: the prefix length is constant */
	uint32		prefix_len = meta_prefix_len(atomic_load_explicit(&art__node(pos->path[level].node)->meta,
																  memory_order_relaxed));
	uint32		parent_depth = level > 0 ? depth - prefix_len - 1 : 0;
	uint32		i = t->count;

	if (slot_tag(art__load(pos->path[level].slot)) == TAG_INNER)
		return;
	while (i > 0 && t->node[i - 1].depth > parent_depth)
		i--;
	if (i > 0 && t->node[i - 1].depth == parent_depth)
	{
		t->node[i - 1].at = at;
		return;
	}
	if (t->count == TIDYING_MAX)
	{
		if (i == 0)
			return;
		i--;
		memmove(&t->node[0], &t->node[1], --t->count * sizeof(t->node[0]));
	}
	memmove(&t->node[i + 1], &t->node[i], (t->count++ - i) * sizeof(t->node[0]));
	t->node[i].at = at;
	t->node[i].depth = parent_depth;
}

/* take_away -- step 3. */
static void
take_away(ArtRoot *root, ArtMayGo may_go, void *arg, ArtEvicted *out)
{
	Tidying		tidying = {.count = 0};
	bool		enough = true;	/* memory to retire with */
	uint32		next;

	epoch_enter();
	for (uint32 at = 0; at < piece.count && enough; at = next)
	{
		const Approved *a = &piece.approved[at];
		Run			run = {.first = at, .count = 1, .may_go = may_go, .arg = arg, .out = out};
		ArtPos		pos;

		next = at + 1;
		tidy_left(root, &tidying, a, out);
		if (!mem_retire_ready())
			break;
		art__begin(&pos, root, approved_key(a), a->key_len);
		if (art__descend(&pos) != ART_OK || pos.leaf == NULL || !is_approved(pos.leaf, a))
			continue;
#ifdef ARTERY_ASSERT
		if (!art__twin_no_clearing)
			Assert(!pos.complete);
#endif
		if (pos.depth == 0)
		{
			remove_one(pos.slot, pos.seen_word, &run);
			continue;
		}
		find_run(&pos, at, &run);
		next = at + run.count;
		enough = remove_run(&pos, &run);
		tidy_later(&tidying, &pos, at, run.depth);
	}
	tidy_left(root, &tidying, NULL, out);
	epoch_leave();
}

/* art_evict -- as the file's head says.  'out' is added to. */
bool
art_evict(ArtRoot *root, uint8 *from, uint32 *from_len, uint32 max_steps, ArtMayGo may_go, void *arg, ArtEvicted *out)
{
	bool		end;

	Assert(!epoch_inside() && max_steps > 0);
	end = look(root, from, from_len, max_steps, may_go, arg, out);
	if (piece.count == 0)
		return end;
	art_filling_cancel(root);
#ifdef ARTERY_ASSERT
	if (!art__twin_no_grace)
#endif
		epoch_wait_grace();
	take_away(root, may_go, arg, out);
	return end;
}
