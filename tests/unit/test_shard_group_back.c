/*
 * What goes back to a shared group and on to another member, and who waits for it; and what a
 * member has published itself.  MQTT 5.0 section 4.8.2.
 */
#include "tests/unit/group_bench.h"

/* ---- what comes back, and its publisher ---- */

/* How a member lets go of what it has: all but the last for both QoS. */
enum way { ENDS, STARTS_CLEAN, IS_EXPELLED, LOSES_RIGHT, WAYS };

static void let_go(struct peer *peer, enum way way)
{
	struct mqtt_connect again = connect_of(V5, bench.names[1], true);
	struct event expel = {.type = EVENT_EXPEL, .owner = grants[0].grant.owner};

	switch (way) {
	case ENDS:
		peer_send(peer, 0xE0, "00 05 11 00000000");
		return;
	case STARTS_CLEAN:
		bench.grant = rules(0, "#");
		come_up(&bench, 0, &again, false);
		bench.grant = NULL;
		return;
	case IS_EXPELLED:
		for (unsigned shard = 0; shard < bench.count; shard++)
			bench_event(&bench, shard, &expel);
		return;
	default:
		reload(0, "else");
		peer_send(peer, 0x40, "0001");
	}
}

/* One that takes one at a time, and its publisher at another shard, who has sent two: "1" is with
 * it, "2" waits for it. */
static struct peer *with_two(struct peer **from)
{
	struct mqtt_connect slow = lasting(0, "leaves");

