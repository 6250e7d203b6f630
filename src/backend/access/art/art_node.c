/*
 * art_node.c -- inner nodes: what is in them, freezing, copying.
 *
 * For: everything that knows how the four types of node lie in memory but needs
 * no tree around them.  art_internal.h has the layout and the rules; lookups use
 * art_search.h.
 *
 * Shared nodes are only read here, but for art__freeze; what is built is private
 * memory until a CAS elsewhere publishes it.  Runs in every process that touches
 * the overlay, inside an epoch.  A process that dies here leaves at most some
 * words of a node frozen: the next one who wants to write there goes on.
 */
#include "common/c.h"

#include "access/art/art_internal.h"
#include "access/art/art_search.h"

const uint16 art__capacity[4] = {4, 16, 48, 256};
const uint16 art__base_size[4] = {sizeof(ArtNode4), sizeof(ArtNode16), sizeof(ArtNode48), sizeof(ArtNode256)};

/* find_in_row -- N4 and N16. */
static _Atomic uint64 *
find_in_row(_Atomic uint64 *slot, uint32 found, uint32 first_free, uint32 count, uint64 *word,
			_Atomic uint64 **free_slot)
{
	if (found < count)
	{
		*word = art__load(&slot[found]);
		return &slot[found];
	}
	if (free_slot != NULL)
		*free_slot = first_free < count ? &slot[first_free] : NULL;
	return NULL;
}

_Atomic uint64 *
art__find(ArtNode *node, uint32 type, uint8 byte, uint64 *word, _Atomic uint64 **free_slot)
{
	_Atomic uint64 *slot = art__slots(node, type);
	uint32		first_free;
	uint32		i;

	switch (type)
	{
		case N4:
			i = search_scalar(slot, 4, slot_target(byte), &first_free);
			return find_in_row(slot, i, first_free, 4, word, free_slot);
		case N16:
			i = search16(slot, slot_target(byte), &first_free);
			return find_in_row(slot, i, first_free, 16, word, free_slot);
		case N48:
			/* relaxed: a slot number; the slot is what was published */
			i = atomic_load_explicit(&((ArtNode48 *) node)->index[byte], memory_order_relaxed);
			if (i == 0)
			{
				if (free_slot != NULL)
					*free_slot = NULL;
				return NULL;
			}
			slot += i - 1;
			break;
		default:
			slot += byte;
			break;
	}
	*word = art__load(slot);
	if (*word & SLOT_KEYED)
		return slot;
	if (free_slot != NULL)
		*free_slot = slot;
	return NULL;
}

uint32
art__count(ArtNode *node, uint32 type, uint32 limit, uint64 *only)
{
	_Atomic uint64 *slot = art__slots(node, type);
	uint32		count = 0;

	for (uint32 i = 0; i < art__capacity[type] && count < limit; i++)
	{
		uint64		word = art__load(&slot[i]);

		if (slot_tag(word) != TAG_NULL)
		{
			*only = word;
			count++;
		}
	}
	return count;
}

/*
 * next_in_row -- N4 and N16: the slots stand in no order.  The key byte stands uppermost in a word, so the least
 * word (of the inverse ones: the greatest) is the one; without jumps that nobody can predict.
 */
static int
next_in_row(_Atomic uint64 *slot, uint32 count, int from, bool backward, uint64 *word)
{
	const uint64 flip = backward ? UINT64_MAX : 0;
	const int	sign = backward ? -1 : 1;
	uint64		best = UINT64_MAX;

	for (uint32 i = 0; i < count; i++)
	{
		uint64		w = art__load(&slot[i]);
		/* both are looked at: a branch would be guessed wrongly every other time */
		uint32		fits = (uint32) (slot_tag(w) != TAG_NULL) & (uint32) (((int) slot_byte(w) - from) * sign >= 0);
		uint64		candidate = fits ? w ^ flip : UINT64_MAX;

		if ((w & SLOT_KEYED) == 0)
			break;
		best = candidate < best ? candidate : best;
	}
	if (best == UINT64_MAX)
		return -1;
	*word = best ^ flip;
	return slot_byte(*word);
}

