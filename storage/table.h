/*
 * table.h - from a 64-bit hash to things: a flat hash table with linear probing and
 * backward-shift deletion (Knuth, TAOCP 3, 6.4, algorithm R), at most 3/4 full.  The
 * caller compares the things themselves.
 *
 * Ownership: the table owns its slots, not the things.  Thread: one.
 */
#ifndef STORAGE_TABLE_H
#define STORAGE_TABLE_H

#include "proto/base.h"

struct table_slot {
	uint64_t hash;
	void *thing; /* NULL: empty */
};

/* All zero: an empty table. */
struct table {
	struct table_slot *slots;
	uint32_t room; /* a power of two, or 0 */
	uint32_t count;
};

void table_finish(struct table *table);
void table_add(struct table *table, uint64_t hash, void *thing);
void table_remove(struct table *table, uint64_t hash, const void *thing); /* it is there */

/* Spreads a number that is random, or nearly so. */
static inline uint64_t table_hash(uint64_t number)
{
	number *= 0x9e3779b97f4a7c15u;
	return number ^ number >> 32;
}

/* The candidates for a hash, one after the other: *at begins as the hash. NULL: no more. */
static inline void *table_next(const struct table *table, uint64_t hash, uint64_t *at)
{
	while (table->room != 0) {
		const struct table_slot *slot = &table->slots[(*at)++ & (table->room - 1)];

		if (slot->thing == NULL)
			return NULL;
		if (slot->hash == hash)
			return slot->thing;
	}
	return NULL;
}

#endif
