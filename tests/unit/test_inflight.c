/* inflight.h: identifiers in use are never given again, the order of sending is kept. */
#include "broker/core/inflight.h"
#include "tests/unit/packets.h"
#include "tests/unit/purse.h"
#include "tests/unit/random.h"

static struct inflight inflight;
static struct message *message;

static struct outbound *add(uint8_t qos)
{
	return inflight_add(&inflight, &purse,
			    (struct delivery){.message = message_share(message), .qos = qos});
}

static void start(void)
{
	purse_open(1 << 24);
	inflight = (struct inflight){0};
	message = message_of("topic", "payload");
}

static void finish(void)
{
	inflight_clear(&inflight, &purse);
	message_release(message, &purse);
	purse_check_empty();
}

/* [MQTT-2.2.1-4], with old deliveries that are never acknowledged. */
START_TEST(identifiers_are_unique)
{
	static bool used[65536];
	struct random random = random_start();
	uint16_t ids[500];
	uint32_t count = 0;

	start();
	for (int step = 0; step < 40000; step++) {
		if (count < 500 && random_below(&random, 100) < 52) {
			uint16_t id = add(1)->id;

			ck_assert_uint_ne(id, 0);
			ck_assert_msg(!used[id], "%u again, " RANDOM_SEED, id, random.seed);
			used[id] = true;
			ids[count++] = id;
		} else if (count > 3) { /* the first three stay for ever */
			uint32_t i = 3 + random_below(&random, count - 3);
			struct outbound *entry = inflight_find(&inflight, ids[i]);

			ck_assert_msg(entry && entry->id == ids[i], RANDOM_SEED, random.seed);
			inflight_remove(&inflight, &purse, entry);
			ck_assert_ptr_null(inflight_find(&inflight, ids[i]));
			used[ids[i]] = false;
			ids[i] = ids[--count];
		}
		ck_assert_uint_eq(inflight.count, count);
		ck_assert_uint_eq(inflight.bytes, (uint64_t)count * 12);
	}
	ck_assert_uint_le(inflight.room, 4096); /* nor does the ring grow without end */
	finish();
}
END_TEST

START_TEST(all_identifiers)
{
	static bool used[65536];

	start();
	for (uint32_t i = 0; i < INFLIGHT_MAX; i++) {
		uint16_t id = add(2)->id;

		ck_assert(id != 0 && !used[id]);
		used[id] = true;
	}
	inflight_remove(&inflight, &purse, inflight_find(&inflight, 777));
	ck_assert_uint_eq(add(1)->id, 777);
	finish();
}
END_TEST

/* [MQTT-4.6.0-1]: as first sent, whatever the identifiers; PUBREL in its place. */
START_TEST(order_of_sending_again)
{
	uint16_t ids[40];
	struct outbound *entry;
	unsigned next = 0;

	start();
	inflight.last_id = 65520; /* goes round in between */
	for (unsigned i = 0; i < 40; i++)
		ids[i] = add(i % 2 + 1)->id;
	ck_assert_uint_lt(ids[39], ids[0]);
	entry = inflight_find(&inflight, ids[1]);
	inflight_let_go(&inflight, &purse, entry);
	entry->state = INFLIGHT_PUBCOMP;
	ck_assert_uint_eq(inflight.bytes, 39 * 12);
	inflight_mark_resend(&inflight);
	while ((entry = inflight_next_resend(&inflight)) != NULL) {
		ck_assert_uint_eq(entry->id, ids[next]);
		ck_assert_int_eq(entry->state, next == 1  ? INFLIGHT_PUBCOMP
					       : next % 2 ? INFLIGHT_PUBREC
							  : INFLIGHT_PUBACK);
		ck_assert(next == 1 ? !entry->delivery.message : !!entry->delivery.message);
		inflight_resent(&inflight, entry);
		next++;
	}
	ck_assert_uint_eq(next, 40);
	finish();
}
END_TEST

/* Identifiers of a session that was written down, in any order, collide nowhere. */
START_TEST(restored)
{
	static const uint16_t ids[] = {65535, 1, 5, 32769, 3, 1025, 2};

	start();
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		struct delivery delivery = {.message = message_share(message), .qos = 1};

		inflight_restore(&inflight, &purse, delivery, ids[i], INFLIGHT_PUBACK);
	}
	for (size_t i = 0; i < COUNT_OF(ids); i++)
		ck_assert_uint_eq(inflight_find(&inflight, ids[i])->id, ids[i]);
	for (int i = 0; i < 1000; i++) {
		uint16_t id = add(1)->id;

		for (size_t k = 0; k < COUNT_OF(ids); k++)
			ck_assert_uint_ne(id, ids[k]);
	}
	finish();
}
END_TEST

Suite *inflight_suite(void)
{
	const TTest *tests[] = {identifiers_are_unique, all_identifiers, order_of_sending_again,
				restored};

	return suite_of("inflight", tests, COUNT_OF(tests));
}
