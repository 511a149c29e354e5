/*
 * residency.h - may what belongs to an account leave for another region?
 *
 * A broker stands in a region, and an account belongs to one.  Nothing of an account goes to
 * another region unless a `transfer` line of the configuration names that region and the
 * legal basis for it.  Whoever carries something of an account to another broker asks here
 * first: bridges and links of a cluster.
 *
 * Pure.  Ownership: texts are borrowed from the configuration.  Thread: any.
 */
#ifndef BROKER_RESIDENCY_H
#define BROKER_RESIDENCY_H

#include "proto/base.h"

#define RESIDENCY_TRANSFER_MAX 64u

struct residency_transfer {
	const char *region; /* to there */
	const char *basis;  /* for people: the law or contract that allows it */
};

struct residency {
	size_t transfer_count;
	struct residency_transfer transfers[RESIDENCY_TRANSFER_MAX];
};

/* Two capital letters: EU, or a country's, as DE. */
bool residency_region_valid(const char *region);

/*
 * Why something of an account may go to a region: the basis of a transfer, or "" when it stays in
 * the account's own.  NULL: it may not.  A client without an account belongs to the broker's
 * region.
 */
const char *residency_basis(const struct residency *residency, const char *account_region,
			    const char *to_region);

#endif
