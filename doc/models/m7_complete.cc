/*
 * m7_complete.cc -- COMPLETE under the C++11 memory model: which orders a definite no needs.
 *
 * Stands for art_lookup_complete, art_evict, art_filling_begin, store__promote, art_filling_end and
 * art__reshape, in src/backend/access/art and src/backend/access/store, with their memory orders:
 *
 *	a lookup			acquire, for the root's flags and slot, a node's meta and slot, in this order
 *	set, hand down		CAS release
 *	clear				CAS release
 *	fill, remove		CAS acq_rel
 *						(handing down and clearing could do with relaxed: the fence of epoch_enter
 *						stands between them and what they speak of)
 *	freeze				fetch_or acq_rel; the copy's loads acquire, its CAS acq_rel
 *
 * m7_complete.pml has the protocol.  Thread 0 looks keys up, each in an epoch of its own; thread 1 is the
 * evictor, which takes keys away and fills the overlay again in an order of its own; thread 2
 * replaces nodes by copies.  At first the root is COMPLETE or the overlay empty.
 *
 * Properties.  A lookup that has seen COMPLETE finds its key.  Whoever finds a leaf sees its
 * contents (plain memory).
 *
 * Left out: as in m7_complete.pml.
 *
 * Twin BROKEN_NOGRACE (assertion): the leaf goes at once.
 * Twin BROKEN_STORE (assertion): COMPLETE is stored whether FILLING stands or not.
 * Twin BROKEN_NOFILLING (assertion): COMPLETE is set without having said FILLING.
 * Twin BROKEN_FLAG_LATE (assertion): the flags are read after the slot.
 * Twin BROKEN_NOHELP (assertion): the flag of a frozen node is cleared; its copy has it.
 * Twin BROKEN_FLAG_FIRST (assertion): the copy has the flag as read before the freeze.
 * Twin BROKEN_RELAXED_SET (assertion): COMPLETE is set relaxed; a lookup sees it and not the leaf.
 * Twin BROKEN_RELAXED_READ (assertion): the lookup reads the flags relaxed.
 * Twin BROKEN_ENTER_NOFENCE (assertion): the epoch is entered without its fence; a lookup that
 *	nobody waits for reads an old COMPLETE.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_NOGRACE);
MODEL_TWIN(BROKEN_STORE);
MODEL_TWIN(BROKEN_NOFILLING);
MODEL_TWIN(BROKEN_FLAG_LATE);
MODEL_TWIN(BROKEN_NOHELP);
MODEL_TWIN(BROKEN_FLAG_FIRST);
MODEL_TWIN(BROKEN_RELAXED_SET);
MODEL_TWIN(BROKEN_RELAXED_READ);
MODEL_TWIN(BROKEN_ENTER_NOFENCE);

#define FROZEN	0x100u			/* in slot and meta words */
#define COMPLETE 1u				/* in meta words and the root's */
#define FILLING	2u				/* in the root's */
#define REF(w)	((w) & 0xffu)
#define NODES	16
#define LOOKUPS	8
#define COPIES	3
#define LEAVES	8

typedef rl::atomic<unsigned> Word;

struct Node
{
	Word		meta;
	Word		slot;			/* of its one key */
};

struct Complete : rl::test_suite<Complete, 3>
{
	ModelEpochs<3> epochs;
	Word		flags;			/* the root's */
	Word		child[2];		/* the node of each key; never frozen */
	Node		node[NODES];
	rl::var<int> leaf[LEAVES];	/* contents: the key + 1 */

	unsigned	nodes;			/* ghost: numbers given out */
	unsigned	leaves;
	bool		apart;			/* the key that is looked up is not the one that goes; and nobody copies */

	void
	before()
	{
		bool		full = rl::rand(2);
		unsigned	i;

		apart = rl::rand(2);
		epochs.init();
		for (i = 0; i < NODES; i++)
		{
			node[i].meta($).store(0, rl::mo_relaxed);
			node[i].slot($).store(0, rl::mo_relaxed);
		}
		for (i = 0; i < LEAVES; i++)
			leaf[i]($) = 0;
		for (i = 0; i < 2; i++)
		{
			child[i]($).store(i, rl::mo_relaxed);
			leaf[i + 1]($) = (int) i + 1;
			if (full)
				node[i].slot($).store(i + 1, rl::mo_relaxed);
		}
		flags($).store(full ? COMPLETE : 0, rl::mo_relaxed);
		nodes = 2;
		leaves = 3;
	}

	/* art__help, art__reshape: a copy of the node takes its place */
	void
	reshape(unsigned key, unsigned n)
	{
		unsigned	c = nodes++,
					m = 0;

		RL_ASSERT(c < NODES);
		if (BROKEN_FLAG_FIRST)
			m = node[n].meta($).load(rl::mo_acquire);
		node[n].meta($).fetch_or(FROZEN, rl::mo_acq_rel);
		node[n].slot($).fetch_or(FROZEN, rl::mo_acq_rel);
		if (!BROKEN_FLAG_FIRST)
			m = node[n].meta($).load(rl::mo_acquire);
		node[c].meta($).store(m & COMPLETE, rl::mo_relaxed);
		node[c].slot($).store(REF(node[n].slot($).load(rl::mo_acquire)), rl::mo_relaxed);
		if (!child[key]($).compare_exchange_strong(n, c, rl::mo_acq_rel, rl::mo_relaxed))
			nodes -= nodes == c + 1;
	}

