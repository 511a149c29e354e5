/*
 * fuzz.h - what the fuzzers share: claims, and input that is taken apart byte by byte.
 *
 * A fuzzer is one file with LLVMFuzzerTestOneInput(): it is called with any bytes
 * whatever, and has to come back having left nothing behind.  Its findings are a
 * claim that is not true, a must() of the broker, or a report of a sanitizer.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "proto/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process and says where and what, so that the report tells it. */
#define claim(condition) ((condition) ? (void)0 : claim_failed(#condition, __FILE__, __LINE__))

static inline _Noreturn void claim_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, condition);
	abort();
}

/* A copy on the heap of exactly its length, so that AddressSanitizer sees a read beyond. */
static inline struct slice exact_copy(struct slice from)
{
	uint8_t *copy = malloc(from.len);

	must(copy != NULL);
	if (from.len > 0)
		memcpy(copy, from.at, from.len);
	return slice_of(copy, from.len);
}

static inline void exact_free(struct slice bytes)
{
	free((void *)(uintptr_t)bytes.at);
}

/* The input, taken from the front.  At its end there are zeroes and empty slices. */
struct input {
	struct slice left;
};

static inline uint8_t take_u8(struct input *input)
{
	uint8_t byte = input->left.len > 0 ? input->left.at[0] : 0;

	input->left = slice_after(input->left, input->left.len > 0);
	return byte;
}

static inline uint16_t take_u16(struct input *input)
{
	uint16_t high = take_u8(input);

	return (uint16_t)(high << 8 | take_u8(input));
}

/* At most n bytes. */
static inline struct slice take_bytes(struct input *input, size_t n)
{
	size_t len = n < input->left.len ? n : input->left.len;
	struct slice bytes = slice_of(input->left.at, len);

	input->left = slice_after(input->left, len);
	return bytes;
}

/* Bytes with their length before them. */
static inline struct slice take_text(struct input *input)
{
	return take_bytes(input, take_u8(input));
}

#endif
