/*
 * index.h - a flat hash index: from a 64-bit hash to 32-bit numbers of things that
 * live in a slab.  Open addressing with linear probing and backward-shift
 * deletion (Knuth, TAOCP 3, 6.4, algorithm R), 8 bytes a slot, at most 3/4 full.
 *
 * The index keeps 32 bits of the hash; the caller compares the things themselves.
 * Number 0 is not a thing.  Thread: one.
 */
#ifndef BROKER_CORE_INDEX_H
#define BROKER_CORE_INDEX_H

#include "proto/base.h"

struct index_slot {
	uint32_t tag;	 /* upper half of the hash */
	uint32_t number; /* 0: empty */
};

struct index {
	struct index_slot *slots;
	uint32_t mask; /* slots - 1; 0 with no slots */
	uint32_t count;
};

void index_finish(struct index *index); /* a zeroed struct is an empty index */

void index_add(struct index *index, uint64_t hash, uint32_t number);

/* The number must be there. */
void index_remove(struct index *index, uint64_t hash, uint32_t number);

/*
 * Walks the candidates for a hash: start with index_first(), go on with
 * index_next() until the thing is the one looked for or 0 comes.
 */
struct index_probe {
	uint32_t tag;
	uint32_t at;
};

static inline uint32_t index_next(const struct index *index, struct index_probe *probe)
{
	for (;; probe->at++) {
		const struct index_slot *slot = &index->slots[probe->at & index->mask];
		if (slot->number == 0)
			return 0;
		if (slot->tag == probe->tag) {
			probe->at++;
			return slot->number;
		}
	}
}

static inline uint32_t index_first(const struct index *index, uint64_t hash,
				   struct index_probe *probe)
{
	uint32_t tag = (uint32_t)(hash >> 32);
	*probe = (struct index_probe){tag, tag};
	return index->count == 0 ? 0 : index_next(index, probe);
}

#endif
