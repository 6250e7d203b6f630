/*
 * client_table.c -- the table of connections in the segment.
 *
 * Every worker runs this.  Lock-free: a worker that stands still or dies in here
 * holds nobody up; what a dead one held (a place, a count, entries) is known by
 * the worker index in its entries and is given back by whoever tidies after it,
 * or vanishes with the segment at a crash restart.
 */
#include "common/c.h"
#include "storage/ipc/latch.h"
#include "tcop/client_table.h"
#include "utils/clock.h"

#define CLIENT_TABLE_MAGIC UINT64_C(0x544e45494c435254)
#define TEXT_READ_TRIES 100

ClientTable *client_table;

size_t
client_table_size(uint32 entries)
{
	return sizeof(ClientTable) + (size_t) entries * sizeof(ClientEntry);
}

/* client_table_init -- postmaster, in fresh zeroed memory, before it forks. */
void
client_table_init(void *region, uint32 entries, uint32 workers, uint32 first_worker_slot)
{
	ClientTable *t = region;

	Verify(workers <= CLIENT_WORKERS_MAX);
	client_table = t;
	t->magic = CLIENT_TABLE_MAGIC;
	t->entry_count = entries;
	t->worker_count = workers;
	t->first_worker_slot = first_worker_slot;
	/* relaxed: nobody else is there yet */
	atomic_store_explicit(&t->next_id, 1, memory_order_relaxed);
	for (uint32 i = 0; i < entries; i++)
		atomic_store_explicit(&t->entry[i].next_free, i + 1 < entries ? i + 2 : 0, memory_order_relaxed);
	atomic_store_explicit(&t->free_head, entries > 0 ? 1 : 0, memory_order_relaxed);
}

bool
client_place_take(uint32 max)
{
	/* relaxed: a count; the stack below orders the entries */
	uint32		n = atomic_load_explicit(&client_table->total, memory_order_relaxed);

	do
	{
		if (n >= max)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&client_table->total, &n, n + 1,
													memory_order_relaxed, memory_order_relaxed));
	return true;
}

void
client_place_give(void)
{
	uint32		before = atomic_fetch_sub_explicit(&client_table->total, 1, memory_order_relaxed);	/* relaxed: a count */

	Verify(before > 0);
}

uint32
client_worker_choose(uint32 self)
{
	for (;;)
	{
		uint32		best = self;
		/* relaxed: counts; the CAS takes exactly the number that was compared */
		uint32		least = atomic_load_explicit(&client_table->worker[self].connections, memory_order_relaxed);

		for (uint32 i = 0; i < client_table->worker_count; i++)
		{
			uint32		n = atomic_load_explicit(&client_table->worker[i].connections, memory_order_relaxed);

			if (n < least)
			{
				least = n;
				best = i;
			}
		}
		if (atomic_compare_exchange_strong_explicit(&client_table->worker[best].connections, &least, least + 1,
													memory_order_relaxed, memory_order_relaxed))
			return best;
	}
}

void
client_worker_take(uint32 worker)
{
	atomic_fetch_add_explicit(&client_table->worker[worker].connections, 1, memory_order_relaxed);	/* relaxed: a count */
}

void
client_worker_give(uint32 worker)
{
	uint32		before;

	before = atomic_fetch_sub_explicit(&client_table->worker[worker].connections, 1, memory_order_relaxed);	/* relaxed: a count */
	Verify(before > 0);
}

ClientEntry *
client_entry_take(uint32 worker, int fd, uint32 flags, const ClientText *text)
{
	ClientTable *t = client_table;
	uint64		head = atomic_load_explicit(&t->free_head, memory_order_acquire);	/* acquire [client-free] */
	ClientEntry *e;
	uint64		now = clock_mono_us();

	for (;;)
	{
		uint64		next;

		if ((uint32) head == 0)
			return NULL;
		e = &t->entry[(uint32) head - 1];
		/* relaxed: checked by the tag in the CAS */
		next = atomic_load_explicit(&e->next_free, memory_order_relaxed) | ((head >> 32) + 1) << 32;
		if (atomic_compare_exchange_weak_explicit(&t->free_head, &head, next,
												  memory_order_acquire, memory_order_acquire))	/* acquire [client-free] */
			break;
	}
	/* relaxed: ours now; the id publishes */
	atomic_store_explicit(&e->worker, worker, memory_order_relaxed);
	atomic_store_explicit(&e->fd, (uint32) fd, memory_order_relaxed);
	atomic_store_explicit(&e->flags, flags, memory_order_relaxed);
	atomic_store_explicit(&e->db, 0, memory_order_relaxed);
	atomic_store_explicit(&e->command, 0, memory_order_relaxed);
	atomic_store_explicit(&e->proto, 2, memory_order_relaxed);
	atomic_store_explicit(&e->durability, CLIENT_DURABILITY_SERVER, memory_order_relaxed);
	atomic_store_explicit(&e->created_us, now, memory_order_relaxed);
	atomic_store_explicit(&e->active_us, now, memory_order_relaxed);
	atomic_store_explicit(&e->query_bytes, 0, memory_order_relaxed);
	atomic_store_explicit(&e->output_bytes, 0, memory_order_relaxed);
	atomic_store_explicit(&e->output_chunks, 0, memory_order_relaxed);
	atomic_store_explicit(&e->gated, 0, memory_order_relaxed);
	atomic_store_explicit(&e->unblock_id, 0, memory_order_relaxed);
	atomic_store_explicit(&e->redirect, UINT64_MAX, memory_order_relaxed);
	atomic_store_explicit(&e->channels, 0, memory_order_relaxed);
	atomic_store_explicit(&e->patterns, 0, memory_order_relaxed);
	atomic_store_explicit(&e->shard_channels, 0, memory_order_relaxed);
	client_text_write(e, text);
	/* release [client-id]: whoever sees the id sees what stands above */
	atomic_store_explicit(&e->id, atomic_fetch_add_explicit(&t->next_id, 1, memory_order_relaxed), memory_order_release);
	return e;
}

