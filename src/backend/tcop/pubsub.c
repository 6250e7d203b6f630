/*
 * pubsub.c -- SUBSCRIBE, PUBLISH and their kin, and the delivery to this worker's clients.
 *
 * A worker knows its own clients' subscriptions in private memory: a Channel for
 * each name, with a row of Subs, one per client; each Sub also stands in its
 * session's list and in a hash by (channel, session), so that coming and going
 * take the same time however many there are.  What others must know stands in
 * sub_table.
 *
 * Replies to SUBSCRIBE and messages are pushes in RESP3, arrays in RESP2.  A RESP2
 * connection with a subscription is a listener: few commands are open to it
 * (pubsub_allows).
 *
 * Only this worker touches any of this.  A message is put into bytes once and
 * copied to each client.
 */
#include "common/c.h"

#include <sys/queue.h>

#include "access/store/evict.h"
#include "storage/ipc/epoch.h"
#include "storage/mem/heap.h"
#include "tcop/message.h"
#include "tcop/multi.h"
#include "tcop/tcop_internal.h"
#include "utils/settings.h"

#define NAMES_PER_RUN 512		/* of SUBSCRIBE and its kin */
#define HASH_MIN 64
#define WAIT_STEP_US 200		/* PUBLISH, while another worker's queue is long */
#define SCRATCH_KEEP (1 * MIB)
#define LIST_BYTES_MIN (64 * KIB)
#define BUCKETS_PER_RUN 2048		/* of PUBSUB CHANNELS */

typedef struct Sub Sub;

typedef struct Channel
{
	struct Channel *next;			/* in its bucket */
	uint64		hash;
	Off			node;			/* in sub_table */
	Sub		  **subs;
	uint32		count;
	uint32		size;
	SubKind		kind;
	uint32		len;
	LIST_ENTRY(Channel) pattern_link;	/* as in the worker's list in sub_table */
	uint8		name[];
} Channel;

struct Sub
{
	Channel    *channel;
	Session    *session;
	Sub		   *next;			/* in its bucket */
	uint32		place;			/* in channel->subs */
	TAILQ_ENTRY(Sub) link;
};

TAILQ_HEAD(SubList, Sub);

struct PubSub
{
	struct SubList subs[SUB_KINDS];
	uint32		count[SUB_KINDS];
};

/* a hash of chains; grows by doubling */
typedef struct Hash
{
	void	  **bucket;
	uint64		size;
	uint64		count;
} Hash;

static Hash channels;
static Hash subs;
static LIST_HEAD(, Channel) patterns = LIST_HEAD_INITIALIZER(patterns);
static uint8 *scratch;			/* a message as it goes to every client */
static size_t scratch_size;

/* ---- names and who has them ---- */
static uint64
sub_key(const Channel *channel, const Session *s)
{
	uint64		h = ((uint64) (uintptr_t) channel ^ (uint64) (uintptr_t) s << 7) * UINT64_C(0x9e3779b97f4a7c15);

	return h ^ h >> 32;
}

static Channel *
channel_find(SubKind kind, uint64 hash, const BytePart *name)
{
	Channel    *c;

	if (channels.size == 0)
		return NULL;
	for (c = channels.bucket[hash & (channels.size - 1)]; c != NULL; c = c->next)
		if (c->hash == hash && c->kind == kind && c->len == name->len && memcmp(c->name, name->data, name->len) == 0)
			break;
	return c;
}

static Sub *
sub_of(const Channel *channel, const Session *s)
{
	Sub		   *sub;

	if (subs.size == 0)
		return NULL;
	for (sub = subs.bucket[sub_key(channel, s) & (subs.size - 1)]; sub != NULL; sub = sub->next)
		if (sub->channel == channel && sub->session == s)
			break;
	return sub;
}

/* hash_room -- one more will come: returns the old buckets to be put in anew, or NULL. */
static void **
hash_room(Hash *h, uint64 *old_size)
{
	void	  **old = h->bucket;

	*old_size = h->size;
	if (h->count++ < h->size)
		return NULL;
	h->size = h->size == 0 ? HASH_MIN : h->size * 2;
	h->bucket = calloc(h->size, sizeof(void *));
	Verify(h->bucket != NULL);
	return old;
}

