/*
 * store_expiry.c -- deadlines: the clock, what an answer that rests on it waits for, hints.
 *
 * The clock.  A version of a key carries its deadline, an absolute time; from that
 * moment on the key is absent.  So the clock must never run back, whatever happens
 * to the wall clock, or the dead would live again:
 *
 *   clock = monotonic clock + offset,   offset = max(wall clock - monotonic clock)
 *
 * over all looks of all processes.  The monotonic clock is one for the machine, so
 * that one shared word, only ever raised, is all there is to share.  If the wall
 * clock is set back the clock goes on at its pace; if it is set forward, or the
 * machine has slept, the clock follows.  A look takes the wall clock first: a pause
 * between the two makes the offset smaller, which the next look puts right, never
 * larger.  A process keeps a copy that changes once per turn of its loop.
 *
 * Processes look at different moments.  What one of them has told a client must not
 * be taken back by another one whose copy is older: "absent, because of a deadline"
 * is said only after 'clock_told' has come up to the deadline, and store__has_expired
 * looks at that word as well.
 *
 * Crashes.  An answer that rests on the clock is gated like any other, by a log
 * record: CLOCK, "the clock has come to this value".  Redo takes its value, so the
 * next run's clock begins at or above everything that was said.  said and said_lsn
 * are published together: the LSN first, then the value (release), both as maxima.
 * Who reads a value (acquire) then reads an LSN at or above the end of the record
 * that made it; a higher one only waits longer.  'safe' is a value that no restart
 * comes below: the one that the control file had when the run began, or that of a
 * record seen flushed.  For deadlines below it nothing is to be waited for, which is
 * nearly always.  A writer that replaces or deletes an expired version needs no
 * CLOCK: what it wrote is a fact, whatever the clock says later.
 *
 * A full disk takes no CLOCK record, and reads go on.  Then the answer is given with
 * the gate as it is.  That is right as long as the server lives, and after a crash
 * as long as the wall clock has not been set back meanwhile: the clock begins with
 * the wall clock, or above.  Only a full disk, a crash, and a wall clock set back
 * behind the deadline together could show the key once more.
 *
 * Hints.  Nobody looks for expired keys among those without deadlines: a system
 * tree has an entry (deadline, key) for each key with a deadline, for this deadline or
 * an earlier one.  What this means exactly, and for whom: let C be any LSN, and D
 * the database at C (base of a checkpoint, or base and redo).  Each key with a
 * deadline in D has such an entry in the index at C.  Why:
 *   - a writer puts the entry in with its key's lsn, under the rules for any
 *     version (dirty LSN, links for snapshots), so it is in every checkpoint and
 *     every snapshot that the key's version is in.  It leaves it out if the version
 *     that it replaces has a deadline at or before the new one: by this very
 *     invariant there is an entry for that
 *   - the entry is published before the key.  The expirer takes an entry away only
 *     if its lsn is completed: so it does not look at a key that is about to come
 *   - redo makes an entry for every PUT with a deadline that it applies, whatever
 *     was there
 *   - who takes entries away: store_expire.c
 * An entry too many does no harm: it fires, and the key is looked at.
 *
 * The writer's part costs two words per write that sets no deadline; one that does
 * descends twice.  expire_next tells whether the expirer must be woken: store the
 * entry, fence, read expire_next; the expirer exchanges expire_next, fence, reads the
 * entries.  One of the two sees the other.  The latch is set outside the epoch, in
 * the loop's next turn.
 *
 * Any process.  If one dies here, an entry is there without its key (it fires in
 * vain), or a CLOCK record is reserved and not filled, like any record.
 */
#include "common/c.h"

#include "access/store/evict.h"
#include "access/store/store_internal.h"
#include "common/crc32c.h"
#include "common/figure.h"
#include "storage/ipc/latch.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"

_Thread_local uint64 store_clock_now;
_Thread_local const StoreFired *store__fired;

static _Thread_local bool wake_expirer;	/* at the next turn */

/* raise_to -- the word becomes at least 'value'. */
static void
raise_to(_Atomic uint64 *word, uint64 value)
{
	uint64		old = atomic_load_explicit(word, memory_order_relaxed);	/* relaxed: the CAS decides */

	while (old < value &&
		   !atomic_compare_exchange_weak_explicit(word, &old, value,
												  memory_order_acq_rel,	/* release [store-clock] */
												  memory_order_relaxed))
		continue;
}

