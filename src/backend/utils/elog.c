/*
 * elog.c -- messages to the log, and the end of a process on errors.
 *
 * The log is standard error: a terminal, or the file that artery_ctl -l opened
 * for appending.  A message is one write(2), whatever its level, with its hint
 * line in the same call, so that lines of several processes never mix (up to
 * LINE_MAX_BYTES; what is longer ends in "...").  Control characters of the text are
 * written as \xNN: a client's bytes cannot forge a line.
 *
 * Every process writes for itself; nothing is shared and nothing is locked, so
 * a process that dies here takes nothing with it.  Not for signal handlers.
 *
 * FATAL in the process that called elog_init() first (the postmaster, a tool)
 * is exit(1), so that its exit handlers remove the pid file; in every process
 * forked from it FATAL is _exit(1), because those handlers are the parent's.
 */
#include "utils/elog.h"
#include "utils/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096		/* of one message with its hint and newlines */
#define TITLE_MAX 64

static char title[TITLE_MAX];		/* "worker 2 "; empty before elog_init */
static int	first_pid;				/* who called elog_init first; 0: nobody yet */
static _Atomic int min_level = LOG; /* relaxed: a level that comes a little late does no harm */
static char *doing_buffer;
static size_t doing_size;

/* Line -- a line under construction; 'len' stops at the room that is left for "...\n". */
typedef struct Line
{
	size_t		len;
	bool		cut;
	char		text[LINE_MAX_BYTES];
} Line;

#define LINE_TAIL 8		/* bytes kept free at the end for "..." and a newline */

static void
line_add_char(Line *line, char c)
{
	if (line->len < sizeof(line->text) - LINE_TAIL)
		line->text[line->len++] = c;
	else
		line->cut = true;
}

/* line_add -- append text; control characters become \xNN. */
static void
line_add(Line *line, const char *text)
{
	static const char hex[] = "0123456789abcdef";

	for (const char *p = text; *p != '\0'; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (c >= 0x20 && c != 0x7f)
			line_add_char(line, *p);
		else
		{
			line_add_char(line, '\\');
			line_add_char(line, 'x');
			line_add_char(line, hex[c >> 4]);
			line_add_char(line, hex[c & 15]);
		}
	}
}

/* line_end -- newline, with "..." before it if something did not fit. */
static void
line_end(Line *line)
{
	if (line->cut)
	{
		memcpy(line->text + line->len, "...", 3);
		line->len += 3;
		line->cut = false;
	}
	line->text[line->len++] = '\n';
}

/* line_begin -- time, pid, name and level. */
static void
line_begin(Line *line, const char *level)
{
	char		head[64 + TITLE_MAX];
	uint64		now_us = clock_wall_us();
	time_t		seconds = (time_t) (now_us / 1000000);
	struct tm	tm;

	(void) gmtime_r(&seconds, &tm);
	(void) snprintf(head, sizeof(head), "%04d-%02d-%02d %02d:%02d:%02d.%03d UTC [%d] %s%s:  ", tm.tm_year + 1900,
					tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) (now_us / 1000 % 1000),
					(int) getpid(), title, level);
	line_add(line, head);
}

/* write_all -- to standard error; what cannot be written is lost, nobody could be told. */
static void
write_all(const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t		n = write(STDERR_FILENO, data, len);

		if (n > 0)
		{
			data += n;
			len -= (size_t) n;
		}
		else if (n < 0 && errno != EINTR)
			return;
	}
}

/* report -- build and write one message, then end the process if the level says so. */
static void
report(LogLevel level, const char *hint, const char *fmt, va_list args)
{
	int			saved_errno = errno;

	if ((int) level >= atomic_load_explicit(&min_level, memory_order_relaxed) || level >= FATAL)
	{
		char		text[LINE_MAX_BYTES];
		Line		line;

		line.len = 0;
		line.cut = false;
		line_begin(&line, elog_level_name(level));
		errno = saved_errno;	/* for %m */
		(void) vsnprintf(text, sizeof(text), fmt, args);
		line_add(&line, text);
		line_end(&line);
		/* a hint without room for at least its head is left out: the message itself filled the line */
		if (hint != NULL && line.len + 256 < sizeof(line.text))
		{
			line_begin(&line, "HINT");
			line_add(&line, hint);
			line_end(&line);
		}
		write_all(line.text, line.len);
	}
	if (level == PANIC)
		abort();
	if (level == FATAL)
	{
		if (first_pid != 0 && first_pid != (int) getpid())
			_exit(1);
		exit(1);
	}
	errno = saved_errno;
}

/* elog_init -- the name that this process has in its lines from now on; NULL: none. */
void
elog_init(const char *process_title)
{
	if (first_pid == 0)
		first_pid = (int) getpid();
	if (process_title == NULL || process_title[0] == '\0')
		title[0] = '\0';
	else
		(void) snprintf(title, sizeof(title), "%.*s ", TITLE_MAX - 2, process_title);
}

void
elog_set_min_level(LogLevel level)
{
	/* relaxed: see min_level */
	atomic_store_explicit(&min_level, (int) level, memory_order_relaxed);
}

void
ereport(LogLevel level, const char *fmt, ...)
{
	va_list		args;

	va_start(args, fmt);
	report(level, NULL, fmt, args);
	va_end(args);
}

/* ereport_hint -- as ereport, with a second line that says what the operator can do. */
void
ereport_hint(LogLevel level, const char *hint, const char *fmt, ...)
{
	va_list		args;

	va_start(args, fmt);
	report(level, hint, fmt, args);
	va_end(args);
}

const char *
elog_level_name(LogLevel level)
{
	static const char *const names[] = {"DEBUG2", "DEBUG1", "INFO", "LOG", "WARNING", "ERROR", "FATAL", "PANIC"};

	Verify((size_t) level < lengthof(names));
	return names[level];
}

/* elog_set_doing_buffer -- where elog_doing() keeps its text; NULL: nowhere. */
void
elog_set_doing_buffer(char *shared_buffer, size_t size)
{
	doing_buffer = shared_buffer;
	doing_size = size;
}

/*
 * elog_doing -- note what this process is about to do.
 *
 * On the path of every command: one bounded copy.  Others may read the text
 * while it is being written; they show it to people, a mixture does no harm.
 * The last byte of the buffer is never written and stays NUL.
 */
void
elog_doing(const char *what)
{
	if (doing_buffer != NULL && doing_size > 0)
	{
		size_t		len = strnlen(what, doing_size - 1);

		memcpy(doing_buffer, what, len);
		if (len < doing_size - 1)
			doing_buffer[len] = '\0';
	}
}
