/*
 * prefix.c -- all keys with a prefix at once: COUNTPREFIX DELPREFIX RENAMEPREFIX.
 *
 * COUNTPREFIX is a walk that shows nothing.  A key that is there throughout is counted
 * once; one that comes or goes meanwhile is counted or not.  In a transaction or a
 * snapshot the number is that of one moment.
 *
 * DELPREFIX walks and deletes in turns: some keys are noted, then each is deleted as
 * DEL would, one write with its own record.  So it needs no memory and no log space to
 * speak of whatever the number of keys, and others are served in between; but it
 * is not atomic: what others put behind the place where it stands stays, and after a
 * crash or an error those that it came to are gone and the others are not.  In a
 * transaction it is part of that, all or nothing, with its limit.
 *
 * RENAMEPREFIX is one transaction.  All keys are noted first, and what can be refused
 * is refused, before anything is written: in EXEC, too, an error leaves nothing half
 * done.  Then each moves with its value and deadline.  Where one prefix begins
 * with the other a new name may be another key's old one: if the names grow, the
 * longest goes first, else the shortest, so that the place that a key moves to has
 * been left already.  Other keys at the new names are overwritten, as RENAME does.
 */
#include "common/c.h"

#include "tcop/tcop_internal.h"

#define BATCH_KEYS 512
#define BATCH_BYTES (2 * (KEY_USER_MAX + 2) + 32 * KIB)

/* ---- keys noted by a walk ---- */

/* KeyBatch -- keys one behind the other, each with its length in front */
typedef struct KeyBatch
{
	uint8	   *bytes;
	size_t		size;
	size_t		used;
	uint64		count;
	uint64		limit;			/* keys at most */
} KeyBatch;

/* note_key -- a walk's show function: stops before a key that does not fit. */
static StoreWalkNext
note_key(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg)
{
	KeyBatch   *b = arg;
	uint16		len = (uint16) key_len;

	(void) walk;
	(void) view;
	if (b->count == b->limit || b->size - b->used < sizeof(len) + key_len)
		return STORE_WALK_STOP_BEFORE;
	memcpy(b->bytes + b->used, &len, sizeof(len));
	memcpy(b->bytes + b->used + sizeof(len), key, key_len);
	b->used += sizeof(len) + key_len;
	b->count++;
	return STORE_WALK_ON;
}

/* batch_key -- the key at 'at', which moves behind it. */
static StoreKey
batch_key(const Session *s, const KeyBatch *b, size_t *at)
{
	StoreKey	key = {.db = s->db, .data = b->bytes + *at + sizeof(uint16)};
	uint16		len;

	memcpy(&len, b->bytes + *at, sizeof(len));
	key.len = len;
	*at += sizeof(len) + len;
	return key;
}

/* walk_start -- over the keys with this prefix; false: it is longer than any key. */
static bool
walk_start(const Session *s, StoreWalk *walk, const BytePart *prefix)
{
	walk->db = s->db;
	walk->from_edge = true;
	walk->expected = TCOP_WALK_STEPS;
	walk->done = prefix->len > KEY_USER_MAX;
	if (walk->done)
		return false;
	walk->prefix_len = (uint32) prefix->len;
	if (prefix->len > 0)
		memcpy(walk->prefix, prefix->data, prefix->len);
	return true;
}

/* ---- COUNTPREFIX ---- */

static StoreWalkNext
count_key(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg)
{
	(void) walk;
	(void) key;
	(void) key_len;
	(void) view;
	++*(int64 *) arg;
	return STORE_WALK_ON;
}

TcopResult
tcop__countprefix(Session *s)
{
	StoreWalk  *walk = s->state;

	if (walk == NULL)
	{
		walk = tcop__state(s, sizeof(StoreWalk), NULL);
		(void) walk_start(s, walk, &s->argv[1]);
	}
	for (int i = 0; !walk->done; i++)
	{
		TcopResult	result;
		StoreStatus status;

		if (i == TCOP_WALKS_PER_RUN)
			return TCOP_AGAIN;
		status = store_walk(walk, TCOP_WALK_STEPS, count_key, &s->count);
		s->gate = Max(s->gate, walk->gate);
		if (!tcop__status(s, status, &result))
			return result;
	}
	reply_int(&s->out, s->count);
	return TCOP_DONE;
}

/* ---- DELPREFIX ---- */

typedef struct Deleting
{
	StoreWalk	walk;
	int64		limit;			/* keys to delete at most; -1: no bound */
	KeyBatch	batch;
	size_t		at;				/* the next key of the batch */
	uint8		bytes[BATCH_BYTES];
} Deleting;

static StoreAction
decide_delete(const StoreView *view, StoreChange *change, void *arg)
{
	(void) change;
	(void) arg;
	return view->exists ? STORE_DELETE : STORE_KEEP;
}