static void
channel_put(Channel *c)
{
	Channel   **bucket = (Channel **) &channels.bucket[c->hash & (channels.size - 1)];

	c->next = *bucket;
	*bucket = c;
}

static void
sub_put(Sub *sub)
{
	Sub		  **bucket = (Sub **) &subs.bucket[sub_key(sub->channel, sub->session) & (subs.size - 1)];

	sub->next = *bucket;
	*bucket = sub;
}

static void
channels_grow(void)
{
	uint64		size;
	void	  **old = hash_room(&channels, &size);

	for (uint64 i = 0; old != NULL && i < size; i++)
		for (Channel *c = old[i], *next; c != NULL; c = next)
		{
			next = c->next;
			channel_put(c);
		}
	free(old);
}

static void
subs_grow(void)
{
	uint64		size;
	void	  **old = hash_room(&subs, &size);

	for (uint64 i = 0; old != NULL && i < size; i++)
		for (Sub *s = old[i], *next; s != NULL; s = next)
		{
			next = s->next;
			sub_put(s);
		}
	free(old);
}

/* channel_new -- STORE_OK, or why there is no memory for what others must know of it. */
static StoreStatus
channel_new(SubKind kind, uint64 hash, const BytePart *name, Channel **out)
{
	Off			node = sub_insert(message_worker, kind, hash, name->data, name->len);
	Channel    *c;

	for (int tries = 0; node == MEM_NONE && tries < 4; tries++)
	{
		if (mem_grow() != 0)
			return evict_hopeless() ? STORE_NO_MEMORY : STORE_PARK_MEMORY;
		node = sub_insert(message_worker, kind, hash, name->data, name->len);
	}
	if (node == MEM_NONE)
		return STORE_PARK_MEMORY;
	c = calloc(1, sizeof(Channel) + name->len);
	Verify(c != NULL);
	c->hash = hash;
	c->node = node;
	c->kind = kind;
	c->len = (uint32) name->len;
	memcpy(c->name, name->data, name->len);
	channels_grow();
	channel_put(c);
	if (kind == SUB_PATTERN)
		LIST_INSERT_HEAD(&patterns, c, pattern_link);
	*out = c;
	return STORE_OK;
}

/* pattern_before -- the one in front of this in the list; 0: it is the first. */
static Off
pattern_before(Channel *c)
{
	Channel    *before;

	if (c->kind != SUB_PATTERN || c == LIST_FIRST(&patterns))
		return 0;
	before = (Channel *) ((char *) c->pattern_link.le_prev - offsetof(Channel, pattern_link.le_next));
	return before->node;
}

static void
channel_gone(Channel *c)
{
	Channel   **link = (Channel **) &channels.bucket[c->hash & (channels.size - 1)];

	sub_remove(message_worker, c->node, pattern_before(c));
	if (c->kind == SUB_PATTERN)
		LIST_REMOVE(c, pattern_link);
	while (*link != c)
		link = &(*link)->next;
	*link = c->next;
	channels.count--;
	free(c->subs);
	free(c);
}

/* subscribe -- STORE_OK also if it was there before. */
static StoreStatus
subscribe(Session *s, SubKind kind, const BytePart *name)
{
	uint64		hash = sub_hash(kind, name->data, name->len);
	Channel    *c = channel_find(kind, hash, name);
	Sub		   *sub;

	if (c == NULL)
	{
		StoreStatus status = channel_new(kind, hash, name, &c);

		if (status != STORE_OK)
			return status;
	}
	else if (sub_of(c, s) != NULL)
		return STORE_OK;
	if (s->pubsub == NULL)
	{
		s->pubsub = calloc(1, sizeof(PubSub));
		Verify(s->pubsub != NULL);
		for (int k = 0; k < SUB_KINDS; k++)
			TAILQ_INIT(&s->pubsub->subs[k]);
	}
	if (c->count == c->size)
	{
		c->size = Max(4u, c->size * 2);
		c->subs = realloc(c->subs, c->size * sizeof(Sub *));
		Verify(c->subs != NULL);
	}
	sub = malloc(sizeof(Sub));
	Verify(sub != NULL);
	*sub = (Sub) {.channel = c, .session = s, .place = c->count};
	c->subs[c->count++] = sub;
	sub_set_clients(c->node, c->count);
	subs_grow();
	sub_put(sub);
	TAILQ_INSERT_TAIL(&s->pubsub->subs[kind], sub, link);
	s->pubsub->count[kind]++;
	return STORE_OK;
}

