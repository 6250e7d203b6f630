/*
 * serve.c -- a worker's loop.
 *
 * One turn:
 *   (1) clear the latch; settings, stop orders, kills, connections handed over
 *   (2) messages from other workers; memory: grow ahead, reclaim
 *   (3) reap pages of the base that were read; run again what can go on: queues of
 *       parked commands
 *   (4) ask the walwriter for what this turn's replies wait for
 *   (5) release what the log allows by now, send
 *   (6) sleep, unless something is left to do; the same system call submits the
 *       sends and brings completions: received bytes become commands in there
 *
 * Sleeping without losing a wake-up: whoever waits for the log says so
 * (wal_wait_begin) and looks once more, then announces the sleep; from then on
 * the walwriter's, a killer's or the postmaster's latch_set ends it.
 *
 * Pages: base_read_fd is watched like the latch.  A page that another worker reads
 * has no descriptor here, so that while one is waited for the sleep is short.
 *
 * A worker never blocks on the log, on a page, on another process or on a client.
 */
#include "common/c.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "access/base/base_read.h"
#include "access/wal/wal_feed.h"
#include "net/net.h"
#include "net/net_internal.h"
#include "storage/ipc/latch.h"
#include "storage/ipc/proc.h"
#include "storage/ipc/procsignal.h"
#include "storage/mem/heap.h"
#include "tcop/stats.h"
#include "utils/clock.h"
#include "utils/elog.h"
#include "utils/settings.h"

#define SLEEP_MAX_US 1000000	/* idle: figures and timeouts are looked at once a second */
#define MAP_POLL_US 200			/* somebody is changing the map of databases: a grace period */
#define FOREIGN_POLL_US 200	/* another worker reads a page that is wanted here, too */
#define STOP_FAST_US 2000000	/* how long replies at the gate may hold up a fast stop */
#define DESCRIPTORS_SPARE 64

NetWorker	net__worker;
const EventOps *net__event;

size_t
net_region_size(void)
{
	return AlignUp(stats_region_size(proc_kind_slots(PROC_WORKER)), CACHE_LINE) +
		client_table_size((uint32) set_max_clients);
}

void
net_region_init(void *region)
{
	uint32		workers = proc_kind_slots(PROC_WORKER);

	stats_region_init(region, workers);
	client_table_init((char *) region + AlignUp(stats_region_size(workers), CACHE_LINE), (uint32) set_max_clients,
					  workers, proc_first_slot(PROC_WORKER));
}

/* ---- start ---- */

/* choose_event_method -- the one that is set, or epoll where the system refuses it. */
static void
choose_event_method(void)
{
	char		why[256];

	net__event = set_event_method == EVENT_METHOD_EPOLL ? &net__event_epoll : &net__event_uring;
	if (!net__event->open(why, sizeof(why)))
	{
		if (net__event == &net__event_epoll)
			ereport(FATAL, "could not create an epoll descriptor: %s", why);
		ereport(LOG, "io_uring is refused (%s): this worker uses epoll", why);
		net__event = &net__event_epoll;
		if (!net__event->open(why, sizeof(why)))
			ereport(FATAL, "could not create an epoll descriptor: %s", why);
	}
	/* relaxed: for people */
	atomic_store_explicit(&stats_mine->event_method, net__event->method, memory_order_relaxed);
}

/* raise_descriptor_limit -- enough for every client there may be on this worker. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;
	rlim_t		wanted = (rlim_t) set_max_clients + DESCRIPTORS_SPARE;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? wanted : Min(wanted, limit.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	if (net__worker.index == 0 && limit.rlim_cur * proc_kind_slots(PROC_WORKER) < wanted)
		ereport(LOG, "the limit on open files allows %llu per worker, less than max_clients needs",
				(unsigned long long) limit.rlim_cur);
}

static void
start(void)
{
	NetWorker  *w = &net__worker;

	memset(w, 0, sizeof(*w));
	w->index = my_slot->number - proc_first_slot(PROC_WORKER);
	TAILQ_INIT(&w->all);
	for (int i = 0; i < QUEUE_COUNT; i++)
		TAILQ_INIT(&w->queue[i]);
	TAILQ_INIT(&w->gated);
	TAILQ_INIT(&w->dirty);
	TAILQ_INIT(&w->dirty_pushed);
	TAILQ_INIT(&w->gone);
	w->now_us = clock_mono_us();
	/* relaxed: kills of before are not for our clients */
	w->kills_seen = atomic_load_explicit(&client_table->worker[w->index].kills, memory_order_relaxed);
	tcop_pushed = net__conn_pushed;
	tcop_start(w->index);
	raise_descriptor_limit();
	choose_event_method();
	net__event->watch(WATCH_LATCH, latch_fd());
	net__event->watch(WATCH_HANDOVER, net__handover_fd(w->index));
	if (procsignal_death_fd() >= 0)
		net__event->watch(WATCH_POSTMASTER, procsignal_death_fd());
	w->handover_waiting = true;
	proc_set_title("%u clients", 0);
}

