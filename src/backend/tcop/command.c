/*
 * command.c -- the table of commands, and finding one in it.
 *
 * The table is built from commands_list.h; command_init links sub-commands to
 * their containers and fills a small open-addressing hash of the top level.
 * Constant after that; each worker has its own copy of the memory.
 */
#include "common/c.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"

#define COMMAND(fn, name, arity, flags, first, last, step, key_flags, group, acl, since, tips, usage, complexity, summary) \
	{name, NULL, tcop__##fn, arity, flags, first, last, step, key_flags, group, acl, since, tips, usage, complexity, summary, 0, 0, 0, 0, 0},
#define CONTAINER(name, arity, group, since, summary) \
	{name, NULL, NULL, arity, 0, 0, 0, 0, "", group, 0, since, "", "", "Depends on the sub-command", summary, 0, 0, 0, 0, 0},
Command		command_table[] = {
#include "tcop/commands_list.h"
};
#undef COMMAND
#undef CONTAINER

const int	command_count = (int) lengthof(command_table);
static_assert(lengthof(command_table) <= STATS_COMMANDS_MAX, "counters per command");

#define HASH_SIZE 512			/* at least twice the commands of the top level */
#define NAME_MAX_LEN 24

static const Command *hash_table[HASH_SIZE];
static bool hash_ready;

/* name_fold -- lower case into 'to', and the hash of it; false: longer than any name. */
static inline bool
name_fold(const uint8 *name, size_t len, char *to, uint32 *hash)
{
	uint32		h = 2166136261u;

	if (len == 0 || len > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		uint8		c = name[i];

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		to[i] = (char) c;
		h = (h ^ c) * 16777619u;
	}
	*hash = h ^ h >> 15;
	return true;
}

static void
link_children(int container)
{
	Command    *c = &command_table[container];
	size_t		len = strlen(c->name);

	c->first_child = -1;
	c->child_count = 0;
	for (int i = container + 1; i < command_count; i++)
	{
		Command    *child = &command_table[i];

		if (strncmp(child->name, c->name, len) != 0 || child->name[len] != '|')
			break;
		child->parent = container;
		child->short_name = child->name + len + 1;
		if (c->first_child < 0)
			c->first_child = i;
		c->child_count++;
	}
}

void
command_init(void)
{
	if (hash_ready)
		return;
	for (int i = 0; i < command_count; i++)
	{
		Command    *c = &command_table[i];
		char		folded[NAME_MAX_LEN];
		uint32		at;

		c->index = i;
		c->name_len = (uint32) strlen(c->name);
		if (strchr(c->name, '|') != NULL)
			continue;
		c->parent = -1;
		c->short_name = c->name;
		link_children(i);
		Verify(name_fold((const uint8 *) c->name, strlen(c->name), folded, &at));
		while (hash_table[at % HASH_SIZE] != NULL)
			at++;
		hash_table[at % HASH_SIZE] = c;
	}
	hash_ready = true;
}

const Command *
command_find(const void *name, size_t len)
{
	char		folded[NAME_MAX_LEN];
	uint32		at;

	if (!name_fold(name, len, folded, &at))
		return NULL;
	for (;; at++)
	{
		const Command *c = hash_table[at % HASH_SIZE];

		if (c == NULL)
			return NULL;
		if (c->name_len == len && memcmp(c->name, folded, len) == 0)
			return c;
	}
}

const Command *
command_find_child(const Command *container, const void *name, size_t len)
{
	for (int i = 0; i < container->child_count; i++)
	{
		const Command *c = &command_table[container->first_child + i];

		if (text_is(name, len, c->short_name))
			return c;
	}
	return NULL;
}

int
command_keys(const Command *c, const BytePart *argv, int argc, int *index, int max)
{
	int			count = 0;
	int			last;

	if (!command_arity_fits(c, (uint32) argc))
		return -1;
	if (c->first_key == 0)
		return 0;
	last = c->last_key < 0 ? argc + c->last_key : c->last_key;
	if ((c->flags & CMD_MOVABLE_KEYS) != 0)
	{
		const BytePart *word = &argv[c->first_key - 1];
		int64		keys;

		if (!number_parse(word->data, word->len, &keys) || keys < 1 || keys > (argc - c->first_key) / c->key_step)
			return -1;
		last = c->first_key + ((int) keys - 1) * c->key_step;
	}
	for (int i = c->first_key; i <= last && count < max; i += c->key_step)
		index[count++] = i;
	return count;
}
