/*
 * release.h - what is kept of a day: how much was published, by how many accounts, with
 * noise; or that nothing is.
 *
 * The promise is differential privacy of an account's whole day: with the account or without
 * it any release is about as likely, by a factor of at most e^0.1.
 *
 *   charge   an account counts for at most AGGREGATE_CHARGE_MAX publishes a day, of all QoS
 *            together, so that it can change the three volumes by no more than that
 *   noise    discrete Laplace (laplace.h): epsilon 0.075 for the volumes, of sensitivity
 *            AGGREGATE_CHARGE_MAX; epsilon 0.025 for the number of accounts, of sensitivity 1
 *   null     a day is not kept when it was interrupted, and when its noisy number of accounts
 *            is below AGGREGATE_ACCOUNTS_MIN: an account alone is kept less than once in
 *            1,000 days
 *
 * A volume with noise may be below zero: cutting it off would falsify sums over days.
 *
 * Pure.  Thread: any.
 */
#ifndef STORAGE_AGGREGATE_RELEASE_H
#define STORAGE_AGGREGATE_RELEASE_H

#include "storage/aggregate/laplace.h"

#define AGGREGATE_CHARGE_MAX   256u
#define AGGREGATE_ACCOUNTS_MIN 251

/* 256 / 0.075 and 1 / 0.025. */
#define AGGREGATE_VOLUME_SCALE	 10240u
#define AGGREGATE_VOLUME_STEPS	 3u
#define AGGREGATE_ACCOUNTS_SCALE 40u
#define AGGREGATE_ACCOUNTS_STEPS 1u

/* What there was.  Never kept. */
struct aggregate_counts {
	uint64_t of_qos[3]; /* publishes that were accepted, as charged */
	uint64_t accounts;  /* that were connected at some time of the day */
};

struct aggregate_release {
	uint64_t day; /* since 1970 */
	bool kept;    /* else the rest is 0 */
	int64_t of_qos[3];
	int64_t accounts;
};

/* `counts` NULL: the day was interrupted. */
void aggregate_release_make(uint64_t day, const struct aggregate_counts *counts,
			    const struct chance *chance, struct aggregate_release *release);

/* As a row: of one length, whatever is in it. */
#define AGGREGATE_BODY_LEN 42u
void aggregate_release_write(const struct aggregate_release *release,
			     uint8_t body[AGGREGATE_BODY_LEN]);
/* False when the body is none. */
bool aggregate_release_read(struct slice body, struct aggregate_release *release);

#endif
