/*
 * main.c -- the server binary: arguments, then the role that they name.
 *
 *   artery -D DIR [-c name=value]...           run the server in the foreground
 *   artery --init -D DIR [-c name=value]...    make a data directory
 *   artery --describe-config                   the commented artery.conf
 *   artery --write-settings-doc                doc/settings.md
 *   artery --write-commands-doc                doc/commands.md
 *   artery --version | --help
 *
 * DIR comes from the environment (ARTERY_DATA) when -D is missing.  Exit codes
 * are in postmaster.h.
 */
#include "common/version.h"
#include "access/store/store.h"
#include "postmaster/postmaster.h"
#include "tcop/tcop.h"
#include "storage/ipc/proc.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define OVERRIDES_MAX 256

typedef enum Role
{
	ROLE_SERVER,
	ROLE_INIT,
	ROLE_DESCRIBE_CONFIG,
	ROLE_WRITE_SETTINGS_DOC,
	ROLE_WRITE_COMMANDS_DOC,
	ROLE_VERSION,
	ROLE_HELP
} Role;

typedef struct Arguments
{
	Role		role;
	const char *data_dir;
	const char *overrides[OVERRIDES_MAX];
	int			override_count;
} Arguments;

static const struct option long_options[] = {
	{"init", no_argument, NULL, ROLE_INIT},
	{"describe-config", no_argument, NULL, ROLE_DESCRIBE_CONFIG},
	{"write-settings-doc", no_argument, NULL, ROLE_WRITE_SETTINGS_DOC},
	{"write-commands-doc", no_argument, NULL, ROLE_WRITE_COMMANDS_DOC},
	{"version", no_argument, NULL, ROLE_VERSION},
	{"help", no_argument, NULL, ROLE_HELP},
	{NULL, 0, NULL, 0}
};

static void
print_help(void)
{
	(void) fputs("artery is a storage service for path-shaped, ordered keys.\n"
				 "\n"
				 "Usage:\n"
				 "  artery [-D DIR] [-c NAME=VALUE]...          run the server in the foreground\n"
				 "  artery --init [-D DIR] [-c NAME=VALUE]...   make a data directory\n"
				 "  artery --describe-config                    print a commented artery.conf\n"
				 "  artery --write-settings-doc                 print the manual page of the settings\n"
				 "  artery --write-commands-doc                 print the manual page of the commands\n"
				 "  artery --version | --help\n"
				 "\n"
				 "  -D DIR          data directory; default: the environment's ARTERY_DATA\n"
				 "  -c NAME=VALUE   set a setting; goes before artery.conf\n"
				 "\n"
				 "artery_ctl starts and stops a server in the background.\n",
				 stdout);
}

static void
usage_error(const char *fmt, const char *what) __attribute__((noreturn, format(printf, 1, 0)));

static void
usage_error(const char *fmt, const char *what)
{
	(void) fputs("artery: ", stderr);
	(void) fprintf(stderr, fmt, what);
	(void) fputs("\nTry \"artery --help\" for more information.\n", stderr);
	exit(EXIT_CODE_USAGE);
}

static void
parse_arguments(int argc, char **argv, Arguments *args)
{
	int			option;

	args->role = ROLE_SERVER;
	args->override_count = 0;
	args->data_dir = getenv("ARTERY_DATA");
	while ((option = getopt_long(argc, argv, "D:c:Vh", long_options, NULL)) != -1)
	{
		switch (option)
		{
			case 'D':
				args->data_dir = optarg;
				break;
			case 'c':
				if (args->override_count == OVERRIDES_MAX)
					usage_error("too many options -c%s", "");
				args->overrides[args->override_count++] = optarg;
				break;
			case 'V':
				args->role = ROLE_VERSION;
				break;
			case 'h':
				args->role = ROLE_HELP;
				break;
			case ROLE_INIT:
			case ROLE_DESCRIBE_CONFIG:
			case ROLE_WRITE_SETTINGS_DOC:
			case ROLE_WRITE_COMMANDS_DOC:
			case ROLE_VERSION:
			case ROLE_HELP:
				args->role = (Role) option;
				break;
			default:
				(void) fputs("Try \"artery --help\" for more information.\n", stderr);
				exit(EXIT_CODE_USAGE);	/* getopt has said what is wrong */
		}
	}
	if (optind < argc)
		usage_error("unexpected argument \"%s\"", argv[optind]);
	if ((args->role == ROLE_SERVER || args->role == ROLE_INIT) && (args->data_dir == NULL || args->data_dir[0] == '\0'))
		usage_error("no data directory: neither -D nor %s is given", "ARTERY_DATA");
}

