/*
 * tcop_output.c -- the chain of chunks that holds replies, against a flat buffer;
 * and what the reply functions write, in both protocols.
 */
#include "common/c.h"

#include "tcop/number.h"
#include "tcop/output.h"
#include "unit_random.h"
#include "utils/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/uio.h>

#include <cmocka.h>

/* ---- the oracle: all bytes ever appended and not cut; 'from' of them have been consumed ---- */
#define FLAT_MAX (8 * MIB)
static uint8 *flat;
static uint64 flat_len;
static uint64 flat_from;

static void
flat_insert(uint64 at, const void *data, size_t len)
{
	assert_true(flat_len + len < FLAT_MAX);
	memmove(flat + at + len, flat + at, flat_len - at);
	memcpy(flat + at, data, len);
	flat_len += len;
}

/* same -- everything that is pending, by the runs that would be sent. */
static void
same(const Output *o)
{
	void	   *base[4096];
	size_t		lens[4096];
	uint64		at = flat_from;
	int			count;

	assert_int_equal(o->appended - o->consumed, flat_len - flat_from);
	count = output_gather(o, output_pending(o), base, lens, 4096);
	for (int i = 0; i < count; i++)
	{
		assert_memory_equal(base[i], flat + at, lens[i]);
		at += lens[i];
	}
	assert_int_equal(at, flat_len);
}

static void
fill(uint8 *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8) unit_random();
}

/*
 * round_of -- one life of a chain: commands begin, append, insert in front, are cut
 * back; what is complete is consumed in any portions.
 */
static void
round_of(void)
{
	static uint8 data[100000];
	Output		o = {.proto = 2};

	flat_len = flat_from = 0;
	for (int command = 0; command < 60; command++)
	{
		uint64		start = o.appended;
		uint64		flat_start = flat_len;
		OutChunk   *begin = unit_random() % 3 == 0 ? output_begin(&o) : NULL;

		for (uint64 n = unit_random() % 5; n > 0; n--)
		{
			size_t		len = unit_random() % (unit_random() % 8 == 0 ? sizeof(data) : 200);

			fill(data, len);
			if (len < 2000 && unit_random() % 2 == 0)
			{
				memcpy(output_reserve(&o, (uint32) len + 10), data, len);
				output_advance(&o, (uint32) len);
			}
			else
				output_append(&o, data, len);
			flat_insert(flat_len, data, len);
		}
		if (unit_random() % 8 == 0)
		{
			uint64		keep = unit_random() % (o.appended - start + 1);

			output_cut(&o, start + keep);
			flat_len = flat_start + keep;
			begin = NULL;		/* may be gone */
		}
		if (begin != NULL && o.appended > start)
		{
			size_t		len = unit_random() % (unit_random() % 4 == 0 ? 50000 : OUTPUT_HEADROOM + 1);

			fill(data, len);
			output_insert(&o, begin, data, len);
			flat_insert(flat_start, data, len);
			if (len <= OUTPUT_HEADROOM)
				output_end(&o, begin);
		}
		output_trim(&o);
		if (unit_random() % 6 == 0)
		{
			Output		side = {.proto = 2};
			size_t		len = unit_random() % 60000;

			fill(data, len);
			output_append(&side, data, len);
			output_splice(&o, &side);
			assert_null(side.head);
			flat_insert(flat_len, data, len);
		}
		if (unit_random() % 6 == 0 && o.appended > start)
		{
			/* apart behind some byte of this command, and together again in pieces with something in between */
			uint64		at = start + 1 + unit_random() % (o.appended - start);
			uint64		place = flat_len - (o.appended - at);
			Output		rest;

			output_split(&o, at, &rest);
			assert_int_equal(o.appended, at);
			while (output_pending(&rest) > 0)
			{
				uint64		piece = 1 + unit_random() % output_pending(&rest);

				output_append(&o, "between", 7);
				flat_insert(place, "between", 7);
				output_move(&o, &rest, piece);
				place += 7 + piece;
			}
			assert_null(rest.head);
			assert_int_equal(rest.chunks, 0);
		}
		same(&o);
		if (unit_random() % 2 == 0)
		{
			uint64		len = unit_random() % (output_pending(&o) + 1);

			if (unit_random() % 3 == 0)
				len = output_pending(&o);
			output_consume(&o, len);
			flat_from += len;
			same(&o);
		}
	}
	output_consume(&o, output_pending(&o));
	assert_null(o.head);		/* who owes nothing holds nothing */
	assert_int_equal(o.chunks, 0);
	output_free(&o);
}

static void
test_chain(void **state)
{
	uint64		before;

	(void) state;
	flat = malloc(FLAT_MAX);
	assert_non_null(flat);
	for (int i = 0; i < 150; i++)
		round_of();
	before = output_memory();
	for (int i = 0; i < 150; i++)
		round_of();
	assert_true(output_memory() <= before + 4 * MIB);	/* bounded free lists, nothing leaks */
	free(flat);
}

static void
test_limit(void **state)
{
	Output		o = {.proto = 2};

	(void) state;
	set_client_output_buffer_limit = 1000;
	assert_true(output_room(&o, 1000));
	assert_false(o.overflow);
	output_append(&o, "0123456789", 10);
	assert_true(output_room(&o, 990));
	assert_false(output_room(&o, 991));
	assert_true(o.overflow);
	assert_false(output_room(&o, 0));	/* it stays so: the connection is to be closed */
	output_free(&o);
	set_client_output_buffer_limit = 256 * MIB;
}

static void
written(Output *o, const char *want)
{
	char		got[4096];
	size_t		len = 0;

	for (OutChunk *c = o->head; c != NULL; c = c->next)
	{
		memcpy(got + len, c->data + c->start, c->end - c->start);
		len += c->end - c->start;
	}
	got[len] = '\0';
	assert_string_equal(got, want);
	output_consume(o, output_pending(o));
}

static void
test_replies(void **state)
{
	Output		o = {.proto = 2};

	(void) state;
	for (o.proto = 2; o.proto <= 3; o.proto++)
	{
		bool		three = o.proto == 3;

		reply_ok(&o);
		written(&o, "+OK\r\n");
		reply_simple(&o, "PONG");
		written(&o, "+PONG\r\n");
		reply_error(&o, "ERR no such %s", "th\r\ning");
		written(&o, "-ERR no such th  ing\r\n");
		reply_int(&o, 0);
		reply_int(&o, -1);
		reply_int(&o, INT64_MIN);
		reply_int(&o, INT64_MAX);
		written(&o, ":0\r\n:-1\r\n:-9223372036854775808\r\n:9223372036854775807\r\n");
		reply_bulk(&o, "a\r\nb", 4);
		reply_bulk(&o, "", 0);
		reply_text(&o, "text");
		reply_bulk_int(&o, -12);
		written(&o, "$4\r\na\r\nb\r\n$0\r\n\r\n$4\r\ntext\r\n$3\r\n-12\r\n");
		reply_null(&o);
		written(&o, three ? "_\r\n" : "$-1\r\n");
		reply_array(&o, 0);
		reply_array(&o, 12345678901);
		written(&o, "*0\r\n*12345678901\r\n");
		reply_map(&o, 7);
		written(&o, three ? "%7\r\n" : "*14\r\n");
		reply_set(&o, 3);
		written(&o, three ? "~3\r\n" : "*3\r\n");
		reply_verbatim(&o, "info", 4);
		written(&o, three ? "=8\r\ntxt:info\r\n" : "$4\r\ninfo\r\n");
	}
	assert_int_equal(o.errors, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_replies),
	};

	unit_seed_init();
	set_client_output_buffer_limit = 256 * MIB;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
