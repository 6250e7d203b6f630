/*
 * walfeed.c -- reading the log while it is being written.
 *
 * A feed stands at 'at', where a record begins, and holds a window of the log in
 * private memory: [win, win + have).  What it lacks it copies from the ring, or,
 * when that has been overwritten, reads from the segment files through this
 * process' queue: one request at a time, nobody waits.  It gives out what lies
 * below 'flushed' alone: which is always the end of a record.
 *
 * The ring.  A byte of LSN x stays in the ring until somebody reserves x + ring
 * size; log below 'flushed' may be overwritten any time.  So: copy, then read
 * insert.  If insert <= x + ring size, x the lowest LSN copied, nobody had reserved
 * what lies over it, and every byte is good.  Why that order is enough: a writer's
 * reservation (the CAS that raises insert) precedes its bytes, by a release fence
 * in fill_header() [wal-ring]; our loads precede, by an acquire fence, our load of
 * insert.  Had one of our loads seen a byte of the later record, the load of insert
 * would see its reservation, and the copy would be thrown away.  Who finds himself
 * closer than RING_MARGIN to being overtaken does not begin.
 *
 * The files.  Below 'flushed' they hold what the ring held.  But a segment that is
 * not needed any more is renamed, gets a new header and is written again, maybe
 * while we have it open.  A record from a file therefore counts only with its own
 * position and a checksum under the seed that the segment's header had when we read
 * it; a file that was used again has another seed, so nothing of it can pass.  What
 * does not count is read once more (the last block is rewritten while the log
 * grows); then 'oldest' tells whether the segment was taken away (COMPACTED:
 * it is raised before the file goes) or is damaged.
 *
 * Positions come from clients.  The first record at such a position has to prove
 * itself, by position and checksum, in the ring as well: bytes of a value cannot,
 * for no client knows a seed.  From there on each record leads to the next.
 *
 * Gaps between runs are known from the control slot's list (wal_place): a feed that
 * comes to the end of a run goes on at the begin of the next; nothing was lost
 * there, for a run's end is where its last record ends.
 *
 * The oldest segment mostly begins inside a record.  Who wants all there is looks
 * for the first record in it, position by position.
 *
 * Any process after recovery, outside an epoch.  If it dies, nobody notices: what
 * the device still delivers goes into memory that nobody has any more.
 */
#include "access/wal/wal_feed.h"
#include "access/wal/wal_internal.h"

#include "common/crc32c.h"
#include "utils/elog.h"

#include <errno.h>
#include <stdarg.h>

#define WINDOW_BYTES (256 * KIB)	/* as long as no record is longer */
#define LOAD_MAX (1 * MIB)			/* bytes of one copy out of the ring, or one read */
#define ALIGN_STEPS 16384			/* positions looked at per call */
#define WINDOWS_KEPT 8				/* for the next feeds of this process */
#define RECORD_MAX (GIB / 4)		/* a quarter of the largest ring */
#define TRIES_MAX 2

typedef enum Reading { READING_NOTHING, READING_HEADER, READING_DATA } Reading;

/* Seed -- of a segment whose header was read and found good */
typedef struct Seed
{
	Lsn			first_lsn;
	uint64		seed;
} Seed;

struct WalFeed
{
	Lsn			at;
	bool		align;			/* find the first record from 'at' on */
	bool		unproven;		/* 'at' came from outside */
	bool		peek;			/* one record is wanted, and nothing behind it */
	uint32		tries;			/* of the record at 'at' */
	/* the window */
	uint8	   *buf;
	uint64		room;
	Lsn			win;			/* a block's begin */
	uint64		have;
	Lsn			from_file;		/* below this, what is in the window came from a file */
	/* reading */
	Reading		reading;
	FileIo		io;
	Lsn			io_to;			/* bytes behind this may be older than what is to stand there */
	File	   *file;			/* segment 'file_lsn' */
	Lsn			file_lsn;
	WalSegmentHeader *header;	/* one block */
	Seed	   *seed;			/* of segments from that of 'at' on */
	uint32		seed_count;
	uint32		seed_room;
	bool		closed;			/* by its owner; a read is still under way */
	struct WalFeed *next_closed;
	char		error[256];
};

