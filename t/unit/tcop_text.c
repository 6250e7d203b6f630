/*
 * tcop_text.c -- what commands read and what the command table says: numbers,
 * patterns against a naive matcher, usage lines, lookup, the generated manual page.
 */
#include "common/c.h"

#include "tcop/command.h"
#include "tcop/number.h"
#include "tcop/tcop.h"
#include "tcop/usage.h"
#include "unit_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
test_numbers(void **state)
{
	static const char *const wrong[] = {"", "-", "+1", " 1", "1 ", "01", "-0", "-01", "1x", "0x1", "1.0", "9223372036854775808",
	"-9223372036854775809", "18446744073709551616", "99999999999999999999", "1e3", "--1"};
	static const int64 right[] = {0, 1, -1, 9, 10, 99, 100, 12345, INT64_MAX, INT64_MIN, INT64_MIN + 1};
	int64		value;
	uint64		positive;
	char		text[NUMBER_TEXT_MAX + 1];

	(void) state;
	for (size_t i = 0; i < lengthof(wrong); i++)
		assert_false(number_parse(wrong[i], strlen(wrong[i]), &value));
	for (size_t i = 0; i < lengthof(right); i++)
	{
		char		expected[32];

		text[number_format(text, right[i])] = '\0';
		snprintf(expected, sizeof(expected), "%lld", (long long) right[i]);
		assert_string_equal(text, expected);
		assert_true(number_parse(text, strlen(text), &value));
		assert_true(value == right[i]);
	}
	for (int i = 0; i < 20000; i++)
	{
		int64		n = (int64) (unit_random() >> unit_random() % 64);

		n = unit_random() % 2 ? n : (int64) (0 - (uint64) n);
		text[number_format(text, n)] = '\0';
		assert_true(number_parse(text, strlen(text), &value));
		assert_true(value == n);
	}
	assert_true(number_parse_unsigned("18446744073709551615", 20, &positive));
	assert_true(positive == UINT64_MAX);
	assert_false(number_parse_unsigned("18446744073709551616", 20, &positive));
	assert_false(number_parse_unsigned("-1", 2, &positive));
	text[number_format_unsigned(text, UINT64_MAX)] = '\0';
	assert_string_equal(text, "18446744073709551615");
}

static void
test_words(void **state)
{
	(void) state;
	assert_true(text_is("GET", 3, "get"));
	assert_true(text_is("get", 3, "GET"));
	assert_true(text_is("no-EVICT", 8, "no-evict"));
	assert_false(text_is("GET", 2, "get"));
	assert_false(text_is("GETX", 4, "get"));
	assert_false(text_is("get\0", 4, "get"));
	assert_true(text_is("", 0, ""));
}

/* ---- patterns ---- */

/* naive -- the definition, by trying everything; sets as in pattern_match. */
static bool
naive(const char *p, size_t pn, const char *t, size_t tn)
{
	if (pn == 0)
		return tn == 0;
	if (*p == '*')
	{
		for (size_t skip = 0; skip <= tn; skip++)
			if (naive(p + 1, pn - 1, t + skip, tn - skip))
				return true;
		return false;
	}
	if (tn == 0)
		return false;
	if (*p == '?')
		return naive(p + 1, pn - 1, t + 1, tn - 1);
	if (*p == '[')
	{
		size_t		i = 1;
		bool		negated = i < pn && p[i] == '^';
		bool		match = false;

		i += negated;
		while (i < pn && p[i] != ']')
		{
			if (p[i] == '\\' && i + 1 < pn)
				match |= p[++i] == *t;
			else if (i + 2 < pn && p[i + 1] == '-')
			{
				uint8		low = (uint8) Min(p[i], p[i + 2]);
				uint8		high = (uint8) Max(p[i], p[i + 2]);

				match |= (uint8) *t >= low && (uint8) *t <= high;
				i += 2;
			}
			else
				match |= p[i] == *t;
			i++;
		}
		i = Min(i + 1, pn);
		return match != negated && naive(p + i, pn - i, t + 1, tn - 1);
	}
	if (*p == '\\' && pn >= 2)
	{
		p++;
		pn--;
	}
	return *p == *t && naive(p + 1, pn - 1, t + 1, tn - 1);
}

