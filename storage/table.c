/* table.c - see table.h. */
#include "storage/table.h"

#include <stdlib.h>

#define ROOM_MIN 64u

void table_finish(struct table *table)
{
	free(table->slots);
	*table = (struct table){0};
}

static void put(struct table *table, struct table_slot slot)
{
	uint64_t at = slot.hash;

	while (table->slots[at & (table->room - 1)].thing != NULL)
		at++;
	table->slots[at & (table->room - 1)] = slot;
}

static void resize(struct table *table, uint32_t room)
{
	struct table old = *table;

	table->slots = calloc(room, sizeof(*table->slots));
	must(table->slots != NULL);
	table->room = room;
	for (uint32_t i = 0; i < old.room; i++)
		if (old.slots[i].thing != NULL)
			put(table, old.slots[i]);
	free(old.slots);
}

void table_add(struct table *table, uint64_t hash, void *thing)
{
	if (table->count >= table->room / 4 * 3)
		resize(table, table->room != 0 ? table->room * 2 : ROOM_MIN);
	put(table, (struct table_slot){hash, thing});
	table->count++;
}

/* Those behind whose search would end at the hole move up. */
static void close_hole(struct table *table, uint32_t hole)
{
	uint32_t mask = table->room - 1;

	for (uint32_t at = (hole + 1) & mask; table->slots[at].thing != NULL;
	     at = (at + 1) & mask) {
		uint32_t way = (at - (uint32_t)table->slots[at].hash) & mask;

		if (way < ((at - hole) & mask))
			continue;
		table->slots[hole] = table->slots[at];
		hole = at;
	}
	table->slots[hole].thing = NULL;
}

void table_remove(struct table *table, uint64_t hash, const void *thing)
{
	uint32_t mask = table->room - 1;
	uint32_t at = (uint32_t)hash & mask;

	while (table->slots[at].thing != thing) {
		must(table->slots[at].thing != NULL);
		at = (at + 1) & mask;
	}
	close_hole(table, at);
	if (--table->count == 0 && table->room > ROOM_MIN)
		table_finish(table);
}
