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

/* PUBREC came. */
static void receive(uint16_t id)
{
	struct outbound *entry = inflight_find(&inflight, id);

	inflight_received(&inflight, &purse, entry);
	ck_assert_ptr_null(entry->delivery.message);
	entry->state = INFLIGHT_PUBCOMP;
}

static void expect_again(uint16_t id, enum inflight_state state)
{
	struct outbound *entry = inflight_next_resend(&inflight);

	ck_assert_ptr_nonnull(entry);
	ck_assert_uint_eq(entry->id, id);
	ck_assert_int_eq(entry->state, state);
	ck_assert(!entry->delivery.message == (state == INFLIGHT_PUBCOMP));
	inflight_resent(&inflight, entry);
}

/* [MQTT-4.6.0-1]: as first sent, whatever the identifiers; but PUBREL first, as the PUBRECs came.
 */
START_TEST(order_of_sending_again)
{
	uint16_t ids[41];

	start();
	inflight.last_id = 65520; /* goes round in between */
	for (unsigned i = 0; i < 40; i++)
		ids[i] = add(i % 2 + 1)->id;
	ck_assert_uint_lt(ids[39], ids[0]);
	receive(ids[31]);
	receive(ids[1]);
	ck_assert_uint_eq(inflight.next_order, 40); /* so many deliveries have begun: gate.c */
	ids[40] = add(2)->id;
	receive(ids[7]);
	ck_assert_uint_eq(inflight.bytes, 38 * 12);
	inflight_mark_resend(&inflight);
	expect_again(ids[31], INFLIGHT_PUBCOMP);
	expect_again(ids[1], INFLIGHT_PUBCOMP);
	expect_again(ids[7], INFLIGHT_PUBCOMP);
	for (unsigned i = 0; i < 41; i++)
		if (i != 31 && i != 1 && i != 7)
			expect_again(ids[i], i % 2 || i == 40 ? INFLIGHT_PUBREC : INFLIGHT_PUBACK);
	ck_assert_ptr_null(inflight_next_resend(&inflight));
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
