/*
 * test_tally.c - what accounts published on a day: charged once however many receive it, up
 * to a bound that is the account's and not the client's.
 */
#include "broker/core/tally.h"
#include "tests/unit/random.h"
#include "tests/unit/shard_bench.h"

static struct bench bench;

static struct tally_counts counts_of(uint16_t qos0, uint16_t qos1, uint16_t qos2)
{
	return (struct tally_counts){.of_qos = {qos0, qos1, qos2},
				     .total = (uint16_t)(qos0 + qos1 + qos2)};
}

static void charge(struct tally *tally, uint64_t account, uint16_t qos0, uint16_t qos1,
		   uint16_t qos2)
{
	const struct tally_counts counts = counts_of(qos0, qos1, qos2);

	tally_charge(tally, account, &counts);
}

static void expect_sums(const struct tally *tally, uint64_t qos0, uint64_t qos1, uint64_t qos2,
			uint64_t accounts)
{
	const struct tally_sums sums = tally_sum(tally);

	ck_assert_uint_eq(sums.of_qos[0], qos0);
	ck_assert_uint_eq(sums.of_qos[1], qos1);
	ck_assert_uint_eq(sums.of_qos[2], qos2);
	ck_assert_uint_eq(sums.accounts, accounts);
}

START_TEST(a_session_counts_what_came_first)
{
	struct tally_counts counts = {0};

	for (int i = 0; i < 200; i++)
		tally_count(&counts, 0);
	for (int i = 0; i < 100; i++)
		tally_count(&counts, 2);
	ck_assert_uint_eq(counts.of_qos[0], 200);
	ck_assert_uint_eq(counts.of_qos[2], 56);
	ck_assert_uint_eq(counts.total, TALLY_CHARGE_MAX);
}
END_TEST

START_TEST(an_account_is_bounded_however_many_clients_it_has)
{
	struct tally tally = {0};

	for (int client = 0; client < 1000; client++)
		charge(&tally, 7, 256, 0, 0);
	expect_sums(&tally, 256, 0, 0, 1);
	charge(&tally, 8, 200, 0, 0);
	charge(&tally, 8, 50, 30, 20);
	expect_sums(&tally, 456 + 6, 30, 20, 2);
	charge(&tally, 9, 0, 0, 0);
	expect_sums(&tally, 462, 30, 20, 3);
	tally_finish(&tally);
	expect_sums(&tally, 0, 0, 0, 0);
}
END_TEST

/* Whatever the order, and whatever is merged with what: the bound holds, as does the number. */
START_TEST(tables_of_shards_are_one)
{
	struct random random = random_start();
	struct tally all = {0};
	static uint32_t totals[1000];
	uint64_t sum = 0;

	for (unsigned shard = 0; shard < 4; shard++) {
		struct tally one = {0};

		for (unsigned i = 0; i < 4000; i++) {
			const uint32_t account = random_below(&random, COUNT_OF(totals));
			const uint16_t n = (uint16_t)random_below(&random, 40);

			totals[account] += n;
			charge(&one, account + 1, n, 0, 0);
		}
		tally_merge(&all, &one);
		ck_assert_ptr_null(one.entries);
	}
	for (size_t i = 0; i < COUNT_OF(totals); i++)
		sum += totals[i] < TALLY_CHARGE_MAX ? totals[i] : TALLY_CHARGE_MAX;
	expect_sums(&all, sum, 0, 0, COUNT_OF(totals));
	tally_finish(&all);
}
END_TEST

START_TEST(who_objects_does_not_count)
{
	struct tally one = {0};
	struct tally two = {0};

	charge(&one, 1, 10, 0, 0);
	charge(&one, 2, 10, 0, 0);
	charge(&two, 1, 10, 0, 0);
	tally_leave_out(&two, 1);
	charge(&two, 1, 10, 0, 0);
	expect_sums(&two, 0, 0, 0, 0);
	tally_merge(&one, &two);
	expect_sums(&one, 10, 0, 0, 1);
	tally_leave_out(&one, 3);
	expect_sums(&one, 10, 0, 0, 1);
	tally_finish(&one);
}
END_TEST

START_TEST(too_many_accounts_are_told)
{
	struct tally tally = {0};

	for (uint64_t account = 1; account <= TALLY_ACCOUNTS_MAX; account++)
		charge(&tally, account * 0x9e3779b97f4a7c15u, 1, 0, 0);
	ck_assert(!tally.full);
	charge(&tally, 1, 1, 0, 0);
	ck_assert(tally.full);
	expect_sums(&tally, TALLY_ACCOUNTS_MAX, 0, 0, TALLY_ACCOUNTS_MAX);
	tally_finish(&tally);
}
END_TEST

/* ---- in a shard */

static void expect_day(uint64_t qos0, uint64_t qos1, uint64_t qos2, uint64_t accounts)
{
	struct tally day = shard_take_tally(bench.shards[0]);

	expect_sums(&day, qos0, qos1, qos2, accounts);
	tally_finish(&day);
}

/* A publish that reaches five clients is one, and one that nobody wants is one, too. */
START_TEST(publishes_are_counted_not_deliveries)
{
	static const char *const receivers[] = {"a", "b", "c", "d", "e"};
	struct peer *from;

	bench_begin(&bench, 1);
	from = new_peer(&bench, MQTT_VERSION_5_0, "from");
	for (size_t i = 0; i < COUNT_OF(receivers); i++)
		subscribe(new_peer(&bench, MQTT_VERSION_5_0, receivers[i]), "t", 2);
	peer_publish(from, QOS(0), 0, "t", "", "x");
	peer_publish(from, QOS(1), 1, "t", "", "x");
	peer_publish(from, QOS(2), 2, "t", "", "x");
	peer_publish(from, QOS(1), 3, "nobody", "", "x");
	peer_publish(from, QOS(2) | DUP, 2, "t", "", "x"); /* the same again */
	peer_publish(from, QOS(1), 4, "$x", "", "x");	   /* goes nowhere */
	expect_day(1, 2, 1, 6);
	/* A new day: the same clients, and nothing published. */
	expect_day(0, 0, 0, 6);
	bench_finish(&bench);
}
END_TEST

START_TEST(a_client_that_left_has_been_here)
{
	struct peer *from;

	bench_begin(&bench, 1);
	from = new_peer(&bench, MQTT_VERSION_5_0, "from");
	peer_publish(from, QOS(0), 0, "t", "", "x");
	peer_lose(from);
	from = new_peer(&bench, MQTT_VERSION_5_0, "from");
	peer_publish(from, QOS(0), 0, "t", "", "x");
	expect_day(2, 0, 0, 1);
	peer_lose(from);
	expect_day(0, 0, 0, 1);
	expect_day(0, 0, 0, 0);
	bench_finish(&bench);
}
END_TEST

Suite *tally_suite(void)
{
	const TTest *const tests[] = {
	    a_session_counts_what_came_first, an_account_is_bounded_however_many_clients_it_has,
	    tables_of_shards_are_one,	      who_objects_does_not_count,
	    too_many_accounts_are_told,	      publishes_are_counted_not_deliveries,
	    a_client_that_left_has_been_here};

	return suite_of("tally", tests, COUNT_OF(tests));
}
