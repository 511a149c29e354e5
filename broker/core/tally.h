/*
 * tally.h - how much each account published on a day, as it is charged for the release of
 * that day (storage/aggregate/release.h); in memory only.
 *
 * Counting costs a publish one place in an array, by the slot of its session.  When a
 * client goes, or the day ends, what its session has is charged to the account: at most
 * TALLY_CHARGE_MAX publishes of all its clients together, those that came first of each
 * session.  Who is nobody counts by client identifier.
 *
 * Accounts stand in the table as numbers that say nothing (keyed hashes).  One that objects
 * (auth_grant.no_stats) is not charged; what was charged before on that day does not count.
 *
 * When there are more than TALLY_ACCOUNTS_MAX the table is `full`, and its day is no good.
 *
 * Ownership: a tally owns its table.  Thread: its owner's.
 */
#ifndef BROKER_CORE_TALLY_H
#define BROKER_CORE_TALLY_H

#include "proto/base.h"

#define TALLY_CHARGE_MAX   256u
#define TALLY_ACCOUNTS_MAX (1u << 20)

/* Of one session, or of one account. */
struct tally_counts {
	uint16_t of_qos[3];
	uint16_t total;
};

struct tally_entry {
	uint64_t account; /* 0: free */
	struct tally_counts counts;
};

struct tally {
	struct tally_entry *entries; /* a hash table, `room` of them: a power of two, or 0 */
	uint32_t room;
	uint32_t count;
	bool full;
};

struct tally_sums {
	uint64_t of_qos[3];
	uint64_t accounts;
};

static inline void tally_count(struct tally_counts *counts, uint8_t qos)
{
	if (counts->total >= TALLY_CHARGE_MAX)
		return;
	counts->total++;
	counts->of_qos[qos]++;
}

/* The account was here, and published so much. */
void tally_charge(struct tally *tally, uint64_t account, const struct tally_counts *counts);

/* The account objects: nothing of it counts, whatever is charged. */
void tally_leave_out(struct tally *tally, uint64_t account);

/* Charges all that `from` has; finishes it. */
void tally_merge(struct tally *tally, struct tally *from);

struct tally_sums tally_sum(const struct tally *tally);

/* Wipes and frees what it has; it is empty then. */
void tally_finish(struct tally *tally);

#endif
