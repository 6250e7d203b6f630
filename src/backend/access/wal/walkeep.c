/*
 * walkeep.c -- named consumers, and the log that is kept for them.
 *
 * The table stands in shared memory, under a lock that is held for a few hundred
 * instructions; an acknowledgement changes a number there and nothing else.  The
 * checkpointer writes the table to DIR/consumers: another name, write, sync, rename,
 * sync of the directory.
 *
 * A file of its own, not records in the log: an acknowledgement would make log, which
 * would be news to read and to acknowledge; and it would cost a flush.  What that gives
 * up is the last second: after a crash a consumer may stand where it stood up to a
 * second before, so that it is shown again what it had acknowledged, never less.
 *
 * Why nothing is missing then.  Log is recycled by the file: wal_keep_from() writes
 * the table first, and goes by what it has written; if the write fails, by the lower
 * of what the file has and what the table has, consumer by consumer.  So at every
 * moment, whichever state of the file a crash leaves, the log from each position in
 * it on is there (or beyond wal_keep_size).  CREATE and DROP answer when the file has
 * them.
 *
 * The bound.  A consumer that is more than wal_keep_size behind holds nothing any
 * more; it is left behind as soon as a segment that it needs goes, which is logged
 * once, and its next read says COMPACTED.  It stays in the table until somebody drops
 * it or acknowledges a later position for it.  Feeds without a name hold nothing: they
 * have the log that recovery needs.
 *
 * Workers change the table, the checkpointer writes it, the startup process reads the
 * file.  If a process dies with the lock in hand all are restarted, and the file
 * counts.
 */
#include "access/wal/wal_keep.h"
#include "access/wal/wal_internal.h"

#include "common/crc32c.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <errno.h>

#define SAVE_EVERY_US 1000000
#define RETRY_US 1000000
#define LOCK_SPINS 2000
#define CONSUMERS_MAGIC UINT64_C(0x55534e4f43545241)
#define CONSUMERS_VERSION 1

/* ConsumersFile -- DIR/consumers */
typedef struct ConsumersFile
{
	uint64		magic;
	uint32		version;
	uint32		count;
	uint64		system_id;
	WalConsumer consumer[WAL_CONSUMERS];	/* the first 'count' */
	uint32		reserved;
	uint32		crc;			/* of all before */
} ConsumersFile;
static_assert(sizeof(ConsumersFile) == 24 + 80 * WAL_CONSUMERS + 8, "no holes");

typedef struct Consumers
{
	_Atomic uint32 lock;		/* 0, or its holder's slot + 1 */
	uint32		count;			/* under the lock, as is the table */
	WalConsumer consumer[WAL_CONSUMERS];
	bool		told[WAL_CONSUMERS];	/* that it was left behind */
	uint64		changes;		/* ever made to the table */
	alignas(CACHE_LINE) _Atomic uint64 wanted;	/* change that somebody waits for */
	_Atomic uint64 saved;		/* changes that the file has; release [wal-consumers] */
	_Atomic uint32 error;		/* errno of the last attempt; 0: it succeeded */
	/* the checkpointer's own: what the file has */
	ConsumersFile file;
	uint64		saved_us;
	uint64		retry_us;
} Consumers;

static Consumers *consumers;

size_t
wal__keep_size(void)
{
	return sizeof(Consumers);
}

void
wal__keep_init(void *part)
{
	consumers = part;
}

/* ---- the table ---- */

static bool
lock_table(void)
{
	for (int i = 0; i < LOCK_SPINS; i++)
	{
		uint32		nobody = 0;

		/* acquire [wal-consumers-lock]: the table as the last holder left it; relaxed: not had */
		if (atomic_compare_exchange_weak_explicit(&consumers->lock, &nobody, my_slot->number + 1, memory_order_acquire,
												  memory_order_relaxed))
			return true;
	}
	return false;
}

static void
unlock_table(void)
{
	atomic_store_explicit(&consumers->lock, 0, memory_order_release);	/* release [wal-consumers-lock] */
}

/* find -- index of a name, or -1. */
static int
find(const char *name)
{
	for (uint32 i = 0; i < consumers->count; i++)
		if (strcmp(consumers->consumer[i].name, name) == 0)
			return (int) i;
	return -1;
}

/* changed -- under the lock: the number of this change, which somebody waits for. */
static uint64
changed(void)
{
	uint64		change = ++consumers->changes;

	atomic_store_explicit(&consumers->wanted, change, memory_order_release);	/* release [wal-consumers-wanted] */
	return change;
}

WalConsumerStatus
wal_consumer_create(const char *name, Lsn position, uint64 *change)
{
	WalConsumer *c;
	WalConsumerStatus status = WAL_CONSUMER_OK;

	if (!lock_table())
		return WAL_CONSUMER_BUSY;
	if (find(name) >= 0)
		status = WAL_CONSUMER_EXISTS;
	else if (consumers->count == WAL_CONSUMERS)
		status = WAL_CONSUMER_FULL;
	else
	{
		c = &consumers->consumer[consumers->count];
		memset(c, 0, sizeof(*c));
		snprintf(c->name, sizeof(c->name), "%s", name);
		c->position = position;
		c->created_wall_us = clock_wall_us();
		consumers->told[consumers->count++] = false;
		*change = changed();
	}
	unlock_table();
	if (status == WAL_CONSUMER_OK)
		latch_set(proc_first_slot(PROC_CHECKPOINTER));
	return status;
}

