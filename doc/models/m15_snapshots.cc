/*
 * m15_snapshots.cc -- a client's snapshot, its end by a limit, and eviction, under the C++11 memory model.
 *
 * Stands for src/backend/access/store: store_snapshot_open, close_entry, end_entry, store__guard_take and
 * store__snapshot_needs in store_snapshot.c, store__at_read in store_at.c, publish in store.c, steps 6 and 7 of
 * checkpoint.c, with the orders of the C code:
 *
 *	bits				fetch_or, fetch_and seq_cst; writers load acquire, the evictor seq_cst
 *	position			store seq_cst, load acquire
 *	pinned				relaxed
 *	state				CAS seq_cst, load acquire
 *	root, evict_cut		store release, load acquire
 *	slot word			acquire load, acq_rel CAS
 *	process slot, insert	as in m9_walk.cc
 *
 * m15_snapshots.pml has the protocol.  Threads 0 and 1 write one key, twice each; thread 2 opens a snapshot, reads
 * twice and closes it, and does so again; thread 3 publishes a root, evicts, ends the snapshot if it is open, and
 * evicts again.  Who has retired leaves fills them with something else one grace period later.
 *
 * Properties.  What was read while the snapshot is open still afterwards is exactly the version as of its position,
 * by the links or by the pinned root.  No leaf is retired twice or while it can be reached from the slot; in the
 * end each is in the slot's chain or retired.  Nobody reads a leaf before it is filled in or when it is used again
 * (plain memory: else a data race).
 *
 * Left out: as in m15_snapshots.pml; a second snapshot; the release of links, whose orders are m12_links.cc's.
 *
 * Twin BROKEN_BIT_FIRST (assertion): the bit goes before the state.
 * Twin BROKEN_LOOK_BEFORE (assertion): whether the snapshot is open is asked before reading.
 * Twin BROKEN_RELAXED_BITS (assertion): writers and the evictor load the bits relaxed.
 * Twin BROKEN_TABLE_FIRST (assertion): the evictor reads the table first and evict_cut second.
 * Twin BROKEN_ANNOUNCE_LATE (assertion): the snapshot is announced outside the epoch in which the root was read.
 * Twin BROKEN_EVICT_ALL (assertion): whatever has lsn <= evict_cut is evicted.
 * Twin BROKEN_ENTER_NOFENCE (data race): the epoch is entered without its fence.
 * Twin BROKEN_READ_OUTSIDE (data race): the snapshot is read outside an epoch.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_BIT_FIRST);
MODEL_TWIN(BROKEN_LOOK_BEFORE);
MODEL_TWIN(BROKEN_RELAXED_BITS);
MODEL_TWIN(BROKEN_TABLE_FIRST);
MODEL_TWIN(BROKEN_ANNOUNCE_LATE);
MODEL_TWIN(BROKEN_EVICT_ALL);
MODEL_TWIN(BROKEN_ENTER_NOFENCE);
MODEL_TWIN(BROKEN_READ_OUTSIDE);

#define WRITERS 2
#define LEAVES	16
#define LSNS	16
#define UNKNOWN	99u

enum { FREE, OPENING, OPEN, GOING };	/* state: serial * 4 + one of these */

struct Leaf
{
	rl::var<unsigned> lsn;
	rl::var<unsigned> link;
};

struct Retired
{
	unsigned	leaf[LEAVES];
	unsigned	count;
};

struct Snapshots : rl::test_suite<Snapshots, 4>
{
	ModelEpochs<4> epochs;
	rl::atomic<unsigned> bits;
	rl::atomic<unsigned> at;
	rl::atomic<unsigned> pinned;
	rl::atomic<unsigned> state;
	rl::atomic<unsigned> root;			/* a cut */
	rl::atomic<unsigned> evict_cut;
	rl::atomic<unsigned> slot;
	rl::atomic<unsigned> insert;
	rl::atomic<unsigned> pending[WRITERS];
	Leaf		leaf[LEAVES];

