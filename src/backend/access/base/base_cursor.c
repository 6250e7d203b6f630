/*
 * base_cursor.c -- the keys of the base in order, forward and backward.
 *
 * A cursor holds its path as pages and places in them.  The pages lie in the pool
 * or in the keep and stay readable within the epoch; so a cursor is good for one
 * epoch and one root, and after BASE_MISS, or in the next epoch, it is set again
 * with base_seek.  A page that is missing is noted in the keep, and with it those
 * that follow it in key order under the same parent, up to 'ahead'.
 *
 * There are no links between leaves (a copy-on-write tree cannot have them): the
 * next leaf is found by the path.
 *
 * Whoever has called base_reader_open; private memory.
 */
#include "access/base/base_read_internal.h"

#include "storage/ipc/epoch.h"

typedef struct CursorStep
{
	const BasePage *page;
	int32		at;				/* entry; -1 and count: beyond the edge */
} CursorStep;

typedef enum CursorState
{
	CURSOR_SET,					/* base_seek was called, no page was looked at */
	CURSOR_ON,					/* path[0] stands before the next entry to give */
	CURSOR_END,
	CURSOR_MISSED				/* to be set again */
} CursorState;

struct BaseCursor
{
	uint32		magic;
	CursorState state;
	BaseRoot	root;
	BaseKeep   *keep;
	bool		backward;
	bool		exclusive;
	bool		from_edge;		/* of the tree */
	uint32		ahead;
	uint32		next_count;
	BaseRef		next[BASE_AHEAD_MAX];
	uint32		next_level[BASE_AHEAD_MAX];
	CursorStep	path[BASE_LEVEL_MAX];	/* by level */
	uint32		prefix_len;
	uint32		bound_len;
	uint32		key_len;
	uint8		prefix[BASE_KEY_MAX];
	uint8		bound[BASE_KEY_MAX];
	uint8		key[BASE_KEY_MAX];
};

BaseCursor *
base_cursor_create(void)
{
	BaseCursor *c = calloc(1, sizeof(*c));

	Verify(c != NULL);
	c->magic = BASE_CURSOR_MAGIC;
	c->state = CURSOR_END;
	return c;
}

void
base_cursor_destroy(BaseCursor *c)
{
	if (c == NULL)
		return;
	Verify(c->magic == BASE_CURSOR_MAGIC);
	c->magic = 0;
	free(c);
}

/* ---- bounds ---- */

static int
compare_keys(const uint8 *a, uint32 a_len, const uint8 *b, uint32 b_len)
{
	int			c = memcmp(a, b, Min(a_len, b_len));

	return c != 0 ? c : a_len < b_len ? -1 : a_len > b_len;
}

/* behind_prefix -- the least key above all that begin with the prefix; 0: there is none. */
static uint32
behind_prefix(const BaseCursor *c, uint8 *to)
{
	uint32		len = c->prefix_len;

	while (len > 0 && c->prefix[len - 1] == 0xff)
		len--;
	memcpy(to, c->prefix, len);
	if (len > 0)
		to[len - 1]++;
	return len;
}

static void
set_bound(BaseCursor *c, const void *key, uint32 key_len, bool exclusive)
{
	memcpy(c->bound, key, key_len);
	c->bound_len = key_len;
	c->exclusive = exclusive;
	c->from_edge = false;
}

void
base_seek(BaseCursor *c, const BaseRoot *root, const void *prefix, uint32 prefix_len, const void *key, uint32 key_len,
		  bool exclusive, bool backward, uint32 ahead, BaseKeep *keep)
{
	uint8		behind[BASE_KEY_MAX];
	uint32		behind_len;

	Verify(c->magic == BASE_CURSOR_MAGIC && prefix_len <= BASE_KEY_MAX && key_len <= BASE_KEY_MAX);
	c->root = *root;
	c->keep = keep;
	c->backward = backward;
	c->ahead = Min(ahead, BASE_AHEAD_MAX);
	c->next_count = 0;
	c->state = root->page.number == 0 ? CURSOR_END : CURSOR_SET;
	if (prefix_len > 0)
		memcpy(c->prefix, prefix, prefix_len);
	c->prefix_len = prefix_len;
	c->from_edge = true;
	if (key != NULL)
		set_bound(c, key, key_len, exclusive);
	/* a bound outside the prefix is moved to its edge */
	if (!backward)
	{
		if (prefix_len > 0 && (key == NULL || compare_keys(key, key_len, c->prefix, prefix_len) < 0))
			set_bound(c, c->prefix, prefix_len, false);
		return;
	}
	behind_len = behind_prefix(c, behind);
	if (behind_len > 0 && (key == NULL || compare_keys(key, key_len, behind, behind_len) > 0))
		set_bound(c, behind, behind_len, true);
}

/* ---- what comes next ---- */

static void
note_next(BaseCursor *c, BaseRef ref, uint32 level)
{
	c->next[c->next_count] = ref;
	c->next_level[c->next_count++] = level;
}

/* outside -- nothing below this child (of those ahead in the cursor's direction) begins with the prefix. */
static bool
outside(const BaseCursor *c, const BasePage *parent, int32 at)
{
	uint8		key[BASE_KEY_MAX];
	uint32		len;

	if (c->prefix_len == 0)
		return false;
	if (c->backward)
		at++;					/* all that is below the child lies below the next one's key */
	len = base_page_key(parent, (uint32) at, key);
	if (c->backward)
		return compare_keys(key, len, c->prefix, c->prefix_len) <= 0;
	return compare_keys(key, Min(len, c->prefix_len), c->prefix, c->prefix_len) > 0;
}

