/* slab.c - see slab.h. */
#include "broker/core/slab.h"
#include "broker/core/memory.h"

void slab_init(struct slab *slab, size_t item_size)
{
	must(item_size >= sizeof(uint32_t));
	*slab = (struct slab){.used = 1, .item_size = (uint32_t)item_size};
}

void slab_finish(struct slab *slab)
{
	for (uint32_t i = 0; i < slab->page_count; i++)
		memory_free(slab->pages[i]);
	memory_free(slab->pages);
	*slab = (struct slab){0};
}

static void add_page(struct slab *slab)
{
	if (slab->page_count == slab->page_room) {
		slab->page_room = slab->page_room ? slab->page_room * 2 : 4;
		slab->pages = memory_resize(slab->pages, slab->page_room * sizeof *slab->pages);
	}
	slab->pages[slab->page_count++] = memory_get((size_t)SLAB_PAGE * slab->item_size);
}

uint32_t slab_add(struct slab *slab)
{
	uint32_t number = slab->free;
	if (number != 0) {
		memcpy(&slab->free, slab_at(slab, number), sizeof slab->free);
	} else {
		must(slab->used != UINT32_MAX);
		number = slab->used++;
		if (number >> SLAB_PAGE_BITS == slab->page_count)
			add_page(slab);
	}
	slab->count++;
	memset(slab_at(slab, number), 0, slab->item_size);
	return number;
}

void slab_remove(struct slab *slab, uint32_t number)
{
	must(number != 0 && number < slab->used);
	memcpy(slab_at(slab, number), &slab->free, sizeof slab->free);
	slab->free = number;
	slab->count--;
	if (slab->count == 0) { /* nothing refers to a page any more: give them back */
		size_t item_size = slab->item_size;
		slab_finish(slab);
		slab_init(slab, item_size);
	}
}