/* load_settings -- from DIR/artery.conf, if it is there, and -c; a wrong one ends the process. */
static void
load_settings(const char *data_dir, const Arguments *args)
{
	char		conf[PATH_MAX + 16];
	char		err[SETTING_ERROR_MAX];
	const char *file = conf;

	(void) snprintf(conf, sizeof(conf), "%s/artery.conf", data_dir);
	if (access(conf, F_OK) != 0 && errno == ENOENT)
		file = NULL;
	if (!settings_load(file, args->overrides, args->override_count, err, sizeof(err)))
		ereport(FATAL, "%s", err);
}

/* write_conf -- a commented artery.conf, unless there is one. */
static void
write_conf(const char *data_dir)
{
	char		conf[PATH_MAX + 16];
	FILE	   *file;
	int			fd;

	(void) snprintf(conf, sizeof(conf), "%s/artery.conf", data_dir);
	fd = open(conf, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return;
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (file == NULL)
		ereport(FATAL, "could not create \"%s\": %m", conf);
	else
	{
		settings_write_sample(file);
		if (fflush(file) != 0 || fclose(file) != 0)
			ereport(FATAL, "could not write \"%s\": %m", conf);
	}
}

/* absolute -- 'path' made absolute, links resolved where it exists; FATAL when it is too long. */
static void
absolute(const char *path, char *result, size_t size)
{
	char		real[PATH_MAX];
	char		cwd[PATH_MAX];
	int			len;

	if (realpath(path, real) != NULL)
		len = snprintf(result, size, "%s", real);
	else if (path[0] == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
		len = snprintf(result, size, "%s", path);
	else
		len = snprintf(result, size, "%s/%s", cwd, path);
	if ((size_t) len >= size)
		ereport(FATAL, "path of the data directory is too long");
}

static int
run_init(const char *data_dir, const Arguments *args)
{
	load_settings(data_dir, args);
	store_init_directory(data_dir);
	write_conf(data_dir);
	/* a directory that was there may have been open to others */
	if (chmod(data_dir, 0700) != 0)
		ereport(FATAL, "could not set permissions of directory \"%s\": %m", data_dir);
	return 0;
}

static int
run_server(const char *data_dir, const Arguments *args)
{
	postmaster_check_directory(data_dir);
	load_settings(data_dir, args);
	return postmaster_main(data_dir);
}

/* flush_output -- what was printed has arrived, or exit code 1. */
static int
flush_output(void)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return 0;
	(void) fputs("artery: could not write to standard output\n", stderr);
	return EXIT_CODE_FATAL;
}

int
main(int argc, char **argv, char **envp)
{
	static Arguments args;
	char		data_dir[1024];	/* as SharedControl has it */

	proc_init_titles(argc, argv, envp);
	(void) umask(S_IRWXG | S_IRWXO);
	parse_arguments(argc, argv, &args);
	elog_init(args.role == ROLE_SERVER ? "postmaster" : NULL);
	switch (args.role)
	{
		case ROLE_VERSION:
			(void) printf("artery %s\n", ARTERY_VERSION);
			return flush_output();
		case ROLE_HELP:
			print_help();
			return flush_output();
		case ROLE_DESCRIBE_CONFIG:
			settings_write_sample(stdout);
			return flush_output();
		case ROLE_WRITE_SETTINGS_DOC:
			settings_write_doc(stdout);
			return flush_output();
		case ROLE_WRITE_COMMANDS_DOC:
			tcop_write_commands_doc(stdout);
			return flush_output();
		case ROLE_INIT:
			absolute(args.data_dir, data_dir, sizeof(data_dir));
			return run_init(data_dir, &args);
		case ROLE_SERVER:
			absolute(args.data_dir, data_dir, sizeof(data_dir));
			return run_server(data_dir, &args);
	}
	NotReached();
}
