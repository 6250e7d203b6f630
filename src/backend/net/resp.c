/*
 * resp.c -- the parser of requests.
 *
 * One pass over the bytes, whatever pieces they come in: the positions in the
 * parser say where to go on.  A worker parses for all its connections, each with
 * a parser of its own; nothing is shared but the buffer for inline lines.
 */
#include "common/c.h"

#include <limits.h>

#include "net/resp.h"
#include "tcop/number.h"

#define ARGS_KEPT 64			/* a longer vector is given back after its command */

uint8		resp_inline[RESP_LINE_MAX + 1];

void
resp_reset(RespParser *p)
{
	if (unlikely(p->args_size > ARGS_KEPT))
		resp_free(p);
	p->argc = 0;
	p->expected = 0;
	p->pos = 0;
	p->scanned = 0;
	p->in_array = p->in_bulk = p->is_inline = false;
}

void
resp_free(RespParser *p)
{
	free(p->args);
	p->args = NULL;
	p->args_size = 0;
}

uint64
resp_wanted(const RespParser *p)
{
	return p->in_bulk ? (uint64) p->pos + p->bulk_len + 2 : (uint64) p->pos + 1;
}

uint64
resp_memory(const RespParser *p)
{
	return p->args_size * sizeof(RespArg);
}

static RespStatus
fail(RespParser *p, const char *text)
{
	snprintf(p->error, sizeof(p->error), "ERR Protocol error: %s", text);
	return RESP_ERROR;
}

static void
add_arg(RespParser *p, uint32 offset, uint32 len)
{
	if (unlikely(p->argc == p->args_size))
	{
		uint32		size = p->args_size == 0 ? 8 : p->args_size * 2;

		p->args = realloc(p->args, size * sizeof(RespArg));
		Verify(p->args != NULL);
		p->args_size = size;
	}
	p->args[p->argc++] = (RespArg) {offset, len};
}

/*
 * find_cr -- the next '\r' with at least one byte behind it; NULL: not there yet.
 * Lines are short: looking byte by byte beats a call.
 */
static const uint8 *
find_cr(RespParser *p, const uint8 *data, size_t len)
{
	uint32		at = Max(p->scanned, p->pos);

	while (at < len && data[at] != '\r')
		at++;
	p->scanned = at;
	return at + 1 < len ? data + at : NULL;
}

/* header_number -- the digits between the type byte and the line's end. */
static bool
header_number(RespParser *p, const uint8 *data, const uint8 *cr, int64 *value)
{
	const uint8 *digits = data + p->pos + 1;

	if (likely(cr - digits == 1 && (uint8) (digits[0] - '0') <= 9))
	{
		*value = digits[0] - '0';
		return true;
	}
	return number_parse(digits, (size_t) (cr - digits), value);
}

