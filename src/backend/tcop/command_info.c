/*
 * command_info.c -- COMMAND and its sub-commands, HELP of the containers, and
 * doc/commands.md: all from the one table.
 */
#include "common/c.h"

#include <ctype.h>

#include "tcop/tcop_internal.h"
#include "tcop/usage.h"

typedef struct FlagName
{
	uint32		flag;
	const char *name;
} FlagName;

static const FlagName command_flags[] = {
	{CMD_WRITE, "write"}, {CMD_READONLY, "readonly"}, {CMD_DENYOOM, "denyoom"}, {CMD_ADMIN, "admin"}, {CMD_PUBSUB, "pubsub"},
	{CMD_NOSCRIPT, "noscript"}, {CMD_BLOCKING, "blocking"}, {CMD_LOADING, "loading"}, {CMD_STALE, "stale"},
	{CMD_SKIP_MONITOR, "skip_monitor"}, {CMD_SKIP_SLOWLOG, "skip_slowlog"}, {CMD_FAST, "fast"}, {CMD_NO_AUTH, "no_auth"},
	{CMD_NO_ASYNC_LOADING, "no_async_loading"}, {CMD_NO_MULTI, "no_multi"}, {CMD_MOVABLE_KEYS, "movablekeys"},
	{CMD_ALLOW_BUSY, "allow_busy"},
};

/* an ACL category: of the flags, or of the table's own column; those of types that are not here have no commands */
typedef struct Category
{
	const char *name;
	uint32		flags;			/* any of these ... */
	uint32		acl;			/* ... or of these */
} Category;

static const Category categories[] = {
	{"keyspace", 0, ACL_KEYSPACE}, {"read", CMD_READONLY, 0}, {"write", CMD_WRITE, 0}, {"set", 0, 0}, {"sortedset", 0, 0},
	{"list", 0, 0}, {"hash", 0, 0}, {"string", 0, ACL_STRING}, {"bitmap", 0, ACL_BITMAP}, {"hyperloglog", 0, 0}, {"geo", 0, 0},
	{"stream", 0, 0}, {"pubsub", CMD_PUBSUB, ACL_PUBSUB}, {"admin", CMD_ADMIN, ACL_ADMIN}, {"fast", CMD_FAST, 0}, {"slow", 0, 0},
	{"blocking", CMD_BLOCKING, 0}, {"dangerous", CMD_ADMIN, ACL_DANGEROUS}, {"connection", 0, ACL_CONNECTION},
	{"transaction", 0, ACL_TRANSACTION}, {"scripting", 0, ACL_SCRIPTING},
};

static bool
in_category(const Command *c, const Category *category)
{
	if (strcmp(category->name, "slow") == 0)
		return (c->flags & CMD_FAST) == 0;
	return (c->flags & category->flags) != 0 || (c->acl & category->acl) != 0;
}

void
tcop__reply_categories(Output *o)
{
	reply_array(o, lengthof(categories));
	for (size_t i = 0; i < lengthof(categories); i++)
		reply_text(o, categories[i].name);
}

bool
tcop__reply_category(Output *o, const void *name, size_t len)
{
	for (size_t i = 0; i < lengthof(categories); i++)
	{
		uint64		count = 0;

		if (!text_is(name, len, categories[i].name))
			continue;
		for (int c = 0; c < command_count; c++)
			count += command_table[c].run != NULL && in_category(&command_table[c], &categories[i]);
		reply_array(o, count);
		for (int c = 0; c < command_count; c++)
			if (command_table[c].run != NULL && in_category(&command_table[c], &categories[i]))
				reply_text(o, command_table[c].name);
		return true;
	}
	return false;
}

static void
reply_flags(Output *o, const Command *c)
{
	uint32		n = 0;

	for (size_t i = 0; i < lengthof(command_flags); i++)
		n += (c->flags & command_flags[i].flag) != 0;
	reply_set(o, n);
	for (size_t i = 0; i < lengthof(command_flags); i++)
		if (c->flags & command_flags[i].flag)
			reply_simple(o, command_flags[i].name);
}

