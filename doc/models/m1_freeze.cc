/*
 * m1_freeze.cc -- freeze, help, replace under the C++11 memory model.
 *
 * Stands for src/backend/access/art: art_locate, art_raise_dirty, art_publish, art__reshape,
 * art__freeze, art__copy_children, art__help and art_lookup, with their memory orders:
 *
 *	on the way down		acquire for slot words, relaxed for meta
 *	raise				relaxed load, CAS release
 *	publish, install	CAS acq_rel, relaxed if it fails
 *	freeze				fetch_or acq_rel, left out where a relaxed load has seen FROZEN
 *	copy				acquire loads; relaxed stores, for nobody can see the copy yet
 *
 * m1_freeze.pml checks the same protocol for every interleaving; here the question is which
 * orders it needs.
 *
 * The tree is root slot -> P -> X -> leaves of the keys 0 and 1.  Thread 0 replaces key 0,
 * thread 1 makes room for key 1 and adds it, thread 2 replaces P and looks both keys up.
 *
 * Properties.  Whoever finds a leaf sees its contents (leaves are plain memory, so a missing
 * order is a data race).  After every CAS the leaf last published for each key is found, and
 * the dirty LSN of every node above it is at least its lsn.
 *
 * Left out: as in m1_freeze.pml; deaths and the join.
 *
 * Twin BROKEN_NOFREEZE (assertion): the copy is made of a node that was not frozen.
 * Twin BROKEN_META_FIRST (assertion): meta is read before it is frozen.
 * Twin BROKEN_WRITE_FROZEN (assertion): the publishing CAS is repeated with the frozen word.
 * Twin BROKEN_RAISE_FROZEN (assertion): the dirty LSN of a frozen meta word is raised.
 * Twin BROKEN_RELAXED_COPY (data race): freezing and the copy's loads are relaxed; whoever
 *	copies hands on references to leaves whose contents are not ordered before the copy.
 * Twin BROKEN_RELAXED_INSTALL (assertion): the CAS on the parent's slot is relaxed; a descent
 *	reaches the copy before its words.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_NOFREEZE);
MODEL_TWIN(BROKEN_META_FIRST);
MODEL_TWIN(BROKEN_WRITE_FROZEN);
MODEL_TWIN(BROKEN_RAISE_FROZEN);
MODEL_TWIN(BROKEN_RELAXED_COPY);
MODEL_TWIN(BROKEN_RELAXED_INSTALL);

#define FROZEN	0x100u			/* in slot and meta words */
#define BIG		0x80u			/* in the meta word: there is room for key 1 */
#define DIRTY_MASK 0x7fu		/* in the meta word */
#define DIRTY(m) ((m) & DIRTY_MASK)
#define REF(w)	((w) & 0xffu)	/* in slot words */
#define NODES	8
#define LEAVES	16

typedef rl::atomic<unsigned> Word;

struct Node
{
	Word		meta;
	Word		slot[2];
};

struct Freeze : rl::test_suite<Freeze, 3>
{
	Word		root;			/* slot word: reference to P */
	Node		node[NODES];	/* P uses slot[0] only */
	rl::var<int> leaf[LEAVES];	/* contents; a leaf's reference is its lsn */

	unsigned	spare[NODES];	/* ghost: node numbers that are free */
	int			spares;
	unsigned	insert;			/* ghost: reservation */
	unsigned	last[2];		/* ghost: what was published last */

	void
	before()
	{
		int			i;

		for (i = 0; i < LEAVES; i++)
			leaf[i]($) = 0;
		for (i = 0; i < NODES; i++)
		{
			node[i].meta($).store(0, rl::mo_relaxed);
			node[i].slot[0]($).store(0, rl::mo_relaxed);
			node[i].slot[1]($).store(0, rl::mo_relaxed);
		}
		for (spares = 0; spares < NODES - 2; spares++)
			spare[spares] = NODES - 1 - spares;
		/* P is node 0, X is node 1 */
		insert = 1;
		leaf[1]($) = 1;
		last[0] = 1;
		last[1] = 0;
		node[0].meta($).store(1, rl::mo_relaxed);
		node[0].slot[0]($).store(1, rl::mo_relaxed);
		node[1].meta($).store(1, rl::mo_relaxed);
		node[1].slot[0]($).store(1, rl::mo_relaxed);
		root($).store(0, rl::mo_relaxed);
	}

	/* Ghost: the tree as the last store of each word left it. */
	void
	check()
	{
		unsigned	p = root.debug_value();
		unsigned	x = REF(node[p].slot[0].debug_value());
		int			key;

		for (key = 0; key < 2; key++)
		{
			RL_ASSERT(REF(node[x].slot[key].debug_value()) == last[key]);
			RL_ASSERT(DIRTY(node[x].meta.debug_value()) >= last[key]);
			RL_ASSERT(DIRTY(node[p].meta.debug_value()) >= last[key]);
		}
	}

	unsigned
	node_alloc()
	{
		RL_ASSERT(spares > 0);
		return spare[--spares];
	}

	/* A copy that lost its CAS was never seen by anybody. */
	void
	node_free(unsigned n)
	{
		spare[spares++] = n;
	}

