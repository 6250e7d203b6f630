/*
 * monitor.c -- MONITOR: a line about every command of every worker.
 *
 * A command that has been done is put into a line and sent to the workers that have
 * a client in MONITOR, by the bus; each appends it to its own.  With no such client
 * anywhere a command pays one load.  Lines of one connection come in their order,
 * those of different workers as they meet.
 *
 * Lines tell what was asked for, not what came of it: they wait for nothing.  A
 * client that does not read them is closed at client_output_buffer_limit; a worker
 * that does not take them loses its listeners like those of channels (bus.h).
 */
#include "common/c.h"
#include "storage/ipc/segment.h"
#include "tcop/message.h"
#include "tcop/multi.h"
#include "tcop/tcop_internal.h"
#include "utils/clock.h"

#define LINE_MIN 1024
#define LINE_KEEP (1 * MIB)
#define WORD_FACTOR 4			/* bytes that a byte may become: \xff */

static Session **watching;		/* clients of this worker */
static uint32 watching_count;
static uint32 watching_size;
static uint8 *line;
static size_t line_size;

/* ---- who watches ---- */
static void
told_others(void)
{
	uint64		bit = UINT64_C(1) << message_worker;

	/* relaxed: a command that runs at the same moment is shown or not */
	if (watching_count > 0)
		atomic_fetch_or_explicit(&message_shared->monitors, bit, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&message_shared->monitors, ~bit, memory_order_relaxed);
}

TcopResult
tcop__monitor(Session *s)
{
	if (tcop__multi_running(s))
	{
		reply_error(&s->out, "ERR MONITOR isn't allowed for DENY BLOCKING client");
		return TCOP_DONE;
	}
	if (s->monitor)
		return TCOP_DONE;
	if (watching_count == watching_size)
	{
		watching_size = watching_size * 2 + 4;
		watching = realloc(watching, watching_size * sizeof(Session *));
		Verify(watching != NULL);
	}
	watching[watching_count++] = s;
	s->monitor = true;
	/* relaxed: flags for people; ours to write */
	atomic_fetch_or_explicit(&s->entry->flags, CLIENT_FLAG_MONITOR, memory_order_relaxed);
	told_others();
	reply_ok(&s->out);
	return TCOP_DONE;
}

void
monitor_drop(Session *s)
{
	uint32		i = 0;

	if (!s->monitor)
		return;
	while (watching[i] != s)
		i++;
	watching[i] = watching[--watching_count];
	s->monitor = false;
	/* relaxed: flags for people; ours to write */
	atomic_fetch_and_explicit(&s->entry->flags, ~(uint32) CLIENT_FLAG_MONITOR, memory_order_relaxed);
	told_others();
}

void
monitor_close_all(void)
{
	for (uint32 i = 0; i < watching_count; i++)
		message_close(watching[i]);
}

uint64
monitor_deliver(const BytePart *text)
{
	for (uint32 i = 0; i < watching_count; i++)
	{
		Output	   *o = message_push_begin(watching[i], text->len);

		if (o == NULL)
			continue;
		output_append(o, text->data, text->len);
		message_push_end(watching[i], LSN_NONE);
	}
	return watching_count;
}

/* ---- the line ---- */

/* put_word -- in quotes, with what would break the line escaped. */
static uint8 *
put_word(uint8 *to, const BytePart *word)
{
	static const char hex[] = "0123456789abcdef";
	static const char from[] = "\n\r\t\a\b";
	static const char letter[] = "nrtab";

	*to++ = '"';
	for (size_t i = 0; i < word->len; i++)
	{
		uint8		c = ((const uint8 *) word->data)[i];
		const char *special = c != '\0' ? strchr(from, c) : NULL;

		if (c == '"' || c == '\\' || special != NULL)
		{
			*to++ = '\\';
			*to++ = special != NULL ? (uint8) letter[special - from] : c;
		}
		else if (c >= ' ' && c <= '~')
			*to++ = c;
		else
		{
			*to++ = '\\';
			*to++ = 'x';
			*to++ = (uint8) hex[c >> 4];
			*to++ = (uint8) hex[c & 15];
		}
	}
	*to++ = '"';
	return to;
}

/* is_secret -- is word i a password? */
static bool
is_secret(const Command *c, const BytePart *argv, uint32 i)
{
	if (c->run == tcop__auth)
		return i > 0;
	if (c->run != tcop__hello)
		return false;
	/* HELLO 3 AUTH user password */
	return (i >= 2 && text_is(argv[i - 1].data, argv[i - 1].len, "auth")) ||
		(i >= 3 && text_is(argv[i - 2].data, argv[i - 2].len, "auth"));
}

void
tcop__monitor_feed(const Session *s, const Command *c, const BytePart *argv, uint32 argc)
{
	static const BytePart redacted = {"(redacted)", 10};
	uint64		now = clock_wall_us();
	uint64		workers = atomic_load_explicit(&message_shared->monitors, memory_order_relaxed);	/* relaxed: as above */
	size_t		need = LINE_MIN;
	BusMessage	m = {.type = BUS_MONITOR};
	ClientText	text;
	uint8	   *to;

	if ((c->flags & CMD_ADMIN) != 0 || ((c->flags & CMD_SKIP_MONITOR) != 0 && c->run != tcop__exec) || (!s->is_unix && !client_text_read(s->entry, s->id, &text)))
		return;
	for (uint32 i = 0; i < argc; i++)
		need += argv[i].len * WORD_FACTOR + 3;
	if (need > line_size || line_size > LINE_KEEP)
	{
		free(line);
		line_size = need;
		line = malloc(need);
		Verify(line != NULL);
	}
	to = line + snprintf((char *) line, LINE_MIN, "+%llu.%06u [%u %s%s]", (unsigned long long) (now / 1000000),
						 (unsigned) (now % 1000000), s->db, s->is_unix ? "unix:" : "",
						 s->is_unix ? seg_control->socket_path : text.address);
	for (uint32 i = 0; i < argc; i++)
	{
		*to++ = ' ';
		to = put_word(to, is_secret(c, argv, i) ? &redacted : &argv[i]);
	}
	*to++ = '\r';
	*to++ = '\n';
	m.b = (BytePart) {line, (size_t) (to - line)};
	for (; workers != 0; workers &= workers - 1)
	{
		uint32		w = (uint32) __builtin_ctzll(workers);

		if (w == message_worker)
			monitor_deliver(&m.b);
		else
			bus_send(message_bus, w, &m);
	}
}
