/*
 * info.c -- INFO: what all processes together are doing.
 *
 * The field names that tools look for are Redis'; what is artery's own stands in
 * the section "# artery".  Numbers are read as they stand, each by itself; the
 * counts of keys are facts about writes and gate the reply like any answer.
 */
#include "common/c.h"

#include <sys/utsname.h>
#include <unistd.h>

#include "access/base/base_read.h"
#include "access/store/checkpoint.h"
#include "access/store/evict.h"
#include "access/wal/wal_feed.h"
#include "access/wal/wal_keep.h"
#include "common/version.h"
#include "storage/buffer/buffer.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/segment.h"
#include "storage/mem/heap.h"
#include "tcop/stats.h"
#include "tcop/sub_table.h"
#include "tcop/tcop_internal.h"
#include "tcop/text.h"
#include "utils/clock.h"
#include "utils/settings.h"

typedef unsigned long long ull;

#define add text_add
#define add_bytes text_add_bytes

/* ---- what the kernel knows of the processes ---- */
typedef struct ProcessSums
{
	uint64		private_bytes;	/* of all processes */
	uint64		shared_bytes;	/* of the one that has most of it: the segment is one */
	double		user_seconds;
	double		system_seconds;
	double		worker_user_seconds;	/* of the workers alone */
	double		worker_system_seconds;
} ProcessSums;

static void
process_add(ProcessSums *sums, uint32 pid, bool worker)
{
	char		path[64];
	char		line[1024];
	unsigned long resident;
	unsigned long shared;
	unsigned long user;
	unsigned long system;
	FILE	   *f;
	char	   *p;
	size_t		n;

	snprintf(path, sizeof(path), "/proc/%u/statm", pid);
	if ((f = fopen(path, "re")) != NULL)
	{
		if (fscanf(f, "%*u %lu %lu", &resident, &shared) == 2)
		{
			uint64		page = (uint64) sysconf(_SC_PAGESIZE);

			sums->private_bytes += (resident - Min(shared, resident)) * page;
			sums->shared_bytes = Max(sums->shared_bytes, shared * page);
		}
		fclose(f);
	}
	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	if ((f = fopen(path, "re")) == NULL)
		return;
	n = fread(line, 1, sizeof(line) - 1, f);
	fclose(f);
	line[n] = '\0';
	p = strrchr(line, ')');		/* the name before it may hold anything */
	if (p != NULL && sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2)
	{
		sums->user_seconds += (double) user / (double) sysconf(_SC_CLK_TCK);
		sums->system_seconds += (double) system / (double) sysconf(_SC_CLK_TCK);
		if (worker)
		{
			sums->worker_user_seconds += (double) user / (double) sysconf(_SC_CLK_TCK);
			sums->worker_system_seconds += (double) system / (double) sysconf(_SC_CLK_TCK);
		}
	}
}

/* process_sums -- at most a tenth of a second old. */
static const ProcessSums *
process_sums(void)
{
	static ProcessSums sums;
	static uint64 taken_us;

	if (taken_us != 0 && tcop_now_us - taken_us < 100000)
		return &sums;
	taken_us = tcop_now_us;
	memset(&sums, 0, sizeof(sums));
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		uint32		pid = atomic_load_explicit(&proc_slot(i)->pid, memory_order_relaxed);	/* relaxed: for people */

		if (pid != 0)
			process_add(&sums, pid, proc_slot(i)->kind == PROC_WORKER);
	}
	return &sums;
}

/* ---- sections ---- */

/*
 * What artery has nothing of (replicas, scripts, defragmentation, forks), for tools
 * that look for the field: always the same text.
 */
static const char server_absent[] =
	"redis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_build_id:0\r\nprocess_supervised:no\r\nhz:10\r\nconfigured_hz:10\r\n"
	"lru_clock:0\r\nio_threads_active:0\r\n";
static const char clients_absent[] = "client_recent_max_input_buffer:0\r\nclient_recent_max_output_buffer:0\r\n";
static const char memory_absent[] =
	"used_memory_startup:0\r\nused_memory_lua:0\r\nused_memory_lua_human:0B\r\nused_memory_scripts:0\r\nused_memory_scripts_human:0B\r\n"
	"used_memory_vm_eval:0\r\nused_memory_scripts_eval:0\r\nused_memory_vm_functions:0\r\nused_memory_vm_total:0\r\n"
	"used_memory_vm_total_human:0B\r\nused_memory_functions:0\r\nnumber_of_cached_scripts:0\r\nnumber_of_functions:0\r\n"
	"number_of_libraries:0\r\nmem_not_counted_for_evict:0\r\nmem_replication_backlog:0\r\nmem_total_replication_buffers:0\r\n"
	"mem_clients_slaves:0\r\nmem_cluster_links:0\r\nlazyfreed_objects:0\r\n";
static const char persistence_absent[] =
	"current_cow_peak:0\r\ncurrent_cow_size:0\r\ncurrent_cow_size_age:0\r\ncurrent_fork_perc:0.00\r\ncurrent_save_keys_processed:0\r\n"
	"current_save_keys_total:0\r\nmodule_fork_in_progress:0\r\nmodule_fork_last_cow_size:0\r\nrdb_last_load_keys_expired:0\r\n"
	"rdb_last_load_keys_loaded:0\r\n";
