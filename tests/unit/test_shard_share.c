/*
 * Several shards: routes and barriers, messages across, shared subscriptions.  MQTT 5.0
 * sections 3.8.4 and 4.8.2.
 */
#include <stdio.h>

#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V5 MQTT_VERSION_5_0

/* A new client whose home is this shard; `name` makes it another one. */
static struct peer *peer_at(unsigned home, const char *name, int line)
{
	struct peer *peer = peer_new(&bench, V5, bench_name(&bench, home, name), line);

	ck_assert_uint_eq(peer->shard, home);
	return peer;
}
#define at(home, name) peer_at(home, name, __LINE__)

/* ---- routes ---- */

/* From every shard to every shard, once; nothing after UNSUBSCRIBE. */
START_TEST(across_shards)
{
	struct peer *peers[3];

	bench_begin(&bench, 3);
	for (unsigned i = 0; i < 3; i++) {
		peers[i] = at(i, "p");
		subscribe(peers[i], "t/+", 1);
	}
	for (unsigned i = 0; i < 3; i++) {
		peer_publish(peers[i], QOS(1), 1, "t/x", "", "m");
		for (unsigned to = 0; to < 3; to++)
			expect_publish(peers[to], QOS(1), (uint16_t)(i + 1), "t/x", "", "m");
		expect(peers[i], 0x40, "0001");
	}
	peer_send(peers[2], 0xA2, "0009 00 0003 't/+'");
	expect(peers[2], 0xB0, "0009 00 00");
	peer_publish(peers[0], QOS(1), 2, "t/y", "", "m");
	expect_publish(peers[0], QOS(1), 4, "t/y", "", "m");
	expect(peers[0], 0x40, "0002");
	expect_publish(peers[1], QOS(1), 4, "t/y", "", "m");
	expect_nothing(peers[2]);
	peer_send(peers[1], 0xA2, "0009 00 0003 't/+'");
	expect(peers[1], 0xB0, "0009 00 00");
	peer_send(peers[0], 0xA2, "0009 00 0003 't/+'");
	expect(peers[0], 0xB0, "0009 00 00");
	peer_publish(peers[2], QOS(1), 2, "t/y", "", "m");
	expect(peers[2], 0x40, "0002 10"); /* nobody is left */
	bench_finish(&bench);
}
END_TEST

/* No Local is about the session, wherever the message passed by. [MQTT-3.8.3-3] */
START_TEST(no_local_across_shards)
{
	struct peer *me, *same;

	bench_begin(&bench, 2);
	me = at(0, "p");
	same = at(1, "p"); /* has the same slot at its shard */
	subscribe(me, "t", 4);
	subscribe(same, "t", 4);
	peer_publish(me, 0, 0, "t", "", "x");
	expect_nothing(me);
	expect_publish(same, 0, 0, "t", "", "x");
	bench_finish(&bench);
}
END_TEST

/* SUBACK says that no shard misses a publish any more. */
START_TEST(suback_waits_for_barriers)
{
	struct peer *to, *second, *from;

	bench_begin(&bench, 3);
	to = at(0, "to");
	second = at(0, "second");
	from = at(2, "from");
	bench.hold_mail = true;
	peer_send(to, 0x82, "0001 00 0001 't' 01");
	expect_nothing(to);
	peer_send(second, 0x82, "0001 00 0001 't' 00"); /* the same barrier */
	expect_nothing(second);
	peer_send(second, 0x82, "0002 00 0001 'u' 00");
	bench.hold_mail = false;
	bench_settle(&bench);
	expect(to, 0x90, "0001 00 01");
	expect(second, 0x90, "0001 00 00");
	expect(second, 0x90, "0002 00 00");
	peer_publish(from, 0, 0, "t", "", "x");
	expect_publish(to, 0, 0, "t", "", "x");
	expect_publish(second, 0, 0, "t", "", "x");
	bench.hold_mail = true; /* known everywhere: at once */
	peer_send(second, 0x82, "0003 00 0001 't' 30");
	expect_end(second, MQTT_PROTOCOL_ERROR);
	peer_send(to, 0x82, "0003 00 0001 't' 20");
	expect(to, 0x90, "0003 00 00");
	bench.hold_mail = false;
	bench_finish(&bench);
}
END_TEST

