/*
 * Session tokens for whole shards: who gets one and when, how long it is good, what is stored; and
 * the topics below "$metrino/".
 */
#include "tests/unit/token_bench.h"

#include <stdio.h>

#define V5	MQTT_VERSION_5_0
#define V3	MQTT_VERSION_3_1_1
#define TOPIC	TOKEN_TOPIC
#define HOUR_MS 3600000u

static struct bench bench;

#define begin(shards, durable)	      token_begin(&bench, shards, durable)
#define up(connect, session, token)   token_up(&bench, connect, session, token, __LINE__)
#define expect_refused(connect)	      token_refused(&bench, connect, __LINE__)
#define expect_by_topic(peer, number) token_expect(peer, number, __LINE__)

static void pass_hours(unsigned hours)
{
	while (hours-- > 0)
		bench_pass_ms(&bench, HOUR_MS);
}

/* ---- who gets one ---- */

START_TEST(who_asks_in_connect)
{
	begin(1, false);
	up(token_connect(V5, "a", 0, 0, "1"), false, 1);
	up(token_connect(V5, "b", 0, 0, NULL), false, 0);
	up(token_connect(V5, "c", 0, 0, "0"), false, 0);
	up(token_connect(V5, "d", 0, 0, ""), false, 0);
	up(token_connect(V3, "e", 0, 0, NULL), false, 0);
	bench.tokens_allowed = false;
	up(token_connect(V5, "f", 0, 0, "1"), false, 0);
	ck_assert_uint_eq(counted(&bench, TOKENS_MADE), 1);
	bench_finish(&bench);
}
END_TEST

/* After SUBACK, once for each SUBSCRIBE and not for one that wants nothing. */
START_TEST(who_subscribes)
{
	struct peer *peer;

	begin(1, false);
	peer = up(token_connect(V3, "a", 0, 0, NULL), false, 0);
	peer_send(peer, 0x82, "0001 000e '" TOPIC "' 02");
	expect(peer, 0x90, "0001 00");
	expect_by_topic(peer, 1);
	peer_send(peer, 0x82, "0002 000e '" TOPIC "' 01 000e '" TOPIC "' 01 0001 'x' 01");
	expect(peer, 0x90, "0002 00 00 01");
	expect_by_topic(peer, 2);
	expect_nothing(peer);
	peer = up(token_connect(V5, "b", 0, 0, NULL), false, 0);
	peer_send(peer, 0x82, "0001 02 0b 07 000e '" TOPIC "' 20");
	expect(peer, 0x90, "0001 00 00");
	expect_nothing(peer);
	peer_send(peer, 0x82, "0002 02 0b 07 000e '" TOPIC "' 00");
	expect(peer, 0x90, "0002 00 00");
	peer_expect_publish(peer, 0, 0, TOPIC, "0b 07",
			    "token 000003 00000000000000000000000000000000000000000", __LINE__);
	peer_send(peer, 0xA2, "0003 00 000e '" TOPIC "'");
	expect(peer, 0xB0, "0003 00 00");
	pass_hours(7);
	expect_nothing(peer);
	bench_finish(&bench);
}
END_TEST

