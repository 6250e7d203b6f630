/*
 * m9_walk.cc -- dirty LSN, walk and failed checkpoint under the C++11 memory model.
 *
 * Stands for store_write in src/backend/access/store/store.c, the checkpointer's steps 1 to 6 in
 * checkpoint.c and checkpoint_walk.c beside it, art_raise_dirty, art_publish and art_seek_dirty in
 * src/backend/access/art, wal_reserve, wal_fill and wal_completed_update in src/backend/access/wal,
 * with the orders of the C code:
 *
 *	snapshot			store seq_cst, load acquire
 *	insert word			acquire load, acq_rel CAS
 *	process slot		release store (TENTATIVE, idle), acquire load
 *	dirty LSN			relaxed load and CAS release to raise, acquire to walk
 *	slot word			acquire load, acq_rel CAS
 *
 * m9_walk.pml has the protocol.  Threads 0 and 1 write one key, which has a dirty version from
 * before; thread 2 makes two checkpoints, of which the first may fail.
 *
 * Properties.  At every commit the base has exactly the newest version <= cut; none at or below
 * it is published afterwards.  The walk sees the contents of every leaf that it comes to (lsn and
 * link are plain memory: else a data race).
 *
 * Left out: as in m9_walk.pml, changes of shape and the second key.
 *
 * Twin BROKEN_RAISE_LAST (assertion): the dirty LSN is raised when the record is filled already.
 * Twin BROKEN_ATTEMPTED (assertion): skipped is what has a dirty LSN <= the cut of the last attempt.
 * Twin BROKEN_ROUND_UP (assertion): the committed cut is rounded up, as dirty LSNs are.
 * Twin BROKEN_NOWAIT (assertion): the walk does not wait for completed.
 * Twin BROKEN_NOLINK (assertion): the version replaced is not linked.
 * Twin BROKEN_SNAPSHOT_EARLY (assertion): 'snapshot' is read before the epoch is entered.
 * Twin BROKEN_NOGRACE (assertion): no grace period between announcement and cut.
 * Twin BROKEN_SLOTS_FIRST (assertion): completed looks at the process slots before insert.
 * Twin BROKEN_ENTER_NOFENCE (assertion): the epoch is entered without its fence; a writer that the
 *	grace period has not seen has not seen the announcement.
 * Twin BROKEN_RELAXED_INSERT (assertion): insert is read relaxed for the cut; a process slot that
 *	took part may still be seen idle.
 * Twin BROKEN_RELAXED_IDLE (assertion): the store that makes the process slot idle is relaxed; the
 *	walk does not see what is complete.
 * Twin BROKEN_RELAXED_PUBLISH (data race): the CAS that publishes is relaxed.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_RAISE_LAST);
MODEL_TWIN(BROKEN_ATTEMPTED);
MODEL_TWIN(BROKEN_ROUND_UP);
MODEL_TWIN(BROKEN_NOWAIT);
MODEL_TWIN(BROKEN_NOLINK);
MODEL_TWIN(BROKEN_SNAPSHOT_EARLY);
MODEL_TWIN(BROKEN_NOGRACE);
MODEL_TWIN(BROKEN_SLOTS_FIRST);
MODEL_TWIN(BROKEN_ENTER_NOFENCE);
MODEL_TWIN(BROKEN_RELAXED_INSERT);
MODEL_TWIN(BROKEN_RELAXED_IDLE);
MODEL_TWIN(BROKEN_RELAXED_PUBLISH);

#define WRITERS 2
#define LSNS	32
#define UNIT	2u
#define UNITS(lsn) (((lsn) + UNIT - 1) / UNIT)
#define UNKNOWN	99u
#define FIRST	2u				/* lsn of the version from before */

struct Leaf
{
	rl::var<unsigned> lsn;
	rl::var<unsigned> link;
};

struct Walk : rl::test_suite<Walk, WRITERS + 1>
{
	ModelEpochs<WRITERS> epochs;
	rl::atomic<unsigned> snapshot;
	rl::atomic<unsigned> slot;			/* a leaf, by its lsn */
	rl::atomic<unsigned> dirty;			/* of the node that the slot is in */
	rl::atomic<unsigned> insert;
	rl::atomic<unsigned> pending[WRITERS];	/* lsn of the record to fill, 0 idle */
	Leaf		leaf[LSNS];

	bool		published[LSNS];	/* ghost */
	unsigned	committed;			/* the checkpointer's; looked at by others as a ghost */
	unsigned	base;

	void
	before()
	{
		unsigned	i;

		epochs.init();
		snapshot($).store(0, rl::mo_relaxed);
		for (i = 0; i < LSNS; i++)
		{
			leaf[i].lsn($) = i;
			leaf[i].link($) = 0;
			published[i] = false;
		}
		for (i = 0; i < WRITERS; i++)
			pending[i]($).store(0, rl::mo_relaxed);
		slot($).store(FIRST, rl::mo_relaxed);
		published[FIRST] = true;
		dirty($).store(UNITS(FIRST), rl::mo_relaxed);
		insert($).store(FIRST, rl::mo_relaxed);
		committed = 0;
		base = 0;
	}

