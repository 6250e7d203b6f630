/*
 * art_prefixes.c -- all keys that a key begins with, on one way down.
 *
 * For: the longest prefix.  A key that another key begins with ends at a node on the
 * way to it, in the end slot, or is the one leaf that the way ends at.  So one descent
 * meets all of them, shortest first; each node's prefix is compared, so that the
 * nodes passed are those of the key's own way, and their COMPLETE can be believed.
 *
 * What it returns was read one after the other.  Two descents in one epoch that meet
 * the same leaves have seen the tree as it was between them: a key that came in
 * the meantime has left a leaf at least, a tombstone, which nobody drops before the
 * epoch is left; a leaf that went is missing from the second.
 *
 * Any process, inside an epoch; acquire loads only, writes nothing; may die anywhere.
 */
#include "common/c.h"

#include "access/art/art_internal.h"
#include "access/art/art_search.h"
#include "storage/ipc/epoch.h"

uint32
art_prefixes(ArtRoot *root, const void *key, uint32 key_len, Leaf **found, uint32 *complete_from)
{
	const uint8 *bytes = key;
	bool		complete = art__root_complete(root);
	uint64		word = art__load(&root->slot);
	uint32		depth = 0;
	uint32		count = 0;

	Assert(epoch_inside());
	*complete_from = complete ? 0 : UINT32_MAX;
	while (slot_tag(word) == TAG_INNER)
	{
		ArtNode    *node = art__node(slot_ref(word));
		uint64		meta = atomic_load_explicit(&node->meta, memory_order_acquire);	/* acquire [art-complete]: before the slots */
		uint32		type = meta_type(meta);
		uint32		prefix_len = meta_prefix_len(meta);
		uint64		end;

		__builtin_prefetch((char *) node + CACHE_LINE);
		if ((meta & META_COMPLETE) != 0)
			*complete_from = Min(*complete_from, depth);
		if (depth + prefix_len > key_len || memcmp(art__prefix(node, type), bytes + depth, prefix_len) != 0)
			return count;
		depth += prefix_len;
		end = art__load(&node->end);
		if (slot_tag(end) == TAG_LEAF)
			found[count++] = seg_ptr(slot_ref(end));
		if (depth == key_len)
			return count;
		word = art__child(node, type, bytes[depth++]);
	}
	if (slot_tag(word) == TAG_LEAF)
	{
		Leaf	   *leaf = seg_ptr(slot_ref(word));

		if (leaf->key_len <= key_len && memcmp(leaf_key(leaf), bytes, leaf->key_len) == 0)
			found[count++] = leaf;
	}
	return count;
}
