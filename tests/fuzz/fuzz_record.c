/*
 * Stored records: bytes that decode are exactly what encoding gives, and no bytes whatever do harm.
 * The first byte chooses the class, and whether the check value counts: a fuzzer cannot guess one.
 */
#include "storage/record.h"
#include "tests/fuzz/fuzz.h"

#define CHECKED 2u
#define ROW	0x0102030405060708u

static bool leave(void *self, const struct record_scope *scope, uint8_t *body, size_t body_len,
		  uint8_t *trailer, struct failure *failure)
{
	(void)self;
	(void)scope;
	(void)body;
	(void)body_len;
	(void)failure;
	memset(trailer, 0, 4);
	return true;
}

static bool take(void *self, const struct record_scope *scope, struct slice *body,
		 const uint8_t *trailer, uint8_t *scratch, struct failure *failure)
{
	(void)self;
	(void)scope;
	(void)body;
	(void)scratch;
	(void)failure;
	return memcmp(trailer, "\0\0\0", 4) == 0;
}

static const struct record_seal unchecked = {
    .version = 1, .trailer_len = 4, .seal = leave, .open = take};

static void check(const struct record_seal *seal, bool session, struct slice bytes)
{
	static uint8_t out[RECORD_MAX], scratch[RECORD_MAX];
	struct store_subscription subscription;
	struct store_session kept;
	struct failure failure;
	bool whole;
	size_t len;

	if (session)
		whole = record_decode_session(seal, ROW, bytes, scratch, &kept, &failure);
	else
		whole =
		    record_decode_subscription(seal, ROW, bytes, scratch, &subscription, &failure);
	if (!whole)
		return;
	if (session)
		claim(record_encode_session(seal, ROW, &kept, out, &len, &failure));
	else
		claim(record_encode_subscription(seal, ROW, &subscription, out, &len, &failure));
	/* The key epoch is the seal's business. */
	claim(len == bytes.len && memcmp(out, bytes.at, 2) == 0);
	len -= seal == &record_clear ? 4 : 0; /* which covers the epoch */
	claim(memcmp(out + RECORD_HEADER_LEN, bytes.at + RECORD_HEADER_LEN,
		     len - RECORD_HEADER_LEN) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {slice_of(data, size)};
	uint8_t mode = take_u8(&input);
	struct slice bytes = exact_copy(input.left);

	check(mode & CHECKED ? &record_clear : &unchecked, mode & 1, bytes);
	exact_free(bytes);
	return 0;
}
