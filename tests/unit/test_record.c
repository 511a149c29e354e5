/* The bytes of kept rows: what goes in comes out, and nothing else opens. */
#include "storage/record.h"

#include <check.h>
#include <stdlib.h>

Suite *record_suite(void);

#define ROW 0x0123456789abcdefu

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

static uint8_t record[RECORD_MAX];
static uint8_t scratch[RECORD_MAX];
static struct failure failure;

static size_t encode_session(const struct store_session *session)
{
	size_t len;

	ck_assert(record_encode_session(&record_clear, ROW, session, record, &len, &failure));
	return len;
}

static size_t encode_subscription(const struct store_subscription *subscription)
{
	size_t len;

	ck_assert(
	    record_encode_subscription(&record_clear, ROW, subscription, record, &len, &failure));
	return len;
}

static bool opens(enum record_class class, uint64_t row, const uint8_t *at, size_t len)
{
	struct store_session session;
	struct store_subscription subscription;

	failure.text[0] = '\0';
	if (class == RECORD_SESSION)
		return record_decode_session(&record_clear, row, slice_of(at, len), scratch,
					     &session, &failure);
	return record_decode_subscription(&record_clear, row, slice_of(at, len), scratch,
					  &subscription, &failure);
}

static bool no_check(void *self, const struct record_scope *scope, struct slice *body,
		     const uint8_t *trailer, uint8_t *out, struct failure *wrong)
{
	(void)self;
	(void)scope;
	(void)body;
	(void)trailer;
	(void)out;
	(void)wrong;
	return true;
}

START_TEST(session_returns)
{
	struct store_session out;
	size_t len = encode_session(&a_session);

	ck_assert(record_decode_session(&record_clear, ROW, slice_of(record, len), scratch, &out,
					&failure));
	ck_assert_uint_eq(out.realm, a_session.realm);
	ck_assert_uint_eq(out.expiry_s, a_session.expiry_s);
	ck_assert(out.connected);
	ck_assert_uint_eq(out.since_s, a_session.since_s);
	ck_assert_uint_eq(out.owner, 0);
	ck_assert(slice_equal(out.client_id, a_session.client_id));
	ck_assert_uint_eq(out.tokens.len, 0);
}
END_TEST

START_TEST(tokens_return)
{
	uint8_t tokens[STORE_TOKENS_MAX];
	struct store_session session = a_session, out;

	memset(tokens, 0x5a, sizeof tokens);
	session.tokens = slice_of(tokens, sizeof tokens);
	for (; session.tokens.len > 0; session.tokens.len--) {
		size_t len = encode_session(&session);

		ck_assert(record_decode_session(&record_clear, ROW, slice_of(record, len), scratch,
						&out, &failure));
		ck_assert(slice_equal(out.client_id, session.client_id));
		ck_assert(slice_equal(out.tokens, session.tokens));
	}
}
END_TEST

/* A length that leaves more behind the client identifier than tokens may take. */
START_TEST(a_long_rest_is_refused)
{
	static uint8_t text[STORE_TOKENS_MAX + 1];
	struct store_session session = a_session;
	struct record_seal open = record_clear;

	session.client_id = slice_of(text, sizeof text);
	open.open = no_check;
	size_t len = encode_session(&session);
	record[RECORD_HEADER_LEN + 18] = 0;
	ck_assert(
	    !record_decode_session(&open, ROW, slice_of(record, len), scratch, &session, &failure));
	record[RECORD_HEADER_LEN + 18] = sizeof text + 1;
	ck_assert(
	    !record_decode_session(&open, ROW, slice_of(record, len), scratch, &session, &failure));
	record[RECORD_HEADER_LEN + 18] = 1;
	ck_assert(
	    record_decode_session(&open, ROW, slice_of(record, len), scratch, &session, &failure));
	ck_assert_uint_eq(session.tokens.len, STORE_TOKENS_MAX);
}
END_TEST

START_TEST(subscription_returns)
{
	struct store_subscription out;
	size_t len = encode_subscription(&a_subscription);

	ck_assert(record_decode_subscription(&record_clear, ROW, slice_of(record, len), scratch,
					     &out, &failure));
	ck_assert_uint_eq(out.session, a_subscription.session);
	ck_assert_uint_eq(out.identifier, a_subscription.identifier);
	ck_assert_uint_eq(out.options, a_subscription.options);
	ck_assert(slice_equal(out.filter, a_subscription.filter));
}
END_TEST

START_TEST(longest_and_shortest_texts)
{
	static const size_t lengths[] = {0, 1, STORE_CLIENT_ID_MAX};
	uint8_t *text = malloc(STORE_CLIENT_ID_MAX);
	struct store_session session = a_session;
	struct store_session out;

	memset(text, 'x', STORE_CLIENT_ID_MAX);
	for (size_t i = 0; i < 3; i++) {
		size_t len;

		session.client_id = slice_of(text, lengths[i]);
		len = encode_session(&session);
		ck_assert_uint_le(len, RECORD_MAX);
		ck_assert(record_decode_session(&record_clear, ROW, slice_of(record, len), scratch,
						&out, &failure));
		ck_assert(slice_equal(out.client_id, session.client_id));
	}
	free(text);
}
END_TEST

START_TEST(an_owner_returns)
{
	struct store_session session = a_session, out;

	session.owner = 0x8123456789abcdefu;
	for (int connected = 0; connected <= 1; connected++) {
		session.connected = connected;
		size_t len = encode_session(&session);

		ck_assert(record_decode_session(&record_clear, ROW, slice_of(record, len), scratch,
						&out, &failure));
		ck_assert_uint_eq(out.owner, session.owner);
		ck_assert_int_eq(out.connected, connected);
		ck_assert_uint_eq(out.since_s, session.since_s);
		ck_assert(slice_equal(out.client_id, session.client_id));
	}
}
END_TEST

