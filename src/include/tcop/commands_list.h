/*
 * commands_list.h -- the one list of commands (X-macro, no include guard).
 *
 * COMMAND(function, "name", arity, flags, first key, last key, step, "key flags",
 *         "group", acl, "since", "tips", "usage", "complexity", "sentence")
 * A name with '|' is a sub-command and follows its container; CONTAINER has no
 * function of its own.  The order is the order of COMMAND's answer; a command's
 * position numbers its counters in the segment, for the life of the segment.
 *
 * Usage: lower case stands for a value (key, pattern, cursor, count ... give its
 * type), upper case for a word; [x] may be left out, a|b is a choice, and
 * "key [key ...]" may go on.  COMMAND DOCS and doc/commands.md read it.
 */
#include "tcop/lists/connection_list.h"
#include "tcop/lists/strings_list.h"
#include "tcop/lists/keys_list.h"
#include "tcop/lists/order_list.h"
#include "tcop/lists/txn_list.h"
#include "tcop/lists/pubsub_list.h"
#include "tcop/lists/feed_list.h"
#include "tcop/lists/server_list.h"