static const char stats_absent[] =
	"total_net_repl_input_bytes:0\r\ntotal_net_repl_output_bytes:0\r\ninstantaneous_input_repl_kbps:0.00\r\n"
	"instantaneous_output_repl_kbps:0.00\r\ntotal_forks:0\r\nmigrate_cached_sockets:0\r\nslave_expires_tracked_keys:0\r\n"
	"active_defrag_hits:0\r\nactive_defrag_misses:0\r\nactive_defrag_key_hits:0\r\nactive_defrag_key_misses:0\r\n"
	"total_active_defrag_time:0\r\ncurrent_active_defrag_time:0\r\ntotal_eviction_exceeded_time:0\r\n"
	"current_eviction_exceeded_time:0\r\nunexpected_error_replies:0\r\ndump_payload_sanitizations:0\r\n"
	"io_threaded_reads_processed:0\r\nio_threaded_writes_processed:0\r\nreply_buffer_shrinks:0\r\nreply_buffer_expands:0\r\n";

static uint32
server_state(void)
{
	return atomic_load_explicit(&seg_control->server_state, memory_order_relaxed);	/* relaxed: for people */
}

static void
info_server(Session *s, Text *t)
{
	struct utsname u;
	char		executable[1024];
	ssize_t		n = readlink("/proc/self/exe", executable, sizeof(executable) - 1);
	uint64		now = clock_wall_us();
	uint64		up = (now - atomic_load_explicit(&seg_control->start_wall_us, memory_order_relaxed)) / 1000000;

	(void) s;
	executable[Max(n, 0)] = '\0';
	uname(&u);
	add(t, "# Server\r\nredis_version:%s\r\nserver_name:artery\r\nartery_version:%s\r\nredis_mode:standalone\r\n",
		REDIS_VERSION_TOLD, ARTERY_VERSION);
	add(t, "os:%s %s %s\r\narch_bits:64\r\n", u.sysname, u.release, u.machine);
	add(t, "multiplexing_api:%s\r\n",
		tcop_event_methods[atomic_load_explicit(&stats_mine->event_method, memory_order_relaxed)]);
	add(t, "process_id:%d\r\n", (int) getppid());	/* the postmaster, of which every worker is a child */
	add(t, "run_id:%016llx%016llx%08x\r\n", (ull) seg_control->system_id,
		(ull) atomic_load_explicit(&seg_control->start_wall_us, memory_order_relaxed),
		atomic_load_explicit(&seg_control->generation, memory_order_relaxed));
	add(t, "tcp_port:%lld\r\n", set_listen_addresses[0] != '\0' ? (long long) set_port : 0);
	add(t, "server_time_usec:%llu\r\nuptime_in_seconds:%llu\r\nuptime_in_days:%llu\r\n",
		(ull) now, (ull) up, (ull) (up / 86400));
	add(t, "executable:%s\r\nconfig_file:%s/artery.conf\r\n", executable, seg_control->data_dir);
	add(t, "gcc_version:%s\r\natomicvar_api:c11-builtin\r\nmonotonic_clock:%s\r\n%s", __VERSION__,
		clock__counter ? "X86 TSC" : "POSIX clock_gettime", server_absent);
}

static uint64
connections(void)
{
	uint64		n = 0;

	for (uint32 i = 0; i < client_table->worker_count; i++)
		n += atomic_load_explicit(&client_table->worker[i].connections, memory_order_relaxed);	/* relaxed: for people */
	return n;
}

static void
info_clients(Session *s, Text *t)
{
	(void) s;
	add(t, "# Clients\r\nconnected_clients:%llu\r\ncluster_connections:0\r\nmaxclients:%lld\r\n",
		(ull) connections(), (long long) set_max_clients);
	add(t, "blocked_clients:%llu\r\ntracking_clients:%llu\r\nclients_in_timeout_table:0\r\n",
		(ull) stats_level(offsetof(StatsWorker, blocked)), (ull) stats_level(offsetof(StatsWorker, tracking_clients)));
	add(t, "%s", clients_absent);
}

uint64
tcop__resident_bytes(void)
{
	const ProcessSums *sums = process_sums();

	return sums->private_bytes + sums->shared_bytes;
}

