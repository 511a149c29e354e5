/* test_throttle.c - who fails waits, and is banned. */
#include "auth/throttle.h"

#include "tests/unit/packets.h"
#include <stdio.h>

static const struct throttle_address here = {{[10] = 0xff, [11] = 0xff, 192, 0, 2, 1}};
static const struct throttle_address there = {{0x20, 0x01, 0x0d, 0xb8}};
static const struct slice bob = {(const uint8_t *)"bob", 3};
static const struct slice eve = {(const uint8_t *)"eve", 3};

#define BAN_MS 900000u

static uint64_t fail_until_banned(struct throttle *throttle, uint64_t now, unsigned tries)
{
	for (unsigned i = 0; i < tries; i++) {
		ck_assert_int_ne(throttle_ask(throttle, now, &here, bob), THROTTLE_BANNED);
		throttle_failed(throttle, now, &here, bob);
	}
	return now;
}

/* Two are free; then a second, doubled up to a minute. */
START_TEST(waits_grow)
{
	static const uint64_t waits[] = {0, 0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
	struct throttle *throttle = throttle_create(UINT32_MAX, BAN_MS);
	uint64_t now = 1000;

	for (size_t i = 0; i < COUNT_OF(waits); i++) {
		ck_assert_int_eq(throttle_ask(throttle, now, &here, bob),
				 i == 0 ? THROTTLE_PASS : THROTTLE_DOUBT);
		throttle_failed(throttle, now, &here, bob);
		if (waits[i] > 0)
			ck_assert_int_eq(throttle_ask(throttle, now + waits[i] - 1, &here, bob),
					 THROTTLE_WAIT);
		ck_assert_int_eq(throttle_ask(throttle, now, &here, eve), THROTTLE_DOUBT);
		ck_assert_int_eq(throttle_ask(throttle, now, &there, bob), THROTTLE_PASS);
		now += waits[i];
	}
	throttle_passed(throttle, &here, bob);
	ck_assert_int_eq(throttle_ask(throttle, now, &here, bob), THROTTLE_DOUBT);
	throttle_failed(throttle, now, &here, bob);
	ck_assert_int_eq(throttle_ask(throttle, now, &here, bob), THROTTLE_DOUBT);
	now += 20 * THROTTLE_FORGET_MS;
	ck_assert_int_eq(throttle_ask(throttle, now, &here, bob), THROTTLE_PASS);
	throttle_destroy(throttle);
}
END_TEST

START_TEST(a_quiet_time_is_a_new_beginning)
{
	struct throttle *throttle = throttle_create(UINT32_MAX, BAN_MS);

	for (int i = 0; i < 3; i++)
		throttle_failed(throttle, 1000, &here, bob);
	ck_assert_int_eq(throttle_ask(throttle, 1000, &here, bob), THROTTLE_WAIT);
	throttle_failed(throttle, 1001 + THROTTLE_QUIET_MS, &here, bob);
	ck_assert_int_eq(throttle_ask(throttle, 1001 + THROTTLE_QUIET_MS, &here, bob),
			 THROTTLE_DOUBT);
	throttle_destroy(throttle);
}
END_TEST

static void count_ban(void *self, const struct throttle_address *address, uint64_t left_ms)
{
	unsigned *count = self;

	ck_assert_mem_eq(address, &here, sizeof(here));
	ck_assert_uint_le(left_ms, BAN_MS);
	(*count)++;
}

static unsigned bans(const struct throttle *throttle, uint64_t now)
{
	unsigned count = 0;

	throttle_each_ban(throttle, now, &count, count_ban);
	return count;
}

START_TEST(bans_end_by_time_or_by_hand)
{
	struct throttle *throttle = throttle_create(10, BAN_MS);
	uint64_t now = fail_until_banned(throttle, 1000, 3);

	/* Tries that have to wait count as well. */
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(throttle_ask(throttle, now, &here, bob), THROTTLE_WAIT);
	ck_assert_uint_eq(bans(throttle, now), 0);
	ck_assert_int_eq(throttle_ask(throttle, now, &here, bob), THROTTLE_BANNED);
	ck_assert_int_eq(throttle_ask(throttle, now, &here, eve), THROTTLE_BANNED);
	ck_assert_int_eq(throttle_ask(throttle, now, &there, bob), THROTTLE_PASS);
	ck_assert_uint_eq(bans(throttle, now), 1);
	ck_assert_int_eq(throttle_ask(throttle, now + BAN_MS - 1, &here, eve), THROTTLE_BANNED);
	ck_assert_int_eq(throttle_ask(throttle, now + BAN_MS, &here, eve), THROTTLE_PASS);
	ck_assert_uint_eq(bans(throttle, now + BAN_MS), 0);
	ck_assert(!throttle_lift(throttle, now, &there));
	ck_assert(throttle_lift(throttle, now, &here));
	ck_assert(!throttle_lift(throttle, now, &here));
	ck_assert_int_eq(throttle_ask(throttle, now, &here, eve), THROTTLE_PASS);
	throttle_destroy(throttle);
}
END_TEST

/* One failure in four seconds goes on for ever; one in three does not. */
START_TEST(failures_are_forgotten)
{
	for (uint64_t pause = 3000; pause <= 4000; pause += 1000) {
		struct throttle *throttle = throttle_create(10, BAN_MS);
		uint64_t now = 1000;
		bool banned = false;

		for (int i = 0; i < 200 && !banned; i++, now += pause) {
			throttle_failed(throttle, now, &here, eve);
			banned = bans(throttle, now) > 0;
		}
		ck_assert_int_eq(banned, pause < THROTTLE_FORGET_MS);
		throttle_destroy(throttle);
	}
}
END_TEST

/* More names than there are places: nothing is lost but names, and no ban. */
START_TEST(a_flood_of_names_lifts_no_ban)
{
	struct throttle *throttle = throttle_create(10, BAN_MS);
	char name[16];

	for (int i = 0; i < 10; i++)
		throttle_failed(throttle, 1000, &here, bob);
	throttle_set(throttle, UINT32_MAX, BAN_MS);
	for (unsigned i = 0; i < 4 * THROTTLE_PLACES; i++) {
		snprintf(name, sizeof(name), "%u", i);
		throttle_failed(throttle, 1001 + i / 1000, &there, slice_text(name));
	}
	ck_assert_uint_eq(bans(throttle, 2000), 1);
	throttle_destroy(throttle);
}
END_TEST

/* A second's worth at once, then one by one; who comes too fast does not make it worse. */
START_TEST(connections_are_paced)
{
	struct throttle *throttle = throttle_create(UINT32_MAX, BAN_MS);

	for (int i = 0; i < 10; i++)
		ck_assert(throttle_connect(throttle, 1000, &here, 10));
	for (int i = 0; i < 100; i++)
		ck_assert(!throttle_connect(throttle, 1000, &here, 10));
	ck_assert(throttle_connect(throttle, 1000, &there, 10));
	ck_assert(!throttle_connect(throttle, 1099, &here, 10));
	ck_assert(throttle_connect(throttle, 1100, &here, 10));
	ck_assert(!throttle_connect(throttle, 1100, &here, 10));
	ck_assert_int_eq(throttle_ask(throttle, 1100, &here, bob), THROTTLE_PASS);
	throttle_destroy(throttle);
}
END_TEST

/* One hostile client behind a proxy does not shut out the others; its names wait. */
START_TEST(no_address_is_never_banned)
{
	static const struct throttle_address nowhere;
	struct throttle *throttle = throttle_create(5, BAN_MS);

	for (int i = 0; i < 100; i++) {
		ck_assert_int_ne(throttle_ask(throttle, 1000, &nowhere, bob), THROTTLE_BANNED);
		throttle_failed(throttle, 1000, &nowhere, bob);
	}
	ck_assert_int_eq(throttle_ask(throttle, 1000, &nowhere, bob), THROTTLE_WAIT);
	ck_assert_int_eq(throttle_ask(throttle, 1000, &nowhere, eve), THROTTLE_DOUBT);
	throttle_destroy(throttle);
}
END_TEST

/* No address is kept for a day after it was last seen, nor longer than its ban. */
START_TEST(a_day_later_nothing_is_left)
{
	struct throttle *throttle = throttle_create(3, BAN_MS);
	uint64_t now = 1000;

	throttle_failed(throttle, now, &there, bob);
	fail_until_banned(throttle, now, 3);
	throttle_forget(throttle, now + BAN_MS - 1);
	ck_assert_int_eq(throttle_ask(throttle, now, &here, eve), THROTTLE_BANNED);
	throttle_forget(throttle, now + BAN_MS);
	ck_assert_int_eq(throttle_ask(throttle, now, &here, eve), THROTTLE_PASS);
	throttle_forget(throttle, now + THROTTLE_KEPT_MS - 1);
	ck_assert_int_eq(throttle_ask(throttle, now, &there, bob), THROTTLE_DOUBT);
	now += THROTTLE_KEPT_MS;
	throttle_forget(throttle, now);
	ck_assert_int_eq(throttle_ask(throttle, 1000, &there, bob), THROTTLE_PASS);
	throttle_destroy(throttle);
}
END_TEST

Suite *throttle_suite(void)
{
	const TTest *const tests[] = {waits_grow,
				      a_quiet_time_is_a_new_beginning,
				      bans_end_by_time_or_by_hand,
				      failures_are_forgotten,
				      a_flood_of_names_lifts_no_ban,
				      no_address_is_never_banned,
				      connections_are_paced,
				      a_day_later_nothing_is_left};

	return suite_of("throttle", tests, COUNT_OF(tests));
}
