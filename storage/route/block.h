/*
 * block.h - a block of route rows before it is sealed: what one shard's deliveries of some
 * seconds came to.  The contract between the core, which writes rows, and storage/route/,
 * which seals, keeps and reads them (docs/records.md has the bytes).
 *
 * One row is one delivery: when, from whom, to whom, with which QoS, and what became of it.
 * There is no place for a topic, an address, a size or a payload.  Who is named by a pseudonym
 * (pseudonym.h); each stands in the block once, and rows name it by its place, counted from 1:
 *
 *	u8      outcome (bits 0 to 3), QoS (4 and 5), ROUTE_ROW_TIME, ROUTE_ROW_SOURCE
 *	varint  milliseconds since the row before; only with ROUTE_ROW_TIME, else 0
 *	varint  source, 0: nobody; only with ROUTE_ROW_SOURCE, else that of the row before
 *	varint  destination, 0: nobody
 *
 * Rows that follow one another and differ in nothing, or in that each names the place after the
 * last one as its destination, are a run.  Its first row is as above; the others are together
 *
 *	u8      ROUTE_ROW_RUN
 *	varint  twice their number, and ROUTE_RUN_NEXT if it is always the next destination
 *
 * varint: the variable byte integer of MQTT 5.0 section 1.5.5.  The source is nobody for what the
 * broker says itself, and where it is not known any more; the destination, where a message is
 * dropped before it is known who would have got it.
 *
 * All rows of a block are of one epoch, an hour unless route_expiry is shorter than a day
 * (hour_keys.h).  Destinations have their pseudonym of that epoch, sources that of the epoch in
 * which they published.
 *
 * Ownership: a block is one allocation; whoever has it wipes it before it is freed.
 * Thread: whoever has it.
 */
#ifndef STORAGE_ROUTE_BLOCK_H
#define STORAGE_ROUTE_BLOCK_H

#include "proto/base.h"

enum route_outcome {
#define OUTCOME(name, word, meaning) ROUTE_##name,
#include "storage/route/outcome.def"
#undef OUTCOME
	ROUTE_OUTCOMES
};

#define ROUTE_ROW_OUTCOME   0x0Fu
#define ROUTE_ROW_QOS_SHIFT 4u
#define ROUTE_ROW_QOS	    0x30u
#define ROUTE_ROW_TIME	    0x40u
#define ROUTE_ROW_SOURCE    0x80u

/* There is no QoS 3. */
#define ROUTE_ROW_RUN  ROUTE_ROW_QOS
#define ROUTE_RUN_NEXT 1u
#define ROUTE_RUN_MAX  8191u

_Static_assert(ROUTE_OUTCOMES <= ROUTE_ROW_OUTCOME + 1, "an outcome has 4 bits");

#define ROUTE_NAME_SIZE 16u

/* A pseudonym. */
struct route_name {
	uint8_t at[ROUTE_NAME_SIZE];
};

/* So that a sealed block with all that is around it fills four pages of LMDB at most. */
#define ROUTE_NAMES_MAX 512u
#define ROUTE_ROWS_LEN	8000u

/* The longest row, and the rest of a run. */
#define ROUTE_ROW_LEN_MAX 9u
#define ROUTE_RUN_LEN_MAX 3u

struct route_block {
	struct route_block *next; /* for the queue that it is in */
	uint32_t epoch;
	uint64_t since_s; /* wall clock at the first row: seconds since 1970 */
	uint32_t row_count;
	uint16_t name_count;
	uint16_t rows_len;
	struct route_name names[ROUTE_NAMES_MAX];
	uint8_t rows[ROUTE_ROWS_LEN];
};

#endif
