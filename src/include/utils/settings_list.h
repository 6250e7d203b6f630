/*
 * settings_list.h -- the one list of settings (X-macro, no include guard).
 *
 * SETTING_xxx(name, default, min, max, context, "sentence for the manual")
 *   BOOL    default true/false                          C type bool
 *   INT     plain number                                int64
 *   SIZE    bytes; accepts kB MB GB                     int64
 *   TIME_MS milliseconds; accepts us ms s min h         int64
 *   TIME_US microseconds; accepts us ms s               int64
 *   STRING  text                                        const char *
 *   ENUM    default, list of "name=value" words         int
 * context: START (needs a restart), RELOAD (file + HUP), LIVE (also CONFIG SET).
 * The variable has the setting's name with the prefix set_ (set_workers).
 * SETTING_SECTION(id, "title") heads the entries that follow it.
 * doc/settings.md and the sample artery.conf are generated from this list.
 */
SETTING_SECTION(start, "Files and start")
SETTING_ENUM(shared_memory_type, SHARED_MEMORY_POSIX, "posix=0 memfd=1", START, "Where the shared segment lives: a POSIX object in /dev/shm (posix), or a nameless memory file (memfd), which no /dev/shm size limits.")
SETTING_ENUM(huge_pages, HUGE_PAGES_OFF, "off=0 try=1 on=2", START, "Whether the segment asks for huge pages. try: goes on without and says why; on: refuses to start without.")
SETTING_SIZE(memory_limit, 1024 * MIB, 16 * MIB, 1024 * GIB, START, "Memory for keys, values and the nodes of the tree. Data beyond it lies on disk alone. What was written since the last checkpoint must fit at a start: make a checkpoint before lowering it.")
SETTING_SIZE(buffer_pool_size, 128 * MIB, 1 * MIB, 1024 * GIB, START, "Memory for pages of the base.")
SETTING_SIZE(wal_buffers, 64 * MIB, 1 * MIB, 1024 * MIB, START, "The ring that holds the tail of the log; a power of two. A record, hence a value, may take a quarter of it.")
SETTING_INT(workers, 0, 0, 64, START, "Worker processes that serve clients; 0: one per core.")
SETTING_INT(max_clients, 10000, 1, 100000, START, "Connections at a time over all workers; one more gets an error and is closed.")
SETTING_STRING(unix_socket_path, "", START, "Path of the UNIX socket; empty: artery.sock in the data directory.")
SETTING_STRING(unix_socket_permissions, "0700", START, "Mode of the UNIX socket, octal.")
SETTING_STRING(listen_addresses, "", START, "Addresses to listen on by TCP, separated by commas; empty: none. Needs requirepass.")
SETTING_INT(port, 6390, 0, 65535, START, "TCP port, when listen_addresses is not empty.")
SETTING_STRING(requirepass, "", LIVE, "Password that AUTH must give; empty: none is needed.")
SETTING_ENUM(io_method, IO_METHOD_IO_URING, "io_uring=0 sync=1", START, "File I/O by io_uring, or by plain system calls.")
SETTING_ENUM(event_method, EVENT_METHOD_IO_URING, "io_uring=0 epoll=1", START, "The workers' event loop: io_uring, or epoll.")
SETTING_INT(io_depth, 256, 1, 4096, START, "Entries in a process' io_uring for files.")
SETTING_SECTION(log, "Durability and log")
SETTING_ENUM(durability, DURABILITY_IMMEDIATE, "immediate=0 group=1 periodic=2 none=3", LIVE, "When a write is answered: flushed (immediate), flushed with others after commit_delay (group), at once and flushed within wal_flush_interval (periodic), at once (none).")
SETTING_TIME_US(commit_delay, 0, 0, 1000000, LIVE, "Durability group: how long the walwriter waits for more commits before it flushes.")
SETTING_SIZE(commit_batch, 256 * KIB, 4 * KIB, 64 * MIB, LIVE, "Durability group: bytes of log that end the wait of commit_delay.")
SETTING_INT(commit_siblings, 5, 0, 10000, LIVE, "Durability group: wait only if at least this many other replies are due.")
SETTING_TIME_MS(wal_flush_interval, 200, 1, 60000, LIVE, "Durability periodic: a crash loses at most the writes of this time.")
SETTING_SIZE(wal_segment_size, 64 * MIB, 1 * MIB, 1024 * MIB, START, "Size of a log segment file without its header; a power of two; fixed by artery_ctl init.")
SETTING_INT(wal_segments_ahead, 2, 1, 64, LIVE, "Log segments kept zero-filled ahead of the one in use.")
SETTING_SIZE(wal_keep_size, 1024 * MIB, 0, 1024 * 1024 * GIB, LIVE, "Log kept at most for named consumers of the change feed (CONSUMER) that have not acknowledged it; who is further behind is left behind. 0: nothing beyond what recovery needs.")
SETTING_BOOL(wal_direct_io, true, START, "Write the log with O_DIRECT where the file system can.")
SETTING_BOOL(wal_pad_flush, false, START, "Fill the last block of every flush, for disks that may lose a sector's old bytes when it is rewritten.")
SETTING_SECTION(checkpoints, "Checkpoints")
SETTING_TIME_MS(checkpoint_timeout, 300000, 1000, 86400000, LIVE, "Longest time between checkpoints when there is something to write.")
SETTING_SIZE(max_wal_size, 1024 * MIB, 2 * MIB, 1024 * GIB, LIVE, "Log that checkpoints let grow before the next one begins; up to twice as much is kept, for the older control slot.")
SETTING_INT(checkpoint_completion_target, 90, 0, 100, LIVE, "A checkpoint that time or log volume has begun spreads its writes over this part, in percent, of the time that is left until the next one; 0: as fast as it can.")
SETTING_TIME_US(checkpoint_coalesce_us, 100, 0, 1000000, LIVE, "How long a checkpoint that was asked for waits for others that ask, too.")
SETTING_INT(checkpoint_batch_pages, 128, 8, 1024, START, "Pages of 16 kB that a checkpoint writes in one batch.")
SETTING_SECTION(limits, "Memory and limits")
SETTING_ENUM(prewarm, PREWARM_SETTING_BACKGROUND, "off=0 background=1", START, "After a start: load keys from disk into memory in the background while there is room, or only as they are read.")
SETTING_TIME_MS(snapshot_timeout, 600000, 0, 86400000, LIVE, "A snapshot (SNAPSHOT OPEN) is ended when it has been open this long; 0: never.")
SETTING_SIZE(snapshot_max_bytes, 256 * MIB, 0, 1024 * GIB, LIVE, "What older versions and clean keys in memory, and pages set aside in the data file, may take for the sake of snapshots; above it the oldest is ended. 0: no bound.")
SETTING_SIZE(max_value_size, 16 * MIB, 1 * KIB, 64 * MIB, START, "Largest value; at most a quarter of wal_buffers less 64 kB, and lowered to that bound where it is not set.")
SETTING_SIZE(transaction_max_bytes, 0, 0, 1024 * MIB, LIVE, "Log that one transaction may take; 0, and at most: a quarter of wal_buffers.")
SETTING_TIME_US(txn_stall_us, 10000, 100, 10000000, LIVE, "How long a transaction that is about to commit may hold up a writer of one of its keys; then the writer aborts it, and it begins its commit anew. 10 us more for each of its keys, and up to 16 times as long for one that was aborted before. One that keeps others out of a range of keys (ASSERT EMPTY, RENAMEPREFIX, KEYS within MULTI ...) may stand still for as long, up to 256 times as long if that has happened to it before; then it begins anew.")
SETTING_SIZE(client_query_buffer_limit, 128 * MIB, 1 * MIB, 1024 * MIB, LIVE, "Unread request bytes kept for one client before it is closed.")
SETTING_SIZE(client_output_buffer_limit, 256 * MIB, 1 * MIB, 4096 * MIB, LIVE, "Reply bytes kept for one client before it is closed.")
SETTING_TIME_MS(client_timeout, 0, 0, 86400000, LIVE, "Close a client that is idle this long; 0: never.")
SETTING_TIME_MS(worker_stall_timeout, 10000, 100, 3600000, LIVE, "A worker that holds the log or reclamation back this long is logged.")
SETTING_TIME_MS(checkpoint_report_interval, 60000, 1000, 86400000, LIVE, "How often the checkpointer reports that it is alive, at log level DEBUG1.")
SETTING_STRING(notify_keyspace_events, "", LIVE, "Keyspace notifications, by Redis' letters: K and E choose __keyspace@ and __keyevent@ channels, g $ x e n m the events (general, strings, expired, evicted, new, missed), A all but n and m. Empty: none.")
SETTING_SECTION(reporting, "Reporting")
SETTING_ENUM(log_min_messages, LOG, "debug2=0 debug1=1 info=2 log=3 warning=4 error=5 fatal=6 panic=7", LIVE, "The least level that is logged.")
SETTING_BOOL(log_connections, false, LIVE, "Log each connection with its peer's uid, gid and pid.")
SETTING_INT(slowlog_log_slower_than, 10000, -1, 3600000000, LIVE, "Commands that took at least so many microseconds, from their first step to their reply, waiting for pages and memory included, are kept for SLOWLOG; 0: all, -1: none.")
SETTING_INT(slowlog_max_len, 128, 0, 256, LIVE, "How many commands SLOWLOG keeps.")
SETTING_TIME_MS(latency_monitor_threshold, 0, 0, 3600000, LIVE, "What takes at least so long is kept for LATENCY; 0: nothing.")
SETTING_ENUM(enable_debug_command, DEBUG_COMMAND_NO, "no=0 local=1 yes=2", START, "Whether DEBUG is allowed: not at all, to clients of the UNIX socket (local), or to all.")
SETTING_BOOL(restart_after_crash, true, RELOAD, "After a child died of its own fault: recover and serve again (on), or stop (off).")
SETTING_STRING(fault_points, "", START, "Test builds only: fault points to arm, as name:action[:nth], separated by commas.")
