/*
 * m12_links.cc -- the links of a snapshot under the C++11 memory model.
 *
 * Stands for words_of_leaf and publish in src/backend/access/store/store.c, store__link_for in store_snapshot.c, the
 * announcement in checkpoint.c, walk and release in checkpoint_walk.c beside it, the collapse of
 * art__reshape, leaf_retire_chain and mem_retire, with the orders of the C code:
 *
 *	snapshot			store seq_cst, load acquire
 *	slot word			acquire load, acq_rel CAS
 *	process slot, insert	as in m9_walk.cc
 *	retire				a seq_cst fence behind the CAS that unlinks (m3_epoch)
 *
 * m12_links.pml has the protocol.  Threads 0 and 1 write one key, twice each; thread 2 makes two
 * snapshots, walks and releases; thread 3 replaces the leaf by a copy, twice.  Who has retired
 * leaves fills them with something else one grace period later.
 *
 * Properties.  The walk finds exactly the version as of the cut.  No leaf is retired twice or
 * while it can be reached from the slot; in the end each is in the slot's chain or retired.  After
 * the release the slot's leaf has no link.  Nobody reads a leaf before it is filled in or when it
 * is used again (plain memory: else a data race).
 *
 * Left out: as in m12_links.pml, and eviction.
 *
 * Twin BROKEN_SNAPSHOT_EARLY (assertion): 'snapshot' is read before the epoch is entered.
 * Twin BROKEN_NOINHERIT (assertion): a link is not inherited.
 * Twin BROKEN_CUT_EARLY (assertion): the cut is taken before the grace period.
 * Twin BROKEN_LOSER_RETIRES (assertion): who loses the CAS retires the chain, too.
 * Twin BROKEN_RETIRE_ALL (assertion): the winner retires what the new chain reaches, too.
 * Twin BROKEN_RETIRE_ONE (assertion): the winner retires the leaf it has replaced only.
 * Twin BROKEN_COPY_CHAIN (assertion): who copies the leaf retires the chain with the original.
 * Twin BROKEN_RELEASE_EARLY (assertion): no grace period between snapshot := 0 and the release.
 * Twin BROKEN_RELEASE_ONCE (assertion): the release does not look again when it has lost its CAS.
 * Twin BROKEN_WALK_OUTSIDE (data race): the walk is outside an epoch.
 * Twin BROKEN_REUSE_EARLY (data race): retired leaves are used again at once.
 * Twin BROKEN_ENTER_NOFENCE (assertion): the epoch is entered without its fence.
 * Twin BROKEN_RELAXED_PUBLISH (data race): the CAS that publishes is relaxed.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_SNAPSHOT_EARLY);
MODEL_TWIN(BROKEN_NOINHERIT);
MODEL_TWIN(BROKEN_CUT_EARLY);
MODEL_TWIN(BROKEN_LOSER_RETIRES);
MODEL_TWIN(BROKEN_RETIRE_ALL);
MODEL_TWIN(BROKEN_RETIRE_ONE);
MODEL_TWIN(BROKEN_COPY_CHAIN);
MODEL_TWIN(BROKEN_RELEASE_EARLY);
MODEL_TWIN(BROKEN_RELEASE_ONCE);
MODEL_TWIN(BROKEN_WALK_OUTSIDE);
MODEL_TWIN(BROKEN_REUSE_EARLY);
MODEL_TWIN(BROKEN_ENTER_NOFENCE);
MODEL_TWIN(BROKEN_RELAXED_PUBLISH);

#define WRITERS 2
#define LEAVES	48
#define LSNS	48
#define UNKNOWN	99u

struct Leaf
{
	rl::var<unsigned> lsn;
	rl::var<unsigned> link;
};

/* what a process has retired since it entered its epoch */
struct Retired
{
	unsigned	leaf[LEAVES];
	unsigned	count;
};

struct Links : rl::test_suite<Links, 4>
{
	ModelEpochs<4> epochs;
	rl::atomic<unsigned> snapshot;
	rl::atomic<unsigned> slot;			/* a leaf's number */
	rl::atomic<unsigned> insert;
	rl::atomic<unsigned> pending[WRITERS];	/* lsn of the record to fill, 0 idle */
	Leaf		leaf[LEAVES];

	unsigned	leaves;				/* ghost: numbers given out */
	unsigned	link[LEAVES];		/* ghost: of leaves that were published */
	bool		was_published[LEAVES];	/* ghost */
	bool		was_retired[LEAVES];	/* ghost */
	bool		published[LSNS];	/* ghost: versions */

	void
	before()
	{
		unsigned	i;

		epochs.init();
		snapshot($).store(0, rl::mo_relaxed);
		for (i = 0; i < LEAVES; i++)
		{
			leaf[i].lsn($) = 0;
			leaf[i].link($) = 0;
			link[i] = 0;
			was_published[i] = was_retired[i] = false;
		}
		for (i = 0; i < LSNS; i++)
			published[i] = i == 1;
		for (i = 0; i < WRITERS; i++)
			pending[i]($).store(0, rl::mo_relaxed);
		leaf[1].lsn($) = 1;
		was_published[1] = true;
		slot($).store(1, rl::mo_relaxed);
		insert($).store(1, rl::mo_relaxed);
		leaves = 2;
	}

	bool
	reachable(unsigned n)
	{
		unsigned	v;

		for (v = slot.debug_value(); v != 0; v = link[v])
			if (v == n)
				return true;
		return false;
	}