/* ---- inline lines ---- */
static bool
is_space(uint8 c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int
hex_digit(uint8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* escaped -- the byte that stands for "\c" in double quotes. */
static uint8
escaped(uint8 c)
{
	switch (c)
	{
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		case 'b':
			return '\b';
		case 'a':
			return '\a';
		default:
			return c;
	}
}

/*
 * inline_word -- decodes one word of the line at *from to *to; false: quotes are
 * not closed, or something follows a closing quote.
 */
static bool
inline_word(const uint8 **from, const uint8 *end, uint8 **to)
{
	const uint8 *s = *from;
	uint8	   *t = *to;
	uint8		quote = 0;

	for (; s < end; s++)
	{
		if (quote == '"' && *s == '\\' && end - s >= 4 && s[1] == 'x' && hex_digit(s[2]) >= 0 && hex_digit(s[3]) >= 0)
		{
			*t++ = (uint8) (hex_digit(s[2]) << 4 | hex_digit(s[3]));
			s += 3;
		}
		else if (quote == '"' && *s == '\\' && end - s >= 2)
			*t++ = escaped(*++s);
		else if (quote == '\'' && *s == '\\' && end - s >= 2 && s[1] == '\'')
			*t++ = *++s;
		else if (quote != 0 && *s == quote)
		{
			s++;
			if (s < end && !is_space(*s))
				return false;
			quote = 0;
			break;
		}
		else if (quote == 0 && is_space(*s))
			break;
		else if (quote == 0 && (*s == '"' || *s == '\''))
			quote = *s;
		else
			*t++ = *s;
	}
	*from = s;
	*to = t;
	return quote == 0;
}

static RespStatus
parse_inline(RespParser *p, const uint8 *data, size_t len)
{
	const uint8 *newline = memchr(data + p->scanned, '\n', len - p->scanned);
	const uint8 *from = data;
	const uint8 *end = newline;
	const uint8 *nul;
	uint8	   *to = resp_inline;

	if (newline == NULL)
	{
		p->scanned = (uint32) len;
		return len > RESP_LINE_MAX ? fail(p, "too big inline request") : RESP_INCOMPLETE;
	}
	if (newline - data > (ptrdiff_t) RESP_LINE_MAX)
		return fail(p, "too big inline request");
	if (end > data && end[-1] == '\r')
		end--;
	nul = memchr(data, '\0', (size_t) (end - data));
	if (nul != NULL)
		end = nul;				/* as Redis: a line ends there */
	p->is_inline = true;
	for (;;)
	{
		uint8	   *start = to;

		while (from < end && is_space(*from))
			from++;
		if (from == end)
			break;
		if (!inline_word(&from, end, &to))
			return fail(p, "unbalanced quotes in request");
		add_arg(p, (uint32) (start - resp_inline), (uint32) (to - start));
	}
	p->pos = (uint32) (newline - data) + 1;
	return RESP_COMMAND;
}

/* ---- arrays ---- */
static RespStatus
parse_array_header(RespParser *p, const uint8 *data, size_t len)
{
	const uint8 *cr = find_cr(p, data, len);
	int64		count;

	if (cr == NULL)
		return len > RESP_LINE_MAX ? fail(p, "too big mbulk count string") : RESP_INCOMPLETE;
	if (!header_number(p, data, cr, &count) || count > INT_MAX)
		return fail(p, "invalid multibulk length");
	if (count > RESP_ARGS_BEFORE_AUTH && p->before_auth)
		return fail(p, "unauthenticated multibulk length");
	p->pos = (uint32) (cr - data) + 2;
	p->expected = count > 0 ? (uint32) count : 0;
	p->in_array = true;
	return RESP_COMMAND;
}

static RespStatus
parse_bulk_header(RespParser *p, const uint8 *data, size_t len)
{
	const uint8 *cr = find_cr(p, data, len);
	int64		bulk_len;

	if (cr == NULL)
		return len - Min(len, (size_t) p->pos) > RESP_LINE_MAX ? fail(p, "too big bulk count string") : RESP_INCOMPLETE;
	if (data[p->pos] != '$')
	{
		char		text[32];

		snprintf(text, sizeof(text), "expected '$', got '%c'", data[p->pos]);
		return fail(p, text);
	}
	if (!header_number(p, data, cr, &bulk_len) || bulk_len < 0 || bulk_len > (int64) RESP_BULK_MAX)
		return fail(p, "invalid bulk length");
	if (bulk_len > RESP_BULK_BEFORE_AUTH && p->before_auth)
		return fail(p, "unauthenticated bulk length");
	p->pos = (uint32) (cr - data) + 2;
	p->bulk_len = (uint32) bulk_len;
	p->in_bulk = true;
	return RESP_COMMAND;
}

RespStatus
resp_parse(RespParser *p, const uint8 *data, size_t len)
{
	RespStatus	status;

	if (!p->in_array)
	{
		if (len == 0)
			return RESP_INCOMPLETE;
		if (unlikely(data[0] != '*'))
			return parse_inline(p, data, len);
		status = parse_array_header(p, data, len);
		if (status != RESP_COMMAND)
			return status;
	}
	while (p->argc < p->expected)
	{
		if (!p->in_bulk)
		{
			status = parse_bulk_header(p, data, len);
			if (status != RESP_COMMAND)
				return status;
		}
		if (len < (size_t) p->pos + p->bulk_len + 2)
			return RESP_INCOMPLETE;
		add_arg(p, p->pos, p->bulk_len);
		p->pos += p->bulk_len + 2;
		p->in_bulk = false;
	}
	return RESP_COMMAND;
}
