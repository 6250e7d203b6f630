/*
 * sub_table.c -- the workers' tables of subscriptions; see sub_table.h.
 *
 * A SUBSCRIBE that has been answered is seen by every PUBLISH that begins
 * afterwards: the node is in its chain, and the worker's bit in 'listening', before
 * the answer is written.
 */
#include "common/c.h"
#include "storage/ipc/epoch.h"
#include "storage/mem/heap.h"
#include "tcop/number.h"
#include "tcop/sub_table.h"

SubTable   *sub_table;

size_t
sub_table_size(uint32 workers)
{
	return sizeof(SubTable) + workers * sizeof(SubWorker);
}

/* sub_table_init -- postmaster, in fresh zeroed memory, before it forks. */
void
sub_table_init(void *region, uint32 workers)
{
	sub_table = region;
	sub_table->workers = workers;
}

/* sub_hash -- FNV-1a over the kind and the name, mixed once more at the end. */
uint64
sub_hash(SubKind kind, const void *name, size_t len)
{
	const uint8 *p = name;
	uint64		h = UINT64_C(0xcbf29ce484222325) ^ kind;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	h ^= h >> 32;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

static _Atomic Off *
bucket_of(uint32 worker, uint64 hash)
{
	return &sub_table->worker[worker].bucket[hash & (SUB_BUCKETS - 1)];
}

/* names_add -- how many names the worker has of this kind; its bit says whether it has any at all. */
static void
names_add(uint32 worker, SubKind kind, uint32 n)
{
	SubWorker  *w = &sub_table->worker[worker];
	uint64		bit = UINT64_C(1) << worker;
	uint32		all = 0;

	/* relaxed: ours to write */
	atomic_store_explicit(&w->names[kind], atomic_load_explicit(&w->names[kind], memory_order_relaxed) + n, memory_order_relaxed);
	for (int k = 0; k < SUB_KINDS; k++)
		all += atomic_load_explicit(&w->names[k], memory_order_relaxed);
	if (all == 0)
		atomic_fetch_and_explicit(&sub_table->listening, ~bit, memory_order_release);	/* release [sub-listening] */
	else if ((sub_workers() & bit) == 0)
		atomic_fetch_or_explicit(&sub_table->listening, bit, memory_order_release);	/* release [sub-listening] */
}

/* link_in -- the node in front of what 'link' leads to. */
static void
link_in(_Atomic Off *link, _Atomic Off *next, Off node)
{
	/* relaxed: ours; the store below publishes it */
	atomic_store_explicit(next, atomic_load_explicit(link, memory_order_relaxed), memory_order_relaxed);
	atomic_store_explicit(link, node, memory_order_release);	/* release [sub-node] */
}

Off
sub_insert(uint32 worker, SubKind kind, uint64 hash, const void *name, size_t len)
{
	Off			node = mem_alloc(sizeof(SubNode) + len);
	SubNode    *n;

	if (node == MEM_NONE)
		return MEM_NONE;
	n = seg_ptr(node);
	atomic_init(&n->next_pattern, 0);
	n->hash = hash;
	n->kind = kind;
	n->len = (uint32) len;
	atomic_init(&n->clients, 1);
	memcpy(n->name, name, len);
	link_in(bucket_of(worker, hash), &n->next, node);
	if (kind == SUB_PATTERN)
		link_in(&sub_table->worker[worker].patterns, &n->next_pattern, node);
	names_add(worker, kind, 1);
	return node;
}

void
sub_remove(uint32 worker, Off node, Off before)
{
	SubNode    *n = seg_ptr(node);
	_Atomic Off *link = bucket_of(worker, n->hash);

	/* relaxed throughout: our own links; readers order themselves by the node's release store when it came */
	while (atomic_load_explicit(link, memory_order_relaxed) != node)
		link = &((SubNode *) seg_ptr(atomic_load_explicit(link, memory_order_relaxed)))->next;
	atomic_store_explicit(link, atomic_load_explicit(&n->next, memory_order_relaxed), memory_order_release);	/* release [sub-node] */
	if (n->kind == SUB_PATTERN)
	{
		link = before == 0 ? &sub_table->worker[worker].patterns : &((SubNode *) seg_ptr(before))->next_pattern;
		Verify(atomic_load_explicit(link, memory_order_relaxed) == node);
		atomic_store_explicit(link, atomic_load_explicit(&n->next_pattern, memory_order_relaxed), memory_order_release);	/* release [sub-node] */
	}
	names_add(worker, n->kind, (uint32) -1);
	mem_retire(node, sizeof(SubNode) + n->len);
}

const SubNode *
sub_find(uint32 worker, SubKind kind, uint64 hash, const void *name, size_t len)
{
	const SubNode *n;

	Assert(epoch_inside());
	for (n = sub_at(bucket_of(worker, hash)); n != NULL; n = sub_at(&n->next))
		if (n->hash == hash && n->kind == kind && n->len == len && memcmp(n->name, name, len) == 0)
			return n;
	return NULL;
}

uint64
sub_receivers(uint32 worker, SubKind kind, uint64 hash, const void *channel, size_t len)
{
	const SubNode *n = sub_find(worker, kind, hash, channel, len);
	uint64		count = n != NULL ? sub_clients(n) : 0;

	if (kind != SUB_CHANNEL)
		return count;
	for (n = sub_at(&sub_table->worker[worker].patterns); n != NULL; n = sub_at(&n->next_pattern))
		if (pattern_match((const char *) n->name, n->len, channel, len, false))
			count += sub_clients(n);
	return count;
}
