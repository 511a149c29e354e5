/* Who of a shared group gets a message, and what the group keeps.  MQTT 5.0 section 4.8.2. */
#include "tests/unit/group_bench.h"

/* ---- who may not read ---- */

/* `to` gets it with this packet identifier, and the publisher waits until it has it. */
static void passes_to(struct peer *to, struct peer *from, uint8_t qos, uint16_t id)
{
	char number[5];

	snprintf(number, sizeof number, "%04x", id);
	peer_publish(from, (uint8_t)QOS(qos), qos ? id : 0, topic, "", "x");
	expect_publish(to, (uint8_t)QOS(qos), qos ? id : 0, topic, "", "x");
	expect_nothing(from);
	if (qos == 0)
		return;
	peer_send(to, qos == 1 ? 0x40 : 0x50, number);
	expect(from, qos == 1 ? 0x40 : 0x50, number);
	if (qos == 1)
		return;
	expect(to, 0x62, number);
	peer_send(to, 0x70, number);
}

/* With each QoS, wherever the group's home is and whoever's turn it is. */
START_TEST(passed_over)
{
	for (unsigned shards = 1; shards <= 3; shards += 2) {
		for (unsigned home = 0; home < shards; home++) {
			struct peer *may, *may_not[3], *from;

			begin_group(shards, home, true);
			for (unsigned i = 0; i < 3; i++)
				may_not[i] = member(i, i % shards, "else", 2);
			may = member(3, 0, "#", 2);
			from = publisher(shards - 1);
			for (uint16_t turn = 0; turn < 5; turn++) {
				passes_to(may, from, 0, 0);
				passes_to(may, from, 1, (uint16_t)(2 * turn + 1));
				passes_to(may, from, 2, (uint16_t)(2 * turn + 2));
			}
			for (unsigned i = 0; i < 3; i++)
				expect_nothing(may_not[i]);
			ck_assert_uint_eq(counted(&bench, DROPPED_DENIED), 0);
			bench_finish(&bench);
		}
	}
}
END_TEST

/* Those that may read it have the turns of one that may not, too, one after the other. */
START_TEST(turns_of_who_may_not)
{
	for (unsigned home = 0; home < 2; home++) {
		struct peer *may[2], *from;

		begin_group(2, home, false);
		member(2, 0, "else", 1);
		may[0] = member(0, 0, "#", 1);
		may[1] = member(1, 1, "#", 1);
		from = publisher(1);
		for (uint16_t n = 1; n <= 6; n++)
			peer_publish(from, QOS(1), n, topic, "", "x");
		for (unsigned i = 0; i < 2; i++) {
			for (uint16_t n = 1; n <= 3; n++)
				expect_publish(may[i], QOS(1), n, topic, "", "x");
			expect_nothing(may[i]);
		}
		bench_finish(&bench);
	}
}
END_TEST

/* Where all are there and none may read it: as with any subscriber. */
START_TEST(denied_by_all)
{
	for (uint8_t qos = 0; qos < 3; qos++) {
		struct peer *from;

		begin_group(2, 0, true);
		member(0, 0, "else", 2);
		member(1, 1, "else", 2);
		from = publisher(1);
		peer_publish(from, (uint8_t)QOS(qos), qos, topic, "", "x");
		if (qos > 0)
			expect(from, qos == 1 ? 0x40 : 0x50, qos == 1 ? "0001" : "0002");
		ck_assert_uint_eq(counted(&bench, DROPPED_DENIED), 1);
		ck_assert_uint_eq(counted(&bench, QUEUED), 0);
		bench_gather_rows(&bench);
		ck_assert_uint_eq(bench_rows(&bench, NULL, "", qos, ROUTE_DENIED), 1);
		bench_finish(&bench);
	}
}
END_TEST

/* What waits for who is away does not go to who may not read it, but comes to who may. */
START_TEST(kept_from_who_may_not)
{
	for (unsigned home = 0; home < 2; home++) {
		struct mqtt_connect connect;
		struct peer *away, *may_not, *from;

		begin_group(2, home, false);
		away = member(0, 0, "#", 1);
		from = publisher(1);
		peer_lose(away);
		peer_publish(from, QOS(1), 1, topic, "", "1");
		peer_publish(from, QOS(1), 2, topic, "", "2");
		may_not = member(1, 1, "else", 1);
		peer_publish(from, QOS(1), 3, topic, "", "3");
		ck_assert_uint_eq(counted(&bench, QUEUED), 3);
		bench.grant = rules(0, "#");
		connect = connect_lasting(V5, bench.names[1], 100);
		away = come_up(&bench, 0, &connect, true);
		expect_publish(away, QOS(1), 1, topic, "", "1");
		expect_publish(away, QOS(1), 2, topic, "", "2");
		expect_publish(away, QOS(1), 3, topic, "", "3");
		expect_nothing(may_not);
		ck_assert_uint_eq(counted(&bench, DROPPED_DENIED), 0);
		bench_finish(&bench);
	}
}
END_TEST

