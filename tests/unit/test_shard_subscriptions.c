/*
 * Which subscriptions of one session get a message, and what of it: overlapping ones, identifiers,
 * no local, subscribed again, `$` topics.  MQTT 5.0 sections 3.3.4, 3.8.3 and 4.7.2.
 */
#include "tests/unit/shard_bench.h"
#include <stdio.h>

static struct bench bench;

#define V3 MQTT_VERSION_3_1_1
#define V5 MQTT_VERSION_5_0

/* ---- which subscriptions ---- */

/* [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] [MQTT-3.3.4-5]: one copy, the highest QoS, all
 * identifiers; repeated where two subscriptions say the same one. */
START_TEST(overlapping)
{
	struct peer *to, *old;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	subscribe_as(to, "a/+", 0, 7);
	subscribe_as(to, "a/#", 2, 200);
	subscribe(to, "#", 1);
	old = new_peer(&bench, V3, "old");
	subscribe(old, "a/+", 0);
	subscribe(old, "a/b", 1);
	peer_publish(old, QOS(2), 1, "a/b", "", "x");
	expect(old, 0x50, "0001");
	expect_publish(old, QOS(1), 1, "a/b", "", "x");
	expect_nothing(old);
	ck_assert_uint_eq(to->in_len, 2 + 5 + 2 + 1 + 5 + 1);
	struct mqtt_publish publish;
	struct slice raw;
	uint32_t identifier, sum = 0;
	ck_assert_uint_eq(to->in[0], 0x30 | QOS(2));
	ck_assert_int_eq(
	    mqtt_decode_publish(to->in[0] & 15, slice_of(to->in + 2, to->in_len - 2), V5, &publish),
	    MQTT_SUCCESS);
	raw = publish.properties.raw;
	while (mqtt_next_subscription_identifier(&raw, &identifier))
		sum += identifier;
	ck_assert_uint_eq(sum, 207);
	bench_finish(&bench);
}
END_TEST

/* More identifiers than fit in a small list, also through the queue. */
START_TEST(many_identifiers)
{
	struct mqtt_connect connect = connect_lasting(V5, "to", 1000);
	static const char *const filters[] = {
	    "a/b/c/d", "+/b/c/d", "a/+/c/d", "a/b/+/d", "a/b/c/+", "+/+/c/d", "+/b/+/d",
	    "+/b/c/+", "a/+/+/d", "a/+/c/+", "a/b/+/+", "+/+/+/d", "+/+/c/+", "+/b/+/+",
	    "a/+/+/+", "+/+/+/+", "#",	     "a/#",	"a/b/#",   "a/b/c/#"};
	struct peer *to, *from;
	struct mqtt_publish publish;
	uint32_t identifier, sum;

	bench_begin(&bench, 1);
	to = come_up(&bench, 0, &connect, false);
	for (uint32_t i = 0; i < COUNT_OF(filters); i++)
		subscribe_as(to, filters[i], 1, i + 1);
	from = new_peer(&bench, V5, "from");
	for (int away = 0; away < 2; away++) {
		if (away)
			peer_lose(to);
		peer_publish(from, QOS(1), 1, "a/b/c/d", "", "x");
		if (away)
			to = come_up(&bench, 0, &connect, true);
		sum = 0;
		ck_assert_int_eq(mqtt_decode_publish(to->in[0] & 15,
						     slice_of(to->in + 2, to->in_len - 2), V5,
						     &publish),
				 MQTT_SUCCESS);
		while (mqtt_next_subscription_identifier(&publish.properties.raw, &identifier))
			sum += identifier;
		ck_assert_uint_eq(sum, 20 * 21 / 2);
		to->in_len = 0;
		peer_send(to, 0x40, away ? "0002" : "0001");
	}
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.8.3-3]: not to oneself, whatever the connection; others do get it. */
START_TEST(no_local)
{
	struct mqtt_connect connect = connect_lasting(V5, "me", 1000);
	struct peer *me, *other;

	bench_begin(&bench, 1);
	me = come_up(&bench, 0, &connect, false);
	other = new_peer(&bench, V5, "other");
	subscribe(me, "t", 1 | 4);
	subscribe(other, "t", 0 | 4);
	peer_publish(me, QOS(1), 1, "t", "", "mine");
	expect(me, 0x40, "0001");
	expect_publish(other, 0, 0, "t", "", "mine");
	expect_nothing(me);
	peer_publish(other, 0, 0, "t", "", "theirs");
	expect_publish(me, 0, 0, "t", "", "theirs");
	expect_nothing(other);
	/* Another subscription of mine that does not mind. */
	subscribe_as(me, "+", 0, 5);
	peer_publish(me, 0, 0, "t", "", "again");
	expect_publish(me, 0, 0, "t", "0B 05", "again");
	/* Who does not want its own message is a subscriber all the same: not 0x10. */
	subscribe(me, "mine/alone", 1 | 4);
	peer_publish(me, QOS(1), 2, "mine/alone", "", "mine");
	expect(me, 0x40, "0002");
	expect_nothing(me);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.8.4-3]: the same filter again replaces the old one: options and identifier. */
