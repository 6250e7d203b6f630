/*
 * m1_freeze.pml -- freeze, help, replace: changing the shape of an inner node.
 *
 * Stands for src/backend/access/art: art_locate, art_raise_dirty and art_publish (processes W and
 * G), art_prepare and art__reshape (G makes room, H), art__freeze, art__copy_children, art__help,
 * and art_lookup (R).
 *
 * The tree is root slot -> P -> X -> leaves of the keys 0 and 1.  A leaf is named by its lsn,
 * so no word ever comes back.  A private copy lives in the local variables of its maker and
 * gets a node number at the CAS that publishes it, for nobody can see it before.
 *
 *	W	replaces the leaf of key 0: reserve, raise the dirty LSN of X and P, one CAS on its slot.
 *	G	adds key 1.  X is full: freeze, copy into a larger node, CAS on the slot of P; then as W.
 *		G may die at every step; whoever needs X then has to help.
 *	H	changes the shape of P: freeze, copy, CAS on the root slot.
 *	R	looks key 0 up.
 *
 * Properties.  After every CAS on a live word: the leaf last published for each key is found
 * by descent (no published leaf is lost); the dirty LSN of every live ancestor is at least the
 * leaf's lsn; a node is retired once, and no live slot leads to a retired one.  A lookup never
 * sees a version older than the one in force when it began.  W and G come to an end although G
 * may have died half-way (their restarts are counted).  That needs helpers to remove the
 * reason for the change, too: with helpers that only copy, G and W can undo one another's work
 * for ever (twin BROKEN_SAMESIZE; a split of a prefix is such a change).
 *
 * Left out: reclamation (m3), reservation (m4), filling and VOID as bytes (m5), the structural
 * intent in the process slot, prefixes and their splits, rounding of the dirty LSN (it only makes
 * it larger), COMPLETE and FILLING, descriptor leaves.  A CAS loop is one step: a failed round of
 * it changes nothing.
 *
 * Variant JOIN: P has no other child, so H joins P and X: both are frozen, P first, and their
 *	joint copy goes into the root slot.  It is H that may die.
 * Variant READER: R takes part, nobody dies, X is frozen in one step (to keep the search small).
 *
 * Twin BROKEN_NOFREEZE (assertion): the copy is made of a node that was not frozen; a leaf
 *	published between copy and CAS is lost.
 * Twin BROKEN_META_FIRST (assertion): meta is read before it is frozen; a dirty LSN raised in
 *	between is missing from the copy.
 * Twin BROKEN_WRITE_FROZEN (assertion): W publishes into a frozen slot; the copy does not have
 *	the leaf.
 * Twin BROKEN_RAISE_FROZEN (assertion): the dirty LSN of a frozen meta word is raised instead
 *	of giving up; P has been copied without it, the leaf goes into X, which is live.
 * Twin BROKEN_PARENT (assertion): the new node is put into a frozen slot of the parent; the
 *	parent's copy leads to a node that is retired.
 * Twin BROKEN_JOIN_UNFROZEN (assertion): a join freezes P only; a leaf that is published in X
 *	afterwards is lost.
 * Twin BROKEN_SAMESIZE (assertion): a helper copies X without making it larger; G finds X full
 *	again, freezes it again, W helps again, and nobody ever ends.
 * Twin BROKEN_NOHELP (assertion): W does not help but starts over; G has died, W never ends.
 */
#ifdef BROKEN_JOIN_UNFROZEN
#define JOIN
#endif
#ifdef BROKEN_SAMESIZE
#define NX 16
#else
#define NX 4
#endif
#define NP 3
#define NOBODY 9
#define TRIES 6

/*
 * The root slot leads to P, or to X itself once they are joined: its value is the number of
 * P, or ROOT_X + the number of X.  It is never frozen.
 */