START_TEST(who_may_not_is_told)
{
	struct peer *peer;

	begin(1, false);
	bench.tokens_allowed = false;
	peer = up(token_connect(V5, "a", 0, 0, NULL), false, 0);
	peer_send(peer, 0x82, "0001 00 000e '" TOPIC "' 00");
	expect(peer, 0x90, "0001 00 87");
	peer = up(token_connect(V3, "b", 0, 0, NULL), false, 0);
	peer_send(peer, 0x82, "0001 000e '" TOPIC "' 00");
	expect(peer, 0x90, "0001 80");
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* One subscribed on a link that is private, and came back on one that is not. */
START_TEST(no_token_on_a_link_that_others_read)
{
	struct peer *peer;

	begin(1, false);
	peer = up(token_connect(V5, "a", 1000000, 0, NULL), false, 0);
	subscribe(peer, TOPIC, 0);
	expect_by_topic(peer, 1);
	peer_lose(peer);
	bench.tokens_allowed = false;
	peer = up(token_connect(V5, "a", 1000000, 0, "1"), true, 0);
	pass_hours(13);
	expect_nothing(peer);
	peer_lose(peer);
	bench.tokens_allowed = true;
	peer = up(token_connect(V5, "a", 1000000, 0, NULL), true, 0);
	expect_by_topic(peer, 2);
	bench_finish(&bench);
}
END_TEST

/* A CONNACK that would be too large is sent without it; then the client has none. */
START_TEST(a_client_that_takes_small_packets)
{
	struct mqtt_connect *connect;

	begin(1, false);
	connect = token_connect(V5, "a", 0, 0, "1");
	mqtt_set(&connect->properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	connect->properties.maximum_packet_size = 60;
	up(connect, false, 0);
	bench_finish(&bench);
}
END_TEST

/* ---- the life of one ---- */

START_TEST(it_is_the_password)
{
	begin(1, false);
	peer_lose(up(token_connect(V5, "a", 1000000, 0, "1"), false, 1));
	expect_refused(token_connect(V5, "b", 1000000, 1, "1"));
	expect_refused(token_connect(V5, "a", 1000000, 2, "1"));
	for (int i = 0; i < 3; i++) /* it is young: there is no other */
		peer_lose(up(token_connect(V5, "a", 1000000, 1, "1"), true, 0));
	peer_lose(up(token_connect(V3, "a", 1000000, 1, NULL), true, 0));
	ck_assert_uint_eq(counted(&bench, TOKEN_LOGINS), 4);
	peer_lose(
	    up(token_connect(V5, "a", 1000000, 0, "1"), true, 2)); /* it seems to have lost it */
	bench_finish(&bench);
}
END_TEST

START_TEST(a_new_one_when_it_is_old)
{
	begin(1, false);
	peer_lose(up(token_connect(V5, "a", 1000000, 0, "1"), false, 1));
	bench_pass_ms(&bench, (TOKEN_LIFETIME_S - 2) * 1000);
	peer_lose(up(token_connect(V5, "a", 1000000, 1, "1"), true, 0));
	bench_pass_ms(&bench, 2000);
	peer_lose(up(token_connect(V5, "a", 1000000, 1, "1"), true, 2));
	/* The first stays good as long as nobody has come with the second, */
	peer_lose(up(token_connect(V5, "a", 1000000, 1, NULL), true, 0));
	peer_lose(up(token_connect(V5, "a", 1000000, 1, "1"), true, 3));
	peer_lose(up(token_connect(V5, "a", 1000000, 1, "1"), true, 4));
	expect_refused(token_connect(V5, "a", 1000000, 2, "1"));
	expect_refused(token_connect(V5, "a", 1000000, 3, "1"));
	/* or with the one that it got after that. */
	peer_lose(up(token_connect(V5, "a", 1000000, 4, "1"), true, 0));
	expect_refused(token_connect(V5, "a", 1000000, 1, "1"));
	peer_lose(up(token_connect(V5, "a", 1000000, 4, "1"), true, 0));
	bench_finish(&bench);
}
END_TEST

START_TEST(a_new_one_while_connected)
{
	struct peer *peer;

	begin(1, false);
	peer = up(token_connect(V5, "a", 1000000, 0, "1"), false, 1);
	subscribe(peer, TOPIC, 0);
	expect_by_topic(peer, 2);
	bench_pass_ms(&bench, TOKEN_LIFETIME_S * 1000 - 1000);
	expect_nothing(peer);
	bench_pass_ms(&bench, 2000);
	expect_by_topic(peer, 3);
	bench_pass_ms(&bench, TOKEN_LIFETIME_S * 1000);
	expect_by_topic(peer, 4);
	expect_nothing(peer);
	peer_lose(peer);
	pass_hours(7); /* nobody is there */
	ck_assert_uint_eq(bench.tokens_made, 4);
	expect_refused(token_connect(V5, "a", 1000000, 2, NULL));
	peer = up(token_connect(V5, "a", 1000000, 3, NULL), true, 0);
	expect_by_topic(peer, 5);
	peer_lose(peer);
	/* With its subscription it counts from when the token was made. */
	peer = up(token_connect(V5, "a", 1000000, 5, NULL), true, 0);
	bench_pass_ms(&bench, 5 * HOUR_MS);
	peer_lose(peer);
	peer = up(token_connect(V5, "a", 1000000, 5, NULL), true, 0);
	bench_pass_ms(&bench, HOUR_MS - 2000);
	expect_nothing(peer);
	bench_pass_ms(&bench, 4000);
	expect_by_topic(peer, 6);
	bench_finish(&bench);
}
END_TEST

START_TEST(a_clock_that_was_set_back)
{
	begin(1, false);
	peer_lose(up(token_connect(V5, "a", 1000000, 0, "1"), false, 1));
	bench.now.wall_s -= 100000;
	peer_lose(up(token_connect(V5, "a", 1000000, 1, "1"), true, 2));
	bench_finish(&bench);
}
END_TEST

/* ---- with the session, or a while after it ---- */

START_TEST(sessions_without_expiry)
{
	begin(1, true);
	peer_lose(up(token_connect(V3, "a", 0, 0, NULL), false, 0));
	expect_refused(token_connect(V3, "a", 0, 1, NULL));
	peer_lose(up(token_connect(V5, "a", 0, 0, "1"), false, 1));
	bench_pass_ms(&bench, TOKEN_LIFETIME_S * 1000 - 1000);
	peer_lose(up(token_connect(V3, "a", 0, 1, NULL), false, 0));
	bench_pass_ms(&bench, TOKEN_LIFETIME_S * 1000 - 1000);
	peer_lose(up(token_connect(V3, "a", 0, 1, NULL), false, 0));
	ck_assert_uint_eq(counted(&bench, TOKENS_PARTED), 1);
	bench_pass_ms(&bench, TOKEN_LIFETIME_S * 1000 + 1000);
	ck_assert_uint_eq(counted(&bench, TOKENS_PARTED), 0);
	expect_refused(token_connect(V3, "a", 0, 1, NULL));
	ck_assert_uint_eq(bench.batches, 0); /* nothing of it was stored */
	bench_finish(&bench);
}
END_TEST

/* Taken over: the connection of before ends, and its session with it. */
START_TEST(a_take_over_keeps_it)
{
	struct peer *first;

	begin(1, false);
	first = up(token_connect(V5, "a", 0, 0, "1"), false, 1);
	up(token_connect(V5, "a", 0, 1, "1"), false, 0);
	ck_assert_uint_eq(counted(&bench, TOKENS_PARTED), 0);
	expect_end(first, MQTT_SESSION_TAKEN_OVER);
	up(token_connect(V5, "a", 0, 1, "1"), false, 0);
	bench_finish(&bench);
}
END_TEST

START_TEST(clean_start)
{
	struct mqtt_connect *connect;

	begin(1, true);
	peer_lose(up(token_connect(V5, "a", 1000000, 0, "1"), false, 1));
	connect = token_connect(V5, "a", 1000000, 1, "1");
	connect->clean_start = true;
	peer_lose(up(connect, false, 0)); /* with the token: it stays */
	bench_restart(&bench);
	connect = token_connect(V5, "a", 1000000, 1, "1");
	connect->clean_start = true;
	peer_lose(up(connect, false, 0));
	connect = token_connect(V5, "a", 1000000, 0, NULL);
	connect->clean_start = true;
	peer_lose(up(connect, false, 0)); /* with the password: it goes with the session */
	expect_refused(token_connect(V5, "a", 1000000, 1, "1"));
	bench_finish(&bench);
}
END_TEST

START_TEST(it_expires_with_the_session)
{
	begin(1, true);
	peer_lose(up(token_connect(V5, "a", 100, 0, "1"), false, 1));
	bench_pass_ms(&bench, 99000);
	peer_lose(up(token_connect(V5, "a", 100, 1, "1"), true, 0));
	bench_pass_ms(&bench, 101000);
	expect_refused(token_connect(V5, "a", 100, 1, "1"));
	bench_finish(&bench);
}
END_TEST

/* ---- on disk ---- */

START_TEST(it_is_stored_with_the_session)
{
	struct peer *peer;
	unsigned batches;

	begin(2, true);
	peer = up(token_connect(V5, "a", 1000000, 0, "1"), false, 1);
	ck_assert_uint_eq(bench.batches, 1); /* with the session's own row */
	subscribe(peer, TOPIC, 0);
	expect_by_topic(peer, 2);
	bench_restart(&bench);
	expect_refused(token_connect(V5, "b", 1000000, 2, NULL));
	peer_lose(up(token_connect(V5, "a", 1000000, 1, NULL), true, 0)); /* and gets a third */
	ck_assert_uint_eq(bench.tokens_made, 3);
	bench_restart(&bench);
	expect_refused(token_connect(V5, "a", 1000000, 2, NULL));
	peer_lose(up(token_connect(V5, "a", 1000000, 3, NULL), true, 0));
	bench_restart(&bench); /* that the first is good no more is stored, too */
	expect_refused(token_connect(V5, "a", 1000000, 1, NULL));
	batches = bench.batches;
	for (int i = 0; i < 5; i++) /* a storm of reconnections writes nothing */
		peer_lose(up(token_connect(V5, "a", 1000000, 3, "1"), true, 0));
	ck_assert_uint_eq(bench.batches, batches);
	bench_finish(&bench);
}
END_TEST

/* A client that asks faster than the store answers makes no queue there; the last one counts. */
START_TEST(one_write_at_a_time)
{
	struct peer *peer;
	unsigned before;

	begin(1, true);
	peer = up(token_connect(V5, "a", 1000000, 0, NULL), false, 0);
	subscribe(peer, TOPIC, 0);
	expect_by_topic(peer, 1);
	before = bench.batches;
	bench.hold_store = true;
	for (unsigned i = 2; i < 50; i++) {
		peer_send(peer, 0x82, "0007 00 000e '" TOPIC "' 00");
		expect(peer, 0x90, "0007 00 00");
		expect_by_topic(peer, i);
	}
	bench_store_all(&bench);
	ck_assert_uint_eq(bench.batches, before + 2);
	bench.hold_store = false;
	bench_restart(&bench);
	peer_lose(up(token_connect(V5, "a", 1000000, 49, NULL), true, 0));
	bench_finish(&bench);
}
END_TEST

/* A disk that refuses: the token is good in memory, and the next one is stored again. */
START_TEST(the_disk_refuses)
{
	struct peer *peer;

	begin(1, true);
	peer = up(token_connect(V5, "a", 1000000, 0, NULL), false, 0);
	subscribe(peer, TOPIC, 0);
	expect_by_topic(peer, 1);
	bench.refuse_batches = 1;
	peer_send(peer, 0x82, "0007 00 000e '" TOPIC "' 00");
	expect(peer, 0x90, "0007 00 00");
	expect_by_topic(peer, 2);
	ck_assert_uint_eq(bench.refuse_batches, 0);
	peer_lose(peer);
	peer_lose(up(token_connect(V5, "a", 1000000, 2, NULL), true, 0));
	bench_restart(&bench);
	peer_lose(up(token_connect(V5, "a", 1000000, 2, NULL), true, 0));
	bench_finish(&bench);
}
END_TEST

/* Whoever may not be here any more, connected or away: EVENT_RIGHTS. */
static void loses_its_grant(uint32_t expiry_s, bool away)
{
	static struct bench_grant grant;
	struct event rights = {.type = EVENT_RIGHTS};
	struct peer *peer;

	begin(1, true);
	grant = (struct bench_grant){.bench = &bench};
	bench.grant = bench.next_grant = &grant.grant;
	peer = up(token_connect(V5, "a", expiry_s, 0, "1"), false, 1);
	bench_event(&bench, 0, &rights);
	expect_nothing(peer);
	if (away)
		peer_lose(peer);
	bench.next_grant = NULL;
	bench_event(&bench, 0, &rights);
	if (!away)
		expect_end(peer, MQTT_NOT_AUTHORIZED);
	bench.next_grant = &grant.grant;
	expect_refused(token_connect(V5, "a", expiry_s, 1, "1"));
	bench_restart(&bench);
	expect_refused(token_connect(V5, "a", expiry_s, 1, "1"));
	bench_finish(&bench);
}

START_TEST(it_ends_with_the_grant)
{
	loses_its_grant(0, false);
	loses_its_grant(1000000, false);
	loses_its_grant(1000000, true);
}
END_TEST

/* An identity that is gone takes them along: of its sessions, and of those that have ended. */
START_TEST(it_ends_with_the_identity)
{
	static struct bench_grant grant;
	struct event expel = {.type = EVENT_EXPEL, .owner = 77};

	begin(1, true);
	grant = (struct bench_grant){.grant = {.owner = 77}, .bench = &bench};
	bench.grant = &grant.grant;
	peer_lose(up(token_connect(V5, "ended", 0, 0, "1"), false, 1));
	peer_lose(up(token_connect(V5, "away", 1000000, 0, "1"), false, 2));
	bench.grant = NULL;
	peer_lose(up(token_connect(V5, "other", 0, 0, "1"), false, 3));
	bench_event(&bench, 0, &expel);
	expect_refused(token_connect(V5, "ended", 0, 1, NULL));
	expect_refused(token_connect(V5, "away", 0, 2, NULL));
	up(token_connect(V5, "other", 0, 3, "1"), false, 0);
	bench_finish(&bench);
}
END_TEST

static bool may_log_in(struct auth *auth, uint64_t owner)
{
	(void)auth;
	return owner != 77;
}

/* An owner that may not log in for a while, when no session of it is there, or nobody came back
 * yet. */
START_TEST(it_ends_with_the_right_to_log_in)
{
	static struct bench_grant grant;
	struct event rights = {.type = EVENT_RIGHTS};

	begin(1, true);
	grant = (struct bench_grant){.grant = {.owner = 77}, .bench = &bench};
	bench.grant = bench.next_grant = &grant.grant;
	peer_lose(up(token_connect(V5, "away", 1000000, 0, "1"), false, 1));
	bench_restart(&bench);
	peer_lose(up(token_connect(V5, "ended", 0, 0, "1"), false, 2));
	bench_event(&bench, 0, &rights);
	peer_lose(up(token_connect(V5, "ended", 0, 2, NULL), false, 0));
	bench.auth.may_log_in = may_log_in;
	bench_event(&bench, 0, &rights);
	bench.auth.may_log_in = NULL;
	expect_refused(token_connect(V5, "ended", 0, 2, NULL));
	expect_refused(token_connect(V5, "away", 1000000, 1, NULL));
	bench_restart(&bench);
	expect_refused(token_connect(V5, "away", 1000000, 1, NULL));
	bench_finish(&bench);
}
END_TEST

/* ---- topics below $metrino/ ---- */

START_TEST(filters)
{
	static const char *const cases[] = {"$metrino/#",
					    "$metrino/+",
					    "$metrino/",
					    "$metrino/other",
					    "$metrino/token/",
					    "$metrino/token/#",
					    "$share/g/$metrino/token",
					    "$share/g/$metrino/#"};
	struct peer *peer;

	begin(1, false);
	peer = up(token_connect(V5, "a", 0, 0, NULL), false, 0);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char body[100];

		snprintf(body, sizeof body, "0001 00 00%02x '%s' 00", (unsigned)strlen(cases[i]),
			 cases[i]);
		peer_send(peer, 0x82, body);
		expect(peer, 0x90, "0001 00 8f");
	}
	subscribe(peer, "$metrino", 0); /* is a topic like others that begin with '$' */
	subscribe(peer, "$metrinos/#", 0);
	bench_finish(&bench);
}
END_TEST

/* What somebody publishes there goes nowhere, not even to who publishes it; and none is asked. */
START_TEST(publishing_goes_nowhere)
{
	static struct bench_grant nothing;
	struct peer *all, *peer;

	begin(2, false);
	all = up(token_connect(V5, bench_name(&bench, 0, "all"), 0, 0, NULL), false, 0);
	subscribe(all, "#", 2);
	subscribe(all, "+/+", 2);
	subscribe(all, "+/token", 2);
	subscribe(all, TOPIC, 0);
	expect_by_topic(all, 1);
	nothing = (struct bench_grant){.grant = {.restricted = true},
				       .bench = &bench,
				       .read = slice_text("none"),
				       .write = slice_text("none")};
	bench.grant = &nothing.grant;
	peer = up(token_connect(V5, bench_name(&bench, 1, "peer"), 0, 0, NULL), false, 0);
	subscribe(peer, TOPIC, 0);
	expect_by_topic(peer, 2);
	peer_publish(peer, QOS(0), 0, TOPIC, "", "x");
	peer_publish(peer, QOS(1) | RETAIN, 1, TOPIC, "", "x");
	expect(peer, 0x40, "0001");
	peer_publish(peer, QOS(2), 2, "$metrino/me/export", "", "x");
	expect(peer, 0x50, "0002 87"); /* no account: own_request.h */
	peer_publish(peer, QOS(2), 3, "$metrino/other", "", "x");
	expect(peer, 0x50, "0003");
	peer_send(peer, 0x62, "0003");
	expect(peer, 0x70, "0003");
	expect_nothing(peer);
	expect_nothing(all);
	ck_assert_uint_eq(counted(&bench, DROPPED_DOLLAR), 3);
	ck_assert_uint_eq(counted(&bench, RETAINED), 0);
	ck_assert_uint_eq(bench.questions, 0);
	bench_finish(&bench);
}
END_TEST

Suite *shard_token_suite(void)
{
	const TTest *const tests[] = {
	    who_asks_in_connect,
	    who_subscribes,
	    who_may_not_is_told,
	    no_token_on_a_link_that_others_read,
	    a_client_that_takes_small_packets,
	    it_is_the_password,
	    a_new_one_when_it_is_old,
	    a_new_one_while_connected,
	    a_clock_that_was_set_back,
	    sessions_without_expiry,
	    a_take_over_keeps_it,
	    clean_start,
	    it_expires_with_the_session,
	    it_is_stored_with_the_session,
	    one_write_at_a_time,
	    the_disk_refuses,
	    it_ends_with_the_grant,
	    it_ends_with_the_identity,
	    it_ends_with_the_right_to_log_in,
	    filters,
	    publishing_goes_nowhere,
	};

	return suite_of("shard_token", tests, COUNT_OF(tests));
}
