/*
 * m12_links.pml -- announcement, replacement, walk: the links of a snapshot.
 *
 * Stands for words_of_leaf and publish in src/backend/access/store/store.c, store__link_for in store_snapshot.c (W), the
 * checkpointer's announcement, walk and release (C) in src/backend/access/store, the evictor's
 * removal of a leaf (E), the collapse of art__reshape, which installs a copy of a leaf (K), and
 * leaf_retire_chain.
 *
 * One key, and one slot for it.  A leaf has an lsn and a link, which never changes once it is
 * published; a copy has the lsn of its original.  At first there is one leaf, which is dirty.
 *
 *	W	(two) in one epoch: reads 'snapshot' (0: none, UNKNOWN, or its position); reads the slot word
 *		s; reserves; links the new leaf to the old one if UNKNOWN or old.lsn <= snapshot < new.lsn, to
 *		what the old one is linked to if snapshot < old.lsn, else to nothing; publishes by CAS on s;
 *		retires what the new chain does not reach; fills.  Who loses his CAS frees his leaf, retires
 *		nothing, and gives up here: to start over is to begin later.
 *	C	(twice) announces; waits a grace period; cut := insert; snapshot := cut; waits for completed
 *		>= cut; inside an epoch follows the links from the slot to the newest version <= cut; snapshot
 *		:= 0; publishes the root; waits a grace period; evict_cut := cut; releases: a leaf with a link
 *		is replaced by a copy without, by CAS, until there is none; who wins it retires the old one
 *		with its chain.  An attempt may fail after the walk: then it releases only.
 *	E	takes a leaf with lsn <= evict_cut out of the slot and retires it with its chain.
 *	K	(variant COPY) replaces the leaf by a copy with the same link, and retires the original alone.
 *
 * Properties.  The walk finds exactly the version as of the cut, or nothing, if that is in the
 * base already.  Nobody follows a reference to a leaf that may be in use again: one that was retired
 * when he was outside.  No leaf is retired twice, or while it can be reached from the slot.  When
 * all is done, every leaf that was published is in the slot or retired.  When C has released,
 * the slot's leaf has no link.
 *
 * Left out: dirty LSNs (m9), promotion (m10), tombstones (m11: they are leaves here), other
 * snapshots than the checkpoint's, extents (a copy shares them, so that the shell alone is
 * retired).  A grace period is: everybody has been seen outside once (m3).
 *
 * Variant COPY: K takes part instead of E.
 * Large THREE: three writers, one checkpoint.
 *
 * Twin BROKEN_SNAPSHOT_EARLY (assertion): W reads 'snapshot' before it enters its epoch.
 * Twin BROKEN_NOINHERIT (assertion): a leaf that replaces one above the snapshot's position gets no
 *	link.
 * Twin BROKEN_CUT_EARLY (assertion): the cut is taken before the grace period.
 * Twin BROKEN_LOSER_RETIRES (assertion): who loses the CAS retires the chain, too.
 * Twin BROKEN_RETIRE_ALL (assertion): the winner retires the old chain although the new one reaches
 *	a part of it.
 * Twin BROKEN_RETIRE_ONE (assertion): the winner retires the leaf it has replaced and nothing
 *	behind it.
 * Twin BROKEN_COPY_CHAIN (assertion): K retires the chain with the original.
 * Twin BROKEN_WALK_OUTSIDE (assertion): the walk is outside an epoch.
 * Twin BROKEN_RELEASE_EARLY (assertion): no grace period between snapshot := 0 and the release; a
 *	writer that has read 'snapshot' before links once more.
 * Twin BROKEN_RELEASE_ONCE (assertion): the release does not look again when it has lost its CAS
 *	(variant COPY): the copy that has won it has the link, too.
 * Twin BROKEN_RELEASE_STORE (assertion): the release stores the copy instead of a CAS.
 */
#ifdef THREE
#define WRITERS	3
#define ROUNDS	1
#else
#define WRITERS	2
#define ROUNDS	2
#endif
#if defined(BROKEN_COPY_CHAIN) || defined(BROKEN_RELEASE_ONCE)
#define COPY
#endif
#define C_EPOCH	WRITERS
#define E_EPOCH	(WRITERS + 1)		/* or K's */
#define LEAVES	14			/* by number; 0 null, 1 the first one */
#define LSNS	12
#define UNKNOWN	99

byte slot = 1;
byte lsn[LEAVES];
byte link[LEAVES];
byte made = 2;				/* next leaf number */
bool retired[LEAVES];
byte holders[LEAVES];			/* ghost: bits of those who were inside when it was retired */
byte insert = 1;
byte start[WRITERS];
byte inside = 0;			/* bits */
byte snapshot = 0;
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
#ifdef THREE
	(inside & BIT(2)) == 0;
#endif
	(inside & BIT(E_EPOCH)) == 0
}