WalConsumerStatus
wal_consumer_drop(const char *name, uint64 *change)
{
	int			i;

	if (!lock_table())
		return WAL_CONSUMER_BUSY;
	i = find(name);
	if (i >= 0)
	{
		size_t		behind = --consumers->count - (size_t) i;

		memmove(&consumers->consumer[i], &consumers->consumer[i + 1], behind * sizeof(consumers->consumer[0]));
		memmove(&consumers->told[i], &consumers->told[i + 1], behind * sizeof(consumers->told[0]));
		*change = changed();
	}
	unlock_table();
	if (i < 0)
		return WAL_CONSUMER_UNKNOWN;
	latch_set(proc_first_slot(PROC_CHECKPOINTER));
	return WAL_CONSUMER_OK;
}

WalConsumerStatus
wal_consumer_ack(const char *name, Lsn lsn, Lsn *position)
{
	int			i;

	if (!lock_table())
		return WAL_CONSUMER_BUSY;
	i = find(name);
	if (i >= 0)
	{
		WalConsumer *c = &consumers->consumer[i];

		if (lsn > c->position)
		{
			c->position = lsn;
			consumers->told[i] = false;
			consumers->changes++;
		}
		*position = c->position;
	}
	unlock_table();
	return i < 0 ? WAL_CONSUMER_UNKNOWN : WAL_CONSUMER_OK;
}

WalConsumerStatus
wal_consumer_find(const char *name, Lsn *position)
{
	int			i;

	if (!lock_table())
		return WAL_CONSUMER_BUSY;
	i = find(name);
	if (i >= 0)
		*position = consumers->consumer[i].position;
	unlock_table();
	return i < 0 ? WAL_CONSUMER_UNKNOWN : WAL_CONSUMER_OK;
}

WalConsumerStatus
wal_consumers_copy(WalConsumer *out, uint32 *count)
{
	if (!lock_table())
		return WAL_CONSUMER_BUSY;
	*count = consumers->count;
	memcpy(out, consumers->consumer, consumers->count * sizeof(*out));
	unlock_table();
	return WAL_CONSUMER_OK;
}

bool
wal_consumers_saved(uint64 change, int *error)
{
	*error = (int) atomic_load_explicit(&consumers->error, memory_order_relaxed);	/* relaxed: the reason, for people */
	return atomic_load_explicit(&consumers->saved, memory_order_acquire) >= change;	/* acquire [wal-consumers] */
}

/* ---- the file ---- */

static uint32
file_crc(const ConsumersFile *f)
{
	return crc32c_extend(0, f, offsetof(ConsumersFile, crc));
}

static void
file_names(const char *data_dir, char *path, char *temporary, size_t size)
{
	snprintf(path, size, "%s/consumers", data_dir);
	snprintf(temporary, size, "%s/consumers.tmp", data_dir);
}

/* write_file -- durable under its name, or errno. */
static int
write_file(const ConsumersFile *f)
{
	char		path[WAL_PATH_MAX];
	char		temporary[WAL_PATH_MAX];
	File	   *file;
	int			error;

	file_names(seg_control->data_dir, path, temporary, sizeof(path));
	error = file_open(temporary, FILE_WRITE | FILE_CREATE, 0600, &file);
	if (error != 0)
		return error;
	error = file_truncate(file, 0);
	if (error == 0)
		error = file_write(file, f, sizeof(*f), 0);
	if (error == 0)
		error = file_datasync(file);
	file_close(file);
	if (error == 0)
		error = file_rename(temporary, path);
	return error != 0 ? error : file_sync_directory(seg_control->data_dir);
}

/* take_table -- the table as it is now; false: somebody is at it for long. */
static bool
take_table(ConsumersFile *f, uint64 *change)
{
	memset(f, 0, sizeof(*f));
	if (!lock_table())
		return false;
	f->count = consumers->count;
	memcpy(f->consumer, consumers->consumer, f->count * sizeof(f->consumer[0]));
	*change = consumers->changes;
	unlock_table();
	return true;
}

/* save -- the file says what the table says; false: it could not be. */
static bool
save(void)
{
	ConsumersFile f;
	uint64		change;
	int			error;
	uint32		before = atomic_load_explicit(&consumers->error, memory_order_relaxed);	/* relaxed: we alone write it */

	if (!take_table(&f, &change))
		return false;
	/* relaxed: we alone write it */
	if (change == atomic_load_explicit(&consumers->saved, memory_order_relaxed))
		return true;
	f.magic = CONSUMERS_MAGIC;
	f.version = CONSUMERS_VERSION;
	f.system_id = seg_control->system_id;
	f.crc = file_crc(&f);
	error = write_file(&f);
	atomic_store_explicit(&consumers->error, (uint32) error, memory_order_relaxed);	/* relaxed: the reason, for people */
	if (error != 0)
	{
		consumers->retry_us = clock_mono_us() + RETRY_US;
		errno = error;
		if (before != (uint32) error)
			ereport(WARNING, "could not write the positions of consumers to \"%s/consumers\": %m", seg_control->data_dir);
		return false;
	}
	if (before != 0)
		ereport(LOG, "the positions of consumers can be written again");
	consumers->file = f;
	consumers->saved_us = clock_mono_us();
	atomic_store_explicit(&consumers->saved, change, memory_order_release);	/* release [wal-consumers] */
	return true;
}

