/* What a client's rights mean for whole shards: publishing, being given, wills, a reload. */
#include "tests/unit/shard_bench.h"

static struct bench bench;
static struct bench_grant grants[2];

/* Everybody who comes from now on reads `read` and writes `write`. */
static struct auth_grant *rules(int i, const char *read, const char *write)
{
	grants[i] = (struct bench_grant){.grant = {.restricted = true},
					 .bench = &bench,
					 .read = slice_text(read),
					 .write = slice_text(write)};
	return &grants[i].grant;
}

static void begin(const char *read, const char *write)
{
	bench_begin(&bench, 1);
	bench.grant = rules(0, read, write);
}

/* 5.0 is told, 3.1.1 is not; QoS 0 just goes nowhere. */
START_TEST(publishing_is_denied)
{
	struct peer *all, *five, *four;

	begin("#", "mine/#");
	all = new_peer(&bench, MQTT_VERSION_5_0, "all");
	subscribe(all, "#", 0);
	five = new_peer(&bench, MQTT_VERSION_5_0, "five");
	four = new_peer(&bench, MQTT_VERSION_3_1_1, "four");
	peer_publish(five, QOS(0), 0, "other", "", "x");
	peer_publish(five, QOS(1), 1, "other", "", "x");
	expect(five, 0x40, "0001 87");
	peer_publish(five, QOS(2), 2, "other", "", "x");
	expect(five, 0x50, "0002 87");
	peer_publish(four, QOS(1), 1, "other", "", "x");
	expect(four, 0x40, "0001");
	peer_publish(four, QOS(2), 2, "other", "", "x");
	expect(four, 0x50, "0002");
	peer_send(four, 0x62, "0002");
	expect(four, 0x70, "0002");
	peer_publish(four, QOS(1) | RETAIN, 3, "other", "", "x");
	expect(four, 0x40, "0003");
	expect_nothing(all);
	ck_assert_uint_eq(counted(&bench, DROPPED_DENIED), 6);
	ck_assert_uint_eq(counted(&bench, RETAINED), 0);
	peer_publish(five, QOS(1), 4, "mine/a", "", "y");
	expect_publish(all, QOS(0), 0, "mine/a", "", "y");
	expect(five, 0x40, "0004");
	bench_finish(&bench);
}
END_TEST

/* The filter is granted, as mosquitto does; what may not be read does not come. */
START_TEST(reading_is_denied)
{
	struct peer *reader, *writer;

	begin("mine/#", "#");
	writer = new_peer(&bench, MQTT_VERSION_5_0, "writer");
	peer_publish(writer, QOS(1) | RETAIN, 1, "other/kept", "", "x");
	expect(writer, 0x40, "0001 10");
	reader = new_peer(&bench, MQTT_VERSION_5_0, "reader");
	subscribe(reader, "#", 1);
	expect_nothing(reader); /* not the retained one, either */
	for (uint16_t qos = 0; qos < 3; qos++) {
		peer_publish(writer, (uint8_t)QOS(qos), (uint16_t)(qos ? qos + 1 : 0), "other", "",
			     "x");
		peer_publish(writer, (uint8_t)QOS(qos), (uint16_t)(qos ? qos + 5 : 0), "mine/b", "",
			     "y");
	}
	expect_publish(reader, QOS(0), 0, "mine/b", "", "y");
	expect_publish(reader, QOS(1), 1, "mine/b", "", "y");
	expect_publish(reader, QOS(1), 2, "mine/b", "", "y");
	expect_nothing(reader);
	ck_assert_uint_eq(counted(&bench, DROPPED_DENIED), 4);
	bench_finish(&bench);
}
END_TEST

/* What waits for a session that is away is looked at again when it goes out. */
START_TEST(rules_of_today_hold_for_what_waited)
{
	struct mqtt_connect lasting = connect_of(MQTT_VERSION_3_1_1, "lasting", false);
	struct peer *reader, *writer;

	begin("#", "#");
	writer = new_peer(&bench, MQTT_VERSION_3_1_1, "writer");
	reader = come_up(&bench, 0, &lasting, false);
	subscribe(reader, "+", 1);
	peer_lose(reader);
	peer_publish(writer, QOS(1), 1, "a", "", "x");
	peer_publish(writer, QOS(1), 2, "b", "", "y");
	expect(writer, 0x40, "0001");
	expect(writer, 0x40, "0002");
	bench.grant = rules(1, "b", "#");
	reader = come_up(&bench, 0, &lasting, true);
	expect_publish(reader, QOS(1), 1, "b", "", "y");
	expect_nothing(reader);
	bench_finish(&bench);
}
END_TEST

