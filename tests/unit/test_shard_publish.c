/*
 * Messages from publisher to subscriber on one shard: QoS 0, 1 and 2 in both directions,
 * windows, aliases, sizes, expiry, overlapping subscriptions.  MQTT 5.0 sections 3.3, 4.3,
 * 4.4, 4.6, 4.9.
 */
#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V3 MQTT_VERSION_3_1_1
#define V5 MQTT_VERSION_5_0

/* ---- QoS, publisher's side ---- */

/* [MQTT-4.3.1-1] [MQTT-4.3.2-4] [MQTT-4.3.3-8]: QoS n is answered as QoS n, also without
 * subscribers. */
START_TEST(answers_each_qos)
{
	struct peer *five, *three, *to;

	bench_begin(&bench, 1);
	five = new_peer(&bench, V5, "five");
	three = new_peer(&bench, V3, "three");
	peer_publish(five, QOS(0), 0, "t", "", "x");
	expect_nothing(five);
	peer_publish(five, QOS(1), 7, "t", "", "x");
	expect(five, 0x40, "0007 10"); /* no matching subscribers */
	peer_publish(five, QOS(2), 8, "t", "", "x");
	expect(five, 0x50, "0008");
	peer_send(five, 0x62, "0008");
	expect(five, 0x70, "0008");
	peer_publish(three, QOS(1), 7, "t", "", "x");
	expect(three, 0x40, "0007");
	peer_publish(three, QOS(2), 8, "t", "", "x");
	expect(three, 0x50, "0008");
	peer_send(three, 0x62, "0008");
	expect(three, 0x70, "0008");
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 0);
	peer_publish(five, QOS(1), 9, "t", "", "x");
	expect(five, 0x40, "0009");
	expect_publish(to, QOS(0), 0, "t", "", "x");
	bench_finish(&bench);
}
END_TEST

/* [MQTT-4.3.3-10]: the same identifier again before PUBREL is the same message, afterwards a new
 * one. [MQTT-4.3.3-12] */
START_TEST(qos_2_once)
{
	struct mqtt_connect connect = connect_lasting(V5, "from", 1000);
	struct peer *from, *to;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 0);
	from = come_up(&bench, 0, &connect, false);
	for (int i = 0; i < 4; i++) {
		if (i == 2) { /* the session remembers over connections [MQTT-4.1.0-1] */
			peer_lose(from);
			from = come_up(&bench, 0, &connect, true);
		}
		peer_publish(from, QOS(2) | (i ? DUP : 0), 5, "t", "", "x");
		expect(from, 0x50, "0005");
	}
	expect_publish(to, 0, 0, "t", "", "x");
	expect_nothing(to);
	peer_send(from, 0x62, "0005");
	expect(from, 0x70, "0005");
	peer_publish(from, QOS(2), 5, "t", "", "y");
	expect(from, 0x50, "0005");
	expect_publish(to, 0, 0, "t", "", "y");
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.3.4-7] on our side: one more than granted ends the connection. */
START_TEST(receive_maximum_of_ours)
{
	struct peer *peer;

	bench_init(&bench, 1);
	bench.settings.receive_maximum = 3;
	bench_start(&bench);
	peer = new_peer(&bench, V5, "p");
	for (uint16_t id = 1; id <= 3; id++) {
		peer_publish(peer, QOS(2), id, "t", "", "x");
		peer_expect(peer, 0x50, id == 1 ? "0001" : id == 2 ? "0002" : "0003", __LINE__);
	}
	peer_publish(peer, QOS(2) | DUP, 2, "t", "", "x"); /* not one more */
	expect(peer, 0x50, "0002");
	peer_send(peer, 0x62, "0002");
	expect(peer, 0x70, "0002");
	peer_publish(peer, QOS(2), 4, "t", "", "x");
	expect(peer, 0x50, "0004");
	peer_publish(peer, QOS(1), 5, "t", "", "x"); /* QoS 1 and 2 count together */
	expect_end(peer, MQTT_RECEIVE_MAXIMUM_EXCEEDED);
	bench_finish(&bench);
}
END_TEST

