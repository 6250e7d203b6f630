/*
 * buffer_internal.h -- how the buffer pool lies in memory; for storage/buffer and
 * its tests.
 *
 *   0                BufferShared: sizes, where to look next, claims
 *   slots_offset     BufferSlot, one per process slot
 *   states_offset    one state word per frame
 *   ways_offset      set_count sets of BUFFER_WAYS way words, a cache line each
 *   frames_offset    the frames, BUFFER_PAGE_SIZE each, aligned to it
 *
 * Way word: 0, or
 *   0..1    uses     0 .. 3: how often looked up lately
 *   2..29   frame    its index, plus one
 *   30..63  tag      34 bits of the hash of (number, birth)
 *
 * State word of a frame:
 *   0..1    BUFFER_FRESH   never used, memory perhaps not reserved
 *           BUFFER_TAKEN   slot in the bits 2..11 fills it: in no way word, or about to be
 *           BUFFER_USED    a way word leads to it
 *           BUFFER_LIMBO   no way word leads to it; epoch of the unlinking in the bits 2..63
 *
 * Claim word: 0, or tag of the page (32 bits) · slot (10 bits) · time in ms (22 bits).
 */
#ifndef ARTERY_STORAGE_BUFFER_INTERNAL_H
#define ARTERY_STORAGE_BUFFER_INTERNAL_H

#include "common/c.h"
#include "storage/buffer/buffer.h"

#define BUFFER_MAGIC UINT64_C(0x4c4f4f5046465542)
#define BUFFER_WAYS 8
#define BUFFER_CLAIM_SETS 64
#define BUFFER_CLAIM_WAYS 8
#define BUFFER_CLAIM_MS 1000	/* an older claim counts for nothing */
#define BUFFER_HINTS 64			/* a power of two */
#define BUFFER_SCAN_MAX 1024	/* frames looked at for one that is free */
#define BUFFER_RESERVE_CHUNK (2 * MIB)
#define BUFFER_RETRY_MS 1000	/* between two attempts to get memory that was refused */
#define BUFFER_SMALL (4 * MIB)	/* a pool of this size or less is reserved at start */

enum { BUFFER_FRESH, BUFFER_TAKEN, BUFFER_USED, BUFFER_LIMBO, BUFFER_STATE_MASK = 3 };
enum { BUFFER_USES_MAX = 3, BUFFER_FRAME_SHIFT = 2, BUFFER_TAG_SHIFT = 30 };
#define BUFFER_FRAME_MASK ((UINT64_C(1) << 28) - 1)

typedef struct BufferShared
{
	uint64		magic;
	uint64		size;			/* of the pool with all that manages it; constant after start, like all down to 'fresh' */
	uint64		slots_offset;
	uint64		states_offset;
	uint64		ways_offset;
	uint64		frames_offset;
	uint32		frame_count;
	uint32		set_count;		/* 0: no pool */
	uint32		slot_count;
	alignas(CACHE_LINE) _Atomic uint32 fresh;	/* frames below it have been used; raised by CAS */
	_Atomic uint32 reserved;	/* frames below it have memory behind them; raised by CAS */
	_Atomic uint32 hand;		/* where the next scan for a free frame begins */
	_Atomic uint64 refused_ms;	/* when memory was last refused; 0: never */
	alignas(CACHE_LINE) _Atomic uint64 claim[BUFFER_CLAIM_SETS][BUFFER_CLAIM_WAYS];
} BufferShared;

/* BufferSlot -- a process' own: it writes, others read the figures */
typedef struct BufferSlot
{
	alignas(CACHE_LINE) _Atomic uint64 hits;
	_Atomic uint64 misses;
	_Atomic uint64 inserted;
	_Atomic uint64 evicted;
	_Atomic uint64 refused;
	uint32		turn;			/* which way of a set is looked at first */
	/* frames that this process put into limbo, the oldest first: a hint where to look for a free one */
	uint32		hint_first;
	uint32		hint_end;
	uint32		hint[BUFFER_HINTS];
} BufferSlot;

/* buffer__setup -- lays out a pool in 'memory' (zeroed, 16 KiB aligned); reserve: see segment_reserve, NULL: all of it is there.  0 or an errno. */
typedef int (*BufferReserve)(void *at, uint64 len);
extern int buffer__setup(void *memory, uint64 size, BufferReserve reserve) attribute_must_check;
extern BufferShared *buffer__shared(void);
/* buffer__check -- tests, with nobody else about: every frame is in one state and in one place; false: 'why'. */
extern bool buffer__check(char *why, size_t why_size);
#ifdef ARTERY_FAULTS
extern bool buffer__without_grace;	/* tests only: the broken twin, which reuses frames at once */
#endif

#endif
