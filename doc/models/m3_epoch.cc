/*
 * m3_epoch.cc -- epochs under the C++11 memory model: which fences they need.
 *
 * Stands for epoch_enter, epoch_leave, epoch_try_advance and epoch_current in storage/ipc/epoch.h
 * and epoch.c, and mem_retire in src/backend/storage/mem, with the orders of the C code:
 *
 *	enter		E relaxed; word release; fence seq_cst [1]
 *	leave		word release
 *	advance		E acquire; fence seq_cst [2]; words acquire; CAS on E acq_rel
 *	retire		(the unlinking CAS is acq_rel;) fence seq_cst [3]; E acquire: epoch_current
 *	use again	E acquire
 *
 * [1] against [2]: either the advance sees the word, or the reader sees what was unlinked
 * before the advance.  [3] against [1]: a process that could still read the object before it
 * was unlinked has read an E that the retirer must not be behind.  A retirer that is itself
 * inside an epoch is not enough: E may be one ahead of its own word.  (It could take its own
 * word + 1 for e instead, and do without [3].)  Where several blocks are retired, E may be read
 * once, after the last unlinking.
 *
 * Thread 0 reads.  Thread 1 unlinks the object inside an epoch, retires it, advances and uses
 * the memory again when it may.  Thread 2 advances three times.
 *
 * Property.  The object's memory is plain: using it again while it is read is a data race.
 *
 * Left out: as in m3_epoch.pml.
 *
 * Twin BROKEN_ENTER_NOFENCE (data race): without [1].
 * Twin BROKEN_ADVANCE_NOFENCE (data race): without [2].
 * Twin BROKEN_RETIRE_NOFENCE (data race): without [3].
 * Twin BROKEN_RELAXED_LEAVE (data race): the store that leaves is relaxed.
 * Twin BROKEN_EARLY (data race): used again when E >= e + 1.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_ENTER_NOFENCE);
MODEL_TWIN(BROKEN_ADVANCE_NOFENCE);
MODEL_TWIN(BROKEN_RETIRE_NOFENCE);
MODEL_TWIN(BROKEN_RELAXED_LEAVE);
MODEL_TWIN(BROKEN_EARLY);

#define WORDS	2				/* thread 2 has no epoch of its own */
#define ACTIVE	1u

struct Epoch : rl::test_suite<Epoch, 3>
{
	rl::atomic<unsigned> global;
	rl::atomic<unsigned> word[WORDS];	/* epoch << 1 | ACTIVE */
	rl::atomic<unsigned> slot;			/* number of the object that is linked */
	rl::var<int> object[2];

	void
	before()
	{
		global($).store(0, rl::mo_relaxed);
		word[0]($).store(0, rl::mo_relaxed);
		word[1]($).store(0, rl::mo_relaxed);
		object[0]($) = 1;
		object[1]($) = 1;
		slot($).store(0, rl::mo_relaxed);
	}

	void
	epoch_enter(unsigned me)
	{
		unsigned	e = global($).load(rl::mo_relaxed);

		word[me]($).store(e << 1 | ACTIVE, rl::mo_release);
		if (!BROKEN_ENTER_NOFENCE)
			rl::atomic_thread_fence(rl::mo_seq_cst, $);
	}

	void
	epoch_leave(unsigned me)
	{
		word[me]($).store(0, BROKEN_RELAXED_LEAVE ? rl::mo_relaxed : rl::mo_release);
	}

	void
	epoch_try_advance()
	{
		unsigned	e = global($).load(rl::mo_acquire);
		unsigned	i;

		if (!BROKEN_ADVANCE_NOFENCE)
			rl::atomic_thread_fence(rl::mo_seq_cst, $);
		for (i = 0; i < WORDS; i++)
		{
			unsigned	w = word[i]($).load(rl::mo_acquire);

			if ((w & ACTIVE) && w >> 1 != e)
				return;
		}
		global($).compare_exchange_strong(e, e + 1, rl::mo_acq_rel, rl::mo_relaxed);
	}

	void
	thread(unsigned me)
	{
		unsigned	o = 0,
					e;

		switch (me)
		{
			case 0:
				epoch_enter(me);
				o = slot($).load(rl::mo_acquire);
				RL_ASSERT(object[o]($) == 1);
				epoch_leave(me);
				break;
			case 1:
				epoch_enter(me);
				slot($).compare_exchange_strong(o, 1, rl::mo_acq_rel, rl::mo_acquire);
				if (!BROKEN_RETIRE_NOFENCE)
					rl::atomic_thread_fence(rl::mo_seq_cst, $);
				e = global($).load(rl::mo_acquire);
				epoch_leave(me);
				epoch_try_advance();
				epoch_try_advance();
				if (global($).load(rl::mo_acquire) >= e + (BROKEN_EARLY ? 1 : 2))
					object[0]($) = 2;
				break;
			default:
				epoch_try_advance();
				epoch_try_advance();
				epoch_try_advance();
				break;
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !(model_bound<Epoch>(2, verbose) && model_random<Epoch>(100000, verbose));
}
