/*
 * m14_txn.pml -- a transaction that reads one key and writes another, beside single writers of both.
 *
 * Stands for hold_key, decide_now, finish_key and store__meet_descriptor in
 * src/backend/access/store/store_txn.c, attempt and publish in store.c, art_publish_at,
 * art_swap_leaf and art_vacate_leaf in src/backend/access/art/art_change.c.
 *
 * T holds x (read) and y (written) by descriptor leaves, reserves its LSN, gives it to its new
 * leaf, commits by one CAS, and puts plain leaves, or a null, in the descriptors' places.  It may
 * stand still for ever at any step.  WX writes x, WY writes y: read the slot, decide, reserve, publish
 * by a CAS on what was read; who meets a descriptor leaf finishes what is decided, or waits, or decides
 * himself (txn_stall_us).  R reads y, then x, then y as a reader does who looks through descriptors.
 *
 * A slot holds a word's number; kind tells what it is.  A null has a number, too: what is put
 * back is another one than was there.
 *
 * Properties.  (1) No version of x lies between the one that T read and T's own LSN.  (2) What R is
 * shown of y has an LSN, which never goes down, and T's leaf is shown only if T is committed.  (3) Versions of
 * a key come in the order of their LSNs.  (4) Everything that was in a slot is retired exactly once, by the time
 * all have ended, unless it is there still.  (5) WX, WY and R end, wherever T stands still.
 *
 * Left out: links, dirty LSNs, frozen nodes (an abort of its own), reclamation, several transactions:
 * they meet each other as WX meets T.
 *
 * Twin BROKEN_NULL_PLAIN (assertion): a null that is put back is the null that was there.
 * Twin BROKEN_SAME_LEAF (assertion): the leaf that was there is put back, not a copy.
 * Twin BROKEN_NOT_HELD (assertion): x is not held but looked at again before T commits.
 * Twin BROKEN_RESERVE_FIRST (assertion): T reserves before it holds.
 * Twin BROKEN_LSN_LATE (assertion): T commits, then gives its leaf the LSN.
 * Twin BROKEN_STORE_STATUS (assertion): T commits by a store; somebody may have aborted it.
 * Twin BROKEN_OVERWRITE (assertion): a writer takes an undecided descriptor leaf for a plain one.
 * Twin BROKEN_NO_ABORT (invalid end state): nobody decides in T's stead.
 * Twin BROKEN_LOSER_RETIRES (assertion): who loses the CAS that finishes retires, too.
 */
#define X 0
#define Y 1
#define WORDS 14
/* words have fixed numbers: 1, 2 what is there at first, 3 to 5 T's descriptor leaves and new leaf, then one new leaf
 * for each writer and one copy for each who finishes; one that was not published is used again */
#define DX 3
#define DY 4
#define N 5
#define NEW(key) (6 + key)
#define COPY_T(key) (8 + key)
#define COPY_W(key) (10 + key)

mtype = { NUL, LEAF, DESC };
mtype = { UNDECIDED, COMMITTED, ABORTED };

mtype kind[WORDS];
byte lsn[WORDS];
byte previous[WORDS];		/* of a descriptor leaf: the word that was there */
byte next[WORDS];			/* and T's new leaf; 0: the key is read */
byte retired[WORDS];
byte slot[2];
byte insert = 2;
mtype status = UNDECIDED;

byte t_lsn = 0;
byte t_read = 0;			/* ghost: LSN of what T read of x */
bool t_shown = false;

/* ghost: versions published */
byte newest[2];
bool between = false;		/* a version of x that T did not see, and a lower LSN than T's */
byte x_above = 0;			/* LSN of the first version of x that was published over what T read */

inline make(w, k, l)
{
	kind[w] = k; lsn[w] = l
}

inline retire(w)
{
	retired[w]++;
	assert(retired[w] == 1)
}

inline cas(key, old, new, ok)
{
	ok = (slot[key] == old);
	if
	:: ok -> slot[key] = new
	:: else
	fi
}

/* a version comes into force by this step */
inline shown(key, l)
{
	assert(l > newest[key]);
	newest[key] = l
}

/* finish -- the key's descriptor leaf d goes, if it is there still; the outcome is known. */
inline finish(key, d, fresh, with, ok)
{
	if
	:: status == COMMITTED && next[d] != 0 -> with = next[d]
#ifdef BROKEN_SAME_LEAF
	:: !(status == COMMITTED && next[d] != 0) && kind[previous[d]] == LEAF -> with = previous[d]
#else
	:: !(status == COMMITTED && next[d] != 0) && kind[previous[d]] == LEAF -> atomic { with = fresh; make(fresh, LEAF, lsn[previous[d]]) }
#endif
#ifdef BROKEN_NULL_PLAIN
	:: !(status == COMMITTED && next[d] != 0) && kind[previous[d]] == NUL -> with = previous[d]
#else
	:: !(status == COMMITTED && next[d] != 0) && kind[previous[d]] == NUL -> atomic { with = fresh; make(fresh, NUL, 0) }
#endif
	fi;
	atomic {
		cas(key, d, with, ok);
		if
#ifdef BROKEN_LOSER_RETIRES
		:: true ->
#else
		:: ok ->
#endif
			retire(d);
			if
			:: with != previous[d] && kind[previous[d]] == LEAF -> retire(previous[d])
			:: else
			fi;
			if
			:: next[d] != 0 && with != next[d] -> retire(next[d])
			:: else
			fi
		:: else
		fi
	}
}

