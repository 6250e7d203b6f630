/*
 * worker.c -- a worker: serves clients.
 *
 * The work is one call into net, whose event loop answers -LOADING until the
 * server runs, and returns when a stop has been obeyed: after a smart one when
 * its last client has gone, after a fast one when the replies that were waiting
 * for the log have left.
 */
#include "postmaster/children.h"
#include "net/net.h"
#include "utils/elog.h"

void
worker_main(void)
{
	elog_doing("serving clients");
	net_worker_main();
}