/* All identifiers open at once: memory stays bounded, each is one message. 3.1.1 has no limit. */
START_TEST(all_identifiers_open)
{
	uint8_t bytes[] = {0x34, 0x06, 0x00, 0x01, 't', 0, 0, 'x'};
	struct peer *peer, *to;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 0);
	peer = new_peer(&bench, V3, "p");
	uint64_t before = counted(&bench, MEMORY);
	for (uint32_t id = 1; id <= 65535; id++) {
		bytes[5] = (uint8_t)(id >> 8);
		bytes[6] = (uint8_t)id;
		peer_bytes(peer, slice_of(bytes, sizeof bytes));
		ck_assert_uint_eq(peer->in_len, 4);
		peer->in_len = 0;
		to->in_len = 0;
	}
	ck_assert_uint_le(counted(&bench, MEMORY), before + 10000 + sizeof(struct route_block));
	ck_assert_uint_eq(counted(&bench, PUBLISH_SENT), 65535);
	peer_bytes(peer, slice_of(bytes, sizeof bytes));
	expect(peer, 0x50, "FFFF");
	ck_assert_uint_eq(counted(&bench, PUBLISH_SENT), 65535);
	bench_finish(&bench);
}
END_TEST

/* ---- QoS, subscriber's side ---- */

/* [MQTT-3.8.4-8]: the lower of both; identifiers rise. [MQTT-2.2.1-4] */
START_TEST(delivers_at_the_lower_qos)
{
	struct peer *from, *to;

	bench_begin(&bench, 1);
	from = new_peer(&bench, V3, "from");
	to = new_peer(&bench, V3, "to");
	subscribe(to, "0", 0);
	subscribe(to, "1", 1);
	subscribe(to, "2", 2);
	peer_publish(from, QOS(2), 1, "0", "", "a");
	expect_publish(to, QOS(0), 0, "0", "", "a");
	peer_publish(from, QOS(2), 2, "1", "", "b");
	expect_publish(to, QOS(1), 1, "1", "", "b");
	peer_publish(from, QOS(2), 3, "2", "", "c");
	expect_publish(to, QOS(2), 2, "2", "", "c");
	peer_publish(from, QOS(1), 4, "2", "", "d");
	expect_publish(to, QOS(1), 3, "2", "", "d");
	peer_publish(from, QOS(0), 0, "2", "", "e");
	expect_publish(to, QOS(0), 0, "2", "", "e");
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 3);
	peer_send(to, 0x40, "0001");
	peer_send(to, 0x50, "0002"); /* [MQTT-4.3.3-4] */
	expect(to, 0x62, "0002");
	peer_send(to, 0x50, "0002"); /* again: PUBREL again */
	expect(to, 0x62, "0002");
	peer_send(to, 0x70, "0002");
	peer_send(to, 0x40, "0003");
	expect_nothing(to);
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 0);
	bench_finish(&bench);
}
END_TEST

/* A PUBREC that says no ends the delivery without PUBREL. [MQTT-4.3.3-4] */
START_TEST(pubrec_with_an_error)
{
	struct peer *to;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 2);
	peer_publish(to, QOS(2), 1, "t", "", "x");
	expect(to, 0x50, "0001");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	peer_send(to, 0x50, "0001 83");
	expect_nothing(to);
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 0);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.6.0-1]: on a new connection, in the old order, with the
 * same identifiers and DUP; PUBREL where PUBREC had come [MQTT-4.3.3-6], before them. */
