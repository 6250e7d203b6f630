/*
 * walwriter.c -- the walwriter's work: group commit, and nothing else.
 *
 * Flushes [flushed, completed), never past completed:
 *
 *   1  whole blocks straight out of the ring, in requests of up to WAL_WRITE_MAX,
 *      all in flight together; the last, partial block from a private copy, zero
 *      behind completed, because a block must not change while it is written
 *   2  when all of them have come back: fdatasync of each segment touched, in order
 *   3  flushed := the end of what was written (release)
 *   4  wake each process that waits for less: one wake-up per process and batch
 *
 * Flushed is always the end of a record.  Records carry it, and recovery takes a
 * record that is not whole, but lies below a 'flushed' that some later record
 * carries, for damage: half a record below flushed would make damage of a tear.
 *
 * The next batch starts when this one is over, so two writes of one block are
 * never in flight; while it runs, the next group forms by itself.  The partial
 * block is written again from its begin the next time: bytes below flushed are
 * then rewritten with the same bytes, which a sector is assumed to survive.
 * wal_pad_flush does without that assumption: a VOID up to the block's end, and
 * only whole blocks are written.
 *
 * When (the waiter's policy decides, not the writer's):
 *   WAL_NOW       at once
 *   WAL_GROUP     after commit_delay, or with commit_batch bytes; but at once when
 *                 fewer than commit_siblings other replies are due: a lone
 *                 committer never waits
 *   WAL_PERIODIC  half of wal_flush_interval after it was asked for: the other
 *                 half is for the device; so does what others have written, while
 *                 somebody sleeps until it is flushed who has not asked (change feed)
 *   pressure      more than half of the ring is not flushed, or somebody is
 *                 parked for space
 *
 * What is wanted may not be completed yet, because a process stands between
 * reserve and fill: a short bounded spin, then short sleeps that grow.
 *
 * A failed write or sync of the log is PANIC: the kernel may have dropped the
 * pages, and what others were shown is not on disk.
 *
 * If this process dies, all it knew is in shared memory, but its writes may still
 * be in flight: they hold the open file description, and with it the lock on the
 * segment that every writer and recovery take first.
 */
#include "access/wal/wal_internal.h"

#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/procsignal.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/latency.h"
#include "utils/settings.h"

#include <errno.h>

#define FLUSH_MAX (16 * MIB)	/* bytes of one batch, unless a single record is longer; and of one round of it */
#define SEGMENTS_OPEN_MAX 20	/* a round touches at most FLUSH_MAX / 1 MiB + 2 */
#define WRITES_MAX 64			/* ... in at most so many requests */
#define SPIN_TURNS 200
#define STRAGGLER_SLEEP_US 50
#define STRAGGLER_SLEEP_MAX_US 1000
#define PRESSURE_LOOK_US 20000	/* how often to look for ring pressure while log grows that nobody waits for */
#define IDLE_LOOK_US 1000000
#define STOP_WAIT_US 10000000

typedef struct OpenSegment
{
	File	   *file;			/* NULL: free */
	Lsn			first_lsn;
	bool		touched;		/* by the batch under way */
} OpenSegment;

static struct
{
	FileQueue  *queue;
	OpenSegment segment[SEGMENTS_OPEN_MAX];
	char	   *tail_block;		/* the last, partial block */
	FileIo		io[WRITES_MAX];
	int			io_count;
	bool		told_buffered;
	Lsn			pad_end;		/* end of the last VOID of wal_pad_flush */
	uint64		group_since_us;		/* when a gathered want was first seen; 0: none */
	uint64		periodic_since_us;
	uint32		stragglers;		/* turns in a row in which nothing wanted was completed */
} writer;

_Atomic bool wal__writer_stop;

static uint32
log2_bucket(uint64 value, uint32 buckets)
{
	uint32		bucket = value == 0 ? 0 : 63 - (uint32) __builtin_clzll(value);

	return Min(bucket, buckets - 1);
}

static void
count(_Atomic uint64 *counter, uint64 add)
{
	atomic_fetch_add_explicit(counter, add, memory_order_relaxed);	/* relaxed: a figure */
}

