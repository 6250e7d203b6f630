/*
 * settings.c -- the settings of this process: table, variables, layers.
 *
 * settings_list.h becomes the table and one variable per setting.  The layers,
 * lowest first: default, artery.conf, -c, CONFIG SET.  Whenever a layer changes,
 * all values are worked out anew as candidates, checked one by one and against
 * each other, and installed only if all is well; so no process ever runs on half
 * of a change.
 *
 * The postmaster loads before it forks; children inherit table, file name and -c
 * options and reload by themselves on SIGHUP.  All of it is private memory: a
 * process that dies here leaves nothing behind.  CONFIG SET for all processes is
 * in settings_shared.c.  Not for signal handlers, not for threads.
 *
 * The variables of strings point to fixed buffers whose content changes, so a
 * pointer kept by a caller stays good, but is not a copy.
 */
#include "common/conf.h"
#include "utils/elog.h"
#include "utils/settings_internal.h"

#include <limits.h>
#include <unistd.h>

/* ---- variables and table ---- */

#define SETTING_SECTION(id, title)
#define SETTING_BOOL(name, def, ctx, text) bool set_##name = def;
#define SETTING_INT(name, def, min, max, ctx, text) int64 set_##name = def;
#define SETTING_SIZE(name, def, min, max, ctx, text) int64 set_##name = def;
#define SETTING_TIME_MS(name, def, min, max, ctx, text) int64 set_##name = def;
#define SETTING_TIME_US(name, def, min, max, ctx, text) int64 set_##name = def;
#define SETTING_STRING(name, def, ctx, text)		\
	static char buffer_##name[SETTING_VALUE_MAX] = def; \
	const char *set_##name = buffer_##name;
#define SETTING_ENUM(name, def, words, ctx, text) int set_##name = def;
#include "utils/settings_list.h"
#undef SETTING_BOOL
#undef SETTING_INT
#undef SETTING_SIZE
#undef SETTING_TIME_MS
#undef SETTING_TIME_US
#undef SETTING_STRING
#undef SETTING_ENUM

