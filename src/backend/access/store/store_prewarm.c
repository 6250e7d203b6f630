/*
 * store_prewarm.c -- after a start: keys from the base into memory, while there is room.
 *
 * A start loads nothing, so the first reads of a key cost a page each.  The
 * evictor therefore reads the base in key order, in bounded pieces between its
 * other work, and puts a clean leaf into the overlay for every key that has none
 * (store__promote).  It ends at the last key, or where memory is
 * EVICT_PREWARM_PERCENT full, or when eviction has begun.
 *
 * COMPLETE.  If it came through without an eviction in between, every key of the
 * base has a leaf, and the root may say so: a miss is a definite no from then on,
 * and walks need no merge.  Why that is right although checkpoints publish new
 * roots meanwhile and clients write: let FILLING be set at time f and COMPLETE, by
 * CAS from FILLING, at time c, and let key k be in the root in force at c.
 *
 *   - The hand passed k's place in an epoch between f and c, with the root R that
 *     was in force there.  If R held k, k had a leaf afterwards: promotion leaves
 *     one, whoever made it.
 *   - If R did not hold k, a later merge put it in, out of a leaf of k with an
 *     lsn above R's cut; so k had a leaf then, written since.
 *   - A leaf of k, once there between f and c, is only ever replaced by another
 *     one, but for two cases: eviction, which clears FILLING before it takes
 *     anything, so that the CAS fails; and the sweep of a tombstone, or of a tree,
 *     that every root in force lacks: then k was not in the root, and if it came
 *     back it came back as a leaf.  A descriptor leaf over nothing is no leaf of k:
 *     a null may follow it; so promotion does not count it as one, and the hand stays
 *     at k until the transaction is decided: it does so by itself, or its patience has an end
 *     for us as for a writer of k (store__meet_descriptor).
 *   - The index of deadlines is left out: who reads it, reads the base as well.
 *   - A key of a tree that was dropped and swept is left out: nobody can ask for
 *     it, and none of it is in a root with a cut that high.
 *
 * A piece of reading that was in no root any more when it was promoted cannot
 * happen: root and promotion are in one epoch, and a root stays readable, and its
 * versions the newest on disk or shadowed by a leaf, until the epoch is left.
 *
 * Clients come first: a piece is PIECE_KEYS keys or PIECE_BYTES bytes, the pages
 * that the next ones need are read meanwhile, and no piece begins while somebody
 * waits for memory.  Runs in the evictor alone; if it dies, all are restarted.
 */
#include "common/c.h"

#include "access/store/checkpoint.h"
#include "access/store/evict_internal.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#define PIECE_KEYS 256
#define PIECE_BYTES (256 * KIB)
#define AHEAD_PAGES 16
#define PLACE_TRIES 100			/* a key that finds no place or no memory: how often it is tried again */
#define AGAIN_PERCENT 40		/* memory that is used less than this ... */
#define AGAIN_US 10000000		/* ... has room for another prewarm, if the base is small enough; not too often */

/* Prewarm -- where it is; the evictor's own */
typedef struct Prewarm
{
	bool		wanted;			/* by the setting */
	BaseKeep   *keep;
	BaseCursor *cursor;
	uint8		key[KEY_MAX];	/* the last one that is in memory now */
	uint32		key_len;		/* 0: none yet */
	uint32		tries;			/* of the key behind it */
	uint64		begun_us;
	uint64		ended_us;
} Prewarm;

static Prewarm prewarm;

const char *
evict_prewarm_name(PrewarmState state)
{
	static const char *const names[] = {"off", "running", "done", "stopped"};

	return (uint32) state < lengthof(names) ? names[state] : "?";
}

static PrewarmState
state_get(void)
{
	return (PrewarmState) atomic_load_explicit(&evict__shared->prewarm, memory_order_relaxed);	/* relaxed: ours */
}

static void
state_set(PrewarmState state)
{
	atomic_store_explicit(&evict__shared->prewarm, state, memory_order_relaxed);	/* relaxed: a figure to others */
}

static bool
is_complete(void)
{
	/* relaxed: we alone set and clear it */
	return (atomic_load_explicit(&store_shared->root.flags, memory_order_relaxed) & ART_ROOT_COMPLETE) != 0;
}

/* keys_known -- over all databases: what progress is a part of. */
static uint64
keys_known(void)
{
	uint64		sum = 0;
	Lsn			gate = LSN_NONE;

	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		sum += store_count(db, &gate);
	return sum;
}

static void
begin(void)
{
	prewarm.key_len = 0;
	prewarm.tries = 0;
	prewarm.begun_us = clock_mono_us();
	/* relaxed: figures */
	atomic_store_explicit(&evict__shared->prewarm_keys, 0, memory_order_relaxed);
	atomic_store_explicit(&evict__shared->prewarm_keys_total, keys_known(), memory_order_relaxed);
	art_filling_begin(&store_shared->root);
	state_set(PREWARM_RUNNING);
}

/* end -- 'state' is how; the pages go. */
static void
end(PrewarmState state, const char *why)
{
	base_keep_release(prewarm.keep);
	prewarm.ended_us = clock_mono_us();
	if (state != PREWARM_DONE)
		art_filling_cancel(&store_shared->root);
	state_set(state);
	/* relaxed: ours */
	ereport(LOG, "prewarm: %s after %llu keys and %.3f s", why,
			(unsigned long long) atomic_load_explicit(&evict__shared->prewarm_keys, memory_order_relaxed),
			(double) (prewarm.ended_us - prewarm.begun_us) / 1e6);
}

