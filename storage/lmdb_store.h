/*
 * lmdb_store.h - the contract of store.h kept in data.mdb.
 *
 * Sessions, subscriptions and the journal (journal.h) of open QoS 2 exchanges are
 * records (record.h) in tables of the vault's file (datafile.h), beside its own rows.
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

/* The store must not be trusted any more: end the process and start it again. */
bool lmdb_store_poisoned(const struct store *store);

#endif
