/*
 * crc32c.c -- CRC-32C (Castagnoli polynomial 0x1EDC6F41, reflected 0x82F63B78).
 *
 * Two twins that give the same bits: SSE4.2's crc32 instruction, chosen at load
 * time by asking the CPU, and slice-by-8 tables for every other machine.  The
 * unit test compares them on every length and alignment up to some kilobytes.
 *
 * The instruction has a latency of three cycles and a throughput of one, so a
 * single chain of it runs at a third of what the CPU can do.  Long buffers are
 * cut into three neighbouring blocks whose values are computed side by side and
 * then joined: the value of A followed by B is shift(value of A, length of B)
 * XOR the value of B started at 0, where shift() is linear over GF(2) and, for
 * one fixed length, four table look-ups.
 *
 * The tables are filled by a constructor, before main() and before any thread
 * or child exists; they are constant after that.  No other state: any process,
 * any thread, signal handlers too.
 */
#include "common/crc32c.h"

#define POLYNOMIAL UINT32_C(0x82F63B78)
#define LONG_BLOCK 4096		/* bytes of each of three blocks */
#define SHORT_BLOCK 256

static uint32 slice[8][256];			/* slice[k][b]: byte b followed by k zero bytes */
static uint32 shift_long[4][256];		/* by byte of the value: LONG_BLOCK zero bytes follow */
static uint32 shift_short[4][256];
static bool hardware;

static uint32
shift_by(const uint32 table[4][256], uint32 crc)
{
	return table[0][crc & 0xff] ^ table[1][crc >> 8 & 0xff] ^ table[2][crc >> 16 & 0xff] ^ table[3][crc >> 24];
}

/* make_shift -- what each bit of a value becomes after 'zeros' zero bytes; then every byte as a sum of its bits. */
static void
make_shift(uint32 table[4][256], uint32 zeros)
{
	uint32		bit[32];

	for (int i = 0; i < 32; i++)
	{
		uint32		crc = UINT32_C(1) << i;

		for (uint32 n = 0; n < zeros; n++)
			crc = slice[0][crc & 0xff] ^ crc >> 8;
		bit[i] = crc;
	}
	for (int k = 0; k < 4; k++)
		for (uint32 b = 0; b < 256; b++)
		{
			uint32		sum = 0;

			for (int i = 0; i < 8; i++)
				if (b >> i & 1)
					sum ^= bit[8 * k + i];
			table[k][b] = sum;
		}
}

__attribute__((constructor)) static void
crc32c_make_tables(void)
{
	for (uint32 b = 0; b < 256; b++)
	{
		uint32		crc = b;

		for (int i = 0; i < 8; i++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		slice[0][b] = crc;
	}
	for (int k = 1; k < 8; k++)
		for (uint32 b = 0; b < 256; b++)
			slice[k][b] = slice[0][slice[k - 1][b] & 0xff] ^ slice[k - 1][b] >> 8;
	make_shift(shift_long, LONG_BLOCK);
	make_shift(shift_short, SHORT_BLOCK);
#ifdef __x86_64__
	__builtin_cpu_init();
	hardware = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

static uint64
load_word(const uint8 *p)
{
	uint64		word;

	memcpy(&word, p, sizeof(word));
	return word;
}

uint32
crc32c_extend_software(uint32 crc, const void *data, size_t len)
{
	const uint8 *p = data;
	uint32		value = ~crc;

	for (; len >= 8; p += 8, len -= 8)
	{
		uint64		w = load_word(p) ^ value;	/* little-endian, as all of artery */

		value = slice[7][w & 0xff] ^ slice[6][w >> 8 & 0xff] ^ slice[5][w >> 16 & 0xff] ^ slice[4][w >> 24 & 0xff]
			^ slice[3][w >> 32 & 0xff] ^ slice[2][w >> 40 & 0xff] ^ slice[1][w >> 48 & 0xff] ^ slice[0][w >> 56];
	}
	for (; len > 0; p++, len--)
		value = slice[0][(value ^ *p) & 0xff] ^ value >> 8;
	return ~value;
}

#ifdef __x86_64__
#define SSE42 __attribute__((target("sse4.2")))

/* three_blocks -- as many runs of three blocks as there are: 'value' extended, *p and *len moved on. */
SSE42 static inline uint64
three_blocks(uint64 value, const uint8 **p, size_t *len, size_t block, const uint32 table[4][256])
{
	while (*len >= 3 * block)
	{
		const uint8 *at = *p;
		uint64		second = 0;
		uint64		third = 0;

		for (size_t i = 0; i < block; i += 8, at += 8)
		{
			value = __builtin_ia32_crc32di(value, load_word(at));
			second = __builtin_ia32_crc32di(second, load_word(at + block));
			third = __builtin_ia32_crc32di(third, load_word(at + 2 * block));
		}
		value = shift_by(table, (uint32) value) ^ second;
		value = shift_by(table, (uint32) value) ^ third;
		*p += 3 * block;
		*len -= 3 * block;
	}
	return value;
}

SSE42 static uint32
extend_hardware(uint32 crc, const void *data, size_t len)
{
	const uint8 *p = data;
	uint64		value = (uint32) ~crc;

	if (len >= 3 * SHORT_BLOCK)
	{
		value = three_blocks(value, &p, &len, LONG_BLOCK, shift_long);
		value = three_blocks(value, &p, &len, SHORT_BLOCK, shift_short);
	}
	for (; len >= 8; p += 8, len -= 8)
		value = __builtin_ia32_crc32di(value, load_word(p));
	for (; len > 0; p++, len--)
		value = __builtin_ia32_crc32qi((uint32) value, *p);
	return ~(uint32) value;
}
#else
static uint32
extend_hardware(uint32 crc, const void *data, size_t len)
{
	return crc32c_extend_software(crc, data, len);
}
#endif

uint32
crc32c_extend(uint32 crc, const void *data, size_t len)
{
	return likely(hardware) ? extend_hardware(crc, data, len) : crc32c_extend_software(crc, data, len);
}

bool
crc32c_is_hardware(void)
{
	return hardware;
}
