/* test_flapping.c - who connects too often waits, and is banned. */
#include "auth/flapping.h"

#include "tests/unit/packets.h"
#include <stdio.h>

#define BAN_MS 300000u

static struct flapping_client client_of(uint64_t number, const char *id)
{
	return (struct flapping_client){number, slice_text(id)};
}

static struct flapping_client a, b;

static void names(void)
{
	a = client_of(1001, "a");
	b = client_of(1003, "b");
}

/* A second, then doubled up to a minute; the others come and go. */
START_TEST(waits_grow)
{
	static const uint64_t waits[] = {1000, 2000, 4000, 8000, 16000, 31000};
	struct flapping *flapping = flapping_create(UINT32_MAX, BAN_MS);
	uint64_t now = 1000;

	ck_assert_int_eq(flapping_came(flapping, now, &a, false), FLAPPING_PASS);
	for (size_t i = 0; i < 4; i++) {
		ck_assert_int_eq(flapping_came(flapping, now, &a, true), FLAPPING_WAIT);
		ck_assert_int_eq(flapping_came(flapping, now, &b, false), FLAPPING_PASS);
		now += waits[i];
	}
	ck_assert_int_eq(flapping_came(flapping, now, &a, false), FLAPPING_PASS);
	/* A quiet time is a new beginning. */
	now += 4 * FLAPPING_FORGET_MS;
	ck_assert_int_eq(flapping_came(flapping, now, &a, true), FLAPPING_WAIT);
	ck_assert_int_eq(flapping_came(flapping, now + 1000, &a, false), FLAPPING_PASS);
	flapping_destroy(flapping);
}
END_TEST

/* Who does not wait does not make the wait longer, but the next one. */
START_TEST(who_does_not_wait)
{
	struct flapping *flapping = flapping_create(UINT32_MAX, BAN_MS);

	ck_assert_int_eq(flapping_came(flapping, 1000, &a, true), FLAPPING_WAIT);
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(flapping_came(flapping, 1999, &a, false), FLAPPING_WAIT);
	ck_assert_int_eq(flapping_came(flapping, 2000, &a, false), FLAPPING_PASS);
	ck_assert_int_eq(flapping_came(flapping, 2000, &a, true), FLAPPING_WAIT);
	ck_assert_int_eq(flapping_came(flapping, 2000 + FLAPPING_DELAY_LONGEST_MS - 1, &a, false),
			 FLAPPING_WAIT);
	ck_assert_int_eq(flapping_came(flapping, 2000 + FLAPPING_DELAY_LONGEST_MS, &a, false),
			 FLAPPING_PASS);
	flapping_destroy(flapping);
}
END_TEST

static char told[256];

static void tell(void *self, const struct flapping_ban *ban)
{
	(void)self;
	size_t len = strlen(told);

	snprintf(told + len, sizeof(told) - len, "%.*s%s %u;", (int)ban->id.len,
		 (const char *)ban->id.at, ban->cut ? "..." : "", (unsigned)ban->left_ms);
}

static const char *bans(const struct flapping *flapping, uint64_t now_ms)
{
	told[0] = '\0';
	flapping_each_ban(flapping, now_ms, NULL, tell);
	return told;
}

START_TEST(bans_end_by_time_or_by_hand)
{
	struct flapping *flapping = flapping_create(5, BAN_MS);

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(flapping_came(flapping, 1000, &a, true), FLAPPING_WAIT);
	ck_assert_str_eq(bans(flapping, 1000), "");
	ck_assert_int_eq(flapping_came(flapping, 1000, &a, false), FLAPPING_BANNED);
	ck_assert_str_eq(bans(flapping, 1000), "a 300000;");
	ck_assert(flapping_banned(flapping, 1000, a.number));
	ck_assert(!flapping_banned(flapping, 1000, b.number));
	ck_assert_int_eq(flapping_came(flapping, 1000, &b, false), FLAPPING_PASS);
	/* Coming does not make it longer. */
	ck_assert_int_eq(flapping_came(flapping, 300999, &a, true), FLAPPING_BANNED);
	ck_assert(!flapping_banned(flapping, 301000, a.number));
	ck_assert_str_eq(bans(flapping, 301000), "");
	ck_assert_int_eq(flapping_came(flapping, 301000, &a, false), FLAPPING_PASS);
	for (int i = 0; i < 5; i++)
		flapping_came(flapping, 301000, &a, true);
	ck_assert(!flapping_lift(flapping, 301000, b.id));
	ck_assert(flapping_lift(flapping, 301000, a.id));
	ck_assert(!flapping_lift(flapping, 301000, a.id));
	ck_assert_int_eq(flapping_came(flapping, 301000, &a, false), FLAPPING_PASS);
	flapping_destroy(flapping);
}
END_TEST

