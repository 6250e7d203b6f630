/*
 * effects.c -- what a command tells others once it is done: keyspace notifications
 * and invalidations (tracking.c).
 *
 * They are collected in private memory while the command runs, in the order of the
 * changes, forgotten when it begins anew, and sent when it has ended, with the
 * session's gate: so no subscriber learns of a write before it is durable, none
 * learns of one that did not happen, and of a transaction only once it is committed.
 * EXEC sends them in portions, what its commands do themselves in between (multi.c).
 *
 * With notifications off and nobody tracking a change costs a load of this process'
 * own memory and two of a line that is seldom written.  A command that is no transaction and goes on for many
 * turns (thousands of keys) sends what it has as it gets on.
 */
#include "common/c.h"
#include "tcop/message.h"
#include "tcop/multi.h"
#include "tcop/tcop_internal.h"
#include "utils/settings.h"

#define EFFECTS_SEND_BYTES (256 * KIB)	/* outside a transaction: more than this does not wait for the end */
#define EFFECTS_KEEP_BYTES (64 * KIB)
#define CHANNEL_ROOM 64			/* for "__keyspace@15__:" or an event's name in front of a key */

/* classes of events that only the setting knows: other types than strings, and where to send */
enum
{
	NOTIFY_LIST = 1 << 16,
	NOTIFY_SET = 1 << 17,
	NOTIFY_HASH = 1 << 18,
	NOTIFY_ZSET = 1 << 19,
	NOTIFY_STREAM = 1 << 20,
	NOTIFY_MODULE = 1 << 21,
	NOTIFY_KEYSPACE = 1 << 22,
	NOTIFY_KEYEVENT = 1 << 23
};

/* in the order in which Redis tells them; with all of A it does not tell n */
static const struct { char letter; uint32 flag; } letters[] = {
	{'g', NOTIFY_GENERIC}, {'$', NOTIFY_STRING}, {'l', NOTIFY_LIST}, {'s', NOTIFY_SET}, {'h', NOTIFY_HASH},
	{'z', NOTIFY_ZSET}, {'x', NOTIFY_EXPIRED}, {'e', NOTIFY_EVICTED}, {'t', NOTIFY_STREAM}, {'d', NOTIFY_MODULE},
	{'n', NOTIFY_NEW}, {'K', NOTIFY_KEYSPACE}, {'E', NOTIFY_KEYEVENT}, {'m', NOTIFY_KEY_MISS}
};

#define NOTIFY_ALL (NOTIFY_GENERIC | NOTIFY_STRING | NOTIFY_LIST | NOTIFY_SET | NOTIFY_HASH | NOTIFY_ZSET | \
					NOTIFY_EXPIRED | NOTIFY_EVICTED | NOTIFY_STREAM | NOTIFY_MODULE)

uint32		tcop__notify_wanted;
static uint32 notify_where;		/* NOTIFY_KEYSPACE, NOTIFY_KEYEVENT */
static char notify_setting[SETTING_VALUE_MAX];	/* that the two above were made from */

/* Effect -- one of them, followed by the key, padded to 8 */
typedef struct Effect
{
	enum { EFFECT_EVENT = 1, EFFECT_CHANGED = 2, EFFECT_FLUSHED = 4 } what;	/* the first two may go together */
	uint32		db;
	const char *event;
	uint64		key_len;
} Effect;

struct Effects
{
	uint8	   *data;
	size_t		sent;
	size_t		last;			/* the last one; len: none that the next could repeat */
	size_t		len;
	size_t		size;
};

static struct Effects *spare;	/* of the last command that had any */

/* ---- the setting ---- */
bool
notify_parse(const char *text, uint32 *flags)
{
	*flags = 0;
	for (; *text != '\0'; text++)
	{
		uint32		flag = *text == 'A' ? NOTIFY_ALL : 0;

		for (size_t i = 0; i < lengthof(letters); i++)
			if (letters[i].letter == *text)
				flag = letters[i].flag;
		if (flag == 0)
			return false;
		*flags |= flag;
	}
	return true;
}

void
notify_format(uint32 flags, char *text)
{
	bool		all = (flags & NOTIFY_ALL) == NOTIFY_ALL;

	if (all)
		*text++ = 'A';
	for (size_t i = 0; i < lengthof(letters); i++)
		if ((flags & letters[i].flag) != 0 && !(all && (letters[i].flag & (NOTIFY_ALL | NOTIFY_NEW)) != 0))
			*text++ = letters[i].letter;
	*text = '\0';
}

void
notify_turn(void)
{
	uint32		flags;

	if (likely(strcmp(notify_setting, set_notify_keyspace_events) == 0))
		return;
	snprintf(notify_setting, sizeof(notify_setting), "%s", set_notify_keyspace_events);
	if (!notify_parse(notify_setting, &flags))
		NotReached();			/* settings have checked it */
	notify_where = flags & (NOTIFY_KEYSPACE | NOTIFY_KEYEVENT);
	tcop__notify_wanted = notify_where != 0 ? flags & ~notify_where : 0;
}

/* ---- collecting ---- */

