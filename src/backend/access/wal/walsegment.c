/*
 * walsegment.c -- segment files: made ready ahead of use, recycled.
 *
 * In wal/ there are
 *   0000000004000000   a segment, named by its first LSN
 *   prepare.tmp        a segment being zero-filled
 *   spare.N            a whole segment file without a valid place: raw material
 *
 * A file gets a segment's name only when its header page and its size are
 * durable: (1) zero-fill under another name, or take a spare; (2) write the
 * header with a fresh random seed; (3) fdatasync; (4) rename; (5) sync the
 * directory; (6) enter it in the segment table and raise 'prepared'.  So an
 * invalid header under a segment's name is always damage, and a record can be
 * reserved only where its segment is durable.  Zero-filled, because the first
 * sync of a block that the file system has only set aside writes metadata too.
 *
 * No holes.  Segments of a run are made in ascending order, so that a missing
 * one below an existing one is always damage.  Unused segments of an earlier run
 * are turned into spares at start, before the first segment of this run exists,
 * in descending order, each step synced: a crash in between leaves no hole
 * either.  The segment in which the log ends stays, even if no record was written
 * to it: its name tells which LSNs were given out.
 *
 * The startup process makes the first segment of a run; afterwards only the
 * checkpointer calls here, in steps of PREPARE_STEP bytes.  If it dies, the
 * temporary file is started over by whoever comes next.
 *
 * A failure (a full disk, mostly) is not the end: space_errno tells the writers
 * once they reach 'prepared', it is tried again every second, and two log lines
 * mark begin and end.
 */
#include "access/wal/wal_internal.h"

#include "storage/ipc/proc.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <stdarg.h>

#define PREPARE_STEP (4 * MIB)
#define RETRY_US 1000000
#define TEMPORARY_NAME "prepare.tmp"
#define SPARE_FORMAT "spare.%u"
#define SPARES_MAX 128

/* what this process is making; private */
static struct
{
	File	   *file;			/* NULL: nothing under way */
	char		path[WAL_PATH_MAX];
	bool		is_spare;
	uint64		filled;			/* bytes of the file that are in place, header page included */
	uint64		retry_at_us;	/* after a failure */
	bool		listed;			/* spare[] is known */
	uint32		spare[SPARES_MAX];
	int			spare_count;
	uint32		spare_next;		/* number of the next spare */
} prep;

int64		wal__lock_timeout_ms = 30000;

const char *
wal__directory(void)
{
	static _Thread_local char path[WAL_PATH_MAX];	/* unit tests: walwriter and checkpointer are threads */

	snprintf(path, sizeof(path), "%s/wal", seg_control->data_dir);
	return path;
}

void
wal__segment_path(char *path, size_t size, const char *wal_dir, Lsn first_lsn)
{
	char		name[32];

	wal_segment_file_name(first_lsn, name, sizeof(name));
	snprintf(path, size, "%s/%s", wal_dir, name);
}

Lsn
wal__segment_of(Lsn lsn, uint64 segment_size)
{
	return AlignDown(lsn, segment_size);
}

static uint64
file_bytes(void)
{
	return WAL_HEADER_SIZE + wal_shared->segment_size;
}

static void
path_in_wal(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", wal__directory(), name);
}

static void
spare_path(char *path, size_t size, uint32 number)
{
	char		name[32];

	snprintf(name, sizeof(name), SPARE_FORMAT, number);
	path_in_wal(path, size, name);
}

static void
note_spare(uint32 number)
{
	if (prep.spare_count < SPARES_MAX)
		prep.spare[prep.spare_count++] = number;
	prep.spare_next = Max(prep.spare_next, number + 1);
}

static void
list_one_spare(const char *name, void *arg)
{
	uint32		number;
	char		back[32];

	(void) arg;
	if (sscanf(name, SPARE_FORMAT, &number) != 1)
		return;
	snprintf(back, sizeof(back), SPARE_FORMAT, number);
	if (strcmp(back, name) == 0)
		note_spare(number);
}

/* list_spares -- what an earlier run, or a predecessor, has left to be used; 0 or errno. */
static int
list_spares(void)
{
	prep.spare_count = 0;
	prep.spare_next = 1;
	prep.listed = true;
	return file_list(wal__directory(), list_one_spare, NULL);
}

/* ---- one segment ---- */

/* abandon -- forget what is under way and give its room on the disk back. */
static void
abandon(void)
{
	file_close(prep.file);
	prep.file = NULL;
	if (file_unlink(prep.path) != 0)
		prep.listed = false;	/* it has another name by now, or stays and is started over: look again */
}

static int
open_flags(void)
{
	return FILE_READ | FILE_WRITE | (set_wal_direct_io ? FILE_DIRECT : 0);
}

