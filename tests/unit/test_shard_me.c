/* Requests of the person behind an account, "$metrino/me/...": broker/core/own_request.h. */
#include "tests/unit/shard_bench.h"
#include "broker/core/own_request.h"

#define V5     MQTT_VERSION_5_0
#define ANSWER "$metrino/me/answer"

enum { OWNER = 77 };

static struct bench bench;
static struct bench_grant person;
static enum auth_token came_with;

static enum auth_verdict check(struct auth *auth, const struct auth_request *request,
			       struct auth_answer *answer)
{
	(void)auth;
	(void)request;
	answer->grant = &person.grant;
	answer->token = came_with;
	return AUTH_ALLOW;
}

static void begin(bool account)
{
	bench_init(&bench, 2);
	person =
	    (struct bench_grant){.bench = &bench, .grant = {.account = account, .owner = OWNER}};
	came_with = AUTH_TOKEN_NONE;
	bench.auth.check = check;
	bench_start(&bench);
}

/* Answers the request that was made, which is then gone. */
static void answer(const char *text)
{
	struct own_request *request = bench.request;

	ck_assert_ptr_nonnull(request);
	bench.request = NULL;
	own_request_answer(request, slice_text(text));
	bench_event(&bench, request->party,
		    &(struct event){.type = EVENT_ANSWER, .request = request});
}

/* With what it came, and to be asked of whom. */
START_TEST(a_request_and_its_answer)
{
	static const struct {
		const char *topic;
		enum own_action action;
	} rows[] = {{"$metrino/me/export", OWN_EXPORT},
		    {"$metrino/me/rectify", OWN_RECTIFY},
		    {"$metrino/me/restrict", OWN_RESTRICT},
		    {"$metrino/me/object", OWN_OBJECT},
		    {"$metrino/me/erase", OWN_ERASE}};
	struct peer *me;

	ck_assert_uint_eq(sizeof rows / sizeof *rows, OWN_ACTIONS);
	begin(true);
	me = new_peer(&bench, V5, "me");
	subscribe(me, ANSWER, 0);
	for (size_t i = 0; i < OWN_ACTIONS; i++) {
		peer_publish(me, QOS(1), 5, rows[i].topic, "09 0002 'ab'", "payload");
		expect(me, 0x40, "0005");
		ck_assert_ptr_nonnull(bench.request);
		ck_assert_int_eq(bench.request->action, rows[i].action);
		ck_assert_uint_eq(bench.request->owner, OWNER);
		ck_assert(
		    slice_equal(own_request_payload(bench.request), SLICE_LITERAL("payload")));
		answer("told");
		expect_publish(me, 0, 0, ANSWER, "09 0002 'ab'", "told");
	}
	expect_nothing(me);
	bench_finish(&bench);
}
END_TEST

/* Others neither get the answer nor see the request. */
START_TEST(nobody_else_hears_of_it)
{
	struct peer *me, *other;

	begin(true);
	me = new_peer(&bench, V5, "me");
	other = new_peer(&bench, V5, "other");
	subscribe(other, ANSWER, 0);
	subscribe(other, "#", 0);
	peer_publish(me, 0, 0, "$metrino/me/export", "", "");
	answer("told"); /* and has not subscribed to it itself */
	expect_nothing(me);
	expect_nothing(other);
	bench_finish(&bench);
}
END_TEST

/* It is told so: who waits for an export would wait for ever. */
START_TEST(an_answer_that_is_too_large)
{
	struct mqtt_connect connect = connect_of(V5, "me", true);
	char longer[400];
	struct peer *me;

	begin(true);
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	mqtt_set(&connect.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	connect.properties.maximum_packet_size = 300;
	me = come_up(&bench, 0, &connect, false);
	subscribe(me, ANSWER, 0);
	peer_publish(me, QOS(1), 5, "$metrino/me/export", "09 0002 'ab'", "");
	expect(me, 0x40, "0005");
	answer(longer);
	expect_publish(
	    me, 0, 0, ANSWER, "09 0002 'ab'",
	    "{\"ok\":false,\"error\":\"the answer is larger than this connection's Maximum "
	    "Packet Size: connect with a larger one, or none\"}");
	bench_finish(&bench);
}
END_TEST

/* Only an account, with its password, a while ago at most. */
START_TEST(who_may_not)
{
	struct peer *me;

	begin(false); /* a device key, a certificate, ... */
	me = new_peer(&bench, V5, "me");
	peer_send(me, 0x82, "0001 00 0012 '" ANSWER "' 00");
	expect(me, 0x90, "0001 00 87");
	peer_publish(me, QOS(1), 5, "$metrino/me/export", "", "");
	expect(me, 0x40, "0005 87");
	bench_finish(&bench);
	begin(true);
	came_with = AUTH_TOKEN_LATEST;
	me = new_peer(&bench, V5, "me");
	peer_publish(me, QOS(1), 5, "$metrino/me/erase", "", "");
	expect(me, 0x40, "0005 87");
	bench_finish(&bench);
	begin(true);
	me = new_peer(&bench, V5, "me");
	subscribe(me, ANSWER, 0);
	bench_pass_ms(&bench, OWN_PASSWORD_MS + 1);
	peer_publish(me, QOS(1), 5, "$metrino/me/erase", "", "");
	expect_publish(me, 0, 0, ANSWER, "",
		       "{\"ok\":false,\"error\":\"only within five minutes after a connection was "
		       "made with the account's own password\"}");
	expect(me, 0x40, "0005 87");
	ck_assert_ptr_null(bench.request);
	bench_finish(&bench);
}
END_TEST

START_TEST(one_after_the_other)
{
	char longer[OWN_PAYLOAD_MAX + 2];
	struct peer *me;

	begin(true);
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	me = new_peer(&bench, V5, "me");
	peer_publish(me, QOS(1), 5, "$metrino/me/rectify", "", longer);
	expect(me, 0x40, "0005 99");
	peer_publish(me, QOS(1), 6, "$metrino/me/export", "", "");
	expect(me, 0x40, "0006");
	peer_publish(me, QOS(1), 7, "$metrino/me/export", "", "");
	expect(me, 0x40, "0007 97");
	answer("told");
	peer_publish(me, QOS(1), 8, "$metrino/me/export", "", "");
	expect(me, 0x40, "0008");
	answer("told");
	bench_finish(&bench);
}
END_TEST

/* Its link number may be another's by then. */
START_TEST(an_answer_finds_nobody)
{
	struct peer *me;

	begin(true);
	me = new_peer(&bench, V5, "me");
	peer_publish(me, 0, 0, "$metrino/me/export", "", "");
	peer_lose(me);
	me = new_peer(&bench, V5, "me");
	subscribe(me, ANSWER, 0);
	bench.request->link = me->link; /* as if the number had been given again */
	answer("told");
	expect_nothing(me);
	bench_finish(&bench);
}
END_TEST

Suite *shard_me_suite(void)
{
	const TTest *tests[] = {
	    a_request_and_its_answer,	 nobody_else_hears_of_it,
	    an_answer_that_is_too_large, who_may_not,
	    one_after_the_other,	 an_answer_finds_nobody,
	};

	return suite_of("shard_me", tests, COUNT_OF(tests));
}
