#include "tests/unit/packets.h"

#define V3  MQTT_VERSION_3_1
#define V4  MQTT_VERSION_3_1_1
#define V5  MQTT_VERSION_5_0
#define OK  MQTT_SUCCESS
#define BAD MQTT_MALFORMED_PACKET
#define PRO MQTT_PROTOCOL_ERROR

static const struct packet_case cases[] = {
    {0x30, V5, "00 01 'a' 00 'payload'", OK},
    {0x31, V5, "00 01 'a' 00", OK},
    {0x3D, V5, "00 01 'a' 00 01 00", OK},
    {0x30, V4, "00 01 'a' 'payload'", OK},
    {0x32, V4, "00 01 'a' FF FF", OK},
    {0x32, V3, "00 01 'a' 00 01 'p'", OK},
    /* bad-inputs 9 */
    {0x30, V5, "", BAD},
    {0x30, V5, "00", BAD},
    {0x30, V5, "00 02 'a'", BAD},
    {0x30, V5, "00 01 'a'", BAD}, /* no property length [MQTT-2.2.2-1] */
    {0x32, V5, "00 01 'a' 00", BAD},
    {0x32, V4, "00 01 'a' 00", BAD},
    {0x32, V5, "00 01 'a' 00 01", BAD},
    /* bad-inputs 31 */
    {0x30, V5, "00 00 00 'p'", PRO},
    {0x30, V4, "00 00 'p'", PRO},
    {0x30, V5, "00 00 03 23 00 01 'p'", OK}, /* an alias stands for it */
    /* bad-inputs 32 [MQTT-3.3.2-2] */
    {0x30, V5, "00 01 '+' 00", MQTT_TOPIC_NAME_INVALID},
    {0x30, V5, "00 03 'a/#' 00", MQTT_TOPIC_NAME_INVALID},
    {0x30, V4, "00 0A 'abcdefghi#'", MQTT_TOPIC_NAME_INVALID},
    /* bad-inputs 33 [MQTT-1.5.4-1] [MQTT-1.5.4-2] */
    {0x30, V5, "00 01 00 00", BAD},
    {0x30, V5, "00 02 C0 AF 00", BAD},
    {0x30, V5, "00 03 ED A0 80 00", BAD},
    {0x30, V5, "00 04 F4 90 80 80 00", BAD},
    {0x30, V5, "00 02 E2 82 00", BAD},
    {0x30, V4, "00 03 ED A0 80", BAD},
    {0x30, V5, "00 03 EF BB BF 00", OK}, /* [MQTT-1.5.4-3] */
    /* bad-inputs 34 [MQTT-3.3.1-4] */
    {0x36, V5, "00 01 'a' 00 01 00", BAD},
    {0x36, V4, "00 01 'a' 00 01", BAD},
    /* bad-inputs 35 [MQTT-3.3.1-2] */
    {0x38, V5, "00 01 'a' 00", BAD},
    {0x38, V4, "00 01 'a'", BAD},
    {0x38, V3, "00 01 'a'", OK}, /* which says nothing of it */
    /* bad-inputs 36 [MQTT-2.2.1-3] */
    {0x32, V5, "00 01 'a' 00 00 00", PRO},
    {0x34, V5, "00 01 'a' 00 00 00", PRO},
    {0x32, V4, "00 01 'a' 00 00", PRO},
    /* bad-inputs 37 [MQTT-3.3.2-8] */
    {0x30, V5, "00 01 'a' 03 23 00 00", MQTT_TOPIC_ALIAS_INVALID},
    {0x30, V5, "00 01 'a' 03 23 FF FF", OK}, /* the maximum is the connection's to know */
    {0x30, V5, "00 01 'a' 06 23 00 01 23 00 01", PRO},
    /* bad-inputs 39: decoded here; whether it may stand, the direction tells */
    {0x30, V5, "00 01 'a' 02 0B 01", OK},
    {0x30, V5, "00 01 'a' 04 0B 01 0B 02", OK},
    {0x30, V5, "00 01 'a' 02 0B 00", PRO},
    {0x30, V5, "00 01 'a' 06 0B 80 80 80 80 01", BAD},
    /* bad-inputs 40 [MQTT-3.3.2-13] [MQTT-3.3.2-14] */
    {0x30, V5, "00 01 'a' 06 08 00 03 'b/+'", PRO},
    {0x30, V5, "00 01 'a' 04 08 00 01 '#'", PRO},
    {0x30, V5, "00 01 'a' 03 08 00 00", PRO},
    {0x30, V5, "00 01 'a' 05 08 00 02 C3 28", BAD},
    {0x30, V5, "00 01 'a' 08 03 00 01 'x' 03 00 01 'x'", PRO},
    {0x30, V5, "00 01 'a' 04 03 00 01 FF", BAD}, /* [MQTT-3.3.2-19] */
    /* bad-inputs 41: the payload's form is not the decoder's to judge */
    {0x30, V5, "00 01 'a' 02 01 01 FF FE", OK},
    {0x30, V5, "00 01 'a' 02 01 02", PRO},
    /* properties: of another packet, past the end, cut */
    {0x30, V5, "00 01 'a' 05 11 00 00 00 01", BAD},
    {0x30, V5, "00 01 'a' 05 02 00 00 00", BAD},
    {0x30, V5, "00 01 'a' 02 02 00 00 00 01", BAD},
    {0x30, V5, "00 01 'a' 80", BAD},
    {0x30, V5, "00 01 'a' 05 26 00 01 'a' 00", BAD},
    {0x30, V5, "00 01 'a' 04 26 00 01 'a' 00 01 'b'", BAD},
};

