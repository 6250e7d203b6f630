/*
 * m15_snapshots.pml -- clients' snapshots: the table, the links for several of them, pinned roots, the end by a limit.
 *
 * Stands for src/backend/access/store: store_snapshot_open, store__link_for, store__guard_take,
 * store__snapshot_needs and end_entry in store_snapshot.c, store__at_read in store_at.c, store__release_piece in
 * store_release.c, publish in store.c, steps 6 and 7 of checkpoint.c, and the evictor's removal of one leaf.
 *
 * One key, and one slot for it.  A leaf has an lsn and a link, which never changes once it is published.  A root
 * of the base is its cut: it holds the newest version at or below it.  At first there is one leaf, which is dirty.
 *
 *	W	(two) in one epoch: reads the bits, then the positions; reads the slot word s; reserves; links the new leaf
 *		to s if a position is UNKNOWN, else to the newest version of the chain at or below the highest position
 *		below its own lsn; publishes by CAS on s; retires what the new chain does not reach; fills.
 *	S	(two) in one epoch reads the root, sets its position to UNKNOWN, notes the root as pinned, sets its bit; waits a
 *		grace period; position := insert; waits for completed; reads; closes: the bit goes.  To read: in an epoch
 *		follow links from the slot to the newest version <= position; if there is none, the pinned root's counts.
 *		What was read counts only if the snapshot is still open afterwards.
 *	C	(variant EVICT) cut := insert; waits for completed; publishes the root; waits a grace period; evict_cut := cut.
 *	E	(variant EVICT) reads evict_cut; reads bits, positions and pins; in an epoch reads the slot, and if the leaf's lsn is <= evict_cut
 *		and it leads to no version that an open snapshot needs and its pinned root lacks, takes it out of the slot by CAS
 *		and retires it with its chain.
 *	R	(variant RELEASE) in an epoch reads the table, then the slot, and replaces the leaf by a
 *		copy whose chain has the needed versions only, by CAS; what is behind the last one that goes is used as it
 *		is; retires the rest.
 *	D	(variant END) ends a snapshot: its state, then its bit.
 *
 * Properties.  A snapshot reads exactly the newest version <= its position.  Nobody follows a reference to a leaf that
 * may be in use again.  No leaf is retired twice, or while it can be reached from the slot; in the end every leaf
 * that was published is in the slot's chain or retired.
 *
 * Left out: the checkpoint's own position (m12), promotion (m10), dirty LSNs (m9), trees and pages.  A grace
 * period is: everybody has been seen outside once (m3).
 *
 * Variant EVICT: one snapshot and one writer, with C and E.
 * Large EVICT_TWO: the same with two writers.
 * Variant RELEASE: R, one writer and two snapshots, of which the first is open already, at the version behind the
 *	head; who reads the table reads all of it at once.
 * Large RELEASE_TWO: R, two writers, and two snapshots that are both opened.
 * Variant END: one snapshot, with D.
 *
 * Twin BROKEN_TABLE_FIRST (assertion): E reads the table first and evict_cut second.
 * Twin BROKEN_ANNOUNCE_LATE (assertion): S leaves the epoch in which it read the root before it announces.
 * Twin BROKEN_EVICT_HEAD (assertion): E looks at the head alone, and not at what it leads to.
 * Twin BROKEN_EVICT_ALL (assertion): E takes whatever has lsn <= evict_cut.
 * Twin BROKEN_CUT_EARLY (assertion): the position is read before the grace period.
 * Twin BROKEN_NOINHERIT (assertion): a leaf that replaces one above the highest position gets no link.
 * Twin BROKEN_LOWEST (assertion): it links to what the lowest position needs.
 * Twin BROKEN_KNOWN_ONLY (assertion): a position that is UNKNOWN is not heeded.
 * Twin BROKEN_RELEASE_ALL (assertion): the release drops the whole chain.
 * Twin BROKEN_RELEASE_STALE (assertion): the release reads the table before it enters its epoch.
 * Twin BROKEN_RELEASE_TWICE (assertion): the release retires what its new chain still reaches.
 * Twin BROKEN_LOOK_BEFORE (assertion): whether the snapshot is open is asked before reading, and not after.
 * Twin BROKEN_BIT_FIRST (assertion): the bit goes before the state.
 */
