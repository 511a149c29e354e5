/*
 * household_ledger.c - what the privacy ledger says of this broker: one line of the table for each
 * class of data, and where its numbers come from.
 *
 * Thread: any; everything read here is atomic, has its own mutex, or does not change.
 */
#include "proto/version.h"
#include "broker/household_internal.h"
#include <stdio.h>
#include <sys/stat.h>

#define DAY_S  86400u
#define HOUR_S 3600u

/* ---- where numbers come from */

static void count_payload(struct household *house, struct ledger_row *row)
{
	row->bytes = atomic_load_explicit(&house->payload_memory.bytes, memory_order_relaxed);
}

static void count_sessions(struct household *house, struct ledger_row *row)
{
	struct metrics metrics;

	household_gather(house, &metrics);
	row->rows = metrics_level(&metrics, HAPPENED_SESSIONS);
	row->limit_s = house->config->core.session_expiry_max_s;
}

static void count_accounts(struct household *house, struct ledger_row *row)
{
	row->rows = house->accounts ? accounts_count(house->accounts) : 0;
}

static void count_ban(void *self, const struct door_ban *ban)
{
	struct ledger_row *row = self;

	(void)ban;
	row->rows++;
}

static void count_bans(struct household *house, struct ledger_row *row)
{
	row->rows = 0;
	row->limit_s = DAY_S;
	if (house->door)
		door_each_ban(house->door, row, count_ban);
}

static void count_log(struct household *house, struct ledger_row *row)
{
	struct audit_standing standing;

	if (audit_standing(house->audit, &standing))
		row->rows = standing.checkpoint.size;
}

/* Of classes that end with the keys of their hours or days. */
static void count_keys(struct household *house, struct ledger_row *row, enum key_class class,
		       uint64_t unit_s, uint64_t life)
{
	uint64_t epochs[SLOT_COUNT];
	const size_t count = house->keys ? keyring_epochs(house->keys, class, epochs) : 0;

	row->limit_s = life * unit_s;
	if (count == 0)
		return;
	row->oldest_s = epochs[0] * unit_s;
	row->next_s = (epochs[0] + life) * unit_s;
}

static void count_auth(struct household *house, struct ledger_row *row)
{
	uint64_t newest_s;
	uint64_t oldest_s;

	row->limit_s = house->config->auth_expiry_s;
	if (!auth_log_span(house->auth_log, &oldest_s, &newest_s))
		return;
	row->oldest_s = oldest_s;
	row->next_s = auth_log_expiry_due(house->auth_log);
}

static void count_aggregate(struct household *house, struct ledger_row *row)
{
	count_keys(house, row, KEY_AGGREGATE_DAY, DAY_S, 91);
	row->limit_s = house->config->aggregate_expiry_s;
	if (house->aggregate && row->oldest_s > 0)
		row->next_s = aggregate_expiry_due(house->aggregate);
}

static void count_envelope(struct household *house, struct ledger_row *row)
{
	count_keys(house, row, KEY_ENVELOPE, HOUR_S, 1);
}

static void count_routes(struct household *house, struct ledger_row *row)
{
	household_tell_routes(house, row);
}

/* ---- the classes */

static const struct {
	enum audit_word class; /* of its jobs; AUDIT_WORDS: none */
	const char *name, *holds, *where, *until;
	void (*count)(struct household *house, struct ledger_row *row);
	enum key_class
	    needs; /* the class ends with such keys, where there is a keyring; KEY_NONE: not */
} classes[] = {
    {AUDIT_WORDS, "payload", "What messages carry: retained messages, wills and queues too",
     "memory only, never on disk", "delivered, expired, or the broker ends", count_payload,
     KEY_NONE},
    {AUDIT_WORD_CLASS_ROUTE, "route",
     "A line for each delivery: when, from whom to whom (by pseudonyms of the hour), QoS, what "
     "became of it; no topic, no address, no size",
     "data.mdb, sealed under a key of the hour that is in memory only",
     "a day after the hour began at most, or the broker's end", count_routes, KEY_NONE},
    {AUDIT_WORD_CLASS_SESSION, "session",
     "Subscriptions and open QoS 2 exchanges of clients that asked to be remembered",
     "data.mdb, sealed under a key of its own",
     "the session's end, or its expiry after the last disconnect", count_sessions, KEY_NONE},
    {AUDIT_WORD_CLASS_ACCOUNT, "account",
     "Hashed password, e-mail address as a keyed hash, rights, settings",
     "data.mdb, sealed under a key of its own", "deletion, at once", count_accounts, KEY_NONE},
    {AUDIT_WORD_CLASS_GUARD, "guard",
     "Addresses of failed logins, clients that connect too often, and bans",
     "memory only, never on disk", "the ban's end, or a day", count_bans, KEY_NONE},
    {AUDIT_WORD_CLASS_ENVELOPE, "envelope", "Open QoS 2 deliveries, without topic and payload",
     "data.mdb, sealed under a key that is replaced each hour", "an hour after its end",
     count_envelope, KEY_ENVELOPE},
    {AUDIT_WORD_CLASS_AUTH, "auth", "A line for each account, minute and result of a login",
     "data.mdb, sealed under a key of the day", "30 days at most", count_auth, KEY_AUTH_DAY},
    {AUDIT_WORD_CLASS_AGGREGATE, "aggregate", "Totals of a day, with noise; nobody's name",
     "data.mdb, sealed under a key of the day", "90 days at most", count_aggregate,
     KEY_AGGREGATE_DAY},
    {AUDIT_WORD_CLASS_AUDIT, "audit", "What happened to the broker and its keys; never a client",
     "log/, public", "never", count_log, KEY_NONE},
};

