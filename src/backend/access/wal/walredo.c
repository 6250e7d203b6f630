/*
 * walredo.c -- replay: every record in log order, gaps, and the end of the log.
 *
 * At every position, before anything that stands there is looked at: if a later
 * segment's header names this position as the end that it continues from, replay
 * goes on there.  That statement was made durable by a recovery that took this
 * position for the end, and served clients since; whatever stands in between, and
 * whichever files are missing in between, is no part of the log.
 *
 * An invalid record at G is damage, and the start is refused, if
 *   - a segment is missing there and later ones exist (segments of a run are made
 *     in ascending order and taken away in descending order: no crash leaves a hole),
 *   - a later run continues from somewhere beyond G (it had read the log to there),
 *   - the control slot says that the log was flushed beyond G, or
 *   - any valid record behind G carries 'flushed' > G: when it was written, G was
 *     durable.  Every 8-byte position behind G is looked at; a record counts only
 *     with its own position and the right checksum under its segment's random
 *     seed, so neither old records of recycled segments nor bytes that a client
 *     wrote into a value can pass for one.
 * Otherwise G is the end: the torn tail of a crash.  Damage in the very last
 * batch with nothing behind it cannot be told from a tear.
 *
 * Startup process, tools and tests; reads only.  If the process dies here,
 * nothing has changed.
 */
#include "access/wal/wal_internal.h"

#include "access/wal/wal_reader.h"
#include "common/crc32c.h"
#include "utils/clock.h"
#include "utils/elog.h"

#include <errno.h>

#define PROGRESS_US 50000
#define HINT_WINDOW (64 * KIB)

static const char *const advice_damage =
	"Restore the log from a copy of this directory. What stands behind the damage was acknowledged to clients, so the server "
	"does not go on without it.";
static const char *const advice_missing =
	"Put the file back, or restore the directory from a copy. Clients were told that what it held is durable, so the server "
	"does not go on without it.";

typedef struct Redo
{
	const WalRedoOptions *options;
	WalApply	apply;
	void	   *arg;
	WalRedoResult *result;
	WalSegmentSet set;
	WalStream  *stream;
	Lsn			at;
	int			index;			/* segment in which 'at' lies; -1: in none */
	Lsn			index_end;		/* end of that segment */
	uint64		record_max;		/* longest record that the run of that segment could write */
	int			jump;			/* next segment that continues from less than its begin; set.count: none */
	Lsn			jump_from;		/* ... from here; UINT64_MAX: none */
	Lsn			end_hint;
	uint64		begun_us;
	uint64		reported_us;
	uint64		chunks_seen;
} Redo;

/* ---- where we are ---- */

static void
find_segment(Redo *r)
{
	r->index = wal__set_find(&r->set, r->at);
	if (r->index < 0)
		return;
	r->index_end = r->set.info[r->index].first_lsn + r->set.segment_size;
	r->record_max = r->set.info[r->index].ring_size / 4;
}

/* next_jump -- the first segment from index i on that another run began with. */
static void
next_jump(Redo *r, int i)
{
	while (i < r->set.count && r->set.info[i].continues_lsn == r->set.info[i].first_lsn)
		i++;
	r->jump = i;
	r->jump_from = i < r->set.count ? r->set.info[i].continues_lsn : UINT64_MAX;
}

static void
note_gap(WalRedoResult *result, Lsn from, Lsn to)
{
	if (result->gap_count == lengthof(result->gap))
	{
		memmove(&result->gap[0], &result->gap[1], sizeof(result->gap[0]) * (lengthof(result->gap) - 1));
		result->gap_count--;
	}
	result->gap[result->gap_count].from = from;
	result->gap[result->gap_count].to = to;
	result->gap_count++;
}

/* place -- "file", offset N for messages about a position; the file before it where there is none. */
static void
place(const Redo *r, Lsn lsn, char *text, size_t size)
{
	int			i = wal__set_find(&r->set, lsn);
	char		path[WAL_PATH_MAX];

	if (i < 0)
		i = wal__set_first_above(&r->set, lsn) - 1;
	if (i < 0)
	{
		snprintf(text, size, "\"%s\"", r->set.dir);
		return;
	}
	wal__set_path(&r->set, i, path, sizeof(path));
	snprintf(text, size, "\"%s\", offset %llu", path,
			 (unsigned long long) (WAL_HEADER_SIZE + (lsn - r->set.info[i].first_lsn)));
}

