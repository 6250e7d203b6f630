/*
 * store_release.c -- versions that were linked for snapshots, and that none needs any more, go.
 *
 * Links are made while a snapshot is open (store_snapshot.c) and never change: a chain
 * becomes shorter when its head is written anew, or here.  The walk goes over the heads
 * that may have links.  Of each chain it finds the versions that no open snapshot needs;
 * if there are any, the head is replaced by a copy, by one CAS, whose chain leads past
 * them.  A version in between that is still needed but leads to one that is not, is
 * copied as well, for its link cannot change; from behind the last one that goes, the old
 * chain is used as it is.
 *
 *	head -> A -> B -> C -> D      B and C are not needed, A and D are:
 *	head' -> A' -> D              retired: head and A as shells (their extents are the
 *	                              copies'), B and C whole
 *
 * Needed is, for each open position t, the newest version at or below t.  The table is read
 * inside the epoch in which the head was found.  A snapshot that is announced later has a
 * position above everything that was published when that epoch was left: the head, or
 * what comes after it, is its version, never one behind the head.  With a position UNKNOWN
 * the chain stays as it is: whoever publishes next may need all of it.
 *
 * Who wins the CAS retires what the new chain does not reach; a writer, or another
 * release, that is faster makes it fail, and the chain is looked at again as he has left it.
 * Two run at the same time: the checkpointer's, after each checkpoint, and the
 * evictor's, after each snapshot that was closed.  Memory for copies may come from the
 * reserve, for this gives memory back.
 *
 * Outside an epoch, in bounded pieces.  A process that dies here leaves blocks that belong
 * to nobody; the chains are whole at every instruction.
 */
#include "common/c.h"

#include "access/store/store_internal.h"
#include "common/figure.h"
#include "storage/mem/heap.h"

#define RELEASE_STEPS 256
#define COPIES_MAX STORE_SNAPSHOTS	/* each is needed by another position */

/* Chain -- what is to become of one */
typedef struct Chain
{
	Leaf	   *head;
	Leaf	   *kept[COPIES_MAX];	/* behind the head, the newest first, each with one that goes behind it */
	uint32		kept_count;
	Off			rest;			/* from here on the old chain stays */
	bool		shorter;		/* something goes */
	Off			copy[COPIES_MAX];
	Off			head_copy;
} Chain;

/* needed -- is there an open position at or above this version and below the one before it? */
static bool
needed(const StoreOpen *open, const Leaf *version, Lsn newer)
{
	for (uint32 i = 0; i < open->count; i++)
		if (version->lsn <= open->at[i] && open->at[i] < newer)
			return true;
	return false;
}

/* plan -- which versions stay; kept[] ends with the last one that must be copied. */
static void
plan(Chain *c, const StoreOpen *open, Leaf *head)
{
	Lsn			newer = head->lsn;
	uint32		count = 0;

	memset(c, 0, offsetof(Chain, copy));
	c->head = head;
	for (Off off = leaf_link(head); off != 0; off = leaf_link(seg_ptr(off)))
	{
		Leaf	   *version = seg_ptr(off);

		if (needed(open, version, newer))
		{
			Assert(count < COPIES_MAX);
			c->kept[count++] = version;
			newer = version->lsn;
			continue;
		}
		c->shorter = true;
		c->kept_count = count;
		c->rest = leaf_link(version);
	}
}

static void
free_copies(Chain *c)
{
	for (uint32 i = 0; i < c->kept_count; i++)
		if (c->copy[i] != MEM_NONE)
			leaf_free_shell(c->copy[i]);
	if (c->head_copy != MEM_NONE)
		leaf_free_shell(c->head_copy);
}

/* make_copy -- the same version that leads to 'link'. */
static Off
make_copy(const Leaf *from, Off link, uint16 drop)
{
	Off			copy = leaf_copy(from, drop | (link == 0 ? LEAF_HAS_LINK : 0));

	if (copy != MEM_NONE && link != 0)
		leaf_set_link(seg_ptr(copy), link);
	return copy;
}

