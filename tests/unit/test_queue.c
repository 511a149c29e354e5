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

Suite *queue_suite(void)
{
	const TTest *tests[] = {first_in_first_out, many_identifiers_are_freed};

	return suite_of("queue", tests, COUNT_OF(tests));
}
