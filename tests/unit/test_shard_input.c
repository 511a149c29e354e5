/*
 * Packets that a connected client must not send, and the odd ones that it may: what the
 * broker answers, version by version.  MQTT 5.0 sections 4.13, 3.3, 3.8, 3.10, 3.14, 3.15.
 */
#include <stdio.h>

#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V3 MQTT_VERSION_3_1_1
#define V5 MQTT_VERSION_5_0

struct fault_row {
	enum mqtt_version version;
	uint8_t first;
	const char *body;
	uint8_t reason; /* of the DISCONNECT, where there is one */
};

static const struct fault_row faults[] = {
    /* packet types: reserved, of a server, AUTH before 5.0 and without a method [MQTT-4.12.0-7] */
    {V3, 0x00, "", 0},
    {V5, 0x00, "", 0x81},
    {V3, 0xF0, "", 0},
    {V5, 0xF0, "", 0x82},
    {V5, 0xF0, "19 00", 0x82},
    {V5, 0x20, "00 00 00", 0x82},
    {V5, 0x90, "0001 00 00", 0x82},
    {V5, 0xB0, "0001 00 00", 0x82},
    {V5, 0xD0, "", 0x82},
    {V3, 0xD0, "", 0},
    /* a second CONNECT [MQTT-3.1.0-2] */
    {V3, 0x10, "0004 'MQTT' 04 02 0000 0001 'p'", 0},
    {V5, 0x10, "0004 'MQTT' 05 02 0000 00 0001 'p'", 0x82},
    /* flags [MQTT-2.1.3-1] [MQTT-3.8.1-1] [MQTT-3.6.1-1] [MQTT-3.14.1-1] */
    {V5, 0x80, "0001 00 0001 't' 00", 0x81},
    {V5, 0x60, "0001", 0x81},
    {V5, 0xC1, "", 0x81},
    {V5, 0xE1, "", 0x81},
    {V5, 0xF1, "", 0x81},
    {V3, 0xA0, "0001 0001 't'", 0},
    /* bodies short or long */
    {V5, 0xC0, "00", 0x81},
    {V5, 0x40, "00", 0x81},
    {V5, 0x30, "0005 't'", 0x81},
    {V5, 0x82, "0001 00 0001 't'", 0x81},
    {V5, 0x82, "0001 05 0001 't' 00", 0x81},
    {V3, 0xE0, "00", 0},
    /* PUBLISH: topic [MQTT-3.3.2-1] [MQTT-3.3.2-2] [MQTT-1.5.4-1] [MQTT-1.5.4-2] */
    {V3, 0x30, "0000 'x'", 0},
    {V5, 0x30, "0000 00 'x'", 0x82},
    {V3, 0x30, "0003 'a/#' 'x'", 0},
    {V5, 0x30, "0003 'a/#' 00 'x'", 0x90},
    {V5, 0x30, "0001 '+' 00 'x'", 0x90},
    {V5, 0x30, "0002 'a' 00 00", 0x81},
    {V5, 0x30, "0002 C080 00", 0x81},
    {V5, 0x30, "0003 EDA080 00", 0x81},
    {V5, 0x30, "0004 F4908080 00", 0x81},
    {V5, 0x30, "0002 C3C3 00", 0x81},
    /* QoS 3 [MQTT-3.3.1-4]; DUP with QoS 0 [MQTT-3.3.1-2]; identifier 0 [MQTT-2.2.1-3] */
    {V3, 0x36, "0001 't' 0001", 0},
    {V5, 0x36, "0001 't' 0001 00", 0x81},
    {V5, 0x38, "0001 't' 00", 0x81},
    {V5, 0x32, "0001 't' 0000 00", 0x82},
    {V3, 0x34, "0001 't' 0000", 0},
    /* aliases [MQTT-3.3.2-8] [MQTT-3.3.2-12] */
    {V5, 0x30, "0001 't' 03 23 0000", 0x94},
    {V5, 0x30, "0001 't' 03 23 000B", 0x94},
    {V5, 0x30, "0000 03 23 0001", 0x82},
    /* what is for servers, what cannot be, what stands twice [MQTT-3.3.4-6] [MQTT-3.3.2-14] */
    {V5, 0x30, "0001 't' 02 0B 01", 0x82},
    {V5, 0x30, "0001 't' 06 08 0003 'a/#'", 0x82},
    {V5, 0x30, "0001 't' 05 08 0002 C080", 0x81},
    {V5, 0x30, "0001 't' 08 03 0001 'a' 03 0001 'b'", 0x82},
    {V5, 0x30, "0001 't' 02 01 02", 0x82},
    /* SUBSCRIBE and UNSUBSCRIBE: nothing in it, identifier 0 [MQTT-3.8.3-2] [MQTT-3.10.3-2] */
    {V3, 0x82, "0001", 0},
    {V5, 0x82, "0001 00", 0x82},
    {V5, 0xA2, "0001 00", 0x82},
    {V5, 0x82, "0000 00 0001 't' 00", 0x82},
    {V5, 0xA2, "0000 00 0001 't'", 0x82},
    {V3, 0xA2, "0001", 0},
    /* options [MQTT-3.8.3-5], No Local on a shared one [MQTT-3.8.3-4] */
    {V3, 0x82, "0001 0001 't' 03", 0},
    {V3, 0x82, "0001 0001 't' 04", 0},
    {V5, 0x82, "0001 00 0001 't' 03", 0x82},
    {V5, 0x82, "0001 00 0001 't' 30", 0x82},
    {V5, 0x82, "0001 00 0001 't' 40", 0x81},
    {V5, 0x82, "0001 00 000A '$share/g/t' 04", 0x82},
    /* identifiers of subscriptions */
    {V5, 0x82, "0001 02 0B 00 0001 't' 00", 0x82},
    {V5, 0x82, "0001 04 0B 01 0B 02 0001 't' 00", 0x82},
    {V5, 0x82, "0001 06 0B FFFFFFFF 7F 0001 't' 00", 0x81},
    /* filters that before 5.0 have no other answer [MQTT-4.7.1-1]; U+0000 */
    {V3, 0x82, "0001 0003 '#/a' 00", 0},
    {V5, 0x82, "0001 00 0002 'a' 00 00", 0x81},
    /* DISCONNECT: expiry raised from 0 (3.14.2.2.2), reason of a server */
    {V5, 0xE0, "00 05 11 0000000A", 0x82},
    {V5, 0xE0, "8E 00", 0x82},
};

