/* txn_list.h -- commands for transactions, versions and snapshots; part of commands_list.h (X-macro, no include guard). */
