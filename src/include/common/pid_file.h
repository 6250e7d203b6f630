/*
 * pid_file.h -- artery.pid, by which tools find a running server.
 *
 * Written by the postmaster in the data directory, removed by it at an orderly
 * stop.  Text, a line each:
 *
 *   1  pid of the postmaster
 *   2  data directory, absolute
 *   3  start, seconds since 1970
 *   4  path of the UNIX socket
 *   5  name of the shared-memory object, or "-"
 *   6  state, padded with blanks to PID_FILE_STATE_WIDTH so that it can be
 *      written over in place: starting recovering ready stopping
 *
 * A reader takes what is there: a file cut short has the fields that it has.  That
 * a file is there says nothing about a running server: its lock on the directory
 * does, and only the next server can take that.
 */
#ifndef ARTERY_COMMON_PID_FILE_H
#define ARTERY_COMMON_PID_FILE_H

#include "common/c.h"

#define PID_FILE_NAME "artery.pid"
#define PID_FILE_STATE_WIDTH 16

typedef struct PidFile
{
	int			pid;			/* 0: none in the file */
	uint64		start_wall_s;
	char		data_dir[1024];
	char		socket_path[256];
	char		segment_name[256];
	char		state[PID_FILE_STATE_WIDTH + 1];	/* without the blanks; empty: none in the file */
} PidFile;

/* pid_file_read -- 0, or the errno of opening DIR/artery.pid; fields that are not there are empty. */
extern int pid_file_read(const char *data_dir, PidFile *file) attribute_must_check;

#endif
