/*
 * tcop_bus.c -- rings between workers: every message arrives once, whole and in the
 * order of its sender, whatever its length, however the receiver sleeps; and a
 * receiver that stands still holds nobody up and is told that it missed something.
 *
 * Threads stand for workers.  A message's bytes follow from its sender and number.
 */
#include "common/c.h"

#include "storage/ipc/epoch.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "tcop/bus.h"
#include "unit_segment.h"
#include "utils/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WORKERS 4
#define OTHERS 1
#define SENDERS (WORKERS + OTHERS)
#define MESSAGES 4000
#define SLEEP_US 60000000

static void *region;

static int
setup(void **state)
{
	(void) state;
	unit_segment_make(1 * MIB, 1 * MIB, 5 + SENDERS);
	region = aligned_alloc(4096, AlignUp(bus_region_size(WORKERS, OTHERS), 4096));
	assert_non_null(region);
	memset(region, 0, bus_region_size(WORKERS, OTHERS));
	bus_region_init(region, WORKERS, OTHERS);
	return 0;
}

static int
teardown(void **state)
{
	free(region);
	return unit_segment_teardown(state);
}

static uint64
mix(uint64 x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x9e3779b97f4a7c15);
	return x ^ x >> 29;
}

/* length_of -- mostly short, sometimes longer than a ring. */
static size_t
length_of(uint32 sender, uint32 number)
{
	uint64		r = mix((uint64) sender << 32 | number);

	if (r % 997 == 0)
		return 300000 + r / 997 % 400000;
	return r % 37 == 0 ? r / 37 % 30000 : r / 37 % 100;
}

static void
fill(uint8 *to, size_t len, uint32 sender, uint32 number)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8) (sender * 31 + number + i);
}

static void
send_one(Bus *bus, uint32 to, uint32 sender, uint32 number, uint8 *buffer)
{
	size_t		len = length_of(sender, number);
	char		name[32];
	BusMessage	m = {.type = BUS_MESSAGE, .gate = number, .detail = (uint64) sender << 32 | number};

	fill(buffer, len, sender, number);
	m.a = (BytePart) {name, (size_t) snprintf(name, sizeof(name), "%u", number)};
	m.b = (BytePart) {buffer, len};
	bus_send(bus, to, &m);
}

/* check_one -- this message must be the next one of its sender. */
static void
check_one(const BusMessage *m, uint32 *next)
{
	uint32		sender = (uint32) (m->detail >> 32);
	uint32		number = (uint32) m->detail;
	char		name[32];
	const uint8 *data = m->b.data;

	Verify(m->type == BUS_MESSAGE && sender < SENDERS && number == next[sender] && m->gate == number);
	next[sender]++;
	Verify(m->a.len == (size_t) snprintf(name, sizeof(name), "%u", number) && memcmp(m->a.data, name, m->a.len) == 0);
	Verify(m->b.len == length_of(sender, number));
	for (size_t i = 0; i < m->b.len; i++)
		Verify(data[i] == (uint8) (sender * 31 + number + i));
}

/* a worker: sends to all others and receives from all others, in turns as the loop of net does */
static void *
worker(void *arg)
{
	uint32		self = (uint32) (uintptr_t) arg;
	uint32		next[SENDERS] = {0};
	uint8	   *buffer = malloc(1000000);
	uint32		sent = 0;
	uint64		received = 0;
	uint64		expected = self < WORKERS ? (uint64) (SENDERS - 1) * MESSAGES : 0;
	Bus		   *bus;

	proc_attach(5 + self);
	bus = bus_open(region, self);
	for (;;)
	{
		BusMessage	m;
		uint32		row = 0;
		bool		queued;

		latch_reset();
		for (uint32 n = 0; n < 20 && sent < MESSAGES; n++, sent++)
			for (uint32 to = 0; to < WORKERS; to++)
				if (to != self)
					send_one(bus, to, self, sent, buffer);
		queued = bus_flush(bus, clock_mono_us());
		for (; row < 50 && self < WORKERS && bus_receive(bus, &m); row++)
		{
			check_one(&m, next);
			received++;
		}
		if (self < WORKERS)
			bus_room_made(bus);
		if (sent == MESSAGES && !queued && received == expected)
			break;
		if (row == 0 && sent == MESSAGES)
			latch_sleep(SLEEP_US);
	}
	for (uint32 i = 0; i < SENDERS && self < WORKERS; i++)
		Verify(next[i] == (i == self ? 0 : MESSAGES));
	free(buffer);
	bus_close(bus);
	return NULL;
}

