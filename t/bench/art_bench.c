/*
 * art_bench.c -- how fast the overlay and its heap are, and how much memory a key takes.
 *
 * One process, no log, no clients: the cost of the index alone.  Not a test.  Build
 * and run by hand from the top folder, after make:
 *
 *   cc -std=gnu11 -O2 -g -fno-strict-aliasing -Isrc/include -o build/release/art_bench \
 *      t/bench/art_bench.c build/release/libartery.a -lbsd -lpthread -luring
 *   build/release/art_bench [million keys, default 1]
 *
 * Rows: numbers ("key:000000123456", random order), random 16-byte keys, and paths
 * of about 40 bytes; each key with 4 bytes of tree id and a value of 64 bytes.
 * ns are per operation; "batch 16" prefetches 16 keys before it looks them up, as a
 * pipelined connection does.  Evicting is per leaf that went, with the waiting for
 * grace periods.
 */
#include <stdarg.h>
#include <unistd.h>

#include "access/art/art_internal.h"
#include "storage/ipc/epoch.h"
#include "storage/ipc/proc.h"
#include "storage/mem/heap.h"
#include "utils/clock.h"

#define VALUE_LEN 64
#define KEY_ROOM 120

static ArtRoot *root;
static uint64 lsn;

static size_t
root_size(void)
{
	return sizeof(ArtRoot);
}

static void
root_init(void *region)
{
	root = region;
}

static const SegmentRegion regions[] = {
	{REGION_PROCS, "procs", proc_region_size, proc_region_init},
	{REGION_EPOCH, "epoch", epoch_region_size, epoch_region_init},
	{REGION_STORE, "store", root_size, root_init},
	{REGION_HEAP, "heap", mem_region_size, mem_region_init},
};

