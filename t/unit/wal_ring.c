/*
 * wal_ring.c -- reservations, completed, space and the gate in one thread, step by
 * step; then threads that reserve and fill round the ring's end while another one
 * reads what is completed and lets it go.
 */
#include "unit_wal.h"

#include "common/crc32c.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"

#include <errno.h>
#include <unistd.h>

#define RING (64 * KIB)
#define FIRST (1 * MIB)

/* no files: the test itself says what is flushed and prepared */
static int
setup(void **state)
{
	(void) state;
	unit_dir_make();
	unit_log_begin(RING, UNIT_SEGMENT);
	atomic_store(&wal_shared->insert_word, wal__make_word(FIRST, PROC_SLOT_NONE));
	atomic_store(&wal_shared->completed, FIRST);
	atomic_store(&wal_shared->flushed, FIRST);
	atomic_store(&wal_shared->prepared, UINT64_C(1) << 50);
	for (uint64 i = 0; i < WAL_SEGMENT_TABLE; i++)
		wal_shared->segment[i].seed = i * 77 + 5;
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	unit_log_end();
	unit_dir_remove();
	return 0;
}

static void
become(uint32 slot)
{
	my_slot = proc_slot(slot);
}

static uint64
slot_word(uint32 slot)
{
	return atomic_load(&proc_slot(slot)->wal_word);
}

static WalReservation
reserve(uint32 body_len)
{
	WalReservation r;

	assert_int_equal(wal_reserve(body_len, 0, &r), WAL_RESERVED);
	return r;
}

static void
fill(const WalReservation *r, const void *body, uint32 len)
{
	BytePart	part = {body, len};

	wal_fill(r, WAL_PUT, 0, 4, crc32c_extend(0, body, len), &part, 1);
}

static uint64
seed_at(Lsn lsn)
{
	return wal_shared->segment[lsn / UNIT_SEGMENT % WAL_SEGMENT_TABLE].seed;
}

/* the record at lsn out of the ring, both pieces; its checksum must be right */
static WalRecordHeader
take(Lsn lsn, uint8 *record)
{
	const char *ring = seg_ptr(wal_shared->ring);
	WalRecordHeader h;

	for (size_t i = 0; i < sizeof(h); i++)
		((char *) &h)[i] = ring[(lsn + i) % RING];
	assert_true(h.length >= sizeof(h) && h.length <= RING / 4);
	for (size_t i = 0; i < h.length; i++)
		record[i] = (uint8) ring[(lsn + i) % RING];
	assert_true(h.lsn == lsn);
	assert_int_equal(h.crc, wal_record_crc(h.type == WAL_VOID ? 0 : crc32c_extend(0, record + sizeof(h), h.length - sizeof(h)),
										   &h, seed_at(lsn)));
	return h;
}

static void
test_positions(void **state)
{
	uint8		record[RING];
	WalReservation a;
	WalReservation b;
	WalRecordHeader h;

	(void) state;
	a = reserve(5);
	assert_true(a.start == FIRST && a.length == 29 && a.end == FIRST + 32);
	assert_int_equal(slot_word(4), wal__make_res(FIRST, WAL_RES_OWNED));
	assert_true(wal_insert_lsn() == FIRST + 32);
	wal_completed_update();
	assert_true(wal_completed_lsn() == FIRST);
	become(5);
	b = reserve(16);
	assert_true(b.start == FIRST + 32 && b.end == FIRST + 72);
	fill(&b, "0123456789abcdef", 16);
	assert_int_equal(slot_word(5), WAL_RES_IDLE);
	wal_completed_update();
	assert_true(wal_completed_lsn() == FIRST);	/* a is not filled */
	become(4);
	fill(&a, "hello", 5);
	wal_completed_update();
	assert_true(wal_completed_lsn() == FIRST + 72);
	h = take(FIRST, record);
	assert_memory_equal(record + 24, "hello", 5);
	assert_int_equal(h.key_len, 4);
	assert_int_equal(h.flushed_back, 0);
	/* padding to 8 is zero */
	assert_memory_equal((char *) seg_ptr(wal_shared->ring) + (FIRST + 29) % RING, "\0\0\0", 3);
	h = take(FIRST + 32, record);
	assert_int_equal(h.flushed_back, 4);
	/* completed never moves back: a slot that shows an old start is no reason */
	atomic_store(&proc_slot(7)->wal_word, wal__make_res(FIRST, WAL_RES_TENTATIVE));
	wal_completed_update();
	assert_true(wal_completed_lsn() == FIRST + 72);
	a = reserve(8);
	fill(&a, "12345678", 8);
	wal_completed_update();
	assert_true(wal_completed_lsn() == FIRST + 72);	/* but it holds further progress back */
	atomic_store(&proc_slot(7)->wal_word, 0);
	wal_completed_update();
	assert_true(wal_completed_lsn() == FIRST + 104);
}

