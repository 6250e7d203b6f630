/*
 * changes.c -- the change feed: CHANGES.
 *
 * A CHANGES in hand has a feed (access/wal/walfeed.c) that gives it the records
 * from its position on, and turns those that concern its database and prefix into
 * its reply.  What one run does is bounded (RUN_BYTES of log, RUN_OUTPUT of reply),
 * and so is one reply that finds little (REPLY_LOG): then it is short or empty and
 * 'next' has moved on.
 *
 * Which database is it?  Records name trees, and trees belong to databases as the
 * newest MAP record before them says.  So the map is needed that holds where the
 * feed begins: the present one, taken back by each MAP record that comes later,
 * which say what was before them and lead from one to the next (WalMapRecord).  At
 * the end of the log there is none to go back by.  What they have said is remembered,
 * and the maps where replies ended, for that is where the next command begins.  From
 * there on MAP records are met in the log itself.
 *
 * Waiting.  Whoever waits for changes (BLOCK) has seen everything up to a position.
 * They wait in groups of equal database and prefix; one feed per worker, the tail,
 * goes through what becomes durable, once for all of them, bounded per turn of the
 * loop, and finds the groups of a key by hashing its prefixes of those lengths that
 * anybody waits for.  So a flush costs a worker one look at its records, however many
 * wait, and who waits for something else is not even touched.  Who is found is told
 * where, and reads from there.  Nobody who waits holds a window of the log.
 *
 * The reply needs no gate: nothing that is not durable is looked at.
 *
 * Workers; the tail is the process' own.  If it dies, its clients ask again, by the
 * position that they have.
 */
#include "common/c.h"

#include <bsd/sys/queue.h>

#include "access/wal/wal_feed.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"

#define COUNT_DEFAULT 1000
#define RUN_BYTES (512 * KIB)		/* of log, per run and per turn of the tail */
#define RUN_OUTPUT TCOP_COPY_PER_RUN
#define REPLY_LOG (16 * MIB)		/* log that one reply goes through at most, unless it may wait */
#define REPLY_BYTES (1 * MIB)		/* no further record is taken into a longer reply */
#define VALUE_AT_ONCE (64 * KIB)
#define CHANGE_COST 32				/* of a run's RUN_OUTPUT, also for a change that is not shown */
#define MAPS_KEPT 64
#define MAPS_LEARNT 1024
#define BUCKETS 1024

/* DatabaseMap -- which tree is whose */
typedef struct DatabaseMap
{
	uint32		tree_id[DATABASE_COUNT];
} DatabaseMap;

typedef struct Group Group;

typedef struct Changes
{
	Session    *session;
	/* as asked for */
	uint32		db;
	uint32		prefix_arg;		/* 0: none */
	uint32		consumer_arg;	/* 0: none */
	int64		limit;
	bool		block;
	uint64		deadline_us;	/* of the block; 0: none */
	Lsn			next;			/* what to ask for next, as far as is known */
	/* reading */
	WalFeed    *feed;
	WalFeed    *probe;			/* of MAP records, backwards */
	Lsn			probe_lsn;		/* the map in hand holds from this MAP record on */
	bool		probing;
	bool		mapped;			/* 'map' is the one that holds at the feed */
	DatabaseMap map;
	uint64		looked;			/* bytes of log gone through */
	/* the reply */
	OutChunk   *begin;
	int64		items;
	/* the record in hand */
	bool		in_record;
	WalRecord	record;
	size_t		at;				/* of its body: the next change */
	const uint8 *value;			/* what is left of a long value */
	uint64		value_left;
	/* waiting */
	Group	   *group;			/* among those who wait; NULL: not */
	Lsn			found;			/* where it is to go on; 0: nothing has come */
	TAILQ_ENTRY(Changes) group_link;
	bool		reading;		/* among those whose reads are under way */
	TAILQ_ENTRY(Changes) reading_link;
	bool		woken;			/* among those who are to be run again */
	TAILQ_ENTRY(Changes) woken_link;
} Changes;

TAILQ_HEAD(ChangesList, Changes);

struct Group
{
	uint32		db;
	uint32		prefix_len;
	uint64		hash;
	struct ChangesList waiting;
	TAILQ_ENTRY(Group) link;
	uint8		prefix[];
};
TAILQ_HEAD(GroupList, Group);