/* ---- the clock ---- */

void
store_clock_turn(void)
{
	uint64		wall = clock_wall_us();	/* first: see the essay */
	uint64		mono = clock_mono_us();
	uint64		offset = atomic_load_explicit(&store_shared->clock_offset, memory_order_relaxed);	/* relaxed: a maximum by itself */

	if (unlikely(wall > mono && wall - mono > offset))
	{
		offset = wall - mono;
		raise_to(&store_shared->clock_offset, offset);
	}
	store_clock_now = Max(store_clock_now, mono + offset);
	if (unlikely(wake_expirer))
	{
		wake_expirer = false;
		latch_set(proc_first_slot(PROC_EXPIRER));
	}
}

void
store__clock_start(uint64 clock_us)
{
	uint64		mono = clock_mono_us();

	if (clock_us > mono)
		raise_to(&store_shared->clock_offset, clock_us - mono);
	raise_to(&store_shared->clock_told, clock_us);
	raise_to(&store_shared->clock_said, clock_us);
	raise_to(&store_shared->clock_safe, clock_us);
	store_clock_turn();
}

WalReserve
store__clock_reserve(WalReservation *r)
{
	return wal_reserve(sizeof(store_clock_now), 0, r);
}

void
store__clock_fill(const WalReservation *r)
{
	uint64		clock = store_clock_now;
	BytePart	part = {&clock, sizeof(clock)};

	wal_fill(r, WAL_CLOCK, 0, 0, crc32c_extend(0, &clock, sizeof(clock)), &part, 1);
	raise_to(&store_shared->clock_said_lsn, r->end);
	raise_to(&store_shared->clock_said, clock);
	raise_to(&store_shared->clock_told, clock);
}

StoreStatus
store__expired_gate(uint64 expiry, Lsn *gate)
{
	WalReservation r;
	uint64		said;
	Lsn			lsn;

	if (expiry <= atomic_load_explicit(&store_shared->clock_safe, memory_order_relaxed))	/* relaxed: true once, true for ever */
		return STORE_OK;
	said = atomic_load_explicit(&store_shared->clock_said, memory_order_acquire);	/* acquire [store-clock] */
	if (expiry > said)
	{
		switch (store__clock_reserve(&r))
		{
			case WAL_RESERVED:
				break;
			case WAL_NO_SPACE:
				return STORE_PARK_WAL;
			case WAL_DISK_FULL:
				raise_to(&store_shared->clock_told, expiry);
				return STORE_OK;
		}
		store__clock_fill(&r);
		*gate = Max(*gate, r.end);
		return STORE_OK;
	}
	/* relaxed: stored before the value that we have acquired */
	lsn = atomic_load_explicit(&store_shared->clock_said_lsn, memory_order_relaxed);
	if (lsn <= wal_flushed_lsn())
		raise_to(&store_shared->clock_safe, said);
	else
		*gate = Max(*gate, lsn);
	return STORE_OK;
}

/* ---- hints ---- */

/*
 * separate -- give the index a second leaf.
 *
 * An entry that is all there is in the overlay lies in the root's slot, where the key
 * of its writer would have to go, too: who replaces the entry first would never get the
 * key in.  With a tombstone beside it, which is nobody's and may go like any old one,
 * the entry lies deeper.
 */
static StoreStatus
separate(void)
{
	uint8		key[DEADLINE_HEAD];
	uint32		key_len = store__hint_key(key, NULL, 0, 0);
	ArtPos		pos;
	Off			leaf = leaf_build(key, (uint16) key_len, NULL, 0, LEAF_TOMBSTONE, 0);

	if (leaf == MEM_NONE)
		return STORE_NO_MEMORY;
	((Leaf *) seg_ptr(leaf))->lsn = 8;	/* below every cut */
	if (art_locate_other(&store_shared->root, key, key_len, &pos) == ART_OK)
	{
		if (pos.leaf == NULL && art_prepare(&pos, leaf) == ART_OK && art_raise_dirty(&pos, 8) && art_publish(&pos, leaf))
			return STORE_OK;
		art_abandon(&pos);
	}
	leaf_free(leaf);
	return STORE_NO_MEMORY;		/* or somebody else was faster: a new attempt is right for both */
}