/* walwriter_open -- this process' own queue; files are opened as the log reaches them. */
void
walwriter_open(void)
{
	WalWriterMethod method = WAL_WRITER_SYNC;

	memset(&writer, 0, sizeof(writer));
	writer.queue = file_queue_create("walwriter");
	writer.tail_block = file_alloc_aligned(WAL_BLOCK);
	if (file_queue_register(writer.queue, seg_ptr(wal_shared->ring), wal_shared->ring_size))
		method = WAL_WRITER_IO_URING_REGISTERED;
	else if (strcmp(file_queue_method(writer.queue), "sync") != 0)
		method = WAL_WRITER_IO_URING;
	/* relaxed: for status */
	atomic_store_explicit(&wal_shared->writer_method, (uint32) method, memory_order_relaxed);
}

void
wal__writer_close(void)
{
	for (int i = 0; i < SEGMENTS_OPEN_MAX; i++)
		file_close(writer.segment[i].file);
	file_queue_destroy(writer.queue);
	free(writer.tail_block);
	memset(&writer, 0, sizeof(writer));
}

/* ---- segments ---- */

static void
open_segment(OpenSegment *open, Lsn first_lsn)
{
	const WalSegmentEntry *entry = &wal_shared->segment[(first_lsn / wal_shared->segment_size) % WAL_SEGMENT_TABLE];
	char		path[WAL_PATH_MAX];
	int			error;

	FAULT_POINT("wal-segment-open");
	/* acquire [wal-segment-entry]: records of this segment were sealed with this entry's seed */
	Verify(atomic_load_explicit(&entry->first_lsn, memory_order_acquire) == first_lsn);
	wal__segment_path(path, sizeof(path), wal__directory(), first_lsn);
	error = file_open(path, FILE_READ | FILE_WRITE | (set_wal_direct_io ? FILE_DIRECT : 0), 0600, &open->file);
	if (error == 0)
		error = file_lock_bounded(open->file, wal__lock_timeout_ms);
	if (error != 0)
	{
		errno = error;
		ereport(PANIC, "could not open and lock log segment \"%s\": %m", path);
	}
	open->first_lsn = first_lsn;
	open->touched = false;
	if (set_wal_direct_io && !file_is_direct(open->file) && !writer.told_buffered)
	{
		ereport(LOG, "the file system of \"%s\" does not take O_DIRECT: the log goes through the page cache", path);
		writer.told_buffered = true;
	}
	/* relaxed: for status */
	atomic_store_explicit(&wal_shared->writer_direct, file_is_direct(open->file), memory_order_relaxed);
	latch_set(proc_first_slot(PROC_CHECKPOINTER));	/* one segment less ahead */
}

static OpenSegment *
segment_for(Lsn lsn)
{
	Lsn			first_lsn = wal__segment_of(lsn, wal_shared->segment_size);
	OpenSegment *unused = NULL;

	for (int i = 0; i < SEGMENTS_OPEN_MAX; i++)
	{
		if (writer.segment[i].file == NULL)
			unused = &writer.segment[i];
		else if (writer.segment[i].first_lsn == first_lsn)
			return &writer.segment[i];
	}
	Verify(unused != NULL);
	open_segment(unused, first_lsn);
	return unused;
}

/* close_behind -- files that no later batch can touch. */
static void
close_behind(Lsn flushed)
{
	for (int i = 0; i < SEGMENTS_OPEN_MAX; i++)
	{
		OpenSegment *open = &writer.segment[i];

		if (open->file != NULL && open->first_lsn + wal_shared->segment_size <= flushed)
		{
			file_close(open->file);
			open->file = NULL;
		}
	}
}

/* ---- one batch ---- */

static void
add_write(Lsn lsn, void *buf, uint64 len)
{
	OpenSegment *open = segment_for(lsn);
	FileIo	   *io = &writer.io[writer.io_count++];

	Verify(writer.io_count <= WRITES_MAX && len % WAL_BLOCK == 0);
	memset(io, 0, sizeof(*io));
	io->op = FILE_OP_WRITE;
	io->file = open->file;
	io->buf = buf;
	io->len = (uint32) len;
	io->offset = WAL_HEADER_SIZE + (lsn - open->first_lsn);
	open->touched = true;
}

