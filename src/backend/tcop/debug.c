/*
 * debug.c -- DEBUG, where the setting enable_debug_command allows it.
 *
 * DIGEST is the same for the same keys, values and deadlines, in whatever order
 * they were written and wherever they lie: the exclusive or of one SHA-256, cut to
 * 20 bytes, for each key.  It is a walk in bounded turns, so that it is of no one
 * moment when others write meanwhile.
 */
#include "common/c.h"

#include <sha2.h>

#include "access/store/expire.h"
#include "tcop/tcop_internal.h"
#include "utils/clock.h"
#include "utils/settings.h"

#define DIGEST_BYTES 20
#define DIGEST_PIECE (16 * KIB)

/* ---- SLEEP: this connection alone waits ---- */
static TcopResult
debug_sleep(Session *s)
{
	char		text[64];
	char	   *end;
	double		seconds;

	if (s->step == 1)
	{
		reply_ok(&s->out);
		return TCOP_DONE;
	}
	snprintf(text, sizeof(text), "%.*s", (int) s->argv[2].len, (const char *) s->argv[2].data);
	seconds = strtod(text, &end);
	if (!(seconds > 0 && seconds < 1e9))	/* as Redis: what is no number is none */
		seconds = 0;
	s->step = 1;
	s->deadline_us = clock_mono_us() + (uint64) (seconds * 1e6);	/* not from the beginning of the turn: it is meant to the millisecond */
	return TCOP_LATER;
}

/* ---- DIGEST, DIGEST-VALUE ---- */
typedef struct Digest
{
	uint8		byte[DIGEST_BYTES];
} Digest;

static void
hash_value(SHA2_CTX *hash, const StoreView *view)
{
	uint8		piece[DIGEST_PIECE];

	for (uint64 at = 0; at < view->value_len;)
	{
		size_t		len = (size_t) Min((uint64) sizeof(piece), view->value_len - at);

		store_view_copy(view, at, len, piece);
		SHA256Update(hash, piece, len);
		at += len;
	}
}

/* digest_add -- 'key' NULL: of the value alone. */
static void
digest_add(Digest *d, uint32 db, const uint8 *key, uint32 key_len, const StoreView *view)
{
	SHA2_CTX	hash;
	uint8		result[SHA256_DIGEST_LENGTH];

	SHA256Init(&hash);
	if (key != NULL)
	{
		SHA256Update(&hash, (const uint8_t *) &db, sizeof(db));
		SHA256Update(&hash, (const uint8_t *) &key_len, sizeof(key_len));
		SHA256Update(&hash, key, key_len);
	}
	SHA256Update(&hash, (const uint8_t *) &view->expiry, sizeof(view->expiry));
	hash_value(&hash, view);
	SHA256Final(result, &hash);
	for (int i = 0; i < DIGEST_BYTES; i++)
		d->byte[i] ^= result[i];
}

static void
digest_text(const Digest *d, char to[2 * DIGEST_BYTES + 1])
{
	for (int i = 0; i < DIGEST_BYTES; i++)
		snprintf(to + 2 * i, 3, "%02x", d->byte[i]);
}

typedef struct DigestJob
{
	StoreWalk	walk;
	Digest		digest;
} DigestJob;

static StoreWalkNext
digest_key(StoreWalk *walk, const uint8 *key, uint32 key_len, const StoreView *view, void *arg)
{
	DigestJob  *job = arg;

	digest_add(&job->digest, walk->db, key, key_len, view);
	return view->value_len > DIGEST_PIECE ? STORE_WALK_STOP : STORE_WALK_ON;	/* long ones one by one, for the epoch's sake */
}

static TcopResult
debug_digest(Session *s)
{
	DigestJob  *job = s->state;
	TcopResult	result = TCOP_DONE;
	char		text[2 * DIGEST_BYTES + 1];

	if (job == NULL)
	{
		job = tcop__state(s, sizeof(DigestJob), NULL);
		job->walk.from_edge = true;
		job->walk.with_values = true;
	}
	for (int i = 0; i < TCOP_WALKS_PER_RUN; i++)
	{
		StoreStatus status = store_walk(&job->walk, TCOP_WALK_STEPS, digest_key, job);

		s->gate = Max(s->gate, job->walk.gate);
		if (!tcop__status(s, status, &result))
			return result;
		if (!job->walk.done)
			continue;
		if (job->walk.db + 1 == DATABASE_COUNT)
		{
			digest_text(&job->digest, text);
			reply_simple(&s->out, text);
			return TCOP_DONE;
		}
		job->walk.db++;
		job->walk.from_edge = true;
		job->walk.done = false;
	}
	return TCOP_AGAIN;
}

