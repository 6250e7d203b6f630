/*
 * art_complete.c -- the overlay as a cache over a base, under threads: a miss below
 * COMPLETE is a definite no, and nothing is lost between the two.
 *
 * Goal: whatever is evicted, promoted, filled in, swept, written and merged at the
 * same time, a reader finds each key's newest version, in memory or in the base; who
 * is told that a key is nowhere is told the truth; each version replaces the one
 * before it.  Method: the base is an array of one word per key (lsn, present).  One
 * thread stands for checkpointer and evictor: it merges leaves into the array, and a
 * grace period later they may go; it evicts, sweeps, fills.  Writers decide by what
 * they find, promote now and then, and write down which version they replaced;
 * readers and walkers compare.
 *
 * Twins that must fail: an eviction that does not wait for its grace period, one that
 * does not clear COMPLETE, a reader that asks for COMPLETE after it has looked.
 * ARTERY_ART_MS lengthens it, ARTERY_SEED repeats the random choices.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "art_keys.h"

#define SLOTS 8
#define WRITERS 3
#define READERS 3			/* slots behind the writers' */
#define EVICTOR (WRITERS + READERS + 1)
#define LOG_MAX 200000

/* Version -- of a key, as base and readers know it: lsn << 1 | present */
typedef uint64 Version;

static _Atomic Version base[KEYS_MAX];
static Lsn	may_go_lsn[KEYS_MAX];	/* the evictor's: the base holds this version, and everybody knows */
static uint64 deadline_us;
static bool looks_first;			/* broken twin: COMPLETE is asked for behind the lookup */
static bool until_violated;

static _Atomic uint64 violations;
static char violation[200];

/* Written -- one version that a writer has published, and the one that it replaced */
typedef struct Written
{
	uint32		key;
	Lsn			before;
	Lsn			lsn;
} Written;

static Written written[WRITERS + 1][LOG_MAX];
static uint32 written_count[WRITERS + 1];

static _Atomic uint64 total_reads, total_nowhere, total_from_base, total_promoted, total_walks, total_evicted, total_nodes,
			total_fills, total_swept, total_copied;

static void attribute_printf(1, 2)
violated(const char *fmt, ...)
{
	va_list		args;

	if (atomic_fetch_add(&violations, 1) > 0)
		return;
	va_start(args, fmt);
	vsnprintf(violation, sizeof(violation), fmt, args);
	va_end(args);
}

static bool
time_is_up(void)
{
	return clock_mono_us() >= deadline_us || (until_violated && atomic_load(&violations) > 0);
}

static Version
version_of(const Leaf *l)
{
	return l->lsn << 1 | ((leaf_flags(l) & LEAF_TOMBSTONE) == 0);
}

/*
 * absent -- no leaf: the version is the base's, 'b', read in this epoch before the
 * overlay.  (As long as we are inside, what is merged meanwhile keeps its leaf.)
 */
static Version
absent(uint32 n, bool complete, Version b)
{
	if (complete)
	{
		atomic_fetch_add(&total_nowhere, 1);
		if (b & 1)
			violated("key %u is said to be nowhere, the base has version %llu", n, (unsigned long long) (b >> 1));
	}
	else
		atomic_fetch_add(&total_from_base, 1);
	return b;
}

/* ---- writers ---- */

static Off
build(uint32 n, bool tombstone)
{
	uint8		value[KEY_BYTES * 4];
	BytePart	part = {value, make_value(&key[n], value, n % 5)};

	return leaf_build(key[n].byte, (uint16) key[n].len, &part, 1, tombstone ? LEAF_TOMBSTONE : 0, 0);
}

/* no_memory -- outside an epoch. */
static void
no_memory(void)
{
	for (int refused = 0; mem_grow() != 0; refused++)
		Verify(refused < 10000);
}

/* promote -- what the base has comes into memory, if nothing is there; in the caller's epoch. */
static void
promote(uint32 n, Version b)
{
	ArtPos		pos;
	Off			leaf;

	if (art_locate(&shared->root, key[n].byte, key[n].len, &pos) != ART_OK || pos.leaf != NULL)
		return;
	leaf = build(n, false);
	if (leaf == MEM_NONE)
		return;
	((Leaf *) seg_ptr(leaf))->lsn = b >> 1;
	if (art_prepare(&pos, leaf) != ART_OK || !art_raise_dirty(&pos, b >> 1) || !art_publish(&pos, leaf))
	{
		art_abandon(&pos);
		leaf_free(leaf);
		return;
	}
	atomic_fetch_add(&total_promoted, 1);
}

