/* Retained messages for which there is no room: limits, and memory.  MQTT 5.0 section 3.3.1.3. */
#include <stdio.h>

#include "broker/core/core.h"
#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V3 MQTT_VERSION_3_1_1
#define V5 MQTT_VERSION_5_0

/* Limits: 0x97 where the home is here, counted where it is elsewhere. Clearing always works. */
START_TEST(limited)
{
	struct peer *from;

	bench_init(&bench, 1);
	bench.settings.max_retained_messages = 2;
	bench_start(&bench);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, RETAIN | QOS(1), 1, "a", "", "x");
	peer_publish(from, RETAIN | QOS(1), 2, "b", "", "x");
	expect(from, 0x40, "0001 10");
	expect(from, 0x40, "0002 10");
	peer_publish(from, RETAIN | QOS(1), 3, "c", "", "x");
	expect(from, 0x40, "0003 97");
	ck_assert_uint_eq(counted(&bench, DROPPED_RETAIN_LIMIT), 1);
	ck_assert_uint_eq(counted(&bench, DROPPED_MEMORY), 0);
	peer_publish(from, RETAIN | QOS(1), 4, "a", "", "again");
	expect(from, 0x40, "0004 10");
	peer_publish(from, RETAIN | QOS(1), 5, "a", "", "");
	expect(from, 0x40, "0005 10");
	peer_publish(from, RETAIN | QOS(1), 6, "c", "", "x");
	expect(from, 0x40, "0006 10");
	ck_assert_uint_eq(counted(&bench, RETAINED), 2);
	bench_finish(&bench);
}
END_TEST

/* $SYS takes no client's place, and has one also when all are taken. */
START_TEST(limits_are_for_clients)
{
	struct event own = {
	    .type = EVENT_PUBLISH,
	    .retain = true,
	    .text = SLICE_LITERAL("$SYS/x"),
	    .bytes = SLICE_LITERAL("1"),
	};
	struct peer *from;

	bench_init(&bench, 1);
	bench.settings.max_retained_messages = 1;
	bench_start(&bench);
	bench_event(&bench, 0, &own);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, RETAIN | QOS(1), 1, "a", "", "x");
	expect(from, 0x40, "0001 10");
	own.text = SLICE_LITERAL("$SYS/y");
	bench_event(&bench, 0, &own);
	ck_assert_uint_eq(counted(&bench, RETAINED), 3);
	peer_publish(from, RETAIN | QOS(1), 2, "b", "", "x");
	expect(from, 0x40, "0002 97");
	own.bytes = SLICE_NONE;
	bench_event(&bench, 0, &own);
	peer_publish(from, RETAIN | QOS(1), 3, "a", "", "");
	peer_publish(from, RETAIN | QOS(1), 4, "b", "", "x");
	expect(from, 0x40, "0003 10");
	expect(from, 0x40, "0004 10");
	ck_assert_uint_eq(counted(&bench, RETAINED), 2);
	bench_finish(&bench);
}
END_TEST

#define LONG_TOPIC 30001 /* with the zero */

static const char *long_topic(unsigned home, char topic[LONG_TOPIC])
{
	memset(topic, 't', LONG_TOPIC - 1);
	topic[LONG_TOPIC - 1] = '\0';
	while (shard_home(bench.shards[0], slice_text(topic)) != home)
		topic[0]++;
	return topic;
}

/* Takes all memory, by retained messages of which one was too much; to within `size` bytes. */
static void fill_memory(struct peer *from, size_t size)
{
	static char payload[20001];
	uint64_t dropped = counted(&bench, DROPPED_MEMORY);
	char topic[32];

	memset(payload, 'p', sizeof payload - 1);
	payload[size] = '\0';
	atomic_store(&bench.budget.limit, 0);
	for (int i = 0; counted(&bench, DROPPED_MEMORY) == dropped; i++) {
		snprintf(topic, sizeof topic, "%zu/%d", size, i);
		peer_publish(from, RETAIN, 0, topic, "", payload);
	}
}

