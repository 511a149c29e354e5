/* What becomes of open QoS 2 exchanges after a kill (recall.h), in whole shards. */
#include "tests/unit/records_bench.h"
#include <stdio.h>

/* ---- after a kill ---- */

/* The same packet identifier and DUP, whatever the publisher's DUP, whoever comes first. */
START_TEST(goes_with_the_same_identifier)
{
	for (unsigned order = 0; order < 4; order++) {
		begin(1 + order);
		unsigned home = order % bench.count;
		const char *from_id = bench_name(&bench, 0, "from");
		const char *to_id = bench_name(&bench, home, "to");
		struct peer *from = new_lasting(from_id);
		struct peer *to = new_lasting(to_id);
		subscribe(to, "t", 2);
		peer_publish(from, QOS(2), 4, "t", "", "done");
		expect_publish(to, QOS(2), 1, "t", "", "done");
		peer_send(to, 0x50, "0001");
		peer_send(to, 0x70, "0001");
		peer_send(from, 0x62, "0004");
		peer_publish(from, QOS(2), 5, "t", "", "x");
		bench_restart(&bench);
		if (order % 2)
			to = back(to_id);
		from = back(from_id);
		peer_publish(from, QOS(2) | (order == 2 ? 0 : DUP), 5, "t", "", "x");
		expect_nothing(from);
		if (order % 2 == 0)
			to = back(to_id);
		expect_publish(to, DUP | QOS(2), 2, "t", "", "x");
		expect_nothing(to);
		peer_send(to, 0x50, "0002");
		expect(to, 0x62, "0002");
		expect(from, 0x50, "0005");
		peer_send(to, 0x70, "0002");
		peer_send(from, 0x62, "0005");
		expect(from, 0x70, "0005");
		peer_publish(from, QOS(2), 5, "t", "", "another");
		expect_publish(to, QOS(2), 3, "t", "", "another");
		ck_assert_uint_eq(counted(&bench, INFLIGHT), 1);
		bench_finish(&bench);
		if (bench.count == BENCH_SHARDS)
			break;
	}
}
END_TEST

/* Where PUBREC had come, PUBREL and nothing else; the publisher's copy is known. */
START_TEST(goes_on_with_pubrel)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	peer_send(to, 0x50, "0001");
	bench_restart(&bench);
	to = back("to");
	expect(to, 0x62, "0001");
	from = back("from");
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	expect(from, 0x50, "0005");
	expect_nothing(to);
	peer_send(to, 0x70, "0001");
	ck_assert_uint_eq(counted(&bench, UNKNOWN_AFTER_CRASH), 0);
	bench_restart(&bench); /* it has had it: remembered until the publisher lets go */
	to = back("to");
	expect_nothing(to);
	from = back("from");
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	expect(from, 0x50, "0005");
	peer_send(from, 0x62, "0005");
	expect(from, 0x70, "0005");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* A publisher that comes with PUBREL cannot send it again: only the subscriber knows. */
START_TEST(publisher_comes_with_pubrel)
{
	for (unsigned i = 0; i < 6; i++) {
		enum mqtt_version version = i % 3 == 2 ? V3 : V5;

		begin(2);
		const char *from_id = bench_name(&bench, 0, "from");
		const char *to_id = bench_name(&bench, 1, "to");
		struct peer *from = new_lasting(from_id);
		struct peer *to = new_in(version, to_id, __LINE__);
		subscribe(to, "t", 2);
		peer_publish(from, QOS(2), 5, "t", "", "x");
		expect_publish(to, QOS(2), 1, "t", "", "x");
		bench_pass_ms(&bench, 1200); /* it has fallen behind */
		expect(from, 0x50, "0005");
		bench_restart(&bench);
		if (i < 3)
			to = back_in(version, to_id, __LINE__);
		from = back(from_id);
		peer_send(from, 0x62, "0005");
		expect(from, 0x70, "0005");
		if (i >= 3)
			to = back_in(version, to_id, __LINE__);
		expect(to, 0x62, "0001");
		peer_send(to, 0x70, i % 3 == 0 ? "0001 92" : "0001");
		expect_nothing(to);
		ck_assert_uint_eq(counted(&bench, LOST_IN_CRASH), i % 3 == 0);
		ck_assert_uint_eq(counted(&bench, UNKNOWN_AFTER_CRASH), i % 3 == 2);
		ck_assert_uint_eq(counted(&bench, INFLIGHT), 0);
		bench_finish(&bench);
	}
}
END_TEST