/* take_spare -- a spare file of the right size as the one under way; false: there is none. */
static bool
take_spare(void)
{
	while (prep.spare_count > 0)
	{
		uint32		number = prep.spare[--prep.spare_count];
		uint64		size;

		spare_path(prep.path, sizeof(prep.path), number);
		if (file_open(prep.path, open_flags(), 0600, &prep.file) != 0)
			continue;
		if (file_lock(prep.file, false) == 0 && file_size(prep.file, &size) == 0 && size == file_bytes())
		{
			prep.is_spare = true;
			prep.filled = size;
			return true;
		}
		abandon();				/* another segment size, cut short, or still in somebody's hands: not worth keeping */
	}
	return false;
}

/* begin -- a file under another name; 0 or errno. */
static int
begin(void)
{
	int			error;

	if (!prep.listed && (error = list_spares()) != 0)
		return error;
	if (take_spare())
		return 0;
	prep.is_spare = false;
	prep.filled = 0;
	path_in_wal(prep.path, sizeof(prep.path), TEMPORARY_NAME);
	error = file_open(prep.path, open_flags() | FILE_CREATE, 0600, &prep.file);
	if (error != 0)
		return error;
	error = file_lock(prep.file, false);
	if (error == 0)
		error = file_truncate(prep.file, 0);
	/* set aside first: a full disk then says so before megabytes are written */
	if (error == 0)
		error = file_allocate(prep.file, 0, file_bytes());
	FAULT_POINT("segment-created");
	return error;
}

static int
fill_step(uint64 bytes)
{
	uint64		piece = Min(file_bytes() - prep.filled, bytes);
	int			error = file_zero_fill(prep.file, prep.filled, piece);

	if (error == 0)
		prep.filled += piece;
	FAULT_POINT("segment-zero-fill");
	return error;
}

static int
write_header(Lsn first_lsn, Lsn continues_lsn, uint64 *seed)
{
	WalSegmentHeader *h = file_alloc_aligned(WAL_HEADER_SIZE);
	int			error;

	memset(h, 0, WAL_HEADER_SIZE);
	arc4random_buf(seed, sizeof(*seed));
	h->timeline = wal_shared->timeline;
	h->system_id = seg_control->system_id;
	h->first_lsn = first_lsn;
	h->segment_size = wal_shared->segment_size;
	h->seed = *seed;
	h->continues_lsn = continues_lsn;
	h->ring_size = wal_shared->ring_size;
	h->created_wall_us = clock_wall_us();
	wal_segment_header_seal(h);
	FAULT_POINT("segment-before-header");
	error = file_write(prep.file, h, WAL_HEADER_SIZE, 0);
	free(h);
	return error;
}

/*
 * stamp_marks -- the first block of each stretch gets words that nobody can guess, so
 * that redo can see how far the segment was used (walredo.c).
 */
static int
stamp_marks(uint64 seed)
{
	uint64	   *words = file_alloc_aligned(WAL_BLOCK);
	int			error = 0;

	for (uint32 i = 0; i < WAL_BLOCK / 8; i++)
		words[i] = wal__mark_word(seed, i);
	for (uint64 at = 0; at < wal_shared->segment_size && error == 0; at += WAL_MARK_BYTES)
		error = file_write(prep.file, words, WAL_BLOCK, WAL_HEADER_SIZE + at);
	free(words);
	return error;
}

/* enter -- the segment is durable under its name: writers may use it. */
static void
enter(Lsn first_lsn, uint64 seed)
{
	WalSegmentEntry *entry = &wal_shared->segment[(first_lsn / wal_shared->segment_size) % WAL_SEGMENT_TABLE];

	/* relaxed: nobody looks here before 'prepared' says so; the old owner's last record is flushed */
	atomic_store_explicit(&entry->first_lsn, 0, memory_order_relaxed);
	entry->seed = seed;
	atomic_store_explicit(&entry->first_lsn, first_lsn, memory_order_release);	/* release [wal-segment-entry] */
	FAULT_POINT("segment-before-enter");
	/* release [wal-prepared]: the entry; seq_cst [wal-wait]: before the waiters are looked at */
	atomic_store_explicit(&wal_shared->prepared, first_lsn + wal_shared->segment_size, memory_order_seq_cst);
	FAULT_POINT("segment-entered");
}

