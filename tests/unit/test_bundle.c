/*
 * bundle.h: what one read makes for another shard is one mail; it arrives in order, as it
 * was published, and what it costs is given back.
 */
#include <stdio.h>

#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V5   MQTT_VERSION_5_0
#define MANY 100

/* PUBLISH packets of one read: payload lengths and a number in the first four bytes. */
struct burst {
	uint8_t *bytes;
	size_t len, room;
};

static void add(struct burst *burst, uint8_t qos, uint16_t id, const char *topic,
		size_t payload_len)
{
	uint8_t *payload = calloc(1, payload_len);
	struct mqtt_publish publish = {
	    .qos = qos,
	    .packet_id = id,
	    .topic = slice_text(topic),
	    .payload = slice_of(payload, payload_len),
	};

	memset(payload, 'a' + id % 26, payload_len);
	burst->bytes = realloc(burst->bytes, burst->len + payload_len + 100);
	burst->len +=
	    mqtt_encode_publish(burst->bytes + burst->len, payload_len + 100, V5, &publish);
	free(payload);
}

static void send(struct peer *from, struct burst *burst)
{
	peer_bytes(from, slice_of(burst->bytes, burst->len));
	free(burst->bytes);
	*burst = (struct burst){0};
}

static const char *payload_of(uint16_t id, size_t len)
{
	static char text[5000];

	memset(text, 'a' + id % 26, len);
	text[len] = 0;
	return text;
}

static unsigned mails(void)
{
	unsigned count = 0;

	for (const struct mail *mail = bench.mail; mail; mail = mail->next)
		count++;
	return count;
}

/* A publisher on shard 0 and a subscriber on shard 1. */
static void begin(bool delivered, struct peer **from, struct peer **to, uint8_t qos)
{
	bench_init(&bench, 2);
	bench.settings.ack_when_delivered = delivered;
	bench.settings.ack_hold_max_ms = 1000;
	bench.settings.max_inflight_messages = MANY;
	bench.settings.receive_maximum = MANY;
	bench_start(&bench);
	*from = new_peer(&bench, V5, bench_name(&bench, 0, "from"));
	*to = new_peer(&bench, V5, bench_name(&bench, 1, "to"));
	subscribe(*to, "t/#", qos);
}

START_TEST(one_mail_for_many)
{
	struct burst burst = {0};
	struct peer *from, *to;

	begin(false, &from, &to, 0);
	for (uint16_t id = 1; id <= MANY; id++)
		add(&burst, 0, id, "t/1", 10);
	bench.hold_mail = true;
	send(from, &burst);
	ck_assert_uint_eq(mails(), 2); /* a small one, and a large one once that is full */
	bench.hold_mail = false;
	bench_settle(&bench);
	for (uint16_t id = 1; id <= MANY; id++)
		expect_publish(to, QOS(0), 0, "t/1", "", payload_of(id, 10));
	bench_finish(&bench);
}
END_TEST

/* Large ones go by reference and end the bundle: nothing overtakes. */
START_TEST(in_order_of_any_size)
{
	static const size_t lens[] = {1, 1015, 1021, 1022, 4000, 0, 300};
	struct burst burst = {0};
	struct peer *from, *to;

	begin(false, &from, &to, 0);
	for (uint16_t id = 1; id <= MANY; id++)
		add(&burst, 0, id, "t/1", lens[id % COUNT_OF(lens)]);
	send(from, &burst);
	for (uint16_t id = 1; id <= MANY; id++)
		expect_publish(to, QOS(0), 0, "t/1", "", payload_of(id, lens[id % COUNT_OF(lens)]));
	bench_finish(&bench);
}
END_TEST

/* Properties, QoS and gates travel along; gates come back in one mail as well. */
START_TEST(gates_come_back_together)
{
	struct burst burst = {0}, answers = {0};
	struct peer *from, *to;

	begin(true, &from, &to, 1);
	for (uint16_t id = 1; id <= MANY; id++)
		add(&burst, 1, id, "t/1", 10);
	send(from, &burst);
	answers.bytes = malloc(4 * MANY);
	for (uint16_t id = 1; id <= MANY; id++) {
		uint8_t puback[] = {0x40, 2, 0, (uint8_t)id};

		expect_publish(to, QOS(1), id, "t/1", "", payload_of(id, 10));
		memcpy(answers.bytes + answers.len, puback, sizeof puback);
		answers.len += sizeof puback;
	}
	expect_nothing(from);
	bench.hold_mail = true;
	send(to, &answers);
	ck_assert_uint_eq(mails(), 1);
	ck_assert_int_eq(bench.mail->type, MAIL_GATES);
	expect_nothing(from);
	bench.hold_mail = false;
	bench_settle(&bench);
	for (uint16_t id = 1; id <= MANY; id++) {
		char body[16];

		snprintf(body, sizeof body, "%04X", id);
		expect(from, 0x40, body);
	}
	bench_finish(&bench);
}
END_TEST

/* An expiry interval goes on as the moment that it ends, properties as they are. */
START_TEST(as_published)
{
	struct peer *from, *to;

	begin(false, &from, &to, 2);
	bench.hold_mail = true;
	peer_publish(from, QOS(1), 1, "t/1", "02 0000000A 26 0001 'a' 0001 'b'", "x");
	peer_publish(from, QOS(0), 0, "t/1", "02 00000002", "late");
	expect(from, 0x40, "0001");
	bench_pass_ms(&bench, 3000);
	bench.hold_mail = false;
	bench_settle(&bench);
	expect_publish(to, QOS(1), 1, "t/1", "26 0001 'a' 0001 'b' 02 00000007", "x");
	expect_nothing(to);
	ck_assert_uint_eq(counted(&bench, DROPPED_EXPIRED), 1);
	bench_finish(&bench);
}
END_TEST

Suite *bundle_suite(void)
{
	const TTest *tests[] = {one_mail_for_many, in_order_of_any_size, gates_come_back_together,
				as_published};

	return suite_of("bundle", tests, COUNT_OF(tests));
}
