/*
 * micro.c - nanoseconds for one step of the hot path: codec, tree of filters, window of
 * a QoS, message.  `make bench-micro`; with an argument only the steps whose name holds it.
 *
 * Each step is repeated for a twentieth of a second, several times; the least is told. What
 * a step does is checked by its result, so that nothing is left out by the compiler
 * and nothing is measured that fails.
 */
#include "broker/core/inflight.h"
#include "broker/core/message.h"
#include "broker/core/trie.h"
#include "cli/bench_topic.h"
#include "proto/frame.h"
#include "proto/packet.h"

#include <stdio.h>
#include <time.h>

#define ROUNDS	    7
#define ROUND_NS    50000000u
#define FIRST_COUNT 1000u
#define WINDOW	    64u

static const uint8_t payload[64] = "what a sensor says, in sixty-four bytes";
#define TOPIC SLICE_LITERAL("site/7/line/3/temperature")

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- codec ---- */

static uint8_t packet[256];
static size_t packet_size;
static enum mqtt_version version;

static struct mqtt_publish a_publish(void)
{
	return (struct mqtt_publish){.qos = 1,
				     .packet_id = 7,
				     .topic = TOPIC,
				     .payload = slice_of(payload, sizeof(payload))};
}

static void prepare_publish(int v)
{
	const struct mqtt_publish p = a_publish();

	version = (enum mqtt_version)v;
	packet_size = mqtt_encode_publish(packet, sizeof(packet), version, &p);
	must(packet_size > 0);
}

static void decode_publish(uint64_t count)
{
	struct mqtt_publish p;
	struct frame frame;

	for (uint64_t i = 0; i < count; i++) {
		must(frame_cut(slice_of(packet, packet_size), &frame) == FRAME_WHOLE);
		must(mqtt_decode_publish(frame.flags, frame.body, version, &p) == MQTT_SUCCESS);
		must(p.payload.len == sizeof(payload));
	}
}

static void encode_publish(uint64_t count)
{
	struct mqtt_publish p = a_publish();

	for (uint64_t i = 0; i < count; i++) {
		p.packet_id = (uint16_t)(i | 1);
		must(mqtt_encode_publish(packet, sizeof(packet), version, &p) == packet_size);
	}
}

static void prepare_ack(int v)
{
	const struct mqtt_ack ack = {.type = MQTT_PUBACK, .packet_id = 7};

	version = (enum mqtt_version)v;
	packet_size = mqtt_encode_ack(packet, sizeof(packet), version, &ack);
}

static void decode_ack(uint64_t count)
{
	struct frame frame;
	struct mqtt_ack ack;

	for (uint64_t i = 0; i < count; i++) {
		must(frame_cut(slice_of(packet, packet_size), &frame) == FRAME_WHOLE);
		must(mqtt_decode_ack(frame.type, frame.body, version, &ack) == MQTT_SUCCESS);
		must(ack.packet_id == 7);
	}
}

static void encode_ack(uint64_t count)
{
	struct mqtt_ack ack = {.type = MQTT_PUBACK};

	for (uint64_t i = 0; i < count; i++) {
		ack.packet_id = (uint16_t)(i | 1);
		must(mqtt_encode_ack(packet, sizeof(packet), version, &ack) == packet_size);
	}
}

/* ---- the tree of filters: each topic, drawn at random, meets one of so many ---- */

static const struct bench_options tries[] = {
#define TRIE(of, number)                                                                           \
	{                                                                                          \
		.topology = BENCH_WILDCARD, .shape = BENCH_##of, .subscribers = 100,               \
		.filters = (number), .prefix = "bench"                                             \
	}
    TRIE(LITERAL, 1000), TRIE(LITERAL, 100000), TRIE(PLUS, 1000),  TRIE(PLUS, 100000),
    TRIE(HASH, 1000),	 TRIE(HASH, 100000),	TRIE(MIXED, 1000), TRIE(MIXED, 100000),
};

static const uint8_t key[HASH_KEY_SIZE] = {1};
static struct trie trie;
static struct bench_texts topics;

static void prepare_trie(int which)
{
	char filter[BENCH_TOPIC_MAX];

	trie_init(&trie, key, false);
	for (uint32_t n = 0; n < tries[which].filters; n++) {
		const size_t len = bench_filter(filter, &tries[which], n);
		const uint32_t node = trie_add(&trie, 0, slice_of(filter, len));

		trie_node(&trie, node)->value = n + 1;
	}
	bench_texts_fill(&topics, &tries[which], tries[which].filters);
}

static void finish_trie(void)
{
	trie_finish(&trie);
	bench_texts_finish(&topics);
}

static void count_match(void *self, uint32_t value)
{
	(void)value;
	++*(uint64_t *)self;
}

static void match_trie(uint64_t count)
{
	uint64_t matches = 0, chance = 88172645463325252u;
	struct trie_name name;
	struct slice text;

	for (uint64_t i = 0; i < count; i++) {
		chance ^= chance << 13;
		chance ^= chance >> 7;
		chance ^= chance << 17;
		text = bench_text(&topics, (uint32_t)(chance % topics.count));
		name = (struct trie_name){0, text, hash_keyed(key, text)};
		trie_match(&trie, &name, &matches, count_match);
	}
	must(matches == count);
}

