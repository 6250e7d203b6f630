/*
 * control.c -- the control file: two slots, written in turns.
 *
 * A slot's place follows from its sequence number: sequence modulo 2.  The newer
 * valid slot is in force.  Writing one goes into the other's block:
 *
 *   1  open, lock, read both blocks: nothing is changed yet, a failure is an errno
 *   2  once per process, and whenever the slot in force does not stand on the disk
 *      as it should: rewrite it with the same bytes and sync it; the process that
 *      wrote it may have died between write and sync, and what is only in a cache
 *      must not become the only good one
 *   3  write the new slot into the other block (O_DIRECT where possible)
 *   4  fdatasync: that is the commit
 *
 * A crash or a tear in 3 leaves the slot in force whole.  Any failure from 2 on is
 * PANIC: nobody can say which of the two is on the disk, a restart reads them
 * again.
 *
 * Either slot may be the one that the next start has, for the other may be damaged
 * later.  So the pages of both roots stay as they are, and the log is kept from
 * the smaller of the two cuts on: control_read_both tells what the file says, for
 * what is in memory may not be what is on the disk.
 *
 * Read by the startup process; written by it at the end of recovery, afterwards
 * by the checkpointer alone; made by the server program with --init.
 */
#include "access/base/control.h"

#include "storage/file/file.h"
#include "utils/clock.h"
#include "utils/elog.h"

#include <errno.h>
#include <unistd.h>

#define PATH_BYTES 1200
#define FILE_BYTES (2 * CONTROL_SLOT_SIZE)
#define LOCK_TIMEOUT_MS 30000

static pid_t settled_by;		/* step 2 was done by this process */

struct ControlFile
{
	File	   *file;
	ControlData in_force;
	bool		settle;			/* the slot in force must be written again first */
};

static void
path_of(char *path, const char *dir, const char *suffix)
{
	snprintf(path, PATH_BYTES, "%s/control%s", dir, suffix);
}

static void
put_slot(char *blocks, const ControlData *data)
{
	char	   *at = blocks + (data->sequence % 2) * CONTROL_SLOT_SIZE;

	memset(at, 0, CONTROL_SLOT_SIZE);
	memcpy(at, data, sizeof(*data));
}

/*
 * control_create -- both slots, so that one bad block right after init is no loss.
 * FATAL on failure; data->sequence is not looked at.  A base that is not described
 * is an empty one: the header page alone.
 */
void
control_create(const char *dir, const ControlData *data)
{
	char		temporary[PATH_BYTES];
	char		path[PATH_BYTES];
	char	   *blocks = file_alloc_aligned(FILE_BYTES);
	File	   *file;
	int			error;

	for (uint64 sequence = 1; sequence <= 2; sequence++)
	{
		ControlData copy = *data;

		copy.sequence = sequence;
		copy.older_cut = copy.cut;
		if (copy.base.page_count == 0)
			copy.base.page_count = copy.base.live_pages = 1;
		control_seal(&copy);
		put_slot(blocks, &copy);
	}
	path_of(temporary, dir, ".tmp");
	path_of(path, dir, "");
	error = file_open(temporary, FILE_WRITE | FILE_CREATE | FILE_DIRECT, 0600, &file);
	if (error == 0)
	{
		error = file_write(file, blocks, FILE_BYTES, 0);
		if (error == 0)
			error = file_datasync(file);
		file_close(file);
	}
	if (error == 0)
		error = file_rename(temporary, path);
	if (error == 0)
		error = file_sync_directory(dir);
	if (error != 0)
	{
		errno = error;
		ereport(FATAL, "could not create control file \"%s\": %m", path);
	}
	free(blocks);
}

/* refuse_format -- a slot of another format version: newer and older need different advice. */
static void
refuse_format(const char *path, uint32 version)
{
	if (version > FORMAT_VERSION)
		ereport_hint(FATAL, "Start it with the newer version of artery that wrote it.",
					 "the directory of \"%s\" has format version %u, newer than the %u of this server", path, version,
					 FORMAT_VERSION);
	ereport_hint(FATAL, "Start it with the version of artery that wrote it, and copy the data over to a new directory.",
				 "the directory of \"%s\" has format version %u, older than the %u of this server", path, version,
				 FORMAT_VERSION);
}

