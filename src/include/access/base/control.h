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
/* control_write -- writes the other slot, syncs it; PANIC on failure (from the first byte on). */
extern void control_write(const char *dir, ControlData *data);

#endif