#if defined(BROKEN_RELEASE_ALL) || defined(BROKEN_RELEASE_STALE) || defined(BROKEN_RELEASE_TWICE)
#define RELEASE
#endif
#ifdef RELEASE_TWO
#define RELEASE
#endif
#if defined(EVICT_TWO) || defined(BROKEN_TABLE_FIRST) || defined(BROKEN_ANNOUNCE_LATE) || defined(BROKEN_EVICT_HEAD) || defined(BROKEN_EVICT_ALL)
#define EVICT
#endif
#if defined(BROKEN_LOOK_BEFORE) || defined(BROKEN_BIT_FIRST)
#define END
#endif
#if (defined(EVICT) && !defined(EVICT_TWO)) || (defined(RELEASE) && !defined(RELEASE_TWO))
#define WRITERS	1
#else
#define WRITERS	2
#endif
#if defined(RELEASE) && !defined(RELEASE_TWO)
#define PREPARED
#endif
#if defined(END) || defined(EVICT)
#define SNAPS	1
#else
#define SNAPS	2
#endif
#define S_EPOCH	2
#define E_EPOCH	4		/* or R's */
#define LEAVES	9
#define LSNS	4
#define UNKNOWN	99

byte slot = 1;
byte lsn[LEAVES];
byte link[LEAVES];
byte made = 2;
bool retired[LEAVES];
byte holders[LEAVES];			/* ghost: bits of those who were inside when it was retired */
byte insert = 1;
byte start[2];
byte inside = 0;
byte bits = 0;
byte at[2];
byte pinned[2];
bool live[2];				/* the state's word says OPEN */
byte root = 0;				/* a cut */
byte evict_cut = 0;
bool published[LSNS];			/* ghost */

#define BIT(e) (1 << (e))
#define MAY_LOOK(e, v) (!retired[v] || (holders[v] & BIT(e)))

inline enter(e)
{
	inside = inside | BIT(e)
}

inline leave(e)
{
	inside = inside & ~BIT(e);
	i = 1;
	do
	:: i < LEAVES -> holders[i] = holders[i] & ~BIT(e); i++
	:: else -> break
	od;
	i = 0
}

inline grace()
{
	(inside & BIT(0)) == 0;
	(inside & BIT(1)) == 0;
	(inside & BIT(2)) == 0;
	(inside & BIT(3)) == 0;
	(inside & BIT(4)) == 0
}

inline retire(x)
{
	assert(!retired[x]);
	retired[x] = true;
	holders[x] = inside
}

/* nothing that the slot reaches is retired */
inline check_chain()
{
	v = slot;
	do
	:: v != 0 -> assert(!retired[v]); v = link[v]
	:: else -> break
	od
}

/* leaf_retire_chain */
inline retire_chain(from, until)
{
	v = from;
	do
	:: v != 0 && v != until -> retire(v); v = link[v]
	:: else -> break
	od;
	check_chain()
}

proctype W(byte me)
{
	byte mask, p0, p1, s, l, to, top, v, i;

	enter(me);
#ifdef RELEASE
	atomic {
#endif
	mask = bits;
	if
	:: mask & 1 -> p0 = at[0]
	:: else
	fi;
	if
	:: mask & 2 -> p1 = at[1]
	:: else
	fi;
#ifdef RELEASE
	};
#endif
	atomic { s = slot; assert(MAY_LOOK(me, s)) };
	atomic { insert++; l = insert; start[me] = l };		/* reserve (m4) */
	atomic {						/* publish */
		if
		:: p0 != 0 && p0 != UNKNOWN && p0 < l -> top = p0
		:: else
		fi;
		if
#ifdef BROKEN_LOWEST
		:: p1 != 0 && p1 != UNKNOWN && p1 < l && (top == 0 || p1 < top) -> top = p1
#else
		:: p1 != 0 && p1 != UNKNOWN && p1 < l && p1 > top -> top = p1
#endif
		:: else
		fi;
		to = 0;
		if
#ifndef BROKEN_KNOWN_ONLY
		:: p0 == UNKNOWN || p1 == UNKNOWN -> to = s
#endif
		:: else ->
			if
			:: top != 0 ->
				to = s;
				do
				:: to != 0 && lsn[to] > top ->
					assert(MAY_LOOK(me, to));
#ifdef BROKEN_NOINHERIT
					to = 0
#else
					to = link[to]
#endif
				:: else -> break
				od
			:: else
			fi
		fi;
		if
		:: slot == s ->
			lsn[made] = l; link[made] = to; slot = made; made++; published[l] = true;
			retire_chain(s, to)
		:: else
		fi;
		s = 0; to = 0; v = 0; mask = 0; p0 = 0; p1 = 0; top = 0
	};
	start[me] = 0;						/* fill, or VOID */
	atomic { l = 0; leave(me) }
}

