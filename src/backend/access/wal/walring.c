/*
 * walring.c -- the ring, its positions, reservations, filling, and the gate.
 *
 * doc/architecture.md, "A write", in code.  Workers reserve bytes by a CAS on the insert word
 * (LSN / 8 and the slot of the last reserver), publish their change elsewhere,
 * fill the record and mark their slot idle.  Nothing between wal_reserve() and
 * the end of wal_fill() sleeps, allocates or makes a system call.
 *
 * Completed = min(insert as read first, every start in the process slots as read
 * second).  Why that is right: a reserver stores TENTATIVE(start) in its slot
 * before its CAS raises insert.  Whoever reads an insert word that covers a
 * reservation (acquire of a chain of read-modify-writes that the reserver's CAS
 * is part of) therefore reads its slot as TENTATIVE, OWNED or later; idle only
 * if the fill is over, and then (release, acquire of the slot word) the bytes in
 * the ring are visible too.  A stale TENTATIVE of a reserver whose CAS failed
 * only names a lower start; completed never moves back.
 *
 * Whose reservation is it, should a process die?  Its own store of OWNED may be
 * missing.  Read the insert word first, its slot second: it owns iff the word
 * named it with its end, or the slot says OWNED.  For that to hold after others
 * have moved the insert word on, each of them first makes sure that the process
 * it displaces from the word is marked: if its slot is TENTATIVE with exactly
 * that end, CAS to OWNED.  A TENTATIVE with the same start never comes back once
 * its owner has left it: starts only grow.
 *
 * Space: the bytes of the block in which 'flushed' stands stay in the ring until
 * that block is whole, because the walwriter writes it again from its begin.
 * Hence start + length <= (flushed rounded down to a block) + ring size, which is
 * at most one block less than the ring.  That makes the walwriter's work a
 * function of shared memory alone: a successor needs nothing from its
 * predecessor.
 *
 * If a worker dies between reserve and fill, completed stops at its start; until
 * there is tidying after single deaths, the postmaster answers any unclean death
 * with a restart of all.
 */
#include "access/wal/wal_internal.h"

#include "common/crc32c.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "utils/clock.h"
#include "utils/settings.h"

#include <errno.h>

WalShared  *wal_shared;

/* What the last refused reservation of this process saw: wal_wait_begin(1) sleeps only if nothing has changed since. */
static _Thread_local struct
{
	Lsn			flushed;
	Lsn			prepared;
	uint32		space_errno;
	bool		lacks_segment;
} refused;

size_t
wal_region_size(void)
{
	return AlignUp(sizeof(WalShared), CACHE_LINE) + wal__keep_size();
}

/* wal_region_init -- no log yet; recovery sets segment size, timeline and positions before anybody reserves. */
void
wal_region_init(void *region)
{
	wal_shared = region;
	wal__keep_init((char *) region + AlignUp(sizeof(WalShared), CACHE_LINE));
	wal_shared->magic = WAL_SHARED_MAGIC;
	wal_shared->ring_size = segment_region_size(REGION_WAL_RING);
	wal_shared->ring = segment_region_offset(REGION_WAL_RING);
	wal_shared->segment_size = (uint64) set_wal_segment_size;
	wal_shared->timeline = 1;
	Verify(IsPowerOf2(wal_shared->ring_size) && wal_shared->ring_size >= 64 * KIB);
	/* relaxed: nobody else is there yet */
	atomic_store_explicit(&wal_shared->insert_word, wal__make_word(0, PROC_SLOT_NONE), memory_order_relaxed);
}

/* ---- positions ---- */

Lsn
wal_insert_lsn(void)
{
	return wal__word_lsn(atomic_load_explicit(&wal_shared->insert_word, memory_order_acquire));	/* acquire [wal-insert] */
}

Lsn
wal_completed_lsn(void)
{
	return atomic_load_explicit(&wal_shared->completed, memory_order_acquire);	/* acquire [wal-completed] */
}

Lsn
wal_flushed_lsn(void)
{
	return atomic_load_explicit(&wal_shared->flushed, memory_order_acquire);	/* acquire [wal-flushed] */
}

bool
wal__raise(_Atomic uint64 *word, uint64 value)
{
	/* seq_cst [wal-want]: also where nothing is to be raised */
	uint64		old = atomic_load_explicit(word, memory_order_seq_cst);

	while (old < value)
		/* seq_cst [wal-want]: wants against 'flushed', see wal_want; release [wal-completed] for completed */
		if (atomic_compare_exchange_weak_explicit(word, &old, value, memory_order_seq_cst, memory_order_seq_cst))
			return true;
	return false;
}

/*
 * wal_completed_update -- raise completed as far as the slots allow.
 *
 * Any process, any time.  Reads one word per process slot.
 */