/* delete_batch -- what is left of the keys noted; true: all of them. */
static bool
delete_batch(Session *s, Deleting *d, TcopResult *result)
{
	while (d->at < d->batch.used)
	{
		size_t		next = d->at;
		StoreKey	key = batch_key(s, &d->batch, &next);
		StoreWritten w;
		StoreStatus status = store_write_head(&key, decide_delete, NULL, &w);

		tcop__changed(s, &w);
		if (!tcop__status(s, status, result))
			return false;
		d->at = next;
		if (!w.changed)
			continue;
		s->count++;
		tcop__notify(s, NOTIFY_GENERIC, "del", &key);
	}
	return true;
}

/* delete_begin -- NULL: an error is answered. */
static Deleting *
delete_begin(Session *s)
{
	Deleting   *d;
	int64		limit = -1;

	if (s->argc != 2 && (s->argc != 4 || !tcop__arg_is(s, 2, "limit")))
	{
		tcop__error_syntax(s);
		return NULL;
	}
	if (s->argc == 4 && !tcop__arg_positive(s, 3, &limit))
		return NULL;
	d = tcop__state(s, sizeof(Deleting), NULL);
	d->limit = limit;
	(void) walk_start(s, &d->walk, &s->argv[1]);
	return d;
}

TcopResult
tcop__delprefix(Session *s)
{
	Deleting   *d = s->state != NULL ? s->state : delete_begin(s);

	if (d == NULL)
		return TCOP_DONE;
	for (int i = 0;; i++)
	{
		TcopResult	result;
		StoreStatus status;

		if (!delete_batch(s, d, &result))
			return result;
		if (d->walk.done || s->count == d->limit)
			break;
		if (i == TCOP_WALKS_PER_RUN)
			return TCOP_AGAIN;
		d->at = 0;
		d->batch = (KeyBatch) {.bytes = d->bytes, .size = sizeof(d->bytes), .limit = BATCH_KEYS};
		if (d->limit >= 0)
			d->batch.limit = Min(d->batch.limit, (uint64) (d->limit - s->count));
		status = store_walk(&d->walk, TCOP_WALK_STEPS, note_key, &d->batch);
		s->gate = Max(s->gate, d->walk.gate);
		if (!tcop__status(s, status, &result))
			return result;
	}
	reply_int(&s->out, s->count);
	return TCOP_DONE;
}

/* ---- RENAMEPREFIX ---- */

typedef struct Renaming
{
	StoreWalk	walk;
	KeyBatch	keys;
	size_t	   *order;			/* places in 'keys', as they are to move */
	uint64		next;			/* of 'order' */
	uint64		log_bytes;		/* at least, for what is noted */
	uint8	   *value;			/* of the key that moves */
	uint64		value_size;
	uint64		value_len;
	uint64		expiry;
	bool		exists;
} Renaming;

static void
renaming_free(void *state)
{
	Renaming   *r = state;

	free(r->keys.bytes);
	free(r->order);
	free(r->value);
	free(r);
}

/* note_keys -- all keys with the old prefix; false: *result, not all yet, or an error is answered. */
static bool
note_keys(Session *s, Renaming *r, TcopResult *result)
{
	uint64		from_len = s->argv[1].len;
	uint64		to_len = s->argv[2].len;

	for (int i = 0; !r->walk.done; i++)
	{
		size_t		at = r->keys.used;
		StoreStatus status;

		*result = TCOP_AGAIN;
		if (i == TCOP_WALKS_PER_RUN)
			return false;
		if (r->keys.size - r->keys.used < BATCH_BYTES)
		{
			r->keys.size = r->keys.size * 2 + BATCH_BYTES;
			r->keys.bytes = realloc(r->keys.bytes, r->keys.size);
			Verify(r->keys.bytes != NULL);
		}
		status = store_walk(&r->walk, TCOP_WALK_STEPS, note_key, &r->keys);
		s->gate = Max(s->gate, r->walk.gate);
		if (!tcop__status(s, status, result))
			return false;
		*result = TCOP_DONE;
		while (at < r->keys.used)
		{
			uint64		old_len = batch_key(s, &r->keys, &at).len;
			uint64		new_len = old_len - from_len + to_len;

			if (new_len > KEY_USER_MAX)
			{
				reply_error(&s->out, "ERR key is too long (%llu bytes, maximum %d)", (unsigned long long) new_len, KEY_USER_MAX);
				return false;
			}
			r->log_bytes += old_len + new_len;
		}
		if (r->log_bytes > store_txn_bytes_max())
		{
			reply_error(&s->out, "ERR transaction too large (%llu bytes, maximum %llu)", (unsigned long long) r->log_bytes,
						(unsigned long long) store_txn_bytes_max());
			return false;
		}
	}
	return true;
}

