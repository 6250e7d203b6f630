/*
 * proc.c -- process slots: who is who, and what others may read of a process.
 *
 * The slots lie in region PROCS, one per process of proc_kinds.h, numbered in
 * the order of that list: 0 the postmaster, then startup, walwriter,
 * checkpointer, evictor, expirer, then the workers.  A slot is written by the process that is
 * attached to it; the fields that others may touch say so in proc.h.
 *
 * Number and kind follow from the list alone, so the postmaster can speak of a
 * slot whatever a dying process has written into it.
 *
 * Every process runs this.  Nothing here locks or sleeps.  A process that dies
 * leaves its slot as it stood: the postmaster reads 'doing' for its message, and
 * clears the pid after waitpid.
 */
#include "storage/ipc/proc.h"
#include "utils/elog.h"

#include <bsd/string.h>
#include <bsd/unistd.h>
#include <stdarg.h>
#include <unistd.h>

_Thread_local ProcSlot *my_slot;
uint32		proc_slot_count;

static ProcSlot *slots;
static char *title_mark;		/* end of the program's name as it was called; NULL: titles are not set up */
static size_t title_room;		/* bytes of the program's name as it was called */

typedef struct ProcKindEntry
{
	const char *name;
	uint32		slots;			/* 0: the workers */
} ProcKindEntry;

static const ProcKindEntry kinds[PROC_KIND_COUNT] = {
#define PROC_KIND(symbol, name, slots, fn, text) [PROC_##symbol] = {name, slots},
#include "storage/ipc/proc_kinds.h"
#undef PROC_KIND
};

static const char *const wait_names[WAIT_EVENT_COUNT] = {
#define WAIT_EVENT(symbol, name, text) [WAIT_##symbol] = name,
#include "storage/ipc/wait_events.h"
#undef WAIT_EVENT
};

static_assert(PROC_WORKER == PROC_KIND_COUNT - 1, "the workers' slots come last: their number is a setting");
static_assert(PROC_POSTMASTER == 0, "the postmaster has slot 0");

void
proc_configure(uint32 workers)
{
	Verify(workers > 0 && proc_first_slot(PROC_WORKER) + workers <= PROC_SLOTS_MAX);
	proc_slot_count = proc_first_slot(PROC_WORKER) + workers;
}

size_t
proc_region_size(void)
{
	Verify(proc_slot_count > 0 && proc_slot_count <= PROC_SLOTS_MAX);
	return proc_slot_count * sizeof(ProcSlot);
}

ProcKind
proc_kind_of(uint32 number)
{
	uint32		first = 0;

	for (int kind = 0; kind < PROC_KIND_COUNT; kind++)
	{
		if (kinds[kind].slots == 0 || number < first + kinds[kind].slots)
			return (ProcKind) kind;
		first += kinds[kind].slots;
	}
	NotReached();
}

void
proc_region_init(void *region)
{
	slots = region;
	for (uint32 i = 0; i < proc_slot_count; i++)
	{
		memset(&slots[i], 0, sizeof(ProcSlot));
		slots[i].magic = PROC_SLOT_MAGIC;
		slots[i].number = i;
		slots[i].kind = (uint32) proc_kind_of(i);
	}
}

ProcSlot *
proc_slot(uint32 number)
{
	Verify(number < proc_slot_count);
	return &slots[number];
}

const char *
proc_kind_name(ProcKind kind)
{
	Verify((unsigned) kind < PROC_KIND_COUNT);
	return kinds[kind].name;
}

uint32
proc_first_slot(ProcKind kind)
{
	uint32		first = 0;

	Verify((unsigned) kind < PROC_KIND_COUNT);
	for (int k = 0; k < (int) kind; k++)
		first += kinds[k].slots;
	return first;
}

/* proc_kind_slots -- how many slots a kind has; unit tests with few slots may have no worker. */
uint32
proc_kind_slots(ProcKind kind)
{
	Verify((unsigned) kind < PROC_KIND_COUNT);
	if (kinds[kind].slots != 0)
		return kinds[kind].slots;
	return proc_slot_count > proc_first_slot(kind) ? proc_slot_count - proc_first_slot(kind) : 0;
}

void
proc_attach(uint32 number)
{
	ProcSlot   *slot = proc_slot(number);

	Verify(slot->magic == PROC_SLOT_MAGIC && slot->number == number);
	my_slot = slot;
	/* relaxed: for people, and for the postmaster, which knows it anyhow */
	atomic_store_explicit(&slot->pid, (uint32) getpid(), memory_order_relaxed);
	(void) strlcpy(slot->doing, "starting", sizeof(slot->doing));
}

const char *
proc_name(uint32 number, char *name, size_t size)
{
	ProcKind	kind = proc_kind_of(number);

	if (kinds[kind].slots == 1)
		(void) strlcpy(name, kinds[kind].name, size);
	else
		(void) snprintf(name, size, "%s %u", kinds[kind].name, number - proc_first_slot(kind) + 1);
	return name;
}

const char *
proc_wait_name(uint32 event)
{
	return event < WAIT_EVENT_COUNT ? wait_names[event] : "";
}

void
proc_init_titles(int argc, char **argv, char **envp)
{
	title_room = strlen(argv[0]);
	title_mark = argv[0] + title_room;
	setproctitle_init(argc, argv, envp);
}

void
proc_set_title(const char *fmt, ...)
{
	static char last[128];
	char		detail[96];
	char		title[sizeof(last)];
	char		name[PROC_NAME_MAX];
	va_list		args;

	va_start(args, fmt);
	(void) vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	(void) snprintf(title, sizeof(title), "%s%s%s", proc_name(my_slot->number, name, sizeof(name)),
					detail[0] != '\0' ? ": " : "", detail);
	if (title_mark == NULL || strcmp(title, last) == 0)
		return;
	(void) strlcpy(last, title, sizeof(last));
	setproctitle("-artery: %s", title);	/* '-': without libbsd's own prefix */
	/* behind a title not longer than the program's name libbsd puts a '.' or a blank that ps would show */
	if (strlen("artery: ") + strlen(title) <= title_room)
		*title_mark = '\0';
}