/* Likewise one whose session ends, by its expiry or a clean start. */
START_TEST(publisher_is_gone)
{
	for (unsigned i = 0; i < 2; i++) {
		begin(2);
		const char *from_id = bench_name(&bench, 0, "from");
		const char *to_id = bench_name(&bench, 1, "to");
		struct peer *from = new_lasting(from_id);
		struct peer *to = new_lasting(to_id);
		subscribe(to, "t", 2);
		peer_publish(from, QOS(2), 5, "t", "", "x");
		bench_restart(&bench);
		to = back(to_id);
		expect_nothing(to);
		if (i == 0)
			bench_pass_ms(&bench, 1001000);
		else
			new_peer(&bench, V5, from_id);
		expect(to, 0x62, "0001");
		bench_restart(&bench);
		to = back(to_id);
		expect(to, 0x62, "0001");
		peer_send(to, 0x70, "0001");
		bench_restart(&bench);
		to = back(to_id);
		expect_nothing(to);
		bench_finish(&bench);
	}
}
END_TEST

/* To each what it has not had: not begun, begun, done, QoS 0. */
START_TEST(to_whoever_has_not_had_it)
{
	begin(3);
	const char *from_id = bench_name(&bench, 0, "from");
	const char *ids[] = {bench_name(&bench, 0, "done"), bench_name(&bench, 1, "open"),
			     bench_name(&bench, 2, "away"), bench_name(&bench, 1, "received")};
	struct peer *from = new_lasting(from_id);
	struct peer *to[4];

	for (unsigned i = 0; i < 4; i++) {
		to[i] = new_lasting(ids[i]);
		subscribe(to[i], "t", 2);
	}
	peer_lose(to[2]);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect_publish(to[0], QOS(2), 1, "t", "", "x");
	peer_send(to[0], 0x50, "0001");
	peer_send(to[0], 0x70, "0001");
	peer_send(to[3], 0x50, "0001");
	bench_restart(&bench);
	struct peer *zero = new_peer(&bench, V5, "zero");
	struct peer *fresh = new_peer(&bench, V5, bench_name(&bench, 2, "fresh"));
	subscribe(zero, "t", 0);
	subscribe(fresh, "t", 1);
	for (unsigned i = 0; i < 4; i++)
		to[i] = back(ids[i]);
	from = back(from_id);
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	expect_nothing(zero);
	expect_publish(fresh, QOS(1), 1, "t", "", "x");
	expect_nothing(to[0]);
	expect_publish(to[1], DUP | QOS(2), 1, "t", "", "x");
	expect_publish(to[2], QOS(2), 1, "t", "", "x");
	expect(to[3], 0x62, "0001");
	expect_nothing(to[3]);
	peer_send(to[1], 0x50, "0001");
	peer_send(to[2], 0x50, "0001");
	expect_nothing(from);
	peer_send(fresh, 0x40, "0001");
	expect(from, 0x50, "0005");
	bench_finish(&bench);
}
END_TEST

/* A will, and a retained message, that nobody can send again. */
START_TEST(without_a_publisher)
{
	struct mqtt_connect will = connect_of(V5, "dies", true);

	will.has_will = true;
	will.will.qos = 2;
	will.will.topic = slice_text("w");
	will.will.payload = slice_text("gone");
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	struct peer *dies = come_up(&bench, 0, &will, false);
	subscribe(to, "w", 2);
	peer_lose(dies);
	expect_publish(to, QOS(2), 1, "w", "", "gone");
	peer_publish(from, QOS(2) | RETAIN, 5, "r", "", "kept");
	expect(from, 0x50, "0005");
	subscribe(to, "r", 2);
	expect_publish(to, QOS(2) | RETAIN, 2, "r", "", "kept");
	bench_restart(&bench);
	to = back("to");
	expect(to, 0x62, "0001");
	expect(to, 0x62, "0002");
	peer_send(to, 0x70, "0001");
	peer_send(to, 0x70, "0002 92");
	expect_nothing(to);
	ck_assert_uint_eq(counted(&bench, LOST_IN_CRASH), 1);
	from = back("from");
	peer_publish(from, QOS(2) | RETAIN | DUP, 5, "r", "", "kept"); /* its PUBREC was lost */
	expect_publish(to, QOS(2), 3, "r", "", "kept");
	bench_finish(&bench);
}
END_TEST

