/*
 * The steps of QoS 2 exchanges and the packets that wait for them (steps.h), in whole
 * shards; what becomes of them after a kill is in test_records_kill.c.
 */
#include "tests/unit/records_bench.h"
#include <stdio.h>

/* ---- each packet waits for its record ---- */

START_TEST(each_packet_waits)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect_nothing(to);
	bench_store_one(&bench); /* it came */
	expect_nothing(to);
	bench_store_one(&bench); /* it goes */
	expect_publish(to, QOS(2), 1, "t", "", "x");
	expect_nothing(from);
	peer_send(to, 0x50, "0001");
	expect(from, 0x50, "0005");
	expect_nothing(to);
	bench_store_one(&bench); /* it was received */
	expect(to, 0x62, "0001");
	peer_send(to, 0x70, "0001");
	peer_send(from, 0x62, "0005");
	bench_store_one(&bench); /* the end there */
	expect_nothing(from);
	bench_store_one(&bench); /* the end here */
	expect(from, 0x70, "0005");
	expect_nothing(to);
	ck_assert_ptr_null(bench.stored);
	bench_finish(&bench);
}
END_TEST

/* QoS 1, and sessions that end with their connection, ask nothing of the store. */
START_TEST(others_wait_for_nothing)
{
	begin(1);
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *to = new_peer(&bench, V5, "to");
	struct peer *stays = new_lasting("stays");
	subscribe(to, "t", 2);
	subscribe(stays, "one", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	peer_send(to, 0x50, "0001");
	expect(to, 0x62, "0001");
	expect(from, 0x50, "0005");
	peer_send(from, 0x62, "0005");
	expect(from, 0x70, "0005");
	peer_publish(from, QOS(1), 6, "one", "", "x");
	expect_publish(stays, QOS(1), 1, "one", "", "x");
	peer_send(stays, 0x40, "0001");
	expect(from, 0x40, "0006");
	ck_assert_ptr_null(bench.stored);
	bench_finish(&bench);
}
END_TEST

/* Across shards: the publisher's record first, then each subscriber's. */
START_TEST(waits_across_shards)
{
	begin(3);
	struct peer *from = new_lasting(bench_name(&bench, 0, "from"));
	struct peer *near = new_lasting(bench_name(&bench, 0, "near"));
	struct peer *far = new_lasting(bench_name(&bench, 1, "far"));
	subscribe(near, "t", 2);
	subscribe(far, "t", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect_nothing(near);
	expect_nothing(far);
	bench_store_one(&bench);
	expect_nothing(near);
	expect_nothing(far);
	bench_store_all(&bench);
	expect_publish(near, QOS(2), 1, "t", "", "x");
	expect_publish(far, QOS(2), 1, "t", "", "x");
	peer_send(near, 0x50, "0001");
	expect_nothing(from);
	peer_send(far, 0x50, "0001");
	expect(from, 0x50, "0005");
	expect_nothing(far);
	bench_store_all(&bench);
	expect(near, 0x62, "0001");
	expect(far, 0x62, "0001");
	bench_finish(&bench);
}
END_TEST

/* What is published in order goes on in order, with a retained one behind (arrival.h). */
START_TEST(in_their_order)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "#", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 1, "t", "", "one");
	peer_publish(from, QOS(2), 2, "t", "", "two");
	peer_publish(from, QOS(0), 0, "t", "", "overtakes");
	peer_publish(from, QOS(0) | RETAIN, 0, "t", "", "kept");
	expect_publish(to, QOS(0), 0, "t", "", "overtakes");
	expect_nothing(to);
	bench_store_all(&bench);
	expect_publish(to, QOS(2), 1, "t", "", "one");
	expect_publish(to, QOS(2), 2, "t", "", "two");
	expect_publish(to, QOS(0), 0, "t", "", "kept");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/*
 * Where the subscriber's session alone is recorded, a retained message and a will wait there, and
 * with them what has their QoS. [MQTT-4.6.0-5] [MQTT-4.6.0-6]
 */
START_TEST(in_their_order_at_the_subscriber)
{
	for (uint8_t qos = 0, first = QOS(0); qos < 2; qos++, first = QOS(1)) {
		begin(2);
		struct mqtt_connect connect = connect_of(V5, bench_name(&bench, 0, "from"), true);
		connect.has_will = true;
		connect.will = (struct mqtt_will){
		    .qos = qos, .topic = slice_text("t"), .payload = slice_text("will")};
		struct peer *from = come_up(&bench, 0, &connect, false);
		struct peer *to = new_lasting(bench_name(&bench, 1, "to"));
		subscribe(to, "#", 2);
		bench.hold_store = true;
		peer_publish(from, QOS(2), 1, "t", "", "one");
		peer_publish(from, first, qos * 2, "t", "", "overtakes");
		expect_publish(to, first, qos * 2, "t", "", "overtakes");
		peer_publish(from, first | RETAIN, qos * 3, "t", "", "kept");
		peer_publish(from, first, qos * 4, "t", "", "next");
		peer_publish(from, QOS(2), 5, "t", "", "two");
		peer_lose(from);
		expect_nothing(to);
		bench_store_one(&bench);
		expect_publish(to, QOS(2), 1, "t", "", "one");
		expect_publish(to, first, qos * 3, "t", "", "kept");
		expect_publish(to, first, qos * 4, "t", "", "next");
		expect_nothing(to);
		bench_store_all(&bench);
		expect_publish(to, QOS(2), qos == 0 ? 2 : 5, "t", "", "two");
		expect_publish(to, first, qos * 6, "t", "", "will");
		expect_nothing(to);
		bench_finish(&bench);
	}
}
END_TEST

/* One of QoS 0 behind a message that is refused, or whose session ends: nobody sends it again. */
START_TEST(at_most_once_behind_a_refusal)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "#", 0);
	bench.hold_store = true;
	peer_publish(from, QOS(2) | RETAIN, 1, "t", "", "x");
	peer_publish(from, QOS(0) | RETAIN, 0, "t", "", "y");
	peer_lose(from);
	expect_nothing(to);
	bench.refuse_batches = 1;
	bench_store_all(&bench);
	expect_publish(to, QOS(0), 0, "t", "", "y");
	ck_assert_uint_eq(counted(&bench, RETAINED), 1);
	bench.hold_store = false;
	from = back("from");
	bench.hold_store = true;
	peer_publish(from, QOS(2) | RETAIN, 1, "t", "", "x");
	peer_publish(from, QOS(0) | RETAIN, 0, "t", "", "z");
	peer_send(from, 0xE0, "00 05 11 00000000");
	expect_publish(to, QOS(0), 0, "t", "", "z");
	ck_assert_uint_eq(counted(&bench, DROPPED_SESSION_END), 0);
	bench_store_all(&bench);
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* An identifier is not given again until the store knows of its end. [MQTT-2.2.1-4] */
START_TEST(identifiers_wait_for_their_end)
{
	begin(1);
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2), 1, "t", "", "x");
	peer_publish(from, QOS(2), 2, "t", "", "x");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	expect_publish(to, QOS(2), 2, "t", "", "x");
	peer_send(to, 0x50, "0001");
	peer_send(to, 0x50, "0002");
	expect(to, 0x62, "0001");
	expect(to, 0x62, "0002");
	peer_send(to, 0x70, "0001");
	bench.hold_store = true;
	peer_send(to, 0x70, "0002");
	for (unsigned i = 0; i < 70000; i++) { /* more than there are */
		char ack[8];

		peer_publish(from, QOS(1), 9, "t", "", "x");
		ck_assert_uint_eq(to->in[0], 0x32);
		unsigned id = to->in[5] * 256u + to->in[6]; /* behind topic "t" */
		ck_assert_uint_ne(id, 2);
		expect_publish(to, QOS(1), (uint16_t)id, "t", "", "x");
		snprintf(ack, sizeof ack, "%04x", id);
		peer_send(to, 0x40, ack);
		from->in_len = 0;
	}
	peer_send(to, 0x50, "0002"); /* not one that is under way */
	expect(to, 0x62, "0002 92");
	bench_store_all(&bench);
	bench_finish(&bench);
}
END_TEST

