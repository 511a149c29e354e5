/*
 * Kept rows: bodies that are read are exactly what writing gives, and no bytes whatever do harm, as
 * a body or as a record of earlier versions or of this one.  The first byte chooses.
 */
#include "storage/clear_record.h"
#include "storage/record.h"
#include "storage/route/route_record.h"
#include "storage/route/rows.h"
#include "storage/sealed_record.h"
#include "tests/fuzz/fuzz.h"

#define ROW 0x0102030405060708u

static uint8_t out[RECORD_BODY_MAX];
static uint8_t plain[SEALED_BODY_MAX];

static void check_session(struct slice bytes)
{
	struct store_session session;
	struct failure failure;

	if (record_read_session(bytes, &session, &failure))
		claim(slice_equal(slice_of(out, record_write_session(&session, out)), bytes));
}

static void check_subscription(struct slice bytes)
{
	struct store_subscription subscription;
	struct failure failure;

	if (record_read_subscription(bytes, &subscription, &failure))
		claim(slice_equal(slice_of(out, record_write_subscription(&subscription, out)),
				  bytes));
}

static void check_clear(struct slice bytes)
{
	struct failure failure;
	struct slice body;

	if (clear_record_open(bytes, SEALED_SESSION, ROW, &body, &failure))
		check_session(body);
}

/* Nobody finds a tag by chance. */
static void check_sealed(struct slice bytes)
{
	static const uint8_t key[SEAL_KEY_LEN];
	struct failure failure;
	uint32_t number;

	if (sealed_record_look(bytes, SEALED_SESSION, &number, &failure))
		claim(!sealed_record_open(bytes, ROW, key, plain, &failure));
}

/* So many rows, each of names that are there; *whole: nothing else comes behind them. */
static uint32_t walk_rows(const struct route_block *block, bool *whole)
{
	struct route_walk walk = route_walk_of(block);
	uint32_t count = 0;

	for (; route_walk_next(&walk); count++)
		claim(walk.row.source <= block->name_count &&
		      walk.row.destination <= block->name_count && walk.row.qos <= 2 &&
		      walk.row.outcome < ROUTE_OUTCOMES);
	*whole = !walk.bad;
	return count;
}

/* Route rows: a block of those that are good opens as it was sealed, and one of others does not. */
static void check_route(struct slice bytes)
{
	static const uint8_t key[SEAL_KEY_LEN];
	static uint8_t record[ROUTE_RECORD_MAX];
	static struct route_block block, back;
	struct failure failure;
	bool whole;

	if (bytes.len == 0 || bytes.len > ROUTE_ROWS_LEN)
		return;
	block.name_count = bytes.at[0] % 5;
	block.rows_len = (uint16_t)(bytes.len - 1);
	memcpy(block.rows, bytes.at + 1, block.rows_len);
	block.row_count = walk_rows(&block, &whole);
	const size_t len = route_record_seal(&block, ROW, key, record);

	claim(route_record_open(slice_of(record, len), ROW, key, &back, &failure) == whole);
	if (!whole)
		return;
	claim(walk_rows(&back, &whole) == block.row_count && whole);
	claim(memcmp(back.rows, block.rows, block.rows_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(struct slice) = {check_session, check_subscription,
						       check_clear, check_sealed, check_route};
	struct input input = {slice_of(data, size)};
	uint8_t mode = take_u8(&input);
	struct slice bytes = exact_copy(input.left);

	checks[mode % (sizeof(checks) / sizeof(checks[0]))](bytes);
	exact_free(bytes);
	return 0;
}