/* what this worker keeps for all of them */
static struct
{
	bool		ready;			/* the lists are */
	struct ChangesList reading;
	struct ChangesList woken;
	/* maps where replies ended, the oldest overwritten first */
	struct
	{
		Lsn			lsn;
		DatabaseMap map;
	}			kept[MAPS_KEPT];
	uint32		kept_next;
	/* what MAP records have told: the map that held for records at (after, upto] */
	struct
	{
		Lsn			after;
		Lsn			upto;
		DatabaseMap map;
	}			learnt[MAPS_LEARNT];
	uint32		learnt_next;
	/* the tail */
	WalFeed    *tail;			/* while anybody waits */
	bool		mapped;
	DatabaseMap map;
	uint32		waiting;
	struct GroupList bucket[BUCKETS];
	uint32		length_users[KEY_USER_MAX + 1];	/* groups with prefixes of that length */
	uint16		length[KEY_USER_MAX + 1];	/* the lengths in use, ascending */
	uint32		lengths;
} feeds;

static void
prepare(void)
{
	if (feeds.ready)
		return;
	TAILQ_INIT(&feeds.reading);
	TAILQ_INIT(&feeds.woken);
	for (uint32 i = 0; i < BUCKETS; i++)
		TAILQ_INIT(&feeds.bucket[i]);
	feeds.ready = true;
}

/* ---- the map ---- */

static uint32
database_of(const DatabaseMap *map, uint32 tree_id)
{
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		if (map->tree_id[db] == tree_id)
			return db;
	return DATABASE_COUNT;
}

static void
map_keep(Lsn lsn, const DatabaseMap *map)
{
	for (uint32 i = 0; i < MAPS_KEPT; i++)
		if (feeds.kept[i].lsn == lsn)
			return;
	feeds.kept[feeds.kept_next].lsn = lsn;
	feeds.kept[feeds.kept_next].map = *map;
	feeds.kept_next = (feeds.kept_next + 1) % MAPS_KEPT;
}

static bool
map_kept(Lsn lsn, DatabaseMap *map)
{
	for (uint32 i = 0; i < MAPS_KEPT; i++)
		if (feeds.kept[i].lsn == lsn)
		{
			*map = feeds.kept[i].map;
			return true;
		}
	return false;
}

/* learn -- a MAP record at lsn was read. */
static void
learn(Lsn lsn, const WalMapRecord *map)
{
	for (uint32 i = 0; i < MAPS_LEARNT; i++)
		if (feeds.learnt[i].upto == lsn)
			return;
	feeds.learnt[feeds.learnt_next].after = wal_map_last(map->map.last, lsn);
	feeds.learnt[feeds.learnt_next].upto = lsn;
	memcpy(feeds.learnt[feeds.learnt_next].map.tree_id, map->before, sizeof(map->before));
	feeds.learnt_next = (feeds.learnt_next + 1) % MAPS_LEARNT;
}

/* learnt -- the map that held for the record at lsn, if it is known; *after: since the MAP record there. */
static bool
learnt(Lsn lsn, DatabaseMap *map, Lsn *after)
{
	for (uint32 i = 0; i < MAPS_LEARNT; i++)
		if (lsn > feeds.learnt[i].after && lsn <= feeds.learnt[i].upto)
		{
			*map = feeds.learnt[i].map;
			*after = feeds.learnt[i].after;
			return true;
		}
	return false;
}

/* map_found -- the map in hand is the right one. */
static WalFeedStatus
map_found(Changes *c)
{
	wal_feed_close(c->probe);
	c->probe = NULL;
	c->probing = false;
	c->mapped = true;
	return WAL_FEED_RECORD;
}

/* map_of -- the first change of the map in a record; false: it has none. */
static bool
map_of(const WalRecord *record, WalMapRecord *map)
{
	WalChange	change;
	size_t		at = 0;
	bool		bad;

	while (wal_next_change(record->header, record->body, record->body_len, &at, &change, &bad))
		if (change.type == WAL_MAP)
		{
			memcpy(map, change.value, sizeof(*map));
			return true;
		}
	return false;
}

