/*
 * store_txn.c -- transactions in one process: what they see, what they leave, what
 * breaks them; then threads that move amounts between accounts beside single writers, and one that keeps them out.
 *
 * The invariants under threads: the sum over all accounts is the same in every
 * transaction that reads them all; a version names one transaction: all keys that
 * show it were written by it, with the same mark; the order of versions is the
 * order in which the counter of a key was raised; nothing is left of descriptors.
 */
#include "unit_store.h"

#include "access/store/evict_internal.h"
#include "utils/clock.h"

static StoreCommitted committed;

static StoreStatus
commit(StoreTxn *t)
{
	store_txn_use(NULL);
	return store_txn_commit(t, &committed);
}

static void
test_own_writes(void **state)
{
	StoreTxn   *t = store_txn_create();
	StoreWritten w;
	Lsn			version;
	Lsn			gate = LSN_NONE;

	(void) state;
	assert_int_equal(unit_put(0, "a", "old", NULL), STORE_OK);
	store_txn_use(t);
	assert_string_equal(unit_get(0, "a", NULL), "old");
	assert_int_equal(unit_put(0, "a", "new", &w), STORE_OK);
	assert_true(w.changed && w.existed && w.version == STORE_LSN_PENDING);
	assert_string_equal(unit_get(0, "a", &version), "new");
	assert_true(version == STORE_LSN_PENDING);
	assert_int_equal(unit_blind(0, "b", "other", NULL), STORE_OK);
	assert_int_equal(unit_put(1, "a", "elsewhere", NULL), STORE_OK);
	assert_int_equal(unit_put(0, "gone", "x", NULL), STORE_OK);
	assert_int_equal(unit_delete(0, "gone", &w), STORE_OK);
	assert_true(w.changed);
	assert_null(unit_get(0, "gone", NULL));
	store_txn_use(NULL);
	/* nobody sees it before */
	assert_string_equal(unit_get(0, "a", NULL), "old");
	assert_null(unit_get(0, "b", NULL));
	assert_int_equal(commit(t), STORE_OK);
	assert_false(committed.broken);
	assert_string_equal(unit_get(0, "a", &version), "new");
	assert_int_equal(version, committed.version);
	assert_string_equal(unit_get(0, "b", &version), "other");
	assert_int_equal(version, committed.version);
	assert_string_equal(unit_get(1, "a", &version), "elsewhere");
	assert_int_equal(version, committed.version);
	assert_int_equal(store_count(0, &gate), 2);
	assert_int_equal(store_count(1, &gate), 1);
	store_txn_destroy(t);
	/* a tombstone by a transaction */
	t = store_txn_create();
	store_txn_use(t);
	assert_int_equal(unit_delete(0, "a", NULL), STORE_OK);
	assert_int_equal(commit(t), STORE_OK);
	assert_null(unit_get(0, "a", &version));
	assert_int_equal(version, committed.version);
	assert_int_equal(store_count(0, &gate), 1);
	store_txn_destroy(t);
}

static void
test_conflicts(void **state)
{
	StoreTxn   *t = store_txn_create();

	(void) state;
	assert_int_equal(unit_put(0, "read", "1", NULL), STORE_OK);
	/* a key that was read changes */
	store_txn_use(t);
	assert_string_equal(unit_get(0, "read", NULL), "1");
	assert_int_equal(unit_put(0, "write", "x", NULL), STORE_OK);
	store_txn_use(NULL);
	assert_int_equal(unit_put(0, "read", "1", NULL), STORE_OK);	/* the same value is another version */
	assert_int_equal(commit(t), STORE_CHANGED);
	assert_null(unit_get(0, "write", NULL));
	/* again, from the beginning */
	store_txn_reset(t);
	store_txn_use(t);
	assert_string_equal(unit_get(0, "read", NULL), "1");
	assert_int_equal(unit_put(0, "write", "y", NULL), STORE_OK);
	assert_int_equal(commit(t), STORE_OK);
	assert_string_equal(unit_get(0, "write", NULL), "y");
	/* an absent one comes; only reading */
	store_txn_reset(t);
	store_txn_use(t);
	assert_null(unit_get(0, "absent", NULL));
	assert_string_equal(unit_get(0, "read", NULL), "1");
	store_txn_use(NULL);
	assert_int_equal(unit_put(0, "absent", "not any more", NULL), STORE_OK);
	assert_int_equal(commit(t), STORE_CHANGED);
	/* a blind write does not care */
	store_txn_reset(t);
	store_txn_use(t);
	assert_int_equal(unit_blind(0, "read", "blind", NULL), STORE_OK);
	store_txn_use(NULL);
	assert_int_equal(unit_put(0, "read", "2", NULL), STORE_OK);
	assert_int_equal(commit(t), STORE_OK);
	assert_string_equal(unit_get(0, "read", NULL), "blind");
	/* shown twice, in two versions */
	store_txn_reset(t);
	store_txn_use(t);
	assert_string_equal(unit_get(0, "read", NULL), "blind");
	store_txn_use(NULL);
	assert_int_equal(unit_put(0, "read", "3", NULL), STORE_OK);
	store_txn_use(t);
	assert_string_equal(unit_get(0, "read", NULL), "3");
	assert_int_equal(commit(t), STORE_CHANGED);
	/* the databases change their trees */
	store_txn_reset(t);
	store_txn_use(t);
	assert_int_equal(unit_put(0, "write", "late", NULL), STORE_OK);
	store_txn_use(NULL);
	{
		StoreFlushJob job = {0};
		Lsn			gate = LSN_NONE;

		while (store_flush(0, &job, &gate) != STORE_OK)
			mem_keep_ahead();
	}
	assert_int_equal(commit(t), STORE_CHANGED);
	assert_null(unit_get(0, "write", NULL));
	store_txn_destroy(t);
}

