/*
 * index.h - a flat hash index: from a 64-bit hash to 32-bit numbers of things that
 * live in a slab.  Open addressing, 8 bytes a slot, Robin Hood order (Celis 1986): of
 * two entries the one farther from its home stands there, so that a search ends as
 * soon as it meets one that is nearer to its own.  That keeps searches short, in vain
 * or not, in a table that is up to 7/8 full; and as a home is tag * room / 2^32 rather
 * than a mask, it need not double: it grows by a quarter, for a large table of entries
 * that are counted in bytes (trie.h) takes 9 to 11 B for each.
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
	uint32_t room; /* how many slots */
	uint32_t count;
};

void index_finish(struct index *index); /* a zeroed struct is an empty index */

void index_add(struct index *index, uint64_t hash, uint32_t number);

/* The number must be there. */
void index_remove(struct index *index, uint64_t hash, uint32_t number);

/* What it occupies, in bytes. */
static inline size_t index_size(const struct index *index)
{
	return index->room * sizeof *index->slots;
}

/*
 * Walks all numbers, in no order: *at is 0 to begin with; 0 at the end.  Nothing may be
 * added or removed meanwhile.
 */
static inline uint32_t index_each(const struct index *index, uint32_t *at)
{
	uint32_t number = 0;
	while (number == 0 && *at < index->room)
		number = index->slots[(*at)++].number;
	return number;
}

/*
 * Walks the candidates for a hash: start with index_first(), go on with
 * index_next() until the thing is the one looked for or 0 comes.
 */
struct index_probe {
	uint32_t tag;
	uint32_t at;
	uint32_t distance; /* from the tag's home */
};

static inline uint32_t index_home(const struct index *index, uint32_t tag)
{
	return (uint32_t)((uint64_t)tag * index->room >> 32);
}

static inline uint32_t index_after(const struct index *index, uint32_t at)
{
	return at + 1 < index->room ? at + 1 : 0;
}

/* How far what stands at `at` is from its home. */
static inline uint32_t index_distance(const struct index *index, uint32_t at)
{
	uint32_t home = index_home(index, index->slots[at].tag);
	return at >= home ? at - home : at + index->room - home;
}

/* A search for this hash is about to begin. */
static inline void index_prefetch(const struct index *index, uint64_t hash)
{
	if (index->count > 0)
		__builtin_prefetch(&index->slots[index_home(index, (uint32_t)(hash >> 32))]);
}

static inline uint32_t index_next(const struct index *index, struct index_probe *probe)
{
	for (;;) {
		const struct index_slot *slot = &index->slots[probe->at];
		bool same = slot->tag == probe->tag;
		if (slot->number == 0 ||
		    (!same && index_distance(index, probe->at) < probe->distance))
			return 0;
		probe->at = index_after(index, probe->at);
		probe->distance++;
		if (same)
			return slot->number;
	}
}

static inline uint32_t index_first(const struct index *index, uint64_t hash,
				   struct index_probe *probe)
{
	uint32_t tag = (uint32_t)(hash >> 32);
	*probe = (struct index_probe){.tag = tag, .at = index_home(index, tag)};
	return index->count == 0 ? 0 : index_next(index, probe);
}

#endif
