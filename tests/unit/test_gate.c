/*
 * Acknowledgements that wait for delivery (`ack_when delivered`): gates on one shard and
 * across shards, order, held identifiers, sessions that fall behind.
 */
#include "tests/unit/shard_bench.h"
#include <stdio.h>

static struct bench bench;

#define V5 MQTT_VERSION_5_0

static void begin(unsigned shards)
{
	bench_init(&bench, shards);
	bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 1000;
	bench.settings.restart_grace_ms = 30000;
	bench_start(&bench);
}

/* A subscriber with QoS 0 holds nobody up; one with QoS 1 does until its PUBACK. [MQTT-4.3.2-4] */
START_TEST(waits_for_puback)
{
	begin(1);
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "zero", 0);
	subscribe(to, "one", 1);
	peer_publish(from, QOS(1), 1, "zero", "", "x");
	expect(from, 0x40, "0001");
	expect_publish(to, QOS(0), 0, "zero", "", "x");
	peer_publish(from, QOS(1), 2, "one", "", "x");
	expect_publish(to, QOS(1), 1, "one", "", "x");
	expect_nothing(from);
	peer_send(from, 0xC0, "");
	expect(from, 0xD0, ""); /* PINGREQ never waits */
	peer_send(to, 0x40, "0001");
	expect(from, 0x40, "0002");
	bench_finish(&bench);
}
END_TEST

/* QoS 2: PUBREC waits for the subscriber's PUBREC, or its refusal. */
START_TEST(waits_for_pubrec)
{
	begin(1);
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	expect_nothing(from);
	peer_send(to, 0x50, "0001");
	expect(to, 0x62, "0001");
	expect(from, 0x50, "0005");
	peer_publish(from, QOS(2), 6, "t", "", "y");
	expect_publish(to, QOS(2), 2, "t", "", "y");
	peer_send(to, 0x50, "0002 80"); /* any reason code is an acknowledgement */
	expect(from, 0x50, "0006");
	bench_finish(&bench);
}
END_TEST

/* The subscribers of all shards count, each shard answers once. */
START_TEST(across_shards)
{
	begin(3);
	struct peer *from = new_peer(&bench, V5, bench_name(&bench, 0, "from"));
	struct peer *near = new_peer(&bench, V5, bench_name(&bench, 0, "near"));
	struct peer *far = new_peer(&bench, V5, bench_name(&bench, 1, "far"));
	struct peer *other = new_peer(&bench, V5, bench_name(&bench, 1, "other"));
	subscribe(near, "t", 1);
	subscribe(far, "t", 1);
	subscribe(other, "t", 2);
	peer_publish(from, QOS(1), 9, "t", "", "x");
	expect_publish(near, QOS(1), 1, "t", "", "x");
	expect_publish(far, QOS(1), 1, "t", "", "x");
	expect_publish(other, QOS(1), 1, "t", "", "x");
	peer_send(far, 0x40, "0001");
	peer_send(near, 0x40, "0001");
	expect_nothing(from);
	peer_lose(other); /* its session has ended: nobody waits for it */
	expect(from, 0x40, "0009");
	bench_finish(&bench);
}
END_TEST

/* A shared subscription's member on another shard, and one that leaves with the message. */
START_TEST(across_a_shared_subscription)
{
	begin(3);
	struct peer *from = new_peer(&bench, V5, bench_name(&bench, 0, "from"));
	struct peer *member = new_peer(&bench, V5, bench_name(&bench, 1, "member"));
	subscribe(member, "$share/g/t", 1);
	peer_publish(from, QOS(1), 3, "t", "", "x");
	expect_publish(member, QOS(1), 1, "t", "", "x");
	expect_nothing(from);
	peer_send(member, 0x40, "0001");
	expect(from, 0x40, "0003");
	bench_finish(&bench);
}
END_TEST

/* [MQTT-4.6.0-2] for us as the receiver: in the order of the PUBLISHes, whoever answers first. */
START_TEST(in_order)
{
	begin(1);
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *slow = new_peer(&bench, V5, "slow");
	struct peer *quick = new_peer(&bench, V5, "quick");
	subscribe(slow, "slow", 1);
	subscribe(quick, "quick", 1);
	peer_publish(from, QOS(1), 1, "slow", "", "x");
	peer_publish(from, QOS(1), 2, "quick", "", "x");
	peer_publish(from, QOS(1), 3, "nobody", "", "x");
	expect_publish(quick, QOS(1), 1, "quick", "", "x");
	peer_send(quick, 0x40, "0001");
	expect_nothing(from);
	expect_publish(slow, QOS(1), 1, "slow", "", "x");
	peer_send(slow, 0x40, "0001");
	expect(from, 0x40, "0001");
	expect(from, 0x40, "0002");
	expect(from, 0x40, "0003 10");
	bench_finish(&bench);
}
END_TEST

/* A session's copy of its own message never gates. */
START_TEST(not_its_own)
{
	begin(1);
	struct peer *both = new_peer(&bench, V5, "both");
	subscribe(both, "t", 1);
	peer_publish(both, QOS(1), 4, "t", "", "x");
	expect_publish(both, QOS(1), 1, "t", "", "x");
	expect(both, 0x40, "0004");
	bench_finish(&bench);
}
END_TEST

