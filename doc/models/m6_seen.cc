/*
 * m6_seen.cc -- SEEN and the tidy-up under the C++11 memory model.
 *
 * Stands for art_mark_seen before art_publish and in the collapse of art__reshape, in
 * src/backend/access/art, and the successor's tidy-up, with the orders of the C code or weaker:
 * the slot word is loaded with acquire and changed by acq_rel CAS; the mark is a relaxed
 * fetch_or on the leaf's flags, ordered by the CAS that follows it and by the successor's load of
 * the slot.
 *
 * Thread 0 publishes the leaf A and may die before any step; its successor, which sees what it
 * has seen, tidies.  Thread 1 puts its leaf B into the slot, thread 2 replaces A by a copy.
 *
 * Properties.  A record whose leaf was published is filled, one whose leaf was not is VOID.
 * Whoever finds a leaf sees its contents (plain memory).
 *
 * Left out: as in m6_seen.pml, and the reuse of A's memory.
 *
 * Twin BROKEN_NOSEEN (assertion): nobody marks.
 * Twin BROKEN_SEEN_LATE (assertion): the mark is set after the CAS that replaces.
 * Twin BROKEN_SEEN_FIRST (assertion): the successor looks for the mark first, descends second.
 * Twin BROKEN_COPY_UNMARKED (assertion): the copy of a leaf is made without marking it.
 * Twin BROKEN_RELAXED_REPLACE (assertion): the CAS that replaces is relaxed (the leaf's contents
 *	are published with a fence before it); the successor finds B and not the mark on A.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_NOSEEN);
MODEL_TWIN(BROKEN_SEEN_LATE);
MODEL_TWIN(BROKEN_SEEN_FIRST);
MODEL_TWIN(BROKEN_COPY_UNMARKED);
MODEL_TWIN(BROKEN_RELAXED_REPLACE);

#define SEEN	1u

enum
{
	NONE, A, A_COPY, B, LEAVES
};

enum
{
	NOTHING, WRITE, VOID_RECORD
};

struct Leaf
{
	rl::atomic<unsigned> flags;
	rl::var<unsigned> lsn;
};

struct Seen : rl::test_suite<Seen, 3>
{
	rl::atomic<unsigned> slot;
	rl::atomic<unsigned> pending;	/* thread 0's process slot: 1 while record 1 is not filled */
	Leaf		leaf[LEAVES];

	bool		published;		/* ghost */

	void
	before()
	{
		unsigned	i;

		slot($).store(NONE, rl::mo_relaxed);
		pending($).store(1, rl::mo_relaxed);
		for (i = 0; i < LEAVES; i++)
		{
			leaf[i].flags($).store(0, rl::mo_relaxed);
			leaf[i].lsn($) = 0;
		}
		published = false;
	}

	void
	fill(int what)
	{
		RL_ASSERT((what == WRITE) == published);
		pending($).store(0, rl::mo_release);
	}

	bool
	marked()
	{
		return leaf[A].flags($).load(rl::mo_relaxed) & SEEN;
	}

	bool
	found()
	{
		return leaf[slot($).load(rl::mo_acquire)].lsn($) == 1;
	}

	void
	tidy()
	{
		bool		was_published;

		if (pending($).load(rl::mo_relaxed) == 0)
			return;
		if (BROKEN_SEEN_FIRST)
			was_published = marked() || found();
		else
			was_published = found() || marked();
		fill(was_published ? WRITE : VOID_RECORD);
	}

	void
	mark(unsigned s, unsigned n)
	{
		unsigned	completed = pending($).load(rl::mo_acquire) == 0 ? 1 : 0;

		if (BROKEN_NOSEEN || (BROKEN_COPY_UNMARKED && n == A_COPY))
			return;
		if (leaf[s].lsn($) > completed)
			leaf[s].flags($).fetch_or(SEEN, rl::mo_relaxed);
	}

	bool
	replace(unsigned s, unsigned n)
	{
		unsigned	expected = s;

		if (!BROKEN_SEEN_LATE)
			mark(s, n);
		if (!slot($).compare_exchange_strong(expected, n,
				BROKEN_RELAXED_REPLACE ? rl::mo_relaxed : rl::mo_acq_rel, rl::mo_relaxed))
			return false;
		if (BROKEN_SEEN_LATE)
			mark(s, n);
		return true;
	}

	void
	thread(unsigned me)
	{
		unsigned	s = NONE;

		switch (me)
		{
			case 0:
				{
					unsigned	steps = rl::rand(4);
					bool		ok;

					leaf[A].lsn($) = 1;
					if (steps == 0)
					{
						tidy();
						break;
					}
					ok = slot($).compare_exchange_strong(s, A, rl::mo_acq_rel, rl::mo_relaxed);
					published = ok;
					if (steps <= 2)
					{
						tidy();
						break;
					}
					fill(ok ? WRITE : VOID_RECORD);
					break;
				}
			case 1:
				leaf[B].lsn($) = 2;
				if (BROKEN_RELAXED_REPLACE)
					rl::atomic_thread_fence(rl::mo_release, $);
				do
					s = slot($).load(rl::mo_acquire);
				while (!replace(s, B));
				break;
			default:
				s = slot($).load(rl::mo_acquire);
				if (s == A)
				{
					leaf[A_COPY].lsn($) = leaf[A].lsn($);
					if (BROKEN_RELAXED_REPLACE)
						rl::atomic_thread_fence(rl::mo_release, $);
					replace(A, A_COPY);
				}
				break;
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !(model_bound<Seen>(4, verbose) && model_random<Seen>(60000, verbose));
}