static void
info_memory(Session *s, Text *t)
{
	MemStats	mem;
	uint64		buffers = stats_level(offsetof(StatsWorker, buffer_bytes));
	uint64		used;
	uint64		peak;
	uint64		rss = tcop__resident_bytes();

	(void) s;
	mem_stats(&mem);
	used = mem.used + buffers;
	/* relaxed: for people; a lost race loses a peak that another INFO saw */
	peak = Max(used, atomic_load_explicit(&stats_shared->peak_memory, memory_order_relaxed));
	atomic_store_explicit(&stats_shared->peak_memory, peak, memory_order_relaxed);
	add(t, "# Memory\r\n");
	add_bytes(t, "used_memory", used);
	add_bytes(t, "used_memory_rss", rss);
	add_bytes(t, "used_memory_peak", peak);
	add(t, "used_memory_peak_perc:%.2f%%\r\n", peak > 0 ? 100.0 * (double) used / (double) peak : 100.0);
	add(t, "used_memory_overhead:%llu\r\nused_memory_dataset:%llu\r\n", (ull) (buffers + mem.retired),
		(ull) (mem.used - Min(mem.retired, mem.used)));
	add_bytes(t, "total_system_memory", (uint64) sysconf(_SC_PHYS_PAGES) * (uint64) sysconf(_SC_PAGESIZE));
	add_bytes(t, "maxmemory", (uint64) set_memory_limit);
	add(t, "maxmemory_policy:noeviction\r\nmem_fragmentation_ratio:%.2f\r\nmem_clients_normal:%llu\r\n",
		used > 0 ? (double) rss / (double) used : 1.0, (ull) buffers);
	add(t, "mem_allocator:artery\r\nactive_defrag_running:0\r\nlazyfree_pending_objects:0\r\n");
	add(t, "used_memory_dataset_perc:%.2f%%\r\nmem_aof_buffer:%llu\r\nmem_fragmentation_bytes:%lld\r\n",
		used > 0 ? 100.0 * (double) (mem.used - Min(mem.retired, mem.used)) / (double) used : 0.0, (ull) set_wal_buffers,
		(long long) rss - (long long) used);
	add(t, "allocator_allocated:%llu\r\nallocator_active:%llu\r\nallocator_resident:%llu\r\nallocator_frag_ratio:%.2f\r\n"
		"allocator_frag_bytes:%llu\r\nallocator_rss_ratio:%.2f\r\nallocator_rss_bytes:%llu\r\n",
		(ull) mem.used, (ull) (mem.used + mem.cached), (ull) mem.reserved,
		mem.used > 0 ? (double) (mem.used + mem.cached) / (double) mem.used : 1.0, (ull) mem.cached,
		mem.used + mem.cached > 0 ? (double) mem.reserved / (double) (mem.used + mem.cached) : 1.0,
		(ull) (mem.reserved - Min(mem.used + mem.cached, mem.reserved)));
	add(t, "rss_overhead_ratio:%.2f\r\nrss_overhead_bytes:%lld\r\n%s", mem.reserved > 0 ? (double) rss / (double) mem.reserved : 1.0,
		(long long) rss - (long long) mem.reserved, memory_absent);
}

/*
 * info_checkpoints -- checkpoints under the names that readers of Redis' figures know:
 * a save of the RDB and a rewrite of the AOF are both one.  What was changed since
 * is told in bytes of log.
 */
static void
info_checkpoints(Text *t)
{
	CheckpointStatus c;
	bool		running;
	const char *result;
	long long	seconds;
	long long	now_seconds;
	Lsn			insert = wal_insert_lsn();

	checkpoint_status(&c);
	running = c.step != CHECKPOINT_IDLE;
	result = c.last.round != 0 && c.last.error != 0 ? "err" : "ok";
	seconds = c.last.round != 0 ? (long long) (c.last.duration_us / 1000000) : -1;
	now_seconds = running ? 0 : -1;
	add(t, "rdb_changes_since_last_save:%llu\r\nrdb_bgsave_in_progress:%d\r\nrdb_last_save_time:%llu\r\n",
		(ull) c.changed_bytes, running, (ull) tcop__last_save(&c));
	add(t, "rdb_last_bgsave_status:%s\r\nrdb_last_bgsave_time_sec:%lld\r\nrdb_current_bgsave_time_sec:%lld\r\n"
		"rdb_saves:%llu\r\nrdb_last_cow_size:0\r\n", result, seconds, now_seconds, (ull) c.rounds_committed);
	add(t, "aof_enabled:1\r\naof_rewrite_in_progress:%d\r\naof_rewrite_scheduled:0\r\naof_last_rewrite_time_sec:%lld\r\n"
		"aof_current_rewrite_time_sec:%lld\r\naof_last_bgrewrite_status:%s\r\naof_rewrites:%llu\r\n"
		"aof_rewrites_consecutive_failures:%llu\r\naof_last_cow_size:0\r\n",
		running, seconds, now_seconds, result, (ull) c.rounds_committed, (ull) c.rounds_failed_in_row);
	add(t, "aof_current_size:%llu\r\naof_base_size:%llu\r\naof_pending_rewrite:0\r\n",
		(ull) (insert - Min(insert, c.older_cut)), (ull) (c.cut - Min(c.cut, c.older_cut)));
}

static void
info_persistence(Session *s, Text *t)
{
	bool		loading = server_state() < SERVER_RUNNING;
	/* relaxed: all for people */
	uint64		start = atomic_load_explicit(&seg_control->redo_start_lsn, memory_order_relaxed);
	uint64		at = atomic_load_explicit(&seg_control->redo_lsn, memory_order_relaxed);
	uint64		end = atomic_load_explicit(&seg_control->redo_end_hint_lsn, memory_order_relaxed);
	uint64		start_wall = atomic_load_explicit(&seg_control->start_wall_us, memory_order_relaxed);

	(void) s;
	add(t, "# Persistence\r\nloading:%d\r\nasync_loading:0\r\n", loading);
	if (loading)
	{
		uint64		total = end > start ? end - start : 0;
		uint64		done = at > start ? Min(at - start, total) : 0;
		double		seconds = (double) (clock_wall_us() - start_wall) / 1e6;

		add(t, "loading_start_time:%llu\r\nloading_total_bytes:%llu\r\nloading_loaded_bytes:%llu\r\n",
			(ull) (start_wall / 1000000), (ull) total, (ull) done);
		add(t, "loading_loaded_perc:%.2f\r\nloading_eta_seconds:%.0f\r\n",
			total > 0 ? 100.0 * (double) done / (double) total : 0.0,
			done > 0 ? seconds * (double) (total - done) / (double) done + 1 : 1.0);
	}
	info_checkpoints(t);
	add(t, "aof_last_write_status:%s\r\naof_buffer_length:%llu\r\naof_pending_bio_fsync:%d\r\naof_delayed_fsync:0\r\n",
		atomic_load_explicit(&wal_shared->space_errno, memory_order_relaxed) == 0 ? "ok" : "err",
		(ull) (wal_insert_lsn() - Min(wal_insert_lsn(), wal_flushed_lsn())),
		wal_flushed_lsn() < wal_completed_lsn());
	add(t, "%s", persistence_absent);
}

