#include "tests/unit/packets.h"

#define V3  MQTT_VERSION_3_1
#define V4  MQTT_VERSION_3_1_1
#define V5  MQTT_VERSION_5_0
#define OK  MQTT_SUCCESS
#define BAD MQTT_MALFORMED_PACKET
#define PRO MQTT_PROTOCOL_ERROR

static const struct packet_case cases[] = {
    {0x82, V5, "00 01 00 00 01 'a' 2E", OK},
    {0x82, V5, "00 01 02 0B 01 00 01 'a' 00 00 01 '#' 01", OK},
    {0x82, V4, "00 01 00 01 'a' 02", OK},
    {0x82, V3, "00 01 00 01 'a' 02", OK},
    {0xA2, V5, "00 01 00 00 01 'a' 00 01 'b'", OK},
    {0xA2, V4, "00 01 00 01 'a'", OK},
    /* bad-inputs 5 [MQTT-3.8.1-1] [MQTT-3.10.1-1] */
    {0x80, V5, "00 01 00 00 01 'a' 00", BAD},
    {0x83, V4, "00 01 00 01 'a' 02", BAD},
    {0xA0, V5, "00 01 00 00 01 'a'", BAD},
    /* bad-inputs 9 */
    {0x82, V5, "", BAD},
    {0x82, V5, "00", BAD},
    {0x82, V5, "00 01", BAD},
    {0x82, V5, "00 01 00 00", BAD},
    {0x82, V5, "00 01 00 00 02 'a'", BAD},
    {0x82, V4, "00 01 00 01 'a' 00 00", BAD},
    {0xA2, V4, "00 01 00 02 'a'", BAD},
    {0xA2, V4, "00 01 00 01 'a' 00", BAD},
    /* bad-inputs 50 [MQTT-3.8.3-2] [MQTT-3.10.3-2] [MQTT-2.2.1-3] */
    {0x82, V5, "00 01 00", PRO},
    {0x82, V4, "00 01", PRO},
    {0xA2, V5, "00 01 00", PRO},
    {0xA2, V4, "00 01", PRO},
    {0x82, V5, "00 00 00 00 01 'a' 00", PRO},
    {0x82, V4, "00 00 00 01 'a' 00", PRO},
    {0xA2, V5, "00 00 00 00 01 'a'", PRO},
    {0xA2, V4, "00 00 00 01 'a'", PRO},
    /* bad-inputs 51 */
    {0x82, V5, "00 01 00 00 01 'a'", BAD},
    {0x82, V4, "00 01 00 01 'a'", BAD},
    /* bad-inputs 52: filters are topic.h's to judge, but their UTF-8 is judged here */
    {0x82, V5, "00 01 00 00 02 'a#' 00", OK},
    {0x82, V5, "00 01 00 00 00 00", OK},
    {0x82, V5, "00 01 00 00 01 00 00", BAD},
    {0x82, V4, "00 01 00 02 C3 28 00", BAD},
    {0xA2, V5, "00 01 00 00 01 00", BAD},
    {0xA2, V4, "00 01 00 03 ED A0 80", BAD},
    /* bad-inputs 53 [MQTT-3.8.3-5], [MQTT3-3.8.3-4] */
    {0x82, V5, "00 01 00 00 01 'a' 03", PRO},
    {0x82, V5, "00 01 00 00 01 'a' 30", PRO},
    {0x82, V5, "00 01 00 00 01 'a' 40", BAD},
    {0x82, V5, "00 01 00 00 01 'a' 80", BAD},
    {0x82, V5, "00 01 00 00 01 'a' 00 00 01 'b' 03", PRO},
    {0x82, V4, "00 01 00 01 'a' 03", BAD},
    {0x82, V4, "00 01 00 01 'a' 04", BAD},
    {0x82, V4, "00 01 00 01 'a' 80", BAD},
    {0x82, V3, "00 01 00 01 'a' 03", BAD},
    {0x82, V3, "00 01 00 01 'a' FC", OK},
    /* bad-inputs 55 [MQTT-3.8.3-4]; before 5.0 the name is an ordinary one */
    {0x82, V5, "00 01 00 00 0A '$share/g/t' 04", PRO},
    {0x82, V5, "00 01 00 00 0A '$share/g/t' 00", OK},
    {0x82, V5, "00 01 00 00 06 '$share' 04", OK},
    {0x82, V4, "00 01 00 0A '$share/g/t' 01", OK},
    /* bad-inputs 56 */
    {0x82, V5, "00 01 02 0B 00 00 01 'a' 00", PRO},
    {0x82, V5, "00 01 04 0B 01 0B 02 00 01 'a' 00", PRO},
    {0x82, V5, "00 01 05 0B FF FF FF 7F 00 01 'a' 00", OK},
    {0x82, V5, "00 01 06 0B 80 80 80 80 01 00 01 'a' 00", BAD},
    {0xA2, V5, "00 01 02 0B 01 00 01 'a'", BAD},
    /* SUBACK and UNSUBACK; bad-inputs 71 */
    {0x90, V5, "00 01 00 00", OK},
    {0x90, V5, "00 01 00 02 8F 97", OK},
    {0x90, V4, "00 01 00 01 02 80", OK},
    {0xB0, V5, "00 01 00 11 00", OK},
    {0xB0, V4, "00 01", OK},
    {0x90, V5, "00 01 00", BAD},
    {0x90, V4, "00 01", BAD},
    {0xB0, V5, "00 01 00", BAD},
    {0xB0, V4, "00 01 00", BAD},
    {0x90, V5, "00", BAD},
    {0x90, V5, "00 00 00 00", PRO},
    {0x90, V5, "00 01 00 03", PRO}, /* [MQTT-3.9.3-2] */
    {0x90, V4, "00 01 03", PRO},
    {0x90, V4, "00 01 87", PRO},
    {0xB0, V5, "00 01 00 01", PRO}, /* [MQTT-3.11.3-2] */
    {0x92, V5, "00 01 00 00", BAD},
};

