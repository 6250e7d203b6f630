/*
 * m14_txn.cc -- a transaction beside single writers and a reader, under the C++11 memory model.
 *
 * Stands for the same code as m14_txn.pml, with the orders of the C code:
 *
 *	slot word		acquire load, acq_rel CAS
 *	status			acquire load, acq_rel CAS; the new leaf's LSN and the descriptor's are plain,
 *					written before
 *	leaves			relaxed increment before the descriptor leaf is published, acq_rel decrement
 *	insert			acq_rel read-modify-write
 *	retire			a seq_cst fence behind the CAS that unlinks (m3_epoch)
 *
 * Thread 0 commits two transactions, one after the other: each reads key 0 and writes key 1.
 * Threads 1 and 2 write key 0 and key 1, twice each; what is undecided they abort.  Thread 3 reads
 * both.  Retired words, and descriptors, are filled with something else one grace period later.
 *
 * Properties.  As in m14_txn.pml: no version of key 0 between what a transaction read and its LSN;
 * versions of a key in the order of their LSNs; a reader is shown what is committed, and
 * never an older version after a newer one; nothing is retired twice or while it can be reached; nobody
 * reads a word or a descriptor before it is filled in or when it is used again (plain memory:
 * else a data race).
 *
 * Left out: as in m14_txn.pml.
 *
 * Twin BROKEN_NULL_PLAIN (assertion): a null that is put back is the null that was there.
 * Twin BROKEN_LSN_LATE (data race): the new leaf gets its LSN after the commit.
 * Twin BROKEN_RELAXED_COMMIT (data race): the CAS that commits is relaxed.
 * Twin BROKEN_RELAXED_STATUS (data race): readers load the status relaxed.
 * Twin BROKEN_RELAXED_PUBLISH (data race): the CAS on a slot is relaxed.
 * Twin BROKEN_REUSE_EARLY (data race): retired words are used again at once.
 * Twin BROKEN_OWN_REFERENCE (data race): the transaction holds no reference of its own, and reads its
 *	descriptor after another has taken the last one away and its grace period has passed.
 * Twin BROKEN_LOSER_RETIRES (assertion): who loses the CAS that finishes retires, too.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_NULL_PLAIN);
MODEL_TWIN(BROKEN_LSN_LATE);
MODEL_TWIN(BROKEN_RELAXED_COMMIT);
MODEL_TWIN(BROKEN_RELAXED_STATUS);
MODEL_TWIN(BROKEN_RELAXED_PUBLISH);
MODEL_TWIN(BROKEN_REUSE_EARLY);
MODEL_TWIN(BROKEN_OWN_REFERENCE);
MODEL_TWIN(BROKEN_LOSER_RETIRES);

#define WORDS	64
#define TXNS	8
#define LSNS	64

enum { NUL, LEAF, DESC };
enum { UNDECIDED, COMMITTED, ABORTED };

struct Word
{
	rl::var<unsigned> kind;
	rl::var<unsigned> lsn;
	rl::var<unsigned> txn;			/* of a descriptor leaf */
	rl::var<unsigned> previous;
	rl::var<unsigned> next;
};

struct Descriptor
{
	rl::atomic<unsigned> status;
	rl::atomic<unsigned> leaves;
	rl::var<unsigned> magic;
};

struct Retired
{
	unsigned	word[WORDS];
	unsigned	count;
	unsigned	txn[TXNS];
	unsigned	txns;
};

struct Txn : rl::test_suite<Txn, 4>
{
	ModelEpochs<4> epochs;
	rl::atomic<unsigned> slot[2];
	rl::atomic<unsigned> insert;
	Word		word[WORDS];
	Descriptor	descriptor[TXNS];

	/* ghosts */
	unsigned	words;
	unsigned	txns;
	bool		was_retired[WORDS];
	bool		txn_retired[TXNS];
	unsigned	newest[2];
	unsigned	txn_read[TXNS];			/* LSN of what it read, + 1 */
	unsigned	txn_lsn[TXNS];			/* once it is committed */
	unsigned	version[LSNS];			/* of key 0, published */
	unsigned	versions;

