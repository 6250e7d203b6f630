/*
 * m2_n48.pml -- N48: adding a child through the index, and again after it was removed.
 *
 * Stands for src/backend/access/art: art__find, art_prepare (claiming a slot) and art_publish on
 * N48, art_remove_leaf, art__freeze, art__copy_children, art__reshape, art__help and art_lookup.
 *
 * An index byte per key byte (0: none, else slot number + 1), 48 slots (here 4), a counter of
 * slots given out.  Adding: a slot number by fetch_add on the counter; CAS on the index byte
 * from 0 (who loses takes the winner's slot, the own number is wasted until the node is
 * copied); then the CAS on the slot publishes.  An index byte, once set, keeps its value for
 * the life of the node; removal is the null reference in the slot.  Freezing and copying go by
 * slots, for a slot word carries its key byte.
 *
 *	A	(twice) adds or replaces key 7.
 *	B	adds key 8.
 *	E	removes key 5, then key 7 if it is there.
 *	F	replaces the node by a copy.
 *
 * Properties.  After every CAS on a slot of the live node, and after its replacement, a lookup
 * by the index finds for each key what was published last (or null, if removed last).  No key
 * byte stands in two slots of a node.
 *
 * Left out: as in m2_n4.pml.  The counter and index bytes of a frozen node may still change;
 * nothing reads them any more.
 *
 * Twin BROKEN_INDEX_LAST (assertion): the slot is filled first and the index byte publishes; a
 *	node frozen in between is copied with a leaf that its writer still takes for unpublished,
 *	and two writers fill two slots with one key byte.
 * Twin BROKEN_FREEZE_INDEX (assertion): freezing goes by the index; a slot that is claimed a
 *	moment later is not frozen, and its leaf is lost.
 * Twin BROKEN_FREEKEY (assertion): removal clears the index byte; a writer that has read it
 *	before publishes into a slot that the index no longer names.
 */
#define SLOTS 4
#define AT(n, i) ((n) * SLOTS + (i))
#define IX(n, k) ((n) * 10 + (k))

byte cur = 0;				/* the parent's slot: node 0, or its copy, node 1 */
byte index[2 * 10];			/* index bytes, by key */
byte used[2];				/* slots given out */
byte kb[2 * SLOTS];			/* slot word: key byte, */
byte ref[2 * SLOTS];			/* reference, 0 null, */
bool frz[2 * SLOTS];			/* FROZEN */
byte last[10];				/* ghost: what was published last for a key */

inline check_key(k)
{
	assert((index[IX(cur, k)] == 0 && last[k] == 0)
		|| (index[IX(cur, k)] != 0 && ref[AT(cur, index[IX(cur, k)] - 1)] == last[k]))
}

inline check()
{
	check_key(5);
	check_key(7);
	check_key(8);
	ci = 0;
	do
	:: ci < SLOTS - 1 ->
		cj = ci + 1;
		do
		:: cj < SLOTS ->
			assert(kb[AT(cur, ci)] == 0 || kb[AT(cur, ci)] != kb[AT(cur, cj)]);
			cj++
		:: else -> break
		od;
		ci++
	:: else -> break
	od;
	ci = 0; cj = 0
}

/* art__reshape; node 1 is never replaced */
inline replace_node()
{
	i = 0;
	do
	:: i < SLOTS ->
		atomic {
#ifdef BROKEN_FREEZE_INDEX
			if
			:: index[IX(0, 5)] == i + 1 || index[IX(0, 7)] == i + 1 || index[IX(0, 8)] == i + 1 ->
				frz[AT(0, i)] = true
			:: else
			fi;
#else
			frz[AT(0, i)] = true;
#endif
			i++
		}
	:: else -> break
	od;
	i = 0;
	d_step {
		cu = 0; ci = 0;
		do
		:: ci < SLOTS ->
			if
			:: ref[AT(0, ci)] != 0 ->
				ck[cu] = kb[AT(0, ci)]; cr[cu] = ref[AT(0, ci)]; cu++
			:: else
			fi;
			ci++
		:: else -> break
		od;
		ci = 0
	}
	atomic {
		if
		:: cur == 0 ->
			used[1] = cu;
			do
			:: ci < cu ->
				kb[AT(1, ci)] = ck[ci]; ref[AT(1, ci)] = cr[ci]; index[IX(1, ck[ci])] = ci + 1;
				ci++
			:: else -> break
			od;
			cur = 1;
			check()
		:: else
		fi;
		cu = 0; ci = 0;
		ck[0] = 0; ck[1] = 0; ck[2] = 0; ck[3] = 0;
		cr[0] = 0; cr[1] = 0; cr[2] = 0; cr[3] = 0
	}
}

