/*
 * rows.h - reads the rows of a block (block.h).  Pure.
 *
 * Failure: bytes that are not rows end the walk, with `bad` set; those of a block that
 * route_rows_good() has passed do not.
 * Thread: any.
 */
#ifndef STORAGE_ROUTE_ROWS_H
#define STORAGE_ROUTE_ROWS_H

#include "proto/wire.h"
#include "storage/route/block.h"

struct route_row {
	uint64_t after_ms;    /* since the block's first row */
	uint16_t source;      /* place of its name in the block, from 1; 0: nobody */
	uint16_t destination; /* likewise */
	uint8_t qos;
	uint8_t outcome; /* enum route_outcome */
};

struct route_walk {
	const struct route_block *block;
	struct reader reader;
	struct route_row row; /* the last one */
	uint32_t run;	      /* so many more are like it, */
	uint16_t step;	      /* but for the place of the destination: 0 or 1 further */
	bool begun;
	bool bad;
};

struct route_walk route_walk_of(const struct route_block *block);

/* The next row, in walk->row; false when there is none. */
bool route_walk_next(struct route_walk *walk);

/* Are they as many as the block says, and each whole and about names that are there? */
bool route_rows_good(const struct route_block *block);

#endif