/* However short the time between two of them, a little is forgotten in it. */
START_TEST(a_ban_needs_no_more_than_is_said)
{
	struct flapping *flapping = flapping_create(5, BAN_MS);

	for (uint64_t i = 0; i < 4; i++)
		ck_assert_int_eq(flapping_came(flapping, 1000 + 100 * i, &a, true), FLAPPING_WAIT);
	ck_assert_int_eq(flapping_came(flapping, 1400, &a, true), FLAPPING_BANNED);
	flapping_destroy(flapping);
}
END_TEST

/* Once in ten seconds too soon goes on for ever; once in nine does not. */
START_TEST(times_are_forgotten)
{
	for (uint64_t pause = 9000; pause <= 10000; pause += 1000) {
		struct flapping *flapping = flapping_create(30, BAN_MS);
		uint64_t now = 1000;
		bool banned = false;

		for (int i = 0; i < 500 && !banned; i++, now += pause)
			banned = flapping_came(flapping, now, &a, true) == FLAPPING_BANNED;
		ck_assert_int_eq(banned, pause < FLAPPING_FORGET_MS);
		flapping_destroy(flapping);
	}
}
END_TEST

static void ban(struct flapping *flapping, const struct flapping_client *client)
{
	for (int i = 0; i < 5; i++)
		flapping_came(flapping, 1000, client, true);
}

/* What is shown of a long one ends between two characters; lifting it needs all of it. */
START_TEST(a_long_identifier_is_cut)
{
	char id[101] = "", other[102] = "";

	memset(id, 'x', 100);
	memcpy(id + FLAPPING_ID_MAX - 1, "\xc3\xa9", 2);
	struct flapping *flapping = flapping_create(5, BAN_MS);
	struct flapping_client long_one = client_of(55, id);

	ban(flapping, &long_one);
	snprintf(told, sizeof(told), "%.63s... 300000;", id);
	char *expected = strdup(told);

	ck_assert_str_eq(bans(flapping, 1000), expected);
	free(expected);
	snprintf(other, sizeof(other), "%sx", id);
	ck_assert(!flapping_lift(flapping, 1000, slice_text(other)));
	ck_assert(flapping_lift(flapping, 1000, long_one.id));
	flapping_destroy(flapping);
}
END_TEST

/* Whoever makes up clients does not wash a ban away, and memory stays what it is. */
START_TEST(bans_go_last)
{
	struct flapping *flapping = flapping_create(5, BAN_MS);
	char id[16];

	ban(flapping, &a);
	for (uint64_t i = 1; i <= 20 * FLAPPING_PLACES; i++) {
		snprintf(id, sizeof(id), "n%u", (unsigned)i);
		struct flapping_client made_up = client_of(i * 2654435761u | 1, id);

		flapping_came(flapping, 2000, &made_up, true);
	}
	ck_assert(flapping_banned(flapping, 2000, a.number));
	flapping_destroy(flapping);
}
END_TEST

/* What is over is wiped; what is not stays. */
START_TEST(nothing_is_kept_for_long)
{
	struct flapping *flapping = flapping_create(5, BAN_MS);

	ban(flapping, &a);
	flapping_came(flapping, 290000, &b, true);
	flapping_forget(flapping, 300999);
	ck_assert(flapping_banned(flapping, 300999, a.number));
	flapping_forget(flapping, 301000);
	ck_assert(!flapping_lift(flapping, 1000, a.id)); /* also as of before */
	ck_assert_int_eq(flapping_came(flapping, 290001, &b, false), FLAPPING_PASS);
	flapping_destroy(flapping);
}
END_TEST

START_TEST(settings_change)
{
	struct flapping *flapping = flapping_create(UINT32_MAX, BAN_MS);

	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(flapping_came(flapping, 1000, &a, true), FLAPPING_WAIT);
	flapping_set(flapping, 5, 1000);
	ck_assert_int_eq(flapping_came(flapping, 1000, &a, true), FLAPPING_BANNED);
	ck_assert(!flapping_banned(flapping, 2000, a.number));
	flapping_destroy(flapping);
}
END_TEST

Suite *flapping_suite(void)
{
	const TTest *const tests[] = {waits_grow,
				      who_does_not_wait,
				      bans_end_by_time_or_by_hand,
				      a_ban_needs_no_more_than_is_said,
				      times_are_forgotten,
				      a_long_identifier_is_cut,
				      bans_go_last,
				      nothing_is_kept_for_long,
				      settings_change};

	names();
	return suite_of("flapping", tests, COUNT_OF(tests));
}