/* The format is on disks: these bytes may never change.  The check value was computed apart. */
START_TEST(format_is_fixed)
{
	static const uint8_t expected[] = {
	    0x01, 0x01, 0x00, 0x00, 0x00, 0x00,			  /* version, class, key epoch */
	    0x00, 0x00, 0x00, 0x03, 0xff, 0xff, 0xff, 0xfe,	  /* realm, expiry */
	    0x01, 0x00, 0x00, 0x00, 0x00, 0x65, 0x53, 0xf1, 0x00, /* connected, since */
	    0x00, 0x08, 'm',  'e',  't',  'e',	'r',  '-',  '1',
	    '7',  0x6c, 0xe1, 0x61, 0xbb, /* CRC-32C */
	};
	size_t len = encode_session(&a_session);

	ck_assert_uint_eq(len, sizeof(expected));
	ck_assert_mem_eq(record, expected, len);
}
END_TEST

/* Every length short of the whole, in memory of exactly that length (for the sanitizer). */
START_TEST(truncation_is_refused)
{
	for (int class = RECORD_SESSION; class <= RECORD_SUBSCRIPTION; class ++) {
		size_t len = class == RECORD_SESSION ? encode_session(&a_session)
						     : encode_subscription(&a_subscription);

		for (size_t cut = 0; cut < len; cut++) {
			uint8_t *part = malloc(cut == 0 ? 1 : cut);

			memcpy(part, record, cut);
			ck_assert(!opens((enum record_class) class, ROW, part, cut));
			ck_assert_str_ne(failure.text, "");
			free(part);
		}
		ck_assert(opens((enum record_class) class, ROW, record, len));
	}
}
END_TEST

START_TEST(bit_flip_is_refused)
{
	for (int class = RECORD_SESSION; class <= RECORD_SUBSCRIPTION; class ++) {
		size_t len = class == RECORD_SESSION ? encode_session(&a_session)
						     : encode_subscription(&a_subscription);

		for (size_t bit = 0; bit < len * 8; bit++) {
			record[bit / 8] ^= (uint8_t)(1u << (bit % 8));
			ck_assert(!opens((enum record_class) class, ROW, record, len));
			ck_assert_str_ne(failure.text, "");
			record[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		}
		ck_assert(opens((enum record_class) class, ROW, record, len));
	}
}
END_TEST

START_TEST(another_row_is_refused)
{
	size_t len = encode_session(&a_session);

	for (unsigned bit = 0; bit < 64; bit++)
		ck_assert(!opens(RECORD_SESSION, ROW ^ (uint64_t)1 << bit, record, len));
	ck_assert_ptr_nonnull(strstr(failure.text, "another row"));
}
END_TEST

START_TEST(another_class_is_refused)
{
	ck_assert(!opens(RECORD_SUBSCRIPTION, ROW, record, encode_session(&a_session)));
	ck_assert_ptr_nonnull(strstr(failure.text, "class 1, expected 2"));
}
END_TEST

START_TEST(another_version_is_named)
{
	size_t len = encode_session(&a_session);

	record[0] = 2;
	ck_assert(!opens(RECORD_SESSION, ROW, record, len));
	ck_assert_ptr_nonnull(strstr(failure.text, "version is 2, expected 1"));
}
END_TEST

/* A seal as it will come: the bytes are changed, and open only into the scratch. */
static bool xor_seal(void *self, const struct record_scope *scope, uint8_t *body, size_t body_len,
		     uint8_t *trailer, struct failure *reason)
{
	(void)reason;
	for (size_t i = 0; i < body_len; i++)
		body[i] ^= *(uint8_t *)self;
	memset(trailer, (int)(scope->row & 0xff), RECORD_TRAILER_MAX);
	return true;
}

static bool xor_open(void *self, const struct record_scope *scope, struct slice *body,
		     const uint8_t *trailer, uint8_t *room, struct failure *reason)
{
	if (trailer[39] != (scope->row & 0xff) || scope->header[5] != 9)
		return failure_set(reason, "not sealed with this key");
	for (size_t i = 0; i < body->len; i++)
		room[i] = body->at[i] ^ *(uint8_t *)self;
	body->at = room;
	return true;
}

START_TEST(seal_hook_changes_body_and_trailer_only)
{
	uint8_t key = 0x5a;
	const struct record_seal seal = {&key, 2, 9, RECORD_TRAILER_MAX, xor_seal, xor_open};
	struct store_session out;
	size_t len;

	ck_assert(record_encode_session(&seal, ROW, &a_session, record, &len, &failure));
	ck_assert_uint_eq(record[0], 2);
	ck_assert_uint_eq(record[5], 9);
	ck_assert_ptr_null(memmem(record, len, "meter", 5));
	ck_assert(
	    record_decode_session(&seal, ROW, slice_of(record, len), scratch, &out, &failure));
	ck_assert(slice_equal(out.client_id, a_session.client_id));
	ck_assert(
	    !record_decode_session(&seal, ROW + 1, slice_of(record, len), scratch, &out, &failure));
	ck_assert_str_eq(failure.text, "not sealed with this key");
	ck_assert(!opens(RECORD_SESSION, ROW, record, len));
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
	tcase_add_test(tcase, bit_flip_is_refused);
	tcase_add_test(tcase, another_row_is_refused);
	tcase_add_test(tcase, another_class_is_refused);
	tcase_add_test(tcase, another_version_is_named);
	tcase_add_test(tcase, seal_hook_changes_body_and_trailer_only);
	suite_add_tcase(suite, tcase);
	return suite;
}
