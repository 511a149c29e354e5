/* CONNECT and CONNACK of whole shards: MQTT 5.0 sections 3.1, 3.2 and 4.13, MQTT 3.1.1 likewise. */
#include "proto/wire.h"
#include "tests/unit/shard_bench.h"
#include <fnmatch.h>

static struct bench bench;

/* ---- accepted ---- */

/* [MQTT-3.2.0-1] [MQTT-3.1.4-5] */
START_TEST(accepts_each_version)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_3_1, "old", true);
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = peer_open(&bench, 0, MQTT_VERSION_3_1);
	peer_connect(peer, &connect);
	expect(peer, 0x20, "00 00");
	connect = connect_of(MQTT_VERSION_3_1, "longer than its 23 characters", true);
	peer = peer_open(&bench, 0, MQTT_VERSION_3_1);
	peer_connect(peer, &connect);
	expect(peer, 0x20, "00 00");
	connect = connect_of(MQTT_VERSION_3_1_1, "middle", true);
	peer = peer_open(&bench, 0, MQTT_VERSION_3_1_1);
	peer_connect(peer, &connect);
	expect(peer, 0x20, "00 00");
	connect = connect_of(MQTT_VERSION_5_0, "new", true);
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(peer, &connect);
	expect(peer, 0x20, "00 00 0B 22 000A 27 00100000 21 0014");
	ck_assert_uint_eq(counted(&bench, CLIENTS_CONNECTED), 4);
	bench_finish(&bench);
}
END_TEST

#define H    "[0-9a-f]"
#define H4   H H H H
#define UUID "auto-" H4 H4 "-" H4 "-4" H H H "-[89ab]" H H H "-" H4 H4 H4

/* [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]: every one is another one, at home here. */
START_TEST(assigns_a_client_identifier)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, "", true);
	char first[64] = "", text[64] = "";

	bench_init(&bench, 2);
	bench.listener.auto_id_prefix = SLICE_LITERAL("auto-");
	bench_start(&bench);
	for (int i = 0; i < 2; i++) {
		struct peer *peer = peer_open(&bench, 1, MQTT_VERSION_5_0);
		struct mqtt_connack connack;
		struct slice id;

		peer_connect(peer, &connect);
		connack = expect_connack(peer, 0);
		id = connack.properties.assigned_client_identifier;
		ck_assert(mqtt_has(&connack.properties, MQTT_PROPERTY_ASSIGNED_CLIENT_IDENTIFIER));
		ck_assert_uint_eq(id.len, 5 + 36);
		memcpy(text, id.at, id.len);
		ck_assert_msg(fnmatch(UUID, text, 0) == 0, "%s", text);
		ck_assert_mem_ne(id.at, first, id.len);
		ck_assert_uint_eq(peer->shard, 1);
		ck_assert_uint_eq(shard_home(bench.shards[1], id), 1);
		memcpy(first, id.at, id.len);
	}
	connect = connect_of(MQTT_VERSION_3_1_1, "", true);
	come_up(&bench, 0, &connect, false);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.2.2-22] [MQTT-3.1.2-28] [MQTT-3.2.2-9]: limits differ, the client is told. */
