/*
 * rdb_format.c -- strings as Redis' DUMP writes them: CRC-64's check value and a slow
 * oracle; every value read back; packed data, good and bad, under the sanitizers:
 * nothing is read or written beyond its end.
 */
#include "common/c.h"
#include "common/crc64.h"
#include "common/rdb_format.h"
#include "unit_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- checksum ---- */

static uint64
slow_crc64(uint64 crc, const uint8 *p, size_t len)
{
	for (; len > 0; len--)
	{
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 1) != 0 ? crc >> 1 ^ UINT64_C(0x95ac9329ac4bc9b5) : crc >> 1;
	}
	return crc;
}

static void
test_crc64(void **state)
{
	uint8		data[300];

	(void) state;
	assert_true(crc64_extend(0, "123456789", 9) == UINT64_C(0xe9c6d914c4b8d9ca));
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8) unit_random();
	for (size_t start = 0; start < 9; start++)
		for (size_t len = 0; start + len <= sizeof(data); len++)
		{
			uint64		crc = crc64_extend(0, data + start, len);

			assert_true(crc == slow_crc64(0, data + start, len));
			assert_true(crc == crc64_extend(crc64_extend(0, data + start, len / 3), data + start + len / 3, len - len / 3));
		}
}

/* ---- strings ---- */