/* of this process */
static _Thread_local struct
{
	FileQueue  *queue;
	uint32		in_flight;
	WalFeed    *closed;
	uint8	   *window[WINDOWS_KEPT];
	uint32		windows;
} feeds;

/* ---- what a position is ---- */

void
wal_places_set(const WalGap *gap, uint32 count)
{
	Verify(count <= WAL_GAPS);
	memcpy(wal_shared->gap, gap, count * sizeof(*gap));
	wal_shared->gap_count = count;
	/* a full list may have forgotten some */
	wal_shared->known_from = count == WAL_GAPS ? gap[0].from : LSN_NONE;
}

WalPlace
wal_place(Lsn lsn, Lsn *go_on)
{
	const WalShared *w = wal_shared;

	*go_on = lsn;
	if (lsn < w->known_from)
	{
		*go_on = w->known_from;
		return WAL_PLACE_OLDER;
	}
	for (uint32 i = 0; i < w->gap_count; i++)
		if (lsn > w->gap[i].from && lsn < w->gap[i].to)
		{
			*go_on = w->gap[i].to;
			return WAL_PLACE_GAP;
		}
	return WAL_PLACE_LOG;
}

Lsn
wal_feed_oldest(void)
{
	Lsn			oldest = atomic_load_explicit(&wal_shared->oldest, memory_order_acquire);	/* acquire [wal-oldest] */

	return Max(oldest, wal_shared->known_from);
}

/* over_gaps -- where the log goes on if runs end here. */
static Lsn
over_gaps(Lsn at)
{
	for (uint32 i = 0; i < wal_shared->gap_count; i++)
		if (at == wal_shared->gap[i].from)
			at = wal_shared->gap[i].to;
	return at;
}

/* run_end -- where the run ends in which a record begins at 'at'. */
static Lsn
run_end(Lsn at, Lsn flushed)
{
	for (uint32 i = 0; i < wal_shared->gap_count; i++)
		if (wal_shared->gap[i].from > at)
			return wal_shared->gap[i].from;
	return flushed;
}

/* ---- beginning and end ---- */

static uint8 *
window_get(void)
{
	return feeds.windows > 0 ? feeds.window[--feeds.windows] : file_alloc_aligned(WINDOW_BYTES);
}

static void
window_give(uint8 *buf, uint64 room)
{
	if (room == WINDOW_BYTES && feeds.windows < WINDOWS_KEPT)
		feeds.window[feeds.windows++] = buf;
	else
		free(buf);
}

WalFeed *
wal_feed_open(Lsn from)
{
	WalFeed    *f = calloc(1, sizeof(*f));

	Verify(f != NULL);
	f->at = from;
	f->align = from == LSN_NONE;
	if (f->align)
		f->at = wal_feed_oldest();
	f->unproven = true;
	return f;
}

WalFeed *
wal_feed_peek(Lsn at)
{
	WalFeed    *f = wal_feed_open(at);

	f->peek = true;
	return f;
}

static void
feed_free(WalFeed *f)
{
	file_close(f->file);
	if (f->buf != NULL)
		window_give(f->buf, f->room);
	free(f->header);
	free(f->seed);
	free(f);
}

void
wal_feed_close(WalFeed *f)
{
	if (f == NULL)
		return;
	if (f->reading == READING_NOTHING)
	{
		feed_free(f);
		return;
	}
	f->closed = true;
	f->next_closed = feeds.closed;
	feeds.closed = f;
}

Lsn
wal_feed_at(const WalFeed *f)
{
	return f->at;
}

const char *
wal_feed_error(const WalFeed *f)
{
	return f->error;
}

/* ---- reads ---- */

bool
wal_feed_ready(const WalFeed *f)
{
	return f->reading == READING_NOTHING || f->io.done;
}

int
wal_feed_fd(void)
{
	return feeds.queue == NULL ? -1 : file_queue_fd(feeds.queue);
}

uint32
wal_feed_in_flight(void)
{
	return feeds.in_flight;
}

void
wal_feed_poll(void)
{
	WalFeed   **link = &feeds.closed;

	if (feeds.queue != NULL)
		file_queue_poll(feeds.queue);
	while (*link != NULL)
	{
		WalFeed    *f = *link;

		if (!f->io.done)
		{
			link = &f->next_closed;
			continue;
		}
		*link = f->next_closed;
		feeds.in_flight--;
		feed_free(f);
	}
}

