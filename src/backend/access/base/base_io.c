/*
 * base_io.c -- batches of pages on their way to the data file.
 *
 * Knows pages by number and nothing of trees.  Takes whole batches, and of each
 * says what became of it: pages to write, written, to free, freed, result.
 *
 * Order.  Batches go off in the order in which they come, and within one the
 * caller puts children before parents.  Inside a submission writes are sorted by
 * their place and may end in any order: no root reaches them before the sync and
 * the control slot, so nobody can see the difference.  A page that comes twice in
 * one submission is written once, its last copy.  Neighbours on the disk that are
 * neighbours in memory go as one request of up to JOIN_PAGES pages.
 *
 * The planner fills frames: two halves of batch_pages frames each, one piece of
 * memory registered with the ring once.  A full half goes off, the other one is
 * filled meanwhile; before it is filled again its writes have come back.
 *
 * Shorts, EINTR and EAGAIN are storage/file's.  An error is told by the report of
 * every batch in that submission, with the real errno; nothing is synced then and
 * nothing freed.  For the planner it stays until it drains or cancels; from then
 * on its pages go nowhere.
 *
 * One process (the checkpointer) and one thread; private memory.  If it dies, the
 * requests in flight hold the open file description with its lock: the next one
 * that gets the lock knows that they have ended.
 */
#include "access/base/base_internal.h"
#include "utils/elog.h"

#include <errno.h>

#define IO_MAGIC 0x4f495342
#define JOIN_PAGES 16			/* 256 KiB: sequential speed, and still many requests for the device to choose from */

/* Write -- one page of a submission, for sorting */
typedef struct Write
{
	uint64		number;
	const uint8 *page;
	uint32		order;
} Write;

/* Flight -- one submission */
typedef struct Flight
{
	bool		off;			/* under way */
	Write	   *write;
	FileIo	   *io;
	FileIo	  **ios;
	uint32		room;
	uint32		pages;			/* to be written, replaced ones left out */
	uint32		requests;
} Flight;

/* Half -- frames that are filled together */
typedef struct Half
{
	uint8	   *frames;
	BaseBatchPage *page;
	uint32		count;
	BaseBatch	batch;			/* as it was handed over, and its report */
	Flight		flight;
} Half;

struct BaseIo
{
	uint32		magic;
	uint32		batch_pages;
	File	   *file;
	FileQueue  *queue;
	uint8	   *arena;
	Half		half[2];
	uint32		filling;		/* which half */
	Flight		commit;			/* base_io_commit's own */
	BaseIoStats stats;
	int			error;			/* the first since the last drain or cancel */
	uint64		error_page;
};

BaseIo *
base__io_create(File *file, uint32 batch_pages)
{
	BaseIo	   *io = calloc(1, sizeof(*io));
	size_t		bytes = (size_t) 2 * batch_pages * BASE_PAGE_SIZE;

	Verify(io != NULL && batch_pages > 0);
	io->magic = IO_MAGIC;
	io->batch_pages = batch_pages;
	io->file = file;
	io->arena = file_alloc_aligned(bytes);
	io->queue = file_queue_create("base");
	(void) file_queue_register(io->queue, io->arena, bytes);
	(void) file_queue_register_file(io->queue, file);
	for (int i = 0; i < 2; i++)
	{
		io->half[i].frames = io->arena + (size_t) i * batch_pages * BASE_PAGE_SIZE;
		io->half[i].page = calloc(batch_pages, sizeof(BaseBatchPage));
		Verify(io->half[i].page != NULL);
	}
	return io;
}

static void
flight_free(Flight *f)
{
	free(f->write);
	free(f->io);
	free(f->ios);
}

void
base__io_destroy(BaseIo *io)
{
	if (io == NULL)
		return;
	Verify(io->magic == IO_MAGIC);
	file_queue_destroy(io->queue);
	for (int i = 0; i < 2; i++)
	{
		flight_free(&io->half[i].flight);
		free(io->half[i].page);
	}
	flight_free(&io->commit);
	free(io->arena);
	io->magic = 0;
	free(io);
}

