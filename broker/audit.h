/*
 * audit.h - what the broker writes into its audit log (docs/audit.md): that it started and stopped,
 * its version, its privacy settings, the use of administrative rights, alerts, its keys, its jobs.
 * Never anything about a client: storage/audit/event.def has no place for it.
 *
 * Once an hour, AUDIT_HOUR_DUE_S after its beginning, the same entries are written whatever
 * happened: the keys that were made and destroyed since, each class of jobs with its worst outcome,
 * and the root of the hour's receipts.  A start has the receipts of its hour.
 *
 * A write is a handful of syncs, so it happens in the main thread and in that of the control
 * socket, never in a worker; audit_alert() and the hooks of keys only leave word.  What cannot be
 * written waits and is tried again; an administrative change does not wait, it is refused.  After
 * an hour whose entries could not be written audit_behind() says so: then nobody is let in.
 *
 * Ownership: audit_open() gives, audit_destroy() takes.  NULL is a broker without the log: then
 * nothing is written and nothing refused.
 * Failure: a log that is damaged, or cannot be written, with the file.
 * Thread: audit_admin(), audit_alert(), audit_receipt(), audit_sign_text(), audit_behind(),
 * audit_standing() and the hooks of keys any; the rest the main thread.
 */
#ifndef BROKER_AUDIT_H
#define BROKER_AUDIT_H

#include "broker/config.h"
#include "storage/audit/log.h"

#define AUDIT_HOUR_DUE_S 60u

struct audit;

/*
 * Opens the log below the data directory, or makes it, and writes the start, after the version and
 * the privacy settings where they are not what they were.  With `audit_log false` there is none;
 * one that is there already gets the entry that says so.  *audit is NULL then.  `keys` (borrowed)
 * holds the signing key.
 */
bool audit_open(int data_directory, struct keyring *keys, const struct config *config,
		struct audit **audit, struct failure *failure);

/* Before these settings come into force. False: they must not. */
bool audit_settings(struct audit *audit, const struct config *config, struct failure *failure);

/* Before a right is used: an AUDIT_WORD_RIGHT_.  At most one entry for a right and hour. */
bool audit_admin(struct audit *audit, enum audit_word right, struct failure *failure);

/* Leaves word of an AUDIT_WORD_ALERT_; at most one entry for an alert and hour.  Never waits. */
void audit_alert(struct audit *audit, enum audit_word alert);

/* ---- keys: a class is an AUDIT_WORD_CLASS_ */

struct audit_key {
	enum audit_word class;
	uint64_t epoch;
};

/*
 * Hooks of the keyring.  Of the class `root` the epochs are not told: it turns whenever an account
 * is deleted, so the log has it once an hour, with the hour as its epoch.
 */
void audit_key_new(struct audit *audit, const struct audit_key *key);
/* `level`: an AUDIT_WORD_ERASURE_. */
void audit_key_gone(struct audit *audit, const struct audit_key *key, enum audit_word level);

/*
 * At a start, when the keyring is open: what the log lacks, because the broker died before it was
 * written, is written.  Keys of the last AUDIT_KEY_DAYS days are looked for.
 */
#define AUDIT_KEY_DAYS 93u
bool audit_compare_keys(struct audit *audit, const struct audit_key *living, size_t count,
			enum audit_word level, struct failure *failure);

/* ---- jobs */

struct audit_job {
	enum audit_word class;
	enum audit_word outcome; /* AUDIT_WORD_OUTCOME_: the worst since it was asked last */
};

#define AUDIT_JOBS_MAX 16u

/* Who is asked, once an hour in the main thread; the same classes each time. */
struct audit_jobs {
	void *self;
	size_t (*list)(void *self, struct audit_job jobs[AUDIT_JOBS_MAX]);
};

void audit_ask_jobs(struct audit *audit, const struct audit_jobs *jobs);

/* ---- receipts, and how it stands */

/*
 * A receipt for what was erased, for the person alone: storage/audit/receipt.h.  Nothing of it is
 * kept.  False when there is no log, or it cannot be written, or the hour has no more of them.
 */
bool audit_receipt(struct audit *audit, enum receipt_event event, struct slice subject,
		   char text[RECEIPT_SIZE], struct failure *failure);

/*
 * Signs a text in its place, as audit_log_sign() does; gives the new length, 0 where there is no
 * log.
 */
size_t audit_sign_text(struct audit *audit, char *text, size_t len, size_t size);

struct audit_standing {
	struct checkpoint checkpoint;
	char origin[NOTE_NAME_SIZE];
	bool writable;
};

/* False when there is no log. */
bool audit_standing(struct audit *audit, struct audit_standing *standing);

/* Has an hour passed whose entries could not be written? */
bool audit_behind(const struct audit *audit);

/* From time to time: writes what waits, and what is due. */
void audit_tend(struct audit *audit);

/* The last entry (an AUDIT_WORD_CAUSE_); frees. */
void audit_destroy(struct audit *audit, enum audit_word cause);

#endif
