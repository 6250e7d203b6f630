/*
 * m10_promote.cc -- promotion, switch of the root and eviction under the C++11 memory model.
 *
 * Stands for store_read, store__promote, store_write and store__base_publish in
 * src/backend/access/store, steps 6 and 7 of checkpoint.c beside it, and the evictor's removal of
 * a leaf, with the orders of the C code:
 *
 *	base_index			release store, acquire load; the entries are plain memory
 *	evict_cut			release store, acquire load
 *	slot word			acquire load, acq_rel CAS
 *	process slot, insert	as in m9_walk.cc
 *
 * m10_promote.pml has the protocol.  Thread 0 reads and promotes, twice; thread 1 writes, by what
 * it has seen, and reads; thread 2 makes two checkpoints; thread 3 evicts, three times.  The
 * row of roots has two places only, so that each is used again.
 *
 * Properties.  What is promoted is the newest version, what a writer has seen is when its CAS
 * succeeds.  When the slot is emptied, the root in force holds the newest version.  Who has
 * written finds that version.  Nobody reads a root or a leaf while it is filled in (plain
 * memory: else a data race).
 *
 * Left out: as in m10_promote.pml; how the walk finds the version as of the cut (m9); the reuse of
 * leaves.
 *
 * Variant OVERLAY_FIRST: the root is read after the overlay.
 *
 * Twin BROKEN_OTHER_EPOCH (data race): promotion by a root that was read in an epoch before; its
 *	place is used again.
 * Twin BROKEN_OTHER_VALUE (assertion): promotion by a value that was read in an epoch before.
 * Twin BROKEN_AT_ONCE (assertion): evict_cut := cut as soon as the root is published.
 * Twin BROKEN_NOGRACE (data race): there is no grace period at all; the place of a root that is
 *	still read is used again.
 * Twin BROKEN_CUT_FIRST (assertion): evict_cut := cut, and then the root is published.
 * Twin BROKEN_EVICT_STORE (assertion): the slot is emptied without comparing.
 * Twin BROKEN_ENTER_NOFENCE (data race): the epoch is entered without its fence.
 * Twin BROKEN_RELAXED_ROOT (data race): base_index is stored relaxed.
 * Twin BROKEN_RELAXED_PROMOTE (data race): the CAS that promotes is relaxed.
 */
#include "model.hh"

MODEL_TWIN(OVERLAY_FIRST);
MODEL_TWIN(BROKEN_OTHER_EPOCH);
MODEL_TWIN(BROKEN_OTHER_VALUE);
MODEL_TWIN(BROKEN_AT_ONCE);
MODEL_TWIN(BROKEN_NOGRACE);
MODEL_TWIN(BROKEN_CUT_FIRST);
MODEL_TWIN(BROKEN_EVICT_STORE);
MODEL_TWIN(BROKEN_ENTER_NOFENCE);
MODEL_TWIN(BROKEN_RELAXED_ROOT);
MODEL_TWIN(BROKEN_RELAXED_PROMOTE);

#define BASES	2
#define LEAVES	32
#define LSNS	32

struct Promote : rl::test_suite<Promote, 4>
{
	ModelEpochs<2> epochs;			/* reader and writer */
	rl::atomic<unsigned> slot;		/* a leaf's number; 0 null */
	rl::var<unsigned> leaf[LEAVES];	/* contents: the lsn */
	rl::atomic<unsigned> base_index;
	rl::var<unsigned> base[BASES];	/* the version that each root holds */
	rl::atomic<unsigned> evict_cut;
	rl::atomic<unsigned> insert;
	rl::atomic<unsigned> pending;	/* the writer's process slot */

	unsigned	leaves;				/* ghost: numbers given out */
	unsigned	held;				/* ghost: what the root in force holds */
	unsigned	last;				/* ghost: the newest version */
	bool		published[LSNS];	/* ghost */

	void
	before()
	{
		unsigned	i;

		epochs.init();
		for (i = 0; i < LEAVES; i++)
			leaf[i]($) = 0;
		for (i = 0; i < BASES; i++)
			base[i]($) = 1;
		for (i = 0; i < LSNS; i++)
			published[i] = i == 1;
		slot($).store(0, rl::mo_relaxed);
		base_index($).store(0, rl::mo_relaxed);
		evict_cut($).store(1, rl::mo_relaxed);
		insert($).store(1, rl::mo_relaxed);
		pending($).store(0, rl::mo_relaxed);
		leaves = 1;
		held = last = 1;
	}

	void
	enter(unsigned me)
	{
		if (BROKEN_ENTER_NOFENCE)
			epochs.word[me]($).store(1, rl::mo_release);
		else
			epochs.enter(me);
	}

