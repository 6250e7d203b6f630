/*
 * m5_wakeup.cc -- wake-ups under the C++11 memory model.
 *
 * Stands for latch_set, latch_reset, latch_prepare_sleep and latch_sleep in
 * src/backend/storage/ipc/latch.c; wal_want, wal_wait_flushed, wal__wake_waiters and
 * wal_completed_update in src/backend/access/wal/walring.c; and the walwriter's loop.  The steps
 * are those of m5_wakeup.pml, the orders those of the C code or weaker:
 *
 *	latch word				changed by RMWs only, acq_rel (seq_cst in the C code); latch_reset may look
 *							first, relaxed, and leave a word of 0 alone
 *	wait_lsn and flushed	seq_cst: one stores the first and looks at the second, the other the other
 *							way round
 *	wanted					raised by CAS, acq_rel; the latch carries it to the walwriter
 *
 * latch_set must not look before it changes the word: that look may be older than the
 * owner's reset (twin BROKEN_LOOK_FIRST).
 *
 * Thread 0 has written record 2 and waits for it.  Thread 1 owns record 1, is to fill it and
 * waits for nothing; it also sets the walwriter's latch once for another reason.  Thread 2 is the
 * walwriter; it ends when both records are flushed.
 *
 * Properties.  Every thread comes to its end (a lost wake-up is a deadlock).  The walwriter sees
 * what it writes (plain memory).
 *
 * Left out: as in m5_wakeup.pml, and deaths.
 *
 * Twin BROKEN_PARK_RELAXED (deadlock): wal_wait_begin stores wait_lsn with release and looks at
 *	flushed with acquire.
 * Twin BROKEN_WAKE_RELAXED (deadlock): the walwriter stores flushed with release and looks at
 *	wait_lsn with acquire.
 * Twin BROKEN_RELAXED_LATCH (deadlock): the latch word's RMWs are relaxed.
 * Twin BROKEN_LOOK_FIRST (deadlock): latch_set does nothing where it reads SET.
 * Twin BROKEN_RESET_LATE (deadlock): the latch is reset after flushed was looked at.
 * Twin BROKEN_IGNORE_SET (deadlock): latch_sleep sleeps although SET was there.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_PARK_RELAXED);
MODEL_TWIN(BROKEN_WAKE_RELAXED);
MODEL_TWIN(BROKEN_RELAXED_LATCH);
MODEL_TWIN(BROKEN_LOOK_FIRST);
MODEL_TWIN(BROKEN_RESET_LATE);
MODEL_TWIN(BROKEN_IGNORE_SET);

#define SET		1u
#define SLEEPING 2u

struct Latch
{
	rl::atomic<unsigned> word;
	rl::generic_event eventfd;	/* resets itself, as a read of an eventfd does */
};

enum
{
	WAITER, FILLER, WALWRITER
};

struct Wakeup : rl::test_suite<Wakeup, 3>
{
	Latch		latch[3];
	rl::atomic<unsigned> wanted;
	rl::atomic<unsigned> flushed;
	rl::atomic<unsigned> wait_lsn;	/* thread 0's */
	rl::atomic<unsigned> pending;	/* thread 1's process slot: 1 while record 1 is not filled */
	rl::var<int> ring[3];

	void
	before()
	{
		int			i;

		for (i = 0; i < 3; i++)
		{
			latch[i].word($).store(0, rl::mo_relaxed);
			latch[i].eventfd.init(false, false, $);
			ring[i]($) = 0;
		}
		wanted($).store(0, rl::mo_relaxed);
		flushed($).store(0, rl::mo_relaxed);
		wait_lsn($).store(0, rl::mo_relaxed);
		pending($).store(1, rl::mo_relaxed);
		ring[2]($) = 2;
	}

	void
	after()
	{
		int			i;

		for (i = 0; i < 3; i++)
			latch[i].eventfd.deinit($);
	}

	rl::memory_order
	latch_order()
	{
		return BROKEN_RELAXED_LATCH ? rl::mo_relaxed : rl::mo_acq_rel;
	}

	void
	latch_set(Latch &l)
	{
		if (BROKEN_LOOK_FIRST && (l.word($).load(rl::mo_relaxed) & SET))
			return;
		if (l.word($).fetch_or(SET, latch_order()) == SLEEPING)
			l.eventfd.set($);
	}

	void
	latch_reset(Latch &l)
	{
		if (l.word($).load(rl::mo_relaxed) == 0)
			return;
		if (l.word($).exchange(0, latch_order()) & SLEEPING)
			l.eventfd.wait(true, false, $);	/* drain, without waiting */
	}

	void
	latch_sleep(Latch &l)
	{
		if ((l.word($).fetch_or(SLEEPING, latch_order()) & SET) && !BROKEN_IGNORE_SET)
			return;
		l.eventfd.wait(false, false, $);
	}

	void
	wal_want(unsigned lsn)
	{
		unsigned	w = wanted($).load(rl::mo_relaxed);

		while (w < lsn && !wanted($).compare_exchange_strong(w, lsn, rl::mo_acq_rel, rl::mo_relaxed))
			;
		if (flushed($).load(rl::mo_acquire) < lsn)
			latch_set(latch[WALWRITER]);
	}

	bool
	wal_wait_begin(unsigned lsn)
	{
		wait_lsn($).store(lsn, BROKEN_PARK_RELAXED ? rl::mo_release : rl::mo_seq_cst);
		return flushed($).load(BROKEN_PARK_RELAXED ? rl::mo_acquire : rl::mo_seq_cst) < lsn;
	}

	void
	wal_wait_flushed(unsigned lsn)
	{
		while (flushed($).load(rl::mo_acquire) < lsn)
		{
			if (!BROKEN_RESET_LATE)
				latch_reset(latch[WAITER]);
			wal_want(lsn);
			if (wal_wait_begin(lsn))
			{
				if (BROKEN_RESET_LATE)
					latch_reset(latch[WAITER]);
				latch_sleep(latch[WAITER]);
			}
			wait_lsn($).store(0, rl::mo_seq_cst);
		}
	}

	void
	wake_waiters(unsigned upto)
	{
		unsigned	w = wait_lsn($).load(BROKEN_WAKE_RELAXED ? rl::mo_acquire : rl::mo_seq_cst);

		while (w != 0 && w <= upto)
			if (wait_lsn($).compare_exchange_weak(w, 0, rl::mo_seq_cst, rl::mo_seq_cst))
			{
				latch_set(latch[WAITER]);
				break;
			}
	}

	void
	walwriter()
	{
		unsigned	f = 0;

		for (;;)
		{
			latch_reset(latch[WALWRITER]);
			while (wanted($).load(rl::mo_acquire) > f)
			{
				/* completed; what is not complete yet is looked at again after a bounded sleep */
				while (pending($).load(rl::mo_acquire) == 1)
					rl::yield(1, $);
				while (f < 2)
				{
					f++;
					RL_ASSERT(ring[f]($) == (int) f);
				}
				flushed($).store(f, BROKEN_WAKE_RELAXED ? rl::mo_release : rl::mo_seq_cst);
				wake_waiters(f);
			}
			if (f == 2)
				return;
			latch_sleep(latch[WALWRITER]);
		}
	}

	void
	thread(unsigned me)
	{
		switch (me)
		{
			case WAITER:
				wal_wait_flushed(2);
				break;
			case FILLER:
				latch_set(latch[WALWRITER]);
				ring[1]($) = 1;
				pending($).store(0, rl::mo_release);
				break;
			default:
				walwriter();
				break;
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !(model_bound<Wakeup>(2, verbose) && model_random<Wakeup>(60000, verbose));
}