struct find_jobs {
	enum audit_word class;
	uint64_t now_s;
	struct ledger_row *row;
};

static void see_job(void *self, const struct job_state *state)
{
	const struct find_jobs *find = self;
	struct ledger_row *row = find->row;

	if (state->class != find->class)
		return;
	if (state->last_s > 0 && (row->job_s == LEDGER_UNKNOWN || state->last_s > row->job_s))
		row->job_s = state->last_s;
	if (state->due_s != JOB_NEVER && row->next_s == LEDGER_UNKNOWN)
		row->next_s = state->due_s;
	row->late =
	    row->late || (state->due_s != JOB_NEVER && state->due_s + JOB_LATE_S < find->now_s);
}

static void add_row(struct household *house, struct ledger *ledger, size_t number)
{
	struct ledger_row *row = &ledger->rows[ledger->row_count];
	const enum key_class needs = classes[number].needs;

	if (needs != KEY_NONE && !house->keys)
		return;
	*row = (struct ledger_row){.class = classes[number].name,
				   .holds = classes[number].holds,
				   .where = classes[number].where,
				   .until = classes[number].until,
				   .rows = LEDGER_UNKNOWN,
				   .bytes = LEDGER_UNKNOWN,
				   .oldest_s = LEDGER_UNKNOWN,
				   .limit_s = LEDGER_UNKNOWN,
				   .next_s = LEDGER_UNKNOWN,
				   .job_s = LEDGER_UNKNOWN};
	classes[number].count(house, row);
	if (house->jobs)
		jobs_each(house->jobs,
			  &(struct find_jobs){classes[number].class, ledger->now_s, row}, see_job);
	/* A key that lives longer than it should makes its class late, whatever the jobs say. */
	row->late = row->late || (needs != KEY_NONE && row->next_s != LEDGER_UNKNOWN &&
				  row->next_s + JOB_LATE_S < ledger->now_s);
	ledger->row_count++;
}

/* ---- the broker */

static uint64_t store_bytes(const struct household *house)
{
	struct stat st;

	return house->directory >= 0 && fstatat(house->directory, "data.mdb", &st, 0) == 0
		   ? (uint64_t)st.st_blocks * 512
		   : 0;
}

static void tell_memory(const struct household *house, struct ledger *ledger)
{
	struct failure failure = {""};

	ledger->memory_protected = household_memory_protected(house, &failure);
	if (!ledger->memory_protected)
		memcpy(ledger->memory, failure.text, sizeof(ledger->memory));
}

static void tell_keys(const struct household *house, struct ledger *ledger)
{
	ledger->erase_level = "nothing is kept";
	if (!house->keys)
		return;
	const struct erase_finding found = keyring_erase_level(house->keys);

	ledger->erase_level = found.level == ERASE_CLEAR ? "clear" : "none";
	if (found.level != ERASE_CLEAR)
		snprintf(ledger->erase, sizeof(ledger->erase), "none: %.480s", found.why.text);
	ledger->at_rest = keyring_is_wrapped(house->keys);
}

static void tell_log(const struct household *house, struct ledger *ledger)
{
	struct audit_standing standing;

	ledger->has_log = audit_standing(house->audit, &standing);
	if (!ledger->has_log)
		return;
	ledger->log_size = standing.checkpoint.size;
	ledger->log_writable = standing.writable;
	memcpy(ledger->origin, standing.origin, sizeof(ledger->origin));
	audit_base64_write(slice_of(standing.checkpoint.root.bytes, AUDIT_HASH_LEN),
			   ledger->log_root, sizeof(ledger->log_root));
}

void household_fill_ledger(void *self, struct ledger *ledger)
{
	struct household *house = self;
	const struct config *config = house->config;

	*ledger = (struct ledger){.version = METRINO_VERSION,
				  .now_s = moment_now().wall_s,
				  .region = config->region,
				  .contact = config->privacy_contact,
				  .policy_version = config->policy_version,
				  .store_bytes = store_bytes(house)};
	tell_memory(house, ledger);
	tell_keys(house, ledger);
	tell_log(house, ledger);
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		add_row(house, ledger, i);
}
