/*
 * base_reader.c -- pages of the base on their way from the disk.
 *
 * One reader per process: the open data file, a queue, a table of the reads in
 * flight by (number, birth).  A miss joins the read that is under way for it, here
 * by the table, in another process by that one's claim (buffer_claim): then the
 * page is looked for in the pool until it is there, or the claim is gone or old.
 *
 * A page is read into staging memory of this process, verified there, and only
 * then copied into the pool; those who wait for it keep the staging memory
 * itself.  So whatever a device still writes after the process was killed goes
 * into memory that nobody else has.
 *
 * Values in extents go straight into the memory in which the command will see
 * them; each page is verified, and its header is taken out of the way.
 *
 * Nothing here waits but base_read_wait.  What does not fit into the queue waits
 * in a list; prefetching never does, it is left out.
 *
 * Any process that has called base_reader_open; outside an epoch.  If it dies: its
 * claims lapse after a second, the rest was its own.
 */
#include "access/base/base_read_internal.h"
#include "common/figure.h"

#include "storage/buffer/buffer.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/proc.h"
#include "utils/clock.h"
#include "utils/elog.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define TABLE_BUCKETS 1024
#define FREE_BUFS_MAX 128		/* staging memory kept for the next reads */
#define SUBMIT_BATCH 64
#define TOLD_PAGES 32
#define TOLD_US 60000000		/* the log hears of the same page once in this time */
#define AHEAD_IN_FLIGHT 64		/* with so many reads on their way, nothing is prefetched */
#define WAIT_STEP_MS 100
#define WAIT_FOREIGN_MS 1
#define READ_MAGIC 0x44414552

/* ReadIo -- one request: a page, or a piece of an extent */
typedef struct ReadIo
{
	FileIo		io;				/* first: the queue gives back its address */
	struct ReadIo *next;		/* waiting for room in the queue */
	PageRead   *page;			/* one of the two */
	ExtentRead *extent;
} ReadIo;

struct PageRead
{
	uint32		magic;
	ReadIo		rio;
	BaseRef		ref;
	uint32		level;
	PageBuf    *buf;
	bool		foreign;		/* another process reads it */
	KeepWant   *waiting;
	PageRead   *table_next;
	PageRead   *foreign_next;
};

struct ExtentRead
{
	BaseKeep   *keep;			/* NULL: it went away */
	KeptValue  *value;
	uint32		pages;
	uint32		io_count;
	uint32		io_left;
	ReadIo		io[];
};

/* BaseReadSlot -- counters of one process slot, which its owner writes */
typedef struct BaseReadSlot
{
	alignas(CACHE_LINE) _Atomic uint64 reads;
	_Atomic uint64 prefetched;
	_Atomic uint64 joined;
	_Atomic uint64 corrupt;
	_Atomic uint64 stale;
	_Atomic uint64 errors;
} BaseReadSlot;

typedef struct BaseReadShared
{
	uint32		slot_count;
	BaseReadSlot slot[];
} BaseReadShared;

static BaseReadShared *shared;

/* the reader of this process */
static struct
{
	File	   *file;
	FileQueue  *queue;
	uint32		system;
	uint32		in_flight;		/* requests submitted or in the list, reads of others not counted */
	ReadIo	   *list_first;		/* to be submitted as there is room */
	ReadIo	  **list_last;
	PageRead   *foreign;
	uint32		foreign_count;
	PageRead   *table[TABLE_BUCKETS];
	PageBuf    *free_buf;
	uint32		free_bufs;
	bool		some_ready;		/* a keep has nothing pending any more since the last base_read_poll */
	struct
	{
		BaseRef		ref;
		uint64		at_us;
	}			told[TOLD_PAGES];
	uint32		told_next;
} reader;

/* ---- counters ---- */

size_t
base_read_region_size(void)
{
	return sizeof(BaseReadShared) + proc_slot_count * sizeof(BaseReadSlot);
}

void
base_read_region_init(void *region)
{
	shared = region;
	shared->slot_count = proc_slot_count;
}

static void
count(size_t figure)
{
	figure_add((_Atomic uint64 *) ((char *) &shared->slot[my_slot->number] + figure), 1);
}

void
base__count_corrupt(void)
{
	count(offsetof(BaseReadSlot, corrupt));
}

void
base__count_stale(void)
{
	count(offsetof(BaseReadSlot, stale));
}

