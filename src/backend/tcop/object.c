/*
 * object.c -- OBJECT and MEMORY: what a value is and what it takes.
 *
 * Values have one form here; ENCODING tells the one that Redis would choose for a
 * value that is set whole.  Reads leave no trace (a lookup writes no shared
 * memory), so there is no time of the last one to tell.
 */
#include "common/c.h"

#include "storage/mem/heap.h"
#include "tcop/stats.h"
#include "tcop/tcop_internal.h"
#include "tcop/text.h"
#include "utils/settings.h"

#define INT_TEXT_MAX 20			/* longer texts are no numbers */
#define EMBSTR_MAX 44			/* Redis: the longest value that lies in one piece with its header */

typedef struct ValueFacts
{
	bool		exists;
	bool		in_memory;
	uint64		len;
	uint64		bytes;			/* of the leaf and its blocks, or of an entry in the base */
	Lsn			version;
	uint64		expiry;
	char		head[INT_TEXT_MAX];	/* of a short value */
} ValueFacts;

static void
look_at(const StoreView *view, void *arg)
{
	ValueFacts *f = arg;

	f->exists = view->exists;
	if (!view->exists)
		return;
	f->in_memory = view->leaf != NULL;
	f->len = view->value_len;
	f->version = view->lsn;
	f->expiry = view->expiry;
	if (view->leaf != NULL)
		f->bytes = leaf_key_offset(leaf_flags(view->leaf)) + view->leaf->key_len + view->value_len;
	if (view->value_len > 0 && view->value_len <= INT_TEXT_MAX)
		store_view_copy(view, 0, view->value_len, f->head);
}

/* facts -- about the key in argument i; false: *result is what the command returns. */
static bool
facts(Session *s, uint32 i, ValueFacts *f, TcopResult *result)
{
	StoreKey	key;

	memset(f, 0, sizeof(*f));
	*result = TCOP_DONE;
	if (!tcop__arg_key(s, i, &key) || !tcop__status(s, store_read(&key, look_at, f, &s->gate), result))
		return false;
	if (f->exists && !f->in_memory)
		f->bytes = key.len + f->len;
	else if (f->bytes <= MEM_BLOCK_MAX)
		f->bytes = mem_class_size(f->bytes);
	return true;
}

static const char *
encoding_of(const ValueFacts *f)
{
	int64		number;

	if (f->len <= INT_TEXT_MAX && number_parse(f->head, f->len, &number))
		return "int";
	return f->len <= EMBSTR_MAX ? "embstr" : "raw";
}

/* known -- the facts of argument 2; false: the answer is given, or *result. */
static bool
known(Session *s, ValueFacts *f, TcopResult *result)
{
	if (!facts(s, 2, f, result))
		return false;
	if (!f->exists)
		reply_null(&s->out);
	return f->exists;
}

/* looked_up -- the same for OBJECT, which Redis counts among the looks at keys. */
static bool
looked_up(Session *s, ValueFacts *f, TcopResult *result)
{
	bool		there = known(s, f, result);

	if (*result == TCOP_DONE)
		stats_count(there ? STAT_HITS : STAT_MISSES, 1);
	return there;
}

TcopResult
tcop__object_encoding(Session *s)
{
	ValueFacts	f;
	TcopResult	result;

	if (looked_up(s, &f, &result))
		reply_text(&s->out, encoding_of(&f));
	return result;
}

TcopResult
tcop__object_freq(Session *s)
{
	ValueFacts	f;
	TcopResult	result;

	if (looked_up(s, &f, &result))
		reply_error(&s->out, "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
					"switching between policies at runtime LRU and LFU data will take some time to adjust.");
	return result;
}

TcopResult
tcop__object_idletime(Session *s)
{
	ValueFacts	f;
	TcopResult	result;

	if (looked_up(s, &f, &result))
		reply_int(&s->out, 0);
	return result;
}

