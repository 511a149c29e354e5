/* aggregate.c - see aggregate.h. */
#include "broker/aggregate.h"
#include "broker/log.h"
#include "storage/seal.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define DAY_S 86400u

/* Days that can be kept: AGGREGATE_EXPIRY_MAX, and those at its ends. */
#define RELEASES_MAX 96u

struct aggregate {
	struct aggregate_needs needs;
	_Atomic uint32_t expiry_s;
	uint64_t next_day; /* the first that has no row */
	bool whole;	   /* it was counted from its beginning on */
	/* While the tables of the day before `today` are brought together: */
	struct tally_round *round; /* NULL: they are not */
	uint64_t patience_s;	   /* until then */
	bool in_time;		   /* that began when the day was just over */
	pthread_mutex_t mutex;	   /* of the releases */
	size_t count;
	struct aggregate_release releases[RELEASES_MAX]; /* by day */
};

static uint64_t draw(void *self)
{
	uint64_t bits;

	(void)self;
	seal_random(&bits, sizeof(bits));
	return bits;
}

static const struct chance chance = {NULL, draw};

/* ---- the list */

static void add(struct aggregate *aggregate, const struct aggregate_release *release)
{
	struct aggregate_release *releases = aggregate->releases;

	pthread_mutex_lock(&aggregate->mutex);
	must(aggregate->count < RELEASES_MAX);
	size_t i = aggregate->count++;

	for (; i > 0 && releases[i - 1].day > release->day; i--)
		releases[i] = releases[i - 1];
	releases[i] = *release;
	pthread_mutex_unlock(&aggregate->mutex);
}

static void drop_before(struct aggregate *aggregate, uint64_t day)
{
	size_t gone = 0;

	pthread_mutex_lock(&aggregate->mutex);
	while (gone < aggregate->count && aggregate->releases[gone].day < day)
		gone++;
	aggregate->count -= gone;
	memmove(aggregate->releases, aggregate->releases + gone,
		aggregate->count * sizeof(aggregate->releases[0]));
	explicit_bzero(aggregate->releases + aggregate->count,
		       gone * sizeof(aggregate->releases[0]));
	pthread_mutex_unlock(&aggregate->mutex);
}

void aggregate_each(struct aggregate *aggregate, void *self,
		    void (*call)(void *self, const struct aggregate_release *release))
{
	struct aggregate_release copy[RELEASES_MAX];

	pthread_mutex_lock(&aggregate->mutex);
	const size_t count = aggregate->count;

	memcpy(copy, aggregate->releases, count * sizeof(copy[0]));
	pthread_mutex_unlock(&aggregate->mutex);
	for (size_t i = 0; i < count; i++)
		call(self, &copy[i]);
}

/* ---- the start */

static bool take_row(void *self, uint64_t row, uint64_t day, struct slice body,
		     struct failure *failure)
{
	struct aggregate *aggregate = self;
	struct aggregate_release release;

	if (!aggregate_release_read(body, &release) || release.day != day ||
	    aggregate->count == RELEASES_MAX)
		return failure_set(failure, "row %016" PRIx64 " is not the release of a day", row);
	add(aggregate, &release);
	if (release.day >= aggregate->next_day)
		aggregate->next_day = release.day + 1;
	return true;
}

struct aggregate *aggregate_open(const struct aggregate_needs *needs, uint64_t now_s,
				 struct failure *failure)
{
	struct aggregate *aggregate = calloc(1, sizeof(*aggregate));

	must(aggregate && pthread_mutex_init(&aggregate->mutex, NULL) == 0);
	aggregate->needs = *needs;
	atomic_init(&aggregate->expiry_s, 0);
	const struct vault_visitor visitor = {.self = aggregate, .row = take_row};

	if (!vault_load(needs->vault, VAULT_AGGREGATE, &visitor, failure)) {
		aggregate_close(aggregate);
		return NULL;
	}
	if (aggregate->count == 0)
		aggregate->next_day = now_s / DAY_S;
	return aggregate;
}

void aggregate_close(struct aggregate *aggregate)
{
	if (!aggregate)
		return;
	if (aggregate->round)
		tally_round_release(aggregate->round);
	pthread_mutex_destroy(&aggregate->mutex);
	free(aggregate);
}

void aggregate_set_expiry(struct aggregate *aggregate, uint32_t expiry_s)
{
	atomic_store(&aggregate->expiry_s, expiry_s);
}

/* ---- the release */

static uint64_t end_of(uint64_t day)
{
	return (day + 1) * DAY_S;
}

uint64_t aggregate_release_due(const struct aggregate *aggregate)
{
	return end_of(aggregate->next_day);
}

