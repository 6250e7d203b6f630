/*
 * connection.c -- commands about the connection itself: PING ECHO QUIT RESET
 * AUTH HELLO SELECT.  (CLIENT has a file of its own.)
 */
#include "common/c.h"
#include "tcop/message.h"
#include "tcop/tcop_internal.h"
#include "utils/settings.h"

TcopResult
tcop__ping(Session *s)
{
	if (s->argc > 2)
		tcop__error_arity(s);
	else if (s->out.proto < 3 && pubsub_listens(s))
	{
		reply_array(&s->out, 2);
		reply_text(&s->out, "pong");
		reply_bulk(&s->out, s->argc == 2 ? s->argv[1].data : "", s->argc == 2 ? s->argv[1].len : 0);
	}
	else if (s->argc == 2)
		reply_bulk(&s->out, s->argv[1].data, s->argv[1].len);
	else
		reply_simple(&s->out, "PONG");
	return TCOP_DONE;
}

TcopResult
tcop__echo(Session *s)
{
	if (output_room(&s->out, s->argv[1].len))
		reply_bulk(&s->out, s->argv[1].data, s->argv[1].len);
	return TCOP_DONE;
}

TcopResult
tcop__quit(Session *s)
{
	reply_ok(&s->out);
	s->close_after_reply = true;
	return TCOP_DONE;
}

TcopResult
tcop__reset(Session *s)
{
	session_reset(s);
	reply_simple(&s->out, "RESET");
	return TCOP_DONE;
}

/* tcop__password_matches -- in a time that tells nothing about where a wrong password differs. */
bool
tcop__password_matches(const void *password, size_t len)
{
	const uint8 *given = password;
	size_t		right_len = strlen(set_requirepass);
	uint8		difference = right_len != len;

	for (size_t i = 0; i < len; i++)
		difference |= (uint8) (given[i] ^ (uint8) set_requirepass[right_len > 0 ? i % right_len : 0]);
	return difference == 0;
}

/* authenticate -- AUTH's and HELLO's work; false: the error is answered. */
static bool
authenticate(Session *s, const BytePart *user, const BytePart *password)
{
	bool		is_default = user == NULL || (user->len == 7 && memcmp(user->data, "default", 7) == 0);

	/* without a password the default user takes any, as in Redis; TCP clients may not go that way */
	if (is_default && (set_requirepass[0] == '\0' ? s->is_unix : tcop__password_matches(password->data, password->len)))
	{
		s->authenticated = true;
		return true;
	}
	reply_error(&s->out, "WRONGPASS invalid username-password pair or user is disabled.");
	return false;
}

TcopResult
tcop__auth(Session *s)
{
	if (s->argc > 3)
		tcop__error_syntax(s);
	else if (s->argc == 2 && set_requirepass[0] == '\0')
		reply_error(&s->out, "ERR AUTH <password> called without any password configured for the default user. "
					"Are you sure your configuration is correct?");
	else if (authenticate(s, s->argc == 3 ? &s->argv[1] : NULL, &s->argv[s->argc - 1]))
		reply_ok(&s->out);
	return TCOP_DONE;
}

static void
hello_reply(Session *s)
{
	Output	   *o = &s->out;

	reply_map(o, 7);
	reply_text(o, "server");
	reply_text(o, "artery");
	reply_text(o, "version");
	reply_text(o, REDIS_VERSION_TOLD);
	reply_text(o, "proto");
	reply_int(o, o->proto);
	reply_text(o, "id");
	reply_int(o, (int64) s->id);
	reply_text(o, "mode");
	reply_text(o, "standalone");
	reply_text(o, "role");
	reply_text(o, "master");
	reply_text(o, "modules");
	reply_array(o, 0);
}

TcopResult
tcop__hello(Session *s)
{
	int64		version = 0;

	if (s->argc >= 2)
	{
		if (!tcop__arg_int(s, 1, &version, "Protocol version is not an integer or out of range"))
			return TCOP_DONE;
		if (version < 2 || version > 3)
		{
			reply_error(&s->out, "NOPROTO unsupported protocol version");
			return TCOP_DONE;
		}
	}
	for (uint32 i = 2; i < s->argc; i++)
	{
		uint32		more = s->argc - 1 - i;

		/* in their order, each at once: what comes before an error stays, as in Redis */
		if (tcop__arg_is(s, i, "auth") && more >= 2)
		{
			if (!authenticate(s, &s->argv[i + 1], &s->argv[i + 2]))
				return TCOP_DONE;
			i += 2;
		}
		else if (tcop__arg_is(s, i, "setname") && more >= 1)
		{
			if (!tcop__client_name_valid(s, &s->argv[++i]))
				return TCOP_DONE;
			tcop__client_set_name(s, &s->argv[i]);
		}
		else
		{
			reply_error(&s->out, "ERR Syntax error in HELLO option '%.*s'",
						(int) Min((size_t) 128, s->argv[i].len), (const char *) s->argv[i].data);
			return TCOP_DONE;
		}
	}
	if (tcop_auth_required(s))
	{
		reply_error(&s->out, "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
					"<proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP "
					"protocol version at the same time");
		return TCOP_DONE;
	}
	if (version != 0)
		s->out.proto = (uint8) version;
	hello_reply(s);
	return TCOP_DONE;
}

TcopResult
tcop__select(Session *s)
{
	uint32		db;

	if (tcop__arg_db(s, 1, &db))
	{
		s->db = db;
		reply_ok(&s->out);
	}
	return TCOP_DONE;
}
