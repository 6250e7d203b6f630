/*
 * base_space.c -- which pages of the data file may be written: the free map.
 *
 * Every page is live (a root reaches it: header, tree, extents, map), free, or
 * set aside with the cut at which it died; each of the last two stands in exactly
 * one run of the map, and live + free + aside = page_count.
 *
 * The rule.  A page that died at cut j is in the root before j and in no root
 * from j on, so only roots with a cut below j reach it.  While the checkpoint
 * after c(k) is planned, the control slots hold c(k) and c(k-1), and no process
 * reads an older root: the grace period after publishing c(k) is over.  Hence the
 * page may be written iff j <= c(k-1), the older cut.  A page that died at c(k) is
 * still reached from the older slot: it may not.
 *
 * The new map, for c(k+1), is used for planning only when the slots hold c(k+1)
 * and c(k), so it may call free (died 0) what died at c(k) or before, and sets
 * aside what dies now with died = c(k+1).  If the slot of c(k+1) never becomes
 * valid, the old map is in force and says nothing of all this.
 *
 * Pinned roots.  Snapshots read roots with cuts p1 <= p2 <= ..., older than those in
 * the slots.  The same rule: a page may be written iff it died at or below the lowest of
 * them, too.  That keeps more than they reach (what came and went since), but needs no
 * other number than the one in the map.  A root that is announced after 'pinned' was
 * read is the one in force, or the one that this merge makes: nothing that is free by
 * the rule, or is called free in the new map, is reached from either.  What is
 * kept for a snapshot alone stays in the map as set aside, with the cut at which it
 * died; when nobody reads the old root any more (after a restart nobody does) it is
 * free by the rule for the slots.
 *
 * The map's own pages are copy-on-write, too.  Which come first, the map's pages
 * or the map that says which pages are left?  The map is composed once without
 * them: n entries.  Taking a page makes at most one entry more (it may stand in
 * the middle of a run of the new map), and growing the file may bring back one
 * that was cut off with the tail.  So m pages do, where m is the least number with
 * m * BASE_MAP_ENTRIES >= n + m + 1; they are taken, then the map is composed
 * again, and it fits.  (It may leave room for a few entries: they are spread over
 * the pages, and a page may have none.)
 *
 * Pages are taken lowest first, so that the tail of the file empties; the file
 * ends behind its last page that is not free.
 *
 * After a failed attempt the next one takes none of the places that it had taken
 * ('avoid'), be it at the price of a longer file; when the reason was a full disk
 * the price is not paid: then they are taken again before the file grows.
 *
 * A failed or abandoned attempt leaves no trace but 'avoid': 'map' and
 * 'page_count' change at the commit only.
 */
#include "access/base/base_internal.h"

static void
runs_room(BaseRuns *runs)
{
	if (runs->count == runs->room)
	{
		runs->room = runs->room == 0 ? 64 : runs->room * 2;
		runs->at = realloc(runs->at, runs->room * sizeof(*runs->at));
		Verify(runs->at != NULL);
	}
}

void
base__runs_add(BaseRuns *runs, uint64 first, uint64 count, uint64 died)
{
	if (count == 0)
		return;
	if (runs->count > 0)
	{
		BaseRun    *last = &runs->at[runs->count - 1];

		if (last->died == died && last->first + last->count == first)
		{
			last->count += count;
			return;
		}
	}
	runs_room(runs);
	runs->at[runs->count++] = (BaseRun) {.first = first, .count = count, .died = died};
}

void
base__runs_free(BaseRuns *runs)
{
	free(runs->at);
	memset(runs, 0, sizeof(*runs));
}

