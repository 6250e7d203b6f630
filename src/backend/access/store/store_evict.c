/*
 * store_evict.c -- keeping memory free: the clock, the request for a checkpoint, the brake.
 *
 * Memory holds what was written since the cut (dirt, which must stay), clean
 * copies of what is hot, and nodes.  Here the evictor takes clean leaves away when
 * memory runs short, asks for a checkpoint when dirt does, and tells writers how
 * long to wait meanwhile, so that they come to a stop smoothly and not at a wall.
 *
 * The clock.  A hand goes around the whole overlay in key order, in bounded pieces
 * (art_evict).  A leaf may go if its lsn is <= evict_cut, no snapshot needs it
 * (store__snapshot_needs) and it is no descriptor;
 * one that was read since the hand passed (RECENT) loses the mark and stays for
 * this round.  Why the base then answers as the leaf did: lsn <= evict_cut <= cut
 * of every root that anybody may still read, and the leaf is its key's newest
 * version, so the base holds exactly it; a tombstone that may go stands for a key
 * that the base lacks.  Whoever found neither leaf nor COMPLETE reads the root
 * after the overlay, in one epoch, and evict_cut follows the root by a grace period.
 *
 * What a full memory can be short of is not always bytes: blocks of one size class
 * may be free while another finds none, and a span changes its class only when all
 * of it is free.  Then leaves are moved together (store_compact.c); where that
 * does not help, more of them are evicted first, in the end everything clean.  How
 * full memory can get before somebody finds none is learned ("capacity"): each
 * failure lowers it, time raises it again, and all marks are parts of it.
 *
 * The brake.  delay(used) rises as a square from EVICT_SLOW_PERCENT to DELAY_MAX_US
 * at 100; it follows a rise within the time in which a thirty-second of memory could
 * fill up, and a fall slowly, so that what a checkpoint frees is not gone in one
 * burst.  While somebody waits for memory the others are held back more and more, or
 * those whose size there is would overtake him for ever.  Workers read the delay in
 * one relaxed load.
 *
 * Whoever finds no memory at all asks evict_hopeless.  True only if the evictor has
 * gone around everything since, without mercy for RECENT, and got nothing, and a
 * checkpoint that began after that one began to wait has committed before this
 * round, or failed, or would have nothing to write; or if nothing has moved for
 * HOPELESS_AFTER_US.
 *
 * Runs in the evictor; evict_write_delay_us and its like in workers.  If the
 * evictor dies, all are restarted; the shared words are figures, each whole by
 * itself, and the overlay is consistent at every instruction (art_evict).
 */
#include "common/c.h"

#include "access/store/checkpoint_internal.h"
#include "access/store/evict_internal.h"
#include "storage/ipc/latch.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"
#include "utils/elog.h"

#define PIECE_STEPS_MAX 4096		/* leaves of one piece of the clock ... */
#define PIECE_STEPS_MIN 64
#define PIECE_LIMIT_PARTS 64		/* ... and so much of the limit: what was taken waits for a grace period */
#define LITTLE_PARTS 128			/* a round that takes less of the limit away was not worth much */
#define DELAY_MAX_US 20000
#define WAITED_PARTS 50				/* while somebody waits, the others are held back for so much of his time */
#define DELAY_RISE_MAX_US 100000.0	/* time constants of the brake */
#define DELAY_FILL_BYTES_PER_US 100
#define DELAY_FALL_US 250000
#define ASK_LOG_PARTS 4				/* so much of the limit in log since the cut asks for a checkpoint */
#define ASK_AGAIN_US 1000000		/* after a checkpoint that failed */
#define WAITING_OVER_US 100000		/* nobody failed for so long: nobody waits any more */
#define HOPELESS_AFTER_US 10000000	/* the longest wait without any progress */
#define HOPELESS_RETRY_US 1000000	/* while nothing helps: how often everything is tried again */
#define CAPACITY_SETTLE_US 2000000	/* after a failure the capacity stays as learned for so long ... */
#define CAPACITY_BACK_US 30000000	/* ... and is back where it was after about so long */
#define FILL_BYTES_PER_US 1024		/* faster than this nobody fills memory: how long the evictor may sleep */
#define SLEEP_MIN_US 1000
#define SLEEP_MAX_US 100000
#define DOZE_AFTER_US 1000000		/* nothing was written for so long */
#define DOZE_US 250000
#define PAUSE_MIN_US 2000			/* after a round that took nothing away */
#define PAUSE_MAX_US 100000