/* locate -- the place of hint->key; a transaction's descriptor leaf that is decided goes out of the way. */
static StoreStatus
locate(StoreHint *hint)
{
	hint->wanted = hint->published = false;
	hint->leaf = MEM_NONE;
	for (;;)
	{
		StoreStatus status;

		if (art_locate_other(&store_shared->root, hint->key, hint->key_len, &hint->pos) != ART_OK)
			return STORE_NO_MEMORY;
		if (unlikely(hint->pos.leaf != NULL && hint->pos.depth == 0))
			status = separate();
		else if (hint->pos.leaf == NULL || (leaf_flags(hint->pos.leaf) & LEAF_DESCRIPTOR) == 0)
			return STORE_OK;
		else
			status = store__meet_descriptor(hint->pos.leaf);
		if (status != STORE_OK)
			return status;
	}
}

/* prepare -- the new entry, or the tombstone for one: its leaf, and all memory that publishing it needs. */
static StoreStatus
prepare(StoreHint *hint, uint16 flags)
{
	hint->wanted = true;
	hint->old = hint->pos.leaf;
	store__open_snapshots(&hint->open);
	if (unlikely(hint->open.any) && hint->old != NULL)
		flags |= LEAF_HAS_LINK;
	hint->leaf = leaf_build(hint->key, (uint16) hint->key_len, NULL, 0, flags, 0);
	if (hint->leaf == MEM_NONE || art_prepare(&hint->pos, hint->leaf) != ART_OK)
	{
		store__hint_abandon(hint);
		return STORE_NO_MEMORY;
	}
	return STORE_OK;
}

/* publish -- what has been prepared, with this lsn. */
static bool
publish(StoreHint *hint, Lsn lsn)
{
	Leaf	   *leaf = seg_ptr(hint->leaf);

	leaf->lsn = lsn;
	hint->link = 0;
	if (leaf_flags(leaf) & LEAF_HAS_LINK)
	{
		hint->link = store__link_for(&hint->open, hint->old, lsn);
		leaf_set_link(leaf, hint->link);
	}
	hint->published = art_raise_dirty(&hint->pos, lsn) && art_publish(&hint->pos, hint->leaf);
	return hint->published;
}

/* finish -- outside reservations: what was replaced goes, figures. */
static void
finish(StoreHint *hint)
{
	StoreCounts *counts = &store_shared->counts[my_slot->number];

	if (hint->published)
	{
		if (hint->link != 0)
			figure_add(&counts->linked, 1);
		if (hint->taking)
			figure_add(&counts->tombstones, 1);
		if (hint->old != NULL)
			store__replaced(hint->old, hint->link);
	}
	else
	{
		art_abandon(&hint->pos);
		if (hint->leaf != MEM_NONE)
			leaf_free(hint->leaf);
	}
	hint->leaf = MEM_NONE;
	hint->old = NULL;
	hint->published = false;
	hint->wanted = false;
}

StoreStatus
store__hint_prepare(StoreHint *hint, const uint8 *key, uint32 key_len, uint64 expiry)
{
	StoreStatus status;

	Assert(key_len <= KEY_MAX - DEADLINE_HEAD);
	hint->taking = false;
	hint->deadline = expiry;
	hint->key_len = store__hint_key(hint->key, key, key_len, expiry);
	status = locate(hint);
	return status == STORE_OK ? prepare(hint, 0) : status;
}

StoreStatus
store__fired_prepare(StoreHint *hint)
{
	StoreStatus status;

	hint->taking = true;
	hint->key_len = store__fired->entry_len;
	memcpy(hint->key, store__fired->entry, hint->key_len);
	status = locate(hint);
	if (status != STORE_OK)
		return status;
	if (hint->pos.leaf != NULL && (leaf_flags(hint->pos.leaf) & LEAF_TOMBSTONE))
	{
		art_abandon(&hint->pos);
		return STORE_OK;		/* it is gone already: not wanted */
	}
	return prepare(hint, LEAF_TOMBSTONE);
}

/*
 * store__hint_announce -- the expirer must look at this deadline.
 *
 * The entry is there; either we see what the expirer has made of expire_next before
 * it read the entries, or it sees ours.
 */
void
store__hint_announce(uint64 deadline)
{
	_Atomic uint64 *next = &store_shared->expire_next;
	uint64		seen;

#if !EPOCH_TSAN
	atomic_thread_fence(memory_order_seq_cst);	/* seq_cst [store-expire] */
#endif
	seen = atomic_load_explicit(next, memory_order_seq_cst);	/* seq_cst [store-expire] */
	while (unlikely(deadline < seen))
		if (atomic_compare_exchange_weak_explicit(next, &seen, deadline,
												  memory_order_seq_cst, memory_order_seq_cst))
		{
			wake_expirer = true;
			return;
		}
}

