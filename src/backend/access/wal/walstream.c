/*
 * walstream.c -- reading segment files: the set of them, and their bytes in order.
 *
 * A WalSegmentSet is made of every segment that reaches beyond the start of
 * redo.  Each file's lock is taken before its first byte is read: a process of
 * an earlier run that still has writes in flight holds it, and what it has not
 * written yet must not be mistaken for the end.  A segment's name is given only
 * after its header is durable, so a bad header is damage and FATAL, as is
 * whatever belongs to another system, timeline or segment size.
 *
 * A WalStream keeps CHUNKS reads of CHUNK_BYTES in flight, O_DIRECT wherever the
 * file system can (also for what was written through the page cache: a direct
 * read shows what the device has, not what the kernel remembers of a failed
 * write).  What lies within one chunk is given out in place; what crosses a
 * border is put together in a side buffer, which grows to the longest record.
 *
 * Startup process, tools and tests.  Nothing is shared; nothing is written.
 */
#include "access/wal/wal_internal.h"

#include "access/wal/wal_reader.h"
#include "utils/elog.h"

#include <errno.h>

#define CHUNKS 8
#define CHUNK_BYTES (1 * MIB)

typedef struct Chunk
{
	Lsn			lsn;
	uint32		want;			/* bytes that the file has here */
	FileIo		io;
	uint8	   *buf;
} Chunk;

struct WalStream
{
	const WalSegmentSet *set;
	FileQueue  *queue;
	Chunk		chunk[CHUNKS];
	uint32		head;			/* the oldest one in flight or in use */
	uint32		count;
	bool		head_done;		/* its read is over, its bytes are given out */
	/* what is to be read next */
	int			index;			/* segment; -1: nothing more */
	Lsn			next;
	File	   *file[2];		/* of the segment being read, and of the one before (reads in flight) */
	Lsn			end;
	const char *end_why;
	uint64		chunks_read;
	/* side buffer: [side_lsn, side_lsn + side_len) */
	uint8	   *side;
	size_t		side_room;
	Lsn			side_lsn;
	size_t		side_len;
};

/* ---- the set ---- */

void
wal__set_path(const WalSegmentSet *set, int i, char *path, size_t size)
{
	wal__segment_path(path, size, set->dir, set->info[i].first_lsn);
}

static void
set_add_name(const char *name, void *arg)
{
	WalSegmentSet *set = arg;
	Lsn			first_lsn;

	if (!wal_segment_parse_name(name, &first_lsn))
		return;
	if (set->count % 64 == 0)
	{
		set->info = realloc(set->info, (size_t) (set->count + 64) * sizeof(*set->info));
		Verify(set->info != NULL);
	}
	memset(&set->info[set->count], 0, sizeof(set->info[0]));
	set->info[set->count++].first_lsn = first_lsn;
}

static int
compare_infos(const void *a, const void *b)
{
	const WalSegmentInfo *x = a;
	const WalSegmentInfo *y = b;

	return x->first_lsn < y->first_lsn ? -1 : x->first_lsn > y->first_lsn;
}

/*
 * open_segment -- open for reading; FATAL when it cannot be had.
 *
 * With 'lock' the first time.  Once we have had it, no writer of an earlier run
 * is left; who starts a new one holds the lock of the directory, and that is us.
 */
static File *
open_segment(const char *path, bool lock)
{
	File	   *file;
	int			error = file_open(path, FILE_READ | FILE_DIRECT, 0, &file);

	if (error == 0 && lock)
		error = file_lock_bounded(file, wal__lock_timeout_ms);
	if (error == EWOULDBLOCK)
		ereport_hint(FATAL, "A process of an earlier run still has the segment open (see lsof or fuser), or a tool does, "
					 "or its last writes have not come back from the device. End it and start again.",
					 "could not lock log segment \"%s\" within %lld ms", path, (long long) wal__lock_timeout_ms);
	if (error != 0)
	{
		errno = error;
		ereport(FATAL, "could not open log segment \"%s\": %m", path);
	}
	return file;
}