/* copy_head -- the same version in another block, as a checkpointer does that releases links; in the caller's epoch. */
static void
copy_head(uint32 n)
{
	Leaf	   *l = art_lookup(&shared->root, key[n].byte, key[n].len);
	Off			copy = l != NULL ? leaf_copy(l, LEAF_HAS_LINK) : MEM_NONE;

	if (copy == MEM_NONE)
		return;
	if (art_replace_leaf(&shared->root, key[n].byte, key[n].len, l, copy))
	{
		leaf_retire_shell(seg_off(l));
		atomic_fetch_add(&total_copied, 1);
	}
	else
		leaf_free_shell(copy);
}

static void
note(uint32 me, uint32 n, Version before, Lsn lsn)
{
	Written    *w = &written[me][written_count[me]++];

	if (before >> 1 >= lsn)
		violated("key %u: version %llu written over %llu", n, (unsigned long long) lsn, (unsigned long long) (before >> 1));
	w->key = n;
	w->before = before >> 1;
	w->lsn = lsn;
}

/* try_write -- one attempt, as the store does it; false: start over. */
static bool
try_write(uint32 me, uint32 n, bool delete, bool only_new)
{
	Version		b = atomic_load(&base[n]);
	Version		before;
	ArtPos		pos;
	Off			leaf;
	Lsn			lsn;

	if (art_locate(&shared->root, key[n].byte, key[n].len, &pos) != ART_OK)
		return false;
	test_pause();
	before = pos.leaf != NULL ? version_of(pos.leaf) : absent(n, pos.complete, b);
	if (delete ? (before & 1) == 0 : only_new && (before & 1) != 0)
		return true;
	leaf = build(n, delete);
	if (leaf == MEM_NONE)
		return false;
	if (art_prepare(&pos, leaf) != ART_OK)
	{
		art_abandon(&pos);
		leaf_free(leaf);
		return false;
	}
	atomic_store(&shared->start[me], atomic_load(&shared->lsn) + 1);
	lsn = atomic_fetch_add(&shared->lsn, 4096) + 4096;
	((Leaf *) seg_ptr(leaf))->lsn = lsn;
	test_pause();
	if (!art_raise_dirty(&pos, lsn))
		goto again;
	if (pos.leaf != NULL && pos.leaf->lsn > test_completed())
		art_mark_seen(pos.leaf);
	if (!art_publish(&pos, leaf))
		goto again;
	test_leave();
	if (pos.leaf != NULL)
		leaf_retire(seg_off(pos.leaf));
	note(me, n, before, lsn);
	return true;

again:
	test_leave();
	art_abandon(&pos);
	leaf_free(leaf);
	return false;
}

static void *
writer(void *arg)
{
	uint32		me = (uint32) (uintptr_t) arg;
	uint64		rng = test_seed() * 31 + me;

	my_slot = proc_slot(me);
	test_pause_rng = rng;
	while (!time_is_up() && written_count[me] < LOG_MAX)
	{
		/* mostly in one part of the keys, so that the others come to rest, are merged and go */
		uint64		phase = atomic_load_explicit(&shared->lsn, memory_order_relaxed) / (4096 * 3000);
		uint32		n = (uint32) ((phase * 104729 + test_random(&rng) % (test_random(&rng) % 8 == 0 ? key_count : 40)) % key_count);
		bool		delete = test_random(&rng) % 100 < (phase % 2 ? 75 : 20);
		bool		only_new = test_random(&rng) % 3 == 0;
		bool		done;

		do
		{
			epoch_enter();
			done = try_write(me, n, delete, only_new);
			epoch_leave();
			if (!done)
				no_memory();
		} while (!done);
		mem_keep_ahead();
	}
	return NULL;
}

/* ---- readers ---- */