static void
test_all_to_all(void **state)
{
	pthread_t	thread[SENDERS];
	Bus		   *first[WORKERS];
	uint64		start;

	(void) state;
	/* every receiver's latch is known before anybody sends, as a subscription is before a message */
	for (uint32 i = 0; i < WORKERS; i++)
	{
		proc_attach(5 + i);
		first[i] = bus_open(region, i);
	}
	start = clock_mono_us();
	for (uint32 i = 0; i < SENDERS; i++)
		Verify(pthread_create(&thread[i], NULL, worker, (void *) (uintptr_t) i) == 0);
	for (uint32 i = 0; i < SENDERS; i++)
		Verify(pthread_join(thread[i], NULL) == 0);
	for (uint32 i = 0; i < WORKERS; i++)
		bus_close(first[i]);
	/* who missed a wake-up slept to the end of his time */
	assert_true(clock_mono_us() - start < SLEEP_US);
}

/* a receiver that stands still: the sender goes on, its queue is bounded, and the receiver is told */
static void
test_stands_still(void **state)
{
	static uint8 text[1 << 20];
	BusMessage	m = {.type = BUS_MESSAGE, .b = {text, sizeof(text)}};
	BusMessage	got;
	uint64		now = 1000;
	uint32		whole = 0;
	uint32		lost = 0;
	Bus		   *receiver;
	Bus		   *sender;

	(void) state;
	proc_attach(5 + 1);
	receiver = bus_open(region, 1);
	proc_attach(5);
	sender = bus_open(region, 0);
	assert_false(bus_congested(sender, 1, now));
	for (m.detail = 0; m.detail < 200; m.detail++)	/* 200 MiB */
	{
		bus_send(sender, 1, &m);
		assert_true(bus_flush(sender, now));
		if (m.detail == 2)
		{
			assert_true(bus_congested(sender, 1, now));
			assert_false(bus_congested(sender, 1, now + BUS_STALL_US));	/* it does not move: no use waiting */
		}
	}
	/* it wakes: what had begun to leave is whole, then it is told that it missed something, then new ones come */
	for (int turn = 0; turn < 1000; turn++)
	{
		while (bus_receive(receiver, &got))
		{
			if (got.type == BUS_LOST)
				lost++;
			else
			{
				assert_int_equal(got.b.len, sizeof(text));
				assert_true(lost == 0 ? got.detail == whole : got.detail >= 200);
				whole++;
			}
		}
		bus_room_made(receiver);
		if (!bus_flush(sender, now) && m.detail == 200)
		{
			bus_send(sender, 1, &m);
			m.detail++;
		}
	}
	assert_int_equal(lost, 1);
	assert_int_equal(whole, 2);	/* the one that had begun, and the new one */
	assert_false(bus_congested(sender, 1, now));
	assert_false(bus_flush(sender, now));
	bus_close(sender);
	bus_close(receiver);
}

/* one message longer than the queue's bound goes through all the same */
static void
test_giant(void **state)
{
	size_t		len = 100 * MIB + 5;
	uint8	   *text = malloc(len);
	BusMessage	m = {.type = BUS_SHARD_MESSAGE, .a = {"name", 4}, .b = {text, len}};
	BusMessage	got;
	bool		seen = false;
	Bus		   *receiver;
	Bus		   *sender;

	(void) state;
	memset(text, 'g', len);
	proc_attach(5 + 2);
	receiver = bus_open(region, 2);
	proc_attach(5 + WORKERS);
	sender = bus_open(region, WORKERS);
	bus_send(sender, 2, &m);
	for (int turn = 0; turn < 100000 && !seen; turn++)
	{
		(void) bus_flush(sender, 1000);
		if (bus_receive(receiver, &got))
		{
			assert_int_equal(got.type, BUS_SHARD_MESSAGE);
			assert_int_equal(got.b.len, len);
			assert_memory_equal(got.a.data, "name", 4);
			assert_memory_equal(got.b.data, text, len);
			seen = true;
		}
		bus_room_made(receiver);
	}
	assert_true(seen);
	bus_close(sender);
	bus_close(receiver);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_to_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stands_still, setup, teardown),
		cmocka_unit_test_setup_teardown(test_giant, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("tcop_bus", tests, NULL, NULL);
}
