/*
 * wal_keep.h -- named consumers of the log, and the log that is kept for them.
 *
 * A consumer is a name and the position up to which it has acknowledged what it
 * read.  Log from there on is not recycled, as long as it is no more than
 * wal_keep_size.  walkeep.c says what survives what.
 */
#ifndef ARTERY_ACCESS_WAL_WAL_KEEP_H
#define ARTERY_ACCESS_WAL_WAL_KEEP_H

#include "access/wal/wal.h"

#define WAL_CONSUMERS 64
#define WAL_CONSUMER_NAME_MAX 64	/* with the NUL */

typedef struct WalConsumer
{
	char		name[WAL_CONSUMER_NAME_MAX];	/* "": free */
	Lsn			position;
	uint64		created_wall_us;
} WalConsumer;

typedef enum WalConsumerStatus
{
	WAL_CONSUMER_OK,
	WAL_CONSUMER_BUSY,		/* somebody is at the table: again in the next turn */
	WAL_CONSUMER_UNKNOWN,
	WAL_CONSUMER_EXISTS,
	WAL_CONSUMER_FULL		/* WAL_CONSUMERS there are */
} WalConsumerStatus;

/* *change: for wal_consumers_saved */
extern WalConsumerStatus wal_consumer_create(const char *name, Lsn position, uint64 *change) attribute_must_check;
extern WalConsumerStatus wal_consumer_drop(const char *name, uint64 *change) attribute_must_check;
/* wal_consumer_ack -- it never moves back; *position: where it stands then. */
extern WalConsumerStatus wal_consumer_ack(const char *name, Lsn lsn, Lsn *position) attribute_must_check;
extern WalConsumerStatus wal_consumer_find(const char *name, Lsn *position) attribute_must_check;
/* wal_consumers_copy -- into an array of WAL_CONSUMERS; *count: how many, in the order of their making. */
extern WalConsumerStatus wal_consumers_copy(WalConsumer *out, uint32 *count) attribute_must_check;
/* wal_consumers_saved -- is this change in the file?  *error: errno of the last attempt to write it, if that failed. */
extern bool wal_consumers_saved(uint64 change, int *error);

/* ---- the checkpointer ---- */
/* wal_consumers_save -- in every turn of its loop: writes the file when something waits for it, else once a second if positions have moved; tells of who was left behind. */
extern void wal_consumers_save(void);
extern void wal_consumers_stop(void);		/* once more, before an orderly end */
/* wal_keep_from -- log from there on is kept: 'below', or less for the sake of consumers. */
extern Lsn wal_keep_from(Lsn below);

/* ---- the startup process ---- */
extern void wal_consumers_load(const char *data_dir);	/* FATAL on damage */

#endif