#define ROOT_X 10
byte root = 0;
byte pref[NP]; bool pfrz[NP];		/* P: the slot that leads to X, its FROZEN bit */
byte pdirty[NP]; bool pmfrz[NP];	/* P: meta */
byte xref[NX * 2]; bool xfrz[NX * 2];	/* X: the slots of key 0 and key 1 */
byte xdirty[NX]; bool xmfrz[NX];	/* X: meta */
bool xbig[NX];				/* X: has room for key 1 */
bool pret[NP]; bool xret[NX];		/* retired */
byte np = 1, nx = 1;			/* next free node numbers */
byte insert = 1;			/* lsn of the last reservation */
byte last[2];				/* ghost: lsn of the leaf last published, per key */

#define LIVE_X (root >= ROOT_X -> root - ROOT_X : pref[root])

inline check()
{
	assert(root >= ROOT_X || !pret[root]);
	assert(!xret[LIVE_X]);
	assert(xref[LIVE_X * 2] == last[0] && xref[LIVE_X * 2 + 1] == last[1]);
	assert(xdirty[LIVE_X] >= last[0] && xdirty[LIVE_X] >= last[1]);
	assert(root >= ROOT_X || (pdirty[root] >= last[0] && pdirty[root] >= last[1]))
}

inline freeze_x(vx)
{
#ifdef READER
	d_step { xmfrz[vx] = true; xfrz[vx * 2] = true; xfrz[vx * 2 + 1] = true }
#else
	xmfrz[vx] = true;
	xfrz[vx * 2] = true;
	xfrz[vx * 2 + 1] = true
#endif
}

/* art__reshape of P; whoever wins the CAS on the root slot retires what it has replaced */
inline replace_p(vp)
{
	pmfrz[vp] = true;
	pfrz[vp] = true;
#ifdef JOIN
	cx = pref[vp];
#ifndef BROKEN_JOIN_UNFROZEN
	freeze_x(cx);
#endif
	d_step {
		cd = pdirty[vp]; c0 = xref[cx * 2]; c1 = xref[cx * 2 + 1];
		if
		:: cd < xdirty[cx] -> cd = xdirty[cx]
		:: else
		fi
	}
	atomic {
		if
		:: root == vp ->
			xref[nx * 2] = c0; xref[nx * 2 + 1] = c1; xdirty[nx] = cd; xbig[nx] = true;
			root = ROOT_X + nx; nx++;
			assert(!pret[vp] && !xret[cx]); pret[vp] = true; xret[cx] = true;
			check()
		:: else
		fi;
		cd = 0; c0 = 0; c1 = 0; cx = 0
	}
#else
	d_step { cd = pdirty[vp]; c0 = pref[vp] }
	atomic {
		if
		:: root == vp ->
			pref[np] = c0; pdirty[np] = cd; root = np; np++;
			assert(!pret[vp]); pret[vp] = true;
			check()
		:: else
		fi;
		cd = 0; c0 = 0
	}
#endif
}

/* art__reshape of X; 'grow': into a larger node */
inline replace_x(vp, vx, grow)
{
#ifdef BROKEN_META_FIRST
	cd = xdirty[vx];
#endif
#ifndef BROKEN_NOFREEZE
	freeze_x(vx);
#endif
	d_step {
#ifndef BROKEN_META_FIRST
		cd = xdirty[vx];
#endif
		c0 = xref[vx * 2];
		c1 = xref[vx * 2 + 1]
	}
	atomic {
		if
#ifdef BROKEN_PARENT
		:: vp != NOBODY && pref[vp] == vx ->
#else
		:: vp != NOBODY && pref[vp] == vx && !pfrz[vp] ->
#endif
			xref[nx * 2] = c0; xref[nx * 2 + 1] = c1; xdirty[nx] = cd; xbig[nx] = grow;
			pref[vp] = nx; nx++;
			assert(!xret[vx]); xret[vx] = true;
			check()
		:: vp == NOBODY && root == ROOT_X + vx ->
			xref[nx * 2] = c0; xref[nx * 2 + 1] = c1; xdirty[nx] = cd; xbig[nx] = grow;
			root = ROOT_X + nx; nx++;
			assert(!xret[vx]); xret[vx] = true;
			check()
		:: else
		fi;
		cd = 0; c0 = 0; c1 = 0
	}
}

