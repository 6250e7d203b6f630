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
