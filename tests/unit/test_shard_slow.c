/*
 * Clients whose link is slower than what is there for them: they read all the time, but never all.
 */
#include <stdio.h>

#include "tests/unit/shard_bench.h"
#include "proto/frame.h"

static struct bench bench;

#define V5 MQTT_VERSION_5_0

static unsigned had[256]; /* packets, by their first byte */

/* Reads so much, and counts the packets that are whole by then. */
static void reads(struct peer *peer, size_t n)
{
	struct frame frame;

	peer_reads(peer, n);
	struct slice bytes = slice_of(peer->in, peer->in_len);
	for (; frame_cut(bytes, &frame) == FRAME_WHOLE; bytes = slice_after(bytes, frame.size))
		had[bytes.at[0]]++;
	memmove(peer->in, bytes.at, bytes.len);
	peer->in_len = bytes.len;
}

/* Payloads that are borrowed, not copied, with a socket that stops and goes on. */
START_TEST(large_payloads)
{
	static char payload[50001];
	struct peer *from, *to;

	bench_begin(&bench, 1);
	memset(payload, 'p', sizeof payload - 1);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 1);
	from = new_peer(&bench, MQTT_VERSION_3_1_1, "from");
	to->full = true;
	for (uint16_t id = 1; id <= 10; id++)
		peer_publish(from, QOS(1), id, "t", "", payload);
	/* Beyond 256 KiB on the way, the rest waits. */
	ck_assert_uint_gt(counted(&bench, QUEUED), 0);
	ck_assert_uint_gt(counted(&bench, INFLIGHT), 4);
	peer_unblock(to);
	for (uint16_t id = 1; id <= 10; id++)
		expect_publish(to, QOS(1), id, "t", "", payload);
	bench_finish(&bench);
}
END_TEST

/* A stream of QoS 0 to whoever subscribes to "t", of as much as may lie there and more. */
static void flood(struct peer *from)
{
	static char payload[4001];

	memset(payload, 'z', sizeof payload - 1);
	for (uint64_t dropped = counted(&bench, DROPPED_SLOW);
	     counted(&bench, DROPPED_SLOW) == dropped;)
		peer_publish(from, 0, 0, "t", "", payload);
}

/* QoS 1 and 2 come behind what lies there of QoS 0, and wait for no end of the stream. */
START_TEST(qos_0_starves_nobody)
{
	struct peer *from, *to;

	bench_init(&bench, 1);
	bench.settings.max_queued_bytes = 1000000;
	bench.settings.max_queued_messages = 3;
	bench_start(&bench);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 2);
	from = new_peer(&bench, V5, "from");
	to->full = true;
	for (uint16_t i = 0; i < 300; i++) {
		flood(from);
		if (i < 8)
			peer_publish(from, (uint8_t)QOS(1 + i % 2), (uint16_t)(i + 1), "t", "",
				     "x");
		reads(to, 5000);
	}
	ck_assert_uint_gt(had[0x30], 300);
	ck_assert_uint_eq(had[0x32], 4);
	ck_assert_uint_eq(had[0x34], 4);
	ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 0);
	bench_finish(&bench);
}
END_TEST

/* While there is more of QoS 1 than the link takes, it is theirs. */
START_TEST(qos_1_first)
{
	static char payload[50001];
	struct peer *from, *to;

	bench_init(&bench, 1);
	bench.settings.max_queued_bytes = 10000000;
	bench_start(&bench);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 1);
	from = new_peer(&bench, V5, "from");
	to->full = true;
	memset(payload, 'o', sizeof payload - 1);
	for (uint16_t id = 1; id <= 20; id++)
		peer_publish(from, QOS(1), id, "t", "", payload);
	ck_assert_uint_gt(counted(&bench, QUEUED), 10);
	for (int i = 0; i < 110; i++) { /* a little more than all of them */
		flood(from);
		reads(to, 10000);
	}
	ck_assert_uint_eq(counted(&bench, QUEUED), 0);
	ck_assert_uint_eq(had[0x32], 20);
	had[0x30] = 0;
	for (int i = 0; i < 10; i++) /* there is room for them again */
		peer_publish(from, 0, 0, "t", "", payload);
	reads(to, SIZE_MAX);
	ck_assert_uint_ge(had[0x30], 10);
	bench_finish(&bench);
}
END_TEST