static void
reply_categories(Output *o, const Command *c)
{
	char		name[32];
	uint32		n = 0;

	for (size_t i = 0; i < lengthof(categories); i++)
		n += in_category(c, &categories[i]);
	reply_set(o, n);
	for (size_t i = 0; i < lengthof(categories); i++)
		if (in_category(c, &categories[i]))
		{
			snprintf(name, sizeof(name), "@%s", categories[i].name);
			reply_simple(o, name);
		}
}

static uint32
word_count(const char *words)
{
	uint32		n = 0;

	for (const char *p = words; *p != '\0';)
	{
		size_t		len = strcspn(p, " ");

		n += len > 0;
		p += len + (p[len] == ' ');
	}
	return n;
}

/* reply_words -- blank-separated words, as bulk strings or as a set of simple ones. */
static void
reply_words(Output *o, const char *words, bool simple)
{
	char		word[64];

	reply_set(o, word_count(words));
	for (const char *p = words; *p != '\0';)
	{
		size_t		len = strcspn(p, " ");

		snprintf(word, sizeof(word), "%.*s", (int) len, p);
		if (simple)
			reply_simple(o, word);
		else
			reply_text(o, word);
		p += len + (p[len] == ' ');
	}
}

/* spec_flags -- of key number 'i': key_flags has one part for all keys, or one for each, separated by '/'. */
static const char *
spec_flags(const Command *c, uint32 i, char *to, size_t size)
{
	const char *part = c->key_flags;

	for (const char *slash; i > 0 && (slash = strchr(part, '/')) != NULL; i--)
		part = slash + 1;
	snprintf(to, size, "%.*s", (int) strcspn(part, "/"), part);
	return to;
}

/* spec_count -- key specifications: one for all keys, or one for each of a few. */
static uint32
spec_count(const Command *c)
{
	uint32		n = c->first_key != 0;

	for (const char *p = c->key_flags; *p != '\0'; p++)
		n += *p == '/';
	return n;
}

/* reply_find_range, reply_find_counted -- where the keys are, seen from the first one, or from the word that tells how many there are. */
static void
reply_find_range(Output *o, int last, int step)
{
	reply_text(o, "range");
	reply_text(o, "spec");
	reply_map(o, 3);
	reply_text(o, "lastkey");
	reply_int(o, last);
	reply_text(o, "keystep");
	reply_int(o, step);
	reply_text(o, "limit");
	reply_int(o, 0);
}

static void
reply_find_counted(Output *o, int step)
{
	reply_text(o, "keynum");
	reply_text(o, "spec");
	reply_map(o, 3);
	reply_text(o, "keynumidx");
	reply_int(o, 0);
	reply_text(o, "firstkey");
	reply_int(o, 1);
	reply_text(o, "keystep");
	reply_int(o, step);
}

static void
reply_key_spec(Output *o, const Command *c, uint32 i, uint32 count)
{
	bool		counted = (c->flags & CMD_MOVABLE_KEYS) != 0;
	char		flags[128];

	reply_map(o, 3);
	reply_text(o, "flags");
	reply_words(o, spec_flags(c, i, flags, sizeof(flags)), true);
	reply_text(o, "begin_search");
	reply_map(o, 2);
	reply_text(o, "type");
	reply_text(o, "index");
	reply_text(o, "spec");
	reply_map(o, 1);
	reply_text(o, "index");
	reply_int(o, c->first_key - counted + (int) i * c->key_step);
	reply_text(o, "find_keys");
	reply_map(o, 2);
	reply_text(o, "type");
	if (counted)
		reply_find_counted(o, c->key_step);
	else if (c->last_key < 0 && i + 1 == count)
		reply_find_range(o, c->last_key, c->key_step);
	else
		reply_find_range(o, count == 1 ? c->last_key - c->first_key : 0, count == 1 ? c->key_step : 1);
}

static void
reply_key_specs(Output *o, const Command *c)
{
	uint32		count = spec_count(c);

	reply_set(o, count);
	for (uint32 i = 0; i < count; i++)
		reply_key_spec(o, c, i, count);
}

