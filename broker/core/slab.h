/*
 * slab.h - things of one size, named by dense 32-bit numbers: half the size of a
 * pointer, and a stale one can be found out.  Number 0 is never given.
 *
 * Ownership: the slab owns its pages; items move never.  A new item is zeroed.
 * Thread: one.
 */
#ifndef BROKER_CORE_SLAB_H
#define BROKER_CORE_SLAB_H

#include "proto/base.h"

#define SLAB_PAGE_BITS 8
#define SLAB_PAGE      (1u << SLAB_PAGE_BITS)

struct slab {
	uint8_t **pages;
	uint32_t page_count;
	uint32_t page_room; /* of `pages` */
	uint32_t used;	    /* items ever given, plus 1 for number 0 */
	uint32_t free;	    /* head of the list of free numbers, 0 for none */
	uint32_t count;	    /* items given now */
	uint32_t item_size; /* 4 or more: a free item holds the next free number */
};

void slab_init(struct slab *slab, size_t item_size);
void slab_finish(struct slab *slab);

/* A zeroed item; its number. */
uint32_t slab_add(struct slab *slab);
void slab_remove(struct slab *slab, uint32_t number);

static inline void *slab_at(const struct slab *slab, uint32_t number)
{
	return slab->pages[number >> SLAB_PAGE_BITS] +
	       (size_t)(number & (SLAB_PAGE - 1)) * slab->item_size;
}

#endif
