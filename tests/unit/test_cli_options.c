/* test_cli_options.c - the flags of metrino pub and metrino sub. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/shown_url.h"

#define WORDS_MAX 40

/* Words in one text, divided by blanks, as options; argv is changed by the reader, so copied. */
static bool gather(struct options *o, enum option_program program, const char *text,
		   struct failure *failure)
{
	static char copy[512];
	char *argv[WORDS_MAX];
	int argc = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
		argv[argc++] = word;
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("HOME");
	options_init(o, program);
	failure->text[0] = '\0';
	return options_gather(o, argc, argv, failure);
}

static void expect_complaint(enum option_program program, const char *words, const char *complaint)
{
	struct failure failure;
	struct options o;

	ck_assert_msg(!gather(&o, program, words, &failure), "%s", words);
	ck_assert_msg(strstr(failure.text, complaint) != NULL, "%s: %s", words, failure.text);
	options_finish(&o);
}

START_TEST(flags_set_what_they_say)
{
	struct failure failure;
	struct options o;

	ck_assert(gather(&o, OPTION_SUB,
			 "-h h --port 99 -q 2 -t a -t b/# -T c -v -N -C 3 -W 4 -k 7 --id me -V 5 "
			 "-x -1",
			 &failure));
	ck_assert_str_eq(o.host, "h");
	ck_assert_uint_eq(o.port, 99);
	ck_assert_uint_eq(o.qos, 2);
	ck_assert_uint_eq(o.topics.count, 2);
	ck_assert_str_eq(o.topics.at[1], "b/#");
	ck_assert_str_eq(o.filter_out.at[0], "c");
	ck_assert(o.verbose && o.no_newline);
	ck_assert_uint_eq(o.count, 3);
	ck_assert_uint_eq(o.timeout_s, 4);
	ck_assert_uint_eq(o.keep_alive_s, 7);
	ck_assert_int_eq(o.version, MQTT_VERSION_5_0);
	ck_assert_uint_eq(o.session_expiry_s, UINT32_MAX);
	options_finish(&o);
}
END_TEST

START_TEST(the_last_topic_is_published_to)
{
	struct failure failure;
	struct options o;

	ck_assert(
	    gather(&o, OPTION_PUB, "-t a -m x -t b --repeat 3 --repeat-delay 0.25", &failure));
	ck_assert_uint_eq(o.topics.count, 1);
	ck_assert_str_eq(o.topics.at[0], "b");
	ck_assert_uint_eq(o.repeat_delay_ms, 250);
	options_finish(&o);
}
END_TEST

START_TEST(url_in_one)
{
	struct failure failure;
	struct options o;

	ck_assert(gather(&o, OPTION_SUB, "-L mqtt://us%40er:p%3aw@[::1]:99/a/b", &failure));
	ck_assert_str_eq(o.host, "::1");
	ck_assert_uint_eq(o.port, 99);
	ck_assert_str_eq(o.user_name, "us@er");
	ck_assert_str_eq(o.password, "p:w");
	ck_assert_str_eq(o.topics.at[0], "a/b");
	options_finish(&o);
	ck_assert(gather(&o, OPTION_SUB, "-L mqtt://host/t", &failure));
	ck_assert_str_eq(o.host, "host");
	ck_assert_uint_eq(o.port, 1883);
	ck_assert_ptr_null(o.user_name);
	options_finish(&o);
}
END_TEST

START_TEST(a_websocket_has_its_own_ports)
{
	static const struct {
		const char *words;
		uint16_t port;
		bool websocket, tls;
	} cases[] = {
	    {"-t a --ws", 8083, true, false},
	    {"-t a --ws --cafile f", 8084, true, true},
	    {"-t a --ws -p 99 --ws-path /x", 99, true, false},
	    {"-L ws://h/a", 8083, true, false},
	    {"-L WSS://h/a --cafile f", 8084, true, true},
	    {"-L wss://h:99/a --cafile f", 99, true, true},
	    {"-L mqtts://h/a --cafile f", 8883, false, true},
	    {"-t a", 1883, false, false},
	};
	struct failure failure;
	struct options o;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(gather(&o, OPTION_SUB, cases[i].words, &failure), "%s", failure.text);
		ck_assert_uint_eq(o.port, cases[i].port);
		ck_assert_uint_eq(o.ws.port, cases[i].port);
		ck_assert_str_eq(o.ws.host, o.host);
		ck_assert_int_eq(o.websocket, cases[i].websocket);
		ck_assert_int_eq(options_want_tls(&o), cases[i].tls);
		options_finish(&o);
	}
}
END_TEST

