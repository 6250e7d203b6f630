/*
 * net_resp.c -- the parser of requests: right ones in any pieces, wrong ones with
 * Redis' words, limits, and garbage, for which the answer must not depend on how
 * the bytes were cut.
 */
#include "common/c.h"

#include "net/resp.h"
#include "unit_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- what a stream of bytes means: text that two ways of parsing can be compared by ---- */
typedef struct Text
{
	char	   *data;
	size_t		len;
	size_t		size;
} Text;

static void
text_add(Text *t, const void *data, size_t len)
{
	if (t->len + len + 1 > t->size)
	{
		t->size = (t->len + len + 1) * 2;
		t->data = realloc(t->data, t->size);
		assert_non_null(t->data);
	}
	if (len > 0)
		memcpy(t->data + t->len, data, len);
	t->len += len;
	t->data[t->len] = '\0';
}

/* add_command -- "(word)(word);" */
static void
add_command(Text *t, const RespParser *p, const uint8 *data)
{
	const uint8 *base = p->is_inline ? resp_inline : data;

	for (uint32 i = 0; i < p->argc; i++)
	{
		text_add(t, "(", 1);
		text_add(t, base + p->args[i].offset, p->args[i].len);
		text_add(t, ")", 1);
	}
	text_add(t, ";", 1);
}

/*
 * parse_stream -- as a connection does it: the bytes come in pieces whose ends
 * 'cut' gives (NULL: all at once); what is left over is moved between calls.
 */
static void
parse_stream(const uint8 *data, size_t len, size_t (*cut)(size_t at, size_t len), bool before_auth, Text *out)
{
	RespParser	p = {.before_auth = before_auth};
	uint8	   *kept = malloc(len + 1);
	size_t		have = 0;
	size_t		at = 0;

	assert_non_null(kept);
	while (at < len)
	{
		size_t		piece = cut == NULL ? len - at : cut(at, len);
		uint8	   *start;
		size_t		rest;

		memcpy(kept + have, data + at, piece);
		have += piece;
		at += piece;
		start = kept;
		rest = have;
		while (rest > 0)
		{
			RespStatus	status = resp_parse(&p, start, rest);

			if (status == RESP_ERROR)
			{
				text_add(out, p.error, strlen(p.error));
				goto done;
			}
			if (status == RESP_INCOMPLETE)
			{
				assert_true(resp_wanted(&p) > 0);
				break;
			}
			assert_true(p.pos > 0 && p.pos <= rest);
			add_command(out, &p, start);
			start += p.pos;
			rest -= p.pos;
			resp_reset(&p);
		}
		memmove(kept, start, rest);
		have = rest;
	}
done:
	resp_free(&p);
	free(kept);
}

static size_t
cut_bytes(size_t at, size_t len)
{
	(void) at;
	(void) len;
	return 1;
}

static size_t first_cut;

static size_t
cut_once(size_t at, size_t len)
{
	return at == 0 && first_cut > 0 ? first_cut : len - at;
}

static size_t
cut_random(size_t at, size_t len)
{
	size_t		piece = 1 + unit_random() % 7;

	return Min(len - at, piece);
}

static void
expect_bytes(const void *data, size_t len, bool before_auth, const char *want)
{
	Text		t = {NULL, 0, 0};

	text_add(&t, "", 0);
	parse_stream(data, len, NULL, before_auth, &t);
	assert_string_equal(t.data, want);
	for (first_cut = 1; first_cut < len && first_cut < 300; first_cut++)
	{
		t.len = 0;
		parse_stream(data, len, cut_once, before_auth, &t);
		text_add(&t, "", 0);
		assert_string_equal(t.data, want);
	}
	t.len = 0;
	parse_stream(data, len, cut_bytes, before_auth, &t);
	text_add(&t, "", 0);
	assert_string_equal(t.data, want);
	free(t.data);
}

static void
expect(const char *request, const char *want)
{
	expect_bytes(request, strlen(request), false, want);
}

