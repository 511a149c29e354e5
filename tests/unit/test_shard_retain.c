/* Retained messages of whole shards: MQTT 5.0 sections 3.3.1.3 and 3.8.3.1. */
#include <stdio.h>

#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V3 MQTT_VERSION_3_1_1
#define V5 MQTT_VERSION_5_0

/* Options of a subscription. */
#define AS_PUBLISHED 8
#define HANDLING(n)  ((uint8_t)((n) << 4))

/* [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7]: the last one stays, an empty one clears. */
START_TEST(kept_and_cleared)
{
	struct peer *from, *to;

	bench_begin(&bench, 1);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, RETAIN | QOS(1), 1, "a/b", "", "old");
	peer_publish(from, RETAIN | QOS(2), 2, "a/b", "", "new");
	peer_publish(from, 0, 0, "a/b", "", "not retained");
	ck_assert_uint_eq(counted(&bench, RETAINED), 1);
	ck_assert_uint_eq(counted(&bench, RETAINED_BYTES), 3);
	to = new_peer(&bench, V3, "to");
	subscribe(to, "a/#", 1);
	expect_publish(to, RETAIN | QOS(1), 1, "a/b", "", "new"); /* [MQTT-3.3.1-8] */
	peer_publish(from, RETAIN, 0, "a/b", "", "");
	expect_publish(to, 0, 0, "a/b", "", ""); /* live: the flag is cleared [MQTT-3.3.1-12] */
	ck_assert_uint_eq(counted(&bench, RETAINED), 0);
	subscribe(to, "a/b", 1);
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.8.4-4] */
START_TEST(handling)
{
	struct peer *from, *to;

	bench_begin(&bench, 1);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, RETAIN, 0, "t", "", "x");
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", HANDLING(2));
	expect_nothing(to);
	subscribe(to, "t", HANDLING(1)); /* not new */
	expect_nothing(to);
	subscribe(to, "t", HANDLING(0));
	expect_publish(to, RETAIN, 0, "t", "", "x");
	subscribe(to, "t", HANDLING(0));
	expect_publish(to, RETAIN, 0, "t", "", "x");
	subscribe(to, "+", HANDLING(1)); /* new */
	expect_publish(to, RETAIN, 0, "t", "", "x");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.3.1-12] [MQTT-3.3.1-13]: of a live message the flag goes on only where asked for. */
START_TEST(as_published)
{
	struct peer *from, *to, *plain;

	bench_begin(&bench, 1);
	from = new_peer(&bench, V5, "from");
	to = new_peer(&bench, V5, "to");
	plain = new_peer(&bench, V5, "plain");
	subscribe(to, "t", AS_PUBLISHED);
	subscribe(plain, "t", 0);
	peer_publish(from, RETAIN, 0, "t", "", "x");
	peer_publish(from, 0, 0, "t", "", "y");
	expect_publish(to, RETAIN, 0, "t", "", "x");
	expect_publish(to, 0, 0, "t", "", "y");
	expect_publish(plain, 0, 0, "t", "", "x");
	expect_publish(plain, 0, 0, "t", "", "y");
	bench_finish(&bench);
}
END_TEST

/* A shared subscription gets none (section 4.8.2); identifiers and QoS are the subscription's. */
START_TEST(sent_with_the_subscription)
{
	struct peer *from, *to;

	bench_begin(&bench, 1);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, RETAIN | QOS(2), 1, "t", "26 0001 'k' 0001 'v'", "x");
	to = new_peer(&bench, V5, "to");
	subscribe(to, "$share/g/t", 1);
	expect_nothing(to);
	subscribe_as(to, "t", 1, 300);
	expect_publish(to, RETAIN | QOS(1), 1, "t", "0B AC02 26 0001 'k' 0001 'v'", "x");
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.3.2-5] [MQTT-3.3.2-6] */
START_TEST(expires)
{
	struct peer *from, *to;

	bench_begin(&bench, 1);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, RETAIN, 0, "t", "02 0000000A", "x");
	bench_pass_ms(&bench, 4000);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 0);
	expect_publish(to, RETAIN, 0, "t", "02 00000006", "x");
	bench_pass_ms(&bench, 6100);
	ck_assert_uint_eq(counted(&bench, RETAINED), 0);
	/* One that replaces it has its own time. */
	peer_publish(from, RETAIN, 0, "t", "02 0000000A", "x");
	peer_publish(from, RETAIN, 0, "t", "", "y");
	bench_pass_ms(&bench, 20000);
	ck_assert_uint_eq(counted(&bench, RETAINED), 1);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-4.7.2-1] holds for them, too; "a/#" finds "a". */
