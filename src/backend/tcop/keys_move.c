/*
 * keys_move.c -- keys that get another name or another database: RENAME RENAMENX
 * COPY MOVE SWAPDB.
 *
 * A value is carried: read into private memory, whole, together with its deadline,
 * and written under the other name.  Both happen in one transaction, so that
 * nobody sees the value twice or not at all; were it to change on the way, the
 * transaction begins anew.  SWAPDB carries nothing: it changes the map of databases.
 */
#include "common/c.h"

#include "tcop/strings_internal.h"

/* ---- carrying a value ---- */
typedef struct Carry
{
	uint8	   *data;
	uint64		size;			/* of the memory at data */
	/* of the version that is being carried */
	bool		known;			/* it has been looked at; what follows holds */
	bool		exists;
	bool		whole;			/* all of it is at data */
	uint64		len;
	uint64		expiry;
	Lsn			version;
	uint64		offset;			/* so much of it is at data already */
	uint32		tries;
} Carry;

static void
carry_free(void *state)
{
	Carry	   *c = state;

	free(c->data);
	free(c);
}

static void
show_carry(const StoreView *view, void *arg)
{
	Carry	   *c = arg;

	c->known = true;
	c->exists = view->exists;
	c->len = view->value_len;
	c->expiry = view->expiry;
	c->version = view->lsn;
	c->offset = 0;
	/* a long one goes in pieces, unless it has changed under them too often */
	c->whole = !view->exists ||
		(view->value_len <= c->size && (view->value_len <= TCOP_VALUE_DIRECT || c->tries >= TCOP_VALUE_TRIES));
	if (c->whole && view->value_len > 0)
		store_view_copy(view, 0, view->value_len, c->data);
}

/* carry_room -- memory for all of it. */
static void
carry_room(Carry *c, uint64 len)
{
	if (len <= c->size && c->data != NULL)
		return;
	free(c->data);
	c->size = len;
	c->data = malloc(len);
	Verify(c->data != NULL);
}

/* carry_pieces -- true: all of it is there, or it must be looked at again; else *result. */
static bool
carry_pieces(Session *s, const StoreKey *key, Carry *c, uint64 *budget, TcopResult *result)
{
	while (c->offset < c->len)
	{
		uint64		n = Min(c->len - c->offset, (uint64) TCOP_PIECE);
		bool		same;

		if (*budget < n)
		{
			*result = TCOP_AGAIN;
			return false;
		}
		if (!tcop__status(s, store_read_piece(key, c->version, c->offset, n, c->data + c->offset, &same), result))
			return false;
		*budget -= n;
		if (!same)
		{
			c->known = false;
			c->tries++;
			return true;
		}
		c->offset += n;
	}
	c->whole = true;
	return true;
}

/* carry_value -- true: c has the key's value, or c->exists is false; else *result is what the command returns. */
static bool
carry_value(Session *s, const StoreKey *key, Carry *c, TcopResult *result)
{
	uint64		budget = TCOP_COPY_PER_RUN;

	while (!c->known || !c->whole)
	{
		if (!c->known)
		{
			carry_room(c, Max(c->size, (uint64) TCOP_VALUE_DIRECT));
			if (!tcop__status(s, store_read(key, show_carry, c, &s->gate), result))
				return false;
			if (c->whole)
				break;
			carry_room(c, c->len);
			c->known = c->tries < TCOP_VALUE_TRIES;
			continue;
		}
		if (!carry_pieces(s, key, c, &budget, result))
			return false;
	}
	return true;
}

typedef struct PutArg
{
	const Carry *carry;
	bool		only_absent;
} PutArg;

static StoreAction
decide_put(const StoreView *view, StoreChange *change, void *arg)
{
	const PutArg *a = arg;

	if (a->only_absent && view->exists)
		return STORE_KEEP;
	change->part[0] = (BytePart) {a->carry->data, a->carry->len};
	change->part_count = 1;
	change->expiry = a->carry->expiry;
	return STORE_PUT;
}

static StoreAction
decide_take(const StoreView *view, StoreChange *change, void *arg)
{
	(void) change;
	(void) arg;
	return view->exists ? STORE_DELETE : STORE_KEEP;
}

/* Way -- what is carried where */
typedef struct Way
{
	StoreKey	from;
	StoreKey	to;
	bool		only_absent;	/* what is there already stays */
	bool		keep;			/* 'from' stays as well */
	bool		present;		/* out: 'from' exists */
	bool		put;			/* out: 'to' has been written */
} Way;

/*
 * carry -- all of it; true: way->present and way->put tell; else *result is what the
 * command returns.  s->step 1: 'to' has been written, and would be found there now.
 */
static bool
carry(Session *s, Way *way, TcopResult *result)
{
	Carry	   *c = s->state;
	PutArg		arg;
	StoreStatus status;
	StoreWritten w;

	if (c == NULL)
		c = tcop__state(s, sizeof(Carry), carry_free);
	way->present = way->put = true;
	if (s->step == 0)
	{
		if (!carry_value(s, &way->from, c, result))
			return false;
		way->present = c->exists;
		way->put = false;
		if (!c->exists)
			return true;
		arg = (PutArg) {c, way->only_absent};
		status = way->only_absent ? store_write_head(&way->to, decide_put, &arg, &w)
			: store_write_blind(&way->to, decide_put, &arg, &w);
		tcop__changed(s, &w);
		if (!tcop__status(s, status, result))
			return false;
		way->put = w.changed;
		if (!way->put || way->keep)
			return true;
		s->step = 1;
	}
	status = store_write_head(&way->from, decide_take, NULL, &w);
	tcop__changed(s, &w);
	return tcop__status(s, status, result);
}

