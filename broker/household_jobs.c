/*
 * household_jobs.c - the table of jobs (jobs.h): what the broker does because of the time.
 *
 * A part that has something to do by the clock adds a line: when, which class of data it is
 * about, and whether it destroys something, which then goes before everything else.
 */
#include "broker/household_internal.h"
#include "broker/log.h"
#include "storage/lmdb_store.h"
#include <inttypes.h>

/* ---- guard: what is known of addresses that failed to log in */

#define GUARD_PERIOD_S 600u

static uint64_t guard_due(const void *self, uint64_t last_s)
{
	(void)self;
	return last_s == 0 ? 0 : last_s + GUARD_PERIOD_S;
}

static enum job_result guard_run(void *self, uint64_t now_s, struct failure *failure)
{
	const struct household *house = self;

	(void)now_s;
	(void)failure;
	if (house->door)
		door_forget(house->door, moment_now().ms);
	return JOB_DONE;
}

/* ---- root, ended, envelope: keys that go (storage/vault.h, storage/lmdb_store.h) */

#define ENDED_PERIOD_S 30u /* the key of what ended outlives it by a minute at most */

static uint64_t root_due(const void *self, uint64_t last_s)
{
	const struct household *house = self;

	return house->vault ? job_each_hour(self, last_s) : JOB_NEVER;
}

static enum job_result root_run(void *self, uint64_t now_s, struct failure *failure)
{
	const struct household *house = self;

	(void)now_s;
	return vault_turn_root(house->vault, failure) ? JOB_DONE : JOB_FAILED;
}

static uint64_t ended_due(const void *self, uint64_t last_s)
{
	const struct household *house = self;

	if (house->vault == NULL)
		return JOB_NEVER;
	return last_s == 0 ? 0 : last_s + ENDED_PERIOD_S;
}

static enum job_result ended_run(void *self, uint64_t now_s, struct failure *failure)
{
	const struct household *house = self;

	if (!vault_turn_is_due(house->vault))
		return JOB_DONE;
	return root_run(self, now_s, failure);
}

static uint64_t envelope_due(const void *self, uint64_t last_s)
{
	const struct household *house = self;

	(void)last_s;
	return house->store ? lmdb_store_envelope_due_s(house->store) : JOB_NEVER;
}

static enum job_result envelope_run(void *self, uint64_t now_s, struct failure *failure)
{
	const struct household *house = self;

	const bool done = now_s < lmdb_store_envelope_end_s(house->store)
			      ? lmdb_store_destroy_old_envelopes(house->store, failure)
			      : lmdb_store_renew_envelopes(house->store, now_s, failure);

	return done ? JOB_DONE : JOB_FAILED;
}

/* ---- the table */

static const struct job table[] = {
    {"root", AUDIT_WORD_CLASS_ROOT, true, NULL, root_due, root_run},
    {"ended", AUDIT_WORD_CLASS_SESSION, true, NULL, ended_due, ended_run},
    {"envelope", AUDIT_WORD_CLASS_ENVELOPE, true, NULL, envelope_due, envelope_run},
    {"route", AUDIT_WORD_CLASS_ROUTE, true, NULL, household_routes_due, household_routes_run},
    {"guard", AUDIT_WORD_CLASS_GUARD, true, NULL, guard_due, guard_run},
    {"aggregate_expiry", AUDIT_WORD_CLASS_AGGREGATE, true, NULL, household_release_end_due,
     household_release_end_run},
    {"aggregate", AUDIT_WORD_CLASS_AGGREGATE, false, NULL, household_release_due,
     household_release_run},
    {"auth_expiry", AUDIT_WORD_CLASS_AUTH, true, NULL, household_logins_end_due,
     household_logins_end_run},
    {"auth", AUDIT_WORD_CLASS_AUTH, false, NULL, household_logins_due, household_logins_run},
};

static void tell_late(void *self, const char *name, uint64_t late_s)
{
	const struct household *house = self;

	audit_alert(house->audit, AUDIT_WORD_ALERT_JOB_LATE);
	log_write(LOG_LEVEL_ERROR, "jobs", "the job \"%s\" is late by %" PRIu64 " minutes", name,
		  late_s / 60);
}

static void tell_failed(void *self, const char *name, const struct failure *failure)
{
	(void)self;
	log_write(LOG_LEVEL_ERROR, "jobs", "the job \"%s\" failed, and is tried again: %s", name,
		  failure->text);
}

/* ---- for the audit log */

static bool was_before(size_t number)
{
	for (size_t i = 0; i < number; i++)
		if (table[i].class == table[number].class)
			return true;
	return false;
}

/* Each class once, in the order of the table. */
static size_t list_outcomes(void *self, struct audit_job jobs[AUDIT_JOBS_MAX])
{
	const struct household *house = self;
	size_t count = 0;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (was_before(i))
			continue;
		must(count < AUDIT_JOBS_MAX);
		jobs[count++] =
		    (struct audit_job){table[i].class, jobs_outcome(house->jobs, table[i].class)};
	}
	return count;
}

void household_begin_jobs(struct household *house)
{
	const struct jobs_told told = {.self = house, .late = tell_late, .failed = tell_failed};

	house->jobs = jobs_create(&told, moment_now());
	jobs_know_time(house->jobs, household_known_time_s(house));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct job job = table[i];

		job.self = house;
		jobs_add(house->jobs, &job);
	}
	audit_ask_jobs(house->audit, &(struct audit_jobs){house, list_outcomes});
}

static void add_state(void *self, const struct job_state *state)
{
	struct metrics *metrics = self;

	metrics->jobs[metrics->job_count++] = *state;
}

void household_count_jobs(const struct household *house, struct metrics *metrics)
{
	metrics->job_count = 0;
	if (house->jobs)
		jobs_each(house->jobs, metrics, add_state);
}
