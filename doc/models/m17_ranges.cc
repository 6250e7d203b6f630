/*
 * m17_ranges.cc -- transactions that look at ranges, under the C++11 memory model.
 *
 * Stands for the same code as m17_ranges.pml, with the orders of the C code or weaker:
 *
 *	ticket, number of ranges	relaxed (seq_cst in the C code): the fences of epochs and grace periods order them
 *	prefix						written before the ticket; whoever reads it while it is written again is
 *								inside an epoch that the new range waits for, so it may be anything: relaxed
 *	range lock					acquire CAS, release store
 *	epochs						ModelEpochs: a seq_cst fence behind the entry, one before the grace period
 *	a key's slot word			acquire load, acq_rel CAS
 *	insert						acq_rel read-modify-write
 *
 * Key k is range k.  Threads 0 and 1 are transactions: each walks over one range, a few times one of its own
 * choice, and writes a key in the other's; a committed version is published by one CAS on the word
 * that it found (what holds a key meanwhile is m14_txn's).  Threads 2 and 3 write keys.
 *
 * Properties.  (1) What a transaction has noted of the keys in its range is there still when it commits, and nothing
 * is published there later with an LSN below its own.  (2) Who notes a version sees what it holds (plain
 * memory: else a data race).
 *
 * Left out: as in m17_ranges.pml, the map, and several ranges of one transaction.  Who waits looks
 * again a few times, then gives up.
 *
 * Twin BROKEN_NO_GRACE (assertion): a range counts as soon as it is announced.
 * Twin BROKEN_NO_FENCE (assertion): a writer's entry has no fence: he looks at the table before anybody
 *	can see that he is inside.
 * Twin BROKEN_ANNOUNCE_LATE (assertion): the grace period begins, then the range is announced.
 * Twin BROKEN_WITHDRAW_EARLY (assertion): the range is withdrawn before the commit.
 * Twin BROKEN_COMMIT_BLIND (assertion): a commit does not look at others' ranges.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_NO_GRACE);
MODEL_TWIN(BROKEN_NO_FENCE);
MODEL_TWIN(BROKEN_ANNOUNCE_LATE);
MODEL_TWIN(BROKEN_WITHDRAW_EARLY);
MODEL_TWIN(BROKEN_COMMIT_BLIND);

#define THREADS	4
#define KEYS	2
#define PLACES	2
#define WORDS	64
#define TRIES	6
#define NOBODY	99u

struct Ranges : rl::test_suite<Ranges, THREADS>
{
	ModelEpochs<THREADS> epochs;
	rl::atomic<unsigned> slot[KEYS];
	rl::var<unsigned> version[WORDS];	/* LSN of the version that a word stands for */
	rl::atomic<unsigned> insert;
	rl::atomic<unsigned> lock;
	rl::atomic<unsigned> ticket[PLACES];
	rl::atomic<unsigned> prefix[PLACES];
	rl::atomic<unsigned> announced;
	rl::var<unsigned> tickets;			/* under the lock */

	/* ghosts */
	unsigned	words;
	unsigned	newest[KEYS];			/* LSN */
	unsigned	above[KEYS];			/* LSN of the last transaction that had noted the key */

	void
	before()
	{
		unsigned	i;

		epochs.init();
		for (i = 0; i < WORDS; i++)
			version[i]($) = 0;
		for (i = 0; i < PLACES; i++)
		{
			ticket[i]($).store(0, rl::mo_relaxed);
			prefix[i]($).store(NOBODY, rl::mo_relaxed);
		}
		for (i = 0; i < KEYS; i++)
		{
			slot[i]($).store(i, rl::mo_relaxed);
			newest[i] = above[i] = 0;
		}
		words = KEYS;
		insert($).store(1, rl::mo_relaxed);
		lock($).store(0, rl::mo_relaxed);
		announced($).store(0, rl::mo_relaxed);
		tickets($) = 0;
	}

	void
	enter(unsigned me)
	{
		if (BROKEN_NO_FENCE)
			epochs.word[me]($).store(1, rl::mo_release);
		else
			epochs.enter(me);
	}

	/* Somebody else's range that has the key?  'own' is a place, or NOBODY. */
	bool
	blocked(unsigned key, unsigned own)
	{
		unsigned	i;

		if (announced($).load(rl::mo_relaxed) == (own != NOBODY))
			return false;
		for (i = 0; i < PLACES; i++)
			if (i != own && ticket[i]($).load(rl::mo_relaxed) != 0 && prefix[i]($).load(rl::mo_relaxed) == key)
				return true;
		return false;
	}

	/* Inside the epoch: one go at a new version of the key. */
	bool
	publish(unsigned key)
	{
		unsigned	s = slot[key]($).load(rl::mo_acquire),
					n = words++,
					lsn;

		RL_ASSERT(n < WORDS);
		lsn = insert($).fetch_add(1, rl::mo_acq_rel) + 1;
		version[n]($) = lsn;
		if (!slot[key]($).compare_exchange_strong(s, n, rl::mo_acq_rel, rl::mo_relaxed))
			return false;
		RL_ASSERT(lsn > above[key]);
		newest[key] = lsn;
		return true;
	}

	void
	write(unsigned me, unsigned key)
	{
		unsigned	i;
		bool		done = false;

		for (i = 0; i < TRIES && !done; i++)
		{
			enter(me);
			if (!blocked(key, NOBODY))
				done = publish(key);
			epochs.leave(me);
			if (!done)
				rl::yield(1, $);
		}
	}

	/* A place, or NOBODY: it overlaps, or there is none. */
	unsigned
	announce(unsigned range)
	{
		unsigned	i,
					place = NOBODY,
					nobody = 0;

		if (!lock($).compare_exchange_strong(nobody, 1, rl::mo_acquire, rl::mo_relaxed))
			return NOBODY;
		for (i = 0; i < PLACES; i++)
		{
			if (ticket[i]($).load(rl::mo_relaxed) == 0)
				place = i;
			else if (prefix[i]($).load(rl::mo_relaxed) == range)
			{
				place = NOBODY;
				break;
			}
		}
		if (place != NOBODY)
		{
			prefix[place]($).store(range, rl::mo_relaxed);
			tickets($) = tickets($) + 1;
			if (!BROKEN_ANNOUNCE_LATE)
			{
				ticket[place]($).store(tickets($), rl::mo_relaxed);
				announced($).fetch_add(1, rl::mo_relaxed);
			}
		}
		lock($).store(0, rl::mo_release);
		return place;
	}

	void
	withdraw(unsigned place)
	{
		ticket[place]($).store(0, rl::mo_relaxed);
		announced($).fetch_sub(1, rl::mo_relaxed);
	}

	/* (0) to (5), one go; false: it must wait, or begin anew. */
	bool
	commit(unsigned me, unsigned range, unsigned place, unsigned key, unsigned noted)
	{
		unsigned	s,
					n,
					lsn;
		bool		done = false;

		enter(me);
		if (BROKEN_COMMIT_BLIND || !blocked(key, place))
		{
			s = slot[key]($).load(rl::mo_acquire);
			n = words++;
			RL_ASSERT(n < WORDS);
			lsn = insert($).fetch_add(1, rl::mo_acq_rel) + 1;
			version[n]($) = lsn;
			done = slot[key]($).compare_exchange_strong(s, n, rl::mo_acq_rel, rl::mo_relaxed);
			if (done)
			{
				RL_ASSERT(lsn > above[key]);
				RL_ASSERT(newest[range] == noted);
				newest[key] = lsn;
				above[range] = lsn;
			}
		}
		epochs.leave(me);
		return done;
	}

	void
	transaction(unsigned me, unsigned range, unsigned key)
	{
		unsigned	i,
					place,
					noted;
		bool		done = false;

		for (i = 0; i < TRIES && !done; i++)
		{
			place = announce(range);
			if (place == NOBODY)
			{
				rl::yield(1, $);
				continue;
			}
			if (!BROKEN_NO_GRACE && !epochs.grace())
			{
				if (!BROKEN_ANNOUNCE_LATE)
					withdraw(place);
				return;
			}
			if (BROKEN_ANNOUNCE_LATE)
			{
				ticket[place]($).store(1, rl::mo_relaxed);
				announced($).fetch_add(1, rl::mo_relaxed);
			}
			/* the walk */
			noted = version[slot[range]($).load(rl::mo_acquire)]($);
			if (BROKEN_WITHDRAW_EARLY)
				withdraw(place);
			done = commit(me, range, BROKEN_WITHDRAW_EARLY ? NOBODY : place, key, noted);
			if (!BROKEN_WITHDRAW_EARLY)
				withdraw(place);
			rl::yield(1, $);
		}
	}

	void
	thread(unsigned me)
	{
		switch (me)
		{
			case 0:
				transaction(me, 0, 1);
				transaction(me, rl::rand(2), 1);
				break;
			case 1:
				transaction(me, 1, 0);
				transaction(me, 1, rl::rand(2));
				break;
			default:
				write(me, me - 2);
				write(me, rl::rand(2));
				break;
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Ranges>(100000, verbose);
}
