/*
 * crc32c.h -- CRC-32C (Castagnoli), SSE4.2 where the CPU has it, slice-by-8 elsewhere.
 *
 * crc32c_extend(crc, data, len): running value; start with 0; no final XOR is
 * left out: crc32c_extend(0, "123456789", 9) == 0xE3069283, and extending in
 * pieces gives the same.  Any process.
 */
#ifndef ARTERY_COMMON_CRC32C_H
#define ARTERY_COMMON_CRC32C_H

#include "common/c.h"

extern uint32 crc32c_extend(uint32 crc, const void *data, size_t len);
extern uint32 crc32c_extend_software(uint32 crc, const void *data, size_t len);
extern bool crc32c_is_hardware(void);

#endif
