/*
 * store_txn.c -- transactions: several reads and writes that happen as one.
 *
 * Running.  A transaction locks nothing while its commands run.  What it reads it
 * reads as anybody does, and notes which version it was shown; what it writes
 * stays in its private memory, where its own later commands find it.  Pages that
 * must be read from disk are waited for in this part.
 *
 * Committing (commit), numbered as in the design; one epoch, no sleep, no system call:
 *
 *   (0) the map and the ranges that others have announced are looked at, as every
 *       writer does; so an announcer's grace period waits for us, or we for him
 *   (1) in key order a descriptor leaf is put on every key that was read, written or
 *       watched.  The leaf that it replaces must be the version that was shown; else
 *       nothing has happened yet, and the commands must run again
 *   (2) one record is reserved for all
 *   (3) every path is raised to its LSN; the new leaves get it; the LSN goes into the
 *       descriptor, and one CAS makes it COMMITTED: from then on everybody sees all of
 *       it, for everybody looks through descriptor leaves (store__resolve)
 *   (4) the record is filled
 *   (5) the descriptor leaves are replaced: written keys get their new leaf, the
 *       others, and all of them after an abort, a fresh copy of what was there
 *
 * Who wants to write a key with a descriptor leaf (or to sweep it, or to prewarm it) finishes (5) for it if the outcome is
 * known; else he waits a moment, and after txn_stall_us takes the outcome into his own
 * hands: CAS UNDECIDED -> ABORTED.  So a process that stands still inside (1) to (3)
 * holds nobody up for longer, and none for ever.  What is aborted that way begins (1) anew in
 * another turn of the loop, and may take twice as long: or many keys would never be held
 * all at once while others write some of them.  Readers never wait: of an undecided or aborted
 * transaction they take the previous version, and where the overlay had none, the base's.
 *
 * Why the order of versions is right.  All that it read or wrote is held from (1) on:
 * whoever writes one of these keys later does it after (3), with an LSN above; whoever
 * wrote it before was published before (1).  A writer that has reserved before (2) and
 * wants to publish after (1) finds another word in the slot than the one he read, and starts
 * over.  For that no word may come back that somebody may have read before (1): what is
 * put back after a read or an abort is a fresh copy, and a null that is put back is marked
 * (art_vacate_leaf).  With a plain null there a writer that read null before (1) and
 * reserved before (2) could publish after (5): below T in the log, but not seen by T.
 *
 * Why a version that was shown from the base may be trusted at (1): the overlay has no
 * leaf now, and the root in force has the cut it had then.  A version published in between
 * has an LSN above that cut, and none such leaves memory while that root is in force.
 *
 * Links.  The table of snapshots is read inside the epoch before the new leaves are
 * built, so what checkpoint.c says of single writers holds for all leaves of a transaction.
 *
 * References.  A descriptor lives as long as a descriptor leaf names it: 'leaves' counts
 * them, plus one for the transaction itself; whoever takes the last one away
 * retires it.  Who wins the CAS that takes a descriptor leaf away retires it, and what
 * it held back: the replaced chain, or the new leaf that came to nothing.  Where there is
 * no memory for a fresh copy the descriptor leaf stays, decided, until the next writer, or the sweeper.
 *
 * Ranges (store_txn_range): a small table, looked at by every writer (one load while it
 * is empty).  Announce, one grace period: then no other writer is inside the range,
 * and all later ones park.  Of two that overlap the later withdraws.  A committer that
 * meets another's range while it holds ranges itself, with a later ticket, gives its own up and
 * begins anew, and announces none before the other one is gone, nor while somebody changes the
 * map: so of those that wait for each other one goes on.  All ranges of a transaction have
 * the ticket of its first: with one for each, whoever has the first and the third would wait for whoever
 * has the second, and he for the third.  doc/models: m17_ranges.
 * Ranges are held over many turns of the loop, so who waits for one must not wait for ever: if its owner has
 * not been at work for txn_stall_us the range is ended (range_is_over), by a CAS on its state.  A commit puts its descriptor
 * there first: then it must be decided against before the range can be ended; m18_range_end.
 *
 * A change of the map (FLUSHDB, SWAPDB) announces itself as store_map.c does, and holds
 * until the transaction ends: nobody else writes meanwhile.  The new map is the first
 * change in the record and is put in force between (3) and (4).  Readers that do not take part
 * may see a key of another database a moment before the map.
 *
 * Who is overtaken: a run that reads many keys, some of which others write all the time, would
 * find them changed whenever it comes to its commit, and so for ever.  After some runs,
 * or some ten thousand keys in vain, it announces a range as well, before its first command (store_txn_begin).
 *
 * Only reading: (1) to (5) are left out: the versions are looked at once more, in one
 * epoch; if none has changed all of them were there at the moment when the last one was shown.
 *
 * Workers run this.  One that dies leaves a descriptor that says what to do; today all
 * are restarted then.
 */
#include "common/c.h"

#include "access/store/evict.h"
#include "access/store/store_internal.h"
#include "common/crc32c.h"
#include "common/figure.h"
#include "storage/file/file.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"
#include "utils/settings.h"

/* ---- what lies in shared memory ---- */

enum { TXN_UNDECIDED, TXN_COMMITTED, TXN_ABORTED };

#define TXN_MAGIC UINT64_C(0x4e58544552415254)

typedef struct TxnDescriptor
{
	uint64		magic;
	_Atomic uint32 status;		/* TXN_*; leaves UNDECIDED once, by CAS */
	_Atomic uint32 leaves;		/* descriptor leaves in the tree, plus one for the transaction */
	uint64		started_us;		/* clock_mono_us; constant */
	uint64		patience_us;	/* how long it may hold up a writer; constant */
	Lsn			lsn;			/* stored before COMMITTED */
} TxnDescriptor;

/* TxnBody -- the value of a descriptor leaf: constant once it is published */
typedef struct TxnBody
{
	Off			descriptor;
	Off			previous;		/* the leaf that was there; 0: none */
	Off			next;			/* the new one; 0: the key is read or watched */
} TxnBody;

static TxnBody
body_of(const Leaf *leaf)
{
	TxnBody		body;

	Assert((leaf_flags(leaf) & LEAF_DESCRIPTOR) && leaf->value_len == sizeof(body));
	memcpy(&body, leaf_inline_value(leaf), sizeof(body));
	return body;
}

static TxnDescriptor *
descriptor_of(const TxnBody *body)
{
	TxnDescriptor *d = seg_ptr(body->descriptor);

	Verify(d->magic == TXN_MAGIC);
	return d;
}

static uint32
status_of(TxnDescriptor *d)
{
	return atomic_load_explicit(&d->status, memory_order_acquire);	/* acquire [txn-status]: LSNs and links of the new leaves */
}

const Leaf *
store__resolve_descriptor(const Leaf *leaf)
{
	TxnBody		body = body_of(leaf);

	if (body.next != 0 && status_of(descriptor_of(&body)) == TXN_COMMITTED)
		return seg_ptr(body.next);
	return body.previous != 0 ? seg_ptr(body.previous) : NULL;
}

static void
descriptor_release(Off off)
{
	TxnDescriptor *d = seg_ptr(off);

	/* acq_rel [txn-leaves]: whoever takes the last one away comes after all others */
	if (atomic_fetch_sub_explicit(&d->leaves, 1, memory_order_acq_rel) == 1)
		mem_retire(off, sizeof(TxnDescriptor));
}

/* finish_by -- puts 'with' (0: a null) in the descriptor leaf's place, and gives back what nobody needs any more; false: somebody was faster. */
static bool
finish_by(Leaf *leaf, const TxnBody *body, Off with, const ArtPlace *place)
{
	const uint8 *key = leaf_key(leaf);
	uint32		key_len = leaf->key_len;

	if (with != 0 ? !art_swap_leaf(&store_shared->root, key, key_len, leaf, with, place)
		: !art_vacate_leaf(&store_shared->root, key, key_len, leaf))
		return false;
	if (with != 0 && with == body->next)
	{
		if (body->previous != 0)
			store__replaced(seg_ptr(body->previous), leaf_link(seg_ptr(with)));
	}
	else
	{
		if (body->previous != 0)
			leaf_retire_shell(body->previous);	/* the copy has its extents, and its link */
		if (body->next != 0)
			leaf_retire(body->next);
	}
	leaf_retire(seg_off(leaf));
	descriptor_release(body->descriptor);
	return true;
}

/*
 * finish_key -- (5) for one key, if it still holds a descriptor leaf of this decided
 * transaction.  Inside an epoch.  False: no memory: the leaf stays, for the next one.
 */
static bool
finish_key(Off descriptor, const uint8 *key, uint32 key_len, const ArtPlace *place)
{
	for (;;)
	{
		Leaf	   *leaf = art_lookup(&store_shared->root, key, key_len);
		TxnBody		body;
		Off			with = 0;
		bool		committed;

		if (leaf == NULL || (leaf_flags(leaf) & LEAF_DESCRIPTOR) == 0)
			return true;
		body = body_of(leaf);
		if (body.descriptor != descriptor)
			return true;
		committed = status_of(descriptor_of(&body)) == TXN_COMMITTED;
		if (committed && body.next != 0)
			with = body.next;
		else if (body.previous != 0)
		{
			with = leaf_copy(seg_ptr(body.previous), 0);
			if (with == MEM_NONE)
				return false;
		}
		if (finish_by(leaf, &body, with, place))
			return true;
		if (with != 0 && with != body.next)
			leaf_free_shell(with);
		place = NULL;
		if (art_lookup(&store_shared->root, key, key_len) == leaf)
			return false;		/* it is there, but a frozen node could not be helped */
	}
}