const BaseIoStats *
base__io_stats(const BaseIo *io)
{
	return &io->stats;
}

const char *
base__io_method(const BaseIo *io)
{
	return file_queue_method(io->queue);
}

/* ---- one submission ---- */

static void
flight_room(Flight *f, uint32 count)
{
	if (count <= f->room)
		return;
	f->room = count;
	f->write = realloc(f->write, count * sizeof(*f->write));
	f->io = realloc(f->io, count * sizeof(*f->io));
	f->ios = realloc(f->ios, count * sizeof(*f->ios));
	Verify(f->write != NULL && f->io != NULL && f->ios != NULL);
}

static int
compare_writes(const void *a, const void *b)
{
	const Write *x = a;
	const Write *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* gather -- the pages of all batches by place, of each number the last copy; how many. */
static uint32
gather(Flight *f, BaseBatch *const *batches, uint32 n)
{
	uint32		count = 0;
	uint32		kept = 0;
	bool		sorted = true;

	for (uint32 i = 0; i < n; i++)
		count += batches[i]->count;
	flight_room(f, count);
	count = 0;
	for (uint32 i = 0; i < n; i++)
		for (uint32 j = 0; j < batches[i]->count; j++, count++)
		{
			f->write[count] = (Write) {.number = batches[i]->pages[j].number, .page = batches[i]->pages[j].page,
									   .order = count};
			if (count > 0 && f->write[count - 1].number >= f->write[count].number)
				sorted = false;
		}
	if (!sorted)
		qsort(f->write, count, sizeof(*f->write), compare_writes);
	for (uint32 i = 0; i < count; i++)
		if (i + 1 == count || f->write[i + 1].number != f->write[i].number)
			f->write[kept++] = f->write[i];
	return kept;
}

/* join -- requests out of neighbours. */
static void
join(BaseIo *io, Flight *f)
{
	f->requests = 0;
	for (uint32 i = 0; i < f->pages; i++)
	{
		const Write *w = &f->write[i];
		FileIo	   *r = f->requests > 0 ? &f->io[f->requests - 1] : NULL;

		if (r != NULL && r->len < JOIN_PAGES * BASE_PAGE_SIZE && r->offset + r->len == w->number * BASE_PAGE_SIZE
			&& (const uint8 *) r->buf + r->len == w->page)
		{
			r->len += BASE_PAGE_SIZE;
			continue;
		}
		r = &f->io[f->requests];
		*r = (FileIo) {.op = FILE_OP_WRITE, .file = io->file, .buf = (void *) (uintptr_t) w->page, .len = BASE_PAGE_SIZE,
					   .offset = w->number * BASE_PAGE_SIZE};
		f->ios[f->requests++] = r;
	}
}

static void
flight_start(BaseIo *io, Flight *f, BaseBatch *const *batches, uint32 n)
{
	Verify(!f->off);
	f->pages = gather(f, batches, n);
	join(io, f);
	FAULT_POINT("base-before-batch");
	io->stats.write_batches++;
	io->stats.writes += f->requests;
	f->off = true;
	(void) file_queue_submit(io->queue, f->ios, (int) f->requests);
}

/* flight_finish -- everything has come back; the first error by place, or 0.  *number: its page. */
static int
flight_finish(BaseIo *io, Flight *f, uint64 *number)
{
	int			error = 0;

	Verify(f->off);
	for (uint32 i = 0; i < f->requests; i++)
	{
		file_queue_wait(io->queue, &f->io[i]);
		if (f->io[i].error != 0 && error == 0)
		{
			error = f->io[i].error;
			*number = (f->io[i].offset + f->io[i].done_len) / BASE_PAGE_SIZE;
		}
	}
	f->off = false;
	if (error == 0)
		io->stats.pages += f->pages;
	FAULT_POINT("base-batch-written");
	return error;
}

int
base__io_sync(BaseIo *io)
{
	FileIo		sync = {.op = FILE_OP_DATASYNC, .file = io->file};
	FileIo	   *one = &sync;
	int			error;

	FAULT_POINT("base-before-sync");
	io->stats.flushes++;
	error = file_queue_run(io->queue, &one, 1);
	FAULT_POINT("base-after-sync");
	return error;
}

/* report_all -- the same outcome for every batch; what a later copy has replaced counts as written. */
static void
report_all(BaseBatch *const *batches, uint32 n, bool synced, int error, const char *what, uint64 number)
{
	for (uint32 i = 0; i < n; i++)
	{
		BaseBatch  *b = batches[i];

		b->report = (BaseReport) {.to_write = b->count, .to_free = b->to_free, .batches = 1, .error = error};
		if (error == 0)
		{
			b->report.written = b->count;
			b->report.freed = synced ? b->to_free : 0;
		}
		else if (number != 0)
		{
			errno = error;
			snprintf(b->report.text, sizeof(b->report.text), "could not %s page %llu of data/base: %m", what,
					 (unsigned long long) number);
		}
		else
		{
			errno = error;
			snprintf(b->report.text, sizeof(b->report.text), "could not %s data/base: %m", what);
		}
	}
}

int
base_io_commit(BaseIo *io, BaseBatch *const *batches, uint32 n, bool sync)
{
	uint64		number = 0;
	int			error;

	Verify(io->magic == IO_MAGIC);
	flight_start(io, &io->commit, batches, n);
	error = flight_finish(io, &io->commit, &number);
	if (error != 0)
	{
		report_all(batches, n, false, error, "write", number);
		return error;
	}
	if (sync)
		error = base__io_sync(io);
	report_all(batches, n, sync, error, "sync", 0);
	return error;
}

/* ---- the planner's frames ---- */

static void
note_error(BaseIo *io, int error, uint64 number)
{
	if (error != 0 && io->error == 0)
	{
		io->error = error;
		io->error_page = number;
	}
}

static void
half_wait(BaseIo *io, Half *h)
{
	BaseBatch  *one = &h->batch;
	uint64		number = 0;
	int			error;

	if (!h->flight.off)
		return;
	error = flight_finish(io, &h->flight, &number);
	report_all(&one, 1, false, error, "write", number);
	ereport(DEBUG2, "batch of %llu pages: %llu written%s%s", (unsigned long long) h->batch.report.to_write,
			(unsigned long long) h->batch.report.written, error != 0 ? ": " : "", h->batch.report.text);
	note_error(io, error, number);
	h->count = 0;
}

static void
half_start(BaseIo *io, Half *h)
{
	BaseBatch  *one = &h->batch;

	if (h->count == 0 || h->flight.off)
		return;
	if (io->error != 0)
	{
		h->count = 0;			/* what failed is given up as a whole */
		return;
	}
	h->batch = (BaseBatch) {.pages = h->page, .count = h->count};
	flight_start(io, &h->flight, &one, 1);
}

void *
base__io_frame(BaseIo *io)
{
	Half	   *h = &io->half[io->filling];

	half_wait(io, h);
	return h->frames + (size_t) h->count * BASE_PAGE_SIZE;
}

bool
base__io_put(BaseIo *io, uint64 number)
{
	Half	   *h = &io->half[io->filling];

	Verify(!h->flight.off && h->count < io->batch_pages);
	h->page[h->count] = (BaseBatchPage) {.number = number, .page = h->frames + (size_t) h->count * BASE_PAGE_SIZE};
	h->count++;
	if (h->count < io->batch_pages)
		return false;
	half_start(io, h);
	io->filling ^= 1;
	return true;
}

int
base__io_drain(BaseIo *io)
{
	int			error;

	half_start(io, &io->half[io->filling]);
	half_wait(io, &io->half[io->filling ^ 1]);
	half_wait(io, &io->half[io->filling]);
	error = io->error;
	io->error = 0;
	return error;
}

void
base__io_cancel(BaseIo *io)
{
	half_wait(io, &io->half[0]);
	half_wait(io, &io->half[1]);
	io->half[0].count = io->half[1].count = 0;
	io->error = 0;
}

int
base__io_error(const BaseIo *io, uint64 *number)
{
	*number = io->error_page;
	return io->error;
}
