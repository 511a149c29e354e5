/*
 * Rows of sessions that the store refuses: what is told to nobody is tried again, and a CONNECT
 * that was refused leaves the session as it was.  MQTT 5.0 sections 3.1.2.11.2 and 4.1.
 */
#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V5 MQTT_VERSION_5_0

static void durable(void)
{
	bench_init(&bench, 1);
	bench.durable = true;
	bench_start(&bench);
}

/* A CONNECT that no CONNACK lets in: its connection is lost before, or the store refuses it. */
static void connect_in_vain(const struct mqtt_connect *connect, bool lost)
{
	struct peer *peer = peer_open(&bench, 0, V5);

	bench.hold_store = lost;
	bench.refuse_batches = !lost;
	peer_connect(peer, connect);
	if (lost)
		peer_lose(peer);
	else
		expect_connack(peer, MQTT_QUOTA_EXCEEDED);
}

/* Dies now; what is kept of it, with 100 s of which so many are over, lives on as long. */
static void expires_after(uint64_t gone_s)
{
	ck_assert_uint_lt(gone_s, 95);
	bench_restart(&bench);
	bench_pass_ms(&bench, (98 - gone_s) * 1000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_pass_ms(&bench, 4000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_finish(&bench);
}

/* That nobody is connected: else the time starts anew with each restart. */
START_TEST(absence)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	unsigned before;

	durable();
	peer_lose(come_up(&bench, 0, &connect, false));
	before = bench.batches;
	bench.refuse_batches = 3;
	bench_pass_ms(&bench, 19000);
	ck_assert_uint_eq(bench.batches - before, 3); /* a full disk is not asked all the time */
	bench_pass_ms(&bench, 11000);
	ck_assert_uint_eq(bench.batches - before, 4);
	expires_after(30);
}
END_TEST

/* The expiry that DISCONNECT named, likewise. */
START_TEST(expiry_of_disconnect)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 5000);
	struct peer *peer;

	durable();
	peer = come_up(&bench, 0, &connect, false);
	bench.refuse_batches = 1;
	peer_send(peer, 0xE0, "00 05 11 00000064");
	expect_closed(peer);
	bench_pass_ms(&bench, 30000);
	expires_after(30);
}
END_TEST

/* A CONNECT is refused when the row says `connected` already: it has to say that nobody is. */
START_TEST(connected_and_refused)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);

	durable();
	peer_lose(come_up(&bench, 0, &connect, false));
	connect.properties.session_expiry_s = 5000;
	connect_in_vain(&connect, false);
	bench_pass_ms(&bench, 30000);
	expires_after(30);
}
END_TEST

/* The first of two connections is refused its row, the second is not. */
START_TEST(refused_and_taken_over)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	struct peer *peer;

	durable();
	bench.hold_store = true;
	peer_connect(peer_open(&bench, 0, V5), &connect);
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	bench.refuse_batches = 1;
	bench.hold_store = false;
	bench_settle(&bench);
	expect_connack(peer, 0);
	peer_lose(peer);
	bench_pass_ms(&bench, 30000);
	expires_after(30);
}
END_TEST

/* It asked for no session from now on; but it was not let in, and comes back for the old one. */
START_TEST(refused_connect_ends_no_session)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	struct mqtt_connect brief = connect_of(V5, "a", false);
	struct peer *peer, *from;

	durable();
	peer = come_up(&bench, 0, &connect, false);
	subscribe(peer, "t", 1);
	peer_lose(peer);
	bench_pass_ms(&bench, 10000);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(1), 1, "t", "", "x");
	expect(from, 0x40, "0001");
	connect_in_vain(&brief, false);
	ck_assert_uint_eq(bench.refuse_batches, 0);
	peer = come_up(&bench, 0, &connect, true);
	expect_publish(peer, QOS(1), 1, "t", "", "x");
	bench_finish(&bench);
}
END_TEST

/* Nor does it give the session its time anew, here or in the store. */
START_TEST(refused_connect_prolongs_nothing)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);

	durable();
	peer_lose(come_up(&bench, 0, &connect, false));
	connect.properties.session_expiry_s = 5000;
	for (int i = 0; i < 2; i++) { /* refused, or lost before it is answered */
		bench_pass_ms(&bench, 30000);
		connect_in_vain(&connect, i == 1);
		bench_store_all(&bench);
	}
	bench.hold_store = false;
	bench_pass_ms(&bench, 10000);
	expires_after(70);
}
END_TEST

