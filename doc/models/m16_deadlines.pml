/*
 * m16_deadlines.pml -- the index of deadlines: does a key with a deadline ever lack an entry, or stay for ever?
 *
 * Stands for store_write with store__hint_prepare, _publish and _announce (W) in
 * src/backend/access/store, and for store_expire_step: begin, scan, fire, drop, set_next (X) in
 * store_expire.c.
 *
 * One key, and deadlines 1, which has passed, and 2, which has not.  Words of the key and of the two
 * entries are lsns, which never come back (store.c); with each goes what it stands for: of the key
 * its deadline, 0 for a key that is absent or has none; of an entry whether it is there or a tombstone.
 *
 *	W	(two) chooses a deadline d, or none.  Reads the key's word s; if d needs an entry (s has no
 *		deadline, or a later one), reads the entry's word; reserves; publishes the entry by
 *		CAS; lowers 'next' to d if it is higher; publishes the key by CAS on s; fills.  Who loses a CAS gives up
 *		here: to start over is to begin later.
 *	X	next := never; looks for the entry of deadline 1.  If it is there, and its lsn is
 *		completed: looks at the key.  Deadline 1: deletes it by CAS, then a tombstone by CAS on the
 *		entry's word as read before.  Deadline 2: puts in an entry for it.  Then, or if there is no
 *		deadline: reads the entry's word w; if it is another one by now, it must be completed,
 *		too; looks at the key once more; a tombstone by CAS on w.  If there is no entry,
 *		sleeps until 'next' says 1.
 *
 * Properties.  At every moment, a key with a deadline has an entry at it or before it (monitor).  When
 * nothing moves any more the key has no deadline that has passed (the end): nobody sleeps over it.
 *
 * Left out: the base and the cuts (entry and key have one lsn, so what holds here holds at each: m9,
 * m12), memory, transactions (they hold key and entry at once: m14), several keys, the clock.
 *
 * Large THREE: three writers; so have the twins that need them.
 *
 * Twin BROKEN_YOUNG (assertion): X does not care whether the entry's lsn is completed.
 * Twin BROKEN_YOUNG_ANEW (assertion): X does not look again whether what it has found was put in anew.
 * Twin BROKEN_REREAD (assertion): X reads the entry's word again after it has looked at the key.
 * Twin BROKEN_STORE (assertion): X stores its tombstone without comparing.
 * Twin BROKEN_KEY_FIRST (assertion): W publishes the key, then the entry.
 * Twin BROKEN_NO_ARM (assertion): X takes the entry of a key with a later deadline away without putting one in.
 * Twin BROKEN_NEVER_AFTER (assertion): X sets 'next' to never when it has found nothing, not before it looks.
 * Twin BROKEN_ANNOUNCE_FIRST (assertion): W lowers 'next' before the entry is there.
 */
#if defined(THREE) || defined(BROKEN_YOUNG_ANEW) || defined(BROKEN_REREAD) || defined(BROKEN_STORE)
#define WRITERS	3				/* those fail with three */
#else
#define WRITERS	2
#endif
#define LSNS	24
#define NEVER	3

byte key = 0;				/* words */
byte entry[3];
byte deadline[LSNS];			/* of the key's version with this lsn */
bool there[LSNS];			/* the entry with this lsn is no tombstone */
byte insert = 0;
byte start[WRITERS];			/* lsn that is reserved and not filled; 0: none */
byte next = 0;

#define COVERED	(deadline[key] == 0 || there[entry[1]] || (deadline[key] == 2 && there[entry[2]]))

inline reserve(l)
{
	atomic { insert++; assert(insert < LSNS); l = insert }
}

inline announce(d)
{
	if
	:: atomic { d < next -> next = d }
	:: atomic { else -> skip }
	fi
}

