/*
 * memory.h - the core's heap.  Running out of address space is not survivable for
 * a broker and `memory_limit` stands long before it, so these never return NULL.
 *
 * What may hold payload bytes comes from the arena (arena.h), or is released by memory_wipe_free(),
 * which overwrites it first.
 */
#ifndef BROKER_CORE_MEMORY_H
#define BROKER_CORE_MEMORY_H

#include "proto/base.h"

void *memory_get(size_t n);
void *memory_get_zeroed(size_t n);
void *memory_get_aligned(size_t alignment, size_t n); /* a power of two */
void *memory_resize(void *at, size_t n);
void memory_free(void *at);

/* Overwrites n bytes, in a way that the compiler keeps, and frees. */
void memory_wipe_free(void *at, size_t n);

#endif