/* What had begun is completed, also for who has unsubscribed since. [MQTT-3.10.4-3] */
START_TEST(unsubscribed_since)
{
	for (unsigned i = 0; i < 4; i++) {
		bool shared = i >= 2; /* and its group has ended with it */
		begin(1 + i % 2);
		const char *from_id = bench_name(&bench, 0, "from");
		const char *to_id = bench_name(&bench, i % 2, "to");
		struct peer *from = new_lasting(from_id), *to = new_lasting(to_id);
		subscribe(to, shared ? "$share/g/t" : "t", 2);
		peer_publish(from, QOS(2), 5, "t", "", "x");
		expect_publish(to, QOS(2), 1, "t", "", "x");
		bench_restart(&bench);
		to = back(to_id);
		peer_send(to, 0xA2, shared ? "0009 00 000A '$share/g/t'" : "0009 00 0001 't'");
		expect(to, 0xB0, "0009 00 00");
		from = back(from_id);
		peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
		expect_publish(to, DUP | QOS(2), 1, "t", "", "x");
		expect_nothing(from);
		peer_send(to, 0x50, "0001");
		expect(to, 0x62, "0001");
		expect(from, 0x50, "0005");
		bench_finish(&bench);
	}
}
END_TEST

/* The member of a shared subscription that has it keeps it, away or not, on whatever shard. */
START_TEST(shared_subscription)
{
	for (unsigned stage = 0; stage < 3; stage++) {
		begin(3);
		const char *from_id = bench_name(&bench, 0, "from");
		const char *ids[] = {bench_name(&bench, 1, "a"), bench_name(&bench, 2, "b"),
				     bench_name(&bench, 0, "c")};
		struct peer *from = new_lasting(from_id);
		struct peer *to[3];
		unsigned has = 3;

		for (unsigned i = 0; i < 3; i++) {
			to[i] = new_lasting(ids[i]);
			subscribe(to[i], "$share/g/t", 2);
		}
		peer_publish(from, QOS(2), 5, "t", "", "x");
		for (unsigned i = 0; i < 3; i++)
			if (to[i]->in_len > 0)
				has = i;
		ck_assert_uint_lt(has, 3);
		expect_publish(to[has], QOS(2), 1, "t", "", "x");
		if (stage > 0)
			peer_send(to[has], 0x50, "0001");
		if (stage > 1)
			peer_send(to[has], 0x70, "0001");
		bench_restart(&bench);
		for (unsigned i = 0; i < 3; i++)
			if (i != has)
				to[i] = back(ids[i]);
		from = back(from_id);
		peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
		for (unsigned i = 0; i < 3; i++)
			if (i != has)
				expect_nothing(to[i]);
		to[has] = back(ids[has]);
		if (stage == 0)
			expect_publish(to[has], DUP | QOS(2), 1, "t", "", "x");
		if (stage == 1)
			expect(to[has], 0x62, "0001");
		expect_nothing(to[has]);
		peer_publish(from, QOS(2), 6, "t", "", "y"); /* the group goes on */
		unsigned got = 0;
		for (unsigned i = 0; i < 3; i++)
			got += to[i]->in_len > 0;
		ck_assert_uint_eq(got, 1);
		bench_finish(&bench);
	}
}
END_TEST

