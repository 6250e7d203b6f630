/*
 * art_search.h -- finding a key byte in an inner node; for access/art alone.
 *
 * Inline, because lookups live on it.  N16 by SSE2 where there is: the top nine
 * bits (key byte and KEYED) of all 16 words at once; assert builds compare with
 * the scalar twin, which is all that there is elsewhere and under ThreadSanitizer.
 */
#ifndef ARTERY_ACCESS_ART_ART_SEARCH_H
#define ARTERY_ACCESS_ART_ART_SEARCH_H

#include "access/art/art_internal.h"

#ifdef ART_SIMD
#include <emmintrin.h>
#endif

/* slot_target -- the nine bits that a word keyed with 'byte' has on top. */
static inline uint32
slot_target(uint8 byte)
{
	return (uint32) byte << 1 | 1;
}

/*
 * search_scalar -- index of the slot keyed with the target, or count; *first_free:
 * the first slot without a key, if the target was not found before it, else count.
 */
static inline uint32
search_scalar(_Atomic uint64 *slot, uint32 count, uint32 target, uint32 *first_free)
{
	for (uint32 i = 0; i < count; i++)
	{
		/* relaxed: key bits never change once there; the word is loaded again, by acquire, for what it refers to */
		uint32		bits = (uint32) (atomic_load_explicit(&slot[i], memory_order_relaxed) >> SLOT_KEY_SHIFT);

		if (bits == target)
		{
			*first_free = count;
			return i;
		}
		if (bits == 0)
		{
			*first_free = i;
			return count;		/* slots fill in order */
		}
	}
	*first_free = count;
	return count;
}

#ifdef ART_SIMD
/* gather8 -- the top nine bits of eight words as eight 16-bit lanes. */
static inline __m128i
gather8(const _Atomic uint64 *slot)
{
	const __m128i *from = (const __m128i *) slot;
	/* each word is 8-byte aligned, so that no lane is read in two pieces */
	__m128		a = _mm_castsi128_ps(_mm_srli_epi64(_mm_loadu_si128(from), SLOT_KEY_SHIFT));
	__m128		b = _mm_castsi128_ps(_mm_srli_epi64(_mm_loadu_si128(from + 1), SLOT_KEY_SHIFT));
	__m128		c = _mm_castsi128_ps(_mm_srli_epi64(_mm_loadu_si128(from + 2), SLOT_KEY_SHIFT));
	__m128		d = _mm_castsi128_ps(_mm_srli_epi64(_mm_loadu_si128(from + 3), SLOT_KEY_SHIFT));
	__m128i		ab = _mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)));
	__m128i		cd = _mm_castps_si128(_mm_shuffle_ps(c, d, _MM_SHUFFLE(2, 0, 2, 0)));

	return _mm_packs_epi32(ab, cd);
}

/*
 * search16_simd -- as search_scalar with count 16.
 *
 * The loads are not atomic operations of the language: they are whole words on
 * every x86, stand behind the acquire load that led here, and say only where to
 * look.  A key that is being added meanwhile may be missed, as by the twin.
 */
static inline uint32
search16_simd(const _Atomic uint64 *slot, uint32 target, uint32 *first_free)
{
	__m128i		low = gather8(slot);
	__m128i		high = gather8(slot + 8);
	__m128i		wanted = _mm_set1_epi16((short) target);
	__m128i		same = _mm_packs_epi16(_mm_cmpeq_epi16(low, wanted), _mm_cmpeq_epi16(high, wanted));
	uint32		equal = (uint32) _mm_movemask_epi8(same);
	uint32		empty;

	if (equal != 0)
	{
		*first_free = 16;
		return (uint32) __builtin_ctz(equal);
	}
	wanted = _mm_setzero_si128();
	same = _mm_packs_epi16(_mm_cmpeq_epi16(low, wanted), _mm_cmpeq_epi16(high, wanted));
	empty = (uint32) _mm_movemask_epi8(same);
	*first_free = empty != 0 ? (uint32) __builtin_ctz(empty) : 16;
	return 16;
}
#endif

static inline uint32
search16(_Atomic uint64 *slot, uint32 target, uint32 *first_free)
{
#ifdef ART_SIMD
#ifdef ARTERY_ASSERT
	uint32		free_before;
	uint32		before = search_scalar(slot, 16, target, &free_before);
	uint32		found;

	/* from memory, not from what the twin has just read */
	atomic_signal_fence(memory_order_seq_cst);	/* seq_cst, for the compiler alone */
	found = search16_simd(slot, target, first_free);
	atomic_signal_fence(memory_order_seq_cst);	/* seq_cst, for the compiler alone */
	if (before < 16)
		Assert(found == before);	/* a key stays where it is */
	else
	{
		uint32		free_after;
		uint32		after = search_scalar(slot, 16, target, &free_after);

		/* others may have added keys between the three looks, in order, and never take one away */
		if (found < 16)
			Assert(after == found);
		else
			Assert(free_before <= *first_free && (after < 16 || *first_free <= free_after));
	}
	return found;
#else
	return search16_simd(slot, target, first_free);
#endif
#else
	return search_scalar(slot, 16, target, first_free);
#endif
}

/* art__child -- the word keyed with 'byte', without FROZEN; 0: not there. */
static inline uint64
art__child(ArtNode *node, uint32 type, uint8 byte)
{
	uint32		first_free;
	uint32		i;
	uint64		word;

	switch (type)
	{
		case N4:
			/* unrolled by the compiler; most nodes are of this type */
			for (i = 0; i < 4; i++)
			{
				word = art__load(&((ArtNode4 *) node)->slot[i]);
				if ((uint32) (word >> SLOT_KEY_SHIFT) == slot_target(byte))
					return word & ~SLOT_FROZEN;
			}
			return 0;
		case N16:
			i = search16(((ArtNode16 *) node)->slot, slot_target(byte), &first_free);
			return i < 16 ? art__load(&((ArtNode16 *) node)->slot[i]) & ~SLOT_FROZEN : 0;
		case N48:
			/* relaxed: a slot number; the slot is what was published */
			i = atomic_load_explicit(&((ArtNode48 *) node)->index[byte], memory_order_relaxed);
			if (i == 0)
				return 0;
			word = art__load(&((ArtNode48 *) node)->slot[i - 1]) & ~SLOT_FROZEN;
			return word;
		default:
			return art__load(&((ArtNode256 *) node)->slot[byte]) & ~SLOT_FROZEN;
	}
}

#endif
