/*
 * space.c -- who has which page: live, free, set aside; each exactly once.
 *
 * Three sets of pages, one bit a page: 'live' is filled by what is reached from
 * the root and by the free-space map's own pages, 'free' and 'aside' by what the
 * map says.  A page in two of them, or in none, is a problem; so is a live page
 * that is reached twice.
 */
#include "verify.h"

#include <stdarg.h>
#include <string.h>

const char *
verify_page(uint64 first, uint64 count)
{
	static char buffers[4][100];
	static int	next;
	char	   *text = buffers[next++ % 4];

	if (count == 1)
		snprintf(text, sizeof(buffers[0]), "page %llu (offset %llu)", (unsigned long long) first,
				 (unsigned long long) first * BASE_PAGE_SIZE);
	else
		snprintf(text, sizeof(buffers[0]), "pages %llu to %llu (offset %llu)", (unsigned long long) first,
				 (unsigned long long) (first + count - 1), (unsigned long long) first * BASE_PAGE_SIZE);
	return text;
}

static bool
is_in(const PageSet set, uint64 page)
{
	return (set[page / 8] >> page % 8 & 1) != 0;
}

static void
put_in(PageSet set, uint64 page)
{
	set[page / 8] |= (uint8) (1 << page % 8);
}

/* run_in -- how many of the pages [first, end) are in (or, with want false, not in) the set, from first on. */
static uint64
run_in(const PageSet set, uint64 first, uint64 end, bool want)
{
	uint64		at = first;

	while (at < end && is_in(set, at) == want)
		at++;
	return at - first;
}

bool
verify_claim(Checker *c, uint64 first, uint64 count, const char *what, ...)
{
	char		text[200];
	bool		good = true;
	va_list		args;

	va_start(args, what);
	vsnprintf(text, sizeof(text), what, args);
	va_end(args);
	if (first >= c->limit || count > c->limit - first)
	{
		verify_problem(&c->problems, c->name, "%s: %s, but only %llu pages are there", verify_page(first, count), text,
					   (unsigned long long) c->limit);
		c->space_unknown = true;
		return false;
	}
	for (uint64 at = first; at < first + count;)
	{
		uint64		run = run_in(c->live, at, first + count, true);

		if (run > 0)
		{
			verify_problem(&c->problems, c->name, "%s: %s, and something else, too", verify_page(at, run), text);
			c->space_unknown = true;
			good = false;
			at += run;
		}
		else
		{
			put_in(c->live, at++);
			c->live_pages++;
		}
	}
	return good;
}

/* ---- the free-space map ---- */

/* take_run -- one entry of the map; what lies behind the end of the file is counted, but nowhere. */
static void
take_run(Checker *c, uint64 map_page, uint32 index, const BaseMapEntry *e)
{
	const char *what = e->died == 0 ? "free" : "set aside";
	PageSet		set = e->died == 0 ? c->free : c->aside;
	uint64		end = e->first + e->count;

	*(e->died == 0 ? &c->free_pages : &c->aside_pages) += e->count;
	if (end > c->slot->base.page_count)
		verify_problem(&c->problems, c->name, "%s: entry %u: %s, but the file has %llu pages", verify_page(map_page, 1),
					   index, verify_page(e->first, e->count), (unsigned long long) c->slot->base.page_count);
	if (e->died % 8 != 0)
		verify_problem(&c->problems, c->name, "%s: entry %u: set aside at %" LSN_FORMAT ", which is no position of the log",
					   verify_page(map_page, 1), index, LSN_ARGS(e->died));
	end = Min(end, c->limit);
	for (uint64 at = e->first; at < end;)
	{
		uint64		run = run_in(c->live, at, end, true);

		if (run > 0)
		{
			verify_problem(&c->problems, c->name, "%s: %s in the free-space map, but in use", verify_page(at, run), what);
			at += run;
		}
		else
			put_in(set, at++);
	}
}