/* a decision takes microseconds unless its process has lost the processor */
#define MEET_SPINS 200

StoreStatus
store__meet_descriptor(const Leaf *leaf)
{
	TxnBody		body = body_of(leaf);
	TxnDescriptor *d = descriptor_of(&body);

	Assert(epoch_inside());
	for (int i = 0; i < MEET_SPINS && status_of(d) == TXN_UNDECIDED; i++)
		__builtin_ia32_pause();
	if (status_of(d) == TXN_UNDECIDED)
	{
		uint32		undecided = TXN_UNDECIDED;

		if (clock_mono_us() - d->started_us < d->patience_us)
			return STORE_PARK_MAP;
		/* acq_rel [txn-status]: it is decided, by whom ever */
		if (atomic_compare_exchange_strong_explicit(&d->status, &undecided, TXN_ABORTED, memory_order_acq_rel,
													memory_order_acquire))
			figure_add(&store_shared->counts[my_slot->number].txn_aborted, 1);
	}
	return finish_key(body.descriptor, leaf_key(leaf), leaf->key_len, NULL) ? STORE_OK : STORE_NO_MEMORY;
}

/* ---- private memory of a transaction ---- */

typedef struct TxnEntry TxnEntry;
struct TxnEntry
{
	TxnEntry   *next;			/* of the same hash */
	uint32		hash;
	uint32		db;
	uint32		key_len;		/* with tree id */
	/* what was shown */
	bool		looked;
	bool		present;
	bool		exists;
	Lsn			lsn;
	uint64		old_expiry;
	Lsn			expired_lsn;	/* shown was a tombstone: the expired version that it replaced; LSN_NONE: none */
	Lsn			root_cut;		/* of the root in force then */
	/* what is to be written */
	bool		written;
	bool		deleted;
	bool		derived;		/* of the index of deadlines: not logged, not counted */
	uint64		expiry;
	uint8	   *value;
	uint64		value_len;
	uint64		value_size;		/* room at 'value' */
	/* while it commits */
	bool		existed;		/* present, as found under the descriptor leaf */
	bool		unknown;		/* a blind write: nobody has looked */
	bool		held;			/* its descriptor leaf is in the tree */
	Off			leaf;			/* the new one */
	ArtPlace	place;
	WalTxnChange head;
	uint8		key[];
};

typedef struct TxnWatch
{
	StoreKey	key;			/* its bytes are the transaction's */
	Lsn			lsn;
	bool		existed;
} TxnWatch;

#define TXN_RANGES_MAX STORE_RANGES
#define RANGE_DOUBLINGS 8		/* of txn_stall_us, for one whose ranges were ended before */

typedef struct TxnRange
{
	uint32		index;			/* in the shared table */
	uint32		db;
	uint64		grace;
	bool		in_force;
} TxnRange;

typedef struct ArenaBlock
{
	struct ArenaBlock *next;
	size_t		used;
	size_t		size;
	uint8		data[];
} ArenaBlock;

#define ARENA_BLOCK (16 * KIB)

struct StoreTxn
{
	ArenaBlock *arena;
	TxnEntry  **bucket;
	uint32		bucket_count;	/* a power of two */
	uint32		count;
	uint32		written;
	uint64		bytes;			/* of log, as far as written */
	bool		broken;
	bool		stale;			/* a key was shown in two versions */
	bool		too_large;
	Lsn			seen;			/* the highest LSN of what was shown */
	TxnWatch   *watch;
	uint32		watch_count;
	uint32		watch_size;
	TxnRange	range[TXN_RANGES_MAX];
	uint32		range_count;
	uint32		ended;			/* times that others have ended them, because they stood still */
	bool		grace_wait;		/* one had not even come into force: 'grace' first */
	uint64		grace;
	uint64		gave_way;		/* the ticket of the range that ours have given way to; 0: to none */
	uint32		gave_way_to;	/* ... its index */
	/* a change of the map of databases */
	StoreFlushJob change;		/* announced, while its step is 1 */
	bool		mapped;			/* 'map' counts */
	WalMapRecord map;
	uint32		attempts;		/* to find memory */
	uint32		aborted;		/* times that others have done it, because it held them up */
	/* overtaken: what was shown had changed, and the commands have to run again */
	TxnEntry   *changed;		/* the key that it was found at, of this run */
	uint32		overtaken;		/* runs */
	uint64		overtaken_keys;	/* ... and the keys that they had looked at */
	bool		claims;			/* from now on the commands run under a range: 'claim' of 'claim_db' */
	uint32		claim_db;
	uint32		claim_len;
	uint8	   *claim;
	uint8	   *gather;			/* a new value is put together here, for nothing may be allocated inside an epoch */
	uint64		gather_size;
	/* in key order; made anew when keys have come */
	TxnEntry  **sorted;
	uint32		sorted_count;
	uint32		sorted_size;
	BytePart   *part;
	uint32		part_size;
};

_Thread_local StoreTxn *store__txn;

static void *
arena_alloc(StoreTxn *t, size_t size)
{
	ArenaBlock *b = t->arena;

	size = AlignUp(size, 8);
	if (b == NULL || b->size - b->used < size)
	{
		size_t		room = Max(size, (size_t) ARENA_BLOCK);

		b = malloc(sizeof(*b) + room);
		Verify(b != NULL);
		b->used = 0;
		b->size = room;
		b->next = t->arena;
		t->arena = b;
	}
	b->used += size;
	return b->data + b->used - size;
}

/* arena_reset -- all of it goes, but for one block of the usual size. */
static void
arena_reset(StoreTxn *t, bool keep)
{
	ArenaBlock *kept = NULL;

	while (t->arena != NULL)
	{
		ArenaBlock *b = t->arena;

		t->arena = b->next;
		if (keep && kept == NULL && b->size == ARENA_BLOCK)
			kept = b;
		else
			free(b);
	}
	if (kept != NULL)
	{
		kept->used = 0;
		kept->next = NULL;
	}
	t->arena = kept;
}

StoreTxn *
store_txn_create(void)
{
	StoreTxn   *t = calloc(1, sizeof(*t));

	Verify(t != NULL);
	t->bucket_count = 16;
	t->bucket = calloc(t->bucket_count, sizeof(t->bucket[0]));
	Verify(t->bucket != NULL);
	return t;
}

static void ranges_withdraw(StoreTxn *t);
static void ranges_alive(StoreTxn *t);

void
store_txn_destroy(StoreTxn *t)
{
	if (t == NULL)
		return;
	if (store__txn == t)
		store__txn = NULL;
	ranges_withdraw(t);
	store_flush_cancel(&t->change);
	for (uint32 i = 0; i < t->watch_count; i++)
		free((void *) (uintptr_t) t->watch[i].key.data);
	free(t->watch);
	arena_reset(t, false);
	free(t->bucket);
	free(t->sorted);
	free(t->part);
	free(t->gather);
	free(t->claim);
	free(t);
}

/* ---- those that are overtaken too often ---- */

#define KEY_TREE_LEN 4			/* the tree id in front of a key */
#define OVERTAKEN_RUNS 16
#define OVERTAKEN_KEYS 10000
#define OVERTAKEN_RUNS_MIN 2

/* common_len -- how far both keys are the same. */
static uint32
common_len(const uint8 *a, uint32 a_len, const uint8 *b, uint32 b_len)
{
	uint32		len = 0;

	while (len < a_len && len < b_len && a[len] == b[len])
		len++;
	return len;
}

/*
 * claim_range -- a run was in vain.  If others were faster often enough, or if that has cost
 * enough, the next run begins under a range: what its keys have in common, in the database
 * in which it was overtaken.
 */
static void
claim_range(StoreTxn *t)
{
	const TxnEntry *changed = t->changed;
	uint32		len;

	t->overtaken++;
	t->overtaken_keys += t->count;
	if (changed == NULL || changed->derived || t->overtaken < OVERTAKEN_RUNS_MIN ||
		(t->overtaken < OVERTAKEN_RUNS && t->overtaken_keys < OVERTAKEN_KEYS))
		return;
	len = changed->key_len;
	for (uint32 i = 0; i < t->bucket_count; i++)
		for (const TxnEntry *e = t->bucket[i]; e != NULL; e = e->next)
			if (e->db == changed->db && !e->derived)
				len = common_len(changed->key, len, e->key, e->key_len);
	if (len < KEY_TREE_LEN)
		return;					/* the map has changed in between */
	free(t->claim);
	t->claim_db = changed->db;
	t->claim_len = len - KEY_TREE_LEN;
	t->claim = malloc(Max(t->claim_len, 1u));
	Verify(t->claim != NULL);
	memcpy(t->claim, changed->key + KEY_TREE_LEN, t->claim_len);
	t->claims = true;
}

StoreStatus
store_txn_begin(StoreTxn *t)
{
	StoreStatus status = likely(!t->claims) ? STORE_OK : store_txn_range(t, t->claim_db, t->claim, t->claim_len);

	return status == STORE_CHANGED ? STORE_PARK_MAP : status;	/* nothing has been shown yet, or the commit will say so */
}

void
store_txn_reset(StoreTxn *t)
{
	claim_range(t);
	t->changed = NULL;
	memset(t->bucket, 0, t->bucket_count * sizeof(t->bucket[0]));
	arena_reset(t, true);
	t->count = t->written = t->sorted_count = 0;
	t->bytes = 0;
	t->broken = t->stale = t->too_large = t->mapped = false;
	t->seen = LSN_NONE;
}

void
store_txn_use(StoreTxn *t)
{
	store__txn = t;
	if (t != NULL && t->range_count > 0)
		ranges_alive(t);
}

