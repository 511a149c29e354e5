/* subscription.h: what its packed fields hold, and the rows beside them. */
#include <stdio.h>

#include "broker/core/subscription.h"
#include "tests/unit/packets.h"

static const uint8_t key[HASH_KEY_SIZE] = "a key of sixteen";

static uint32_t add(struct subscriptions *table, const char *filter, uint32_t owner, uint32_t *head)
{
	bool first;

	return subscription_add(table, 0, slice_text(filter), false, owner, head, &first);
}

/* The largest of everything fits, and retain handling is not kept. */
START_TEST(packed)
{
	struct subscriptions table;
	uint32_t head = 0, n;

	subscriptions_init(&table, key);
	n = add(&table, "a/+", INT32_MAX, &head);
	subscription_set(subscription_at(&table, n), 0x3f, SUBSCRIPTION_IDENTIFIER_MAX);
	ck_assert_uint_eq(subscription_at(&table, n)->owner, INT32_MAX);
	ck_assert_uint_eq(subscription_at(&table, n)->identifier, 268435455);
	ck_assert_uint_eq(subscription_at(&table, n)->options,
			  3 | OPTION_NO_LOCAL | OPTION_RETAIN_AS_PUBLISHED);
	ck_assert_uint_eq(subscription_at(&table, n)->group, 0);
	ck_assert_uint_eq(subscription_find(&table, 0, SLICE_LITERAL("a/+"), INT32_MAX), n);
	subscriptions_finish(&table);
}
END_TEST

/* A row belongs to one subscription, however many there are, and not to the next with its number.
 */
START_TEST(rows)
{
	enum { MANY = 5000 };
	static uint32_t numbers[MANY];
	struct subscriptions table;
	uint32_t head = 0;
	bool last;

	subscriptions_init(&table, key);
	for (uint32_t i = 0; i < MANY; i++) {
		char filter[32];

		snprintf(filter, sizeof filter, "f/%u", i);
		numbers[i] = add(&table, filter, 1, &head);
		if (i % 3 == 0)
			subscription_set_row(&table, numbers[i], 1000 + i);
	}
	for (uint32_t i = 0; i < MANY; i++)
		ck_assert_uint_eq(subscription_row(&table, numbers[i]), i % 3 == 0 ? 1000 + i : 0);
	subscription_remove(&table, numbers[3], &head, &last);
	ck_assert(last);
	ck_assert_uint_eq(add(&table, "another", 1, &head), numbers[3]);
	ck_assert_uint_eq(subscription_row(&table, numbers[3]), 0);
	while (head)
		subscription_remove(&table, head, &head, &last);
	ck_assert_ptr_null(table.rows);
	subscriptions_finish(&table);
}
END_TEST

/*
 * Of one filter with very many subscribers, by one session with very many filters: 200,000
 * searches are over long before the test's time is, which walking either list would take.
 */
START_TEST(found_among_many)
{
	enum { MANY = 20000, SEARCHES = 200000 };
	struct subscriptions table;
	static uint32_t heads[MANY];
	uint32_t wanted = 0;
	bool last;

	subscriptions_init(&table, key);
	for (uint32_t owner = 1; owner < MANY; owner++)
		add(&table, "common", owner, &heads[owner]);
	for (uint32_t i = 0; i < MANY; i++) {
		char filter[32];

		snprintf(filter, sizeof filter, "f/%u", i);
		add(&table, filter, MANY / 2, &heads[MANY / 2]);
	}
	for (uint32_t i = 0; i < SEARCHES; i++)
		wanted = subscription_find(&table, 0, SLICE_LITERAL("common"), MANY / 2);
	ck_assert_uint_eq(subscription_at(&table, wanted)->owner, MANY / 2);
	subscription_remove(&table, wanted, &heads[MANY / 2], &last);
	ck_assert(!last);
	ck_assert_uint_eq(subscription_find(&table, 0, SLICE_LITERAL("common"), MANY / 2), 0);
	ck_assert_uint_eq(subscription_find(&table, 0, SLICE_LITERAL("common"), MANY), 0);
	subscriptions_finish(&table);
}
END_TEST

Suite *subscription_suite(void)
{
	const TTest *tests[] = {packed, rows, found_among_many};

	return suite_of("subscription", tests, COUNT_OF(tests));
}