static int
compare_runs(const void *a, const void *b)
{
	const BaseRun *x = a;
	const BaseRun *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static void
runs_sort(BaseRuns *runs)
{
	if (runs->count > 1)
		qsort(runs->at, runs->count, sizeof(*runs->at), compare_runs);
}

/* runs_merge -- both ascending; the result, joined where it touches, replaces 'into'; 0, or a page that is in both. */
static uint64
runs_merge(BaseRuns *into, const BaseRuns *more)
{
	uint64		twice = 0;
	BaseRuns	out = {0};
	size_t		i = 0;
	size_t		j = 0;

	if (more->count == 0)
		return 0;
	while (i < into->count || j < more->count)
	{
		const BaseRun *r;

		if (j == more->count || (i < into->count && into->at[i].first < more->at[j].first))
			r = &into->at[i++];
		else
			r = &more->at[j++];
		if (r->count == 0)
			continue;
		if (out.count > 0 && out.at[out.count - 1].first + out.at[out.count - 1].count > r->first)
			twice = r->first;
		base__runs_add(&out, r->first, r->count, r->died);
	}
	base__runs_free(into);
	*into = out;
	return twice;
}

/* runs_subtract -- 'all' without the pages of 'without'; both ascending. */
static void
runs_subtract(BaseRuns *all, const BaseRuns *without)
{
	BaseRuns	out = {0};
	size_t		j = 0;

	if (without->count == 0)
		return;
	for (size_t i = 0; i < all->count; i++)
	{
		uint64		from = all->at[i].first;
		uint64		to = from + all->at[i].count;

		while (j < without->count && without->at[j].first + without->at[j].count <= from)
			j++;
		for (size_t k = j; k < without->count && without->at[k].first < to; k++)
		{
			if (without->at[k].first > from)
				base__runs_add(&out, from, without->at[k].first - from, all->at[i].died);
			from = Max(from, without->at[k].first + without->at[k].count);
		}
		if (from < to)
			base__runs_add(&out, from, to - from, all->at[i].died);
	}
	base__runs_free(all);
	*all = out;
}

void
base__space_sum(const BaseRuns *runs, uint64 *free_pages, uint64 *aside_pages)
{
	*free_pages = *aside_pages = 0;
	for (size_t i = 0; i < runs->count; i++)
		*(runs->at[i].died == 0 ? free_pages : aside_pages) += runs->at[i].count;
}

void
base__space_open(BaseSpace *space, BaseRuns *map, uint64 page_count, Lsn cut, Lsn older_cut)
{
	Verify(older_cut <= cut && page_count > 0);
	space->cut = cut;
	space->older_cut = older_cut;
	space->page_count = page_count;
	space->map = *map;
	memset(map, 0, sizeof(*map));
}

static void
attempt_clear(BaseSpace *space)
{
	base__runs_free(&space->free);
	base__runs_free(&space->taken);
	base__runs_free(&space->given);
	base__runs_free(&space->dead);
	base__runs_free(&space->next);
	space->taken_pages = space->given_pages = space->dead_pages = 0;
	space->open = space->planned = space->avoid_used = false;
}

void
base__space_close(BaseSpace *space)
{
	attempt_clear(space);
	base__runs_free(&space->map);
	base__runs_free(&space->avoid);
}

static void
cursors_reset(BaseSpace *space)
{
	space->cursor = 0;
	memset(space->hint, 0, sizeof(space->hint));
}

/* may_write -- the rule above; what is free (died 0) always. */
static bool
may_write(const BaseSpace *space, const BaseRun *r)
{
	return r->died <= Min(space->older_cut, space->pinned);
}

void
base__space_begin(BaseSpace *space, Lsn birth, Lsn pinned)
{
	uint64		beyond = space->page_count;

	Verify(!space->open && birth > space->cut);
	space->open = true;
	space->birth = birth;
	space->pinned = pinned != LSN_NONE ? pinned : UINT64_MAX;
	space->pinned_pages = 0;
	for (size_t i = 0; i < space->map.count; i++)
	{
		const BaseRun *r = &space->map.at[i];

		if (may_write(space, r))
			base__runs_add(&space->free, r->first, r->count, 0);
		else if (r->died <= space->older_cut)
			space->pinned_pages += r->count;
	}
	if (space->avoid.count > 0)
	{
		const BaseRun *last = &space->avoid.at[space->avoid.count - 1];

		beyond = Max(beyond, last->first + last->count);
		base__runs_add(&space->free, space->page_count, beyond - space->page_count, 0);
		runs_subtract(&space->free, &space->avoid);
	}
	space->end = beyond;
	cursors_reset(space);
}

/* take_avoided -- the disk was full: the last attempt's places rather than a longer file; false: there are none (any more). */
static bool
take_avoided(BaseSpace *space)
{
	if (space->avoid_firmly || space->avoid_used || space->avoid.count == 0)
		return false;
	space->avoid_used = true;
	Verify(runs_merge(&space->free, &space->avoid) == 0);
	cursors_reset(space);
	return true;
}

/* grow -- pages at the file's end; free ones that touch it come first. */
static uint64
grow(BaseSpace *space, uint64 count)
{
	BaseRun    *last = space->free.count > 0 ? &space->free.at[space->free.count - 1] : NULL;
	uint64		first = space->end;

	if (last != NULL && last->count > 0 && last->first + last->count == space->end)
	{
		Assert(last->count < count);
		first = last->first;
		last->count = 0;
	}
	space->end = first + count;
	return first;
}

/* find -- the first run with room, or NULL. */
static BaseRun *
find(BaseSpace *space, uint64 count)
{
	uint32		class = 63 - (uint32) __builtin_clzll(count);
	bool		all_small = true;
	size_t		i;

	while (space->cursor < space->free.count && space->free.at[space->cursor].count == 0)
		space->cursor++;
	if (count == 1)
		return space->cursor < space->free.count ? &space->free.at[space->cursor] : NULL;
	Verify(class < SPACE_CLASSES);
	for (i = Max(space->hint[class], space->cursor); i < space->free.count; i++)
	{
		BaseRun    *r = &space->free.at[i];

		if (r->count >> class != 0 && all_small)
		{
			all_small = false;
			space->hint[class] = i;
		}
		if (r->count >= count)
			return r;
	}
	if (all_small)
		space->hint[class] = i;
	return NULL;
}

/* find_any -- the same, and in need also where the last attempt has been. */
static BaseRun *
find_any(BaseSpace *space, uint64 count)
{
	BaseRun    *r = find(space, count);

	return r == NULL && take_avoided(space) ? find(space, count) : r;
}

uint64
base__space_take(BaseSpace *space, uint64 count)
{
	BaseRun    *r = find_any(space, count);
	uint64		first;

	Verify(space->open && !space->planned && count > 0);
	if (r != NULL)
	{
		first = r->first;
		r->first += count;
		r->count -= count;
	}
	else
		first = grow(space, count);
	base__runs_add(&space->taken, first, count, 0);
	space->taken_pages += count;
	return first;
}

uint64
base__space_take_below(BaseSpace *space, uint64 count, uint64 limit)
{
	const BaseRun *r = find_any(space, count);

	if (r == NULL || r->first + count > limit)
		return 0;
	return base__space_take(space, count);
}

uint64
base__space_lowest(BaseSpace *space)
{
	BaseRun    *r = find_any(space, 1);

	return r != NULL ? r->first : space->end;
}

/*
 * What is neither free nor set aside is live: the gaps of the map, looked at from
 * the file's end on.
 */
uint64
base__space_tail(const BaseSpace *space, uint64 most, uint64 *live)
{
	uint64		from = space->page_count;
	uint64		end = space->page_count;
	uint64		room = 0;
	size_t		f = space->free.count;

	*live = 0;
	for (size_t i = 0; i < f; i++)
		room += space->free.at[i].count;
	for (size_t i = space->map.count + 1; i-- > 0 && end > 1;)
	{
		uint64		begin = i > 0 ? space->map.at[i - 1].first + space->map.at[i - 1].count : 1;
		uint64		allowed;

		while (f > 0 && space->free.at[f - 1].first >= begin)
			room -= space->free.at[--f].count;
		allowed = Min(most, room);
		if (allowed <= *live && end > begin)
			break;
		if (end > begin)
		{
			from = end - Min(end - begin, allowed - *live);
			*live += end - from;
			if (from > begin)
				break;
		}
		end = i > 0 ? space->map.at[i - 1].first : 1;
	}
	return from;
}

void
base__space_give(BaseSpace *space, uint64 number)
{
	Verify(space->open && !space->planned);
	base__runs_add(&space->given, number, 1, 0);
	space->given_pages++;
}

bool
base__space_dead(BaseSpace *space, uint64 first, uint64 count)
{
	Verify(space->open && !space->planned);
	if (first == 0 || first >= space->page_count || count > space->page_count - first)
		return false;
	base__runs_add(&space->dead, first, count, space->birth);
	space->dead_pages += count;
	return true;
}

/* cut_tail -- the file ends behind its last page that is not free. */
static void
cut_tail(BaseSpace *space)
{
	BaseRuns   *next = &space->next;

	while (next->count > 0)
	{
		const BaseRun *last = &next->at[next->count - 1];

		if (last->died != 0 || last->first + last->count != space->next_count)
			return;
		space->next_count = last->first;
		next->count--;
	}
}

/* add_to_next -- a list of pages that the new root does not reach; the lists have no page in common. */
static void
add_to_next(BaseSpace *space, const BaseRuns *runs)
{
	uint64		twice = runs_merge(&space->next, runs);

	if (space->twice == 0)
		space->twice = twice;
}

/*
 * compose -- space->next: all pages that neither hold the header nor are reached
 * from the new root, out of the lists of this attempt.
 */
static void
compose(BaseSpace *space)
{
	BaseRuns	aside = {0};

	base__runs_free(&space->next);
	for (size_t i = 0; i < space->map.count; i++)
	{
		const BaseRun *r = &space->map.at[i];

		if (!may_write(space, r))
			base__runs_add(&aside, r->first, r->count, r->died <= Min(space->cut, space->pinned) ? 0 : r->died);
	}
	space->twice = 0;
	add_to_next(space, &space->free);
	add_to_next(space, &aside);
	add_to_next(space, &space->given);
	if (!space->avoid_used)
		add_to_next(space, &space->avoid);
	add_to_next(space, &space->dead);
	base__runs_free(&aside);
	space->next_count = space->end;
	cut_tail(space);
}

bool
base__space_plan(BaseSpace *space, uint64 **pages, uint32 *page_count, uint64 *twice)
{
	uint64		count = 0;

	Verify(space->open && !space->planned);
	runs_sort(&space->dead);
	runs_sort(&space->given);
	compose(space);
	*pages = NULL;
	if (space->next.count > 0)
	{
		/* each page taken makes one entry more at most, and growing may bring back the tail that was cut */
		while (count * BASE_MAP_ENTRIES < space->next.count + count + 1)
			count++;
		*pages = malloc(count * sizeof(**pages));
		Verify(*pages != NULL);
		for (uint64 i = 0; i < count; i++)
			(*pages)[i] = base__space_take(space, 1);
		compose(space);
		Verify(space->next.count <= count * BASE_MAP_ENTRIES);
	}
	space->planned = true;
	*page_count = (uint32) count;
	*twice = space->twice;
	return space->twice == 0;
}

void
base__space_commit(BaseSpace *space, bool kept)
{
	Verify(space->open && (space->planned || kept));
	if (!kept)
	{
		base__runs_free(&space->map);
		space->map = space->next;
		memset(&space->next, 0, sizeof(space->next));
		space->page_count = space->next_count;
		base__runs_free(&space->avoid);
	}
	space->older_cut = space->cut;
	space->cut = space->birth;
	attempt_clear(space);
}

void
base__space_abandon(BaseSpace *space, bool full)
{
	if (!space->open)
		return;
	if (space->taken.count > 0)
	{
		base__runs_free(&space->avoid);
		space->avoid = space->taken;
		memset(&space->taken, 0, sizeof(space->taken));
		runs_sort(&space->avoid);
		space->avoid_firmly = !full;
	}
	attempt_clear(space);
}
