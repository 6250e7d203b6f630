/*
 * base_format.c -- seal and check of the data file's header page.
 *
 * Pure functions on memory that the caller owns: server and tools, any process.
 */
#include "common/base_format.h"
#include "common/crc32c.h"

static_assert(offsetof(BaseHeader, format_version) == 8 && offsetof(BaseHeader, page_size) == 12 &&
			  offsetof(BaseHeader, system_id) == 16 && offsetof(BaseHeader, created_wall_us) == 24 &&
			  offsetof(BaseHeader, reserved) == 32 && offsetof(BaseHeader, crc) == 36, "base header: places");

static uint32
header_crc(const BaseHeader *h)
{
	return crc32c_extend(0, h, offsetof(BaseHeader, crc));
}

void
base_header_seal(BaseHeader *h)
{
	h->magic = BASE_MAGIC;
	h->reserved = 0;
	h->crc = header_crc(h);
}

bool
base_header_valid(const BaseHeader *h, const char **why)
{
	*why = NULL;
	if (h->magic != BASE_MAGIC)
		*why = "it does not begin with the mark of a data file";
	else if (h->crc != header_crc(h))
		*why = "the checksum of its header is wrong";
	else if (h->reserved != 0)
		*why = "the reserved bytes of its header are not zero";
	return *why == NULL;
}
