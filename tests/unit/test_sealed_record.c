/*
 * Records, sealed and (of earlier versions) in clear: only whole ones open, in their own place,
 * under their own key.
 */
#include "storage/record.h"
#include "storage/sealed_record.h"
#include "tests/lib/clear_rows.h"

#include <check.h>
#include <stdlib.h>

Suite *sealed_record_suite(void);

#define ROW 0x0123456789abcdefu

static const uint8_t key[SEAL_KEY_LEN] = {1, 2, 3};
static const struct sealed_place place = {SEALED_SESSION, 0x10203, ROW};
static const char text[] = "the body";

static uint8_t record[SEALED_MAX];
static uint8_t plain[SEALED_BODY_MAX];
static struct failure failure;

static struct slice make(void)
{
	const struct slice body = slice_of(text, sizeof(text));

	sealed_record_make(place, key, body, record);
	return slice_of(record, body.len + SEALED_OVERHEAD);
}

static bool opens(struct slice bytes, enum sealed_class class, uint64_t row, const uint8_t *with)
{
	uint32_t number;

	failure.text[0] = '\0';
	return sealed_record_look(bytes, class, &number, &failure) &&
	       sealed_record_open(bytes, row, with, plain, &failure);
}

START_TEST(sealed_opens)
{
	struct slice bytes = make();
	uint32_t number;

	ck_assert(sealed_record_look(bytes, SEALED_SESSION, &number, &failure));
	ck_assert_uint_eq(number, 0x10203);
	ck_assert_uint_eq(sealed_record_body_len(bytes), sizeof(text));
	ck_assert(sealed_record_open(bytes, ROW, key, plain, &failure));
	ck_assert_mem_eq(plain, text, sizeof(text));
	ck_assert_ptr_null(memmem(record, bytes.len, "body", 4));
}
END_TEST

/* Head as the format says; nonce and text differ each time. */
START_TEST(format_is_fixed)
{
	static const uint8_t head[] = {2, 1, 0, 1, 2, 3};
	uint8_t first[sizeof(text) + SEALED_OVERHEAD];

	memcpy(first, make().at, sizeof(first));
	ck_assert_mem_eq(first, head, sizeof(head));
	make();
	ck_assert_mem_ne(first + SEALED_HEAD_LEN, record + SEALED_HEAD_LEN, SEAL_NONCE_LEN);
	ck_assert_mem_ne(first + SEALED_HEAD_LEN + SEAL_NONCE_LEN,
			 record + SEALED_HEAD_LEN + SEAL_NONCE_LEN, sizeof(text));
}
END_TEST

START_TEST(any_bit_matters)
{
	struct slice bytes = make();

	for (size_t bit = 0; bit < bytes.len * 8; bit++) {
		record[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		ck_assert(!opens(bytes, SEALED_SESSION, ROW, key));
		ck_assert_str_ne(failure.text, "");
		record[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	ck_assert(opens(bytes, SEALED_SESSION, ROW, key));
}
END_TEST

START_TEST(another_place_or_key_is_refused)
{
	uint8_t other[SEAL_KEY_LEN];
	struct slice bytes = make();

	for (unsigned bit = 0; bit < 64; bit++)
		ck_assert(!opens(bytes, SEALED_SESSION, ROW ^ (uint64_t)1 << bit, key));
	ck_assert_ptr_nonnull(strstr(failure.text, "another row"));
	ck_assert(!opens(bytes, SEALED_SUBSCRIPTION, ROW, key));
	ck_assert_ptr_nonnull(strstr(failure.text, "class 1, expected 2"));
	for (unsigned bit = 0; bit < SEAL_KEY_LEN * 8; bit++) {
		memcpy(other, key, sizeof(other));
		other[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		ck_assert(!opens(bytes, SEALED_SESSION, ROW, other));
	}
}
END_TEST

START_TEST(lengths)
{
	struct slice whole = make();
	uint32_t number;

	for (size_t len = 0; len < whole.len; len++) {
		uint8_t *part = malloc(len == 0 ? 1 : len);

		memcpy(part, whole.at, len);
		ck_assert(!opens(slice_of(part, len), SEALED_SESSION, ROW, key));
		free(part);
	}
	ck_assert(!sealed_record_look(slice_of(record, SEALED_MAX + 1), SEALED_SESSION, &number,
				      &failure));
	sealed_record_make(place, key, SLICE_NONE, record);
	ck_assert(opens(slice_of(record, SEALED_OVERHEAD), SEALED_SESSION, ROW, key));
}
END_TEST

/* The format of earlier versions; its check value was computed apart. */
START_TEST(clear_opens)
{
	static const uint8_t session[] = {
	    0x01, 0x01, 0x00, 0x00, 0x00, 0x00,			  /* version, class, zero */
	    0x00, 0x00, 0x00, 0x03, 0xff, 0xff, 0xff, 0xfe,	  /* realm, expiry */
	    0x01, 0x00, 0x00, 0x00, 0x00, 0x65, 0x53, 0xf1, 0x00, /* connected, since */
	    0x00, 0x08, 'm',  'e',  't',  'e',	'r',  '-',  '1',
	    '7',  0x6c, 0xe1, 0x61, 0xbb, /* CRC-32C */
	};
	struct store_session out;
	struct slice body;
	uint8_t copy[sizeof(session)];

	ck_assert(clear_record_open(slice_of(session, sizeof(session)), SEALED_SESSION, ROW, &body,
				    &failure));
	ck_assert(record_read_session(body, &out, &failure));
	ck_assert(slice_equal(out.client_id, SLICE_LITERAL("meter-17")));
	ck_assert_uint_eq(clear_row(SEALED_SESSION, ROW, body, copy), sizeof(session));
	ck_assert_mem_eq(copy, session, sizeof(session));
}
END_TEST

START_TEST(clear_refuses)
{
	static uint8_t bytes[100];
	size_t len = clear_row(SEALED_JOURNAL, ROW, slice_of(text, sizeof(text)), bytes);
	struct slice body;

	for (size_t cut = 0; cut < len; cut++)
		ck_assert(
		    !clear_record_open(slice_of(bytes, cut), SEALED_JOURNAL, ROW, &body, &failure));
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		ck_assert(
		    !clear_record_open(slice_of(bytes, len), SEALED_JOURNAL, ROW, &body, &failure));
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	ck_assert(
	    !clear_record_open(slice_of(bytes, len), SEALED_JOURNAL, ROW + 1, &body, &failure));
	ck_assert(clear_record_open(slice_of(bytes, len), SEALED_JOURNAL, ROW, &body, &failure));
}
END_TEST

Suite *sealed_record_suite(void)
{
	Suite *suite = suite_create("sealed_record");
	TCase *tcase = tcase_create("sealed_record");

	tcase_add_test(tcase, sealed_opens);
	tcase_add_test(tcase, format_is_fixed);
	tcase_add_test(tcase, any_bit_matters);
	tcase_add_test(tcase, another_place_or_key_is_refused);
	tcase_add_test(tcase, lengths);
	tcase_add_test(tcase, clear_opens);
	tcase_add_test(tcase, clear_refuses);
	suite_add_tcase(suite, tcase);
	return suite;
}
