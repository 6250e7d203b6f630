/*
 * main.c -- artery_verify: is everything in its place in a data directory?
 *
 * Looks at the control file, then at the data file as the slot in force describes
 * it (with --both also as the older one does): every page that the root leads to,
 * every key, every extent, and whether each page of the file is in use, free, or
 * set aside, exactly once.  Says what is wrong, with page and offset, and changes
 * nothing.
 *
 * A running server writes meanwhile, so its directory is refused; the lock on the
 * directory that tells so is held (shared) to the end, so that none starts either.
 * Requests of a killed server may still be on their way to the disk: they hold the
 * locks of the two files, which are therefore waited for.
 */
#include "verify.h"

#include "common/pid_file.h"
#include "common/version.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_WAIT_MS 30000
#define LOCK_STEP_MS 10

enum { OPTION_HELP = 1000, OPTION_FORCE, OPTION_QUICK, OPTION_BOTH, OPTION_KEYS, OPTION_DUMP };

static const char usage_text[] =
	"artery_verify checks the data directory of an artery server that does not run.\n"
	"\n"
	"Usage:\n"
	"  artery_verify [OPTION]... [[-D] DATADIR]\n"
	"\n"
	"Options:\n"
	"  -D, --data=DATADIR   the data directory (default: environment variable ARTERY_DATA)\n"
	"      --both           check the tree of the older control slot, too\n"
	"      --quick          do not read the pages of large values\n"
	"      --keys           print the number of keys of each database\n"
	"      --dump           print every key to standard output, in order, as DATABASE KEY VERSION LENGTH, and all\n"
	"                       else to standard error; bytes that do not print stand as \\xHH, an empty key as \"\"\n"
	"      --force          although a server runs; what it writes meanwhile may look like damage\n"
	"  -V, --version        print the version, then exit\n"
	"  -?, --help           print this, then exit\n"
	"\n"
	"Exit codes: 0 all is well, 1 damage was found, 2 it could not be checked.\n";

FILE	   *verify_out;

void
verify_fail(const char *fmt, ...)
{
	va_list		args;

	(void) fflush(NULL);
	(void) fputs("artery_verify: ", stderr);
	va_start(args, fmt);
	(void) vfprintf(stderr, fmt, args);
	va_end(args);
	(void) fputc('\n', stderr);
	exit(VERIFY_NOT_DONE);
}

void
verify_problem(uint64 *problems, const char *name, const char *fmt, ...)
{
	va_list		args;

	if (++*problems > VERIFY_PROBLEMS_SHOWN)
		return;
	(void) fprintf(verify_out, "%s: ", name);
	va_start(args, fmt);
	(void) vfprintf(verify_out, fmt, args);
	va_end(args);
	(void) fputc('\n', verify_out);
	if (*problems == VERIFY_PROBLEMS_SHOWN)
		(void) fprintf(verify_out, "%s: further problems are counted, not shown\n", name);
}