/* go_on_elsewhere -- the log has a gap here: replay goes on at the first segment of the next run. */
static void
go_on_elsewhere(Redo *r)
{
	Lsn			to = r->set.info[r->jump].first_lsn;

	ereport(DEBUG1, "the log goes on from %" LSN_FORMAT " at %" LSN_FORMAT, LSN_ARGS(r->at), LSN_ARGS(to));
	note_gap(r->result, r->at, to);
	next_jump(r, r->jump + 1);
	r->at = to;
	find_segment(r);
	wal__stream_seek(r->stream, to);
}

/* ---- a record ---- */

/* header_defect -- why this cannot be the record at 'at'; NULL: its header can. */
static const char *
header_defect(const Redo *r, const WalRecordHeader *h, Lsn at)
{
	if (h->length == 0)
		return "zero length";
	if (h->length < WAL_RECORD_HEADER)
		return "length too short";
	if (h->length > r->record_max)
		return "length too long";
	if (h->lsn != at)
		return h->lsn < at && h->lsn != 0 && h->lsn % 8 == 0 ? "old record of a recycled segment"
			: "wrong position in record";
	if ((uint64) h->flushed_back * 8 > at)
		return "wrong flushed position in record";
	return NULL;
}

static bool
record_crc_matches(const WalRecordHeader *h, const uint8 *record, uint64 seed)
{
	uint32		body = h->type == WAL_VOID ? 0
		: crc32c_extend(0, record + WAL_RECORD_HEADER, h->length - WAL_RECORD_HEADER);

	return wal_record_crc(body, h, seed) == h->crc;
}

/* read_record -- the record at r->at; NULL, or why there is none (a constant text). */
static const char *
read_record(Redo *r, WalRecord *record)
{
	const uint8 *p;
	const WalRecordHeader *h;
	const char *why;

	if (unlikely(r->index < 0 || r->at >= r->index_end))
		find_segment(r);
	p = wal__stream_get(r->stream, r->at, WAL_RECORD_HEADER);
	if (p == NULL || r->index < 0)
	{
		(void) wal__stream_end(r->stream, &why);
		return why;
	}
	h = (const WalRecordHeader *) p;
	why = header_defect(r, h, r->at);
	if (why != NULL)
		return why;
	p = wal__stream_get(r->stream, r->at, h->length);
	if (p == NULL)
	{
		(void) wal__stream_end(r->stream, &why);
		return why;
	}
	h = (const WalRecordHeader *) p;
	if (!record_crc_matches(h, p, r->set.info[r->index].seed))
		return wal_type_name(h->type) == NULL ? "unknown type" : "checksum mismatch";
	record->header = h;
	record->start = r->at;
	record->end = AlignUp(r->at + h->length, 8);
	record->body = p + WAL_RECORD_HEADER;
	record->body_len = h->length - WAL_RECORD_HEADER;
	return NULL;
}

/* refuse_unknown -- a whole record of a type that this version does not know is no end. */
static void
refuse_unknown(const Redo *r, const WalRecord *record)
{
	char		where[WAL_PATH_MAX + 64];

	place(r, record->start, where, sizeof(where));
	ereport_hint(FATAL, "Start it with the version of artery that wrote it, or a newer one.",
				 "the log record at %" LSN_FORMAT " (%s) is of the unknown type %u", LSN_ARGS(record->start), where,
				 record->header->type);
}

static void
tell_progress(Redo *r)
{
	uint64		now = clock_mono_us();

	r->chunks_seen = wal__stream_chunks_read(r->stream);
	if (r->options->progress == NULL || now - r->reported_us < PROGRESS_US)
		return;
	r->reported_us = now;
	r->end_hint = Max(r->end_hint, r->at);
	r->options->progress(r->at, r->end_hint, r->result->records, r->arg);
}

/* replay -- until no record follows; why. */
static const char *
replay(Redo *r)
{
	WalRecord	record;
	const char *why;

	for (;;)
	{
		if (unlikely(r->at >= r->jump_from))
		{
			if (r->at > r->jump_from)
				return "a later run continues from inside a record";
			go_on_elsewhere(r);
			continue;
		}
		why = read_record(r, &record);
		if (why != NULL)
			return why;
		if (unlikely(wal_type_name(record.header->type) == NULL))
			refuse_unknown(r, &record);
		r->apply(&record, r->arg);
		r->result->records++;
		r->result->bytes += record.end - record.start;
		r->at = record.end;
		if (unlikely(wal__stream_chunks_read(r->stream) != r->chunks_seen))
			tell_progress(r);
	}
}

