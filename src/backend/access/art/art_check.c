/*
 * art_check.c -- is the overlay what it says it is?
 *
 * For: tests, and whoever has the tree to himself.  Walks everything and compares
 * each node and leaf with the rules of art_internal.h: order of slots, key bytes,
 * prefixes against the keys of the leaves, index of N48, dirty LSNs, unused bits.
 * Counts on the way.  (COMPLETE cannot be checked without the base.)  Reads only; names the first thing that is wrong.
 *
 * The tree does not change meanwhile; one process, inside an epoch.
 */
#include "common/c.h"

#include <stdarg.h>

#include "access/art/art_internal.h"
#include "storage/mem/heap.h"

/* CheckFrame -- one node of the way down */
typedef struct CheckFrame
{
	ArtNode    *node;
	uint32		depth;			/* bytes of the path above the node's children */
	int			next;			/* -1 the end slot, then slot numbers */
	uint64		dirty;			/* the least dirty LSN of this node and those above it, in units */
} CheckFrame;

typedef struct Check
{
	ArtStats   *stats;
	char	   *err;
	size_t		err_size;
	uint32		depth;
	CheckFrame	frame[ART_DEPTH_MAX];
	uint8		way[KEY_MAX + 1];
} Check;

static _Thread_local Check check;

static bool attribute_printf(1, 2)
wrong(const char *fmt, ...)
{
	va_list		args;

	va_start(args, fmt);
	vsnprintf(check.err, check.err_size, fmt, args);
	va_end(args);
	return false;
}

/* check_leaf -- its key is the way that led here and goes on as it likes. */
static bool
check_leaf(Off off, uint32 depth, bool ends, uint64 dirty)
{
	Leaf	   *l = seg_ptr(off);

	if (l->key_len > KEY_MAX || l->key_len < depth)
		return wrong("leaf %llx: key of %u bytes below %u bytes of path", (unsigned long long) off, l->key_len, depth);
	if (memcmp(leaf_key(l), check.way, depth) != 0)
		return wrong("leaf %llx: key is not the path that leads to it", (unsigned long long) off);
	if (ends && l->key_len != depth)
		return wrong("leaf %llx: in an end slot, but its key goes on", (unsigned long long) off);
	if (art__dirty_unit(l->lsn) > dirty)
		return wrong("leaf %llx: lsn %llu above a dirty LSN of %llu MiB", (unsigned long long) off,
					 (unsigned long long) l->lsn, (unsigned long long) dirty);
	check.stats->leaves++;
	if (leaf_flags(l) & LEAF_TOMBSTONE)
		check.stats->tombstones++;
	check.stats->leaf_bytes += leaf_bytes(l);
	return true;
}

/* check_slots -- key bytes of a node, each at most once and where it belongs. */
static bool
check_slots(ArtNode *node, uint32 type, Off off)
{
	_Atomic uint64 *slot = art__slots(node, type);
	bool		seen[256] = {false};
	bool		free_seen = false;
	uint64		end = art__load(&node->end);

	if (slot_tag(end) > TAG_LEAF || (end & SLOT_KEYED))
		return wrong("node %llx: end slot %016llx", (unsigned long long) off, (unsigned long long) end);
	for (uint32 i = 0; i < art__capacity[type]; i++)
	{
		uint64		word = art__load(&slot[i]);
		uint8		byte = slot_byte(word);

		if (slot_tag(word) > TAG_INNER || ((word & SLOT_KEYED) == 0 && (word & ~SLOT_FROZEN) != 0))
			return wrong("node %llx: slot %u is %016llx", (unsigned long long) off, i, (unsigned long long) word);
		if ((word & SLOT_KEYED) == 0)
		{
			free_seen = true;
			continue;
		}
		if (seen[byte])
			return wrong("node %llx: byte %02x twice", (unsigned long long) off, byte);
		seen[byte] = true;
		if (type <= N16 && free_seen)
			return wrong("node %llx: slot %u filled after a free one", (unsigned long long) off, i);
		if (type == N256 && byte != i)
			return wrong("node %llx: byte %02x in slot %u", (unsigned long long) off, byte, i);
		/* relaxed: quiescent */
		if (type == N48 && atomic_load_explicit(&((ArtNode48 *) node)->index[byte], memory_order_relaxed) != i + 1)
			return wrong("node %llx: byte %02x in slot %u, index says otherwise", (unsigned long long) off, byte, i);
	}
	return true;
}

