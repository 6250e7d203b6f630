/*
 * conf.h -- reader of settings files, for the server and the tools.
 *
 *   file    = { line }
 *   line    = [ name "=" value ] [ "#" comment ]
 *   name    = letter or "_", then letters, digits, "_"
 *   value   = bare | quoted
 *   bare    = bytes without blanks, quotes, "#" and "="
 *   quoted  = "'" bytes "'"; a quote inside is written twice; no line end inside
 *
 * The reader knows no setting: it hands out names and values in file order with
 * their line numbers, so that the last line of a name wins if the caller stores
 * what it gets.  Bytes 0x00-0x1f inside a line (but tabs) are errors.
 */
#ifndef ARTERY_COMMON_CONF_H
#define ARTERY_COMMON_CONF_H

#include "common/c.h"

#define CONF_NAME_MAX 64	/* bytes with NUL */
#define CONF_VALUE_MAX 512	/* bytes with NUL */

/* ConfReader -- what the caller wants to hear; 'line' counts from 1.  A callback that returns false ends the reading. */
typedef struct ConfReader
{
	bool		(*entry)(void *arg, int line, const char *name, const char *value);
	bool		(*error)(void *arg, int line, const char *text);	/* a line that is none */
	void	   *arg;
} ConfReader;

/* conf_read_file -- 0, or the errno of opening or reading; what the callbacks found is in arg. */
extern int conf_read_file(const char *path, const ConfReader *reader) attribute_must_check;

/* conf_find -- tools: the value of the last line that sets 'name'; false: none, or the file cannot be read. */
extern bool conf_find(const char *path, const char *name, char *value, size_t size) attribute_must_check;

/* conf_quote -- value as it may stand in a file: in single quotes; false: does not fit, or has bytes that no line can hold. */
extern bool conf_quote(const char *value, char *quoted, size_t size) attribute_must_check;

/* conf_split -- "name=value" (option -c) into its parts; value is not unquoted; false: err says what is wrong. */
extern bool conf_split(const char *option, char *name, size_t name_size, char *value, size_t value_size, char *err,
					   size_t err_size) attribute_must_check;

/*
 * conf_rewrite -- the text of a file with some settings changed: the last line of
 * each name gets the new value, its comment stays; a name without a line gets one
 * behind the comment that shows its default ("#name = ..."), or at the end.  All
 * else stays byte by byte.  To be freed.  Every value must fit conf_quote.
 */
typedef struct ConfChange
{
	const char *name;
	const char *value;
} ConfChange;
extern char *conf_rewrite(const char *text, const ConfChange *change, int count) attribute_must_check;

#endif