/* exact -- a copy that ends where its memory ends. */
static uint8 *
exact(const void *data, size_t len)
{
	uint8	   *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

static void
check_round_trip(const uint8 *value, size_t len)
{
	uint8		header[RDB_HEADER_MAX];
	uint64		bytes;
	uint32		header_len = rdb_string_header(header, value, len, &bytes);
	uint8	   *payload = malloc(header_len + bytes);
	RdbString	string;

	assert_true(bytes == 0 || bytes == len);
	memcpy(payload, header, header_len);
	if (bytes > 0)
		memcpy(payload + header_len, value, bytes);
	assert_true(rdb_string_parse(payload, header_len + bytes, &string));
	assert_false(string.packed);
	assert_true(string.len == len && string.data_len == len);
	assert_true(len == 0 || memcmp(string.data, value, len) == 0);
	/* what is cut is refused, at every byte */
	for (size_t cut = 0; cut < header_len + bytes && cut < 40; cut++)
	{
		uint8	   *part = exact(payload, cut);

		assert_false(rdb_string_parse(part, cut, &string));
		free(part);
	}
	free(payload);
}

static void
test_round_trip(void **state)
{
	static const char *const texts[] = {"", "0", "-0", "00", "-", "--1", "-1", "1", "127", "128", "-128", "-129", "32767", "32768",
		"-32768", "-32769", "2147483647", "2147483648", "-2147483648", "-2147483649", "99999999999", "1x", "+1", " 1", "12345678901"};
	static const size_t lens[] = {1, 11, 12, 63, 64, 65, 16383, 16384, 16385, 100000};
	uint8	   *value = malloc(100000);

	(void) state;
	for (size_t i = 0; i < lengthof(texts); i++)
		check_round_trip((const uint8 *) texts[i], strlen(texts[i]));
	for (int i = 0; i < 20000; i++)
	{
		char		text[24];

		snprintf(text, sizeof(text), "%lld", (long long) (int64) (unit_random() >> unit_random() % 64) * (unit_random() % 2 ? 1 : -1));
		check_round_trip((const uint8 *) text, strlen(text));
	}
	for (size_t i = 0; i < lengthof(lens); i++)
	{
		for (size_t n = 0; n < lens[i]; n++)
			value[n] = (uint8) unit_random();
		check_round_trip(value, lens[i]);
	}
	free(value);
}

static void
test_footer(void **state)
{
	uint8		payload[3 + RDB_FOOTER_BYTES] = {0, 1, 'x'};

	(void) state;
	rdb_footer_write(payload + 3, crc64_extend(0, payload, 3));
	assert_int_equal(rdb_footer_version(payload, sizeof(payload)), RDB_VERSION);
	assert_true(rdb_footer_checksum(payload, sizeof(payload)) == slow_crc64(0, payload, 5));
}

/* ---- packed ---- */

/* unpack -- in portions of some size; LZF_DONE or LZF_BAD. */
static LzfResult
unpack(const uint8 *packed, size_t len, uint8 *out, size_t out_len, uint64 budget)
{
	LzfReader	r = {.in = packed, .in_end = packed + len, .out = out, .out_len = out_len};
	LzfResult	result;
	uint64		calls = 0;

	do
	{
		uint64		before = r.done;

		result = lzf_unpack(&r, budget);
		assert_true(r.done <= out_len && r.in <= r.in_end);
		assert_true(result != LZF_MORE || r.done - before >= budget);
		assert_true(calls++ <= len);
	} while (result == LZF_MORE);
	return result;
}

/*
 * pack -- random literals and repetitions, with what they make: an encoder that need
 * not be good; returns the packed length.
 */
static size_t
pack(uint8 *packed, uint8 *plain, size_t *plain_len)
{
	size_t		in = 0;
	size_t		out = 0;

	for (int step = 0; step < 40; step++)
		if (out == 0 || unit_random() % 3 == 0)
		{
			size_t		len = 1 + unit_random() % 32;

			packed[in++] = (uint8) (len - 1);
			for (; len > 0; len--)
				plain[out++] = packed[in++] = (uint8) unit_random();
		}
		else
		{
			size_t		len = 3 + unit_random() % 262;
			size_t		back = 1 + unit_random() % Min(out, (size_t) 8192);

			packed[in++] = (uint8) (Min(len - 2, (size_t) 7) << 5 | (back - 1) >> 8);
			if (len - 2 >= 7)
				packed[in++] = (uint8) (len - 9);
			packed[in++] = (uint8) (back - 1);
			for (; len > 0; len--, out++)
				plain[out] = plain[out - back];
		}
	*plain_len = out;
	return in;
}

static void
test_packed(void **state)
{
	static uint8 packed[40 * 40];
	static uint8 plain[40 * 300];

	(void) state;
	for (int round = 0; round < 2000; round++)
	{
		size_t		len;
		size_t		packed_len = pack(packed, plain, &len);
		uint8	   *in = exact(packed, packed_len);
		uint8	   *out = malloc(len);

		assert_int_equal(unpack(in, packed_len, out, len, 1 + unit_random() % 2000), LZF_DONE);
		assert_memory_equal(out, plain, len);
		/* another length than there is */
		assert_int_equal(unpack(in, packed_len, out, len - 1, 1000), LZF_BAD);
		/* damaged: whatever comes out, it keeps to its bounds */
		for (int i = 0; i < 3; i++)
			in[unit_random() % packed_len] ^= (uint8) (1 + unit_random() % 255);
		(void) !unpack(in, packed_len, out, len, 1 + unit_random() % 2000);
		(void) !unpack(in, unit_random() % packed_len, out, len, 500);
		free(in);
		free(out);
	}
}

static void
test_random_payloads(void **state)
{
	(void) state;
	for (int round = 0; round < 100000; round++)
	{
		uint8		bytes[64];
		size_t		len = unit_random() % sizeof(bytes);
		RdbString	string;
		uint8	   *payload;

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8) unit_random();
		if (len > 1)
		{
			bytes[0] = 0;
			if (unit_random() % 2)
				bytes[1] = (uint8) (0xc0 | unit_random() % 6);
		}
		payload = exact(bytes, len);
		if (rdb_string_parse(payload, len, &string))
		{
			assert_true(string.data_len <= len || string.data == (const uint8 *) string.number);
			if (string.packed && string.len <= 8192)
			{
				uint8	   *out = malloc(string.len > 0 ? string.len : 1);

				(void) !unpack(string.data, string.data_len, out, string.len, 64);
				free(out);
			}
		}
		free(payload);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc64),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_footer),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_random_payloads),
	};

	unit_seed_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
