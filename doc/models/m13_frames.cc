/*
 * m13_frames.cc -- the buffer pool under the C++11 memory model.
 *
 * Stands for src/backend/storage/buffer/buffer.c, with its memory orders:
 *
 *	way word		acquire load; CAS acq_rel to link, acquire to evict, relaxed for 'uses'
 *	state word		acquire load; CAS acquire to take, release to USED; release store of LIMBO
 *	frame			plain
 *
 * and for epoch_enter, epoch_leave, epoch_current, epoch_try_advance and epoch_grace_passed in
 * src/backend/storage/ipc, as m3_epoch.cc has them.
 *
 * m13_frames.pml has the protocol.  One set of two ways, three frames; the pages' tags are equal.
 * Thread 0 looks pages up and reads them; threads 1 and 2 insert pages or evict one; each does so
 * ROUNDS times.
 *
 * Properties.  Who has found a page reads that page.  Nobody reads or fills a frame while another
 * fills it (plain memory: else a data race).  In the end every frame is USED and in one way, or in
 * limbo.
 *
 * Left out: frames that were never used, claims, deaths.
 *
 * Twin BROKEN_NOGRACE (data race): a frame is filled again as soon as it is in limbo.
 * Twin BROKEN_NOCONFIRM (assertion): the reader believes the tag.
 * Twin BROKEN_LINK_FIRST (data race): the way leads to the frame before it is filled.
 * Twin BROKEN_EPOCH_FIRST (data race): the epoch is read before the CAS that unlinks.
 * Twin BROKEN_STORE_USED (assertion): USED is stored, over LIMBO.
 * Twin BROKEN_ENTER_NOFENCE (data race): the epoch is entered without its fence.
 * Twin BROKEN_RELAXED_LINK (data race): the CAS that links is relaxed.
 * Twin BROKEN_RELAXED_LOOKUP (data race): the reader loads the way word relaxed.
 * Twin BROKEN_STORE_USES (assertion): 'uses' are stored instead of a CAS; the way leads to a frame
 *	again that was unlinked meanwhile.
 */
#include "model.hh"

MODEL_TWIN(BROKEN_NOGRACE);
MODEL_TWIN(BROKEN_NOCONFIRM);
MODEL_TWIN(BROKEN_LINK_FIRST);
MODEL_TWIN(BROKEN_EPOCH_FIRST);
MODEL_TWIN(BROKEN_STORE_USED);
MODEL_TWIN(BROKEN_ENTER_NOFENCE);
MODEL_TWIN(BROKEN_RELAXED_LINK);
MODEL_TWIN(BROKEN_RELAXED_LOOKUP);
MODEL_TWIN(BROKEN_STORE_USES);

#define THREADS 3
#define ROUNDS	5
#define WAYS	2
#define FRAMES	3
#define ACTIVE	1u				/* epoch words: epoch << 1 | ACTIVE */
#define USES	3u				/* way words: (frame + 1) << 2 | uses */
#define FRAME(w) (((w) >> 2) - 1)
#define TAKEN	1u				/* state words: process or epoch << 2 | ... */
#define USED	2u
#define LIMBO	3u

struct Frames : rl::test_suite<Frames, THREADS>
{
	rl::atomic<unsigned> global;
	rl::atomic<unsigned> word[THREADS];
	rl::atomic<unsigned> way[WAYS];
	rl::atomic<unsigned> state[FRAMES];
	rl::var<unsigned> number[FRAMES];	/* the page's header ... */
	rl::var<unsigned> body[FRAMES];		/* ... and the rest of it */

	void
	before()
	{
		unsigned	i;

		global($).store(1, rl::mo_relaxed);
		for (i = 0; i < THREADS; i++)
			word[i]($).store(0, rl::mo_relaxed);
		for (i = 0; i < WAYS; i++)
			way[i]($).store(i == 0 ? 1 << 2 : 0, rl::mo_relaxed);
		for (i = 0; i < FRAMES; i++)
		{
			state[i]($).store(i == 0 ? USED : LIMBO, rl::mo_relaxed);
			number[i]($) = i == 0;
			body[i]($) = i == 0;
		}
		/* long ago: what is in limbo may be taken */
		global($).store(3, rl::mo_relaxed);
	}

	void
	after()
	{
		unsigned	f,
					w;

		for (f = 0; f < FRAMES; f++)
		{
			unsigned	ways = 0;

			for (w = 0; w < WAYS; w++)
				ways += way[w].debug_value() >> 2 == f + 1;
			RL_ASSERT((state[f].debug_value() & 3) == (ways == 1 ? USED : LIMBO) && ways <= 1);
		}
	}

	void
	enter(unsigned me)
	{
		unsigned	e = global($).load(rl::mo_relaxed);

		word[me]($).store(e << 1 | ACTIVE, rl::mo_release);
		if (!BROKEN_ENTER_NOFENCE)
			rl::atomic_thread_fence(rl::mo_seq_cst, $);
	}

	void
	leave(unsigned me)
	{
		word[me]($).store(0, rl::mo_release);
	}

	unsigned
	epoch_current()
	{
		rl::atomic_thread_fence(rl::mo_seq_cst, $);
		return global($).load(rl::mo_acquire);
	}

