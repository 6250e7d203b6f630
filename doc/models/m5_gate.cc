/*
 * m5_gate.cc -- completed, flushed and the gate under the C++11 memory model.
 *
 * Stands for publish in src/backend/access/store/store.c with art_publish; wal_reserve,
 * wal_fill, wal_fill_void and wal_completed_update in src/backend/access/wal/walring.c; the
 * walwriter; the gate in src/backend/net; with the orders of the C code or weaker:
 *
 *	slot word of the leaf	acquire load, acq_rel CAS
 *	insert word				acquire load, acq_rel CAS
 *	process slot			release store (TENTATIVE, idle), acquire load
 *	completed				raised by CAS, acq_rel, acquire if it fails
 *	flushed					release store by the walwriter, acquire load
 *
 * One key.  A record is one unit of log, so record n ends at LSN n.  Threads 0 and 1 write and
 * reply, thread 2 is the walwriter, thread 3 updates completed (as a checkpoint does), reads and
 * replies.  Who waits looks a few times and then leaves: a wait is m5_wakeup's subject.
 *
 * Properties.  The walwriter sees every record below completed filled in (the ring is plain
 * memory: else a data race).  What a reply shows is on disk as a write.  The versions in the
 * slot grow; completed and flushed never move back.
 *
 * Left out: as in m5_gate.pml.
 *
 * Twin BROKEN_SLOTS_FIRST (data race): completed reads the process slots before insert.
 * Twin BROKEN_FILL_LATE (data race): the process slot is idle before the record is filled.
 * Twin BROKEN_READ_UNGATED (assertion): the reader replies at once.
 * Twin BROKEN_READ_LATE (assertion): the slot word that the CAS needs is read after reserving.
 * Twin BROKEN_RELAXED_INSERT (data race): insert is read relaxed for completed; a slot that took
 *	part may still be seen idle.
 * Twin BROKEN_RELAXED_IDLE (data race): the store that makes the slot idle is relaxed.
 * Twin BROKEN_RELAXED_COMPLETED (data race): completed is raised relaxed; the walwriter writes what
 *	another process has found complete.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_SLOTS_FIRST);
MODEL_TWIN(BROKEN_FILL_LATE);
MODEL_TWIN(BROKEN_READ_UNGATED);
MODEL_TWIN(BROKEN_READ_LATE);
MODEL_TWIN(BROKEN_RELAXED_INSERT);
MODEL_TWIN(BROKEN_RELAXED_IDLE);
MODEL_TWIN(BROKEN_RELAXED_COMPLETED);

#define WRITERS 2
#define RECORDS 12

enum
{
	NOTHING, WRITE, VOID_RECORD
};

struct Gate : rl::test_suite<Gate, 4>
{
	rl::atomic<unsigned> slot;			/* the key's leaf, by its lsn */
	rl::atomic<unsigned> insert;
	rl::atomic<unsigned> pending[WRITERS];	/* lsn of the record to fill, 0 idle */
	rl::atomic<unsigned> completed;
	rl::atomic<unsigned> flushed;
	rl::var<int> leaf[RECORDS];
	rl::var<int> ring[RECORDS];

	int			disk[RECORDS];		/* ghost */

	void
	before()
	{
		unsigned	i;

		slot($).store(0, rl::mo_relaxed);
		insert($).store(0, rl::mo_relaxed);
		completed($).store(0, rl::mo_relaxed);
		flushed($).store(0, rl::mo_relaxed);
		for (i = 0; i < WRITERS; i++)
			pending[i]($).store(0, rl::mo_relaxed);
		for (i = 0; i < RECORDS; i++)
		{
			leaf[i]($) = 0;
			ring[i]($) = NOTHING;
			disk[i] = NOTHING;
		}
	}

	void
	reply(unsigned lsn)
	{
		int			looks;

		if (lsn == 0)
			return;
		for (looks = 0; looks < 3; looks++)
			if (flushed($).load(rl::mo_acquire) >= lsn)
			{
				RL_ASSERT(disk[lsn] == WRITE);
				return;
			}
	}

	void
	fill(unsigned me, unsigned l, int what)
	{
		if (BROKEN_FILL_LATE)
			pending[me]($).store(0, rl::mo_release);
		ring[l]($) = what;
		pending[me]($).store(0, BROKEN_RELAXED_IDLE ? rl::mo_relaxed : rl::mo_release);
	}

	/* One attempt: the lsn written, or 0. */
	unsigned
	write(unsigned me)
	{
		unsigned	s = 0,
					l;

		if (!BROKEN_READ_LATE)
			s = slot($).load(rl::mo_acquire);
		l = insert($).load(rl::mo_acquire);
		do
			pending[me]($).store(l + 1, rl::mo_release);
		while (!insert($).compare_exchange_strong(l, l + 1, rl::mo_acq_rel, rl::mo_acquire));
		l++;
		RL_ASSERT(l < RECORDS);
		if (BROKEN_READ_LATE)
			s = slot($).load(rl::mo_acquire);
		leaf[l]($) = l;
		if (!slot($).compare_exchange_strong(s, l, rl::mo_acq_rel, rl::mo_relaxed))
		{
			fill(me, l, VOID_RECORD);
			return 0;
		}
		RL_ASSERT(s < l);
		fill(me, l, WRITE);
		return l;
	}

	unsigned
	wal_completed_update()
	{
		unsigned	c = ~0u,
					old,
					i;
		bool		slots_first = BROKEN_SLOTS_FIRST;

		if (!slots_first)
			c = insert($).load(BROKEN_RELAXED_INSERT ? rl::mo_relaxed : rl::mo_acquire);
		for (i = 0; i < WRITERS; i++)
		{
			unsigned	p = pending[i]($).load(rl::mo_acquire);

			if (p != 0 && p - 1 < c)
				c = p - 1;
		}
		if (slots_first)
		{
			unsigned	in = insert($).load(rl::mo_acquire);

			if (in < c)
				c = in;
		}
		old = completed($).load(BROKEN_RELAXED_COMPLETED ? rl::mo_relaxed : rl::mo_acquire);
		while (old < c)
			if (completed($).compare_exchange_strong(old, c,
					BROKEN_RELAXED_COMPLETED ? rl::mo_relaxed : rl::mo_acq_rel,
					BROKEN_RELAXED_COMPLETED ? rl::mo_relaxed : rl::mo_acquire))
				return c;
		return old;
	}

	void
	thread(unsigned me)
	{
		unsigned	from,
					end,
					n;

		switch (me)
		{
			case 0:
			case 1:
				while ((n = write(me)) == 0)
					;
				reply(n);
				break;
			case 2:
				from = 0;
				for (n = 0; n < 3; n++)
				{
					end = wal_completed_update();
					RL_ASSERT(end >= from);
					for (; from < end; from++)
					{
						disk[from + 1] = ring[from + 1]($);
						RL_ASSERT(disk[from + 1] != NOTHING);
					}
					flushed($).store(end, rl::mo_release);
				}
				break;
			default:
				wal_completed_update();
				n = slot($).load(rl::mo_acquire);
				RL_ASSERT(leaf[n]($) == (int) n);
				if (BROKEN_READ_UNGATED)
					RL_ASSERT(n == 0 || disk[n] == WRITE);
				reply(n);
				break;
		}
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Gate>(100000, verbose);
}
