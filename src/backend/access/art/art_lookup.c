/*
 * art_lookup.c -- reading one key.
 *
 * For: GET and everything that only looks.  Wait-free: at most one step per byte
 * of the key, acquire loads only, nothing shared is written; FROZEN does not
 * matter to readers.  Prefixes are skipped, not compared: the leaf holds the whole
 * key and is compared once, which saves a cache line per node.
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

/* child_on_the_way -- the word below 'node' for this key, and how far the key is used up; 0: the key ends or leaves here. */
static inline uint64
child_on_the_way(ArtNode *node, const uint8 *key, uint32 key_len, uint32 *depth)
{
	/* relaxed: type and prefix length are constant and came with the reference */
	uint64		meta = atomic_load_explicit(&node->meta, memory_order_relaxed);

	*depth += meta_prefix_len(meta);
	if (unlikely(*depth >= key_len))
		return *depth == key_len ? art__load(&node->end) & ~SLOT_FROZEN : 0;
	return art__child(node, meta_type(meta), key[(*depth)++]);
}

Leaf *
art_lookup(ArtRoot *root, const void *key, uint32 key_len)
{
	uint64		word = art__load(&root->slot);
	uint32		depth = 0;
	Leaf	   *leaf;

	Assert(epoch_inside());
	while (slot_tag(word) == TAG_INNER)
	{
		ArtNode    *node = art__node(slot_ref(word));

		__builtin_prefetch((char *) node + CACHE_LINE);
		word = child_on_the_way(node, key, key_len, &depth);
	}
	if (slot_tag(word) != TAG_LEAF)
		return NULL;
	leaf = seg_ptr(slot_ref(word));
	__builtin_prefetch((char *) leaf + CACHE_LINE);
	return leaf__is(leaf, key, key_len) ? leaf : NULL;
}

static inline void
prefetch_word(uint64 word)
{
	if (slot_tag(word) != TAG_NULL)
	{
		__builtin_prefetch(seg_ptr(slot_ref(word)));
		__builtin_prefetch((char *) seg_ptr(slot_ref(word)) + CACHE_LINE);
	}
}

void
art_prefetch(ArtRoot *root, const void *key, uint32 key_len)
{
	uint64		word = art__load(&root->slot);
	uint32		depth = 0;

	for (int level = 0; level < PREFETCH_LEVELS && slot_tag(word) == TAG_INNER; level++)
		word = child_on_the_way(art__node(slot_ref(word)), key, key_len, &depth);
	prefetch_word(word);
}

/* prefetch_group -- all keys go down one level per round, so that their misses overlap. */
static void
prefetch_group(ArtRoot *root, const BytePart *keys, int count)
{
	uint64		top = art__load(&root->slot);
	uint64		word[PREFETCH_GROUP];
	uint32		depth[PREFETCH_GROUP];
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
			word[i] = child_on_the_way(art__node(slot_ref(word[i])), keys[i].data, (uint32) keys[i].len, &depth[i]);
			prefetch_word(word[i]);
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
