/*
 * m16_deadlines.cc -- writers of a key with deadlines, and the expirer, under the C++11 memory model.
 *
 * Stands for the same code as m16_deadlines.pml, with the orders of the C code or weaker:
 *
 *	slot words			acquire load, acq_rel CAS; what a word stands for is plain, written before
 *	expire_next			the expirer: exchange, a seq_cst fence, then the entries; a writer: his entry's CAS, a
 *						seq_cst fence, then the load.  All relaxed but for the fences (seq_cst in the C code)
 *	insert				acq_rel CAS, behind the store of the process slot (m4_reserve)
 *	process slots		release store when the record is filled in; acquire load by whoever asks what is completed
 *
 * Threads 0 and 1 write the key twice each, with deadline 1, which has passed, with 2, which has not, or without.
 * Thread 2 is the expirer; it ends when it would sleep and nobody is left who could wake it.
 *
 * Properties.  At every moment a key with a deadline has an entry at it or before it.  When all have ended the key has
 * no deadline that has passed.  Nobody looks at what is not there yet (plain memory: else a data race).
 *
 * Left out: as in m16_deadlines.pml.  Who loses a CAS gives up.
 *
 * Twin BROKEN_WRITER_NO_FENCE (assertion): a writer looks at expire_next without a fence behind his entry's CAS.
 * Twin BROKEN_EXPIRER_NO_FENCE (assertion): the expirer looks at the entries without a fence behind the exchange.
 * Twin BROKEN_ANNOUNCE_FIRST (assertion): a writer lowers expire_next, then puts the entry in.
 * Twin BROKEN_KEY_FIRST (assertion): a writer publishes the key, then the entry.
 * Twin BROKEN_YOUNG (assertion): the expirer does not care whether an entry's lsn is completed.
 * Twin BROKEN_FILLED_RELAXED (assertion): the process slot is cleared relaxed: what is said to be completed may
 *	not be visible.
 * Twin BROKEN_RELAXED_PUBLISH (data race): the CAS on a slot word is relaxed.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_WRITER_NO_FENCE);
MODEL_TWIN(BROKEN_EXPIRER_NO_FENCE);
MODEL_TWIN(BROKEN_ANNOUNCE_FIRST);
MODEL_TWIN(BROKEN_KEY_FIRST);
MODEL_TWIN(BROKEN_YOUNG);
MODEL_TWIN(BROKEN_FILLED_RELAXED);
MODEL_TWIN(BROKEN_RELAXED_PUBLISH);

#define WRITERS	2
#define WRITES	2
#define LSNS	64
#define NEVER	3
#define ROUNDS	24				/* of the expirer; then it gives up */

struct Deadlines : rl::test_suite<Deadlines, WRITERS + 1>
{
	rl::atomic<unsigned> key;		/* words are lsns */
	rl::atomic<unsigned> entry[3];
	rl::var<unsigned> deadline[LSNS];	/* of the key's version with this lsn; 0: none, or it is deleted */
	rl::var<unsigned> there[LSNS];	/* the entry with this lsn is no tombstone */
	rl::atomic<unsigned> insert;
	rl::atomic<unsigned> start[WRITERS];
	rl::atomic<unsigned> next;

	/* ghosts */
	unsigned	key_deadline;
	bool		entry_there[3];
	unsigned	writers_left;
	bool		gave_up;

	void
	before()
	{
		unsigned	i;

		for (i = 0; i < LSNS; i++)
		{
			deadline[i]($) = 0;
			there[i]($) = 0;
		}
		key($).store(0, rl::mo_relaxed);
		for (i = 0; i < 3; i++)
		{
			entry[i]($).store(0, rl::mo_relaxed);
			entry_there[i] = false;
		}
		for (i = 0; i < WRITERS; i++)
			start[i]($).store(0, rl::mo_relaxed);
		insert($).store(0, rl::mo_relaxed);
		next($).store(0, rl::mo_relaxed);
		key_deadline = 0;
		writers_left = WRITERS;
		gave_up = false;
	}

	void
	after()
	{
		RL_ASSERT(gave_up || key_deadline != 1);
	}

	void
	check()
	{
		RL_ASSERT(key_deadline == 0 || entry_there[1] || (key_deadline == 2 && entry_there[2]));
	}

	rl::memory_order
	publish_order()
	{
		return BROKEN_RELAXED_PUBLISH ? rl::mo_relaxed : rl::mo_acq_rel;
	}

	bool
	put_key(unsigned s, unsigned lsn, unsigned d)
	{
		deadline[lsn]($) = d;
		if (!key($).compare_exchange_strong(s, lsn, publish_order(), rl::mo_relaxed))
			return false;
		key_deadline = d;
		check();
		return true;
	}

	bool
	put_entry(unsigned d, unsigned s, unsigned lsn, unsigned is)
	{
		there[lsn]($) = is;
		if (!entry[d]($).compare_exchange_strong(s, lsn, publish_order(), rl::mo_relaxed))
			return false;
		entry_there[d] = is != 0;
		check();
		return true;
	}

