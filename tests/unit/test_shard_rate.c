/* How fast a client may publish: pauses in reading, and the end of who sends far too much. */
#include "broker/core/habit.h"
#include "tests/unit/shard_bench.h"

static struct bench bench;

static struct peer *publisher(enum mqtt_version version, uint32_t messages, uint32_t bytes)
{
	bench_init(&bench, 1);
	bench.settings.rate_publish_messages = messages;
	bench.settings.rate_publish_bytes = bytes;
	bench_start(&bench);
	return new_peer(&bench, version, "fast");
}

static void publish_some(struct peer *peer, int count)
{
	for (int i = 0; i < count; i++)
		peer_publish(peer, QOS(0), 0, "t", "", "x");
}

/* Ten may come at once; the eleventh is taken, and then there is a pause. */
START_TEST(pauses_who_is_too_fast)
{
	struct peer *peer = publisher(MQTT_VERSION_5_0, 10, UINT32_MAX);

	publish_some(peer, 10);
	ck_assert(peer->reading);
	publish_some(peer, 1);
	ck_assert(!peer->reading);
	publish_some(peer, 1); /* was on its way */
	ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), 11);
	bench_pass_ms(&bench, 99);
	ck_assert(!peer->reading);
	bench_pass_ms(&bench, 2);
	ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), 12);
	ck_assert(!peer->reading); /* that was one too many again */
	bench_pass_ms(&bench, 200);
	ck_assert(peer->reading);
	ck_assert_uint_eq(counted(&bench, RATE_PAUSES), 2);
	/* Another client has a rate of its own; so has the next one of this number. */
	publish_some(new_peer(&bench, MQTT_VERSION_3_1_1, "other"), 10);
	ck_assert_uint_eq(counted(&bench, RATE_PAUSES), 2);
	bench_finish(&bench);
}
END_TEST

/* Who keeps its rate is never paused. */
START_TEST(lets_be_who_keeps_the_rate)
{
	struct peer *peer = publisher(MQTT_VERSION_3_1_1, 10, 1000);

	for (int i = 0; i < 100; i++) {
		publish_some(peer, 1);
		ck_assert(peer->reading);
		bench_pass_ms(&bench, 100);
	}
	ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), 100);
	bench_finish(&bench);
}
END_TEST

/* The keep alive stands still meanwhile, and goes on afterwards. */
START_TEST(a_pause_is_no_silence)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_3_1_1, "kept", true);
	struct peer *peer = publisher(MQTT_VERSION_5_0, UINT32_MAX, 1);

	connect.keep_alive_s = 2;
	peer = come_up(&bench, 0, &connect, false);
	peer_publish(peer, QOS(0), 0, "t", "", "12345678");
	ck_assert(!peer->reading);
	bench_pass_ms(&bench, 6900);
	ck_assert(!peer->reading && peer->open);
	bench_pass_ms(&bench, 200);
	ck_assert(peer->reading && peer->open);
	bench_pass_ms(&bench, 2500);
	ck_assert(peer->open);
	bench_pass_ms(&bench, 1000);
	expect_closed(peer);
	ck_assert_uint_eq(counted(&bench, KEEPALIVE_TIMEOUTS), 1);
	bench_finish(&bench);
}
END_TEST

/* Nor when something is sent to it meanwhile. */
START_TEST(a_pause_is_no_silence_of_a_subscriber)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_3_1_1, "kept", true);
	struct peer *other = publisher(MQTT_VERSION_5_0, UINT32_MAX, 1), *peer;

	connect.keep_alive_s = 2;
	peer = come_up(&bench, 0, &connect, false);
	subscribe(peer, "s", 0);
	peer_publish(peer, QOS(0), 0, "t", "", "12345678");
	ck_assert(!peer->reading);
	bench_pass_ms(&bench, 1000);
	peer_publish(other, QOS(0), 0, "s", "", "x");
	expect_publish(peer, QOS(0), 0, "s", "", "x");
	bench_pass_ms(&bench, 6100);
	ck_assert(peer->reading && peer->open);
	bench_pass_ms(&bench, 2500);
	ck_assert(peer->open);
	bench_pass_ms(&bench, 1000);
	expect_closed(peer);
	bench_finish(&bench);
}
END_TEST