bool
store__hint_publish(StoreHint *hint, Lsn lsn)
{
	if (hint->taking)
		return true;			/* its time comes with store__hint_done */
	if (!publish(hint, lsn))
		return false;
	store__hint_announce(hint->deadline);
	return true;
}

void
store__hint_done(StoreHint *hint, Lsn lsn)
{
	/* if somebody has put the entry in anew, it stays: it is a newer version's */
	if (hint->taking)
		(void) !publish(hint, lsn);
	finish(hint);
}

void
store__hint_abandon(StoreHint *hint)
{
	if (hint->wanted)
		finish(hint);
}

/* put -- one go at an entry of its own; inside the epoch.  STORE_CHANGED: somebody was faster. */
static StoreStatus
put(StoreHint *hint, const uint8 *key, uint32 key_len, uint64 expiry)
{
	WalReservation r;
	StoreStatus status = store__hint_prepare(hint, key, key_len, expiry);
	bool		published;

	if (status != STORE_OK)
		return status;
	switch (store__clock_reserve(&r))
	{
		case WAL_RESERVED:
			break;
		case WAL_NO_SPACE:
			return STORE_PARK_WAL;
		case WAL_DISK_FULL:
			return STORE_DISK_FULL;
	}
	published = store__hint_publish(hint, r.end);
	store__clock_fill(&r);		/* a CLOCK record is what it is, whether the entry has found its place or not */
	if (!published)
		return STORE_CHANGED;
	store__hint_done(hint, r.end);
	return STORE_OK;
}

StoreStatus
store__hint_put(const uint8 *key, uint32 key_len, uint64 expiry)
{
	static _Thread_local StoreHint own;
	uint32		attempts = 0;

	for (;;)
	{
		StoreStatus status;

		epoch_enter();
		status = put(&own, key, key_len, expiry);
		store__hint_abandon(&own);
		epoch_leave();
		if (status == STORE_NO_MEMORY && !store__find_memory(&attempts, 0))
			return evict_hopeless() ? STORE_NO_MEMORY : STORE_PARK_MEMORY;
		if (status != STORE_NO_MEMORY && status != STORE_CHANGED)
			return status;
	}
}

/* ---- figures ---- */

static void
add(_Atomic int64 *cell, int64 delta)
{
	/* relaxed: a figure, only this process writes it */
	atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + delta, memory_order_relaxed);
}

void
store__count_deadlines(uint32 tree_index, int64 count, int64 sum)
{
	StoreCounts *counts = &store_shared->counts[my_slot->number];

	add(&counts->deadlines[tree_index], count);
	add(&counts->deadline_sum[tree_index], sum);
}

void
store__count_expiry(uint32 tree_index, const StoreView *old, uint64 expiry)
{
	bool		had = old->present && old->expiry != 0;

	if (likely(!had && expiry == 0))
		return;
	if (old->present && !old->exists)
		figure_add(&store_shared->counts[my_slot->number].expired, 1);
	store__count_deadlines(tree_index, (int64) (expiry != 0) - (int64) had,
						   (int64) (expiry / 1000) - (had ? (int64) (old->expiry / 1000) : 0));
}

/* store__deadlines_known -- inside an epoch, or while the tree cannot be swept. */
void
store__deadlines_known(uint32 tree_index, int64 *count, int64 *sum)
{
	const StoreBase *base = store__base();

	*count = base->deadlines[tree_index];
	*sum = base->deadline_sum[tree_index];
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		/* relaxed, both: figures */
		*count += atomic_load_explicit(&store_shared->counts[i].deadlines[tree_index], memory_order_relaxed);
		*sum += atomic_load_explicit(&store_shared->counts[i].deadline_sum[tree_index], memory_order_relaxed);
	}
}

uint64
store_deadlines(uint32 db, uint64 *average_ttl_ms)
{
	int64		now_ms = (int64) (store_clock_us() / 1000);
	int64		count;
	int64		sum;

	epoch_enter();
	store__deadlines_known(store__tree_index(db), &count, &sum);
	epoch_leave();
	*average_ttl_ms = count > 0 && sum / count > now_ms ? (uint64) (sum / count - now_ms) : 0;
	return count > 0 ? (uint64) count : 0;
}
