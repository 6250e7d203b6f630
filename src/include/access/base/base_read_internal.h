/*
 * base_read_internal.h -- what the three files of reading share: base_read.c
 * (keeps, one key), base_cursor.c (in order), base_reader.c (reads in flight).
 *
 * All of it is private memory of one process, but for the counters.
 *
 *   BaseKeep --want--> PageRead <--table-- by reference: equal misses join one read
 *      |                  |
 *      +--page--> PageBuf +   the staging memory; the command keeps the very same bytes
 *
 * PageBuf: counted references (the read's, each keep's).  ExtentRead: a value's
 * pages, read for one keep; the keep may go away first.
 */
#ifndef ARTERY_ACCESS_BASE_READ_INTERNAL_H
#define ARTERY_ACCESS_BASE_READ_INTERNAL_H

#include "access/base/base_read.h"
#include "storage/file/file.h"

#define BASE_KEEP_MAGIC 0x5045454b
#define BASE_CURSOR_MAGIC 0x53525543
#define BASE_KEEP_MOST 1024			/* pages of a command that misses again and again */
#define BASE_KEEP_WANTS 16			/* misses of one run that are read at once */
#define BASE_KEEP_VALUE_BYTES (64 * MIB)	/* long values kept; a single one may be longer */
#define BASE_AHEAD_MAX 32			/* pages prefetched at once */
#define BASE_ERROR_BYTES 256
#define BASE_EXTENT_IO_PAGES 32		/* pages of an extent that are read by one request */

typedef struct PageBuf
{
	uint32		refs;
	uint8		level;
	BaseRef		ref;
	uint8	   *page;			/* BASE_PAGE_SIZE, aligned for direct I/O */
	char		error[BASE_ERROR_BYTES];	/* not empty: the page is bad, and why */
	struct PageBuf *next_free;
} PageBuf;

typedef struct PageRead PageRead;
typedef struct ExtentRead ExtentRead;

/* KeepWant -- a page that a run lacked: recorded (read NULL), then waited for */
typedef struct KeepWant
{
	BaseRef		ref;			/* number 0: free */
	uint32		level;
	BaseKeep   *keep;
	PageRead   *read;
	struct KeepWant *next;		/* of those who wait for the same read */
} KeepWant;

typedef struct KeptPage
{
	PageBuf    *buf;
	bool		needed;			/* bad, and a rerun came to it: counted */
} KeptPage;

/* KeptValue -- a value out of an extent */
typedef struct KeptValue
{
	BaseRef		ref;
	uint64		len;
	uint64		bytes;			/* of memory */
	uint8	   *data;			/* NULL: bad */
	bool		needed;
	char		error[BASE_ERROR_BYTES];
	struct KeptValue *next;		/* older */
} KeptValue;

struct BaseKeep
{
	uint32		magic;
	uint32		pending;
	KeptPage   *page;			/* the oldest first */
	uint32		page_count;
	uint32		page_room;
	uint32		misses;			/* of base_get since the last release: a command on many keys may keep more */
	KeepWant	want[BASE_KEEP_WANTS];
	/* the value wanted: asked for by a run (value_read NULL), then in flight */
	BaseRef		value_ref;		/* number 0: none */
	uint32		value_pages;
	uint64		value_len;
	ExtentRead *value_read;
	KeptValue  *values;			/* the newest first */
	uint64		values_bytes;
	/* what a cursor of this command will want next */
	BaseRef		ahead[BASE_AHEAD_MAX];
	uint32		ahead_level[BASE_AHEAD_MAX];
	uint32		ahead_count;
	bool		told;			/* the error below is in the log */
	BaseRef		error_ref;
	char		error[BASE_ERROR_BYTES];
};

/* ---- base_read.c ---- */

/*
 * base__page -- the page that 'ref' names, at this level: from what the command
 * keeps or from the pool.  Inside an epoch, in which it may be read.  Everything
 * but BASE_FOUND is noted in the keep (if there is one).
 */
extern BaseResult base__page(BaseKeep *keep, BaseRef ref, uint32 level, const BasePage **page);
/* base__value -- an entry's value, as base_get gives it; BASE_FOUND, BASE_MISS, BASE_CORRUPT. */
extern BaseResult base__value(BaseKeep *keep, const BaseLeafEntry *e, bool with_value, BaseValue *out);
/* base__keep_page, base__keep_value -- what was read for this keep has come in. */
extern void base__keep_page(BaseKeep *keep, PageBuf *buf);
extern void base__keep_value(BaseKeep *keep, KeptValue *value);

/* ---- base_reader.c ---- */
extern PageBuf *base__buf_get(void);
extern void base__buf_unref(PageBuf *buf);
/* base__read_page -- start or join; the want is filled in.  base__read_ahead -- nobody waits for it. */
extern void base__read_page(KeepWant *want);
extern void base__read_ahead(BaseRef ref, uint32 level);
extern void base__read_value(BaseKeep *keep);
extern void base__read_forget(BaseKeep *keep);		/* whatever it waits for, it waits no more */
extern void base__read_submit(void);				/* hand over what was started */
extern void base__tell_corrupt(BaseRef ref, const char *text);	/* log, at most once a minute per page; outside an epoch */
extern void base__count_corrupt(void);
extern void base__count_stale(void);
extern void base_reader_close(void);				/* unit tests: waits for what is in flight */

#endif
