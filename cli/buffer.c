#include "cli/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void *needed(void *memory)
{
	if (memory == NULL) {
		fputs("Error: Out of memory.\n", stderr);
		exit(1);
	}
	return memory;
}

void *need_memory(size_t size)
{
	return needed(malloc(size > 0 ? size : 1));
}

void *need_zeroed(size_t count, size_t size)
{
	return needed(calloc(count > 0 ? count : 1, size));
}

char *need_copy(struct slice bytes)
{
	char *copy = need_memory(bytes.len + 1);

	if (bytes.len > 0)
		memcpy(copy, bytes.at, bytes.len);
	copy[bytes.len] = '\0';
	return copy;
}

uint8_t *buffer_reserve(struct buffer *b, size_t n)
{
	if (b->room - b->len < n) {
		size_t room = (b->len + n) * 2 + 256;
		uint8_t *at = need_memory(room);

		if (b->len > 0)
			memcpy(at, b->at, b->len);
		free(b->at);
		b->at = at;
		b->room = room;
	}
	return b->at + b->len;
}

void buffer_add(struct buffer *b, struct slice bytes)
{
	if (bytes.len == 0)
		return;
	memcpy(buffer_reserve(b, bytes.len), bytes.at, bytes.len);
	b->len += bytes.len;
}

void buffer_add_text(struct buffer *b, const char *text)
{
	buffer_add(b, slice_text(text));
}

void buffer_add_byte(struct buffer *b, char byte, size_t times)
{
	if (times == 0)
		return;
	memset(buffer_reserve(b, times), byte, times);
	b->len += times;
}

void buffer_add_format(struct buffer *b, const char *format, ...)
{
	char text[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	must(n >= 0 && (size_t)n < sizeof(text));
	buffer_add(b, slice_of(text, (size_t)n));
}

void buffer_drop(struct buffer *b, size_t n)
{
	must(n <= b->len);
	if (n > 0 && n < b->len)
		memmove(b->at, b->at + n, b->len - n);
	b->len -= n;
}

void buffer_finish(struct buffer *b)
{
	free(b->at);
	*b = (struct buffer){0};
}
