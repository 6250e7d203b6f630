/*
 * wal_feed.h -- reading the log while it is being written: the change feed.
 *
 * A WalFeed stands at a position and gives the records from there on, as far as
 * they are durable: out of the ring while they are there, else from the segment
 * files, asynchronously.  Private memory of one process; outside an epoch; nothing
 * here sleeps.  walfeed.c has the argument.
 */
#ifndef ARTERY_ACCESS_WAL_WAL_FEED_H
#define ARTERY_ACCESS_WAL_WAL_FEED_H

#include "access/wal/wal.h"
#include "access/wal/wal_reader.h"

typedef enum WalFeedStatus
{
	WAL_FEED_RECORD,		/* here it is; valid until the next call */
	WAL_FEED_END,			/* nothing more is durable */
	WAL_FEED_AGAIN,			/* enough for one run: call again in the next turn */
	WAL_FEED_READING,		/* a read is under way: call again when wal_feed_ready() */
	WAL_FEED_COMPACTED,		/* the log does not reach back to there: wal_feed_oldest() */
	WAL_FEED_LOST,			/* inside a gap, or older than the list of gaps: wal_place() */
	WAL_FEED_BEYOND,		/* above insert: no such position was given out */
	WAL_FEED_NO_RECORD,		/* no record begins there */
	WAL_FEED_ERROR			/* wal_feed_error() */
} WalFeedStatus;

typedef struct WalFeed WalFeed;

/* wal_feed_open -- from = LSN_NONE: from the oldest record that is there. */
extern WalFeed *wal_feed_open(Lsn from);
/* wal_feed_peek -- for one record at a position that is known: nothing is read ahead. */
extern WalFeed *wal_feed_peek(Lsn at);
extern void wal_feed_close(WalFeed *feed);		/* also while a read is under way; NULL is fine */
extern WalFeedStatus wal_feed_next(WalFeed *feed, WalRecord *record) attribute_must_check;
/* wal_feed_at -- where the next record begins, as far as is known: what to ask for later. */
extern Lsn wal_feed_at(const WalFeed *feed);
/* wal_feed_ready -- the read that was under way has come back. */
extern bool wal_feed_ready(const WalFeed *feed);
extern const char *wal_feed_error(const WalFeed *feed);

/* wal_feed_poll -- reap reads; once per turn of the loop while wal_feed_in_flight(). */
extern void wal_feed_poll(void);
extern uint32 wal_feed_in_flight(void);
extern int wal_feed_fd(void);		/* readable when there is something to reap; -1: no reads yet, or plain calls */

/* ---- what a position is ---- */
typedef enum WalPlace
{
	WAL_PLACE_LOG,			/* some run has, or will have, written it */
	WAL_PLACE_GAP,			/* between the end of a run and the begin of the next */
	WAL_PLACE_OLDER			/* older than the list of gaps: nobody knows */
} WalPlace;

/* wal_place -- *go_on: for GAP and OLDER the next position that is in the log. */
extern WalPlace wal_place(Lsn lsn, Lsn *go_on);
/* wal_places_set -- recovery: the control slot's list of gaps, oldest first. */
extern void wal_places_set(const WalGap *gap, uint32 count);
/* wal_feed_oldest -- the lowest position that a feed may ask for; the log itself may begin a little higher. */
extern Lsn wal_feed_oldest(void);

#endif
