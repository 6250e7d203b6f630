/*
 * m8_evict.pml -- eviction under freeze: taking a whole node away without losing what is written to it.
 *
 * Stands for art__thin with run_mark, as art_evict uses it (E), art_locate, art_raise_dirty and
 * art_publish (W, V), art__help and art__reshape (whoever meets a frozen word; H), in
 * src/backend/access/art, and a read by overlay and base (R), in src/backend/access/store.
 *
 * The tree is root slot -> P -> X.  X has two slots: one with the leaf of key 0, which is clean
 * (the base has the same version), and a free one, where key 1 would be added.  The base lacks
 * key 1.  A leaf is named by its lsn.  A slot of P may be null; who then writes hangs a node of
 * his own with his leaf there, by one CAS.
 *
 *	E	freezes meta and both slots of X; looks under the freeze whether every leaf is clean (lsn <=
 *		evict_cut); if so unlinks X by CAS on the slot of P, else puts a copy without the clean
 *		leaves in its place.  It may die at any step.
 *	W	writes key 0, V writes key 1: reserve, raise the dirty LSN of X, CAS on the slot.  Meeting a
 *		frozen word they finish with a copy of the whole node and start over.
 *	H	changes the shape of P: freeze, copy, CAS on the root slot.
 *	R	looks a key up: in the overlay, and in the base if it is not there.
 *
 * Properties.  After every CAS: the version last published of each key is in the overlay, or
 * the overlay has none and the base has that one; the dirty LSN of a live node is at least the
 * lsn of its leaves; no live slot leads to a retired node, none is retired twice.  R finds no
 * version older than the one in force when it began.  W and V come to an end though E has died.
 *
 * Left out: COMPLETE (m7), changes of the base (m10), joins and collapses (m1), reclamation (m3).
 *
 * Variant PARENT: H takes part, and E does not die (to keep the search small).
 * Variant READER: R takes part instead.
 * Large ALL: H takes part and E may die.
 *
 * Twin BROKEN_CHECK_FIRST (assertion): E looks at the leaves before it freezes.
 * Twin BROKEN_NOFREEZE (assertion): E unlinks without having frozen the slots.
 * Twin BROKEN_FREE_SLOT (assertion): E does not freeze the slot that has no key yet.
 * Twin BROKEN_THAW (assertion): the helper thaws X instead of copying it, and publishes there.
 * Twin BROKEN_PARENT (assertion): E unlinks in a frozen slot of P; the copy of P leads to X still.
 * Twin BROKEN_UNLINK_ANY (assertion): E unlinks X whatever stands below P by now: the node that a
 *	helper has put there.
 * Twin BROKEN_DIRTY (assertion): E's copy has a dirty LSN of its own making (that of the cut).
 */
#ifdef BROKEN_PARENT
#define PARENT
#endif
#define EVICT_CUT 1
#define NX 8
#define NP 3
#define TRIES 6

byte root = 0;				/* the number of P */
byte pref[NP]; bool pfrz[NP];		/* the slot of P: the number of X, 0 null */
byte xref[NX * 2]; bool xfrz[NX * 2];	/* the slots of X */
byte xdirty[NX]; bool xmfrz[NX];	/* meta */
bool pret[NP]; bool xret[NX];		/* retired */
byte np = 1, nx = 2;			/* next free node numbers */
byte insert = 1;
byte base[2];
byte last[2];				/* ghost: lsn of the version last published */
bool killed = false;

#define IN_OVERLAY(k) (pref[root] == 0 -> 0 : xref[pref[root] * 2 + k])

inline check()
{
	assert(!pret[root]);
	assert(pref[root] == 0 || !xret[pref[root]]);
	assert(IN_OVERLAY(0) == last[0] || (IN_OVERLAY(0) == 0 && base[0] == last[0]));
	assert(IN_OVERLAY(1) == last[1] || (IN_OVERLAY(1) == 0 && base[1] == last[1]));
	assert(pref[root] == 0 || (xdirty[pref[root]] >= IN_OVERLAY(0) && xdirty[pref[root]] >= IN_OVERLAY(1)))
}

inline replace_p(vp)
{
	pfrz[vp] = true;
	c0 = pref[vp];
	atomic {
		if
		:: root == vp -> pref[np] = c0; root = np; np++; assert(!pret[vp]); pret[vp] = true; check()
		:: else
		fi;
		c0 = 0
	}
}

