/*
 * m3_epoch.pml -- epochs: when memory that was unlinked may be used again.
 *
 * Stands for epoch_enter, epoch_leave, epoch_try_advance and epoch_current in storage/ipc/epoch.h
 * and epoch.c, and mem_retire in src/backend/storage/mem.
 *
 * One global epoch E; one word per process, epoch and active bit.
 *
 *	enter		load E; store the word; (seq_cst fence).  Nothing is read again, so the word may
 *				be behind E from the beginning.
 *	leave		clear the active bit.
 *	advance		load E; (seq_cst fence); every active word must equal what was loaded; CAS to E+1.
 *	retire		unlink; (seq_cst fence); e := E.  The memory is used again when E >= e + 2.
 *
 * Fences mean nothing here, for spin is sequentially consistent; m3_epoch.cc shows that they
 * are needed.  R enters, reads the slot, looks at what it found and leaves, twice; W replaces the
 * object in the slot, inside an epoch, and uses its memory again when it may; two processes A
 * try to advance, as often as they like.
 *
 * Property.  No reader looks at an object that has been used again.
 *
 * Left out: a process that dies inside an epoch (its word stays; the successor clears it last,
 * m6), bounds on retired memory.
 *
 * Variant TWO: two readers with one round each, one A.
 *
 * Twin BROKEN_EARLY (assertion): used again when E >= e + 1: a reader may have entered one epoch
 *	late and still be there.
 * Twin BROKEN_READ_FIRST (assertion): E is read before the object is unlinked.
 * Twin BROKEN_REREAD (assertion): the CAS takes an E loaded after the words were looked at.
 * Twin BROKEN_LAGGARD (assertion): a word that is behind E does not stop the epoch.
 */
#ifdef TWO
#define READERS 2
#define ROUNDS	1
#else
#define READERS 1
#define ROUNDS	2
#endif
#define WORDS	(READERS + 1)	/* the readers and W */
#define OBJECTS 2
#define ADVANCES 3				/* E stays below this, to bound the search */

byte E = 0;
byte epoch[WORDS]; bool busy[WORDS];
byte slot = 0;				/* number of the object that is linked */
bool reused[OBJECTS];

inline epoch_enter(me)
{
	e = E;
	d_step { epoch[me] = e; busy[me] = true; e = 0 }
}

inline epoch_leave(me)
{
	busy[me] = false
}

proctype R(byte me)
{
	byte e, o, n;

	do
	:: n < ROUNDS ->
		n++;
		epoch_enter(me);
		o = slot;
		assert(!reused[o]);		/* look at it, */
		d_step { epoch_leave(me); o = 0 }	/* at any time before leaving */
	:: else -> break
	od
}

proctype W()
{
	byte e, n;
	byte at[OBJECTS];			/* E as read when object n was retired */

	do
	:: n < OBJECTS - 1 ->
		epoch_enter(READERS);
#ifdef BROKEN_READ_FIRST
		at[n] = E;
		slot = n + 1;
#else
		slot = n + 1;			/* unlinks object n */
		at[n] = E;
#endif
		d_step { epoch_leave(READERS); n++ }
	:: else -> break
	od;
	n = 0;
	do
	:: n < OBJECTS - 1 ->
		d_step {
			if
#ifdef BROKEN_EARLY
			:: E >= at[n] + 1 -> reused[n] = true
#else
			:: E >= at[n] + 2 -> reused[n] = true
#endif
			:: else
			fi
		};
		n++
	:: else -> break
	od
}

proctype A()
{
	byte e, i;
	bool same;

	do
	:: E < ADVANCES ->
		d_step { e = E; i = 0; same = true }
		do
		:: i < WORDS && same ->
			d_step {
				if
#ifdef BROKEN_LAGGARD
				:: busy[i] && epoch[i] > e -> same = false
#else
				:: busy[i] && epoch[i] != e -> same = false
#endif
				:: else
				fi;
				i++
			}
		:: else -> break
		od;
#ifdef BROKEN_REREAD
		e = E;
#endif
		atomic {
			if
			:: same && E == e -> E = e + 1
			:: else
			fi;
			e = 0; i = 0; same = false
		}
	:: break				/* may stop trying at any time */
	od
}

init
{
	atomic {
		run R(0); run W(); run A();
#ifdef TWO
		run R(1)
#else
		run A()
#endif
	}
}