START_TEST(reasons_of_the_table)
{
	packet_cases_check(cases, COUNT_OF(cases));
}
END_TEST

START_TEST(entries_are_walked)
{
	struct slice body = bytes_parse("00 09 02 0B 07 00 03 'a/b' 1D 00 01 '#' 22");
	struct mqtt_subscription s;
	struct mqtt_subscribe p;

	ck_assert_uint_eq(mqtt_decode_subscribe(body, V5, &p), MQTT_SUCCESS);
	ck_assert_uint_eq(p.packet_id, 9);
	ck_assert_uint_eq(p.count, 2);
	ck_assert_uint_eq(p.properties.subscription_identifier, 7);
	ck_assert(mqtt_next_subscription(&p.entries, V5, &s));
	ck_assert(slice_equal(s.filter, SLICE_LITERAL("a/b")));
	ck_assert(s.qos == 1 && s.no_local && s.retain_as_published && s.retain_handling == 1);
	ck_assert(mqtt_next_subscription(&p.entries, V5, &s));
	ck_assert(slice_equal(s.filter, SLICE_LITERAL("#")));
	ck_assert(s.qos == 2 && !s.no_local && !s.retain_as_published && s.retain_handling == 2);
	ck_assert(!mqtt_next_subscription(&p.entries, V5, &s));
	bytes_free(body);

	body = bytes_parse("00 09 00 01 'a' FE"); /* 3.1 does not look at the reserved bits */
	ck_assert_uint_eq(mqtt_decode_subscribe(body, V3, &p), MQTT_SUCCESS);
	ck_assert(mqtt_next_subscription(&p.entries, V3, &s));
	ck_assert(s.qos == 2 && !s.no_local && !s.retain_as_published && s.retain_handling == 0);
	bytes_free(body);
}
END_TEST

START_TEST(filters_are_walked)
{
	struct slice body = bytes_parse("00 09 00 00 01 'a' 00 00 00 02 '/+'");
	struct mqtt_subscribe p;
	struct slice filter;

	ck_assert_uint_eq(mqtt_decode_unsubscribe(body, V5, &p), MQTT_SUCCESS);
	ck_assert_uint_eq(p.count, 3);
	ck_assert(mqtt_next_filter(&p.entries, &filter));
	ck_assert(slice_equal(filter, SLICE_LITERAL("a")));
	ck_assert(mqtt_next_filter(&p.entries, &filter));
	ck_assert(slice_equal(filter, SLICE_NONE));
	ck_assert(mqtt_next_filter(&p.entries, &filter));
	ck_assert(slice_equal(filter, SLICE_LITERAL("/+")));
	ck_assert(!mqtt_next_filter(&p.entries, &filter));
	bytes_free(body);
}
END_TEST

START_TEST(bytes_of_the_encoders)
{
	uint8_t out[64];
	const struct mqtt_subscription entries[] = {
	    {.filter = SLICE_LITERAL("a"), .qos = 1, .no_local = true, .retain_handling = 2},
	    {.filter = SLICE_LITERAL("#"), .retain_as_published = true},
	};
	const struct slice filters[] = {SLICE_LITERAL("a"), SLICE_LITERAL("#")};
	struct mqtt_subscribe p = {.packet_id = 3};
	struct mqtt_suback ack = {
	    .type = MQTT_SUBACK, .packet_id = 3, .reasons = SLICE_LITERAL("\x01\x80")};
	size_t size = mqtt_encode_subscribe(out, sizeof(out), V5, &p, entries, 2);

	packet_bytes_check(out, size, "82 0B 00 03 00 00 01 'a' 25 00 01 '#' 08");
	ck_assert_uint_eq(mqtt_encode_subscribe(out, size - 1, V5, &p, entries, 2), 0);
	size = mqtt_encode_subscribe(out, sizeof(out), V4, &p, entries, 2);
	packet_bytes_check(out, size, "82 0A 00 03 00 01 'a' 01 00 01 '#' 00");
	size = mqtt_encode_unsubscribe(out, sizeof(out), V4, &p, filters, 2);
	packet_bytes_check(out, size, "A2 08 00 03 00 01 'a' 00 01 '#'");
	ck_assert_uint_eq(mqtt_encode_unsubscribe(out, size - 1, V4, &p, filters, 2), 0);
	size = mqtt_encode_suback(out, sizeof(out), V5, &ack);
	packet_bytes_check(out, size, "90 05 00 03 00 01 80");
	size = mqtt_encode_suback(out, sizeof(out), V4, &ack);
	packet_bytes_check(out, size, "90 04 00 03 01 80");
	ack.type = MQTT_UNSUBACK;
	size = mqtt_encode_suback(out, sizeof(out), V4, &ack);
	packet_bytes_check(out, size, "B0 02 00 03");
	ck_assert_uint_eq(mqtt_encode_suback(out, 3, V4, &ack), 0);
}
END_TEST

Suite *subscribe_suite(void)
{
	const TTest *const tests[] = {reasons_of_the_table, entries_are_walked, filters_are_walked,
				      bytes_of_the_encoders};

	return suite_of("subscribe", tests, COUNT_OF(tests));
}