proctype T()
{
	byte s, with;
	bool ok = false;

	if
	:: goto stands_still
	:: true
	fi;
#ifdef BROKEN_RESERVE_FIRST
	atomic { insert++; t_lsn = insert };
#endif
	/* (1) hold x */
#ifdef BROKEN_NOT_HELD
	s = slot[X];
	t_read = lsn[s];
#else
	do
	:: !ok ->
		s = slot[X];
		atomic {
			make(DX, DESC, lsn[s]);
			previous[DX] = s;
			cas(X, s, DX, ok);
			if
			:: ok -> t_read = lsn[s]
			:: else
			fi
		}
	:: else -> break
	od;
#endif
	if
	:: goto stands_still
	:: true
	fi;
	make(N, LEAF, 0);
	ok = false;
	do
	:: !ok ->
		s = slot[Y];
		atomic {
			make(DY, DESC, lsn[s]);
			previous[DY] = s; next[DY] = N;
			cas(Y, s, DY, ok)
		}
	:: else -> break
	od;
	if
	:: goto stands_still
	:: true
	fi;
	/* (2) reserve, (3) commit */
#ifndef BROKEN_RESERVE_FIRST
	atomic { insert++; t_lsn = insert };
#endif
#ifdef BROKEN_NOT_HELD
	if
	:: lsn[slot[X]] != t_read ->
		atomic {
			if
			:: status == UNDECIDED -> status = ABORTED
			:: else
			fi
		}
	:: else
	fi;
#endif
#ifndef BROKEN_LSN_LATE
	lsn[N] = t_lsn;
#endif
	if
	:: goto stands_still
	:: true
	fi;
	atomic {
#ifdef BROKEN_STORE_STATUS
		if
		:: true ->
#else
		if
		:: status == UNDECIDED ->
#endif
			status = COMMITTED;
#if defined(BROKEN_LSN_LATE)
			t_shown = true
#else
			shown(Y, t_lsn);
			if
			:: x_above != 0 && x_above < t_lsn -> between = true
			:: else
			fi
#endif
		:: else
		fi
	};
#ifdef BROKEN_LSN_LATE
	lsn[N] = t_lsn;
#endif
	assert(!between);
	if
	:: goto stands_still
	:: true
	fi;
	/* (5) */
#ifndef BROKEN_NOT_HELD
	finish(X, DX, COPY_T(X), with, ok);
#endif
	finish(Y, DY, COPY_T(Y), with, ok);
	goto done;
stands_still:
end:
	false;
done:
	skip
}

proctype W(byte key)
{
	byte s, l, with;
	bool ok = false, mine;

	do
	:: !ok ->
		s = slot[key];
		mine = true;
		if
		:: kind[s] == DESC ->
#ifdef BROKEN_OVERWRITE
			if
			:: status == UNDECIDED
			:: else -> mine = false; finish(key, s, COPY_W(key), with, ok); ok = false
			fi
#else
			mine = false;
			if
			:: status != UNDECIDED				/* a moment */
#ifndef BROKEN_NO_ABORT
			:: atomic { status == UNDECIDED -> status = ABORTED }
#endif
			fi;
			finish(key, s, COPY_W(key), with, ok);
			ok = false
#endif
		:: else
		fi;
		if
		:: mine ->
			atomic { insert++; l = insert };
			atomic {
				make(NEW(key), LEAF, l);
				cas(key, s, NEW(key), ok);
				if
				:: ok ->
					shown(key, l);
					if
					:: kind[s] == LEAF || kind[s] == DESC -> retire(s)
					:: else
					fi;
					if
					:: key == X && t_lsn != 0 && status == COMMITTED && l < t_lsn && l > t_read -> between = true
					:: key == X && l > t_read && x_above == 0 && (status == UNDECIDED) && t_read != 0 -> x_above = l
					:: else
					fi;
					assert(!between)
				:: else
				fi
			}
		:: else
		fi
	:: else -> break
	od
}

/* what a reader is shown of a word: the LSN, 0 for absent */
inline look(key, v)
{
	atomic {
		v = slot[key];
		if
		:: kind[v] == DESC && next[v] != 0 && status == COMMITTED ->
			v = lsn[next[v]];
			assert(v != 0)
		:: kind[v] == DESC && !(next[v] != 0 && status == COMMITTED) -> v = lsn[previous[v]]
		:: else -> v = lsn[v]
		fi
	}
}

proctype R()
{
	byte first, second;

	look(Y, first);
	look(X, second);
	look(Y, second);
	assert(second >= first);
	assert(second != t_lsn || second == 0 || status == COMMITTED)
}

init
{
	atomic {
/* one key is absent at first, the other is there */
		if
		:: kind[1] = NUL; lsn[1] = 0; kind[2] = LEAF; lsn[2] = 2; newest[Y] = 2
		:: kind[1] = LEAF; lsn[1] = 1; newest[X] = 1; kind[2] = NUL; lsn[2] = 0
		fi;
		slot[X] = 1; slot[Y] = 2;
		run T(); run W(X); run W(Y); run R()
	}
}
