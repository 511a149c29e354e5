/*
 * Sessions and wills: expiry, queues and their limits, memory, take-over.  MQTT 5.0 sections
 * 3.1.2, 3.1.3, 3.14, 4.1, 4.5.
 */
#include "storage/mem_store.h"
#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V3 MQTT_VERSION_3_1_1
#define V5 MQTT_VERSION_5_0

/* ---- expiry ---- */

/* [MQTT-3.1.2-23] [MQTT-4.1.0-2]: counts from the end of the connection; 0 ends with it. */
START_TEST(session_expires)
{
	struct mqtt_connect ten = connect_lasting(V5, "ten", 10),
			    none = connect_lasting(V5, "none", 0);
	struct mqtt_connect ever = connect_lasting(V5, "ever", UINT32_MAX);
	struct peer *peer;

	bench_begin(&bench, 1);
	peer_lose(come_up(&bench, 0, &none, false));
	peer_lose(come_up(&bench, 0, &ever, false));
	peer = come_up(&bench, 0, &ten, false);
	bench_pass_ms(&bench, 60000);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 2);
	peer_lose(peer);
	bench_pass_ms(&bench, 9900);
	peer = come_up(&bench, 0, &ten, true);
	peer_lose(peer);
	bench_pass_ms(&bench, 10100);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	ck_assert_uint_eq(counted(&bench, SESSIONS_EXPIRED), 1);
	peer_lose(come_up(&bench, 0, &ten, false));
	come_up(&bench, 0, &none, false);
	bench_pass_ms(&bench, 400000000);
	come_up(&bench, 0, &ever, true);
	bench_finish(&bench);
}
END_TEST

/* DISCONNECT may change the expiry; clean start drops the session. [MQTT-3.1.2-4] */
START_TEST(session_ends_when_told)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 10);
	struct peer *peer;

	bench_begin(&bench, 1);
	peer = come_up(&bench, 0, &connect, false);
	peer_send(peer, 0xE0, "00 05 11 00000064");
	bench_pass_ms(&bench, 50000);
	peer = come_up(&bench, 0, &connect, true);
	subscribe(peer, "t", 1);
	peer_send(peer, 0xE0, "00 05 11 00000000");
	expect_closed(peer);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	peer = come_up(&bench, 0, &connect, false);
	subscribe(peer, "t", 1);
	peer_lose(peer);
	connect.clean_start = true;
	peer = come_up(&bench, 0, &connect, false);
	ck_assert_uint_eq(counted(&bench, SUBSCRIPTIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* The operator's limit wins; the CONNACK says it. */
START_TEST(session_expiry_max)
{
	struct mqtt_connect old = connect_of(V3, "old", false);
	struct peer *peer;

	bench_init(&bench, 1);
	bench.settings.session_expiry_max_s = 20;
	bench_start(&bench);
	peer = come_up(&bench, 0, &old, false);
	peer_lose(peer);
	bench_pass_ms(&bench, 19900);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_pass_ms(&bench, 200);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 0);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.1.2-5] [MQTT-4.5.0-1]: subscriptions and what came while away. */
START_TEST(queue_while_away)
{
	struct mqtt_connect connect = connect_of(V3, "a", false);
	struct peer *peer, *from;

	bench_begin(&bench, 1);
	peer = come_up(&bench, 0, &connect, false);
	subscribe(peer, "t", 2);
	peer_send(peer, 0xE0, "");
	from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(0), 0, "t", "", "zero");
	peer_publish(from, QOS(1), 1, "t", "", "one");
	peer_publish(from, QOS(2), 2, "t", "", "two");
	ck_assert_uint_eq(counted(&bench, QUEUED), 2);
	ck_assert_uint_eq(counted(&bench, DROPPED_AWAY), 1);
	peer = come_up(&bench, 0, &connect, true);
	expect_publish(peer, QOS(1), 1, "t", "", "one");
	expect_publish(peer, QOS(2), 2, "t", "", "two");
	expect_nothing(peer);
	bench_finish(&bench);
}
END_TEST

