/*
 * base_change.c -- the changes of a merge, read ahead.
 *
 * Changes are copied into two rings of private memory, records and bytes (keys and
 * short values), so that the scout can look at thousands of them before the merge
 * comes to them, and the source forgets them as soon as it likes.  A long value is
 * fetched from the source and written as an extent right then, whatever the old
 * tree has for its key: a put always needs it.
 *
 * An extent is one run of pages; they go to the I/O part before the leaf that
 * names them.
 */
#include "access/base/base_internal.h"

#include <errno.h>

#define BYTES_MAX (BASE_KEY_MAX + BASE_INLINE_MAX)

void
base__changes_init(Merge *m)
{
	m->ring = malloc(MERGE_CHANGES * sizeof(*m->ring));
	m->bytes = malloc(MERGE_BYTES);
	Verify(m->ring != NULL && m->bytes != NULL);
}

void
base__changes_end(Merge *m)
{
	free(m->ring);
	free(m->bytes);
}

void
base__overflow_page(Merge *m, BasePage *p, uint64 number, uint32 index, uint32 len)
{
	*p = (BasePage) {.magic = BASE_PAGE_MAGIC, .number = number, .birth = m->birth, .kind = BASE_OVERFLOW,
					 .data_len = len, .system = m->writer->system, .link = index};
	memset((uint8 *) (p + 1) + len, 0, BASE_OVERFLOW_BYTES - len);
	base_page_seal(p);
}

/* write_extent -- a long value, page by page as the source gives it. */
static void
write_extent(Merge *m, MergeChange *change)
{
	const BaseChange *c = &change->c;
	uint32		pages = base_extent_pages(c->value_len);
	uint64		offset = 0;

	if (m->making.failed)
		return;
	change->extent = (BaseRef) {base__space_take(&m->writer->space, pages), m->birth};
	for (uint32 i = 0; i < pages && !m->making.failed; i++)
	{
		BasePage   *p = base__io_frame(m->writer->io);
		uint32		len = (uint32) Min(c->value_len - offset, BASE_OVERFLOW_BYTES);

		if (!m->source->value(m->source->arg, c, offset, len, p + 1))
		{
			base__making_fail(&m->making, EIO, "a value of %llu bytes could not be had in full",
							  (unsigned long long) c->value_len);
			return;
		}
		base__overflow_page(m, p, change->extent.number + i, i, len);
		offset += len;
		m->extent_pages++;
		base__merge_put(m, change->extent.number + i);
	}
}

/* bytes_take -- room for 'len' bytes in one piece, or NULL. */
static uint8 *
bytes_take(Merge *m, uint64 len)
{
	uint64		at = m->bytes_tail;

	if (at % MERGE_BYTES + len > MERGE_BYTES)
		at = AlignUp(at, MERGE_BYTES);
	if (at + len - m->bytes_head > MERGE_BYTES)
		return NULL;
	m->bytes_tail = at + len;
	return m->bytes + at % MERGE_BYTES;
}

/* take_in -- one change of the source into the rings; there is room. */
static void
take_in(Merge *m, const BaseChange *in)
{
	MergeChange *change = &m->ring[m->tail % MERGE_CHANGES];
	bool		is_long = in->kind == BASE_PUT && in->value_len > BASE_INLINE_MAX;
	uint64		value_len = in->kind == BASE_PUT && !is_long ? in->value_len : 0;
	uint8	   *to;

	Verify(in->key_len <= BASE_KEY_MAX && in->value_len <= UINT32_MAX);
	/* a page is no older than what is in it */
	Verify(in->kind != BASE_PUT || (in->lsn != LSN_NONE && in->lsn <= m->birth));
	to = bytes_take(m, in->key_len + value_len);
	Verify(to != NULL);
	if (in->key_len > 0)
		memcpy(to, in->key, in->key_len);
	if (value_len > 0)
		memcpy(to + in->key_len, in->value, value_len);
	change->c = *in;
	change->extent = (BaseRef) {0, 0};
	if (is_long)
		write_extent(m, change);
	change->c.key = to;
	change->c.value = is_long ? NULL : to + in->key_len;
	change->bytes_end = m->bytes_tail;
	m->tail++;
}

static void
read_changes(Merge *m)
{
	while (!m->ended && !m->making.failed && m->tail - m->head < MERGE_CHANGES)
	{
		BaseChange	in;
		uint64		tail = m->bytes_tail;

		if (bytes_take(m, BYTES_MAX) == NULL)
			break;
		m->bytes_tail = tail;
		memset(&in, 0, sizeof(in));
		if (m->source->next(m->source->arg, &in))
			take_in(m, &in);
		else
			m->ended = true;
	}
	m->refill = (m->tail - m->head) / 2;
}

MergeChange *
base__change_peek(Merge *m)
{
	if (m->head == m->tail)
	{
		if (m->ended)
			return NULL;
		read_changes(m);
		if (m->head == m->tail)
			return NULL;
	}
	return m->making.failed ? NULL : &m->ring[m->head % MERGE_CHANGES];
}

void
base__change_done(Merge *m, uint64 removed, bool existed)
{
	MergeChange *change = &m->ring[m->head % MERGE_CHANGES];

	if (m->source->seen != NULL)
		m->source->seen(m->source->arg, &change->c, existed, removed);
	m->bytes_head = change->bytes_end;
	m->head++;
	if (!m->ended && m->tail - m->head <= m->refill)
		read_changes(m);
}

bool
base__change_below(MergeBound bound, const MergeChange *change)
{
	return bound.page == NULL || base_page_compare(bound.page, bound.index, change->c.key, change->c.key_len) > 0;
}

bool
base__change_covers(const MergeChange *change, const uint8 *page, uint32 index)
{
	uint8		key[BASE_KEY_MAX];
	uint32		len = base_page_key(page, index, key);

	return len >= change->c.key_len && memcmp(key, change->c.key, change->c.key_len) == 0;
}
