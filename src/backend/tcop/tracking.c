/*
 * tracking.c -- CLIENT TRACKING: telling clients that what they keep in a cache of
 * their own has changed.
 *
 * A worker remembers in private memory which of its clients has read which key
 * (Cached).  In the segment stands a table of slots, chosen by the key's hash: a bit
 * per worker that has remembered any key of that slot.  Whoever has changed a key
 * looks at its slot and tells the workers named there, by the bus; each looks the
 * key up among its own, tells those who have read it, and forgets them: a client
 * that reads again is remembered again.  Clients with BCAST are told of every key
 * with one of their prefixes, whether they have read it or not.
 *
 * Never too little is told:
 *   - A reader is remembered, and its worker's bit set, before the read; the reader's
 *     epoch begins with a fence.  A writer publishes, then a fence, then looks at the
 *     slot.  If the reader has seen the old value, its fence stands before the
 *     writer's, and the writer sees the bit.  A command that parks is remembered
 *     again at each run, for an invalidation in between has forgotten it.
 *   - What others have to do for it is done only while somebody wants it (words
 *     'trackers' and 'broadcasts', one load for a writer).  Before CLIENT TRACKING ON
 *     is answered by a worker that had no such client, a grace period passes: a write
 *     that did not see the word has been published by then.
 *   - What does not fit is told, not forgotten: a table that is full, or a key with
 *     too many readers, invalidates what it drops.
 * Too much is told now and then (slots are shared, clients have gone): harmless.
 * What is read in a snapshot is no copy of the present, and is not remembered.
 *
 * Invalidations have the gate of the command that caused them, like notifications,
 * and follow the reply of a command that is under way.
 */
#include "common/c.h"
#include "storage/ipc/epoch.h"
#include "tcop/message.h"
#include "tcop/multi.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"

#define TRACKING_KEYS_MAX (256 * 1024)	/* that one worker remembers */
#define TRACKING_READERS_MAX 1024	/* of one key, in one worker */
#define TRACKING_BUCKETS (64 * 1024)
#define DROPS_PER_TURN 1024		/* when nobody tracks any more */
#define GRACE_STEP_US 50
#define CHANNEL_NAME "__redis__:invalidate"

/* Reader -- a client that has read a key; its place in the client table finds it */
typedef struct Reader
{
	uint64		id;
	uint32		place;
} Reader;

typedef struct Cached
{
	struct Cached *next;		/* in its bucket */
	uint64		hash;
	Reader	   *readers;
	uint32		count;
	uint32		size;
	uint32		len;
	uint8		key[];
} Cached;

struct Tracking
{
	bool		bcast;
	bool		optin;
	bool		optout;
	bool		noloop;
	bool		caching;		/* CLIENT CACHING was said for the next command */
	bool		broken;			/* the client that it redirects to is gone */
	uint64		redirect;		/* id; 0: nobody */
	uint32		redirect_place;
	uint32		place;			/* in 'trackers' */
	BytePart   *prefixes;		/* with BCAST: one at least */
	uint32		prefix_count;
};

static Session **trackers;		/* clients of this worker with tracking on */
static uint32 trackers_count;
static uint32 trackers_size;
static uint32 bcast_count;		/* of those, with BCAST */
static bool announced;			/* others know that we have one */
static bool grace_passed;		/* ... and have known for a grace period */
static uint64 grace;

static Cached **buckets;
static uint32 *slot_keys;		/* by slot: keys remembered */
static uint32 cached_count;
static uint64 items_count;		/* readers of all of them */
static uint64 prefix_count;		/* of all clients with BCAST */
static uint32 hand;				/* bucket from which on the next is dropped when there is no room */

TrackingShared *tracking_shared;

size_t
tracking_shared_size(void)
{
	return sizeof(TrackingShared);
}

/* tell_figures -- INFO shows them. */
static void
tell_figures(void)
{
	figure_set(&stats_mine->tracking_clients, trackers_count);
	figure_set(&stats_mine->tracking_keys, cached_count);
	figure_set(&stats_mine->tracking_items, items_count);
	figure_set(&stats_mine->tracking_prefixes, prefix_count);
}