/* As mosquitto_pub: nothing goes to the port of MQTT over TLS in clear. */
START_TEST(port_8883_is_over_tls)
{
	static const struct {
		const char *words;
		bool tls, of_the_system;
	} cases[] = {
	    {"-t a -p 8883", true, true},
	    {"-t a -p 8883 --insecure --tls-alpn mqtt", true, true},
	    {"-t a -p 8883 --ws", true, true},
	    {"-L mqtt://h:8883/a", true, true},
	    {"-t a -p 8883 --capath d", true, false},
	    {"-t a -p 8883 --psk aa --psk-identity i", true, false},
	    {"-t a -p 8883 --unix s", false, false},
	    {"-t a -p 8884", false, false},
	    {"-t a", false, false},
	};
	struct failure failure;
	struct options o;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(gather(&o, OPTION_SUB, cases[i].words, &failure), "%s", failure.text);
		ck_assert_msg(options_want_tls(&o) == cases[i].tls, "%s", cases[i].words);
		ck_assert_msg(o.os_certificates == cases[i].of_the_system, "%s", cases[i].words);
		options_finish(&o);
	}
}
END_TEST

START_TEST(a_request)
{
	struct failure failure;
	struct options o;

	ck_assert(gather(&o, OPTION_RR, "-L mqtt://h/a -t b -e c -n -R -v -N -W 3", &failure));
	ck_assert_int_eq(o.version, MQTT_VERSION_5_0);
	ck_assert_uint_eq(o.topics.count, 1);
	ck_assert_str_eq(o.topics.at[0], "b");
	ck_assert_str_eq(o.response_topic, "c");
	ck_assert_int_eq(o.source, PAYLOAD_EMPTY);
	ck_assert(o.no_retained && o.verbose && o.no_newline);
	options_finish(&o);
}
END_TEST

START_TEST(properties_of_packets)
{
	struct mqtt_properties p;
	struct failure failure;
	struct options o;

	ck_assert(
	    gather(&o, OPTION_PUB,
		   "-t a -m x -D publish user-property k v -D PUBLISH Message-Expiry-Interval "
		   "9 -D connect receive-maximum 3 -D disconnect reason-string bye",
		   &failure));
	ck_assert_int_eq(o.version, MQTT_VERSION_5_0);
	p = options_properties(&o, MQTT_PUBLISH);
	ck_assert(mqtt_has(&p, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL));
	ck_assert_uint_eq(p.message_expiry_s, 9);
	ck_assert(slice_equal(p.user, SLICE_LITERAL("\x26\0\1k\0\1v")));
	ck_assert_uint_eq(options_properties(&o, MQTT_CONNECT).receive_maximum, 3);
	p = options_properties(&o, MQTT_DISCONNECT);
	ck_assert(slice_equal(mqtt_reason_words(&p), SLICE_LITERAL("bye")));
	options_finish(&o);
}
END_TEST

START_TEST(a_password_does_not_stay_in_the_arguments)
{
	char flag[] = "-P", secret[] = "secret";
	char *argv[] = {flag, secret};
	struct failure failure;
	struct options o;

	options_init(&o, OPTION_PUB);
	ck_assert(options_read(&o, 2, argv, &failure));
	ck_assert_str_eq(o.password, "secret");
	ck_assert_str_eq(secret, "******");
	options_finish(&o);
}
END_TEST

START_TEST(nor_does_one_in_a_url)
{
	char flag[] = "-L", open[] = "mqtt://h/t", secret[] = "mqtt://u:p@h/t";
	char *with[] = {flag, secret}, *without[] = {flag, open};
	struct failure failure;
	struct options o;

	options_init(&o, OPTION_PUB);
	ck_assert(options_read(&o, 2, with, &failure));
	ck_assert_str_eq(o.password, "p");
	ck_assert_str_eq(o.host, "h");
	ck_assert_str_eq(o.topics.at[0], "t");
	ck_assert_str_eq(secret, "**************");
	options_finish(&o);
	ck_assert(options_read(&o, 2, without, &failure));
	ck_assert_str_eq(open, "mqtt://h/t"); /* `ps` may tell what we do */
	options_finish(&o);
}
END_TEST

START_TEST(a_url_is_shown_without_its_password)
{
	static const struct {
		const char *url, *shown;
	} cases[] = {
	    {"https://me:secret@host:1/log/", "https://...@host:1/log/"},
	    {"https://me:se@c/ret@host/log", "https://...@host/log"},
	    {"https://me@host", "https://...@host"},
	    {"https://host/log", "https://host/log"},
	    {"/srv/me@work/log", "/srv/me@work/log"},
	    {"", ""},
	};
	char secret[1024];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_str_eq(shown_url(cases[i].url).text, cases[i].shown);
	/* Cut off, it would have no @ any more. */
	snprintf(secret, sizeof(secret), "https://me:%0600d@host/", 0);
	ck_assert_str_eq(shown_url(secret).text, "https://...@host/");
}
END_TEST

