/*
 * word.h - eight bytes at a time, for the checks that look at every byte of a
 * topic.  Internal to proto.  Byte order does not matter to any of these.
 */
#ifndef PROTO_WORD_H
#define PROTO_WORD_H

#include "proto/base.h"

#define WORD_SIZE  8u
#define WORD_ONES  0x0101010101010101u
#define WORD_HIGHS 0x8080808080808080u

/* Eight bytes from anywhere, aligned or not. */
static inline uint64_t word_load(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* The same byte eight times. */
static inline uint64_t word_fill(uint8_t byte)
{
	return WORD_ONES * byte;
}

/* Is one of the eight bytes zero?  Subtracting one borrows into bit 7 only there. */
static inline bool word_has_zero(uint64_t word)
{
	return ((word - WORD_ONES) & ~word & WORD_HIGHS) != 0;
}

/* Is one of eight ASCII bytes below `limit`?  The first such byte borrows into its own bit 7. */
static inline bool word_has_below(uint64_t word, uint8_t limit)
{
	return ((word - word_fill(limit)) & WORD_HIGHS) != 0;
}

/* Is one of the eight bytes not plain ASCII? */
static inline bool word_has_high(uint64_t word)
{
	return (word & WORD_HIGHS) != 0;
}

#endif
