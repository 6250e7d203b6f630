/*
 * unit_store.h -- what unit tests of access/store share: a store in private memory,
 * without files; a stand-in for the walwriter; texts in and out.
 */
#ifndef ARTERY_UNIT_STORE_H
#define ARTERY_UNIT_STORE_H

#include "common/c.h"

#include "access/store/checkpoint.h"
#include "access/store/evict.h"
#include "access/store/store_internal.h"
#include "storage/ipc/latch.h"
#include "storage/mem/heap.h"
#include "unit_random.h"
#include "unit_segment.h"
#include "utils/settings.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define UNIT_STORE_FIRST_LSN (1 * MIB)
#define UNIT_STORE_WORKER 4			/* process slots from here on are workers */
#define UNIT_STORE_SLOTS 12

/* unit_store_make -- a segment of those sizes and a log that takes records and has none; this thread becomes the first worker. */
extern void unit_store_make(uint64 nodes_size, uint64 ring_size);
/* setup and teardown for cmocka */
extern int	unit_store_setup(void **state);
/* unit_store_flush -- all is flushed, and may leave memory, as if a checkpoint had put nothing into the base. */
extern void unit_store_flush(void);
/* unit_store_flusher_start / _stop -- a thread that does so again and again, in that process slot, and sweeps. */
extern void unit_store_flusher_start(uint32 slot);
extern void unit_store_flusher_stop(void);

/*
 * unit_store_die -- a process of its own, in that slot, runs 'write' in a transaction, commits, and is killed at this fault
 * point ("txn-hold:kill:2"); its epoch is left in its stead.  Only in builds with fault points.
 */
extern void unit_store_die(uint32 slot, const char *fault, void (*write) (void));
/* unit_store_used -- bytes of memory in use, when what those slots have retired has been given back. */
extern uint64 unit_store_used(void);

/* texts: key and value end with a zero byte, which is not part of them */
extern StoreStatus unit_put(uint32 db, const char *key, const char *value, StoreWritten *out);
extern StoreStatus unit_delete(uint32 db, const char *key, StoreWritten *out);
extern StoreStatus unit_blind(uint32 db, const char *key, const char *value, StoreWritten *out);
/* unit_get -- the value in this thread's buffer, or NULL; *version may be NULL. */
extern const char *unit_get(uint32 db, const char *key, Lsn *version);

#endif
