#include "tests/unit/packets.h"

struct list {
	uint8_t packet;
	const char *codes;
};

/* The lists of chapter 3 of MQTT 5.0, packet by packet; where they and table 2-6
 * differ (0x8C in DISCONNECT) the table counts. */
static const struct list lists[] = {
    {MQTT_CONNACK, "00 80 81 82 83 84 85 86 87 88 89 8A 8C 90 95 97 99 9A 9B 9C 9D 9F"},
    {MQTT_PUBACK, "00 10 80 83 87 90 91 97 99"},	  /* [MQTT-3.4.2-1] */
    {MQTT_PUBREC, "00 10 80 83 87 90 91 97 99"},	  /* [MQTT-3.5.2-1] */
    {MQTT_PUBREL, "00 92"},				  /* [MQTT-3.6.2-1] */
    {MQTT_PUBCOMP, "00 92"},				  /* [MQTT-3.7.2-1] */
    {MQTT_SUBACK, "00 01 02 80 83 87 8F 91 97 9E A1 A2"}, /* [MQTT-3.9.3-2] */
    {MQTT_UNSUBACK, "00 11 80 83 87 8F 91"},		  /* [MQTT-3.11.3-2] */
    {MQTT_DISCONNECT, "00 04 80 81 82 83 87 89 8B 8C 8D 8E 8F 90 93 94 95 96 97 98 99 9A 9B 9C "
		      "9D 9E 9F A0 A1 A2"}, /* [MQTT-3.14.2-1] */
    {MQTT_AUTH, "00 18 19"},		    /* [MQTT-3.15.2-1] */
};

START_TEST(codes_stand_where_they_may)
{
	for (unsigned packet = 0; packet < 256; packet++) {
		struct slice codes = SLICE_NONE;

		for (size_t i = 0; i < COUNT_OF(lists); i++)
			if (lists[i].packet == packet)
				codes = bytes_parse(lists[i].codes);
		for (unsigned code = 0; code < 256; code++) {
			bool listed = codes.len > 0 && memchr(codes.at, (int)code, codes.len);

			ck_assert_msg(mqtt_reason_allowed((uint8_t)code, (uint8_t)packet) == listed,
				      "0x%02x in %s", code, mqtt_packet_name((uint8_t)packet));
		}
		bytes_free(codes);
	}
}
END_TEST

START_TEST(codes_have_names)
{
	ck_assert_str_eq(mqtt_reason_text(MQTT_NORMAL_DISCONNECTION), "Success");
	ck_assert_str_eq(mqtt_reason_text(0x8E), "Session taken over");
	ck_assert_str_eq(mqtt_reason_text(0xA2), "Wildcard Subscriptions not supported");
	ck_assert_str_eq(mqtt_reason_text(0x03), "unknown reason");
	ck_assert_str_eq(mqtt_reason_text(0xFF), "unknown reason");
	ck_assert(!mqtt_reason_is_error(0x7F));
	ck_assert(mqtt_reason_is_error(0x80));
}
END_TEST

START_TEST(return_codes_of_old_versions)
{
	ck_assert_uint_eq(mqtt_connack_return_code(MQTT_SUCCESS), 0);
	ck_assert_uint_eq(mqtt_connack_return_code(MQTT_UNSUPPORTED_PROTOCOL_VERSION), 1);
	ck_assert_uint_eq(mqtt_connack_return_code(MQTT_CLIENT_IDENTIFIER_NOT_VALID), 2);
	ck_assert_uint_eq(mqtt_connack_return_code(MQTT_SERVER_UNAVAILABLE), 3);
	ck_assert_uint_eq(mqtt_connack_return_code(MQTT_QUOTA_EXCEEDED), 3); /* bad-inputs 61 */
	ck_assert_uint_eq(mqtt_connack_return_code(MQTT_BAD_USER_NAME_OR_PASSWORD), 4);
	ck_assert_uint_eq(mqtt_connack_return_code(MQTT_NOT_AUTHORIZED), 5);
	ck_assert_uint_eq(mqtt_connack_return_code(MQTT_MALFORMED_PACKET), 0);
	for (unsigned code = 0; code < 256; code++)
		ck_assert_uint_le(mqtt_connack_return_code((enum mqtt_reason)code), 5);
}
END_TEST

Suite *reason_suite(void)
{
	const TTest *const tests[] = {codes_stand_where_they_may, codes_have_names,
				      return_codes_of_old_versions};

	return suite_of("reason", tests, COUNT_OF(tests));
}