void
wal_completed_update(void)
{
	Lsn			done = wal_insert_lsn();	/* first: see the essay */

	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		/* acquire [wal-fill]: idle means that the record is in the ring */
		uint64		word = atomic_load_explicit(&proc_slot(i)->wal_word, memory_order_acquire);

		if ((word & 3) != WAL_RES_IDLE && wal__res_start(word) < done)
			done = wal__res_start(word);
	}
	(void) wal__raise(&wal_shared->completed, done);
}

/* ---- reserving ---- */

/* wal_record_max -- bytes of a record with padding: a quarter of the ring, and no more than the segment table spans. */
uint64
wal_record_max(void)
{
	return Min(wal_shared->ring_size / 4, (WAL_SEGMENT_TABLE - 2) * wal_shared->segment_size);
}

Lsn
wal__space_limit(Lsn flushed)
{
	return AlignDown(flushed, WAL_BLOCK) + wal_shared->ring_size;
}

/* check_space -- may the log be reserved up to 'end'?  Remembers what it saw when not. */
static WalReserve
check_space(Lsn end)
{
	Lsn			flushed = wal_flushed_lsn();	/* acquire: the walwriter has read what lay in the ring before */
	Lsn			prepared = atomic_load_explicit(&wal_shared->prepared, memory_order_acquire);	/* acquire [wal-prepared] */
	uint32		space_errno;

	if (likely(end <= wal__space_limit(flushed) && end <= prepared))
		return WAL_RESERVED;
	space_errno = atomic_load_explicit(&wal_shared->space_errno, memory_order_acquire);	/* acquire [wal-space] */
	refused.flushed = flushed;
	refused.prepared = prepared;
	refused.space_errno = space_errno;
	refused.lacks_segment = end > prepared;
	return refused.lacks_segment && space_errno != 0 ? WAL_DISK_FULL : WAL_NO_SPACE;
}

/*
 * own_predecessor -- before the insert word stops naming 'prev' with the end
 * 'start': make sure that prev's slot says OWNED if the reservation is not over.
 */
static void
own_predecessor(uint32 prev, Lsn start)
{
	ProcSlot   *slot;
	uint64		word;

	if (prev == PROC_SLOT_NONE || prev == my_slot->number)
		return;
	slot = proc_slot(prev);
	word = atomic_load_explicit(&slot->wal_word, memory_order_seq_cst);	/* seq_cst [wal-tentative] */
	if ((word & 3) != WAL_RES_TENTATIVE)
		return;
	/*
	 * relaxed: stored before TENTATIVE, which we have acquired, and not again while
	 * the slot says so; if it has left since, the CAS fails.
	 */
	if (wal__res_start(word) + atomic_load_explicit(&slot->wal_len, memory_order_relaxed) != start)
		return;
	/* failure: the owner, or another helper, was faster */
	(void) atomic_compare_exchange_strong_explicit(&slot->wal_word, &word,
												   wal__make_res(wal__res_start(word), WAL_RES_OWNED),
												   memory_order_seq_cst, memory_order_seq_cst);
}

/* pad_length -- of a VOID that ends at a block's end. */
static uint32
pad_length(Lsn start)
{
	uint64		length = AlignUp(start + WAL_RECORD_HEADER, WAL_BLOCK) - start;

	return (uint32) length;
}

/*
 * reserve -- 'length' bytes of header and body; 0: as many as a pad needs.
 *
 * Numbered as in the design: 1 space, 2 length and leaf into the slot,
 * 3 TENTATIVE, 4 help the predecessor, 5 CAS the insert word, 6 OWNED.
 */
static WalReserve
reserve(uint32 fixed_length, Off leaf, WalReservation *r)
{
	ProcSlot   *slot = my_slot;
	/* acquire [wal-insert]: the predecessor's slot is at least as new as the word that names it */
	uint64		word = atomic_load_explicit(&wal_shared->insert_word, memory_order_acquire);

	Assert((atomic_load_explicit(&slot->wal_word, memory_order_relaxed) & 3) == WAL_RES_IDLE);
	for (;;)
	{
		Lsn			start = wal__word_lsn(word);
		uint32		length = fixed_length != 0 ? fixed_length : pad_length(start);
		Lsn			end = start + wal__record_size(length);
		WalReserve	space = check_space(end);

		if (unlikely(space != WAL_RESERVED))
		{
			/* release [wal-fill]: an attempt before may have left TENTATIVE; nothing is owned */
			atomic_store_explicit(&slot->wal_word, WAL_RES_IDLE, memory_order_release);
			return space;
		}
		/* relaxed: published by TENTATIVE */
		atomic_store_explicit(&slot->wal_len, end - start, memory_order_relaxed);
		atomic_store_explicit(&slot->wal_leaf, leaf, memory_order_relaxed);
		/* seq_cst [wal-tentative]: before the CAS, for those who read the insert word first and the slot second */
		atomic_store_explicit(&slot->wal_word, wal__make_res(start, WAL_RES_TENTATIVE), memory_order_seq_cst);
		own_predecessor(wal__word_slot(word), start);
		/* seq_cst [wal-insert] */
		if (atomic_compare_exchange_strong_explicit(&wal_shared->insert_word, &word, wal__make_word(end, slot->number),
													memory_order_seq_cst, memory_order_acquire))
		{
			/* release: whoever reads OWNED reads length and leaf; a helper may have stored the same word already */
			atomic_store_explicit(&slot->wal_word, wal__make_res(start, WAL_RES_OWNED), memory_order_release);
			r->start = start;
			r->end = end;
			r->length = length;
			FAULT_POINT("wal-reserved");
			return WAL_RESERVED;
		}
	}
}

