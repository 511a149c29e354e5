/* jobs.c - see jobs.h. */
#include "broker/jobs.h"
#include "broker/ageing.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define HOUR_S 3600u
#define DAY_S  86400u

/* The wall clock may be set at any time: it is looked at again after so long. */
#define LOOK_MS 30000u

struct entry {
	struct job job;
	uint64_t retry_s;	/* after a failure: not before */
	uint64_t again_ms;	/* after JOB_AGAIN: not before; 0: the run is over */
	bool told_late;		/* of this run */
	enum audit_word worst;	/* since it was last asked for; under the mutex */
	struct job_state state; /* likewise */
};

struct jobs {
	struct jobs_told told;
	struct ageing ageing;
	size_t count;
	struct entry entries[JOBS_MAX];
	uint64_t next_ms;
	pthread_mutex_t mutex;
	pthread_cond_t destroyed;
	/* By when the next destruction is to be done; changed under the mutex. */
	_Atomic uint64_t destruction_ms;
};

/* ---- when */

static uint64_t each(uint64_t period_s, uint64_t last_s)
{
	return last_s == 0 ? 0 : last_s - last_s % period_s + period_s;
}

uint64_t job_each_hour(const void *self, uint64_t last_s)
{
	(void)self;
	return each(HOUR_S, last_s);
}