/* note -- room for one more, its key behind it. */
static void
note(Session *s, const Effect *effect, const void *key)
{
	size_t		need = AlignUp(sizeof(Effect) + effect->key_len, 8);
	struct Effects *e = s->effects;
	uint8	   *to;

	if (e == NULL)
	{
		e = spare != NULL ? spare : calloc(1, sizeof(struct Effects));
		Verify(e != NULL);
		spare = NULL;
		s->effects = e;
	}
	if (e->len + need > e->size)
	{
		e->size = Max((e->len + need) * 2, (size_t) 4096);
		e->data = realloc(e->data, e->size);
		Verify(e->data != NULL);
	}
	e->last = e->len;
	to = e->data + e->len;
	memcpy(to, effect, sizeof(Effect));
	to += sizeof(Effect);
	if (effect->key_len > 0)
		memcpy(to, key, effect->key_len);
	e->len += need;
}

/* repeated -- does the last effect say already that this key has changed? */
static bool
repeated(const struct Effects *e, const StoreKey *key)
{
	Effect		last;

	if (e == NULL || e->last >= e->len)
		return false;
	memcpy(&last, e->data + e->last, sizeof(last));
	return (last.what & EFFECT_CHANGED) != 0 && last.key_len == key->len &&
		memcmp(e->data + e->last + sizeof(last), key->data, key->len) == 0;
}

void
tcop__notify_note(Session *s, uint32 type, const char *event, const StoreKey *key)
{
	Effect		effect = {.event = event, .db = key->db, .key_len = key->len};

	/* within EXEC somebody may listen by the time it is told: EXEC itself may SUBSCRIBE */
	if ((tcop__notify_wanted & type) != 0 && (sub_workers() != 0 || tcop__multi_running(s)))
		effect.what |= EFFECT_EVENT;
	/* who changes a key says so twice now and then: it is set, and it expires */
	if ((type & (NOTIFY_NEW | NOTIFY_KEY_MISS)) == 0 && message_tracked() && !repeated(s->effects, key))
		effect.what |= EFFECT_CHANGED;
	if (effect.what == 0)
		return;
	note(s, &effect, key->data);
	if (unlikely(s->effects->len > EFFECTS_SEND_BYTES) && store_txn_in_use() == NULL)
		tcop__effects_send(s);
}

void
tcop__effects_flushed(Session *s)
{
	const Effect effect = {.what = EFFECT_FLUSHED};

	if (message_tracked())
		note(s, &effect, NULL);
}

/* ---- sending ---- */
void
notify_publish(uint32 db, const char *event, const BytePart *key, Lsn gate)
{
	static uint8 name[CHANNEL_ROOM + KEY_USER_MAX];
	const BytePart event_part = {event, strlen(event)};
	BytePart	channel = {name, 0};

	if ((notify_where & NOTIFY_KEYSPACE) != 0)
	{
		size_t		n = (size_t) snprintf((char *) name, CHANNEL_ROOM, "__keyspace@%u__:", db);

		if (key->len > 0)		/* nothing may be NULL */
			memcpy(name + n, key->data, key->len);
		channel.len = n + key->len;
		message_publish(SUB_CHANNEL, &channel, &event_part, gate);
	}
	if ((notify_where & NOTIFY_KEYEVENT) != 0)
	{
		channel.len = (size_t) snprintf((char *) name, sizeof(name), "__keyevent@%u__:%s", db, event);
		message_publish(SUB_CHANNEL, &channel, key, gate);
	}
}

size_t
tcop__effects_noted(Session *s)
{
	struct Effects *e = s->effects;

	if (e == NULL)
		return 0;
	e->last = e->len;			/* what comes next is told by itself: something else may happen in between */
	return e->len;
}

void
tcop__effects_send_upto(Session *s, size_t end)
{
	struct Effects *e = s->effects;

	if (e == NULL)
		return;
	while (e->sent < end)
	{
		Effect		effect;
		BytePart	key;

		memcpy(&effect, e->data + e->sent, sizeof(effect));
		key = (BytePart) {e->data + e->sent + sizeof(effect), effect.key_len};
		if ((effect.what & EFFECT_EVENT) != 0)
			notify_publish(effect.db, effect.event, &key, s->gate);
		if ((effect.what & EFFECT_CHANGED) != 0)
			tracking_publish(&key, s->id, s->gate);
		if ((effect.what & EFFECT_FLUSHED) != 0)
			tracking_publish_all(s->gate);
		e->sent += AlignUp(sizeof(Effect) + effect.key_len, 8);
	}
}

void
tcop__effects_send(Session *s)
{
	tcop__effects_send_upto(s, tcop__effects_noted(s));
	tcop__effects_drop(s);
}

void
tcop__effects_drop(Session *s)
{
	struct Effects *e = s->effects;

	if (e == NULL)
		return;
	s->effects = NULL;
	e->sent = e->last = e->len = 0;
	if (spare == NULL && e->size <= EFFECTS_KEEP_BYTES)
	{
		spare = e;
		return;
	}
	free(e->data);
	free(e);
}