EvictShared *evict__shared;

/* Memory -- as the evictor sees it; its own */
typedef struct Memory
{
	uint64		limit;
	uint64		nominal;		/* the limit without the heap's reserve */
	double		capacity;
	uint64		used;			/* retired included */
	uint64		live;			/* without retired: more eviction would not help those */
	uint64		looked_us;
	Lsn			insert;
	uint64		still_since_us;	/* neither log nor memory have changed since */
	uint64		failed;			/* EvictShared.failed as last seen */
	uint64		failed_us;
	uint64		learned_us;		/* waiting_us of the wait that the capacity was last learned from */
	double		delay_us;
} Memory;

/* Hand -- of the clock; the evictor's own */
typedef struct Hand
{
	uint8		from[KEY_MAX];
	uint32		from_len;
	bool		running;		/* a round has begun */
	bool		partial;		/* ... in the middle, or changed its way */
	bool		merciless;		/* RECENT does not help */
	bool		merciless_next;
	Lsn			cut;			/* evict_cut when it began */
	StoreGuard	guard;			/* what snapshots need of that */
	uint64		held;			/* bytes that could go but for snapshots */
	uint64		begun_us;
	uint64		leaves;			/* gone in this round */
	uint64		bytes;
	uint64		spared;
	uint64		dirty;			/* found too young */
	uint64		pause_until_us;
	uint64		pause_us;
	uint64		served;			/* EvictShared.failed when a piece was last made for those who wait */
	double		leaf_bytes;		/* average of those that went */
} Hand;

/* Asking -- for checkpoints; the evictor's own */
typedef struct Asking
{
	uint64		ticket;			/* of the one that is on its way; 0: none */
	uint64		asked_us;
	uint64		not_before_us;
	bool		failed;			/* the last one asked for did */
	uint64		done_asked_us;	/* when the last one that is over was asked for */
	Lsn			done_cut;		/* its cut, if it committed */
	uint64		looked_us;
	uint64		seen;			/* its progress at the last look */
	bool		stuck;			/* it waits behind an attempt that failed */
} Asking;

static Memory memory;
static Hand hand;
static Asking asking;
static bool evicting;			/* between START and STOP */
static Lsn	cut_seen;			/* evict_cut at the last step */

size_t
evict_region_size(void)
{
	return sizeof(EvictShared);
}

void
evict_region_init(void *region)
{
	evict__shared = region;
	evict__shared->magic = EVICT_MAGIC;
	memset(&memory, 0, sizeof(memory));
	memset(&hand, 0, sizeof(hand));
	memset(&asking, 0, sizeof(asking));
	evicting = false;
	cut_seen = LSN_NONE;
	sweep_reset();
	snapshots_reset();
	compact_reset();
}

/* ---- workers ---- */

/*
 * nominal_capacity -- the limit without what the heap keeps back for structural
 * changes: a sixty-fourth, at least 1 MiB, of a small limit a sixteenth (heap_span.c).
 */
static uint64
nominal_capacity(uint64 limit)
{
	return limit - Max(limit / 64, Min((uint64) MIB, limit / 16));
}

static uint64
delay_of(uint64 pressure)
{
	return pressure >> EVICT_DELAY_SHIFT;
}

/* pressed_write -- there is something to do for a writer: wake the evictor, or wait. */
static uint64
pressed_write(uint64 pressure)
{
	if (pressure & EVICT_DOZING)
	{
		/* relaxed: whoever takes the bit away wakes it; the latch orders */
		if (atomic_fetch_and_explicit(&evict__shared->pressure, ~EVICT_DOZING, memory_order_relaxed) & EVICT_DOZING)
			latch_set(proc_first_slot(PROC_EVICTOR));
	}
	if (delay_of(pressure) != 0)
	{
		/* relaxed: figures */
		atomic_fetch_add_explicit(&evict__shared->writes_delayed, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&evict__shared->delay_us_total, delay_of(pressure), memory_order_relaxed);
	}
	return delay_of(pressure);
}