	unsigned	leaves;				/* ghost */
	unsigned	link[LEAVES];		/* ghost: of leaves that were published */
	bool		was_published[LEAVES];	/* ghost */
	bool		was_retired[LEAVES];	/* ghost */
	bool		published[LSNS];	/* ghost: versions */

	void
	before()
	{
		unsigned	i;

		epochs.init();
		bits($).store(0, rl::mo_relaxed);
		at($).store(0, rl::mo_relaxed);
		pinned($).store(0, rl::mo_relaxed);
		state($).store(FREE, rl::mo_relaxed);
		root($).store(0, rl::mo_relaxed);
		evict_cut($).store(0, rl::mo_relaxed);
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

	/* the newest version at or below x; 0: none */
	unsigned
	newest(unsigned x)
	{
		while (x > 0 && !published[x])
			x--;
		return x;
	}

	void
	enter(unsigned me)
	{
		if (BROKEN_ENTER_NOFENCE)
			epochs.word[me]($).store(1, rl::mo_release);
		else
			epochs.enter(me);
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
			from = next;
		}
	}

	/* Outside the epoch; leaves whose grace period does not come are never used again. */
	void
	reuse(Retired &retired)
	{
		if (retired.count != 0 && epochs.grace())
			while (retired.count > 0)
				leaf[retired.leaf[--retired.count]].lsn($) = ~0u;
		retired.count = 0;
	}

