/*
 * store_snapshot.c -- snapshots: the table of those that are open, and what they keep from going.
 *
 * A snapshot is the database as of a position s of the log.  What it reads is, of
 * each key, the newest version <= s that the overlay leads to, else what a root of
 * the base says whose cut p is <= s, and which it pins (store_at.c).  A checkpoint is
 * one, too, number 0 of the table: it writes down what it reads, and pins nothing, for
 * the root it works on stays in force.  The others belong to clients.
 *
 * Opening, in steps that do not sleep (store_snapshot_open):
 *   (1) lock the map of databases; take an entry of the table; in one epoch read the
 *       root in force, note its cut as pinned, and announce: position UNKNOWN, bit set
 *   (2) one grace period
 *   (3) s := insert; the map and the clock of expiry as of now; position := s; unlock
 *   (4) wait until completed >= s
 *
 * What writers do.  Inside their epoch, before they publish, they load the word of bits;
 * it is 0 when nothing is open, and that is all they pay.  Else they read the positions.
 * Whoever publishes a version N in the place of L leads from N to the newest version
 * of the chain L, L's link, ... that lies at or below the highest position t < N.lsn
 * (store__link_for); with some position UNKNOWN, to L.  So N -> L if some open snapshot
 * lies in [L.lsn, N.lsn), else L's link is inherited as far as somebody needs it.
 *
 * Why from every leaf in the tree links lead to what each open snapshot needs, if the
 * overlay had it.  Let S be open at s, and N with N.lsn > s be published over L.
 *   - Its writer has seen S: S was announced a grace period before s was read.  Had he
 *     read the table before the announcement, he would have been inside during that
 *     grace period, and N.lsn would lie below 'insert' as S read it: N.lsn <= s.
 *   - He saw UNKNOWN, and linked L; or s, and linked the newest version at or below
 *     t >= s.  If that is not what S needs, it lies in (s, t], was published by somebody
 *     who had seen S, and leads on, by induction.
 * An entry that is closed and taken again between two loads shows a position that is
 * UNKNOWN or of a snapshot whose grace period waits for this writer: he links more than
 * he needs to, never less.
 *
 * A link never changes once its leaf is published.  A chain becomes shorter by replacing
 * its head, by a writer or by a copy of the head (store_release.c), with one CAS; whoever
 * wins it, and nobody else, retires what the new chain does not reach.
 *
 * What else must stay, while a snapshot with root p and position s is open:
 *   - of each key the newest version v <= s, if v.lsn > p: the overlay alone has it.  A
 *     leaf that is or leads to such a version is not evicted, nor dropped if it is a
 *     tombstone (store__snapshot_needs).  One that leads to none may go: at s its key is
 *     what the root p says, whether the leaf is there or not.  evict_cut is read first,
 *     the table second: who announced the root p had read it in an epoch that he did not
 *     leave before he announced; evict_cut passes p only a grace period after a later
 *     root was published, hence after that; so whoever has read an evict_cut above p
 *     finds the announcement.  And an answer once found stays true: who announces later
 *     reads a root whose cut is not below that evict_cut, and needs nothing below it
 *   - the trees that its map names, dropped or not: they are not swept and keep their
 *     place in the table (store__snapshot_names_tree).  While a map is not known yet
 *     it is locked, so no tree can be dropped; those dropped before wait
 *   - the pages that the root p reaches: what died after the lowest pinned cut is not
 *     given out again (base_space.c)
 *
 * The end.  The owner closes it, when he likes or when his connection goes.  Or the
 * evictor ends it: it is older than snapshot_timeout; what links, pages and leaves hold
 * for snapshots is more than snapshot_max_bytes (then the oldest goes); memory is full
 * and nothing else could leave it; FLUSHDB waits for one of the trees that it names.  An entry has one word of state, with a serial number
 * and, in the end, the reason: OPEN -> ENDING by CAS, then the bit goes, then ENDED; it
 * stays until the owner has closed it, who is told the reason by name.  Whoever takes the
 * state away from OPEN, and nobody else, takes the bit away.
 *
 * The state leaves OPEN before the bit goes, and only then may anything go that the
 * snapshot needs.  So a reader asks whether it is open after he has read (inside the same
 * epoch): if it was, nothing that he looked at had gone.  Whatever he might have met
 * that was made by somebody who knew of the end, he met by an acquire load behind it.
 *
 * Limits are looked at each time the evictor wakes, at least four times a second.
 *
 * Workers open and close, and never wait here; the evictor tends; the checkpointer has
 * number 0.  If one of them dies, all are restarted, and the table with them.
 */