/* ---- what is remembered ---- */
static uint64
key_hash(const BytePart *key)
{
	return sub_hash(SUB_CHANNEL, key->data, key->len);
}

static uint32
slot_of(uint64 hash)
{
	return (uint32) (hash >> 32) & (TRACKING_SLOTS - 1);
}

static Cached **
bucket_of(uint64 hash)
{
	return &buckets[hash & (TRACKING_BUCKETS - 1)];
}

static Cached *
cached_find(uint64 hash, const BytePart *key)
{
	Cached	   *c = cached_count > 0 ? *bucket_of(hash) : NULL;

	while (c != NULL && (c->hash != hash || c->len != key->len || memcmp(c->key, key->data, key->len) != 0))
		c = c->next;
	return c;
}

static void
cached_drop(Cached *c)
{
	Cached	  **link = bucket_of(c->hash);
	uint32		slot = slot_of(c->hash);

	while (*link != c)
		link = &(*link)->next;
	*link = c->next;
	if (--slot_keys[slot] == 0)
		/* relaxed: one that still sees it tells us in vain */
		atomic_fetch_and_explicit(&tracking_shared->slot[slot], ~(UINT64_C(1) << message_worker), memory_order_relaxed);
	cached_count--;
	items_count -= c->count;
	free(c->readers);
	free(c);
	tell_figures();
}

/* ---- telling a client ---- */

/* put_invalidation -- to the client that is to hear it, itself or the one it redirects to; key NULL: all keys. */
static void
put_invalidation(Session *s, const BytePart *key, bool redirected, Lsn gate)
{
	Output	   *o;

	if (s->out.proto < 3 && !(redirected && pubsub_listens(s)))
		return;					/* in RESP2 there is no way to tell it */
	o = message_push_begin(s, 96 + (key != NULL ? key->len : 0));
	if (o == NULL)
		return;
	reply_push(o, o->proto < 3 ? 3 : 2);
	if (o->proto < 3)
	{
		reply_text(o, "message");
		reply_text(o, CHANNEL_NAME);
	}
	else
		reply_text(o, "invalidate");
	if (key == NULL)
		reply_null(o);
	else
	{
		reply_array(o, 1);
		reply_bulk(o, key->data, key->len);
	}
	message_push_end(s, gate);
}

/* redirect_broken -- the client that should hear it is gone: the one that tracks is told so. */
static void
redirect_broken(Session *s)
{
	Output	   *o;

	s->tracking->broken = true;
	/* relaxed: flags for people; ours to write */
	atomic_fetch_or_explicit(&s->entry->flags, CLIENT_FLAG_REDIRECT_BROKEN, memory_order_relaxed);
	if (s->out.proto < 3 || (o = message_push_begin(s, 96)) == NULL)
		return;
	reply_push(o, 2);
	reply_text(o, "tracking-redir-broken");
	reply_int(o, (int64) s->tracking->redirect);
	message_push_end(s, LSN_NONE);
}

/* tell -- a client that tracks; key NULL: all keys. */
static void
tell(Session *s, const BytePart *key, Lsn gate)
{
	Tracking   *t = s->tracking;
	ClientEntry *e;
	uint32		worker;
	Reader		target = {.id = t->redirect, .place = t->redirect_place};
	BusMessage	m = {.type = BUS_REDIRECTED, .gate = gate, .detail = key == NULL, .a = {&target, sizeof(target)}};

	if (t->redirect == 0)
	{
		put_invalidation(s, key, false, gate);
		return;
	}
	e = &client_table->entry[t->redirect_place];
	if (atomic_load_explicit(&e->id, memory_order_acquire) != t->redirect)	/* acquire [client-id] */
	{
		redirect_broken(s);
		return;
	}
	worker = atomic_load_explicit(&e->worker, memory_order_relaxed);	/* relaxed: constant while the id stands */
	if (key != NULL)
		m.b = *key;
	if (worker == message_worker)
		tracking_redirected(&m);
	else
		bus_send(message_bus, worker, &m);
}

