/*
 * art_history.c -- several processes on one overlay, judged by what they saw.
 *
 * Goal: the overlay is linearizable between processes that share nothing but the
 * segment.  Method: forked processes put, put-if-absent, get and delete a few hot
 * keys while a sweeper drops tombstones, and write down for each operation when it
 * began and ended (ticks of a shared counter) and which version it wrote or saw.
 * Because a version is an LSN, the order of a key's writes is known, and the check
 * is one pass over sorted lists: no search.
 *
 * The rules, per key:
 *   1  versions grow in real time: no write ends before one of a lower version begins
 *   2  who sees version v does not end before every write up to v has begun
 *   3  nor begins after a write of a later version has ended
 *   4  nor sees less than someone whose look ended before his began
 *   5  a version that is seen was written, and by a write of that kind
 *   6  who sees nothing at all saw the key before its first write, or a tombstone
 *      that could be in force at that moment
 *
 * The check itself is checked: histories made by hand that break one rule each
 * must be refused, and so must the history of processes that publish by a plain
 * store.  ARTERY_HISTORY_OPS lengthens a run, ARTERY_SEED repeats the choices.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "art_common.h"

#include <cmocka.h>

#define PROCESSES 4
#define SWEEPER (PROCESSES + 1)
#define SLOTS (PROCESSES + 2)
#define KEYS 24
#define OPS_MAX 400000		/* per process */

typedef enum OpKind
{
	OP_PUT,
	OP_DELETE,
	OP_SAW_VALUE,
	OP_SAW_TOMBSTONE,
	OP_SAW_NOTHING
} OpKind;

typedef struct Op
{
	uint64		start;
	uint64		end;
	Lsn			version;
	uint32		key;
	OpKind		kind;
} Op;

/* ---- the checker ---- */

static char verdict[200];

static bool attribute_printf(1, 2)
refuse(const char *fmt, ...)
{
	va_list		args;

	va_start(args, fmt);
	vsnprintf(verdict, sizeof(verdict), fmt, args);
	va_end(args);
	return false;
}

static int
by_key_kind_version(const void *a, const void *b)
{
	const Op   *x = a;
	const Op   *y = b;
	bool		x_reads = x->kind >= OP_SAW_VALUE;
	bool		y_reads = y->kind >= OP_SAW_VALUE;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x_reads != y_reads)
		return x_reads - y_reads;
	if (!x_reads && x->version != y->version)
		return x->version < y->version ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

static int
by_end(const void *a, const void *b)
{
	const Op   *x = *(const Op *const *) a;
	const Op   *y = *(const Op *const *) b;

	return x->end < y->end ? -1 : x->end > y->end;
}

/* Writes -- of one key in the order of their versions, with what the rules need of those before and behind */
typedef struct Writes
{
	const Op   *op;
	size_t		count;
	uint64	   *begun;			/* [i]: the latest start among 0..i */
	uint64	   *done;			/* [i]: the earliest end among i..count-1; [count]: never */
} Writes;

static bool
check_writes(Writes *w)
{
	uint64		begun = 0;

	for (size_t i = 0; i < w->count; i++)
	{
		if (i > 0 && w->op[i].version == w->op[i - 1].version)
			return refuse("rule 5: version %llu was written twice", (unsigned long long) w->op[i].version);
		if (w->op[i].end < begun)
			return refuse("rule 1: version %llu ended before a lower one began", (unsigned long long) w->op[i].version);
		begun = Max(begun, w->op[i].start);
		w->begun[i] = begun;
	}
	w->done[w->count] = UINT64_MAX;
	for (size_t i = w->count; i-- > 0;)
		w->done[i] = Min(w->done[i + 1], w->op[i].end);
	return true;
}