/* net__on_awake -- the wait is over: the commands that follow see time and settings as they are now. */
void
net__on_awake(void)
{
	settings_apply_shared();
	net__worker.now_us = clock_mono_us();
	tcop_turn(net__worker.now_us);
}

void
net__on_watch(int which)
{
	switch (which)
	{
		case WATCH_LATCH:
		case WATCH_BASE:
		case WATCH_FEED:
			break;				/* the turn that follows looks at everything */
		case WATCH_HANDOVER:
			net__worker.handover_waiting = true;
			break;
		case WATCH_POSTMASTER:
			_exit(PROC_EXIT_QUIT);
	}
}

/* begin_serving -- recovery is over: the base can be read from now on. */
static void
begin_serving(void)
{
	if (!tcop_serve())
		return;
	net__worker.serving = true;
	if (base_read_fd() >= 0)
		net__event->watch(WATCH_BASE, base_read_fd());
}

/* ---- (1) orders from outside ---- */
static void
close_listeners(void)
{
	for (int i = 0; i < net__listener_count; i++)
	{
		Listener   *l = &net__listener[i];

		if (l->fd < 0)
			continue;
		if (l->accepting)
			net__event->listen_stop(l);
		close(l->fd);
		l->fd = -1;
	}
}

static void
begin_fast_stop(void)
{
	NetWorker  *w = &net__worker;
	Conn	   *next;

	w->phase = STOPPING_FAST;
	w->stop_deadline_us = w->now_us + STOP_FAST_US;
	for (Conn *c = TAILQ_FIRST(&w->all); c != NULL; c = next)
	{
		next = TAILQ_NEXT(c, all_link);
		if (c->stopping)
			continue;
		/* commands that have not been answered are not applied, or not known to be */
		net__conn_queue(c, QUEUE_NONE);
		tcop_cancel(&c->session);
		output_cut(&c->session.out, Max(c->session.out.consumed, net__gate_end(c)));
		net__conn_dirty(c);
	}
}

static void
obey(void)
{
	NetWorker  *w = &net__worker;
	uint32		state = atomic_load_explicit(&seg_control->server_state, memory_order_acquire);	/* acquire [server-state] */

	if (unlikely(proc_reload))
	{
		proc_reload = 0;
		settings_reload();
	}
	settings_apply_shared();
	if (likely(state < SERVER_STOPPING_SMART && !proc_stop_smart && !proc_stop_fast))
		return;
	if (w->phase == SERVING)
	{
		w->phase = STOPPING_SMART;
		close_listeners();
	}
	if (w->phase == STOPPING_SMART && (state == SERVER_STOPPING_FAST || proc_stop_fast))
		begin_fast_stop();
}

static void
start_accepting(void)
{
	for (int i = 0; i < net__listener_count; i++)
	{
		Listener   *l = &net__listener[i];

		if (l->fd >= 0 && !l->accepting && l->retry_us <= net__worker.now_us)
			net__event->listen_start(l);
	}
}

static void
take_over(void)
{
	int			fd;
	bool		is_unix;

	net__worker.handover_waiting = false;
	while (net__handover_receive(&fd, &is_unix))
	{
		if (net__worker.phase != STOPPING_FAST)
			net__conn_open(fd, is_unix);
		else
		{
			close(fd);
			client_worker_give(net__worker.index);
			client_place_give();
		}
	}
}