/* make_copies -- false: no memory, nothing is kept. */
static bool
make_copies(Chain *c, Lsn cut)
{
	uint16		drop = 0;
	Off			link = c->rest;

	memset(c->copy, 0, c->kept_count * sizeof(c->copy[0]));
	c->head_copy = MEM_NONE;
	for (uint32 i = c->kept_count; i-- > 0;)
	{
		c->copy[i] = make_copy(c->kept[i], link, 0);
		if (c->copy[i] == MEM_NONE)
		{
			free_copies(c);
			return false;
		}
		link = c->copy[i];
	}
	if ((leaf_flags(c->head) & LEAF_UNKNOWN) && leaf_first(c->head) <= cut)
		drop = LEAF_UNKNOWN;	/* looked up by now */
	c->head_copy = make_copy(c->head, link, drop);
	if (c->head_copy == MEM_NONE)
		free_copies(c);
	return c->head_copy != MEM_NONE;
}

/* retire_old -- we have put head_copy in the head's place. */
static void
retire_old(const Chain *c)
{
	uint32		at = 0;
	Off			off = leaf_link(c->head);
	uint64		gone = 0;
	uint64		come = 0;

	while (off != c->rest)
	{
		Leaf	   *version = seg_ptr(off);
		Off			next = leaf_link(version);

		gone += leaf_bytes(version);
		if (at < c->kept_count && version == c->kept[at])
		{
			come += leaf_bytes(seg_ptr(c->copy[at]));
			leaf_retire_shell(off);
			at++;
		}
		else
			leaf_retire(off);
		off = next;
	}
	leaf_retire_shell(seg_off(c->head));
	figure_add(&store_shared->counts[my_slot->number].linked_bytes, come);
	figure_add(&store_shared->counts[my_slot->number].unlinked_bytes, gone);
}

/* release_head -- inside the epoch; 'open' was read in it. */
static void
release_head(LinkRelease *r, const StoreOpen *open, Leaf *head)
{
	const uint8 *key = leaf_key(head);	/* readable in the epoch, whatever becomes of the head */
	uint32		key_len = head->key_len;
	Chain		c;

	while (head != NULL && (leaf_flags(head) & LEAF_DESCRIPTOR) == 0 && leaf_link(head) != 0)
	{
		if (open->any && open->unknown)
		{
			r->missed++;
			return;
		}
		plan(&c, open, head);
		if (!c.shorter)
			return;
		if (!make_copies(&c, r->cut))
		{
			r->missed++;
			return;
		}
		/* who dies between publishing and filling in is found by descent, or by this mark */
		if (head->lsn > wal_completed_lsn())
			art_mark_seen(head);
		if (art_replace_leaf(&store_shared->root, key, key_len, head, c.head_copy))
		{
			retire_old(&c);
			r->released++;
			return;
		}
		free_copies(&c);
		/* a writer has replaced the head and given its chain back; or a collapse has, by a copy that has the link */
		if (art_lookup(&store_shared->root, key, key_len) == head)
		{
			r->missed++;		/* it is there, but a frozen node could not be helped for want of memory */
			return;
		}
		head = art_lookup(&store_shared->root, key, key_len);
		if (head != NULL && (leaf_flags(head) & LEAF_DESCRIPTOR))
			r->missed++;		/* a transaction holds it: what it holds will be a head again */
	}
}

bool
store__release_piece(LinkRelease *r)
{
	ArtCursor  *c = art_cursor(0);
	bool		end = false;
	StoreOpen	open;

	epoch_enter();
	open.count = 0;
	store__open_snapshots(&open);
	art_seek_dirty(c, &store_shared->root, r->from_len > 0 ? r->from : NULL, r->from_len, true, r->since);
	for (int i = 0; i < RELEASE_STEPS; i++)
	{
		Leaf	   *leaf = art_next(c);

		end = leaf == NULL;
		if (end || !mem_retire_ready())
			break;
		r->looked++;
		memcpy(r->from, leaf_key(leaf), leaf->key_len);
		r->from_len = leaf->key_len;
		if (leaf_flags(leaf) & LEAF_DESCRIPTOR)
			r->missed++;		/* what it holds will be a head again */
		else if (leaf_link(leaf) != 0)
			release_head(r, &open, leaf);
	}
	epoch_leave();
	return end;
}
