/*
 * consumers.c -- CONSUMER: names for those who read the change feed.
 *
 * The table and its file are the log's (access/wal/walkeep.c); here are words and
 * answers.  CREATE and DROP wait until the file has the change, so that what they
 * answered survives any crash; ACK does not wait, see there.
 */
#include "common/c.h"

#include "access/wal/wal_feed.h"
#include "access/wal/wal_keep.h"
#include "tcop/tcop_internal.h"

#define POLL_US 500

typedef struct ConsumerChange
{
	uint64		change;
	Lsn			position;
} ConsumerChange;

bool
tcop__arg_consumer(Session *s, uint32 i, char *name)
{
	const BytePart *word = &s->argv[i];
	bool		good = word->len > 0 && word->len < WAL_CONSUMER_NAME_MAX;

	for (size_t k = 0; k < word->len && good; k++)
		good = ((const char *) word->data)[k] > ' ' && ((const char *) word->data)[k] <= '~';
	if (!good)
	{
		reply_error(&s->out, "ERR a consumer's name has 1 to %d bytes and no spaces, newlines or special characters",
					WAL_CONSUMER_NAME_MAX - 1);
		return false;
	}
	memcpy(name, word->data, word->len);
	name[word->len] = '\0';
	return true;
}

bool
tcop__consumer_status(Session *s, WalConsumerStatus status, TcopResult *result)
{
	*result = TCOP_DONE;
	switch (status)
	{
		case WAL_CONSUMER_OK:
			return true;
		case WAL_CONSUMER_BUSY:
			*result = TCOP_AGAIN;
			break;
		case WAL_CONSUMER_UNKNOWN:
			reply_error(&s->out, "ERR no such consumer");
			break;
		case WAL_CONSUMER_EXISTS:
			reply_error(&s->out, "ERR consumer already exists");
			break;
		case WAL_CONSUMER_FULL:
			reply_error(&s->out, "ERR too many consumers (maximum %d)", WAL_CONSUMERS);
			break;
	}
	return false;
}

/* look_later -- until the file has it. */
static TcopResult
look_later(Session *s)
{
	s->deadline_us = tcop_now_us + POLL_US;
	return TCOP_LATER;
}

/* refused -- may a consumer stand there?  Else the error is answered. */
static bool
refused(Session *s, Lsn lsn)
{
	Lsn			go_on;

	if (wal_place(lsn, &go_on) != WAL_PLACE_LOG)
		tcop__error_lost(s, lsn);
	else if (lsn > wal_flushed_lsn())
		tcop__error_beyond(s, lsn);
	else
		return false;
	return true;
}

/* parse_position -- CREATE's: 0 the oldest there is, $ now; false: an error is answered. */
static bool
parse_position(Session *s, Lsn *lsn)
{
	*lsn = wal_flushed_lsn();
	if (s->argc == 3 || tcop__arg_is(s, 3, "$"))
		return true;
	if (!tcop__arg_lsn(s, 3, lsn))
		return false;
	if (*lsn == 0)
		*lsn = wal_feed_oldest();
	return !refused(s, *lsn);
}

static void
error_save(Session *s, int error)
{
	reply_error(&s->out, "MISCONF could not write the positions of consumers: %s", strerror(error));
}

/* create_end -- the file has it, or could not be written. */
static TcopResult
create_end(Session *s, const char *name, const ConsumerChange *c)
{
	bool		gone = c->position < wal_feed_oldest();
	uint64		change;
	int			error;

	if (!wal_consumers_saved(c->change, &error))
	{
		if (error == 0)
			return look_later(s);
	}
	else if (!gone)
	{
		reply_ok(&s->out);
		return TCOP_DONE;
	}
	else
		error = 0;
	if (wal_consumer_drop(name, &change) == WAL_CONSUMER_BUSY)
		return TCOP_AGAIN;
	if (error != 0)
		error_save(s, error);
	else
		reply_error(&s->out, "COMPACTED oldest=%llu", (unsigned long long) wal_feed_oldest());
	return TCOP_DONE;
}

TcopResult
tcop__consumer_create(Session *s)
{
	ConsumerChange *c = s->state;
	char		name[WAL_CONSUMER_NAME_MAX];
	TcopResult	result;
	uint64		change;
	Lsn			position;

	if (s->argc > 4)
	{
		tcop__error_arity(s);
		return TCOP_DONE;
	}
	if (!tcop__arg_consumer(s, 2, name))
		return TCOP_DONE;
	if (c != NULL)
		return create_end(s, name, c);
	if (!parse_position(s, &position))
		return TCOP_DONE;
	if (!tcop__consumer_status(s, wal_consumer_create(name, position, &change), &result))
		return result;
	c = tcop__state(s, sizeof(ConsumerChange), NULL);
	c->change = change;
	c->position = position;
	return look_later(s);
}

TcopResult
tcop__consumer_drop(Session *s)
{
	ConsumerChange *c = s->state;
	char		name[WAL_CONSUMER_NAME_MAX];
	WalConsumerStatus status;
	TcopResult	result;
	uint64		change;
	int			error;

	if (!tcop__arg_consumer(s, 2, name))
		return TCOP_DONE;
	if (c == NULL)
	{
		status = wal_consumer_drop(name, &change);
		if (status == WAL_CONSUMER_UNKNOWN)
		{
			reply_int(&s->out, 0);
			return TCOP_DONE;
		}
		if (!tcop__consumer_status(s, status, &result))
			return result;
		c = tcop__state(s, sizeof(ConsumerChange), NULL);
		c->change = change;
		return look_later(s);
	}
	if (wal_consumers_saved(c->change, &error))
		reply_int(&s->out, 1);
	else if (error == 0)
		return look_later(s);
	else
		error_save(s, error);
	return TCOP_DONE;
}

TcopResult
tcop__consumer_ack(Session *s)
{
	char		name[WAL_CONSUMER_NAME_MAX];
	TcopResult	result;
	Lsn			lsn;
	Lsn			position;

	if (!tcop__arg_consumer(s, 2, name) || !tcop__arg_lsn(s, 3, &lsn) || refused(s, lsn))
		return TCOP_DONE;
	if (tcop__consumer_status(s, wal_consumer_ack(name, lsn, &position), &result))
		reply_int(&s->out, (int64) position);
	return result;
}

TcopResult
tcop__consumer_list(Session *s)
{
	WalConsumer consumer[WAL_CONSUMERS];
	TcopResult	result;
	uint32		count;
	Lsn			flushed = wal_flushed_lsn();
	Lsn			oldest;

	if (!tcop__consumer_status(s, wal_consumers_copy(consumer, &count), &result))
		return result;
	oldest = wal_feed_oldest();
	reply_array(&s->out, count);
	for (uint32 i = 0; i < count; i++)
	{
		const WalConsumer *c = &consumer[i];

		reply_map(&s->out, 4);
		reply_text(&s->out, "name");
		reply_text(&s->out, c->name);
		reply_text(&s->out, "position");
		reply_int(&s->out, (int64) c->position);
		reply_text(&s->out, "lag");
		reply_int(&s->out, (int64) (flushed - Min(c->position, flushed)));
		reply_text(&s->out, "lost");
		reply_int(&s->out, c->position < oldest);
	}
	return TCOP_DONE;
}