static bool
same_key(const StoreKey *a, const StoreKey *b)
{
	return a->db == b->db && a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* arg_db -- argument i as a database; false: the error is answered. */
bool
tcop__arg_db(Session *s, uint32 i, uint32 *db)
{
	int64		number;

	if (!tcop__arg_int(s, i, &number, NULL))
		return false;
	if (number < INT32_MIN || number > INT32_MAX)
		reply_error(&s->out, "ERR value is out of range, value must between %d and %d", INT32_MIN, INT32_MAX);
	else if (number < 0 || number >= DATABASE_COUNT)
		reply_error(&s->out, "ERR DB index is out of range");
	else
	{
		*db = (uint32) number;
		return true;
	}
	return false;
}

/* ---- RENAME, RENAMENX ---- */
static void
show_exists(const StoreView *view, void *arg)
{
	*(bool *) arg = view->exists;
}

static TcopResult
rename_key(Session *s, bool only_absent)
{
	Way			way = {.only_absent = only_absent};
	TcopResult	result;

	if (!tcop__arg_key(s, 1, &way.from) || !tcop__arg_key(s, 2, &way.to))
		return TCOP_DONE;
	if (same_key(&way.from, &way.to))
	{
		if (!tcop__status(s, store_read_head(&way.from, show_exists, &way.present, &s->gate), &result))
			return result;
	}
	else if (!carry(s, &way, &result))
		return result;
	if (!way.present)
		reply_error(&s->out, "ERR no such key");
	else if (only_absent)
		reply_int(&s->out, way.put);
	else
		reply_ok(&s->out);
	if (way.put)
	{
		tcop__notify(s, NOTIFY_NEW, "new", &way.to);
		tcop__notify(s, NOTIFY_GENERIC, "rename_from", &way.from);
		tcop__notify(s, NOTIFY_GENERIC, "rename_to", &way.to);
	}
	return TCOP_DONE;
}

static TcopResult
rename_any(Session *s)
{
	return rename_key(s, false);
}

static TcopResult
rename_absent(Session *s)
{
	return rename_key(s, true);
}

TcopResult
tcop__rename(Session *s)
{
	return tcop__atomically(s, rename_any);
}

TcopResult
tcop__renamenx(Session *s)
{
	return tcop__atomically(s, rename_absent);
}

/* ---- COPY, MOVE ---- */
static void
error_same(Session *s)
{
	reply_error(&s->out, "ERR source and destination objects are the same");
}

static TcopResult
copy(Session *s)
{
	Way			way = {.only_absent = true, .keep = true};
	uint32		db = s->db;
	TcopResult	result;

	for (uint32 i = 3; i < s->argc; i++)
	{
		if (tcop__arg_is(s, i, "replace"))
			way.only_absent = false;
		else if (tcop__arg_is(s, i, "db") && i + 1 < s->argc)
		{
			if (!tcop__arg_db(s, ++i, &db))
				return TCOP_DONE;
		}
		else
		{
			tcop__error_syntax(s);
			return TCOP_DONE;
		}
	}
	if (!tcop__arg_key(s, 1, &way.from) || !tcop__arg_key(s, 2, &way.to))
		return TCOP_DONE;
	way.to.db = db;
	if (same_key(&way.from, &way.to))
	{
		error_same(s);
		return TCOP_DONE;
	}
	if (!carry(s, &way, &result))
		return result;
	tcop__looked(s, 1, way.present);
	if (way.put)
	{
		tcop__notify(s, NOTIFY_NEW, "new", &way.to);
		tcop__notify(s, NOTIFY_GENERIC, "copy_to", &way.to);
	}
	reply_int(&s->out, way.put);
	return TCOP_DONE;
}

TcopResult
tcop__copy(Session *s)
{
	return tcop__atomically(s, copy);
}

static TcopResult
move(Session *s)
{
	Way			way = {.only_absent = true};
	uint32		db;
	TcopResult	result;

	if (!tcop__arg_db(s, 2, &db) || !tcop__arg_key(s, 1, &way.from) || !tcop__arg_key(s, 1, &way.to))
		return TCOP_DONE;
	way.to.db = db;
	if (db == s->db)
	{
		error_same(s);
		return TCOP_DONE;
	}
	if (!carry(s, &way, &result))
		return result;
	if (way.put)
	{
		tcop__notify(s, NOTIFY_NEW, "new", &way.to);
		tcop__notify(s, NOTIFY_GENERIC, "move_from", &way.from);
		tcop__notify(s, NOTIFY_GENERIC, "move_to", &way.to);
	}
	reply_int(&s->out, way.put);
	return TCOP_DONE;
}

TcopResult
tcop__move(Session *s)
{
	return tcop__atomically(s, move);
}

/* ---- SWAPDB ---- */

/* swap_arg -- argument i as a database. */
static bool
swap_arg(Session *s, uint32 i, const char *error, uint32 *db)
{
	int64		number;

	if (!number_parse(s->argv[i].data, s->argv[i].len, &number) || number < INT32_MIN || number > INT32_MAX)
		reply_error(&s->out, "ERR %s", error);
	else
	{
		*db = number < 0 || number >= DATABASE_COUNT ? DATABASE_COUNT : (uint32) number;
		return true;
	}
	return false;
}

TcopResult
tcop__swapdb(Session *s)
{
	Lsn			gate = LSN_NONE;
	StoreStatus status;
	uint32		first;
	uint32		second;

	if (!swap_arg(s, 1, "invalid first DB index", &first) || !swap_arg(s, 2, "invalid second DB index", &second))
		return TCOP_DONE;
	if (first == DATABASE_COUNT || second == DATABASE_COUNT)
	{
		reply_error(&s->out, "ERR DB index is out of range");
		return TCOP_DONE;
	}
	status = store_swap(first, second, tcop__flush_job(s), &gate);
	return tcop__flushed(s, status, gate);
}