/* obey_unblock -- CLIENT UNBLOCK; one that does not wait any more has nothing to be freed from. */
static void
obey_unblock(Conn *c)
{
	/* relaxed: the count published it */
	uint64		unblock = atomic_exchange_explicit(&c->session.entry->unblock_id, 0, memory_order_relaxed);

	if (unblock >> 1 != c->session.id || c->queue != QUEUE_WAIT)
		return;
	tcop_unblock(&c->session, (unblock & 1) != 0);
	net__conn_queue(c, QUEUE_READY);
}

/* obey_kills -- CLIENT KILL and UNBLOCK by clients of any worker. */
static void
obey_kills(void)
{
	NetWorker  *w = &net__worker;
	uint32		kills = atomic_load_explicit(&client_table->worker[w->index].kills, memory_order_acquire);	/* acquire [client-kill] */
	Conn	   *next;

	if (likely(kills == w->kills_seen))
		return;
	w->kills_seen = kills;
	for (Conn *c = TAILQ_FIRST(&w->all); c != NULL; c = next)
	{
		next = TAILQ_NEXT(c, all_link);
		/* relaxed: the count published it */
		if (!c->stopping && atomic_load_explicit(&c->session.entry->unblock_id, memory_order_relaxed) != 0)
			obey_unblock(c);
		if (!c->stopping && atomic_load_explicit(&c->session.entry->kill_id, memory_order_relaxed) == c->session.id)
			net__conn_close(c);
	}
}

/* ---- (3) commands that may go on ---- */

/* resume_all -- everything that stands in this queue now, once. */
static void
resume_all(ConnQueue queue)
{
	NetWorker  *w = &net__worker;

	for (uint32 n = w->parked[queue]; n > 0 && !TAILQ_EMPTY(&w->queue[queue]); n--)
	{
		Conn	   *c = TAILQ_FIRST(&w->queue[queue]);

		net__conn_queue(c, QUEUE_NONE);
		net__request_resume(c);
	}
}

static LogProgress
log_progress(void)
{
	/* relaxed: only whether they have changed is looked at; wal reads them anew, in its own order */
	return (LogProgress) {
		wal_flushed_lsn(),
		atomic_load_explicit(&wal_shared->prepared, memory_order_relaxed),
		atomic_load_explicit(&wal_shared->space_errno, memory_order_relaxed)
	};
}

static bool
log_progressed(void)
{
	LogProgress now = log_progress();
	const LogProgress *then = &net__worker.progress;

	return now.flushed != then->flushed || now.prepared != then->prepared || now.space_errno != then->space_errno;
}

static void
resume_waiting(void)
{
	NetWorker  *w = &net__worker;
	Lsn			flushed = wal_flushed_lsn();
	Conn	   *next;

	for (Conn *c = TAILQ_FIRST(&w->queue[QUEUE_WAIT]); c != NULL && c->session.wait_lsn < LSN_WAKE; c = next)
	{
		Session    *s = &c->session;

		next = TAILQ_NEXT(c, queue_link);
		if (flushed >= s->wait_lsn || (s->deadline_us != 0 && w->now_us >= s->deadline_us))
		{
			net__conn_queue(c, QUEUE_NONE);
			net__request_resume(c);
		}
	}
}

/* resume_timeouts -- of those whom no LSN helps, however many they are: only when the time of one of them may have come. */
static void
resume_timeouts(void)
{
	NetWorker  *w = &net__worker;
	Conn	   *before;

	if (w->wake_deadline_us == 0 || w->now_us < w->wake_deadline_us)
		return;
	w->wake_deadline_us = 0;
	/* from the end: who waits again stands there */
	for (Conn *c = TAILQ_LAST(&w->queue[QUEUE_WAIT], ConnList); c != NULL && c->session.wait_lsn >= LSN_WAKE; c = before)
	{
		uint64		deadline_us = c->session.deadline_us;

		before = TAILQ_PREV(c, ConnList, queue_link);
		if (deadline_us == 0)
			continue;
		if (w->now_us >= deadline_us)
		{
			net__conn_queue(c, QUEUE_NONE);
			net__request_resume(c);
		}
		else if (w->wake_deadline_us == 0 || deadline_us < w->wake_deadline_us)
			w->wake_deadline_us = deadline_us;
	}
}

