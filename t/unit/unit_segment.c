/*
 * unit_segment.c -- see unit_segment.h.
 */
#include "unit_segment.h"

#include "access/base/base_read.h"
#include "access/store/checkpoint.h"
#include "access/store/evict.h"
#include "access/store/store.h"
#include "access/wal/wal.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/segment.h"
#include "storage/mem/heap.h"

static const SegmentRegion regions[] = {
	{REGION_CONTROL, "control", segment_control_size, segment_control_init},
	{REGION_PROCS, "procs", proc_region_size, proc_region_init},
	{REGION_EPOCH, "epoch", epoch_region_size, epoch_region_init},
	{REGION_STORE, "store", store_region_size, store_region_init},
	{REGION_CHECKPOINT, "checkpoint", checkpoint_region_size, checkpoint_region_init},
	{REGION_EVICT, "evict", evict_region_size, evict_region_init},
	{REGION_BASE_READ, "base_read", base_read_region_size, base_read_region_init},
	{REGION_WAL, "wal", wal_region_size, wal_region_init},
	{REGION_HEAP, "heap", mem_region_size, mem_region_init},
};

void
unit_segment_make(uint64 nodes_size, uint64 ring_size, uint32 slots)
{
	segment_create_private(regions, lengthof(regions), nodes_size, ring_size, slots);
	latch_create_all();
}

int
unit_segment_teardown(void **state)
{
	(void) state;
	segment_destroy();
	return 0;
}