/*
 * plan_ahead -- the children that follow the one at which the path stands at
 * 'level' (1 or more): what a reader in this direction will want next.  Where the
 * parent ends, its neighbour.
 */
static void
plan_ahead(BaseCursor *c, uint32 level)
{
	const CursorStep *step = &c->path[level];
	int32		way = c->backward ? -1 : 1;

	c->next_count = 0;
	for (int32 at = step->at + way; c->next_count < c->ahead; at += way)
	{
		if (at < 0 || at >= (int32) step->page->count)
		{
			const CursorStep *up = step + 1;
			int32		beside = up->at + way;

			if (level + 1 < c->root.levels && beside >= 0 && beside < (int32) up->page->count
				&& !outside(c, up->page, beside))
				note_next(c, base_inner_child(up->page, (uint32) beside, NULL), level);
			return;
		}
		if (outside(c, step->page, at))
			return;
		note_next(c, base_inner_child(step->page, (uint32) at, NULL), level - 1);
	}
}

/* pass_ahead -- what was planned goes with the keep's next base_read_start. */
static void
pass_ahead(BaseCursor *c)
{
	if (c->keep == NULL)
		return;
	memcpy(c->keep->ahead, c->next, sizeof(c->next));
	memcpy(c->keep->ahead_level, c->next_level, sizeof(c->next_level));
	c->keep->ahead_count = c->next_count;
	c->next_count = 0;
}

void
base_cursor_prefetch(BaseCursor *c)
{
	Assert(!epoch_inside());
	for (uint32 i = 0; i < c->next_count; i++)
		base__read_ahead(c->next[i], c->next_level[i]);
	c->next_count = 0;
	base__read_submit();
}

/* ---- the path ---- */

/* step_into -- the page at 'level' by its parent's entry (or the root); BASE_FOUND, BASE_MISS, BASE_CORRUPT. */
static BaseResult
step_into(BaseCursor *c, uint32 level)
{
	bool		top = level + 1 == c->root.levels;
	const CursorStep *up = &c->path[level + 1];
	BaseRef		ref = top ? c->root.page : base_inner_child(up->page, (uint32) up->at, NULL);
	BaseResult	result = base__page(c->keep, ref, level, &c->path[level].page);

	if (level == 0 && !top && c->ahead > 0)
	{
		plan_ahead(c, 1);
		if (result == BASE_MISS)
			pass_ahead(c);
	}
	return result;
}

/* to_bound -- from the root down to the first entry to give; path[0].at may lie beyond an edge. */
static BaseResult
to_bound(BaseCursor *c)
{
	for (uint32 level = c->root.levels; level-- > 0;)
	{
		CursorStep *step = &c->path[level];
		BaseResult	result = step_into(c, level);
		bool		exact = false;

		if (result != BASE_FOUND)
			return result;
		if (c->from_edge)
			step->at = c->backward ? (int32) step->page->count - 1 : 0;
		else if (level > 0)
			step->at = (int32) base_inner_search(step->page, c->bound, c->bound_len);
		else
		{
			step->at = (int32) base_page_search(step->page, c->bound, c->bound_len, &exact);
			if (c->backward)
				step->at -= exact && !c->exclusive ? 0 : 1;
			else
				step->at += exact && c->exclusive ? 1 : 0;
		}
	}
	return BASE_FOUND;
}

/* to_neighbour -- the leaf after (before) the one in the path; BASE_ABSENT: there is none. */
static BaseResult
to_neighbour(BaseCursor *c)
{
	int32		way = c->backward ? -1 : 1;
	uint32		level = 1;

	for (;; level++)
	{
		if (level >= c->root.levels)
			return BASE_ABSENT;
		c->path[level].at += way;
		if (c->path[level].at >= 0 && c->path[level].at < (int32) c->path[level].page->count)
			break;
	}
	while (level-- > 0)
	{
		BaseResult	result = step_into(c, level);

		if (result != BASE_FOUND)
			return result;
		c->path[level].at = c->backward ? (int32) c->path[level].page->count - 1 : 0;
	}
	return BASE_FOUND;
}

/* to_entry -- path[0] on the next entry to give. */
static BaseResult
to_entry(BaseCursor *c)
{
	BaseResult	result = BASE_FOUND;

	if (c->state == CURSOR_SET)
	{
		result = to_bound(c);
		c->state = CURSOR_ON;
	}
	while (result == BASE_FOUND && (c->path[0].at < 0 || c->path[0].at >= (int32) c->path[0].page->count))
		result = to_neighbour(c);
	return result;
}

BaseResult
base_next(BaseCursor *c, bool with_value, const uint8 **key, uint32 *key_len, BaseValue *out)
{
	BaseLeafEntry entry;
	BaseResult	result;

	Assert(c->magic == BASE_CURSOR_MAGIC && c->state != CURSOR_MISSED && epoch_inside());
	if (c->state == CURSOR_END)
		return BASE_ABSENT;
	result = to_entry(c);
	if (result == BASE_FOUND)
	{
		c->key_len = base_page_key(c->path[0].page, (uint32) c->path[0].at, c->key);
		if (c->key_len < c->prefix_len || memcmp(c->key, c->prefix, c->prefix_len) != 0)
			result = BASE_ABSENT;
	}
	if (result == BASE_FOUND)
	{
		base_leaf_entry(c->path[0].page, (uint32) c->path[0].at, &entry);
		result = base__value(c->keep, &entry, with_value, out);
	}
	if (result != BASE_FOUND)
	{
		c->state = result == BASE_ABSENT ? CURSOR_END : CURSOR_MISSED;
		return result;
	}
	c->path[0].at += c->backward ? -1 : 1;
	*key = c->key;
	*key_len = c->key_len;
	return BASE_FOUND;
}
