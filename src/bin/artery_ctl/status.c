/*
 * status.c -- artery_ctl status: what artery.pid, /proc and the server itself say.
 *
 * Exit code 0: a server runs; 3: none; 4: no data directory there.  What the
 * server says comes by INFO over its socket, with a bound on the wait; a server
 * that does not answer is still a server that runs, and says so.
 */
#include "ctl.h"

#include <hiredis/hiredis.h>
#include <time.h>

static void
print_process(int pid, const char *title, void *arg)
{
	(void) arg;
	(void) printf("  %d %s\n", pid, title);
}

/* print_time -- a time of day as INFO has it, in seconds since 1970. */
static void
print_time(const char *name, const char *seconds)
{
	time_t		when = (time_t) strtoll(seconds, NULL, 10);
	struct tm	tm;
	char		text[64];

	(void) strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&when, &tm));
	(void) printf("%s: %s\n", name, text);
}

/* print_base -- how large the data file is, and how much of it is in use. */
static void
print_base(const char *info)
{
	char		live[32];
	char		free[32];
	char		total[32];

	if (ctl_info_value(info, "base_bytes_live_human", live, sizeof(live)) &&
		ctl_info_value(info, "base_bytes_free_human", free, sizeof(free)) &&
		ctl_info_value(info, "base_bytes_human", total, sizeof(total)))
		(void) printf("base: %s live, %s free, %s in all\n", live, free, total);
}

/* print_pool -- how full the buffer pool is, and how often a page was found in it. */
static void
print_pool(const char *info)
{
	static const char *const names[] = {"buffer_pool_frames", "buffer_pool_used", "buffer_pool_hits", "buffer_pool_misses"};
	char		text[32];
	double		value[lengthof(names)];

	for (size_t i = 0; i < lengthof(names); i++)
	{
		if (!ctl_info_value(info, names[i], text, sizeof(text)))
			return;
		value[i] = strtod(text, NULL);
	}
	if (!ctl_info_value(info, "buffer_pool_size_human", text, sizeof(text)))
		return;
	(void) printf("buffer_pool: %s, %.0f %% used", text, value[0] > 0 ? 100 * value[1] / value[0] : 0.0);
	if (value[2] + value[3] > 0)
		(void) printf(", %.1f %% of lookups found their page", 100 * value[2] / (value[2] + value[3]));
	(void) putchar('\n');
}

/* print_checkpoint -- what runs, the last one, and what went wrong with it. */
static void
print_checkpoint(const char *info)
{
	char		text[512];
	char		part[32];

	if (ctl_info_value(info, "checkpoint_step", text, sizeof(text)) && strcmp(text, "idle") != 0 &&
		ctl_info_value(info, "checkpoint_progress", part, sizeof(part)))
		(void) printf("checkpoint: %s, %.0f %%\n", text, 100 * strtod(part, NULL));
	if (ctl_info_value(info, "checkpoint_changed_bytes_human", text, sizeof(text)))
		(void) printf("log_since_checkpoint: %s\n", text);
	if (ctl_info_value(info, "rdb_last_save_time", text, sizeof(text)))
		print_time("last_checkpoint", text);
	if (ctl_info_value(info, "checkpoint_last_error", text, sizeof(text)) && text[0] != '\0')
		(void) printf("last_checkpoint_error: %s\n", text);
}

/* print_snapshots -- if there are any. */
static void
print_snapshots(const char *info)
{
	char		open[64];
	char		lsn[64];
	char		age[64];
	char		bytes[64];

	if (ctl_info_value(info, "snapshots_open", open, sizeof(open)) && strcmp(open, "0") != 0 &&
		ctl_info_value(info, "snapshot_oldest_lsn", lsn, sizeof(lsn)) &&
		ctl_info_value(info, "snapshot_oldest_age_ms", age, sizeof(age)) &&
		ctl_info_value(info, "snapshot_pinned_bytes", bytes, sizeof(bytes)))
		(void) printf("snapshots: %s open, the oldest at %s for %.1f s, %s bytes kept for them\n", open, lsn,
					  strtod(age, NULL) / 1000, bytes);
}

/* print_consumers -- who reads the log, and how far behind. */
static void
print_consumers(const char *info)
{
	char		name[32];
	char		text[512];

	for (int i = 0; (void) snprintf(name, sizeof(name), "consumer%d", i), ctl_info_value(info, name, text, sizeof(text)); i++)
		(void) printf("consumer: %s\n", text);
}

/* print_info -- of INFO's text the lines that say what a person wants to know at a glance. */
static void
print_info(const char *info)
{
	static const char *const wanted[] = {
		"artery_version", "connected_clients", "maxclients", "used_memory_human", "maxmemory_human", "generation",
		"durability",	  "io_method",		   "huge_pages", "wal_insert",		  "wal_flushed",	 "wal_segments",
	};
	char		value[512];

	for (size_t i = 0; i < lengthof(wanted); i++)
		if (ctl_info_value(info, wanted[i], value, sizeof(value)))
			(void) printf("%s: %s\n", wanted[i], value);
	print_base(info);
	print_pool(info);
	print_checkpoint(info);
	print_snapshots(info);

	print_consumers(info);
	if (ctl_info_value(info, "prewarm", value, sizeof(value)))
		(void) printf("prewarm: %s\n", value);
}

/* print_server -- what the server says of itself. */
static void
print_server(const CtlOptions *options, const PidFile *file)
{
	const char *info[] = {"INFO", "everything"};
	char		why[512];
	redisContext *context = ctl_ask_open(options, file, why, sizeof(why));
	redisReply *reply = context != NULL ? ctl_ask(context, why, sizeof(why), 2, info) : NULL;

	if (reply == NULL)
		(void) printf("server: %s\n", why);
	else
	{
		if (reply->type == REDIS_REPLY_STRING)
			print_info(reply->str);
		freeReplyObject(reply);
	}
	if (context != NULL)
		redisFree(context);
}

int
ctl_status(const CtlOptions *options)
{
	PidFile		file;
	time_t		started;
	struct tm	tm;
	char		when[64];

	if (ctl_check_directory(options, CTL_NO_DIRECTORY) != CTL_OK)
		return CTL_NO_DIRECTORY;
	if (pid_file_read(options->data_dir, &file) != 0 || file.pid == 0 || !ctl_process_running(file.pid))
	{
		(void) puts("artery_ctl: no server running");
		return CTL_NOT_RUNNING;
	}
	(void) printf("artery_ctl: server is running (PID: %d)\n", file.pid);
	started = (time_t) file.start_wall_s;
	(void) strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&started, &tm));
	(void) printf("data directory: %s\n", file.data_dir);
	(void) printf("state: %s\n", file.state[0] != '\0' ? file.state : "starting");
	(void) printf("started: %s, up %lld s\n", when, (long long) (time(NULL) - started));
	(void) printf("socket: %s\n", file.socket_path);
	if (strcmp(file.state, "ready") == 0)
		print_server(options, &file);
	(void) puts("processes:");
	ctl_each_child(file.pid, print_process, NULL);
	return CTL_OK;
}