uint64
evict_write_delay_us(void)
{
	/* relaxed: a hint */
	uint64		pressure = atomic_load_explicit(&evict__shared->pressure, memory_order_relaxed);

	return likely(pressure == 0) ? 0 : pressed_write(pressure);
}

bool
evict_mark_recent(void)
{
	return atomic_load_explicit(&evict__shared->recent, memory_order_relaxed) != 0;	/* relaxed: a hint */
}

bool
evict_hopeless(void)
{
	EvictShared *s = evict__shared;
	uint64		now = clock_mono_us();
	uint64		since = 0;
	uint64		moved;
	bool		hopeless;

	Assert(!epoch_inside());
	/* relaxed, all: figures; the latch orders them before the evictor's look */
	if (atomic_compare_exchange_strong_explicit(&s->waiting_us, &since, now,
												memory_order_relaxed, memory_order_relaxed))
		since = now;
	atomic_store_explicit(&s->failed_us, now, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->failed, 1, memory_order_relaxed);
	latch_set(proc_first_slot(PROC_EVICTOR));
	moved = Max(since, atomic_load_explicit(&s->progress_us, memory_order_relaxed));
	hopeless = atomic_load_explicit(&s->hopeless, memory_order_relaxed) != 0 ||
		(now > moved && now - moved > HOPELESS_AFTER_US);
	if (hopeless)
		atomic_fetch_add_explicit(&s->refused, 1, memory_order_relaxed);
	return hopeless;
}

bool
evict_refuses(void)
{
	/* relaxed: a hint; one who would be refused must be seen to wait, or nobody would try again */
	return unlikely(atomic_load_explicit(&evict__shared->hopeless, memory_order_relaxed) != 0) && evict_hopeless();
}

bool
evict_could_fit(uint64 bytes)
{
	/* a sixty-fourth and a span or two for nodes, and for the class that the rest falls into */
	return bytes + bytes / 64 + 128 * KIB <= nominal_capacity(segment_region_size(REGION_NODES));
}

void
evict_want_trees(void)
{
	/* relaxed: the latch orders */
	atomic_store_explicit(&evict__shared->trees_wanted, 1, memory_order_relaxed);
	latch_set(proc_first_slot(PROC_EVICTOR));
}

void
evict_status(EvictStatus *out)
{
	EvictShared *s = evict__shared;

/* relaxed: figures, each by itself */
#define GET(field) atomic_load_explicit(&s->field, memory_order_relaxed)
	memset(out, 0, sizeof(*out));
	out->leaves_evicted = GET(leaves_evicted);
	out->nodes_evicted = GET(nodes_evicted);
	out->bytes_evicted = GET(bytes_evicted);
	out->tombstones_swept = atomic_load_explicit(&store_shared->tombstones_swept, memory_order_relaxed);
	out->trees_swept = atomic_load_explicit(&store_shared->trees_swept, memory_order_relaxed);
	out->clock_rounds = GET(clock_rounds);
	out->checkpoints_asked = GET(checkpoints_asked);
	out->capacity = GET(capacity);
	out->delay_us = delay_of(GET(pressure));
	out->writes_delayed = GET(writes_delayed);
	out->delay_us_total = GET(delay_us_total);
	out->waits_for_memory = GET(failed);
	out->refused = GET(refused);
	out->complete = (atomic_load_explicit(&store_shared->root.flags, memory_order_relaxed) & ART_ROOT_COMPLETE) != 0;
	out->prewarm = (PrewarmState) GET(prewarm);
	out->prewarm_keys = GET(prewarm_keys);
	if (out->prewarm == PREWARM_DONE)
		out->prewarm_progress = 1;
	else if (GET(prewarm_keys_total) > 0)
		out->prewarm_progress = Min(1.0, (double) out->prewarm_keys / (double) GET(prewarm_keys_total));
#undef GET
}

