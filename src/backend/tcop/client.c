/*
 * client.c -- CLIENT and its sub-commands.
 *
 * What concerns other connections goes through the client table, whichever
 * worker serves them.  CLIENT LIST reads it in pieces, others are served in
 * between; a connection that comes or goes meanwhile is listed or not.
 */
#include "common/c.h"
#include "storage/ipc/segment.h"
#include "tcop/tcop_internal.h"
#include "utils/clock.h"
#include "utils/settings.h"

#define LIST_ENTRIES_PER_RUN 256	/* without ids; fewer with many */
#define LINE_MAX_BYTES 1024

static const char *const policy_names[] = {"immediate", "group", "periodic", "none"};

TcopResult
tcop__client_id(Session *s)
{
	reply_int(&s->out, (int64) s->id);
	return TCOP_DONE;
}

/* printable -- no blank, newline or special character. */
static bool
printable(const BytePart *text)
{
	for (size_t i = 0; i < text->len; i++)
	{
		uint8		c = ((const uint8 *) text->data)[i];

		if (c < '!' || c > '~')
			return false;
	}
	return true;
}

bool
tcop__client_name_valid(Session *s, const BytePart *name)
{
	if (!printable(name))
		reply_error(&s->out, "ERR Client names cannot contain spaces, newlines or special characters.");
	else if (name->len >= CLIENT_NAME_MAX)
		reply_error(&s->out, "ERR Client name is too long (%zu bytes, maximum %d)", name->len, CLIENT_NAME_MAX - 1);
	else
		return true;
	return false;
}

/* own_text -- this connection's texts; they are ours to write, so the read cannot fail. */
static void
own_text(Session *s, ClientText *text)
{
	Verify(client_text_read(s->entry, s->id, text));
}

void
tcop__client_set_name(Session *s, const BytePart *name)
{
	ClientText	text;

	own_text(s, &text);
	memset(text.name, 0, sizeof(text.name));
	memcpy(text.name, name->data, name->len);
	client_text_write(s->entry, &text);
}

TcopResult
tcop__client_setname(Session *s)
{
	if (tcop__client_name_valid(s, &s->argv[2]))
	{
		tcop__client_set_name(s, &s->argv[2]);
		reply_ok(&s->out);
	}
	return TCOP_DONE;
}

TcopResult
tcop__client_getname(Session *s)
{
	ClientText	text;

	own_text(s, &text);
	if (text.name[0] == '\0')
		reply_null(&s->out);
	else
		reply_text(&s->out, text.name);
	return TCOP_DONE;
}

TcopResult
tcop__client_setinfo(Session *s)
{
	const BytePart *option = &s->argv[2];
	const BytePart *value = &s->argv[3];
	bool		is_name = tcop__arg_is(s, 2, "lib-name");
	int			option_len = (int) Min((size_t) 128, option->len);
	ClientText	text;
	char	   *to;

	if (!is_name && !tcop__arg_is(s, 2, "lib-ver"))
		reply_error(&s->out, "ERR Unrecognized option '%.*s'", option_len, (const char *) option->data);
	else if (!printable(value))
		reply_error(&s->out, "ERR %.*s cannot contain spaces, newlines or special characters.",
					option_len, (const char *) option->data);
	else if (value->len >= CLIENT_LIB_MAX)
		reply_error(&s->out, "ERR %.*s is too long (%zu bytes, maximum %d)",
					option_len, (const char *) option->data, value->len, CLIENT_LIB_MAX - 1);
	else
	{
		own_text(s, &text);
		to = is_name ? text.lib_name : text.lib_version;
		memset(to, 0, CLIENT_LIB_MAX);
		memcpy(to, value->data, value->len);
		client_text_write(s->entry, &text);
		reply_ok(&s->out);
	}
	return TCOP_DONE;
}

