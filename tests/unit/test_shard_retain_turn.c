/* Retained messages and the session's queue: whose turn it is.  MQTT 5.0 sections 3.3.1.3 and 4.6.
 */
#include <stdio.h>

#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V5 MQTT_VERSION_5_0

/* It expires after a second. */
#define SHORT "02 00000001"

static struct peer *to, *from;

static struct mqtt_connect one_at_a_time(void)
{
	struct mqtt_connect connect = connect_lasting(V5, "to", 100);

	mqtt_set(&connect.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	connect.properties.receive_maximum = 1;
	return connect;
}

static void start(void)
{
	struct mqtt_connect connect = one_at_a_time();

	bench_start(&bench);
	to = come_up(&bench, 0, &connect, false);
	from = new_peer(&bench, V5, "from");
	subscribe(to, "live", 1);
}

/* One who takes one message at a time, and one who publishes. */
static void begin(uint32_t max_queued_messages)
{
	bench_init(&bench, 1);
	bench.settings.max_queued_messages = max_queued_messages;
	start();
}

/* Likewise, and one of QoS 2 is to be recorded before it comes. */
static void begin_with_a_record(uint32_t max_queued_messages)
{
	bench_init(&bench, 1);
	bench.settings.max_queued_messages = max_queued_messages;
	bench.settings.queue_policy = QUEUE_DROP_OLD;
	bench.settings.ack_when_delivered = bench.durable = true;
	bench.settings.ack_hold_max_ms = 100000;
	start();
	subscribe(to, "t/#", 2);
	subscribe(to, "$share/g/s", 0);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 1, "t/2", "", "recorded");
	expect_nothing(to);
}

static void live(const char *properties, const char *payload)
{
	peer_publish(from, QOS(1), 1, "live", properties, payload);
}

static void acknowledge(uint16_t id)
{
	char body[8];

	snprintf(body, sizeof body, "%04x", id);
	peer_send(to, 0x40, body);
}

/* Something is retained, and "m1" is with the client, unacknowledged. */
static void waits_behind_one(const char *payload)
{
	peer_publish(from, RETAIN | QOS(1), 1, "t", "", payload);
	live("", "m1");
	expect_publish(to, QOS(1), 1, "live", "", "m1");
}

static void asks(void)
{
	peer_send(to, 0x82, "0009 00 0001 't' 01");
	expect(to, 0x90, "0009 00 01");
}

/* The exchange of what was recorded is completed, and makes room for two of QoS 1. */
static void completes_recorded(void)
{
	peer_send(to, 0x50, "0001");
	bench_store_all(&bench);
	expect(to, 0x62, "0001");
	peer_send(to, 0x70, "0001");
	bench_store_all(&bench);
	expect_publish(to, QOS(1), 2, "live", "", "m1");
	acknowledge(2);
	expect_publish(to, QOS(1), 3, "live", "", "m2");
}

/* Behind what waited when they were asked for, before what came later. [MQTT-4.6.0-6] */
START_TEST(each_in_its_turn)
{
	static const char *const first[] = {"m1", "m2", "m3"};

	begin(10);
	peer_publish(from, RETAIN | QOS(1), 1, "t", "", "r");
	for (unsigned i = 0; i < COUNT_OF(first); i++)
		live("", first[i]);
	peer_send(to, 0x82, "0009 00 0001 't' 01");
	live("", "m4");
	for (uint16_t i = 0; i < COUNT_OF(first); i++) {
		expect_publish(to, QOS(1), i + 1, "live", "", first[i]);
		if (i == 0)
			expect(to, 0x90, "0009 00 01");
		acknowledge(i + 1);
	}
	expect_publish(to, RETAIN | QOS(1), 4, "t", "", "r");
	acknowledge(4);
	expect_publish(to, QOS(1), 5, "live", "", "m4");
	bench_finish(&bench);
}
END_TEST

/* What leaves the queue from between others moves nothing: neither those that were there, nor those
 * that come, again and again. */
START_TEST(behind_what_expires)
{
	begin(4);
	waits_behind_one("r");
	live(SHORT, "-");
	live("", "m2");
	live(SHORT, "-");
	live("", "m3");
	asks();
	bench_pass_ms(&bench, 2000);
	live(SHORT, "-");
	live(SHORT, "-");
	ck_assert_uint_eq(counted(&bench, DROPPED_EXPIRED), 2);
	acknowledge(1);
	expect_publish(to, QOS(1), 2, "live", "", "m2");
	live("", "m4");
	bench_pass_ms(&bench, 2000);
	live("", "m5");
	ck_assert_uint_eq(counted(&bench, DROPPED_EXPIRED), 4);
	acknowledge(2);
	expect_publish(to, QOS(1), 3, "live", "", "m3");
	acknowledge(3);
	expect_publish(to, RETAIN | QOS(1), 4, "t", "", "r");
	acknowledge(4);
	expect_publish(to, QOS(1), 5, "live", "", "m4");
	acknowledge(5);
	expect_publish(to, QOS(1), 6, "live", "", "m5");
	bench_finish(&bench);
}
END_TEST