/* names_listened -- channels or patterns, as each worker has them: one that clients of two workers listen to counts twice. */
static uint64
names_listened(SubKind kind)
{
	uint64		sum = 0;

	for (uint32 i = 0; i < sub_table->workers; i++)
		sum += atomic_load_explicit(&sub_table->worker[i].names[kind], memory_order_relaxed);	/* relaxed: for people */
	return sum;
}

static void
info_stats(Session *s, Text *t)
{
	StoreFigures figures;

	(void) s;
	store_figures(&figures);
	add(t, "# Stats\r\ntotal_connections_received:%llu\r\ntotal_commands_processed:%llu\r\ninstantaneous_ops_per_sec:%llu\r\n",
		(ull) stats_sum(STAT_CONNECTIONS), (ull) stats_sum(STAT_COMMANDS),
		(ull) stats_level(offsetof(StatsWorker, ops_per_second)));
	add(t, "total_net_input_bytes:%llu\r\ntotal_net_output_bytes:%llu\r\n",
		(ull) stats_sum(STAT_NET_INPUT), (ull) stats_sum(STAT_NET_OUTPUT));
	add(t, "instantaneous_input_kbps:%.2f\r\ninstantaneous_output_kbps:%.2f\r\n",
		(double) stats_level(offsetof(StatsWorker, input_per_second)) / 1024,
		(double) stats_level(offsetof(StatsWorker, output_per_second)) / 1024);
	add(t, "rejected_connections:%llu\r\nsync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:0\r\n",
		(ull) stats_sum(STAT_REJECTED));
	add(t, "expired_keys:%llu\r\nexpired_stale_perc:0.00\r\nexpired_time_cap_reached_count:0\r\nexpire_cycle_cpu_milliseconds:0\r\n",
		(ull) figures.expired);
	add(t, "evicted_keys:0\r\nevicted_clients:0\r\nclient_query_buffer_limit_disconnections:%llu\r\n"
		"client_output_buffer_limit_disconnections:%llu\r\n",
		(ull) stats_sum(STAT_QUERY_LIMIT), (ull) stats_sum(STAT_OUTPUT_LIMIT));
	add(t, "keyspace_hits:%llu\r\nkeyspace_misses:%llu\r\npubsub_channels:%llu\r\npubsub_patterns:%llu\r\n"
		"pubsubshard_channels:%llu\r\nlatest_fork_usec:0\r\n",
		(ull) stats_sum(STAT_HITS), (ull) stats_sum(STAT_MISSES), (ull) names_listened(SUB_CHANNEL),
		(ull) names_listened(SUB_PATTERN), (ull) names_listened(SUB_SHARD));
	/* keys and prefixes as each worker has them: what clients of two workers follow counts twice */
	add(t, "tracking_total_keys:%llu\r\ntracking_total_items:%llu\r\ntracking_total_prefixes:%llu\r\n",
		(ull) stats_level(offsetof(StatsWorker, tracking_keys)), (ull) stats_level(offsetof(StatsWorker, tracking_items)),
		(ull) stats_level(offsetof(StatsWorker, tracking_prefixes)));
	add(t, "total_error_replies:%llu\r\ntotal_reads_processed:%llu\r\ntotal_writes_processed:%llu\r\n%s",
		(ull) stats_sum(STAT_ERRORS_ALL), (ull) stats_sum(STAT_READS), (ull) stats_sum(STAT_WRITES), stats_absent);
}

static void
info_replication(Session *s, Text *t)
{
	(void) s;
	add(t, "# Replication\r\nrole:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n");
	add(t, "master_replid:%016llx%024x\r\nmaster_replid2:%040d\r\nmaster_repl_offset:%llu\r\nsecond_repl_offset:-1\r\n",
		(ull) seg_control->system_id, wal_shared->timeline, 0, (ull) wal_insert_lsn());
	add(t, "repl_backlog_active:0\r\nrepl_backlog_size:0\r\nrepl_backlog_first_byte_offset:0\r\nrepl_backlog_histlen:0\r\n");
}

static void
info_cpu(Session *s, Text *t)
{
	const ProcessSums *sums = process_sums();

	(void) s;
	add(t, "# CPU\r\nused_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\nused_cpu_sys_children:0.000000\r\nused_cpu_user_children:0.000000\r\n",
		sums->system_seconds, sums->user_seconds);
	/* what runs commands is Redis' main thread and our workers */
	add(t, "used_cpu_sys_main_thread:%.6f\r\nused_cpu_user_main_thread:%.6f\r\n", sums->worker_system_seconds,
		sums->worker_user_seconds);
}

