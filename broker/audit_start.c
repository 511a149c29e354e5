/* audit_start.c - beginning, settings, and the end: see audit.h. */
#include "broker/audit_internal.h"
#include "proto/version.h"
#include "broker/log.h"
#include "broker/net/moment.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- settings */

static enum audit_word switch_of(bool on)
{
	return on ? AUDIT_WORD_SWITCH_ON : AUDIT_WORD_SWITCH_OFF;
}

/* NULL: not opened. */
static enum audit_word reach_of(const char *address)
{
	if (!address)
		return AUDIT_WORD_REACH_OFF;
	return config_is_loopback(address) ? AUDIT_WORD_REACH_LOOPBACK : AUDIT_WORD_REACH_NETWORK;
}

static bool admits_anonymous(const struct config *config)
{
	bool any = false;

	for (size_t i = 0; i < config->listener_count; i++)
		any = any || config->listeners[i].settings.allow_anonymous;
	return any;
}

/* Of the listeners that the network reaches; where there is none, nothing is without TLS. */
static enum audit_word tls_of(const struct config *config)
{
	size_t open = 0;
	size_t covered = 0;

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		if (listener->path || (listener->address && config_is_loopback(listener->address)))
			continue;
		open++;
		covered += listener->transport.tls.certfile || listener->psk_hint;
	}
	if (covered == open)
		return AUDIT_WORD_COVER_ALL;
	return covered > 0 ? AUDIT_WORD_COVER_SOME : AUDIT_WORD_COVER_NONE;
}

/* Of the lines as they would be written, so that whoever publishes them can show it. */
static struct audit_hash transfers_hash(const struct residency *residency)
{
	struct slice parts[5 * RESIDENCY_TRANSFER_MAX];
	size_t count = 0;

	for (size_t i = 0; i < residency->transfer_count; i++) {
		parts[count++] = slice_text("transfer ");
		parts[count++] = slice_text(residency->transfers[i].region);
		parts[count++] = slice_text(" ");
		parts[count++] = slice_text(residency->transfers[i].basis);
		parts[count++] = slice_text("\n");
	}
	return audit_sha256(parts, count);
}

/* What they are kept under: found, not configured. */
static enum audit_word wrap_of(const struct config *config, struct keyring *keys)
{
	if (!keyring_is_wrapped(keys))
		return AUDIT_WORD_WRAP_NONE;
	return config->key_file ? AUDIT_WORD_WRAP_KEY_FILE : AUDIT_WORD_WRAP_CREDENTIAL;
}

static enum audit_word erasure_of(enum erase_level level)
{
	return level == ERASE_CLEAR ? AUDIT_WORD_ERASURE_CLEAR : AUDIT_WORD_ERASURE_NONE;
}

static struct audit_event settings_of(const struct config *config, struct keyring *keys)
{
	static const enum audit_word depths[] = {[IP_LOGGING_NONE] = AUDIT_WORD_DEPTH_NONE,
						 [IP_LOGGING_TRUNCATE] = AUDIT_WORD_DEPTH_TRUNCATE,
						 [IP_LOGGING_FULL] = AUDIT_WORD_DEPTH_FULL};
	static const enum audit_word protections[] = {
	    [MEMORY_PROTECTION_WANTED] = AUDIT_WORD_PROTECTION_WANTED,
	    [MEMORY_PROTECTION_REQUIRED] = AUDIT_WORD_PROTECTION_REQUIRED};
	const struct {
		enum audit_field field;
		uint64_t value;
	} settings[] = {
	    {AUDIT_FIELD_CONFIG_ADMIN_LISTENER, reach_of(config->admin_address)},
	    {AUDIT_FIELD_CONFIG_AGGREGATE_EXPIRY, config->aggregate_expiry_s},
	    {AUDIT_FIELD_CONFIG_ALLOW_ANONYMOUS, switch_of(admits_anonymous(config))},
	    {AUDIT_FIELD_CONFIG_ALLOW_CLEARTEXT_PASSWORD,
	     switch_of(config->allow_cleartext_password)},
	    {AUDIT_FIELD_CONFIG_AUDIT_LOG, switch_of(config->audit_log)},
	    {AUDIT_FIELD_CONFIG_AUTH_EXPIRY, config->auth_expiry_s},
	    {AUDIT_FIELD_CONFIG_CONNECTION_MESSAGES, switch_of(config->core.connection_messages)},
	    {AUDIT_FIELD_CONFIG_ERASE_LEVEL, erasure_of(keyring_erase_level(keys).level)},
	    {AUDIT_FIELD_CONFIG_ERASE_LEVEL_REQUIRED, erasure_of(config->erase_level_required)},
	    {AUDIT_FIELD_CONFIG_IP_LOGGING, depths[config->ip_logging]},
	    {AUDIT_FIELD_CONFIG_KEYS_LOCATION,
	     config->keys_location ? AUDIT_WORD_PLACE_ELSEWHERE : AUDIT_WORD_PLACE_DATA},
	    {AUDIT_FIELD_CONFIG_KEYS_WRAPPED, wrap_of(config, keys)},
	    {AUDIT_FIELD_CONFIG_LOG_LISTENER, reach_of(config->log_address)},
	    {AUDIT_FIELD_CONFIG_MEMORY_PROTECTION, protections[config->memory_protection]},
	    {AUDIT_FIELD_CONFIG_REGION, AUDIT_REGION(config->region[0], config->region[1])},
	    {AUDIT_FIELD_CONFIG_ROUTE_EXPIRY, config->route_expiry_s},
	    {AUDIT_FIELD_CONFIG_ROUTE_ROWS, switch_of(config->route_max_bytes > 0)},
	    {AUDIT_FIELD_CONFIG_SESSION_EXPIRY_MAX, config->core.session_expiry_max_s},
	    {AUDIT_FIELD_CONFIG_TLS, tls_of(config)},
	};
	struct audit_event event = audit_event_now(AUDIT_CONFIG);

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		event.values[settings[i].field] = settings[i].value;
	event.hash = transfers_hash(&config->residency);
	return event;
}