START_TEST(reasons_of_the_table)
{
	packet_cases_check(cases, COUNT_OF(cases));
}
END_TEST

START_TEST(fields_of_a_publish)
{
	struct slice body =
	    bytes_parse("00 03 'a/b' 12 34 0A 02 00 00 00 05 0B 81 01 01 01 'hello'");
	struct mqtt_publish p;

	ck_assert_uint_eq(mqtt_decode_publish(0x0D, body, V5, &p), MQTT_SUCCESS);
	ck_assert_uint_eq(p.qos, 2);
	ck_assert(p.dup && p.retain);
	ck_assert_uint_eq(p.packet_id, 0x1234);
	ck_assert(slice_equal(p.topic, SLICE_LITERAL("a/b")));
	ck_assert(slice_equal(p.payload, SLICE_LITERAL("hello")));
	ck_assert_uint_eq(p.properties.present, 1u << 1 | 1u << 2 | 1u << 11);
	ck_assert_uint_eq(p.properties.message_expiry_s, 5);
	ck_assert_uint_eq(p.properties.subscription_identifier, 129);
	ck_assert_uint_eq(p.properties.payload_format, 1);
	ck_assert_uint_eq(p.properties.raw.len, 10);

	ck_assert_uint_eq(mqtt_decode_publish(0x00, body, V4, &p), MQTT_SUCCESS);
	ck_assert_uint_eq(p.packet_id, 0);
	ck_assert_uint_eq(p.payload.len, body.len - 5);
	ck_assert_uint_eq(p.properties.present, 0);
	ck_assert_uint_eq(p.properties.raw.len, 0);
	bytes_free(body);
}
END_TEST

