/*
 * schedule.h - did every key end in time?  From the entries of the log alone.
 *
 * A key of a class that ends (schedule.c has the table) must have its key.gone in the hourly
 * entries that follow the end of its time, at the latest: the life of its class after the start of
 * its epoch, which is an hour, a day, or a minute.  Where the configuration says how long a class
 * is kept, that of the last `config` entry counts, from the entries after it on.  A broker that did
 * not run then is late and excused: between the end of the time and the key.gone there are no
 * hourly entries.  The last of these are the receipts; an hour that has entries of jobs, or that a
 * broker went through which wrote something else in it, and has none, is a complaint.
 *
 * Ownership: schedule_create() gives, schedule_destroy() takes.
 * Thread: any, one at a time.
 */
#ifndef STORAGE_AUDIT_SCHEDULE_H
#define STORAGE_AUDIT_SCHEDULE_H

#include "storage/audit/event.h"

struct schedule;

struct schedule_result {
	uint64_t made;	  /* keys that end */
	uint64_t in_time; /* destroyed in time */
	uint64_t excused; /* late, while the broker did not run */
	uint64_t living;  /* whose time is not over, as far as the log goes */
	uint64_t late;	  /* destroyed late, or not at all: complaints */
	uint64_t unknown; /* destroyed, and never made: complaints */
	uint64_t
	    hours_missing; /* that have no entries, though the broker was not started in between */
	uint64_t hours_changed; /* that lack only their receipts: complaints */
	uint64_t jobs_late;	/* entries of jobs that were late or failed */
};

/* A sentence of a complaint. */
typedef void schedule_tell(void *self, const char *sentence);

struct schedule *schedule_create(schedule_tell *tell, void *self);

/* The next entry, from the first one on. */
void schedule_add(struct schedule *schedule, const struct audit_event *event);

/* After the last one; frees. */
struct schedule_result schedule_destroy(struct schedule *schedule);

#endif