/*
 * Who comes with the client identifier of a session may be somebody else than before: what
 * was under way is sent again only to who may read it.
 */
static void resume_as_another(bool recorded)
{
	struct mqtt_connect lasting = connect_of(MQTT_VERSION_3_1_1, "lasting", false);
	struct peer *reader, *writer;

	bench_init(&bench, 1);
	bench.durable = bench.settings.ack_when_delivered = recorded;
	bench.settings.ack_hold_max_ms = 1000;
	bench_start(&bench);
	bench.grant = rules(0, "#", "#");
	writer = new_peer(&bench, MQTT_VERSION_3_1_1, "writer");
	reader = come_up(&bench, 0, &lasting, false);
	subscribe(reader, "+", 2);
	peer_publish(writer, QOS(1), 1, "a", "", "x");
	peer_publish(writer, QOS(2), 2, "a", "", "y");
	peer_publish(writer, QOS(1), 3, "b", "", "z");
	expect_publish(reader, QOS(1), 1, "a", "", "x");
	expect_publish(reader, QOS(2), 2, "a", "", "y");
	expect_publish(reader, QOS(1), 3, "b", "", "z");
	peer_lose(reader);
	bench.grant = rules(1, "b", "#");
	reader = come_up(&bench, 0, &lasting, true);
	/* PUBREL: whoever has it, lets go of it. */
	if (!recorded)
		expect(reader, 0x62, "0002");
	expect_publish(reader, QOS(1) | DUP, 3, "b", "", "z");
	if (recorded)
		expect(reader, 0x62, "0002");
	peer_send(reader, 0x70, "0002");
	peer_send(reader, 0x40, "0003");
	expect_nothing(reader);
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 0);
	ck_assert_uint_eq(counted(&bench, DROPPED_DENIED), 2);
	bench_finish(&bench);
}

START_TEST(what_was_under_way_is_not_for_everybody)
{
	resume_as_another(false);
}
END_TEST

/* Likewise with the steps of QoS 2 in the store. */
START_TEST(recorded_deliveries_are_not_for_everybody)
{
	resume_as_another(true);
}
END_TEST

/* [bad-inputs 63]: a reload takes a right from a subscription that is there. */
START_TEST(a_reload_reaches_who_is_there)
{
	struct peer *reader, *writer;

	begin("#", "#");
	reader = new_peer(&bench, MQTT_VERSION_5_0, "reader");
	writer = new_peer(&bench, MQTT_VERSION_5_0, "writer");
	subscribe(reader, "+", 0);
	peer_publish(writer, QOS(1), 1, "a", "", "x");
	expect_publish(reader, QOS(0), 0, "a", "", "x");
	expect(writer, 0x40, "0001");
	bench.next_grant = rules(1, "b", "a");
	bench_event(&bench, 0, &(struct event){.type = EVENT_RIGHTS});
	peer_publish(writer, QOS(1), 2, "a", "", "x");
	expect(writer, 0x40, "0002");
	peer_publish(writer, QOS(1), 3, "b", "", "x");
	expect(writer, 0x40, "0003 87");
	expect_nothing(reader);
	bench.next_grant = NULL; /* nobody is left in the file */
	bench_event(&bench, 0, &(struct event){.type = EVENT_RIGHTS});
	expect_end(reader, 0x87);
	expect_end(writer, 0x87);
	bench_finish(&bench);
}
END_TEST

/* ---- whose a session is ---- */

#define ANN ((uint64_t)IDENTITY_ACCOUNT << 61 | 1)
#define BOB ((uint64_t)IDENTITY_ACCOUNT << 61 | 2)

/* Everybody who comes from now on is this one; 0: nobody. */
static void come_as(uint64_t owner)
{
	bench.grant = owner ? rules(owner == ANN ? 0 : 1, "#", "#") : NULL;
	if (owner)
		bench.grant->owner = owner;
}

static struct peer *knock(const char *client_id)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, client_id, false);
	struct peer *peer = peer_open(&bench, 0, MQTT_VERSION_5_0);

	mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	connect.properties.session_expiry_s = 1000;
	peer_connect(peer, &connect);
	return peer;
}