/*
 * find_map -- the map that holds for the record at lsn; RECORD: it is known; END: it
 * will be when the log is flushed beyond c->probe_lsn.
 *
 * The present map is true from the newest MAP record on, whose changes are all in
 * place once it is flushed, and it is only reserved before.  A chain that ends, or
 * leads to no MAP record, leads further back than any log that is kept.
 */
static WalFeedStatus
find_map(Changes *c, Lsn lsn)
{
	WalFeedStatus status;
	WalRecord	record;

	if (!c->probing)
	{
		if (!store_map_trees(c->map.tree_id, &c->probe_lsn))
			return WAL_FEED_AGAIN;
		if (c->probe_lsn < lsn || map_kept(lsn, &c->map) || learnt(lsn, &c->map, &c->probe_lsn))
			return map_found(c);
		c->probing = true;
	}
	while (c->probe_lsn >= lsn)
	{
		WalMapRecord map;

		if (c->probe == NULL)
		{
			if (learnt(c->probe_lsn, &c->map, &c->probe_lsn))
				continue;
			if (c->probe_lsn >= wal_flushed_lsn())
				return WAL_FEED_END;
			c->probe = wal_feed_peek(c->probe_lsn);
		}
		status = wal_feed_next(c->probe, &record);
		if (status == WAL_FEED_AGAIN || status == WAL_FEED_READING)
			return status;
		if (status != WAL_FEED_RECORD || !map_of(&record, &map))
			break;
		learn(record.start, &map);
		memcpy(c->map.tree_id, map.before, sizeof(c->map.tree_id));
		c->probe_lsn = wal_map_last(map.map.last, record.start);
		wal_feed_close(c->probe);
		c->probe = NULL;
	}
	return map_found(c);
}

/* ---- those who wait ---- */

/* hash_step -- FNV-1a. */
static inline uint64
hash_step(uint64 hash, uint8 byte)
{
	return (hash ^ byte) * UINT64_C(0x100000001b3);
}

static inline uint64
hash_begin(uint32 db)
{
	return UINT64_C(0xcbf29ce484222325) + db;
}

static struct GroupList *
bucket_of(uint64 hash)
{
	return &feeds.bucket[(hash ^ hash >> 32) % BUCKETS];
}

static Group *
group_find(uint32 db, const uint8 *prefix, uint32 len, uint64 hash)
{
	Group	   *g;

	TAILQ_FOREACH(g, bucket_of(hash), link)
		if (g->hash == hash && g->db == db && g->prefix_len == len && (len == 0 || memcmp(g->prefix, prefix, len) == 0))
			return g;
	return NULL;
}

/* length_add, length_remove -- one group more or less with prefixes that long. */
static void
length_add(uint32 len)
{
	uint32		i = feeds.lengths;

	if (feeds.length_users[len]++ > 0)
		return;
	for (; i > 0 && feeds.length[i - 1] > len; i--)
		feeds.length[i] = feeds.length[i - 1];
	feeds.length[i] = (uint16) len;
	feeds.lengths++;
}

static void
length_remove(uint32 len)
{
	uint32		i = 0;

	if (--feeds.length_users[len] > 0)
		return;
	while (feeds.length[i] != len)
		i++;
	feeds.lengths--;
	for (; i < feeds.lengths; i++)
		feeds.length[i] = feeds.length[i + 1];
}

static Group *
group_take(uint32 db, const uint8 *prefix, uint32 len)
{
	uint64		hash = hash_begin(db);
	Group	   *g;

	for (uint32 i = 0; i < len; i++)
		hash = hash_step(hash, prefix[i]);
	g = group_find(db, prefix, len, hash);
	if (g != NULL)
		return g;
	g = malloc(sizeof(*g) + len);
	Verify(g != NULL);
	g->db = db;
	g->prefix_len = len;
	g->hash = hash;
	TAILQ_INIT(&g->waiting);
	if (len > 0)				/* nothing may be NULL */
		memcpy(g->prefix, prefix, len);
	TAILQ_INSERT_TAIL(bucket_of(hash), g, link);
	length_add(len);
	return g;
}

