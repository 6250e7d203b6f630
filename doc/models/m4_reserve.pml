/*
 * m4_reserve.pml -- the reservation whose owner can be told after any death.
 *
 * Stands for wal_reserve, the mark_idle of wal_fill, and wal_completed_update (process C) in
 * src/backend/access/wal/walring.c, and for the part of the tidy-up that asks whether a dead
 * worker owned a reservation.
 *
 * The insert word is (lsn, process slot of the last reserver).  A process slot has a length
 * and a word that is idle, TENTATIVE(start) or OWNED(start).
 *
 *	1	load the insert word: (l, o)
 *	2	store the length (a record that pads to a block's end has another one at every start)
 *	3	own slot := TENTATIVE(l)
 *	4	if o is another process, its word says TENTATIVE(s), and s + its length = l:
 *		CAS its word TENTATIVE(s) -> OWNED(s)
 *	5	CAS the insert word (l, o) -> (l + length, me); if it fails: 1
 *	6	own slot := OWNED(l)
 *	7	publish, fill; own slot := idle
 *
 * Workers die at any step (K chooses).  The successor reads the insert word first and the slot
 * second: the dead one owns a reservation iff the insert word named it with the end of its
 * TENTATIVE, or the slot says OWNED.  Then it fills, sets the slot idle and serves.
 *
 * Properties.  The successor's answer is the truth.  completed = min(insert, read first; all
 * starts in the slots) never passes a reservation that is not filled.
 *
 * Left out: the ring's space, what is filled in (m5, m6), a successor that dies (m6).
 *
 * Variant THREE: three workers with one record each, one death (else two with two, two deaths).
 * Variant COMPLETED: process C takes part, one death.
 *
 * Twin BROKEN_NOHELP (assertion): step 4 is left out; once the insert word has moved on, nothing
 *	tells that the dead one had reserved.
 * Twin BROKEN_HELP_LATE (assertion): step 4 comes after step 5.
 * Twin BROKEN_SLOT_FIRST (assertion): the successor reads the slot before the insert word; in
 *	between a helper marks the slot and moves the word.
 * Twin BROKEN_NOEND (assertion): the insert word's name alone counts as proof; it may stand for
 *	the record before, while the one in the slot was never reserved.
 * Twin BROKEN_TENTATIVE_LATE (assertion): step 3 comes after step 5; a reservation that no slot
 *	shows.
 */
#ifdef THREE
#define WORKERS 3
#define RECORDS 1
#else
#define WORKERS 2
#define RECORDS 2
#endif
#if defined(THREE) || defined(COMPLETED)
#define KILLS	1
#else
#define KILLS	2
#endif
#define NOBODY	9

mtype = { IDLE, TENTATIVE, OWNED };

byte insert = 0, reserver = NOBODY;	/* the insert word */
mtype state[WORKERS] = IDLE; byte start[WORKERS];	/* the word in the process slot */
byte length[WORKERS];			/* stored before it */
bool killed[WORKERS];
bool owns[WORKERS]; byte from[WORKERS];	/* ghost: reserved and not filled, and where */

inline reserve_and_fill(me)
{
	do
	:: atomic { l = insert; o = reserver };
		length[me] = 1 + (l + me) % 2;
#ifndef BROKEN_TENTATIVE_LATE
		atomic { state[me] = TENTATIVE; start[me] = l };
#endif
#if !defined(BROKEN_NOHELP) && !defined(BROKEN_HELP_LATE)
		help(me);
#endif
		atomic {
			if
			:: insert == l && reserver == o ->
				insert = l + length[me]; reserver = me;
				owns[me] = true; from[me] = l; ok = true
			:: else -> ok = false
			fi
		};
#ifdef BROKEN_TENTATIVE_LATE
		atomic { state[me] = TENTATIVE; start[me] = l };
#endif
#ifdef BROKEN_HELP_LATE
		help(me);
#endif
		if
		:: ok -> break
		:: else
		fi
	od;
	state[me] = OWNED;
	atomic { state[me] = IDLE; owns[me] = false; from[me] = 0; start[me] = 0; l = 0; o = 0; ok = false }
}

inline help(me)
{
	if
	:: o != NOBODY && o != me ->
		atomic {
			if
			:: state[o] == TENTATIVE -> s = start[o]
			:: else -> s = NOBODY
			fi
		};
		if
		:: s != NOBODY && s + length[o] == l ->
			atomic {
				if
				:: state[o] == TENTATIVE && start[o] == s -> state[o] = OWNED
				:: else
				fi
			}
		:: else
		fi;
		s = 0
	:: else
	fi
}

inline tidy(me)
{
#ifdef BROKEN_SLOT_FIRST
	atomic { st = state[me]; s = start[me] };
	atomic { l = insert; o = reserver };
#else
	atomic { l = insert; o = reserver };
	atomic { st = state[me]; s = start[me] };
#endif
#ifdef BROKEN_NOEND
	ok = (st == OWNED || (st == TENTATIVE && o == me));
#else
	ok = (st == OWNED || (st == TENTATIVE && o == me && s + length[me] == l));
#endif
	atomic {
		assert(ok == owns[me]);
		state[me] = IDLE; start[me] = 0;
		owns[me] = false; from[me] = 0;
		l = 0; o = 0; s = 0; st = IDLE; ok = false
	}
}

proctype W(byte me)
{
	byte l, o, s, n;
	mtype st = IDLE;
	bool ok;

	{
		do
		:: n < RECORDS -> n++; reserve_and_fill(me)
		:: else -> break
		od
	} unless { killed[me] };
	if
	:: killed[me] ->
		tidy(me);
		if
		:: n < RECORDS -> reserve_and_fill(me)
		:: else
		fi
	:: else
	fi
}

/* wal_completed_update, once */
proctype C()
{
	byte c, i;

	c = insert;
	do
	:: i < WORKERS ->
		atomic {
			if
			:: state[i] != IDLE && start[i] < c -> c = start[i]
			:: else
			fi;
			i++
		}
	:: else -> break
	od;
	i = 0;
	do
	:: i < WORKERS -> atomic { assert(!owns[i] || from[i] >= c); i++ }
	:: else -> break
	od
}

proctype K()
{
	byte n;

	do
	:: n < KILLS ->
		atomic {
			n++;
			if
			:: killed[0] = true
			:: killed[1] = true
			:: true
			fi
		}
	:: else -> break
	od
}

init
{
	atomic {
		run W(0); run W(1); run K();
#ifdef THREE
		run W(2)
#endif
#ifdef COMPLETED
		run C()
#endif
	}
}
