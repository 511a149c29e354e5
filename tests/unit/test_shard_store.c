/*
 * Sessions and the store: what is committed before it is acknowledged, what a store that refuses
 * does, what a restart brings back.  MQTT 5.0 sections 3.1.2 and 4.1.
 */
#include "storage/mem_store.h"
#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V3 MQTT_VERSION_3_1_1
#define V5 MQTT_VERSION_5_0

/* ---- store ---- */

static void durable(unsigned shards)
{
	bench_init(&bench, shards);
	bench.durable = true;
	bench_start(&bench);
}

/* CONNACK and SUBACK wait for the store; sessions without expiry do not ask it. */
START_TEST(waits_for_the_store)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	struct peer *peer, *from, *brief;

	durable(1);
	bench.hold_store = true;
	brief = new_peer(&bench, V5, "brief");
	subscribe(brief, "t", 0);
	ck_assert_ptr_null(bench.stored);
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	expect_nothing(peer);
	ck_assert(!peer->reading);
	bench.hold_store = false;
	bench_settle(&bench);
	expect_connack(peer, 0);
	ck_assert(peer->reading);
	bench.hold_store = true;
	peer_send(peer, 0x82, "0001 00 0001 't' 01");
	expect_nothing(peer);
	/* It is in force here already: messages may come before SUBACK (3.8.4). */
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(1), 1, "t", "", "x");
	expect_publish(peer, QOS(1), 1, "t", "", "x");
	bench.hold_store = false;
	bench_settle(&bench);
	expect(peer, 0x90, "0001 00 01");
	bench.hold_store = true;
	peer_send(peer, 0xA2, "0002 00 0001 't'");
	expect_nothing(peer);
	bench.hold_store = false;
	bench_settle(&bench);
	expect(peer, 0xB0, "0002 00 00");
	bench_finish(&bench);
}
END_TEST

/* Refused by the store: 0x97 or 0x03, and nothing of the session is left. */
START_TEST(store_refuses_connect)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	struct peer *peer;

	durable(1);
	bench.refuse_batches = 2;
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	expect_connack(peer, MQTT_QUOTA_EXCEEDED);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	connect = connect_of(V3, "a", false);
	peer = peer_open(&bench, 0, V3);
	peer_connect(peer, &connect);
	expect_connack(peer, 3);
	ck_assert_uint_eq(counted(&bench, STORE_FAILED), 2);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	come_up(&bench, 0, &connect, false);
	bench_finish(&bench);
}
END_TEST

/* A refused SUBSCRIBE leaves things as they were: a new filter is gone, an old one as before. */
START_TEST(store_refuses_subscribe)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	struct peer *peer;

	durable(1);
	peer = come_up(&bench, 0, &connect, false);
	subscribe_as(peer, "old", 1, 5);
	subscribe(peer, "$share/g/old", 1);
	bench.refuse_batches = 1;
	peer_send(peer, 0x82,
		  "0009 00 0003 'old' 02 0003 'new' 01 0002 '#a' 00 000C '$share/g/old' 02"
		  "000C '$share/g/new' 02");
	expect(peer, 0x90, "0009 00 97 97 8F 97 97");
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 2);
	peer_publish(peer, QOS(2), 1, "new", "", "x");
	expect(peer, 0x50, "0001");
	peer_send(peer, 0xA2, "000A 00 000C '$share/g/old'");
	expect(peer, 0xB0, "000A 00 00");
	peer_publish(peer, QOS(2), 2, "old", "", "x");
	expect(peer, 0x50, "0002");
	expect_publish(peer, QOS(1), 1, "old", "0B 05", "x");
	bench_finish(&bench);
}
END_TEST

START_TEST(store_refuses_subscribe_before_5)
{
	struct mqtt_connect connect = connect_of(V3, "a", false);
	struct peer *peer;

	durable(1);
	peer = come_up(&bench, 0, &connect, false);
	bench.refuse_batches = 1;
	peer_send(peer, 0x82, "0009 0001 't' 02");
	expect(peer, 0x90, "0009 80");
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* What is gone stays gone: deletions are tried again until they succeed. */
START_TEST(deletions_tried_again)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100), clean;
	struct peer *peer;

	durable(1);
	peer = come_up(&bench, 0, &connect, false);
	subscribe(peer, "t", 1);
	bench.refuse_batches = 1;
	peer_send(peer, 0xA2, "0002 00 0001 't'");
	expect(peer, 0xB0, "0002 00 80");
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	bench.refuse_batches = 3;
	bench_pass_ms(&bench, 2500);
	ck_assert_uint_eq(bench.refuse_batches, 1);
	bench_pass_ms(&bench, 2000);
	ck_assert_uint_eq(bench.refuse_batches, 0);
	peer_lose(peer);
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	/* The whole session likewise. */
	bench.refuse_batches = 1;
	clean = connect_of(V5, "a", true);
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &clean);
	expect_connack(peer, MQTT_QUOTA_EXCEEDED); /* the old one might come back yet */
	bench_pass_ms(&bench, 1100);
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* The client goes while the store has not answered: nothing is told to nobody. */
START_TEST(lost_while_storing)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	struct peer *peer;

	durable(1);
	bench.hold_store = true;
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	peer_lose(peer);
	bench.hold_store = false;
	bench_settle(&bench);
	peer = peer_open(&bench, 0, V5);
	peer_connect(peer, &connect);
	expect_connack(peer, 0);
	bench.hold_store = true;
	peer_send(peer, 0x82, "0001 00 0001 't' 01");
	peer_lose(peer);
	bench.hold_store = false;
	bench_settle(&bench);
	peer = come_up(&bench, 0, &connect, true);
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 1);
	bench.hold_store = true; /* the session ends while a SUBSCRIBE is under way */
	peer_send(peer, 0x82, "0002 00 0001 'u' 01");
	peer_send(peer, 0xE0, "00 05 11 00000000");
	bench.hold_store = false;
	bench_settle(&bench);
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* A connection that comes back at once writes nothing; one that stays away is noted. */
START_TEST(reconnects_cost_no_commit)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	struct peer *peer;
	unsigned before;

	durable(1);
	peer = come_up(&bench, 0, &connect, false);
	before = bench.batches;
	for (int i = 0; i < 5; i++) {
		peer_lose(peer);
		bench_pass_ms(&bench, 4900);
		peer = come_up(&bench, 0, &connect, true);
	}
	ck_assert_uint_eq(bench.batches, before);
	peer_lose(peer);
	bench_pass_ms(&bench, 5100);
	ck_assert_uint_eq(bench.batches, before + 1);
	bench_finish(&bench);
}
END_TEST

