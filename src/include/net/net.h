/*
 * net.h -- the clients' side of the server, as the postmaster and its children see it.
 *
 * Order: the postmaster makes the listeners and the handover sockets, then forks;
 * workers inherit both.  Connections are accepted by any worker and handed to
 * the one with the fewest.
 */
#ifndef ARTERY_NET_NET_H
#define ARTERY_NET_NET_H

#include "common/c.h"

/* net_listen_all -- the UNIX socket and, by setting, TCP; FATAL with a hint when one cannot be made.  Postmaster, once. */
extern void net_listen_all(void);
/*
 * net_close_listeners -- closes listeners and handover sockets in this process.
 * In the process that made them it also removes the socket file.  Every child
 * that is not a worker calls it first thing.
 */
extern void net_close_listeners(void);
/* net_handover_create -- one pair of sockets per worker; again after a crash restart.  Postmaster, before it forks workers. */
extern void net_handover_create(uint32 workers);

extern size_t net_region_size(void);
extern void net_region_init(void *region);

/* net_worker_main -- serves until told to stop; returns then, with every connection closed.  Worker, after procsignal_init_child. */
extern void net_worker_main(void);

/* net_socket_path -- where the UNIX socket is or will be: unix_socket_path, or artery.sock in 'data_dir'. */
extern void net_socket_path(const char *data_dir, char *path, size_t size);

#endif
