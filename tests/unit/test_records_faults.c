/*
 * What went wrong once with recorded QoS 2 exchanges, each kept as a test: messages that
 * came again and went the wrong way, counts that were not exact.
 */
#include "tests/unit/records_bench.h"

/* A message that was sent again and is retained goes to whoever subscribes later. */
START_TEST(retained_after_it_came_again)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2) | RETAIN, 5, "t", "", "x");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	peer_send(to, 0x50, "0001");
	bench_restart(&bench);
	to = back("to");
	from = back("from");
	peer_publish(from, QOS(2) | RETAIN | DUP, 5, "t", "", "x");
	struct peer *zero = new_peer(&bench, V5, "zero");
	subscribe(zero, "t", 0);
	expect_publish(zero, QOS(0) | RETAIN, 0, "t", "", "x");
	expect(to, 0x62, "0001");
	subscribe(to, "t", 2);
	expect_publish(to, QOS(2) | RETAIN, 2, "t", "", "x");
	bench_finish(&bench);
}
END_TEST

/* One session with two ways to the message has two deliveries, and both go on. */
START_TEST(shared_and_its_own)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	subscribe(to, "$share/g/t", 2);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	expect_publish(to, QOS(2), 2, "t", "", "x");
	bench_restart(&bench);
	to = back("to");
	from = back("from");
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	expect_publish(to, DUP | QOS(2), 1, "t", "", "x");
	expect_publish(to, DUP | QOS(2), 2, "t", "", "x");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* What a publisher still has is not lost; nor is what was sent already and is recorded. */
START_TEST(only_what_is_lost_is_counted)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(1), 5, "t", "", "gated");
	expect_publish(to, QOS(1), 1, "t", "", "gated");
	bench_pass_ms(&bench, 900);
	peer_send(to, 0x40, "0001");
	peer_publish(from, QOS(2), 6, "t", "", "recorded");
	bench_pass_ms(&bench, 3000); /* behind: the publisher has its PUBREC */
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, QUEUES_LOST), 0);
	to = back_lost("to", 0);
	bench_finish(&bench);
}
END_TEST

/* What leaves a queue without being sent is not counted any more. */
START_TEST(what_was_dropped_is_not_lost)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	peer_lose(to);
	bench_pass_ms(&bench, 31000);
	peer_publish(from, QOS(2), 6, "t", "02 00000002", "x");
	bench_pass_ms(&bench, 1500);
	bench.hold_store = true;
	to = peer_open(&bench, 0, V5);
	struct mqtt_connect connect = lasting("to");
	peer_connect(to, &connect);
	bench_store_one(&bench);
	expect_connack(to, 0);
	bench_pass_ms(&bench, 1000); /* it expires while its record is under way */
	bench_store_all(&bench);
	expect_nothing(to);
	bench.hold_store = false;
	bench_pass_ms(&bench, 2000);
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, QUEUES_LOST), 0);
	from = back("from");
	bench_pass_ms(&bench, 31000);
	peer_publish(from, QOS(1), 7, "t", "",
		     "0123456789012345678901234567890123456789012345678901234567890123456789");
	bench_pass_ms(&bench, 1500);
	connect = lasting("to");
	mqtt_set(&connect.properties, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
	connect.properties.maximum_packet_size = 60;
	come_up(&bench, 0, &connect, true);
	ck_assert_uint_eq(counted(&bench, DROPPED_TOO_LARGE), 1);
	bench_pass_ms(&bench, 2000);
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, QUEUES_LOST), 0);
	bench_finish(&bench);
}
END_TEST

/*
 * Before 5.0 a refusal is the end of the connection, and has no turn to wait for: what came
 * meanwhile would overtake what has to be sent again.
 */
