/*
 * output.c -- the chain of chunks that holds a connection's replies.
 *
 * Chunks of two sizes are kept on free lists of the process: a busy connection
 * takes and gives the same few cache-warm chunks again and again.  Longer ones
 * (values above the large size) go back to the C library.  The free lists are
 * bounded, so a burst does not stay for ever.
 *
 * Only the worker that owns the connection touches any of this.
 */
#include "common/c.h"
#include "tcop/output.h"
#include "utils/settings.h"

#define FREE_CHUNKS_MAX 512		/* per size */

static OutChunk *free_small;
static OutChunk *free_large;
static uint32 free_small_count;
static uint32 free_large_count;
static uint64 memory_bytes;		/* of all chunks, free ones too */

#define SMALL_DATA (OUTPUT_CHUNK_SMALL - (uint32) sizeof(OutChunk))
#define LARGE_DATA (OUTPUT_CHUNK_LARGE - (uint32) sizeof(OutChunk))

static OutChunk *
chunk_new(uint32 data_size)
{
	OutChunk   *c;

	if (data_size == SMALL_DATA && free_small != NULL)
	{
		c = free_small;
		free_small = c->next;
		free_small_count--;
	}
	else if (data_size == LARGE_DATA && free_large != NULL)
	{
		c = free_large;
		free_large = c->next;
		free_large_count--;
	}
	else
	{
		c = malloc(sizeof(OutChunk) + data_size);
		Verify(c != NULL);
		memory_bytes += sizeof(OutChunk) + data_size;
	}
	c->next = c->prev = NULL;
	c->start = c->end = 0;
	c->size = data_size;
	return c;
}

static void
chunk_free(OutChunk *c)
{
	if (c->size == SMALL_DATA && free_small_count < FREE_CHUNKS_MAX)
	{
		c->next = free_small;
		free_small = c;
		free_small_count++;
	}
	else if (c->size == LARGE_DATA && free_large_count < FREE_CHUNKS_MAX)
	{
		c->next = free_large;
		free_large = c;
		free_large_count++;
	}
	else
	{
		memory_bytes -= sizeof(OutChunk) + c->size;
		free(c);
	}
}

uint64
output_memory(void)
{
	return memory_bytes;
}

static void
chain_append(Output *o, OutChunk *c)
{
	c->prev = o->tail;
	c->next = NULL;
	if (o->tail != NULL)
		o->tail->next = c;
	else
		o->head = c;
	o->tail = c;
	o->chunks++;
}

/* chain_insert -- 'c' in front of 'before'. */
static void
chain_insert(Output *o, OutChunk *before, OutChunk *c)
{
	c->next = before;
	c->prev = before->prev;
	if (before->prev != NULL)
		before->prev->next = c;
	else
		o->head = c;
	before->prev = c;
	o->chunks++;
}

static void
chain_unlink(Output *o, OutChunk *c)
{
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		o->head = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	else
		o->tail = c->prev;
	o->chunks--;
}

static void
chain_remove(Output *o, OutChunk *c)
{
	chain_unlink(o, c);
	chunk_free(c);
}

/* output__grow -- output_reserve's slow path: another chunk. */
uint8 *
output__grow(Output *o, uint32 len)
{
	OutChunk   *c;

	Assert(len <= LARGE_DATA);
	c = chunk_new(o->tail == NULL && len <= SMALL_DATA ? SMALL_DATA : LARGE_DATA);
	chain_append(o, c);
	return c->data;
}

size_t
output_stretch(Output *o, size_t len, uint8 **to)
{
	OutChunk   *t = o->tail;

	if (t == NULL || t->end == t->size)
	{
		size_t		want = len <= SMALL_DATA && t == NULL ? SMALL_DATA : Max(Min(len, OUTPUT_CHUNK_MAX), LARGE_DATA);

		t = chunk_new((uint32) want);
		chain_append(o, t);
	}
	*to = t->data + t->end;
	return Min(len, (size_t) (t->size - t->end));
}

void
output_append(Output *o, const void *data, size_t len)
{
	const uint8 *from = data;

	while (len > 0)
	{
		uint8	   *to;
		size_t		n = output_stretch(o, len, &to);

		memcpy(to, from, n);
		output_advance(o, (uint32) n);
		from += n;
		len -= n;
	}
}

bool
output_room(Output *o, uint64 len)
{
	if (output_pending(o) + len > (uint64) set_client_output_buffer_limit)
		o->overflow = true;
	return !o->overflow;
}

