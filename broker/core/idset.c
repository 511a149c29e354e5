/* idset.c - see idset.h. */
#include "broker/core/idset.h"
#include "broker/core/memory.h"

#define PAGE_BYTES (IDSET_PAGE_BITS / 8)

struct idset *idset_create(struct purse *purse)
{
	purse_force(purse, sizeof(struct idset));
	return memory_get_zeroed(sizeof(struct idset));
}

void idset_destroy(struct idset *set, struct purse *purse)
{
	if (set == NULL)
		return;
	for (unsigned i = 0; i < IDSET_PAGES; i++) {
		if (set->pages[i])
			purse_give(purse, PAGE_BYTES);
		memory_free(set->pages[i]);
	}
	purse_give(purse, sizeof *set);
	memory_free(set);
}

static uint64_t *word_of(const struct idset *set, uint16_t id)
{
	uint64_t *page = set->pages[id / IDSET_PAGE_BITS];
	return page ? &page[id % IDSET_PAGE_BITS / 64] : NULL;
}

static uint64_t bit_of(uint16_t id)
{
	return (uint64_t)1 << (id % 64);
}

bool idset_has(const struct idset *set, uint16_t id)
{
	const uint64_t *word = set ? word_of(set, id) : NULL;
	return word && *word & bit_of(id);
}

void idset_add(struct idset *set, struct purse *purse, uint16_t id)
{
	uint64_t **page = &set->pages[id / IDSET_PAGE_BITS];
	if (*page == NULL) {
		purse_force(purse, PAGE_BYTES);
		*page = memory_get_zeroed(PAGE_BYTES);
	}
	uint64_t *word = &(*page)[id % IDSET_PAGE_BITS / 64];
	set->count += !(*word & bit_of(id));
	*word |= bit_of(id);
}

bool idset_remove(struct idset *set, uint16_t id)
{
	if (!idset_has(set, id))
		return false;
	*word_of(set, id) &= ~bit_of(id);
	set->count--;
	return true;
}