#include "common/c.h"

#include "access/store/evict_internal.h"
#include "common/figure.h"
#include "storage/ipc/latch.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#define RELEASE_AGAIN_US 250000	/* after a walk that had to leave some */

static_assert(STORE_SNAPSHOTS_MAX == STORE_SNAPSHOTS - 1, "number 0 is the checkpoint's");
static_assert(STORE_SNAPSHOTS <= 64, "one bit each");

/* the state's word: serial << 16 | reason << 8 | SNAPSHOT_* */
enum
{
	SNAPSHOT_FREE,
	SNAPSHOT_OPENING,		/* by the owner: FREE -> OPENING -> OPEN -> CLOSING -> FREE */
	SNAPSHOT_OPEN,
	SNAPSHOT_CLOSING,
	SNAPSHOT_ENDING,		/* by the evictor: OPEN -> ENDING -> ENDED; ENDED -> FREE by the owner, or taken by another who opens */
	SNAPSHOT_ENDED,
	SNAPSHOT_LEFT			/* by the owner from ENDING: the evictor makes it FREE */
};

static const char *const reason_names[SNAPSHOT_REASONS] = {
	[SNAPSHOT_TIMEOUT] = "snapshot_timeout",
	[SNAPSHOT_BYTES] = "snapshot_max_bytes",
	[SNAPSHOT_MEMORY] = "memory_limit",
	[SNAPSHOT_TREES] = "FLUSHDB",
};

static inline uint32
state_of(uint64 word)
{
	return (uint32) (word & 0xff);
}

static inline uint32
reason_of(uint64 word)
{
	return (uint32) (word >> 8 & 0xff);
}

static inline uint64
with_state(uint64 word, uint32 state, uint32 reason)
{
	return (word >> 16) << 16 | (uint64) reason << 8 | state;
}

/* is_serial -- are both about the same snapshot? */
static inline bool
is_serial(uint64 a, uint64 b)
{
	return a >> 16 == b >> 16;
}

static inline uint64
bit_of(uint32 index)
{
	return UINT64_C(1) << index;
}

static inline uint64
open_mask(void)
{
	return atomic_load_explicit(&store_shared->snapshot_open, memory_order_seq_cst);	/* seq_cst [store-snapshot] */
}

static inline uint64
load_state(uint32 index)
{
	return atomic_load_explicit(&store_shared->snapshot[index].state, memory_order_acquire);	/* acquire [snapshot-state] */
}

/* change_state -- by CAS; false: somebody else was faster, *word is what he made of it. */
static bool
change_state(uint32 index, uint64 *word, uint64 to)
{
	/* seq_cst [snapshot-state]: before the bit goes; acquire: what the other side has done */
	return atomic_compare_exchange_strong_explicit(&store_shared->snapshot[index].state, word, to, memory_order_seq_cst,
												   memory_order_acquire);
}

/* announce, withdraw -- the position before the bit; the bit before the position. */
static void
announce(uint32 index)
{
	atomic_store_explicit(&store_shared->snapshot_at[index], STORE_SNAPSHOT_UNKNOWN, memory_order_seq_cst);	/* seq_cst [snapshot-at] */
	/* seq_cst [store-snapshot]: before the fence of the grace period that follows */
	atomic_fetch_or_explicit(&store_shared->snapshot_open, bit_of(index), memory_order_seq_cst);
}

