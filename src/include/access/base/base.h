/*
 * base.h -- the data file data/base.
 *
 * Today it holds only its header page (BASE_PAGE_SIZE bytes: magic, format
 * version, page size, system identifier, CRC-32C): the base is empty, and the
 * whole database is the log replayed into the overlay.
 */
#ifndef ARTERY_ACCESS_BASE_BASE_H
#define ARTERY_ACCESS_BASE_BASE_H

#include "common/c.h"

#define BASE_PAGE_SIZE 16384

/* base_create -- artery --init: writes and syncs DIR/data/base; FATAL on failure.  Directory entries are the caller's to sync. */
extern void base_create(const char *data_dir, uint64 system_id);
/* base_check -- recovery: FATAL, with file and advice, when the file is missing, damaged, foreign or of another format. */
extern void base_check(const char *data_dir, uint64 system_id);

#endif
