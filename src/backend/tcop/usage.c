/*
 * usage.c -- reads the usage lines of commands_list.h.
 *
 * Recursive over brackets; the lines are constants of the program, so a broken
 * one is a bug and ends the process (the unit test reads them all).
 */
#include "common/c.h"

#include <ctype.h>

#include "tcop/usage.h"

typedef struct Reader
{
	Usage	   *usage;
	const char *p;
} Reader;

static UsageNode *
node_new(Reader *r, UsageKind kind)
{
	UsageNode  *n;

	Verify(r->usage->count < USAGE_NODES_MAX);
	n = &r->usage->node[r->usage->count++];
	memset(n, 0, sizeof(*n));
	n->kind = kind;
	return n;
}

static void
name_lower(char *to, const char *from, size_t len)
{
	Verify(len < USAGE_NAME_MAX);
	for (size_t i = 0; i < len; i++)
		to[i] = (char) tolower((unsigned char) from[i]);
	to[len] = '\0';
}

static void
name_upper(char *to, const char *from, size_t len)
{
	Verify(len < USAGE_NAME_MAX);
	for (size_t i = 0; i < len; i++)
		to[i] = (char) toupper((unsigned char) from[i]);
	to[len] = '\0';
}

static bool
is_upper_word(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (islower((unsigned char) word[i]))
			return false;
	return true;
}

/* read_word -- a value, a word, or a choice of words. */
static UsageNode *
read_word(Reader *r)
{
	size_t		len = strcspn(r->p, " []");
	const char *word = r->p;
	UsageNode  *n;
	UsageNode **tail;

	Verify(len > 0);
	r->p += len;
	if (memchr(word, '|', len) == NULL)
	{
		n = node_new(r, is_upper_word(word, len) ? USAGE_TOKEN : USAGE_VALUE);
		name_lower(n->name, word, len);
		if (n->kind == USAGE_TOKEN)
			name_upper(n->token, word, len);
		return n;
	}
	n = node_new(r, USAGE_ONEOF);
	name_lower(n->name, word, Min(len, (size_t) USAGE_NAME_MAX - 1));
	for (char *c = n->name; *c != '\0'; c++)
		if (*c == '|')
			*c = '_';
	tail = &n->child;
	for (size_t at = 0; at < len;)
	{
		size_t		part = 0;

		while (at + part < len && word[at + part] != '|')
			part++;
		*tail = node_new(r, USAGE_TOKEN);
		name_lower((*tail)->name, word + at, part);
		name_upper((*tail)->token, word + at, part);
		tail = &(*tail)->next;
		at += part + 1;
	}
	return n;
}

/* name_join -- another part of a name, as far as there is room. */
static void
name_join(char *name, const char *part)
{
	if (strlen(name) + strlen(part) + 2 < USAGE_NAME_MAX)
	{
		if (name[0] != '\0')
			strcat(name, "_");
		strcat(name, part);
	}
}

/* group -- several nodes as one block; a leading word becomes the token of what follows. */
static UsageNode *
group(Reader *r, UsageNode *first)
{
	UsageNode  *block;

	if (first->next == NULL)
		return first;
	if (first->kind == USAGE_TOKEN && first->next->next == NULL && first->next->kind != USAGE_TOKEN &&
		!first->next->optional)
	{
		memcpy(first->next->token, first->token, sizeof(first->token));
		return first->next;
	}
	block = node_new(r, USAGE_BLOCK);
	if (first->kind == USAGE_TOKEN && !first->optional && !first->next->optional)
	{
		memcpy(block->token, first->token, sizeof(block->token));
		first = first->next;
	}
	for (UsageNode *n = first; n != NULL; n = n->next)
		name_join(block->name, n->name);
	block->child = first;
	return block;
}

/* repeat -- the last 'count' of the nodes may be given again and again. */
static void
repeat(Reader *r, UsageNode **first, int count)
{
	UsageNode **at = first;
	int			have = 0;
	UsageNode  *whole;

	for (UsageNode *n = *first; n != NULL; n = n->next)
		have++;
	Verify(have >= count && count > 0);
	for (int i = 0; i < have - count; i++)
		at = &(*at)->next;
	whole = group(r, *at);
	whole->multiple = true;
	whole->multiple_token = whole->kind != USAGE_TOKEN && whole->token[0] != '\0';
	*at = whole;
}