static void
sub_gone(Sub *sub)
{
	Channel    *c = sub->channel;
	PubSub	   *p = sub->session->pubsub;
	Sub		  **link = (Sub **) &subs.bucket[sub_key(c, sub->session) & (subs.size - 1)];

	while (*link != sub)
		link = &(*link)->next;
	*link = sub->next;
	subs.count--;
	TAILQ_REMOVE(&p->subs[c->kind], sub, link);
	p->count[c->kind]--;
	c->subs[sub->place] = c->subs[--c->count];
	c->subs[sub->place]->place = sub->place;
	free(sub);
	if (c->count == 0)
		channel_gone(c);
	else
		sub_set_clients(c->node, c->count);
}

/* publish_counts -- for CLIENT LIST; relaxed: for people, ours to write. */
static void
publish_counts(Session *s)
{
	atomic_store_explicit(&s->entry->channels, pubsub_count(s, SUB_CHANNEL), memory_order_relaxed);
	atomic_store_explicit(&s->entry->patterns, pubsub_count(s, SUB_PATTERN), memory_order_relaxed);
	atomic_store_explicit(&s->entry->shard_channels, pubsub_count(s, SUB_SHARD), memory_order_relaxed);
	if (pubsub_listens(s))
		atomic_fetch_or_explicit(&s->entry->flags, CLIENT_FLAG_PUBSUB, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&s->entry->flags, ~(uint32) CLIENT_FLAG_PUBSUB, memory_order_relaxed);
}

void
pubsub_drop(Session *s)
{
	if (s->pubsub == NULL)
		return;
	for (int k = 0; k < SUB_KINDS; k++)
		for (Sub *sub; (sub = TAILQ_FIRST(&s->pubsub->subs[k])) != NULL;)
			sub_gone(sub);
	publish_counts(s);
	free(s->pubsub);
	s->pubsub = NULL;
}

uint32
pubsub_count(const Session *s, SubKind kind)
{
	return s->pubsub == NULL ? 0 : s->pubsub->count[kind];
}

bool
pubsub_listens(const Session *s)
{
	const PubSub *p = s->pubsub;

	return p != NULL && p->count[SUB_CHANNEL] + p->count[SUB_PATTERN] + p->count[SUB_SHARD] > 0;
}

void
pubsub_close_all(void)
{
	for (uint64 i = 0; i < subs.size; i++)
		for (Sub *sub = subs.bucket[i]; sub != NULL; sub = sub->next)
			message_close(sub->session);
}

/* ---- delivery ---- */
static uint8 *
put(uint8 *to, const void *data, size_t len)
{
	if (len > 0)				/* nothing may be NULL */
		memcpy(to, data, len);
	return to + len;
}

static uint8 *
put_bulk(uint8 *to, const void *data, size_t len)
{
	to += reply_header(to, '$', len);
	to = put(to, data, len);
	return put(to, "\r\n", 2);
}

/* put_into_bytes -- the message in 'scratch', for RESP2; returns its length. */
static size_t
put_into_bytes(const char *word, const Channel *pattern, const BytePart *channel, const BytePart *message)
{
	size_t		need = channel->len + message->len + (pattern != NULL ? pattern->len : 0) + 160;
	uint8	   *to;

	if (need > scratch_size || scratch_size > SCRATCH_KEEP)
	{
		free(scratch);
		scratch_size = Max(need, (size_t) 4096);
		scratch = malloc(scratch_size);
		Verify(scratch != NULL);
	}
	to = scratch;
	to += reply_header(to, '*', pattern != NULL ? 4 : 3);
	to = put_bulk(to, word, strlen(word));
	if (pattern != NULL)
		to = put_bulk(to, pattern->name, pattern->len);
	to = put_bulk(to, channel->data, channel->len);
	to = put_bulk(to, message->data, message->len);
	return (size_t) (to - scratch);
}

