/*
 * leaf.c -- building, reading and giving back leaves; leaf.h has the byte map.
 *
 * A leaf is written here while it is private; once published nothing in it
 * changes but the flags SEEN and RECENT.  Values above LEAF_INLINE_MAX lie in
 * extents, named by an array of Off at the leaf's end; a copy of a leaf (leaf_copy,
 * leaf__copy_to) names the same extents, so that exactly one of the two gives them
 * back: the other is a shell, a block without what it names.
 *
 * A chain is owned by its head: a version that is reached by links alone lies in no
 * slot, and goes when the head is taken away or replaced by one that does not reach
 * it (who wins that CAS calls leaf_retire_chain).
 *
 * Any process that writes to the overlay; building and freeing at any time, the
 * rest inside an epoch.  A process that dies between building and publishing
 * leaves blocks that belong to nobody.
 */
#include "common/c.h"

#include "access/art/art_internal.h"
#include "storage/mem/heap.h"

static_assert(LEAF_EXTENT_BYTES == MEM_BLOCK_MAX, "an extent is the largest block");
static_assert(AlignUp(sizeof(Leaf) + 16 + KEY_MAX, 8) + 64 * MIB / LEAF_EXTENT_BYTES * sizeof(Off) <= MEM_BLOCK_MAX,
			  "the array of extents of the largest value fits the leaf's block");

_Thread_local uint64 leaf_followers_retired;

static uint32
extent_count(uint16 flags, uint32 value_len)
{
	return (flags & LEAF_EXTENTS) ? (uint32) ((value_len + LEAF_EXTENT_BYTES - 1) / LEAF_EXTENT_BYTES) : 0;
}

/* extents_offset -- from the leaf's start to its array of extents. */
static size_t
extents_offset(uint16 flags, uint16 key_len)
{
	return AlignUp(leaf_key_offset(flags) + key_len, 8);
}

static size_t
block_size(uint16 flags, uint16 key_len, uint32 value_len)
{
	if (flags & LEAF_EXTENTS)
		return extents_offset(flags, key_len) + extent_count(flags, value_len) * sizeof(Off);
	return leaf_key_offset(flags) + key_len + value_len;
}

static const Off *
extents(const Leaf *l)
{
	return (const Off *) ((const uint8 *) l + extents_offset(leaf_flags(l), l->key_len));
}

static size_t
extent_size(uint32 value_len, uint32 index)
{
	return Min(LEAF_EXTENT_BYTES, value_len - index * LEAF_EXTENT_BYTES);
}

size_t
leaf_size(const Leaf *l)
{
	return block_size(leaf_flags(l), l->key_len, l->value_len);
}

uint32
leaf_extent_count(const Leaf *l)
{
	return extent_count(leaf_flags(l), l->value_len);
}

uint64
leaf_bytes(const Leaf *l)
{
	uint64		bytes = mem_class_size(leaf_size(l));

	for (uint32 i = 0; i < leaf_extent_count(l); i++)
		bytes += mem_class_size(extent_size(l->value_len, i));
	return bytes;
}

/* leaf_value_part -- as in leaf.h; offset < value_len. */
const uint8 *
leaf_value_part(const Leaf *l, uint64 offset, size_t *len)
{
	uint32		index;
	size_t		within;

	Assert(offset < l->value_len);
	if ((leaf_flags(l) & LEAF_EXTENTS) == 0)
	{
		*len = l->value_len - offset;
		return leaf_inline_value(l) + offset;
	}
	index = (uint32) (offset / LEAF_EXTENT_BYTES);
	within = offset % LEAF_EXTENT_BYTES;
	*len = extent_size(l->value_len, index) - within;
	return (const uint8 *) seg_ptr(extents(l)[index]) + within;
}

