/*
 * m7_roots.pml -- COMPLETE while clients write and checkpoints publish new roots.
 *
 * Stands for prewarm_step, art_filling_begin, art_filling_end, art_evict and the sweep of tombstones
 * (E), store_read and store__promote (R), store_write and store_write_blind (W, D), steps 6 and 7 of
 * a checkpoint (C), in src/backend/access/store and src/backend/access/art.
 *
 * One key, one slot for it in the overlay (null, a leaf or a tombstone), one flag (nothing,
 * FILLING, COMPLETE).  A version is named by its lsn; record n ends at LSN n.  A root of the base
 * holds the key's version as of its cut, or nothing.  At first the overlay is empty, and the base
 * has the key or lacks it.
 *
 *	R, W, D	look in one epoch: the flag; the slot; if that is null and the flag was not COMPLETE,
 *		what the root in force holds.
 *	R	puts a clean copy of what the root holds into the slot, by CAS from null.
 *	W	puts a value, by what it has seen or blindly; D deletes what is there; as in m11.
 *	C	cut; root with the newest version <= cut; publishes; grace period; evict_cut := cut.
 *	E	one after the other, in any order that makes sense: begins to fill; passes the key (in one
 *		epoch: root, and a clean copy into the slot, if the root holds the key and the slot is
 *		null); ends filling, by CAS from FILLING; evicts a leaf with lsn <= evict_cut (clears the
 *		flag, waits a grace period, empties the slot, by CAS); sweeps a tombstone with lsn <=
 *		evict_cut, whatever the flag says.
 *
 * Properties.  R finds nothing older than what was in force when it began, and "not there" only if
 * the key was not there at some moment since.  What a writer has seen is the newest version when
 * its CAS succeeds.  What is promoted is the newest version.  While the flag is COMPLETE, the slot
 * is not null or the root in force lacks the key.
 *
 * Left out: nodes, their flags and their copies (m7_complete), what m10 and m11 leave out.
 *
 * Variant PUT: W takes part instead of D.
 * Large ALL: both do.
 *
 * Twin BROKEN_NOCANCEL (assertion): an eviction does not clear FILLING.
 * Twin BROKEN_NOCLEAR (assertion): an eviction clears nothing.
 * Twin BROKEN_EVICT_NOGRACE (assertion): no grace period between clearing and emptying the slot.
 * Twin BROKEN_OTHER_EPOCH (assertion): E passes the key by a root that it has read in an epoch
 *	before.
 * Twin BROKEN_NOGRACE (assertion): evict_cut := cut as soon as the root is published.
 * Twin BROKEN_FLAG_LATE (assertion): the flag is read after the slot.
 */
#define ROUNDS	1			/* of C; evictions and sweeps of E */
#define NONE		0
#define FILLING		1
#define COMPLETE	2
#define WRITERS	2
#define READER	WRITERS			/* epochs */
#define EVICTOR	(WRITERS + 1)
#define LSNS	16

byte slot = 0;				/* lsn of the leaf or tombstone; 0 null */
byte flag = NONE;
bool tomb[LSNS];
byte held[ROUNDS + 1];			/* what each root holds; 0 nothing */
byte root = 0;
byte evict_cut = 1;
byte insert = 1;
byte start[WRITERS];
bool inside[WRITERS + 2];
bool published[LSNS];			/* ghost */
byte last = 1;				/* ghost: the newest version */
bool was_absent;			/* ghost: at some moment since R began */

#define VALUE(v) (tomb[v] -> 0 : v)	/* tomb[0] is false: nothing */

inline check()
{
	assert(flag != COMPLETE || slot != 0 || held[root] == 0)
}

/* seen := the version that there is, 0 for none; s: the slot word */
inline look()
{
#ifdef BROKEN_FLAG_LATE
	s = slot;
	complete = (flag == COMPLETE);
#else
	complete = (flag == COMPLETE);
	s = slot;
#endif
	if
	:: s != 0 -> seen = VALUE(s)
	:: s == 0 && complete -> seen = 0
	:: s == 0 && !complete -> seen = held[root]
	fi
}

