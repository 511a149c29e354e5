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

/* ---- where the configuration says how long */

#define DAY (24 * HOUR)

static void add_config(struct schedule *schedule, uint64_t auth_s, uint64_t aggregate_s,
		       uint64_t hour)
{
	struct audit_event event = {.type = AUDIT_CONFIG};

	event.values[AUDIT_FIELD_CONFIG_AUTH_EXPIRY] = auth_s;
	event.values[AUDIT_FIELD_CONFIG_AGGREGATE_EXPIRY] = aggregate_s;
	add(schedule, event, hour);
}

/* From one hour to before another, with nothing but what each hour has. */
static void add_hours(struct schedule *schedule, uint64_t from, uint64_t to)
{
	while (from < to)
		add_hour(schedule, from++);
}

/* A key that is made in the first hour, and destroyed in this one, if any. */
static struct schedule_result live(enum audit_word class, uint64_t epoch, uint64_t auth_s,
				   uint64_t gone)
{
	struct schedule *schedule = begin();

	if (auth_s > 0)
		add_config(schedule, auth_s, 90 * DAY, BEGIN);
	add_key(schedule, false, class, epoch, BEGIN + 1);
	add_hours(schedule, BEGIN + 1, gone);
	add_key(schedule, true, class, epoch, gone);
	add_hour(schedule, gone);
	const struct schedule_result result = schedule_destroy(schedule);

	ck_assert_uint_eq(result.made, 1);
	ck_assert_uint_eq(result.in_time + result.late, 1);
	ck_assert_uint_eq(result.hours_missing, 0);
	return result;
}

#define DAY_0	 (BEGIN / 24)
#define MINUTE_0 (BEGIN * 60)

/* The last hour in which the entries of a broker that is in time have the key.gone. */
static const struct {
	enum audit_word class;
	uint64_t epoch, auth_s, last;
} lives[] = {
    {AUDIT_WORD_CLASS_AUTH, DAY_0, 0, (DAY_0 + 30) * 24},
    {AUDIT_WORD_CLASS_AUTH, DAY_0, 30 * DAY, (DAY_0 + 30) * 24},
    {AUDIT_WORD_CLASS_AUTH, DAY_0, 60 * DAY, (DAY_0 + 30) * 24}, /* more than was promised */
    {AUDIT_WORD_CLASS_AUTH, DAY_0, 2 * DAY, (DAY_0 + 2) * 24},
    {AUDIT_WORD_CLASS_AUTH, DAY_0, 2 * DAY + 1, (DAY_0 + 2) * 24 + 1},
    {AUDIT_WORD_CLASS_AUTH, MINUTE_0, DAY, BEGIN + 24},
    {AUDIT_WORD_CLASS_AUTH, MINUTE_0 + 10, 4 * HOUR, BEGIN + 5},
    {AUDIT_WORD_CLASS_AUTH, MINUTE_0 + 59, 60, BEGIN + 1},
    {AUDIT_WORD_CLASS_AUTH, MINUTE_0 + 60, 60, BEGIN + 2},
    {AUDIT_WORD_CLASS_AGGREGATE, DAY_0, 2 * DAY, (DAY_0 + 91) * 24},
    {AUDIT_WORD_CLASS_ENVELOPE, BEGIN + 1, 0, BEGIN + 2},
    {AUDIT_WORD_CLASS_ENVELOPE, BEGIN + 9, 0, BEGIN + 2}, /* of a clock that was set back */
};

START_TEST(lives_end)
{
	const enum audit_word class = lives[_i].class;

	ck_assert_uint_eq(live(class, lives[_i].epoch, lives[_i].auth_s, lives[_i].last).in_time,
			  1);
	ck_assert_str_eq(told, "");
	ck_assert_uint_eq(live(class, lives[_i].epoch, lives[_i].auth_s, lives[_i].last + 1).late,
			  1);
	ck_assert_msg(strstr(told, "was destroyed 1 hours late"), "%s", told);
}
END_TEST

/* Keys of ten minutes for an hour, of which one is forgotten. */
START_TEST(minutes_missing)
{
	struct schedule *schedule = begin();
	struct schedule_result result;

	add_config(schedule, 1200, 90 * DAY, BEGIN);
	for (uint64_t minute = 0; minute < 60; minute += 10)
		add_key(schedule, false, AUDIT_WORD_CLASS_AUTH, MINUTE_0 + minute, BEGIN + 1);
	for (uint64_t minute = 0; minute < 60; minute += 10)
		if (minute != 20)
			add_key(schedule, true, AUDIT_WORD_CLASS_AUTH, MINUTE_0 + minute,
				minute < 50 ? BEGIN + 1 : BEGIN + 2);
	add_hours(schedule, BEGIN + 1, BEGIN + 4);
	result = schedule_destroy(schedule);
	ck_assert_uint_eq(result.in_time, 5);
	ck_assert_uint_eq(result.late, 1);
	ck_assert_msg(strstr(told, "epoch 29400020") && strstr(told, "is not destroyed yet"), "%s",
		      told);
}
END_TEST

