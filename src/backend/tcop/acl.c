/*
 * acl.c -- ACL: there is one user, default, who may do everything; with the setting
 * requirepass he has to give a password.
 *
 * What would make or change users is refused with a word about what to do instead.
 */
#include "common/c.h"

#include <bsd/stdlib.h>
#include <sha2.h>

#include "tcop/tcop_internal.h"
#include "utils/settings.h"

#define GENPASS_BITS_DEFAULT 256
#define GENPASS_BITS_MAX 4096

#define ONE_USER "ERR this server has one user, default; the setting requirepass is the password"

/* password_hash -- SHA-256 of requirepass in hexadecimal digits, as Redis tells passwords. */
static const char *
password_hash(char to[SHA256_DIGEST_STRING_LENGTH])
{
	return SHA256Data((const uint8_t *) set_requirepass, strlen(set_requirepass), to);
}

static bool
is_default(Session *s, uint32 i)
{
	return s->argv[i].len == 7 && memcmp(s->argv[i].data, "default", 7) == 0;
}

TcopResult
tcop__acl_whoami(Session *s)
{
	reply_text(&s->out, "default");
	return TCOP_DONE;
}

TcopResult
tcop__acl_users(Session *s)
{
	reply_array(&s->out, 1);
	reply_text(&s->out, "default");
	return TCOP_DONE;
}

TcopResult
tcop__acl_list(Session *s)
{
	char		hash[SHA256_DIGEST_STRING_LENGTH];
	char		line[160];
	bool		password = set_requirepass[0] != '\0';

	snprintf(line, sizeof(line), "user default on %s%s ~* &* +@all", password ? "#" : "nopass", password ? password_hash(hash) : "");
	reply_array(&s->out, 1);
	reply_text(&s->out, line);
	return TCOP_DONE;
}

TcopResult
tcop__acl_getuser(Session *s)
{
	Output	   *o = &s->out;
	char		hash[SHA256_DIGEST_STRING_LENGTH];
	bool		password = set_requirepass[0] != '\0';

	if (!is_default(s, 2))
	{
		reply_null(o);
		return TCOP_DONE;
	}
	reply_map(o, 6);
	reply_text(o, "flags");
	reply_set(o, password ? 1 : 2);
	reply_text(o, "on");
	if (!password)
		reply_text(o, "nopass");
	reply_text(o, "passwords");
	reply_array(o, password);
	if (password)
		reply_text(o, password_hash(hash));
	reply_text(o, "commands");
	reply_text(o, "+@all");
	reply_text(o, "keys");
	reply_text(o, "~*");
	reply_text(o, "channels");
	reply_text(o, "&*");
	reply_text(o, "selectors");
	reply_array(o, 0);
	return TCOP_DONE;
}

TcopResult
tcop__acl_cat(Session *s)
{
	if (s->argc > 3)
		tcop__error_help(s);
	else if (s->argc == 2)
		tcop__reply_categories(&s->out);
	else if (!tcop__reply_category(&s->out, s->argv[2].data, s->argv[2].len))
		reply_error(&s->out, "ERR Unknown category '%.*s'", (int) Min((size_t) 128, s->argv[2].len),
					(const char *) s->argv[2].data);
	return TCOP_DONE;
}

TcopResult
tcop__acl_genpass(Session *s)
{
	static const char digits[] = "0123456789abcdef";
	int64		bits = GENPASS_BITS_DEFAULT;
	uint8		random[GENPASS_BITS_MAX / 8];
	char		text[GENPASS_BITS_MAX / 4];
	size_t		len;

	if (s->argc > 3)
	{
		tcop__error_help(s);
		return TCOP_DONE;
	}
	if (s->argc == 3 && !tcop__arg_int(s, 2, &bits, NULL))
		return TCOP_DONE;
	if (bits <= 0 || bits > GENPASS_BITS_MAX)
	{
		reply_error(&s->out, "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up "
					"to %d", GENPASS_BITS_MAX);
		return TCOP_DONE;
	}
	len = ((size_t) bits + 3) / 4;
	arc4random_buf(random, sizeof(random));
	for (size_t i = 0; i < len; i++)
		text[i] = digits[random[i / 2] >> (i % 2 * 4) & 15];
	reply_bulk(&s->out, text, len);
	return TCOP_DONE;
}

TcopResult
tcop__acl_dryrun(Session *s)
{
	const Command *c;

	if (!is_default(s, 2))
	{
		reply_error(&s->out, "ERR User '%.*s' not found", (int) Min((size_t) 128, s->argv[2].len), (const char *) s->argv[2].data);
		return TCOP_DONE;
	}
	c = command_find(s->argv[3].data, s->argv[3].len);
	if (c != NULL && c->first_child >= 0 && s->argc > 4)
		c = command_find_child(c, s->argv[4].data, s->argv[4].len);
	if (c == NULL)
		reply_error(&s->out, "ERR Command '%.*s' not found", (int) Min((size_t) 128, s->argv[3].len), (const char *) s->argv[3].data);
	else if (!command_arity_fits(c, s->argc - 3) || c->run == NULL)
		reply_error(&s->out, "ERR wrong number of arguments for '%s' command", c->name);
	else
		reply_ok(&s->out);
	return TCOP_DONE;
}

/* tcop__acl_log -- nobody is ever denied anything but by a wrong password, which the log of the server does not keep either. */
TcopResult
tcop__acl_log(Session *s)
{
	int64		count;

	if (s->argc > 3)
		tcop__error_help(s);
	else if (s->argc == 3 && tcop__arg_is(s, 2, "reset"))
		reply_ok(&s->out);
	else if (s->argc == 2 || tcop__arg_int(s, 2, &count, NULL))
		reply_array(&s->out, 0);
	return TCOP_DONE;
}

TcopResult
tcop__acl_setuser(Session *s)
{
	reply_error(&s->out, ONE_USER);
	return TCOP_DONE;
}

TcopResult
tcop__acl_deluser(Session *s)
{
	for (uint32 i = 2; i < s->argc; i++)
		if (is_default(s, i))
		{
			reply_error(&s->out, "ERR The 'default' user cannot be removed");
			return TCOP_DONE;
		}
	reply_error(&s->out, ONE_USER);
	return TCOP_DONE;
}

TcopResult
tcop__acl_save(Session *s)
{
	reply_error(&s->out, "ERR This instance is not configured to use an ACL file: there is one user, default; CONFIG SET requirepass "
				"and CONFIG REWRITE change and keep the password");
	return TCOP_DONE;
}