/* Killed again before anything was said, and in the middle of going on. */
START_TEST(killed_again)
{
	begin(2);
	const char *from_id = bench_name(&bench, 0, "from");
	const char *to_id = bench_name(&bench, 1, "to");
	struct peer *from = new_lasting(from_id);
	struct peer *to = new_lasting(to_id);
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	bench_restart(&bench);
	bench_restart(&bench);
	to = back(to_id);
	from = back(from_id);
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	expect_publish(to, DUP | QOS(2), 1, "t", "", "x");
	bench_restart(&bench);
	from = back(from_id);
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	expect_nothing(from); /* it counts as connected */
	bench_restart(&bench);
	to = back(to_id);
	from = back(from_id);
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	expect_publish(to, DUP | QOS(2), 1, "t", "", "x");
	peer_send(to, 0x50, "0001");
	expect(to, 0x62, "0001");
	expect(from, 0x50, "0005");
	bench_restart(&bench);
	to = back(to_id);
	expect(to, 0x62, "0001");
	peer_send(to, 0x70, "0001");
	from = back(from_id);
	peer_send(from, 0x62, "0005");
	expect(from, 0x70, "0005");
	bench_restart(&bench);
	to = back(to_id);
	from = back(from_id);
	peer_send(from, 0x62, "0005");
	expect(from, 0x70, "0005 92");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* Killed right after each commit, before anybody was told of it. */
START_TEST(killed_after_each_commit)
{
	for (unsigned stage = 0; stage < 5; stage++) {
		begin(1);
		struct peer *from = new_lasting("from");
		struct peer *to = new_lasting("to");
		subscribe(to, "t", 2);
		bench.hold_store = stage < 2;
		peer_publish(from, QOS(2), 5, "t", "", "x");
		for (unsigned i = 0; i < stage && stage < 2; i++)
			bench_store_one(&bench);
		bench.hold_store = true;
		if (stage >= 2)
			peer_send(to, 0x50, "0001");
		if (stage >= 3) {
			bench_store_all(&bench);
			peer_send(to, 0x70, "0001");
		}
		if (stage == 4) {
			bench_store_all(&bench);
			peer_send(from, 0x62, "0005");
		}
		bench_store_untold(&bench);
		bench.hold_store = false;
		bench_restart(&bench);
		to = back("to");
		from = back("from");
		if (stage == 4) {
			peer_send(from, 0x62, "0005");
			expect(from, 0x70, "0005 92");
			expect_nothing(to);
			bench_finish(&bench);
			continue;
		}
		peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
		if (stage < 2)
			expect_publish(to, stage == 0 ? QOS(2) : DUP | QOS(2), 1, "t", "", "x");
		else if (stage == 2)
			expect(to, 0x62, "0001");
		expect_nothing(to);
		bench_finish(&bench);
	}
}
END_TEST

/* A device that lost its memory and takes an open identifier: the same message, whatever it is. */
START_TEST(open_identifier_is_used_again)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "#", 2);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	bench_restart(&bench);
	to = back("to");
	from = back("from");
	peer_publish(from, QOS(2), 5, "u", "", "another");
	expect_publish(to, DUP | QOS(2), 1, "u", "", "another");
	peer_send(to, 0x50, "0001");
	peer_send(to, 0x70, "0001");
	expect(from, 0x50, "0005");
	peer_send(from, 0x62, "0005");
	expect(from, 0x70, "0005");
	peer_publish(from, QOS(2), 5, "t", "", "y");
	expect(to, 0x62, "0001");
	expect_publish(to, QOS(2), 2, "t", "", "y");
	bench_finish(&bench);
}
END_TEST

/* ---- sessions that end with their connection after all ---- */

static struct mqtt_connect passing(const char *id)
{
	return connect_of(V5, id, false);
}

/* What was recorded before has its end, and nothing new is recorded. */
START_TEST(turned_passing)
{
	struct mqtt_connect from_connect = passing("from"), to_connect = passing("to");

	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	struct peer *other = new_lasting("other");
	subscribe(to, "t", 2);
	subscribe(other, "t", 2);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	expect_publish(other, QOS(2), 1, "t", "", "x");
	peer_lose(from);
	peer_lose(to);
	from = come_up(&bench, 0, &from_connect, true);
	to = come_up(&bench, 0, &to_connect, true);
	expect_publish(to, DUP | QOS(2), 1, "t", "", "x");
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	peer_send(to, 0x50, "0001");
	expect(to, 0x62, "0001");
	peer_send(other, 0x50, "0001");
	expect(other, 0x62, "0001");
	expect(from, 0x50, "0005");
	bench.hold_store = true;
	peer_publish(from, QOS(2), 6, "t", "", "y");
	expect_publish(to, QOS(2), 2, "t", "", "y");
	expect_nothing(other); /* it outlives the broker, and has its record */
	bench_store_all(&bench);
	expect_publish(other, QOS(2), 2, "t", "", "y");
	peer_send(from, 0x62, "0005");
	bench_store_all(&bench);
	expect(from, 0x70, "0005");
	bench.hold_store = false;
	bench_restart(&bench);
	other = back("other");
	expect(other, 0x62, "0001");
	expect(other, 0x62, "0002"); /* nobody can send it again */
	from = come_up(&bench, 0, &from_connect, false);
	to = come_up(&bench, 0, &to_connect, false);
	bench_finish(&bench);
}
END_TEST