/* flush -- FLUSHDB by somebody else, or by the transaction in use. */
static StoreStatus
flush(int db)
{
	StoreFlushJob job = {0};
	Lsn			gate = LSN_NONE;
	StoreStatus status;

	while ((status = store_flush(db, &job, &gate)) == STORE_PARK_MAP)
		mem_keep_ahead();
	return status;
}

/* changes of the map by others, while a transaction has done something already, and by itself. */
static void
test_map(void **state)
{
	StoreTxn   *t = store_txn_create();
	StoreCountJob job;
	Lsn			gate = LSN_NONE;
	StoreStatus status;

	(void) state;
	for (int again = 0; again < 2; again++)
	{
		/* a range of a tree that goes: the second attempt must not be held to it */
		if (again == 0)
			assert_int_equal(unit_put(0, "x", "1", NULL), STORE_OK);
		store_txn_reset(t);
		store_txn_use(t);
		memset(&job, 0, sizeof(job));
		while ((status = store_count_exact(0, &job, &gate)) == STORE_PARK_MAP || (status == STORE_OK && !job.done))
			mem_keep_ahead();
		assert_int_equal(status, STORE_OK);
		assert_int_equal(job.count, again == 0);
		assert_int_equal(unit_put(0, "y", "1", NULL), STORE_OK);
		store_txn_use(NULL);
		if (again == 0)
			assert_int_equal(flush(0), STORE_OK);
		assert_int_equal(commit(t), again == 0 ? STORE_CHANGED : STORE_OK);
	}
	assert_string_equal(unit_get(0, "y", NULL), "1");
	/* what it wrote before belongs to a tree that somebody else has dropped when it changes the map itself */
	assert_int_equal(unit_put(1, "other", "1", NULL), STORE_OK);
	store_txn_reset(t);
	store_txn_use(t);
	assert_int_equal(unit_put(0, "lost", "1", NULL), STORE_OK);
	store_txn_use(NULL);
	assert_int_equal(flush(0), STORE_OK);
	store_txn_use(t);
	assert_int_equal(flush(1), STORE_CHANGED);
	store_txn_use(NULL);
	/* anew: now nobody else can */
	store_txn_reset(t);
	store_txn_use(t);
	assert_int_equal(unit_put(0, "kept", "1", NULL), STORE_OK);
	assert_int_equal(flush(1), STORE_OK);
	assert_null(unit_get(1, "other", NULL));
	assert_int_equal(unit_put(1, "new", "1", NULL), STORE_OK);
	store_txn_use(NULL);
	assert_int_equal(unit_put(0, "elsewhere", "1", NULL), STORE_PARK_MAP);
	assert_string_equal(unit_get(1, "other", NULL), "1");
	assert_int_equal(commit(t), STORE_OK);
	assert_string_equal(unit_get(0, "kept", NULL), "1");
	assert_null(unit_get(1, "other", NULL));
	assert_string_equal(unit_get(1, "new", NULL), "1");
	assert_int_equal(store_count(0, &gate), 1);
	assert_int_equal(store_count(1, &gate), 1);
	assert_int_equal(unit_put(0, "elsewhere", "1", NULL), STORE_OK);
	store_txn_destroy(t);
}

static void
watch(StoreTxn *t, const char *key)
{
	StoreKey	k = {0, (uint32) strlen(key), key};
	Lsn			version;
	bool		exists = unit_get(0, key, &version) != NULL;

	store_txn_watch(t, &k, version, exists);
}

static void
test_watch(void **state)
{
	StoreTxn   *t;

	(void) state;
	assert_int_equal(unit_put(0, "w", "1", NULL), STORE_OK);
	for (int i = 0; i < 6; i++)
	{
		bool		broken = false;

		t = store_txn_create();
		watch(t, "w");
		watch(t, "none");
		switch (i)
		{
			case 0:				/* nothing happens */
				break;
			case 1:
				assert_int_equal(unit_put(0, "w", "1", NULL), STORE_OK);
				broken = true;
				break;
			case 2:				/* deleted and made again */
				assert_int_equal(unit_delete(0, "w", NULL), STORE_OK);
				assert_int_equal(unit_put(0, "w", "1", NULL), STORE_OK);
				broken = true;
				break;
			case 3:				/* made and deleted */
				assert_int_equal(unit_put(0, "none", "1", NULL), STORE_OK);
				assert_int_equal(unit_delete(0, "none", NULL), STORE_OK);
				broken = true;
				break;
			case 4:				/* the tombstone goes: it is absent as before */
				unit_store_flush();
				while (store_sweep_step())
					unit_store_flush();
				break;
			case 5:				/* its own write is no change */
				break;
		}
		store_txn_use(t);
		if (i == 5)
			assert_int_equal(unit_put(0, "w", "own", NULL), STORE_OK);
		assert_int_equal(unit_put(0, "out", "x", NULL), STORE_OK);
		assert_int_equal(commit(t), STORE_OK);
		assert_int_equal(committed.broken, broken);
		assert_int_equal(committed.version != LSN_NONE, !broken);
		assert_true(committed.gate > 0);
		store_txn_destroy(t);
	}
	/* an assertion */
	t = store_txn_create();
	store_txn_use(t);
	assert_int_equal(unit_put(0, "out", "never", NULL), STORE_OK);
	store_txn_break(t);
	assert_int_equal(commit(t), STORE_OK);
	assert_true(committed.broken);
	assert_string_equal(unit_get(0, "out", NULL), "x");
	store_txn_destroy(t);
}