#define NUMBER(kind, name_, def_, min_, max_, ctx, text_)                                                      \
	{.name = #name_, .type = kind, .context = SETTING_##ctx, .def = (int64) (def_), .min = (int64) (min_), \
	 .max = (int64) (max_), .text = text_, .variable = &set_##name_},

const Setting settings__table[SETTING_COUNT] = {
#define SETTING_BOOL(name, def, ctx, text) NUMBER(SETTING_TYPE_BOOL, name, def, 0, 1, ctx, text)
#define SETTING_INT(name, def, min, max, ctx, text) NUMBER(SETTING_TYPE_INT, name, def, min, max, ctx, text)
#define SETTING_SIZE(name, def, min, max, ctx, text) NUMBER(SETTING_TYPE_SIZE, name, def, min, max, ctx, text)
#define SETTING_TIME_MS(name, def, min, max, ctx, text) NUMBER(SETTING_TYPE_TIME_MS, name, def, min, max, ctx, text)
#define SETTING_TIME_US(name, def, min, max, ctx, text) NUMBER(SETTING_TYPE_TIME_US, name, def, min, max, ctx, text)
#define SETTING_STRING(name_, def_, ctx, text_)                                                  \
	{.name = #name_, .type = SETTING_TYPE_STRING, .context = SETTING_##ctx, .def_text = def_, \
	 .text = text_, .variable = buffer_##name_},
#define SETTING_ENUM(name_, def_, words_, ctx, text_)                                         \
	{.name = #name_, .type = SETTING_TYPE_ENUM, .context = SETTING_##ctx, .def = def_,     \
	 .words = words_, .text = text_, .variable = &set_##name_},
#include "utils/settings_list.h"
};

/* ---- layers ---- */

static char conf_path[PATH_MAX];				/* empty: no file */
static char *option_layer[SETTING_COUNT];		/* text of -c, NULL: none */
static char *live_layer[SETTING_COUNT];			/* text of CONFIG SET, NULL: none */
static SettingValue installed[SETTING_COUNT];	/* what the layers gave last; a room may have refined the variable since */
static bool is_installed;						/* false: the variables hold the defaults */
static int	loader_pid;							/* who loaded first: it reports for all at SIGHUP */

/* Source -- where a candidate comes from, for messages and for values that follow others. */
typedef enum SourceKind
{
	SOURCE_DEFAULT,
	SOURCE_FILE,
	SOURCE_OPTION,
	SOURCE_LIVE
} SourceKind;

typedef struct Candidate
{
	SettingValue value;
	SourceKind	source;
	int			line;		/* SOURCE_FILE */
} Candidate;

/*
 * Building -- candidates under construction.  Strict (start, CONFIG SET): the
 * first error ends it.  Tolerant (SIGHUP): an error is reported, the setting
 * keeps what it had.  One at a time; static because it is large.
 */
typedef struct Building
{
	Candidate	candidate[SETTING_COUNT];
	bool		tolerant;
	bool		failed;
	char		err[SETTING_ERROR_MAX];
} Building;

static Building building;

int
settings__find(const char *name)
{
	for (int i = 0; i < SETTING_COUNT; i++)
		if (strcmp(settings__table[i].name, name) == 0)
			return i;
	return -1;
}

/* variable_read -- the value in force, as the rooms see it. */
static void
variable_read(int index, SettingValue *value)
{
	const Setting *setting = &settings__table[index];

	value->text[0] = '\0';
	switch (setting->type)
	{
		case SETTING_TYPE_BOOL:
			value->number = *(bool *) setting->variable;
			break;
		case SETTING_TYPE_ENUM:
			value->number = *(int *) setting->variable;
			break;
		case SETTING_TYPE_STRING:
			value->number = 0;
			memcpy(value->text, setting->variable, SETTING_VALUE_MAX);
			break;
		default:
			value->number = *(int64 *) setting->variable;
			break;
	}
}

static void
variable_write(int index, const SettingValue *value)
{
	const Setting *setting = &settings__table[index];

	switch (setting->type)
	{
		case SETTING_TYPE_BOOL:
			*(bool *) setting->variable = value->number != 0;
			break;
		case SETTING_TYPE_ENUM:
			*(int *) setting->variable = (int) value->number;
			break;
		case SETTING_TYPE_STRING:
			memcpy(setting->variable, value->text, SETTING_VALUE_MAX);
			break;
		default:
			*(int64 *) setting->variable = value->number;
			break;
	}
}

static bool
value_equal(int index, const SettingValue *a, const SettingValue *b)
{
	if (settings__table[index].type == SETTING_TYPE_STRING)
		return strcmp(a->text, b->text) == 0;
	return a->number == b->number;
}

/* reload_level -- the level of lines about a reload: the first process speaks for all. */
static LogLevel
reload_level(LogLevel level)
{
	return loader_pid == (int) getpid() ? level : DEBUG1;
}

/* build_fail -- note an error; true: tolerant, go on. */
static bool
build_fail(Building *b, const char *text)
{
	if (b->tolerant)
		ereport(reload_level(WARNING), "%s", text);
	else if (!b->failed)
		(void) snprintf(b->err, sizeof(b->err), "%s", text);
	b->failed = true;
	return b->tolerant;
}

/* build_put -- a text from a layer becomes the candidate; 'where' ends the message: ' in file "x" line 3'. */
static bool
build_put(Building *b, int index, const char *text, SourceKind source, int line, const char *where)
{
	SettingValue value;
	char		err[SETTING_ERROR_MAX];
	char		message[SETTING_ERROR_MAX + PATH_MAX];

	if (!settings__parse(&settings__table[index], text, &value, err, sizeof(err)))
	{
		(void) snprintf(message, sizeof(message), "%s%s", err, where);
		if (is_installed)
			b->candidate[index].value = installed[index];
		return build_fail(b, message);
	}
	b->candidate[index] = (Candidate) {.value = value, .source = source, .line = line};
	return true;
}

static bool
file_entry(void *arg, int line, const char *name, const char *value)
{
	Building   *b = arg;
	int			index = settings__find(name);
	char		where[PATH_MAX + 32];
	char		message[PATH_MAX + SETTING_ERROR_MAX];

	(void) snprintf(where, sizeof(where), " in file \"%s\" line %d", conf_path, line);
	if (index >= 0)
		return build_put(b, index, value, SOURCE_FILE, line, where);
	(void) snprintf(message, sizeof(message), "unrecognized setting \"%s\"%s", name, where);
	return build_fail(b, message);
}

static bool
file_error(void *arg, int line, const char *text)
{
	char		message[PATH_MAX + SETTING_ERROR_MAX];

	(void) snprintf(message, sizeof(message), "%s in file \"%s\" line %d", text, conf_path, line);
	return build_fail(arg, message);
}

/* build_file -- the layer of artery.conf. */
static void
build_file(Building *b)
{
	ConfReader	reader = {.entry = file_entry, .error = file_error, .arg = b};
	char		message[PATH_MAX + SETTING_ERROR_MAX];
	int			error;

	if (conf_path[0] == '\0')
		return;
	error = conf_read_file(conf_path, &reader);
	if (error != 0)
	{
		(void) snprintf(message, sizeof(message), "could not read settings file \"%s\": %s", conf_path,
						strerror(error));
		/* a file that cannot be read says nothing about any setting: all of them stay */
		if (is_installed)
			for (int i = 0; i < SETTING_COUNT; i++)
				b->candidate[i].value = installed[i];
		(void) build_fail(b, message);
	}
}

/* describe_source -- where the operator finds the line that set 'index'. */
static const char *
describe_source(const Building *b, int index, char *text, size_t size)
{
	const Candidate *c = &b->candidate[index];

	switch (c->source)
	{
		case SOURCE_DEFAULT:
			(void) snprintf(text, size, "by default");
			break;
		case SOURCE_FILE:
			(void) snprintf(text, size, "in file \"%.300s\" line %d", conf_path, c->line);
			break;
		case SOURCE_OPTION:
			(void) snprintf(text, size, "by option -c");
			break;
		case SOURCE_LIVE:
			(void) snprintf(text, size, "by CONFIG SET");
			break;
	}
	return text;
}

/* ---- checks of settings against each other ---- */

/* A record, header and key included, may take a quarter of the ring; this much of it is not value. */
#define RECORD_OVERHEAD_BYTES ((int64) (64 * KIB))

static bool
check_power_of_two(const Building *b, int index, char *err, size_t err_size)
{
	const SettingValue *value = &b->candidate[index].value;
	char		text[64];
	char		source[400];

	if (IsPowerOf2(value->number))
		return true;
	settings__format(&settings__table[index], value, text, sizeof(text));
	(void) snprintf(err, err_size, "%s = %s is not a power of two (set %s)", settings__table[index].name, text,
					describe_source(b, index, source, sizeof(source)));
	return false;
}

/*
 * check_value_size -- a value must fit into a record, a record into a quarter of
 * the ring.  A max_value_size that nobody set follows wal_buffers.
 */
static bool
check_value_size(Building *b, char *err, size_t err_size)
{
	Candidate  *value = &b->candidate[SETTING_INDEX_max_value_size];
	const Candidate *ring = &b->candidate[SETTING_INDEX_wal_buffers];
	int64		bound = ring->value.number / 4 - RECORD_OVERHEAD_BYTES;
	SettingValue bound_value = {.number = bound};
	char		has[64];
	char		max[64];
	char		source[400];

	if (value->value.number <= bound)
		return true;
	if (value->source == SOURCE_DEFAULT)
	{
		value->value.number = bound;
		return true;
	}
	settings__format(&settings__table[SETTING_INDEX_max_value_size], &value->value, has, sizeof(has));
	settings__format(&settings__table[SETTING_INDEX_max_value_size], &bound_value, max, sizeof(max));
	(void) snprintf(err, err_size, "max_value_size = %s is more than a quarter of wal_buffers less 64kB, which is %s (set %s)",
					has, max, describe_source(b, SETTING_INDEX_max_value_size, source, sizeof(source)));
	return false;
}

static bool
check_permissions(const Building *b, char *err, size_t err_size)
{
	const char *text = b->candidate[SETTING_INDEX_unix_socket_permissions].value.text;
	size_t		digits = strspn(text, "01234567");
	char		source[400];

	if (digits >= 3 && digits <= 4 && text[digits] == '\0' && (digits == 3 || text[0] == '0'))
		return true;
	(void) snprintf(err, err_size, "unix_socket_permissions = %.20s is not an octal mode such as 0700 (set %s)", text,
					describe_source(b, SETTING_INDEX_unix_socket_permissions, source, sizeof(source)));
	return false;
}

static bool
check_notify(const Building *b, char *err, size_t err_size)
{
	const char *text = b->candidate[SETTING_INDEX_notify_keyspace_events].value.text;
	char		source[400];

	if (text[strspn(text, "Ag$lshzxeKEtmdn")] == '\0')
		return true;
	(void) snprintf(err, err_size, "notify_keyspace_events = %.20s has a letter that is none of Ag$lshzxeKEtmdn (set %s)", text,
					describe_source(b, SETTING_INDEX_notify_keyspace_events, source, sizeof(source)));
	return false;
}

/* check_all -- what no single setting can say about itself. */
static bool
check_all(Building *b, char *err, size_t err_size)
{
	const char *fault_points = b->candidate[SETTING_INDEX_fault_points].value.text;
	char		source[400];

	if (!check_power_of_two(b, SETTING_INDEX_wal_buffers, err, err_size) ||
		!check_power_of_two(b, SETTING_INDEX_wal_segment_size, err, err_size) || !check_value_size(b, err, err_size) ||
		!check_permissions(b, err, err_size) || !check_notify(b, err, err_size))
		return false;
	if (b->candidate[SETTING_INDEX_listen_addresses].value.text[0] != '\0' &&
		b->candidate[SETTING_INDEX_requirepass].value.text[0] == '\0')
	{
		(void) snprintf(err, err_size, "listen_addresses needs requirepass: no server without a password on the network (set %s)",
						describe_source(b, SETTING_INDEX_listen_addresses, source, sizeof(source)));
		return false;
	}
#ifdef ARTERY_FAULTS
	(void) fault_points;
#else
	if (fault_points[0] != '\0')
	{
		(void) snprintf(err, err_size, "fault_points needs a server built with fault points (set %s)",
						describe_source(b, SETTING_INDEX_fault_points, source, sizeof(source)));
		return false;
	}
#endif
	return true;
}

/* ---- building and installing ---- */

static void
build_start(Building *b, bool tolerant)
{
	b->tolerant = tolerant;
	b->failed = false;
	b->err[0] = '\0';
	for (int i = 0; i < SETTING_COUNT; i++)
	{
		settings__default(&settings__table[i], &b->candidate[i].value);
		b->candidate[i].source = SOURCE_DEFAULT;
	}
}

/* build_options, build_live -- the upper layers; false: failed (never when tolerant). */
static bool
build_options(Building *b)
{
	for (int i = 0; i < SETTING_COUNT; i++)
		if (option_layer[i] != NULL && !build_put(b, i, option_layer[i], SOURCE_OPTION, 0, " in option -c"))
			return false;
	return true;
}

static bool
build_live(Building *b)
{
	for (int i = 0; i < SETTING_COUNT; i++)
		if (live_layer[i] != NULL && !build_put(b, i, live_layer[i], SOURCE_LIVE, 0, ""))
			return false;
	return true;
}

/* build_installed -- start from what is in force, not from the layers below CONFIG SET. */
static void
build_installed(Building *b)
{
	build_start(b, false);
	if (!is_installed)
		return;
	for (int i = 0; i < SETTING_COUNT; i++)
	{
		b->candidate[i].value = installed[i];
		/* not a default: whoever is in force does not follow others any more */
		b->candidate[i].source = SOURCE_OPTION;
	}
}

/* install -- the candidates come into force; a variable changes only where its layers' value did. */
static void
install(const Building *b)
{
	for (int i = 0; i < SETTING_COUNT; i++)
	{
		if (!is_installed || !value_equal(i, &installed[i], &b->candidate[i].value))
			variable_write(i, &b->candidate[i].value);
		installed[i] = b->candidate[i].value;
	}
	is_installed = true;
	elog_set_min_level((LogLevel) set_log_min_messages);
}

/* layer_set -- keep a copy of a text in a layer. */
static void
layer_set(char **layer, const char *text)
{
	char	   *copy = strdup(text);

	Verify(copy != NULL);
	free(*layer);
	*layer = copy;
}

/* load_options -- -c name=value into their layer, the last one of a name wins. */
static bool
load_options(const char *const *overrides, int count, char *err, size_t err_size)
{
	char		name[CONF_NAME_MAX];
	char		value[SETTING_VALUE_MAX];

	for (int i = 0; i < count; i++)
	{
		int			index;

		if (!conf_split(overrides[i], name, sizeof(name), value, sizeof(value), err, err_size))
			return false;
		index = settings__find(name);
		if (index < 0)
		{
			(void) snprintf(err, err_size, "unrecognized setting \"%s\" in option -c", name);
			return false;
		}
		layer_set(&option_layer[index], value);
	}
	return true;
}

/*
 * settings_load -- at the start of a process that was not forked from a server.
 *
 * conf: path of artery.conf, NULL for none.  Replaces what an earlier call
 * loaded; on false everything is as the caller found it but the -c layer.
 */
bool
settings_load(const char *conf, const char *const *overrides, int override_count, char *err, size_t err_size)
{
	Building   *b = &building;

	if (loader_pid == 0)
		loader_pid = (int) getpid();
	if (conf != NULL && strlen(conf) >= sizeof(conf_path))
	{
		(void) snprintf(err, err_size, "path of the settings file is too long");
		return false;
	}
	(void) snprintf(conf_path, sizeof(conf_path), "%s", conf != NULL ? conf : "");
	for (int i = 0; i < SETTING_COUNT; i++)
	{
		free(option_layer[i]);
		free(live_layer[i]);
		option_layer[i] = live_layer[i] = NULL;
	}
	if (!load_options(overrides, override_count, err, err_size))
		return false;
	build_start(b, false);
	build_file(b);
	if (b->failed || !build_options(b))
	{
		(void) snprintf(err, err_size, "%s", b->err);
		return false;
	}
	if (!check_all(b, err, err_size))
		return false;
	install(b);
	return true;
}

/*
 * settings_reload -- SIGHUP.
 *
 * A line that is wrong leaves its setting as it is; a setting that needs a
 * restart stays, with one line; if the settings do not go together, all stay.
 * The process that loaded first logs, the others only at DEBUG1: one line per
 * problem, not one per process.
 */
void
settings_reload(void)
{
	Building   *b = &building;
	char		err[SETTING_ERROR_MAX];

	build_start(b, true);
	build_file(b);
	(void) build_options(b);
	(void) build_live(b);
	for (int i = 0; i < SETTING_COUNT; i++)
		if (settings__table[i].context == SETTING_START)
		{
			Candidate  *c = &b->candidate[i];
			bool		follows = c->source == SOURCE_DEFAULT && i == SETTING_INDEX_max_value_size;

			if (!follows && !value_equal(i, &c->value, &installed[i]))
				ereport(reload_level(LOG), "setting \"%s\" cannot be changed without restarting the server",
						settings__table[i].name);
			c->value = installed[i];
		}
	if (check_all(b, err, sizeof(err)))
		install(b);
	else
		ereport(reload_level(WARNING), "settings file \"%s\" not applied: %s", conf_path, err);
}

/* ---- CONFIG SET, CONFIG GET ---- */

bool
settings__check_live(const char *const *names, const char *const *values, int count, char *err, size_t err_size)
{
	Building   *b = &building;
	bool		seen[SETTING_COUNT] = {false};

	build_installed(b);
	for (int i = 0; i < count; i++)
	{
		int			index = settings__find(names[i]);

		if (index < 0)
			(void) snprintf(err, err_size, "unrecognized setting \"%.100s\"", names[i]);
		else if (seen[index])
			(void) snprintf(err, err_size, "setting \"%s\" is given twice", names[i]);
		else if (settings__table[index].context == SETTING_START)
			(void) snprintf(err, err_size, "setting \"%s\" cannot be changed without restarting the server", names[i]);
		else if (settings__table[index].context == SETTING_RELOAD)
			(void) snprintf(err, err_size, "setting \"%s\" can be changed in artery.conf only", names[i]);
		else if (settings__parse(&settings__table[index], values[i], &b->candidate[index].value, err, err_size))
		{
			b->candidate[index].source = SOURCE_LIVE;
			seen[index] = true;
			continue;
		}
		return false;
	}
	return check_all(b, err, err_size);
}

void
settings__set_live_layer(int index, const char *text)
{
	layer_set(&live_layer[index], text);
}

void
settings__install_live(void)
{
	Building   *b = &building;
	char		err[SETTING_ERROR_MAX];

	build_installed(b);
	b->tolerant = true;
	(void) build_live(b);
	if (check_all(b, err, sizeof(err)))
		install(b);
	else
		ereport(WARNING, "settings changed by CONFIG SET not applied: %s", err);
}

bool
settings_set(const char *name, const char *value, bool dry_run, char *err, size_t err_size)
{
	if (!settings__check_live(&name, &value, 1, err, err_size))
		return false;
	if (!dry_run)
	{
		settings__set_live_layer(settings__find(name), value);
		settings__install_live();
	}
	return true;
}

bool
settings_get(const char *name, char *value, size_t size)
{
	SettingValue current;
	int			index = settings__find(name);

	if (index < 0)
		return false;
	variable_read(index, &current);
	settings__format(&settings__table[index], &current, value, size);
	return true;
}

int
settings_count(void)
{
	return SETTING_COUNT;
}

const char *
settings_name(int index)
{
	Verify(index >= 0 && index < SETTING_COUNT);
	return settings__table[index].name;
}

const char *
settings_live(int index)
{
	Verify(index >= 0 && index < SETTING_COUNT);
	return live_layer[index];
}