static void
tail_stop(void)
{
	wal_feed_close(feeds.tail);
	feeds.tail = NULL;
	feeds.mapped = false;
}

/* wait_end -- c is not among those who wait any more. */
static void
wait_end(Changes *c)
{
	Group	   *g = c->group;

	if (g == NULL)
		return;
	TAILQ_REMOVE(&g->waiting, c, group_link);
	c->group = NULL;
	if (TAILQ_EMPTY(&g->waiting))
	{
		TAILQ_REMOVE(bucket_of(g->hash), g, link);
		length_remove(g->prefix_len);
		free(g);
	}
	if (--feeds.waiting == 0)
		tail_stop();
}

/*
 * wait_begin -- c has seen everything below c->next and wants to hear of more.  The
 * tail is never ahead of it: what c has just found to be flushed the tail has not
 * seen yet, or has seen in this very turn.
 */
static void
wait_begin(Changes *c)
{
	const BytePart *prefix = c->prefix_arg != 0 ? &c->session->argv[c->prefix_arg] : NULL;

	c->found = LSN_NONE;
	c->group = group_take(c->db, prefix != NULL ? prefix->data : NULL, prefix != NULL ? (uint32) prefix->len : 0);
	TAILQ_INSERT_TAIL(&c->group->waiting, c, group_link);
	if (feeds.waiting++ == 0)
	{
		Lsn			record;

		feeds.tail = wal_feed_open(Min(c->next, wal_flushed_lsn()));
		/* a change of the map that is under way is not in the log yet: then the first who comes asks all to look themselves */
		feeds.mapped = store_map_trees(feeds.map.tree_id, &record) && record < wal_feed_at(feeds.tail);
	}
}

/* run_again -- the loop takes it in this turn: tcop_feed_woken. */
static void
run_again(Changes *c)
{
	if (!c->woken)
		TAILQ_INSERT_TAIL(&feeds.woken, c, woken_link);
	c->woken = true;
}

static void
run_again_end(Changes *c)
{
	if (c->woken)
		TAILQ_REMOVE(&feeds.woken, c, woken_link);
	c->woken = false;
}

/* wake -- it is to go on at lsn. */
static void
wake(Changes *c, Lsn lsn)
{
	c->found = lsn;
	wait_end(c);
	run_again(c);
}

/* wake_group -- a change at lsn concerns them, but for those who know it already. */
static void
wake_group(Group *g, Lsn lsn)
{
	Changes    *c = TAILQ_FIRST(&g->waiting);

	while (c != NULL)
	{
		Changes    *next = TAILQ_NEXT(c, group_link);

		if (lsn >= c->next)
			wake(c, lsn);		/* the last one takes the group with it */
		c = next;
	}
}

/* wake_database -- all who wait for changes of db; DATABASE_COUNT: of any. */
static void
wake_database(uint32 db, Lsn lsn)
{
	for (uint32 i = 0; i < BUCKETS; i++)
	{
		Group	   *g = TAILQ_FIRST(&feeds.bucket[i]);

		while (g != NULL)
		{
			Group	   *next = TAILQ_NEXT(g, link);

			if (db == DATABASE_COUNT || g->db == db)
				wake_group(g, lsn);
			g = next;
		}
	}
}

static void
offer_key(const WalChange *change, Lsn lsn)
{
	uint32		db = database_of(&feeds.map, wal_change_tree(change));
	const uint8 *key = change->key + WAL_TREE_BYTES;
	uint64		hash = hash_begin(db);
	uint32		hashed = 0;

	if (db == DATABASE_COUNT)
		return;
	for (uint32 i = 0; i < feeds.lengths && feeds.length[i] <= change->key_len - WAL_TREE_BYTES; i++)
	{
		uint32		len = feeds.length[i];
		Group	   *g;

		while (hashed < len)
			hash = hash_step(hash, key[hashed++]);
		g = group_find(db, key, len, hash);
		if (g != NULL)
		{
			uint32		lengths = feeds.lengths;

			wake_group(g, lsn);
			if (feeds.lengths < lengths)
				i--;			/* nobody waits for this length any more: the next one has moved here */
		}
	}
}

