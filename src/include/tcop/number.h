/* number.h -- numbers as clients write them, exactly as Redis reads them.  No state. */
#ifndef ARTERY_TCOP_NUMBER_H
#define ARTERY_TCOP_NUMBER_H

#include "common/c.h"

#define NUMBER_TEXT_MAX 21	/* digits and sign of an int64, and a NUL */

/* number_parse -- a decimal int64 without blanks, plus sign or leading zeros; false: it is not one. */
extern bool number_parse(const void *text, size_t len, int64 *value) attribute_must_check;
extern bool number_parse_unsigned(const void *text, size_t len, uint64 *value) attribute_must_check;
/* number_format -- writes the digits, without NUL, to 'to' (NUMBER_TEXT_MAX bytes); returns how many. */
extern uint32 number_format(char *to, int64 value);
extern uint32 number_format_unsigned(char *to, uint64 value);

/*
 * pattern_match -- glob as Redis has it: * ? [a-c] [^x] and backslash.  'nocase'
 * for names of settings.  At most pattern_len times text_len steps.
 */
extern bool pattern_match(const char *pattern, size_t pattern_len, const char *text, size_t text_len, bool nocase);
/* pattern_prefix -- how many bytes at the front every matching text must have, unescaped into 'prefix' (at most 'max'). */
extern size_t pattern_prefix(const char *pattern, size_t pattern_len, uint8 *prefix, size_t max);
/* text_is -- does this run of bytes say 'word', upper or lower case? */
extern bool text_is(const void *text, size_t len, const char *word);

#endif