void
base_read_stats(BaseReadStats *stats)
{
	memset(stats, 0, sizeof(*stats));
	for (uint32 i = 0; i < shared->slot_count; i++)
	{
		BaseReadSlot *s = &shared->slot[i];

		/* relaxed: figures */
		stats->reads += atomic_load_explicit(&s->reads, memory_order_relaxed);
		stats->prefetched += atomic_load_explicit(&s->prefetched, memory_order_relaxed);
		stats->joined += atomic_load_explicit(&s->joined, memory_order_relaxed);
		stats->corrupt += atomic_load_explicit(&s->corrupt, memory_order_relaxed);
		stats->stale += atomic_load_explicit(&s->stale, memory_order_relaxed);
		stats->errors += atomic_load_explicit(&s->errors, memory_order_relaxed);
	}
}

/* ---- opening ---- */

void
base_reader_open(const char *data_dir, uint64 system_id)
{
	char		path[1200];
	int			error;

	base_reader_close();
	snprintf(path, sizeof(path), "%s/data/base", data_dir);
	error = file_open(path, FILE_READ | FILE_DIRECT, 0, &reader.file);
	if (error != 0)
	{
		errno = error;
		ereport_hint(FATAL, "Restore it from a copy of this directory.", "could not open \"%s\": %m", path);
	}
	reader.queue = file_queue_create("reading of the base");
	file_queue_collect(reader.queue);
	reader.system = (uint32) system_id;
	reader.list_last = &reader.list_first;
}

int
base_read_fd(void)
{
	return reader.queue == NULL ? -1 : file_queue_fd(reader.queue);
}

uint32
base_read_in_flight(void)
{
	return reader.in_flight + (reader.some_ready ? 1 : 0);
}

uint32
base_read_foreign(void)
{
	return reader.foreign_count;
}

/* ---- staging memory ---- */

PageBuf *
base__buf_get(void)
{
	PageBuf    *buf = reader.free_buf;

	if (buf != NULL)
	{
		reader.free_buf = buf->next_free;
		reader.free_bufs--;
	}
	else
	{
		buf = malloc(sizeof(*buf));
		Verify(buf != NULL);
		buf->page = file_alloc_aligned(BASE_PAGE_SIZE);
	}
	buf->refs = 1;
	buf->error[0] = '\0';
	buf->next_free = NULL;
	return buf;
}

void
base__buf_unref(PageBuf *buf)
{
	Assert(buf->refs > 0);
	if (--buf->refs > 0)
		return;
	if (reader.free_bufs >= FREE_BUFS_MAX)
	{
		free(buf->page);
		free(buf);
		return;
	}
	buf->next_free = reader.free_buf;
	reader.free_buf = buf;
	reader.free_bufs++;
}

/* ---- the table of reads ---- */

static PageRead **
bucket_of(BaseRef ref)
{
	uint64		hash = (ref.number ^ ref.birth * UINT64_C(0xbf58476d1ce4e5b9)) * UINT64_C(0x9e3779b97f4a7c15);

	return &reader.table[hash >> 54];
}
static_assert(TABLE_BUCKETS == 1 << 10, "the upper ten bits name a bucket");

static PageRead *
find_read(BaseRef ref, uint32 level)
{
	PageRead   *r = *bucket_of(ref);

	while (r != NULL && !(r->ref.number == ref.number && r->ref.birth == ref.birth && r->level == level))
		r = r->table_next;
	return r;
}

static void
forget_read(PageRead *r)
{
	PageRead  **at = bucket_of(r->ref);

	while (*at != r)
		at = &(*at)->table_next;
	*at = r->table_next;
	r->magic = 0;
	free(r);
}

/* ---- requests ---- */

static void
request(ReadIo *rio, void *buf, uint32 pages, uint64 number)
{
	rio->io.op = FILE_OP_READ;
	rio->io.file = reader.file;
	rio->io.buf = buf;
	rio->io.len = pages * BASE_PAGE_SIZE;
	rio->io.offset = number * BASE_PAGE_SIZE;
	rio->next = NULL;
	*reader.list_last = rio;
	reader.list_last = &rio->next;
	reader.in_flight++;
}

/* submit -- as much of the list as there is room for, without waiting; with plain calls it is done afterwards. */
static void
submit(void)
{
	FileIo	   *batch[SUBMIT_BATCH];

	while (reader.list_first != NULL)
	{
		uint32		room = Min(file_queue_room(reader.queue), SUBMIT_BATCH);
		uint32		n = 0;

		while (n < room && reader.list_first != NULL)
		{
			ReadIo	   *rio = reader.list_first;

			reader.list_first = rio->next;
			batch[n++] = &rio->io;
		}
		if (reader.list_first == NULL)
			reader.list_last = &reader.list_first;
		if (n == 0)
			return;
		(void) file_queue_submit(reader.queue, batch, (int) n);
	}
}

