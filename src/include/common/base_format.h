/*
 * base_format.h -- the header page of the data file data/base.
 *
 * The file is made of pages of BASE_PAGE_SIZE bytes; page 0 is this header, zero
 * behind it.  It says whose file this is and how it is to be read, and never
 * changes after it was made.  Little-endian.
 *
 *    0  magic           u64
 *    8  format_version  u32  of the whole directory (control_format.h)
 *   12  page_size       u32
 *   16  system_id       u64  the same as in the control file
 *   24  created_wall_us u64
 *   32  reserved        u32
 *   36  crc             u32  CRC-32C of all before
 */
#ifndef ARTERY_COMMON_BASE_FORMAT_H
#define ARTERY_COMMON_BASE_FORMAT_H

#include "common/c.h"

#define BASE_MAGIC UINT64_C(0x5341425952455441)

typedef struct BaseHeader
{
	uint64		magic;
	uint32		format_version;
	uint32		page_size;
	uint64		system_id;
	uint64		created_wall_us;
	uint32		reserved;
	uint32		crc;			/* of all before */
} BaseHeader;
static_assert(sizeof(BaseHeader) == 40, "base header");

extern void base_header_seal(BaseHeader *h);
/* base_header_valid -- false: *why, a constant text.  Version and page size are the caller's to compare. */
extern bool base_header_valid(const BaseHeader *h, const char **why);

#endif
