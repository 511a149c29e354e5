/* schedule.c - see schedule.h. */
#include "storage/audit/schedule.h"

#include "storage/keys/key_class.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HOUR_S	  3600u
#define DAY_S	  86400u
#define NO_CONFIG AUDIT_FIELDS

/* The classes whose keys end, and when: `life_s` after the start of their epoch, and as long more
 * as the configuration says. */
static const struct {
	enum audit_word class;
	enum key_class keys; /* KEY_ROOT: the log tells its hour as the epoch */
	uint32_t life_s;
	enum audit_field config; /* of `config` entries */
	uint32_t most_s;	 /* that it may say; and what counts before it says anything */
	const char *name;
} ends[] = {
    {AUDIT_WORD_CLASS_ROOT, KEY_ROOT, HOUR_S, NO_CONFIG, 0, "root"},
    {AUDIT_WORD_CLASS_ENVELOPE, KEY_ENVELOPE, HOUR_S, NO_CONFIG, 0, "envelope"},
    {AUDIT_WORD_CLASS_AUTH, KEY_AUTH_DAY, 0, AUDIT_FIELD_CONFIG_AUTH_EXPIRY, 30 * DAY_S, "auth"},
    {AUDIT_WORD_CLASS_AGGREGATE, KEY_AGGREGATE_DAY, DAY_S, AUDIT_FIELD_CONFIG_AGGREGATE_EXPIRY,
     90 * DAY_S, "aggregate"},
};

#define ENDS (sizeof(ends) / sizeof(ends[0]))

/* A key that is not gone yet. */
struct key {
	size_t end; /* in the table */
	uint64_t epoch;
	uint64_t entry;
	uint64_t start_s;
	uint64_t seen_s; /* the first hourly entries after its time; less than that: none */
	uint64_t late_h; /* so many hours late when its life was made longer */
};

/* An hour in which the broker ran. */
struct hour {
	uint64_t time_s;
	uint64_t entry; /* its first, of those that count */
	bool begun;	/* there is one */
	bool jobs;	/* it has entries of jobs, */
	bool receipts;	/* and those that are written with them */
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
	struct hour hour;    /* of the last entries; none after a stop */
	struct {
		uint64_t life_s;
		uint64_t shorter_s; /* since this hour it is shorter than before; 0: it never was */
		bool configured;
	} lives[ENDS];
};

static size_t find_end(uint64_t class)
{
	size_t end = 0;

	while (end < ENDS && ends[end].class != class)
		end++;
	return end;
}

/* Entries tell hours.  A key has not been there before the entry of it, whatever its epoch: after a
 * clock was set back, epochs are ahead of it. */
static uint64_t start_of(size_t end, uint64_t epoch, uint64_t entry_s)
{
	const uint64_t start_s =
	    ends[end].keys == KEY_ROOT ? epoch * HOUR_S : key_epoch_start_s(ends[end].keys, epoch);

	return start_s < entry_s ? start_s : entry_s;
}

