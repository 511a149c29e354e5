/* Sessions and a clock that was set back while there was no broker: what is restored ages all the
 * same.  And shards of which one has looked at the clock later than the other. */
#include "tests/unit/shard_bench.h"

#define V5 MQTT_VERSION_5_0

enum { EXPIRY_S = 100, BACK_S = 5000 };

static struct bench bench;

static struct mqtt_connect lasting(const char *id)
{
	struct mqtt_connect connect = connect_of(V5, id, true);

	mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	connect.properties.session_expiry_s = EXPIRY_S;
	return connect;
}

/* One that went and one that stayed; then the broker dies, and the clock goes back. */
static void begin(void)
{
	struct mqtt_connect gone = lasting("gone"), here = lasting("here");

	bench_init(&bench, 1);
	bench.durable = true;
	bench_start(&bench);
	peer_lose(come_up(&bench, 0, &gone, false));
	come_up(&bench, 0, &here, false);
	bench_pass_ms(&bench, 10000);
	bench.known_s = bench.now.wall_s + 60;
	bench.now.wall_s -= BACK_S;
}

START_TEST(known_time_counts)
{
	begin();
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 2);
	bench_pass_ms(&bench, 28000); /* 98 s since it went */
	ck_assert_uint_eq(counted(&bench, SESSIONS), 2);
	bench_pass_ms(&bench, 4000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_pass_ms(&bench, 66000); /* 98 s since the restart, for who was connected then */
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_pass_ms(&bench, 4000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* Once more: that it went so long ago is not forgotten, and no second chance either. */
START_TEST(known_time_counts_again)
{
	begin();
	bench_restart(&bench);
	bench_pass_ms(&bench, 10000);
	bench.known_s += 25;
	bench_restart(&bench);
	bench_pass_ms(&bench, 4000); /* 99 s since the first one went */
	ck_assert_uint_eq(counted(&bench, SESSIONS), 2);
	bench_pass_ms(&bench, 4000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_finish(&bench);
}
END_TEST

/* Who goes while the clock is still behind has all of its time, too: 100 s, not what is left of
 * them when the hours are taken off that the clock lacks. */
START_TEST(gone_since_the_clock_went_back)
{
	struct mqtt_connect connect = connect_lasting(V5, "here", EXPIRY_S);

	struct peer *peer;

	begin();
	bench_restart(&bench);
	peer = come_up(&bench, 0, &connect, true);
	bench_pass_ms(&bench, 20000);
	peer_lose(peer);
	bench_pass_ms(&bench, 40000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench.known_s += 60;
	bench_restart(&bench);
	bench_pass_ms(&bench, 58000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_pass_ms(&bench, 4000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* The same where there was no session at the start. */
START_TEST(new_since_the_clock_went_back)
{
	struct mqtt_connect connect = connect_lasting(V5, "new", EXPIRY_S);

	bench_init(&bench, 1);
	bench.durable = true;
	bench.known_s = bench.now.wall_s + BACK_S;
	bench_start(&bench);
	peer_lose(come_up(&bench, 0, &connect, false));
	bench_pass_ms(&bench, 40000);
	bench.known_s += 40;
	bench_restart(&bench);
	bench_pass_ms(&bench, 58000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_pass_ms(&bench, 4000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* One that went while the clock was a day ahead: its time begins with the first start that knows
 * better, and not again with each. */
START_TEST(gone_tomorrow)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", EXPIRY_S);

	bench_init(&bench, 1);
	bench.durable = true;
	bench_start(&bench);
	bench.now.wall_s += 86400;
	peer_lose(come_up(&bench, 0, &connect, false));
	bench_pass_ms(&bench, 10000);
	bench.now.wall_s -= 86400;
	bench_restart(&bench);
	bench_pass_ms(&bench, 40000);
	bench_restart(&bench);
	bench_pass_ms(&bench, 58000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_pass_ms(&bench, 4000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* A clock that is right is believed. */
START_TEST(less_is_known_than_the_clock_says)
{
	begin();
	bench.now.wall_s += BACK_S + 60;
	bench.known_s = bench.now.wall_s - 3600;
	bench_restart(&bench);
	bench_pass_ms(&bench, 28000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 2);
	bench_pass_ms(&bench, 4000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_finish(&bench);
}
END_TEST

/* No PUBLISH says more than was said to us, and nothing wraps, wherever the message was: in a
 * bundle, in mail of its own, kept as a retained one, in a queue. [MQTT-3.3.2-6] */
START_TEST(expiry_does_not_grow_on_the_way)
{
	static char large[2000];
	struct mqtt_connect connect;
	struct peer *from, *to, *late;

	memset(large, 'x', sizeof(large) - 1);
	bench_begin(&bench, 2);
	connect = connect_of(V5, bench_name(&bench, 1, "from"), true);
	from = come_up(&bench, 1, &connect, false);
	connect = connect_of(V5, bench_name(&bench, 0, "to"), true);
	mqtt_set(&connect.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	connect.properties.receive_maximum = 1;
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "t/#", 1);
	const char *kept = bench_name(&bench, 0, "kept/");
	bench.hold_mail = true;
	bench.now.ms += 7; /* for who publishes; the others look later */
	peer_publish(from, QOS(1), 1, "t/small", "02 0000000A", "x");
	peer_publish(from, 0, 0, "t/ever", "02 FFFFFFFF", "x");
	peer_publish(from, 0, 0, "t/large", "02 0000000A", large);
	peer_publish(from, QOS(1), 2, "t/queued", "02 FFFFFFFF", "x");
	peer_publish(from, RETAIN, 0, kept, "02 FFFFFFFF", "x");
	bench.now.ms -= 7;
	bench.hold_mail = false;
	bench_settle(&bench);
	expect_publish(to, QOS(1), 1, "t/small", "02 0000000A", "x");
	expect_publish(to, 0, 0, "t/ever", "02 FFFFFFFF", "x");
	expect_publish(to, 0, 0, "t/large", "02 0000000A", large);
	peer_send(to, 0x40, "0001");
	expect_publish(to, QOS(1), 2, "t/queued", "02 FFFFFFFF", "x");
	late = new_peer(&bench, V5, "late");
	subscribe(late, kept, 0);
	expect_publish(late, RETAIN, 0, kept, "02 FFFFFFFF", "x");
	bench_finish(&bench);
}
END_TEST

Suite *shard_clock_suite(void);
Suite *shard_clock_suite(void)
{
	const TTest *tests[] = {known_time_counts,
				known_time_counts_again,
				gone_since_the_clock_went_back,
				new_since_the_clock_went_back,
				gone_tomorrow,
				less_is_known_than_the_clock_says,
				expiry_does_not_grow_on_the_way};

	return suite_of("shard_clock", tests, COUNT_OF(tests));
}
