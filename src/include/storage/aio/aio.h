/*
 * aio.h -- single transfers in flight, by io_uring or by plain system calls.
 *
 * Used by storage/file alone, which resumes shorts, retries and passes the fault
 * hook; here a request is one call of the kernel and its answer.
 *
 * An AioRing is private to one process (and one thread): made after fork, never
 * shared.  A request's memory and its buffer belong to the ring from aio_start()
 * until aio_next() gives the request back.
 */
#ifndef ARTERY_STORAGE_AIO_AIO_H
#define ARTERY_STORAGE_AIO_AIO_H

#include "common/c.h"

/* AIO_DATASYNC is for io_uring alone: the plain call is storage/file's own */
typedef enum AioOp { AIO_READ, AIO_WRITE, AIO_DATASYNC } AioOp;
typedef enum AioState { AIO_IDLE, AIO_FLIGHT, AIO_DONE } AioState;

typedef struct AioRequest
{
	/* the caller sets */
	AioOp		op;
	int			fd;
	void	   *buf;
	uint32		len;
	uint64		offset;
	/* the room sets */
	AioState	state;
	int64		result;				/* bytes, or -errno; valid when DONE */
	struct AioRequest *next;		/* of those done and not yet given back (plain calls) */
} AioRequest;

typedef struct AioRing AioRing;

/* aio_create_uring -- a ring of 'depth' entries (less where the kernel allows less); an errno when it is refused. */
extern int aio_create_uring(uint32 depth, AioRing **out) attribute_must_check;
/* aio_create_sync -- the twin: every request is made by a plain call in aio_start(). */
extern AioRing *aio_create_sync(uint32 depth);
/* aio_destroy -- nothing may be in flight. */
extern void aio_destroy(AioRing *ring);
extern bool aio_is_uring(const AioRing *ring);
extern uint32 aio_depth(const AioRing *ring);
extern uint32 aio_in_flight(const AioRing *ring);		/* started and not given back */
/* aio_fd -- readable while answers wait to be taken by aio_next; -1: plain calls, which are done when they return. */
extern int aio_fd(const AioRing *ring);
/* aio_register -- pin [base, len) once for all requests within it; 0 or errno (then: without). */
extern int aio_register(AioRing *ring, void *base, size_t len) attribute_must_check;

/* aio_register_file -- requests on this descriptor skip looking it up; one per ring, open until aio_destroy; 0 or errno (then: without). */
extern int aio_register_file(AioRing *ring, int fd) attribute_must_check;

/* aio_start -- queue a request; at most aio_depth() are in flight. */
extern void aio_start(AioRing *ring, AioRequest *request);
/* aio_flush -- hand what is queued to the kernel without waiting. */
extern void aio_flush(AioRing *ring);
/* aio_next -- a request that is done; NULL if none is and 'wait' is false.  Flushes before it waits. */
extern AioRequest *aio_next(AioRing *ring, bool wait);

#endif
