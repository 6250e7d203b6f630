/*
 * art_lookup.c -- reading one key.
 *
 * For: GET and everything that only looks.  Wait-free: at most one step per byte
 * of the key, acquire loads only, nothing shared is written; FROZEN does not
 * matter to readers.  Prefixes are skipped, not compared: the leaf holds the whole
 * key and is compared once, which saves a cache line per node.
 *
 * Where COMPLETE is asked for as well, it is read on the way, out of words that the
 * descent loads anyway: in the root and in each node BEFORE the slot that leads on
 * (art_internal.h says why that order, and why nothing else is needed).
 *
 * Any process, inside an epoch; may die anywhere.
 */
#include "common/c.h"

#include "access/art/art_internal.h"
#include "access/art/art_search.h"
#include "storage/ipc/epoch.h"

#define PREFETCH_LEVELS 3		/* one key: nodes that are probably in the cache */
#define PREFETCH_LEVELS_MAX 64	/* many keys: paths longer than this have waited long enough */
#define PREFETCH_GROUP 16		/* keys at a time: about as many misses as a core can have open */

/*
 * child_on_the_way -- the word below 'node' for this key, and how far the key is
 * used up; 0: the key ends or leaves here.  What the node's meta says is OR'ed to
 * *said.
 */
static inline uint64
child_on_the_way(ArtNode *node, const uint8 *key, uint32 key_len, uint32 *depth, uint64 *said)
{
	/* acquire [art-complete]: COMPLETE, before the slot; type and prefix length are constant and came with the reference */
	uint64		meta = atomic_load_explicit(&node->meta, memory_order_acquire);

	*said |= meta;
	*depth += meta_prefix_len(meta);
	if (unlikely(*depth >= key_len))
		return *depth == key_len ? art__load(&node->end) & ~SLOT_FROZEN : 0;
	return art__child(node, meta_type(meta), key[(*depth)++]);
}

/* find_leaf -- art_lookup; *said: the metas of all nodes on the way, OR'ed. */
static inline Leaf *
find_leaf(ArtRoot *root, const uint8 *key, uint32 key_len, uint64 *said)
{
	uint64		word = art__load(&root->slot);
	uint32		depth = 0;
	Leaf	   *leaf;

	Assert(epoch_inside());
	while (slot_tag(word) == TAG_INNER)
	{
		ArtNode    *node = art__node(slot_ref(word));

		__builtin_prefetch((char *) node + CACHE_LINE);
		word = child_on_the_way(node, key, key_len, &depth, said);
	}
	if (slot_tag(word) != TAG_LEAF)
		return NULL;
	leaf = seg_ptr(slot_ref(word));
	__builtin_prefetch((char *) leaf + CACHE_LINE);
	return leaf__is(leaf, key, key_len) ? leaf : NULL;
}

Leaf *
art_lookup(ArtRoot *root, const void *key, uint32 key_len)
{
	uint64		said = 0;

	return find_leaf(root, key, key_len, &said);
}

/*
 * step_compared -- one node further on the way to a key (or to a prefix, which ends
 * above a node's children): compares the node's prefix.  *complete is set if the
 * node says so, before the slot is read.  0: the way ends here.
 */
static uint64
step_compared(uint64 word, const uint8 *key, uint32 key_len, bool to_prefix, uint32 *depth, bool *complete)
{
	ArtNode    *node = art__node(slot_ref(word));
	uint64		meta = atomic_load_explicit(&node->meta, memory_order_acquire);	/* acquire [art-complete] */
	uint32		type = meta_type(meta);
	uint32		compare = Min(meta_prefix_len(meta), key_len - *depth);

	if (meta & META_COMPLETE)
		*complete = true;
	if (art__common(art__prefix(node, type), key + *depth, compare) < meta_prefix_len(meta))
		return 0;
	*depth += compare;
	if (*depth == key_len)
		return to_prefix ? 0 : art__load(&node->end) & ~SLOT_FROZEN;
	return art__child(node, type, key[(*depth)++]);
}

