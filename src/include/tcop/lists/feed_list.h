/* feed_list.h -- commands about the log and what it tells; part of commands_list.h (X-macro, no include guard). */
