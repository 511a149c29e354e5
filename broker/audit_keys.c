/*
 * audit_keys.c - keys that came and went, for the audit log: left by the keyring's hooks, told once
 * an hour, and compared with the keyring at a start.
 */
#include "broker/audit_internal.h"
#include "broker/net/moment.h"
#include <stdlib.h>

#define DAY_S 86400u

static uint64_t hour_number(void)
{
	return audit_hour_now() / AUDIT_HOUR_S;
}

/* ---- hooks */

static struct audit_event key_event(enum audit_event_type type, const struct audit_key *key)
{
	struct audit_event event = audit_event_now(type);
	const bool is_new = type == AUDIT_KEY_NEW;

	event.values[is_new ? AUDIT_FIELD_KEY_NEW_CLASS : AUDIT_FIELD_KEY_GONE_CLASS] = key->class;
	event.values[is_new ? AUDIT_FIELD_KEY_NEW_EPOCH : AUDIT_FIELD_KEY_GONE_EPOCH] = key->epoch;
	return event;
}

static struct audit_event gone_event(const struct audit_key *key, enum audit_word level)
{
	struct audit_event event = key_event(AUDIT_KEY_GONE, key);

	event.values[AUDIT_FIELD_KEY_GONE_LEVEL] = level;
	return event;
}

void audit_key_new(struct audit *audit, const struct audit_key *key)
{
	if (!audit)
		return;
	const struct audit_event event = key_event(AUDIT_KEY_NEW, key);

	pthread_mutex_lock(&audit->inbox.mutex);
	if (key->class == AUDIT_WORD_CLASS_ROOT) {
		audit->inbox.roots++;
		audit->inbox.root_made_h = hour_number();
	} else {
		audit_queue_add(&audit->inbox.events, &event);
	}
	pthread_mutex_unlock(&audit->inbox.mutex);
}

void audit_key_gone(struct audit *audit, const struct audit_key *key, enum audit_word level)
{
	if (!audit)
		return;
	const struct audit_event event = gone_event(key, level);

	pthread_mutex_lock(&audit->inbox.mutex);
	audit->inbox.level = level;
	if (key->class != AUDIT_WORD_CLASS_ROOT)
		audit_queue_add(&audit->inbox.events, &event);
	else if (audit->inbox.roots > 0)
		audit->inbox.roots--;
	pthread_mutex_unlock(&audit->inbox.mutex);
}

/* ---- once an hour */

/*
 * The root of hour `root_told_h` is gone when the only one that lives was made later.  A turn that
 * came to nothing shows: the old one stays without its key.gone.
 */
static void tell_root(struct audit *audit)
{
	const struct audit_inbox *inbox = &audit->inbox;
	const struct audit_key old = {AUDIT_WORD_CLASS_ROOT, audit->root_told_h};
	const struct audit_key new = {AUDIT_WORD_CLASS_ROOT, inbox->root_made_h};

	if (inbox->roots != 1 || inbox->root_made_h == audit->root_told_h)
		return;
	const struct audit_event made = key_event(AUDIT_KEY_NEW, &new);
	const struct audit_event gone = gone_event(&old, inbox->level);

	audit_queue_add(&audit->waiting, &made);
	if (audit->root_told_h != UINT64_MAX)
		audit_queue_add(&audit->waiting, &gone);
	audit->root_told_h = inbox->root_made_h;
}

void audit_gather_keys(struct audit *audit)
{
	struct audit_inbox *inbox = &audit->inbox;

	pthread_mutex_lock(&inbox->mutex);
	tell_root(audit);
	for (size_t i = 0; i < inbox->events.count; i++)
		audit_queue_add(&audit->waiting, &inbox->events.at[i]);
	inbox->events.count = 0;
	pthread_mutex_unlock(&inbox->mutex);
}

/* ---- at a start */

/* What the log says of keys, from the last entry back. */
struct comparison {
	const struct audit_key *living;
	size_t count;
	bool *known; /* by the log: for each that lives */
	enum audit_word level;
	uint64_t since_s;
	struct audit_queue gone;    /* that the log knows of */
	struct audit_queue missing; /* key.gone that it lacks */
	uint64_t root_h;	    /* UINT64_MAX: no root yet */
};