static void
test_void(void **state)
{
	uint8		record[RING];
	WalReservation r = reserve(1000);

	(void) state;
	wal_fill_void(&r);
	assert_int_equal(take(FIRST, record).type, WAL_VOID);
	assert_int_equal(atomic_load(&wal_shared->voids), 1);
	wal_completed_update();
	assert_true(wal_completed_lsn() == r.end);
}

/*
 * A process dies, or stands still, between its CAS and its store of OWNED: the
 * next reserver marks it before the insert word forgets it.
 */
static void
test_predecessor(void **state)
{
	WalReservation r;

	(void) state;
	/* slot 6 has won [FIRST, FIRST + 64) and not said so */
	atomic_store(&proc_slot(6)->wal_len, 64);
	atomic_store(&proc_slot(6)->wal_word, wal__make_res(FIRST, WAL_RES_TENTATIVE));
	atomic_store(&wal_shared->insert_word, wal__make_word(FIRST + 64, 6));
	r = reserve(8);
	assert_true(r.start == FIRST + 64);
	assert_int_equal(slot_word(6), wal__make_res(FIRST, WAL_RES_OWNED));
	wal_fill_void(&r);
	/* slot 7 tried with another start or another end: not what the word says, left alone */
	atomic_store(&proc_slot(7)->wal_len, 64);
	atomic_store(&proc_slot(7)->wal_word, wal__make_res(FIRST + 8, WAL_RES_TENTATIVE));
	atomic_store(&wal_shared->insert_word, wal__make_word(r.end, 7));
	r = reserve(8);
	assert_int_equal(slot_word(7), wal__make_res(FIRST + 8, WAL_RES_TENTATIVE));
	wal_fill_void(&r);
	/* idle: nothing to mark */
	atomic_store(&proc_slot(7)->wal_word, 0);
	atomic_store(&wal_shared->insert_word, wal__make_word(r.end, 7));
	r = reserve(8);
	assert_int_equal(slot_word(7), 0);
	wal_fill_void(&r);
}

static void
test_space(void **state)
{
	WalReservation r;
	Lsn			limit = FIRST + RING;

	(void) state;
	assert_int_equal(wal_record_max(), RING / 4);
	/* three full quarters and a rest that leaves 24 bytes */
	for (int i = 0; i < 3; i++)
	{
		r = reserve(RING / 4 - 24);
		wal_fill_void(&r);
	}
	r = reserve(RING / 4 - 24 - 24);
	wal_fill_void(&r);
	assert_true(wal_insert_lsn() == limit - 24);
	assert_int_equal(wal_reserve(1, 0, &r), WAL_NO_SPACE);
	assert_int_equal(slot_word(4), WAL_RES_IDLE);
	assert_true(wal_insert_lsn() == limit - 24);
	r = reserve(0);
	wal_fill_void(&r);
	assert_int_equal(wal_reserve(0, 0, &r), WAL_NO_SPACE);
	/* flushed inside a block: that block's bytes must stay in the ring */
	wal_completed_update();
	atomic_store(&wal_shared->flushed, FIRST + 4096 + 4088);
	assert_true(wal__space_limit(FIRST + 4096 + 4088) == FIRST + 4096 + RING);
	r = reserve(4096 - 24);
	wal_fill_void(&r);
	assert_int_equal(wal_reserve(0, 0, &r), WAL_NO_SPACE);
	/* the next segment is not ready: parked, or refused with a reason if there is one */
	atomic_store(&wal_shared->flushed, wal_insert_lsn());
	atomic_store(&wal_shared->prepared, wal_insert_lsn() + 24);
	assert_int_equal(wal_reserve(8, 0, &r), WAL_NO_SPACE);
	atomic_store(&wal_shared->space_errno, ENOSPC);
	assert_int_equal(wal_reserve(8, 0, &r), WAL_DISK_FULL);
	r = reserve(0);				/* what still fits goes on */
	wal_fill_void(&r);
	assert_int_equal(slot_word(4), WAL_RES_IDLE);
}