TcopResult
tcop__object_refcount(Session *s)
{
	ValueFacts	f;
	TcopResult	result;

	if (looked_up(s, &f, &result))
		reply_int(&s->out, 1);
	return result;
}

TcopResult
tcop__debug_object(Session *s)
{
	ValueFacts	f;
	TcopResult	result;
	char		line[256];

	if (!facts(s, 2, &f, &result))
		return result;
	if (!f.exists)
	{
		reply_error(&s->out, "ERR no such key");
		return TCOP_DONE;
	}
	snprintf(line, sizeof(line), "Value at:0x0 refcount:1 encoding:%s serializedlength:%llu lru:0 lru_seconds_idle:0 version:%llu "
			 "memory:%s", encoding_of(&f), (unsigned long long) f.len, (unsigned long long) f.version,
			 f.in_memory ? "yes" : "no");
	reply_simple(&s->out, line);
	return TCOP_DONE;
}

/* ---- MEMORY ---- */
TcopResult
tcop__memory_usage(Session *s)
{
	ValueFacts	f;
	TcopResult	result;
	int64		samples;

	for (uint32 i = 3; i < s->argc; i++)
	{
		if (!tcop__arg_is(s, i, "samples") || i + 1 == s->argc)
		{
			tcop__error_syntax(s);
			return TCOP_DONE;
		}
		if (!tcop__arg_int(s, ++i, &samples, NULL))
			return TCOP_DONE;
		if (samples < 0)
		{
			tcop__error_syntax(s);
			return TCOP_DONE;
		}
	}
	if (known(s, &f, &result))
		reply_int(&s->out, (int64) f.bytes);
	return result;
}

/* figure -- a number of MEMORY STATS. */
/* figure -- a difference may be less than 0. */
static void
figure(Output *o, const char *name, uint64 value)
{
	reply_text(o, name);
	reply_int(o, (int64) value);
}

static void
part(Output *o, const char *name, double value)
{
	char		text[32];
	int			n = snprintf(text, sizeof(text), o->proto < 3 ? "%.17g" : ",%.17g\r\n", value);

	reply_text(o, name);
	if (o->proto < 3)
		reply_bulk(o, text, (size_t) n);
	else
		output_append(o, text, (size_t) n);
}

TcopResult
tcop__memory_stats(Session *s)
{
	Output	   *o = &s->out;
	MemStats	mem;
	uint64		buffers = stats_level(offsetof(StatsWorker, buffer_bytes));
	uint64		used;
	uint64		peak;
	uint64		data;
	uint64		active;
	uint64		resident = tcop__resident_bytes();
	uint64		keys = 0;
	uint64		of_db[DATABASE_COUNT];
	uint64		databases = 0;
	char		name[16];

	mem_stats(&mem);
	used = mem.used + buffers;
	peak = Max(used, figure_get(&stats_shared->peak_memory));
	data = mem.used - Min(mem.retired, mem.used);
	active = mem.used + mem.cached;
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		of_db[db] = store_count(db, &s->gate);
		keys += of_db[db];
		databases += of_db[db] > 0;
	}
	reply_map(o, 27 + databases);
	figure(o, "peak.allocated", peak);
	figure(o, "total.allocated", used);
	figure(o, "startup.allocated", 0);
	figure(o, "replication.backlog", 0);
	figure(o, "clients.slaves", 0);
	figure(o, "clients.normal", buffers);
	figure(o, "cluster.links", 0);
	figure(o, "aof.buffer", (uint64) set_wal_buffers);
	figure(o, "lua.caches", 0);
	figure(o, "functions.caches", 0);
	for (uint32 db = 0; db < DATABASE_COUNT; db++)
	{
		if (of_db[db] == 0)
			continue;
		snprintf(name, sizeof(name), "db.%u", db);
		reply_text(o, name);
		reply_map(o, 3);
		figure(o, "overhead.hashtable.main", 0);
		figure(o, "overhead.hashtable.expires", 0);
		figure(o, "overhead.hashtable.slot-to-keys", 0);
	}
	figure(o, "overhead.total", used - data);
	figure(o, "keys.count", keys);
	figure(o, "keys.bytes-per-key", keys > 0 ? data / keys : 0);
	figure(o, "dataset.bytes", data);
	part(o, "dataset.percentage", used > 0 ? 100.0 * (double) data / (double) used : 0);
	part(o, "peak.percentage", peak > 0 ? 100.0 * (double) used / (double) peak : 100);
	figure(o, "allocator.allocated", mem.used);
	figure(o, "allocator.active", active);
	figure(o, "allocator.resident", mem.reserved);
	part(o, "allocator-fragmentation.ratio", mem.used > 0 ? (double) active / (double) mem.used : 1);
	figure(o, "allocator-fragmentation.bytes", mem.cached);
	part(o, "allocator-rss.ratio", active > 0 ? (double) mem.reserved / (double) active : 1);
	figure(o, "allocator-rss.bytes", mem.reserved - active);
	part(o, "rss-overhead.ratio", mem.reserved > 0 ? (double) resident / (double) mem.reserved : 1);
	figure(o, "rss-overhead.bytes", resident - mem.reserved);
	part(o, "fragmentation", used > 0 ? (double) resident / (double) used : 1);
	figure(o, "fragmentation.bytes", resident - used);
	return TCOP_DONE;
}