START_TEST(subscribed_again)
{
	struct peer *to;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	subscribe_as(to, "t", 2, 3);
	subscribe(to, "t", 1);
	peer_publish(to, QOS(2), 1, "t", "", "x");
	expect(to, 0x50, "0001");
	expect_publish(to, QOS(1), 1, "t", "", "x");
	expect_nothing(to);
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 1);
	peer_send(to, 0xA2, "0009 00 0001 't'");
	expect(to, 0xB0, "0009 00 00");
	peer_publish(to, 0, 0, "t", "", "x");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-4.7.2-1]: '$' topics are the broker's, and wildcards in front do not see them. */
START_TEST(dollar_topics)
{
	struct event own = {
	    .type = EVENT_PUBLISH, .text = SLICE_LITERAL("$SYS/x"), .bytes = SLICE_LITERAL("1")};
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = new_peer(&bench, V5, "p");
	subscribe(peer, "#", 0);
	subscribe(peer, "+/x", 0);
	bench_event(&bench, 0, &own);
	expect_nothing(peer);
	subscribe(peer, "$SYS/#", 0);
	bench_event(&bench, 0, &own);
	expect_publish(peer, 0, 0, "$SYS/x", "", "1");
	peer_publish(peer, QOS(1), 1, "$SYS/x", "", "2");
	expect(peer, 0x40, "0001");
	peer_publish(peer, QOS(2) | RETAIN, 2, "$SYS/x", "", "2");
	expect(peer, 0x50, "0002");
	expect_nothing(peer);
	ck_assert_uint_eq(counted(&bench, DROPPED_DOLLAR), 2);
	ck_assert_uint_eq(counted(&bench, RETAINED), 0);
	bench_finish(&bench);
}
END_TEST

/* ---- the last of a filter ---- */

#define UNSUBSCRIBE_T "\xA2\x06\0\1\0\0\1t"
#define SUBSCRIBE_T   "\x82\x07\0\2\0\0\1t\0"

/* Within one read: the other shards are told of what has become of it, and not of each step. */
START_TEST(left_and_taken_again)
{
	struct peer *me, *other;

	bench_begin(&bench, 2);
	me = new_peer(&bench, V5, bench_name(&bench, 0, "me"));
	other = new_peer(&bench, V5, bench_name(&bench, 1, "other"));
	subscribe(me, "t", 0);
	ck_assert_uint_eq(bench.mails[MAIL_ROUTES], 1);
	peer_bytes(me, SLICE_LITERAL(UNSUBSCRIBE_T SUBSCRIBE_T));
	expect(me, 0xB0, "0001 00 00");
	expect(me, 0x90, "0002 00 00");
	ck_assert_uint_eq(bench.mails[MAIL_ROUTES], 1);
	peer_publish(other, QOS(1), 1, "t", "", "x");
	expect(other, 0x40, "0001");
	expect_publish(me, 0, 0, "t", "", "x");
	peer_bytes(me, SLICE_LITERAL(UNSUBSCRIBE_T SUBSCRIBE_T UNSUBSCRIBE_T));
	expect(me, 0xB0, "0001 00 00");
	expect(me, 0x90, "0002 00 00");
	expect(me, 0xB0, "0001 00 00");
	ck_assert_uint_eq(bench.mails[MAIL_ROUTES], 2);
	peer_publish(other, QOS(1), 2, "t", "", "y");
	expect(other, 0x40, "0002 10");
	subscribe(me, "t", 0);
	peer_publish(other, 0, 0, "t", "", "z");
	expect_publish(me, 0, 0, "t", "", "z");
	bench_finish(&bench);
}
END_TEST

/* `count` filters of 200 levels of their own. */
static void subscribe_deep(struct peer *peer, unsigned count)
{
	char filter[600];

	for (unsigned i = 0; i < count; i++) {
		int length = snprintf(filter, sizeof filter, "%u", i);
		for (unsigned level = 1; level < 200; level++)
			length += snprintf(filter + length, sizeof filter - (size_t)length, "/x");
		subscribe(peer, filter, 0);
	}
}

/* A session with many levels ends over many turns: between them others have theirs. */
START_TEST(end_takes_turns)
{
	enum { FILTERS = 200 };
	struct event timers = {.type = EVENT_TIMERS};
	struct event closed = {.type = EVENT_LINK_CLOSED};
	uint64_t before, with, now;
	struct peer *me, *other;
	unsigned told;

	bench_begin(&bench, 2);
	other = new_peer(&bench, V5, bench_name(&bench, 0, "other"));
	before = counted(&bench, MEMORY);
	me = new_peer(&bench, V5, bench_name(&bench, 0, "me"));
	subscribe_deep(me, FILTERS);
	with = counted(&bench, MEMORY);
	closed.link = me->link;
	me->open = false;
	shard_handle(bench.shards[0], bench.now, &closed);
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	now = counted(&bench, MEMORY);
	ck_assert_uint_lt(now, with);
	ck_assert_uint_gt(now, before + (with - before) / 4 * 3); /* half is the other shard's */
	/* Whatever else happens in this turn, it forgets no more of them. */
	shard_handle(bench.shards[0], bench.now, &timers);
	ck_assert_uint_eq(counted(&bench, MEMORY), now);
	told = bench.mails[MAIL_ROUTES];
	bench_settle(&bench);
	ck_assert_uint_ge(bench.mails[MAIL_ROUTES] - told, 3); /* one a turn */
	ck_assert_uint_lt(counted(&bench, MEMORY), before + (with - before) / 100);
	peer_send(other, 0xC0, "");
	expect(other, 0xD0, "");
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.10.4-2] of a shared subscription, at once: what comes behind UNSUBSCRIBE in the same read
 * goes to who is still a member. */