/* ---- the evictor: how memory is ---- */

static void look(uint64 now);

uint64
evict__capacity(void)
{
	if (unlikely(memory.capacity == 0))
		look(clock_mono_us());
	return (uint64) memory.capacity;
}

uint64
evict__nominal(void)
{
	return nominal_capacity(segment_region_size(REGION_NODES));
}

uint32
evict__used_percent(void)
{
	if (unlikely(memory.capacity == 0))
		look(clock_mono_us());
	return (uint32) ((double) memory.used * 100 / memory.capacity);
}

static uint64
part(uint32 percent)
{
	return (uint64) (memory.capacity * percent / 100);
}

static uint64
waiting_since(void)
{
	return atomic_load_explicit(&evict__shared->waiting_us, memory_order_relaxed);	/* relaxed: a figure */
}

bool
evict__pressed(void)
{
	return evicting || waiting_since() != 0;
}

/* moved -- something moves: those who wait may go on waiting. */
static void
moved(uint64 now)
{
	atomic_store_explicit(&evict__shared->progress_us, now, memory_order_relaxed);	/* relaxed: a figure */
}

void
evict__progress(void)
{
	moved(clock_mono_us());
	/* relaxed: a hint to those who wait */
	if (atomic_load_explicit(&evict__shared->hopeless, memory_order_relaxed) != 0)
	{
		atomic_store_explicit(&evict__shared->hopeless, 0, memory_order_relaxed);
		ereport(DEBUG1, "memory is being freed again: writers wait for it");
	}
}

/*
 * learn_capacity -- somebody found no memory: so much and no more fits now.
 *
 * A wait counts once: while it lasts, used falls because of us.  And it lowers the
 * capacity by a thirty-second at most: it may have been one large value that found no room.
 */
static void
learn_capacity(const MemStats *stats, uint64 now, uint64 passed_us)
{
	uint64		failed = atomic_load_explicit(&evict__shared->failed, memory_order_relaxed);	/* relaxed: a figure */
	uint64		since = waiting_since();

	if (memory.capacity == 0)
		memory.capacity = (double) memory.nominal;
	if (failed != memory.failed)
	{
		/* what waits for a grace period is no sign of anything else */
		if (since != memory.learned_us && stats->retired < memory.limit / 16 && (double) stats->used < memory.capacity)
		{
			memory.capacity = Max((double) stats->used, memory.capacity - (double) memory.nominal / 32);
			memory.capacity = Max(memory.capacity, (double) Min(memory.nominal, Max(stats->reserved, MIB)) / 2);
		}
		memory.learned_us = since;
		memory.failed = failed;
		memory.failed_us = now;
	}
	else if (now - memory.failed_us > CAPACITY_SETTLE_US && memory.capacity < (double) memory.nominal)
		memory.capacity = Min((double) memory.nominal,
							  memory.capacity + (double) memory.nominal * (double) passed_us / CAPACITY_BACK_US);
	/* relaxed: a figure */
	atomic_store_explicit(&evict__shared->capacity, (uint64) memory.capacity, memory_order_relaxed);
}

/* brake -- how long a write should wait. */
static void
brake(uint64 passed_us)
{
	double		from = memory.capacity * EVICT_SLOW_PERCENT / 100;
	double		over = ((double) memory.used - from) / (memory.capacity - from);
	uint64		since = waiting_since();
	double		waited = since != 0 && since < memory.looked_us ? (double) (memory.looked_us - since) : 0;
	double		target = over <= 0 ? 0 : over >= 1 ? DELAY_MAX_US : DELAY_MAX_US * over * over;
	/* who waits for long must not be overtaken for ever by those whose size there is */
	target = Max(target, Min(DELAY_MAX_US, waited / WAITED_PARTS));
	/* up within the time that it takes to fill a thirty-second of memory, fast; down slowly */
	double		rise_us = Min(DELAY_RISE_MAX_US, memory.capacity / 32 / DELAY_FILL_BYTES_PER_US);
	double		step = (double) passed_us / (target > memory.delay_us ? rise_us : DELAY_FALL_US);

	memory.delay_us += (target - memory.delay_us) * Min(1.0, step);
	/* relaxed: hints; a worker that takes DOZING away at this moment finds us awake */
	atomic_store_explicit(&evict__shared->pressure, (uint64) memory.delay_us << EVICT_DELAY_SHIFT,
						  memory_order_relaxed);
	atomic_store_explicit(&evict__shared->recent, memory.used >= part(EVICT_RECENT_PERCENT), memory_order_relaxed);
}