static void
reply_info(Output *o, const Command *c)
{
	bool		fixed = (c->flags & CMD_MOVABLE_KEYS) == 0;	/* else the old way of saying where keys are cannot say it */

	reply_array(o, 10);
	reply_text(o, c->name);
	reply_int(o, c->arity);
	reply_flags(o, c);
	reply_int(o, fixed ? c->first_key : 0);
	reply_int(o, fixed ? c->last_key : 0);
	reply_int(o, fixed ? c->key_step : 0);
	reply_categories(o, c);
	reply_words(o, c->tips, false);
	reply_key_specs(o, c);
	reply_set(o, (uint64) c->child_count);
	for (int i = 0; i < c->child_count; i++)
		reply_info(o, &command_table[c->first_child + i]);
}

/* find_any -- "get" or "client|id", any case. */
static const Command *
find_any(const BytePart *name)
{
	const char *text = name->data;
	const char *bar = name->len > 0 ? memchr(text, '|', name->len) : NULL;
	const Command *c;

	if (bar == NULL)
		return command_find(text, name->len);
	c = command_find(text, (size_t) (bar - text));
	return c == NULL ? NULL : command_find_child(c, bar + 1, name->len - (size_t) (bar - text) - 1);
}

static uint64
top_level_count(void)
{
	uint64		n = 0;

	for (int i = 0; i < command_count; i++)
		n += command_table[i].parent < 0;
	return n;
}

TcopResult
tcop__command(Session *s)
{
	reply_array(&s->out, top_level_count());
	for (int i = 0; i < command_count; i++)
		if (command_table[i].parent < 0)
			reply_info(&s->out, &command_table[i]);
	return TCOP_DONE;
}

TcopResult
tcop__command_count(Session *s)
{
	reply_int(&s->out, (int64) top_level_count());
	return TCOP_DONE;
}

TcopResult
tcop__command_info(Session *s)
{
	if (s->argc == 2)
		return tcop__command(s);
	if (tcop__too_many(s))
		return TCOP_DONE;
	reply_array(&s->out, s->argc - 2);
	for (uint32 i = 2; i < s->argc; i++)
	{
		const Command *c = find_any(&s->argv[i]);

		if (!output_room(&s->out, 0))
			break;
		if (c == NULL)
			reply_null(&s->out);
		else
			reply_info(&s->out, c);
	}
	return TCOP_DONE;
}

/* ---- COMMAND DOCS ---- */

/* what Redis calls out of date, and what does it now */
typedef struct Deprecation
{
	const char *name;
	const char *since;
	const char *replaced_by;
} Deprecation;

static const Deprecation deprecations[] = {
	{"getset", "6.2.0", "`SET` with the `!GET` argument"},
	{"slaveof", "5.0.0", "`REPLICAOF`"},
	{"substr", "2.0.0", "`GETRANGE`"},
};

static const Deprecation *
deprecation(const Command *c)
{
	for (size_t i = 0; i < lengthof(deprecations); i++)
		if (strcmp(c->name, deprecations[i].name) == 0)
			return &deprecations[i];
	return NULL;
}

/* Arguments -- of one command, while they are told. */
typedef struct Arguments
{
	Output	   *o;
	const Command *c;
	uint32		keys;			/* arguments told that are keys: the specifications are in their order */
} Arguments;

static void reply_arguments(Arguments *a, const UsageNode *first);

static void
reply_argument_flags(Output *o, const UsageNode *n)
{
	reply_text(o, "flags");
	reply_set(o, (uint64) n->optional + n->multiple + n->multiple_token);
	if (n->optional)
		reply_simple(o, "optional");
	if (n->multiple)
		reply_simple(o, "multiple");
	if (n->multiple_token)
		reply_simple(o, "multiple_token");
}

