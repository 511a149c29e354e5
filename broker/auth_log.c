/* auth_log.c - see auth_log.h. */
#include "broker/auth_log_internal.h"
#include "broker/core/hash.h"
#include <stdlib.h>

static const char *const result_texts[AUTH_LOG_RESULTS] = {
    [AUTH_LOG_RIGHT] = "right", [AUTH_LOG_WRONG] = "wrong", [AUTH_LOG_REFUSED] = "refused"};

const char *auth_log_result_text(enum auth_log_result result)
{
	must(result < AUTH_LOG_RESULTS);
	return result_texts[result];
}

/* ---- the table of the minute */

/* Its place, or a free one: half of them always are. */
static struct auth_log_place *find_place(struct auth_log *log, uint64_t account,
					 enum auth_log_result result)
{
	const uint64_t hash = hash_mix(account + result);

	for (uint64_t i = hash;; i++) {
		struct auth_log_place *place = &log->places[i % AUTH_LOG_PLACES];

		if (place->account == 0 || (place->account == account && place->result == result))
			return place;
	}
}

static void note_account(struct auth_log *log, uint64_t account, enum auth_log_result result)
{
	pthread_mutex_lock(&log->mutex);
	struct auth_log_place *place = find_place(log, account, result);

	if (place->account == 0 && log->used == AUTH_LOG_PLACES / 2) {
		atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
	} else if (place->account == 0) {
		*place = (struct auth_log_place){.account = account, .result = (uint8_t)result};
		log->used++;
	}
	pthread_mutex_unlock(&log->mutex);
}

void auth_log_note(struct auth_log *log, enum identity_kind kind, uint64_t account,
		   enum auth_log_result result)
{
	if (!log)
		return;
	must(kind < IDENTITY_KINDS && result < AUTH_LOG_RESULTS);
	atomic_fetch_add_explicit(&log->logins[kind][result], 1, memory_order_relaxed);
	if (account != 0 && log->vault)
		note_account(log, account, result);
}

void auth_log_count(struct auth_log *log, struct auth_log_counts *counts)
{
	for (size_t kind = 0; kind < IDENTITY_KINDS; kind++)
		for (size_t result = 0; result < AUTH_LOG_RESULTS; result++)
			counts->logins[kind][result] =
			    atomic_load_explicit(&log->logins[kind][result], memory_order_relaxed);
	counts->lost = atomic_load_explicit(&log->lost, memory_order_relaxed);
}

/* ---- life */

void auth_log_set_limits(struct auth_log *log, const struct auth_log_limits *limits)
{
	atomic_store(&log->expiry_s, limits->expiry_s);
	atomic_store(&log->max_bytes, limits->max_bytes);
}

static bool count_row(void *self, uint64_t row, uint64_t epoch, struct slice body,
		      struct failure *failure)
{
	struct auth_log *log = self;

	(void)row;
	(void)body;
	(void)failure;
	auth_log_add_rows(log, epoch, 1);
	return true;
}

struct auth_log *auth_log_open(struct vault *vault, struct keyring *keyring,
			       const struct auth_log_limits *limits, struct failure *failure)
{
	struct auth_log *log = calloc(1, sizeof(*log));
	const struct vault_visitor visitor = {.self = log, .row = count_row};

	must(log && pthread_mutex_init(&log->mutex, NULL) == 0);
	log->vault = vault;
	log->keyring = keyring;
	auth_log_set_limits(log, limits);
	if (!vault || vault_load(vault, VAULT_AUTH, &visitor, failure))
		return log;
	auth_log_close(log);
	return NULL;
}

void auth_log_close(struct auth_log *log)
{
	if (!log)
		return;
	explicit_bzero(log->places, sizeof(log->places));
	if (log->pending)
		explicit_bzero(log->pending, log->pending_count * sizeof(*log->pending));
	free(log->pending);
	pthread_mutex_destroy(&log->mutex);
	free(log);
}