/* In and out again while the first barrier is under way: the end is what was asked last. */
START_TEST(subscribed_in_a_hurry)
{
	struct peer *to, *from;

	bench_begin(&bench, 2);
	to = at(0, "to");
	from = at(1, "from");
	bench.hold_mail = true;
	peer_send(to, 0x82, "0001 00 0001 't' 01");
	peer_send(to, 0xA2, "0002 00 0001 't'");
	peer_send(to, 0x82, "0003 00 0001 't' 00");
	expect(to, 0xB0, "0002 00 00");
	expect_nothing(to);
	bench.hold_mail = false;
	bench_settle(&bench);
	ck_assert_uint_eq(to->in_len, 2 * 6);
	to->in_len = 0;
	peer_publish(from, 0, 0, "t", "", "x");
	expect_publish(to, 0, 0, "t", "", "x");
	expect_nothing(to);
	bench.hold_mail = true; /* the client is lost while its barrier is */
	peer_send(to, 0x82, "0004 00 0001 'u' 01");
	peer_lose(to);
	bench.hold_mail = false;
	bench_settle(&bench);
	peer_publish(from, QOS(1), 1, "u", "", "x");
	expect(from, 0x40, "0001 10");
	bench_finish(&bench);
}
END_TEST

/* A message expires on its way between shards, too. [MQTT-3.3.2-5] */
START_TEST(expires_in_the_mail)
{
	struct peer *to, *from;

	bench_begin(&bench, 2);
	to = at(0, "to");
	from = at(1, "from");
	subscribe(to, "t", 1);
	bench.hold_mail = true;
	peer_publish(from, QOS(1), 1, "t", "02 00000001", "x");
	bench_pass_ms(&bench, 2000);
	bench.hold_mail = false;
	bench_settle(&bench);
	expect_nothing(to);
	ck_assert_uint_eq(counted(&bench, DROPPED_EXPIRED), 1);
	bench_finish(&bench);
}
END_TEST

/* One whose interval is 0 has expired when it comes: with each QoS, here and on another shard. */
START_TEST(expired_at_once)
{
	struct peer *near, *far, *from;

	bench_begin(&bench, 2);
	near = at(0, "near");
	far = at(1, "far");
	from = at(0, "from");
	for (uint8_t qos = 0; qos < 3; qos++) {
		subscribe(near, "t", qos);
		subscribe(far, "t", qos);
		peer_publish(from, (uint8_t)QOS(qos), qos, "t", "02 00000000", "x");
		expect_nothing(near);
		expect_nothing(far);
	}
	ck_assert_uint_eq(counted(&bench, DROPPED_EXPIRED), 6);
	bench_finish(&bench);
}
END_TEST

/* Large payloads are shared by the shards, and let go by all. */
START_TEST(large_across_shards)
{
	static char payload[20001];
	struct peer *to[2], *from;

	bench_begin(&bench, 3);
	memset(payload, 'p', 20000);
	to[0] = at(1, "to");
	to[1] = at(2, "to");
	subscribe(to[0], "t", 2);
	subscribe(to[1], "t", 0);
	from = at(0, "from");
	peer_publish(from, QOS(2), 1, "t", "", payload);
	expect_publish(to[0], QOS(2), 1, "t", "", payload);
	expect_publish(to[1], 0, 0, "t", "", payload);
	bench_finish(&bench);
}
END_TEST

/* Whoever publishes to a shard, in whatever way, is known as the one who does:
 * shard_published_to(). */