void
tracking_redirected(const BusMessage *m)
{
	Reader		target;
	Session    *s;

	memcpy(&target, m->a.data, sizeof(target));
	s = message_session(target.place, target.id);
	if (s != NULL)
		put_invalidation(s, m->detail != 0 ? NULL : &m->b, true, m->gate);
}

/* ---- a key has changed ---- */

/* tell_readers -- of one key; it is forgotten then.  'writer': id of the client that changed it. */
static uint64
tell_readers(Cached *c, uint64 writer, Lsn gate)
{
	const BytePart key = {c->key, c->len};
	uint64		told = c->count;

	for (uint32 i = 0; i < c->count; i++)
	{
		Session    *s = message_session(c->readers[i].place, c->readers[i].id);

		if (s != NULL && s->tracking != NULL && !s->tracking->bcast && !(s->tracking->noloop && s->id == writer))
			tell(s, &key, gate);
	}
	cached_drop(c);
	return told;
}

static bool
prefix_fits(const Tracking *t, const BytePart *key)
{
	for (uint32 i = 0; i < t->prefix_count; i++)
		if (t->prefixes[i].len <= key->len && memcmp(t->prefixes[i].data, key->data, t->prefixes[i].len) == 0)
			return true;
	return false;
}

uint64
tracking_deliver(const BytePart *key, uint64 writer, Lsn gate)
{
	Cached	   *c = cached_find(key_hash(key), key);
	uint64		told = c != NULL ? tell_readers(c, writer, gate) : 0;

	for (uint32 i = 0; bcast_count > 0 && i < trackers_count; i++)
	{
		Tracking   *t = trackers[i]->tracking;

		if (t->bcast && !(t->noloop && trackers[i]->id == writer) && prefix_fits(t, key))
		{
			tell(trackers[i], key, gate);
			told++;
		}
	}
	return told;
}

uint64
tracking_deliver_all(Lsn gate)
{
	for (uint32 i = 0; i < trackers_count; i++)
		tell(trackers[i], NULL, gate);
	return trackers_count;
}

static void
send_to(uint64 workers, const BusMessage *m)
{
	for (; workers != 0; workers &= workers - 1)
	{
		uint32		w = (uint32) __builtin_ctzll(workers);

		if (w != message_worker)
			bus_send(message_bus, w, m);
		else if (m->type == BUS_INVALIDATE_ALL)
			tracking_deliver_all(m->gate);
		else
			tracking_deliver(&m->b, m->detail, m->gate);
	}
}

void
tracking_publish(const BytePart *key, uint64 writer, Lsn gate)
{
	const BusMessage m = {.type = BUS_INVALIDATE, .gate = gate, .detail = writer, .b = *key};
	uint64		workers;

	/* the key has been published before; see the essay */
	atomic_thread_fence(memory_order_seq_cst);	/* seq_cst [tracking-slot] with remember, and its reader's epoch_enter */
	/* relaxed: the fence orders it */
	workers = atomic_load_explicit(&tracking_shared->slot[slot_of(key_hash(key))], memory_order_relaxed);
	workers |= atomic_load_explicit(&message_shared->broadcasts, memory_order_relaxed);	/* relaxed: as above */
	send_to(workers, &m);
}

void
tracking_publish_all(Lsn gate)
{
	const BusMessage m = {.type = BUS_INVALIDATE_ALL, .gate = gate};

	/* relaxed: whoever began to track meanwhile has read nothing of before */
	send_to(atomic_load_explicit(&message_shared->trackers, memory_order_relaxed) |
			atomic_load_explicit(&message_shared->broadcasts, memory_order_relaxed), &m);
}

/* tracking_lost -- invalidations may have been lost: those who track are closed. */
void
tracking_lost(void)
{
	for (uint32 i = 0; i < trackers_count; i++)
		message_close(trackers[i]);
}

/* ---- a client reads ---- */