START_TEST(left_a_group)
{
	struct slice bytes = bytes_parse("A2 0F 0009 00 000A '$share/g/t'"
					 "32 07 0001 't' 0001 00 'x' 32 07 0001 't' 0002 00 'y'");
	struct peer *leaves, *stays;

	bench_begin(&bench, 1);
	leaves = new_peer(&bench, V5, "leaves");
	stays = new_peer(&bench, V5, "stays");
	subscribe(leaves, "$share/g/t", 1);
	subscribe(stays, "$share/g/t", 1);
	peer_bytes(leaves, bytes);
	expect(leaves, 0xB0, "0009 00 00");
	expect(leaves, 0x40, "0001");
	expect(leaves, 0x40, "0002");
	expect_nothing(leaves);
	expect_publish(stays, QOS(1), 1, "t", "", "x");
	expect_publish(stays, QOS(1), 2, "t", "", "y");
	bytes_free(bytes);
	bench_finish(&bench);
}
END_TEST

/* Publishes to itself and has another one publish: it gets the other's alone, with its RETAIN. */
static void check_bridge(struct peer *bridge, struct peer *from)
{
	peer_publish(bridge, QOS(1), 1, "t", "", "own");
	expect(bridge, 0x40, "0001");
	peer_publish(from, QOS(1) | RETAIN, 1, "t", "", "kept");
	expect_publish(bridge, QOS(1) | RETAIN, 1, "t", "", "kept");
	expect_nothing(bridge);
}

/* Before 5.0 a bridge says what it is in its protocol level; what it subscribed to stays so. */
START_TEST(of_a_bridge)
{
	for (enum mqtt_version version = MQTT_VERSION_3_1; version <= V3; version++) {
		struct mqtt_connect connect = connect_lasting(version, "bridge", 1000);
		struct peer *bridge;

		connect.bridge = true;
		bench_init(&bench, 1);
		bench.durable = true;
		bench_start(&bench);
		bridge = come_up(&bench, 0, &connect, false);
		subscribe(bridge, "t", 1);
		check_bridge(bridge, new_peer(&bench, V3, "from"));
		peer_send(bridge, 0x40, "0001");
		bench_restart(&bench);
		bridge = come_up(&bench, 0, &connect, version == V3); /* 3.1 does not say */
		check_bridge(bridge, new_peer(&bench, V3, "from"));
		bench_finish(&bench);
	}
}
END_TEST

/* One's own QoS 2 copy, behind its PUBREC, with what it was published to, however much comes in one
 * read: not behind UNSUBACK [MQTT-3.10.4-2], nor with what is subscribed to later. */
START_TEST(own_copy_in_one_read)
{
	static const uint8_t leaves[] = {0x34, 7, 0, 1,	 'o', 0, 9, 0,	'x', /* PUBLISH */
					 0xA2, 6, 0, 10, 0,   0, 1, 'o'};
	static const uint8_t changes[] = {0x34, 7, 0, 1,  'o', 0,    11, 0, 'y', /* PUBLISH */
					  0x82, 9, 0, 12, 2,   0x0B, 8,	 0, 1,	 'o', 0, /* QoS 0 */
					  0x34, 7, 0, 1,  'o', 0,    13, 0, 'z'};
	struct peer *own;

	bench_begin(&bench, 1);
	own = new_peer(&bench, V5, "own");
	subscribe_as(own, "o", 2, 7);
	peer_bytes(own, slice_of(leaves, sizeof leaves));
	expect(own, 0x50, "0009");
	expect_publish(own, QOS(2), 1, "o", "0B 07", "x");
	expect(own, 0xB0, "000A 00 00");
	subscribe_as(own, "o", 2, 7);
	peer_bytes(own, slice_of(changes, sizeof changes));
	expect(own, 0x50, "000B");
	expect_publish(own, QOS(2), 2, "o", "0B 07", "y");
	expect(own, 0x90, "000C 00 00");
	expect(own, 0x50, "000D");
	expect_publish(own, QOS(0), 0, "o", "0B 08", "z");
	expect_nothing(own);
	bench_finish(&bench);
}
END_TEST

Suite *shard_subscriptions_suite(void)
{
	const TTest *tests[] = {
	    overlapping,   many_identifiers,	 no_local,	  subscribed_again,
	    dollar_topics, left_and_taken_again, end_takes_turns, left_a_group,
	    of_a_bridge,   own_copy_in_one_read,
	};

	return suite_of("shard_subscriptions", tests, COUNT_OF(tests));
}