static void comes_in(const char *client_id, bool present)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, client_id, false);

	mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	connect.properties.session_expiry_s = 1000;
	peer_lose(peer_up(&bench, 0, &connect, present, __LINE__));
}

static void begin_stored(void)
{
	bench_init(&bench, 1);
	bench.durable = true;
	bench_start(&bench);
}

/* Away or connected, and after a restart. */
START_TEST(a_session_is_its_owners)
{
	struct peer *ann;

	begin_stored();
	come_as(ANN);
	comes_in("c", false);
	come_as(BOB);
	expect_connack(knock("c"), 0x85);
	come_as(0);
	expect_connack(knock("c"), 0x85);
	come_as(ANN);
	ann = knock("c");
	expect_connack(ann, 0);
	come_as(BOB);
	expect_connack(knock("c"), 0x85);
	expect_nothing(ann);
	bench_restart(&bench);
	expect_connack(knock("c"), 0x85);
	come_as(ANN);
	comes_in("c", true);
	bench_finish(&bench);
}
END_TEST

/* What nobody began is whoever's knows its name, and from then on theirs: in the store, too. */
START_TEST(a_session_of_nobody_finds_an_owner)
{
	begin_stored();
	come_as(0);
	comes_in("c", false);
	come_as(ANN);
	comes_in("c", true);
	bench_restart(&bench);
	come_as(BOB);
	expect_connack(knock("c"), 0x85);
	come_as(ANN);
	comes_in("c", true);
	bench_finish(&bench);
}
END_TEST

/* All that one has goes, and nothing of others. */
START_TEST(who_is_expelled_leaves_no_session)
{
	struct peer *connected, *brief, *other;

	begin_stored();
	come_as(ANN);
	comes_in("away", false);
	connected = knock("connected");
	expect_connack(connected, 0);
	brief = new_peer(&bench, MQTT_VERSION_5_0, "brief");
	come_as(BOB);
	other = new_peer(&bench, MQTT_VERSION_5_0, "other");
	comes_in("others", false);
	bench_event(&bench, 0, &(struct event){.type = EVENT_EXPEL, .owner = ANN});
	expect_end(connected, 0x98);
	expect_end(brief, 0x98);
	expect_nothing(other);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 2);
	bench_restart(&bench);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	come_as(0);
	comes_in("away", false);
	bench_finish(&bench);
}
END_TEST

/* What becomes of one is nothing to the others: not even their grants are looked at. */
START_TEST(one_owner_is_renewed_alone)
{
	struct peer *ann, *other;

	bench_begin(&bench, 1);
	come_as(ANN);
	ann = new_peer(&bench, MQTT_VERSION_5_0, "ann");
	come_as(BOB);
	other = new_peer(&bench, MQTT_VERSION_5_0, "other");
	bench.next_grant = NULL; /* who is looked at may not be here */
	bench_event(&bench, 0, &(struct event){.type = EVENT_RIGHTS, .owner = ANN});
	expect_end(ann, 0x87);
	expect_nothing(other);
	bench_event(&bench, 0, &(struct event){.type = EVENT_RIGHTS});
	expect_end(other, 0x87);
	bench_finish(&bench);
}
END_TEST

static void count_client(void *self, const struct client_info *client)
{
	ck_assert_uint_eq(client->owner, ANN);
	++*(unsigned *)self;
}

/* Also of those who are away, and were not here since a restart. */
START_TEST(clients_of_one_owner)
{
	unsigned count = 0;

	begin_stored();
	come_as(ANN);
	comes_in("first", false);
	comes_in("second", false);
	come_as(BOB);
	comes_in("third", false);
	bench_restart(&bench);
	come_as(ANN);
	comes_in("second", true);
	shard_each_client_of(bench.shards[0], ANN, &count, count_client);
	ck_assert_uint_eq(count, 2);
	bench_finish(&bench);
}
END_TEST

/* A connection with a will, and with a session that waits for it after the connection. */
static struct peer *with_will(const char *client_id)
{
	struct mqtt_connect connect = connect_of(MQTT_VERSION_5_0, client_id, true);

	mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	connect.properties.session_expiry_s = 100;
	connect.has_will = true;
	connect.will.topic = SLICE_LITERAL("will");
	connect.will.payload = SLICE_LITERAL("gone");
	mqtt_set(&connect.will.properties, MQTT_PROPERTY_WILL_DELAY_INTERVAL);
	connect.will.properties.will_delay_s = 10;
	return come_up(&bench, 0, &connect, false);
}