/* ---- refused records ---- */

/* A PUBLISH whose record is refused goes nowhere, and the publisher is told. */
START_TEST(refused_publish)
{
	begin(2);
	struct peer *from = new_lasting(bench_name(&bench, 0, "from"));
	const char *old_id = bench_name(&bench, 0, "old");
	struct peer *old = new_in(V3, old_id, __LINE__);
	struct peer *to = new_lasting(bench_name(&bench, 0, "to"));
	struct peer *far = new_lasting(bench_name(&bench, 1, "far"));
	subscribe(to, "t", 0);
	subscribe(far, "t", 1);
	bench.refuse_batches = 1;
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect(from, 0x50, "0005 97");
	bench.refuse_batches = 1;
	peer_publish(old, QOS(2), 5, "t", "", "x");
	expect_end(old, 0);
	expect_nothing(to);
	expect_nothing(far);
	ck_assert_uint_eq(counted(&bench, STORE_FAILED), 2);
	peer_publish(from, QOS(2), 5, "t", "", "again");
	expect_publish(to, QOS(0), 0, "t", "", "again");
	expect_publish(far, QOS(1), 1, "t", "", "again");
	old = back_in(V3, old_id, __LINE__);
	peer_publish(old, QOS(2) | DUP, 5, "t", "", "x");
	expect_publish(to, QOS(0), 0, "t", "", "x");
	expect_publish(far, QOS(1), 2, "t", "", "x");
	peer_send(far, 0x40, "0002");
	expect(old, 0x50, "0005");
	bench_finish(&bench);
}
END_TEST