static void
reply_argument(Arguments *a, const UsageNode *n)
{
	static const char *const kinds[] = {"", "pure-token", "oneof", "block"};
	const char *type = n->kind == USAGE_VALUE ? usage_type(a->c->name, n->name) : kinds[n->kind];
	bool		is_key = n->kind == USAGE_VALUE && strcmp(type, "key") == 0 && a->c->first_key > 0;
	bool		flags = n->optional || n->multiple;
	Output	   *o = a->o;

	if (n->kind == USAGE_VALUE && strcmp(type, "key") == 0 && !is_key)
		type = "string";
	reply_map(o, 2 + (uint64) is_key + (n->token[0] != '\0') + flags + (n->child != NULL));
	reply_text(o, "name");
	reply_text(o, n->name);
	reply_text(o, "type");
	reply_text(o, type);
	if (is_key)
	{
		reply_text(o, "key_spec_index");
		reply_int(o, (int64) Min(a->keys, spec_count(a->c) - 1));
		a->keys++;
	}
	if (n->token[0] != '\0')
	{
		reply_text(o, "token");
		reply_text(o, n->token);
	}
	if (flags)
		reply_argument_flags(o, n);
	if (n->child != NULL)
	{
		reply_text(o, "arguments");
		reply_arguments(a, n->child);
	}
}

static void
reply_arguments(Arguments *a, const UsageNode *first)
{
	uint64		count = 0;

	for (const UsageNode *n = first; n != NULL; n = n->next)
		count++;
	reply_array(a->o, count);
	for (const UsageNode *n = first; n != NULL; n = n->next)
		reply_argument(a, n);
}

static void
reply_deprecation(Output *o, const Deprecation *d)
{
	reply_text(o, "doc_flags");
	reply_set(o, 1);
	reply_simple(o, "deprecated");
	reply_text(o, "deprecated_since");
	reply_text(o, d->since);
	reply_text(o, "replaced_by");
	reply_text(o, d->replaced_by);
}

static void
reply_docs(Output *o, const Command *c)
{
	Usage		usage;
	Arguments	arguments = {o, c, 0};
	const Deprecation *old = deprecation(c);

	usage_parse(&usage, c->usage);
	reply_text(o, c->name);
	reply_map(o, 4 + (uint64) (old != NULL ? 3 : 0) + (usage.first != NULL) + (c->child_count > 0));
	reply_text(o, "summary");
	reply_text(o, c->summary);
	reply_text(o, "since");
	reply_text(o, c->since);
	reply_text(o, "group");
	reply_text(o, c->group);
	reply_text(o, "complexity");
	reply_text(o, c->complexity);
	if (old != NULL)
		reply_deprecation(o, old);
	if (usage.first != NULL)
	{
		reply_text(o, "arguments");
		reply_arguments(&arguments, usage.first);
	}
	if (c->child_count > 0)
	{
		reply_text(o, "subcommands");
		reply_map(o, (uint64) c->child_count);
		for (int i = 0; i < c->child_count; i++)
			reply_docs(o, &command_table[c->first_child + i]);
	}
}

TcopResult
tcop__command_docs(Session *s)
{
	uint64		known = 0;

	if (s->argc == 2)
	{
		reply_map(&s->out, top_level_count());
		for (int i = 0; i < command_count; i++)
			if (command_table[i].parent < 0)
				reply_docs(&s->out, &command_table[i]);
		return TCOP_DONE;
	}
	if (tcop__too_many(s))
		return TCOP_DONE;
	for (uint32 i = 2; i < s->argc; i++)
		known += find_any(&s->argv[i]) != NULL;
	reply_map(&s->out, known);
	for (uint32 i = 2; i < s->argc && output_room(&s->out, 0); i++)
	{
		const Command *c = find_any(&s->argv[i]);

		if (c != NULL)
			reply_docs(&s->out, c);
	}
	return TCOP_DONE;
}

/* ---- COMMAND LIST ---- */
static bool
list_fits(Session *s, const Command *c)
{
	if (s->argc == 2)
		return true;
	if (tcop__arg_is(s, 3, "pattern"))
		return pattern_match(s->argv[4].data, s->argv[4].len, c->name, strlen(c->name), true);
	if (tcop__arg_is(s, 3, "aclcat"))
		for (size_t i = 0; i < lengthof(categories); i++)
			if (text_is(s->argv[4].data, s->argv[4].len, categories[i].name))
				return in_category(c, &categories[i]);
	return false;
}

