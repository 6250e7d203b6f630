/*
 * proc_kinds.h -- the one list of process kinds (X-macro, no include guard).
 *
 * PROC_KIND(symbol, "name", slots, main function, "sentence")
 * slots: how many process slots; 0 stands for the setting workers.  Slot numbers
 * follow the order of this list; the postmaster has slot 0 and never enters an
 * epoch, reserves log or takes memory.
 */
PROC_KIND(POSTMASTER, "postmaster", 1, NULL, "starts, watches and ends the others")
PROC_KIND(STARTUP, "startup", 1, startup_main, "redoes the log, then ends")
PROC_KIND(WALWRITER, "walwriter", 1, walwriter_main, "writes and flushes the log: group commit")
PROC_KIND(CHECKPOINTER, "checkpointer", 1, checkpointer_main, "keeps log segments ready; writes the base: checkpoints")
PROC_KIND(EVICTOR, "evictor", 1, evictor_main, "keeps memory free: evicts, sweeps, prewarms")
PROC_KIND(EXPIRER, "expirer", 1, expirer_main, "deletes keys whose deadline has passed")
PROC_KIND(WORKER, "worker", 0, worker_main, "serves clients")