/* page_wrong -- what the device and the bytes say; false: the page is good. */
static bool
page_wrong(const FileIo *io, uint32 done_len, const uint8 *page, BaseRef ref, BaseKind kind, int level, char *error)
{
	char		why[BASE_ERROR_BYTES - 48] = "";

	if (io->error != 0)
		snprintf(why, sizeof(why), "it could not be read: %s", strerror(io->error));
	else if (done_len < BASE_PAGE_SIZE)
		snprintf(why, sizeof(why), "the file ends %u bytes into it", done_len);
	else if (base_page_verify(page, ref, kind, level, reader.system, why, sizeof(why)))
		return false;
	snprintf(error, BASE_ERROR_BYTES, "page %llu of data/base: %s", (unsigned long long) ref.number, why);
	return true;
}

/* keep_served -- one thing less that a command waits for. */
static void
keep_served(BaseKeep *keep)
{
	Assert(keep->pending > 0);
	if (--keep->pending == 0)
		reader.some_ready = true;
}

/* page_come -- r->buf holds the page or says what is wrong; those who wait get it, and r is no more. */
static void
page_come(PageRead *r)
{
	KeepWant   *w = r->waiting;

	if (w == NULL && r->buf->error[0] != '\0')
		base__count_stale();
	while (w != NULL)
	{
		KeepWant   *next = w->next;
		BaseKeep   *keep = w->keep;

		memset(w, 0, sizeof(*w));
		base__keep_page(keep, r->buf);
		keep_served(keep);
		w = next;
	}
	base__buf_unref(r->buf);
	forget_read(r);
}

static void
page_done(PageRead *r)
{
	Verify(r->magic == READ_MAGIC);
	if (r->rio.io.error != 0)
		count(offsetof(BaseReadSlot, errors));
	if (!page_wrong(&r->rio.io, r->rio.io.done_len, r->buf->page, r->ref, r->level == 0 ? BASE_LEAF : BASE_INNER,
					(int) r->level, r->buf->error))
		(void) buffer_insert(r->ref.number, r->ref.birth, r->buf->page);
	buffer_unclaim(r->ref.number, r->ref.birth);
	page_come(r);
}

/* begin_page -- by this process. */
static void
begin_page(PageRead *r)
{
	r->foreign = false;
	r->rio.page = r;
	count(offsetof(BaseReadSlot, reads));
	request(&r->rio, r->buf->page, 1, r->ref.number);
}

/* new_read -- in the table, with staging memory; nothing is started. */
static PageRead *
new_read(BaseRef ref, uint32 level)
{
	PageRead   *r = calloc(1, sizeof(*r));
	PageRead  **bucket = bucket_of(ref);

	Verify(r != NULL && reader.file != NULL);
	r->magic = READ_MAGIC;
	r->ref = ref;
	r->level = level;
	r->buf = base__buf_get();
	r->buf->ref = ref;
	r->buf->level = (uint8) level;
	r->table_next = *bucket;
	*bucket = r;
	return r;
}

/*
 * base__read_page -- a page may have come into the pool since the run that lacked
 * it: then it is taken from there, after the claim, so that of two processes one
 * reads.
 */
void
base__read_page(KeepWant *want)
{
	PageRead   *r = find_read(want->ref, want->level);
	bool		claimed;

	want->keep->pending++;
	if (r != NULL)
	{
		count(offsetof(BaseReadSlot, joined));
		want->read = r;
		want->next = r->waiting;
		r->waiting = want;
		return;
	}
	r = new_read(want->ref, want->level);
	want->read = r;
	want->next = NULL;
	r->waiting = want;
	claimed = buffer_claim(r->ref.number, r->ref.birth);
	if (buffer_copy(r->ref.number, r->ref.birth, r->buf->page))
	{
		if (claimed)
			buffer_unclaim(r->ref.number, r->ref.birth);
		page_come(r);
	}
	else if (claimed)
		begin_page(r);
	else
	{
		count(offsetof(BaseReadSlot, joined));
		r->foreign = true;
		r->foreign_next = reader.foreign;
		reader.foreign = r;
		reader.foreign_count++;
	}
}

/* base__read_ahead -- a plain call would keep this process waiting for what nobody may need: then not. */
void
base__read_ahead(BaseRef ref, uint32 level)
{
	if (file_queue_fd(reader.queue) < 0 || reader.in_flight >= AHEAD_IN_FLIGHT || find_read(ref, level) != NULL)
		return;
	if (buffer_present(ref.number, ref.birth) || !buffer_claim(ref.number, ref.birth))
		return;
	count(offsetof(BaseReadSlot, prefetched));
	begin_page(new_read(ref, level));
}

