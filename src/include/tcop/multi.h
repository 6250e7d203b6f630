/*
 * multi.h -- MULTI's queue and WATCH's keys, as the rest of this room sees them.
 *
 * session->multi is there from MULTI or WATCH until EXEC, DISCARD, UNWATCH, RESET
 * or the connection's end has left nothing of either.
 */
#ifndef ARTERY_TCOP_MULTI_H
#define ARTERY_TCOP_MULTI_H

#include "common/c.h"
#include "tcop/session.h"

/*
 * tcop__multi_queue -- session->multi is set, and the command has passed all checks:
 * true: it has been queued or refused, and answered; false: it is to be run now.
 */
extern bool tcop__multi_queue(Session *s);
/* tcop__multi_refused -- the command has been answered an error instead of being run or queued. */
extern void tcop__multi_refused(Session *s);
/* tcop__multi_drop -- RESET, and the end of the connection: nothing is left of MULTI and WATCH. */
extern void tcop__multi_drop(Session *s);

/* tcop__multi_has -- is a command queued that has one of these flags?  tcop__multi_open -- has MULTI been said? */
extern bool tcop__multi_has(const Session *s, uint32 flags);
extern bool tcop__multi_open(const Session *s);
/* tcop__multi_running -- is the command that runs one of EXEC's? */
extern bool tcop__multi_running(const Session *s);
/* tcop__multi_break -- ... then: an assertion does not hold: nothing is written, and EXEC answers nil. */
extern void tcop__multi_break(Session *s);

/* MultiFigures -- for CLIENT LIST and the throttle */
typedef struct MultiFigures
{
	bool		open;			/* MULTI has been said */
	uint32		count;			/* commands queued */
	uint32		watched;		/* keys */
	uint64		words;			/* of queued commands that may need memory */
	uint64		bytes;			/* kept for both */
} MultiFigures;
extern void tcop__multi_figures(const Session *s, MultiFigures *out);

#endif
