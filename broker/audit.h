/*
 * audit.h - what the broker writes into its audit log (docs/audit.md): that it started and stopped,
 * its version, its privacy settings, the use of administrative rights, alerts.  Never anything
 * about a client: storage/audit/event.def has no place for it.
 *
 * A write is a handful of syncs, so it happens in the main thread and in that of the control
 * socket, never in a worker; audit_alert() only leaves word.  What cannot be written waits and is
 * tried again; an administrative change does not wait, it is refused.
 *
 * Ownership: audit_open() gives, audit_destroy() takes.  NULL is a broker without the log: then
 * nothing is written and nothing refused.
 * Failure: a log that is damaged, or cannot be written, with the file.
 * Thread: audit_admin() and audit_alert() any; the rest the main thread.
 */
#ifndef BROKER_AUDIT_H
#define BROKER_AUDIT_H

#include "broker/config.h"
#include "storage/audit/event.h"

struct audit;

/*
 * Opens the log below the data directory, or makes it, and writes the start, after the version and
 * the privacy settings where they are not what they were.  With `audit_log false` there is none;
 * one that is there already gets the entry that says so.  *audit is NULL then.
 */
bool audit_open(int data_directory, const struct config *config, struct audit **audit,
		struct failure *failure);

/* Before these settings come into force. False: they must not. */
bool audit_settings(struct audit *audit, const struct config *config, struct failure *failure);

/* Before a right is used: an AUDIT_WORD_RIGHT_.  At most one entry for a right and hour. */
bool audit_admin(struct audit *audit, enum audit_word right, struct failure *failure);

/* Leaves word of an AUDIT_WORD_ALERT_; at most one entry for an alert and hour.  Never waits. */
void audit_alert(struct audit *audit, enum audit_word alert);

/* From time to time: writes what waits. */
void audit_tend(struct audit *audit);

/* The last entry (an AUDIT_WORD_CAUSE_); frees. */
void audit_destroy(struct audit *audit, enum audit_word cause);

#endif