static void
withdraw(uint32 index)
{
	/* seq_cst [store-snapshot]: after the state, before anything goes */
	atomic_fetch_and_explicit(&store_shared->snapshot_open, ~bit_of(index), memory_order_seq_cst);
	atomic_store_explicit(&store_shared->snapshot_at[index], STORE_SNAPSHOT_NONE, memory_order_seq_cst);	/* seq_cst [snapshot-at] */
}

void
store__checkpoint_snapshot(uint64 at)
{
	if (at == STORE_SNAPSHOT_UNKNOWN)
		announce(STORE_SNAPSHOT_CHECKPOINT);
	else if (at == STORE_SNAPSHOT_NONE)
		withdraw(STORE_SNAPSHOT_CHECKPOINT);
	else
		atomic_store_explicit(&store_shared->snapshot_at[STORE_SNAPSHOT_CHECKPOINT], at, memory_order_seq_cst);	/* seq_cst [snapshot-at] */
}

/* ---- writers ---- */

void
store__open_snapshots_list(StoreOpen *open, uint64 mask)
{
	open->unknown = false;
	open->count = 0;
	for (; mask != 0; mask &= mask - 1)
	{
		/* acquire [snapshot-at]: a position is stored after 'insert' was read */
		uint64		at = atomic_load_explicit(&store_shared->snapshot_at[__builtin_ctzll(mask)], memory_order_acquire);

		if (at == STORE_SNAPSHOT_UNKNOWN)
			open->unknown = true;
		else if (at != STORE_SNAPSHOT_NONE)
			open->at[open->count++] = at;
	}
}

Off
store__link_for(const StoreOpen *open, const Leaf *old, Lsn lsn)
{
	Lsn			highest = LSN_NONE;

	if (open->unknown)
		return seg_off(old);
	for (uint32 i = 0; i < open->count; i++)
		if (open->at[i] < lsn)
			highest = Max(highest, open->at[i]);
	while (old->lsn > highest)
	{
		Off			link = leaf_link(old);

		if (link == 0)
			return 0;
		old = seg_ptr(link);
	}
	return seg_off(old);
}

void
store__replaced_chain(Leaf *old, Off link)
{
	if (link == seg_off(old))
	{
		figure_add(&store_shared->counts[my_slot->number].linked_bytes, leaf_bytes(old));
		return;
	}
	leaf_retire_chain(seg_off(old), link);
	store__links_account();
}

void
store__links_account(void)
{
	static _Thread_local uint64 accounted;

	if (likely(leaf_followers_retired == accounted))
		return;
	figure_add(&store_shared->counts[my_slot->number].unlinked_bytes, leaf_followers_retired - accounted);
	accounted = leaf_followers_retired;
}

/* ---- what must stay ---- */

Lsn
store__oldest_pin(void)
{
	uint64		mask = open_mask() & ~bit_of(STORE_SNAPSHOT_CHECKPOINT);
	Lsn			oldest = UINT64_MAX;

	for (; mask != 0; mask &= mask - 1)
		/* relaxed: stored before the bit was set, or by a later owner, who pins what is younger */
		oldest = Min(oldest, atomic_load_explicit(&store_shared->snapshot[__builtin_ctzll(mask)].pinned, memory_order_relaxed));
	return oldest;
}

void
store__guard_take(StoreGuard *guard)
{
	uint64		mask;

	/* acquire [snapshots-closed]: first of all, so that nothing that closes later is overlooked */
	guard->closed = atomic_load_explicit(&store_shared->snapshots_closed, memory_order_acquire);
	/* evict_cut first, the table second */
	guard->cut = store__evict_cut();
	guard->count = 0;
	for (mask = open_mask() & ~bit_of(STORE_SNAPSHOT_CHECKPOINT); mask != 0; mask &= mask - 1)
	{
		int			index = __builtin_ctzll(mask);
		uint32		i = guard->count++;

		/* acquire [snapshot-at]; an entry that has changed hands since is of somebody who pins what is younger */
		guard->snapshot[i].at = atomic_load_explicit(&store_shared->snapshot_at[index], memory_order_acquire);
		/* relaxed: stored before the bit was set */
		guard->snapshot[i].pinned = atomic_load_explicit(&store_shared->snapshot[index].pinned, memory_order_relaxed);
	}
}

