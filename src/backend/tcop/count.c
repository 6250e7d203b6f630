/*
 * count.c -- numbers kept as text: INCR DECR INCRBY DECRBY INCRBYFLOAT.
 *
 * The sum is made in the decision, of exactly the version that it replaces.
 * Integers are 64 bits, read as they would be written (number.c); floating-point
 * numbers are long double, written with at most 17 digits behind the point and no
 * exponent, as Redis does.
 */
#include "common/c.h"

#include <errno.h>
#include <math.h>

#include "tcop/strings_internal.h"

/* ---- integers ---- */
typedef enum CountError
{
	COUNT_OK,
	COUNT_NO_INTEGER,
	COUNT_OVERFLOW
} CountError;

typedef struct CountArg
{
	int64		increment;
	int64		value;
	CountError	error;
	char		text[NUMBER_TEXT_MAX];
} CountArg;

static StoreAction
decide_count(const StoreView *view, StoreChange *change, void *arg)
{
	CountArg   *a = arg;
	int64		old = 0;

	a->error = COUNT_OK;
	if (view->exists)
	{
		char		text[NUMBER_TEXT_MAX];

		a->error = COUNT_NO_INTEGER;
		if (view->value_len >= sizeof(text))
			return STORE_KEEP;
		if (view->value_len > 0)
			store_view_copy(view, 0, view->value_len, text);
		if (!number_parse(text, view->value_len, &old))
			return STORE_KEEP;
		a->error = COUNT_OK;
	}
	if (__builtin_add_overflow(old, a->increment, &a->value))
	{
		a->error = COUNT_OVERFLOW;
		return STORE_KEEP;
	}
	change->keep_expiry = true;
	change->part[0] = (BytePart) {a->text, number_format(a->text, a->value)};
	change->part_count = 1;
	return STORE_PUT;
}

static TcopResult
count_by(Session *s, int64 increment)
{
	CountArg	arg = {.increment = increment};
	StoreWritten w;
	TcopResult	result;

	if (!tcop__write_by(store_write, s, decide_count, &arg, &w, &result))
		return result;
	switch (arg.error)
	{
		case COUNT_OK:
			tcop__written(s, 1, !w.existed, "incrby");
			reply_int(&s->out, arg.value);
			break;
		case COUNT_NO_INTEGER:
			reply_error(&s->out, "ERR value is not an integer or out of range");
			break;
		case COUNT_OVERFLOW:
			reply_error(&s->out, "ERR increment or decrement would overflow");
			break;
	}
	return TCOP_DONE;
}

TcopResult
tcop__incr(Session *s)
{
	return count_by(s, 1);
}

TcopResult
tcop__decr(Session *s)
{
	return count_by(s, -1);
}

TcopResult
tcop__incrby(Session *s)
{
	int64		by;

	return tcop__arg_int(s, 2, &by, NULL) ? count_by(s, by) : TCOP_DONE;
}

TcopResult
tcop__decrby(Session *s)
{
	int64		by;

	if (!tcop__arg_int(s, 2, &by, NULL))
		return TCOP_DONE;
	if (by == INT64_MIN)
	{
		reply_error(&s->out, "ERR decrement would overflow");
		return TCOP_DONE;
	}
	return count_by(s, -by);
}

/* ---- floating-point numbers ---- */

/* longer text is no number; the longest that is written has 4,933 digits, a point and 17 more */
#define FLOAT_TEXT_MAX (5 * KIB)

/* float_parse -- as strtold reads it, but without blanks before it, and neither NaN nor out of range. */
static bool
float_parse(const char *text, size_t len, long double *value)
{
	char	   *end;

	if (len == 0 || strlen(text) != len || strchr(" \t\n\v\f\r", text[0]) != NULL)
		return false;
	errno = 0;
	*value = strtold(text, &end);
	if (*end != '\0' || isnan(*value))
		return false;
	return errno != ERANGE || !(isinf(*value) || *value == 0);
}

/* float_format -- without an exponent, without zeros at the end; returns the length. */
static uint32
float_format(char *to, long double value)
{
	uint32		len = (uint32) snprintf(to, FLOAT_TEXT_MAX, "%.17Lf", value);

	Assert(len < FLOAT_TEXT_MAX && strchr(to, '.') != NULL);
	while (to[len - 1] == '0')
		len--;
	if (to[len - 1] == '.')
		len--;
	if (len == 2 && memcmp(to, "-0", 2) == 0)
		to[--len] = '0';
	if (len == 1 && to[0] == '-')
		to[0] = '0';
	return len;
}

typedef enum FloatError
{
	FLOAT_OK,
	FLOAT_NO_NUMBER,
	FLOAT_INFINITE
} FloatError;

typedef struct FloatArg
{
	const char *increment;
	size_t		increment_len;
	FloatError	error;
	uint32		len;
	char		text[FLOAT_TEXT_MAX];
} FloatArg;

static StoreAction
decide_float(const StoreView *view, StoreChange *change, void *arg)
{
	FloatArg   *a = arg;
	long double value = 0;
	long double increment;

	a->error = FLOAT_NO_NUMBER;
	if (view->exists)
	{
		if (view->value_len == 0 || view->value_len >= FLOAT_TEXT_MAX)
			return STORE_KEEP;
		store_view_copy(view, 0, view->value_len, a->text);
		a->text[view->value_len] = '\0';
		if (!float_parse(a->text, view->value_len, &value))
			return STORE_KEEP;
	}
	if (!float_parse(a->increment, a->increment_len, &increment))
		return STORE_KEEP;
	value += increment;
	a->error = FLOAT_INFINITE;
	if (isnan(value) || isinf(value))
		return STORE_KEEP;
	a->error = FLOAT_OK;
	a->len = float_format(a->text, value);
	change->part[0] = (BytePart) {a->text, a->len};
	change->part_count = 1;
	change->keep_expiry = true;
	return STORE_PUT;
}

TcopResult
tcop__incrbyfloat(Session *s)
{
	static FloatArg arg;		/* large, and of one run */
	char		increment[FLOAT_TEXT_MAX];
	StoreWritten w;
	TcopResult	result;

	arg.increment = increment;
	arg.increment_len = s->argv[2].len < FLOAT_TEXT_MAX ? s->argv[2].len : 0;	/* nothing is no number either */
	if (arg.increment_len > 0)
		memcpy(increment, s->argv[2].data, arg.increment_len);
	increment[arg.increment_len] = '\0';
	if (!tcop__write_by(store_write, s, decide_float, &arg, &w, &result))
		return result;
	switch (arg.error)
	{
		case FLOAT_OK:
			tcop__written(s, 1, !w.existed, "incrbyfloat");
			reply_bulk(&s->out, arg.text, arg.len);
			break;
		case FLOAT_NO_NUMBER:
			reply_error(&s->out, "ERR value is not a valid float");
			break;
		case FLOAT_INFINITE:
			reply_error(&s->out, "ERR increment would produce NaN or Infinity");
			break;
	}
	return TCOP_DONE;
}