/* finish -- header, sync, name, directory, table; 0 or errno: nothing is entered then. */
static int
finish(Lsn first_lsn, Lsn continues_lsn)
{
	char		path[WAL_PATH_MAX];
	uint64		seed;
	int			error = write_header(first_lsn, continues_lsn, &seed);

	if (error == 0)
		error = stamp_marks(seed);
	FAULT_POINT("segment-before-sync");
	if (error == 0)
		error = file_datasync(prep.file);
	if (error != 0)
		return error;
	wal__segment_path(path, sizeof(path), wal__directory(), first_lsn);
	FAULT_POINT("segment-before-rename");
	error = file_rename(prep.path, path);
	if (error != 0)
		return error;
	file_close(prep.file);		/* and with it our lock: the walwriter takes it next */
	prep.file = NULL;
	FAULT_POINT("segment-after-rename");
	error = file_sync_directory(wal__directory());
	if (error != 0)
		return error;			/* the next attempt renames another file over it */
	/* relaxed: figures */
	atomic_fetch_add_explicit(prep.is_spare ? &wal_shared->segments_recycled : &wal_shared->segments_created, 1,
							  memory_order_relaxed);
	enter(first_lsn, seed);
	return 0;
}

void
wal__segments_close(void)
{
	file_close(prep.file);
	memset(&prep, 0, sizeof(prep));
}

/* ---- ahead of use: the checkpointer ---- */

/* wanted_end -- up to where segments should be ready: wal_segments_ahead behind the one in use, and the longest record. */
static Lsn
wanted_end(void)
{
	uint64		size = wal_shared->segment_size;
	Lsn			insert = wal_insert_lsn();
	Lsn			ahead = AlignDown(insert, size) + (1 + (uint64) set_wal_segments_ahead) * size;

	return Max(ahead, AlignUp(insert + wal_record_max(), size));
}

static void
set_space_errno(int error)
{
	/* relaxed: we alone write it */
	uint32		before = atomic_load_explicit(&wal_shared->space_errno, memory_order_relaxed);

	if (before == (uint32) error)
		return;
	/* release [wal-space]; seq_cst [wal-wait]: before the waiters are looked at */
	atomic_store_explicit(&wal_shared->space_errno, (uint32) error, memory_order_seq_cst);
	if (error != 0)
	{
		errno = error;
		ereport_hint(WARNING, error == ENOSPC || error == EDQUOT
					 ? "Make room. Reads go on, writes until the log is full; it is tried again every second."
					 : "See the system's log. Reads go on, writes until the log is full; it is tried again every second.",
					 "could not prepare the next log segment in \"%s\": %m", wal__directory());
	}
	else
		ereport(LOG, "log segments can be prepared again");
	wal__wake_waiters(wal_flushed_lsn());
}

/*
 * wal_segments_prepare -- one bounded step towards the next segment.
 *
 * Checkpointer.  true: there is more to do, call again soon.  After a failure it
 * returns false, and tries again when called a second later or more.
 */
bool
wal_segments_prepare(void)
{
	Lsn			first_lsn = atomic_load_explicit(&wal_shared->prepared, memory_order_acquire);	/* acquire [wal-prepared] */
	int			error;

	if (first_lsn == 0 || first_lsn >= wanted_end())
		return false;
	/* the entry in the table is still somebody's, of the walwriter in the end: wait until the log behind it is flushed */
	if (first_lsn + wal_shared->segment_size > wal_flushed_lsn() + WAL_SEGMENT_TABLE * wal_shared->segment_size)
		return false;
	if (prep.retry_at_us != 0 && clock_mono_us() < prep.retry_at_us)
		return false;
	if (prep.file == NULL)
		error = begin();
	else if (prep.filled < file_bytes())
		error = fill_step(PREPARE_STEP);
	else
	{
		error = finish(first_lsn, first_lsn);
		if (error == 0)
		{
			set_space_errno(0);
			wal__wake_waiters(wal_flushed_lsn());
		}
	}
	if (error != 0)
	{
		abandon();
		prep.retry_at_us = clock_mono_us() + RETRY_US;
		set_space_errno(error);
		return false;
	}
	prep.retry_at_us = 0;
	return true;
}

/* ---- spares ---- */

/* make_spare -- take a segment's name away and keep the file; 0 or errno. */
static int
make_spare(Lsn first_lsn)
{
	char		from[WAL_PATH_MAX];
	char		to[WAL_PATH_MAX];
	int			error;

	wal__segment_path(from, sizeof(from), wal__directory(), first_lsn);
	spare_path(to, sizeof(to), prep.spare_next);
	FAULT_POINT("segment-before-spare");
	error = file_rename(from, to);
	if (error == 0)
		/* synced before the header under the new name is touched, and before the next one follows */
		error = file_sync_directory(wal__directory());
	if (error == 0)
		note_spare(prep.spare_next);
	FAULT_POINT("segment-after-spare");
	return error;
}

typedef struct SegmentList
{
	Lsn		   *first_lsn;		/* ascending: names sort as numbers */
	size_t		count;
	size_t		room;
} SegmentList;

