/*
 * m9_walk.pml -- dirty LSN, walk, failed checkpoint: does a committed base hold what it must?
 *
 * Stands for store_write from epoch_enter to epoch_leave (W) and the checkpointer's steps 1 to 6
 * (C) in src/backend/access/store, with art_raise_dirty, art_publish, art__help and art_seek_dirty.
 *
 * The tree is P over the nodes of the keys 0 and 1.  A version is named by its lsn; a record is
 * one unit of log, so record n ends at LSN n.  Dirty LSNs are kept in units of UNIT, rounded up.
 * Key 0 has a version from before, which is dirty.
 *
 *	W	(two on key 0) enters its epoch; reads 'snapshot'; reads the slot word s; reserves; raises
 *		the dirty LSN of P and of the key's node; publishes by CAS s -> N, N linked to what the
 *		snapshot may need; fills; leaves.
 *	C	(twice) announces (snapshot := UNKNOWN); waits a grace period; cut := insert; snapshot :=
 *		cut; waits for completed >= cut; walks what is dirty, taking of each key the newest version
 *		<= cut; and commits or fails.  Skipped is what has a dirty LSN <= the cut of the last
 *		checkpoint that was committed.  After a failed attempt it reserves a VOID.
 *	H	(variant COPY) replaces the node of key 0 by a copy, with slot and dirty LSN as read after
 *		the freeze.  W, when the node is frozen: VOID, the copy is finished, and it starts over.
 *
 * Property.  At every commit the base has of each key exactly the newest version <= cut, and no
 * version <= cut is published afterwards.
 *
 * Left out: changes of shape with several nodes (m1), releasing what is linked (m12), eviction
 * (m8, m10), the log (m5), deaths.  A grace period is: everybody has been seen outside once (m3).
 *
 * Variant KEYS: one of the two writes key 1.
 * Variant COPY: one W only, and H.
 * Large THREE: three writers, one of them on key 1.
 *
 * Twin BROKEN_RAISE_LATE (assertion): W raises after it has published (variant COPY): the node is
 *	frozen by then, and a leaf that is published cannot become a VOID; the copy has the leaf but
 *	not its lsn, and is skipped.
 * Twin BROKEN_RAISE_LAST (assertion): W raises when the record is filled already.
 * Twin BROKEN_BOTTOM_ONLY (assertion): W raises the dirty LSN of the last node only.
 * Twin BROKEN_ATTEMPTED (assertion): skipped is what has a dirty LSN <= the cut of the last
 *	attempt, which failed.
 * Twin BROKEN_ROUND_UP (assertion): the committed cut is rounded up for the comparison, as dirty
 *	LSNs are.
 * Twin BROKEN_ROUND_DOWN (assertion): dirty LSNs are rounded down.
 * Twin BROKEN_NOWAIT (assertion): C does not wait for completed; a version <= cut comes late.
 * Twin BROKEN_NOLINK (assertion): the version replaced is not linked; the walk finds a newer one
 *	only.
 * Twin BROKEN_SNAPSHOT_EARLY (assertion): W reads 'snapshot' before it enters its epoch.
 * Twin BROKEN_NOGRACE (assertion): no grace period between announcement and cut.
 * Twin BROKEN_SLOTS_FIRST (assertion): completed as C takes it looks at the process slots before
 *	the insert word.
 */
#ifdef BROKEN_RAISE_LATE
#define COPY
#endif
#if defined(THREE)
#define WRITERS	3
#define ATTEMPTS 2
#define KEY(w) (w == 2 -> 1 : 0)
#elif defined(KEYS)
#define WRITERS	2
#define ATTEMPTS 2
#define KEY(w) w
#elif defined(COPY)
#define WRITERS	1
#define ATTEMPTS 2
#define KEY(w) 0
#else
#define WRITERS	2
#define ATTEMPTS 2
#define KEY(w) 0
#endif
#define NODES	6
#define LSNS	12
#define UNKNOWN	99
#define UNIT	2

#ifdef BROKEN_ROUND_DOWN
#define IN_UNITS(lsn) ((lsn) / UNIT)
#else
#define IN_UNITS(lsn) (((lsn) + UNIT - 1) / UNIT)
#endif
#ifdef BROKEN_ROUND_UP
#define CLEAN(dirty, lsn) (dirty <= IN_UNITS(lsn))
#else
#define CLEAN(dirty, lsn) (dirty * UNIT <= lsn)
#endif

byte child[2];				/* the node of each key */
byte pdirty = IN_UNITS(2);		/* of P */
byte slot[NODES];			/* the head of the key's versions */
byte dirty[NODES];
bool frz[NODES];			/* slot and meta are frozen (one after the other in m1) */
byte made = 2;
byte link[LSNS];			/* of each version */
byte owner[LSNS];			/* ghost: key + 1 of each version that was published */
byte insert = 2;
byte start[WRITERS];			/* process slot: lsn of the record that is not filled yet */
bool inside[WRITERS];
byte snapshot = 0;

byte base[2];
byte committed = 0;

inline finish_copy(k, v)
{
	atomic {
		if
		:: child[k] == v -> slot[made] = slot[v]; dirty[made] = dirty[v]; child[k] = made; made++
		:: else
		fi
	}
}

