/*
 * conf.c -- reader of settings files; the grammar is in conf.h.
 *
 * One pass, a line at a time, with bounded names and values.  Holds no state
 * between calls; reads the file with stdio, for it is small, is read at start and
 * on SIGHUP only, and is never written by a running server.
 */
#include "common/conf.h"

#include <errno.h>

/* blank, tab and the carriage return of files written elsewhere */
static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool
is_name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static const char *
skip_blanks(const char *p)
{
	while (is_blank(*p))
		p++;
	return p;
}

/* parse_name -- into name; the end of it, or NULL: none there, or too long. */
static const char *
parse_name(const char *p, char *name, size_t size)
{
	size_t		len = 0;

	while (is_name_char(p[len], len == 0))
		len++;
	if (len == 0 || len >= size)
		return NULL;
	memcpy(name, p, len);
	name[len] = '\0';
	return p + len;
}

/* parse_value -- bare or quoted, into value; the end of it, or NULL with *why. */
static const char *
parse_value(const char *p, char *value, size_t size, const char **why)
{
	size_t		len = 0;
	bool		quoted = *p == '\'';

	if (quoted)
		p++;
	for (;; p++)
	{
		if (quoted && *p == '\0')
		{
			*why = "quoted value does not end on its line";
			return NULL;
		}
		if (quoted && *p == '\'')
		{
			p++;
			if (*p != '\'')
				break;
		}
		if (!quoted && (*p == '\0' || *p == '#' || *p == '\'' || *p == '=' || is_blank(*p)))
			break;
		if (len + 1 >= size)
		{
			*why = "value is too long";
			return NULL;
		}
		value[len++] = *p;
	}
	value[len] = '\0';
	if (!quoted && len == 0)
	{
		*why = "value is missing";
		return NULL;
	}
	return p;
}

/* parse_line -- NULL: fine (*name empty: nothing on it); else what is wrong. */
static const char *
parse_line(const char *p, char *name, char *value)
{
	const char *why = NULL;

	name[0] = '\0';
	p = skip_blanks(p);
	if (*p == '\0' || *p == '#')
		return NULL;
	p = parse_name(p, name, CONF_NAME_MAX);
	if (p == NULL)
		return "syntax error: a line is \"name = value\"";
	p = skip_blanks(p);
	if (*p != '=')
		return "syntax error: \"=\" expected after the name";
	p = parse_value(skip_blanks(p + 1), value, CONF_VALUE_MAX, &why);
	if (p == NULL)
		return why;
	p = skip_blanks(p);
	if (*p != '\0' && *p != '#')
		return "syntax error: text after the value (a value with blanks stands in single quotes)";
	return NULL;
}

/* strip_line_end -- cut "\n"; false: the line holds a control character. */
static bool
strip_line_end(char *line, size_t len)
{
	if (len > 0 && line[len - 1] == '\n')
		line[--len] = '\0';
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) line[i] < 0x20 && !is_blank(line[i]))
			return false;
	return true;
}

int
conf_read_file(const char *path, const ConfReader *reader)
{
	FILE	   *file = fopen(path, "re");
	char	   *line = NULL;
	size_t		capacity = 0;
	ssize_t		len;
	int			number = 0;
	int			error = 0;
	bool		go_on = true;

	if (file == NULL)
		return errno;
	while (go_on && (errno = 0, len = getline(&line, &capacity, file)) >= 0)
	{
		char		name[CONF_NAME_MAX];
		char		value[CONF_VALUE_MAX];
		const char *why = "syntax error: control character";

		number++;
		if (strip_line_end(line, (size_t) len))
			why = parse_line(line, name, value);
		if (why != NULL)
			go_on = reader->error(reader->arg, number, why);
		else if (name[0] != '\0')
			go_on = reader->entry(reader->arg, number, name, value);
	}
	if (go_on && !feof(file))
		error = errno != 0 ? errno : EIO;
	free(line);
	(void) fclose(file);
	return error;
}

/* ConfFind -- the argument of conf_find's callbacks. */
typedef struct ConfFind
{
	const char *name;
	char	   *value;
	size_t		size;
	bool		found;
} ConfFind;

static bool
find_entry(void *arg, int line, const char *name, const char *value)
{
	ConfFind   *find = arg;

	(void) line;
	if (strcmp(name, find->name) == 0)
		find->found = (size_t) snprintf(find->value, find->size, "%s", value) < find->size;
	return true;
}

/* skip_error -- whoever looks for one name leaves wrong lines to the server. */
static bool
skip_error(void *arg, int line, const char *text)
{
	(void) arg;
	(void) line;
	(void) text;
	return true;
}

bool
conf_find(const char *path, const char *name, char *value, size_t size)
{
	ConfFind	find = {.name = name, .value = value, .size = size};
	ConfReader	reader = {.entry = find_entry, .error = skip_error, .arg = &find};

	return conf_read_file(path, &reader) == 0 && find.found;
}

bool
conf_quote(const char *value, char *quoted, size_t size)
{
	size_t		len = 0;

	if (size < 3)
		return false;
	quoted[len++] = '\'';
	for (const char *p = value; *p != '\0'; p++)
	{
		/* room for this byte (a quote is two), the closing quote and the NUL */
		if (len + 3 + (*p == '\'') > size || ((unsigned char) *p < 0x20 && !is_blank(*p)))
			return false;
		if (*p == '\'')
			quoted[len++] = '\'';
		quoted[len++] = *p;
	}
	quoted[len++] = '\'';
	quoted[len] = '\0';
	return true;
}