void
leaf_copy_value(const Leaf *l, uint64 offset, size_t len, uint8 *to)
{
	Assert(offset + len <= l->value_len);
	while (len > 0)
	{
		size_t		part;
		const uint8 *from = leaf_value_part(l, offset, &part);

		part = Min(part, len);
		memcpy(to, from, part);
		to += part;
		offset += part;
		len -= part;
	}
}

/* take -- a tombstone may use the reserve: deleting, which gives memory back, must be possible when memory is full. */
static Off
take(size_t size, uint16 flags)
{
	return (flags & LEAF_TOMBSTONE) ? mem_alloc_reserve(size) : mem_alloc(size);
}

/* free_extents -- the first 'count' ones. */
static void
free_extents(const Off *extent, uint32 count, uint32 value_len)
{
	for (uint32 i = 0; i < count; i++)
		mem_free(extent[i], extent_size(value_len, i));
}

/* copy_inline -- the parts, one after the other. */
static void
copy_inline(uint8 *to, const BytePart *parts, int part_count)
{
	for (int i = 0; i < part_count; i++)
	{
		if (parts[i].len > 0)
			memcpy(to, parts[i].data, parts[i].len);
		to += parts[i].len;
	}
}

/* fill_extents -- takes the blocks and copies the parts into them; false: no memory, none is kept. */
static bool
fill_extents(Off *extent, uint32 value_len, const BytePart *parts)
{
	size_t		done = 0;		/* of parts[0] */

	for (uint32 i = 0; i < extent_count(LEAF_EXTENTS, value_len); i++)
	{
		extent[i] = mem_alloc(extent_size(value_len, i));
		if (extent[i] == MEM_NONE)
		{
			free_extents(extent, i, value_len);
			return false;
		}
	}
	for (uint32 i = 0; i < extent_count(LEAF_EXTENTS, value_len); i++)
	{
		size_t		left = extent_size(value_len, i);
		uint8	   *to = seg_ptr(extent[i]);

		while (left > 0)
		{
			size_t		n = Min(left, parts->len - done);

			if (n > 0)
				memcpy(to, (const uint8 *) parts->data + done, n);
			to += n;
			left -= n;
			done += n;
			if (done == parts->len)
			{
				parts++;
				done = 0;
			}
		}
	}
	return true;
}

Off
leaf_build(const void *key, uint16 key_len, const BytePart *parts, int part_count, uint16 flags, uint64 expiry)
{
	uint64		value_len = 0;
	uint64	   *word;
	uint8	   *at;
	Leaf	   *l;
	Off			off;

	for (int i = 0; i < part_count; i++)
		value_len += parts[i].len;
	Assert(key_len <= KEY_MAX && value_len <= 64 * MIB);
	if (value_len > LEAF_INLINE_MAX)
		flags |= LEAF_EXTENTS;
	off = take(block_size(flags, key_len, (uint32) value_len), flags);
	if (off == MEM_NONE)
		return MEM_NONE;
	l = seg_ptr(off);
	l->lsn = LSN_NONE;
	l->value_len = (uint32) value_len;
	l->key_len = key_len;
	atomic_store_explicit(&l->flags, flags, memory_order_relaxed);	/* relaxed: private until published */
	word = (uint64 *) (l + 1);
	if (flags & LEAF_HAS_EXPIRY)
		*word++ = expiry;
	if (flags & LEAF_HAS_LINK)
		*word++ = 0;
	if (flags & LEAF_UNKNOWN)
		*word++ = LSN_NONE;
	at = (uint8 *) word;
	memcpy(at, key, key_len);
	at += key_len;
	if ((flags & LEAF_EXTENTS) == 0)
		copy_inline(at, parts, part_count);
	else
	{
		memset(at, 0, AlignUp((uintptr_t) at, 8) - (uintptr_t) at);
		if (!fill_extents((Off *) AlignUp((uintptr_t) at, 8), (uint32) value_len, parts))
		{
			mem_free(off, block_size(flags, key_len, (uint32) value_len));
			return MEM_NONE;
		}
	}
	return off;
}

