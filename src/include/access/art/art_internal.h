/*
 * art_internal.h -- slot words and inner nodes of the overlay; for access/art alone.
 *
 * SLOT WORD, 64 bits, atomic
 *
 *   63..56  key byte
 *   55      KEYED    the word belongs to this key byte, for the life of its node
 *   54      FROZEN   never written again
 *   53..51  tag      0 null, 1 leaf, 2 inner node; others are not in use
 *   50..40  0 (in the intent of a process slot: where a prefix is split, art_reshape.c)
 *   39..0   reference: Off / 8
 *
 *   Word 0 has no key yet.  KEYED with tag 0 is a null: here was something.  The
 *   root slot and the end slots have tag and reference only; the root slot is never
 *   frozen.  No earlier word other than null ever comes back to a slot: a reference
 *   is not reused while anyone may remember it (epochs), and what would put an old
 *   leaf back installs a fresh copy of it.
 *
 * INNER NODE
 *
 *   0   meta    atomic: 63..26 dirty LSN in units of 1 MiB, rounded up
 *                       18 ALWAYS, 17 0, 16 COMPLETE, 15 FROZEN
 *                       14..13 type, 12..0 prefix_len: constant
 *   8   end     slot of the key that ends at this node, after the prefix
 *   16  N4      4 slots
 *       N16     16 slots
 *       N48     claims (u64), index[256], 48 slots
 *       N256    256 slots
 *   then prefix_len bytes of prefix: constant, all of them, whatever their number
 *
 *   N4, N16: slots fill in order, so whoever has seen slots 0..i-1 keyed with other
 *   bytes and slot i without key knows that his byte is nowhere; one CAS on slot i
 *   adds it.
 *   N48: index[b] is slot number + 1, claimed by CAS from 0 after the number was
 *   drawn from 'claims'.  It publishes nothing: the CAS on the slot does.  Copying
 *   goes by slots, so that a claim without a leaf costs nothing but its number until
 *   the next copy.
 *   N256: slot b for byte b.
 *
 * CHANGING A NODE'S SHAPE (art_change.c)
 *
 *   1  take memory for the copy; announce, if a prefix is to be split, where
 *   2  OR FROZEN into meta, then into every slot: from here on it never changes
 *   3  make the copy, from meta and slots as read after 2
 *   4  CAS the slot that leads to the node (if that is frozen, help its node first)
 *   5  the winner retires the node; losers free their copies
 *   Anyone can do all of it, and whoever wants to write and meets a frozen word
 *   does.  In 1 to 3 nothing but FROZEN is visible to others.
 *
 * THINNING (art_evict.c): step 3 leaves out leaves that may go, after asking of each
 * under the freeze.  Helpers do not know which, and copy all of them; either result
 * is right, and one of the two CASes fails.  With nothing left the CAS of step 4
 * unlinks the node: everything in it is frozen, so nobody can have published there.
 *
 * COMPLETE
 *
 *   The way to a slot is the bytes from the root down to it, its own key byte among
 *   them; the way to a node is that to the slot which leads to it.  It never changes
 *   during the life of the node.  COMPLETE in a node says: every key of the base that
 *   begins with the node's way has a leaf in the overlay; also the keys that leave
 *   the path within the node's prefix.  In the root's flags: every key.
 *
 *   What keeps it true.  Writing and promoting only add leaves.  A new base root
 *   holds of these keys such as the old one held, and such as were written since:
 *   their leaves stay (lsn > evict_cut) until a grace period after the root was
 *   published.  A tombstone is dropped when the base lacks the key.  Taking a clean leaf
 *   away is what it must be cleared for.
 *
 *   Changes of shape forget, and never invent:
 *     copy, thinning       same way, same flag, as read after the freeze
 *     split of a prefix    both nodes take it: the upper one has the same way, the
 *                          keys of the lower one are some of them
 *     join                 the upper one's: the way is his; what only the lower one
 *                          knew is forgotten
 *     collapse, null       forgotten: no node is left to say it (those above may)
 *     split of a leaf      the new node has none: nobody has spoken of its way
 *
 *   Who reads it does so in the epoch of the lookup and BEFORE the slot that decides
 *   (acquire [art-complete]).  Before: else the key could come between the slot and the
 *   flag, filled in and then declared complete.  The same epoch: the evictor clears,
 *   waits one grace period, and only then takes away; so who has read the flag, in
 *   a live node or in one that was unlinked meanwhile, has read his slot before.  Only
 *   nodes on the key's own way count: who skips prefixes must compare before he
 *   believes a node's flag (art_lookup.c).
 *
 *   The evictor alone sets and clears it: sets the root's after filling, and a
 *   child's when its parent has it (the child's keys are some of the parent's); clears
 *   the ways to what it will take, from the root down, handing down first.  By CAS:
 *   on a frozen word that fails, and the copy, which has the flag, is met by the
 *   next descent.
 *
 *   Once a descent to key k has met no flag, there is none on the way to k until the
 *   evictor is done with k.  For a node on the way to k later on has its flag from a
 *   node on the way to k then (the table above: same way, or a shorter one), or from
 *   the evictor, who sets it below a node that has it, which is on the way to k, too.
 *
 *   FILLING, in the root's flags: what is filled in since counts only if nothing has
 *   been evicted since.  Evictions clear it; COMPLETE is set by CAS from it.
 */
