/*
 * test_days.c - what the broker keeps of days and of logins: 200 days in a second, with a
 * vault on the disk.
 */
#include "broker/aggregate.h"
#include "broker/auth_log.h"
#include "tests/lib/vault_on_disk.h"

#include <inttypes.h>

Suite *days_suite(void);

#define DAY_S	86400u
#define FIRST	20000u /* days since 1970 */
#define NOON_S	43200u
#define ACCOUNT 0x1234u

/* ---- releases */

static struct aggregate *aggregate;
static unsigned accounts; /* that every worker counts from now on */
static unsigned silent;	  /* workers that do not answer */
static unsigned asked;	  /* rounds */
static bool too_many;

static struct tally_round *ask(void *self)
{
	const unsigned workers = 2;
	struct tally_round *round = tally_round_create(workers);

	(void)self;
	asked++;
	for (unsigned worker = 0; worker < workers; worker++) {
		const struct tally_counts counts = {.of_qos = {10, 5, 1}, .total = 16};
		struct tally tally = {.full = too_many};

		for (uint64_t i = 1; i <= accounts; i++)
			tally_charge(&tally, i << 20 | worker << 1 | 1, &counts);
		if (worker >= silent)
			tally_round_add(round, &tally);
		tally_finish(&tally);
		tally_round_release(round);
	}
	return round;
}

static void open_days(uint64_t now_s)
{
	open_vault();
	const struct aggregate_needs needs = {.vault = vault, .keyring = keyring, .ask = ask};

	aggregate = aggregate_open(&needs, now_s, &failure);
	ck_assert_msg(aggregate, "%s", failure.text);
	aggregate_set_expiry(aggregate, 90 * DAY_S);
}

static void close_days(void)
{
	aggregate_close(aggregate);
	aggregate = NULL;
	close_vault();
}

/* As the scheduler does: until nothing is due. */
static void pass(uint64_t now_s)
{
	if (aggregate_expiry_due(aggregate) <= now_s)
		ck_assert_int_eq(aggregate_expiry_run(aggregate, now_s, &failure), JOB_DONE);
	while (aggregate_release_due(aggregate) <= now_s) {
		enum job_result result = aggregate_release_run(aggregate, now_s, &failure);

		ck_assert_int_ne(result, JOB_FAILED);
		now_s += result == JOB_AGAIN && silent > 0 ? AGGREGATE_PATIENCE_S : 0;
	}
}

struct releases {
	unsigned count, kept;
	uint64_t first, last;
	int64_t accounts; /* of the last that is kept */
};

static void add_release(void *self, const struct aggregate_release *release)
{
	struct releases *releases = self;

	if (releases->count++ == 0)
		releases->first = release->day;
	else
		ck_assert_uint_eq(release->day, releases->last + 1);
	releases->last = release->day;
	releases->kept += release->kept;
	if (release->kept)
		releases->accounts = release->accounts;
}

static struct releases releases_now(void)
{
	struct releases releases = {0};

	aggregate_each(aggregate, &releases, add_release);
	return releases;
}

START_TEST(each_day_is_released_once_and_kept_for_90_days)
{
	uint64_t epochs[SLOT_COUNT];

	accounts = 1000;
	open_days(FIRST * DAY_S + NOON_S);
	for (uint64_t day = FIRST + 1; day <= FIRST + 200; day++) {
		pass(day * DAY_S);
		pass(day * DAY_S + NOON_S);
	}
	struct releases releases = releases_now();

	ck_assert_uint_eq(releases.count, 90);
	ck_assert_uint_eq(releases.last, FIRST + 199);
	ck_assert_uint_eq(releases.kept, 90);
	ck_assert_int_gt(releases.accounts, 1000);
	ck_assert_int_lt(releases.accounts, 3000);
	ck_assert_uint_eq(asked, 200);
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_AGGREGATE_DAY, epochs), 90);
	/* After the exact second it is gone. */
	pass((FIRST + 200) * DAY_S + DAY_S - 1);
	ck_assert_uint_eq(releases_now().count, 90);
	/* They are there after a restart as well; a key of a day that is over makes the time known.
	 */
	close_days();
	open_days((FIRST + 200) * DAY_S + NOON_S);
	ck_assert_uint_eq(releases_now().count, 90);
	ck_assert_uint_eq(aggregate_newest_s(aggregate), (FIRST + 200) * DAY_S);
	close_days();
}
END_TEST

