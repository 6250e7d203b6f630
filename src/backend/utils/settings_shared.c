/*
 * settings_shared.c -- CONFIG SET for all processes, through the segment.
 *
 * SettingsShared holds the texts that CONFIG SET gave, in two copies.  Copy
 * (generation & 1) is in force and is not written; a setter, under the lock,
 * makes the other copy whole and then raises the generation.  So a setter that
 * dies at any instruction leaves either the old set or the new one, never half.
 *
 *   setter:  lock; fill copy (g + 1) & 1; generation := g + 1 (release)
 *   reader:  g := generation (acquire); read copy g & 1; if generation is still
 *            g, what was read is whole; else again
 *
 * The lock is a robust process-shared mutex, taken by setters only, for the time
 * of one copy; it is needed because two setters would fill the same copy.  If
 * its owner died, the next one takes it over as it is: the copy in force is
 * whole.  If its owner stands still, the wait ends after LOCK_WAIT_MS with an
 * error to the client.
 *
 * A crash restart makes a new segment, hence an empty table: what CONFIG SET
 * gave is gone then, as it is after a stop.
 */
#include "utils/settings_internal.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define SETTINGS_SHARED_MAGIC 0x53544553
#define LOCK_WAIT_MS 50
#define VALUE_WORDS (SETTING_VALUE_MAX / sizeof(uint64))

/*
 * SettingsCopy -- one set of CONFIG SET texts.  Words, because a reader may look
 * while a setter two generations ahead writes; relaxed, because the generation
 * orders them (and a reader that was overtaken throws away what it read).
 */
typedef struct SettingsCopy
{
	_Atomic uint64 present[SETTING_COUNT];		/* 1: this setting was set */
	_Atomic uint64 text[SETTING_COUNT][VALUE_WORDS];
} SettingsCopy;

typedef struct SettingsShared
{
	uint32		magic;				/* constant after start */
	pthread_mutex_t lock;			/* setters; robust */
	alignas(CACHE_LINE) _Atomic uint64 generation;	/* 0: nothing was ever set; written under the lock */
	alignas(CACHE_LINE) SettingsCopy copy[2];		/* [generation & 1] in force, the other guarded by lock */
} SettingsShared;

static SettingsShared *shared;		/* NULL: no segment (tools, unit tests) */
static uint64 applied_generation;	/* what this process has in force */

size_t
settings_region_size(void)
{
	return sizeof(SettingsShared);
}