/* A full memory keeps nobody from clearing, also at another shard: it makes room. */
START_TEST(cleared_when_memory_is_full)
{
	static char here[LONG_TOPIC], there[LONG_TOPIC];
	struct mqtt_connect lasting = connect_lasting(V5, "", 100);
	const char *names[2];
	struct peer *from;

	bench_init(&bench, 2);
	bench.durable = true;
	bench_start(&bench);
	names[0] = bench_name(&bench, 0, "from");
	lasting.client_id = slice_text(names[0]);
	from = come_up(&bench, 0, &lasting, false);
	peer_publish(from, RETAIN, 0, long_topic(0, here), "", "x");
	peer_publish(from, RETAIN, 0, long_topic(1, there), "", "x");
	fill_memory(from, 20000);
	uint64_t kept = counted(&bench, RETAINED);
	peer_publish(from, RETAIN | QOS(2), 1, there, "", ""); /* whose record needs room */
	expect(from, 0x50, "0001 97");
	ck_assert_uint_eq(counted(&bench, RETAINED), kept - 1);
	peer_publish(from, RETAIN | QOS(1), 2, here, "", "");
	expect(from, 0x40, "0002 10");
	ck_assert_uint_eq(counted(&bench, RETAINED), kept - 2);
	bench_finish(&bench);
}
END_TEST

/* Likewise with QoS 2 where the record of its exchange needs the room that it makes. */
START_TEST(cleared_for_its_own_record)
{
	static char topic[LONG_TOPIC];
	struct mqtt_connect lasting = connect_lasting(V5, "from", 100);
	struct peer *from;

	bench_init(&bench, 1);
	bench.durable = bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 1000;
	bench_start(&bench);
	from = come_up(&bench, 0, &lasting, false);
	peer_publish(from, RETAIN, 0, long_topic(0, topic), "", "x");
	fill_memory(from, 20000);
	uint64_t kept = counted(&bench, RETAINED);
	peer_publish(from, RETAIN | QOS(2), 1, topic, "", "");
	expect(from, 0x50, "0001");
	ck_assert_uint_eq(counted(&bench, RETAINED), kept - 1);
	ck_assert_uint_eq(counted(&bench, DROPPED_MEMORY), 1);
	bench_finish(&bench);
}
END_TEST

/* One that is not kept, for want of room; is the one before it kept on? */
static bool old_one_stays(enum mqtt_version version, uint8_t qos, unsigned home)
{
	static char large[1001];
	const uint8_t flags = (uint8_t)(RETAIN | QOS(qos));
	const char *topic = bench_name(&bench, home, "t");
	struct mqtt_connect connect = connect_of(version, bench_name(&bench, 0, "from"), true);
	struct peer *from = come_up(&bench, 0, &connect, false);
	uint64_t stay;

	memset(large, 'x', sizeof large - 1);
	peer_publish(from, flags, 1, topic, "", "old");
	ck_assert_uint_eq(counted(&bench, RETAINED), 1);
	peer_publish(from, flags, 2, topic, "", large);
	stay = counted(&bench, RETAINED);
	peer_publish(from, RETAIN, 0, topic, "", "");
	ck_assert_uint_eq(counted(&bench, RETAINED), 0);
	peer_lose(from);
	return stay;
}

/* Who listened has had it: what was retained before it is so no more.  It stays where it was
 * refused, and its publisher told. [MQTT-3.3.1-5] [MQTT3-3.3.1-7] */
START_TEST(not_kept)
{
	bench_init(&bench, 2);
	bench.settings.max_retained_bytes = 600;
	bench_start(&bench);
	for (unsigned home = 0; home < 2; home++) {
		ck_assert(!old_one_stays(V3, 0, home));
		ck_assert(!old_one_stays(V3, 1, home));
		ck_assert(!old_one_stays(V5, 0, home));
	}
	ck_assert(old_one_stays(V5, 1, 0));
	ck_assert(!old_one_stays(V5, 1, 1)); /* it is known there only */
	ck_assert_uint_eq(counted(&bench, DROPPED_RETAIN_LIMIT), 8);
	bench_finish(&bench);
}
END_TEST

/* A topic of so many levels, whose home is there. */
static const char *deep_topic(unsigned levels, unsigned home)
{
	static char topic[1000];
	char *at = topic;

	*at++ = 'a';
	for (unsigned i = 1; i < levels; i++)
		at += sprintf(at, "/x");
	while (shard_home(bench.shards[0], slice_text(topic)) != home)
		topic[0]++;
	return topic;
}

/* As many levels as a filter may have are kept, and none more, wherever that would be.  It is told
 * where it can be; clearing is no matter. [MQTT-3.3.1-5] */