START_TEST(tells_what_differs)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, "a", true);
	struct peer *peer;

	bench_init(&bench, 1);
	bench.listener.max_keep_alive_s = 60;
	bench.listener.max_qos = 1;
	bench.listener.max_topic_alias = 0;
	bench.settings.retain_available = false;
	bench.settings.session_expiry_max_s = 100;
	bench.settings.response_information = SLICE_LITERAL("re/");
	bench_start(&bench);
	mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	connect.properties.session_expiry_s = 1000;
	mqtt_set(&connect.properties, MQTT_PROPERTY_REQUEST_RESPONSE_INFORMATION);
	connect.properties.request_response_information = 1;
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(peer, &connect);
	expect(peer, 0x20,
	       "00 00 1A 13 003C 11 00000064 1A 0003 're/' 25 00 27 00100000 21 0014 24 01");
	/* Not asked for, not given; within the limit, not said. */
	connect = connect_of(MQTT_VERSION_5_0, "b", true);
	connect.keep_alive_s = 60;
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(peer, &connect);
	expect(peer, 0x20, "00 00 0C 25 00 27 00100000 21 0014 24 01");
	/* As large as a packet can be is no limit: 3.2.2.3.6. */
	bench.settings.max_packet_size = PACKET_SIZE_MAX;
	connect = connect_of(MQTT_VERSION_5_0, "c", true);
	connect.keep_alive_s = 60;
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(peer, &connect);
	expect(peer, 0x20, "00 00 07 25 00 21 0014 24 01");
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.1.2-24]: a CONNACK that the client does not take is not sent. */
START_TEST(connack_within_maximum_packet_size)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, "a", true);

	bench_begin(&bench, 1);
	mqtt_set(&connect.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	for (uint32_t size = 1; size <= 20; size++) {
		struct peer *peer = peer_open(&bench, 0, MQTT_VERSION_5_0);

		connect.properties.maximum_packet_size = size;
		peer_connect(peer, &connect);
		if (size < 16) {
			expect_closed(peer);
		} else {
			expect_connack(peer, 0);
			peer_send(peer, 0xE0, "");
		}
	}
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* A refusal, too, keeps to it: first without its sentence, then not at all. [MQTT-3.2.2-19] */
START_TEST(refusal_within_maximum_packet_size)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, "a", true);

	bench_init(&bench, 1);
	bench.listener.max_qos = 1;
	bench_start(&bench);
	connect.has_will = true;
	connect.will.qos = 2;
	connect.will.topic = slice_text("t");
	mqtt_set(&connect.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	mqtt_set(&connect.properties, MQTT_PROPERTY_REQUEST_PROBLEM_INFORMATION);
	connect.properties.request_problem_information = 1;
	for (uint32_t size = 1; size <= 20; size++) {
		struct peer *peer = peer_open(&bench, 0, MQTT_VERSION_5_0);

		connect.properties.maximum_packet_size = size;
		peer_connect(peer, &connect);
		if (size >= 5)
			expect(peer, 0x20, "00 9B 00");
		expect_closed(peer);
	}
	bench_finish(&bench);
}
END_TEST

/* ---- refused: each version in its own words ---- */

struct refusal_row {
	const char *body;
	uint8_t first;	 /* 0: CONNECT */
	uint8_t connack; /* reason or return code; 0: closed without an answer */
	uint8_t version; /* of that answer */
};

