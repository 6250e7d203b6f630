/*
 * session.c -- the life of a session, and its public side in the client table.
 */
#include "common/c.h"
#include "tcop/message.h"
#include "tcop/multi.h"
#include "tcop/tcop_internal.h"
#include "utils/settings.h"

void
session_init(Session *s, ClientEntry *entry, bool is_unix)
{
	memset(s, 0, sizeof(*s));
	s->magic = SESSION_MAGIC;
	s->entry = entry;
	s->id = atomic_load_explicit(&entry->id, memory_order_relaxed);	/* relaxed: our own entry */
	s->is_unix = is_unix;
	s->authenticated = set_requirepass[0] == '\0' && is_unix;
	s->out.proto = 2;
	s->durability = SESSION_POLICY_SERVER;
	s->next_durability = SESSION_POLICY_SERVER;
}

void
session_destroy(Session *s)
{
	Verify(s->magic == SESSION_MAGIC);
	tcop_cancel(s);
	tcop__multi_drop(s);
	tcop__snapshot_drop(s);
	tcop_closing(s);
	free(s->pending);
	output_free(&s->out);
	s->magic = 0;
}

void
session_reset(Session *s)
{
	ClientText	text;

	if (client_text_read(s->entry, s->id, &text))
	{
		text.name[0] = '\0';
		client_text_write(s->entry, &text);
	}
	tcop__multi_drop(s);
	tcop__snapshot_drop(s);
	pubsub_drop(s);
	monitor_drop(s);
	tracking_drop(s);
	s->db = 0;
	s->out.proto = 2;
	s->authenticated = set_requirepass[0] == '\0' && s->is_unix;
	s->durability = SESSION_POLICY_SERVER;
	s->next_durability = SESSION_POLICY_SERVER;
	s->next_armed = false;
	s->reply_mode = REPLY_ON;
	s->reply_lsn = false;
	/* relaxed: flags for people; ours to write */
	atomic_fetch_and_explicit(&s->entry->flags, ~(uint32) (CLIENT_FLAG_NO_EVICT | CLIENT_FLAG_NO_TOUCH), memory_order_relaxed);
}

uint8
session_policy(const Session *s)
{
	if (unlikely(s->next_armed))
		return s->next_durability;
	return s->durability == SESSION_POLICY_SERVER ? (uint8) set_durability : s->durability;
}

/* publish_multi -- what MULTI and WATCH hold. */
static void
publish_multi(const Session *s)
{
	ClientEntry *e = s->entry;
	MultiFigures multi;

	tcop__multi_figures(s, &multi);
	/* relaxed: all for people; ours to write */
	atomic_store_explicit(&e->multi_count, multi.open ? multi.count + 1 : 0, memory_order_relaxed);
	atomic_store_explicit(&e->multi_bytes, multi.bytes, memory_order_relaxed);
	if (multi.open)
		atomic_fetch_or_explicit(&e->flags, CLIENT_FLAG_MULTI, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&e->flags, ~(uint32) CLIENT_FLAG_MULTI, memory_order_relaxed);
}

/* session_publish -- once per batch of commands: all relaxed, for people in other workers. */
void
session_publish(Session *s)
{
	ClientEntry *e = s->entry;

	atomic_store_explicit(&e->active_us, tcop_now_us, memory_order_relaxed);
	atomic_store_explicit(&e->command, s->last_command, memory_order_relaxed);
	atomic_store_explicit(&e->db, s->db, memory_order_relaxed);
	atomic_store_explicit(&e->proto, s->out.proto, memory_order_relaxed);
	atomic_store_explicit(&e->durability, s->durability, memory_order_relaxed);
	if (unlikely(s->multi != NULL || atomic_load_explicit(&e->multi_bytes, memory_order_relaxed) != 0))
		publish_multi(s);
}
