/*
 * latch.c -- waking processes that sleep: a word in the segment, an eventfd each.
 *
 * The eventfds are made once by the postmaster and inherited; a segment that is
 * made anew after a crash keeps them (a stale count in one is a wake-up too many,
 * never one too few).
 *
 * Why no wake-up is lost.  The word takes its changes one after the other:
 *   setter: condition := true; w := word.fetch_or(SET); if w had SLEEPING: write(eventfd)
 *   owner:  word.exchange(0); looks at conditions; w := word.fetch_or(SLEEPING); if w had SET: no sleep
 * If the setter's fetch_or stands before the owner's exchange, the owner sees the
 * condition (release, acquire).  If it stands between exchange and fetch_or, the
 * owner sees SET.  If it stands behind, the setter sees SLEEPING and writes.
 * The write may come after the owner has gone on for another reason: then the
 * count stays in the eventfd, the next sleep ends at once, and the reset after it
 * drains, because the word says SLEEPING.
 *
 * Any process; latch_set is async-signal-safe.  A setter that dies between its
 * fetch_or and its write loses a wake-up: a process that dies so is followed by a
 * restart of all.
 */
#include "storage/ipc/latch.h"
#include "storage/ipc/procsignal.h"
#include "utils/elog.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static int	event_fd[PROC_SLOTS_MAX];
static uint32 event_count;

void
latch_create_all(void)
{
	for (; event_count < proc_slot_count; event_count++)
	{
		event_fd[event_count] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (event_fd[event_count] < 0)
			ereport_hint(FATAL, "Raise the limit on open files (ulimit -n) or lower workers.",
						 "could not make an event descriptor: %m");
	}
}

void
latch_set(uint32 slot_number)
{
	uint32		old;

	/* release [latch]: the condition that was stored before; seq_cst: see the essay */
	old = atomic_fetch_or_explicit(&proc_slot(slot_number)->latch, LATCH_SET, memory_order_seq_cst);
	if ((old & (LATCH_SET | LATCH_SLEEPING)) == LATCH_SLEEPING)
	{
		const uint64 one = 1;
		int			saved_errno = errno;

		/* EAGAIN: the count stands at its maximum, so it is readable.  EINTR does not happen to a non-blocking eventfd. */
		if (write(event_fd[slot_number], &one, sizeof(one)) < 0)
			Verify(errno == EAGAIN);
		errno = saved_errno;
	}
}

void
latch_set_own_from_signal(void)
{
	if (my_slot != NULL)
		latch_set(my_slot->number);
}

void
latch_reset(void)
{
	uint32		old;

	/* relaxed: nothing set means nobody has been here since the last reset; a setter to come finds no sleeper but leaves SET */
	if (atomic_load_explicit(&my_slot->latch, memory_order_relaxed) == 0)
		return;
	old = atomic_exchange_explicit(&my_slot->latch, 0, memory_order_seq_cst);	/* acquire [latch] */
	if ((old & LATCH_SLEEPING) != 0)
	{
		uint64		count;

		if (read(event_fd[my_slot->number], &count, sizeof(count)) < 0)
			Verify(errno == EAGAIN);
	}
}

bool
latch_prepare_sleep(void)
{
	uint32		old;

	/* seq_cst: the word's changes in one order with the setters' conditions, see the essay */
	old = atomic_fetch_or_explicit(&my_slot->latch, LATCH_SLEEPING, memory_order_seq_cst);
	/* SLEEPING may stay behind on false: the reset that follows clears it; a write too many does no harm */
	return (old & LATCH_SET) == 0;
}

int
latch_fd(void)
{
	return event_fd[my_slot->number];
}

void
latch_sleep(int64 timeout_us)
{
	struct pollfd fds[2];
	struct timespec timeout;
	int			n;

	if (!latch_prepare_sleep())
		return;
	fds[0] = (struct pollfd) {.fd = latch_fd(), .events = POLLIN};
	fds[1] = (struct pollfd) {.fd = procsignal_death_fd(), .events = POLLIN};	/* -1 is passed over by poll */
	timeout.tv_sec = (time_t) (timeout_us / 1000000);
	timeout.tv_nsec = (long) (timeout_us % 1000000) * 1000;
	n = ppoll(fds, 2, timeout_us < 0 ? NULL : &timeout, NULL);
	if (n < 0)
		Verify(errno == EINTR);
	else if (n > 0 && fds[1].revents != 0)
		_exit(PROC_EXIT_QUIT);	/* the postmaster is dead */
}
