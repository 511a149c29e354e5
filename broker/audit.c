/* audit.c - see audit.h. */
#include "broker/audit.h"
#include "proto/version.h"
#include "broker/log.h"
#include "broker/net/moment.h"
#include "storage/audit/log.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HOUR_S 3600u

/* A start, a stop, and each alert: more cannot wait, for an alert that waits is not added again. */
#define WAITING_MAX 8u

/* A log that could not be written is tried again after so long. */
#define RETRY_MS 10000u

_Static_assert(AUDIT_WORDS <= 64, "alerts that were left are bits of 64");

struct audit {
	pthread_mutex_t mutex;	 /* guards all but the first */
	_Atomic uint64_t alerts; /* bits of enum audit_word: left by any thread */
	struct audit_log *log;
	struct audit_event waiting[WAITING_MAX];
	size_t waiting_count;
	uint64_t told_hour[AUDIT_WORDS]; /* when a right or an alert last got its entry */
	bool unwritable;		 /* the last write failed */
	uint64_t retry_ms;
	struct audit_event settings; /* the last config entry */
};

static uint64_t hour_now(void)
{
	uint64_t now_s = moment_now().wall_s;

	return now_s - now_s % HOUR_S;
}

static struct audit_event event_of(enum audit_event_type type)
{
	return (struct audit_event){.type = type, .time_s = hour_now()};
}

/* ---- writing; the mutex is held */

static void wait_with(struct audit *audit, const struct audit_event *event)
{
	if (audit->waiting_count < WAITING_MAX)
		audit->waiting[audit->waiting_count++] = *event;
}

/* At most one entry of a word and hour; gives whether this is it. */
static bool is_due(const struct audit *audit, enum audit_word word)
{
	return audit->told_hour[word] != hour_now();
}

static void wait_with_alert(struct audit *audit, enum audit_word alert)
{
	struct audit_event event = event_of(AUDIT_ALERT);

	if (!is_due(audit, alert))
		return;
	audit->told_hour[alert] = event.time_s;
	event.values[AUDIT_FIELD_ALERT_ALERT] = alert;
	wait_with(audit, &event);
}

static void tell_failure(struct audit *audit, const struct failure *failure)
{
	audit->retry_ms = moment_now().ms + RETRY_MS;
	if (audit->unwritable)
		return;
	audit->unwritable = true;
	wait_with_alert(audit, AUDIT_WORD_ALERT_AUDIT_UNWRITABLE);
	log_write(LOG_LEVEL_ERROR, "audit",
		  "the audit log cannot be written, so administrative changes are refused: %s",
		  failure->text);
}

static void tell_success(struct audit *audit)
{
	if (audit->unwritable)
		log_write(LOG_LEVEL_NOTICE, "audit", "the audit log can be written again");
	audit->unwritable = false;
	audit->waiting_count = 0;
}

/* What waits, and one more (NULL: none) behind it, under one checkpoint. */
static bool write_out(struct audit *audit, struct audit_event *one, struct failure *failure)
{
	struct audit_event events[WAITING_MAX + 1];
	size_t count = audit->waiting_count;

	memcpy(events, audit->waiting, count * sizeof(*events));
	if (one)
		events[count++] = *one;
	if (count > 0 && !audit_log_append(audit->log, events, count, failure)) {
		tell_failure(audit, failure);
		return false;
	}
	if (one)
		*one = events[count - 1];
	tell_success(audit);
	return true;
}

/* ---- settings */

static struct audit_event settings_of(const struct config *config)
{
	static const enum audit_word depths[] = {[IP_LOGGING_NONE] = AUDIT_WORD_DEPTH_NONE,
						 [IP_LOGGING_TRUNCATE] = AUDIT_WORD_DEPTH_TRUNCATE,
						 [IP_LOGGING_FULL] = AUDIT_WORD_DEPTH_FULL};
	static const enum audit_word switches[] = {AUDIT_WORD_SWITCH_OFF, AUDIT_WORD_SWITCH_ON};
	struct audit_event event = event_of(AUDIT_CONFIG);

	event.values[AUDIT_FIELD_CONFIG_AUDIT_LOG] = switches[config->audit_log];
	event.values[AUDIT_FIELD_CONFIG_CONNECTION_MESSAGES] =
	    switches[config->core.connection_messages];
	event.values[AUDIT_FIELD_CONFIG_IP_LOGGING] = depths[config->ip_logging];
	event.values[AUDIT_FIELD_CONFIG_SESSION_EXPIRY_MAX] = config->core.session_expiry_max_s;
	return event;
}

static struct audit_event version_now(void)
{
	struct audit_event event = event_of(AUDIT_VERSION);
	unsigned major;
	unsigned minor;
	unsigned patch;

	must(sscanf(METRINO_VERSION, "%u.%u.%u", &major, &minor, &patch) == 3);
	event.values[AUDIT_FIELD_VERSION_MAJOR] = major;
	event.values[AUDIT_FIELD_VERSION_MINOR] = minor;
	event.values[AUDIT_FIELD_VERSION_PATCH] = patch;
	return event;
}

static bool same_values(const struct audit_event *a, const struct audit_event *b)
{
	return a->type == b->type && memcmp(a->values, b->values, sizeof(a->values)) == 0;
}

/* ---- the start */

/*
 * The last settings and version of the log: a start entry says where they are, so that nothing
 * before it needs to be read.  Of a log without them both have another type.
 */
static bool find_last(struct audit_log *log, struct audit_event *settings,
		      struct audit_event *version, struct failure *failure)
{
	const uint32_t start = UINT32_C(1) << AUDIT_START;
	const uint32_t config = UINT32_C(1) << AUDIT_CONFIG;
	struct audit_event event;
	bool found;