/*
 * wal_reserve -- room in the log for a record with a body of body_len bytes.
 *
 * A worker with nothing reserved, inside its epoch.  The caller has checked that
 * the record is not above wal_record_max().  On WAL_NO_SPACE and WAL_DISK_FULL
 * nothing is reserved and the slot is idle.
 */
WalReserve
wal_reserve(uint32 body_len, Off leaf, WalReservation *r)
{
	Verify(body_len <= wal_record_max() - WAL_RECORD_HEADER);
	return reserve(WAL_RECORD_HEADER + body_len, leaf, r);
}

bool
wal__reserve_pad(WalReservation *r)
{
	return reserve(0, 0, r) == WAL_RESERVED;
}

/* ---- filling ---- */

char *
wal__ring_at(Lsn lsn, uint64 *contiguous)
{
	uint64		pos = lsn & (wal_shared->ring_size - 1);

	*contiguous = wal_shared->ring_size - pos;
	return (char *) seg_ptr(wal_shared->ring) + pos;
}

/* ring_copy -- up to two pieces round the ring's end.  Plain bytes: the slot word orders them. */
static Lsn
ring_copy(Lsn at, const void *data, size_t len)
{
	uint64		contiguous;
	char	   *to = wal__ring_at(at, &contiguous);
	size_t		first = Min(len, contiguous);

	memcpy(to, data, first);
	if (unlikely(first < len))
		memcpy(seg_ptr(wal_shared->ring), (const char *) data + first, len - first);
	return at + len;
}

/*
 * seed_of -- of the segment in which the record starts.  The entry was made
 * before 'prepared' allowed this reservation (acquire in check_space), and it is
 * used for another segment only when flushed has passed this one.
 */
static uint64
seed_of(Lsn start)
{
	return wal_shared->segment[(start / wal_shared->segment_size) % WAL_SEGMENT_TABLE].seed;
}

static void
fill_header(const WalReservation *r, uint8 type, uint8 flags, uint16 key_len, uint32 body_crc)
{
	WalRecordHeader h;

	/* release [wal-ring]: the reservation before any of its bytes, for those who read older bytes in the same place */
	atomic_thread_fence(memory_order_release);
	h.length = r->length;
	h.crc = 0;
	h.lsn = r->start;
	/* any value read is one that 'flushed' had: recovery uses it as a lower bound */
	h.flushed_back = (uint32) ((r->start - wal_flushed_lsn()) / 8);
	h.type = type;
	h.flags = flags;
	h.key_len = key_len;
	h.crc = wal_record_crc(body_crc, &h, seed_of(r->start));
	(void) ring_copy(r->start, &h, sizeof(h));
}

static void
mark_idle(void)
{
	FAULT_POINT("wal-before-idle");
	/* release [wal-fill]: the record is in the ring */
	atomic_store_explicit(&my_slot->wal_word, WAL_RES_IDLE, memory_order_release);
}

void
wal_fill(const WalReservation *r, uint8 type, uint8 flags, uint16 key_len,
		 uint32 body_crc, const BytePart *parts, int part_count)
{
	static const char zeros[8];
	Lsn			at = r->start + WAL_RECORD_HEADER;

	FAULT_POINT("wal-before-fill");
	fill_header(r, type, flags, key_len, body_crc);
	for (int i = 0; i < part_count; i++)
		at = ring_copy(at, parts[i].data, parts[i].len);
	Verify(at == r->start + r->length);
	(void) ring_copy(at, zeros, r->end - at);
	mark_idle();
}

/* wal_fill_void -- the reservation is given up; its body keeps what lay in the ring. */
void
wal_fill_void(const WalReservation *r)
{
	fill_header(r, WAL_VOID, 0, 0, 0);
	/* relaxed: a figure */
	atomic_fetch_add_explicit(&wal_shared->voids, 1, memory_order_relaxed);
	mark_idle();
}

