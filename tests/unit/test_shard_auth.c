/*
 * Enhanced authentication for whole shards, MQTT 5.0 section 4.12.  The method of the bench is
 * "count": the client says 'a', is answered '1', says 'b', is answered '2', says 'c', and is in
 * with '3'.
 */
#include "tests/unit/shard_bench.h"
#include <stdio.h>

#define V5 MQTT_VERSION_5_0

struct auth_exchange {
	char step;
};

static struct bench bench;
static struct bench_grant grants[2];
static unsigned grants_given;
static int exchanges;		       /* that are not ended */
static const struct auth_grant *again; /* whom the last question has to be */
static enum mqtt_reason barred;	       /* nobody begins: why not; MQTT_SUCCESS: all may */

static enum auth_verdict check(struct auth *auth, const struct auth_request *request,
			       struct auth_answer *answer)
{
	static const char says[] = "123";
	struct auth_exchange *exchange = request->exchange;
	char expected = exchange ? (char)(exchange->step + 1) : 'a';

	(void)auth;
	again = request->grant;
	answer->reason = barred;
	if (barred && exchange == NULL)
		return AUTH_REFUSE;
	if (request->method.len == 0)
		return AUTH_ALLOW;
	answer->reason = MQTT_BAD_AUTHENTICATION_METHOD;
	if (!slice_equal(request->method, slice_text("count")))
		return AUTH_REFUSE;
	answer->reason = MQTT_NOT_AUTHORIZED;
	answer->text = "count better";
	if (request->data.len != 1 || request->data.at[0] != (uint8_t)expected)
		return AUTH_REFUSE;
	if (exchange == NULL) {
		exchange = calloc(1, sizeof *exchange);
		ck_assert_ptr_nonnull(exchange);
		exchanges++;
	}
	exchange->step = expected;
	answer->data = slice_of(says + (expected - 'a'), 1);
	if (expected < 'c') {
		answer->exchange = exchange;
		return AUTH_CONTINUE;
	}
	grants[grants_given % 2] = (struct bench_grant){.grant = {.owner = 5}, .bench = &bench};
	answer->grant = &grants[grants_given++ % 2].grant;
	return AUTH_ALLOW;
}

static void end_exchange(struct auth *auth, struct auth_exchange *exchange)
{
	(void)auth;
	exchanges--;
	free(exchange);
}

static void begin(bool durable)
{
	exchanges = 0;
	barred = MQTT_SUCCESS;
	bench_init(&bench, 2);
	bench.auth.check = check;
	bench.auth.end_exchange = end_exchange;
	bench.durable = durable;
	bench_start(&bench);
}

static void finish(void)
{
	bench_finish(&bench);
	ck_assert_int_eq(exchanges, 0);
}

/* CONNECT with the method and what it begins with. */
static struct mqtt_connect opening(const char *id, const char *method, const char *data)
{
	struct mqtt_connect connect = connect_of(V5, id, true);

	mqtt_set(&connect.properties, MQTT_PROPERTY_AUTHENTICATION_METHOD);
	connect.properties.authentication_method = slice_text(method);
	if (data) {
		mqtt_set(&connect.properties, MQTT_PROPERTY_AUTHENTICATION_DATA);
		connect.properties.authentication_data = slice_text(data);
	}
	return connect;
}

static void auth(struct peer *peer, unsigned reason, char data)
{
	char body[80];

	snprintf(body, sizeof body, "%02x 0c 15 0005 'count' 16 0001 '%c'", reason, data);
	peer_send(peer, 0xf0, body);
}

static void challenged(struct peer *peer, unsigned reason, char data, int line)
{
	char body[80];

	snprintf(body, sizeof body, "%02x 0c 15 0005 'count' 16 0001 '%c'", reason, data);
	peer_expect(peer, 0xf0, body, line);
}
#define expect_auth(peer, reason, data) challenged(peer, reason, data, __LINE__)

static struct peer *begun(const char *id)
{
	struct mqtt_connect connect = opening(id, "count", "a");
	struct peer *peer = peer_open(&bench, 0, V5);

	peer_connect(peer, &connect);
	expect_auth(peer, 0x18, '1');
	return peer;
}

static struct peer *in(const char *id)
{
	struct peer *peer = begun(id);

	auth(peer, 0x18, 'b');
	expect_auth(peer, 0x18, '2');
	auth(peer, 0x18, 'c');
	struct mqtt_connack connack = expect_connack(peer, 0);
	ck_assert(slice_equal(connack.properties.authentication_method, slice_text("count")));
	ck_assert(slice_equal(connack.properties.authentication_data, slice_text("3")));
	return peer;
}

/* [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-3.15.1-1] [MQTT-3.15.2-2] [MQTT-3.15.2-3]
 * at its home, and moved there; without a store, and waiting for it. */
