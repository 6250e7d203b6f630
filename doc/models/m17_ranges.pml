/*
 * m17_ranges.pml -- transactions that look at ranges, beside single writers and a change of the map.
 *
 * Stands for store_txn_range, announce, range_in_the_way, map_is_as_seen, change_begin and ranges_withdraw in
 * src/backend/access/store/store_txn.c, store__write_blocked, and store__map_announce in store_map.c.
 *
 * A range is a set of keys (bits), key k has version lsn[k].  T announces the ranges that it
 * walks over, each when it comes to it, in any order; waits for a grace period; notes the versions of all keys in it
 * (what it counts, moves, deletes, or finds absent); and writes one key by a commit.  What it has
 * noted it does not look at again: the range holds it.
 *
 *	announce	under the lock: another's range that overlaps: all of its own are withdrawn, and it waits, and
 *				begins anew; else a place is filled, gets its ticket, is counted; then the grace period
 *	commit		in an epoch: while the map changes: gives its ranges up and begins anew, or waits, if it
 *				has none; so if the map has changed since it looked; if its key lies in another's range:
 *				waits if its own ticket is the lower one, or if it has none, else gives up and begins anew.
 *				Then it holds the key, reserves, publishes, leaves the epoch, withdraws
 *
 * W writes one key: enters, looks at the map's announcement and, if their number is not 0, at the ranges one
 * by one; reads the key, reserves, publishes by CAS, leaves.  Who has to wait waits until the ticket
 * that stood in his way has gone, or the map's announcement.
 *
 * Why no serial order is missed.  T's place in the order is its LSN.  Let W write k in T's
 * range.  If W looked after the announcement, he waits until T has withdrawn, and reserves above T.  If he looked
 * before, he had entered before, so the grace period ended behind his publication, T has noted
 * it, and its LSN is below T's.  A transaction U that writes k looks in the epoch in which it commits,
 * so it is such a W; and if U in turn has a range in which T writes, both look, and at least one sees
 * the other, or waits for his epoch and then notes what he wrote.
 *
 * Why none waits for ever.  A wait is for a ticket higher than one's own, or holds nothing.  All ranges of a
 * transaction have one ticket, that of its first: with one for each a transaction with tickets 1 and 3 could
 * wait for one with 2, who waits for 3.
 *
 * Properties.  (1) While T commits every key that it has noted has that version still; none is
 * published later with an LSN below T's; the map is the one that it looked at.  (2) All end.
 *
 * T1 walks over two of three ranges and writes in the third one, T2 walks over that one and writes in one of the
 * others; W writes in that one or in T2's.  T begins anew as often as ATTEMPTS; then it gives up.
 *
 * Left out: descriptor leaves, and what is read by key (m14_txn): here a held key is a lock; the death of a process;
 * a deadline that passes.
 *
 * Variant WIDE: T1 walks over everything, T2 over one range; each writes inside that one, or outside.
 * Variant OVERLAP: both walk over the same two ranges; W is left out.
 * Variant MAP: T2 changes the map as well, after its walk, and so may T1; W is left out.
 * Large THREE_ATTEMPTS: T begins anew once more.
 *
 * Twin BROKEN_NO_GRACE (assertion): T walks as soon as it has announced.
 * Twin BROKEN_LOOK_FIRST (assertion): W looks at the table, then enters.
 * Twin BROKEN_COUNT_LATE (assertion): the range is counted after the grace period.
 * Twin BROKEN_WITHDRAW_EARLY (assertion): T withdraws when it has walked.
 * Twin BROKEN_WITHDRAW_RESERVED (assertion): T withdraws when it has reserved, before it publishes.
 * Twin BROKEN_COMMIT_BLIND (assertion): a commit does not look at others' ranges.
 * Twin BROKEN_LOOK_OUTSIDE (assertion): a commit looks at them before its epoch.
 * Twin BROKEN_KEEP_NOTES (assertion): who has given his ranges up goes on with what he has noted.
 * Twin BROKEN_MAP_UNSEEN (assertion): a commit does not look whether the map has changed (with MAP).
 * Twin BROKEN_ALL_WAIT (invalid end state): nobody gives way at the commit.
 * Twin BROKEN_HOLD_ON (invalid end state): who meets an overlapping range keeps his own while he waits (with OVERLAP).
 * Twin BROKEN_TICKET_EACH (invalid end state): every range has a ticket of its own.
 * Twin BROKEN_MAP_HOLD (invalid end state): who waits for the map keeps his ranges (with MAP).
 */