TcopResult
tcop__command_list(Session *s)
{
	uint64		count = 0;

	if (s->argc != 2 &&
		(s->argc != 5 || !tcop__arg_is(s, 2, "filterby") ||
		 (!tcop__arg_is(s, 3, "module") && !tcop__arg_is(s, 3, "aclcat") && !tcop__arg_is(s, 3, "pattern"))))
	{
		tcop__error_syntax(s);
		return TCOP_DONE;
	}
	for (int i = 0; i < command_count; i++)
		count += list_fits(s, &command_table[i]);
	reply_array(&s->out, count);
	for (int i = 0; i < command_count; i++)
		if (list_fits(s, &command_table[i]))
			reply_text(&s->out, command_table[i].name);
	return TCOP_DONE;
}

/* ---- COMMAND GETKEYS ---- */

/* set_words -- SET: whether the old value is read depends on the options. */
static const char *
set_words(const BytePart *argv, int argc)
{
	static const char *const reading[] = {"get", "ifeq", "ifne", "ifdeq", "ifdne", "ifversion"};

	for (int i = 3; i < argc; i++)
		for (size_t w = 0; w < lengthof(reading); w++)
			if (text_is(argv[i].data, argv[i].len, reading[w]))
				return "RW access update";
	return "OW update";
}

/* delex_words -- DELEX: without a condition, and with one that answers with what is there. */
static const char *
delex_words(const BytePart *argv, int argc)
{
	if (argc < 3)
		return "RM delete";
	return text_is(argv[2].data, argv[2].len, "ifversion") ? "RW access delete" : "RW delete";
}

/* bitfield_words -- BITFIELD reads unless one of its operations writes; what is no operation might. */
static const char *
bitfield_words(const BytePart *argv, int argc)
{
	for (int i = 2; i < argc; i++)
	{
		if (text_is(argv[i].data, argv[i].len, "get") && i + 2 < argc)
			i += 2;
		else if (text_is(argv[i].data, argv[i].len, "overflow") && i + 1 < argc)
			i++;
		else
			return "RW access update";
	}
	return "RO access";
}

/* variable_words -- commands whose words tell what they do with their key (variable_flags). */
static const struct
{
	const char *name;
	const char *(*words)(const BytePart *argv, int argc);
}			variable_words[] = {
	{"set", set_words}, {"delex", delex_words}, {"bitfield", bitfield_words},
};

/* key_words -- what this call does with its key number 'i'. */
static const char *
key_words(const Command *c, const BytePart *argv, int argc, uint32 i, char *to, size_t size)
{
	for (size_t v = 0; v < lengthof(variable_words); v++)
		if (strcmp(c->name, variable_words[v].name) == 0)
			return variable_words[v].words(argv, argc);
	return spec_flags(c, i, to, size);
}

static TcopResult
get_keys(Session *s, bool with_flags)
{
	const Command *c = command_find(s->argv[2].data, s->argv[2].len);
	int			argc = (int) s->argc - 2;
	char		flags[128];
	int		   *index;
	int			count;

	if (c != NULL && c->first_child >= 0 && argc > 1)
		c = command_find_child(c, s->argv[3].data, s->argv[3].len);
	if (c == NULL)
	{
		reply_error(&s->out, "ERR Invalid command specified");
		return TCOP_DONE;
	}
	if (c->first_key == 0 || strcmp(c->key_flags, "not_key") == 0)
	{
		reply_error(&s->out, "ERR The command has no key arguments");
		return TCOP_DONE;
	}
	index = malloc((size_t) argc * sizeof(int));
	Verify(index != NULL);
	count = command_keys(c, s->argv + 2, argc, index, argc);
	if (count < 0)
		reply_error(&s->out, "ERR Invalid number of arguments specified for command");
	else
		reply_array(&s->out, (uint64) count);
	for (int i = 0; i < count && output_room(&s->out, s->argv[2 + index[i]].len); i++)
	{
		if (with_flags)
			reply_array(&s->out, 2);
		reply_bulk(&s->out, s->argv[2 + index[i]].data, s->argv[2 + index[i]].len);
		if (with_flags)
			reply_words(&s->out, key_words(c, s->argv + 2, argc, (uint32) i, flags, sizeof(flags)), true);
	}
	free(index);
	return TCOP_DONE;
}

