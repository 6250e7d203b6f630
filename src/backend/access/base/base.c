/*
 * base.c -- the data file data/base: made, and looked at before it is trusted.
 *
 * The file holds its header page only: the base is empty, and every key comes
 * from the log.  Its header names the system, so that a file from another
 * directory is refused before anything is read from it.
 *
 * base_create: the server program with --init.  base_check: the startup process.
 * If either dies, the file is whole or is not there under its name.
 */
#include "access/base/base.h"

#include "common/base_format.h"
#include "common/control_format.h"
#include "storage/file/file.h"
#include "utils/clock.h"
#include "utils/elog.h"

#include <errno.h>

#define PATH_BYTES 1200

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

void
base_check(const char *data_dir, uint64 system_id)
{
	char		path[PATH_BYTES];
	char	   *page = file_alloc_aligned(BASE_PAGE_SIZE);
	BaseHeader	header;
	File	   *file;
	size_t		got = 0;
	int			error;

	path_of(path, data_dir, "");
	error = file_open(path, FILE_READ | FILE_DIRECT, 0, &file);
	if (error == ENOENT)
		ereport_hint(FATAL, "Restore it from a copy of this directory.", "data file \"%s\" is missing", path);
	if (error != 0)
		failed(error, "open", path);
	error = file_read(file, page, BASE_PAGE_SIZE, 0, &got);
	if (error != 0)
		failed(error, "read", path);
	file_close(file);
	if (got < BASE_PAGE_SIZE)
		ereport_hint(FATAL, "Restore it from a copy of this directory.",
					 "data file \"%s\" is damaged: it ends at offset %zu, inside its header page", path, got);
	memcpy(&header, page, sizeof(header));
	free(page);
	check_header(path, &header, system_id);
}
