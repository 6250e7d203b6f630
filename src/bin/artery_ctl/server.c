/*
 * server.c -- finding and asking the artery binary.
 *
 * It lies in the directory of artery_ctl itself and must be of the same version:
 * another one might mean something else by its options and files.
 */
#include "ctl.h"

#include "common/version.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

FILE *
ctl_server_open(const char *server, const char *option, pid_t *pid)
{
	int			fds[2];
	FILE	   *in = NULL;

	(void) fflush(NULL);
	if (pipe2(fds, O_CLOEXEC) != 0 || (*pid = fork()) < 0)
	{
		(void) ctl_fail("could not run \"%s\": %m", server);
		return NULL;
	}
	if (*pid == 0)
	{
		if (dup2(fds[1], STDOUT_FILENO) >= 0)
			(void) execl(server, server, option, (char *) NULL);
		(void) ctl_fail("could not execute \"%s\": %m", server);
		_exit(127);
	}
	(void) close(fds[1]);
	in = fdopen(fds[0], "r");
	Verify(in != NULL);
	return in;
}

bool
ctl_server_close(FILE *in, pid_t pid)
{
	int			status;
	bool		whole = feof(in) && !ferror(in);

	/* closed first: a server that still prints gets SIGPIPE and ends */
	(void) fclose(in);
	return waitpid(pid, &status, 0) == pid && status == 0 && whole;
}

/* check_version -- does it say that it is what we are? */
static bool
check_version(const char *server)
{
	char		line[128] = "";
	pid_t		pid;
	FILE	   *in = ctl_server_open(server, "--version", &pid);
	bool		good;

	if (in == NULL)
		return false;
	good = fgets(line, sizeof(line), in) != NULL && strcmp(line, "artery " ARTERY_VERSION "\n") == 0;
	(void) getc(in);	/* meets the end */
	if (!ctl_server_close(in, pid) || !good)
		return ctl_refuse("program \"%s\" was found but is not the same version as artery_ctl (%s)", server,
						  ARTERY_VERSION);
	return true;
}

bool
ctl_server_path(char *path, size_t size)
{
	char		self[PATH_MAX];
	ssize_t		len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char	   *slash;

	if (len < 0)
		return ctl_refuse("could not find where artery_ctl itself is: %m");
	self[len] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL || (size_t) snprintf(path, size, "%.*s/artery", (int) (slash - self), self) >= size ||
		access(path, X_OK) != 0)
		return ctl_refuse(
			"program \"artery\" is needed by artery_ctl but was not found in the same directory as \"%s\"", self);
	return check_version(path);
}