	void
	before()
	{
		unsigned	i;

		epochs.init();
		for (i = 0; i < WORDS; i++)
		{
			word[i].kind($) = NUL;
			word[i].lsn($) = 0;
			word[i].txn($) = 0;
			word[i].previous($) = 0;
			word[i].next($) = 0;
			was_retired[i] = false;
		}
		for (i = 0; i < TXNS; i++)
		{
			descriptor[i].status($).store(UNDECIDED, rl::mo_relaxed);
			descriptor[i].leaves($).store(0, rl::mo_relaxed);
			descriptor[i].magic($) = 0;
			txn_retired[i] = false;
			txn_read[i] = txn_lsn[i] = 0;
		}
		slot[0]($).store(1, rl::mo_relaxed);	/* a null */
		slot[1]($).store(2, rl::mo_relaxed);
		word[2].kind($) = LEAF;
		word[2].lsn($) = 1;
		insert($).store(1, rl::mo_relaxed);
		newest[0] = 0;
		newest[1] = 1;
		words = 3;
		txns = 0;
		versions = 0;
	}

	void
	check_order()
	{
		unsigned	t,
					v;

		for (t = 0; t < txns; t++)
			for (v = 0; v < versions && txn_lsn[t] != 0; v++)
				RL_ASSERT(!(txn_read[t] - 1 < version[v] && version[v] < txn_lsn[t]));
	}

	unsigned
	make(unsigned kind, unsigned lsn)
	{
		unsigned	w = words++;

		RL_ASSERT(w < WORDS);
		word[w].kind($) = kind;
		word[w].lsn($) = lsn;
		return w;
	}

	bool
	cas(unsigned key, unsigned s, unsigned n)
	{
		return slot[key]($).compare_exchange_strong(s, n, BROKEN_RELAXED_PUBLISH ? rl::mo_relaxed : rl::mo_acq_rel,
													rl::mo_relaxed);
	}

	void
	retire(unsigned w, Retired &retired)
	{
		if (word[w].kind($) == NUL)
			return;				/* no memory is behind it */
		RL_ASSERT(!was_retired[w] && slot[0].debug_value() != w && slot[1].debug_value() != w);
		was_retired[w] = true;
		retired.word[retired.count++] = w;
	}

	void
	release(unsigned t, Retired &retired)
	{
		if (descriptor[t].leaves($).fetch_sub(1, rl::mo_acq_rel) != 1)
			return;
		RL_ASSERT(!txn_retired[t]);
		txn_retired[t] = true;
		retired.txn[retired.txns++] = t;
	}

	void
	leave(unsigned me, Retired &retired)
	{
		epochs.leave(me);
		if (retired.count + retired.txns != 0 && (BROKEN_REUSE_EARLY || epochs.grace()))
		{
			while (retired.count > 0)
			{
				Word	   &w = word[retired.word[--retired.count]];

				w.kind($) = 77;
				w.lsn($) = 77;
				w.next($) = 77;
			}
			while (retired.txns > 0)
				descriptor[retired.txn[--retired.txns]].magic($) = 77;
		}
		retired.count = retired.txns = 0;
	}

	unsigned
	status_of(unsigned t)
	{
		RL_ASSERT(descriptor[t].magic($) == t + 1);
		return descriptor[t].status($).load(BROKEN_RELAXED_STATUS ? rl::mo_relaxed : rl::mo_acquire);
	}

	/* The descriptor leaf d of a decided transaction goes. */
	void
	finish(unsigned key, unsigned t, Retired &retired)
	{
		for (;;)
		{
			unsigned	d = slot[key]($).load(rl::mo_acquire),
						p,
						n,
						with;
			bool		committed,
						won;

			if (word[d].kind($) != DESC || word[d].txn($) != t)
				return;
			p = word[d].previous($);
			n = word[d].next($);
			committed = status_of(t) == COMMITTED;
			if (committed && n != 0)
				with = n;
			else if (word[p].kind($) == NUL)
				with = BROKEN_NULL_PLAIN ? p : make(NUL, 0);
			else
				with = make(LEAF, word[p].lsn($));
			won = cas(key, d, with);
			if (won || BROKEN_LOSER_RETIRES)
			{
				if (with != p)
					retire(p, retired);
				if (n != 0 && with != n)
					retire(n, retired);
				retire(d, retired);
				release(t, retired);
			}
			if (won)
				return;
		}
	}