static void
info_modules(Session *s, Text *t)
{
	(void) s;
	add(t, "# Modules\r\n");
}

static void
info_cluster(Session *s, Text *t)
{
	(void) s;
	add(t, "# Cluster\r\ncluster_enabled:0\r\n");
}

static void
info_commandstats(Session *s, Text *t)
{
	(void) s;
	add(t, "# Commandstats\r\n");
	for (int i = 0; i < command_count; i++)
	{
		uint64		calls = stats_sum(STAT_COMMAND_CALLS + i);
		uint64		rejected = stats_sum(STAT_COMMAND_REJECTED + i);
		double		us = (double) stats_sum(STAT_COMMAND_NSEC + i) / 1000;

		if (calls + rejected > 0)
			add(t, "cmdstat_%s:calls=%llu,usec=%.0f,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu\r\n",
				command_table[i].name, (ull) calls, us, calls > 0 ? us / (double) calls : 0.0, (ull) rejected,
				(ull) stats_sum(STAT_COMMAND_FAILED + i));
	}
}

static void
info_errorstats(Session *s, Text *t)
{
	(void) s;
	add(t, "# Errorstats\r\n");
	for (int i = 0; i < stats_error_count(); i++)
		if (stats_sum(STAT_ERROR_ERR + i) > 0)
			add(t, "errorstat_%s:count=%llu\r\n", stats_error_word(i), (ull) stats_sum(STAT_ERROR_ERR + i));
}

static void
info_latencystats(Session *s, Text *t)
{
	uint64		bucket[STATS_LATENCY_BUCKETS];

	(void) s;
	add(t, "# Latencystats\r\n");
	for (int i = 0; i < command_count; i++)
	{
		uint64		calls = stats_latency(i, bucket);

		if (calls > 0)
			add(t, "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f\r\n", command_table[i].name,
				stats_latency_percentile(bucket, calls, 0.5) / 1000, stats_latency_percentile(bucket, calls, 0.99) / 1000,
				stats_latency_percentile(bucket, calls, 0.999) / 1000);
	}
}

static void
info_keyspace(Session *s, Text *t)
{
	add(t, "# Keyspace\r\n");
	if (server_state() < SERVER_RUNNING)
		return;					/* nothing of it can be asked yet */
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		uint64		keys = store_count(db, &s->gate);

		if (keys > 0)
		{
			uint64		ttl_ms;
			uint64		expires = store_deadlines(db, &ttl_ms);

			add(t, "db%u:keys=%llu,expires=%llu,avg_ttl=%llu\r\n", db, (ull) keys, (ull) Min(expires, keys), (ull) ttl_ms);
		}
	}
}

/*
 * add_histogram -- "<bound=count" for what is not zero; bucket i holds values from
 * unit << i (the first: from 0) to below unit << (i + 1).
 */
static void
add_histogram(Text *t, const char *name, _Atomic uint64 *bucket, int count, uint64 unit)
{
	const char *separator = "";

	add(t, "%s:", name);
	for (int i = 0; i < count; i++)
	{
		uint64		n = atomic_load_explicit(&bucket[i], memory_order_relaxed);	/* relaxed: for people */

		if (n == 0)
			continue;
		add(t, "%s<%llu=%llu", separator, (ull) (unit << (i + 1)), (ull) n);
		separator = ",";
	}
	add(t, "\r\n");
}

