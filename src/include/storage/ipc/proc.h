/*
 * proc.h -- process slots: what others must know of a process, readable at every
 * instruction, whether it lives, stands still or is dead.
 *
 * One slot per process (threads take slots of their own in unit tests).  A slot
 * belongs to the process named in it; others read it, and CAS only the words
 * whose comment says so.  Slots stay valid after a death, for the one who tidies.
 */
#ifndef ARTERY_STORAGE_IPC_PROC_H
#define ARTERY_STORAGE_IPC_PROC_H

#include "common/c.h"
#include "common/figure.h"
#include "storage/ipc/segment.h"

#define PROC_SLOTS_MAX 1023			/* 10 bits in the insert word; the last value is "nobody" */
#define PROC_SLOT_NONE 1023
#define PROC_DOING_MAX 64
#define PROC_SLOT_MAGIC 0x544f4c53

typedef enum ProcKind
{
#define PROC_KIND(symbol, name, slots, fn, text) PROC_##symbol,
#include "storage/ipc/proc_kinds.h"
#undef PROC_KIND
	PROC_KIND_COUNT
} ProcKind;

/* stop_order: what the postmaster wants of a process; the signal that follows only makes it look */
enum { PROC_STOP_NONE = 0, PROC_STOP_SMART = 1, PROC_STOP_FAST = 2 };

/* wal_word: state in the low 2 bits, (start LSN / 8) << 2 above */
enum { WAL_RES_IDLE = 0, WAL_RES_TENTATIVE = 1, WAL_RES_OWNED = 2 };

typedef struct ProcSlot
{
	uint32		magic;
	uint32		number;					/* constant after start */
	uint32		kind;					/* ProcKind, constant after start */
	_Atomic uint32 pid;					/* 0: nobody.  Written by the owner at its start, by the postmaster after waitpid */
	_Atomic uint32 stop_order;		/* the postmaster stores it before it signals; the owner's handlers read it */
	char		doing[PROC_DOING_MAX];	/* text for people; torn reads are harmless */

	/* epoch.h: (epoch << 1) | active; owner writes, all read */
	alignas(CACHE_LINE) _Atomic uint64 epoch_word;
	uint32		epoch_depth;			/* nesting; owner only */

	/* the reservation; wal_word is CASed TENTATIVE -> OWNED by others */
	alignas(CACHE_LINE) _Atomic uint64 wal_word;
	_Atomic uint64 wal_len;				/* stored before wal_word says TENTATIVE */
	_Atomic uint64 wal_leaf;			/* Off of the new leaf */

	/* intent of a structural CAS: slot words and the Off of the slot; the owner writes, helpers and a successor read */
	_Atomic uint64 intent_parent;
	_Atomic uint64 intent_old;
	_Atomic uint64 intent_new;

	/* waiting: the least LSN that this process wants flushed; 0 none, 1 any progress.
	 * The owner stores; the walwriter resets to 0 by CAS as it wakes it. */
	alignas(CACHE_LINE) _Atomic uint64 wait_lsn;
	_Atomic uint32 wait_count;			/* replies parked: commit_siblings looks at it */
	_Atomic uint32 latch;				/* latch.h */
	_Atomic uint32 wait_event;			/* index into wait_events.h, for status */

	/* counters, owner writes (relaxed), all read */
	alignas(CACHE_LINE) _Atomic uint64 clients;
	_Atomic uint64 heartbeat;			/* raised once per loop turn: the stall watchdog */
} ProcSlot;

/* WaitEvent -- what a process sleeps for: status and the log name it. */
typedef enum WaitEvent
{
#define WAIT_EVENT(symbol, name, text) WAIT_##symbol,
#include "storage/ipc/wait_events.h"
#undef WAIT_EVENT
	WAIT_EVENT_COUNT
} WaitEvent;

extern _Thread_local ProcSlot *my_slot;	/* this process' slot; threads in unit tests set their own */
extern uint32 proc_slot_count;			/* constant after start */

/* proc_configure -- sets proc_slot_count for so many workers; the postmaster, before segment_create. */
extern void proc_configure(uint32 workers);

extern size_t proc_region_size(void);
extern void proc_region_init(void *region);
extern ProcSlot *proc_slot(uint32 number);
extern const char *proc_kind_name(ProcKind kind);
extern ProcKind proc_kind_of(uint32 number);	/* from the list; reads no shared memory */
extern uint32 proc_first_slot(ProcKind kind);	/* workers: first + index */
extern uint32 proc_kind_slots(ProcKind kind);
/* proc_attach -- this process (or test thread) is slot 'number' from now on: sets my_slot, pid, doing. */
extern void proc_attach(uint32 number);
/* proc_name -- "walwriter", "worker 2" (numbered from 1); returns 'name'. */
extern const char *proc_name(uint32 number, char *name, size_t size);
#define PROC_NAME_MAX 32

/*
 * proc_set_title -- what ps shows: "artery: worker 2: 14 clients" for
 * proc_set_title("%u clients", 14); "" for the name alone.  Writes nothing when
 * the text is unchanged.  Own process only; not for threads.
 */
extern void proc_set_title(const char *fmt, ...) attribute_printf(1, 2);
/* proc_init_titles -- main(), first of all: moves argv and environment out of the way (libbsd). */
extern void proc_init_titles(int argc, char **argv, char **envp);

/* proc_heartbeat -- once per turn of a process' loop: the stall watchdog sees that it moves. */
static inline void
proc_heartbeat(void)
{
	figure_add(&my_slot->heartbeat, 1);
}

/* proc_set_wait -- note what this process is about to sleep for; WAIT_NONE when it is back. */
static inline void
proc_set_wait(WaitEvent event)
{
	/* relaxed: a figure for status */
	atomic_store_explicit(&my_slot->wait_event, (uint32) event, memory_order_relaxed);
}

extern const char *proc_wait_name(uint32 event);	/* "" for WAIT_NONE or an unknown number */

#endif
