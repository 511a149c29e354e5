/*
 * QoS 2 through kills at random instants: publishers that lose their connections, commits
 * that are late, refused, or done and not told; each message comes once, and in its order.
 * Subscribers keep their connection until a kill, so that nothing is the broker's alone.
 */
#include "tests/unit/records_bench.h"
#include "proto/frame.h"
#include "tests/unit/random.h"
#include <stdio.h>

enum { FROM = 3, TO = 3, OPEN_MAX = 6, MESSAGES = 4000 };

struct open_exchange {
	uint16_t id;
	unsigned message;
	bool released;
};

struct publisher_device {
	const char *name;
	struct peer *peer;
	struct open_exchange open[OPEN_MAX]; /* in their order */
	unsigned count;
	uint16_t last_id;
};

struct subscriber_device {
	const char *name;
	struct peer *peer;
	bool has[UINT16_MAX + 1]; /* by packet identifier: PUBREC was said, PUBREL did not come */
	uint8_t got[MESSAGES];
	unsigned last[FROM];
	uint16_t late[64]; /* PUBLISHes not answered yet */
	unsigned late_count;
};

static struct publisher_device from[FROM];
static struct subscriber_device to[TO];
static unsigned message_count;
static bool refusing;
static struct random random_numbers;

static unsigned below(unsigned bound)
{
	return random_below(&random_numbers, bound);
}

static void send_number(struct peer *peer, uint8_t first, uint16_t id)
{
	char body[8];

	snprintf(body, sizeof body, "%04x", id);
	peer_send(peer, first, body);
}

static void send_publish(struct publisher_device *device, const struct open_exchange *open,
			 unsigned dup)
{
	char payload[32];

	snprintf(payload, sizeof payload, "%u %u", (unsigned)(device - from), open->message);
	peer_publish(device->peer, (uint8_t)(QOS(2) | dup), open->id, "t", "", payload);
}

static bool is_open(const struct publisher_device *device, uint16_t id)
{
	for (unsigned i = 0; i < device->count; i++)
		if (device->open[i].id == id)
			return true;
	return false;
}

static void publish_one(struct publisher_device *device, unsigned message)
{
	struct open_exchange *open = &device->open[device->count];

	do
		device->last_id = device->last_id % 9 + 1; /* soon used again */
	while (is_open(device, device->last_id));
	*open = (struct open_exchange){.id = device->last_id, .message = message};
	device->count++;
	send_publish(device, open, 0);
}

static void forget(struct publisher_device *device, unsigned i)
{
	memmove(&device->open[i], &device->open[i + 1],
		(--device->count - i) * sizeof device->open[0]);
}

static void connect_publisher(struct publisher_device *device)
{
	struct mqtt_connect connect = lasting(device->name);

	device->peer = peer_open(&bench, 0, V5);
	peer_connect(device->peer, &connect);
	for (unsigned i = 0; i < device->count; i++)
		if (device->open[i].released)
			send_number(device->peer, 0x62, device->open[i].id);
		else
			send_publish(device, &device->open[i], DUP);
}

static void connect_subscriber(struct subscriber_device *device)
{
	struct mqtt_connect connect = lasting(device->name);

	device->peer = peer_open(&bench, 0, V5);
	device->late_count = 0;
	peer_connect(device->peer, &connect);
}

/* ---- what comes ---- */

static void publisher_reads(struct publisher_device *device, const struct frame *frame)
{
	uint16_t id = (uint16_t)(frame->body.at[0] << 8 | frame->body.at[1]);
	unsigned i = 0;

	if (frame->type != MQTT_PUBREC && frame->type != MQTT_PUBCOMP)
		return;
	while (i < device->count && device->open[i].id != id)
		i++;
	if (i == device->count)
		return;
	if (frame->type == MQTT_PUBCOMP) {
		ck_assert_msg(device->open[i].released, RANDOM_SEED, random_numbers.seed);
		forget(device, i);
	} else if (frame->body.len > 2 && frame->body.at[2] >= 0x80) {
		unsigned message = device->open[i].message;

		ck_assert(refusing);
		forget(device, i);
		publish_one(device, message);
	} else {
		device->open[i].released = true;
		send_number(device->peer, 0x62, id);
	}
}

