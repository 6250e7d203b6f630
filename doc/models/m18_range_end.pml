/*
 * m18_range_end.pml -- a transaction that has looked at a range of keys, and writers who do not wait for it for ever.
 *
 * Stands for store_txn_range, announce, range_is_over, ranges_commit, ranges_hold, ranges_give_up and
 * ranges_withdraw in src/backend/access/store/store_txn.c, and for the look at the table in attempt, store.c.
 *
 * T announces its range, waits one grace period, counts the keys, and commits what rests on that number: it puts the
 * descriptor of this commit into the state of the range, then commits by a CAS on the descriptor's status.  A
 * commit may come to nothing for another reason (a key was in the way): then the range is held as before, and
 * T tries again with another descriptor.  Where the range was ended T counts anew under one that
 * it announces again.  Or it writes nothing: then it only looks whether the range is held still.  T may stand
 * still for ever at any step.
 *
 * Writers add one key each: in an epoch they look at the range; if it is announced they wait, or, when that has
 * been too long, end it: a commit under way is decided against first.  "Too long" is anybody's choice here.
 *
 * Properties.  (1) When T commits there are as many keys as it has counted.  (2) When T has only read, there were as
 * many when its last look began.  (3) Nobody looks into a descriptor that is used for something
 * else.  (4) Writers end, wherever T stands still.
 *
 * Left out: LSNs (a writer that goes on past a committed T reserves later), several ranges of one
 * transaction (each has its state), two transactions with overlapping ranges (one waits as a writer does).
 *
 * Twin BROKEN_NO_GRACE (assertion): T counts as soon as it has announced.
 * Twin BROKEN_NO_STATE (assertion): a commit does not say so in the range's state.
 * Twin BROKEN_STORE_STATUS (assertion): T commits by a store.
 * Twin BROKEN_END_UNDECIDED (assertion): a writer ends a range without deciding against the commit.
 * Twin BROKEN_DECIDE_ONLY (assertion): a writer decides against the commit and does not end the range.
 * Twin BROKEN_ONE_MARK (assertion): the state says that there is a commit, not which.
 * Twin BROKEN_READ_UNCHECKED (assertion): who only reads does not look at the state at the end.
 * Twin BROKEN_RETIRE_FIRST (assertion): the descriptor is retired while the range still names it.
 * Twin BROKEN_NO_END (invalid end state): writers wait for T.
 */
#define WRITERS 2
#define HELD 0
#define ENDED 1
#define FIRST 2				/* descriptors: FIRST and FIRST + 1 */
#define TRIES 3

mtype = { UNDECIDED, COMMITTED, ABORTED };

bool announced = false;
byte state = HELD;
mtype status[4];
bool used[4];				/* a descriptor's memory is its own */
byte keys = 0;
bool inside[WRITERS];		/* in an epoch */
bool waits[WRITERS];		/* T's grace period: was inside when it began */
bool busy[4];				/* retired, and this grace period is not over */
bool old_0[4];				/* ... for it: writers that were inside */
bool old_1[4];

#ifdef BROKEN_ONE_MARK
#define NAMES(d) FIRST
#else
#define NAMES(d) (d)
#endif

inline leave(me)
{
	atomic {
		inside[me] = false;
		waits[me] = false;
		if
		:: me == 0 -> old_0[2] = false; old_0[3] = false
		:: else -> old_1[2] = false; old_1[3] = false
		fi
	}
}

/* retire -- it may be used again when all who were inside then have left */
inline retire(d)
{
	atomic { busy[d] = true; old_0[d] = inside[0]; old_1[d] = inside[1]; used[d] = false }
}

/* a writer's use of the descriptor: nobody may have taken its memory since he was told of it */
inline look_into(d)
{
	assert(used[d] || busy[d])
}

