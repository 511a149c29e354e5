/* privacy_log.c - the audit log, and what it says of jobs, keys and settings. */
#include "cli/audit.h"
#include "cli/privacy.h"
#include "storage/audit/event.h"
#include "storage/audit/schedule.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HOUR_S 3600u

/* What the last entries say. */
struct findings {
	char schedule[512];
	uint64_t last_hour_s;	       /* of the last hourly entries */
	uint64_t alert_s[AUDIT_WORDS]; /* when an alert was last written */
	uint64_t outcome[AUDIT_WORDS]; /* of the last job of a class; 0: none */
	bool has_outcome[AUDIT_WORDS];
};

static void take_complaint(void *self, const char *sentence)
{
	struct findings *findings = self;

	snprintf(findings->schedule, sizeof(findings->schedule), "%s", sentence);
}

static void take_event(struct findings *findings, const struct audit_event *event)
{
	if (event->type == AUDIT_RECEIPTS)
		findings->last_hour_s = event->time_s;
	if (event->type == AUDIT_ALERT)
		findings->alert_s[event->values[AUDIT_FIELD_ALERT_ALERT]] = event->time_s;
	if (event->type == AUDIT_JOB) {
		const uint64_t class = event->values[AUDIT_FIELD_JOB_CLASS];

		findings->outcome[class] = event->values[AUDIT_FIELD_JOB_OUTCOME];
		findings->has_outcome[class] = true;
	}
}

static bool read_entries(const struct audit_place *place, struct findings *findings,
			 struct failure *failure)
{
	struct audit_reader *reader = calloc(1, sizeof(*reader));
	struct schedule *schedule = schedule_create(take_complaint, findings);
	struct audit_event event;
	struct slice line;
	bool ok = true;

	must(reader);
	audit_reader_init(reader, place->directory, place->checkpoint.size);
	for (uint64_t i = 0; ok && i < reader->size; i++) {
		ok = audit_reader_entry(reader, i, &line, failure) &&
		     (audit_event_read(line, &event) ||
		      failure_set(failure, "entry %" PRIu64 " is not one of the closed table", i));
		if (ok) {
			schedule_add(schedule, &event);
			take_event(findings, &event);
		}
	}
	schedule_destroy(schedule);
	audit_reader_finish(reader);
	free(reader);
	return ok;
}

/* A broker that writes one entry while we read is no damage: what was signed then is looked at. */
static bool read_log(const struct privacy *privacy, struct findings *findings,
		     struct failure *failure)
{
	struct audit_place place;

	if (!audit_place_open(&place, privacy->request.data, failure))
		return false;
	const bool ok =
	    audit_place_read(&place, NULL, failure) &&
	    audit_verify(place.directory, &place.verifier, &place.checkpoint, failure) &&
	    read_entries(&place, findings, failure);

	audit_place_finish(&place);
	return ok;
}

static const char *judge_jobs(const struct findings *findings, uint64_t now_s)
{
	const uint64_t alert_s = findings->alert_s[AUDIT_WORD_ALERT_JOB_LATE];

	for (size_t i = 0; i < AUDIT_WORDS; i++)
		if (findings->has_outcome[i] && findings->outcome[i] != AUDIT_WORD_OUTCOME_DONE)
			return "in the last hour a job was late or failed";
	return alert_s != 0 && alert_s + 2 * HOUR_S > now_s
		   ? "a job was late within the last two hours"
		   : NULL;
}

static void tell_age(struct privacy *privacy, const struct findings *findings, uint64_t now_s)
{
	char why[128];

	snprintf(why, sizeof(why), "its last hourly entries are %" PRIu64 " hours old",
		 findings->last_hour_s < now_s ? (now_s - findings->last_hour_s) / HOUR_S : 0);
	privacy_tell(privacy, "the audit log is written each hour", "the hour of its last entries",
		     findings->last_hour_s + 2 * HOUR_S > now_s ? NULL : why);
}

void privacy_look_at_log(struct privacy *privacy)
{
	struct findings *findings = calloc(1, sizeof(*findings));
	const uint64_t now_s = (uint64_t)time(NULL);
	struct failure failure;

	must(findings);
	const bool ok = read_log(privacy, findings, &failure);

	privacy_tell(privacy, "the audit log is whole",
		     "every entry, tile, the root and the signature", ok ? NULL : failure.text);
	if (ok) {
		tell_age(privacy, findings, now_s);
		privacy_tell(privacy, "every key ended in time", "key.new and key.gone in the log",
			     findings->schedule[0] ? findings->schedule : NULL);
		privacy_tell(privacy, "every job was done in time", "job and alert in the log",
			     judge_jobs(findings, now_s));
	}
	free(findings);
}
