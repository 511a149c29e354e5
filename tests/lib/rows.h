/* rows.h - makes batches of operations and counts the rows of a store, for tests. */
#ifndef TESTS_LIB_ROWS_H
#define TESTS_LIB_ROWS_H

#include "storage/store.h"

#include <stdlib.h>

static inline struct store_op rows_session(uint64_t row, struct slice client_id)
{
	return (struct store_op){.type = STORE_PUT_SESSION,
				 .row = row,
				 .session = {.expiry_s = 3600,
					     .connected = true,
					     .since_s = 1700000000 + row,
					     .client_id = client_id}};
}

static inline struct store_op rows_subscription(uint64_t row, uint64_t session, struct slice filter)
{
	return (struct store_op){
	    .type = STORE_PUT_SUBSCRIPTION,
	    .row = row,
	    .subscription = {.session = session, .identifier = 7, .options = 1, .filter = filter}};
}

static inline struct store_op rows_delete(enum store_op_type type, uint64_t row)
{
	return (struct store_op){.type = type, .row = row};
}

/* One allocation, to be freed; slices stay where they are. */
static inline struct store_batch *rows_batch(const struct store_op *ops, size_t count)
{
	struct store_batch *batch = calloc(1, sizeof(*batch) + count * sizeof(*ops));

	must(batch != NULL);
	batch->count = count;
	if (count > 0)
		memcpy(batch->ops, ops, count * sizeof(*ops));
	return batch;
}

/* Commits steps as one batch. */
static inline bool rows_commit_steps(struct store *store, const struct store_step *steps,
				     size_t count, struct failure *failure)
{
	struct store_batch *batch = rows_batch(NULL, 0);
	bool ok;

	batch->step_count = count;
	batch->steps = (struct store_step *)(uintptr_t)steps;
	ok = store_commit(store, &batch, 1, failure);
	free(batch);
	return ok;
}

/* A step of an exchange that is not QUEUED. */
static inline struct store_step rows_step(enum store_step_type type, uint64_t row,
					  uint16_t packet_id, uint64_t envelope)
{
	return (struct store_step){
	    .row = row, .envelope = envelope, .packet_id = packet_id, .type = (uint8_t)type};
}

/* Commits operations as one batch. */
static inline bool rows_commit(struct store *store, const struct store_op *ops, size_t count,
			       struct failure *failure)
{
	struct store_batch *batch = rows_batch(ops, count);
	bool ok = store_commit(store, &batch, 1, failure);

	free(batch);
	return ok;
}

/* What a store holds: how many rows, and a sum over everything in them, order apart. */
struct rows_sum {
	size_t sessions;
	size_t subscriptions;
	size_t steps;
	uint64_t sum;
};

static inline uint64_t rows_mix(uint64_t sum, struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		sum = (sum ^ bytes.at[i]) * 0x100000001b3u;
	return sum;
}

static inline void rows_sum_session(void *self, uint64_t row, const struct store_session *session)
{
	struct rows_sum *sum = self;
	const uint64_t fixed[] = {row, session->realm, session->expiry_s, session->connected,
				  session->since_s};

	must(sum->subscriptions == 0); /* all sessions first */
	sum->sessions++;
	sum->sum +=
	    rows_mix(rows_mix(rows_mix(1, slice_of(fixed, sizeof(fixed))), session->client_id),
		     session->tokens);
}

static inline void rows_sum_subscription(void *self, uint64_t row,
					 const struct store_subscription *subscription)
{
	struct rows_sum *sum = self;
	const uint64_t fixed[] = {row, subscription->session, subscription->identifier,
				  subscription->options};

	sum->subscriptions++;
	sum->sum += rows_mix(rows_mix(2, slice_of(fixed, sizeof(fixed))), subscription->filter);
}

static inline void rows_sum_step(void *self, const struct store_step *step)
{
	struct rows_sum *sum = self;
	const uint64_t fixed[] = {step->row,   step->envelope,	step->group,
				  step->count, step->packet_id, step->type};

	sum->steps++;
	sum->sum += rows_mix(3, slice_of(fixed, sizeof(fixed)));
}

static inline bool rows_load(struct store *store, struct rows_sum *sum, struct failure *failure)
{
	const struct store_visitor visitor = {sum, rows_sum_session, rows_sum_subscription,
					      rows_sum_step};

	*sum = (struct rows_sum){0};
	return store_load(store, &visitor, failure);
}

#endif
