/* test_jobs.c - what happens because of the time: ageing, and the jobs. */
#include "broker/ageing.h"
#include "broker/jobs.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

Suite *jobs_suite(void);

#define START_S 1800000000u
#define HOUR_S	3600u

static struct moment at(uint64_t ms, uint64_t wall_s)
{
	return (struct moment){.ms = ms, .wall_s = wall_s};
}

/* ---- the time by which data ages */

START_TEST(time_goes_as_fast_as_either_clock)
{
	struct ageing ageing;

	ageing_begin(&ageing, at(5000, START_S));
	ck_assert_uint_eq(ageing_now_s(&ageing, at(5999, START_S)), START_S);
	ck_assert_uint_eq(ageing_now_s(&ageing, at(6000, START_S)), START_S + 1);
	ck_assert_uint_eq(ageing_now_s(&ageing, at(6100, START_S + 60)), START_S + 60);
	/* Parts of a second are not lost, however often one looks. */
	ageing_begin(&ageing, at(0, START_S));
	for (uint64_t ms = 0; ms <= 10000; ms += 7)
		ageing_now_s(&ageing, at(ms, START_S));
	ck_assert_uint_eq(ageing_now_s(&ageing, at(10000, START_S)), START_S + 10);
}
END_TEST

START_TEST(a_clock_that_is_set_back_holds_nothing_up)
{
	struct ageing ageing;

	ageing_begin(&ageing, at(0, START_S));
	ck_assert_uint_eq(ageing_now_s(&ageing, at(1000, START_S - 86400)), START_S + 1);
	ck_assert_uint_eq(ageing_now_s(&ageing, at(3600000, START_S - 86400)), START_S + 3600);
	/* Nor a machine whose clock says 1970 at start, when a key says that it is later. */
	ageing_begin(&ageing, at(0, 5));
	ageing_know(&ageing, START_S);
	ageing_know(&ageing, START_S - 1);
	ck_assert_uint_eq(ageing_now_s(&ageing, at(2000, 7)), START_S + 2);
}
END_TEST

START_TEST(due_times_are_on_the_clock_that_counts_sleep)
{
	struct ageing ageing;

	ageing_begin(&ageing, at(10000, START_S));
	ck_assert_uint_eq(ageing_due_ms(&ageing, START_S + 5), 15000);
	ck_assert_uint_eq(ageing_due_ms(&ageing, START_S - 5), 10000);
	ck_assert_uint_eq(ageing_due_ms(&ageing, UINT64_MAX), UINT64_MAX);
	ageing_now_s(&ageing, at(10400, START_S));
	ck_assert_uint_eq(ageing_due_ms(&ageing, START_S + 5), 15000);
}
END_TEST

/* ---- jobs */

struct record {
	char order[64];
	size_t count;
	unsigned late, failed;
	uint64_t late_s;
};

struct one {
	struct record *record;
	char letter;
	enum job_result result;
	uint64_t due_s; /* 0: each hour */
};

static uint64_t due(const void *self, uint64_t last_s)
{
	const struct one *one = self;

	if (one->due_s == 0)
		return job_each_hour(NULL, last_s);
	return last_s >= one->due_s ? JOB_NEVER : one->due_s;
}

static enum job_result run(void *self, uint64_t now_s, struct failure *failure)
{
	struct one *one = self;

	(void)now_s;
	one->record->order[one->record->count++] = one->letter;
	failure_set(failure, "as the test wants");
	return one->result;
}

static void tell_late(void *self, const char *name, uint64_t late_s)
{
	struct record *record = self;

	ck_assert_str_eq(name, "one");
	record->late++;
	record->late_s = late_s;
}

static void tell_failed(void *self, const char *name, const struct failure *failure)
{
	struct record *record = self;

	ck_assert_str_eq(name, "one");
	ck_assert_str_eq(failure->text, "as the test wants");
	record->failed++;
}

static struct jobs *create(struct record *record, struct moment now)
{
	const struct jobs_told told = {.self = record, .late = tell_late, .failed = tell_failed};

