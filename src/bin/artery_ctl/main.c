/*
 * main.c -- artery_ctl: make, start, stop and look at a server.
 *
 * Reads the command line and runs one sub-command.  Options may stand before or
 * after it.  Messages and exit codes are those of pg_ctl, so that scripts and
 * fingers that know pg_ctl work.
 */
#include "ctl.h"

#include "common/version.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPTION_HELP 1000	/* --help has no letter of its own */

typedef struct SubCommand
{
	const char *name;
	int			(*run)(const CtlOptions *options);
} SubCommand;

static const SubCommand sub_commands[] = {
	{"init", ctl_init},		  {"start", ctl_start},	  {"stop", ctl_stop},
	{"restart", ctl_restart}, {"reload", ctl_reload}, {"status", ctl_status},
	{"checkpoint", ctl_checkpoint},
};

static const char usage_text[] =
	"artery_ctl makes, starts, stops and looks at an artery server.\n"
	"\n"
	"Usage:\n"
	"  artery_ctl init    [-D DATADIR] [-c NAME=VALUE]... [-s]\n"
	"  artery_ctl start   [-D DATADIR] [-l LOGFILE] [-W] [-t SECS] [-c NAME=VALUE]... [-s]\n"
	"  artery_ctl stop    [-D DATADIR] [-m SHUTDOWN-MODE] [-W] [-t SECS] [-s]\n"
	"  artery_ctl restart [-D DATADIR] [-m SHUTDOWN-MODE] [-l LOGFILE] [-W] [-t SECS] [-c NAME=VALUE]... [-s]\n"
	"  artery_ctl reload  [-D DATADIR] [-s]\n"
	"  artery_ctl status  [-D DATADIR]\n"
	"  artery_ctl checkpoint [-D DATADIR] [-W] [-t SECS] [-s]\n"
	"\n"
	"Options (before or after the sub-command):\n"
	"  -D, --data=DATADIR         the data directory (default: environment variable ARTERY_DATA)\n"
	"  -l, --log=LOGFILE          append the server's log to LOGFILE (default: it stays on this terminal)\n"
	"  -m, --mode=MODE            smart, fast or immediate (default: fast)\n"
	"  -c, --set=NAME=VALUE       a setting: for this start only; init writes it to artery.conf\n"
	"  -o, --options=OPTIONS      the same, or several as in pg_ctl: -o \"-c NAME=VALUE -c NAME=VALUE\"\n"
	"  -t, --timeout=SECS         seconds to wait with -w (default: 60; a checkpoint is waited for without bound)\n"
	"  -w, --wait                 wait until it is done (default)\n"
	"  -W, --no-wait              do not wait\n"
	"  -s, --silent               print errors only\n"
	"  -V, --version              print the version, then exit\n"
	"  -?, --help                 print this, then exit\n"
	"\n"
	"Shutdown modes:\n"
	"  smart       end after all clients have disconnected, with a checkpoint\n"
	"  fast        disconnect clients, then end in order\n"
	"  immediate   end at once; the next start recovers from the log\n"
	"\n"
	"Exit codes: 0 done, 1 failed, 3 (status) no server running, 4 (status) no data directory there.\n";

void
ctl_say(const CtlOptions *options, const char *fmt, ...)
{
	va_list		args;

	if (options->silent)
		return;
	va_start(args, fmt);
	(void) vprintf(fmt, args);
	va_end(args);
	(void) fflush(stdout);
}

int
ctl_fail(const char *fmt, ...)
{
	va_list		args;

	(void) fflush(stdout);
	(void) fputs("artery_ctl: ", stderr);
	va_start(args, fmt);
	(void) vfprintf(stderr, fmt, args);
	va_end(args);
	(void) fputc('\n', stderr);
	return CTL_FAILED;
}

static int
fail_with_advice(void)
{
	(void) fputs("Try \"artery_ctl --help\" for more information.\n", stderr);
	return CTL_FAILED;
}

int
ctl_check_directory(const CtlOptions *options, int code)
{
	char		control[PATH_MAX + 16];
	struct stat st;

	if (stat(options->data_dir, &st) != 0)
	{
		if (errno == ENOENT)
			(void) ctl_fail("directory \"%s\" does not exist", options->data_dir);
		else
			(void) ctl_fail("could not access directory \"%s\": %m", options->data_dir);
		return code;
	}
	(void) snprintf(control, sizeof(control), "%s/control", options->data_dir);
	if (stat(control, &st) != 0 && errno == ENOENT)
	{
		(void) ctl_fail("directory \"%s\" is not an artery data directory (artery_ctl init makes one)",
						options->data_dir);
		return code;
	}
	return CTL_OK;
}

/* add_setting -- one NAME=VALUE for the server. */
static bool
add_setting(CtlOptions *options, const char *setting)
{
	if (strchr(setting, '=') == NULL || setting[0] == '=')
	{
		(void) ctl_fail("\"%s\" is not of the form name=value", setting);
		return false;
	}
	if (options->setting_count == CTL_OPTIONS_MAX)
	{
		(void) ctl_fail("more than %d settings on the command line", CTL_OPTIONS_MAX);
		return false;
	}
	options->settings[options->setting_count++] = setting;
	return true;
}

