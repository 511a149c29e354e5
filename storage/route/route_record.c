/* route_record.c - see route_record.h. */
#include "storage/route/route_record.h"

#include "storage/bytes.h"
#include "storage/route/rows.h"

size_t route_record_seal(const struct route_block *block, uint64_t row,
			 const uint8_t key[SEAL_KEY_LEN], uint8_t out[ROUTE_RECORD_MAX])
{
	const struct sealed_place place = {SEALED_ROUTE, block->epoch, row};
	const size_t names_len = (size_t)block->name_count * ROUTE_NAME_SIZE;
	uint8_t body[ROUTE_BODY_MAX];
	uint8_t *at = bytes_put(body, block->since_s, 8);

	at = bytes_put(at, block->row_count, 4);
	at = bytes_put(at, block->name_count, 2);
	at = bytes_put(at, block->rows_len, 2);
	memcpy(at, block->names, names_len);
	memcpy(at + names_len, block->rows, block->rows_len);
	const size_t len = ROUTE_BODY_HEAD + names_len + block->rows_len;

	sealed_record_make(place, key, slice_of(body, len), out);
	explicit_bzero(body, len);
	return len + SEALED_OVERHEAD;
}

bool route_record_epoch(struct slice record, uint32_t *epoch, struct failure *failure)
{
	if (!sealed_record_look(record, SEALED_ROUTE, epoch, failure))
		return false;
	const size_t len = sealed_record_body_len(record);

	return (len >= ROUTE_BODY_HEAD && len <= ROUTE_BODY_MAX) ||
	       failure_set(failure, "a block of %zu bytes, expected %u to %u", len, ROUTE_BODY_HEAD,
			   ROUTE_BODY_MAX);
}

static bool decode(struct slice body, struct route_block *block)
{
	const uint8_t *at = body.at;

	block->since_s = bytes_get(at, 8);
	block->row_count = (uint32_t)bytes_get(at + 8, 4);
	block->name_count = (uint16_t)bytes_get(at + 12, 2);
	block->rows_len = (uint16_t)bytes_get(at + 14, 2);
	const size_t names_len = (size_t)block->name_count * ROUTE_NAME_SIZE;

	if (block->name_count > ROUTE_NAMES_MAX || block->rows_len > ROUTE_ROWS_LEN ||
	    body.len != ROUTE_BODY_HEAD + names_len + block->rows_len)
		return false;
	memcpy(block->names, at + ROUTE_BODY_HEAD, names_len);
	memcpy(block->rows, at + ROUTE_BODY_HEAD + names_len, block->rows_len);
	return route_rows_good(block);
}

bool route_record_open(struct slice record, uint64_t row, const uint8_t key[SEAL_KEY_LEN],
		       struct route_block *block, struct failure *failure)
{
	uint8_t body[ROUTE_BODY_MAX];

	if (!route_record_epoch(record, &block->epoch, failure) ||
	    !sealed_record_open(record, row, key, body, failure))
		return false;
	const size_t len = sealed_record_body_len(record);
	const bool good = decode(slice_of(body, len), block);

	explicit_bzero(body, len);
	return good || failure_set(failure, "a block whose rows cannot be read");
}