static bool knows_gone(const struct comparison *comparison, const struct audit_key *key)
{
	for (size_t i = 0; i < comparison->gone.count; i++) {
		const uint64_t *values = comparison->gone.at[i].values;

		if (values[AUDIT_FIELD_KEY_GONE_CLASS] == key->class &&
		    values[AUDIT_FIELD_KEY_GONE_EPOCH] == key->epoch)
			return true;
	}
	return false;
}

static bool lives(struct comparison *comparison, const struct audit_key *key)
{
	for (size_t i = 0; i < comparison->count; i++)
		if (comparison->living[i].class == key->class &&
		    comparison->living[i].epoch == key->epoch) {
			comparison->known[i] = true;
			return true;
		}
	return false;
}

static void see_new(struct comparison *comparison, const struct audit_key *key)
{
	if (knows_gone(comparison, key))
		return;
	if (key->class == AUDIT_WORD_CLASS_ROOT) { /* told by its hour */
		if (comparison->root_h == UINT64_MAX)
			comparison->root_h = key->epoch;
		return;
	}
	if (lives(comparison, key))
		return;
	const struct audit_event event = gone_event(key, comparison->level);

	audit_queue_add(&comparison->missing, &event);
}

static bool see(void *self, const struct audit_event *event)
{
	struct comparison *comparison = self;

	if (event->type == AUDIT_KEY_GONE)
		audit_queue_add(&comparison->gone, event);
	if (event->type == AUDIT_KEY_NEW)
		see_new(comparison, &(struct audit_key){
					(enum audit_word)event->values[AUDIT_FIELD_KEY_NEW_CLASS],
					event->values[AUDIT_FIELD_KEY_NEW_EPOCH]});
	return event->time_s >= comparison->since_s;
}

/* The root that lives is, as far as the log knows, the one that it knows. */
static void adopt_roots(struct audit *audit, const struct comparison *comparison)
{
	struct audit_inbox *inbox = &audit->inbox;

	pthread_mutex_lock(&inbox->mutex);
	inbox->roots = 0;
	for (size_t i = 0; i < comparison->count; i++)
		inbox->roots += comparison->living[i].class == AUDIT_WORD_CLASS_ROOT;
	inbox->root_made_h = comparison->root_h == UINT64_MAX ? hour_number() : comparison->root_h;
	inbox->level = comparison->level;
	inbox->events.count = 0; /* all of it is in the comparison */
	audit->root_told_h = comparison->root_h;
	tell_root(audit);
	pthread_mutex_unlock(&inbox->mutex);
}

static void add_missing(struct audit *audit, const struct comparison *comparison)
{
	for (size_t i = 0; i < comparison->missing.count; i++)
		audit_queue_add(&audit->waiting, &comparison->missing.at[i]);
	for (size_t i = 0; i < comparison->count; i++) {
		const struct audit_key *key = &comparison->living[i];
		const struct audit_event event = key_event(AUDIT_KEY_NEW, key);

		if (!comparison->known[i] && key->class != AUDIT_WORD_CLASS_ROOT)
			audit_queue_add(&audit->waiting, &event);
	}
}

bool audit_compare_keys(struct audit *audit, const struct audit_key *living, size_t count,
			enum audit_word level, struct failure *failure)
{
	const uint64_t now_s = audit_hour_now();
	const uint64_t back_s = (uint64_t)AUDIT_KEY_DAYS * DAY_S;
	struct comparison comparison = {.living = living,
					.count = count,
					.level = level,
					.since_s = now_s > back_s ? now_s - back_s : 0,
					.root_h = UINT64_MAX};

	if (!audit)
		return true;
	comparison.known = calloc(count + 1, sizeof(*comparison.known));
	must(comparison.known);
	pthread_mutex_lock(&audit->mutex);
	bool ok = audit_log_back(audit->log, "\"event\":\"key.", see, &comparison, failure);

	if (ok) {
		adopt_roots(audit, &comparison);
		add_missing(audit, &comparison);
		ok = audit->waiting.count == 0 || audit_write_out(audit, NULL, failure);
	}
	pthread_mutex_unlock(&audit->mutex);
	free(comparison.known);
	audit_queue_finish(&comparison.gone);
	audit_queue_finish(&comparison.missing);
	return ok;
}
