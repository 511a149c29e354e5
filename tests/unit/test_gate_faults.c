/*
 * What went wrong once with acknowledgements that wait for delivery, each kept as a test:
 * refusals that outlive their connection, identifiers used again, the broker's end.
 */
#include "tests/unit/shard_bench.h"
#include <stdio.h>

static struct bench bench;

#define V5 MQTT_VERSION_5_0

static void begin(void)
{
	bench_init(&bench, 1);
	bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 1000;
	bench.settings.restart_grace_ms = 30000;
	bench.settings.receive_maximum = 4;
	bench.settings.max_retained_messages = 0;
	bench_start(&bench);
}

/*
 * A refusal that waited for its turn is not told to a later connection: before 5.0 that
 * would close it, and publish its will, in the middle of somebody else's PUBACK.
 */
START_TEST(refusal_ends_with_its_connection)
{
	struct mqtt_connect five = connect_lasting(V5, "from", 1000),
			    older = connect_lasting(MQTT_VERSION_3_1_1, "from", 1000);

	begin();
	struct peer *from = come_up(&bench, 0, &five, false);
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 2);
	for (uint16_t id = 1; id <= 3; id++) {
		peer_publish(from, QOS(2), id, "t", "", "x");
		expect_publish(to, QOS(2), id, "t", "", "x");
	}
	peer_publish(from, QOS(2) | RETAIN, 4, "kept", "", "x");
	expect_nothing(from); /* 0x97, in its turn */
	peer_lose(from);
	older.has_will = true;
	older.will.topic = slice_text("t");
	older.will.payload = slice_text("will");
	older.will.qos = 1;
	from = come_up(&bench, 0, &older, true);
	peer_publish(from, QOS(2) | DUP, 2, "t", "", "x");
	peer_publish(from, QOS(2) | DUP, 4, "other", "", "x");
	peer_send(to, 0x50, "0002");
	expect(to, 0x62, "0002");
	expect(from, 0x50, "0002");
	expect(from, 0x50, "0004"); /* tried again, and taken this time */
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* With QoS 1 another message is recognised, also where the first went to nobody. */
START_TEST(another_after_one_for_nobody)
{
	struct mqtt_connect connect = connect_lasting(V5, "from", 1000);

	begin();
	struct peer *from = come_up(&bench, 0, &connect, false);
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 1);
	peer_publish(from, QOS(1), 1, "t", "", "x");
	expect_publish(to, QOS(1), 1, "t", "", "x");
	peer_publish(from, QOS(1), 2, "nobody", "", "x");
	peer_lose(from);
	from = come_up(&bench, 0, &connect, true);
	peer_publish(from, QOS(1), 2, "t", "", "another");
	expect_publish(to, QOS(1), 2, "t", "", "another");
	peer_send(to, 0x40, "0002");
	expect(from, 0x40, "0002");
	bench_finish(&bench);
}
END_TEST

/* The quota begins anew with each connection: MQTT 5.0 section 4.9. [MQTT-3.3.4-7] */
START_TEST(quota_of_this_connection)
{
	struct mqtt_connect connect = connect_lasting(V5, "from", 1000);

	begin();
	struct peer *from = come_up(&bench, 0, &connect, false);
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 1);
	for (uint16_t id = 1; id <= 4; id++)
		peer_publish(from, QOS(1), id, "t", "", "x");
	expect_nothing(from);
	peer_lose(from);
	from = come_up(&bench, 0, &connect, true);
	for (uint16_t id = 5; id <= 8; id++)
		peer_publish(from, QOS(1), id, "t", "", "x");
	expect_nothing(from);
	peer_publish(from, QOS(1), 9, "t", "", "x");
	expect_end(from, 0x93);
	bench_finish(&bench);
}
END_TEST

/*
 * What was acknowledged while its publisher was away is known again when it comes back, which may
 * be never: its payload does not stay in memory for that.
 */
START_TEST(away_keeps_no_payload)
{
	struct mqtt_connect connect = connect_lasting(V5, "from", 1000);
	static char payload[100001];

	begin();
	memset(payload, 'p', sizeof payload - 1);
	struct peer *from = come_up(&bench, 0, &connect, false);
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 1);
	uint64_t before = counted(&bench, MEMORY);
	for (uint16_t id = 1; id <= 3; id++)
		peer_publish(from, QOS(1), id, "t", "", payload);
	peer_send(to, 0x40, "0002"); /* open, and not in its turn */
	peer_lose(from);
	ck_assert_uint_gt(counted(&bench, MEMORY), before + 200000);
	peer_send(to, 0x40, "0001");
	peer_send(to, 0x40, "0003");
	to->in_len = 0;
	ck_assert_uint_lt(counted(&bench, MEMORY), before + 20000);
	from = come_up(&bench, 0, &connect, true);
	for (uint16_t id = 1; id <= 2; id++)
		peer_publish(from, QOS(1) | DUP, id, "t", "", payload);
	expect(from, 0x40, "0001");
	expect(from, 0x40, "0002");
	expect_nothing(to);
	payload[0] = 'q';
	peer_publish(from, QOS(1), 3, "t", "", payload); /* plainly another one */
	expect_publish(to, QOS(1), 4, "t", "", payload);
	peer_send(to, 0x40, "0004");
	expect(from, 0x40, "0003");
	bench_finish(&bench);
}
END_TEST

/* A broker that stops has delivered nothing by that: its publishers keep their copies. */
START_TEST(stop_opens_nothing)
{
	struct event stop = {.type = EVENT_STOP};

	begin();
	struct peer *to = new_peer(&bench, V5, "to");
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(to, "t", 1);
	peer_publish(from, QOS(1), 1, "t", "", "x");
	expect_publish(to, QOS(1), 1, "t", "", "x");
	bench_event(&bench, 0, &stop);
	expect_end(from, 0x8B);
	bench_finish(&bench);
}
END_TEST

/* Identifiers that are far apart, as a client may choose them, cost no more than others. */
START_TEST(identifiers_far_apart)
{
	begin();
	bench.settings.receive_maximum = 100;
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 1);
	uint64_t before = counted(&bench, MEMORY);
	for (uint16_t i = 0; i < 32; i++)
		peer_publish(from, QOS(1), (uint16_t)(1 + i * 2048), "t", "", "x");
	ck_assert_uint_lt(counted(&bench, MEMORY) - before, 65536);
	for (uint16_t i = 1; i <= 32; i++)
		expect_publish(to, QOS(1), i, "t", "", "x");
	for (uint8_t i = 32; i >= 1; i--) { /* the last first, so that all wait for the last */
		uint8_t puback[] = {0x40, 2, 0, i};
		expect_nothing(from);
		peer_bytes(to, slice_of(puback, sizeof puback));
	}
	for (uint16_t i = 0; i < 32; i++) {
		char body[8];
		snprintf(body, sizeof body, "%04x", 1 + i * 2048u);
		expect(from, 0x40, body);
	}
	bench_finish(&bench);
}
END_TEST

Suite *gate_faults_suite(void)
{
	const TTest *tests[] = {refusal_ends_with_its_connection,
				another_after_one_for_nobody,
				quota_of_this_connection,
				stop_opens_nothing,
				away_keeps_no_payload,
				identifiers_far_apart};
	Suite *suite = suite_create("gate_faults");
	TCase *tcase = tcase_create("gate_faults");

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return suite;
}
