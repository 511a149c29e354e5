/*
 * What became of each delivery, as the shards tell it: one row each, whatever the way it took.
 * That what is counted as dropped has its row is checked at the end of every test on the bench.
 */
#include <stdio.h>

#include "broker/core/core.h"
#include "tests/unit/shard_bench.h"

static struct bench bench;
static struct bench_grant grants[2];

#define V3 MQTT_VERSION_3_1_1
#define V5 MQTT_VERSION_5_0

/* So many rows like this. */
static void expect_rows(unsigned n, const char *from, const char *to, uint8_t qos,
			enum route_outcome outcome, int line)
{
	bench_gather_rows(&bench);
	unsigned found = bench_rows(&bench, from, to, qos, outcome);
	ck_assert_msg(found == n, "line %d: %u such rows of %zu", line, found, bench.row_count);
}
#define rows(n, from, to, qos, outcome) expect_rows(n, from, to, qos, ROUTE_##outcome, __LINE__)

/* And so many in all. */
static void expect_all_rows(unsigned n, int line)
{
	bench_gather_rows(&bench);
	ck_assert_msg(bench.row_count == n, "line %d: %zu rows", line, bench.row_count);
}
#define all_rows(n) expect_all_rows(n, __LINE__)

static struct peer *lasting(enum mqtt_version version, const char *id, bool session)
{
	struct mqtt_connect connect = connect_lasting(version, id, 100);

	return come_up(&bench, 0, &connect, session);
}

/* ---- delivered ---- */

/* QoS 0 when it is sent, QoS 1 at PUBACK, QoS 2 at PUBREC. */
START_TEST(delivered)
{
	bench_begin(&bench, 1);
	struct peer *to = new_peer(&bench, V5, "to");
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(0), 0, "t", "", "0");
	expect_publish(to, QOS(0), 0, "t", "", "0");
	rows(1, "from", "to", 0, DELIVERED);
	peer_publish(from, QOS(1), 1, "t", "", "1");
	expect_publish(to, QOS(1), 1, "t", "", "1");
	all_rows(1);
	peer_send(to, 0x40, "0001");
	rows(1, "from", "to", 1, DELIVERED);
	peer_publish(from, QOS(2), 2, "t", "", "2");
	expect_publish(to, QOS(2), 2, "t", "", "2");
	all_rows(2);
	peer_send(to, 0x50, "0002");
	expect(to, 0x62, "0002");
	rows(1, "from", "to", 2, DELIVERED);
	peer_send(to, 0x50, "0002"); /* said twice */
	expect(to, 0x62, "0002");
	peer_send(to, 0x70, "0002");
	all_rows(3);
	bench_finish(&bench);
}
END_TEST

/* Every copy of a publication has its own, with the QoS that it goes by. */
START_TEST(fan_out)
{
	struct peer *to[3];

	bench_begin(&bench, 3);
	for (unsigned i = 0; i < 3; i++) {
		to[i] = new_peer(&bench, V5, bench_name(&bench, i, "to"));
		subscribe(to[i], "t", (uint8_t)i);
	}
	struct peer *from = new_peer(&bench, V5, bench_name(&bench, 1, "from"));
	peer_publish(from, QOS(1), 1, "t", "", "x");
	peer_send(to[1], 0x40, "0001");
	peer_send(to[2], 0x40, "0001");
	rows(1, bench.names[3], bench.names[0], 0, DELIVERED);
	rows(1, bench.names[3], bench.names[1], 1, DELIVERED);
	rows(1, bench.names[3], bench.names[2], 1, DELIVERED);
	all_rows(3);
	bench_finish(&bench);
}
END_TEST

/* A larger one goes to another shard by reference. */
START_TEST(large_one)
{
	static char payload[3000];

	memset(payload, 'x', sizeof payload - 1);
	bench_begin(&bench, 2);
	struct peer *to = new_peer(&bench, V5, bench_name(&bench, 0, "to"));
	struct peer *from = new_peer(&bench, V5, bench_name(&bench, 1, "from"));
	subscribe(to, "t", 0);
	peer_publish(from, QOS(0), 0, "t", "", payload);
	rows(1, bench.names[1], bench.names[0], 0, DELIVERED);
	bench_finish(&bench);
}
END_TEST

