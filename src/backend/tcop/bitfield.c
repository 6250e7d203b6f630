/*
 * bitfield.c -- BITFIELD, BITFIELD_RO: integers of any width at any bit of a value.
 *
 * The words are read into a list of operations first; then all of them are done in
 * one decision, on the version that is replaced.  What may be written lies between
 * the first byte of the first and the last byte of the last field that is written:
 * that region is copied, changed, and laid over the old value.  A value that is
 * shorter than that grows, as with Redis even if every operation fails.
 */
#include "common/c.h"
#include "tcop/strings_internal.h"

typedef enum FieldVerb
{
	FIELD_GET,
	FIELD_SET,
	FIELD_INCRBY
} FieldVerb;

typedef enum FieldOverflow
{
	OVERFLOW_WRAP,
	OVERFLOW_SAT,
	OVERFLOW_FAIL
} FieldOverflow;

typedef struct FieldOp
{
	FieldVerb	verb;
	FieldOverflow overflow;
	bool		is_signed;
	uint32		bits;
	uint64		offset;
	int64		operand;
	/* out */
	int64		reply;
	bool		failed;
} FieldOp;

typedef struct Field
{
	FieldOp    *op;
	uint32		count;
	bool		writes;
	uint64		first;			/* byte of the region */
	uint64		len;
	uint8	   *region;
	const StoreView *view;
	bool		exists;
} Field;

static void
field_free(void *state)
{
	free(((Field *) state)->op);
	free(((Field *) state)->region);
	free(state);
}

/* ---- the words ---- */