static void
test_limits(void **state)
{
	static char long_value[3000];
	StoreTxn   *t = store_txn_create();
	StoreStatus status = STORE_OK;
	Lsn			before = wal_insert_lsn();
	int			i;

	(void) state;
	memset(long_value, 'v', sizeof(long_value) - 1);
	set_transaction_max_bytes = 100 * KIB;
	store_txn_use(t);
	for (i = 0; i < 100 && status == STORE_OK; i++)
	{
		char		key[16];

		snprintf(key, sizeof(key), "k%d", i);
		status = unit_put(0, key, long_value, NULL);
	}
	assert_int_equal(status, STORE_TXN_TOO_LARGE);
	assert_true(i > 30 && i < 40);
	assert_true(store_txn_bytes(t) > store_txn_bytes_max());
	assert_int_equal(commit(t), STORE_TXN_TOO_LARGE);
	assert_null(unit_get(0, "k0", NULL));
	assert_int_equal(wal_insert_lsn(), before);
	store_txn_destroy(t);
	set_transaction_max_bytes = 0;
}

static void
test_many_keys(void **state)
{
	StoreTxn   *t = store_txn_create();
	Lsn			gate = LSN_NONE;
	StoreWritten w;

	(void) state;
	for (int i = 0; i < 5000; i += 2)
	{
		char		key[24];

		snprintf(key, sizeof(key), "many/%05d", i);
		assert_int_equal(unit_put(0, key, "before", NULL), STORE_OK);
	}
	store_txn_use(t);
	for (int i = 0; i < 5000; i++)
	{
		char		key[24];

		snprintf(key, sizeof(key), "many/%05d", i);
		if (i % 4 == 0)
			assert_int_equal(unit_delete(0, key, &w), STORE_OK);
		else
			assert_int_equal(unit_put(0, key, key, NULL), STORE_OK);
	}
	assert_int_equal(commit(t), STORE_OK);
	store_txn_destroy(t);
	assert_int_equal(store_count(0, &gate), 3750);
	for (int i = 0; i < 5000; i++)
	{
		char		key[24];
		const char *value;
		Lsn			version;

		snprintf(key, sizeof(key), "many/%05d", i);
		value = unit_get(0, key, &version);
		assert_int_equal(version, committed.version);
		if (i % 4 == 0)
			assert_null(value);
		else
			assert_string_equal(value, key);
	}
	{
		ArtStats	stats;
		char		err[200];

		assert_true(art_check(&store_shared->root, &stats, err, sizeof(err)));
		assert_int_equal(stats.leaves, 5000);
		assert_int_equal(stats.tombstones, 1250);
	}
}

static void
test_ranges(void **state)
{
	StoreTxn   *t = store_txn_create();
	StoreTxn   *other = store_txn_create();
	StoreStatus status;
	int64		stall_us = set_txn_stall_us;

	(void) state;
	set_txn_stall_us = 10000000;	/* however slow this is, nobody ends a range */
	while ((status = store_txn_range(t, 0, "dir/", 4)) == STORE_PARK_MAP)
		mem_keep_ahead();
	assert_int_equal(status, STORE_OK);
	assert_int_equal(store_txn_range(t, 0, "dir/sub/", 8), STORE_OK);	/* covered */
	assert_int_equal(unit_put(0, "dir/a", "x", NULL), STORE_PARK_MAP);
	assert_int_equal(unit_put(0, "dir", "x", NULL), STORE_OK);
	assert_int_equal(unit_put(1, "dir/a", "x", NULL), STORE_OK);
	/* overlapping ones wait, whichever is the wider */
	assert_int_equal(store_txn_range(other, 0, "dir/sub/", 8), STORE_PARK_MAP);
	assert_int_equal(store_txn_range(other, 0, "", 0), STORE_PARK_MAP);
	/* a transaction that writes there waits; the owner does not */
	store_txn_use(other);
	assert_int_equal(unit_put(0, "dir/b", "x", NULL), STORE_OK);
	assert_int_equal(commit(other), STORE_PARK_MAP);
	store_txn_use(t);
	assert_int_equal(unit_put(0, "dir/b", "mine", NULL), STORE_OK);
	assert_int_equal(commit(t), STORE_OK);
	assert_int_equal(commit(other), STORE_CHANGED);	/* it had looked at the key */
	store_txn_reset(other);
	store_txn_use(other);
	assert_int_equal(unit_put(0, "dir/b", "x", NULL), STORE_OK);
	assert_int_equal(commit(other), STORE_OK);
	assert_int_equal(unit_put(0, "dir/a", "x", NULL), STORE_OK);
	/* each holds what the other wants to write: the later one gives way */
	store_txn_reset(t);
	store_txn_reset(other);
	while (store_txn_range(t, 0, "one/", 4) == STORE_PARK_MAP || store_txn_range(other, 0, "two/", 4) == STORE_PARK_MAP)
		mem_keep_ahead();
	store_txn_use(t);
	assert_int_equal(unit_put(0, "two/x", "t", NULL), STORE_OK);
	store_txn_use(other);
	assert_int_equal(unit_put(0, "one/x", "other", NULL), STORE_OK);
	assert_int_equal(commit(t), STORE_PARK_MAP);
	assert_int_equal(commit(other), STORE_CHANGED);
	/* ... and announces nothing before the other one has got on */
	store_txn_reset(other);
	for (int i = 0; i < 10; i++)
		assert_int_equal(store_txn_range(other, 0, "two/", 4), STORE_PARK_MAP);
	assert_int_equal(commit(t), STORE_OK);
	while ((status = store_txn_range(other, 0, "two/", 4)) == STORE_PARK_MAP)
		mem_keep_ahead();
	assert_int_equal(status, STORE_OK);
	/* the same with somebody who changes the map, and waits for a range */
	store_txn_reset(t);
	store_txn_use(t);
	{
		StoreFlushJob job = {0};
		Lsn			gate = LSN_NONE;

		while ((status = store_flush(1, &job, &gate)) == STORE_PARK_MAP)
			mem_keep_ahead();
		assert_int_equal(status, STORE_OK);
	}
	assert_int_equal(unit_put(0, "two/y", "t", NULL), STORE_OK);
	assert_int_equal(unit_put(1, "y", "t", NULL), STORE_OK);
	assert_int_equal(commit(t), STORE_PARK_MAP);
	store_txn_use(other);
	assert_int_equal(unit_put(0, "two/z", "other", NULL), STORE_OK);
	assert_int_equal(commit(other), STORE_CHANGED);
	store_txn_reset(other);
	for (int i = 0; i < 10; i++)
		assert_int_equal(store_txn_range(other, 0, "two/", 4), STORE_PARK_MAP);
	assert_int_equal(commit(t), STORE_OK);
	while ((status = store_txn_range(other, 0, "two/", 4)) == STORE_PARK_MAP)
		mem_keep_ahead();
	assert_int_equal(status, STORE_OK);
	/* the first and the third are one's, the second is another's: whoever came first goes on, whatever lies between */
	store_txn_destroy(t);
	store_txn_destroy(other);
	t = store_txn_create();
	other = store_txn_create();
	while (store_txn_range(t, 0, "one/", 4) == STORE_PARK_MAP || store_txn_range(other, 0, "two/", 4) == STORE_PARK_MAP ||
		   store_txn_range(t, 0, "three/", 6) == STORE_PARK_MAP)
		mem_keep_ahead();
	store_txn_use(t);
	assert_int_equal(unit_put(0, "two/x", "t", NULL), STORE_OK);
	store_txn_use(other);
	assert_int_equal(unit_put(0, "three/x", "other", NULL), STORE_OK);
	assert_int_equal(commit(t), STORE_PARK_MAP);
	assert_int_equal(commit(other), STORE_CHANGED);
	assert_int_equal(commit(t), STORE_OK);
	store_txn_destroy(t);
	store_txn_destroy(other);
	set_txn_stall_us = stall_us;
	/* one that goes away withdraws */
	t = store_txn_create();
	while (store_txn_range(t, 0, "", 0) == STORE_PARK_MAP)
		mem_keep_ahead();
	store_txn_destroy(t);
	assert_int_equal(unit_put(0, "free", "x", NULL), STORE_OK);
}

