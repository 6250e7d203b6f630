/*
 * m6_seen.pml -- SEEN, and the tidy-up after a worker that died between reserve and fill.
 *
 * Stands for art_mark_seen before art_publish (W2) and in the collapse of art__reshape, which
 * installs a copy of a leaf (C), in src/backend/access/art; wal_fill and wal_fill_void in
 * src/backend/access/wal/walring.c; mem_retire; and the successor's tidy-up.
 *
 * W1 has reserved LSN 1 and publishes the leaf A (lsn 1); it may die at any step.  W2 puts its
 * leaf B (lsn 2) into the same slot, C replaces A by a fresh copy A' with the same lsn, in either
 * order.  The successor of W1 fills the record if A was ever published, else it fills a VOID:
 * published is what a descent finds, by its lsn, or what carries SEEN; in this order.
 *
 * Whoever takes a leaf with lsn > completed out of a slot marks it SEEN first.  That goes for
 * copies of leaves, too: the mark must be on the leaf that the dead worker's process slot names,
 * for whoever replaces A' later marks A' only.
 *
 * M uses the memory of A again, one grace period after it was retired: when W1's epoch word,
 * which stays behind the dead, is cleared.  If A was never published, the successor gives it
 * back to the heap, after the process slot is idle.  The successor may die as well, after any
 * round.
 *
 * Properties.  A record whose leaf was published is filled, one whose leaf was not is VOID, in
 * every round of the tidy-up and when the process slot becomes idle.  The successor never looks
 * at memory that is used again.
 *
 * Left out: whether there was a reservation at all (m4), the descent (m1), epochs in full (m3),
 * transactions.
 *
 * Twin BROKEN_NOSEEN (assertion): nobody marks; a leaf that was shown and replaced looks as if it
 *	had never been published.
 * Twin BROKEN_SEEN_LATE (assertion): the mark is set after the CAS that replaces.
 * Twin BROKEN_SEEN_FIRST (assertion): the successor looks for the mark first, descends second.
 * Twin BROKEN_COPY_UNMARKED (assertion): a collapse copies the leaf and does not mark it.
 * Twin BROKEN_EPOCH_FIRST (assertion): the successor clears the epoch word before it has looked.
 * Twin BROKEN_FREE_FIRST (assertion): a leaf that was never published is given back before the
 *	process slot is idle; the next successor looks at it again.
 */
#define NONE	0
#define A		1
#define A_COPY	2
#define B		3

mtype = { NOTHING, WRITE, VOID };

byte slot = NONE;
mtype record = NOTHING;
bool pending = true;			/* W1's process slot: OWNED(record 1) */
bool in_epoch = true;			/* W1's epoch word */
bool seen[4];
bool retired_a = false, reused_a = false;
bool published = false;			/* ghost: A was in the slot */
byte completed = 0;
bool killed = false;

#define LSN(leaf) (leaf == B -> 2 : (leaf == NONE -> 0 : 1))

inline check()
{
	assert((record == WRITE && published) || (record == VOID && !published))
}

proctype W1()
{
	bool ok, again;
	byte s;

	{
		atomic {					/* publish */
			if
			:: slot == NONE -> slot = A; published = true; ok = true
			:: else
			fi
		};
		if
		:: ok -> record = WRITE			/* fill */
		:: else -> record = VOID
		fi;
		atomic { check(); pending = false };
		in_epoch = false
	} unless { killed };

	/* the successor's tidy-up */
	if
	:: killed ->
#ifdef BROKEN_EPOCH_FIRST
		in_epoch = false;
#endif
		again = true;
		do
		:: again && pending ->
#ifdef BROKEN_SEEN_FIRST
			atomic { assert(!reused_a); ok = seen[A] };
			if
			:: !ok -> s = slot; ok = (LSN(s) == 1)
			:: else
			fi;
#else
			s = slot;				/* descent */
			ok = (LSN(s) == 1);
			if
			:: !ok -> atomic { assert(!reused_a); ok = seen[A] }
			:: else
			fi;
#endif
			atomic {
				if
				:: ok -> record = WRITE
				:: else -> record = VOID
				fi;
				check()
			};
#ifdef BROKEN_FREE_FIRST
			if
			:: record == VOID -> reused_a = true
			:: else
			fi;
#endif
			if
			:: again = true			/* dies; the next one begins again */
			:: again = false
			fi
		:: else -> break
		od;
		pending = false;
		if
		:: record == VOID -> reused_a = true	/* A goes back to the heap */
		:: else
		fi;
		in_epoch = false
	:: else
	fi
}

/* One replacement of the leaf s by n. */
inline replace(s, n)
{
#if !defined(BROKEN_NOSEEN) && !defined(BROKEN_SEEN_LATE)
	mark(s, n);
#endif
	atomic {
		if
		:: slot == s ->
			slot = n; ok = true;
			if
			:: s == A -> retired_a = true
			:: else
			fi
		:: else
		fi
	};
#ifdef BROKEN_SEEN_LATE
	if
	:: ok -> mark(s, n)
	:: else
	fi
#endif
}

inline mark(s, n)
{
#ifdef BROKEN_COPY_UNMARKED
	if
	:: s != NONE && n != A_COPY && LSN(s) > completed -> seen[s] = true
	:: else
	fi
#else
	if
	:: s != NONE && LSN(s) > completed -> seen[s] = true
	:: else
	fi
#endif
}

proctype W2()
{
	byte s;
	bool ok;

	do
	:: !ok ->
		s = slot;
		replace(s, B)
	:: else -> break
	od
}

proctype C()
{
	byte s;
	bool ok;

	s = slot;
	if
	:: s == A -> replace(s, A_COPY)
	:: else
	fi
}

proctype L()
{
	!pending;
	completed = 1
}

proctype M()
{
end:
	atomic { retired_a && !in_epoch -> reused_a = true; seen[A] = false }
}

proctype K()
{
	if
	:: killed = true
	:: true
	fi
}

init
{
	atomic {
		run W1(); run W2(); run C(); run L(); run M(); run K()
	}
}
