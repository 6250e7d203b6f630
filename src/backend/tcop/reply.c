/*
 * reply.c -- replies in RESP2 and RESP3, formatted where they will be sent from.
 *
 * Nothing here decides anything: which reply a command gives is the command's,
 * when it leaves is the gate's.
 */
#include "common/c.h"

#include <stdarg.h>

#include "tcop/number.h"
#include "tcop/output.h"
#include "tcop/stats.h"

static inline void
append_short(Output *o, const char *text, uint32 len)
{
	uint8	   *to = output_reserve(o, len);

	memcpy(to, text, len);
	output_advance(o, len);
}

void
reply_ok(Output *o)
{
	append_short(o, "+OK\r\n", 5);
}

void
reply_crlf(Output *o)
{
	append_short(o, "\r\n", 2);
}

void
reply_simple(Output *o, const char *text)
{
	uint32		len = (uint32) strlen(text);
	uint8	   *to = output_reserve(o, len + 3);

	to[0] = '+';
	memcpy(to + 1, text, len);
	memcpy(to + 1 + len, "\r\n", 2);
	output_advance(o, len + 3);
}

/*
 * reply_error -- an error line: "ERR ..." or another first word.
 *
 * Bytes that would break the line (from a client's own arguments) become blanks.
 */
void
reply_error(Output *o, const char *fmt, ...)
{
	char		text[1024];
	va_list		args;
	int			len;
	uint8	   *to;

	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	len = Min(len, (int) sizeof(text) - 1);
	to = output_reserve(o, (uint32) len + 3);
	to[0] = '-';
	for (int i = 0; i < len; i++)
		to[1 + i] = text[i] == '\r' || text[i] == '\n' ? ' ' : (uint8) text[i];
	memcpy(to + 1 + len, "\r\n", 2);
	output_advance(o, (uint32) len + 3);
	o->errors++;
	stats_count_error(text);
}

uint32
reply__header_long(uint8 *to, char type, uint64 count)
{
	uint32		n;

	to[0] = (uint8) type;
	n = 1 + number_format_unsigned((char *) to + 1, count);
	memcpy(to + n, "\r\n", 2);
	return n + 2;
}

static inline void
append_header(Output *o, char type, uint64 count)
{
	uint8	   *to = output_reserve(o, 24);

	output_advance(o, reply_header(to, type, count));
}

void
reply_int(Output *o, int64 value)
{
	uint8	   *to = output_reserve(o, 24);
	uint32		n;

	to[0] = ':';
	n = 1 + number_format((char *) to + 1, value);
	to[n++] = '\r';
	to[n++] = '\n';
	output_advance(o, n);
}

void
reply_bulk_header(Output *o, uint64 len)
{
	append_header(o, '$', len);
}

void
reply_bulk(Output *o, const void *data, size_t len)
{
	if (likely(len <= 2048))
	{
		uint8	   *to = output_reserve(o, (uint32) len + 26);
		uint32		n = reply_header(to, '$', len);

		if (len > 0)			/* nothing may be NULL */
			memcpy(to + n, data, len);
		n += (uint32) len;
		to[n++] = '\r';
		to[n++] = '\n';
		output_advance(o, n);
		return;
	}
	reply_bulk_header(o, len);
	output_append(o, data, len);
	reply_crlf(o);
}

void
reply_text(Output *o, const char *text)
{
	reply_bulk(o, text, strlen(text));
}

void
reply_bulk_int(Output *o, int64 value)
{
	char		digits[NUMBER_TEXT_MAX];

	reply_bulk(o, digits, number_format(digits, value));
}

void
reply_verbatim(Output *o, const char *data, size_t len)
{
	if (o->proto < 3)
	{
		reply_bulk(o, data, len);
		return;
	}
	append_header(o, '=', len + 4);
	append_short(o, "txt:", 4);
	output_append(o, data, len);
	reply_crlf(o);
}

void
reply_null(Output *o)
{
	if (o->proto < 3)
		append_short(o, "$-1\r\n", 5);
	else
		append_short(o, "_\r\n", 3);
}

void
reply_null_array(Output *o)
{
	if (o->proto < 3)
		append_short(o, "*-1\r\n", 5);
	else
		append_short(o, "_\r\n", 3);
}

void
reply_array(Output *o, uint64 count)
{
	append_header(o, '*', count);
}

void
reply_map(Output *o, uint64 pairs)
{
	if (o->proto < 3)
		append_header(o, '*', pairs * 2);
	else
		append_header(o, '%', pairs);
}

void
reply_push(Output *o, uint64 count)
{
	append_header(o, o->proto < 3 ? '*' : '>', count);
}

void
reply_set(Output *o, uint64 count)
{
	append_header(o, o->proto < 3 ? '*' : '~', count);
}
