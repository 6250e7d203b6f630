/* bytes.h -- a run of bytes, for calls that gather from several places. */
#ifndef ARTERY_COMMON_BYTES_H
#define ARTERY_COMMON_BYTES_H

#include "common/c.h"

typedef struct BytePart
{
	const void *data;
	size_t		len;
} BytePart;

#endif