/* Settings that a reload does not change. */
static const enum audit_field fixed[] = {
    AUDIT_FIELD_CONFIG_AUDIT_LOG,     AUDIT_FIELD_CONFIG_ADMIN_LISTENER,
    AUDIT_FIELD_CONFIG_ERASE_LEVEL,   AUDIT_FIELD_CONFIG_ERASE_LEVEL_REQUIRED,
    AUDIT_FIELD_CONFIG_KEYS_LOCATION, AUDIT_FIELD_CONFIG_KEYS_WRAPPED,
    AUDIT_FIELD_CONFIG_LOG_LISTENER,  AUDIT_FIELD_CONFIG_MEMORY_PROTECTION,
    AUDIT_FIELD_CONFIG_ROUTE_ROWS};

static struct audit_event policy_of(const struct config *config)
{
	struct audit_event event = audit_event_now(AUDIT_POLICY);

	event.values[AUDIT_FIELD_POLICY_VERSION] = config->policy_version;
	return event;
}

static struct audit_event version_now(void)
{
	struct audit_event event = audit_event_now(AUDIT_VERSION);
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
	return a->type == b->type && memcmp(a->values, b->values, sizeof(a->values)) == 0 &&
	       audit_hash_equal(&a->hash, &b->hash);
}

/* ---- the start */

/* The last entry of a type, or its type is another: the last start says where it was. */
static bool find_last_of(struct audit_log *log, enum audit_event_type type, enum audit_field field,
			 struct audit_event *last, struct failure *failure)
{
	const uint32_t types = UINT32_C(1) << AUDIT_START | UINT32_C(1) << type;
	struct audit_event event;
	bool found;

	*last = (struct audit_event){.type = AUDIT_EVENTS};
	if (!audit_log_last(log, types, &found, &event, failure))
		return false;
	if (found && event.type == type)
		*last = event;
	else if (found && event.values[field] != AUDIT_ABSENT)
		return audit_log_read(log, event.values[field], last, failure);
	return true;
}

/* Something that a start points at: it is added where it is not what it was. */
struct pointed {
	struct audit_event is;
	enum audit_field field; /* of the start, for its index */
	bool wanted;
	bool changed;
};

static bool add_pointed(struct audit *audit, struct pointed *pointed, struct audit_event *start,
			struct failure *failure)
{
	struct audit_event last;

	start->values[pointed->field] = AUDIT_ABSENT;
	if (!find_last_of(audit->log, pointed->is.type, pointed->field, &last, failure))
		return false;
	pointed->changed = pointed->wanted && !same_values(&last, &pointed->is);
	if (pointed->changed) {
		start->values[pointed->field] = audit_log_size(audit->log) + audit->waiting.count;
		audit_queue_add(&audit->waiting, &pointed->is);
	} else if (last.type == pointed->is.type) {
		start->values[pointed->field] = last.index;
	}
	return true;
}

/*
 * Without a change of settings or version the start may wait; a change may not.  A log that is
 * switched off gets the entry that says so, and nothing more.
 */