/* look -- at memory, log and those who wait; tells the workers. */
static void
look(uint64 now)
{
	uint64		passed_us = memory.looked_us == 0 ? 0 : now - memory.looked_us;
	uint64		since = waiting_since();
	Lsn			insert = wal_insert_lsn();
	Lsn			cut = store__evict_cut();
	uint64		failed_us;
	MemStats	stats;

	mem_stats(&stats);
	if (stats.used != memory.used || insert != memory.insert)
		memory.still_since_us = now;
	if (stats.used + stats.limit / 64 < memory.used || cut != cut_seen)
		evict__progress();
	cut_seen = cut;
	memory.limit = stats.limit;
	memory.nominal = nominal_capacity(stats.limit);
	memory.used = stats.used;
	memory.live = stats.used > stats.retired ? stats.used - stats.retired : 0;
	memory.insert = insert;
	memory.looked_us = now;
	learn_capacity(&stats, now, passed_us);
	brake(passed_us);
	if (memory.live >= part(EVICT_START_PERCENT))
		evicting = true;
	else if (memory.live < part(EVICT_STOP_PERCENT))
		evicting = false;
	/* relaxed, both: figures; the last failure may be younger than 'now' */
	failed_us = atomic_load_explicit(&evict__shared->failed_us, memory_order_relaxed);
	if (since != 0 && Max(since, failed_us) + WAITING_OVER_US < now)
		atomic_store_explicit(&evict__shared->waiting_us, 0, memory_order_relaxed);
}

/* ---- asking for checkpoints ---- */

/* asked_done -- the one on its way: is it over?  Looks at most every millisecond. */
static void
asked_done(uint64 now)
{
	CheckpointResult result;

	if (asking.ticket == 0 || now - asking.looked_us < SLEEP_MIN_US)
		return;
	asking.looked_us = now;
	if (checkpoint_result(asking.ticket, &result))
	{
		asking.ticket = 0;
		asking.failed = result.error != 0;
		asking.done_asked_us = asking.asked_us;
		if (asking.failed)
			asking.not_before_us = now + ASK_AGAIN_US;
		else
		{
			asking.done_cut = result.cut;
			evict__progress();
		}
	}
	else if (waiting_since() != 0)
	{
		CheckpointStatus status;
		uint64		seen;

		checkpoint_status(&status);
		seen = status.pages_written_total + status.rounds_committed + (uint64) status.step +
			(uint64) (status.progress * (1 << 20));
		/* what follows a failed attempt is no progress before it has committed */
		if (seen != asking.seen && !status.failing)
			moved(now);
		asking.seen = seen;
		asking.stuck = status.failing;
	}
}

void
evict__ask_checkpoint(void)
{
	uint64		now = clock_mono_us();

	if (asking.ticket != 0 || now < asking.not_before_us)
		return;
	/* relaxed: ours */
	if (atomic_load_explicit(&evict__shared->hopeless, memory_order_relaxed) != 0 &&
		now - asking.asked_us < HOPELESS_RETRY_US)
		return;
	asking.asked_us = now;
	asking.ticket = checkpoint_request(CHECKPOINT_MEMORY);
	figure_add(&evict__shared->checkpoints_asked, 1);
}

/* ask_early -- before dirt fills memory: what is written while the checkpoint runs needs room as well. */
static void
ask_early(void)
{
	CheckpointInForce force;

	if (memory.used < part(EVICT_ASK_PERCENT))
		return;
	checkpoint__get_force(&force);
	if (checkpoint__changed_bytes(&force) >= memory.limit / ASK_LOG_PARTS)
		evict__ask_checkpoint();
}