	mqtt_set(&slow.properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	slow.properties.receive_maximum = 1;
	bench.grant = rules(0, "#");
	struct peer *peer = come_up(&bench, 0, &slow, false);
	bench.grant = NULL;
	subscribe(peer, share, 1);
	*from = publisher(1);
	peer_publish(*from, QOS(1), 1, topic, "", "1");
	peer_publish(*from, QOS(2), 2, topic, "", "2");
	expect_publish(peer, QOS(1), 1, topic, "", "1");
	return peer;
}

/* Its publisher waits for the next member, wherever the group, its members and the publisher are;
 * of another that has the message, too. */
START_TEST(comes_back_unacknowledged)
{
	for (unsigned n = 0; n < 3u * 3u * WAYS; n++) {
		struct peer *leaves, *next, *also, *from;
		enum way way = (enum way)(n % WAYS);
		uint16_t id = 1;
		char text[5];

		begin_group(3, n / WAYS / 3, true);
		leaves = with_two(&from);
		next = member(1, n / WAYS % 3, "#", 2);
		also = new_peer(&bench, V5, bench_name(&bench, n % 3, "also"));
		subscribe(also, topic, 1);
		let_go(leaves, way);
		if (way == LOSES_RIGHT)
			expect(from, 0x40, "0001");
		else
			expect_publish(next, QOS(1), id++, topic, "", "1");
		expect_publish(next, QOS(2), id, topic, "", "2");
		expect_nothing(from);
		expect_nothing(also);
		if (way != LOSES_RIGHT) {
			peer_send(next, 0x40, "0001");
			expect(from, 0x40, "0001");
			expect_nothing(from);
		}
		snprintf(text, sizeof text, "%04x", id);
		peer_send(next, 0x50, text);
		expect(next, 0x62, text);
		expect(from, 0x50, "0002");
		bench_finish(&bench);
	}
}
END_TEST

/* It may come back more than once, and the last one may be the only one left. */
START_TEST(comes_back_again_and_again)
{
	for (unsigned home = 0; home < 3; home++) {
		struct peer *first, *second, *last, *from;

		begin_group(3, home, true);
		first = with_two(&from);
		second = member(1, 1, "#", 2);
		peer_send(first, 0xE0, "00 05 11 00000000");
		expect_publish(second, QOS(1), 1, topic, "", "1");
		expect_publish(second, QOS(2), 2, topic, "", "2");
		last = member(2, home, "#", 2);
		peer_send(second, 0xE0, "00 05 11 00000000");
		expect_publish(last, QOS(1), 1, topic, "", "1");
		expect(from, 0x50, "0002"); /* that may be with the second [MQTT-4.8.2-5] */
		expect_nothing(from);
		peer_send(last, 0x40, "0001");
		expect(from, 0x40, "0001");
		bench_finish(&bench);
	}
}
END_TEST

/* Nobody is waited for where nobody is connected: the group keeps it, or it goes with the group. */
START_TEST(comes_back_to_nobody)
{
	for (unsigned home = 0; home < 3; home++) {
		for (int one_is_away = 0; one_is_away < 2; one_is_away++) {
			struct peer *leaves, *from;

			begin_group(3, home, true);
			leaves = with_two(&from);
			if (one_is_away)
				peer_lose(member(1, 1, "#", 2));
			expect_nothing(from);
			peer_send(leaves, 0xE0, "00 05 11 00000000");
			expect(from, 0x40, "0001");
			expect(from, 0x50, "0002");
			ck_assert_uint_eq(counted(&bench, QUEUED), one_is_away ? 2 : 0);
			bench_finish(&bench);
		}
	}
}
END_TEST

/* The next member has ack_hold_max from when it gets it; another subscriber, if there is one, from
 * when it came. */
START_TEST(comes_back_late)
{
	for (unsigned n = 0; n < 3u * 2u; n++) {
		struct peer *leaves, *next, *from;
		unsigned home = n % 3, others = n / 3;

		begin_group(3, home, true);
		if (others > 0)
			subscribe(new_peer(&bench, V5, bench_name(&bench, home, "also")), topic, 1);
		leaves = with_two(&from);
		next = member(1, home, "#", 1);
		bench_pass_ms(&bench, 900);
		peer_send(leaves, 0xE0, "00 05 11 00000000");
		expect_publish(next, QOS(1), 1, topic, "", "1");
		bench_pass_ms(&bench, 400);
		ck_assert_uint_eq(counted(&bench, FELL_BEHIND), others);
		expect_nothing(from);
		bench_pass_ms(&bench, 900);
		ck_assert_uint_eq(counted(&bench, FELL_BEHIND), others + 1);
		expect(from, 0x40, "0001");
		expect(from, 0x50, "0002");
		bench_finish(&bench);
	}
}
END_TEST

/* At a stop nothing is acknowledged, also where the group's home has not heard of it yet. */
START_TEST(comes_back_at_a_stop)
{
	for (unsigned home = 0; home < 2; home++) {
		struct peer *leaves, *from;

		begin_group(2, home, true);
		leaves = new_peer(&bench, V5, bench_name(&bench, 0, "leaves"));
		subscribe(leaves, share, 1);
		peer_lose(member(1, 1, "#", 1));
		from = publisher(1);
		peer_publish(from, QOS(1), 1, topic, "", "1");
		expect_publish(leaves, QOS(1), 1, topic, "", "1");
		bench_event(&bench, 0, &(struct event){.type = EVENT_STOP});
		expect_end(leaves, 0x8B);
		expect_nothing(from);
		bench_event(&bench, 1, &(struct event){.type = EVENT_STOP});
		expect_end(from, 0x8B);
		bench_finish(&bench);
	}
}
END_TEST

/* ---- one's own ---- */

/* What a client gets of its own QoS 2 messages comes behind their PUBREC, by a group, too, wherever
 * that is at home. */
START_TEST(own_behind_pubrec)
{
	for (unsigned n = 0; n < 6; n++) {
		struct peer *own;

		begin_group(3, n % 3, n / 3);
		own = member(0, 0, "#", 2);
		for (uint16_t id = 1; id <= 3; id++) {
			char text[5];

			snprintf(text, sizeof text, "%04x", id);
			peer_publish(own, QOS(2), id, topic, "", text);
			expect(own, 0x50, text);
			expect_publish(own, QOS(2), id, topic, "", text);
			expect_nothing(own);
		}
		bench_finish(&bench);
	}
}
END_TEST

/* When it is the turn of one that may not read it, its PUBREC waits for one that may. */
START_TEST(own_of_who_may_not)
{
	for (unsigned home = 0; home < 3; home++) {
		struct peer *own, *may;

		begin_group(3, home, true);
		own = member(0, 0, "else", 2);
		may = member(1, 1, "#", 2);
		for (uint16_t turn = 0; turn < 3; turn++) {
			peer_publish(own, QOS(2), 1, topic, "", "x");
			expect_publish(may, QOS(2), (uint16_t)(turn + 1), topic, "", "x");
			expect_nothing(own);
			peer_send(may, 0x50,
				  turn == 0   ? "0001 80"
				  : turn == 1 ? "0002 80"
					      : "0003 80");
			expect(own, 0x50, "0001");
			peer_send(own, 0x62, "0001");
			expect(own, 0x70, "0001");
			expect_nothing(own);
		}
		bench_finish(&bench);
	}
}
END_TEST

/* A packet of QoS 2 to the topic, and what one read brings with it. */
static void publishes_and(struct peer *own, const uint8_t *then, size_t len)
{
	uint8_t bytes[64] = {0x34, (uint8_t)(2 + strlen(topic) + 4), 0, (uint8_t)strlen(topic)};
	size_t at = 4 + strlen(topic);

	memcpy(bytes + 4, topic, strlen(topic));
	memcpy(bytes + at, (const uint8_t[]){0, 9, 0, 'x'}, 4);
	memcpy(bytes + at + 4, then, len);
	peer_bytes(own, slice_of(bytes, at + 4 + len));
}

/* Who ends its session with the next packet leaves it to another. */
START_TEST(own_and_gone)
{
	static const uint8_t disconnect[] = {0xE0, 7, 0, 5, 0x11, 0, 0, 0, 0};

	for (unsigned home = 0; home < 3; home++) {
		struct peer *own, *other;

		begin_group(3, home, true);
		own = member(0, 0, "#", 2);
		other = member(1, 1, "#", 2);
		peer_publish(other, QOS(0), 0, topic, "", "turn");
		expect_publish(own, QOS(0), 0, topic, "", "turn");
		peer_publish(other, QOS(0), 0, topic, "", "turn");
		expect_publish(other, QOS(0), 0, topic, "", "turn");
		publishes_and(own, disconnect, sizeof disconnect);
		expect_publish(other, QOS(2), 1, topic, "", "x");
		bench_finish(&bench);
	}
}
END_TEST

/* Not behind the UNSUBACK of the same read. [MQTT-3.10.4-2] */
START_TEST(own_and_left)
{
	uint8_t unsubscribe[48] = {0xA2, 0, 0, 10, 0};

	for (unsigned home = 0; home < 3; home++) {
		size_t len = 7;
		struct peer *own, *other;

		begin_group(3, home, true);
		own = member(0, 0, "#", 2);
		unsubscribe[1] = (uint8_t)(5 + strlen(share));
		unsubscribe[6] = (uint8_t)strlen(share);
		memcpy(unsubscribe + len, share, strlen(share));
		len += strlen(share);
		if (home != 0) { /* it has left when the group asks it */
			other = member(1, 1, "#", 2);
			peer_publish(other, QOS(0), 0, topic, "", "turn");
			expect_publish(own, QOS(0), 0, topic, "", "turn");
			peer_publish(other, QOS(0), 0, topic, "", "turn");
			expect_publish(other, QOS(0), 0, topic, "", "turn");
		}
		publishes_and(own, unsubscribe, len);
		if (home == 0) {
			expect(own, 0x50, "0009");
			expect_publish(own, QOS(2), 1, topic, "", "x");
			expect(own, 0xB0, "000A 00 00");
		} else {
			expect(own, 0xB0, "000A 00 00");
			expect_publish(other, QOS(2), 1, topic, "", "x");
			expect_nothing(own);
			peer_send(other, 0x50, "0001");
			expect(own, 0x50, "0009");
		}
		bench_finish(&bench);
	}
}
END_TEST

Suite *shard_group_back_suite(void)
{
	const TTest *tests[] = {
	    comes_back_unacknowledged,
	    comes_back_again_and_again,
	    comes_back_to_nobody,
	    comes_back_late,
	    comes_back_at_a_stop,
	    own_behind_pubrec,
	    own_of_who_may_not,
	    own_and_gone,
	    own_and_left,
	};

	return suite_of("shard_group_back", tests, COUNT_OF(tests));
}