START_TEST(a_day_that_was_not_seen_whole_is_null)
{
	accounts = 1000;
	open_days(FIRST * DAY_S + NOON_S);
	pass((FIRST + 1) * DAY_S); /* the first day */
	ck_assert_uint_eq(releases_now().kept, 0);
	pass((FIRST + 2) * DAY_S);
	ck_assert_uint_eq(releases_now().kept, 1);
	close_days(); /* the third day: a restart */
	open_days((FIRST + 2) * DAY_S + NOON_S);
	pass((FIRST + 3) * DAY_S);
	ck_assert_uint_eq(releases_now().kept, 1);
	pass((FIRST + 4) * DAY_S);
	ck_assert_uint_eq(releases_now().kept, 2);
	pass((FIRST + 5) * DAY_S + JOB_LATE_S); /* the end of the fifth comes too late */
	ck_assert_uint_eq(releases_now().kept, 2);
	pass((FIRST + 6) * DAY_S);
	ck_assert_uint_eq(releases_now().kept, 2); /* and so does the beginning of the sixth */
	pass((FIRST + 7) * DAY_S);
	ck_assert_uint_eq(releases_now().kept, 3);
	pass((FIRST + 10) * DAY_S); /* three days at once */
	ck_assert_uint_eq(releases_now().kept, 3);
	ck_assert_uint_eq(releases_now().count, 10);
	close_days();
}
END_TEST

START_TEST(without_all_answers_a_day_is_null)
{
	accounts = 1000;
	open_days(FIRST * DAY_S + NOON_S);
	pass((FIRST + 1) * DAY_S);
	silent = 1;
	pass((FIRST + 2) * DAY_S);
	silent = 0;
	pass((FIRST + 3) * DAY_S);
	ck_assert_uint_eq(releases_now().kept, 0);
	too_many = true;
	pass((FIRST + 4) * DAY_S);
	ck_assert_uint_eq(releases_now().kept, 0);
	too_many = false;
	pass((FIRST + 5) * DAY_S);
	ck_assert_uint_eq(releases_now().kept, 1);
	ck_assert_uint_eq(releases_now().count, 5);
	close_days();
}
END_TEST

/* A year without the broker: no more rows than can be kept, and no key of a day that is over. */
START_TEST(a_long_absence_is_short_work)
{
	uint64_t epochs[SLOT_COUNT];

	open_days(FIRST * DAY_S + NOON_S);
	for (uint64_t day = FIRST + 1; day < FIRST + 40; day++)
		pass(day * DAY_S);
	close_days();
	open_days((FIRST + 400) * DAY_S);
	pass((FIRST + 400) * DAY_S);
	pass((FIRST + 400) * DAY_S);
	struct releases releases = releases_now();

	ck_assert_uint_eq(releases.last, FIRST + 399);
	ck_assert_uint_le(releases.count, 91);
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_AGGREGATE_DAY, epochs), releases.count);
	close_days();
}
END_TEST

/* Killed, or the disk full, between the end of a key and that of its row: it is not shown. */
START_TEST(a_release_is_not_shown_after_its_time)
{
	open_days(FIRST * DAY_S + NOON_S);
	pass((FIRST + 1) * DAY_S);
	pass((FIRST + 2) * DAY_S);
	ck_assert(keyring_destroy(keyring, KEY_AGGREGATE_DAY, FIRST, &failure));
	const uint64_t end_s = (FIRST + 1) * DAY_S + 90 * DAY_S;

	ck_assert_int_eq(aggregate_expiry_run(aggregate, end_s - 1, &failure), JOB_DONE);
	ck_assert_uint_eq(releases_now().count, 2);
	ck_assert_int_eq(aggregate_expiry_run(aggregate, end_s, &failure), JOB_DONE);
	ck_assert_uint_eq(releases_now().count, 1);
	ck_assert_uint_eq(releases_now().first, FIRST + 1);
	close_days();
}
END_TEST