/* Retained at any home, and wills of who is there and who is not. */
START_TEST(who_is_expelled_leaves_no_message)
{
	const char *here, *there;
	struct peer *ann, *bob, *reader;

	bench_begin(&bench, 2);
	here = bench_name(&bench, 0, "here");
	there = bench_name(&bench, 1, "there");
	come_as(ANN);
	ann = with_will(bench_name(&bench, 0, "ann"));
	peer_lose(with_will(bench_name(&bench, 0, "ann-away")));
	peer_publish(ann, RETAIN, 0, here, "", "ann");
	peer_publish(ann, RETAIN, 0, there, "", "ann");
	peer_publish(ann, RETAIN, 0, "bobs", "", "ann");
	come_as(BOB);
	bob = new_peer(&bench, MQTT_VERSION_3_1_1, "bob");
	peer_publish(bob, RETAIN, 0, "bobs", "", "bob");
	peer_publish(bob, RETAIN, 0, "bobs/too", "", "bob");
	reader = new_peer(&bench, MQTT_VERSION_3_1_1, "reader");
	subscribe(reader, "will", 0);
	for (unsigned shard = 0; shard < 2; shard++)
		bench_event(&bench, shard, &(struct event){.type = EVENT_EXPEL, .owner = ANN});
	bench_pass_ms(&bench, 20000);
	expect_nothing(reader);
	ck_assert_uint_eq(counted(&bench, WILLS), 0);
	ck_assert_uint_eq(counted(&bench, RETAINED), 2);
	subscribe(reader, "bobs", 0);
	expect_publish(reader, RETAIN, 0, "bobs", "", "bob");
	bench_finish(&bench);
}
END_TEST

/* Nor one that waits for its turn behind a message of QoS 2. */
START_TEST(who_is_expelled_leaves_nothing_that_waits)
{
	struct mqtt_connect connect = connect_lasting(MQTT_VERSION_5_0, "ann", 100);
	struct peer *ann, *reader;

	begin_stored();
	bench.settings.ack_when_delivered = true;
	come_as(BOB);
	reader = new_peer(&bench, MQTT_VERSION_3_1_1, "reader");
	subscribe(reader, "will", 0);
	come_as(ANN);
	connect.has_will = true;
	connect.will.topic = connect.will.payload = SLICE_LITERAL("will");
	connect.will.retain = true;
	ann = come_up(&bench, 0, &connect, false);
	bench.hold_store = true;
	peer_publish(ann, QOS(2), 1, "will", "", "x");
	peer_lose(ann);
	bench_event(&bench, 0, &(struct event){.type = EVENT_EXPEL, .owner = ANN});
	bench.hold_store = false;
	bench_settle(&bench);
	expect_nothing(reader);
	ck_assert_uint_eq(counted(&bench, RETAINED), 0);
	bench_finish(&bench);
}
END_TEST

/* Nor that of its connection before, which waits while the store is asked about the next one. */
START_TEST(who_is_expelled_at_the_door_leaves_no_will)
{
	struct mqtt_connect again = connect_lasting(MQTT_VERSION_5_0, "ann", 200);
	struct peer *reader;

	begin_stored();
	come_as(BOB);
	reader = new_peer(&bench, MQTT_VERSION_3_1_1, "reader");
	subscribe(reader, "will", 0);
	come_as(ANN);
	peer_lose(with_will("ann"));
	bench.hold_store = true;
	peer_connect(peer_open(&bench, 0, MQTT_VERSION_5_0), &again);
	ck_assert_uint_eq(counted(&bench, WILLS), 1);
	bench_event(&bench, 0, &(struct event){.type = EVENT_EXPEL, .owner = ANN});
	bench.hold_store = false;
	bench_settle(&bench);
	bench_pass_ms(&bench, 20000);
	expect_nothing(reader);
	ck_assert_uint_eq(counted(&bench, WILLS), 0);
	ck_assert_uint_eq(counted(&bench, SESSIONS), 1);
	bench_finish(&bench);
}
END_TEST