/* The identifier decides, with DUP and without; only another message is another one (QoS 1). */
START_TEST(the_same_again)
{
	begin(1);
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(1), 1, "t", "", "x");
	peer_publish(from, QOS(2), 2, "t", "", "x");
	expect_publish(to, QOS(1), 1, "t", "", "x");
	expect_publish(to, QOS(2), 2, "t", "", "x");
	peer_publish(from, QOS(1), 1, "t", "", "x");
	peer_publish(from, QOS(1) | DUP, 1, "t", "", "x");
	peer_publish(from, QOS(2) | DUP, 2, "t", "", "x");
	peer_publish(from, QOS(2), 2, "t", "", "whatever");
	expect_nothing(to);
	peer_publish(from, QOS(1), 1, "t", "", "another");
	expect_publish(to, QOS(1), 3, "t", "", "another");
	peer_send(to, 0x40, "0001"); /* of the message that was given up: nobody waits */
	expect_nothing(from);
	peer_send(to, 0x40, "0003");
	expect(from, 0x40, "0001");
	peer_send(to, 0x50, "0002");
	expect(to, 0x62, "0002");
	expect(from, 0x50, "0002");
	bench_finish(&bench);
}
END_TEST

/* What opens while the publisher is away is told when it sends again, and delivered once. */
START_TEST(remembered_while_away)
{
	struct mqtt_connect connect = connect_lasting(V5, "from", 1000);

	begin(1);
	struct peer *from = come_up(&bench, 0, &connect, false);
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 1);
	peer_publish(from, QOS(1), 1, "t", "", "x");
	expect_publish(to, QOS(1), 1, "t", "", "x");
	peer_lose(from);
	peer_send(to, 0x40, "0001");
	from = come_up(&bench, 0, &connect, true);
	expect_nothing(from);
	peer_publish(from, QOS(1) | DUP, 1, "t", "", "x");
	expect(from, 0x40, "0001");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* One that never acknowledges costs one ack_hold_max, until it has caught up. */
START_TEST(behind)
{
	begin(1);
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 1);
	peer_publish(from, QOS(1), 1, "t", "", "x");
	bench_pass_ms(&bench, 500);
	peer_publish(from, QOS(1), 2, "t", "", "x");
	bench_pass_ms(&bench, 450);
	expect_nothing(from);
	bench_pass_ms(&bench, 200);
	expect(from, 0x40, "0001");
	expect(from, 0x40, "0002");
	ck_assert_uint_eq(counted(&bench, FELL_BEHIND), 1);
	peer_publish(from, QOS(1), 3, "t", "", "x");
	expect(from, 0x40, "0003"); /* nothing more to wait for */
	expect_publish(to, QOS(1), 1, "t", "", "x");
	expect_publish(to, QOS(1), 2, "t", "", "x");
	expect_publish(to, QOS(1), 3, "t", "", "x");
	peer_send(to, 0x40, "0001");
	peer_publish(from, QOS(1), 4, "t", "", "x");
	expect(from, 0x40, "0004"); /* not caught up yet */
	expect_publish(to, QOS(1), 4, "t", "", "x");
	peer_send(to, 0x40, "0002");
	peer_publish(from, QOS(1), 5, "t", "", "x");
	expect_publish(to, QOS(1), 5, "t", "", "x");
	expect_nothing(from); /* what was outstanding then is done: it gates again */
	peer_send(to, 0x40, "0003");
	peer_send(to, 0x40, "0004");
	peer_send(to, 0x40, "0005");
	expect(from, 0x40, "0005");
	bench_finish(&bench);
}
END_TEST

/* Near memory_limit nobody is waited for, long before ack_hold_max. */
START_TEST(memory_is_short)
{
	char big[40000];

	bench_init(&bench, 1);
	bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 8000;
	bench.settings.memory_limit = 512 * 1024;
	bench_start(&bench);
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 1);
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = 0;
	peer_publish(from, QOS(1), 1, "t", "", "first");
	bench_pass_ms(&bench, 1500);
	expect_nothing(from);
	for (uint16_t id = 2; id < 12; id++)
		peer_publish(from, QOS(1), id, "t", "", big);
	bench_pass_ms(&bench, 1500);
	for (unsigned id = 1; id < 11; id++) {
		char packet[8];

		snprintf(packet, sizeof packet, "%04x", id);
		expect(from, 0x40, packet);
	}
	ck_assert_uint_ge(counted(&bench, OPENED_FOR_MEMORY), 1);
	ck_assert_uint_eq(counted(&bench, FELL_BEHIND), 0);
	bench_finish(&bench);
}
END_TEST