/* What came in one read is taken at the rate, also from a client with a keep alive. */
START_TEST(pause_follows_on_pause)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_3_1_1, "kept", true);
	struct peer *peer = publisher(MQTT_VERSION_5_0, 10, UINT32_MAX);

	connect.keep_alive_s = 60;
	peer = come_up(&bench, 0, &connect, false);
	publish_some(peer, 15);
	ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), 11);
	for (unsigned taken = 12; taken <= 15; taken++) {
		bench_pass_ms(&bench, 101);
		ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), taken);
	}
	bench_pass_ms(&bench, 101);
	ck_assert(peer->reading);
	bench_pass_ms(&bench, 89000);
	ck_assert(peer->open);
	bench_pass_ms(&bench, 2000);
	expect_closed(peer);
	bench_finish(&bench);
}
END_TEST

START_TEST(ends_who_sends_far_too_much)
{
	struct peer *five = publisher(MQTT_VERSION_5_0, UINT32_MAX, 1);
	struct peer *four = new_peer(&bench, MQTT_VERSION_3_1_1, "four");

	peer_publish(five, QOS(1), 1, "t", "", "123456789012");
	expect_end(five, 0x96);
	peer_publish(four, QOS(1), 1, "t", "", "123456789012");
	expect_end(four, 0x96);
	ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), 0);
	bench_finish(&bench);
}
END_TEST

/* Who is not taken does not count, so a smaller one may follow at once. */
START_TEST(what_is_refused_does_not_count)
{
	struct peer *peer = publisher(MQTT_VERSION_5_0, UINT32_MAX, 100);

	for (int i = 0; i < 20; i++) {
		struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, "fast", true);
		char payload[1200];

		memset(payload, 'x', sizeof payload - 1);
		payload[sizeof payload - 1] = '\0';
		peer_publish(peer, QOS(0), 0, "t", "", payload);
		expect_end(peer, 0x96);
		peer = come_up(&bench, 0, &connect, false);
	}
	publish_some(peer, 1);
	ck_assert(peer->reading);
	ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), 1);
	bench_finish(&bench);
}
END_TEST

/* 0: the connection is lost; 1: it is taken over. */
START_TEST(a_new_connection_has_the_rate_of_the_last)
{
	struct peer *peer = publisher(MQTT_VERSION_3_1_1, 10, UINT32_MAX), *other;
	struct mqtt_connect connect = connect_of(MQTT_VERSION_3_1_1, "fast", true);

	publish_some(peer, 11);
	ck_assert(!peer->reading);
	if (_i == 0)
		peer_lose(peer);
	else
		peer->reading = true;
	peer = come_up(&bench, 0, &connect, false);
	publish_some(peer, 1);
	ck_assert(!peer->reading);
	ck_assert_uint_eq(counted(&bench, RATE_PAUSES), 2);
	/* Somebody else's is another one. */
	other = new_peer(&bench, MQTT_VERSION_3_1_1, "other");
	publish_some(other, 10);
	ck_assert(other->reading);
	/* And it is forgotten when it is worth nothing any more. */
	peer_lose(peer);
	bench_pass_ms(&bench, 2000);
	peer = come_up(&bench, 0, &connect, false);
	publish_some(peer, 10);
	ck_assert(peer->reading);
	bench_finish(&bench);
}
END_TEST

/* However many there are, no more is remembered than there is room for; the worst longest. */
START_TEST(many_clients_do_not_wash_it_away)
{
	static struct shard shard;
	size_t kept = 0;

	shard.now.ms = 1000;
	const uint64_t fast = habit_key(&shard, 1, SLICE_LITERAL("fast"));

	habit_keep(&shard, &(struct habit){.key = fast, .messages_us = 1000000});
	ck_assert_ptr_null(shard.habits); /* worth nothing: nothing is kept, and no memory needed */
	habit_keep(&shard, &(struct habit){.key = fast, .messages_us = 9000000});
	for (unsigned i = 0; i < 3 * HABITS; i++) {
		struct slice id = slice_of(&i, sizeof i);

		habit_keep(&shard, &(struct habit){.key = habit_key(&shard, 1, id),
						   .connects_us = 2000000 + i});
	}
	ck_assert_uint_eq(habit_of(&shard, fast).messages_us, 9000000);
	for (unsigned i = 0; i < 3 * HABITS; i++)
		kept +=
		    habit_of(&shard, habit_key(&shard, 1, slice_of(&i, sizeof i))).connects_us > 0;
	ck_assert_uint_eq(kept, HABITS - 1);
	memory_free(shard.habits);
}
END_TEST