START_TEST(found_by_filter)
{
	static const struct {
		const char *filter;
		unsigned count;
	} rows[] = {
	    {"#", 5},	  {"+", 1},	 {"+/+", 2}, {"a/#", 4},   {"a", 1},
	    {"a/b", 1},	  {"a/+", 2},	 {"/+", 0},  {"a/b/c", 0}, {"$SYS/#", 1},
	    {"+/+/+", 2}, {"$SYS/+", 1}, {"/#", 1},  {"+/b/#", 1}, {"a//c", 1},
	};
	struct event own = {
	    .type = EVENT_PUBLISH,
	    .retain = true,
	    .text = SLICE_LITERAL("$SYS/x"),
	    .bytes = SLICE_LITERAL("1"),
	};
	struct peer *from, *to;

	bench_begin(&bench, 3);
	bench_event(&bench, 1, &own);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, RETAIN, 0, "a", "", "1");
	peer_publish(from, RETAIN, 0, "a/b", "", "1");
	peer_publish(from, RETAIN, 0, "a/c", "", "1");
	peer_publish(from, RETAIN, 0, "a//c", "", "1");
	peer_publish(from, RETAIN, 0, "//", "", "1");
	ck_assert_uint_eq(counted(&bench, RETAINED), 6);
	to = new_peer(&bench, V5, "to");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t before = counted(&bench, PUBLISH_SENT);

		subscribe(to, rows[i].filter, 0);
		ck_assert_msg(counted(&bench, PUBLISH_SENT) - before == rows[i].count, "%s",
			      rows[i].filter);
		to->in_len = 0;
	}
	bench_finish(&bench);
}
END_TEST

/* Many, from several homes, to a reader with a small queue: all come, none twice. */
START_TEST(many_without_loss)
{
	struct mqtt_connect connect = connect_of(V5, "to", true);
	char topic[16], body[16];
	struct peer *from, *to;
	unsigned seen = 0;

	bench_init(&bench, 3);
	bench.settings.max_queued_messages = 150; /* room for one answer above the low mark */
	bench_start(&bench);
	from = new_peer(&bench, V5, "from");
	for (int i = 0; i < 500; i++) {
		snprintf(topic, sizeof topic, "n/%d", i);
		peer_publish(from, RETAIN | QOS(1), 1, topic, "", "x");
	}
	ck_assert_uint_eq(counted(&bench, RETAINED), 500);
	mqtt_set(&connect.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	connect.properties.receive_maximum = 5;
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "n/#", 1);
	while (to->in_len > 0) {
		struct frame frame;
		struct mqtt_publish publish;

		ck_assert_int_eq(frame_cut(slice_of(to->in, to->in_len), &frame), FRAME_WHOLE);
		ck_assert_int_eq(mqtt_decode_publish(frame.flags, frame.body, V5, &publish),
				 MQTT_SUCCESS);
		snprintf(body, sizeof body, "%04x", publish.packet_id);
		to->in_len -= frame.size;
		memmove(to->in, to->in + frame.size, to->in_len);
		peer_send(to, 0x40, body);
		seen++;
	}
	ck_assert_uint_eq(seen, 500);
	ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 0);
	bench_finish(&bench);
}
END_TEST

/* A live message that came first is newer than the retained one on its way. */
START_TEST(live_is_newer)
{
	struct peer *from, *to;
	const char *topic, *sub;

	bench_begin(&bench, 2);
	topic = bench_name(&bench, 1, "t");
	sub = bench_name(&bench, 0, "sub");
	from = new_peer(&bench, V5, bench_name(&bench, 0, "from"));
	peer_publish(from, RETAIN, 0, topic, "", "old");
	to = new_peer(&bench, V5, sub);
	subscribe(to, "other", 0);
	/* The barrier opens, the request to the home of the topic stays on its way. */
	peer_send(to, 0x82, "0009 00 0001 '#' 00");
	expect(to, 0x90, "0009 00 00");
	expect_publish(to, RETAIN, 0, topic, "", "old");
	peer_publish(from, RETAIN, 0, topic, "", "new");
	expect_publish(to, 0, 0, topic, "", "new");
	bench.hold_mail = true;
	peer_send(to, 0x82, "000A 00 0001 '#' 00"); /* no barrier: it is known everywhere */
	expect(to, 0x90, "000A 00 00");
	peer_publish(from, RETAIN, 0, topic, "", "newest");
	expect_publish(to, 0, 0, topic, "", "newest");
	bench.hold_mail = false;
	bench_settle(&bench);
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* One that came before is that of the subscription too, though others have been waiting since
 * before it. */
START_TEST(live_before_is_retained)
{
	static char payload[4097];
	struct peer *from, *to;
	char topic[16];

	memset(payload, 'p', sizeof payload - 1);
	bench_begin(&bench, 1);
	from = new_peer(&bench, V5, "from");
	for (unsigned i = 0; i < 70; i++) {
		snprintf(topic, sizeof topic, "large/%u", i);
		peer_publish(from, RETAIN, 0, topic, "", payload);
	}
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 0);
	to->full = true;
	peer_send(to, 0x82, "0008 00 0007 'large/#' 00");
	peer_publish(from, RETAIN, 0, "t", "", "x");
	peer_send(to, 0x82, "0009 00 0001 't' 00");
	peer_unblock(to);
	ck_assert_ptr_nonnull(memmem(to->in, to->in_len, "\x31\x05\0\1t\0x", 7));
	to->in_len = 0;
	bench_finish(&bench);
}
END_TEST

