/*
 * unit_wal.h -- what the unit tests of log and files share: a directory of their
 * own, a log in a private segment, threads for walwriter and checkpointer,
 * children whose end is looked at, an oracle of what was written.
 */
#ifndef ARTERY_UNIT_WAL_H
#define ARTERY_UNIT_WAL_H

#include "common/c.h"

#include "access/wal/wal_internal.h"
#include "access/wal/wal_reader.h"
#include "storage/file/file_internal.h"
#include "unit_random.h"
#include "unit_segment.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/types.h>

#include <cmocka.h>

#define UNIT_SYSTEM_ID UINT64_C(0x1122334455667788)
#define UNIT_SEGMENT (1 * MIB)
#define UNIT_SLOTS 12			/* process slots: 4 and up are workers */
#define UNIT_FIRST_WORKER 4
#define UNIT_PATIENCE_US UINT64_C(60000000)	/* with others, before a test fails */
#define UNIT_LOCK_TIMEOUT_MS 60000	/* a killed child is gone with its last writes, which a busy disk may delay */

/* unit_factor -- ARTERY_UNIT_FACTOR (default 1): longer runs of random tests */
extern int unit_factor(void);

/* ---- directories ---- */
extern char unit_dir[512];		/* of the test at hand */
extern void unit_dir_make(void);
extern void unit_dir_remove(void);
extern const char *unit_path(const char *fmt, ...) attribute_printf(1, 2);	/* below unit_dir; a few at a time */
/* unit_dir_copy -- the log directory as it is, under another name; unit_dir_restore: back again. */
extern void unit_dir_save(void);
extern void unit_dir_restore(void);

/* ---- a child: its stderr and how it ended ---- */
typedef struct UnitChild
{
	int			status;			/* of waitpid */
	char		err[16384];		/* what it wrote to stderr */
} UnitChild;
extern void unit_child(UnitChild *c, void (*body)(void *arg), void *arg);
#define unit_exited(c, code) (WIFEXITED((c)->status) && WEXITSTATUS((c)->status) == (code))
#define unit_signaled(c, sig) (WIFSIGNALED((c)->status) && WTERMSIG((c)->status) == (sig))
/* unit_assert_fatal -- it exited with 1 (FATAL) and stderr holds every one of the texts (NULL at the end). */
extern void unit_assert_fatal(const UnitChild *c, ...);
extern void unit_assert_says(const UnitChild *c, const char *text);

/* ---- a log ---- */
/* unit_log_begin -- a fresh segment with a ring of that size; no run yet. */
extern void unit_log_begin(uint64 ring_size, uint64 segment_size);
extern void unit_log_end(void);
/* unit_run_start -- the first segment and the positions of a run; this thread becomes the first worker. */
extern void unit_run_start(Lsn first, Lsn continues);

typedef struct UnitRecord
{
	Lsn			start;
	Lsn			end;
	uint8		type;
	uint32		body_len;
	uint32		body_crc;
} UnitRecord;

typedef struct UnitRecords
{
	UnitRecord *at;
	size_t		count;
	size_t		room;
	WalRedoResult result;
} UnitRecords;

extern void unit_records_add(UnitRecords *r, UnitRecord record);
extern void unit_assert_same(const UnitRecord *a, const UnitRecord *b);
extern void unit_records_free(UnitRecords *r);
/* unit_redo -- wal_redo of unit_dir/wal; appends every record that is no VOID. */
extern void unit_redo(Lsn from, Lsn control_flushed, UnitRecords *out);
/* unit_next_run -- as a restart: redo, sync of the tail, fresh segment, first segment. */
extern void unit_next_run(Lsn from, Lsn control_flushed, UnitRecords *out);

/* unit_write -- one PUT with a body of that length (seeded bytes), waiting for space by itself; adds to out. */
extern UnitRecord unit_write(uint32 body_len, UnitRecords *out);
/* unit_write_bytes -- a record with exactly this body. */
extern UnitRecord unit_write_bytes(uint8 type, const void *body, uint32 body_len, UnitRecords *out);
/* unit_flush -- all that is completed, by this thread as walwriter. */
extern void unit_flush(void);
/* unit_prepare_all -- every segment that is wanted, by this thread as checkpointer. */
extern void unit_prepare_all(void);

/* walwriter and checkpointer as threads */
extern void unit_threads_start(void);
extern void unit_threads_stop(void);

/* ---- files by hand ---- */
extern void unit_edit(Lsn segment, uint64 offset, const void *bytes, size_t len);
extern void unit_flip(Lsn segment, uint64 offset);	/* all bits of one byte: it is another one, whatever it was */
extern void unit_peek(Lsn segment, uint64 offset, void *bytes, size_t len);
extern void unit_truncate(Lsn segment, uint64 size);
extern bool unit_exists(const char *path);
extern const char *unit_segment_path(Lsn segment);

#endif