	rl::memory_order
	read_order()
	{
		return BROKEN_RELAXED_READ ? rl::mo_relaxed : rl::mo_acquire;
	}

	void
	lookup(unsigned key)
	{
		bool		complete = false;
		unsigned	n,
					s;

		if (BROKEN_ENTER_NOFENCE)
			epochs.word[0]($).store(1, rl::mo_release);
		else
			epochs.enter(0);
		if (!BROKEN_FLAG_LATE)
			complete = flags($).load(read_order()) & COMPLETE;
		n = child[key]($).load(rl::mo_acquire);
		if (!BROKEN_FLAG_LATE)
			complete |= node[n].meta($).load(read_order()) & COMPLETE;
		s = REF(node[n].slot($).load(rl::mo_acquire));
		if (BROKEN_FLAG_LATE)
		{
			complete = flags($).load(rl::mo_acquire) & COMPLETE;
			complete |= node[n].meta($).load(rl::mo_acquire) & COMPLETE;
		}
		if (s != 0)
			RL_ASSERT(leaf[s]($) == (int) key + 1);
		else
			RL_ASSERT(!complete);
		epochs.leave(0);
	}

	/* change_meta: false: frozen, helped */
	bool
	change_meta(unsigned key, unsigned add)
	{
		unsigned	n = child[key]($).load(rl::mo_acquire);
		unsigned	m = node[n].meta($).load(rl::mo_relaxed);
		bool		hand = add != 0;

		while (((m & ~COMPLETE) | add) != m)
		{
			if ((m & FROZEN) && (hand || !BROKEN_NOHELP))
			{
				reshape(key, n);
				return false;
			}
			if (node[n].meta($).compare_exchange_strong(m, (m & ~COMPLETE) | add,
					rl::mo_release, rl::mo_relaxed))
				break;
		}
		return true;
	}

	/* true: nothing on the way says COMPLETE any more */
	bool
	clear_way(unsigned key)
	{
		unsigned	n;

		if (flags($).load(rl::mo_acquire) & COMPLETE)
		{
			if (!change_meta(0, COMPLETE) || !change_meta(1, COMPLETE))
				return false;
			flags($).store(0, rl::mo_release);
		}
		n = child[key]($).load(rl::mo_acquire);
		if ((node[n].meta($).load(rl::mo_acquire) & (FROZEN | COMPLETE)) == 0)
			return true;
		if ((node[n].meta($).load(rl::mo_acquire) & (FROZEN | COMPLETE)) == FROZEN)
		{
			reshape(key, n);
			return false;
		}
		return change_meta(key, 0) && BROKEN_NOHELP;
	}

	/* The slot of a key, by CAS, wherever it is by now. */
	void
	set_slot(unsigned key, unsigned ref)
	{
		for (;;)
		{
			unsigned	n = child[key]($).load(rl::mo_acquire);
			unsigned	s = node[n].slot($).load(rl::mo_acquire);

			if (REF(s) == ref || (ref != 0 && REF(s) != 0))
				return;
			if (s & FROZEN)
				reshape(key, n);
			else if (node[n].slot($).compare_exchange_strong(s, ref, rl::mo_acq_rel, rl::mo_relaxed))
				return;
		}
	}

	bool
	evict(unsigned key)
	{
		unsigned	f;

		epochs.enter(1);
		while (!clear_way(key))
			;
		f = flags($).load(rl::mo_relaxed);
		if (f & FILLING)
			flags($).store(f & ~FILLING, rl::mo_release);
		epochs.leave(1);
		if (!BROKEN_NOGRACE && !epochs.grace())
			return false;
		epochs.enter(1);
		set_slot(key, 0);
		epochs.leave(1);
		return true;
	}

	void
	promote(unsigned key)
	{
		unsigned	l = leaves++;

		RL_ASSERT(l < LEAVES);
		epochs.enter(1);
		leaf[l]($) = (int) key + 1;
		set_slot(key, l);
		epochs.leave(1);
	}

	void
	filling_end()
	{
		unsigned	f = flags($).load(rl::mo_relaxed);

		if (BROKEN_STORE || BROKEN_NOFILLING || (f & FILLING))
			flags($).compare_exchange_strong(f, COMPLETE,
				BROKEN_RELAXED_SET ? rl::mo_relaxed : rl::mo_release, rl::mo_relaxed);
	}

	void
	evictor()
	{
		unsigned	evictions = 2,
					step = 0;

		while (evictions > 0 || step < 4)
		{
			if (evictions > 0 && (step == 4 || rl::rand(2)))
			{
				evictions--;
				if (!evict(apart ? 0 : rl::rand(2)))
					return;
			}
			else if (step == 0)
			{
				if (flags($).load(rl::mo_relaxed) & COMPLETE)
					step = 3;		/* nothing to fill */
				else if (!BROKEN_NOFILLING)
					flags($).store(FILLING, rl::mo_release);
				step++;
			}
			else if (step < 3)
				promote(step++ - 1);
			else
			{
				filling_end();
				step++;
			}
		}
	}

	void
	thread(unsigned me)
	{
		int			i;

		switch (me)
		{
			case 0:
				for (i = 0; i < LOOKUPS; i++)
					lookup(apart ? 1 : rl::rand(2));
				break;
			case 1:
				evictor();
				break;
			default:
				for (i = 0; i < COPIES && !apart; i++)
				{
					unsigned	key = rl::rand(2);

					epochs.enter(2);
					reshape(key, child[key]($).load(rl::mo_acquire));
					epochs.leave(2);
				}
				break;
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Complete>(100000, verbose);
}