/* Faults of CONNECT: rows 4 to 28 of the table of bad inputs. */
static const struct refusal_row refusals[] = {
    /* name or level [MQTT-3.1.2-1] [MQTT-3.1.2-2] */
    {"0004 'MQTX' 04 02 0000 0001 'a'", 0, 0, 4},
    {"0002 'MQTT' 04 02 0000 0001 'a'", 0, 0, 4},
    {"0004 'MQTX' 05 02 0000 00 0001 'a'", 0, 0x84, 5},
    {"0004 'MQTT' 00 02 0000 0001 'a'", 0, 0x01, 4},
    {"0004 'MQTT' 02 02 0000 0001 'a'", 0, 0x01, 4},
    {"0004 'MQTT' 06 02 0000 00 0001 'a'", 0, 0x84, 5},
    {"0004 'MQTT' 7F 02 0000 0001 'a'", 0, 0x84, 5},
    {"0004 'MQTT' 83 02 0000 0001 'a'", 0, 0x01, 4},
    {"0004 'MQTT' 85 02 0000 00 0001 'a'", 0, 0x84, 5},
    /* reserved flag [MQTT-3.1.2-3] */
    {"0004 'MQTT' 04 03 0000 0001 'a'", 0, 0, 4},
    {"0004 'MQTT' 05 03 0000 00 0001 'a'", 0, 0x81, 5},
    /* will flags [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13] */
    {"0004 'MQTT' 04 0A 0000 0001 'a'", 0, 0, 4},
    {"0004 'MQTT' 05 22 0000 00 0001 'a'", 0, 0x81, 5},
    {"0004 'MQTT' 05 1E 0000 00 0001 'a' 00 0001 't' 0000", 0, 0x81, 5},
    /* password without user name: [MQTT3-3.1.2-22] */
    {"0004 'MQTT' 04 42 0000 0001 'a' 0001 'p'", 0, 0, 4},
    /* promised and missing, or too much */
    {"0004 'MQTT' 04 82 0000 0001 'a'", 0, 0, 4},
    {"0004 'MQTT' 05 82 0000 00 0001 'a'", 0, 0x81, 5},
    {"0004 'MQTT' 05 02 0000 00 0001 'a' 00", 0, 0x81, 5},
    /* [MQTT3-3.1.3-8] */
    {"0004 'MQTT' 04 00 0000 0000", 0, 0x02, 4},
    {"0006 'MQIsdp' 03 02 0000 0000", 0, 0x02, 3},
    /* will topics: wildcard, empty, '$' */
    {"0004 'MQTT' 05 06 0000 00 0001 'a' 00 0001 '#' 0000", 0, 0x90, 5},
    {"0004 'MQTT' 05 06 0000 00 0001 'a' 00 0004 '$SYS' 0000", 0, 0x90, 5},
    {"0004 'MQTT' 04 06 0000 0001 'a' 0004 '$SYS' 0000", 0, 0, 4},
    {"0004 'MQTT' 04 06 0000 0001 'a' 0001 '+' 0000", 0, 0, 4},
    /* a property twice, unknown, of another packet, of a value out of range */
    {"0004 'MQTT' 05 02 0000 06 21 0001 21 0001 0001 'a'", 0, 0x82, 5},
    {"0004 'MQTT' 05 02 0000 02 7E 00 0001 'a'", 0, 0x81, 5},
    {"0004 'MQTT' 05 02 0000 03 23 0001 0001 'a'", 0, 0x81, 5},
    {"0004 'MQTT' 05 02 0000 7F 21 0001 0001 'a'", 0, 0x81, 5},
    {"0004 'MQTT' 05 02 0000 03 21 0000 0001 'a'", 0, 0x82, 5},
    {"0004 'MQTT' 05 02 0000 05 27 00000000 0001 'a'", 0, 0x82, 5},
    {"0004 'MQTT' 05 02 0000 02 17 02 0001 'a'", 0, 0x82, 5},
    {"0004 'MQTT' 05 02 0000 02 19 02 0001 'a'", 0, 0x82, 5},
    /* authentication data without method; a method that nobody knows [MQTT-4.12.0-1] */
    {"0004 'MQTT' 05 02 0000 04 16 0001 'x' 0001 'a'", 0, 0x82, 5},
    {"0004 'MQTT' 05 02 0000 04 15 0001 'x' 0001 'a'", 0, 0x8C, 5},
    {"0004 'MQTT' 05 02 0000 03 15 0000 0001 'a'", 0, 0x8C, 5},
    /* what is no CONNECT [MQTT-3.1.0-1], and flags that are not its own [MQTT-2.1.3-1] */
    {"", 0x00, 0, 5},
    {"00 00 00", 0x20, 0, 5},
    {"0001 't' 00", 0x30, 0, 5},
    {"0001", 0x40, 0, 5},
    {"0001 00 0001 't' 00", 0x82, 0, 5},
    {"", 0xC0, 0, 5},
    {"", 0xD0, 0, 5},
    {"", 0xE0, 0, 5},
    {"", 0xF0, 0, 5},
    {"0004 'MQTT' 05 02 0000 00 0001 'a'", 0x1F, 0, 5},
};

START_TEST(refuses_each_fault)
{
	const struct refusal_row *row = &refusals[_i];
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = peer_open(&bench, 0, (enum mqtt_version)row->version);
	peer_send(peer, row->first ? row->first : (row->body[0] ? 0x10 : 0x00), row->body);
	if (row->connack != 0)
		expect_connack(peer, row->connack);
	else
		expect_closed(peer);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	ck_assert_uint_eq(counted(&bench, CONNECTS), 0);
	bench_finish(&bench);
}
END_TEST

