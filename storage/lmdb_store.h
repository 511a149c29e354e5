/*
 * lmdb_store.h - the contract of store.h kept in data.mdb.
 *
 * A session is an owner of the vault: its row and its subscriptions (record.h) are sealed
 * under a leaf key of its own, which goes within a minute after the session ended.  Rows of
 * the journal (journal.h) of open QoS 2 exchanges are sealed under the envelope key, one
 * for each commit, however many steps are in it.
 *
 * Failure: as datafile.h says; lmdb_store_poisoned() when the process must end.
 * Thread: as store.h says; lmdb_store_poisoned() any.  Not across fork().
 */
#ifndef STORAGE_LMDB_STORE_H
#define STORAGE_LMDB_STORE_H

#include "storage/store.h"
#include "storage/vault.h"

/*
 * Reads the journal and makes a store of what the vault holds; it borrows the vault
 * until store_close().  NULL when that fails.
 */
struct store *lmdb_store_open(struct vault *vault, struct failure *failure);

/*
 * Gives a session that is kept, those of these rows that are subscriptions of it, and its steps,
 * as the visitor of store_load() gets them but in no order: what has gone meanwhile is passed over.
 * Others wait meanwhile for no more than some hundred rows.
 * Thread: any.
 */
bool lmdb_store_read(struct store *head, uint64_t session, const uint64_t *rows, size_t count,
		     const struct store_visitor *visitor, struct failure *failure);

/*
 * Takes a new envelope key into use, that of the hour of now_s: what is open is written again under
 * it, that is synced, and the old key destroyed.  Due at the end of the hour that the key is for.
 * Thread: one at a time, beside store_commit().
 */
bool lmdb_store_renew_envelopes(struct store *head, uint64_t now_s, struct failure *failure);
uint64_t lmdb_store_envelope_end_s(const struct store *head); /* since 1970 */

/*
 * When the oldest key that there is ends.  That is before the end of the key in use where the one
 * of before could not be destroyed, which is to be tried again then.
 */
uint64_t lmdb_store_envelope_due_s(const struct store *head);
bool lmdb_store_destroy_old_envelopes(struct store *head, struct failure *failure);

/* The store must not be trusted any more: end the process and start it again. */
bool lmdb_store_poisoned(const struct store *head);

#endif