TcopResult
tcop__memory_doctor(Session *s)
{
	MemStats	mem;
	Text		t;

	mem_stats(&mem);
	text_begin(&t);
	if (mem.used > mem.limit / 100 * 95)
		text_add(&t, "More than 95%% of memory_limit is in use (%llu of %llu bytes): keys are moved out to disk, and writes may be held "
				 "back meanwhile. Raise memory_limit if reads wait for the disk (commands_waited_for_pages in INFO).\n",
				 (unsigned long long) mem.used, (unsigned long long) mem.limit);
	if (mem.cached > mem.used && mem.cached > 64 * MIB)
		text_add(&t, "More memory is free in blocks of certain sizes than is in use (%llu bytes): values have become much smaller or "
				 "larger. It is used again for equal sizes, and collected when memory gets short.\n", (unsigned long long) mem.cached);
	if (mem.retired > mem.limit / 16)
		text_add(&t, "%llu bytes wait for readers to move on: a process is slow (epoch_oldest_process in INFO).\n",
				 (unsigned long long) mem.retired);
	if (mem.lost > 0)
		text_add(&t, "%llu bytes were lost when memory ran out altogether; a restart gives them back.\n", (unsigned long long) mem.lost);
	if (t.len == 0)
		text_add(&t, "No memory problem is known: %llu of %llu bytes are in use.\n", (unsigned long long) mem.used,
				 (unsigned long long) mem.limit);
	reply_verbatim(&s->out, t.data, t.len);
	text_end(&t);
	return TCOP_DONE;
}

TcopResult
tcop__memory_malloc_stats(Session *s)
{
	MemStats	mem;
	Text		t;

	mem_stats(&mem);
	text_begin(&t);
	text_add(&t, "node heap: limit %llu, reserved %llu, used %llu, retired %llu, cached %llu, free spans %llu, lost %llu\n",
			 (unsigned long long) mem.limit, (unsigned long long) mem.reserved, (unsigned long long) mem.used,
			 (unsigned long long) mem.retired, (unsigned long long) mem.cached, (unsigned long long) mem.spans_free,
			 (unsigned long long) mem.lost);
	for (size_t size = 64; size <= MEM_BLOCK_MAX; size *= 2)
		text_add(&t, "blocks of %zu bytes (%zu taken): %llu free on the central list\n", size, mem_class_size(size),
				 (unsigned long long) mem_class_free(size));
	reply_verbatim(&s->out, t.data, t.len);
	text_end(&t);
	return TCOP_DONE;
}

TcopResult
tcop__memory_purge(Session *s)
{
	mem_reclaim();
	reply_ok(&s->out);
	return TCOP_DONE;
}