/* choose_writes -- the requests for [from, to): from is a block's begin. */
static void
choose_writes(Lsn from, Lsn to)
{
	Lsn			whole = AlignDown(to, WAL_BLOCK);
	uint64		contiguous;

	writer.io_count = 0;
	while (from < whole)
	{
		char	   *at = wal__ring_at(from, &contiguous);
		uint64		segment_left = wal__segment_of(from, wal_shared->segment_size) + wal_shared->segment_size - from;
		uint64		len = Min(Min(whole - from, contiguous), Min(segment_left, WAL_WRITE_MAX));

		add_write(from, at, len);
		from += len;
	}
	if (to > whole)
	{
		memcpy(writer.tail_block, wal__ring_at(whole, &contiguous), to - whole);
		memset(writer.tail_block + (to - whole), 0, WAL_BLOCK - (to - whole));
		add_write(whole, writer.tail_block, WAL_BLOCK);
	}
}

static void
write_batch(Lsn from)
{
	FileIo	   *ios[WRITES_MAX];
	uint64		bytes = 0;

	for (int i = 0; i < writer.io_count; i++)
	{
		ios[i] = &writer.io[i];
		bytes += writer.io[i].len;
	}
	proc_set_wait(WAIT_WAL_WRITE);
	if (file_queue_run(writer.queue, ios, writer.io_count) != 0)
		for (int i = 0; i < writer.io_count; i++)
			if (ios[i]->error != 0)
			{
				errno = ios[i]->error;
				ereport(PANIC, "could not write %u bytes of the log to \"%s\" at offset %llu (batch from %" LSN_FORMAT
						"): %m", ios[i]->len, file_path(ios[i]->file), (unsigned long long) ios[i]->offset, LSN_ARGS(from));
			}
	count(&wal_shared->writes, (uint64) writer.io_count);
	count(&wal_shared->bytes_written, bytes);
}

/* sync_batch -- every segment touched, the lowest first. */
static void
sync_batch(Lsn from, Lsn to)
{
	uint64		size = wal_shared->segment_size;

	proc_set_wait(WAIT_WAL_SYNC);
	for (Lsn first = wal__segment_of(from, size); first < to; first += size)
	{
		OpenSegment *open = segment_for(first);
		int			error;

		if (!open->touched)
			continue;
		FAULT_POINT("wal-before-fdatasync");
		error = file_datasync(open->file);
		if (error != 0)
		{
			errno = error;
			ereport(PANIC, "could not sync the log, \"%s\", up to %" LSN_FORMAT ": %m", file_path(open->file), LSN_ARGS(to));
		}
		open->touched = false;
		count(&wal_shared->flushes, 1);
		FAULT_POINT("wal-after-fdatasync");
	}
	proc_set_wait(WAIT_NONE);
}

/*
 * batch_end -- up to where one batch goes: 'to', or, if that is far, the end of
 * the record with which FLUSH_MAX is reached.  Records below completed are whole,
 * so their lengths lead from one to the next.
 */
static Lsn
batch_end(Lsn flushed, Lsn to)
{
	Lsn			at = flushed;
	uint64		contiguous;
	uint32		length;

	if (to - flushed <= FLUSH_MAX || set_wal_pad_flush)
		return to;				/* with padding only 'to' is a block's end, too */
	while (at < to && at - flushed < FLUSH_MAX)
	{
		memcpy(&length, wal__ring_at(at, &contiguous), sizeof(length));
		Verify(length >= WAL_RECORD_HEADER && wal__record_size(length) <= to - at);
		at += wal__record_size(length);
	}
	return at;
}