#ifndef ARTERY_ACCESS_ART_ART_INTERNAL_H
#define ARTERY_ACCESS_ART_ART_INTERNAL_H

#include "access/art/art.h"
#include "common/c.h"
#include "storage/ipc/segment.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ART_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define ART_TSAN 1
#endif
#if defined(__SSE2__) && !defined(ART_TSAN)
#define ART_SIMD 1
#endif

/* ---- slot words ---- */

#define SLOT_BYTE_SHIFT 56
#define SLOT_KEYED (UINT64_C(1) << 55)
#define SLOT_KEY_SHIFT 55			/* above it: key byte and KEYED */
#define SLOT_FROZEN (UINT64_C(1) << 54)
#define SLOT_TAG_SHIFT 51
#define SLOT_SPARE_SHIFT 40
#define SLOT_SPARE_BITS 11
#define SLOT_SPARE_MASK ((UINT64_C(1) << SLOT_SPARE_BITS) - 1)
#define SLOT_REF_MASK ((UINT64_C(1) << 40) - 1)
static_assert(KEY_MAX + 1 < 1 << (2 * SLOT_SPARE_BITS), "a place in a prefix fits the spare bits of two words");

enum { TAG_NULL = 0, TAG_LEAF = 1, TAG_INNER = 2 };

static inline uint32
slot_tag(uint64 word)
{
	return (uint32) (word >> SLOT_TAG_SHIFT) & 7;
}

static inline Off
slot_ref(uint64 word)
{
	return (word & SLOT_REF_MASK) << 3;
}

static inline uint8
slot_byte(uint64 word)
{
	return (uint8) (word >> SLOT_BYTE_SHIFT);
}

static inline uint64
slot_key_bits(uint64 word)
{
	return word & ~(SLOT_KEYED - 1);
}

static inline uint64
slot_key_of(uint8 byte)
{
	return (uint64) byte << SLOT_BYTE_SHIFT | SLOT_KEYED;
}

static inline uint64
slot_word(uint64 key_bits, uint32 tag, Off ref)
{
	return key_bits | (uint64) tag << SLOT_TAG_SHIFT | ref >> 3;
}

/* art__load -- a slot word with everything that it refers to. */
static inline uint64
art__load(_Atomic uint64 *slot)
{
	return atomic_load_explicit(slot, memory_order_acquire);	/* acquire [art-publish] */
}

/* art__prefetch_word -- what will soon be looked at: the beginning of the node or leaf. */
static attribute_prefetch void
art__prefetch_word(uint64 word)
{
	if (slot_tag(word) != TAG_NULL)
	{
		__builtin_prefetch(seg_ptr(slot_ref(word)));
		__builtin_prefetch((char *) seg_ptr(slot_ref(word)) + CACHE_LINE);
	}
}

/* art__root_complete -- before the root slot is loaded. */
static inline bool
art__root_complete(ArtRoot *root)
{
	return (atomic_load_explicit(&root->flags, memory_order_acquire) & ART_ROOT_COMPLETE) != 0;	/* acquire [art-complete] */
}