int
art__next_child(ArtNode *node, uint32 type, int from, bool backward, uint64 *word)
{
	_Atomic uint64 *slot = art__slots(node, type);
	int			step = backward ? -1 : 1;

	if (type <= N16)
		return next_in_row(slot, art__capacity[type], from, backward, word);
	for (int b = from; b >= 0 && b <= 255; b += step)
	{
		uint32		i = (uint32) b;

		if (type == N48)
		{
			/* relaxed: a slot number; the slot is what was published */
			i = atomic_load_explicit(&((ArtNode48 *) node)->index[b], memory_order_relaxed);
			if (i-- == 0)
				continue;
		}
		*word = art__load(&slot[i]);
		if (slot_tag(*word) != TAG_NULL)
			return b;
	}
	return -1;
}

void
art__init(ArtNode *node, uint64 meta, const uint8 *prefix)
{
	uint32		type = meta_type(meta);

	memset((void *) node, 0, art__base_size[type]);
	atomic_store_explicit(&node->meta, meta, memory_order_relaxed);	/* relaxed: private until published */
	if (meta_prefix_len(meta) > 0)
		memcpy(art__prefix(node, type), prefix, meta_prefix_len(meta));
}

/* put -- child number n of a private node. */
static inline void
put(ArtNode *node, uint32 type, uint32 n, uint64 word)
{
	uint8		byte = slot_byte(word);

	Assert((word & SLOT_KEYED) && n < art__capacity[type]);
	if (type == N48)
	{
		/* relaxed, here and below: private until published */
		atomic_store_explicit(&((ArtNode48 *) node)->index[byte], (uint8) (n + 1), memory_order_relaxed);
		atomic_store_explicit(&((ArtNode48 *) node)->claims, n + 1, memory_order_relaxed);
	}
	atomic_store_explicit(&art__slots(node, type)[type == N256 ? byte : n], word, memory_order_relaxed);
}

void
art__add(ArtNode *node, uint64 word)
{
	/* relaxed: private */
	uint32		type = meta_type(atomic_load_explicit(&node->meta, memory_order_relaxed));
	uint64		unused;

	put(node, type, art__count(node, type, art__capacity[type], &unused), word);
}

static inline void
freeze_word(_Atomic uint64 *slot)
{
	/*
	 * acquire: what was published here is copied next; release for the others who
	 * see FROZEN and copy as well.  The bit is the same for all who set it.
	 */
	if ((atomic_load_explicit(slot, memory_order_relaxed) & SLOT_FROZEN) == 0)	/* relaxed: the RMW decides */
		atomic_fetch_or_explicit(slot, SLOT_FROZEN, memory_order_acq_rel);	/* acq_rel: see above */
}

/*
 * art__freeze -- from here on nothing in the node changes but FROZEN itself.
 *
 * Meta first: who raises the dirty LSN either did so before and it is copied, or
 * finds FROZEN and starts over.  N48's claims and index stay as they are: copies go
 * by slots, and a slot claimed later is frozen.
 */
void
art__freeze(ArtNode *node, uint64 meta)
{
	uint32		type = meta_type(meta);
	_Atomic uint64 *slot = art__slots(node, type);

	if ((meta & META_FROZEN) == 0)
		atomic_fetch_or_explicit(&node->meta, META_FROZEN, memory_order_acq_rel);	/* acq_rel: before the slots */
	freeze_word(&node->end);
	for (uint32 i = 0; i < art__capacity[type]; i++)
		freeze_word(&slot[i]);
}

void
art__copy_children(ArtNode *to, ArtNode *from, const ArtDrop *drop)
{
	/* relaxed: the type is constant; 'to' is private */
	uint32		to_type = meta_type(atomic_load_explicit(&to->meta, memory_order_relaxed));
	uint32		from_type = meta_type(atomic_load_explicit(&from->meta, memory_order_relaxed));
	_Atomic uint64 *slot = art__slots(from, from_type);
	uint32		n = 0;

	for (uint32 i = 0; i < art__capacity[from_type]; i++)
	{
		uint64		word = art__load(&slot[i]);

		Assert(word & SLOT_FROZEN);
		if (slot_tag(word) != TAG_NULL && (drop == NULL || !art__dropped(drop, i)))
			put(to, to_type, n++, word & ~SLOT_FROZEN);
	}
	if (drop == NULL || !drop->end)
		atomic_store_explicit(&to->end, art__load(&from->end) & ~SLOT_FROZEN, memory_order_relaxed);	/* relaxed: private */
}