/* flag_text -- on or off; false: neither, the error is answered. */
static bool
flag_arg(Session *s, uint32 flag)
{
	/* relaxed: flags for people; ours to write */
	if (tcop__arg_is(s, 2, "on"))
		atomic_fetch_or_explicit(&s->entry->flags, flag, memory_order_relaxed);
	else if (tcop__arg_is(s, 2, "off"))
		atomic_fetch_and_explicit(&s->entry->flags, ~flag, memory_order_relaxed);
	else
	{
		tcop__error_syntax(s);
		return false;
	}
	reply_ok(&s->out);
	return true;
}

TcopResult
tcop__client_no_evict(Session *s)
{
	(void) flag_arg(s, CLIENT_FLAG_NO_EVICT);
	return TCOP_DONE;
}

TcopResult
tcop__client_no_touch(Session *s)
{
	(void) flag_arg(s, CLIENT_FLAG_NO_TOUCH);
	return TCOP_DONE;
}

TcopResult
tcop__client_reply(Session *s)
{
	if (tcop__arg_is(s, 2, "on"))
	{
		s->reply_mode = REPLY_ON;
		reply_ok(&s->out);
	}
	else if (tcop__arg_is(s, 2, "off"))
		s->reply_mode = REPLY_OFF;
	else if (tcop__arg_is(s, 2, "skip"))
	{
		if (s->reply_mode != REPLY_OFF)
			s->reply_mode = REPLY_SKIP_NEXT;
	}
	else
		tcop__error_syntax(s);
	return TCOP_DONE;
}

TcopResult
tcop__client_durability(Session *s)
{
	uint8		policy = SESSION_POLICY_SERVER;
	bool		known;

	if (s->argc == 2)
	{
		s->next_armed = false;	/* asking uses no NEXT up */
		reply_text(&s->out, policy_names[session_policy(s)]);
		return TCOP_DONE;
	}
	known = tcop__arg_is(s, 2, "default");
	for (uint8 i = 0; i < lengthof(policy_names); i++)
		if (tcop__arg_is(s, 2, policy_names[i]))
		{
			policy = i;
			known = true;
		}
	if (!known || s->argc > 4 || (s->argc == 4 && !tcop__arg_is(s, 3, "next")))
	{
		tcop__error_syntax(s);
		return TCOP_DONE;
	}
	s->next_armed = false;
	if (s->argc == 4)
		s->next_durability = policy;
	else
	{
		s->durability = policy;
		s->next_durability = SESSION_POLICY_SERVER;
	}
	reply_ok(&s->out);
	return TCOP_DONE;
}

/* ---- one line about a connection ---- */
static const char *
flags_text(uint32 flags, char *to)
{
	char	   *p = to;

	if (flags & CLIENT_FLAG_MULTI)
		*p++ = 'x';
	if (flags & CLIENT_FLAG_MONITOR)
		*p++ = 'O';
	if (flags & CLIENT_FLAG_PUBSUB)
		*p++ = 'P';
	if (flags & CLIENT_FLAG_BLOCKED)
		*p++ = 'b';
	if (flags & CLIENT_FLAG_TRACKING)
		*p++ = 't';
	if (flags & CLIENT_FLAG_REDIRECT_BROKEN)
		*p++ = 'R';
	if (flags & CLIENT_FLAG_BCAST)
		*p++ = 'B';
	if (flags & CLIENT_FLAG_CLOSING)
		*p++ = 'c';
	if (flags & CLIENT_FLAG_UNIX)
		*p++ = 'U';
	if (flags & CLIENT_FLAG_NO_EVICT)
		*p++ = 'e';
	if (flags & CLIENT_FLAG_NO_TOUCH)
		*p++ = 'T';
	if (p == to)
		*p++ = 'N';
	*p = '\0';
	return to;
}

/* address_text -- as CLIENT LIST has it; UNIX clients have no address of their own. */
static const char *
address_text(uint32 flags, const char *address, char *to, size_t size)
{
	if ((flags & CLIENT_FLAG_UNIX) == 0)
		return address;
	snprintf(to, size, "%s:0", seg_control->socket_path);
	return to;
}

