/*
 * crc_crc32c.c -- CRC-32C: the check value, published vectors, the hardware twin
 * against the software twin at every length and alignment up to a bound that
 * covers all three ways of the interleaving, and extending in pieces.
 */
#include "common/c.h"
#include "common/crc32c.h"

#include "unit_wal.h"

#include <time.h>

static void
test_known_values(void **state)
{
	uint8		buf[32];

	(void) state;
	assert_int_equal(crc32c_extend(0, "123456789", 9), 0xE3069283);
	assert_int_equal(crc32c_extend_software(0, "123456789", 9), 0xE3069283);
	/* RFC 3720, B.4 */
	memset(buf, 0, 32);
	assert_int_equal(crc32c_extend(0, buf, 32), 0x8A9136AA);
	memset(buf, 0xff, 32);
	assert_int_equal(crc32c_extend(0, buf, 32), 0x62A8AB43);
	for (int i = 0; i < 32; i++)
		buf[i] = (uint8) i;
	assert_int_equal(crc32c_extend(0, buf, 32), 0x46DD794E);
	for (int i = 0; i < 32; i++)
		buf[i] = (uint8) (31 - i);
	assert_int_equal(crc32c_extend(0, buf, 32), 0x113FDB5C);
	assert_int_equal(crc32c_extend(0x12345678, buf, 0), 0x12345678);
}

/* bit by bit: an oracle that shares nothing with either twin */
static uint32
slow(uint32 crc, const uint8 *p, size_t len)
{
	crc = ~crc;
	while (len-- > 0)
	{
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc & 1 ? crc >> 1 ^ 0x82F63B78 : crc >> 1;
	}
	return ~crc;
}

static void
test_twins(void **state)
{
	size_t		room = 64 * KIB;
	uint8	   *data = malloc(room);

	(void) state;
	assert_non_null(data);
	for (size_t i = 0; i < room; i++)
		data[i] = (uint8) unit_random();
	for (size_t len = 0; len < 2100; len++)
	{
		size_t		at = unit_random() % 16;
		uint32		start = (uint32) unit_random();

		assert_int_equal(crc32c_extend(start, data + at, len), crc32c_extend_software(start, data + at, len));
		if (len < 400)
			assert_int_equal(crc32c_extend(start, data + at, len), slow(start, data + at, len));
	}
	for (int i = 0; i < 400; i++)
	{
		size_t		at = unit_random() % 4096;
		size_t		len = unit_random() % (room - at);

		assert_int_equal(crc32c_extend(0, data + at, len), crc32c_extend_software(0, data + at, len));
	}
	assert_int_equal(crc32c_extend(7, data, room), slow(7, data, room));
	free(data);
}

static void
test_pieces(void **state)
{
	size_t		room = 40000;
	uint8	   *data = malloc(room);

	(void) state;
	assert_non_null(data);
	for (size_t i = 0; i < room; i++)
		data[i] = (uint8) unit_random();
	for (int round = 0; round < 300; round++)
	{
		uint32		whole = crc32c_extend(0, data, room);
		uint32		crc = 0;
		size_t		at = 0;

		while (at < room)
		{
			size_t		len = unit_random() % 20000;

			len = Min(len, room - at);
			crc = crc32c_extend(crc, data + at, len);
			at += len;
		}
		assert_int_equal(crc, whole);
	}
	free(data);
}

/* every single flipped bit of a record-sized buffer changes the value */
static void
test_flips(void **state)
{
	uint8		data[700];
	uint32		right;

	(void) state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8) unit_random();
	right = crc32c_extend(0, data, sizeof(data));
	for (size_t bit = 0; bit < sizeof(data) * 8; bit++)
	{
		data[bit / 8] ^= (uint8) (1 << bit % 8);
		assert_int_not_equal(crc32c_extend(0, data, sizeof(data)), right);
		data[bit / 8] ^= (uint8) (1 << bit % 8);
	}
}

static double
rate(uint32 (*extend)(uint32, const void *, size_t), const uint8 *data, size_t len)
{
	clock_t		begun = clock();
	uint32		crc = 0;
	int			rounds = 0;

	do
		crc = extend(crc, data, len);
	while (++rounds < 64);
	assert_int_not_equal(crc, 1);
	return (double) len * rounds / ((double) (clock() - begun + 1) / CLOCKS_PER_SEC) / 1e9;
}

static void
test_rates(void **state)
{
	uint8	   *data = calloc(1, 256 * KIB);

	(void) state;
	assert_non_null(data);
	print_message("# %s: %.1f GB/s; software: %.1f GB/s\n", crc32c_is_hardware() ? "SSE4.2" : "software",
				  rate(crc32c_extend, data, 256 * KIB), rate(crc32c_extend_software, data, 256 * KIB));
	free(data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_twins),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_rates),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
