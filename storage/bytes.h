/* bytes.h - integers in kept bytes: big-endian, of 1 to 8 bytes. */
#ifndef STORAGE_BYTES_H
#define STORAGE_BYTES_H

#include "proto/base.h"

#include <endian.h>

/* Gives the place behind it. */
static inline uint8_t *bytes_put(uint8_t *at, uint64_t value, unsigned len)
{
	if (len == sizeof(value)) { /* by far the most: one instruction */
		value = htobe64(value);
		memcpy(at, &value, sizeof(value));
		return at + len;
	}
	for (unsigned i = 0; i < len; i++)
		at[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
	return at + len;
}

static inline uint64_t bytes_get(const uint8_t *at, unsigned len)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < len; i++)
		value = value << 8 | at[i];
	return value;
}

#endif