/* An expiry that became shorter: what is over by that has the hours until the next entries. */
START_TEST(shorter)
{
	for (unsigned more = 0; more < 2; more++) {
		struct schedule *schedule = begin();

		add_config(schedule, 30 * DAY, 90 * DAY, BEGIN);
		add_key(schedule, false, AUDIT_WORD_CLASS_AUTH, DAY_0, BEGIN);
		add_hours(schedule, BEGIN + 1, BEGIN + 240);
		add_hour(schedule, BEGIN + 240);
		add_config(schedule, 2 * DAY, 90 * DAY, BEGIN + 240);
		add_hours(schedule, BEGIN + 241, BEGIN + 241 + more);
		add_key(schedule, true, AUDIT_WORD_CLASS_AUTH, DAY_0, BEGIN + 241 + more);
		const struct schedule_result result = schedule_destroy(schedule);

		ck_assert_uint_eq(result.late, more);
		ck_assert_uint_eq(result.in_time, 1 - more);
	}
}
END_TEST

/* One that became longer gives to what lives still; it makes nothing good that was late. */
START_TEST(longer)
{
	for (uint64_t day = 1; day < 4; day += 2) {
		struct schedule *schedule = begin();

		add_config(schedule, 2 * DAY, 90 * DAY, BEGIN);
		add_key(schedule, false, AUDIT_WORD_CLASS_AUTH, DAY_0, BEGIN);
		add_hours(schedule, BEGIN + 1, (DAY_0 + day) * 24);
		add_config(schedule, 30 * DAY, 90 * DAY, (DAY_0 + day) * 24);
		add_hours(schedule, (DAY_0 + day) * 24, (DAY_0 + 9) * 24);
		add_key(schedule, true, AUDIT_WORD_CLASS_AUTH, DAY_0, (DAY_0 + 9) * 24);
		const struct schedule_result result = schedule_destroy(schedule);

		ck_assert_uint_eq(result.in_time, day == 1);
		ck_assert_uint_eq(result.late, day == 3);
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

static void add_type(struct schedule *schedule, enum audit_event_type type, uint64_t hour)
{
	add(schedule, (struct audit_event){.type = type}, hour);
}

/* Who takes the receipts out, by which hours are known, hides no key that is late. */
START_TEST(receipts_taken_out)
{
	struct schedule *schedule = schedule_create(tell, NULL);

	told[0] = '\0';
	next_index = 0;
	add_type(schedule, AUDIT_START, BEGIN);
	add_key(schedule, false, AUDIT_WORD_CLASS_ENVELOPE, BEGIN, BEGIN);
	for (uint64_t hour = BEGIN + 1; hour < BEGIN + 6; hour++)
		add_type(schedule, AUDIT_JOB, hour);
	const struct schedule_result result = schedule_destroy(schedule);

	ck_assert_uint_eq(result.hours_changed, 6);
	ck_assert_uint_eq(result.late, 1);
	ck_assert_ptr_nonnull(
	    strstr(told, "the hour of entry 0 has entries and none of its receipts"));
	ck_assert_ptr_nonnull(strstr(told, "is not destroyed yet, and is 4 hours late"));
}
END_TEST

/* An hour of whatever a broker did that went on after it; the last one may still get them. */
START_TEST(an_hour_of_use)
{
	static const enum audit_event_type types[] = {AUDIT_ADMIN, AUDIT_JOB};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct schedule *schedule = begin();

		add_type(schedule, types[i], BEGIN + 1);
		add_hour(schedule, BEGIN + 2);
		add_type(schedule, AUDIT_ADMIN, BEGIN + 3);
		const struct schedule_result result = schedule_destroy(schedule);

		ck_assert_uint_eq(result.hours_changed, 1);
		ck_assert_uint_eq(result.hours_missing, 1);
	}
}
END_TEST

/* It was killed or stopped before the time of the hourly entries; or they could not be written, and
 * what waited came later. */
START_TEST(hours_that_end_early)
{
	struct schedule *schedule = begin();

	add_type(schedule, AUDIT_ADMIN, BEGIN + 1);
	add_type(schedule, AUDIT_VERSION, BEGIN + 2);
	add_type(schedule, AUDIT_CONFIG, BEGIN + 2);
	add_type(schedule, AUDIT_START, BEGIN + 2);
	add_hour(schedule, BEGIN + 2);
	add_type(schedule, AUDIT_ALERT, BEGIN + 3);
	add_key(schedule, false, AUDIT_WORD_CLASS_ENVELOPE, BEGIN + 3, BEGIN + 3);
	add_type(schedule, AUDIT_JOB, BEGIN + 4);
	add_hour(schedule, BEGIN + 4);
	add_type(schedule, AUDIT_ADMIN, BEGIN + 5);
	add_type(schedule, AUDIT_STOP, BEGIN + 5);
	add_type(schedule, AUDIT_CONFIG, BEGIN + 6);
	add_type(schedule, AUDIT_START, BEGIN + 7);
	add_hour(schedule, BEGIN + 7);
	ck_assert_uint_eq(schedule_destroy(schedule).hours_changed, 0);
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
	tcase_add_loop_test(keys, lives_end, 0, sizeof(lives) / sizeof(lives[0]));
	tcase_add_test(keys, minutes_missing);
	tcase_add_test(keys, shorter);
	tcase_add_test(keys, longer);
	tcase_add_test(keys, missing_hours);
	tcase_add_test(keys, receipts_taken_out);
	tcase_add_test(keys, an_hour_of_use);
	tcase_add_test(keys, hours_that_end_early);
	suite_add_tcase(suite, keys);
	return suite;
}