/* Nor does it let a newer one of the same topic go first. */
START_TEST(newest_comes_last_behind_what_expires)
{
	begin(4);
	waits_behind_one("old");
	for (int i = 0; i < 3; i++)
		live(SHORT, "-");
	asks();
	peer_publish(from, RETAIN | QOS(1), 1, "t", "", "new");
	bench_pass_ms(&bench, 2000);
	live("", "m2");
	ck_assert_uint_eq(counted(&bench, DROPPED_EXPIRED), 3);
	acknowledge(1);
	expect_publish(to, RETAIN | QOS(1), 2, "t", "", "old");
	acknowledge(2);
	expect_publish(to, QOS(1), 3, "t", "", "new");
	acknowledge(3);
	expect_publish(to, QOS(1), 4, "live", "", "m2");
	bench_finish(&bench);
}
END_TEST

/* One that is dropped takes the place of the one that waits, though another one was sent between
 * the two; and gives way to one that is sent after it. [MQTT-3.3.1-9] */
START_TEST(dropped_after_one_that_was_sent)
{
	for (int again = 0; again < 2; again++) {
		begin(1);
		waits_behind_one("first");
		asks();
		peer_publish(from, RETAIN, 0, "t", "", "sent");
		expect_publish(to, 0, 0, "t", "", "sent");
		live("", "m2");
		peer_publish(from, RETAIN | QOS(1), 1, "t", "", "dropped");
		ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 1);
		if (again) {
			peer_publish(from, RETAIN, 0, "t", "", "sent, too");
			expect_publish(to, 0, 0, "t", "", "sent, too");
		}
		acknowledge(1);
		if (!again) {
			expect_publish(to, RETAIN | QOS(1), 2, "t", "", "dropped");
			acknowledge(2);
		}
		expect_publish(to, QOS(1), again ? 2 : 3, "live", "", "m2");
		bench_finish(&bench);
	}
}
END_TEST

/* Likewise before it was found; it is sent in its turn, or one that was sent at last stays. */
START_TEST(dropped_before_it_was_found)
{
	begin(1);
	peer_publish(from, RETAIN | QOS(1), 1, "a", "", "a");
	live("", "m1");
	expect_publish(to, QOS(1), 1, "live", "", "m1");
	peer_send(to, 0x82, "0009 00 0001 'a' 01 0001 't' 01");
	expect(to, 0x90, "0009 00 01 01");
	peer_publish(from, RETAIN, 0, "t", "", "sent");
	expect_publish(to, 0, 0, "t", "", "sent");
	live("", "m2");
	peer_publish(from, RETAIN | QOS(1), 1, "t", "", "dropped");
	ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 1);
	acknowledge(1);
	expect_publish(to, RETAIN | QOS(1), 2, "a", "", "a");
	acknowledge(2);
	expect_publish(to, QOS(1), 3, "live", "", "m2");
	acknowledge(3);
	expect_publish(to, RETAIN | QOS(1), 4, "t", "", "dropped");
	acknowledge(4);
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* One that waits in the queue is not to come behind a newer one, which is dropped for good. */
START_TEST(dropped_behind_one_that_waits)
{
	begin(1);
	waits_behind_one("found");
	asks();
	peer_publish(from, RETAIN | QOS(1), 1, "t", "", "queued");
	peer_publish(from, RETAIN | QOS(1), 1, "t", "", "dropped");
	acknowledge(1);
	expect_publish(to, RETAIN | QOS(1), 2, "t", "", "found");
	acknowledge(2);
	expect_publish(to, QOS(1), 3, "t", "", "queued");
	bench_finish(&bench);
}
END_TEST

/* One that came before the SUBSCRIBE is older than what that found. */
START_TEST(older_one_is_dropped)
{
	begin(1);
	bench.settings.queue_policy = QUEUE_DROP_OLD;
	subscribe(to, "t", 1);
	live("", "m1");
	expect_publish(to, QOS(1), 1, "live", "", "m1");
	peer_publish(from, RETAIN | QOS(1), 1, "t", "", "old");
	peer_send(to, 0xA2, "0008 00 0001 't'");
	expect(to, 0xB0, "0008 00 00");
	peer_publish(from, RETAIN | QOS(1), 1, "t", "", "new");
	asks();
	live("", "m2");
	ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 1);
	acknowledge(1);
	expect_publish(to, RETAIN | QOS(1), 2, "t", "", "new");
	acknowledge(2);
	expect_publish(to, QOS(1), 3, "live", "", "m2");
	bench_finish(&bench);
}
END_TEST