/* From the retained messages and by a will it is the publisher's as well; the broker is nobody. */
START_TEST(sources)
{
	struct mqtt_connect will = connect_of(V5, "dies", true);

	will.has_will = true;
	will.will.topic = slice_text("w");
	bench_begin(&bench, 1);
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *dies = come_up(&bench, 0, &will, false);
	peer_publish(from, QOS(0) | RETAIN, 0, "r", "", "x");
	peer_lose(from);
	struct peer *to = new_peer(&bench, V5, "to");
	subscribe(to, "r", 0);
	expect_publish(to, QOS(0) | RETAIN, 0, "r", "", "x");
	rows(1, "from", "to", 0, DELIVERED);
	subscribe(to, "w", 0);
	peer_lose(dies);
	expect_publish(to, QOS(0), 0, "w", "", "");
	rows(1, "dies", "to", 0, DELIVERED);
	bench_event(&bench, 0,
		    &(struct event){
			.type = EVENT_PUBLISH, .text = slice_text("r"), .bytes = slice_text("y")});
	rows(1, "", "to", 0, DELIVERED);
	all_rows(3);
	bench_finish(&bench);
}
END_TEST

/* ---- not delivered ---- */

/* Any reason code is an acknowledgement, but one that says no is no delivery. */
START_TEST(refused)
{
	bench_begin(&bench, 1);
	struct peer *to = new_peer(&bench, V5, "to");
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(1), 1, "t", "", "1");
	peer_send(to, 0x40, "0001 97");
	peer_publish(from, QOS(2), 2, "t", "", "2");
	peer_send(to, 0x50, "0002 83");
	rows(1, "from", "to", 1, REFUSED);
	rows(1, "from", "to", 2, REFUSED);
	all_rows(2);
	bench_finish(&bench);
}
END_TEST

/* What was under way when the session ended, sent or not. */
START_TEST(session_ends)
{
	bench_init(&bench, 1);
	bench.settings.max_inflight_messages = 2;
	bench_start(&bench);
	struct peer *to = new_peer(&bench, V5, "to");
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(to, "t", 2);
	for (uint16_t id = 1; id <= 4; id++)
		peer_publish(from, id % 2 ? QOS(1) : QOS(2), id, "t", "", "x");
	peer_send(to, 0x50, "0002"); /* that one it has */
	peer_lose(to);
	rows(1, "from", "to", 2, DELIVERED);
	rows(1, "from", "to", 1, UNACKNOWLEDGED);
	rows(1, "from", "to", 1, SESSION_ENDED);
	rows(1, "from", "to", 2, SESSION_ENDED);
	all_rows(4);
	bench_finish(&bench);
}
END_TEST

/* On a second connection it is the same delivery. */
START_TEST(sent_again)
{
	bench_begin(&bench, 1);
	struct peer *to = lasting(V5, "to", false);
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(1), 1, "t", "", "1");
	peer_publish(from, QOS(2), 2, "t", "", "2");
	peer_lose(to);
	to = lasting(V5, "to", true);
	expect_publish(to, QOS(1) | DUP, 1, "t", "", "1");
	expect_publish(to, QOS(2) | DUP, 2, "t", "", "2");
	all_rows(0);
	peer_send(to, 0x40, "0001");
	peer_send(to, 0x50, "0002");
	peer_lose(to);
	to = lasting(V5, "to", true);
	expect(to, 0x62, "0002");
	peer_send(to, 0x70, "0002");
	rows(1, "from", "to", 1, DELIVERED);
	rows(1, "from", "to", 2, DELIVERED);
	all_rows(2);
	bench_finish(&bench);
}
END_TEST

START_TEST(dropped)
{
	bench_init(&bench, 1);
	bench.settings.max_queued_messages = 1;
	bench_start(&bench);
	struct peer *to = lasting(V5, "to", false);
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(to, "t", 1);
	peer_lose(to);
	peer_publish(from, QOS(0), 0, "t", "", "away");
	rows(1, "from", "to", 0, AWAY);
	peer_publish(from, QOS(1), 1, "t", "02 00000001", "expires");
	peer_publish(from, QOS(1), 2, "t", "", "one too many");
	rows(1, "from", "to", 1, QUEUE_FULL);
	bench_pass_ms(&bench, 2000);
	to = lasting(V5, "to", true);
	rows(1, "from", "to", 1, EXPIRED);
	all_rows(3);
	bench_finish(&bench);
}
END_TEST

