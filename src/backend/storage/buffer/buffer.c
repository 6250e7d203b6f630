/*
 * buffer.c -- the buffer pool: pages of the base in shared memory.
 *
 * A set-associative hash of pages: (number, birth) leads to a set of eight way
 * words in one cache line, a way word to a frame, the page's own header in the
 * frame confirms.  Nothing locks and nothing is pinned: a page never changes
 * under its name, a frame is filled before a way word leads to it, and is filled
 * again only a grace period after no way word leads to it any more.  So whoever
 * finds a page inside an epoch may read it until he leaves.
 *
 * Who may write what
 *   way word    anybody, by CAS.  0 -> a page, a page -> another page (this is the
 *               eviction, and only who wins the CAS owns the frame unlinked), a
 *               page -> the same with other 'uses'
 *   state word  FRESH -> TAKEN by who raised 'fresh' over it, LIMBO -> TAKEN by CAS,
 *               TAKEN -> USED or LIMBO by the taker, USED -> LIMBO by who unlinked it
 *   frame       the taker, while the state says TAKEN and no way word leads to it
 * There is no ABA: a way word that comes back while somebody is about to replace it
 * names the same frame with the same tag, and who wins the CAS unlinks what is in
 * it now.
 *
 * Why a reader is safe: the inserter's CAS of the way word (release [buffer-way])
 * comes after its copying into the frame, the reader's load (acquire [buffer-way])
 * before its reading.  The unlinker reads the epoch e behind a fence after its CAS
 * (epoch_current) and stores it in the state word (release [buffer-state]); the
 * taker (acquire [buffer-state]) waits for e + 2: epoch.h has the proof.
 *
 * There are fewer ways than frames: what is over (1/32, at least four) is in limbo
 * or being filled while all ways are taken.  Each process first tries the frames
 * that it unlinked itself (BufferSlot.hint), then fresh ones, then scans.  None to
 * be had: the insertion is left out.  When /dev/shm refuses memory for fresh
 * frames, the pool goes on with those it has: an insertion then evicts a page
 * somewhere for the next one.
 *
 * Eviction: of the eight in a set, the one with the fewest uses; the others lose
 * as many.  Pages of old roots, which nobody looks up any more, so leave soon.
 *
 * Any process but the postmaster (which lays it out).  If one dies here: a frame
 * that it had taken stays TAKEN by its slot, one that it had unlinked and not yet
 * put into limbo stays USED and out of reach, a claim lapses after a second.  Such
 * a frame is lost until the segment is made anew, and nothing else is wrong.
 */
#include "storage/buffer/buffer_internal.h"

#include "common/base_format.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/segment.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <errno.h>
#include <sys/mman.h>

#define CAS_TRIES 16
#define EARLY_MAX 4				/* frames found whose grace period has not passed: then a scan ends */
#define SET_TRIES 32			/* sets looked at for a page to evict when memory is refused */
#define CLAIM_MS_MASK ((UINT64_C(1) << 22) - 1)

static_assert(BUFFER_PAGE_SIZE == BASE_PAGE_SIZE, "a frame holds a page");
static_assert(IsPowerOf2(BUFFER_HINTS), "a ring");

/* this process' view of the pool; constant after start */
static BufferShared *pool;
static char *pool_base;
static BufferReserve reserve_memory;
static BufferSlot *slots;
static _Atomic uint64 *states;
static _Atomic uint64 *ways;
static char *frames;

/* memory of the pool in a private segment (unit tests) */
static void *private_memory;
static uint64 private_size;

#ifdef ARTERY_FAULTS
bool		buffer__without_grace;
#endif

/* ---- layout ---- */