	settings->type = version->type = AUDIT_EVENTS;
	if (!audit_log_last(log, start, &found, &event, failure))
		return false;
	if (found &&
	    !audit_log_read(log, event.values[AUDIT_FIELD_START_VERSION], version, failure))
		return false;
	return audit_log_last(log, start | config, &found, &event, failure) &&
	       (!found || event.type != AUDIT_START ||
		audit_log_read(log, event.values[AUDIT_FIELD_START_CONFIG], settings, failure)) &&
	       (!found || event.type != AUDIT_CONFIG ||
		audit_log_read(log, event.index, settings, failure));
}

/*
 * Without a change of settings or version the start may wait; a change may not.  A log that is
 * switched off gets the entry that says so, and nothing more.
 */
static bool write_start(struct audit *audit, const struct config *config, struct failure *failure)
{
	struct audit_event settings;
	struct audit_event version;
	struct audit_event start = event_of(AUDIT_START);

	if (!find_last(audit->log, &settings, &version, failure))
		return false;
	audit->settings = settings_of(config);
	const struct audit_event is = version_now();
	uint64_t index = audit_log_size(audit->log);
	const bool new_version = !same_values(&version, &is);
	const bool new_settings = !same_values(&settings, &audit->settings);

	start.values[AUDIT_FIELD_START_VERSION] = new_version ? index++ : version.index;
	start.values[AUDIT_FIELD_START_CONFIG] = new_settings ? index : settings.index;
	if (new_version && config->audit_log)
		wait_with(audit, &is);
	if (new_settings)
		wait_with(audit, &audit->settings);
	if (config->audit_log)
		wait_with(audit, &start);
	return write_out(audit, NULL, failure) || (!new_version && !new_settings);
}

static void tell_new(const struct audit *audit)
{
	char vkey[NOTE_VKEY_SIZE];

	note_vkey_write(audit_log_verifier(audit->log), vkey);
	log_write(LOG_LEVEL_NOTICE, "audit",
		  "a new audit log; keep its verifier key where this machine cannot change it: %s",
		  vkey);
}

static struct audit *create(int data_directory, struct failure *failure)
{
	struct audit *audit = calloc(1, sizeof(*audit));
	bool created;

	must(audit && pthread_mutex_init(&audit->mutex, NULL) == 0);
	for (size_t i = 0; i < AUDIT_WORDS; i++)
		audit->told_hour[i] = UINT64_MAX; /* never */
	audit->log = audit_log_open(data_directory, &created, failure);
	if (audit->log && created)
		tell_new(audit);
	return audit;
}

static void destroy(struct audit *audit)
{
	audit_log_close(audit->log);
	pthread_mutex_destroy(&audit->mutex);
	free(audit);
}

bool audit_open(int data_directory, const struct config *config, struct audit **audit,
		struct failure *failure)
{
	*audit = NULL;
	if (!config->audit_log &&
	    faccessat(data_directory, AUDIT_LOG_FOLDER "/checkpoint", F_OK, 0) != 0)
		return true;
	struct audit *made = create(data_directory, failure);
	bool ok = made->log && write_start(made, config, failure);

	if (ok && config->audit_log) {
		*audit = made;
		return true;
	}
	destroy(made);
	return ok;
}

/* ---- while it runs */

bool audit_settings(struct audit *audit, const struct config *config, struct failure *failure)
{
	bool ok = true;

	if (!audit)
		return true;
	pthread_mutex_lock(&audit->mutex);
	struct audit_event settings = settings_of(config);

	/* Whether there is a log needs a restart to change; what is in force is told. */
	settings.values[AUDIT_FIELD_CONFIG_AUDIT_LOG] = AUDIT_WORD_SWITCH_ON;
	if (!same_values(&settings, &audit->settings)) {
		ok = write_out(audit, &settings, failure);
		if (ok)
			audit->settings = settings;
	}
	pthread_mutex_unlock(&audit->mutex);
	return ok;
}

bool audit_admin(struct audit *audit, enum audit_word right, struct failure *failure)
{
	struct audit_event event = event_of(AUDIT_ADMIN);
	bool ok = true;

	if (!audit)
		return true;
	event.values[AUDIT_FIELD_ADMIN_RIGHT] = right;
	pthread_mutex_lock(&audit->mutex);
	const bool due = is_due(audit, right);

	/* A right that has its entry is still refused while nothing can be written. */
	if (due || audit->unwritable)
		ok = write_out(audit, due ? &event : NULL, failure);
	if (ok && due)
		audit->told_hour[right] = event.time_s;
	pthread_mutex_unlock(&audit->mutex);
	return ok;
}

void audit_alert(struct audit *audit, enum audit_word alert)
{
	if (audit)
		atomic_fetch_or(&audit->alerts, UINT64_C(1) << alert);
}

void audit_tend(struct audit *audit)
{
	struct failure failure;

	if (!audit)
		return;
	const uint64_t alerts = atomic_exchange(&audit->alerts, 0);

	pthread_mutex_lock(&audit->mutex);
	for (unsigned i = 0; i < AUDIT_WORDS; i++)
		if ((alerts >> i & 1) != 0)
			wait_with_alert(audit, (enum audit_word)i);
	if (audit->waiting_count > 0 && (!audit->unwritable || moment_now().ms >= audit->retry_ms))
		write_out(audit, NULL, &failure);
	pthread_mutex_unlock(&audit->mutex);
}

void audit_destroy(struct audit *audit, enum audit_word cause)
{
	struct audit_event event = event_of(AUDIT_STOP);
	struct failure failure;

	if (!audit)
		return;
	audit_tend(audit);
	event.values[AUDIT_FIELD_STOP_CAUSE] = cause;
	write_out(audit, &event, &failure);
	destroy(audit);
}