/* begin -- runs until it may: a range takes a grace period. */
static void
begin(StoreTxn *t)
{
	StoreStatus status;

	while ((status = store_txn_begin(t)) == STORE_PARK_MAP)
		mem_keep_ahead();
	assert_int_equal(status, STORE_OK);
}

/* overtaken_run -- reads 'count' keys and writes one; another writer changes the first one meanwhile; true: he may, and the commit fails. */
static bool
overtaken_run(StoreTxn *t, int count)
{
	StoreStatus status;

	begin(t);
	store_txn_use(t);
	for (int i = 0; i < count; i++)
	{
		char		key[24];

		snprintf(key, sizeof(key), "hot/%05d", i);
		(void) unit_get(0, key, NULL);
	}
	assert_int_equal(unit_put(0, "hot/result", "x", NULL), STORE_OK);
	store_txn_use(NULL);
	assert_int_equal(unit_put(0, "cold", "x", NULL), STORE_OK);	/* has nothing in common with them: always */
	status = unit_put(0, "hot/00000", "other", NULL);
	if (status == STORE_PARK_MAP)
	{
		assert_int_equal(commit(t), STORE_OK);
		return false;
	}
	assert_int_equal(status, STORE_OK);
	assert_int_equal(commit(t), STORE_CHANGED);
	store_txn_reset(t);
	return true;
}

/* test_overtaken -- a transaction whose keys others write all the time comes to its end, a small one after some runs, a large one after two. */
static void
test_overtaken(void **state)
{
	static const struct
	{
		int			keys;
		int			runs_min;
		int			runs_max;
	} cases[] = {{2, 8, 32}, {20000, 2, 4}};
	int64		stall_us = set_txn_stall_us;

	(void) state;
	set_txn_stall_us = 10000000;	/* however slow this is, nobody ends the range */
	for (int i = 0; i < 2; i++)
	{
		StoreTxn   *t = store_txn_create();
		int			runs = 0;

		while (overtaken_run(t, cases[i].keys))
			assert_in_range(++runs, 1, cases[i].runs_max);
		assert_in_range(runs, cases[i].runs_min, cases[i].runs_max);
		store_txn_destroy(t);
		assert_int_equal(unit_put(0, "hot/00000", "free", NULL), STORE_OK);
	}
	/* one that only reads, too */
	{
		StoreTxn   *t = store_txn_create();
		StoreStatus status = STORE_OK;

		for (int runs = 0; status == STORE_OK; runs++)
		{
			assert_in_range(runs, 0, 32);
			begin(t);
			store_txn_use(t);
			(void) unit_get(0, "hot/00000", NULL);
			(void) unit_get(0, "hot/00001", NULL);
			store_txn_use(NULL);
			status = unit_put(0, "hot/00001", "other", NULL);
			assert_int_equal(commit(t), status == STORE_OK ? STORE_CHANGED : STORE_OK);
			if (status == STORE_OK)
				store_txn_reset(t);
		}
		assert_int_equal(status, STORE_PARK_MAP);
		store_txn_destroy(t);
	}
	set_txn_stall_us = stall_us;
}

