/* traffic.h, seen through shards: who has any, and when it is given back. */
#include "broker/core/core.h"
#include "tests/unit/shard_bench.h"

static struct bench bench;

static const struct session *session_of(const char *id)
{
	return session_find(bench.shards[0], 0, slice_text(id));
}

/* A client with a keep-alive, whose timer is what looks at it. */
static struct peer *peer_kept_alive(const char *id)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_3_1_1, id, true);

	connect.keep_alive_s = 10;
	return come_up(&bench, 0, &connect, false);
}

static void ping(struct peer *peer)
{
	peer_send(peer, 0xC0, "");
	expect(peer, 0xD0, "");
}

/* QoS 0 leaves a session quiet; QoS 1 does not, until it has been quiet for a while. */
START_TEST(quiet)
{
	struct peer *from, *to;

	bench_init(&bench, 1);
	bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 100000;
	bench_start(&bench);
	from = peer_kept_alive("from");
	to = peer_kept_alive("to");
	subscribe(to, "t", 1);
	peer_publish(from, QOS(0), 0, "t", "", "0");
	expect_publish(to, QOS(0), 0, "t", "", "0");
	ck_assert_ptr_null(session_of("from")->traffic);
	ck_assert_ptr_null(session_of("to")->traffic);
	peer_publish(from, QOS(1), 7, "t", "", "1");
	expect_publish(to, QOS(1), 1, "t", "", "1");
	ck_assert_ptr_nonnull(session_of("to")->traffic);
	for (int i = 0; i < 2; i++) { /* not while it waits for PUBACK */
		bench_pass_ms(&bench, 9000);
		ping(from);
		ping(to);
	}
	ck_assert_uint_eq(traffic_of(session_of("to"))->inflight.count, 1);
	peer_send(to, 0x40, "0001");
	expect(from, 0x40, "0007");
	for (int i = 0; i < 2; i++) {
		bench_pass_ms(&bench, 9000);
		ping(from);
		ping(to);
	}
	ck_assert_ptr_null(session_of("from")->traffic);
	ck_assert_ptr_null(session_of("to")->traffic);
	peer_publish(from, QOS(1), 8, "t", "", "2");
	expect_publish(to, QOS(1), 1, "t", "", "2");
	peer_send(to, 0x40, "0001");
	expect(from, 0x40, "0008");
	bench_finish(&bench);
}
END_TEST

/* A QoS 2 identifier that is not released is remembered, however long that takes. */
START_TEST(remembered)
{
	struct peer *from;

	bench_begin(&bench, 1);
	from = peer_kept_alive("from");
	peer_publish(from, QOS(2), 7, "t", "", "2");
	expect(from, 0x50, "0007");
	for (int i = 0; i < 4; i++) {
		bench_pass_ms(&bench, 9000);
		ping(from);
	}
	ck_assert(idset_has(traffic_of(session_of("from"))->inbound, 7));
	peer_send(from, 0x62, "0007");
	expect(from, 0x70, "0007");
	for (int i = 0; i < 2; i++) {
		bench_pass_ms(&bench, 9000);
		ping(from);
	}
	ck_assert_ptr_null(session_of("from")->traffic);
	bench_finish(&bench);
}
END_TEST

Suite *traffic_suite(void)
{
	const TTest *tests[] = {quiet, remembered};

	return suite_of("traffic", tests, COUNT_OF(tests));
}