/* read_blocks -- the whole file; FATAL when it cannot be read or is no control file by its length. */
static char *
read_blocks(const char *path)
{
	char	   *blocks = file_alloc_aligned(FILE_BYTES);
	File	   *file;
	size_t		got = 0;
	int			error = file_open(path, FILE_READ | FILE_DIRECT, 0, &file);

	if (error == ENOENT)
		ereport_hint(FATAL, "Is this a data directory of artery? A new one is made by \"artery_ctl init\".",
					 "control file \"%s\" is missing", path);
	if (error == 0)
	{
		error = file_read(file, blocks, FILE_BYTES, 0, &got);
		file_close(file);
	}
	if (error != 0)
	{
		errno = error;
		ereport(FATAL, "could not read control file \"%s\": %m", path);
	}
	memset(blocks + got, 0, FILE_BYTES - got);	/* what is cut off is not valid */
	return blocks;
}

/* choose -- the slot in force; NULL: none is valid.  why[]: what is wrong with each, or NULL. */
static const ControlData *
choose(const char *blocks, const char *why[2])
{
	const ControlData *best = NULL;

	for (int i = 0; i < 2; i++)
	{
		const ControlData *slot = (const ControlData *) (blocks + i * CONTROL_SLOT_SIZE);

		if (control_valid(slot, &why[i]) && slot->sequence % 2 != (uint64) i)
			why[i] = "it stands in the place of the other slot";
		if (why[i] == NULL && (best == NULL || slot->sequence > best->sequence))
			best = slot;
	}
	return best;
}

void
control_read(const char *dir, ControlData *data)
{
	char		path[PATH_BYTES];
	const char *why[2];
	const ControlData *best;
	char	   *blocks;

	path_of(path, dir, "");
	blocks = read_blocks(path);
	best = choose(blocks, why);
	for (int i = 0; i < 2; i++)
	{
		const ControlData *slot = (const ControlData *) (blocks + i * CONTROL_SLOT_SIZE);

		/* a damaged version field of one slot does not condemn the other; one that was sealed so does */
		if (slot->magic == CONTROL_MAGIC && slot->format_version != FORMAT_VERSION
			&& (best == NULL || control_sealed(slot)))
			refuse_format(path, slot->format_version);
	}
	if (best == NULL)
		ereport_hint(FATAL, "Restore it from a copy of this directory.",
					 "control file \"%s\" is damaged: slot 0 (offset 0): %s; slot 1 (offset %d): %s", path, why[0],
					 CONTROL_SLOT_SIZE, why[1]);
	else
	{
		*data = *best;
		for (int i = 0; i < 2; i++)
			if (why[i] != NULL)
				ereport(WARNING, "slot %d of control file \"%s\" (offset %d) is not valid: %s; the other one is in force", i,
						path, i * CONTROL_SLOT_SIZE, why[i]);
	}
	free(blocks);
}

/* read_both -- the blocks of an open file; what is cut off is not valid. */
static int
read_both(File *file, char *blocks)
{
	size_t		got = 0;
	int			error = file_read(file, blocks, FILE_BYTES, 0, &got);

	if (error == 0)
		memset(blocks + got, 0, FILE_BYTES - got);
	return error;
}

/*
 * control_read_both -- what each slot says on the disk, and whether it may be used.
 *
 * 0, or an errno: nothing is known then.  For who decides what the slots still
 * need: a slot that is not valid needs nothing, but says nothing either.
 */
int
control_read_both(const char *dir, ControlData slot[2], bool valid[2])
{
	char		path[PATH_BYTES];
	char	   *blocks = file_alloc_aligned(FILE_BYTES);
	const char *why[2];
	File	   *file;
	int			error;

	path_of(path, dir, "");
	error = file_open(path, FILE_READ | FILE_DIRECT, 0, &file);
	if (error == 0)
	{
		error = read_both(file, blocks);
		file_close(file);
	}
	if (error == 0)
	{
		(void) choose(blocks, why);
		for (int i = 0; i < 2; i++)
		{
			memcpy(&slot[i], blocks + i * CONTROL_SLOT_SIZE, sizeof(slot[i]));
			valid[i] = why[i] == NULL;
		}
	}
	free(blocks);
	return error;
}