START_TEST(sends_again)
{
	struct mqtt_connect connect = connect_lasting(V5, "to", 1000);
	struct peer *from, *to;

	bench_begin(&bench, 1);
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "#", 2);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(1), 1, "t", "", "a");
	peer_publish(from, QOS(2), 2, "t", "", "b");
	peer_publish(from, QOS(2), 3, "t", "", "c");
	peer_publish(from, QOS(1), 4, "t", "", "d");
	expect_publish(to, QOS(1), 1, "t", "", "a");
	expect_publish(to, QOS(2), 2, "t", "", "b");
	expect_publish(to, QOS(2), 3, "t", "", "c");
	expect_publish(to, QOS(1), 4, "t", "", "d");
	peer_send(to, 0x50, "0002");
	expect(to, 0x62, "0002");
	peer_lose(to);
	peer_publish(from, QOS(1), 5, "t", "", "e");
	to = come_up(&bench, 0, &connect, true);
	expect(to, 0x62, "0002");
	expect_publish(to, QOS(1) | DUP, 1, "t", "", "a");
	expect_publish(to, QOS(2) | DUP, 3, "t", "", "c");
	expect_publish(to, QOS(1) | DUP, 4, "t", "", "d");
	expect_publish(to, QOS(1), 5, "t", "", "e");
	expect_nothing(to);
	peer_send(to, 0x40, "0001");
	peer_send(to, 0x70, "0002");
	peer_send(to, 0x50, "0003");
	expect(to, 0x62, "0003");
	peer_send(to, 0x70, "0003");
	peer_send(to, 0x40, "0004");
	peer_send(to, 0x40, "0005");
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 0);
	peer_lose(to);
	to = come_up(&bench, 0, &connect, true);
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* ---- windows ---- */

/* [MQTT-3.3.4-9] [MQTT-4.9.0-2]: no more than the client takes; acknowledgements make room. */
START_TEST(receive_maximum_of_the_client)
{
	struct mqtt_connect connect = connect_lasting(V5, "to", 1000);
	struct peer *from, *to;

	bench_begin(&bench, 1);
	mqtt_set(&connect.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	connect.properties.receive_maximum = 2;
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "t", 2);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(2), 1, "t", "", "a");
	peer_publish(from, QOS(1), 2, "t", "", "b");
	peer_publish(from, QOS(1), 3, "t", "", "c");
	peer_publish(from, QOS(0), 0, "t", "", "zero"); /* not held back by the window */
	expect_publish(to, QOS(2), 1, "t", "", "a");
	expect_publish(to, QOS(1), 2, "t", "", "b");
	expect_publish(to, QOS(0), 0, "t", "", "zero");
	expect_nothing(to);
	ck_assert_uint_eq(counted(&bench, QUEUED), 1);
	peer_send(to, 0x50, "0001"); /* PUBREC makes no room [MQTT-4.9.0-2] */
	expect(to, 0x62, "0001");
	expect_nothing(to);
	peer_send(to, 0x70, "0001");
	expect_publish(to, QOS(1), 3, "t", "", "c");
	peer_publish(from, QOS(1), 4, "t", "", "d");
	/* Sending again keeps within the window, too. */
	peer_lose(to);
	connect.properties.receive_maximum = 1;
	to = come_up(&bench, 0, &connect, true);
	expect_publish(to, QOS(1) | DUP, 2, "t", "", "b");
	expect_nothing(to);
	peer_send(to, 0x40, "0002");
	expect_publish(to, QOS(1) | DUP, 3, "t", "", "c");
	expect_nothing(to);
	peer_send(to, 0x40, "0003");
	expect_publish(to, QOS(1), 4, "t", "", "d");
	peer_send(to, 0x40, "0004");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* An acknowledgement for what was not yet sent again on this connection takes no place twice. */