static struct peer *come_again(enum mqtt_version version, const char *id, uint8_t answer)
{
	struct mqtt_connect connect = connect_of(version, id, true);
	struct peer *peer;

	if (answer == 0)
		return come_up(&bench, 0, &connect, false);
	peer = peer_open(&bench, 0, version);
	peer_connect(peer, &connect);
	expect_connack(peer, answer);
	expect_closed(peer);
	return NULL;
}

/* 0x9F, or 3 for those before 5.0; the others go on, and who waits may come again. */
START_TEST(who_comes_too_often_is_refused)
{
	bench_init(&bench, 1);
	bench.settings.rate_reconnect = 6;
	bench_start(&bench);
	struct peer *peer = NULL;

	for (int i = 0; i < 6; i++) {
		peer = come_again(MQTT_VERSION_5_0, "flaps", 0);
		if (i < 5)
			peer_lose(peer);
	}
	come_again(MQTT_VERSION_5_0, "flaps", 0x9f);
	come_again(MQTT_VERSION_3_1_1, "flaps", 3);
	ck_assert(peer->open); /* it is not taken over by who is refused */
	ck_assert_uint_eq(counted(&bench, FLAPPING), 2);
	peer_lose(come_again(MQTT_VERSION_5_0, "other", 0));
	bench_pass_ms(&bench, 10000);
	peer_lose(come_again(MQTT_VERSION_5_0, "flaps", 0));
	come_again(MQTT_VERSION_5_0, "flaps", 0x9f);
	bench_pass_ms(&bench, 60000);
	for (int i = 0; i < 6; i++)
		peer_lose(come_again(MQTT_VERSION_5_0, "flaps", 0));
	bench_finish(&bench);
}
END_TEST

static struct auth_visit visits[8];
static unsigned visited;
static bool let_in;

static bool comes(struct auth *auth, const struct auth_visit *visit, struct auth_answer *answer)
{
	(void)auth;
	visits[visited++ % COUNT_OF(visits)] = *visit;
	answer->reason = MQTT_BANNED;
	answer->text = "not today";
	return let_in;
}

/* `proved`: by the transport. */
static void come_proved(const char *id, const char *user, const struct identity *proved,
			bool welcome)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, id, true);
	struct peer *peer = peer_open(&bench, 0, MQTT_VERSION_5_0);

	peer->identity = proved;
	if (user) {
		connect.has_user_name = true;
		connect.user_name = slice_text(user);
	}
	let_in = welcome;
	peer_connect(peer, &connect);
	expect_connack(peer, welcome ? 0 : 0x8a);
	if (welcome)
		peer_lose(peer);
	else
		expect_closed(peer);
}

/* By a password: its grant says whose sessions are. */
static void come_as(const char *id, const char *user, bool welcome)
{
	static struct bench_grant proofs[2];

	for (size_t i = 0; i < COUNT_OF(proofs); i++)
		proofs[i] = (struct bench_grant){.grant = {.owner = 5 + i}, .bench = &bench};
	bench.grant = user ? &proofs[strcmp(user, "bob") == 0].grant : NULL;
	come_proved(id, user, NULL, welcome);
	bench.grant = NULL;
}

/*
 * Whoever answers for a client hears of each time that it comes, and whether that is too soon: by
 * one number for each client identifier and user together, so that nobody spends another's.
 */
