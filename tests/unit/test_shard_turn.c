/* What one client may have done in a turn, while the others wait. */
#include "tests/unit/records_bench.h"

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

	shard_handle(bench.shards[peer->shard], bench.now, &event);
}

/* Whose PINGRESP is to come although somebody else's turn was long. */
static void pings(struct peer *peer)
{
	static const uint8_t ping[] = {0xC0, 0x00};

	bytes_without_a_turn(peer, slice_of(ping, sizeof ping));
}

static uint8_t many[100][29];

/* PUBLISHes that match all that a new client has subscribed to, with a number each. */
static struct peer *busy_peer_of(unsigned shards)
{
	static const char publish[sizeof many[0]] = "\x30\x1B\0\x17"
						    "a/a/a/a/a/a/a/a/a/a/a/a\0";
	struct peer *busy;

	bench_init(&bench, shards);
	bench.settings.max_packet_size = 1 << 20;
	bench.settings.max_subscriptions = DEEP_FILTERS;
	bench.settings.receive_maximum = COUNT_OF(many);
	bench.settings.ack_when_delivered = true;
	bench.durable = true;
	bench_start(&bench);
	busy = new_peer(&bench, V5, bench_name(&bench, 0, "busy"));
	subscribe_to_all(busy);
	busy->in_len = 0;
	for (uint8_t i = 0; i < COUNT_OF(many); i++) {
		memcpy(many[i], publish, sizeof many[i]);
		many[i][sizeof many[i] - 1] = i;
	}
	return busy;
}

static struct peer *busy_peer(void)
{
	return busy_peer_of(1);
}

/* What one read brings is handled in several turns if it is much work, and in order. */
START_TEST(much_work_in_turns)
{
	struct peer *busy = busy_peer(), *other = new_peer(&bench, V5, "other");
	uint64_t taken;

	bytes_without_a_turn(busy, slice_of(many, sizeof many));
	taken = counted(&bench, PUBLISH_RECEIVED);
	ck_assert_uint_ge(taken, 10);
	ck_assert_uint_lt(taken, 50);
	pings(other);
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

/* It reads again in the same turn, with its answers written, and is gone at once. */
START_TEST(gone_after_going_on)
{
	struct peer *busy = busy_peer();
	struct event timers = {.type = EVENT_TIMERS};
	size_t some = 20 * sizeof many[0];

	bytes_without_a_turn(busy, slice_of(many, some));
	ck_assert_uint_lt(counted(&bench, PUBLISH_RECEIVED), 20);
	shard_written(bench.shards[0], bench.now, busy->link, 1);
	shard_handle(bench.shards[0], bench.now, &timers);
	ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), 20);
	busy->open = false;
	shard_handle(bench.shards[0], bench.now,
		     &(struct event){.type = EVENT_LINK_CLOSED, .link = busy->link});
	bench_settle(&bench);
	expect_nothing(new_peer(&bench, V5, "another"));
	bench_finish(&bench);
}
END_TEST

/* Rules are looked at for each topic, and are work as well. */
START_TEST(questions_in_turns)
{
	static const char publish[] = "\x30\x06\0\x02tX\0x";
	static uint8_t topics[100][sizeof publish - 1];
	struct bench_grant grant = {.grant = {.restricted = true, .lines = 10000},
				    .bench = &bench,
				    .read = SLICE_LITERAL("#"),
				    .write = SLICE_LITERAL("#")};
	struct peer *busy;

	bench_init(&bench, 1);
	bench.grant = &grant.grant;
	bench_start(&bench);
	busy = new_peer(&bench, V5, "busy");
	for (uint8_t i = 0; i < COUNT_OF(topics); i++) {
		memcpy(topics[i], publish, sizeof topics[i]);
		topics[i][4] = (uint8_t)('a' + i / 10);
		topics[i][5] = (uint8_t)('a' + i % 10);
	}
	bytes_without_a_turn(busy, slice_of(topics, sizeof topics));
	ck_assert_uint_ge(counted(&bench, PUBLISH_RECEIVED), 10);
	ck_assert_uint_lt(counted(&bench, PUBLISH_RECEIVED), 20);
	bench_settle(&bench);
	ck_assert_uint_eq(counted(&bench, PUBLISH_RECEIVED), COUNT_OF(topics));
	bench_finish(&bench);
}
END_TEST