static bool write_start(struct audit *audit, struct keyring *keys, const struct config *config,
			bool restored, struct failure *failure)
{
	struct audit_event start = audit_event_now(AUDIT_START);
	const bool on = config->audit_log;

	audit->keys = keys;
	audit->settings = settings_of(config, keys);
	audit->policy_version = config->policy_version;
	struct pointed pointed[] = {
	    {version_now(), AUDIT_FIELD_START_VERSION, on, false},
	    {audit->settings, AUDIT_FIELD_START_CONFIG, true, false},
	    {policy_of(config), AUDIT_FIELD_START_POLICY, on && config->policy_version > 0, false}};
	bool changed = restored;

	for (size_t i = 0; i < sizeof(pointed) / sizeof(pointed[0]); i++) {
		if (!add_pointed(audit, &pointed[i], &start, failure))
			return false;
		changed = changed || pointed[i].changed;
	}
	if (on)
		audit_queue_add(&audit->waiting, &start);
	if (restored)
		audit_wait_with_alert(audit, AUDIT_WORD_ALERT_LOG_RESTORED);
	if (on)
		audit_draw_tickets(audit);
	audit->scheduled_s = start.time_s;
	return audit_write_out(audit, NULL, failure) || !changed;
}

static void tell_found(const struct audit *audit, enum audit_log_was was)
{
	char vkey[NOTE_VKEY_SIZE];

	note_vkey_write(audit_log_verifier(audit->log), vkey);
	if (was == AUDIT_LOG_RESTORED)
		log_write(LOG_LEVEL_WARNING, "audit",
			  "the audit log was put back to an earlier state; it goes on under a new "
			  "origin, so whoever follows it needs this verifier key: %s",
			  vkey);
	if (was == AUDIT_LOG_CREATED)
		log_write(LOG_LEVEL_NOTICE, "audit",
			  "a new audit log; keep its verifier key where this machine cannot change "
			  "it: %s",
			  vkey);
}

static struct audit *create(int data_directory, struct keyring *keys, enum audit_log_was *was,
			    struct failure *failure)
{
	struct audit *audit = calloc(1, sizeof(*audit));

	must(audit && pthread_mutex_init(&audit->mutex, NULL) == 0 &&
	     pthread_mutex_init(&audit->inbox.mutex, NULL) == 0);
	for (size_t i = 0; i < AUDIT_WORDS; i++)
		audit->told_hour[i] = UINT64_MAX; /* never */
	audit->root_told_h = UINT64_MAX;
	audit->log = audit_log_open(data_directory, keys, was, failure);
	if (audit->log)
		tell_found(audit, *was);
	return audit;
}

static void destroy(struct audit *audit)
{
	audit_log_close(audit->log);
	audit_queue_finish(&audit->waiting);
	audit_queue_finish(&audit->inbox.events);
	receipt_tickets_wipe(&audit->tickets);
	receipt_tickets_wipe(&audit->next);
	pthread_mutex_destroy(&audit->mutex);
	pthread_mutex_destroy(&audit->inbox.mutex);
	free(audit);
}

bool audit_open(int data_directory, struct keyring *keys, const struct config *config,
		struct audit **audit, struct failure *failure)
{
	enum audit_log_was was = AUDIT_LOG_CONTINUED;

	*audit = NULL;
	if (!config->audit_log &&
	    faccessat(data_directory, AUDIT_LOG_FOLDER "/checkpoint", F_OK, 0) != 0)
		return true;
	struct audit *made = create(data_directory, keys, &was, failure);
	bool ok = made->log && write_start(made, keys, config, was == AUDIT_LOG_RESTORED, failure);

	if (ok && config->audit_log) {
		*audit = made;
		return true;
	}
	destroy(made);
	return ok;
}

/* ---- while it runs, and the end */

static bool write_changed(struct audit *audit, struct audit_event *settings,
			  struct audit_event *policy, struct failure *failure)
{
	if (!same_values(settings, &audit->settings)) {
		if (!audit_write_out(audit, settings, failure))
			return false;
		audit->settings = *settings;
	}
	if (policy->values[AUDIT_FIELD_POLICY_VERSION] != audit->policy_version) {
		if (!audit_write_out(audit, policy, failure))
			return false;
		audit->policy_version = policy->values[AUDIT_FIELD_POLICY_VERSION];
	}
	return true;
}

bool audit_settings(struct audit *audit, const struct config *config, struct failure *failure)
{
	if (!audit)
		return true;
	struct audit_event settings = settings_of(config, audit->keys);
	struct audit_event policy = policy_of(config);

	pthread_mutex_lock(&audit->mutex);
	/* Whether these are there needs a restart to change; what is in force is told. */
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		settings.values[fixed[i]] = audit->settings.values[fixed[i]];
	const bool ok = write_changed(audit, &settings, &policy, failure);

	pthread_mutex_unlock(&audit->mutex);
	return ok;
}

void audit_destroy(struct audit *audit, enum audit_word cause)
{
	struct audit_event event = audit_event_now(AUDIT_STOP);
	struct failure failure;

	if (!audit)
		return;
	audit->scheduled_s =
	    audit_hour_now(); /* the jobs have ended: they are not asked any more */
	audit_tend(audit);
	audit_gather_keys(audit);
	event.values[AUDIT_FIELD_STOP_CAUSE] = cause;
	audit_write_out(audit, &event, &failure);
	destroy(audit);
}
