#include "tests/unit/packets.h"

#define V3  MQTT_VERSION_3_1
#define V4  MQTT_VERSION_3_1_1
#define V5  MQTT_VERSION_5_0
#define OK  MQTT_SUCCESS
#define BAD MQTT_MALFORMED_PACKET
#define PRO MQTT_PROTOCOL_ERROR

static const struct packet_case cases[] = {
    {0x40, V4, "00 01", OK},
    {0x40, V3, "00 01", OK},
    {0x50, V4, "FF FF", OK},
    {0x62, V4, "00 01", OK},
    {0x70, V4, "00 01", OK},
    {0x40, V5, "00 01", OK},
    {0x40, V5, "00 01 10", OK},
    {0x50, V5, "00 01 91 00", OK},
    {0x62, V5, "00 01 92 00", OK},
    {0x70, V5, "00 01 92", OK},
    {0x40, V5, "00 01 00 04 1F 00 01 'r'", OK},
    /* bad-inputs 5 [MQTT-2.1.3-1] [MQTT-3.6.1-1] */
    {0x60, V5, "00 01", BAD},
    {0x60, V4, "00 01", BAD},
    {0x6A, V4, "00 01", BAD},
    {0x42, V5, "00 01", BAD},
    {0x51, V5, "00 01", BAD},
    {0x72, V5, "00 01", BAD},
    /* bad-inputs 9 */
    {0x40, V4, "", BAD},
    {0x40, V4, "00", BAD},
    {0x40, V4, "00 01 00", BAD},
    {0x62, V4, "00 01 00", BAD},
    {0x40, V5, "", BAD},
    {0x40, V5, "01", BAD},
    {0x40, V5, "00 01 00 00 00", BAD},
    {0x40, V5, "00 01 00 01", BAD},
    {0x40, V5, "00 01 00 80", BAD},
    /* a packet identifier of no packet */
    {0x40, V4, "00 00", PRO},
    {0x40, V5, "00 00", PRO},
    {0x62, V5, "00 00 00 00", PRO},
    /* codes of other packets [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] */
    {0x40, V5, "00 01 92", PRO},
    {0x40, V5, "00 01 01", PRO},
    {0x50, V5, "00 01 FF", PRO},
    {0x62, V5, "00 01 10", PRO},
    {0x70, V5, "00 01 80", PRO},
    /* properties */
    {0x40, V5, "00 01 00 08 1F 00 01 'r' 1F 00 01 'r'", PRO},
    {0x40, V5, "00 01 00 05 11 00 00 00 01", BAD},
    {0x40, V5, "00 01 00 04 1F 00 01 00", BAD},
};

START_TEST(reasons_of_the_table)
{
	packet_cases_check(cases, COUNT_OF(cases));
}
END_TEST

START_TEST(short_forms_mean_success)
{
	struct slice body = bytes_parse("01 02");
	struct mqtt_ack p;

	ck_assert_uint_eq(mqtt_decode_ack(MQTT_PUBREC, body, V5, &p), MQTT_SUCCESS);
	ck_assert_uint_eq(p.type, MQTT_PUBREC);
	ck_assert_uint_eq(p.packet_id, 0x0102);
	ck_assert_uint_eq(p.reason, MQTT_SUCCESS);
	ck_assert_uint_eq(p.properties.present, 0);
	bytes_free(body);
}
END_TEST

START_TEST(bytes_of_the_encoder)
{
	uint8_t out[32];
	struct mqtt_ack p = {.type = MQTT_PUBREL, .packet_id = 5};
	size_t size = mqtt_encode_ack(out, sizeof(out), V5, &p);

	packet_bytes_check(out, size, "62 02 00 05");
	p.reason = MQTT_PACKET_IDENTIFIER_NOT_FOUND;
	size = mqtt_encode_ack(out, sizeof(out), V5, &p);
	packet_bytes_check(out, size, "62 03 00 05 92");
	p.properties.reason_string = SLICE_LITERAL("no");
	mqtt_set(&p.properties, MQTT_PROPERTY_REASON_STRING);
	size = mqtt_encode_ack(out, sizeof(out), V5, &p);
	packet_bytes_check(out, size, "62 09 00 05 92 05 1F 00 02 'no'");
	ck_assert_uint_eq(mqtt_encode_ack(out, 10, V5, &p), 0);
	size = mqtt_encode_ack(out, sizeof(out), V4, &p);
	packet_bytes_check(out, size, "62 02 00 05");
	ck_assert_uint_eq(mqtt_encode_ack(out, 3, V4, &p), 0);
}
END_TEST

Suite *ack_suite(void)
{
	const TTest *const tests[] = {reasons_of_the_table, short_forms_mean_success,
				      bytes_of_the_encoder};

	return suite_of("ack", tests, COUNT_OF(tests));
}
