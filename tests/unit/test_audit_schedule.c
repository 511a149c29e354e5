/* Keys that end in time, late, never; and whose lateness has an excuse. */
#include "storage/audit/schedule.h"

#include <check.h>
#include <stdio.h>

Suite *audit_schedule_suite(void);

#define HOUR  3600u
#define BEGIN 490000u /* hours since 1970 */

static char told[1024];

static void tell(void *self, const char *sentence)
{
	(void)self;
	strncat(told, sentence, sizeof(told) - strlen(told) - 1);
}

static uint64_t next_index;

static void add(struct schedule *schedule, struct audit_event event, uint64_t hour)
{
	event.index = next_index++;
	event.time_s = hour * HOUR;
	schedule_add(schedule, &event);
}

static void add_key(struct schedule *schedule, bool gone, enum audit_word class, uint64_t epoch,
		    uint64_t hour)
{
	struct audit_event event = {.type = gone ? AUDIT_KEY_GONE : AUDIT_KEY_NEW};

	event.values[gone ? AUDIT_FIELD_KEY_GONE_CLASS : AUDIT_FIELD_KEY_NEW_CLASS] = class;
	event.values[gone ? AUDIT_FIELD_KEY_GONE_EPOCH : AUDIT_FIELD_KEY_NEW_EPOCH] = epoch;
	add(schedule, event, hour);
}

static void add_hour(struct schedule *schedule, uint64_t hour)
{
	add(schedule, (struct audit_event){.type = AUDIT_RECEIPTS}, hour);
}

static struct schedule *begin(void)
{
	struct schedule *schedule = schedule_create(tell, NULL);

	told[0] = '\0';
	next_index = 0;
	add(schedule, (struct audit_event){.type = AUDIT_START}, BEGIN);
	add_hour(schedule, BEGIN);
	return schedule;
}

/* Twelve hours of a broker; the key of hour `missing` is destroyed at hour `at`, if at all. */
static struct schedule_result run(uint64_t missing, uint64_t at)
{
	struct schedule *schedule = begin();

	add_key(schedule, false, AUDIT_WORD_CLASS_ENVELOPE, BEGIN, BEGIN);
	add_key(schedule, false, AUDIT_WORD_CLASS_TOKEN, 0, BEGIN);
	for (uint64_t hour = BEGIN + 1; hour < BEGIN + 12; hour++) {
		add_key(schedule, false, AUDIT_WORD_CLASS_ENVELOPE, hour, hour);
		if (hour - 1 != missing)
			add_key(schedule, true, AUDIT_WORD_CLASS_ENVELOPE, hour - 1, hour);
		if (hour == at)
			add_key(schedule, true, AUDIT_WORD_CLASS_ENVELOPE, missing, hour);
		add_hour(schedule, hour);
	}
	return schedule_destroy(schedule);
}

START_TEST(in_time)
{
	const struct schedule_result result = run(0, 0);

	ck_assert_uint_eq(result.made, 12);
	ck_assert_uint_eq(result.in_time, 11);
	ck_assert_uint_eq(result.living, 1);
	ck_assert_uint_eq(result.late + result.unknown + result.excused + result.hours_missing, 0);
	ck_assert_str_eq(told, "");
}
END_TEST

START_TEST(late)
{
	const struct schedule_result result = run(BEGIN + 3, BEGIN + 6);

	ck_assert_uint_eq(result.late, 1);
	ck_assert_uint_eq(result.in_time, 10);
	ck_assert_ptr_nonnull(strstr(told, "epoch 490003"));
	ck_assert_ptr_nonnull(strstr(told, "was destroyed 2 hours late"));
}
END_TEST

START_TEST(never)
{
	const struct schedule_result result = run(BEGIN + 3, 0);

	ck_assert_uint_eq(result.late, 1);
	ck_assert_ptr_nonnull(strstr(told, "is not destroyed yet"));
}
END_TEST

START_TEST(never_made)
{
	struct schedule *schedule = begin();

	add_key(schedule, true, AUDIT_WORD_CLASS_ROOT, BEGIN, BEGIN + 1);
	ck_assert_uint_eq(schedule_destroy(schedule).unknown, 1);
	ck_assert_ptr_nonnull(strstr(told, "entry 2: "));
}
END_TEST

/* The broker was off; at its start it destroys the key before anything else. */
START_TEST(excused)
{
	struct schedule *schedule = begin();

	add_key(schedule, false, AUDIT_WORD_CLASS_ENVELOPE, BEGIN, BEGIN);
	add(schedule, (struct audit_event){.type = AUDIT_STOP}, BEGIN);
	add(schedule, (struct audit_event){.type = AUDIT_START}, BEGIN + 50);
	add_hour(schedule, BEGIN + 50);
	add_key(schedule, true, AUDIT_WORD_CLASS_ENVELOPE, BEGIN, BEGIN + 50);
	const struct schedule_result result = schedule_destroy(schedule);

	ck_assert_uint_eq(result.excused, 1);
	ck_assert_uint_eq(result.late + result.hours_missing, 0);
}
END_TEST

/* It was started anew, and kept the key all the same. */
START_TEST(no_excuse)
{
	struct schedule *schedule = begin();

	add_key(schedule, false, AUDIT_WORD_CLASS_ENVELOPE, BEGIN, BEGIN);
	add(schedule, (struct audit_event){.type = AUDIT_START}, BEGIN + 50);
	add_hour(schedule, BEGIN + 50);
	add_hour(schedule, BEGIN + 51);
	add_key(schedule, true, AUDIT_WORD_CLASS_ENVELOPE, BEGIN, BEGIN + 51);
	ck_assert_uint_eq(schedule_destroy(schedule).late, 1);
}
END_TEST

START_TEST(days)
{
	const uint64_t day = BEGIN / 24;

	for (unsigned more = 0; more < 2; more++) {
		struct schedule *schedule = begin();

		add_key(schedule, false, AUDIT_WORD_CLASS_AUTH, day, BEGIN);
		for (uint64_t hour = BEGIN + 1; hour <= (day + 31) * 24 + more; hour++)
			add_hour(schedule, hour);
		add_key(schedule, true, AUDIT_WORD_CLASS_AUTH, day, (day + 31) * 24 + more);
		const struct schedule_result result = schedule_destroy(schedule);

		ck_assert_uint_eq(result.late, more);
		ck_assert_uint_eq(result.in_time, 1 - more);
		ck_assert_uint_eq(result.hours_missing, 0);
	}
}
END_TEST

START_TEST(missing_hours)
{
	struct schedule *schedule = begin();

	add_hour(schedule, BEGIN + 1);
	add_hour(schedule, BEGIN + 5);
	ck_assert_uint_eq(schedule_destroy(schedule).hours_missing, 3);
}
END_TEST

Suite *audit_schedule_suite(void)
{
	Suite *suite = suite_create("audit_schedule");
	TCase *keys = tcase_create("keys");

	tcase_add_test(keys, in_time);
	tcase_add_test(keys, late);
	tcase_add_test(keys, never);
	tcase_add_test(keys, never_made);
	tcase_add_test(keys, excused);
	tcase_add_test(keys, no_excuse);
	tcase_add_test(keys, days);
	tcase_add_test(keys, missing_hours);
	suite_add_tcase(suite, keys);
	return suite;
}