uint64_t job_each_day(const void *self, uint64_t last_s)
{
	(void)self;
	return each(DAY_S, last_s);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* One that has not run since the start, and says nothing better, is due now. */
static uint64_t due_of(const struct entry *entry, uint64_t now_s)
{
	const uint64_t due_s = entry->job.due(entry->job.self, entry->state.last_s);

	return due_s == 0 ? now_s : due_s;
}

static uint64_t next_ms_of(const struct jobs *jobs, const struct entry *entry)
{
	const uint64_t due_s = entry->state.due_s;

	if (entry->again_ms > 0)
		return entry->again_ms;
	if (due_s == JOB_NEVER)
		return UINT64_MAX;
	return ageing_due_ms(&jobs->ageing, due_s > entry->retry_s ? due_s : entry->retry_s);
}

/* ---- running */

static void worsen(struct entry *entry, enum audit_word outcome)
{
	if (entry->worst == AUDIT_WORD_OUTCOME_DONE || outcome == AUDIT_WORD_OUTCOME_FAILED)
		entry->worst = outcome;
}

/* Before a run, and while there is none. */
static void note_lateness(struct jobs *jobs, struct entry *entry, uint64_t now_s)
{
	const uint64_t due_s = entry->state.due_s;
	const uint64_t late_s = now_s > due_s ? now_s - due_s : 0;

	pthread_mutex_lock(&jobs->mutex);
	entry->state.late_s = late_s;
	if (late_s >= JOB_LATE_S)
		worsen(entry, AUDIT_WORD_OUTCOME_LATE);
	pthread_mutex_unlock(&jobs->mutex);
	if (late_s < JOB_LATE_S || entry->told_late)
		return;
	entry->told_late = true;
	jobs->told.late(jobs->told.self, entry->job.name, late_s);
}

static void note_done(struct jobs *jobs, struct entry *entry, uint64_t now_s)
{
	entry->retry_s = 0;
	entry->told_late = false;
	pthread_mutex_lock(&jobs->mutex);
	entry->state.runs++;
	entry->state.last_s = now_s;
	pthread_mutex_unlock(&jobs->mutex);
}

static void note_failure(struct jobs *jobs, struct entry *entry, uint64_t now_s,
			 const struct failure *failure)
{
	entry->retry_s = now_s + JOB_RETRY_S;
	pthread_mutex_lock(&jobs->mutex);
	entry->state.failures++;
	worsen(entry, AUDIT_WORD_OUTCOME_FAILED);
	pthread_mutex_unlock(&jobs->mutex);
	jobs->told.failed(jobs->told.self, entry->job.name, failure);
}

static void run_one(struct jobs *jobs, struct entry *entry, struct moment now)
{
	struct failure failure;
	const uint64_t now_s = jobs->ageing.now_s;

	note_lateness(jobs, entry, now_s);
	entry->again_ms = 0;
	switch (entry->job.run(entry->job.self, now_s, &failure)) {
	case JOB_DONE:
		note_done(jobs, entry, now_s);
		break;
	case JOB_FAILED:
		note_failure(jobs, entry, now_s, &failure);
		break;
	case JOB_AGAIN:
		entry->again_ms = now.ms + JOB_AGAIN_MS;
		break;
	}
}

static void look_at_due(struct jobs *jobs, struct entry *entry)
{
	const uint64_t due_s = due_of(entry, jobs->ageing.now_s);

	pthread_mutex_lock(&jobs->mutex);
	entry->state.due_s = due_s;
	pthread_mutex_unlock(&jobs->mutex);
}

static void run_those(struct jobs *jobs, struct moment now, bool destroy)
{
	for (size_t i = 0; i < jobs->count; i++) {
		struct entry *entry = &jobs->entries[i];

		if (entry->job.destroys != destroy)
			continue;
		look_at_due(jobs, entry);
		if (next_ms_of(jobs, entry) <= now.ms)
			run_one(jobs, entry, now);
		else if (entry->state.due_s <= jobs->ageing.now_s)
			note_lateness(jobs, entry, jobs->ageing.now_s);
		look_at_due(jobs, entry);
	}
}

/* Whoever waits for destructions looks again. */
static void plan(struct jobs *jobs, struct moment now)
{
	uint64_t destruction_ms = UINT64_MAX;

	jobs->next_ms = now.ms + LOOK_MS;
	for (size_t i = 0; i < jobs->count; i++) {
		const struct entry *entry = &jobs->entries[i];
		const uint64_t next_ms = next_ms_of(jobs, entry);

		jobs->next_ms = earlier(jobs->next_ms, next_ms);
		if (entry->job.destroys)
			destruction_ms = earlier(destruction_ms, next_ms);
	}
	pthread_mutex_lock(&jobs->mutex);
	atomic_store(&jobs->destruction_ms, destruction_ms);
	pthread_cond_broadcast(&jobs->destroyed);
	pthread_mutex_unlock(&jobs->mutex);
}

void jobs_run(struct jobs *jobs, struct moment now)
{
	ageing_now_s(&jobs->ageing, now);
	run_those(jobs, now, true);
	run_those(jobs, now, false);
	plan(jobs, now);
}

uint64_t jobs_next_ms(const struct jobs *jobs)
{
	return jobs->next_ms;
}

/* ---- those who wait */

static bool is_overdue(const struct jobs *jobs, uint64_t now_ms)
{
	const uint64_t due_ms = atomic_load_explicit(&jobs->destruction_ms, memory_order_acquire);

	return now_ms > due_ms && now_ms - due_ms > JOBS_GRACE_MS;
}

bool jobs_await(struct jobs *jobs, uint64_t now_ms)
{
	struct timespec until;
	int error = 0;

	if (!is_overdue(jobs, now_ms))
		return false;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += JOBS_PATIENCE_MS / 1000;
	pthread_mutex_lock(&jobs->mutex);
	while (error == 0 && is_overdue(jobs, now_ms))
		error = pthread_cond_timedwait(&jobs->destroyed, &jobs->mutex, &until);
	pthread_mutex_unlock(&jobs->mutex);
	return true;
}

void jobs_end(struct jobs *jobs)
{
	pthread_mutex_lock(&jobs->mutex);
	atomic_store(&jobs->destruction_ms, UINT64_MAX);
	pthread_cond_broadcast(&jobs->destroyed);
	pthread_mutex_unlock(&jobs->mutex);
}

/* ---- those who ask */

void jobs_each(struct jobs *jobs, void *self,
	       void (*call)(void *self, const struct job_state *state))
{
	for (size_t i = 0; i < jobs->count; i++) {
		pthread_mutex_lock(&jobs->mutex);
		const struct job_state state = jobs->entries[i].state;

		pthread_mutex_unlock(&jobs->mutex);
		call(self, &state);
	}
}

enum audit_word jobs_outcome(struct jobs *jobs, enum audit_word class)
{
	enum audit_word worst = AUDIT_WORD_OUTCOME_DONE;

	pthread_mutex_lock(&jobs->mutex);
	for (size_t i = 0; i < jobs->count; i++) {
		struct entry *entry = &jobs->entries[i];

		if (entry->job.class != class)
			continue;
		if (worst == AUDIT_WORD_OUTCOME_DONE || entry->worst == AUDIT_WORD_OUTCOME_FAILED)
			worst = entry->worst;
		entry->worst = AUDIT_WORD_OUTCOME_DONE;
	}
	pthread_mutex_unlock(&jobs->mutex);
	return worst;
}

/* ---- life */

struct jobs *jobs_create(const struct jobs_told *told, struct moment now)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));
	pthread_condattr_t monotonic;

	must(jobs && pthread_mutex_init(&jobs->mutex, NULL) == 0);
	must(pthread_condattr_init(&monotonic) == 0);
	must(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
	must(pthread_cond_init(&jobs->destroyed, &monotonic) == 0);
	pthread_condattr_destroy(&monotonic);
	jobs->told = *told;
	ageing_begin(&jobs->ageing, now);
	atomic_init(&jobs->destruction_ms, UINT64_MAX);
	return jobs;
}

void jobs_destroy(struct jobs *jobs)
{
	if (!jobs)
		return;
	pthread_cond_destroy(&jobs->destroyed);
	pthread_mutex_destroy(&jobs->mutex);
	free(jobs);
}

void jobs_add(struct jobs *jobs, const struct job *job)
{
	must(jobs->count < JOBS_MAX);
	jobs->entries[jobs->count++] =
	    (struct entry){.job = *job,
			   .worst = AUDIT_WORD_OUTCOME_DONE,
			   .state = {.name = job->name, .class = job->class}};
}

void jobs_know_time(struct jobs *jobs, uint64_t at_least_s)
{
	ageing_know(&jobs->ageing, at_least_s);
}

uint64_t jobs_now_s(struct jobs *jobs, struct moment now)
{
	return ageing_now_s(&jobs->ageing, now);
}
