/* How fast all clients of one address may publish together, whichever shards they are at. */
#include "broker/core/address_rate.h"
#include "broker/core/habit.h"
#include "tests/unit/shard_bench.h"
#include <stdlib.h>

static struct bench bench;
static struct address_rates rates;
static uint8_t from; /* where the next one comes from; 0: nobody knows */

static bool address_of(struct auth *auth, uint32_t link, uint8_t address[AUTH_ADDRESS_SIZE])
{
	(void)auth;
	(void)link;
	memset(address, 0, AUTH_ADDRESS_SIZE);
	address[0] = from;
	return from != 0;
}

static void begin(unsigned shards, uint32_t messages, uint32_t bytes)
{
	memset(&rates, 0, sizeof rates);
	bench_init(&bench, shards);
	bench.settings.rate_address_messages = messages;
	bench.settings.rate_address_bytes = bytes;
	bench.address_rates = &rates;
	bench.auth.address = address_of;
	bench_start(&bench);
}

static struct peer *come(const char *id, uint8_t address)
{
	from = address;
	return new_peer(&bench, MQTT_VERSION_5_0, id);
}

static void publish_some(struct peer *peer, int count)
{
	for (int i = 0; i < count; i++)
		peer_publish(peer, QOS(0), 0, "t", "", "12345678");
}

/* Ten a second of all together: who makes it eleven waits, and whoever comes next. */
START_TEST(all_of_an_address_share_its_rate)
{
	begin(3, 10, UINT32_MAX);
	struct peer *a = come("a", 1), *b = come("b", 1), *c = come("c", 1), *d = come("d", 1);
	struct peer *other = come("other", 2), *unknown = come("unknown", 0);

	ck_assert(a->shard != b->shard || a->shard != c->shard || a->shard != d->shard);
	publish_some(a, 4);
	publish_some(b, 4);
	publish_some(c, 2);
	ck_assert(a->reading && b->reading && c->reading);
	publish_some(d, 1);
	ck_assert(!d->reading);
	publish_some(a, 1);
	ck_assert(!a->reading && c->reading);
	publish_some(other, 10);
	publish_some(unknown, 100);
	ck_assert(other->reading && unknown->reading);
	bench_pass_ms(&bench, 101);
	ck_assert(d->reading && !a->reading);
	bench_pass_ms(&bench, 100);
	ck_assert(a->reading);
	/* A new connection does not change it. */
	publish_some(come("e", 1), 9);
	struct peer *f = come("f", 1);

	publish_some(f, 1);
	ck_assert(!f->reading);
	bench_finish(&bench);
}
END_TEST

/* A message of more than ten seconds ends its connection, and no other one: it does not count. */
START_TEST(what_is_refused_does_not_count)
{
	begin(1, UINT32_MAX, 1);
	struct peer *a = come("a", 1), *b = come("b", 1);

	peer_publish(a, QOS(0), 0, "t", "", "123456789012");
	expect_end(a, 0x96);
	ck_assert(b->reading);
	publish_some(b, 1);
	ck_assert(b->open && !b->reading);
	bench_pass_ms(&bench, 7001);
	ck_assert(b->reading);
	bench_finish(&bench);
}
END_TEST

/* The tighter of both counts. */
START_TEST(a_client_has_its_own_rate_as_well)
{
	begin(1, 1000, UINT32_MAX);
	bench.settings.rate_publish_messages = 5;
	struct peer *a = come("a", 1), *b = come("b", 1);

	publish_some(a, 6);
	ck_assert(!a->reading && b->reading);
	bench_finish(&bench);
}
END_TEST

/* Without a limit nothing is written: the system gives no memory for the table. */
START_TEST(without_a_limit_nothing_is_kept)
{
	static const struct address_rates untouched;

	begin(1, UINT32_MAX, UINT32_MAX);
	publish_some(come("a", 1), 50);
	ck_assert_mem_eq(&rates, &untouched, sizeof rates);
	bench_finish(&bench);
}
END_TEST

/* ---- the table */

static const struct address_cost second = {1000000, 0};

START_TEST(takes_and_gives_back)
{
	memset(&rates, 0, sizeof rates);
	ck_assert_uint_eq(address_rate_take(&rates, 7, 5000000, (struct address_cost){10, 20}),
			  5000020);
	ck_assert_uint_eq(address_rate_take(&rates, 7, 5000000, (struct address_cost){100, 0}),
			  5000110);
	address_rate_give_back(&rates, 7, (struct address_cost){100, 0});
	ck_assert_uint_eq(address_rate_take(&rates, 7, 5000000, (struct address_cost){0, 0}),
			  5000020);
	address_rate_give_back(&rates, 9, second); /* nobody */
	/* What is past is worth nothing. */
	ck_assert_uint_eq(address_rate_take(&rates, 7, 9000000, (struct address_cost){1, 1}),
			  9000001);
}
END_TEST

/* However many there are, the one that is furthest ahead is not washed away. */
START_TEST(many_addresses_do_not_wash_it_away)
{
	memset(&rates, 0, sizeof rates);
	for (int i = 0; i < 9; i++)
		address_rate_take(&rates, 7, 1000000, second);
	for (uint64_t address = 1001; address < 1001 + 4 * ADDRESS_RATES; address += 2)
		ck_assert_uint_eq(address_rate_take(&rates, address, 1000000, second), 2000000);
	ck_assert_uint_eq(address_rate_take(&rates, 7, 1000000, second), 11000000);
}
END_TEST

Suite *address_rate_suite(void)
{
	const TTest *const tests[] = {all_of_an_address_share_its_rate,
				      what_is_refused_does_not_count,
				      a_client_has_its_own_rate_as_well,
				      without_a_limit_nothing_is_kept,
				      takes_and_gives_back,
				      many_addresses_do_not_wash_it_away};

	return suite_of("address_rate", tests, COUNT_OF(tests));
}