/* deliver_to -- what stands in 'scratch' to everyone of a channel or pattern. */
static uint64
deliver_to(Channel *c, size_t len, Lsn gate)
{
	for (uint32 i = 0; i < c->count; i++)
	{
		Session    *s = c->subs[i]->session;
		Output	   *o = message_push_begin(s, len);

		if (unlikely(o == NULL))
			continue;
		scratch[0] = o->proto < 3 ? '*' : '>';
		output_append(o, scratch, len);
		message_push_end(s, gate);
	}
	return c->count;
}

uint64
pubsub_deliver(SubKind kind, const BytePart *channel, const BytePart *message, Lsn gate)
{
	Channel    *c = channel_find(kind, sub_hash(kind, channel->data, channel->len), channel);
	uint64		count = 0;

	if (c != NULL)
		count = deliver_to(c, put_into_bytes(kind == SUB_SHARD ? "smessage" : "message", NULL, channel, message), gate);
	if (kind != SUB_CHANNEL)
		return count;
	LIST_FOREACH(c, &patterns, pattern_link)
		if (pattern_match((const char *) c->name, c->len, channel->data, channel->len, false))
			count += deliver_to(c, put_into_bytes("pmessage", c, channel, message), gate);
	return count;
}

/* ---- SUBSCRIBE, UNSUBSCRIBE ---- */
static const char *const subscribe_words[] = {"subscribe", "psubscribe", "ssubscribe"};
static const char *const unsubscribe_words[] = {"unsubscribe", "punsubscribe", "sunsubscribe"};

/* reply_changed -- one name is subscribed or not any more: NULL: there was none. */
static void
reply_changed(Session *s, SubKind kind, const char *word, const void *name, size_t len)
{
	uint32		count = kind == SUB_SHARD ? pubsub_count(s, SUB_SHARD) :
		pubsub_count(s, SUB_CHANNEL) + pubsub_count(s, SUB_PATTERN);

	reply_push(&s->out, 3);
	reply_text(&s->out, word);
	if (name == NULL)
		reply_null(&s->out);
	else
		reply_bulk(&s->out, name, len);
	reply_int(&s->out, count);
	s->push_reply = true;
}

static TcopResult
run_subscribe(Session *s, SubKind kind)
{
	uint32		i = s->step == 0 ? 1 : s->step;
	TcopResult	result;

	for (uint32 n = 0; i < s->argc; i++, n++)
	{
		const BytePart *name = &s->argv[i];

		s->step = i;
		if (n == NAMES_PER_RUN)
			return TCOP_AGAIN;
		if (name->len > SUB_NAME_MAX)
		{
			reply_error(&s->out, "ERR channel name is too long (%zu bytes, maximum %d)", name->len, (int) SUB_NAME_MAX);
			continue;
		}
		if (!tcop__status(s, subscribe(s, kind, name), &result))
		{
			publish_counts(s);
			return result;
		}
		reply_changed(s, kind, subscribe_words[kind], name->data, name->len);
	}
	publish_counts(s);
	return TCOP_DONE;
}

/* unsubscribe_all -- without names: every one there is. */
static TcopResult
unsubscribe_all(Session *s, SubKind kind)
{
	Sub		   *sub;

	if (pubsub_count(s, kind) == 0 && s->step == 0)
	{
		reply_changed(s, kind, unsubscribe_words[kind], NULL, 0);
		return TCOP_DONE;
	}
	s->step = 1;
	for (uint32 n = 0; s->pubsub != NULL && (sub = TAILQ_FIRST(&s->pubsub->subs[kind])) != NULL; n++)
	{
		uint8		name[SUB_NAME_MAX];
		uint32		len = sub->channel->len;

		if (n == NAMES_PER_RUN)
			return TCOP_AGAIN;
		memcpy(name, sub->channel->name, len);
		sub_gone(sub);
		reply_changed(s, kind, unsubscribe_words[kind], name, len);
	}
	publish_counts(s);
	return TCOP_DONE;
}