/* What the listener does not want. */
START_TEST(refuses_as_the_listener_says)
{
	struct mqtt_connect three = connect_of(MQTT_VERSION_3_1_1, "a", true);
	struct mqtt_connect five = connect_of(MQTT_VERSION_5_0, "a", true);
	struct mqtt_connack connack;
	struct peer *peer;

	bench_begin(&bench, 1);
#define REFUSED(connect, code)                                                                     \
	(peer = peer_open(&bench, 0, (connect)->version), peer_connect(peer, connect),             \
	 expect_connack(peer, code))
	bench.listener.accept_5_0 = bench.listener.accept_3_1_1 = false;
	REFUSED(&three, 0x01);
	REFUSED(&five, 0x84);
	bench.listener.accept_5_0 = bench.listener.accept_3_1_1 = true;
	bench.listener.client_id_prefixes = SLICE_LITERAL("sensor-");
	REFUSED(&three, 0x05);
	REFUSED(&five, 0x87);
	bench.listener.client_id_prefixes = SLICE_NONE;
	bench.listener.server_reference = SLICE_LITERAL("elsewhere:1883");
	connack = REFUSED(&five, 0x9D);
	ck_assert(
	    slice_equal(connack.properties.server_reference, SLICE_LITERAL("elsewhere:1883")));
	static char longest[SERVER_REFERENCE_MAX];
	memset(longest, 'x', sizeof longest);
	bench.listener.server_reference = slice_of(longest, sizeof longest);
	ck_assert_uint_eq(REFUSED(&five, 0x9D).properties.server_reference.len, sizeof longest);
	mqtt_set(&five.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	five.properties.maximum_packet_size = 100; /* then at least that it has to go elsewhere */
	connack = REFUSED(&five, 0x9D);
	ck_assert(!mqtt_has(&connack.properties, MQTT_PROPERTY_SERVER_REFERENCE));
	five.properties = (struct mqtt_properties){0};
	bench.listener.server_reference = SLICE_NONE;
	bench.listener.allow_zero_length_client_id = false;
	five.client_id = three.client_id = SLICE_NONE;
	REFUSED(&three, 0x02);
	REFUSED(&five, 0x85);
	/* [MQTT-3.2.2-12] [MQTT-3.2.2-13]: a will that cannot be published as asked */
	five.client_id = SLICE_LITERAL("a");
	five.has_will = true;
	five.will.topic = SLICE_LITERAL("w");
	five.will.qos = 2;
	bench.listener.max_qos = 1;
	REFUSED(&five, 0x9B);
	three.client_id = five.client_id;
	three.has_will = true;
	three.will = five.will;
	REFUSED(&three, 0x05);
	five.will.qos = 1;
	five.will.retain = true;
	bench.settings.retain_available = false;
	REFUSED(&five, 0x9A);
	three.will = five.will;
	REFUSED(&three, 0x05);
	five.will.retain = false;
	five.will.payload = SLICE_LITERAL("12345");
	bench.settings.message_size_limit = 4;
	REFUSED(&five, 0x95);
	three.will = five.will;
	REFUSED(&three, 0x05);
	ck_assert_uint_eq(counted(&bench, CONNECTS_REFUSED), 15);
	bench_finish(&bench);
}
END_TEST

/* A password without a user name is allowed in 5.0. */
START_TEST(password_without_user_name)
{
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_send(peer, 0x10, "0004 'MQTT' 05 42 0000 00 0001 'a' 0001 'p'");
	expect_connack(peer, 0);
	bench_finish(&bench);
}
END_TEST

/* ---- framing ---- */

/* Cut anywhere, even into single bytes, a stream means the same. */
START_TEST(any_segments)
{
	struct mqtt_connect five;
	uint8_t bytes[256];
	size_t n, step;

	bench_begin(&bench, 2);
	five = connect_of(MQTT_VERSION_5_0, bench_name(&bench, 1, "c"), true);
	n = mqtt_encode_connect(bytes, sizeof bytes, &five);
	n += mqtt_encode_empty(bytes + n, sizeof bytes - n, MQTT_PINGREQ);
	n += mqtt_encode_empty(bytes + n, sizeof bytes - n, MQTT_PINGREQ);
	for (step = 1; step <= n; step++) {
		struct peer *peer = peer_open(&bench, 0, MQTT_VERSION_5_0);

		for (size_t at = 0; at < n; at += step)
			peer_bytes(peer, slice_of(bytes + at, n - at < step ? n - at : step));
		expect_connack(peer, 0);
		expect(peer, 0xD0, "");
		expect(peer, 0xD0, "");
		peer_send(peer, 0xE0, "");
		expect_closed(peer);
	}
	bench_finish(&bench);
}
END_TEST

/* [MQTT-1.5.5-1]; a first packet beyond the cap, on its header alone; then [MQTT-3.2.2-15]. */
START_TEST(sizes_judged_on_the_header)
{
	static const uint8_t five_bytes[] = {0x10, 0x80, 0x80, 0x80, 0x80, 0x01};
	static const uint8_t longer[] = {0xC0, 0x80, 0x00};
	static const uint8_t huge[] = {0x10, 0xFF, 0xFF, 0xFF, 0x7F};
	static const uint8_t large[] = {0x30, 0x81, 0x80, 0x40};
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_bytes(peer, slice_of(five_bytes, sizeof five_bytes));
	expect_closed(peer);
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_bytes(peer, slice_of(huge, sizeof huge));
	expect_closed(peer);
	peer = new_peer(&bench, MQTT_VERSION_5_0, "a");
	peer_bytes(peer, slice_of(longer, sizeof longer));
	expect_end(peer, MQTT_MALFORMED_PACKET);
	peer = new_peer(&bench, MQTT_VERSION_5_0, "a");
	peer_bytes(peer, slice_of(large, sizeof large));
	expect_end(peer, MQTT_PACKET_TOO_LARGE);
	peer = new_peer(&bench, MQTT_VERSION_3_1_1, "a");
	peer_bytes(peer, slice_of(large, sizeof large));
	expect_end(peer, 0);
	bench_finish(&bench);
}
END_TEST

/* ---- time ---- */

/* From accept on, whatever comes in between. */
START_TEST(connect_timeout)
{
	static const uint8_t start[] = {0x10, 0x20, 0x00};
	struct peer *silent, *slow;

	bench_begin(&bench, 1);
	silent = peer_open(&bench, 0, MQTT_VERSION_5_0);
	slow = peer_open(&bench, 0, MQTT_VERSION_5_0);
	for (size_t i = 0; i < sizeof start; i++) {
		bench_pass_ms(&bench, 3000);
		peer_bytes(slow, slice_of(start + i, 1));
	}
	expect_nothing(silent);
	bench_pass_ms(&bench, 990);
	expect_nothing(silent);
	bench_pass_ms(&bench, 30);
	expect_closed(silent);
	expect_closed(slow);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.1.2-22]: 1.5 times, and only whole packets count, or a thousand bytes of one. */
START_TEST(keep_alive)
{
	struct mqtt_connect five = connect_of(MQTT_VERSION_5_0, "a", true);
	struct mqtt_connect three = connect_of(MQTT_VERSION_3_1_1, "b", true);
	static const uint8_t start[] = {0x30, 0x20, 0x00};
	struct peer *a, *b, *never;

	bench_begin(&bench, 1);
	never = new_peer(&bench, MQTT_VERSION_5_0, "never");
	five.keep_alive_s = three.keep_alive_s = 10;
	a = come_up(&bench, 0, &five, false);
	b = come_up(&bench, 0, &three, false);
	bench_pass_ms(&bench, 14000);
	peer_send(a, 0xC0, "");
	expect(a, 0xD0, "");
	peer_send(b, 0xC0, "");
	expect(b, 0xD0, "");
	bench_pass_ms(&bench, 5000);
	peer_bytes(a, slice_of(start, sizeof start));
	bench_pass_ms(&bench, 9980);
	expect_nothing(a);
	expect_nothing(b);
	bench_pass_ms(&bench, 40);
	expect_end(a, MQTT_KEEP_ALIVE_TIMEOUT);
	expect_end(b, 0);
	ck_assert_uint_eq(counted(&bench, KEEPALIVE_TIMEOUTS), 2);
	bench_pass_ms(&bench, 100000000);
	expect_nothing(never);
	bench_finish(&bench);
}
END_TEST

/* Before 5.0 it cannot be told another one: cut off for keeping its own would be no better. */
START_TEST(keep_alive_too_long)
{
	static const struct {
		uint16_t asked_s, max_s;
		uint8_t code;
	} rows[] = {
	    {0, 60, 2}, {61, 60, 2}, {60, 60, 0}, {0, UINT16_MAX, 0}, {UINT16_MAX, UINT16_MAX, 0}};

	bench_begin(&bench, 1);
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		struct mqtt_connect connect = connect_of(MQTT_VERSION_3_1_1, "a", true);
		struct peer *peer = peer_open(&bench, 0, MQTT_VERSION_3_1_1);

		bench.listener.max_keep_alive_s = rows[i].max_s;
		connect.keep_alive_s = rows[i].asked_s;
		peer_connect(peer, &connect);
		expect_connack(peer, rows[i].code);
	}
	bench_finish(&bench);
}
END_TEST