/* ---- tests ---- */
static void
test_arrays(void **state)
{
	(void) state;
	expect("*1\r\n$4\r\nPING\r\n", "(PING);");
	expect("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "(ECHO)();");
	expect("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n\r\n\r\n*1\r\n$1\r\nx\r\n", "(SET)(k)(\r\n\r\n);(x);");
	expect("*0\r\n*-1\r\n*-10\r\n*1\r\n$1\r\na\r\n", ";;;(a);");
	/* as Redis: what follows an argument is passed over, whatever it is */
	expect("*2\r\n$1\r\naXY$1\r\nb__", "(a)(b);");
	expect("*12\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n$1\r\nh\r\n$1\r\ni\r\n$1\r\nj\r\n$1\r\nk\r\n$1\r\nl\r\n",
		   "(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)(l);");
	/* unfinished: nothing yet */
	expect("*2\r\n$4\r\nECHO\r\n$5\r\nhel", "");
	expect("*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPIN", "(PING);");
	expect("*", "");
	expect("*1\r", "");
	expect_bytes("*2\r\n$3\r\na\0b\r\n$1\r\n\xff\r\n", 20, false, "(a");	/* a NUL ends the comparison, not the parsing */
}

static void
test_inline(void **state)
{
	(void) state;
	expect("PING\r\n", "(PING);");
	expect("PING\n", "(PING);");
	expect("  SET  a\tb  \r\n", "(SET)(a)(b);");
	expect("\r\n\n  \r\nPING\r\n", ";;;(PING);");
	expect("SET a 'b c'\r\n", "(SET)(a)(b c);");
	expect("SET a \"b c\"\r\n", "(SET)(a)(b c);");
	expect("ECHO \"\" ''\r\n", "(ECHO)()();");
	expect("ECHO \"\\x41\\n\\r\\t\\b\\a\\\"\\\\\\q\\x4\"\r\n", "(ECHO)(A\n\r\t\b\a\"\\qx4);");
	expect("ECHO 'it\\'s \\n'\r\n", "(ECHO)(it's \\n);");
	expect("ECHO a\"b\r\n", "ERR Protocol error: unbalanced quotes in request");
	expect("ECHO a\"b\"\r\n", "(ECHO)(ab);");
	expect("ECHO \"a\"b\r\n", "ERR Protocol error: unbalanced quotes in request");
	expect("ECHO 'a'b\r\n", "ERR Protocol error: unbalanced quotes in request");
	expect("ECHO 'a\r\n", "ERR Protocol error: unbalanced quotes in request");
	expect("PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n", "(PING);(PING);(PING);");
	expect("PING", "");
}

static void
test_errors(void **state)
{
	(void) state;
	expect("*x\r\n", "ERR Protocol error: invalid multibulk length");
	expect("*\r\n", "ERR Protocol error: invalid multibulk length");
	expect("*01\r\n", "ERR Protocol error: invalid multibulk length");
	expect("*2147483648\r\n", "ERR Protocol error: invalid multibulk length");
	expect("*99999999999999999999\r\n", "ERR Protocol error: invalid multibulk length");
	expect("*1\r\n:1\r\n", "ERR Protocol error: expected '$', got ':'");
	expect("*1\r\nPING\r\n", "ERR Protocol error: expected '$', got 'P'");
	expect("*1\r\n$x\r\n", "ERR Protocol error: invalid bulk length");
	expect("*1\r\n$\r\n", "ERR Protocol error: invalid bulk length");
	expect("*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length");
	expect("*1\r\n$536870913\r\n", "ERR Protocol error: invalid bulk length");
	expect("*1\r\n$536870912\r\n", "");
	expect("*2147483647\r\n", "");
	expect("*1\r\n$4\r\nPING\r\n*x\r\n", "(PING);ERR Protocol error: invalid multibulk length");
}

static void
test_before_auth(void **state)
{
	(void) state;
	expect_bytes("*11\r\n", 5, true, "ERR Protocol error: unauthenticated multibulk length");
	expect_bytes("*10\r\n", 5, true, "");
	expect_bytes("*1\r\n$16385\r\n", 12, true, "ERR Protocol error: unauthenticated bulk length");
	expect_bytes("*1\r\n$16384\r\n", 12, true, "");
}

static void
test_long_lines(void **state)
{
	static const struct
	{
		const char *start;
		const char *error;
	}			lines[] = {
		{"*", "ERR Protocol error: too big mbulk count string"},
		{"*1\r\n$", "ERR Protocol error: too big bulk count string"},
		{"PING ", "ERR Protocol error: too big inline request"},
	};

	(void) state;
	for (size_t i = 0; i < lengthof(lines); i++)
	{
		size_t		start = strlen(lines[i].start);
		size_t		len = start + RESP_LINE_MAX + 10;
		uint8	   *data = malloc(len);
		Text		t = {NULL, 0, 0};

		assert_non_null(data);
		memset(data, '1', len);
		memcpy(data, lines[i].start, start);
		parse_stream(data, len, NULL, false, &t);
		assert_string_equal(t.data, lines[i].error);
		t.len = 0;
		parse_stream(data, len, cut_random, false, &t);
		assert_string_equal(t.data, lines[i].error);
		free(t.data);
		free(data);
	}
}

/* test_random_commands -- commands made here come out as they went in, in whatever pieces. */
static void
test_random_commands(void **state)
{
	(void) state;
	for (int round = 0; round < 150; round++)
	{
		Text		request = {NULL, 0, 0};
		Text		want = {NULL, 0, 0};
		Text		got = {NULL, 0, 0};

		for (uint64 n = 1 + unit_random() % 6; n > 0; n--)
		{
			uint64		argc = 1 + unit_random() % (unit_random() % 8 == 0 ? 200 : 5);
			char		header[32];

			text_add(&request, header, (size_t) snprintf(header, sizeof(header), "*%llu\r\n", (unsigned long long) argc));
			for (uint64 i = 0; i < argc; i++)
			{
				uint64		len = unit_random() % (unit_random() % 16 == 0 ? 3000 : 12);

				text_add(&request, header, (size_t) snprintf(header, sizeof(header), "$%llu\r\n", (unsigned long long) len));
				text_add(&want, "(", 1);
				for (uint64 b = 0; b < len; b++)
				{
					uint8		byte = (uint8) ("\r\n*$1a\0\xff"[unit_random() % 8]);

					text_add(&request, &byte, 1);
					text_add(&want, &byte, 1);
				}
				text_add(&want, ")", 1);
				text_add(&request, "\r\n", 2);
			}
			text_add(&want, ";", 1);
		}
		for (int way = 0; way < 3; way++)
		{
			got.len = 0;
			parse_stream((uint8 *) request.data, request.len, way == 0 ? NULL : way == 1 ? cut_random : cut_bytes, false, &got);
			assert_int_equal(got.len, want.len);
			assert_memory_equal(got.data, want.data, want.len);
		}
		free(request.data);
		free(want.data);
		free(got.data);
	}
}

/* test_garbage -- bytes that look like requests here and there: the same meaning however they are cut. */
static void
test_garbage(void **state)
{
	static const char *const pieces[] = {"*1\r\n", "*2\r\n", "$4\r\n", "$0\r\n", "PING", "\r\n", "\r", "\n", "\"", "'", "\\", "\\x4", "*", "$", "-1", "0",
	"*0\r\n", "a b", "\t", "$-1\r\n", "*-5\r\n", "\0", "\xff", "$4\r\nPING\r\n", "*1\r\n$4\r\nPING\r\n"};

	(void) state;
	for (int round = 0; round < 4000; round++)
	{
		Text		request = {NULL, 0, 0};
		Text		whole = {NULL, 0, 0};
		Text		cut = {NULL, 0, 0};

		for (uint64 n = 1 + unit_random() % 12; n > 0; n--)
		{
			const char *piece = pieces[unit_random() % lengthof(pieces)];

			text_add(&request, piece, piece[0] == '\0' ? 1 : strlen(piece));
		}
		text_add(&whole, "", 0);
		text_add(&cut, "", 0);
		parse_stream((uint8 *) request.data, request.len, NULL, false, &whole);
		parse_stream((uint8 *) request.data, request.len, round % 2 ? cut_bytes : cut_random, false, &cut);
		assert_int_equal(whole.len, cut.len);
		assert_memory_equal(whole.data, cut.data, cut.len);
		free(request.data);
		free(whole.data);
		free(cut.data);
	}
}

/* test_cost -- a long argument, or many short ones, in small pieces: every byte is looked at once. */
static void
test_cost(void **state)
{
	RespParser	p = {0};
	uint32		args = 300000;
	size_t		len = 0;
	char	   *data = malloc(16 + (size_t) args * 7);
	size_t		have = 0;

	(void) state;
	assert_non_null(data);
	len = (size_t) sprintf(data, "*%u\r\n", args);
	for (uint32 i = 0; i < args; i++)
	{
		memcpy(data + len, "$1\r\nx\r\n", 7);
		len += 7;
	}
	while (have < len)
	{
		have = Min(len, have + 100);
		if (resp_parse(&p, (uint8 *) data, have) != RESP_INCOMPLETE)
			break;
	}
	assert_int_equal(have, len);
	assert_int_equal(p.argc, args);
	assert_int_equal(p.pos, len);
	assert_true(resp_memory(&p) >= args * sizeof(RespArg));
	resp_reset(&p);
	assert_int_equal(resp_memory(&p), 0);
	resp_free(&p);
	free(data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_inline),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_before_auth),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_random_commands),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_cost),
	};

	unit_seed_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
