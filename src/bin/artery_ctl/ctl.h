/*
 * ctl.h -- what the files of artery_ctl share.
 *
 * artery_ctl starts, stops and asks servers from outside: by the server binary
 * beside it, by signals, by artery.pid and by the client protocol.  It never
 * looks into a running server's memory or log.
 */
#ifndef ARTERY_BIN_CTL_H
#define ARTERY_BIN_CTL_H

#include "common/c.h"
#include "common/pid_file.h"

#include <limits.h>
#include <sys/types.h>

/* exit codes, as pg_ctl's */
enum
{
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_NOT_RUNNING = 3,	/* status */
	CTL_NO_DIRECTORY = 4	/* status: missing or not initialised */
};

typedef enum StopMode
{
	STOP_SMART,			/* SIGTERM: waits until the clients have left */
	STOP_FAST,			/* SIGINT: closes the clients */
	STOP_IMMEDIATE		/* SIGQUIT: ends at once, recovery at the next start */
} StopMode;

#define CTL_OPTIONS_MAX 64

/* CtlOptions -- the command line; strings belong to argv or live as long as the process. */
typedef struct CtlOptions
{
	char		data_dir[PATH_MAX];	/* absolute where it exists */
	const char *log_file;			/* -l; NULL: the server keeps our standard output and error */
	StopMode	mode;
	int			timeout_s;
	bool		timeout_given;			/* by -t */
	bool		wait;
	bool		silent;
	const char *settings[CTL_OPTIONS_MAX];	/* name=value, for -c of the server */
	int			setting_count;
} CtlOptions;

/* ---- main.c ---- */
/* ctl_say -- progress and results to standard output, not with -s. */
extern void ctl_say(const CtlOptions *options, const char *fmt, ...) attribute_printf(2, 3);
/* ctl_fail -- one line to standard error, with "artery_ctl: " in front; returns CTL_FAILED. */
extern int ctl_fail(const char *fmt, ...) attribute_printf(1, 2);
/* ctl_refuse -- the same for functions that answer false. */
#define ctl_refuse(...) (ctl_fail(__VA_ARGS__) == CTL_OK)
/* ctl_check_directory -- CTL_OK, or the exit code when data_dir is missing or not initialised (said why). */
extern int ctl_check_directory(const CtlOptions *options, int code);

/* ---- server.c: the artery binary ---- */
/* ctl_server_path -- the one beside this program, of the same version; false: said why. */
extern bool ctl_server_path(char *path, size_t size) attribute_must_check;
/* ctl_server_open -- run it with one option and read what it prints; NULL: said why. */
extern FILE *ctl_server_open(const char *server, const char *option, pid_t *pid) attribute_must_check;
/* ctl_server_close -- true if it printed all and ended well. */
extern bool ctl_server_close(FILE *in, pid_t pid) attribute_must_check;

/* ---- ask.c: a client connection ---- */
struct redisContext;
struct redisReply;
/* ctl_ask_open -- connected, and authenticated where artery.conf has a password; NULL: 'why' says what is wrong. */
extern struct redisContext *ctl_ask_open(const CtlOptions *options, const PidFile *file, char *why, size_t size)
	attribute_must_check;
/* ctl_ask -- one command and its answer; NULL: none came, or an error ('why'). */
extern struct redisReply *ctl_ask(struct redisContext *context, char *why, size_t size, int argc, const char **argv)
	attribute_must_check;
/* ctl_ask_send -- a command whose answer is fetched by ctl_ask_wait; false: the connection is lost (context->errstr). */
extern bool ctl_ask_send(struct redisContext *context, int argc, const char **argv) attribute_must_check;
/* ctl_ask_wait -- waits up to timeout_ms; *reply NULL: not yet.  False: the connection is lost. */
extern bool ctl_ask_wait(struct redisContext *context, int timeout_ms, struct redisReply **reply) attribute_must_check;
/* ctl_info_value -- of INFO's text the line "name:value"; false: there is none. */
extern bool ctl_info_value(const char *info, const char *name, char *value, size_t size) attribute_must_check;

/* ---- wait.c ---- */
/* ctl_process_running -- a zombie does not run. */
extern bool ctl_process_running(int pid);
/* ctl_each_child -- calls 'see' with pid and title of every child of a server, from /proc. */
extern void ctl_each_child(int postmaster_pid, void (*see)(int pid, const char *title, void *arg), void *arg);
extern int64 ctl_mono_ms(void);

typedef enum WaitAnswer
{
	WAIT_MORE,
	WAIT_DONE,
	WAIT_FAILED
} WaitAnswer;

/*
 * ctl_wait -- ask until it is done, has failed, or timeout_s has passed (then WAIT_MORE).
 * Prints a dot a second.
 */
extern WaitAnswer ctl_wait(const CtlOptions *options, WaitAnswer (*ask)(const CtlOptions *options, void *arg), void *arg);

/* ---- the sub-commands: exit codes ---- */
extern int ctl_init(const CtlOptions *options);		/* init.c */
extern int ctl_start(const CtlOptions *options);	/* start.c */
extern int ctl_stop(const CtlOptions *options);		/* stop.c */
extern int ctl_restart(const CtlOptions *options);	/* stop.c */
extern int ctl_reload(const CtlOptions *options);	/* stop.c */
extern int ctl_status(const CtlOptions *options);	/* status.c */
extern int ctl_checkpoint(const CtlOptions *options);	/* checkpoint.c */

#endif
