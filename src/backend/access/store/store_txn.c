/*
 * store_txn.c -- transactions: several reads and writes that happen as one.
 */
#include "common/c.h"

#include "access/store/store_internal.h"

_Thread_local StoreTxn *store__txn;

const Leaf *
store__resolve_descriptor(const Leaf *leaf)
{
	return leaf;
}

bool
store__write_blocked_by(const uint8 *key, uint32 key_len)
{
	(void) key;
	(void) key_len;
	return true;
}

StoreStatus
store__meet_descriptor(const Leaf *leaf)
{
	(void) leaf;
	return STORE_PARK_MAP;
}

StoreStatus
store__txn_write(const StoreKey *key, WriteLook wants, StoreDecide decide, void *arg, StoreWritten *out)
{
	(void) key;
	(void) wants;
	(void) decide;
	(void) arg;
	(void) out;
	return STORE_PARK_MAP;
}

StoreStatus
store__txn_read(const StoreKey *key, bool with_value, StoreShow show, void *arg, Lsn *gate)
{
	(void) key;
	(void) with_value;
	(void) show;
	(void) arg;
	(void) gate;
	return STORE_PARK_MAP;
}

struct StoreTxn
{
	bool		broken;
};

StoreTxn *
store_txn_create(void)
{
	return calloc(1, sizeof(StoreTxn));
}

void
store_txn_destroy(StoreTxn *txn)
{
	free(txn);
}

void
store_txn_reset(StoreTxn *txn)
{
	txn->broken = false;
}

static _Thread_local StoreTxn *in_use;

void
store_txn_use(StoreTxn *txn)
{
	in_use = txn;
}

StoreTxn *
store_txn_in_use(void)
{
	return in_use;
}

void
store_txn_watch(StoreTxn *txn, const StoreKey *key, Lsn version, bool existed)
{
	(void) txn;
	(void) key;
	(void) version;
	(void) existed;
}

void
store_txn_break(StoreTxn *txn)
{
	txn->broken = true;
}

StoreStatus
store_txn_commit(StoreTxn *txn, StoreCommitted *out)
{
	out->version = LSN_NONE;
	out->gate = wal_insert_lsn();
	out->broken = txn->broken;
	return STORE_OK;
}

uint64
store_txn_bytes(const StoreTxn *txn)
{
	(void) txn;
	return 0;
}

uint64
store_txn_bytes_max(void)
{
	return wal_record_max();
}

StoreStatus
store_txn_range(StoreTxn *txn, uint32 db, const void *prefix, uint32 prefix_len)
{
	(void) txn;
	(void) db;
	(void) prefix;
	(void) prefix_len;
	return STORE_OK;
}
