/*
 * tcop_clients.c -- the table of connections: places, fair choice of a worker,
 * entries taken and given by several workers at once, texts behind the sequence
 * lock, kills that meet only whom they mean.  Threads stand for workers.
 */
#include "common/c.h"

#include "storage/ipc/epoch.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "tcop/client_table.h"
#include "unit_segment.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WORKERS 4
#define ENTRIES 64
#define ROUNDS 20000

static void *region;

static int
setup(void **state)
{
	(void) state;
	unit_segment_make(1 * MIB, 1 * MIB, 12);
	region = aligned_alloc(CACHE_LINE, AlignUp(client_table_size(ENTRIES), CACHE_LINE));
	assert_non_null(region);
	memset(region, 0, client_table_size(ENTRIES));
	client_table_init(region, ENTRIES, WORKERS, proc_first_slot(PROC_WORKER));
	return 0;
}

static int
teardown(void **state)
{
	free(region);
	return unit_segment_teardown(state);
}

static void
text_of(ClientText *text, uint64 number)
{
	memset(text, 0, sizeof(*text));
	snprintf(text->name, sizeof(text->name), "name-%llu", (unsigned long long) number);
	snprintf(text->lib_name, sizeof(text->lib_name), "lib-%llu", (unsigned long long) number);
	snprintf(text->local_address, sizeof(text->local_address), "local-%llu", (unsigned long long) number);
}

static void
test_places(void **state)
{
	ClientEntry *e[ENTRIES];
	ClientText	text;

	(void) state;
	text_of(&text, 1);
	for (int i = 0; i < ENTRIES; i++)
	{
		assert_true(client_place_take(ENTRIES));
		e[i] = client_entry_take(0, 10 + i, CLIENT_FLAG_UNIX, &text);
		assert_non_null(e[i]);
		for (int j = 0; j < i; j++)
			assert_true(e[i] != e[j] && atomic_load(&e[i]->id) > atomic_load(&e[j]->id));
	}
	assert_false(client_place_take(ENTRIES));
	assert_null(client_entry_take(0, 99, 0, &text));
	client_entry_give(e[7]);
	client_place_give();
	assert_true(client_place_take(ENTRIES));
	assert_ptr_equal(client_entry_take(0, 99, 0, &text), e[7]);
}

static void
test_spread(void **state)
{
	(void) state;
	for (uint32 i = 0; i < 400; i++)
	{
		uint32		least = UINT32_MAX;
		uint32		most = 0;

		(void) client_worker_choose(i % WORKERS);
		for (uint32 w = 0; w < WORKERS; w++)
		{
			uint32		n = atomic_load(&client_table->worker[w].connections);

			least = Min(least, n);
			most = Max(most, n);
		}
		assert_true(most - least <= 1);
	}
	for (int i = 0; i < 50; i++)
		client_worker_give(2);
	for (int i = 0; i < 50; i++)
		assert_int_equal(client_worker_choose(0), 2);
	assert_int_equal(client_worker_choose(3), 3);	/* when equal, oneself */
}

static void
test_kill(void **state)
{
	ClientText	text;
	ClientEntry *e;
	uint64		id;

	(void) state;
	text_of(&text, 1);
	e = client_entry_take(1, 5, 0, &text);
	id = atomic_load(&e->id);
	assert_false(client_kill(e, id + 1));
	assert_true(client_kill(e, id));
	assert_int_equal(atomic_load(&e->kill_id), id);
	assert_int_equal(atomic_load(&client_table->worker[1].kills), 1);
	assert_true(atomic_load(&proc_slot(proc_first_slot(PROC_WORKER) + 1)->latch) & LATCH_SET);
	client_entry_give(e);
	assert_false(client_kill(e, id));
	assert_false(client_text_read(e, id, &text));
}

/* ---- several workers at once ---- */
static _Atomic uint64 seen_mixed;
static _Atomic uint64 seen_double;
static _Atomic uint64 reads;
static _Atomic uint32 held[ENTRIES];

/* look -- every entry, as CLIENT LIST does: a text must be of one piece. */
static void
look(void)
{
	for (uint32 i = 0; i < ENTRIES; i++)
	{
		ClientEntry *e = &client_table->entry[i];
		uint64		id = atomic_load_explicit(&e->id, memory_order_acquire);
		ClientText	text;
		ClientText	want;
		unsigned long long number;

		if (id == 0 || !client_text_read(e, id, &text))
			continue;
		if (sscanf(text.name, "name-%llu", &number) == 1)
		{
			text_of(&want, number);
			if (memcmp(&want, &text, sizeof(want)) != 0)
				atomic_fetch_add(&seen_mixed, 1);
		}
		else
			atomic_fetch_add(&seen_mixed, 1);
		atomic_fetch_add(&reads, 1);
		if (i % 8 == 0)
			(void) client_kill(e, id);
	}
}

static void *
worker(void *arg)
{
	uint32		self = (uint32) (uintptr_t) arg;
	ClientEntry *mine[8] = {NULL};
	ClientText	text;
	uint64		number = self * UINT64_C(1000000);

	proc_attach(proc_first_slot(PROC_WORKER) + self);
	for (int round = 0; round < ROUNDS; round++)
	{
		ClientEntry **e = &mine[round % 8];

		if (*e != NULL)
		{
			text_of(&text, number++);
			client_text_write(*e, &text);
			if (round % 3 == 0)
			{
				atomic_fetch_sub(&held[*e - client_table->entry], 1);
				client_entry_give(*e);
				client_worker_give(self);
				client_place_give();
				*e = NULL;
			}
		}
		else if (client_place_take(ENTRIES))
		{
			client_worker_take(self);
			text_of(&text, number++);
			*e = client_entry_take(self, round, 0, &text);
			assert_non_null(*e);
			if (atomic_fetch_add(&held[*e - client_table->entry], 1) != 0)
				atomic_fetch_add(&seen_double, 1);
		}
		if (round % 64 == 0)
			look();
	}
	for (int i = 0; i < 8; i++)
		if (mine[i] != NULL)
		{
			atomic_fetch_sub(&held[mine[i] - client_table->entry], 1);
			client_entry_give(mine[i]);
			client_worker_give(self);
			client_place_give();
		}
	return NULL;
}

static void
test_threads(void **state)
{
	pthread_t	thread[WORKERS];
	ClientText	text;

	(void) state;
	for (uint32 i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, worker, (void *) (uintptr_t) i), 0);
	for (uint32 i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(atomic_load(&seen_mixed), 0);
	assert_int_equal(atomic_load(&seen_double), 0);
	assert_true(atomic_load(&reads) > 0);
	assert_int_equal(atomic_load(&client_table->total), 0);
	text_of(&text, 1);
	for (int i = 0; i < ENTRIES; i++)	/* none is lost */
		assert_non_null(client_entry_take(0, i, 0, &text));
	assert_null(client_entry_take(0, 0, 0, &text));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_places, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
