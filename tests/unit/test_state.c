/* What a shard holds in RAM only, written and read back: state.h. */
#include <stdio.h>

#include "broker/core/state.h"
#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V5 MQTT_VERSION_5_0

static struct mqtt_connect lasting(const char *id)
{
	struct mqtt_connect connect = connect_lasting(V5, id, 1000);

	mqtt_set(&connect.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	connect.properties.receive_maximum = 3;
	return connect;
}

static void begin(unsigned shards)
{
	bench_init(&bench, shards);
	bench.durable = true;
	bench_start(&bench);
}

/* The bytes of one shard, in a block of exactly their length. */
static struct slice written(unsigned shard)
{
	struct slice bytes, copy;

	shard_write_state(bench.shards[shard], bench.now, &bytes);
	copy = bytes_copy(bytes);
	state_free(bench.shards[shard], &bytes);
	ck_assert_ptr_null(bytes.at);
	return copy;
}

static bool read_back(unsigned shard, struct slice bytes)
{
	struct failure failure = {""};
	bool whole = shard_read_state(bench.shards[shard], bench.now, bytes, &failure);

	ck_assert(whole == (failure.text[0] == 0));
	bench_event(&bench, shard, &(struct event){.type = EVENT_TIMERS});
	return whole;
}

/* A session with deliveries in every state, and one whose will waits. */
static void fill(const char *id, const char *will_id)
{
	struct mqtt_connect connect = lasting(id), with_will = lasting(will_id);
	struct peer *from, *to, *other;

	from = new_peer(&bench, V5, "from");
	peer_publish(from, RETAIN | QOS(1), 1, "kept", "03 00 01 'c'", "retained");
	expect(from, 0x40, "00 01 10");
	to = come_up(&bench, 0, &connect, false);
	subscribe_as(to, "t/#", 2, 5);
	subscribe_as(to, "t/+", 2, 7);
	peer_send(to, 0x34, "00 01 'n' 00 09 00 'received'");
	expect(to, 0x50, "00 09");
	peer_publish(from, QOS(1), 2, "t/1", "", "one");
	peer_publish(from, QOS(2), 3, "t/2", "02 00 00 00 64", "two");
	peer_publish(from, QOS(2), 4, "t/3", "", "three");
	peer_publish(from, QOS(1), 5, "t/4", "", "four");
	peer_send(to, 0x50, "00 03");
	peer_lose(to);
	with_will.has_will = true;
	with_will.will.qos = 1;
	with_will.will.topic = slice_text("t/will");
	with_will.will.payload = slice_text("gone");
	mqtt_set(&with_will.will.properties, MQTT_PROPERTY_WILL_DELAY_INTERVAL);
	mqtt_set(&with_will.will.properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
	with_will.will.properties.will_delay_s = 100;
	with_will.will.properties.message_expiry_s = 60;
	other = come_up(&bench, 0, &with_will, false);
	peer_lose(other);
	peer_lose(from);
}

/* What the client of fill() finds when it comes back: everything goes on where it was. */
static void expect_filled(const char *id)
{
	struct mqtt_connect connect = lasting(id);
	struct peer *to = come_up(&bench, 0, &connect, true);

	/* [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-3.3.4-3] */
	expect(to, 0x62, "00 03");
	expect_publish(to, DUP | QOS(1), 1, "t/1", "0B 05 0B 07", "one");
	expect_publish(to, DUP | QOS(2), 2, "t/2", "0B 05 0B 07 02 00 00 00 5A", "two");
	expect_nothing(to);
	peer_send(to, 0x40, "00 01");
	expect_publish(to, QOS(1), 4, "t/4", "0B 05 0B 07", "four");
	peer_send(to, 0x70, "00 03");
	peer_send(to, 0x50, "00 02");
	expect(to, 0x62, "00 02");
	/* [MQTT-4.3.3-10]: the broker has that one already. */
	peer_send(to, 0x3C, "00 03 't/9' 00 09 00 'received'");
	expect(to, 0x50, "00 09");
	peer_send(to, 0x62, "00 09");
	expect(to, 0x70, "00 09");
	expect_nothing(to);
	subscribe(to, "kept", 1);
	expect_publish(to, RETAIN | QOS(1), 5, "kept", "03 00 01 'c'", "retained");
	peer_send(to, 0x40, "00 04");
	bench_pass_ms(&bench, 89000); /* nobody comes back for the will's session */
	expect_nothing(to);
	bench_pass_ms(&bench, 2000);
	expect_publish(to, QOS(1), 7, "t/will", "0B 05 0B 07 02 00 00 00 3C", "gone");
	expect_nothing(to);
}

START_TEST(round_trip)
{
	struct slice bytes;

	begin(1);
	fill("c", "w");
	bench_pass_ms(&bench, 10000);
	bytes = written(0);
	bench_restart(&bench);
	ck_assert(read_back(0, bytes));
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 3);
	ck_assert_uint_eq(counted(&bench, QUEUED), 1);
	ck_assert_uint_eq(counted(&bench, WILLS), 1);
	ck_assert_uint_eq(counted(&bench, RETAINED), 1);
	expect_filled("c");
	ck_assert_uint_eq(counted(&bench, QUEUED), 0);
	ck_assert_uint_eq(counted(&bench, QUEUED_BYTES), 0);
	ck_assert_uint_eq(counted(&bench, WILLS), 0);
	bytes_free(bytes);
	bench_finish(&bench);
}
END_TEST

/* One message for many sessions is written once, and is one again. */
START_TEST(messages_are_shared)
{
	enum { SESSIONS = 10, PAYLOAD = 20000 };
	static char payload[PAYLOAD + 1];
	struct peer *from;
	struct slice bytes;
	uint64_t before, after;
	char id[8];

	memset(payload, 'p', PAYLOAD);
	begin(1);
	for (unsigned i = 0; i < SESSIONS; i++) {
		snprintf(id, sizeof id, "c%u", i);
		struct mqtt_connect connect = lasting(id);
		struct peer *peer = come_up(&bench, 0, &connect, false);

		subscribe(peer, "t", 1);
		peer_lose(peer);
	}
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(1), 1, "t", "", payload);
	peer_lose(from);
	bytes = written(0);
	ck_assert_uint_lt(bytes.len, 2 * PAYLOAD);
	bench_restart(&bench);
	before = counted(&bench, MEMORY);
	ck_assert(read_back(0, bytes));
	ck_assert_uint_eq(counted(&bench, QUEUED), SESSIONS);
	after = counted(&bench, MEMORY);
	ck_assert_uint_gt(after, before + PAYLOAD);
	ck_assert_uint_lt(after, before + 2 * PAYLOAD);
	bytes_free(bytes);
	bench_finish(&bench);
}
END_TEST

