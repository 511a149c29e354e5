/*
 * own.h - the rows that are about somebody's own clients, out of all blocks: for who is asked what
 * is kept about a person.  Pure.
 *
 * Who was at the other end is not told: a row names only clients that are the person's own.
 *
 * Ownership: route_own_create() gives; the names are its caller's, and sorted by it.
 * Thread: one.
 */
#ifndef STORAGE_ROUTE_OWN_H
#define STORAGE_ROUTE_OWN_H

#include "storage/route/block.h"

/* One of the pseudonyms of a client. */
struct route_own_name {
	struct route_name name;
	uint32_t client; /* number that the caller gives, from 1 */
};

struct route_own_row {
	uint64_t at_ms;	      /* since 1970 */
	uint32_t source;      /* number of a client; 0: somebody else's, or nobody's */
	uint32_t destination; /* likewise */
	uint8_t qos;
	uint8_t outcome; /* enum route_outcome */
};

struct route_own;

/* `last`: so many rows are wanted, the last ones. */
struct route_own *route_own_create(struct route_own_name *names, size_t name_count, size_t last);
void route_own_block(struct route_own *own, const struct route_block *block);

/* Gives the rows, the oldest first, and says how many there were in all; frees. */
uint64_t route_own_finish(struct route_own *own, void *self,
			  void (*give)(void *self, const struct route_own_row *row));

#endif
