/*
 * m2_add.cc -- adding a child after a removal, N4 and N48, under the C++11 memory model.
 *
 * Stands for src/backend/access/art: art__find, art_prepare (claiming a slot of an N48),
 * art_publish, art_remove_leaf, art__freeze, art__copy_children, art__reshape and art_lookup, with
 * their memory orders: acquire loads of slot words, acq_rel for every CAS on them and for
 * freezing; N48's counter of slots and its index bytes are relaxed throughout, for they say
 * only where to look.  m2_n4.pml and m2_n48.pml check the same protocols for every interleaving.
 *
 * The node has key 5 (and key 9, which stays).  Threads 0 and 1 add key 7 and look it up,
 * thread 2 removes key 5 and replaces the node by a copy.  The first half of the executions is
 * N4, the second half N48.
 *
 * Properties.  Whoever finds a leaf sees its contents (plain memory: else a data race).  Who has
 * added key 7 finds it.  At the end each key stands in one slot, with the leaf last published.
 *
 * Left out: as in the spin models.
 *
 * Twin BROKEN_FREEKEY (assertion): removal clears the key byte, too.
 * Twin BROKEN_NORESCAN (assertion): N4: after a failed CAS the search goes on to the right.
 * Twin BROKEN_FREEZE_INDEX (assertion): N48: freezing goes by the index.
 * Twin BROKEN_INDEX_LAST (assertion): N48: the index byte is published after the slot.
 * Twin BROKEN_RELAXED_PUBLISH (data race): the CAS that publishes is relaxed.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_FREEKEY);
MODEL_TWIN(BROKEN_NORESCAN);
MODEL_TWIN(BROKEN_FREEZE_INDEX);
MODEL_TWIN(BROKEN_INDEX_LAST);
MODEL_TWIN(BROKEN_RELAXED_PUBLISH);

#define SLOTS	4
#define NODES	4				/* the first one, and a copy by each thread */
#define KEYS	10
#define LEAVES	6
#define FROZEN	0x10000u
#define WORD(key, ref) ((unsigned) (key) << 8 | (unsigned) (ref))
#define KEY(w)	((w) >> 8 & 0xffu)
#define REF(w)	((w) & 0xffu)

typedef rl::atomic<unsigned> Word;

static bool n48;				/* which kind of node this run is about */

struct Add : rl::test_suite<Add, 3>
{
	Word		cur;			/* the parent's slot */
	Word		slot[NODES][SLOTS];
	Word		index[NODES][KEYS]; /* N48: index bytes */
	Word		used[NODES];	/* N48: slots given out */
	rl::var<int> leaf[LEAVES];

	unsigned	last[KEYS];		/* ghost: what was published last */

	void
	node_init(unsigned n)
	{
		int			i;

		for (i = 0; i < SLOTS; i++)
			slot[n][i]($).store(0, rl::mo_relaxed);
		if (!n48)
			return;
		used[n]($).store(0, rl::mo_relaxed);
		index[n][5]($).store(0, rl::mo_relaxed);
		index[n][7]($).store(0, rl::mo_relaxed);
		index[n][9]($).store(0, rl::mo_relaxed);
	}

	/* Into a node that nobody has seen yet. */
	void
	node_put(unsigned n, unsigned i, unsigned word)
	{
		slot[n][i]($).store(word, rl::mo_relaxed);
		if (!n48)
			return;
		used[n]($).store(i + 1, rl::mo_relaxed);
		index[n][KEY(word)]($).store(i + 1, rl::mo_relaxed);
	}

	void
	before()
	{
		int			i;

		for (i = 0; i < LEAVES; i++)
			leaf[i]($) = 0;
		for (i = 0; i < KEYS; i++)
			last[i] = 0;
		node_init(0);
		node_put(0, 0, WORD(5, 1));
		node_put(0, 1, WORD(9, 2));
		leaf[1]($) = 1;
		leaf[2]($) = 2;
		last[5] = 1;
		last[9] = 2;
		cur($).store(0, rl::mo_relaxed);
	}

	bool
	publish(unsigned n, unsigned i, unsigned *word, unsigned key, unsigned ref)
	{
		return slot[n][i]($).compare_exchange_strong(*word, WORD(key, ref),
			BROKEN_RELAXED_PUBLISH ? rl::mo_relaxed : rl::mo_acq_rel, rl::mo_relaxed);
	}

	/* art__reshape; only node 0 is ever replaced. */
	void
	replace_node(unsigned me)
	{
		unsigned	copy = me + 1,
					expected = 0,
					n = 0,
					i;

		for (i = 0; i < SLOTS; i++)
		{
			if (n48 && BROKEN_FREEZE_INDEX
				&& index[0][5]($).load(rl::mo_acquire) != i + 1
				&& index[0][7]($).load(rl::mo_acquire) != i + 1
				&& index[0][9]($).load(rl::mo_acquire) != i + 1)
				continue;
			if ((slot[0][i]($).load(rl::mo_relaxed) & FROZEN) == 0)
				slot[0][i]($).fetch_or(FROZEN, rl::mo_acq_rel);
		}
		node_init(copy);
		for (i = 0; i < SLOTS; i++)
		{
			unsigned	w = slot[0][i]($).load(rl::mo_acquire) & ~FROZEN;

			if (REF(w) != 0)
				node_put(copy, n++, w);
		}
		cur($).compare_exchange_strong(expected, copy, rl::mo_acq_rel, rl::mo_relaxed);
	}

