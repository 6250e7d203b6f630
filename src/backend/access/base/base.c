/*
 * base.c -- the data file data/base: made, looked at before it is trusted, opened
 * for writing, and the commit of what base_merge has made.
 *
 * base_create: the server program with --init.  base_check: the startup process.
 * base_writer_*: the one process that writes the base; it holds an exclusive lock
 * on its own open file description, and so do its requests in flight: a successor
 * gets the lock when the last of them has come back.
 *
 * A checkpoint calls base_merge, base_sync, then writes the control slot, then
 * base_merge_commit: only there do the new map and the new state take effect in
 * this process.  Until then base_merge_abandon undoes everything.
 *
 * The file may be longer than the state says: it is cut down to what the two
 * newest states say, after the newer one is committed.  What lies behind is free
 * in both of them.
 *
 * If a process dies here: base_create leaves a file under a temporary name or a
 * whole one; a writer leaves pages that no root reaches.
 */
#include "access/base/base_internal.h"

#include "common/control_format.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <errno.h>

#define PATH_BYTES 1200
#define WRITER_MAGIC 0x52545742
#define LOCK_TIMEOUT_MS 30000

static void
path_of(char *path, const char *data_dir, const char *suffix)
{
	snprintf(path, PATH_BYTES, "%s/data/base%s", data_dir, suffix);
}

static void
failed(int error, const char *what, const char *path)
{
	errno = error;
	ereport(FATAL, "could not %s \"%s\": %m", what, path);
}

/* base_create -- under another name first, so that a half-made file never has this one. */
void
base_create(const char *data_dir, uint64 system_id)
{
	char		temporary[PATH_BYTES];
	char		path[PATH_BYTES];
	char	   *page = file_alloc_aligned(BASE_PAGE_SIZE);
	BaseHeader	header = {.format_version = FORMAT_VERSION, .page_size = BASE_PAGE_SIZE, .system_id = system_id,
						  .created_wall_us = clock_wall_us()};
	File	   *file;
	int			error;

	base_header_seal(&header);
	memset(page, 0, BASE_PAGE_SIZE);
	memcpy(page, &header, sizeof(header));
	path_of(temporary, data_dir, ".tmp");
	path_of(path, data_dir, "");
	error = file_open(temporary, FILE_WRITE | FILE_CREATE | FILE_DIRECT, 0600, &file);
	if (error != 0)
		failed(error, "create", temporary);
	error = file_write(file, page, BASE_PAGE_SIZE, 0);
	if (error == 0)
		error = file_datasync(file);
	file_close(file);
	if (error == 0)
		error = file_rename(temporary, path);
	if (error != 0)
		failed(error, "write", path);
	free(page);
}

static void
check_header(const char *path, const BaseHeader *h, uint64 system_id)
{
	const char *why;

	if (!base_header_valid(h, &why))
		ereport_hint(FATAL, "Restore it from a copy of this directory.",
					 "data file \"%s\" is damaged at offset 0: %s", path, why);
	if (h->format_version != FORMAT_VERSION)
		ereport_hint(FATAL, "Start it with the version of artery that wrote it.",
					 "data file \"%s\" has format version %u, this server knows %u", path, h->format_version, FORMAT_VERSION);
	if (h->page_size != BASE_PAGE_SIZE)
		ereport_hint(FATAL, "Start it with a server built for that page size.",
					 "data file \"%s\" has pages of %u bytes, this server's have %u", path, h->page_size, BASE_PAGE_SIZE);
	if (h->system_id != system_id)
		ereport_hint(FATAL, "It comes from another data directory. Put the right file there.",
					 "data file \"%s\" is foreign: its system identifier is %016llx, the control file's is %016llx", path,
					 (unsigned long long) h->system_id, (unsigned long long) system_id);
}

