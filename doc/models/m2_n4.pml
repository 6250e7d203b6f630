/*
 * m2_n4.pml -- N4 (and N16): adding a child after another one was removed.
 *
 * Stands for src/backend/access/art: art__find and art_publish on N4 and N16, art_remove_leaf,
 * art__freeze, art__copy_children, art__reshape, art__help and art_lookup.
 *
 * A slot word is key byte, FROZEN and reference.  A slot, once given a key byte, keeps it for
 * the life of its node: what is removed becomes the null reference under the same key byte.
 * Adding is one CAS: on the slot that has the key byte, else on the first slot without one;
 * after a CAS that failed the search starts over.  Only a copy drops what is null.
 *
 *	A	(twice) adds or replaces key 7.
 *	B	adds key 8.
 *	E	removes key 5, then key 7 if it is there.
 *	F	replaces the node by a copy.
 *	R	looks up key 9, which is there all the time, behind key 5.
 *
 * Properties.  No key byte stands in two slots of a node.  A search from the left that ends at
 * the first slot without key byte finds, for each key, what was published last (or null, if
 * removed last), after every CAS.  R finds key 9.
 *
 * Left out: the parent above the node and its freezing (m1), LSNs, a full node (it is replaced
 * by a larger one, m1), memory of the removed leaf (m3).
 *
 * Variant LOOKUP: one A, E, F and R.
 * Variant THIRD: B instead of F.
 *
 * Twin BROKEN_FREEKEY (assertion): removal clears the whole slot word; the next key goes into
 *	the hole, a second slot gets a key byte that is further right, a search ends too early.
 * Twin BROKEN_ANYSLOT (assertion): adding takes any slot without key byte, not the first one; a
 *	search ends at the hole before it, and two writers give one key byte to two slots.
 * Twin BROKEN_NORESCAN (assertion): after a CAS that failed the search goes on to the right; the
 *	slot that was lost may just have been given our own key byte.
 */
#define SLOTS 4
#define AT(n, i) ((n) * SLOTS + (i))

byte cur = 0;				/* the parent's slot: node 0, or its copy, node 1 */
byte kb[2 * SLOTS];			/* key byte, 0 none */
byte ref[2 * SLOTS];			/* reference, 0 null */
bool frz[2 * SLOTS];
byte last[10];				/* ghost: what was published last for a key */

inline check_key(k)
{
	ci = 0;
	do
	:: ci < SLOTS && kb[AT(cur, ci)] != 0 && kb[AT(cur, ci)] != k -> ci++
	:: else -> break
	od;
	if
	:: ci < SLOTS && kb[AT(cur, ci)] == k -> assert(ref[AT(cur, ci)] == last[k])
	:: else -> assert(last[k] == 0)
	fi
}

inline check()
{
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
	check_key(5);
	check_key(7);
	check_key(8);
	check_key(9);
	ci = 0; cj = 0
}

/* art__reshape; node 1 is never replaced */
inline replace_node()
{
	i = 0;
	do
	:: i < SLOTS -> atomic { frz[AT(0, i)] = true; i++ }
	:: else -> break
	od;
	atomic {
		if
		:: cur == 0 ->
			ci = 0; cj = 0;
			do
			:: ci < SLOTS ->
				if
				:: ref[AT(0, ci)] != 0 ->
					kb[AT(1, cj)] = kb[AT(0, ci)];
					ref[AT(1, cj)] = ref[AT(0, ci)];
					cj++
				:: else
				fi;
				ci++
			:: else -> break
			od;
			cur = 1;
			check()
		:: else
		fi
	}
}

inline add(key, v)
{
	won = false;
again:
	atomic { n = cur; i = 0 }
	do
	:: i < SLOTS ->
		/* one acquire load of the slot word */
		atomic {
			wk = kb[AT(n, i)]; wr = ref[AT(n, i)]; wf = frz[AT(n, i)];
			if
			:: wk != 0 && wk != key -> i++; mine = false
#ifdef BROKEN_ANYSLOT
			:: wk == 0 && i < SLOTS - 1 -> i++; mine = false
#endif
			:: wk == 0 || wk == key -> mine = true
			fi
		}
		if
		:: !mine
		:: else ->
			if
			:: wf -> replace_node(); goto again	/* help, start over */
			:: else
			fi;
			d_step {				/* publish */
				if
				:: kb[AT(n, i)] == wk && ref[AT(n, i)] == wr && !frz[AT(n, i)] ->
					kb[AT(n, i)] = key; ref[AT(n, i)] = v; last[key] = v;
					won = true;
					check()
				:: else -> won = false
				fi
			};
			if
			:: won -> break
			:: else ->
#ifdef BROKEN_NORESCAN
				i++
#else
				goto again
#endif
			fi
		fi
	:: else -> break
	od
}

proctype A(byte leaf)
{
	byte n, i, wk, wr, ci, cj;
	bool wf, won, mine;

	add(7, leaf)
}

proctype B(byte leaf)
{
	byte n, i, wk, wr, ci, cj;
	bool wf, won, mine;

	add(8, leaf)
}

/* One attempt to remove the leaf of 'key'. */
inline remove(key)
{
	atomic { n = cur; i = 0 };
	do
	:: i < SLOTS && kb[AT(n, i)] != 0 && kb[AT(n, i)] != key -> i++
	:: else -> break
	od;
	if
	:: i < SLOTS ->
		d_step { wk = kb[AT(n, i)]; wr = ref[AT(n, i)] }
		d_step {
			if
			:: wk == key && wr != 0 && kb[AT(n, i)] == wk && ref[AT(n, i)] == wr && !frz[AT(n, i)] ->
				ref[AT(n, i)] = 0; last[key] = 0;
#ifdef BROKEN_FREEKEY
				kb[AT(n, i)] = 0;
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
	byte n, i, wk, wr, ci, cj;

	remove(5);
	remove(7)
}

proctype F()
{
	byte i, ci, cj;

	replace_node()
}

proctype R()
{
	byte n, i, wk;

	n = cur;
	do
	:: i < SLOTS ->
		wk = kb[AT(n, i)];
		if
		:: wk == 0 || wk == 9 -> break
		:: else -> i++
		fi
	:: else -> break
	od;
	assert(i < SLOTS && wk == 9)
}

init
{
	atomic {
		kb[0] = 5; ref[0] = 1; last[5] = 1;
		kb[1] = 9; ref[1] = 2; last[9] = 2;
		run A(11); run E();
#ifdef LOOKUP
		run F(); run R()
#else
		run A(12);
#ifdef THIRD
		run B(13)
#else
		run F()
#endif
#endif
	}
}
