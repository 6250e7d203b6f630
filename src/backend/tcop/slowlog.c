/*
 * slowlog.c -- the ring of slow commands, and SLOWLOG.
 *
 * A worker that dies while it writes an entry leaves its place odd; the crash
 * restart that follows makes a new ring.  Passwords are not kept.
 */
#include "common/c.h"
#include "storage/ipc/segment.h"
#include "tcop/slowlog.h"
#include "tcop/tcop_internal.h"
#include "utils/clock.h"
#include "utils/settings.h"

#define SLOWLOG_MAGIC UINT64_C(0x534c4f574c4f4700)
#define ENTRY_WORDS (sizeof(SlowlogEntry) / 8)
#define GET_DEFAULT 10

typedef struct SlowlogPlace
{
	_Atomic uint64 sequence;		/* odd: being written */
	_Atomic uint64 word[ENTRY_WORDS];	/* a SlowlogEntry */
} SlowlogPlace;

typedef struct SlowlogShared
{
	uint64		magic;				/* constant after start */
	_Atomic uint64 next_id;			/* any worker adds */
	_Atomic uint64 first_id;		/* since SLOWLOG RESET */
	SlowlogPlace place[SLOWLOG_ENTRIES_MAX];
} SlowlogShared;

static SlowlogShared *shared;

size_t
slowlog_size(void)
{
	return sizeof(SlowlogShared);
}

void
slowlog_init(void *region)
{
	shared = region;
	shared->magic = SLOWLOG_MAGIC;
}

/* secret -- is this argument, or may it be, a password? */
static bool
secret(Session *s, const Command *c, uint32 i)
{
	if (strcmp(c->name, "auth") == 0 || strcmp(c->name, "hello") == 0)
		return i > 0;
	if (strcmp(c->name, "config|set") == 0)
		return i >= 3 && i % 2 == 1 && (tcop__arg_is(s, i - 1, "requirepass") || tcop__arg_is(s, i - 1, "masterauth"));
	return strcmp(c->name, "acl|setuser") == 0 && i >= 2;
}

#define MORE_ROOM 32			/* for "... (N more bytes)" and "... (N more arguments)" */

static void
fill_args(SlowlogEntry *e, Session *s, const Command *c)
{
	size_t		at = 0;

	e->arg_count = 0;
	for (uint32 i = 0; i < s->argc; i++)
	{
		size_t		len = s->argv[i].len;
		size_t		kept = Min(len, (size_t) SLOWLOG_ARG_BYTES);
		bool		last_place = i == SLOWLOG_ARGS_MAX - 1 && s->argc > SLOWLOG_ARGS_MAX;

		if (last_place || at + kept + 2 * MORE_ROOM > SLOWLOG_ROOM)
		{
			at += (size_t) snprintf(e->words + at, MORE_ROOM, "... (%u more arguments)", s->argc - i);
			e->arg_end[e->arg_count++] = (uint16) at;
			return;
		}
		if (secret(s, c, i))
			at += (size_t) snprintf(e->words + at, MORE_ROOM, "(redacted)");
		else
		{
			if (kept > 0)
				memcpy(e->words + at, s->argv[i].data, kept);
			at += kept;
			if (len > kept)
				at += (size_t) snprintf(e->words + at, MORE_ROOM, "... (%zu more bytes)", len - kept);
		}
		e->arg_end[e->arg_count++] = (uint16) at;
	}
}

static void
fill_client(SlowlogEntry *e, Session *s)
{
	ClientText	text;

	e->address[0] = e->name[0] = '\0';
	e->is_unix = s->is_unix;
	if (!client_text_read(s->entry, s->id, &text))
		return;
	snprintf(e->address, sizeof(e->address), "%s", text.address);
	snprintf(e->name, sizeof(e->name), "%s", text.name);
}

void
slowlog_add(Session *s, const Command *c, uint64 took_us)
{
	static SlowlogEntry entry;
	const uint64 *from = (const uint64 *) &entry;
	SlowlogPlace *p;
	uint64		sequence;

	Verify(shared->magic == SLOWLOG_MAGIC);
	entry.id = atomic_fetch_add_explicit(&shared->next_id, 1, memory_order_relaxed);	/* relaxed: the place has its own order */
	entry.time_s = clock_wall_us() / 1000000;
	entry.took_us = took_us;
	fill_args(&entry, s, c);
	fill_client(&entry, s);
	p = &shared->place[entry.id % SLOWLOG_ENTRIES_MAX];
	sequence = atomic_load_explicit(&p->sequence, memory_order_relaxed);	/* relaxed: the CAS decides */
	/* acquire [slowlog]: what the writer before did is done */
	if (sequence % 2 != 0 ||
		!atomic_compare_exchange_strong_explicit(&p->sequence, &sequence, sequence + 1, memory_order_acquire, memory_order_relaxed))
		return;
	atomic_thread_fence(memory_order_release);	/* release [slowlog-odd]: a reader that sees a word sees the odd sequence, too */
	for (size_t i = 0; i < ENTRY_WORDS; i++)
		atomic_store_explicit(&p->word[i], from[i], memory_order_relaxed);	/* relaxed: between the two of sequence */
	atomic_store_explicit(&p->sequence, sequence + 2, memory_order_release);	/* release [slowlog] */
}