/* ---- the clock ---- */

/* may_go -- asked by art_evict; of a leaf that is told to go a second time, before it goes. */
static bool
may_go(const Leaf *leaf, void *arg)
{
	uint16		flags = leaf_flags(leaf);

	(void) arg;
	if (leaf->lsn > hand.cut)
	{
		hand.dirty++;
		return false;
	}
	if (flags & LEAF_DESCRIPTOR)
		return false;
	if (unlikely(hand.guard.count > 0) && store__snapshot_needs(&hand.guard, leaf))
	{
		hand.held += leaf_bytes(leaf);
		return false;
	}
	if (hand.merciless)
		return true;
	if (flags & LEAF_RECENT)
	{
		/* relaxed: a hint about use */
		atomic_fetch_and_explicit(&((Leaf *) (uintptr_t) leaf)->flags, (uint16) ~LEAF_RECENT, memory_order_relaxed);
		hand.spared++;
		return false;
	}
	return true;
}

/* round_begin -- at the first key, or (partial) where the hand stands. */
static void
round_begin(uint64 now)
{
	hand.running = true;
	hand.partial = hand.from_len != 0;
	hand.merciless = hand.merciless_next;
	hand.merciless_next = false;
	store__guard_take(&hand.guard);
	hand.cut = hand.guard.cut;
	hand.begun_us = now;
	hand.leaves = hand.bytes = hand.spared = hand.dirty = hand.held = 0;
}

/*
 * nothing_helps -- a whole round took nothing away while somebody was waiting: is
 * there anything left to try?
 */
static bool
nothing_helps(void)
{
	uint64		since = waiting_since();

	if (since == 0 || hand.begun_us < since)
		return false;
	if (hand.dirty == 0)
		return true;			/* memory is full of nodes, and of what is too large for the rest */
	if (asking.ticket != 0)
		return asking.stuck;	/* behind an attempt that failed */
	if (asking.done_asked_us < since)
		return false;
	return asking.failed || hand.cut >= asking.done_cut;
}

/* snapshot_ended -- memory is full for somebody, and a snapshot keeps what could leave it: it is ended. */
static bool
snapshot_ended(void)
{
	return hand.held > 0 && store__snapshot_end_oldest(SNAPSHOT_MEMORY);
}

/* round_end -- the hand has reached the last key. */
static void
round_end(uint64 now)
{
	hand.running = false;
	hand.from_len = 0;
	figure_add(&evict__shared->clock_rounds, 1);
	if (!hand.partial)
		figure_set(&store_shared->snapshot_held, hand.held);
	if (waiting_since() != 0 && !evicting)
		(void) mem_collect();	/* bytes there are: it is whole spans that are wanted */
	/* dirt is in the way: too little went for what is wanted */
	if (hand.dirty > 0 && (evicting || (waiting_since() != 0 && hand.leaves == 0)))
		evict__ask_checkpoint();
	if (hand.bytes < memory.limit / LITTLE_PARTS && hand.spared > 0)
	{
		hand.merciless_next = true;	/* those who were spared have had their chance */
		return;
	}
	if (hand.leaves > 0)
	{
		hand.pause_us = 0;
		return;
	}
	/* relaxed: ours to write, a hint to those who wait */
	if (!hand.partial && hand.merciless && nothing_helps() && !snapshot_ended() &&
		atomic_load_explicit(&evict__shared->hopeless, memory_order_relaxed) == 0)
	{
		atomic_store_explicit(&evict__shared->hopeless, 1, memory_order_relaxed);
		ereport(DEBUG1, "memory is full and nothing can leave it: writers are refused");
	}
	hand.merciless_next = true;
	hand.pause_us = hand.pause_us == 0 ? PAUSE_MIN_US : Min(hand.pause_us * 2, PAUSE_MAX_US);
	hand.pause_until_us = now + hand.pause_us;
}