void
wal__feeds_close(void)
{
	while (feeds.in_flight > 0)
		wal_feed_poll();
	file_queue_destroy(feeds.queue);
	while (feeds.windows > 0)
		free(feeds.window[--feeds.windows]);
	memset(&feeds, 0, sizeof(feeds));
}

/* start -- a read into 'buf'; what: its purpose. */
static WalFeedStatus
start(WalFeed *f, Reading what, void *buf, uint64 len, uint64 offset)
{
	FileIo	   *io = &f->io;

	if (file_queue_room(feeds.queue) == 0)
		return WAL_FEED_AGAIN;
	memset(io, 0, sizeof(*io));
	io->op = FILE_OP_READ;
	io->file = f->file;
	io->buf = buf;
	io->len = (uint32) len;
	io->offset = offset;
	f->reading = what;
	feeds.in_flight++;
	(void) file_queue_submit(feeds.queue, &io, 1);
	/* a plain call is over by now, and no descriptor would tell the event loop */
	if (file_queue_fd(feeds.queue) < 0)
		file_queue_poll(feeds.queue);
	return io->done ? WAL_FEED_RECORD : WAL_FEED_READING;
}

static WalFeedStatus attribute_printf(3, 4)
fail(WalFeed *f, int error, const char *fmt, ...)
{
	va_list		args;

	errno = error;
	va_start(args, fmt);
	vsnprintf(f->error, sizeof(f->error), fmt, args);
	va_end(args);
	return WAL_FEED_ERROR;
}

/* gone_or -- was the segment of 'at' taken away while we read it?  Else it is an error, described already. */
static WalFeedStatus
gone_or(const WalFeed *f, WalFeedStatus error)
{
	return f->at < wal_feed_oldest() ? WAL_FEED_COMPACTED : error;
}

/* forget_window -- nothing of it is of use any more. */
static void
forget_window(WalFeed *f)
{
	f->have = 0;
	f->from_file = LSN_NONE;
	f->win = AlignDown(f->at, WAL_BLOCK);
}

static void
remember_seed(WalFeed *f, Lsn first_lsn, uint64 seed)
{
	Lsn			needed = wal__segment_of(f->at, wal_shared->segment_size);
	uint32		kept = 0;

	for (uint32 i = 0; i < f->seed_count; i++)
		if (f->seed[i].first_lsn >= needed && f->seed[i].first_lsn != first_lsn)
			f->seed[kept++] = f->seed[i];
	f->seed_count = kept;
	if (f->seed_count == f->seed_room)
	{
		f->seed_room = Max(2 * f->seed_room, 4);
		f->seed = realloc(f->seed, f->seed_room * sizeof(*f->seed));
		Verify(f->seed != NULL);
	}
	f->seed[f->seed_count++] = (Seed) {first_lsn, seed};
}

static bool
known_seed(const WalFeed *f, Lsn first_lsn, uint64 *seed)
{
	for (uint32 i = 0; i < f->seed_count; i++)
		if (f->seed[i].first_lsn == first_lsn)
		{
			*seed = f->seed[i].seed;
			return true;
		}
	return false;
}

/* header_read -- what came as the header of segment file_lsn. */
static WalFeedStatus
header_read(WalFeed *f)
{
	const char *why = "the file is shorter than its header";

	if (f->io.error != 0)
		return gone_or(f, fail(f, f->io.error, "could not read log segment \"%s\": %s", file_path(f->file),
							   strerror(f->io.error)));
	if (f->io.done_len == WAL_HEADER_SIZE && wal_segment_header_valid(f->header, &why) &&
		f->header->first_lsn == f->file_lsn && f->header->system_id == seg_control->system_id)
	{
		remember_seed(f, f->file_lsn, f->header->seed);
		return WAL_FEED_RECORD;
	}
	return gone_or(f, fail(f, 0, "log segment \"%s\" is damaged at offset 0: %s", file_path(f->file),
						   why != NULL ? why : "it is not the one that its name says"));
}

