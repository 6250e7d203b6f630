/*
 * store_cursor.c -- SCAN's cursors: 64-bit numbers that every worker understands.
 *
 * A cursor stands for the key after which a scan goes on.  The key lies in a
 * block of the node heap; a table of STORE_CURSORS words in the segment leads to
 * it.  Number n has its place at n mod STORE_CURSORS and stays valid until
 * STORE_CURSORS later ones have been given out; a client may use it twice.
 * A number that is not (or no longer) there is an error for the client, never a
 * silent end.
 *
 * Numbers start at a random place at every start of the server, so that one from
 * an earlier life does not fit by accident, and stay below 2^53: some clients
 * keep them in a double.
 *
 * Lock-free: the table's words are exchanged, blocks are immutable and retired.
 */
#include "common/c.h"

#include "access/store/store_internal.h"
#include "storage/mem/heap.h"

typedef struct StoreCursorBlock
{
	uint64		number;
	uint32		db;
	uint32		key_len;
	uint8		key[];
} StoreCursorBlock;

uint64
store_cursor_save(uint32 db, const void *key, uint32 key_len)
{
	size_t		size = sizeof(StoreCursorBlock) + key_len;
	uint32		attempts = 0;
	StoreCursorBlock *block;
	Off			off;
	Off			old;

	/* from the reserve, if need be: a listing that has come this far is not to fail because writers have filled memory */
	while ((off = mem_alloc_reserve(size)) == MEM_NONE)
		if (!store__find_memory(&attempts, size))
			return 0;
	block = seg_ptr(off);
	/* relaxed: only uniqueness matters */
	block->number = atomic_fetch_add_explicit(&store_shared->cursor_next, 1, memory_order_relaxed);
	block->db = db;
	block->key_len = key_len;
	memcpy(block->key, key, key_len);
	epoch_enter();
	old = atomic_exchange_explicit(&store_shared->cursor[block->number % STORE_CURSORS], off,
								   memory_order_acq_rel);	/* release [store-cursor] the block, acquire [store-cursor] the old one */
	if (old != MEM_NONE)
	{
		const StoreCursorBlock *gone = seg_ptr(old);

		mem_retire(old, sizeof(StoreCursorBlock) + gone->key_len);
	}
	epoch_leave();
	return block->number;
}

bool
store_cursor_load(uint64 cursor, uint32 db, uint8 *key, uint32 *key_len)
{
	const StoreCursorBlock *block;
	Off			off;
	bool		found = false;

	epoch_enter();
	off = atomic_load_explicit(&store_shared->cursor[cursor % STORE_CURSORS], memory_order_acquire);	/* acquire [store-cursor] */
	if (off != MEM_NONE)
	{
		block = seg_ptr(off);
		found = block->number == cursor && block->db == db;
		if (found)
		{
			memcpy(key, block->key, block->key_len);
			*key_len = block->key_len;
		}
	}
	epoch_leave();
	return found;
}