proctype Writer(byte me)
{
	byte st, d;
	bool was;

again:
	atomic { inside[me] = true }
	if
	:: !announced -> goto go
	:: else
	fi;
	st = state;
look:
	if
	:: st == ENDED -> goto go
#ifdef BROKEN_NO_END
	:: st != ENDED -> leave(me); (!announced); goto again
#else
	:: st != ENDED -> leave(me); goto patient			/* not long enough yet */
	:: st == HELD -> goto end_it
	:: st >= FIRST ->
		d = st;
#ifdef BROKEN_ONE_MARK
		d = (used[2] -> 2 : 3);
#endif
#ifndef BROKEN_END_UNDECIDED
		look_into(d);
		if
		:: status[d] == COMMITTED -> goto go
		:: else
		fi;
		look_into(d);
		atomic {
			was = (status[d] == COMMITTED);
			if
			:: status[d] == UNDECIDED -> status[d] = ABORTED
			:: else
			fi
		}
		if
		:: was -> goto go
		:: else
		fi;
#endif
#ifdef BROKEN_DECIDE_ONLY
		goto go;
#endif
		goto end_it
#endif
	fi;
end_it:
	atomic {
		if
		:: state == st -> state = ENDED; goto go
		:: else -> st = state
		fi
	}
	goto look;
patient:
	/* looks again only when something may be different, or after a while: he must not turn for ever here */
	atomic { inside[me] = true }
	if
	:: !announced -> goto go
	:: announced -> st = state; goto impatient
	fi;
impatient:
	if
	:: st == ENDED -> goto go
	:: st == HELD -> goto end_it
	:: st >= FIRST -> goto look
	fi;
go:
	keys++;
	leave(me)
}

proctype T()
{
	byte counted, d = FIRST;
	byte tries = 0;
	bool ok, same;

announce:
	if
	:: tries >= TRIES -> goto end_T
	:: tries < TRIES -> tries++
	:: goto end_T				/* it stands still; so everywhere */
	fi;
	state = HELD;
	announced = true;
	atomic { waits[0] = inside[0]; waits[1] = inside[1] }
#ifndef BROKEN_NO_GRACE
	if
	:: !waits[0] && !waits[1]
	:: goto end_T
	fi;
#endif
	counted = keys;
	if
	:: goto commit
	:: goto end_T
	:: /* only reading */
		same = (counted == keys);
#ifndef BROKEN_READ_UNCHECKED
		if
		:: state == ENDED -> announced = false; goto announce
		:: else
		fi;
#endif
		assert(same);
		announced = false;
		goto end_T
	fi;
commit:
	/* a descriptor: memory that nobody may have seen in its former life */
	if
	:: !used[2] && !(busy[2] && (old_0[2] || old_1[2])) -> d = 2
	:: !used[3] && !(busy[3] && (old_0[3] || old_1[3])) -> d = 3
	:: goto end_T
	fi;
	atomic { busy[d] = false; used[d] = true; status[d] = UNDECIDED }
#ifndef BROKEN_NO_STATE
	atomic {
		ok = (state == HELD);
		if
		:: ok -> state = NAMES(d)
		:: else
		fi
	}
	if
	:: !ok -> retire(d); announced = false; goto announce
	:: ok
	:: goto end_T
	fi;
#endif
	if
	:: tries < TRIES -> tries++; goto nothing		/* it could not hold its keys */
	:: goto end_T
	:: true
	fi;
	atomic {
#ifdef BROKEN_STORE_STATUS
		ok = true; status[d] = COMMITTED;
#else
		ok = (status[d] == UNDECIDED);
		if
		:: ok -> status[d] = COMMITTED
		:: else
		fi;
#endif
		if
		:: ok -> assert(counted == keys)
		:: else
		fi
	}
	if
	:: ok ->
		if
		:: true
		:: goto end_T
		fi;
		announced = false;
		retire(d);
		goto end_T
	:: !ok -> tries++
	fi;
nothing:
#ifdef BROKEN_RETIRE_FIRST
	retire(d);
	if
	:: true
	:: goto end_T
	fi;
	/* others take the memory */
	if
	:: !(old_0[d] || old_1[d]) -> busy[d] = false
	:: true
	fi;
#endif
	atomic {
		if
		:: state == NAMES(d) -> state = HELD
		:: else
		fi
	}
	if
	:: true
	:: goto end_T
	fi;
#ifndef BROKEN_RETIRE_FIRST
	atomic {
		if
		:: status[d] == UNDECIDED -> status[d] = ABORTED
		:: else
		fi
	}
	retire(d);
#endif
	if
	:: tries > TRIES -> goto end_T
	:: else
	fi;
	goto commit;
end_T:
	skip
}

init
{
	atomic { run T(); run Writer(0); run Writer(1) }
}