/* data_read -- what came into the window behind what it holds. */
static WalFeedStatus
data_read(WalFeed *f)
{
	if (f->io.error != 0 || f->io.done_len < f->io.len)
		return gone_or(f, fail(f, f->io.error, "could not read log segment \"%s\" at offset %llu: %s", file_path(f->file),
							   (unsigned long long) f->io.offset,
							   f->io.error != 0 ? strerror(f->io.error) : "end of file"));
	f->have = f->io_to - f->win;
	f->from_file = f->io_to;
	return WAL_FEED_RECORD;
}

/* finish -- the read that was started, if it is over. */
static WalFeedStatus
finish(WalFeed *f)
{
	Reading		what = f->reading;

	if (!f->io.done)
		return WAL_FEED_READING;
	f->reading = READING_NOTHING;
	feeds.in_flight--;
	return what == READING_HEADER ? header_read(f) : data_read(f);
}

/* need_segment -- its file is open and its seed is known; RECORD: so it is. */
static WalFeedStatus
need_segment(WalFeed *f, Lsn first_lsn)
{
	char		path[WAL_PATH_MAX];
	uint64		seed;
	int			error;
	WalFeedStatus status;

	if (f->file != NULL && f->file_lsn == first_lsn && known_seed(f, first_lsn, &seed))
		return WAL_FEED_RECORD;
	if (feeds.queue == NULL)
		feeds.queue = file_queue_create("change feed");
	if (f->file != NULL)
	{
		file_close(f->file);
		f->file = NULL;
	}
	wal__segment_path(path, sizeof(path), wal__directory(), first_lsn);
	error = file_open(path, FILE_READ | FILE_DIRECT, 0, &f->file);
	if (error != 0)
		return gone_or(f, fail(f, error, "could not open log segment \"%s\": %s", path, strerror(error)));
	f->file_lsn = first_lsn;
	if (f->header == NULL)
		f->header = file_alloc_aligned(WAL_HEADER_SIZE);
	status = start(f, READING_HEADER, f->header, WAL_HEADER_SIZE, 0);
	if (status == WAL_FEED_AGAIN)
	{
		file_close(f->file);
		f->file = NULL;
	}
	return status == WAL_FEED_RECORD ? finish(f) : status;
}

/* ---- the window ---- */

/* make_room -- the window begins with the block of 'at' and has room for 'len' bytes from there on. */
static void
make_room(WalFeed *f, uint64 len)
{
	Lsn			begin = AlignDown(f->at, WAL_BLOCK);
	uint64		needed = AlignUp(f->at + len - begin, WAL_BLOCK);

	if (f->buf == NULL)
	{
		f->buf = window_get();
		f->room = WINDOW_BYTES;
	}
	if (begin < f->win || begin >= f->win + f->have)
		forget_window(f);
	else if (begin > f->win)
	{
		f->have -= begin - f->win;
		memmove(f->buf, f->buf + (begin - f->win), f->have);
		f->win = begin;
	}
	if (needed > f->room)
	{
		uint8	   *larger = file_alloc_aligned(needed);

		memcpy(larger, f->buf, f->have);
		window_give(f->buf, f->room);
		f->buf = larger;
		f->room = needed;
	}
}

/*
 * ring_words -- plain bytes of others, word by word; nonsense if they are overwritten
 * meanwhile, which the caller finds out.  This race is wanted, so the sanitizer is
 * told to look away here and only here.
 */
static __attribute__((noinline, no_sanitize("thread"))) void
ring_words(uint64 *to, const volatile uint64 *from, uint64 count)
{
	for (uint64 i = 0; i < count; i++)
		to[i] = from[i];
}

/* ring_holds -- is lsn in the ring, and not about to be overwritten? */
static bool
ring_holds(Lsn lsn)
{
	uint64		margin = wal_shared->ring_size / 16;

	return lsn >= wal_shared->start_lsn && wal_insert_lsn() + margin <= lsn + wal_shared->ring_size;
}