START_TEST(acknowledged_before_sent_again)
{
	struct mqtt_connect connect = connect_lasting(V5, "to", 1000);
	struct peer *from, *to;

	bench_begin(&bench, 1);
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "t", 2);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(2), 1, "t", "", "a");
	peer_publish(from, QOS(2), 2, "t", "", "b");
	peer_publish(from, QOS(1), 3, "t", "", "c");
	peer_lose(to);
	mqtt_set(&connect.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	connect.properties.receive_maximum = 1;
	to = come_up(&bench, 0, &connect, true);
	expect_publish(to, QOS(2) | DUP, 1, "t", "", "a");
	expect_nothing(to);
	peer_send(to, 0x50, "0002");
	expect(to, 0x62, "0002");
	peer_send(to, 0x70, "0002");
	peer_send(to, 0x40, "0003");
	expect_nothing(to); /* the window is still taken by the first */
	peer_publish(from, QOS(1), 4, "t", "", "d");
	expect_nothing(to);
	peer_send(to, 0x50, "0001");
	expect(to, 0x62, "0001");
	peer_send(to, 0x70, "0001");
	expect_publish(to, QOS(1), 4, "t", "", "d");
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 1);
	bench_finish(&bench);
}
END_TEST

START_TEST(max_inflight_of_ours)
{
	struct peer *to;

	bench_init(&bench, 1);
	bench.settings.max_inflight_messages = 3;
	bench.settings.max_inflight_bytes = 20;
	bench_start(&bench);
	to = new_peer(&bench, V3, "to");
	subscribe(to, "t", 1);
	for (uint16_t id = 1; id <= 4; id++)
		peer_publish(to, QOS(1), id, "t", "", id < 3 ? "1234567890" : "x");
	/* 22 bytes are too many for a third one. */
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 2);
	ck_assert_uint_eq(counted(&bench, QUEUED), 2);
	ck_assert_uint_eq(counted(&bench, QUEUED_BYTES), 4);
	peer_send(to, 0x40, "0001");
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 3);
	peer_send(to, 0x40, "0002");
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 2);
	ck_assert_uint_eq(counted(&bench, QUEUED), 0);
	ck_assert_uint_eq(counted(&bench, QUEUED_BYTES), 0);
	bench_finish(&bench);
}
END_TEST

/* ---- sizes ---- */

/* [MQTT-3.1.2-24] [MQTT-3.1.2-25]: what is too large is dropped as if it had been sent. */
START_TEST(maximum_packet_size_of_the_client)
{
	struct mqtt_connect connect = connect_of(V5, "to", true);
	struct peer *from, *to;

	bench_begin(&bench, 1);
	mqtt_set(&connect.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	connect.properties.maximum_packet_size = 20;
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "t", 2);
	from = new_peer(&bench, V5, "from");
	for (uint16_t qos = 0; qos < 3; qos++) {
		/* 2 + 3 + (2) + 1 of properties: 14 or 12 bytes of payload fit. */
		const char *payload = qos ? "123456789012" : "12345678901234";
		const char *too_large = qos ? "1234567890123" : "123456789012345";

		peer_publish(from, (uint8_t)QOS(qos), qos, "t", "", too_large);
		expect_nothing(to);
		peer_publish(from, (uint8_t)QOS(qos), (uint16_t)(2 * qos), "t", "", payload);
		ck_assert_uint_eq(to->in_len, 20);
		to->in_len = 0;
	}
	ck_assert_uint_eq(counted(&bench, DROPPED_TOO_LARGE), 3);
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 2);
	bench_finish(&bench);
}
END_TEST

/*
 * What a client got before, and may not be sent again for its size now, may still hold its packet
 * identifier: it is released, or the next message with that would be taken for this one.
 */
START_TEST(too_large_when_sent_again)
{
	struct mqtt_connect connect = connect_lasting(V5, "to", 1000);
	struct peer *from, *to;

	bench_begin(&bench, 1);
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "t", 2);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(2), 1, "t", "", "a payload of some length");
	peer_publish(from, QOS(1), 2, "t", "", "another of some length");
	expect_publish(to, QOS(2), 1, "t", "", "a payload of some length");
	expect_publish(to, QOS(1), 2, "t", "", "another of some length");
	peer_lose(to);
	mqtt_set(&connect.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	connect.properties.maximum_packet_size = 20;
	to = come_up(&bench, 0, &connect, true);
	expect(to, 0x62, "0001");
	expect_nothing(to);
	ck_assert_uint_eq(counted(&bench, DROPPED_TOO_LARGE), 2);
	peer_send(to, 0x70, "0001");
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 0);
	bench_finish(&bench);
}
END_TEST

