/* The bodies of kept rows: what goes in comes out, and what is not whole is refused. */
#include "storage/record.h"

#include <check.h>
#include <stdlib.h>

Suite *record_suite(void);

static const struct store_session a_session = {
    .realm = 3,
    .expiry_s = 0xfffffffe,
    .connected = true,
    .since_s = 1700000000,
    .client_id = {(const uint8_t *)"meter-17", 8},
};

static const struct store_subscription a_subscription = {
    .session = 0xfedcba9876543210u,
    .identifier = 268435455,
    .options = 0x2e,
    .filter = {(const uint8_t *)"$share/g/a/+/#", 14},
};

static uint8_t body[RECORD_BODY_MAX];
static struct failure failure;

static struct slice written(const struct store_session *session)
{
	return slice_of(body, record_write_session(session, body));
}

static void expect_back(const struct store_session *session)
{
	struct store_session out;

	ck_assert_msg(record_read_session(written(session), &out, &failure), "%s", failure.text);
	ck_assert_uint_eq(out.realm, session->realm);
	ck_assert_uint_eq(out.expiry_s, session->expiry_s);
	ck_assert_int_eq(out.connected, session->connected);
	ck_assert_uint_eq(out.since_s, session->since_s);
	ck_assert_uint_eq(out.owner, session->owner);
	ck_assert(slice_equal(out.client_id, session->client_id));
	ck_assert(slice_equal(out.tokens, session->tokens));
}

START_TEST(session_returns)
{
	expect_back(&a_session);
}
END_TEST

START_TEST(tokens_return)
{
	uint8_t tokens[STORE_TOKENS_MAX];
	struct store_session session = a_session;

	memset(tokens, 0x5a, sizeof tokens);
	session.tokens = slice_of(tokens, sizeof tokens);
	for (; session.tokens.len > 0; session.tokens.len--)
		expect_back(&session);
}
END_TEST

START_TEST(an_owner_returns)
{
	struct store_session session = a_session;

	session.owner = 0x8123456789abcdefu;
	for (int connected = 0; connected <= 1; connected++) {
		session.connected = connected;
		expect_back(&session);
	}
}
END_TEST

/* A length that leaves more behind the client identifier than tokens may take. */
START_TEST(a_long_rest_is_refused)
{
	static uint8_t text[STORE_TOKENS_MAX + 1];
	struct store_session session = a_session;
	struct store_session out;

	session.client_id = slice_of(text, sizeof text);
	struct slice bytes = written(&session);
	body[18] = 0;
	ck_assert(!record_read_session(bytes, &out, &failure));
	body[18] = sizeof text + 1;
	ck_assert(!record_read_session(bytes, &out, &failure));
	body[18] = 1;
	ck_assert(record_read_session(bytes, &out, &failure));
	ck_assert_uint_eq(out.tokens.len, STORE_TOKENS_MAX);
}
END_TEST

START_TEST(subscription_returns)
{
	struct store_subscription out;
	size_t len = record_write_subscription(&a_subscription, body);

	ck_assert(record_read_subscription(slice_of(body, len), &out, &failure));
	ck_assert_uint_eq(out.session, a_subscription.session);
	ck_assert_uint_eq(out.identifier, a_subscription.identifier);
	ck_assert_uint_eq(out.options, a_subscription.options);
	ck_assert(slice_equal(out.filter, a_subscription.filter));
}
END_TEST

START_TEST(longest_and_shortest_texts)
{
	static const size_t lengths[] = {0, 1, STORE_CLIENT_ID_MAX};
	static uint8_t tokens[STORE_TOKENS_MAX];
	uint8_t *text = malloc(STORE_CLIENT_ID_MAX);
	struct store_session session = a_session;

	memset(text, 'x', STORE_CLIENT_ID_MAX);
	session.owner = UINT64_MAX;
	session.tokens = slice_of(tokens, sizeof(tokens));
	for (size_t i = 0; i < 3; i++) {
		session.client_id = slice_of(text, lengths[i]);
		ck_assert_uint_le(written(&session).len, RECORD_BODY_MAX);
		expect_back(&session);
	}
	ck_assert_uint_eq(written(&session).len, RECORD_BODY_MAX);
	free(text);
}
END_TEST