/* Members that go while a message makes its round do not end it before all were asked. */
START_TEST(round_begins_anew)
{
	struct peer *may_not[2], *may, *from;

	begin_group(3, 2, false);
	may_not[0] = member(0, 0, "else", 1);
	may_not[1] = member(1, 0, "else", 1);
	may = member(2, 1, "#", 1);
	from = publisher(2);
	peer_publish(from, QOS(0), 0, topic, "", "turn");
	expect_publish(may, QOS(0), 0, topic, "", "turn");
	bench.hold_mail = true;
	peer_publish(from, QOS(1), 1, topic, "", "x"); /* to the first, which says no... */
	peer_send(may_not[0], 0xE0, "00 05 11 00000000");
	peer_send(may_not[1], 0xE0, "00 05 11 00000000");
	bench.hold_mail = false;
	bench_settle(&bench);
	expect_publish(may, QOS(1), 1, topic, "", "x");
	ck_assert_uint_eq(counted(&bench, DROPPED_DENIED), 0);
	bench_finish(&bench);
}
END_TEST

/* What waits in the queue of a member that may not read it any more goes to another. */
START_TEST(right_lost_meanwhile)
{
	for (unsigned home = 0; home < 2; home++) {
		struct mqtt_connect slow;
		struct peer *loses, *may, *from;

		begin_group(2, home, false);
		slow = lasting(0, "slow");
		mqtt_set(&slow.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
		slow.properties.receive_maximum = 1;
		bench.grant = rules(0, "#");
		loses = come_up(&bench, 0, &slow, false);
		subscribe(loses, share, 1);
		from = publisher(1);
		peer_publish(from, QOS(1), 1, topic, "", "1");
		peer_publish(from, QOS(1), 2, topic, "", "2");
		expect_publish(loses, QOS(1), 1, topic, "", "1");
		may = member(1, 1, "#", 1);
		reload(0, "else");
		peer_send(loses, 0x40, "0001");
		expect_nothing(loses);
		expect_publish(may, QOS(1), 1, topic, "", "2");
		ck_assert_uint_eq(counted(&bench, DROPPED_DENIED), 0);
		bench_finish(&bench);
	}
}
END_TEST

/* What the group keeps comes to a member that may read it from now on. */
START_TEST(right_given_meanwhile)
{
	struct peer *gets, *away, *from;

	begin_group(2, 0, false);
	gets = member(0, 1, "else", 1);
	away = member(1, 0, "#", 1);
	peer_lose(away);
	from = publisher(1);
	peer_publish(from, QOS(1), 1, topic, "", "x");
	expect_nothing(gets);
	reload(0, "#");
	expect_publish(gets, QOS(1), 1, topic, "", "x");
	bench_finish(&bench);
}
END_TEST

/* The first mail that is held arrives. */
static void mail_arrives(void)
{
	struct mail *mail = bench.mail;

	bench.mail = mail->next;
	if (bench.mail == NULL)
		bench.mail_end = &bench.mail;
	mail->next = NULL;
	bench_event(&bench, mail->to, &(struct event){.type = EVENT_MAIL, .mail = mail});
}

/* Likewise, also to one that had said no while the group asks another, who has come. */
START_TEST(right_given_during_a_round)
{
	struct peer *gets, *comes, *away, *from;
	struct mqtt_connect connect;

	begin_group(2, 0, false);
	gets = member(0, 0, "else", 1);
	away = member(1, 0, "#", 1);
	comes = member(2, 1, "else", 1);
	connect = connect_lasting(V5, bench.names[bench.name_count - 1], 100);
	peer_lose(away);
	peer_lose(comes);
	from = publisher(0);
	peer_publish(from, QOS(1), 1, topic, "", "x");
	bench.hold_mail = true;
	bench.grant = rules(2, "else");
	come_up(&bench, 1, &connect, true);
	mail_arrives();
	ck_assert_int_eq(bench.mail->type, MAIL_SHARE_DELIVER);
	reload(0, "#");
	bench.hold_mail = false;
	bench_settle(&bench);
	expect_publish(gets, QOS(1), 1, topic, "", "x");
	bench_finish(&bench);
}
END_TEST

/* ---- what the group keeps ---- */

/* [MQTT-3.3.2-5]: what has expired makes room in a full queue, before anything else is dropped. */
START_TEST(expired_makes_room)
{
	for (int drop_old = 0; drop_old < 2; drop_old++) {
		struct mqtt_connect connect;
		struct peer *away, *from;

		begin_group(2, 0, false);
		bench.settings.max_queued_messages = 2;
		bench.settings.queue_policy = drop_old ? QUEUE_DROP_OLD : QUEUE_DROP_NEW;
		bench_event(&bench, 0,
			    &(struct event){.type = EVENT_SETTINGS, .settings = &bench.settings});
		away = member(0, 0, "#", 1);
		from = publisher(1);
		peer_lose(away);
		peer_publish(from, QOS(1), 1, topic, "", "1");
		peer_publish(from, QOS(1), 2, topic, "02 00000001", "expires");
		bench_pass_ms(&bench, 2000);
		peer_publish(from, QOS(1), 3, topic, "", "2");
		ck_assert_uint_eq(counted(&bench, DROPPED_EXPIRED), 1);
		ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 0);
		peer_publish(from, QOS(1), 4, topic, "", "3");
		ck_assert_uint_eq(counted(&bench, DROPPED_QUEUE_FULL), 1);
		ck_assert_uint_eq(counted(&bench, QUEUED), 2);
		connect = connect_lasting(V5, bench.names[1], 100);
		bench.grant = rules(0, "#");
		away = come_up(&bench, 0, &connect, true);
		expect_publish(away, QOS(1), 1, topic, "", drop_old ? "2" : "1");
		expect_publish(away, QOS(1), 2, topic, "", drop_old ? "3" : "2");
		expect_nothing(away);
		ck_assert_uint_eq(counted(&bench, QUEUED_BYTES), 0);
		bench_finish(&bench);
	}
}
END_TEST

