/*
 * bytes.h - a growing row of bytes, for the streams of the simulated world.
 * Running out of memory ends the test.
 */
#ifndef TESTS_SIM_BYTES_H
#define TESTS_SIM_BYTES_H

#include "proto/base.h"
#include <stdlib.h>

struct bytes {
	uint8_t *at;
	size_t len;
	size_t room;
};

static inline void bytes_append(struct bytes *b, struct slice more)
{
	if (more.len == 0)
		return;
	if (b->len + more.len > b->room) {
		b->room = (b->len + more.len) * 2;
		b->at = realloc(b->at, b->room);
		must(b->at != NULL);
	}
	memcpy(b->at + b->len, more.at, more.len);
	b->len += more.len;
}

/* Takes n bytes off the front. */
static inline void bytes_drop(struct bytes *b, size_t n)
{
	must(n <= b->len);
	if (b->len > n)
		memmove(b->at, b->at + n, b->len - n);
	b->len -= n;
}

static inline void bytes_finish(struct bytes *b)
{
	free(b->at);
	*b = (struct bytes){0};
}

#endif