static void
list_one_segment(const char *name, void *arg)
{
	SegmentList *list = arg;
	Lsn			first_lsn;

	if (!wal_segment_parse_name(name, &first_lsn))
		return;
	if (list->count == list->room)
	{
		list->room = Max(list->room * 2, (size_t) 64);
		list->first_lsn = realloc(list->first_lsn, list->room * sizeof(Lsn));
		Verify(list->first_lsn != NULL);
	}
	list->first_lsn[list->count++] = first_lsn;
}

/*
 * wal_segments_recycle -- segments wholly below become spares, as many as will
 * soon be needed; the others are removed.
 *
 * Checkpointer, once the control slots that could still ask for them are out of
 * force: 'below' is the redo of the older slot.  The lowest first, so that there
 * is never a hole in what is left.  A failure is told and leaves the rest for the
 * next time.  Returns how many went.
 */
uint32
wal_segments_recycle(Lsn below)
{
	SegmentList list = {0};
	int			keep = (int) Min(set_wal_segments_ahead + 1, SPARES_MAX - 1);
	char		path[WAL_PATH_MAX];
	int			error = prep.listed ? 0 : list_spares();
	uint32		gone = 0;

	if (error == 0)
		error = file_list(wal__directory(), list_one_segment, &list);
	for (size_t i = 0; i < list.count && error == 0; i++)
	{
		if (list.first_lsn[i] + wal_shared->segment_size > below)
			break;
		/* release [wal-oldest]: before the file goes */
		atomic_store_explicit(&wal_shared->oldest, list.first_lsn[i] + wal_shared->segment_size, memory_order_release);
		if (prep.spare_count < keep)
			error = make_spare(list.first_lsn[i]);
		else
		{
			wal__segment_path(path, sizeof(path), wal__directory(), list.first_lsn[i]);
			error = file_unlink(path);
		}
		gone += error == 0;
	}
	free(list.first_lsn);
	if (error != 0)
	{
		errno = error;
		ereport(WARNING, "could not recycle log segments in \"%s\": %m", wal__directory());
	}
	return gone;
}

/* ---- the first segment of a run: the startup process ---- */

static void attribute_printf(2, 3)
first_failed(int error, const char *fmt, ...)
{
	char		what[WAL_PATH_MAX + 100];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	errno = error;
	ereport_hint(FATAL, error == ENOSPC || error == EDQUOT ? "Make room on the disk and start again; nothing is lost."
				 : "See that the directory can be written, and start again; nothing is lost.", "could not %s: %m", what);
}

/*
 * clear_behind -- what an earlier run prepared beyond 'end' and did not use
 * becomes spare, the highest first.  The segment that begins at 'end' stays: it
 * may be the one in which redo starts, or the first of a run that wrote nothing.
 */
static void
clear_behind(Lsn end)
{
	SegmentList list = {0};
	char		path[WAL_PATH_MAX];
	int			error = file_list(wal__directory(), list_one_segment, &list);

	if (error == 0)
		error = list_spares();
	if (error != 0)
		first_failed(error, "list directory \"%s\"", wal__directory());
	path_in_wal(path, sizeof(path), TEMPORARY_NAME);
	error = file_unlink(path);
	if (error != 0 && error != ENOENT)
		first_failed(error, "remove \"%s\"", path);
	for (size_t i = list.count; i > 0 && list.first_lsn[i - 1] > end; i--)
	{
		error = make_spare(list.first_lsn[i - 1]);
		if (error != 0)
			first_failed(error, "rename log segment %016llX", (unsigned long long) list.first_lsn[i - 1]);
	}
	/* relaxed: published by the server state becoming RUNNING */
	atomic_store_explicit(&wal_shared->oldest, list.count > 0 ? Min(list.first_lsn[0], end) : end, memory_order_relaxed);
	free(list.first_lsn);
}

/*
 * wal_segments_prepare_first -- the segment in which this run begins.
 *
 * Startup process, after the tail of the log was synced: the header states that
 * the log ends at continues_lsn and goes on at first_lsn, once and for all.
 * Returns when that is durable; FATAL on any failure.
 */
void
wal_segments_prepare_first(Lsn first_lsn, Lsn continues_lsn)
{
	int			error;

	Verify(first_lsn >= continues_lsn && first_lsn % wal_shared->segment_size == 0 && first_lsn != 0);
	FAULT_POINT("redo-tail-synced");
	wal__segments_close();
	clear_behind(continues_lsn);
	error = begin();
	while (error == 0 && prep.filled < file_bytes())
		error = fill_step(PREPARE_STEP);
	if (error == 0)
		error = finish(first_lsn, continues_lsn);
	if (error != 0)
	{
		abandon();
		first_failed(error, "make log segment %016llX in \"%s\"", (unsigned long long) first_lsn, wal__directory());
	}
	FAULT_POINT("redo-first-segment");
}