/* open_base -- FATAL on failure. */
static File *
open_base(const char *data_dir, int flags)
{
	char		path[PATH_BYTES];
	File	   *file;
	int			error;

	path_of(path, data_dir, "");
	error = file_open(path, flags | FILE_DIRECT, 0, &file);
	if (error == ENOENT)
		ereport_hint(FATAL, "Restore it from a copy of this directory.", "data file \"%s\" is missing", path);
	if (error != 0)
		failed(error, "open", path);
	return file;
}

/* check_file -- header and length. */
static void
check_file(File *file, uint64 system_id, const BaseState *state)
{
	const char *path = file_path(file);
	char	   *page = file_alloc_aligned(BASE_PAGE_SIZE);
	BaseHeader	header;
	size_t		got = 0;
	uint64		size = 0;
	int			error = file_read(file, page, BASE_PAGE_SIZE, 0, &got);

	if (error == 0)
		error = file_size(file, &size);
	if (error != 0)
		failed(error, "read", path);
	if (got < BASE_PAGE_SIZE)
		ereport_hint(FATAL, "Restore it from a copy of this directory.",
					 "data file \"%s\" is damaged: it ends at offset %zu, inside its header page", path, got);
	memcpy(&header, page, sizeof(header));
	free(page);
	check_header(path, &header, system_id);
	if (size / BASE_PAGE_SIZE < state->page_count)
		ereport_hint(FATAL, "Restore it from a copy of this directory.",
					 "data file \"%s\" is damaged: it ends at offset %llu, the control file says that it has %llu pages of %d bytes",
					 path, (unsigned long long) size, (unsigned long long) state->page_count, BASE_PAGE_SIZE);
}

void
base_check(const char *data_dir, uint64 system_id, const BaseState *state)
{
	File	   *file = open_base(data_dir, FILE_READ);

	check_file(file, system_id, state);
	file_close(file);
}

/* ---- the writer ---- */

/* map_bad -- FATAL. */
static void
map_bad(BaseWriter *w, uint64 number, const char *why)
{
	ereport_hint(FATAL, "Restore it from a copy of this directory.",
				 "the free map of data file \"%s\" is damaged at page %llu: %s", file_path(w->file),
				 (unsigned long long) number, why);
}

/* map_take -- the runs of one page of the map. */
static void
map_take(BaseWriter *w, const BasePage *p, BaseRuns *runs)
{
	const BaseMapEntry *entry = (const BaseMapEntry *) (p + 1);

	for (uint32 i = 0; i < p->count; i++)
	{
		const BaseMapEntry *e = &entry[i];

		if (e->first + e->count > w->state.page_count)
			map_bad(w, p->number, "it names pages behind the file's end");
		if (runs->count > 0 && e->first < runs->at[runs->count - 1].first + runs->at[runs->count - 1].count)
			map_bad(w, p->number, "its runs overlap with those of the page before");
		base__runs_add(runs, e->first, e->count, e->died);
	}
}

static void
map_read(BaseWriter *w, BaseRuns *runs)
{
	BaseRef		ref = w->state.map;
	uint64		free_pages,
				aside_pages;
	char	   *page = file_alloc_aligned(BASE_PAGE_SIZE);

	w->map_page = calloc(Max(w->state.map_pages, 1), sizeof(*w->map_page));
	Verify(w->map_page != NULL);
	for (uint32 i = 0; i < w->state.map_pages; i++)
	{
		char		why[256];
		size_t		got;
		int			error;

		if (ref.number == 0 || ref.number >= w->state.page_count)
			map_bad(w, ref.number, "the chain of its pages ends too soon");
		error = file_read(w->file, page, BASE_PAGE_SIZE, ref.number * BASE_PAGE_SIZE, &got);
		if (error != 0)
			failed(error, "read", file_path(w->file));
		if (got < BASE_PAGE_SIZE)
			map_bad(w, ref.number, "the file ends before it");
		if (!base_page_verify(page, ref, BASE_MAP, 0, w->system, why, sizeof(why)))
			map_bad(w, ref.number, why);
		map_take(w, (BasePage *) page, runs);
		w->map_page[i] = ref.number;
		ref.number = ((BasePage *) page)->link;
	}
	if (w->state.map_pages > 0 && ref.number != 0)
		map_bad(w, ref.number, "the control file says that it is none of the map's");
	base__space_sum(runs, &free_pages, &aside_pages);
	if (free_pages != w->state.free_pages || aside_pages != w->state.aside_pages
		|| w->state.live_pages + free_pages + aside_pages != w->state.page_count)
		map_bad(w, w->state.map.number, "its runs do not add up to what the control file says");
	free(page);
}