/* flush_upto -- steps 1 to 4 of the essay; 'to' is a record's end, not above completed. */
static void
flush_upto(Lsn to)
{
	Lsn			flushed = wal_flushed_lsn();
	Lsn			from = AlignDown(flushed, WAL_BLOCK);	/* of a round: always a block's begin */
	uint64		begun = clock_mono_us();
	uint64		elapsed;

	to = batch_end(flushed, to);
	elog_doing("flushing the log");
	FAULT_POINT("wal-before-write");
	while (from < to)
	{
		Lsn			round_end = Min(from + FLUSH_MAX, to);

		choose_writes(from, round_end);
		write_batch(from);
		sync_batch(from, round_end);
		close_behind(round_end);
		from = round_end;
	}
	FAULT_POINT("wal-before-flushed");
	/* release [wal-flushed]: after fdatasync; seq_cst [wal-want] [wal-wait]: before wants and waiters are read */
	atomic_store_explicit(&wal_shared->flushed, to, memory_order_seq_cst);
	FAULT_POINT("wal-before-wake");
	wal__wake_waiters(to);
	FAULT_POINT("wal-after-wake");
	elapsed = clock_mono_us() - begun;
	latency_add(LATENCY_AOF_FSYNC_ALWAYS, elapsed);
	count(&wal_shared->flush_us_total, elapsed);
	count(&wal_shared->flush_us_histogram[log2_bucket(elapsed, lengthof(wal_shared->flush_us_histogram))], 1);
	count(&wal_shared->group_size_histogram[log2_bucket((to - flushed) / 64, lengthof(wal_shared->group_size_histogram))], 1);
	writer.group_since_us = 0;
	writer.periodic_since_us = 0;
	elog_doing("writing the log");
}

/* ---- when ---- */

/*
 * replies_due -- parked replies of all processes; *for_space: is somebody parked for
 * room in the log?  *waited: the least position that a sleeping process waits for.
 */
static uint64
replies_due(bool *for_space, Lsn *waited)
{
	uint64		sum = 0;

	*for_space = false;
	*waited = UINT64_MAX;
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		ProcSlot   *slot = proc_slot(i);
		Lsn			lsn;

		sum += atomic_load_explicit(&slot->wait_count, memory_order_relaxed);	/* relaxed: a figure */
		lsn = atomic_load_explicit(&slot->wait_lsn, memory_order_seq_cst);	/* seq_cst [wal-wait] */
		if (lsn == 1)
			*for_space = true;
		else if (lsn != 0 && lsn < *waited)
			*waited = lsn;
	}
	return sum;
}

/* wait_left -- microseconds until *since + delay; 0: due.  Sets *since at the first look. */
static int64
wait_left(uint64 *since, uint64 delay_us)
{
	uint64		now = clock_mono_us();

	if (*since == 0)
		*since = now;
	return now - *since >= delay_us ? 0 : (int64) (*since + delay_us - now);
}

/* group_left -- how long the gathered want may still wait for company; 0: due. */
static int64
group_left(Lsn flushed, Lsn completed, uint64 replies)
{
	uint64		siblings = (uint64) Max(set_commit_siblings, 1);

	if (set_commit_delay == 0 || replies < siblings + 1 || completed - flushed >= (uint64) set_commit_batch)
		return 0;
	return wait_left(&writer.group_since_us, (uint64) set_commit_delay);
}

/*
 * decide -- up to where must be flushed now (0: nothing is due); *sleep_us: how
 * long nothing will be due unless somebody wakes us.
 */
static Lsn
decide(Lsn flushed, Lsn completed, Lsn insert, bool stopping, int64 *sleep_us)
{
	/* seq_cst [wal-want]: after our last store of flushed */
	Lsn			now = atomic_load_explicit(&wal_shared->wanted, memory_order_seq_cst);
	Lsn			group = atomic_load_explicit(&wal_shared->wanted_group, memory_order_seq_cst);
	Lsn			periodic = atomic_load_explicit(&wal_shared->wanted_periodic, memory_order_seq_cst);
	Lsn			waited;
	bool		for_space;
	uint64		replies;
	int64		left;

	*sleep_us = Min(IDLE_LOOK_US, set_wal_flush_interval * 1000);
	if (insert == flushed)
		return 0;
	if (stopping)
		return insert;
	if (now > flushed)
		return Min(now, insert);
	replies = replies_due(&for_space, &waited);
	if (for_space || insert - flushed > wal_shared->ring_size / 2)
		return insert;
	*sleep_us = Min(*sleep_us, PRESSURE_LOOK_US);
	if (group > flushed)
	{
		left = group_left(flushed, completed, replies);
		if (left == 0)
			return Min(group, insert);
		*sleep_us = Min(*sleep_us, left);
	}
	/* who waits for changes has asked for nothing, for he does not know what will come: it comes as if it were periodic */
	if (waited <= insert && waited > Max(group, periodic))
		periodic = insert;
	if (periodic > flushed)
	{
		left = wait_left(&writer.periodic_since_us, (uint64) set_wal_flush_interval * 500);
		if (left == 0)
			return Min(periodic, insert);
		*sleep_us = Min(*sleep_us, left);
	}
	return 0;
}

