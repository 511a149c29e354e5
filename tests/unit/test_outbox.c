/* outbox.h: what comes out is what went in, however it is written and taken. */
#include "broker/core/outbox.h"
#include "tests/unit/packets.h"
#include "tests/unit/purse.h"
#include "tests/unit/random.h"

/* Takes n bytes off the front, comparing each with the sequence that was put in. */
static void take(struct outbox *outbox, size_t n, uint8_t *next)
{
	struct slice slices[3];
	size_t left = n, wrong = 0, count;

	count = outbox_peek(outbox, slices, 3);
	for (size_t i = 0; i < count && left > 0; i++) {
		size_t len = slices[i].len < left ? slices[i].len : left;

		for (size_t k = 0; k < len; k++)
			wrong += slices[i].at[k] != (*next)++;
		left -= len;
	}
	ck_assert_uint_eq(wrong, 0);
	outbox_take(outbox, &purse, n - left);
}

START_TEST(in_order)
{
	static char payload[50000];
	struct random random = random_start();
	struct outbox outbox = {0};
	uint8_t in = 0, out = 0;
	size_t bytes = 0;

	purse_open(1 << 26);
	for (int step = 0; step < 3000; step++) {
		uint32_t what = random_below(&random, 10);
		size_t n = 1 + random_below(&random, what ? 100 : 40000);

		if (what < 4) {
			uint8_t *at = outbox_reserve(&outbox, &purse, n);

			for (size_t i = 0; i < n; i++)
				at[i] = in++;
			bytes += n;
		} else if (what < 5) {
			struct message *message;

			n = OUTBOX_BORROW_MIN + n;
			for (size_t i = 0; i < n; i++)
				payload[i] = (char)(in + i);
			message = message_create(
			    &purse, &(struct publication){.payload = slice_of(payload, n)});
			outbox_borrow(&outbox, &purse, message, message_payload(message));
			message_release(message, &purse);
			in = (uint8_t)(in + n);
			bytes += n;
		} else {
			size_t before = outbox.bytes;

			take(&outbox, before < n * 20 ? before : n * 20, &out);
			bytes -= before - outbox.bytes;
		}
		ck_assert_uint_eq(outbox.bytes, bytes);
	}
	while (outbox.bytes > 0)
		take(&outbox, outbox.bytes, &out);
	ck_assert_uint_eq(in, out);
	ck_assert_ptr_null(outbox.head); /* an empty one owns nothing */
	purse_check_empty();
}
END_TEST

START_TEST(cleared)
{
	struct outbox outbox = {0};
	struct message *message;

	purse_open(1 << 20);
	message = message_of("t", "x");
	memset(outbox_reserve(&outbox, &purse, 10), 0, 10);
	outbox_borrow(&outbox, &purse, message, message_payload(message));
	message_release(message, &purse);
	outbox_clear(&outbox, &purse);
	ck_assert_uint_eq(outbox.bytes, 0);
	purse_check_empty();
}
END_TEST

/* A part of what is there is never more than that, and falls with every write but for rounding. */
START_TEST(part_left)
{
	struct outbox outbox = {.bytes = 900};

	ck_assert_uint_eq(outbox_left(&outbox, 200, 100), 180);
	ck_assert_uint_eq(outbox_left(&outbox, 1000, 100), 900);
	ck_assert_uint_eq(outbox_left(&outbox, 1, 1), 0);
	ck_assert_uint_eq(outbox_left(&outbox, 200, 0), 200);
	outbox.bytes = 0;
	ck_assert_uint_eq(outbox_left(&outbox, 200, 200), 0);
	ck_assert_uint_eq(outbox_left(&outbox, 0, 0), 0);
}
END_TEST

Suite *outbox_suite(void)
{
	const TTest *tests[] = {in_order, cleared, part_left};

	return suite_of("outbox", tests, COUNT_OF(tests));
}