/* from_ring -- [from, to) behind what the window holds; false: it was overwritten. */
static bool
from_ring(WalFeed *f, Lsn from, Lsn to)
{
	uint64	   *out = (uint64 *) (f->buf + (from - f->win));
	Lsn			at = from;

	while (at < to)
	{
		uint64		contiguous;
		const uint64 *in = (const uint64 *) wal__ring_at(at, &contiguous);
		uint64		len = Min(contiguous, to - at);

		ring_words(out, in, len / 8);
		out += len / 8;
		at += len;
	}
	atomic_thread_fence(memory_order_acquire);	/* acquire [wal-ring]: the words before insert */
	if (wal_insert_lsn() > from + wal_shared->ring_size)
		return false;
	f->have = to - f->win;
	return true;
}

/* from_file -- a read of what follows the window. */
static WalFeedStatus
from_file(WalFeed *f, Lsn from, Lsn to)
{
	Lsn			segment = wal__segment_of(from, wal_shared->segment_size);
	WalFeedStatus status = need_segment(f, segment);

	if (status != WAL_FEED_RECORD)
		return status;
	from = AlignDown(from, WAL_BLOCK);
	f->io_to = Min(to, segment + wal_shared->segment_size);
	to = AlignUp(f->io_to, WAL_BLOCK);
	status = start(f, READING_DATA, f->buf + (from - f->win), to - from, WAL_HEADER_SIZE + (from - segment));
	return status == WAL_FEED_RECORD ? finish(f) : status;
}

/* need -- 'len' bytes from 'at' on are in the window: RECORD; they lie below 'end', which is flushed. */
static WalFeedStatus
need(WalFeed *f, uint64 len, Lsn end)
{
	uint64		copied = 0;

	for (;;)
	{
		WalFeedStatus status;
		Lsn			from;
		Lsn			to;

		if (f->reading != READING_NOTHING && (status = finish(f)) != WAL_FEED_RECORD)
			return status;
		if (f->at >= f->win && f->at + len <= f->win + f->have)
			return WAL_FEED_RECORD;
		if (copied >= LOAD_MAX)
			return WAL_FEED_AGAIN;
		make_room(f, len);
		from = f->win + f->have;
		to = Min(end, Min(f->win + f->room, from + LOAD_MAX));
		if (f->peek)
			to = Min(to, AlignUp(f->at + len, WAL_BLOCK));
		if (ring_holds(from) && from_ring(f, from, to))
		{
			copied += to - from;
			continue;
		}
		status = from_file(f, from, to);
		if (status != WAL_FEED_RECORD)
			return status;
		copied += to - from;
	}
}

/* ---- records ---- */

static const WalRecordHeader *
header_at(const WalFeed *f)
{
	return (const WalRecordHeader *) (f->buf + (f->at - f->win));
}

/* plausible -- may this be the header of the record at 'at', in a run that ends at 'end'? */
static bool
plausible(const WalRecordHeader *h, Lsn at, Lsn end)
{
	return h->lsn == at && h->length >= WAL_RECORD_HEADER && h->length <= RECORD_MAX
		&& wal__record_size(h->length) <= end - at;
}

/* need_seed -- of the segment in which the record at 'at' begins. */
static WalFeedStatus
need_seed(WalFeed *f, uint64 *seed)
{
	Lsn			first_lsn = wal__segment_of(f->at, wal_shared->segment_size);
	const WalSegmentEntry *entry = &wal_shared->segment[(first_lsn / wal_shared->segment_size) % WAL_SEGMENT_TABLE];
	WalFeedStatus status;

	if (known_seed(f, first_lsn, seed))
		return WAL_FEED_RECORD;
	/* acquire [wal-segment-entry] */
	if (atomic_load_explicit(&entry->first_lsn, memory_order_acquire) == first_lsn)
	{
		*seed = entry->seed;
		atomic_thread_fence(memory_order_acquire);	/* acquire [wal-segment-entry]: the seed before the second look */
		if (atomic_load_explicit(&entry->first_lsn, memory_order_relaxed) == first_lsn)	/* relaxed: after the fence */
		{
			remember_seed(f, first_lsn, *seed);
			return WAL_FEED_RECORD;
		}
	}
	status = need_segment(f, first_lsn);
	if (status == WAL_FEED_RECORD)
		Verify(known_seed(f, first_lsn, seed));
	return status;
}

static bool
crc_matches(const WalRecordHeader *h, uint64 seed)
{
	uint32		body = h->type == WAL_VOID ? 0
		: crc32c_extend(0, (const uint8 *) h + WAL_RECORD_HEADER, h->length - WAL_RECORD_HEADER);

	return wal_record_crc(body, h, seed) == h->crc;
}