START_TEST(publishers_known)
{
	const bool other[] = {false, true};
	const char *filter, *kept;
	char share[48];
	struct peer *member, *from;

	bench_begin(&bench, 2);
	filter = bench_name(&bench, 0, "g/t");
	kept = bench_name(&bench, 1, "kept");
	snprintf(share, sizeof share, "$share/%s", filter);
	member = at(1, "m");
	subscribe(member, share, 1);
	subscribe(member, "plain", 1);
	from = at(0, "from");
	bench.hold_mail = true;
	peer_publish(from, QOS(0), 0, "plain", "", "x");
	ck_assert(shard_published_to(bench.shards[0], other));
	peer_publish(from, QOS(0), 0, "nobody", "", "x");
	ck_assert(!shard_published_to(bench.shards[0], other));
	peer_publish(from, QOS(0), 0, filter + 2, "", "x");
	ck_assert(shard_published_to(bench.shards[0], other));
	peer_send(from, 0xC0, "");
	ck_assert(!shard_published_to(bench.shards[0], other));
	peer_publish(from, RETAIN, 0, kept, "", "x");
	ck_assert(shard_published_to(bench.shards[0], other));
	bench.hold_mail = false;
	bench_finish(&bench);
}
END_TEST

/* ---- shared subscriptions ---- */

/* [MQTT-4.8.2-4]: one copy for the group, in turn, whatever shard a member is at; other
 * subscriptions get theirs. */
START_TEST(shared_in_turn)
{
	struct peer *members[3], *plain, *from;

	for (unsigned home = 0; home < 3; home++) {
		const char *filter;
		char share[48];

		bench_begin(&bench, 3);
		filter = bench_name(&bench, home, "g/t");
		snprintf(share, sizeof share, "$share/%s", filter);
		for (unsigned i = 0; i < 3; i++) {
			members[i] = at(i, "m");
			subscribe_as(members[i], share, 1, i + 1);
		}
		plain = at(1, "plain");
		subscribe(plain, "#", 0);
		from = at(2, "from");
		for (uint16_t i = 0; i < 9; i++) {
			peer_publish(from, QOS(1), 1, filter + 2, "", "x");
			expect_publish(plain, 0, 0, filter + 2, "", "x");
		}
		for (unsigned i = 0; i < 3; i++)
			for (uint16_t id = 1; id <= 3; id++)
				expect_publish(members[i], QOS(1), id, filter + 2,
					       i == 0	? "0B 01"
					       : i == 1 ? "0B 02"
							: "0B 03",
					       "x");
		bench_finish(&bench);
	}
}
END_TEST

/* Of many members, as they come and go: each message to one that is there, in turn. */
START_TEST(shared_among_many)
{
	enum { MANY = 40 };
	struct mqtt_connect connects[MANY];
	struct peer *members[MANY], *from;

	bench_begin(&bench, 3);
	for (unsigned i = 0; i < MANY; i++) {
		char name[8];

		snprintf(name, sizeof name, "m%u-", i);
		connects[i] = connect_lasting(V5, bench_name(&bench, i % 3, name), 100);
		members[i] = come_up(&bench, 0, &connects[i], false);
		subscribe(members[i], "$share/g/t", 0);
	}
	from = at(2, "from");
	for (unsigned i = 0; i < MANY; i += 2)
		peer_lose(members[i]);
	for (unsigned i = 1; i < MANY; i += 4) {
		peer_send(members[i], 0xA2, "0009 00 000A '$share/g/t'");
		expect(members[i], 0xB0, "0009 00 00");
	}
	for (unsigned i = 3; i < MANY; i += 4)
		peer_publish(from, QOS(0), 0, "t", "", "x");
	for (unsigned i = 3; i < MANY; i += 4) /* those that stayed: one for each */
		expect_publish(members[i], QOS(0), 0, "t", "", "x");
	for (unsigned i = 3; i < MANY; i += 4)
		peer_lose(members[i]);
	members[8] = come_up(&bench, 0, &connects[8], true);
	for (unsigned i = 0; i < 3; i++)
		peer_publish(from, QOS(0), 0, "t", "", "y");
	for (unsigned i = 0; i < 3; i++)
		expect_publish(members[8], QOS(0), 0, "t", "", "y");
	for (unsigned i = 1; i < MANY; i += 4)
		expect_nothing(members[i]);
	bench_finish(&bench);
}
END_TEST