/* ---- how far will it go: for people ---- */

/* window_used -- does a record of this log begin in the first HINT_WINDOW bytes at lsn? */
static bool
window_used(const WalSegmentSet *set, Lsn lsn, uint64 *words)
{
	size_t		got = wal__set_read(set, lsn, words, HINT_WINDOW);

	for (size_t i = 0; i + 1 < got / 8; i++)
		if (words[i + 1] == lsn + 8 * i)
			return true;
	return false;
}

/* guess_end -- by looking at a few places; wrong only for the percentage. */
static Lsn
guess_end(const Redo *r)
{
	uint64	   *words = malloc(HINT_WINDOW);
	Lsn			end = Max(r->options->control_flushed, r->options->from);
	int			i = r->set.count - 1;

	Verify(words != NULL);
	while (i >= 0 && r->set.info[i].first_lsn > end && !window_used(&r->set, r->set.info[i].first_lsn, words))
		i--;
	if (i >= 0)
	{
		Lsn			low = Max(end, r->set.info[i].first_lsn);
		Lsn			high = r->set.info[i].first_lsn + r->set.segment_size;

		while (high > low && high - low > MIB)
		{
			Lsn			middle = AlignDown(low + (high - low) / 2, WAL_BLOCK);

			if (window_used(&r->set, middle, words))
				low = middle;
			else
				high = middle;
		}
		end = Max(end, low);
	}
	free(words);
	return end;
}

/* ---- torn or damaged ---- */

/* proves_damage -- is there a valid record at lsn that was written when G had been flushed? */
static bool
proves_damage(const Redo *r, Lsn lsn, Lsn g, Lsn *flushed)
{
	WalRecordHeader h;
	int			i = wal__set_find(&r->set, lsn);
	uint8	   *record;
	bool		valid;

	if (i < 0 || wal__set_read(&r->set, lsn, &h, sizeof(h)) < sizeof(h))
		return false;
	if (h.length < WAL_RECORD_HEADER || h.length > r->set.info[i].ring_size / 4 || h.lsn != lsn
		|| (uint64) h.flushed_back * 8 > lsn)
		return false;
	*flushed = lsn - (uint64) h.flushed_back * 8;
	if (*flushed <= g)
		return false;
	record = malloc(h.length);
	Verify(record != NULL);
	valid = wal__set_read(&r->set, lsn, record, h.length) == h.length
		&& record_crc_matches(&h, record, r->set.info[i].seed);
	free(record);
	return valid;
}

/* scan_chunk -- every 8-byte position of a piece; 0, or the LSN of a record that proves damage. */
static Lsn
scan_chunk(const Redo *r, const WalChunk *chunk, Lsn g, Lsn *flushed)
{
	const uint64 *words = (const uint64 *) chunk->data;
	size_t		count = chunk->len / 8;

	/* a record's own position is its second word, which stands in the next piece for one that begins 8 bytes before it */
	for (size_t i = 0; i < count; i++)
	{
		Lsn			lsn = chunk->lsn + 8 * i - 8;

		if (unlikely(words[i] == lsn) && lsn > g && proves_damage(r, lsn, g, flushed))
			return lsn;
	}
	return LSN_NONE;
}

/*
 * find_later_record -- a valid record behind g that carries flushed > g; 0: none.
 *
 * All of the log behind g is looked at, but for stretches that still begin with
 * their mark: they were made ready and never used.  That keeps the time of a start
 * from growing with the segments that are kept ahead.
 */
static Lsn
find_later_record(Redo *r, Lsn g, Lsn *flushed)
{
	int			i = wal__set_find(&r->set, g);
	bool	   *written = malloc(r->set.segment_size / WAL_MARK_BYTES * sizeof(bool));
	FileQueue  *queue = file_queue_create("redo");
	Lsn			found = LSN_NONE;

	Verify(written != NULL);
	if (i < 0)
		i = wal__set_first_above(&r->set, g);
	for (; i < r->set.count && found == LSN_NONE; i++)
	{
		Lsn			first = r->set.info[i].first_lsn;

		wal__set_marks(&r->set, i, queue, written);
		for (Lsn mark = Max(AlignDown(g, WAL_MARK_BYTES), first);
			 mark < first + r->set.segment_size && found == LSN_NONE; mark += WAL_MARK_BYTES)
		{
			WalChunk	chunk;

			if (mark > g && !written[(mark - first) / WAL_MARK_BYTES])
				continue;
			wal__stream_seek(r->stream, Max(g, mark));
			while (found == LSN_NONE && wal__stream_chunk(r->stream, &chunk))
			{
				found = scan_chunk(r, &chunk, g, flushed);
				if (chunk.lsn + chunk.len >= mark + WAL_MARK_BYTES)
					break;
			}
		}
	}
	file_queue_destroy(queue);
	free(written);
	return found;
}

