/*
 * buffer.h - bytes that grow at their end.  The command may use the heap freely:
 * when there is none left it says so and ends with status 1.
 *
 * Ownership: a buffer owns its bytes; {0} is an empty one, buffer_finish() frees.
 * Slices of it are valid until the next call that adds.  Thread: one at a time.
 */
#ifndef CLI_BUFFER_H
#define CLI_BUFFER_H

#include "proto/base.h"

struct buffer {
	uint8_t *at;
	size_t len;
	size_t room;
};

/* Room for n more bytes at the end; where they start. */
uint8_t *buffer_reserve(struct buffer *b, size_t n);

void buffer_add(struct buffer *b, struct slice bytes);
void buffer_add_text(struct buffer *b, const char *text);
void buffer_add_byte(struct buffer *b, char byte, size_t times);
void buffer_add_format(struct buffer *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Takes n bytes off the front; n <= len. */
void buffer_drop(struct buffer *b, size_t n);

void buffer_finish(struct buffer *b);

static inline struct slice buffer_slice(const struct buffer *b)
{
	return slice_of(b->at, b->len);
}

/* malloc that ends the program when memory is out; a copy of n bytes with a zero after them. */
void *need_memory(size_t size);
void *need_zeroed(size_t count, size_t size);
char *need_copy(struct slice bytes);

#endif