/* Each shard takes its own out of the bytes of any, and passes over the rest. */
START_TEST(other_shards)
{
	struct slice bytes[BENCH_SHARDS];
	const char *id, *will_id;

	begin(BENCH_SHARDS);
	id = bench_name(&bench, 1, "c");
	will_id = bench_name(&bench, 2, "w");
	fill(id, will_id);
	bench_pass_ms(&bench, 10000);
	for (unsigned i = 0; i < BENCH_SHARDS; i++)
		bytes[i] = written(i);
	bench_restart(&bench);
	for (unsigned from = 0; from < BENCH_SHARDS; from++)
		for (unsigned to = 0; to < BENCH_SHARDS; to++)
			ck_assert(read_back(to, bytes[from]));
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 3);
	ck_assert_uint_eq(counted(&bench, QUEUED), 1);
	ck_assert_uint_eq(counted(&bench, WILLS), 1);
	ck_assert_uint_eq(counted(&bench, RETAINED), 1);
	expect_filled(id);
	for (unsigned i = 0; i < BENCH_SHARDS; i++)
		bytes_free(bytes[i]);
	bench_finish(&bench);
}
END_TEST

/* Reads into a new shard, then lets the client come and the will go, whatever was taken. */
static bool survives(struct slice bytes)
{
	struct mqtt_connect connect = lasting("c");
	struct peer *to;
	bool whole;

	bench_restart(&bench);
	whole = read_back(0, bytes);
	to = peer_open(&bench, 0, V5);
	peer_connect(to, &connect);
	bench_pass_ms(&bench, 200000);
	return whole;
}

