/*
 * init.c -- artery_ctl init: make a data directory.
 *
 * The directory may be there, but must be empty.  The server binary writes the
 * commented artery.conf (artery --describe-config), in which the settings given
 * by -c are put into force, and makes everything else (artery --init); its
 * control file comes last, so that a directory is either whole or not one.  What
 * was made is removed again if any of it fails.
 */
#include "ctl.h"

#include "common/conf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* make_directories -- mkdir -p, mode 0700; *made: the last one was not there. */
static bool
make_directories(const char *path, bool *made)
{
	char		part[PATH_MAX];

	*made = false;
	(void) snprintf(part, sizeof(part), "%s", path);
	for (char *slash = part + 1;; slash++)
	{
		bool		last = *slash == '\0';

		if (*slash != '/' && !last)
			continue;
		*slash = '\0';
		if (mkdir(part, 0700) == 0)
			*made = last;
		else if (errno != EEXIST)
		{
			(void) ctl_fail("could not create directory \"%s\": %m", part);
			return false;
		}
		if (last)
			return true;
		*slash = '/';
	}
}

/* check_empty -- 0 entries but "." and ".."; false: said why. */
static bool
check_empty(const char *path)
{
	DIR		   *dir = opendir(path);
	struct dirent *entry;
	bool		empty = true;

	if (dir == NULL)
	{
		(void) ctl_fail("could not access directory \"%s\": %m", path);
		return false;
	}
	while (empty && (entry = readdir(dir)) != NULL)
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	(void) closedir(dir);
	if (!empty)
	{
		(void) ctl_fail("directory \"%s\" exists but is not empty", path);
		(void) fprintf(stderr,
					   "If you want to make a new data directory, either remove or empty the directory\n"
					   "\"%s\" or run artery_ctl with an argument other than \"%s\".\n",
					   path, path);
	}
	return empty;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) st;
	(void) type;
	/* the top itself only by the caller: it may not be ours */
	return ftw->level == 0 ? 0 : remove(path);
}