START_TEST(an_exchange)
{
	begin(false);
	for (unsigned home = 0; home < 2; home++)
		in(bench_name(&bench, home, "client"));
	finish();
	begin(true);
	struct mqtt_connect connect = opening("a", "count", "a");
	mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	connect.properties.session_expiry_s = 100;
	struct peer *peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	expect_auth(peer, 0x18, '1');
	auth(peer, 0x18, 'b');
	expect_auth(peer, 0x18, '2');
	bench.hold_store = true;
	auth(peer, 0x18, 'c');
	expect_nothing(peer);
	bench.hold_store = false;
	bench_settle(&bench);
	struct mqtt_connack connack = expect_connack(peer, 0);
	ck_assert(slice_equal(connack.properties.authentication_data, slice_text("3")));
	ck_assert_int_eq(exchanges, 0);
	finish();
}
END_TEST

/* [MQTT-4.12.0-4] at each step; 3.1.1 has no methods. */
START_TEST(it_is_refused)
{
	struct mqtt_connect connect = opening("a", "count", "x");
	struct peer *peer;

	begin(false);
	mqtt_set(&connect.properties, MQTT_PROPERTY_REQUEST_PROBLEM_INFORMATION);
	connect.properties.request_problem_information = 1;
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	ck_assert(slice_equal(expect_connack(peer, 0x87).properties.reason_string,
			      slice_text("count better")));
	connect = opening("a", "count", NULL);
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	expect_connack(peer, 0x87);
	connect = opening("a", "other", "a");
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	expect_connack(peer, 0x8c);
	peer = begun("a");
	auth(peer, 0x18, 'c');
	expect_connack(peer, 0x87);
	expect_closed(peer);
	finish();
}
END_TEST

/* What is no answer: 0x82, or 0x81 where it cannot be read. */
START_TEST(what_may_not_come)
{
	static const struct {
		uint8_t first;
		const char *body;
		uint8_t reason;
	} cases[] = {
	    {0xf0, "19 0c 15 0005 'count' 16 0001 'b'", 0x82}, /* there is nothing to repeat */
	    {0xf0, "00 0c 15 0005 'count' 16 0001 'b'", 0x82}, /* a server says that */
	    {0xf0, "", 0x82},
	    {0xf0, "18 0c 15 0005 'other' 16 0001 'b'", 0x82},
	    {0xf0, "18 04 16 0001 'b'", 0x82},
	    {0xf0, "18", 0x81},
	    {0xf1, "18 0c 15 0005 'count' 16 0001 'b'", 0x82},
	    {0xc0, "", 0x82},
	    {0x82, "0001 00 0001 't' 01", 0x82},
	    {0x10, "0004 'MQTT' 05 02 0000 00 0001 'a'", 0x82},
	};

	begin(false);
	for (size_t i = 0; i < COUNT_OF(cases); i++) { /* [MQTT-3.1.2-30] */
		struct peer *peer = begun("a");

		peer_send(peer, cases[i].first, cases[i].body);
		peer_expect_connack(peer, cases[i].reason, (int)i);
		ck_assert(!peer->open);
		ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	}
	finish();
}
END_TEST

/* By DISCONNECT, by closing, by time, by the end of the broker: nothing is left. */
START_TEST(it_is_given_up)
{
	struct event stop = {.type = EVENT_STOP};
	struct peer *peer;

	begin(false);
	peer = begun("a");
	peer_send(peer, 0xe0, "");
	expect_closed(peer);
	peer_lose(begun("a"));
	ck_assert_int_eq(exchanges, 0);
	peer = begun("a");
	bench_pass_ms(&bench, bench.settings.connect_timeout_ms + 20);
	ck_assert(!peer->open);
	peer = begun("a");
	bench_event(&bench, peer->shard, &stop);
	ck_assert(!peer->open);
	finish();
	begin(false);
	begun("a");
	finish();
}
END_TEST

/* What does not fit what the client takes is not sent. */
START_TEST(a_challenge_that_is_too_large)
{
	struct mqtt_connect connect = opening("a", "count", "a");
	struct peer *peer;

	begin(false);
	mqtt_set(&connect.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	connect.properties.maximum_packet_size = 15;
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	expect_connack(peer, MQTT_PACKET_TOO_LARGE);
	finish();
}
END_TEST

/* [MQTT-4.12.1-1]: beside everything else, and as often as it likes. */
START_TEST(once_more)
{
	struct peer *peer;

	begin(false);
	peer = in("a");
	for (int i = 0; i < 3; i++) {
		auth(peer, 0x19, 'a');
		expect_auth(peer, 0x18, '1');
		ck_assert_ptr_nonnull(again);
		ck_assert_uint_eq(again->owner, 5);
		auth(peer, 0x18, 'b');
		expect_auth(peer, 0x18, '2');
		subscribe(peer, "t", 0);
		peer_publish(peer, QOS(0), 0, "t", "", "x");
		expect_publish(peer, QOS(0), 0, "t", "", "x");
		auth(peer, 0x18, 'c');
		expect_auth(peer, 0x00, '3');
		ck_assert_int_eq(exchanges, 0);
	}
	ck_assert_uint_eq(bench.released, 3);
	expect_nothing(peer);
	finish();
}
END_TEST

/* [MQTT-4.12.1-2] [MQTT-4.12.0-7] */
START_TEST(again_and_refused)
{
	static const struct {
		const char *body;
		uint8_t reason;
	} cases[] = {
	    {"19 0c 15 0005 'count' 16 0001 'b'", 0x87},
	    {"18 0c 15 0005 'count' 16 0001 'a'", 0x82}, /* has not begun */
	    {"00 0c 15 0005 'count' 16 0001 'a'", 0x82},
	    {"19 0c 15 0005 'other' 16 0001 'a'", 0x82},
	    {"19 04 16 0001 'a'", 0x82},
	    {"", 0x82},
	};
	struct peer *peer;

	begin(false);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		peer = in("a");
		peer_send(peer, 0xf0, cases[i].body);
		peer_expect_end(peer, cases[i].reason, (int)i);
	}
	peer = in("a"); /* begun, and begun once more */
	auth(peer, 0x19, 'a');
	expect_auth(peer, 0x18, '1');
	auth(peer, 0x19, 'a');
	expect_end(peer, 0x82);
	peer = in("a"); /* begun, and wrong later */
	auth(peer, 0x19, 'a');
	expect_auth(peer, 0x18, '1');
	auth(peer, 0x18, 'x');
	expect_end(peer, 0x87);
	peer = in("a"); /* begun, and gone */
	auth(peer, 0x19, 'a');
	expect_auth(peer, 0x18, '1');
	peer_lose(peer);
	peer = new_peer(&bench, V5, "b"); /* without a method there is nothing to repeat */
	auth(peer, 0x19, 'a');
	expect_end(peer, 0x82);
	finish();
}
END_TEST

