/*
 * wal_format.c -- the bytes of the log: names, record checksum, segment header.
 *
 * The offsets are compared with the byte map in doc/formats.md as numbers, not as
 * the struct says, so that neither can move alone.
 */
#include "unit_wal.h"

#include "common/crc32c.h"

static void
test_names(void **state)
{
	char		name[32];
	Lsn			lsn;

	(void) state;
	wal_segment_file_name(0x4000000, name, sizeof(name));
	assert_string_equal(name, "0000000004000000");
	wal_segment_file_name(UINT64_C(0xFEDCBA9876543210), name, sizeof(name));
	assert_string_equal(name, "FEDCBA9876543210");
	assert_true(wal_segment_parse_name(name, &lsn));
	assert_true(lsn == UINT64_C(0xFEDCBA9876543210));
	assert_false(wal_segment_parse_name("000000000400000", &lsn));
	assert_false(wal_segment_parse_name("00000000040000000", &lsn));
	assert_false(wal_segment_parse_name("00000000040000ab", &lsn));	/* lower case is not ours */
	assert_false(wal_segment_parse_name("prepare.tmp", &lsn));
	assert_false(wal_segment_parse_name("spare.1", &lsn));
	assert_false(wal_segment_parse_name("", &lsn));
}

static void
test_record_bytes(void **state)
{
	WalRecordHeader h = {.length = 0x01020304, .crc = 0x11121314, .lsn = UINT64_C(0x2122232425262728),
						 .flushed_back = 0x31323334, .type = 0x41, .flags = 0x51, .key_len = 0x6162};
	static const uint8 bytes[24] = {4, 3, 2, 1, 0x14, 0x13, 0x12, 0x11, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
		0x34, 0x33, 0x32, 0x31, 0x41, 0x51, 0x62, 0x61};
	uint8		all[32 + 3];
	uint64		seed = UINT64_C(0x8877665544332211);
	uint32		body;

	(void) state;
	assert_memory_equal(&h, bytes, 24);
	/* body, then header with crc = 0, then seed */
	memcpy(all, "abc", 3);
	memcpy(all + 3, bytes, 24);
	memset(all + 3 + 4, 0, 4);
	memcpy(all + 27, &seed, 8);
	body = crc32c_extend(0, "abc", 3);
	assert_int_equal(wal_record_crc(body, &h, seed), crc32c_extend(0, all, sizeof(all)));
	assert_int_equal(h.crc, 0x11121314);
	assert_int_not_equal(wal_record_crc(body, &h, seed), wal_record_crc(body, &h, seed + 1));
	assert_string_equal(wal_type_name(WAL_PUT), "PUT");
	assert_null(wal_type_name(0));
	assert_null(wal_type_name(200));
}

static WalSegmentHeader
good_header(void)
{
	WalSegmentHeader h = {.timeline = 1, .system_id = UNIT_SYSTEM_ID, .first_lsn = 4 * MIB, .segment_size = MIB, .seed = 99,
						  .continues_lsn = 4 * MIB, .ring_size = MIB, .created_wall_us = 1};

	wal_segment_header_seal(&h);
	return h;
}

static void
test_segment_header(void **state)
{
	WalSegmentHeader h = good_header();
	const uint8 *bytes = (const uint8 *) &h;
	const char *why;

	(void) state;
	assert_true(wal_segment_header_valid(&h, &why));
	assert_null(why);
	assert_memory_equal(bytes, "ATERYWAL", 8);
	assert_int_equal(offsetof(WalSegmentHeader, version), 8);
	assert_int_equal(offsetof(WalSegmentHeader, timeline), 12);
	assert_int_equal(offsetof(WalSegmentHeader, system_id), 16);
	assert_int_equal(offsetof(WalSegmentHeader, first_lsn), 24);
	assert_int_equal(offsetof(WalSegmentHeader, segment_size), 32);
	assert_int_equal(offsetof(WalSegmentHeader, seed), 40);
	assert_int_equal(offsetof(WalSegmentHeader, continues_lsn), 48);
	assert_int_equal(offsetof(WalSegmentHeader, ring_size), 56);
	assert_int_equal(offsetof(WalSegmentHeader, created_wall_us), 64);
	assert_int_equal(offsetof(WalSegmentHeader, crc), 76);
	/* every flipped bit is seen */
	for (size_t bit = 0; bit < sizeof(h) * 8; bit++)
	{
		WalSegmentHeader bad = h;

		((uint8 *) &bad)[bit / 8] ^= (uint8) (1 << bit % 8);
		assert_false(wal_segment_header_valid(&bad, &why));
		assert_non_null(why);
	}
}

#define REFUSED(change, text) \
	do { \
		WalSegmentHeader bad = good_header(); \
		const char *why; \
		change; \
		wal_segment_header_seal(&bad); \
		assert_false(wal_segment_header_valid(&bad, &why)); \
		assert_non_null(strstr(why, text)); \
	} while (0)

static void
test_header_values(void **state)
{
	WalSegmentHeader h = good_header();
	const char *why;

	(void) state;
	REFUSED(bad.segment_size = 3 * MIB, "segment size");
	REFUSED(bad.segment_size = 64 * KIB, "segment size");
	REFUSED(bad.first_lsn = 0; bad.continues_lsn = 0, "first position");
	REFUSED(bad.first_lsn = 4 * MIB + 8, "first position");
	REFUSED(bad.continues_lsn = 4 * MIB + 8, "continues from");
	REFUSED(bad.continues_lsn = 4 * MIB - 3, "continues from");
	REFUSED(bad.ring_size = 0, "wal_buffers");
	/* another version, sealed: says so; damaged: says that too */
	h.version = WAL_VERSION + 1;
	assert_false(wal_segment_header_valid(&h, &why));
	assert_non_null(strstr(why, "checksum is wrong, or another format version"));
	h.crc = crc32c_extend(0, &h, offsetof(WalSegmentHeader, crc));
	assert_false(wal_segment_header_valid(&h, &why));
	assert_non_null(strstr(why, "written by another format version"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_record_bytes),
		cmocka_unit_test(test_segment_header),
		cmocka_unit_test(test_header_values),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	unit_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