START_TEST(cut_short)
{
	struct slice bytes;
	unsigned whole = 0;

	begin(1);
	fill("c", "w");
	bytes = written(0);
	for (size_t len = 0; len < bytes.len; len++) {
		struct slice part = bytes_copy(slice_of(bytes.at, len));

		whole += survives(part);
		bytes_free(part);
	}
	/* Only between two records; there are a header, six messages, one retained, two sessions.
	 */
	ck_assert_uint_eq(whole, 8);
	bytes_free(bytes);
	bench_finish(&bench);
}
END_TEST

START_TEST(damaged)
{
	static const uint8_t flips[] = {0x01, 0x02, 0x10, 0x80, 0xFF};
	struct slice bytes;
	unsigned refused = 0;

	begin(1);
	fill("c", "w");
	bytes = written(0);
	for (size_t at = 0; at < bytes.len; at++)
		for (size_t i = 0; i < sizeof flips; i++) {
			struct slice copy = bytes_copy(bytes);

			((uint8_t *)(uintptr_t)copy.at)[at] ^= flips[i];
			refused += !survives(copy);
			bytes_free(copy);
		}
	ck_assert_uint_gt(refused, bytes.len);
	bytes_free(bytes);
	bench_finish(&bench);
}
END_TEST

/* A message, and a session record that holds one item. */
#define HEADER "'MTRS' 02 "
#define MESSAGE                                                                                    \
	"01 00 00 00 21 00 00 00 01 01 00 FF FF FF FF FF FF FF FF 00 00 00 00 "                    \
	"00 00 00 01 't' 00 00 00 00 00 00 00 02 'hi' "
/* Another one with two bytes of properties: its length is that of MESSAGE and two. */
#define MESSAGE_WITH(properties)                                                                   \
	"01 00 00 00 23 00 00 00 01 01 00 FF FF FF FF FF FF FF FF 00 00 00 00 "                    \
	"00 00 00 01 't' 00 00 00 02 " properties " 00 00 00 02 'hi' "
#define SESSION(len) "03 00 00 00 " len " 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 'c' "

static const struct {
	const char *bytes;
	bool whole;
} made_up[] = {
    {HEADER, true},
    {HEADER MESSAGE, true},
    {HEADER MESSAGE "02 00 00 00 0C 00 00 00 01 00 00 00 00 00 00 00 09", true},
    {HEADER MESSAGE SESSION("11"), true},
    {HEADER MESSAGE SESSION("1F") "03 00 07 01 00 00 00 01 01 00 00 00 00 00", true},
    {HEADER "01 00 00 00 21 00 00 00 01 01 00 FF FF FF FF FF FF FF FF 00 00 00 00 "
	    "00 00 00 01 07 00 00 00 00 00 00 00 02 'hi'",
     false},				   /* a topic that no client may publish to */
    {HEADER MESSAGE_WITH("01 01"), true},  /* payload format indicator */
    {HEADER MESSAGE_WITH("01 02"), false}, /* with a value that it must not have */
    {HEADER MESSAGE_WITH("00 00"), false}, /* no property */
    {HEADER MESSAGE_WITH("0B 05"), false}, /* one that is not carried on */
    {"", false},
    {"'MTRX' 01", false},
    {"'MTRS' 01", false},
    {HEADER "04 00 00 00 00", false}, /* no such record */
    {HEADER "00 00 00 00 00", false},
    {HEADER "01 FF FF FF FF", false},					  /* longer than all */
    {HEADER "02 00 00 00 0C 00 00 00 01 00 00 00 00 00 00 00 09", false}, /* no such message */
    {HEADER MESSAGE "02 00 00 00 0C 00 00 00 00 00 00 00 00 00 00 00 09", false},
    {HEADER MESSAGE "02 00 00 00 04 00 00 00 01", false},
    {HEADER MESSAGE "02 00 00 00 0D 00 00 00 01 00 00 00 00 00 00 00 09 00",
     false},					      /* bytes left */
    {HEADER MESSAGE MESSAGE, false},		      /* the same number twice */
    {HEADER MESSAGE SESSION("12") "05", false},	      /* no such item */
    {HEADER MESSAGE SESSION("14") "01 00 00", false}, /* packet identifier 0 */
    /* in flight: identifier 0, state 0, state 4, QoS 2 waiting for PUBACK, QoS 0, no message */
    {HEADER MESSAGE SESSION("1F") "03 00 00 01 00 00 00 01 01 00 00 00 00 00", false},
    {HEADER MESSAGE SESSION("1F") "03 00 07 00 00 00 00 01 01 00 00 00 00 00", false},
    {HEADER MESSAGE SESSION("1F") "03 00 07 04 00 00 00 01 02 00 00 00 00 00", false},
    {HEADER MESSAGE SESSION("1F") "03 00 07 01 00 00 00 01 02 00 00 00 00 00", false},
    {HEADER MESSAGE SESSION("1F") "03 00 07 02 00 00 00 01 00 00 00 00 00 00", false},
    {HEADER MESSAGE SESSION("1F") "03 00 07 01 00 00 00 00 01 00 00 00 00 00", false},
    /* queued: QoS 3, more identifiers than bytes, identifier 0, one above the largest */
    {HEADER MESSAGE SESSION("1C") "04 00 00 00 01 03 00 00 00 00 00", false},
    {HEADER MESSAGE SESSION("1C") "04 00 00 00 01 01 00 FF FF FF FF", false},
    {HEADER MESSAGE SESSION("20") "04 00 00 00 01 01 00 00 00 00 01 00 00 00 00", false},
    {HEADER MESSAGE SESSION("20") "04 00 00 00 01 01 00 00 00 00 01 10 00 00 00", false},
    /* away for longer than a clock counts */
    {HEADER "03 00 00 00 11 00 00 00 00 80 00 00 00 00 00 00 00 00 00 00 01 'c'", false},
};

