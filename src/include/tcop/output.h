/*
 * output.h -- the replies of one connection that have not left yet, and the
 * functions that format them in place.
 *
 * A chain of chunks in private memory of the worker.  Bytes are appended at the
 * tail and taken off the head as they are sent; both ends are counted from the
 * connection's first byte, so that a position is one number ('appended' before
 * a reply is its beginning, after it its end).  Chunks come from free lists of
 * the process; a connection that owes nothing holds none.
 *
 * What was appended never moves: a chunk may be in the hands of the kernel while
 * more is appended behind.  Bytes that have been offered for sending (net: the
 * gate) may not be cut or have anything put before them; those of the command
 * that runs now may.
 *
 * One process, no locks.  A process that dies takes its output with it.
 */
#ifndef ARTERY_TCOP_OUTPUT_H
#define ARTERY_TCOP_OUTPUT_H

#include "common/c.h"

#define OUTPUT_CHUNK_SMALL 4096		/* bytes of a chunk with its header: the first of a chain */
#define OUTPUT_CHUNK_LARGE 32768	/* the following ones */
#define OUTPUT_CHUNK_MAX (256 * KIB)	/* for long values */
#define OUTPUT_HEADROOM 64			/* bytes kept free at the front by output_begin: headers known late */

typedef struct OutChunk
{
	struct OutChunk *next;
	struct OutChunk *prev;
	uint32		start;			/* first byte that has not been taken */
	uint32		end;			/* first free byte */
	uint32		size;			/* of data */
	uint8		data[];
} OutChunk;

typedef struct Output
{
	OutChunk   *head;
	OutChunk   *tail;
	uint64		appended;		/* bytes ever appended */
	uint64		consumed;		/* bytes ever taken off */
	uint64		errors;			/* error replies ever appended */
	uint32		chunks;
	uint8		proto;			/* 2 or 3 */
	bool		overflow;		/* the limit was met: nothing is appended any more, the connection must be closed */
} Output;

extern uint8 *output__grow(Output *o, uint32 len);
extern void output__trim(Output *o);

/* output_reserve -- 'len' contiguous bytes (at most OUTPUT_CHUNK_LARGE / 2) to write to; output_advance says how many were used. */
static inline uint8 *
output_reserve(Output *o, uint32 len)
{
	OutChunk   *t = o->tail;

	if (likely(t != NULL && t->size - t->end >= len))
		return t->data + t->end;
	return output__grow(o, len);
}

static inline void
output_advance(Output *o, uint32 len)
{
	o->tail->end += len;
	o->appended += len;
}

/* output_tail_room -- bytes that can be appended without taking a chunk. */
static inline uint32
output_tail_room(const Output *o)
{
	return o->tail == NULL ? 0 : o->tail->size - o->tail->end;
}

static inline uint64
output_pending(const Output *o)
{
	return o->appended - o->consumed;
}

extern void output_append(Output *o, const void *data, size_t len);
/* output_room -- false, and overflow set, if 'len' more bytes would pass client_output_buffer_limit: asked before anything long is copied. */
extern bool output_room(Output *o, uint64 len) attribute_must_check;
/* output_stretch -- like output_reserve, for long copies: returns how many bytes may be written at *to, at least 1 and at most 'len'. */
extern size_t output_stretch(Output *o, size_t len, uint8 **to);
/* output_begin -- starts a new chunk with headroom; the place for output_insert. */
extern OutChunk *output_begin(Output *o);
/* output_insert -- puts bytes before everything that was appended since output_begin returned 'chunk'. */
extern void output_insert(Output *o, OutChunk *chunk, const void *data, size_t len);
/* output_end -- the command is done: a short chunk of output_begin moves into the room of the one before. */
extern void output_end(Output *o, OutChunk *chunk);
/* output_trim -- the command is done: an empty chunk at the end goes. */
static inline void
output_trim(Output *o)
{
	if (unlikely(o->tail != NULL && o->tail->start == o->tail->end))
		output__trim(o);
}
/* output_splice -- appends the whole of 'from', which is empty afterwards. */
extern void output_splice(Output *o, Output *from);
/* output_split -- what was appended behind position 'at', which is not the front of its chunk, moves to 'to'. */
extern void output_split(Output *o, uint64 at, Output *to);
/* output_move -- the first 'len' bytes of 'from' are appended to 'o'. */
extern void output_move(Output *o, Output *from, uint64 len);
/* output_cut -- takes back what was appended behind position 'appended'. */
extern void output_cut(Output *o, uint64 appended);
/* output_copy_tail -- copies what was appended behind position 'from'; all of it is there still. */
extern void output_copy_tail(const Output *o, uint64 from, void *to);
/* output_consume -- the first 'len' bytes have been sent. */
extern void output_consume(Output *o, uint64 len);
extern void output_free(Output *o);
/* output_gather -- up to 'max' runs of at most 'len' bytes from the front, as struct iovec would have them; returns their number. */
extern int output_gather(const Output *o, uint64 len, void **base, size_t *lens, int max);
/* output_memory -- bytes of chunks held by this process, in use and free. */
extern uint64 output_memory(void);

/* ---- replies; the protocol version is the output's ---- */
extern void reply_ok(Output *o);
extern void reply_simple(Output *o, const char *text);		/* +text */
extern void reply_error(Output *o, const char *fmt, ...) attribute_printf(2, 3);	/* -text, with its first word */
extern void reply_int(Output *o, int64 value);
extern void reply_bulk(Output *o, const void *data, size_t len);
extern void reply_bulk_header(Output *o, uint64 len);		/* then the bytes, then reply_crlf */
extern void reply_crlf(Output *o);
extern void reply_text(Output *o, const char *text);		/* bulk string */
extern void reply_bulk_int(Output *o, int64 value);			/* bulk string of a number */
extern void reply_verbatim(Output *o, const char *data, size_t len);	/* bulk string, in RESP3 =txt: */
extern void reply_null(Output *o);
extern void reply_null_array(Output *o);
extern void reply_array(Output *o, uint64 count);
extern void reply_map(Output *o, uint64 pairs);				/* RESP2: array of twice as many */
extern void reply_push(Output *o, uint64 count);			/* RESP2: array */
extern void reply_set(Output *o, uint64 count);				/* RESP2: array */
/* reply_header -- writes '*', '%' ... and a count to 'to' (at least 24 bytes); returns its length. */
extern uint32 reply__header_long(uint8 *to, char type, uint64 count);
static inline uint32
reply_header(uint8 *to, char type, uint64 count)
{
	uint32		two = count >= 10;

	if (unlikely(count >= 100))
		return reply__header_long(to, type, count);
	to[0] = (uint8) type;
	to[1] = (uint8) ('0' + (two ? count / 10 : count));
	to[2] = (uint8) ('0' + count % 10);
	memcpy(to + 2 + two, "\r\n", 2);
	return 4 + two;
}

#endif