/* ---- values in extents ---- */

/* extent_check -- verify every page, bring the value's bytes together.  False: error says which page, and why. */
static bool
extent_check(ExtentRead *x, char *error)
{
	KeptValue  *v = x->value;
	uint64		len = 0;

	for (uint32 i = 0; i < x->pages; i++)
	{
		const FileIo *io = &x->io[i / BASE_EXTENT_IO_PAGES].io;
		uint64		in_io = (uint64) (i % BASE_EXTENT_IO_PAGES) * BASE_PAGE_SIZE;
		uint32		here = (uint32) Min(io->done_len - Min(io->done_len, in_io), BASE_PAGE_SIZE);
		BasePage   *page = (BasePage *) (v->data + (uint64) i * BASE_PAGE_SIZE);
		BaseRef		ref = {v->ref.number + i, v->ref.birth};
		uint32		data_len;

		if (page_wrong(io, here, (const uint8 *) page, ref, BASE_OVERFLOW, 0, error))
			return false;
		if (page->link != i || page->data_len > v->len - len)
		{
			snprintf(error, BASE_ERROR_BYTES, "page %llu of data/base: it is page %llu of its extent with %u bytes, not page %u",
					 (unsigned long long) ref.number, (unsigned long long) page->link, page->data_len, i);
			return false;
		}
		data_len = page->data_len;	/* what is moved may reach over this header, never over a later one */
		memmove(v->data + len, page + 1, data_len);
		len += data_len;
	}
	if (len != v->len)
	{
		snprintf(error, BASE_ERROR_BYTES, "page %llu of data/base: its extent holds %llu bytes, not %llu",
				 (unsigned long long) v->ref.number, (unsigned long long) len, (unsigned long long) v->len);
		return false;
	}
	return true;
}

/* extent_come -- all its requests are done. */
static void
extent_come(ExtentRead *x)
{
	KeptValue  *v = x->value;
	BaseKeep   *keep = x->keep;

	if (keep == NULL)
	{
		free(v->data);
		free(v);
	}
	else
	{
		if (v->data == NULL || !extent_check(x, v->error))
		{
			free(v->data);
			v->data = NULL;
			v->bytes = 0;
		}
		keep->value_read = NULL;
		keep->value_ref = (BaseRef) {0};
		base__keep_value(keep, v);
		keep_served(keep);
	}
	free(x);
}

void
base__read_value(BaseKeep *keep)
{
	uint32		pages = keep->value_pages;
	uint32		ios = (pages + BASE_EXTENT_IO_PAGES - 1) / BASE_EXTENT_IO_PAGES;
	ExtentRead *x = calloc(1, sizeof(*x) + ios * sizeof(x->io[0]));
	KeptValue  *v = calloc(1, sizeof(*v));
	void	   *memory = NULL;

	Verify(x != NULL && v != NULL && reader.file != NULL);
	x->keep = keep;
	x->value = v;
	x->pages = pages;
	v->ref = keep->value_ref;
	v->len = keep->value_len;
	keep->value_read = x;
	keep->pending++;
	if (posix_memalign(&memory, 4096, (size_t) pages * BASE_PAGE_SIZE) != 0)
	{
		snprintf(v->error, sizeof(v->error), "page %llu of data/base: no memory to read a value of %llu bytes",
				 (unsigned long long) v->ref.number, (unsigned long long) v->len);
		extent_come(x);
		return;
	}
	v->data = memory;
	v->bytes = (uint64) pages * BASE_PAGE_SIZE;
	x->io_count = ios;
	x->io_left = ios;
	for (uint32 i = 0; i < ios; i++)
	{
		uint32		from = i * BASE_EXTENT_IO_PAGES;

		x->io[i].extent = x;
		count(offsetof(BaseReadSlot, reads));
		request(&x->io[i], v->data + (uint64) from * BASE_PAGE_SIZE, Min(pages - from, BASE_EXTENT_IO_PAGES),
				v->ref.number + from);
	}
}

/* ---- going away ---- */

void
base__read_forget(BaseKeep *keep)
{
	for (uint32 i = 0; i < BASE_KEEP_WANTS; i++)
	{
		KeepWant   *w = &keep->want[i];

		if (w->read != NULL)
		{
			KeepWant  **at = &w->read->waiting;

			while (*at != w)
				at = &(*at)->next;
			*at = w->next;
			keep->pending--;
		}
		memset(w, 0, sizeof(*w));
	}
	if (keep->value_read != NULL)
	{
		keep->value_read->keep = NULL;
		keep->value_read = NULL;
		keep->pending--;
	}
	keep->value_ref = (BaseRef) {0};
}

