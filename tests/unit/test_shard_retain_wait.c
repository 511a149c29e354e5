/* Retained messages from SUBSCRIBE to SUBACK and beyond: MQTT 5.0 sections 3.3.1.3 and 3.8.4. */
#include <stdio.h>

#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V3 MQTT_VERSION_3_1_1
#define V5 MQTT_VERSION_5_0

/* Options of a subscription. */
#define NO_LOCAL    4
#define HANDLING(n) ((uint8_t)((n) << 4))

/* Of the filter "t", with packet identifiers of their own. */
#define SUBSCRIBE_T(id, identifier, options) "\x82\x09\0" id "\2\x0B" identifier "\0\1t" options
#define UNSUBSCRIBE_T(id)		     "\xA2\x06\0" id "\0\0\1t"

/* SUBACKs wait for the commit of a session that lasts. */
static struct peer *lasting(const char *id, uint32_t receive_maximum)
{
	struct mqtt_connect connect = connect_lasting(V5, id, 100);

	if (receive_maximum > 0) {
		mqtt_set(&connect.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
		connect.properties.receive_maximum = (uint16_t)receive_maximum;
	}
	return come_up(&bench, 0, &connect, false);
}

static struct peer *to, *from;

/* One who subscribes, and one who publishes. */
static void begin(void)
{
	bench_init(&bench, 1);
	bench.durable = true;
	bench_start(&bench);
	to = lasting("to", 0);
	from = new_peer(&bench, V5, "from");
}

/* What is published between the two is live, and is that once, whatever its QoS. */
START_TEST(live_before_suback)
{
	static const char *const names[] = {"to 0", "to 1", "to 2"};

	bench_init(&bench, 1);
	bench.durable = true;
	bench_start(&bench);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, RETAIN, 0, "old", "", "o");
	for (uint8_t qos = 0; qos < 3; qos++) {
		to = lasting(names[qos], 0);
		bench.hold_store = true;
		peer_send(to, 0x82, "0001 00 0001 '+' 00");
		peer_publish(from, (uint8_t)(RETAIN | QOS(qos)), qos ? 7 : 0, "t", "", "x");
		expect_publish(to, 0, 0, "t", "", "x");
		if (qos == 2)
			peer_send(from, 0x62, "0007");
		bench_store_all(&bench);
		bench.hold_store = false;
		expect(to, 0x90, "0001 00 00");
		expect_publish(to, RETAIN, 0, "old", "", "o");
		expect_nothing(to);
		peer_publish(from, RETAIN, 0, "t", "", "");
	}
	bench_finish(&bench);
}
END_TEST