/* tell_left_behind -- once for each that the log does not reach back to any more. */
static void
tell_left_behind(void)
{
	Lsn			oldest = atomic_load_explicit(&wal_shared->oldest, memory_order_acquire);	/* acquire [wal-oldest] */
	WalConsumer lost[WAL_CONSUMERS];
	uint32		count = 0;

	if (!lock_table())
		return;
	for (uint32 i = 0; i < consumers->count; i++)
		if (consumers->consumer[i].position < oldest && !consumers->told[i])
		{
			consumers->told[i] = true;
			lost[count++] = consumers->consumer[i];
		}
	unlock_table();
	for (uint32 i = 0; i < count; i++)
		ereport_hint(WARNING, "wal_keep_size bounds what is kept for consumers. It has to begin anew; CONSUMER DROP forgets it.",
					 "consumer \"%s\" is left behind: it has acknowledged the log up to %" LSN_FORMAT ", which is kept from %"
					 LSN_FORMAT " on", lost[i].name, LSN_ARGS(lost[i].position), LSN_ARGS(oldest));
}

void
wal_consumers_save(void)
{
	uint64		now = clock_mono_us();
	uint64		saved = atomic_load_explicit(&consumers->saved, memory_order_relaxed);	/* relaxed: we alone write it */
	uint64		wanted = atomic_load_explicit(&consumers->wanted, memory_order_acquire);	/* acquire [wal-consumers-wanted] */

	if (now < consumers->retry_us || (wanted <= saved && now - consumers->saved_us < SAVE_EVERY_US))
		return;
	consumers->saved_us = now;	/* also when there is nothing to write */
	(void) save();				/* it has been logged, and will be tried again */
	tell_left_behind();
}

void
wal_consumers_stop(void)
{
	(void) save();				/* it has been logged; the file says where they stood before */
}

/* lower -- keep from there, if that is not too far back. */
static Lsn
lower(Lsn keep, Lsn position, Lsn bound)
{
	return position >= bound && position < keep ? position : keep;
}

Lsn
wal_keep_from(Lsn below)
{
	Lsn			insert = wal_insert_lsn();
	Lsn			bound = insert > (uint64) set_wal_keep_size ? insert - (uint64) set_wal_keep_size : 0;
	ConsumersFile now;
	uint64		change;
	Lsn			keep = below;

	(void) save();				/* if it fails, what the file has counts, too */
	if (!take_table(&now, &change))
		return LSN_NONE;		/* recycle nothing this time */
	for (uint32 i = 0; i < now.count; i++)
		keep = lower(keep, now.consumer[i].position, bound);
	for (uint32 i = 0; i < consumers->file.count; i++)
		keep = lower(keep, consumers->file.consumer[i].position, bound);
	return keep;
}

/* ---- start ---- */

static void
damaged(const char *path, const char *why)
{
	ereport_hint(FATAL, "Restore it from a copy of this directory, or take it away: then there are no consumers, and each has to "
				 "be created again.", "file \"%s\" is damaged: %s", path, why);
}

static void
check_file(const char *path, const ConsumersFile *f, size_t got)
{
	if (got < sizeof(*f))
		damaged(path, "it is too short");
	if (f->crc != file_crc(f))
		damaged(path, "its checksum is wrong");
	if (f->magic != CONSUMERS_MAGIC || f->version != CONSUMERS_VERSION || f->count > WAL_CONSUMERS)
		damaged(path, "another version of artery wrote it");
	if (f->system_id != seg_control->system_id)
		damaged(path, "it comes from another data directory");
}

/* wal_consumers_load -- what the file says; without a file there are no consumers. */
void
wal_consumers_load(const char *data_dir)
{
	char		path[WAL_PATH_MAX];
	char		temporary[WAL_PATH_MAX];
	File	   *file;
	size_t		got = 0;
	int			error;

	file_names(data_dir, path, temporary, sizeof(path));
	error = file_open(path, FILE_READ, 0, &file);
	if (error == ENOENT)
		return;
	if (error == 0)
	{
		error = file_read(file, &consumers->file, sizeof(consumers->file), 0, &got);
		file_close(file);
	}
	if (error != 0)
	{
		errno = error;
		ereport(FATAL, "could not read \"%s\": %m", path);
	}
	check_file(path, &consumers->file, got);
	consumers->count = consumers->file.count;
	memcpy(consumers->consumer, consumers->file.consumer, sizeof(consumers->consumer));
}