proctype R()
{
	byte s, seen, low;
	bool complete;

	inside[READER] = true;
	atomic { low = last; was_absent = tomb[last] };
	look();
	atomic {
		assert(seen >= low || (seen == 0 && was_absent));
		if
		:: s == 0 && seen != 0 && slot == 0 -> slot = seen; assert(seen == last); check()
		:: else
		fi;
		inside[READER] = false; s = 0; seen = 0; low = 0; complete = false; was_absent = false
	}
}

inline write(delete, blind)
{
	inside[me] = true;
	look();
	if
	:: delete && seen == 0
	:: else ->
		atomic { insert++; l = insert; start[me] = l };	/* reserve (m4) */
		atomic {					/* publish */
			if
			:: slot == s ->
				assert(blind || seen == VALUE(last));
				assert(l > last);
				slot = l; last = l; published[l] = true; tomb[l] = delete;
				was_absent = was_absent || delete
			:: else
			fi
		};
		start[me] = 0					/* fill, or VOID */
	fi;
	atomic { inside[me] = false; s = 0; seen = 0; l = 0; complete = false }
}

proctype W(byte me)
{
	byte s, seen, l;
	bool complete;

	if
	:: write(false, false)
	:: write(false, true)
	fi
}

proctype D(byte me)
{
	byte s, seen, l;
	bool complete;

	write(true, false)
}

proctype C()
{
	byte cut, v, round;

	do
	:: round < ROUNDS ->
		cut = insert;
		start[0] == 0 || start[0] > cut;
		start[1] == 0 || start[1] > cut;
		d_step {
			v = cut;
			do
			:: v > 0 && !published[v] -> v--
			:: else -> break
			od;
			round++;
			held[round] = VALUE(v);
			v = 0
		};
		atomic { root = round; check() };		/* (6) */
#ifndef BROKEN_NOGRACE
		!inside[READER]; !inside[EVICTOR]; !inside[0]; !inside[1];
#endif
		evict_cut = cut					/* (7) */
	:: else -> break
	od
}

proctype E()
{
	byte s, upto, r;
	byte filling = 0;				/* 0 to begin, 1 begun, 2 passed, 3 ended */
	byte evictions = ROUNDS, sweeps = ROUNDS;

	do
	:: filling == 0 ->
		atomic {
			filling = 1;
			if
			:: flag == NONE -> flag = FILLING
			:: else
			fi;
			r = root
		}
	:: filling == 1 ->				/* store__promote */
		inside[EVICTOR] = true;
#ifndef BROKEN_OTHER_EPOCH
		r = root;
#endif
		s = held[r];
		atomic {
			if
			:: s != 0 && slot == 0 -> slot = s; assert(s == last); check()
			:: else
			fi;
			s = 0; r = 0; filling = 2; inside[EVICTOR] = false
		}
	:: filling == 2 ->				/* art_filling_end */
		atomic {
			filling = 3;
			if
			:: flag == FILLING -> flag = COMPLETE; check()
			:: else
			fi
		}
	:: evictions > 0 ->				/* art_evict */
		upto = evict_cut;
#ifndef BROKEN_NOCLEAR
#ifdef BROKEN_NOCANCEL
		atomic {
			if
			:: flag == COMPLETE -> flag = NONE
			:: else
			fi
		};
#else
		flag = NONE;
#endif
#endif
#ifndef BROKEN_EVICT_NOGRACE
		!inside[READER]; !inside[0]; !inside[1];
#endif
		s = slot;
		atomic {
			if
			:: s != 0 && !tomb[s] && s <= upto && slot == s ->
				slot = 0;
#if !defined(BROKEN_NOCLEAR) && !defined(BROKEN_NOCANCEL)
				check()
#endif
			:: else
			fi;
			s = 0; upto = 0; evictions--
		}
	:: sweeps > 0 ->				/* art_sweep */
		upto = evict_cut;
		s = slot;
		atomic {
			if
			:: tomb[s] && s <= upto && slot == s -> slot = 0; check()
			:: else
			fi;
			s = 0; upto = 0; sweeps--
		}
	:: filling == 3 && evictions == 0 && sweeps == 0 -> break
	od
}

init
{
	atomic {
		published[1] = true;
		if
		:: held[0] = 1
		:: tomb[1] = true			/* deleted, and merged, and swept */
		fi;
		run R(); run C(); run E();
#if !defined(PUT)
		run D(1);
#endif
#if defined(PUT) || defined(ALL)
		run W(0)
#endif
	}
}