static void
offer_map(const WalChange *change, Lsn lsn)
{
	WalMapRecord map;
	uint32		other;

	memcpy(&map, change->value, sizeof(map));
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
		if (wal_map_changed(&map, db, &other))
			wake_database(db, lsn);
	memcpy(feeds.map.tree_id, map.map.tree_id, sizeof(feeds.map.tree_id));
	feeds.mapped = true;
}

static void
offer(const WalRecord *record)
{
	WalChange	change;
	size_t		at = 0;
	bool		bad = false;

	while (feeds.waiting > 0 && wal_next_change(record->header, record->body, record->body_len, &at, &change, &bad))
	{
		if (change.type == WAL_MAP)
			offer_map(&change, record->start);
		else if (change.type == WAL_CLOCK)
			continue;
		else if (!feeds.mapped)
			wake_database(DATABASE_COUNT, record->start);
		else
			offer_key(&change, record->start);
	}
	if (bad)
		wake_database(DATABASE_COUNT, record->start);	/* each says what is wrong with it */
}

/* tail_turn -- what has become durable, for all who wait; true: there is more. */
static bool
tail_turn(void)
{
	uint64		bytes = 0;

	while (feeds.waiting > 0 && bytes < RUN_BYTES)
	{
		WalRecord	record;

		switch (wal_feed_next(feeds.tail, &record))
		{
			case WAL_FEED_RECORD:
				bytes += record.end - record.start;
				offer(&record);
				break;
			case WAL_FEED_AGAIN:
				return true;
			case WAL_FEED_END:
			case WAL_FEED_READING:
				return false;
			default:
				/* each finds out for himself, where he stands, and says so */
				wake_database(DATABASE_COUNT, INT64_MAX);
				return false;
		}
	}
	return feeds.waiting > 0;
}

static void
reading_end(Changes *c)
{
	if (c->reading)
		TAILQ_REMOVE(&feeds.reading, c, reading_link);
	c->reading = false;
}

static bool
read_ready(const Changes *c)
{
	return (c->probe == NULL || wal_feed_ready(c->probe)) && (c->feed == NULL || wal_feed_ready(c->feed));
}

bool
tcop_feed_turn(void)
{
	Changes    *c;
	Changes    *next;

	if (wal_feed_in_flight() > 0)
		wal_feed_poll();
	if (!feeds.ready)
		return false;
	for (c = TAILQ_FIRST(&feeds.reading); c != NULL; c = next)
	{
		next = TAILQ_NEXT(c, reading_link);
		if (read_ready(c))
		{
			reading_end(c);
			run_again(c);
		}
	}
	return feeds.waiting > 0 && wal_feed_ready(feeds.tail) && wal_feed_at(feeds.tail) < wal_flushed_lsn() && tail_turn();
}

Session *
tcop_feed_woken(void)
{
	Changes    *c = feeds.ready ? TAILQ_FIRST(&feeds.woken) : NULL;

	if (c == NULL)
		return NULL;
	run_again_end(c);
	return c->session;
}

Lsn
tcop_feed_wait(void)
{
	return feeds.waiting > 0 ? wal_feed_at(feeds.tail) + 8 : LSN_NONE;
}

uint32
tcop_feed_blocked(void)
{
	return feeds.waiting;
}

/* ---- the command: beginning and end ---- */

static void
changes_free(void *state)
{
	Changes    *c = state;

	reading_end(c);
	run_again_end(c);
	wait_end(c);
	wal_feed_close(c->feed);
	wal_feed_close(c->probe);
	free(c);
}

/* parse_option -- words i and i + 1; false: an error is answered. */
static bool
parse_option(Session *s, Changes *c, uint32 i)
{
	if (i + 1 == s->argc)
		tcop__error_syntax(s);
	else if (tcop__arg_is(s, i, "prefix"))
	{
		StoreKey	prefix;

		if (!tcop__arg_key(s, i + 1, &prefix))
			return false;
		c->prefix_arg = prefix.len > 0 ? i + 1 : 0;
		return true;
	}
	else if (tcop__arg_is(s, i, "count"))
	{
		if (!tcop__arg_int(s, i + 1, &c->limit, NULL))
			return false;
		if (c->limit > 0)
			return true;
		reply_error(&s->out, "ERR value is out of range, must be positive");
	}
	else if (tcop__arg_is(s, i, "consumer"))
	{
		c->consumer_arg = i + 1;
		return true;
	}
	else if (tcop__arg_is(s, i, "block"))
	{
		c->block = store_txn_in_use() == NULL;
		return tcop__arg_timeout(s, i + 1, &c->deadline_us);
	}
	else
		tcop__error_syntax(s);
	return false;
}

