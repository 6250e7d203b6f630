/*
 * checkpoint.c -- artery_ctl checkpoint: a checkpoint now, waited for.
 *
 * CHECKPOINT goes over one connection; its answer is the report.  On a terminal
 * the server is asked over a second one, some times a second, how far it is.
 * Without -t the wait has no bound: how long a checkpoint takes depends on how
 * much was changed.  If artery_ctl is interrupted the server goes on with it.
 */
#include "ctl.h"

#include "common/wal_format.h"

#include <hiredis/hiredis.h>
#include <unistd.h>

#define LOOK_MS 200
#define WHY_MAX 512

/* show_progress -- one line that is written over and over: what the server says of the checkpoint that runs. */
static void
show_progress(redisContext *second)
{
	const char *info[] = {"INFO", "artery"};
	char		why[WHY_MAX];
	char		step[64];
	char		part[32];
	char		written[32];
	redisReply *reply = ctl_ask(second, why, sizeof(why), 2, info);

	if (reply == NULL)
		return;
	if (reply->type == REDIS_REPLY_STRING && ctl_info_value(reply->str, "checkpoint_step", step, sizeof(step)) &&
		ctl_info_value(reply->str, "checkpoint_progress", part, sizeof(part)) &&
		ctl_info_value(reply->str, "checkpoint_pages_written", written, sizeof(written)))
	{
		(void) printf("\r\033[Kcheckpoint: %s, %.0f %%, %s pages written", step, 100 * strtod(part, NULL), written);
		(void) fflush(stdout);
	}
	freeReplyObject(reply);
}

/* wait_report -- CHECKPOINT's answer; NULL: said why. */
static redisReply *
wait_report(const CtlOptions *options, redisContext *first, redisContext *second)
{
	int64		start = ctl_mono_ms();
	bool		shown = false;
	redisReply *reply = NULL;

	while (reply == NULL)
	{
		if (!ctl_ask_wait(first, LOOK_MS, &reply))
		{
			(void) ctl_fail("the connection to the server was lost before the checkpoint was done: %s", first->errstr);
			return NULL;
		}
		if (reply == NULL && options->timeout_given && ctl_mono_ms() - start >= (int64) options->timeout_s * 1000)
		{
			(void) ctl_fail("the checkpoint is not done after %d seconds; the server goes on with it", options->timeout_s);
			return NULL;
		}
		if (reply == NULL && second != NULL && second->err == 0)
		{
			show_progress(second);
			shown = true;
		}
	}
	if (shown)
		(void) printf("\r\033[K");
	return reply;
}

/* print_report -- name and number in turn, as they come; a position of the log as everywhere. */
static int
print_report(const CtlOptions *options, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR)
		return ctl_fail("%s", strncmp(reply->str, "ERR ", 4) == 0 ? reply->str + 4 : reply->str);
	if (reply->type != REDIS_REPLY_ARRAY)
		return ctl_fail("the server's answer to CHECKPOINT is not a report");
	ctl_say(options, "checkpoint done\n");
	for (size_t i = 0; i + 1 < reply->elements; i += 2)
	{
		const redisReply *name = reply->element[i];
		const redisReply *value = reply->element[i + 1];

		if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_INTEGER)
			continue;
		if (strcmp(name->str, "cut") == 0)
			ctl_say(options, "%s: %" LSN_FORMAT "\n", name->str, LSN_ARGS((Lsn) value->integer));
		else
			ctl_say(options, "%s: %lld\n", name->str, value->integer);
	}
	return CTL_OK;
}

/* no_wait -- -W: asks for one, and that is all. */
static int
no_wait(const CtlOptions *options, redisContext *context)
{
	const char *command[] = {"BGSAVE"};
	char		why[WHY_MAX];
	redisReply *reply = ctl_ask(context, why, sizeof(why), 1, command);

	if (reply == NULL)
		return ctl_fail("server: %s", why);
	freeReplyObject(reply);
	ctl_say(options, "checkpoint requested\n");
	return CTL_OK;
}

static int
wait_for_it(const CtlOptions *options, const PidFile *file, redisContext *first)
{
	const char *command[] = {"CHECKPOINT"};
	char		why[WHY_MAX];
	redisContext *second = NULL;
	redisReply *reply;
	int			code = CTL_FAILED;

	if (!ctl_ask_send(first, 1, command))
		return ctl_fail("server: cannot be asked: %s", first->errstr);
	if (!options->silent && isatty(STDOUT_FILENO))
		second = ctl_ask_open(options, file, why, sizeof(why));	/* without it there is no progress to show, no more */
	reply = wait_report(options, first, second);
	if (reply != NULL)
	{
		code = print_report(options, reply);
		freeReplyObject(reply);
	}
	if (second != NULL)
		redisFree(second);
	return code;
}

int
ctl_checkpoint(const CtlOptions *options)
{
	PidFile		file;
	char		why[WHY_MAX];
	redisContext *context;
	int			code;

	if (ctl_check_directory(options, CTL_FAILED) != CTL_OK)
		return CTL_FAILED;
	if (pid_file_read(options->data_dir, &file) != 0 || file.pid == 0 || !ctl_process_running(file.pid))
		return ctl_fail("no server running");
	context = ctl_ask_open(options, &file, why, sizeof(why));
	if (context == NULL)
		return ctl_fail("server: %s", why);
	code = options->wait ? wait_for_it(options, &file, context) : no_wait(options, context);
	redisFree(context);
	return code;
}