StoreTxn *
store_txn_in_use(void)
{
	return store__txn;
}

void
store_txn_break(StoreTxn *t)
{
	t->broken = true;
}

uint64
store_txn_bytes(const StoreTxn *t)
{
	return t->bytes;
}

uint64
store_txn_bytes_max(void)
{
	uint64		most = wal_record_max() - WAL_RECORD_HEADER;

	return set_transaction_max_bytes == 0 ? most : Min(most, (uint64) set_transaction_max_bytes);
}

void
store_txn_watch(StoreTxn *t, const StoreKey *key, Lsn version, bool existed)
{
	TxnWatch   *w;
	void	   *bytes = malloc(Max(key->len, 1u));

	Verify(bytes != NULL);
	if (key->len > 0)
		memcpy(bytes, key->data, key->len);
	if (t->watch_count == t->watch_size)
	{
		t->watch_size = t->watch_size * 2 + 8;
		t->watch = realloc(t->watch, t->watch_size * sizeof(t->watch[0]));
		Verify(t->watch != NULL);
	}
	w = &t->watch[t->watch_count++];
	w->key = (StoreKey) {key->db, key->len, bytes};
	w->lsn = version;
	w->existed = existed;
}

/* ---- entries ---- */

static uint32
hash_bytes(const uint8 *key, uint32 len)
{
	return crc32c_extend(0x5bd1e995, key, len);
}

static void
grow_buckets(StoreTxn *t)
{
	uint32		count = t->bucket_count * 4;
	TxnEntry  **bucket = calloc(count, sizeof(bucket[0]));

	Verify(bucket != NULL);
	for (uint32 i = 0; i < t->bucket_count; i++)
		for (TxnEntry *e = t->bucket[i], *next; e != NULL; e = next)
		{
			next = e->next;
			e->next = bucket[e->hash & (count - 1)];
			bucket[e->hash & (count - 1)] = e;
		}
	free(t->bucket);
	t->bucket = bucket;
	t->bucket_count = count;
}

/* entry_of -- the entry of a key with tree id; made if it is new. */
static TxnEntry *
entry_of(StoreTxn *t, uint32 db, const uint8 *key, uint32 key_len)
{
	uint32		hash = hash_bytes(key, key_len);
	TxnEntry   *e;

	for (e = t->bucket[hash & (t->bucket_count - 1)]; e != NULL; e = e->next)
		if (e->hash == hash && e->key_len == key_len && memcmp(e->key, key, key_len) == 0)
			return e;
	if (t->count >= t->bucket_count * 2)
		grow_buckets(t);
	e = arena_alloc(t, sizeof(*e) + key_len);
	memset(e, 0, sizeof(*e));
	e->hash = hash;
	e->db = db;
	e->key_len = key_len;
	memcpy(e->key, key, key_len);
	e->next = t->bucket[hash & (t->bucket_count - 1)];
	t->bucket[hash & (t->bucket_count - 1)] = e;
	t->count++;
	return e;
}

static _Thread_local uint8 txn_key[KEY_MAX];

/* entry_of_key -- the tree is the one that the database has now; (0) makes sure that it still has it. */
static TxnEntry *
entry_of_key(StoreTxn *t, const StoreKey *key)
{
	uint32		len;

	epoch_enter();				/* or the tree might be swept and its place taken by another one's */
	len = store__build_key(txn_key, store__txn_tree(t, key->db), key->data, key->len);
	epoch_leave();
	return entry_of(t, key->db, txn_key, len);
}

static uint64
log_bytes(const TxnEntry *e)
{
	if (!e->written || e->derived)
		return 0;
	return sizeof(WalTxnChange) + e->key_len + (e->deleted ? 0 : (e->expiry != 0 ? sizeof(uint64) : 0) + e->value_len);
}

static uint32
tree_of_entry(const TxnEntry *e)
{
	uint32		big_endian;

	memcpy(&big_endian, e->key, 4);
	return __builtin_bswap32(big_endian);
}

/* own_view -- of what the transaction itself has written. */
static void
own_view(const TxnEntry *e, StoreView *view)
{
	memset(view, 0, sizeof(*view));
	view->flat = e->value;
	view->present = !e->deleted;
	view->expiry = e->deleted ? 0 : e->expiry;
	view->exists = view->present && (e->expiry == 0 || e->expiry > store_clock_now);
	view->value_len = view->exists ? e->value_len : 0;
	view->lsn = STORE_LSN_PENDING;
}

/* note_shown -- inside the epoch in which the view was made; 'root_cut' was read before it. */
static void
note_shown(StoreTxn *t, TxnEntry *e, const StoreView *view, Lsn root_cut)
{
	if (e->looked && (e->lsn != view->lsn || e->present != view->present))
	{
		t->stale = true;
		t->changed = e;
	}
	e->looked = true;
	e->present = view->present;
	e->exists = view->exists;
	e->lsn = view->lsn;
	e->old_expiry = view->expiry;
	e->expired_lsn = view->leaf != NULL ? leaf_expired_lsn(view->leaf) : LSN_NONE;
	e->root_cut = root_cut;
	t->seen = Max(t->seen, view->lsn);
}

/* map_gate -- the LSN of the map record that a database stems from. */
static Lsn
map_gate(uint32 db)
{
	/* relaxed: as in store.c */
	return atomic_load_explicit(&store_shared->map_lsn[db], memory_order_relaxed);
}

/*
 * look_at -- the entry's key as it is outside the transaction; inside an epoch when it
 * says STORE_OK, and only then.
 */
static StoreStatus
look_at(StoreTxn *t, TxnEntry *e, bool with_value, StoreView *view, Lsn *gate)
{
	for (;;)
	{
		StoreStatus status = STORE_OK;
		Lsn			root_cut;
		Look		result;

		epoch_enter();
		root_cut = store__base()->root.cut;
		result = store__look(e->key, e->key_len, with_value, view);
		if (likely(result == LOOK_DONE))
		{
			note_shown(t, e, view, root_cut);
			*gate = Max(*gate, Max(view->lsn, map_gate(e->db)));
			if (unlikely(view->present && !view->exists))
				status = store__expired_gate(view->expiry, gate);
			if (status != STORE_OK)
				epoch_leave();
			return status;
		}
		epoch_leave();
		status = store__look_failed(result);
		if (status != STORE_OK)
			return status;
	}
}

StoreStatus
store__txn_read(const StoreKey *key, bool with_value, StoreShow show, void *arg, Lsn *gate)
{
	StoreTxn   *t = store__txn;
	TxnEntry   *e = entry_of_key(t, key);
	StoreView	view;
	StoreStatus status;

	if (e->written)
	{
		own_view(e, &view);
		show(&view, arg);
		return STORE_OK;
	}
	status = look_at(t, e, with_value, &view, gate);
	if (status == STORE_OK)
	{
		show(&view, arg);
		epoch_leave();
	}
	t->seen = Max(t->seen, *gate);
	return status;
}

#define GATHER_MIN (1 * KIB)
#define GATHER_KEPT (256 * KIB)

static void
gather_grow(StoreTxn *t, uint64 len)
{
	free(t->gather);
	t->gather_size = Max(len + len / 8, (uint64) GATHER_MIN);
	t->gather = malloc(t->gather_size);
	Verify(t->gather != NULL);
}

static void
gather_value(StoreTxn *t, const StoreView *view, const StoreChange *change)
{
	static _Thread_local BytePart part[STORE_NEW_PARTS_MAX];
	int			count = store__new_parts(view, change, part);
	uint8	   *to = t->gather;

	for (int i = 0; i < count; i++)
	{
		if (part[i].len > 0)
			memcpy(to, part[i].data, part[i].len);
		to += part[i].len;
	}
}

/* keep_change -- outside the epoch; the value, if any, lies in t->gather. */
static void
keep_change(StoreTxn *t, TxnEntry *e, StoreAction action, uint64 len, uint64 expiry)
{
	t->bytes -= log_bytes(e);
	t->written += !e->written;
	e->written = true;
	e->deleted = action == STORE_DELETE;
	e->expiry = e->deleted ? 0 : expiry;
	e->value_len = e->deleted ? 0 : len;
	if (e->value_len > e->value_size)
	{
		e->value_size = e->value_len;
		e->value = arena_alloc(t, e->value_size);
	}
	if (e->value_len > 0)
		memcpy(e->value, t->gather, e->value_len);
	t->bytes += log_bytes(e);
	if (t->gather_size > GATHER_KEPT)
	{
		free(t->gather);
		t->gather = NULL;
		t->gather_size = 0;
	}
}

