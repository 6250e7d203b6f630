/*
 * m5_gate.pml -- completed, flushed and the gate: no reply shows what a crash takes back.
 *
 * Stands for publish in src/backend/access/store/store.c (from wal_reserve to wal_fill) with
 * art_publish; wal_reserve, wal_fill, wal_fill_void and wal_completed_update in
 * src/backend/access/wal/walring.c; the walwriter; the gate in src/backend/net; recovery.
 *
 * One key.  A record is one unit of log, so record n ends at LSN n, and the leaf that it wrote
 * has lsn n.  A process slot says from where on the process has something to fill (0: idle).
 *
 *	W	(twice) reads the slot word s, reserves, publishes by CAS s -> N, fills (VOID if the CAS
 *		failed, and starts over), sets its process slot idle, replies when flushed >= N.lsn.
 *	R	reads the leaf, replies when flushed >= its lsn.
 *	L	(walwriter) computes completed, writes the records up to it in any order, advances
 *		flushed.
 *	X	crashes the system at any moment: recovery replays what is on disk from the start up to
 *		the first record that is not valid there.
 *
 * Properties.  At a crash every version that a reply has shown is on disk as a write, and
 * recovery ends with it or a later one.  Every record below flushed is valid.  The versions in
 * the slot grow, so that the order of the log is the order of the versions.
 *
 * Left out: wake-ups (m5_wakeup; here everybody waits by looking), deaths (m4, m6), the ring's
 * reuse, block padding, more than one key, several records in one batch write being torn
 * inside a record (a record is valid or not).
 *
 * Twin BROKEN_SLOTS_FIRST (assertion): completed reads the process slots before insert.
 * Twin BROKEN_FILL_LATE (assertion): the process slot is idle before the record is filled.
 * Twin BROKEN_READ_UNGATED (assertion): the reader replies at once.
 * Twin BROKEN_READ_LATE (assertion): the slot word that the CAS needs is read after the
 *	reservation; the version with the lower LSN may replace the one with the higher.
 * Twin BROKEN_VOID_LATE (assertion): after a failed CAS the process slot is idle before the VOID
 *	is filled in.
 */
#define WRITERS 2
#define RECORDS 5			/* at most: two writes, and VOIDs */

mtype = { NOTHING, WRITE, VOID };

byte slot = 0;				/* the key's leaf, by its lsn */
byte insert = 0;
byte pending[WRITERS];			/* process slot: lsn of the record to fill, 0 idle */
mtype ring[RECORDS + 1] = NOTHING;	/* what is filled in, by lsn */
mtype disk[RECORDS + 1] = NOTHING;
byte completed = 0, flushed = 0;
bool shown[RECORDS + 1];		/* ghost: versions that replies have shown */
bool crashed = false;

proctype W(byte me)
{
	byte s, l;
	bool ok;

again:
#ifndef BROKEN_READ_LATE
	s = slot;
#endif
	do						/* reserve */
	:: l = insert;
		pending[me] = l + 1;			/* TENTATIVE */
		atomic {
			if
			:: insert == l -> insert++; l++; break
			:: else
			fi
		}
	od;
#ifdef BROKEN_READ_LATE
	s = slot;
#endif
	atomic {					/* publish */
		ok = (slot == s);
		if
		:: ok -> assert(slot < l); slot = l
		:: else
		fi;
		s = 0
	};
#ifdef BROKEN_FILL_LATE
	pending[me] = 0;
#endif
	if
	:: ok -> ring[l] = WRITE
	:: else ->
#ifdef BROKEN_VOID_LATE
		pending[me] = 0;
#endif
		ring[l] = VOID
	fi;
	pending[me] = 0;
	if
	:: !ok -> l = 0; goto again
	:: else
	fi;
	if
	:: flushed >= l -> shown[l] = true		/* the reply */
	:: crashed
	fi
}

proctype R()
{
	byte l;

	l = slot;
	if
#ifdef BROKEN_READ_UNGATED
	:: true -> shown[l] = true
#else
	:: flushed >= l -> shown[l] = true
#endif
	:: crashed
	fi
}

proctype L()
{
	byte c, i;

	do
	:: !crashed && flushed < insert ->
#ifdef BROKEN_SLOTS_FIRST
		c = RECORDS + 1;
#else
		c = insert;
#endif
		do					/* wal_completed_update */
		:: i < WRITERS ->
			atomic {
				if
				:: pending[i] != 0 && pending[i] - 1 < c -> c = pending[i] - 1
				:: else
				fi;
				i++
			}
		:: else -> break
		od;
		i = 0;
#ifdef BROKEN_SLOTS_FIRST
		atomic {
			if
			:: c > insert -> c = insert
			:: else
			fi
		};
#endif
		atomic {
			if
			:: completed < c -> completed = c
			:: else
			fi;
			c = 0
		};
		do					/* one batch, its records in any order */
		:: atomic { flushed < completed && disk[flushed + 1] != ring[flushed + 1] ->
				disk[flushed + 1] = ring[flushed + 1] }
		:: atomic { flushed + 1 < completed && disk[flushed + 2] != ring[flushed + 2] ->
				disk[flushed + 2] = ring[flushed + 2] }
		:: atomic { flushed < completed && disk[flushed + 1] == ring[flushed + 1] &&
				(flushed + 1 >= completed || disk[flushed + 2] == ring[flushed + 2]) ->
			if
			:: flushed + 2 <= completed -> flushed = flushed + 2
			:: else -> flushed = completed
			fi }
		:: flushed >= completed -> break
		:: crashed -> break
		od
	:: crashed -> break
	od
}

/* A crash, and what recovery finds. */
proctype X()
{
	byte i, got;

	d_step {
		crashed = true;
		i = 1;
		do
		:: i <= RECORDS && disk[i] != NOTHING ->
			if
			:: disk[i] == WRITE -> got = i
			:: else
			fi;
			i++
		:: else -> break
		od;
		assert(i > flushed);			/* i - 1 records were replayed */
		i = 1;
		do
		:: i <= RECORDS ->
			assert(!shown[i] || (disk[i] == WRITE && got >= i));
			i++
		:: else -> break
		od
	}
}

init
{
	atomic {
		run W(0); run W(1); run R(); run L(); run X()
	}
}
