/*
 * value.c -- getting values out of the store into replies.
 *
 * Short values are copied in the epoch that finds them.  Long ones are copied in
 * pieces, each in an epoch of its own and some per turn of the loop, so that
 * neither reclamation nor other clients wait for a 64 MiB value; a reply is
 * started over when its version goes away meanwhile.  A value that lies on disk
 * alone is read whole before its first piece, and kept until the command ends.
 */
#include "common/c.h"
#include "tcop/tcop_internal.h"

#define FRAME 32				/* room for a bulk string's header and end */
#define FIRST_ROOM 512			/* values up to about here take one lookup */

bool
tcop__range_clip(int64 from, int64 to, uint64 len, uint64 *first, uint64 *last)
{
	if (len == 0 || (from < 0 && to < 0 && from > to))
		return false;
	if (from < 0)
		from += (int64) len;
	if (to < 0)
		to += (int64) len;
	*first = (uint64) Max(from, INT64_C(0));
	*last = Min((uint64) Max(to, INT64_C(0)), len - 1);
	return *first <= *last;
}

/* note_value -- what was found, and how much of it is asked for. */
static void
note_value(ValueRead *r, const StoreView *view)
{
	uint64		last;

	r->exists = view->exists;
	r->version = view->lsn;
	r->shown = false;
	r->start = 0;
	r->len = view->value_len;
	if (unlikely(r->ranged))
	{
		bool		any = tcop__range_clip(r->from, r->to, view->value_len, &r->start, &last);

		r->len = any ? last - r->start + 1 : 0;
		if (!any)
			r->start = 0;		/* it may lie behind the end */
	}
}

typedef struct ShowArg
{
	Output	   *out;
	ValueRead  *r;
} ShowArg;

static void
show_value(const StoreView *view, void *arg)
{
	ShowArg    *a = arg;
	ValueRead  *r = a->r;
	const uint8 *inline_value;
	uint8	   *to;
	uint32		n;

	note_value(r, view);
	if (!view->exists || r->len + FRAME > output_tail_room(a->out))
		return;
	to = output_reserve(a->out, (uint32) r->len + FRAME);
	n = reply_header(to, '$', r->len);
	inline_value = store_view_inline(view);
	if (likely(inline_value != NULL))
		memcpy(to + n, inline_value + r->start, r->len);
	else
		store_view_copy(view, r->start, r->len, to + n);
	n += (uint32) r->len;
	to[n++] = '\r';
	to[n++] = '\n';
	output_advance(a->out, n);
	r->shown = true;
}

StoreStatus
tcop__read_value(Session *s, const StoreKey *key, ValueRead *r)
{
	ShowArg		arg = {&s->out, r};
	uint32		room = FIRST_ROOM;

	r->offset = 0;
	r->begun = false;
	for (;;)
	{
		StoreStatus status;

		(void) output_reserve(&s->out, room);
		status = store_read(key, show_value, &arg, &s->gate);
		if (status != STORE_OK || !r->exists || r->shown || r->len > TCOP_VALUE_DIRECT)
			return status;
		room = (uint32) r->len + FRAME;
	}
}

ValueResult
tcop__value_piece(Session *s, const StoreKey *key, ValueRead *r)
{
	uint64		copied = 0;

	if (!r->begun)
	{
		if (!output_room(&s->out, r->len + FRAME))
			return VALUE_OVERFLOW;
		reply_bulk_header(&s->out, r->len);
		r->begun = true;
	}
	while (r->offset < r->len)
	{
		uint8	   *to;
		size_t		n;
		bool		same;

		if (copied >= TCOP_COPY_PER_RUN)
			return VALUE_MORE;
		n = output_stretch(&s->out, (size_t) Min(r->len - r->offset, TCOP_PIECE), &to);
		r->status = store_read_piece(key, r->version, r->start + r->offset, n, to, &same);
		if (r->status != STORE_OK)
			return VALUE_STATUS;
		if (!same)
			return VALUE_CHANGED;
		output_advance(&s->out, (uint32) n);
		r->offset += n;
		copied += n;
	}
	reply_crlf(&s->out);
	return VALUE_DONE;
}

typedef struct WholeArg
{
	ValueRead  *r;
	uint8	   *buffer;
	uint64		size;
} WholeArg;

static void
show_whole(const StoreView *view, void *arg)
{
	WholeArg   *a = arg;

	note_value(a->r, view);
	if (view->exists && a->r->len <= a->size)
	{
		store_view_copy(view, a->r->start, a->r->len, a->buffer);
		a->r->shown = true;
	}
}

StoreStatus
tcop__value_whole(Session *s, const StoreKey *key, ValueRead *r)
{
	WholeArg	arg = {r, NULL, r->len + r->len / 8};
	StoreStatus status;

	do
	{
		free(arg.buffer);
		arg.size = Max(arg.size, r->len);
		if (!output_room(&s->out, arg.size))
			return STORE_OK;
		arg.buffer = malloc(arg.size);
		Verify(arg.buffer != NULL);
		status = store_read(key, show_whole, &arg, &s->gate);
	} while (status == STORE_OK && r->exists && !r->shown);
	if (status == STORE_OK && r->exists)
		reply_bulk(&s->out, arg.buffer, r->len);
	free(arg.buffer);
	return status;
}