static void
bad_header(const char *path, const char *what)
{
	ereport_hint(FATAL, "A segment gets its name only after its header is durable, so this file was damaged or put "
				 "here later. Restore it from a copy of this directory; the server does not start without it.",
				 "log segment \"%s\" is damaged at offset 0: %s", path, what);
}

/* check_header -- does this segment belong to this log?  FATAL with file and advice if not. */
static void
check_header(const char *path, const WalSegmentHeader *h, Lsn name_lsn, const WalRedoOptions *options)
{
	const char *why;

	if (!wal_segment_header_valid(h, &why))
		bad_header(path, why);
	if (h->system_id != options->system_id)
		ereport_hint(FATAL, "It comes from another data directory. Take it out of the way, and put the right file there.",
					 "log segment \"%s\" is foreign: its system identifier is %016llx, this directory's is %016llx", path,
					 (unsigned long long) h->system_id, (unsigned long long) options->system_id);
	if (h->timeline != options->timeline)
		ereport_hint(FATAL, "It was written after this directory and its origin went different ways. Put the right "
					 "file there.",
					 "log segment \"%s\" is of timeline %u, this directory is on timeline %u", path, h->timeline,
					 options->timeline);
	if (h->segment_size != options->segment_size)
		ereport_hint(FATAL, "Restore the file from a copy of this directory.",
					 "log segment \"%s\" is %llu bytes long by its header, the control file says %llu", path,
					 (unsigned long long) h->segment_size, (unsigned long long) options->segment_size);
	if (h->first_lsn != name_lsn)
		ereport_hint(FATAL, "The file was renamed or copied. Restore the right one.",
					 "log segment \"%s\" is not the one that its name says: it begins at %" LSN_FORMAT, path,
					 LSN_ARGS(h->first_lsn));
}

static void
load_one(const WalSegmentSet *set, int i, const WalRedoOptions *options, WalSegmentHeader *h)
{
	WalSegmentInfo *info = &set->info[i];
	char		path[WAL_PATH_MAX];
	File	   *file;
	uint64		size = 0;
	size_t		got = 0;
	int			error;

	wal__set_path(set, i, path, sizeof(path));
	file = open_segment(path, true);
	memset(h, 0, WAL_HEADER_SIZE);
	error = file_read(file, h, WAL_HEADER_SIZE, 0, &got);
	if (error == 0)
		error = file_size(file, &size);
	if (error != 0)
	{
		errno = error;
		ereport(FATAL, "could not read log segment \"%s\" at offset 0: %m", path);
	}
	if (got < WAL_HEADER_SIZE)
		bad_header(path, "the file is shorter than its header");
	check_header(path, h, info->first_lsn, options);
	info->continues_lsn = h->continues_lsn;
	info->seed = h->seed;
	info->ring_size = h->ring_size;
	info->bytes = Min(size - WAL_HEADER_SIZE, options->segment_size);
	file_close(file);
}

void
wal__set_load(WalSegmentSet *set, const WalRedoOptions *options)
{
	WalSegmentHeader *h = file_alloc_aligned(WAL_HEADER_SIZE);
	int			error;
	int			kept = 0;

	memset(set, 0, sizeof(*set));
	snprintf(set->dir, sizeof(set->dir), "%s", options->wal_dir);
	set->segment_size = options->segment_size;
	error = file_list(set->dir, set_add_name, set);
	if (error != 0)
	{
		errno = error;
		ereport_hint(FATAL, "The log is a part of the database: restore the directory from a copy.",
					 "could not list log directory \"%s\": %m", set->dir);
	}
	for (int i = 0; i < set->count; i++)
		if (set->info[i].first_lsn + set->segment_size > options->from)
			set->info[kept++] = set->info[i];
	set->count = kept;
	if (set->count > 0)
		qsort(set->info, (size_t) set->count, sizeof(*set->info), compare_infos);
	for (int i = 0; i < set->count; i++)
		load_one(set, i, options, h);
	free(h);
}