/* The hour whose entries must have its key.gone.  What a shorter life ended has an hour for it. */
static uint64_t over_s(const struct schedule *schedule, const struct key *key)
{
	const uint64_t over_s = key->start_s + schedule->lives[key->end].life_s;
	const uint64_t shorter_s = schedule->lives[key->end].shorter_s;
	const uint64_t fair_s =
	    shorter_s > 0 && over_s < shorter_s + HOUR_S ? shorter_s + HOUR_S : over_s;

	return (fair_s + HOUR_S - 1) / HOUR_S * HOUR_S;
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

/* Hours, without excuse: the broker was there when it should have been destroyed, an hour or more
 * before this time. */
static uint64_t hours_late(const struct schedule *schedule, const struct key *key, uint64_t time_s)
{
	const uint64_t over = over_s(schedule, key);

	return key->seen_s >= over && key->seen_s < time_s ? (time_s - over) / HOUR_S : key->late_h;
}

/* ---- entries */

static void add_new(struct schedule *schedule, const struct audit_event *event)
{
	struct key key = {.end = find_end(event->values[AUDIT_FIELD_KEY_NEW_CLASS]),
			  .epoch = event->values[AUDIT_FIELD_KEY_NEW_EPOCH],
			  .entry = event->index};

	if (key.end == ENDS)
		return;
	key.start_s = start_of(key.end, key.epoch, event->time_s);
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
	const uint64_t late_h = hours_late(schedule, key, time_s);

	if (late_h > 0) {
		schedule->result.late++;
		complain(schedule, key, "was destroyed", late_h);
	} else if (time_s <= over_s(schedule, key)) {
		schedule->result.in_time++;
	} else {
		schedule->result.excused++;
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

/* Keys whose time is over should be gone before the hourly entries. */
static void see_keys(struct schedule *schedule, uint64_t time_s)
{
	for (size_t i = 0; i < schedule->count; i++) {
		struct key *key = &schedule->keys[i];
		const uint64_t over = over_s(schedule, key);

		if (key->seen_s < over && over <= time_s)
			key->seen_s = time_s;
	}
}

/*
 * Receipts are written with the jobs, and each hour that a broker goes through: an hour that lacks
 * them, and has entries of what it did, was changed.  `went_on`: it ran until the hour was over.
 */
static void end_hour(struct schedule *schedule, bool went_on)
{
	const struct hour hour = schedule->hour;
	char sentence[128];

	schedule->hour = (struct hour){0};
	if (!hour.begun || hour.receipts || !(hour.jobs || went_on))
		return;
	see_keys(schedule, hour.time_s);
	schedule->result.hours_changed++;
	snprintf(sentence, sizeof(sentence),
		 "the hour of entry %" PRIu64 " has entries and none of its receipts", hour.entry);
	schedule->tell(schedule->self, sentence);
}

/* What a broker that runs writes in the hour that it says: settings come before a start, and keys
 * and alerts may wait for the next hourly entries. */
static bool is_of_running(enum audit_event_type type)
{
	return type == AUDIT_ADMIN || type == AUDIT_JOB || type == AUDIT_RECEIPTS ||
	       type == AUDIT_START || type == AUDIT_STOP;
}

static void look_at_hour(struct schedule *schedule, const struct audit_event *event)
{
	if (!is_of_running(event->type))
		return;
	if (event->type == AUDIT_START || event->time_s != schedule->hour.time_s)
		end_hour(schedule, event->type != AUDIT_START);
	if (!schedule->hour.begun)
		schedule->hour =
		    (struct hour){.time_s = event->time_s, .entry = event->index, .begun = true};
	schedule->hour.jobs |= event->type == AUDIT_JOB;
	schedule->hour.receipts |= event->type == AUDIT_RECEIPTS;
	if (event->type == AUDIT_STOP)
		end_hour(schedule, false);
}

/* The hourly entries. */
static void add_hour(struct schedule *schedule, uint64_t time_s)
{
	see_keys(schedule, time_s);
	if (schedule->receipts_s != 0 && time_s > schedule->receipts_s + HOUR_S)
		schedule->result.hours_missing += (time_s - schedule->receipts_s) / HOUR_S - 1;
	schedule->receipts_s = time_s;
}

/* What is configured anew counts from then on, also for keys that there are; more than was promised
 * does not. */
static void add_config(struct schedule *schedule, const struct audit_event *event)
{
	for (size_t i = 0; i < schedule->count; i++)
		schedule->keys[i].late_h = hours_late(schedule, &schedule->keys[i], event->time_s);
	for (size_t i = 0; i < ENDS; i++) {
		const uint64_t config_s =
		    ends[i].config == NO_CONFIG ? AUDIT_ABSENT : event->values[ends[i].config];
		const uint64_t life_s =
		    ends[i].life_s + (config_s < ends[i].most_s ? config_s : ends[i].most_s);

		if (config_s == AUDIT_ABSENT)
			continue;
		if (schedule->lives[i].configured && life_s < schedule->lives[i].life_s)
			schedule->lives[i].shorter_s = event->time_s;
		schedule->lives[i].life_s = life_s;
		schedule->lives[i].configured = true;
	}
}

void schedule_add(struct schedule *schedule, const struct audit_event *event)
{
	schedule->last_s = event->time_s;
	look_at_hour(schedule, event);
	if (event->type == AUDIT_KEY_NEW)
		add_new(schedule, event);
	else if (event->type == AUDIT_KEY_GONE)
		add_gone(schedule, event);
	else if (event->type == AUDIT_CONFIG)
		add_config(schedule, event);
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
	for (size_t i = 0; i < ENDS; i++)
		schedule->lives[i].life_s = ends[i].life_s + ends[i].most_s;
	return schedule;
}

struct schedule_result schedule_destroy(struct schedule *schedule)
{
	end_hour(schedule, false);
	for (size_t i = 0; i < schedule->count; i++) {
		const struct key *key = &schedule->keys[i];

		const uint64_t late_h = hours_late(schedule, key, schedule->last_s);

		if (late_h == 0) {
			schedule->result.living++;
			continue;
		}
		schedule->result.late++;
		complain(schedule, key, "is not destroyed yet, and is", late_h);
	}
	const struct schedule_result result = schedule->result;

	free(schedule->keys);
	free(schedule);
	return result;
}