/* parse_start -- the words that stand for positions, or a position. */
static bool
parse_start(Session *s, Changes *c, TcopResult *result)
{
	char		name[WAL_CONSUMER_NAME_MAX];

	*result = TCOP_DONE;
	if (tcop__arg_is(s, 1, ">") != (c->consumer_arg != 0))
		tcop__error_syntax(s);
	else if (c->consumer_arg != 0)
		return tcop__arg_consumer(s, c->consumer_arg, name) &&
			tcop__consumer_status(s, wal_consumer_find(name, &c->next), result);
	else if (!tcop__arg_is(s, 1, "$"))
		return tcop__arg_lsn(s, 1, &c->next);
	else
	{
		c->next = wal_flushed_lsn();
		return true;
	}
	return false;
}

static bool
parse(Session *s, Changes *c, TcopResult *result)
{
	*result = TCOP_DONE;
	c->limit = COUNT_DEFAULT;
	for (uint32 i = 2; i < s->argc; i += 2)
		if (!parse_option(s, c, i))
			return false;
	return parse_start(s, c, result);
}

static TcopResult
finish(Session *s, Changes *c)
{
	uint8		header[24];

	if (c->mapped)
		map_keep(c->next, &c->map);
	reply_int(&s->out, (int64) c->next);
	output_insert(&s->out, c->begin, header, reply_header(header, '*', (uint64) c->items + 1));
	output_end(&s->out, c->begin);
	return TCOP_DONE;
}

/* refuse -- nothing of the reply stays but an error. */
static TcopResult
refuse(Session *s, Changes *c, WalFeedStatus status)
{
	Lsn			at = c->feed != NULL ? wal_feed_at(c->feed) : c->next;

	output_cut(&s->out, s->out_start);
	switch (status)
	{
		case WAL_FEED_COMPACTED:
			reply_error(&s->out, "COMPACTED oldest=%llu", (unsigned long long) wal_feed_oldest());
			break;
		case WAL_FEED_LOST:
			tcop__error_lost(s, at);
			break;
		case WAL_FEED_BEYOND:
			tcop__error_beyond(s, at);
			break;
		case WAL_FEED_NO_RECORD:
			reply_error(&s->out, "ERR lsn %llu is not where a change begins or ends", (unsigned long long) at);
			break;
		default:
			reply_error(&s->out, "CORRUPT %s", wal_feed_error(c->feed));
			break;
	}
	return TCOP_DONE;
}

/* ---- changes into the reply ---- */

/* concerns -- is this a change of what was asked for?  *with: of a MAP, see wal_map_changed. */
static bool
concerns(const Session *s, const Changes *c, const WalChange *change, uint32 *with)
{
	const BytePart *prefix;

	if (change->type == WAL_MAP)
	{
		WalMapRecord map;

		memcpy(&map, change->value, sizeof(map));
		return wal_map_changed(&map, c->db, with);
	}
	if (change->type == WAL_CLOCK || wal_change_tree(change) != c->map.tree_id[c->db])
		return false;
	if (c->prefix_arg == 0)
		return true;
	prefix = &s->argv[c->prefix_arg];
	return change->key_len >= WAL_TREE_BYTES + prefix->len &&
		memcmp(change->key + WAL_TREE_BYTES, prefix->data, prefix->len) == 0;
}

/* next_change -- of the record in hand, from *at on. */
static bool
next_change(const Changes *c, size_t *at, WalChange *change, bool *bad)
{
	return wal_next_change(c->record.header, c->record.body, c->record.body_len, at, change, bad);
}

/* count_record -- changes in the record in hand that were asked for; -1: it cannot be read. */
static int64
count_record(const Session *s, const Changes *c)
{
	WalChange	change;
	uint32		with;
	size_t		at = 0;
	bool		bad;
	int64		count = 0;

	while (next_change(c, &at, &change, &bad))
		count += concerns(s, c, &change, &with);
	return bad ? -1 : count;
}

