/*
 * usage.h -- a command's usage line as a tree, for COMMAND DOCS.
 *
 * Notation: lower case is a value, upper case a word to be typed; a|b is a
 * choice of words, [A x | B y] one of anything, [A x | B y ...] any number of them; [x] may be left out; "x [x ...]" may go on.
 */
#ifndef ARTERY_TCOP_USAGE_H
#define ARTERY_TCOP_USAGE_H

#include "common/c.h"

#define USAGE_NAME_MAX 64
#define USAGE_NODES_MAX 40

typedef enum UsageKind
{
	USAGE_VALUE,
	USAGE_TOKEN,			/* a word by itself */
	USAGE_ONEOF,			/* children: the choices */
	USAGE_BLOCK				/* children: what belongs together */
} UsageKind;

typedef struct UsageNode
{
	UsageKind	kind;
	char		name[USAGE_NAME_MAX];
	char		token[USAGE_NAME_MAX];	/* the word before it, or the word itself; "" */
	bool		optional;
	bool		multiple;
	bool		multiple_token;	/* multiple, and the word before it is given again each time */
	struct UsageNode *child;
	struct UsageNode *next;
} UsageNode;

typedef struct Usage
{
	UsageNode	node[USAGE_NODES_MAX];
	int			count;
	UsageNode  *first;
} Usage;

/* usage_parse -- Verify()s on a line that does not keep to the notation: the lines are ours. */
extern void usage_parse(Usage *u, const char *line);
/* usage_type -- "key", "integer", "double", "unix-time", "pattern" or "string": what a value's name stands for, in this command's line. */
extern const char *usage_type(const char *command, const char *name);

#endif