void
wal__set_free(WalSegmentSet *set)
{
	free(set->info);
	memset(set, 0, sizeof(*set));
}

int
wal__set_first_above(const WalSegmentSet *set, Lsn lsn)
{
	int			low = 0;
	int			high = set->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (set->info[middle].first_lsn >= lsn)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

int
wal__set_find(const WalSegmentSet *set, Lsn lsn)
{
	int			i = wal__set_first_above(set, lsn + 1) - 1;

	return i >= 0 && lsn < set->info[i].first_lsn + set->segment_size ? i : -1;
}

bool
wal__set_follows(const WalSegmentSet *set, int i)
{
	const WalSegmentInfo *next = &set->info[i + 1];

	return i + 1 < set->count && next->first_lsn == set->info[i].first_lsn + set->segment_size
		&& next->continues_lsn == next->first_lsn;
}

size_t
wal__set_read(const WalSegmentSet *set, Lsn lsn, void *buf, size_t len)
{
	int			i = wal__set_find(set, lsn);
	uint8	   *block = file_alloc_aligned(Min(CHUNK_BYTES, len + 2 * WAL_BLOCK));
	size_t		done = 0;

	while (i >= 0 && done < len)
	{
		const WalSegmentInfo *info = &set->info[i];
		uint64		in_segment = lsn + done - info->first_lsn;
		uint64		start = AlignDown(in_segment, WAL_BLOCK);
		char		path[WAL_PATH_MAX];
		File	   *file;
		size_t		got = 0;
		size_t		piece;
		int			error;

		wal__set_path(set, i, path, sizeof(path));
		file = open_segment(path, false);
		error = file_read(file, block, Min(Min(CHUNK_BYTES, set->segment_size - start),
										   AlignUp(in_segment - start + len - done, WAL_BLOCK)),
						  WAL_HEADER_SIZE + start, &got);
		file_close(file);
		if (error != 0)
		{
			errno = error;
			ereport(FATAL, "could not read log segment \"%s\" at offset %llu: %m", path,
					(unsigned long long) (WAL_HEADER_SIZE + start));
		}
		if (got <= in_segment - start)
			break;
		piece = Min(got - (in_segment - start), len - done);
		memcpy((uint8 *) buf + done, block + (in_segment - start), piece);
		done += piece;
		if (lsn + done == info->first_lsn + set->segment_size)
			i = wal__set_follows(set, i) ? i + 1 : -1;
	}
	free(block);
	return done;
}

/*
 * wal__set_marks -- which stretches of segment i do not begin with their mark any
 * more: written[k] for the one at first_lsn + k * WAL_MARK_BYTES.  All blocks are
 * read together.
 */
void
wal__set_marks(const WalSegmentSet *set, int i, FileQueue *queue, bool *written)
{
	uint32		count = (uint32) (set->segment_size / WAL_MARK_BYTES);
	uint8	   *blocks = file_alloc_aligned((size_t) count * WAL_BLOCK);
	FileIo	   *io = calloc(count, sizeof(*io));
	FileIo	  **ios = calloc(count, sizeof(*ios));
	char		path[WAL_PATH_MAX];
	File	   *file;
	int			error;

	Verify(io != NULL && ios != NULL);
	wal__set_path(set, i, path, sizeof(path));
	file = open_segment(path, false);
	for (uint32 k = 0; k < count; k++)
	{
		io[k] = (FileIo) {.op = FILE_OP_READ, .file = file, .buf = blocks + (size_t) k * WAL_BLOCK, .len = WAL_BLOCK,
						  .offset = WAL_HEADER_SIZE + k * WAL_MARK_BYTES};
		ios[k] = &io[k];
	}
	error = file_queue_run(queue, ios, (int) count);
	if (error != 0)
	{
		errno = error;
		ereport(FATAL, "could not read log segment \"%s\": %m", path);
	}
	for (uint32 k = 0; k < count; k++)
	{
		const uint64 *words = (const uint64 *) (blocks + (size_t) k * WAL_BLOCK);

		written[k] = io[k].done_len < WAL_BLOCK;	/* a file cut short: look at what there is */
		for (uint32 w = 0; w < WAL_BLOCK / 8 && !written[k]; w++)
			written[k] = words[w] != wal__mark_word(set->info[i].seed, w);
	}
	file_close(file);
	free(io);
	free(ios);
	free(blocks);
}

/* ---- the stream ---- */

WalStream *
wal__stream_open(const WalSegmentSet *set, const char *purpose)
{
	WalStream  *s = calloc(1, sizeof(*s));

	Verify(s != NULL);
	s->set = set;
	s->queue = file_queue_create(purpose);
	s->index = -1;
	for (int i = 0; i < CHUNKS; i++)
		s->chunk[i].buf = file_alloc_aligned(CHUNK_BYTES);
	return s;
}

/* drain -- every read in flight has come back and is forgotten. */
static void
drain(WalStream *s)
{
	for (; s->count > 0; s->count--, s->head = (s->head + 1) % CHUNKS)
		file_queue_wait(s->queue, &s->chunk[s->head].io);
	s->head_done = false;
	s->side_len = 0;
	s->index = -1;
	for (int i = 0; i < 2; i++)
	{
		file_close(s->file[i]);
		s->file[i] = NULL;
	}
}

void
wal__stream_close(WalStream *s)
{
	drain(s);
	file_queue_destroy(s->queue);
	for (int i = 0; i < CHUNKS; i++)
		free(s->chunk[i].buf);
	free(s->side);
	free(s);
}

/* stop_at -- the bytes end here. */
static void
stop_at(WalStream *s, Lsn lsn, const char *why)
{
	s->index = -1;
	s->end = lsn;
	s->end_why = why;
}

/* settle -- wait for a read and see that it brought what the file has. */
static void
settle(WalStream *s, Chunk *c)
{
	file_queue_wait(s->queue, &c->io);
	if (c->io.error == 0 && c->io.done_len < c->want)
		c->io.error = EIO;
	if (c->io.error != 0)
	{
		errno = c->io.error;
		ereport(FATAL, "could not read log segment \"%s\" at offset %llu: %m", file_path(c->io.file),
				(unsigned long long) c->io.offset);
	}
}

/* enter_segment -- the file of segment 'index' becomes the one being read. */
static void
enter_segment(WalStream *s, int index)
{
	char		path[WAL_PATH_MAX];

	/* reads of the segment before the last are over: each segment has at least CHUNKS chunks, or this waits for them */
	if (s->file[1] != NULL)
	{
		for (uint32 i = 0; i < s->count; i++)
			if (s->chunk[(s->head + i) % CHUNKS].io.file == s->file[1])
				settle(s, &s->chunk[(s->head + i) % CHUNKS]);
		file_close(s->file[1]);
	}
	s->file[1] = s->file[0];
	wal__set_path(s->set, index, path, sizeof(path));
	s->file[0] = open_segment(path, false);
	s->index = index;
}

/* next_segment -- the segment at hand is read to its end. */
static void
next_segment(WalStream *s)
{
	if (s->set->info[s->index].bytes < s->set->segment_size)
		stop_at(s, s->next, "end of file");
	else if (!wal__set_follows(s->set, s->index))
		stop_at(s, s->next, "no further segment");
	else
		enter_segment(s, s->index + 1);
}

/* fill -- start reads until all chunks are in use or nothing is left. */
static void
fill(WalStream *s)
{
	while (s->index >= 0 && s->count < CHUNKS)
	{
		const WalSegmentInfo *info = &s->set->info[s->index];
		Lsn			segment_end = info->first_lsn + info->bytes;
		Chunk	   *c = &s->chunk[(s->head + s->count) % CHUNKS];
		FileIo	   *io = &c->io;

		if (s->next >= segment_end)
		{
			next_segment(s);
			continue;
		}
		memset(io, 0, sizeof(*io));
		io->op = FILE_OP_READ;
		io->file = s->file[0];
		io->buf = c->buf;
		/* whole blocks, also at the end of a file that is cut short */
		io->len = (uint32) Min(CHUNK_BYTES, AlignUp(segment_end - s->next, WAL_BLOCK));
		io->offset = WAL_HEADER_SIZE + (s->next - info->first_lsn);
		c->lsn = s->next;
		c->want = (uint32) Min(io->len, segment_end - s->next);
		s->next += c->want;
		s->count++;
		(void) file_queue_submit(s->queue, &io, 1);
	}
}

void
wal__stream_seek(WalStream *s, Lsn lsn)
{
	int			i = wal__set_find(s->set, lsn);

	drain(s);
	if (i < 0)
	{
		stop_at(s, lsn, "no further segment");
		return;
	}
	enter_segment(s, i);
	s->next = AlignDown(lsn, WAL_BLOCK);
	fill(s);
}

/* head_chunk -- the oldest chunk with its read over; NULL: the bytes have ended. */
static Chunk *
head_chunk(WalStream *s)
{
	Chunk	   *c = &s->chunk[s->head];

	if (s->count == 0)
		return NULL;
	if (s->head_done)
		return c;
	if (!c->io.done || c->io.error != 0)
		settle(s, c);
	s->head_done = true;
	s->chunks_read++;
	FAULT_POINT("redo-chunk");
	return c;
}

/* drop_head -- its bytes are not needed any more; start the next read in its place. */
static void
drop_head(WalStream *s)
{
	s->head = (s->head + 1) % CHUNKS;
	s->count--;
	s->head_done = false;
	fill(s);
}

/* side_extend -- bytes [side_lsn + side_len, side_lsn + len) from the chunks into the side buffer. */
static const uint8 *
side_extend(WalStream *s, size_t len)
{
	if (s->side_room < len)
	{
		s->side_room = Max(AlignUp(len, 64 * KIB), 2 * s->side_room);
		s->side = realloc(s->side, s->side_room);
		Verify(s->side != NULL);
	}
	while (s->side_len < len)
	{
		Lsn			at = s->side_lsn + s->side_len;
		Chunk	   *c = head_chunk(s);
		size_t		piece;

		if (c == NULL)
			return NULL;
		Verify(at >= c->lsn);
		if (at >= c->lsn + c->want)
		{
			drop_head(s);
			continue;
		}
		piece = Min(len - s->side_len, c->lsn + c->want - at);
		memcpy(s->side + s->side_len, c->buf + (at - c->lsn), piece);
		s->side_len += piece;
	}
	return s->side;
}

const uint8 *
wal__stream_get(WalStream *s, Lsn at, size_t len)
{
	Chunk	   *c;

	if (s->side_len > 0)
	{
		if (at == s->side_lsn)
			return side_extend(s, len);
		s->side_len = 0;
	}
	while ((c = head_chunk(s)) != NULL && at >= c->lsn + c->want)
		drop_head(s);
	if (c == NULL)
		return NULL;
	Verify(at >= c->lsn);
	if (likely(at + len <= c->lsn + c->want))
		return c->buf + (at - c->lsn);
	s->side_lsn = at;
	return side_extend(s, len);
}

bool
wal__stream_chunk(WalStream *s, WalChunk *chunk)
{
	Chunk	   *c;

	if (s->count > 0 && s->head_done)
		drop_head(s);
	c = head_chunk(s);
	if (c == NULL)
		return false;
	chunk->lsn = c->lsn;
	chunk->data = c->buf;
	chunk->len = c->want;
	return true;
}

Lsn
wal__stream_end(const WalStream *s, const char **why)
{
	*why = s->end_why;
	return s->end;
}

uint64
wal__stream_chunks_read(const WalStream *s)
{
	return s->chunks_read;
}
