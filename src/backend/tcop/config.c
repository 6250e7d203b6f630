/*
 * config.c -- CONFIG GET, SET, RESETSTAT.
 *
 * Settings have artery's names; beside them stand the names of Redis that
 * clients and tools ask for, each computed from a setting or a constant here.
 * CONFIG SET of such a name sets the setting behind it; a name that stands for a
 * constant takes that constant and nothing else.
 */
#include "common/c.h"

#include "storage/ipc/segment.h"
#include "tcop/message.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"
#include "utils/settings.h"

typedef struct RedisName
{
	const char *name;
	const char *constant;		/* its only value, or NULL: 'get' tells it */
	void		(*get)(char *value, size_t size);
	/* settable: writes artery's name and value; false: *error */
	bool		(*set)(const char *value, const char **name, char *to, size_t size, const char **error);
} RedisName;

static void
get_appendfsync(char *value, size_t size)
{
	static const char *const words[] = {"always", "always", "everysec", "no"};

	snprintf(value, size, "%s", words[set_durability]);
}

static bool
set_appendfsync(const char *value, const char **name, char *to, size_t size, const char **error)
{
	static const char *const from[] = {"always", "everysec", "no"};
	static const char *const policies[] = {"immediate", "periodic", "none"};

	*name = "durability";
	for (size_t i = 0; i < lengthof(from); i++)
		if (text_is(value, strlen(value), from[i]))
		{
			snprintf(to, size, "%s", policies[i]);
			return true;
		}
	*error = "argument(s) must be one of the following: everysec, always, no";
	return false;
}

static void
get_maxmemory(char *value, size_t size)
{
	snprintf(value, size, "%lld", (long long) set_memory_limit);
}

static void
get_maxclients(char *value, size_t size)
{
	snprintf(value, size, "%lld", (long long) set_max_clients);
}

static void
get_timeout(char *value, size_t size)
{
	snprintf(value, size, "%lld", (long long) ((set_client_timeout + 999) / 1000));
}

static bool
set_timeout(const char *value, const char **name, char *to, size_t size, const char **error)
{
	int64		seconds;

	*name = "client_timeout";
	if (!number_parse(value, strlen(value), &seconds) || seconds < 0)
	{
		*error = "argument couldn't be parsed into an integer";
		return false;
	}
	snprintf(to, size, "%llds", (long long) seconds);
	return true;
}

static void
get_bulk(char *value, size_t size)
{
	snprintf(value, size, "%lld", (long long) set_max_value_size);
}

static void
get_query_limit(char *value, size_t size)
{
	snprintf(value, size, "%lld", (long long) set_client_query_buffer_limit);
}

static bool
set_query_limit(const char *value, const char **name, char *to, size_t size, const char **error)
{
	(void) error;
	*name = "client_query_buffer_limit";
	snprintf(to, size, "%s", value);
	return true;
}

static void
get_dir(char *value, size_t size)
{
	snprintf(value, size, "%s", seg_control->data_dir);
}

static void
get_socket(char *value, size_t size)
{
	snprintf(value, size, "%s", seg_control->socket_path);
}

static void
get_socket_mode(char *value, size_t size)
{
	snprintf(value, size, "%lo", strtoul(set_unix_socket_permissions, NULL, 8));
}

static void
get_bind(char *value, size_t size)
{
	snprintf(value, size, "%s", set_listen_addresses);
}

static void
get_notify(char *value, size_t size)
{
	uint32		flags;
	char		text[NOTIFY_TEXT_MAX];

	Verify(notify_parse(set_notify_keyspace_events, &flags));
	notify_format(flags, text);
	snprintf(value, size, "%s", text);
}

static bool
set_notify(const char *value, const char **name, char *to, size_t size, const char **error)
{
	uint32		flags;

	*name = "notify_keyspace_events";
	if (!notify_parse(value, &flags))
	{
		*error = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
		return false;
	}
	snprintf(to, size, "%s", value);
	return true;
}

static const RedisName redis_names[] = {
	{"save", "", NULL, NULL},
	{"appendonly", "yes", NULL, NULL},
	{"appendfsync", NULL, get_appendfsync, set_appendfsync},
	{"maxmemory", NULL, get_maxmemory, NULL},
	{"maxmemory-policy", "noeviction", NULL, NULL},
	{"databases", "16", NULL, NULL},
	{"maxclients", NULL, get_maxclients, NULL},
	{"timeout", NULL, get_timeout, set_timeout},
	{"notify-keyspace-events", NULL, get_notify, set_notify},
	{"slowlog-log-slower-than", "-1", NULL, NULL},
	{"slowlog-max-len", "0", NULL, NULL},
	{"latency-monitor-threshold", "0", NULL, NULL},
	{"proto-max-bulk-len", NULL, get_bulk, NULL},
	{"client-query-buffer-limit", NULL, get_query_limit, set_query_limit},
	{"dir", NULL, get_dir, NULL},
	{"bind", NULL, get_bind, NULL},
	{"unixsocket", NULL, get_socket, NULL},
	{"unixsocketperm", NULL, get_socket_mode, NULL},
	{"replica-read-only", "yes", NULL, NULL},
	{"slave-read-only", "yes", NULL, NULL},
	{"cluster-enabled", "no", NULL, NULL},
};

static void
redis_get(const RedisName *r, char *value, size_t size)
{
	if (r->constant != NULL)
		snprintf(value, size, "%s", r->constant);
	else
		r->get(value, size);
}

