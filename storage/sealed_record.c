/* sealed_record.c - see sealed_record.h. */
#include "storage/sealed_record.h"

#include "storage/bytes.h"

#define ROW_LEN	       8u
#define ASSOCIATED_LEN (SEALED_HEAD_LEN + ROW_LEN)

static void associate(const uint8_t *head, uint64_t row, uint8_t associated[ASSOCIATED_LEN])
{
	memcpy(associated, head, SEALED_HEAD_LEN);
	bytes_put(associated + SEALED_HEAD_LEN, row, ROW_LEN);
}

void sealed_record_make(struct sealed_place place, const uint8_t key[SEAL_KEY_LEN],
			struct slice body, uint8_t *out)
{
	uint8_t associated[ASSOCIATED_LEN];
	uint8_t *at = out;

	must(body.len <= SEALED_BODY_MAX);
	at = bytes_put(at, SEALED_VERSION, 1);
	at = bytes_put(at, place.class, 1);
	at = bytes_put(at, place.key_number, 4);
	associate(out, place.row, associated);
	seal_bytes(key, slice_of(associated, sizeof(associated)), body, at);
}

bool sealed_record_look(struct slice record, enum sealed_class class, uint32_t *key_number,
			struct failure *failure)
{
	if (record.len < SEALED_OVERHEAD || record.len > SEALED_MAX)
		return failure_set(failure, "it is %zu bytes long, a record has %u to %u",
				   record.len, SEALED_OVERHEAD, SEALED_MAX);
	if (record.at[0] != SEALED_VERSION)
		return failure_set(failure, "its format version is %u, expected %u", record.at[0],
				   SEALED_VERSION);
	if (record.at[1] != class)
		return failure_set(failure, "it is of class %u, expected %u", record.at[1],
				   (unsigned)class);
	*key_number = (uint32_t)bytes_get(record.at + 2, 4);
	return true;
}

bool sealed_record_open(struct slice record, uint64_t row, const uint8_t key[SEAL_KEY_LEN],
			uint8_t *plain, struct failure *failure)
{
	uint8_t associated[ASSOCIATED_LEN];

	associate(record.at, row, associated);
	if (seal_open(key, slice_of(associated, sizeof(associated)),
		      slice_after(record, SEALED_HEAD_LEN), plain))
		return true;
	return failure_set(failure, "its key does not open it: it was changed since it was "
				    "written, or belongs to another row or key");
}
