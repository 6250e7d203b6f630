/*
 * lateio.c -- a writer for tests: what the server's writers do with a file, without
 * the server.
 *
 *   lateio FILE lock|nolock io_uring|sync COUNT BYTE
 *
 * Opens FILE for itself (O_DIRECT where possible), takes the lock on its own open
 * file description as they do, prints "locked", starts COUNT writes of 16 KiB full
 * of BYTE side by side (one after the other with plain calls), prints "started",
 * waits for them, prints "done".  nolock: without the lock, as it must not be.
 */
#include "storage/file/file.h"
#include "utils/elog.h"
#include "utils/settings.h"

#include <errno.h>

#define PIECE 16384
#define COUNT_MAX 64

static void
say(const char *word)
{
	printf("%s\n", word);
	fflush(stdout);
}

static void
check(int error, const char *what)
{
	errno = error;
	if (error != 0)
		ereport(FATAL, "%s: %m", what);
}

int
main(int argc, char **argv)
{
	FileIo		io[COUNT_MAX];
	FileIo	   *ios[COUNT_MAX];
	FileQueue  *queue;
	File	   *file;
	int			count;
	char	   *memory;

	if (argc != 6 || (count = atoi(argv[4])) < 1 || count > COUNT_MAX)
		return 2;
	elog_init("lateio");
	set_io_method = strcmp(argv[3], "sync") == 0 ? IO_METHOD_SYNC : IO_METHOD_IO_URING;
	check(file_open(argv[1], FILE_READ | FILE_WRITE | FILE_DIRECT, 0600, &file), "open");
	if (strcmp(argv[2], "lock") == 0)
		check(file_lock_bounded(file, 60000), "lock");
	say("locked");
	queue = file_queue_create("test");
	say(file_queue_method(queue));
	memory = file_alloc_aligned((size_t) count * PIECE);
	memset(memory, argv[5][0], (size_t) count * PIECE);
	memset(io, 0, sizeof(io));
	for (int i = 0; i < count; i++)
	{
		io[i] = (FileIo) {.op = FILE_OP_WRITE, .file = file, .buf = memory + i * PIECE, .len = PIECE,
						  .offset = (uint64) i * PIECE};
		ios[i] = &io[i];
	}
	(void) file_queue_submit(queue, ios, count);
	say("started");
	for (int i = 0; i < count; i++)
	{
		file_queue_wait(queue, &io[i]);
		check(io[i].error, "write");
	}
	say("done");
	file_queue_destroy(queue);
	file_close(file);
	return 0;
}