	return jobs_create(&told, now);
}

static void add(struct jobs *jobs, struct one *one, bool destroys)
{
	const struct job job = {.name = "one",
				.class =
				    destroys ? AUDIT_WORD_CLASS_AUTH : AUDIT_WORD_CLASS_AGGREGATE,
				.destroys = destroys,
				.self = one,
				.due = due,
				.run = run};

	jobs_add(jobs, &job);
}

START_TEST(hours_and_days_begin_by_the_clock)
{
	ck_assert_uint_eq(job_each_hour(NULL, 0), 0);
	ck_assert_uint_eq(job_each_hour(NULL, 7199), 7200);
	ck_assert_uint_eq(job_each_hour(NULL, 7200), 10800);
	ck_assert_uint_eq(job_each_day(NULL, 86399), 86400);
	ck_assert_uint_eq(job_each_day(NULL, 86400), 172800);
}
END_TEST

START_TEST(destruction_comes_first)
{
	struct record record = {0};
	struct one a = {.record = &record, .letter = 'a'};
	struct one b = {.record = &record, .letter = 'b'};
	struct jobs *jobs = create(&record, at(0, START_S));

	add(jobs, &a, false);
	add(jobs, &b, true);
	jobs_run(jobs, at(0, START_S));
	ck_assert_str_eq(record.order, "ba");
	jobs_run(jobs, at(1000, START_S + 1));
	ck_assert_str_eq(record.order, "ba");
	ck_assert_uint_eq(record.late, 0);
	jobs_destroy(jobs);
}
END_TEST

START_TEST(each_hour_runs_at_the_hour_and_by_either_clock)
{
	const uint64_t hour_s = START_S - START_S % HOUR_S + HOUR_S;
	struct record record = {0};
	struct one a = {.record = &record, .letter = 'a'};
	struct jobs *jobs = create(&record, at(0, hour_s - 10));

	add(jobs, &a, true);
	jobs_run(jobs, at(0, hour_s - 10));
	ck_assert_uint_eq(jobs_next_ms(jobs), 10000);
	jobs_run(jobs, at(9999, hour_s - 1));
	ck_assert_uint_eq(record.count, 1);
	jobs_run(jobs, at(10000, hour_s));
	ck_assert_uint_eq(record.count, 2);
	/* The wall clock is set back by a day: the next hour comes all the same. */
	jobs_run(jobs, at(10000 + 3599999, hour_s - 82801));
	ck_assert_uint_eq(record.count, 2);
	jobs_run(jobs, at(10000 + 3600000, hour_s - 82800));
	ck_assert_uint_eq(record.count, 3);
	/* And forward by two hours. */
	jobs_run(jobs, at(10000 + 3600001, hour_s + 3 * HOUR_S));
	ck_assert_uint_eq(record.count, 4);
	jobs_destroy(jobs);
}
END_TEST

static struct job_state state_now;

static void keep_state(void *self, const struct job_state *state)
{
	(void)self;
	state_now = *state;
}

START_TEST(a_late_job_is_told_once)
{
	struct record record = {0};
	struct one a = {.record = &record, .letter = 'a', .due_s = START_S + 100};
	struct jobs *jobs = create(&record, at(0, START_S));

	add(jobs, &a, true);
	a.result = JOB_FAILED;
	jobs_run(jobs, at(100000, START_S + 100));
	ck_assert_uint_eq(record.failed, 1);
	ck_assert_uint_eq(record.late, 0);
	jobs_run(jobs, at(105000, START_S + 105)); /* not yet again */
	ck_assert_uint_eq(record.count, 1);
	ck_assert_uint_eq(jobs_outcome(jobs, AUDIT_WORD_CLASS_AUTH), AUDIT_WORD_OUTCOME_FAILED);
	ck_assert_uint_eq(jobs_outcome(jobs, AUDIT_WORD_CLASS_AUTH), AUDIT_WORD_OUTCOME_DONE);
	ck_assert_uint_eq(jobs_outcome(jobs, AUDIT_WORD_CLASS_ROUTE), AUDIT_WORD_OUTCOME_DONE);
	jobs_run(jobs, at(399000, START_S + 399));
	ck_assert_uint_eq(record.late, 0);
	jobs_run(jobs, at(400000, START_S + 400));
	ck_assert_uint_eq(record.late, 1);
	ck_assert_uint_eq(record.late_s, JOB_LATE_S);
	jobs_run(jobs, at(500000, START_S + 500));
	ck_assert_uint_eq(record.late, 1);
	a.result = JOB_DONE;
	jobs_run(jobs, at(600000, START_S + 600));
	jobs_each(jobs, NULL, keep_state);
	ck_assert_uint_eq(state_now.late_s, 500);
	ck_assert_uint_eq(state_now.last_s, START_S + 600);
	ck_assert_uint_eq(state_now.runs, 1);
	ck_assert_uint_eq(state_now.failures, record.failed);
	ck_assert_uint_eq(state_now.due_s, JOB_NEVER);
	jobs_destroy(jobs);
}
END_TEST