/* The format is on disks: these bytes may never change. */
START_TEST(format_is_fixed)
{
	static const uint8_t session[] = {
	    0x00, 0x00, 0x00, 0x03, 0xff, 0xff, 0xff, 0xfe,	  /* realm, expiry */
	    0x01, 0x00, 0x00, 0x00, 0x00, 0x65, 0x53, 0xf1, 0x00, /* connected, since */
	    0x00, 0x08, 'm',  'e',  't',  'e',	'r',  '-',  '1',  '7',
	};
	static const uint8_t subscription[] = {
	    0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10,	      /* session */
	    0x0f, 0xff, 0xff, 0xff, 0x2e,			      /* identifier, options */
	    0x00, 0x0e, '$',  's',  'h',  'a',	'r',  'e',  '/', 'g', /* filter */
	    '/',  'a',	'/',  '+',  '/',  '#',
	};

	ck_assert_uint_eq(record_write_session(&a_session, body), sizeof(session));
	ck_assert_mem_eq(body, session, sizeof(session));
	ck_assert_uint_eq(record_write_subscription(&a_subscription, body), sizeof(subscription));
	ck_assert_mem_eq(body, subscription, sizeof(subscription));
}
END_TEST

/* Every length short of the whole, in memory of exactly that length (for the sanitizer). */
START_TEST(truncation_is_refused)
{
	for (int kind = 0; kind < 2; kind++) {
		size_t len = kind == 0 ? record_write_session(&a_session, body)
				       : record_write_subscription(&a_subscription, body);

		for (size_t cut = 0; cut < len; cut++) {
			uint8_t *part = malloc(cut == 0 ? 1 : cut);
			struct store_session session;
			struct store_subscription subscription;
			const struct slice bytes = slice_of(part, cut);

			memcpy(part, body, cut);
			failure.text[0] = '\0';
			ck_assert(kind == 0
				      ? !record_read_session(bytes, &session, &failure)
				      : !record_read_subscription(bytes, &subscription, &failure));
			ck_assert_str_ne(failure.text, "");
			free(part);
		}
	}
}
END_TEST

/* What the protocol does not know is not read. */
START_TEST(impossible_values_are_refused)
{
	static const struct {
		bool session;
		size_t at;
		uint8_t value;
		const char *says;
	} changes[] = {
	    {true, 8, 4, "flags are 4"},
	    {false, 8, 0x10, "subscription identifier"},
	    {false, 12, 0x40, "options byte"},
	    {false, 12, 0x30, "options byte"},
	    {false, 12, 0x03, "options byte 0x03"},
	};
	struct store_subscription subscription = a_subscription;
	struct store_session session;

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		size_t len = changes[i].session ? record_write_session(&a_session, body)
						: record_write_subscription(&a_subscription, body);

		body[changes[i].at] = changes[i].value;
		ck_assert(
		    changes[i].session
			? !record_read_session(slice_of(body, len), &session, &failure)
			: !record_read_subscription(slice_of(body, len), &subscription, &failure));
		ck_assert_ptr_nonnull(strstr(failure.text, changes[i].says));
	}
	size_t len = record_write_subscription(&a_subscription, body);
	body[13] = body[14] = 0; /* [MQTT-4.7.3-1] */
	ck_assert(!record_read_subscription(slice_of(body, 15), &subscription, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "filter is empty"));
	ck_assert(!record_read_subscription(slice_of(body, len), &subscription, &failure));
}
END_TEST

Suite *record_suite(void)
{
	Suite *suite = suite_create("record");
	TCase *tcase = tcase_create("record");

	tcase_add_test(tcase, session_returns);
	tcase_add_test(tcase, an_owner_returns);
	tcase_add_test(tcase, tokens_return);
	tcase_add_test(tcase, a_long_rest_is_refused);
	tcase_add_test(tcase, subscription_returns);
	tcase_add_test(tcase, longest_and_shortest_texts);
	tcase_add_test(tcase, format_is_fixed);
	tcase_add_test(tcase, truncation_is_refused);
	tcase_add_test(tcase, impossible_values_are_refused);
	suite_add_tcase(suite, tcase);
	return suite;
}