/* The other shard did not know the filter yet, so that what it published last is retained only. */
START_TEST(newer_at_the_home)
{
	struct peer *near, *far;
	const char *topic;

	bench_begin(&bench, 2);
	topic = bench_name(&bench, 0, "t");
	to = new_peer(&bench, V5, bench_name(&bench, 0, "to"));
	near = new_peer(&bench, V5, bench_name(&bench, 0, "near"));
	far = new_peer(&bench, V5, bench_name(&bench, 1, "far"));
	bench.hold_mail = true;
	peer_send(to, 0x82, "0001 00 0001 '#' 00");
	peer_publish(near, RETAIN, 0, topic, "", "old");
	expect_publish(to, 0, 0, topic, "", "old");
	peer_publish(far, RETAIN, 0, topic, "", "new");
	bench.hold_mail = false;
	bench_settle(&bench);
	expect(to, 0x90, "0001 00 00");
	expect_publish(to, RETAIN, 0, topic, "", "new");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

enum { MANY = 100 };

static void publish_many(uint8_t qos, const char *payload)
{
	char topic[16];

	for (int i = 0; i < MANY; i++) {
		snprintf(topic, sizeof topic, "n/%d", i);
		peer_publish(from, (uint8_t)(RETAIN | QOS(qos)), qos, topic, "", payload);
	}
}

/* MANY retained messages, and one who takes one at a time and has little room for others. */
static void begin_slowly(enum queue_policy policy, const char *payload)
{
	bench_init(&bench, 1);
	bench.settings.max_queued_messages = 10;
	bench.settings.queue_policy = policy;
	bench_start(&bench);
	to = lasting("to", 1);
	from = new_peer(&bench, V5, "from");
	publish_many(1, payload);
}

struct one_of_many {
	unsigned number; /* of its topic */
	uint8_t qos;
	uint8_t first; /* of its payload, 0 for none */
};

/* Takes the next PUBLISH of those, and acknowledges it; false: there is none. */
static bool next_of_many(struct one_of_many *one)
{
	bool found = false;

	while (!found && to->in_len > 0) {
		struct frame frame;
		struct mqtt_publish publish = {0};
		char body[16];

		ck_assert_int_eq(frame_cut(slice_of(to->in, to->in_len), &frame), FRAME_WHOLE);
		found = frame.type == MQTT_PUBLISH;
		if (found)
			ck_assert_int_eq(mqtt_decode_publish(frame.flags, frame.body, V5, &publish),
					 MQTT_SUCCESS);
		*one = (struct one_of_many){.qos = publish.qos};
		if (publish.payload.len > 0)
			one->first = publish.payload.at[0];
		for (size_t i = strlen("n/"); i < publish.topic.len; i++)
			one->number = one->number * 10 + publish.topic.at[i] - '0';
		snprintf(body, sizeof body, "%04x", publish.packet_id);
		to->in_len -= frame.size;
		memmove(to->in, to->in + frame.size, to->in_len);
		if (publish.qos > 0)
			peer_send(to, 0x40, body);
	}
	return found;
}

/* Takes all that come: of how many topics? */
static unsigned topics_of_many(void)
{
	bool of_topic[MANY] = {false};
	struct one_of_many one;
	unsigned seen = 0;

	while (next_of_many(&one)) {
		seen += !of_topic[one.number];
		of_topic[one.number] = true;
	}
	return seen;
}

/* A live one that was dropped is no newer one, at once or later: the retained one comes.
 * [MQTT-3.3.1-9] */
START_TEST(dropped_is_not_delivered)
{
	static const enum queue_policy policies[] = {QUEUE_DROP_NEW, QUEUE_DROP_OLD};

	for (unsigned i = 0; i < COUNT_OF(policies); i++) {
		begin_slowly(policies[i], "old");
		peer_send(to, 0x82, "0001 00 0003 'n/#' 01");
		expect(to, 0x90, "0001 00 01");
		publish_many(1, "new");
		ck_assert_uint_gt(counted(&bench, DROPPED_QUEUE_FULL), 0);
		ck_assert_uint_eq(topics_of_many(), MANY);
		bench_finish(&bench);
	}
}
END_TEST

/* They may be larger than all that a session may have waiting: they wait where they are found.
 * [MQTT-3.3.1-9] */
START_TEST(larger_than_the_queue)
{
	static const char *const names[] = {"to 0", "to 1"};
	static char payload[4001];

	memset(payload, 'p', sizeof payload - 1);
	bench_init(&bench, 1);
	bench.settings.max_queued_bytes = 10000;
	bench_start(&bench);
	from = new_peer(&bench, V5, "from");
	publish_many(1, payload);
	for (uint8_t qos = 0; qos < 2; qos++) {
		to = lasting(names[qos], 10);
		peer_send(to, 0x82, qos ? "0001 00 0003 'n/#' 01" : "0001 00 0003 'n/#' 00");
		expect(to, 0x90, qos ? "0001 00 01" : "0001 00 00");
		ck_assert_uint_eq(topics_of_many(), MANY);
	}
	ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 0);
	ck_assert_uint_eq(counted(&bench, DROPPED_SLOW), 0);
	bench_finish(&bench);
}
END_TEST

/* One that waits for its turn is passed over for a newer one that does not have to. */
START_TEST(newest_comes_last)
{
	for (uint8_t qos = 0; qos < 2; qos++) {
		uint8_t last[MANY] = {0};
		struct one_of_many one;

		begin_slowly(QUEUE_DROP_NEW, "old");
		bench.settings.max_queued_messages = 2 * MANY;
		peer_send(to, 0x82, "0001 00 0003 'n/#' 01");
		expect(to, 0x90, "0001 00 01");
		publish_many(qos, "new");
		while (next_of_many(&one))
			last[one.number] = one.first;
		for (unsigned i = 1; i < MANY; i++)
			ck_assert_uint_eq(last[i], 'n');
		bench_finish(&bench);
	}
}
END_TEST