START_TEST(an_unfinished_job_goes_on_soon)
{
	struct record record = {0};
	struct one a = {.record = &record, .letter = 'a', .due_s = START_S, .result = JOB_AGAIN};
	struct jobs *jobs = create(&record, at(0, START_S));

	add(jobs, &a, false);
	jobs_run(jobs, at(0, START_S));
	ck_assert_uint_eq(jobs_next_ms(jobs), JOB_AGAIN_MS);
	jobs_run(jobs, at(JOB_AGAIN_MS - 1, START_S));
	ck_assert_uint_eq(record.count, 1);
	a.result = JOB_DONE;
	jobs_run(jobs, at(JOB_AGAIN_MS, START_S));
	ck_assert_uint_eq(record.count, 2);
	jobs_destroy(jobs);
}
END_TEST

struct waiter {
	struct jobs *jobs;
	uint64_t now_ms;
	const struct record *record;
	size_t runs; /* when it was let go */
};

static void *await(void *self)
{
	struct waiter *waiter = self;

	jobs_await(waiter->jobs, waiter->now_ms);
	waiter->runs = waiter->record->count;
	return NULL;
}

/* Nobody is served before what is overdue is destroyed; what is only due holds nobody up. */
START_TEST(workers_wait_for_destruction)
{
	struct record record = {0};
	struct one a = {.record = &record, .letter = 'a', .due_s = START_S + 10};
	struct jobs *jobs = create(&record, at(0, START_S));
	struct waiter waiter = {.jobs = jobs, .now_ms = 3600000, .record = &record};
	pthread_t thread;

	add(jobs, &a, true);
	jobs_run(jobs, at(0, START_S));
	ck_assert(!jobs_await(jobs, 9999));
	ck_assert(!jobs_await(jobs, 10000 + JOBS_GRACE_MS));
	ck_assert_int_eq(pthread_create(&thread, NULL, await, &waiter), 0);
	usleep(20000);
	jobs_run(jobs, at(3600000, START_S + 3600));
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(waiter.runs, 1);
	ck_assert(!jobs_await(jobs, 3600000));
	jobs_end(jobs);
	jobs_destroy(jobs);
}
END_TEST

Suite *jobs_suite(void)
{
	Suite *suite = suite_create("jobs");
	TCase *tcase = tcase_create("jobs");

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, time_goes_as_fast_as_either_clock);
	tcase_add_test(tcase, a_clock_that_is_set_back_holds_nothing_up);
	tcase_add_test(tcase, due_times_are_on_the_clock_that_counts_sleep);
	tcase_add_test(tcase, hours_and_days_begin_by_the_clock);
	tcase_add_test(tcase, destruction_comes_first);
	tcase_add_test(tcase, each_hour_runs_at_the_hour_and_by_either_clock);
	tcase_add_test(tcase, a_late_job_is_told_once);
	tcase_add_test(tcase, an_unfinished_job_goes_on_soon);
	tcase_add_test(tcase, workers_wait_for_destruction);
	return suite;
}
