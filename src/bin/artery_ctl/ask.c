/*
 * ask.c -- a client connection to the running server: for status and checkpoint.
 *
 * Over the UNIX socket that artery.pid names, with the password of artery.conf if
 * there is one.  Every answer has a bound of ASK_TIMEOUT_S seconds, but for those
 * that ctl_ask_wait waits for.
 */
#include "ctl.h"

#include "common/conf.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/time.h>

#define ASK_TIMEOUT_S 5

/* connect_failed -- 'why' gets the reason; the context goes. */
static redisContext *
connect_failed(redisContext *context, char *why, size_t size, const char *reason)
{
	(void) snprintf(why, size, "%s", reason);
	if (context != NULL)
		redisFree(context);
	return NULL;
}

redisReply *
ctl_ask(redisContext *context, char *why, size_t size, int argc, const char **argv)
{
	redisReply *reply = redisCommandArgv(context, argc, argv, NULL);

	if (reply == NULL)
		(void) snprintf(why, size, "does not answer: %s", context->errstr);
	else if (reply->type == REDIS_REPLY_ERROR)
	{
		(void) snprintf(why, size, "%s", reply->str);
		freeReplyObject(reply);
		reply = NULL;
	}
	return reply;
}

redisContext *
ctl_ask_open(const CtlOptions *options, const PidFile *file, char *why, size_t size)
{
	struct timeval timeout = {.tv_sec = ASK_TIMEOUT_S};
	const char *auth[] = {"AUTH", NULL};
	char		conf[PATH_MAX + 16];
	char		password[CONF_VALUE_MAX];
	char		error[256];
	redisReply *reply;
	redisContext *context = redisConnectUnixWithTimeout(file->socket_path, timeout);

	if (context == NULL || context->err)
	{
		(void) snprintf(error, sizeof(error), "cannot be asked: %s", context != NULL ? context->errstr : "out of memory");
		return connect_failed(context, why, size, error);
	}
	(void) redisSetTimeout(context, timeout);
	(void) snprintf(conf, sizeof(conf), "%s/artery.conf", options->data_dir);
	if (!conf_find(conf, "requirepass", password, sizeof(password)) || password[0] == '\0')
		return context;
	auth[1] = password;
	reply = ctl_ask(context, error, sizeof(error), 2, auth);
	if (reply == NULL && context->err)
		return connect_failed(context, why, size, error);
	if (reply != NULL)
		freeReplyObject(reply);
	return context;			/* a password that is wrong shows in the answers to come */
}

bool
ctl_ask_send(redisContext *context, int argc, const char **argv)
{
	int			done = 0;

	if (redisAppendCommandArgv(context, argc, argv, NULL) != REDIS_OK)
		return false;
	while (!done)
		if (redisBufferWrite(context, &done) != REDIS_OK)
			return false;
	return true;
}

bool
ctl_ask_wait(redisContext *context, int timeout_ms, redisReply **reply)
{
	struct pollfd wait = {.fd = context->fd, .events = POLLIN};
	void	   *got = NULL;
	int			n;

	*reply = NULL;
	n = poll(&wait, 1, timeout_ms);
	if (n == 0 || (n < 0 && errno == EINTR))
		return true;
	if (n < 0 || redisBufferRead(context) != REDIS_OK || redisGetReplyFromReader(context, &got) != REDIS_OK)
		return false;
	*reply = got;
	return true;
}

bool
ctl_info_value(const char *info, const char *name, char *value, size_t size)
{
	size_t		len = strlen(name);

	for (const char *line = info; line != NULL && *line != '\0';)
	{
		if (strncmp(line, name, len) == 0 && line[len] == ':')
		{
			(void) snprintf(value, size, "%.*s", (int) strcspn(line + len + 1, "\r\n"), line + len + 1);
			return true;
		}
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}
	return false;
}