TcopResult
tcop__command_getkeys(Session *s)
{
	return get_keys(s, false);
}

TcopResult
tcop__command_getkeysandflags(Session *s)
{
	return get_keys(s, true);
}

/* ---- HELP ---- */
static void
upper(char *to, size_t size, const char *from)
{
	size_t		i;

	for (i = 0; from[i] != '\0' && i + 1 < size; i++)
		to[i] = (char) toupper((unsigned char) from[i]);
	to[i] = '\0';
}

TcopResult
tcop__help(Session *s)
{
	const Command *container = &command_table[s->command->parent];
	char		name[64];
	char		line[512];

	reply_array(&s->out, 1 + 2 * (uint64) container->child_count);
	upper(name, sizeof(name), container->name);
	snprintf(line, sizeof(line), "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
	reply_simple(&s->out, line);
	for (int i = 0; i < container->child_count; i++)
	{
		const Command *c = &command_table[container->first_child + i];

		upper(name, sizeof(name), c->short_name);
		snprintf(line, sizeof(line), "%s%s%s", name, c->usage[0] != '\0' ? " " : "", c->usage);
		reply_simple(&s->out, line);
		snprintf(line, sizeof(line), "    %s", c->summary);
		reply_simple(&s->out, line);
	}
	return TCOP_DONE;
}

/* ---- doc/commands.md ---- */
static void
doc_command(FILE *out, const Command *c)
{
	char		name[64];
	const char *separator = "";

	upper(name, sizeof(name), c->name);
	for (char *p = name; *p != '\0'; p++)
		if (*p == '|')
			*p = ' ';
	fprintf(out, "%s %s\n\n", c->parent < 0 ? "###" : "####", name);
	if (c->run != NULL)
		fprintf(out, "    %s%s%s\n\n", name, c->usage[0] != '\0' ? " " : "", c->usage);
	fprintf(out, "%s\n\n", c->summary);
	if (c->run == NULL)
		return;
	fprintf(out, "%s. Since %s%s.", c->complexity, strncmp(c->since, "0.", 2) == 0 ? "artery " : "Redis ", c->since);
	if (c->flags != 0)
		fprintf(out, " Flags: ");
	for (size_t i = 0; i < lengthof(command_flags); i++)
		if (c->flags & command_flags[i].flag)
		{
			fprintf(out, "%s%s", separator, command_flags[i].name);
			separator = ", ";
		}
	fprintf(out, "%s\n\n", c->flags != 0 ? "." : "");
}

void
tcop_write_commands_doc(FILE *out)
{
	static const char *const groups[] = {"string", "bitmap", "generic", "transactions", "pubsub", "connection", "server",
	"scripting", "cluster"};
	static const char *const titles[] = {"Strings", "Bits", "Keys, ranges, listings", "Transactions", "Messages",
	"Connection", "Server", "Scripts and functions", "Cluster"};

	command_init();
	fprintf(out, "# Commands\n\n"
			"Generated from the command table by `artery --write-commands-doc`; do not edit.\n\n"
			"Lower case stands for a value, upper case for a word; `[x]` may be left out, `a|b` is a choice. "
			"Replies and errors of commands that Redis has are those of Redis.\n\n");
	for (size_t g = 0; g < lengthof(groups); g++)
	{
		fprintf(out, "## %s\n\n", titles[g]);
		for (int i = 0; i < command_count; i++)
			if (strcmp(command_table[i].group, groups[g]) == 0)
				doc_command(out, &command_table[i]);
	}
}
