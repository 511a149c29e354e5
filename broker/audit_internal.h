/*
 * audit_internal.h - what the files of the audit log's writer share: audit.c (writing),
 * audit_start.c (beginning and end), audit_hour.c (what is due each hour), audit_keys.c.
 */
#ifndef BROKER_AUDIT_INTERNAL_H
#define BROKER_AUDIT_INTERNAL_H

#include "broker/audit.h"
#include <pthread.h>
#include <stdatomic.h>

#define AUDIT_HOUR_S 3600u

/* Alerts that were left are bits of 64, from the first one on: the first line of its list. */
#define AUDIT_ALERT_FIRST AUDIT_WORD_ALERT_AUDIT_UNWRITABLE
_Static_assert(AUDIT_WORDS - AUDIT_ALERT_FIRST <= 64, "and words behind them");

/* Events in a row; `at` is the heap's. */
struct audit_queue {
	size_t count;
	size_t room;
	struct audit_event *at;
};

/* Keys that were made and destroyed, left by any thread. */
struct audit_inbox {
	pthread_mutex_t mutex; /* held for a moment only, never while something is written */
	struct audit_queue events;
	unsigned roots;	       /* generations of the root that live */
	uint64_t root_made_h;  /* the hour of the last one that was made */
	enum audit_word level; /* at which the last one was destroyed */
};

struct audit {
	_Atomic uint64_t alerts; /* bits, left by any thread: AUDIT_ALERT_FIRST */
	_Atomic bool behind;
	struct audit_inbox inbox;

	pthread_mutex_t mutex; /* guards the rest */
	struct audit_log *log;
	struct keyring *keys; /* borrowed */
	struct audit_queue waiting;
	uint64_t told_hour[AUDIT_WORDS]; /* when a right or an alert last got its entry */
	bool unwritable;		 /* the last write failed */
	uint64_t retry_ms;
	struct audit_event settings; /* the last config entry */
	uint64_t policy_version;     /* and policy entry */
	uint64_t scheduled_s;	     /* the last hour whose entries were put together */
	bool scheduled_waits;	     /* and are not written yet */
	uint64_t root_told_h;	     /* the root that the log knows; UINT64_MAX: none */
	struct audit_jobs jobs;
	struct receipt_tickets next; /* whose entry waits */
	struct receipt_tickets tickets;
	uint64_t tickets_entry;
};

/* The start of the hour that it is. */
uint64_t audit_hour_now(void);
struct audit_event audit_event_now(enum audit_event_type type);

void audit_queue_add(struct audit_queue *queue, const struct audit_event *event);
void audit_queue_finish(struct audit_queue *queue);

/* The rest with the mutex held. */

/* Writes what waits, and one more (NULL: none) behind it, which is given its index, under one
 * checkpoint.  False: they are not in the log.  True, and `unwritable` with a failure: they are,
 * but what comes behind the checkpoint could not be written. */
bool audit_write_out(struct audit *audit, struct audit_event *one, struct failure *failure);

/* An alert that waits, unless the hour has it. */
void audit_wait_with_alert(struct audit *audit, enum audit_word alert);

/* audit_hour.c: draws the receipts of the hour; their entry waits. */
void audit_draw_tickets(struct audit *audit);
/* The entry was written. */
void audit_use_tickets(struct audit *audit, const struct audit_event *entry);
/* Puts the hour's entries together when they are due. */
void audit_schedule(struct audit *audit);

/* audit_keys.c: what the inbox holds waits from now on. */
void audit_gather_keys(struct audit *audit);

#endif