/* The will of the connection before waits on: nobody has come back. */
START_TEST(refused_connect_keeps_the_will)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 1000);
	struct peer *peer, *heir;

	durable();
	heir = new_peer(&bench, V5, "heir");
	subscribe(heir, "w", 0);
	connect.has_will = true;
	connect.will.topic = SLICE_LITERAL("w");
	connect.will.payload = SLICE_LITERAL("old");
	mqtt_set(&connect.will.properties, MQTT_PROPERTY_WILL_DELAY_INTERVAL);
	connect.will.properties.will_delay_s = 60;
	peer_lose(come_up(&bench, 0, &connect, false));
	bench_pass_ms(&bench, 10000);
	connect.will.payload = SLICE_LITERAL("new");
	connect_in_vain(&connect, false);
	ck_assert_uint_eq(counted(&bench, WILLS), 1);
	bench_pass_ms(&bench, 49000); /* and as long as it would have */
	expect_nothing(heir);
	bench_pass_ms(&bench, 2000);
	expect_publish(heir, QOS(0), 0, "w", "", "old");
	expect_nothing(heir);
	/* One that has come back has it no more. */
	peer = come_up(&bench, 0, &connect, true);
	peer_lose(peer);
	peer = come_up(&bench, 0, &connect, true);
	ck_assert_uint_eq(counted(&bench, WILLS), 1);
	bench_pass_ms(&bench, 100000);
	expect_nothing(heir);
	bench_finish(&bench);
}
END_TEST

/* It counts as connected since the crash, and does so still: nobody has come back. */
START_TEST(refused_connect_ends_no_grace)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 1000);
	struct peer *from;

	bench_init(&bench, 1);
	bench.durable = true;
	bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 1000;
	bench.settings.restart_grace_ms = 5000;
	bench_start(&bench);
	subscribe(come_up(&bench, 0, &connect, false), "t", 1);
	bench_restart(&bench);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(1), 1, "t", "", "x");
	connect.properties.session_expiry_s = 2000;
	for (int i = 0; i < 2; i++) { /* refused, or lost before it is answered */
		connect_in_vain(&connect, i == 1);
		bench_pass_ms(&bench, 2000);
		expect_nothing(from);
	}
	bench.hold_store = false;
	bench_pass_ms(&bench, 900);
	expect_nothing(from);
	bench_pass_ms(&bench, 200);
	expect(from, 0x40, "0001");
	bench_finish(&bench);
}
END_TEST

/* No CONNACK told of the session: one that comes then does not find it. */
START_TEST(not_present_before_connack)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 1000);
	struct peer *first, *second;

	for (unsigned lost = 0; lost < 2; lost++) {
		durable();
		bench.hold_store = true;
		first = peer_open(&bench, 0, V5);
		peer_connect(first, &connect);
		if (lost)
			peer_lose(first);
		second = peer_open(&bench, 0, V5);
		peer_connect(second, &connect);
		bench_store_all(&bench);
		ck_assert(!expect_connack(second, 0).session_present);
		bench.hold_store = false;
		bench_restart(&bench);
		ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
		come_up(&bench, 0, &connect, true);
		bench_finish(&bench);
	}
}
END_TEST

/* What was to be deleted in a second, when the broker has no second left. */
START_TEST(deletion_before_the_stop)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	struct event stop = {.type = EVENT_STOP};
	struct peer *peer;

	durable();
	peer = come_up(&bench, 0, &connect, false);
	subscribe(peer, "t", 1);
	peer_lose(peer);
	bench_pass_ms(&bench, 95000);
	bench.refuse_batches = 1;
	bench_pass_ms(&bench, 5100); /* it expires */
	ck_assert_uint_eq(bench.refuse_batches, 0);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_event(&bench, 0, &stop);
	ck_assert(shard_stopped(bench.shards[0]));
	bench.now.wall_s -= 1000; /* so that it would not expire again */
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	bench_finish(&bench);
}
END_TEST

Suite *store_refuses_suite(void);
Suite *store_refuses_suite(void)
{
	const TTest *tests[] = {
	    absence,
	    expiry_of_disconnect,
	    connected_and_refused,
	    refused_and_taken_over,
	    refused_connect_ends_no_session,
	    refused_connect_prolongs_nothing,
	    refused_connect_keeps_the_will,
	    refused_connect_ends_no_grace,
	    not_present_before_connack,
	    deletion_before_the_stop,
	};

	return suite_of("store_refuses", tests, COUNT_OF(tests));
}
