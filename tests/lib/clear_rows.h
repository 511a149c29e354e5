/* clear_rows.h - records of format version 1, as earlier versions wrote them, for tests. */
#ifndef TESTS_LIB_CLEAR_ROWS_H
#define TESTS_LIB_CLEAR_ROWS_H

#include "storage/bytes.h"
#include "storage/clear_record.h"
#include "storage/crc32c.h"

/* Writes a record around a body, and gives its length. */
static inline size_t clear_row(uint8_t class, uint64_t row, struct slice body, uint8_t *out)
{
	uint8_t number[8];
	uint8_t *at = bytes_put(out, CLEAR_VERSION, 1);
	uint32_t crc;

	at = bytes_put(at, class, 1);
	at = bytes_put(at, 0, 4);
	memcpy(at, body.at, body.len);
	at += body.len;
	bytes_put(number, row, sizeof(number));
	crc = crc32c(crc32c(0, out, CLEAR_HEAD_LEN), number, sizeof(number));
	at = bytes_put(at, crc32c(crc, body.at, body.len), CLEAR_TRAILER_LEN);
	return (size_t)(at - out);
}

#endif