START_TEST(too_large)
{
	struct mqtt_connect connect = connect_of(V5, "to", true);

	mqtt_set(&connect.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	connect.properties.maximum_packet_size = 20;
	bench_begin(&bench, 1);
	struct peer *to = come_up(&bench, 0, &connect, false);
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(to, "t", 1);
	peer_publish(from, QOS(0), 0, "t", "", "more than twenty bytes");
	peer_publish(from, QOS(1), 1, "t", "", "more than twenty bytes");
	rows(1, "from", "to", 0, TOO_LARGE);
	rows(1, "from", "to", 1, TOO_LARGE);
	all_rows(2);
	bench_finish(&bench);
}
END_TEST

/* Rules of today hold for what waits since yesterday: denied once, and not unacknowledged too. */
START_TEST(denied)
{
	grants[0] = (struct bench_grant){
	    {.restricted = true}, &bench, SLICE_LITERAL("#"), SLICE_LITERAL("#")};
	grants[1] = (struct bench_grant){
	    {.restricted = true}, &bench, SLICE_LITERAL("other"), SLICE_LITERAL("#")};
	bench_begin(&bench, 1);
	bench.grant = &grants[0].grant;
	struct peer *to = lasting(V5, "to", false);
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(1), 1, "t", "", "1");
	peer_publish(from, QOS(2), 2, "t", "", "2");
	peer_lose(to);
	bench.grant = &grants[1].grant;
	to = lasting(V5, "to", true);
	rows(1, "from", "to", 1, DENIED);
	rows(1, "from", "to", 2, DENIED);
	peer_publish(from, QOS(0), 0, "t", "", "0");
	rows(1, "from", "to", 0, DENIED);
	peer_lose(to);
	all_rows(3);
	bench_finish(&bench);
}
END_TEST

/* What goes back to its group is told once, by whoever has it in the end; without one, of nobody.
 */
START_TEST(shared)
{
	bench_begin(&bench, 1);
	struct peer *a = new_peer(&bench, V5, "a");
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(a, "$share/g/t", 1);
	peer_publish(from, QOS(1), 1, "t", "", "x");
	expect_publish(a, QOS(1), 1, "t", "", "x");
	struct peer *b = new_peer(&bench, V5, "b");
	subscribe(b, "$share/g/t", 1);
	peer_lose(a);
	expect_publish(b, QOS(1), 1, "t", "", "x");
	all_rows(0);
	peer_send(b, 0x40, "0001");
	rows(1, "from", "b", 1, DELIVERED);
	struct peer *c = lasting(V5, "c", false);
	subscribe(c, "$share/g/t", 1);
	peer_lose(b);
	peer_lose(c);
	peer_publish(from, QOS(1), 2, "t", "", "y");
	bench_pass_ms(&bench, 101 * 1000); /* the last member's session ends */
	rows(1, "from", "", 1, SESSION_ENDED);
	all_rows(2);
	bench_finish(&bench);
}
END_TEST

/* ---- blocks and names ---- */

START_TEST(goes_out_in_time)
{
	bench_begin(&bench, 1);
	struct peer *to = new_peer(&bench, V5, "to");
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(to, "t", 0);
	peer_publish(from, QOS(0), 0, "t", "", "x");
	bench_pass_ms(&bench, 3000);
	peer_publish(from, QOS(0), 0, "t", "", "x");
	ck_assert_uint_eq(bench.row_count, 0);
	bench_pass_ms(&bench, DELIVERY_LOG_MS);
	ck_assert_uint_eq(bench.row_count, 2);
	ck_assert_uint_eq(bench.rows[0].after_ms, 0);
	ck_assert_uint_eq(bench.rows[1].after_ms, 3000);
	bench_finish(&bench);
}
END_TEST

/* Nothing is lost between two blocks. */
START_TEST(full_blocks)
{
	bench_begin(&bench, 1);
	struct peer *to = new_peer(&bench, V5, "to");
	struct peer *from[2] = {new_peer(&bench, V5, "one"), new_peer(&bench, V5, "other")};
	subscribe(to, "t", 0);
	for (unsigned i = 0; i < ROUTE_ROWS_LEN; i++)
		peer_publish(from[i % 2], QOS(0), 0, "t", "", "x");
	ck_assert_uint_gt(bench.row_count, 0);
	rows(ROUTE_ROWS_LEN / 2, "one", "to", 0, DELIVERED);
	rows(ROUTE_ROWS_LEN / 2, "other", "to", 0, DELIVERED);
	bench_finish(&bench);
}
END_TEST

