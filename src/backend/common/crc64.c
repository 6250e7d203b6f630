/*
 * crc64.c -- CRC-64 (Jones), eight bytes at a time by tables.
 *
 * table[0] has the checksum of each byte, table[n] that of the byte with n zero
 * bytes behind it, so that eight bytes are one step.  The tables are filled before
 * main() and constant after that.
 */
#include "common/c.h"
#include "common/crc64.h"

/* 0xad93d23594c935a9 with its bits in reverse */
#define POLYNOMIAL UINT64_C(0x95ac9329ac4bc9b5)

static uint64 table[8][256];

__attribute__((constructor)) static void
make_tables(void)
{
	for (uint32 byte = 0; byte < 256; byte++)
	{
		uint64		crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 1) != 0 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		table[0][byte] = crc;
	}
	for (uint32 byte = 0; byte < 256; byte++)
		for (int n = 1; n < 8; n++)
			table[n][byte] = table[n - 1][byte] >> 8 ^ table[0][table[n - 1][byte] & 0xff];
}

uint64
crc64_extend(uint64 crc, const void *data, size_t len)
{
	const uint8 *p = data;

	for (; len >= 8; len -= 8, p += 8)
	{
		uint64		word;

		memcpy(&word, p, sizeof(word));		/* little-endian, as all that artery runs on */
		crc ^= word;
		crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^ table[5][crc >> 16 & 0xff] ^
			table[4][crc >> 24 & 0xff] ^ table[3][crc >> 32 & 0xff] ^ table[2][crc >> 40 & 0xff] ^
			table[1][crc >> 48 & 0xff] ^ table[0][crc >> 56];
	}
	for (; len > 0; len--)
		crc = table[0][(crc ^ *p++) & 0xff] ^ crc >> 8;
	return crc;
}