/* Of what was kept of QoS 0, more than the limit when it is written with its headers, all comes. */
START_TEST(kept_qos_0_waits)
{
	struct mqtt_connect connect = connect_lasting(V5, "to", 1000);
	const unsigned all = 36000;
	struct peer *from, *to;

	bench_init(&bench, 1);
	bench.settings.queue_qos0_messages = true;
	bench.settings.max_queued_messages = all;
	bench.settings.max_queued_bytes = 400000;
	bench_start(&bench);
	to = come_up(&bench, 0, &connect, false);
	subscribe(to, "t", 0);
	peer_lose(to);
	from = new_peer(&bench, V5, "from");
	for (unsigned i = 0; i < all; i++)
		peer_publish(from, 0, 0, "t", "", "ten bytes.");
	ck_assert_uint_eq(counted(&bench, QUEUED), all);
	to = peer_open(&bench, 0, V5);
	to->full = true;
	connect.clean_start = false;
	peer_connect(to, &connect);
	while (counted(&bench, QUEUED) > 0)
		reads(to, 10000);
	reads(to, SIZE_MAX);
	ck_assert_uint_eq(had[0x30], all);
	ck_assert_uint_eq(counted(&bench, DROPPED_SLOW), 0);
	bench_finish(&bench);
}
END_TEST

/* Whose answers lie unread is read again as it reads, not only when nothing more comes for it. */
START_TEST(read_as_it_reads)
{
	static uint8_t pings[65536];
	struct peer *from, *to;
	unsigned asked = 0;

	bench_init(&bench, 1);
	bench.settings.max_queued_bytes = 400000;
	bench_start(&bench);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 0);
	from = new_peer(&bench, V5, "from");
	to->full = true;
	for (size_t i = 0; i < sizeof pings; i += 2)
		pings[i] = 0xC0;
	flood(from);
	for (; to->reading; asked += sizeof pings / 2)
		peer_bytes(to, slice_of(pings, sizeof pings));
	ck_assert_uint_gt(asked, 500000);
	for (int i = 0; i < 120; i++) {
		flood(from);
		reads(to, 20000);
	}
	ck_assert(to->reading);
	ck_assert_uint_eq(had[0xD0], asked);
	for (int i = 0; i < 50; i++) { /* and stays so */
		peer_bytes(to, slice_of(pings, 20));
		flood(from);
		reads(to, 20000);
		ck_assert(to->reading);
	}
	ck_assert_uint_gt(had[0xD0], asked + 200);
	bench_finish(&bench);
}
END_TEST

/* Retained messages of QoS 0 do not wait for the end of the stream either, nor are they dropped:
 * not even where they are more than may wait for the link. [MQTT-3.3.1-9] */
START_TEST(retained_behind_a_stream)
{
	enum { MANY = 100, LEN = 4000 };
	static char payload[LEN + 1];
	struct peer *from, *to;
	char topic[16];

	bench_init(&bench, 1);
	bench.settings.max_queued_bytes = 300000;
	bench_start(&bench);
	to = new_peer(&bench, V5, "to");
	subscribe(to, "t", 0);
	from = new_peer(&bench, V5, "from");
	memset(payload, 'r', LEN);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(topic, sizeof topic, "kept/%u", i);
		peer_publish(from, RETAIN, 0, topic, "", payload);
	}
	memset(had, 0, sizeof had);
	to->full = true;
	flood(from);
	peer_send(to, 0x82, "0009 00 0006 'kept/#' 00");
	for (unsigned i = 0; i < 1000 && had[0x31] < MANY; i++) {
		flood(from);
		reads(to, 5000);
	}
	ck_assert_uint_eq(had[0x31], MANY);
	bench_finish(&bench);
}
END_TEST

Suite *shard_slow_suite(void)
{
	const TTest *tests[] = {
	    large_payloads,   qos_0_starves_nobody, qos_1_first,
	    kept_qos_0_waits, read_as_it_reads,	    retained_behind_a_stream,
	};

	return suite_of("shard_slow", tests, COUNT_OF(tests));
}
