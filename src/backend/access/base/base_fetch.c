/*
 * base_fetch.c -- pages of the old tree for the merge, read ahead of it.
 *
 * FETCH_SLOTS pages of private memory and a queue of its own, so that reads and
 * writes do not wait for one another's seats.  A page that is wanted is pinned
 * until it is released; then its slot is free again, since the merge sees every
 * page once.  What was read ahead and never asked for goes when a page that was
 * asked for later comes: the merge asks in the order in which it has announced.
 *
 * Reads are direct where the file is: the page cache plays no part, and what is
 * verified is what the disk has.
 *
 * One process and thread; private memory.
 */
#include "access/base/base_internal.h"

#include <errno.h>

#define FETCH_MAGIC 0x48435446
#define BUCKETS 512
#define GROUP 24				/* reads ahead that start together: the kernel joins neighbours on the disk */

struct BaseFetch
{
	uint32		magic;
	uint32		system;
	File	   *file;
	FileQueue  *queue;
	uint8	   *arena;
	BaseSlot	slot[FETCH_SLOTS];
	BaseSlot   *free_slot;
	BaseSlot   *bucket[BUCKETS];
	uint32		ahead;			/* slots read ahead and not asked for */
	FileIo	   *group[GROUP];	/* not yet started */
	int			grouped;
	uint64		order;
	uint64		reads;
};

BaseFetch *
base__fetch_create(File *file, uint32 system)
{
	BaseFetch  *f = calloc(1, sizeof(*f));

	Verify(f != NULL);
	f->magic = FETCH_MAGIC;
	f->system = system;
	f->file = file;
	f->queue = file_queue_create("base reads");
	f->arena = file_alloc_aligned((size_t) FETCH_SLOTS * BASE_PAGE_SIZE);
	(void) file_queue_register(f->queue, f->arena, (size_t) FETCH_SLOTS * BASE_PAGE_SIZE);
	(void) file_queue_register_file(f->queue, file);
	for (int i = 0; i < FETCH_SLOTS; i++)
	{
		f->slot[i].page = f->arena + (size_t) i * BASE_PAGE_SIZE;
		f->slot[i].next_free = f->free_slot;
		f->free_slot = &f->slot[i];
	}
	return f;
}

void
base__fetch_destroy(BaseFetch *f)
{
	if (f == NULL)
		return;
	Verify(f->magic == FETCH_MAGIC);
	file_queue_destroy(f->queue);
	free(f->arena);
	f->magic = 0;
	free(f);
}

uint64
base__fetch_reads(const BaseFetch *f)
{
	return f->reads;
}

static BaseSlot **
bucket_of(BaseFetch *f, BaseRef ref)
{
	return &f->bucket[(ref.number * UINT64_C(0x9E3779B97F4A7C15)) >> 55];
}

static BaseSlot *
find(BaseFetch *f, BaseRef ref)
{
	for (BaseSlot *s = *bucket_of(f, ref); s != NULL; s = s->hash_next)
		if (s->ref.number == ref.number && s->ref.birth == ref.birth)
			return s;
	return NULL;
}

/* drop -- nobody needs it: the slot is free, once its read has come back. */
static void
drop(BaseFetch *f, BaseSlot *s)
{
	BaseSlot  **at = bucket_of(f, s->ref);

	base__fetch_submit(f);
	if (s->reading)
		file_queue_wait(f->queue, &s->io);
	if (s->ahead)
		f->ahead--;
	while (*at != s)
		at = &(*at)->hash_next;
	*at = s->hash_next;
	s->ref = (BaseRef) {0, 0};
	s->reading = s->good = s->ahead = false;
	s->next_free = f->free_slot;
	f->free_slot = s;
}

/* drop_ahead -- what was read ahead with an order below this one. */
static void
drop_ahead(BaseFetch *f, uint64 below)
{
	for (int i = 0; i < FETCH_SLOTS && f->ahead > 0; i++)
		if (f->slot[i].ahead && f->slot[i].order < below)
			drop(f, &f->slot[i]);
}

