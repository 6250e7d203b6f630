/*
 * postmaster.h -- the process that starts, watches and ends all others.
 *
 * main() calls postmaster_check_directory() and postmaster_main().
 */
#ifndef ARTERY_POSTMASTER_POSTMASTER_H
#define ARTERY_POSTMASTER_POSTMASTER_H

#include "common/c.h"

/* exit codes of the server binary */
enum
{
	EXIT_CODE_FATAL = 1,			/* a refused start, an abnormal end */
	EXIT_CODE_USAGE = 2,			/* an option that does not exist or lacks its argument */
	EXIT_CODE_NOT_INITIALISED = 4	/* the data directory is missing or has no control file */
};

/*
 * postmaster_check_directory -- is 'data_dir' there, initialised, ours and closed
 * to others?  Ends the process with a message if not: exit code 4 when it is
 * missing or not initialised, 1 otherwise.
 */
extern void postmaster_check_directory(const char *data_dir);

/*
 * postmaster_main -- run the server in 'data_dir' (absolute) until it is told to
 * stop; settings are loaded.  Returns the exit code of the process.
 */
extern int postmaster_main(const char *data_dir);

#endif
