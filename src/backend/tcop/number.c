/*
 * number.c -- numbers and patterns as clients write them.
 *
 * Pure functions.  The rules are Redis': " 1", "+1", "01" and "-0" are not
 * numbers, so that what INCR accepts is exactly what it would have written.
 */
#include "common/c.h"
#include "tcop/number.h"

bool
number_parse_unsigned(const void *text, size_t len, uint64 *value)
{
	const uint8 *p = text;
	uint64		v = 0;

	if (len == 0 || len > 20)
		return false;
	if (p[0] == '0')
	{
		*value = 0;
		return len == 1;
	}
	for (size_t i = 0; i < len; i++)
	{
		uint32		digit = (uint32) p[i] - '0';

		if (digit > 9)
			return false;
		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*value = v;
	return true;
}

bool
number_parse(const void *text, size_t len, int64 *value)
{
	const char *p = text;
	uint64		v;

	if (len > 1 && p[0] == '-')
	{
		if (!number_parse_unsigned(p + 1, len - 1, &v) || v == 0 || v > (uint64) INT64_MAX + 1)
			return false;
		*value = v == (uint64) INT64_MAX + 1 ? INT64_MIN : -(int64) v;
		return true;
	}
	if (!number_parse_unsigned(p, len, &v) || v > INT64_MAX)
		return false;
	*value = (int64) v;
	return true;
}

static const char digit_pairs[201] =
	"0001020304050607080910111213141516171819"
	"2021222324252627282930313233343536373839"
	"4041424344454647484950515253545556575859"
	"6061626364656667686970717273747576777879"
	"8081828384858687888990919293949596979899";

uint32
number_format_unsigned(char *to, uint64 value)
{
	char		text[20];
	uint32		at = sizeof(text);

	while (value >= 100)
	{
		at -= 2;
		memcpy(text + at, digit_pairs + value % 100 * 2, 2);
		value /= 100;
	}
	if (value >= 10)
	{
		at -= 2;
		memcpy(text + at, digit_pairs + value * 2, 2);
	}
	else
		text[--at] = (char) ('0' + value);
	memcpy(to, text + at, sizeof(text) - at);
	return (uint32) sizeof(text) - at;
}

uint32
number_format(char *to, int64 value)
{
	if (value >= 0)
		return number_format_unsigned(to, (uint64) value);
	to[0] = '-';
	return 1 + number_format_unsigned(to + 1, 0 - (uint64) value);
}

bool
text_is(const void *text, size_t len, const char *word)
{
	const char *p = text;

	for (size_t i = 0; i < len; i++)
	{
		char		c = p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char) (c + 'a' - 'A');
		if (word[i] == '\0' || c != (word[i] >= 'A' && word[i] <= 'Z' ? word[i] + 'a' - 'A' : word[i]))
			return false;
	}
	return word[len] == '\0';
}

static inline uint8
fold(uint8 c, bool nocase)
{
	return nocase && c >= 'A' && c <= 'Z' ? (uint8) (c + 'a' - 'A') : c;
}

/*
 * match_set -- one text byte against "[...]"; *p stands behind '[' and is moved
 * behind ']' (or to the last byte of a set that is not closed, as Redis does).
 */
static bool
match_set(const uint8 **p, const uint8 *end, uint8 c, bool nocase)
{
	const uint8 *s = *p;
	bool		negated = s < end && *s == '^';
	bool		match = false;

	if (negated)
		s++;
	for (;;)
	{
		if (s < end && end - s >= 2 && *s == '\\')
		{
			s++;
			if (fold(*s, nocase) == fold(c, nocase))
				match = true;
		}
		else if (s >= end)
		{
			s--;
			break;
		}
		else if (*s == ']')
			break;
		else if (end - s >= 3 && s[1] == '-')
		{
			uint8		low = fold(Min(s[0], s[2]), nocase);
			uint8		high = fold(Max(s[0], s[2]), nocase);

			s += 2;
			if (fold(c, nocase) >= low && fold(c, nocase) <= high)
				match = true;
		}
		else if (fold(*s, nocase) == fold(c, nocase))
			match = true;
		s++;
	}
	*p = s + 1;
	return match != negated;
}

/*
 * pattern_match -- iterative: only the last star need be tried again, because
 * what an earlier one could take more of, the later one could take as well.
 */
bool
pattern_match(const char *pattern, size_t pattern_len, const char *text, size_t text_len, bool nocase)
{
	const uint8 *p = (const uint8 *) pattern;
	const uint8 *pe = p + pattern_len;
	const uint8 *t = (const uint8 *) text;
	const uint8 *te = t + text_len;
	const uint8 *star_p = NULL;
	const uint8 *star_t = NULL;

	for (;;)
	{
		bool		ok;

		if (p < pe && *p == '*')
		{
			while (p < pe && *p == '*')
				p++;
			if (p == pe)
				return true;
			star_p = p;
			star_t = t;
			continue;
		}
		if (t == te)
			return p == pe;
		if (p == pe)
			ok = false;
		else if (*p == '?')
		{
			p++;
			ok = true;
		}
		else if (*p == '[')
		{
			p++;
			ok = match_set(&p, pe, *t, nocase);
		}
		else
		{
			if (*p == '\\' && pe - p >= 2)
				p++;
			ok = fold(*p++, nocase) == fold(*t, nocase);
		}
		t++;
		if (!ok)
		{
			if (star_p == NULL)
				return false;
			p = star_p;
			t = ++star_t;
		}
	}
}

size_t
pattern_prefix(const char *pattern, size_t pattern_len, uint8 *prefix, size_t max)
{
	size_t		n = 0;

	for (size_t i = 0; i < pattern_len && n < max; i++)
	{
		if (pattern[i] == '*' || pattern[i] == '?' || pattern[i] == '[')
			break;
		if (pattern[i] == '\\' && i + 1 < pattern_len)
			i++;
		prefix[n++] = (uint8) pattern[i];
	}
	return n;
}