/* leaf_retire_chain: 'from' and what its links lead to, without 'until' */
inline retire_chain(from, until)
{
	v = from;
	do
	:: v != 0 && v != until ->
		assert(!retired[v]);
		retired[v] = true; holders[v] = inside;
		v = link[v];
#ifdef BROKEN_RETIRE_ONE
		break
#endif
	:: else -> break
	od;
	v = slot;
	do
	:: v != 0 -> assert(!retired[v]); v = link[v]
	:: else -> break
	od
}

proctype W(byte me)
{
	byte snap, s, l, to, v, i;

#ifdef BROKEN_SNAPSHOT_EARLY
	snap = snapshot;
	enter(me);
#else
	enter(me);
	snap = snapshot;
#endif
	atomic { s = slot; assert(MAY_LOOK(me, s)) };
	atomic { insert++; l = insert; start[me] = l };		/* reserve (m4) */
	atomic {						/* publish */
		if
		:: snap == 0 || s == 0
		:: else ->
			assert(MAY_LOOK(me, s));
			if
			:: snap == UNKNOWN || (lsn[s] <= snap && snap < l) -> to = s
#ifndef BROKEN_NOINHERIT
			:: snap != UNKNOWN && snap < lsn[s] -> to = link[s]
#endif
			:: else
			fi
		fi;
		if
		:: slot == s ->
			assert(lsn[s] < l);
			lsn[made] = l; link[made] = to; slot = made; made++; published[l] = true;
#ifdef BROKEN_RETIRE_ALL
			retire_chain(s, 0)
#else
			retire_chain(s, to)
#endif
		:: else ->
#ifdef BROKEN_LOSER_RETIRES
			retire_chain(s, to)
#endif
		fi;
		s = 0; to = 0; v = 0; snap = 0
	};
	start[me] = 0;						/* fill, or VOID */
	atomic { l = 0; leave(me) }
}

proctype C()
{
	byte cut, v, h, round, i;
	bool committed, done;

	do
	:: round < ROUNDS ->
		snapshot = UNKNOWN;				/* (1) */
#ifdef BROKEN_CUT_EARLY
		cut = insert;
		grace();
#else
		grace();
		cut = insert;
#endif
		snapshot = cut;
		start[0] == 0 || start[0] > cut;
		start[1] == 0 || start[1] > cut;
#ifdef THREE
		start[2] == 0 || start[2] > cut;
#endif
#ifndef BROKEN_WALK_OUTSIDE
		enter(C_EPOCH);					/* (2) */
#endif
		v = slot;
		do
		:: atomic { lsn[v] > cut -> assert(MAY_LOOK(C_EPOCH, v)); v = link[v] }
		:: atomic { lsn[v] <= cut -> assert(MAY_LOOK(C_EPOCH, v)); break }
		od;
		atomic {
			h = cut;
			do
			:: h > 0 && !published[h] -> h--
			:: else -> break
			od;
			assert(lsn[v] == h || (v == 0 && h <= evict_cut));
			h = 0; v = 0
		};
		atomic { leave(C_EPOCH) };
		if
		:: committed = true
		:: committed = false
		fi;
		snapshot = 0;
#ifndef BROKEN_RELEASE_EARLY
		grace();
#endif
		if
		:: committed -> evict_cut = cut			/* (7) */
		:: else
		fi;
		atomic { done = false; enter(C_EPOCH) };	/* release */
		do
		:: !done ->
			atomic { h = slot; assert(MAY_LOOK(C_EPOCH, h)) };
			if
			:: link[h] == 0 -> done = true
			:: else ->
				atomic {
					if
#ifdef BROKEN_RELEASE_STORE
					:: true ->
#else
					:: slot == h ->
#endif
						lsn[made] = lsn[h]; slot = made; made++;
						retire_chain(h, 0);
						done = true
					:: else ->
#ifdef BROKEN_RELEASE_ONCE
						done = true
#endif
					fi
				}
			fi
		:: else -> break
		od;
		atomic {
#ifndef BROKEN_SNAPSHOT_EARLY
			assert(link[slot] == 0);
#endif
			h = 0; v = 0; cut = 0; committed = false; done = false; round++;
			leave(C_EPOCH)
		}
	:: else -> break
	od
}

proctype E()
{
	byte upto, s, v, i;

	upto = evict_cut;
	enter(E_EPOCH);
	s = slot;
	atomic {
		assert(MAY_LOOK(E_EPOCH, s));
		if
		:: s != 0 && lsn[s] <= upto && slot == s -> slot = 0; retire_chain(s, 0)
		:: else
		fi;
		leave(E_EPOCH)
	}
}

proctype K()
{
	byte s, v, i;

	enter(E_EPOCH);
	s = slot;
	atomic {
		assert(MAY_LOOK(E_EPOCH, s));
		if
		:: slot == s ->
			lsn[made] = lsn[s]; link[made] = link[s]; slot = made; made++;
#ifdef BROKEN_COPY_CHAIN
			retire_chain(s, 0)
#else
			retire_chain(s, link[s])
#endif
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
		run W(0); run W(1); run C();
#ifdef THREE
		run W(2);
#endif
#ifdef COPY
		run K()
#else
		run E()
#endif
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
