/*
 * dump.c -- DUMP and RESTORE: a value as Redis writes it (common/rdb_format.h).
 *
 * DUMP copies the value, then sends it; RESTORE looks at the payload's checksum, then
 * unpacks it if need be, then writes the key in one go.  All three are done in
 * portions.  What DUMP writes is never packed; RESTORE reads what redis-server packs.
 * Who may be restored: strings; payloads of other types are "Bad data format".
 */
#include "common/c.h"
#include "common/crc64.h"
#include "common/rdb_format.h"
#include "tcop/strings_internal.h"

#define FRAME 32				/* room for a bulk string's header and end */

/* ---- DUMP ---- */
typedef struct Dump
{
	ValueCopy	copy;
	bool		begun;
	uint64		bytes;			/* of the value that are sent as they are: all of them or, of a number, none */
	uint64		sent;
	uint64		crc;
} Dump;

static void
dump_free(void *state)
{
	free(((Dump *) state)->copy.buffer);
	free(state);
}

static void
dump_append(Session *s, Dump *d, const void *data, size_t len)
{
	d->crc = crc64_extend(d->crc, data, len);
	output_append(&s->out, data, len);
}

/* dump_begin -- the bulk string's header and the payload's. */
static void
dump_begin(Session *s, Dump *d)
{
	uint8		header[RDB_HEADER_MAX];
	uint32		len = rdb_string_header(header, d->copy.buffer, d->copy.scan.len, &d->bytes);

	d->begun = true;
	reply_bulk_header(&s->out, len + d->bytes + RDB_FOOTER_BYTES);
	dump_append(s, d, header, len);
}

TcopResult
tcop__dump(Session *s)
{
	Dump	   *d = s->state != NULL ? s->state : tcop__state(s, sizeof(Dump), dump_free);
	uint8		footer[RDB_FOOTER_BYTES];
	TcopResult	result;

	if (!d->begun)
	{
		if (!tcop__copy_value(s, 1, &d->copy, &result))
			return result;
		tcop__looked(s, 1, d->copy.scan.exists);
		if (!d->copy.scan.exists)
		{
			reply_null(&s->out);
			return TCOP_DONE;
		}
		if (!output_room(&s->out, d->copy.scan.len + RDB_HEADER_MAX + RDB_FOOTER_BYTES + FRAME))
			return TCOP_DONE;
		dump_begin(s, d);
	}
	for (uint64 portion = 0; d->sent < d->bytes; portion += TCOP_PIECE)
	{
		size_t		len = (size_t) Min(d->bytes - d->sent, TCOP_PIECE);

		if (portion >= TCOP_COPY_PER_RUN)
			return TCOP_AGAIN;
		dump_append(s, d, d->copy.buffer + d->sent, len);
		d->sent += len;
	}
	rdb_footer_write(footer, d->crc);
	output_append(&s->out, footer, sizeof(footer));
	reply_crlf(&s->out);
	return TCOP_DONE;
}

/* ---- RESTORE ---- */
typedef enum RestoreStep
{
	RESTORE_CHECK,
	RESTORE_UNPACK,
	RESTORE_WRITE
} RestoreStep;

typedef struct Restore
{
	RestoreStep step;
	bool		replace;
	bool		absolute;		/* ABSTTL */
	const char *error;			/* told unless the key is there, which is told first */
	uint64		expiry;
	bool		past;
	uint64		crc;
	uint64		checked;
	LzfReader	reader;
	RdbString	string;
	BytePart	value;
	bool		busy;
} Restore;

static void
restore_free(void *state)
{
	free(((Restore *) state)->reader.out);
	free(state);
}

/* restore_number -- the value of IDLETIME or FREQ; artery keeps neither. */
static bool
restore_number(Session *s, uint32 i, int64 max, const char *error)
{
	int64		value;

	if (!tcop__arg_int(s, i, &value, NULL))
		return false;
	if (value >= 0 && value <= max)
		return true;
	reply_error(&s->out, "ERR %s", error);
	return false;
}

/* restore_options -- false: an error is answered. */
static bool
restore_options(Session *s, Restore *r)
{
	bool		idle = false;
	bool		freq = false;

	for (uint32 i = 4; i < s->argc; i++)
	{
		if (tcop__arg_is(s, i, "replace"))
			r->replace = true;
		else if (tcop__arg_is(s, i, "absttl"))
			r->absolute = true;
		else if (tcop__arg_is(s, i, "idletime") && i + 1 < s->argc && !freq)
		{
			if (!restore_number(s, ++i, INT64_MAX, "Invalid IDLETIME value, must be >= 0"))
				return false;
			idle = true;
		}
		else if (tcop__arg_is(s, i, "freq") && i + 1 < s->argc && !idle)
		{
			if (!restore_number(s, ++i, 255, "Invalid FREQ value, must be >= 0 and <= 255"))
				return false;
			freq = true;
		}
		else
		{
			tcop__error_syntax(s);
			return false;
		}
	}
	return true;
}