static void
test_waiting(void **state)
{
	WalReservation r;

	(void) state;
	/* a gate that is open already: no sleep, nothing announced */
	assert_false(wal_wait_begin(FIRST, 3));
	assert_int_equal(atomic_load(&my_slot->wait_lsn), 0);
	/* announced, then reached: woken once, by CAS */
	assert_true(wal_wait_begin(FIRST + 100, 3));
	assert_int_equal(atomic_load(&my_slot->wait_count), 3);
	atomic_store(&my_slot->latch, 0);
	wal__wake_waiters(FIRST + 92);
	assert_true(atomic_load(&my_slot->wait_lsn) == FIRST + 100);
	assert_int_equal(atomic_load(&my_slot->latch), 0);
	wal__wake_waiters(FIRST + 100);
	assert_int_equal(atomic_load(&my_slot->wait_lsn), 0);
	assert_int_equal(atomic_load(&my_slot->latch), LATCH_SET);
	wal_wait_end();
	assert_int_equal(atomic_load(&my_slot->wait_count), 0);
	/* parked for space: sleeps only while nothing has changed since the refusal */
	atomic_store(&wal_shared->prepared, FIRST);
	assert_int_equal(wal_reserve(8, 0, &r), WAL_NO_SPACE);
	atomic_store(&proc_slot(PROC_CHECKPOINTER)->latch, 0);
	assert_true(wal_wait_begin(1, 1));
	assert_int_equal(atomic_load(&proc_slot(PROC_CHECKPOINTER)->latch), LATCH_SET);
	wal_wait_end();
	for (int i = 0; i < 3; i++)
	{
		assert_int_equal(wal_reserve(8, 0, &r), i == 2 ? WAL_DISK_FULL : WAL_NO_SPACE);
		if (i == 0)
			atomic_store(&wal_shared->flushed, FIRST + 8);
		else if (i == 1)
			atomic_store(&wal_shared->space_errno, ENOSPC);
		else
			atomic_store(&wal_shared->prepared, FIRST + 8);
		assert_false(wal_wait_begin(1, 1));
	}
}

static void
test_wanting(void **state)
{
	_Atomic uint32 *latch = &proc_slot(proc_first_slot(PROC_WALWRITER))->latch;

	(void) state;
	wal_want(FIRST, WAL_NOW);	/* flushed already */
	assert_int_equal(atomic_load(latch), 0);
	wal_want(FIRST + 8, WAL_NOW);
	assert_true(atomic_load(&wal_shared->wanted) == FIRST + 8);
	assert_int_equal(atomic_load(latch), LATCH_SET);
	wal_want(FIRST, WAL_GROUP);
	wal_want(FIRST + 16, WAL_GROUP);
	assert_true(atomic_load(&wal_shared->wanted_group) == FIRST + 16);
	/* periodic: the first one starts the walwriter's timer, the next need not wake it */
	atomic_store(latch, 0);
	wal_want(FIRST + 24, WAL_PERIODIC);
	assert_int_equal(atomic_load(latch), LATCH_SET);
	atomic_store(latch, 0);
	wal_want(FIRST + 32, WAL_PERIODIC);
	assert_int_equal(atomic_load(latch), 0);
	assert_true(atomic_load(&wal_shared->wanted_periodic) == FIRST + 32);
	atomic_store(&wal_shared->flushed, FIRST + 32);
	wal_want(FIRST + 40, WAL_PERIODIC);
	assert_int_equal(atomic_load(latch), LATCH_SET);
	/* wants never shrink */
	wal_want(FIRST + 8, WAL_NOW);
	assert_true(atomic_load(&wal_shared->wanted_periodic) == FIRST + 40);
}

