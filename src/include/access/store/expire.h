/*
 * expire.h -- deleting what has expired: the expirer process' side, and its switch.
 *
 * Readers and writers need none of this: a key whose deadline has passed is absent
 * for them, whether it has been deleted or not (store.h).
 */
#ifndef ARTERY_ACCESS_STORE_EXPIRE_H
#define ARTERY_ACCESS_STORE_EXPIRE_H

#include "access/store/store.h"
#include "common/c.h"

/* ---- the expirer process ---- */
/* store_expire_open -- after recovery: opens the base for reading; FATAL on failure. */
extern void store_expire_open(const char *data_dir);
/*
 * store_expire_step -- deletes a bounded number of keys whose deadline has passed;
 * microseconds that the process may then sleep unless its latch is set, 0: more to do now.
 * Outside an epoch.  May itself sleep, for a page or for room, a few milliseconds at most.
 */
extern int64 store_expire_step(void);
/*
 * store_expire_tell -- from now on 'tell' is called for each key that has been deleted
 * because of its deadline, with the LSN of the deletion; outside an epoch.
 */
typedef void (*StoreExpireTell)(const StoreKey *key, Lsn lsn);
extern void store_expire_tell(StoreExpireTell tell);

/* ---- any process ---- */
/* store_expire_set_active -- DEBUG SET-ACTIVE-EXPIRE: false: expired keys stay until somebody writes them; they are absent all the same. */
extern void store_expire_set_active(bool on);
extern bool store_expire_active(void);

#endif