/* The row is the mark that the day is done: both are there, or none. */
static bool keep(struct aggregate *aggregate, const struct aggregate_counts *counts,
		 struct failure *failure)
{
	const uint64_t day = aggregate->next_day;
	struct aggregate_release release;
	uint8_t body[AGGREGATE_BODY_LEN];

	if (aggregate->count == RELEASES_MAX)
		return failure_set(failure, "releases that are past their time are still there");
	aggregate_release_make(day, counts, &chance, &release);
	aggregate_release_write(&release, body);
	if (!keyring_make(aggregate->needs.keyring, KEY_AGGREGATE_DAY, day, failure) ||
	    !vault_put(aggregate->needs.vault, VAULT_AGGREGATE,
		       vault_new_row(aggregate->needs.vault), day, slice_of(body, sizeof(body)),
		       failure))
		return false;
	add(aggregate, &release);
	aggregate->next_day++;
	return true;
}

/* Days that the broker did not see; those that would be gone by now are left out. */
static bool catch_up(struct aggregate *aggregate, uint64_t today, struct failure *failure)
{
	const uint64_t kept_days = atomic_load(&aggregate->expiry_s) / DAY_S;

	if (aggregate->next_day + kept_days < today)
		aggregate->next_day = today - kept_days - (kept_days == 0);
	while (aggregate->next_day + 1 < today)
		if (!keep(aggregate, NULL, failure))
			return false;
	return true;
}

static enum job_result ask(struct aggregate *aggregate, uint64_t now_s, uint64_t today,
			   struct failure *failure)
{
	aggregate->whole = aggregate->whole && aggregate->next_day + 1 == today;
	if (!catch_up(aggregate, today, failure))
		return JOB_FAILED;
	aggregate->in_time = now_s < today * DAY_S + JOB_LATE_S;
	aggregate->patience_s = now_s + AGGREGATE_PATIENCE_S;
	aggregate->round = aggregate->needs.ask(aggregate->needs.self);
	return JOB_AGAIN;
}

/* What was counted, whether it can be used or not, is gone then; the next day has begun. */
static bool finish(struct aggregate *aggregate, struct tally *tally, struct failure *failure)
{
	const struct tally_sums sums = tally_sum(tally);
	const struct aggregate_counts counts = {
	    .of_qos = {sums.of_qos[0], sums.of_qos[1], sums.of_qos[2]}, .accounts = sums.accounts};
	const bool good = aggregate->whole && aggregate->in_time && !tally->full;

	tally_finish(tally);
	aggregate->whole = false;
	if (!keep(aggregate, good ? &counts : NULL, failure))
		return false;
	aggregate->whole = aggregate->in_time;
	return true;
}

enum job_result aggregate_release_run(struct aggregate *aggregate, uint64_t now_s,
				      struct failure *failure)
{
	struct tally tally = {0};

	if (!aggregate->round)
		return ask(aggregate, now_s, now_s / DAY_S, failure);
	if (!tally_round_take(aggregate->round, &tally)) {
		if (now_s < aggregate->patience_s)
			return JOB_AGAIN;
		aggregate->in_time = false;
	}
	tally_round_release(aggregate->round);
	aggregate->round = NULL;
	return finish(aggregate, &tally, failure) ? JOB_DONE : JOB_FAILED;
}

/* ---- the end */

/* The keys are asked, not the rows: none may be left behind. */
uint64_t aggregate_expiry_due(const struct aggregate *aggregate)
{
	uint64_t days[SLOT_COUNT];

	if (keyring_epochs(aggregate->needs.keyring, KEY_AGGREGATE_DAY, days) == 0)
		return JOB_NEVER;
	return end_of(days[0]) + atomic_load(&aggregate->expiry_s);
}

uint64_t aggregate_newest_s(const struct aggregate *aggregate)
{
	uint64_t days[SLOT_COUNT];
	const size_t count = keyring_epochs(aggregate->needs.keyring, KEY_AGGREGATE_DAY, days);

	return count > 0 ? end_of(days[count - 1]) : 0;
}

enum job_result aggregate_expiry_run(struct aggregate *aggregate, uint64_t now_s,
				     struct failure *failure)
{
	uint64_t days[SLOT_COUNT];
	const uint32_t expiry_s = atomic_load(&aggregate->expiry_s);
	const size_t count = keyring_epochs(aggregate->needs.keyring, KEY_AGGREGATE_DAY, days);

	/* Whatever becomes of keys and rows, nobody is shown what is past its time. */
	if (now_s > expiry_s)
		drop_before(aggregate, (now_s - expiry_s) / DAY_S);
	for (size_t i = 0; i < count && end_of(days[i]) + expiry_s <= now_s; i++)
		if (!vault_forget_day(aggregate->needs.vault, VAULT_AGGREGATE, days[i], failure))
			return JOB_FAILED;
	return JOB_DONE;
}