static void
info_artery_log(Text *t)
{
	WalShared  *w = wal_shared;
	/* relaxed: all for people */
	uint64		flushes = atomic_load_explicit(&w->flushes, memory_order_relaxed);
	uint64		gated = atomic_load_explicit(&w->commits_gated, memory_order_relaxed);
	uint64		us = atomic_load_explicit(&w->flush_us_total, memory_order_relaxed);
	uint32		ready = 0;

	for (int i = 0; i < WAL_SEGMENT_TABLE; i++)
		ready += atomic_load_explicit(&w->segment[i].first_lsn, memory_order_relaxed) != 0;
	add(t, "wal_insert_lsn:%llu\r\nwal_completed_lsn:%llu\r\nwal_flushed_lsn:%llu\r\nwal_start_lsn:%llu\r\nwal_prepared_lsn:%llu\r\n",
		(ull) wal_insert_lsn(), (ull) wal_completed_lsn(), (ull) wal_flushed_lsn(), (ull) w->start_lsn,
		(ull) atomic_load_explicit(&w->prepared, memory_order_relaxed));
	add(t, "wal_insert:%" LSN_FORMAT "\r\nwal_flushed:%" LSN_FORMAT "\r\nwal_timeline:%u\r\n",
		LSN_ARGS(wal_insert_lsn()), LSN_ARGS(wal_flushed_lsn()), w->timeline);
	add(t, "wal_flushes:%llu\r\nwal_writes:%llu\r\nwal_bytes_written:%llu\r\nwal_replies_gated:%llu\r\nwal_replies_per_flush:%.2f\r\n",
		(ull) flushes, (ull) atomic_load_explicit(&w->writes, memory_order_relaxed),
		(ull) atomic_load_explicit(&w->bytes_written, memory_order_relaxed), (ull) gated,
		flushes > 0 ? (double) gated / (double) flushes : 0.0);
	add(t, "wal_flush_us_average:%.1f\r\n", flushes > 0 ? (double) us / (double) flushes : 0.0);
	add_histogram(t, "wal_flush_us_histogram", w->flush_us_histogram, (int) lengthof(w->flush_us_histogram), 1);
	add_histogram(t, "wal_group_bytes_histogram", w->group_size_histogram, (int) lengthof(w->group_size_histogram), 64);
	add(t, "wal_segments:%u\r\nwal_segments_created:%llu\r\nwal_segments_recycled:%llu\r\nwal_voids:%llu\r\nwal_space_errno:%u\r\n",
		ready, (ull) atomic_load_explicit(&w->segments_created, memory_order_relaxed),
		(ull) atomic_load_explicit(&w->segments_recycled, memory_order_relaxed),
		(ull) atomic_load_explicit(&w->voids, memory_order_relaxed),
		atomic_load_explicit(&w->space_errno, memory_order_relaxed));
	add(t, "redo_start_lsn:%llu\r\nredo_lsn:%llu\r\nredo_end_hint_lsn:%llu\r\nredo_records:%llu\r\n",
		(ull) atomic_load_explicit(&seg_control->redo_start_lsn, memory_order_relaxed),
		(ull) atomic_load_explicit(&seg_control->redo_lsn, memory_order_relaxed),
		(ull) atomic_load_explicit(&seg_control->redo_end_hint_lsn, memory_order_relaxed),
		(ull) atomic_load_explicit(&seg_control->redo_records, memory_order_relaxed));
}

static void
info_artery_checkpoint(Text *t)
{
	CheckpointStatus c;
	StoreFigures figures;

	checkpoint_status(&c);
	store_figures(&figures);
	add(t, "evict_cut:%llu\r\npromoted_keys:%llu\r\nblind_writes_open:%llu\r\n", (ull) figures.evict_cut,
		(ull) figures.promoted, (ull) figures.blind_open);
	add(t, "transaction_max_bytes:%llu\r\ntransactions_committed:%llu\r\ntransactions_aborted_by_others:%llu\r\n",
		(ull) store_txn_bytes_max(), (ull) figures.txn_committed, (ull) figures.txn_aborted);
	add(t, "checkpoint_step:%s\r\ncheckpoint_progress:%.4f\r\ncheckpoint_pages_to_write:%llu\r\ncheckpoint_pages_written:%llu\r\n",
		checkpoint_step_name(c.step), c.progress, (ull) c.pages_to_write, (ull) c.pages_written);
	add(t, "checkpoint_rounds:%llu\r\ncheckpoint_rounds_committed:%llu\r\ncheckpoint_last_commit:%llu\r\n",
		(ull) c.rounds_attempted, (ull) c.rounds_committed, (ull) (c.last_commit_wall_us / 1000000));
	add_bytes(t, "checkpoint_changed_bytes", c.changed_bytes);
	add(t, "checkpoint_cut:%llu\r\ncheckpoint_older_cut:%llu\r\n", (ull) c.cut, (ull) c.older_cut);
	add(t, "checkpoint_last_round:%llu\r\ncheckpoint_last_cause:%u\r\ncheckpoint_last_requests:%u\r\ncheckpoint_last_keys_written:%llu\r\n"
		"checkpoint_last_keys_removed:%llu\r\ncheckpoint_last_pages_written:%llu\r\ncheckpoint_last_duration_us:%llu\r\n"
		"checkpoint_last_sync_us:%llu\r\ncheckpoint_last_error:%s\r\n",
		(ull) c.last.round, c.last.cause, c.last.requests, (ull) c.last.keys_written, (ull) c.last.keys_removed,
		(ull) c.last.pages_written, (ull) c.last.duration_us, (ull) c.last.sync_us, c.last.error != 0 ? c.last.text : "");
	add(t, "checkpoint_keys_written:%llu\r\ncheckpoint_all_pages_written:%llu\r\ncheckpoint_segments_recycled:%llu\r\n"
		"versions_linked:%llu\r\n",
		(ull) c.keys_written_total, (ull) c.pages_written_total, (ull) c.segments_recycled, (ull) c.linked);
	add(t, "base_pages:%llu\r\nbase_pages_live:%llu\r\nbase_pages_free:%llu\r\nbase_pages_aside:%llu\r\nbase_levels:%u\r\n",
		(ull) c.base.page_count, (ull) c.base.live_pages, (ull) c.base.free_pages, (ull) c.base.aside_pages, c.base.levels);
	add_bytes(t, "base_bytes", c.base.page_count * BASE_PAGE_SIZE);
	add_bytes(t, "base_bytes_live", c.base.live_pages * BASE_PAGE_SIZE);
	add_bytes(t, "base_bytes_free", (c.base.free_pages + c.base.aside_pages) * BASE_PAGE_SIZE);
}