/*
 * look -- the record at 'at' is in the window and good: RECORD; NO_RECORD: what
 * stands there is none.
 */
static WalFeedStatus
look(WalFeed *f, Lsn end)
{
	WalFeedStatus status;
	uint64		seed;

	if (end - f->at < WAL_RECORD_HEADER)
		return WAL_FEED_NO_RECORD;
	status = need(f, WAL_RECORD_HEADER, end);
	if (status != WAL_FEED_RECORD)
		return status;
	if (!plausible(header_at(f), f->at, end))
		return WAL_FEED_NO_RECORD;
	status = need(f, header_at(f)->length, end);
	if (status != WAL_FEED_RECORD)
		return status;
	if (!f->unproven && f->at >= f->from_file)
		return WAL_FEED_RECORD;
	status = need_seed(f, &seed);
	if (status != WAL_FEED_RECORD)
		return status;
	/* a window that was read again may hold something else by now */
	if (!plausible(header_at(f), f->at, end) || !crc_matches(header_at(f), seed))
		return WAL_FEED_NO_RECORD;
	return WAL_FEED_RECORD;
}

/* find_first -- the first record from 'at' on; RECORD: 'at' is where one begins, or the end. */
static WalFeedStatus
find_first(WalFeed *f, Lsn flushed)
{
	for (int i = 0; i < ALIGN_STEPS; i++)
	{
		WalFeedStatus status;
		Lsn			go_on;

		if (wal_place(f->at, &go_on) != WAL_PLACE_LOG)
			f->at = go_on;
		f->at = over_gaps(f->at);
		if (f->at >= flushed)
			return WAL_FEED_RECORD;
		status = look(f, run_end(f->at, flushed));
		if (status == WAL_FEED_COMPACTED)
		{
			f->at = wal_feed_oldest();	/* it went while we were looking */
			continue;
		}
		if (status != WAL_FEED_NO_RECORD)
			return status;
		f->at += 8;
	}
	return WAL_FEED_AGAIN;
}

/* where -- can there be a record at 'at'?  RECORD: yes. */
static WalFeedStatus
where(WalFeed *f, Lsn flushed)
{
	Lsn			go_on;

	if (f->unproven && wal_place(f->at, &go_on) != WAL_PLACE_LOG)
		return WAL_FEED_LOST;
	f->at = over_gaps(f->at);
	if (f->at >= flushed)
		return f->at == flushed || f->at <= wal_insert_lsn() ? WAL_FEED_END : WAL_FEED_BEYOND;
	if (f->at % 8 != 0)
		return WAL_FEED_NO_RECORD;
	return f->at < wal_feed_oldest() ? WAL_FEED_COMPACTED : WAL_FEED_RECORD;
}

WalFeedStatus
wal_feed_next(WalFeed *f, WalRecord *record)
{
	Lsn			flushed = wal_flushed_lsn();
	WalFeedStatus status;

	if (f->align)
	{
		status = find_first(f, flushed);
		if (status != WAL_FEED_RECORD)
			return status;
		f->align = false;
	}
	status = where(f, flushed);
	if (status != WAL_FEED_RECORD)
		return status;
	status = look(f, run_end(f->at, flushed));
	if (status == WAL_FEED_NO_RECORD)
	{
		if (gone_or(f, status) == WAL_FEED_COMPACTED)
			return WAL_FEED_COMPACTED;
		forget_window(f);
		if (++f->tries < TRIES_MAX)
			return WAL_FEED_AGAIN;
		if (!f->unproven)
			return fail(f, 0, "the log is damaged at %" LSN_FORMAT, LSN_ARGS(f->at));
	}
	if (status != WAL_FEED_RECORD)
		return status;
	f->unproven = false;
	f->tries = 0;
	record->header = header_at(f);
	record->start = f->at;
	record->end = f->at + wal__record_size(record->header->length);
	record->body = (const uint8 *) record->header + WAL_RECORD_HEADER;
	record->body_len = record->header->length - WAL_RECORD_HEADER;
	f->at = record->end;
	return WAL_FEED_RECORD;
}