static void
test_patterns(void **state)
{
	(void) state;
	assert_true(pattern_match("h?llo*", 6, "hello world", 11, false));
	assert_false(pattern_match("H?LLO", 5, "hello", 5, false));
	assert_true(pattern_match("H?LLO", 5, "hello", 5, true));
	assert_true(pattern_match("[A-C]x", 6, "bx", 2, true));
	for (int i = 0; i < 200000; i++)
	{
		char		p[10];
		char		t[10];
		size_t		pn = unit_random() % sizeof(p);
		size_t		tn = unit_random() % sizeof(t);

		for (size_t b = 0; b < pn; b++)
			p[b] = "*?[]^-\\abc*"[unit_random() % 11];
		for (size_t b = 0; b < tn; b++)
			t[b] = "abc]-\\"[unit_random() % 6];
		if (pattern_match(p, pn, t, tn, false) != naive(p, pn, t, tn))
			fail_msg("pattern \"%.*s\" text \"%.*s\"", (int) pn, p, (int) tn, t);
	}
}

/* test_pattern_cost -- many stars against a long text: no explosion. */
static void
test_pattern_cost(void **state)
{
	char		pattern[64];
	char		text[5000];

	(void) state;
	for (size_t i = 0; i < sizeof(pattern); i += 2)
		memcpy(pattern + i, "a*", 2);
	pattern[sizeof(pattern) - 1] = 'b';
	memset(text, 'a', sizeof(text));
	assert_false(pattern_match(pattern, sizeof(pattern), text, sizeof(text), false));
}

/* test_pattern_prefix -- whatever fits a pattern begins with its prefix. */
static void
test_pattern_prefix(void **state)
{
	uint8		prefix[16];

	(void) state;
	assert_int_equal(pattern_prefix("abc*", 4, prefix, sizeof(prefix)), 3);
	assert_memory_equal(prefix, "abc", 3);
	assert_int_equal(pattern_prefix("a\\*b?", 5, prefix, sizeof(prefix)), 3);
	assert_memory_equal(prefix, "a*b", 3);
	assert_int_equal(pattern_prefix("[a]b", 4, prefix, sizeof(prefix)), 0);
	assert_int_equal(pattern_prefix("abcdef", 6, prefix, 4), 4);
	for (int i = 0; i < 100000; i++)
	{
		char		p[8];
		char		t[8];
		size_t		pn = unit_random() % sizeof(p);
		size_t		tn = unit_random() % sizeof(t);
		size_t		n;

		for (size_t b = 0; b < pn; b++)
			p[b] = "*?\\abab["[unit_random() % 8];
		for (size_t b = 0; b < tn; b++)
			t[b] = "ab\\*"[unit_random() % 4];
		n = pattern_prefix(p, pn, prefix, sizeof(prefix));
		if (pattern_match(p, pn, t, tn, false))
		{
			assert_true(n <= tn);
			assert_memory_equal(prefix, t, n);
		}
	}
}

/* ---- the table ---- */
static void
test_lookup(void **state)
{
	(void) state;
	command_init();
	for (int i = 0; i < command_count; i++)
	{
		const Command *c = &command_table[i];
		char		upper[64];
		size_t		len = strlen(c->name);

		assert_int_equal(c->index, i);
		assert_true(len < sizeof(upper));
		for (size_t b = 0; b < len; b++)
			upper[b] = (char) (c->name[b] >= 'a' && c->name[b] <= 'z' ? c->name[b] - 'a' + 'A' : c->name[b]);
		if (c->parent < 0)
		{
			assert_ptr_equal(command_find(c->name, len), c);
			assert_ptr_equal(command_find(upper, len), c);
			assert_null(command_find(upper, len - 1 > 0 && command_find(upper, len - 1) == NULL ? len - 1 : 0));
		}
		else
		{
			const Command *container = &command_table[c->parent];

			assert_ptr_equal(command_find_child(container, c->short_name, strlen(c->short_name)), c);
			assert_true(i >= container->first_child && i < container->first_child + container->child_count);
		}
		assert_true(c->run != NULL || c->child_count > 0);
		assert_true(c->arity != 0);
		assert_true(c->first_key == 0 || (c->first_key > 0 && c->key_step > 0 && c->key_flags[0] != '\0'));
		assert_true((c->flags & CMD_WRITE) == 0 || (c->flags & CMD_READONLY) == 0);
	}
	assert_null(command_find("", 0));
	assert_null(command_find("nosuch", 6));
	assert_null(command_find("averylongnamethatnocommandhas", 29));
	assert_null(command_find("client|id", 9));
}

