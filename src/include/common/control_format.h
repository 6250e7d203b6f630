/*
 * control_format.h -- the control file on disk.
 *
 * control: two blocks of 4096 bytes, slot 0 and slot 1; each holds a ControlData
 * sealed by CRC-32C, the rest zero.  The slot with the higher 'sequence' among
 * the valid ones is in force.
 */
#ifndef ARTERY_COMMON_CONTROL_FORMAT_H
#define ARTERY_COMMON_CONTROL_FORMAT_H

#include "common/base_format.h"
#include "common/c.h"
#include "common/wal_format.h"

#define CONTROL_MAGIC UINT64_C(0x4c54435952455441)
#define FORMAT_VERSION 3		/* of the whole directory; older ones are refused */
#define CONTROL_SLOT_SIZE 4096
#define CONTROL_GAPS 64

typedef enum ControlState
{
	CONTROL_CREATED = 1,	/* by init */
	CONTROL_RUNNING,		/* since the end of recovery */
	CONTROL_STOPPED			/* orderly */
} ControlState;

typedef struct ControlData
{
	uint64		magic;
	uint32		format_version;
	uint32		state;				/* ControlState */
	uint64		sequence;			/* higher = newer */
	uint64		system_id;
	uint32		timeline;
	uint32		gap_count;
	uint64		wal_segment_size;
	uint64		cut;				/* of the base in force; redo starts here */
	uint64		older_cut;			/* of the other slot when this one was written: log from there on is kept */
	BaseState	base;				/* as of cut */
	uint64		key_count[16];		/* live keys of each database, as of cut */
	uint64		checkpoints;		/* committed since init */
	uint64		flushed;			/* the log was flushed up to here when this slot was written */
	uint64		clock_us;			/* shared maximum of the expiry clock */
	uint64		written_wall_us;
	uint64		created_wall_us;
	WalMapBody	map;				/* as of cut */
	struct { uint64 from, to; } gap[CONTROL_GAPS];	/* newest last: LSNs never given out */
	uint64		deadline_count[16];	/* of the keys of each database, those with a deadline, as of cut */
	uint64		deadline_sum[16];	/* of those deadlines, in milliseconds, modulo 2^64 */
	uint32		reserved;
	uint32		crc;				/* of all before */
} ControlData;
static_assert(sizeof(ControlData) <= CONTROL_SLOT_SIZE, "a control slot is one block");

extern void control_seal(ControlData *data);
/* control_sealed -- does the checksum fit the bytes, whatever they say? */
extern bool control_sealed(const ControlData *data);
extern bool control_valid(const ControlData *data, const char **why);

#endif