/* Away members are passed over; while all are away the group keeps the messages. */
START_TEST(shared_while_away)
{
	struct mqtt_connect a = {0}, b = {0};
	struct peer *pa, *pb, *from;

	bench_begin(&bench, 3);
	a = connect_lasting(V5, bench_name(&bench, 0, "a"), 100);
	b = connect_lasting(V5, bench_name(&bench, 1, "b"), 100);
	pa = come_up(&bench, 0, &a, false);
	pb = come_up(&bench, 0, &b, false);
	subscribe(pa, "$share/g/t", 1);
	subscribe(pb, "$share/g/t", 1);
	from = at(2, "from");
	peer_lose(pa);
	peer_publish(from, QOS(1), 1, "t", "", "1");
	peer_publish(from, QOS(1), 1, "t", "", "2");
	expect_publish(pb, QOS(1), 1, "t", "", "1");
	expect_publish(pb, QOS(1), 2, "t", "", "2");
	peer_send(pb, 0x40, "0001");
	peer_send(pb, 0x40, "0002");
	peer_lose(pb);
	peer_publish(from, QOS(1), 1, "t", "", "3");
	peer_publish(from, QOS(0), 0, "t", "", "zero");
	peer_publish(from, QOS(1), 1, "t", "", "4");
	ck_assert_uint_eq(counted(&bench, QUEUED), 2);
	pa = come_up(&bench, 0, &a, true);
	expect_publish(pa, QOS(1), 1, "t", "", "3");
	expect_publish(pa, QOS(1), 2, "t", "", "4");
	ck_assert_uint_eq(counted(&bench, QUEUED), 0);
	bench_finish(&bench);
}
END_TEST

/* "a", at shard 0, is a member with QoS 0 and has a row; `share` gets a name with this home. */
static struct peer *kept_member(unsigned home, char share[48], struct mqtt_connect *connect)
{
	bench_init(&bench, 2);
	bench.durable = true;
	bench_start(&bench);
	snprintf(share, 48, "$share/%s", bench_name(&bench, home, "g/t"));
	*connect = connect_lasting(V5, bench_name(&bench, 0, "a"), 100);
	struct peer *member = come_up(&bench, 0, connect, false);
	subscribe(member, share, 0);
	return member;
}

/* Whose CONNACK waits for the store takes nothing, or QoS 0 would be lost; nor what was on its way.
 */
START_TEST(shared_kept_until_connack)
{
	for (unsigned home = 0; home < 2; home++) {
		struct mqtt_connect connect;
		char share[48];
		struct peer *member = kept_member(home, share, &connect), *from = at(1, "from");
		bench.hold_mail = true;
		peer_publish(from, QOS(1), 1, share + 9, "", "1");
		peer_lose(member);
		bench_pass_ms(&bench, 6000); /* its row says so */
		bench.hold_store = true;
		member = peer_open(&bench, 0, V5);
		peer_connect(member, &connect);
		bench.hold_mail = false;
		bench_settle(&bench);
		peer_publish(from, QOS(1), 2, share + 9, "", "2");
		expect_nothing(member);
		bench_store_all(&bench);
		expect_connack(member, 0);
		expect_publish(member, 0, 0, share + 9, "", "1");
		expect_publish(member, 0, 0, share + 9, "", "2");
		ck_assert_uint_eq(counted(&bench, DROPPED_AWAY), 0);
		bench_finish(&bench);
	}
}
END_TEST