/* check_enter -- go down into a node; *way goes on by its prefix. */
static bool
check_enter(Off off, uint32 depth, uint64 dirty_above)
{
	ArtNode    *node = art__node(off);
	uint64		meta = atomic_load_explicit(&node->meta, memory_order_relaxed);	/* relaxed: quiescent */
	uint32		type = meta_type(meta);
	uint32		prefix_len = meta_prefix_len(meta);
	CheckFrame *f;

	if (meta & META_UNUSED)
		return wrong("node %llx: meta %016llx", (unsigned long long) off, (unsigned long long) meta);
	if (depth + prefix_len > KEY_MAX)
		return wrong("node %llx: %u bytes of path and %u of prefix", (unsigned long long) off, depth, prefix_len);
	if (check.depth == ART_DEPTH_MAX)
		return wrong("node %llx: deeper than a key is long", (unsigned long long) off);
	if (!check_slots(node, type, off))
		return false;
	memcpy(check.way + depth, art__prefix(node, type), prefix_len);
	f = &check.frame[check.depth++];
	f->node = node;
	f->depth = depth + prefix_len;
	f->next = -1;
	f->dirty = (meta & META_ALWAYS) ? dirty_above : Min(dirty_above, meta_dirty(meta));
	check.stats->nodes[type]++;
	check.stats->node_bytes += mem_class_size(art__node_size(meta));
	check.stats->depth_max = Max(check.stats->depth_max, check.depth);
	return true;
}

static bool
check_step(CheckFrame *f)
{
	uint32		type = meta_type(atomic_load_explicit(&f->node->meta, memory_order_relaxed));	/* relaxed: quiescent */
	uint64		word;
	int			at = f->next++;

	if (at < 0)
	{
		word = art__load(&f->node->end);
		return slot_tag(word) == TAG_NULL || check_leaf(slot_ref(word), f->depth, true, f->dirty);
	}
	if (at >= art__capacity[type])
	{
		check.depth--;
		return true;
	}
	word = art__load(&art__slots(f->node, type)[at]);
	if (slot_tag(word) == TAG_NULL)
		return true;
	if (f->depth == KEY_MAX)
		return wrong("a child below %u bytes of path", f->depth);
	check.way[f->depth] = slot_byte(word);
	if (slot_tag(word) == TAG_LEAF)
		return check_leaf(slot_ref(word), f->depth + 1, false, f->dirty);
	return check_enter(slot_ref(word), f->depth + 1, f->dirty);
}

bool
art_check(ArtRoot *root, ArtStats *stats, char *err, size_t err_size)
{
	uint64		word = art__load(&root->slot);

	memset(stats, 0, sizeof(*stats));
	check.stats = stats;
	check.err = err;
	check.err_size = err_size;
	check.depth = 0;
	if (err_size > 0)
		err[0] = '\0';
	/* relaxed: quiescent */
	if (atomic_load_explicit(&root->flags, memory_order_relaxed) & ~(uint64) (ART_ROOT_COMPLETE | ART_ROOT_FILLING))
		return wrong("root flags %016llx", (unsigned long long) atomic_load_explicit(&root->flags, memory_order_relaxed));
	if (word & (SLOT_FROZEN | SLOT_KEYED))
		return wrong("root slot %016llx", (unsigned long long) word);
	if (slot_tag(word) == TAG_LEAF)
		return check_leaf(slot_ref(word), 0, false, UINT64_MAX);
	if (slot_tag(word) == TAG_INNER && !check_enter(slot_ref(word), 0, UINT64_MAX))
		return false;
	while (check.depth > 0)
		if (!check_step(&check.frame[check.depth - 1]))
			return false;
	return true;
}
