/* clear_record.c - see clear_record.h. */
#include "storage/clear_record.h"

#include "storage/bytes.h"
#include "storage/crc32c.h"

static uint32_t check_value(const uint8_t *head, uint64_t row, struct slice body)
{
	uint8_t number[8];
	uint32_t crc;

	bytes_put(number, row, sizeof(number));
	crc = crc32c(0, head, CLEAR_HEAD_LEN);
	crc = crc32c(crc, number, sizeof(number));
	return crc32c(crc, body.at, body.len);
}

bool clear_record_open(struct slice record, uint8_t class, uint64_t row, struct slice *body,
		       struct failure *failure)
{
	if (record.len < CLEAR_HEAD_LEN + CLEAR_TRAILER_LEN)
		return failure_set(failure, "it is %zu bytes long, a record has at least %u",
				   record.len, CLEAR_HEAD_LEN + CLEAR_TRAILER_LEN);
	if (record.at[0] != CLEAR_VERSION)
		return failure_set(failure, "its format version is %u, expected %u", record.at[0],
				   CLEAR_VERSION);
	if (record.at[1] != class)
		return failure_set(failure, "it is of class %u, expected %u", record.at[1], class);
	*body =
	    slice_of(record.at + CLEAR_HEAD_LEN, record.len - CLEAR_HEAD_LEN - CLEAR_TRAILER_LEN);
	if (bytes_get(body->at + body->len, CLEAR_TRAILER_LEN) !=
	    check_value(record.at, row, *body))
		return failure_set(failure, "its check value does not fit: it was changed since it "
					    "was written, or belongs to another row");
	return true;
}