BaseWriter *
base_writer_open(const char *data_dir, uint64 system_id, const BaseState *state, Lsn cut, Lsn older_cut)
{
	BaseWriter *w = calloc(1, sizeof(*w));
	BaseRuns	runs = {0};
	int			error;

	Verify(w != NULL);
	w->magic = WRITER_MAGIC;
	w->system = (uint32) system_id;
	w->state = *state;
	w->last_birth = cut;
	w->file = open_base(data_dir, FILE_READ | FILE_WRITE);
	error = file_lock_bounded(w->file, LOCK_TIMEOUT_MS);
	if (error != 0)
		failed(error, "lock", file_path(w->file));
	check_file(w->file, system_id, state);
	map_read(w, &runs);
	base__space_open(&w->space, &runs, state->page_count, cut, Min(older_cut, cut));
	w->io = base__io_create(w->file, (uint32) set_checkpoint_batch_pages);
	w->fetch = base__fetch_create(w->file, w->system);
	return w;
}

void
base_writer_close(BaseWriter *w)
{
	if (w == NULL)
		return;
	Verify(w->magic == WRITER_MAGIC);
	base_merge_abandon(w);
	base__io_destroy(w->io);
	base__fetch_destroy(w->fetch);
	base__space_close(&w->space);
	file_close(w->file);
	free(w->map_page);
	w->magic = 0;
	free(w);
}

const BaseState *
base_writer_state(const BaseWriter *w)
{
	return &w->state;
}

const BaseReport *
base_writer_report(const BaseWriter *w)
{
	return &w->report;
}

int
base_sync(BaseWriter *w)
{
	int			error;

	Verify(w->magic == WRITER_MAGIC && w->merged);
	error = base__io_sync(w->io);
	if (error != 0)
	{
		w->report.error = error;
		errno = error;
		snprintf(w->report.text, sizeof(w->report.text), "could not sync data/base: %m");
	}
	return error;
}

/* shorten -- what lies behind both of the newest states' ends is free in both: the file system gets it back. */
static void
shorten(BaseWriter *w, uint64 page_count)
{
	uint64		size;
	int			error = file_size(w->file, &size);

	if (error != 0 || size <= page_count * BASE_PAGE_SIZE)
		return;
	FAULT_POINT("base-before-truncate");
	error = file_truncate(w->file, page_count * BASE_PAGE_SIZE);
	if (error != 0)
	{
		errno = error;
		ereport(LOG, "could not shorten \"%s\" to %llu pages: %m", file_path(w->file), (unsigned long long) page_count);
	}
}

void
base_merge_commit(BaseWriter *w)
{
	uint64		needed;

	Verify(w->magic == WRITER_MAGIC && w->merged);
	needed = Max(w->state.page_count, w->next.page_count);
	base__space_commit(&w->space, w->kept);
	if (!w->kept)
	{
		free(w->map_page);
		w->map_page = w->next_map_page;
		w->next_map_page = NULL;
	}
	w->state = w->next;
	w->merged = w->kept = false;
	w->report.freed = w->report.to_free;
	shorten(w, needed);
}

void
base_merge_abandon(BaseWriter *w)
{
	bool		full = w->report.error == ENOSPC || w->report.error == EDQUOT;

	Verify(w->magic == WRITER_MAGIC);
	base__io_cancel(w->io);
	base__fetch_forget(w->fetch);
	base__space_abandon(&w->space, full);
	free(w->next_map_page);
	w->next_map_page = NULL;
	w->merged = w->kept = false;
}
