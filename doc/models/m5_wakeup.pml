/*
 * m5_wakeup.pml -- no wake-up is lost between workers and the walwriter.
 *
 * Stands for latch_set, latch_reset, latch_prepare_sleep and latch_sleep in
 * src/backend/storage/ipc/latch.c; wal_want, wal_wait_begin, wal_wait_end, wal_wait_flushed and
 * wal__wake_waiters in src/backend/access/wal/walring.c (a worker's event loop parks replies by
 * the same steps); the walwriter's loop; and the successors of the dead.
 *
 * A latch is a word with the bits SET and SLEEPING, and an eventfd.
 *
 *	latch_set	old := fetch_or(SET); if SLEEPING and not SET in old: write the eventfd.
 *	latch_reset	if the word is not 0: old := exchange(0); if SLEEPING in old: drain the eventfd.
 *	latch_sleep	old := fetch_or(SLEEPING); if SET in old: do not sleep; else sleep on the eventfd.
 *
 *	wait		1 latch_reset; 2 raise wal.wanted (CAS, maximum), latch_set(walwriter) unless flushed
 *				has passed; 3 wait_lsn := lsn; 4 look at flushed; 5 latch_sleep; 6 wait_lsn := 0;
 *				from the beginning until flushed has passed.
 *	walwriter	latch_reset; while wanted > flushed: if completed > flushed: write, advance flushed,
 *				wake; else sleep for a bounded time; then latch_sleep.
 *	wake		for every slot whose wait_lsn is passed: CAS it to 0, latch_set.
 *
 * F has reserved record 1 and fills it at some time; it waits for nothing and wakes nobody.
 * P (0) was shown the version of record 1 before it is filled and needs flushed >= 1; it may be
 * woken once by its client instead.  The walwriter may die once, at any step.
 *
 * Whoever dies between fetch_or(SET) and the write of the eventfd leaves a latch with both bits
 * and nothing in the eventfd, and no later latch_set writes it either; if it was the walwriter,
 * wait_lsn is 0 already.  So a successor, of any process, writes the eventfd of everybody whom
 * its predecessor may have been waking, whatever bits and wait_lsn say (latch_force).
 *
 * Property.  Every wait comes to its end: nobody sleeps for ever (an invalid end state
 * otherwise).  The walwriter, which in truth never sleeps without a bound, may do so here, to
 * show that it is woken; but not while wanted > flushed.
 *
 * Left out: policies and their delays, batches, waits for space (wait_lsn = 1).
 *
 * Variant BOTH: a second worker, P (1), has written record 2 and needs flushed >= 2; nobody dies.
 * Variant WORKER: the same, and P (1) may die at any step.
 *
 * Twin BROKEN_RESET_LATE (invalid end state): the latch is reset after flushed was looked at;
 *	that takes away the wake-up which came in between.
 * Twin BROKEN_IGNORE_SET (invalid end state): latch_sleep sleeps although SET was there.
 * Twin BROKEN_DRAIN_LATE (invalid end state): the eventfd is drained after SLEEPING was
 *	announced; a write that was meant for this sleep is lost.
 * Twin BROKEN_PARK_LATE (invalid end state): wait_lsn is set after flushed was looked at.
 * Twin BROKEN_WANTED_LATE (invalid end state): the walwriter is woken before wanted is raised.
 * Twin BROKEN_WAKE_FIRST (invalid end state): the walwriter looks at wait_lsn before it advances
 *	flushed.
 * Twin BROKEN_STRAGGLER (invalid end state): the walwriter sleeps without a bound while
 *	something wanted is not complete; F does not wake it.
 * Twin BROKEN_SUCCESSOR (invalid end state): the walwriter's successor wakes nobody; its
 *	predecessor died between advancing flushed and setting latches.
 * Twin BROKEN_SUCCESSOR_SETS (invalid end state): the successor uses latch_set; its predecessor
 *	had set SET already and died before it wrote the eventfd.
 * Twin BROKEN_SUCCESSOR_ASKS (invalid end state): the successor goes by wait_lsn; its predecessor
 *	had made it 0 already.
 * Twin BROKEN_WORKER_SUCCESSOR (invalid end state): a worker dies while it wakes the walwriter,
 *	and its successor wakes nobody.
 */
#define SET	1
#define SLEEPING 2
#define WALWRITER 2				/* latch number; 0 and 1 are the workers */

#if defined(WORKER) || defined(BROKEN_WORKER_SUCCESSOR)
#define TWO_WORKERS
#define WORKER_KILLED (killed && me == 1)
#define WALWRITER_KILLED false
#else
#define WORKER_KILLED false
#define WALWRITER_KILLED killed
#endif
#ifdef BOTH
#define TWO_WORKERS
#define NO_DEATH
#endif

byte latch[3];
bool eventfd[3];
byte wanted = 0, flushed = 0;
byte wait_lsn[2];
bool filled = false;			/* record 1; record 2 is filled from the beginning */
bool client = false;			/* the client of P (0) has sent something */
bool killed = false;