static void
digest_value(const StoreView *view, void *arg)
{
	Digest	   *d = arg;

	memset(d, 0, sizeof(*d));
	if (view->exists)
		digest_add(d, 0, NULL, 0, view);
}

static TcopResult
debug_digest_value(Session *s)
{
	if (s->step == 0)
	{
		reply_array(&s->out, s->argc - 2);
		s->step = 2;
	}
	for (uint32 n = 0; s->step < s->argc; s->step++)
	{
		StoreKey	key;
		Digest		d;
		TcopResult	result = TCOP_DONE;
		char		text[2 * DIGEST_BYTES + 1];

		if (s->argv[s->step].len > KEY_USER_MAX)
			memset(&d, 0, sizeof(d));	/* no such key can be there */
		else
		{
			if (n++ == TCOP_WALK_STEPS)
				return TCOP_AGAIN;
			if (!tcop__arg_key(s, s->step, &key) || !tcop__status(s, store_read(&key, digest_value, &d, &s->gate), &result))
				return result;
		}
		digest_text(&d, text);
		reply_simple(&s->out, text);
	}
	return TCOP_DONE;
}

static TcopResult
debug_reload(Session *s)
{
	for (uint32 i = 2; i < s->argc; i++)
		if (!tcop__arg_is(s, i, "merge") && !tcop__arg_is(s, i, "noflush") && !tcop__arg_is(s, i, "nosave"))
		{
			reply_error(&s->out, "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
			return TCOP_DONE;
		}
	return tcop__save(s);
}

static TcopResult
debug_set_active_expire(Session *s)
{
	int64		on;

	/* as Redis: what is no number is 0, any but 0 is on */
	store_expire_set_active(number_parse(s->argv[2].data, s->argv[2].len, &on) && on != 0);
	reply_ok(&s->out);
	return TCOP_DONE;
}

static TcopResult
debug_error(Session *s)
{
	reply_error(&s->out, "%.*s", (int) Min((size_t) 512, s->argv[2].len), (const char *) s->argv[2].data);
	return TCOP_DONE;
}

static TcopResult
debug_help(Session *s)
{
	static const char *const lines[] = {
		"DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
		"DIGEST", "    A hash of all keys, values and deadlines of all databases.",
		"DIGEST-VALUE <key> [<key> ...]", "    A hash of each value.",
		"ERROR <string>", "    Answer this error.",
		"OBJECT <key>", "    What is known of a key.",
		"RELOAD [MERGE] [NOFLUSH] [NOSAVE]", "    Make a checkpoint; what would be loaded after a restart is what is there.",
		"SET-ACTIVE-EXPIRE <0|1>", "    Whether keys whose time has passed are deleted by themselves; they are not there all the same.",
		"SLEEP <seconds>", "    Answer after this time; other clients are served.",
		"HELP", "    Print this help.",
	};

	reply_array(&s->out, lengthof(lines));
	for (size_t i = 0; i < lengthof(lines); i++)
		reply_simple(&s->out, lines[i]);
	return TCOP_DONE;
}

static const struct
{
	const char *name;
	uint32		argc_min;
	uint32		argc_max;
	TcopResult	(*run)(Session *s);
}			debug_table[] = {
	{"sleep", 3, 3, debug_sleep},
	{"digest", 2, 2, debug_digest},
	{"digest-value", 2, UINT32_MAX, debug_digest_value},
	{"object", 3, 4, tcop__debug_object},
	{"reload", 2, UINT32_MAX, debug_reload},
	{"set-active-expire", 3, 3, debug_set_active_expire},
	{"error", 3, 3, debug_error},
	{"help", 2, 2, debug_help},
};

TcopResult
tcop__debug(Session *s)
{
	if (set_enable_debug_command == DEBUG_COMMAND_NO || (set_enable_debug_command == DEBUG_COMMAND_LOCAL && !s->is_unix))
	{
		reply_error(&s->out, "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it "
					"from a local connection, otherwise you need to set this option in the configuration file, and then restart "
					"the server.");
		return TCOP_DONE;
	}
	for (size_t i = 0; i < lengthof(debug_table); i++)
		if (tcop__arg_is(s, 1, debug_table[i].name) && s->argc >= debug_table[i].argc_min && s->argc <= debug_table[i].argc_max)
			return debug_table[i].run(s);
	tcop__error_help(s);
	return TCOP_DONE;
}
