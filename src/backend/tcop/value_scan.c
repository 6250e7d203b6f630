/*
 * value_scan.c -- looking at a long value in portions (DIGEST BITCOUNT BITPOS LCS DUMP).
 *
 * As with values that go out in pieces (value.c) each piece is shown in an epoch of
 * its own, and a command leaves the loop to others after some of them, so that
 * neither reclamation nor other clients wait for a 64 MiB value.  All pieces are of
 * one version: when it has gone, the scan starts over; when that happens again and
 * again, the value is shown whole in a single epoch.
 */
#include "common/c.h"
#include "tcop/strings_internal.h"

static void
show_portion(const StoreView *view, void *arg)
{
	ValueScan  *scan = arg;
	uint64		stop;

	if (scan->begun && (!view->exists || view->lsn != scan->version))
	{
		scan->changed = true;
		return;
	}
	if (!scan->begun)
	{
		scan->begun = true;
		scan->exists = view->exists;
		scan->version = view->lsn;
		scan->len = view->value_len;
		scan->at = scan->end = 0;
		if (view->exists)
			scan->begin(scan);
		Assert(scan->at <= scan->end && scan->end <= scan->len);
	}
	stop = scan->tries < TCOP_VALUE_TRIES ? Min(scan->end, scan->at + TCOP_PIECE) : scan->end;
	while (scan->at < stop)
	{
		size_t		len;
		const uint8 *part = store_view_part(view, scan->at, &len);

		len = Min(len, (size_t) (stop - scan->at));
		scan->at += len;
		if (!scan->see(scan, part, len))
			scan->end = stop = scan->at;
	}
	scan->done = scan->at == scan->end;
}

/* keep -- the command goes on in another run. */
static void
keep(Session *s, ValueScan **scan, size_t size)
{
	if (s->state != NULL)
		return;					/* it lies there already */
	*scan = memcpy(tcop__state(s, size, NULL), *scan, size);
}

bool
tcop__scan_value(Session *s, uint32 i, ValueScan **scan, size_t size, TcopResult *result)
{
	uint64		seen = 0;
	StoreKey	key;

	*result = TCOP_DONE;
	if (!tcop__arg_key(s, i, &key))
		return false;
	for (;;)
	{
		uint64		at = (*scan)->begun ? (*scan)->at : 0;

		if (!tcop__status(s, store_read(&key, show_portion, *scan, &s->gate), result))
		{
			if (*result != TCOP_DONE)
				keep(s, scan, size);
			return false;
		}
		if ((*scan)->changed)
		{
			(*scan)->changed = (*scan)->begun = false;
			(*scan)->tries++;
			continue;
		}
		if ((*scan)->done)
			return true;
		seen += (*scan)->at - at;
		if (seen >= TCOP_COPY_PER_RUN)
		{
			keep(s, scan, size);
			*result = TCOP_AGAIN;
			return false;
		}
	}
}

static void
copy_begin(ValueScan *scan)
{
	const ValueCopy *copy = (ValueCopy *) scan;

	scan->end = scan->len <= copy->size ? scan->len : 0;	/* else there must be room first */
}

static bool
copy_see(ValueScan *scan, const uint8 *part, size_t len)
{
	ValueCopy  *copy = (ValueCopy *) scan;

	memcpy(copy->buffer + scan->at - len, part, len);
	return true;
}

bool
tcop__copy_value(Session *s, uint32 i, ValueCopy *copy, TcopResult *result)
{
	ValueScan  *scan = &copy->scan;

	scan->begin = copy_begin;
	scan->see = copy_see;
	for (;;)
	{
		if (!tcop__scan_value(s, i, &scan, sizeof(ValueCopy), result))
			return false;
		if (!scan->exists || scan->len <= copy->size)
			return true;
		free(copy->buffer);
		copy->size = scan->len;
		copy->buffer = malloc(copy->size);
		Verify(copy->buffer != NULL);
		scan->begun = scan->done = false;
	}
}
