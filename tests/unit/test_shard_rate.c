/* How fast a client may publish: pauses in reading, and the end of who sends far too much. */
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

Suite *shard_rate_suite(void)
{
	const TTest *const tests[] = {pauses_who_is_too_fast, lets_be_who_keeps_the_rate,
				      a_pause_is_no_silence,  a_pause_is_no_silence_of_a_subscriber,
				      pause_follows_on_pause, ends_who_sends_far_too_much};

	return suite_of("shard_rate", tests, COUNT_OF(tests));
}