bool
store__guard_stale(const StoreGuard *guard)
{
	/* acquire [snapshots-closed] */
	return guard->cut != store__evict_cut() ||
		guard->closed != atomic_load_explicit(&store_shared->snapshots_closed, memory_order_acquire);
}

bool
store__snapshot_needs(const StoreGuard *guard, const Leaf *leaf)
{
	Assert(leaf->lsn <= guard->cut && (leaf_flags(leaf) & LEAF_DESCRIPTOR) == 0);
	for (uint32 i = 0; i < guard->count; i++)
	{
		Lsn			pinned = guard->snapshot[i].pinned;
		const Leaf *version;

		if (leaf->lsn <= pinned)
			continue;
		if (guard->snapshot[i].at == STORE_SNAPSHOT_UNKNOWN)
			return true;
		version = store__resolve_at(leaf, guard->snapshot[i].at);
		if (version != NULL && version->lsn > pinned)
			return true;
	}
	return false;
}

/*
 * store__snapshot_names_tree -- 'tree_id' has been dropped, at or below evict_cut.
 *
 * A snapshot whose position is not known yet holds the map's lock or is not to
 * read the tree, but its map is not filled in: it counts as naming all.
 */
bool
store__snapshot_names_tree(uint32 tree_id)
{
	uint64		mask = open_mask() & ~bit_of(STORE_SNAPSHOT_CHECKPOINT);

	for (; mask != 0; mask &= mask - 1)
	{
		int			index = __builtin_ctzll(mask);
		/* acquire [snapshot-at]: the map before it */
		uint64		at = atomic_load_explicit(&store_shared->snapshot_at[index], memory_order_acquire);

		if (at == STORE_SNAPSHOT_UNKNOWN)
			return true;
		for (uint32 db = 0; db < DATABASE_COUNT; db++)
			/* relaxed: before the position */
			if (atomic_load_explicit(&store_shared->snapshot[index].tree_id[db], memory_order_relaxed) == tree_id)
				return true;
	}
	return false;
}

/* ---- opening ---- */

StoreSnapshot *
store_snapshot_create(uint64 client)
{
	StoreSnapshot *snapshot = calloc(1, sizeof(*snapshot));

	Verify(snapshot != NULL);
	snapshot->client = client;
	return snapshot;
}

/* take_entry_from -- one that is in this state; false: there is none. */
static bool
take_entry_from(StoreSnapshot *x, uint32 state)
{
	for (uint32 i = STORE_SNAPSHOT_CHECKPOINT + 1; i < STORE_SNAPSHOTS; i++)
	{
		uint64		word = load_state(i);
		uint64		mine = with_state(word + (UINT64_C(1) << 16), SNAPSHOT_OPENING, 0);

		if (state_of(word) != state || !change_state(i, &word, mine))
			continue;
		x->index = i;
		x->word = mine;
		return true;
	}
	return false;
}

/*
 * take_entry -- false: the table is full.  An entry that a limit has ended pins nothing
 * any more; if its owner has not come back for it, it is taken: he sees by the serial
 * that it is not his.
 */
static bool
take_entry(StoreSnapshot *x)
{
	return take_entry_from(x, SNAPSHOT_FREE) || take_entry_from(x, SNAPSHOT_ENDED);
}

/* links_from -- heads above 'from' may have links that nobody needs. */
static void
links_from(Lsn from)
{
	_Atomic uint64 *word = &store_shared->links_from;
	/* relaxed: the CAS decides */
	uint64		old = atomic_load_explicit(word, memory_order_relaxed);

	while (from < old && !atomic_compare_exchange_weak_explicit(word, &old, from, memory_order_seq_cst,	/* seq_cst [links-from] */
																memory_order_relaxed))	/* relaxed: again */
		;
}