	void
	after()
	{
		unsigned	i;

		for (i = 1; i < leaves; i++)
			RL_ASSERT(!was_published[i] || was_retired[i] != reachable(i));
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
	build(unsigned lsn, unsigned to)
	{
		unsigned	n = leaves++;

		RL_ASSERT(n < LEAVES);
		leaf[n].lsn($) = lsn;
		leaf[n].link($) = to;
		link[n] = to;
		return n;
	}

	void
	retire_chain(unsigned from, unsigned until, Retired &retired)
	{
		while (from != 0 && from != until)
		{
			unsigned	next = leaf[from].link($);

			RL_ASSERT(!was_retired[from] && !reachable(from));
			was_retired[from] = true;
			retired.leaf[retired.count++] = from;
			from = BROKEN_RETIRE_ONE ? 0 : next;
		}
	}

	/* Outside the epoch; leaves whose grace period does not come are never used again. */
	void
	reuse(Retired &retired)
	{
		if (retired.count != 0 && (BROKEN_REUSE_EARLY || epochs.grace()))
			while (retired.count > 0)
				leaf[retired.leaf[--retired.count]].lsn($) = ~0u;
		retired.count = 0;
	}

	bool
	replace(unsigned s, unsigned n)
	{
		if (!slot($).compare_exchange_strong(s, n,
				BROKEN_RELAXED_PUBLISH ? rl::mo_relaxed : rl::mo_acq_rel, rl::mo_relaxed))
			return false;
		was_published[n] = true;
		return true;
	}

	void
	write(unsigned me, Retired &retired)
	{
		unsigned	snap,
					s,
					l,
					to = 0,
					n;

		if (!BROKEN_SNAPSHOT_EARLY)
			enter(me);
		snap = snapshot($).load(rl::mo_acquire);
		if (BROKEN_SNAPSHOT_EARLY)
			enter(me);
		s = slot($).load(rl::mo_acquire);
		l = insert($).load(rl::mo_acquire);
		do
			pending[me]($).store(l + 1, rl::mo_release);
		while (!insert($).compare_exchange_strong(l, l + 1, rl::mo_acq_rel, rl::mo_acquire));
		l++;
		RL_ASSERT(l < LSNS);
		if (snap == 0)
			to = 0;
		else if (snap == UNKNOWN || (leaf[s].lsn($) <= snap && snap < l))
			to = s;
		else if (snap < leaf[s].lsn($) && !BROKEN_NOINHERIT)
			to = leaf[s].link($);
		n = build(l, to);
		if (replace(s, n))
		{
			published[l] = true;
			retire_chain(s, BROKEN_RETIRE_ALL ? 0 : to, retired);
		}
		else if (BROKEN_LOSER_RETIRES)
			retire_chain(s, to, retired);
		pending[me]($).store(0, rl::mo_release);
		epochs.leave(me);
		reuse(retired);
	}

	/* art__reshape, SHAPE_LEAF */
	void
	collapse(Retired &retired)
	{
		unsigned	s;

		enter(3);
		s = slot($).load(rl::mo_acquire);
		if (replace(s, build(leaf[s].lsn($), leaf[s].link($))))
			retire_chain(s, BROKEN_COPY_CHAIN ? 0 : link[s], retired);
		epochs.leave(3);
		reuse(retired);
	}

	bool
	completed(unsigned cut)
	{
		unsigned	i,
					p,
					looks = 0;

		for (i = 0; i < WRITERS; i++)
			while ((p = pending[i]($).load(rl::mo_acquire)) != 0 && p <= cut)
			{
				if (++looks > MODEL_LOOKS)
					return false;
				rl::yield(1, $);
			}
		return true;
	}

	void
	walk(unsigned cut)
	{
		unsigned	v;

		if (!BROKEN_WALK_OUTSIDE)
			enter(2);
		v = slot($).load(rl::mo_acquire);
		while (v != 0 && leaf[v].lsn($) > cut)
			v = leaf[v].link($);
		while (!published[cut])
			cut--;
		RL_ASSERT(v != 0 && leaf[v].lsn($) == cut);
		if (!BROKEN_WALK_OUTSIDE)
			epochs.leave(2);
	}

	void
	release(Retired &retired)
	{
		enter(2);
		for (;;)
		{
			unsigned	h = slot($).load(rl::mo_acquire);

			if (leaf[h].link($) == 0)
				break;
			if (replace(h, build(leaf[h].lsn($), 0)))
				retire_chain(h, 0, retired);
			else if (BROKEN_RELEASE_ONCE)
				break;
		}
		RL_ASSERT(link[slot.debug_value()] == 0);
		epochs.leave(2);
		reuse(retired);
	}

	/* false: waited in vain */
	bool
	checkpoint(Retired &retired)
	{
		unsigned	cut = 0;

		snapshot($).store(UNKNOWN, rl::mo_seq_cst);
		if (BROKEN_CUT_EARLY)
			cut = insert($).load(rl::mo_acquire);
		if (!epochs.grace())
			return false;
		if (!BROKEN_CUT_EARLY)
			cut = insert($).load(rl::mo_acquire);
		snapshot($).store(cut, rl::mo_seq_cst);
		if (!completed(cut))
			return false;
		walk(cut);
		snapshot($).store(0, rl::mo_seq_cst);
		if (!BROKEN_RELEASE_EARLY && !epochs.grace())
			return false;
		release(retired);
		return true;
	}

	void
	thread(unsigned me)
	{
		Retired		retired;

		retired.count = 0;
		switch (me)
		{
			case 2:
				if (checkpoint(retired))
					checkpoint(retired);
				break;
			case 3:
				collapse(retired);
				collapse(retired);
				break;
			default:
				write(me, retired);
				write(me, retired);
				break;
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Links>(150000, verbose);
}