void
client_entry_give(ClientEntry *e)
{
	ClientTable *t = client_table;
	uint32		index = (uint32) (e - t->entry);
	uint64		head = atomic_load_explicit(&t->free_head, memory_order_relaxed);	/* relaxed: the CAS decides */
	uint64		next;

	atomic_store_explicit(&e->id, 0, memory_order_release);	/* release [client-id] */
	do
	{
		/* relaxed: published by the CAS */
		atomic_store_explicit(&e->next_free, (uint32) head, memory_order_relaxed);
		next = ((head >> 32) + 1) << 32 | (index + 1);
	} while (!atomic_compare_exchange_weak_explicit(&t->free_head, &head, next,
													memory_order_release, memory_order_relaxed));	/* release [client-free] */
}

void
client_text_write(ClientEntry *e, const ClientText *text)
{
	uint64		words[CLIENT_TEXT_WORDS];
	uint32		sequence = atomic_load_explicit(&e->sequence, memory_order_relaxed);	/* relaxed: ours */

	memcpy(words, text, sizeof(words));
	atomic_store_explicit(&e->sequence, sequence + 1, memory_order_relaxed);	/* relaxed: the fence orders it */
	atomic_thread_fence(memory_order_release);	/* release [client-text]: odd before any word */
	for (size_t i = 0; i < CLIENT_TEXT_WORDS; i++)
		atomic_store_explicit(&e->text[i], words[i], memory_order_relaxed);	/* relaxed: between the sequence's stores */
	atomic_store_explicit(&e->sequence, sequence + 2, memory_order_release);	/* release [client-text] */
}

bool
client_text_read(ClientEntry *e, uint64 id, ClientText *text)
{
	uint64		words[CLIENT_TEXT_WORDS];

	for (int i = 0; i < TEXT_READ_TRIES; i++)
	{
		uint32		before = atomic_load_explicit(&e->sequence, memory_order_acquire);	/* acquire [client-text] */

		if (before & 1)
			continue;
		for (size_t w = 0; w < CLIENT_TEXT_WORDS; w++)
			words[w] = atomic_load_explicit(&e->text[w], memory_order_relaxed);	/* relaxed: checked below */
		atomic_thread_fence(memory_order_acquire);	/* acquire [client-text]: the words before the second look */
		if (atomic_load_explicit(&e->sequence, memory_order_relaxed) != before)
			continue;
		memcpy(text, words, sizeof(words));
		return atomic_load_explicit(&e->id, memory_order_acquire) == id;	/* acquire [client-id] */
	}
	return false;
}

/* ask -- what was stored in the entry is for its worker to look at. */
static void
ask(ClientEntry *e)
{
	uint32		worker = atomic_load_explicit(&e->worker, memory_order_relaxed);	/* relaxed: constant while the id stands */

	atomic_fetch_add_explicit(&client_table->worker[worker].kills, 1, memory_order_release);	/* release [client-kill] */
	latch_set(client_table->first_worker_slot + worker);
}

bool
client_kill(ClientEntry *e, uint64 id)
{
	if (atomic_load_explicit(&e->id, memory_order_acquire) != id)	/* acquire [client-id] */
		return false;
	/* relaxed: the count publishes it */
	if (atomic_exchange_explicit(&e->kill_id, id, memory_order_relaxed) == id)
		return false;
	ask(e);
	return true;
}

bool
client_unblock(ClientEntry *e, uint64 id, bool error)
{
	if (atomic_load_explicit(&e->id, memory_order_acquire) != id ||	/* acquire [client-id] */
		(atomic_load_explicit(&e->flags, memory_order_relaxed) & CLIENT_FLAG_BLOCKED) == 0)	/* relaxed: it may just be waking */
		return false;
	atomic_store_explicit(&e->unblock_id, id << 1 | error, memory_order_relaxed);	/* relaxed: the count publishes it */
	ask(e);
	return true;
}