/* ---- nodes ---- */

enum { N4, N16, N48, N256 };

#define META_PREFIX_MASK UINT64_C(0x1fff)
#define META_TYPE_SHIFT 13
#define META_FROZEN (UINT64_C(1) << 15)
#define META_COMPLETE (UINT64_C(1) << 16)
#define META_UNUSED (UINT64_C(0x3f80000) | UINT64_C(1) << 17)
#define META_ALWAYS (UINT64_C(1) << 18)
#define META_DIRTY_SHIFT 26
static_assert(KEY_MAX <= META_PREFIX_MASK, "a whole key fits a prefix");

typedef struct ArtNode
{
	_Atomic uint64 meta;
	_Atomic uint64 end;
} ArtNode;

typedef struct ArtNode4
{
	ArtNode		head;
	_Atomic uint64 slot[4];
	uint8		prefix[];
} ArtNode4;

typedef struct ArtNode16
{
	ArtNode		head;
	_Atomic uint64 slot[16];
	uint8		prefix[];
} ArtNode16;

typedef struct ArtNode48
{
	ArtNode		head;
	_Atomic uint64 claims;		/* slot numbers drawn; may pass 48 */
	_Atomic uint8 index[256];	/* slot number + 1; 0: none */
	_Atomic uint64 slot[48];
	uint8		prefix[];
} ArtNode48;

typedef struct ArtNode256
{
	ArtNode		head;
	_Atomic uint64 slot[256];
	uint8		prefix[];
} ArtNode256;

static_assert(sizeof(ArtNode4) == 48 && sizeof(ArtNode16) == 144 &&
			  sizeof(ArtNode48) == 664 && sizeof(ArtNode256) == 2064, "no hidden growth");

extern const uint16 art__capacity[4];	/* slots by type */
extern const uint16 art__base_size[4];	/* bytes by type, without prefix */

static inline ArtNode *
art__node(Off off)
{
	return seg_ptr(off);
}

static inline uint32
meta_type(uint64 meta)
{
	return (uint32) (meta >> META_TYPE_SHIFT) & 3;
}

static inline uint32
meta_prefix_len(uint64 meta)
{
	return (uint32) (meta & META_PREFIX_MASK);
}

static inline uint64
meta_dirty(uint64 meta)
{
	return meta >> META_DIRTY_SHIFT;
}

/* art__dirty_unit -- an LSN in units of meta's dirty LSN, rounded up. */
static inline uint64
art__dirty_unit(Lsn lsn)
{
	return (lsn + MIB - 1) / MIB;
}

static inline _Atomic uint64 *
art__slots(ArtNode *node, uint32 type)
{
	switch (type)
	{
		case N4:
			return ((ArtNode4 *) node)->slot;
		case N16:
			return ((ArtNode16 *) node)->slot;
		case N48:
			return ((ArtNode48 *) node)->slot;
		default:
			return ((ArtNode256 *) node)->slot;
	}
}

static inline uint8 *
art__prefix(ArtNode *node, uint32 type)
{
	return (uint8 *) node + art__base_size[type];
}

static inline size_t
art__node_size(uint64 meta)
{
	return art__base_size[meta_type(meta)] + meta_prefix_len(meta);
}

/* ---- art_node.c ---- */

/*
 * art__find -- the slot keyed with 'byte', or NULL.  *word is what it held.
 * free_slot (may be NULL): where the byte would be added, if it is not there: the
 * first slot without key (N4, N16) or the byte's own (N48 once claimed, N256);
 * NULL: there is no such place (full, or to be claimed first).
 */
extern _Atomic uint64 *art__find(ArtNode *node, uint32 type, uint8 byte, uint64 *word, _Atomic uint64 **free_slot);

/* art__count -- children that are not null, up to 'limit'; the last one found in *only. */
extern uint32 art__count(ArtNode *node, uint32 type, uint32 limit, uint64 *only);

/* art__next_child -- the child with the least byte >= from (backward: the greatest <= from); its byte, -1 at the end. */
extern int	art__next_child(ArtNode *node, uint32 type, int from, bool backward, uint64 *word);