/* arg_type -- i1 ... i64, u1 ... u63. */
static bool
arg_type(Session *s, uint32 i, FieldOp *op)
{
	const BytePart *word = &s->argv[i];
	const uint8 *text = word->data;
	int64		bits;

	op->is_signed = word->len > 0 && text[0] == 'i';
	if ((op->is_signed || (word->len > 0 && text[0] == 'u')) && number_parse(text + 1, word->len - 1, &bits) &&
		bits >= 1 && bits <= (op->is_signed ? 64 : 63))
	{
		op->bits = (uint32) bits;
		return true;
	}
	reply_error(&s->out, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
	return false;
}

/* arg_field_offset -- the number of a bit, or #n: of the n-th field of this width. */
static bool
arg_field_offset(Session *s, uint32 i, FieldOp *op)
{
	const BytePart *word = &s->argv[i];
	int64		number;

	if (word->len == 0 || ((const uint8 *) word->data)[0] != '#')
		return tcop__arg_bit_offset(s, i, &op->offset);
	if (number_parse((const uint8 *) word->data + 1, word->len - 1, &number) && number >= 0 &&
		number <= BIT_OFFSET_MAX / op->bits)
	{
		op->offset = (uint64) number * op->bits;
		return true;
	}
	reply_error(&s->out, "ERR bit offset is not an integer or out of range");
	return false;
}

static bool
arg_overflow(Session *s, uint32 i, FieldOverflow *overflow)
{
	if (tcop__arg_is(s, i, "wrap"))
		*overflow = OVERFLOW_WRAP;
	else if (tcop__arg_is(s, i, "sat"))
		*overflow = OVERFLOW_SAT;
	else if (tcop__arg_is(s, i, "fail"))
		*overflow = OVERFLOW_FAIL;
	else
	{
		reply_error(&s->out, "ERR Invalid OVERFLOW type specified");
		return false;
	}
	return true;
}

/* field_verb -- argument i with what belongs to it; 0: it is none, else how many words. */
static uint32
field_verb(const Session *s, uint32 i, FieldVerb *verb)
{
	uint32		left = s->argc - i;

	*verb = tcop__arg_is(s, i, "set") ? FIELD_SET : tcop__arg_is(s, i, "incrby") ? FIELD_INCRBY : FIELD_GET;
	if (*verb == FIELD_GET)
		return tcop__arg_is(s, i, "get") && left >= 3 ? 3 : 0;
	return left >= 4 ? 4 : 0;
}

/* note_write -- the region reaches to this field. */
static void
note_write(Field *f, const FieldOp *op)
{
	uint64		from = op->offset / 8;
	uint64		end = (op->offset + op->bits - 1) / 8 + 1;

	if (f->writes)
	{
		end = Max(end, f->first + f->len);
		from = Min(from, f->first);
	}
	f->writes = true;
	f->first = from;
	f->len = end - from;
}

/* field_parse -- false: the error is answered. */
static bool
field_parse(Session *s, Field *f, bool read_only)
{
	FieldOverflow overflow = OVERFLOW_WRAP;
	bool		forbidden = false;
	uint32		words;

	f->op = calloc(s->argc, sizeof(FieldOp));
	Verify(f->op != NULL);
	for (uint32 i = 2; i < s->argc; i += words)
	{
		FieldOp    *op = &f->op[f->count];

		if (tcop__arg_is(s, i, "overflow") && i + 1 < s->argc)
		{
			words = 2;
			if (!arg_overflow(s, i + 1, &overflow))
				return false;
			continue;
		}
		words = field_verb(s, i, &op->verb);
		if (words == 0)
		{
			tcop__error_syntax(s);
			return false;
		}
		op->overflow = overflow;
		if (!arg_type(s, i + 1, op) || !arg_field_offset(s, i + 2, op))
			return false;
		if (op->verb != FIELD_GET)
		{
			forbidden = read_only;
			if (!tcop__arg_int(s, i + 3, &op->operand, NULL))
				return false;
			note_write(f, op);
		}
		f->count++;
	}
	if (forbidden)
		reply_error(&s->out, "ERR BITFIELD_RO only supports the GET subcommand");
	return !forbidden;
}

/* ---- fields ---- */

static uint8
field_byte(const Field *f, uint64 offset)
{
	return f->writes && offset >= f->first && offset - f->first < f->len ? f->region[offset - f->first]
		: tcop__view_byte(f->view, offset);
}

/* field_read -- as a number; those with a sign are filled up with it. */
static int64
field_read(const Field *f, const FieldOp *op)
{
	uint64		value = 0;

	for (uint64 bit = op->offset; bit < op->offset + op->bits;)
	{
		uint32		within = (uint32) (bit % 8);
		uint32		count = (uint32) Min((uint64) (8 - within), op->offset + op->bits - bit);
		uint8		byte = field_byte(f, bit / 8);

		value = value << count | ((uint32) byte >> (8 - within - count) & ((1u << count) - 1));
		bit += count;
	}
	if (op->is_signed && op->bits < 64 && (value >> (op->bits - 1) & 1) != 0)
		value |= UINT64_MAX << op->bits;
	return (int64) value;
}

static void
field_write(Field *f, const FieldOp *op, uint64 value)
{
	for (uint32 i = 0; i < op->bits; i++)
	{
		uint64		bit = op->offset + i;
		uint8	   *byte = &f->region[bit / 8 - f->first];
		uint8		mask = (uint8) (0x80 >> bit % 8);

		*byte = (value >> (op->bits - 1 - i) & 1) != 0 ? *byte | mask : *byte & (uint8) ~mask;
	}
}

/* field_fit -- a number into the field's width; true: it did not fit, and *value is what the way of overflow makes of it. */
static bool
field_fit(const FieldOp *op, __int128 sum, int64 *value)
{
	__int128	max = ((__int128) 1 << (op->is_signed ? op->bits - 1 : op->bits)) - 1;
	__int128	min = op->is_signed ? -max - 1 : 0;

	*value = (int64) (uint64) sum;
	if (sum >= min && sum <= max)
		return false;
	if (op->overflow == OVERFLOW_SAT)
		*value = (int64) (sum > max ? max : min);
	else if (op->bits < 64)
	{
		uint64		low = (uint64) sum & ((UINT64_C(1) << op->bits) - 1);

		if (op->is_signed && (low >> (op->bits - 1) & 1) != 0)
			low |= UINT64_MAX << op->bits;
		*value = (int64) low;
	}
	return true;
}

/* field_run -- one operation; true: the value has changed. */
static bool
field_run(Field *f, FieldOp *op)
{
	int64		old = field_read(f, op);
	int64		value;
	__int128	sum;
	bool		over;

	op->failed = false;
	op->reply = old;
	if (op->verb == FIELD_GET)
		return false;
	/* a negative number put into a field without sign is a large one */
	if (op->verb == FIELD_INCRBY)
		sum = (__int128) old + op->operand;
	else
		sum = op->is_signed ? (__int128) op->operand : (__int128) (uint64) op->operand;
	over = field_fit(op, sum, &value);
	op->failed = over && op->overflow == OVERFLOW_FAIL;
	if (op->failed)
		return false;
	if (op->verb == FIELD_INCRBY)
		op->reply = value;
	field_write(f, op, (uint64) value);
	return value != old;
}

/* ---- the commands ---- */

static StoreAction
decide_field(const StoreView *view, StoreChange *change, void *arg)
{
	Field	   *f = arg;
	uint64		old_len = view->value_len;
	bool		changed = !view->exists || f->first + f->len > old_len;

	f->view = view;
	memset(f->region, 0, f->len);
	if (f->first < old_len)
		store_view_copy(view, f->first, (size_t) Min(f->len, old_len - f->first), f->region);
	for (uint32 i = 0; i < f->count; i++)
		changed |= field_run(f, &f->op[i]);
	if (!changed)
		return STORE_KEEP;
	change->patch_old = true;
	change->patch_at = f->first;
	change->keep_expiry = true;
	change->part[0] = (BytePart) {f->region, f->len};
	change->part_count = 1;
	return STORE_PUT;
}

static void
show_field(const StoreView *view, void *arg)
{
	Field	   *f = arg;

	f->exists = view->exists;
	f->view = view;
	for (uint32 i = 0; i < f->count; i++)
		(void) field_run(f, &f->op[i]);
}

static TcopResult
field_reply(Session *s, const Field *f)
{
	reply_array(&s->out, f->count);
	for (uint32 i = 0; i < f->count; i++)
		if (f->op[i].failed)
			reply_null(&s->out);
		else
			reply_int(&s->out, f->op[i].reply);
	return TCOP_DONE;
}

/* all_failed -- no operation has written: the value may only have become longer, which is no event. */
static bool
all_failed(const Field *f)
{
	for (uint32 i = 0; i < f->count; i++)
		if (f->op[i].verb != FIELD_GET && !f->op[i].failed)
			return false;
	return true;
}

static TcopResult
field_write_all(Session *s, Field *f)
{
	StoreKey	key = tcop__key(s, 1);
	StoreWritten w;
	TcopResult	result;

	if (!store_value_fits(&key, f->first + f->len))
		return tcop__status(s, STORE_TOO_LARGE, &result) ? TCOP_DONE : result;
	if (f->region == NULL)
		f->region = malloc(f->len);
	Verify(f->region != NULL);
	if (!tcop__write_by(store_write, s, decide_field, f, &w, &result))
		return result;
	if (w.changed && !w.existed)
		tcop__notify(s, NOTIFY_NEW, "new", &key);
	if (w.changed)
		tcop__notify(s, all_failed(f) ? 0 : NOTIFY_STRING, "setbit", &key);
	return field_reply(s, f);
}

static TcopResult
bitfield(Session *s, bool read_only)
{
	Field	   *f = s->state;
	StoreKey	key;
	TcopResult	result;

	if (!tcop__arg_key(s, 1, &key))
		return TCOP_DONE;
	if (f == NULL)
	{
		f = tcop__state(s, sizeof(Field), field_free);
		if (!field_parse(s, f, read_only))
			return TCOP_DONE;
	}
	if (f->writes)
		return field_write_all(s, f);
	if (!tcop__status(s, store_read(&key, show_field, f, &s->gate), &result))
		return result;
	tcop__looked(s, 1, f->exists);
	return field_reply(s, f);
}

TcopResult
tcop__bitfield(Session *s)
{
	return bitfield(s, false);
}

TcopResult
tcop__bitfield_ro(Session *s)
{
	return bitfield(s, true);
}