/* Nor does it when a SUBSCRIBE of the connection before is refused just then. */
START_TEST(shared_refused_before_connack)
{
	struct mqtt_connect connect;
	char share[48], body[80];
	struct peer *member = kept_member(1, share, &connect), *from = at(1, "from");

	snprintf(body, sizeof body, "0009 00 00 %02x '%s' 01", (unsigned)strlen(share), share);
	bench.hold_store = true;
	peer_send(member, 0x82, body);
	peer_lose(member);
	connect.properties.session_expiry_s = 200;
	member = peer_open(&bench, 0, V5);
	peer_connect(member, &connect);
	bench.refuse_batches = 1;
	bench_store_one(&bench);
	peer_publish(from, QOS(1), 1, share + 9, "", "x");
	expect(from, 0x40, "0001");
	expect_nothing(member);
	bench_store_all(&bench);
	expect_connack(member, 0);
	expect_publish(member, 0, 0, share + 9, "", "x");
	bench_finish(&bench);
}
END_TEST

/* [MQTT-4.8.2-5]: what was begun with QoS 2 stays with its member; QoS 1 not acknowledged and
 * what waits goes to others once the session ends. */
START_TEST(shared_member_ends)
{
	struct mqtt_connect a;
	struct peer *pa, *pb, *from;

	bench_begin(&bench, 3);
	a = connect_lasting(V5, bench_name(&bench, 0, "a"), 100);
	mqtt_set(&a.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	a.properties.receive_maximum = 2;
	pa = come_up(&bench, 0, &a, false);
	subscribe(pa, "$share/g/t", 2);
	from = at(2, "from");
	peer_publish(from, QOS(2), 1, "t", "", "two");
	peer_publish(from, QOS(1), 2, "t", "", "one");
	peer_publish(from, QOS(1), 3, "t", "", "waits");
	expect_publish(pa, QOS(2), 1, "t", "", "two");
	expect_publish(pa, QOS(1), 2, "t", "", "one");
	expect_nothing(pa);
	pb = at(1, "b");
	subscribe(pb, "$share/g/t", 2);
	peer_send(pa, 0xE0, "00 05 11 00000000");
	expect_publish(pb, QOS(1), 1, "t", "", "one");
	expect_publish(pb, QOS(1), 2, "t", "", "waits");
	expect_nothing(pb);
	bench_finish(&bench);
}
END_TEST

/* A message under way to a member that has just gone comes back and goes to another. */
START_TEST(shared_returns)
{
	struct peer *members[2], *from;
	char share[48];

	bench_begin(&bench, 3);
	snprintf(share, sizeof share, "$share/%s", bench_name(&bench, 2, "g/t"));
	members[0] = at(0, "m");
	members[1] = at(1, "m");
	subscribe(members[0], share, 1);
	subscribe(members[1], share, 1);
	from = at(2, "from");
	bench.hold_mail = true;
	peer_publish(from, QOS(1), 1, share + 9, "", "1");
	peer_publish(from, QOS(1), 1, share + 9, "", "2");
	peer_lose(members[0]);
	bench.hold_mail = false;
	bench_settle(&bench);
	expect_publish(members[1], QOS(1), 1, share + 9, "", "2");
	expect_publish(members[1], QOS(1), 2, share + 9, "", "1");
	expect_nothing(members[1]);
	bench_finish(&bench);
}
END_TEST

/* Likewise when the member has unsubscribed: it gets nothing after UNSUBACK. [MQTT-3.10.4-2] */
START_TEST(shared_unsubscribed)
{
	struct peer *members[2], *from;
	char share[48], body[64];

	bench_begin(&bench, 3);
	snprintf(share, sizeof share, "$share/%s", bench_name(&bench, 2, "g/t"));
	snprintf(body, sizeof body, "0009 00 00 %02x '%s'", (unsigned)strlen(share), share);
	members[0] = at(0, "m");
	members[1] = at(1, "m");
	subscribe(members[0], share, 1);
	subscribe(members[1], share, 1);
	from = at(2, "from");
	bench.hold_mail = true;
	peer_publish(from, QOS(1), 1, share + 9, "", "1");
	peer_publish(from, QOS(1), 1, share + 9, "", "2");
	peer_send(members[0], 0xA2, body);
	expect(members[0], 0xB0, "0009 00 00");
	bench.hold_mail = false;
	bench_settle(&bench);
	expect_nothing(members[0]);
	expect_publish(members[1], QOS(1), 1, share + 9, "", "2");
	expect_publish(members[1], QOS(1), 2, share + 9, "", "1");
	bench_finish(&bench);
}
END_TEST

/* A full queue of a group drops as queue_policy says, and the publisher of what goes gets on. */
START_TEST(shared_queue_full)
{
	for (int drop_old = 0; drop_old < 2; drop_old++) {
		struct mqtt_connect a;
		struct peer *peer, *from;

		bench_init(&bench, 2);
		bench.settings.max_queued_messages = 2;
		bench.settings.queue_policy = drop_old ? QUEUE_DROP_OLD : QUEUE_DROP_NEW;
		bench_start(&bench);
		a = connect_lasting(V5, bench_name(&bench, 0, "a"), 100);
		peer = come_up(&bench, 0, &a, false);
		subscribe(peer, "$share/g/t", 1);
		from = at(1, "from");
		peer_lose(peer);
		peer_publish(from, QOS(1), 1, "t", "", "1");
		peer_publish(from, QOS(1), 1, "t", "", "2");
		peer_publish(from, QOS(1), 1, "t", "", "3");
		ck_assert_uint_eq(counted(&bench, QUEUED), 2);
		ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 1);
		peer = come_up(&bench, 0, &a, true);
		expect_publish(peer, QOS(1), 1, "t", "", drop_old ? "2" : "1");
		expect_publish(peer, QOS(1), 2, "t", "", drop_old ? "3" : "2");
		expect_nothing(peer);
		ck_assert_uint_eq(counted(&bench, QUEUED_BYTES), 0);
		bench_finish(&bench);
	}
}
END_TEST