inline raise_path()
{
#ifndef BROKEN_BOTTOM_ONLY
	atomic {
		if
		:: pdirty < IN_UNITS(l) -> pdirty = IN_UNITS(l)
		:: else
		fi
	};
#endif
	atomic {
		raised = (dirty[n] >= IN_UNITS(l) || !frz[n]);
		if
		:: dirty[n] < IN_UNITS(l) && !frz[n] -> dirty[n] = IN_UNITS(l)
		:: else
		fi
	}
}

proctype W(byte me)
{
	byte snap, n, s, l;
	bool ok, raised;

again:
#ifdef BROKEN_SNAPSHOT_EARLY
	snap = snapshot;
	inside[me] = true;
#else
	inside[me] = true;
	snap = snapshot;
#endif
	n = child[KEY(me)];
	atomic { s = slot[n]; ok = !frz[n] };
	if
	:: !ok -> finish_copy(KEY(me), n); goto out
	:: else
	fi;
	atomic { insert++; l = insert; start[me] = l };		/* reserve (m4) */
#if !defined(BROKEN_RAISE_LATE) && !defined(BROKEN_RAISE_LAST)
	raise_path();
#else
	raised = true;
#endif
	atomic {						/* publish */
		ok = (raised && slot[n] == s && !frz[n]);
		if
		:: ok ->
			assert(l > committed);
			if
#ifdef BROKEN_NOLINK
			:: true -> skip
#else
			:: snap == UNKNOWN || (snap != 0 && s <= snap && snap < l) -> link[l] = s
			:: snap != UNKNOWN && snap != 0 && snap < s -> link[l] = link[s]
			:: else
#endif
			fi;
			slot[n] = l; owner[l] = KEY(me) + 1
		:: else
		fi
	};
#ifdef BROKEN_RAISE_LATE
	raise_path();
#endif
	start[me] = 0;						/* fill, or VOID */
#ifdef BROKEN_RAISE_LAST
	raise_path();
#endif
out:
	atomic { inside[me] = false; snap = 0; s = 0; l = 0; n = 0; raised = false };
	if
	:: !ok -> goto again
	:: ok
	fi
}

proctype H()
{
	byte n;

	n = child[0];
	frz[n] = true;
	finish_copy(0, n)
}

inline take(k)
{
	n = child[k];
	if
	:: CLEAN(dirty[n], skip_below)
	:: else ->
		v = slot[n];
		do
		:: v > cut -> v = link[v]
		:: else -> break
		od;
		atomic {
			if
			:: v > committed -> next[k] = v
			:: else
			fi;
			v = 0
		}
	fi
}

proctype C()
{
	byte cut, n, v, skip_below, attempts;
	byte next[2];

	do
	:: attempts < ATTEMPTS ->
		snapshot = UNKNOWN;				/* (1) */
#ifndef BROKEN_NOGRACE
		!inside[0];
#if WRITERS > 1
		!inside[1];
#endif
#if WRITERS > 2
		!inside[2];
#endif
#endif
#ifdef BROKEN_SLOTS_FIRST
		start[0] == 0;
#if WRITERS > 1
		start[1] == 0;
#endif
		cut = insert;
		snapshot = cut;
#else
		cut = insert;
		snapshot = cut;
#ifndef BROKEN_NOWAIT
		start[0] == 0 || start[0] > cut;
#if WRITERS > 1
		start[1] == 0 || start[1] > cut;
#endif
#if WRITERS > 2
		start[2] == 0 || start[2] > cut;
#endif
#endif
#endif
#ifndef BROKEN_ATTEMPTED
		skip_below = committed;
#endif
		d_step { next[0] = base[0]; next[1] = base[1] };	/* (2) */
		if
		:: CLEAN(pdirty, skip_below)
		:: else -> take(0); take(1)
		fi;
#ifdef BROKEN_ATTEMPTED
		skip_below = cut;
#endif
		if
		:: d_step {				/* (5), (6) */
			base[0] = next[0]; base[1] = next[1]; committed = cut;
			v = cut;
			do
			:: v > 0 ->
				if
				:: owner[v] == 1 && next[0] != 0 -> assert(base[0] == v); next[0] = 0
				:: owner[v] == 2 && next[1] != 0 -> assert(base[1] == v); next[1] = 0
				:: owner[v] == 1 && base[0] == 0 -> assert(false)
				:: owner[v] == 2 && base[1] == 0 -> assert(false)
				:: else
				fi;
				v--
			:: else -> break
			od
			}
		:: insert++				/* failed: a VOID, so that the next cut is another one */
		fi;
		snapshot = 0;
		d_step { attempts++; next[0] = 0; next[1] = 0; v = 0; n = 0; cut = 0 }
	:: else -> break
	od
}

init
{
	atomic {
		child[1] = 1;
		slot[0] = 2; dirty[0] = IN_UNITS(2); owner[2] = 1;
		run W(0); run C();
#if WRITERS > 1
		run W(1);
#endif
#if WRITERS > 2
		run W(2);
#endif
#ifdef COPY
		run H()
#endif
	}
}
