/*
 * order_inside.c -- what LIST and RANGE cost inside artery: the commands as a worker runs them, without sockets.
 *
 *   order_inside KEYS ORDER SECONDS SEED PAGES
 *
 * KEYS, ORDER and the operations, each for SECONDS, as for order_peer.c; PAGES: small or huge (what huge_pages gives the
 * segment).  The segment is private memory and nobody writes files: the log is
 * thrown away.  Each operation is one call of the command's function, from its words
 * to its reply in the connection's output.
 *
 * One line of JSON to stdout; exit code 0, or 2 when it could not run.
 */
#include "common/c.h"

#include <stdarg.h>
#include <sys/mman.h>

#include "access/base/base_read.h"
#include "access/store/checkpoint.h"
#include "access/store/evict.h"
#include "access/store/store_internal.h"
#include "access/wal/wal.h"
#include "storage/ipc/latch.h"
#include "storage/mem/heap.h"
#include "tcop/tcop_internal.h"
#include "utils/settings.h"

#include "order_keys.h"

#define FIRST_LSN (1 * MIB)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25		/* Linux 6.1 */
#endif

static const SegmentRegion regions[] = {
	{REGION_CONTROL, "control", segment_control_size, segment_control_init},
	{REGION_PROCS, "procs", proc_region_size, proc_region_init},
	{REGION_EPOCH, "epoch", epoch_region_size, epoch_region_init},
	{REGION_STORE, "store", store_region_size, store_region_init},
	{REGION_CHECKPOINT, "checkpoint", checkpoint_region_size, checkpoint_region_init},
	{REGION_EVICT, "evict", evict_region_size, evict_region_init},
	{REGION_BASE_READ, "base_read", base_read_region_size, base_read_region_init},
	{REGION_WAL, "wal", wal_region_size, wal_region_init},
	{REGION_HEAP, "heap", mem_region_size, mem_region_init},
};

static void
die(const char *what)
{
	fprintf(stderr, "order_inside: %s\n", what);
	exit(2);
}

static void
make_segment(void)
{
	set_max_value_size = 2 * MIB;
	set_client_output_buffer_limit = 64 * MIB;
	segment_create_private(regions, lengthof(regions), 512 * MIB + keys * 400, 16 * MIB, 12);
	latch_create_all();
	proc_attach(4);
	wal_shared->segment_size = 1 * MIB;
	atomic_store(&wal_shared->insert_word, (FIRST_LSN / 8) << 10 | PROC_SLOT_NONE);
	atomic_store(&wal_shared->completed, FIRST_LSN);
	atomic_store(&wal_shared->flushed, FIRST_LSN);
	atomic_store(&wal_shared->prepared, UINT64_C(1) << 50);
	for (uint64 i = 0; i < WAL_SEGMENT_TABLE; i++)
		wal_shared->segment[i].seed = i + 1;
}

static StoreAction
decide_put(const StoreView *view, StoreChange *change, void *arg)
{
	(void) view;
	change->part[0] = (BytePart) {arg, VALUE_BYTES};
	change->part_count = 1;
	return STORE_PUT;
}

static void
fill(bool sorted)
{
	char		value[VALUE_BYTES];

	memset(value, 'v', sizeof(value));
	for (uint64_t i = 0; i < keys; i++)
	{
		char		text[64];
		StoreKey	key = {0, (uint32) make_key(text, nth(i, sorted)), text};
		StoreWritten out;
		StoreStatus status;

		while ((status = store_write_blind(&key, decide_put, value, &out)) == STORE_PARK_WAL)
		{
			wal_completed_update();
			atomic_store(&wal_shared->flushed, wal_completed_lsn());
		}
		if (status != STORE_OK)
			die("a write failed");
		if (i % 64 == 0)
			mem_keep_ahead();
	}
}

/* collapse -- as segment_reserve does with huge_pages: pieces of 2 MiB become huge pages, where there is memory behind them. */
static void
collapse(void)
{
	uint64		made = 0;

	for (uint64 off = 0; off + 2 * MIB <= segment_total_size(); off += 2 * MIB)
		made += madvise(seg_base + off, 2 * MIB, MADV_COLLAPSE) == 0;
	if (made == 0)
		die("no huge pages");
}

/* run -- one command; how many bytes its reply has. */
static uint64
run(Session *s, TcopResult (*command)(Session *s), const BytePart *words, uint32 count)
{
	uint64		bytes;

	s->argv = words;
	s->argc = count;
	s->out_start = s->out.appended;
	while (command(s) != TCOP_DONE)
		;
	if (s->state != NULL)
		tcop__state_drop(s);
	bytes = output_pending(&s->out);
	output_consume(&s->out, bytes);
	return bytes;
}

static uint64
once(Session *s, const char *operation)
{
	char		text[64];
	BytePart	words[6];

	if (strcmp(operation, "list") == 0)
	{
		size_t		len = make_directory(text);

		words[0] = (BytePart) {"LIST", 4};
		words[1] = (BytePart) {"PREFIX", 6};
		words[2] = (BytePart) {text, len};
		words[3] = (BytePart) {"DELIMITER", 9};
		words[4] = (BytePart) {"/", 1};
		return run(s, tcop__list, words, 5);
	}
	text[0] = '[';
	words[0] = (BytePart) {"RANGE", 5};
	words[1] = (BytePart) {text, 1 + make_key(text + 1, next_random() % (keys - RANGE_KEYS))};
	words[2] = (BytePart) {"+", 1};
	words[3] = (BytePart) {"COUNT", 5};
	words[4] = (BytePart) {"100", 3};
	words[5] = (BytePart) {"WITHVALUES", 10};
	return run(s, tcop__range, words, strcmp(operation, "values") == 0 ? 6 : 5);
}

/* measure -- one operation, as a member of the JSON. */
static void
measure(Session *s, const char *operation, double seconds, const char *end)
{
	double		start;
	double		cpu;
	double		took;
	uint64_t	count = 0;
	uint64_t	bytes = 0;

	for (int i = 0; i < 2000; i++)
		(void) once(s, operation);
	cpu = cpu_seconds();
	start = now_seconds();
	do
		for (int i = 0; i < 200; i++, count++)
			bytes += once(s, operation);
	while ((took = now_seconds() - start) < seconds);
	printf("\"%s\": {\"ns\": %.0f, \"cpu_ns\": %.0f, \"bytes\": %.0f}%s", operation, 1e9 * took / (double) count,
		   1e9 * (cpu_seconds() - cpu) / (double) count, (double) bytes / (double) count, end);
}

int
main(int argc, char **argv)
{
	Session		session = {.magic = SESSION_MAGIC, .out.proto = 2};
	double		seconds;

	if (argc < 6)
		die("see the head of order_inside.c");
	keys = strtoull(argv[1], NULL, 10);
	seconds = atof(argv[3]);
	random_state = (strtoull(argv[4], NULL, 10) + 1) * UINT64_C(0x9e3779b97f4a7c15);
	make_segment();
	fill(strcmp(argv[2], "sorted") == 0);
	if (strcmp(argv[5], "huge") == 0)
		collapse();
	printf("{");
	measure(&session, "list", seconds, ", ");
	measure(&session, "range", seconds, ", ");
	measure(&session, "values", seconds, "}\n");
	return 0;
}