	bool
	try_advance()
	{
		unsigned	e = global($).load(rl::mo_acquire);
		unsigned	i;

		rl::atomic_thread_fence(rl::mo_seq_cst, $);
		for (i = 0; i < THREADS; i++)
		{
			unsigned	w = word[i]($).load(rl::mo_acquire);

			if ((w & ACTIVE) && w >> 1 != e)
				return false;
		}
		return global($).compare_exchange_strong(e, e + 1, rl::mo_acq_rel, rl::mo_relaxed);
	}

	bool
	grace_passed(unsigned e)
	{
		int			tries;

		if (BROKEN_NOGRACE)
			return true;
		for (tries = 0; tries < 3; tries++)
			if (global($).load(rl::mo_acquire) >= e + 2)
				return true;
			else if (!try_advance())
				break;
		return global($).load(rl::mo_acquire) >= e + 2;
	}

	/* Inside an epoch: the frame that holds the page, or FRAMES. */
	unsigned
	find(unsigned page, unsigned *in, unsigned *found)
	{
		unsigned	i;

		for (i = 0; i < WAYS; i++)
		{
			unsigned	w = way[i]($).load(BROKEN_RELAXED_LOOKUP ? rl::mo_relaxed : rl::mo_acquire);

			if (w == 0 || (!BROKEN_NOCONFIRM && number[FRAME(w)]($) != page))
				continue;
			*in = i;
			*found = w;
			return FRAME(w);
		}
		return FRAMES;
	}

	void
	lookup(unsigned page)
	{
		unsigned	i = 0,
					w = 0,
					f;

		enter(0);
		f = find(page, &i, &w);
		if (f != FRAMES)
		{
			if (BROKEN_STORE_USES)
				way[i]($).store((w & ~USES) | 1, rl::mo_release);
			else if ((w & USES) != USES)
				way[i]($).compare_exchange_strong(w, w + 1, rl::mo_relaxed, rl::mo_relaxed);
			RL_ASSERT(body[f]($) == page);
		}
		leave(0);
	}

	void
	into_limbo(unsigned f, unsigned e)
	{
		state[f]($).store(e << 2 | LIMBO, rl::mo_release);
	}

	/* FRAMES: there is none now */
	unsigned
	take_frame(unsigned me)
	{
		unsigned	f;

		for (f = 0; f < FRAMES; f++)
		{
			unsigned	s = state[f]($).load(rl::mo_acquire);

			if ((s & 3) == LIMBO && grace_passed(s >> 2) &&
				state[f]($).compare_exchange_strong(s, me << 2 | TAKEN, rl::mo_acquire, rl::mo_relaxed))
				break;
		}
		return f;
	}

	void
	fill(unsigned f, unsigned page)
	{
		number[f]($) = page;
		body[f]($) = page;
	}

	bool
	link_frame(unsigned f)
	{
		unsigned	tries;

		for (tries = 0; tries < 3; tries++)
		{
			unsigned	i = rl::rand(WAYS);
			unsigned	old = way[i]($).load(rl::mo_relaxed),
						other = way[1 - i]($).load(rl::mo_relaxed),
						e = 0;

			if ((other & USES) > 0)		/* age */
				way[1 - i]($).compare_exchange_strong(other, other - 1, rl::mo_relaxed, rl::mo_relaxed);
			if (BROKEN_EPOCH_FIRST)
				e = epoch_current();
			if (!way[i]($).compare_exchange_strong(old, (f + 1) << 2,
					BROKEN_RELAXED_LINK ? rl::mo_relaxed : rl::mo_acq_rel, rl::mo_relaxed))
				continue;
			if (old != 0)
				into_limbo(FRAME(old), BROKEN_EPOCH_FIRST ? e : epoch_current());
			return true;
		}
		return false;
	}

	void
	insert(unsigned me, unsigned page)
	{
		unsigned	f,
					i,
					w,
					taken = me << 2 | TAKEN;

		enter(me);
		f = find(page, &i, &w);
		leave(me);
		if (f != FRAMES)
			return;
		f = take_frame(me);
		if (f == FRAMES)
			return;
		if (!BROKEN_LINK_FIRST)
			fill(f, page);
		if (!link_frame(f))
		{
			into_limbo(f, 0);
			return;
		}
		if (BROKEN_LINK_FIRST)
			fill(f, page);
		if (BROKEN_STORE_USED)
			state[f]($).store(USED, rl::mo_release);
		else
			state[f]($).compare_exchange_strong(taken, USED, rl::mo_release, rl::mo_relaxed);
	}

	void
	evict_one()
	{
		unsigned	i = rl::rand(WAYS);
		unsigned	w = way[i]($).load(rl::mo_relaxed);

		if (w != 0 && way[i]($).compare_exchange_strong(w, 0, rl::mo_acquire, rl::mo_relaxed))
			into_limbo(FRAME(w), epoch_current());
	}

	void
	thread(unsigned me)
	{
		int			i;

		for (i = 0; i < ROUNDS; i++)
			if (me == 0)
				lookup(1 + rl::rand(2));
			else if (rl::rand(4) == 0)
				evict_one();
			else
				insert(me, 1 + rl::rand(2));
	}
};

int
main(int argc, char **argv)
{
	bool		verbose = model_args(argc, argv);

	return !model_random<Frames>(120000, verbose);
}