/* client_line -- about one entry, with newline; returns its length, 0: the entry is free or changes hands. */
static size_t
client_line(Session *s, ClientEntry *e, char *to, size_t size)
{
	uint64		id = atomic_load_explicit(&e->id, memory_order_acquire);	/* acquire [client-id] */
	/* relaxed: all for people */
	uint32		flags = atomic_load_explicit(&e->flags, memory_order_relaxed);
	uint32		command = atomic_load_explicit(&e->command, memory_order_relaxed);
	uint32		policy = atomic_load_explicit(&e->durability, memory_order_relaxed);
	uint64		output = atomic_load_explicit(&e->output_bytes, memory_order_relaxed);
	uint64		query = atomic_load_explicit(&e->query_bytes, memory_order_relaxed);
	uint64		multi_bytes = atomic_load_explicit(&e->multi_bytes, memory_order_relaxed);
	uint64		now = clock_mono_us();
	char		flag_buf[16];
	char		addr[CLIENT_NAME_MAX];
	char		laddr[CLIENT_NAME_MAX];
	ClientText	text;
	int			n;

	if (id == 0 || !client_text_read(e, id, &text))
		return 0;
	if (e == s->entry)
		command = (uint32) s->command->index + 1;
	n = snprintf(to, size,
				 "id=%llu addr=%s laddr=%s fd=%u name=%s age=%llu idle=%llu flags=%s db=%u sub=%u psub=%u ssub=%u multi=%d "
				 "qbuf=%llu qbuf-free=0 argv-mem=0 multi-mem=%llu rbs=0 rbp=0 obl=0 oll=%u omem=%llu tot-mem=%llu events=r "
				 "cmd=%s user=default redir=%lld resp=%u lib-name=%s lib-ver=%s worker=%u durability=%s gated=%u\n",
				 (unsigned long long) id,
				 address_text(flags, text.address, addr, sizeof(addr)),
				 address_text(flags, text.local_address, laddr, sizeof(laddr)),
				 atomic_load_explicit(&e->fd, memory_order_relaxed), text.name,
				 (unsigned long long) ((now - atomic_load_explicit(&e->created_us, memory_order_relaxed)) / 1000000),
				 (unsigned long long) (e == s->entry ? 0 :
									   (now - atomic_load_explicit(&e->active_us, memory_order_relaxed)) / 1000000),
				 flags_text(flags, flag_buf),
				 e == s->entry ? s->db : atomic_load_explicit(&e->db, memory_order_relaxed),
				 atomic_load_explicit(&e->channels, memory_order_relaxed),
				 atomic_load_explicit(&e->patterns, memory_order_relaxed),
				 atomic_load_explicit(&e->shard_channels, memory_order_relaxed),
				 (int) atomic_load_explicit(&e->multi_count, memory_order_relaxed) - 1, (unsigned long long) query,
				 (unsigned long long) multi_bytes,
				 atomic_load_explicit(&e->output_chunks, memory_order_relaxed), (unsigned long long) output,
				 (unsigned long long) (query + output + multi_bytes + sizeof(Session)),
				 command == 0 ? "NULL" : command_table[command - 1].name,
				 (long long) atomic_load_explicit(&e->redirect, memory_order_relaxed),
				 e == s->entry ? s->out.proto : atomic_load_explicit(&e->proto, memory_order_relaxed),
				 text.lib_name, text.lib_version, atomic_load_explicit(&e->worker, memory_order_relaxed),
				 policy < lengthof(policy_names) ? policy_names[policy] : "server",
				 atomic_load_explicit(&e->gated, memory_order_relaxed));
	return Min((size_t) n, size - 1);
}

TcopResult
tcop__client_info(Session *s)
{
	char		line[LINE_MAX_BYTES];
	size_t		n;

	session_publish(s);
	n = client_line(s, s->entry, line, sizeof(line));
	reply_verbatim(&s->out, line, n);
	return TCOP_DONE;
}

/* ClientType -- of CLIENT LIST and KILL */
typedef enum ClientType
{
	TYPE_ANY,
	TYPE_NORMAL,
	TYPE_PUBSUB,				/* has a subscription */
	TYPE_NOBODY					/* masters, replicas: there are none */
} ClientType;

