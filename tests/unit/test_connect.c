#include "tests/unit/packets.h"

#define V3  MQTT_VERSION_3_1
#define V4  MQTT_VERSION_3_1_1
#define V5  MQTT_VERSION_5_0
#define OK  MQTT_SUCCESS
#define BAD MQTT_MALFORMED_PACKET
#define PRO MQTT_PROTOCOL_ERROR

#define NAME5 "00 04 'MQTT' 05 "
#define NAME4 "00 04 'MQTT' 04 "
#define NAME3 "00 06 'MQIsdp' 03 "

/* The version in the row is not looked at: CONNECT says it itself. */
static const struct packet_case cases[] = {
    {0x10, V5, NAME5 "02 00 3C 00 00 00", OK},
    {0x10, V4, NAME4 "02 00 3C 00 01 'a'", OK},
    {0x10, V3, NAME3 "02 00 3C 00 01 'a'", OK},
    {0x10, V4, NAME4 "F6 00 3C 00 01 'a' 00 01 't' 00 02 00 FF 00 01 'u' 00 00", OK},
    {0x10, V5, NAME5 "F6 00 3C 00 00 01 'a' 00 00 01 't' 00 02 00 FF 00 01 'u' 00 00", OK},
    /* bad-inputs 5: reserved flags [MQTT-2.1.3-1] */
    {0x1F, V5, NAME5 "02 00 3C 00 00 00", BAD},
    /* bad-inputs 9: short, or bytes left */
    {0x10, V5, "", BAD},
    {0x10, V5, NAME5 "02 00 3C 00 00", BAD},
    {0x10, V5, NAME5 "02 00", BAD},
    {0x10, V5, NAME5, BAD},
    {0x10, V5, "00 04 'MQTT'", BAD},
    {0x10, V5, "00 05 'MQTT'", BAD},
    {0x10, V5, NAME5 "02 00 3C 00 00 00 00", BAD},
    {0x10, V4, NAME4 "02 00 3C 00 00 00", BAD},
    /* bad-inputs 13: protocol name [MQTT-3.1.2-1] */
    {0x10, V5, "00 04 'MQTX' 05 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V5, "00 02 'MQTT' 05 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V5, "00 04 'mqtt' 05 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V5, "00 00 05 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    /* bad-inputs 14: level [MQTT-3.1.2-2]; the bridge bit is only for 3.1 and 3.1.1 */
    {0x10, V5, "00 04 'MQTT' 00 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V5, "00 04 'MQTT' 01 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V5, "00 04 'MQTT' 02 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V5, "00 04 'MQTT' 03 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V5, "00 04 'MQTT' 06 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V5, "00 04 'MQTT' 7F 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V5, "00 04 'MQTT' 83 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V5, "00 04 'MQTT' 85 02 00 3C 00 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V5, "00 06 'MQIsdp' 04 02 00 3C 00 00", MQTT_UNSUPPORTED_PROTOCOL_VERSION},
    {0x10, V4, "00 04 'MQTT' 84 02 00 3C 00 01 'a'", OK},
    {0x10, V3, "00 06 'MQIsdp' 83 02 00 3C 00 01 'a'", OK},
    /* bad-inputs 15: reserved connect flag [MQTT-3.1.2-3]; 3.1 does not use it */
    {0x10, V5, NAME5 "03 00 3C 00 00 00", BAD},
    {0x10, V4, NAME4 "03 00 3C 00 01 'a'", BAD},
    {0x10, V3, NAME3 "03 00 3C 00 01 'a'", OK},
    /* bad-inputs 16 [MQTT-3.1.2-11] [MQTT-3.1.2-13]; 3.1 disregards them */
    {0x10, V5, NAME5 "0A 00 3C 00 00 00", BAD},
    {0x10, V5, NAME5 "12 00 3C 00 00 00", BAD},
    {0x10, V5, NAME5 "22 00 3C 00 00 00", BAD},
    {0x10, V4, NAME4 "0A 00 3C 00 00", BAD},
    {0x10, V4, NAME4 "22 00 3C 00 00", BAD},
    {0x10, V3, NAME3 "3A 00 3C 00 01 'a'", OK},
    /* bad-inputs 17 [MQTT-3.1.2-12] */
    {0x10, V5, NAME5 "1E 00 3C 00 00 01 'a' 00 00 01 't' 00 00", BAD},
    {0x10, V4, NAME4 "1E 00 3C 00 01 'a' 00 01 't' 00 00", BAD},
    {0x10, V3, NAME3 "1E 00 3C 00 01 'a' 00 01 't' 00 00", BAD},
    /* bad-inputs 18 [MQTT3-3.1.2-22] */
    {0x10, V5, NAME5 "42 00 3C 00 00 00 00 01 'p'", OK},
    {0x10, V4, NAME4 "42 00 3C 00 00 00 01 'p'", BAD},
    {0x10, V3, NAME3 "42 00 3C 00 01 'a' 00 01 'p'", BAD},
    /* bad-inputs 19: fields promised but missing; V3.1 allows that for the last two */
    {0x10, V5, NAME5 "82 00 3C 00 00 00", BAD},
    {0x10, V5, NAME5 "C2 00 3C 00 00 00 00 01 'u'", BAD},
    {0x10, V4, NAME4 "82 00 3C 00 00", BAD},
    {0x10, V4, NAME4 "C2 00 3C 00 00 00 01 'u'", BAD},
    {0x10, V4, NAME4 "06 00 3C 00 00", BAD},
    {0x10, V4, NAME4 "06 00 3C 00 00 00 01 't'", BAD},
    {0x10, V3, NAME3 "82 00 3C 00 01 'a'", OK},
    {0x10, V3, NAME3 "C2 00 3C 00 01 'a'", OK},
    {0x10, V3, NAME3 "C2 00 3C 00 01 'a' 00 01 'u'", OK},
    {0x10, V3, NAME3 "C2 00 3C 00 01 'a' 00 02 'u'", BAD},
    {0x10, V3, NAME3 "06 00 3C 00 01 'a'", BAD},
    {0x10, V3, NAME3 "02 00 3C 00 01 'a' 'b'", BAD},
    /* bad-inputs 22: will topic */
    {0x10, V5, NAME5 "06 00 3C 00 00 01 'a' 00 00 00 00 00", MQTT_TOPIC_NAME_INVALID},
    {0x10, V5, NAME5 "06 00 3C 00 00 01 'a' 00 00 01 '#' 00 00", MQTT_TOPIC_NAME_INVALID},
    {0x10, V4, NAME4 "06 00 3C 00 01 'a' 00 03 'a/+' 00 00", MQTT_TOPIC_NAME_INVALID},
    {0x10, V5, NAME5 "06 00 3C 00 00 01 'a' 00 00 01 00 00 00", BAD},
    /* bad-inputs 23: properties twice */
    {0x10, V5, NAME5 "02 00 3C 0A 11 00 00 00 01 11 00 00 00 01 00 00", PRO},
    {0x10, V5, NAME5 "02 00 3C 06 21 00 01 21 00 01 00 00", PRO},
    {0x10, V5, NAME5 "02 00 3C 0E 26 00 01 'a' 00 01 'b' 26 00 01 'a' 00 01 'b' 00 00", OK},
    {0x10, V5, NAME5 "06 00 3C 00 00 01 'a' 04 01 00 01 00 00 01 't' 00 00", PRO},
    /* bad-inputs 24: unknown, of another packet, will's in the wrong block, too long */
    {0x10, V5, NAME5 "02 00 3C 02 00 00 00 00", BAD},
    {0x10, V5, NAME5 "02 00 3C 02 7F 00 00 00", BAD},
    {0x10, V5, NAME5 "02 00 3C 03 A1 01 00 00 00", BAD},
    {0x10, V5, NAME5 "02 00 3C 03 23 00 01 00 00", BAD},
    {0x10, V5, NAME5 "02 00 3C 05 18 00 00 00 01 00 00", BAD},
    {0x10, V5, NAME5 "06 00 3C 00 00 01 'a' 05 11 00 00 00 01 00 01 't' 00 00", BAD},
    {0x10, V5, NAME5 "06 00 3C 00 00 01 'a' 05 18 00 00 00 01 00 01 't' 00 00", OK},
    {0x10, V5, NAME5 "02 00 3C 7F 21 00 01 00 00", BAD},
    {0x10, V5, NAME5 "02 00 3C 02 21 00 01 00 00", BAD},
    {0x10, V5, NAME5 "02 00 3C FF FF FF 7F 21 00 01 00 00", BAD},
    /* bad-inputs 2: property length in a longer form [MQTT-1.5.5-1] */
    {0x10, V5, NAME5 "02 00 3C 80 00 00 00", BAD},
    /* bad-inputs 25: values out of range */
    {0x10, V5, NAME5 "02 00 3C 03 21 00 00 00 00", PRO},
    {0x10, V5, NAME5 "02 00 3C 05 27 00 00 00 00 00 00", PRO},
    {0x10, V5, NAME5 "02 00 3C 02 17 02 00 00", PRO},
    {0x10, V5, NAME5 "02 00 3C 02 19 02 00 00", PRO},
    {0x10, V5, NAME5 "06 00 3C 00 00 01 'a' 02 01 02 00 01 't' 00 00", PRO},
    {0x10, V5, NAME5 "02 00 3C 04 17 01 19 01 00 00", OK},
    /* bad-inputs 27 */
    {0x10, V5, NAME5 "02 00 3C 04 16 00 01 'd' 00 00", PRO},
    {0x10, V5, NAME5 "02 00 3C 08 16 00 01 'd' 15 00 01 'm' 00 00", OK},
    /* bad-inputs 33: strings */
    {0x10, V5, NAME5 "02 00 3C 00 00 01 00", BAD},
    {0x10, V4, NAME4 "02 00 3C 00 02 C0 80", BAD},
    {0x10, V5, NAME5 "82 00 3C 00 00 01 'a' 00 03 ED A0 80", BAD},
    {0x10, V5, NAME5 "02 00 3C 07 26 00 01 FF 00 01 'b' 00 00", BAD},
    {0x10, V5, NAME5 "02 00 3C 07 26 00 01 'a' 00 01 00 00 00", BAD},
    {0x10, V5, NAME5 "C2 00 3C 00 00 01 'a' 00 01 'u' 00 03 00 FF ED", OK}, /* password: binary */
    /* a client identifier that is a string, and may be refused: 0x85 where there is that code */
    {0x10, V5, NAME5 "02 00 3C 00 00 01 1F", MQTT_CLIENT_IDENTIFIER_NOT_VALID},
    {0x10, V5, NAME5 "02 00 3C 00 00 03 'a' C2 9F", MQTT_CLIENT_IDENTIFIER_NOT_VALID},
    {0x10, V4, NAME4 "02 00 3C 00 01 1F", BAD},
    {0x10, V3, NAME3 "02 00 3C 00 01 1F", BAD},
    {0x10, V5, NAME5 "82 00 3C 00 00 01 'a' 00 01 1F", BAD}, /* a user name */
    /* CONNACK; bad-inputs 71 */
    {0x20, V5, "00 00 00", OK},
    {0x20, V5, "01 00 00", OK},
    {0x20, V5, "00 87 00", OK},
    {0x20, V4, "01 00", OK},
    {0x20, V4, "00 05", OK},
    {0x20, V3, "FF 05", OK},
    {0x20, V5, "00 00", BAD},
    {0x20, V5, "00", BAD},
    {0x20, V4, "00 00 00", BAD},
    {0x20, V5, "02 00 00", BAD}, /* [MQTT-3.2.2-1] */
    {0x20, V4, "80 00", BAD},
    {0x20, V5, "00 8E 00", PRO}, /* [MQTT-3.2.2-8] */
    {0x20, V4, "00 06", PRO},
    {0x20, V5, "01 87 00", PRO}, /* [MQTT-3.2.2-6] */
    {0x20, V4, "01 05", PRO},	 /* [MQTT3-3.2.2-4] */
    {0x20, V5, "00 00 02 24 02", PRO},
    {0x20, V5, "00 00 02 17 00", BAD},
    {0x21, V5, "00 00 00", BAD},
};

START_TEST(reasons_of_the_table)
{
	packet_cases_check(cases, COUNT_OF(cases));
}
END_TEST

START_TEST(version_is_told_as_soon_as_known)
{
	static const struct {
		const char *body;
		int version;
		bool bridge;
	} rows[] = {
	    {"00 04 'MQTX' 05 02", 5, false}, {NAME5, 5, false},
	    {NAME4 "03 00", 4, false},	      {"00 04 'MQTT' 84 02", 4, true},
	    {"00 06 'MQIsdp' 83", 3, true},   {"00 04 'MQTT' 06", 5, false},
	    {"00 04 'MQTT'", 0, false},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct slice body = bytes_parse(rows[i].body);
		struct mqtt_connect p;

		ck_assert_uint_ne(mqtt_decode_connect(body, &p), MQTT_SUCCESS);
		ck_assert_int_eq((int)p.version, rows[i].version);
		ck_assert_int_eq(p.bridge, rows[i].bridge);
		bytes_free(body);
	}
}
END_TEST

/* bad-inputs 26: thousands of user properties, walked in their order. */
START_TEST(many_user_properties)
{
	enum { COUNT = 2500, ONE = 9 };
	size_t raw_len = (size_t)COUNT * ONE, written = 0, seen = 0;
	uint8_t *user = malloc(raw_len), *packet = malloc(raw_len + 64);
	struct writer w = writer_of(user, raw_len);
	struct mqtt_connect p = {.version = V5, .clean_start = true};
	struct slice raw, name, value;
	struct mqtt_connect out;
	struct frame f;

	for (uint16_t i = 0; i < COUNT; i++) {
		write_u8(&w, MQTT_PROPERTY_USER_PROPERTY);
		write_binary(&w, SLICE_LITERAL("ab"));
		write_u16(&w, 2);
		write_u8(&w, (uint8_t)('0' + i / 50));
		write_u8(&w, (uint8_t)('0' + i % 50));
	}
	ck_assert(!w.full && w.at == w.end);
	p.properties.user = slice_of(user, raw_len);
	written = mqtt_encode_connect(packet, raw_len + 64, &p);
	ck_assert_uint_gt(written, raw_len);
	ck_assert_int_eq(frame_cut(slice_of(packet, written), &f), FRAME_WHOLE);
	ck_assert_uint_eq(mqtt_decode_connect(f.body, &out), MQTT_SUCCESS);
	ck_assert(mqtt_has(&out.properties, MQTT_PROPERTY_USER_PROPERTY));
	for (raw = out.properties.raw; mqtt_next_user_property(&raw, &name, &value); seen++) {
		ck_assert(slice_equal(name, SLICE_LITERAL("ab")));
		ck_assert_uint_eq(value.at[0], '0' + seen / 50);
		ck_assert_uint_eq(value.at[1], '0' + seen % 50);
	}
	ck_assert_uint_eq(seen, COUNT);
	free(user);
	free(packet);
}
END_TEST

START_TEST(fields_of_a_connect)
{
	struct slice body = bytes_parse(
	    NAME5 "EE 00 0A 05 11 00 00 01 00 00 02 'id' 05 18 00 00 00 07 00 01 't' 00 02 "
		  "00 FF 00 01 'u' 00 01 'p'");
	struct mqtt_connect p;

	ck_assert_uint_eq(mqtt_decode_connect(body, &p), MQTT_SUCCESS);
	ck_assert(p.has_will && p.has_user_name && p.has_password && p.clean_start && !p.bridge);
	ck_assert_uint_eq(p.will.qos, 1);
	ck_assert(p.will.retain);
	ck_assert_uint_eq(p.keep_alive_s, 10);
	ck_assert_uint_eq(p.properties.session_expiry_s, 256);
	ck_assert(mqtt_has(&p.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL));
	ck_assert(!mqtt_has(&p.properties, MQTT_PROPERTY_WILL_DELAY_INTERVAL));
	ck_assert_uint_eq(p.will.properties.will_delay_s, 7);
	ck_assert(slice_equal(p.client_id, SLICE_LITERAL("id")));
	ck_assert(slice_equal(p.will.topic, SLICE_LITERAL("t")));
	ck_assert(slice_equal(p.will.payload, SLICE_LITERAL("\0\xFF")));
	ck_assert(slice_equal(p.user_name, SLICE_LITERAL("u")));
	ck_assert(slice_equal(p.password, SLICE_LITERAL("p")));
	bytes_free(body);
}
END_TEST

START_TEST(absent_strings_of_version_3_1)
{
	struct slice body = bytes_parse(NAME3 "C2 00 3C 00 01 'a' 00 01 'u'");
	struct mqtt_connect p;

	ck_assert_uint_eq(mqtt_decode_connect(body, &p), MQTT_SUCCESS);
	ck_assert(p.has_user_name && !p.has_password);
	ck_assert(slice_equal(p.user_name, SLICE_LITERAL("u")));
	bytes_free(body);
}
END_TEST

START_TEST(bytes_of_the_encoders)
{
	uint8_t out[64];
	struct mqtt_connect p = {
	    .version = V4,
	    .bridge = true,
	    .has_will = true,
	    .will = {.qos = 2, .topic = SLICE_LITERAL("t"), .payload = SLICE_LITERAL("w")},
	    .keep_alive_s = 258,
	    .client_id = SLICE_LITERAL("c"),
	};
	struct mqtt_connack ack = {.session_present = true, .reason = 0};
	size_t size = mqtt_encode_connect(out, sizeof(out), &p);

	packet_bytes_check(out, size,
			   "10 13 00 04 'MQTT' 84 14 01 02 00 01 'c' 00 01 't' 00 01 'w'");
	ck_assert_uint_eq(mqtt_encode_connect(out, size - 1, &p), 0);
	size = mqtt_encode_connack(out, sizeof(out), V4, &ack);
	packet_bytes_check(out, size, "20 02 01 00");
	size = mqtt_encode_connack(out, sizeof(out), V3, &ack);
	packet_bytes_check(out, size, "20 02 00 00");
	ack.properties.server_keep_alive_s = 5;
	mqtt_set(&ack.properties, MQTT_PROPERTY_SERVER_KEEP_ALIVE);
	size = mqtt_encode_connack(out, sizeof(out), V5, &ack);
	packet_bytes_check(out, size, "20 06 01 00 03 13 00 05");
	ck_assert_uint_eq(mqtt_encode_connack(out, 7, V5, &ack), 0);
}
END_TEST

Suite *connect_suite(void)
{
	const TTest *const tests[] = {
	    reasons_of_the_table, version_is_told_as_soon_as_known, many_user_properties,
	    fields_of_a_connect,  absent_strings_of_version_3_1,    bytes_of_the_encoders,
	};

	return suite_of("connect", tests, COUNT_OF(tests));
}
