/* budget.h: what is charged, what is refused, what comes back. */
#include "tests/unit/packets.h"
#include "tests/unit/purse.h"
#include "tests/unit/random.h"

#define KIB 1024

START_TEST(limit_holds)
{
	purse_open(256 * KIB);
	ck_assert(purse_allows(&purse, 256 * KIB));
	ck_assert(!purse_allows(&purse, 256 * KIB + 1));
	ck_assert(purse_take(&purse, 200 * KIB));
	ck_assert(!purse_take(&purse, 100 * KIB));
	ck_assert_int_eq(purse.charged, 200 * KIB);
	purse_force(&purse, 100 * KIB); /* has to be */
	ck_assert_int_eq(purse.charged, 300 * KIB);
	ck_assert(!purse_allows(&purse, 64 * KIB));
	purse_give(&purse, 300 * KIB);
	ck_assert(purse_take(&purse, 100 * KIB));
	purse_give(&purse, 100 * KIB);
	purse_check_empty();
}
END_TEST

/* Freed by another shard than the one that made it: the sum is right. */
START_TEST(given_back_elsewhere)
{
	struct purse other;

	purse_open(1024 * KIB);
	purse_init(&other, &purse_budget);
	ck_assert(purse_take(&purse, 500 * KIB));
	purse_give(&other, 500 * KIB);
	ck_assert_int_eq(other.charged, -500 * KIB);
	ck_assert_int_le(purse_budget.used, 2 * 128 * KIB);
	ck_assert(purse_take(&purse, 500 * KIB));
	purse_give(&purse, 500 * KIB);
	purse_finish(&purse);
	purse_finish(&other);
	ck_assert_int_eq(purse_budget.used, 0);
	ck_assert(budget_finish(&purse_budget));
}
END_TEST

START_TEST(random_takes)
{
	struct random random = random_start();
	struct purse purses[3];
	int64_t held[3] = {0};

	purse_open(2048 * KIB);
	for (int i = 0; i < 3; i++)
		purse_init(&purses[i], &purse_budget);
	for (int step = 0; step < 20000; step++) {
		uint32_t i = random_below(&random, 3);
		size_t n = random_below(&random, 100 * KIB);

		if (random_below(&random, 2) && purse_take(&purses[i], n)) {
			held[i] += (int64_t)n;
		} else if (held[i] > 0) {
			n = random_below(&random, (size_t)held[i]);
			purse_give(&purses[i], n);
			held[i] -= (int64_t)n;
		}
		ck_assert_msg(purses[i].charged == held[i] &&
				  purse_budget.used >= held[0] + held[1] + held[2] &&
				  purse_budget.used <= 2048 * KIB,
			      RANDOM_SEED, random.seed);
	}
	for (int i = 0; i < 3; i++) {
		purse_give(&purses[i], (size_t)held[i]);
		purse_finish(&purses[i]);
	}
	ck_assert_int_eq(purse_budget.used, 0);
	ck_assert(budget_finish(&purse_budget));
}
END_TEST

Suite *budget_suite(void)
{
	const TTest *tests[] = {limit_holds, given_back_elsewhere, random_takes};

	return suite_of("budget", tests, COUNT_OF(tests));
}