/* test_stands_still -- the owner of a range is not at work: a writer goes on, and the owner's commit begins anew; what it has read alone, too. */
static void
test_stands_still(void **state)
{
	int64		stall_us = set_txn_stall_us;
	StoreTxn   *t = store_txn_create();
	StoreStatus status;
	Lsn			gate = LSN_NONE;

	(void) state;
	set_txn_stall_us = 1000;
	for (int writes = 0; writes < 2; writes++)
	{
		store_txn_reset(t);
		while ((status = store_txn_range(t, 0, "dir/", 4)) == STORE_PARK_MAP)
			mem_keep_ahead();
		assert_int_equal(status, STORE_OK);
		while ((status = unit_put(0, writes ? "dir/b" : "dir/a", "x", NULL)) == STORE_PARK_MAP)
			;
		assert_int_equal(status, STORE_OK);
		store_txn_use(t);
		if (writes)
			assert_int_equal(unit_put(0, "result", "x", NULL), STORE_OK);
		else
			assert_null(unit_get(0, "result", NULL));
		assert_int_equal(commit(t), STORE_CHANGED);
	}
	/* one that goes on is told when it asks for more */
	store_txn_reset(t);
	while (store_txn_range(t, 0, "dir/", 4) == STORE_PARK_MAP)
		mem_keep_ahead();
	while (unit_put(0, "dir/c", "x", NULL) == STORE_PARK_MAP)
		;
	assert_int_equal(store_txn_range(t, 0, "dir/sub/", 8), STORE_CHANGED);
	store_txn_reset(t);
	/* so is somebody else's transaction, and another's range */
	{
		StoreTxn   *other = store_txn_create();

		while (store_txn_range(t, 0, "dir/", 4) == STORE_PARK_MAP)
			mem_keep_ahead();
		store_txn_use(other);
		assert_int_equal(unit_put(0, "dir/d", "x", NULL), STORE_OK);
		while ((status = commit(other)) == STORE_PARK_MAP)
			;
		assert_int_equal(status, STORE_OK);
		assert_int_equal(commit(t), STORE_CHANGED);
		store_txn_reset(t);
		while (store_txn_range(t, 0, "dir/", 4) == STORE_PARK_MAP)
			mem_keep_ahead();
		while ((status = store_txn_range(other, 0, "", 0)) == STORE_PARK_MAP)
			mem_keep_ahead();
		assert_int_equal(status, STORE_OK);
		store_txn_destroy(other);
	}
	store_txn_destroy(t);
	assert_int_equal(store_count(0, &gate), 4);
	set_txn_stall_us = stall_us;
}

/* ranges of a tree that somebody else has dropped are let go, however that is found out. */
static void
test_ranges_of_dropped_trees(void **state)
{
	(void) state;
	for (int how = 0; how < 3; how++)
	{
		StoreTxn   *t = store_txn_create();
		StoreStatus status;

		assert_int_equal(unit_put(0, "there", "1", NULL), STORE_OK);
		assert_int_equal(unit_put(1, "elsewhere", "1", NULL), STORE_OK);
		while ((status = store_txn_range(t, 0, "dir/", 4)) == STORE_PARK_MAP)
			mem_keep_ahead();
		assert_int_equal(status, STORE_OK);
		assert_int_equal(atomic_load(&store_shared->ranges_announced), 1);
		assert_int_equal(flush(0), STORE_OK);
		store_txn_use(t);
		switch (how)
		{
			case 0:				/* by a commit that only reads */
				assert_null(unit_get(1, "none", NULL));
				assert_int_equal(commit(t), STORE_CHANGED);
				break;
			case 1:				/* that writes */
				assert_int_equal(unit_put(1, "elsewhere", "2", NULL), STORE_OK);
				assert_int_equal(commit(t), STORE_CHANGED);
				break;
			case 2:				/* by a change of the map of its own */
				assert_int_equal(flush(1), STORE_CHANGED);
				store_txn_use(NULL);
				break;
		}
		assert_int_equal(atomic_load(&store_shared->ranges_announced), 0);
		/* anew: in the tree that there is now */
		store_txn_reset(t);
		while ((status = store_txn_range(t, 0, "dir/", 4)) == STORE_PARK_MAP)
			mem_keep_ahead();
		assert_int_equal(status, STORE_OK);
		assert_int_equal(unit_put(0, "dir/a", "x", NULL), STORE_PARK_MAP);
		store_txn_use(t);
		assert_int_equal(unit_put(0, "dir/b", "mine", NULL), STORE_OK);
		assert_int_equal(commit(t), STORE_OK);
		assert_string_equal(unit_get(0, "dir/b", NULL), "mine");
		store_txn_destroy(t);
		assert_int_equal(unit_put(0, "dir/a", "x", NULL), STORE_OK);
	}
}

/*
 * A descriptor has a reference of its transaction's own: that of a process which died keeps it until
 * all are restarted, and nothing else.
 */
#define DESCRIPTOR_BYTES 40
static uint64 deaths;

static void
die(const char *fault, void (*write) (void))
{
#ifdef ARTERY_FAULTS
	deaths++;
	unit_store_die(UNIT_STORE_WORKER + 1, fault, write);
#else
	(void) fault;
	(void) write;
#endif
}

/* ---- values in blocks ---- */

#define BIG (3 * LEAF_EXTENT_BYTES + 1000)

static StoreStatus
put_big(char letter)
{
	static char value[BIG + 1];

	memset(value, letter, BIG);
	return unit_put(0, "big", value, NULL);
}

static void
show_big(const StoreView *view, void *arg)
{
	static char value[BIG];
	char	   *letter = arg;

	*letter = 0;
	if (!view->exists)
		return;
	assert_int_equal(view->value_len, BIG);
	store_view_copy(view, 0, BIG, value);
	*letter = value[0];
	for (uint32 i = 0; i < BIG; i++)
		if (value[i] != *letter)
			fail_msg("byte %u is %d, the first one is %d", i, value[i], *letter);
}