/* After a crash a session that was connected counts as connected for restart_grace. */
START_TEST(grace_after_a_crash)
{
	struct mqtt_connect connect = connect_lasting(V5, "to", 1000);

	bench_init(&bench, 1);
	bench.durable = true;
	bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 1000;
	bench.settings.restart_grace_ms = 5000;
	bench_start(&bench);
	struct peer *to = come_up(&bench, 0, &connect, false);
	subscribe(to, "t", 1);
	bench_restart(&bench);
	struct peer *from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(1), 1, "t", "", "x");
	bench_pass_ms(&bench, 2000);
	expect_nothing(from);
	to = come_up(&bench, 0, &connect, true);
	expect_publish(to, QOS(1), 1, "t", "", "x");
	expect_nothing(from);
	peer_send(to, 0x40, "0001");
	expect(from, 0x40, "0001");
	bench_restart(&bench);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(1), 2, "t", "", "x");
	bench_pass_ms(&bench, 4900);
	expect_nothing(from);
	bench_pass_ms(&bench, 200);
	expect(from, 0x40, "0002");
	bench_finish(&bench);
}
END_TEST

/* Likewise a member of a group: what waits in the group's queue has nobody's copy but its
 * publisher's. */
START_TEST(grace_of_a_group)
{
	struct mqtt_connect connect = connect_lasting(V5, "to", 1000);

	for (unsigned shards = 1; shards <= 2; shards++) {
		bench_init(&bench, shards);
		bench.durable = true;
		bench.settings.ack_when_delivered = true;
		bench.settings.ack_hold_max_ms = 1000;
		bench.settings.restart_grace_ms = 5000;
		bench_start(&bench);
		struct peer *to = come_up(&bench, 0, &connect, false);
		subscribe(to, "$share/g/t", 1);
		bench_restart(&bench);
		struct peer *from = new_peer(&bench, V5, "from");
		peer_publish(from, QOS(1), 1, "t", "", "x");
		bench_pass_ms(&bench, 2000);
		expect_nothing(from);
		to = come_up(&bench, 0, &connect, true);
		expect_publish(to, QOS(1), 1, "t", "", "x");
		expect_nothing(from);
		peer_send(to, 0x40, "0001");
		expect(from, 0x40, "0001");
		bench_restart(&bench);
		from = new_peer(&bench, V5, "from");
		peer_publish(from, QOS(1), 2, "t", "", "x");
		bench_pass_ms(&bench, 4900);
		expect_nothing(from);
		bench_pass_ms(&bench, 200);
		expect(from, 0x40, "0002");
		bench_finish(&bench);
	}
}
END_TEST

/* One whose identifier stands for another message leaves its place, wherever that is. */
START_TEST(leaves_the_order)
{
	static const uint16_t sent[] = {1, 2, 3, 4, 5, 3, 4, 1, 1};
	static const char *const due[] = {"0002", "0005", "0003", "0004", "0001"};
	char text[8];

	begin(1);
	struct peer *from = new_peer(&bench, MQTT_VERSION_3_1_1, "from");
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 1);
	for (size_t i = 0; i < COUNT_OF(sent); i++) {
		snprintf(text, sizeof text, "%zu", i);
		peer_publish(from, QOS(1), sent[i], "t", "", text);
		expect_publish(to, QOS(1), (uint16_t)(i + 1), "t", "", text);
	}
	expect_nothing(from);
	for (size_t i = 1; i <= COUNT_OF(sent); i++) {
		snprintf(text, sizeof text, "%04zx", i);
		peer_send(to, 0x40, text);
	}
	for (size_t i = 0; i < COUNT_OF(due); i++)
		expect(from, 0x40, due[i]);
	expect_nothing(from);
	bench_finish(&bench);
}
END_TEST

/*
 * A client may choose identifiers that all want the same places, and have the last of
 * thousands stand for another message again and again: that has to stay cheap, or one
 * packet of ten bytes stops everybody's traffic for a tenth of a second.
 */
#ifdef __SANITIZE_THREAD__ /* which makes each step twenty times dearer */
#define HELD_EACH 768u
#else
#define HELD_EACH 3072u
#endif
START_TEST(many_are_held_cheaply)
{
	const uint16_t last = 3 * 16384 + HELD_EACH - 1;

	begin(1);
	struct peer *from = new_peer(&bench, MQTT_VERSION_3_1_1, "from");
	subscribe(new_peer(&bench, V5, "to"), "t", 1);
	for (uint16_t turn = 0; turn < 4; turn++)
		for (uint16_t id = 1; id < HELD_EACH; id++)
			peer_publish(from, QOS(1), (uint16_t)(turn * 16384 + id), "t", "", "x");
	for (int i = 0; i < 300; i++)
		peer_publish(from, QOS(1), last, "t", "", i % 2 ? "y" : "z");
	expect_nothing(from);
	bench_finish(&bench);
}
END_TEST

Suite *gate_suite(void)
{
	const TTest *tests[] = {waits_for_puback,
				waits_for_pubrec,
				across_shards,
				across_a_shared_subscription,
				in_order,
				not_its_own,
				the_same_again,
				remembered_while_away,
				behind,
				memory_is_short,
				grace_after_a_crash,
				grace_of_a_group,
				leaves_the_order,
				many_are_held_cheaply};
	Suite *suite = suite_create("gate");
	TCase *tcase = tcase_create("gate");

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return suite;
}