extern void art__init(ArtNode *node, uint64 meta, const uint8 *prefix);	/* private memory; no child, no end */
extern void art__add(ArtNode *node, uint64 word);	/* private node with room; word with its key bits */
extern void art__freeze(ArtNode *node, uint64 meta);

/* ArtDrop -- which children a copy goes without: one bit per slot */
typedef struct ArtDrop
{
	uint64		slot[4];
	bool		end;
	uint32		children;		/* bits set in 'slot' */
} ArtDrop;

static inline bool
art__dropped(const ArtDrop *drop, uint32 slot)
{
	return (drop->slot[slot / 64] >> (slot % 64)) & 1;
}

/* art__copy_children -- from frozen, to private: all that is not null and not dropped (NULL: nothing is), and the end. */
extern void art__copy_children(ArtNode *to, ArtNode *from, const ArtDrop *drop);

/* ---- art_change.c ---- */

typedef enum ArtPosKind
{
	POS_LEAF,			/* the key's own leaf is in the slot */
	POS_NULL,			/* a slot that holds nothing, for this key: CAS it */
	POS_FREE,			/* a slot without key: CAS it */
	POS_CLAIM,			/* N48: draw and claim a slot number first */
	POS_FULL,			/* no slot is free: the node must grow */
	POS_SPLIT_LEAF,		/* another key's leaf is in the slot */
	POS_SPLIT_PREFIX,	/* the node's prefix does not match */
	POS_DOOMED			/* the key came into being during art_prepare: start over */
} ArtPosKind;

extern void art__begin(ArtPos *pos, ArtRoot *root, const void *key, uint32 key_len);
/* art__descend -- fill 'pos'; helps frozen nodes on the way. */
extern ArtResult art__descend(ArtPos *pos) attribute_must_check;
/* art__tidy -- art_tidy; what that gives back is added to *gain (NULL: not counted). */
extern ArtResult art__tidy(ArtRoot *root, const void *key, uint32 key_len, ArtEvicted *gain) attribute_must_check;

/* ---- art_reshape.c ---- */

/*
 * ArtThinning -- a reshaping that goes without some leaves of the node.  'mark' sets
 * the bits of those: once before anything is frozen, as an estimate, and once under
 * the freeze, which counts.
 */
typedef struct ArtThinning ArtThinning;
struct ArtThinning
{
	void		(*mark) (ArtThinning *t, ArtNode *node, bool frozen, ArtDrop *drop);
	void	   *arg;
};

/* art__reshape -- give the node at this level of the path the shape that fits what is in it; *gain as in art__tidy. */
extern ArtResult art__reshape(ArtPos *pos, uint32 level, bool reserve, ArtEvicted *gain) attribute_must_check;
/* art__thin -- the same without the leaves that 'thinning' marks; the winner retires them with their chains. */
extern ArtResult art__thin(ArtPos *pos, uint32 level, ArtThinning *thinning, ArtEvicted *gain) attribute_must_check;
/* art__fits_less -- would a node with so many children be something smaller in kind? */
extern bool art__fits_less(uint32 type, uint32 live, bool has_end);
extern ArtResult art__help(ArtPos *pos, uint32 level) attribute_must_check;
extern ArtResult art__split_prefix(ArtPos *pos) attribute_must_check;
extern bool art__worth_reshaping(ArtNode *node);

static inline uint32
art__common(const uint8 *a, const uint8 *b, uint32 len)
{
	uint32		i = 0;

	while (i < len && a[i] == b[i])
		i++;
	return i;
}

/* ---- art_walk.c ---- */

extern ArtCursor *art__cursor_own(void);
extern Off	art__cursor_node(const ArtCursor *c);

/* ---- art_evict.c ---- */

#ifdef ARTERY_ASSERT
/* broken twins, for the unit tests alone: an eviction without its grace period, or without clearing COMPLETE */
extern bool art__twin_no_grace;
extern bool art__twin_no_clearing;
#endif

/* ---- leaf.c ---- */

extern void leaf__copy_to(Off to, const Leaf *from);	/* a private block of leaf_size(from) bytes; shares the extents */


static inline bool
leaf__is(const Leaf *l, const uint8 *key, uint32 key_len)
{
	return l->key_len == key_len && memcmp(leaf_key(l), key, key_len) == 0;
}

#endif
