/*
 * route_record.h - the bytes of a kept block: a sealed record (sealed_record.h) of the class
 * "route" under the key of its epoch, whose number is the record's key number.
 *
 *	body   u64 seconds since 1970 of the first row | u32 rows | u16 names | u16 length of the
 *	       rows | the names, 16 bytes each | the rows (block.h)
 *
 * Integers are big-endian.
 *
 * Ownership: the caller's memory.
 * Failure: a record that does not open, or a body that is not one, as a sentence.
 * Thread: any.
 */
#ifndef STORAGE_ROUTE_ROUTE_RECORD_H
#define STORAGE_ROUTE_ROUTE_RECORD_H

#include "storage/route/block.h"
#include "storage/sealed_record.h"

#define ROUTE_BODY_HEAD	 16u
#define ROUTE_BODY_MAX	 (ROUTE_BODY_HEAD + ROUTE_NAMES_MAX * ROUTE_NAME_SIZE + ROUTE_ROWS_LEN)
#define ROUTE_RECORD_MAX (ROUTE_BODY_MAX + SEALED_OVERHEAD)

/* Four pages of LMDB hold 4 * 4,096 bytes without the 16 of a page's head. */
_Static_assert(ROUTE_RECORD_MAX <= 4 * 4096 - 16, "a kept block fills four pages");

/* Seals a block for a row of the table; gives the length. */
size_t route_record_seal(const struct route_block *block, uint64_t row,
			 const uint8_t key[SEAL_KEY_LEN], uint8_t out[ROUTE_RECORD_MAX]);

/* The epoch of a record, before it is opened. */
bool route_record_epoch(struct slice record, uint32_t *epoch, struct failure *failure);

/* Opens one; the caller wipes the block. */
bool route_record_open(struct slice record, uint64_t row, const uint8_t key[SEAL_KEY_LEN],
		       struct route_block *block, struct failure *failure);

#endif
