/*
 * key.h - where the signing key of the log is kept.  These functions are all that knows it, so
 * that the key can move to keys.slots.
 *
 * Today: the file `key` in the log's directory, mode 0600: the seed as 64 hexadecimal digits and a
 * newline.  It is made once and not written again, unless the log gets a new origin.
 *
 * Ownership: the caller's memory; wipe it with audit_signing_key_wipe().
 * Failure: a key that is not there, or not readable as one.
 * Thread: any.
 */
#ifndef STORAGE_AUDIT_KEY_H
#define STORAGE_AUDIT_KEY_H

#include "storage/audit/crypto.h"

#define AUDIT_KEY_NAME "key"

/* *found is false when there is no key yet; that is no failure. */
bool audit_key_load(int directory, bool *found, struct audit_signing_key *key,
		    struct failure *failure);

/* Makes one, durably; fails where there is one. */
bool audit_key_make(int directory, struct audit_signing_key *key, struct failure *failure);

/* Makes one in place of the one that is there: for a new origin (log.h). */
bool audit_key_renew(int directory, struct audit_signing_key *key, struct failure *failure);

#endif
