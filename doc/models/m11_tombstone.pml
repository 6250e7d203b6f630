/*
 * m11_tombstone.pml -- when may a tombstone go?
 *
 * Stands for store_read and store__promote (R), store_write and store_write_blind (W),
 * store__base_publish and steps 6 and 7 of a checkpoint (C) and the evictor's sweep of tombstones
 * (E), in src/backend/access/store and src/backend/access/art.
 *
 * One key, and one slot for it in the overlay: null, a leaf or a tombstone.  A version is named
 * by its lsn; record n ends at LSN n.  A root of the base holds the key's version as of its cut;
 * nothing, if that is a tombstone.  At first the overlay is empty and the base has the key.
 *
 *	R	in one epoch: root, overlay, base, and a clean copy into the slot by CAS from null (m10).
 *	W	(two) in one epoch: reads the slot word s and, if that is null, what the root holds; reserves;
 *		publishes by CAS on s; fills.  One writes a value, by what it has seen or blindly; the
 *		other deletes what is there.  Who loses his CAS gives up here: to start over is to begin
 *		later.
 *	C	cut; root with the newest version <= cut; publishes; grace period; evict_cut := cut.
 *	E	takes a tombstone with lsn <= evict_cut out of the slot.
 *
 * Properties.  A key that was deleted does not come back: R finds nothing older than what was in
 * force when it began, and "not there" only if the key was not there at some moment since; what R
 * promotes is the newest version.  The versions in the slot grow.  What a writer has seen is the
 * newest version when its CAS succeeds.  A tombstone that goes is not needed: the root in force
 * lacks the key.
 *
 * Left out: as in m10_promote.pml, and the eviction of leaves.
 *
 * Variant REPUT: the deleter writes a value blindly and deletes it once more; no R.
 * Large TWICE: C and E go twice.
 *
 * Twin BROKEN_FLUSHED (assertion): a tombstone goes when all below it is complete (and flushed); the
 *	base still has the key.
 * Twin BROKEN_NOGRACE (assertion): evict_cut := cut as soon as the root is published; who has read
 *	the root before finds neither the tombstone nor its effect.
 * Twin BROKEN_CUT_FIRST (assertion): evict_cut := cut, and then the root is published.
 * Twin BROKEN_ANY (assertion): a tombstone goes at once; who holds the null word from before and
 *	has reserved below it publishes an older version after it.
 * Twin BROKEN_CUT_INSERT (assertion): a tombstone goes when lsn <= the cut of the checkpoint that is
 *	being made.
 */
#ifdef TWICE
#define ROUNDS	2
#else
#define ROUNDS	1
#endif
#define WRITERS	2
#define READER	WRITERS			/* its epoch */
#define LSNS	16
#ifdef BROKEN_ANY
#define REPUT
#endif

byte slot = 0;				/* lsn of the leaf or tombstone; 0 null */
bool tomb[LSNS];			/* this version is a tombstone */
byte held[ROUNDS + 1];			/* what each root holds; 0 nothing */
byte root = 0;
byte evict_cut = 1;
byte making = 0;			/* the cut of the checkpoint that is being made */
byte insert = 1;
byte start[WRITERS];
bool inside[WRITERS + 1];
bool published[LSNS];			/* ghost */
byte last = 1;				/* ghost: the newest version */
bool was_absent;			/* ghost: at some moment since R began */

#define VALUE(v) (tomb[v] -> 0 : v)	/* tomb[0] is false: nothing */

proctype R()
{
	byte r, s, low;

	inside[READER] = true;
	atomic { low = last; was_absent = tomb[last]; r = root };
	s = slot;
	if
	:: s == 0 ->
		s = held[r];
		atomic {
			assert(s >= low || (s == 0 && was_absent));
			if
			:: s != 0 && slot == 0 -> slot = s; assert(s == last)
			:: else
			fi
		}
	:: else -> assert(s >= low)
	fi;
	atomic { inside[READER] = false; r = 0; s = 0; low = 0; was_absent = false }
}

/*
 * One change: a deletion of what is there, or a value.  A blind one looks at nothing but the
 * slot.
 */
inline write(delete, blind)
{
	inside[me] = true;
	r = root;
	s = slot;
	if
	:: s == 0 -> seen = held[r]
	:: else -> seen = VALUE(s)
	fi;
	if
	:: delete && seen == 0
	:: else ->
		atomic { insert++; l = insert; start[me] = l };	/* reserve (m4) */
		atomic {					/* publish */
			if
			:: slot == s ->
#ifndef BROKEN_ANY
				assert(blind || seen == VALUE(last));
#endif
				assert(l > last);
				slot = l; last = l; published[l] = true; tomb[l] = delete;
				was_absent = was_absent || delete
			:: else
			fi
		};
		start[me] = 0					/* fill, or VOID */
	fi;
	atomic { inside[me] = false; r = 0; s = 0; seen = 0; l = 0 }
}

proctype W(byte me)
{
	byte r, s, seen, l;

	if
#ifndef BROKEN_ANY
	:: write(false, false)
#endif
	:: write(false, true)
	fi
}

proctype D(byte me)
{
	byte r, s, seen, l;

	write(true, false);
#ifdef REPUT
	write(false, true);
	write(true, false)
#endif
}

proctype C()
{
	byte cut, v, round;

	do
	:: round < ROUNDS ->
		cut = insert;
#ifdef BROKEN_CUT_INSERT
		making = cut;
#endif
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
#if defined(BROKEN_FLUSHED)
		upto = insert;
		start[0] == 0 || start[0] > upto;
		start[1] == 0 || start[1] > upto;
#elif defined(BROKEN_ANY)
		upto = LSNS;
#elif defined(BROKEN_CUT_INSERT)
		upto = making;
#else
		upto = evict_cut;
#endif
		s = slot;
		atomic {
			if
			:: tomb[s] && s <= upto && slot == s ->
				slot = 0;
#if !defined(BROKEN_FLUSHED) && !defined(BROKEN_CUT_FIRST) && \
	!defined(BROKEN_ANY) && !defined(BROKEN_CUT_INSERT)
				assert(held[root] == 0)
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
#ifndef REPUT
		run R();
#endif
		run W(0); run D(1); run C(); run E()
	}
}