/* The last member takes the group and its queue along. */
START_TEST(shared_group_ends)
{
	struct mqtt_connect a;
	struct peer *peer, *from;

	bench_begin(&bench, 2);
	a = connect_lasting(V5, bench_name(&bench, 0, "a"), 100);
	peer = come_up(&bench, 0, &a, false);
	subscribe(peer, "$share/g/t", 1);
	subscribe(peer, "$share/h/t", 1);
	from = at(1, "from");
	peer_lose(peer);
	peer_publish(from, QOS(1), 1, "t", "", "x");
	expect(from, 0x40, "0001");
	ck_assert_uint_eq(counted(&bench, QUEUED), 2);
	bench_pass_ms(&bench, 101000);
	ck_assert_uint_eq(counted(&bench, QUEUED), 0);
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	peer_publish(from, QOS(1), 2, "t", "", "x");
	expect(from, 0x40, "0002 10");
	bench_finish(&bench);
}
END_TEST

/* SUBACK of a shared subscription waits for the group's home, and through it for all. */
START_TEST(shared_suback_waits)
{
	struct peer *to, *from;

	bench_begin(&bench, 3);
	to = at(0, "to");
	from = at(1, "from");
	bench.hold_mail = true;
	peer_send(to, 0x82, "0001 00 000A '$share/g/t' 01");
	expect_nothing(to);
	bench.hold_mail = false;
	bench_settle(&bench);
	expect(to, 0x90, "0001 00 01");
	peer_publish(from, QOS(1), 1, "t", "", "x");
	expect_publish(to, QOS(1), 1, "t", "", "x");
	bench_finish(&bench);
}
END_TEST

Suite *shard_share_suite(void)
{
	const TTest *tests[] = {
	    across_shards,
	    no_local_across_shards,
	    suback_waits_for_barriers,
	    subscribed_in_a_hurry,
	    expires_in_the_mail,
	    large_across_shards,
	    shared_in_turn,
	    shared_among_many,
	    shared_while_away,
	    shared_member_ends,
	    shared_returns,
	    shared_group_ends,
	    shared_suback_waits,
	    shared_unsubscribed,
	    shared_queue_full,
	    publishers_known,
	    expired_at_once,
	    shared_kept_until_connack,
	    shared_refused_before_connack,
	};

	return suite_of("shard_share", tests, COUNT_OF(tests));
}
