/*
 * shelf.h - which blocks are kept, in the order in which they came: in RAM only.  Pure.
 *
 * Ownership: the owner's; route_shelf_finish() frees.
 * Thread: one at a time.
 */
#ifndef STORAGE_ROUTE_SHELF_H
#define STORAGE_ROUTE_SHELF_H

#include "storage/route/hour_keys.h"

struct route_entry {
	uint64_t row; /* in the table */
	uint32_t epoch;
	uint32_t len;  /* of the record */
	uint32_t rows; /* of deliveries */
	bool damaged;  /* it was found that it does not open */
};

/* All zero: empty. */
struct route_shelf {
	struct route_entry *ring;
	size_t room; /* a power of two, or 0 */
	size_t head;
	size_t count;
	uint64_t bytes, rows; /* of all of them */
};

/* Numbers of rows; `at` is the caller's to free. */
struct route_rows {
	uint64_t *at;
	size_t count;
};

static inline const struct route_entry *route_shelf_at(const struct route_shelf *shelf, size_t i)
{
	return &shelf->ring[(shelf->head + i) & (shelf->room - 1)];
}

void route_shelf_finish(struct route_shelf *shelf);
void route_shelf_add(struct route_shelf *shelf, const struct route_entry *entry);

/*
 * Chooses what is to go before so many bytes more come: blocks whose epoch has no key any more,
 * and then the oldest, as far as `max_bytes` asks for it.
 */
void route_shelf_choose(const struct route_shelf *shelf, struct hour_keys *keys, uint64_t max_bytes,
			uint64_t more, struct route_rows *gone);

/*
 * Notes that a block is damaged.  False: that was known, or it is not there any more.  *near: where
 * it is looked for first, and was found; 0 to begin with.  Asked for in their order, all of them
 * together cost one walk.
 */
bool route_shelf_note_damage(struct route_shelf *shelf, uint64_t row, size_t *near);

/* Forgets those; they stand in the order of route_shelf_choose(). */
void route_shelf_remove(struct route_shelf *shelf, const struct route_rows *gone);

#endif