#if defined(BROKEN_MAP_UNSEEN) || defined(BROKEN_MAP_HOLD)
#define MAP
#endif
#ifdef BROKEN_HOLD_ON
#define OVERLAP
#endif
#define KEYS	3
#define PLACES	3
#define ALL		7
#define NONE	99
#ifdef THREE_ATTEMPTS
#define ATTEMPTS 3
#else
#define ATTEMPTS 2
#endif
/* processes */
#define T1		0
#define T2		1
#define WR		2
#define PROCESSES 3

byte lsn[KEYS];
bool held[KEYS];
byte insert = 1;
byte map_lsn = 0;
bool map_change = false;
bool map_lock = false;
bool inside[PROCESSES];

bool lock = false;
byte tickets = 0;
byte ticket[PLACES];
byte mask[PLACES];
byte announced = 0;

/* ghost: the LSN of the last transaction that has noted this key, and the map */
byte above[KEYS];
byte map_above = 0;

#define COVERS(m, k)	((m >> k) & 1)

inline grace(me)
{
	byte q;

	for (q : 0 .. PROCESSES - 1) {
		if
		:: q != me -> !inside[q]
		:: else
		fi
	}
	q = 0
}

inline publish(k, l)
{
	assert(l > above[k]);
	assert(l > lsn[k]);
	lsn[k] = l
}