	void
	write(unsigned me, Retired &retired)
	{
		unsigned	position = 0,
					s,
					l,
					to = 0,
					n;

		enter(me);
		if (bits($).load(BROKEN_RELAXED_BITS ? rl::mo_relaxed : rl::mo_acquire) != 0)
			position = at($).load(rl::mo_acquire);
		s = slot($).load(rl::mo_acquire);
		l = insert($).load(rl::mo_acquire);
		do
			pending[me]($).store(l + 1, rl::mo_release);
		while (!insert($).compare_exchange_strong(l, l + 1, rl::mo_acq_rel, rl::mo_acquire));
		l++;
		RL_ASSERT(l < LSNS);
		if (position == UNKNOWN)
			to = s;
		else if (position != 0 && position < l)
			for (to = s; to != 0 && leaf[to].lsn($) > position;)
				to = leaf[to].link($);
		n = leaves++;
		RL_ASSERT(n < LEAVES);
		leaf[n].lsn($) = l;
		leaf[n].link($) = to;
		link[n] = to;
		if (slot($).compare_exchange_strong(s, n, rl::mo_acq_rel, rl::mo_relaxed))
		{
			was_published[n] = true;
			published[l] = true;
			retire_chain(s, to, retired);
		}
		pending[me]($).store(0, rl::mo_release);
		epochs.leave(me);
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
	withdraw()
	{
		bits($).fetch_and(~1u, rl::mo_seq_cst);
		at($).store(0, rl::mo_seq_cst);
	}

	void
	read(unsigned position, unsigned pin, unsigned word)
	{
		unsigned	v,
					got;
		bool		alive = true;

		if (!BROKEN_READ_OUTSIDE)
			enter(2);
		if (BROKEN_LOOK_BEFORE)
			alive = state($).load(rl::mo_acquire) == word;
		v = slot($).load(rl::mo_acquire);
		while (v != 0 && leaf[v].lsn($) > position)
			v = leaf[v].link($);
		got = v != 0 ? (unsigned) leaf[v].lsn($) : newest(pin);
		if (!BROKEN_LOOK_BEFORE)
			alive = state($).load(rl::mo_acquire) == word;
		RL_ASSERT(!alive || got == newest(position));
		if (!BROKEN_READ_OUTSIDE)
			epochs.leave(2);
	}

	/* false: waited in vain */
	bool
	snapshot(unsigned serial)
	{
		unsigned	free = state($).load(rl::mo_acquire);
		unsigned	word = serial * 4 + OPENING;
		unsigned	position,
					pin,
					opening;

		if (free % 4 != FREE || !state($).compare_exchange_strong(free, word, rl::mo_seq_cst, rl::mo_acquire))
			return false;
		enter(2);
		pin = root($).load(rl::mo_acquire);
		if (BROKEN_ANNOUNCE_LATE)
			epochs.leave(2);
		pinned($).store(pin, rl::mo_relaxed);
		at($).store(UNKNOWN, rl::mo_seq_cst);
		bits($).fetch_or(1, rl::mo_seq_cst);
		if (!BROKEN_ANNOUNCE_LATE)
			epochs.leave(2);
		if (!epochs.grace())
			return false;
		position = insert($).load(rl::mo_acquire);
		at($).store(position, rl::mo_seq_cst);
		if (!completed(position))
			return false;
		opening = word;
		word = serial * 4 + OPEN;
		RL_ASSERT(state($).compare_exchange_strong(opening, word, rl::mo_seq_cst, rl::mo_acquire));
		read(position, pin, word);
		read(position, pin, word);
		opening = word;
		if (state($).compare_exchange_strong(opening, serial * 4 + GOING, rl::mo_seq_cst, rl::mo_acquire))
		{
			withdraw();
			state($).store(serial * 4 + FREE, rl::mo_seq_cst);
		}
		return true;
	}

	/* by a limit; the entry is free again once the bit has gone */
	void
	end()
	{
		unsigned	word = state($).load(rl::mo_acquire);

		if (word % 4 != OPEN)
			return;
		if (BROKEN_BIT_FIRST)
			withdraw();
		if (!state($).compare_exchange_strong(word, word - OPEN + GOING, rl::mo_seq_cst, rl::mo_acquire))
			return;
		if (!BROKEN_BIT_FIRST)
			withdraw();
		state($).store(word - OPEN + FREE, rl::mo_seq_cst);
	}

	bool
	checkpoint()
	{
		unsigned	cut = insert($).load(rl::mo_acquire);

		if (!completed(cut))
			return false;
		root($).store(cut, rl::mo_release);
		if (!epochs.grace())
			return false;
		evict_cut($).store(cut, rl::mo_release);
		return true;
	}

	void
	evict(Retired &retired)
	{
		unsigned	upto = 0,
					position = 0,
					pin = 0,
					s,
					v;
		bool		open,
					needed = false;

		if (!BROKEN_TABLE_FIRST)
			upto = evict_cut($).load(rl::mo_acquire);
		open = bits($).load(BROKEN_RELAXED_BITS ? rl::mo_relaxed : rl::mo_seq_cst) != 0;
		if (open)
		{
			position = at($).load(rl::mo_acquire);
			pin = pinned($).load(rl::mo_relaxed);
		}
		if (BROKEN_TABLE_FIRST)
		{
			(void) checkpoint();
			upto = evict_cut($).load(rl::mo_acquire);
		}
		enter(3);
		s = slot($).load(rl::mo_acquire);
		if (s != 0 && leaf[s].lsn($) <= upto)
		{
			if (open && !BROKEN_EVICT_ALL && leaf[s].lsn($) > pin)
			{
				for (v = s; v != 0 && position != UNKNOWN && leaf[v].lsn($) > position;)
					v = leaf[v].link($);
				needed = v != 0 && leaf[v].lsn($) > pin;
			}
			if (!needed && slot($).compare_exchange_strong(s, 0, rl::mo_acq_rel, rl::mo_relaxed))
				retire_chain(s, 0, retired);
		}
		epochs.leave(3);
		reuse(retired);
	}

	void
	thread(unsigned me)
	{
		Retired		retired;

		retired.count = 0;
		switch (me)
		{
			case 2:
				if (snapshot(1))
					snapshot(2);
				break;
			case 3:
				(void) checkpoint();
				evict(retired);
				end();
				(void) checkpoint();
				evict(retired);
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

	return !model_random<Snapshots>(150000, verbose);
}