	unsigned
	hold(unsigned key, unsigned t, unsigned next, Retired &retired)
	{
		for (;;)
		{
			unsigned	s = slot[key]($).load(rl::mo_acquire),
						d;

			if (word[s].kind($) == DESC)
			{
				finish(key, word[s].txn($), retired);
				continue;
			}
			d = make(DESC, word[s].lsn($));
			word[d].txn($) = t;
			word[d].previous($) = s;
			word[d].next($) = next;
			descriptor[t].leaves($).fetch_add(1, rl::mo_relaxed);
			if (cas(key, s, d))
				return word[d].lsn($);
			descriptor[t].leaves($).fetch_sub(1, rl::mo_relaxed);
		}
	}

	void
	transaction(Retired &retired)
	{
		unsigned	t = txns++,
					n,
					lsn,
					read,
					undecided = UNDECIDED;

		epochs.enter(0);
		descriptor[t].magic($) = t + 1;
		descriptor[t].status($).store(UNDECIDED, rl::mo_relaxed);
		descriptor[t].leaves($).store(1, rl::mo_relaxed);
		read = hold(0, t, 0, retired);
		n = make(LEAF, 0);
		hold(1, t, n, retired);
		if (BROKEN_OWN_REFERENCE)
		{
			/* outside the epoch meanwhile, as if it could sleep */
			release(t, retired);
			leave(0, retired);
			epochs.enter(0);
		}
		lsn = insert($).fetch_add(1, rl::mo_acq_rel) + 1;
		if (!BROKEN_LSN_LATE)
			word[n].lsn($) = lsn;
		txn_read[t] = read + 1;
		if (descriptor[t].status($).compare_exchange_strong(undecided, COMMITTED,
				BROKEN_RELAXED_COMMIT ? rl::mo_relaxed : rl::mo_acq_rel, rl::mo_acquire))
		{
			if (BROKEN_LSN_LATE)
				word[n].lsn($) = lsn;
			RL_ASSERT(lsn > newest[1]);
			newest[1] = lsn;
			txn_lsn[t] = lsn;
			check_order();
		}
		if (BROKEN_OWN_REFERENCE)
			RL_ASSERT(descriptor[t].magic($) != 0);
		finish(0, t, retired);
		finish(1, t, retired);
		if (!BROKEN_OWN_REFERENCE)
			release(t, retired);
		leave(0, retired);
	}

	void
	write(unsigned me, unsigned key, Retired &retired)
	{
		bool		done = false;

		while (!done)
		{
			unsigned	s,
						n,
						lsn;

			epochs.enter(me);
			s = slot[key]($).load(rl::mo_acquire);
			if (word[s].kind($) == DESC)
			{
				unsigned	t = word[s].txn($),
							undecided = UNDECIDED;

				if (status_of(t) == UNDECIDED)
					descriptor[t].status($).compare_exchange_strong(undecided, ABORTED, rl::mo_acq_rel, rl::mo_acquire);
				finish(key, t, retired);
				leave(me, retired);
				continue;
			}
			lsn = insert($).fetch_add(1, rl::mo_acq_rel) + 1;
			n = make(LEAF, lsn);
			done = cas(key, s, n);
			if (done)
			{
				RL_ASSERT(lsn > newest[key]);
				newest[key] = lsn;
				if (key == 0)
					version[versions++] = lsn;
				check_order();
				retire(s, retired);
			}
			leave(me, retired);
		}
	}

	unsigned
	look(unsigned key)
	{
		unsigned	s = slot[key]($).load(rl::mo_acquire),
					n;

		if (word[s].kind($) != DESC)
			return word[s].lsn($);
		n = word[s].next($);
		if (n != 0 && status_of(word[s].txn($)) == COMMITTED)
		{
			RL_ASSERT(word[n].lsn($) != 0);
			return word[n].lsn($);
		}
		return word[word[s].previous($)].lsn($);
	}

	void
	read(Retired &retired)
	{
		unsigned	first,
					second;

		epochs.enter(3);
		first = look(1);
		look(0);
		second = look(1);
		RL_ASSERT(second >= first);
		leave(3, retired);
	}

	void
	thread(unsigned me)
	{
		Retired		retired;

		retired.count = retired.txns = 0;
		switch (me)
		{
			case 0:
				transaction(retired);
				transaction(retired);
				break;
			case 3:
				read(retired);
				read(retired);
				break;
			default:
				write(me, me - 1, retired);
				write(me, me - 1, retired);
				break;
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Txn>(100000, verbose);
}
