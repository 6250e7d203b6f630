/*
 * m11_tombstone.cc -- when a tombstone may go, under the C++11 memory model.
 *
 * Stands for store_read, store__promote, store_write, store_write_blind and store__base_publish in
 * src/backend/access/store, steps 6 and 7 of checkpoint.c beside it, and the evictor's sweep of
 * tombstones, with the orders of the C code, which m10_promote.cc lists.  (evict_cut and the CAS
 * that takes the tombstone out could do with relaxed: what orders null and root is the grace
 * period between them.)
 *
 * m11_tombstone.pml has the protocol.  Thread 0 reads (and promotes) or writes, thread 1 deletes,
 * writes blindly, deletes, and reads after each; thread 2 makes two checkpoints; thread 3 sweeps
 * tombstones, four times.  The row of roots has two places.
 *
 * Properties.  What is promoted is the newest version; what a writer has seen is when its CAS
 * succeeds.  The versions in the slot grow.  Who has deleted the key does not find what was
 * before.  When a tombstone goes, the root in force lacks the key.  Nobody reads a root or a
 * leaf while it is filled in (plain memory: else a data race).
 *
 * Left out: as in m11_tombstone.pml; the reuse of leaves.
 *
 * Twin BROKEN_FLUSHED (assertion): a tombstone goes when all below it is complete.
 * Twin BROKEN_AT_ONCE (assertion): evict_cut := cut as soon as the root is published.
 * Twin BROKEN_CUT_FIRST (assertion): evict_cut := cut, and then the root is published.
 * Twin BROKEN_ANY (assertion): a tombstone goes at once; an older version follows it.
 * Twin BROKEN_ENTER_NOFENCE (data race): the epoch is entered without its fence.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_FLUSHED);
MODEL_TWIN(BROKEN_AT_ONCE);
MODEL_TWIN(BROKEN_CUT_FIRST);
MODEL_TWIN(BROKEN_ANY);
MODEL_TWIN(BROKEN_ENTER_NOFENCE);

#define BASES	2
#define LEAVES	48
#define LSNS	48
#define WRITERS	2
#define TOMB	1u				/* in a version: lsn * 2 + TOMB */
#define LSN(v)	((v) / 2)
#define VALUE(v) (((v) & TOMB) ? 0 : (v))

struct Tombstone : rl::test_suite<Tombstone, 4>
{
	ModelEpochs<WRITERS> epochs;
	rl::atomic<unsigned> slot;		/* a leaf's number; 0 null */
	rl::var<unsigned> leaf[LEAVES];	/* contents: the version */
	rl::atomic<unsigned> base_index;
	rl::var<unsigned> base[BASES];	/* the version that each root holds; 0 nothing */
	rl::atomic<unsigned> evict_cut;
	rl::atomic<unsigned> insert;
	rl::atomic<unsigned> pending[WRITERS];	/* process slots */

	unsigned	leaves;				/* ghost: numbers given out */
	unsigned	held;				/* ghost: what the root in force holds */
	unsigned	last;				/* ghost: the newest version */
	unsigned	published[LSNS];	/* ghost: the version that each lsn stands for */