#ifdef BROKEN_SAMESIZE
#define HELPER_GROWS false
#else
#define HELPER_GROWS true
#endif

/* art__help for a frozen X: a frozen parent comes first; the caller starts over */
inline help_x(vp, vx)
{
#ifndef BROKEN_NOHELP
#ifndef BROKEN_PARENT
	if
	:: vp != NOBODY && pfrz[vp] -> replace_p(vp)
	:: else ->
#endif
		replace_x(vp, vx, HELPER_GROWS)
#ifndef BROKEN_PARENT
	fi
#endif
#else
	skip
#endif
}

inline descend()
{
	atomic { tries++; assert(tries <= TRIES); l = 0; p = root };
	if
	:: atomic { p >= ROOT_X -> x = p - ROOT_X; p = NOBODY }
	:: p < ROOT_X -> x = pref[p]
	fi
}

/* art_raise_dirty on one node; one step stands for the CAS loop.  Enough is enough, even frozen. */
inline raise(dirty, frz)
{
	atomic {
		if
		:: dirty >= l -> ok = true
#ifdef BROKEN_RAISE_FROZEN
		:: dirty < l -> dirty = l; ok = true
#else
		:: dirty < l && !frz -> dirty = l; ok = true
		:: dirty < l && frz -> ok = false
#endif
		fi
	}
}

/* From reserve to publish, for the word s in the slot of 'key'; jumps to again. */
inline write(key)
{
	atomic { insert++; l = insert };		/* reserve */
	if
	:: p != NOBODY ->
		raise(pdirty[p], pmfrz[p]);
		if
		:: !ok -> replace_p(p); goto again	/* VOID, help */
		:: else
		fi
	:: else
	fi;
	raise(xdirty[x], xmfrz[x]);
	if
	:: !ok -> help_x(p, x); goto again		/* VOID, help */
	:: else
	fi;
	atomic {					/* publish */
		if
#ifdef BROKEN_WRITE_FROZEN
		:: xref[x * 2 + key] == s ->
#else
		:: xref[x * 2 + key] == s && !xfrz[x * 2 + key] ->
#endif
			xref[x * 2 + key] = l; last[key] = l;
			check()
		:: else -> goto again			/* VOID */
		fi
	}
}

/* W: a new version of key 0 */
proctype W()
{
	byte p, x, s, l, tries, cd, c0, c1, cx;
	bool ok;

	tries = 0;
again:
	descend();
	atomic { s = xref[x * 2]; ok = xfrz[x * 2] };
#ifndef BROKEN_WRITE_FROZEN
	if
	:: ok -> help_x(p, x); goto again
	:: else
	fi;
#endif
	write(0)
}

bool killed = false;
#ifdef JOIN
#define G_KILLED false
#define H_KILLED killed
#else
#define G_KILLED killed
#define H_KILLED false
#endif

/* G: key 1.  Dying is the end of the process at any step: what it has done so far stays. */
proctype G()
{
	byte p, x, s, l, tries, cd, c0, c1, cx;
	bool ok;

	{
		tries = 0;
again:
		descend();
		atomic { s = xref[x * 2 + 1]; ok = xfrz[x * 2 + 1] };
		if
		:: ok -> help_x(p, x); goto again
		:: else
		fi;
		if
		:: !xbig[x] -> replace_x(p, x, true); goto again
		:: else
		fi;
		write(1)
	} unless { G_KILLED }
}

/* H: another shape for P */
proctype H()
{
	byte p, cd, c0, c1, cx;

	{
		p = root;
		if
		:: p < ROOT_X -> replace_p(p)
		:: else
		fi
	} unless { H_KILLED }
}

proctype K()
{
	killed = true
}

/* R: a lookup of key 0 */
proctype R()
{
	byte p, x, low;

	atomic { low = last[0]; p = root };
	x = pref[p];
	assert(xref[x * 2] >= low)
}

init
{
	atomic {
		xref[0] = 1; xdirty[0] = 1; pdirty[0] = 1; last[0] = 1;
		run W(); run G(); run H();
#ifdef READER
		run R()
#else
		run K()
#endif
	}
}
