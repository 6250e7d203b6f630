/*
 * rdb_format.h -- a string as Redis' DUMP writes it, and back.
 *
 *   0      type       u8    0: a string
 *   1      the string:
 *            00nnnnnn                    then n bytes
 *            01nnnnnn nnnnnnnn           then n bytes
 *            10000000 u32 big-endian     then n bytes
 *            10000001 u64 big-endian     then n bytes
 *            11000000 int8, 11000001 int16, 11000010 int32, little-endian: its decimal digits
 *            11000011 packed length, length (both as above), then so many bytes packed by LZF
 *   n      version    u16   little-endian, of the format
 *   n + 2  checksum   u64   little-endian, CRC-64 (Jones) of all before it
 *
 * LZF: a byte below 32 is followed by that many bytes and one more, as they are; of
 * another one the upper three bits (7: plus the next byte) plus 2 tell how many
 * bytes are to be repeated, the lower five and the next byte from how far back, less 1.
 */
#ifndef ARTERY_COMMON_RDB_FORMAT_H
#define ARTERY_COMMON_RDB_FORMAT_H

#include "common/c.h"

#define RDB_VERSION 10			/* Redis 7.0 */
#define RDB_VERSION_MAX 80		/* of Redis 8 and Valkey 9: strings are as they have always been */
#define RDB_FOOTER_BYTES 10
#define RDB_HEADER_MAX 10		/* type and length of a string, or type and number */

/* rdb_footer_version -- of a payload of at least RDB_FOOTER_BYTES. */
extern uint32 rdb_footer_version(const uint8 *payload, size_t len);
extern uint64 rdb_footer_checksum(const uint8 *payload, size_t len);
extern void rdb_footer_write(uint8 *to, uint64 checksum_before);

/*
 * rdb_string_header -- writes what stands before a string's bytes, or the whole of it
 * if it is a number: then *bytes is 0, else len.  Returns the header's length.
 */
extern uint32 rdb_string_header(uint8 *to, const uint8 *value, uint64 len, uint64 *bytes);

typedef struct RdbString
{
	bool		packed;
	const uint8 *data;			/* in the payload, or 'number' */
	uint64		data_len;
	uint64		len;			/* of the string; that of data unless packed */
	char		number[12];
} RdbString;
/* rdb_string_parse -- payload without its footer; false: it is no string, or damaged. */
extern bool rdb_string_parse(const uint8 *payload, size_t len, RdbString *out) attribute_must_check;

/* LzfReader -- unpacks in portions. */
typedef struct LzfReader
{
	const uint8 *in;
	const uint8 *in_end;
	uint8	   *out;			/* the string's whole room */
	uint64		out_len;
	uint64		done;
} LzfReader;

typedef enum LzfResult
{
	LZF_DONE,
	LZF_MORE,
	LZF_BAD
} LzfResult;
/* lzf_unpack -- at least 'budget' bytes more, if there are so many; any input is safe. */
extern LzfResult lzf_unpack(LzfReader *r, uint64 budget) attribute_must_check;

#endif