StoreStatus
store__txn_write(const StoreKey *key, WriteLook wants, StoreDecide decide, void *arg, StoreWritten *out)
{
	StoreTxn   *t = store__txn;
	TxnEntry   *e = entry_of_key(t, key);

	memset(out, 0, sizeof(*out));
	for (;;)
	{
		StoreChange change;
		StoreView	view;
		StoreAction action;
		StoreStatus status;
		uint64		len;
		uint64		expiry;
		bool		fits;

		memset(&change, 0, sizeof(change));
		out->gate = LSN_NONE;
		if (e->written)
		{
			own_view(e, &view);
			epoch_enter();
		}
		else if (wants == WRITE_BLIND && !e->looked)
		{
			memset(&view, 0, sizeof(view));
			view.unknown = true;
			epoch_enter();
		}
		else
		{
			status = look_at(t, e, wants == WRITE_VALUE, &view, &out->gate);
			if (status != STORE_OK)
				return status;
		}
		action = decide(&view, &change, arg);
		len = action == STORE_PUT ? store__new_len(&view, &change) : 0;
		expiry = change.keep_expiry ? (view.exists ? view.expiry : 0) : change.expiry;
		fits = action == STORE_PUT && len <= t->gather_size;
		if (fits && store_value_fits(key, len))
			gather_value(t, &view, &change);
		epoch_leave();
		t->seen = Max(t->seen, out->gate);
		out->existed = view.exists;
		out->version = view.lsn;
		if (action == STORE_DELETE && !view.present)
			action = STORE_KEEP;
		if (action == STORE_KEEP)
			return STORE_OK;
		if (action == STORE_PUT && !store_value_fits(key, len))
			return STORE_TOO_LARGE;
		if (action == STORE_PUT && !fits)
		{
			gather_grow(t, len);
			continue;			/* decide anew: nothing has been kept */
		}
		keep_change(t, e, action, len, expiry);
		out->changed = true;
		out->version = STORE_LSN_PENDING;
		if (t->bytes > store_txn_bytes_max())
		{
			t->too_large = true;
			return STORE_TXN_TOO_LARGE;
		}
		return STORE_OK;
	}
}

/* ---- key order ---- */

