/* index.c - see index.h.  A slot's home is tag and room alone, so that it can be
 * moved without asking for the hash again. */
#include "broker/core/index.h"
#include "broker/core/memory.h"

#define ROOM_MIN   8u
#define ROOM_LARGE 64u

void index_finish(struct index *index)
{
	memory_free(index->slots);
	*index = (struct index){0};
}

/* There is an empty slot. */
static void put(struct index *index, struct index_slot slot)
{
	uint32_t at = index_home(index, slot.tag), distance = 0;
	while (index->slots[at].number != 0) {
		uint32_t other = index_distance(index, at);
		if (other < distance) { /* that one moves on instead */
			struct index_slot nearer = index->slots[at];
			index->slots[at] = slot;
			slot = nearer;
			distance = other;
		}
		at = index_after(index, at);
		distance++;
	}
	index->slots[at] = slot;
}

static void resize(struct index *index, uint32_t room)
{
	struct index old = *index;
	index->slots = memory_get_zeroed(room * sizeof *index->slots);
	index->room = room;
	for (uint32_t i = 0; i < old.room; i++)
		if (old.slots[i].number != 0)
			put(index, old.slots[i]);
	memory_free(old.slots);
}

static uint32_t larger(uint32_t room)
{
	if (room == 0)
		return ROOM_MIN;
	return room < ROOM_LARGE ? room * 2 : room + room / 4;
}

void index_add(struct index *index, uint64_t hash, uint32_t number)
{
	must(number != 0);
	if (index->count >= index->room - index->room / 8)
		resize(index, larger(index->room));
	put(index, (struct index_slot){(uint32_t)(hash >> 32), number});
	index->count++;
}

/* Closes the gap at `hole`: those behind it that are away from their homes move up. */
static void close_gap(struct index *index, uint32_t hole)
{
	uint32_t at = index_after(index, hole);
	while (index->slots[at].number != 0 && index_distance(index, at) > 0) {
		index->slots[hole] = index->slots[at];
		hole = at;
		at = index_after(index, at);
	}
	index->slots[hole] = (struct index_slot){0};
}

void index_remove(struct index *index, uint64_t hash, uint32_t number)
{
	uint32_t at = index_home(index, (uint32_t)(hash >> 32));
	while (index->slots[at].number != number) {
		must(index->slots[at].number != 0);
		at = index_after(index, at);
	}
	close_gap(index, at);
	if (--index->count == 0)
		index_finish(index);
	else if (index->room > ROOM_MIN && index->count < index->room / 4)
		resize(index, index->room / 2);
}