START_TEST(by_hand)
{
	struct slice bytes = bytes_parse(made_up[_i].bytes);

	begin(1);
	fill("c", "w");
	ck_assert_msg(survives(bytes) == made_up[_i].whole, "row %d", _i);
	bytes_free(bytes);
	bench_finish(&bench);
}
END_TEST

/* ---- beside the journal ---- */

/*
 * A broker that hands over has both: what the store remembers of exchanges, and what was in
 * memory.  They are the same deliveries, and go on with their messages.
 */
START_TEST(joined_with_the_journal)
{
	struct mqtt_connect from_connect = lasting("from"), to_connect = lasting("to");
	struct mqtt_connack connack;
	struct peer *from, *to;
	struct slice bytes;

	bench_init(&bench, 1);
	bench.durable = bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 1000;
	bench.settings.restart_grace_ms = 30000;
	bench_start(&bench);
	from = come_up(&bench, 0, &from_connect, false);
	to = come_up(&bench, 0, &to_connect, false);
	subscribe(to, "t", 2);
	for (uint16_t id = 1; id <= 3; id++)
		peer_publish(from, QOS(2), id, "t", "", "x");
	peer_send(to, 0x50, "00 02");
	bench_pass_ms(&bench, 2000); /* behind: those of 1 and 3 are let go */
	peer_send(from, 0x62, "00 01");
	peer_publish(from, QOS(1), 4, "t", "", "queued");
	peer_publish(from, QOS(1), 5, "t", "", "queued too");
	bench_event(&bench, 0, &(struct event){.type = EVENT_STOP});
	bytes = written(0);
	bench_restart(&bench);
	ck_assert(read_back(0, bytes));
	bytes_free(bytes);
	ck_assert_uint_eq(counted(&bench, QUEUES_LOST), 0);
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 3);
	ck_assert_uint_eq(counted(&bench, QUEUED), 2);
	to = peer_open(&bench, 0, V5);
	peer_connect(to, &to_connect);
	connack = expect_connack(to, 0);
	ck_assert(!mqtt_has(&connack.properties, MQTT_PROPERTY_USER_PROPERTY));
	expect(to, 0x62, "00 02");
	expect_publish(to, DUP | QOS(2), 1, "t", "", "x");
	expect_publish(to, DUP | QOS(2), 3, "t", "", "x");
	expect_nothing(to);
	from = come_up(&bench, 0, &from_connect, true);
	peer_publish(from, DUP | QOS(2), 3, "t", "", "x");
	expect(from, 0x50, "00 03");
	peer_send(to, 0x70, "00 02");
	expect_publish(to, QOS(1), 4, "t", "", "queued");
	peer_send(to, 0x50, "00 01");
	expect(to, 0x62, "00 01");
	peer_send(to, 0x70, "00 01");
	expect_publish(to, QOS(1), 5, "t", "", "queued too");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* Stops, with the store's answers late, and begins anew with the state that was written. */