/* step_announce -- (1); the map is locked, we have an entry. */
static void
step_announce(StoreSnapshot *x)
{
	SnapshotEntry *entry = &store_shared->snapshot[x->index];
	const StoreBase *base;

	epoch_enter();
	base = store__base();
	x->root = base->root;
	memcpy(x->base_tree_id, base->tree_id, sizeof(x->base_tree_id));
	memcpy(x->base_key_count, base->key_count, sizeof(x->base_key_count));
	/* relaxed, all: published by the bit */
	atomic_store_explicit(&entry->pinned, x->root.cut, memory_order_relaxed);
	atomic_store_explicit(&entry->opened_us, clock_mono_us(), memory_order_relaxed);
	atomic_store_explicit(&entry->client, x->client, memory_order_relaxed);
	atomic_store_explicit(&entry->slot, my_slot->number, memory_order_relaxed);
	wal_completed_update();
	atomic_store_explicit(&entry->announced, wal_completed_lsn(), memory_order_relaxed);
	announce(x->index);
	epoch_leave();
	/* after the bit: the evictor takes links_from away first, and looks at the bits second.  relaxed: ours */
	links_from(atomic_load_explicit(&entry->announced, memory_order_relaxed));
	x->grace = epoch_grace_start();
}

static void
unlock_map(StoreSnapshot *x)
{
	store__map_unlock();
	x->locked = false;
}

/* step_position -- (3); a grace period since the announcement. */
static void
step_position(StoreSnapshot *x)
{
	SnapshotEntry *entry = &store_shared->snapshot[x->index];

	x->at = wal_insert_lsn();
	/* acquire [store-clock]: what somebody was told to be dead is dead here, too */
	x->clock = Max(store_clock_us(), atomic_load_explicit(&store_shared->clock_told, memory_order_acquire));
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		x->tree_id[db] = store__tree_id(store__tree_index(db));
		/* relaxed: published by the position */
		atomic_store_explicit(&entry->tree_id[db], x->tree_id[db], memory_order_relaxed);
	}
	atomic_store_explicit(&store_shared->snapshot_at[x->index], x->at, memory_order_seq_cst);	/* seq_cst [snapshot-at] */
	unlock_map(x);
}

enum { STEP_LOCK, STEP_GRACE, STEP_COMPLETED, STEP_OPEN };

StoreStatus
store_snapshot_open(StoreSnapshot *x)
{
	uint64		word = x->word;

	Assert(!epoch_inside() && x->step != STEP_OPEN);
	if (x->step == STEP_LOCK)
	{
		if (!store__map_try_lock())
			return STORE_PARK_MAP;
		x->locked = true;
		if (!take_entry(x))
		{
			unlock_map(x);
			return STORE_SNAPSHOTS_FULL;
		}
		step_announce(x);
		x->step = STEP_GRACE;
	}
	if (x->step == STEP_GRACE)
	{
		if (!epoch_grace_passed(x->grace))
			return STORE_PARK_MAP;
		step_position(x);
		x->step = STEP_COMPLETED;
	}
	wal_completed_update();
	if (wal_completed_lsn() < x->at)
		return STORE_PARK_MAP;
	word = x->word;
	x->word = with_state(word, SNAPSHOT_OPEN, 0);
	Verify(change_state(x->index, &word, x->word));	/* nobody ends what is not open yet */
	x->step = STEP_OPEN;
	/* relaxed: a figure */
	atomic_fetch_add_explicit(&store_shared->snapshots_opened, 1, memory_order_relaxed);
	return STORE_OK;
}

/* ---- the end ---- */

/* closed -- the bit has gone: links may go, too. */
static void
closed(void)
{
	/* release [snapshots-closed]: the bit */
	atomic_fetch_add_explicit(&store_shared->snapshots_closed, 1, memory_order_release);
	latch_set(proc_first_slot(PROC_EVICTOR));
}