/* ---- QoS 2: what waits for its record goes on when the store answers, all of it at once ---- */

static uint8_t exactly[COUNT_OF(many)][31];

/* Each one's payload is `first` and a number. */
static void publish_exactly(struct peer *peer, uint8_t first, unsigned count)
{
	static const char publish[sizeof exactly[0]] = "\x34\x1D\0\x17"
						       "a/a/a/a/a/a/a/a/a/a/a/a";

	bench.hold_store = true;
	for (unsigned i = 0; i < count; i++) {
		memcpy(exactly[i], publish, sizeof exactly[i]);
		exactly[i][28] = (uint8_t)(i + 1);
		exactly[i][30] = (uint8_t)(first + i);
	}
	peer_bytes(peer, slice_of(exactly, count * sizeof exactly[0]));
}

/* The payloads that came, which are a byte each, of packets of 29 bytes. */
static unsigned payloads(const struct peer *busy, uint8_t *all)
{
	unsigned count = (unsigned)(busy->in_len / sizeof many[0]);

	ck_assert_uint_eq(busy->in_len % sizeof many[0], 0);
	for (unsigned i = 0; i < count; i++)
		all[i] = busy->in[i * sizeof many[0] + sizeof many[0] - 1];
	return count;
}

START_TEST(recorded_in_turns)
{
	struct peer *busy = busy_peer(), *from = new_lasting("from");
	struct peer *other = new_peer(&bench, V5, "other");
	uint64_t taken;
	uint8_t all[COUNT_OF(many)];

	publish_exactly(from, 0, COUNT_OF(many));
	ck_assert_uint_eq(counted(&bench, PUBLISH_SENT), 0);
	ck_assert(bench_answer(&bench, false));
	taken = counted(&bench, PUBLISH_SENT);
	ck_assert_uint_ge(taken, 10);
	ck_assert_uint_lt(taken, 50);
	pings(other);
	ck_assert_uint_eq(counted(&bench, PUBLISH_SENT), taken);
	bench_settle(&bench);
	expect(other, 0xD0, "");
	ck_assert_uint_eq(payloads(busy, all), COUNT_OF(many));
	for (uint8_t i = 0; i < COUNT_OF(many); i++)
		ck_assert_uint_eq(all[i], i);
	for (uint8_t id = 1; id <= COUNT_OF(many); id++)
		ck_assert_mem_eq(from->in + (id - 1) * 4u, ((uint8_t[]){0x50, 2, 0, id}), 4);
	bench_finish(&bench);
}
END_TEST

/* One after the other, however much the first has. */
START_TEST(recorded_of_several)
{
	struct peer *busy = busy_peer(), *one = new_lasting("one"), *two = new_lasting("two");
	uint8_t all[COUNT_OF(many)], next[2] = {0, 100};

	publish_exactly(one, 0, 80);
	publish_exactly(two, 100, 20);
	bench_store_all(&bench);
	ck_assert_uint_eq(payloads(busy, all), 100);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_uint_eq(all[i], next[all[i] >= 100]);
		next[all[i] >= 100]++;
	}
	ck_assert_uint_lt(all[99], 100);
	bench_finish(&bench);
}
END_TEST

/* Its session ends between turns: nothing of the rest was acknowledged, and nothing comes. */
START_TEST(recorded_of_nobody)
{
	struct peer *busy = busy_peer(), *from = new_lasting("from");
	uint64_t taken;

	publish_exactly(from, 0, COUNT_OF(many));
	ck_assert(bench_answer(&bench, false));
	taken = counted(&bench, PUBLISH_SENT);
	bytes_without_a_turn(from, slice_of("\xE0\x07\0\x05\x11\0\0\0\0", 9));
	bench_settle(&bench);
	bench_store_all(&bench);
	ck_assert_uint_lt(taken, 50);
	ck_assert_uint_eq(counted(&bench, PUBLISH_SENT), taken);
	ck_assert_uint_eq(busy->in_len, taken * sizeof many[0]);
	bench_finish(&bench);
}
END_TEST

