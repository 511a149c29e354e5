/*
 * lmdb_store.h - the contract of store.h kept in an LMDB file.
 *
 * The directory holds data.mdb and lock.mdb.  In data.mdb there are four tables:
 * "meta" with one row that says whose file it is and in which format, "sessions" and
 * "subscriptions" with one record (record.h) for each row, under the row's number as
 * 8 bytes, big-endian, and "journal" (journal.h) likewise.
 *
 * The file is as long as LMDB's map and sparse; both start at 1 MiB and double when
 * full, up to 64 GiB (1 GiB on 32 bits).
 *
 * Failure: every sentence names the file.  A commit that fails leaves the file as it
 * was and the next one may succeed (a full disk that was cleared), except when the
 * kernel could not write what it had taken: then nothing is known about the file any
 * more, lmdb_store_poisoned() says so, every further commit fails, and the process
 * must end.  Nothing is repaired, deleted or skipped.
 * Thread: as store.h says; lmdb_store_poisoned() any.  Not across fork().
 */
#ifndef STORAGE_LMDB_STORE_H
#define STORAGE_LMDB_STORE_H

#include "storage/store.h"

/* What a commit outlives. */
enum store_durability {
	DURABILITY_POWER,   /* a loss of power: every commit is synced */
	DURABILITY_PROCESS, /* the end of the process, by kill -9 too; boot_mark.h */
};

/*
 * Opens the store in this directory, which is there and ours (directory.h); makes it
 * if there is none.  NULL when that fails.
 */
struct store *lmdb_store_open(const char *directory, struct failure *failure);

/*
 * The same with another durability.  *put_aside: another boot of the machine left the
 * file unsynced; it was moved to data.mdb.unsynced and the store is empty.
 */
struct store *lmdb_store_open_as(const char *directory, enum store_durability durability,
				 bool *put_aside, struct failure *failure);

/* The store must not be trusted any more: end the process and start it again. */
bool lmdb_store_poisoned(const struct store *store);

/* Lowers how far the map may grow, in bytes. */
void lmdb_store_set_ceiling(struct store *head, size_t bytes);

#endif