/* big -- the letter that the large value consists of; 0: it is not there. */
static char
big(void)
{
	StoreKey	k = {0, 3, "big"};
	Lsn			gate = LSN_NONE;
	char		letter;

	assert_int_equal(store_read(&k, show_big, &letter, &gate), STORE_OK);
	return letter;
}

/* sweep_all -- tombstones that may go, and dropped trees, leave memory, however few they are. */
static bool
is_tombstone(const Leaf *leaf, void *arg)
{
	(void) arg;
	return (leaf_flags(leaf) & LEAF_TOMBSTONE) != 0;
}

static void
sweep_all(void)
{
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	uint64		removed = 0;

	unit_store_flush();
	assert_true(art_sweep(&store_shared->root, NULL, 0, from, &from_len, 100000, is_tombstone, NULL, &removed));
}

static void
write_big_and_other(void)
{
	(void) !put_big('c');
	(void) !unit_put(0, "other", "c", NULL);
}

/* a large value is set by transactions that commit, that come to nothing, that others abort; read meanwhile; all of its memory is free in the end. */
static void
test_blocks(void **state)
{
	StoreTxn   *t = store_txn_create();
	uint64		before = unit_store_used();

	(void) state;
	deaths = 0;
	for (int round = 0; round < 3; round++)
	{
		/* it comes, by a transaction */
		store_txn_reset(t);
		store_txn_use(t);
		assert_int_equal(put_big('a'), STORE_OK);
		assert_int_equal(big(), 'a');
		store_txn_use(NULL);
		assert_int_equal(big(), 0);
		assert_int_equal(commit(t), STORE_OK);
		assert_int_equal(big(), 'a');
		assert_int_equal(unit_put(0, "read", "1", NULL), STORE_OK);
		/* one that is forgotten before it commits */
		store_txn_reset(t);
		store_txn_use(t);
		assert_int_equal(put_big('x'), STORE_OK);
		store_txn_use(NULL);
		/* one that holds it already when it finds another key changed: what was there is put back */
		store_txn_reset(t);
		store_txn_use(t);
		assert_int_equal(big(), 'a');
		assert_non_null(unit_get(0, "read", NULL));
		assert_int_equal(put_big('b'), STORE_OK);
		store_txn_use(NULL);
		assert_int_equal(unit_put(0, "read", "2", NULL), STORE_OK);
		assert_int_equal(commit(t), STORE_CHANGED);
		(void) unit_store_used();	/* what was retired has been given back by now */
		assert_int_equal(big(), 'a');
		/* one that dies while it holds it: its leaf stands there until somebody wants to write */
		set_txn_stall_us = 0;
		die("txn-hold:kill:2", write_big_and_other);
		(void) unit_store_used();
		assert_int_equal(big(), 'a');
		while (unit_put(0, "other", "o", NULL) == STORE_PARK_MAP)
			continue;
		(void) unit_store_used();
		assert_int_equal(big(), 'a');	/* aborted, and still in its place */
		if (round == 1)
			assert_int_equal(put_big('d'), STORE_OK);
		(void) unit_store_used();
		assert_int_equal(big(), round == 1 ? 'd' : 'a');
		/* replaced by one that commits */
		store_txn_reset(t);
		store_txn_use(t);
		assert_int_equal(put_big('e'), STORE_OK);
		assert_int_equal(unit_delete(0, "other", NULL), STORE_OK);
		assert_int_equal(commit(t), STORE_OK);
		(void) unit_store_used();
		assert_int_equal(big(), 'e');
		/* and deleted */
		store_txn_reset(t);
		store_txn_use(t);
		assert_int_equal(unit_delete(0, "big", NULL), STORE_OK);
		assert_int_equal(unit_delete(0, "read", NULL), STORE_OK);
		assert_int_equal(big(), 0);
		store_txn_use(NULL);
		assert_int_equal(big(), 'e');
		assert_int_equal(commit(t), STORE_OK);
		assert_int_equal(big(), 0);
		sweep_all();
		assert_int_equal(unit_store_used() - deaths * DESCRIPTOR_BYTES, before);
	}
	set_txn_stall_us = 10000;
	store_txn_destroy(t);
}

/* ---- what a process that died has left behind ---- */

#ifdef ARTERY_FAULTS
#define TOMBSTONES 5000			/* enough for a pass */

static void
write_tombstones_again(void)
{
	(void) !unit_put(0, "t/2500", "again", NULL);
	(void) !unit_put(0, "t/2501", "again", NULL);
	(void) !unit_put(0, "t/9999", "new", NULL);
}

static void
write_to_one(void)
{
	(void) !unit_put(1, "k", "again", NULL);
	(void) !unit_put(1, "new", "new", NULL);
}

static uint64
leaves(void)
{
	ArtStats	stats;
	char		err[200];

	if (!art_check(&store_shared->root, &stats, err, sizeof(err)))
		fail_msg("%s", err);
	return stats.leaves;
}

/* sweep_until -- steps of the sweeper, as the evictor does them; false: it is not so after many. */
static bool
sweep_until(uint64 leaf_count, uint32 trees_free)
{
	for (int i = 0; i < 2000; i++)
	{
		unit_store_flush();
		(void) store_sweep_step();
		if (leaves() == leaf_count && store__trees_free() == trees_free)
			return true;
		usleep(20);
	}
	return false;
}