/* After a restart: sessions with what was left of their time, subscriptions, shared ones too, at
 * their homes. */
START_TEST(restored)
{
	struct mqtt_connect connects[2];
	struct peer *peer, *from;

	durable(3);
	for (unsigned i = 0; i < 2; i++) {
		connects[i] = connect_lasting(V5, bench_name(&bench, i + 1, "c"), 100);
		peer = come_up(&bench, 0, &connects[i], false);
		subscribe_as(peer, "t/+", 1, 9);
		subscribe(peer, "$share/g/s", 1);
	}
	bench_pass_ms(&bench, 7000);
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 2);
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 4);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(1), 1, "t/x", "", "x");
	expect(from, 0x40, "0001");
	peer = come_up(&bench, 1, &connects[0], true);
	expect_publish(peer, QOS(1), 1, "t/x", "0B 09", "x");
	peer_publish(from, QOS(1), 2, "s", "", "y");
	expect_publish(peer, QOS(1), 2, "s", "", "y");
	peer_send(peer, 0xA2, "0002 00 0003 't/+' 000A '$share/g/s'");
	expect(peer, 0xB0, "0002 00 00 00");
	/* The other one was connected when the broker went, and has 100 s from the start on. */
	bench_pass_ms(&bench, 99000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 3);
	bench_pass_ms(&bench, 2000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 2);
	bench_finish(&bench);
}
END_TEST

/* Expiry goes on while the broker is down. */
START_TEST(expires_while_down)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	struct peer *peer;

	durable(1);
	peer = come_up(&bench, 0, &connect, false);
	peer_lose(peer);
	bench_pass_ms(&bench, 10000);
	bench.now.wall_s += 60;
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_pass_ms(&bench, 28000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_pass_ms(&bench, 4000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* Before 5.0 "$share/..." that is no shared subscription is a filter like others, also after a
 * restart. */
START_TEST(restored_ordinary_share_filter)
{
	struct mqtt_connect connect = connect_of(V3, "old", false);
	struct peer *peer;

	durable(1);
	peer = come_up(&bench, 0, &connect, false);
	subscribe(peer, "$share/g", 0);
	subscribe(peer, "$share/+/#", 0);
	bench_restart(&bench);
	peer = come_up(&bench, 0, &connect, true);
	subscribe(peer, "other", 0);
	peer_send(peer, 0xA2, "0003 0008 '$share/g'");
	expect(peer, 0xB0, "0003");
	bench_finish(&bench);
}
END_TEST

/* EVENT_STOP notes at once who is no longer connected, and publishes no wills. */
START_TEST(stop_stores_absence)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	struct event stop = {.type = EVENT_STOP};
	struct peer *peer;

	connect.has_will = true;
	connect.will.topic = SLICE_LITERAL("w");
	durable(1);
	peer = come_up(&bench, 0, &connect, false);
	bench_pass_ms(&bench, 50000);
	bench.hold_store = true;
	bench_event(&bench, 0, &stop);
	expect_end(peer, MQTT_SERVER_SHUTTING_DOWN);
	ck_assert(!shard_stopped(bench.shards[0]));
	bench.hold_store = false;
	bench_settle(&bench);
	ck_assert(shard_stopped(bench.shards[0]));
	ck_assert_uint_eq(counted(&bench, WILLS_PUBLISHED), 0);
	bench.now.wall_s += 101;
	bench_restart(&bench);
	bench_pass_ms(&bench, 100);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_finish(&bench);
}
END_TEST

Suite *shard_store_suite(void)
{
	const TTest *tests[] = {
	    waits_for_the_store,       store_refuses_connect,
	    store_refuses_subscribe,   store_refuses_subscribe_before_5,
	    deletions_tried_again,     lost_while_storing,
	    reconnects_cost_no_commit, restored,
	    expires_while_down,	       restored_ordinary_share_filter,
	    stop_stores_absence,
	};

	return suite_of("shard_store", tests, COUNT_OF(tests));
}
