/* audit_hour.c - what is written each hour, whatever happened in it; and the hour's receipts. */
#include "broker/audit_internal.h"
#include "broker/net/moment.h"

/* Those of the hour before are over, whether the entry of these can be written or not. */
void audit_draw_tickets(struct audit *audit)
{
	struct audit_event event = audit_event_now(AUDIT_RECEIPTS);

	receipt_tickets_wipe(&audit->tickets);
	receipt_tickets_draw(&audit->next, event.time_s);
	event.hash = audit->next.root;
	audit_queue_add(&audit->waiting, &event);
}

void audit_use_tickets(struct audit *audit, const struct audit_event *entry)
{
	if (!audit_hash_equal(&entry->hash, &audit->next.root))
		return;
	audit->tickets = audit->next;
	audit->tickets_entry = entry->index;
	receipt_tickets_wipe(&audit->next);
}

/* A class that is late stays an alert for as long as it is. */
static void add_jobs(struct audit *audit)
{
	struct audit_job jobs[AUDIT_JOBS_MAX];
	struct audit_event event = audit_event_now(AUDIT_JOB);
	const size_t count = audit->jobs.list ? audit->jobs.list(audit->jobs.self, jobs) : 0;
	bool late = false;

	for (size_t i = 0; i < count; i++) {
		event.values[AUDIT_FIELD_JOB_CLASS] = jobs[i].class;
		event.values[AUDIT_FIELD_JOB_OUTCOME] = jobs[i].outcome;
		audit_queue_add(&audit->waiting, &event);
		late = late || jobs[i].outcome != AUDIT_WORD_OUTCOME_DONE;
	}
	if (late)
		audit_wait_with_alert(audit, AUDIT_WORD_ALERT_JOB_LATE);
}

/* An hour that could not be written is not made up for: its gap is the truth. */
void audit_schedule(struct audit *audit)
{
	const uint64_t hour_s = audit_hour_now();

	if (audit->scheduled_waits || hour_s == audit->scheduled_s ||
	    moment_now().wall_s < hour_s + AUDIT_HOUR_DUE_S)
		return;
	audit->scheduled_s = hour_s;
	audit->scheduled_waits = true;
	audit_gather_keys(audit);
	add_jobs(audit);
	audit_draw_tickets(audit);
}

size_t audit_sign_text(struct audit *audit, char *text, size_t len, size_t size)
{
	if (!audit)
		return 0;
	pthread_mutex_lock(&audit->mutex);
	len = audit_log_sign(audit->log, text, len, size);
	pthread_mutex_unlock(&audit->mutex);
	return len;
}

bool audit_receipt(struct audit *audit, enum receipt_event event, struct slice subject,
		   char text[RECEIPT_SIZE], struct failure *failure)
{
	if (!audit)
		return failure_set(failure, "there are no receipts without an audit log");
	pthread_mutex_lock(&audit->mutex);
	const bool ok = audit->tickets.hour_s != 0
			    ? audit_log_receipt(audit->log, audit->tickets_entry, &audit->tickets,
						event, subject, text, failure)
			    : failure_set(failure, "the receipts of this hour are not in the "
						   "audit log, which cannot be written");

	pthread_mutex_unlock(&audit->mutex);
	return ok;
}