void
output_copy_tail(const Output *o, uint64 from, void *to)
{
	uint64		left = o->appended - from;
	uint8	   *end = (uint8 *) to + left;

	for (const OutChunk *c = o->tail; left > 0; c = c->prev)
	{
		uint64		n = Min(left, (uint64) (c->end - c->start));

		end -= n;
		memcpy(end, c->data + c->end - n, n);
		left -= n;
	}
}

OutChunk *
output_begin(Output *o)
{
	OutChunk   *c = chunk_new(SMALL_DATA);

	c->start = c->end = OUTPUT_HEADROOM;
	chain_append(o, c);
	return c;
}

void
output_insert(Output *o, OutChunk *chunk, const void *data, size_t len)
{
	const uint8 *from = data;

	o->appended += len;
	if (len <= chunk->start)
	{
		chunk->start -= (uint32) len;
		memcpy(chunk->data + chunk->start, data, len);
		return;
	}
	while (len > 0)
	{
		OutChunk   *c = chunk_new(LARGE_DATA);
		uint32		n = (uint32) Min(len, (size_t) LARGE_DATA);

		memcpy(c->data, from, n);
		c->end = n;
		chain_insert(o, chunk, c);
		from += n;
		len -= n;
	}
}

void
output_end(Output *o, OutChunk *chunk)
{
	OutChunk   *before = chunk->prev;
	uint32		len = chunk->end - chunk->start;

	if (chunk != o->tail || before == NULL || before->size - before->end < len || len > 1024)
		return;
	memcpy(before->data + before->end, chunk->data + chunk->start, len);
	before->end += len;
	chain_remove(o, chunk);
}

void
output__trim(Output *o)
{
	while (o->tail != NULL && o->tail->start == o->tail->end)
		chain_remove(o, o->tail);
}

void
output_splice(Output *o, Output *from)
{
	if (from->head != NULL)
	{
		from->head->prev = o->tail;
		if (o->tail != NULL)
			o->tail->next = from->head;
		else
			o->head = from->head;
		o->tail = from->tail;
		o->chunks += from->chunks;
		o->appended += output_pending(from);
	}
	memset(from, 0, sizeof(*from));
}

void
output_split(Output *o, uint64 at, Output *to)
{
	uint64		left = o->appended - at;

	memset(to, 0, sizeof(*to));
	to->proto = o->proto;
	to->appended = left;
	o->appended = at;
	while (left > 0)
	{
		OutChunk   *t = o->tail;
		uint32		have = t->end - t->start;
		OutChunk   *c = t;

		if (have == 0)
		{
			chain_remove(o, t);
			continue;
		}
		if (have > left)		/* the last: its front stays, and may be the place that output_begin returned */
		{
			c = chunk_new(t->size);
			memcpy(c->data, t->data + t->end - left, left);
			c->end = (uint32) left;
			t->end -= (uint32) left;
			have = (uint32) left;
		}
		else
			chain_unlink(o, t);
		if (to->head == NULL)
			chain_append(to, c);
		else
			chain_insert(to, to->head, c);
		left -= have;
	}
}

void
output_move(Output *o, Output *from, uint64 len)
{
	Verify(len <= output_pending(from));
	while (len > 0)
	{
		OutChunk   *h = from->head;
		uint64		n = Min(len, (uint64) (h->end - h->start));

		output_append(o, h->data + h->start, n);
		output_consume(from, n);
		len -= n;
	}
}

void
output_cut(Output *o, uint64 appended)
{
	uint64		excess = o->appended - appended;

	Verify(appended >= o->consumed && appended <= o->appended);
	o->appended = appended;
	while (excess > 0)
	{
		OutChunk   *t = o->tail;
		uint32		have = t->end - t->start;

		if (have >= excess)		/* an emptied chunk stays: it may be the one that output_begin returned */
		{
			t->end -= (uint32) excess;
			return;
		}
		excess -= have;
		chain_remove(o, t);
	}
}

void
output_consume(Output *o, uint64 len)
{
	Verify(len <= output_pending(o));
	o->consumed += len;
	while (len > 0)
	{
		OutChunk   *h = o->head;
		uint32		have = h->end - h->start;

		if (have > len)
		{
			h->start += (uint32) len;
			return;
		}
		len -= have;
		chain_remove(o, h);
	}
}

void
output_free(Output *o)
{
	while (o->head != NULL)
		chain_remove(o, o->head);
	o->consumed = o->appended;
}

int
output_gather(const Output *o, uint64 len, void **base, size_t *lens, int max)
{
	int			count = 0;

	for (OutChunk *c = o->head; c != NULL && len > 0 && count < max; c = c->next)
	{
		uint32		have = c->end - c->start;

		if (have == 0)
			continue;
		base[count] = c->data + c->start;
		lens[count] = (size_t) Min((uint64) have, len);
		len -= lens[count++];
	}
	return count;
}
