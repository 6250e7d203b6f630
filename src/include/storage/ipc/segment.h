/*
 * segment.h -- the one shared-memory segment and its named regions.
 *
 * The postmaster creates it before it forks; every process sees it at the same
 * place, but nothing in it relies on that: references inside are offsets from
 * seg_base (type Off), never pointers, function pointers or thread ids.
 *
 * Regions are data: the caller brings a list of name, size function and init
 * function (postmaster/regions_list.h).  The header holds magic, version, a fingerprint of the layout (hash
 * of all region names, offsets and sizes and of the sizes of the main structs),
 * and the directory of regions.
 *
 * Memory is reserved by fallocate in chunks before first use, so that a full
 * /dev/shm is an answer of segment_reserve() and never a SIGBUS.  Start
 * reserves the small regions; the node heap reserves as it grows.
 *
 * Unit tests build a segment in plain memory by segment_create_private().
 */
#ifndef ARTERY_STORAGE_IPC_SEGMENT_H
#define ARTERY_STORAGE_IPC_SEGMENT_H

#include "common/c.h"

typedef uint64 Off;		/* bytes from seg_base; 0: none */

#define SEGMENT_MAGIC UINT64_C(0x5447535952455441)
#define SEGMENT_VERSION 1
#define SEGMENT_CHUNK (1 * MIB)		/* unit of reservation */

typedef enum RegionId
{
	REGION_CONTROL,		/* SharedControl, below */
	REGION_PROCS,		/* ProcSlot[] (proc.h) */
	REGION_EPOCH,		/* EpochShared (epoch.h) */
	REGION_SETTINGS,	/* SettingsShared */
	REGION_LATENCY,		/* LatencyShared (utils): the latency monitor */
	REGION_STORE,		/* StoreShared (access/store): root slot, map, counters, scan cursors */
	REGION_CHECKPOINT,	/* CheckpointShared (access/store): requests, results, progress */
	REGION_EVICT,		/* EvictShared (access/store): pressure, prewarm */
	REGION_BASE_READ,	/* counters of reads of the base (access/base) */
	REGION_WAL,			/* WalShared (access/wal): positions, segment table; named consumers */
	REGION_NET,			/* NetShared (net): client table */
	REGION_MESSAGES,	/* tcop: subscriptions, rings between workers */
	REGION_TCOP,		/* what commands of all workers share (tcop): the slow log */
	REGION_HEAP,		/* MemShared (storage/mem): class lists, per-process caches */
	REGION_WAL_RING,	/* wal_buffers bytes, 2 MiB aligned */
	REGION_BUFFERS,		/* buffer_pool_size bytes and what manages them (storage/buffer); reserved by buffer_init */
	REGION_NODES,		/* memory_limit bytes: the nodes and leaves; last */
	REGION_COUNT
} RegionId;

/* What the server is doing, for every process; written by the postmaster and the startup process. */
typedef enum ServerState
{
	SERVER_STARTING,
	SERVER_RECOVERING,	/* clients get -LOADING */
	SERVER_RUNNING,
	SERVER_STOPPING_SMART,	/* no new connections */
	SERVER_STOPPING_FAST	/* clients are being closed */
} ServerState;

typedef struct SharedControl
{
	_Atomic uint32 server_state;	/* ServerState */
	_Atomic uint32 generation;		/* crash restarts since the postmaster started */
	_Atomic uint32 recovered;		/* 1 since the startup process ended well: from then on there is a log to write */
	_Atomic uint64 start_wall_us;
	_Atomic uint64 stall_timeout_ms;	/* worker_stall_timeout as CONFIG SET left it, told to the postmaster by the checkpointer; 0: not yet */
	_Atomic uint64 redo_start_lsn;	/* progress of recovery, for INFO: written by startup */
	_Atomic uint64 redo_lsn;
	_Atomic uint64 redo_end_hint_lsn;
	_Atomic uint64 redo_records;
	uint64 system_id;				/* constant after start */
	char data_dir[1024];			/* constant after start, absolute */
	char socket_path[112];			/* constant after start */
} SharedControl;

extern char *seg_base;				/* this process' address of the segment */
extern SharedControl *seg_control;

/* seg_ptr, seg_off -- between offset and address.  Any process, any time. */
static inline void *
seg_ptr(Off off)
{
	return seg_base + off;
}

static inline Off
seg_off(const void *p)
{
	return (Off) ((const char *) p - seg_base);
}

/* SegmentRegion -- one small region: its size and how it is initialised (in fresh zeroed memory). */
typedef struct SegmentRegion
{
	RegionId	id;
	const char *name;
	size_t		(*size)(void);
	void		(*init)(void *region);
} SegmentRegion;

extern size_t segment_control_size(void);
extern void segment_control_init(void *region);

/*
 * segment_create -- make and map the segment for the settings in force; name
 * (for posix) goes to the pid file.  FATAL, with size and hint, when the system
 * refuses.  Postmaster only, holding the lock on the data directory.
 * proc_slot_count is set before.
 */
extern void segment_create(const char *data_dir, const SegmentRegion *regions, int region_count);
extern void segment_destroy(void);				/* unmap and unlink: crash restart and stop */
extern const char *segment_name(void);			/* "" for memfd */
/* segment_plan_name -- the name that segment_create will use unless a living server has it; "" for memfd. */
extern const char *segment_plan_name(const char *data_dir);
/* segment_unlink_leftover -- a dead server's, from its pid file; true: removed.  One that a living server holds stays. */
extern bool segment_unlink_leftover(const char *name);
extern const char *segment_huge_page_state(void);	/* "off", "on", or why refused: status */
extern int segment_descriptor(void);			/* -1 for a private segment; children inherit it */
/* segment_check -- is what is mapped at 'base' a segment of this very program and layout?  NULL: yes; else why not. */
extern const char *segment_check(const void *base);
extern uint64 segment_total_size(void);

/* segment_create_private -- unit tests: the same layout in plain anonymous memory. */
extern void segment_create_private(const SegmentRegion *regions, int region_count,
								   uint64 nodes_size, uint64 ring_size, uint32 proc_slots);

extern void *segment_region(RegionId id);
extern uint64 segment_region_size(RegionId id);
extern Off segment_region_offset(RegionId id);
extern const char *segment_region_name(RegionId id);

/*
 * segment_reserve -- make sure that [off, off + len) has memory behind it.
 * A system call: outside an epoch.  0, or ENOSPC/ENOMEM: nothing is promised
 * then and the caller answers -OOM.  Private segments: 0.
 */
extern int segment_reserve(Off off, uint64 len) attribute_must_check;

#endif