/* ---- logins */

static struct auth_log *logins;

static void open_logins(uint32_t expiry_s, uint64_t max_bytes)
{
	const struct auth_log_limits limits = {expiry_s, max_bytes};

	open_vault();
	logins = auth_log_open(vault, keyring, &limits, &failure);
	ck_assert_msg(logins, "%s", failure.text);
}

static void close_logins(void)
{
	auth_log_close(logins);
	logins = NULL;
	close_vault();
}

static void tick(uint64_t now_s)
{
	if (auth_log_expiry_due(logins) <= now_s)
		ck_assert_int_eq(auth_log_expiry_run(logins, now_s, &failure), JOB_DONE);
	ck_assert_msg(auth_log_write_run(logins, now_s, &failure) == JOB_DONE, "%s", failure.text);
}

struct rows {
	unsigned count;
	unsigned of[AUTH_LOG_RESULTS];
	uint64_t oldest_s;
};

static void add_row(void *self, const struct auth_log_row *row)
{
	struct rows *rows = self;

	if (rows->count++ == 0 || row->minute_s < rows->oldest_s)
		rows->oldest_s = row->minute_s;
	rows->of[row->result]++;
}

static struct rows rows_of(uint64_t account)
{
	struct rows rows = {0};

	ck_assert(auth_log_each(logins, account, &rows, add_row, &failure));
	return rows;
}

START_TEST(a_row_for_each_account_minute_and_result)
{
	const uint64_t now_s = FIRST * DAY_S;
	struct auth_log_counts counts;

	open_logins(30 * DAY_S, 1 << 20);
	tick(now_s);
	for (int i = 0; i < 100; i++) {
		auth_log_note(logins, IDENTITY_ACCOUNT, ACCOUNT, AUTH_LOG_RIGHT);
		auth_log_note(logins, IDENTITY_ACCOUNT, ACCOUNT, AUTH_LOG_WRONG);
		auth_log_note(logins, IDENTITY_ACCOUNT, 7, AUTH_LOG_RIGHT);
		auth_log_note(logins, IDENTITY_NOBODY, 0, AUTH_LOG_WRONG);
		tick(now_s + (uint64_t)i % 60);
	}
	ck_assert_uint_eq(rows_of(ACCOUNT).count, 2);
	ck_assert_uint_eq(rows_of(ACCOUNT).of[AUTH_LOG_WRONG], 1);
	ck_assert_uint_eq(rows_of(7).count, 1);
	auth_log_note(logins, IDENTITY_ACCOUNT, ACCOUNT, AUTH_LOG_RIGHT);
	tick(now_s + 60); /* still of the minute before */
	auth_log_note(logins, IDENTITY_ACCOUNT, ACCOUNT, AUTH_LOG_RIGHT);
	tick(now_s + 70);
	ck_assert_uint_eq(rows_of(ACCOUNT).count, 3);
	ck_assert_uint_eq(rows_of(ACCOUNT).oldest_s, now_s);
	auth_log_count(logins, &counts);
	ck_assert_uint_eq(counts.logins[IDENTITY_NOBODY][AUTH_LOG_WRONG], 100);
	ck_assert_uint_eq(counts.logins[IDENTITY_ACCOUNT][AUTH_LOG_RIGHT], 202);
	ck_assert_uint_eq(counts.lost, 0);
	close_logins();
	open_logins(30 * DAY_S, 1 << 20);
	ck_assert_uint_eq(rows_of(ACCOUNT).count, 3);
	close_logins();
}
END_TEST