bool
conf_split(const char *option, char *name, size_t name_size, char *value, size_t value_size, char *err, size_t err_size)
{
	const char *p = parse_name(skip_blanks(option), name, name_size);

	if (p != NULL)
		p = skip_blanks(p);
	if (p == NULL || *p != '=')
	{
		(void) snprintf(err, err_size, "\"%s\" is not of the form name=value", option);
		return false;
	}
	p = skip_blanks(p + 1);
	if ((size_t) snprintf(value, value_size, "%s", p) >= value_size)
	{
		(void) snprintf(err, err_size, "value of \"%s\" is too long", name);
		return false;
	}
	return true;
}

/* ---- rewriting ---- */

/* Growing -- the new text as it is put together. */
typedef struct Growing
{
	char	   *data;
	size_t		len;
	size_t		size;
} Growing;

static void
grow(Growing *g, const char *text, size_t len)
{
	if (g->len + len + 1 > g->size)
	{
		g->size = (g->len + len + 1) * 2;
		g->data = realloc(g->data, g->size);
		Verify(g->data != NULL);
	}
	memcpy(g->data + g->len, text, len);
	g->len += len;
	g->data[g->len] = '\0';
}

/*
 * line_sets -- the change that the name of this line belongs to, or -1; the value
 * stands in [*from, *to).  'commented': look at what stands behind a "#" at the
 * beginning instead.
 */
static int
line_sets(const char *line, bool commented, const ConfChange *change, int count, const char **from, const char **to)
{
	char		name[CONF_NAME_MAX];
	char		value[CONF_VALUE_MAX];
	const char *why;
	const char *p = skip_blanks(line);

	if ((*p == '#') != commented)
		return -1;
	p = parse_name(commented ? skip_blanks(p + 1) : p, name, sizeof(name));
	if (p == NULL || *(p = skip_blanks(p)) != '=')
		return -1;
	*from = skip_blanks(p + 1);
	*to = parse_value(*from, value, sizeof(value), &why);
	if (*to == NULL)
		return -1;
	for (int i = 0; i < count; i++)
		if (strcmp(change[i].name, name) == 0)
			return i;
	return -1;
}

/* bare -- may the value stand without quotes? */
static bool
bare(const char *value)
{
	return *value != '\0' && value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:-+,")] == '\0';
}

static void
grow_value(Growing *g, const char *value)
{
	char		quoted[2 * CONF_VALUE_MAX + 3];

	if (bare(value))
		grow(g, value, strlen(value));
	else
	{
		Verify(conf_quote(value, quoted, sizeof(quoted)));	/* the caller has asked conf_quote */
		grow(g, quoted, strlen(quoted));
	}
}

static void
grow_line(Growing *g, const ConfChange *change)
{
	if (g->len > 0 && g->data[g->len - 1] != '\n')
		grow(g, "\n", 1);
	grow(g, change->name, strlen(change->name));
	grow(g, " = ", 3);
	grow_value(g, change->value);
	grow(g, "\n", 1);
}

/* Place -- where a change goes: the line that counts, else behind the comment that shows the default, else the end. */
typedef struct Place
{
	int			line;			/* -1: none */
	int			comment;
} Place;

/* each_line -- one line of text without its end; returns where the next one begins, NULL at the end. */
static const char *
each_line(const char *at, char **line, size_t *len, bool *ended)
{
	const char *end;

	if (*at == '\0')
		return NULL;
	end = strchr(at, '\n');
	*ended = end != NULL;
	*len = end != NULL ? (size_t) (end - at) : strlen(at);
	*line = strndup(at, *len);
	Verify(*line != NULL);
	return at + *len + *ended;
}

static void
find_places(const char *text, const ConfChange *change, int count, Place *place)
{
	const char *from;
	const char *to;
	char	   *line;
	size_t		len;
	bool		ended;
	int			number = 0;

	for (int i = 0; i < count; i++)
		place[i] = (Place) {-1, -1};
	for (const char *next; (next = each_line(text, &line, &len, &ended)) != NULL; text = next, number++)
	{
		int			at = line_sets(line, false, change, count, &from, &to);

		if (at >= 0)
			place[at].line = number;
		at = line_sets(line, true, change, count, &from, &to);
		if (at >= 0)
			place[at].comment = number;
		free(line);
	}
}

char *
conf_rewrite(const char *text, const ConfChange *change, int count)
{
	Growing		g = {NULL, 0, 0};
	Place	   *place = calloc((size_t) Max(count, 1), sizeof(*place));
	const char *from;
	const char *to;
	char	   *line;
	size_t		len;
	bool		ended;
	int			number = 0;

	Verify(place != NULL);
	grow(&g, "", 0);
	find_places(text, change, count, place);
	for (const char *next; (next = each_line(text, &line, &len, &ended)) != NULL; text = next, number++)
	{
		int			at = line_sets(line, false, change, count, &from, &to);

		if (at >= 0 && place[at].line == number)
		{
			grow(&g, line, (size_t) (from - line));
			grow_value(&g, change[at].value);
			grow(&g, to, strlen(to));
		}
		else
			grow(&g, line, len);
		if (ended)
			grow(&g, "\n", 1);
		for (int i = 0; i < count; i++)
			if (place[i].line < 0 && place[i].comment == number)
				grow_line(&g, &change[i]);
		free(line);
	}
	for (int i = 0; i < count; i++)
		if (place[i].line < 0 && place[i].comment < 0)
			grow_line(&g, &change[i]);
	free(place);
	return g.data;
}