/* The packet ends the connection, others go on, and nothing was published. */
START_TEST(ends_the_connection)
{
	const struct fault_row *row = &faults[_i];
	struct peer *peer, *other;

	bench_begin(&bench, 1);
	other = new_peer(&bench, V5, "other");
	subscribe(other, "#", 0);
	peer = new_peer(&bench, row->version, "p");
	peer_send(peer, row->first, row->body);
	expect_end(peer, row->reason);
	expect_nothing(other);
	peer_send(other, 0xC0, "");
	expect(other, 0xD0, "");
	bench_finish(&bench);
}
END_TEST

/* Filters that 5.0 refuses one by one, leaving the others. [MQTT-4.7.1-1] [MQTT-4.8.2-1] */
START_TEST(filters_refused)
{
	static const char *const filters[] = {
	    "0003 '#/a'",	"0002 'a#'",	    "0005 'a/#/b'",	  "0002 'a+'",
	    "0004 '+/b+'",	"0004 '+a/b'",	    "0007 '$share/'",	  "0008 '$share/g'",
	    "0009 '$share//t'", "0009 '$share/g/'", "000B '$share/g+/t'", "000A '$share/#/t'",
	};
	struct peer *peer;
	char body[80];

	bench_begin(&bench, 1);
	peer = new_peer(&bench, V5, "p");
	for (size_t i = 0; i < COUNT_OF(filters); i++) {
		snprintf(body, sizeof body, "0001 00 0001 'a' 01 %s 02 0001 'b' 02", filters[i]);
		peer_send(peer, 0x82, body);
		expect(peer, 0x90, "0001 00 01 8F 02");
		snprintf(body, sizeof body, "0002 00 0001 'a' %s 0001 'b'", filters[i]);
		peer_send(peer, 0xA2, body);
		expect(peer, 0xB0, "0002 00 00 8F 00");
	}
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* Before 5.0 "$share" without a group and a filter is a topic like others. */
START_TEST(dollar_share_before_5)
{
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = new_peer(&bench, V3, "p");
	subscribe(peer, "$share/g", 1);
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 1);
	ck_assert_uint_eq(counted(&bench, SHARED_SUBSCRIPTIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* The same filter plain and shared, in any order: two things. [MQTT-3.10.4-1] [MQTT-3.10.4-4] */
START_TEST(plain_and_shared)
{
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = new_peer(&bench, V5, "p");
	for (int order = 0; order < 2; order++) {
		subscribe(peer, order ? "$share/g/t" : "t", 1);
		subscribe(peer, order ? "t" : "$share/g/t", 1);
		ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 2);
		peer_send(peer, 0xA2,
			  "0005 00 0001 't' 000A '$share/g/t' 000A '$share/h/t' 0001 't'");
		expect(peer, 0xB0, "0005 00 00 00 11 11");
		ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	}
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.10.4-5]: UNSUBACK also where nothing was; without codes before 5.0. */
START_TEST(unsubscribe_before_5)
{
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = new_peer(&bench, V3, "p");
	subscribe(peer, "t", 1);
	peer_send(peer, 0xA2, "0007 0001 't' 0001 'u'");
	expect(peer, 0xB0, "0007");
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	/* What is no filter ends the connection, and nothing of the packet is carried out. */
	subscribe(peer, "t", 1);
	peer_send(peer, 0xA2, "0008 0001 't' 0000"); /* [MQTT3-4.7.3-1] */
	expect_closed(peer);
	peer = new_peer(&bench, V3, "q");
	peer_send(peer, 0xA2, "0009 0003 't#x' 0001 't'"); /* [MQTT3-4.7.1-2] */
	expect_closed(peer);
	bench_finish(&bench);
}
END_TEST

/* Caps on depth and number: 0x97, or 0x80 before 5.0. */
START_TEST(subscriptions_capped)
{
	struct peer *peer;
	char deep[2 * 210 + 1] = "";

	bench_init(&bench, 1);
	bench.settings.max_subscriptions = 3;
	bench_start(&bench);
	for (int v5 = 0; v5 < 2; v5++) {
		peer = new_peer(&bench, v5 ? V5 : V3, v5 ? "5" : "3");
		peer_send(peer, 0x82,
			  v5 ? "0001 00 0001 'a' 00 0001 'b' 00 0001 'c' 00 0001 'd' 00"
			     : "0001 0001 'a' 00 0001 'b' 00 0001 'c' 00 0001 'd' 00");
		expect(peer, 0x90, v5 ? "0001 00 00 00 00 97" : "0001 00 00 00 80");
		peer_send(peer, 0xE0, "");
	}
	for (int i = 0; i < 210; i++)
		strcat(deep, "+/");
	deep[strlen(deep) - 1] = 0;
	peer = new_peer(&bench, V5, "p");
	char body[600];
	snprintf(body, sizeof body, "0001 00 %04x '%s' 00", (unsigned)strlen(deep), deep);
	peer_send(peer, 0x82, body);
	expect(peer, 0x90, "0001 00 97");
	bench_finish(&bench);
}
END_TEST

/* At the cap a subscription that is there may still be changed. [MQTT-3.8.4-3] */
START_TEST(changed_at_the_cap)
{
	struct peer *peer;

	bench_init(&bench, 1);
	bench.settings.max_subscriptions = 1;
	bench_start(&bench);
	peer = new_peer(&bench, V5, "p");
	subscribe(peer, "t", 0);
	subscribe(peer, "t", 1);
	peer_publish(peer, QOS(1), 9, "t", "", "x");
	expect_publish(peer, QOS(1), 1, "t", "", "x");
	bench_finish(&bench);
}
END_TEST

/* So many more bytes of a packet, 14 s after the last ones. */
static void go_on_later(struct peer *peer, size_t n)
{
	static const uint8_t zeros[5000];

	bench_pass_ms(&bench, 14000);
	peer_bytes(peer, slice_of(zeros, n));
}

/* [MQTT-3.1.2-22]: a large packet that comes on is not cut off; a thousand bytes count, fewer do
 * not.
 */
START_TEST(slow_upload)
{
	struct mqtt_connect connect = connect_of(V3, "p", true);
	static const uint8_t start[] = {0x32, 0x90, 0x4E, 0, 1, 't', 0, 1}; /* of 10,000 */
	struct peer *peer;

	bench_begin(&bench, 1);
	connect.keep_alive_s = 10;
	peer = come_up(&bench, 0, &connect, false);
	peer_bytes(peer, slice_of(start, sizeof start));
	go_on_later(peer, 2000);
	go_on_later(peer, 1500);
	go_on_later(peer, 600);
	bench_pass_ms(&bench, 900);
	peer_bytes(peer, slice_of((const uint8_t[400]){0}, 400));
	go_on_later(peer, 5000);
	go_on_later(peer, 495);
	expect(peer, 0x40, "0001");
	peer_bytes(peer, slice_of(start, sizeof start));
	go_on_later(peer, 999 - sizeof start);
	bench_pass_ms(&bench, 980);
	ck_assert(peer->open);
	bench_pass_ms(&bench, 40);
	expect_closed(peer);
	ck_assert_uint_eq(counted(&bench, KEEPALIVE_TIMEOUTS), 1);
	bench_finish(&bench);
}
END_TEST

/* Acknowledgements of nothing are answered or passed over; those of another QoS end it. */
START_TEST(stray_acknowledgements)
{
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = new_peer(&bench, V5, "p");
	peer_send(peer, 0x40, "0007");
	expect_nothing(peer);
	peer_send(peer, 0x50, "0007");
	expect(peer, 0x62, "0007 92");
	peer_send(peer, 0x62, "0007");
	expect(peer, 0x70, "0007 92");
	peer_send(peer, 0x70, "0007");
	expect_nothing(peer);
	subscribe(peer, "t", 2);
	peer_publish(peer, QOS(2), 1, "t", "", "x");
	expect(peer, 0x50, "0001");
	expect_publish(peer, QOS(2), 1, "t", "", "x");
	peer_send(peer, 0x40, "0001"); /* PUBACK for QoS 2 */
	expect_end(peer, MQTT_PROTOCOL_ERROR);
	peer = new_peer(&bench, V3, "q");
	peer_send(peer, 0x62, "0007");
	expect(peer, 0x70, "0007");
	peer_send(peer, 0x50, "0007");
	expect(peer, 0x62, "0007");
	bench_finish(&bench);
}
END_TEST

/* PUBREC for a QoS 1 delivery, PUBCOMP before PUBREC. */
START_TEST(acknowledgements_of_another_kind)
{
	static const uint8_t wrong[2][2] = {{QOS(1), 0x50}, {QOS(2), 0x70}};

	bench_begin(&bench, 1);
	for (int i = 0; i < 2; i++) {
		struct peer *peer = new_peer(&bench, V5, "p");
		struct peer *from = new_peer(&bench, V5, "from");

		subscribe(peer, "t", 2);
		peer_publish(from, wrong[i][0], 1, "t", "", "x");
		expect_publish(peer, wrong[i][0], 1, "t", "", "x");
		peer_send(peer, wrong[i][1], "0001");
		expect_end(peer, MQTT_PROTOCOL_ERROR);
		peer_send(from, 0xE0, "");
	}
	bench_finish(&bench);
}
END_TEST

/* Nothing behind DISCONNECT counts. [MQTT-3.14.4-1] [MQTT-3.14.4-2] */
START_TEST(nothing_after_disconnect)
{
	static const uint8_t bytes[] = {0xE0, 0x00, 0x30, 0x04, 0x00, 0x01, 't', 'x'};
	struct peer *peer, *other;

	bench_begin(&bench, 1);
	other = new_peer(&bench, V5, "other");
	subscribe(other, "#", 0);
	peer = new_peer(&bench, V3, "p");
	peer_bytes(peer, slice_of(bytes, sizeof bytes));
	expect_closed(peer);
	expect_nothing(other);
	bench_finish(&bench);
}
END_TEST

/* The listener's highest QoS; retain not available. [MQTT-3.2.2-11] [MQTT-3.2.2-14] */
START_TEST(beyond_what_connack_said)
{
	struct peer *peer;

	bench_init(&bench, 1);
	bench.listener.max_qos = 1;
	bench.settings.retain_available = false;
	bench_start(&bench);
	peer = new_peer(&bench, V5, "p");
	peer_publish(peer, QOS(2), 1, "t", "", "x");
	expect_end(peer, MQTT_QOS_NOT_SUPPORTED);
	peer = new_peer(&bench, V5, "p");
	peer_publish(peer, RETAIN, 0, "t", "", "x");
	expect_end(peer, MQTT_RETAIN_NOT_SUPPORTED);
	peer = new_peer(&bench, V5, "p");
	peer_send(peer, 0x82, "0001 00 0001 't' 02"); /* granted less: [MQTT-3.8.4-7] */
	expect(peer, 0x90, "0001 00 01");
	bench_finish(&bench);
}
END_TEST

/* What CONNACK granted holds for the connection, whatever a reload brings. [MQTT-3.3.4-7] */
START_TEST(less_than_connack_said)
{
	struct core_settings fewer;
	struct event event = {.type = EVENT_SETTINGS, .settings = &fewer};
	struct peer *before, *after;

	bench_begin(&bench, 1);
	fewer = bench.settings;
	fewer.receive_maximum = 1;
	before = new_peer(&bench, V5, "before");
	bench_event(&bench, 0, &event);
	after = new_peer(&bench, V5, "after");
	peer_publish(before, QOS(2), 1, "t", "", "x");
	peer_publish(before, QOS(2), 2, "t", "", "x");
	expect(before, 0x50, "0001");
	expect(before, 0x50, "0002");
	peer_publish(after, QOS(2), 1, "t", "", "x");
	expect(after, 0x50, "0001");
	peer_publish(after, QOS(2), 2, "t", "", "x");
	expect_end(after, MQTT_RECEIVE_MAXIMUM_EXCEEDED);
	fewer.max_packet_size = 40;
	fewer.retain_available = false;
	bench_event(&bench, 0, &event);
	peer_publish(before, RETAIN | QOS(2), 3, "t", "",
		     "more than 40 bytes of a message, and retained");
	expect(before, 0x50, "0003");
	ck_assert_uint_eq(counted(&bench, RETAINED), 1);
	after = new_peer(&bench, V5, "after");
	peer_publish(after, RETAIN, 0, "t", "", "x");
	expect_end(after, MQTT_RETAIN_NOT_SUPPORTED);
	after = new_peer(&bench, V5, "after");
	peer_publish(after, 0, 0, "t", "", "more than 40 bytes of a message, not retained");
	expect_end(after, MQTT_PACKET_TOO_LARGE);
	bench_event(&bench, 0, &event); /* once more: nobody knows what it was before */
	peer_publish(before, 0, 0, "t", "", "more than 40 bytes of a message, not retained");
	peer_send(before, 0xC0, "");
	expect(before, 0xD0, "");
	bench_finish(&bench);
}
END_TEST

/* CONNACK does not tell message_size_limit, so the message is refused and not the connection. */
START_TEST(beyond_message_size_limit)
{
	struct peer *peer, *other;

	bench_init(&bench, 1);
	bench.settings.message_size_limit = 4;
	bench_start(&bench);
	other = new_peer(&bench, V5, "other");
	subscribe(other, "#", 0);
	peer = new_peer(&bench, V5, "p");
	peer_publish(peer, QOS(1), 1, "t", "", "12345");
	expect(peer, 0x40, "0001 97");
	peer_publish(peer, QOS(2), 2, "t", "", "12345");
	expect(peer, 0x50, "0002 97");
	peer_publish(peer, 0, 0, "t", "23 0001", "12345");
	expect_nothing(other);
	ck_assert_uint_eq(counted(&bench, DROPPED_SIZE_LIMIT), 3);
	peer_publish(peer, QOS(1), 1, "", "23 0001", "1234"); /* the alias was set all the same */
	expect_publish(other, 0, 0, "t", "", "1234");
	expect(peer, 0x40, "0001");
	peer = new_peer(&bench, V3, "three");
	peer_publish(peer, 0, 0, "t", "", "12345");
	expect_nothing(peer);
	peer_publish(peer, QOS(1), 1, "t", "", "12345"); /* no other way to tell */
	expect_closed(peer);
	expect_nothing(other);
	bench_finish(&bench);
}
END_TEST

/* What the first byte says is enough: the body, or the rest of the length, need not come. */
START_TEST(judged_on_the_first_byte)
{
	static const uint8_t get[] = {'G', 'E'};
	static const uint8_t reserved[] = {0x00, 0xC0};
	static const uint8_t of_server[] = {0x90, 0x80, 0x80, 0x01};
	static const uint8_t flags[] = {0x80, 0x05};
	static const uint8_t again[] = {0x10, 0x7F};
	static const uint8_t auth[] = {0xF0, 0x7F};
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = peer_open(&bench, 0, V5); /* [MQTT-3.1.0-1] */
	peer_bytes(peer, slice_of(get, sizeof get));
	expect_closed(peer);
	peer = new_peer(&bench, V5, "p");
	peer_bytes(peer, slice_of(reserved, sizeof reserved));
	expect_end(peer, MQTT_MALFORMED_PACKET);
	peer = new_peer(&bench, V5, "p");
	peer_bytes(peer, slice_of(of_server, sizeof of_server));
	expect_end(peer, MQTT_PROTOCOL_ERROR);
	peer = new_peer(&bench, V5, "p");
	peer_bytes(peer, slice_of(flags, sizeof flags)); /* [MQTT-2.1.3-1] */
	expect_end(peer, MQTT_MALFORMED_PACKET);
	peer = new_peer(&bench, V5, "p");
	peer_bytes(peer, slice_of(again, sizeof again)); /* [MQTT-3.1.0-2] */
	expect_end(peer, MQTT_PROTOCOL_ERROR);
	peer = new_peer(&bench, V3, "p");
	peer_bytes(peer, slice_of(auth, sizeof auth));
	expect_closed(peer);
	peer = new_peer(&bench, V5, "p"); /* what may come is waited for */
	peer_bytes(peer, slice_of(auth, sizeof auth));
	expect_nothing(peer);
	bench_finish(&bench);
}
END_TEST

/* A beginning that is refused is refused alike in one read and byte by byte, and counted alike. */
START_TEST(refused_however_it_comes)
{
	static const struct {
		uint8_t len, bytes[6];
		bool up; /* else it comes first */
		uint8_t reason;
	} rows[] = {
	    {4, {0x20, 2, 1, 8}, false, 0},
	    {4, {0x20, 2, 1, 8}, true, MQTT_PROTOCOL_ERROR},
	    {2, {0xC1, 0}, true, MQTT_MALFORMED_PACKET},
	    {6, {0x20, 0x80, 0x80, 0x80, 0x80, 1}, true, MQTT_PROTOCOL_ERROR},
	    {6, {0xC0, 0x80, 0x80, 0x80, 0x80, 1}, true, MQTT_MALFORMED_PACKET},
	};

	for (unsigned i = 0; i < 2 * COUNT_OF(rows); i++) {
		unsigned row = i / 2, step = i % 2 ? 1 : rows[row].len;
		struct peer *peer;
		uint64_t packets;

		bench_begin(&bench, 1);
		peer = rows[row].up ? new_peer(&bench, V5, "a") : peer_open(&bench, 0, V5);
		packets = counted(&bench, PACKETS_RECEIVED);
		for (unsigned at = 0; at < rows[row].len; at += step)
			peer_bytes(peer, slice_of(rows[row].bytes + at, step));
		if (rows[row].up)
			expect_end(peer, rows[row].reason);
		else
			expect_closed(peer);
		ck_assert_uint_eq(counted(&bench, PACKETS_RECEIVED), packets);
		ck_assert_uint_eq(counted(&bench, MALFORMED), 1);
		bench_finish(&bench);
	}
}
END_TEST

/* Topics of the greatest length and depth do no harm, and reach "#". */
START_TEST(longest_topics)
{
	static char topic[65536];
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = new_peer(&bench, V5, "p");
	subscribe(peer, "#", 0);
	memset(topic, 'x', 65535);
	peer_publish(peer, 0, 0, topic, "", "p");
	expect_publish(peer, 0, 0, topic, "", "p");
	memset(topic, '/', 65535);
	peer_publish(peer, QOS(0) | RETAIN, 0, topic, "", "p");
	expect_publish(peer, 0, 0, topic, "", "p");
	bench_finish(&bench);
}
END_TEST

Suite *shard_input_suite(void)
{
	Suite *suite = suite_create("shard_input");
	TCase *tcase = tcase_create("input");
	const TTest *tests[] = {
	    filters_refused,
	    dollar_share_before_5,
	    plain_and_shared,
	    unsubscribe_before_5,
	    subscriptions_capped,
	    changed_at_the_cap,
	    slow_upload,
	    stray_acknowledgements,
	    acknowledgements_of_another_kind,
	    nothing_after_disconnect,
	    beyond_what_connack_said,
	    beyond_message_size_limit,
	    judged_on_the_first_byte,
	    refused_however_it_comes,
	    longest_topics,
	    less_than_connack_said,
	};

	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, ends_the_connection, 0, COUNT_OF(faults));
	suite_add_tcase(suite, tcase);
	return suite;
}
