/* What one client may have done in a turn, while the others wait. */
#include "tests/unit/shard_bench.h"

static struct bench bench;

#define V5 MQTT_VERSION_5_0

/* Every filter of `a` and `+` with so many levels, in one SUBSCRIBE. */
#define DEEP_LEVELS  12
#define DEEP_FILTERS (1u << DEEP_LEVELS)
#define DEEP_LEN     (2u * DEEP_LEVELS - 1)

static void subscribe_to_all(struct peer *peer)
{
	const size_t entry = 2 + DEEP_LEN + 1, len = 3 + DEEP_FILTERS * entry;
	uint8_t *packet = calloc(1, 4 + len), *at = packet + 4;

	ck_assert_ptr_nonnull(packet);
	memcpy(packet, (uint8_t[]){0x82, 0x80 | (len & 127), 0x80 | (len >> 7 & 127), len >> 14},
	       4);
	at[1] = 1;
	at += 3;
	for (unsigned i = 0; i < DEEP_FILTERS; i++, at += entry) {
		at[1] = DEEP_LEN;
		for (unsigned level = 0; level < DEEP_LEVELS; level++) {
			at[2 + 2 * level] = i >> level & 1 ? '+' : 'a';
			if (level > 0)
				at[1 + 2 * level] = '/';
		}
	}
	peer_bytes(peer, slice_of(packet, 4 + len));
	free(packet);
}

static void bytes_without_a_turn(struct peer *peer, struct slice bytes)
{
	struct event event = {.type = EVENT_LINK_BYTES, .link = peer->link, .bytes = bytes};

	shard_handle(bench.shards[0], bench.now, &event);
}

static uint8_t many[100][29];

/* PUBLISHes that match all that a new client has subscribed to, with a number each. */
static struct peer *busy_peer(void)
{
	static const char publish[sizeof many[0]] = "\x30\x1B\0\x17"
						    "a/a/a/a/a/a/a/a/a/a/a/a\0";
	struct peer *busy;

	bench_init(&bench, 1);
	bench.settings.max_packet_size = 1 << 20;
	bench.settings.max_subscriptions = DEEP_FILTERS;
	bench_start(&bench);
	busy = new_peer(&bench, V5, "busy");
	subscribe_to_all(busy);
	busy->in_len = 0;
	for (uint8_t i = 0; i < COUNT_OF(many); i++) {
		memcpy(many[i], publish, sizeof many[i]);
		many[i][sizeof many[i] - 1] = i;
	}
	return busy;
}

/* What one read brings is handled in several turns if it is much work, and in order. */
START_TEST(much_work_in_turns)
{
	static const uint8_t ping[] = {0xC0, 0x00};
	struct peer *busy = busy_peer(), *other = new_peer(&bench, V5, "other");
	uint64_t taken;

	bytes_without_a_turn(busy, slice_of(many, sizeof many));
	taken = counted(&bench, PUBLISH_RECEIVED);
	ck_assert_uint_ge(taken, 10);
	ck_assert_uint_lt(taken, 50);
	bytes_without_a_turn(other, slice_of(ping, sizeof ping));
	ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), taken);
	bench_settle(&bench);
	expect(other, 0xD0, "");
	ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), 100);
	ck_assert(busy->reading);
	ck_assert_uint_eq(busy->in_len, sizeof many);
	ck_assert_mem_eq(busy->in, many, sizeof many);
	bench_finish(&bench);
}
END_TEST

/* A connection that ends while the rest of what it sent waits. */
START_TEST(gone_between_turns)
{
	struct peer *busy = busy_peer();

	bytes_without_a_turn(busy, slice_of(many, sizeof many));
	peer_lose(busy);
	ck_assert_uint_lt(counted(&bench, PUBLISH_RECEIVED), 50);
	bench_finish(&bench);
}
END_TEST

Suite *shard_turn_suite(void)
{
	const TTest *tests[] = {
	    much_work_in_turns,
	    gone_between_turns,
	};

	return suite_of("shard_turn", tests, COUNT_OF(tests));
}
