/* audit.c - writing, and what is written when it happens: see audit.h. */
#include "broker/audit_internal.h"
#include "broker/log.h"
#include "broker/net/moment.h"
#include <stdlib.h>

/* A log that could not be written is tried again after so long. */
#define RETRY_MS 10000u

uint64_t audit_hour_now(void)
{
	uint64_t now_s = moment_now().wall_s;

	return now_s - now_s % AUDIT_HOUR_S;
}

struct audit_event audit_event_now(enum audit_event_type type)
{
	return (struct audit_event){.type = type, .time_s = audit_hour_now()};
}

/* ---- queues */

void audit_queue_add(struct audit_queue *queue, const struct audit_event *event)
{
	if (queue->count == queue->room) {
		queue->room = queue->room > 0 ? 2 * queue->room : 16;
		queue->at = realloc(queue->at, queue->room * sizeof(*queue->at));
		must(queue->at);
	}
	queue->at[queue->count++] = *event;
}

void audit_queue_finish(struct audit_queue *queue)
{
	free(queue->at);
	*queue = (struct audit_queue){0};
}

/* ---- writing; the mutex is held */

/* At most one entry of a word and hour; gives whether this is it. */
static bool is_due(const struct audit *audit, enum audit_word word)
{
	return audit->told_hour[word] != audit_hour_now();
}

void audit_wait_with_alert(struct audit *audit, enum audit_word alert)
{
	struct audit_event event = audit_event_now(AUDIT_ALERT);

	if (!is_due(audit, alert))
		return;
	audit->told_hour[alert] = event.time_s;
	event.values[AUDIT_FIELD_ALERT_ALERT] = alert;
	audit_queue_add(&audit->waiting, &event);
}

static void tell_failure(struct audit *audit, const struct failure *failure)
{
	audit->retry_ms = moment_now().ms + RETRY_MS;
	if (audit->unwritable)
		return;
	audit->unwritable = true;
	audit_wait_with_alert(audit, AUDIT_WORD_ALERT_AUDIT_UNWRITABLE);
	log_write(LOG_LEVEL_ERROR, "audit",
		  "the audit log cannot be written, so administrative changes are refused: %s",
		  failure->text);
}

static void tell_success(struct audit *audit)
{
	if (audit->unwritable)
		log_write(LOG_LEVEL_NOTICE, "audit", "the audit log can be written again");
	audit->unwritable = false;
}

/* They are in the log: they wait no more. */
static void take_written(struct audit *audit)
{
	audit->scheduled_waits = false;
	for (size_t i = 0; i < audit->waiting.count; i++)
		if (audit->waiting.at[i].type == AUDIT_RECEIPTS)
			audit_use_tickets(audit, &audit->waiting.at[i]);
	audit->waiting.count = 0;
}

/* Entries that a checkpoint says are written, even if what comes behind it failed: they would
 * stand in the log twice otherwise. */
bool audit_write_out(struct audit *audit, struct audit_event *one, struct failure *failure)
{
	struct audit_queue *waiting = &audit->waiting;
	const uint64_t size = audit_log_size(audit->log);
	bool whole = true;

	if (one)
		audit_queue_add(waiting, one);
	if (waiting->count > 0)
		whole = audit_log_append(audit->log, waiting->at, waiting->count, failure);
	else if (audit->unwritable)
		whole = audit_log_settle(audit->log, failure);
	const bool written = whole || audit_log_size(audit->log) > size;

	if (written && one)
		*one = waiting->at[waiting->count - 1];
	if (written)
		take_written(audit);
	else
		waiting->count -= one != NULL;
	if (whole)
		tell_success(audit);
	else
		tell_failure(audit, failure);
	return written;
}

/* ---- while it runs */

bool audit_admin(struct audit *audit, enum audit_word right, struct failure *failure)
{
	struct audit_event event = audit_event_now(AUDIT_ADMIN);
	bool ok = true;

	if (!audit)
		return true;
	event.values[AUDIT_FIELD_ADMIN_RIGHT] = right;
	pthread_mutex_lock(&audit->mutex);
	const bool due = is_due(audit, right);

	/* A right that has its entry is still refused while nothing can be written. */
	if (due || audit->unwritable)
		ok = audit_write_out(audit, due ? &event : NULL, failure) &&
		     (due || !audit->unwritable);
	if (ok && due)
		audit->told_hour[right] = event.time_s;
	pthread_mutex_unlock(&audit->mutex);
	return ok;
}

void audit_alert(struct audit *audit, enum audit_word alert)
{
	if (audit)
		atomic_fetch_or(&audit->alerts, UINT64_C(1) << (alert - AUDIT_ALERT_FIRST));
}

/* Nobody is let in after an hour of which nothing could be written, until it can be. */
static void look_behind(struct audit *audit)
{
	const bool behind = audit->scheduled_waits && audit->scheduled_s != audit_hour_now();

	if (behind == atomic_exchange(&audit->behind, behind))
		return;
	log_write(behind ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE, "audit",
		  behind ? "an hour has passed whose entries could not be written: new clients are "
			   "refused until they can be"
			 : "new clients are let in again");
}

void audit_tend(struct audit *audit)
{
	struct failure failure;

	if (!audit)
		return;
	const uint64_t alerts = atomic_exchange(&audit->alerts, 0);

	pthread_mutex_lock(&audit->mutex);
	for (unsigned i = 0; i < 64; i++)
		if ((alerts >> i & 1) != 0)
			audit_wait_with_alert(audit, (enum audit_word)(AUDIT_ALERT_FIRST + i));
	audit_schedule(audit);
	if (audit->unwritable ? moment_now().ms >= audit->retry_ms : audit->waiting.count > 0)
		audit_write_out(audit, NULL, &failure);
	look_behind(audit);
	pthread_mutex_unlock(&audit->mutex);
}

bool audit_behind(const struct audit *audit)
{
	return audit && atomic_load(&audit->behind);
}

void audit_ask_jobs(struct audit *audit, const struct audit_jobs *jobs)
{
	if (!audit)
		return;
	pthread_mutex_lock(&audit->mutex);
	audit->jobs = *jobs;
	pthread_mutex_unlock(&audit->mutex);
}

bool audit_standing(struct audit *audit, struct audit_standing *standing)
{
	if (!audit)
		return false;
	pthread_mutex_lock(&audit->mutex);
	audit_log_checkpoint(audit->log, &standing->checkpoint);
	memcpy(standing->origin, audit_log_verifier(audit->log)->name, sizeof(standing->origin));
	standing->writable = !audit->unwritable;
	pthread_mutex_unlock(&audit->mutex);
	return true;
}