/* type_known -- the type that argument i names; false: the error is answered. */
static bool
type_known(Session *s, uint32 i, ClientType *type)
{
	*type = tcop__arg_is(s, i, "normal") ? TYPE_NORMAL : tcop__arg_is(s, i, "pubsub") ? TYPE_PUBSUB : TYPE_NOBODY;
	if (*type != TYPE_NOBODY || tcop__arg_is(s, i, "master") || tcop__arg_is(s, i, "replica") || tcop__arg_is(s, i, "slave"))
		return true;
	reply_error(&s->out, "ERR Unknown client type '%.*s'", (int) Min((size_t) 128, s->argv[i].len),
				(const char *) s->argv[i].data);
	return false;
}

static bool
type_is(ClientType type, const ClientEntry *e)
{
	bool		pubsub = (atomic_load_explicit(&e->flags, memory_order_relaxed) & CLIENT_FLAG_PUBSUB) != 0;	/* relaxed: for people */

	return type == TYPE_ANY || type == (pubsub ? TYPE_PUBSUB : TYPE_NORMAL);
}

typedef struct ListState
{
	OutChunk   *begin;
	uint64		start;			/* out.appended at begin */
	uint32		next;			/* entry to go on with */
	uint32		first_id;		/* index of the first id among the arguments, 0: all */
	ClientType	type;
} ListState;

/* list_begin -- look at the arguments; false: the error is answered. */
static bool
list_begin(Session *s, ListState *state)
{
	int64		id;

	if (tcop__too_many(s))
		return false;
	if (s->argc == 4 && tcop__arg_is(s, 2, "type"))
	{
		if (!type_known(s, 3, &state->type))
			return false;
	}
	else if (s->argc > 3 && tcop__arg_is(s, 2, "id"))
	{
		state->first_id = 3;
		for (uint32 i = 3; i < s->argc; i++)
			if (!tcop__arg_int(s, i, &id, "Invalid client ID"))
				return false;
	}
	else if (s->argc != 2)
	{
		tcop__error_syntax(s);
		return false;
	}
	session_publish(s);
	state->begin = output_begin(&s->out);
	state->start = s->out.appended;
	return true;
}

/* list_wants -- is this id among those asked for? */
static bool
list_wants(Session *s, const ListState *state, uint64 id)
{
	int64		wanted;

	if (state->first_id == 0)
		return true;
	for (uint32 i = state->first_id; i < s->argc; i++)
		if (number_parse(s->argv[i].data, s->argv[i].len, &wanted) && (uint64) wanted == id)
			return true;
	return false;
}

TcopResult
tcop__client_list(Session *s)
{
	ListState  *state = s->state;
	char		line[LINE_MAX_BYTES];
	uint8		header[40];
	uint32		n;
	uint32		portion;
	uint64		len;

	if (state == NULL)
	{
		state = tcop__state(s, sizeof(ListState), NULL);
		if (!list_begin(s, state))
			return TCOP_DONE;
	}
	portion = state->first_id == 0 ? LIST_ENTRIES_PER_RUN : Max(LIST_ENTRIES_PER_RUN * 16 / s->argc, 1u);
	for (n = 0; n < portion && state->next < client_table->entry_count; n++)
	{
		ClientEntry *e = &client_table->entry[state->next++];
		uint64		id = atomic_load_explicit(&e->id, memory_order_acquire);	/* acquire [client-id] */
		size_t		line_len;

		if (id == 0 || !type_is(state->type, e) || !list_wants(s, state, id))
			continue;
		line_len = client_line(s, e, line, sizeof(line));
		if (!output_room(&s->out, line_len))
			return TCOP_DONE;
		output_append(&s->out, line, line_len);
	}
	if (state->next < client_table->entry_count)
		return TCOP_AGAIN;
	len = s->out.appended - state->start;
	if (s->out.proto < 3)
		n = reply_header(header, '$', len);
	else
	{
		n = reply_header(header, '=', len + 4);
		memcpy(header + n, "txt:", 4);
		n += 4;
	}
	output_insert(&s->out, state->begin, header, n);
	reply_crlf(&s->out);
	return TCOP_DONE;
}