/* What one sends to another, again and again, is told in a few bytes. */
START_TEST(alike)
{
	bench_begin(&bench, 1);
	struct peer *to = new_peer(&bench, V5, "to");
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(to, "t", 0);
	for (unsigned i = 0; i < ROUTE_RUN_MAX + 3; i++)
		peer_publish(from, QOS(0), 0, "t", "", "x");
	rows(ROUTE_RUN_MAX + 3, "from", "to", 0, DELIVERED);
	all_rows(ROUTE_RUN_MAX + 3);
	ck_assert_uint_le(bench.row_bytes, 16);
	bench_finish(&bench);
}
END_TEST

/* So is what goes to many, each time to the same ones. */
START_TEST(to_many)
{
	static const char *const ids[] = {"a", "b", "c", "d", "e"};
	bench_begin(&bench, 1);
	struct peer *from = new_peer(&bench, V5, "from");
	for (unsigned i = 0; i < COUNT_OF(ids); i++)
		subscribe(new_peer(&bench, V5, ids[i]), "t", 0);
	for (unsigned i = 0; i < 100; i++)
		peer_publish(from, QOS(0), 0, "t", "", "x");
	for (unsigned i = 0; i < COUNT_OF(ids); i++)
		rows(100, "from", ids[i], 0, DELIVERED);
	all_rows(500);
	ck_assert_uint_le(bench.row_bytes, 100 * 4 + 1);
	bench_finish(&bench);
}
END_TEST

/* A run is of one kind: the same destination again, or the next. */
START_TEST(again_and_next)
{
	bench_begin(&bench, 1);
	struct peer *first = new_peer(&bench, V5, "first");
	struct peer *second = new_peer(&bench, V5, "second");
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(first, "t", 0);
	subscribe(first, "u", 0);
	subscribe(second, "u", 0);
	for (unsigned i = 0; i < 3; i++) {
		peer_publish(from, QOS(0), 0, "t", "", "x");
		peer_publish(from, QOS(0), 0, "u", "", "x");
	}
	rows(6, "from", "first", 0, DELIVERED);
	rows(3, "from", "second", 0, DELIVERED);
	bench_finish(&bench);
}
END_TEST

/* One that differs in anything is no part of a run, nor is the one after it. */
START_TEST(not_alike)
{
	bench_begin(&bench, 1);
	struct peer *to = new_peer(&bench, V5, "to");
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *other = new_peer(&bench, V5, "other");
	static const char *const packet_ids[] = {"0001", "0002", "0003"};
	subscribe(to, "t", 1);
	for (unsigned i = 0; i < COUNT_OF(packet_ids); i++) {
		peer_publish(from, QOS(0), 0, "t", "", "x");
		peer_publish(from, QOS(0), 0, "t", "", "x");
		bench_pass_ms(&bench, 7);
		peer_publish(from, QOS(0), 0, "t", "", "x");
		peer_publish(other, QOS(0), 0, "t", "", "x");
		peer_publish(other, QOS(1), (uint16_t)(i + 1), "t", "", "x");
		peer_send(to, 0x40, packet_ids[i]);
		peer_publish(other, QOS(0), 0, "t", "", "x");
	}
	rows(9, "from", "to", 0, DELIVERED);
	rows(6, "other", "to", 0, DELIVERED);
	rows(3, "other", "to", 1, DELIVERED);
	for (size_t i = 0; i < bench.row_count; i++)
		ck_assert_uint_eq(bench.rows[i].after_ms, (i + 4) / 6 * 7);
	bench_finish(&bench);
}
END_TEST

/* Many names in one block. */
START_TEST(many_names)
{
	bench_begin(&bench, 1);
	struct shard *shard = bench.shards[0];
	struct peer *to = new_peer(&bench, V5, "to");
	struct session *session = session_at(shard, client_of_link(shard, to->link)->session);
	for (unsigned i = 0; i < 5 * ROUTE_NAMES_MAX; i++) {
		struct publisher from = {.session = 1};

		snprintf((char *)from.name.at, sizeof from.name.at, "n%u", i / 2);
		delivery_row(shard, session, &from, (uint8_t)(i % 3), ROUTE_DELIVERED);
	}
	bench_settle(&bench);
	bench_gather_rows(&bench);
	ck_assert_uint_eq(bench.row_count, 5 * ROUTE_NAMES_MAX);
	for (unsigned i = 0; i < 5 * ROUTE_NAMES_MAX; i++) {
		char id[16];

		snprintf(id, sizeof id, "n%u", i / 2);
		ck_assert_str_eq(bench.rows[i].from, id);
		ck_assert_str_eq(bench.rows[i].to, "to");
		ck_assert_uint_eq(bench.rows[i].qos, i % 3);
	}
	bench_finish(&bench);
}
END_TEST