/* refuse_hole -- the bytes at 'end' lie in a file that is not there, and later ones are; returns if it is not so. */
static void
refuse_hole(const Redo *r, Lsn end)
{
	char		missing[WAL_PATH_MAX];
	char		behind[WAL_PATH_MAX];
	int			next = wal__set_first_above(&r->set, end);

	if (next == r->set.count || wal__set_find(&r->set, end) >= 0)
		return;
	wal__segment_path(missing, sizeof(missing), r->set.dir, wal__segment_of(end, r->set.segment_size));
	wal__set_path(&r->set, next, behind, sizeof(behind));
	ereport_hint(FATAL, advice_missing, "log segment \"%s\" is missing: redo has come to %" LSN_FORMAT
				 ", and the log goes on behind it in \"%s\"", missing, LSN_ARGS(r->at), behind);
}

/*
 * refuse_cut_off -- the control slot says that the log was flushed beyond r->at:
 * a file is missing at the end, if the one in which that position lies is not
 * there, else the log is damaged.
 */
static void
refuse_cut_off(const Redo *r, const char *where, const char *why)
{
	Lsn			flushed = r->options->control_flushed;
	char		missing[WAL_PATH_MAX];

	if (wal__set_find(&r->set, flushed - 1) < 0 && wal__set_find(&r->set, flushed) < 0)
	{
		wal__segment_path(missing, sizeof(missing), r->set.dir, wal__segment_of(flushed, r->set.segment_size));
		ereport_hint(FATAL, advice_missing, "log segment \"%s\" is missing: the log ends at %" LSN_FORMAT
					 " (%s), but the control file says that it was flushed up to %" LSN_FORMAT, missing, LSN_ARGS(r->at),
					 where, LSN_ARGS(flushed));
	}
	ereport_hint(FATAL, advice_damage, "the log is damaged at %" LSN_FORMAT " (%s): %s; the control file says that it was "
				 "flushed up to %" LSN_FORMAT, LSN_ARGS(r->at), where, why, LSN_ARGS(flushed));
}

/* refuse_damage -- returns only if the invalid record at r->at is the torn tail. */
static void
refuse_damage(Redo *r, const char *why)
{
	char		where[WAL_PATH_MAX + 64];
	const char *end_why;
	Lsn			end = wal__stream_end(r->stream, &end_why);
	Lsn			later;
	Lsn			flushed;

	if (r->index < 0 || (why == end_why && strcmp(why, "no further segment") == 0))
		refuse_hole(r, r->index < 0 ? r->at : end);
	place(r, r->at, where, sizeof(where));
	if (r->jump < r->set.count)
		ereport_hint(FATAL, advice_damage, "the log is damaged at %" LSN_FORMAT " (%s): %s; segment %016llX continues from %"
					 LSN_FORMAT, LSN_ARGS(r->at), where, why, (unsigned long long) r->set.info[r->jump].first_lsn,
					 LSN_ARGS(r->jump_from));
	if (r->at < r->options->control_flushed)
		refuse_cut_off(r, where, why);
	later = find_later_record(r, r->at, &flushed);
	if (later != LSN_NONE)
		ereport_hint(FATAL, advice_damage, "the log is damaged at %" LSN_FORMAT " (%s): %s; the record at %" LSN_FORMAT
					 " was written when the log was flushed up to %" LSN_FORMAT, LSN_ARGS(r->at), where, why,
					 LSN_ARGS(later), LSN_ARGS(flushed));
	ereport(LOG, "log ends at %" LSN_FORMAT " (%s): %s", LSN_ARGS(r->at), where, why);
}

/* ---- the whole ---- */