/* ---- take-over ---- */

/* [MQTT-3.1.4-3]: one owner; the one before hears 0x8E, or just an end before 5.0. */
START_TEST(taken_over)
{
	struct mqtt_connect five = connect_of(MQTT_VERSION_5_0, "a", true);
	struct mqtt_connect three = connect_of(MQTT_VERSION_3_1_1, "a", false);
	struct peer *first, *second, *third;

	bench_begin(&bench, 1);
	first = come_up(&bench, 0, &five, false);
	second = come_up(&bench, 0, &three, false);
	expect_end(first, MQTT_SESSION_TAKEN_OVER);
	third = come_up(&bench, 0, &three, true); /* [MQTT-3.2.2-2] [MQTT-3.2.2-3] */
	expect_end(second, 0);
	expect_nothing(third);
	ck_assert_uint_eq(counted(&bench, TAKEOVERS), 2);
	ck_assert_uint_eq(counted(&bench, CLIENTS_CONNECTED), 1);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_finish(&bench);
}
END_TEST

/* ---- limits, operator ---- */

START_TEST(sessions_are_limited)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, "c", true);
	struct peer *peer;

	bench_init(&bench, 1);
	bench.settings.sessions_max = 2;
	bench_start(&bench);
	new_peer(&bench, MQTT_VERSION_5_0, "a");
	peer = new_peer(&bench, MQTT_VERSION_5_0, "b");
	struct peer *third = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(third, &connect);
	expect_connack(third, MQTT_QUOTA_EXCEEDED);
	connect.version = MQTT_VERSION_3_1_1;
	third = peer_open(&bench, 0, MQTT_VERSION_3_1_1);
	peer_connect(third, &connect);
	expect_connack(third, 0x03);
	peer_send(peer, 0xE0, "");
	new_peer(&bench, MQTT_VERSION_5_0, "c");
	bench_finish(&bench);
}
END_TEST