static void
close_entry(StoreSnapshot *x)
{
	uint64		word = load_state(x->index);

	while (is_serial(word, x->word))
		switch (state_of(word))
		{
			case SNAPSHOT_OPENING:
			case SNAPSHOT_OPEN:
				if (!change_state(x->index, &word, with_state(word, SNAPSHOT_CLOSING, 0)))
					break;
				word = with_state(word, SNAPSHOT_CLOSING, 0);
				withdraw(x->index);
				Verify(change_state(x->index, &word, with_state(word, SNAPSHOT_FREE, 0)));
				closed();
				return;
			case SNAPSHOT_ENDING:
				if (change_state(x->index, &word, with_state(word, SNAPSHOT_LEFT, 0)))
					return;
				break;
			case SNAPSHOT_ENDED:
				if (change_state(x->index, &word, with_state(word, SNAPSHOT_FREE, 0)))
					return;
				break;			/* somebody else has taken it */
			default:
				NotReached();
		}
}

void
store_snapshot_close(StoreSnapshot *x)
{
	if (x == NULL)
		return;
	Assert(!epoch_inside());
	if (store_snapshot_in_use == x)
		store_use_snapshot(NULL);
	if (x->step != STEP_LOCK)
		close_entry(x);
	if (x->locked)
		unlock_map(x);
	free(x);
}

Lsn
store_snapshot_lsn(const StoreSnapshot *x)
{
	return x->at;
}

bool
store__snapshot_alive(const StoreSnapshot *x)
{
	return load_state(x->index) == x->word;
}

const char *
store_snapshot_reason(const StoreSnapshot *x)
{
	uint64		word = load_state(x->index);

	if (!is_serial(word, x->word))
		return "a limit, see the server's log";	/* the entry is another's by now */
	Assert(reason_of(word) < SNAPSHOT_REASONS);
	return reason_names[reason_of(word)];
}

/* end_entry -- by a limit; false: its owner was faster, or it is no longer the one meant. */
static bool
end_entry(uint32 index, uint64 word, SnapshotReason reason)
{
	/* relaxed: for people */
	uint64		client = atomic_load_explicit(&store_shared->snapshot[index].client, memory_order_relaxed);
	uint64		at = atomic_load_explicit(&store_shared->snapshot_at[index], memory_order_relaxed);
	uint64		ending = with_state(word, SNAPSHOT_ENDING, (uint32) reason);

	if (!change_state(index, &word, ending))
		return false;
	withdraw(index);
	/* relaxed, both: figures; the checkpointer counts anew */
	atomic_store_explicit(&store_shared->snapshot_pages, 0, memory_order_relaxed);
	atomic_fetch_add_explicit(&store_shared->snapshots_ended[reason], 1, memory_order_relaxed);
	if (!change_state(index, &ending, with_state(ending, SNAPSHOT_ENDED, (uint32) reason)))
		Verify(change_state(index, &ending, with_state(ending, SNAPSHOT_FREE, 0)));	/* LEFT */
	closed();
	ereport(LOG, "the snapshot at %llu of client %llu was ended: %s", (unsigned long long) at, (unsigned long long) client,
			reason_names[reason]);
	return true;
}

/* find_oldest -- of those that are open; false: there is none. */
static bool
find_oldest(uint32 *index, uint64 *word)
{
	uint64		mask = open_mask() & ~bit_of(STORE_SNAPSHOT_CHECKPOINT);
	uint64		oldest = UINT64_MAX;

	for (; mask != 0; mask &= mask - 1)
	{
		uint32		i = (uint32) __builtin_ctzll(mask);
		uint64		state = load_state(i);
		/* relaxed: stored before the bit */
		uint64		opened = atomic_load_explicit(&store_shared->snapshot[i].opened_us, memory_order_relaxed);

		if (state_of(state) != SNAPSHOT_OPEN || opened >= oldest)
			continue;
		oldest = opened;
		*index = i;
		*word = state;
	}
	return oldest != UINT64_MAX;
}

bool
store__snapshot_end_oldest(SnapshotReason reason)
{
	uint32		index;
	uint64		word;

	while (find_oldest(&index, &word))
		if (end_entry(index, word, reason))
			return true;
	return false;
}

/* ---- figures ---- */