#define COMPLETED (filled -> 2 : 0)

inline latch_set(who)
{
	atomic { old = latch[who]; latch[who] = latch[who] | SET };
	if
	:: atomic { old == SLEEPING -> old = 0; eventfd[who] = true }
	:: atomic { else -> old = 0 }
	fi
}

/* For a successor only. */
inline latch_force(who)
{
#ifdef BROKEN_SUCCESSOR_SETS
	latch_set(who)
#else
	latch[who] = latch[who] | SET;
	eventfd[who] = true
#endif
}

inline latch_reset(who)
{
	if
	:: latch[who] == 0
	:: latch[who] != 0 ->
		atomic { old = latch[who]; latch[who] = 0 };
#ifndef BROKEN_DRAIN_LATE
		if
		:: atomic { old & SLEEPING -> old = 0; eventfd[who] = false }
		:: atomic { else -> old = 0 }
		fi
#endif
	fi
}

inline latch_prepare_sleep(who)
{
	atomic { old = latch[who]; latch[who] = latch[who] | SLEEPING };
#ifdef BROKEN_DRAIN_LATE
	eventfd[who] = false
#endif
}

#ifdef BROKEN_IGNORE_SET
#define STAY_AWAKE false
#else
#define STAY_AWAKE ((old & SET) != 0)
#endif

/* wal_wait_flushed */
inline wait(me, lsn)
{
	do
	:: flushed >= lsn -> break
	:: else ->
#ifndef BROKEN_RESET_LATE
		latch_reset(me);
#endif
#ifdef BROKEN_WANTED_LATE
		latch_set(WALWRITER);
#endif
		atomic {
			if
			:: wanted < lsn -> wanted = lsn
			:: else
			fi
		};
#ifndef BROKEN_WANTED_LATE
		if
		:: flushed < lsn -> latch_set(WALWRITER)
		:: else
		fi;
#endif
#ifndef BROKEN_PARK_LATE
		wait_lsn[me] = lsn;
#endif
		if
		:: flushed >= lsn
		:: else ->
#ifdef BROKEN_PARK_LATE
			wait_lsn[me] = lsn;
#endif
#ifdef BROKEN_RESET_LATE
			latch_reset(me);
#endif
			latch_prepare_sleep(me);
			if
			:: STAY_AWAKE
			:: else ->
				if
				:: eventfd[me]
				:: me == 0 && client -> client = false
				fi
			fi
		fi;
		wait_lsn[me] = 0
	od
}

proctype P(byte me; byte lsn)
{
	byte old;

	{
		old = 0;
		wait(me, lsn)
	} unless { WORKER_KILLED };
	if
	:: WORKER_KILLED ->
		/* the successor: the client is gone */
#ifndef BROKEN_WORKER_SUCCESSOR
		latch_force(WALWRITER);
#endif
		wait_lsn[me] = 0
	:: else
	fi
}

/* wal_fill, by a worker that waits for nothing */
proctype F()
{
	filled = true
}

inline wake_one(who, upto)
{
	if
	:: atomic { wait_lsn[who] != 0 && wait_lsn[who] <= upto -> wait_lsn[who] = 0 };
		latch_set(who)
	:: else
	fi
}

inline wake_waiters(upto)
{
	wake_one(0, upto);
#ifdef TWO_WORKERS
	wake_one(1, upto)
#endif
}

inline walwriter_loop()
{
	do
	:: true ->
		latch_reset(WALWRITER);
		do
		:: wanted > flushed ->
			c = COMPLETED;
			if
			:: c > flushed ->
#ifdef BROKEN_WAKE_FIRST
				wake_waiters(c);
				flushed = c
#else
				flushed = c;
				wake_waiters(c)
#endif
#ifdef BROKEN_STRAGGLER
			:: else -> break
#else
			:: else -> COMPLETED > flushed		/* looks again and again */
#endif
			fi
		:: else -> break
		od;
		c = 0;
		latch_prepare_sleep(WALWRITER);
end:		if
		:: STAY_AWAKE
		:: !STAY_AWAKE && eventfd[WALWRITER]
		fi
	od
}

proctype L()
{
	byte old, c;

	{
		c = 0;
		walwriter_loop()
	} unless { WALWRITER_KILLED };
	c = 0;
#ifdef BROKEN_SUCCESSOR_ASKS
	if
	:: wait_lsn[0] != 0 -> latch_force(0)
	:: else
	fi;
#else
#ifndef BROKEN_SUCCESSOR
	latch_force(0);
#endif
#endif
	walwriter_loop()
}

proctype K()
{
	if
	:: killed = true
	:: true
	fi
}

init
{
	atomic {
		run P(0, 1); run F(); run L();
#ifdef TWO_WORKERS
		run P(1, 2);
#endif
#ifndef NO_DEATH
		run K()
#endif
	}
#ifndef TWO_WORKERS
	if
	:: client = true
	:: true
	fi
#endif
}