/* the keys that qsort compares: no other way to tell it */
static const uint8 *order_bytes;

static int
longer_first(const void *a, const void *b)
{
	uint16		a_len;
	uint16		b_len;

	memcpy(&a_len, order_bytes + *(const size_t *) a, sizeof(a_len));
	memcpy(&b_len, order_bytes + *(const size_t *) b, sizeof(b_len));
	return (b_len > a_len) - (b_len < a_len);
}

static int
shorter_first(const void *a, const void *b)
{
	return longer_first(b, a);
}

static void
order_keys(Session *s, Renaming *r)
{
	size_t		at = 0;

	r->order = malloc(Max(r->keys.count, (uint64) 1) * sizeof(size_t));
	Verify(r->order != NULL);
	for (uint64 i = 0; i < r->keys.count; i++)
	{
		r->order[i] = at;
		(void) batch_key(s, &r->keys, &at);
	}
	order_bytes = r->keys.bytes;
	qsort(r->order, r->keys.count, sizeof(size_t), s->argv[2].len > s->argv[1].len ? longer_first : shorter_first);
}

static void
show_moving(const StoreView *view, void *arg)
{
	Renaming   *r = arg;

	r->exists = view->exists;
	r->expiry = view->expiry;
	r->value_len = view->value_len;
	if (view->exists && view->value_len <= r->value_size && view->value_len > 0)
		store_view_copy(view, 0, view->value_len, r->value);
}

static StoreAction
decide_moved(const StoreView *view, StoreChange *change, void *arg)
{
	const Renaming *r = arg;

	(void) view;
	change->part[0] = (BytePart) {r->value, r->value_len};
	change->part_count = 1;
	change->expiry = r->expiry;
	return STORE_PUT;
}

/* move_key -- one key, in the transaction; false: *result. */
static bool
move_key(Session *s, Renaming *r, const StoreKey *old, TcopResult *result)
{
	uint8		bytes[KEY_USER_MAX];
	uint32		from_len = (uint32) s->argv[1].len;
	uint32		to_len = (uint32) s->argv[2].len;
	StoreKey	moved = {s->db, old->len - from_len + to_len, bytes};
	StoreWritten w;

	memcpy(bytes, s->argv[2].data, to_len);
	memcpy(bytes + to_len, (const uint8 *) old->data + from_len, old->len - from_len);
	for (;;)
	{
		if (!tcop__status(s, store_read(old, show_moving, r, &s->gate), result))
			return false;
		if (r->value_len <= r->value_size)
			break;
		free(r->value);
		r->value_size = r->value_len;
		r->value = malloc(r->value_size);
		Verify(r->value != NULL);
	}
	if (!r->exists)
		return true;			/* its deadline has passed since */
	if (!tcop__status(s, store_write_head(&moved, decide_moved, r, &w), result))
		return false;
	tcop__changed(s, &w);
	if (!tcop__status(s, store_write_head(old, decide_delete, NULL, &w), result))
		return false;
	tcop__changed(s, &w);
	tcop__notify(s, NOTIFY_NEW, "new", &moved);
	tcop__notify(s, NOTIFY_GENERIC, "rename_from", old);
	tcop__notify(s, NOTIFY_GENERIC, "rename_to", &moved);
	s->count++;
	return true;
}

static TcopResult
rename_all(Session *s)
{
	Renaming   *r = s->state;
	TcopResult	result;
	uint64		bytes = 0;

	if (r == NULL)
	{
		r = tcop__state(s, sizeof(Renaming), renaming_free);
		r->keys.limit = UINT64_MAX;
		(void) walk_start(s, &r->walk, &s->argv[1]);
	}
	if (r->order == NULL)
	{
		if (!note_keys(s, r, &result))
			return result;
		order_keys(s, r);
	}
	for (uint32 done = 0; r->next < r->keys.count; r->next++)
	{
		size_t		at = r->order[r->next];
		StoreKey	old = batch_key(s, &r->keys, &at);

		if (done++ == TCOP_KEYS_PER_RUN || bytes > TCOP_COPY_PER_RUN)
			return TCOP_AGAIN;
		if (!move_key(s, r, &old, &result))
			return result;
		bytes += r->value_len;
	}
	reply_int(&s->out, s->count);
	return TCOP_DONE;
}

TcopResult
tcop__renameprefix(Session *s)
{
	const BytePart *from = &s->argv[1];
	const BytePart *to = &s->argv[2];

	if (from->len == to->len && (from->len == 0 || memcmp(from->data, to->data, from->len) == 0))
		return tcop__countprefix(s);	/* every key has its new name already */
	return tcop__atomically(s, rename_all);
}