/* make_room -- one key more will be remembered. */
static void
make_room(void)
{
	if (buckets == NULL)
	{
		buckets = calloc(TRACKING_BUCKETS, sizeof(*buckets));
		slot_keys = calloc(TRACKING_SLOTS, sizeof(*slot_keys));
		Verify(buckets != NULL && slot_keys != NULL);
	}
	while (cached_count >= TRACKING_KEYS_MAX)
	{
		hand = (hand + 1) & (TRACKING_BUCKETS - 1);
		if (buckets[hand] != NULL)
			tell_readers(buckets[hand], 0, LSN_NONE);
	}
}

static Cached *
cached_new(uint64 hash, const BytePart *key)
{
	Cached	   *c = calloc(1, sizeof(Cached) + key->len);
	uint32		slot = slot_of(hash);
	Cached	  **bucket = bucket_of(hash);

	Verify(c != NULL);
	c->hash = hash;
	c->len = (uint32) key->len;
	if (key->len > 0)			/* nothing may be NULL */
		memcpy(c->key, key->data, key->len);
	c->next = *bucket;
	*bucket = c;
	cached_count++;
	if (slot_keys[slot]++ == 0)
		/* seq_cst [tracking-slot] with tracking_publish: the bit before the read that follows */
		atomic_fetch_or_explicit(&tracking_shared->slot[slot], UINT64_C(1) << message_worker, memory_order_seq_cst);
	return c;
}

/* remember -- this client is about to read this key. */
static void
remember(Session *s, const BytePart *key)
{
	uint64		hash = key_hash(key);
	Cached	   *c;

	make_room();
	c = cached_find(hash, key);
	for (uint32 i = 0; c != NULL && i < c->count; i++)
		if (c->readers[i].id == s->id)
			return;
	if (c != NULL && c->count == TRACKING_READERS_MAX)
	{
		tell_readers(c, 0, LSN_NONE);
		c = NULL;
	}
	if (c == NULL)
		c = cached_new(hash, key);
	if (c->count == c->size)
	{
		c->size = c->size * 2 + 1;
		c->readers = realloc(c->readers, c->size * sizeof(Reader));
		Verify(c->readers != NULL);
	}
	c->readers[c->count++] = (Reader) {s->id, message_place(s)};
	items_count++;
	tell_figures();
}

/* keys_read -- 'what' with each key that the session's command reads by name and its client is to be told of. */
static void
keys_read(Session *s, bool opted, void (*what)(Session *s, const BytePart *key))
{
	const Tracking *t = s->tracking;
	const Command *c = s->command;
	uint32		last;

	if (t->bcast || (c->flags & CMD_READONLY) == 0 || c->first_key <= 0 || s->snapshot != NULL ||
		(t->optin && !opted) || (t->optout && opted))
		return;
	last = c->last_key >= 0 ? (uint32) c->last_key : s->argc - (uint32) -c->last_key;
	for (uint32 i = (uint32) c->first_key; i <= last && i < s->argc; i += (uint32) Max(c->key_step, 1))
		if (s->argv[i].len <= KEY_USER_MAX)
			what(s, &s->argv[i]);
}

void
tracking_before(Session *s, bool caching_follows)
{
	const Tracking *t = s->tracking;

	keys_read(s, caching_follows ? t->optin : t->caching, remember);
}

static void
tell_it(Session *s, const BytePart *key)
{
	tell(s, key, LSN_NONE);
}

void
tracking_too_late(Session *s)
{
	keys_read(s, s->tracking->caching, tell_it);
}

void
tracking_after(Session *s)
{
	/* what CLIENT CACHING said is for one command, or for all of a transaction */
	if (s->tracking->caching && strncmp(s->command->name, "client|", 7) != 0 && !tcop__multi_open(s))
		s->tracking->caching = false;
}

void
tracking_turn(void)
{
	/* nobody tracks any more: what was remembered goes, some of it each turn */
	for (uint32 n = 0; trackers_count == 0 && cached_count > 0 && n < DROPS_PER_TURN; n++)
	{
		hand = (hand + 1) & (TRACKING_BUCKETS - 1);
		while (buckets[hand] != NULL)
			cached_drop(buckets[hand]);
	}
}