/* newest(x): h := the newest version published at or below x, or 0 */
inline newest(x)
{
	h = x;
	do
	:: h > 0 && !published[h] -> h--
	:: else -> break
	od
}

inline read(me)
{
	enter(S_EPOCH + me);
#ifdef BROKEN_LOOK_BEFORE
	was = live[me];
#endif
	atomic { v = slot; assert(MAY_LOOK(S_EPOCH + me, v)) };
	do
	:: atomic { v != 0 && lsn[v] > pos -> v = link[v]; assert(MAY_LOOK(S_EPOCH + me, v)) }
	:: atomic { v == 0 || lsn[v] <= pos -> break }
	od;
	atomic {
		if
		:: v != 0 -> got = lsn[v]
		:: else -> newest(pin); got = h
		fi;
		v = 0
	};
#ifndef BROKEN_LOOK_BEFORE
	was = live[me];
#endif
	atomic {
		newest(pos);
		assert(!was || got == h);
		h = 0; got = 0; was = false;
		leave(S_EPOCH + me)
	}
}

proctype S(byte me)
{
	byte pos, pin, v, h, got, i;
	bool was;

#ifdef PREPARED
	if
	:: me == 0 -> pos = at[0]; goto opened
	:: else
	fi;
#endif
	enter(S_EPOCH + me);
	pin = root;
#ifdef BROKEN_ANNOUNCE_LATE
	atomic { leave(S_EPOCH + me) };
#endif
	atomic { at[me] = UNKNOWN; pinned[me] = pin; live[me] = true };
	bits = bits | BIT(me);
#ifndef BROKEN_ANNOUNCE_LATE
	atomic { leave(S_EPOCH + me) };
#endif
#ifdef BROKEN_CUT_EARLY
	pos = insert;
	grace();
#else
	grace();
	pos = insert;
#endif
	at[me] = pos;
	start[0] == 0 || start[0] > pos;
	start[1] == 0 || start[1] > pos;
opened:
	read(me);
#ifndef END
	live[me] = false;
	bits = bits & ~BIT(me);
	at[me] = 0
#endif
}

proctype D()
{
	at[0] != 0 && at[0] != UNKNOWN;
#ifdef BROKEN_BIT_FIRST
	bits = bits & ~BIT(0);
	live[0] = false;
#else
	live[0] = false;
	bits = bits & ~BIT(0);
#endif
	at[0] = 0
}

proctype C()
{
	byte cut;

	cut = insert;
	start[0] == 0 || start[0] > cut;
	start[1] == 0 || start[1] > cut;
	root = cut;
	grace();
	evict_cut = cut
}

/* look_at(k): does the leaf s lead to a version that snapshot k needs? */
inline look_at(k, p, q)
{
	if
	:: (mask & BIT(k)) && lsn[s] > q ->
		if
		:: p == UNKNOWN -> needed = true
		:: else ->
			v = s;
#ifndef BROKEN_EVICT_HEAD
			do
			:: v != 0 && lsn[v] > p -> v = link[v]
			:: else -> break
			od;
#endif
			if
			:: v != 0 && lsn[v] <= p && lsn[v] > q -> needed = true
			:: else
			fi
		fi
	:: else
	fi
}