/* ---- threads round and round the ring ---- */

#define THREADS 4

typedef struct Writer
{
	uint32		slot;
	uint64		seed;
	int			records;
	uint64		voids;
	Lsn			last;
} Writer;

static _Atomic int writers_left;

static void *
write_many(void *arg)
{
	Writer	   *w = arg;
	uint8		body[2000];

	become(w->slot);
	for (int i = 0; i < w->records;)
	{
		uint32		len;
		WalReservation r;

		w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
		len = (uint32) (w->seed >> 33) % (i % 50 == 0 ? sizeof(body) : 120);
		len = Max(len, 8);
		if (wal_reserve(len, 0, &r) != WAL_RESERVED)
		{
			latch_reset();
			if (wal_wait_begin(1, 1))
				latch_sleep(1000);
			wal_wait_end();
			continue;
		}
		assert_true(r.start > w->last || w->last == 0);
		assert_true(r.end == r.start + AlignUp(24 + len, 8));
		w->last = r.start;
		if (i % 7 == 3)
		{
			wal_fill_void(&r);
			w->voids++;
		}
		else
		{
			memset(body, (int) (w->slot * 16 + i % 16), len);
			memcpy(body, &w->slot, 4);
			memcpy(body + 4, &i, 4);
			fill(&r, body, len);
		}
		i++;
	}
	atomic_fetch_sub(&writers_left, 1);
	return NULL;
}

/* the walwriter's part without files: everything below completed is whole, in order, nobody's but one's */
static void
test_threads(void **state)
{
	pthread_t	thread[THREADS];
	Writer		writer[THREADS];
	int			seen[THREADS] = {0};
	int			last_index[THREADS];
	uint64		voids = 0;
	int			records = 20000 * unit_factor();
	Lsn			at = FIRST;
	uint8		record[RING];

	(void) state;
	memset(writer, 0, sizeof(writer));
	memset(last_index, -1, sizeof(last_index));
	atomic_store(&writers_left, THREADS);
	for (uint32 i = 0; i < THREADS; i++)
	{
		writer[i] = (Writer) {.slot = UNIT_FIRST_WORKER + i, .seed = unit_random(), .records = records};
		assert_int_equal(pthread_create(&thread[i], NULL, write_many, &writer[i]), 0);
	}
	become(PROC_WALWRITER);
	while (atomic_load(&writers_left) > 0 || at < wal_insert_lsn())
	{
		wal_completed_update();
		while (at < wal_completed_lsn())
		{
			WalRecordHeader h = take(at, record);

			assert_true((uint64) h.flushed_back * 8 <= RING);
			if (h.type == WAL_VOID)
				voids++;
			else
			{
				uint32		slot;
				int			index;

				memcpy(&slot, record + 24, 4);
				memcpy(&index, record + 28, 4);
				slot -= UNIT_FIRST_WORKER;
				assert_true(slot < THREADS && index > last_index[slot]);
				last_index[slot] = index;
				seen[slot]++;
				for (size_t i = 32; i < h.length; i++)
					assert_int_equal(record[i], (uint8) ((slot + UNIT_FIRST_WORKER) * 16 + index % 16));
			}
			at += AlignUp(h.length, 8);
		}
		assert_true(at == wal_completed_lsn());
		atomic_store(&wal_shared->flushed, at);
		wal__wake_waiters(at);
	}
	for (int i = 0; i < THREADS; i++)
	{
		pthread_join(thread[i], NULL);
		assert_int_equal(seen[i] + (int) writer[i].voids, records);
		voids -= writer[i].voids;
		assert_int_equal(slot_word(writer[i].slot), WAL_RES_IDLE);
	}
	assert_int_equal(voids, 0);
	print_message("# %d records, %llu times round the ring\n", records * THREADS, (unsigned long long) ((at - FIRST) / RING));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_positions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_void, setup, teardown),
		cmocka_unit_test_setup_teardown(test_predecessor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_space, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wanting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
