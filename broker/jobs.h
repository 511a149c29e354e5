/*
 * jobs.h - what the broker does because of the time: keys that are destroyed, rows that
 * expire, the release of a day.
 *
 * A job is a pure function of time, which says when it is due, and a deed.  The table of
 * those that there are is in household_jobs.c.  The clock is brought by the caller: all
 * times of jobs are seconds by which data ages (ageing.h), so a clock that is set back keeps
 * nothing longer.
 *
 *   order       jobs that destroy come first.  jobs_await() keeps a worker from serving
 *               anybody while one of them is overdue: after SIGSTOP, or when the machine
 *               slept, keys past their time go before any other work is done.
 *   failure     said in the log, and tried again after JOB_RETRY_S.
 *   lateness    a job that is late by JOB_LATE_S is told to `late`, once until it has run.
 *   outcome     the worst of each class since it was last asked for: the audit log's.
 *
 * A job that waits for something gives JOB_AGAIN, and is called again after JOB_AGAIN_MS.
 *
 * Ownership: jobs_create() gives; names are literals, `self` is borrowed.
 * Thread: the main thread; jobs_each(), jobs_outcome() and jobs_await() any.
 */
#ifndef BROKER_JOBS_H
#define BROKER_JOBS_H

#include "broker/core/shard.h"
#include "storage/audit/event.h"

#define JOBS_MAX     16u
#define JOB_NEVER    UINT64_MAX
#define JOB_LATE_S   300u
#define JOB_RETRY_S  10u
#define JOB_AGAIN_MS 20u

enum job_result {
	JOB_DONE,
	JOB_FAILED, /* and why */
	JOB_AGAIN,  /* not finished */
};

struct job {
	const char *name;      /* a label of /metrics */
	enum audit_word class; /* AUDIT_WORD_CLASS_ */
	bool destroys;
	void *self;
	/* When it is to run, given when it ran last (0: not since the start); JOB_NEVER. */
	uint64_t (*due)(const void *self, uint64_t last_s);
	enum job_result (*run)(void *self, uint64_t now_s, struct failure *failure);
};

/* `due` of what happens at the start of each hour, and of each day; and at start. */
uint64_t job_each_hour(const void *self, uint64_t last_s);
uint64_t job_each_day(const void *self, uint64_t last_s);

struct job_state {
	const char *name;
	enum audit_word class;
	uint64_t last_s; /* when it ran last with success; 0: not yet */
	uint64_t due_s;
	uint64_t late_s; /* of the last run, or now while it is overdue */
	uint64_t runs, failures;
};

struct jobs_told {
	void *self;
	void (*late)(void *self, const char *name, uint64_t late_s);
	void (*failed)(void *self, const char *name, const struct failure *failure);
};

struct jobs;

struct jobs *jobs_create(const struct jobs_told *told, struct moment now);
void jobs_destroy(struct jobs *jobs); /* NULL is allowed */

void jobs_add(struct jobs *jobs, const struct job *job);

/* ageing_know() */
void jobs_know_time(struct jobs *jobs, uint64_t at_least_s);

/* The time by which data ages. */
uint64_t jobs_now_s(struct jobs *jobs, struct moment now);

/* Runs what is due. */
void jobs_run(struct jobs *jobs, struct moment now);

/* When to call jobs_run() again, in the milliseconds of struct moment. */
uint64_t jobs_next_ms(const struct jobs *jobs);

/*
 * Waits, for JOBS_PATIENCE_MS at most, while something that is to be destroyed is overdue by
 * JOBS_GRACE_MS.  True: time has passed.  jobs_end() lets everybody go: no job runs any more.
 */
#define JOBS_GRACE_MS	 2000u
#define JOBS_PATIENCE_MS 5000u
bool jobs_await(struct jobs *jobs, uint64_t now_ms);
void jobs_end(struct jobs *jobs);

void jobs_each(struct jobs *jobs, void *self,
	       void (*call)(void *self, const struct job_state *state));

/* AUDIT_WORD_OUTCOME_, of all jobs of the class since it was last asked for. */
enum audit_word jobs_outcome(struct jobs *jobs, enum audit_word class);

#endif
