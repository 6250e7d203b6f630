/*
 * crc64.h -- CRC-64 with the polynomial of D. T. Jones, bits reflected, as Redis puts
 * it behind what DUMP returns.  Not for our own files: those have CRC-32C.
 */
#ifndef ARTERY_COMMON_CRC64_H
#define ARTERY_COMMON_CRC64_H

#include "common/c.h"

/* crc64_extend -- continues a checksum; 0 begins one. */
extern uint64 crc64_extend(uint64 crc, const void *data, size_t len);

#endif