/* A SUBACK that is too large cannot be left away. */
START_TEST(suback_too_large)
{
	struct mqtt_connect connect = connect_of(V5, "to", true);
	struct peer *to;

	bench_begin(&bench, 1);
	mqtt_set(&connect.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	connect.properties.maximum_packet_size = 16;
	to = come_up(&bench, 0, &connect, false);
	peer_send(to, 0x82,
		  "0001 00 0001 '0' 00 0001 '1' 00 0001 '2' 00 0001 '3' 00 0001 '4' 00 0001 '5' 00"
		  "0001 '6' 00 0001 '7' 00 0001 '8' 00 0001 '9' 00 0001 'A' 00 0001 'B' 00");
	expect_end(to, MQTT_PACKET_TOO_LARGE);
	bench_finish(&bench);
}
END_TEST

/* ---- topic aliases ---- */

/* [MQTT-3.3.2-7] [MQTT-3.3.2-12]: set, used, changed, and gone with the connection. */
START_TEST(aliases_of_the_client)
{
	struct mqtt_connect connect = connect_lasting(V5, "from", 1000);
	struct peer *from, *to;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V3, "to");
	subscribe(to, "#", 0);
	from = come_up(&bench, 0, &connect, false);
	peer_publish(from, 0, 0, "a", "23 000A", "1");
	peer_publish(from, 0, 0, "", "23 000A", "2");
	peer_publish(from, 0, 0, "b", "23 000A", "3");
	peer_publish(from, 0, 0, "", "23 000A", "4");
	expect_publish(to, 0, 0, "a", "", "1");
	expect_publish(to, 0, 0, "a", "", "2");
	expect_publish(to, 0, 0, "b", "", "3");
	expect_publish(to, 0, 0, "b", "", "4");
	peer_lose(from);
	from = come_up(&bench, 0, &connect, true);
	peer_publish(from, 0, 0, "", "23 000A", "5");
	expect_end(from, MQTT_PROTOCOL_ERROR);
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.1.2-26] [MQTT-3.1.2-27]: ours, as many as the client and the listener allow. */
START_TEST(aliases_of_ours)
{
	struct mqtt_connect connect = connect_of(V5, "to", true);
	struct peer *to, *none;

	bench_begin(&bench, 1);
	none = new_peer(&bench, V5, "none");
	subscribe(none, "#", 0);
	mqtt_set(&connect.properties, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM);
	connect.properties.topic_alias_maximum = 2;
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "#", 0);
	for (int i = 0; i < 2; i++) {
		peer_publish(to, 0, 0, "a", "", "1");
		peer_publish(to, 0, 0, "b", "", "2");
		peer_publish(to, 0, 0, "c", "", "3");
		expect_publish(to, 0, 0, i ? "" : "a", "23 0001", "1");
		expect_publish(to, 0, 0, i ? "" : "b", "23 0002", "2");
		expect_publish(to, 0, 0, "c", "", "3");
		expect_publish(none, 0, 0, "a", "", "1");
		expect_publish(none, 0, 0, "b", "", "2");
		expect_publish(none, 0, 0, "c", "", "3");
	}
	bench_finish(&bench);
}
END_TEST

/* ---- properties, expiry ---- */

/* [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]:
 * unchanged and in order, but for alias and expiry; nothing of it before 5.0. */
