/*
 * wait_events.h -- the one list of what a process may sleep for (X-macro, no
 * include guard).  WAIT_EVENT(symbol, "name", "sentence"); numbers follow the
 * order, so new ones go to the end.
 */
WAIT_EVENT(NONE, "", "does not sleep")
WAIT_EVENT(LATCH, "Latch", "sleeps until it is woken")
WAIT_EVENT(CLIENT, "Client", "waits for clients")
WAIT_EVENT(RECOVERY, "Recovery", "waits for the end of recovery")
WAIT_EVENT(WAL_WORK, "WalWork", "the walwriter has nothing to flush")
WAIT_EVENT(WAL_FLUSH, "WalFlush", "waits until the log is flushed up to a position")
WAIT_EVENT(WAL_WRITE, "WalWrite", "waits for a write of the log to be finished by the device")
WAIT_EVENT(WAL_SYNC, "WalSync", "waits for a sync of the log")
WAIT_EVENT(EVICTOR_MAIN, "EvictorMain", "the evictor has nothing to do")
WAIT_EVENT(BASE_READ, "BaseRead", "a page of the base is being read")
WAIT_EVENT(CHECKPOINT_COALESCE, "CheckpointCoalesce", "the checkpointer waits for others who ask for a checkpoint")
WAIT_EVENT(CHECKPOINT_SPREAD, "CheckpointSpread", "the checkpointer spreads its writes")
WAIT_EVENT(CHECKPOINTER_MAIN, "CheckpointerMain", "the checkpointer has nothing to do")
WAIT_EVENT(GRACE_PERIOD, "GracePeriod", "waits until every process has left the epoch")
WAIT_EVENT(EXPIRER_MAIN, "ExpirerMain", "the expirer waits for the next deadline")
WAIT_EVENT(EXPIRER_ROOM, "ExpirerRoom", "the expirer waits for room in the log or in memory")
