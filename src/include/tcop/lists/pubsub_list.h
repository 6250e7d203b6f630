/* pubsub_list.h -- commands for messages; part of commands_list.h (X-macro, no include guard). */