inline add(key, v)
{
	won = false;
again:
	n = cur;
#ifdef BROKEN_INDEX_LAST
	atomic {
		j = index[IX(n, key)];
		mine = (j == 0);
		if
		:: mine -> j = used[n]; used[n]++
		:: else -> j--
		fi
	}
#else
	j = index[IX(n, key)];
	if
	:: j == 0 ->
		atomic { j = used[n]; used[n]++ };		/* fetch_add */
		if
		:: j >= SLOTS -> replace_node(); goto again	/* full: a copy, then start over */
		:: else
		fi;
		atomic {					/* CAS on the index byte */
			if
			:: index[IX(n, key)] == 0 -> index[IX(n, key)] = j + 1
			:: else -> j = index[IX(n, key)] - 1
			fi
		}
	:: else -> j--
	fi;
#endif
	atomic { wk = kb[AT(n, j)]; wr = ref[AT(n, j)]; wf = frz[AT(n, j)] };
	if
	:: wf -> replace_node(); goto again			/* help, start over */
	:: else
	fi;
	atomic {						/* publish */
		if
		:: kb[AT(n, j)] == wk && ref[AT(n, j)] == wr && !frz[AT(n, j)] ->
			kb[AT(n, j)] = key; ref[AT(n, j)] = v;
#ifdef BROKEN_INDEX_LAST
			if
			:: !mine -> last[key] = v
			:: else
			fi
#else
			last[key] = v;
			check()
#endif
		:: else -> goto again
		fi
	};
#ifdef BROKEN_INDEX_LAST
	atomic {
		if
		:: mine && index[IX(n, key)] == 0 -> index[IX(n, key)] = j + 1; last[key] = v; check()
		:: mine && index[IX(n, key)] != 0 -> goto again
		:: else -> check()
		fi
	};
#endif
	atomic { n = 0; j = 0; wk = 0; wr = 0; wf = false }
}

proctype A(byte leaf)
{
	byte n, i, j, wk, wr, cu, ci, cj;
	byte ck[SLOTS], cr[SLOTS];
	bool wf, won, mine;

	add(7, leaf)
}

proctype B(byte leaf)
{
	byte n, i, j, wk, wr, cu, ci, cj;
	byte ck[SLOTS], cr[SLOTS];
	bool wf, won, mine;

	add(8, leaf)
}

/* One attempt to remove the leaf of 'key'. */
inline remove(key)
{
	n = cur;
	j = index[IX(n, key)];
	if
	:: j != 0 ->
		j--;
		atomic { wk = kb[AT(n, j)]; wr = ref[AT(n, j)] };
		atomic {
			if
			:: wr != 0 && kb[AT(n, j)] == wk && ref[AT(n, j)] == wr && !frz[AT(n, j)] ->
				ref[AT(n, j)] = 0; last[key] = 0;
#ifdef BROKEN_FREEKEY
				index[IX(n, key)] = 0;
#endif
				check()
			:: else
			fi
		}
	:: else
	fi
}

proctype E()
{
	byte n, j, wk, wr, ci, cj;

	remove(5);
	remove(7)
}

proctype F()
{
	byte i, cu, ci, cj;
	byte ck[SLOTS], cr[SLOTS];

	replace_node()
}

init
{
	atomic {
		kb[0] = 5; ref[0] = 1; index[5] = 1; used[0] = 1; last[5] = 1;
		run A(11); run E();
#ifdef THIRD
		run B(13);
#else
		run A(12);
#endif
		run F()
	}
}
