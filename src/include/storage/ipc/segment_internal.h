/*
 * segment_internal.h -- what the segment itself carries; for storage/ipc and its tests.
 *
 *   0            SegmentHeader: identity, directory of regions
 *   4 KiB ...    the small regions, each at a multiple of 4 KiB
 *   2 MiB ...    wal_ring, buffers, nodes, each at a multiple of 2 MiB
 *
 * The first part up to the end of the ring is reserved at start, buffers and
 * nodes piece by piece.
 */
#ifndef ARTERY_STORAGE_IPC_SEGMENT_INTERNAL_H
#define ARTERY_STORAGE_IPC_SEGMENT_INTERNAL_H

#include "common/c.h"
#include "storage/ipc/segment.h"

#define SEGMENT_REGION_ALIGN (4 * KIB)
#define SEGMENT_LARGE_ALIGN (2 * MIB)	/* also the size of a huge page */

typedef struct SegmentRegionEntry
{
	char		name[16];
	uint64		offset;			/* 0: the segment has no such region */
	uint64		size;
} SegmentRegionEntry;

/* SegmentHeader -- at offset 0; constant after start. */
typedef struct SegmentHeader
{
	uint64		magic;			/* SEGMENT_MAGIC; stored last */
	uint32		version;
	uint32		region_count;	/* REGION_COUNT */
	uint64		fingerprint;	/* of what follows and of the sizes of the main structs */
	uint64		total_size;
	SegmentRegionEntry region[REGION_COUNT];
} SegmentHeader;
static_assert(sizeof(SegmentHeader) <= SEGMENT_REGION_ALIGN, "the header is one page");

#endif