START_TEST(complaints_name_what_would_be_right)
{
	const struct {
		enum option_program program;
		const char *words, *complaint;
	} cases[] = {
	    {OPTION_PUB, "-t a -m x --prot 1", "Did you mean '--port'?"},
	    {OPTION_PUB, "-t a -m x --retian", "Did you mean '--retain'?"},
	    {OPTION_PUB, "-t a -m x -port 1", "Did you mean '--port'?"},
	    {OPTION_SUB, "-t a -m x", "Unknown option '-m'."},
	    {OPTION_SUB, "-t a -r", "Unknown option '-r'."},
	    {OPTION_SUB, "-t a --foo", "Unknown option '--foo'."},
	    {OPTION_PUB, "-t a", "Both topic and message must be supplied."},
	    {OPTION_PUB, "-t a/+ -m x", "does it contain '+' or '#'?"},
	    {OPTION_PUB, "-t a -m x -n", "Only one type of message"},
	    {OPTION_PUB, "-p", "-p argument given but no port specified."},
	    {OPTION_PUB, "-p 65536", "between 1 and 65535"},
	    {OPTION_PUB, "-t a -m x -q 3", "Invalid QoS given: 3"},
	    {OPTION_PUB, "-t a -m x -k 4", "between 5 and 65535"},
	    {OPTION_PUB, "-t a -m x -i a -I b", "cannot be used together"},
	    {OPTION_PUB, "-t a -m x -c", "must provide a client id"},
	    {OPTION_PUB, "-t a -m x -P p", "needs a user name"},
	    {OPTION_PUB, "-t a -m x --will-payload p", "no will topic given"},
	    {OPTION_PUB, "-t a -m x --will-topic #", "Invalid will topic"},
	    {OPTION_PUB, "-t a -m x -x foo", "not a number"},
	    {OPTION_PUB, "-t a -m x -D publish foo 1", "Invalid property name"},
	    {OPTION_PUB, "-t a -m x -D foo foo 1", "Invalid command"},
	    {OPTION_PUB, "-t a -m x -D publish will-delay-interval 1", "not allowed for publish"},
	    {OPTION_PUB, "-D publish message-expiry-interval abc", "must be a number"},
	    {OPTION_PUB, "-t a -m x -D publish user-property a", "not enough arguments"},
	    {OPTION_PUB, "-t a -m x -D publish content-type a -D publish content-type b",
	     "Duplicate content-type property for publish"},
	    {OPTION_SUB, "-t #a", "are all '+' and '#' wildcards correct?"},
	    {OPTION_SUB, "-t a -R --retained-only", "makes no sense"},
	    {OPTION_SUB, "-t a -F %z", "Invalid format specifier 'z'."},
	    {OPTION_SUB, "-t a --random-filter 0", "between 0.1-100.0"},
	    {OPTION_SUB, "", "You must specify a topic"},
	    {OPTION_SUB, "-L http://a/b", "unsupported URL scheme"},
	    {OPTION_SUB, "-t a --cafile f --cert c", "Both certfile and keyfile"},
	    {OPTION_SUB, "-t a --psk aa", "must be given together"},
	    {OPTION_SUB, "-t a --psk-identity i", "must be given together"},
	    {OPTION_SUB, "-t a --psk aa --psk-identity i --cafile f", "Only one of --psk"},
	    {OPTION_SUB, "-t a --insecure", "--insecure needs TLS"},
	    {OPTION_SUB, "-t a --cert c --key k", "--cert needs TLS"},
	    {OPTION_SUB, "-t a --tls-alpn mqtt", "--tls-alpn needs TLS"},
	    {OPTION_SUB, "-t a --ciphers c", "--ciphers needs TLS"},
	    {OPTION_SUB, "-L mqtt://a", "topic missing"},
	    {OPTION_SUB, "-t a --ws-path /x", "--ws-path needs --ws"},
	    {OPTION_SUB, "-t a --ws --ws-path x", "must begin with '/'"},
	    {OPTION_SUB, "-t a --ws --ws-path /\xc3\xa9", "not ASCII"},
	    {OPTION_RR, "-t a -m x", "topic, message, and response topic"},
	    {OPTION_RR, "-e a -m x", "topic, message, and response topic"},
	    {OPTION_RR, "-t a -e b", "topic, message, and response topic"},
	    {OPTION_RR, "-t a -e b/# -m x", "Invalid response topic 'b/#'"},
	    {OPTION_RR, "-t a/+ -e b -m x", "Invalid request topic 'a/+'"},
	    {OPTION_RR, "-t a -e $share/g/b -m x", "Invalid response topic '$share/g/b': $share/"},
	    {OPTION_RR, "-t a -e $share/g -m x -V 311", "no message has such a topic"},
	    {OPTION_RR, "-t a -e b -m x -D publish response-topic c", "Duplicate response topic"},
	    {OPTION_RR, "-t a -e b -m x -F %z", "Invalid format specifier 'z'."},
	    {OPTION_RR, "-t a -e b -l", "Unknown option '-l'."},
	    {OPTION_RR, "-t a -e b -r", "Unknown option '-r'."},
	    {OPTION_PUB, "-t a -m x -e b", "Unknown option '-e'."},
	    {OPTION_PUB, "-t a -m x -D publish content-type y -V 311",
	     "not supported before MQTT 5.0"},
	    {OPTION_PUB, "-t a -m x -D connect user-property a b -V 31",
	     "not supported before MQTT"},
	    {OPTION_SUB, "-t a -x -1 -V 5", "an infinite session expiry interval"},
	    {OPTION_PUB, "-t a -m x -D publish reason-string y", "not allowed for publish"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_complaint(cases[i].program, cases[i].words, cases[i].complaint);
}
END_TEST

START_TEST(an_empty_identifier_is_none)
{
	static char *versions[] = {"31", "311", "5"};
	struct failure failure;
	struct options o;

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		char *argv[] = {"-t", "a", "-i", "", "-V", versions[i]};

		options_init(&o, OPTION_SUB);
		ck_assert(!options_gather(&o, 6, argv, &failure));
		ck_assert_ptr_nonnull(strstr(failure.text, "Invalid id"));
		options_finish(&o);
	}
	/* Before 5.0 no expiry is told, so none needs a name. */
	ck_assert(gather(&o, OPTION_SUB, "-t a -x -1", &failure));
	options_finish(&o);
}
END_TEST

START_TEST(absent_parts_are_never_ignored)
{
	const char *const flags[] = {"--proxy p",
				     "-S",
				     "--tls-engine e",
				     "--tls-engine-kpass-sha1 x",
				     "--keyform engine",
				     "--tls-version tlsv1.1",
				     "--tls-version tlsv1.3"};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		expect_complaint(OPTION_SUB, flags[i], "not in this version");
}
END_TEST

START_TEST(options_file)
{
	char path[] = "/tmp/metrino-options-XXXXXX";
	const int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");
	struct failure failure;
	struct options o;

	ck_assert_ptr_nonnull(file);
	fputs("# -q 1\n\n-p 99\n  --debug\n-m hello  world\n-D publish User-Property a b c\n-q 9\n",
	      file);
	ck_assert_int_eq(fclose(file), 0);
	options_init(&o, OPTION_PUB);
	ck_assert(!options_read_file(&o, path, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, ":7: Invalid QoS given: 9"));
	ck_assert_uint_eq(o.port, 99);
	ck_assert(o.debug);
	ck_assert_uint_eq(o.qos, 0);
	ck_assert_str_eq(o.payload, "hello  world");
	ck_assert(slice_equal(options_properties(&o, MQTT_PUBLISH).user,
			      SLICE_LITERAL("\x26\0\1a\0\3b c")));
	options_finish(&o);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert(options_read_file(&o, path, &failure));
}
END_TEST

Suite *cli_options_suite(void);

Suite *cli_options_suite(void)
{
	Suite *suite = suite_create("cli_options");
	TCase *all = tcase_create("all");

	tcase_add_test(all, flags_set_what_they_say);
	tcase_add_test(all, the_last_topic_is_published_to);
	tcase_add_test(all, url_in_one);
	tcase_add_test(all, a_websocket_has_its_own_ports);
	tcase_add_test(all, port_8883_is_over_tls);
	tcase_add_test(all, a_request);
	tcase_add_test(all, properties_of_packets);
	tcase_add_test(all, a_password_does_not_stay_in_the_arguments);
	tcase_add_test(all, nor_does_one_in_a_url);
	tcase_add_test(all, a_url_is_shown_without_its_password);
	tcase_add_test(all, complaints_name_what_would_be_right);
	tcase_add_test(all, an_empty_identifier_is_none);
	tcase_add_test(all, absent_parts_are_never_ignored);
	tcase_add_test(all, options_file);
	suite_add_tcase(suite, all);
	return suite;
}
