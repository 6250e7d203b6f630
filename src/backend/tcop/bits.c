/*
 * bits.c -- values as rows of bits: SETBIT GETBIT BITCOUNT BITPOS.
 *
 * Bit 0 is the highest one of the first byte.  A value ends in as many zeros as
 * anybody asks for.  Counting and searching go through long values in portions
 * (value_scan.c); SETBIT changes one byte in its decision.
 */
#include "common/c.h"
#include "tcop/strings_internal.h"

bool
tcop__arg_bit_offset(Session *s, uint32 i, uint64 *offset)
{
	int64		number;

	if (number_parse(s->argv[i].data, s->argv[i].len, &number) && number >= 0 && number <= BIT_OFFSET_MAX)
	{
		*offset = (uint64) number;
		return true;
	}
	reply_error(&s->out, "ERR bit offset is not an integer or out of range");
	return false;
}

uint8
tcop__view_byte(const StoreView *view, uint64 offset)
{
	size_t		len;

	return offset < view->value_len ? *store_view_part(view, offset, &len) : 0;
}

/* ---- one bit ---- */
typedef struct BitArg
{
	uint64		offset;
	bool		exists;
	uint8		bit;			/* in: the new one; out: the old one */
	uint8		old;
	uint8		byte;
} BitArg;

static StoreAction
decide_setbit(const StoreView *view, StoreChange *change, void *arg)
{
	BitArg	   *a = arg;
	uint64		at = a->offset / 8;
	uint8		mask = (uint8) (0x80 >> a->offset % 8);
	uint8		byte = tcop__view_byte(view, at);

	a->old = (byte & mask) != 0;
	if (view->exists && at < view->value_len && a->old == a->bit)
		return STORE_KEEP;
	a->byte = a->bit != 0 ? byte | mask : byte & (uint8) ~mask;
	change->patch_old = true;
	change->patch_at = at;
	change->keep_expiry = true;
	change->part[0] = (BytePart) {&a->byte, 1};
	change->part_count = 1;
	return STORE_PUT;
}

TcopResult
tcop__setbit(Session *s)
{
	BitArg		arg;
	int64		bit;
	StoreWritten w;
	TcopResult	result;

	if (!tcop__arg_bit_offset(s, 2, &arg.offset))
		return TCOP_DONE;
	if (!number_parse(s->argv[3].data, s->argv[3].len, &bit) || (bit != 0 && bit != 1))
	{
		reply_error(&s->out, "ERR bit is not an integer or out of range");
		return TCOP_DONE;
	}
	arg.bit = (uint8) bit;
	if (tcop__write_by(store_write, s, decide_setbit, &arg, &w, &result))
	{
		if (w.changed)
			tcop__written(s, 1, !w.existed, "setbit");
		reply_int(&s->out, arg.old);
	}
	return result;
}

static void
show_bit(const StoreView *view, void *arg)
{
	BitArg	   *a = arg;

	a->exists = view->exists;
	a->bit = (tcop__view_byte(view, a->offset / 8) >> (7 - a->offset % 8)) & 1;
}

