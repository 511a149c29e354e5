/* message.h: one copy, counted references, nothing charged in the end. */
#include "broker/core/mail.h"
#include "tests/unit/packets.h"
#include "tests/unit/purse.h"

START_TEST(holds_what_it_was_made_of)
{
	struct publication in = {
	    .realm = 4,
	    .qos = 2,
	    .retain = true,
	    .publisher = {.party = 3, .session = 77},
	    .expires_ms = 123,
	    .topic = SLICE_LITERAL("a/b"),
	    .properties = SLICE_LITERAL("\x01\x01"),
	    .payload = SLICE_LITERAL("payload"),
	};
	struct publication out;
	struct message *message;

	purse_open(1 << 20);
	message = message_create(&purse, &in);
	ck_assert_uint_eq((uint64_t)purse.charged, message_size(message));
	out = message_publication(message);
	ck_assert(slice_equal(out.topic, in.topic));
	ck_assert(slice_equal(out.properties, in.properties));
	ck_assert(slice_equal(out.payload, in.payload));
	ck_assert_uint_eq(out.realm, 4);
	ck_assert_uint_eq(out.qos, 2);
	ck_assert(out.retain);
	ck_assert_uint_eq(out.publisher.party, 3);
	ck_assert_uint_eq(out.publisher.session, 77);
	ck_assert_uint_eq(out.expires_ms, 123);
	ck_assert_ptr_eq(out.message, message);
	ck_assert(!out.made);
	message_release(message, &purse);
	purse_check_empty();
}
END_TEST

START_TEST(lives_as_long_as_referred_to)
{
	struct message *message;
	struct mail *mail;

	purse_open(1 << 20);
	message = message_of("t", "x");
	mail = mail_create(MAIL_PUBLISH, 0, 1, SLICE_LITERAL("text"));
	ck_assert(slice_equal(mail->text, SLICE_LITERAL("text")));
	mail->message = message_share(message);
	message_release(message, &purse);
	ck_assert_int_gt(purse.charged, 0);
	ck_assert_uint_ge(mail_weight(mail), message_size(message));
	mail_destroy(mail, &purse);
	purse_check_empty();
}
END_TEST

START_TEST(refused_beyond_the_limit)
{
	static char payload[100001];

	purse_open(100000);
	memset(payload, 'x', 100000);
	ck_assert_ptr_null(message_of("t", payload));
	purse_check_empty();
}
END_TEST

Suite *message_suite(void)
{
	const TTest *tests[] = {holds_what_it_was_made_of, lives_as_long_as_referred_to,
				refused_beyond_the_limit};

	return suite_of("message", tests, COUNT_OF(tests));
}