/* [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20] */
START_TEST(properties_that_go_on)
{
	struct slice body =
	    bytes_parse("00 01 't' 34 26 00 01 'b' 00 01 '1' 02 00 00 00 09 01 01 "
			"0B 07 03 00 02 'ct' 26 00 01 'a' 00 01 '2' 0B 80 01 "
			"08 00 02 'rt' 23 00 04 09 00 03 00 01 02 26 00 01 'b' 00 01 '1' 'x'");
	struct slice expected =
	    bytes_parse("26 00 01 'b' 00 01 '1' 01 01 03 00 02 'ct' 26 00 01 'a' 00 01 '2' "
			"08 00 02 'rt' 09 00 03 00 01 02 26 00 01 'b' 00 01 '1'");
	static const char *const names[] = {"b", "a", "b"}, *const values[] = {"1", "2", "1"};
	struct slice raw, name, value;
	struct mqtt_publish p;
	uint32_t identifier;
	uint8_t *out;
	size_t n = 0;

	ck_assert_uint_eq(mqtt_decode_publish(0, body, V5, &p), MQTT_SUCCESS);
	ck_assert(slice_equal(p.payload, SLICE_LITERAL("x")));
	out = malloc(p.properties.raw.len);
	ck_assert_uint_eq(mqtt_forward_properties(p.properties.raw, out), expected.len);
	ck_assert_mem_eq(out, expected.at, expected.len);
	ck_assert_uint_eq(mqtt_forward_properties(SLICE_NONE, NULL), 0);

	for (raw = p.properties.raw; mqtt_next_user_property(&raw, &name, &value); n++) {
		ck_assert(slice_equal(name, slice_text(names[n])));
		ck_assert(slice_equal(value, slice_text(values[n])));
	}
	ck_assert_uint_eq(n, 3);
	raw = p.properties.raw;
	ck_assert(mqtt_next_subscription_identifier(&raw, &identifier));
	ck_assert_uint_eq(identifier, 7);
	ck_assert(mqtt_next_subscription_identifier(&raw, &identifier));
	ck_assert_uint_eq(identifier, 128);
	ck_assert(!mqtt_next_subscription_identifier(&raw, &identifier));
	ck_assert_uint_eq(p.properties.subscription_identifier, 128);
	free(out);
	bytes_free(expected);
	bytes_free(body);
}
END_TEST

START_TEST(bytes_of_the_encoder)
{
	uint8_t out[64];
	struct mqtt_publish p = {
	    .qos = 1,
	    .dup = true,
	    .packet_id = 7,
	    .topic = SLICE_LITERAL("a/b"),
	    .payload = SLICE_LITERAL("hi"),
	};
	size_t size = mqtt_encode_publish(out, sizeof(out), V4, &p);

	packet_bytes_check(out, size, "3A 09 00 03 'a/b' 00 07 'hi'");
	size = mqtt_encode_publish(out, sizeof(out), V5, &p);
	packet_bytes_check(out, size, "3A 0A 00 03 'a/b' 00 07 00 'hi'");
	p.properties.topic_alias = 3;
	p.properties.user = SLICE_LITERAL("\x26\0\1a\0\1b");
	mqtt_set(&p.properties, MQTT_PROPERTY_TOPIC_ALIAS);
	size = mqtt_encode_publish(out, sizeof(out), V5, &p);
	packet_bytes_check(out, size,
			   "3A 14 00 03 'a/b' 00 07 0A 23 00 03 26 00 01 'a' 00 01 'b' 'hi'");
	ck_assert_uint_eq(mqtt_encode_publish(out, size - 1, V5, &p), 0);
	/* Before 5.0 properties are left out. */
	size = mqtt_encode_publish(out, sizeof(out), V4, &p);
	packet_bytes_check(out, size, "3A 09 00 03 'a/b' 00 07 'hi'");
	p.qos = 0;
	p.dup = false;
	p.retain = true;
	size = mqtt_encode_publish(out, sizeof(out), V4, &p);
	packet_bytes_check(out, size, "31 07 00 03 'a/b' 'hi'");
}
END_TEST

Suite *publish_suite(void)
{
	const TTest *const tests[] = {reasons_of_the_table, fields_of_a_publish,
				      properties_that_go_on, bytes_of_the_encoder};

	return suite_of("publish", tests, COUNT_OF(tests));
}