/* Before 5.0 those behind the refused one come again with it, and their order stays. */
START_TEST(refused_with_others_behind)
{
	begin(1);
	struct peer *from = new_in(V3, "from", __LINE__);
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 1, "t", "", "one");
	peer_publish(from, QOS(2), 2, "t", "", "two");
	peer_publish(from, QOS(2), 3, "t", "", "three");
	bench.refuse_batches = 1;
	bench_store_one(&bench);
	expect_end(from, 0);
	bench_store_all(&bench);
	expect_nothing(to);
	from = back_in(V3, "from", __LINE__);
	bench.hold_store = false;
	peer_publish(from, QOS(2) | DUP, 1, "t", "", "one");
	peer_publish(from, QOS(2) | DUP, 2, "t", "", "two");
	peer_publish(from, QOS(2) | DUP, 3, "t", "", "three");
	expect_publish(to, QOS(2), 1, "t", "", "one");
	expect_publish(to, QOS(2), 2, "t", "", "two");
	expect_publish(to, QOS(2), 3, "t", "", "three");
	bench_restart(&bench);
	to = back("to");
	from = back_in(V3, "from", __LINE__);
	peer_publish(from, QOS(2) | DUP, 1, "t", "", "one");
	peer_publish(from, QOS(2) | DUP, 3, "t", "", "three");
	expect_publish(to, DUP | QOS(2), 1, "t", "", "one");
	expect_publish(to, DUP | QOS(2), 3, "t", "", "three");
	bench_finish(&bench);
}
END_TEST