/* Limits in number and in bytes; which one goes is the policy's. */
START_TEST(queue_limits)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	struct peer *peer, *from;

	for (int drop_old = 0; drop_old < 2; drop_old++) {
		bench_init(&bench, 1);
		bench.settings.max_queued_messages = 3;
		bench.settings.max_queued_bytes = 20;
		bench.settings.queue_qos0_messages = true;
		bench.settings.queue_policy = drop_old ? QUEUE_DROP_OLD : QUEUE_DROP_NEW;
		bench_start(&bench);
		peer = come_up(&bench, 0, &connect, false);
		subscribe(peer, "t", 1);
		peer_lose(peer);
		from = new_peer(&bench, V5, "from");
		peer_publish(from, QOS(0), 0, "t", "", "1");
		peer_publish(from, QOS(1), 2, "t", "", "2");
		peer_publish(from, QOS(1), 3, "t", "", "3");
		peer_publish(from, QOS(1), 4, "t", "", "4"); /* one too many */
		ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 1);
		ck_assert_uint_eq(counted(&bench, QUEUED), 3);
		ck_assert_uint_eq(counted(&bench, QUEUED_BYTES), 6);
		peer_publish(from, QOS(1), 5, "t", "", "123456789012345678");
		ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), drop_old ? 4 : 2);
		peer = come_up(&bench, 0, &connect, true);
		if (drop_old) {
			expect_publish(peer, QOS(1), 1, "t", "", "123456789012345678");
		} else {
			expect_publish(peer, QOS(0), 0, "t", "", "1");
			expect_publish(peer, QOS(1), 1, "t", "", "2");
			expect_publish(peer, QOS(1), 2, "t", "", "3");
		}
		expect_nothing(peer);
		ck_assert_uint_eq(counted(&bench, QUEUED_BYTES), 0);
		bench_finish(&bench);
	}
}
END_TEST

/* A reader that does not read: QoS 0 is dropped beyond the limit, others are served. */
START_TEST(slow_reader)
{
	struct peer *slow, *other;
	static char payload[1001];

	bench_init(&bench, 1);
	bench.settings.max_queued_bytes = 10000;
	bench_start(&bench);
	memset(payload, 'p', 1000);
	slow = new_peer(&bench, V5, "slow");
	other = new_peer(&bench, V5, "other");
	subscribe(slow, "t", 0);
	subscribe(other, "t", 0);
	slow->full = true;
	for (int i = 0; i < 50; i++) {
		peer_publish(other, 0, 0, "t", "", payload);
		expect_publish(other, 0, 0, "t", "", payload);
	}
	ck_assert_uint_ge(counted(&bench, DROPPED_SLOW), 40);
	peer_lose(slow);
	bench_finish(&bench);
}
END_TEST

/* ---- memory ---- */

/* At memory_limit messages are refused with 0x97, and taken again once there is room. */
START_TEST(memory_is_limited)
{
	struct mqtt_connect connect = connect_lasting(V5, "a", 100);
	static char payload[20001];
	struct peer *peer, *from;
	unsigned taken = 0;

	bench_init(&bench, 1);
	bench.settings.memory_limit = 512 * 1024;
	bench_start(&bench);
	memset(payload, 'p', 20000);
	peer = come_up(&bench, 0, &connect, false);
	subscribe(peer, "t", 1);
	peer_lose(peer);
	from = new_peer(&bench, V5, "from");
	for (uint16_t id = 1; id < 60; id++) {
		peer_publish(from, QOS(1), 1, "t", "", payload);
		ck_assert_uint_ge(from->in_len, 4);
		taken += from->in_len == 4;
		ck_assert(from->in_len == 4 || from->in[4] == MQTT_QUOTA_EXCEEDED);
		from->in_len = 0;
	}
	ck_assert_uint_ge(taken, 10);
	/* What has to be may take one more quantum of a purse, and leave of it. */
	ck_assert_uint_le(taken, (512 + 64) * 1024 / 20000);
	ck_assert_int_le(bench.budget.used, 512 * 1024 + 128 * 1024);
	peer = come_up(&bench, 0, &connect, true);
	peer_send(peer, 0xE0, "00 05 11 00000000");
	peer_publish(from, QOS(1), 1, "t", "", payload);
	expect(from, 0x40, "0001 10");
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.3.4-10] [MQTT-4.4.0-1]: PUBREL does not wait behind what the window holds back, and goes
 * as the PUBRECs came [MQTT3-4.6.0-4]. */
