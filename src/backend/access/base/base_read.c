/*
 * base_read.c -- one key of the base, and the pages that a command keeps.
 *
 * base_get descends from a root that the caller has read in his epoch.  Pages are
 * compared in place, in the pool's frames: nothing is copied, no memory is asked
 * for, no system call is made.  A page that is neither kept nor in the pool ends
 * the run; what was missing is noted in the keep, and base_read_start (outside
 * the epoch) has it read.
 *
 * Progress: every page that was read for a command is kept by it until it ends,
 * whatever becomes of it in the pool; so each run gets at least one page further
 * as long as the root stays the same, and there are never more misses on the way
 * to one key than levels.  Under a new root only pages that it shares are used.
 *
 * Bad pages: see base_read.h.  A kept page that is bad counts only if no good one
 * is in the pool by now (an I/O error may have passed).
 *
 * Workers, evictor, checkpointer, startup; all of it is private memory.  If the
 * process dies, the kernel ends its reads; they go to its own memory, never to a
 * frame.
 */
#include "access/base/base_read_internal.h"

#include "storage/buffer/buffer.h"
#include "storage/ipc/epoch.h"

/* what base_get told without a keep */
static BaseKeep nobodys = {.magic = BASE_KEEP_MAGIC};

static inline bool
same_ref(BaseRef a, BaseRef b)
{
	return a.number == b.number && a.birth == b.birth;
}

/* ---- the life of a keep ---- */

BaseKeep *
base_keep_create(void)
{
	BaseKeep   *keep = calloc(1, sizeof(*keep));

	Verify(keep != NULL);
	keep->magic = BASE_KEEP_MAGIC;
	return keep;
}

/* tell -- outside an epoch: the error that a run has met goes to the log, once. */
static void
tell(BaseKeep *keep)
{
	if (keep->error[0] == '\0' || keep->told)
		return;
	keep->told = true;
	base__tell_corrupt(keep->error_ref, keep->error);
}

static void
drop_page(KeptPage *kept)
{
	if (kept->buf->error[0] != '\0' && !kept->needed)
		base__count_stale();
	base__buf_unref(kept->buf);
}

static void
drop_value(BaseKeep *keep, KeptValue *value)
{
	if (value->data == NULL && !value->needed)
		base__count_stale();
	keep->values_bytes -= value->bytes;
	free(value->data);
	free(value);
}

void
base_keep_release(BaseKeep *keep)
{
	if (keep == NULL)
		return;
	Verify(keep->magic == BASE_KEEP_MAGIC);
	tell(keep);
	base__read_forget(keep);
	Assert(keep->pending == 0);
	for (uint32 i = 0; i < keep->page_count; i++)
		drop_page(&keep->page[i]);
	keep->page_count = 0;
	while (keep->values != NULL)
	{
		KeptValue  *value = keep->values;

		keep->values = value->next;
		drop_value(keep, value);
	}
	keep->misses = 0;
	keep->ahead_count = 0;
	keep->told = false;
	keep->error[0] = '\0';
}

void
base_keep_destroy(BaseKeep *keep)
{
	if (keep == NULL)
		return;
	base_keep_release(keep);
	keep->magic = 0;
	free(keep->page);
	free(keep);
}

uint32
base_keep_pending(const BaseKeep *keep)
{
	Assert(keep->magic == BASE_KEEP_MAGIC);
	return keep->pending;
}

const char *
base_keep_error(BaseKeep *keep)
{
	if (keep == NULL)
		keep = &nobodys;
	Assert(!epoch_inside());
	tell(keep);
	return keep->error;
}

/* ---- what came in ---- */

/* page_limit -- room for any one descent, or for all those of a command on many keys. */
static uint32
page_limit(const BaseKeep *keep)
{
	return Min(Max(keep->misses, BASE_KEEP_PAGES), BASE_KEEP_MOST);
}

void
base__keep_page(BaseKeep *keep, PageBuf *buf)
{
	uint32		limit = page_limit(keep);

	while (keep->page_count >= limit)
	{
		drop_page(&keep->page[0]);
		keep->page_count--;
		memmove(&keep->page[0], &keep->page[1], keep->page_count * sizeof(keep->page[0]));
	}
	if (keep->page_count == keep->page_room)
	{
		keep->page_room = Max(keep->page_room * 2, 4);
		keep->page = realloc(keep->page, keep->page_room * sizeof(keep->page[0]));
		Verify(keep->page != NULL);
	}
	buf->refs++;
	keep->page[keep->page_count++] = (KeptPage) {.buf = buf};
}

void
base__keep_value(BaseKeep *keep, KeptValue *value)
{
	value->next = keep->values;
	keep->values = value;
	keep->values_bytes += value->bytes;
	while (keep->values_bytes > BASE_KEEP_VALUE_BYTES && value->next != NULL)
	{
		KeptValue **last = &value->next;
		KeptValue  *oldest;

		while ((*last)->next != NULL)
			last = &(*last)->next;
		oldest = *last;
		*last = NULL;
		drop_value(keep, oldest);
	}
}

/* ---- what a run meets ---- */

/* corrupt -- the answer needs a page that is bad. */
static BaseResult
corrupt(BaseKeep *keep, BaseRef ref, const char *text)
{
	if (keep == NULL)
		keep = &nobodys;
	if (keep->error[0] == '\0' || !same_ref(keep->error_ref, ref))
		keep->told = false;
	keep->error_ref = ref;
	snprintf(keep->error, sizeof(keep->error), "%s", text);
	return BASE_CORRUPT;
}