static void
check_begin(Redo *r)
{
	char		path[WAL_PATH_MAX];

	if (r->jump_from < r->at)
		ereport_hint(FATAL, advice_damage, "redo should start at %" LSN_FORMAT ", which no run has written: segment %016llX "
					 "continues from %" LSN_FORMAT, LSN_ARGS(r->at), (unsigned long long) r->set.info[r->jump].first_lsn,
					 LSN_ARGS(r->jump_from));
	if (r->index >= 0 || r->jump_from == r->at)
		return;
	wal__segment_path(path, sizeof(path), r->set.dir, wal__segment_of(r->at, r->set.segment_size));
	ereport_hint(FATAL, advice_missing, "log segment \"%s\", in which redo should start at %" LSN_FORMAT ", is missing", path,
				 LSN_ARGS(r->at));
}

/* ring_size_of_run -- wal_buffers of the run that ended at r->at, as its segment headers state it. */
static uint64
ring_size_of_run(const Redo *r)
{
	int			before = wal__set_find(&r->set, r->at - 1);
	int			here = wal__set_find(&r->set, r->at);
	uint64		size = 0;

	/* at a border both say the same, unless one of them is a stale file of another run: the larger is safe */
	if (before >= 0)
		size = r->set.info[before].ring_size;
	if (here >= 0)
		size = Max(size, r->set.info[here].ring_size);
	Verify(size > 0);
	return size;
}

void
wal_redo(const WalRedoOptions *options, WalApply apply, void *arg, WalRedoResult *result)
{
	Redo		r;
	const char *why;
	int			i = 0;

	memset(&r, 0, sizeof(r));
	memset(result, 0, sizeof(*result));
	r.options = options;
	r.apply = apply;
	r.arg = arg;
	r.result = result;
	r.at = options->from;
	r.begun_us = r.reported_us = clock_mono_us();
	result->first = options->from;
	wal__set_load(&r.set, options);
	FAULT_POINT("redo-begin");
	/* a run that began where redo starts, or before, needs no explanation */
	while (i < r.set.count && r.set.info[i].first_lsn <= r.at)
		i++;
	next_jump(&r, i);
	find_segment(&r);
	check_begin(&r);
	r.end_hint = guess_end(&r);
	r.stream = wal__stream_open(&r.set, "redo");
	if (r.index >= 0)
		wal__stream_seek(r.stream, r.at);
	why = replay(&r);
	refuse_damage(&r, why);
	result->end = r.at;
	result->end_reason = why;
	/* beyond the ring's end, not at it: a version is the end of its record, and the lost run may have given that one out */
	result->next_start = AlignUp(r.at + ring_size_of_run(&r) + 8, options->segment_size);
	result->elapsed_us = clock_mono_us() - r.begun_us;
	wal__stream_close(r.stream);
	wal__set_free(&r.set);
	FAULT_POINT("redo-end");
}

/* ---- the tail, made durable again ---- */

typedef struct TailNames
{
	Lsn			last;			/* the last one seen, not yet synced */
	int			count;
	const char *wal_dir;
	Lsn			from;
} TailNames;

static void
sync_one(const char *wal_dir, Lsn first_lsn)
{
	char		path[WAL_PATH_MAX];
	File	   *file;
	int			error;

	wal__segment_path(path, sizeof(path), wal_dir, first_lsn);
	error = file_open(path, FILE_READ | FILE_WRITE, 0, &file);
	if (error == 0)
	{
		error = file_datasync(file);
		file_close(file);
	}
	if (error != 0)
	{
		errno = error;
		ereport_hint(FATAL, "What was read might not be on the disk; see what the system's log says about it.",
					 "could not sync log segment \"%s\": %m", path);
	}
}

/* sync_name -- names come in ascending order: one is needed if the next begins beyond 'from', and the last always. */
static void
sync_name(const char *name, void *arg)
{
	TailNames  *tail = arg;
	Lsn			first_lsn;

	if (!wal_segment_parse_name(name, &first_lsn))
		return;
	if (tail->count > 0 && first_lsn > tail->from)
		sync_one(tail->wal_dir, tail->last);
	tail->last = first_lsn;
	tail->count++;
}

void
wal_sync_tail(const char *wal_dir, Lsn from)
{
	TailNames	tail = {.wal_dir = wal_dir, .from = from};
	int			error = file_list(wal_dir, sync_name, &tail);

	if (error == 0 && tail.count > 0)
		sync_one(wal_dir, tail.last);
	if (error == 0)
		error = file_sync_directory(wal_dir);
	if (error != 0)
	{
		errno = error;
		ereport(FATAL, "could not sync log directory \"%s\": %m", wal_dir);
	}
}