/* ---- what other shards send: they do not know how much of it is wanted here ---- */

/* What was held goes to shard 0, which gets no turn. */
static void give_mail(void)
{
	while (bench.mail) {
		struct event event = {.type = EVENT_MAIL, .mail = bench.mail};

		bench.mail = bench.mail->next;
		event.mail->next = NULL;
		shard_handle(bench.shards[0], bench.now, &event);
	}
	bench.mail_end = &bench.mail;
}

START_TEST(mail_in_turns)
{
	struct peer *busy = busy_peer_of(2);
	struct peer *from[10];
	struct peer *other = new_peer(&bench, V5, bench_name(&bench, 0, "other"));
	uint64_t taken;
	uint8_t all[COUNT_OF(many)];

	for (unsigned i = 0; i < COUNT_OF(from); i++)
		from[i] = new_peer(&bench, V5, bench_name(&bench, 1, (char[]){'a' + (char)i, 0}));
	bench.hold_mail = true;
	for (unsigned i = 0; i < COUNT_OF(from); i++) /* all in one turn there */
		bytes_without_a_turn(from[i], slice_of(many[10 * i], sizeof many / 10));
	bench_settle(&bench);
	give_mail();
	taken = counted(&bench, PUBLISH_SENT);
	ck_assert_uint_ge(taken, 10);
	ck_assert_uint_lt(taken, 25); /* in the middle of a bundle */
	ck_assert(!shard_is_behind(bench.shards[0]));
	pings(other);
	ck_assert_uint_eq(counted(&bench, PUBLISH_SENT), taken);
	bench_settle(&bench);
	expect(other, 0xD0, "");
	ck_assert_uint_eq(payloads(busy, all), COUNT_OF(many));
	for (uint8_t i = 0; i < COUNT_OF(many); i++)
		ck_assert_uint_eq(all[i], i);
	bench_finish(&bench);
}
END_TEST

/* What waits keeps its order, one party waits for no other, and it is said when it lasts. */
START_TEST(mail_of_several)
{
	struct peer *busy = busy_peer_of(3);
	struct peer *one = new_peer(&bench, V5, bench_name(&bench, 1, "one"));
	struct peer *two = new_peer(&bench, V5, bench_name(&bench, 2, "two"));
	uint8_t all[COUNT_OF(many)];
	unsigned last_of_two = 0;

	bench.hold_mail = true;
	peer_bytes(one, slice_of(many, sizeof many - 2 * sizeof many[0]));
	peer_bytes(two, slice_of(many[98], sizeof many[0]));
	peer_bytes(one, slice_of(many[99], sizeof many[0]));
	give_mail();
	bench.now.ms += 200;
	bytes_without_a_turn(busy, SLICE_NONE);
	ck_assert(shard_is_behind(bench.shards[0]));
	bench_settle(&bench);
	ck_assert(!shard_is_behind(bench.shards[0]));
	ck_assert_uint_eq(payloads(busy, all), COUNT_OF(many));
	for (unsigned i = 0, next = 0; i < COUNT_OF(many); i++)
		if (all[i] == 98)
			last_of_two = i;
		else
			ck_assert_uint_eq(all[i], next == 98 ? 99 : next++);
	ck_assert_uint_lt(last_of_two, 90);
	bench_finish(&bench);
}
END_TEST

/* It ends while some waits. */
START_TEST(mail_of_nobody)
{
	struct peer *from;

	busy_peer_of(2);
	from = new_peer(&bench, V5, bench_name(&bench, 1, "from"));
	bench.hold_mail = true;
	peer_bytes(from, slice_of(many, sizeof many));
	give_mail();
	ck_assert_uint_lt(counted(&bench, PUBLISH_SENT), 50);
	bench_restart(&bench);
	bench_finish(&bench);
}
END_TEST

Suite *shard_turn_suite(void)
{
	const TTest *tests[] = {
	    much_work_in_turns, gone_between_turns,  gone_after_going_on, questions_in_turns,
	    recorded_in_turns,	recorded_of_several, recorded_of_nobody,  mail_in_turns,
	    mail_of_several,	mail_of_nobody,
	};

	return suite_of("shard_turn", tests, COUNT_OF(tests));
}
