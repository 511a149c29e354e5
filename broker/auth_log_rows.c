/* auth_log_rows.c - the rows of auth_log.h: written, read, and ended by the end of their keys. */
#include "broker/auth_log_internal.h"
#include "storage/bytes.h"
#include <inttypes.h>
#include <stdlib.h>

#define DAY_S	     86400u
#define MINUTE_S     60u
#define BODY_VERSION 1u
#define BODY_LEN     18u

/* Rows of one transaction. */
#define COMMIT_MAX 1000u

/* ---- periods */

uint64_t auth_log_period_s(uint32_t expiry_s)
{
	static const uint32_t periods_s[] = {DAY_S, 3600, 600};

	for (size_t i = 0; i < sizeof(periods_s) / sizeof(periods_s[0]); i++)
		if (expiry_s >= 2 * periods_s[i])
			return periods_s[i];
	return MINUTE_S;
}

static uint64_t epoch_of(const struct auth_log *log, uint64_t at_s)
{
	const uint64_t period_s = auth_log_period_s(atomic_load(&log->expiry_s));
	const uint64_t start_s = at_s - at_s % period_s;

	return start_s / (period_s == DAY_S ? DAY_S : MINUTE_S);
}

static uint64_t start_of(uint64_t epoch)
{
	return key_epoch_start_s(KEY_AUTH_DAY, epoch);
}

static uint64_t end_of(const struct auth_log *log, uint64_t epoch)
{
	return start_of(epoch) + atomic_load(&log->expiry_s);
}

void auth_log_add_rows(struct auth_log *log, uint64_t epoch, uint64_t rows)
{
	size_t i = log->period_count;

	while (i > 0 && log->periods[i - 1].epoch >= epoch)
		i--;
	if (i == log->period_count || log->periods[i].epoch != epoch) {
		must(log->period_count < SLOT_COUNT);
		memmove(log->periods + i + 1, log->periods + i,
			(log->period_count - i) * sizeof(log->periods[0]));
		log->periods[i] = (struct auth_log_period){.epoch = epoch};
		log->period_count++;
	}
	log->periods[i].rows += rows;
}

static bool forget(struct auth_log *log, uint64_t epoch, struct failure *failure)
{
	if (!vault_forget_day(log->vault, VAULT_AUTH, epoch, failure))
		return false;
	for (size_t i = 0; i < log->period_count; i++) {
		if (log->periods[i].epoch != epoch)
			continue;
		log->period_count--;
		memmove(log->periods + i, log->periods + i + 1,
			(log->period_count - i) * sizeof(log->periods[0]));
	}
	return true;
}

/* ---- the end of rows: the keys are asked, so that none is left behind */

uint64_t auth_log_expiry_due(const struct auth_log *log)
{
	uint64_t oldest_s;
	uint64_t newest_s;

	if (!auth_log_span(log, &oldest_s, &newest_s))
		return JOB_NEVER;
	auth_log_span(log, &oldest_s, &newest_s);
	return oldest_s + atomic_load(&log->expiry_s);
}

enum job_result auth_log_expiry_run(struct auth_log *log, uint64_t now_s, struct failure *failure)
{
	uint64_t epochs[SLOT_COUNT];
	const size_t count = keyring_epochs(log->keyring, KEY_AUTH_DAY, epochs);

	for (size_t i = 0; i < count; i++)
		if (end_of(log, epochs[i]) <= now_s && !forget(log, epochs[i], failure))
			return JOB_FAILED;
	return JOB_DONE;
}

bool auth_log_span(const struct auth_log *log, uint64_t *oldest_s, uint64_t *newest_s)
{
	uint64_t epochs[SLOT_COUNT];
	const size_t count = log->vault ? keyring_epochs(log->keyring, KEY_AUTH_DAY, epochs) : 0;

	*oldest_s = UINT64_MAX;
	*newest_s = 0;
	for (size_t i = 0; i < count; i++) {
		const uint64_t start_s = start_of(epochs[i]);

		*oldest_s = start_s < *oldest_s ? start_s : *oldest_s;
		*newest_s = start_s > *newest_s ? start_s : *newest_s;
	}
	return count > 0;
}

/* ---- writing */

static void add_pending(struct auth_log *log, const struct auth_log_place *place)
{
	if (log->pending_count == AUTH_LOG_PENDING_MAX) {
		atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
		return;
	}
	if (log->pending_count == log->pending_room) {
		log->pending_room = log->pending_room > 0 ? log->pending_room * 2 : 64;
		log->pending = realloc(log->pending, log->pending_room * sizeof(log->pending[0]));
		must(log->pending);
	}
	log->pending[log->pending_count++] = (struct auth_log_pending){
	    .account = place->account, .minute = log->minute, .result = place->result};
}

/* What is new in the table; at the end of its minute it is emptied. */
static void take_table(struct auth_log *log, uint64_t now_s)
{
	pthread_mutex_lock(&log->mutex);
	for (size_t i = 0; log->used > 0 && i < AUTH_LOG_PLACES; i++) {
		struct auth_log_place *place = &log->places[i];

		if (place->account != 0 && !place->taken)
			add_pending(log, place);
		place->taken = place->account != 0;
	}
	if (log->minute != now_s / MINUTE_S) {
		if (log->used > 0)
			explicit_bzero(log->places, sizeof(log->places));
		log->used = 0;
		log->minute = now_s / MINUTE_S;
	}
	pthread_mutex_unlock(&log->mutex);
}

