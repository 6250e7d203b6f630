/*
 * net_gate.c -- the gate alone: replies of many connections under all policies,
 * made and released in any order, against the rule itself.
 *
 * The rule: no byte of a reply may be released while the log is not flushed up to
 * its gate, or up to that of any reply before it on its connection; and once the
 * log is flushed up to everything, nothing is held back.
 */
#include "common/c.h"

#include "net/net_internal.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "unit_random.h"
#include "unit_segment.h"
#include "utils/settings.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CONNS 7
#define REPLIES 400

typedef struct Promise
{
	uint64		end;			/* output position behind the reply */
	Lsn			gate;			/* the highest up to it; 0: none */
} Promise;

static Conn conns[CONNS];
static Promise promise[CONNS][REPLIES];
static uint32 promised[CONNS];

static int
setup(void **state)
{
	NetWorker  *w = &net__worker;

	(void) state;
	unit_segment_make(1 * MIB, 1 * MIB, 12);
	proc_attach(4);
	atomic_store(&wal_shared->insert_word, (UINT64_C(1) << 40) / 8 << 10 | PROC_SLOT_NONE);
	atomic_store(&wal_shared->completed, UINT64_C(1) << 40);
	memset(w, 0, sizeof(*w));
	memset(conns, 0, sizeof(conns));
	memset(promised, 0, sizeof(promised));
	TAILQ_INIT(&w->gated);
	TAILQ_INIT(&w->dirty);
	for (int i = 0; i < CONNS; i++)
		conns[i].session.out.proto = 2;
	return 0;
}

static int
teardown(void **state)
{
	for (int i = 0; i < CONNS; i++)
		output_free(&conns[i].session.out);
	return unit_segment_teardown(state);
}

/* reply -- connection i answers a command whose gate is 'gate' under this policy. */
static void
reply(int i, Lsn gate, uint8 policy)
{
	Session    *s = &conns[i].session;
	Promise    *p = &promise[i][promised[i]];

	reply_ok(&s->out);
	s->gate = gate;
	s->policy = policy;
	s->wrote = unit_random() % 2;
	s->reply_gate = policy <= DURABILITY_GROUP ? gate : LSN_NONE;
	p->end = s->out.appended;
	p->gate = s->reply_gate;
	if (promised[i] > 0)
		p->gate = Max(p->gate, p[-1].gate);
	promised[i]++;
	net__gate_reply(&conns[i]);
}

/* check -- the rule, for every reply ever made. */
static void
check(Lsn flushed, bool everything)
{
	uint64		waiting = 0;

	for (int i = 0; i < CONNS; i++)
	{
		Conn	   *c = &conns[i];

		for (uint32 r = 0; r < promised[i]; r++)
		{
			if (c->released >= promise[i][r].end)
				assert_true(promise[i][r].gate <= flushed);
			if (everything)
				assert_true(c->released >= promise[i][r].end);
			waiting += c->released < promise[i][r].end;
		}
		assert_true(c->released <= c->session.out.appended);
		assert_int_equal(net__gate_end(c), c->session.out.appended);
		assert_int_equal(c->in_gated, c->gate_count > 0);
	}
	assert_int_equal(net__worker.gated_replies, waiting);
}

static void
test_rule(void **state)
{
	Lsn			insert = 1000;
	Lsn			flushed = 1000;

	(void) state;
	atomic_store(&wal_shared->flushed, flushed);
	net__gate_release();
	for (int step = 0; step < 4000; step++)
	{
		int			i = (int) (unit_random() % CONNS);

		switch (unit_random() % 5)
		{
			case 0:				/* a turn of the loop */
				net__worker.turn++;
				break;
			case 1:				/* the log moves on */
				flushed += unit_random() % (insert - flushed + 1);
				atomic_store(&wal_shared->flushed, flushed);
				break;
			case 2:
				net__gate_release();
				break;
			default:			/* of something written, or seen, up to now */
				if (promised[i] == REPLIES)
					break;
				insert += unit_random() % 50;
				reply(i, unit_random() % 8 == 0 ? LSN_NONE : insert - unit_random() % Min(insert, (Lsn) 200),
					  (uint8) (unit_random() % 8 == 0 ? DURABILITY_NONE : unit_random() % 3));
				break;
		}
		check(flushed, false);
		if (net__worker.gated_replies > 0)
		{
			Lsn			lowest = net__gate_lowest();

			assert_true(lowest != LSN_NONE && lowest <= insert);
		}
		else
			assert_int_equal(net__gate_lowest(), LSN_NONE);
	}
	atomic_store(&wal_shared->flushed, insert);
	net__gate_release();
	check(insert, true);
	assert_true(TAILQ_EMPTY(&net__worker.gated));
}