inline completed(l, yes)
{
	atomic {
		yes = (start[0] == 0 || start[0] > l) && (start[1] == 0 || start[1] > l);
#if WRITERS == 3
		yes = yes && (start[2] == 0 || start[2] > l);
#endif
	}
}

proctype W(byte me)
{
	byte d, s, t, l;
	bool need, lost;

	if
	:: d = 0
	:: d = 1
	:: d = 2
	fi;
	s = key;
	need = d != 0 && (deadline[s] == 0 || deadline[s] > d);
	if
	:: need -> t = entry[d]
	:: else
	fi;
	atomic { insert++; assert(insert < LSNS); l = insert; start[me] = l };
#ifdef BROKEN_KEY_FIRST
	atomic {
		deadline[l] = d;
		if
		:: key == s -> key = l
		:: else -> lost = true
		fi
	};
#endif
#ifdef BROKEN_ANNOUNCE_FIRST
	if
	:: need -> announce(d)
	:: else
	fi;
#endif
	if
	:: need && !lost ->
		atomic {
			if
			:: entry[d] == t -> there[l] = true; entry[d] = l
			:: else -> lost = true
			fi
		};
#ifndef BROKEN_ANNOUNCE_FIRST
		if
		:: !lost -> announce(d)
		:: else
		fi
#endif
	:: else
	fi;
#ifndef BROKEN_KEY_FIRST
	atomic {
		deadline[l] = d;
		if
		:: !lost && key == s -> key = l
		:: else
		fi
	};
#endif
	start[me] = 0
}

proctype X()
{
	byte found, w, s, t, l;
	bool old, armed;

again:
#ifndef BROKEN_NEVER_AFTER
	next = NEVER;
#endif
	armed = false;
	found = entry[1];
	if
	:: !there[found] -> goto nothing
	:: else
	fi;
#ifndef BROKEN_YOUNG
	completed(found, old);
	if
	:: !old -> goto again
	:: else
	fi;
#endif
look:
	/* delete_key */
	s = key;
	if
	:: deadline[s] == 1 ->
		w = entry[1];
		reserve(l);
		atomic {
			if
			:: key == s -> deadline[l] = 0; key = l
			:: else -> goto look
			fi
		};
		atomic {
			if
			:: entry[1] == w -> entry[1] = l
			:: else
			fi
		};
		goto again
#ifndef BROKEN_NO_ARM
	:: deadline[s] == 2 && !armed ->
		t = entry[2];
		reserve(l);
		atomic {
			if
			:: entry[2] == t -> there[l] = true; entry[2] = l; armed = true
			:: else -> goto look
			fi
		}
#endif
	:: else
	fi;
	/* drop */
	w = entry[1];
	if
	:: !there[w] -> goto again
	:: else
	fi;
#if !defined(BROKEN_YOUNG) && !defined(BROKEN_YOUNG_ANEW)
	if
	:: w != found ->
		completed(w, old);
		if
		:: !old -> goto look
		:: else
		fi
	:: else
	fi;
#endif
	s = key;
	if
	:: deadline[s] == 1 -> goto look
#ifndef BROKEN_NO_ARM
	:: deadline[s] == 2 && !armed -> goto look
#endif
	:: else
	fi;
#ifdef BROKEN_REREAD
	w = entry[1];
#endif
	reserve(l);
	atomic {
		if
#ifdef BROKEN_STORE
		:: true -> entry[1] = l
#else
		:: entry[1] == w -> entry[1] = l
		:: else
#endif
		fi
	};
	goto again;
nothing:
#ifdef BROKEN_NEVER_AFTER
	next = NEVER;
#endif
end_asleep:
	next <= 1;
	goto again
}

proctype Monitor()
{
end_watching:
	atomic { !COVERED -> assert(false) }
}

init
{
	byte i;

	atomic {
		next = NEVER;
		for (i : 0 .. WRITERS - 1) {
			run W(i)
		}
		run X();
		run Monitor()
	}
	timeout;
	assert(deadline[key] != 1)
}