/* Who comes is asked about what is kept, and no other.  Whoever joins again, as often as a packet
 * can say, is not asked again. */
START_TEST(joins_again)
{
	enum { KEPT = 20, TIMES = 50 };

	for (unsigned home = 0; home < 2; home++) {
		struct peer *comes, *away, *from;
		uint8_t packet[5 + TIMES * 48], *at = packet + 6;
		size_t len = strlen(share);

		begin_group(2, home, false);
		bench.settings.max_packet_size = sizeof packet;
		away = member(0, 1, "#", 1);
		peer_lose(away);
		from = publisher(1);
		for (uint16_t n = 1; n <= KEPT; n++)
			peer_publish(from, QOS(1), n, topic, "", "x");
		member(1, 1 - home, "else", 1); /* far from home: it is asked by mail */
		ck_assert_uint_eq(bench.mails[MAIL_SHARE_DELIVER], KEPT);
		comes = member(2, 1 - home, "else", 1);
		ck_assert_uint_eq(bench.mails[MAIL_SHARE_DELIVER], 2 * KEPT);
		memcpy(packet, (const uint8_t[]){0x82, 0, 0, 0, 9, 0}, 6);
		for (unsigned n = 0; n < TIMES; n++) {
			*at++ = 0;
			*at++ = (uint8_t)len;
			memcpy(at, share, len);
			at += len;
			*at++ = 1;
		}
		packet[1] = (uint8_t)((size_t)(at - packet - 3) % 128 | 128);
		packet[2] = (uint8_t)((size_t)(at - packet - 3) / 128);
		peer_bytes(comes, slice_of(packet, (size_t)(at - packet)));
		ck_assert_uint_gt(comes->in_len, TIMES); /* SUBACK */
		comes->in_len = 0;
		ck_assert_uint_eq(bench.mails[MAIL_SHARE_DELIVER], 2 * KEPT);
		ck_assert_uint_eq(counted(&bench, QUEUED), KEPT);
		bench_finish(&bench);
	}
}
END_TEST

/* ---- who leaves ---- */

/* "leaves" lives here, is a member and takes one at a time. */
static struct peer *slow_member(unsigned home, uint8_t qos)
{
	struct mqtt_connect slow = lasting(home, "leaves");

