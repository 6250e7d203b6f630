/*
 * store_prefix.c -- store_longest_prefix: its answers, its gates, and that each is the
 * answer of one moment while other threads change the candidates.
 *
 * The segment is private memory; a stand-in for the walwriter raises 'flushed'.  The
 * base is empty: what it adds is tested through the socket (t/223_prefix.pl).
 */
#include "unit_store.h"

#define ROUNDS 5000

static StoreAction
decide(const StoreView *view, StoreChange *change, void *arg)
{
	(void) view;
	(void) change;
	return *(bool *) arg ? STORE_DELETE : STORE_PUT;
}

/* change -- a key comes or goes; its new version. */
static Lsn
change(const void *key, uint32 len, bool delete)
{
	StoreKey	k = {0, len, key};
	StoreWritten out;
	StoreStatus status;

	while ((status = store_write(&k, decide, &delete, &out)) == STORE_PARK_WAL)
		usleep(20);
	assert_int_equal(status, STORE_OK);
	return out.gate;
}

static Lsn
put(const char *key)
{
	return change(key, (uint32) strlen(key), false);
}

static Lsn
delete(const char *key)
{
	return change(key, (uint32) strlen(key), true);
}

/* longest -- the answer's length; *gate is the answer's alone. */
static int32
longest(const char *text, const uint8 *allowed, Lsn *gate)
{
	StoreKey	key = {0, (uint32) strlen(text), text};
	StoreStatus status;
	int32		len;

	do
	{
		*gate = LSN_NONE;
		status = store_longest_prefix(&key, allowed, &len, gate);
	} while (status == STORE_PARK_MAP);
	assert_int_equal(status, STORE_OK);
	return len;
}

static void
test_answers_and_gates(void **state)
{
	uint8		even[KEY_USER_MAX / 8 + 1];
	Lsn			abc;
	Lsn			a;
	Lsn			gone;
	Lsn			gate;

	(void) state;
	memset(even, 0x55, sizeof(even));
	assert_int_equal(longest("abcdef", NULL, &gate), -1);
	assert_int_equal(gate, LSN_NONE);
	a = put("a");
	put("abd");
	put("abcdeg");
	put("b");
	assert_int_equal(longest("abcdef", NULL, &gate), 1);
	assert_int_equal(gate, a);		/* what is beside the way does not gate it */
	abc = put("abc");
	assert_int_equal(longest("abcdef", NULL, &gate), 3);
	assert_int_equal(gate, abc);
	assert_int_equal(longest("abc", NULL, &gate), 3);
	assert_int_equal(longest("ab", NULL, &gate), 1);
	assert_int_equal(longest("", NULL, &gate), -1);
	assert_int_equal(longest("abcdef", even, &gate), -1);
	gone = delete("abc");
	assert_int_equal(longest("abcdef", NULL, &gate), 1);
	assert_int_equal(gate, gone);	/* that nothing longer is there is known from the deletion */
	assert_int_equal(longest("ab", NULL, &gate), 1);
	assert_int_equal(gate, a);
	gone = delete("a");
	assert_int_equal(longest("abcdef", NULL, &gate), -1);
	assert_int_equal(gate, gone);
	put("");
	put("abcd");
	assert_int_equal(longest("abcdef", even, &gate), 4);
	assert_int_equal(longest("abxdef", even, &gate), 0);
	assert_int_equal(longest("", even, &gate), 0);
}

/* every beginning of one key, from the whole of it down */
#define LENGTHS 512
static void
test_many_lengths(void **state)
{
	char		text[LENGTHS + 1] = {0};
	Lsn			gate;

	(void) state;
	memset(text, 'k', LENGTHS);
	for (uint32 len = 0; len <= LENGTHS; len++)
		change(text, len, false);
	for (uint32 len = LENGTHS; len > 0; len -= 16)
	{
		Lsn			gone = LSN_NONE;

		assert_int_equal(longest(text, NULL, &gate), len);
		for (uint32 i = 0; i < 16; i++)
			gone = change(text, len - i, true);
		assert_int_equal(longest(text, NULL, &gate), len - 16);
		assert_int_equal(gate, gone);
	}
}

/* ---- one moment ---- */

static _Atomic bool stop;

static void *
flusher(void *arg)
{
	proc_attach((uint32) (uintptr_t) arg);
	while (!atomic_load(&stop))
	{
		wal_completed_update();
		atomic_store(&wal_shared->flushed, wal_completed_lsn());
		usleep(100);
	}
	return NULL;
}

/*
 * The way to the longest key has a branch at each byte, so that a descent takes long
 * enough for others to write in the meantime.  Whenever the shortest key (1) is there,
 * a longer one is, LONG or 2 bytes long: the two take turns.
 */
#define LONG 300
static char way[LONG + 1];

static void *
writer(void *arg)
{
	proc_attach((uint32) (uintptr_t) arg);
	for (int i = 0; i < ROUNDS; i++)
	{
		change(way, 1, false);
		change(way, 2, false);
		change(way, LONG, true);
		change(way, LONG, false);
		change(way, 2, true);
		change(way, 1, true);
		mem_keep_ahead();
	}
	atomic_store(&stop, true);
	return NULL;
}

static void
test_one_moment(void **state)
{
	pthread_t	flush_thread;
	pthread_t	write_thread;
	uint64		asked = 0;
	uint64		got[LONG + 1] = {0};
	Lsn			gate;

	(void) state;
	memset(way, 'k', LONG);
	for (uint32 len = 3; len < LONG; len++)
	{
		way[len] = 'x';
		change(way, len + 1, false);
		way[len] = 'k';
	}
	change(way, LONG, false);
	atomic_store(&stop, false);
	pthread_create(&flush_thread, NULL, flusher, (void *) (uintptr_t) 10);
	pthread_create(&write_thread, NULL, writer, (void *) (uintptr_t) 5);
	while (!atomic_load(&stop))
	{
		int32		len = longest(way, NULL, &gate);

		assert_true(len > 0);
		got[len]++;
		asked++;
	}
	pthread_join(write_thread, NULL);
	pthread_join(flush_thread, NULL);
	printf("# %llu asked: the longest %llu times, the one between %llu times\n", (unsigned long long) asked,
		   (unsigned long long) got[LONG], (unsigned long long) got[2]);
	assert_int_equal(got[1], 0);
	assert_int_equal(got[LONG] + got[2], asked);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers_and_gates, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_many_lengths, unit_store_setup, unit_segment_teardown),
		cmocka_unit_test_setup_teardown(test_one_moment, unit_store_setup, unit_segment_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
