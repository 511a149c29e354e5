/*
 * crc32c.h - the check value of kept bytes: CRC-32C (Castagnoli, RFC 3720 appendix B.4).
 *
 * Thread: any.
 */
#ifndef STORAGE_CRC32C_H
#define STORAGE_CRC32C_H

#include "proto/base.h"

/* Goes on from `crc`, which is 0 at the beginning. */
uint32_t crc32c(uint32_t crc, const uint8_t *at, size_t len);

#endif
