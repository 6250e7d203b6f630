/*
 * effects.c -- what a command tells others once it is done: notifications, messages.
 */
#include "common/c.h"
#include "tcop/tcop_internal.h"

void
tcop__notify(Session *s, uint32 type, const char *event, const StoreKey *key)
{
	(void) s;
	(void) type;
	(void) event;
	(void) key;
}

void
tcop__effects_send(Session *s)
{
	(void) s;
}

void
tcop__effects_drop(Session *s)
{
	(void) s;
}