static void
test_keys(void **state)
{
	int			index[8];
	BytePart	words[8] = {{"msetex", 6}, {"2", 1}, {"a", 1}, {"1", 1}, {"b", 1}, {"2", 1}, {"ex", 2}, {"10", 2}};

	(void) state;
	command_init();
	assert_int_equal(command_keys(command_find("msetex", 6), words, 8, index, 8), 2);
	assert_int_equal(index[0], 2);
	assert_int_equal(index[1], 4);
	assert_int_equal(command_keys(command_find("msetex", 6), words, 5, index, 8), -1);
	words[1] = (BytePart) {"x", 1};
	assert_int_equal(command_keys(command_find("msetex", 6), words, 8, index, 8), -1);
	assert_int_equal(command_keys(command_find("get", 3), words, 2, index, 8), 1);
	assert_int_equal(index[0], 1);
	assert_int_equal(command_keys(command_find("get", 3), words, 3, index, 8), -1);
	assert_int_equal(command_keys(command_find("mset", 4), words, 5, index, 8), 2);
	assert_int_equal(index[1], 3);
	assert_int_equal(command_keys(command_find("del", 3), words, 4, index, 8), 3);
	assert_int_equal(command_keys(command_find("ping", 4), words, 2, index, 8), 0);
	assert_int_equal(command_keys(command_find("del", 3), words, 100, index, 8), 8);
}

/* show -- a usage tree as text. */
static void
show(const UsageNode *n, char *to)
{
	for (; n != NULL; n = n->next)
	{
		strcat(to, n->optional ? "[" : "(");
		if (n->token[0] != '\0')
			strcat(strcat(to, n->token), ":");
		strcat(to, n->kind == USAGE_VALUE ? usage_type("", n->name) : n->kind == USAGE_TOKEN ? "token" : n->kind == USAGE_ONEOF ? "oneof" : "block");
		if (n->child != NULL)
			show(n->child, to);
		strcat(to, n->multiple_token ? "+...)" : n->multiple ? "...)" : ")");
	}
}

static void
usage_is(const char *line, const char *want)
{
	Usage		u;
	char		got[1024] = "";

	usage_parse(&u, line);
	show(u.first, got);
	assert_string_equal(got, want);
}

static void
test_usage(void **state)
{
	(void) state;
	usage_is("", "");
	usage_is("key", "(key)");
	usage_is("key value [NX|XX] [GET]", "(key)(string)[oneof(NX:token)(XX:token))[GET:token)");
	usage_is("key [key ...]", "(key...)");
	usage_is("key [GET a b [GET a b ...]]", "(key)[GET:block(string)(string)+...)");
	usage_is("key value [key value ...]", "(block(key)(string)...)");
	usage_is("cursor [MATCH pattern] [COUNT count]", "(integer)[MATCH:pattern)[COUNT:integer)");
	usage_is("[protover [AUTH username password] [SETNAME clientname]]",
			 "[block(integer)[AUTH:block(string)(string))[SETNAME:string))");
	usage_is("[TYPE A|B] [ID client-id [client-id ...]]", "[TYPE:oneof(A:token)(B:token))[ID:integer...)");
	usage_is("key [NX | IFEQ value] [EX seconds | KEEPTTL | BY a b]",
			 "(key)[oneof(NX:token)(IFEQ:string))[oneof(EX:integer)(KEEPTTL:token)(BY:block(string)(string)))");
	usage_is("key [GET x | BY a|b | SET x y ...]", "(key)[oneof(GET:string)(BY:oneof(A:token)(B:token))(SET:block(string)(string))...)");
	usage_is("[a|b [NEXT]]", "[block(oneof(A:token)(B:token))[NEXT:token))");
	for (int i = 0; i < command_count; i++)
	{
		Usage		u;

		usage_parse(&u, command_table[i].usage);
		assert_true((u.first != NULL) == (command_table[i].usage[0] != '\0'));
	}
}

/* test_doc -- doc/commands.md is what the table says (run at the top of the source tree). */
static void
test_doc(void **state)
{
	char	   *made = NULL;
	size_t		made_len = 0;
	FILE	   *out = open_memstream(&made, &made_len);
	FILE	   *in = fopen("doc/commands.md", "re");
	char	   *kept;
	size_t		kept_len;

	(void) state;
	if (in == NULL)
		skip();
	assert_non_null(out);
	tcop_write_commands_doc(out);
	assert_int_equal(fclose(out), 0);
	kept = malloc(made_len + 2);
	assert_non_null(kept);
	kept_len = fread(kept, 1, made_len + 1, in);
	fclose(in);
	assert_int_equal(kept_len, made_len);
	assert_memory_equal(kept, made, made_len);
	free(kept);
	free(made);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_pattern_cost),
		cmocka_unit_test(test_pattern_prefix),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_doc),
	};

	unit_seed_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