/* The node vx of vp is frozen: finish with a copy; a frozen parent comes first. */
inline help(vp, vx)
{
#ifdef BROKEN_THAW
	d_step { xmfrz[vx] = false; xfrz[vx * 2] = false; xfrz[vx * 2 + 1] = false }
#else
	if
	:: pfrz[vp] -> replace_p(vp)
	:: else ->
		xmfrz[vx] = true;
		xfrz[vx * 2] = true;
		xfrz[vx * 2 + 1] = true;
		atomic {
			if
			:: pref[vp] == vx && !pfrz[vp] ->
				xref[nx * 2] = xref[vx * 2]; xref[nx * 2 + 1] = xref[vx * 2 + 1]; xdirty[nx] = xdirty[vx];
				pref[vp] = nx; nx++;
				assert(!xret[vx]); xret[vx] = true;
				check()
			:: else
			fi
		}
	fi
#endif
}

/* A new version of 'key'. */
proctype W(byte key)
{
	byte p, x, s, l, tries, c0;
	bool ok;

again:
	atomic { tries++; assert(tries <= TRIES); l = 0; s = 0; ok = false; p = root };
	x = pref[p];
	if
	:: x == 0 ->
		if
		:: pfrz[p] -> replace_p(p); goto again
		:: else
		fi;
		atomic { insert++; l = insert };
		atomic {
			if
			:: pref[p] == 0 && !pfrz[p] ->
				xref[nx * 2 + key] = l; xdirty[nx] = l;
				pref[p] = nx; nx++;
				last[key] = l;
				check();
				goto out
			:: else -> goto again
			fi
		}
	:: else ->
		atomic { s = xref[x * 2 + key]; ok = xfrz[x * 2 + key] || xmfrz[x] };
		if
		:: ok -> help(p, x); goto again
		:: else
		fi;
		atomic { insert++; l = insert };		/* reserve */
		atomic {					/* raise */
			if
			:: xdirty[x] >= l -> ok = true
			:: xdirty[x] < l && !xmfrz[x] -> xdirty[x] = l; ok = true
			:: xdirty[x] < l && xmfrz[x] -> ok = false
			fi
		};
		if
		:: !ok -> help(p, x); goto again
		:: else
		fi;
		atomic {					/* publish */
			if
			:: xref[x * 2 + key] == s && !xfrz[x * 2 + key] -> xref[x * 2 + key] = l; last[key] = l; check()
			:: else -> goto again
			fi
		}
	fi;
out:
	skip
}

#define CLEAN(lsn) (lsn <= EVICT_CUT)

proctype E()
{
	byte p, x, c0, d;
	bool clean;

	{
		p = root;
		x = pref[p];
#ifdef BROKEN_CHECK_FIRST
		clean = CLEAN(xref[x * 2]) && CLEAN(xref[x * 2 + 1]);
#endif
#ifndef BROKEN_NOFREEZE
		xmfrz[x] = true;
		xfrz[x * 2] = true;
#ifndef BROKEN_FREE_SLOT
		xfrz[x * 2 + 1] = true;
#endif
#endif
#ifndef BROKEN_CHECK_FIRST
		clean = CLEAN(xref[x * 2]) && CLEAN(xref[x * 2 + 1]);
#endif
#ifdef BROKEN_DIRTY
		d = EVICT_CUT;
#else
		d = xdirty[x];
#endif
		if
#if !defined(BROKEN_PARENT) && !defined(BROKEN_THAW)
		:: pfrz[p] -> replace_p(p)		/* and gives up: it comes by again */
		:: else ->
#else
		:: true ->
#endif
			atomic {
				if
#if defined(BROKEN_PARENT)
				:: pref[p] == x ->
#elif defined(BROKEN_UNLINK_ANY)
				:: !pfrz[p] ->
#else
				:: pref[p] == x && !pfrz[p] ->
#endif
					if
					:: clean -> pref[p] = 0
					:: else ->
						xref[nx * 2] = (CLEAN(xref[x * 2]) -> 0 : xref[x * 2]);
						xref[nx * 2 + 1] = (CLEAN(xref[x * 2 + 1]) -> 0 : xref[x * 2 + 1]);
						xdirty[nx] = d;
						pref[p] = nx; nx++
					fi;
					assert(!xret[x]); xret[x] = true;
					check()
				:: else
				fi;
				d = 0; clean = false
			}
		fi
	} unless { killed }
}

proctype H()
{
	byte p, c0;

	p = root;
	replace_p(p)
}

proctype K()
{
	killed = true
}

proctype R(byte key)
{
	byte p, x, low, got;

	atomic { low = last[key]; p = root };
	x = pref[p];
	if
	:: x != 0 -> got = xref[x * 2 + key]
	:: else
	fi;
	if
	:: got == 0 -> got = base[key]
	:: else
	fi;
	assert(got >= low)
}

init
{
	atomic {
		pref[0] = 1;
		xref[2] = 1; xdirty[1] = 1;
		base[0] = 1; last[0] = 1;
		run W(0); run W(1); run E();
#if defined(PARENT)
		run H()
#elif defined(READER)
		if
		:: run R(0)
		:: run R(1)
		fi
#elif defined(ALL)
		run H(); run K()
#else
		run K()
#endif
	}
}
