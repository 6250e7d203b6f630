/* text.h -- a text that grows as it is written: reports for people.  Private memory. */
#ifndef ARTERY_TCOP_TEXT_H
#define ARTERY_TCOP_TEXT_H

#include "common/c.h"

typedef struct Text
{
	char	   *data;
	size_t		len;
	size_t		size;
} Text;

extern void text_begin(Text *t);
extern void text_add(Text *t, const char *fmt, ...) attribute_printf(2, 3);
/* text_add_bytes -- NAME:n and NAME_human, as INFO has them. */
extern void text_add_bytes(Text *t, const char *name, uint64 n);
extern void text_end(Text *t);

#endif
