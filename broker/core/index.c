/* index.c - see index.h.  A slot's home is tag and mask alone, so that it can be
 * moved without asking for the hash again. */
#include "broker/core/index.h"
#include "broker/core/memory.h"

#define SLOTS_MIN 8u

void index_finish(struct index *index)
{
	memory_free(index->slots);
	*index = (struct index){0};
}

static uint32_t home_of(const struct index *index, uint32_t tag)
{
	return tag & index->mask;
}

static void put(struct index *index, struct index_slot slot)
{
	uint32_t at = home_of(index, slot.tag);
	while (index->slots[at].number != 0)
		at = (at + 1) & index->mask;
	index->slots[at] = slot;
}

static void resize(struct index *index, uint32_t slots)
{
	struct index old = *index;
	index->slots = memory_get_zeroed(slots * sizeof *index->slots);
	index->mask = slots - 1;
	for (uint32_t i = 0; old.slots && i <= old.mask; i++)
		if (old.slots[i].number != 0)
			put(index, old.slots[i]);
	memory_free(old.slots);
}

void index_add(struct index *index, uint64_t hash, uint32_t number)
{
	must(number != 0);
	if (index->slots == NULL)
		resize(index, SLOTS_MIN);
	else if ((index->count + 1) / 3 >= (index->mask + 1) / 4)
		resize(index, (index->mask + 1) * 2);
	put(index, (struct index_slot){(uint32_t)(hash >> 32), number});
	index->count++;
}

/* Closes the gap at `hole`: what lies behind it and would not be found moves up. */
static void close_gap(struct index *index, uint32_t hole)
{
	for (uint32_t at = (hole + 1) & index->mask; index->slots[at].number != 0;
	     at = (at + 1) & index->mask) {
		uint32_t home = home_of(index, index->slots[at].tag);
		if (((at - home) & index->mask) >= ((at - hole) & index->mask)) {
			index->slots[hole] = index->slots[at];
			hole = at;
		}
	}
	index->slots[hole].number = 0;
}

void index_remove(struct index *index, uint64_t hash, uint32_t number)
{
	uint32_t at = home_of(index, (uint32_t)(hash >> 32));
	while (index->slots[at].number != number) {
		must(index->slots[at].number != 0);
		at = (at + 1) & index->mask;
	}
	close_gap(index, at);
	if (--index->count == 0)
		index_finish(index);
	else if (index->mask + 1 > SLOTS_MIN && index->count < (index->mask + 1) / 8)
		resize(index, (index->mask + 1) / 2);
}
