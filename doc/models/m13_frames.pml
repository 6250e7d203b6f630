/*
 * m13_frames.pml -- the buffer pool: frames change their page, and nobody locks or pins them.
 *
 * Stands for src/backend/storage/buffer/buffer.c: buffer_lookup (R), buffer_insert with take_frame,
 * link_frame, unlinked and into_limbo (I), evict_one (V).
 *
 * One set of two ways, three frames, two pages whose tags are equal, so that only the page's
 * header in the frame tells them apart.  A way word is a frame's number + 1, or 0.  At first
 * page 1 is in.
 *
 *	R	inside an epoch: looks through the ways for page 1; the header in the frame confirms; reads.
 *	I	(two, of which one twice) inserts a page unless it is there: takes a frame from limbo whose
 *		grace period has passed, by CAS of its state word; fills it; puts it into a way, whichever,
 *		by CAS; what was there is unlinked: it reads the epoch and stores LIMBO with it; then its
 *		own frame's state becomes USED, by CAS from TAKEN by this process.
 *	V	(variant EVICT, instead of the second I) takes a page out of its way, by CAS, and puts the
 *		frame into limbo.
 *
 * Properties.  A frame that R has confirmed holds that page until R leaves its epoch.  While a
 * frame is filled no way leads to it and nobody else fills it.  Two ways never lead to one frame.
 * In the end every frame is USED and in a way, or in limbo.
 *
 * Left out: uses and their ageing (a CAS on a way word fails more often), frames that were never
 * used, claims, deaths, inserting in vain again and again (I gives its frame back at once when it
 * loses its CAS).  A grace period is: everybody has left who was inside when the epoch was
 * read (m3).
 *
 * Variant EVICT: V takes part instead of the second I.
 * Large ALL: V takes part, too.
 *
 * Twin BROKEN_NOGRACE (assertion): a frame is filled again as soon as it is in limbo.
 * Twin BROKEN_NOCONFIRM (assertion): R believes the tag.
 * Twin BROKEN_LINK_FIRST (assertion): the way leads to the frame before it is filled.
 * Twin BROKEN_EPOCH_FIRST (assertion): the epoch is read before the CAS that unlinks; R enters in
 *	between and finds the frame.
 * Twin BROKEN_TAKE_ANY (assertion): the CAS that takes a frame accepts LIMBO of whatever epoch; the
 *	frame was used and unlinked again since its epoch was looked at (all take part).
 * Twin BROKEN_STORE_USED (assertion): USED is stored; the frame had been unlinked already, and is
 *	lost.
 * Twin BROKEN_UNLINK_STORE (assertion): the way word is stored instead of a CAS; what another has
 *	put there meanwhile is lost.
 */
#ifdef BROKEN_TAKE_ANY
#define ALL
#endif
#define WAYS	2
#define FRAMES	3
#define LIMBO	100			/* state words: LIMBO + era, USED, or TAKEN by a process */
#define USED	99
#define TAKEN(me) (10 + (me))
#define NOBODY	9
#define R_BIT	1			/* in inside and holders */

byte way[WAYS];
byte state[FRAMES];
byte page[FRAMES];			/* the header; 0: being filled */
byte holders[FRAMES];			/* who was inside when the epoch of its unlinking was read */
byte filler[FRAMES];			/* ghost */
byte era = 0;				/* of the last unlinking: no two are alike */
byte inside = 0;

inline leave_epoch()
{
	d_step {
		inside = inside & ~R_BIT;
		holders[0] = holders[0] & ~R_BIT; holders[1] = holders[1] & ~R_BIT;
		holders[2] = holders[2] & ~R_BIT
	}
}

proctype R()
{
	byte i, f;

	inside = inside | R_BIT;
	do
	:: i < WAYS ->
		f = way[i];
		if
#ifdef BROKEN_NOCONFIRM
		:: f != 0 ->
#else
		:: f != 0 && page[f - 1] == 1 ->
#endif
			assert(page[f - 1] == 1);
			assert(page[f - 1] == 1);
			break
		:: else -> i++
		fi
	:: else -> break
	od;
	leave_epoch()
}