/* add_option_words -- -o: NAME=VALUE as it is, or words that begin with -c, split at blanks. */
static bool
add_option_words(CtlOptions *options, const char *text)
{
	char	   *copy;
	char	   *save = NULL;
	bool		good = true;

	if (text[0] != '-')
		return add_setting(options, text);
	copy = strdup(text);
	Verify(copy != NULL);
	for (char *word = strtok_r(copy, " \t", &save); good && word != NULL; word = strtok_r(NULL, " \t", &save))
	{
		if (strcmp(word, "-c") == 0 || strncmp(word, "--", 2) == 0)
			word = word[1] == 'c' ? strtok_r(NULL, " \t", &save) : word + 2;
		else if (strncmp(word, "-c", 2) == 0)
			word += 2;
		else
		{
			(void) ctl_fail("option -o: \"%s\" is not -c name=value", word);
			return false;
		}
		good = add_setting(options, word != NULL ? word : "");
	}
	return good;	/* copy stays: the settings point into it */
}

static bool
parse_mode(const char *text, StopMode *mode)
{
	static const char *const names[] = {"smart", "fast", "immediate"};

	for (size_t i = 0; i < lengthof(names); i++)
		if (strcmp(text, names[i]) == 0 || (text[0] == names[i][0] && text[1] == '\0'))
		{
			*mode = (StopMode) i;
			return true;
		}
	(void) ctl_fail("unrecognized shutdown mode \"%s\"", text);
	return false;
}

static bool
parse_timeout(const char *text, int *seconds)
{
	char	   *end;
	long		value = strtol(text, &end, 10);

	if (end == text || *end != '\0' || value < 0 || value > 86400)
	{
		(void) ctl_fail("invalid timeout \"%s\": seconds are wanted, at most 86400", text);
		return false;
	}
	*seconds = (int) value;
	return true;
}

/* set_directory -- absolute, because the server must not depend on where it was started. */
static bool
set_directory(CtlOptions *options, const char *path)
{
	char		cwd[PATH_MAX];
	size_t		len;

	if (realpath(path, options->data_dir) != NULL)
		return true;
	/* not there yet, or not readable: make it absolute by hand, without a slash at the end */
	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
	{
		(void) ctl_fail("could not find the current directory: %m");
		return false;
	}
	len = (size_t) snprintf(options->data_dir, sizeof(options->data_dir), "%s%s%s", path[0] == '/' ? "" : cwd,
							path[0] == '/' ? "" : "/", path);
	if (len >= sizeof(options->data_dir))
	{
		(void) ctl_fail("path of the data directory is too long");
		return false;
	}
	while (len > 1 && options->data_dir[len - 1] == '/')
		options->data_dir[--len] = '\0';
	return true;
}

/* parse_options -- -1: go on; else the exit code. */
static int
parse_options(int argc, char **argv, CtlOptions *options, const char **directory)
{
	static const struct option long_options[] = {
		{"data", required_argument, NULL, 'D'},	   {"log", required_argument, NULL, 'l'},
		{"mode", required_argument, NULL, 'm'},	   {"set", required_argument, NULL, 'c'},
		{"options", required_argument, NULL, 'o'}, {"timeout", required_argument, NULL, 't'},
		{"wait", no_argument, NULL, 'w'},		   {"no-wait", no_argument, NULL, 'W'},
		{"silent", no_argument, NULL, 's'},		   {"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, OPTION_HELP},  {NULL, 0, NULL, 0},
	};
	bool		good = true;
	int			c;

	while (good && (c = getopt_long(argc, argv, "D:l:m:c:o:t:wWsV", long_options, NULL)) != -1)
		switch (c)
		{
			case 'D':
				*directory = optarg;
				break;
			case 'l':
				options->log_file = optarg;
				break;
			case 'm':
				good = parse_mode(optarg, &options->mode);
				break;
			case 'c':
				good = add_setting(options, optarg);
				break;
			case 'o':
				good = add_option_words(options, optarg);
				break;
			case 't':
				good = parse_timeout(optarg, &options->timeout_s);
				options->timeout_given = true;
				break;
			case 'w':
			case 'W':
				options->wait = c == 'w';
				break;
			case 's':
				options->silent = true;
				break;
			case 'V':
				(void) puts("artery_ctl " ARTERY_VERSION);
				return CTL_OK;
			case OPTION_HELP:
				(void) fputs(usage_text, stdout);
				return CTL_OK;
			default:
				good = false;	/* getopt has said what is wrong */
				break;
		}
	return good ? -1 : fail_with_advice();
}

int
main(int argc, char **argv)
{
	static char help_word[] = "--help";
	static CtlOptions options = {.mode = STOP_FAST, .timeout_s = 60, .wait = true};
	const char *directory = getenv("ARTERY_DATA");
	int			code;

	/* "-?" looks to getopt like an option that does not exist */
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "-?") == 0)
			argv[i] = help_word;
	code = parse_options(argc, argv, &options, &directory);
	if (code >= 0)
		return code;
	if (optind == argc)
	{
		(void) ctl_fail("no operation specified");
		return fail_with_advice();
	}
	if (optind + 1 < argc)
	{
		(void) ctl_fail("too many command-line arguments (first is \"%s\")", argv[optind + 1]);
		return fail_with_advice();
	}
	for (size_t i = 0; i < lengthof(sub_commands); i++)
		if (strcmp(argv[optind], sub_commands[i].name) == 0)
		{
			if (directory == NULL || directory[0] == '\0')
			{
				(void) ctl_fail("no data directory specified and environment variable ARTERY_DATA unset");
				return fail_with_advice();
			}
			if (!set_directory(&options, directory))
				return CTL_FAILED;
			return sub_commands[i].run(&options);
		}
	(void) ctl_fail("unrecognized operation mode \"%s\"", argv[optind]);
	return fail_with_advice();
}