static void got_message(struct subscriber_device *device, struct slice payload)
{
	char text[32] = "";
	unsigned publisher, message;

	memcpy(text, payload.at, payload.len);
	ck_assert_int_eq(sscanf(text, "%u %u", &publisher, &message), 2);
	ck_assert_msg(device->got[message]++ == 0, RANDOM_SEED ": message %u twice",
		      random_numbers.seed, message);
	ck_assert_msg(refusing || device->last[publisher] <= message,
		      RANDOM_SEED ": message %u behind %u", random_numbers.seed, message,
		      device->last[publisher]);
	device->last[publisher] = message;
}

static void subscriber_reads(struct subscriber_device *device, const struct frame *frame)
{
	struct mqtt_publish publish;
	uint16_t id = (uint16_t)(frame->body.at[0] << 8 | frame->body.at[1]);

	if (frame->type == MQTT_PUBREL) {
		char body[16];

		snprintf(body, sizeof body, "%04x%s", id, device->has[id] ? "" : " 92");
		device->has[id] = false;
		peer_send(device->peer, 0x70, body);
	}
	if (frame->type != MQTT_PUBLISH)
		return;
	ck_assert(mqtt_decode_publish(frame->flags, frame->body, V5, &publish) == MQTT_SUCCESS);
	if (!device->has[publish.packet_id])
		got_message(device, publish.payload);
	else
		ck_assert(publish.dup);
	device->has[publish.packet_id] = true;
	ck_assert_uint_lt(device->late_count, 64);
	device->late[device->late_count++] = publish.packet_id;
}

static bool read_one(struct peer *peer, struct publisher_device *publisher,
		     struct subscriber_device *subscriber)
{
	struct frame frame = {0};

	if (peer == NULL || peer->in_len == 0 ||
	    frame_cut(slice_of(peer->in, peer->in_len), &frame) != FRAME_WHOLE)
		return false;
	uint8_t copy[512];
	ck_assert_uint_le(frame.size, sizeof copy);
	memcpy(copy, peer->in, frame.size);
	peer->in_len -= frame.size;
	memmove(peer->in, peer->in + frame.size, peer->in_len);
	frame_cut(slice_of(copy, frame.size), &frame);
	if (publisher)
		publisher_reads(publisher, &frame);
	else
		subscriber_reads(subscriber, &frame);
	return true;
}

static bool read_all(void)
{
	bool any = false;

	for (unsigned i = 0; i < FROM; i++)
		while (read_one(from[i].peer, &from[i], NULL))
			any = true;
	for (unsigned i = 0; i < TO; i++)
		while (read_one(to[i].peer, NULL, &to[i]))
			any = true;
	return any;
}

static bool answer_late(struct subscriber_device *device)
{
	if (device->peer == NULL || device->late_count == 0)
		return false;
	uint16_t id = device->late[0];
	memmove(device->late, device->late + 1, --device->late_count * sizeof device->late[0]);
	send_number(device->peer, 0x50, id);
	return true;
}

/* ---- what happens ---- */

static void kill_broker(void)
{
	if (below(2))
		bench_store_untold(&bench);
	bench.refuse_batches = 0;
	bench.hold_store = false;
	bench_restart(&bench);
	for (unsigned i = 0; i < FROM; i++)
		from[i].peer = NULL;
	for (unsigned i = 0; i < TO; i++)
		to[i].peer = NULL;
}

static bool links_are_used_up(void)
{
	return bench.peers[BENCH_PEERS - 8].bench != NULL;
}