/* ---- the gate ---- */

/*
 * wal_want -- ask for a flush up to lsn.
 *
 * Outside an epoch (may write to an eventfd).  NOW and GROUP always wake the
 * walwriter, which costs a system call only if it sleeps.  PERIODIC wakes it only
 * if nothing was wanted beyond flushed before, for else its timer runs already:
 * it stores flushed and then reads the wants, we raise the want and then read
 * flushed, all seq_cst [wal-want], so one of the two sees the other.
 */
void
wal_want(Lsn lsn, WalUrgency urgency)
{
	uint64		before;

	if (urgency == WAL_PERIODIC)
	{
		/* seq_cst [wal-want] */
		before = atomic_load_explicit(&wal_shared->wanted_periodic, memory_order_seq_cst);
		(void) wal__raise(&wal_shared->wanted_periodic, lsn);
		/* seq_cst [wal-want] */
		if (before > atomic_load_explicit(&wal_shared->flushed, memory_order_seq_cst))
			return;
	}
	else
		(void) wal__raise(urgency == WAL_NOW ? &wal_shared->wanted : &wal_shared->wanted_group, lsn);
	if (wal_flushed_lsn() < lsn)
		latch_set(proc_first_slot(PROC_WALWRITER));
}

/* progress_made -- has anything changed since this process' last reservation was refused? */
static bool
progress_made(void)
{
	/* seq_cst [wal-wait]: after wait_lsn was announced; those who make progress store it first and read wait_lsn second */
	return atomic_load_explicit(&wal_shared->flushed, memory_order_seq_cst) != refused.flushed
		|| atomic_load_explicit(&wal_shared->prepared, memory_order_seq_cst) != refused.prepared
		|| atomic_load_explicit(&wal_shared->space_errno, memory_order_seq_cst) != refused.space_errno;
}

void
wal_replies_due(uint32 count)
{
	/* relaxed: a figure for the walwriter's policy */
	atomic_store_explicit(&my_slot->wait_count, count, memory_order_relaxed);
}

bool
wal_wait_begin(Lsn lsn, uint32 reply_count)
{
	ProcSlot   *slot = my_slot;
	bool		there;

	Assert(lsn != LSN_NONE);
	wal_replies_due(reply_count);
	atomic_store_explicit(&slot->wait_lsn, lsn, memory_order_seq_cst);	/* seq_cst [wal-wait] */
	if (lsn == 1)
		there = progress_made();
	else
		there = atomic_load_explicit(&wal_shared->flushed, memory_order_seq_cst) >= lsn;	/* seq_cst [wal-wait] */
	if (there)
	{
		wal_wait_end();
		return false;
	}
	if (lsn == 1)
		latch_set(proc_first_slot(refused.lacks_segment ? PROC_CHECKPOINTER : PROC_WALWRITER));
	return true;
}

void
wal_wait_end(void)
{
	/* seq_cst [wal-wait]: the walwriter's CAS may have been here before us */
	atomic_store_explicit(&my_slot->wait_lsn, 0, memory_order_seq_cst);
	wal_replies_due(0);
}

void
wal__wake_waiters(Lsn flushed)
{
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		ProcSlot   *slot = proc_slot(i);
		uint64		lsn = atomic_load_explicit(&slot->wait_lsn, memory_order_seq_cst);	/* seq_cst [wal-wait] */

		/* the owner may change its mind meanwhile: then look again */
		while (lsn != 0 && (lsn == 1 || lsn <= flushed))
			/* seq_cst [wal-wait]: who wins this CAS, the owner or we, ends the wait */
			if (atomic_compare_exchange_weak_explicit(&slot->wait_lsn, &lsn, 0, memory_order_seq_cst, memory_order_seq_cst))
			{
				latch_set(i);
				break;
			}
	}
}

/*
 * wal_wait_flushed -- sleep until every byte before lsn is durable.
 *
 * Any process without an event loop, outside an epoch.  timeout_ms < 0: no bound
 * but the process' own end.  true: durable.
 */
bool
wal_wait_flushed(Lsn lsn, int64 timeout_ms)
{
	uint64		begun = clock_mono_us();

	while (wal_flushed_lsn() < lsn)
	{
		int64		left_us = -1;

		if (timeout_ms >= 0)
		{
			left_us = timeout_ms * 1000 - (int64) (clock_mono_us() - begun);
			if (left_us <= 0)
				return false;
		}
		latch_reset();
		wal_want(lsn, WAL_NOW);
		if (wal_wait_begin(lsn, 1))
		{
			proc_set_wait(WAIT_WAL_FLUSH);
			latch_sleep(left_us);
			proc_set_wait(WAIT_NONE);
		}
		wal_wait_end();
	}
	return true;
}