static void
read_one(uint32 n, uint64 *rng, Version *last)
{
	Version		b = atomic_load(&base[n]);
	bool		complete = false;
	const Leaf *l;
	Version		v;

	if (looks_first)
	{
		l = art_lookup(&shared->root, key[n].byte, key[n].len);
		test_pause();
		complete = art_prefix_complete(&shared->root, key[n].byte, key[n].len);
	}
	else if (test_random(rng) % 2)
	{
		/* as a walk does it */
		complete = art_prefix_complete(&shared->root, key[n].byte, key[n].len);
		test_pause();
		l = art_lookup(&shared->root, key[n].byte, key[n].len);
	}
	else
		l = art_lookup_complete(&shared->root, key[n].byte, key[n].len, &complete);
	if (l != NULL)
	{
		check_value(l, &key[n]);
		if (test_random(rng) % 4 == 0)
			art_mark_recent((Leaf *) (uintptr_t) l);
	}
	v = l != NULL ? version_of(l) : absent(n, complete, b);
	if (v >> 1 < *last >> 1 || (v >> 1 == *last >> 1 && v != *last))
		violated("key %u: version %llu after %llu", n, (unsigned long long) v, (unsigned long long) *last);
	*last = v;
	if (l == NULL && !complete && (b & 1) && test_random(rng) % 4 == 0)
		promote(n, b);
}

/* walk -- all keys with a prefix below COMPLETE: what does not come is nowhere. */
static void
walk(uint64 *rng, int which)
{
	static _Thread_local Version seen[KEYS_MAX];
	uint32		of = (uint32) (test_random(rng) % key_count);
	uint32		prefix_len = (uint32) (test_random(rng) % (key[of].len + 1));
	ArtCursor  *c = art_cursor(which);
	uint32		at = 0;
	bool		complete;
	Leaf	   *l;

	for (uint32 n = 0; n < key_count; n++)
		seen[n] = atomic_load(&base[n]);
	complete = art_prefix_complete(&shared->root, key[of].byte, prefix_len);
	if (!complete)
		return;
	test_pause();
	art_seek(c, &shared->root, key[of].byte, prefix_len, NULL, 0, false, false);
	do
	{
		l = art_next(c);
		for (; at < key_count && (l == NULL || !leaf__is(l, key[at].byte, key[at].len)); at++)
			if (key[at].len >= prefix_len && memcmp(key[at].byte, key[of].byte, prefix_len) == 0 && (seen[at] & 1))
				violated("key %u: not in a walk below COMPLETE, the base has version %llu", at,
						 (unsigned long long) (seen[at] >> 1));
		at++;
		if (at % 16 == 0)
			test_pause();
	} while (l != NULL);
	atomic_fetch_add(&total_walks, 1);
}

static void *
reader(void *arg)
{
	static _Thread_local Version last[KEYS_MAX];
	uint32		me = (uint32) (uintptr_t) arg;
	uint64		rng = test_seed() * 41 + me;

	my_slot = proc_slot(me);
	test_pause_rng = rng;
	for (uint64 i = 0; !time_is_up(); i++)
	{
		uint32		n = (uint32) (test_random(&rng) % key_count);

		epoch_enter();
		if (i % 64 == 0 && !looks_first)
			walk(&rng, (int) (me % 2));
		else if (i % 64 == 1)
			copy_head(n);
		else
			read_one(n, &rng, &last[n]);
		epoch_leave();
		atomic_fetch_add(&total_reads, 1);
		if (i % 16 == 0)
			mem_keep_ahead();
	}
	return NULL;
}

/* ---- checkpointer and evictor ---- */

static uint64 evictor_rng;

/* merge -- what is complete goes into the base; a grace period later it may go. */
static void
merge(void)
{
	uint32		first = (uint32) (test_random(&evictor_rng) % key_count);
	uint32		count = 1 + (uint32) (test_random(&evictor_rng) % key_count);

	for (uint32 i = 0; i < count; i++)
	{
		uint32		n = (first + i) % key_count;
		const Leaf *l;

		epoch_enter();
		l = art_lookup(&shared->root, key[n].byte, key[n].len);
		if (l != NULL && l->lsn <= test_completed())
			atomic_store(&base[n], version_of(l));
		epoch_leave();
	}
	epoch_wait_grace();
	for (uint32 n = 0; n < key_count; n++)
		may_go_lsn[n] = atomic_load(&base[n]) >> 1;
}

static bool
may_go(const Leaf *l, void *arg)
{
	(void) arg;
	if (atomic_fetch_and(&((Leaf *) (uintptr_t) l)->flags, (uint16) ~LEAF_RECENT) & LEAF_RECENT)
		return false;
	/* and it may change its mind */
	return may_go_lsn[key_number(l)] == l->lsn && test_random(&evictor_rng) % 16 != 0;
}

static bool
may_drop(const Leaf *l, void *arg)
{
	(void) arg;
	return (leaf_flags(l) & LEAF_TOMBSTONE) && may_go_lsn[key_number(l)] == l->lsn;
}

