/*
 * m8_evict.cc -- eviction under freeze, under the C++11 memory model.
 *
 * Stands for art__thin, art__freeze, art__help, art_locate, art_raise_dirty, art_publish and
 * art_lookup in src/backend/access/art, with their memory orders:
 *
 *	on the way down		acquire for slot words, relaxed for meta
 *	raise				relaxed load, CAS release
 *	publish, unlink, install	CAS acq_rel, relaxed if it fails
 *	freeze				fetch_or acq_rel, left out where a relaxed load has seen FROZEN
 *	look, copy			acquire loads, after the freeze
 *
 * m8_evict.pml has the protocol.  The tree is P's slot -> X -> the clean leaf of key 0, which the
 * base has, too, and a free slot.  Thread 0 writes key 0, thread 1 writes key 1, each reads its
 * own key before and after; thread 2 evicts, twice.
 *
 * Properties.  Whoever finds a leaf sees its contents (leaves are plain memory, so a missing
 * order is a data race).  After every CAS the version last published of each key is in the
 * overlay, or the overlay has none and the base has that one; the dirty LSN of X is at least the
 * lsn of its leaves.  Who has written a key finds that version.
 *
 * Left out: as in m8_evict.pml, changes of P and deaths.
 *
 * Twin BROKEN_CHECK_FIRST (assertion): the leaves are looked at before the freeze.
 * Twin BROKEN_NOFREEZE (assertion): the node is unlinked without having been frozen.
 * Twin BROKEN_FREE_SLOT (assertion): the slot that has no key yet is not frozen.
 * Twin BROKEN_THAW (assertion): the helper thaws the node instead of copying it.
 * Twin BROKEN_UNLINK_STORE (assertion): the unlinking is a store and no CAS.
 * Twin BROKEN_RELAXED_LOOK (data race): freeze and loads of the evictor are relaxed; it looks at a
 *	leaf whose contents are not ordered before.
 * Twin BROKEN_RELAXED_INSTALL (data race): the CAS that installs a copy is relaxed; a descent
 *	reaches a leaf through the copy before the leaf's contents.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_CHECK_FIRST);
MODEL_TWIN(BROKEN_NOFREEZE);
MODEL_TWIN(BROKEN_FREE_SLOT);
MODEL_TWIN(BROKEN_THAW);
MODEL_TWIN(BROKEN_UNLINK_STORE);
MODEL_TWIN(BROKEN_RELAXED_LOOK);
MODEL_TWIN(BROKEN_RELAXED_INSTALL);

#define FROZEN	0x100u			/* in slot and meta words */
#define REF(w)	((w) & 0xffu)	/* in slot words */
#define DIRTY(m) ((m) & 0xffu)	/* in meta words */
#define EVICT_CUT 1u
#define NODES	16
#define LEAVES	16

typedef rl::atomic<unsigned> Word;

struct Node
{
	Word		meta;
	Word		slot[2];
};

struct Evict : rl::test_suite<Evict, 3>
{
	Word		above;			/* the slot of P: a node's number, 0 null; never frozen here */
	Node		node[NODES];
	rl::var<unsigned> leaf[LEAVES];	/* contents; a leaf's reference is its lsn */

	unsigned	spare[NODES];	/* ghost: node numbers that are free */
	int			spares;
	unsigned	insert;			/* ghost: reservation */
	unsigned	base[2];
	unsigned	last[2];		/* ghost: what was published last */

	void
	before()
	{
		unsigned	i;

		for (i = 0; i < LEAVES; i++)
			leaf[i]($) = 0;
		for (i = 0; i < NODES; i++)
		{
			node[i].meta($).store(0, rl::mo_relaxed);
			node[i].slot[0]($).store(0, rl::mo_relaxed);
			node[i].slot[1]($).store(0, rl::mo_relaxed);
		}
		spares = 0;
		for (i = NODES - 1; i > 1; i--)
			spare[spares++] = i;
		insert = 1;
		leaf[1]($) = 1;
		base[0] = last[0] = 1;
		base[1] = last[1] = 0;
		node[1].meta($).store(1, rl::mo_relaxed);
		node[1].slot[0]($).store(1, rl::mo_relaxed);
		above($).store(1, rl::mo_relaxed);
	}

	/* Ghost: the tree as the last store of each word left it. */
	void
	check()
	{
		unsigned	x = above.debug_value();
		int			key;

		for (key = 0; key < 2; key++)
		{
			unsigned	v = x == 0 ? 0 : REF(node[x].slot[key].debug_value());

			RL_ASSERT(v == last[key] || (v == 0 && base[key] == last[key]));
			RL_ASSERT(x == 0 || DIRTY(node[x].meta.debug_value()) >= v);
		}
	}

	unsigned
	node_alloc()
	{
		RL_ASSERT(spares > 0);
		return spare[--spares];
	}

	void
	fill_node(unsigned n, unsigned meta, unsigned slot0, unsigned slot1)
	{
		node[n].meta($).store(meta, rl::mo_relaxed);
		node[n].slot[0]($).store(slot0, rl::mo_relaxed);
		node[n].slot[1]($).store(slot1, rl::mo_relaxed);
	}

