/*
 * household_records.c - jobs about what is on the disk: releases of days are made and end, rows
 * of logins are written and end.
 */
#include "broker/household_internal.h"
#include "broker/log.h"
#include "storage/lmdb_store.h"

#define HOUR_S 3600u

/* ---- releases of days */

uint64_t household_release_due(const void *self, uint64_t last_s)
{
	const struct household *house = self;

	(void)last_s;
	return house->aggregate ? aggregate_release_due(house->aggregate) : JOB_NEVER;
}

enum job_result household_release_run(void *self, uint64_t now_s, struct failure *failure)
{
	const struct household *house = self;

	return aggregate_release_run(house->aggregate, now_s, failure);
}

uint64_t household_release_end_due(const void *self, uint64_t last_s)
{
	const struct household *house = self;

	(void)last_s;
	return house->aggregate ? aggregate_expiry_due(house->aggregate) : JOB_NEVER;
}

enum job_result household_release_end_run(void *self, uint64_t now_s, struct failure *failure)
{
	const struct household *house = self;

	return aggregate_expiry_run(house->aggregate, now_s, failure);
}

static struct tally_round *ask_workers(void *self)
{
	const struct household *house = self;
	struct tally_round *round = tally_round_create(house->worker_count);

	for (uint16_t i = 0; i < house->worker_count; i++) {
		struct command *command = command_create(COMMAND_TALLY, SLICE_NONE, SLICE_NONE);

		command->round = round;
		worker_tell(&house->workers[i], command);
	}
	return round;
}

/* ---- logins */

uint64_t household_logins_due(const void *self, uint64_t last_s)
{
	const struct household *house = self;

	return auth_log_write_due(house->auth_log, last_s);
}

enum job_result household_logins_run(void *self, uint64_t now_s, struct failure *failure)
{
	const struct household *house = self;

	return auth_log_write_run(house->auth_log, now_s, failure);
}

uint64_t household_logins_end_due(const void *self, uint64_t last_s)
{
	const struct household *house = self;

	(void)last_s;
	return auth_log_expiry_due(house->auth_log);
}

enum job_result household_logins_end_run(void *self, uint64_t now_s, struct failure *failure)
{
	const struct household *house = self;

	return auth_log_expiry_run(house->auth_log, now_s, failure);
}

/* ---- life */

static struct auth_log_limits limits_of(const struct config *config)
{
	return (struct auth_log_limits){config->auth_expiry_s, config->auth_max_bytes};
}

bool household_open_records(struct household *house, struct failure *failure)
{
	const struct aggregate_needs needs = {
	    .vault = house->vault, .keyring = house->keys, .self = house, .ask = ask_workers};
	const struct auth_log_limits limits = limits_of(house->config);

	house->auth_log = auth_log_open(house->vault, house->keys, &limits, failure);
	if (!house->auth_log)
		return false;
	if (house->vault)
		house->aggregate = aggregate_open(&needs, moment_now().wall_s, failure);
	if (house->aggregate)
		aggregate_set_expiry(house->aggregate, house->config->aggregate_expiry_s);
	return !house->vault || house->aggregate;
}

void household_set_lifetimes(struct household *house, const struct config *config)
{
	const struct auth_log_limits limits = limits_of(config);

	auth_log_set_limits(house->auth_log, &limits);
	if (house->aggregate)
		aggregate_set_expiry(house->aggregate, config->aggregate_expiry_s);
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What the keys know of the time: a clock that says less is wrong. */
uint64_t household_known_time_s(const struct household *house)
{
	uint64_t oldest_s;
	uint64_t logins_s;
	auth_log_span(house->auth_log, &oldest_s, &logins_s);
	const uint64_t days_s = house->aggregate ? aggregate_newest_s(house->aggregate) : 0;
	const uint64_t hours_s =
	    house->store ? lmdb_store_envelope_end_s(house->store) - HOUR_S : 0;

	return later(later(logins_s, days_s), hours_s);
}

/* The last seconds of logins: nobody logs in any more. */
void household_keep_last_logins(struct household *house)
{
	struct failure failure;

	if (house->vault &&
	    auth_log_write_run(house->auth_log, jobs_now_s(house->jobs, moment_now()), &failure) !=
		JOB_DONE)
		log_write(LOG_LEVEL_ERROR, "stop", "rows of the last logins are lost: %s",
			  failure.text);
}

void household_close_records(struct household *house)
{
	aggregate_close(house->aggregate);
	auth_log_close(house->auth_log);
}