/* ---- on and off ---- */
static void
tell_others(void)
{
	uint64		bit = UINT64_C(1) << message_worker;

	if (trackers_count == 0)
		announced = false;
	/* relaxed: a grace period follows before anybody relies on it */
	if (trackers_count > 0)
		atomic_fetch_or_explicit(&message_shared->trackers, bit, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&message_shared->trackers, ~bit, memory_order_relaxed);
	if (bcast_count > 0)
		atomic_fetch_or_explicit(&message_shared->broadcasts, bit, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&message_shared->broadcasts, ~bit, memory_order_relaxed);
}

static void
tell_people(Session *s)
{
	const Tracking *t = s->tracking;
	uint32		flags = t == NULL ? 0 : CLIENT_FLAG_TRACKING | (t->bcast ? CLIENT_FLAG_BCAST : 0) |
		(t->broken ? CLIENT_FLAG_REDIRECT_BROKEN : 0);

	/* relaxed: for people; ours to write */
	atomic_fetch_and_explicit(&s->entry->flags, ~(uint32) (CLIENT_FLAG_TRACKING | CLIENT_FLAG_BCAST | CLIENT_FLAG_REDIRECT_BROKEN),
							  memory_order_relaxed);
	atomic_fetch_or_explicit(&s->entry->flags, flags, memory_order_relaxed);
	atomic_store_explicit(&s->entry->redirect, t == NULL ? UINT64_MAX : t->redirect, memory_order_relaxed);
}

static void
prefixes_free(BytePart *prefixes, uint32 count)
{
	for (uint32 i = 0; i < count; i++)
		free((void *) prefixes[i].data);
	free(prefixes);
}

void
tracking_drop(Session *s)
{
	Tracking   *t = s->tracking;

	if (t == NULL)
		return;
	trackers[t->place] = trackers[--trackers_count];
	trackers[t->place]->tracking->place = t->place;
	bcast_count -= t->bcast;
	prefix_count -= t->prefix_count;
	prefixes_free(t->prefixes, t->prefix_count);
	free(t);
	s->tracking = NULL;
	tell_figures();
	tell_people(s);
	tell_others();
}

/* Options -- CLIENT TRACKING's */
typedef struct Options
{
	bool		on;
	bool		bcast;
	bool		optin;
	bool		optout;
	bool		noloop;
	uint64		redirect;
	uint32		redirect_place;
	BytePart   *prefixes;		/* the client's words */
	uint32		prefix_count;
} Options;

/* find_client -- its place in the client table; false: there is none with this id. */
static bool
find_client(uint64 id, uint32 *place)
{
	for (*place = 0; id != 0 && *place < client_table->entry_count; ++*place)
		if (atomic_load_explicit(&client_table->entry[*place].id, memory_order_acquire) == id)	/* acquire [client-id] */
			return true;
	return false;
}

/* option -- word *i and what belongs to it; false: the error is answered. */
static bool
option(Session *s, Options *o, uint32 *i)
{
	bool		more = *i + 1 < s->argc;
	int64		id;

	if (tcop__arg_is(s, *i, "redirect") && more)
	{
		if (o->redirect != 0)
			reply_error(&s->out, "ERR A client can only redirect to a single other client");
		else if (!tcop__arg_int(s, ++*i, &id, NULL))
			return false;
		else if (id <= 0 || !find_client((uint64) id, &o->redirect_place))
			reply_error(&s->out, "ERR The client ID you want redirect to does not exist");
		else
		{
			o->redirect = (uint64) id;
			return true;
		}
		return false;
	}
	if (tcop__arg_is(s, *i, "prefix") && more)
		o->prefixes[o->prefix_count++] = s->argv[++*i];
	else if (tcop__arg_is(s, *i, "bcast"))
		o->bcast = true;
	else if (tcop__arg_is(s, *i, "optin"))
		o->optin = true;
	else if (tcop__arg_is(s, *i, "optout"))
		o->optout = true;
	else if (tcop__arg_is(s, *i, "noloop"))
		o->noloop = true;
	else
	{
		tcop__error_syntax(s);
		return false;
	}
	return true;
}