/* lay_out -- sizes and offsets for so many frames; the bytes needed. */
static uint64
lay_out(BufferShared *s, uint64 frame_count)
{
	uint64		spare = Max(frame_count / 32, 4);
	uint64		at = AlignUp(sizeof(BufferShared), CACHE_LINE);

	s->frame_count = (uint32) frame_count;
	s->set_count = frame_count < spare + BUFFER_WAYS ? 0 : (uint32) ((frame_count - spare) / BUFFER_WAYS);
	s->slots_offset = at;
	at += s->slot_count * sizeof(BufferSlot);
	s->states_offset = at;
	at = AlignUp(at + frame_count * sizeof(uint64), CACHE_LINE);
	s->ways_offset = at;
	at += (uint64) s->set_count * BUFFER_WAYS * sizeof(uint64);
	s->frames_offset = AlignUp(at, BUFFER_PAGE_SIZE);
	return s->frames_offset + frame_count * BUFFER_PAGE_SIZE;
}

int
buffer__setup(void *memory, uint64 size, BufferReserve reserve)
{
	BufferShared layout;
	uint64		count = Min(size / BUFFER_PAGE_SIZE, BUFFER_FRAME_MASK - 1);
	uint64		begin;
	int			error;

	Verify((uintptr_t) memory % BUFFER_PAGE_SIZE == 0);
	memset(&layout, 0, sizeof(layout));
	layout.magic = BUFFER_MAGIC;
	layout.size = size;
	layout.slot_count = proc_slot_count;
	while (count > 0 && lay_out(&layout, count) > size)
		count -= Max((lay_out(&layout, count) - size) / (2 * BUFFER_PAGE_SIZE), 1);
	begin = lay_out(&layout, count);
	if (layout.set_count == 0)
	{
		/* too small for a single set: nothing is ever in it */
		pool = NULL;
		return 0;
	}
	begin = size <= BUFFER_SMALL ? size : AlignUp(layout.frames_offset, BUFFER_RESERVE_CHUNK);
	error = reserve == NULL ? 0 : reserve(memory, Min(begin, size));
	if (error != 0)
		return error;
	if (reserve == NULL)
		begin = size;
	pool = memory;
	*pool = layout;
	pool_base = memory;
	reserve_memory = reserve;
	slots = (BufferSlot *) (pool_base + pool->slots_offset);
	states = (_Atomic uint64 *) (pool_base + pool->states_offset);
	ways = (_Atomic uint64 *) (pool_base + pool->ways_offset);
	frames = pool_base + pool->frames_offset;
	/* relaxed: before anybody else can look */
	atomic_store_explicit(&pool->reserved,
						  (uint32) Min((begin - pool->frames_offset) / BUFFER_PAGE_SIZE, layout.frame_count),
						  memory_order_relaxed);
	return 0;
}

static int
reserve_in_segment(void *at, uint64 len)
{
	return segment_reserve(seg_off(at), len);
}

