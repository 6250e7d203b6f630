/*
 * config.c -- CONFIG GET, SET, RESETSTAT.  (REWRITE has a file of its own.)
 *
 * Settings have artery's names; beside them stand the names of Redis that
 * clients and tools ask for, each computed from a setting or a constant here.
 * CONFIG SET of such a name sets the setting behind it; a name that stands for a
 * constant takes that constant and nothing else.
 */
#include "common/c.h"

#include "storage/ipc/segment.h"
#include "tcop/message.h"
#include "tcop/slowlog.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"
#include "utils/elog.h"
#include "utils/settings.h"

typedef struct RedisName
{
	const char *name;
	const char *constant;		/* its only value, or NULL: one of the following tells it */
	void		(*get)(char *value, size_t size);
	/* settable: writes artery's name and value; false: *error */
	bool		(*set)(const char *value, const char **name, char *to, size_t size, const char **error);
	/* a number that is a setting of artery in another unit */
	const char *setting;
	const int64 *variable;
	int64		per;			/* of the setting's unit in one of Redis' */
	const char *unit;			/* Redis' unit as settings spell it */
	int64		min;
	int64		max;
	bool		memory;			/* takes units: 1mb */
} RedisName;

#define FIXED(name_, value) {.name = name_, .constant = value}
#define SHOWN(name_, get_) {.name = name_, .get = get_}
#define SETTABLE(name_, get_, set_) {.name = name_, .get = get_, .set = set_}
#define NUMBER(name_, setting_, per_, unit_, min_, max_) \
	{.name = name_, .setting = #setting_, .variable = &set_##setting_, .per = per_, .unit = unit_, .min = min_, .max = max_}
#define BYTES(name_, setting_, min_, max_) \
	{.name = name_, .setting = #setting_, .variable = &set_##setting_, .per = 1, .unit = "B", .min = min_, .max = max_, .memory = true}

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
get_bulk(char *value, size_t size)
{
	snprintf(value, size, "%lld", (long long) set_max_value_size);
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

static void
get_pid_file(char *value, size_t size)
{
	snprintf(value, size, "%s/artery.pid", seg_control->data_dir);
}

static void
get_workers(char *value, size_t size)
{
	snprintf(value, size, "%u", client_table->worker_count);
}

static void
get_debug(char *value, size_t size)
{
	static const char *const words[] = {"no", "local", "yes"};

	snprintf(value, size, "%s", words[set_enable_debug_command]);
}

static void
get_output_limit(char *value, size_t size)
{
	snprintf(value, size, "normal %lld 0 0 slave 0 0 0 pubsub %lld 0 0", (long long) set_client_output_buffer_limit,
			 (long long) set_client_output_buffer_limit);
}

static void
get_max_wal(char *value, size_t size)
{
	snprintf(value, size, "%lld", (long long) set_max_wal_size);
}

/* log levels: Redis' and ours */
static const struct
{
	const char *redis;
	const char *ours;
	int			level;			/* up to here it is this one */
}			levels[] = {{"debug", "debug1", DEBUG1}, {"verbose", "info", INFO}, {"notice", "log", LOG}, {"warning", "warning", PANIC}};

static void
get_loglevel(char *value, size_t size)
{
	size_t		i = 0;

	while (set_log_min_messages > levels[i].level)
		i++;
	snprintf(value, size, "%s", levels[i].redis);
}

static bool
set_loglevel(const char *value, const char **name, char *to, size_t size, const char **error)
{
	*name = "log_min_messages";
	for (size_t i = 0; i < lengthof(levels); i++)
		if (text_is(value, strlen(value), levels[i].redis))
		{
			snprintf(to, size, "%s", levels[i].ours);
			return true;
		}
	*error = "argument(s) must be one of the following: debug, verbose, notice, warning";
	return false;
}

/* set_policy -- keys are never evicted. */
static bool
set_policy(const char *value, const char **name, char *to, size_t size, const char **error)
{
	static const char *const others[] = {"volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru",
	"allkeys-lfu", "allkeys-random"};

	(void) to;
	(void) size;
	*name = NULL;
	if (text_is(value, strlen(value), "noeviction"))
		return true;
	*error = "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, "
		"allkeys-lfu, allkeys-random, noeviction";
	for (size_t i = 0; i < lengthof(others); i++)
		if (text_is(value, strlen(value), others[i]))
			*error = "no key is ever evicted here: noeviction is the only policy";
	return false;
}

static void
get_policy(char *value, size_t size)
{
	snprintf(value, size, "noeviction");
}

static const RedisName redis_names[] = {
	FIXED("save", ""),
	FIXED("appendonly", "yes"),
	SETTABLE("appendfsync", get_appendfsync, set_appendfsync),
	SHOWN("maxmemory", get_maxmemory),
	SETTABLE("maxmemory-policy", get_policy, set_policy),
	FIXED("databases", "16"),
	SHOWN("maxclients", get_maxclients),
	NUMBER("timeout", client_timeout, 1000, "s", 0, 86400),
	SETTABLE("notify-keyspace-events", get_notify, set_notify),
	NUMBER("slowlog-log-slower-than", slowlog_log_slower_than, 1, "", -1, INT64_C(3600000000)),
	NUMBER("slowlog-max-len", slowlog_max_len, 1, "", 0, SLOWLOG_ENTRIES_MAX),
	NUMBER("latency-monitor-threshold", latency_monitor_threshold, 1, "ms", 0, 3600000),
	SHOWN("proto-max-bulk-len", get_bulk),
	BYTES("client-query-buffer-limit", client_query_buffer_limit, 1 * MIB, 1024 * MIB),
	SHOWN("client-output-buffer-limit", get_output_limit),
	SETTABLE("loglevel", get_loglevel, set_loglevel),
	FIXED("logfile", ""),
	SHOWN("dir", get_dir),
	SHOWN("pidfile", get_pid_file),
	SHOWN("bind", get_bind),
	SHOWN("unixsocket", get_socket),
	SHOWN("unixsocketperm", get_socket_mode),
	SHOWN("enable-debug-command", get_debug),
	SHOWN("io-threads", get_workers),
	SHOWN("auto-aof-rewrite-min-size", get_max_wal),
	FIXED("auto-aof-rewrite-percentage", "100"),
	FIXED("replica-read-only", "yes"),
	FIXED("slave-read-only", "yes"),
	FIXED("replica-serve-stale-data", "yes"),
	FIXED("slave-serve-stale-data", "yes"),
	FIXED("min-replicas-to-write", "0"),
	FIXED("min-slaves-to-write", "0"),
	FIXED("masterauth", ""),
	FIXED("replicaof", ""),
	FIXED("slaveof", ""),
	FIXED("cluster-enabled", "no"),
	FIXED("enable-module-command", "no"),
	FIXED("daemonize", "no"),
	FIXED("protected-mode", "yes"),
	FIXED("tcp-keepalive", "0"),
	FIXED("hz", "10"),
	FIXED("maxmemory-samples", "5"),
	FIXED("lfu-log-factor", "10"),
	FIXED("lfu-decay-time", "1"),
	FIXED("activerehashing", "yes"),
	FIXED("lazyfree-lazy-eviction", "yes"),
	FIXED("lazyfree-lazy-expire", "yes"),
	FIXED("lazyfree-lazy-server-del", "yes"),
	FIXED("lazyfree-lazy-user-del", "yes"),
	FIXED("lazyfree-lazy-user-flush", "yes"),
	FIXED("stop-writes-on-bgsave-error", "no"),
	FIXED("latency-tracking", "yes"),
	FIXED("latency-tracking-info-percentiles", "50 99 99.9"),
	FIXED("list-max-listpack-size", "-2"),
	FIXED("list-max-ziplist-size", "-2"),
	FIXED("list-compress-depth", "0"),
	FIXED("hash-max-listpack-entries", "512"),
	FIXED("hash-max-ziplist-entries", "512"),
	FIXED("hash-max-listpack-value", "64"),
	FIXED("hash-max-ziplist-value", "64"),
	FIXED("set-max-intset-entries", "512"),
	FIXED("zset-max-listpack-entries", "128"),
	FIXED("zset-max-ziplist-entries", "128"),
	FIXED("zset-max-listpack-value", "64"),
	FIXED("zset-max-ziplist-value", "64"),
};

static void
redis_get(const RedisName *r, char *value, size_t size)
{
	if (r->constant != NULL)
		snprintf(value, size, "%s", r->constant);
	else if (r->setting != NULL)
		snprintf(value, size, "%lld", (long long) ((*r->variable + r->per - 1) / r->per));
	else
		r->get(value, size);
}

#define VALUE_TEXT_MAX 1100		/* a path, or a setting */

/* asked_for -- the word that asks for a name, or NULL. */
static const BytePart *
asked_for(Session *s, const char *name)
{
	for (uint32 i = 2; i < s->argc; i++)
		if (pattern_match(s->argv[i].data, s->argv[i].len, name, strlen(name), true))
			return &s->argv[i];
	return NULL;
}

/* reply_name -- as it was asked for, unless by a pattern: clients look for what they have sent. */
static void
reply_name(Session *s, const BytePart *word, const char *name)
{
	if (text_is(word->data, word->len, name))
		reply_bulk(&s->out, word->data, word->len);
	else
		reply_text(&s->out, name);
}

TcopResult
tcop__config_get(Session *s)
{
	char		value[VALUE_TEXT_MAX];
	uint64		count = 0;
	const BytePart *word;

	if (tcop__too_many(s))
		return TCOP_DONE;
	for (size_t i = 0; i < lengthof(redis_names); i++)
		count += asked_for(s, redis_names[i].name) != NULL;
	for (int i = 0; i < settings_count(); i++)
		count += asked_for(s, settings_name(i)) != NULL;
	reply_map(&s->out, count);
	for (size_t i = 0; i < lengthof(redis_names); i++)
		if ((word = asked_for(s, redis_names[i].name)) != NULL)
		{
			redis_get(&redis_names[i], value, sizeof(value));
			reply_name(s, word, redis_names[i].name);
			reply_text(&s->out, value);
		}
	for (int i = 0; i < settings_count(); i++)
		if ((word = asked_for(s, settings_name(i))) != NULL)
		{
			if (!settings_get(settings_name(i), value, sizeof(value)))
				NotReached();
			reply_name(s, word, settings_name(i));
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

/* memory_parse -- a number with a unit of Redis': b, k, kb, m, mb, g, gb, where k is 1,000 and kb 1,024; what is too large is INT64_MAX. */
static bool
memory_parse(const char *text, int64 *bytes)
{
	static const struct
	{
		const char *name;
		int64		bytes;
	}			units[] = {{"", 1}, {"b", 1}, {"k", 1000}, {"kb", KIB}, {"m", 1000 * 1000}, {"mb", MIB}, {"g", 1000 * 1000 * 1000}, {"gb", 1024 * MIB}};
	size_t		digits = strspn(text, "0123456789");

	for (size_t i = 0; i < lengthof(units); i++)
		if (strcasecmp(text + digits, units[i].name) == 0)
		{
			int64		number = digits == 0 ? 0 : strtoll(text, NULL, 10);	/* INT64_MAX where it is more */

			if (__builtin_mul_overflow(number, units[i].bytes, bytes))
				*bytes = INT64_MAX;
			return true;
		}
	return false;
}

/* set_number -- false: *error. */
static bool
set_number(const RedisName *r, const char *value, NewSetting *to, char *error, size_t error_size)
{
	int64		number;

	if (r->memory && !memory_parse(value, &number))
		snprintf(error, error_size, "argument must be a memory value");
	else if (!r->memory && !number_parse(value, strlen(value), &number))
		snprintf(error, error_size, "argument couldn't be parsed into an integer");
	else if (number < r->min || number > r->max)
		snprintf(error, error_size, "argument must be between %lld and %lld inclusive", (long long) r->min, (long long) r->max);
	else
	{
		to->name = r->setting;
		snprintf(to->value, sizeof(to->value), "%lld%s", (long long) number, r->unit);
		return true;
	}
	return false;
}

/* yes_or_no -- text that only takes these two. */
static bool
yes_or_no(const char *text)
{
	return text_is(text, strlen(text), "yes") || text_is(text, strlen(text), "no");
}

/* set_redis_name -- false: the error is answered. */
static bool
set_redis_name(Session *s, uint32 i, const RedisName *r, NewSetting *to)
{
	char		value[SETTING_VALUE_MAX];
	char		present[VALUE_TEXT_MAX];
	char		number_error[128];
	const char *error = "can't set immutable config";

	snprintf(value, sizeof(value), "%.*s", (int) s->argv[i + 1].len, (const char *) s->argv[i + 1].data);
	if (r->setting != NULL)
	{
		if (set_number(r, value, to, number_error, sizeof(number_error)))
			return true;
		error = number_error;
	}
	else if (r->set != NULL)
	{
		if (r->set(value, &to->name, to->value, sizeof(to->value), &error))
			return true;
	}
	else
	{
		redis_get(r, present, sizeof(present));
		if (strcasecmp(present, value) == 0)
			return true;
		if (yes_or_no(present) && !yes_or_no(value))
			error = "argument must be 'yes' or 'no'";
	}
	set_failed(s, i, error);
	return false;
}

static const RedisName *
redis_name_find(const BytePart *name)
{
	for (size_t r = 0; r < lengthof(redis_names); r++)
		if (text_is(name->data, name->len, redis_names[r].name))
			return &redis_names[r];
	return NULL;
}

static const char *
setting_find(const BytePart *name)
{
	for (int n = 0; n < settings_count(); n++)
		if (text_is(name->data, name->len, settings_name(n)))
			return settings_name(n);
	return NULL;
}

/* names_known -- of all pairs, before any value is looked at; false: the error is answered. */
static bool
names_known(Session *s)
{
	for (uint32 i = 2; i < s->argc; i += 2)
	{
		const BytePart *name = &s->argv[i];

		if (redis_name_find(name) == NULL && setting_find(name) == NULL)
		{
			reply_error(&s->out, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
						(int) Min((size_t) 128, name->len), (const char *) name->data);
			return false;
		}
		for (uint32 j = 2; j < i; j += 2)
			if (s->argv[j].len == name->len && strncasecmp(s->argv[j].data, name->data, name->len) == 0)
			{
				set_failed(s, i, "duplicate parameter");
				return false;
			}
	}
	return true;
}

/* set_look -- one pair of words; false: the error is answered. */
static bool
set_look(Session *s, uint32 i, NewSetting *to)
{
	const BytePart *name = &s->argv[i];
	const BytePart *value = &s->argv[i + 1];
	const RedisName *redis_name = redis_name_find(name);
	char		err[SETTING_ERROR_MAX];

	to->name = NULL;
	if (value->len >= SETTING_VALUE_MAX || (value->len > 0 && memchr(value->data, '\0', value->len) != NULL))
	{
		set_failed(s, i, "invalid value");
		return false;
	}
	if (redis_name != NULL)
		return set_redis_name(s, i, redis_name, to);
	to->name = setting_find(name);
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
	if (!names_known(s))
		return TCOP_DONE;
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