/* settings_region_init -- in fresh, zeroed memory; the caller and what it forks use this region from now on. */
void
settings_region_init(void *region)
{
	pthread_mutexattr_t attr;

	shared = region;
	shared->magic = SETTINGS_SHARED_MAGIC;
	Verify(pthread_mutexattr_init(&attr) == 0);
	Verify(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
	Verify(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
	Verify(pthread_mutex_init(&shared->lock, &attr) == 0);
	(void) pthread_mutexattr_destroy(&attr);
	applied_generation = 0;
}

/* copy_get -- the text of one setting; false: not set in this copy.  The caller checks the generation afterwards. */
static bool
copy_get(SettingsCopy *copy, int index, char *text)
{
	uint64		words[VALUE_WORDS];

	/* relaxed: the generation, read before and after, decides whether this counts */
	if (atomic_load_explicit(&copy->present[index], memory_order_relaxed) == 0)
		return false;
	for (size_t i = 0; i < VALUE_WORDS; i++)
		/* relaxed: as above */
		words[i] = atomic_load_explicit(&copy->text[index][i], memory_order_relaxed);
	memcpy(text, words, SETTING_VALUE_MAX);
	text[SETTING_VALUE_MAX - 1] = '\0';
	return true;
}

/* copy_put -- the lock is held and nobody who trusts this copy reads it; text NULL: not set. */
static void
copy_put(SettingsCopy *copy, int index, const char *text)
{
	uint64		words[VALUE_WORDS] = {0};

	if (text != NULL)
		memcpy(words, text, strnlen(text, SETTING_VALUE_MAX - 1));
	for (size_t i = 0; i < VALUE_WORDS; i++)
		/* relaxed: published by the generation */
		atomic_store_explicit(&copy->text[index][i], words[i], memory_order_relaxed);
	/* relaxed: as above */
	atomic_store_explicit(&copy->present[index], text != NULL, memory_order_relaxed);
}

/* lock_setters -- false: another process holds the lock and does not move. */
static bool
lock_setters(void)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int			error = pthread_mutex_trylock(&shared->lock);

	/* tries, not a timed lock: its clock may be set back, and others hold it for microseconds */
	for (int tries = 0; error == EBUSY && tries < LOCK_WAIT_MS; tries++)
	{
		(void) nanosleep(&pause, NULL);
		error = pthread_mutex_trylock(&shared->lock);
	}
	if (error == EOWNERDEAD)
	{
		/* its owner died: only the copy not in force can be half written, and we write it anew */
		Verify(pthread_mutex_consistent(&shared->lock) == 0);
		error = 0;
	}
	return error == 0;
}

/*
 * read_stable -- the set in force into texts[] ("present" in has[]); its generation.
 * Bounded in practice by the rate of CONFIG SET.
 */
static uint64
read_stable(bool *has, char (*texts)[SETTING_VALUE_MAX])
{
	for (;;)
	{
		uint64		g = atomic_load_explicit(&shared->generation, memory_order_acquire);	/* acquire [settings-generation] */

		for (int i = 0; i < SETTING_COUNT; i++)
			has[i] = copy_get(&shared->copy[g & 1], i, texts[i]);
		/* acquire [settings-overtaken]: a setter's fence stands before its first word in this copy */
		atomic_thread_fence(memory_order_acquire);
		/* relaxed: the fence orders it behind the words */
		if (atomic_load_explicit(&shared->generation, memory_order_relaxed) == g)
			return g;
	}
}

/*
 * settings_apply_shared -- take over what any process set since the last call.
 * Every process that has attached, once per turn of its loop, outside an epoch.
 */
void
settings_apply_shared(void)
{
	static char texts[SETTING_COUNT][SETTING_VALUE_MAX];
	bool		has[SETTING_COUNT];

	if (shared == NULL)
		return;
	/* relaxed: a change may be seen one turn later; read_stable() orders what follows */
	if (likely(atomic_load_explicit(&shared->generation, memory_order_relaxed) == applied_generation))
		return;
	Verify(shared->magic == SETTINGS_SHARED_MAGIC);
	applied_generation = read_stable(has, texts);
	for (int i = 0; i < SETTING_COUNT; i++)
		if (has[i])
			settings__set_live_layer(i, texts[i]);
	settings__install_live();
}

/* write_next -- the lock is held: the other copy := the one in force plus the changes; publish. */
static void
write_next(const char *const *names, const char *const *values, int count)
{
	/* relaxed: only the owner of the lock writes it */
	uint64		g = atomic_load_explicit(&shared->generation, memory_order_relaxed);
	SettingsCopy *from = &shared->copy[g & 1];
	SettingsCopy *to = &shared->copy[(g + 1) & 1];
	char		text[SETTING_VALUE_MAX];

	/*
	 * Readers of generation g - 1 may still read 'to'.  release [settings-overtaken]:
	 * whoever sees one of the words below sees generation >= g after its own
	 * fence, and so throws them away.
	 */
	atomic_thread_fence(memory_order_release);
	for (int i = 0; i < SETTING_COUNT; i++)
		copy_put(to, i, copy_get(from, i, text) ? text : NULL);
	for (int i = 0; i < count; i++)
		copy_put(to, settings__find(names[i]), values[i]);
	atomic_store_explicit(&shared->generation, g + 1, memory_order_release);	/* release [settings-generation] */
}

/*
 * settings_set_shared -- CONFIG SET: all of them, in all processes, or none.
 *
 * Any process, outside an epoch; waits at most LOCK_WAIT_MS.  In force here when
 * it returns true, elsewhere at the next turn of each loop.
 */
bool
settings_set_shared(const char *const *names, const char *const *values, int count, char *err, size_t err_size)
{
	bool		good;

	if (shared == NULL)
	{
		if (!settings__check_live(names, values, count, err, err_size))
			return false;
		for (int i = 0; i < count; i++)
			settings__set_live_layer(settings__find(names[i]), values[i]);
		settings__install_live();
		return true;
	}
	if (!lock_setters())
	{
		(void) snprintf(err, err_size, "another process is changing settings, try again");
		return false;
	}
	settings_apply_shared();	/* what others set counts in the check of this set */
	good = settings__check_live(names, values, count, err, err_size);
	if (good)
		write_next(names, values, count);
	Verify(pthread_mutex_unlock(&shared->lock) == 0);
	if (good)
		settings_apply_shared();
	return good;
}