static TcopResult
run_unsubscribe(Session *s, SubKind kind)
{
	uint32		i = s->step == 0 ? 1 : s->step;

	if (s->argc == 1)
		return unsubscribe_all(s, kind);
	for (uint32 n = 0; i < s->argc; i++, n++)
	{
		const BytePart *name = &s->argv[i];
		Channel    *c = channel_find(kind, sub_hash(kind, name->data, name->len), name);
		Sub		   *sub = c != NULL ? sub_of(c, s) : NULL;

		s->step = i;
		if (n == NAMES_PER_RUN)
			return TCOP_AGAIN;
		if (sub != NULL)
			sub_gone(sub);
		reply_changed(s, kind, unsubscribe_words[kind], name->data, name->len);
	}
	publish_counts(s);
	return TCOP_DONE;
}

TcopResult
tcop__subscribe(Session *s)
{
	return run_subscribe(s, SUB_CHANNEL);
}

TcopResult
tcop__psubscribe(Session *s)
{
	return run_subscribe(s, SUB_PATTERN);
}

/* tcop__ssubscribe -- the one of the three that Redis does not let into a transaction. */
TcopResult
tcop__ssubscribe(Session *s)
{
	if (tcop__multi_running(s))
	{
		reply_error(&s->out, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
		return TCOP_DONE;
	}
	return run_subscribe(s, SUB_SHARD);
}

TcopResult
tcop__unsubscribe(Session *s)
{
	return run_unsubscribe(s, SUB_CHANNEL);
}

TcopResult
tcop__punsubscribe(Session *s)
{
	return run_unsubscribe(s, SUB_PATTERN);
}

TcopResult
tcop__sunsubscribe(Session *s)
{
	return run_unsubscribe(s, SUB_SHARD);
}

bool
pubsub_allows(Session *s, const Command *c)
{
	char		name[64];
	uint32		n = 0;

	if (s->out.proto >= 3 || (c->flags & CMD_LISTENER) != 0 || !pubsub_listens(s))
		return true;
	for (; c->name[n] != '\0' && n < sizeof(name) - 1; n++)
		name[n] = c->name[n];
	name[n] = '\0';
	reply_error(&s->out, "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
				"in this context", name);
	return false;
}

/* ---- PUBLISH ---- */

/*
 * publish -- what the connection has written before, under a policy that promises
 * something, must be durable first: who hears of it may go and look.  Within EXEC that
 * goes for what the transaction has written and was shown, whatever the policy is.
 */
static TcopResult
publish(Session *s, SubKind kind)
{
	Lsn			gate = session_policy(s) <= DURABILITY_GROUP ? s->last_write_lsn : LSN_NONE;

	if (unlikely(message_congested()))
	{
		s->deadline_us = tcop_now_us + WAIT_STEP_US;
		return TCOP_LATER;
	}
	if (tcop__multi_running(s))
		gate = Max(gate, s->gate);
	reply_int(&s->out, (int64) message_publish(kind, &s->argv[1], &s->argv[2], gate));
	return TCOP_DONE;
}

TcopResult
tcop__publish(Session *s)
{
	return publish(s, SUB_CHANNEL);
}

TcopResult
tcop__spublish(Session *s)
{
	return publish(s, SUB_SHARD);
}

/* ---- PUBSUB ---- */
typedef struct ListState
{
	OutChunk   *begin;
	uint64		count;
	uint32		worker;			/* where to go on */
	uint32		bucket;
	uint8	   *names;			/* of one bucket: length (4 bytes) and name, one after the other */
	size_t		size;
} ListState;

static void
list_free(void *state)
{
	free(((ListState *) state)->names);
	free(state);
}

/* listed_before -- does a worker before this one have the name, so that it has been listed already? */
static bool
listed_before(const SubNode *n, uint32 worker)
{
	for (uint32 w = 0; w < worker; w++)
		if (sub_find(w, n->kind, n->hash, n->name, n->len) != NULL)
			return true;
	return false;
}

/* bucket_names -- the names of one bucket that fit a pattern (NULL: all) into 'names'; returns how many bytes that are, even if there is no room. */
static size_t
bucket_names(ListState *l, SubKind kind, const BytePart *pattern)
{
	size_t		len = 0;

	epoch_enter();
	for (const SubNode *n = sub_at(&sub_table->worker[l->worker].bucket[l->bucket]); n != NULL; n = sub_at(&n->next))
	{
		if (n->kind != kind || (pattern != NULL && !pattern_match(pattern->data, pattern->len, (const char *) n->name, n->len, false)) ||
			listed_before(n, l->worker))
			continue;
		if (len + 4 + n->len <= l->size)
		{
			memcpy(l->names + len, &n->len, 4);
			memcpy(l->names + len + 4, n->name, n->len);
		}
		len += 4 + n->len;
	}
	epoch_leave();
	return len;
}

/* list_bucket -- appends one bucket's names. */
static void
list_bucket(Session *s, ListState *l, SubKind kind, const BytePart *pattern)
{
	size_t		len;

	while ((len = bucket_names(l, kind, pattern)) > l->size)
	{
		l->size = Max(len * 2, LIST_BYTES_MIN);
		free(l->names);
		l->names = malloc(l->size);
		Verify(l->names != NULL);
	}
	for (size_t at = 0; at < len;)
	{
		uint32		n;

		memcpy(&n, l->names + at, 4);
		if (!output_room(&s->out, n))
			return;
		reply_bulk(&s->out, l->names + at + 4, n);
		l->count++;
		at += 4 + n;
	}
}

static TcopResult
list_names(Session *s, SubKind kind)
{
	const BytePart *pattern = s->argc == 3 ? &s->argv[2] : NULL;
	ListState  *l = s->state;
	uint8		header[24];

	if (s->argc > 3)
	{
		tcop__error_help(s);
		return TCOP_DONE;
	}
	if (l == NULL)
	{
		l = tcop__state(s, sizeof(ListState), list_free);
		l->begin = output_begin(&s->out);
	}
	for (uint32 n = 0; l->worker < sub_table->workers && !s->out.overflow; n++)
	{
		if (n == BUCKETS_PER_RUN)
			return TCOP_AGAIN;
		if ((sub_workers() >> l->worker & 1) != 0)
			list_bucket(s, l, kind, pattern);
		else
			l->bucket = SUB_BUCKETS - 1;
		if (++l->bucket == SUB_BUCKETS)
		{
			l->bucket = 0;
			l->worker++;
		}
	}
	output_insert(&s->out, l->begin, header, reply_header(header, '*', l->count));
	output_end(&s->out, l->begin);
	return TCOP_DONE;
}

/* subscribers -- of a channel by its name, over all workers. */
static uint64
subscribers(SubKind kind, const BytePart *name)
{
	uint64		hash = sub_hash(kind, name->data, name->len);
	uint64		count = 0;

	epoch_enter();
	for (uint32 w = 0; w < sub_table->workers; w++)
	{
		const SubNode *n = sub_find(w, kind, hash, name->data, name->len);

		count += n != NULL ? sub_clients(n) : 0;
	}
	epoch_leave();
	return count;
}

static TcopResult
list_numbers(Session *s, SubKind kind)
{
	if (tcop__too_many(s))
		return TCOP_DONE;
	reply_array(&s->out, (s->argc - 2) * 2);
	for (uint32 i = 2; i < s->argc; i++)
	{
		reply_bulk(&s->out, s->argv[i].data, s->argv[i].len);
		reply_int(&s->out, (int64) subscribers(kind, &s->argv[i]));
	}
	return TCOP_DONE;
}

TcopResult
tcop__pubsub_channels(Session *s)
{
	return list_names(s, SUB_CHANNEL);
}

TcopResult
tcop__pubsub_shardchannels(Session *s)
{
	return list_names(s, SUB_SHARD);
}

TcopResult
tcop__pubsub_numsub(Session *s)
{
	return list_numbers(s, SUB_CHANNEL);
}

TcopResult
tcop__pubsub_shardnumsub(Session *s)
{
	return list_numbers(s, SUB_SHARD);
}

TcopResult
tcop__pubsub_numpat(Session *s)
{
	uint64		count = 0;

	epoch_enter();
	for (uint32 w = 0; w < sub_table->workers; w++)
		for (const SubNode *n = sub_at(&sub_table->worker[w].patterns); n != NULL; n = sub_at(&n->next_pattern))
			count += !listed_before(n, w);
	epoch_leave();
	reply_int(&s->out, (int64) count);
	return TCOP_DONE;
}
