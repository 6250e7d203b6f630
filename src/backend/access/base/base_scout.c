/*
 * base_scout.c -- which pages of the old tree the changes will want.
 *
 * Goes before the merge, from change to change as far as they have been read, down
 * the same inner pages, and has the leaves read that they belong to.  It never
 * waits: where an inner page is not there yet it stops, and goes on when it is
 * called again.  It asks for reads in groups, so that few system calls do.
 *
 * What it does wrong costs time only: a page that was not announced is read when
 * the merge comes to it, one that was announced in vain is dropped.
 */
#include "access/base/base_internal.h"

/* scout_bound -- of child 'index' of the pinned page at 'level'. */
static MergeBound
scout_bound(const MergeScout *s, uint32 level, uint32 index)
{
	for (; level <= s->top; level++)
	{
		if (index + 1 < base__slot_count(s->slot[level]))
			return (MergeBound) {s->slot[level]->page, index + 1};
		if (level < s->top)
			index = s->index[level + 1];
	}
	return (MergeBound) {NULL, 0};
}

void
base__scout_begin(Merge *m)
{
	MergeScout *s = &m->scout;

	s->off = m->writer->state.levels < 2;
	if (s->off)
		return;
	s->top = m->writer->state.levels - 1;
	s->low = s->top + 1;
}

void
base__scout_end(Merge *m)
{
	MergeScout *s = &m->scout;

	if (m->writer->state.levels >= 2)
		for (; s->low <= s->top; s->low++)
			base__fetch_release(m->writer->fetch, s->slot[s->low]);
	s->off = true;
}

/* scout_down -- pin the page above the leaf that the change belongs to; false: not yet. */
static bool
scout_down(Merge *m, const MergeChange *change)
{
	MergeScout *s = &m->scout;

	while (s->low < s->top && !base__change_below(scout_bound(s, s->low + 1, s->index[s->low + 1]), change))
		base__fetch_release(m->writer->fetch, s->slot[s->low++]);
	while (s->low > 1)
	{
		BaseRef		ref = m->writer->state.root;
		BaseSlot   *slot;

		if (s->low <= s->top)
		{
			s->index[s->low] = base_inner_search(s->slot[s->low]->page, change->c.key, change->c.key_len);
			ref = base_inner_child(s->slot[s->low]->page, s->index[s->low], NULL);
		}
		slot = base__fetch_try(m->writer->fetch, ref, BASE_INNER, (int) s->low - 1, &s->off);
		if (slot == NULL)
			return false;
		s->slot[--s->low] = slot;
	}
	return true;
}

void
base__scout(Merge *m)
{
	MergeScout *s = &m->scout;

	if (s->off || !base__fetch_wants(m->writer->fetch))
		return;
	s->next = Max(s->next, m->head);
	while (!s->off && s->next < m->tail)
	{
		const MergeChange *change = &m->ring[s->next % MERGE_CHANGES];
		const uint8 *page;
		MergeBound	bound;

		if (change->c.kind == BASE_REMOVE_PREFIX)
		{
			s->next++;			/* the walk looks after these itself */
			continue;
		}
		if (!scout_down(m, change))
			break;
		page = s->slot[1]->page;
		s->index[1] = base_inner_search(page, change->c.key, change->c.key_len);
		if (!base__fetch_ahead(m->writer->fetch, base_inner_child(page, s->index[1], NULL)))
			break;
		bound = scout_bound(s, 1, s->index[1]);
		while (s->next < m->tail && base__change_below(bound, &m->ring[s->next % MERGE_CHANGES]))
			s->next++;
	}
	base__fetch_submit(m->writer->fetch);
}