/* Nor does one come after a newer one where QoS 2 waits for its record. */
START_TEST(newest_comes_last_behind_a_record)
{
	for (uint8_t qos = 0; qos < 2; qos++) {
		bench_init(&bench, 1);
		bench.durable = bench.settings.ack_when_delivered = true;
		bench.settings.ack_hold_max_ms = 1000;
		bench_start(&bench);
		to = lasting("to", 0);
		from = new_peer(&bench, V5, "from");
		subscribe(to, "t", 2 | HANDLING(1));
		peer_publish(from, RETAIN, 0, "t", "", "-");
		expect_publish(to, 0, 0, "t", "", "-");
		peer_publish(from, RETAIN | QOS(2), 1, "t", "", "old");
		expect_publish(to, QOS(2), 1, "t", "", "old");
		bench.hold_store = true;
		peer_send(to, 0x82, "0001 00 0001 't' 02");
		expect(to, 0x90, "0001 00 02");
		peer_publish(from, (uint8_t)(RETAIN | QOS(qos)), qos * 2, "t", "", "new");
		expect_nothing(to);
		bench_store_all(&bench);
		bench.hold_store = false;
		expect_publish(to, RETAIN | QOS(2), 2, "t", "", "old");
		expect_publish(to, (uint8_t)QOS(qos), qos * 3, "t", "", "new");
		bench_finish(&bench);
	}
}
END_TEST

/* Whoever has unsubscribed meanwhile gets none. [MQTT-3.10.4-2] */
START_TEST(unsubscribed_before_suback)
{
	begin();
	peer_publish(from, RETAIN, 0, "t", "", "x");
	peer_bytes(to, SLICE_LITERAL(SUBSCRIBE_T("\1", "\5", "\0") UNSUBSCRIBE_T("\2")));
	ck_assert_uint_eq(counted(&bench, PUBLISH_SENT), 0);
	to->in_len = 0;
	/* Asked for again: once, after the SUBACK that is its own. */
	peer_bytes(to, SLICE_LITERAL(SUBSCRIBE_T("\1", "\5", "\0") UNSUBSCRIBE_T("\2")
					 SUBSCRIBE_T("\3", "\6", "\0")));
	ck_assert_uint_eq(counted(&bench, PUBLISH_SENT), 1);
	bench_finish(&bench);
}
END_TEST

/* Twice asked for, twice sent, as the subscription is by then. [MQTT-3.8.4-3] [MQTT-3.8.4-4]
 * [MQTT-3.8.4-5] */
