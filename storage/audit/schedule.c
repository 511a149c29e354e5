/* schedule.c - see schedule.h. */
#include "storage/audit/schedule.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HOUR_S 3600u
#define DAY_S  86400u

/* The classes whose keys end, and when: `life` units after the start of that of their epoch. */
static const struct {
	enum audit_word class;
	uint32_t unit_s;
	uint32_t life;
	const char *name;
} ends[] = {
    {AUDIT_WORD_CLASS_ROOT, HOUR_S, 1, "root"},
    {AUDIT_WORD_CLASS_ENVELOPE, HOUR_S, 1, "envelope"},
    {AUDIT_WORD_CLASS_AUTH, DAY_S, 31, "auth"},
    {AUDIT_WORD_CLASS_AGGREGATE, DAY_S, 91, "aggregate"},
};

#define ENDS (sizeof(ends) / sizeof(ends[0]))

/* A key that is not gone yet. */
struct key {
	size_t end; /* in the table */
	uint64_t epoch;
	uint64_t entry;
	uint64_t seen_s; /* the first hourly entries after its time was over; 0: none yet */
};

struct schedule {
	schedule_tell *tell;
	void *self;
	struct schedule_result result;
	struct key *keys;
	size_t count;
	size_t room;
	uint64_t last_s;     /* the hour of the last entry */
	uint64_t receipts_s; /* of the last hourly entries since a start; 0: none */
};

static size_t find_end(uint64_t class)
{
	size_t end = 0;

	while (end < ENDS && ends[end].class != class)
		end++;
	return end;
}

static uint64_t over_s(const struct key *key)
{
	return (key->epoch + ends[key->end].life) * ends[key->end].unit_s;
}

static void complain(const struct schedule *schedule, const struct key *key, const char *what,
		     uint64_t hours)
{
	char sentence[256];

	snprintf(sentence, sizeof(sentence),
		 "the key of class %s, epoch %" PRIu64 ", made in entry %" PRIu64 ", %s %" PRIu64
		 " hours late",
		 ends[key->end].name, key->epoch, key->entry, what, hours);
	schedule->tell(schedule->self, sentence);
}

/* Was the broker there when it should have been destroyed, an hour or more before this time? */
static bool was_watched(const struct key *key, uint64_t time_s)
{
	return key->seen_s != 0 && key->seen_s < time_s;
}

/* ---- entries */

static void add_new(struct schedule *schedule, const struct audit_event *event)
{
	const struct key key = {find_end(event->values[AUDIT_FIELD_KEY_NEW_CLASS]),
				event->values[AUDIT_FIELD_KEY_NEW_EPOCH], event->index, 0};

	if (key.end == ENDS)
		return;
	if (schedule->count == schedule->room) {
		schedule->room = schedule->room > 0 ? 2 * schedule->room : 64;
		schedule->keys = realloc(schedule->keys, schedule->room * sizeof(*schedule->keys));
		must(schedule->keys);
	}
	schedule->keys[schedule->count++] = key;
	schedule->result.made++;
}

static void end_key(struct schedule *schedule, const struct key *key, uint64_t time_s)
{
	if (time_s <= over_s(key)) {
		schedule->result.in_time++;
	} else if (!was_watched(key, time_s)) {
		schedule->result.excused++;
	} else {
		schedule->result.late++;
		complain(schedule, key, "was destroyed", (time_s - over_s(key)) / HOUR_S);
	}
}

static void add_gone(struct schedule *schedule, const struct audit_event *event)
{
	const size_t end = find_end(event->values[AUDIT_FIELD_KEY_GONE_CLASS]);
	const uint64_t epoch = event->values[AUDIT_FIELD_KEY_GONE_EPOCH];
	char sentence[128];
	size_t i = 0;

	if (end == ENDS)
		return;
	while (i < schedule->count &&
	       (schedule->keys[i].end != end || schedule->keys[i].epoch != epoch))
		i++;
	if (i < schedule->count) {
		end_key(schedule, &schedule->keys[i], event->time_s);
		schedule->keys[i] = schedule->keys[--schedule->count];
		return;
	}
	schedule->result.unknown++;
	snprintf(sentence, sizeof(sentence),
		 "entry %" PRIu64 ": a key of class %s, epoch %" PRIu64
		 ", is gone that was never made",
		 event->index, ends[end].name, epoch);
	schedule->tell(schedule->self, sentence);
}

/* The hourly entries: keys whose time is over should be gone before them. */
static void add_hour(struct schedule *schedule, uint64_t time_s)
{
	for (size_t i = 0; i < schedule->count; i++)
		if (schedule->keys[i].seen_s == 0 && over_s(&schedule->keys[i]) <= time_s)
			schedule->keys[i].seen_s = time_s;
	if (schedule->receipts_s != 0 && time_s > schedule->receipts_s + HOUR_S)
		schedule->result.hours_missing += (time_s - schedule->receipts_s) / HOUR_S - 1;
	schedule->receipts_s = time_s;
}

void schedule_add(struct schedule *schedule, const struct audit_event *event)
{
	schedule->last_s = event->time_s;
	if (event->type == AUDIT_KEY_NEW)
		add_new(schedule, event);
	else if (event->type == AUDIT_KEY_GONE)
		add_gone(schedule, event);
	else if (event->type == AUDIT_RECEIPTS)
		add_hour(schedule, event->time_s);
	else if (event->type == AUDIT_START)
		schedule->receipts_s = 0;
	else if (event->type == AUDIT_JOB)
		schedule->result.jobs_late +=
		    event->values[AUDIT_FIELD_JOB_OUTCOME] != AUDIT_WORD_OUTCOME_DONE;
}

/* ---- life */

struct schedule *schedule_create(schedule_tell *tell, void *self)
{
	struct schedule *schedule = calloc(1, sizeof(*schedule));

	must(schedule);
	schedule->tell = tell;
	schedule->self = self;
	return schedule;
}

struct schedule_result schedule_destroy(struct schedule *schedule)
{
	for (size_t i = 0; i < schedule->count; i++) {
		const struct key *key = &schedule->keys[i];

		if (!was_watched(key, schedule->last_s)) {
			schedule->result.living++;
			continue;
		}
		schedule->result.late++;
		complain(schedule, key, "is not destroyed yet, and is",
			 (schedule->last_s - over_s(key)) / HOUR_S);
	}
	const struct schedule_result result = schedule->result;

	free(schedule->keys);
	free(schedule);
	return result;
}