static void
show_map(Session *s, uint32 with)
{
	reply_text(&s->out, with == DATABASE_COUNT ? "flush" : "swap");
	reply_null(&s->out);
}

/* show -- one change; a long value's bytes are left for show_value. */
static void
show(Session *s, Changes *c, const WalChange *change, uint32 with)
{
	bool		map = change->type == WAL_MAP;
	bool		put = change->type == WAL_PUT;

	c->items++;
	reply_array(&s->out, 5);
	reply_int(&s->out, (int64) c->record.start);
	if (map)
		show_map(s, with);
	else
	{
		reply_text(&s->out, put ? "set" : "del");
		reply_bulk(&s->out, change->key + WAL_TREE_BYTES, change->key_len - WAL_TREE_BYTES);
	}
	reply_int(&s->out, (int64) c->record.end);
	if (put && change->value_len > VALUE_AT_ONCE)
	{
		reply_bulk_header(&s->out, change->value_len);
		c->value = change->value;
		c->value_left = change->value_len;
	}
	else if (put)
		reply_bulk(&s->out, change->value, change->value_len);
	else if (map && with != DATABASE_COUNT)
		reply_bulk_int(&s->out, with);
	else
		reply_null(&s->out);
}

/* show_value -- more of a long value, as far as this run goes. */
static void
show_value(Session *s, Changes *c, uint64 *room)
{
	uint64		len = Min(c->value_left, *room);

	output_append(&s->out, c->value, len);
	c->value += len;
	c->value_left -= len;
	*room -= len;
	if (c->value_left == 0)
		reply_crlf(&s->out);
}

/* meet_map -- from the record in hand on another map holds. */
static void
meet_map(Changes *c, const WalChange *change)
{
	WalMapRecord map;

	memcpy(&map, change->value, sizeof(map));
	learn(c->record.start, &map);
	memcpy(c->map.tree_id, map.map.tree_id, sizeof(c->map.tree_id));
}

/* show_record -- the record in hand; true: all of it; false: its rest in the next run, or the connection overflows. */
static bool
show_record(Session *s, Changes *c, uint64 *room)
{
	WalChange	change;
	uint32		with;
	bool		bad;

	for (;;)
	{
		if (c->value_left > 0)
			show_value(s, c, room);
		if (*room == 0)
			return false;
		if (!next_change(c, &c->at, &change, &bad))
			break;
		*room -= Min(*room, CHANGE_COST);
		if (concerns(s, c, &change, &with))
		{
			uint64		bytes = change.key_len + change.value_len;

			if (!output_room(&s->out, bytes))
				return false;
			show(s, c, &change, with);
			*room -= Min(*room, Min(bytes, VALUE_AT_ONCE));
		}
		if (change.type == WAL_MAP)
			meet_map(c, &change);
	}
	c->in_record = false;
	c->next = c->record.end;
	return true;
}

/* ---- the command ---- */

static TcopResult
wait_read(Session *s, Changes *c)
{
	c->reading = true;
	TAILQ_INSERT_TAIL(&feeds.reading, c, reading_link);
	s->wait_lsn = LSN_WAKE;
	s->deadline_us = 0;
	return TCOP_WAIT;
}

/* wait_changes -- all that is durable has been looked at. */
static TcopResult
wait_changes(Session *s, Changes *c)
{
	c->next = wal_feed_at(c->feed);
	if (c->items > 0 || !c->block || s->unblocked != UNBLOCKED_NO || (c->deadline_us != 0 && tcop_now_us >= c->deadline_us))
		return finish(s, c);
	wal_feed_close(c->feed);
	c->feed = NULL;
	c->mapped = false;
	wait_begin(c);
	s->wait_lsn = LSN_MAX;
	s->deadline_us = c->deadline_us;
	return TCOP_WAIT;
}

/*
 * waited -- the wait is over: true: c->next says where to go on; false: for nothing,
 * and c->next is as far as everything was looked at.
 */