#define VALUE_TEXT_MAX 1100		/* a path, or a setting */

static bool
asked_for(Session *s, const char *name)
{
	for (uint32 i = 2; i < s->argc; i++)
		if (pattern_match(s->argv[i].data, s->argv[i].len, name, strlen(name), true))
			return true;
	return false;
}

TcopResult
tcop__config_get(Session *s)
{
	char		value[VALUE_TEXT_MAX];
	uint64		count = 0;

	if (tcop__too_many(s))
		return TCOP_DONE;
	for (size_t i = 0; i < lengthof(redis_names); i++)
		count += asked_for(s, redis_names[i].name);
	for (int i = 0; i < settings_count(); i++)
		count += asked_for(s, settings_name(i));
	reply_map(&s->out, count);
	for (size_t i = 0; i < lengthof(redis_names); i++)
		if (asked_for(s, redis_names[i].name))
		{
			redis_get(&redis_names[i], value, sizeof(value));
			reply_text(&s->out, redis_names[i].name);
			reply_text(&s->out, value);
		}
	for (int i = 0; i < settings_count(); i++)
		if (asked_for(s, settings_name(i)))
		{
			if (!settings_get(settings_name(i), value, sizeof(value)))
				NotReached();
			reply_text(&s->out, settings_name(i));
			reply_text(&s->out, value);
		}
	return TCOP_DONE;
}

/* ---- CONFIG SET ---- */
typedef struct NewSetting
{
	const char *name;			/* artery's; NULL: nothing to change */
	char		value[SETTING_VALUE_MAX];
} NewSetting;

static void
set_failed(Session *s, uint32 i, const char *why)
{
	reply_error(&s->out, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
				(int) Min((size_t) 128, s->argv[i].len), (const char *) s->argv[i].data, why);
}

/* set_redis_name -- false: the error is answered. */
static bool
set_redis_name(Session *s, uint32 i, const RedisName *r, NewSetting *to)
{
	char		value[SETTING_VALUE_MAX];
	char		present[VALUE_TEXT_MAX];
	const char *error = "can't set immutable config";

	snprintf(value, sizeof(value), "%.*s", (int) s->argv[i + 1].len, (const char *) s->argv[i + 1].data);
	if (r->set != NULL)
	{
		if (r->set(value, &to->name, to->value, sizeof(to->value), &error))
			return true;
	}
	else
	{
		redis_get(r, present, sizeof(present));
		if (strcmp(present, value) == 0)
			return true;
	}
	set_failed(s, i, error);
	return false;
}

/* set_look -- one pair of words; false: the error is answered. */
static bool
set_look(Session *s, uint32 i, NewSetting *to)
{
	const BytePart *name = &s->argv[i];
	const BytePart *value = &s->argv[i + 1];
	char		err[SETTING_ERROR_MAX];

	to->name = NULL;
	for (uint32 j = 2; j < i; j += 2)
		if (s->argv[j].len == name->len && strncasecmp(s->argv[j].data, name->data, name->len) == 0)
		{
			set_failed(s, i, "duplicate parameter");
			return false;
		}
	if (value->len >= SETTING_VALUE_MAX || memchr(value->data, '\0', value->len) != NULL)
	{
		set_failed(s, i, "invalid value");
		return false;
	}
	for (size_t r = 0; r < lengthof(redis_names); r++)
		if (text_is(name->data, name->len, redis_names[r].name))
			return set_redis_name(s, i, &redis_names[r], to);
	for (int n = 0; n < settings_count(); n++)
		if (text_is(name->data, name->len, settings_name(n)))
			to->name = settings_name(n);
	if (to->name == NULL)
	{
		reply_error(&s->out, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
					(int) Min((size_t) 128, name->len), (const char *) name->data);
		return false;
	}
	snprintf(to->value, sizeof(to->value), "%.*s", (int) value->len, (const char *) value->data);
	if (!settings_set(to->name, to->value, true, err, sizeof(err)))
	{
		set_failed(s, i, err);
		return false;
	}
	return true;
}

TcopResult
tcop__config_set(Session *s)
{
	uint32		pairs = (s->argc - 2) / 2;
	NewSetting *new;
	const char **names;
	const char **values;
	char		err[SETTING_ERROR_MAX];
	int			count = 0;
	bool		ok = true;

	if (s->argc % 2 != 0 || pairs > (uint32) settings_count() + lengthof(redis_names))
	{
		tcop__error_syntax(s);
		return TCOP_DONE;
	}
	new = calloc(pairs, sizeof(*new));
	names = calloc(pairs, sizeof(*names));
	values = calloc(pairs, sizeof(*values));
	Verify(new != NULL && names != NULL && values != NULL);
	for (uint32 i = 0; i < pairs && ok; i++)
	{
		ok = set_look(s, 2 + 2 * i, &new[i]);
		if (ok && new[i].name != NULL)
		{
			names[count] = new[i].name;
			values[count++] = new[i].value;
		}
	}
	if (ok && count > 0 && !settings_set_shared(names, values, count, err, sizeof(err)))
	{
		ok = false;
		set_failed(s, 2, err);
	}
	if (ok)
	{
		settings_apply_shared();
		reply_ok(&s->out);
	}
	free(new);
	free(names);
	free(values);
	return TCOP_DONE;
}

TcopResult
tcop__config_resetstat(Session *s)
{
	stats_reset();
	reply_ok(&s->out);
	return TCOP_DONE;
}