/* A name is asked for once an epoch, and a block is of one. */
START_TEST(epochs)
{
	bench_begin(&bench, 1);
	struct peer *to = new_peer(&bench, V5, "to");
	struct peer *from = new_peer(&bench, V5, "from");
	subscribe(to, "t", 0);
	for (int i = 0; i < 10; i++)
		peer_publish(from, QOS(0), 0, "t", "", "x");
	ck_assert_uint_eq(bench.pseudonyms.asked, 2);
	bench.now.wall_s += 3600;
	peer_publish(from, QOS(0), 0, "t", "", "x");
	ck_assert_uint_eq(bench.pseudonyms.asked, 4);
	ck_assert_uint_eq(bench.row_count, 10);
	bench.now.wall_s -= 3600; /* the clock is set back */
	peer_publish(from, QOS(0), 0, "t", "", "x");
	all_rows(12);
	uint32_t epoch = (uint32_t)(bench.now.wall_s / 3600);
	ck_assert_uint_eq(bench.rows[9].epoch, epoch);
	ck_assert_uint_eq(bench.rows[10].epoch, epoch + 1);
	ck_assert_uint_eq(bench.rows[11].epoch, epoch);
	bench_finish(&bench);
}
END_TEST

/* Who objected is in no row, neither as publisher nor as subscriber. */
START_TEST(unrecorded)
{
	bench_begin(&bench, 2);
	const char *ids[] = {bench_name(&bench, 0, "objects"), bench_name(&bench, 1, "to"),
			     bench_name(&bench, 1, "from")};
	bench.pseudonyms.unrecorded = ids[0];
	struct peer *objects = new_peer(&bench, V5, ids[0]);
	struct peer *to = new_peer(&bench, V5, ids[1]);
	struct peer *from = new_peer(&bench, V5, ids[2]);
	subscribe(objects, "t", 1);
	subscribe(to, "t", 1);
	peer_publish(objects, QOS(0), 0, "t", "", "a");
	expect_publish(to, QOS(0), 0, "t", "", "a");
	expect_publish(objects, QOS(0), 0, "t", "", "a");
	peer_publish(from, QOS(0), 0, "t", "", "b");
	expect_publish(to, QOS(0), 0, "t", "", "b");
	expect_publish(objects, QOS(0), 0, "t", "", "b");
	rows(1, ids[2], ids[1], 0, DELIVERED);
	all_rows(1);
	bench_finish(&bench);
}
END_TEST

/* Who restricts is in no row from then on, also while its session is one of before a restart. */
START_TEST(restricted_while_away)
{
	grants[0] = (struct bench_grant){.bench = &bench,
					 .grant = {.owner = auth_owner(IDENTITY_ACCOUNT, 1)}};
	bench_init(&bench, 1);
	bench.durable = true;
	bench_start(&bench);
	bench.grant = &grants[0].grant;
	subscribe(lasting(V5, "away", false), "t", 0);
	bench_restart(&bench);
	bench.grant = NULL;
	struct peer *from = new_peer(&bench, V5, "from");
	peer_publish(from, QOS(0), 0, "t", "", "x");
	rows(1, "from", "away", 0, AWAY);
	bench.pseudonyms.unrecorded = "away";
	bench_event(&bench, 0, &(struct event){.type = EVENT_RIGHTS});
	peer_publish(from, QOS(0), 0, "t", "", "x");
	all_rows(1);
	bench_finish(&bench);
}
END_TEST

Suite *delivery_log_suite(void)
{
	const TTest *tests[] = {delivered,	fan_out,    large_one,
				sources,	refused,    session_ends,
				sent_again,	dropped,    too_large,
				denied,		shared,	    goes_out_in_time,
				full_blocks,	alike,	    to_many,
				again_and_next, not_alike,  many_names,
				epochs,		unrecorded, restricted_while_away};

	return suite_of("delivery_log", tests, COUNT_OF(tests));
}