static void restart_with_state(void)
{
	struct slice bytes;

	bench_event(&bench, 0, &(struct event){.type = EVENT_STOP});
	bench_store_all(&bench);
	bench.hold_store = false;
	bytes = written(0);
	bench_restart(&bench);
	ck_assert(read_back(0, bytes));
	bytes_free(bytes);
}

/* What was published is there with all its deliveries: sent again, it is the same. */
START_TEST(held_and_published)
{
	struct mqtt_connect from_connect = lasting("from"), to_connect = lasting("to"),
			    away_connect = lasting("away");
	struct peer *from, *to, *away;

	bench_init(&bench, 1);
	bench.durable = bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 1000;
	bench_start(&bench);
	from = come_up(&bench, 0, &from_connect, false);
	to = come_up(&bench, 0, &to_connect, false);
	away = come_up(&bench, 0, &away_connect, false);
	subscribe(to, "t", 2);
	subscribe(away, "t", 2);
	peer_lose(away);
	peer_publish(from, QOS(2), 1, "t", "", "published");
	bench.hold_store = true;
	peer_publish(from, QOS(2), 2, "t", "", "not recorded");
	restart_with_state();
	to = come_up(&bench, 0, &to_connect, true);
	away = come_up(&bench, 0, &away_connect, true);
	expect_publish(to, DUP | QOS(2), 1, "t", "", "published");
	expect_publish(away, QOS(2), 1, "t", "", "published");
	from = come_up(&bench, 0, &from_connect, true);
	peer_publish(from, DUP | QOS(2), 1, "t", "", "published");
	expect(from, 0x50, "00 01");
	expect_nothing(to);
	expect_nothing(away);
	peer_publish(from, DUP | QOS(2), 2, "t", "", "not recorded");
	expect_publish(to, QOS(2), 2, "t", "", "not recorded");
	expect_publish(away, QOS(2), 2, "t", "", "not recorded");
	bench_finish(&bench);
}
END_TEST

/* One of QoS 0 that waited behind a record is there, behind what was recorded. */
START_TEST(behind_a_record)
{
	struct mqtt_connect to_connect = lasting("to");
	struct peer *from, *to;

	bench_init(&bench, 1);
	bench.durable = bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 1000;
	bench_start(&bench);
	from = new_peer(&bench, V5, "from");
	to = come_up(&bench, 0, &to_connect, false);
	subscribe(to, "t", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 1, "t", "", "recorded");
	peer_publish(from, RETAIN, 0, "t", "", "behind");
	expect_nothing(to);
	restart_with_state();
	to = come_up(&bench, 0, &to_connect, true);
	expect_publish(to, DUP | QOS(2), 1, "t", "", "recorded");
	expect_publish(to, 0, 0, "t", "", "behind");
	bench_finish(&bench);
}
END_TEST

Suite *state_suite(void);

Suite *state_suite(void)
{
	Suite *suite = suite_create("state");
	TCase *tcase = tcase_create("state");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, round_trip);
	tcase_add_test(tcase, messages_are_shared);
	tcase_add_test(tcase, other_shards);
	tcase_add_test(tcase, cut_short);
	tcase_add_test(tcase, damaged);
	tcase_add_loop_test(tcase, by_hand, 0, COUNT_OF(made_up));
	tcase_add_test(tcase, joined_with_the_journal);
	tcase_add_test(tcase, held_and_published);
	tcase_add_test(tcase, behind_a_record);
	suite_add_tcase(suite, tcase);
	return suite;
}