	/* A node that lost its CAS was never seen by anybody.  It has version 'l' of 'key'; 0: nothing new. */
	bool
	install(unsigned old, unsigned made, unsigned key, unsigned l)
	{
		if (above($).compare_exchange_strong(old, made,
				BROKEN_RELAXED_INSTALL ? rl::mo_relaxed : rl::mo_acq_rel, rl::mo_relaxed))
		{
			if (l != 0)
				last[key] = l;
			check();
			return true;
		}
		spare[spares++] = made;
		return false;
	}

	void
	freeze_word(Word &word, rl::memory_order order)
	{
		if ((word($).load(rl::mo_relaxed) & FROZEN) == 0)
			word($).fetch_or(FROZEN, order);
	}

	void
	help(unsigned x)
	{
		unsigned	c;
		int			i;

		if (BROKEN_THAW)
		{
			node[x].meta($).fetch_and(~FROZEN, rl::mo_acq_rel);
			for (i = 0; i < 2; i++)
				node[x].slot[i]($).fetch_and(~FROZEN, rl::mo_acq_rel);
			return;
		}
		c = node_alloc();
		freeze_word(node[x].meta, rl::mo_acq_rel);
		for (i = 0; i < 2; i++)
			freeze_word(node[x].slot[i], rl::mo_acq_rel);
		fill_node(c, DIRTY(node[x].meta($).load(rl::mo_acquire)), REF(node[x].slot[0]($).load(rl::mo_acquire)),
			REF(node[x].slot[1]($).load(rl::mo_acquire)));
		install(x, c, 0, 0);
	}

	bool
	clean(unsigned v)
	{
		return v == 0 || leaf[v]($) <= EVICT_CUT;
	}

	/* art__thin */
	void
	evict()
	{
		rl::memory_order freezing = BROKEN_RELAXED_LOOK ? rl::mo_relaxed : rl::mo_acq_rel;
		rl::memory_order looking = BROKEN_RELAXED_LOOK ? rl::mo_relaxed : rl::mo_acquire;
		unsigned	x = above($).load(rl::mo_acquire),
					v[2],
					d,
					made;
		int			i;

		if (x == 0)
			return;
		if (BROKEN_CHECK_FIRST)
			for (i = 0; i < 2; i++)
				v[i] = REF(node[x].slot[i]($).load(rl::mo_acquire));
		if (!BROKEN_NOFREEZE)
		{
			freeze_word(node[x].meta, freezing);
			for (i = 0; i < (BROKEN_FREE_SLOT ? 1 : 2); i++)
				freeze_word(node[x].slot[i], freezing);
		}
		if (!BROKEN_CHECK_FIRST)
			for (i = 0; i < 2; i++)
				v[i] = REF(node[x].slot[i]($).load(looking));
		d = DIRTY(node[x].meta($).load(looking));
		if (clean(v[0]) && clean(v[1]))
		{
			if (BROKEN_UNLINK_STORE)
			{
				above($).store(0, rl::mo_release);
				check();
			}
			else if (above($).compare_exchange_strong(x, 0, rl::mo_acq_rel, rl::mo_relaxed))
				check();
			return;
		}
		made = node_alloc();
		fill_node(made, d, clean(v[0]) ? 0 : v[0], clean(v[1]) ? 0 : v[1]);
		install(x, made, 0, 0);
	}

	bool
	raise(Node &n, unsigned lsn)
	{
		unsigned	m = n.meta($).load(rl::mo_relaxed);

		while (DIRTY(m) < lsn)
		{
			if (m & FROZEN)
				return false;
			if (n.meta($).compare_exchange_strong(m, lsn, rl::mo_release, rl::mo_relaxed))
				break;
		}
		return true;
	}

	/* One attempt to publish a new version of 'key': its lsn, or 0. */
	unsigned
	write(unsigned key)
	{
		unsigned	x = above($).load(rl::mo_acquire),
					s,
					l,
					made;

		if (x != 0)
		{
			s = node[x].slot[key]($).load(rl::mo_acquire);
			if ((s & FROZEN) || (node[x].meta($).load(rl::mo_relaxed) & FROZEN))
			{
				help(x);
				return 0;
			}
		}
		l = ++insert;
		RL_ASSERT(l < LEAVES);
		leaf[l]($) = l;
		if (x == 0)
		{
			made = node_alloc();
			fill_node(made, l, key == 0 ? l : 0, key == 1 ? l : 0);
			return install(0, made, key, l) ? l : 0;
		}
		if (!raise(node[x], l) ||
			!node[x].slot[key]($).compare_exchange_strong(s, l, rl::mo_acq_rel, rl::mo_relaxed))
			return 0;
		last[key] = l;
		check();
		return l;
	}

	unsigned
	lookup(unsigned key)
	{
		unsigned	x = above($).load(rl::mo_acquire);
		unsigned	v = x == 0 ? 0 : REF(node[x].slot[key]($).load(rl::mo_acquire));

		if (v == 0)
			return base[key];
		RL_ASSERT(leaf[v]($) == v);
		return v;
	}

	void
	thread(unsigned me)
	{
		unsigned	l;

		if (me == 2)
		{
			evict();
			evict();
			return;
		}
		lookup(me);
		while ((l = write(me)) == 0)
			;
		RL_ASSERT(lookup(me) == l);
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Evict>(80000, verbose);
}