	unsigned
	reserve(rl::atomic<unsigned> *mine)
	{
		unsigned	l = insert($).load(rl::mo_acquire);

		do
			if (mine != 0)
				(*mine)($).store(l + 1, rl::mo_release);
		while (!insert($).compare_exchange_strong(l, l + 1, rl::mo_acq_rel, rl::mo_acquire));
		RL_ASSERT(l + 1 < LSNS);
		return l + 1;
	}

	void
	raise(unsigned lsn)
	{
		unsigned	d = dirty($).load(rl::mo_relaxed);

		while (d < UNITS(lsn))
			if (dirty($).compare_exchange_strong(d, UNITS(lsn), rl::mo_release, rl::mo_relaxed))
				break;
	}

	void
	enter(unsigned me)
	{
		if (BROKEN_ENTER_NOFENCE)
			epochs.word[me]($).store(1, rl::mo_release);
		else
			epochs.enter(me);
	}

	bool
	write(unsigned me)
	{
		unsigned	snap,
					s,
					l,
					link = 0;
		bool		ok;

		if (!BROKEN_SNAPSHOT_EARLY)
			enter(me);
		snap = snapshot($).load(rl::mo_acquire);
		if (BROKEN_SNAPSHOT_EARLY)
			enter(me);
		s = slot($).load(rl::mo_acquire);
		l = reserve(&pending[me]);
		if (BROKEN_NOLINK || snap == 0)
			link = 0;
		else if (snap == UNKNOWN || (leaf[s].lsn($) <= snap && snap < l))
			link = s;
		else if (snap < leaf[s].lsn($))
			link = leaf[s].link($);
		leaf[l].lsn($) = l;
		leaf[l].link($) = link;
		if (!BROKEN_RAISE_LAST)
			raise(l);
		ok = slot($).compare_exchange_strong(s, l,
			BROKEN_RELAXED_PUBLISH ? rl::mo_relaxed : rl::mo_acq_rel, rl::mo_relaxed);
		if (ok)
		{
			RL_ASSERT(l > committed);
			published[l] = true;
		}
		pending[me]($).store(0, BROKEN_RELAXED_IDLE ? rl::mo_relaxed : rl::mo_release);
		if (BROKEN_RAISE_LAST)
			raise(l);
		epochs.leave(me);
		return ok;
	}

	/* true: everything below 'cut' is complete */
	bool
	completed(unsigned cut)
	{
		unsigned	i,
					looks = 0;

		for (i = 0; i < WRITERS; i++)
			for (;;)
			{
				unsigned	p = pending[i]($).load(rl::mo_acquire);

				if (p == 0 || p > cut)
					break;
				if (++looks > MODEL_LOOKS)
					return false;
				rl::yield(1, $);
			}
		return true;
	}

	/* false: waited in vain */
	bool
	checkpoint(unsigned &skip_below, bool commits)
	{
		unsigned	cut,
					v,
					next = base;

		snapshot($).store(UNKNOWN, rl::mo_seq_cst);
		if (!BROKEN_NOGRACE && !epochs.grace())
			return false;
		if (BROKEN_SLOTS_FIRST && !completed(LSNS))
			return false;
		cut = insert($).load(BROKEN_RELAXED_INSERT ? rl::mo_relaxed : rl::mo_acquire);
		snapshot($).store(cut, rl::mo_seq_cst);
		if (!BROKEN_NOWAIT && !BROKEN_SLOTS_FIRST && !completed(cut))
			return false;
		if (BROKEN_ROUND_UP ? dirty($).load(rl::mo_acquire) > UNITS(skip_below)
			: dirty($).load(rl::mo_acquire) * UNIT > skip_below)
		{
			v = slot($).load(rl::mo_acquire);
			while (v != 0 && leaf[v].lsn($) > cut)
				v = leaf[v].link($);
			if (v != 0 && leaf[v].lsn($) > committed)
				next = v;
		}
		if (BROKEN_ATTEMPTED)
			skip_below = cut;
		if (commits)
		{
			base = next;
			committed = cut;
			skip_below = cut;
			while (!published[cut])
				cut--;
			RL_ASSERT(base == cut);
		}
		else
			reserve(0);					/* a VOID */
		snapshot($).store(0, rl::mo_seq_cst);
		return true;
	}

	void
	thread(unsigned me)
	{
		unsigned	skip_below = 0;

		if (me < WRITERS)
			while (!write(me))
				;
		else if (checkpoint(skip_below, rl::rand(2)))
			checkpoint(skip_below, true);
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Walk>(150000, verbose);
}
