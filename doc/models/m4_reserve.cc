/*
 * m4_reserve.cc -- the detectable reservation under the C++11 memory model.
 *
 * Stands for wal_reserve, wal_fill and wal_completed_update in
 * src/backend/access/wal/walring.c and the question of the tidy-up whether a dead worker owned a
 * reservation, with the orders of the C code or weaker: length relaxed; the word of the process
 * slot is stored with release, loaded with acquire, CASed with acq_rel; insert word: acquire
 * load, acq_rel CAS.  The steps are those of m4_reserve.pml.
 *
 * Threads 0 and 1 write two records each and may die before any step; their successor, which
 * sees what they have seen, asks whether they owned a reservation, tidies and writes one record.
 * Thread 2 computes completed twice and reads the records below it.
 *
 * Properties.  The successor's answer is the truth.  What lies below completed is filled in, and
 * whoever has read completed sees it (records are plain memory).
 *
 * Left out: as in m4_reserve.pml.
 *
 * Twin BROKEN_NOHELP (assertion): the predecessor is not marked OWNED.
 * Twin BROKEN_SLOT_FIRST (assertion): the successor reads the slot before the insert word.
 * Twin BROKEN_RELAXED_INSERT (assertion): the insert word's CAS and loads are relaxed; who has seen
 *	it moved on may still see the slot as it was before.
 * Twin BROKEN_RELAXED_IDLE (data race): the store that makes the slot idle is relaxed, so the
 *	record may not be there yet.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_NOHELP);
MODEL_TWIN(BROKEN_SLOT_FIRST);
MODEL_TWIN(BROKEN_RELAXED_INSERT);
MODEL_TWIN(BROKEN_RELAXED_IDLE);

#define WORKERS 2
#define NOBODY	15u
#define RING	20

/* insert word: lsn << 4 | last reserver */
#define INSERT(lsn, who) ((lsn) << 4 | (who))
#define LSN(w)	((w) >> 4)
#define WHO(w)	((w) & 15u)

/* word in the process slot: start << 2 | state */
enum
{
	IDLE, TENTATIVE, OWNED
};
#define SLOT(start, state) ((start) << 2 | (state))
#define START(w) ((w) >> 2)
#define STATE(w) ((w) & 3u)

struct Reserve : rl::test_suite<Reserve, 3>
{
	rl::atomic<unsigned> insert;
	rl::atomic<unsigned> word[WORKERS];
	rl::atomic<unsigned> length[WORKERS];
	rl::var<int> ring[RING];	/* a record is filled in at its start: its length */

	bool		owns[WORKERS];	/* ghost: reserved and not yet idle */
	bool		starts[RING];	/* ghost: a record was reserved here */
	unsigned	lengths[RING];

	void
	before()
	{
		unsigned	i;

		insert($).store(INSERT(0, NOBODY), rl::mo_relaxed);
		for (i = 0; i < WORKERS; i++)
		{
			word[i]($).store(IDLE, rl::mo_relaxed);
			length[i]($).store(0, rl::mo_relaxed);
			owns[i] = false;
		}
		for (i = 0; i < RING; i++)
		{
			ring[i]($) = 0;
			starts[i] = false;
		}
	}

	rl::memory_order
	insert_order(rl::memory_order order)
	{
		return BROKEN_RELAXED_INSERT ? rl::mo_relaxed : order;
	}

	/* Die here?  'steps' counts down to the step at which this worker dies. */
	bool
	dies(int *steps)
	{
		return (*steps)-- == 0;
	}

	/* False: died. */
	bool
	write_record(unsigned me, int *steps)
	{
		unsigned	in,
					l,
					len;

		do
		{
			in = insert($).load(insert_order(rl::mo_acquire));
			l = LSN(in);
			len = 1 + (l + me) % 2;
			RL_ASSERT(l + len < RING);
			if (dies(steps))
				return false;
			length[me]($).store(len, rl::mo_relaxed);
			if (dies(steps))
				return false;
			word[me]($).store(SLOT(l, TENTATIVE), rl::mo_release);
			if (dies(steps))
				return false;
			if (WHO(in) != NOBODY && WHO(in) != me && !BROKEN_NOHELP)
			{
				unsigned	other = WHO(in);
				unsigned	w = word[other]($).load(rl::mo_acquire);

				if (STATE(w) == TENTATIVE && START(w) + length[other]($).load(rl::mo_relaxed) == l)
					word[other]($).compare_exchange_strong(w, SLOT(START(w), OWNED),
						rl::mo_acq_rel, rl::mo_relaxed);
				if (dies(steps))
					return false;
			}
		} while (!insert($).compare_exchange_strong(in, INSERT(l + len, me),
			insert_order(rl::mo_acq_rel), rl::mo_relaxed));
		owns[me] = true;
		starts[l] = true;
		lengths[l] = len;
		if (dies(steps))
			return false;
		word[me]($).store(SLOT(l, OWNED), rl::mo_release);
		if (dies(steps))
			return false;
		fill(me, l, len);
		return true;
	}

	/* Also the successor's, for what it found reserved. */
	void
	fill(unsigned me, unsigned l, unsigned len)
	{
		ring[l]($) = len;
		word[me]($).store(IDLE, BROKEN_RELAXED_IDLE ? rl::mo_relaxed : rl::mo_release);
		owns[me] = false;
	}

	void
	tidy(unsigned me)
	{
		unsigned	in = 0,
					w,
					len;
		bool		owned;

		if (BROKEN_SLOT_FIRST)
		{
			w = word[me]($).load(rl::mo_acquire);
			in = insert($).load(insert_order(rl::mo_acquire));
		}
		else
		{
			in = insert($).load(insert_order(rl::mo_acquire));
			w = word[me]($).load(rl::mo_acquire);
		}
		len = length[me]($).load(rl::mo_relaxed);
		owned = STATE(w) == OWNED || (STATE(w) == TENTATIVE && WHO(in) == me && START(w) + len == LSN(in));
		RL_ASSERT(owned == owns[me]);
		if (owned)
			fill(me, START(w), len);
		else
			word[me]($).store(IDLE, rl::mo_release);
	}

	void
	completed()
	{
		unsigned	c = LSN(insert($).load(insert_order(rl::mo_acquire)));
		unsigned	i;

		for (i = 0; i < WORKERS; i++)
		{
			unsigned	w = word[i]($).load(rl::mo_acquire);

			if (STATE(w) != IDLE && START(w) < c)
				c = START(w);
		}
		for (i = 0; i < c; i++)
			if (starts[i])
				RL_ASSERT(ring[i]($) == (int) lengths[i]);
	}

	void
	thread(unsigned me)
	{
		int			steps;

		if (me == WORKERS)
		{
			completed();
			completed();
			return;
		}
		steps = rl::rand(20);		/* twelve to some twenty steps are walked: about half of them die */
		if (write_record(me, &steps) && write_record(me, &steps))
			return;
		tidy(me);
		steps = -1;
		write_record(me, &steps);
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Reserve>(80000, verbose);
}