/* reason_text -- of a state that is on its way out; NULL: it is open. */
static const char *
reason_text(uint64 word)
{
	switch (state_of(word))
	{
		case SNAPSHOT_ENDING:
		case SNAPSHOT_ENDED:
			return reason_of(word) < SNAPSHOT_REASONS ? reason_names[reason_of(word)] : NULL;
		default:
			return NULL;
	}
}

uint32
store_snapshot_list(StoreSnapshotInfo out[STORE_SNAPSHOTS_MAX])
{
	uint64		now = clock_mono_us();
	uint32		count = 0;

	for (uint32 i = STORE_SNAPSHOT_CHECKPOINT + 1; i < STORE_SNAPSHOTS; i++)
	{
		SnapshotEntry *entry = &store_shared->snapshot[i];
		uint64		word = load_state(i);
		StoreSnapshotInfo *info = &out[count];
		uint64		opened;

		if (state_of(word) != SNAPSHOT_OPENING && state_of(word) != SNAPSHOT_OPEN && state_of(word) != SNAPSHOT_ENDED)
			continue;
		/* relaxed, all: for people; what changed hands meanwhile is left out */
		opened = atomic_load_explicit(&entry->opened_us, memory_order_relaxed);
		info->lsn = atomic_load_explicit(&store_shared->snapshot_at[i], memory_order_relaxed);
		info->lsn = info->lsn == STORE_SNAPSHOT_UNKNOWN ? LSN_NONE : info->lsn;
		info->base_cut = atomic_load_explicit(&entry->pinned, memory_order_relaxed);
		info->client = atomic_load_explicit(&entry->client, memory_order_relaxed);
		info->age_us = now > opened ? now - opened : 0;
		info->ended = reason_text(word);
		count += load_state(i) == word;
	}
	return count;
}

void
store_snapshot_figures(StoreSnapshotFigures *out)
{
	StoreSnapshotInfo info[STORE_SNAPSHOTS_MAX];
	uint32		count = store_snapshot_list(info);
	uint64		linked = 0;
	uint64		unlinked = 0;

	memset(out, 0, sizeof(*out));
	for (uint32 i = 0; i < count; i++)
	{
		if (info[i].ended != NULL)
			continue;
		out->open++;
		if (info[i].lsn != LSN_NONE && (out->oldest_lsn == LSN_NONE || info[i].lsn < out->oldest_lsn))
			out->oldest_lsn = info[i].lsn;
		out->oldest_age_us = Max(out->oldest_age_us, info[i].age_us);
	}
	/* relaxed, all: figures */
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		unlinked += figure_get(&store_shared->counts[i].unlinked_bytes);
		linked += figure_get(&store_shared->counts[i].linked_bytes);
	}
	out->linked_bytes = linked - Min(linked, unlinked);
	out->opened = figure_get(&store_shared->snapshots_opened);
	out->held_bytes = figure_get(&store_shared->snapshot_held);
	out->page_bytes = figure_get(&store_shared->snapshot_pages) * BASE_PAGE_SIZE;
	for (int i = 0; i < SNAPSHOT_REASONS; i++)
		out->ended[i] = figure_get(&store_shared->snapshots_ended[i]);
}

/* ---- tending: the evictor ---- */

/* Tending -- its own */
typedef struct Tending
{
	uint64		served;			/* snapshots_closed when the release that was begun last began */
	bool		waiting;		/* for the grace period after it ... */
	uint64		grace;
	bool		running;		/* ... then links are released */
	Lsn			open_from;		/* the lowest 'announced' of those that were open when it began */
	uint64		again_us;		/* it has missed some heads; 0: none */
	LinkRelease release;
} Tending;

static Tending tending;

void
snapshots_reset(void)
{
	memset(&tending, 0, sizeof(tending));
}

/*
 * release_begin -- from where the walk goes: heads that have a link lie above the
 * announcement of the snapshot that it was made for.  Those for the snapshots that are
 * still open are looked at again when these are closed.
 */