/* One of QoS 0 waits for the record, and for no acknowledgement: neither for that of QoS 2, nor
 * behind what waits for it.  Nor does what is behind it. [MQTT-4.6.0-5] */
START_TEST(at_most_once_waits_for_records_alone)
{
	begin_with_a_record(10);
	live("", "m1");
	peer_publish(from, RETAIN, 0, "t", "", "r");
	peer_publish(from, 0, 0, "t", "", "behind");
	live("", "m2");
	expect_nothing(to);
	bench_store_all(&bench);
	expect_publish(to, QOS(2), 1, "t/2", "", "recorded");
	expect_publish(to, 0, 0, "t", "", "r");
	expect_publish(to, 0, 0, "t", "", "behind");
	peer_publish(from, RETAIN, 0, "t", "", "at once");
	expect_publish(to, 0, 0, "t", "", "at once");
	completes_recorded();
	bench_finish(&bench);
}
END_TEST

/* It takes nobody's place in the queue, and has room of its own. */
START_TEST(at_most_once_drops_no_other)
{
	begin_with_a_record(2);
	live("", "m1");
	live("", "m2");
	peer_publish(from, RETAIN, 0, "t", "", "r");
	peer_publish(from, 0, 0, "t", "", "1");
	peer_publish(from, 0, 0, "t", "", "2");
	ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 1);
	bench_store_all(&bench);
	expect_publish(to, QOS(2), 1, "t/2", "", "recorded");
	expect_publish(to, 0, 0, "t", "", "r");
	expect_publish(to, 0, 0, "t", "", "1");
	completes_recorded();
	ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 1);
	bench_finish(&bench);
}
END_TEST

/* What waits for the window beside it, and what waits behind that, come in their order. */
START_TEST(at_most_once_in_its_turn)
{
	struct mqtt_connect connect = one_at_a_time();

	begin_with_a_record(10);
	peer_publish(from, RETAIN, 0, "t", "", "1");
	live("", "2");
	peer_publish(from, RETAIN, 0, "t", "", "3");
	peer_lose(to);
	bench_store_all(&bench);
	connect.properties.receive_maximum = 10;
	to = come_up(&bench, 0, &connect, true);
	expect_publish(to, QOS(2), 1, "t/2", "", "recorded");
	expect_publish(to, 0, 0, "t", "", "1");
	expect_publish(to, QOS(1), 2, "live", "", "2");
	expect_publish(to, 0, 0, "t", "", "3");
	bench_finish(&bench);
}
END_TEST

/* It is the session's, and ends with it. */
START_TEST(at_most_once_waits_for_who_is_away)
{
	struct mqtt_connect connect = one_at_a_time();

	for (int ends = 0; ends < 2; ends++) {
		begin_with_a_record(10);
		peer_publish(from, RETAIN, 0, "t", "", "r");
		peer_lose(to);
		bench_store_all(&bench);
		bench.hold_store = false;
		connect.clean_start = ends;
		to = come_up(&bench, 0, &connect, !ends);
		if (!ends) {
			expect_publish(to, QOS(2), 1, "t/2", "", "recorded");
			expect_publish(to, 0, 0, "t", "", "r");
		}
		ck_assert_uint_eq(counted(&bench, DROPPED_SESSION_END), ends ? 2 : 0);
		expect_nothing(to);
		bench_finish(&bench);
	}
}
END_TEST

/* A member of a shared group has it like any other; when its session ends, another one gets it. */
START_TEST(at_most_once_goes_to_another_member)
{
	begin_with_a_record(10);
	peer_publish(from, RETAIN, 0, "s", "", "shared");
	expect_nothing(to);
	struct peer *other = new_peer(&bench, V5, "other");
	subscribe(other, "$share/g/s", 0);
	peer_send(to, 0xE0, "00 05 11 00000000"); /* its session ends */
	bench_store_all(&bench);
	expect_publish(other, 0, 0, "s", "", "shared");
	bench_finish(&bench);
}
END_TEST

Suite *shard_retain_turn_suite(void)
{
	const TTest *tests[] = {
	    each_in_its_turn,
	    behind_what_expires,
	    newest_comes_last_behind_what_expires,
	    dropped_after_one_that_was_sent,
	    dropped_before_it_was_found,
	    dropped_behind_one_that_waits,
	    older_one_is_dropped,
	    at_most_once_waits_for_records_alone,
	    at_most_once_drops_no_other,
	    at_most_once_in_its_turn,
	    at_most_once_waits_for_who_is_away,
	    at_most_once_goes_to_another_member,
	};

	return suite_of("shard_retain_turn", tests, COUNT_OF(tests));
}