/* All other steps are tried again, once a second and in order. */
START_TEST(refused_steps)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 5, "t", "", "x");
	bench_store_one(&bench);
	bench.refuse_batches = 1;
	bench_store_one(&bench); /* PUBLISH refused */
	expect_nothing(to);
	bench.hold_store = false;
	peer_publish(from, QOS(2), 6, "t", "", "y"); /* not before the first one */
	expect_nothing(to);
	bench_pass_ms(&bench, 1000);
	expect_publish(to, QOS(2), 1, "t", "", "x");
	expect_publish(to, QOS(2), 2, "t", "", "y");
	bench.refuse_batches = 3;
	peer_send(to, 0x50, "0001");
	expect(from, 0x50, "0005");
	peer_send(to, 0x50, "0002");
	expect(from, 0x50, "0006");
	peer_send(from, 0x62, "0005");
	bench_pass_ms(&bench, 1000);
	expect(to, 0x62, "0001");
	expect(to, 0x62, "0002");
	expect(from, 0x70, "0005");
	bench.refuse_batches = 4;
	peer_send(to, 0x70, "0001");
	peer_send(from, 0x62, "0006");
	bench_pass_ms(&bench, 1000);
	expect_nothing(from);
	bench_pass_ms(&bench, 3000);
	expect(from, 0x70, "0006");
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 1);
	bench_finish(&bench);
}
END_TEST

/* A session that ends takes what was refused with it. */
START_TEST(refused_and_ended)
{
	struct mqtt_connect clean = connect_of(V5, "to", true);

	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	bench.refuse_batches = 1;
	peer_send(to, 0x50, "0001");
	expect(from, 0x50, "0005");
	to = come_up(&bench, 0, &clean, false);
	bench_pass_ms(&bench, 3000);
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* ---- people who come and go while steps are under way ---- */

START_TEST(publisher_comes_back)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 5, "t", "", "x");
	peer_lose(from);
	from = back("from");
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	bench_store_all(&bench);
	expect_publish(to, QOS(2), 1, "t", "", "x");
	peer_lose(from);
	peer_send(to, 0x50, "0001");
	bench_store_all(&bench);
	expect(to, 0x62, "0001");
	from = back("from");
	expect_nothing(from);
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	expect(from, 0x50, "0005");
	peer_send(from, 0x62, "0005");
	peer_lose(from);
	from = back("from");
	peer_send(from, 0x62, "0005");
	peer_send(from, 0x62, "0005");
	expect_nothing(from);
	bench_store_all(&bench);
	expect(from, 0x70, "0005");
	expect_nothing(from);
	peer_send(from, 0x62, "0005");
	expect(from, 0x70, "0005 92");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

START_TEST(subscriber_comes_back)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 5, "t", "", "x");
	peer_publish(from, QOS(2), 6, "t", "", "y");
	bench_store_one(&bench);
	bench_store_one(&bench);
	peer_lose(to);
	to = back("to");
	expect_nothing(to);
	bench_store_all(&bench);
	expect_publish(to, QOS(2), 1, "t", "", "x"); /* the first time: no DUP [MQTT-3.3.1-2] */
	expect_publish(to, QOS(2), 2, "t", "", "y");
	peer_send(to, 0x50, "0001");
	peer_lose(to);
	to = back("to");
	expect_publish(to, DUP | QOS(2), 2, "t", "", "y");
	peer_send(to, 0x50, "0001");
	expect_nothing(to);
	bench_store_all(&bench);
	expect(to, 0x62, "0001");
	expect_nothing(to);
	peer_send(to, 0x70, "0001");
	peer_lose(to);
	to = back("to");
	expect_publish(to, DUP | QOS(2), 2, "t", "", "y");
	peer_send(to, 0x50, "0001");
	expect(to, 0x62, "0001 92");
	bench_store_all(&bench);
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* Take-over, clean start and the end of a session with every kind of step under way. */
START_TEST(taken_over_and_ended)
{
	for (unsigned how = 0; how < 3; how++)
		for (unsigned stage = 0; stage < 6; stage++) {
			struct mqtt_connect clean = connect_of(V5, "to", true);

			begin(1);
			struct peer *from = new_lasting("from");
			struct peer *to = new_lasting("to");
			subscribe(to, "t", 2);
			bench.hold_store = true;
			peer_publish(from, QOS(2), 5, "t", "", "x");
			peer_publish(to, QOS(2), 5, "t", "", "y"); /* to itself, too */
			for (unsigned i = 0; i < stage; i++) {
				if (bench.stored)
					bench_store_one(&bench);
				peer_send(to, 0x62, "0005");
				if (i == 3)
					peer_send(to, 0x50, "0001");
			}
			if (how == 2) {
				peer_send(to, 0xE0, "00 05 11 00000000");
			} else {
				struct peer *next = peer_open(&bench, 0, V5);
				struct mqtt_connect same = lasting("to");

				peer_connect(next, how == 0 ? &same : &clean);
			}
			bench_store_all(&bench);
			bench.hold_store = false;
			bench_pass_ms(&bench, 3000);
			ck_assert_uint_eq(counted(&bench, STORE_FAILED), 0);
			peer_send(from, 0xC0, "");
			bench_restart(&bench);
			bench_finish(&bench);
		}
}
END_TEST

