/*
 * aggregate.h - what is kept of each day: one release (storage/aggregate/release.h) in a row
 * of its own, under a key of its own.
 *
 * A day ends at midnight, UTC.  Then every worker gives up what its accounts published, it is
 * put together, given noise, and becomes the row of the day; the row is the mark that the day
 * is done as well, so no day gets noise twice.  A day that the broker did not see from its
 * beginning to its end, or whose workers did not answer in time, gets a row that says nothing.
 *
 * `aggregate_expiry` after the end of its day a row's key is destroyed, and the row deleted.
 *
 * Ownership: aggregate_open() gives; vault and keyring are borrowed.
 * Failure: the vault's and the keyring's.
 * Thread: the main thread; aggregate_each() any.
 */
#ifndef BROKER_AGGREGATE_H
#define BROKER_AGGREGATE_H

#include "broker/jobs.h"
#include "broker/tally_round.h"
#include "storage/aggregate/release.h"
#include "storage/vault.h"

/* How long workers may take to answer. */
#define AGGREGATE_PATIENCE_S 10u

struct aggregate;

struct aggregate_needs {
	struct vault *vault;
	struct keyring *keyring;
	void *self;
	/* Asks all workers; their answers come with time.  The reference is the caller's. */
	struct tally_round *(*ask)(void *self);
};

/* Reads the releases that there are.  NULL: the vault cannot be read. */
struct aggregate *aggregate_open(const struct aggregate_needs *needs, uint64_t now_s,
				 struct failure *failure);
void aggregate_close(struct aggregate *aggregate); /* NULL is allowed */

void aggregate_set_expiry(struct aggregate *aggregate, uint32_t expiry_s);

/* Jobs: the release of the day that is over; and the end of releases. */
uint64_t aggregate_release_due(const struct aggregate *aggregate);
enum job_result aggregate_release_run(struct aggregate *aggregate, uint64_t now_s,
				      struct failure *failure);
uint64_t aggregate_expiry_due(const struct aggregate *aggregate);
enum job_result aggregate_expiry_run(struct aggregate *aggregate, uint64_t now_s,
				     struct failure *failure);

/* The time that it was when the newest key was made, at least; 0: none is there. */
uint64_t aggregate_newest_s(const struct aggregate *aggregate);

/* Calls back for each release, the oldest first. */
void aggregate_each(struct aggregate *aggregate, void *self,
		    void (*call)(void *self, const struct aggregate_release *release));

#endif