	/* One attempt; false: start over. */
	bool
	add_n4(unsigned me, unsigned key, unsigned ref)
	{
		unsigned	n = cur($).load(rl::mo_acquire);
		unsigned	i;

		for (i = 0; i < SLOTS; i++)
		{
			unsigned	w = slot[n][i]($).load(rl::mo_acquire);

			if (KEY(w) != 0 && KEY(w) != key)
				continue;
			if (w & FROZEN)
			{
				replace_node(me);
				return false;
			}
			if (publish(n, i, &w, key, ref))
			{
				last[key] = ref;
				return true;
			}
			if (!BROKEN_NORESCAN || (w & FROZEN))
				return false;
		}
		RL_ASSERT(!"room for every key");
		return false;
	}

	bool
	add_n48(unsigned me, unsigned key, unsigned ref)
	{
		unsigned	n = cur($).load(rl::mo_acquire);
		unsigned	j = index[n][key]($).load(rl::mo_relaxed);
		unsigned	w;
		bool		claim = j == 0;

		if (claim)
		{
			unsigned	none = 0;

			j = used[n]($).fetch_add(1, rl::mo_relaxed) + 1;
			if (j > SLOTS)
			{
				replace_node(me);
				return false;
			}
			if (!BROKEN_INDEX_LAST
				&& !index[n][key]($).compare_exchange_strong(none, j, rl::mo_relaxed, rl::mo_relaxed))
				j = none;
		}
		w = slot[n][j - 1]($).load(rl::mo_acquire);
		if (w & FROZEN)
		{
			replace_node(me);
			return false;
		}
		if (!publish(n, j - 1, &w, key, ref))
			return false;
		if (BROKEN_INDEX_LAST && claim)
		{
			unsigned	none = 0;

			if (!index[n][key]($).compare_exchange_strong(none, j, rl::mo_acq_rel, rl::mo_acquire))
				return false;
		}
		last[key] = ref;
		return true;
	}

	/* The slot of 'key' in node n, or -1; its word in *w. */
	int
	find(unsigned n, unsigned key, unsigned *w)
	{
		unsigned	i;

		if (n48)
		{
			i = index[n][key]($).load(rl::mo_relaxed);
			if (i == 0)
				return -1;
			*w = slot[n][i - 1]($).load(rl::mo_acquire);
			return i - 1;
		}
		for (i = 0; i < SLOTS; i++)
		{
			*w = slot[n][i]($).load(rl::mo_acquire);
			if (KEY(*w) == key)
				return i;
			if (KEY(*w) == 0)
				return -1;
		}
		return -1;
	}

	void
	lookup(unsigned key)
	{
		unsigned	w;

		RL_ASSERT(find(cur($).load(rl::mo_acquire), key, &w) >= 0 && REF(w) != 0);
		RL_ASSERT(leaf[REF(w)]($) == (int) REF(w));
	}

	void
	remove(unsigned key)
	{
		unsigned	n = cur($).load(rl::mo_acquire);
		unsigned	w;
		int			i = find(n, key, &w);

		if (i < 0 || REF(w) == 0 || (w & FROZEN))
			return;
		if (slot[n][i]($).compare_exchange_strong(w, BROKEN_FREEKEY ? 0 : WORD(key, 0),
				rl::mo_acq_rel, rl::mo_relaxed))
		{
			last[key] = 0;
			if (n48 && BROKEN_FREEKEY)
				index[n][key]($).store(0, rl::mo_release);
		}
	}

	void
	thread(unsigned me)
	{
		if (me < 2)
		{
			unsigned	ref = 3 + me;

			leaf[ref]($) = ref;
			while (!(n48 ? add_n48(me, 7, ref) : add_n4(me, 7, ref)))
				;
			lookup(7);
		}
		else
		{
			remove(5);
			lookup(9);
			replace_node(me);
		}
	}

	void
	after()
	{
		unsigned	n = cur($).load(rl::mo_acquire);
		unsigned	key,
					i;

		for (key = 5; key < KEYS; key += 2)
		{
			unsigned	w,
						count = 0;

			if (find(n, key, &w) < 0)
				RL_ASSERT(last[key] == 0);
			else
				RL_ASSERT(REF(w) == last[key]);
			for (i = 0; i < SLOTS; i++)
				count += KEY(slot[n][i]($).load(rl::mo_acquire)) == key;
			RL_ASSERT(count <= 1);
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	n48 = false;
	if (!model_random<Add>(30000, verbose))
		return 1;
	n48 = true;
	return !model_random<Add>(30000, verbose);
}