/* A publisher whose session ends: what it published and was not recorded is not published. */
START_TEST(publisher_ends)
{
	struct mqtt_connect clean = connect_of(V5, "from", true);

	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 5, "t", "", "x");
	from = peer_open(&bench, 0, V5);
	peer_connect(from, &clean);
	bench_store_all(&bench);
	expect_connack(from, 0);
	expect_nothing(to);
	peer_publish(from, QOS(2), 5, "t", "", "y");
	bench_store_all(&bench);
	expect_publish(to, QOS(2), 1, "t", "", "y");
	bench_finish(&bench);
}
END_TEST

START_TEST(pubrel_out_of_turn)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 5, "t", "", "x");
	peer_send(from, 0x62, "0005");
	expect(from, 0x70, "0005 92");
	bench_store_all(&bench);
	expect_publish(to, QOS(2), 1, "t", "", "x");
	peer_send(from, 0x62, "0005"); /* before PUBREC */
	expect(from, 0x70, "0005 92");
	peer_send(to, 0x50, "0001");
	expect(from, 0x50, "0005");
	peer_send(from, 0x62, "0005");
	peer_send(from, 0x62, "0005");
	bench_store_all(&bench);
	expect(from, 0x70, "0005");
	expect_nothing(from);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.3.2-5], and the gate opens. */
START_TEST(expires_while_it_waits)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 5, "t", "02 00000001", "x");
	bench_store_one(&bench);
	bench_pass_ms(&bench, 1001);
	bench_store_all(&bench);
	expect_nothing(to);
	expect(from, 0x50, "0005");
	ck_assert_uint_eq(counted(&bench, DROPPED_EXPIRED), 1);
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 0);
	bench.hold_store = false;
	bench_pass_ms(&bench, 2000);
	bench_restart(&bench);
	to = back("to");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.1.2-25] */
START_TEST(too_large_for_the_subscriber)
{
	struct mqtt_connect small = lasting("to");

	mqtt_set(&small.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	small.properties.maximum_packet_size = 60;
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = come_up(&bench, 0, &small, false);
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2), 5, "t", "",
		     "0123456789012345678901234567890123456789012345678901234567890123456789");
	expect_nothing(to);
	expect(from, 0x50, "0005");
	ck_assert_uint_eq(counted(&bench, DROPPED_TOO_LARGE), 1);
	peer_publish(from, QOS(2), 6, "t", "", "x");
	expect_publish(to, QOS(2), 2, "t", "", "x");
	bench_finish(&bench);
}
END_TEST

Suite *records_suite(void)
{
	const TTest *tests[] = {each_packet_waits,
				others_wait_for_nothing,
				waits_across_shards,
				in_their_order,
				in_their_order_at_the_subscriber,
				at_most_once_behind_a_refusal,
				identifiers_wait_for_their_end,
				refused_publish,
				refused_with_others_behind,
				refused_steps,
				refused_and_ended,
				publisher_comes_back,
				subscriber_comes_back,
				taken_over_and_ended,
				publisher_ends,
				pubrel_out_of_turn,
				expires_while_it_waits,
				too_large_for_the_subscriber};
	Suite *suite = suite_create("records");
	TCase *tcase = tcase_create("records");

	tcase_set_timeout(tcase, 240);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return suite;
}
