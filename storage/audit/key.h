/*
 * key.h - where the signing key of the log is kept.  These functions are all that knows it.
 *
 * In keys.slots, class audit-signing: the epoch is the number of the origin, from 0; the last one
 * signs.  A second one is there only while a new origin is begun.  Without a keyring (tools and
 * tests) and in logs of older versions: in the file `key` of the log's directory, mode 0600, the
 * seed as 64 hexadecimal digits and a newline; that one is taken into the keyring, and the file is
 * overwritten and removed.
 *
 * Ownership: the caller's memory; wipe keys with audit_signing_key_wipe().
 * Failure: a key that is not there, or not readable as one.
 * Thread: any.
 */
#ifndef STORAGE_AUDIT_KEY_H
#define STORAGE_AUDIT_KEY_H

#include "storage/audit/crypto.h"
#include "storage/keys/keyring.h"

#define AUDIT_KEY_NAME "key"

struct audit_key_place {
	int directory;	      /* the log's; borrowed */
	struct keyring *keys; /* NULL: the file; borrowed */
};

/* *found is false when there is no key yet; that is no failure. */
bool audit_key_load(const struct audit_key_place *place, bool *found, struct audit_signing_key *key,
		    struct failure *failure);

/* Makes one, durably; beside the one that is there, when that is in the keyring, else in its place.
 */
bool audit_key_make(const struct audit_key_place *place, struct audit_signing_key *key,
		    struct failure *failure);

/* Destroys all but the last one. */
bool audit_key_settle(const struct audit_key_place *place, struct failure *failure);

#endif