/* start -- a slot and its read, to be submitted. */
static BaseSlot *
start(BaseFetch *f, BaseRef ref)
{
	BaseSlot   *s = f->free_slot;
	BaseSlot  **bucket = bucket_of(f, ref);

	Verify(s != NULL && ref.number != 0);
	f->free_slot = s->next_free;
	s->ref = ref;
	s->pins = 0;
	s->reading = true;
	s->hash_next = *bucket;
	*bucket = s;
	s->io = (FileIo) {.op = FILE_OP_READ, .file = f->file, .buf = s->page, .len = BASE_PAGE_SIZE,
					  .offset = ref.number * BASE_PAGE_SIZE};
	f->reads++;
	f->group[f->grouped++] = &s->io;
	if (f->grouped == GROUP)
		base__fetch_submit(f);
	return s;
}

void
base__fetch_submit(BaseFetch *f)
{
	if (f->grouped > 0)
		(void) file_queue_submit(f->queue, f->group, f->grouped);
	f->grouped = 0;
}

bool
base__fetch_wants(const BaseFetch *f)
{
	return f->ahead + GROUP <= FETCH_AHEAD;
}

bool
base__fetch_ahead(BaseFetch *f, BaseRef ref)
{
	BaseSlot   *s = find(f, ref);

	if (s != NULL)
		return true;
	if (f->ahead >= FETCH_AHEAD || f->free_slot == NULL)
		return false;
	s = start(f, ref);
	s->ahead = true;
	s->order = ++f->order;
	f->ahead++;
	return true;
}

/* settle -- the read has come back: is it a page, and the right one? */
static bool
settle(BaseFetch *f, BaseSlot *s, BaseKind kind, int level, int *error, char *why, size_t why_size)
{
	const BasePage *p = (const BasePage *) s->page;

	if (s->reading)
	{
		base__fetch_submit(f);
		file_queue_wait(f->queue, &s->io);
		s->reading = false;
	}
	if (s->good && p->kind == kind && p->level == level)
		return true;
	s->good = false;
	*error = s->io.error;
	if (*error != 0)
	{
		errno = *error;
		snprintf(why, why_size, "could not read page %llu of data/base: %m", (unsigned long long) s->ref.number);
		return false;
	}
	*error = EIO;
	if (s->io.done_len < BASE_PAGE_SIZE)
		snprintf(why, why_size, "page %llu of data/base: the file ends before it", (unsigned long long) s->ref.number);
	else
	{
		char		reason[160];

		s->good = base_page_verify(s->page, s->ref, kind, level, f->system, reason, sizeof(reason));
		if (!s->good)
			snprintf(why, why_size, "page %llu of data/base: %s", (unsigned long long) s->ref.number, reason);
	}
	return s->good;
}

BaseSlot *
base__fetch_get(BaseFetch *f, BaseRef ref, BaseKind kind, int level, int *error, char *why, size_t why_size)
{
	BaseSlot   *s = find(f, ref);

	if (s == NULL)
	{
		if (f->free_slot == NULL)
			drop_ahead(f, UINT64_MAX);
		s = start(f, ref);
	}
	if (!settle(f, s, kind, level, error, why, why_size))
		return NULL;
	if (s->ahead)
	{
		s->ahead = false;
		f->ahead--;
		if (f->ahead == FETCH_AHEAD - 1)
			drop_ahead(f, s->order);
	}
	s->pins++;
	return s;
}

BaseSlot *
base__fetch_try(BaseFetch *f, BaseRef ref, BaseKind kind, int level, bool *bad)
{
	BaseSlot   *s = find(f, ref);
	char		why[8];
	int			error;

	*bad = false;
	if (s == NULL)
	{
		(void) base__fetch_ahead(f, ref);
		base__fetch_submit(f);
		return NULL;
	}
	if (s->reading)
	{
		base__fetch_submit(f);
		file_queue_poll(f->queue);
		if (!s->io.done)
			return NULL;
	}
	if (!settle(f, s, kind, level, &error, why, sizeof(why)))
	{
		*bad = true;
		return NULL;
	}
	if (s->ahead)
	{
		s->ahead = false;
		f->ahead--;
	}
	s->pins++;
	return s;
}

void
base__fetch_release(BaseFetch *f, BaseSlot *slot)
{
	Verify(slot->pins > 0);
	if (--slot->pins == 0)
		drop(f, slot);
}

void
base__fetch_forget(BaseFetch *f)
{
	for (int i = 0; i < FETCH_SLOTS; i++)
		if (f->slot[i].ref.number != 0)
			drop(f, &f->slot[i]);
	Verify(f->ahead == 0);
}
