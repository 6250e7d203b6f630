/*
 * unit_segment.h -- a segment in private memory, for unit tests of what works on one: the shared
 * regions that log, store and pressure need, none of net and tcop, no files.
 */
#ifndef ARTERY_UNIT_SEGMENT_H
#define ARTERY_UNIT_SEGMENT_H

#include "common/c.h"

/* unit_segment_make -- a fresh one, with latches; nobody is attached yet.  Slots: process slots, 4 and up are workers. */
extern void unit_segment_make(uint64 nodes_size, uint64 ring_size, uint32 slots);
/* unit_segment_teardown -- for cmocka: takes it away. */
extern int	unit_segment_teardown(void **state);

#endif