static bool
waited(Changes *c)
{
	Lsn			seen;

	if (c->found != LSN_NONE)
	{
		if (c->found != INT64_MAX)
			c->next = c->found;
		c->found = LSN_NONE;
		return true;
	}
	seen = wal_feed_at(feeds.tail);
	wait_end(c);
	c->next = Max(c->next, seen);
	return false;
}

/* take_record -- the record that the feed has given: true: it is in hand; false: the reply ends before it. */
static bool
take_record(Session *s, Changes *c)
{
	int64		count = count_record(s, c);

	if (c->items > 0 && (count < 0 || c->items + count > c->limit))
	{
		c->next = c->record.start;
		(void) finish(s, c);
		return false;
	}
	if (count < 0)
	{
		output_cut(&s->out, s->out_start);
		reply_error(&s->out, "CORRUPT the log record at %llu cannot be read", (unsigned long long) c->record.start);
		return false;
	}
	c->at = 0;
	c->in_record = true;
	return true;
}

/* enough -- is the reply long enough, or has it looked at enough? */
static bool
enough(const Session *s, const Changes *c)
{
	return c->items >= c->limit || s->out.appended - s->out_start > REPLY_BYTES
		|| (c->looked > REPLY_LOG && (c->items > 0 || !c->block));
}

/* go_on -- what a feed's status other than RECORD means for the command. */
static TcopResult
go_on(Session *s, Changes *c, WalFeedStatus status)
{
	switch (status)
	{
		case WAL_FEED_AGAIN:
			return TCOP_AGAIN;
		case WAL_FEED_READING:
			return wait_read(s, c);
		case WAL_FEED_END:
			return wait_changes(s, c);
		default:
			/* what has been found before the log came to its end is still true, and the next command will say the rest */
			if (c->items > 0 && status != WAL_FEED_ERROR)
				return finish(s, c);
			return refuse(s, c, status);
	}
}

/* need_map -- the map that holds for the record just given: true: it is known; else *result. */
static bool
need_map(Session *s, Changes *c, TcopResult *result)
{
	WalFeedStatus status;

	if (likely(c->mapped))
		return true;
	status = find_map(c, c->record.start);
	if (status == WAL_FEED_RECORD)
		return true;
	if (status == WAL_FEED_END)
	{
		s->wait_lsn = c->probe_lsn + 8;	/* a change of the map that is being written */
		s->deadline_us = 0;
		*result = TCOP_WAIT;
	}
	else
		*result = status == WAL_FEED_READING ? wait_read(s, c) : TCOP_AGAIN;
	return false;
}

/* run -- as much as one run may do. */
static TcopResult
run(Session *s, Changes *c)
{
	uint64		room = RUN_OUTPUT;
	uint64		begun = c->looked;
	TcopResult	result;

	for (;;)
	{
		if (c->record.header == NULL)
		{
			WalFeedStatus status = wal_feed_next(c->feed, &c->record);

			if (status != WAL_FEED_RECORD)
			{
				c->record.header = NULL;
				return go_on(s, c, status);
			}
			c->looked += c->record.end - c->record.start;
		}
		if (!c->in_record)
		{
			if (!need_map(s, c, &result))
				return result;
			if (!take_record(s, c))
				return TCOP_DONE;
		}
		if (!show_record(s, c, &room))
			return s->out.overflow ? TCOP_DONE : TCOP_AGAIN;
		c->record.header = NULL;
		if (enough(s, c))
			return finish(s, c);
		if (c->looked - begun > RUN_BYTES)
			return TCOP_AGAIN;
	}
}

TcopResult
tcop__changes(Session *s)
{
	Changes    *c = s->state;
	TcopResult	result;

	if (c == NULL)
	{
		prepare();
		c = tcop__state(s, sizeof(Changes), changes_free);
		c->session = s;
		c->db = s->db;
		if (!parse(s, c, &result))
		{
			tcop__state_drop(s);
			return result;		/* or once more from the beginning */
		}
		c->begin = output_begin(&s->out);
		c->feed = wal_feed_open(c->next);
	}
	reading_end(c);
	run_again_end(c);			/* its time may have come first */
	if (c->feed == NULL)
	{
		if (!waited(c))
			return finish(s, c);
		c->feed = wal_feed_open(c->next);
	}
	return run(s, c);
}
