/*
 * resp.h -- requests as clients write them: RESP arrays of bulk strings, and
 * inline lines.
 *
 * The parser takes bytes as they come, in any pieces, and never looks at one
 * twice: it remembers how far it got.  It keeps no bytes itself; arguments are
 * places in the caller's buffer, counted from the command's first byte, so the
 * buffer may move between calls.  Only an inline line, whose quotes must be
 * undone, is decoded into a buffer of the process, valid until the next one.
 *
 *   "*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n"      array of bulk strings
 *   "ECHO 'hi there'\r\n"                   inline
 *   "*0\r\n", "*-1\r\n", "\r\n"             nothing: a command of no words
 *
 * Bounds: RESP_LINE_MAX for a line without end, RESP_BULK_MAX for an argument,
 * INT_MAX for their number; less before AUTH.  The caller bounds the sum.
 * The error texts are Redis'.
 */
#ifndef ARTERY_NET_RESP_H
#define ARTERY_NET_RESP_H

#include "common/c.h"

#define RESP_LINE_MAX (64 * KIB)
#define RESP_BULK_MAX (512 * MIB)
#define RESP_ARGS_BEFORE_AUTH 10
#define RESP_BULK_BEFORE_AUTH 16384

typedef struct RespArg
{
	uint32		offset;			/* from the command's first byte, or from resp_inline */
	uint32		len;
} RespArg;

typedef enum RespStatus
{
	RESP_INCOMPLETE,
	RESP_COMMAND,			/* args and argc; argc 0: skip it.  'pos' bytes were the command */
	RESP_ERROR				/* 'error' is what the client is told before it is closed */
} RespStatus;

typedef struct RespParser
{
	RespArg    *args;
	uint32		argc;			/* complete ones */
	uint32		args_size;
	uint32		expected;		/* arguments that the array announced */
	uint32		pos;			/* next byte to look at, from the command's first */
	uint32		scanned;		/* no line end before this byte */
	uint32		bulk_len;		/* of the argument that is being read */
	bool		in_array;		/* the array's header has been read */
	bool		in_bulk;		/* an argument's header has been read */
	bool		is_inline;		/* arguments lie in resp_inline */
	bool		before_auth;	/* set by the caller */
	char		error[80];
} RespParser;

extern uint8 resp_inline[];		/* decoded arguments of the last inline line */

/* resp_reset -- ready for the next command; keeps a small argument vector. */
extern void resp_reset(RespParser *p);
extern void resp_free(RespParser *p);
/* resp_parse -- data[0..len) begins with the command's first byte. */
extern RespStatus resp_parse(RespParser *p, const uint8 *data, size_t len);
/* resp_wanted -- bytes, from the command's first, that are needed before it can get any further; at least pos. */
extern uint64 resp_wanted(const RespParser *p);
/* resp_memory -- bytes that the parser holds for this command. */
extern uint64 resp_memory(const RespParser *p);

#endif
