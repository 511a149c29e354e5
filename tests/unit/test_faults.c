/* What a hostile client may try on a shard: each test stands for a fault that was there once. */
#include <stdio.h>

#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V5 MQTT_VERSION_5_0

/* A packet under construction, larger than the notation of packets.h is good for. */
struct bytes {
	uint8_t *bytes;
	size_t len, room;
};

static void add(struct bytes *packet, const void *bytes, size_t len)
{
	while (packet->len + len > packet->room) {
		packet->room = packet->room ? packet->room * 2 : 4096;
		packet->bytes = realloc(packet->bytes, packet->room);
		ck_assert_ptr_nonnull(packet->bytes);
	}
	memcpy(packet->bytes + packet->len, bytes, len);
	packet->len += len;
}

static void add_text(struct bytes *packet, const char *text)
{
	size_t len = strlen(text);
	uint8_t prefix[] = {(uint8_t)(len >> 8), (uint8_t)len};

	add(packet, prefix, sizeof prefix);
	add(packet, text, len);
}

/* A length of three bytes. */
static void add_length(struct bytes *packet, size_t len)
{
	uint8_t bytes[] = {(uint8_t)(len | 0x80), (uint8_t)(len >> 7 | 0x80), (uint8_t)(len >> 14)};

	ck_assert_uint_gt(len >> 14, 0); /* or it would have a shorter form */
	add(packet, bytes, sizeof bytes);
}

/* SUBSCRIBE of 5.0 with packet identifier 1 and these entries. */
static void send_subscribe(struct peer *peer, struct bytes *entries)
{
	struct bytes whole = {0};

	add(&whole, "\x82", 1);
	add_length(&whole, entries->len + 3);
	add(&whole, "\0\1\0", 3);
	add(&whole, entries->bytes, entries->len);
	peer_bytes(peer, slice_of(whole.bytes, whole.len));
	free(whole.bytes);
	free(entries->bytes);
}

/* `count` filters of a pattern with a number in it, all with these options. */
static void subscribe_many(struct peer *peer, const char *pattern, unsigned count, uint8_t options)
{
	struct bytes entries = {0};
	char filter[512];

	for (unsigned i = 0; i < count; i++) {
		snprintf(filter, sizeof filter, pattern, i);
		add_text(&entries, filter);
		add(&entries, &options, 1);
	}
	send_subscribe(peer, &entries);
}

/* The codes of the SUBACK that came, which is the only packet. */
static struct slice suback_codes(struct peer *peer, size_t count)
{
	struct frame frame;

	ck_assert_int_eq(frame_cut(slice_of(peer->in, peer->in_len), &frame), FRAME_WHOLE);
	ck_assert_uint_eq(frame.type, MQTT_SUBACK);
	ck_assert_uint_eq(frame.body.len, 3 + count);
	ck_assert_uint_eq(frame.size, peer->in_len);
	peer->in_len = 0;
	return slice_after(frame.body, 3);
}

/* Each membership has a number of 16 bits: once they were all given, looking for a free one never
 * ended. */
