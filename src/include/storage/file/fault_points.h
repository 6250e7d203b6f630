/*
 * fault_points.h -- the one list of fault points (X-macro, no include guard).
 *
 * FAULT_POINT_ENTRY(name, kind, "sentence").  Kind STEP: a place in the code that
 * FAULT_POINT("name") marks; it can kill, abort, stop or delay the process there.
 * Kind CALL: every call of that sort in storage/file, before it is made; it can
 * fail with an errno as well.  Kind DONE: the same at completion, where a
 * successful result can be turned into an errno or a short transfer.
 *
 * Armed in builds with ARTERY_FAULTS by the setting fault_points or the
 * environment variable ARTERY_FAULT_POINTS, a list separated by commas of
 *
 *   name[@text]:action[:nth[:count[:generation]]]
 *
 *   @text       CALL and DONE only: where the file's path contains this text
 *   action      kill (SIGKILL), abort (SIGABRT), stop (SIGSTOP), delay_ms=N,
 *               eio, enospc, eagain, eintr, enomem, eperm, enosys, einval, short
 *   nth         the first hit that counts, from 1 on (default 1), in each process
 *   count       how many hits in a row (default 1; 0: all later ones)
 *   generation  crash restarts before it (default 0: until the first one; *: always)
 */
/* the log's writer */
FAULT_POINT_ENTRY("wal-before-write", STEP, "walwriter: a batch is chosen, nothing of it is written")
FAULT_POINT_ENTRY("wal-before-fdatasync", STEP, "walwriter: the batch is written and not synced")
FAULT_POINT_ENTRY("wal-after-fdatasync", STEP, "walwriter: one segment of the batch is synced")
FAULT_POINT_ENTRY("wal-before-flushed", STEP, "walwriter: all is synced, 'flushed' does not say so yet")
FAULT_POINT_ENTRY("wal-before-wake", STEP, "walwriter: 'flushed' has advanced, nobody is woken")
FAULT_POINT_ENTRY("wal-after-wake", STEP, "walwriter: the waiters are woken")
FAULT_POINT_ENTRY("wal-segment-open", STEP, "walwriter: goes over to another segment")
FAULT_POINT_ENTRY("wal-reserved", STEP, "a process owns a reservation and has not published")
FAULT_POINT_ENTRY("store-before-publish", STEP, "the dirty LSN is raised on the path, the leaf is not published")
FAULT_POINT_ENTRY("wal-before-fill", STEP, "a record is published and not filled in")
FAULT_POINT_ENTRY("wal-before-idle", STEP, "a record is filled in, the process slot still says OWNED")
/* deadlines */
FAULT_POINT_ENTRY("expire-found", STEP, "expirer: an entry has fired, its key has not been looked at")
FAULT_POINT_ENTRY("expire-before-drop", STEP, "expirer: an entry is not needed, as far as its key shows; it is still there")
FAULT_POINT_ENTRY("expire-dropped", STEP, "expirer: an entry has been taken away")
/* transactions */
FAULT_POINT_ENTRY("txn-hold", STEP, "a transaction that commits has put a descriptor leaf on one more key, or could not")
FAULT_POINT_ENTRY("txn-reserved", STEP, "it holds all its keys and owns a reservation, nothing is raised")
FAULT_POINT_ENTRY("txn-before-commit", STEP, "its new leaves have their LSN, it is not committed")
FAULT_POINT_ENTRY("txn-committed", STEP, "it is committed, its record is not filled in")
/* making a segment */
FAULT_POINT_ENTRY("segment-created", STEP, "a new segment file has its temporary name and no content")
FAULT_POINT_ENTRY("segment-zero-fill", STEP, "a piece of a new segment is zero-filled")
FAULT_POINT_ENTRY("segment-before-header", STEP, "a new or spare segment has no new header yet")
FAULT_POINT_ENTRY("segment-before-sync", STEP, "the header is written and not synced")
FAULT_POINT_ENTRY("segment-before-rename", STEP, "the header is durable under the temporary name")
FAULT_POINT_ENTRY("segment-after-rename", STEP, "the segment has its name, the directory is not synced")
FAULT_POINT_ENTRY("segment-before-enter", STEP, "the name is durable, the segment table does not have it")
FAULT_POINT_ENTRY("segment-entered", STEP, "the segment table has it and 'prepared' covers it")
FAULT_POINT_ENTRY("segment-before-spare", STEP, "an unused or recycled segment still has its name")
FAULT_POINT_ENTRY("segment-after-spare", STEP, "an unused or recycled segment is a spare file")
/* recovery */
FAULT_POINT_ENTRY("redo-begin", STEP, "startup: the headers are checked, no record is read")
FAULT_POINT_ENTRY("redo-chunk", STEP, "startup: the next piece of the log was read")
FAULT_POINT_ENTRY("redo-end", STEP, "startup: the end of the log is known")
FAULT_POINT_ENTRY("redo-tail-synced", STEP, "startup: the tail is synced, there is no segment of this run")
FAULT_POINT_ENTRY("redo-first-segment", STEP, "startup: the first segment of this run is in place")
/* the control file */
FAULT_POINT_ENTRY("control-before-write", STEP, "nothing of the new slot is written")
FAULT_POINT_ENTRY("control-before-sync", STEP, "the new slot is written and not synced")
FAULT_POINT_ENTRY("control-after-sync", STEP, "the new slot is durable")
/* a checkpoint, in the order of its steps; "control-..." lies between before-commit and committed */
FAULT_POINT_ENTRY("checkpoint-begin", STEP, "(1) nothing is announced")
FAULT_POINT_ENTRY("checkpoint-announced", STEP, "(1) writers link what they replace, the cut is not known")
FAULT_POINT_ENTRY("checkpoint-grace", STEP, "(1) every writer knows of the announcement, the cut is not known")
FAULT_POINT_ENTRY("checkpoint-cut", STEP, "(1) the cut is known, the map of databases is still locked")
FAULT_POINT_ENTRY("checkpoint-completed", STEP, "(1) every record below the cut is in the overlay")
FAULT_POINT_ENTRY("checkpoint-walk", STEP, "(2) a piece of the overlay was copied")
FAULT_POINT_ENTRY("checkpoint-merged", STEP, "(3) all pages are written, none is synced")
FAULT_POINT_ENTRY("checkpoint-log-flushed", STEP, "(4) the log is flushed up to the cut")
FAULT_POINT_ENTRY("checkpoint-synced", STEP, "(5) the data file is synced")
FAULT_POINT_ENTRY("checkpoint-before-commit", STEP, "(5) nothing of the control slot is written")
FAULT_POINT_ENTRY("checkpoint-committed", STEP, "(5) the control slot is durable, nobody knows")
FAULT_POINT_ENTRY("checkpoint-before-publish", STEP, "(6) the free map is the new one, the old root is in force")
FAULT_POINT_ENTRY("checkpoint-published", STEP, "(6) the new root is in force")
FAULT_POINT_ENTRY("checkpoint-evict-cut", STEP, "(7) what lies below the cut may leave memory")
FAULT_POINT_ENTRY("checkpoint-released", STEP, "(7) linked versions are given back")
FAULT_POINT_ENTRY("checkpoint-recycled", STEP, "(7) log below the older slot's redo is recycled")
/* the base's writer */
FAULT_POINT_ENTRY("base-before-batch", STEP, "a batch of pages is put together, nothing of it is written")
FAULT_POINT_ENTRY("base-batch-written", STEP, "a batch of pages has come back from the disk, nothing is synced")
FAULT_POINT_ENTRY("base-map-written", STEP, "all pages of the new root and its free map are written and not synced")
FAULT_POINT_ENTRY("base-before-sync", STEP, "the data file is about to be synced")
FAULT_POINT_ENTRY("base-after-sync", STEP, "the data file is synced, the control slot is the old one")
FAULT_POINT_ENTRY("base-before-truncate", STEP, "the new root is committed, the data file is about to be shortened")
/* every call of storage/file */
FAULT_POINT_ENTRY("file-open", CALL, "opening or creating a file")
FAULT_POINT_ENTRY("file-lock", CALL, "locking a file")
FAULT_POINT_ENTRY("file-truncate", CALL, "setting a file's size")
FAULT_POINT_ENTRY("file-allocate", CALL, "reserving room on the disk")
FAULT_POINT_ENTRY("file-read", CALL, "before a read")
FAULT_POINT_ENTRY("file-write", CALL, "before a write")
FAULT_POINT_ENTRY("file-datasync", CALL, "before a sync of a file")
FAULT_POINT_ENTRY("file-rename", CALL, "before a rename (the path is the new name)")
FAULT_POINT_ENTRY("file-unlink", CALL, "before a file is removed")
FAULT_POINT_ENTRY("file-sync-directory", CALL, "before a sync of a directory")
FAULT_POINT_ENTRY("file-read-done", DONE, "a read has come back")
FAULT_POINT_ENTRY("file-write-done", DONE, "a write has come back")
FAULT_POINT_ENTRY("file-datasync-done", DONE, "a sync of a file has come back")
FAULT_POINT_ENTRY("aio-setup", CALL, "setting up an io_uring (the path is the queue's purpose)")
FAULT_POINT_ENTRY("aio-register", CALL, "registering a buffer with an io_uring (the path is the queue's purpose)")