/* ---- coming in ---- */

static void
request_done(ReadIo *rio)
{
	reader.in_flight--;
	if (rio->page != NULL)
		page_done(rio->page);
	else
	{
		if (rio->io.error != 0)
			count(offsetof(BaseReadSlot, errors));
		if (--rio->extent->io_left == 0)
			extent_come(rio->extent);
	}
}

/* take_done -- requests that the queue has finished with; true: there were some. */
static bool
take_done(void)
{
	FileIo	   *io;
	bool		some = false;

	while ((io = file_queue_next_done(reader.queue)) != NULL)
	{
		request_done((ReadIo *) io);
		some = true;
	}
	return some;
}

static void
reap(void)
{
	file_queue_poll(reader.queue);
	(void) take_done();
}

/* look_after_foreign -- has the other process finished, or given up? */
static void
look_after_foreign(void)
{
	PageRead  **at = &reader.foreign;

	while (*at != NULL)
	{
		PageRead   *r = *at;
		bool		claimed = false;
		bool		there = r->waiting != NULL && buffer_copy(r->ref.number, r->ref.birth, r->buf->page);

		if (r->waiting != NULL && !there)
		{
			claimed = buffer_claim(r->ref.number, r->ref.birth);
			/* it may have been put there between the two */
			there = claimed && buffer_copy(r->ref.number, r->ref.birth, r->buf->page);
			if (there)
				buffer_unclaim(r->ref.number, r->ref.birth);
			else if (!claimed)
			{
				at = &r->foreign_next;
				continue;
			}
		}
		*at = r->foreign_next;
		reader.foreign_count--;
		if (there || r->waiting == NULL)
			page_come(r);
		else
			begin_page(r);
	}
}

bool
base_read_poll(void)
{
	bool		ready;

	if (reader.queue == NULL)
		return false;
	if (reader.in_flight > 0)
		reap();
	if (reader.foreign != NULL)
		look_after_foreign();
	base__read_submit();
	ready = reader.some_ready;
	reader.some_ready = false;
	return ready;
}

/*
 * base__read_submit -- what the queue has finished with at once is taken in here,
 * because its descriptor would not tell of it: plain calls, and requests that
 * never came to the kernel.
 */
void
base__read_submit(void)
{
	do
	{
		submit();
		if (file_queue_fd(reader.queue) < 0)
			file_queue_poll(reader.queue);
	} while (take_done());
}

void
base_read_wait(BaseKeep *keep)
{
	if (base_keep_pending(keep) == 0)
		return;
	Assert(!epoch_inside());
	proc_set_wait(WAIT_BASE_READ);
	for (;;)
	{
		struct pollfd p = {.fd = base_read_fd(), .events = POLLIN};

		(void) base_read_poll();
		if (base_keep_pending(keep) == 0)
			break;
		(void) poll(&p, p.fd < 0 ? 0 : 1, reader.foreign_count > 0 ? WAIT_FOREIGN_MS : WAIT_STEP_MS);
	}
	proc_set_wait(WAIT_NONE);
}

void
base__tell_corrupt(BaseRef ref, const char *text)
{
	uint64		now = clock_mono_us();

	for (uint32 i = 0; i < TOLD_PAGES; i++)
		if (reader.told[i].ref.number == ref.number && reader.told[i].ref.birth == ref.birth
			&& now - reader.told[i].at_us < TOLD_US)
			return;
	reader.told[reader.told_next % TOLD_PAGES].ref = ref;
	reader.told[reader.told_next++ % TOLD_PAGES].at_us = now;
	ereport_hint(ERROR,
				 "Keys behind it cannot be read unless they are in memory; the others are served. "
				 "Stop the server and run artery_verify; restore the directory from a copy.",
				 "%s", text);
}

void
base_reader_close(void)
{
	if (reader.queue != NULL)
	{
		while (reader.in_flight > 0)
		{
			reap();
			submit();
			(void) usleep(100);
		}
		/* what others read is not ours to wait for, and nobody here does any more */
		while (reader.foreign != NULL)
		{
			PageRead   *r = reader.foreign;

			Verify(r->waiting == NULL);
			reader.foreign = r->foreign_next;
			page_come(r);
		}
		file_queue_destroy(reader.queue);
		file_close(reader.file);
	}
	while (reader.free_buf != NULL)
	{
		PageBuf    *buf = reader.free_buf;

		reader.free_buf = buf->next_free;
		free(buf->page);
		free(buf);
	}
	memset(&reader, 0, sizeof(reader));
}