	mqtt_set(&slow.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	slow.properties.receive_maximum = 1;
	struct peer *peer = come_up(&bench, 0, &slow, false);
	subscribe(peer, share, qos);
	return peer;
}

static void unsubscribes_from(struct peer *peer, const char *group)
{
	char body[64];

	snprintf(body, sizeof body, "0009 00 %04x '%s'", (unsigned)strlen(group), group);
	peer_send(peer, 0xA2, body);
	expect(peer, 0xB0, "0009 00 00");
}

static void unsubscribes(struct peer *peer)
{
	unsubscribes_from(peer, share);
}

/*
 * What the group gave to one that has unsubscribed is its own as long as its session lasts; then
 * the others get what it has not had, but not what was sent with QoS 2. [MQTT-3.10.4-3]
 * [MQTT-4.8.2-5]
 */
START_TEST(unsubscribes_and_ends)
{
	for (uint8_t qos = 1; qos <= 2; qos++) {
		for (unsigned home = 0; home < 2; home++) {
			struct peer *leaves, *other, *from;
			uint8_t flags = (uint8_t)QOS(qos);

			begin_group(2, home, false);
			leaves = slow_member(0, qos);
			from = publisher(1);
			for (uint16_t n = 1; n <= 3; n++)
				peer_publish(from, QOS(2), n, topic, "",
					     n == 1   ? "1"
					     : n == 2 ? "2"
						      : "3");
			other = member(0, 1, "#", 1);
			expect_publish(leaves, flags, 1, topic, "", "1");
			unsubscribes(leaves);
			if (qos == 2)
				peer_send(leaves, 0x50, "0001 80");
			else
				peer_send(leaves, 0x40, "0001");
			expect_publish(leaves, flags, 2, topic, "", "2");
			subscribe(leaves, share, qos); /* another membership */
			unsubscribes(leaves);
			expect_nothing(other);
			peer_send(leaves, 0xE0, "00 05 11 00000000");
			if (qos == 1)
				expect_publish(other, QOS(1), 1, topic, "", "2");
			expect_publish(other, QOS(1), qos == 1 ? 2 : 1, topic, "", "3");
			expect_nothing(other);
			ck_assert_uint_eq(counted(&bench, QUEUED), 0);
			bench_finish(&bench);
		}
	}
}
END_TEST

/* What comes back goes to the others in turn, as if it came now. */
START_TEST(shared_out_among_others)
{
	for (unsigned home = 0; home < 2; home++) {
		struct peer *leaves, *others[2], *from;

		begin_group(2, home, false);
		leaves = slow_member(0, 1);
		from = publisher(1);
		for (uint16_t n = 1; n <= 4; n++)
			peer_publish(from, QOS(1), n, topic, "", "x");
		for (unsigned i = 0; i < 2; i++)
			others[i] = member(i, 1, "#", 1);
		peer_send(leaves, 0xE0, "00 05 11 00000000");
		for (unsigned i = 0; i < 2; i++) {
			expect_publish(others[i], QOS(1), 1, topic, "", "x");
			expect_publish(others[i], QOS(1), 2, topic, "", "x");
			expect_nothing(others[i]);
		}
		bench_finish(&bench);
	}
}
END_TEST

/* Where it was the last, the group is no more. */
START_TEST(last_one_unsubscribes_and_ends)
{
	struct peer *leaves, *from;

	begin_group(2, 1, false);
	leaves = slow_member(0, 1);
	from = publisher(1);
	peer_publish(from, QOS(1), 1, topic, "", "1");
	peer_publish(from, QOS(1), 2, topic, "", "2");
	expect_publish(leaves, QOS(1), 1, topic, "", "1");
	unsubscribes(leaves);
	peer_send(leaves, 0xE0, "00 05 11 00000000");
	ck_assert_uint_eq(counted(&bench, DROPPED_SESSION_END), 2);
	bench_finish(&bench);
}
END_TEST

/* So many memberships of before are remembered; then the oldest is forgotten. */
START_TEST(leaves_group_after_group)
{
	enum { REMEMBERED = 1024 };

	for (unsigned forgotten = 0; forgotten < 2; forgotten++) {
		struct peer *leaves, *other, *from;

		begin_group(2, 0, false);
		leaves = slow_member(1, 1);
		from = publisher(1);
		peer_publish(from, QOS(1), 1, topic, "", "1");
		peer_publish(from, QOS(1), 2, topic, "", "2");
		expect_publish(leaves, QOS(1), 1, topic, "", "1");
		unsubscribes(leaves);
		for (unsigned n = 1; n < REMEMBERED + forgotten; n++) {
			subscribe(leaves, "$share/g/other", 1);
			unsubscribes_from(leaves, "$share/g/other");
		}
		other = member(0, 0, "#", 1);
		peer_send(leaves, 0xE0, "00 05 11 00000000");
		if (!forgotten)
			expect_publish(other, QOS(1), 1, topic, "", "1");
		if (!forgotten)
			expect_publish(other, QOS(1), 2, topic, "", "2");
		expect_nothing(other);
		ck_assert_uint_eq(counted(&bench, DROPPED_SESSION_END), forgotten);
		bench_finish(&bench);
	}
}
END_TEST

Suite *shard_group_suite(void)
{
	const TTest *tests[] = {
	    passed_over,
	    denied_by_all,
	    kept_from_who_may_not,
	    round_begins_anew,
	    right_lost_meanwhile,
	    right_given_meanwhile,
	    right_given_during_a_round,
	    unsubscribes_and_ends,
	    last_one_unsubscribes_and_ends,
	    leaves_group_after_group,
	    expired_makes_room,
	    shared_out_among_others,
	    turns_of_who_may_not,
	    joins_again,
	};

	return suite_of("shard_group", tests, COUNT_OF(tests));
}