	void
	before()
	{
		unsigned	i;

		epochs.init();
		for (i = 0; i < LEAVES; i++)
			leaf[i]($) = 0;
		for (i = 0; i < LSNS; i++)
			published[i] = 0;
		published[1] = held = last = 1 * 2;
		for (i = 0; i < BASES; i++)
			base[i]($) = held;
		for (i = 0; i < WRITERS; i++)
			pending[i]($).store(0, rl::mo_relaxed);
		slot($).store(0, rl::mo_relaxed);
		base_index($).store(0, rl::mo_relaxed);
		evict_cut($).store(1, rl::mo_relaxed);
		insert($).store(1, rl::mo_relaxed);
		leaves = 1;
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
	build(unsigned version)
	{
		unsigned	n = leaves++;

		RL_ASSERT(n < LEAVES);
		leaf[n]($) = version;
		return n;
	}

	/* Inside an epoch: overlay, then base: the version that there is, 0 for none; *s the slot word. */
	unsigned
	look(unsigned *s)
	{
		*s = slot($).load(rl::mo_acquire);
		if (*s != 0)
			return VALUE(leaf[*s]($));
		return base[base_index($).load(rl::mo_acquire)]($);
	}

	void
	read()
	{
		unsigned	s,
					v;

		enter(0);
		v = look(&s);
		if (s == 0 && v != 0)
		{
			unsigned	n = build(v);

			if (slot($).compare_exchange_strong(s, n, rl::mo_acq_rel, rl::mo_relaxed))
				RL_ASSERT(v == last);
		}
		epochs.leave(0);
	}

	unsigned
	reserve(unsigned me)
	{
		unsigned	l = insert($).load(rl::mo_acquire);

		do
			pending[me]($).store(l + 1, rl::mo_release);
		while (!insert($).compare_exchange_strong(l, l + 1, rl::mo_acq_rel, rl::mo_acquire));
		RL_ASSERT(l + 1 < LSNS);
		return l + 1;
	}

	/* true: done (a deletion of nothing is), or given up */
	bool
	write(unsigned me, bool remove, bool blind)
	{
		unsigned	s,
					seen,
					l,
					v;
		bool		ok;

		enter(me);
		seen = look(&s);
		if (remove && seen == 0)
		{
			epochs.leave(me);
			return true;
		}
		l = reserve(me);
		v = l * 2 + (remove ? TOMB : 0);
		ok = slot($).compare_exchange_strong(s, build(v), rl::mo_acq_rel, rl::mo_relaxed);
		if (ok)
		{
			RL_ASSERT(blind || BROKEN_ANY || seen == VALUE(last));
			RL_ASSERT(l > LSN(last));
			published[l] = last = v;
		}
		pending[me]($).store(0, rl::mo_release);
		epochs.leave(me);
		if (ok && remove)
		{
			enter(me);
			v = look(&s);
			RL_ASSERT(v == 0 || LSN(v) > l);
			epochs.leave(me);
		}
		return ok;
	}

	/* Waits until all below 'upto' is complete; false: in vain. */
	bool
	completed(unsigned upto)
	{
		unsigned	i,
					p,
					looks = 0;

		for (i = 0; i < WRITERS; i++)
			while ((p = pending[i]($).load(rl::mo_acquire)) != 0 && p <= upto)
			{
				if (++looks > MODEL_LOOKS)
					return false;
				rl::yield(1, $);
			}
		return true;
	}

	bool
	checkpoint(unsigned round)
	{
		unsigned	cut = insert($).load(rl::mo_acquire),
					v = cut;

		if (!completed(cut))
			return false;
		while (published[v] == 0)
			v--;
		if (BROKEN_CUT_FIRST)
			evict_cut($).store(cut, rl::mo_release);
		base[round % BASES]($) = VALUE(published[v]);
		base_index($).store(round % BASES, rl::mo_release);
		held = VALUE(published[v]);
		if (BROKEN_AT_ONCE)
			evict_cut($).store(cut, rl::mo_release);
		if (!epochs.grace())
			return false;
		evict_cut($).store(cut, rl::mo_release);
		return true;
	}

	void
	sweep()
	{
		unsigned	upto = evict_cut($).load(rl::mo_acquire),
					s,
					v;

		if (BROKEN_FLUSHED)
		{
			upto = insert($).load(rl::mo_acquire);
			if (!completed(upto))
				return;
		}
		if (BROKEN_ANY)
			upto = LSNS;
		s = slot($).load(rl::mo_acquire);
		if (s == 0)
			return;
		v = leaf[s]($);
		if (!(v & TOMB) || LSN(v) > upto)
			return;
		if (slot($).compare_exchange_strong(s, 0, rl::mo_acq_rel, rl::mo_relaxed) &&
			!BROKEN_FLUSHED && !BROKEN_CUT_FIRST && !BROKEN_ANY)
			RL_ASSERT(held == 0 || LSN(held) > LSN(v));
	}

	void
	thread(unsigned me)
	{
		unsigned	i;

		switch (me)
		{
			case 0:
				for (i = 0; i < 2; i++)
					if (BROKEN_ANY || rl::rand(2))
						(void) write(0, false, BROKEN_ANY);
					else
						read();
				break;
			case 1:
				for (i = 0; i < 3; i++)
					while (!write(1, i != 1, i == 1))
						;
				break;
			case 2:
				if (checkpoint(1))
					checkpoint(2);
				break;
			default:
				for (i = 0; i < 4; i++)
					sweep();
				break;
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Tombstone>(200000, verbose);
}