int
verify_read(int fd, void *to, size_t len, uint64 offset, size_t *got)
{
	*got = 0;
	while (*got < len)
	{
		ssize_t		n = pread(fd, (char *) to + *got, len - *got, (off_t) (offset + *got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			break;
		*got += (size_t) n;
	}
	return 0;
}

bool
verify_read_page(const Checker *c, void *to, uint64 number, uint64 count, char *why, size_t why_size)
{
	size_t		got;
	int			error = verify_read(c->fd, to, count * BASE_PAGE_SIZE, number * BASE_PAGE_SIZE, &got);

	if (error != 0)
		snprintf(why, why_size, "could not read: %s", strerror(error));
	else if (got < count * BASE_PAGE_SIZE)
		snprintf(why, why_size, "the file ends at offset %llu", (unsigned long long) (number * BASE_PAGE_SIZE + got));
	return error == 0 && got == count * BASE_PAGE_SIZE;
}

void *
verify_alloc(size_t size)
{
	void	   *p;

	if (posix_memalign(&p, BASE_PAGE_SIZE, size) != 0)
		verify_fail("out of memory (%zu bytes)", size);
	return memset(p, 0, size);
}

bool
verify_rest_zero(const uint8 *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* ---- locks ---- */

static int
open_file(const VerifyOptions *options, const char *name, int flags)
{
	char		path[PATH_MAX];
	int			fd;

	if ((size_t) snprintf(path, sizeof(path), "%s/%s", options->data_dir, name) >= sizeof(path))
		verify_fail("path of the data directory is too long");
	fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	if (fd < 0 && errno == ENOENT && strcmp(name, "control") == 0)
		verify_fail("directory \"%s\" is not an artery data directory: it has no control file", options->data_dir);
	if (fd < 0 && !(errno == ENOENT && strcmp(name, "data/base") == 0))
		verify_fail("could not open \"%s\": %m", path);
	return fd;
}

/* lock_directory -- a server holds it as long as one of its processes lives. */
static void
lock_directory(const VerifyOptions *options)
{
	int			fd = open_file(options, "", O_DIRECTORY);
	PidFile		file;

	while (flock(fd, LOCK_SH | LOCK_NB) != 0)
	{
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			verify_fail("could not lock directory \"%s\": %m", options->data_dir);
		if (options->force)
			break;
		if (pid_file_read(options->data_dir, &file) == 0 && file.pid != 0)
			verify_fail("a server (PID %d) is running in data directory \"%s\"; stop it first, or give --force", file.pid,
						options->data_dir);
		verify_fail("data directory \"%s\" is in use; end its server first, or give --force", options->data_dir);
	}
	/* kept open: the lock lives as long as this process */
}

/* lock_file -- wait until no request of a writer that was killed is under way. */
static void
lock_file(const VerifyOptions *options, int fd, const char *name)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};

	for (int waited = 0; !options->force && flock(fd, LOCK_SH | LOCK_NB) != 0; waited += LOCK_STEP_MS)
	{
		if (errno != EWOULDBLOCK && errno != EINTR)
			verify_fail("could not lock \"%s/%s\": %m", options->data_dir, name);
		if (waited >= LOCK_WAIT_MS)
			verify_fail("\"%s/%s\" is locked by another process for %d s", options->data_dir, name, LOCK_WAIT_MS / 1000);
		(void) nanosleep(&step, NULL);
	}
}

/* ---- one slot's data file ---- */

static void
print_keys(const Checker *c)
{
	for (int db = 0; db < DATABASE_COUNT; db++)
		if (c->keys[db] > 0 || c->slot->key_count[db] > 0)
			(void) fprintf(verify_out, "database %d: %llu keys\n", db, (unsigned long long) c->keys[db]);
}

static PageSet
make_set(const Checker *c)
{
	PageSet		set = calloc(c->limit / 8 + 1, 1);

	if (set == NULL)
		verify_fail("out of memory (%llu pages)", (unsigned long long) c->limit);
	return set;
}

/*
 * check_base -- the data file as one slot describes it.  A file may be longer than
 * that, because of the older slot or of a checkpoint that did not come to its end;
 * for the older slot it may be shorter, as long as everything in use is there.
 */
static void
check_base(Checker *c, int fd, const ControlData *slot, bool in_force, uint64 file_pages)
{
	c->fd = fd;
	c->slot = slot;
	c->dump = in_force && c->options->dump;
	c->limit = Min(slot->base.page_count, file_pages);
	c->live = make_set(c);
	c->free = make_set(c);
	c->aside = make_set(c);
	if (in_force && file_pages < slot->base.page_count)
		verify_problem(&c->problems, c->name, "the file has %llu pages, the control file says %llu",
					   (unsigned long long) file_pages, (unsigned long long) slot->base.page_count);
	(void) verify_claim(c, 0, 1, "header");
	verify_tree(c);
	verify_map(c);
	if (!c->space_unknown)
		verify_cover(c);
}

static void
print_summary(const Checker *c)
{
	(void) fprintf(verify_out, "%s: %llu pages, %llu live, %llu free, %llu set aside, %llu keys: ", c->name,
				   (unsigned long long) c->slot->base.page_count, (unsigned long long) c->live_pages,
				   (unsigned long long) c->free_pages, (unsigned long long) c->aside_pages,
				   (unsigned long long) c->all_keys);
	if (c->problems == 0)
		(void) fputs("ok\n", verify_out);
	else
		(void) fprintf(verify_out, "%llu problem%s%s\n", (unsigned long long) c->problems, c->problems == 1 ? "" : "s",
					   c->keys_unknown ? " (keys and use of pages not counted: a part of the tree is out of reach)"
					   : c->space_unknown ? " (use of pages not counted)" : "");
}

/* open_base -- -1: there is none (a problem). */
static int
open_base(const VerifyOptions *options, uint64 *problems, uint64 *file_pages)
{
	struct stat st;
	int			fd = open_file(options, "data/base", 0);

	if (fd < 0)
	{
		verify_problem(problems, "data/base", "it is missing");
		return fd;
	}
	lock_file(options, fd, "data/base");
	if (fstat(fd, &st) != 0)
		verify_fail("could not look at \"%s/data/base\": %m", options->data_dir);
	/* what is on the disk counts, not what a cache holds */
	(void) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	*file_pages = (uint64) st.st_size / BASE_PAGE_SIZE;
	return fd;
}

/* run -- everything; the number of problems. */
static uint64
run(const VerifyOptions *options)
{
	static Checker newer = {.name = "data/base"};
	static Checker older = {.name = "data/base of the older slot"};
	static Slot slot[2];
	uint64		problems = 0;
	uint64		file_pages;
	int			control,
				base,
				best;
	bool		both;

	lock_directory(options);
	control = open_file(options, "control", 0);
	lock_file(options, control, "control");
	best = verify_control(control, slot, &problems);
	if (best < 0)
	{
		(void) fputs("control: neither slot can be used, so the data file cannot be judged\n", verify_out);
		return problems;
	}
	base = open_base(options, &problems, &file_pages);
	if (base < 0)
		return problems;
	verify_header(base, &slot[best].data, &problems);
	newer.options = older.options = options;
	both = options->both && slot[1 - best].valid;
	check_base(&newer, base, &slot[best].data, true, file_pages);
	if (both)
	{
		check_base(&older, base, &slot[1 - best].data, false, file_pages);
		verify_older_kept(&newer, &older);
	}
	if (options->keys)
		print_keys(&newer);
	print_summary(&newer);
	if (both)
		print_summary(&older);
	if (file_pages > newer.slot->base.page_count)
		(void) fprintf(verify_out, "data/base: %s behind the end: of an older checkpoint or an unfinished one\n",
					   verify_page(newer.slot->base.page_count, file_pages - newer.slot->base.page_count));
	return problems + newer.problems + older.problems;
}

/* ---- the command line ---- */

static int
usage_error(void)
{
	(void) fputs("Try \"artery_verify --help\" for more information.\n", stderr);
	return VERIFY_NOT_DONE;
}

/* parse -- the exit code when the program is done with that, else -1. */
static int
parse(int argc, char **argv, VerifyOptions *options)
{
	static const struct option longs[] = {
		{"data", required_argument, NULL, 'D'},		 {"both", no_argument, NULL, OPTION_BOTH},
		{"quick", no_argument, NULL, OPTION_QUICK},	 {"keys", no_argument, NULL, OPTION_KEYS},
		{"dump", no_argument, NULL, OPTION_DUMP},	 {"force", no_argument, NULL, OPTION_FORCE},
		{"version", no_argument, NULL, 'V'},		 {"help", no_argument, NULL, OPTION_HELP},
		{NULL, 0, NULL, 0},
	};
	int			option;

	while ((option = getopt_long(argc, argv, "D:V", longs, NULL)) != -1)
		switch (option)
		{
			case 'D':
				options->data_dir = optarg;
				break;
			case OPTION_BOTH:
				options->both = true;
				break;
			case OPTION_QUICK:
				options->quick = true;
				break;
			case OPTION_KEYS:
				options->keys = true;
				break;
			case OPTION_DUMP:
				options->dump = true;
				break;
			case OPTION_FORCE:
				options->force = true;
				break;
			case 'V':
				(void) puts("artery_verify " ARTERY_VERSION);
				return VERIFY_OK;
			case OPTION_HELP:
				(void) fputs(usage_text, stdout);
				return VERIFY_OK;
			default:
				return usage_error();	/* getopt has said what is wrong */
		}
	if (optind < argc)
		options->data_dir = argv[optind++];
	if (optind < argc)
	{
		(void) fprintf(stderr, "artery_verify: too many command-line arguments (first is \"%s\")\n", argv[optind]);
		return usage_error();
	}
	if (options->data_dir == NULL || options->data_dir[0] == '\0')
	{
		(void) fputs("artery_verify: no data directory specified and environment variable ARTERY_DATA unset\n", stderr);
		return usage_error();
	}
	return -1;
}

int
main(int argc, char **argv)
{
	static char help_word[] = "--help";
	VerifyOptions options = {.data_dir = getenv("ARTERY_DATA")};
	uint64		problems;
	int			code;

	/* "-?" looks to getopt like an option that does not exist */
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "-?") == 0)
			argv[i] = help_word;
	code = parse(argc, argv, &options);
	if (code >= 0)
		return code;
	verify_out = options.dump ? stderr : stdout;
	problems = run(&options);
	if (fflush(NULL) != 0 || ferror(stdout))
		verify_fail("could not write: %m");
	return problems == 0 ? VERIFY_OK : VERIFY_DAMAGED;
}