	rl::memory_order
	copy_order(rl::memory_order order)
	{
		return BROKEN_RELAXED_COPY ? rl::mo_relaxed : order;
	}

	void
	freeze_word(Word &word)
	{
		if ((word($).load(rl::mo_relaxed) & FROZEN) == 0)
			word($).fetch_or(FROZEN, copy_order(rl::mo_acq_rel));
	}

	void
	art__freeze(Node &n, int slots)
	{
		int			i;

		if (BROKEN_NOFREEZE)
			return;
		freeze_word(n.meta);
		for (i = 0; i < slots; i++)
			freeze_word(n.slot[i]);
	}

	unsigned
	copied(Word &word)
	{
		return word($).load(copy_order(rl::mo_acquire)) & ~FROZEN;
	}

	bool
	install(Word &slot, unsigned old, unsigned made)
	{
		if (slot($).compare_exchange_strong(old, made,
				BROKEN_RELAXED_INSTALL ? rl::mo_relaxed : rl::mo_acq_rel, rl::mo_relaxed))
		{
			check();
			return true;
		}
		node_free(made);
		return false;
	}

	void
	reshape_p(unsigned p)
	{
		unsigned	c = node_alloc();

		art__freeze(node[p], 1);
		node[c].meta($).store(copied(node[p].meta), rl::mo_relaxed);
		node[c].slot[0]($).store(copied(node[p].slot[0]), rl::mo_relaxed);
		install(root, p, c);
	}

	/* Into a larger node, whoever does it. */
	void
	reshape_x(unsigned p, unsigned x)
	{
		unsigned	c = node_alloc();
		unsigned	m = 0;

		if (BROKEN_META_FIRST)
			m = copied(node[x].meta);
		art__freeze(node[x], 2);
		if (!BROKEN_META_FIRST)
			m = copied(node[x].meta);
		node[c].meta($).store(m | BIG, rl::mo_relaxed);
		node[c].slot[0]($).store(copied(node[x].slot[0]), rl::mo_relaxed);
		node[c].slot[1]($).store(copied(node[x].slot[1]), rl::mo_relaxed);
		install(node[p].slot[0], x, c);
	}

	/* X is frozen.  A frozen parent comes first; the caller starts over in any case. */
	void
	art__help(unsigned p, unsigned x)
	{
		if (node[p].slot[0]($).load(rl::mo_acquire) & FROZEN)
			reshape_p(p);
		else
			reshape_x(p, x);
	}

	bool
	raise(Node &n, unsigned lsn)
	{
		unsigned	m = n.meta($).load(rl::mo_relaxed);

		while (DIRTY(m) < lsn)
		{
			if ((m & FROZEN) && !BROKEN_RAISE_FROZEN)
				return false;
			if (n.meta($).compare_exchange_strong(m, (m & ~DIRTY_MASK) | lsn, rl::mo_release, rl::mo_relaxed))
				break;
		}
		return true;
	}

	/* One attempt to publish a new version of 'key'; false: start over. */
	bool
	write(int key)
	{
		unsigned	p = root($).load(rl::mo_acquire);
		unsigned	x = REF(node[p].slot[0]($).load(rl::mo_acquire));
		unsigned	m = node[x].meta($).load(rl::mo_relaxed);
		unsigned	s = node[x].slot[key]($).load(rl::mo_acquire);
		unsigned	l;

		if ((m | s) & FROZEN)
		{
			art__help(p, x);
			return false;
		}
		if (key == 1 && !(m & BIG))
		{
			reshape_x(p, x);
			return false;
		}
		l = ++insert;
		RL_ASSERT(l < LEAVES);
		leaf[l]($) = l;
		if (!raise(node[p], l) || !raise(node[x], l))
			return false;
		if (!node[x].slot[key]($).compare_exchange_strong(s, l, rl::mo_acq_rel, rl::mo_relaxed))
		{
			if (!BROKEN_WRITE_FROZEN || !(s & FROZEN))
				return false;
			if (!node[x].slot[key]($).compare_exchange_strong(s, l | FROZEN, rl::mo_acq_rel, rl::mo_relaxed))
				return false;
		}
		last[key] = l;
		check();
		return true;
	}

	void
	lookup(int key)
	{
		unsigned	p = root($).load(rl::mo_acquire);
		unsigned	x = REF(node[p].slot[0]($).load(rl::mo_acquire));
		unsigned	s = REF(node[x].slot[key]($).load(rl::mo_acquire));

		if (s != 0)
			RL_ASSERT(leaf[s]($) == (int) s);
	}

	void
	thread(unsigned me)
	{
		switch (me)
		{
			case 0:
			case 1:
				while (!write(me))
				{
					/* P frozen by another, X not: nobody else would help here */
					unsigned	p = root($).load(rl::mo_acquire);

					if (node[p].meta($).load(rl::mo_relaxed) & FROZEN)
						reshape_p(p);
				}
				break;
			default:
				lookup(1);
				reshape_p(root($).load(rl::mo_acquire));
				lookup(0);
				break;
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Freeze>(80000, verbose);
}