TcopResult
tcop__getbit(Session *s)
{
	BitArg		arg;
	StoreKey	key;
	TcopResult	result;

	if (!tcop__arg_bit_offset(s, 2, &arg.offset) || !tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	if (!tcop__status(s, store_read(&key, show_bit, &arg, &s->gate), &result))
		return result;
	tcop__looked(s, 1, arg.exists);
	reply_int(&s->out, arg.bit);
	return TCOP_DONE;
}

/* ---- a range of bits ---- */
typedef struct BitScan
{
	ValueScan	scan;
	/* the range as it was given */
	const char *error;			/* what is wrong with it: told only if the key exists, as Redis does */
	bool		ranged;
	bool		by_bit;
	bool		is_position;	/* BITPOS */
	int64		from;
	int64		to;
	/* the range in this version: bits */
	uint64		first;
	uint64		last;
	bool		empty;
	/* BITCOUNT, BITPOS */
	uint64		count;
	uint8		bit;
	bool		found;
	uint64		position;
} BitScan;

static void
bits_begin(ValueScan *scan)
{
	BitScan    *b = (BitScan *) scan;
	uint64		len = b->by_bit ? scan->len * 8 : scan->len;
	int64		from = b->from;

	b->count = 0;
	b->found = false;
	if (b->error != NULL)
		return;
	b->first = 0;
	b->last = len - 1;
	/* Redis' BITPOS, other than BITCOUNT and GETRANGE, knows no range that is empty before it is cut to the value */
	if (b->is_position && from < 0)
		from = Max(from + (int64) len, INT64_C(0));
	b->empty = b->ranged ? !tcop__range_clip(from, b->to, len, &b->first, &b->last) : len == 0;
	if (b->empty)
		return;
	if (!b->by_bit)
	{
		b->first *= 8;
		b->last = b->last * 8 + 7;
	}
	scan->at = b->first / 8;
	scan->end = b->last / 8 + 1;
}

/* byte_mask -- which bits of the byte at 'offset' lie in the range. */
static inline uint8
byte_mask(const BitScan *b, uint64 offset)
{
	uint8		mask = 0xff;

	if (offset == b->first / 8)
		mask &= (uint8) (0xff >> b->first % 8);
	if (offset == b->last / 8)
		mask &= (uint8) (0xff << (7 - b->last % 8));
	return mask;
}

/* bits_of -- in 64 bits, by adding neighbours: as fast as memory is read, on any processor. */
static inline uint64
bits_of(uint64 word)
{
	word -= word >> 1 & UINT64_C(0x5555555555555555);
	word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
	word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return word * UINT64_C(0x0101010101010101) >> 56;
}

static bool
count_see(ValueScan *scan, const uint8 *part, size_t len)
{
	BitScan    *b = (BitScan *) scan;
	uint64		offset = scan->at - len;	/* of part[0] */
	size_t		i = 0;

	for (; i + 8 <= len; i += 8)
	{
		uint64		word;

		memcpy(&word, part + i, sizeof(word));
		b->count += bits_of(word);
	}
	for (; i < len; i++)
		b->count += bits_of(part[i]);
	/* what lies outside the range at its ends has been counted, too */
	if (offset == b->first / 8)
		b->count -= bits_of(part[0] & (uint8) ~byte_mask(b, offset));
	if (scan->at == b->last / 8 + 1 && b->last / 8 != b->first / 8)
		b->count -= bits_of(part[len - 1] & (uint8) ~byte_mask(b, scan->at - 1));
	return true;
}

static bool
position_see(ValueScan *scan, const uint8 *part, size_t len)
{
	BitScan    *b = (BitScan *) scan;
	uint64		offset = scan->at - len;
	uint8		other = b->bit != 0 ? 0x00 : 0xff;	/* a byte without what is searched for */

	for (size_t i = 0; i < len; i++)
	{
		uint8		hits;

		if (part[i] == other)
		{
			/* eight such bytes at a time */
			while (i + 16 <= len && memcmp(part + i, part + i + 1, 15) == 0)
				i += 8;
			continue;
		}
		hits = (part[i] ^ other) & byte_mask(b, offset + i);
		if (hits != 0)
		{
			b->found = true;
			b->position = (offset + i) * 8 + (uint64) __builtin_clz(hits) - 24;
			return false;
		}
	}
	return true;
}

/* arg_unit -- argument i: BIT or BYTE. */
static bool
arg_unit(const Session *s, uint32 i, bool *by_bit)
{
	*by_bit = tcop__arg_is(s, i, "bit");
	return *by_bit || tcop__arg_is(s, i, "byte");
}

/* scan_bits -- on with the scan; true: done. */
static bool
scan_bits(Session *s, BitScan **b, TcopResult *result)
{
	ValueScan  *scan = &(*b)->scan;
	bool		done = tcop__scan_value(s, 1, &scan, sizeof(BitScan), result);

	*b = (BitScan *) scan;
	return done;
}

#define ERROR_SYNTAX "ERR syntax error"
#define ERROR_INTEGER "ERR value is not an integer or out of range"

static bool
arg_number(const Session *s, uint32 i, int64 *value)
{
	return number_parse(s->argv[i].data, s->argv[i].len, value);
}

/* count_args -- BITCOUNT's range.  -1 -2 is empty before the unit is looked at. */
static void
count_args(const Session *s, BitScan *b)
{
	if (s->argc == 2)
		return;
	b->ranged = true;
	if (s->argc > 5 || s->argc == 3)
		b->error = ERROR_SYNTAX;
	else if (!arg_number(s, 2, &b->from) || !arg_number(s, 3, &b->to))
		b->error = ERROR_INTEGER;
	else if (!(b->from < 0 && b->to < 0 && b->from > b->to) && s->argc == 5 && !arg_unit(s, 4, &b->by_bit))
		b->error = ERROR_SYNTAX;
}

TcopResult
tcop__bitcount(Session *s)
{
	BitScan		local = {.scan = {.begin = bits_begin, .see = count_see}};
	BitScan    *b = s->state != NULL ? s->state : &local;
	TcopResult	result;

	if (s->state == NULL)
		count_args(s, b);
	if (!scan_bits(s, &b, &result))
		return result;
	tcop__looked(s, 1, b->scan.exists);
	if (b->scan.exists && b->error != NULL)
		reply_error(&s->out, "%s", b->error);
	else
		reply_int(&s->out, (int64) b->count);
	return TCOP_DONE;
}

static void
position_args(const Session *s, BitScan *b)
{
	b->ranged = s->argc > 3;
	b->to = -1;
	if (s->argc > 6)
		b->error = ERROR_SYNTAX;
	else if (s->argc > 3 && !arg_number(s, 3, &b->from))
		b->error = ERROR_INTEGER;
	else if (s->argc == 6 && !arg_unit(s, 5, &b->by_bit))
		b->error = ERROR_SYNTAX;
	else if (s->argc > 4 && !arg_number(s, 4, &b->to))
		b->error = ERROR_INTEGER;
}

/* reply_position -- nothing found: a value whose end was not given goes on with zeros. */
static void
reply_position(Session *s, const BitScan *b)
{
	if (!b->scan.exists)
		reply_int(&s->out, b->bit != 0 ? -1 : 0);
	else if (b->error != NULL)
		reply_error(&s->out, "%s", b->error);
	else if (b->found)
		reply_int(&s->out, (int64) b->position);
	else if (b->bit == 0 && s->argc < 5 && !b->empty)
		reply_int(&s->out, (int64) b->scan.len * 8);
	else
		reply_int(&s->out, -1);
}

TcopResult
tcop__bitpos(Session *s)
{
	BitScan		local = {.scan = {.begin = bits_begin, .see = position_see}, .is_position = true};
	BitScan    *b = s->state != NULL ? s->state : &local;
	int64		bit;
	TcopResult	result;

	if (!tcop__arg_int(s, 2, &bit, NULL))
		return TCOP_DONE;
	if (bit != 0 && bit != 1)
	{
		reply_error(&s->out, "ERR The bit argument must be 1 or 0.");
		return TCOP_DONE;
	}
	b->bit = (uint8) bit;
	if (s->state == NULL)
		position_args(s, b);
	if (!scan_bits(s, &b, &result))
		return result;
	tcop__looked(s, 1, b->scan.exists);
	reply_position(s, b);
	return TCOP_DONE;
}