/* evict -- a few pieces; the leaves that went. */
static uint64
evict(void)
{
	static uint8 from[KEY_MAX];
	static uint32 from_len;
	ArtEvicted	out = {0};

	for (uint64 i = test_random(&evictor_rng) % 4; i < 4; i++)
		if (art_evict(&shared->root, from, &from_len, 1 + (uint32) (test_random(&evictor_rng) % 200), may_go, NULL, &out))
			from_len = 0;
	atomic_fetch_add(&total_evicted, out.leaves);
	atomic_fetch_add(&total_nodes, out.nodes);
	return out.leaves;
}

/* fill -- everything that the base has comes into memory; COMPLETE if nothing was evicted meanwhile. */
static void
fill(void)
{
	bool		evicting = false;
	bool		evicted = false;
	bool		filled;

	art_filling_begin(&shared->root);
	for (uint32 n = 0; n < key_count; n++)
	{
		bool		there = false;

		while (!there)
		{
			Version		b;

			epoch_enter();
			b = atomic_load(&base[n]);
			there = (b & 1) == 0 || art_lookup(&shared->root, key[n].byte, key[n].len) != NULL;
			if (!there)
				promote(n, b);
			epoch_leave();
			mem_keep_ahead();
		}
		if (test_random(&evictor_rng) % 2000 == 0)
		{
			evicting = true;
			evicted |= evict() > 0;
		}
	}
	filled = art_filling_end(&shared->root);
	/* a piece that meant to take something, and then did not, counts as an eviction, too */
	Verify(evicting ? !(filled && evicted) : filled);
	atomic_fetch_add(&total_fills, 1);
}

static void *
evictor(void *arg)
{
	static uint8 from[KEY_MAX];
	uint32		from_len = 0;
	uint64		swept = 0;

	my_slot = proc_slot((uint32) (uintptr_t) arg);
	evictor_rng = test_seed() * 37;
	test_pause_rng = evictor_rng;
	while (!time_is_up())
	{
		merge();
		for (uint64 i = test_random(&evictor_rng) % 8; i < 8; i++)
			(void) evict();
		if (test_random(&evictor_rng) % 2 == 0 &&
			art_sweep(&shared->root, NULL, 0, from, &from_len, 200, may_drop, NULL, &swept))
			from_len = 0;
		if (test_random(&evictor_rng) % 2 == 0)
			fill();
		mem_keep_ahead();
	}
	atomic_fetch_add(&total_swept, swept);
	return NULL;
}

/* ---- the whole ---- */

static int
compare_written(const void *a, const void *b)
{
	const Written *x = a;
	const Written *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->lsn < y->lsn ? -1 : x->lsn > y->lsn;
}

/* check_chains -- each version of a key has replaced the one before it, whether that was in memory or not. */
static void
check_chains(void)
{
	static Written all[(WRITERS + 1) * LOG_MAX];
	uint32		count = 0;

	for (uint32 w = 0; w <= WRITERS; w++)
	{
		memcpy(all + count, written[w], written_count[w] * sizeof(Written));
		count += written_count[w];
	}
	qsort(all, count, sizeof(Written), compare_written);
	for (uint32 i = 0; i < count; i++)
	{
		Lsn			before = i > 0 && all[i - 1].key == all[i].key ? all[i - 1].lsn : 0;

		if (all[i].before != before)
			violated("key %u: version %llu was written over %llu, not over %llu", all[i].key, (unsigned long long) all[i].lsn,
					 (unsigned long long) all[i].before, (unsigned long long) before);
	}
	/* and the last one is what is found now */
	epoch_enter();
	for (uint32 i = 0; i < count; i++)
		if (i + 1 == count || all[i + 1].key != all[i].key)
		{
			uint32		n = all[i].key;
			bool		complete;
			const Leaf *l = art_lookup_complete(&shared->root, key[n].byte, key[n].len, &complete);
			Version		v = l != NULL ? version_of(l) : absent(n, complete, atomic_load(&base[n]));

			if (v >> 1 != all[i].lsn)
				violated("key %u: version %llu is lost, %llu is there", n, (unsigned long long) all[i].lsn,
						 (unsigned long long) (v >> 1));
		}
	epoch_leave();
}