static void
info_artery_pages(Text *t)
{
	BufferStats buffers;
	BaseReadStats reads;

	buffer_stats(&buffers);
	base_read_stats(&reads);
	add_bytes(t, "buffer_pool_size", (uint64) set_buffer_pool_size);
	add(t, "buffer_pool_frames:%llu\r\nbuffer_pool_used:%llu\r\nbuffer_pool_hits:%llu\r\nbuffer_pool_misses:%llu\r\n"
		"buffer_pool_inserted:%llu\r\nbuffer_pool_evicted:%llu\r\nbuffer_pool_refused:%llu\r\n",
		(ull) buffers.frames, (ull) buffers.used, (ull) buffers.hits, (ull) buffers.misses, (ull) buffers.inserted,
		(ull) buffers.evicted, (ull) buffers.refused);
	add(t, "base_reads:%llu\r\nbase_reads_prefetched:%llu\r\nbase_reads_joined:%llu\r\nbase_reads_failed:%llu\r\n"
		"base_pages_corrupt:%llu\r\nbase_pages_stale:%llu\r\ncommands_waited_for_pages:%llu\r\n",
		(ull) reads.reads, (ull) reads.prefetched, (ull) reads.joined, (ull) reads.errors, (ull) reads.corrupt,
		(ull) reads.stale, (ull) stats_sum(STAT_PAGE_WAITS));
}

static void
info_artery_pressure(Text *t)
{
	EvictStatus e;

	evict_status(&e);
	add(t, "evicted_leaves:%llu\r\nevicted_nodes:%llu\r\nevicted_bytes:%llu\r\nevict_clock_rounds:%llu\r\n"
		"evict_checkpoints_asked:%llu\r\ntombstones_swept:%llu\r\ntrees_swept:%llu\r\n",
		(ull) e.leaves_evicted, (ull) e.nodes_evicted, (ull) e.bytes_evicted, (ull) e.clock_rounds,
		(ull) e.checkpoints_asked, (ull) e.tombstones_swept, (ull) e.trees_swept);
	add(t, "complete:%d\r\nprewarm:%s\r\nprewarm_progress:%.4f\r\nprewarm_keys:%llu\r\n",
		e.complete, evict_prewarm_name(e.prewarm), e.prewarm_progress, (ull) e.prewarm_keys);
	add(t, "memory_capacity:%llu\r\nwrite_delay_us:%llu\r\nwrites_delayed:%llu\r\nwrite_delay_us_total:%llu\r\n"
		"memory_waits:%llu\r\nwrites_refused:%llu\r\n",
		(ull) e.capacity, (ull) e.delay_us, (ull) stats_sum(STAT_HELD), (ull) stats_sum(STAT_HELD_US),
		(ull) stats_sum(STAT_MEMORY_WAITS), (ull) e.refused);
}

static void
info_artery_snapshots(Text *t)
{
	StoreSnapshotFigures f;

	store_snapshot_figures(&f);
	add(t, "snapshots_open:%llu\r\nsnapshots_opened:%llu\r\nsnapshot_oldest_lsn:%llu\r\nsnapshot_oldest_age_ms:%llu\r\n",
		(ull) f.open, (ull) f.opened, (ull) f.oldest_lsn, (ull) (f.oldest_age_us / 1000));
	add(t, "snapshot_pinned_bytes:%llu\r\nsnapshot_linked_bytes:%llu\r\nsnapshot_held_bytes:%llu\r\nsnapshot_page_bytes:%llu\r\n",
		(ull) (f.linked_bytes + f.held_bytes + f.page_bytes), (ull) f.linked_bytes, (ull) f.held_bytes, (ull) f.page_bytes);
	add(t, "snapshot_timeout_ms:%llu\r\nsnapshot_max_bytes:%llu\r\n", (ull) set_snapshot_timeout, (ull) set_snapshot_max_bytes);
	add(t, "snapshots_ended_by_timeout:%llu\r\nsnapshots_ended_by_bytes:%llu\r\nsnapshots_ended_by_memory:%llu\r\n"
		"snapshots_ended_by_flushdb:%llu\r\n", (ull) f.ended[SNAPSHOT_TIMEOUT], (ull) f.ended[SNAPSHOT_BYTES],
		(ull) f.ended[SNAPSHOT_MEMORY], (ull) f.ended[SNAPSHOT_TREES]);
}

static void
info_artery_processes(Text *t)
{
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		ProcSlot   *p = proc_slot(i);
		uint32		pid = atomic_load_explicit(&p->pid, memory_order_relaxed);	/* relaxed: for people */
		char		doing[PROC_DOING_MAX];

		if (pid == 0)
			continue;
		memcpy(doing, p->doing, sizeof(doing));
		doing[sizeof(doing) - 1] = '\0';
		add(t, "process_%u:kind=%s,pid=%u,doing=%s", i, proc_kind_name((ProcKind) p->kind), pid, doing);
		if (p->kind == PROC_WORKER)
			add(t, ",clients=%llu,turns=%llu,event_method=%s",
				(ull) atomic_load_explicit(&p->clients, memory_order_relaxed),
				(ull) atomic_load_explicit(&p->heartbeat, memory_order_relaxed),
				tcop_event_methods[atomic_load_explicit(&stats_shared->worker[i - proc_first_slot(PROC_WORKER)].event_method,
														memory_order_relaxed)]);
		add(t, "\r\n");
	}
}