/* undo -- leave the directory as it was found. */
static void
undo(const CtlOptions *options, bool made)
{
	(void) nftw(options->data_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	if (made)
	{
		(void) fprintf(stderr, "artery_ctl: removing data directory \"%s\"\n", options->data_dir);
		(void) rmdir(options->data_dir);
	}
	else
		(void) fprintf(stderr, "artery_ctl: removing contents of data directory \"%s\"\n", options->data_dir);
}

/* setting_for -- the -c setting whose name stands in 'line' as "#name = ..."; -1: none. */
static int
setting_for(const CtlOptions *options, const char *line, char *value, size_t size)
{
	char		name[CONF_NAME_MAX];
	char		err[256];
	int			found = -1;

	if (line[0] != '#')
		return -1;
	for (int i = 0; i < options->setting_count; i++)
	{
		size_t		len;
		char		candidate[CONF_VALUE_MAX];

		/* what is not of that form was refused when the command line was read */
		if (!conf_split(options->settings[i], name, sizeof(name), candidate, sizeof(candidate), err, sizeof(err)))
			continue;
		len = strlen(name);
		if (strncmp(line + 1, name, len) == 0 && strncmp(line + 1 + len, " = ", 3) == 0)
		{
			(void) snprintf(value, size, "%s", candidate);
			found = i;	/* the last one of a name wins */
		}
	}
	return found;
}

/* needs_quotes -- numbers and words stand in the file as they are. */
static bool
needs_quotes(const char *value)
{
	size_t		len = strlen(value);

	return len == 0 ||
		strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") != len;
}

/*
 * write_line -- a line of the sample into artery.conf, put into force if -c says so.
 * A value that a file cannot hold (a line end in it) is an error.
 */
static bool
write_line(const CtlOptions *options, FILE *out, const char *line)
{
	char		value[CONF_VALUE_MAX];
	char		quoted[2 * CONF_VALUE_MAX + 4];
	int			found = setting_for(options, line, value, sizeof(value));

	if (found < 0)
		return fputs(line, out) >= 0;
	if (!conf_quote(value, quoted, sizeof(quoted)))
	{
		(void) ctl_fail("value of \"%s\" cannot stand in a settings file", options->settings[found]);
		return false;
	}
	return fprintf(out, "%.*s = %s\n", (int) strcspn(line + 1, " "), line + 1, needs_quotes(value) ? quoted : value) > 0;
}

/* check_names -- every -c name has its line in the sample, else it is no setting. */
static bool
check_names(const CtlOptions *options, const char *conf)
{
	char		name[CONF_NAME_MAX];
	char		value[CONF_VALUE_MAX];
	char		err[256];

	for (int i = 0; i < options->setting_count; i++)
	{
		if (!conf_split(options->settings[i], name, sizeof(name), value, sizeof(value), err, sizeof(err)))
			return ctl_refuse("%s", err);
		if (!conf_find(conf, name, value, sizeof(value)))
			return ctl_refuse("unrecognized setting \"%s\" in option -c", name);
	}
	return true;
}

/* finish_conf -- durable, closed and checked. */
static bool
finish_conf(const CtlOptions *options, FILE *out, const char *conf, bool good)
{
	if (good && (fflush(out) != 0 || fsync(fileno(out)) != 0))
		good = ctl_refuse("could not write file \"%s\": %m", conf);
	if (fclose(out) != 0 && good)
		good = ctl_refuse("could not write file \"%s\": %m", conf);
	return good && check_names(options, conf);
}

/* write_conf -- artery.conf from what "artery --describe-config" prints. */
static bool
write_conf(const CtlOptions *options, const char *server)
{
	char		conf[PATH_MAX + 16];
	char	   *line = NULL;
	size_t		capacity = 0;
	bool		good = true;
	pid_t		pid;
	FILE	   *in;
	FILE	   *out;
	int			fd;

	(void) snprintf(conf, sizeof(conf), "%s/artery.conf", options->data_dir);
	fd = open(conf, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || (out = fdopen(fd, "w")) == NULL)
		return ctl_refuse("could not create file \"%s\": %m", conf);
	in = ctl_server_open(server, "--describe-config", &pid);
	while (in != NULL && good && getline(&line, &capacity, in) >= 0)
		good = write_line(options, out, line);
	free(line);
	if (in == NULL || !ctl_server_close(in, pid))
		good = ctl_refuse("\"%s --describe-config\" failed", server);
	return finish_conf(options, out, conf, good);
}

/* run_init -- "artery --init -D DIR": true if it said yes. */
static bool
run_init(const CtlOptions *options, const char *server)
{
	int			status;
	pid_t		pid;

	(void) fflush(NULL);
	pid = fork();
	if (pid < 0)
		return ctl_refuse("could not run \"%s\": %m", server);
	if (pid == 0)
	{
		(void) execl(server, server, "--init", "-D", options->data_dir, (char *) NULL);
		(void) ctl_fail("could not execute \"%s\": %m", server);
		_exit(CTL_FAILED);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

int
ctl_init(const CtlOptions *options)
{
	char		server[PATH_MAX + 16];
	bool		made;

	if (!ctl_server_path(server, sizeof(server)))
		return CTL_FAILED;
	(void) umask(S_IRWXG | S_IRWXO);
	if (!make_directories(options->data_dir, &made) || !check_empty(options->data_dir))
		return CTL_FAILED;
	ctl_say(options, "creating data directory %s ... ", options->data_dir);
	if (!write_conf(options, server) || !run_init(options, server))
	{
		undo(options, made);
		return ctl_fail("initialization failed");
	}
	ctl_say(options, "ok\n\nSuccess. You can now start the server using:\n\n    artery_ctl -D %s -l logfile start\n\n",
			options->data_dir);
	return CTL_OK;
}
