/* memory.c - see memory.h. */
#include "broker/core/memory.h"
#include <stdlib.h>

void *memory_get(size_t n)
{
	void *at = malloc(n ? n : 1);
	must(at != NULL);
	return at;
}

void *memory_get_zeroed(size_t n)
{
	void *at = calloc(1, n ? n : 1);
	must(at != NULL);
	return at;
}

void *memory_get_aligned(size_t alignment, size_t n)
{
	void *at = NULL; /* not aligned_alloc(), which wants a multiple of the alignment */
	must(posix_memalign(&at, alignment, n) == 0);
	return at;
}

void *memory_resize(void *at, size_t n)
{
	void *moved = realloc(at, n ? n : 1);
	must(moved != NULL);
	return moved;
}

void memory_free(void *at)
{
	free(at);
}

void memory_wipe_free(void *at, size_t n)
{
	if (at == NULL)
		return;
	explicit_bzero(at, n);
	free(at);
}