static void
release_begin(void)
{
	/* seq_cst [links-from]: first this, the bits second; an opener sets his bit first */
	Lsn			from = atomic_exchange_explicit(&store_shared->links_from, UINT64_MAX, memory_order_seq_cst);

	memset(&tending.release, 0, sizeof(tending.release));
	tending.release.since = from;
	tending.release.cut = store__evict_cut();
	tending.open_from = UINT64_MAX;
	for (uint64 mask = open_mask() & ~bit_of(STORE_SNAPSHOT_CHECKPOINT); mask != 0; mask &= mask - 1)
		/* relaxed: stored before the bit; an owner who came since brings his own */
		tending.open_from = Min(tending.open_from,
								atomic_load_explicit(&store_shared->snapshot[__builtin_ctzll(mask)].announced,
													 memory_order_relaxed));
	tending.running = true;
}

static void
release_end(uint64 now_us)
{
	links_from(tending.open_from);
	if (tending.release.missed > 0)
	{
		links_from(tending.release.since);
		tending.again_us = now_us + RELEASE_AGAIN_US;
	}
	tending.running = false;
	if (tending.release.released > 0)
		ereport(DEBUG1, "links of %llu keys released", (unsigned long long) tending.release.released);
}

/* release_step -- true: there is more to do at once. */
static bool
release_step(uint64 now_us)
{
	/* acquire [snapshots-closed] */
	uint64		gone = atomic_load_explicit(&store_shared->snapshots_closed, memory_order_acquire);

	if (tending.running)
	{
		uint64		looked = tending.release.looked;

		if (store__release_piece(&tending.release))
			release_end(now_us);
		return tending.release.looked != looked;	/* not at once, if there was no memory to retire with */
	}
	if (tending.waiting)
	{
		if (!epoch_grace_passed(tending.grace))
			return false;
		tending.waiting = false;
		release_begin();
		return true;
	}
	if (gone == tending.served && (tending.again_us == 0 || now_us < tending.again_us))
		return false;
	/* who read the table before the bit went may still publish a link */
	tending.served = gone;
	tending.again_us = 0;
	tending.grace = epoch_grace_start();
	tending.waiting = true;
	return true;
}

/* end_old -- those above snapshot_timeout. */
static void
end_old(uint64 now_us)
{
	uint64		timeout = (uint64) set_snapshot_timeout * 1000;

	if (timeout == 0)
		return;
	for (uint64 mask = open_mask() & ~bit_of(STORE_SNAPSHOT_CHECKPOINT); mask != 0; mask &= mask - 1)
	{
		uint32		i = (uint32) __builtin_ctzll(mask);
		uint64		word = load_state(i);
		/* relaxed: stored before the bit */
		uint64		opened = atomic_load_explicit(&store_shared->snapshot[i].opened_us, memory_order_relaxed);

		if (state_of(word) == SNAPSHOT_OPEN && now_us > opened && now_us - opened > timeout)
			(void) end_entry(i, word, SNAPSHOT_TIMEOUT);
	}
}

/* over_bytes -- is too much held?  Not while what the last one held is still being given back. */
static bool
over_bytes(void)
{
	StoreSnapshotFigures figures;

	if (set_snapshot_max_bytes == 0 || tending.running || tending.waiting)
		return false;
	store_snapshot_figures(&figures);
	return figures.linked_bytes + figures.held_bytes + figures.page_bytes > (uint64) set_snapshot_max_bytes;
}

bool
store__snapshots_tend(uint64 now_us)
{
	bool		more = release_step(now_us);

	if (likely((open_mask() & ~bit_of(STORE_SNAPSHOT_CHECKPOINT)) == 0))
	{
		if (unlikely(figure_get(&store_shared->snapshot_held) != 0))
			figure_set(&store_shared->snapshot_held, 0);
		return more;
	}
	end_old(now_us);
	if (over_bytes() && store__snapshot_end_oldest(SNAPSHOT_BYTES))
	{
		figure_set(&store_shared->snapshot_held, 0);	/* of the next round of the clock */
		more = true;
	}
	return more;
}