static UsageNode *read_choice(Reader *r, int *count, bool *ellipsis);

/* read_sequence -- up to ']', '|' between blanks, or the end; *ellipsis: it ended with "...". */
static UsageNode *
read_sequence(Reader *r, int *count, bool *ellipsis)
{
	UsageNode  *first = NULL;
	UsageNode **tail = &first;

	*count = 0;
	*ellipsis = false;
	for (;;)
	{
		while (*r->p == ' ')
			r->p++;
		if (*r->p == '\0' || *r->p == ']' || *r->p == '|')
			return first;
		if (strncmp(r->p, "...", 3) == 0)
		{
			*ellipsis = true;
			r->p += 3;
			continue;
		}
		if (*r->p == '[')
		{
			int			inner_count;
			bool		again;
			UsageNode  *inner;

			r->p++;
			inner = read_choice(r, &inner_count, &again);
			Verify(*r->p == ']' && inner != NULL);
			r->p++;
			if (again)
			{
				repeat(r, &first, inner_count);
				for (tail = &first; *tail != NULL;)
					tail = &(*tail)->next;
				continue;
			}
			*tail = group(r, inner);
			(*tail)->optional = true;
		}
		else
			*tail = read_word(r);
		(*count)++;
		tail = &(*tail)->next;
	}
}

/* read_choice -- a sequence, or several with '|' between them; "..." at their end: any number of them. */
static UsageNode *
read_choice(Reader *r, int *count, bool *ellipsis)
{
	UsageNode  *first = read_sequence(r, count, ellipsis);
	UsageNode  *choice;
	UsageNode **tail;

	if (*r->p != '|')
		return first;
	choice = node_new(r, USAGE_ONEOF);
	tail = &choice->child;
	*count = 1;
	for (;;)
	{
		char		word[USAGE_NAME_MAX];
		int			inner_count;

		Verify(first != NULL && (!*ellipsis || *r->p == ']'));
		*tail = group(r, first);
		name_lower(word, (*tail)->token, strlen((*tail)->token));
		name_join(choice->name, word[0] != '\0' ? word : (*tail)->name);
		tail = &(*tail)->next;
		if (*r->p != '|')
		{
			choice->multiple = *ellipsis;
			*ellipsis = false;
			return choice;
		}
		r->p++;
		first = read_sequence(r, &inner_count, ellipsis);
	}
}

void
usage_parse(Usage *u, const char *line)
{
	Reader		r = {u, line};
	int			count;
	bool		ellipsis;

	u->count = 0;
	u->first = read_sequence(&r, &count, &ellipsis);
	Verify(*r.p == '\0' && !ellipsis);
}

static bool
is_one_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

const char *
usage_type(const char *command, const char *name)
{
	static const char *const keys[] = {"key", "key1", "key2", "newkey", "source", "destination", "destkey"};
	static const char *const integers[] = {"cursor", "count", "index", "increment", "decrement", "protover",
	"client-id", "timeout", "numlocal", "numreplicas", "numkeys", "seconds", "milliseconds", "db", "destination-db", "index1",
	"index2", "version", "port", "bits", "bit", "offset", "start", "end", "len", "ttl", "frequency"};
	/* where a value is a number, as the whole command is about numbers */
	static const char *const integer_values[] = {"setbit", "bitfield"};

	if (is_one_of(name, keys, lengthof(keys)))
		return "key";
	if (strcmp(name, "pattern") == 0)
		return name;
	if (strncmp(name, "unix-time-", strlen("unix-time-")) == 0)
		return "unix-time";
	if (strcmp(command, "incrbyfloat") == 0 && strcmp(name, "increment") == 0)
		return "double";
	if (is_one_of(name, integers, lengthof(integers)) ||
		(strcmp(name, "value") == 0 && is_one_of(command, integer_values, lengthof(integer_values))))
		return "integer";
	return "string";
}