START_TEST(pubrel_waits_for_no_window)
{
	struct mqtt_connect connect = connect_lasting(V5, "to", 1000);
	struct peer *from, *to;

	bench_begin(&bench, 1);
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "t", 2);
	from = new_peer(&bench, V5, "from");
	for (uint16_t id = 1; id <= 4; id++) {
		peer_publish(from, id < 3 ? QOS(1) : QOS(2), id, "t", "", "x");
		expect_publish(to, id < 3 ? QOS(1) : QOS(2), id, "t", "", "x");
	}
	peer_send(to, 0x50, "0004");
	expect(to, 0x62, "0004");
	peer_send(to, 0x50, "0003");
	peer_lose(to);
	mqtt_set(&connect.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	connect.properties.receive_maximum = 1;
	to = come_up(&bench, 0, &connect, true);
	expect(to, 0x62, "0004");
	expect(to, 0x62, "0003");
	peer_send(to, 0x70, "0003");
	expect_nothing(to); /* it may still be at work with 4 */
	peer_send(to, 0x70, "0004");
	expect_publish(to, QOS(1) | DUP, 1, "t", "", "x");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* ---- wills ---- */

static struct mqtt_connect with_will(const char *id, uint32_t expiry_s, uint32_t delay_s)
{
	struct mqtt_connect connect = connect_lasting(V5, id, expiry_s);

	connect.has_will = true;
	connect.will.topic = SLICE_LITERAL("w");
	connect.will.payload = SLICE_LITERAL("gone");
	connect.will.qos = 1;
	if (delay_s) {
		mqtt_set(&connect.will.properties, MQTT_PROPERTY_WILL_DELAY_INTERVAL);
		connect.will.properties.will_delay_s = delay_s;
	}
	return connect;
}

#define NO_WILL(to) expect_nothing(to)
#define WILL(to)    expect_publish(to, 0, 0, "w", "", "gone")

/* [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.14.4-3]: not after DISCONNECT 0x00, but after any other
 * end. */
START_TEST(will_published)
{
	struct mqtt_connect connect = with_will("p", 0, 0);
	struct peer *to, *peer;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "w", 0);
	peer_send(come_up(&bench, 0, &connect, false), 0xE0, "");
	NO_WILL(to);
	peer_send(come_up(&bench, 0, &connect, false), 0xE0, "04");
	WILL(to);
	peer_lose(come_up(&bench, 0, &connect, false));
	WILL(to);
	peer = come_up(&bench, 0, &connect, false);
	peer_send(peer, 0x00, ""); /* malformed */
	WILL(to);
	connect.keep_alive_s = 2;
	come_up(&bench, 0, &connect, false);
	bench_pass_ms(&bench, 3100);
	WILL(to);
	ck_assert_uint_eq(counted(&bench, WILLS_PUBLISHED), 4);
	ck_assert_uint_eq(counted(&bench, WILLS), 0);
	bench_finish(&bench);
}
END_TEST