/* resume_pages -- whose pages have all come, whether they can be used or not. */
static void
resume_pages(void)
{
	Conn	   *next;

	for (Conn *c = TAILQ_FIRST(&net__worker.queue[QUEUE_PAGE]); c != NULL; c = next)
	{
		next = TAILQ_NEXT(c, queue_link);
		if (base_keep_pending(c->session.keep) == 0)
			net__conn_queue(c, QUEUE_READY);
	}
}

/* resume_later -- whose time has come. */
static void
resume_later(void)
{
	Conn	   *next;

	for (Conn *c = TAILQ_FIRST(&net__worker.queue[QUEUE_LATER]); c != NULL; c = next)
	{
		next = TAILQ_NEXT(c, queue_link);
		if (net__worker.now_us >= c->session.deadline_us)
			net__conn_queue(c, QUEUE_READY);
	}
}

/* resume_memory -- all that wait for memory, but not in every turn. */
static void
resume_memory(void)
{
	NetWorker  *w = &net__worker;

	if (w->now_us < w->memory_retry_us)
		return;
	w->memory_retry_us = w->now_us + NET_MEMORY_POLL_US;
	resume_all(QUEUE_MEMORY);
}

/* feed_turn -- new log is looked at once for all who wait for changes, and reads of older log are reaped. */
static void
feed_turn(void)
{
	NetWorker  *w = &net__worker;
	Session    *s;

	w->feed_more = false;
	if (w->parked[QUEUE_WAIT] == 0 && wal_feed_in_flight() == 0)
		return;
	w->feed_more = tcop_feed_turn();
	while ((s = tcop_feed_woken()) != NULL)
	{
		Conn	   *c = (Conn *) s;

		if (c->queue != QUEUE_WAIT)
			continue;			/* it is to be run anyway */
		net__conn_queue(c, QUEUE_NONE);
		net__request_resume(c);
	}
	if (!w->feed_watched && wal_feed_fd() >= 0)
	{
		net__event->watch(WATCH_FEED, wal_feed_fd());
		w->feed_watched = true;
	}
}

static void
resume_parked(void)
{
	NetWorker  *w = &net__worker;
	bool		progressed = w->parked[QUEUE_WAL] > 0 && log_progressed();

	/* before anything runs: what parks from here on has seen the log as it is now, or later */
	w->progress = log_progress();
	if (base_read_in_flight() > 0 || base_read_foreign() > 0)
	{
		if (base_read_poll())
			resume_pages();
	}
	if (w->parked[QUEUE_LATER] > 0)
		resume_later();
	if (w->parked[QUEUE_READY] > 0)
		resume_all(QUEUE_READY);
	if (w->parked[QUEUE_MEMORY] > 0)
		resume_memory();
	if (progressed)
		resume_all(QUEUE_WAL);
	if (w->parked[QUEUE_MAP] > 0)
		resume_all(QUEUE_MAP);
	feed_turn();
	if (w->parked[QUEUE_PAUSE] > 0 && tcop_pause_end_us() == 0)
		resume_all(QUEUE_PAUSE);
	if (w->parked[QUEUE_WAIT] > 0)
	{
		resume_waiting();
		resume_timeouts();
	}
}

/* ---- once in a while ---- */
static void
close_idle(void)
{
	NetWorker  *w = &net__worker;
	Conn	   *next;

	if (set_client_timeout == 0)
		return;
	for (Conn *c = TAILQ_FIRST(&w->all); c != NULL; c = next)
	{
		next = TAILQ_NEXT(c, all_link);
		if (!c->stopping && c->queue == QUEUE_NONE && output_pending(&c->session.out) == 0 &&
			w->now_us - c->active_us > (uint64) set_client_timeout * 1000)
		{
			ereport(DEBUG1, "client %llu closed: idle", (unsigned long long) c->session.id);
			net__conn_close(c);
		}
	}
}

static uint64
counted(int which)
{
	return atomic_load_explicit(&stats_mine->value[which], memory_order_relaxed);	/* relaxed: our own */
}

