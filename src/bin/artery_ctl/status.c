/*
 * status.c -- artery_ctl status: what artery.pid, /proc and the server itself say.
 *
 * Exit code 0: a server runs; 3: none; 4: no data directory there.  What the
 * server says comes by INFO over its socket, with a bound on the wait; a server
 * that does not answer is still a server that runs, and says so.
 */
#include "ctl.h"

#include "common/conf.h"

#include <dirent.h>
#include <hiredis/hiredis.h>
#include <sys/time.h>
#include <time.h>

#define ASK_TIMEOUT_S 5

/* print_processes -- the postmaster's children by their titles, from /proc. */
static void
print_processes(int postmaster_pid)
{
	DIR		   *proc = opendir("/proc");
	struct dirent *entry;

	if (proc == NULL)
		return;
	(void) puts("processes:");
	while ((entry = readdir(proc)) != NULL)
	{
		char		path[300];
		char		text[512];
		const char *rest;
		FILE	   *file;
		size_t		len;
		int			parent;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		(void) snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		file = fopen(path, "re");
		if (file == NULL)
			continue;
		len = fread(text, 1, sizeof(text) - 1, file);
		(void) fclose(file);
		text[len] = '\0';
		rest = strrchr(text, ')');
		if (rest == NULL || sscanf(rest, ") %*c %d", &parent) != 1 || parent != postmaster_pid)
			continue;
		(void) snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		file = fopen(path, "re");
		if (file == NULL)
			continue;
		len = fread(text, 1, sizeof(text) - 1, file);
		(void) fclose(file);
		text[len] = '\0';	/* setproctitle leaves one string */
		(void) printf("  %s %s\n", entry->d_name, text);
	}
	(void) closedir(proc);
}

/* ask -- one command; NULL: no answer, or an error (said why). */
static redisReply *
ask(redisContext *context, int argc, const char **argv)
{
	redisReply *reply = redisCommandArgv(context, argc, argv, NULL);

	if (reply == NULL)
		(void) printf("server: does not answer: %s\n", context->errstr);
	else if (reply->type == REDIS_REPLY_ERROR)
	{
		(void) printf("server: %s\n", reply->str);
		freeReplyObject(reply);
		reply = NULL;
	}
	return reply;
}

/* print_info -- of INFO's text the lines that say what a person wants to know at a glance. */
static void
print_info(char *text)
{
	static const char *const wanted[] = {
		"artery_version", "connected_clients", "maxclients",   "used_memory_human", "maxmemory_human", "generation",
		"durability",	  "io_method",		   "huge_pages",   "wal_insert",		"wal_flushed",	   "wal_segments",
	};
	bool		printed[lengthof(wanted)] = {false};	/* a name may stand in two sections */
	char	   *save = NULL;

	for (char *line = strtok_r(text, "\r\n", &save); line != NULL; line = strtok_r(NULL, "\r\n", &save))
	{
		char	   *colon = strchr(line, ':');

		if (colon == NULL)
			continue;
		*colon = '\0';
		for (size_t i = 0; i < lengthof(wanted); i++)
			if (!printed[i] && strcmp(line, wanted[i]) == 0)
			{
				(void) printf("%s: %s\n", line, colon + 1);
				printed[i] = true;
			}
	}
}

/* print_server -- what the server says of itself. */
static void
print_server(const CtlOptions *options, const PidFile *file)
{
	struct timeval timeout = {.tv_sec = ASK_TIMEOUT_S};
	const char *auth[] = {"AUTH", NULL};
	const char *info[] = {"INFO", "everything"};
	char		conf[PATH_MAX + 16];
	char		password[CONF_VALUE_MAX];
	redisContext *context = redisConnectUnixWithTimeout(file->socket_path, timeout);
	redisReply *reply = NULL;

	if (context == NULL || context->err)
	{
		(void) printf("server: cannot be asked: %s\n", context != NULL ? context->errstr : "out of memory");
		if (context != NULL)
			redisFree(context);
		return;
	}
	(void) redisSetTimeout(context, timeout);
	(void) snprintf(conf, sizeof(conf), "%s/artery.conf", options->data_dir);
	if (conf_find(conf, "requirepass", password, sizeof(password)) && password[0] != '\0')
	{
		auth[1] = password;
		reply = ask(context, 2, auth);
		if (reply != NULL)
			freeReplyObject(reply);
	}
	if (context->err == 0 && (reply = ask(context, 2, info)) != NULL)
	{
		if (reply->type == REDIS_REPLY_STRING)
			print_info(reply->str);
		freeReplyObject(reply);
	}
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
	print_processes(file.pid);
	return CTL_OK;
}