/* At every step no row is older than it may be, whatever the limit is. */
START_TEST(no_row_outlives_its_limit)
{
	static const uint32_t expiries_s[] = {60, 90, 1200, 7200, 2 * DAY_S, 30 * DAY_S};
	uint64_t epochs[SLOT_COUNT];

	for (size_t i = 0; i < sizeof(expiries_s) / sizeof(expiries_s[0]); i++) {
		const uint32_t expiry_s = expiries_s[i];
		uint64_t now_s = (FIRST + 100 * (uint64_t)i) * DAY_S + 17;

		open_logins(expiry_s, 1 << 30);
		for (unsigned step = 0; step < 240; step++) {
			now_s += expiry_s / 40 + 1;
			tick(now_s);
			auth_log_note(logins, IDENTITY_ACCOUNT, ACCOUNT, AUTH_LOG_RIGHT);
			tick(now_s);
			struct rows rows = rows_of(ACCOUNT);

			ck_assert(rows.count == 0 || rows.oldest_s + expiry_s > now_s);
			ck_assert(step < 40 || expiry_s < 1200 || rows.count >= 9);
			ck_assert_uint_le(keyring_epochs(keyring, KEY_AUTH_DAY, epochs), 49);
		}
		close_logins();
	}
}
END_TEST

START_TEST(the_oldest_goes_when_there_are_too_many)
{
	const uint64_t max_rows = 512;
	uint64_t now_s = FIRST * DAY_S;
	struct auth_log_counts counts;

	open_logins(30 * DAY_S, max_rows * AUTH_LOG_ROW_BYTES);
	for (unsigned day = 0; day < 5; day++, now_s += DAY_S) {
		tick(now_s);
		for (uint64_t account = 1; account <= 200; account++)
			auth_log_note(logins, IDENTITY_ACCOUNT, account, AUTH_LOG_RIGHT);
		tick(now_s);
	}
	ck_assert_uint_eq(rows_of(1).count, 2);
	ck_assert_uint_eq(rows_of(1).oldest_s, (FIRST + 3) * DAY_S);
	/* A storm within one day: what does not fit is lost, and what is there stays. */
	for (uint64_t account = 1; account <= 2000; account++)
		auth_log_note(logins, IDENTITY_ACCOUNT, account << 8, AUTH_LOG_WRONG);
	tick(now_s);
	auth_log_count(logins, &counts);
	ck_assert_uint_gt(counts.lost, 0);
	ck_assert_uint_le(counts.lost, 2000);
	close_logins();
}
END_TEST

/* More accounts than the table of a minute holds: bounded, and told. */
START_TEST(a_storm_is_bounded)
{
	struct auth_log_counts counts;

	open_logins(30 * DAY_S, 1 << 30);
	tick(FIRST * DAY_S);
	for (uint64_t account = 1; account <= 100000; account++)
		auth_log_note(logins, IDENTITY_ACCOUNT, account * 0x9e3779b9u, AUTH_LOG_WRONG);
	auth_log_count(logins, &counts);
	ck_assert_uint_eq(counts.lost, 100000 - AUTH_LOG_PLACES / 2);
	/* Who has its row already loses none. */
	auth_log_note(logins, IDENTITY_ACCOUNT, 0x9e3779b9u, AUTH_LOG_WRONG);
	auth_log_count(logins, &counts);
	ck_assert_uint_eq(counts.lost, 100000 - AUTH_LOG_PLACES / 2);
	close_logins();
}
END_TEST

Suite *days_suite(void)
{
	Suite *suite = suite_create("days");
	TCase *tcase = tcase_create("days");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, each_day_is_released_once_and_kept_for_90_days);
	tcase_add_test(tcase, a_day_that_was_not_seen_whole_is_null);
	tcase_add_test(tcase, without_all_answers_a_day_is_null);
	tcase_add_test(tcase, a_long_absence_is_short_work);
	tcase_add_test(tcase, a_release_is_not_shown_after_its_time);
	tcase_add_test(tcase, a_row_for_each_account_minute_and_result);
	tcase_add_test(tcase, no_row_outlives_its_limit);
	tcase_add_test(tcase, the_oldest_goes_when_there_are_too_many);
	tcase_add_test(tcase, a_storm_is_bounded);
	return suite;
}
