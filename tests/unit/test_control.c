#include "tests/unit/packets.h"

#define V3  MQTT_VERSION_3_1
#define V4  MQTT_VERSION_3_1_1
#define V5  MQTT_VERSION_5_0
#define OK  MQTT_SUCCESS
#define BAD MQTT_MALFORMED_PACKET
#define PRO MQTT_PROTOCOL_ERROR

static const struct packet_case cases[] = {
    {0xC0, V5, "", OK},
    {0xD0, V4, "", OK},
    {0xE0, V3, "", OK},
    {0xE0, V4, "", OK},
    {0xE0, V5, "", OK},
    {0xE0, V5, "04", OK},
    {0xE0, V5, "00 00", OK},
    {0xE0, V5, "00 05 11 00 00 00 01", OK}, /* bad-inputs 65: the session knows what it may be */
    {0xE0, V5, "8E 00", OK},
    {0xF0, V5, "", OK},
    {0xF0, V5, "18 04 15 00 01 'm'", OK},
    {0xF0, V5, "19 08 15 00 01 'm' 16 00 01 'd'", OK},
    /* bad-inputs 5 [MQTT-2.1.3-1] [MQTT-3.14.1-1] [MQTT-3.15.1-1] */
    {0xC1, V5, "", BAD},
    {0xD8, V5, "", BAD},
    {0xE1, V5, "", BAD},
    {0xE2, V4, "", BAD},
    {0xF1, V5, "", BAD},
    /* bad-inputs 6 */
    {0x00, V5, "", BAD},
    {0x0F, V5, "", BAD},
    /* bad-inputs 9 */
    {0xE0, V4, "00", BAD},
    {0xE0, V5, "00 00 00", BAD},
    {0xE0, V5, "00 01", BAD},
    {0xE0, V5, "00 05 11 00 00 00", BAD},
    {0xF0, V5, "18", BAD},
    {0xF0, V5, "18 04 15 00 01 'm' 00", BAD},
    /* codes of other packets [MQTT-3.14.2-1] [MQTT-3.15.2-1] */
    {0xE0, V5, "01", PRO},
    {0xE0, V5, "84 00", PRO},
    {0xE0, V5, "FF", PRO},
    {0xF0, V5, "80 04 15 00 01 'm'", PRO},
    /* bad-inputs 27: AUTH without its method, data without method */
    {0xF0, V5, "18 00", PRO},
    {0xF0, V5, "18 04 16 00 01 'd'", PRO},
    {0xF0, V5, "18 08 15 00 01 'm' 15 00 01 'm'", PRO},
    /* properties of other packets */
    {0xE0, V5, "00 03 21 00 01", BAD},
    {0xF0, V5, "18 05 11 00 00 00 01", BAD},
};

START_TEST(reasons_of_the_table)
{
	packet_cases_check(cases, COUNT_OF(cases));
}
END_TEST

START_TEST(flags_of_every_type)
{
	for (unsigned type = 0; type < 256; type++) {
		bool two =
		    type == MQTT_PUBREL || type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE;

		for (unsigned flags = 0; flags < 16; flags++) {
			bool valid = type == MQTT_PUBLISH ||
				     (type >= 1 && type <= 15 && flags == (two ? 2u : 0u));

			ck_assert_int_eq(mqtt_flags_valid((uint8_t)type, (uint8_t)flags), valid);
		}
	}
}
END_TEST

START_TEST(types_have_names)
{
	ck_assert_str_eq(mqtt_packet_name(MQTT_CONNECT), "CONNECT");
	ck_assert_str_eq(mqtt_packet_name(MQTT_UNSUBACK), "UNSUBACK");
	ck_assert_str_eq(mqtt_packet_name(MQTT_AUTH), "AUTH");
	ck_assert_str_eq(mqtt_packet_name(0), "reserved");
	ck_assert_str_eq(mqtt_packet_name(16), "reserved");
}
END_TEST

START_TEST(bytes_of_the_encoders)
{
	uint8_t out[32];
	struct mqtt_disconnect p = {.reason = 0};
	struct mqtt_auth auth = {.reason = 0};
	size_t size = mqtt_encode_disconnect(out, sizeof(out), V5, &p);

	packet_bytes_check(out, size, "E0 00");
	p.reason = MQTT_SESSION_TAKEN_OVER;
	size = mqtt_encode_disconnect(out, sizeof(out), V5, &p);
	packet_bytes_check(out, size, "E0 01 8E");
	p.properties.reason_string = SLICE_LITERAL("x");
	mqtt_set(&p.properties, MQTT_PROPERTY_REASON_STRING);
	size = mqtt_encode_disconnect(out, sizeof(out), V5, &p);
	packet_bytes_check(out, size, "E0 06 8E 04 1F 00 01 'x'");
	ck_assert_uint_eq(mqtt_encode_disconnect(out, size - 1, V5, &p), 0);
	size = mqtt_encode_disconnect(out, sizeof(out), V4, &p);
	packet_bytes_check(out, size, "E0 00");

	size = mqtt_encode_auth(out, sizeof(out), &auth);
	packet_bytes_check(out, size, "F0 00");
	auth.reason = MQTT_CONTINUE_AUTHENTICATION;
	auth.properties.authentication_method = SLICE_LITERAL("m");
	mqtt_set(&auth.properties, MQTT_PROPERTY_AUTHENTICATION_METHOD);
	size = mqtt_encode_auth(out, sizeof(out), &auth);
	packet_bytes_check(out, size, "F0 06 18 04 15 00 01 'm'");
	ck_assert_uint_eq(mqtt_encode_auth(out, size - 1, &auth), 0);

	size = mqtt_encode_empty(out, sizeof(out), MQTT_PINGRESP);
	packet_bytes_check(out, size, "D0 00");
	ck_assert_uint_eq(mqtt_encode_empty(out, 1, MQTT_PINGREQ), 0);
}
END_TEST

Suite *control_suite(void)
{
	const TTest *const tests[] = {reasons_of_the_table, flags_of_every_type, types_have_names,
				      bytes_of_the_encoders};

	return suite_of("control", tests, COUNT_OF(tests));
}