START_TEST(refusal_waits_for_nobody)
{
	begin(1);
	struct peer *from = new_in(V3, "from", __LINE__);
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2), 1, "t", "", "one");
	expect_publish(to, QOS(2), 1, "t", "", "one");
	bench.refuse_batches = 1;
	peer_publish(from, QOS(2), 2, "t", "", "two");
	expect_end(from, 0);
	peer_publish(from, QOS(2), 3, "t", "", "three");
	expect_nothing(to);
	from = back_in(V3, "from", __LINE__);
	peer_publish(from, QOS(2) | DUP, 1, "t", "", "one");
	peer_publish(from, QOS(2) | DUP, 2, "t", "", "two");
	peer_publish(from, QOS(2) | DUP, 3, "t", "", "three");
	expect_publish(to, QOS(2), 2, "t", "", "two");
	expect_publish(to, QOS(2), 3, "t", "", "three");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/*
 * While the disk is full, a client that sends, is refused and comes back leaves nothing
 * behind that would have to be tried again: what was never recorded needs no end.
 */
START_TEST(refusals_leave_nothing)
{
	begin(1);
	struct peer *from = new_in(V3, "from", __LINE__);
	unsigned steps = 0;

	for (unsigned round = 0; round < 20; round++) {
		bench.refuse_batches = 1000;
		bench.hold_store = true;
		for (uint16_t id = 1; id <= 10; id++)
			peer_publish(from, QOS(2), id, "t", "", "x");
		bench_store_all(&bench);
		expect_end(from, 0);
		from = back_in(V3, "from", __LINE__);
	}
	bench_pass_ms(&bench, 1100);
	for (const struct store_batch *batch = bench.stored; batch; batch = batch->next)
		steps += (unsigned)batch->step_count;
	ck_assert_uint_eq(steps, 0);
	bench_finish(&bench);
}
END_TEST

static void count_open(void *self, const struct store_step *step)
{
	*(unsigned *)self += step->type == STEP_INBOUND_OPEN;
}

static void no_session(void *self, uint64_t row, const struct store_session *session)
{
	(void)self, (void)row, (void)session;
}

static void no_subscription(void *self, uint64_t row, const struct store_subscription *subscription)
{
	(void)self, (void)row, (void)subscription;
}

/* Exchanges of publishers that a broker would find at its start. */
static unsigned open_in_store(void)
{
	unsigned count = 0;
	struct store_visitor visitor = {&count, no_session, no_subscription, count_open};
	struct failure failure;

	ck_assert(store_load(bench.store, &visitor, &failure));
	return count;
}

/* One that was recorded, behind one that was refused, has to be ended: it comes again as new. */
START_TEST(recorded_behind_a_refusal)
{
	begin(1);
	struct peer *from = new_in(V3, "from", __LINE__);
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	bench.hold_store = true;
	for (uint16_t id = 1; id <= 3; id++)
		peer_publish(from, QOS(2), id, "t", "", "x");
	bench.refuse_batches = 1;
	bench_store_all(&bench);
	expect_end(from, 0);
	expect_nothing(to);
	ck_assert_uint_eq(open_in_store(), 0);
	bench_finish(&bench);
}
END_TEST

/* What was recorded has its end recorded, also when `ack_when` was changed meanwhile. */
START_TEST(settings_changed_meanwhile)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	peer_send(to, 0x50, "0001");
	expect(to, 0x62, "0001");
	expect(from, 0x50, "0005");
	bench.settings.ack_when_delivered = false;
	bench.hold_store = true;
	peer_send(from, 0x62, "0005");
	expect_nothing(from);
	bench_store_all(&bench);
	expect(from, 0x70, "0005");
	peer_send(to, 0x70, "0001");
	bench_store_all(&bench);
	ck_assert_uint_eq(open_in_store(), 0);
	bench_restart(&bench);
	bench.hold_store = false;
	to = back("to");
	from = back("from");
	peer_publish(from, QOS(2), 5, "t", "", "another");
	expect_publish(to, QOS(2), 1, "t", "", "another");
	expect(from, 0x50, "0005");
	bench_finish(&bench);
}
END_TEST

