/*
 * m7_complete.pml -- COMPLETE: when is a miss in the overlay a definite no?
 *
 * Stands for art_lookup_complete (R), art_evict with clear_way, hand_down and take_away, and
 * art_filling_begin, store__promote, art_filling_end (E), art__reshape and art__help (W, and
 * whoever meets a frozen word), in src/backend/access/art and src/backend/access/store.
 *
 * The base holds the keys 0 and 1 for ever.  The root has a flag (nothing, FILLING or COMPLETE)
 * and leads to one node for each key; a node has a flag (nothing or COMPLETE) and one slot: the
 * key's leaf or null.  The flag of a node speaks of its key, that of the root of both.
 *
 *	R	enters an epoch, reads the flag of the root, the slot that leads to the node, the node's
 *		flag, the key's slot.  A miss with COMPLETE seen anywhere is "there is no such key".
 *	E	does two things, in any order and one between the steps of the other, but one at a time.
 *		It takes the leaf of a key away (twice): descends to it until it meets no COMPLETE on the
 *		way: that of the root is handed down to both nodes and cleared, that of the node is cleared;
 *		meeting a frozen word, it helps and descends again.  It clears FILLING; waits a grace period;
 *		then the slot becomes null.
 *		It makes the overlay complete again (once): FILLING; a leaf for every key of the base;
 *		COMPLETE by CAS from FILLING.
 *	W	replaces a node by a copy, with the flag as read after the freeze.
 *
 * Property.  R never answers that there is no such key.
 *
 * Left out: changes of the base (m10, m11), writes, the eviction of whole nodes (m8), more than two
 * levels, splits and joins.  A grace period is: everybody has been seen outside once (m3).
 *
 * Large TWICE: W makes two copies.
 *
 * Twin BROKEN_NOGRACE (assertion): the leaf goes at once; R has read COMPLETE before.
 * Twin BROKEN_NOFILLING (assertion): E sets COMPLETE without having said FILLING; an eviction behind
 *	its back goes unnoticed.
 * Twin BROKEN_STORE (assertion): E says FILLING, but stores COMPLETE in the end.
 * Twin BROKEN_NOCANCEL (assertion): an eviction does not clear FILLING.
 * Twin BROKEN_FILL_AMID (assertion): E begins to fill between the clearing and the removal of an
 *	eviction.
 * Twin BROKEN_FLAG_LATE (assertion): R reads the flags after the slot; the key came in between.
 * Twin BROKEN_NOHELP (assertion): E clears the flag of a frozen node and goes on; the copy has it.
 * Twin BROKEN_FLAG_FIRST (assertion): the copy has the flag as read before the freeze.
 * Twin BROKEN_HAND_FILLING (assertion): E hands FILLING of the root down as COMPLETE.
 * Twin BROKEN_BOTTOM_UP (assertion): E clears the node first, then hands down and clears the root,
 *	and does not descend again.
 */
#define NONE		0
#define FILLING		1
#define COMPLETE	2

#ifdef TWICE
#define COPIES	2
#else
#define COPIES	1
#endif
#define NODES	8
#define EPOCHS	3			/* R, E, W */

byte rflag = COMPLETE;
byte child[2];				/* the node of each key; never frozen (m1 has that) */
byte nflag[NODES];			/* meta: the flag */
bool nfrz[NODES];			/* meta and slot are frozen, in two steps */
bool sfrz[NODES];
bool leaf[NODES];			/* the slot: a leaf or null */
byte made = 2;
bool inside[EPOCHS];

/* art__reshape: anybody who meets a frozen word does the same */
inline copy(key, v)
{
#ifdef BROKEN_FLAG_FIRST
	f = nflag[v];
#endif
	nfrz[v] = true;
	sfrz[v] = true;
	atomic {
#ifndef BROKEN_FLAG_FIRST
		f = nflag[v];
#endif
		if
		:: child[key] == v -> nflag[made] = f; leaf[made] = leaf[v]; child[key] = made; made++
		:: else
		fi;
		f = 0
	}
}

proctype R()
{
	byte k, n;
	bool complete;

	if
	:: k = 0
	:: k = 1
	fi;
	inside[0] = true;
#ifndef BROKEN_FLAG_LATE
	complete = (rflag == COMPLETE);
#endif
	n = child[k];
#ifndef BROKEN_FLAG_LATE
	complete = complete || (nflag[n] == COMPLETE);
	assert(leaf[n] || !complete);
#else
	if
	:: !leaf[n] ->
		complete = (nflag[n] == COMPLETE);
		assert(!complete && rflag != COMPLETE)
	:: else
	fi;
#endif
	inside[0] = false
}