/* nobody will ever write these keys: the sweeper has to put an end to it. */
static void
test_left_behind(void **state)
{
	uint64		before = unit_store_used();
	uint32		trees = store__trees_free();
	Lsn			gate = LSN_NONE;

	(void) state;
	deaths = 0;
	sweep_reset();
	set_txn_stall_us = 0;
	/* over tombstones, and over nothing */
	for (int i = 0; i < TOMBSTONES; i++)
	{
		char		key[16];

		snprintf(key, sizeof(key), "t/%d", i);
		assert_int_equal(unit_put(0, key, "x", NULL), STORE_OK);
		assert_int_equal(unit_delete(0, key, NULL), STORE_OK);
		mem_keep_ahead();
	}
	die("txn-hold:kill:3", write_tombstones_again);
	assert_int_equal(leaves(), TOMBSTONES + 1);
	assert_true(sweep_until(0, trees));
	assert_int_equal(store_count(0, &gate), 0);
	assert_null(unit_get(0, "t/2500", NULL));
	assert_null(unit_get(0, "t/9999", NULL));
	/* in a tree that is dropped */
	assert_int_equal(unit_put(1, "k", "1", NULL), STORE_OK);
	die("txn-hold:kill:2", write_to_one);
	assert_int_equal(flush(1), STORE_OK);
	assert_int_equal(leaves(), 2);
	assert_true(sweep_until(0, trees));
	assert_int_equal(unit_store_used() - deaths * DESCRIPTOR_BYTES, before);
	/* as long as it is not decided, and may hold up others, both stay */
	set_txn_stall_us = 3600000000;
	assert_int_equal(unit_put(1, "k", "1", NULL), STORE_OK);
	die("txn-hold:kill:2", write_to_one);
	assert_int_equal(flush(1), STORE_OK);
	for (int i = 0; i < 100; i++)
	{
		unit_store_flush();
		(void) store_sweep_step();
	}
	assert_int_equal(leaves(), 2);
	assert_int_equal(store__trees_free(), trees - 1);
	set_txn_stall_us = 10000;
}
#endif

/* ---- threads ---- */

#define ACCOUNTS 12
#define MOVERS 3
#define AMOUNT 1000
#define ROUNDS 3000

static _Atomic bool failed;
static _Atomic int running;
#define must(condition) \
	do { if (!(condition)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); atomic_store(&failed, true); } } while (0)

static uint64
thread_random(uint64 *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *state >> 33;
}

/* amount_of -- "amount mark"; an account that is not there has nothing. */
static long
amount_of(const char *value)
{
	return value != NULL ? strtol(value, NULL, 10) : 0;
}

static StoreStatus
set_amount(int account, long amount, uint64 mark)
{
	char		key[24];
	char		value[64];

	snprintf(key, sizeof(key), "account/%d", account);
	if (amount == 0)
		return unit_delete(0, key, NULL);	/* keys come and go */
	snprintf(value, sizeof(value), "%ld %llu", amount, (unsigned long long) mark);
	return unit_put(0, key, value, NULL);
}

/* move -- one transfer within the transaction in use; false: a store function could not go on. */
static bool
move(uint64 *random, uint64 mark)
{
	char		key[24];
	int			from = (int) (thread_random(random) % ACCOUNTS);
	int			to = (from + 1 + (int) (thread_random(random) % (ACCOUNTS - 1))) % ACCOUNTS;
	long		have;
	long		other;
	long		amount;

	snprintf(key, sizeof(key), "account/%d", from);
	have = amount_of(unit_get(0, key, NULL));
	snprintf(key, sizeof(key), "account/%d", to);
	other = amount_of(unit_get(0, key, NULL));
	amount = thread_random(random) % 4 == 0 ? have : have / 3;
	return set_amount(from, have - amount, mark) == STORE_OK && set_amount(to, other + amount, mark) == STORE_OK;
}

static void *
mover(void *arg)
{
	uint32		slot = (uint32) (uintptr_t) arg;
	uint64		random = unit_seed + slot;
	StoreTxn   *t;

	proc_attach(slot);
	t = store_txn_create();
	for (int i = 0; i < ROUNDS && !atomic_load(&failed); i++)
	{
		StoreCommitted out;
		StoreStatus status;

		do
		{
			store_txn_reset(t);
			store_txn_use(t);
			must(move(&random, (uint64) slot << 32 | (uint64) i));
			store_txn_use(NULL);
			while ((status = store_txn_commit(t, &out)) == STORE_PARK_WAL || status == STORE_PARK_MAP)
				usleep(20);
			must(status == STORE_OK || status == STORE_CHANGED);
		} while (status == STORE_CHANGED);
		if (i % 64 == 0)
			mem_keep_ahead();
	}
	store_txn_destroy(t);
	atomic_fetch_sub(&running, 1);
	return NULL;
}

/* auditor -- reads all accounts in one transaction: the sum, and which marks go with which versions. */
static void *
auditor(void *arg)
{
	StoreTxn   *t;
	uint64		audits = 0;

	proc_attach((uint32) (uintptr_t) arg);
	t = store_txn_create();
	while (atomic_load(&running) > 0 && !atomic_load(&failed))
	{
		StoreCommitted out;
		long		sum = 0;
		Lsn			version[ACCOUNTS];
		uint64		mark[ACCOUNTS];

		store_txn_reset(t);
		store_txn_use(t);
		for (int i = 0; i < ACCOUNTS; i++)
		{
			char		key[24];
			const char *value;

			snprintf(key, sizeof(key), "account/%d", i);
			value = unit_get(0, key, &version[i]);
			sum += amount_of(value);
			mark[i] = value != NULL ? strtoull(strchr(value, ' '), NULL, 10) : 0;
		}
		store_txn_use(NULL);
		if (store_txn_commit(t, &out) != STORE_OK)
			continue;
		audits++;
		must(sum == (long) ACCOUNTS * AMOUNT);
		for (int i = 0; i < ACCOUNTS; i++)
		{
			must(version[i] <= out.gate);
			for (int k = 0; k < i; k++)
				if (mark[i] != 0 && mark[k] != 0)
					must((version[i] == version[k]) == (mark[i] == mark[k]));
		}
	}
	store_txn_destroy(t);
	return (void *) (uintptr_t) audits;
}