/* restore_time -- argument 2: milliseconds, 0 for none. */
static void
restore_time(const Session *s, Restore *r)
{
	int64		now_ms = (int64) (store_clock_us() / 1000);
	int64		ms;

	if (!number_parse(s->argv[2].data, s->argv[2].len, &ms))
		r->error = "ERR value is not an integer or out of range";
	else if (ms < 0)
		r->error = "ERR Invalid TTL value, must be >= 0";
	else if (ms > 0)
	{
		if (!r->absolute && __builtin_add_overflow(ms, now_ms, &ms))
			ms = INT64_MAX;
		r->expiry = (uint64) Min(ms, INT64_MAX / 1000) * 1000;
		r->past = ms <= now_ms;
	}
}

/* restore_check -- the payload's checksum, then what is in it; false: more to do. */
static bool
restore_check(const Session *s, Restore *r)
{
	const BytePart *payload = &s->argv[3];
	size_t		body = payload->len - sizeof(uint64);

	r->step = RESTORE_WRITE;
	if (payload->len < RDB_FOOTER_BYTES || rdb_footer_version(payload->data, payload->len) > RDB_VERSION_MAX)
	{
		r->error = "ERR DUMP payload version or checksum are wrong";
		return true;
	}
	if (r->checked < body)
	{
		size_t		len = Min(body - r->checked, (size_t) TCOP_COPY_PER_RUN);

		r->crc = crc64_extend(r->crc, (const uint8 *) payload->data + r->checked, len);
		r->checked += len;
		r->step = RESTORE_CHECK;
		if (r->checked < body)
			return false;
		r->step = RESTORE_WRITE;
	}
	if (r->crc != rdb_footer_checksum(payload->data, payload->len))
		r->error = "ERR DUMP payload version or checksum are wrong";
	else if (!rdb_string_parse(payload->data, payload->len - RDB_FOOTER_BYTES, &r->string))
		r->error = "ERR Bad data format";
	else if (r->string.packed)
		r->step = RESTORE_UNPACK;
	r->value = (BytePart) {r->string.data, r->string.data_len};
	return true;
}

/* restore_unpack -- false: more to do, or *result is not TCOP_AGAIN: what the command returns. */
static bool
restore_unpack(Session *s, Restore *r, TcopResult *result)
{
	LzfReader  *reader = &r->reader;
	StoreKey	key = tcop__key(s, 1);

	if (reader->out == NULL)
	{
		if (!store_value_fits(&key, r->string.len))
			return tcop__status(s, STORE_TOO_LARGE, result);
		reader->in = r->string.data;
		reader->in_end = r->string.data + r->string.data_len;
		reader->out_len = r->string.len;
		reader->out = malloc(Max(r->string.len, UINT64_C(1)));
		Verify(reader->out != NULL);
	}
	*result = TCOP_AGAIN;
	switch (lzf_unpack(reader, TCOP_COPY_PER_RUN))
	{
		case LZF_MORE:
			return false;
		case LZF_BAD:
			r->error = "ERR Bad data format";
			break;
		case LZF_DONE:
			r->value = (BytePart) {reader->out, reader->out_len};
			break;
	}
	r->step = RESTORE_WRITE;
	return true;
}

static StoreAction
decide_restore(const StoreView *view, StoreChange *change, void *arg)
{
	Restore    *r = arg;

	r->busy = view->exists && !r->replace;
	if (r->busy || r->error != NULL)
		return STORE_KEEP;
	if (r->past)
		return view->exists ? STORE_DELETE : STORE_KEEP;
	change->part[0] = r->value;
	change->part_count = 1;
	change->expiry = r->expiry;
	return STORE_PUT;
}

static TcopResult
restore_write(Session *s, Restore *r)
{
	StoreKey	key = tcop__key(s, 1);
	StoreWritten w;
	TcopResult	result;

	if (!tcop__write_by(store_write_head, s, decide_restore, r, &w, &result))
		return result;
	if (r->busy)
		reply_error(&s->out, "BUSYKEY Target key name already exists.");
	else if (r->error != NULL)
		reply_error(&s->out, "%s", r->error);
	else
	{
		/* as with Redis, which takes the old one away first, it is a new key in any case */
		if (w.changed && !r->past)
			tcop__notify(s, NOTIFY_NEW, "new", &key);
		if (w.changed)
			tcop__notify(s, NOTIFY_GENERIC, r->past ? "del" : "restore", &key);
		reply_ok(&s->out);
	}
	return TCOP_DONE;
}

TcopResult
tcop__restore(Session *s)
{
	Restore    *r = s->state;
	TcopResult	result;

	if (r == NULL)
	{
		StoreKey	key;

		r = tcop__state(s, sizeof(Restore), restore_free);
		if (!tcop__arg_key(s, 1, &key) || !restore_options(s, r))
			return TCOP_DONE;
		restore_time(s, r);
		if (r->error != NULL)
			r->step = RESTORE_WRITE;
	}
	if (r->step == RESTORE_CHECK && !restore_check(s, r))
		return TCOP_AGAIN;
	if (r->step == RESTORE_UNPACK && !restore_unpack(s, r, &result))
		return result;
	return restore_write(s, r);
}