/* Likewise after a kill, with the exchange that it left. */
START_TEST(settings_changed_with_a_kill)
{
	begin(1);
	struct peer *from = new_lasting("from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	bench.settings.ack_when_delivered = false;
	bench_restart(&bench);
	from = back("from");
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	expect(from, 0x50, "0005");
	peer_send(from, 0x62, "0005");
	expect(from, 0x70, "0005");
	ck_assert_uint_eq(open_in_store(), 0);
	to = back("to");
	expect_publish(to, DUP | QOS(2), 1, "t", "", "x");
	bench_finish(&bench);
}
END_TEST

/* What waits behind a record is not acknowledged before it goes on, whatever `ack_when` says now.
 */
START_TEST(acknowledged_when_it_goes_on)
{
	begin(1);
	struct peer *from = new_in(V3, "from", __LINE__);
	struct peer *to = new_lasting("to");
	subscribe(to, "#", 1);
	bench.hold_store = true;
	peer_publish(from, QOS(2) | RETAIN, 1, "t", "", "x");
	bench.settings.ack_when_delivered = false;
	peer_publish(from, QOS(1) | RETAIN, 2, "t", "", "y");
	peer_publish(from, QOS(2), 3, "t", "", "z");
	expect_nothing(from);
	bench.refuse_batches = 1;
	bench_store_all(&bench);
	expect_end(from, 0);
	expect_nothing(to);
	from = back_in(V3, "from", __LINE__);
	peer_publish(from, QOS(2) | RETAIN | DUP, 1, "t", "", "x");
	peer_publish(from, QOS(1) | RETAIN | DUP, 2, "t", "", "y");
	expect(from, 0x50, "0001");
	expect(from, 0x40, "0002");
	expect_publish(to, QOS(1), 1, "t", "", "x");
	expect_publish(to, QOS(1), 2, "t", "", "y");
	bench_finish(&bench);
}
END_TEST

/* A message that was not sent to a member whose session ends goes to another. [MQTT-4.8.2-5] */
START_TEST(member_ends_before_it_was_sent)
{
	for (unsigned away = 0; away < 2; away++) {
		begin(1);
		struct peer *from = new_lasting("from");
		struct peer *to[2] = {new_lasting("a"), new_lasting("b")};
		subscribe(to[0], "$share/g/t", 2);
		subscribe(to[1], "$share/g/t", 2);
		bench.hold_store = true;
		peer_publish(from, QOS(2), 5, "t", "", "x");
		bench_store_one(&bench);
		ck_assert_ptr_nonnull(bench.stored);
		/* The bench gives the first one its turn first. */
		if (away) {
			peer_lose(to[0]);
			bench_store_all(&bench);
			to[0] = peer_open(&bench, 0, V5);
			struct mqtt_connect clean = connect_of(V5, "a", true);
			peer_connect(to[0], &clean);
			bench_store_all(&bench);
			expect_connack(to[0], 0);
		} else {
			peer_send(to[0], 0xE0, "00 05 11 00000000");
			bench_store_all(&bench);
		}
		expect_publish(to[1], QOS(2), 1, "t", "", "x");
		peer_send(to[1], 0x50, "0001");
		expect(from, 0x50, "0005");
		bench_finish(&bench);
	}
}
END_TEST

/*
 * A member that had the message when the broker died, and has left the group by the time that the
 * publisher comes back: no other gets it. [MQTT-3.10.4-3] [MQTT-4.8.2-5]
 */
START_TEST(holder_leaves_its_group)
{
	enum { UNSUBSCRIBES, JOINS_AGAIN, ENDS, WAYS };

	for (unsigned way = 0; way < WAYS; way++) {
		begin(3);
		bool ends = way == ENDS;
		const char *from_id = bench_name(&bench, 0, "from");
		const char *ids[] = {bench_name(&bench, 1, "a"), bench_name(&bench, 2, "b"),
				     bench_name(&bench, 0, "c")};
		struct peer *from = new_lasting(from_id);
		struct peer *to[3];
		unsigned has = 3;

		for (unsigned i = 0; i < 3; i++) {
			to[i] = new_lasting(ids[i]);
			subscribe(to[i], "$share/g/t", 2);
		}
		peer_publish(from, QOS(2), 5, "t", "", "x");
		for (unsigned i = 0; i < 3; i++)
			if (to[i]->in_len > 0)
				has = i;
		ck_assert_uint_lt(has, 3);
		bench_restart(&bench);
		for (unsigned i = 0; i < 3; i++)
			to[i] = ends && i == has ? new_peer(&bench, V5, ids[i]) : back(ids[i]);
		if (!ends) {
			peer_send(to[has], 0xA2, "0009 00 000A '$share/g/t'");
			expect(to[has], 0xB0, "0009 00 00");
		}
		if (way == JOINS_AGAIN)
			subscribe(to[has], "$share/g/t", 2);
		from = back(from_id);
		peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
		if (!ends) {
			expect_publish(to[has], DUP | QOS(2), 1, "t", "", "x");
			expect_nothing(from);
			peer_send(to[has], 0x50, "0001");
			expect(to[has], 0x62, "0001");
		}
		expect(from, 0x50, "0005");
		for (unsigned i = 0; i < 3; i++)
			expect_nothing(to[i]);
		ck_assert_uint_eq(counted(&bench, DROPPED_SESSION_END), ends);
		bench_finish(&bench);
	}
}
END_TEST

/*
 * The group itself has ended, another one stands in its place, and it was made anew elsewhere: the
 * message stays with the member that had it, and the other group has its own. [MQTT-4.8.2-5]
 */
START_TEST(group_is_made_anew)
{
	begin(1);
	struct peer *from = new_lasting("from"), *to = new_lasting("to"), *other;
	subscribe(to, "$share/g/t", 2);
	peer_publish(from, QOS(2), 5, "t", "", "x");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	bench_restart(&bench);
	to = back("to");
	peer_send(to, 0xA2, "0009 00 000A '$share/g/t'");
	expect(to, 0xB0, "0009 00 00");
	other = new_lasting("other");
	subscribe_as(other, "$share/h/t", 2, 7);
	subscribe_as(other, "$share/g/t", 2, 8);
	from = back("from");
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	expect_publish(to, DUP | QOS(2), 1, "t", "", "x");
	expect_publish(other, QOS(2), 1, "t", "0B 07", "x");
	expect_nothing(other);
	bench_finish(&bench);
}
END_TEST

/* A disk that is full holds up QoS 2, and not what QoS 1 has to send, also after coming back. */
START_TEST(full_disk_and_coming_back)
{
	begin(1);
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	peer_publish(from, QOS(2), 1, "t", "", "had");
	expect_publish(to, QOS(2), 1, "t", "", "had");
	bench.refuse_batches = 1000;
	peer_publish(from, QOS(2), 2, "t", "", "x");
	peer_publish(from, QOS(1), 3, "t", "", "y");
	peer_send(to, 0x50, "0001");
	expect_publish(to, QOS(1), 3, "t", "", "y");
	expect_nothing(to);
	peer_lose(to);
	to = back("to");
	expect_publish(to, DUP | QOS(1), 3, "t", "", "y");
	peer_publish(from, QOS(2), 4, "t", "", "z");
	peer_publish(from, QOS(1), 5, "t", "", "w");
	expect_publish(to, QOS(1), 5, "t", "", "w");
	bench_pass_ms(&bench, 1000);
	expect_nothing(to);
	bench.refuse_batches = 0;
	bench_pass_ms(&bench, 2000);
	expect_publish(to, QOS(2), 2, "t", "", "x");
	expect(to, 0x62, "0001");
	expect_publish(to, QOS(2), 4, "t", "", "z");
	expect_nothing(to);
	bench_finish(&bench);
}
END_TEST

/* With room for one delivery at a time the first one still goes first. */
START_TEST(full_disk_and_a_small_window)
{
	struct mqtt_connect small = lasting("to");

	mqtt_set(&small.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	small.properties.receive_maximum = 1;
	begin(1);
	struct peer *from = new_peer(&bench, V5, "from");
	struct peer *to = come_up(&bench, 0, &small, false);
	subscribe(to, "t", 2);
	bench.refuse_batches = 3;
	peer_publish(from, QOS(2), 1, "t", "", "x");
	peer_publish(from, QOS(2), 2, "t", "", "y");
	peer_lose(to);
	to = come_up(&bench, 0, &small, true);
	peer_publish(from, QOS(2), 3, "t", "", "z");
	expect_nothing(to);
	bench_pass_ms(&bench, 4000);
	expect_publish(to, QOS(2), 1, "t", "", "x");
	expect_nothing(to);
	peer_send(to, 0x50, "0001");
	expect(to, 0x62, "0001");
	peer_send(to, 0x70, "0001");
	expect_publish(to, QOS(2), 2, "t", "", "y");
	bench_finish(&bench);
}
END_TEST

/* A PUBLISH whose record comes when the broker is stopping stays with its publisher. */
START_TEST(recorded_while_stopping)
{
	begin(2);
	const char *from_id = bench_name(&bench, 0, "from");
	const char *to_id = bench_name(&bench, 1, "to");
	struct peer *from = new_lasting(from_id);
	struct peer *to = new_lasting(to_id);
	subscribe(to, "t", 2);
	bench.hold_store = true;
	peer_publish(from, QOS(2), 5, "t", "", "x");
	for (unsigned i = 0; i < 2; i++)
		bench_event(&bench, i, &(struct event){.type = EVENT_STOP});
	bench_store_all(&bench);
	ck_assert(shard_stopped(bench.shards[0]) && shard_stopped(bench.shards[1]));
	ck_assert_uint_eq(counted(&bench, QUEUED), 0);
	bench.hold_store = false;
	bench_restart(&bench);
	to = back_lost(to_id, 0);
	from = back(from_id);
	peer_publish(from, QOS(2) | DUP, 5, "t", "", "x");
	expect_publish(to, QOS(2), 1, "t", "", "x");
	bench_finish(&bench);
}
END_TEST

/* A packet of 4 bytes, or PUBLISH of QoS 2 to "t", for each packet identifier that there is. */
static void send_for_all(struct peer *peer, uint8_t first)
{
	enum { IDS = 65535, SIZE = 8 };
	static uint8_t bytes[IDS * SIZE];
	size_t size = first >> 4 == MQTT_PUBLISH ? 8 : 4;

	for (uint32_t id = 1; id <= IDS; id++) {
		uint8_t publish[SIZE] = {first, 6, 0, 1, 't', (uint8_t)(id >> 8), (uint8_t)id, 'x'};
		uint8_t ack[] = {first, 2, (uint8_t)(id >> 8), (uint8_t)id};

		memcpy(bytes + (id - 1) * size, size == SIZE ? publish : ack, size);
	}
	peer_bytes(peer, slice_of(bytes, IDS * size));
	peer->in_len = 0;
}

/* With all identifiers under way, what waits for one goes when the end of an exchange is recorded.
 */
START_TEST(out_of_identifiers)
{
	bench_init(&bench, 1);
	bench.durable = bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 1000;
	bench.settings.max_inflight_messages = 65535;
	bench.settings.max_inflight_bytes = UINT32_MAX;
	bench_start(&bench);
	struct peer *from = new_peer(&bench, V3, "from");
	struct peer *to = new_lasting("to");
	subscribe(to, "t", 2);
	send_for_all(from, 0x34);
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 65535);
	to->in_len = 0;
	send_for_all(to, 0x50);
	bench.hold_store = true;
	send_for_all(to, 0x70);
	from = new_peer(&bench, V5, "another");
	peer_publish(from, QOS(2), 1, "t", "", "y");
	expect_nothing(to);
	ck_assert_uint_eq(counted(&bench, QUEUED), 1);
	bench_store_all(&bench);
	expect_publish(to, QOS(2), 1, "t", "", "y");
	bench_finish(&bench);
}
END_TEST

Suite *records_faults_suite(void)
{
	const TTest *tests[] = {retained_after_it_came_again,
				shared_and_its_own,
				only_what_is_lost_is_counted,
				what_was_dropped_is_not_lost,
				refusal_waits_for_nobody,
				refusals_leave_nothing,
				recorded_behind_a_refusal,
				settings_changed_meanwhile,
				settings_changed_with_a_kill,
				acknowledged_when_it_goes_on,
				member_ends_before_it_was_sent,
				full_disk_and_coming_back,
				full_disk_and_a_small_window,
				recorded_while_stopping,
				out_of_identifiers,
				holder_leaves_its_group,
				group_is_made_anew};
	Suite *suite = suite_create("records_faults");
	TCase *tcase = tcase_create("records_faults");

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return suite;
}