/* ---- messages and windows ---- */

static struct budget budget;
static struct purse purse;
static struct inflight inflight;
static struct message *message;

static struct message *create(void)
{
	const struct publication p = {.qos = 1,
				      .expires_ms = EXPIRES_NEVER,
				      .topic = TOPIC,
				      .payload = slice_of(payload, sizeof(payload))};

	return message_create(&purse, &p);
}

static void prepare_message(int unused)
{
	(void)unused;
	budget_init(&budget, 1 << 24);
	purse_init(&purse, &budget);
}

static void finish_message(void)
{
	purse_finish(&purse);
	must(budget_finish(&budget));
}

static void create_and_release(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		struct message *m = create();

		must(m != NULL);
		message_release(m, &purse);
	}
}

static void begin_delivery(void)
{
	must(inflight_add(&inflight, &purse,
			  (struct delivery){.message = message_share(message), .qos = 1}) != NULL);
}

/* A window that is full; the oldest delivery is acknowledged. */
static void prepare_window(int unused)
{
	prepare_message(unused);
	inflight = (struct inflight){0};
	message = create();
	for (uint32_t i = 0; i < WINDOW; i++)
		begin_delivery();
}

static void finish_window(void)
{
	inflight_clear(&inflight, &purse);
	message_release(message, &purse);
	finish_message();
}

static void acknowledge_and_add(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint16_t oldest = (uint16_t)(inflight.last_id - WINDOW + 1);
		struct outbound *entry;

		if (oldest > inflight.last_id) /* number 0 is left out, going round */
			oldest--;
		if (oldest == 0)
			oldest = UINT16_MAX;
		entry = inflight_find(&inflight, oldest);
		must(entry != NULL);
		inflight_remove(&inflight, &purse, entry);
		begin_delivery();
	}
}

static void share_and_release(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		message_release(message_share(message), &purse);
}

/* ---- the steps ---- */

static void nothing(void)
{
}

static const struct step {
	const char *name;
	void (*prepare)(int which);
	int which;
	void (*run)(uint64_t count);
	void (*finish)(void);
} steps[] = {
    {"decode PUBLISH, 3.1.1", prepare_publish, MQTT_VERSION_3_1_1, decode_publish, nothing},
    {"decode PUBLISH, 5.0", prepare_publish, MQTT_VERSION_5_0, decode_publish, nothing},
    {"encode PUBLISH, 3.1.1", prepare_publish, MQTT_VERSION_3_1_1, encode_publish, nothing},
    {"encode PUBLISH, 5.0", prepare_publish, MQTT_VERSION_5_0, encode_publish, nothing},
    {"decode PUBACK", prepare_ack, MQTT_VERSION_5_0, decode_ack, nothing},
    {"encode PUBACK", prepare_ack, MQTT_VERSION_5_0, encode_ack, nothing},
    {"match, 1,000 literal filters", prepare_trie, 0, match_trie, finish_trie},
    {"match, 100,000 literal filters", prepare_trie, 1, match_trie, finish_trie},
    {"match, 1,000 filters with +", prepare_trie, 2, match_trie, finish_trie},
    {"match, 100,000 filters with +", prepare_trie, 3, match_trie, finish_trie},
    {"match, 1,000 filters with #", prepare_trie, 4, match_trie, finish_trie},
    {"match, 100,000 filters with #", prepare_trie, 5, match_trie, finish_trie},
    {"match, 1,000 filters of four shapes", prepare_trie, 6, match_trie, finish_trie},
    {"match, 100,000 filters of four shapes", prepare_trie, 7, match_trie, finish_trie},
    {"window: acknowledge one, add one", prepare_window, 0, acknowledge_and_add, finish_window},
    {"message: create, release", prepare_message, 0, create_and_release, finish_message},
    {"message: share, release", prepare_window, 0, share_and_release, finish_window},
};

/* The least of several rounds, each as long as it takes to be measured well. */
static double measure(const struct step *step)
{
	uint64_t count = FIRST_COUNT;
	double least = 0;

	step->prepare(step->which);
	for (int round = -1; round < ROUNDS; round++) {
		const uint64_t begin_ns = now_ns();
		uint64_t ns;

		step->run(count);
		ns = now_ns() - begin_ns + 1;
		if (round < 0) /* to learn how many fill a round */
			count = count * ROUND_NS / ns + 1;
		else if (round == 0 || (double)ns / (double)count < least)
			least = (double)ns / (double)count;
	}
	step->finish();
	return least;
}

int main(int argc, char **argv)
{
	puts("| step | ns |\n| --- | --: |");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (argc > 1 && strstr(steps[i].name, argv[1]) == NULL)
			continue;
		printf("| %s | %.1f |\n", steps[i].name, measure(&steps[i]));
		fflush(stdout);
	}
	return 0;
}