/*
 * lookup_compared -- the lookup of a key that nobody has found, among nodes that are
 * COMPLETE: which of them speak for this key can only be told by their prefixes.
 */
static Leaf *
lookup_compared(ArtRoot *root, const uint8 *key, uint32 key_len, bool *complete)
{
	uint64		word;
	uint32		depth = 0;

	*complete = art__root_complete(root);
	word = art__load(&root->slot);
	while (slot_tag(word) == TAG_INNER)
		word = step_compared(word, key, key_len, false, &depth, complete);
	if (slot_tag(word) != TAG_LEAF || !leaf__is(seg_ptr(slot_ref(word)), key, key_len))
		return NULL;
	return seg_ptr(slot_ref(word));
}

/*
 * art_lookup_complete -- a way whose prefixes were skipped may be another key's, and
 * its COMPLETE another's, too.  It counts only where there is none, or the root has
 * it; a miss below any other is looked up once more, comparing.
 */
Leaf *
art_lookup_complete(ArtRoot *root, const void *key, uint32 key_len, bool *complete)
{
	uint64		said = 0;
	Leaf	   *leaf;

	*complete = art__root_complete(root);
	leaf = find_leaf(root, key, key_len, &said);
	if (leaf == NULL && unlikely((said & META_COMPLETE) != 0 && !*complete))
		leaf = lookup_compared(root, key, key_len, complete);
	return leaf;
}

/*
 * art_prefix_complete -- the keys with this prefix are among those of every slot on
 * the way to it, the last one being the slot whose keys all have it; a node whose
 * own prefix leaves the way speaks for its slot all the same.
 */
bool
art_prefix_complete(ArtRoot *root, const void *prefix, uint32 prefix_len)
{
	bool		complete = art__root_complete(root);
	uint64		word = art__load(&root->slot);
	uint32		depth = 0;

	Assert(epoch_inside());
	while (!complete && slot_tag(word) == TAG_INNER)
		word = step_compared(word, prefix, prefix_len, true, &depth, &complete);
	return complete;
}

void
art_mark_recent(Leaf *leaf)
{
	/* relaxed, both: a hint for the clock; looked at first, so that a hot leaf's line stays shared */
	if ((leaf_flags(leaf) & LEAF_RECENT) == 0)
		atomic_fetch_or_explicit(&leaf->flags, LEAF_RECENT, memory_order_relaxed);
}

void
art_prefetch(ArtRoot *root, const void *key, uint32 key_len)
{
	uint64		word = art__load(&root->slot);
	uint32		depth = 0;
	uint64		said = 0;

	for (int level = 0; level < PREFETCH_LEVELS && slot_tag(word) == TAG_INNER; level++)
		word = child_on_the_way(art__node(slot_ref(word)), key, key_len, &depth, &said);
	art__prefetch_word(word);
}

/* prefetch_group -- all keys go down one level per round, so that their misses overlap. */
static void
prefetch_group(ArtRoot *root, const BytePart *keys, int count)
{
	uint64		top = art__load(&root->slot);
	uint64		word[PREFETCH_GROUP];
	uint32		depth[PREFETCH_GROUP];
	uint64		said = 0;
	bool		more = slot_tag(top) == TAG_INNER;

	for (int i = 0; i < count; i++)
	{
		word[i] = top;
		depth[i] = 0;
	}
	for (int level = 0; more && level < PREFETCH_LEVELS_MAX; level++)
	{
		more = false;
		for (int i = 0; i < count; i++)
		{
			if (slot_tag(word[i]) != TAG_INNER)
				continue;
			word[i] = child_on_the_way(art__node(slot_ref(word[i])), keys[i].data, (uint32) keys[i].len, &depth[i],
									   &said);
			art__prefetch_word(word[i]);
			more = true;
		}
	}
}

void
art_prefetch_batch(ArtRoot *root, const BytePart *keys, int count)
{
	Assert(epoch_inside());
	for (int i = 0; i < count; i += PREFETCH_GROUP)
		prefetch_group(root, keys + i, Min(count - i, PREFETCH_GROUP));
}