	unsigned
	build(unsigned lsn)
	{
		unsigned	n = leaves++;

		RL_ASSERT(n < LEAVES);
		leaf[n]($) = lsn;
		return n;
	}

	/* Inside an epoch: the version that there is; *s the slot word. */
	unsigned
	look(unsigned *s)
	{
		unsigned	r = 0;

		if (!OVERLAY_FIRST)
			r = base_index($).load(rl::mo_acquire);
		*s = slot($).load(rl::mo_acquire);
		if (*s != 0)
			return leaf[*s]($);
		if (OVERLAY_FIRST)
			r = base_index($).load(rl::mo_acquire);
		return base[r]($);
	}

	void
	read()
	{
		unsigned	s = 0,
					v,
					r;

		enter(0);
		if (BROKEN_OTHER_EPOCH)
		{
			r = base_index($).load(rl::mo_acquire);
			epochs.leave(0);
			enter(0);
			s = slot($).load(rl::mo_acquire);
			v = s == 0 ? base[r]($) : leaf[s]($);
		}
		else
		{
			v = look(&s);
			if (BROKEN_OTHER_VALUE)
			{
				epochs.leave(0);
				for (r = 0; r < MODEL_LOOKS && (held == v || slot.debug_value() != 0); r++)
					rl::yield(1, $);	/* sleeps for long */
				enter(0);
			}
		}
		if (s == 0)
		{
			unsigned	n = build(v);

			if (slot($).compare_exchange_strong(s, n,
					BROKEN_RELAXED_PROMOTE ? rl::mo_relaxed : rl::mo_acq_rel, rl::mo_relaxed))
				RL_ASSERT(v == last);
		}
		epochs.leave(0);
	}

	unsigned
	reserve()
	{
		unsigned	l = insert($).load(rl::mo_acquire);

		do
			pending($).store(l + 1, rl::mo_release);
		while (!insert($).compare_exchange_strong(l, l + 1, rl::mo_acq_rel, rl::mo_acquire));
		RL_ASSERT(l + 1 < LSNS);
		return l + 1;
	}

	bool
	write()
	{
		unsigned	s,
					seen,
					l,
					n;
		bool		ok;

		enter(1);
		seen = look(&s);
		l = reserve();
		n = build(l);
		ok = slot($).compare_exchange_strong(s, n, rl::mo_acq_rel, rl::mo_relaxed);
		if (ok)
		{
			RL_ASSERT(seen == last);
			last = l;
			published[l] = true;
		}
		pending($).store(0, rl::mo_release);
		epochs.leave(1);
		if (ok)
		{
			enter(1);
			RL_ASSERT(look(&s) == l);
			epochs.leave(1);
		}
		return ok;
	}

	/* false: waited in vain */
	bool
	checkpoint(unsigned round)
	{
		unsigned	cut = insert($).load(rl::mo_acquire),
					looks = 0,
					v = cut,
					p;

		while ((p = pending($).load(rl::mo_acquire)) != 0 && p <= cut)
		{
			if (++looks > MODEL_LOOKS)
				return false;
			rl::yield(1, $);
		}
		while (!published[v])
			v--;
		if (BROKEN_CUT_FIRST)
			evict_cut($).store(cut, rl::mo_release);
		base[round % BASES]($) = v;
		base_index($).store(round % BASES, BROKEN_RELAXED_ROOT ? rl::mo_relaxed : rl::mo_release);
		held = v;
		if (BROKEN_AT_ONCE)
			evict_cut($).store(cut, rl::mo_release);
		if (!BROKEN_NOGRACE && !epochs.grace())
			return false;
		evict_cut($).store(cut, rl::mo_release);
		return true;
	}

	void
	evict()
	{
		unsigned	upto = evict_cut($).load(rl::mo_acquire);
		unsigned	s = slot($).load(rl::mo_acquire);

		if (s == 0 || leaf[s]($) > upto)
			return;
		if (BROKEN_EVICT_STORE)
			slot($).store(0, rl::mo_release);
		else if (!slot($).compare_exchange_strong(s, 0, rl::mo_acq_rel, rl::mo_relaxed))
			return;
		if (!BROKEN_CUT_FIRST)
			RL_ASSERT(held == last);
	}

	void
	thread(unsigned me)
	{
		unsigned	i;

		switch (me)
		{
			case 0:
				read();
				read();
				break;
			case 1:
				for (i = 0; i < 2; i++)
					while (!write())
						;
				break;
			case 2:
				if (checkpoint(1))
					checkpoint(2);
				break;
			default:
				evict();
				evict();
				evict();
				break;
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Promote>(200000, verbose);
}
