/*
 * control.h -- the control file: two checksummed slots in separate 4 KiB blocks,
 * written alternately; the newer valid one is in force.  (common/control_format.h
 * has the byte map, shared with the tools.)
 */
#ifndef ARTERY_ACCESS_BASE_CONTROL_H
#define ARTERY_ACCESS_BASE_CONTROL_H

#include "common/c.h"
#include "common/control_format.h"

/* control_create -- artery_ctl init calls this through the server binary (artery --init). */
extern void control_create(const char *dir, const ControlData *data);
/* control_read -- both slots; FATAL with what to do when none is valid or the format is foreign. */
extern void control_read(const char *dir, ControlData *data);
/* control_read_both -- what the file says now, slot by slot; 0 or an errno. */
extern int control_read_both(const char *dir, ControlData slot[2], bool valid[2]) attribute_must_check;
/* control_write -- writes the other slot, syncs it; PANIC on failure. */
extern void control_write(const char *dir, ControlData *data);

/* The same in two steps, for who can still give up before the first byte is written. */
typedef struct ControlFile ControlFile;
/* control_prepare -- opens, locks, reads; 0 or an errno: nothing was written. */
extern int control_prepare(const char *dir, const ControlData *in_force, ControlFile **out) attribute_must_check;
/* control_commit -- writes and syncs; PANIC on failure (from the first byte on).  data->sequence is that of the slot in force. */
extern void control_commit(ControlFile *c, ControlData *data);
extern void control_cancel(ControlFile *c);

#endif