START_TEST(levels_of_a_topic)
{
	struct mqtt_connect connect;
	struct peer *from, *old, *to;

	bench_begin(&bench, 2);
	connect = connect_of(V5, bench_name(&bench, 0, "from"), true);
	from = come_up(&bench, 0, &connect, false);
	connect = connect_of(V3, bench_name(&bench, 0, "old"), true);
	old = come_up(&bench, 0, &connect, false);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "#", 0);
	for (unsigned home = 0; home < 2; home++) {
		const char *topic = deep_topic(200, home);

		peer_publish(from, RETAIN | QOS(1), 1, topic, "", "x");
		expect(from, 0x40, "0001");
		expect_publish(to, 0, 0, topic, "", "x");
		ck_assert_uint_eq(counted(&bench, RETAINED), home + 1);
		topic = deep_topic(201, home);
		peer_publish(from, RETAIN | QOS(1), 2, topic, "", "x");
		expect(from, 0x40, "0002 97");
		peer_publish(from, RETAIN | QOS(2), 3, topic, "", "x");
		expect(from, 0x50, "0003 97");
		expect_nothing(to);
		peer_publish(from, RETAIN, 0, topic, "", "x");
		expect_publish(to, 0, 0, topic, "", "x");
		peer_publish(old, RETAIN | QOS(1), 1, topic, "", "x");
		expect(old, 0x40, "0001");
		expect_publish(to, 0, 0, topic, "", "x");
		peer_publish(from, QOS(1), 4, topic, "", "x");
		expect(from, 0x40, "0004");
		expect_publish(to, 0, 0, topic, "", "x");
		peer_publish(from, RETAIN | QOS(1), 5, topic, "", "");
		expect(from, 0x40, "0005");
		expect_publish(to, 0, 0, topic, "", "");
		ck_assert_uint_eq(counted(&bench, RETAINED), home + 1);
	}
	bench_finish(&bench);
}
END_TEST

/* One that goes nowhere, because it is too large: of QoS 0 nobody hears that, and the old one goes.
 * [MQTT3-3.3.1-7] */
START_TEST(not_even_passed_on)
{
	struct event own = {
	    .type = EVENT_PUBLISH,
	    .retain = true,
	    .text = SLICE_LITERAL("$SYS/x"),
	    .bytes = SLICE_LITERAL("1"),
	};
	static char large[1001];
	struct peer *from;

	bench_init(&bench, 2);
	bench.settings.message_size_limit = 1000 - 1;
	bench_start(&bench);
	for (unsigned home = 0; home < 2; home++) {
		ck_assert(!old_one_stays(V5, 0, home));
		ck_assert(!old_one_stays(V3, 0, home));
		ck_assert(old_one_stays(V5, 1, home));
	}
	bench_event(&bench, 0, &own); /* which is nobody's but the broker's */
	memset(large, 'x', sizeof large - 1);
	from = new_peer(&bench, V5, "from");
	peer_publish(from, RETAIN, 0, "$SYS/x", "", large);
	ck_assert_uint_eq(counted(&bench, RETAINED), 1);
	bench_finish(&bench);
}
END_TEST

