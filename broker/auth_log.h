/*
 * auth_log.h - who logged in, and who tried: one row for each account, minute and result, for
 * `auth_expiry`.  Nothing else is in a row: no address, no client identifier.
 *
 * Logins that are nobody's account (a user of password_file, a certificate, a name that
 * nobody has) are counted by kind, and no more.
 *
 * A login costs a place in a table; a job writes what is new every AUTH_LOG_WRITE_S, so a
 * crash loses the rows of some seconds.  A storm of logins fills the table of its minute: what
 * does not fit is counted as lost, and so is what cannot be written.  Beyond `auth_max_bytes`
 * the oldest rows go.
 *
 * Rows are sealed under a key for a period (of a day; shorter, where auth_expiry is below two
 * days), and end with it: `auth_expiry` after the period's beginning, so that no row is older.
 * The epoch of a key of a day is the day since 1970; that of a shorter period the minute in which
 * it begins, which is far above any day.
 *
 * Ownership: auth_log_open() gives; vault and keyring are borrowed.
 * Thread: auth_log_note(), auth_log_each() and auth_log_counts() any; the rest the main thread.
 */
#ifndef BROKER_AUTH_LOG_H
#define BROKER_AUTH_LOG_H

#include "broker/jobs.h"
#include "proto/identity.h"
#include "storage/vault.h"

#define AUTH_LOG_WRITE_S     10u
#define AUTH_LOG_PLACES	     65536u /* of a minute; half of them are used */
#define AUTH_LOG_PENDING_MAX 65536u /* rows that could not be written yet */
#define AUTH_LOG_ROW_BYTES   128u   /* that a row takes on the disk, about */

enum auth_log_result {
	AUTH_LOG_RIGHT,
	AUTH_LOG_WRONG,	  /* no such name, or its secret was wrong */
	AUTH_LOG_REFUSED, /* right, and not let in: disabled, or past its end */
	AUTH_LOG_RESULTS
};

/* For people and for labels. */
const char *auth_log_result_text(enum auth_log_result result);

struct auth_log;

struct auth_log_limits {
	uint32_t expiry_s;
	uint64_t max_bytes;
};

/* Reads how many rows there are.  `vault` NULL: nothing is written, only counted. */
struct auth_log *auth_log_open(struct vault *vault, struct keyring *keyring,
			       const struct auth_log_limits *limits, struct failure *failure);
void auth_log_close(struct auth_log *log); /* NULL is allowed */

void auth_log_set_limits(struct auth_log *log, const struct auth_log_limits *limits);

/* Somebody tried to log in.  `account` is its row, 0 where it is none.  Never waits for the disk.
 */
void auth_log_note(struct auth_log *log, enum identity_kind kind, uint64_t account,
		   enum auth_log_result result);

struct auth_log_counts {
	uint64_t logins[IDENTITY_KINDS][AUTH_LOG_RESULTS];
	uint64_t lost; /* rows */
};

void auth_log_count(struct auth_log *log, struct auth_log_counts *counts);

/* Calls back for each row of an account, in no order.  Whoever writes rows does not wait for it. */
struct auth_log_row {
	uint64_t minute_s; /* its beginning, since 1970 */
	enum auth_log_result result;
};
bool auth_log_each(struct auth_log *log, uint64_t account, void *self,
		   void (*call)(void *self, const struct auth_log_row *row),
		   struct failure *failure);

/* Jobs: what is new is written; what is past its time goes. */
uint64_t auth_log_write_due(const struct auth_log *log, uint64_t last_s);
enum job_result auth_log_write_run(struct auth_log *log, uint64_t now_s, struct failure *failure);
uint64_t auth_log_expiry_due(const struct auth_log *log);
enum job_result auth_log_expiry_run(struct auth_log *log, uint64_t now_s, struct failure *failure);

/* When the periods of the oldest and of the newest key began; false: there is no key. */
bool auth_log_span(const struct auth_log *log, uint64_t *oldest_s, uint64_t *newest_s);

#endif