/* Before 5.0: DISCONNECT forgets it, and a client refused never had one. */
START_TEST(will_before_5)
{
	struct mqtt_connect connect = with_will("p", 0, 0);
	struct peer *to, *refused;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "w", 0);
	connect.version = V3;
	connect.clean_start = true;
	connect.properties.present = 0;
	peer_send(come_up(&bench, 0, &connect, false), 0xE0, "");
	NO_WILL(to);
	peer_lose(come_up(&bench, 0, &connect, false));
	WILL(to);
	bench.verdict = AUTH_REFUSE;
	bench.refusal = MQTT_NOT_AUTHORIZED;
	refused = peer_open(&bench, 0, V3);
	peer_connect(refused, &connect);
	expect_connack(refused, 5);
	NO_WILL(to);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.1.3-9]: not before its delay, not at all after a return in time. */
START_TEST(will_delay)
{
	struct mqtt_connect connect = with_will("p", 100, 10);
	struct peer *to;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "w", 0);
	peer_lose(come_up(&bench, 0, &connect, false));
	bench_pass_ms(&bench, 9990);
	NO_WILL(to);
	peer_lose(come_up(&bench, 0, &connect, true));
	bench_pass_ms(&bench, 9990);
	NO_WILL(to);
	bench_pass_ms(&bench, 30);
	WILL(to);
	bench_pass_ms(&bench, 200000);
	NO_WILL(to);
	bench_finish(&bench);
}
END_TEST

/* The session's end publishes it, whatever the delay: expiry, expiry 0, clean start. */
START_TEST(will_at_session_end)
{
	struct mqtt_connect connect = with_will("p", 5, 1000);
	struct mqtt_connect clean = connect_of(V5, "p", true);
	struct peer *to;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "w", 0);
	peer_lose(come_up(&bench, 0, &connect, false));
	bench_pass_ms(&bench, 4990);
	NO_WILL(to);
	bench_pass_ms(&bench, 30);
	WILL(to);
	peer_lose(come_up(&bench, 0, &connect, false));
	come_up(&bench, 0, &clean, false);
	WILL(to);
	connect = with_will("q", 0, 1000);
	peer_lose(come_up(&bench, 0, &connect, false));
	WILL(to);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.1.4-3] with wills: a take-over publishes one without delay; with a delay only if the
 * session ends. */
START_TEST(will_at_take_over)
{
	struct mqtt_connect now = with_will("p", 100, 0), later = with_will("p", 100, 10);
	struct peer *to, *peer;

	bench_begin(&bench, 1);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "w", 0);
	peer = come_up(&bench, 0, &now, false);
	come_up(&bench, 0, &later, true);
	expect_end(peer, MQTT_SESSION_TAKEN_OVER);
	WILL(to);
	peer = come_up(&bench, 0, &later, true);
	NO_WILL(to);
	later.clean_start = true;
	come_up(&bench, 0, &later, false);
	expect_end(peer, MQTT_SESSION_TAKEN_OVER);
	WILL(to);
	bench_finish(&bench);
}
END_TEST

/* [MQTT-3.1.2-14] [MQTT-3.1.2-15]; its expiry counts from its publication, properties go along. */
START_TEST(will_retained_with_properties)
{
	struct mqtt_connect connect = with_will("p", 100, 10);
	struct peer *to;

	bench_begin(&bench, 1);
	connect.will.retain = true;
	connect.will.properties.message_expiry_s = 50;
	mqtt_set(&connect.will.properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
	connect.will.properties.content_type = SLICE_LITERAL("c");
	mqtt_set(&connect.will.properties, MQTT_PROPERTY_CONTENT_TYPE);
	peer_lose(come_up(&bench, 0, &connect, false));
	bench_pass_ms(&bench, 20000); /* published after 10 s */
	to = new_peer(&bench, V5, "to");
	subscribe(to, "w", 1);
	bench_settle(&bench);
	expect_publish(to, QOS(1) | RETAIN, 1, "w", "03 0001 'c' 02 00000028", "gone");
	bench_pass_ms(&bench, 41000);
	ck_assert_uint_eq(counted(&bench, RETAINED), 0);
	bench_finish(&bench);
}
END_TEST

/* "p" is lost with a retained message of QoS 2 whose record is not in the store yet; "to" reads. */
static struct peer *lose_behind_a_record(const struct mqtt_connect *connect)
{
	struct peer *to, *peer;

	bench_init(&bench, 1);
	bench.durable = true;
	bench.settings.ack_when_delivered = true;
	bench_start(&bench);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "w", 0);
	peer = come_up(&bench, 0, connect, false);
	bench.hold_store = true;
	peer_publish(peer, QOS(2) | RETAIN, 1, "w", "", "here");
	peer_lose(peer);
	return to;
}