static void
figures(void)
{
	NetWorker  *w = &net__worker;
	uint64		elapsed = w->now_us - w->rate_us;
	uint64		commands = counted(STAT_COMMANDS);
	uint64		input = counted(STAT_NET_INPUT);
	uint64		output = counted(STAT_NET_OUTPUT);

	if (w->rate_us != 0)
	{
		figure_set(&stats_mine->ops_per_second, (commands - w->rate_commands) * 1000000 / elapsed);
		figure_set(&stats_mine->input_per_second, (input - w->rate_input) * 1000000 / elapsed);
		figure_set(&stats_mine->output_per_second, (output - w->rate_output) * 1000000 / elapsed);
	}
	w->rate_us = w->now_us;
	w->rate_commands = commands;
	w->rate_input = input;
	w->rate_output = output;
}

static void
once_in_a_while(void)
{
	NetWorker  *w = &net__worker;

	if (w->now_us - w->rate_us < SLEEP_MAX_US / 2)
		return;
	figures();
	close_idle();
	if (!procsignal_postmaster_alive())
		_exit(PROC_EXIT_QUIT);
}

static void
publish_state(void)
{
	NetWorker  *w = &net__worker;

	figure_set(&stats_mine->blocked, w->parked[QUEUE_WAIT]);
	figure_set(&stats_mine->gated, w->gated_replies);
	figure_set(&stats_mine->buffer_bytes, output_memory() + w->in_bytes);
	if (atomic_load_explicit(&my_slot->clients, memory_order_relaxed) != w->connections)	/* relaxed: our own */
	{
		figure_set(&my_slot->clients, w->connections);
		proc_set_title("%u clients", w->connections);
	}
}

/* ---- (5) ---- */
static void
send_all(void)
{
	NetWorker  *w = &net__worker;
	Conn	   *c;

	for (;;)
	{
		if ((c = TAILQ_FIRST(&w->dirty)) != NULL)
		{
			TAILQ_REMOVE(&w->dirty, c, dirty_link);
			c->in_dirty = false;
		}
		else if ((c = TAILQ_FIRST(&w->dirty_pushed)) != NULL)
		{
			TAILQ_REMOVE(&w->dirty_pushed, c, dirty_link);
			c->in_pushed = false;
		}
		else
			return;
		net__conn_output(c);
	}
}

/* ---- (6) ---- */

/* next_deadline -- how long nothing but events can happen; microseconds. */
static uint64
next_deadline(void)
{
	NetWorker  *w = &net__worker;
	uint64		sleep = SLEEP_MAX_US;
	Conn	   *c;

	if (w->parked[QUEUE_READY] > 0 || w->handover_waiting || w->messages || w->feed_more)
		return 0;
	if (w->parked[QUEUE_MAP] > 0)
		sleep = MAP_POLL_US;
	if (base_read_foreign() > 0)
		sleep = Min(sleep, (uint64) FOREIGN_POLL_US);
	if (w->parked[QUEUE_MEMORY] > 0)
		sleep = Min(sleep, w->memory_retry_us > w->now_us ? w->memory_retry_us - w->now_us : 0);
	TAILQ_FOREACH(c, &w->queue[QUEUE_LATER], queue_link)
		sleep = Min(sleep, c->session.deadline_us > w->now_us ? c->session.deadline_us - w->now_us : 0);
	if (w->wake_deadline_us != 0)
		sleep = Min(sleep, w->wake_deadline_us > w->now_us ? w->wake_deadline_us - w->now_us : 0);
	for (c = TAILQ_FIRST(&w->queue[QUEUE_WAIT]); c != NULL && c->session.wait_lsn < LSN_WAKE; c = TAILQ_NEXT(c, queue_link))
		if (c->session.deadline_us != 0)
			sleep = Min(sleep, c->session.deadline_us > w->now_us ? c->session.deadline_us - w->now_us : 0);
	if (w->parked[QUEUE_PAUSE] > 0)
		sleep = Min(sleep, tcop_pause_end_us() > w->now_us ? tcop_pause_end_us() - w->now_us : 0);
	if (w->phase == STOPPING_FAST)
		sleep = Min(sleep, w->stop_deadline_us > w->now_us ? w->stop_deadline_us - w->now_us : 0);
	if (w->phase == SERVING)
		for (int i = 0; i < net__listener_count; i++)
			if (!net__listener[i].accepting && net__listener[i].fd >= 0)
				sleep = Min(sleep, net__listener[i].retry_us > w->now_us ? net__listener[i].retry_us - w->now_us : 0);
	return sleep;
}