START_TEST(who_comes_is_told)
{
	static const struct identity cert = {.kind = IDENTITY_CERTIFICATE,
					     .name = {(const uint8_t *)"bob", 3}};

	bench_init(&bench, 1);
	bench.settings.rate_reconnect = 1;
	bench.auth.comes = comes;
	bench_start(&bench);
	visited = 0;
	come_as("x", NULL, true);
	come_as("x", NULL, false);
	come_as("x", "bob", true);
	come_as("x", "eve", true);
	come_as("x", "", true);
	come_as("y", "bob", false);
	come_proved("x", "eve", &cert, true);
	come_as("x", "bob", true);
	ck_assert_uint_eq(visited, 8);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(visits[i].too_soon, i == 1 || i == 7);
	ck_assert_uint_eq(visits[0].client, visits[1].client);
	ck_assert_uint_eq(visits[2].client, visits[7].client);
	for (unsigned i = 1; i < 7; i++)
		for (unsigned k = 1; k < i; k++)
			ck_assert_uint_ne(visits[i].client, visits[k].client);
	ck_assert_uint_eq(counted(&bench, FLAPPING), 2);
	bench_finish(&bench);
}
END_TEST

static uint8_t from;

static bool address_of_link(struct auth *auth, uint32_t link, uint8_t address[AUTH_ADDRESS_SIZE])
{
	(void)auth;
	(void)link;
	memset(address, 0, AUTH_ADDRESS_SIZE);
	address[AUTH_ADDRESS_SIZE - 1] = from;
	return from != 0;
}

/* A name that nobody proved is none: another one each time does not help, another address does. */
START_TEST(a_name_that_is_not_proved_does_not_count)
{
	const char *const names[] = {"bob", "eve", "", NULL};

	bench_init(&bench, 1);
	bench.settings.rate_reconnect = 2;
	bench.auth.comes = comes;
	bench_start(&bench);
	bench.auth.address = address_of_link;
	visited = 0;
	for (from = 0; from < 2; from++)
		for (unsigned i = 0; i < COUNT_OF(names); i++)
			come_proved("x", names[i], NULL, i < 2);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_eq(visits[i].too_soon, i % 4 >= 2);
		ck_assert_uint_eq(visits[i].client, visits[i / 4 * 4].client);
	}
	ck_assert_uint_ne(visits[0].client, visits[4].client);
	come_as("x", "bob", true);
	ck_assert(!visits[0].too_soon); /* who is proved to be bob is another one */
	bench_finish(&bench);
}
END_TEST

/* Whoever the broker has no room for, and who tries again and again, does not connect too often. */
START_TEST(who_finds_no_room_is_not_counted)
{
	bench_init(&bench, 1);
	bench.settings.rate_reconnect = 2;
	bench.settings.sessions_max = 1;
	bench_start(&bench);
	struct peer *first = come_again(MQTT_VERSION_5_0, "first", 0);

	for (int i = 0; i < 20; i++)
		come_again(MQTT_VERSION_5_0, "second", 0x97);
	ck_assert_uint_eq(counted(&bench, FLAPPING), 0);
	peer_lose(first);
	come_again(MQTT_VERSION_5_0, "second", 0);
	bench_finish(&bench);
}
END_TEST

/* Without a rate nobody is asked. */
START_TEST(nobody_is_told_without_a_rate)
{
	bench_init(&bench, 1);
	bench.auth.comes = comes;
	bench_start(&bench);
	visited = 0;
	for (int i = 0; i < 50; i++)
		come_as("x", "bob", true);
	ck_assert_uint_eq(visited, 0);
	bench_finish(&bench);
}
END_TEST

Suite *shard_rate_suite(void)
{
	const TTest *const tests[] = {
	    pauses_who_is_too_fast,	     lets_be_who_keeps_the_rate,
	    a_pause_is_no_silence,	     a_pause_is_no_silence_of_a_subscriber,
	    pause_follows_on_pause,	     ends_who_sends_far_too_much,
	    what_is_refused_does_not_count,  many_clients_do_not_wash_it_away,
	    who_comes_too_often_is_refused,  who_comes_is_told,
	    nobody_is_told_without_a_rate,   a_name_that_is_not_proved_does_not_count,
	    who_finds_no_room_is_not_counted};
	Suite *suite = suite_of("shard_rate", tests, COUNT_OF(tests));
	TCase *beyond = tcase_create("beyond a connection");

	tcase_add_loop_test(beyond, a_new_connection_has_the_rate_of_the_last, 0, 2);
	suite_add_tcase(suite, beyond);
	return suite;
}
