/*
 * regions_list.h -- the one list of regions of the segment (X-macro, no include
 * guard), in the order of enum RegionId.  REGION(ID, "name", size function, init
 * function): functions of the rooms, called by the postmaster, because the room
 * that maps the segment (storage/ipc) lies below them all.  The three large
 * regions (wal_ring, buffers, nodes) take their size from settings.
 */
REGION(CONTROL, "control", segment_control_size, segment_control_init)
REGION(PROCS, "procs", proc_region_size, proc_region_init)
REGION(EPOCH, "epoch", epoch_region_size, epoch_region_init)
REGION(SETTINGS, "settings", settings_region_size, settings_region_init)
REGION(LATENCY, "latency", latency_region_size, latency_region_init)
REGION(STORE, "store", store_region_size, store_region_init)
REGION(CHECKPOINT, "checkpoint", checkpoint_region_size, checkpoint_region_init)
REGION(EVICT, "evict", evict_region_size, evict_region_init)
REGION(BASE_READ, "base_read", base_read_region_size, base_read_region_init)
REGION(WAL, "wal", wal_region_size, wal_region_init)
REGION(NET, "net", net_region_size, net_region_init)
REGION(MESSAGES, "messages", tcop_messages_size, tcop_messages_init)
REGION(TCOP, "tcop", tcop_region_size, tcop_region_init)
REGION(HEAP, "heap", mem_region_size, mem_region_init)