#ifdef BROKEN_HAND_FILLING
#define TO_HAND (rflag != NONE)
#else
#define TO_HAND (rflag == COMPLETE)
#endif

/* change_meta, to COMPLETE */
inline hand_to(which)
{
	n = child[which];
	atomic {
		ok = (nflag[n] == COMPLETE || !nfrz[n]);
		if
		:: ok -> nflag[n] = COMPLETE
		:: else
		fi
	};
	if
	:: !ok -> copy(which, n); goto descend
	:: else
	fi
}

/* change_meta, to nothing */
inline clear_node()
{
	atomic {
#ifdef BROKEN_NOHELP
		ok = true;
#else
		ok = (nflag[n] == NONE || !nfrz[n]);
#endif
		if
		:: ok -> nflag[n] = NONE
		:: else
		fi
	}
}

/* (1) clear_way */
inline clear_way()
{
#ifdef BROKEN_BOTTOM_UP
	n = child[k];
	clear_node();
	if
	:: TO_HAND ->
		atomic { nflag[child[0]] = COMPLETE; nflag[child[1]] = COMPLETE };
		rflag = NONE
	:: else
	fi
#else
	skip;
descend:
	if
	:: TO_HAND ->
		hand_to(0);
		hand_to(1);
		rflag = NONE
	:: else
	fi;
	n = child[k];
#ifndef BROKEN_NOHELP
	if
	:: nfrz[n] -> copy(k, n); goto descend
	:: else
	fi;
#endif
	if
	:: nflag[n] == COMPLETE ->
		clear_node();
		if
#ifndef BROKEN_NOHELP
		:: true -> goto descend			/* says what is left */
#else
		:: true
#endif
		fi
	:: else
	fi
#endif
}

inline slot_to(value)
{
	ok = false;
	do
	:: !ok ->
		n = child[k];
		atomic {
			ok = (!sfrz[n] || leaf[n] == value);
			if
			:: ok && !sfrz[n] -> leaf[n] = value
			:: else
			fi
		}
		if
		:: !ok -> copy(k, n)
		:: else
		fi
	:: else -> break
	od;
	n = 0; ok = false
}

proctype E()
{
	byte k, n, f;
	byte evictions = 2, filled = 9;			/* keys that are filled in; 9: not filling */
	bool ok, began;

	do
	:: evictions > 0 ->				/* art_evict */
		if
		:: k = 0
		:: k = 1
		fi;
		inside[1] = true;
		clear_way();
#ifndef BROKEN_NOCANCEL
		if
		:: rflag == FILLING -> rflag = NONE
		:: else
		fi;
#endif
		inside[1] = false;
#ifndef BROKEN_NOGRACE
		!inside[0]; !inside[2];			/* (2) */
#endif
#ifdef BROKEN_FILL_AMID
		if
		:: !began && leaf[child[0]] && leaf[child[1]] -> rflag = FILLING; began = true; filled = 2
		:: true
		fi;
#endif
		inside[1] = true;			/* (3) take_away */
		slot_to(false);
		atomic { inside[1] = false; evictions--; k = 0 }
	:: !began ->					/* art_filling_begin */
		atomic {
			began = true; filled = 0;
#ifndef BROKEN_NOFILLING
			if
			:: rflag == NONE -> rflag = FILLING
			:: else -> filled = 9
			fi
#endif
		}
	:: filled < 2 ->				/* store__promote */
		atomic { k = filled; inside[1] = true };
		slot_to(true);
		atomic { inside[1] = false; k = 0; filled++ }
	:: filled == 2 ->				/* art_filling_end */
		atomic {
			filled = 9;
			if
#if defined(BROKEN_STORE)
			:: true -> rflag = COMPLETE
#elif defined(BROKEN_NOFILLING)
			:: rflag == NONE -> rflag = COMPLETE
#else
			:: rflag == FILLING -> rflag = COMPLETE
#endif
			:: else
			fi
		}
	:: evictions == 0 && began && filled == 9 -> break
	od
}

proctype W()
{
	byte k, n, f, times;

	do
	:: times < COPIES ->
		if
		:: k = 0
		:: k = 1
		fi;
		inside[2] = true;
		n = child[k];
		copy(k, n);
		atomic { times++; n = 0; k = 0; inside[2] = false }
	:: else -> break
	od
}

init
{
	atomic {
		child[1] = 1;
		leaf[0] = true; leaf[1] = true;
		run R(); run E(); run W()
	}
}
