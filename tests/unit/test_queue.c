/* queue.h: first in, first out, through growing, shrinking and going round. */
#include "broker/core/memory.h"
#include "broker/core/queue.h"
#include "tests/unit/packets.h"
#include "tests/unit/purse.h"
#include "tests/unit/random.h"

START_TEST(first_in_first_out)
{
	struct random random = random_start();
	struct queue queue = {0};
	struct message *message;
	uint32_t in = 0, out = 0;

	purse_open(1 << 24);
	message = message_of("topic", "payload");
	for (int step = 0; step < 60000; step++) {
		bool push = random_below(&random, 100) < (step / 10000 % 2 ? 30u : 60u);

		if (push) {
			struct delivery delivery = {.message = message_share(message),
						    .identifier = ++in};

			queue_push(&queue, &purse, delivery);
		} else if (queue.count > 0) {
			struct delivery delivery;

			ck_assert_uint_eq(queue_first(&queue)->identifier, out + 1);
			delivery = queue_pop(&queue, &purse);
			ck_assert_msg(delivery.identifier == ++out, RANDOM_SEED, random.seed);
			delivery_finish(&delivery, &purse);
		}
		ck_assert_uint_eq(queue.count, in - out);
		ck_assert_uint_eq(queue.bytes, (uint64_t)queue.count * 12);
	}
	queue_clear(&queue, &purse);
	ck_assert_uint_eq(queue.bytes, 0);
	message_release(message, &purse);
	purse_check_empty();
}
END_TEST

START_TEST(many_identifiers_are_freed)
{
	struct queue queue = {0};
	struct delivery delivery = {0};

	purse_open(1 << 20);
	delivery.message = message_of("t", "x");
	delivery_make_many(&delivery, &purse, 2);
	queue_push(&queue, &purse, delivery);
	queue_clear(&queue, &purse);
	purse_check_empty();
}
END_TEST

static void push(struct queue *queue, uint32_t identifier, uint64_t expires_ms)
{
	struct message *message = message_create(
	    &purse, &(struct publication){.topic = SLICE_LITERAL("t"), .expires_ms = expires_ms});

	queue_push(queue, &purse, (struct delivery){.message = message, .identifier = identifier});
}

/* How many leave at this time. */
static uint32_t expired(struct queue *queue, uint64_t now_ms)
{
	struct queue left = {0};
	uint32_t count;

	queue_take_expired(queue, &purse, now_ms, &left);
	count = left.count;
	queue_clear(&left, &purse);
	return count;
}

START_TEST(what_has_expired_leaves)
{
	struct queue queue = {0};

	purse_open(1 << 24);
	ck_assert_uint_eq(expired(&queue, 10), 0);
	for (uint32_t i = 0; i < 100; i++)
		push(&queue, i, i % 3 == 1 ? 100 + i : EXPIRES_NEVER);
	ck_assert_uint_eq(queue.expires_ms, 101);
	ck_assert_uint_eq(expired(&queue, 100), 0);
	ck_assert_uint_eq(expired(&queue, 104), 2);
	ck_assert_uint_eq(queue.expires_ms, 107);
	ck_assert_uint_eq(queue.count, 98);
	ck_assert_uint_eq(queue.bytes, 98);
	ck_assert_uint_eq(expired(&queue, 200), 31);
	for (uint32_t i = 0; i < 100; i++) {
		struct delivery delivery;

		if (i % 3 == 1)
			continue;
		delivery = queue_pop(&queue, &purse);
		ck_assert_uint_eq(delivery.identifier, i);
		delivery_finish(&delivery, &purse);
	}
	ck_assert_uint_eq(queue.count, 0);
	push(&queue, 1, 300);
	push(&queue, 2, 299);
	ck_assert_uint_eq(expired(&queue, 300), 2);
	ck_assert_uint_eq(queue.count, 0);
	ck_assert_ptr_null(queue.ring);
	purse_check_empty();
}
END_TEST

/* A long queue is not walked through for each message that does not fit. */
START_TEST(long_ones_are_walked_through_seldom)
{
	struct queue queue = {0};

	purse_open(1 << 24);
	for (uint32_t i = 0; i < 5000; i++)
		push(&queue, i, i < 50 ? 100 + i : EXPIRES_NEVER);
	ck_assert_uint_eq(expired(&queue, 100), 1);
	for (uint64_t now_ms = 101; now_ms < 105; now_ms++)
		ck_assert_uint_eq(expired(&queue, now_ms), 0);
	ck_assert_uint_eq(expired(&queue, 105), 5);
	/* Nor a short one twice in a millisecond, whatever has come meanwhile. */
	while (queue.count > 10) {
		struct delivery delivery = queue_pop(&queue, &purse);

		delivery_finish(&delivery, &purse);
	}
	push(&queue, 0, 110);
	ck_assert_uint_eq(expired(&queue, 110), 1);
	push(&queue, 0, 110);
	ck_assert_uint_eq(expired(&queue, 110), 0);
	ck_assert_uint_eq(expired(&queue, 111), 1);
	queue_clear(&queue, &purse);
	purse_check_empty();
}
END_TEST

Suite *queue_suite(void)
{
	const TTest *tests[] = {first_in_first_out, many_identifiers_are_freed,
				what_has_expired_leaves, long_ones_are_walked_through_seldom};

	return suite_of("queue", tests, COUNT_OF(tests));
}