int
buffer_init(void)
{
	void	   *region = segment_region(REGION_BUFFERS);

	if (region != NULL)
		return buffer__setup(region, segment_region_size(REGION_BUFFERS), reserve_in_segment);
	/* a private segment: the same in anonymous memory beside it */
	if (private_memory != NULL)
		(void) munmap(private_memory, private_size);
	private_size = AlignUp((uint64) set_buffer_pool_size, BUFFER_PAGE_SIZE) + BUFFER_PAGE_SIZE;
	private_memory = mmap(NULL, private_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (private_memory == MAP_FAILED)
	{
		private_memory = NULL;
		return errno;
	}
	return buffer__setup((void *) AlignUp((uintptr_t) private_memory, BUFFER_PAGE_SIZE), (uint64) set_buffer_pool_size,
						 NULL);
}

BufferShared *
buffer__shared(void)
{
	return pool;
}

/* ---- words ---- */

/* page_hash -- splitmix64's last steps over both numbers. */
static inline uint64
page_hash(uint64 number, uint64 birth)
{
	uint64		z = number * UINT64_C(0x9e3779b97f4a7c15) ^ birth;

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64
tag_of(uint64 hash)
{
	return hash >> BUFFER_TAG_SHIFT << BUFFER_TAG_SHIFT;
}

/* set_of -- by the low half, of which the tag holds only two bits. */
static inline _Atomic uint64 *
set_of(uint64 hash)
{
	return ways + (((hash & UINT32_MAX) * pool->set_count) >> 32) * BUFFER_WAYS;
}

static inline uint32
frame_of(uint64 word)
{
	return (uint32) ((word >> BUFFER_FRAME_SHIFT) & BUFFER_FRAME_MASK) - 1;
}

static inline uint64
way_word(uint64 hash, uint32 frame)
{
	return tag_of(hash) | (uint64) (frame + 1) << BUFFER_FRAME_SHIFT;
}

static inline BasePage *
frame_page(uint32 frame)
{
	return (BasePage *) (frames + (uint64) frame * BUFFER_PAGE_SIZE);
}

static inline BufferSlot *
own_slot(void)
{
	return &slots[my_slot->number];
}

/* ---- looking up ---- */

/* find -- the way word that leads to a page, and the page; NULL: not there.  Inside an epoch. */
static inline const BasePage *
find(uint64 number, uint64 birth, uint64 hash, _Atomic uint64 **way, uint64 *word)
{
	_Atomic uint64 *set = set_of(hash);
	uint64		tag = tag_of(hash);

	for (int i = 0; i < BUFFER_WAYS; i++)
	{
		uint64		w = atomic_load_explicit(&set[i], memory_order_acquire);	/* acquire [buffer-way] */
		const BasePage *page;

		if (w == 0 || tag_of(w) != tag)
			continue;
		page = frame_page(frame_of(w));
		if (page->number != number || page->birth != birth)
			continue;
		*way = &set[i];
		*word = w;
		return page;
	}
	return NULL;
}

const void *
buffer_lookup(uint64 number, uint64 birth)
{
	_Atomic uint64 *way;
	uint64		word;
	const BasePage *page;

	if (pool == NULL)
		return NULL;
	Assert(epoch_inside());
	page = find(number, birth, page_hash(number, birth), &way, &word);
	if (page == NULL)
	{
		figure_add(&own_slot()->misses, 1);
		return NULL;
	}
	figure_add(&own_slot()->hits, 1);
	/* relaxed: uses are a guess, and a CAS that fails has met somebody else's */
	if ((word & BUFFER_USES_MAX) != BUFFER_USES_MAX)
		(void) atomic_compare_exchange_strong_explicit(way, &word, word + 1, memory_order_relaxed, memory_order_relaxed);
	return page;
}

bool
buffer_present(uint64 number, uint64 birth)
{
	_Atomic uint64 *way;
	uint64		word;
	bool		found;

	if (pool == NULL)
		return false;
	epoch_enter();
	found = find(number, birth, page_hash(number, birth), &way, &word) != NULL;
	epoch_leave();
	return found;
}

bool
buffer_copy(uint64 number, uint64 birth, void *to)
{
	_Atomic uint64 *way;
	uint64		word;
	const BasePage *page;

	if (pool == NULL)
		return false;
	epoch_enter();
	page = find(number, birth, page_hash(number, birth), &way, &word);
	if (page != NULL)
		memcpy(to, page, BUFFER_PAGE_SIZE);
	epoch_leave();
	return page != NULL;
}

/* ---- frames ---- */

/* grace_passed -- may a frame unlinked at epoch e be filled again? */
static bool
grace_passed(uint64 e)
{
#ifdef ARTERY_FAULTS
	if (buffer__without_grace)
		return true;
#endif
	return epoch_grace_passed(e);
}

/* take_from_limbo -- 1: the frame is ours; 0: not in limbo (any more); -1: in limbo, too early. */
static int
take_from_limbo(uint32 frame)
{
	uint64		state = atomic_load_explicit(&states[frame], memory_order_acquire);	/* acquire [buffer-state] */

	if ((state & BUFFER_STATE_MASK) != BUFFER_LIMBO)
		return 0;
	if (!grace_passed(state >> 2))
		return -1;
	/* acquire [buffer-state]: the word is still the one whose epoch was looked at */
	return atomic_compare_exchange_strong_explicit(&states[frame], &state, BUFFER_TAKEN | (uint64) my_slot->number << 2,
												   memory_order_acquire, memory_order_relaxed);
}

/* into_limbo -- a frame that no way word leads to; e: 0 when no reader can have seen it. */
static void
into_limbo(uint32 frame, uint64 e)
{
	BufferSlot *slot = own_slot();

	if (slot->hint_end - slot->hint_first == BUFFER_HINTS)
		slot->hint_first++;		/* a scan finds it */
	slot->hint[slot->hint_end++ % BUFFER_HINTS] = frame;
	atomic_store_explicit(&states[frame], e << 2 | BUFFER_LIMBO, memory_order_release);	/* release [buffer-state] */
}

/* more_memory -- behind the frames from 'have' on.  False: refused, or not asked because it was a moment ago. */
static bool
more_memory(uint32 have)
{
	uint64		now_ms = clock_mono_us() / 1000 + 1;
	uint64		before_ms = atomic_load_explicit(&pool->refused_ms, memory_order_relaxed);	/* relaxed: a time */
	uint64		from = pool->frames_offset + (uint64) have * BUFFER_PAGE_SIZE;
	uint64		to = Min(AlignDown(from, BUFFER_RESERVE_CHUNK) + BUFFER_RESERVE_CHUNK, pool->size);
	uint32		will_have;
	int			error;

	will_have = (uint32) Min((to - pool->frames_offset) / BUFFER_PAGE_SIZE, pool->frame_count);
	if (before_ms != 0 && now_ms - before_ms < BUFFER_RETRY_MS)
		return false;
	error = reserve_memory == NULL ? 0 : reserve_memory(pool_base + from, to - from);
	if (error != 0)
	{
		/* relaxed: a time; who stores the first one tells */
		if (atomic_exchange_explicit(&pool->refused_ms, now_ms, memory_order_relaxed) == 0)
		{
			errno = error;
			ereport_hint(LOG, "Lower memory_limit or buffer_pool_size, or give /dev/shm more room.",
						 "the buffer pool goes on with %u of %u pages: no more shared memory could be reserved: %m", have,
						 pool->frame_count);
		}
		return false;
	}
	/* release [buffer-reserved]: the memory is there */
	while (have < will_have && !atomic_compare_exchange_weak_explicit(&pool->reserved, &have, will_have,
																	  memory_order_release, memory_order_relaxed))
		;
	return true;
}

/* take_fresh -- a frame that was never used; false: none, or no memory for it. */
static bool
take_fresh(uint32 *frame)
{
	uint32		fresh = atomic_load_explicit(&pool->fresh, memory_order_relaxed);	/* relaxed: the CAS decides */

	while (fresh < pool->frame_count)
	{
		uint32		reserved = atomic_load_explicit(&pool->reserved, memory_order_acquire);	/* acquire [buffer-reserved] */

		if (fresh >= reserved)
		{
			if (!more_memory(reserved))
				return false;
			fresh = atomic_load_explicit(&pool->fresh, memory_order_relaxed);	/* relaxed: the CAS decides */
			continue;
		}
		/* relaxed: nobody else has anything to do with this frame yet */
		if (!atomic_compare_exchange_weak_explicit(&pool->fresh, &fresh, fresh + 1, memory_order_relaxed,
												   memory_order_relaxed))
			continue;
		/* relaxed: only the next holder, who comes by [buffer-state], looks */
		atomic_store_explicit(&states[fresh], BUFFER_TAKEN | (uint64) my_slot->number << 2, memory_order_relaxed);
		*frame = fresh;
		return true;
	}
	return false;
}

/* take_by_scan -- a frame in limbo, whoever put it there; *waiting: some are there, too early. */
static bool
take_by_scan(uint32 *frame, bool *waiting)
{
	uint32		used = Min(atomic_load_explicit(&pool->fresh, memory_order_relaxed), pool->frame_count);	/* relaxed: a bound */
	uint32		at = atomic_load_explicit(&pool->hand, memory_order_relaxed);	/* relaxed: a hint */
	bool		found = false;
	int			early = 0;

	for (uint32 i = 0; i < Min(used, BUFFER_SCAN_MAX) && !found && early < EARLY_MAX; i++)
	{
		int			taken;

		if (++at >= used)
			at = 0;
		taken = take_from_limbo(at);
		if (taken < 0)
		{
			*waiting = true;
			early++;
		}
		if (taken > 0)
			*frame = at;
		found = taken > 0;
	}
	/* relaxed: a hint */
	atomic_store_explicit(&pool->hand, at, memory_order_relaxed);
	return found;
}

/* take_frame -- TAKEN by this slot, nobody reads it.  False: none to be had now; *waiting: soon. */
static bool
take_frame(uint32 *frame, bool *waiting)
{
	BufferSlot *slot = own_slot();

	*waiting = false;
	while (slot->hint_first != slot->hint_end)
	{
		uint32		f = slot->hint[slot->hint_first % BUFFER_HINTS];
		int			taken = take_from_limbo(f);

		if (taken < 0)
		{
			*waiting = true;	/* those behind it are younger */
			break;
		}
		slot->hint_first++;
		if (taken > 0)
		{
			*frame = f;
			return true;
		}
	}
	return take_fresh(frame) || take_by_scan(frame, waiting);
}

/* ---- inserting ---- */

/* age -- one way of a set loses 'uses'. */
static void
age(_Atomic uint64 *way, uint64 word, uint64 uses)
{
	uint64		has = word & BUFFER_USES_MAX;

	/* relaxed: a guess; a CAS that fails has met a change that is newer */
	if (word != 0 && has > 0)
		(void) atomic_compare_exchange_strong_explicit(way, &word, word - Min(has, uses), memory_order_relaxed,
													   memory_order_relaxed);
}

/*
 * choose -- the way of a set to put a page into: an empty one, else the one with
 * the fewest uses; *word: what was in it.
 */
static _Atomic uint64 *
choose(_Atomic uint64 *set, uint64 *word)
{
	uint32		turn = own_slot()->turn++;
	uint64		least = BUFFER_USES_MAX + 1;
	_Atomic uint64 *best = NULL;

	for (uint32 i = 0; i < BUFFER_WAYS; i++)
	{
		_Atomic uint64 *way = &set[(turn + i) % BUFFER_WAYS];
		uint64		w = atomic_load_explicit(way, memory_order_relaxed);	/* relaxed: the CAS that follows decides */
		uint64		uses = w & BUFFER_USES_MAX;

		if (w == 0)
		{
			*word = 0;
			return way;
		}
		if (uses < least)
		{
			least = uses;
			best = way;
			*word = w;
		}
	}
	if (least > 0)
		for (uint32 i = 0; i < BUFFER_WAYS; i++)
			if (&set[i] != best)
				age(&set[i], atomic_load_explicit(&set[i], memory_order_relaxed), least);	/* relaxed: a guess */
	return best;
}

/* unlinked -- this process' CAS has taken 'word' out of the hash. */
static void
unlinked(uint64 word)
{
	into_limbo(frame_of(word), epoch_current());
	figure_add(&own_slot()->evicted, 1);
}

/* evict_one -- for the next insertion, when there are no frames but those in the hash. */
static void
evict_one(uint64 hash)
{
	for (uint32 i = 0; i < SET_TRIES; i++)
	{
		_Atomic uint64 *set = set_of(hash);

		for (uint32 j = 0; j < BUFFER_WAYS; j++)
		{
			uint64		w = atomic_load_explicit(&set[j], memory_order_relaxed);	/* relaxed: the CAS decides */

			/* acquire [buffer-way]: the next to fill the frame comes after who filled it */
			if (w != 0 && atomic_compare_exchange_strong_explicit(&set[j], &w, 0, memory_order_acquire,
																  memory_order_relaxed))
			{
				unlinked(w);
				return;
			}
		}
		hash += (UINT64_C(1) << 32) / pool->set_count + 1;
	}
}

/*
 * link_frame -- a way word leads to it now, and what was in its place is unlinked.
 * False: lost to others again and again.
 */
static bool
link_frame(uint32 frame, uint64 hash)
{
	for (int tries = 0; tries < CAS_TRIES; tries++)
	{
		uint64		old;
		_Atomic uint64 *way = choose(set_of(hash), &old);

		/*
		 * release [buffer-way]: the page is in the frame; acquire [buffer-way]: the next
		 * to fill the frame that leaves comes after who filled it
		 */
		if (!atomic_compare_exchange_strong_explicit(way, &old, way_word(hash, frame), memory_order_acq_rel,
													 memory_order_relaxed))
			continue;
		if (old != 0)
			unlinked(old);
		return true;
	}
	return false;
}

bool
buffer_insert(uint64 number, uint64 birth, const void *page)
{
	uint64		hash = page_hash(number, birth);
	bool		waiting;
	uint32		frame = 0;
	uint64		taken;

	Assert(((const BasePage *) page)->number == number && ((const BasePage *) page)->birth == birth);
	if (pool == NULL)
		return false;
	Assert(!epoch_inside());
	if (buffer_present(number, birth))
		return false;
	if (!take_frame(&frame, &waiting))
	{
		if (!waiting)
			evict_one(hash);
		figure_add(&own_slot()->refused, 1);
		return false;
	}
	memcpy(frame_page(frame), page, BUFFER_PAGE_SIZE);
	if (!link_frame(frame, hash))
	{
		into_limbo(frame, 0);
		figure_add(&own_slot()->refused, 1);
		return false;
	}
	/* release [buffer-state]; by CAS: it may have been evicted already, and then says LIMBO */
	taken = BUFFER_TAKEN | (uint64) my_slot->number << 2;
	(void) atomic_compare_exchange_strong_explicit(&states[frame], &taken, BUFFER_USED, memory_order_release,
												   memory_order_relaxed);
	figure_add(&own_slot()->inserted, 1);
	return true;
}

/* ---- claims ---- */

/* claim_word -- for this slot and now. */
static uint64
claim_word(uint64 hash)
{
	return (hash & ~(uint64) UINT32_MAX) | (uint64) my_slot->number << 22 | (clock_mono_us() / 1000 & CLAIM_MS_MASK);
}

static inline uint32
claim_slot(uint64 word)
{
	return (uint32) (word >> 22) & PROC_SLOT_NONE;
}

static bool
claim_live(uint64 word, uint64 now)
{
	return word != 0 && ((now - word) & CLAIM_MS_MASK) <= BUFFER_CLAIM_MS;
}

/*
 * buffer_claim -- equal claims meet in the same set and take its first free place,
 * so of two at a time one wins the CAS and the other sees it.  (With a place
 * getting free in front of a claim at the wrong moment both may win: then the page
 * is read twice.)  A full set claims nothing and lets the caller read.
 */
bool
buffer_claim(uint64 number, uint64 birth)
{
	uint64		hash = page_hash(number, birth);
	uint64		mine = claim_word(hash);
	_Atomic uint64 *set;

	if (pool == NULL)
		return true;
	set = pool->claim[(hash & UINT32_MAX) % BUFFER_CLAIM_SETS];
	for (int tries = 0; tries < CAS_TRIES; tries++)
	{
		_Atomic uint64 *place = NULL;
		uint64		was = 0;

		for (int i = 0; i < BUFFER_CLAIM_WAYS; i++)
		{
			uint64		w = atomic_load_explicit(&set[i], memory_order_relaxed);	/* relaxed: a claim guards nothing but work */

			if (claim_live(w, mine) && w >> 32 == mine >> 32)
			{
				if (claim_slot(w) != my_slot->number)
					return false;
				place = &set[i];
				was = w;
				break;
			}
			if (place == NULL && !claim_live(w, mine))
			{
				place = &set[i];
				was = w;
			}
		}
		/* relaxed: as above */
		if (place == NULL
			|| atomic_compare_exchange_strong_explicit(place, &was, mine, memory_order_relaxed, memory_order_relaxed))
			return true;
	}
	return true;
}

void
buffer_unclaim(uint64 number, uint64 birth)
{
	uint64		hash = page_hash(number, birth);
	_Atomic uint64 *set;

	if (pool == NULL)
		return;
	set = pool->claim[(hash & UINT32_MAX) % BUFFER_CLAIM_SETS];
	for (int i = 0; i < BUFFER_CLAIM_WAYS; i++)
	{
		uint64		w = atomic_load_explicit(&set[i], memory_order_relaxed);	/* relaxed: a claim guards nothing but work */

		if (w >> 32 == hash >> 32 && claim_slot(w) == my_slot->number)
			(void) atomic_compare_exchange_strong_explicit(&set[i], &w, 0, memory_order_relaxed, memory_order_relaxed);
	}
}

/* ---- figures and checking ---- */

void
buffer_stats(BufferStats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (pool == NULL)
		return;
	stats->frames = pool->frame_count;
	for (uint32 i = 0; i < pool->slot_count; i++)
	{
		/* relaxed: figures */
		stats->hits += atomic_load_explicit(&slots[i].hits, memory_order_relaxed);
		stats->misses += atomic_load_explicit(&slots[i].misses, memory_order_relaxed);
		stats->inserted += atomic_load_explicit(&slots[i].inserted, memory_order_relaxed);
		stats->evicted += atomic_load_explicit(&slots[i].evicted, memory_order_relaxed);
		stats->refused += atomic_load_explicit(&slots[i].refused, memory_order_relaxed);
	}
	stats->used = stats->inserted - Min(stats->evicted, stats->inserted);
}

bool
buffer__check(char *why, size_t why_size)
{
	uint64		linked = 0;
	uint64		used = 0;

	why[0] = '\0';
	for (uint64 i = 0; i < (uint64) pool->set_count * BUFFER_WAYS; i++)
	{
		/* relaxed: nobody else is about */
		uint64		w = atomic_load_explicit(&ways[i], memory_order_relaxed);
		uint32		f = frame_of(w);
		uint64		hash;

		if (w == 0)
			continue;
		linked++;
		if (f >= pool->frame_count || atomic_load_explicit(&states[f], memory_order_relaxed) != BUFFER_USED)
		{
			snprintf(why, why_size, "way %llu leads to frame %u, which is not in use", (unsigned long long) i, f);
			return false;
		}
		hash = page_hash(frame_page(f)->number, frame_page(f)->birth);
		if (tag_of(hash) != tag_of(w) || set_of(hash) != ways + AlignDown(i, BUFFER_WAYS))
		{
			snprintf(why, why_size, "way %llu leads to a page that belongs elsewhere", (unsigned long long) i);
			return false;
		}
	}
	for (uint32 f = 0; f < pool->frame_count; f++)
	{
		/* relaxed: nobody else is about */
		uint64		state = atomic_load_explicit(&states[f], memory_order_relaxed) & BUFFER_STATE_MASK;
		bool		fresh = f >= atomic_load_explicit(&pool->fresh, memory_order_relaxed);	/* relaxed: the same */

		if (state == BUFFER_USED)
			used++;
		if (state == BUFFER_TAKEN || (state == BUFFER_FRESH) != fresh)
		{
			snprintf(why, why_size, "frame %u is in state %u", f, (unsigned) state);
			return false;
		}
	}
	if (linked != used)
		snprintf(why, why_size, "%llu way words, %llu frames in use", (unsigned long long) linked, (unsigned long long) used);
	return linked == used;
}