/* The subscriber goes, or unsubscribes, while answers are on their way; topics go meanwhile. */
START_TEST(stopped_in_between)
{
	struct peer *from, *to;
	char topic[16];

	bench_begin(&bench, 2);
	from = new_peer(&bench, V5, "from");
	for (int i = 0; i < 200; i++) {
		snprintf(topic, sizeof topic, "n/%d", i);
		peer_publish(from, RETAIN, 0, topic, "", "x");
	}
	for (int how = 0; how < 3; how++) {
		to = new_peer(&bench, V5, "to");
		subscribe(to, "n/+", HANDLING(2));
		bench.hold_mail = true;
		peer_send(to, 0x82, "0009 00 0003 'n/+' 00");
		if (how == 0)
			peer_lose(to);
		else if (how == 1)
			peer_send(to, 0xA2, "000A 00 0003 'n/+'");
		bench.hold_mail = false;
		bench_settle(&bench);
	}
	ck_assert_uint_ge(counted(&bench, PUBLISH_SENT), 200);
	for (int i = 0; i < 200; i++) {
		snprintf(topic, sizeof topic, "n/%d", i);
		peer_publish(from, RETAIN, 0, topic, "", "");
	}
	ck_assert_uint_eq(counted(&bench, RETAINED), 0);
	bench_finish(&bench);
}
END_TEST

enum { FILTERS = 50 };

static const char *topics[FILTERS];

/* Topics whose home is not the subscriber's; the last one begins with $. */
static void choose_topics(void)
{
	char prefix[16];

	for (unsigned i = 0; i < FILTERS; i++) {
		snprintf(prefix, sizeof prefix, i + 1 < FILTERS ? "e/%u-" : "$e/%u-", i);
		topics[i] = bench_name(&bench, 1, prefix);
	}
}

/* Asks for what is retained under all of them: how many questions does the home get? */
static unsigned questions(struct peer *to)
{
	unsigned before = bench.mails[MAIL_RETAIN_SCAN];

	for (unsigned i = 0; i < FILTERS; i++)
		subscribe(to, topics[i], HANDLING(2)); /* so that they are known everywhere */
	bench.hold_mail = true;
	for (unsigned i = 0; i < FILTERS; i++)
		subscribe(to, topics[i], HANDLING(0));
	bench.hold_mail = false;
	bench_settle(&bench);
	return bench.mails[MAIL_RETAIN_SCAN] - before;
}

/*
 * A home without messages says so for all filters that waited when it was asked: here for
 * the first, and then for all others.  For $ topics it is always asked.
 */
START_TEST(empty_homes_are_asked_once)
{
	struct peer *from, *to;

	bench_begin(&bench, 2);
	choose_topics();
	to = new_peer(&bench, V5, bench_name(&bench, 0, "to"));
	ck_assert_uint_eq(questions(to), 1 + 1 + 1);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, RETAIN, 0, topics[7], "", "x");
	expect_publish(to, 0, 0, topics[7], "", "x");
	ck_assert_uint_eq(questions(to), FILTERS);
	expect_publish(to, RETAIN, 0, topics[7], "", "x");
	peer_publish(from, RETAIN, 0, topics[7], "", "");
	expect_publish(to, 0, 0, topics[7], "", "");
	ck_assert_uint_eq(questions(to), 1 + 1 + 1);
	bench_finish(&bench);
}
END_TEST

Suite *shard_retain_suite(void)
{
	const TTest *tests[] = {
	    kept_and_cleared,
	    handling,
	    as_published,
	    sent_with_the_subscription,
	    expires,
	    found_by_filter,
	    many_without_loss,
	    live_is_newer,
	    live_before_is_retained,
	    stopped_in_between,
	    empty_homes_are_asked_once,
	};

	return suite_of("shard_retain", tests, COUNT_OF(tests));
}
