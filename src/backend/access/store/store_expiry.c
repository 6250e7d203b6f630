/*
 * store_expiry.c -- deadlines: the clock, the index, taking away what has expired.
 */
#include "common/c.h"

#include "access/store/store_internal.h"
#include "utils/clock.h"

uint64		store_clock_now;

void
store_clock_turn(void)
{
	store_clock_now = Max(store_clock_now, clock_wall_us());
}

ArtResult
store__hint_prepare(StoreHint *hint, const uint8 *key, uint32 key_len, uint64 expiry)
{
	(void) hint;
	(void) key;
	(void) key_len;
	(void) expiry;
	return ART_OK;
}

bool
store__hint_publish(StoreHint *hint, Lsn lsn)
{
	(void) hint;
	(void) lsn;
	return true;
}

void
store__hint_abandon(StoreHint *hint)
{
	hint->wanted = false;
}

StoreStatus
store__expired_gate(uint64 expiry, Lsn *gate)
{
	(void) expiry;
	(void) gate;
	return STORE_OK;
}