static uint64
next_random(uint64 *state)
{
	uint64		z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* scramble -- a permutation of 0..2^bits-1: random order without a table. */
static uint64
scramble(uint64 i, uint32 bits)
{
	uint64		mask = (UINT64_C(1) << bits) - 1;

	for (int round = 0; round < 3; round++)
	{
		i = (i * UINT64_C(0x9e3779b97f4a7c15) + 0x1234567) & mask;
		i ^= i >> (bits / 2);
	}
	return i & mask;
}

typedef uint32 (*MakeKey)(uint64 i, uint8 *key);

static uint32
tree_id(uint8 *key)
{
	memcpy(key, "\0\0\0\1", 4);
	return 4;
}

static uint32
make_number(uint64 i, uint8 *key)
{
	return tree_id(key) + (uint32) sprintf((char *) key + 4, "key:%012llu", (unsigned long long) i);
}

static uint32
make_random(uint64 i, uint8 *key)
{
	uint64		state = i;
	uint64		word[2] = {next_random(&state), next_random(&state)};

	memcpy(key + 4, word, 16);
	return tree_id(key) + 16;
}

/* make_path -- /home/user0042/projects/module3/file01234.html: some 40 bytes, 16 files a folder */
static uint32
make_path(uint64 i, uint8 *key)
{
	static const char *const top[] = {"usr", "home", "srv", "var"};
	static const char *const part[] = {"projects", "share", "lib", "data", "doc", "src", "include", "cache"};
	uint64		folder = i / 16;
	uint64		r = folder / 24;

	return tree_id(key) + (uint32) sprintf((char *) key + 4, "/%s/user%04u/%s/module%u/file%05u.%s", top[r % 4],
										   (unsigned) (r / 4 % 5000), part[folder % 8], (unsigned) (folder / 8 % 3 + r / 20000 * 3),
										   (unsigned) (i % 16 * 37 + folder % 1000 * 16 % 977), i % 3 ? "c" : "html");
}

static void
put(const uint8 *key, uint32 len, const void *value)
{
	BytePart	part = {value, VALUE_LEN};

	for (;;)
	{
		ArtPos		pos;
		Off			leaf;

		epoch_enter();
		if (art_locate(root, key, len, &pos) == ART_OK)
		{
			leaf = leaf_build(key, (uint16) len, &part, 1, 0, 0);
			if (leaf != MEM_NONE)
			{
				if (art_prepare(&pos, leaf) == ART_OK)
				{
					lsn += 128;
					((Leaf *) seg_ptr(leaf))->lsn = lsn;
					if (art_raise_dirty(&pos, lsn) && art_publish(&pos, leaf))
					{
						if (pos.leaf != NULL)
							leaf_retire(seg_off(pos.leaf));
						epoch_leave();
						return;
					}
				}
				art_abandon(&pos);
				leaf_free(leaf);
			}
		}
		epoch_leave();
		if (mem_grow() != 0)
		{
			fprintf(stderr, "out of memory\n");
			exit(1);
		}
	}
}

static double
ns_each(uint64 start_us, uint64 count)
{
	return (double) (clock_mono_us() - start_us) * 1000 / (double) count;
}

static void
bench_put(const char *what, MakeKey make, uint64 count, uint32 bits)
{
	uint8		key[KEY_ROOM];
	char		value[VALUE_LEN] = "value";
	uint64		start = clock_mono_us();
	uint64		done = 0;

	for (uint64 i = 0; done < count; i++)
	{
		uint64		n = scramble(i, bits);

		if (n >= count)
			continue;
		put(key, make(n, key), value);
		if (++done % 256 == 0)
			mem_keep_ahead();
	}
	printf("  %-26s %8.0f ns\n", what, ns_each(start, count));
}

/* making the keys costs time, too: subtracted */
static double
cost_of_keys(MakeKey make, uint64 count)
{
	uint8		key[KEY_ROOM];
	uint64		start = clock_mono_us();
	uint64		state = 1;
	uint32		sum = 0;

	for (uint64 i = 0; i < count; i++)
		sum += make(next_random(&state) % count, key) + key[7];
	if (sum == 1)
		printf("\n");
	return ns_each(start, count);
}

static void
bench_get(MakeKey make, uint64 count, uint32 batch)
{
	static uint8 key[64][KEY_ROOM];
	uint32		len[64];
	BytePart	part[64];
	uint64		state = 1;
	uint64		found = 0;
	uint64		sum = 0;
	double		keys = cost_of_keys(make, count);
	uint64		start = clock_mono_us();

	for (uint64 i = 0; i < count; i += batch)
	{
		for (uint32 b = 0; b < batch; b++)
		{
			len[b] = make(next_random(&state) % count, key[b]);
			part[b] = (BytePart) {key[b], len[b]};
		}
		epoch_enter();
		if (batch > 1)
			art_prefetch_batch(root, part, (int) batch);
		for (uint32 b = 0; b < batch; b++)
		{
			bool		complete;
			Leaf	   *l = art_lookup_complete(root, key[b], len[b], &complete);

			if (l != NULL)
			{
				found++;
				sum += leaf_inline_value(l)[0];
			}
		}
		epoch_leave();
	}
	printf("  get, batch %-15u %8.0f ns   (%.1f %% found%s)\n", batch, ns_each(start, count) - keys,
		   100.0 * (double) found / (double) count, sum == 1 ? " " : "");
}

static void
bench_walk(uint64 count)
{
	ArtCursor  *c = art_cursor(0);
	uint64		start = clock_mono_us();
	uint64		n = 0;
	uint64		sum = 0;

	epoch_enter();
	art_seek(c, root, NULL, 0, NULL, 0, false, false);
	for (Leaf *l; (l = art_next(c)) != NULL; n++)
		sum += l->lsn;
	epoch_leave();
	printf("  walk                       %8.0f ns   (%llu keys%s)\n", ns_each(start, count), (unsigned long long) n,
		   sum == 1 ? " " : "");
}

static bool
any(const Leaf *l, void *arg)
{
	(void) l;
	(void) arg;
	return true;
}

static void
bench_sweep(uint64 count)
{
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	uint64		removed = 0;
	uint64		start = clock_mono_us();

	while (!art_sweep(root, NULL, 0, from, &from_len, 256, any, NULL, &removed))
		mem_keep_ahead();
	printf("  sweep everything away      %8.0f ns   (%llu keys)\n", ns_each(start, count), (unsigned long long) removed);
}

static uint64 evict_state;

/* half -- a coin per leaf that falls the same way at each asking in one round: half of the leaves are hot, at random places */
static bool
half(const Leaf *l, void *arg)
{
	uint64		state = l->lsn ^ evict_state;

	(void) arg;
	return next_random(&state) & 1;
}

static void
bench_evict(const char *what, ArtMayGo may_go)
{
	uint8		from[KEY_MAX];
	uint32		from_len = 0;
	ArtEvicted	out = {0};
	uint64		start = clock_mono_us();

	while (!art_evict(root, from, &from_len, 1024, may_go, NULL, &out))
		mem_keep_ahead();
	printf("  %-26s %8.0f ns   (of %llu keys %llu, and %llu nodes, %llu MiB)\n", what, ns_each(start, out.leaves),
		   (unsigned long long) out.looked, (unsigned long long) out.leaves, (unsigned long long) out.nodes,
		   (unsigned long long) (out.bytes / MIB));
}

static void
run(const char *name, MakeKey make, uint64 count)
{
	ArtStats	stats;
	MemStats	mem;
	char		err[200];
	uint8		key[KEY_ROOM];
	uint32		bits = 1;
	double		key_bytes = 0;

	while ((UINT64_C(1) << bits) < count)
		bits++;
	segment_create_private(regions, lengthof(regions), count * 400 + 64 * MIB, 0, 4);
	proc_attach(1);
	printf("%s, %llu keys\n", name, (unsigned long long) count);
	bench_put("put new, random order", make, count, bits);
	epoch_enter();
	if (!art_check(root, &stats, err, sizeof(err)))
		printf("  NOT SOUND: %s\n", err);
	epoch_leave();
	mem_stats(&mem);
	for (uint64 i = 0; i < 1000; i++)
		key_bytes += make(i * (count / 1000), key);
	printf("  memory: %.1f bytes per key (leaf %.1f, nodes %.1f, backed %.1f) at keys of %.1f bytes and %llu leaves\n",
		   (double) mem.used / (double) stats.leaves, (double) stats.leaf_bytes / (double) stats.leaves,
		   (double) stats.node_bytes / (double) stats.leaves, (double) (mem.reserved - mem.spans_free) / (double) stats.leaves,
		   key_bytes / 1000, (unsigned long long) stats.leaves);
	printf("  nodes: %llu N4, %llu N16, %llu N48, %llu N256, depth %u\n", (unsigned long long) stats.nodes[0],
		   (unsigned long long) stats.nodes[1], (unsigned long long) stats.nodes[2], (unsigned long long) stats.nodes[3], stats.depth_max);
	bench_get(make, count, 1);
	bench_get(make, count, 16);
	bench_put("put again, random order", make, count, bits);
	bench_walk(count);
	bench_sweep(count);
	bench_put("put once more", make, count, bits);
	art_root_set_complete(root);
	bench_evict("evict half of it", half);
	evict_state++;
	bench_evict("and half of the rest", half);
	bench_evict("and all", any);
	segment_destroy();
}

static void
bench_heap(void)
{
	enum { N = 10000000, HELD = 4096 };
	static Off	held[HELD];
	uint64		state = 1;
	uint64		start;

	segment_create_private(regions, lengthof(regions), 64 * MIB, 0, 4);
	proc_attach(1);
	while (mem_alloc(8) == MEM_NONE)
		if (mem_grow() != 0)
			exit(1);
	mem_keep_ahead();
	start = clock_mono_us();
	for (uint32 i = 0; i < N; i++)
	{
		uint32		at = (uint32) (next_random(&state) % HELD);

		if (held[at] != 0)
			mem_free(held[at], 128);
		held[at] = mem_alloc(128);
	}
	printf("heap: alloc and free       %8.1f ns\n", ns_each(start, N));
	segment_destroy();
}

int
main(int argc, char **argv)
{
	uint64		count = (uint64) (1000000 * (argc > 1 ? atof(argv[1]) : 1));

	bench_heap();
	run("numbers", make_number, count);
	run("random 16 bytes", make_random, count);
	run("paths", make_path, count);
	return 0;
}
