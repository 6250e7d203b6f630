/* text.c -- a text that grows as it is written. */
#include "common/c.h"

#include <stdarg.h>

#include "tcop/text.h"

#define TEXT_FIRST 16384

void
text_begin(Text *t)
{
	t->len = 0;
	t->size = TEXT_FIRST;
	t->data = malloc(t->size);
	Verify(t->data != NULL);
	t->data[0] = '\0';
}

void
text_add(Text *t, const char *fmt, ...)
{
	for (;;)
	{
		va_list		args;
		int			n;

		va_start(args, fmt);
		n = vsnprintf(t->data + t->len, t->size - t->len, fmt, args);
		va_end(args);
		if ((size_t) n < t->size - t->len)
		{
			t->len += (size_t) n;
			return;
		}
		t->size = t->size * 2 + (size_t) n;
		t->data = realloc(t->data, t->size);
		Verify(t->data != NULL);
	}
}

void
text_add_bytes(Text *t, const char *name, uint64 n)
{
	static const char units[] = "BKMGT";
	double		v = (double) n;
	int			u = 0;

	while (v >= 1024 && u < 4)
	{
		v /= 1024;
		u++;
	}
	text_add(t, "%s:%llu\r\n", name, (unsigned long long) n);
	if (u == 0)
		text_add(t, "%s_human:%lluB\r\n", name, (unsigned long long) n);
	else
		text_add(t, "%s_human:%.2f%c\r\n", name, v, units[u]);
}

void
text_end(Text *t)
{
	free(t->data);
	t->data = NULL;
}