static void
storm(uint64 ms)
{
	pthread_t	thread[SLOTS];

	test_segment(64 * MIB, SLOTS);
	make_keys();
	for (uint32 n = 0; n < key_count; n++)
	{
		atomic_store(&base[n], 0);
		may_go_lsn[n] = 0;
	}
	memset(written_count, 0, sizeof(written_count));
	atomic_store(&violations, 0);
	atomic_store(&total_nowhere, 0);
	art_root_set_complete(&shared->root);
	deadline_us = clock_mono_us() + ms * 1000;
	for (uint32 i = 1; i < SLOTS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, i <= WRITERS ? writer : i < EVICTOR ? reader : evictor,
										(void *) (uintptr_t) i), 0);
	for (uint32 i = 1; i < SLOTS; i++)
		pthread_join(thread[i], NULL);
	check_chains();
}

static bool
any(const Leaf *l, void *arg)
{
	(void) l;
	(void) arg;
	return true;
}

static void
test_storm(void **state)
{
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	ArtEvicted	out = {0};
	ArtStats	stats;
	char		err[200];
	MemStats	mem;

	(void) state;
	storm(test_rounds("ARTERY_ART_MS", TEST_TSAN ? 12000 : 2500));
	print_message("# %u writes, %llu reads, %llu walks; missing keys %llu times known to be nowhere, %llu times not\n",
				  written_count[1] + written_count[2] + written_count[3], (unsigned long long) total_reads,
				  (unsigned long long) total_walks, (unsigned long long) total_nowhere, (unsigned long long) total_from_base);
	print_message("# %llu leaves and %llu nodes evicted, %llu promoted, %llu copied, %llu swept, filled %llu times\n",
				  (unsigned long long) total_evicted, (unsigned long long) total_nodes, (unsigned long long) total_promoted,
				  (unsigned long long) total_copied, (unsigned long long) total_swept, (unsigned long long) total_fills);
	if (violations > 0)
		fail_msg("%s", violation);
	assert_true(total_evicted > 500 && total_nodes > 50 && total_promoted > 100 && total_copied > 100);
	assert_true(total_nowhere > 500 && total_from_base > 500);
	assert_true(total_fills > 1 && total_walks > 10);
	epoch_enter();
	if (!art_check(&shared->root, &stats, err, sizeof(err)))
		fail_msg("%s", err);
	epoch_leave();
	while (!art_evict(&shared->root, from, &from_len, 500, any, NULL, &out))
		mem_reclaim();
	assert_int_equal(out.leaves, stats.leaves);
	assert_int_equal(atomic_load(&shared->root.slot), 0);
	test_reclaim_all(SLOTS);
	mem_stats(&mem);
	assert_int_equal(mem.used, 0);
	assert_int_equal(mem.lost, 0);
	assert_int_equal(mem_live_blocks(), 0);
}

/* ---- twins ---- */

#define TWIN_MS 30000			/* usually milliseconds */
#define TWIN_SECONDS 120

/* twin_fails -- in a process of its own: an assertion or a sanitizer may end it, or it may go round in what it has broken. */
static void
twin_fails(const char *what)
{
	char	   *told = mmap(NULL, sizeof(violation), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int			status;
	pid_t		pid;

	assert_true(told != MAP_FAILED);
	strcpy(told, "its process ended");
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		int			null = open("/dev/null", O_WRONLY);

		(void) dup2(null, STDOUT_FILENO);
		(void) dup2(null, STDERR_FILENO);
		(void) alarm(TWIN_SECONDS);
		until_violated = true;
		storm(TWIN_MS);
		memcpy(told, violation, sizeof(violation));
		_exit(atomic_load(&violations) > 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	print_message("# %s: %s\n", what, told);
	munmap(told, sizeof(violation));
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#ifdef ARTERY_ASSERT
static void
test_twin_no_grace(void **state)
{
	(void) state;
	art__twin_no_grace = true;
	twin_fails("no grace period");
	art__twin_no_grace = false;
}

static void
test_twin_no_clearing(void **state)
{
	(void) state;
	art__twin_no_clearing = true;
	twin_fails("COMPLETE not cleared");
	art__twin_no_clearing = false;
}
#endif

static void
test_twin_looks_first(void **state)
{
	(void) state;
	looks_first = true;
	twin_fails("COMPLETE asked for behind the lookup");
	looks_first = false;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_storm, test_teardown),
#ifdef ARTERY_ASSERT
		cmocka_unit_test(test_twin_no_grace),
		cmocka_unit_test(test_twin_no_clearing),
#endif
		cmocka_unit_test(test_twin_looks_first),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	print_message("# ARTERY_SEED=%llu\n", (unsigned long long) test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