void
leaf_free(Off leaf)
{
	Leaf	   *l = seg_ptr(leaf);

	if (leaf_extent_count(l) > 0)
		free_extents(extents(l), leaf_extent_count(l), l->value_len);
	mem_free(leaf, leaf_size(l));
}

void
leaf_retire(Off leaf)
{
	Leaf	   *l = seg_ptr(leaf);
	uint32		count = leaf_extent_count(l);

	if (count > 0)
		mem_retire_parts(leaf, leaf_size(l), (uint32) extents_offset(leaf_flags(l), l->key_len), count,
						 LEAF_EXTENT_BYTES, extent_size(l->value_len, count - 1));
	else
		mem_retire(leaf, leaf_size(l));
}

/* leaf_retire_chain -- the link is read before its leaf is given back; 'until' stays, and what it leads to. */
void
leaf_retire_chain(Off leaf, Off until)
{
	bool		first = true;

	while (leaf != 0 && leaf != until)
	{
		Off			next = leaf_link(seg_ptr(leaf));

		if (unlikely(!first))
			leaf_followers_retired += leaf_bytes(seg_ptr(leaf));
		leaf_retire(leaf);
		leaf = next;
		first = false;
	}
}

void
leaf_free_shell(Off leaf)
{
	mem_free(leaf, leaf_size(seg_ptr(leaf)));
}

void
leaf_retire_shell(Off leaf)
{
	mem_retire(leaf, leaf_size(seg_ptr(leaf)));
}

/* start_copy -- the header of another block for the same version; SEEN speaks of the block that it is set in alone. */
static Leaf *
start_copy(Off to, const Leaf *from, uint16 flags)
{
	Leaf	   *l = seg_ptr(to);

	l->lsn = from->lsn;
	l->value_len = from->value_len;
	l->key_len = from->key_len;
	atomic_store_explicit(&l->flags, flags & (uint16) ~LEAF_SEEN, memory_order_relaxed);	/* relaxed: private */
	return l;
}

/*
 * leaf_copy -- as in leaf.h.  Inside an epoch.  May use the reserve: it serves to give
 * memory back (a version that nobody needs any more hangs on the link).
 */
Off
leaf_copy(const Leaf *from, uint16 drop)
{
	uint16		flags = leaf_flags(from) & (uint16) ~drop;
	size_t		size = block_size(flags, from->key_len, from->value_len);
	Off			off = mem_alloc_reserve(size);
	Leaf	   *l;
	uint8	   *at;

	Assert((drop & ~(LEAF_HAS_LINK | LEAF_UNKNOWN)) == 0);
	if (off == MEM_NONE)
		return MEM_NONE;
	l = start_copy(off, from, flags);
	if (flags & LEAF_HAS_EXPIRY)
		((uint64 *) (l + 1))[0] = ((const uint64 *) (from + 1))[0];
	if (flags & LEAF_HAS_LINK)
		leaf_set_link(l, leaf_link(from));
	if (flags & LEAF_UNKNOWN)
		leaf_set_first(l, leaf_first(from));
	at = (uint8 *) l + leaf_key_offset(flags);
	memcpy(at, leaf_key(from), from->key_len);
	at += from->key_len;
	if ((flags & LEAF_EXTENTS) == 0)
		memcpy(at, leaf_inline_value(from), from->value_len);
	else
	{
		uint8	   *array = (uint8 *) l + extents_offset(flags, from->key_len);

		memset(at, 0, (size_t) (array - at));
		memcpy(array, extents(from), leaf_extent_count(from) * sizeof(Off));
	}
	return off;
}

/* leaf__copy_to -- the same version under another reference, in a block of leaf_size: all words, link and first among them. */
void
leaf__copy_to(Off to, const Leaf *from)
{
	Leaf	   *l = start_copy(to, from, leaf_flags(from));

	memcpy(l + 1, from + 1, leaf_size(from) - sizeof(Leaf));
}