void
prewarm_open(void)
{
	memset(&prewarm, 0, sizeof(prewarm));
	prewarm.wanted = set_prewarm == PREWARM_SETTING_BACKGROUND;
	if (!prewarm.wanted)
		return;
	prewarm.keep = base_keep_create();
	prewarm.cursor = base_cursor_create();
	if (is_complete())
		state_set(PREWARM_DONE);	/* the base was empty */
	else
		begin();
}

/* tree_is_gone -- a key of a tree that nobody can ask for any more: dropped a grace period ago, or swept; or of the system's, in no table. */
static bool
tree_is_gone(const uint8 *key)
{
	uint32		big_endian;
	int			index;
	StoreTree  *tree;

	memcpy(&big_endian, key, 4);
	index = store__tree_of_id(__builtin_bswap32(big_endian));
	if (index < 0)
		return true;
	tree = &store_shared->tree[index];
	if (atomic_load_explicit(&tree->state, memory_order_acquire) != TREE_DROPPED)	/* acquire [store-drop] */
		return false;
	/* relaxed: stored before state */
	return epoch_grace_passed(atomic_load_explicit(&tree->drop_epoch, memory_order_relaxed));
}

typedef enum PieceResult
{
	PIECE_MORE,
	PIECE_END,				/* behind the last key */
	PIECE_MISS,				/* pages must be read first */
	PIECE_NO_PLACE,			/* no memory, or another was faster: again */
	PIECE_HELD,				/* by a transaction that is not decided */
	PIECE_CORRUPT
} PieceResult;

/* not_promoted -- why a key could not be: inside the epoch. */
static PieceResult
not_promoted(const uint8 *key, uint32 key_len)
{
	const Leaf *leaf = art_lookup(&store_shared->root, key, key_len);

	if (leaf == NULL || (leaf_flags(leaf) & LEAF_DESCRIPTOR) == 0)
		return PIECE_NO_PLACE;
	switch (store__meet_descriptor(leaf))
	{
		case STORE_OK:
			return PIECE_MORE;	/* it has gone: the same key again */
		case STORE_NO_MEMORY:
			return PIECE_NO_PLACE;
		default:
			return PIECE_HELD;
	}
}

/* piece -- inside one epoch, with the root that is in force there. */
static PieceResult
piece(void)
{
	const StoreBase *base = store__base();
	uint64		bytes = 0;

	base_seek(prewarm.cursor, &base->root, NULL, 0, prewarm.key_len > 0 ? prewarm.key : NULL, prewarm.key_len,
			  prewarm.key_len > 0, false, AHEAD_PAGES, prewarm.keep);
	for (uint32 i = 0; i < PIECE_KEYS && bytes < PIECE_BYTES; i++)
	{
		const uint8 *key;
		uint32		key_len;
		BaseValue	value;

		switch (base_next(prewarm.cursor, true, &key, &key_len, &value))
		{
			case BASE_FOUND:
				break;
			case BASE_ABSENT:
				return PIECE_END;
			case BASE_MISS:
				return PIECE_MISS;
			case BASE_CORRUPT:
				return PIECE_CORRUPT;
		}
		if (!tree_is_gone(key) && !store__promote(key, key_len, &value))
			return not_promoted(key, key_len);
		memcpy(prewarm.key, key, key_len);
		prewarm.key_len = key_len;
		prewarm.tries = 0;
		bytes += key_len + value.len;
		figure_add(&evict__shared->prewarm_keys, 1);
	}
	return PIECE_MORE;
}

/* again_worth -- memory has become free since (FLUSHALL, deletions), and the base seems to fit. */
static bool
again_worth(void)
{
	CheckpointStatus status;

	if (!prewarm.wanted || is_complete() || evict__used_percent() >= AGAIN_PERCENT ||
		clock_mono_us() - prewarm.ended_us < AGAIN_US)
		return false;
	checkpoint_status(&status);
	return status.base.live_pages * BASE_PAGE_SIZE < evict__capacity() * AGAIN_PERCENT / 100;
}

bool
prewarm_step(void)
{
	PieceResult result;

	if (state_get() != PREWARM_RUNNING)
	{
		if (again_worth())
			begin();
		return false;
	}
	if (evict__pressed() || evict__used_percent() >= EVICT_PREWARM_PERCENT)
	{
		end(PREWARM_STOPPED, "stopped, memory is used");
		return false;
	}
	epoch_enter();
	result = piece();
	epoch_leave();
	switch (result)
	{
		case PIECE_MORE:
			base_cursor_prefetch(prewarm.cursor);
			mem_keep_ahead();
			break;
		case PIECE_MISS:
			base_read_start(prewarm.keep);
			base_read_wait(prewarm.keep);
			break;
		case PIECE_NO_PLACE:
			if (++prewarm.tries > PLACE_TRIES || mem_grow() != 0)
				end(PREWARM_STOPPED, "stopped, there is no more memory");
			break;
		case PIECE_HELD:
			return false;		/* after a sleep */
		case PIECE_CORRUPT:
			end(PREWARM_STOPPED, base_keep_error(prewarm.keep));
			break;
		case PIECE_END:
			if (art_filling_end(&store_shared->root))
				end(PREWARM_DONE, "every key is in memory");
			else
				end(PREWARM_STOPPED, "all keys were read, but some have been evicted since");
			break;
	}
	return true;
}