/* test_lowest -- a flush up to what the process says it sleeps for always releases something. */
static void
test_lowest(void **state)
{
	Lsn			insert = 1000;

	(void) state;
	atomic_store(&wal_shared->flushed, insert);
	net__gate_release();
	for (int step = 0; step < 300; step++)
	{
		for (int n = 0; n < 3; n++)
		{
			int			i = (int) (unit_random() % CONNS);

			net__worker.turn += unit_random() % 2;
			insert += 8 + unit_random() % 50;
			if (promised[i] < REPLIES)
				reply(i, insert, DURABILITY_IMMEDIATE);
		}
		while (net__worker.gated_replies > 0 && unit_random() % 4 != 0)
		{
			uint64		before = net__worker.gated_replies;

			atomic_store(&wal_shared->flushed, net__gate_lowest());
			net__gate_release();
			assert_true(net__worker.gated_replies < before);
		}
	}
}

/* test_want -- what the walwriter is asked for: by the waiter's policy, the highest LSN of the turn. */
static void
test_want(void **state)
{
	(void) state;
	atomic_store(&wal_shared->flushed, 1000);
	net__gate_release();
	conns[0].session.wrote = true;
	reply(0, 2000, DURABILITY_IMMEDIATE);
	reply(1, 3000, DURABILITY_IMMEDIATE);
	reply(2, 900, DURABILITY_IMMEDIATE);
	reply(3, 4000, DURABILITY_GROUP);
	reply(4, 6000, DURABILITY_NONE);
	assert_int_equal(net__worker.want[WAL_NOW], 3000);
	assert_int_equal(net__worker.want[WAL_GROUP], 4000);
	assert_int_equal(net__worker.want[WAL_PERIODIC], 0);
	do
		reply(5, 5000, DURABILITY_PERIODIC);	/* asks only for what it wrote */
	while (!conns[5].session.wrote);
	assert_int_equal(net__worker.want[WAL_PERIODIC], 5000);
	net__gate_want();
	assert_int_equal(atomic_load(&wal_shared->wanted), 3000);
	assert_int_equal(atomic_load(&wal_shared->wanted_group), 4000);
	assert_int_equal(atomic_load(&wal_shared->wanted_periodic), 5000);
	assert_int_equal(net__worker.want[WAL_NOW], 0);
	assert_int_equal(conns[2].released, conns[2].session.out.appended);
	assert_int_equal(conns[4].released, conns[4].session.out.appended);
	assert_int_equal(conns[0].released, 0);
}

/* test_forget -- a connection that goes away takes its replies out of the count. */
static void
test_forget(void **state)
{
	(void) state;
	atomic_store(&wal_shared->flushed, 1000);
	net__gate_release();
	for (int i = 0; i < 40; i++)
	{
		net__worker.turn++;
		reply(i % 4, 2000 + (Lsn) i, DURABILITY_IMMEDIATE);
	}
	assert_int_equal(net__worker.gated_replies, 40);
	net__gate_forget(&conns[1]);
	assert_int_equal(net__worker.gated_replies, 30);
	assert_int_equal(conns[1].released, 0);
	net__gate_forget(&conns[1]);
	atomic_store(&wal_shared->flushed, 3000);
	net__gate_release();
	assert_int_equal(net__worker.gated_replies, 0);
	assert_int_equal(conns[1].released, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rule, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lowest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_want, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forget, setup, teardown),
	};

	unit_seed_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