START_TEST(a_will_needs_the_right)
{
	struct mqtt_connect dying = connect_of(MQTT_VERSION_3_1_1, "dying", true);
	struct peer *reader;

	begin("#", "allowed");
	reader = new_peer(&bench, MQTT_VERSION_3_1_1, "reader");
	subscribe(reader, "#", 0);
	dying.has_will = true;
	dying.will.payload = SLICE_LITERAL("gone");
	dying.will.topic = SLICE_LITERAL("denied");
	peer_lose(come_up(&bench, 0, &dying, false));
	expect_nothing(reader);
	dying.will.topic = SLICE_LITERAL("allowed");
	peer_lose(come_up(&bench, 0, &dying, false));
	expect_publish(reader, QOS(0), 0, "allowed", "", "gone");
	bench_finish(&bench);
}
END_TEST

/* Without rules nothing is asked; with rules the same topic is asked about once. */
START_TEST(answers_are_remembered)
{
	struct peer *writer;

	bench_begin(&bench, 1);
	grants[0] = (struct bench_grant){.bench = &bench};
	bench.grant = &grants[0].grant;
	writer = new_peer(&bench, MQTT_VERSION_3_1_1, "free");
	peer_publish(writer, QOS(0), 0, "a", "", "x");
	ck_assert_uint_eq(bench.questions, 0);
	bench.grant = rules(0, "#", "a");
	writer = new_peer(&bench, MQTT_VERSION_3_1_1, "bound");
	for (int i = 0; i < 10; i++) {
		peer_publish(writer, QOS(0), 0, "a", "", "x");
		peer_publish(writer, QOS(0), 0, "b", "", "x");
	}
	ck_assert_uint_ge(bench.questions, 2);
	ck_assert_uint_le(bench.questions, 20);
	ck_assert_uint_eq(counted(&bench, DROPPED_DENIED), 10);
	/* An answer about writing is none about reading. */
	bench.grant = rules(1, "else", "both");
	writer = new_peer(&bench, MQTT_VERSION_5_0, "both");
	subscribe(writer, "both", 0);
	for (uint16_t id = 1; id < 3; id++) {
		peer_publish(writer, QOS(1), id, "both", "", "x");
		expect(writer, 0x40, id == 1 ? "0001" : "0002");
	}
	expect_nothing(writer);
	bench_finish(&bench);
}
END_TEST

/* Grants go back: of sessions that end, of answers that come too late, of connections that do
 * not become one. */
START_TEST(grants_go_back)
{
	struct mqtt_connect five = connect_of(MQTT_VERSION_5_0, "a", true);
	struct peer *peer;

	begin("#", "#");
	peer = new_peer(&bench, MQTT_VERSION_5_0, "short");
	ck_assert_uint_eq(bench.released, 0);
	peer_lose(peer);
	ck_assert_uint_eq(bench.released, 1);
	bench.verdict = AUTH_WAIT;
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(peer, &five);
	peer_lose(peer);
	bench_event(&bench, 0,
		    &(struct event){.type = EVENT_AUTHENTICATED,
				    .link = peer->link,
				    .serial = bench.asked_serial,
				    .grant = bench.grant});
	ck_assert_uint_eq(bench.released, 2);
	bench.settings.sessions_max = 0;
	peer = peer_open(&bench, 0, MQTT_VERSION_5_0);
	peer_connect(peer, &five);
	bench_event(&bench, 0,
		    &(struct event){.type = EVENT_AUTHENTICATED,
				    .link = peer->link,
				    .serial = bench.asked_serial,
				    .grant = bench.grant});
	expect_connack(peer, 0x97);
	ck_assert_uint_eq(bench.released, 3);
	bench_finish(&bench);
}
END_TEST

Suite *shard_rights_suite(void)
{
	const TTest *const tests[] = {publishing_is_denied,
				      reading_is_denied,
				      rules_of_today_hold_for_what_waited,
				      what_was_under_way_is_not_for_everybody,
				      recorded_deliveries_are_not_for_everybody,
				      a_reload_reaches_who_is_there,
				      a_session_is_its_owners,
				      a_session_of_nobody_finds_an_owner,
				      who_is_expelled_leaves_no_session,
				      who_is_expelled_leaves_no_message,
				      who_is_expelled_leaves_nothing_that_waits,
				      who_is_expelled_at_the_door_leaves_no_will,
				      one_owner_is_renewed_alone,
				      clients_of_one_owner,
				      a_will_needs_the_right,
				      answers_are_remembered,
				      grants_go_back};

	return suite_of("shard_rights", tests, COUNT_OF(tests));
}