static int
compare_entries(const void *a, const void *b)
{
	const TxnEntry *x = *(TxnEntry *const *) a;
	const TxnEntry *y = *(TxnEntry *const *) b;
	int			order = memcmp(x->key, y->key, Min(x->key_len, y->key_len));

	return order != 0 ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

static void
sort_entries(StoreTxn *t)
{
	if (t->sorted_count == t->count)
		return;
	if (t->sorted_size < t->count)
	{
		t->sorted_size = t->count + t->count / 2;
		t->sorted = realloc(t->sorted, t->sorted_size * sizeof(t->sorted[0]));
		Verify(t->sorted != NULL);
	}
	t->sorted_count = 0;
	for (uint32 i = 0; i < t->bucket_count; i++)
		for (TxnEntry *e = t->bucket[i]; e != NULL; e = e->next)
			t->sorted[t->sorted_count++] = e;
	if (t->sorted_count > 1)
		qsort(t->sorted, t->sorted_count, sizeof(t->sorted[0]), compare_entries);
}

/* ---- before the commit: everything that may wait ---- */

/* look_now -- at a key that nobody has looked at yet. */
static StoreStatus
look_now(StoreTxn *t, TxnEntry *e)
{
	StoreView	view;
	Lsn			gate = LSN_NONE;
	StoreStatus status = look_at(t, e, false, &view, &gate);

	if (status == STORE_OK)
		epoch_leave();
	t->seen = Max(t->seen, gate);
	return status;
}

/* entry_of_watch -- the key in the tree that its database had before the transaction itself changed the map. */
static TxnEntry *
entry_of_watch(StoreTxn *t, const StoreKey *key)
{
	uint32		len;

	if (!t->mapped)
		return entry_of_key(t, key);
	len = store__build_key(txn_key, t->map.before[key->db], key->data, key->len);
	return entry_of(t, key->db, txn_key, len);
}

/*
 * is_absent_anew -- absent then and now: was it there in between?  A tombstone that has been
 * dropped meanwhile shows a lower LSN, a later one a higher; but the tombstone of the very
 * version that had expired by then changes nothing.
 */
static bool
is_absent_anew(const TxnEntry *e, const TxnWatch *w)
{
	return e->lsn > w->lsn && (e->expired_lsn == LSN_NONE || e->expired_lsn != w->lsn);
}

/* check_watches -- have the watched keys the versions that they had? */
static StoreStatus
check_watches(StoreTxn *t)
{
	for (uint32 i = 0; i < t->watch_count; i++)
	{
		const TxnWatch *w = &t->watch[i];
		TxnEntry   *e = entry_of_watch(t, &w->key);

		if (!e->looked)
		{
			StoreStatus status = look_now(t, e);

			if (status != STORE_OK)
				return status;
		}
		if (e->exists != w->existed || (e->exists ? e->lsn != w->lsn : is_absent_anew(e, w)))
			t->broken = true;
	}
	return STORE_OK;
}

/* settle -- what must be known before the commit: whether keys that are deleted after a blind write were there. */
static StoreStatus
settle(StoreTxn *t)
{
	sort_entries(t);
	for (uint32 i = 0; i < t->sorted_count; i++)
	{
		TxnEntry   *e = t->sorted[i];

		if (e->written && e->deleted && !e->derived && !e->looked)
		{
			StoreStatus status = look_now(t, e);

			if (status != STORE_OK)
				return status;
		}
		if (e->written && e->deleted && !e->derived && !e->present)
		{
			/* it came and went within the transaction */
			t->bytes -= log_bytes(e);
			e->written = false;
			t->written--;
		}
	}
	return STORE_OK;
}

/* add_hints -- entries of the index of deadlines are keys of the transaction like any other. */
static void
add_hints(StoreTxn *t)
{
	uint32		count = t->sorted_count;

	for (uint32 i = 0; i < count; i++)
	{
		const TxnEntry *e = t->sorted[i];
		StoreView	old = {.present = e->looked && e->present, .expiry = e->old_expiry};
		TxnEntry   *h;

		if (!e->written || e->deleted || e->derived || !store__hint_needed(&old, e->expiry))
			continue;
		h = entry_of(t, e->db, txn_key, store__hint_key(txn_key, e->key, e->key_len, e->expiry));
		t->written += !h->written;
		h->written = h->derived = true;
	}
	sort_entries(t);
}

/* ---- the record ---- */

static void
add_part(StoreTxn *t, uint32 *count, const void *data, size_t len)
{
	if (*count == t->part_size)
	{
		t->part_size = t->part_size * 2 + 64;
		t->part = realloc(t->part, t->part_size * sizeof(t->part[0]));
		Verify(t->part != NULL);
	}
	t->part[(*count)++] = (BytePart) {data, len};
}

typedef struct TxnRecord
{
	uint32		parts;
	uint32		crc;
	uint64		bytes;
	WalTxnChange map_head;
} TxnRecord;

/*
 * describe_record -- before the commit's epoch, but for the flags that say whether a
 * key was there: the heads' checksums follow when they are known (seal_record).
 */
static void
describe_record(StoreTxn *t, TxnRecord *r)
{
	memset(r, 0, sizeof(*r));
	if (t->mapped)
	{
		/* first: redo must know the new trees before their keys come */
		r->map_head = (WalTxnChange) {.type = WAL_MAP, .value_len = sizeof(t->map)};
		add_part(t, &r->parts, &r->map_head, sizeof(r->map_head));
		add_part(t, &r->parts, &t->map, sizeof(t->map));
		r->bytes += sizeof(r->map_head) + sizeof(t->map);
	}
	for (uint32 i = 0; i < t->sorted_count; i++)
	{
		TxnEntry   *e = t->sorted[i];

		if (!e->written || e->derived)
			continue;
		e->head.type = e->deleted ? WAL_DELETE : WAL_PUT;
		e->head.key_len = (uint16) e->key_len;
		e->head.value_len = (uint32) e->value_len;
		add_part(t, &r->parts, &e->head, sizeof(e->head));
		add_part(t, &r->parts, e->key, e->key_len);
		if (e->expiry != 0)
			add_part(t, &r->parts, &e->expiry, sizeof(e->expiry));
		if (e->value_len > 0)
			add_part(t, &r->parts, e->value, e->value_len);
		r->bytes += log_bytes(e);
	}
}

static void
seal_record(StoreTxn *t, TxnRecord *r)
{
	for (uint32 i = 0; i < t->sorted_count; i++)
	{
		TxnEntry   *e = t->sorted[i];

		e->head.flags = e->expiry != 0 ? WAL_FLAG_EXPIRY : 0;
		if (e->existed && e->old_expiry != 0)
			e->head.flags |= WAL_FLAG_HAD_EXPIRY;
		if (!e->deleted && !e->existed)
			e->head.flags |= e->unknown ? WAL_FLAG_UNKNOWN : WAL_FLAG_CREATED;
	}
	r->crc = 0;
	for (uint32 i = 0; i < r->parts; i++)
		r->crc = crc32c_extend(r->crc, t->part[i].data, t->part[i].len);
}

/* ---- (1): holding ---- */

typedef enum Hold
{
	HOLD_DONE,
	HOLD_AGAIN,				/* somebody was faster; nothing is lost but time */
	HOLD_ABORTED,			/* others have decided so: it has held them up */
	HOLD_CHANGED,			/* another version than the one that was shown */
	HOLD_ENDED,				/* others have ended a range of ours */
	HOLD_WAIT,				/* another transaction holds a key, undecided */
	HOLD_NO_MEMORY
} Hold;

/* is_as_shown -- inside the epoch. */
static bool
is_as_shown(const TxnEntry *e, const Leaf *leaf, bool complete)
{
	StoreView	view;

	if (leaf == NULL)
	{
		/* out of the base, or nowhere: as long as nothing can have come and gone */
		if (complete)
			return !e->present && e->lsn == LSN_NONE;
		return e->root_cut == store__base()->root.cut;
	}
	store__view_leaf(&view, leaf);
	/* a deadline that has passed meanwhile is a change, too */
	return view.lsn == e->lsn && view.present == e->present && view.exists == e->exists;
}

/* build_next -- the new leaf of a written key; links are decided now, inside the epoch. */
static bool
build_next(TxnEntry *e, const Leaf *old, const StoreOpen *open)
{
	BytePart	part = {e->value, e->value_len};
	uint16		flags = 0;

	if (unlikely(open->any) && old != NULL)
		flags |= LEAF_HAS_LINK;
	if (e->unknown || (old != NULL && leaf_first(old) > store__base()->root.cut))
		flags |= LEAF_UNKNOWN;
	if (e->deleted)
		flags |= LEAF_TOMBSTONE;
	if (e->expiry != 0)
		flags |= LEAF_HAS_EXPIRY;
	e->leaf = leaf_build(e->key, (uint16) e->key_len, &part, e->value_len > 0 ? 1 : 0, flags, e->expiry);
	if (e->leaf == MEM_NONE)
		return false;
	if ((flags & LEAF_UNKNOWN) && !e->unknown)
		leaf_set_first(seg_ptr(e->leaf), leaf_first(old));
	return true;
}

/* put_descriptor -- the key's descriptor leaf, by one CAS. */
static Hold
put_descriptor(TxnEntry *e, ArtPos *pos, Off descriptor)
{
	TxnBody		body = {.descriptor = descriptor, .previous = pos->leaf != NULL ? seg_off(pos->leaf) : 0, .next = e->leaf};
	BytePart	part = {&body, sizeof(body)};
	TxnDescriptor *d = seg_ptr(descriptor);
	Leaf	   *old = pos->leaf;
	Off			off = leaf_build(e->key, (uint16) e->key_len, &part, 1, LEAF_DESCRIPTOR, 0);

	if (off == MEM_NONE)
		return HOLD_NO_MEMORY;
	((Leaf *) seg_ptr(off))->lsn = old != NULL ? old->lsn : LSN_NONE;
	if (art_prepare(pos, off) != ART_OK)
	{
		leaf_free(off);
		return HOLD_NO_MEMORY;
	}
	if (old != NULL && old->lsn > wal_completed_lsn())
		art_mark_seen(old);
	/* relaxed: published with the leaf */
	atomic_fetch_add_explicit(&d->leaves, 1, memory_order_relaxed);
	if (!art_raise_dirty(pos, ((Leaf *) seg_ptr(off))->lsn) || !art_publish_at(pos, off, &e->place))
	{
		atomic_fetch_sub_explicit(&d->leaves, 1, memory_order_relaxed);	/* relaxed: our own is still there */
		leaf_free(off);
		return HOLD_AGAIN;
	}
	e->held = true;
	return HOLD_DONE;
}

static Hold
hold_key(TxnEntry *e, Off descriptor, const StoreOpen *open)
{
	ArtPos		pos;
	Hold		result;

	if (art_locate(&store_shared->root, e->key, e->key_len, &pos) != ART_OK)
		return HOLD_NO_MEMORY;
	if (pos.leaf != NULL && (leaf_flags(pos.leaf) & LEAF_DESCRIPTOR))
	{
		art_abandon(&pos);
		switch (store__meet_descriptor(pos.leaf))
		{
			case STORE_OK:
				return HOLD_AGAIN;
			case STORE_NO_MEMORY:
				return HOLD_NO_MEMORY;
			default:
				return HOLD_WAIT;
		}
	}
	if (e->looked && !is_as_shown(e, pos.leaf, pos.complete))
	{
		art_abandon(&pos);
		return HOLD_CHANGED;
	}
	if (e->looked)
		e->existed = e->present;
	else
	{
		e->existed = pos.leaf != NULL && (leaf_flags(pos.leaf) & LEAF_TOMBSTONE) == 0;
		e->old_expiry = e->existed ? leaf_expiry(pos.leaf) : 0;
		e->exists = e->existed && !store__has_expired(e->old_expiry);
	}
	e->unknown = !e->looked && !e->derived && pos.leaf == NULL && !pos.complete && store__base()->root.page.number != 0;
	e->leaf = 0;
	if (e->written && !build_next(e, pos.leaf, open))
	{
		art_abandon(&pos);
		return HOLD_NO_MEMORY;
	}
	result = put_descriptor(e, &pos, descriptor);
	if (result != HOLD_DONE)
	{
		art_abandon(&pos);
		if (e->leaf != 0)
			leaf_free(e->leaf);
		e->leaf = 0;
	}
	return result;
}

/* ---- (2) to (5) ---- */

static void
finish_all(StoreTxn *t, Off descriptor)
{
	for (uint32 i = 0; i < t->sorted_count; i++)
	{
		TxnEntry   *e = t->sorted[i];

		if (e->held)
			(void) finish_key(descriptor, e->key, e->key_len, &e->place);
		e->held = false;
	}
	descriptor_release(descriptor);
}

static void
abort_now(StoreTxn *t, Off descriptor)
{
	TxnDescriptor *d = seg_ptr(descriptor);
	uint32		undecided = TXN_UNDECIDED;

	/* acq_rel [txn-status]: somebody may have done it already */
	(void) atomic_compare_exchange_strong_explicit(&d->status, &undecided, TXN_ABORTED, memory_order_acq_rel,
												   memory_order_acquire);
	finish_all(t, descriptor);
}

/* set_versions -- LSN, link and first LSN of the new leaves, before anybody looks at them; false: a path is frozen. */
static bool
set_versions(StoreTxn *t, const StoreOpen *open, Lsn lsn)
{
	for (uint32 i = 0; i < t->sorted_count; i++)
	{
		const TxnEntry *e = t->sorted[i];
		Leaf	   *leaf;

		if (!e->written)
			continue;
		if (!art_raise_key(&store_shared->root, e->key, e->key_len, lsn))
			return false;
		leaf = seg_ptr(e->leaf);
		leaf->lsn = lsn;
		if (e->unknown)
			leaf_set_first(leaf, lsn);
		if (leaf_flags(leaf) & LEAF_HAS_LINK)
		{
			const Leaf *held = art_lookup(&store_shared->root, e->key, e->key_len);
			TxnBody		body;

			/* ours, or we have been aborted and the commit will notice */
			if (held == NULL || (leaf_flags(held) & LEAF_DESCRIPTOR) == 0)
				return false;
			body = body_of(held);
			if (body.next != e->leaf || body.previous == 0)
				return false;
			leaf_set_link(leaf, store__link_for(open, seg_ptr(body.previous), lsn));
		}
	}
	return true;
}

/* tree_index_of -- where the key's tree has its place. */
static uint32
tree_index_of(const StoreTxn *t, const TxnEntry *e)
{
	int			index;

	if (likely(!t->mapped))
		return store__tree_index(e->db);
	index = store__tree_of_id(tree_of_entry(e));
	Verify(index >= 0);
	return (uint32) index;
}

static void
count_changes(StoreTxn *t)
{
	StoreCounts *counts = &store_shared->counts[my_slot->number];

	for (uint32 i = 0; i < t->sorted_count; i++)
	{
		const TxnEntry *e = t->sorted[i];
		StoreView	old = {.present = e->existed, .exists = e->exists, .expiry = e->old_expiry};
		uint32		tree_index;

		if (e->written && e->derived)
			store__hint_announce(store__hint_deadline(e->key));
		if (!e->written || e->derived)
			continue;
		tree_index = tree_index_of(t, e);
		store__count_expiry(tree_index, &old, e->expiry);
		if (leaf_link(seg_ptr(e->leaf)) != 0)
			figure_add(&counts->linked, 1);
		if (e->unknown)
			figure_add(&counts->blind, 1);
		else if (!e->deleted && !e->existed)
			store__count_add(tree_index, 1);
		if (e->deleted)
		{
			store__count_add(tree_index, -1);
			figure_add(&counts->tombstones, 1);
		}
		/* relaxed: read under the announcement, a grace period later */
		if (atomic_load_explicit(&store_shared->tree[tree_index].touched, memory_order_relaxed) == 0)
			atomic_store_explicit(&store_shared->tree[tree_index].touched, 1, memory_order_relaxed);
	}
}

/* decide -- all keys are held: reserve, commit, fill. */
static Hold
decide_now(StoreTxn *t, TxnRecord *record, Off descriptor, const StoreOpen *open, Lsn *lsn, StoreStatus *status)
{
	TxnDescriptor *d = seg_ptr(descriptor);
	uint32		undecided = TXN_UNDECIDED;
	WalReservation r;

	seal_record(t, record);
	switch (wal_reserve((uint32) record->bytes, 0, &r))
	{
		case WAL_RESERVED:
			break;
		case WAL_NO_SPACE:
			*status = STORE_PARK_WAL;
			return HOLD_WAIT;
		case WAL_DISK_FULL:
			*status = STORE_DISK_FULL;
			return HOLD_WAIT;
	}
	FAULT_POINT("txn-reserved");
	if (!set_versions(t, open, r.end))
	{
		wal_fill_void(&r);
		return HOLD_AGAIN;
	}
	d->lsn = r.end;
	FAULT_POINT("txn-before-commit");
	/* acq_rel [txn-status]: release: all new leaves; this makes them visible */
	if (!atomic_compare_exchange_strong_explicit(&d->status, &undecided, TXN_COMMITTED, memory_order_acq_rel,
												 memory_order_acquire))
	{
		wal_fill_void(&r);
		return HOLD_AGAIN;
	}
	FAULT_POINT("txn-committed");
	if (t->mapped)
		store__map_switch(&t->map.map, r.start, r.end);
	wal_fill(&r, WAL_TXN, 0, 0, record->crc, t->part, (int) record->parts);
	*lsn = r.end;
	return HOLD_DONE;
}

/* map_is_as_seen -- (0) the trees of all keys are still those of their databases. */
static bool
map_is_as_seen(const StoreTxn *t)
{
	uint32		db = DATABASE_COUNT;
	uint32		tree = 0;

	if (t->mapped)
	{
		/* nobody else has changed it since it was announced; before, perhaps */
		for (uint32 i = 0; i < DATABASE_COUNT; i++)
			if (t->map.before[i] != store__tree_id(store__tree_index(i)))
				return false;
		return true;
	}
	for (uint32 i = 0; i < t->sorted_count; i++)
	{
		const TxnEntry *e = t->sorted[i];

		if (e->derived)
			continue;
		if (e->db != db)
		{
			db = e->db;
			tree = store__tree_id(store__tree_index(db));
		}
		if (tree_of_entry(e) != tree)
			return false;
	}
	for (uint32 i = 0; i < t->range_count; i++)
		if (store_shared->range[t->range[i].index].tree_id != store__tree_id(store__tree_index(t->range[i].db)))
			return false;
	return true;
}

static StoreStatus range_in_the_way(StoreTxn *t);
static bool ranges_commit(StoreTxn *t, Off descriptor);
static void ranges_hold(StoreTxn *t, Off descriptor);

/*
 * patience -- of those whom a transaction of so many keys holds up: txn_stall_us, and
 * what the keys take; twice as much after each time that it was not enough, within a bound.
 */
#define PATIENCE_KEY_US 10
#define PATIENCE_DOUBLINGS 4

static uint64
patience(const StoreTxn *t)
{
	return ((uint64) set_txn_stall_us + (uint64) t->sorted_count * PATIENCE_KEY_US) << Min(t->aborted, PATIENCE_DOUBLINGS);
}

#define LOOK_EVERY 64			/* keys: has somebody aborted it meanwhile? */

/* load_ahead -- the ways to the next keys, all at once: their cache misses overlap.  Decides nothing. */
static void
load_ahead(const StoreTxn *t, uint32 from)
{
	BytePart	key[STORE_PREFETCH_MAX];
	int			count = 0;

	for (uint32 i = from; i < t->sorted_count && count < STORE_PREFETCH_MAX; i++)
		key[count++] = (BytePart) {t->sorted[i]->key, t->sorted[i]->key_len};
	if (count > 1)
		art_prefetch_batch(&store_shared->root, key, count);
}

/* try_commit -- one epoch; HOLD_DONE: *lsn is the version. */
static Hold
try_commit(StoreTxn *t, TxnRecord *record, Lsn *lsn, StoreStatus *status)
{
	Off			descriptor = mem_alloc(sizeof(TxnDescriptor));
	TxnDescriptor *d;
	StoreOpen	open;
	Hold		result = HOLD_DONE;

	if (descriptor == MEM_NONE)
		return HOLD_NO_MEMORY;
	d = seg_ptr(descriptor);
	d->magic = TXN_MAGIC;
	d->started_us = clock_mono_us();
	d->patience_us = patience(t);
	d->lsn = LSN_NONE;
	/* relaxed, both: published with the first descriptor leaf */
	atomic_store_explicit(&d->status, TXN_UNDECIDED, memory_order_relaxed);
	atomic_store_explicit(&d->leaves, 1, memory_order_relaxed);
	store__open_snapshots(&open);
	if (!ranges_commit(t, descriptor))
		result = HOLD_ENDED;
	for (uint32 i = 0; i < t->sorted_count && result == HOLD_DONE; i++)
	{
		if (i % STORE_PREFETCH_MAX == 0)
			load_ahead(t, i);
		do
			result = hold_key(t->sorted[i], descriptor, &open);
		while (result == HOLD_AGAIN);
		if (result == HOLD_CHANGED)
			t->changed = t->sorted[i];
		FAULT_POINT("txn-hold");
		if (i % LOOK_EVERY == LOOK_EVERY - 1 && status_of(d) != TXN_UNDECIDED)
			result = HOLD_ABORTED;
	}
	if (result == HOLD_DONE)
		result = decide_now(t, record, descriptor, &open, lsn, status);
	/* either way no range names the descriptor any more when it is retired */
	if (result == HOLD_DONE)
	{
		ranges_withdraw(t);
		count_changes(t);
		finish_all(t, descriptor);
	}
	else
	{
		ranges_hold(t, descriptor);
		if (result == HOLD_AGAIN && status_of(d) != TXN_UNDECIDED)
			result = HOLD_ABORTED;
		abort_now(t, descriptor);
	}
	return result;
}

static bool ranges_ended(const StoreTxn *t);
static void ranges_give_up(StoreTxn *t);

/* check_only -- nothing is written: was all of it there at one moment? */
static StoreStatus
check_only(StoreTxn *t)
{
	bool		same;

	epoch_enter();
	same = map_is_as_seen(t);
	if (!same)
		ranges_withdraw(t);		/* they may be of trees that nobody has any more */
	for (uint32 i = 0; i < t->sorted_count && same; i++)
	{
		const TxnEntry *e = t->sorted[i];
		bool		complete;
		const Leaf *leaf;

		if (!e->looked)
			continue;
		leaf = store__resolve(art_lookup_complete(&store_shared->root, e->key, e->key_len, &complete));
		same = is_as_shown(e, leaf, complete);
		if (!same)
			t->changed = t->sorted[i];
	}
	if (ranges_ended(t))
	{
		ranges_give_up(t);
		same = false;
	}
	epoch_leave();
	return same ? STORE_OK : STORE_CHANGED;
}

static uint64
memory_wanted(const StoreTxn *t)
{
	return t->bytes + t->count * 128;
}

/* commit_writes -- until it is done, or has to wait, or begin anew. */
static StoreStatus
commit_writes(StoreTxn *t, Lsn *lsn)
{
	TxnRecord	record;

	describe_record(t, &record);
	for (;;)
	{
		StoreStatus status = STORE_OK;
		Hold		result;

		epoch_enter();
		status = range_in_the_way(t);
		if (status == STORE_OK && !map_is_as_seen(t))
		{
			status = STORE_CHANGED;
			ranges_withdraw(t);
		}
		result = status == STORE_OK ? try_commit(t, &record, lsn, &status) : HOLD_WAIT;
		epoch_leave();
		switch (result)
		{
			case HOLD_DONE:
				return STORE_OK;
			case HOLD_AGAIN:
				figure_add(&store_shared->counts[my_slot->number].retries, 1);
				break;
			case HOLD_ABORTED:
				/* those who wait for these keys, and our own other clients, come first */
				t->aborted++;
				figure_add(&store_shared->counts[my_slot->number].retries, 1);
				return STORE_PARK_MAP;
			case HOLD_CHANGED:
				return STORE_CHANGED;
			case HOLD_ENDED:
				ranges_give_up(t);
				return STORE_CHANGED;
			case HOLD_WAIT:
				return status != STORE_OK ? status : STORE_PARK_MAP;
			case HOLD_NO_MEMORY:
				if (!store__find_memory(&t->attempts, memory_wanted(t)))
				{
					t->attempts = 0;
					return !evict_could_fit(memory_wanted(t)) || evict_hopeless() ? STORE_NO_MEMORY : STORE_PARK_MEMORY;
				}
				break;
		}
	}
}

/* trees_missing -- is there no place for the trees that the new map has and the old one has not? */
static bool
trees_missing(const StoreTxn *t)
{
	uint32		wanted = 0;

	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		wanted += store__tree_of_id(t->map.map.tree_id[db]) < 0;
	return wanted > store__trees_free();
}

StoreStatus
store_txn_commit(StoreTxn *t, StoreCommitted *out)
{
	StoreStatus status;

	Assert(!epoch_inside() && store__txn == NULL);
	if (t->range_count > 0)
		ranges_alive(t);
	if (t->mapped && memcmp(t->map.before, t->map.map.tree_id, sizeof(t->map.before)) == 0)
		t->mapped = false;		/* swapped there and back, or nothing was there */
	out->version = LSN_NONE;
	status = t->stale ? STORE_CHANGED : check_watches(t);
	if (status == STORE_OK && !t->broken)
		status = settle(t);
	else
		sort_entries(t);
	out->gate = t->seen;
	out->broken = t->broken;
	if (status != STORE_OK)
		return status;
	if (t->too_large || t->bytes > store_txn_bytes_max())
		return STORE_TXN_TOO_LARGE;
	if (t->broken || (t->written == 0 && !t->mapped))
		status = check_only(t);
	else if (t->mapped && trees_missing(t))
	{
		evict_want_trees();		/* a checkpoint, then the sweeper, make room */
		store_flush_cancel(&t->change);
		return STORE_CHANGED;
	}
	else
	{
		add_hints(t);
		status = commit_writes(t, &out->version);
		out->gate = Max(out->gate, out->version);
	}
	if (status == STORE_OK)
		figure_add(&store_shared->counts[my_slot->number].txn_committed, 1);
	if (status == STORE_OK || status == STORE_NO_MEMORY || status == STORE_DISK_FULL)
	{
		ranges_withdraw(t);
		store_flush_cancel(&t->change);
	}
	else if (status == STORE_PARK_MEMORY && t->change.step != 0)
	{
		/* memory comes by a checkpoint, which waits for the map */
		store_flush_cancel(&t->change);
		return STORE_CHANGED;
	}
	return status;
}

/* ---- the map of databases ---- */

uint32
store__txn_tree(const StoreTxn *t, uint32 db)
{
	return t->mapped ? t->map.map.tree_id[db] : store__tree_id(store__tree_index(db));
}

/* trees_as_before -- was everything so far done in the trees of the map as it is now? */
static bool
trees_as_before(const StoreTxn *t)
{
	for (uint32 i = 0; i < t->bucket_count; i++)
		for (const TxnEntry *e = t->bucket[i]; e != NULL; e = e->next)
			if (!e->derived && tree_of_entry(e) != t->map.before[e->db])
				return false;
	for (uint32 i = 0; i < t->range_count; i++)
		if (store_shared->range[t->range[i].index].tree_id != t->map.before[t->range[i].db])
			return false;
	return true;
}

/* change_begin -- from here on nobody else writes, until the transaction ends: STORE_PARK_MAP until that holds. */
static StoreStatus
change_begin(StoreTxn *t)
{
	StoreStatus status = store__map_announce(&t->change);

	if (status != STORE_OK)
	{
		/* whoever holds the map may be waiting for what we hold */
		if (t->change.step == 0 && t->range_count > 0)
		{
			ranges_withdraw(t);
			t->stale = true;
		}
		return status;
	}
	if (!t->mapped)
	{
		epoch_enter();
		store__map_export(&t->map.map);
		epoch_leave();
		memcpy(t->map.before, t->map.map.tree_id, sizeof(t->map.before));
		t->mapped = true;
		/* others may have changed the map since we began: what came before holds for trees that are others' now */
		if (!trees_as_before(t))
		{
			ranges_withdraw(t);
			t->stale = true;
		}
		if (t->stale)
			return STORE_CHANGED;
	}
	return STORE_OK;
}

/* forget_tree -- what the transaction has written to a tree that it drops never was. */
static void
forget_tree(StoreTxn *t, uint32 tree_id)
{
	for (uint32 i = 0; i < t->bucket_count; i++)
		for (TxnEntry *e = t->bucket[i]; e != NULL; e = e->next)
			if (e->written && tree_of_entry(e) == tree_id)
			{
				t->bytes -= log_bytes(e);
				e->written = false;
				t->written--;
			}
}

/* has_written -- something to this tree? */
static bool
has_written(const StoreTxn *t, uint32 tree_id)
{
	for (uint32 i = 0; i < t->bucket_count; i++)
		for (const TxnEntry *e = t->bucket[i]; e != NULL; e = e->next)
			if (e->written && tree_of_entry(e) == tree_id)
				return true;
	return false;
}

StoreStatus
store__txn_flush(StoreTxn *t, uint32 first, uint32 last)
{
	StoreStatus status = change_begin(t);

	if (status != STORE_OK)
		return status;
	for (uint32 db = first; db <= last; db++)
	{
		uint32		tree = t->map.map.tree_id[db];
		int			index = store__tree_of_id(tree);

		/* relaxed: announced */
		if ((index < 0 || atomic_load_explicit(&store_shared->tree[index].touched, memory_order_relaxed) == 0) &&
			!has_written(t, tree))
			continue;			/* it is empty already */
		forget_tree(t, tree);
		if (index >= 0)
			t->map.map.tree_id[db] = t->map.map.next_tree_id++;
	}
	return STORE_OK;
}

StoreStatus
store__txn_swap(StoreTxn *t, uint32 first, uint32 second)
{
	StoreStatus status = change_begin(t);
	uint32		tree;

	if (status != STORE_OK)
		return status;
	tree = t->map.map.tree_id[first];
	t->map.map.tree_id[first] = t->map.map.tree_id[second];
	t->map.map.tree_id[second] = tree;
	return STORE_OK;
}

/* ---- ranges ---- */

static uint32
prefix_len_of(const StoreRange *r)
{
	return atomic_load_explicit(&r->prefix_len, memory_order_relaxed);	/* relaxed: see StoreRange */
}

/* begins_alike -- has the range's prefix these first bytes? */
static bool
begins_alike(const StoreRange *r, const uint8 *bytes, uint32 count)
{
	for (uint32 i = 0; i < count; i++)
		if (atomic_load_explicit(&r->prefix[i], memory_order_relaxed) != bytes[i])	/* relaxed: see StoreRange */
			return false;
	return true;
}

/* range_covers -- all keys that begin with these bytes? */
static bool
range_covers(const StoreRange *r, const uint8 *key, uint32 key_len)
{
	uint32		len = prefix_len_of(r);

	return key_len >= len && begins_alike(r, key, len);
}

/* table_lock -- a few hundred instructions at most; nobody sleeps in it. */
static bool
table_lock(void)
{
	uint32		nobody = 0;

	/* acquire [store-range-lock]: the table as the last one left it */
	return atomic_compare_exchange_strong_explicit(&store_shared->range_lock, &nobody, my_slot->number + 1,
												   memory_order_acquire, memory_order_relaxed);	/* relaxed: not had */
}

static void
table_unlock(void)
{
	atomic_store_explicit(&store_shared->range_lock, 0, memory_order_release);	/* release [store-range-lock] */
}

static bool
is_own(const StoreTxn *t, uint32 index)
{
	for (uint32 i = 0; t != NULL && i < t->range_count; i++)
		if (t->range[i].index == index)
			return true;
	return false;
}

/* own_ticket -- of all ranges of this transaction; 0: it has none. */
static uint64
own_ticket(const StoreTxn *t)
{
	/* relaxed: nobody else changes it */
	return t->range_count == 0 ? 0 : atomic_load_explicit(&store_shared->range[t->range[0].index].ticket, memory_order_relaxed);
}

/*
 * range_is_over -- may a writer go on, although this range was announced and has not been
 * withdrawn?  Yes if its owner has committed, or has stood still for too long: then
 * the range is ended, and with it that transaction's chance to commit: its commit
 * is decided against (as a writer of one of its keys does it), or it finds the
 * range ended when it begins it.  Inside the epoch: no descriptor that a
 * range names is used again meanwhile.
 */
static bool
range_is_over(StoreRange *r)
{
	/* acquire [range-state]: the descriptor */
	uint64		state = atomic_load_explicit(&r->state, memory_order_acquire);

	Assert(epoch_inside());
	while (state != STORE_RANGE_ENDED)
	{
		uint64		now = clock_mono_us();
		uint64		over;

		if (state != STORE_RANGE_HELD)
		{
			TxnDescriptor *d = seg_ptr(state);
			uint32		undecided = TXN_UNDECIDED;

			Verify(d->magic == TXN_MAGIC);
			if (status_of(d) == TXN_COMMITTED)
				return true;
			over = d->started_us + d->patience_us;
			/* acq_rel [txn-status]: it is decided, by whom ever */
			if (now >= over &&
				!atomic_compare_exchange_strong_explicit(&d->status, &undecided, TXN_ABORTED, memory_order_acq_rel,
														 memory_order_acquire) &&
				undecided == TXN_COMMITTED)
				return true;
		}
		else
			/* relaxed, both: how long is no matter of order */
			over = atomic_load_explicit(&r->alive_us, memory_order_relaxed) +
				atomic_load_explicit(&r->patience_us, memory_order_relaxed);
		if (now < over)
			return false;
		/* acq_rel [range-state]: before what is written here now */
		if (atomic_compare_exchange_strong_explicit(&r->state, &state, STORE_RANGE_ENDED, memory_order_acq_rel,
													memory_order_acquire))
		{
			figure_add(&store_shared->counts[my_slot->number].txn_aborted, 1);
			return true;
		}
	}
	return true;
}

/* blocking -- somebody else's range that this key lies in, or -1; inside the epoch. */
static int
blocking(const StoreTxn *t, const uint8 *key, uint32 key_len)
{
	for (int i = 0; i < STORE_RANGES; i++)
	{
		StoreRange *r = &store_shared->range[i];

		/* seq_cst [store-announce]: filled before its ticket */
		if (atomic_load_explicit(&r->ticket, memory_order_seq_cst) != 0 && !is_own(t, (uint32) i) &&
			range_covers(r, key, key_len) && !range_is_over(r))
			return i;
	}
	return -1;
}

bool
store__write_blocked_by(const uint8 *key, uint32 key_len)
{
	/* seq_cst [store-announce] */
	return atomic_load_explicit(&store_shared->map_change, memory_order_seq_cst) != 0 || blocking(NULL, key, key_len) >= 0;
}

/* range_in_the_way -- (0) inside the epoch: STORE_PARK_MAP: wait; STORE_CHANGED: give way. */
static StoreStatus
range_in_the_way(StoreTxn *t)
{
	uint64		own;
	StoreStatus status = STORE_OK;

	/* seq_cst [store-announce]: as every writer */
	if (t->change.step == 0 && atomic_load_explicit(&store_shared->map_change, memory_order_seq_cst) != 0)
	{
		/* whoever changes it may be waiting for what we hold */
		status = t->range_count > 0 ? STORE_CHANGED : STORE_PARK_MAP;
		ranges_withdraw(t);
		return status;
	}
	if (atomic_load_explicit(&store_shared->ranges_announced, memory_order_seq_cst) == t->range_count)
		return STORE_OK;		/* nobody's but ours */
	own = own_ticket(t);
	for (uint32 i = 0; i < t->sorted_count && status != STORE_CHANGED; i++)
	{
		const TxnEntry *e = t->sorted[i];
		int			other = e->written && !e->derived ? blocking(t, e->key, e->key_len) : -1;
		uint64		ticket;

		if (other < 0)
			continue;
		/* relaxed: it may have gone by now: then we wait in vain once */
		ticket = atomic_load_explicit(&store_shared->range[other].ticket, memory_order_relaxed);
		status = own == 0 || own < ticket ? STORE_PARK_MAP : STORE_CHANGED;
		t->gave_way = status == STORE_CHANGED ? ticket : 0;
		t->gave_way_to = (uint32) other;
	}
	if (status == STORE_CHANGED)
		ranges_withdraw(t);
	return status;
}

static void
ranges_withdraw(StoreTxn *t)
{
	for (uint32 i = 0; i < t->range_count; i++)
	{
		/* seq_cst [store-announce]: after everything that was done under it */
		atomic_store_explicit(&store_shared->range[t->range[i].index].ticket, 0, memory_order_seq_cst);
		atomic_fetch_sub_explicit(&store_shared->ranges_announced, 1, memory_order_seq_cst);
	}
	t->range_count = 0;
}

/* ranges_ended -- has somebody who waited for us ended one of them? */
static bool
ranges_ended(const StoreTxn *t)
{
	for (uint32 i = 0; i < t->range_count; i++)
		/* acquire [range-state]: what others have written there since */
		if (atomic_load_explicit(&store_shared->range[t->range[i].index].state, memory_order_acquire) == STORE_RANGE_ENDED)
			return true;
	return false;
}

/* ranges_give_up -- one has been ended: all commands must run again, under ranges that are announced anew. */
static void
ranges_give_up(StoreTxn *t)
{
	for (uint32 i = 0; i < t->range_count; i++)
		if (!t->range[i].in_force)
		{
			/* somebody stands still within an epoch: announced again it would only hold up others for as long as he does */
			t->grace_wait = true;
			t->grace = t->range[i].grace;
		}
	ranges_withdraw(t);
	t->stale = true;
	t->ended++;
}

/* ranges_alive -- the owner is at work: whoever waits for its ranges goes on waiting. */
static void
ranges_alive(StoreTxn *t)
{
	uint64		now = clock_mono_us();

	for (uint32 i = 0; i < t->range_count; i++)
		if (t->range[i].in_force)
			/* relaxed: nothing depends on it but how long others wait */
			atomic_store_explicit(&store_shared->range[t->range[i].index].alive_us, now, memory_order_relaxed);
}

/* ranges_commit -- from here on whoever ends a range decides against this commit first; false: one has been ended already. */
static bool
ranges_commit(StoreTxn *t, Off descriptor)
{
	for (uint32 i = 0; i < t->range_count; i++)
	{
		uint64		held = STORE_RANGE_HELD;

		/* acq_rel [range-state]: the descriptor is filled */
		if (!atomic_compare_exchange_strong_explicit(&store_shared->range[t->range[i].index].state, &held, descriptor,
													 memory_order_acq_rel, memory_order_relaxed))	/* relaxed: ended */
			return false;
	}
	return true;
}

/* ranges_hold -- the commit has come to nothing: ranges as before it, unless others have ended them. */
static void
ranges_hold(StoreTxn *t, Off descriptor)
{
	for (uint32 i = 0; i < t->range_count; i++)
	{
		uint64		committing = descriptor;

		/* acq_rel [range-state]; relaxed: it was ended, or had not come so far */
		(void) atomic_compare_exchange_strong_explicit(&store_shared->range[t->range[i].index].state, &committing, STORE_RANGE_HELD,
													   memory_order_acq_rel, memory_order_relaxed);
	}
	ranges_alive(t);
}

/* announce -- inside the epoch, under the table's lock; -1: no place, or it overlaps another's. */
static int
announce(StoreTxn *t, uint32 tree_id, const uint8 *prefix, uint32 prefix_len)
{
	int			place = -1;

	for (int i = 0; i < STORE_RANGES; i++)
	{
		StoreRange *r = &store_shared->range[i];

		/* seq_cst [store-announce] */
		if (atomic_load_explicit(&r->ticket, memory_order_seq_cst) == 0)
			place = i;
		else if (!is_own(t, (uint32) i) && begins_alike(r, prefix, Min(prefix_len, prefix_len_of(r))) && !range_is_over(r))
			return -1;
	}
	if (place >= 0)
	{
		StoreRange *r = &store_shared->range[place];
		uint64		ticket = own_ticket(t);

		if (ticket == 0)
			ticket = ++store_shared->range_tickets;
		r->tree_id = tree_id;
		/* relaxed, both: see StoreRange */
		atomic_store_explicit(&r->prefix_len, prefix_len, memory_order_relaxed);
		for (uint32 i = 0; i < prefix_len; i++)
			atomic_store_explicit(&r->prefix[i], prefix[i], memory_order_relaxed);
		/* relaxed, all: before its ticket */
		atomic_store_explicit(&r->state, STORE_RANGE_HELD, memory_order_relaxed);
		atomic_store_explicit(&r->alive_us, clock_mono_us(), memory_order_relaxed);
		atomic_store_explicit(&r->patience_us, (uint64) set_txn_stall_us << Min(t->ended, RANGE_DOUBLINGS), memory_order_relaxed);
		/* seq_cst [store-announce], both: before the grace period; writers look after they have entered */
		atomic_store_explicit(&r->ticket, ticket, memory_order_seq_cst);
		atomic_fetch_add_explicit(&store_shared->ranges_announced, 1, memory_order_seq_cst);
	}
	return place;
}

/* covered -- by a range that this transaction has announced; NULL: by none. */
static TxnRange *
covered(StoreTxn *t, const uint8 *prefix, uint32 prefix_len)
{
	for (uint32 i = 0; i < t->range_count; i++)
	{
		const StoreRange *r = &store_shared->range[t->range[i].index];

		if (range_covers(r, prefix, prefix_len))
			return &t->range[i];
	}
	return NULL;
}

/*
 * must_wait -- may nothing be announced now?  Who has given way to others announces
 * nothing before they have got on: they look at the table now and then, and a range that
 * is gone and there again in no time would hold them up for ever.
 */
static bool
must_wait(StoreTxn *t)
{
	StoreRange *r = &store_shared->range[t->gave_way_to];
	bool		wait;

	if (t->grace_wait && !epoch_grace_passed(t->grace))
		return true;
	t->grace_wait = false;
	/* seq_cst [store-announce]: as every writer: nothing could be committed before the map has changed */
	if (t->change.step == 0 && atomic_load_explicit(&store_shared->map_change, memory_order_seq_cst) != 0)
		return true;
	if (t->gave_way == 0)
		return false;
	epoch_enter();
	/* seq_cst [store-announce] */
	wait = atomic_load_explicit(&r->ticket, memory_order_seq_cst) == t->gave_way && !range_is_over(r);
	epoch_leave();
	if (!wait)
		t->gave_way = 0;
	return wait;
}

StoreStatus
store_txn_range(StoreTxn *t, uint32 db, const void *prefix, uint32 prefix_len)
{
	uint32		tree_id;
	uint32		len;
	TxnRange   *r;

	epoch_enter();
	tree_id = store__txn_tree(t, db);
	epoch_leave();
	len = store__build_key(txn_key, tree_id, prefix, prefix_len);
	if (t->range_count > 0 && ranges_ended(t))
	{
		ranges_give_up(t);
		return STORE_CHANGED;
	}
	r = covered(t, txn_key, len);
	if (r == NULL)
	{
		int			place;

		if (must_wait(t))
		{
			/* others may wait for what we hold */
			t->stale = t->stale || t->range_count > 0;
			ranges_withdraw(t);
			return STORE_PARK_MAP;
		}

		if (t->range_count == TXN_RANGES_MAX)
		{
			/* one for everything in the database instead of many */
			ranges_withdraw(t);
			t->stale = true;
			len = store__build_key(txn_key, tree_id, NULL, 0);
		}
		if (!table_lock())
			return STORE_PARK_MAP;
		epoch_enter();
		place = announce(t, tree_id, txn_key, len);
		epoch_leave();
		table_unlock();
		if (place < 0)
		{
			/* somebody else was first: he must not wait for us */
			t->stale = t->stale || t->range_count > 0;
			ranges_withdraw(t);
			return STORE_PARK_MAP;
		}
		r = &t->range[t->range_count++];
		r->index = (uint32) place;
		r->db = db;
		r->grace = epoch_grace_start();
		r->in_force = false;
	}
	if (!r->in_force)
	{
		if (!epoch_grace_passed(r->grace))
			return STORE_PARK_MAP;
		r->in_force = true;
		ranges_alive(t);
	}
	return STORE_OK;
}

/* ---- for walks ---- */

void
store__txn_sort(StoreTxn *t)
{
	sort_entries(t);
}

int
store__txn_seek(StoreTxn *t, const uint8 *key, uint32 key_len, bool exclusive, bool backward)
{
	int			low = 0;
	int			high = (int) t->sorted_count;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		const TxnEntry *e = t->sorted[middle];
		int			order = memcmp(e->key, key, Min(e->key_len, key_len));

		if (order == 0)
			order = (e->key_len > key_len) - (e->key_len < key_len);
		/* the first entry that is above (or at) the bound */
		if (order < 0 || (order == 0 && exclusive != backward))
			low = middle + 1;
		else
			high = middle;
	}
	return backward ? low - 1 : low;
}

bool
store__txn_entry(const StoreTxn *t, int index, const uint8 **key, uint32 *key_len, StoreView *view)
{
	const TxnEntry *e;

	if (index < 0 || index >= (int) t->sorted_count)
		return false;
	e = t->sorted[index];
	*key = e->key;
	*key_len = e->key_len;
	if (e->written)
		own_view(e, view);
	else
		view->lsn = LSN_NONE;
	return true;
}


StoreStatus
store__txn_count(StoreTxn *t, uint32 db, int64 *change)
{
	uint32		tree;

	*change = 0;
	epoch_enter();
	tree = store__txn_tree(t, db);
	epoch_leave();
	sort_entries(t);
	for (uint32 i = 0; i < t->sorted_count; i++)
	{
		TxnEntry   *e = t->sorted[i];

		if (!e->written || e->derived || tree_of_entry(e) != tree)
			continue;
		if (!e->looked)
		{
			StoreStatus status = look_now(t, e);

			if (status != STORE_OK)
				return status;
		}
		*change += (int) !e->deleted - (int) e->present;
	}
	return STORE_OK;
}