START_TEST(subscribed_twice)
{
	begin();
	peer_publish(from, RETAIN | QOS(1), 1, "t", "", "x");
	bench.hold_store = true;
	peer_bytes(to, SLICE_LITERAL(SUBSCRIBE_T("\1", "\5", "\0") SUBSCRIBE_T("\2", "\7", "\1")));
	bench_store_all(&bench);
	bench.hold_store = false;
	expect(to, 0x90, "0001 00 00");
	expect_publish(to, RETAIN | QOS(1), 1, "t", "0B 07", "x");
	expect(to, 0x90, "0002 00 01");
	expect_publish(to, RETAIN | QOS(1), 2, "t", "0B 07", "x");
	expect_nothing(to);
	peer_send(to, 0x82, "0003 00 0001 't' 00 0001 't' 00");
	expect(to, 0x90, "0003 00 00 00");
	expect_publish(to, RETAIN, 0, "t", "", "x");
	expect_publish(to, RETAIN, 0, "t", "", "x");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* The connection ends before the SUBACK, the session does not: it has them. [MQTT-3.3.1-10] */
START_TEST(lost_before_suback)
{
	struct mqtt_connect again = connect_lasting(V5, "to", 100);
	for (uint8_t qos = 0; qos < 2; qos++) {
		begin();
		peer_publish(from, RETAIN | QOS(1), 1, "t", "", "x");
		bench.hold_store = true; /* if it is new */
		peer_send(to, 0x82, qos ? "0001 00 0001 't' 11" : "0001 00 0001 't' 10");
		peer_lose(to);
		bench_store_all(&bench);
		bench.hold_store = false;
		to = come_up(&bench, 0, &again, true);
		expect_publish(to, (uint8_t)(RETAIN | QOS(qos)), qos, "t", "", "x");
		subscribe(to, "t", qos | HANDLING(1));
		expect_nothing(to);
		bench_finish(&bench);
	}
}
END_TEST

/* Or among them: who comes back has those that had not been sent, as they are by then. */
START_TEST(lost_in_between)
{
	static char payload[4001];
	struct mqtt_connect again = connect_lasting(V5, "to", 100);
	struct one_of_many one;
	uint64_t sent;

	memset(payload, 'p', sizeof payload - 1);
	begin();
	publish_many(0, payload);
	to->full = true;
	peer_send(to, 0x82, "0001 00 0003 'n/#' 00");
	sent = counted(&bench, PUBLISH_SENT);
	ck_assert_uint_lt(sent, MANY);
	peer_lose(to);
	publish_many(0, "new");
	peer_publish(from, RETAIN, 0, "n/50", "", ""); /* which had been found */
	to = come_up(&bench, 0, &again, true);
	while (next_of_many(&one)) {
		ck_assert_uint_eq(one.first, 'n');
		ck_assert_uint_ne(one.number, 50);
		sent++;
	}
	ck_assert_uint_eq(sent, MANY - 1);
	ck_assert_uint_eq(counted(&bench, DROPPED_AWAY), MANY + 1); /* the live ones */
	bench_finish(&bench);
}
END_TEST

/* What the store refused brings nothing; an earlier one still does. */
START_TEST(refused)
{
	begin();
	peer_publish(from, RETAIN, 0, "t", "", "x");
	bench.refuse_batches = 1;
	peer_send(to, 0x82, "0001 00 0001 't' 00");
	expect(to, 0x90, "0001 00 97");
	expect_nothing(to);
	subscribe(to, "t", 0);
	expect_publish(to, RETAIN, 0, "t", "", "x");
	bench.refuse_batches = 1;
	peer_send(to, 0x82, "0001 00 0001 't' 01");
	expect(to, 0x90, "0001 00 97");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.8.3-3] holds for them, too. */
START_TEST(no_local)
{
	struct peer *me, *other;

	bench_begin(&bench, 1);
	me = new_peer(&bench, V5, "me");
	other = new_peer(&bench, V5, "other");
	peer_publish(me, RETAIN, 0, "a", "", "mine");
	peer_publish(other, RETAIN, 0, "b", "", "not mine");
	subscribe(me, "+", NO_LOCAL);
	expect_publish(me, RETAIN, 0, "b", "", "not mine");
	expect_nothing(me);
	subscribe(me, "+", 0);
	ck_assert_uint_eq(counted(&bench, PUBLISH_SENT), 3);
	bench_finish(&bench);
}
END_TEST

/* A client is known by its identifier, though the session that published has ended. [MQTT-3.8.3-3]
 */
START_TEST(no_local_in_another_session)
{
	for (unsigned shards = 1; shards <= 3; shards += 2) {
		bench_begin(&bench, shards);
		struct peer *me = new_peer(&bench, V5, "me");
		peer_publish(me, RETAIN, 0, "a", "", "mine");
		peer_lose(me);
		peer_publish(new_peer(&bench, V5, "other"), RETAIN, 0, "b", "", "not mine");
		me = new_peer(&bench, V5, "me");
		subscribe(me, "+", NO_LOCAL);
		expect_publish(me, RETAIN, 0, "b", "", "not mine");
		expect_nothing(me);
		bench_finish(&bench);
	}
}
END_TEST

/* Those that are still to come go by the subscription that took the place. [MQTT-3.8.4-8] */
START_TEST(replaced_on_the_way)
{
	struct one_of_many one;
	unsigned count[2] = {0};

	begin_slowly(QUEUE_DROP_NEW, "x");
	peer_send(to, 0x82, "0001 02 0B05 0003 'n/#' 01");
	expect(to, 0x90, "0001 00 01");
	peer_send(to, 0x82, "0002 02 0B07 0003 'n/#' 20"); /* QoS 0, and none again */
	while (next_of_many(&one))
		count[one.qos]++;
	ck_assert_uint_eq(count[0] + count[1], MANY);
	ck_assert_uint_ge(count[0], 80);
	bench_finish(&bench);
}
END_TEST

Suite *shard_retain_wait_suite(void)
{
	const TTest *tests[] = {
	    live_before_suback,
	    newer_at_the_home,
	    dropped_is_not_delivered,
	    larger_than_the_queue,
	    newest_comes_last,
	    newest_comes_last_behind_a_record,
	    unsubscribed_before_suback,
	    subscribed_twice,
	    lost_before_suback,
	    lost_in_between,
	    refused,
	    no_local,
	    no_local_in_another_session,
	    replaced_on_the_way,
	};

	return suite_of("shard_retain_wait", tests, COUNT_OF(tests));
}