/* read_map_page -- false: said why. */
static bool
read_map_page(Checker *c, BaseRef ref, BasePage *page)
{
	char		why[300];

	if (verify_read_page(c, page, ref.number, 1, why, sizeof(why))
		&& base_page_verify(page, ref, BASE_MAP, 0, (uint32) c->slot->system_id, why, sizeof(why)))
		return true;
	verify_problem(&c->problems, c->name, "%s: %s", verify_page(ref.number, 1), why);
	return false;
}

/*
 * verify_map -- twice along the chain: its pages are live, and that must be known
 * before what they say is compared with what is live.
 */
void
verify_map(Checker *c)
{
	const BaseState *state = &c->slot->base;
	BasePage   *page = verify_alloc(BASE_PAGE_SIZE);
	BaseMapEntry last = {0};
	BaseRef		ref;
	uint64		before = 0;
	uint64		pages = 0;
	bool		whole = true;

	/* a chain that comes back to a page of its own finds that claimed */
	for (ref = state->map; ref.number != 0 && whole; ref.number = page->link)
	{
		whole = (pages == 0 ? verify_claim(c, ref.number, 1, "first page of the free-space map")
				 : verify_claim(c, ref.number, 1, "page of the free-space map after page %llu", (unsigned long long) before))
			&& read_map_page(c, ref, page);
		pages += whole;
		before = ref.number;
	}
	if (!whole)
		c->space_unknown = true;
	else if (pages != state->map_pages)
		verify_problem(&c->problems, c->name, "the free-space map has %llu pages, the control file says %u",
					   (unsigned long long) pages, state->map_pages);
	ref = state->map;
	for (uint64 n = 0; n < pages && read_map_page(c, ref, page); n++, ref.number = page->link)
	{
		const BaseMapEntry *entry = (const BaseMapEntry *) (page + 1);

		if (page->count == 0)
			continue;
		if (last.count > 0 && (entry[0].first < last.first + last.count
							   || (entry[0].first == last.first + last.count && entry[0].died == last.died)))
			verify_problem(&c->problems, c->name, "%s: entry 0 does not lie behind those of the map page before",
						   verify_page(ref.number, 1));
		for (uint32 i = 0; i < page->count; i++)
			take_run(c, ref.number, i, &entry[i]);
		last = entry[page->count - 1];
	}
	free(page);
}

/* ---- every page exactly once ---- */

static void
check_count(Checker *c, const char *what, uint64 found, uint64 said)
{
	if (found != said)
		verify_problem(&c->problems, c->name, "%llu pages are %s, the control file says %llu", (unsigned long long) found,
					   what, (unsigned long long) said);
}

void
verify_cover(Checker *c)
{
	const BaseState *state = &c->slot->base;
	uint64		lost = 0;

	for (uint64 at = 0; at < c->limit; at++)
	{
		if (at % 8 == 0 && lost == 0 && (c->live[at / 8] | c->free[at / 8] | c->aside[at / 8]) == 0xff)
		{
			at += 7;
			continue;
		}
		if (!is_in(c->live, at) && !is_in(c->free, at) && !is_in(c->aside, at))
			lost++;
		else if (lost > 0)
		{
			verify_problem(&c->problems, c->name, "%s: neither in use, nor free, nor set aside",
						   verify_page(at - lost, lost));
			lost = 0;
		}
	}
	if (lost > 0)
		verify_problem(&c->problems, c->name, "%s: neither in use, nor free, nor set aside",
					   verify_page(c->limit - lost, lost));
	check_count(c, "in use", c->live_pages, state->live_pages);
	check_count(c, "free", c->free_pages, state->free_pages);
	check_count(c, "set aside", c->aside_pages, state->aside_pages);
}

void
verify_older_kept(Checker *newer, const Checker *older)
{
	uint64		end = Min(newer->limit, older->limit);
	uint64		both = 0;

	for (uint64 at = 0; at <= end; at++)
	{
		if (at < end && is_in(older->live, at) && is_in(newer->free, at))
			both++;
		else if (both > 0)
		{
			verify_problem(&newer->problems, newer->name, "%s: free, but the older slot's tree still has it",
						   verify_page(at - both, both));
			both = 0;
		}
	}
}