/* lowest_wait -- the least LSN whose flush lets something go on; 1: any progress; 0: nothing waits for the log. */
static Lsn
lowest_wait(void)
{
	NetWorker  *w = &net__worker;
	Lsn			lowest = net__gate_lowest();
	Lsn			feed = tcop_feed_wait();
	Conn	   *c;

	if (w->parked[QUEUE_WAL] > 0)
		return 1;
	if (feed != LSN_NONE && (lowest == LSN_NONE || feed < lowest))
		lowest = feed;
	for (c = TAILQ_FIRST(&w->queue[QUEUE_WAIT]); c != NULL && c->session.wait_lsn < LSN_WAKE; c = TAILQ_NEXT(c, queue_link))
		if (lowest == LSN_NONE || c->session.wait_lsn < lowest)
			lowest = c->session.wait_lsn;
	return lowest;
}

/* sleep_until_something -- or not at all, when something is left to do. */
static void
sleep_until_something(void)
{
	NetWorker  *w = &net__worker;
	uint64		timeout_us = next_deadline();
	Lsn			lsn = lowest_wait();
	bool		waiting = false;

	if (timeout_us > 0 && lsn != LSN_NONE)
	{
		waiting = true;
		if (!wal_wait_begin(lsn, net__replies_due()) ||
			(w->parked[QUEUE_WAL] > 0 && log_progressed()))
			timeout_us = 0;
	}
	if (timeout_us > 0 && !latch_prepare_sleep())
		timeout_us = 0;
	if (timeout_us > 0)
	{
		elog_doing("waiting for clients");
		proc_set_wait(w->parked[QUEUE_PAGE] > 0 ? WAIT_BASE_READ : WAIT_CLIENT);
		stats_add(STAT_SLEEPS, 1);
	}
	net__event->turn(timeout_us);
	if (timeout_us > 0)
		proc_set_wait(WAIT_NONE);
	if (waiting)
		wal_wait_end();
}

/* may_end -- is the order to stop fulfilled? */
static bool
may_end(void)
{
	NetWorker  *w = &net__worker;

	if (likely(w->phase == SERVING))
		return false;
	/* a connection counted to us may still be on its way */
	atomic_thread_fence(memory_order_seq_cst);	/* seq_cst [net-stop] with net__on_accept */
	if (w->phase == STOPPING_SMART)
		return w->connections == 0 &&
			atomic_load_explicit(&client_table->worker[w->index].connections, memory_order_relaxed) == 0;
	return w->connections == 0;
}

static void
close_all(void)
{
	Conn	   *next;

	for (Conn *c = TAILQ_FIRST(&net__worker.all); c != NULL; c = next)
	{
		next = TAILQ_NEXT(c, all_link);
		net__conn_close(c);
	}
}

static void
turn(void)
{
	NetWorker  *w = &net__worker;

	latch_reset();
	w->turn++;
	w->now_us = clock_mono_us();
	w->flushed = wal_flushed_lsn();
	tcop_turn(w->now_us);
	proc_heartbeat();
	stats_add(STAT_TURNS, 1);
	obey();
	if (unlikely(!w->serving))
		begin_serving();
	if (w->phase == SERVING)
		start_accepting();
	if (w->handover_waiting)
		take_over();
	obey_kills();
	w->messages = tcop_messages_turn();
	mem_keep_ahead();
	once_in_a_while();
	resume_parked();
	net__gate_want();
	net__gate_release();
	send_all();
	if (w->phase == STOPPING_FAST && w->now_us >= w->stop_deadline_us)
		close_all();
	publish_state();
	net__conn_free_gone();
	tcop_turn_end();
	sleep_until_something();
}

void
net_worker_main(void)
{
	start();
	while (!may_end())
		turn();
	net__conn_free_gone();
	close_listeners();
	net__event->close();
}