/* piece_steps -- leaves of the next piece: what goes waits for a grace period, and must be little of the limit. */
static uint32
piece_steps(void)
{
	double		leaf = hand.leaf_bytes > 0 ? hand.leaf_bytes : 256;
	double		steps = (double) memory.limit / PIECE_LIMIT_PARTS / leaf;

	return (uint32) Min((double) PIECE_STEPS_MAX, Max((double) PIECE_STEPS_MIN, steps));
}

/*
 * wanted_now -- is another piece wanted?  Whoever waits tries again by himself: only a
 * new failure calls for more; and not while leaves are being moved for him.
 */
static bool
wanted_now(uint64 now, bool compacting)
{
	uint64		failed = atomic_load_explicit(&evict__shared->failed, memory_order_relaxed);	/* relaxed: a figure */

	if (now < hand.pause_until_us && !store__guard_stale(&hand.guard))
		return false;
	if (evicting)
		return true;
	if (waiting_since() == 0 || failed == hand.served || compacting)
		return false;
	hand.served = failed;
	return true;
}

/* clock_step -- one piece, if it is wanted; true: it was. */
static bool
clock_step(uint64 now, bool compacting)
{
	ArtEvicted	out = {0};
	bool		end;

	if (!wanted_now(now, compacting))
		return false;
	if (!hand.running || store__guard_stale(&hand.guard))
		round_begin(now);
	end = art_evict(&store_shared->root, hand.from, &hand.from_len, piece_steps(), may_go, NULL, &out);
	store__links_account();
	hand.leaves += out.leaves;
	hand.bytes += out.bytes;
	if (out.leaves > 0)
	{
		double		average = (double) out.bytes / (double) out.leaves;

		hand.leaf_bytes = hand.leaf_bytes > 0 ? hand.leaf_bytes * 0.75 + average * 0.25 : average;
		figure_add(&evict__shared->leaves_evicted, out.leaves);
		figure_add(&evict__shared->nodes_evicted, out.nodes);
		figure_add(&evict__shared->bytes_evicted, out.bytes);
		evict__progress();
	}
	if (waiting_since() != 0)
	{
		epoch_wait_grace();		/* what went is wanted now, and whole spans of it */
		mem_reclaim();
		(void) !mem_grow();		/* no span became whole: the next piece may help */
	}
	if (end)
		round_end(clock_mono_us());
	return true;
}

/* ---- the process ---- */

void
evict_open(const char *data_dir)
{
	base_reader_open(data_dir, seg_control->system_id);
	prewarm_open();
}

bool
evict_step(void)
{
	uint64		now = clock_mono_us();
	bool		more;
	bool		compacting;

	look(now);
	asked_done(now);
	ask_early();
	more = store__snapshots_tend(now);
	more = store_sweep_step() || more;
	compacting = compact_step(waiting_since() != 0);
	if (clock_step(now, compacting) || compacting)
		more = true;
	mem_reclaim();
	if (!more && prewarm_step())
		more = true;
	return more;
}

int64
evict_sleep_us(void)
{
	uint64		mark = part(memory.used < part(EVICT_ASK_PERCENT) ? EVICT_ASK_PERCENT : EVICT_SLOW_PERCENT);
	uint64		room = mark > memory.used ? mark - memory.used : 0;

	/* relaxed: a hint; whoever sets it wakes us */
	if (evict__pressed() || memory.delay_us >= 1 || asking.ticket != 0 ||
		atomic_load_explicit(&evict__shared->trees_wanted, memory_order_relaxed) != 0)
		return SLEEP_MIN_US;
	if (room / FILL_BYTES_PER_US < SLEEP_MAX_US && memory.looked_us - memory.still_since_us > DOZE_AFTER_US)
	{
		/* relaxed: a hint; a writer that does not see it yet is one write ahead of us */
		atomic_fetch_or_explicit(&evict__shared->pressure, EVICT_DOZING, memory_order_relaxed);
		return DOZE_US;
	}
	return (int64) Min(Max(room / FILL_BYTES_PER_US, SLEEP_MIN_US), SLEEP_MAX_US);
}