/* [MQTT-3.14.2-1] [MQTT-4.12.1-2]: who is banned meanwhile hears it in CONNACK only; what may stand
 * in DISCONNECT, too, stands there. */
START_TEST(again_and_barred)
{
	static const struct {
		enum mqtt_reason barred;
		uint8_t reason;
	} cases[] = {
	    {MQTT_BANNED, 0x87},
	    {MQTT_BAD_USER_NAME_OR_PASSWORD, 0x87},
	    {MQTT_QUOTA_EXCEEDED, 0x97},
	    {MQTT_SERVER_BUSY, 0x89},
	};
	struct mqtt_connect connect = opening("b", "count", "a");

	begin(false);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct peer *peer = in("a");

		barred = cases[i].barred;
		auth(peer, 0x19, 'a');
		peer_expect_end(peer, cases[i].reason, (int)i);
		peer = peer_open(&bench, 0, V5);
		peer_connect(peer, &connect);
		peer_expect_connack(peer, (uint8_t)barred, (int)i);
		barred = MQTT_SUCCESS;
	}
	finish();
}
END_TEST

/* A method proves a name, which has to be the client identifier where the listener says so. */
START_TEST(the_user_name_as_identifier)
{
	struct mqtt_connect connect = opening("a", "count", "a");
	struct peer *peer;

	begin(false);
	bench.listener.use_user_name_as_client_id = true;
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	expect_connack(peer, MQTT_NOT_AUTHORIZED);
	connect.has_user_name = true; /* of no byte */
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	expect_connack(peer, MQTT_NOT_AUTHORIZED);
	connect.user_name = slice_text("b");
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	expect_auth(peer, 0x18, '1');
	finish();
}
END_TEST

/* What is remembered of who has shown nothing yet is charged, however long its identifier is. */
START_TEST(who_waits_is_charged)
{
	static char id[60001];
	static uint8_t packet[sizeof id + 100];
	struct peer *peers[40];
	unsigned taken = 0;

	begin(false);
	bench.settings.connect_bytes_max = sizeof packet;
	atomic_store(&bench.budget.limit, 1 << 20);
	memset(id, 'x', sizeof id - 1);
	for (uint8_t i = 0; i < COUNT_OF(peers); i++) {
		id[0] = (char)('0' + i);
		struct mqtt_connect connect = opening(id, "count", "a");
		peers[i] = peer_open(&bench, 0, V5);
		peer_bytes(peers[i],
			   slice_of(packet, mqtt_encode_connect(packet, sizeof packet, &connect)));
		ck_assert_uint_gt(peers[i]->in_len, 3);
		taken += peers[i]->in[0] == 0xF0;
		if (peers[i]->in[0] != 0xF0)
			expect_connack(peers[i], MQTT_QUOTA_EXCEEDED);
	}
	ck_assert_uint_ge(taken, 10);
	ck_assert_uint_le(taken, (1 << 20) / sizeof id);
	for (uint8_t i = 0; i < COUNT_OF(peers); i++)
		if (peers[i]->open)
			peer_lose(peers[i]);
	ck_assert_int_le(bench.budget.used, 256 << 10);
	in("another");
	finish();
}
END_TEST

Suite *shard_auth_suite(void)
{
	const TTest *const tests[] = {an_exchange,
				      it_is_refused,
				      what_may_not_come,
				      it_is_given_up,
				      a_challenge_that_is_too_large,
				      once_more,
				      again_and_refused,
				      again_and_barred,
				      the_user_name_as_identifier,
				      who_waits_is_charged};

	return suite_of("shard_auth", tests, COUNT_OF(tests));
}