static void something_happens(void)
{
	struct publisher_device *publisher = &from[below(FROM)];
	struct subscriber_device *subscriber = &to[below(TO)];
	unsigned what = below(100);

	if (what < 2 || links_are_used_up())
		kill_broker();
	else if (what < 6 && publisher->peer) {
		if (publisher->peer->open)
			peer_lose(publisher->peer);
		publisher->peer = NULL;
	} else if (what < 20 && publisher->peer == NULL)
		connect_publisher(publisher);
	else if (what < 30 && subscriber->peer == NULL)
		connect_subscriber(subscriber);
	else if (what < 35)
		bench.hold_store = !bench.hold_store;
	else if (what < 37 && refusing)
		bench.refuse_batches = below(3);
	else if (what < 50 && bench.hold_store && bench.stored)
		bench_store_one(&bench);
	else if (what < 70 && publisher->peer && publisher->count < OPEN_MAX &&
		 message_count < MESSAGES)
		publish_one(publisher, message_count++);
	else if (what < 85)
		answer_late(subscriber);
	else
		read_all();
	if (!bench.hold_store)
		bench_settle(&bench);
}

/* Everybody comes back and all goes to its end. */
static void come_to_an_end(void)
{
	bench.refuse_batches = 0;
	bench.hold_store = false;
	bench_settle(&bench);
	if (links_are_used_up())
		kill_broker();
	for (unsigned i = 0; i < FROM; i++)
		if (from[i].peer == NULL)
			connect_publisher(&from[i]);
	for (unsigned i = 0; i < TO; i++)
		if (to[i].peer == NULL)
			connect_subscriber(&to[i]);
	for (bool busy = true; busy;) {
		busy = read_all();
		for (unsigned i = 0; i < TO; i++)
			busy |= answer_late(&to[i]);
		if (!busy && from[0].count + from[1].count + from[2].count > 0 && refusing) {
			bench_pass_ms(&bench, 1000); /* what was refused is tried again */
			busy = read_all();
		}
	}
	bench_pass_ms(&bench, 2000);
	read_all();
}

static void check_end(void)
{
	for (unsigned i = 0; i < FROM; i++)
		ck_assert_msg(from[i].count == 0, RANDOM_SEED ": %u exchanges stay open",
			      random_numbers.seed, from[i].count);
	for (unsigned i = 0; i < TO; i++)
		for (unsigned m = 0; m < message_count; m++)
			ck_assert_msg(to[i].got[m] == 1, RANDOM_SEED ": message %u of %u lost",
				      random_numbers.seed, m, message_count);
	ck_assert_uint_eq(counted(&bench, INFLIGHT), 0);
}

START_TEST(once_and_in_order)
{
	static const char *const prefix[] = {"a", "b", "c", "x", "y", "z"};
	unsigned shards = (unsigned)_i % 3 + 1;

	random_numbers = random_start();
	random_numbers.state += (uint64_t)_i;
	refusing = _i >= 6;
	bench_init(&bench, shards);
	bench.durable = bench.settings.ack_when_delivered = true;
	bench.settings.ack_hold_max_ms = 1000000; /* nobody falls behind */
	bench.settings.restart_grace_ms = 1000000;
	bench_start(&bench);
	memset(from, 0, sizeof from);
	memset(to, 0, sizeof to);
	message_count = 0;
	for (unsigned i = 0; i < FROM; i++) {
		from[i].name = bench_name(&bench, i % shards, prefix[i]);
		from[i].peer = new_lasting(from[i].name);
	}
	for (unsigned i = 0; i < TO; i++) {
		to[i].name = bench_name(&bench, (i + 1) % shards, prefix[FROM + i]);
		to[i].peer = new_lasting(to[i].name);
		subscribe(to[i].peer, "t", 2);
	}
	for (unsigned n = 0; n < 12000 && message_count < MESSAGES; n++)
		something_happens();
	come_to_an_end();
	check_end();
	bench_finish(&bench);
}
END_TEST

Suite *records_random_suite(void);

Suite *records_random_suite(void)
{
	Suite *suite = suite_create("records_random");
	TCase *tcase = tcase_create("records_random");

	tcase_set_timeout(tcase, 240);
	tcase_add_loop_test(tcase, once_and_in_order, 0, 12);
	suite_add_tcase(suite, tcase);
	return suite;
}