/* look -- *other: a place, with ticket *its, of somebody else's range that has key k; NONE: there is none. */
inline look(k, mine, other, its)
{
	other = NONE;
	i = 0;
	do
	:: i < PLACES && other == NONE ->
		its = ticket[i];
		if
		:: its != 0 && !COVERS(mine, i) ->
			if
			:: COVERS(mask[i], k) -> other = i
			:: else
			fi
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

inline withdraw()
{
	i = 0;
	do
	:: i < PLACES ->
		if
		:: COVERS(mine, i) -> ticket[i] = 0; announced--
		:: else
		fi;
		i++
	:: else -> break
	od;
	atomic { i = 0; mine = 0; own = 0; count = 0 }
}

proctype T(byte me; byte first; byte second; byte write; bool changes)
{
	byte note[KEYS];
	byte noted = 0;			/* keys */
	byte mine = 0;			/* places */
	byte count = 0;
	byte own = 0;			/* the lowest ticket */
	byte todo[2];			/* ranges that are not walked over yet */
	byte want, map_seen, other, its, place, i, k, l;
	byte attempts = 0;
	bool step = false;		/* the map's announcement is ours */

anew:
	attempts++;
	atomic {
		todo[0] = first; todo[1] = second;
#ifdef BROKEN_KEEP_NOTES
		if
		:: attempts == 1 -> map_seen = map_lsn
		:: else
		fi
#else
		noted = 0;
		map_seen = map_lsn
#endif
	};
	if
	:: attempts > ATTEMPTS -> goto out
	:: else
	fi;
next:
	/* store_txn_range */
	i = 0;
	if
	:: todo[0] != 0 -> want = todo[0]
	:: todo[1] != 0 -> want = todo[1]
	:: todo[0] == 0 && todo[1] == 0 -> goto walked
	fi;
	atomic { !lock -> lock = true };
	place = NONE; other = NONE;
	i = 0;
	do
	:: i < PLACES ->
		atomic {
			if
			:: ticket[i] == 0 && place == NONE -> place = i
			:: ticket[i] != 0 && !COVERS(mine, i) && (mask[i] & want) != 0 -> other = i; its = ticket[i]
			:: else
			fi;
			i++
		}
	:: else -> i = 0; break
	od;
	if
	:: other != NONE ->
		lock = false;
#ifndef BROKEN_HOLD_ON
		withdraw();
#endif
		ticket[other] != its;
#ifdef BROKEN_HOLD_ON
		goto next
#else
		goto anew
#endif
	:: else
	fi;
	assert(place != NONE);
	mask[place] = want;
	atomic {
#ifdef BROKEN_TICKET_EACH
		tickets++; its = tickets;
#else
		if
		:: own == 0 -> tickets++; its = tickets
		:: else -> its = own
		fi;
#endif
		if
		:: own == 0 -> own = its
		:: else
		fi;
		ticket[place] = its;
		mine = mine | (1 << place)
	};
#ifndef BROKEN_COUNT_LATE
	announced++;
#endif
	lock = false;
#ifndef BROKEN_NO_GRACE
	grace(me);
#endif
#ifdef BROKEN_COUNT_LATE
	announced++;
#endif
	count++;
	/* the walk */
	k = 0;
	do
	:: k < KEYS ->
		atomic {
			if
			:: COVERS(want, k) && !COVERS(noted, k) -> note[k] = lsn[k]; noted = noted | (1 << k)
			:: else
			fi;
			k++
		}
	:: else -> k = 0; break
	od;
	atomic {
		if
		:: todo[0] == want -> todo[0] = 0
		:: else -> todo[1] = 0
		fi
	};
	goto next;
walked:
#ifdef BROKEN_WITHDRAW_EARLY
	withdraw();
#endif
	/* change_begin */
	if
	:: changes && !step ->
		do
		:: atomic { !map_lock -> map_lock = true; break }
		:: map_lock ->
#ifndef BROKEN_MAP_HOLD
			if
			:: count > 0 -> withdraw(); !map_lock; goto anew
			:: else
			fi;
#endif
			!map_lock
		od;
		map_change = true;
		step = true;
		grace(me);
		if
		:: map_seen != map_lsn -> withdraw(); goto anew
		:: else
		fi
	:: else
	fi;
commit:
#ifdef BROKEN_LOOK_OUTSIDE
	look(write, mine, other, its);
	inside[me] = true;
#else
	inside[me] = true;
#endif
	/* range_in_the_way */
	if
	:: !step && map_change ->
		inside[me] = false;
		if
		:: count > 0 -> withdraw(); !map_change; goto anew
		:: else -> !map_change; goto commit
		fi
	:: else
	fi;
#ifdef BROKEN_COMMIT_BLIND
	other = NONE;
#elif !defined(BROKEN_LOOK_OUTSIDE)
	if
	:: announced == count -> other = NONE
	:: else -> look(write, mine, other, its)
	fi;
#endif
	if
	:: other != NONE ->
		inside[me] = false;
		if
#ifdef BROKEN_ALL_WAIT
		:: true
#else
		:: own < its || count == 0
#endif
			-> ticket[other] != its; goto commit
#ifndef BROKEN_ALL_WAIT
		:: else -> withdraw(); ticket[other] != its; goto anew
#endif
		fi
	:: else
	fi;
#ifndef BROKEN_MAP_UNSEEN
	if
	:: map_seen != map_lsn -> inside[me] = false; withdraw(); goto anew
	:: else
	fi;
#endif
	/* (1) to (5) */
	atomic { !held[write] -> held[write] = true };
	atomic { insert++; l = insert };
#ifdef BROKEN_WITHDRAW_RESERVED
	withdraw();
#endif
	atomic {
		k = 0;
		do
		:: k < KEYS ->
			if
			:: COVERS(noted, k) ->
				assert(lsn[k] == note[k]);
				if
				:: k != write -> above[k] = l
				:: else
				fi
			:: else
			fi;
			k++
		:: else -> k = 0; break
		od;
		assert(map_seen == map_lsn);
		map_above = l;
		publish(write, l);
		held[write] = false
	};
	if
	:: changes -> map_lsn = l
	:: else
	fi;
	inside[me] = false;
	withdraw();
out:
	withdraw();
	if
	:: step -> map_change = false; map_lock = false
	:: else
	fi
}

proctype W(byte key)
{
	byte s, l, other, its, i;
	bool ok = false;

	do
	:: !ok ->
#ifndef BROKEN_LOOK_FIRST
		inside[WR] = true;
#endif
		other = NONE;
		if
		:: map_change -> other = PLACES
		:: else ->
			if
			:: announced != 0 -> look(key, 0, other, its)
			:: else
			fi
		fi;
#ifdef BROKEN_LOOK_FIRST
		inside[WR] = true;
#endif
		if
		:: other == NONE ->
			s = lsn[key];
			atomic { insert++; l = insert };
			atomic {
				if
				:: lsn[key] == s && !held[key] -> publish(key, l); ok = true
				:: else
				fi
			};
			inside[WR] = false;
			if
			:: !ok -> !held[key]
			:: else
			fi
		:: other == PLACES -> inside[WR] = false; !map_change
		:: else -> inside[WR] = false; ticket[other] != its
		fi
	:: else -> break
	od
}

init
{
	atomic {
#if defined(WIDE)
		if
		:: run T(T1, ALL, 0, 0, false)
		:: run T(T1, ALL, 0, 1, false)
		fi;
		if
		:: run T(T2, 1, 0, 0, false)
		:: run T(T2, 1, 0, 1, false)
		fi;
		run W(0)
#elif defined(OVERLAP)
		run T(T1, 1, 2, 2, false);
		run T(T2, 1, 2, 0, false)
#elif defined(MAP)
		if
		:: run T(T1, 1, 2, 2, false)
		:: run T(T1, 1, 2, 2, true)
		fi;
		if
		:: run T(T2, 4, 0, 0, true)
		:: run T(T2, 1, 0, 2, true)
		fi
#else
		run T(T1, 1, 2, 2, false);
		run T(T2, 4, 0, 1, false);
		if
		:: run W(1)
		:: run W(2)
		fi
#endif
	}
}