static bool
overlap(const BytePart *a, const BytePart *b)
{
	return memcmp(a->data, b->data, Min(a->len, b->len)) == 0;
}

/* prefixes_good -- none that overlaps another, of these or of those that the client has; false: the error is answered. */
static bool
prefixes_good(Session *s, const Options *o)
{
	const Tracking *t = s->tracking;

	for (uint32 i = 0; i < o->prefix_count; i++)
	{
		const BytePart *p = &o->prefixes[i];
		const char *which = NULL;
		const BytePart *other = NULL;

		for (uint32 j = 0; t != NULL && j < t->prefix_count && which == NULL; j++)
			if (overlap(p, &t->prefixes[j]))
			{
				which = "an existing";
				other = &t->prefixes[j];
			}
		for (uint32 j = i + 1; j < o->prefix_count && which == NULL; j++)
			if (overlap(p, &o->prefixes[j]))
			{
				which = "another provided";
				other = &o->prefixes[j];
			}
		if (which == NULL)
			continue;
		reply_error(&s->out, "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single client must not overlap.",
					(int) Min(p->len, (size_t) 128), (const char *) p->data, which,
					(int) Min(other->len, (size_t) 128), (const char *) other->data);
		return false;
	}
	return true;
}

/* options_good -- do they go together, and with what is on already?  False: the error is answered. */
static bool
options_good(Session *s, const Options *o)
{
	const Tracking *t = s->tracking;
	const char *error = NULL;

	if (!o->bcast && o->prefix_count > 0)
		error = "PREFIX option requires BCAST mode to be enabled";
	else if (t != NULL && t->bcast != o->bcast)
		error = "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with "
			"a different mode.";
	else if (o->bcast && (o->optin || o->optout))
		error = "OPTIN and OPTOUT are not compatible with BCAST";
	else if (o->optin && o->optout)
		error = "You can't specify both OPTIN mode and OPTOUT mode";
	else if (t != NULL && ((o->optin && t->optout) || (o->optout && t->optin)))
		error = "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with "
			"a different mode.";
	if (error == NULL)
		return prefixes_good(s, o);
	reply_error(&s->out, "ERR %s", error);
	return false;
}

static bool
has_empty_prefix(const Tracking *t)
{
	for (uint32 i = 0; i < t->prefix_count; i++)
		if (t->prefixes[i].len == 0)
			return true;
	return false;
}

static void
turn_on(Session *s, Options *o)
{
	Tracking   *t = s->tracking;

	if (t == NULL)
	{
		if (trackers_count == trackers_size)
		{
			trackers_size = trackers_size * 2 + 4;
			trackers = realloc(trackers, trackers_size * sizeof(Session *));
			Verify(trackers != NULL);
		}
		t = calloc(1, sizeof(Tracking));
		Verify(t != NULL);
		t->place = trackers_count;
		t->bcast = o->bcast;
		bcast_count += o->bcast;
		trackers[trackers_count++] = s;
		s->tracking = t;
	}
	t->optin = o->optin;
	t->optout = o->optout;
	t->noloop = o->noloop;
	t->caching = false;
	t->broken = false;
	t->redirect = o->redirect;
	t->redirect_place = o->redirect_place;
	if (t->bcast && o->prefix_count == 0 && !has_empty_prefix(t))
		o->prefixes[o->prefix_count++] = (BytePart) {"", 0};	/* every key has it */
	if (o->prefix_count > 0)
	{
		t->prefixes = realloc(t->prefixes, (t->prefix_count + o->prefix_count) * sizeof(BytePart));
		Verify(t->prefixes != NULL);
	}
	for (uint32 i = 0; i < o->prefix_count; i++)
	{
		uint8	   *copy = malloc(o->prefixes[i].len + 1);

		Verify(copy != NULL);
		if (o->prefixes[i].len > 0)
			memcpy(copy, o->prefixes[i].data, o->prefixes[i].len);
		t->prefixes[t->prefix_count++] = (BytePart) {copy, o->prefixes[i].len};
	}
	prefix_count += o->prefix_count;
	tell_figures();
	tell_people(s);
	tell_others();
}