/* ---- CLIENT KILL ---- */
typedef struct KillFilter
{
	uint64		id;				/* 0: any */
	const BytePart *address;
	const BytePart *local_address;
	ClientType	type;
	bool		skip_me;
} KillFilter;

/* kill_filter -- the filters of the newer form; false: the error is answered. */
static bool
kill_filter(Session *s, KillFilter *f)
{
	int64		id;

	for (uint32 i = 2; i < s->argc; i += 2)
	{
		const BytePart *value = &s->argv[i + 1];

		if (i + 1 == s->argc)
			goto syntax;
		if (tcop__arg_is(s, i, "id"))
		{
			if (!number_parse(value->data, value->len, &id) || id < 1)
			{
				reply_error(&s->out, "ERR client-id should be greater than 0");
				return false;
			}
			f->id = (uint64) id;
		}
		else if (tcop__arg_is(s, i, "type"))
		{
			if (!type_known(s, i + 1, &f->type))
				return false;
		}
		else if (tcop__arg_is(s, i, "addr"))
			f->address = value;
		else if (tcop__arg_is(s, i, "laddr"))
			f->local_address = value;
		else if (tcop__arg_is(s, i, "user"))
		{
			if (value->len != 7 || memcmp(value->data, "default", 7) != 0)
			{
				reply_error(&s->out, "ERR No such user '%.*s'", (int) Min((size_t) 128, value->len),
							(const char *) value->data);
				return false;
			}
		}
		else if (tcop__arg_is(s, i, "skipme") && tcop__arg_is(s, i + 1, "yes"))
			f->skip_me = true;
		else if (tcop__arg_is(s, i, "skipme") && tcop__arg_is(s, i + 1, "no"))
			f->skip_me = false;
		else
			goto syntax;
	}
	return true;
syntax:
	tcop__error_syntax(s);
	return false;
}

static bool
address_is(const BytePart *wanted, uint32 flags, const char *address)
{
	char		buf[CLIENT_NAME_MAX];
	const char *text = address_text(flags, address, buf, sizeof(buf));

	return wanted == NULL || (strlen(text) == wanted->len && memcmp(text, wanted->data, wanted->len) == 0);
}

/* kill_all -- everybody whom the filter fits; returns how many. */
static int64
kill_all(Session *s, const KillFilter *f)
{
	int64		killed = 0;
	bool		self = false;

	for (uint32 i = 0; i < client_table->entry_count; i++)
	{
		ClientEntry *e = &client_table->entry[i];
		uint64		id = atomic_load_explicit(&e->id, memory_order_acquire);	/* acquire [client-id] */
		uint32		flags = atomic_load_explicit(&e->flags, memory_order_relaxed);	/* relaxed: set before the id */
		ClientText	text;

		if (id == 0 || (f->id != 0 && id != f->id) || (f->skip_me && e == s->entry) ||
			!type_is(f->type, e))
			continue;
		if (f->address != NULL || f->local_address != NULL)
		{
			if (!client_text_read(e, id, &text) || !address_is(f->address, flags, text.address) ||
				!address_is(f->local_address, flags, text.local_address))
				continue;
		}
		if (e == s->entry)
			self = true;
		else if (!client_kill(e, id))
			continue;
		killed++;
	}
	if (self)
		s->close_after_reply = true;
	return killed;
}

TcopResult
tcop__client_kill(Session *s)
{
	KillFilter	filter = {.skip_me = true};
	int64		killed;

	if (s->argc == 3)
	{
		filter.address = &s->argv[2];
		filter.skip_me = false;
		killed = kill_all(s, &filter);
		if (killed == 0)
			reply_error(&s->out, "ERR No such client");
		else
			reply_ok(&s->out);
		return TCOP_DONE;
	}
	if (tcop__too_many(s) || !kill_filter(s, &filter))
		return TCOP_DONE;
	killed = kill_all(s, &filter);
	reply_int(&s->out, killed);
	return TCOP_DONE;
}