static void
info_artery(Session *s, Text *t)
{
	static const char *const states[] = {"starting", "recovering", "running", "stopping smart", "stopping fast"};
	MemStats	mem;
	uint32		oldest = 0;
	uint64		lag = epoch_oldest_lag(&oldest);
	char		durability[SETTING_VALUE_MAX];
	char		io[SETTING_VALUE_MAX];

	(void) s;
	mem_stats(&mem);
	if (!settings_get("durability", durability, sizeof(durability)) || !settings_get("io_method", io, sizeof(io)))
		NotReached();
	add(t, "# artery\r\nartery_version:%s\r\nstate:%s\r\ngeneration:%u\r\nsystem_id:%016llx\r\ndata_directory:%s\r\nsocket:%s\r\n",
		ARTERY_VERSION, states[Min(server_state(), (uint32) lengthof(states) - 1)],
		atomic_load_explicit(&seg_control->generation, memory_order_relaxed),
		(ull) seg_control->system_id, seg_control->data_dir, seg_control->socket_path);
	add(t, "workers:%u\r\ndurability:%s\r\nio_method:%s\r\nhuge_pages:%s\r\n", client_table->worker_count, durability, io,
		segment_huge_page_state());
	info_artery_log(t);
	info_artery_checkpoint(t);
	info_artery_pages(t);
	info_artery_pressure(t);
	info_artery_snapshots(t);
	add(t, "epoch:%llu\r\nepoch_lag:%llu\r\nepoch_oldest_process:%u\r\n", (ull) epoch_current(), (ull) lag, oldest);
	add(t, "memory_limit:%llu\r\nmemory_reserved:%llu\r\nmemory_used:%llu\r\nmemory_retired:%llu\r\nmemory_cached:%llu\r\n"
		"memory_spans_free:%llu\r\nmemory_lost:%llu\r\n",
		(ull) mem.limit, (ull) mem.reserved, (ull) mem.used, (ull) mem.retired, (ull) mem.cached, (ull) mem.spans_free,
		(ull) mem.lost);
	add(t, "replies_gated_now:%llu\r\nreplies_gated:%llu\r\nreplies_released:%llu\r\ncommands_parked:%llu\r\n"
		"multi_key_retries:%llu\r\nloop_turns:%llu\r\nloop_sleeps:%llu\r\n",
		(ull) stats_level(offsetof(StatsWorker, gated)), (ull) stats_sum(STAT_GATED), (ull) stats_sum(STAT_RELEASED),
		(ull) stats_sum(STAT_PARKED), (ull) stats_sum(STAT_RETRIES), (ull) stats_sum(STAT_TURNS), (ull) stats_sum(STAT_SLEEPS));
	info_artery_processes(t);
}

/* info_feed -- who reads the log, and what is kept for them. */
static void
info_feed(Session *s, Text *t)
{
	WalConsumer consumer[WAL_CONSUMERS];
	uint32		count = 0;
	Lsn			flushed = wal_flushed_lsn();
	Lsn			oldest = wal_feed_oldest();

	(void) s;
	if (wal_consumers_copy(consumer, &count) != WAL_CONSUMER_OK)
		count = 0;				/* somebody has stood at the table for long */
	add(t, "# feed\r\nwal_keep_size:%llu\r\nwal_oldest_lsn:%llu\r\nconsumers:%u\r\n", (ull) set_wal_keep_size, (ull) oldest,
		count);
	for (uint32 i = 0; i < count; i++)
		add(t, "consumer%u:name=%s,position=%llu,lag=%llu,lost=%d\r\n", i, consumer[i].name, (ull) consumer[i].position,
			(ull) (flushed - Min(consumer[i].position, flushed)), consumer[i].position < oldest);
}

typedef struct Section
{
	const char *name;
	void		(*write)(Session *s, Text *t);
	bool		by_default;
} Section;

static const Section sections[] = {
	{"server", info_server, true},
	{"clients", info_clients, true},
	{"memory", info_memory, true},
	{"persistence", info_persistence, true},
	{"stats", info_stats, true},
	{"replication", info_replication, true},
	{"cpu", info_cpu, true},
	{"modules", info_modules, true},
	{"commandstats", info_commandstats, false},
	{"errorstats", info_errorstats, true},
	{"latencystats", info_latencystats, false},
	{"cluster", info_cluster, true},
	{"keyspace", info_keyspace, true},
	{"feed", info_feed, true},
	{"artery", info_artery, true},
};

static bool
section_wanted(Session *s, const Section *section)
{
	if (s->argc == 1)
		return section->by_default;
	for (uint32 i = 1; i < s->argc; i++)
	{
		if (tcop__arg_is(s, i, section->name) || tcop__arg_is(s, i, "all") || tcop__arg_is(s, i, "everything"))
			return true;
		if (tcop__arg_is(s, i, "default") && section->by_default)
			return true;
	}
	return false;
}

TcopResult
tcop__info(Session *s)
{
	Text		t;

	if (tcop__too_many(s))
		return TCOP_DONE;
	text_begin(&t);
	for (size_t i = 0; i < lengthof(sections); i++)
	{
		if (!section_wanted(s, &sections[i]))
			continue;
		if (t.len > 0)
			add(&t, "\r\n");
		sections[i].write(s, &t);
	}
	reply_verbatim(&s->out, t.data, t.len);
	text_end(&t);
	return TCOP_DONE;
}