/* The same for want of memory: of QoS 0 it goes nowhere, and a will nobody can be told of. */
START_TEST(no_memory_to_keep_it)
{
	static char large[1501];

	bench_begin(&bench, 2);
	memset(large, 'l', sizeof large - 1);
	for (unsigned home = 0; home < 2; home++) {
		struct mqtt_connect connect = connect_of(V5, bench_name(&bench, 0, "from"), true);
		struct peer *from = come_up(&bench, 0, &connect, false), *dies;
		const char *topic = bench_name(&bench, home, "t");
		const char *of_will = bench_name(&bench, home, "will");
		uint64_t kept;

		connect = connect_of(V5, bench_name(&bench, 0, "dies"), true);
		connect.has_will = connect.will.retain = true;
		connect.will.topic = slice_text(of_will);
		connect.will.payload = slice_text(large);
		mqtt_set(&connect.will.properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
		connect.will.properties.message_expiry_s = 10;
		dies = come_up(&bench, 0, &connect, false);
		peer_publish(from, RETAIN, 0, of_will, "", "old");
		peer_publish(from, RETAIN, 0, topic, "", "old");
		fill_memory(from, 20000);
		fill_memory(from, 500);
		kept = counted(&bench, RETAINED);
		peer_publish(from, RETAIN, 0, topic, "", large);
		ck_assert_uint_eq(counted(&bench, RETAINED), kept - 1);
		peer_lose(dies);
		ck_assert_uint_eq(counted(&bench, WILLS_PUBLISHED), 1);
		ck_assert_uint_eq(counted(&bench, RETAINED), kept - 2);
		bench_restart(&bench);
	}
	bench_finish(&bench);
}
END_TEST

/* PUBLISHes to very many topics, retained, as one read each thousand. */
static void publish_many(struct peer *from, unsigned count, const char *payload)
{
	static uint8_t bytes[20 * 1000];
	size_t at = 0;

	for (unsigned i = 0; i < count; i++) {
		char topic[16];
		int len = snprintf(topic, sizeof topic, "m/%u", i);

		at += (size_t)sprintf((char *)bytes + at, "\x31%c", 3 + len + (int)strlen(payload));
		bytes[at++] = 0;
		at += (size_t)sprintf((char *)bytes + at, "%c%s", len, topic);
		bytes[at++] = 0;
		at += (size_t)sprintf((char *)bytes + at, "%s", payload);
		if (i % 1000 == 999 || i + 1 == count) {
			peer_bytes(from, slice_of(bytes, at));
			at = 0;
		}
	}
}

/* So many retained messages below "large", or below "other", has it got? */
static unsigned found(const struct peer *peer, const char *below)
{
	struct slice prefix = slice_text(below);
	unsigned count = 0;

	for (size_t at = 0; at < peer->in_len;) {
		struct frame frame;
		struct mqtt_publish publish;

		ck_assert_int_eq(frame_cut(slice_of(peer->in + at, peer->in_len - at), &frame),
				 FRAME_WHOLE);
		at += frame.size;
		if (frame.type != MQTT_PUBLISH)
			continue;
		ck_assert_int_eq(mqtt_decode_publish(frame.flags, frame.body, V5, &publish),
				 MQTT_SUCCESS);
		count += publish.retain && publish.topic.len >= prefix.len &&
			 memcmp(publish.topic.at, prefix.at, prefix.len) == 0;
	}
	return count;
}

/* However much is cleared where a walk stands: it goes on to what is there, and holds next to
 * nothing of the rest back. */
START_TEST(walk_goes_on)
{
	enum { MANY = 65537, LARGE = 70 };
	struct peer *from, *to;
	char topic[16];
	static char payload[4097];

	memset(payload, 'p', sizeof payload - 1);
	bench_init(&bench, 1);
	bench.settings.max_retained_messages = 2 * MANY;
	bench.settings.max_retained_bytes = 1u << 30;
	bench.settings.memory_limit = 1u << 30;
	bench_start(&bench);
	from = new_peer(&bench, V5, "from");
	for (unsigned i = 0; i < LARGE; i++) {
		snprintf(topic, sizeof topic, "large/%u", i);
		peer_publish(from, RETAIN, 0, topic, "", payload);
	}
	peer_publish(from, RETAIN, 0, "other", "", "x");
	publish_many(from, MANY, "x");
	to = new_peer(&bench, V5, "to");
	to->full = true;
	peer_send(to, 0x82, "00 01 00 00 01 '#' 00"); /* the latest of a level come first */
	peer_send(to, 0x82, "00 02 00 00 05 'other' 00");
	for (unsigned i = 0; i < LARGE; i += 2) {
		snprintf(topic, sizeof topic, "large/%u", i);
		peer_publish(from, RETAIN, 0, topic, "", "");
	}
	publish_many(from, MANY, "");
	ck_assert_uint_lt(bench.shards[0]->retained.limbo_count, 1000);
	publish_many(from, MANY, "x");
	publish_many(from, MANY, "");
	peer_unblock(to);
	ck_assert_uint_eq(found(to, "large"), LARGE / 2);
	ck_assert_uint_eq(found(to, "other"), 2);
	ck_assert_uint_eq(counted(&bench, RETAINED), LARGE / 2 + 1);
	bench_finish(&bench);
}
END_TEST

Suite *shard_retain_room_suite(void)
{
	const TTest *tests[] = {
	    limited,
	    limits_are_for_clients,
	    cleared_when_memory_is_full,
	    cleared_for_its_own_record,
	    not_kept,
	    levels_of_a_topic,
	    not_even_passed_on,
	    no_memory_to_keep_it,
	    walk_goes_on,
	};

	return suite_of("shard_retain_room", tests, COUNT_OF(tests));
}