/* Of those before a period; NULL: there is none. */
static const struct auth_log_period *oldest_of(const struct auth_log *log, uint64_t epoch)
{
	const struct auth_log_period *oldest = NULL;

	for (size_t i = 0; i < log->period_count; i++) {
		const struct auth_log_period *period = &log->periods[i];

		if (start_of(period->epoch) < start_of(oldest ? oldest->epoch : epoch))
			oldest = period;
	}
	return oldest;
}

/* Makes room for `rows` more of a period; false with no failure's text: there is none. */
static bool make_room(struct auth_log *log, uint64_t epoch, size_t rows, bool *room,
		      struct failure *failure)
{
	const uint64_t max_rows = atomic_load(&log->max_bytes) / AUTH_LOG_ROW_BYTES;

	for (;;) {
		uint64_t all = rows;

		for (size_t i = 0; i < log->period_count; i++)
			all += log->periods[i].rows;
		*room = all <= max_rows;
		const struct auth_log_period *oldest = *room ? NULL : oldest_of(log, epoch);

		if (!oldest)
			return true;
		if (!forget(log, oldest->epoch, failure))
			return false;
	}
}

static void write_body(const struct auth_log_pending *pending, uint8_t body[BODY_LEN])
{
	uint8_t *at = bytes_put(body, BODY_VERSION, 1);

	at = bytes_put(at, pending->account, 8);
	at = bytes_put(at, pending->minute, 8);
	at = bytes_put(at, pending->result, 1);
	must(at == body + BODY_LEN);
}

static void drop_pending(struct auth_log *log, size_t count)
{
	log->pending_count -= count;
	memmove(log->pending, log->pending + count, log->pending_count * sizeof(log->pending[0]));
	explicit_bzero(log->pending + log->pending_count, count * sizeof(log->pending[0]));
}

static bool commit(struct auth_log *log, uint64_t epoch, size_t count, struct failure *failure)
{
	uint8_t(*bodies)[BODY_LEN] = malloc(count * sizeof(*bodies));
	struct vault_op *ops = calloc(count, sizeof(*ops));

	must(bodies && ops);
	for (size_t i = 0; i < count; i++) {
		write_body(&log->pending[i], bodies[i]);
		ops[i] = (struct vault_op){VAULT_PUT, VAULT_AUTH, vault_new_row(log->vault), epoch,
					   slice_of(bodies[i], BODY_LEN)};
	}
	const bool ok = vault_commit(log->vault, ops, count, failure);

	explicit_bzero(bodies, count * sizeof(*bodies));
	free(bodies);
	free(ops);
	return ok;
}

/* The first rows that wait, of one period. */
static bool write_some(struct auth_log *log, uint64_t now_s, struct failure *failure)
{
	const uint64_t epoch = epoch_of(log, log->pending[0].minute * MINUTE_S);
	size_t count = 1;
	bool room;

	while (count < log->pending_count && count < COMMIT_MAX &&
	       epoch_of(log, log->pending[count].minute * MINUTE_S) == epoch)
		count++;
	if (end_of(log, epoch) <= now_s) { /* its key is gone, and is not made again */
		drop_pending(log, count);
		return true;
	}
	if (!make_room(log, epoch, count, &room, failure) ||
	    (room && !commit(log, epoch, count, failure)))
		return false;
	if (room)
		auth_log_add_rows(log, epoch, count);
	else
		atomic_fetch_add_explicit(&log->lost, count, memory_order_relaxed);
	drop_pending(log, count);
	return true;
}

uint64_t auth_log_write_due(const struct auth_log *log, uint64_t last_s)
{
	if (!log->vault)
		return JOB_NEVER;
	return last_s == 0 ? 0 : last_s - last_s % AUTH_LOG_WRITE_S + AUTH_LOG_WRITE_S;
}

/* A key is made for each period whether anybody logs in or not: that it was made says nothing. */
enum job_result auth_log_write_run(struct auth_log *log, uint64_t now_s, struct failure *failure)
{
	take_table(log, now_s);
	if (!keyring_make(log->keyring, KEY_AUTH_DAY, epoch_of(log, now_s), failure))
		return JOB_FAILED;
	while (log->pending_count > 0)
		if (!write_some(log, now_s, failure))
			return JOB_FAILED;
	return JOB_DONE;
}

/* ---- reading */

struct search {
	uint64_t account;
	void *self;
	void (*call)(void *self, const struct auth_log_row *row);
};

static bool show_row(void *self, uint64_t row, uint64_t epoch, struct slice body,
		     struct failure *failure)
{
	const struct search *search = self;

	(void)epoch;
	if (body.len != BODY_LEN || body.at[0] != BODY_VERSION || body.at[17] >= AUTH_LOG_RESULTS)
		return failure_set(failure, "row %016" PRIx64 " is not that of a login", row);
	if (bytes_get(body.at + 1, 8) == search->account)
		search->call(search->self, &(struct auth_log_row){
					       .minute_s = bytes_get(body.at + 9, 8) * MINUTE_S,
					       .result = (enum auth_log_result)body.at[17]});
	return true;
}

bool auth_log_each(struct auth_log *log, uint64_t account, void *self,
		   void (*call)(void *self, const struct auth_log_row *row),
		   struct failure *failure)
{
	struct search search = {account, self, call};
	const struct vault_visitor visitor = {.self = &search, .row = show_row};

	return !log->vault || vault_load(log->vault, VAULT_AUTH, &visitor, failure);
}