static void
write_failed(int error, const char *path)
{
	errno = error;
	ereport(PANIC, "could not write control file \"%s\": %m", path);
}

static void
write_slot(File *file, const ControlData *slot)
{
	char	   *block = file_alloc_aligned(CONTROL_SLOT_SIZE);
	int			error;

	memset(block, 0, CONTROL_SLOT_SIZE);
	memcpy(block, slot, sizeof(*slot));
	FAULT_POINT("control-before-write");
	error = file_write(file, block, CONTROL_SLOT_SIZE, (slot->sequence % 2) * CONTROL_SLOT_SIZE);
	FAULT_POINT("control-before-sync");
	if (error == 0)
		error = file_datasync(file);
	if (error != 0)
		write_failed(error, file_path(file));
	FAULT_POINT("control-after-sync");
	free(block);
}

/*
 * compare_with_disk -- is the slot in force on the disk as we know it?  If not, it
 * was damaged since, and will be written again.  A newer one there would be a
 * second writer's: the lock on the directory and ours on the file exclude that.
 */
static int
compare_with_disk(ControlFile *c)
{
	char	   *blocks = file_alloc_aligned(FILE_BYTES);
	int			error = read_both(c->file, blocks);

	if (error == 0)
	{
		const char *why[2];
		const ControlData *newest = choose(blocks, why);

		Verify(newest == NULL || newest->sequence <= c->in_force.sequence);
		if (newest == NULL || memcmp(newest, &c->in_force, sizeof(*newest)) != 0)
		{
			ereport(WARNING, "slot %d of control file \"%s\" (offset %d) was damaged: writing it again",
					(int) (c->in_force.sequence % 2), file_path(c->file),
					(int) (c->in_force.sequence % 2) * CONTROL_SLOT_SIZE);
			c->settle = true;
		}
	}
	free(blocks);
	return error;
}

/*
 * control_prepare -- step 1: everything that may fail without harm.
 *
 * 'in_force' is the slot in force, as control_read or control_commit left it.
 * 0, or an errno: nothing was written and nothing is open.  On 0 control_commit
 * or control_cancel must follow.
 */
int
control_prepare(const char *dir, const ControlData *in_force, ControlFile **out)
{
	char		path[PATH_BYTES];
	ControlFile *c = calloc(1, sizeof(*c));
	int			error;

	Verify(c != NULL && control_sealed(in_force));
	path_of(path, dir, "");
	c->in_force = *in_force;
	c->settle = settled_by != getpid();
	error = file_open(path, FILE_READ | FILE_WRITE | FILE_DIRECT, 0600, &c->file);
	if (error == 0)
		error = file_lock_bounded(c->file, LOCK_TIMEOUT_MS);
	if (error == 0)
		error = compare_with_disk(c);
	if (error != 0)
	{
		control_cancel(c);
		return error;
	}
	*out = c;
	return 0;
}

void
control_cancel(ControlFile *c)
{
	file_close(c->file);
	free(c);
}

/*
 * control_commit -- steps 2 to 4: 'data' becomes the slot in force; it gets the next
 * sequence number, the time, the other slot's cut, and its seal.  PANIC on any
 * failure.  Closes the file.
 */
void
control_commit(ControlFile *c, ControlData *data)
{
	const char *why;

	Verify(data->sequence == c->in_force.sequence);
	if (c->settle)
		write_slot(c->file, &c->in_force);
	settled_by = getpid();
	data->sequence++;
	data->older_cut = c->in_force.cut;	/* it is the other slot from now on */
	data->written_wall_us = clock_wall_us();
	control_seal(data);
	Verify(control_valid(data, &why));	/* or no start would take it */
	write_slot(c->file, data);
	control_cancel(c);
}

/*
 * control_write -- make 'data' the slot in force; it gets the next sequence number.
 *
 * data->sequence is that of the slot in force, as control_read or the last
 * control_write left it.
 */
void
control_write(const char *dir, ControlData *data)
{
	char		path[PATH_BYTES];
	ControlData before;
	ControlFile *c;
	int			error;

	control_read(dir, &before);
	Verify(before.sequence == data->sequence);
	error = control_prepare(dir, &before, &c);
	if (error != 0)
	{
		path_of(path, dir, "");
		write_failed(error, path);
	}
	else
		control_commit(c, data);
}