/* first_above -- number of the first write with a version > v. */
static size_t
first_above(const Writes *w, Lsn v)
{
	size_t		low = 0;
	size_t		high = w->count;

	while (low < high)
	{
		size_t		middle = (low + high) / 2;

		if (w->op[middle].version <= v)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
check_seen(const Writes *w, const Op *r)
{
	size_t		above = first_above(w, r->version);

	if (above == 0 || w->op[above - 1].version != r->version)
		return refuse("rule 5: version %llu was seen, nobody wrote it", (unsigned long long) r->version);
	if ((w->op[above - 1].kind == OP_DELETE) != (r->kind == OP_SAW_TOMBSTONE))
		return refuse("rule 5: version %llu was seen as what it is not", (unsigned long long) r->version);
	if (r->end < w->begun[above - 1])
		return refuse("rule 2: version %llu was seen before its time", (unsigned long long) r->version);
	if (r->start > w->done[above])
		return refuse("rule 3: version %llu was seen after a later one had been written", (unsigned long long) r->version);
	return true;
}

/* check_nothing -- 'low': no state before this number of writes is possible any more (others have seen more). */
static bool
check_nothing(const Writes *w, const Op *r, size_t low)
{
	if (low == 0 && r->start <= w->done[0])
		return true;			/* before the first write */
	for (size_t i = low > 0 ? low - 1 : 0; i < w->count && w->begun[i] <= r->end; i++)
		if (w->op[i].kind == OP_DELETE && r->start <= w->done[i + 1])
			return true;
	return refuse("rule 6: nothing was seen at %llu..%llu, but there was something", (unsigned long long) r->start,
				  (unsigned long long) r->end);
}

/* check_reads -- in the order of their starts, beside the same reads in the order of their ends. */
static bool
check_reads(const Writes *w, const Op *read, size_t count, const Op **ended)
{
	size_t		e = 0;
	Lsn			known = 0;		/* the highest version seen by a look that has ended */

	for (size_t i = 0; i < count; i++)
		ended[i] = &read[i];
	qsort(ended, count, sizeof(Op *), by_end);
	for (size_t i = 0; i < count; i++)
	{
		for (; e < count && ended[e]->end < read[i].start; e++)
			if (ended[e]->kind != OP_SAW_NOTHING)
				known = Max(known, ended[e]->version);
		if (read[i].kind == OP_SAW_NOTHING)
		{
			if (!check_nothing(w, &read[i], first_above(w, known)))
				return false;
		}
		else if (!check_seen(w, &read[i]))
			return false;
		else if (read[i].version < known)
			return refuse("rule 4: version %llu was seen after %llu had been", (unsigned long long) read[i].version,
						  (unsigned long long) known);
	}
	return true;
}

/* check_history -- sorts 'op'; true, or verdict says what is wrong. */
static bool
check_history(Op *op, size_t count)
{
	Writes		w = {NULL, 0, calloc(count + 1, 8), calloc(count + 2, 8)};
	const Op  **ended = calloc(count + 1, sizeof(Op *));
	bool		good = true;

	Verify(w.begun != NULL && w.done != NULL && ended != NULL);
	verdict[0] = '\0';
	qsort(op, count, sizeof(Op), by_key_kind_version);
	for (size_t at = 0; at < count && good;)
	{
		size_t		reads;
		size_t		next;

		for (reads = at; reads < count && op[reads].key == op[at].key && op[reads].kind < OP_SAW_VALUE; reads++)
			;
		for (next = reads; next < count && op[next].key == op[at].key; next++)
			;
		w.op = op + at;
		w.count = reads - at;
		good = check_writes(&w) && check_reads(&w, op + reads, next - reads, ended);
		at = next;
	}
	free(w.begun);
	free(w.done);
	free(ended);
	return good;
}

/* ---- histories made by hand ---- */

static void
judge(const Op *made, size_t count, const char *wanted)
{
	Op			op[16];

	memcpy(op, made, count * sizeof(Op));
	if (check_history(op, count) != (wanted == NULL))
		fail_msg("expected %s, got \"%s\"", wanted != NULL ? wanted : "no complaint", verdict);
	if (wanted != NULL)
		assert_memory_equal(verdict, wanted, strlen(wanted));
}

#define JUDGE(wanted, ...)                                  \
	do {                                                    \
		static const Op made[] = {__VA_ARGS__};             \
		judge(made, lengthof(made), wanted);                \
	} while (0)

static void
test_checker(void **state)
{
	(void) state;
	/* start, end, version, key, kind */
	JUDGE(NULL, {1, 2, 10, 0, OP_PUT}, {3, 4, 10, 0, OP_SAW_VALUE}, {5, 6, 20, 0, OP_DELETE}, {7, 8, 20, 0, OP_SAW_TOMBSTONE},
		  {9, 10, 0, 0, OP_SAW_NOTHING}, {11, 12, 30, 0, OP_PUT}, {13, 14, 30, 0, OP_SAW_VALUE});
	/* overlapping operations may be seen either way */
	JUDGE(NULL, {1, 20, 10, 0, OP_PUT}, {2, 19, 20, 0, OP_PUT}, {3, 4, 10, 0, OP_SAW_VALUE}, {5, 6, 20, 0, OP_SAW_VALUE});
	JUDGE(NULL, {1, 20, 10, 0, OP_PUT}, {2, 3, 0, 0, OP_SAW_NOTHING}, {4, 5, 10, 0, OP_SAW_VALUE});
	/* other keys do not matter */
	JUDGE(NULL, {1, 2, 20, 0, OP_PUT}, {3, 4, 10, 1, OP_PUT}, {5, 6, 0, 2, OP_SAW_NOTHING});
	JUDGE("rule 1", {1, 2, 20, 0, OP_PUT}, {3, 4, 10, 0, OP_PUT});
	JUDGE("rule 1", {1, 2, 30, 0, OP_PUT}, {1, 9, 20, 0, OP_PUT}, {5, 8, 10, 0, OP_DELETE});
	JUDGE("rule 2", {5, 6, 10, 0, OP_PUT}, {1, 2, 10, 0, OP_SAW_VALUE});
	JUDGE("rule 2", {1, 9, 20, 0, OP_PUT}, {2, 3, 20, 0, OP_SAW_VALUE}, {4, 8, 10, 0, OP_PUT});
	JUDGE("rule 3", {1, 2, 10, 0, OP_PUT}, {3, 4, 20, 0, OP_PUT}, {5, 6, 10, 0, OP_SAW_VALUE});
	JUDGE("rule 4", {1, 20, 10, 0, OP_PUT}, {2, 19, 20, 0, OP_PUT}, {3, 4, 20, 0, OP_SAW_VALUE}, {5, 6, 10, 0, OP_SAW_VALUE});
	JUDGE("rule 5", {1, 2, 10, 0, OP_PUT}, {3, 4, 11, 0, OP_SAW_VALUE});
	JUDGE("rule 5", {1, 2, 10, 0, OP_PUT}, {3, 4, 10, 0, OP_SAW_TOMBSTONE});
	JUDGE("rule 5", {1, 2, 10, 0, OP_PUT}, {1, 3, 10, 0, OP_PUT});
	JUDGE("rule 6", {1, 2, 10, 0, OP_PUT}, {3, 4, 0, 0, OP_SAW_NOTHING});
	JUDGE("rule 6", {1, 2, 10, 0, OP_DELETE}, {3, 4, 20, 0, OP_PUT}, {5, 6, 0, 0, OP_SAW_NOTHING});
	JUDGE("rule 6", {1, 9, 10, 0, OP_DELETE}, {2, 8, 20, 0, OP_PUT}, {3, 4, 20, 0, OP_SAW_VALUE}, {5, 6, 0, 0, OP_SAW_NOTHING});
	JUDGE("rule 6", {1, 9, 10, 0, OP_PUT}, {2, 3, 10, 0, OP_SAW_VALUE}, {4, 5, 0, 0, OP_SAW_NOTHING});
}

/* ---- the processes ---- */

typedef struct Log
{
	uint64		count;
	Op			op[OPS_MAX];
} Log;

static Log *history;			/* one per process, shared */
static uint64 ops_per_process;
static bool broken;				/* publish by a plain store */

static uint32
make_key(uint32 n, uint8 *key)
{
	/* few keys, in nodes that grow, shrink, split and collapse as they come and go */
	switch (n % 4)
	{
		case 0:
			return (uint32) sprintf((char *) key, "hot%c", 'a' + n);
		case 1:
			memset(key, 'p', n);
			return n;
		case 2:
			memset(key, 'L', 40);
			key[n] = 'x';
			return 40;
		default:
			return (uint32) sprintf((char *) key, "pair%u/%s", n / 8, n % 8 > 3 ? "left" : "right");
	}
}

static uint64
tick(void)
{
	return atomic_fetch_add(&shared->clock, 1);
}

/*
 * write_broken -- the store's steps with a store instead of the CAS.  What it
 * replaces is leaked: it may have been replaced by another, as well.
 */
static Lsn
write_broken(const uint8 *key, uint32 len, bool delete)
{
	BytePart	part = {"b", 1};
	ArtPos		pos;
	Off			leaf;
	Lsn			lsn;

	for (;;)
	{
		epoch_enter();
		if (art_locate(&shared->root, key, len, &pos) == ART_OK &&
			(leaf = leaf_build(key, (uint16) len, &part, delete ? 0 : 1, delete ? LEAF_TOMBSTONE : 0, 0)) != MEM_NONE &&
			art_prepare(&pos, leaf) == ART_OK)
			break;
		epoch_leave();
		Verify(mem_grow() == 0);
	}
	test_pause();
	lsn = atomic_fetch_add(&shared->lsn, 64) + 64;
	((Leaf *) seg_ptr(leaf))->lsn = lsn;
	test_pause();
	if (pos.leaf != NULL)
		atomic_store(pos.slot, slot_word(pos.key_bits, TAG_LEAF, leaf));
	else if (!art_publish(&pos, leaf))
		lsn = 0;
	epoch_leave();
	return lsn;
}

static void
one_op(Op *op, uint64 *rng)
{
	uint8		key[64];
	uint8		value[16];
	uint32		len;
	uint64		what = test_random(rng) % 100;
	Lsn			seen = 0;

	op->key = (uint32) (test_random(rng) % KEYS);
	len = make_key(op->key, key);
	memset(value, (int) op->key, sizeof(value));
	op->start = tick();
	if (what < 50)
	{
		const Leaf *l;

		epoch_enter();
		l = art_lookup(&shared->root, key, len);
		if (l == NULL)
			op->kind = OP_SAW_NOTHING;
		else
		{
			op->kind = (leaf_flags(l) & LEAF_TOMBSTONE) ? OP_SAW_TOMBSTONE : OP_SAW_VALUE;
			op->version = l->lsn;
		}
		epoch_leave();
	}
	else if (broken)
	{
		op->kind = what < 85 ? OP_PUT : OP_DELETE;
		op->version = write_broken(key, len, op->kind == OP_DELETE);
	}
	else
	{
		TestWrite	write = what < 75 ? TEST_PUT : what < 85 ? TEST_PUT_NEW : TEST_DELETE;

		op->version = test_write(key, len, value, (uint32) (test_random(rng) % 16), write, 8 + test_random(rng) % 4096 * 8, &seen);
		op->kind = write == TEST_DELETE ? OP_DELETE : OP_PUT;
		if (op->version == 0)
		{
			/* refused: what it saw is an answer, too */
			op->version = seen;
			op->kind = write == TEST_PUT_NEW ? OP_SAW_VALUE : seen == 0 ? OP_SAW_NOTHING : OP_SAW_TOMBSTONE;
		}
	}
	op->end = tick();
}

static void
work(uint32 me)
{
	Log		   *mine = &history[me - 1];
	uint64		rng = test_seed() * 53 + me;

	my_slot = proc_slot(me);
	test_pause_rng = rng;
	if (broken)
		alarm(60);				/* a tree that was broken may hold somebody for ever */
	atomic_fetch_add(&shared->arrived, 1);
	while (atomic_load(&shared->arrived) < PROCESSES)
		sched_yield();
	for (uint64 i = 0; i < ops_per_process; i++)
	{
		memset(&mine->op[mine->count], 0, sizeof(Op));
		one_op(&mine->op[mine->count], &rng);
		if (mine->op[mine->count].version != 0 || mine->op[mine->count].kind == OP_SAW_NOTHING)
			mine->count++;
		if (i % 32 == 0)
			mem_keep_ahead();
	}
	atomic_fetch_add(&shared->stop, 1);
}

static Lsn	sweep_horizon;

static bool
may_go(const Leaf *l, void *arg)
{
	(void) arg;
	return (leaf_flags(l) & LEAF_TOMBSTONE) && l->lsn <= sweep_horizon;
}

static void
sweep(void)
{
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	uint64		removed = 0;

	my_slot = proc_slot(SWEEPER);
	while (atomic_load(&shared->stop) < PROCESSES)
	{
		sweep_horizon = test_completed();
		if (art_sweep(&shared->root, NULL, 0, from, &from_len, 5, may_go, NULL, &removed))
			from_len = 0;
		mem_keep_ahead();
		sched_yield();
	}
	atomic_store(&shared->clock, removed);	/* nobody needs ticks any more: the parent prints it */
}

static pid_t
fork_one(uint32 slot)
{
	pid_t		pid = fork();

	if (pid == 0)
	{
		if (slot == SWEEPER)
			sweep();
		else
			work(slot);
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

/*
 * run -- all processes; what they wrote down, in one array, or NULL: an
 * invariant of the tree did not hold in one of them.  That may be so with the
 * broken writer only, whose plain store also undoes a freeze.
 */
static Op *
run(uint64 ops, bool with_broken, size_t *count)
{
	pid_t		pid[SLOTS];
	int			children = 0;
	bool		aborted = false;
	Op		   *all;

	segment_create_private(test_regions, lengthof(test_regions), 128 * MIB, 0, SLOTS);
	proc_attach(0);
	ops_per_process = Min(ops, OPS_MAX);
	broken = with_broken;
	history = mmap(NULL, sizeof(Log) * PROCESSES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(history != MAP_FAILED);
	for (uint32 i = 1; i <= PROCESSES; i++)
		pid[children++] = fork_one(i);
	if (!broken)
		pid[children++] = fork_one(SWEEPER);
	for (int i = 0; i < children; i++)
	{
		int			status;

		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		if (broken && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		{
			for (int j = i + 1; j < children && !aborted; j++)
				kill(pid[j], SIGKILL);
			aborted = true;
			continue;
		}
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	if (aborted)
	{
		munmap(history, sizeof(Log) * PROCESSES);
		return NULL;
	}
	*count = 0;
	for (uint32 i = 0; i < PROCESSES; i++)
		*count += history[i].count;
	all = malloc((*count + 1) * sizeof(Op));
	assert_non_null(all);
	*count = 0;
	for (uint32 i = 0; i < PROCESSES; i++)
	{
		memcpy(all + *count, history[i].op, history[i].count * sizeof(Op));
		*count += history[i].count;
	}
	munmap(history, sizeof(Log) * PROCESSES);
	return all;
}

static bool
any(const Leaf *l, void *arg)
{
	(void) l;
	(void) arg;
	return true;
}

static void
test_history(void **state)
{
	size_t		count;
	size_t		kinds[5] = {0};
	Op		   *all = run(test_rounds("ARTERY_HISTORY_OPS", TEST_TSAN ? 30000 : 200000), false, &count);
	ArtStats	stats;
	char		err[200];
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	uint64		removed = 0;

	(void) state;
	for (size_t i = 0; i < count; i++)
		kinds[all[i].kind]++;
	print_message("# %zu puts, %zu deletes, seen: %zu values, %zu tombstones, %zu times nothing; %llu tombstones dropped\n",
				  kinds[OP_PUT], kinds[OP_DELETE], kinds[OP_SAW_VALUE], kinds[OP_SAW_TOMBSTONE], kinds[OP_SAW_NOTHING],
				  (unsigned long long) atomic_load(&shared->clock));
	if (!check_history(all, count))
		fail_msg("%s", verdict);
	for (uint32 i = 0; i < 5; i++)
		assert_true(kinds[i] > 0);
	free(all);

	epoch_enter();
	if (!art_check(&shared->root, &stats, err, sizeof(err)))
		fail_msg("%s", err);
	epoch_leave();
	assert_true(stats.leaves <= KEYS);
	/* nodes that lost their last leaf at a bad moment are met by the key that comes back */
	for (uint32 n = 0; n < KEYS; n++)
	{
		uint8		key[64];
		uint32		len = make_key(n, key);

		assert_int_not_equal(test_write(key, len, "", 0, TEST_PUT, 64, NULL), 0);
	}
	while (!art_sweep(&shared->root, NULL, 0, from, &from_len, 100, any, NULL, &removed))
		mem_reclaim();
	assert_int_equal(removed, KEYS);
	assert_int_equal(atomic_load(&shared->root.slot), 0);
	test_reclaim_all(SLOTS);
	assert_int_equal(mem_live_blocks(), 0);
}

static void
test_broken_twin_is_caught(void **state)
{
	(void) state;
	for (int attempt = 0; attempt < 20; attempt++)
	{
		size_t		count;
		Op		   *all = run(8000, true, &count);
		bool		aborted = all == NULL;
		bool		good = !aborted && check_history(all, count);

		free(all);
		segment_destroy();
		if (!good)
		{
			print_message("# publishing without CAS: %s\n", aborted ? "an invariant of the tree is broken" : verdict);
			return;
		}
	}
	fail_msg("publishing without CAS was not noticed");
}

static int
teardown(void **state)
{
	(void) state;
	segment_destroy();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checker),
		cmocka_unit_test_teardown(test_history, teardown),
		cmocka_unit_test(test_broken_twin_is_caught),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	print_message("# ARTERY_SEED=%llu\n", (unsigned long long) test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
