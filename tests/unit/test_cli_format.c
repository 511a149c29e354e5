/*
 * test_cli_format.c - what -F prints.  The expected texts were seen from mosquitto_sub
 * 2.0.11; tests/integration/test_cli.py compares with it directly.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/format.h"

/* Content type "ct", expiry 5, two user properties, subscription identifier 7. */
static const uint8_t properties[] = {0x03, 0, 2, 'c', 't',  0x02, 0, 0,	  0, 5, 0x26, 0,    1,
				     'k',  0, 1, 'v', 0x26, 0,	  1, 'k', 0, 1, 'w',  0x0b, 7};

static struct mqtt_publish make_message(const char *payload)
{
	struct mqtt_publish p = {.qos = 1,
				 .packet_id = 12,
				 .topic = SLICE_LITERAL("a/bcdef"),
				 .payload = slice_text(payload)};

	mqtt_set(&p.properties, MQTT_PROPERTY_CONTENT_TYPE);
	mqtt_set(&p.properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
	mqtt_set(&p.properties, MQTT_PROPERTY_USER_PROPERTY);
	mqtt_set(&p.properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER);
	p.properties.content_type = SLICE_LITERAL("ct");
	p.properties.message_expiry_s = 5;
	p.properties.raw = slice_of(properties, sizeof(properties));
	return p;
}

static void expect_for(const struct mqtt_publish *p, bool pretty, const char *format,
		       const char *wanted)
{
	const struct format_message message = {
	    .publish = p, .at = {.tv_sec = 1600000000, .tv_nsec = 12345678}, .pretty = pretty};
	struct buffer out = {0};
	struct failure failure;

	setenv("TZ", "XYZ-2", 1);
	tzset();
	ck_assert_msg(format_check(format, &failure), "%s", format);
	ck_assert(format_write(&out, format, &message));
	buffer_add_byte(&out, '\0', 1);
	ck_assert_str_eq((const char *)out.at, wanted);
	buffer_finish(&out);
}

static void expect(const char *payload, const char *format, const char *wanted)
{
	const struct mqtt_publish p = make_message(payload);

	expect_for(&p, false, format, wanted);
}

START_TEST(fields_have_widths)
{
	expect("hello", "%t|%10t|%-10t|%3.3t|%.2t|%-10.3t|%010t|",
	       "a/bcdef|   a/bcdef|a/bcdef   |a/b|a/|a/b       |   a/bcdef|");
	expect("hello", "%l|%5l|%-5l|%05l|%-05l|%m|%q|%r|%5q",
	       "5|    5|5    |00005|5    |12|1|0|1");
	expect("hello", "%p|%10p|%-10p|%010p|%3p|%.3p",
	       "hello|     hello|hello     |00000hello|hel|hello");
	expect("hello", "%x|%X|%.0x", "68656c6c6f|68656C6C6F|68656c6c6f");
	expect("hello", "%12x|%-12x|%012X|%4x", "        6865|6865        |000000006865|6865");
}
END_TEST

START_TEST(properties_there_or_not)
{
	expect("x", "%C|%5C|%E|%5E|%05E|%S|%3S|%P|", "ct|   ct|5|    5|00005|7|  7|k:v k:w|");
	expect("x", "%A|%5A|%05A|%D|%F|%05F|%R|%10R|", "|     |00000|||00000|||");
}
END_TEST

START_TEST(times_and_escapes)
{
	expect("x", "%U|%I|%.4I|%30I|",
	       "1600000000.012345678|2020-09-13T14:26:40+0200|2020|"
	       "      2020-09-13T14:26:40+0200|");
	expect("x", "@Y-@m @N @@ %% \\n\\t\\\\ @Z", "2020-09 012345678 @ % \n\t\\ XYZ");
}
END_TEST

START_TEST(json_in_the_known_order)
{
	const struct mqtt_publish p = make_message("{\"x\": 1.50}");
	const char *head = "{\"tst\":\"2020-09-13T14:26:40.012345Z+0200\",\"topic\":\"a/bcdef\","
			   "\"qos\":1,\"retain\":0,\"payloadlen\":11,\"mid\":12,\"properties\":{"
			   "\"content-type\":\"ct\",\"message-expiry-interval\":5,"
			   "\"user-properties\":{\"k\":\"v\",\"k\":\"w\"},"
			   "\"subscription-identifier\":7},\"payload\":";
	char wanted[512];

	snprintf(wanted, sizeof(wanted), "%s%s", head, "\"{\\\"x\\\": 1.50}\"}");
	expect_for(&p, false, "%j", wanted);
	snprintf(wanted, sizeof(wanted), "%s%s", head, "{\"x\":1.5}}");
	expect_for(&p, false, "%J", wanted);
}
END_TEST

START_TEST(json_payloads)
{
	struct mqtt_publish p = {.topic = SLICE_LITERAL("t")};
	const char *head =
	    "{\"tst\":\"2020-09-13T14:26:40.012345Z+0200\",\"topic\":\"t\",\"qos\":0,"
	    "\"retain\":0,\"payloadlen\":";
	const struct {
		const char *payload, *format, *wanted;
	} cases[] = {
	    {"", "%J", "0,\"payload\":null}"},
	    {"\x01\t/\"\\\x7f", "%j", "6,\"payload\":\"\\u0001\\t/\\\"\\\\\x7f\"}"},
	    {"[0.1,1e20,1.0,true,null,{}]", "%J", "27,\"payload\":[0.1,1e+20,1,true,null,{}]}"},
	    /* mosquitto_sub would write 9.2233720368547758e+18 and lose the number. */
	    {"9223372036854775807", "%J", "19,\"payload\":9223372036854775807}"},
	    {"123456789012345678901234", "%J", "24,\"payload\":1.2345678901234569e+23}"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char wanted[256];

		p.payload = slice_text(cases[i].payload);
		snprintf(wanted, sizeof(wanted), "%s%s", head, cases[i].wanted);
		expect_for(&p, false, cases[i].format, wanted);
	}
}
END_TEST

START_TEST(json_pretty)
{
	struct mqtt_publish p = {.topic = SLICE_LITERAL("t"),
				 .payload = SLICE_LITERAL("{\"a\":[1,{\"b\":[{},[]]}]}")};

	expect_for(&p, true, "%J",
		   "{\n\t\"tst\":\t\"2020-09-13T14:26:40.012345Z+0200\",\n\t\"topic\":\t\"t\",\n"
		   "\t\"qos\":\t0,\n\t\"retain\":\t0,\n\t\"payloadlen\":\t23,\n\t\"payload\":\t{\n"
		   "\t\t\"a\":\t[1, {\n\t\t\t\t\"b\":\t[{\n\t\t\t\t\t}, []]\n\t\t\t}]\n\t}\n}");
}
END_TEST

START_TEST(payload_that_is_not_json)
{
	const struct mqtt_publish p = make_message("nope");
	const struct format_message message = {.publish = &p};
	struct buffer out = {0};

	ck_assert(!format_write(&out, "x%Jy%l", &message));
	ck_assert(slice_equal(buffer_slice(&out), SLICE_LITERAL("xy4")));
	buffer_finish(&out);
}
END_TEST

START_TEST(wrong_formats_are_named)
{
	const struct {
		const char *format, *complaint;
	} cases[] = {
	    {"%", "Incomplete format specifier."},    {"%-05", "Incomplete format specifier."},
	    {"@", "Incomplete format specifier."},    {"\\", "Incomplete escape specifier."},
	    {"%z", "Invalid format specifier 'z'."},  {"%0-5l", "Invalid format specifier '-'."},
	    {"\\z", "Invalid escape specifier 'z'."},
	};
	struct failure failure;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert(!format_check(cases[i].format, &failure));
		ck_assert_str_eq(failure.text, cases[i].complaint);
	}
}
END_TEST

Suite *cli_format_suite(void);

Suite *cli_format_suite(void)
{
	Suite *suite = suite_create("cli_format");
	TCase *all = tcase_create("all");

	tcase_add_test(all, fields_have_widths);
	tcase_add_test(all, properties_there_or_not);
	tcase_add_test(all, times_and_escapes);
	tcase_add_test(all, json_in_the_known_order);
	tcase_add_test(all, json_payloads);
	tcase_add_test(all, json_pretty);
	tcase_add_test(all, payload_that_is_not_json);
	tcase_add_test(all, wrong_formats_are_named);
	suite_add_tcase(suite, all);
	return suite;
}