/* others_know -- has a grace period passed since this worker first said that it tracks? */
static bool
others_know(void)
{
	if (!announced)
	{
		announced = true;
		grace_passed = false;
		grace = epoch_grace_start();
	}
	if (!grace_passed)
		grace_passed = epoch_grace_passed(grace);
	return grace_passed;
}

TcopResult
tcop__client_tracking(Session *s)
{
	BytePart	prefixes[TCOP_WORDS_MAX];
	Options		o = {.on = tcop__arg_is(s, 2, "on"), .prefixes = prefixes};

	if (s->step == 0)
	{
		if (tcop__too_many(s))
			return TCOP_DONE;
		for (uint32 i = 3; i < s->argc; i++)
			if (!option(s, &o, &i))
				return TCOP_DONE;
		if (!o.on && !tcop__arg_is(s, 2, "off"))
		{
			tcop__error_syntax(s);
			return TCOP_DONE;
		}
		if (!o.on)
			tracking_drop(s);
		else if (options_good(s, &o))
			turn_on(s, &o);
		else
			return TCOP_DONE;
		s->step = 1;
	}
	if (o.on && !others_know())
	{
		s->deadline_us = tcop_now_us + GRACE_STEP_US;
		return TCOP_LATER;
	}
	reply_ok(&s->out);
	return TCOP_DONE;
}

TcopResult
tcop__client_caching(Session *s)
{
	Tracking   *t = s->tracking;
	bool		yes = tcop__arg_is(s, 2, "yes");

	if (t == NULL)
		reply_error(&s->out, "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT "
					"mode enabled");
	else if (!yes && !tcop__arg_is(s, 2, "no"))
		tcop__error_syntax(s);
	else if (yes && !t->optin)
		reply_error(&s->out, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
	else if (!yes && !t->optout)
		reply_error(&s->out, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
	else
	{
		t->caching = true;
		reply_ok(&s->out);
	}
	return TCOP_DONE;
}

TcopResult
tcop__client_getredir(Session *s)
{
	reply_int(&s->out, s->tracking == NULL ? -1 : (int64) s->tracking->redirect);
	return TCOP_DONE;
}

TcopResult
tcop__client_trackinginfo(Session *s)
{
	const Tracking *t = s->tracking;
	const char *flags[8];
	uint32		n = 0;

	flags[n++] = t != NULL ? "on" : "off";
	if (t != NULL && t->bcast)
		flags[n++] = "bcast";
	if (t != NULL && t->optin)
		flags[n++] = "optin";
	if (t != NULL && t->optin && t->caching)
		flags[n++] = "caching-yes";
	if (t != NULL && t->optout)
		flags[n++] = "optout";
	if (t != NULL && t->optout && t->caching)
		flags[n++] = "caching-no";
	if (t != NULL && t->noloop)
		flags[n++] = "noloop";
	if (t != NULL && t->broken)
		flags[n++] = "broken_redirect";
	reply_map(&s->out, 3);
	reply_text(&s->out, "flags");
	reply_set(&s->out, n);
	for (uint32 i = 0; i < n; i++)
		reply_text(&s->out, flags[i]);
	reply_text(&s->out, "redirect");
	reply_int(&s->out, t == NULL ? -1 : (int64) t->redirect);
	reply_text(&s->out, "prefixes");
	reply_array(&s->out, t == NULL ? 0 : t->prefix_count);
	for (uint32 i = 0; t != NULL && i < t->prefix_count; i++)
		reply_bulk(&s->out, t->prefixes[i].data, t->prefixes[i].len);
	return TCOP_DONE;
}