/*
 * ranger -- reads all accounts, or those of a prefix, under a range: whatever others want to write, nothing of it changes,
 * unless they have ended the range, for this thread stood still for too long.  Returns how often it got through.
 */
static void *
ranger(void *arg)
{
	uint64		rounds = 0;
	StoreTxn   *t;

	proc_attach((uint32) (uintptr_t) arg);
	t = store_txn_create();
	while (atomic_load(&running) > 0 && !atomic_load(&failed))
	{
		const char *prefix = rounds % 3 == 0 ? "account/" : rounds % 3 == 1 ? "account/1" : "account/11";
		StoreCommitted out;
		StoreStatus status;
		uint64		begun_us = clock_mono_us();
		long		sum = 0;

		store_txn_reset(t);
		while ((status = store_txn_range(t, 0, prefix, (uint32) strlen(prefix))) == STORE_PARK_MAP)
			usleep(10);
		must(status == STORE_OK || status == STORE_CHANGED);
		if (status == STORE_CHANGED)
			continue;
		store_txn_use(t);
		for (int i = 0; i < ACCOUNTS; i++)
		{
			char		key[24];

			snprintf(key, sizeof(key), "account/%d", i);
			if (strncmp(key, prefix, strlen(prefix)) == 0)
				sum += amount_of(unit_get(0, key, NULL));
		}
		store_txn_use(NULL);
		status = store_txn_commit(t, &out);
		must(status == STORE_OK || (status == STORE_CHANGED && clock_mono_us() - begun_us >= (uint64) set_txn_stall_us));
		if (status != STORE_OK)
			continue;
		if (rounds % 3 == 0)
			must(sum == (long) ACCOUNTS * AMOUNT);
		rounds++;
		usleep(100);
	}
	store_txn_destroy(t);
	return (void *) (uintptr_t) rounds;
}

/* meddler -- single writes and deletes beside: of the accounts the same value again, and keys that come and go next to them. */
static void *
meddler(void *arg)
{
	uint64		random = unit_seed + 99;
	uint32		n = 0;

	proc_attach((uint32) (uintptr_t) arg);
	while (atomic_load(&running) > 0 && !atomic_load(&failed))
	{
		char		key[40];
		StoreStatus status;

		/* beside the accounts, and below one: nodes are split over descriptor leaves, grow, collapse */
		snprintf(key, sizeof(key), "account/%d%c", (int) (thread_random(&random) % ACCOUNTS), (int) ('a' + thread_random(&random) % 20));
		status = thread_random(&random) % 2 == 0 ? unit_put(0, key, "x", NULL) : unit_delete(0, key, NULL);
		must(status == STORE_OK || status == STORE_PARK_MAP || status == STORE_PARK_WAL);
		if (n++ % 64 == 0)
			mem_keep_ahead();
	}
	return NULL;
}

static void
test_threads(void **state)
{
	pthread_t	thread[MOVERS + 3];
	void	   *audits;
	void	   *ranges;
	ArtStats	stats;
	char		err[200];
	long		sum = 0;

	(void) state;
	for (int i = 0; i < ACCOUNTS; i++)
		assert_int_equal(set_amount(i, AMOUNT, (uint64) i + 1), STORE_OK);
	atomic_store(&running, MOVERS);
	unit_store_flusher_start(UNIT_STORE_WORKER + 7);
	for (uintptr_t i = 0; i < MOVERS; i++)
		pthread_create(&thread[i], NULL, mover, (void *) (UNIT_STORE_WORKER + 1 + i));
	pthread_create(&thread[MOVERS], NULL, auditor, (void *) (uintptr_t) (UNIT_STORE_WORKER + 4));
	pthread_create(&thread[MOVERS + 1], NULL, meddler, (void *) (uintptr_t) (UNIT_STORE_WORKER + 5));
	pthread_create(&thread[MOVERS + 2], NULL, ranger, (void *) (uintptr_t) (UNIT_STORE_WORKER + 6));
	for (int i = 0; i < MOVERS; i++)
		pthread_join(thread[i], NULL);
	pthread_join(thread[MOVERS], &audits);
	pthread_join(thread[MOVERS + 1], NULL);
	pthread_join(thread[MOVERS + 2], &ranges);
	unit_store_flusher_stop();
	assert_false(atomic_load(&failed));
	assert_true((uintptr_t) audits > 0 && (uintptr_t) ranges > 0);
	for (int i = 0; i < ACCOUNTS; i++)
	{
		char		key[24];

		snprintf(key, sizeof(key), "account/%d", i);
		sum += amount_of(unit_get(0, key, NULL));
	}
	assert_int_equal(sum, ACCOUNTS * AMOUNT);
	assert_true(art_check(&store_shared->root, &stats, err, sizeof(err)));
	/* nothing is held any more */
	{
		ArtCursor  *c = art_cursor(0);
		Leaf	   *leaf;

		epoch_enter();
		art_seek(c, &store_shared->root, NULL, 0, NULL, 0, false, false);
		while ((leaf = art_next(c)) != NULL)
			assert_int_equal(leaf_flags(leaf) & LEAF_DESCRIPTOR, 0);
		epoch_leave();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_own_writes, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_conflicts, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_map, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_watch, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_limits, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_many_keys, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_ranges, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_overtaken, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_ranges_of_dropped_trees, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_blocks, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_stands_still, unit_store_setup, unit_segment_teardown),
#ifdef ARTERY_FAULTS
		cmocka_unit_test_setup_teardown(test_left_behind, unit_store_setup, unit_segment_teardown),
#endif
		cmocka_unit_test_setup_teardown(test_threads, unit_store_setup, unit_segment_teardown),
	};

	unit_seed_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