/* wrong_level -- a page that is whole, where another one belongs. */
static BaseResult
wrong_level(BaseKeep *keep, BaseRef ref, uint32 level, const BasePage *p)
{
	char		text[BASE_ERROR_BYTES];

	snprintf(text, sizeof(text), "page %llu of data/base: it is of kind %u and level %u, but is named as one of level %u",
			 (unsigned long long) ref.number, p->kind, p->level, level);
	base__count_corrupt();
	return corrupt(keep, ref, text);
}

static void
note_want(BaseKeep *keep, BaseRef ref, uint32 level)
{
	KeepWant   *free_want = NULL;

	for (uint32 i = 0; i < BASE_KEEP_WANTS; i++)
	{
		KeepWant   *w = &keep->want[i];

		if (w->ref.number == 0)
			free_want = w;
		else if (same_ref(w->ref, ref) && w->level == level)
			return;
	}
	if (free_want != NULL)		/* else it is noted the next time */
		*free_want = (KeepWant) {.ref = ref, .level = level, .keep = keep};
}

static KeptPage *
kept_page(const BaseKeep *keep, BaseRef ref, uint32 level)
{
	for (uint32 i = keep->page_count; i-- > 0;)
		if (same_ref(keep->page[i].buf->ref, ref) && keep->page[i].buf->level == level)
			return &keep->page[i];
	return NULL;
}

BaseResult
base__page(BaseKeep *keep, BaseRef ref, uint32 level, const BasePage **page)
{
	KeptPage   *kept = keep == NULL ? NULL : kept_page(keep, ref, level);
	const BasePage *p;

	if (kept != NULL && kept->buf->error[0] == '\0')
		p = (const BasePage *) kept->buf->page;
	else
		p = buffer_lookup(ref.number, ref.birth);
	if (likely(p != NULL))
	{
		*page = p;
		if (unlikely(p->level != level || p->kind != (level == 0 ? BASE_LEAF : BASE_INNER)))
			return wrong_level(keep, ref, level, p);
		return BASE_FOUND;
	}
	if (kept != NULL)
	{
		if (!kept->needed)
			base__count_corrupt();
		kept->needed = true;
		return corrupt(keep, ref, kept->buf->error);
	}
	if (keep != NULL)
		note_want(keep, ref, level);
	return BASE_MISS;
}

static BaseResult
extent_value(BaseKeep *keep, const BaseLeafEntry *e, BaseValue *out)
{
	KeptValue  *value = keep->values;

	while (value != NULL && !(same_ref(value->ref, e->extent) && value->len == e->value_len))
		value = value->next;
	if (value == NULL)
	{
		if (keep->value_read == NULL)
		{
			keep->value_ref = e->extent;
			keep->value_pages = e->extent_pages;
			keep->value_len = e->value_len;
		}
		return BASE_MISS;
	}
	if (value->data == NULL)
	{
		if (!value->needed)
			base__count_corrupt();
		value->needed = true;
		return corrupt(keep, value->ref, value->error);
	}
	out->data = value->data;
	return BASE_FOUND;
}

BaseResult
base__value(BaseKeep *keep, const BaseLeafEntry *e, bool with_value, BaseValue *out)
{
	out->lsn = e->lsn;
	out->expiry = e->expiry;
	out->len = e->value_len;
	out->data = e->value;
	if (e->value != NULL || !with_value)
		return BASE_FOUND;
	return keep == NULL ? BASE_MISS : extent_value(keep, e, out);
}

BaseResult
base_get(const BaseRoot *root, const void *key, uint32 key_len, bool with_value, BaseKeep *keep, BaseValue *out)
{
	BaseRef		ref = root->page;
	uint32		level = root->levels;
	const BasePage *page;
	BaseLeafEntry entry;
	BaseResult	result;
	uint32		at;
	bool		exact;

	Assert(epoch_inside());
	if (ref.number == 0)
		return BASE_ABSENT;
	for (;;)
	{
		result = base__page(keep, ref, --level, &page);
		if (result != BASE_FOUND || level == 0)
			break;
		ref = base_inner_child(page, base_inner_search(page, key, key_len), NULL);
	}
	if (result == BASE_FOUND)
	{
		at = base_page_search(page, key, key_len, &exact);
		if (!exact)
			return BASE_ABSENT;
		base_leaf_entry(page, at, &entry);
		result = base__value(keep, &entry, with_value, out);
	}
	if (result == BASE_MISS && keep != NULL)
		keep->misses++;
	return result;
}

void
base_read_start(BaseKeep *keep)
{
	Verify(keep->magic == BASE_KEEP_MAGIC);
	Assert(!epoch_inside());
	tell(keep);
	for (uint32 i = 0; i < BASE_KEEP_WANTS; i++)
		if (keep->want[i].ref.number != 0 && keep->want[i].read == NULL)
			base__read_page(&keep->want[i]);
	if (keep->value_ref.number != 0 && keep->value_read == NULL)
		base__read_value(keep);
	for (uint32 i = 0; i < keep->ahead_count; i++)
		base__read_ahead(keep->ahead[i], keep->ahead_level[i]);
	keep->ahead_count = 0;
	base__read_submit();
}