	/* A writer's number, or WRITERS: nobody asks whether this one is completed. */
	unsigned
	reserve(unsigned me)
	{
		unsigned	s = insert($).load(rl::mo_acquire);

		do
		{
			if (me < WRITERS)
				start[me]($).store(s + 1, rl::mo_relaxed);
		} while (!insert($).compare_exchange_strong(s, s + 1, rl::mo_acq_rel, rl::mo_acquire));
		RL_ASSERT(s + 1 < LSNS);
		return s + 1;
	}

	bool
	completed(unsigned lsn)
	{
		unsigned	i;

		for (i = 0; i < WRITERS; i++)
		{
			unsigned	s = start[i]($).load(rl::mo_acquire);

			if (s != 0 && s <= lsn)
				return false;
		}
		return true;
	}

	void
	announce(unsigned d)
	{
		unsigned	seen;

		if (!BROKEN_WRITER_NO_FENCE)
			rl::atomic_thread_fence(rl::mo_seq_cst, $);
		seen = next($).load(rl::mo_relaxed);
		while (d < seen && !next($).compare_exchange_strong(seen, d, rl::mo_relaxed, rl::mo_relaxed))
			;
	}

	void
	write(unsigned me)
	{
		unsigned	d = rl::rand(3),
					s = key($).load(rl::mo_acquire),
					old = deadline[s]($),
					t = 0,
					lsn;
		bool		need = d != 0 && (old == 0 || old > d),
					lost = false;

		if (need)
			t = entry[d]($).load(rl::mo_acquire);
		lsn = reserve(me);
		if (BROKEN_KEY_FIRST)
			lost = !put_key(s, lsn, d);
		if (BROKEN_ANNOUNCE_FIRST && need)
			announce(d);
		if (need && !lost)
		{
			lost = !put_entry(d, t, lsn, 1);
			if (!BROKEN_ANNOUNCE_FIRST && !lost)
				announce(d);
		}
		if (!BROKEN_KEY_FIRST && !lost)
			put_key(s, lsn, d);
		start[me]($).store(0, BROKEN_FILLED_RELAXED ? rl::mo_relaxed : rl::mo_release);
	}

	/* fire -- the entry of deadline 1, which was found with this lsn; false: later. */
	bool
	fire(unsigned found)
	{
		bool		armed = false;
		unsigned	tries;

		for (tries = 0; tries < 8; tries++)
		{
			unsigned	w = entry[1]($).load(rl::mo_acquire),
						s = key($).load(rl::mo_acquire),
						d = deadline[s]($),
						lsn;

			/* delete_key */
			if (d == 1)
			{
				lsn = reserve(WRITERS);
				if (!put_key(s, lsn, 0))
					continue;
				put_entry(1, w, lsn, 0);
				return true;
			}
			if (d == 2 && !armed)
			{
				unsigned	t = entry[2]($).load(rl::mo_acquire);

				armed = put_entry(2, t, reserve(WRITERS), 1);
				if (!armed)
					continue;
			}
			/* drop */
			w = entry[1]($).load(rl::mo_acquire);
			if (!there[w]($))
				return true;
			if (!BROKEN_YOUNG && w != found && !completed(w))
				return false;
			d = deadline[key($).load(rl::mo_acquire)]($);
			if (d == 1 || (d == 2 && !armed))
				continue;
			put_entry(1, w, reserve(WRITERS), 0);
			return true;
		}
		return false;
	}

	/* asleep -- until expire_next says so; true: for ever. */
	bool
	asleep()
	{
		for (;;)
		{
			bool		last = writers_left == 0;

			/* whoever lowers it wakes, and the latch carries it: the last look sees all of it */
			if ((last ? next($).fetch_add(0, rl::mo_acq_rel) : next($).load(rl::mo_relaxed)) <= 1)
				return false;
			if (last)
				return true;
			rl::yield(1, $);
		}
	}

	void
	expirer()
	{
		unsigned	round;

		for (round = 0; round < ROUNDS; round++)
		{
			unsigned	found;

			next($).exchange(NEVER, rl::mo_relaxed);
			if (!BROKEN_EXPIRER_NO_FENCE)
				rl::atomic_thread_fence(rl::mo_seq_cst, $);
			found = entry[1]($).load(rl::mo_acquire);
			if (there[found]($))
			{
				/* a young one is looked at again after a moment, whatever expire_next says */
				if ((!BROKEN_YOUNG && !completed(found)) || !fire(found))
					rl::yield(1, $);
				continue;
			}
			if (asleep())
				return;
		}
		gave_up = true;
	}

	void
	thread(unsigned me)
	{
		unsigned	i;

		if (me == WRITERS)
		{
			expirer();
			return;
		}
		for (i = 0; i < WRITES; i++)
			write(me);
		writers_left--;
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Deadlines>(100000, verbose);
}