proctype E()
{
	byte upto, mask, p0, q0, s, v, i;
	bool needed;

#ifndef BROKEN_TABLE_FIRST
	upto = evict_cut;
#endif
	mask = bits;
	atomic { p0 = at[0]; q0 = pinned[0] };
#ifdef BROKEN_TABLE_FIRST
	upto = evict_cut;
#endif
	enter(E_EPOCH);
	s = slot;
	atomic {
		assert(MAY_LOOK(E_EPOCH, s));
		if
		:: s != 0 && lsn[s] <= upto && slot == s ->
#ifndef BROKEN_EVICT_ALL
			look_at(0, p0, q0);
#endif
			if
			:: !needed -> slot = 0; retire_chain(s, 0)
			:: else
			fi
		:: else
		fi;
		leave(E_EPOCH)
	}
}

#define NEEDS(k, p, v, newer) ((mask & BIT(k)) && lsn[v] <= p && p < newer)

proctype R()
{
	byte mask, p0, p1, s, v, rest, kept, newer, copy, i;
	bool shorter;

#ifdef BROKEN_RELEASE_STALE
	atomic { mask = bits; p0 = at[0]; p1 = at[1] };
	enter(E_EPOCH);
#else
	enter(E_EPOCH);
	atomic { mask = bits; p0 = at[0]; p1 = at[1] };
#endif
	s = slot;
	atomic {
		assert(MAY_LOOK(E_EPOCH, s));
		if
		:: slot == s && ((mask & 1) == 0 || p0 != UNKNOWN) && ((mask & 2) == 0 || p1 != UNKNOWN) ->
			/* chains are of three at most behind the head: one kept version before the last that goes */
			newer = lsn[s]; v = link[s];
			do
			:: v != 0 ->
				if
#ifndef BROKEN_RELEASE_ALL
				:: NEEDS(0, p0, v, newer) || NEEDS(1, p1, v, newer) ->
					if
					:: !shorter && kept == 0 -> kept = v
					:: else
					fi;
					newer = lsn[v]
#endif
				:: else -> shorter = true; rest = link[v]
				fi;
				v = link[v]
			:: else -> break
			od;
			if
			:: shorter && kept == 0 ->
				copy = made; lsn[copy] = lsn[s]; link[copy] = rest; made++;
				slot = copy;
				v = s;
				do
				:: v != rest -> retire(v); v = link[v]
				:: else -> break
				od;
#ifdef BROKEN_RELEASE_TWICE
				if
				:: rest != 0 -> retire(rest)
				:: else
				fi;
#endif
				check_chain()
			:: shorter && kept != 0 ->
				lsn[made] = lsn[kept]; link[made] = rest; made++;
				copy = made; lsn[copy] = lsn[s]; link[copy] = made - 1; made++;
				slot = copy;
				v = s;
				do
				:: v != rest -> retire(v); v = link[v]
				:: else -> break
				od;
#ifdef BROKEN_RELEASE_TWICE
				retire(made - 2);
#endif
				check_chain()
			:: else
			fi
		:: else
		fi;
		leave(E_EPOCH)
	}
}

init
{
	byte i, v;

	atomic {
		lsn[1] = 1; published[1] = true;
#ifdef PREPARED
		lsn[2] = 2; published[2] = true; link[2] = 1; slot = 2; made = 3; insert = 2;
		at[0] = 1; bits = 1; live[0] = true;
#endif
		run W(0); run S(0);
#if WRITERS == 2
		run W(1);
#endif
#if SNAPS == 2
		run S(1);
#endif
#ifdef EVICT
		run C(); run E();
#endif
#ifdef RELEASE
		run R();
#endif
#ifdef END
		run D();
#endif
		i = 0
	};
	atomic {
		_nr_pr == 1;
		i = 1;
		do
		:: i < made ->
			v = slot;
			do
			:: v != 0 && v != i -> v = link[v]
			:: else -> break
			od;
			assert(v == i || retired[i]);
			i++
		:: else -> break
		od
	}
}