/* wait_completed -- spin for a bounded moment until completed >= lsn; completed as it is then. */
static Lsn
wait_completed(Lsn lsn)
{
	for (int i = 0; i < SPIN_TURNS && wal_completed_lsn() < lsn; i++)
	{
#ifdef __x86_64__
		__builtin_ia32_pause();
#endif
		wal_completed_update();
	}
	return wal_completed_lsn();
}

/*
 * pad_blocks -- wal_pad_flush: up to where whole blocks can be flushed, which is
 * the end of a VOID put behind what is due, once it and all before it are
 * completed.  Without space for the VOID (the disk is full) the partial block is
 * written.
 */
static Lsn
pad_blocks(Lsn flushed, Lsn due, Lsn completed)
{
	WalReservation r;

	if (completed % WAL_BLOCK == 0 && completed >= due)
		return completed;
	if (writer.pad_end < due)
	{
		if (!wal__reserve_pad(&r))
			return completed;
		wal_fill_void(&r);
		writer.pad_end = r.end;
	}
	return wait_completed(writer.pad_end) >= writer.pad_end ? writer.pad_end : flushed;
}

static int64
writer_turn(bool stopping)
{
	Lsn			flushed = wal_flushed_lsn();
	Lsn			insert = wal_insert_lsn();
	Lsn			completed;
	Lsn			due;
	int64		sleep_us;

	wal_completed_update();
	completed = wal_completed_lsn();
	due = decide(flushed, completed, Max(insert, completed), stopping, &sleep_us);
	if (due == 0)
		return sleep_us;
	if (completed < due)
		completed = wait_completed(due);
	if (set_wal_pad_flush)
		completed = pad_blocks(flushed, due, completed);
	if (completed > flushed)
	{
		writer.stragglers = 0;
		flush_upto(completed);
		return 0;
	}
	/* somebody stands between reserve and fill */
	writer.stragglers++;
	return Min(STRAGGLER_SLEEP_US * (1 + writer.stragglers / 64), STRAGGLER_SLEEP_MAX_US);
}

int64
wal__writer_turn(void)
{
	return writer_turn(false);
}

static bool
stop_requested(void)
{
	/* relaxed: a flag of its own */
	return proc_stop_fast || proc_stop_smart || atomic_load_explicit(&wal__writer_stop, memory_order_relaxed);
}

/* stopped -- told to stop: is all flushed, or has a reservation that nobody fills held us long enough? */
static bool
stopped(uint64 *since)
{
	Lsn			insert = wal_insert_lsn();

	if (*since == 0)
		*since = clock_mono_us();
	if (wal_flushed_lsn() == insert)
		return true;
	if (clock_mono_us() - *since < STOP_WAIT_US)
		return false;
	ereport(WARNING, "the log is flushed up to %" LSN_FORMAT " only, not to its end %" LSN_FORMAT
			": a process left a reservation open", LSN_ARGS(wal_flushed_lsn()), LSN_ARGS(insert));
	return true;
}

/*
 * walwriter_loop -- until told to stop: then, the workers being gone, flush up to
 * insert and return.
 */
void
walwriter_loop(void)
{
	uint64		stop_since = 0;

	for (;;)
	{
		int64		sleep_us;
		bool		stopping;

		latch_reset();
		proc_heartbeat();
		if (proc_reload)
		{
			proc_reload = 0;
			settings_reload();
		}
		settings_apply_shared();
		stopping = stop_requested();
		sleep_us = writer_turn(stopping);
		if (stopping && stopped(&stop_since))
			return;
		if (sleep_us == 0)
			continue;
		proc_set_wait(WAIT_WAL_WORK);
		latch_sleep(stopping ? Min(sleep_us, 1000) : sleep_us);
		proc_set_wait(WAIT_NONE);
	}
}