START_TEST(properties_go_on)
{
	struct peer *from, *to, *old;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	old = new_peer(&bench, V3, "old");
	subscribe(to, "t", 0);
	subscribe(old, "t", 0);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, 0, 0, "t",
		     "26 0001 'k' 0001 'v' 23 0001 03 0001 'c' 02 0000000A 01 01 08 0001 'r'"
		     "26 0001 'a' 0001 'b' 09 0002 FF00",
		     "x");
	expect_publish(to, 0, 0, "t",
		       "26 0001 'k' 0001 'v' 03 0001 'c' 01 01 08 0001 'r'"
		       "26 0001 'a' 0001 'b' 09 0002 FF00 02 0000000A",
		       "x");
	expect_publish(old, 0, 0, "t", "", "x");
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.3.2-5] [MQTT-3.3.2-6]: what waited says what is left; what expired is not sent. */
START_TEST(expiry_counts_down)
{
	struct mqtt_connect connect = connect_lasting(V5, "to", 1000);
	struct peer *from, *to;

	bench_begin(&bench, 1);
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "t", 1);
	peer_lose(to);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(1), 1, "t", "02 0000000A", "short");
	peer_publish(from, QOS(1), 2, "t", "02 00000064", "long");
	peer_publish(from, QOS(1), 3, "t", "", "ever");
	bench_pass_ms(&bench, 30000);
	to = come_up(&bench, 0, &connect, true);
	expect_publish(to, QOS(1), 1, "t", "02 00000046", "long");
	expect_publish(to, QOS(1), 2, "t", "", "ever");
	expect_nothing(to);
	ck_assert_uint_eq(counted(&bench, DROPPED_EXPIRED), 1);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.3.2-5]: what expired makes room, before anything else goes or is refused. */
START_TEST(expired_makes_room)
{
	static const char *const payloads[] = {"1", "over", "over", "2", "3", "4", "5"};

	for (int old = 0; old < 2; old++) {
		struct mqtt_connect connect = connect_lasting(V5, "to", 1000);
		struct peer *from, *to;

		bench_init(&bench, 1);
		bench.settings.max_queued_messages = 4;
		bench.settings.queue_policy = old ? QUEUE_DROP_OLD : QUEUE_DROP_NEW;
		bench_start(&bench);
		to = come_up(&bench, 0, &connect, false);
		subscribe(to, "t", 1);
		peer_lose(to);
		from = new_peer(&bench, V5, "from");
		for (uint16_t i = 0; i < COUNT_OF(payloads); i++) {
			bool over = i == 1 || i == 2;

			if (i == 4)
				bench_pass_ms(&bench, 1000);
			peer_publish(from, QOS(1), i + 1, "t", over ? "02 00000001" : "",
				     payloads[i]);
		}
		ck_assert_uint_eq(counted(&bench, DROPPED_EXPIRED), 2);
		ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 1);
		ck_assert_uint_eq(counted(&bench, QUEUED_BYTES), 4 * 2);
		to = come_up(&bench, 0, &connect, true);
		for (uint16_t id = 1; id <= 4; id++)
			expect_publish(to, QOS(1), id, "t", "",
				       payloads[id > 1 || old ? id + 1 + old : 0]);
		expect_nothing(to);
		bench_finish(&bench);
	}
}
END_TEST

Suite *shard_publish_suite(void)
{
	const TTest *tests[] = {
	    answers_each_qos,
	    qos_2_once,
	    receive_maximum_of_ours,
	    all_identifiers_open,
	    delivers_at_the_lower_qos,
	    pubrec_with_an_error,
	    sends_again,
	    receive_maximum_of_the_client,
	    acknowledged_before_sent_again,
	    max_inflight_of_ours,
	    maximum_packet_size_of_the_client,
	    too_large_when_sent_again,
	    suback_too_large,
	    aliases_of_the_client,
	    aliases_of_ours,
	    properties_go_on,
	    expiry_counts_down,
	    expired_makes_room,
	};

	return suite_of("shard_publish", tests, COUNT_OF(tests));
}