START_TEST(shared_memberships_end)
{
	enum { ASKED = 1100, GRANTED = 1024 };
	struct peer *peer;
	struct slice codes;

	bench_init(&bench, 1);
	bench.settings.max_subscriptions = 1000000;
	bench_start(&bench);
	peer = new_peer(&bench, V5, "c");
	subscribe_many(peer, "$share/group/topic/number/%u", ASKED, 0);
	codes = suback_codes(peer, ASKED);
	for (unsigned i = 0; i < ASKED; i++)
		ck_assert_uint_eq(codes.at[i], i < GRANTED ? 0 : MQTT_QUOTA_EXCEEDED);
	ck_assert_uint_eq(counted(&bench, SHARED_SUBSCRIPTIONS), GRANTED);
	peer_lose(peer);
	ck_assert_uint_eq(counted(&bench, SHARED_SUBSCRIPTIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* What came by several groups goes back to each of them, in one pass. [MQTT-4.8.2-6] */
START_TEST(memberships_given_back)
{
	struct mqtt_connect connect = connect_of(V5, "first", true);
	struct peer *from, *first, *second;

	bench_begin(&bench, 1);
	mqtt_set(&connect.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	connect.properties.receive_maximum = 2;
	from = new_peer(&bench, V5, "from");
	first = come_up(&bench, 0, &connect, false);
	subscribe(first, "$share/g/a", 1);
	subscribe(first, "$share/g/b", 1);
	for (unsigned i = 0; i < 2; i++) {
		peer_publish(from, 0, 0, "never seen", "", "");
		peer_publish(from, QOS(1), 1, "a", "", i ? "a2" : "a1");
		peer_publish(from, QOS(1), 1, "b", "", i ? "b2" : "b1");
	}
	expect_publish(first, QOS(1), 1, "a", "", "a1");
	expect_publish(first, QOS(1), 2, "b", "", "b1");
	second = new_peer(&bench, V5, "second");
	subscribe(second, "$share/g/a", 1);
	subscribe(second, "$share/g/b", 1);
	expect_nothing(second);
	peer_lose(first);
	expect_publish(second, QOS(1), 1, "a", "", "a1");
	expect_publish(second, QOS(1), 2, "b", "", "b1");
	expect_publish(second, QOS(1), 3, "a", "", "a2");
	expect_publish(second, QOS(1), 4, "b", "", "b2");
	bench_finish(&bench);
}
END_TEST

/*
 * [MQTT-3.1.2-24]: a new alias makes a packet larger by up to five bytes, when both of
 * its lengths need one more.
 */
START_TEST(alias_within_packet_size)
{
	enum { CONTENT_TYPE = 122, PAYLOAD = 16251, WITHOUT_ALIAS = 16383 };
	struct mqtt_connect connect = connect_of(V5, "to", true);
	static char payload[PAYLOAD + 1], properties[CONTENT_TYPE + 32];
	struct peer *from, *to;
	struct frame frame;

	memset(payload, 'p', PAYLOAD);
	snprintf(properties, sizeof properties, "03 00 7A '%0*d'", CONTENT_TYPE, 0);
	bench_begin(&bench, 1);
	mqtt_set(&connect.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	mqtt_set(&connect.properties, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM);
	connect.properties.maximum_packet_size = WITHOUT_ALIAS + 4;
	connect.properties.topic_alias_maximum = 10;
	from = new_peer(&bench, V5, "from");
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "t", 0);
	peer_publish(from, 0, 0, "t", properties, payload);
	ck_assert_int_eq(frame_cut(slice_of(to->in, to->in_len), &frame), FRAME_WHOLE);
	ck_assert_uint_eq(frame.size, WITHOUT_ALIAS);
	bench_finish(&bench);
}
END_TEST

/*
 * A message that memory does not allow, at whatever point that is found out, teaches the client no
 * alias: one that it was never sent would stand for nothing, and end the connection.
 */
START_TEST(alias_of_what_was_not_sent)
{
	enum { ROOM = 131072, BORROWED = 4096 };
	struct mqtt_connect connect = connect_of(V5, "to", true);
	struct event event = {.type = EVENT_PUBLISH, .text = SLICE_LITERAL("topic")};
	static uint8_t payload[ROOM];
	struct peer *to;
	uint64_t left;

	bench_begin(&bench, 1);
	mqtt_set(&connect.properties, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM);
	connect.properties.topic_alias_maximum = 10;
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "topic", 0);
	bench_event(&bench, 0, &(struct event){.type = EVENT_TIMERS}); /* MEMORY is of now */
	/* What the shard has taken and not charged: room for the payload, not for a message. */
	left = (uint64_t)atomic_load(&bench.budget.used) - counted(&bench, MEMORY);
	ck_assert_uint_gt(left, BORROWED + 64);
	ck_assert_uint_le(left, ROOM);
	event.bytes = slice_of(payload, left - 16);
	atomic_store(&bench.budget.limit, 0);
	bench_event(&bench, 0, &event);
	expect_nothing(to);
	ck_assert_uint_eq(counted(&bench, DROPPED_MEMORY), 1);
	atomic_store(&bench.budget.limit, INT64_MAX);
	event.bytes = SLICE_LITERAL("small");
	bench_event(&bench, 0, &event);
	expect_publish(to, 0, 0, "topic", "23 0001", "small");
	bench_finish(&bench);
}
END_TEST

/* What memory does not allow for its properties is refused, not acknowledged and dropped. */
START_TEST(properties_count)
{
	enum { PROPERTIES = 4, VALUE = 50000 };
	static char value[VALUE + 1];
	struct bytes body = {0}, packet = {0};
	struct peer *from, *to;

	memset(value, 'v', VALUE);
	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 1);
	from = new_peer(&bench, V5, "from");
	for (unsigned i = 0; i < PROPERTIES; i++) {
		add(&body, "\x26", 1);
		add_text(&body, "name");
		add_text(&body, value);
	}
	add(&packet, "\x32", 1);
	add_length(&packet, body.len + 8);
	add(&packet, "\0\1t\0\1", 5);
	add_length(&packet, body.len);
	add(&packet, body.bytes, body.len);
	atomic_store(&bench.budget.limit, atomic_load(&bench.budget.used) + 128 * 1024);
	peer_bytes(from, slice_of(packet.bytes, packet.len));
	expect(from, 0x40, "0001 97");
	expect_nothing(to);
	free(packet.bytes);
	free(body.bytes);
	bench_finish(&bench);
}
END_TEST

/* A filter of 200 levels is 200 nodes: they count against memory_limit, and go with it. */
START_TEST(levels_are_charged)
{
	enum { LEVELS = 200, NODE = 24 };
	char filter[2 * LEVELS];
	struct peer *peer;
	uint64_t before, with, after;

	for (unsigned i = 0; i < LEVELS; i++)
		memcpy(filter + 2 * i, "a/", 2);
	filter[2 * LEVELS - 1] = 0;
	bench_begin(&bench, 1);
	peer = new_peer(&bench, V5, "c");
	before = counted(&bench, MEMORY);
	subscribe(peer, filter, 0);
	with = counted(&bench, MEMORY);
	ck_assert_uint_ge(with, before + LEVELS * NODE);
	peer_lose(peer);
	after = counted(&bench, MEMORY);
	ck_assert_uint_lt(after, before);
	bench_finish(&bench);
}
END_TEST

/* Also within one packet: it is not taken whole because there was room before it. */
START_TEST(levels_are_charged_at_once)
{
	enum { LEVELS = 200, FILTERS = 1000, LIMIT = 2 * 1024 * 1024 };
	char pattern[2 * LEVELS + 8] = "%u";
	struct slice codes;
	struct peer *peer;

	for (unsigned i = 1; i < LEVELS; i++)
		memcpy(pattern + 2 * i, "/a", 3);
	bench_init(&bench, 1);
	bench.settings.memory_limit = LIMIT;
	bench_start(&bench);
	peer = new_peer(&bench, V5, "c");
	subscribe_many(peer, pattern, FILTERS, 0);
	ck_assert_uint_lt(counted(&bench, MEMORY), LIMIT + LIMIT / 4);
	codes = suback_codes(peer, FILTERS);
	ck_assert_uint_eq(codes.at[0], 0);
	ck_assert_uint_eq(codes.at[FILTERS - 1], MQTT_QUOTA_EXCEEDED);
	bench_finish(&bench);
}
END_TEST

/* Nobody waits for more of one packet than so many levels, each of which may be a node. */
START_TEST(levels_of_one_packet)
{
	enum { LEVELS = 200, TAKEN = 524288 / LEVELS };
	char pattern[2 * LEVELS + 8] = "";
	struct slice codes;
	struct peer *peer;

	for (unsigned i = 0; i < LEVELS - 1; i++)
		memcpy(pattern + 2 * i, "a/%u", 5);
	bench_init(&bench, 1);
	bench.settings.max_packet_size = 4 * TAKEN * LEVELS;
	bench.settings.max_subscriptions = TAKEN + 1;
	bench_start(&bench);
	peer = new_peer(&bench, V5, "c");
	subscribe_many(peer, pattern, TAKEN + 1, 0);
	codes = suback_codes(peer, TAKEN + 1);
	ck_assert_uint_eq(codes.at[TAKEN - 1], 0);
	ck_assert_uint_eq(codes.at[TAKEN], MQTT_QUOTA_EXCEEDED);
	bench_finish(&bench);
}
END_TEST

/* One packet with very many filters is as much work under way as very many packets. */
START_TEST(filters_under_way)
{
	struct mqtt_connect connect = connect_of(V5, "c", true);
	struct peer *peer;

	bench_init(&bench, 1);
	bench.durable = true;
	bench_start(&bench);
	mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	connect.properties.session_expiry_s = 1000;
	peer = come_up(&bench, 0, &connect, false);
	bench.hold_store = true;
	subscribe_many(peer, "a/topic/with/some/length/and/a/number/at/the/end/%u", 400, 0);
	ck_assert(!peer->reading);
	bench.hold_store = false;
	bench_settle(&bench);
	ck_assert(peer->reading);
	suback_codes(peer, 400);
	bench_finish(&bench);
}
END_TEST

static unsigned mails(enum mail_type type)
{
	unsigned count = 0;

	for (const struct mail *mail = bench.mail; mail; mail = mail->next)
		count += mail->type == type;
	return count;
}

/* The same filter again and again brings its retained messages again, but some times at most. */
START_TEST(retained_asked_some_times)
{
	enum { TIMES = 2000, WALKS = 16 };
	struct mqtt_connect connect;
	struct peer *from, *to;
	const char *topic;

	bench_begin(&bench, 2);
	topic = bench_name(&bench, 1, "a-topic-");
	from = new_peer(&bench, V5, bench_name(&bench, 1, "from"));
	peer_publish(from, RETAIN, 0, topic, "", "x");
	connect = connect_of(V5, bench_name(&bench, 0, "to"), true);
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, topic, 2 << 4);
	expect_nothing(to);
	bench.hold_mail = true;
	subscribe_many(to, topic, TIMES, 0);
	suback_codes(to, TIMES);
	ck_assert_uint_eq(mails(MAIL_RETAIN_SCAN), 1);
	ck_assert_uint_eq(mails(MAIL_RETAIN_STOP), 0);
	bench.hold_mail = false;
	bench_settle(&bench);
	for (unsigned i = 0; i < WALKS; i++)
		expect_publish(to, RETAIN, 0, topic, "", "x");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* A walk that UNSUBSCRIBE ends makes way for the next one. */
START_TEST(retained_go_on_after_unsubscribe)
{
	struct mqtt_connect connect;
	struct peer *from, *to;
	const char *first, *second;
	char body[64];

	bench_begin(&bench, 2);
	first = bench_name(&bench, 1, "first");
	second = bench_name(&bench, 1, "second");
	from = new_peer(&bench, V5, bench_name(&bench, 1, "from"));
	peer_publish(from, RETAIN, 0, first, "", "1");
	peer_publish(from, RETAIN, 0, second, "", "2");
	connect = connect_of(V5, bench_name(&bench, 0, "to"), true);
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, first, 2 << 4); /* so that the routes are known */
	subscribe(to, second, 2 << 4);
	bench.hold_mail = true;
	subscribe(to, first, 0);
	subscribe(to, second, 0);
	ck_assert_uint_eq(mails(MAIL_RETAIN_SCAN), 1);
	snprintf(body, sizeof body, "00 09 00 00 %02x '%s'", (unsigned)strlen(first), first);
	peer_send(to, 0xA2, body);
	expect(to, 0xB0, "00 09 00 00");
	bench.hold_mail = false;
	bench_settle(&bench);
	expect_publish(to, RETAIN, 0, second, "", "2");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/*
 * A client with very many filters, whose retained messages wait because it does not read, makes a
 * live publish no dearer: that is noted once for its topic, not for each filter.
 */
START_TEST(live_is_noted_once)
{
	enum { LEVELS = 8, FILTERS = 1 << LEVELS, LARGE = 70, EACH = 16 };
	static char payload[4097];
	struct bytes entries = {0};
	struct peer *from, *to;
	uint64_t before;
	char text[32];

	memset(payload, 'p', sizeof payload - 1);
	bench_begin(&bench, 1);
	from = new_peer(&bench, V5, "from");
	for (unsigned i = 0; i < LARGE; i++) {
		snprintf(text, sizeof text, "large/%u", i);
		peer_publish(from, RETAIN, 0, text, "", payload);
	}
	to = new_peer(&bench, V5, "to");
	to->full = true;
	peer_send(to, 0x82, "00 01 00 00 07 'large/#' 00");
	for (unsigned i = 0; i < FILTERS; i++) { /* each level itself, or any */
		for (unsigned level = 0; level < LEVELS; level++)
			memcpy(text + 2 * level, i >> level & 1 ? "+/" : "t/", 2);
		text[2 * LEVELS - 1] = 0;
		add_text(&entries, text);
		add(&entries, "", 1);
	}
	for (; entries.len < 1 << 14;) { /* of which there may be any number */
		add_text(&entries, "other");
		add(&entries, "", 1);
	}
	send_subscribe(to, &entries);
	peer_publish(from, RETAIN, 0, "t/t/t/t/t/t/t/t", "", "x");
	before = counted(&bench, MEMORY);
	peer_publish(from, RETAIN, 0, "t/t/t/t/t/t/t/u", "", "x");
	ck_assert_uint_lt(counted(&bench, MEMORY), before + FILTERS / 2 * EACH);
	bench_finish(&bench);
}
END_TEST

/* Coming and going tells each group: the mail of a turn is gone before the next one makes more. */
START_TEST(mail_keeps_up)
{
	enum { MEMBERSHIPS = 1000 };
	struct mqtt_connect connect = connect_of(V5, "c", false);
	struct peer *peer;

	bench_begin(&bench, 1);
	mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	connect.properties.session_expiry_s = 1000;
	peer = come_up(&bench, 0, &connect, false);
	subscribe_many(peer, "$share/group/topic/number/%u", MEMBERSHIPS, 0);
	suback_codes(peer, MEMBERSHIPS);
	peer->open = false; /* by hand, so that nothing else is handled */
	shard_handle(bench.shards[0], bench.now,
		     &(struct event){.type = EVENT_LINK_CLOSED, .link = peer->link});
	ck_assert_uint_gt(shard_next_timer(bench.shards[0]), bench.now.ms);
	bench_finish(&bench);
}
END_TEST

/* A stored session that comes back with expiry 0 ends with its connection, also when the broker
 * dies. [MQTT-3.1.2-23] */
START_TEST(expiry_lowered_to_none)
{
	struct mqtt_connect connect = connect_of(V5, "c", false);
	struct peer *peer;

	bench_init(&bench, 1);
	bench.durable = true;
	bench_start(&bench);
	mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	connect.properties.session_expiry_s = 1000;
	peer = come_up(&bench, 0, &connect, false);
	peer_lose(peer);
	connect.properties.session_expiry_s = 0;
	come_up(&bench, 0, &connect, true);
	bench_restart(&bench);
	bench_pass_ms(&bench, 100);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	come_up(&bench, 0, &connect, false);
	bench_finish(&bench);
}
END_TEST

/* A connection that takes over while the row is being put waits for a commit of its own. */
START_TEST(taken_over_while_storing)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, "c", false);
	struct peer *first, *second;

	mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	connect.properties.session_expiry_s = 1000;
	bench_init(&bench, 1);
	bench.durable = true;
	bench_start(&bench);
	bench.hold_store = true;
	bench.refuse_batches = 1;
	first = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(first, &connect);
	second = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(second, &connect);
	expect_nothing(second);
	bench.hold_store = false;
	bench_settle(&bench);
	expect_connack(second, MQTT_SUCCESS);
	bench_restart(&bench);
	come_up(&bench, 0, &connect, true); /* what CONNACK said holds */
	bench_finish(&bench);
}
END_TEST

Suite *faults_suite(void);

Suite *faults_suite(void)
{
	Suite *suite = suite_create("faults");
	TCase *tcase = tcase_create("faults");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, shared_memberships_end);
	tcase_add_test(tcase, memberships_given_back);
	tcase_add_test(tcase, alias_within_packet_size);
	tcase_add_test(tcase, alias_of_what_was_not_sent);
	tcase_add_test(tcase, properties_count);
	tcase_add_test(tcase, levels_are_charged);
	tcase_add_test(tcase, levels_are_charged_at_once);
	tcase_add_test(tcase, levels_of_one_packet);
	tcase_add_test(tcase, filters_under_way);
	tcase_add_test(tcase, retained_asked_some_times);
	tcase_add_test(tcase, retained_go_on_after_unsubscribe);
	tcase_add_test(tcase, live_is_noted_once);
	tcase_add_test(tcase, mail_keeps_up);
	tcase_add_test(tcase, expiry_lowered_to_none);
	tcase_add_test(tcase, taken_over_while_storing);
	suite_add_tcase(suite, tcase);
	return suite;
}