bool
slowlog_read(uint64 id, SlowlogEntry *to)
{
	SlowlogPlace *p = &shared->place[id % SLOWLOG_ENTRIES_MAX];
	uint64	   *words = (uint64 *) to;
	uint64		sequence = atomic_load_explicit(&p->sequence, memory_order_acquire);	/* acquire [slowlog] */

	if (sequence == 0 || sequence % 2 != 0)
		return false;
	for (size_t i = 0; i < ENTRY_WORDS; i++)
		words[i] = atomic_load_explicit(&p->word[i], memory_order_relaxed);	/* relaxed: the sequence tells whether it counts */
	atomic_thread_fence(memory_order_acquire);	/* acquire [slowlog-odd] */
	/* relaxed: the fence orders it behind the words */
	return atomic_load_explicit(&p->sequence, memory_order_relaxed) == sequence && to->id == id;
}

void
slowlog_bounds(uint64 *first, uint64 *end)
{
	uint64		kept = (uint64) set_slowlog_max_len;

	/* relaxed: numbers for people */
	*first = atomic_load_explicit(&shared->first_id, memory_order_relaxed);
	*end = atomic_load_explicit(&shared->next_id, memory_order_relaxed);
	if (*end > kept)
		*first = Max(*first, *end - kept);
	*first = Min(*first, *end);
}

void
slowlog_reset(void)
{
	/* relaxed: as above; what is added at this moment may stay or go */
	atomic_store_explicit(&shared->first_id, atomic_load_explicit(&shared->next_id, memory_order_relaxed), memory_order_relaxed);
}

/* ---- SLOWLOG ---- */
static void
reply_entry(Output *o, const SlowlogEntry *e)
{
	char		path[CLIENT_NAME_MAX];
	uint16		at = 0;

	reply_array(o, 6);
	reply_int(o, (int64) e->id);
	reply_int(o, (int64) e->time_s);
	reply_int(o, (int64) e->took_us);
	reply_array(o, e->arg_count);
	for (uint32 i = 0; i < e->arg_count; at = e->arg_end[i], i++)
		reply_bulk(o, e->words + at, (size_t) (e->arg_end[i] - at));
	snprintf(path, sizeof(path), "%s:0", seg_control->socket_path);
	reply_text(o, e->is_unix ? path : e->address);
	reply_text(o, e->name);
}

TcopResult
tcop__slowlog_get(Session *s)
{
	SlowlogEntry *entries;
	uint64		first;
	uint64		end;
	uint32		count = 0;
	int64		wanted = GET_DEFAULT;

	if (s->argc > 3)
	{
		tcop__error_help(s);
		return TCOP_DONE;
	}
	if (s->argc == 3 && (!number_parse(s->argv[2].data, s->argv[2].len, &wanted) || wanted < -1))
	{
		reply_error(&s->out, "ERR count should be greater than or equal to -1");
		return TCOP_DONE;
	}
	slowlog_bounds(&first, &end);
	if (wanted < 0 || wanted > SLOWLOG_ENTRIES_MAX)
		wanted = SLOWLOG_ENTRIES_MAX;
	entries = malloc(sizeof(SlowlogEntry) * (size_t) Max(wanted, (int64) 1));
	Verify(entries != NULL);
	for (uint64 id = end; id > first && count < (uint64) wanted; id--)
		count += slowlog_read(id - 1, &entries[count]);
	reply_array(&s->out, count);
	for (uint32 i = 0; i < count; i++)
		reply_entry(&s->out, &entries[i]);
	free(entries);
	return TCOP_DONE;
}

TcopResult
tcop__slowlog_len(Session *s)
{
	uint64		first;
	uint64		end;

	slowlog_bounds(&first, &end);
	reply_int(&s->out, (int64) (end - first));
	return TCOP_DONE;
}

TcopResult
tcop__slowlog_reset(Session *s)
{
	slowlog_reset();
	reply_ok(&s->out);
	return TCOP_DONE;
}
