/*
 * m10_promote.pml -- promotion, switch of the root, eviction: does an old version come back?
 *
 * Stands for store_read and store__promote (R), store_write with look_in_base (W),
 * store__base_publish and steps 6 and 7 of a checkpoint (C) and the evictor's removal of a leaf (E),
 * in src/backend/access/store and src/backend/access/art.
 *
 * One key, and one slot for it in the overlay.  A version is named by its lsn; record n ends at
 * LSN n.  The base is a row of roots; each holds the key's version as of its cut.
 *
 *	R	in one epoch: reads the root in force, looks in the overlay, takes what is there, else what
 *		the root holds, and puts a clean copy of that into the slot, by CAS from null.
 *	W	(two) in one epoch: reads the slot word s and, if that is null, the root and what it holds;
 *		decides by what it has seen; reserves; publishes by CAS on s; fills.  Who loses his CAS gives
 *		up here: to start over is to begin later.
 *	C	cut := insert; waits for completed >= cut; makes a root with the newest version <=
 *		cut; publishes it; waits a grace period; evict_cut := cut.
 *	E	takes a leaf with lsn <= evict_cut out of the slot.
 *
 * Properties.  What W has seen is the newest version when its CAS succeeds.  What R puts into the
 * slot is the newest version.  What R finds is not older than the version in force when it
 * began.  When the slot is emptied, the root in force holds the newest version.
 *
 * Left out: how the walk finds the version as of the cut (m9, m12), tombstones (m11), COMPLETE
 * (m7), nodes (m8), flushing (m5; step 4 comes before the root is published), failed checkpoints
 * (nothing is published then).  A grace period is: everybody has been seen outside once (m3).
 *
 * Variant OVERLAY_FIRST: R and W read the root after they have looked in the overlay.
 * Large TWICE: C and E go twice.
 *
 * Twin BROKEN_OTHER_EPOCH (assertion): R promotes by a root that it has read in an epoch before.
 * Twin BROKEN_NOGRACE (assertion): evict_cut := cut as soon as the root is published.
 * Twin BROKEN_CUT_FIRST (assertion): evict_cut := cut, and then the root is published; R finds the
 *	version neither in the overlay nor in the base.
 * Twin BROKEN_BLIND_PUT (assertion): R stores its copy instead of a CAS from null.
 * Twin BROKEN_EVICT_STORE (assertion): E empties the slot without comparing.
 */
#ifdef TWICE
#define ROUNDS	2
#else
#define ROUNDS	1
#endif
#define WRITERS	2
#define LSNS	16
#define READER	WRITERS			/* its epoch */

byte slot = 0;				/* the leaf, by its lsn; 0 null */
byte held[ROUNDS + 1];			/* what each root holds */
byte root = 0;				/* the one in force */
byte evict_cut = 1;
byte insert = 1;
byte start[WRITERS];			/* process slot: lsn of the record that is not filled yet */
bool inside[WRITERS + 1];
bool published[LSNS];	/* ghost */
byte last = 1;				/* ghost: the newest version */

proctype R()
{
	byte r, s, low;

	inside[READER] = true;
	atomic { low = last; r = root };
#ifdef BROKEN_OTHER_EPOCH
	inside[READER] = false;
	atomic { inside[READER] = true; low = last };
#endif
	s = slot;
#ifdef OVERLAY_FIRST
	r = root;
#endif
	if
	:: s == 0 ->
		s = held[r];
		assert(s >= low);
		atomic {
#ifdef BROKEN_BLIND_PUT
			slot = s; assert(s == last)
#else
			if
			:: slot == 0 -> slot = s; assert(s == last)
			:: else
			fi
#endif
		}
	:: else -> assert(s >= low)
	fi;
	atomic { inside[READER] = false; r = 0; s = 0; low = 0 }
}

proctype W(byte me)
{
	byte r, s, seen, l;
	bool ok;

	inside[me] = true;
	r = root;
	s = slot;
	seen = s;
	if
	:: s == 0 ->
#ifdef OVERLAY_FIRST
		r = root;
#endif
		seen = held[r]
	:: else
	fi;
	atomic { insert++; l = insert; start[me] = l };		/* reserve (m4) */
	atomic {						/* publish */
		ok = (slot == s);
		if
		:: ok -> assert(seen == last && l > last); slot = l; last = l; published[l] = true
		:: else
		fi
	};
	start[me] = 0;						/* fill, or VOID */
	atomic { inside[me] = false; r = 0; s = 0; seen = 0; l = 0 }
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
			held[round] = v;
			v = 0
		};
#ifdef BROKEN_CUT_FIRST
		evict_cut = cut;
#endif
		root = round;					/* (6) */
#ifndef BROKEN_NOGRACE
		!inside[0]; !inside[1]; !inside[2];
#endif
		evict_cut = cut					/* (7) */
	:: else -> break
	od
}

proctype E()
{
	byte s, upto, times;

	do
	:: times < ROUNDS ->
		upto = evict_cut;
		s = slot;
		atomic {
			if
#ifdef BROKEN_EVICT_STORE
			:: s != 0 && s <= upto ->
#else
			:: s != 0 && s <= upto && slot == s ->
#endif
				slot = 0;
#ifndef BROKEN_CUT_FIRST
				assert(held[root] == last)
#endif
			:: else
			fi;
			s = 0; upto = 0; times++
		}
	:: else -> break
	od
}

init
{
	atomic {
		held[0] = 1; published[1] = true;
		run R(); run W(0); run W(1); run C(); run E()
	}
}
