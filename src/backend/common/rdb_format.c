/*
 * rdb_format.c -- strings as Redis' DUMP writes them; rdb_format.h has the byte map.
 *
 * What is read may be anything: it comes from clients, and a checksum keeps nobody
 * from making one up.  Nothing is read or written beyond its end, and no length is
 * believed that the bytes that are there could not make.
 */
#include "common/c.h"
#include "common/crc64.h"
#include "common/rdb_format.h"

#define TYPE_STRING 0

/* a packed byte makes at most 264 / 3 */
#define LZF_RATIO_MAX 88

uint32
rdb_footer_version(const uint8 *payload, size_t len)
{
	const uint8 *footer = payload + len - RDB_FOOTER_BYTES;

	return (uint32) (footer[0] | footer[1] << 8);
}

uint64
rdb_footer_checksum(const uint8 *payload, size_t len)
{
	uint64		checksum;

	memcpy(&checksum, payload + len - sizeof(checksum), sizeof(checksum));
	return checksum;
}

void
rdb_footer_write(uint8 *to, uint64 checksum_before)
{
	uint64		checksum;

	to[0] = RDB_VERSION & 0xff;
	to[1] = RDB_VERSION >> 8;
	checksum = crc64_extend(checksum_before, to, 2);
	memcpy(to + 2, &checksum, sizeof(checksum));
}

/* ---- writing ---- */

/* number_of -- is this exactly how a number of 32 bits is written? */
static bool
number_of(const uint8 *text, uint64 len, int32 *value)
{
	int64		v = 0;
	bool		minus = len > 0 && text[0] == '-';
	uint64		first = minus ? 1 : 0;

	if (len - first < 1 || len - first > 10 || (text[first] == '0' && len > 1))
		return false;
	for (uint64 i = first; i < len; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (text[i] - '0');
	}
	v = minus ? -v : v;
	*value = (int32) v;
	return v >= INT32_MIN && v <= INT32_MAX;
}

static uint32
write_number(uint8 *to, int32 value)
{
	uint32		bytes = value >= INT8_MIN && value <= INT8_MAX ? 1 : value >= INT16_MIN && value <= INT16_MAX ? 2 : 4;

	to[0] = (uint8) (0xc0 | bytes / 2);
	memcpy(to + 1, &value, bytes);
	return 1 + bytes;
}

uint32
rdb_string_header(uint8 *to, const uint8 *value, uint64 len, uint64 *bytes)
{
	int32		number;

	to[0] = TYPE_STRING;
	*bytes = 0;
	if (len <= 11 && number_of(value, len, &number))
		return 1 + write_number(to + 1, number);
	*bytes = len;
	if (len < 1 << 6)
	{
		to[1] = (uint8) len;
		return 2;
	}
	if (len < 1 << 14)
	{
		to[1] = (uint8) (0x40 | len >> 8);
		to[2] = (uint8) len;
		return 3;
	}
	if (len <= UINT32_MAX)
	{
		uint32		big_endian = __builtin_bswap32((uint32) len);

		to[1] = 0x80;
		memcpy(to + 2, &big_endian, sizeof(big_endian));
		return 6;
	}
	len = __builtin_bswap64(len);
	to[1] = 0x81;
	memcpy(to + 2, &len, sizeof(len));
	return 10;
}

/* ---- reading ---- */
typedef struct Bytes
{
	const uint8 *p;
	const uint8 *end;
} Bytes;

static bool
take(Bytes *b, size_t len, void *to)
{
	if ((size_t) (b->end - b->p) < len)
		return false;
	memcpy(to, b->p, len);
	b->p += len;
	return true;
}

/* read_length -- false: no length, or cut. */
static bool
read_length(Bytes *b, uint64 *len)
{
	uint8		first;
	uint8		second;
	uint32		word;

	if (!take(b, 1, &first))
		return false;
	switch (first >> 6)
	{
		case 0:
			*len = first;
			return true;
		case 1:
			if (!take(b, 1, &second))
				return false;
			*len = (uint64) (first & 0x3f) << 8 | second;
			return true;
		case 2:
			if (first == 0x80 && take(b, sizeof(word), &word))
			{
				*len = __builtin_bswap32(word);
				return true;
			}
			if (first == 0x81 && take(b, sizeof(*len), len))
			{
				*len = __builtin_bswap64(*len);
				return true;
			}
			return false;
		default:
			return false;
	}
}

static bool
parse_number(Bytes *b, uint32 bytes, RdbString *out)
{
	int8_t		one;
	int16_t		two;
	int32		value;

	switch (bytes)
	{
		case 1:
			if (!take(b, 1, &one))
				return false;
			value = one;
			break;
		case 2:
			if (!take(b, 2, &two))
				return false;
			value = two;
			break;
		default:
			if (!take(b, 4, &value))
				return false;
	}
	out->len = out->data_len = (uint64) snprintf(out->number, sizeof(out->number), "%d", value);
	out->data = (const uint8 *) out->number;
	return b->p == b->end;
}

bool
rdb_string_parse(const uint8 *payload, size_t len, RdbString *out)
{
	Bytes		b = {payload, payload + len};
	uint8		type;

	memset(out, 0, sizeof(*out));
	if (!take(&b, 1, &type) || type != TYPE_STRING || b.p == b.end)
		return false;
	if (*b.p >= 0xc0 && *b.p <= 0xc2)
		return parse_number(&b, 1u << (*b.p++ & 3), out);
	out->packed = *b.p == 0xc3;
	if (out->packed)
		b.p++;
	if (!read_length(&b, &out->data_len))
		return false;
	out->len = out->data_len;
	if (out->packed && (!read_length(&b, &out->len) || out->len / LZF_RATIO_MAX > out->data_len))
		return false;
	out->data = b.p;
	return out->data_len == (uint64) (b.end - b.p);
}

/* unpack_repeat -- bytes that have been there before; they may overlap what they make. */
static bool
unpack_repeat(LzfReader *r, uint8 control)
{
	uint64		len = control >> 5;
	uint64		back;

	if (len == 7)
	{
		if (r->in == r->in_end)
			return false;
		len += *r->in++;
	}
	len += 2;
	if (r->in == r->in_end)
		return false;
	back = ((uint64) (control & 0x1f) << 8 | *r->in++) + 1;
	if (back > r->done || len > r->out_len - r->done)
		return false;
	for (; len > 0; len--, r->done++)
		r->out[r->done] = r->out[r->done - back];
	return true;
}

LzfResult
lzf_unpack(LzfReader *r, uint64 budget)
{
	uint64		stop = r->done + budget;

	while (r->in < r->in_end)
	{
		uint8		control;

		if (r->done >= stop)
			return LZF_MORE;
		control = *r->in++;
		if (control < 32)
		{
			uint64		len = (uint64) control + 1;

			if (len > (uint64) (r->in_end - r->in) || len > r->out_len - r->done)
				return LZF_BAD;
			memcpy(r->out + r->done, r->in, len);
			r->in += len;
			r->done += len;
		}
		else if (!unpack_repeat(r, control))
			return LZF_BAD;
	}
	return r->done == r->out_len ? LZF_DONE : LZF_BAD;
}