/* One that ends with its connection lets go of what it held open. */
START_TEST(passing_publisher_ends)
{
	struct mqtt_connect connect = passing("from");

	begin(2);
	const char *to_id = bench_name(&bench, 1, "to");
	const char *from_id = bench_name(&bench, 0, "from");
	struct peer *from = new_lasting(from_id);
	struct peer *to = new_lasting(to_id);
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	bench_restart(&bench);
	to = back(to_id);
	connect.client_id = slice_text(from_id);
	from = come_up(&bench, 0, &connect, true);
	expect_nothing(to);
	peer_lose(from);
	expect(to, 0x62, "0001");
	peer_send(to, 0x70, "0001 92");
	ck_assert_uint_eq(counted(&bench, LOST_IN_CRASH), 1);
	bench_finish(&bench);
}
END_TEST

/* ---- queues that a kill takes ---- */

/* Its subscriber "to" is away, and waited for. */
static struct peer *begin_with_one_away(void)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "#", 2);
	peer_lose(to);
	return from;
}

START_TEST(queues_are_counted)
{
	struct peer *from = begin_with_one_away();
	struct peer *to;
	peer_publish(from, QOS(1), 5, "t", "", "x");
	peer_publish(from, QOS(2), 6, "t", "", "x");
	peer_publish(from, QOS(2), 7, "t", "", "x");
	peer_publish(from, QOS(0), 0, "t", "", "x");
	from->in_len = 0;
	bench_pass_ms(&bench, 1000);
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, QUEUES_LOST), 3);
	to = back_lost("to", 3);
	peer_lose(to);
	to = back_lost("to", 0);
	bench_pass_ms(&bench, 1000);
	bench_restart(&bench);
	to = back_lost("to", 0);
	peer_lose(to);
	from = back("from");
	peer_publish(from, QOS(1), 8, "t", "", "x");
	bench_pass_ms(&bench, 2000);
	to = back_lost("to", 0);
	expect_publish(to, QOS(1), 1, "t", "", "x");
	peer_send(to, 0x40, "0001");
	bench_pass_ms(&bench, 1000);
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, QUEUES_LOST), 0);
	to = back_lost("to", 0);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.2.2-20]: where it does not fit it waits for a CONNACK that it fits. */
START_TEST(told_when_it_fits)
{
	struct peer *from = begin_with_one_away();
	struct peer *to;
	peer_publish(from, QOS(1), 5, "t", "", "x");
	bench_pass_ms(&bench, 1000);
	bench_restart(&bench);
	struct mqtt_connect small = lasting("to");
	mqtt_set(&small.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	small.properties.maximum_packet_size = 25;
	to = peer_open(&bench, 0, V5);
	peer_connect(to, &small);
	ck_assert_uint_eq(lost_of(to, __LINE__), 0);
	peer_lose(to);
	to = back_lost("to", 1);
	peer_lose(to);
	to = back_lost("to", 0);
	bench_finish(&bench);
}
END_TEST

Suite *records_kill_suite(void)
{
	const TTest *tests[] = {goes_with_the_same_identifier,
				goes_on_with_pubrel,
				publisher_comes_with_pubrel,
				publisher_is_gone,
				to_whoever_has_not_had_it,
				without_a_publisher,
				unsubscribed_since,
				shared_subscription,
				killed_again,
				killed_after_each_commit,
				open_identifier_is_used_again,
				turned_passing,
				passing_publisher_ends,
				queues_are_counted,
				told_when_it_fits};
	Suite *suite = suite_create("records_kill");
	TCase *tcase = tcase_create("records_kill");

	tcase_set_timeout(tcase, 240);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return suite;
}
