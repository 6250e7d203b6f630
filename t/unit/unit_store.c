/*
 * unit_store.c -- a store in private memory, for unit tests.
 */
#include "unit_store.h"

#include "storage/file/file_internal.h"

#include <signal.h>
#include <sys/wait.h>

void
unit_store_make(uint64 nodes_size, uint64 ring_size)
{
	unit_segment_make(nodes_size, ring_size, UNIT_STORE_SLOTS);
	proc_attach(UNIT_STORE_WORKER);
	wal_shared->segment_size = 1 * MIB;
	wal_shared->start_lsn = UNIT_STORE_FIRST_LSN;
	atomic_store(&wal_shared->insert_word, (UNIT_STORE_FIRST_LSN / 8) << 10 | PROC_SLOT_NONE);
	atomic_store(&wal_shared->completed, UNIT_STORE_FIRST_LSN);
	atomic_store(&wal_shared->flushed, UNIT_STORE_FIRST_LSN);
	atomic_store(&wal_shared->prepared, UINT64_C(1) << 50);
	for (uint64 i = 0; i < WAL_SEGMENT_TABLE; i++)
		wal_shared->segment[i].seed = i + 1;
}

int
unit_store_setup(void **state)
{
	(void) state;
	set_max_value_size = 2 * MIB;
	unit_store_make(256 * MIB, 16 * MIB);
	return 0;
}

void
unit_store_flush(void)
{
	wal_completed_update();
	atomic_store(&wal_shared->flushed, wal_completed_lsn());
	atomic_store(&store_shared->evict_cut, wal_completed_lsn());
}

static _Atomic bool flusher_stop;
static pthread_t flusher_thread;

static void *
flusher(void *arg)
{
	proc_attach((uint32) (uintptr_t) arg);
	while (!atomic_load(&flusher_stop))
	{
		Lsn			seen = wal_completed_lsn();

		wal_completed_update();
		atomic_store(&wal_shared->flushed, wal_completed_lsn());
		/* evict_cut follows one grace period later, as behind a checkpoint */
		epoch_wait_grace();
		atomic_store(&store_shared->evict_cut, seen);
		(void) store_sweep_step();
		mem_keep_ahead();
		usleep(50);
	}
	return NULL;
}

void
unit_store_flusher_start(uint32 slot)
{
	atomic_store(&flusher_stop, false);
	assert_int_equal(pthread_create(&flusher_thread, NULL, flusher, (void *) (uintptr_t) slot), 0);
}

void
unit_store_flusher_stop(void)
{
	atomic_store(&flusher_stop, true);
	pthread_join(flusher_thread, NULL);
}

#ifdef ARTERY_FAULTS
void
unit_store_die(uint32 slot, const char *fault, void (*write) (void))
{
	pid_t		pid = fork();
	int			status;

	assert_true(pid >= 0);
	if (pid == 0)
	{
		StoreCommitted out;
		StoreTxn   *t;

		proc_attach(slot);
		for (int i = 0; i < 20; i++)
			mem_keep_ahead();	/* or the first attempt finds no memory, and the fault point comes once more */
		file__fault_arm(fault);
		t = store_txn_create();
		store_txn_use(t);
		write();
		store_txn_use(NULL);
		_exit((int) store_txn_commit(t, &out));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	atomic_store(&proc_slot(slot)->epoch_word, 0);
	proc_slot(slot)->epoch_depth = 0;
}
#endif

uint64
unit_store_used(void)
{
	MemStats	stats;
	ProcSlot   *mine = my_slot;

	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		my_slot = proc_slot(i);
		for (int k = 0; k < 4; k++)
		{
			epoch_wait_grace();
			mem_reclaim();
		}
	}
	my_slot = mine;
	mem_stats(&stats);
	assert_int_equal(stats.lost, 0);
	assert_int_equal(stats.retired, 0);
	return stats.used;
}

static StoreAction
decide_put(const StoreView *view, StoreChange *change, void *arg)
{
	const char *value = arg;

	(void) view;
	change->part[0] = (BytePart) {value, strlen(value)};
	change->part_count = 1;
	return STORE_PUT;
}

static StoreAction
decide_delete(const StoreView *view, StoreChange *change, void *arg)
{
	(void) change;
	(void) arg;
	return view->exists ? STORE_DELETE : STORE_KEEP;
}

StoreStatus
unit_put(uint32 db, const char *key, const char *value, StoreWritten *out)
{
	StoreKey	k = {db, (uint32) strlen(key), key};
	StoreWritten dummy;

	return store_write(&k, decide_put, (void *) (uintptr_t) value, out != NULL ? out : &dummy);
}

StoreStatus
unit_blind(uint32 db, const char *key, const char *value, StoreWritten *out)
{
	StoreKey	k = {db, (uint32) strlen(key), key};
	StoreWritten dummy;

	return store_write_blind(&k, decide_put, (void *) (uintptr_t) value, out != NULL ? out : &dummy);
}

StoreStatus
unit_delete(uint32 db, const char *key, StoreWritten *out)
{
	StoreKey	k = {db, (uint32) strlen(key), key};
	StoreWritten dummy;

	return store_write_head(&k, decide_delete, NULL, out != NULL ? out : &dummy);
}

typedef struct Got
{
	char		value[4096];
	bool		exists;
	Lsn			version;
} Got;

static void
show_text(const StoreView *view, void *arg)
{
	Got		   *got = arg;

	got->exists = view->exists;
	got->version = view->lsn;
	if (!view->exists)
		return;
	Verify(view->value_len < sizeof(got->value));
	store_view_copy(view, 0, view->value_len, got->value);
	got->value[view->value_len] = '\0';
}

const char *
unit_get(uint32 db, const char *key, Lsn *version)
{
	static _Thread_local Got got;
	StoreKey	k = {db, (uint32) strlen(key), key};
	Lsn			gate = LSN_NONE;

	Verify(store_read(&k, show_text, &got, &gate) == STORE_OK);
	if (version != NULL)
		*version = got.version;
	return got.exists ? got.value : NULL;
}