static void store_answers(void)
{
	bench.hold_store = false;
	bench_settle(&bench);
}

/* What a new subscriber finds. */
static void expect_retained(const char *payload)
{
	struct peer *late = new_peer(&bench, V5, "late");

	subscribe(late, "w", 0);
	expect_publish(late, RETAIN, 0, "w", "", payload);
}

/* [MQTT-4.6.0-5]: with any QoS behind what its client published before; and it is what stays. */
START_TEST(will_in_its_turn)
{
	for (unsigned i = 0; i < 6; i++) {
		uint8_t qos = (uint8_t)(i % 3);
		struct mqtt_connect connect = with_will("p", 100, qos == 1 ? 10 : 0);
		struct peer *to;

		connect.will.qos = qos;
		connect.will.retain = i < 3;
		to = lose_behind_a_record(&connect);
		bench_pass_ms(&bench, 11000);
		NO_WILL(to);
		store_answers();
		expect_publish(to, 0, 0, "w", "", "here");
		WILL(to);
		expect_retained(i < 3 ? "gone" : "here");
		ck_assert_uint_eq(counted(&bench, WILLS), 0);
		bench_finish(&bench);
	}
}
END_TEST

/* The client is back before its will has had its turn: what it says then is the last. */
START_TEST(will_before_what_comes_next)
{
	struct mqtt_connect connect = with_will("p", 100, 0);
	struct peer *to, *peer;

	connect.will.retain = true;
	to = lose_behind_a_record(&connect);
	peer = come_up(&bench, 0, &connect, true);
	peer_publish(peer, QOS(1) | RETAIN, 2, "w", "", "back");
	NO_WILL(to);
	store_answers();
	expect_publish(to, 0, 0, "w", "", "here");
	WILL(to);
	expect_publish(to, 0, 0, "w", "", "back");
	expect(peer, 0x40, "0002");
	expect_retained("back");
	bench_finish(&bench);
}
END_TEST

/* The one before was refused, and comes again or never; nobody sends a will again. */
START_TEST(will_behind_a_refusal)
{
	struct mqtt_connect connect = with_will("p", 100, 0);
	struct peer *to;

	connect.will.qos = 2;
	to = lose_behind_a_record(&connect);
	bench.refuse_batches = 1;
	store_answers();
	WILL(to);
	bench_finish(&bench);
}
END_TEST

/* The session's end publishes it, whether or not its turn has come: those before it go nowhere. */
START_TEST(will_in_no_turn)
{
	struct mqtt_connect connect = with_will("p", 100, 0);
	struct peer *to;

	connect.will.qos = 2;
	to = lose_behind_a_record(&connect);
	bench_pass_ms(&bench, 99000);
	NO_WILL(to);
	bench_pass_ms(&bench, 2000);
	WILL(to);
	store_answers();
	NO_WILL(to);
	bench_finish(&bench);
}
END_TEST

Suite *shard_session_suite(void)
{
	const TTest *tests[] = {
	    session_expires,
	    session_ends_when_told,
	    session_expiry_max,
	    queue_while_away,
	    queue_limits,
	    slow_reader,
	    memory_is_limited,
	    pubrel_waits_for_no_window,
	    will_published,
	    will_before_5,
	    will_delay,
	    will_at_session_end,
	    will_at_take_over,
	    will_retained_with_properties,
	    will_in_its_turn,
	    will_before_what_comes_next,
	    will_behind_a_refusal,
	    will_in_no_turn,
	};

	return suite_of("shard_session", tests, COUNT_OF(tests));
}