START_TEST(kicked_and_stopped)
{
	struct event kick = {.type = EVENT_KICK, .text = SLICE_LITERAL("a")};
	struct event stop = {.type = EVENT_STOP};
	struct peer *a, *b, *c, *lobby;

	bench_begin(&bench, 1);
	a = new_peer(&bench, MQTT_VERSION_5_0, "a");
	b = new_peer(&bench, MQTT_VERSION_5_0, "b");
	c = new_peer(&bench, MQTT_VERSION_3_1_1, "c");
	lobby = peer_open(&bench, 0, MQTT_VERSION_5_0);
	bench_event(&bench, 0, &kick);
	expect_end(a, MQTT_ADMINISTRATIVE_ACTION);
	ck_assert(!shard_stopped(bench.shards[0]));
	bench_event(&bench, 0, &stop);
	expect_end(b, MQTT_SERVER_SHUTTING_DOWN);
	expect_end(c, 0);
	expect_closed(lobby); /* [MQTT-3.14.0-1]: no DISCONNECT before CONNACK */
	ck_assert(shard_stopped(bench.shards[0]));
	bench_finish(&bench);
}
END_TEST

/* A client whose reading is cut at any moment leaves nothing behind. */
START_TEST(lost_at_any_moment)
{
	struct mqtt_connect five = connect_of(MQTT_VERSION_5_0, "a", true);
	uint8_t bytes[128];
	size_t n;

	bench_begin(&bench, 1);
	n = mqtt_encode_connect(bytes, sizeof bytes, &five);
	for (size_t len = 0; len <= n; len++) {
		struct peer *peer = peer_open(&bench, 0, MQTT_VERSION_5_0);

		peer_bytes(peer, slice_of(bytes, len));
		peer_lose(peer);
		ck_assert_uint_eq(counted(&bench, LINKS), 0);
		ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
		ck_assert_uint_eq(counted(&bench, MEMORY), 0);
	}
	bench_finish(&bench);
}
END_TEST

Suite *shard_connect_suite(void)
{
	Suite *suite = suite_create("shard_connect");
	TCase *tcase = tcase_create("connect");
	const TTest *tests[] = {
	    accepts_each_version,
	    assigns_a_client_identifier,
	    tells_what_differs,
	    connack_within_maximum_packet_size,
	    refusal_within_maximum_packet_size,
	    refuses_as_the_listener_says,
	    password_without_user_name,
	    any_segments,
	    sizes_judged_on_the_header,
	    connect_timeout,
	    keep_alive,
	    keep_alive_too_long,
	    taken_over,
	    sessions_are_limited,
	    kicked_and_stopped,
	    lost_at_any_moment,
	};

	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, refuses_each_fault, 0, COUNT_OF(refusals));
	suite_add_tcase(suite, tcase);
	return suite;
}