/* unlinked: the way word that was taken out leads to frame f */
inline into_limbo(f)
{
#ifndef BROKEN_EPOCH_FIRST
	e = inside;
#endif
	atomic {
		assert(state[f] == USED || (state[f] >= TAKEN(0) && state[f] <= TAKEN(2)));
		holders[f] = e; era++; state[f] = LIMBO + era; e = 0
	}
}

proctype I(byte me; byte times)
{
	byte f, s, w, old, e, p;

	do
	:: times > 0 ->
		if
		:: p = 1
		:: p = 2
		fi;
		/* buffer_present; it may come in between */
		if
		:: (way[0] != 0 && page[way[0] - 1] == p) || (way[1] != 0 && page[way[1] - 1] == p) -> goto done
		:: else
		fi;
		if						/* take_frame */
		:: f = 0
		:: f = 1
		:: f = 2
		fi;
		s = state[f];
		if
#ifdef BROKEN_NOGRACE
		:: s >= LIMBO
#else
		:: s >= LIMBO && holders[f] == 0
#endif
		:: else -> goto done
		fi;
		atomic {
			if
#ifdef BROKEN_TAKE_ANY
			:: state[f] >= LIMBO -> state[f] = TAKEN(me)
#else
			:: state[f] == s -> state[f] = TAKEN(me)
#endif
			:: else -> goto done
			fi
		};
#ifdef BROKEN_LINK_FIRST
		goto link;
fill:
#endif
		atomic {
			assert(filler[f] == NOBODY);
#ifndef BROKEN_LINK_FIRST
			assert(way[0] != f + 1 && way[1] != f + 1);
#endif
			filler[f] = me; page[f] = 0
		};
		atomic { page[f] = p; filler[f] = NOBODY };
#ifdef BROKEN_LINK_FIRST
		goto filled;
#endif
link:
		if						/* choose */
		:: w = 0
		:: w = 1
		fi;
		old = way[w];
#ifdef BROKEN_EPOCH_FIRST
		e = inside;
#endif
		atomic {
			if
#ifdef BROKEN_UNLINK_STORE
			:: true -> way[w] = f + 1
#else
			:: way[w] == old -> way[w] = f + 1
#endif
			:: else -> era++; state[f] = LIMBO + era; holders[f] = 0; goto done
			fi;
			assert(way[0] == 0 || way[0] != way[1])
		};
		if
		:: old != 0 -> into_limbo(old - 1)
		:: else -> e = 0
		fi;
#ifdef BROKEN_LINK_FIRST
		goto fill;
filled:
#endif
#ifdef BROKEN_STORE_USED
		state[f] = USED;
#else
		atomic {
			if
			:: state[f] == TAKEN(me) -> state[f] = USED
			:: else					/* unlinked already */
			fi
		};
#endif
done:
		atomic { times--; f = 0; s = 0; w = 0; old = 0; e = 0; p = 0 }
	:: else -> break
	od
}

proctype V()
{
	byte w, old, e;

	if
	:: w = 0
	:: w = 1
	fi;
	old = way[w];
#ifdef BROKEN_EPOCH_FIRST
	e = inside;
#endif
	atomic {
		if
		:: old != 0 && way[w] == old -> way[w] = 0
		:: else -> old = 0
		fi
	};
	if
	:: old != 0 -> into_limbo(old - 1)
	:: else
	fi
}

init
{
	atomic {
		way[0] = 1; page[0] = 1;
		state[0] = USED; state[1] = LIMBO; state[2] = LIMBO;
		filler[0] = NOBODY; filler[1] = NOBODY; filler[2] = NOBODY;
		run R(); run I(0, 2);
#ifndef EVICT
		run I(1, 1);
#endif
#if defined(EVICT) || defined(ALL)
		run V()
#endif
	};
	atomic {
		_nr_pr == 1;
		assert(state[0] >= LIMBO || (state[0] == USED && (way[0] == 1 || way[1] == 1)));
		assert(state[1] >= LIMBO || (state[1] == USED && (way[0] == 2 || way[1] == 2)));
		assert(state[2] >= LIMBO || (state[2] == USED && (way[0] == 3 || way[1] == 3)))
	}
}
