/*
 * verify.h -- what the files of artery_verify share.
 *
 * artery_verify reads a data directory in which no server runs and says what is
 * wrong with it.  It writes nothing, and believes nothing that it has not checked:
 * every length and every page number may be anything.
 */
#ifndef ARTERY_BIN_VERIFY_H
#define ARTERY_BIN_VERIFY_H

#include "common/base_format.h"
#include "common/c.h"
#include "common/control_format.h"

#include <limits.h>

/* exit codes */
enum
{
	VERIFY_OK = 0,
	VERIFY_DAMAGED = 1,			/* something was found */
	VERIFY_NOT_DONE = 2			/* it could not be looked at */
};

#define VERIFY_PROBLEMS_SHOWN 200	/* of each part; the rest is counted */

typedef struct VerifyOptions
{
	const char *data_dir;
	bool		force;			/* although a server runs */
	bool		quick;			/* not what stands in overflow pages */
	bool		both;			/* the older slot's tree, too */
	bool		keys;			/* print how many each database has */
	bool		dump;			/* print each */
} VerifyOptions;

/* Slot -- one half of the control file */
typedef struct Slot
{
	ControlData data;
	bool		valid;
} Slot;

/* a set of page numbers: a bit for each page below 'limit' of the Checker */
typedef uint8 *PageSet;

/* Checker -- the data file as one control slot describes it */
typedef struct Checker
{
	const VerifyOptions *options;
	const ControlData *slot;
	const char *name;			/* what problems begin with */
	int			fd;
	uint64		limit;			/* pages that the slot names and the file has */
	PageSet		live;			/* header, tree, extents, map */
	PageSet		free;
	PageSet		aside;
	uint64		live_pages;
	uint64		free_pages;
	uint64		aside_pages;
	uint64		keys[DATABASE_COUNT];
	uint64		deadlines[DATABASE_COUNT];	/* keys that have one */
	uint64		deadline_sum[DATABASE_COUNT];	/* milliseconds, modulo 2^64 */
	uint64		all_keys;
	uint64		problems;
	bool		dump;			/* print each key */
	bool		keys_unknown;	/* a page of the tree could not be used: what it leads to is not known */
	bool		space_unknown;	/* nor is, by that or another page, what is in use and what is not */
	struct TreeLevel *level;	/* tree.c */
	uint8	   *chunk;			/* tree.c: pages of an extent */
	uint32		stray_tree;		/* tree.c: the last tree that belongs to no database */
	bool		stray_seen;
	uint8		last_key[BASE_KEY_MAX];
	uint32		last_key_len;
	bool		last_key_there;
} Checker;

/* ---- main.c ---- */
extern FILE *verify_out;		/* for everything but the dump */
/* verify_fail -- one line to standard error, then exit code 2. */
extern void verify_fail(const char *fmt, ...) attribute_printf(1, 2) attribute_noreturn;
/* verify_problem -- one line, counted in *problems; 'name' says which file. */
extern void verify_problem(uint64 *problems, const char *name, const char *fmt, ...) attribute_printf(3, 4);
/* verify_read -- 'len' bytes at 'offset'; 0: got says how many there were; else an errno. */
extern int verify_read(int fd, void *to, size_t len, uint64 offset, size_t *got) attribute_must_check;
/* verify_read_page -- 'count' whole pages; false: why is filled in. */
extern bool verify_read_page(const Checker *c, void *to, uint64 number, uint64 count, char *why, size_t why_size) attribute_must_check;
extern void *verify_alloc(size_t size);		/* zeroed, aligned to a page; exits when there is none */
/* verify_rest_zero -- is all of it zero? */
extern bool verify_rest_zero(const uint8 *bytes, size_t len);

/* ---- control.c ---- */
/* verify_control -- reads and judges both slots; returns the one in force, -1: none can be used.  Adds to *problems. */
extern int verify_control(int fd, Slot slot[2], uint64 *problems);
/* verify_header -- page 0 of the data file. */
extern void verify_header(int fd, const ControlData *slot, uint64 *problems);

/* ---- tree.c ---- */
/* verify_tree -- the tree below the slot's root, its keys, its extents: claims their pages. */
extern void verify_tree(Checker *c);

/* ---- space.c ---- */
/* verify_claim -- pages [first, first + count) are live, as 'what' (a sentence's end); false: some are not there or were claimed before (said so). */
extern bool verify_claim(Checker *c, uint64 first, uint64 count, const char *what, ...) attribute_printf(4, 5);
/* verify_page -- "page 12 (offset 196608)" or "pages 12 to 14 (offset 196608)" in one of a few buffers. */
extern const char *verify_page(uint64 first, uint64 count);
/* verify_map -- the free-space map: claims its pages, then says which are free and which set aside. */
extern void verify_map(Checker *c);
/* verify_cover -- every page exactly once, and the slot's counts. */
extern void verify_cover(Checker *c);
/* verify_older_kept -- no page of the older slot's tree may be free for the newer one. */
extern void verify_older_kept(Checker *newer, const Checker *older);

#endif
